"""Trigonometric polynomials fitted by ridge regression: classical surrogates of variational circuits."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_nonnegative, check_positive
from qinspired.baselines.quantum._kernels import check_angles

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["FourierSurrogateClassifier", "FourierSurrogateRegressor"]

_SAMPLINGS = ("tree", "grid")
_LARGEST_GRID = 20_000
# With features of 1e6 radians, the most allowed, the phases keep three digits of a turn.
_LARGEST_DEGREE = 1_000_000
# Sums and quotients of targets of this size stay within the floats.
_LARGEST_TARGET = 1e250


class _FourierSurrogate(BaseEstimator):  # type: ignore[misc]
    """Features cos(omega x), sin(omega x), and the ridge regression on them."""

    def __init__(
        self,
        degree: int = 1,
        *,
        n_frequencies: int = 200,
        sampling: str = "tree",
        alpha: float = 1e-3,
        bandwidth: float = 1.0,
        random_state: RNGLike = None,
    ) -> None:
        self.degree = degree
        self.n_frequencies = n_frequencies
        self.sampling = sampling
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.random_state = random_state

    def _fit_targets(self, X: Float64Array, targets: Float64Array) -> None:
        degree = check_count(self.degree, "degree", low=1)
        if degree > _LARGEST_DEGREE:
            raise ValueError(
                f"`degree` must be at most {_LARGEST_DEGREE}, beyond which phases have no digits; got {degree}."
            )
        largest = float(np.abs(targets).max())
        if largest > _LARGEST_TARGET:
            raise ValueError(f"`y` must be of entries up to {_LARGEST_TARGET:g}; got {largest:.3g}. Scale `y`.")
        alpha = check_nonnegative(self.alpha, "alpha")
        bandwidth = check_positive(self.bandwidth, "bandwidth")
        n_frequencies = check_count(self.n_frequencies, "n_frequencies", low=1)
        if self.sampling not in _SAMPLINGS:
            raise ValueError(f"`sampling` must be one of {', '.join(_SAMPLINGS)}; got {self.sampling!r}.")
        if self.sampling == "grid":
            frequencies, shares = _all_frequencies(X.shape[1], degree)
        else:
            rng = as_generator(self.random_state, name="random_state")
            frequencies, shares = _drawn_frequencies(X.shape[1], degree, n_frequencies, rng)
        self.frequencies_: IntArray = frequencies
        self._scales: Float64Array = np.sqrt(shares)
        self._bandwidth = bandwidth
        features = self._features(X)
        means = features.mean(axis=0)
        left, sizes, right = np.linalg.svd(features - means, full_matrices=False)
        cut = max(features.shape) * np.finfo(np.float64).eps * sizes.max(initial=0.0)
        kept = sizes > cut
        # The penalty is per row, so that it means the same at any number of them.
        filters = sizes[kept] / (sizes[kept] ** 2 + alpha * len(X))
        self.coef_: Float64Array = (right[kept].T * filters) @ (left[:, kept].T @ (targets - targets.mean(axis=0)))
        self.intercept_: Float64Array = targets.mean(axis=0) - means @ self.coef_

    def _features(self, X: Float64Array) -> Float64Array:
        angles = check_angles(X, self._bandwidth, "X") @ self.frequencies_.T
        return np.hstack((np.cos(angles) * self._scales, np.sin(angles) * self._scales))

    def _scores(self, X: Any) -> Float64Array:
        check_is_fitted(self, "coef_")
        points = validate_data(self, X, dtype=np.float64, reset=False)
        scores: Float64Array = self._features(points) @ self.coef_ + self.intercept_
        return scores


class FourierSurrogateRegressor(RegressorMixin, _FourierSurrogate):  # type: ignore[misc]
    r"""Ridge regression on the Fourier features of a re-uploading circuit: its random-Fourier-feature surrogate [1]_.

    A circuit that rotates each qubit i by x_i in L layers has as expectation value a trigonometric polynomial with
    frequencies in {-L..L}^d. The surrogate fits such polynomials by linear algebra, without the circuit.

    Parameters
    ----------
    degree : int, default=1
        The L of the circuit, uploads of each feature; at most 1,000,000.
    n_frequencies : int, default=200
        Draws of frequencies, with repetition; not used by ``sampling="grid"``.
    sampling : {"tree", "grid"}, default="tree"
        - ``"tree"``: each entry of a frequency is Binomial(2L, 1/2) - L, as often as the paths that lead to it.
        - ``"grid"``: all of {-L..L}^d, with equal weight; at most 20,000 up to sign.
    alpha : float, default=1e-3
        Penalty >= 0 on the squared coefficients, times the number of rows. At 0 the solution of least norm.
    bandwidth : float, default=1.0
        Factor > 0 of the features, which are angles in radians.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the frequencies.

    Attributes
    ----------
    frequencies_ : ndarray of int64, shape (n_kept, n_features)
        Distinct frequencies other than 0, one of each pair of +omega and -omega.
    coef_ : ndarray, shape (2 n_kept,)
        Weights of the cosines, then of the sines.
    intercept_ : float
        The constant term; not penalised.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range, the data are not finite, or the grid is too large.

    Notes
    -----
    With "tree" the kernel of the features tends to prod_i cos^2L((x_i - y_i) / 2), for L = 1 that of the angle
    embedding. With "grid", alpha = 0 and the (2L + 1)^d points of the grid 2 pi k / (2L + 1), the surrogate of a
    trained circuit is exact everywhere [2]_.
    Cost: one SVD of rows x 2 n_kept. A prediction is 2 n_kept n_features operations.
    Error: as good as the circuit if the weight of the circuit's function lies on the frequencies drawn; this fails
    where it is spread over far more frequencies than are drawn.

    References
    ----------
    .. [1] J. Landman, S. Thabet, C. Dalyac, H. Mhiri and E. Kashefi, "Classically approximating variational quantum
       machine learning with random Fourier features", ICLR 2023, arXiv:2210.13200.
    .. [2] F. J. Schreiber, J. Eisert and J. J. Meyer, "Classical surrogates for quantum learning models", Physical
       Review Letters 131, 100803, 2023, arXiv:2206.11740.

    Differs from [1]_: equal draws are one feature of larger weight, and the constant is an intercept. "grid" is all of
    the spectrum, as in [2]_; the "Grid" of [1]_ samples a grid laid over a spectrum that is not of integers.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import FourierSurrogateRegressor
    >>> X = np.random.default_rng(0).uniform(-3, 3, size=(50, 2))
    >>> y = np.cos(X[:, 0] - X[:, 1])
    >>> model = FourierSurrogateRegressor(sampling="grid", alpha=0.0).fit(X, y)
    >>> model.predict([[1.0, 1.0]]).round(9).tolist()
    [1.0]
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the polynomial.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points, angles in radians.
        y : array_like, shape (n_samples,)
            Targets.

        Returns
        -------
        FourierSurrogateRegressor
            This object.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self._fit_targets(X, np.asarray(y, dtype=np.float64))
        return self

    def predict(self, X: Any) -> Float64Array:
        """Return the values of the polynomial.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        return self._scores(X)


class FourierSurrogateClassifier(ClassifierMixin, _FourierSurrogate):  # type: ignore[misc]
    r"""Classification by `FourierSurrogateRegressor` on targets of +-1, one a class: what a circuit could give [1]_.

    Parameters
    ----------
    degree, n_frequencies, sampling, alpha, bandwidth, random_state
        As in `FourierSurrogateRegressor`.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels, sorted.
    frequencies_, coef_, intercept_
        As in `FourierSurrogateRegressor`; one target for two classes, else one for each.

    Raises
    ------
    ValueError, TypeError
        In `fit`, as in `FourierSurrogateRegressor`, or if there are fewer than two classes.

    See Also
    --------
    FourierSurrogateRegressor : The regression, with the conditions under which it is exact.

    References
    ----------
    .. [1] J. Landman, S. Thabet, C. Dalyac, H. Mhiri and E. Kashefi, "Classically approximating variational quantum
       machine learning with random Fourier features", ICLR 2023, arXiv:2210.13200.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import FourierSurrogateClassifier
    >>> X = np.random.default_rng(0).uniform(-3, 3, size=(200, 2))
    >>> y = np.where(np.cos(X[:, 0] + X[:, 1]) > 0, "in", "out")
    >>> FourierSurrogateClassifier(degree=2, random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit a polynomial for each class.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points, angles in radians.
        y : array_like, shape (n_samples,)
            Labels.

        Returns
        -------
        FourierSurrogateClassifier
            This object.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_: Any
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"`y` must have at least two classes; got {len(self.classes_)} class.")
        if len(self.classes_) == 2:
            self._fit_targets(X, np.asarray(2.0 * codes - 1.0, dtype=np.float64))
        else:
            is_class = codes[:, None] == np.arange(len(self.classes_))
            self._fit_targets(X, np.asarray(np.where(is_class, 1.0, -1.0), dtype=np.float64))
        return self

    def decision_function(self, X: Any) -> Float64Array:
        """Return the scores of the classes; of the second one, > 0 or not, where there are two.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_classes)
        """
        return self._scores(X)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the labels of the largest score.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        scores = self._scores(X)
        winners = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[winners]
        return labels


def _all_frequencies(n_features: int, degree: int) -> tuple[IntArray, Float64Array]:
    digits = n_features * math.log10(2 * degree + 1)  # the count itself may be beyond the floats
    if digits > math.log10(2 * _LARGEST_GRID + 1):
        raise ValueError(
            f'`sampling` must be "tree" here: the grid of degree {degree} in {n_features} features has about '
            f"10^{digits - math.log10(2):.1f} frequencies up to sign, more than {_LARGEST_GRID}."
        )
    every = np.array(list(itertools.product(range(-degree, degree + 1), repeat=n_features)), dtype=np.int64)
    half = every[len(every) // 2 + 1 :]  # in this order omega and -omega are mirror images about 0
    return half, np.full(len(half), 1.0 / len(half))


def _drawn_frequencies(
    n_features: int, degree: int, count: int, rng: np.random.Generator
) -> tuple[IntArray, Float64Array]:
    """Return the distinct draws other than 0, up to sign, and their shares of all draws."""
    drawn = rng.binomial(2 * degree, 0.5, size=(count, n_features)) - degree
    first = np.take_along_axis(drawn, (drawn != 0).argmax(axis=1)[:, None], axis=1)
    canonical = drawn * np.where(first < 0, -1, 1)
    distinct, counts = np.unique(canonical, axis=0, return_counts=True)
    used = distinct.any(axis=1)
    return distinct[used].astype(np.int64), counts[used] / count
