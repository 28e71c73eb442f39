from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import qinspired as qi

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 6)) * [5.0, 4.0, 3.0, 2.0, 1.0, 1.0]
Y = X @ RNG.standard_normal((6, 2)) + 0.1 * RNG.standard_normal((80, 2))
LABELS = np.where(Y[:, 0] > 0.0, 1, 0)
CLEAR = np.abs(Y[:, 0]) > 3.0
RATINGS = (RNG.random((40, 30)) < 0.3) * RNG.integers(1, 6, (40, 30)) * 1.0

FITTED = {
    "ridge": lambda: qi.SampledRidge(random_state=0).fit(X, Y[:, 0]),
    "ridge of several targets": lambda: qi.SampledRidge(random_state=0).fit(X, Y),
    "ridge of blocks": lambda: qi.SampledRidge(random_state=0).partial_fit(X, Y),
    "ridge with cross-validation": lambda: qi.SampledRidgeCV(random_state=0).fit(X, Y[:, 0]),
    "classifier": lambda: qi.SampledRidgeClassifier(random_state=0).fit(X, LABELS),
    "kernel ridge": lambda: qi.SampledKernelRidge(n_landmarks=20, random_state=0).fit(X, Y),
    "perceptron": lambda: qi.SublinearPerceptron(random_state=0).fit(
        X[np.abs(Y[:, 0]) > 3], LABELS[np.abs(Y[:, 0]) > 3]
    ),
    "svd": lambda: qi.SampledSVD(2, random_state=0).fit(X),
    "svd of blocks": lambda: qi.SampledSVD(2, random_state=0).partial_fit(X),
    "pca": lambda: qi.SampledPCA(2, random_state=0).fit(X),
    "recommender": lambda: qi.SampledRecommender(3, random_state=0).fit(RATINGS),
}
OF_DATA = ("solution_", "approximation_")
WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FITTED)
def test_a_copy_has_what_was_fitted_and_answers_the_same(name, way):
    model = FITTED[name]()
    twin = WAYS[way](model)
    left_out = OF_DATA if way == "pickle" else ()
    assert set(vars(twin)) == set(vars(model)) - set(left_out)
    for result in set(OF_DATA) & set(vars(twin)):
        assert getattr(twin, result) is getattr(model, result)
    for method in ("predict", "transform"):
        if hasattr(model, method) and name != "recommender":
            np.testing.assert_array_equal(getattr(twin, method)(X), getattr(model, method)(X))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["ridge of blocks", "svd of blocks"])
def test_a_copy_goes_on_by_itself(name, way):
    model, alone = FITTED[name](), FITTED[name]()
    twin = WAYS[way](model)
    more = (X[:30] + 1.0, Y[:30]) if name == "ridge of blocks" else (X[:30] + 1.0,)
    twin.partial_fit(*more)
    shown = "coef_" if name == "ridge of blocks" else "components_"
    np.testing.assert_array_equal(getattr(model, shown), getattr(alone, shown))
    np.testing.assert_array_equal(getattr(model.partial_fit(*more), shown), getattr(twin, shown))


@pytest.mark.parametrize("name", ["ridge", "svd"])
def test_a_deep_copy_has_arrays_of_its_own(name):
    model = FITTED[name]()
    twin = copy.deepcopy(model)
    shown = "coef_" if name == "ridge" else "components_"
    before = getattr(model, shown).copy()
    getattr(twin, shown)[...] = 0.0
    np.testing.assert_array_equal(getattr(model, shown), before)
