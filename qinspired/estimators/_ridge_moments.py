"""Sufficient statistics of a ridge regression: they add up over blocks of rows, and serve every penalty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired.algorithms import ErrorEstimate
from qinspired.algorithms.regression._normal_equations import PRIMAL_COLUMNS, SymmetricSolver, moment
from qinspired.estimators._centred_rows import as_dense
from qinspired.estimators._ridge_fit import RidgeFit

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["PRIMAL_COLUMNS", "RidgeMoments"]

# Rows are taken this many entries at a time: 32 MB of float64.
_PART_ENTRIES = 4_000_000

# A sparse column whose mean is above this many of its deviations is centred before it is squared, as is every dense
# one: G - W mean mean^T would lose the digits of (mean / deviation)^2, here 4 of 16.
_DOMINANT_MEAN = 100.0

# Where a sum of squares is below this, its smaller terms may have underflown.
_LEAST_SQUARES = 1e-290

# Where less of a second moment is left than this share, it is formed anew: the normal equations multiply what is lost
# by their condition number, up to 1e10.
_LEAST_LEFT = 0.1

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class RidgeMoments:
    """Weight and means of some rows (x, y), and their second moments about these means, in float64.

    Attributes
    ----------
    weight : float
        Sum of the sample weights, or the number of rows.
    x_mean, y_mean : ndarray, shapes (n,) and (t,)
    gram : ndarray, shape (n, n)
        Sum of s (x - x_mean)^T (x - x_mean).
    cross : ndarray, shape (n, t)
        Sum of s (x - x_mean)^T (y - y_mean).
    squares : ndarray, shape (t,)
        Sum of s (y - y_mean)^2.
    x_range, y_range : ndarray, shapes (2, n) and (2, t)
        The least and the largest entry of each column; of rows that `minus` has removed too.
    """

    weight: float
    x_mean: Float64Array
    y_mean: Float64Array
    gram: Float64Array
    cross: Float64Array
    squares: Float64Array
    x_range: Float64Array
    y_range: Float64Array

    @classmethod
    def of(cls, X: Any, targets: Float64Array, weights: Float64Array | None = None) -> RidgeMoments:
        """Return those of the rows of an array or CSR matrix, by one pass; `weights` >= 0 may all be 0."""
        n, n_targets = X.shape[1], targets.shape[1]
        found = cls(
            0.0,
            np.zeros(n),
            np.zeros(n_targets),
            np.zeros((n, n)),
            np.zeros((n, n_targets)),
            np.zeros(n_targets),
            np.zeros((2, n)),
            np.zeros((2, n_targets)),
        )
        step = max(1, _PART_ENTRIES // n)
        for start in range(0, X.shape[0], step):
            part = slice(start, start + step)
            shares = np.ones(len(targets[part])) if weights is None else weights[part]
            if shares.any():
                found = found.plus(_of_part(X[part], targets[part], shares))
        return found

    def plus(self, other: RidgeMoments) -> RidgeMoments:
        """Return the moments of both groups of rows together."""
        if self.weight == 0.0:
            return other
        if other.weight == 0.0:
            return self
        return self._joined(other, other.weight)

    def minus(self, part: RidgeMoments) -> RidgeMoments | None:
        """Return the moments of the rows without some of them; None where too many digits would be lost."""
        if part.weight == 0.0:
            return self
        left = self.weight - part.weight
        if left < 1e-3 * self.weight:
            return None
        # Removing rows is adding them with a negative weight.
        rest = self._joined(part, -part.weight)
        diagonal = np.diag(self.gram)
        lost = np.diag(rest.gram) < _LEAST_LEFT * diagonal
        return None if (lost & (diagonal > 0.0)).any() or (rest.squares < _LEAST_LEFT * self.squares).any() else rest

    def _joined(self, other: RidgeMoments, weight: float) -> RidgeMoments:
        sign = math.copysign(1.0, weight)
        total = self.weight + weight
        x_gap, y_gap = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        between = self.weight * (weight / total)
        with np.errstate(over="ignore", invalid="ignore"):  # `is_finite` tells
            return RidgeMoments(
                total,
                self.x_mean + (weight / total) * x_gap,
                self.y_mean + (weight / total) * y_gap,
                self.gram + sign * other.gram + between * np.outer(x_gap, x_gap),
                self.cross + sign * other.cross + between * np.outer(x_gap, y_gap),
                self.squares + sign * other.squares + between * y_gap**2,
                _joined_range(self.x_range, other.x_range),
                _joined_range(self.y_range, other.y_range),
            )

    @property
    def is_finite(self) -> bool:
        """Whether no square has overflown."""
        return all(bool(np.isfinite(values).all()) for values in (self.gram, self.cross, self.squares))

    def underflows(self, *, fit_intercept: bool) -> bool:
        """Say whether the squares of an X or y that is not zero, less its mean, are so small that digits are lost."""
        of_x, of_y = np.diag(self.gram), self.squares
        if fit_intercept:
            x_varies, y_varies = self.x_range[0] < self.x_range[1], self.y_range[0] < self.y_range[1]
        else:
            x_varies, y_varies = self.x_range.any(axis=0), self.y_range.any(axis=0)
            of_x, of_y = of_x + self.weight * self.x_mean**2, of_y + self.weight * self.y_mean**2
        small = bool(x_varies.any()) and float(of_x.max()) <= _LEAST_SQUARES
        return small or bool((y_varies & (of_y <= _LEAST_SQUARES)).any())

    def solve(self, alpha: float, *, fit_intercept: bool) -> tuple[RidgeFit, float]:
        """Return the exact fit, with its rounding as its error, and the condition number, infinite where singular.

        An error of normal equations is about eps sqrt(condition) n |y| / |X w|. Where the system is singular to
        rounding, directions that carry less than that are left out.
        """
        gram, cross, squares = self.gram, self.cross, self.squares
        if not fit_intercept:
            gram = gram + self.weight * np.outer(self.x_mean, self.x_mean)
            cross = cross + self.weight * np.outer(self.x_mean, self.y_mean)
            squares = squares + self.weight * self.y_mean**2
        n = len(gram)
        if not gram.any():
            solution, condition, rounding, length, unit = np.zeros_like(cross), 1.0, 0.0, 0.0, np.ones(n)
        else:
            matrix, unit = gram + alpha * np.eye(n), np.ones(n)
            solver = SymmetricSolver(matrix)
            if solver.singular:  # perhaps only because the features have different units
                unit = np.exp2(-np.round(np.log2(np.sqrt(np.where(np.diag(matrix) > 0.0, np.diag(matrix), 1.0)))))
                even = SymmetricSolver(matrix * unit * unit[:, None])
                solver, unit = (solver, np.ones(n)) if even.singular else (even, unit)
            solution = unit[:, None] * solver.solve(unit[:, None] * cross)
            condition = math.inf if solver.singular or (unit != 1.0).any() else solver.condition
            rounding = _EPS * math.sqrt(solver.condition) * n
            length = math.sqrt(float(np.diag(gram) @ unit**2))
        errors, residuals = [], []
        for x, rhs, square in zip(solution.T, cross.T, squares, strict=True):
            fitted_sq = max(float(x @ gram @ x), 0.0)
            left = max(float(square) - 2.0 * float(x @ rhs) + fitted_sq, 0.0)
            residual = math.sqrt(left / square) if square > 0.0 else 0.0
            # X^T X and X^T y are rounded to eps |X|^2 and eps |X| |y|, which the inverse multiplies by kappa / |X|.
            sizes = math.sqrt(square) + length * float(np.linalg.norm(x / unit))
            error = rounding * sizes / math.sqrt(fitted_sq) if fitted_sq > 0.0 else 0.0
            errors.append(ErrorEstimate(error, 0.0, error, 1.0))
            residuals.append(ErrorEstimate(residual, residual, residual, 1.0))
        coef = np.ascontiguousarray(solution.T)
        intercept = self.y_mean - coef @ self.x_mean if fit_intercept else np.zeros(len(coef))
        return RidgeFit(coef, intercept, tuple(errors), tuple(residuals), (None,) * len(coef)), condition


def _of_part(X: Any, targets: Float64Array, weights: Float64Array) -> RidgeMoments:
    weight = float(weights.sum())
    is_sparse: bool = sp.issparse(X)
    wide = X.astype(np.float64)
    x_mean = np.asarray(wide.T @ weights, dtype=np.float64) / weight
    y_mean = weights @ targets / weight
    rest = targets - y_mean
    with np.errstate(over="ignore", invalid="ignore"):
        weighted = rest * weights[:, None]
        squares = np.asarray((weighted * rest).sum(axis=0))
        if is_sparse:
            gram, cross = _sparse_moments(sp.csr_array(wide), x_mean, weighted, weights)
        else:
            wide -= x_mean
            cross = wide.T @ weighted
            wide *= np.sqrt(weights)[:, None]
            gram = moment(wide)
    counted = weights > 0.0
    x_range, y_range = _range(X[counted]), _range(targets[counted])
    return RidgeMoments(weight, x_mean, y_mean, gram, cross, squares, x_range, y_range)


def _range(X: Any) -> Float64Array:
    is_sparse: bool = sp.issparse(X)
    ends = [X.min(axis=0), X.max(axis=0)]
    return np.array([end.toarray().ravel() if is_sparse else end for end in ends], dtype=np.float64)


def _joined_range(one: Float64Array, two: Float64Array) -> Float64Array:
    return np.array([np.minimum(one[0], two[0]), np.maximum(one[1], two[1])])


def _sparse_moments(
    X: sp.csr_array[Any], x_mean: Float64Array, weighted: Float64Array, weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return both moments about the mean, without centring but the columns that their means dominate."""
    weight = float(weights.sum())
    scaled = X.copy()
    scaled.data *= np.repeat(np.sqrt(weights), np.diff(X.indptr))
    gram = moment(scaled)
    gram -= weight * np.outer(x_mean, x_mean)
    cross = np.asarray(X.T @ weighted) - np.outer(x_mean, weighted.sum(axis=0))
    far = np.flatnonzero(np.diag(gram) * _DOMINANT_MEAN**2 < weight * x_mean**2)
    if len(far):
        centred = as_dense(X[:, far]) - x_mean[far]
        pulled = centred * weights[:, None]
        among = np.asarray(X.T @ pulled) - np.outer(x_mean, pulled.sum(axis=0))
        among[far] = centred.T @ pulled
        gram[:, far], gram[far] = among, among.T
        cross[far] = centred.T @ weighted
    return gram, cross
