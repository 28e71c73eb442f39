from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from spectra import SLOW, singular_values, unit_rows, with_values

import qinspired as qi
from qinspired.algorithms.spectrum._intervals import gamma_low_high, student_reach, unseen_share
from qinspired.algorithms.spectrum._moments import CyclicMoments, _closed_moments, _increasing_cycles


def closed_walk(gram, places):
    return math.prod(gram[s, t] for s, t in zip(places, (*places[1:], places[0]), strict=True))


# What is averaged ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4])
def test_low_moments_are_the_means_of_cyclic_products_over_all_tuples_of_different_draws(order):
    B = unit_rows(8, 3)
    gram = B @ B.T
    values, without = _closed_moments(gram)
    tuples = list(itertools.permutations(range(8), order))
    assert values[order - 1] == pytest.approx(np.mean([closed_walk(gram, t) for t in tuples]), rel=1e-12)
    for draw in range(8):
        left = np.mean([closed_walk(gram, t) for t in tuples if draw not in t])
        assert without[order - 1, draw] == pytest.approx(left, rel=1e-12)


@pytest.mark.parametrize("order", [5, 6, 7, 8])
def test_high_moments_are_sums_of_cyclic_products_over_increasing_tuples(order):
    B = unit_rows(10, 4)
    gram = B @ B.T
    totals, through = _increasing_cycles(gram)
    products = {t: closed_walk(gram, t) for t in itertools.combinations(range(10), order)}
    assert totals[order - 5] == pytest.approx(sum(products.values()), rel=1e-11)
    for draw in range(10):
        assert through[order - 5, draw] == pytest.approx(sum(p for t, p in products.items() if draw in t), rel=1e-11)


def test_high_moments_without_a_draw_are_those_of_the_other_draws_in_the_same_order(monkeypatch):
    gram = np.abs(unit_rows(24, 3) @ unit_rows(24, 3).T)
    monkeypatch.setattr("qinspired.algorithms.spectrum._moments._GROUP", 12)
    values, without = CyclicMoments(gram, 7).up_to(8)
    rng = np.random.default_rng(7)
    groups = [group for _ in range(2) for group in np.array_split(rng.permutation(24), 2)]
    for order in (5, 8):
        mean, mean_without = 0.0, 0.0
        for group in groups:
            products = {t: closed_walk(gram, t) for t in itertools.combinations(group.tolist(), order)}
            mean += np.mean(list(products.values())) / 4
            mean_without += np.mean([p for t, p in products.items() if 3 not in t]) / 4
        assert values[order - 1] == pytest.approx(mean, rel=1e-11)
        assert without[order - 1, 3] == pytest.approx(mean_without, rel=1e-11)


def test_moments_have_no_bias_over_all_draws_of_a_small_matrix():
    A = np.array([[2.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.5, -1.0]])
    law = (A**2).sum(axis=1) / (A**2).sum()
    B = A / np.linalg.norm(A, axis=1, keepdims=True)
    mean = np.zeros(4)
    for draws in itertools.product(range(3), repeat=5):
        rows = B[list(draws)]
        mean += law[list(draws)].prod() * _closed_moments(rows @ rows.T)[0]
    shares = singular_values(A) ** 2 / (A**2).sum()
    np.testing.assert_allclose(mean, [(shares**q).sum() for q in (1, 2, 3, 4)], rtol=1e-12)


def test_high_moments_have_no_bias_over_seeds():
    A = with_values(SLOW[:12])
    shares = singular_values(A) ** 2 / np.linalg.norm(A) ** 2
    matrix = qi.as_sq_matrix(A)
    found, naive = [], []
    for seed in range(200):
        rows = matrix.rows(matrix.sample_rows(60, seed))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found.append(CyclicMoments(rows @ rows.T, seed).up_to(8)[0][4:])
        sampled = np.linalg.eigvalsh(rows.T @ rows / 60)
        naive.append([(sampled**q).sum() for q in (5, 6, 7, 8)])
    exact = [(shares**q).sum() for q in (5, 6, 7, 8)]
    # 4.9 standard errors have a probability of 1e-6; the twin are the power sums of the sampled eigenvalues.
    off, naive_off = (
        np.abs(np.mean(part, axis=0) - exact) * math.sqrt(200) / np.std(part, axis=0) for part in (found, naive)
    )
    assert off.max() < 4.9
    assert naive_off.min() > 4.9


def test_the_effective_rank_is_the_inverse_of_the_mean_squared_cosine_of_two_draws():
    A = with_values(SLOW)
    found = qi.spectral_summary(A, n_draws=50, rng=3)
    rows = A[qi.as_sq_matrix(A).sample_rows(50, 3)]
    norms = np.linalg.norm(rows, axis=1)
    cosines = rows @ rows.T / np.outer(norms, norms)
    mean = (cosines[~np.eye(50, dtype=bool)] ** 2).mean()
    assert found.effective_rank.value == pytest.approx(1.0 / mean, rel=1e-12)


def test_an_interval_of_a_count_is_garwoods_and_of_squares_of_normal_numbers_a_chi_square():
    found = gamma_low_high(np.array([9.0]), np.array([9.0]), np.array([3.0]), 10**9)
    assert found[0][0] == pytest.approx(stats.chi2.ppf(0.025, 18) / 2, rel=1e-6)
    assert found[1][0] == pytest.approx(stats.chi2.ppf(0.975, 20) / 2, rel=1e-6)
    low, high = gamma_low_high(np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 0.0]), 50)
    assert low[0] == 0.0
    assert (low[1], high[1]) == (0.0, 0.0)
    assert low[2] == pytest.approx(1.0, abs=1e-5)
    assert high[2] == pytest.approx(1.0, abs=1e-5)


def test_the_unseen_share_is_missed_by_all_draws_with_the_probability_of_a_tail():
    assert (1.0 - unseen_share(1000)) ** 1000 == pytest.approx(0.025, rel=0.01)
    assert unseen_share(2) == 1.0
    assert student_reach(31) == pytest.approx(stats.t.ppf(0.975, 30), rel=1e-9)
