"""Quantum machine learning against classical methods: six data sets, ten seeds, three settings a model.

Two of the data sets are made so that a quantum kernel wins: labels from the geometric difference, and discrete
logarithms. Every model is tuned on the same validation points with the same number of settings; every quantum one has
a twin without entanglement. Circuits are simulated exactly, without shots and noise: their accuracy is the best a
device could reach, their seconds are those of the simulator. A step of training is timed in PennyLane too.
Discrete logarithms are shown to the models in other ways as well, and the variational circuit is trained for longer.
"""

from __future__ import annotations

import numpy as np
import pytest
from quantum_classifiers import (
    CLASSICAL,
    DATA,
    N_FEATURES,
    by_encoding,
    candidates,
    compare,
    encoding_table,
    encodings,
    longer_training,
    seconds_in_pennylane,
    tables,
)

import qinspired as qi

N_SEEDS = 10
SMALL = {"n_train": 30, "n_validation": 10, "n_test": 20}


def test_quantum_against_classical_classifiers(benchmark, report, tiny):
    names = ["linearly separable", "engineered labels"] if tiny else list(DATA)
    seeds, sizes = (range(2), SMALL | {"steps": 2}) if tiny else (range(N_SEEDS), {})
    found = benchmark.pedantic(lambda: list(compare(names, seeds, **sizes))[-1], rounds=1)
    report(tables(found))
    for device, seconds in seconds_in_pennylane(1 if tiny else 5).items():
        report(
            f"a step of training of the variational circuit, 5 qubits, 3 layers, 32 points: {device} {seconds:.4f} s"
        )
    assert set(found.scores) == set(names)
    for scores in found.scores.values():
        assert set(candidates(0, 1)) <= set(scores)
        assert {len(one.accuracy) for one in scores.values()} == {len(seeds)}
    if tiny:
        return
    assert found.accuracy("linearly separable", "logistic regression") > 0.95
    assert found.accuracy("discrete logarithm", "the problem's own kernel") > 0.95
    for name in ("linearly separable", "two curves", "hidden manifold", "breast cancer"):
        gains = found.gains(name)
        assert gains.mean() < 2 * gains.std(ddof=1) / len(gains) ** 0.5
    for classical in CLASSICAL:
        assert found.accuracy("discrete logarithm", classical) < 0.65
        assert found.accuracy("engineered labels", classical) < found.accuracy("engineered labels", "IQP kernel SVM")


def test_discrete_logarithms_by_what_a_model_is_shown(report, tiny):
    found = by_encoding(range(1), **SMALL) if tiny else by_encoding(range(N_SEEDS))
    report(encoding_table(found))
    if tiny:
        return
    for model, scores in found.items():
        for encoding, accuracies in scores.items():
            assert (np.mean(accuracies) > 0.85) == (encoding == "products by g^i"), (model, encoding)
            assert np.mean(accuracies) > 0.85 or np.mean(accuracies) < 0.65


def test_variational_circuit_gains_little_from_longer_training(report, tiny):
    found = longer_training(range(1), **SMALL, steps=2) if tiny else longer_training(range(5))
    means = [float(np.mean(accuracies)) for accuracies in found.values()]
    report(f"variational circuit on the two curves: accuracy {means} for steps {list(found)}")
    assert tiny or abs(means[1] - means[0]) < 0.05


def test_encodings_tell_the_elements_apart():
    problem = qi.problems.discrete_log(1018, rng=0)
    shown = encodings(problem)
    for X in shown.values():
        assert len(np.unique(X, axis=0)) == 1018
    assert shown["digits"].shape == (1018, N_FEATURES)
    assert (shown["digits"] @ 4 ** np.arange(4, -1, -1) == problem.elements).all()
    assert (shown["products by g^i"].sum(axis=1) == 9).all()


def test_every_model_has_the_same_number_of_settings():
    assert {len(settings) for settings in candidates(0, 1).values()} == {3}


@pytest.mark.parametrize("name", sorted(DATA))
def test_data_have_both_labels_and_the_sizes_asked_for(name):
    data = DATA[name](100, 60, np.random.default_rng(0))
    assert data.X.shape == (100, 5)
    assert 0.1 < np.mean(data.y[:60] == 1) < 0.9
