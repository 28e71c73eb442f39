"""Kernel ridge regression with few of the training points as landmarks."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import check_is_fitted

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction, check_nonnegative, check_positive
from qinspired.access import KernelMatrix
from qinspired.algorithms import ErrorEstimate, rp_cholesky
from qinspired.algorithms.regression._normal_equations import SymmetricSolver
from qinspired.estimators._checked import all_or_nothing, validated
from qinspired.estimators._ridge_fit import check_weights
from qinspired.exceptions import ToleranceNotMetWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["SampledKernelRidge"]

_KERNELS = ("linear", "poly", "polynomial", "rbf", "laplacian", "cosine", "chi2")

# These depend on differences only, which a shift of all points to their mean makes more exact.
_OF_DIFFERENCES = ("rbf", "laplacian")

# Entries of a block of the kernel in a prediction: 32 MB.
_BLOCK_ENTRIES = 4_000_000

# Beyond this condition number an orthogonal factorisation takes the place of normal equations.
_LARGEST_CONDITION = 1e10


class SampledKernelRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Kernel ridge regression on randomly pivoted landmarks, certified; like scikit-learn's `KernelRidge`.

    Minimises sum_i s_i (y_i - f(x_i))^2 + alpha |f|^2, s the sample weights and |f| the norm of the kernel's space,
    over f(x) = sum_j beta_j k(z_j, x) with landmarks z_j among the training points.

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the penalty, > 0.
    kernel : {"linear", "poly", "polynomial", "rbf", "laplacian", "cosine", "chi2"} or callable, default="rbf"
        The kernel k, as in `sklearn.metrics.pairwise.pairwise_kernels`; or a symmetric positive semi-definite function
        from points X, of shape (q, p), and Y, of shape (r, p), to the block of shape (q, r), as in
        `qinspired.KernelMatrix`, where `KernelRidge` asks for one of two single points.
    gamma : float or None, default=None
        Parameter > 0 of the kernels "poly", "rbf", "laplacian" and "chi2"; None for 1 / n_features, or 1 for "chi2".
    degree : int, default=3
        Exponent >= 1 of the kernel "poly", (gamma x y + coef0)^degree.
    coef0 : float, default=1
        Its constant, >= 0.
    kernel_params : dict or None, default=None
        Keyword arguments of a callable.
    n_landmarks : int, default=1000
        Largest number of landmarks, >= 1.
    tol : float or None, default=None
        Stop adding landmarks when the certified `error_` is at most this, in (0, 1); None takes `n_landmarks`.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the randomness. An int makes `fit` repeatable.

    Attributes
    ----------
    dual_coef_ : ndarray of float64, shape (k,) or (k, n_targets), k the number of landmarks
        The weights beta.
    landmarks_ : ndarray or sparse matrix, shape (k, n_features)
        The points z.
    landmark_indices_ : ndarray of int64, shape (k,)
        Which rows of X they are, in the order in which they were drawn.
    n_landmarks_ : int
        Their number. Fewer than `n_landmarks` if `tol` was met, or if the rest of the kernel matrix is rounding.
    error_ : ErrorEstimate or tuple of ErrorEstimate
        |f(X) - f*(X)| / |y|, weighted, f* the exact solution with all points as landmarks, for each target: an upper
        bound that holds for certain, up to rounding. The true distance is mostly far below.
    trace_error_ : ErrorEstimate
        The share of the trace of the weighted kernel matrix that the landmarks leave, which is exact.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, where X had names that are all strings.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range; X, y or the sample weights are no finite real arrays of matching
        lengths; or the kernel turns out not to be positive semi-definite.

    Warns
    -----
    ToleranceNotMetWarning
        In `fit`, if `tol` was not met with `n_landmarks`.

    See Also
    --------
    qinspired.rp_cholesky : The choice of the landmarks.

    Notes
    -----
    There is no intercept, as in `KernelRidge`: centre y, and scale the features.

    Cost: (k + 1) m entries of the kernel for m points and k landmarks, m k^2 multiplications, and memory for m k
    numbers; `KernelRidge` takes m^2 entries and m^3 / 3 multiplications. A prediction takes k entries a row. A callable
    without `diag` takes 15 m entries more.
    Error: with F F^T for the weighted kernel matrix K by `rp_cholesky`, f(X) = F c for the c that minimises
    |y - F c|^2 + alpha |c|^2. As K - F F^T is positive semi-definite, of some trace t, the fitted values are off by at
    most t / (alpha + t) sqrt(y (y - F c)) and t / sqrt(alpha (alpha + t)) |y - F c|; `error_` is the lesser one. What
    is certified are the fitted values, not a score on other data.

    References
    ----------
    .. [1] M. Diaz, E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, "Robust, randomized preconditioning for
       kernel ridge regression", arXiv:2304.12465 (2023). Differs from [1]_: the restricted problem is solved directly,
       with the factor of `rp_cholesky` as the features; and the bound of the error.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3.0, 3.0, (5000, 2))
    >>> y = np.sin(X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(5000)
    >>> model = qi.SampledKernelRidge(0.1, gamma=0.5, n_landmarks=200, tol=0.05, random_state=0).fit(X, y)
    >>> model.n_landmarks_ < 200, bool(model.error_.high <= 0.05), bool(model.score(X, y) > 0.98)
    (True, True, True)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        kernel: str | Callable[..., Any] = "rbf",
        gamma: float | None = None,
        degree: int = 3,
        coef0: float = 1,
        kernel_params: dict[str, Any] | None = None,
        n_landmarks: int = 1000,
        tol: float | None = None,
        random_state: RNGLike = None,
    ) -> None:
        self.alpha = alpha
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.n_landmarks = n_landmarks
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the landmarks and find their weights.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : array_like, shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array_like, shape (n_samples,), or float, optional
            Weights >= 0, not all zero. They count in the choice of the landmarks too.

        Returns
        -------
        SampledKernelRidge
            This object.
        """
        with all_or_nothing(self):
            X, y = validated(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
            alpha = check_positive(self.alpha, "alpha")
            most = check_count(self.n_landmarks, "n_landmarks", low=1)
            tol = None if self.tol is None else check_fraction(self.tol, "tol")
            rng = as_generator(self.random_state, name="random_state")
            weights = check_weights(sample_weight, X.shape[0])
            kept = np.arange(X.shape[0]) if weights is None else np.flatnonzero(weights)
            targets: Float64Array = np.asarray(y, dtype=np.float64).reshape(len(y), -1)[kept]
            points = X if len(kept) == X.shape[0] else X[kept]
            root = np.ones(len(kept)) if weights is None else np.sqrt(weights[kept])
            kernel = _Kernel(self, points)
            pivots, factor, left, trace_error = _factored(kernel, root, alpha, most, tol, rng)
            rhs = targets * root[:, None]
            inside = _ridge_of_factor(factor, rhs, alpha)
            # The factor is the columns of the weighted kernel matrix at the pivots times L^-T, L its rows there.
            coef = scipy.linalg.solve_triangular(factor[pivots], inside, trans="T", lower=True) * root[pivots, None]
            errors = _bounds(rhs, factor @ inside, alpha, left)
            single = y.ndim == 1
            highest = max(error.high for error in errors)
            if tol is not None and highest > tol:
                warnings.warn(
                    f"SampledKernelRidge: {len(pivots)} landmarks certify an error of {highest:.3g}, above `tol` = "
                    f"{tol:g}; use more `n_landmarks`, a larger `alpha`, or `tol=None`.",
                    ToleranceNotMetWarning,
                    stacklevel=2,
                )
            self.landmark_indices_: IntArray = kept[pivots]
            self.landmarks_: Any = points[pivots]
            self.n_landmarks_: int = len(pivots)
            self.dual_coef_: Float64Array = coef[:, 0] if single else coef
            self.error_: ErrorEstimate | tuple[ErrorEstimate, ...] = errors[0] if single else errors
            self.trace_error_: ErrorEstimate = trace_error
            self._centre: Float64Array | None = kernel.centre
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return f(x) for each row.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            New data.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_targets), of the type of X (float32 or float64)
        """
        check_is_fitted(self)
        X = validated(self, X, accept_sparse="csr", reset=False)
        kernel = _Kernel(self, self.landmarks_, centre=self._centre)
        found = np.empty((X.shape[0], *self.dual_coef_.shape[1:]), dtype=X.dtype)
        step = max(1, _BLOCK_ENTRIES // self.n_landmarks_)
        for start in range(0, X.shape[0], step):
            found[start : start + step] = kernel.between(X[start : start + step]) @ self.dual_coef_
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _Kernel:
    """The kernel of an estimator with its points as the second argument."""

    def __init__(self, estimator: SampledKernelRidge, points: Any, *, centre: Float64Array | None = None) -> None:
        kernel = estimator.kernel
        self.params: dict[str, Any] = {}
        if callable(kernel):
            self.params = dict(estimator.kernel_params or {})
        elif not isinstance(kernel, str) or kernel not in _KERNELS:
            raise ValueError(
                f"`kernel` must be one of {', '.join(_KERNELS)}, which are positive semi-definite, or a callable; got "
                f"{kernel!r}. For a kernel matrix that is at hand use sklearn.kernel_ridge.KernelRidge or rp_cholesky."
            )
        elif estimator.kernel_params is not None:
            raise ValueError(f"`kernel_params` is for callables; `kernel` = {kernel!r} takes gamma, degree and coef0.")
        else:
            gamma = None if estimator.gamma is None else check_positive(estimator.gamma, "gamma")
            if gamma is None and kernel != "chi2":
                gamma = 1.0 / points.shape[1]
            degree = check_count(estimator.degree, "degree", low=1)
            self.params = {"degree": degree, "coef0": check_nonnegative(estimator.coef0, "coef0")}
            self.params |= {} if gamma is None else {"gamma": gamma}
        self.kernel = kernel
        is_sparse: bool = sp.issparse(points)
        self.centre = centre
        points = points.astype(np.float64, copy=False)
        if centre is None and kernel in _OF_DIFFERENCES and not is_sparse:
            self.centre = points.mean(axis=0)
        self.points = self._moved(points)

    def _moved(self, X: Any) -> Any:
        X = X.astype(np.float64, copy=False)
        is_sparse: bool = sp.issparse(X)
        if self.centre is None:
            return X
        return (X.toarray() if is_sparse else X) - self.centre

    def between(self, X: Any) -> Float64Array:
        """Return the kernel of rows with the points."""
        block: Float64Array = self._block(self._moved(X), self.points)
        return block

    def at(self, rows: IntArray, cols: IntArray) -> Any:
        """Return a block of the kernel matrix of the points."""
        has_all = len(cols) == self.points.shape[0] and bool((np.diff(cols) == 1).all())
        return self._block(self.points[rows], self.points if has_all else self.points[cols])

    def _block(self, X: Any, Y: Any) -> Any:
        if callable(self.kernel):
            found = np.asarray(self.kernel(X.copy(), Y.copy(), **self.params))  # it may write into what it gets
            wanted = X.shape[0], Y.shape[0]
            if found.shape != wanted:
                raise ValueError(
                    f"`kernel` must return a block of shape {wanted} for as many points; got shape {found.shape}."
                )
            return found
        with np.errstate(over="ignore", invalid="ignore"):
            return pairwise_kernels(X, Y, metric=self.kernel, filter_params=True, **self.params)

    def diagonal(self) -> Float64Array | None:
        """Return k(x, x) of the points where it takes no block."""
        function: Any = self.kernel
        if callable(function):
            has_diagonal = callable(getattr(function, "diag", None)) and not self.params
            return np.asarray(function.diag(self.points), dtype=np.float64) if has_diagonal else None
        if function in (*_OF_DIFFERENCES, "chi2"):
            return np.ones(self.points.shape[0])
        with np.errstate(over="ignore"):
            squares: Float64Array = row_norms(self.points, squared=True)
            if function == "cosine":
                return (squares > 0.0).astype(np.float64)
            if function == "linear":
                return squares
            params = self.params
            values: Float64Array = (params["gamma"] * squares + params["coef0"]) ** params["degree"]
        return values


def _factored(
    kernel: _Kernel, root: Float64Array, alpha: float, most: int, tol: float | None, rng: np.random.Generator
) -> tuple[IntArray, Float64Array, float, ErrorEstimate]:
    """Return the pivots and the factor of the weighted kernel matrix, the trace that they leave, and its share."""
    m = len(root)

    def block(rows: Float64Array, cols: Float64Array) -> Any:
        i, j = rows[:, 0].astype(np.int64), cols[:, 0].astype(np.int64)
        return kernel.at(i, j) * root[i, None] * root[j]

    # The points that this matrix knows are the numbers of the rows, so that they may be sparse.
    numbers = np.arange(m, dtype=np.float64)[:, None]
    diagonal = kernel.diagonal()
    if diagonal is not None:
        matrix = KernelMatrix(numbers, block, diagonal=diagonal * root**2)
    else:
        matrix = KernelMatrix(numbers, block, diagonal=KernelMatrix(numbers, block).diagonal())
    total = float(matrix.diagonal().sum())
    if total == 0.0:
        return np.zeros(1, dtype=np.int64), np.ones((m, 1)), 0.0, ErrorEstimate(0.0, 0.0, 0.0, 1.0)
    tolerance = None if tol is None else min(tol * alpha / total, 0.5)
    if tolerance == 0.0:
        raise ValueError(
            f"`alpha` = {alpha} is too small to meet `tol`: its share of the trace of the kernel matrix, {total:g}, "
            "underflows. Use a larger `alpha`, or `tol=None`."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToleranceNotMetWarning)  # it is told for the fit
        approx = rp_cholesky(matrix, min(most, m), tolerance=tolerance, rng=rng)
    factor = np.asarray(approx.factor, dtype=np.float64)
    return approx.pivots, factor, total * approx.error.high, approx.error


def _ridge_of_factor(factor: Float64Array, rhs: Float64Array, alpha: float) -> Float64Array:
    """Return the c with the least |rhs - F c|^2 + alpha |c|^2."""
    rank = factor.shape[1]
    solver = SymmetricSolver(factor.T @ factor + alpha * np.eye(rank))
    if not solver.singular and solver.condition < _LARGEST_CONDITION:
        return solver.solve(factor.T @ rhs)
    stacked = np.vstack([factor, math.sqrt(alpha) * np.eye(rank)])
    below = np.vstack([rhs, np.zeros((rank, rhs.shape[1]))])
    return np.asarray(scipy.linalg.lstsq(stacked, below, lapack_driver="gelsy", check_finite=False)[0])


def _bounds(rhs: Float64Array, fitted: Float64Array, alpha: float, left: float) -> tuple[ErrorEstimate, ...]:
    """Return bounds of the distance to the exact fitted values, relative to |y|, for each target.

    The fits differ by D y, D = alpha (F F^T + alpha)^-1 - alpha (K + alpha)^-1. With E = K - F F^T, |E| <= t, it is
    0 <= D <= t / (alpha + t) alpha (F F^T + alpha)^-1, and alpha (F F^T + alpha)^-1 y is the residual.
    """
    bounds = []
    for target, left_of_it in zip(rhs.T, (rhs - fitted).T, strict=True):
        unit = float(np.abs(target).max()) or 1.0  # squares of the entries neither overflow nor underflow
        y, rest = target / unit, left_of_it / unit
        size = float(np.linalg.norm(y))
        share = left / (alpha + left)
        by_product = share * math.sqrt(max(float(y @ rest), 0.0))
        by_residual = math.sqrt(share * (left / alpha)) * float(np.linalg.norm(rest))
        bound = min(by_product, by_residual) / size if size > 0.0 else 0.0
        bounds.append(ErrorEstimate(bound, 0.0, bound, 1.0))
    return tuple(bounds)
