"""Gradients of least squares, each by one pass over the rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from qinspired.algorithms.regression._exact_solution import block_rows
from qinspired.kernels import dense_gradient

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["GradientPasses", "inverse_norm", "solve_transposed"]

_EPS = float(np.finfo(np.float64).eps)


class GradientPasses:
    """The system with A over a scale, its Frobenius norm or an estimate of it."""

    def __init__(self, A: CountingMatrix, b: Float64Array, ridge: float, scale: float) -> None:
        self._A, self._b, self._zeros, self._scale = A, b, np.zeros(len(b)), scale
        self.penalty = (math.sqrt(ridge) / scale) ** 2

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
        for start, block in self._A.row_blocks(block_rows(self._A)):
            part = _block_gradient(block, scaled, b[start : start + block.shape[0]])
            gradient += part[0] / self._scale
            misfit += part[1]
            fitted += part[2]
        return gradient - self.penalty * x, misfit, fitted


def _block_gradient(block: Any, x: Float64Array, b: Float64Array) -> tuple[Float64Array, float, float]:
    if isinstance(block, np.ndarray):
        return dense_gradient(np.ascontiguousarray(block), x, b)
    image = block @ x
    residual = b - image
    return block.T @ residual, float(residual @ residual), float(image @ image)


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
