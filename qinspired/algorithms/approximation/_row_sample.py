"""Drawn rows of a matrix, in batches, each standing for A^T A as a weighted sum of outer products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.access import CSRMatrix, DenseMatrix, base_of
from qinspired.algorithms._gather import squares_are_safe, unit_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import CountingMatrix

__all__ = ["RowBatch", "draw_batch", "make_batch", "n_draws_of", "row_parts", "scatter"]

# Rows in memory are gathered again for each product, as many at a time as the caches hold, if together they have more
# entries than one such part.
_PART_ENTRIES, _PART_ROWS = 400_000, 32


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Distinct rows of one batch of draws; sum_i weights_i a_i a_i^T estimates n_draws A^T A / |A|_F^2.

    `shares` are the traces of its terms; `norms` are given where the rows are to be scaled to unit length, and `kept`
    is given where they are held.
    """

    matrix: CountingMatrix
    rows: IntArray
    weights: FloatArray
    n_draws: int
    shares: Float64Array
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
        for part in row_parts(self.matrix, self.rows):
            yield self.weights[part], self._read(part)

    def every(self, step: int) -> RowBatch:
        """Return the batch with one of so many rows; `n_draws` stays as it is."""
        part = slice(None, None, step)
        return replace(
            self,
            rows=self.rows[part],
            weights=self.weights[part],
            shares=self.shares[part],
            norms=None if self.norms is None else self.norms[part],
            kept=None if self.kept is None else self.kept[part],
        )

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
    batch = RowBatch(A, rows, weights, n_draws, np.asarray(shares, dtype=np.float64), None if safe else norms, None)
    if _may_be_read_again(A) and _n_entries(A, rows) > _PART_ENTRIES:
        return batch
    return replace(batch, kept=batch.block)


def _may_be_read_again(A: CountingMatrix) -> bool:
    base = base_of(A)
    return type(base) in (DenseMatrix, CSRMatrix) and base.is_in_memory


def row_parts(A: CountingMatrix, rows: IntArray) -> Iterator[slice]:
    """Go through rows in parts to be read one at a time."""
    step = max(_PART_ENTRIES * len(rows) // _n_entries(A, rows), _PART_ROWS)
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


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
            del rows  # or the next part would be read beside it
    return image, inner
