"""From (user, item, value) triples to a matrix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

__all__ = ["is_integer_id", "ratings_matrix", "sort_ids"]

# An integer written in the one canonical way: "007" and "7" must stay different ids. 18 digits fit an int64.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def is_integer_id(text: str) -> bool:
    """Tell whether a text is the canonical form of an integer id."""
    return _INTEGER.fullmatch(text) is not None


def sort_ids(names: Sequence[str], codes: IntArray) -> tuple[npt.NDArray[Any], IntArray]:
    """Return the distinct ids in ascending order, as int64 if all are integers, and the codes renumbered."""
    ids: npt.NDArray[Any]
    if all(is_integer_id(name) for name in names):
        ids = np.array([int(name) for name in names], dtype=np.int64)
    else:
        ids = np.array(names, dtype=np.str_)
    order = np.argsort(ids, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return ids[order], rank[codes]


def ratings_matrix(users: IntArray, items: IntArray, values: Float64Array, shape: tuple[int, int]) -> sp.csr_array[Any]:
    """Return canonical CSR; the last of repeated (user, item) pairs wins and zeros stay stored."""
    order = np.lexsort((items, users))  # stable: repeats stay in the order of the file
    users, items, values = users[order], items[order], values[order]
    last = np.ones(len(users), dtype=bool)
    last[:-1] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    users, items, values = users[last], items[last], values[last]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(users, minlength=shape[0]))))
    return sp.csr_array((values, items, indptr), shape=shape)
