"""Matrices and samplers that each change wrongly in one way, and bounds that do not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from testing.right import FULL, Bounded, Changeable, Growing, Right, Table

import qinspired as qi


class NeverUpdates(Right):
    version = 0


class VersionStands(Changeable):
    def _become(self, changed: np.ndarray) -> None:
        super()._become(changed)
        self._version = 0


class VersionFalls(Changeable):
    def _become(self, changed: np.ndarray) -> None:
        version = self._version
        super()._become(changed)
        self._version = version - 1


class VersionForgetsDeletes(Growing):
    def delete_rows(self, rows: Any) -> None:
        super().delete_rows(rows)
        self._version -= 1


class NormsDrift(Changeable):
    """Keeps squared norms by adding differences, which a large entry that came and went leaves wrong."""

    def __init__(self, array: np.ndarray = FULL) -> None:
        super().__init__(array)
        self._squares = (array**2).sum(axis=1)  # exact, as are the differences, until they differ much in size

    def _set(self, rows: Any, cols: Any, values: Any) -> None:
        for row, col, value in zip(rows, cols, values, strict=True):
            self._squares[row] += value**2 - self._array[row, col] ** 2
            self._array[row, col] = value
        self._norms = np.sqrt(np.maximum(self._squares, 0.0))
        self._version += 1
        for name in ("frobenius_norm", "_row_table"):
            self.__dict__.pop(name, None)


class StaleTable(Changeable):
    """Norms follow, the table that rows are drawn from does not."""

    def _become(self, changed: np.ndarray) -> None:
        table = self.__dict__.get("_row_table")
        super()._become(changed)
        if table is not None:
            self.__dict__["_row_table"] = table


class HalfUpdated(Changeable):
    def update(self, rows: Any, cols: Any, values: Any) -> None:
        if len(rows) > 1:
            for row, col, value in zip(rows, cols, values, strict=False):
                super().update([row], [col], [value])
            if not len(rows) == len(cols) == len(values):
                raise ValueError("lengths differ")
        else:
            super().update(rows, cols, values)


class HalfUpdatedAside(Changeable):
    """Writes the first entry before the others are checked; norms and version stay."""

    def update(self, rows: Any, cols: Any, values: Any) -> None:
        if len(rows) > 1 and rows[0] >= 0:
            self._array[rows[0], cols[0]] = values[0]
        super().update(rows, cols, values)


class UpdateWraps(Changeable):
    def update(self, rows: Any, cols: Any, values: Any) -> None:
        super().update(np.where(np.asarray(rows) == -1, self.shape[0] - 1, rows), cols, values)


class UpdateTakesNan(Changeable):
    def update(self, rows: Any, cols: Any, values: Any) -> None:
        super().update(rows, cols, np.nan_to_num(np.asarray(values)))


class UpdateAdds(Changeable):
    def _set(self, rows: Any, cols: Any, values: Any) -> None:
        super()._set(rows, cols, self._array[rows, cols] + values)


class FirstValueStays(Changeable):
    def _set(self, rows: Any, cols: Any, values: Any) -> None:
        super()._set(rows[::-1].copy(), cols[::-1].copy(), values[::-1].copy())


class WrongRowDeleted(Growing):
    def delete_rows(self, rows: Any) -> None:
        super().delete_rows(rows + 1)


class RowsPutOnTop(Growing):
    def append_rows(self, block: Any) -> None:
        self._become(np.concatenate([block, self._array]))


class TableOfSquares(Table):
    def _prepare(self) -> None:
        self._table = qi.AliasTable(self._weights, exponent=2) if self._weights.any() else None


class TableOffByOne(Table):
    def sample(self, n_draws: Any, rng: Any = None) -> Any:
        return (super().sample(n_draws, rng) + 1) % len(self)


class TableWithoutSeed(Table):
    def sample(self, n_draws: Any, rng: Any = None) -> Any:
        super().sample(n_draws, rng)
        return super().sample(n_draws)


class TableTooLong(Table):
    def __len__(self) -> int:
        return len(self._weights) + 1

    def update(self, indices: Any, weights: Any) -> None:
        raise NotImplementedError


class TableSorted(Table):
    def sample(self, n_draws: Any, rng: Any = None) -> Any:
        return np.sort(super().sample(n_draws, rng))


class TableStale(Table):
    def update(self, indices: Any, weights: Any) -> None:
        table = self._table
        super().update(indices, weights)
        self._table = table


class TableHalfUpdated(Table):
    def update(self, indices: Any, weights: Any) -> None:
        for index, weight in zip(indices, weights, strict=False):
            super().update([index], [weight])
        super().update(indices, weights)


class TableTakesNegatives(Table):
    def update(self, indices: Any, weights: Any) -> None:
        weights = np.asarray(weights)
        super().update(indices, np.abs(weights) if weights.dtype.kind == "f" else weights)


class TableNeverEmpty(Table):
    def sample(self, n_draws: Any, rng: Any = None) -> Any:
        return np.zeros(n_draws, dtype=np.int64) if self._table is None else super().sample(n_draws, rng)


class TableDrifts(Table):
    """Follows by differences of weights, in which a small one vanishes beside a large one that it replaces."""

    def __init__(self, weights: Any) -> None:
        super().__init__(weights)
        self._sums = self._weights.copy()

    def update(self, indices: Any, weights: Any) -> None:
        before = self._weights.copy()
        super().update(indices, weights)
        self._sums += self._weights - before
        left = np.maximum(self._sums, 0.0)
        self._table = qi.AliasTable(left if left.any() else self._weights) if self._weights.any() else None


class BoundTooLow(Bounded):
    def bound_norms(self, rows: Any = None) -> Any:
        return 0.99 * self.row_norms(rows)


class BoundNormTooHigh(Bounded):
    @property
    def bound_norm(self) -> float:
        return 1.1 * super().bound_norm


class PhiWrong(Bounded):
    def phi(self) -> float:
        return self.bound_norm / self.frobenius_norm


class ProposalsUncounted(Bounded):
    def sample_rows_counted(self, n_draws: Any, rng: Any = None) -> tuple[Any, int]:
        rows, count = super().sample_rows_counted(n_draws, rng)
        return rows, (count + len(rows)) // 2


class LastRoundCounted(Bounded):
    def sample_rows_counted(self, n_draws: Any, rng: Any = None) -> tuple[Any, int]:
        rows, count = super().sample_rows_counted(n_draws, rng)
        return rows, max(count, 4 * len(rows) + 20) if len(rows) else 0


class AcceptsBySize(Bounded):
    """Accepts by the ratio of norms instead of its square; proposals a draw change with it."""

    def _accepts(self, shares: Any) -> Any:
        return shares

    def phi(self) -> float:
        return (self.bound_norm / self.frobenius_norm) ** 2


class AcceptsAll(Bounded):
    def _accepts(self, shares: Any) -> Any:
        return np.ones(len(shares))

    def sample_rows_counted(self, n_draws: Any, rng: Any = None) -> tuple[Any, int]:
        rows, count = super().sample_rows_counted(n_draws, rng)
        return rows, round(count * self.phi())
