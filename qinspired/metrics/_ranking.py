"""Quality of ranked recommendations against held-out items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_count, check_csr

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import IntArray

__all__ = ["RankingScores", "ndcg_at_k", "precision_at_k", "ranking_scores", "recall_at_k"]


@dataclass(frozen=True, slots=True)
class RankingScores:
    """Means of three ranking metrics over the users with at least one relevant item.

    Attributes
    ----------
    precision : float
        Mean of hits/k.
    recall : float
        Mean of hits/|relevant|.
    ndcg : float
        Mean of DCG/ideal DCG.
    n_users : int
        Users counted. The others have no relevant item, and no metric is defined for them.
    k : int
        Length of the lists that were judged.
    """

    precision: float
    recall: float
    ndcg: float
    n_users: int
    k: int


def ranking_scores(recommended: npt.ArrayLike, relevant: Any, k: int | None = None) -> RankingScores:
    """Return precision, recall and NDCG at k, and the number of users they are means over.

    Parameters
    ----------
    recommended : array_like of int, shape (n_users, K)
        Item ids of each user, best first, without repeats; -1 pads a short list.
    relevant : sparse, shape (n_users, n_items)
        Held-out items: those with a stored value > 0 are relevant.
    k : int, optional
        Length of the lists to judge, in [1, K]; by default K.

    Returns
    -------
    RankingScores
        The means and the count.

    Raises
    ------
    ValueError
        If the shapes do not match, an id is repeated for a user, `k` is outside [1, K] or no user has a
        relevant item.
    IndexError
        If an id is not -1 and not in [0, n_items).
    TypeError
        If ids are not integers or `relevant` is not sparse.

    Notes
    -----
    For a user with #R relevant items and hit_i = 1 if the i-th recommended item is one of them, else 0:

    - precision = sum hit_i / k, also where the list is shorter than k or #R < k;
    - recall = sum hit_i / #R;
    - ndcg = sum hit_i/log2(i + 1) / sum_{i <= min(k, #R)} 1/log2(i + 1).

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from qinspired.metrics import ranking_scores
    >>> relevant = csr_array([[1, 0, 1, 0], [0, 0, 0, 0]])
    >>> scores = ranking_scores([[0, 1], [2, 3]], relevant)
    >>> scores.precision, scores.recall, scores.n_users
    (0.5, 0.5, 1)
    """
    if not sp.issparse(relevant):
        raise TypeError(
            f"`relevant` must be a sparse matrix of users by items; got {type(relevant).__name__}. "
            "Convert it with `scipy.sparse.csr_array`."
        )
    held_out = check_csr(relevant, "relevant")
    ids = _check_recommended(recommended, held_out.shape)
    length = ids.shape[1] if k is None else check_count(k, "k", low=1)
    if length > ids.shape[1]:
        raise ValueError(f"`k` must be in [1, {ids.shape[1]}], the length of the lists; got {length}.")
    n_users, n_items = held_out.shape
    positive = held_out.data > 0
    users = np.repeat(np.arange(n_users), np.diff(held_out.indptr))[positive]
    n_relevant = np.bincount(users, minlength=n_users)
    counted = n_relevant > 0
    if not counted.any():
        raise ValueError("`relevant` must have at least one value > 0; got none. Hold out more ratings.")
    # One sorted key for each relevant pair: membership is a binary search.
    keys = users * np.int64(n_items) + held_out.indices[positive]
    wanted = np.arange(n_users)[:, None] * np.int64(n_items) + ids[:, :length]
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    hits = ((keys[place] == wanted) & (ids[:, :length] >= 0)).astype(np.float64)[counted]
    sizes = n_relevant[counted]
    discounts = 1.0 / np.log2(np.arange(2, length + 2))
    ideal = np.cumsum(discounts)[np.minimum(sizes, length) - 1]
    return RankingScores(
        precision=float(np.mean(hits.sum(axis=1) / length)),
        recall=float(np.mean(hits.sum(axis=1) / sizes)),
        ndcg=float(np.mean((hits @ discounts) / ideal)),
        n_users=int(counted.sum()),
        k=length,
    )


def precision_at_k(recommended: npt.ArrayLike, relevant: Any, k: int | None = None) -> float:
    """Return the mean over users of hits/k; arguments, errors and formula as in `ranking_scores`.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from qinspired.metrics import precision_at_k
    >>> precision_at_k([[0, 1, -1, -1]], csr_array([[1, 0, 1, 0]]))
    0.25
    """
    return ranking_scores(recommended, relevant, k).precision


def recall_at_k(recommended: npt.ArrayLike, relevant: Any, k: int | None = None) -> float:
    """Return the mean over users of hits/|relevant|; arguments, errors and formula as in `ranking_scores`.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from qinspired.metrics import recall_at_k
    >>> recall_at_k([[0, 1, -1, -1]], csr_array([[1, 0, 1, 0]]))
    0.5
    """
    return ranking_scores(recommended, relevant, k).recall


def ndcg_at_k(recommended: npt.ArrayLike, relevant: Any, k: int | None = None) -> float:
    """Return the mean over users of DCG/ideal DCG; arguments, errors and formula as in `ranking_scores`.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from qinspired.metrics import ndcg_at_k
    >>> ndcg_at_k([[0, 2]], csr_array([[1, 0, 1, 0]]))
    1.0
    """
    return ranking_scores(recommended, relevant, k).ndcg


def _check_recommended(recommended: Any, shape: tuple[int, int]) -> IntArray:
    ids = np.asarray(recommended)
    n_users, n_items = shape
    if ids.ndim != 2 or ids.shape[0] != n_users or ids.shape[1] == 0:
        hint = " It looks transposed." if ids.ndim == 2 and ids.shape[1] == n_users else ""
        raise ValueError(
            f"`recommended` must have shape ({n_users}, K), one row for each row of `relevant`; got {ids.shape}.{hint}"
        )
    if ids.dtype.kind not in "iu":
        raise TypeError(f"`recommended` must hold integer item ids; got dtype {ids.dtype}.")
    if int(ids.min()) < -1 or int(ids.max()) >= n_items:
        bad = ids.min() if ids.min() < -1 else ids.max()
        raise IndexError(f"`recommended` must hold -1 or ids in [0, {n_items}); got {bad}.")
    ordered = np.sort(ids.astype(np.int64), axis=1)
    repeated = (np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] >= 0)
    if repeated.any():
        user = int(np.argmax(repeated.any(axis=1)))
        raise ValueError(f"`recommended` must not repeat an item for a user; row {user} does.")
    return ids.astype(np.int64)
