from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.kernels import _alias_build, build_alias_table, draw_from_alias_table, weight_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EPS = float(np.finfo(float).eps)
KEY = np.uint64(0xDEADBEEF12345678)
WEIGHTS = st.lists(
    st.one_of(st.just(0.0), st.floats(0.0, 1e308), st.floats(0.0, 1.0), st.integers(0, 5).map(float)),
    min_size=1,
    max_size=40,
).filter(any)
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)


@contextlib.contextmanager
def python_bodies(part: int) -> Iterator[None]:
    """Run the building kernels as Python, with parts of a few items."""
    names = [name for name, value in vars(_alias_build).items() if hasattr(value, "py_func")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_alias_build, "_PART", part)
        for name in names:
            patch.setattr(_alias_build, name, getattr(_alias_build, name).py_func)
        yield


def exact_law(weights: Iterable[float], power: int = 1) -> list[Fraction]:
    sizes = [Fraction(float(weight)) ** power for weight in weights]
    total = sum(sizes)
    return [size / total for size in sizes]


def assert_stands_for(table: np.ndarray, weights: Iterable[float], power: int = 1) -> None:
    """Compare probabilities as exact fractions: relative to a cell of 1 / n, and relative to themselves."""
    n = len(table)
    for found, wanted in zip(oracles.alias_law(table), exact_law(weights, power), strict=True):
        # A share carries three roundings, of up to n ulps of a cell where it is n; a threshold is cut to 2^-64.
        assert abs(found - wanted) <= wanted * Fraction(1e-13) + Fraction(8 * n * EPS + 2.0**-63) / n
        assert wanted > 0 or found == 0


@EXAMPLES
@given(WEIGHTS, st.booleans())
def test_the_table_stands_for_the_weights_of_any_range(weights: list[float], squared: bool) -> None:
    table = build_alias_table(np.array(weights), squared=squared)
    largest = max(weights)
    shares = [weight / largest for weight in weights]  # what underflows beside the largest is zero
    assert_stands_for(table, shares if any(shares) else weights, 1 + squared)


@EXAMPLES
@given(WEIGHTS)
def test_a_weight_of_zero_has_probability_exactly_zero(weights: list[float]) -> None:
    law = oracles.alias_law(build_alias_table(np.array(weights)))
    assert all(probability == 0 for probability, weight in zip(law, weights, strict=True) if weight == 0.0)


@EXAMPLES
@given(WEIGHTS, st.integers(1, 7))
def test_the_table_stands_for_the_weights_however_it_is_cut_into_parts(weights: list[float], size: int) -> None:
    # The compiled kernels hold the size of a part; their Python bodies read it anew.
    with python_bodies(size):
        assert_stands_for(_alias_build.build_alias_table(np.array(weights)), np.array(weights) / max(weights))


@pytest.mark.parametrize("weights", [[1e308, 1e308], [5e-324, 5e-324], [3.0, 3.0]])
def test_two_equal_weights_of_any_size_have_one_half_each(weights: list[float]) -> None:
    assert oracles.alias_law(build_alias_table(np.array(weights))) == [Fraction(1, 2), Fraction(1, 2)]


def test_squares_that_overflow_or_underflow_keep_their_ratio() -> None:
    for scale in (1e-200, 1e200):
        law = oracles.alias_law(build_alias_table(scale * np.array([1.0, 2.0, 0.0]), squared=True))
        assert [float(probability) for probability in law] == pytest.approx([0.2, 0.8, 0.0], abs=1e-15)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="seconds without the JIT")
@pytest.mark.parametrize("place", [0, 333_333, 10**6])
def test_a_million_light_items_beside_a_heavy_one_keep_their_probability(place: int) -> None:
    weights = np.full(10**6 + 1, 1e-17)
    weights[place] = 1.0
    table = build_alias_table(weights)
    light = np.arange(len(weights)) != place
    # Every light item has its own cell, rounded to 2^-64, and leaves the rest to the heavy one. A running sum of these
    # weights would stay at 1, and lose all of them.
    assert (table[light, 1] == place).all()
    np.testing.assert_allclose(table[light, 0] / 2.0**64, 1e-17 * len(weights), rtol=1e-8)
    assert table[place, 1] == place


LAWS = {
    "uniform": lambda rng, n: rng.random(n),
    "heavy tails": lambda rng, n: rng.exponential(size=n) ** 6,
    "ascending": lambda rng, n: np.sort(rng.exponential(size=n) ** 3),
    "descending": lambda rng, n: -np.sort(-(rng.exponential(size=n) ** 3)),
    "equal": lambda _, n: np.full(n, 0.1),
    "two values": lambda _, n: np.where(np.arange(n) % 1000 == 999, 1.0, 1e-3),
}


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="seconds without the JIT")
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_the_table_of_many_items_keeps_every_zero_and_every_share(law: Any) -> None:
    rng = np.random.default_rng(0)
    weights = law(rng, 100_001)
    weights[rng.random(len(weights)) < 0.3] = 0.0
    table = build_alias_table(weights)
    own = table[:, 0] / 2.0**64
    found = np.bincount(table[:, 1].astype(np.int64), weights=1.0 - own, minlength=len(own)) + own
    shares = weights * (len(weights) / math.fsum(weights))
    np.testing.assert_allclose(found, shares, rtol=1e-12, atol=1e-9)
    assert not found[weights == 0.0].any()


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_the_table_is_the_same_on_one_thread_and_on_two(threads: None) -> None:
    weights = np.random.default_rng(1).exponential(size=300_000) ** 2
    numba.set_num_threads(1)
    serial = build_alias_table(weights)
    numba.set_num_threads(2)
    np.testing.assert_array_equal(build_alias_table(weights), serial)


def test_the_range_of_weights_is_found_and_nan_with_it() -> None:
    assert weight_range(np.array([2.0, -1.0, 5.0])) == (-1.0, 5.0)
    assert weight_range(np.array([2.0, np.inf]))[1] == np.inf
    for place in range(3):
        weights = np.ones(3)
        weights[place] = np.nan
        assert all(map(math.isnan, weight_range(weights)))


def test_building_a_table_leaves_the_weights_alone() -> None:
    weights = np.array([3.0, 1.0, 0.0])
    build_alias_table(weights)
    assert weights.tolist() == [3.0, 1.0, 0.0]


@pytest.mark.parametrize("n_draws", [0, 1, 1023, 1024, 1025, 3000])
def test_draws_are_those_of_the_naive_twin(n_draws: int) -> None:
    table = build_alias_table(np.array([0.0, 5.0, 1.0, 0.25, 3.0, 0.0, 1e-3]))
    np.testing.assert_array_equal(
        draw_from_alias_table(table, n_draws, KEY), oracles.alias_draws(table, n_draws, int(KEY))
    )


def test_a_longer_batch_starts_with_the_shorter_one() -> None:
    table = build_alias_table(np.arange(1.0, 9.0))
    np.testing.assert_array_equal(
        draw_from_alias_table(table, 2500, KEY)[:1500], draw_from_alias_table(table, 1500, KEY)
    )


def test_the_draws_of_a_key_have_not_changed() -> None:
    table = build_alias_table(np.arange(1.0, 9.0))
    assert draw_from_alias_table(table, 12, np.uint64(42)).tolist() == [5, 5, 5, 1, 6, 5, 7, 5, 4, 0, 7, 3]


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
@pytest.mark.parametrize("n_draws", [20_000, 2_500_000])
def test_draws_are_the_same_on_one_thread_and_on_two(n_draws: int, threads: None) -> None:
    table = build_alias_table(np.arange(1.0, 100.0))
    numba.set_num_threads(1)
    serial = draw_from_alias_table(table, n_draws, KEY)
    numba.set_num_threads(2)
    np.testing.assert_array_equal(draw_from_alias_table(table, n_draws, KEY), serial)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="seconds without the JIT")
def test_zero_weights_never_come_up_in_ten_million_draws() -> None:
    weights = np.tile([0.0, 1.0, 0.0, 1e-9, 7.0], 20)
    draws = draw_from_alias_table(build_alias_table(weights), 10**7, KEY)
    assert not np.bincount(draws, minlength=100)[weights == 0.0].any()
