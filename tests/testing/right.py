"""Storages and samplers that break no rule, for others to be made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from testing.storages import NegatedSparse

import qinspired as qi
from qinspired._rng import as_generator
from qinspired._validation import check_count, check_indices
from qinspired.exceptions import ZeroMassError
from qinspired.testing import sample_matrices

FULL = sample_matrices()["no zero row"]
ZEROS = sample_matrices()["zeros"]
# Rows of very different norms; the last one is drawn 59 times in a million.
SKEWED = FULL * np.geomspace(1.0, 1e-2, len(FULL))[:, None]


class Right(qi.RowStorage):
    """A dense storage that breaks no rule."""

    def __init__(self, array: np.ndarray = FULL) -> None:
        self._array = array.copy()
        super().__init__(array.shape, array.dtype)

    def _read_rows(self, rows: Any) -> Any:
        return self._array[rows]


class RightSparse(NegatedSparse):
    """A sparse storage that breaks no rule."""

    def __init__(self, array: np.ndarray = FULL) -> None:
        super().__init__(-sp.csr_array(array))


class Changeable(Right):
    """A matrix that can change, and breaks no rule: the index is made anew at each update."""

    def __init__(self, array: np.ndarray = FULL) -> None:
        self._version = 0
        super().__init__(array)

    @property
    def version(self) -> int:
        return self._version

    def update(self, rows: Any, cols: Any, values: Any) -> None:
        rows, cols = check_indices(rows, self.shape[0], "rows"), check_indices(cols, self.shape[1], "cols")
        values = np.asarray(values)
        if values.dtype.kind not in "fiu":
            raise TypeError("`values` must be real numbers")
        if not len(rows) == len(cols) == len(values) or not np.isfinite(values).all():
            raise ValueError("`values` must be finite, one for each entry")
        self._set(rows, cols, values)

    def _set(self, rows: Any, cols: Any, values: Any) -> None:
        changed = self._array.copy()
        changed[rows, cols] = values
        self._become(changed)

    def _become(self, changed: np.ndarray) -> None:
        version = self._version
        self.__dict__.clear()
        Changeable.__init__(self, changed)
        self._version = version + 1


class Growing(Changeable):
    """A matrix whose rows come and go too, and breaks no rule."""

    def append_rows(self, block: Any) -> None:
        self._become(np.concatenate([self._array, block]))

    def delete_rows(self, rows: Any) -> None:
        self._become(np.delete(self._array, rows, axis=0))

    def delete(self, rows: Any, cols: Any) -> None:
        self.update(rows, cols, np.zeros(len(rows)))


class Table:
    """A sampler that can change, and breaks no rule."""

    def __init__(self, weights: Any) -> None:
        self._weights = np.array(weights, dtype=float)
        self._prepare()

    def _prepare(self) -> None:
        self._table = qi.AliasTable(self._weights) if self._weights.any() else None

    def __len__(self) -> int:
        return len(self._weights)

    def sample(self, n_draws: Any, rng: Any = None) -> Any:
        if self._table is None:
            raise ZeroMassError("all weights are zero")
        return self._table.sample(n_draws, rng)

    def update(self, indices: Any, weights: Any) -> None:
        indices, weights = check_indices(indices, len(self), "indices"), np.asarray(weights)
        if weights.dtype.kind not in "fiu":
            raise TypeError("`weights` must be numbers")
        if len(weights) != len(indices) or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError("`weights` must be finite and >= 0, one for each index")
        self._weights[indices] = weights
        self._prepare()


class Bounded(Right):
    """Oversampling access that breaks no rule: every row is bounded by more than its norm, and by a constant."""

    def bound_norms(self, rows: Any = None) -> Any:
        return np.hypot(1.2 * self.row_norms(rows), 3.0)

    @property
    def bound_norm(self) -> float:
        return float(np.linalg.norm(self.bound_norms()))

    def phi(self) -> float:
        return (self.bound_norm / self.frobenius_norm) ** 2

    def _accepts(self, shares: Any) -> Any:
        return shares**2

    def sample_rows_counted(self, n_draws: Any, rng: Any = None) -> tuple[Any, int]:
        wanted = check_count(n_draws, "n_draws")
        generator = as_generator(rng)
        bounds, norms = self.bound_norms(), self.row_norms()
        table, found, count = qi.AliasTable(bounds, exponent=2), [np.zeros(0, dtype=np.int64)], 0
        while wanted > 0:
            rows = table.sample(4 * wanted + 20, generator)
            hits = np.flatnonzero(generator.random(len(rows)) < self._accepts(norms[rows] / bounds[rows]))[:wanted]
            count += int(hits[-1]) + 1 if len(hits) == wanted else len(rows)
            found.append(rows[hits])
            wanted -= len(hits)
        return np.concatenate(found), count

    def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
        return self.sample_rows_counted(n_draws, rng)[0]
