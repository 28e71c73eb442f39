"""What loaders and readers return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array

__all__ = ["Ratings", "Regression"]


@dataclass(frozen=True, slots=True)
class Ratings:
    """A users by items matrix of ratings with the ids behind its rows and columns.

    Attributes
    ----------
    matrix : csr_array of float64, shape (n_users, n_items)
        Ratings; what is not stored is unknown, and a rating of 0 is stored as an explicit zero.
    user_ids : ndarray, shape (n_users,)
        Id of each row: int64 where every id is an integer, else str; ascending.
    item_ids : ndarray, shape (n_items,)
        Id of each column, likewise.
    name : str
        Short name of the data.
    source : str
        Where it comes from.
    """

    matrix: sp.csr_array[Any]
    user_ids: npt.NDArray[Any]
    item_ids: npt.NDArray[Any]
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Regression:
    """A regression problem y ~ X x.

    Attributes
    ----------
    X : ndarray of float64, shape (m, n)
        Features.
    y : ndarray of float64, shape (m,)
        Target.
    feature_names : tuple of str
        Names of the n columns.
    name : str
        Short name of the data.
    source : str
        Where it comes from and what was done to it.
    """

    X: Float64Array
    y: Float64Array
    feature_names: tuple[str, ...]
    name: str
    source: str
