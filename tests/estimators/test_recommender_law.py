"""Drawn recommendations follow the law of squares: fixed seeds, and twins that show a wrong law rejected."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import qinspired as qi

N_DRAWS = 60_000
THRESHOLD = 1e-6


@pytest.fixture(scope="module")
def ratings():
    rng = np.random.default_rng(3)
    X = rng.integers(1, 6, (60, 40)) * (rng.random((60, 40)) < 0.25) * 1.0
    X[5] = 0.0
    return X


@pytest.fixture(scope="module")
def model(ratings):
    return qi.SampledRecommender(5, method="exact").fit(ratings)


def p_value(ids, weights):
    """Chi-square of the draws against weights; items expected fewer than 10 times are one cell."""
    expected = len(ids) * weights / weights.sum()
    observed = np.bincount(ids, minlength=len(weights))
    rare = expected < 10.0
    cells_expected = np.append(expected[~rare], expected[rare].sum())
    cells_observed = np.append(observed[~rare], observed[rare].sum())
    if cells_expected[-1] == 0.0:
        assert cells_observed[-1] == 0
        cells_expected, cells_observed = cells_expected[:-1], cells_observed[:-1]
    return scipy.stats.chisquare(cells_observed, cells_expected).pvalue


def projected(X, row, k=5):
    V = np.linalg.svd(X)[2][:k].T
    return row @ V @ V.T


def test_items_are_drawn_in_proportion_to_the_squares_of_the_projected_row(ratings, model):
    users = [0, 17, 17]
    drawn = model.sample_recommendations(users, N_DRAWS, rng=1)
    for user, ids in zip(users, drawn, strict=True):
        assert p_value(ids, projected(ratings, ratings[user]) ** 2) > THRESHOLD


@pytest.mark.parametrize("law", ["sizes", "leverage", "unprojected", "another user"])
def test_the_same_draws_reject_a_wrong_law(ratings, model, law):
    ids = model.sample_recommendations([0, 17], N_DRAWS, rng=1)[0]
    wrong = {
        "sizes": np.abs(projected(ratings, ratings[0])),
        "leverage": model.item_leverage_,
        "unprojected": ratings[0] ** 2 + 1e-3,
        "another user": projected(ratings, ratings[17]) ** 2,
    }[law]
    assert p_value(ids, wrong) < THRESHOLD


def test_the_draws_of_two_requests_for_one_user_are_independent(model):
    one, two = model.sample_recommendations([17, 17], N_DRAWS, rng=1)
    law = np.bincount(one, minlength=40) / N_DRAWS
    expected = float(law @ law)
    # The share of coincidences is binomial; 6 standard deviations are a chance of 2e-9.
    deviation = np.sqrt(expected * (1.0 - expected) / N_DRAWS)
    assert abs(np.mean(one == two) - expected) < 6.0 * deviation


def test_new_rows_are_drawn_by_their_own_projection(ratings, model):
    row = np.random.default_rng(9).integers(0, 5, (1, 40)) * 1.0
    ids = model.sample_recommendations(None, N_DRAWS, rng=2, interactions=row)[0]
    assert p_value(ids, projected(ratings, row[0]) ** 2) > THRESHOLD
    assert p_value(ids, projected(ratings, ratings[0]) ** 2) < THRESHOLD


def test_a_user_without_interactions_draws_by_squared_popularity(ratings, model):
    ids = model.sample_recommendations([5, 0], N_DRAWS, rng=3)[0]
    popularity = (ratings != 0).sum(axis=0)
    assert p_value(ids, popularity**2.0) > THRESHOLD
    assert p_value(ids, popularity * 1.0) < THRESHOLD


def test_the_law_holds_across_the_calls_that_one_request_is_cut_into(ratings, model, monkeypatch):
    monkeypatch.setattr("qinspired.estimators._recommender._BLOCK_PRODUCTS", 25 * 7_000)
    ids = model.sample_recommendations(17, N_DRAWS, rng=4)
    assert p_value(ids, projected(ratings, ratings[17]) ** 2) > THRESHOLD
    assert not np.array_equal(ids[:7_000], ids[7_000:14_000])
