"""Helpers of the recommender: requests for users, and the largest scores of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_indices, check_matrix

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray

__all__ = ["as_interactions", "check_new_rows", "check_users", "top_items"]


def as_interactions(X: Any, name: str) -> sp.csr_array[Any]:
    """Return a finite canonical CSR array; the non-zero entries of a dense one are its interactions."""
    matrix = check_matrix(X, name)
    return matrix if sp.issparse(matrix) else sp.csr_array(matrix)


def check_users(users: Any, n_users: int) -> tuple[IntArray, bool]:
    """Return user ids as a vector, and whether one scalar was asked for."""
    single = np.ndim(users) == 0
    return check_indices(np.atleast_1d(np.asarray(users)), n_users, "users"), single


def check_new_rows(interactions: Any, users: Any, n_users: int, n_items: int) -> tuple[sp.csr_array[Any], bool]:
    """Return rows of new users, one for each user asked for, and whether one scalar was asked for."""
    rows = as_interactions(interactions, "interactions")
    if rows.shape[1] != n_items:
        hint = " It looks transposed: pass users as rows." if rows.shape[0] == n_items else ""
        raise ValueError(
            f"`interactions` must have a column for each of the {n_items} items of fit; got shape {rows.shape}.{hint}"
        )
    if users is None:
        return rows, False
    # The ids only name the rows, so new ones beyond those of fit are fine.
    ids, single = check_users(users, np.iinfo(np.int64).max)
    if len(ids) != rows.shape[0]:
        hint = " Pass `interactions[users]`." if rows.shape[0] == n_users else ""
        raise ValueError(
            f"`interactions` must have one row for each of the {len(ids)} users asked for; got "
            f"{rows.shape[0]} rows.{hint}"
        )
    return rows, single


def top_items(scores: Float64Array, n: int) -> tuple[IntArray, Float64Array]:
    """Return the n best items of each row and their scores; -inf is never taken, ties go to the lower id.

    Short rows are padded with -1 and NaN.
    """
    n_rows, n_items = scores.shape
    ids = np.full((n_rows, n), -1, dtype=np.int64)
    best = np.full((n_rows, n), np.nan)
    if n < n_items:
        thresholds = np.partition(scores, n_items - n, axis=1)[:, n_items - n]
    else:
        thresholds = np.full(n_rows, -np.inf)
    for row in range(n_rows):
        candidates = np.flatnonzero((scores[row] >= thresholds[row]) & (scores[row] > -np.inf))
        order = candidates[np.argsort(-scores[row, candidates], kind="stable")[:n]]
        ids[row, : len(order)] = order
        best[row, : len(order)] = scores[row, order]
    return ids, best
