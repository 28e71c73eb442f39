from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Perceptron

import qinspired as qi
from qinspired.estimators import _perceptron


def separable(m=400, n=6, gap=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, n))
    X[:, 0] += np.sign(X[:, 0]) * gap
    return X, np.where(X[:, 0] > 0, "right", "left")


def overlapping(m=300, n=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.random(m) < 0.4
    return rng.standard_normal((m, n)) + 1.5 * y[:, None], y


def examples(X, positive, fit_intercept=True):
    """Return the rows y_i (x_i, c) / R."""
    c = math.sqrt((X**2).sum(axis=1).mean()) if fit_intercept else 0.0
    A = np.column_stack([X, np.full(len(X), c)])
    return A * np.where(positive, 1.0, -1.0)[:, None] / np.linalg.norm(A, axis=1).max()


def largest_margin(A):
    """Return max over |w| <= 1 of min_i a_i w: the distance of 0 from the hull of the rows, by Wolfe's method.

    By bounded least squares: `nnls` of SciPy 1.15.0 stops too early here.
    """
    stacked, target = np.vstack([A.T, np.ones(len(A))]), np.r_[np.zeros(A.shape[1]), 1.0]
    z = scipy.optimize.lsq_linear(stacked, target, bounds=(0, np.inf), method="bvls", tol=1e-14, max_iter=2000).x
    return float(np.linalg.norm(A.T @ z) / z.sum())


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("steps", [10, 500, 20_000])
@pytest.mark.parametrize("data", [separable, overlapping])
@pytest.mark.parametrize("eta", ["auto", "published"])
def test_the_largest_margin_is_between_the_ends(fit_intercept, steps, data, eta):
    X, y = data()
    model = qi.SublinearPerceptron(max_iter=steps, eta=eta, fit_intercept=fit_intercept, random_state=0).fit(X, y)
    A = examples(X, y == model.classes_[1], fit_intercept)
    w = np.r_[model.coef_[0], model.intercept_ / (math.sqrt((X**2).sum(axis=1).mean()) if fit_intercept else 1.0)]
    best = largest_margin(A)
    assert model.margin_.value == model.margin_.low == pytest.approx((A @ w).min() / np.linalg.norm(w), rel=1e-9)
    assert model.margin_.low <= best + 1e-12
    assert best <= model.margin_.high + 1e-12
    assert model.n_iter_ == steps


def test_more_steps_close_the_gap():
    X, y = separable()
    gaps = []
    for steps in (300, 3000, 30_000):
        margin = qi.SublinearPerceptron(max_iter=steps, random_state=0).fit(X, y).margin_
        gaps.append(margin.high - margin.low)
    best = largest_margin(examples(X, y == "right"))
    assert gaps[0] > 1.5 * gaps[1] > 2.25 * gaps[2]
    assert margin.low > 0.85 * best


def test_a_known_margin_is_reached():
    X = np.array([[3.0, 4.0], [-3.0, -4.0], [6.0, 8.0]])  # (1, 0), in the direction (3, 4) / 5
    model = qi.SublinearPerceptron(fit_intercept=False, random_state=0).fit(X, [1, 0, 1])
    np.testing.assert_allclose(model.coef_[0] / np.linalg.norm(model.coef_), [0.6, 0.8], atol=0.03)
    assert model.margin_.low == pytest.approx(0.5, abs=0.02)
    assert model.margin_.high == pytest.approx(0.5, abs=0.02)


def test_with_the_published_steps_and_rate_the_promise_of_the_theorem_holds():
    X, y = separable(60, 3)
    kept = 0
    best = largest_margin(examples(X, y == "right"))
    for seed in range(5):
        model = qi.SublinearPerceptron(0.9, max_iter=None, eta="published", random_state=seed).fit(X, y)
        w = np.r_[model.coef_[0], model.intercept_ / math.sqrt((X**2).sum(axis=1).mean())]
        assert np.linalg.norm(w) <= 1.0
        kept += (examples(X, y == "right") @ w).min() >= best - 0.9
    assert model.n_iter_ == math.ceil(40_000 * math.log(60) / 0.81)
    assert kept >= 3
    few = qi.SublinearPerceptron(0.9, max_iter=7).fit(X, y)
    assert few.n_iter_ == 7


def test_separable_classes_are_told_as_by_the_perceptron():
    X, y = separable()
    ours, theirs = qi.SublinearPerceptron(random_state=0).fit(X, y), Perceptron(random_state=0).fit(X, y)
    assert ours.score(X, y) == theirs.score(X, y) == 1.0
    new, labels = separable(seed=1)
    assert ours.score(new, labels) >= theirs.score(new, labels) - 0.01
    assert ours.margin_.low > 0.0


def test_several_classes_are_told_each_against_the_rest():
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = qi.SublinearPerceptron(random_state=0).fit(X, y)
    assert model.coef_.shape == (3, 4)
    assert model.decision_function(X).shape == (150, 3)
    assert len(model.margin_) == 3
    assert model.margin_[0].low > 0.0 > model.margin_[1].low  # the first kind stands apart, the others do not
    assert model.score(X, y) > 0.93
    for k, margin in enumerate(model.margin_):
        assert margin.low <= largest_margin(examples(X, y == k)) <= margin.high


def test_cheap_and_dear_houses_are_told_better_than_by_the_larger_class(data_dir):
    with gzip.open(data_dir / "california-housing" / "cal_housing.data.gz", "rt") as file:
        houses = np.loadtxt(file, delimiter=",")
    X, y = houses[:, :-1], houses[:, -1] > np.median(houses[:, -1])
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = qi.SublinearPerceptron(max_iter=3000, random_state=0).fit(X, y)
    assert model.margin_.low < 0.0 <= model.margin_.high  # they overlap
    assert model.score(X, y) > 0.6


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_sparse_matrix_gives_the_same_steps(fit_intercept):
    X, y = separable()
    X[np.abs(X) < 0.4] = 0.0
    kind = qi.SublinearPerceptron(max_iter=2000, fit_intercept=fit_intercept, random_state=0)
    dense = kind.fit(X, y)
    weights, margin = dense.coef_.copy(), dense.margin_
    for convert in (sp.csr_array, sp.csc_matrix):
        model = kind.fit(convert(X), y)
        np.testing.assert_allclose(model.coef_, weights, rtol=1e-8)
        assert model.margin_.high == pytest.approx(margin.high, rel=1e-8)
        np.testing.assert_array_equal(model.predict(convert(X)), model.predict(X))


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_the_unit_of_the_features_does_not_matter(size):
    X, y = separable()
    kind = qi.SublinearPerceptron(max_iter=2000, random_state=0)
    here = kind.fit(X, y)
    margin, labels = here.margin_, here.predict(X)
    there = kind.fit(size * X, y)
    assert there.margin_.low == pytest.approx(margin.low, rel=1e-6)
    np.testing.assert_array_equal(there.predict(size * X), labels)


def test_steps_in_parts_are_those_in_one(monkeypatch):
    X, y = separable()
    kind = qi.SublinearPerceptron(max_iter=500, random_state=0)
    whole = kind.fit(X, y).coef_
    monkeypatch.setattr(_perceptron, "_VISITS", 10_000)
    np.testing.assert_array_equal(kind.fit(X, y).coef_, whole)


def test_a_seed_repeats_the_fit_and_another_does_not():
    X, y = separable()
    one, two, three = (qi.SublinearPerceptron(max_iter=300, random_state=s).fit(X, y).coef_ for s in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - three).max() > 1e-6


def test_float32_stays_float32():
    X, y = separable()
    model = qi.SublinearPerceptron(max_iter=2000, random_state=0).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    assert model.decision_function(X.astype(np.float32)).dtype == np.float32
    assert model.score(X, y) == 1.0


def test_fit_leaves_its_input_alone():
    X, y = separable()
    before = X.copy()
    qi.SublinearPerceptron(max_iter=100, random_state=0).fit(X, y)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_matrix_of_zeros_has_no_margin(fit_intercept):
    model = qi.SublinearPerceptron(max_iter=100, fit_intercept=fit_intercept, random_state=0)
    model.fit(np.zeros((4, 2)), [0, 1, 1, 0])
    assert not model.coef_.any()
    assert model.margin_.low <= 0.0 <= model.margin_.high
    assert set(model.predict(np.ones((2, 2)))) <= {0, 1}


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"eps": 0.0}, ValueError, r"`eps` must be in \(0, 1\); got 0.0"),
        ({"max_iter": 0}, ValueError, r"`max_iter` must be .*>= 1; got 0"),
        ({"max_iter": 1.5}, TypeError, r"`max_iter` must be"),
        ({"eta": "fast"}, ValueError, r"`eta` must be one of auto, published; got 'fast'"),
        ({"random_state": 1.5}, TypeError, r"`random_state` must be .*got 1.5"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule(params, error, message):
    with pytest.raises(error, match=message):
        qi.SublinearPerceptron(**params).fit(*separable(20))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_data_are_refused(bad):
    X, y = separable(20)
    with pytest.raises(ValueError, match=r"at least two classes for SublinearPerceptron; got 1 class"):
        qi.SublinearPerceptron().fit(X, np.ones(20))
    with pytest.raises(ValueError, match=r"continuous"):
        qi.SublinearPerceptron().fit(X, X[:, 0])
    X[3, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        qi.SublinearPerceptron().fit(X, y)


def test_it_does_not_predict_before_fit():
    with pytest.raises(NotFittedError):
        qi.SublinearPerceptron().predict([[1.0]])


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_rows_too_small_to_divide_by_are_refused(convert, fit_intercept):
    X, y = separable()
    model = qi.SublinearPerceptron(max_iter=100, fit_intercept=fit_intercept, random_state=0)
    with pytest.raises(ValueError, match=r"norm at least 1e-300.*Multiply `X` by a constant"):
        model.fit(convert(X * 1e-310), y)
    assert np.isfinite(model.fit(convert(X * 1e-299), y).margin_.value)
