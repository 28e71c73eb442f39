"""Quantum machine learning against classical methods: six data sets, five seeds, three settings a model.

Two of the data sets are made so that a quantum kernel wins: labels from the geometric difference, and discrete
logarithms. Every model is tuned on the same validation points with the same number of settings; every quantum one has
a twin without entanglement. Circuits are simulated exactly, without shots and noise: their accuracy is the best a
device could reach, their seconds are those of the simulator. A step of training is timed in PennyLane too.
"""

from __future__ import annotations

import pytest
from quantum_classifiers import DATA, candidates, compare, seconds_in_pennylane, tables


def test_quantum_against_classical_classifiers(benchmark, report, tiny):
    names = ["linearly separable", "engineered labels"] if tiny else list(DATA)
    sizes = {"n_train": 30, "n_validation": 10, "n_test": 20, "steps": 2} if tiny else {}
    found = benchmark.pedantic(lambda: list(compare(names, range(1 if tiny else 5), **sizes))[-1], rounds=1)
    report(tables(found))
    for device, seconds in seconds_in_pennylane(1 if tiny else 5).items():
        report(
            f"a step of training of the variational circuit, 5 qubits, 3 layers, 32 points: {device} {seconds:.4f} s"
        )
    assert set(found.scores) == set(names)
    assert all(len(found.scores[name]) >= len(candidates(0, 1)) for name in names)
    if tiny:
        return
    assert found.accuracy("linearly separable", "logistic regression") > 0.95
    assert found.accuracy("discrete logarithm", "the problem's own kernel") > 0.95
    for classical in ("logistic regression", "small MLP", "Gaussian SVM", "SampledRidgeClassifier"):
        assert found.accuracy("discrete logarithm", classical) < 0.65
        assert found.accuracy("engineered labels", classical) < found.accuracy("engineered labels", "IQP kernel SVM")


def test_every_model_has_the_same_number_of_settings():
    assert {len(settings) for settings in candidates(0, 1).values()} == {3}


@pytest.mark.parametrize("name", sorted(DATA))
def test_data_have_both_labels_and_the_sizes_asked_for(name):
    import numpy as np

    data = DATA[name](100, 60, np.random.default_rng(0))
    assert data.X.shape == (100, 5)
    assert 0.1 < np.mean(data.y[:60] == 1) < 0.9
