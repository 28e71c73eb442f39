"""What an estimator checks of its input, and what it does if it is interrupted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import validate_data

from qinspired.access import OversampledMatrix, has_access

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["all_or_nothing", "refuse_access", "validated"]


def refuse_access(X: Any) -> None:
    """Refuse a matrix with sample-and-query access, which scikit-learn's checks would take for a single number."""
    if has_access(X) or isinstance(X, OversampledMatrix):
        raise TypeError(
            f"`X` must be an array, a data frame or a sparse matrix; got a {type(X).__name__}, which has "
            "sample-and-query access. Pass the matrix that it was made from, of which the estimator makes an index, "
            "or call `low_rank` or `least_squares`, which take it as it is."
        )


def validated(estimator: Any, X: Any, *more: Any, **options: Any) -> Any:
    """Return what scikit-learn's `validate_data` makes of X, of float64 or float32; a sparse y is refused."""
    refuse_access(X)
    is_sparse: bool = bool(more) and sp.issparse(more[0])
    if is_sparse:
        raise TypeError("`y` must be dense; call y.toarray().")
    return validate_data(estimator, X, *more, dtype=[np.float64, np.float32], **options)


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Give an estimator back all of its attributes if what is done here ends in an error, or by Ctrl-C."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # one assignment, which is made or not
        raise
