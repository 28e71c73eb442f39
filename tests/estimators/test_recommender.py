from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import qinspired as qi
from qinspired.exceptions import ZeroMassError

N_USERS, N_ITEMS, EMPTY_USER = 40, 25, 7


def ratings(seed=0):
    """Ratings of which user 7 has none and item 3 is had by nobody."""
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (N_USERS, N_ITEMS)) * (rng.random((N_USERS, N_ITEMS)) < 0.3) * 1.0
    X[EMPTY_USER] = 0.0
    X[:, 3] = 0.0
    return X


@pytest.fixture(name="X")
def ratings_matrix():
    return ratings()


@pytest.fixture
def model(X):
    return qi.SampledRecommender(6, method="exact").fit(sp.csr_array(X))


def projected(X, k=6):
    """Rows x V V^T by numpy; a row without entries is the popularity."""
    V = np.linalg.svd(X)[2][:k].T
    scores = X @ V @ V.T
    scores[~X.any(axis=1)] = (X != 0).sum(axis=0) / len(X)
    return scores


def naive_ranking(scores, hidden, n):
    """Ids by falling score, then rising id, by Python's sort."""
    left = [j for j in range(len(scores)) if j not in hidden]
    best = sorted(left, key=lambda j: (-scores[j], j))[:n]
    return best + [-1] * (n - len(best))


@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("exclude", [None, [0, 11, 4, 4]])
@pytest.mark.parametrize("n", [1, 5, N_ITEMS, N_ITEMS + 4])
def test_recommendations_are_the_largest_entries_of_the_projected_rows(X, model, filter_seen, exclude, n):
    users = np.array([5, 0, EMPTY_USER, 39, 5])
    scores = projected(X)
    ids, got = model.recommend(users, n, filter_seen=filter_seen, exclude=exclude)
    assert ids.shape == got.shape == (5, n)
    assert ids.dtype == np.int64
    for row, user in enumerate(users):
        hidden = set(exclude or []) | (set(np.flatnonzero(X[user])) if filter_seen else set())
        expected = naive_ranking(np.round(scores[user], 9), hidden, n)
        assert list(ids[row]) == expected
        kept = ids[row] >= 0
        np.testing.assert_allclose(got[row, kept], scores[user][ids[row, kept]], atol=1e-9)
        assert np.isnan(got[row, ~kept]).all()


def test_a_scalar_user_gives_vectors(model):
    ids, scores = model.recommend(4, n=3)
    assert ids.shape == scores.shape == (3,)
    np.testing.assert_array_equal(ids, model.recommend([4], n=3)[0][0])
    assert model.sample_recommendations(np.int32(4), 8, rng=0).shape == (8,)
    assert model.predict(4, 2).shape == ()


def test_no_users_give_no_rows(model):
    ids, scores = model.recommend([], n=3)
    assert ids.shape == scores.shape == (0, 3)
    assert model.sample_recommendations([], 4).shape == (0, 4)
    assert model.sample_recommendations([1, 2], 0).shape == (2, 0)
    assert model.predict([], []).shape == (0,)


def test_many_users_are_served_in_blocks(X, model, monkeypatch):
    whole = model.recommend(np.arange(N_USERS), n=5)
    drawn = model.sample_recommendations(np.arange(N_USERS), 3, rng=0)
    monkeypatch.setattr("qinspired.estimators._recommender._BLOCK_SCORES", 60)
    np.testing.assert_array_equal(model.recommend(np.arange(N_USERS), n=5)[0], whole[0])
    np.testing.assert_allclose(model.predict(np.arange(N_USERS)[:, None], np.arange(N_ITEMS)), projected(X), atol=1e-9)
    monkeypatch.setattr("qinspired.estimators._recommender._BLOCK_PRODUCTS", 400)
    again = model.sample_recommendations(np.arange(N_USERS), 3, rng=0)
    assert again.shape == drawn.shape
    assert ((again >= 0) & (again < N_ITEMS)).all()


def test_equal_scores_are_ranked_by_rising_id_so_that_a_short_list_starts_a_long_one():
    X = np.zeros((12, 9))
    X[:, 0] = 1.0
    X[np.arange(8), np.arange(8) + 1] = 1.0
    model = qi.SampledRecommender(2, method="exact").fit(np.vstack([X, np.zeros(9)]))
    long, _ = model.recommend(12, n=9)
    np.testing.assert_array_equal(long, np.arange(9))
    for n in range(1, 9):
        np.testing.assert_array_equal(model.recommend(12, n=n)[0], long[:n])


def test_scores_of_pairs_are_the_scores_of_the_ranking(X, model):
    users = np.array([3, EMPTY_USER, 12])
    ids, scores = model.recommend(users, n=4)
    np.testing.assert_allclose(model.predict(users[:, None], ids), scores, atol=1e-12)
    np.testing.assert_allclose(model.predict([0, 1, 1], [2, 2, 0]), projected(X)[[0, 1, 1], [2, 2, 0]], atol=1e-9)


def test_a_user_without_interactions_is_given_the_popular_items(X, model):
    ids, scores = model.recommend(EMPTY_USER, n=N_ITEMS)
    counts = (X != 0).sum(axis=0)
    assert list(counts[ids]) == sorted(counts, reverse=True)
    np.testing.assert_allclose(scores, counts[ids] / N_USERS)
    drawn = model.sample_recommendations(EMPTY_USER, 500, rng=0)
    assert 3 not in drawn
    assert len(np.unique(drawn)) > 10


def test_a_user_whose_items_no_direction_sees_is_given_the_popular_items():
    X = np.zeros((30, 6))
    X[:29, :3] = np.random.default_rng(0).integers(1, 6, (29, 3))
    X[29, 5] = 1.0  # orthogonal to the two leading directions
    model = qi.SampledRecommender(2, method="exact").fit(X)
    ids, scores = model.recommend(29, n=3)
    np.testing.assert_array_equal(ids, [0, 1, 2])
    np.testing.assert_allclose(scores, 29 / 30)


def test_a_projection_that_is_but_rounding_counts_as_zero(rng):
    rows = rng.standard_normal((2, 6))
    outside = scipy.linalg.null_space(rows)[:, 0]
    X = np.vstack([rng.standard_normal((30, 2)) @ rows, 0.01 * outside])
    model = qi.SampledRecommender(2, method="exact").fit(X)
    ids, scores = model.recommend(30, n=3, filter_seen=False)
    np.testing.assert_array_equal(ids, [0, 1, 2])
    np.testing.assert_array_equal(scores, 1.0)


def test_an_explicit_zero_is_an_interaction(X):
    X[2, 3] = 1.0
    matrix = sp.csr_array(X)
    matrix.data[(matrix.indices == 3)] = 0.0
    model = qi.SampledRecommender(6, method="exact").fit(matrix)
    assert model.popularity_[3] == pytest.approx(1 / N_USERS)
    assert 3 not in model.recommend(2, n=N_ITEMS)[0]
    assert 3 in model.recommend(1, n=N_ITEMS)[0]


def test_new_users_are_folded_in_by_their_rows(X, model):
    new = ratings(seed=1)[:3]
    V = np.linalg.svd(X)[2][:6].T
    for users in (None, [0, 1, 2], [10_000, 10_001, 10_002]):
        ids, scores = model.recommend(users, n=4, interactions=sp.csr_matrix(new))
        for row in range(3):
            expected = np.round(new[row] @ V @ V.T, 9)
            assert list(ids[row]) == naive_ranking(expected, set(np.flatnonzero(new[row])), 4)
            np.testing.assert_allclose(scores[row], expected[ids[row]], atol=1e-8)
    assert model.recommend(0, n=4, interactions=new[:1])[0].shape == (4,)
    assert model.sample_recommendations(None, 5, rng=0, interactions=new).shape == (3, 5)


def test_rows_of_old_users_fold_in_to_what_fit_knew(X, model):
    known = model.recommend([4, 9], n=6)
    folded = model.recommend([4, 9], n=6, interactions=sp.csr_array(X[[4, 9]]))
    np.testing.assert_array_equal(known[0], folded[0])
    np.testing.assert_allclose(known[1], folded[1], atol=1e-12)


def test_a_seed_repeats_the_draws(model):
    users = [0, EMPTY_USER, 3]
    first = model.sample_recommendations(users, 50, rng=5)
    np.testing.assert_array_equal(model.sample_recommendations(users, 50, rng=5), first)
    assert not np.array_equal(model.sample_recommendations(users, 50, rng=6), first)


@pytest.mark.parametrize("scale", [1e-180, 1e180])
def test_ratings_whose_squares_overflow_or_underflow_are_harmless(X, model, scale):
    scaled = qi.SampledRecommender(6, method="exact").fit(X * scale)
    np.testing.assert_array_equal(scaled.recommend([0, 1], n=5)[0], model.recommend([0, 1], n=5)[0])
    np.testing.assert_array_equal(
        scaled.sample_recommendations([0, EMPTY_USER], 20, rng=0),
        model.sample_recommendations([0, EMPTY_USER], 20, rng=0),
    )


@pytest.mark.parametrize("convert", [np.asarray, sp.coo_array, sp.csc_matrix, pd.DataFrame])
def test_every_form_of_the_ratings_gives_the_same_model(X, model, convert):
    other = qi.SampledRecommender(6, method="exact").fit(convert(X))
    np.testing.assert_array_equal(other.recommend(np.arange(N_USERS))[0], model.recommend(np.arange(N_USERS))[0])
    assert other.interactions_.has_canonical_format


def test_duplicate_entries_are_summed_and_the_input_is_left_alone():
    matrix = sp.csr_array((np.ones(5), np.array([1, 0, 1, 2, 0]), np.array([0, 3, 5])), shape=(2, 3))
    model = qi.SampledRecommender(1).fit(matrix)
    np.testing.assert_array_equal(model.interactions_.toarray(), [[1, 2, 0], [1, 0, 1]])
    np.testing.assert_array_equal(matrix.indices, [1, 0, 1, 2, 0])
    np.testing.assert_array_equal(model.popularity_, [1.0, 0.5, 0.5])


def test_fitted_attributes_hold_together(X, model):
    assert model.components_.shape == (6, N_ITEMS)
    assert np.shares_memory(model.components_, model.item_factors_)
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(model.item_leverage_, (model.item_factors_**2).sum(axis=1))
    np.testing.assert_allclose(model.singular_values_, np.linalg.svd(X)[1][:6])
    assert (model.n_users_, model.n_items_) == (N_USERS, N_ITEMS)
    assert model.excess_.high <= 0.05


def test_float32_ratings_keep_float32_factors_and_give_float64_scores(X, model):
    small = qi.SampledRecommender(6, method="exact").fit(X.astype(np.float32))
    scores = small.recommend([0, EMPTY_USER], n=3)[1]
    assert small.item_factors_.dtype == np.float32
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, model.recommend([0, EMPTY_USER], n=3)[1], rtol=1e-4)
    assert small.sample_recommendations([0, EMPTY_USER], 5, rng=0).max() < N_ITEMS


def test_it_is_a_scikit_learn_object(model):
    twin = clone(model)
    assert twin.get_params() == {"n_factors": 6, "tol": 0.01, "method": "exact", "random_state": None}
    assert repr(twin) == "SampledRecommender(method='exact', n_factors=6)"
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.recommend([0, 1])[0], model.recommend([0, 1])[0])
    np.testing.assert_array_equal(
        again.sample_recommendations([0, 1], 9, rng=0), model.sample_recommendations([0, 1], 9, rng=0)
    )


@pytest.mark.parametrize("call", ["recommend", "sample_recommendations"])
def test_nothing_works_before_fit(call):
    with pytest.raises(NotFittedError):
        getattr(qi.SampledRecommender(), call)(0)
    with pytest.raises(NotFittedError):
        qi.SampledRecommender().predict(0, 0)


@pytest.mark.parametrize(
    ("users", "error", "message"),
    [
        (N_USERS, IndexError, r"`users` must hold indices in \[0, 40\); got 40"),
        (-1, IndexError, r"`users` must hold indices in \[0, 40\); got -1"),
        ([0, -3], IndexError, r"`users` must hold indices in \[0, 40\); got -3"),
        (1.0, TypeError, r"`users` must hold integer indices; got dtype float64"),
        ([0.5], TypeError, r"`users` must hold integer indices"),
        ("alice", TypeError, r"`users` must hold integer indices"),
        (True, TypeError, r"`users` must hold integer indices; got dtype bool"),
        ([[0, 1]], ValueError, r"`users` must be 1-dimensional; got shape \(1, 2\)"),
        (None, ValueError, r"`users` must be given, unless `interactions`"),
    ],
)
@pytest.mark.parametrize("call", ["recommend", "sample_recommendations"])
def test_bad_user_ids_are_named_with_the_valid_range(model, call, users, error, message):
    with pytest.raises(error, match=message):
        getattr(model, call)(users)


@pytest.mark.parametrize(
    ("users", "items", "error", "message"),
    [
        (40, 0, IndexError, r"`users` must hold indices in \[0, 40\); got 40"),
        (0, 25, IndexError, r"`items` must hold indices in \[0, 25\); got 25"),
        (0, -1, IndexError, r"`items` must hold indices in \[0, 25\); got -1"),
        (0, 1.5, TypeError, r"`items` must hold integer indices"),
        (
            [0, 1],
            [0, 1, 2],
            ValueError,
            r"`users` and `items` must broadcast to one shape; got \(2,\) and \(3,\)",
        ),
    ],
)
def test_bad_pairs_are_named_with_the_valid_range(model, users, items, error, message):
    with pytest.raises(error, match=message):
        model.predict(users, items)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, r"`n` must be an integer >= 1; got 0"),
        ({"n": 2.0}, TypeError, r"`n` must be an integer >= 1; got 2.0"),
        ({"exclude": [25]}, IndexError, r"`exclude` must hold indices in \[0, 25\); got 25"),
        ({"exclude": [True]}, TypeError, r"`exclude` must hold integer indices; got dtype bool"),
        (
            {"interactions": ratings().T},
            ValueError,
            r"`interactions` must have a column for .*looks transposed",
        ),
        (
            {"interactions": np.ones((1, 24))},
            ValueError,
            r"each of the 25 items of fit; got shape \(1, 24\)\.$",
        ),
        (
            {"interactions": ratings()},
            ValueError,
            r"each of the 1 users asked for; got 40 .*`interactions\[users\]`",
        ),
        (
            {"interactions": np.ones((2, 25))},
            ValueError,
            r"one row for each of the 1 users asked for; got 2 rows\.$",
        ),
        (
            {"interactions": np.ones(25)},
            ValueError,
            r"`interactions` must be 2-dimensional.*reshape\(1, -1\)",
        ),
        ({"interactions": np.full((1, 25), np.nan)}, ValueError, r"`interactions` must be finite"),
    ],
)
def test_bad_requests_are_named_with_their_rule(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.recommend(0, **arguments)


@pytest.mark.parametrize("ids", [-1, 0.5])
def test_even_ids_that_only_name_rows_are_checked(model, ids):
    with pytest.raises((IndexError, TypeError), match="`users` must hold"):
        model.recommend(ids, interactions=np.ones((1, N_ITEMS)))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_factors": 26}, ValueError, r"`n_factors` must be in \[1, min\(m, n\)\] = \[1, 25\].*got 26"),
        ({"n_factors": 0}, ValueError, r"`n_factors` must be in \[1, min\(m, n\)\].*got 0"),
        ({"n_factors": 2.0}, TypeError, r"`n_factors` must be an integer; got 2.0"),
        ({"tol": 2}, ValueError, r"`tol` must be in \(0, 1\); got 2"),
        ({"method": "als"}, ValueError, r"`method` must be one of auto.*got 'als'"),
        ({"random_state": -1}, ValueError, r"`random_state` must be .*got -1"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule_in_fit(X, params, error, message):
    with pytest.raises(error, match=message):
        qi.SampledRecommender(**{"n_factors": 2} | params).fit(X)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((3, 3)), ZeroMassError, r"`X` must have a non-zero entry.*\(3, 3\)"),
        (np.array([[1.0, np.nan]]), ValueError, r"`X` must be finite.*X\[0, 1\] = nan"),
        (sp.csr_array([[1.0, np.inf]]), ValueError, r"`X` must be finite.*X\[0, 1\] = inf"),
        (np.ones(3), ValueError, r"`X` must be 2-dimensional"),
        (np.ones((0, 3)), ValueError, r"`X` must have at least one row"),
        (np.ones((2, 2)) * 1j, ValueError, r"`X` must be real"),
        ("ratings.csv", TypeError, r"`X` must be an array or a sparse matrix"),
    ],
)
def test_bad_ratings_are_named_with_their_rule(X, error, message):
    with pytest.raises(error, match=message):
        qi.SampledRecommender(1).fit(X)


def test_a_failed_fit_leaves_the_fitted_model_as_it_was(X, model):
    before = model.recommend([0, 1])[0]
    with pytest.raises(ValueError, match="n_factors"):
        model.set_params(n_factors=99).fit(X)
    np.testing.assert_array_equal(model.recommend([0, 1])[0], before)
