"""Drawn runs: the law of the successes and of the indices, and the standard errors."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from baselines.systems import first, toeplitz
from scipy import stats

from qinspired.baselines import hhl

N_SHOTS = 1_000_000


@pytest.fixture(scope="module")
def drawn():
    return hhl(toeplitz(8), first(8), n_clock_qubits=5, shots=N_SHOTS, rng=7)


def test_everything_else_stays_exact(drawn):
    exact = hhl(toeplitz(8), first(8), n_clock_qubits=5)
    assert exact.shots is None
    assert drawn.success_probability == exact.success_probability
    np.testing.assert_array_equal(drawn.x, exact.x)


def test_successes_follow_the_binomial_law_and_a_wrong_one_is_told_apart(drawn):
    found = drawn.shots.n_successes
    assert drawn.shots.n_shots == N_SHOTS
    assert stats.binomtest(found, N_SHOTS, drawn.success_probability).pvalue > oracles.P_LOWEST
    wrong = drawn.success_probability_ancilla  # 2 % more
    assert stats.binomtest(found, N_SHOTS, wrong).pvalue < oracles.P_LOWEST


def test_indices_follow_the_squares_of_the_state_and_a_wrong_law_is_told_apart(drawn):
    counts = drawn.shots.counts
    assert counts.sum() == drawn.shots.n_successes
    assert counts.dtype == np.int64
    draws = np.repeat(np.arange(8), counts)
    assert oracles.chi_square_p(draws, oracles.law_of(drawn.state)) > oracles.P_LOWEST
    exact = np.linalg.solve(toeplitz(8), first(8))
    wrong = np.abs(exact) ** 1.9
    assert oracles.chi_square_p(draws, wrong / wrong.sum()) < oracles.P_LOWEST


def test_standard_errors_are_those_of_many_repetitions():
    n_shots, runs = 4000, [hhl(toeplitz(4), first(4), n_clock_qubits=4, shots=4000, rng=seed) for seed in range(400)]
    p, norm = runs[0].success_probability, runs[0].norm
    for exact, name in ((p, "probability"), (norm, "norm")):
        scores = [(getattr(r.shots, name) - exact) / getattr(r.shots, f"{name}_stderr") for r in runs]
        total = float(np.sum(np.square(scores)))
        assert 2 * min(stats.chi2.cdf(total, 400), stats.chi2.sf(total, 400)) > oracles.P_LOWEST
        assert stats.chi2.sf(1.5 * total, 400) < oracles.P_LOWEST  # errors told 20 % too small
    expected = norm * np.sqrt((1 - p) / (4 * n_shots * p))
    assert np.mean([r.shots.norm_stderr for r in runs]) == pytest.approx(expected, rel=0.01)


def test_same_seed_draws_the_same_and_a_generator_advances():
    def draw(rng):
        return hhl(toeplitz(4), first(4), n_clock_qubits=4, shots=1000, rng=rng).shots.counts.tolist()

    assert draw(3) == draw(3)
    generator = np.random.default_rng(3)
    assert [draw(generator), draw(generator)] != [draw(3), draw(3)]


def test_clock_that_is_not_post_selected_gives_its_own_probability_and_no_indices():
    result = hhl(toeplitz(8), first(8), n_clock_qubits=4, postselect_clock=False, shots=N_SHOTS, rng=0)
    assert result.shots.counts is None
    p = result.success_probability_ancilla
    assert stats.binomtest(result.shots.n_successes, N_SHOTS, p).pvalue > oracles.P_LOWEST
    assert stats.binomtest(result.shots.n_successes, N_SHOTS, result.success_probability).pvalue < oracles.P_LOWEST
    assert result.shots.norm == pytest.approx(result.norm, rel=0.01)


def test_no_success_is_an_estimate_of_zero_with_an_error():
    shots = hhl(toeplitz(8), first(8), n_clock_qubits=12, C="register", shots=3, rng=0).shots
    assert shots.n_successes == 0
    assert shots.counts.sum() == 0
    assert shots.probability == shots.probability_stderr == shots.norm == 0.0
    assert shots.norm_stderr > 0.0


def test_projection_counts_rows():
    A = np.diag([3.0, 2.0, 1.0])[:, :2]
    counts = hhl(A, [1.0, 1.0, 1.0], n_clock_qubits=6, filter="threshold", threshold=2.5, shots=500, rng=1).shots.counts
    assert counts.shape == (3,)
    assert counts[0] > 0.9 * counts.sum()


@pytest.mark.parametrize(("shots", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_bad_number_of_shots_is_refused(shots, error):
    with pytest.raises(error, match="`shots` must be an integer >= 1"):
        hhl(np.eye(2), [1.0, 0.0], shots=shots)


def test_bad_source_of_draws_is_refused():
    with pytest.raises(TypeError, match="`rng` must be"):
        hhl(np.eye(2), [1.0, 0.0], shots=5, rng="seed")
