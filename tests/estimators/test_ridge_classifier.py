from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import RidgeClassifier

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning


def problem(n_classes=3, m=120, n=6, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, m, p=np.arange(1, n_classes + 1) / np.arange(1, n_classes + 1).sum())
    centres = 1.5 * rng.standard_normal((n_classes, n))
    X = np.rint(2.0 * (centres[y] + rng.standard_normal((m, n))))
    return X, np.array(["red", "green", "blue", "amber"])[y], rng.integers(0, 3, m) * 1.0


def balanced_by_hand(y, weights):
    """Return weights under which every class has the same total, that of all rows shared evenly."""
    out = weights.copy()
    for label in np.unique(y):
        out[y == label] *= weights.sum() / (len(np.unique(y)) * weights[y == label].sum())
    return out


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"red": 3.0, "green": 0.5}])
@pytest.mark.parametrize("weighted", [True, False])
def test_on_small_data_it_agrees_with_ridge_classifier(convert, n_classes, fit_intercept, class_weight, weighted):
    X, y, weights = problem(n_classes)
    sample_weight, theirs_weight, theirs_class = weights if weighted else None, weights, class_weight
    if weighted and class_weight == "balanced":
        theirs_weight, theirs_class = balanced_by_hand(y, weights), None
    options = {"alpha": 2.0, "fit_intercept": fit_intercept}
    ours = qi.SampledRidgeClassifier(**options, class_weight=class_weight, tol=1e-5)
    ours.fit(convert(X), y, sample_weight)
    theirs = RidgeClassifier(**options, class_weight=theirs_class, solver="svd")
    theirs.fit(X, y, theirs_weight if weighted else None)
    assert ours.classes_.tolist() == theirs.classes_.tolist()
    assert ours.coef_.shape == np.atleast_2d(theirs.coef_).shape
    np.testing.assert_allclose(ours.decision_function(convert(X)), theirs.decision_function(X), atol=1e-6)
    np.testing.assert_array_equal(ours.predict(convert(X)), theirs.predict(X))
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_an_integer_weight_is_as_good_as_repeated_rows(class_weight):
    X, y, weights = problem()
    model = qi.SampledRidgeClassifier(class_weight=class_weight)
    weighted = model.fit(X, y, weights).coef_
    rows = np.repeat(np.arange(len(y)), weights.astype(int))
    np.testing.assert_allclose(model.fit(X[rows], y[rows]).coef_, weighted, atol=1e-10)


def test_balanced_is_not_unbalanced():
    X, y, _ = problem()
    plain, balanced = (qi.SampledRidgeClassifier(class_weight=kind).fit(X, y) for kind in (None, "balanced"))
    assert np.abs(plain.coef_ - balanced.coef_).max() > 1e-3
    rare = y == "red"
    assert (balanced.predict(X)[rare] == "red").sum() >= (plain.predict(X)[rare] == "red").sum()


def test_columns_of_labels_are_told_one_by_one():
    X, y, _ = problem()
    Y = np.column_stack([y == "red", y != "blue", X[:, 0] > 0]).astype(int)
    ours = qi.SampledRidgeClassifier(class_weight="balanced").fit(X, Y)
    theirs = RidgeClassifier(class_weight="balanced", solver="svd").fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_a_column_of_labels_is_taken_as_a_vector_with_a_warning():
    X, y, _ = problem()
    with pytest.warns(DataConversionWarning):
        model = qi.SampledRidgeClassifier().fit(X, y[:, None])
    assert model.predict(X).shape == y.shape


def test_from_drawn_rows_labels_differ_only_where_scores_are_close():
    X, y, _ = problem(3, 30_000)
    model = qi.SampledRidgeClassifier(tol=0.05, method="rows", random_state=0).fit(X, y)
    exact = RidgeClassifier().fit(X, y)
    assert all(error.high <= 0.05 for error in model.error_)
    assert all(solution.method == "rows" for solution in model.solution_)
    centred = X - X.mean(axis=0)
    for ours, theirs in zip(model.coef_, exact.coef_, strict=True):
        true = np.linalg.norm(centred @ (ours - theirs)) / np.linalg.norm(centred @ theirs)
        assert 0.0 < true <= 0.05
    scores = np.sort(exact.decision_function(X), axis=1)
    differ = model.predict(X) != exact.predict(X)
    assert 0 < differ.sum() < 0.01 * len(y)
    gaps = scores[:, -1] - scores[:, -2]
    assert gaps[differ].max() < 0.2 < np.median(gaps)


def test_real_houses_are_told_cheap_or_dear_as_by_ridge_classifier(data_dir):
    import gzip

    with gzip.open(data_dir / "california-housing" / "cal_housing.data.gz", "rt") as file:
        houses = np.loadtxt(file, delimiter=",")
    X, price = houses[:, :-1], houses[:, -1]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = np.digitize(price, np.quantile(price, [1 / 3, 2 / 3]))
    ours = qi.SampledRidgeClassifier(tol=0.05, random_state=0).fit(X, y)
    theirs = RidgeClassifier().fit(X, y)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.01)


def test_float32_stays_float32():
    X, y, _ = problem()
    model = qi.SampledRidgeClassifier().fit(X.astype(np.float32), y)
    assert model.coef_.dtype == model.intercept_.dtype == model.decision_function(X.astype(np.float32)).dtype
    assert model.coef_.dtype == np.float32
    np.testing.assert_allclose(model.coef_, RidgeClassifier(solver="svd").fit(X, y).coef_, atol=1e-5)


def test_a_matrix_of_zeros_gives_the_most_frequent_class():
    model = qi.SampledRidgeClassifier().fit(np.zeros((5, 2)), [0, 1, 1, 1, 0])
    assert model.predict(np.ones((2, 2))).tolist() == [1, 1]
    assert not model.coef_.any()


def test_a_pickle_leaves_out_the_training_data():
    X, y, _ = problem(3, 5000)
    model = qi.SampledRidgeClassifier().fit(X, y)
    data = pickle.dumps(model)
    assert len(data) < X.nbytes / 20
    np.testing.assert_array_equal(pickle.loads(data).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"alpha": -1.0}, ValueError, r"`alpha` must be a finite number >= 0; got -1.0"),
        ({"tol": 0.0}, ValueError, r"`tol` must be in \(0, 1\); got 0.0"),
        ({"method": "fast"}, ValueError, r"`method` must be one of auto, rows.*got 'fast'"),
        ({"class_weight": "fair"}, ValueError, r"class_weight"),
        ({"class_weight": {"red": -1.0}}, ValueError, r"`class_weight\['red'\]` must be a finite number >= 0; got -1"),
        ({"random_state": 1.5}, TypeError, r"`random_state` must be .*got 1.5"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule(params, error, message):
    X, y, _ = problem()
    with pytest.raises(error, match=message):
        qi.SampledRidgeClassifier(**params).fit(X, y)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (["a"] * 120, None, r"`y` must have at least two classes for SampledRidgeClassifier; got 1 class"),
        (np.linspace(0.0, 1.0, 120), None, "continuous"),
        (np.arange(240).reshape(120, 2) % 5, None, r"`y` must be one column of labels.*got shape \(120, 2\)"),
        (None, -np.ones(120), r"`sample_weight` must be >= 0"),
        (None, np.ones(7), r"`sample_weight` must have one entry for each of the 120 rows"),
    ],
)
def test_bad_labels_and_weights_are_named_with_their_rule(y, weights, message):
    X, labels, _ = problem()
    with pytest.raises(ValueError, match=message):
        qi.SampledRidgeClassifier().fit(X, labels if y is None else y, weights)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_entries_are_refused(bad):
    X, y, _ = problem()
    X[3, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        qi.SampledRidgeClassifier().fit(X, y)


def test_a_pinned_method_that_misses_the_tolerance_warns():
    X, y, _ = problem()
    with pytest.warns(ToleranceNotMetWarning):
        qi.SampledRidgeClassifier(tol=1e-6, method="rows", random_state=0).fit(X, y)


def test_it_does_not_predict_before_fit():
    with pytest.raises(NotFittedError):
        qi.SampledRidgeClassifier().predict([[1.0]])


def test_a_classifier_keeps_weights_in_float64_that_float32_cannot_hold():
    X, y, _ = problem(2)
    model = qi.SampledRidgeClassifier(0.0).fit((X * 1e37).astype(np.float32), y)
    assert model.coef_.dtype == np.float64
    np.testing.assert_allclose(model.coef_, qi.SampledRidgeClassifier(0.0).fit(X, y).coef_ * 1e-37, rtol=1e-4)


@pytest.mark.parametrize("method", ["fastest", "implicit"])
def test_a_method_that_forms_no_weights_or_is_unknown_is_refused(method):
    with pytest.raises(ValueError, match=r"`method` must (be one of auto, |not be 'implicit')"):
        qi.SampledRidgeClassifier(method=method).fit(np.ones((4, 2)), [0, 1, 0, 1])


def test_sparse_columns_of_labels_count_as_dense_ones():
    X, y, _ = problem()
    labels = (y[:, None] == np.unique(y)).astype(int)
    dense, sparse = (qi.SampledRidgeClassifier().fit(X, given) for given in (labels, sp.csr_array(labels)))
    np.testing.assert_array_equal(sparse.coef_, dense.coef_)
    assert sparse.score(X, sp.csr_array(labels)) == dense.score(X, labels)


def test_class_weights_that_are_all_zero_are_refused_by_their_name():
    X, y, _ = problem(2)
    with pytest.raises(ValueError, match=r"`class_weight` must leave a row of positive weight"):
        qi.SampledRidgeClassifier(class_weight={False: 0, True: 0}).fit(X, y == y[0])
