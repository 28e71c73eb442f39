from __future__ import annotations

import gzip

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.metrics import ndcg_at_k, precision_at_k, ranking_scores, recall_at_k

# Three users, six items; the last user has nothing held out.
RELEVANT = sp.csr_array(np.array([[1, 0, 1, 0, 1, 0], [0, 0, 0, 5, 0, 0], [0, 0, 0, 0, 0, 0]]))
RECOMMENDED = np.array([[0, 1, 2], [4, 3, -1], [0, 1, 2]])


def test_golden_values_by_hand():
    # User 0: hits at ranks 1 and 3 of 3 relevant items; user 1: hit at rank 2 of 1; user 2 is not counted.
    scores = ranking_scores(RECOMMENDED, RELEVANT)
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert scores.n_users == 2
    assert scores.k == 3
    assert scores.precision == pytest.approx((2 / 3 + 1 / 3) / 2, rel=1e-15)
    assert scores.recall == pytest.approx((2 / 3 + 1) / 2, rel=1e-15)
    assert scores.ndcg == pytest.approx(((1 + 1 / 2) / ideal + 1 / np.log2(3)) / 2, rel=1e-15)


def test_golden_values_of_a_shorter_list_by_hand():
    scores = ranking_scores(RECOMMENDED, RELEVANT, k=2)
    assert scores.precision == pytest.approx((1 / 2 + 1 / 2) / 2, rel=1e-15)
    assert scores.recall == pytest.approx((1 / 3 + 1) / 2, rel=1e-15)
    assert scores.ndcg == pytest.approx((1 / (1 + 1 / np.log2(3)) + 1 / np.log2(3)) / 2, rel=1e-15)


def test_single_functions_return_the_same_means():
    scores = ranking_scores(RECOMMENDED, RELEVANT, 2)
    assert precision_at_k(RECOMMENDED, RELEVANT, 2) == scores.precision
    assert recall_at_k(RECOMMENDED, RELEVANT, 2) == scores.recall
    assert ndcg_at_k(RECOMMENDED, RELEVANT, 2) == scores.ndcg


def test_stored_zeros_and_negative_values_are_not_relevant():
    held_out = sp.csr_array((np.array([0.0, -2.0, 1.0]), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 3))
    assert precision_at_k([[0, 1]], held_out) == 0.0
    assert recall_at_k([[2, 1]], held_out) == 1.0


def naive(recommended, relevant, k):
    rows = []
    for ids, values in zip(recommended, relevant, strict=True):
        wanted = {i for i, value in enumerate(values) if value > 0}
        if not wanted:
            continue
        hits = [1.0 if item in wanted else 0.0 for item in ids[:k]]
        gain = sum(hit / np.log2(place + 2) for place, hit in enumerate(hits))
        ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
        rows.append((sum(hits) / k, sum(hits) / len(wanted), gain / ideal))
    return np.mean(rows, axis=0), len(rows)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_users=st.integers(1, 6), n_items=st.integers(2, 8), k=st.integers(1, 4))
def test_scores_equal_a_loop_over_users(seed, n_users, n_items, k):
    rng = np.random.default_rng(seed)
    relevant = (rng.random((n_users, n_items)) < 0.4) * rng.integers(1, 6, (n_users, n_items))
    relevant[0, 0] = 1
    lists = np.full((n_users, 4), -1)
    for user in range(n_users):
        length = rng.integers(0, min(4, n_items) + 1)
        lists[user, :length] = rng.permutation(n_items)[:length]
    scores = ranking_scores(lists, sp.csr_array(relevant), k)
    expected, counted = naive(lists, relevant, k)
    np.testing.assert_allclose((scores.precision, scores.recall, scores.ndcg), expected, rtol=1e-13)
    assert scores.n_users == counted


def test_movielens_scores_of_a_rank_ten_svd_are_the_known_ones(real_data):
    def read(name):
        with gzip.open(real_data / "movielens-100k" / name) as file:
            user, item, value = np.loadtxt(file, usecols=(0, 1, 2), dtype=int).T
        return sp.csr_array((value.astype(float), (user - 1, item - 1)), shape=(943, 1682))

    test = read("u1.test.gz")
    train = read("u.data.gz") - test
    train.eliminate_zeros()
    _, _, Vt = spla.svds(train, 10, rng=np.random.default_rng(0))
    predicted = (train @ Vt.T) @ Vt
    predicted[train.nonzero()] = -np.inf
    scores = ranking_scores(np.argsort(-predicted, axis=1)[:, :10], sp.csr_array((test.toarray() >= 4) * 1))
    assert scores.n_users == 456
    # The known figures come from a randomized SVD, a few hits of 4,560 away from the exact one.
    assert scores.precision == pytest.approx(0.3829, abs=2e-3)
    assert scores.recall == pytest.approx(0.2303, abs=2e-3)
    assert scores.ndcg == pytest.approx(0.4546, abs=2e-3)


@pytest.mark.parametrize(
    ("recommended", "relevant", "k", "error", "match"),
    [
        (RECOMMENDED[:2], RELEVANT, None, ValueError, r"must have shape \(3, K\), one row"),
        (RECOMMENDED[0], RELEVANT, None, ValueError, "must have shape"),
        (np.empty((3, 0), dtype=int), RELEVANT, None, ValueError, "must have shape"),
        (np.zeros((4, 3), dtype=int), RELEVANT, None, ValueError, "looks transposed"),
        (RECOMMENDED * 1.0, RELEVANT, None, TypeError, "integer item ids"),
        (RECOMMENDED + 4, RELEVANT, None, IndexError, r"-1 or ids in \[0, 6\); got 8"),
        (RECOMMENDED - 2, RELEVANT, None, IndexError, "got -3"),
        ([[0, 0], [1, 2], [1, 2]], RELEVANT, None, ValueError, "must not repeat an item for a user; row 0"),
        (RECOMMENDED, RELEVANT, 4, ValueError, r"`k` must be in \[1, 3\]"),
        (RECOMMENDED, RELEVANT, 0, ValueError, "`k` must be an integer >= 1"),
        (RECOMMENDED, RELEVANT.toarray(), None, TypeError, "sparse matrix"),
        (RECOMMENDED, sp.csr_array((3, 6)), None, ValueError, "at least one value > 0"),
    ],
)
def test_bad_input_is_refused(recommended, relevant, k, error, match):
    with pytest.raises(error, match=match):
        ranking_scores(recommended, relevant, k)
