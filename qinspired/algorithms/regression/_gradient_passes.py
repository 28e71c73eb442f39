"""Gradients of least squares, each by one pass over the rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from qinspired.algorithms.regression._exact_solution import block_rows
from qinspired.kernels import csr_first_gradient, csr_gradient, dense_gradient

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["GradientPasses", "first_pass", "inverse_norm", "solve_transposed"]

_EPS = float(np.finfo(np.float64).eps)

# Blocks of sparse rows are views: as large as a kernel that can be interrupted soon allows.
_SPARSE_BLOCK_ENTRIES = 16_000_000

# Sums of squares in between have lost nothing to overflow or underflow.
_SAFE_SQUARES = 1e-200, 1e200


class GradientPasses:
    """The system with A over a scale, its Frobenius norm or an estimate of it."""

    def __init__(self, A: CountingMatrix, b: Float64Array, ridge: float, scale: float) -> None:
        self._A, self._b, self._zeros, self._scale = A, b, np.zeros(len(b)), scale
        self.penalty = (math.sqrt(ridge) / scale) ** 2
        self.n_columns = A.shape[1]

    def gradient(self, x: Float64Array) -> tuple[Float64Array, float, float]:
        """Return A^T r - penalty x for r = b - A x, |r|^2 and |A x|^2."""
        return self._pass(x, self._b)

    def product(self, p: Float64Array) -> tuple[Float64Array, float]:
        """Return (A^T A + penalty I) p and its product with p."""
        gradient, squares, _ = self._pass(p, self._zeros)
        return -gradient, squares + self.penalty * float(p @ p)

    def _pass(self, x: Float64Array, b: Float64Array) -> tuple[Float64Array, float, float]:
        scaled = x / self._scale
        gradient, misfit, fitted = np.zeros(len(x)), 0.0, 0.0
        rows = _sparse_block_rows(self._A) if self._A.is_sparse else block_rows(self._A)
        for start, block in self._A.row_blocks(rows):
            part = _block_gradient(block, scaled, b[start : start + block.shape[0]])
            gradient += part[0] / self._scale
            misfit += part[1]
            fitted += part[2]
        return gradient - self.penalty * x, misfit, fitted


def _block_gradient(block: Any, x: Float64Array, b: Float64Array) -> tuple[Float64Array, float, float]:
    if isinstance(block, np.ndarray):
        return dense_gradient(np.ascontiguousarray(block), x, b)
    return csr_gradient(block.data, block.indices, block.indptr, x, b)


def first_pass(A: CountingMatrix, b: Float64Array) -> tuple[Float64Array, Float64Array] | None:
    """Return A^T b and the squared column norms of a sparse matrix that may have no index yet.

    Nothing if an index is out of range, an entry is not finite, or squares may be: the index pass will tell.
    """
    n = A.shape[1]
    gradient, squares = np.zeros(n), np.zeros(n)
    block: Any
    for start, block in A.row_blocks(_sparse_block_rows(A)):
        part = csr_first_gradient(block.data, block.indices, block.indptr, b[start : start + block.shape[0]], n)
        if part is None:
            return None
        gradient += part[0]
        squares += part[1]
    safe = np.isfinite(gradient).all() and _SAFE_SQUARES[0] < float(squares.sum()) < _SAFE_SQUARES[1]
    return (gradient, squares) if safe else None


def _sparse_block_rows(A: CountingMatrix) -> int:
    return max(1, _SPARSE_BLOCK_ENTRIES * A.shape[0] // max(1, A.n_stored))


def solve_transposed(R: Float64Array, y: Float64Array) -> Float64Array:
    """Return R^-T y for an upper triangle R."""
    return np.asarray(scipy.linalg.blas.dtrsv(R, y, trans=1))


def inverse_norm(R: Float64Array) -> float:
    """Estimate |R^-1|_2 of a triangular matrix of norm about 1 by power iterations; infinite if R is singular."""
    sizes = np.abs(np.diag(R))
    if not sizes.min() > _EPS * _EPS * sizes.max():
        return math.inf
    R = np.asfortranarray(R)
    vector = 1.0 / np.sqrt(np.arange(1.0, len(R) + 1.0))  # of no symmetry
    value = 0.0
    for _ in range(8):
        vector = scipy.linalg.blas.dtrsv(R, solve_transposed(R, vector / np.linalg.norm(vector)))
        value = max(value, math.sqrt(float(np.linalg.norm(vector))))
    return value
