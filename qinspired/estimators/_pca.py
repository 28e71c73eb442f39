"""Principal component analysis, from drawn rows where that is faster, without a centred copy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_rank
from qinspired.estimators._centred_rows import centred_product, centred_rows, length_of, mean_dominates
from qinspired.estimators._checked import all_or_nothing, validated
from qinspired.estimators._explained_variance import AxisSearch, Shares, shares_from_sketch
from qinspired.estimators._normal_model import NormalModelMixin
from qinspired.estimators._row_space import RowSpaceMixin
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from typing import Self

    from qinspired._typing import Float64Array, FloatArray, RNGLike
    from qinspired.algorithms import ErrorEstimate

__all__ = ["SampledPCA"]


def _takes_blocks(pca: SampledPCA) -> bool:
    if isinstance(pca.n_components, float | np.floating):
        raise AttributeError(
            "`n_components` must be an integer or None for `partial_fit`, as the size of the sketch depends on it; "
            f"got {pca.n_components}."
        )
    return True


class SampledPCA(NormalModelMixin, RowSpaceMixin, BaseEstimator):
    """Projection (X - 1 mean^T) V on k approximate principal axes; like scikit-learn's `PCA`.

    Parameters
    ----------
    n_components : int, float or None, default=None
        Number k of axes, in [1, min(n_samples, n_features)], which is what None takes; or, in (0, 1), the share of the
        variance they are to carry: as few as are certified for it, from all rows if above 0.998.
    tol : float, default=0.01
        Largest relative excess of |Y - Y V V^T|_F, Y = X - 1 mean^T, over the best error with k axes, in (0, 1).
    method : str, default="auto"
        As in `low_rank`, without "fkv" and "threshold", which form no components.
    whiten : bool, default=False
        Whether `transform` divides each coordinate by its standard deviation. A coordinate without variance, to
        rounding, is then 0.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the randomness. An int makes `fit` repeatable.

    Attributes
    ----------
    components_ : ndarray, shape (k, n_features)
        V^T, orthonormal rows of the type of X (float32 or float64). The largest entry of each, by modulus, is
        positive.
    explained_variance_, explained_variance_ratio_ : ndarray of float64, shape (k,)
        Variances along the axes, with divisor n_samples - 1, and their shares of the total variance, which is exact.
        Where two are closer than their intervals are wide, they may be in ascending order.
    explained_variance_interval_, explained_variance_ratio_interval_ : ndarray of float64, shape (k, 2)
        95 % intervals of these, each by itself; of width 0 from all rows, and bounds that hold for certain from a
        sketch.
    variance_source_ : {"all rows", "held-out rows", "sketch"}
        Where these came from: all rows after `fit_transform`, in `fit` on up to 8,192 rows, with `whiten`, or if the
        method made passes itself; else 2,048 rows drawn afresh and the 64 longest; the sketch in `partial_fit`.
    singular_values_ : ndarray of float64, shape (k,)
        |Y v_j|, from `explained_variance_`.
    mean_ : ndarray, shape (n_features,)
        Mean row.
    noise_variance_ : float
        Mean of the variances that are left out, min(n_samples, n_features) - k of them.
    error_, excess_ : ErrorEstimate
        |Y - Y V V^T|_F / |Y|_F, and its relative excess over the best: what `tol` promises.
    approximation_ : LowRankApproximation or StreamedApproximation
        The whole result, with its cost and `explain()`. It refers to the training data, so it is not pickled.
    n_components_, n_samples_, n_features_in_ : int
        Number of axes, rows and columns.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, where X had names that are all strings.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range or X is no finite real matrix of 2 rows or more.
    ZeroMassError
        In `fit`, if all rows of X are equal, to rounding.

    Warns
    -----
    ToleranceNotMetWarning
        As `low_rank`; and in `partial_fit`, if the memory for the sketch does not suffice for `tol`.

    See Also
    --------
    SampledSVD : The same without a mean.
    qinspired.centred : The centred matrix by itself.

    Notes
    -----
    Cost: of a dense X, `fit` reads all entries three times at the speed of memory: for the mean, the norms, and the
    products with the mean, which make the norms of centred rows; a mean 100 times the deviations takes two slower
    passes instead. Then that of `low_rank`, on drawn rows where that is faster, and 2,112 rows for the variances.
    `fit_transform` adds one pass. X is not copied, and a sparse X stays sparse; only rows that are read are centred.
    Error: `excess_` and `error_`. Beside a mean of 1e8, deviations of 1 keep 7 digits in float64.

    Examples
    --------
    >>> import qinspired as qi
    >>> X = qi.problems.low_rank_matrix((20_000, 100), 3, noise=0.1, rng=0).A + 5.0
    >>> pca = qi.SampledPCA(3, tol=0.05, method="gram", random_state=0).fit(X)
    >>> pca.transform(X).shape, pca.variance_source_
    ((20000, 3), 'held-out rows')
    >>> bool(pca.excess_.high <= 0.05)
    True
    """

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        tol: float = 0.01,
        method: str = "auto",
        whiten: bool = False,
        random_state: RNGLike = None,
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.method = method
        self.whiten = whiten
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the axes of X; what earlier calls learned is discarded.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : ignored
            Present for the interface.

        Returns
        -------
        SampledPCA
            This object.
        """
        del y
        with all_or_nothing(self):
            self._fit(X, wants_images=False)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> FloatArray:
        """Find the axes of X and return the coordinates of its rows; the variances are exact.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : ignored
            Present for the interface.

        Returns
        -------
        ndarray, shape (n_samples, k)
        """
        del y
        with all_or_nothing(self):
            images = cast("FloatArray", self._fit(X, wants_images=True))
        return self._whitened(images) if self.whiten else images

    def _fit(self, X: Any, *, wants_images: bool) -> FloatArray | None:
        is_sparse: bool = sp.issparse(X)
        X = validated(
            self,
            X,
            accept_sparse="csr",
            ensure_min_samples=2,
            ensure_all_finite=is_sparse,  # of a dense X, the pass for the norms tells
        )
        tol = check_fraction(self.tol, "tol")
        self._check_whiten()
        share = self._wanted_share()
        rank = 0 if share is not None else check_rank(self._wanted_rank(X.shape), X.shape, name="n_components")
        rng = as_generator(self.random_state, name="random_state")
        matrix, mean = centred_rows(X)
        _refuse_no_variance(X.shape, mean, matrix.frobenius_norm, float(np.finfo(X.dtype).eps))
        search = AxisSearch(matrix, tol, self.method, rng, needs_images=wants_images or self.whiten)
        axes = search.at(rank) if share is None else search.for_share(share)
        self._forget_stream()
        self._set(axes.approx, axes.shares, matrix.frobenius_norm, mean, X.shape[0])
        return axes.images

    @available_if(_takes_blocks)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Take in a block of rows; the axes are those of all blocks since the first, by a sketch of them.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_rows, n_features)
            The next rows: in the first block `n_components` or more, and 2 or more that differ.
        y : ignored
            Present for the interface.

        Returns
        -------
        SampledPCA
            This object.

        Raises
        ------
        ValueError
            If the block is no finite real matrix with the columns of the first one, or `n_components` changed.
        AttributeError
            If `n_components` is a share: the size of the sketch depends on a number.

        Warns
        -----
        UserWarning
            After `fit`, which keeps no sketch to go on from: then this starts anew.

        Notes
        -----
        Cost: l rows are kept, sqrt(l / (l - k)) - 1 <= tol, and as many in a buffer; at most 800 MB or 4 k rows.
        Error: the mean and the total variance are exact; `excess_` is at most `tol` for certain where l was not
        limited by memory. `method` and `random_state` play no part.
        """
        del y
        with all_or_nothing(self):
            self._check_whiten()
            X, stream = self._next_block(X, is_centred=True)
            stream = stream.with_block(X)
            n_rows, norm, sketch = stream.n_rows, stream.centred_norm, stream.sketch
            _refuse_no_variance((n_rows, X.shape[1]), stream.mean, norm, float(np.finfo(sketch.dtype).eps))
            approx, norm = self._found_in(stream), sketch.frobenius_norm
            self._set(approx, shares_from_sketch(approx, norm), norm, stream.mean.astype(sketch.dtype), n_rows)
            self._stream = stream
            self.n_samples_seen_: int = n_rows
        return self

    def _wanted_rank(self, shape: tuple[int, int]) -> Any:
        return min(shape) if self.n_components is None else self.n_components

    def _set(self, approx: Any, shares: Shares, norm: float, mean: FloatArray, n_samples: int) -> None:
        rank, n_features = approx.components.shape
        self.components_: FloatArray = approx.components
        self.n_components_: int = rank
        self.n_samples_: int = n_samples
        self.mean_: FloatArray = mean
        self.explained_variance_ratio_: Float64Array = shares.values
        self.explained_variance_ratio_interval_: Float64Array = shares.interval
        self.variance_source_: str = shares.source
        deviation = norm / math.sqrt(n_samples - 1)
        with np.errstate(over="ignore"):  # of entries beyond 1e154, variances are infinite
            self.explained_variance_: Float64Array = shares.values * deviation * deviation
            self.explained_variance_interval_: Float64Array = shares.interval * deviation * deviation
        self.singular_values_: Float64Array = np.sqrt(shares.values) * norm
        left = min(n_samples, n_features) - rank
        rest = max(1.0 - float(shares.values.sum()), 0.0)
        self.noise_variance_: float = rest * deviation * deviation / left if left else 0.0
        self.error_: ErrorEstimate = approx.error
        self.excess_: ErrorEstimate = approx.excess
        self.approximation_: Any = approx
        self._subtract_first: bool = mean_dominates(mean, norm, n_samples)
        # Below this a standard deviation is rounding of the data, or of the largest one.
        size = length_of(mean) * math.sqrt(n_samples)
        longest = float(self.singular_values_.max())
        floor = float(np.finfo(mean.dtype).eps) * (size + math.sqrt(max(n_samples, n_features)) * longest)
        self._has_variance: Any = self.singular_values_ > floor

    def transform(self, X: Any) -> FloatArray:
        """Return the coordinates (X - 1 mean^T) V, divided by their standard deviations if `whiten` is set.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            New data.

        Returns
        -------
        ndarray, shape (n_samples, k)
        """
        check_is_fitted(self)
        X = validated(self, X, accept_sparse=("csr", "csc"), reset=False)
        images = self._images(X)
        return self._whitened(images) if self.whiten else images

    def _images(self, X: Any) -> FloatArray:
        rows = X.tocsr() if self._subtract_first and isinstance(X, sp.csc_array | sp.csc_matrix) else X
        return centred_product(rows, self.mean_, self.components_.T, subtract_first=self._subtract_first)

    def _deviations(self) -> Float64Array:
        return self.singular_values_ / math.sqrt(self.n_samples_ - 1)

    def _whitened(self, images: FloatArray) -> FloatArray:
        scale = np.where(self._has_variance, self._deviations(), 1.0)
        whitened: FloatArray = images / scale.astype(images.dtype)
        whitened[:, ~self._has_variance] = 0.0
        return whitened

    def inverse_transform(self, X: Any) -> FloatArray:
        """Return the rows on the span of the axes whose coordinates are X, whitening undone.

        Parameters
        ----------
        X : array_like, shape (n_samples, k)
            Coordinates.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        coordinates = self._coordinates(X)
        if self.whiten:
            scale = np.where(self._has_variance, self._deviations(), 0.0)
            coordinates = coordinates * scale.astype(coordinates.dtype)
        restored: FloatArray = coordinates @ self.components_
        return restored + self.mean_

    def _check_whiten(self) -> None:
        if not isinstance(self.whiten, bool | np.bool_):
            raise TypeError(
                f"`whiten` must be True or False; got {self.whiten!r} of type {type(self.whiten).__name__}."
            )

    def _wanted_share(self) -> float | None:
        """Return the share of the variance that is asked for, None for a number of components."""
        wanted: Any = self.n_components
        is_share = isinstance(wanted, float | np.floating)
        if isinstance(wanted, str) or (is_share and not 0.0 < wanted < 1.0):
            advice = " For 'mle' take scikit-learn's PCA: it needs all eigenvalues." if isinstance(wanted, str) else ""
            raise ValueError(f"`n_components` must be an integer, a share in (0, 1) or None; got {wanted!r}.{advice}")
        return float(wanted) if is_share else None


def _refuse_no_variance(shape: tuple[int, int], mean: FloatArray, norm: float, precision: float) -> None:
    """Refuse rows that are equal, or as near to it as the rounding of their mean."""
    if norm <= 2.0 * precision * math.sqrt(shape[0]) * length_of(mean):
        raise ZeroMassError(
            f"`X` must have two rows that differ; all {shape[0]} rows of this matrix of shape {shape} are equal, to "
            "rounding."
        )
