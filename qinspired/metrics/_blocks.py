"""Products and norms of a matrix in float64, block of rows by block of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qinspired._typing import Float64Array, FloatArray

__all__ = ["dense_blocks", "multiply", "power_scale", "row_slices"]

# Entries of one dense block: 16 MB of float64.
_BLOCK_ENTRIES = 2_000_000


def row_slices(n_rows: int, n_cols: int) -> Iterator[slice]:
    """Yield slices of rows whose dense blocks stay small."""
    step = max(1, _BLOCK_ENTRIES // n_cols)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def dense_blocks(A: FloatArray | sp.csr_array[Any]) -> Iterator[Float64Array]:
    """Yield the rows of A as dense float64 blocks of bounded size."""
    for rows in row_slices(*A.shape):
        block = A[rows]
        yield np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)


def multiply(A: FloatArray | sp.csr_array[Any], X: Float64Array) -> Float64Array:
    """Return A X in float64 without a float64 copy of A."""
    if sp.issparse(A):
        matrix = A if A.dtype == np.float64 else A.astype(np.float64)
        return np.asarray(matrix @ X)
    if A.dtype == np.float64:
        return np.asarray(A @ X)
    return np.concatenate([np.asarray(A[rows], dtype=np.float64) @ X for rows in row_slices(*A.shape)])


def power_scale(A: FloatArray | sp.csr_array[Any]) -> float:
    """Return a power of two to divide by where squares would overflow or underflow, else 1; 0 for A = 0."""
    entries = A.data if sp.issparse(A) else A
    if entries.size == 0:
        return 0.0
    largest = max(float(entries.max()), -float(entries.min()))
    if largest == 0.0:
        return 0.0
    if 1e-140 < largest < 1e140:
        return 1.0
    return float(np.ldexp(1.0, int(np.frexp(largest)[1])))
