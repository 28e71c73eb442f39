from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import P_LOWEST
from scipy import stats

from qinspired.baselines import hhl, hhl_gates, qsvt
from qinspired.baselines.quantum import _read_out


def solved(n=6, *, complex_=False, seed=0):
    """Return a result whose state has entries of both signs, none of them small, and a success probability below 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.5, n) * rng.choice([-1.0, 1.0], n)
    if complex_:
        x = x * np.exp(2j * np.pi * rng.uniform(size=n))
    values = np.linspace(0.3, 1.0, n)
    return qsvt(np.diag(values), values * x, alpha="norm", tolerance=1e-6)


def with_state(state):
    """A stand-in for a result with a state of choice, p = 1 and 7 queries a run."""
    return SimpleNamespace(state=np.asarray(state), success_probability=1.0, n_queries=7, parameters={})


RUN = solved()
COMPLEX = solved(complex_=True)


def test_samples_follow_the_squared_entries():
    n = 20_000
    out = RUN.sample(n, rng=1)
    counts = np.bincount(out.samples, minlength=6)
    expected = n * RUN.state**2
    assert stats.chisquare(counts, expected).pvalue > P_LOWEST
    np.testing.assert_allclose(out.estimate, counts / n)
    np.testing.assert_allclose(out.details["probabilities"], RUN.state**2)
    # The test has the power to tell the law of the sizes themselves from that of their squares.
    wrong = np.abs(RUN.state) / np.abs(RUN.state).sum()
    assert stats.chisquare(counts, n * wrong).pvalue < P_LOWEST


def test_samples_come_in_random_order():
    samples = _read_out.sample(with_state([0.6, 0.8]), 10_000, 3, amplified=True).samples
    changes = np.count_nonzero(np.diff(samples))
    share = 2 * 0.36 * 0.64
    assert abs(changes - 9999 * share) < 5 * np.sqrt(9999 * share)
    assert samples.dtype == np.int64


def test_complex_states_are_sampled_by_their_squared_sizes():
    out = COMPLEX.sample(20_000, rng=2)
    assert stats.chisquare(np.bincount(out.samples, minlength=6), 20_000 * np.abs(COMPLEX.state) ** 2).pvalue > P_LOWEST


@pytest.mark.parametrize("run", [RUN, COMPLEX], ids=["real", "complex"])
def test_standard_errors_of_frequencies_cover(run):
    z = []
    for seed in range(300):
        out = run.sample(2000, rng=seed)
        z.append((out.estimate - np.abs(run.state) ** 2) / out.standard_error)
    assert np.std(z) == pytest.approx(1.0, abs=0.06)
    assert abs(np.mean(z)) < 0.1


def test_unseen_indices_have_a_standard_error_above_zero():
    out = _read_out.sample(with_state([1.0, 0.0]), 100, 0, amplified=True)
    np.testing.assert_array_equal(out.estimate, [1.0, 0.0])
    assert (out.standard_error > 0.0).all()


def hermitian(rng, n, *, complex_):
    X = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if complex_ else 0.0)
    return X + X.conj().T


@pytest.mark.parametrize("run", [RUN, COMPLEX], ids=["real", "complex"])
@pytest.mark.parametrize("diagonal", [False, True])
def test_expectations_are_covered_by_their_standard_errors(run, diagonal):
    rng = np.random.default_rng(4)
    M = hermitian(rng, 6, complex_=np.iscomplexobj(run.state))
    if diagonal:
        M = np.diag(M).real
    full = np.diag(M) if diagonal else M
    true = np.vdot(run.state, full @ run.state).real
    variance = np.vdot(run.state, full @ full @ run.state).real - true**2
    outs = [run.expectation(M, 1500, rng=seed) for seed in range(300)]
    z = np.array([(out.estimate - true) / out.standard_error for out in outs])
    assert z.std() == pytest.approx(1.0, abs=0.13)
    assert abs(z.mean()) < 0.25
    assert np.mean([out.standard_error for out in outs]) == pytest.approx(np.sqrt(variance / 1500), rel=0.02)


def test_expectation_with_a_rare_outcome_is_covered_by_its_standard_error():
    state = np.sqrt([1.0 - 1e-3, 1e-3])
    outs = [_read_out.expectation(with_state(state), [0.0, 1.0], 200, seed, amplified=True) for seed in range(300)]
    errors = np.array([abs(out.estimate - 1e-3) for out in outs])
    scales = np.array([out.standard_error for out in outs])
    assert scales.min() > 0.0
    assert np.mean(errors <= 2.0 * scales) > 0.95
    # Most runs never see the rare outcome.
    assert np.mean([out.estimate == 0.0 for out in outs]) > 0.7


def test_expectation_of_the_unit_matrix_is_one_without_error():
    out = RUN.expectation(np.eye(6), 50, rng=0)
    assert out.estimate == pytest.approx(1.0)
    assert out.standard_error == pytest.approx(0.0, abs=1e-12)


def test_inner_products_are_covered_by_their_standard_errors():
    rng = np.random.default_rng(8)
    a = 3.0 * rng.standard_normal(6)
    outs = [RUN.inner_product(a, 1500, rng=seed) for seed in range(300)]
    true = a @ RUN.state
    z = np.array([(out.estimate - true) / out.standard_error for out in outs])
    assert z.std() == pytest.approx(1.0, abs=0.13)
    assert abs(z.mean()) < 0.25
    mu = true / np.linalg.norm(a)
    assert outs[0].standard_error == pytest.approx(np.linalg.norm(a) * np.sqrt((1 - mu**2) / 1500), rel=0.1)
    assert outs[0].n_copies == 1500


def test_inner_products_of_complex_states_have_both_parts():
    rng = np.random.default_rng(9)
    a = rng.standard_normal(6) + 1j * rng.standard_normal(6)
    outs = [COMPLEX.inner_product(a, 1500, rng=seed) for seed in range(300)]
    errors = np.array([out.estimate - np.vdot(a, COMPLEX.state) for out in outs])
    assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(300)
    scale = np.array([out.standard_error for out in outs])
    assert np.sqrt(np.mean(np.abs(errors / scale) ** 2)) == pytest.approx(1.0, abs=0.1)
    assert outs[0].n_copies == 3000
    # A real vector against a complex state has an imaginary part too.
    assert isinstance(COMPLEX.inner_product(np.ones(6), 10, rng=0).estimate, complex)


@pytest.mark.parametrize("run", [RUN, COMPLEX], ids=["real", "complex"])
@pytest.mark.parametrize("signs", ["oracle", "kp"])
def test_tomography_has_the_error_of_its_law(run, signs):
    n = 4000
    outs = [run.tomography(n, signs=signs, rng=seed) for seed in range(200)]
    sq = np.mean([np.linalg.norm(out.estimate - run.state) ** 2 for out in outs])
    assert np.sqrt(sq) == pytest.approx(outs[0].standard_error, rel=0.1)
    phases = signs == "kp" and np.iscomplexobj(run.state)
    assert outs[0].standard_error == pytest.approx(np.sqrt((29 if phases else 5) / (4 * n)))
    assert outs[0].details["realised_error"] == pytest.approx(np.linalg.norm(outs[0].estimate - run.state))
    assert np.linalg.norm(outs[0].estimate) == pytest.approx(1.0)
    stages = 1 if signs == "oracle" else 3 if np.iscomplexobj(run.state) else 2
    assert outs[0].n_copies == stages * n


@pytest.mark.parametrize(("n", "low", "high"), [(1000, 1.0, 1.4), (300_000, 0.93, 1.07)])
def test_tomography_error_at_64_entries_is_far_below_the_proven_bound(n, low, high):
    rng = np.random.default_rng(3)
    state = rng.standard_normal(64)
    state /= np.linalg.norm(state)
    sq = [
        _read_out.tomography(with_state(state), n, seed, signs="oracle", amplified=True).details["realised_error"] ** 2
        for seed in range(60)
    ]
    # The law (d - 1)/(4N); at 1000 copies some entries expect about one count, and err more than it says.
    assert low < np.mean(sq) / (63 / (4 * n)) < high
    bound = _read_out.tomography(with_state(state), n, 0, signs="kp", amplified=True).details["proven_bound"]
    assert bound**2 * n == pytest.approx(36 * 64 * np.log(64))
    assert bound / np.sqrt(np.mean(sq)) > 20


def test_signs_are_found_and_a_wrong_rule_would_not_find_them(monkeypatch):
    out = RUN.tomography(2000, signs="kp", rng=5)
    np.testing.assert_array_equal(np.sign(out.estimate), np.sign(RUN.state))
    monkeypatch.setattr(_read_out, "_SIGN_THRESHOLD", 1.5)
    wrong = RUN.tomography(2000, signs="kp", rng=5)
    assert wrong.details["realised_error"] > 0.5


def test_samples_are_capped_by_their_memory():
    with pytest.raises(ValueError, match=r"`n_samples` must be at most 100000000, whose indices take 1.6 GB"):
        RUN.sample(10**8 + 1)


def test_bound_of_tomography_is_that_of_real_states_of_several_entries():
    assert COMPLEX.tomography(50, rng=0).details["proven_bound"] is None
    assert _read_out.tomography(with_state([1.0]), 5, 0, signs="kp", amplified=True).details["proven_bound"] is None
    assert RUN.tomography(50, rng=0).details["proven_bound"] > 0.0


def test_one_dimensional_state_is_known_at_once():
    out = _read_out.tomography(with_state([1.0]), 5, 0, signs="kp", amplified=True)
    assert out.standard_error == 0.0
    np.testing.assert_array_equal(out.estimate, [1.0])


@pytest.mark.parametrize("amplified", [False, True])
def test_mean_number_of_runs_counts_failed_post_selections(amplified):
    run = qsvt(np.diag(np.linspace(0.05, 1.0, 20)), np.ones(20), alpha="norm")
    p, n, seeds = run.success_probability, 50, 400
    theta = np.arcsin(np.sqrt(p))
    turns = 2 * run.amplification_rounds + 1 if amplified else 1
    chance = np.sin(turns * theta) ** 2
    assert run.amplification_rounds >= 1
    assert p < 0.2
    outs = [run.sample(n, amplified=amplified, rng=seed) for seed in range(seeds)]
    runs = np.array([out.n_runs for out in outs])
    mean, variance = n * turns / chance, n * turns**2 * (1 - chance) / chance**2
    assert abs(runs.mean() - mean) < 5 * np.sqrt(variance / seeds)
    assert runs.var() == pytest.approx(variance, rel=0.3)
    if amplified:
        assert mean == pytest.approx(n * run.expected_runs)
        assert outs[0].details["amplification_rounds"] == run.amplification_rounds
    assert outs[0].n_queries == outs[0].n_runs * run.n_queries
    assert outs[0].n_copies == n
    assert min(runs) >= n * turns


def test_run_counts_follow_the_negative_binomial_law():
    run = qsvt(np.diag([0.4, 1.0]), np.array([0.2, 1.0]), alpha="norm")
    p = run.success_probability
    runs = np.array([run.sample(1, amplified=False, rng=seed).n_runs for seed in range(3000)])
    edges = np.arange(1, 12)
    observed = np.append([np.count_nonzero(runs == k) for k in edges], np.count_nonzero(runs > edges[-1]))
    law = np.append(p * (1 - p) ** (edges - 1), (1 - p) ** edges[-1])
    assert stats.chisquare(observed, 3000 * law).pvalue > P_LOWEST
    wrong = np.append(1.3 * p * (1 - 1.3 * p) ** (edges - 1), (1 - 1.3 * p) ** edges[-1])
    assert stats.chisquare(observed, 3000 * wrong).pvalue < P_LOWEST


def test_certain_success_takes_one_run_a_copy():
    out = _read_out.sample(with_state([0.6, 0.8]), 9, 0, amplified=True)
    assert (out.n_runs, out.n_queries) == (9, 63)


def test_same_seed_gives_the_same_read_out_and_results_of_hhl_are_read_too():
    run = hhl(np.array([[1.5, 0.5], [0.5, 1.5]]), [1.0, 0.0], n_clock_qubits=2, evolution_time=np.pi / 2, C=1.0)
    one, other = run.sample(100, rng=5), run.sample(100, rng=5)
    np.testing.assert_array_equal(one.samples, other.samples)
    assert one.n_runs == other.n_runs
    assert one.n_queries == one.n_runs * 6
    np.testing.assert_array_equal(np.sign(run.tomography(500, signs="kp", rng=0).estimate), [1.0, -1.0])


READERS = {
    "sample": lambda run, n, **o: run.sample(n, **o),
    "tomography": lambda run, n, **o: run.tomography(n, **o),
    "expectation": lambda run, n, **o: run.expectation(np.eye(6), n, **o),
    "inner_product": lambda run, n, **o: run.inner_product(np.ones(6), n, **o),
}


@pytest.mark.parametrize("name", READERS)
def test_numbers_of_copies_are_checked(name):
    read = READERS[name]
    for value in (0, -3, 10**9 + 1):
        with pytest.raises(ValueError, match=r"`n_(samples|copies|shots)` must be"):
            read(RUN, value)
    for value in (2.0, True, "many", None):
        with pytest.raises(TypeError, match=r"`n_(samples|copies|shots)` must be an integer"):
            read(RUN, value)
    with pytest.raises(TypeError, match="`rng` must be"):
        read(RUN, 5, rng="seed")
    with pytest.raises(TypeError, match="`amplified` must be True or False"):
        read(RUN, 5, amplified=1)


def test_one_shot_has_no_standard_error_and_is_refused():
    with pytest.raises(ValueError, match="`n_shots` must be an integer >= 2"):
        RUN.expectation(np.eye(6), 1)


@pytest.mark.parametrize(
    ("M", "match"),
    [
        (np.eye(5), r"`M` must have shape \(6, 6\), or \(6,\)"),
        (np.ones(5), r"`M` must have shape"),
        (np.triu(np.ones((6, 6))), "`M` must be Hermitian"),
        (1j * np.ones(6), "`M` must be Hermitian"),
        (np.full((6, 6), np.nan), "`M` must be finite"),
        (np.full(6, np.inf), "`M` must be finite"),
        (np.full(6, np.nan + 1j), "`M` must be finite"),
        (np.array(3.0), "`M` must be a vector or a matrix"),
        (np.array(["a"] * 6), "`M` must be numeric"),
        ([[1.0], [1.0, 2.0]], "`M` must be a vector or a matrix of numbers"),
    ],
)
def test_bad_observables_are_refused(M, match):
    with pytest.raises(ValueError, match=match):
        RUN.expectation(M, 10)


@pytest.mark.parametrize(
    ("a", "match"),
    [
        (np.ones(5), "`a` must be a vector of the 6 entries"),
        (np.ones((6, 1)), "`a` must be a vector of the 6 entries"),
        (np.zeros(6), "`a` must not be zero"),
        (np.r_[np.ones(5), np.nan], r"`a` must be finite.*a\[5\] = nan"),
        (np.empty(0), "`a` must"),
        ([[1.0], [1.0, 2.0]], "`a` must be a vector or a matrix of numbers"),
    ],
)
def test_bad_vectors_are_refused(a, match):
    with pytest.raises(ValueError, match=match):
        RUN.inner_product(a, 10)


def test_sparse_observables_are_the_dense_ones_and_vectors_near_the_end_of_float64_keep_their_error():
    M = sp.diags_array(np.arange(6.0))
    assert RUN.expectation(M, 100, rng=0).estimate == RUN.expectation(M.toarray(), 100, rng=0).estimate
    assert np.isfinite(RUN.inner_product(np.full(6, 7e307), 1000, rng=0).standard_error)


@pytest.mark.parametrize("signs", ["none", None, 1])
def test_unknown_sign_rules_are_refused(signs):
    with pytest.raises(ValueError, match="`signs` must be 'oracle' or 'kp'"):
        RUN.tomography(10, signs=signs)


def test_hopeless_success_probability_is_refused():
    hopeless = SimpleNamespace(state=np.array([1.0]), success_probability=1e-18, n_queries=1, parameters={})
    with pytest.raises(ValueError, match="must not take more than 1e\\+18 runs"):
        _read_out.sample(hopeless, 10, 0, amplified=False)


def test_what_leaks_out_of_the_answer_counts_as_a_failure():
    rng = np.random.default_rng(10)
    run = hhl_gates(rng.standard_normal((3, 2)), rng.standard_normal(3), n_clock_qubits=6, trotter=(1, 1))
    leakage, n = run.parameters["leakage"], 200_000
    attempts = run.sample(n, amplified=False, rng=0).n_runs
    chance = run.success_probability * (1.0 - leakage)
    assert leakage > 0.03
    assert stats.binomtest(n, attempts, chance).pvalue > P_LOWEST
    assert stats.binomtest(n, attempts, run.success_probability).pvalue < P_LOWEST


def test_noisy_results_are_not_read():
    run = hhl_gates(np.eye(2), [1.0, 2.0], n_clock_qubits=2, depolarising=0.01)
    with pytest.raises(ValueError, match="without noise to be read"):
        run.sample(5, rng=0)
