"""Ridge regression, from drawn rows where that is faster."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_nonnegative
from qinspired.estimators._checked import all_or_nothing, validated
from qinspired.estimators._ridge_fit import IndexedRidge, RidgeModel, check_method, check_weights
from qinspired.estimators._ridge_moments import PRIMAL_COLUMNS, RidgeMoments
from qinspired.exceptions import ToleranceNotMetWarning

if TYPE_CHECKING:
    from typing import Self

    from qinspired._typing import Float64Array, RNGLike

__all__ = ["SampledRidge"]


class SampledRidge(RidgeModel):
    """Linear regression with an l2 penalty, to a certified accuracy; like scikit-learn's `Ridge`.

    Minimises sum_i s_i (y_i - x_i w - w_0)^2 + alpha |w|^2 for sample weights s.

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the penalty, >= 0. The intercept w_0 is not penalised.
    fit_intercept : bool, default=True
        Whether to fit w_0. If not, it is 0.
    tol : float, default=0.01
        Largest distance of the fitted values from those of the exact solution, relative to the latter, in
        (0, 1). With an intercept they are centred first, so that a large mean of y hides nothing.
    method : str, default="auto"
        Any method of `least_squares` but "implicit", which forms no weights; "auto" takes what it predicts to be
        fastest, an exact solver on small data.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the randomness. An int makes `fit` repeatable.

    Attributes
    ----------
    coef_ : ndarray, shape (n_features,) or (n_targets, n_features)
        The weights w, of the type of X (float32 or float64); of float64 where float32 cannot hold them.
    intercept_ : float or ndarray, shape (n_targets,)
        The intercept w_0, optimal for the weights found.
    error_ : ErrorEstimate
        |X_c (w - w*)| / |X_c w*|, w* the exact solution, X_c the weighted and centred X: what `tol` promises.
    residual_ : ErrorEstimate
        Weighted |y - X w - w_0| / |y - mean(y)|, its square being 1 - R^2; without the mean if no intercept.
    solution_ : LeastSquaresSolution or None
        The whole result, with its cost and `explain()`; None where X_c is zero. It refers to the data that
        were solved, so it is not pickled. For a sparse X with an intercept, its `x` has one entry more. None after
        `partial_fit`, which is exact and keeps no rows.
    n_samples_seen_ : int
        Number of rows since the first block; after `partial_fit` only.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, where X had names that are all strings.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range, or X, y or the sample weights are no finite real arrays of
        matching lengths.

    Warns
    -----
    ToleranceNotMetWarning
        In `fit`, if a method pinned by name ended before its certificate met `tol`.

    See Also
    --------
    qinspired.least_squares : The function behind this class.

    Notes
    -----
    Where y has several columns, they are solved one after another, and `error_`, `residual_` and `solution_`
    are tuples with one entry for each.

    Cost: that of `least_squares`; one pass for the mean. With an intercept or weights, a dense X is copied
    once. A sparse one stays sparse: the intercept becomes one more column c, with c^2 = 100/tol |x_mean|^2 so
    that the penalty hardly acts on it.
    Error: as certified by `error_`. For a sparse X with an intercept and alpha > 0, the penalty on that
    column adds at most tol/100 in the norm of the objective, which `error_` counts; measured for tol = 0.01 on a
    200 x 20 matrix: 7e-9 at alpha = 1, 9e-6 at alpha = 10,000.

    Examples
    --------
    >>> import qinspired as qi
    >>> system = qi.problems.linear_system((20_000, 20), kappa=3.0, noise=0.1, rng=0)
    >>> model = qi.SampledRidge(alpha=0.01, tol=0.05, method="rows", random_state=0).fit(system.A, system.b + 7.0)
    >>> bool(model.error_.high <= 0.05), round(model.intercept_)
    (True, 7)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        tol: float = 0.01,
        method: str = "auto",
        random_state: RNGLike = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : array_like, shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array_like, shape (n_samples,), or float, optional
            Weights >= 0, not all zero. Weight 0 is as good as no row, weight 2 as the row twice.

        Returns
        -------
        SampledRidge
            This object.
        """
        with all_or_nothing(self):
            method = check_method(self.method)
            X, y = validated(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
            alpha = check_nonnegative(self.alpha, "alpha")
            tol = check_fraction(self.tol, "tol")
            rng = as_generator(self.random_state, name="random_state")
            weights = check_weights(sample_weight, X.shape[0])
            targets: Float64Array = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
            problem = IndexedRidge(X, targets, weights, alpha=alpha, fit_intercept=bool(self.fit_intercept), tol=tol)
            fit = problem.fit(alpha, method=method, rng=rng)
            self._forget_moments()
            self._set(fit, X.dtype, single=y.ndim == 1)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Take in a block of rows; the weights are those of all rows since the first block, exactly.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_rows, n_features)
            The next rows, with at most 4,096 features.
        y : array_like, shape (n_rows,) or (n_rows, n_targets)
            Their targets.
        sample_weight : array_like, shape (n_rows,), or float, optional
            Weights >= 0, not all zero.

        Returns
        -------
        SampledRidge
            This object.

        Raises
        ------
        ValueError
            If the block is no finite real matrix with the columns and targets of the first one, has too many
            features, or squares of its entries overflow or underflow.

        Warns
        -----
        UserWarning
            After `fit`, which keeps no moments to go on from: then this starts anew.
        ToleranceNotMetWarning
            If the moments are so ill-conditioned that rounding alone may exceed `tol`.

        Notes
        -----
        Cost: n^2 multiplications a row, n^3 / 3 a block, and memory for n^2 numbers of float64, n = n_features; the
        rows are not kept. `alpha` and `fit_intercept` may change from block to block, since the moments do not depend
        on them; `method` and `random_state` play no part.
        Error: that of normal equations, `error_`: about 2e-16 times the condition number of X_c, times n |y| / |X_c w|.
        """
        with all_or_nothing(self):
            before: RidgeMoments | None = vars(self).get("_moments")
            if before is None and hasattr(self, "coef_"):
                warnings.warn(
                    "SampledRidge.partial_fit starts anew: `fit` keeps no moments of its rows to go on from. Give all "
                    "rows to `partial_fit`, from the first block on.",
                    UserWarning,
                    stacklevel=2,
                )
            X, y = validated(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True, reset=before is None)
            alpha, tol = check_nonnegative(self.alpha, "alpha"), check_fraction(self.tol, "tol")
            weights = check_weights(sample_weight, X.shape[0])
            targets: Float64Array = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
            fit_intercept = bool(self.fit_intercept)
            moments = _with_block(before, X, targets, weights, fit_intercept=fit_intercept)
            fit, _ = moments.solve(alpha, fit_intercept=fit_intercept)
            rounding = max(error.high for error in fit.errors)
            if rounding > tol:
                warnings.warn(
                    f"SampledRidge.partial_fit: rounding may reach {rounding:.3g} of the fitted values, above `tol` = "
                    f"{tol:g}; use a larger `alpha`, scale the features, or call `fit` on all rows.",
                    ToleranceNotMetWarning,
                    stacklevel=2,
                )
            seen = 0 if before is None else self.n_samples_seen_
            self._moments: RidgeMoments = moments
            self.n_samples_seen_: int = seen + X.shape[0]
            self._set(fit, X.dtype, single=y.ndim == 1)
        return self

    def _forget_moments(self) -> None:
        for name in ("_moments", "n_samples_seen_"):
            self.__dict__.pop(name, None)


def _with_block(
    before: RidgeMoments | None, X: Any, targets: Float64Array, weights: Float64Array | None, *, fit_intercept: bool
) -> RidgeMoments:
    n = X.shape[1]
    if n > PRIMAL_COLUMNS:
        raise ValueError(
            f"`X` must have at most {PRIMAL_COLUMNS} features for `partial_fit`, which keeps their n x n moments; got "
            f"{n}. Use `fit`, or reduce them by SampledSVD first."
        )
    if before is not None and targets.shape[1] != len(before.y_mean):
        raise ValueError(
            f"`y` must have as many targets as in the first block, {len(before.y_mean)}; got {targets.shape[1]}. Use a "
            "new estimator for another number."
        )
    block = RidgeMoments.of(X, targets, weights)
    moments = block if before is None else before.plus(block)
    if not moments.is_finite:
        raise ValueError(
            "`X` and `y` must have sums of squares below 1.8e308 for `partial_fit`; they overflow. Divide them by a "
            "constant."
        )
    if moments.underflows(fit_intercept=fit_intercept):
        raise ValueError(
            "`X` and `y` must have sums of squares above 1e-290 for `partial_fit`, where they vary; they underflow. "
            "Multiply them by a constant."
        )
    return moments
