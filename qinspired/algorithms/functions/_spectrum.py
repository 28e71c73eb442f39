"""Eigenpairs of weighted sums of outer products of unit rows, and what an answer is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired.algorithms._gather import gather_rows
from qinspired.algorithms.functions._result import DenseBasis, RowBasis

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms._results import ErrorEstimate
    from qinspired.algorithms.functions._scalar_functions import Increments

__all__ = ["Answer", "Spectrum", "blur", "dense", "eigenpairs", "rounding_error", "unit_rows"]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Answer:
    rows: IntArray
    weights: Float64Array
    eigenvalues: Float64Array
    increments: Float64Array
    error: ErrorEstimate
    method: str
    status: str
    basis: DenseBasis | RowBasis


def unit_rows(A: CountingMatrix, rows: IntArray) -> Any:
    block, norms = gather_rows(A, rows)
    if isinstance(block, np.ndarray):
        return block.astype(np.float64) / norms[:, None]
    unit = block.astype(np.float64)
    unit.data /= np.repeat(norms, np.diff(unit.indptr))
    return unit


def dense(product: Any) -> Float64Array:
    return np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)


def eigenpairs(matrix: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the eigenvalues above rounding, descending, and their vectors."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > max(float(values[-1]), 0.0) * blur(len(matrix))
    return values[kept][::-1], vectors[:, kept][:, ::-1]


def blur(size: int) -> float:
    """Return the rounding error of the eigenvalues of a matrix of this size, relative to the largest."""
    return 4.0 * math.sqrt(size) * _EPS


def _weighted_moment(block: Any, weights: Float64Array) -> Float64Array:
    if isinstance(block, np.ndarray):
        return (block.T * weights) @ block
    return dense(block.T @ (sp.diags_array(weights) @ block))


class Spectrum:
    """Eigenpairs of the weighted sum of the outer products of unit rows, from the smaller of its two Gram matrices.

    `core(weights, increments)` is the matrix of increments of f for other weights of the same rows, in a frame of the
    smaller dimension: that of the eigenvectors, or of all n coordinates.
    """

    def __init__(self, block: Any, weights: Float64Array) -> None:
        self._block, self._is_wide = block, block.shape[0] < block.shape[1]
        self.basis: DenseBasis | RowBasis
        if self._is_wide:
            self._gram = dense(block @ block.T)
            roots = np.sqrt(weights)
            self.shares, left = eigenpairs(self._gram * np.outer(roots, roots))
            mixing = roots[:, None] * left / np.sqrt(self.shares)
            self.basis = RowBasis(block, mixing)
            self._coordinates = self._gram @ mixing
        else:
            self.shares, vectors = eigenpairs(_weighted_moment(block, weights))
            self.basis = DenseBasis(np.ascontiguousarray(vectors.T))

    def coordinates(self, rows: IntArray) -> Float64Array:
        """Return the coordinates of some of the unit rows in the eigenvectors, shape (len(rows), p)."""
        return self._coordinates[rows] if self._is_wide else self.basis.coordinates(self._block[rows].T).T

    def own_core(self, increments: Float64Array) -> Float64Array:
        """Return the matrix of the given increments at the own eigenvectors."""
        if self._is_wide:
            return np.diag(increments)
        vectors = self.basis.at(np.arange(self._block.shape[1]))
        return (vectors.T * increments) @ vectors

    def core(self, weights: Float64Array, increments: Increments) -> Float64Array:
        """Return the matrix of increments at the eigenvalues and eigenvectors that other weights give."""
        used = np.flatnonzero(weights)
        if not self._is_wide:
            shares, vectors = eigenpairs(_weighted_moment(self._block[used], weights[used]))
        elif len(used) < self._coordinates.shape[1]:
            roots = np.sqrt(weights[used])
            shares, left = eigenpairs(self._gram[np.ix_(used, used)] * np.outer(roots, roots))
            vectors = self._coordinates[used].T @ (roots[:, None] * left / np.sqrt(shares))
        else:
            shares, vectors = eigenpairs(_weighted_moment(self._coordinates[used], weights[used]))
        return (vectors * increments(shares)) @ vectors.T


def rounding_error(shares: Float64Array, blurs: Any, least: float, dropped: int, scaled: Increments) -> float:
    """Return what errors `blurs` of the eigenvalues, and `least` of the dropped ones, do to the answer, relatively."""
    spread = scaled(shares + blurs) - scaled(np.maximum(shares - blurs, 0.0))
    lost = float(scaled(np.array([least]))[0]) * math.sqrt(dropped)
    moved = math.hypot(float(np.linalg.norm(spread)), lost)
    size = float(np.linalg.norm(scaled(shares)))
    if size == 0.0:
        return 0.0 if moved == 0.0 else math.inf
    return moved / size
