from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LinearRegression, Ridge

import qinspired as qi
from qinspired.estimators import _ridge_moments
from qinspired.exceptions import ToleranceNotMetWarning


def problem(m=90, n=7, seed=0, far=0.0):
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (m, n)) * (rng.random((m, n)) < 0.5) + far
    Y = X @ rng.standard_normal((n, 2)) + rng.standard_normal((m, 2)) + 5.0
    return X, Y, rng.integers(0, 4, m) * 1.0


CUTS = [slice(0, 20), slice(20, 21), slice(21, 60), slice(60, 90)]


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("far", [0.0, 1e5])
def test_after_each_block_the_weights_are_those_of_all_rows_so_far(convert, fit_intercept, weighted, far, monkeypatch):
    monkeypatch.setattr(_ridge_moments, "_PART_ENTRIES", 70)  # a block comes in parts
    X, Y, weights = problem(far=far)
    model = qi.SampledRidge(2.0, fit_intercept=fit_intercept)
    for cut in CUTS:
        given = (weights[cut] + (cut.start == 20),) if weighted else ()
        model.partial_fit(convert(X[cut]), Y[cut], *given)
        if weighted:
            weights[cut] = given[0]
        seen = slice(0, cut.stop)
        exact = Ridge(2.0, fit_intercept=fit_intercept, solver="svd")
        exact.fit(X[seen], Y[seen], weights[seen] if weighted else None)
        np.testing.assert_allclose(model.predict(X), exact.predict(X), rtol=1e-6, atol=1e-6)
        assert model.n_samples_seen_ == cut.stop
    assert [residual.value**2 for residual in model.residual_] == pytest.approx(
        [1.0 - model_r2(model, X, Y, weights if weighted else None, t, fit_intercept) for t in range(2)], rel=1e-4
    )


def model_r2(model, X, Y, weights, target, centred):
    weights = np.ones(len(X)) if weights is None else weights
    y, guess = Y[:, target], model.predict(X)[:, target]
    middle = np.average(y, weights=weights) if centred else 0.0
    return 1.0 - weights @ (y - guess) ** 2 / (weights @ (y - middle) ** 2)


def test_a_penalty_that_changes_between_blocks_counts_for_all_rows():
    X, Y, _ = problem()
    model = qi.SampledRidge(1000.0).partial_fit(X[:50], Y[:50])
    model.set_params(alpha=0.5, fit_intercept=False).partial_fit(X[50:], Y[50:])
    exact = Ridge(0.5, fit_intercept=False, solver="svd").fit(X, Y)
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-9)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_features_far_from_zero_keep_their_digits(convert):
    X, Y, _ = problem(far=1e7)
    model = qi.SampledRidge(0.0)
    for cut in CUTS:
        model.partial_fit(convert(X[cut]), Y[cut])
    exact = LinearRegression().fit(X - 1e7, Y)
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-6)


def test_a_sparse_block_stays_sparse_where_means_are_small(monkeypatch):
    monkeypatch.setattr(_ridge_moments, "as_dense", None)
    X, Y, _ = problem()
    model = qi.SampledRidge().partial_fit(sp.csr_array(X), Y)
    np.testing.assert_allclose(model.coef_, Ridge(solver="svd").fit(X, Y).coef_, rtol=1e-9)


def test_fewer_rows_than_features_give_the_ridge_solution_and_without_penalty_that_of_least_norm():
    X, Y, _ = problem(6, 20)
    np.testing.assert_allclose(
        qi.SampledRidge(0.1).partial_fit(X, Y).coef_, Ridge(0.1, solver="svd").fit(X, Y).coef_, rtol=1e-8
    )
    centred = X - X.mean(axis=0)
    least = (np.linalg.pinv(centred, rcond=1e-8) @ (Y - Y.mean(axis=0))).T
    # The moments cannot tell a direction that is not there from one below their rounding.
    with pytest.warns(ToleranceNotMetWarning, match="rounding may reach inf"):
        model = qi.SampledRidge(0.0).partial_fit(X, Y)
    np.testing.assert_allclose(model.coef_, least, atol=1e-8)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_blocks_that_do_not_vary_leave_the_mean(value):
    model = qi.SampledRidge()
    for y in ([1.0, 2.0], [6.0, 7.0]):
        model.partial_fit(np.full((2, 3), value), y)
    np.testing.assert_allclose(model.coef_, 0.0, atol=1e-14)
    assert model.intercept_ == pytest.approx(4.0)
    assert model.residual_.value == pytest.approx(1.0)


def test_the_error_of_rounding_is_told_and_covers_the_true_one():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 8)) * 10.0 ** -np.arange(0, 4, 0.5)
    y = X @ (1.0 / np.abs(X).max(axis=0)) + 0.1 * rng.standard_normal(200)
    model = qi.SampledRidge(0.0).partial_fit(X, y)
    exact = LinearRegression().fit(X, y)
    centred = X - X.mean(axis=0)
    true = np.linalg.norm(centred @ (model.coef_ - exact.coef_)) / np.linalg.norm(centred @ exact.coef_)
    assert true <= model.error_.high < 1e-8


def test_too_ill_conditioned_moments_warn():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    X[:, 2] = X[:, 0] + 1e-6 * X[:, 2]
    with pytest.warns(ToleranceNotMetWarning, match=r"rounding may reach .* use a larger `alpha`"):
        qi.SampledRidge(0.0, tol=1e-9).partial_fit(X, X @ np.ones(3) + rng.standard_normal(60))


def test_a_pickle_goes_on_where_the_model_was():
    X, Y, _ = problem()
    model = pickle.loads(pickle.dumps(qi.SampledRidge().partial_fit(X[:40], Y[:40])))
    np.testing.assert_allclose(model.partial_fit(X[40:], Y[40:]).coef_, Ridge(solver="svd").fit(X, Y).coef_, rtol=1e-9)
    assert model.n_samples_seen_ == 90


def test_after_fit_a_block_starts_anew_and_says_so_and_fit_forgets_the_blocks():
    X, Y, _ = problem()
    model = qi.SampledRidge().fit(X[:40], Y[:40])
    with pytest.warns(UserWarning, match="starts anew: `fit` keeps no moments"):
        model.partial_fit(X[40:], Y[40:])
    np.testing.assert_allclose(model.coef_, Ridge(solver="svd").fit(X[40:], Y[40:]).coef_, rtol=1e-9)
    model.fit(X[:40], Y[:40])
    assert not hasattr(model, "n_samples_seen_")
    np.testing.assert_allclose(model.coef_, Ridge(solver="svd").fit(X[:40], Y[:40]).coef_, rtol=1e-9)


@pytest.mark.parametrize(
    ("X", "y", "weights", "message"),
    [
        (np.ones((3, 6)), np.ones((3, 2)), None, "6 features"),
        (np.ones((3, 7)), np.ones((3, 3)), None, r"`y` must have as many targets as in the first block, 2; got 3"),
        (np.full((3, 7), np.nan), np.ones((3, 2)), None, "NaN"),
        (np.ones((3, 7)), np.ones((3, 2)), [1.0, -1.0, 1.0], r"`sample_weight` must be >= 0"),
        (np.ones((3, 7)), np.ones((3, 2)), np.zeros(3), r"`sample_weight` must have a positive entry"),
        (1e200 * np.eye(7), np.ones((7, 2)), None, r"sums of squares below 1.8e308.*Divide"),
        (sp.csr_array(1e200 * np.eye(7)), np.ones((7, 2)), None, r"sums of squares below 1.8e308.*Divide"),
        (np.ones((2, 7)), [[1e200, 0.0], [-1e200, 0.0]], None, r"sums of squares below 1.8e308.*Divide"),
    ],
)
def test_a_bad_block_is_refused_and_leaves_the_model_as_it_was(X, y, weights, message):
    first, targets, _ = problem()
    model = qi.SampledRidge().partial_fit(first, targets)
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y, weights)
    np.testing.assert_array_equal(model.coef_, before)
    assert model.n_samples_seen_ == 90


def test_too_many_features_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"at most 4096 features .* got 4097. Use `fit`"):
        qi.SampledRidge().partial_fit(sp.csr_array((3, 4097)), np.ones(3))


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("x_unit", "y_unit"), [(1e-170, 1.0), (1e-158, 1.0), (1.0, 1e-170)])
def test_squares_that_underflow_are_refused_with_what_to_do(convert, fit_intercept, x_unit, y_unit):
    X, Y, _ = problem()
    with pytest.raises(ValueError, match=r"sums of squares above 1e-290.*Multiply them by a constant"):
        qi.SampledRidge(fit_intercept=fit_intercept).partial_fit(convert(X * x_unit), Y * y_unit)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_what_does_not_vary_is_no_underflow(convert):
    X, Y, weights = problem()
    Y[:, 1] = 1e-170
    weights[0] = 0.0
    X[:, 0], X[0, 0] = 1e-170, 1.0
    model = qi.SampledRidge().partial_fit(convert(X), Y, weights)
    assert np.abs(model.coef_[:, 0]).max() < 1e-100
    assert np.abs(model.coef_[1]).max() < 1e-100
    assert model.coef_[0, 1:].all()
    assert model.intercept_[1] == pytest.approx(1e-170, rel=1e-12, abs=0.0)
