"""Hold-out of ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_csr, check_fraction, first_nonfinite, raise_nonfinite

if TYPE_CHECKING:
    from qinspired._typing import RNGLike

__all__ = ["train_test_split_ratings"]


def train_test_split_ratings(
    matrix: Any, *, test_fraction: float = 0.2, rng: RNGLike = None
) -> tuple[sp.csr_array[Any], sp.csr_array[Any]]:
    """Return disjoint train and test parts of a ratings matrix, with a share of each user's ratings held out.

    Parameters
    ----------
    matrix : sparse, shape (n_users, n_items)
        Ratings; stored zeros are ratings too.
    test_fraction : float
        Share of a user's ratings in the test part, in (0, 1). A user with d ratings gives the nearest
        integer to test_fraction d (halves up), but keeps at least one for training.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the draws.

    Returns
    -------
    train, test : csr_array, shape (n_users, n_items)
        Every stored rating is in exactly one of them.

    Raises
    ------
    TypeError
        If `matrix` is not sparse.
    ValueError
        If `test_fraction` is outside (0, 1) or a rating is not finite.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from qinspired.datasets import train_test_split_ratings
    >>> ratings = csr_array([[5, 4, 3, 2], [0, 0, 1, 0]])
    >>> train, test = train_test_split_ratings(ratings, test_fraction=0.5, rng=0)
    >>> train.nnz, test.nnz, float((train + test).sum())
    (3, 2, 15.0)
    """
    if not sp.issparse(matrix):
        raise TypeError(
            f"`matrix` must be a sparse matrix of users by items; got {type(matrix).__name__}. "
            "Convert it with `scipy.sparse.csr_array`."
        )
    fraction = check_fraction(test_fraction, "test_fraction")
    ratings = check_csr(matrix, "matrix")
    where = first_nonfinite(ratings.data)
    counts = np.diff(ratings.indptr)
    users = np.repeat(np.arange(ratings.shape[0]), counts)
    if where is not None:
        raise_nonfinite("matrix", (int(users[where]), int(ratings.indices[where])), ratings.data[where])
    order = np.lexsort((as_generator(rng).random(ratings.nnz), users))
    place = np.empty(ratings.nnz, dtype=np.int64)
    place[order] = np.arange(ratings.nnz)
    place -= ratings.indptr[users]  # rank of each rating in a random order of its user's
    n_test = np.minimum((fraction * counts + 0.5).astype(np.int64), np.maximum(counts - 1, 0))
    held_out = place < n_test[users]
    return _part(ratings, ~held_out), _part(ratings, held_out)


def _part(ratings: sp.csr_array[Any], kept: Any) -> sp.csr_array[Any]:
    before = np.concatenate(([0], np.cumsum(kept)))
    return sp.csr_array((ratings.data[kept], ratings.indices[kept], before[ratings.indptr]), shape=ratings.shape)
