"""Intervals of the estimates against the truth over many seeds. `benchmarks/test_estimates.py` counts 500 seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
from scipy import stats

import qinspired as qi

SEEDS = 200

# An interval that covers 93 % misses more than 35 of 200 with a probability below 1e-6.
ALLOWED_MISSES = int(stats.binom.isf(oracles.P_LOWEST, SEEDS, 0.07))


def pair(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two vectors of 3000 entries."""
    rng = np.random.default_rng(20)
    x, y = rng.standard_normal((2, 3000))
    if kind == "positive":
        return x, 0.8 * x + 0.6 * y
    if kind == "negative":
        return x, 0.6 * y - 0.8 * x
    if kind == "orthogonal":
        return x, y - x * (x @ y) / (x @ x) + 1e-3 * x
    if kind == "student":
        return rng.standard_t(2, 3000), rng.standard_t(2, 3000)
    if kind == "lognormal":
        return np.exp(2 * x), np.exp(2 * y)
    if kind == "disjoint":
        x, y = 1e-3 * np.abs(x), 1e-3 * np.abs(y)
        x[0] = y[1] = 1.0
    return x, y


KINDS = ["normal", "positive", "negative", "orthogonal", "student", "lognormal", "disjoint"]


def misses(x: Any, y: Any, truth: float, n_draws: int, interval: str = "student") -> tuple[int, int]:
    """Return how often the interval misses, and how often one of a third of its length does."""
    missed = missed_by_a_third = 0
    for seed in range(SEEDS):
        found = qi.estimate_inner_product(x, y, n_draws, rng=seed, interval=interval)
        missed += not found.low <= truth <= found.high
        missed_by_a_third += not abs(found.value - truth) <= (found.high - found.low) / 6
    return missed, missed_by_a_third


@pytest.mark.parametrize("n_draws", [100, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_from_both_vectors_give_intervals_that_cover(kind: str, n_draws: int) -> None:
    x, y = pair(kind)
    missed, missed_by_a_third = misses(qi.SampleQueryVector(x), qi.SampleQueryVector(y), x @ y, n_draws)
    assert missed <= ALLOWED_MISSES
    # The twin: where the range term does not dominate, a third of the length is too little.
    if n_draws == 1000 and kind in ("normal", "positive", "negative", "orthogonal", "student"):
        assert missed_by_a_third > ALLOWED_MISSES


@pytest.mark.parametrize("exponent", [1, 2])
@pytest.mark.parametrize("kind", ["normal", "positive", "negative", "orthogonal"])
def test_draws_from_one_vector_cover_where_the_tails_are_light(kind: str, exponent: int) -> None:
    x, y = pair(kind)
    missed, missed_by_a_third = misses(qi.SampleQueryVector(x, exponent=exponent), y, x @ y, 300)
    assert missed <= ALLOWED_MISSES
    assert missed_by_a_third > ALLOWED_MISSES


def test_draws_from_one_vector_miss_what_they_do_not_meet() -> None:
    # The reason for draws from both: large entries of y where x is small are not seen, nor is their absence.
    x, y = pair("lognormal")
    assert misses(qi.SampleQueryVector(x), y, x @ y, 1000)[0] > ALLOWED_MISSES
    x, y = pair("disjoint")
    assert misses(qi.SampleQueryVector(x), y, x @ y, 100)[0] > ALLOWED_MISSES
    assert misses(qi.SampleQueryVector(x), qi.SampleQueryVector(y), x @ y, 100)[0] == 0


@pytest.mark.parametrize("n_draws", [2, 30, 1000])
def test_bernsteins_interval_covers_for_any_number_of_draws(n_draws: int) -> None:
    # At 95 % it may miss 27 of 200 with a probability of 1e-6; it is longer than that.
    for kind in ("normal", "positive", "disjoint"):
        x, y = (qi.SampleQueryVector(values) for values in pair(kind))
        missed, _ = misses(x, y, x.to_array() @ y.to_array(), n_draws, "bernstein")
        assert missed <= stats.binom.isf(oracles.P_LOWEST, SEEDS, 0.05)


@pytest.mark.parametrize("by", ["entries", "rows"])
def test_the_intervals_of_matrix_estimates_cover(by: str) -> None:
    rng = np.random.default_rng(21)
    A = rng.standard_t(3, (60, 40)) * rng.exponential(size=(60, 1))
    B = A + rng.standard_normal((60, 40)) * rng.exponential(size=(1, 40))
    x, y = rng.standard_normal(60), rng.standard_t(3, 40)
    truths = ((A * B).sum(), x @ A @ y)
    first, second, left, right = (
        qi.as_sq_matrix(A),
        qi.as_sq_matrix(B),
        qi.SampleQueryVector(x),
        qi.SampleQueryVector(y),
    )
    missed, missed_by_a_third = np.zeros(2), np.zeros(2)
    for seed in range(SEEDS):
        estimates = (
            qi.estimate_trace(first, second, 1000, rng=seed, by=by),
            qi.estimate_bilinear_form(left, first, right, 1000, rng=seed, by=by),
        )
        for i, (found, truth) in enumerate(zip(estimates, truths, strict=True)):
            missed[i] += not found.low <= truth <= found.high
            missed_by_a_third[i] += not abs(found.value - truth) <= (found.high - found.low) / 6
    assert (missed <= ALLOWED_MISSES).all()
    assert (missed_by_a_third > ALLOWED_MISSES).all()


@pytest.mark.parametrize("interval", ["student", "bernstein", "clopper-pearson"])
@pytest.mark.parametrize("n_rows", [2, 20])
def test_the_intervals_of_norms_cover(n_rows: int, interval: str) -> None:
    rng = np.random.default_rng(22)
    X = rng.standard_t(3, (n_rows, 500))
    x = qi.RowCombination(qi.as_sq_matrix(X), np.arange(n_rows), rng.standard_normal(n_rows))
    truth = np.linalg.norm(x.to_array())
    found = [qi.estimate_norm(x, 500, rng=seed, interval=interval) for seed in range(SEEDS)]
    assert sum(not e.low <= truth <= e.high for e in found) <= ALLOWED_MISSES
    assert sum(not abs(e.value - truth) <= (e.high - e.low) / 12 for e in found) > ALLOWED_MISSES
