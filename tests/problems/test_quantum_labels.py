from __future__ import annotations

import numpy as np
import oracles
import pytest
import scipy.linalg
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from qinspired.metrics import geometric_difference, model_complexity
from qinspired.problems import discrete_log, engineered_labels


def test_labels_follow_the_logarithm_by_brute_force():
    problem = discrete_log(22, p=23, g=5, rng=3)
    for x, bits, label in zip(problem.elements, problem.X, problem.y, strict=True):
        log = next(k for k in range(22) if pow(5, k, 23) == x)
        inside = any((problem.start + i) % 22 == log for i in range(11))
        assert label == (1 if inside else -1)
        assert int("".join(str(int(bit)) for bit in bits), 2) == x
    assert problem.y.sum() == 0
    assert sorted(problem.elements.tolist()) == list(range(1, 23))


def test_kernel_is_the_squared_overlap_of_the_interval_states():
    problem = discrete_log(30, p=67, g=2, interval_bits=3, rng=0)
    states = np.zeros((30, 67))
    for row, x in zip(states, problem.elements, strict=True):
        for i in range(8):
            row[int(x) * pow(2, i, 67) % 67] = 8**-0.5
    np.testing.assert_allclose(problem.kernel, (states @ states.T) ** 2, atol=1e-14)


@pytest.mark.parametrize(("p", "g", "bits"), [(5, 2, 0), (11, 2, 1), (17, 3, 2), (1019, 2, 7)])
def test_intervals_are_by_default_of_at_most_a_quarter_of_the_circle(p, g, bits):
    assert discrete_log(2, p=p, g=g, rng=0).interval_bits == bits


@pytest.mark.parametrize("seed", range(3))
def test_quantum_kernel_learns_the_logarithm_and_classical_models_do_not(seed):
    problem = discrete_log(600, rng=seed)
    train, test = np.arange(400), np.arange(400, 600)
    quantum = SVC(C=1e6, kernel="precomputed").fit(problem.kernel[np.ix_(train, train)], problem.y[train])
    assert quantum.score(problem.kernel[np.ix_(test, train)], problem.y[test]) >= 0.99
    for model in (SVC(), RandomForestClassifier(random_state=0)):
        assert model.fit(problem.X[train], problem.y[train]).score(problem.X[test], problem.y[test]) < 0.65


def test_start_of_the_half_circle_is_uniform():
    starts = [discrete_log(2, p=11, rng=seed).start for seed in range(2000)]
    assert stats.chisquare(np.bincount(starts, minlength=10)).pvalue > oracles.P_LOWEST


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"p": 1021 * 3}, ValueError, "`p` must be an odd prime"),
        ({"p": 2**21}, ValueError, "`p` must be below"),
        ({"p": 3}, ValueError, "`p`"),
        ({"p": 7, "g": 2, "n_samples": 5}, ValueError, "`g` must generate"),
        ({"p": 7, "g": 7, "n_samples": 5}, ValueError, "`g` must generate"),
        ({"p": 7, "g": 3}, ValueError, "`n_samples` must be at most p - 1 = 6"),
        ({"interval_bits": 9, "p": 1019}, ValueError, "`interval_bits` must satisfy"),
        ({"interval_bits": 10**12, "p": 1019}, ValueError, "`interval_bits` must satisfy"),
        ({"p": 1019.0}, TypeError, "`p`"),
        ({"n_samples": 1}, ValueError, "`n_samples`"),
        ({"n_samples": 10.5}, TypeError, "`n_samples`"),
    ],
)
def test_discrete_log_refuses_what_is_out_of_range(options, error, words):
    with pytest.raises(error, match=words):
        discrete_log(**{"n_samples": 20} | options)


def kernels(seed=0, n=40):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((2, n, 6))
    return [np.exp(-((p[:, None] - p[None]) ** 2).sum(axis=2) / 4) for p in points]


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_labels_are_the_median_split_of_the_top_eigenvector(ridge):
    quantum, classical = kernels()
    root, rootC = scipy.linalg.sqrtm(quantum).real, scipy.linalg.sqrtm(classical).real
    inverse = np.linalg.inv(classical + ridge * np.eye(40))
    vector = root @ np.linalg.eigh(root @ rootC @ inverse @ inverse @ rootC @ root)[1][:, -1]
    labels = engineered_labels(quantum, classical, regularisation=ridge, rng=0)
    expected = np.where(vector > np.median(vector), 1, -1)
    assert abs(labels @ expected) == 40
    assert labels.sum() == 0
    assert labels.dtype == np.int64


def test_labels_cost_the_classical_kernel_more():
    quantum, classical = kernels()
    labels = engineered_labels(quantum, classical, regularisation=0.01, rng=0)
    random = np.random.default_rng(1).choice([-1, 1], size=(50, 40))

    def ratio(y):
        return model_complexity(classical, y, regularisation=0.01) / model_complexity(quantum, y, regularisation=0.01)

    assert ratio(labels) > 1.5 * max(ratio(y) for y in random)
    assert ratio(labels) < 4 * geometric_difference(classical, quantum, regularisation=0.01) ** 2


def test_noise_replaces_a_share_of_the_labels_by_coins():
    quantum, classical = kernels(n=30)
    clean = engineered_labels(quantum, classical, rng=0)
    changed = [
        np.count_nonzero(clean * engineered_labels(quantum, classical, noise=0.4, rng=seed) < 0) for seed in range(100)
    ]
    # The sign of all labels is drawn too: count those that differ from the nearer of the two.
    differing = sum(min(count, 30 - count) for count in changed)
    assert stats.binomtest(differing, 3000, 0.2).pvalue > oracles.P_LOWEST
    assert stats.binomtest(differing, 3000, 0.4).pvalue < oracles.P_LOWEST


def test_both_signs_occur():
    quantum, classical = kernels(n=10)
    assert {int(engineered_labels(quantum, classical, rng=seed)[0]) for seed in range(20)} == {-1, 1}


def test_singular_classical_kernel_needs_a_ridge():
    with pytest.raises(ValueError, match="`regularisation` must be > 0 here"):
        engineered_labels(np.eye(4), np.ones((4, 4)))
    # Of the one direction that K_C knows, the labels are those of its entries.
    w = np.array([3.0, -1.0, 2.0, -2.0])
    labels = engineered_labels(np.eye(4), np.outer(w, w), regularisation=0.1)
    assert abs(labels @ np.sign(w)) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"K_quantum": np.ones((2, 3))}, "`K_quantum` must be a square"),
        ({"K_quantum": np.full((40, 40), np.nan)}, "`K_quantum` must be finite"),
        ({"K_quantum": np.eye(1)}, "at least 2 points"),
        ({"K_quantum": np.ones((40, 40))}, "`K_quantum` must tell points apart"),
        ({"K_classical": np.eye(3)}, "`K_classical` must be of the same 40 points"),
        ({"noise": 1.5}, "`noise` must be in"),
        ({"regularisation": -1.0}, "`regularisation`"),
    ],
)
def test_engineered_labels_refuse_what_is_out_of_range(options, words):
    quantum, classical = kernels()
    with pytest.raises(ValueError, match=words):
        engineered_labels(**{"K_quantum": quantum, "K_classical": classical, "rng": 0} | options)
