from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

import qinspired as qi

SHAPE = (943, 1682)


@pytest.fixture(scope="module")
def split(data_dir):
    """The official u1 split of MovieLens-100K: training ratings, and test ratings of 4 and 5."""
    folder = data_dir / "movielens-100k"
    if not folder.is_dir():
        pytest.skip("MovieLens-100K is absent")
    every = np.loadtxt(folder / "u.data.gz", dtype=np.int64, usecols=(0, 1, 2))
    test = np.loadtxt(folder / "u1.test.gz", dtype=np.int64, usecols=(0, 1, 2))
    matrix, held_out = (
        sp.csr_array((part[:, 2] * 1.0, (part[:, 0] - 1, part[:, 1] - 1)), shape=SHAPE) for part in (every, test)
    )
    train = sp.csr_array(matrix - held_out)
    train.eliminate_zeros()
    assert (train.nnz, held_out.nnz) == (80_000, 20_000)
    relevant = held_out.copy()
    relevant.data = (relevant.data >= 4).astype(float)
    relevant.eliminate_zeros()
    return train, relevant


@pytest.fixture(scope="module")
def exact_ndcg(split):
    train, relevant = split
    V = TruncatedSVD(10, algorithm="arpack", random_state=0).fit(train).components_.T
    scores = (train @ V) @ V.T
    scores[train.nonzero()] = -np.inf
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return qi.metrics.ndcg_at_k(ids, relevant)


def test_the_exact_baseline_has_its_known_quality(exact_ndcg):
    assert exact_ndcg == pytest.approx(0.4546, abs=5e-4)


@pytest.fixture(scope="module")
def model(split):
    return qi.SampledRecommender(10, tol=0.01, random_state=0).fit(split[0])


def test_at_one_percent_recommendations_are_within_five_percent_of_the_exact_ones(split, model, exact_ndcg):
    train, relevant = split
    other = qi.SampledRecommender(10, tol=0.01, random_state=1).fit(train)
    for fitted in (model, other):
        ids, _ = fitted.recommend(np.arange(SHAPE[0]), n=10)
        assert qi.metrics.ndcg_at_k(ids, relevant) >= 0.95 * exact_ndcg


def test_at_the_default_tolerance_they_keep_four_fifths_of_the_quality(split, exact_ndcg):
    train, relevant = split
    ids, _ = qi.SampledRecommender(10, random_state=0).fit(train).recommend(np.arange(SHAPE[0]), n=10)
    assert qi.metrics.ndcg_at_k(ids, relevant) >= 0.8 * exact_ndcg


def test_they_beat_popularity_by_far(split, model):
    train, relevant = split
    ids, _ = model.recommend(np.arange(SHAPE[0]), n=10)
    popular = np.argsort(-model.popularity_, kind="stable")
    seen = [set(train.indices[train.indptr[u] : train.indptr[u + 1]]) for u in range(SHAPE[0])]
    by_popularity = np.array([[j for j in popular if j not in seen[u]][:10] for u in range(SHAPE[0])])
    assert qi.metrics.ndcg_at_k(by_popularity, relevant) == pytest.approx(0.2451, abs=2e-3)
    assert qi.metrics.ndcg_at_k(ids, relevant) > 1.5 * qi.metrics.ndcg_at_k(by_popularity, relevant)


def test_seen_films_are_never_recommended(split, model):
    train, _ = split
    ids, _ = model.recommend(np.arange(SHAPE[0]), n=50)
    users = np.repeat(np.arange(SHAPE[0]), 50)
    assert not np.asarray(sp.csr_matrix(train)[users, ids.ravel()]).any()
