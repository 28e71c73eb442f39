"""Drawn rows of a matrix, in batches, each standing for A^T A as a weighted sum of outer products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.access import CSRMatrix, DenseMatrix, base_of
from qinspired.algorithms._gather import gather_rows, squares_are_safe, unit_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import CountingMatrix

__all__ = ["RowBatch", "draw_batch", "gather_rows", "make_batch", "n_draws_of", "scatter"]

# Rows in memory are gathered again for each product, as many at a time as the caches hold, if together they have more
# entries than this: 600 to 2,000 rows of 10,000 took 0.7 to 1.3 times as long as kept ones, and held 3 MB, not 80.
_KEPT_ENTRIES = 500_000
_PART_ENTRIES, _PART_ROWS = 1_000_000, 32


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Distinct rows of one batch of draws; sum_i weights_i a_i a_i^T estimates n_draws A^T A / |A|_F^2.

    `trace` is that of the sum; `norms` are given where the rows are to be scaled to unit length, and `kept` is given
    where they are held.
    """

    matrix: CountingMatrix
    rows: IntArray
    weights: FloatArray
    n_draws: int
    trace: float
    norms: Float64Array | None
    kept: FloatArray | sp.csr_array[Any] | None

    @property
    def block(self) -> FloatArray | sp.csr_array[Any]:
        """All rows."""
        return self._read(slice(None)) if self.kept is None else self.kept

    def _read(self, part: slice) -> FloatArray | sp.csr_array[Any]:
        block = self.matrix.rows(self.rows[part])
        return block if self.norms is None else unit_rows(block, self.norms[part])

    def parts(self) -> Iterator[tuple[FloatArray, Any]]:
        """Go through the rows, as (weights, rows)."""
        if self.kept is not None:
            yield self.weights, self.kept
            return
        step = max(_PART_ENTRIES * len(self.rows) // _n_entries(self.matrix, self.rows), _PART_ROWS)
        for start in range(0, len(self.rows), step):
            part = slice(start, start + step)
            yield self.weights[part], self._read(part)

    def energy(self, V: FloatArray) -> float:
        """Return the trace of V^T S V for S = sum_i weights_i a_i a_i^T."""
        return sum(
            float(weights.astype(np.float64) @ (np.asarray(rows @ V, dtype=np.float64) ** 2).sum(axis=1))
            for weights, rows in self.parts()
        )


def draw_batch(A: CountingMatrix, n_draws: int, rng: np.random.Generator) -> RowBatch:
    """Draw rows by squared norm, each distinct one weighted by its number of draws over |a|^2."""
    rows, counts = np.unique(A.sample_rows(n_draws, rng), return_counts=True)
    return make_batch(A, rows, A.row_norms(rows), counts, n_draws)


def make_batch(A: CountingMatrix, rows: IntArray, norms: Float64Array, shares: Any, n_draws: int) -> RowBatch:
    """Return a batch of distinct rows, each weighted by its share over |a|^2."""
    safe = squares_are_safe(norms, A.dtype)
    weights = np.asarray(shares / norms**2 if safe else shares, dtype=A.dtype)
    batch = RowBatch(A, rows, weights, n_draws, float(np.sum(shares)), None if safe else norms, None)
    if _may_be_read_again(A) and _n_entries(A, rows) > _KEPT_ENTRIES:
        return batch
    return replace(batch, kept=batch.block)


def _may_be_read_again(A: CountingMatrix) -> bool:
    base = base_of(A)
    return type(base) in (DenseMatrix, CSRMatrix) and base.is_in_memory


def _n_entries(A: CountingMatrix, rows: IntArray) -> int:
    return max(int(A.row_lengths(rows).sum()), 1)


def n_draws_of(batches: Sequence[RowBatch]) -> int:
    """Return the number of draws of some batches."""
    return sum(batch.n_draws for batch in batches)


def scatter(batches: Sequence[RowBatch], V: FloatArray) -> tuple[FloatArray, Float64Array]:
    """Return S V and V^T S V for S = sum_i weights_i a_i a_i^T over all rows of the batches."""
    image = np.zeros(V.shape, dtype=V.dtype)
    inner = np.zeros((V.shape[1], V.shape[1]))
    for batch in batches:
        for weights, rows in batch.parts():
            Y = rows @ V
            weighted = weights[:, None] * Y
            image += rows.T @ weighted
            inner += Y.T.astype(np.float64) @ weighted.astype(np.float64)
    return image, inner
