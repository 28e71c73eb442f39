"""Truncated singular value decomposition, from drawn rows where that is faster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_rank
from qinspired.estimators._centred_rows import centred_rows
from qinspired.estimators._checked import all_or_nothing, validated
from qinspired.estimators._explained_variance import Shares, shares_from_sketch
from qinspired.estimators._factors import explicit_low_rank, indexed, with_fixed_signs
from qinspired.estimators._row_space import RowSpaceMixin
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from typing import Self

    from qinspired._typing import Float64Array, FloatArray, RNGLike
    from qinspired.algorithms import ErrorEstimate
    from qinspired.estimators._row_stream import RowStream

__all__ = ["SampledSVD"]


class SampledSVD(RowSpaceMixin, BaseEstimator):
    """Projection X V on k approximate leading right singular vectors; like scikit-learn's `TruncatedSVD`.

    Parameters
    ----------
    n_components : int, default=2
        Number k of components, in [1, min(n_samples, n_features)].
    tol : float, default=0.01
        Largest relative excess of |X - X V V^T|_F over the best error with k components, in (0, 1); not, as in
        `TruncatedSVD`, a tolerance of ARPACK.
    method : str, default="auto"
        As in `low_rank`, without "fkv" and "threshold", which form no components; "auto" takes what it predicts to be
        fastest, often an exact solver on small data.
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
        Variances of the columns of X V, with divisor n_samples, and their share of the total variance of X; NaN where
        that is zero. From all rows of X, not from the drawn ones; after `partial_fit` from the sketch.
    explained_variance_interval_, explained_variance_ratio_interval_ : ndarray of float64, shape (n_components, 2)
        Bounds of these: of width 0 from all rows, and certain from a sketch; wide where the mean hides the deviations.
    approximation_ : LowRankApproximation or StreamedApproximation
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
    Cost: that of `low_rank`, with the index pass, which finds NaN and infinity too; then one pass for X V, and one for
    the mean of X. One product with X as wide as X V is what `TruncatedSVD` makes 2 n_iter + 2 of.
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
        with all_or_nothing(self):
            return self._fit(X)

    def _fit(self, X: Any) -> FloatArray:
        # The index pass tells a NaN or an infinity, so that no pass is made for it alone.
        X = validated(self, X, accept_sparse="csr", ensure_all_finite=False)
        rank = check_rank(self.n_components, X.shape, name="n_components")
        tol = check_fraction(self.tol, "tol")
        rng = as_generator(self.random_state, name="random_state")
        matrix = indexed(X)
        _refuse_zeros(X.shape, matrix.frobenius_norm)
        approx = explicit_low_rank(matrix, rank, tolerance=tol, method=self.method, rng=rng)
        approx = replace(approx, components=with_fixed_signs(approx.components))
        transformed: FloatArray = X @ approx.components.T
        variances, ratios = _explained_variance(X, transformed, matrix.frobenius_norm)
        self._forget_stream()
        self._set(approx)
        self.explained_variance_, self.explained_variance_ratio_ = variances, ratios
        self.explained_variance_interval_: Float64Array = np.column_stack([variances, variances])
        self.explained_variance_ratio_interval_: Float64Array = np.column_stack([ratios, ratios])
        return transformed

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Take in a block of rows; the components are those of all blocks since the first, by a sketch of them.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_rows, n_features)
            The next rows, `n_components` or more of them in the first block.
        y : ignored
            Present for the interface.

        Returns
        -------
        SampledSVD
            This object.

        Raises
        ------
        ValueError
            If the block is no finite real matrix with the columns of the first one, or `n_components` changed.

        Warns
        -----
        UserWarning
            After `fit`, which keeps no sketch to go on from: then this starts anew.

        Notes
        -----
        Cost: l rows are kept, sqrt(l / (l - k)) - 1 <= tol, and as many in a buffer; at most 800 MB or 4 k rows.
        Error: `excess_` is at most `tol` for certain where l was not limited by memory. `method` and `random_state`
        play no part.
        """
        del y
        with all_or_nothing(self):
            X, stream = self._next_block(X, is_centred=False)
            if stream.n_rows == 0:
                _refuse_zeros(X.shape, float(abs(X).max()))
            stream = stream.with_block(X)
            approx = self._found_in(stream)
            self._set(approx)
            self._set_streamed_variances(stream, shares_from_sketch(approx, stream.sketch.frobenius_norm))
            self._stream = stream
            self.n_samples_seen_: int = stream.n_rows
        return self

    def _wanted_rank(self, shape: tuple[int, int]) -> Any:
        del shape
        return self.n_components

    def _set(self, approx: Any) -> None:
        self.components_: FloatArray = approx.components
        self.singular_values_: Float64Array = approx.singular_values
        self.error_: ErrorEstimate = approx.error
        self.excess_: ErrorEstimate = approx.excess
        self.approximation_: Any = approx

    def _set_streamed_variances(self, stream: RowStream, shares: Shares) -> None:
        """Set the variances from what the sketch knows of |X v|^2, and the mean."""
        norm, n = stream.sketch.frobenius_norm, len(stream.mean)
        self.singular_values_ = np.sqrt(shares.values) * norm
        rms = norm / np.sqrt(stream.n_rows)  # squares are taken in units of this, in which they cannot overflow
        mean = stream.mean / rms
        along = (self.components_.astype(np.float64) @ mean) ** 2
        total = (stream.centred_norm / norm) ** 2
        # The square of a singular value is right to its product with |X|_F times rounding, and where the mean dominates
        # what is left of it after the subtraction is that rounding.
        precision = float(np.finfo(stream.sketch.dtype).eps)
        rounding = precision * (stream.sketch.sketch_size + n) * np.sqrt(shares.values)
        parts = np.clip(shares.values - along, 0.0, total)
        low, high = shares.interval.T - along
        interval = np.column_stack([low - rounding, high + rounding]).clip(0.0, total)
        has_variance = total > (1e-14 * float(np.abs(mean).max())) ** 2 * n
        self.explained_variance_ratio_ = parts / (total if has_variance else np.nan)
        self.explained_variance_ratio_interval_ = interval / (total if has_variance else np.nan)
        with np.errstate(over="ignore"):
            self.explained_variance_ = parts * rms * rms
            self.explained_variance_interval_ = interval * rms * rms

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
        X = validated(self, X, accept_sparse=("csr", "csc"), reset=False)
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
        restored: FloatArray = self._coordinates(X) @ self.components_
        return restored


def _refuse_zeros(shape: tuple[int, int], size: float) -> None:
    if size == 0.0:
        raise ZeroMassError(f"`X` must have a non-zero entry; all entries of this matrix of shape {shape} are zero.")


def _explained_variance(X: Any, transformed: FloatArray, norm: float) -> tuple[Float64Array, Float64Array]:
    """Return the variances of the transformed columns, and their shares of the total variance of X."""
    rms = norm / np.sqrt(X.shape[0])  # all in units of this, for squares that would overflow or underflow
    scaled = transformed.astype(np.float64) / rms
    parts = scaled.var(axis=0)
    means = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel() / rms
    total = 1.0 - float(means @ means)
    rounding = 1e-14
    if total < 1e-6:
        # Nearly all of the norm is the mean, so the difference has lost its digits.
        total = (centred_rows(X)[0].frobenius_norm / norm) ** 2
        rounding = 1e-28
    ratios = parts / total if total > rounding else np.full(len(parts), np.nan)
    with np.errstate(over="ignore"):
        return parts * rms * rms, ratios
