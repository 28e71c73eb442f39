"""Storages that each draw wrongly in one way."""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
from testing.right import Right

import qinspired as qi
from qinspired._rng import as_generator
from qinspired._validation import check_count


class RowsBySize(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return qi.AliasTable(self._norms).sample(n_draws, rng)


class RowsUniform(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return qi.AliasTable(np.ones(self.shape[0])).sample(n_draws, rng)


class RowsOffByOne(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return (super().sample_rows(n_draws, rng) + 1) % self.shape[0]


class ZeroRowDrawn(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return qi.AliasTable(np.maximum(self._norms, 0.3), exponent=2).sample(n_draws, rng)


class ColumnsBySize(Right):
    def _draw_cols(self, rows: Any, key: Any) -> Any:
        sizes = np.sign(self._array) * np.sqrt(np.abs(self._array))
        return Right(sizes)._draw_cols(rows, key)


class ColumnsOfOneRowWrong(Right):
    """All rows are right but the one of the least norm, of which two columns are exchanged."""

    def _draw_cols(self, rows: Any, key: Any) -> Any:
        other = self._array.copy()
        row = np.argmin(np.where(self._norms > 0, self._norms, np.inf))
        order = np.argsort(np.abs(other[row]))
        other[row, order[[-1, -4]]] = other[row, order[[-4, -1]]]
        return Right(other)._draw_cols(rows, key)


class ZeroEntryDrawn(Right):
    def _draw_cols(self, rows: Any, key: Any) -> Any:
        return Right(np.where(self._array == 0.0, 0.05, self._array))._draw_cols(rows, key)


class ColumnsTiedToRows(Right):
    """Rows and columns use one stream: the same seed for both makes one depend on the other."""

    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        running = np.cumsum(self._norms**2)
        uniform = as_generator(rng).random(check_count(n_draws, "n_draws"))
        return np.searchsorted(running, uniform * running[-1], side="right")

    def sample_cols(self, rows: Any, rng: Any = None) -> Any:
        rows = self._check_rows(rows)
        running = np.cumsum(self._array[rows] ** 2, axis=1)
        uniform = as_generator(rng).random(len(rows))
        return (running <= (uniform * running[:, -1])[:, None]).sum(axis=1)


class SortedDraws(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return np.sort(super().sample_rows(n_draws, rng))


class StratifiedColumns(Right):
    """Draws one column from each of n_draws equal shares of the mass: the counts are nearly exact."""

    def _draw_cols(self, rows: Any, key: Any) -> Any:
        cols = super()._draw_cols(rows, key)
        rng = np.random.default_rng(int(key))
        for row in np.unique(rows):
            here = np.flatnonzero(rows == row)
            running = np.cumsum(self._array[row] ** 2)
            shares = (np.arange(len(here)) + rng.random(len(here))) / len(here)
            cols[rng.permutation(here)] = np.searchsorted(running, shares * running[-1], side="right")
        return cols


class ThreadDependent(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        shift = 1 if numba.get_num_threads() > 1 else 0
        return np.roll(super().sample_rows(n_draws, rng), shift)


class OtherInThreads(Right):
    def sample_cols(self, rows: Any, rng: Any = None) -> Any:
        cols = super().sample_cols(rows, rng)
        return cols if threading.current_thread() is threading.main_thread() else np.roll(cols, 1)


class SeedIgnored(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        super().sample_rows(n_draws, rng)
        return super().sample_rows(n_draws, None)


class SeedFixed(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        super().sample_rows(n_draws, rng)
        return super().sample_rows(n_draws, 1)


class GeneratorStands(Right):
    def sample_cols(self, rows: Any, rng: Any = None) -> Any:
        if isinstance(rng, np.random.Generator):
            rng = np.random.Generator(type(rng.bit_generator)(rng.bit_generator.seed_seq))
        return super().sample_cols(rows, rng)


class GlobalState(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        draws = super().sample_rows(n_draws, rng)
        if rng is None:
            np.random.shuffle(draws)  # noqa: NPY002
        return draws


class ZeroRowHasColumns(Right):
    def _draw_cols(self, rows: Any, key: Any) -> Any:
        return np.maximum(super()._draw_cols(rows, key), 0)


class ZeroMatrixHasRows(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return super().sample_rows(n_draws, rng) if self._norms.any() else np.zeros(n_draws, dtype=np.int64)


class DrawsInt32(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return super().sample_rows(n_draws, rng).astype(np.int32)


class NegativeDraws(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return super().sample_rows(0 if n_draws == -1 else n_draws, rng)


class FloatDraws(Right):
    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return super().sample_rows(int(n_draws) if isinstance(n_draws, float) else n_draws, rng)


class AnyRandomness(Right):
    def sample_cols(self, rows: Any, rng: Any = None) -> Any:
        return super().sample_cols(rows, abs(rng) if isinstance(rng, int) else rng)


class VersionMovesByDraws(Right):
    """Drawing changes the version."""

    version = 0

    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        self.version += 1
        return super().sample_rows(n_draws, rng)
