"""Truncated singular value decomposition, from drawn rows where that is faster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_rank
from qinspired.estimators._factors import explicit_low_rank
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from typing import Self

    from qinspired._typing import Float64Array, FloatArray, RNGLike
    from qinspired.algorithms import ErrorEstimate, LowRankApproximation

__all__ = ["SampledSVD"]


class SampledSVD(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Projection X V on k approximate leading right singular vectors; like scikit-learn's `TruncatedSVD`.

    Parameters
    ----------
    n_components : int, default=2
        Number k of components, in [1, min(n_samples, n_features)].
    tol : float, default=0.01
        Largest relative excess of |X - X V V^T|_F over the best error with k components, in (0, 1).
    method : {"auto", "gram", "krylov", "randomized", "exact"}, default="auto"
        As in `low_rank`; "auto" takes what it predicts to be fastest, often an exact solver on small data.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the randomness. An int makes `fit` repeatable.

    Attributes
    ----------
    components_ : ndarray, shape (n_components, n_features)
        Orthonormal rows, of the type of X (float32 or float64). The largest entry of each, by modulus, is
        positive.
    singular_values_ : ndarray of float64, shape (n_components,)
        Estimates of the leading singular values, in descending order.
    error_ : ErrorEstimate
        |X - X V V^T|_F / |X|_F.
    excess_ : ErrorEstimate
        Relative excess of that error over the best with k components: what `tol` promises.
    explained_variance_, explained_variance_ratio_ : ndarray of float64, shape (n_components,)
        Variances of the columns of X V, and their share of the total variance of X; NaN where that is zero.
        From all rows of X, not from the drawn ones.
    approximation_ : LowRankApproximation
        The whole result, with its cost and `explain()`. It refers to the training data, so it is not pickled.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, where X had names that are all strings.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range or X is no finite real matrix.
    ZeroMassError
        In `fit`, if all entries of X are zero.

    See Also
    --------
    qinspired.low_rank : The function behind this class.

    Notes
    -----
    Cost: that of `low_rank`; then one pass for X V and one for the variances.
    Error: as certified by `excess_` and `error_`.

    Examples
    --------
    >>> import qinspired as qi
    >>> X = qi.problems.low_rank_matrix((3000, 200), 3, noise=0.1, rng=0).A
    >>> svd = qi.SampledSVD(3, tol=0.05, method="gram", random_state=0)
    >>> svd.fit_transform(X).shape
    (3000, 3)
    >>> bool(svd.excess_.high <= 0.05)
    True
    """

    def __init__(
        self, n_components: int = 2, *, tol: float = 0.01, method: str = "auto", random_state: RNGLike = None
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the components of X.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : ignored
            Present for the interface.

        Returns
        -------
        SampledSVD
            This object.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> FloatArray:
        """Find the components of X and return X V.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : ignored
            Present for the interface.

        Returns
        -------
        ndarray, shape (n_samples, n_components)
            X V, exact for the components found.
        """
        del y
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        rank = check_rank(self.n_components, X.shape, name="n_components")
        tol = check_fraction(self.tol, "tol")
        rng = as_generator(self.random_state, name="random_state")
        try:
            approx = explicit_low_rank(X, rank, tolerance=tol, method=self.method, rng=rng)
        except ZeroMassError as error:
            raise ZeroMassError(
                f"`X` must have a non-zero entry; all entries of this matrix of shape {X.shape} are zero."
            ) from error
        approx = replace(approx, components=_with_fixed_signs(approx.components))
        transformed: FloatArray = X @ approx.components.T
        variances, ratios = _explained_variance(X, transformed, approx.source.frobenius_norm)
        self.components_: FloatArray = approx.components
        self.singular_values_: Float64Array = approx.singular_values
        self.error_: ErrorEstimate = approx.error
        self.excess_: ErrorEstimate = approx.excess
        self.explained_variance_ = variances
        self.explained_variance_ratio_ = ratios
        self.approximation_: LowRankApproximation = approx
        return transformed

    def transform(self, X: Any) -> FloatArray:
        """Return X V.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            New data.

        Returns
        -------
        ndarray, shape (n_samples, n_components)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=("csr", "csc"), dtype=[np.float64, np.float32], reset=False)
        transformed: FloatArray = X @ self.components_.T
        return transformed

    def inverse_transform(self, X: Any) -> FloatArray:
        """Return X V^T, the rows of the row space whose transform is X.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_components)
            Coordinates.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        coordinates = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        rank = len(self.components_)
        if coordinates.shape[1] != rank:
            raise ValueError(
                f"`X` must have {rank} columns, one for each component; got shape {coordinates.shape}. "
                "Pass what `transform` returned."
            )
        restored: FloatArray = coordinates @ self.components_
        return restored

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # The approximation refers to the training data, which would make a pickle as large as they are.
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("approximation_", None)
        return state


def _with_fixed_signs(components: FloatArray) -> FloatArray:
    """Return the components with the entry of largest modulus of each made positive."""
    largest = np.argmax(np.abs(components), axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1, 1).astype(components.dtype)
    signed: FloatArray = components * signs[:, None]
    return signed


def _explained_variance(X: Any, transformed: FloatArray, norm: float) -> tuple[Float64Array, Float64Array]:
    """Return the variances of the transformed columns, and their shares of the total variance of X."""
    rms = norm / np.sqrt(X.shape[0])  # all in units of this, for squares that would overflow or underflow
    scaled = transformed.astype(np.float64) / rms
    parts = scaled.var(axis=0)
    means = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel() / rms
    total = 1.0 - float(means @ means)
    is_sparse: bool = sp.issparse(X)
    rounding = 1e-14
    if total < 1e-6 and not is_sparse:
        # Nearly all of the norm is the mean, so the difference has lost its digits.
        total = float((X / rms - means).var(axis=0).sum())
        rounding = 1e-28
    ratios = parts / total if total > rounding else np.full(len(parts), np.nan)
    with np.errstate(over="ignore"):
        return parts * rms * rms, ratios
