"""Rows that stand for the whole matrix in a selection, and the leading directions in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired.access import base_of
from qinspired.algorithms._gather import gather_rows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import CountingMatrix

__all__ = ["Directions", "RowSample", "dense", "leading_directions", "refuse_without_rows", "rounding", "row_sample"]

_OVERSAMPLING = 8

# Products of these sizes can neither overflow nor vanish in the type; others are taken after a scaling by 2^-e.
_PLAIN_NORMS = {"f4": (1e-12, 1e12), "f8": (1e-120, 1e120)}


@dataclass(frozen=True, slots=True)
class RowSample:
    """Rows S of A scaled so that S^T S is, or estimates, a multiple of A^T A.

    A drawn row has the norm sqrt(count). If `whole`, S is all of A times a power of two.
    """

    rows: IntArray
    block: FloatArray | sp.csr_array[Any]
    squares: Float64Array  # of the norms of the rows of the block
    whole: bool

    def columns(self, cols: IntArray) -> Float64Array:
        """Return S[:, cols], dense."""
        return dense(self.block[:, cols])

    def times(self, X: FloatArray) -> Float64Array:
        """Return S X."""
        return dense(self.block @ X.astype(self.block.dtype, copy=False))

    def transposed_times(self, Y: FloatArray) -> Float64Array:
        """Return S^T Y."""
        return dense(self.block.T @ Y.astype(self.block.dtype, copy=False))


@dataclass(frozen=True, slots=True)
class Directions:
    """Leading left and right singular vectors of a sample, (r, q) and (n, q), without those that are rounding."""

    left: Float64Array
    right: Float64Array


def dense(block: Any) -> Float64Array:
    """Return a dense or sparse block as a dense float64 array."""
    return np.asarray(block if isinstance(block, np.ndarray) else block.toarray(), dtype=np.float64)


def rounding(dtype: np.dtype[Any]) -> float:
    """Return the share of a norm below which a part of it is rounding."""
    return 8.0 * float(np.finfo(dtype).eps)


def refuse_without_rows(A: CountingMatrix, name: str) -> None:
    """Raise the error for a matrix whose rows are too long to be read whole."""
    if not getattr(base_of(A), "whole_rows", True):
        raise ValueError(
            f"`A` must have rows that can be read whole for {name}; it is an ImplicitMatrix with rows too long for "
            "that. `low_rank(A, rank, method='fkv')` gives a decomposition from entries of drawn rows and columns."
        )


def row_sample(A: CountingMatrix, n_draws: int, rng: np.random.Generator) -> RowSample:
    """Draw rows by squared norm, or take all in one pass where as many draws would read about half of them."""
    m = A.shape[0]
    if 2 * n_draws < m:
        rows, counts = np.unique(A.sample_rows(n_draws, rng), return_counts=True)
        block, norms = gather_rows(A, rows)
        scales = (np.sqrt(counts) / norms).astype(A.dtype)
        return RowSample(rows, _scaled(block, scales), counts.astype(np.float64), whole=False)
    (_, block), *_ = A.row_blocks(m)
    low, high = _PLAIN_NORMS[A.dtype.str[1:]]
    if not low < A.frobenius_norm < high:
        block = block.copy()
        values = block if isinstance(block, np.ndarray) else block.data
        values[...] = np.ldexp(values, -math.frexp(A.frobenius_norm)[1])
    return RowSample(np.arange(m), block, _squares(block), whole=True)


def _squares(block: FloatArray | sp.csr_array[Any]) -> Float64Array:
    if isinstance(block, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", block, block, dtype=np.float64))
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    squares = block.data.astype(np.float64) ** 2
    return np.asarray(np.bincount(rows, squares, minlength=block.shape[0]), dtype=np.float64)


def _scaled(block: FloatArray | sp.csr_array[Any], scales: FloatArray) -> FloatArray | sp.csr_array[Any]:
    if isinstance(block, np.ndarray):
        block *= scales[:, None]
        return block
    return sp.csr_array(sp.diags_array(scales) @ block)


def leading_directions(sample: RowSample, count: int, rng: np.random.Generator) -> Directions:
    """Return the leading singular vectors of the sample from its range under a Gaussian sketch.

    A Gram matrix would square the singular values and lose those below some 1 % in float32. One more multiplication by
    S and S^T changed the error of the selected columns by 5 % at most, up or down, on eight families of spectra.
    """
    r, n = sample.block.shape
    width = min(count + _OVERSAMPLING, r, n)
    if 2 * width >= min(r, n):
        U, values, Vt = np.linalg.svd(dense(sample.block), full_matrices=False)
    else:
        images = sample.times(rng.standard_normal((n, width)))
        basis = np.linalg.qr(images)[0]
        V, values, turn = np.linalg.svd(sample.transposed_times(basis), full_matrices=False)
        U, Vt = basis @ turn.T, V.T
    floor = rounding(sample.block.dtype) * math.sqrt(float(values @ values))
    kept = min(count, int(np.count_nonzero(values > floor)))
    return Directions(U[:, :kept], np.ascontiguousarray(Vt[:kept].T))
