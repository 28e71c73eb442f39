"""Quality of recommendations on held-out ratings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired import baselines, datasets, metrics
from qinspired.estimators import SampledRecommender

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse as sp

    from qinspired._typing import Float64Array, IntArray
    from qinspired.experiments._task import Task

__all__ = ["RecommendationReport", "RecommenderScore", "Suggestion", "recommend_all"]

_LIST_LENGTH = 10
_TEST_FRACTION = 0.2
_SUGGESTIONS = 3
_SUGGESTION_LENGTH = 5
_BLOCK_SCORES = 4_000_000


@dataclass(frozen=True, slots=True)
class RecommenderScore:
    """Ranking quality of one recommender.

    Attributes
    ----------
    name : str
        The recommender.
    fit_seconds : float
        Wall time of the fit, index included.
    precision, recall, ndcg : float
        At `k` of the report, means over users.
    """

    name: str
    fit_seconds: float
    precision: float
    recall: float
    ndcg: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one user is recommended.

    Attributes
    ----------
    user : str
        The user's id.
    best, drawn, held_out : tuple of str
        Ids of the items ranked first, of items drawn by squared score, and of the best ones that are among
        the user's held-out ratings.
    """

    user: str
    best: tuple[str, ...]
    drawn: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecommendationReport:
    """Scores of the recommenders and a sample of their work.

    Attributes
    ----------
    scores : tuple of RecommenderScore
        One for each recommender; empty where no rating could be held out.
    suggestions : tuple of Suggestion
        From `SampledRecommender`.
    k : int
        Length of the judged lists.
    n_users : int
        Users with a held-out rating.
    note : str
        How ratings were held out, or why there are no scores.
    """

    scores: tuple[RecommenderScore, ...]
    suggestions: tuple[Suggestion, ...]
    k: int
    n_users: int
    note: str


def recommend_all(task: Task, seed: int) -> RecommendationReport:
    """Hold out a fifth of each user's ratings and judge popularity, the exact SVD and `SampledRecommender`.

    Parameters
    ----------
    task : Task
        With ratings.
    seed : int
        Of the split, the solvers and the draws.

    Returns
    -------
    RecommendationReport
        A held-out item counts as relevant if its rating is above 0, whatever its value.
    """
    if task.ratings is None:
        raise ValueError(f"the task {task.name!r} must have ratings to recommend from.")
    train, test = datasets.train_test_split_ratings(task.ratings.matrix, test_fraction=_TEST_FRACTION, rng=seed)
    k = min(_LIST_LENGTH, train.shape[1])
    if not (test.data > 0).any() or not train.data.any():
        return RecommendationReport(
            (), (), k, 0, "No recommendation is judged: no user has enough ratings above 0 to hold one out."
        )
    popularity = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float64)
    scores = []
    n_users = 0

    def judge(name: str, seconds: float, lists: IntArray) -> None:
        nonlocal n_users
        found = metrics.ranking_scores(lists, test, k)
        n_users = found.n_users
        scores.append(RecommenderScore(name, seconds, found.precision, found.recall, found.ndcg))

    judge("popularity", 0.0, _top(train, k, lambda rows: np.tile(popularity, (rows.shape[0], 1))))
    if task.rank < min(train.shape):
        exact = baselines.svds(train, task.rank, rng=seed)
        V = exact.components.T
        judge(f"exact rank-{task.rank} SVD", exact.seconds, _top(train, k, lambda rows: (rows @ V) @ V.T))
    started = time.perf_counter()
    model = SampledRecommender(task.rank, tol=task.tolerance, random_state=seed).fit(train)
    seconds = time.perf_counter() - started
    lists, _ = model.recommend(np.arange(train.shape[0]), k)
    judge("qinspired SampledRecommender", seconds, lists)
    note = (
        f"A random fifth of each user's ratings is held out; rank {task.rank}; means over {n_users} users; "
        "unrated items count as 0 in the matrix."
    )
    return RecommendationReport(tuple(scores), _suggest(task, model, test, seed), k, n_users, note)


def _suggest(task: Task, model: SampledRecommender, test: sp.csr_array[Any], seed: int) -> tuple[Suggestion, ...]:
    ratings = task.ratings
    if ratings is None:
        return ()
    users = np.flatnonzero(np.diff(test.indptr) > 0)[:_SUGGESTIONS]
    n = min(_SUGGESTION_LENGTH, ratings.matrix.shape[1])
    best, _ = model.recommend(users, n)
    drawn = model.sample_recommendations(users, n, seed)
    found = []
    for place, user in enumerate(users):
        held_out = set(test.indices[test.indptr[user] : test.indptr[user + 1]].tolist())
        chosen = [int(item) for item in best[place] if item >= 0]
        found.append(
            Suggestion(
                user=str(ratings.user_ids[user]),
                best=tuple(str(ratings.item_ids[item]) for item in chosen),
                drawn=tuple(str(ratings.item_ids[item]) for item in drawn[place]),
                held_out=tuple(str(ratings.item_ids[item]) for item in chosen if item in held_out),
            )
        )
    return tuple(found)


def _top(train: sp.csr_array[Any], k: int, score: Callable[[sp.csr_array[Any]], Float64Array]) -> IntArray:
    """Return the k best unseen items of each user; -1 pads a short list."""
    n_users, n_items = train.shape
    lists = np.full((n_users, k), -1, dtype=np.int64)
    step = max(1, _BLOCK_SCORES // n_items)
    for start in range(0, n_users, step):
        rows = train[start : start + step]
        scores = np.array(score(rows), dtype=np.float64)
        scores[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        known = np.take_along_axis(scores, order, axis=1) > -np.inf
        lists[start : start + step] = np.where(known, order, -1)
    return lists
