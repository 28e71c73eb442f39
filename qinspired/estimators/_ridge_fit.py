"""What the ridge estimators share: the fit of several targets through one index, and the linear model that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from qinspired._validation import check_vector
from qinspired.access import as_sq_matrix
from qinspired.algorithms import ErrorEstimate, least_squares
from qinspired.algorithms.regression._least_squares import METHODS
from qinspired.estimators._centring import ridge_problem
from qinspired.estimators._checked import SharesResult, validated

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.algorithms import LeastSquaresSolution
    from qinspired.estimators._centring import RidgeProblem

__all__ = ["IndexedRidge", "RidgeFit", "RidgeModel", "check_method", "check_weights", "narrowed"]

# The share of the tolerance that the shrunk mean of a sparse X with an intercept may take; see `_intercept_scale`.
_SHRUNK_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """Weights and intercepts in float64, of shapes (t, n) and (t,), and for each target its errors and its solution."""

    coef: Float64Array
    intercept: Float64Array
    errors: tuple[ErrorEstimate, ...]
    residuals: tuple[ErrorEstimate, ...]
    solutions: tuple[LeastSquaresSolution | None, ...]


class IndexedRidge:
    """A ridge problem without its intercept and sample weights, and the index of its matrix, for any number of fits.

    Of `alpha` it matters here only whether it is 0, for the column that stands for the intercept of a sparse X.
    """

    def __init__(
        self,
        X: Any,
        targets: Float64Array,
        weights: Float64Array | None,
        *,
        alpha: float,
        fit_intercept: bool,
        tol: float,
    ) -> None:
        self.n_features: int = X.shape[1]
        self.tol = tol
        self.problem: RidgeProblem = ridge_problem(
            X, targets, weights, alpha=alpha, fit_intercept=fit_intercept, tol=tol
        )
        self.matrix = as_sq_matrix(self.problem.A)

    def fit(self, alpha: float, *, method: str, rng: np.random.Generator) -> RidgeFit:
        """Solve for one target after another."""
        problem, n = self.problem, self.n_features
        # A penalised intercept acts as a shrunk mean, which the certificate of the solution does not see.
        shrunk = _SHRUNK_SHARE * self.tol if alpha > 0.0 and problem.A.shape[1] > n else 0.0
        n_targets = problem.b.shape[1]
        coef = np.zeros((n_targets, n))
        solutions: list[LeastSquaresSolution | None] = []
        for target in range(n_targets):
            solution = None  # where nothing varies the weights are zero
            if self.matrix.frobenius_norm > 0.0:
                b = problem.b[:, target]
                found = least_squares(self.matrix, b, ridge=alpha, tolerance=self.tol - shrunk, method=method, rng=rng)
                solution = cast("LeastSquaresSolution", found)
                coef[target] = solution.x[:n]
            solutions.append(solution)
        return RidgeFit(
            coef,
            problem.y_mean - coef @ problem.x_mean,
            tuple(_error(solution, problem.b[:, t], shrunk) for t, solution in enumerate(solutions)),
            tuple(_residual(solution, problem.b[:, t]) for t, solution in enumerate(solutions)),
            tuple(solutions),
        )


class RidgeModel(SharesResult, MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A fitted X w + w_0, for one target or several."""

    def _set(self, fit: RidgeFit, dtype: Any, *, single: bool) -> None:
        coef = narrowed(fit.coef, dtype)
        self.coef_: FloatArray = coef[0] if single else coef
        self.intercept_: float | FloatArray = float(fit.intercept[0]) if single else narrowed(fit.intercept, dtype)
        self.error_: ErrorEstimate | tuple[ErrorEstimate, ...] = fit.errors[0] if single else fit.errors
        self.residual_: ErrorEstimate | tuple[ErrorEstimate, ...] = fit.residuals[0] if single else fit.residuals
        self.solution_: LeastSquaresSolution | tuple[LeastSquaresSolution | None, ...] | None = (
            fit.solutions[0] if single else fit.solutions
        )

    def predict(self, X: Any) -> FloatArray:
        """Return X w + w_0.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            New data.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_targets)
        """
        check_is_fitted(self)
        X = validated(self, X, accept_sparse=("csr", "csc"), reset=False)
        predicted: FloatArray = X @ self.coef_.T + self.intercept_
        return predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def narrowed(values: Float64Array, dtype: Any) -> FloatArray:
    """Return numbers of a type; all in float64 where it has an inf for one, or for a non-zero no normal number."""
    with np.errstate(over="ignore", under="ignore"):
        found: FloatArray = values.astype(dtype, copy=False)
    lost = ~np.isfinite(found) | ((values != 0.0) & (np.abs(found) < np.finfo(found.dtype).tiny))
    return values if lost.any() else found


def check_method(method: Any) -> str:
    """Return a method of `least_squares` that forms weights."""
    if isinstance(method, str) and method == "implicit":
        raise ValueError("`method` must not be 'implicit', which forms no weights; use 'dual' for a wide `X`.")
    if not isinstance(method, str) or method not in METHODS:
        known = ", ".join(name for name in METHODS if name != "implicit")
        raise ValueError(f"`method` must be one of {known}; got {method!r}.")
    return method


def check_weights(sample_weight: Any, n_samples: int) -> Float64Array | None:
    """Return checked sample weights, of which one is positive, or None."""
    if sample_weight is None:
        return None
    given = np.asarray(sample_weight)
    weights = check_vector(
        np.full(n_samples, given) if given.ndim == 0 else given, n_samples, "sample_weight", matrix="X"
    )
    if (weights < 0).any():
        where = int(np.argmax(weights < 0))
        raise ValueError(f"`sample_weight` must be >= 0; got sample_weight[{where}] = {weights[where]}.")
    if not weights.any():
        raise ValueError("`sample_weight` must have a positive entry; all of them are zero.")
    return weights


def _error(solution: LeastSquaresSolution | None, b: Float64Array, shrunk: float) -> ErrorEstimate:
    """Return the error of a solution, of a problem that is itself off by at most `shrunk` unless b is zero."""
    if solution is None:
        return ErrorEstimate(0.0, 0.0, 0.0, 1.0)
    error = solution.error
    if shrunk == 0.0 or not b.any():
        return error
    return ErrorEstimate(error.value + shrunk, max(error.low - shrunk, 0.0), error.high + shrunk, error.confidence)


def _residual(solution: LeastSquaresSolution | None, b: Float64Array) -> ErrorEstimate:
    if solution is not None:
        return solution.residual
    value = float(b.any())
    return ErrorEstimate(value, value, value, 1.0)
