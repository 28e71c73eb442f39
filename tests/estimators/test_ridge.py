from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning


def problem(m=80, n=12, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (m, n)) * (rng.random((m, n)) < 0.4) * 1.0
    y = X @ rng.standard_normal(n) + noise * rng.standard_normal(m) + 30.0
    weights = rng.integers(0, 4, m) * 1.0
    return X, y, weights


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("shape", [(80, 12), (12, 30)])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 100.0])
def test_on_small_data_it_agrees_with_ridge(convert, fit_intercept, weighted, shape, alpha):
    X, y, weights = problem(*shape)
    sample_weight = weights if weighted else None
    ours = qi.SampledRidge(alpha, fit_intercept=fit_intercept, tol=1e-5).fit(convert(X), y, sample_weight)
    theirs = Ridge(alpha, fit_intercept=fit_intercept, solver="svd").fit(X, y, sample_weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6 * np.abs(theirs.coef_).max())
    assert ours.intercept_ == pytest.approx(theirs.intercept_, rel=1e-6)
    np.testing.assert_allclose(ours.predict(convert(X)), theirs.predict(X), rtol=1e-6)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_without_a_penalty_it_agrees_with_linear_regression(convert):
    X, y, weights = problem()
    ours = qi.SampledRidge(0.0).fit(convert(X), y, weights)
    theirs = LinearRegression().fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, rel=1e-9)


@pytest.mark.parametrize("alpha", [1e-2, 1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("tol", [0.01, 0.3])
def test_the_penalty_on_a_sparse_intercept_costs_below_a_hundredth_of_the_tolerance(alpha, tol):
    X, y, _ = problem(200, 20)
    ours = qi.SampledRidge(alpha, tol=tol).fit(sp.csr_array(X), y)
    theirs = Ridge(alpha, solver="svd").fit(X, y)
    centred = X - X.mean(axis=0)
    fitted = centred @ theirs.coef_
    assert np.linalg.norm(centred @ ours.coef_ - fitted) <= tol / 100.0 * np.linalg.norm(fitted)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_a_shift_of_the_target_moves_the_intercept_alone(convert):
    X, y, _ = problem()
    here = qi.SampledRidge(50.0).fit(convert(X), y)
    there = qi.SampledRidge(50.0).fit(convert(X), y + 1e6)
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-8)
    assert there.intercept_ - here.intercept_ == pytest.approx(1e6, rel=1e-12)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_from_drawn_rows_the_centred_fit_is_within_the_promised_tolerance(convert, fit_intercept):
    X, y, weights = problem(20_000, 15, noise=1.0)
    y += 1e4 * fit_intercept  # a tolerance relative to the mean would be met by no regression at all
    model = qi.SampledRidge(tol=0.05, fit_intercept=fit_intercept, method="rows", random_state=0)
    model.fit(convert(X), y, weights)
    exact = Ridge(fit_intercept=fit_intercept).fit(X, y, weights)
    centre = np.average(X, axis=0, weights=weights) * fit_intercept
    weighted = (X - centre) * np.sqrt(weights)[:, None]
    true = np.linalg.norm(weighted @ (model.coef_ - exact.coef_)) / np.linalg.norm(weighted @ exact.coef_)
    assert model.error_.high <= 0.05
    assert 0.0 < true <= 0.05
    assert model.solution_.method == "rows"
    assert model.residual_.value**2 == pytest.approx(1.0 - model.score(X, y, weights), rel=0.3) or not fit_intercept


def test_the_squared_residual_is_the_unexplained_share():
    X, y, weights = problem()
    model = qi.SampledRidge().fit(X, y, weights)
    assert model.residual_.value**2 == pytest.approx(1.0 - model.score(X, y, weights), rel=1e-10)
    assert model.residual_.confidence == 1.0


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_an_integer_weight_is_as_good_as_repeated_rows(convert, fit_intercept):
    X, y, weights = problem()
    model = qi.SampledRidge(fit_intercept=fit_intercept)
    weighted = model.fit(convert(X), y, weights).coef_
    rows = np.repeat(np.arange(len(y)), weights.astype(int))
    np.testing.assert_allclose(model.fit(convert(X[rows]), y[rows]).coef_, weighted, rtol=1e-9)


def test_one_weight_for_all_acts_on_the_penalty():
    X, y, _ = problem()
    np.testing.assert_allclose(
        qi.SampledRidge(3.0).fit(X, y, 3.0).coef_, qi.SampledRidge(1.0).fit(X, y).coef_, rtol=1e-10
    )


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_several_targets_are_solved_as_one_by_one(convert):
    X, y, _ = problem()
    Y = np.column_stack([y, -2.0 * y, np.ones_like(y)])
    model = qi.SampledRidge().fit(convert(X), Y)
    alone = qi.SampledRidge().fit(convert(X), y)
    np.testing.assert_allclose(model.coef_[0], alone.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.coef_[1], -2.0 * alone.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.coef_[2], 0.0, atol=1e-14)
    np.testing.assert_allclose(model.intercept_, [alone.intercept_, -2.0 * alone.intercept_, 1.0])
    assert model.predict(X).shape == Y.shape
    assert len(model.error_) == len(model.residual_) == len(model.solution_) == 3


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_rows_that_do_not_vary_leave_the_mean_as_the_intercept(convert, value):
    y = np.array([1.0, 2.0, 6.0])
    model = qi.SampledRidge().fit(convert(np.full((3, 2), value)), y)
    np.testing.assert_allclose(model.coef_, 0.0, atol=1e-12)
    assert model.intercept_ == pytest.approx(3.0)
    assert model.residual_.value == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["auto", "rows"])
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_a_constant_target_is_fitted_exactly(method, convert):
    X, _, weights = problem()
    for given in (None, weights):
        model = qi.SampledRidge(method=method).fit(convert(X), np.full(80, 0.1), given)
        assert not model.coef_.any()
        assert model.intercept_ == 0.1
        assert model.error_.high == 0.0


def test_a_constant_column_gets_no_weight():
    X, y, _ = problem()
    model = qi.SampledRidge(0.0).fit(np.column_stack([X, np.full(80, 0.1)]), y)
    plain = qi.SampledRidge(0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(np.column_stack([X, np.full(80, 0.1)])), plain.predict(X), rtol=1e-8)


def test_a_sparse_matrix_is_solved_sparse():
    X, y, weights = problem()
    model = qi.SampledRidge().fit(sp.csr_array(X), y, weights)
    source = model.solution_.source
    assert source.is_sparse
    kept = weights > 0
    assert source.n_stored == np.count_nonzero(X[kept]) + kept.sum()


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_float32_stays_float32(convert):
    X, y, weights = problem()
    model = qi.SampledRidge().fit(convert(X.astype(np.float32)), y, weights)
    exact = Ridge().fit(X, y, weights)
    assert model.coef_.dtype == model.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-4)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_fit_leaves_its_input_alone(convert):
    X, y, weights = problem()
    matrix, targets, given = convert(X.copy()), y.copy(), weights.copy()
    qi.SampledRidge().fit(matrix, targets, given)
    np.testing.assert_array_equal(matrix.toarray() if sp.issparse(matrix) else matrix, X)
    np.testing.assert_array_equal(targets, y)
    np.testing.assert_array_equal(given, weights)


def test_a_pickle_leaves_out_the_training_data():
    X, y, _ = problem(2000, 12)
    model = qi.SampledRidge().fit(X, y)
    data = pickle.dumps(model)
    assert len(data) < X.nbytes / 50
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert not hasattr(again, "solution_")


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"alpha": -1.0}, ValueError, r"`alpha` must be a finite number >= 0; got -1.0"),
        ({"alpha": np.inf}, ValueError, r"`alpha` must be a finite number >= 0; got inf"),
        ({"alpha": [1.0]}, TypeError, r"`alpha` must be a finite number >= 0; got \[1.0\]"),
        ({"tol": 1.0}, ValueError, r"`tol` must be in \(0, 1\); got 1.0"),
        ({"method": "fast"}, ValueError, r"`method` must be one of auto, rows.*got 'fast'"),
        ({"random_state": 1.5}, TypeError, r"`random_state` must be .*got 1.5"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule_in_fit(params, error, message):
    X, y, _ = problem()
    with pytest.raises(error, match=message):
        qi.SampledRidge(**params).fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.arange(80.0), r"`sample_weight` must be >= 0; got sample_weight\[1\] = -1.0"),
        (np.zeros(80), r"`sample_weight` must have a positive entry"),
        (np.ones(79), r"`sample_weight` must have one entry for each of the 80 rows of `X`; got 79"),
        (np.full(80, np.nan), r"`sample_weight` must be finite"),
        (np.ones((80, 2)), r"`sample_weight` must be 1-dimensional"),
    ],
)
def test_bad_sample_weights_are_named_with_their_rule(weights, message):
    X, y, _ = problem()
    with pytest.raises(ValueError, match=message):
        qi.SampledRidge().fit(X, y, weights)


def test_it_does_not_predict_before_fit():
    with pytest.raises(NotFittedError):
        qi.SampledRidge().predict([[1.0]])


def test_a_pinned_method_that_misses_the_tolerance_warns():
    X, y, _ = problem(300, 10, noise=20.0)
    with pytest.warns(ToleranceNotMetWarning):
        qi.SampledRidge(tol=1e-6, method="rows", random_state=0).fit(X, y)


def test_a_method_that_forms_no_weights_is_refused(rng):
    with pytest.raises(ValueError, match=r"`method` must not be 'implicit'.*use 'dual'"):
        qi.SampledRidge(method="implicit").fit(rng.standard_normal((30, 4)), np.ones(30))


@pytest.mark.parametrize(("x_unit", "y_unit"), [(1e-30, 1e10), (1.0, 1e-50), (1.0, 1e-40)])
def test_weights_that_float32_cannot_hold_stay_in_float64(x_unit, y_unit):
    X, y, _ = problem()
    small = (X * x_unit).astype(np.float32)
    model = qi.SampledRidge(0.0).fit(small, y * y_unit)
    expected = LinearRegression().fit(X, y).coef_ * (y_unit / x_unit)
    assert model.coef_.dtype == np.float64
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-4)
    assert qi.SampledRidge(0.0).fit(X.astype(np.float32), y).coef_.dtype == np.float32


@pytest.mark.parametrize("method", ["fastest", None, ["rows"]])
def test_an_unknown_method_is_refused_even_where_nothing_varies(method):
    with pytest.raises(ValueError, match=r"`method` must be one of auto, rows, .*sketched; got") as refusal:
        qi.SampledRidge(method=method).fit(np.ones((30, 4)), np.ones(30))
    assert "implicit" not in str(refusal.value)


@pytest.mark.parametrize("model", [qi.SampledRidge(), qi.SampledRidgeCV(), qi.SampledKernelRidge()])
def test_sparse_targets_are_refused_with_what_to_do(model):
    X, y, _ = problem()
    with pytest.raises(TypeError, match=r"`y` must be dense; call y.toarray\(\)"):
        model.fit(X, sp.csr_array(y[:, None]))


def test_the_error_counts_the_shrunk_mean_of_a_sparse_intercept():
    X, y, _ = problem(200, 20)
    with_penalty = qi.SampledRidge(1.0, tol=0.1, method="exact").fit(sp.csr_array(X), y)
    assert with_penalty.error_.value >= 0.001
    assert 0.001 <= with_penalty.error_.high <= 0.1
    assert with_penalty.error_.low == 0.0
    for model in (qi.SampledRidge(0.0, tol=0.1), qi.SampledRidge(1.0, tol=0.1, fit_intercept=False)):
        assert model.set_params(method="exact").fit(sp.csr_array(X), y).error_.high < 1e-6
    assert qi.SampledRidge(1.0, tol=0.1, method="exact").fit(X, y).error_.high < 1e-6
