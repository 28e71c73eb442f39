"""Classification by ridge regression on targets of +-1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_nonnegative
from qinspired.estimators._checked import SharesResult, all_or_nothing, validated
from qinspired.estimators._ridge_fit import IndexedRidge, check_method, check_weights, narrowed

if TYPE_CHECKING:
    from typing import Self

    from qinspired._typing import Float64Array, FloatArray, RNGLike
    from qinspired.algorithms import ErrorEstimate, LeastSquaresSolution

__all__ = ["SampledRidgeClassifier", "check_classes"]


class SampledRidgeClassifier(SharesResult, ClassifierMixin, BaseEstimator):
    """Linear classification by ridge regression on targets of +-1, one a class; like `RidgeClassifier`.

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the penalty, >= 0. The intercept is not penalised.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which the sample weights are multiplied; "balanced" gives all classes the same
        total weight. Unlike in `RidgeClassifier`, it counts a row of weight 2 as two.
    tol : float, default=0.01
        Largest relative distance of the fitted values from those of the exact solution, as in `SampledRidge`.
    method : str, default="auto"
        Any method of `least_squares` but "implicit", which forms no weights; "auto" takes what it predicts to be
        fastest.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the randomness. An int makes `fit` repeatable.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray, shape (1, n_features) or (n_classes, n_features)
        The weights w, one row for two classes; of the type of X (float32 or float64), or of float64 where float32
        cannot hold them.
    intercept_ : ndarray, shape (1,) or (n_classes,)
        The intercepts.
    error_, residual_ : tuple of ErrorEstimate
        As in `SampledRidge`, one for each row of `coef_`.
    solution_ : tuple of LeastSquaresSolution or None
        As in `SampledRidge`; not pickled.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, where X had names that are all strings.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range; X, y or the weights are not finite or differ in length; or there are
        fewer than two classes.

    Warns
    -----
    ToleranceNotMetWarning
        In `fit`, if a method pinned by name ended before its certificate met `tol`.

    See Also
    --------
    SampledRidge : The regression.

    Notes
    -----
    Cost: that of `SampledRidge` with a target for each class, all through one index of X.
    Error: as certified by `error_`. A label differs from that of the exact solution only where two scores are closer
    than the errors of both.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((20_000, 10))
    >>> y = np.where(X[:, 0] + X[:, 1] > 0.3, "high", "low")
    >>> model = qi.SampledRidgeClassifier(tol=0.05, random_state=0).fit(X, y)
    >>> model.classes_.tolist(), bool(model.score(X, y) > 0.9)
    (['high', 'low'], True)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 0.01,
        method: str = "auto",
        random_state: RNGLike = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the weights of each class.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : array_like or sparse matrix, shape (n_samples,) or (n_samples, n_labels)
            Labels; with several columns of 0 and 1, each column says whether a row has a label. A sparse one is made
            dense.
        sample_weight : array_like, shape (n_samples,), or float, optional
            Weights >= 0, not all zero.

        Returns
        -------
        SampledRidgeClassifier
            This object.
        """
        with all_or_nothing(self):
            method = check_method(self.method)
            is_sparse: bool = sp.issparse(y)
            if is_sparse:
                y = y.toarray()
            X, y = validated(self, X, y, accept_sparse="csr", multi_output=True)
            alpha = check_nonnegative(self.alpha, "alpha")
            tol = check_fraction(self.tol, "tol")
            rng = as_generator(self.random_state, name="random_state")
            weights = check_weights(sample_weight, X.shape[0])
            y = check_classes(self, y)
            if self.class_weight is not None:
                weights = _with_class_weights(self.class_weight, y, weights)
                if not weights.any():
                    raise ValueError("`class_weight` must leave a row of positive weight; it makes all of them zero.")
                weights = check_weights(weights, X.shape[0])
            binarizer = LabelBinarizer(pos_label=1, neg_label=-1)
            targets: Float64Array = np.asarray(binarizer.fit_transform(y), dtype=np.float64)
            problem = IndexedRidge(X, targets, weights, alpha=alpha, fit_intercept=bool(self.fit_intercept), tol=tol)
            fit = problem.fit(alpha, method=method, rng=rng)
            self.classes_: Any = binarizer.classes_
            self._multilabel: bool = binarizer.y_type_.startswith("multilabel")
            self.coef_: FloatArray = narrowed(fit.coef, X.dtype)
            self.intercept_: FloatArray = narrowed(fit.intercept, X.dtype)
            self.error_: tuple[ErrorEstimate, ...] = fit.errors
            self.residual_: tuple[ErrorEstimate, ...] = fit.residuals
            self.solution_: tuple[LeastSquaresSolution | None, ...] = fit.solutions
        return self

    def decision_function(self, X: Any) -> FloatArray:
        """Return X w + w_0, the scores of the classes; of the second one, > 0 or not, where there are two.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            New data.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_classes)
        """
        check_is_fitted(self, "coef_")
        X = validated(self, X, accept_sparse=("csr", "csc"), reset=False)
        scores: FloatArray = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.coef_) == 1 else scores

    def predict(self, X: Any) -> Any:
        """Return the label with the largest score; or, for columns of labels, 1 where the score is positive.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            New data.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_labels)
        """
        scores = self.decision_function(X)
        if self._multilabel:
            return (np.atleast_2d(scores.T).T > 0).astype(np.int64)
        winners = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[winners]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags


def _with_class_weights(class_weight: Any, labels: Any, weights: Float64Array | None) -> Float64Array:
    """Return the sample weights times those of the classes."""
    shares = np.ones(len(labels)) if weights is None else weights
    if isinstance(class_weight, dict):
        for label, factor in class_weight.items():
            check_nonnegative(factor, f"class_weight[{label!r}]")
    if not (isinstance(class_weight, str) and class_weight == "balanced"):
        by_class: Float64Array = compute_sample_weight(class_weight, labels)
        return shares * by_class
    factors = np.ones(len(labels))
    for column in labels.reshape(len(labels), -1).T:
        classes, numbers = np.unique(column, return_inverse=True)
        masses = np.bincount(numbers, weights=shares, minlength=len(classes))
        # A class whose rows all have weight 0 is as good as none.
        factors *= shares.sum() / (np.count_nonzero(masses) * np.where(masses > 0.0, masses, 1.0))[numbers]
    return shares * factors


def check_classes(estimator: Any, y: Any) -> Any:
    """Return labels, of two classes or more; a column of them as a vector."""
    check_classification_targets(y)
    labels = np.asarray(y)
    if type_of_target(y).startswith("multilabel"):
        return labels
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = column_or_1d(labels, warn=True)
    if labels.ndim != 1:
        raise ValueError(f"`y` must be one column of labels, or columns of 0 and 1; got shape {labels.shape}.")
    n_classes = len(np.unique(labels))
    if n_classes < 2:
        raise ValueError(f"`y` must have at least two classes for {type(estimator).__name__}; got {n_classes} class.")
    return labels
