from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from qinspired import baselines
from qinspired.baselines import VariationalClassifier


@parametrize_with_checks([VariationalClassifier(1, n_steps=20, step_size=0.2, random_state=0)])
def test_classifier_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


def data(n_points=40, n_features=2, seed=0):
    X = np.random.default_rng(seed).uniform(-1.5, 1.5, size=(n_points, n_features))
    return X, np.where(X[:, 0] > 0.1, "right", "left")


def naive_scores(model, X):
    """Return the scores by dense gates: Rot(a, b, c) is RZ(c) RY(b) RZ(a); qubit 0 is the most significant bit."""
    n = X.shape[1]
    index = np.arange(2**n)
    scores = []
    for x in model.bandwidth * X:
        state = np.eye(2**n)[0].astype(complex)
        for layer in model.angles_:
            gate = np.ones((1, 1))
            for i in range(n):
                a, b, c = layer[i]
                rx = np.array([[np.cos(x[i] / 2), -1j * np.sin(x[i] / 2)], [-1j * np.sin(x[i] / 2), np.cos(x[i] / 2)]])
                ry = np.array([[np.cos(b / 2), -np.sin(b / 2)], [np.sin(b / 2), np.cos(b / 2)]])
                rz = [np.diag(np.exp([-0.5j * angle, 0.5j * angle])) for angle in (a, c)]
                gate = np.kron(gate, rz[1] @ ry @ rz[0] @ rx)
            state = gate @ state
            if model.entangling and n > 1:
                for i in range(n):
                    target = 1 << (n - 1 - (i + 1) % n)
                    state = state[np.where((index >> (n - 1 - i)) & 1, index ^ target, index)]
        signs = sum(1 - 2 * ((index >> (n - 1 - i)) & 1) for i in range(n)) / n
        scores.append(model.scale_ * (np.abs(state) ** 2) @ signs + model.bias_)
    return np.array(scores)


@pytest.mark.parametrize("entangling", [True, False])
@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_scores_are_those_of_dense_gates(n_features, entangling):
    X, y = data(n_features=n_features)
    model = VariationalClassifier(2, n_steps=3, entangling=entangling, bandwidth=0.7, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.decision_function(X), naive_scores(model, X), atol=1e-10)
    assert model.angles_.shape == (2, n_features, 3)


@pytest.mark.parametrize(
    ("device", "n_features", "entangling"),
    [("default.qubit", 1, True), ("default.qubit", 3, True), ("default.qubit", 3, False), ("lightning.qubit", 3, True)],
)
def test_simulators_of_pennylane_train_the_same_model(device, n_features, entangling):
    pytest.importorskip("pennylane_lightning" if device == "lightning.qubit" else "pennylane")
    X, y = data(n_points=4, n_features=n_features)  # few, as lightning.qubit takes each by itself
    options = {"n_layers": 2, "n_steps": 2, "batch_size": 2, "entangling": entangling, "random_state": 0}
    ours = VariationalClassifier(**options).fit(X, y)
    theirs = VariationalClassifier(device=device, **options).fit(X, y)
    np.testing.assert_allclose(ours.angles_, theirs.angles_, atol=1e-8)
    np.testing.assert_allclose([ours.scale_, ours.bias_], [theirs.scale_, theirs.bias_], atol=1e-8)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, atol=1e-10)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-8)


def test_first_step_of_adam_has_the_step_size_against_the_gradient():
    X, y = data(n_points=10)
    options = {"n_layers": 1, "n_steps": 1, "batch_size": 100, "random_state": 0}
    small = VariationalClassifier(step_size=1e-9, **options).fit(X, y)
    model = VariationalClassifier(step_size=0.01, **options).fit(X, y)
    targets = np.where(y == "right", 1.0, -1.0)

    def loss(angles, scale=1.0, bias=0.0):
        small.angles_, small.scale_, small.bias_ = angles, scale, bias
        return np.mean((naive_scores(small, X) - targets) ** 2)

    start = small.angles_.copy()
    assert model.loss_curve_[0] == pytest.approx(loss(start), rel=1e-6)
    slopes = [loss(start, 1.0 + 1e-5) - loss(start, 1.0 - 1e-5), loss(start, 1.0, 1e-5) - loss(start, 1.0, -1e-5)]
    assert [model.scale_ - 1.0, model.bias_] == pytest.approx(-0.01 * np.sign(slopes), rel=1e-3)
    for place in np.ndindex(start.shape):
        shift = np.zeros(start.shape)
        shift[place] = 1e-5
        slope = (loss(start + shift) - loss(start - shift)) / 2e-5
        if abs(slope) > 1e-6:
            assert model.angles_[place] - start[place] == pytest.approx(-0.01 * np.sign(slope), rel=1e-3)


def test_steps_are_those_of_adam():
    X, y = data(n_points=10)
    targets = np.where(y == "right", 1.0, -1.0)
    options = {"n_layers": 1, "batch_size": 10, "random_state": 0}
    model = VariationalClassifier(step_size=0.1, n_steps=5, **options).fit(X, y)
    twin = VariationalClassifier(step_size=1e-12, n_steps=1, **options).fit(X, y)

    def loss(weights):
        twin.angles_, twin.scale_, twin.bias_ = weights[:-2].reshape(1, 2, 3), weights[-2], weights[-1]
        return np.mean((naive_scores(twin, X) - targets) ** 2)

    weights = np.append(twin.angles_.ravel(), (1.0, 0.0))
    first, second = 0.0, 0.0
    for step in range(1, 6):
        shifts = 1e-5 * np.eye(len(weights))
        slopes = np.array([loss(weights + shift) - loss(weights - shift) for shift in shifts]) / 2e-5
        first, second = 0.9 * first + 0.1 * slopes, 0.99 * second + 0.01 * slopes**2
        step_size = 0.1 * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
        weights = weights - step_size * first / (np.sqrt(second) + 1e-8)
    # The last rotations about Z change no value; their steps are of rounding alone.
    steady = np.abs(slopes) > 1e-6
    assert steady.sum() >= 6
    found = np.append(model.angles_.ravel(), (model.scale_, model.bias_))
    np.testing.assert_allclose(found[steady], weights[steady], atol=1e-5)


def test_training_finds_a_boundary():
    X, y = data(n_points=80)
    model = VariationalClassifier(2, n_steps=60, step_size=0.1, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.loss_curve_[-10:].mean() < 0.7 * model.loss_curve_[:10].mean()
    assert model.classes_.tolist() == ["left", "right"]
    again = VariationalClassifier(2, n_steps=60, step_size=0.1, random_state=0).fit(X, y)
    assert (again.angles_ == model.angles_).all()


def test_without_entanglement_the_score_is_a_sum_over_the_features():
    X, y = data()
    corners = np.array([[0.3, -0.5], [1.0, -0.5], [0.3, 0.9], [1.0, 0.9]])
    mixed = []
    for entangling in (False, True):
        model = VariationalClassifier(2, n_steps=5, entangling=entangling, random_state=0).fit(X, y)
        scores = model.decision_function(corners)
        mixed.append(abs(scores[0] - scores[1] - scores[2] + scores[3]))
    assert mixed[0] < 1e-12
    assert mixed[1] > 1e-3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_layers": 0}, ValueError, "`n_layers`"),
        ({"n_steps": 0}, ValueError, "`n_steps`"),
        ({"batch_size": 1.5}, TypeError, "`batch_size`"),
        ({"step_size": 0.0}, ValueError, "`step_size`"),
        ({"step_size": 6.3}, ValueError, "`step_size` must be at most 2 pi"),
        ({"step_size": 1e308}, ValueError, "`step_size` must be at most 2 pi"),
        ({"bandwidth": -1.0}, ValueError, "`bandwidth`"),
        ({"entangling": 1}, TypeError, "`entangling`"),
        ({"device": "braket"}, ValueError, "`device` must be one of numpy"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(options, error, words):
    with pytest.raises(error, match=words):
        VariationalClassifier().set_params(**options).fit(*data())


def test_data_that_do_not_fit_are_refused():
    X = data()[0]
    with pytest.raises(ValueError, match="exactly two classes; got 1"):
        VariationalClassifier().fit(X, np.ones(40))
    with pytest.raises(ValueError, match="exactly two classes; got 3"):
        VariationalClassifier().fit(X, np.arange(40) % 3)
    with pytest.raises(ValueError, match="at most 16 features"):
        VariationalClassifier().fit(*data(n_features=17))
    with pytest.raises(ValueError, match="NaN"):
        VariationalClassifier().fit(np.full((4, 2), np.nan), [0, 1, 0, 1])


def test_absent_pennylane_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pennylane", None)
    VariationalClassifier(n_steps=1).fit(*data())
    with pytest.raises(ImportError, match=r"`device` needs PennyLane.*qinspired\[quantum\]"):
        VariationalClassifier(device="default.qubit").fit(*data())


def test_estimators_are_listed_and_unknown_names_are_not_found():
    assert set(baselines.__all__) <= set(dir(baselines))
    assert all(getattr(baselines, name) is not None for name in baselines.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = baselines.nonsense


def test_what_is_set_after_the_fit_does_not_change_the_scores():
    X, y = data()
    model = VariationalClassifier(1, n_steps=3, random_state=0).fit(X, y)
    before = model.decision_function(X)
    model.set_params(entangling=False, bandwidth=3.0, device="lightning.qubit")
    np.testing.assert_array_equal(model.decision_function(X), before)


def test_predictions_hold_the_states_of_some_points_at_a_time():
    X, y = data(n_points=2000, n_features=12)
    model = VariationalClassifier(1, n_steps=1, batch_size=2, random_state=0).fit(X, y)
    tracemalloc.start()
    scores = model.decision_function(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2**12 * 16  # all states at once
    np.testing.assert_allclose(scores[[0, 700, -1]], model.decision_function(X[[0, 700, -1]]), atol=1e-14)


def test_angles_of_no_digits_are_refused():
    X, y = data()
    with pytest.raises(ValueError, match="`bandwidth` times the entries of `X`"):
        VariationalClassifier(1, n_steps=3, bandwidth=1e10).fit(X, y)
    with pytest.raises(ValueError, match="`bandwidth` times the entries of `X`"):
        baselines.FourierSurrogateClassifier(bandwidth=1e10).fit(X, y)
