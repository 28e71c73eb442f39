"""What an estimator checks of its input, what it does if it is interrupted, and what a copy of it has."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import validate_data

from qinspired.access import OversampledMatrix, has_access

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["SharesResult", "all_or_nothing", "refuse_access", "validated"]


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


class SharesResult:
    """An estimator with a result that refers to the data it was fitted to.

    A pickle leaves that out, as it would be as large as the data; copies share it, and a shallow one all the rest.
    """

    _result = "solution_"

    def __getstate__(self) -> dict[str, Any]:
        found: Any = super().__getstate__()
        state: dict[str, Any] = dict(found)
        state.pop(self._result, None)
        return state

    def __copy__(self) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        for name, value in vars(self).items():
            other.__dict__[name] = value if name == self._result else copy.deepcopy(value, memo)
        return other
