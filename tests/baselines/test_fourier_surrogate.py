from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.utils.estimator_checks import parametrize_with_checks

from qinspired.baselines import FourierSurrogateClassifier, FourierSurrogateRegressor, VariationalClassifier


@parametrize_with_checks([FourierSurrogateRegressor(random_state=0), FourierSurrogateClassifier(random_state=0)])
def test_surrogates_are_estimators_of_scikit_learn(estimator, check):
    check(estimator)


def grid(degree, n_features):
    angles = 2 * np.pi * np.arange(2 * degree + 1) / (2 * degree + 1)
    return np.array(list(itertools.product(angles, repeat=n_features)))


def circuit(X, angles):
    """Return <Z_0> of RX(x), RY(angle) and a ring of CNOTs in each layer, by dense matrices."""
    values = []
    n = X.shape[1]
    for x in X:
        state = np.eye(2**n)[0].astype(complex)
        for layer in angles:
            gate = np.ones((1, 1))
            for i in range(n):
                c, s, d, t = np.cos(x[i] / 2), np.sin(x[i] / 2), np.cos(layer[i] / 2), np.sin(layer[i] / 2)
                gate = np.kron(gate, np.array([[d, -t], [t, d]]) @ np.array([[c, -1j * s], [-1j * s, c]]))
            state = gate @ state
            for i in range(n):
                j = (i + 1) % n
                index = np.arange(2**n)
                state = state[np.where((index >> (n - 1 - i)) & 1, index ^ (1 << (n - 1 - j)), index)]
        values.append((np.abs(state) ** 2) @ (1 - 2 * (np.arange(2**n) >> (n - 1))))
    return np.array(values)


@pytest.mark.parametrize(("degree", "n_features"), [(1, 3), (2, 2), (3, 2)])
def test_surrogate_on_the_full_grid_is_the_circuit_everywhere(degree, n_features):
    rng = np.random.default_rng(0)
    angles = rng.uniform(-3, 3, size=(degree, n_features))
    train = grid(degree, n_features)
    model = FourierSurrogateRegressor(degree, sampling="grid", alpha=0.0).fit(train, circuit(train, angles))
    test = rng.uniform(-10, 10, size=(50, n_features))
    np.testing.assert_allclose(model.predict(test), circuit(test, angles), atol=1e-12)


def test_surrogate_of_too_low_a_degree_is_not_exact():
    rng = np.random.default_rng(0)
    angles, train = rng.uniform(-3, 3, size=(3, 2)), grid(3, 2)
    model = FourierSurrogateRegressor(2, sampling="grid", alpha=0.0).fit(train, circuit(train, angles))
    test = rng.uniform(-10, 10, size=(50, 2))
    assert np.abs(model.predict(test) - circuit(test, angles)).max() > 0.05


def test_surrogate_of_a_trained_circuit_is_exact():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(30, 2))
    model = VariationalClassifier(2, n_steps=5, random_state=0).fit(X, X[:, 0] > X[:, 1])
    train = grid(2, 2)
    surrogate = FourierSurrogateRegressor(2, sampling="grid", alpha=0.0).fit(train, model.decision_function(train))
    np.testing.assert_allclose(surrogate.predict(X), model.decision_function(X), atol=1e-12)


@pytest.mark.parametrize("degree", [1, 3])
def test_features_of_drawn_frequencies_tend_to_the_kernel_of_cosines(degree):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(20, 4))
    model = FourierSurrogateRegressor(degree, n_frequencies=40_000, random_state=1).fit(X, X[:, 0])
    features = model._features(X)
    zero = 1 - (model._scales**2).sum()  # share of draws of the constant
    expected = np.prod(np.cos((X[:, None] - X[None]) / 2) ** (2 * degree), axis=2)
    # Each entry is a mean of 40,000 cosines: six standard errors of at most 1 / 200.
    np.testing.assert_allclose(features @ features.T + zero, expected, atol=0.03)


def test_entries_of_frequencies_are_centred_binomials():
    X = np.zeros((2, 1))
    counts = {}
    for seed in range(40):
        model = FourierSurrogateRegressor(2, n_frequencies=500, random_state=seed).fit(X, [0.0, 1.0])
        for frequency, scale in zip(model.frequencies_[:, 0], model._scales, strict=True):
            counts[int(frequency)] = counts.get(int(frequency), 0) + round(scale**2 * 500)
    # Binomial(4, 1/2) - 2 up to sign: 6/16 of 0, 8/16 of 1, 2/16 of 2.
    seen = np.array([20_000 - counts[1] - counts[2], counts[1], counts[2]])
    assert stats.chisquare(seen, 20_000 * np.array([6, 8, 2]) / 16).pvalue > oracles.P_LOWEST
    assert stats.chisquare(seen, 20_000 * np.array([1, 2, 2]) / 5).pvalue < oracles.P_LOWEST


def test_fit_is_the_ridge_regression_on_its_features():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-2, 2, size=(40, 3)), rng.standard_normal(40)
    model = FourierSurrogateRegressor(2, n_frequencies=100, alpha=0.01, bandwidth=0.5, random_state=0).fit(X, y)
    features = model._features(X)
    centred = features - features.mean(axis=0)
    twin = KernelRidge(alpha=0.01 * 40).fit(centred, y - y.mean())
    np.testing.assert_allclose(model.predict(X), twin.predict(centred) + y.mean(), atol=1e-9)
    np.testing.assert_allclose(np.sort(np.abs(model.frequencies_)).max(), 2)


def test_no_frequency_is_kept_twice_or_with_its_opposite():
    for model in (
        FourierSurrogateRegressor(2, sampling="grid").fit(np.zeros((2, 3)), [0.0, 1.0]),
        FourierSurrogateRegressor(2, n_frequencies=1000, random_state=0).fit(np.zeros((2, 3)), [0.0, 1.0]),
    ):
        rows = {tuple(row) for row in model.frequencies_.tolist()}
        assert len(rows) == len(model.frequencies_)
        assert not rows & {tuple(-entry for entry in row) for row in rows}
    assert len(FourierSurrogateRegressor(2, sampling="grid").fit(np.zeros((2, 3)), [0.0, 1.0]).frequencies_) == 62


def test_several_classes_are_told_apart():
    X = np.random.default_rng(0).uniform(-3, 3, size=(300, 1))
    y = np.array(["a", "b", "c"])[np.digitize(np.cos(X[:, 0]), [-0.5, 0.5])]
    model = FourierSurrogateClassifier(2, random_state=0).fit(X, y)
    assert model.decision_function(X).shape == (300, 3)
    assert model.score(X, y) > 0.9


def test_frequencies_of_the_grid_have_equal_weights_of_sum_one():
    X = np.random.default_rng(0).standard_normal((5, 2))
    features = FourierSurrogateRegressor(2, sampling="grid").fit(X, X[:, 0])._features(X)
    assert features.shape == (5, 24)
    np.testing.assert_allclose((features**2).sum(axis=1), 1.0)
    np.testing.assert_allclose(features[:, :12] ** 2 + features[:, 12:] ** 2, 1 / 12)


def test_seed_decides_the_frequencies():
    X, y = np.random.default_rng(0).uniform(-2, 2, size=(2, 30, 8))
    first, again, other = (
        FourierSurrogateRegressor(random_state=seed).fit(X, y[:, 0]).predict(X) for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"degree": 0}, ValueError, "`degree`"),
        ({"degree": 1.5}, TypeError, "`degree`"),
        ({"n_frequencies": 0}, ValueError, "`n_frequencies`"),
        ({"sampling": "distinct"}, ValueError, "`sampling` must be one of tree, grid"),
        ({"sampling": "grid", "degree": 30}, ValueError, '`sampling` must be "tree" here.*10\\^5.1 frequencies'),
        ({"sampling": "grid", "degree": 10**400}, ValueError, "`degree` must be at most 1000000"),
        ({"degree": 10**19}, ValueError, "`degree` must be at most 1000000"),
        ({"alpha": -1.0}, ValueError, "`alpha`"),
        ({"bandwidth": 0.0}, ValueError, "`bandwidth`"),
        ({"random_state": -1}, ValueError, "`random_state`|`rng`"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(options, error, words):
    X = np.random.default_rng(0).standard_normal((10, 3))
    with pytest.raises(error, match=words):
        clone(FourierSurrogateRegressor()).set_params(**options).fit(X, X[:, 0])


def test_grid_is_refused_from_20_000_frequencies_on():
    FourierSurrogateRegressor(99, sampling="grid").fit(np.zeros((2, 2)), [0.0, 1.0])  # (199^2 - 1) / 2 = 19,800
    with pytest.raises(ValueError, match='`sampling` must be "tree" here'):
        FourierSurrogateRegressor(100, sampling="grid").fit(np.zeros((2, 2)), [0.0, 1.0])  # 20,200


def test_grid_of_many_features_is_refused():
    with pytest.raises(ValueError, match=r'`sampling` must be "tree" here.*in 500 features has about 10\^422\.2'):
        FourierSurrogateRegressor(3, sampling="grid").fit(np.zeros((2, 500)), [0.0, 1.0])


def test_targets_whose_sums_are_no_floats_are_refused():
    X = np.random.default_rng(0).standard_normal((10, 3))
    with pytest.raises(ValueError, match="`y` must be of entries up to"):
        FourierSurrogateRegressor(random_state=0).fit(X, 1e308 * (X[:, 0] > 0))
    model = FourierSurrogateRegressor(random_state=0).fit(X, 1e250 * np.sign(X[:, 0]))
    assert np.isfinite(model.predict(X)).all()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="`y` must have at least two classes"):
        FourierSurrogateClassifier().fit(np.eye(3), [1, 1, 1])
