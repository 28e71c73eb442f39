"""Low-rank approximation by a full decomposition: the last resort."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.approximation._found import Found

if TYPE_CHECKING:
    from qinspired._typing import FloatArray
    from qinspired.access import CountingMatrix

__all__ = ["exact_low_rank", "uses_arpack"]

# A sparse matrix of up to this many cells may be solved as a dense one by LAPACK, in a time that no rank changes.
_DENSE_CELLS = 20_000_000

# Ranks up to this share of min(m, n) go to ARPACK: 610 x 9,724 with 100,836 entries took 0.02 s at rank 10, LAPACK 0.9.
_ARPACK_SHARE = 0.1

# ARPACK works with A^T A: singular values below this share of the largest lose their digits.
_ARPACK_RANGE = 1e-5


def exact_low_rank(A: CountingMatrix, rank: int) -> Found:
    """Return what LAPACK's SVD finds, or ARPACK's for a sparse A of a rank well below its sides."""
    norm = A.frobenius_norm
    root = math.sqrt(norm)  # in the range of float32, which the norm of a float32 matrix may leave
    (_, block), *_ = A.row_blocks(A.shape[0])
    found = _by_arpack(block / root / root, rank) if sp.issparse(block) else None
    if found is not None:
        values, components = found
        rest = max(0.0, 1.0 - float(values.astype(np.float64) @ values.astype(np.float64)))
    else:
        dense = block.toarray() if sp.issparse(block) else block
        scaled = dense / root
        scaled /= root
        _, values, components = scipy.linalg.svd(scaled, full_matrices=False, check_finite=False, overwrite_a=True)
        left_out = values[rank:].astype(np.float64)
        rest = float(left_out @ left_out)  # 1 less the others would be rounding where the error is small
        values, components = values[:rank], components[:rank]
    error = float(np.sqrt(rest))
    return Found(
        np.ascontiguousarray(components, dtype=A.dtype),
        values.astype(np.float64) * norm,
        ErrorEstimate(error, error, error, 1.0),
        ErrorEstimate(0.0, 0.0, 0.0, 1.0),
        "the exact solver was used",
    )


def uses_arpack(shape: tuple[int, int], rank: int) -> bool:
    """Say whether a sparse matrix of this shape goes to ARPACK."""
    m, n = shape
    return rank < min(m, n) and (m * n > _DENSE_CELLS or rank <= _ARPACK_SHARE * min(m, n))


def _by_arpack(A: Any, rank: int) -> tuple[FloatArray, FloatArray] | None:
    """Return singular values and vectors, or nothing where LAPACK is to be taken."""
    m, n = A.shape
    if not uses_arpack((m, n), rank):
        return None
    is_large = m * n > _DENSE_CELLS
    start = np.random.default_rng(0).standard_normal(min(m, n))  # ARPACK's own start is unseeded
    try:
        _, values, components = scipy.sparse.linalg.svds(A, k=rank, v0=start)
    except scipy.sparse.linalg.ArpackError:
        if is_large:
            raise
        return None
    if not is_large and not float(values.min()) > _ARPACK_RANGE * float(values.max()):
        return None
    return values[::-1], components[::-1]
