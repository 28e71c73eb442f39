"""Drawn rows of a matrix, in batches, each standing for A^T A as a weighted sum of outer products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import CountingMatrix

__all__ = ["RowBatch", "draw_batch", "gather_rows", "n_draws_of", "scatter"]

# Rows are used as they are, with weights 1 / |a|^2, unless the squares of their entries leave what the type holds.
_PLAIN_NORMS = {"f4": (1e-12, 1e12), "f8": (1e-120, 1e120)}


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Distinct rows of one batch of draws; sum_i weights_i a_i a_i^T estimates n_draws A^T A / |A|_F^2."""

    rows: IntArray
    block: FloatArray | sp.csr_array[Any]
    weights: FloatArray
    n_draws: int

    def times(self, V: FloatArray) -> FloatArray:
        """Return block V."""
        product: FloatArray = self.block @ V
        return product

    def transposed_times(self, Y: FloatArray) -> FloatArray:
        """Return block^T Y."""
        product: FloatArray = self.block.T @ Y
        return product


def draw_batch(A: CountingMatrix, n_draws: int, rng: np.random.Generator) -> RowBatch:
    """Draw rows by squared norm; each distinct one is gathered once, weighted by its number of draws over |a|^2."""
    rows, counts = np.unique(A.sample_rows(n_draws, rng), return_counts=True)
    block, norms = gather_rows(A, rows)
    return RowBatch(rows, block, (counts / norms**2).astype(A.dtype), n_draws)


def gather_rows(A: CountingMatrix, rows: IntArray) -> tuple[FloatArray | sp.csr_array[Any], Float64Array]:
    """Return whole rows and their norms; as unit rows, with norms 1, where their squares could leave the type."""
    block, norms = A.rows(rows), A.row_norms(rows)
    low, high = _PLAIN_NORMS[A.dtype.str[1:]]
    if len(rows) and (float(norms.min()) < low or float(norms.max()) > high):
        return unit_rows(block, norms), np.ones_like(norms)
    return block, norms


def unit_rows(block: FloatArray | sp.csr_array[Any], norms: Float64Array) -> FloatArray | sp.csr_array[Any]:
    """Divide each row by its norm, in two steps so that neither 1 / norm nor the product leaves the range."""
    exponents = np.frexp(norms)[1]
    mantissas = np.ldexp(norms, -exponents)
    if isinstance(block, np.ndarray):
        return np.ldexp(block, -exponents[:, None]) / mantissas[:, None].astype(block.dtype)
    scaled = block.copy()
    per_entry = np.repeat(np.arange(len(norms)), np.diff(block.indptr))
    scaled.data = np.ldexp(scaled.data, -exponents[per_entry]) / mantissas[per_entry].astype(block.dtype)
    return scaled


def n_draws_of(batches: Sequence[RowBatch]) -> int:
    """Return the number of draws of some batches."""
    return sum(batch.n_draws for batch in batches)


def scatter(batches: Sequence[RowBatch], V: FloatArray) -> tuple[FloatArray, Float64Array]:
    """Return S V and V^T S V for S = sum_i weights_i a_i a_i^T over all rows of the batches."""
    image = np.zeros(V.shape, dtype=V.dtype)
    inner = np.zeros((V.shape[1], V.shape[1]))
    for batch in batches:
        Y = batch.times(V)
        weighted = batch.weights[:, None] * Y
        image += batch.transposed_times(weighted)
        inner += Y.T.astype(np.float64) @ weighted.astype(np.float64)
    return image, inner
