"""Rows and columns drawn by squared norm, scaled as the published algorithms scale them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from qinspired.access import base_of
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import SampleQueryMatrix

__all__ = [
    "SampledBlock",
    "check_mass",
    "check_whole_rows",
    "left_pairs",
    "sampled_block",
    "scaled_blocks",
    "scaled_columns_triangle",
    "small_svd",
    "stacked_triangle",
    "triangle_of",
    "unit_rows",
]

# Entries of a block of rows that a pass holds as float64: 32 MB.
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True)
class SampledBlock:
    """The scaled r x c matrix W where drawn rows and columns meet, in units of |A|_F, and what it was scaled by.

    W[s, t] = A[rows[s], cols[t]] / (norms[s] sqrt(r c law[t])), law[t] the probability of the drawn column.
    """

    rows: IntArray
    cols: IntArray
    norms: Float64Array
    law: Float64Array
    W: Float64Array


def check_mass(A: SampleQueryMatrix) -> None:
    """Refuse a zero matrix."""
    if A.frobenius_norm == 0.0:
        raise ZeroMassError("`A` must have a non-zero entry: no row of a zero matrix can be drawn.")


def check_whole_rows(A: SampleQueryMatrix, remedy: str = "use `fkv`, which reads single entries") -> None:
    """Refuse an implicit matrix whose rows are too long to be read."""
    if not getattr(base_of(A), "whole_rows", True):
        raise ValueError(f"`A` must have rows that can be read whole, which its `entry_bound` rules out; {remedy}.")


def sampled_block(A: SampleQueryMatrix, n_rows: int, n_cols: int, generator: np.random.Generator) -> SampledBlock:
    """Draw rows by squared norm, then columns by squared column norm of the scaled rows."""
    check_mass(A)
    rows = A.sample_rows(n_rows, generator)
    # All scaled rows have the same norm: a column of a row chosen uniformly follows the column norms.
    cols = A.sample_cols(rows[generator.integers(n_rows, size=n_cols)], generator)
    norms = A.row_norms(rows)
    # Every row of R has norm |A|_F / sqrt(r): it is a unit row times that, and no square of an entry is
    # formed.
    units = A.query(rows[:, None], cols[None, :]).astype(np.float64) / norms[:, None]
    law = (units**2).mean(axis=0)
    return SampledBlock(rows, cols, norms, law, units / np.sqrt(n_rows * n_cols * law))


def small_svd(W: Float64Array, dtype: np.dtype[Any]) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the singular triplets of a matrix of entries of type `dtype`, without those that are its rounding."""
    # LAPACK's divide and conquer now and then fails on a matrix of low numerical rank; QR iteration does not.
    try:
        U, s, Zt = np.linalg.svd(W, full_matrices=False)
    except np.linalg.LinAlgError:
        U, s, Zt = scipy.linalg.svd(W, full_matrices=False, lapack_driver="gesvd")
    kept = s > s[0] * max(W.shape) * np.finfo(dtype).eps
    return U[:, kept], s[kept], Zt[kept]


def left_pairs(W: Float64Array, dtype: np.dtype[Any]) -> tuple[Float64Array, Float64Array]:
    """Return the left singular vectors and the singular values, without those that are rounding."""
    # Of a wide matrix those of the triangle in W^T = Q T: for 450 x 4,500, a quarter of the time.
    U, s, _ = small_svd(triangle_of(W.T).T if W.shape[1] > W.shape[0] else W, dtype)
    return U, s


def unit_rows(A: SampleQueryMatrix, rows: IntArray) -> tuple[Float64Array, Float64Array]:
    """Return rows of A over their norms as a dense array, of a sparse A without columns that are zero, and norms."""
    block, norms = A.rows(rows), A.row_norms(rows)
    if sp.issparse(block):
        # Column indices are renumbered here: scipy's choice of columns takes memory for all n.
        used, place = np.unique(block.indices, return_inverse=True)
        block = sp.csr_array((block.data, place, block.indptr), shape=(len(rows), len(used))).toarray()
    return block.astype(np.float64) / norms[:, None], norms


def scaled_blocks(A: SampleQueryMatrix) -> Iterator[tuple[int, Float64Array]]:
    """Go through A / |A|_F once, as (first row, dense block): squares neither overflow nor underflow together."""
    for start, block in A.row_blocks(max(1, _BLOCK_ENTRIES // A.shape[1])):
        dense = block.toarray() if sp.issparse(block) else block
        yield start, dense.astype(np.float64) / A.frobenius_norm


def triangle_of(X: Float64Array) -> Float64Array:
    """Return the triangle of a QR factorisation."""
    return np.asarray(np.linalg.qr(X, mode="r"))


def stacked_triangle(triangle: Float64Array, block: Float64Array) -> Float64Array:
    """Return the triangle of a QR factorisation of two matrices, one above the other."""
    return triangle_of(np.vstack([triangle, block]))


def scaled_columns_triangle(A: SampleQueryMatrix, cols: IntArray) -> Float64Array:
    """Return the triangle of a QR factorisation of columns of A / |A|_F, read in blocks of rows."""
    triangle = np.zeros((0, len(cols)))
    step = max(1, _BLOCK_ENTRIES // len(cols))
    for start in range(0, A.shape[0], step):
        rows = np.arange(start, min(start + step, A.shape[0]))
        block = A.query(rows[:, None], cols[None, :]).astype(np.float64) / A.frobenius_norm
        triangle = stacked_triangle(triangle, block)
    return triangle
