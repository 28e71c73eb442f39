from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qinspired.algorithms._certificates import _hall, root_mean_interval

SAMPLES = 2000
LIGHT = {
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "squared normal": (lambda rng, shape: rng.standard_normal(shape) ** 2, 1.0),
}
HEAVY = {
    "log-normal 1.5": (lambda rng, shape: np.exp(1.5 * rng.standard_normal(shape)), math.exp(1.5**2 / 2)),
    "log-normal 2": (lambda rng, shape: np.exp(2.0 * rng.standard_normal(shape)), math.exp(2.0)),
    "pareto 2.5": (lambda rng, shape: 1.0 + rng.pareto(2.5, shape), 2.5 / 1.5),
}


def student(values):
    """Return the ends of Student's interval for the logarithm of the mean, of the root."""
    mean, size = values.mean(), len(values)
    reach = stats.t.ppf(0.975, size - 1) * values.std(ddof=1) / np.sqrt(size) / mean
    return np.sqrt(mean) * np.exp(-reach / 2), np.sqrt(mean) * np.exp(reach / 2)


def samples(law, size, seed=0):
    draw, mean = {**LIGHT, **HEAVY}[law]
    return draw(np.random.default_rng([size, seed]), (SAMPLES, size)), math.sqrt(mean)


def chance(covered):
    """Return the chance of so few covered samples if 95 % are covered."""
    return stats.binom.cdf(sum(covered), len(covered), 0.95)


@pytest.mark.parametrize("size", [64, 128, 600])
@pytest.mark.parametrize("law", HEAVY)
def test_the_interval_covers_the_mean_of_heavy_tails_and_students_does_not(law, size):
    drawn, true = samples(law, size)
    found = [root_mean_interval(values) for values in drawn]
    # Of the log-normal with sigma = 2 some 93 % are covered; of so many, less than 91 % have a chance of 3e-4.
    assert sum(one.low <= true <= one.high for one in found) > 0.91 * SAMPLES
    plain = [student(values) for values in drawn]
    assert chance([low <= true <= high for low, high in plain]) < oracles.P_LOWEST


@pytest.mark.parametrize("size", [64, 128, 600])
@pytest.mark.parametrize("law", LIGHT)
def test_the_interval_of_light_tails_is_right_and_hardly_longer_than_students_and_a_shorter_one_is_wrong(law, size):
    drawn, true = samples(law, size)
    found = [root_mean_interval(values) for values in drawn]
    covered = sum(one.low <= true <= one.high for one in found)
    assert oracles.P_LOWEST < stats.binom.cdf(covered, SAMPLES, 0.95) < 1.0 - oracles.P_LOWEST
    shorter = [(one.value - (one.value - one.low) * 0.8, one.value + (one.high - one.value) * 0.8) for one in found]
    assert chance([low <= true <= high for low, high in shorter]) < oracles.P_LOWEST
    lengths = [(one.high - one.low) / np.ptp(student(values)) for one, values in zip(found, drawn, strict=True)]
    assert np.median(lengths) < (1.1 if size >= 128 else 1.15)


@pytest.mark.parametrize("skewness", [0.0, 1e-12, 1e-3, 0.2, 0.5, 1.3])
@pytest.mark.parametrize("quantile", [1.98, 12.7])
def test_the_upper_end_is_where_halls_cubic_takes_the_quantile(skewness, quantile):
    t = -_hall(quantile, skewness)
    cubic = t + skewness * t**2 / 3.0 + skewness**2 * t**3 / 27.0 + skewness / 6.0
    assert cubic == pytest.approx(-quantile, rel=1e-9)


def test_the_upper_end_is_halls_for_the_skewness_of_the_sample_times_1_3():
    values = np.random.default_rng(0).exponential(size=128)
    skewness = 1.3 * stats.skew(values) / np.sqrt(128)
    t = -_hall(stats.t.ppf(0.975, 127), skewness)
    found = root_mean_interval(values)
    assert found.value == pytest.approx(np.sqrt(values.mean()), rel=1e-14)
    assert found.low == pytest.approx(student(values)[0], rel=1e-12)
    assert found.high**2 == pytest.approx(values.mean() - t * stats.sem(values), rel=1e-12)


def test_values_without_skewness_to_the_right_have_students_interval():
    values = 1.0 - 0.1 * np.random.default_rng(0).exponential(size=128)
    found = root_mean_interval(values)
    np.testing.assert_allclose((found.low, found.high), student(values), rtol=1e-12)


@given(st.lists(st.floats(0.0, 1e6, allow_subnormal=False), min_size=2, max_size=40))
def test_the_ends_are_in_order_and_finite_and_at_least_as_far_apart_as_students(numbers):
    values = np.array(numbers)
    found = root_mean_interval(values)
    assert 0.0 <= found.low <= found.value <= found.high < math.inf
    if values.mean() > 0.0:
        low, high = student(values)
        assert found.low <= low * (1.0 + 1e-9)
        assert found.high >= high * (1.0 - 1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_the_interval_scales_with_the_values(scale):
    values = np.random.default_rng(1).exponential(size=50)
    one, other = root_mean_interval(values), root_mean_interval(values * scale)
    expected = np.array([one.value, one.low, one.high]) * math.sqrt(scale)
    np.testing.assert_allclose([other.value, other.low, other.high], expected, rtol=1e-12)


def test_one_value_that_holds_all_is_bounded_and_the_others_are_points():
    found = root_mean_interval(np.r_[1.0, np.zeros(127)])
    # Its deviation is its mean: Student reaches exp(1.98) times the mean, Hall a few of them.
    assert math.exp(0.98) < found.high / found.value < 4.0
    assert root_mean_interval(np.zeros(5)).high == 0.0
    same = root_mean_interval(np.full(5, 0.3))
    assert same.low == pytest.approx(same.high, rel=1e-12) == pytest.approx(math.sqrt(0.3))


def test_a_single_value_says_nothing_of_its_spread():
    found = root_mean_interval(np.array([4.0]))
    assert (found.value, found.low, found.high) == (2.0, 0.0, math.inf)
