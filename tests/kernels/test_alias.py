from __future__ import annotations

import math

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.kernels import _alias, build_alias_table, draw_from_alias_table

KEY = np.uint64(0xDEADBEEF12345678)
WEIGHTS = st.lists(
    st.one_of(st.just(0.0), st.floats(0.0, 1e308), st.floats(0.0, 1.0), st.integers(0, 5).map(float)),
    min_size=1,
    max_size=40,
).filter(any)
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)


def share(weights: list[float]) -> np.ndarray:
    scaled = np.array(weights) / max(weights)
    return scaled / math.fsum(scaled)


@EXAMPLES
@given(WEIGHTS)
def test_the_table_stands_for_the_weights_of_any_range(weights: list[float]) -> None:
    table = build_alias_table(np.array(weights))
    # Each of n shares is moved at most n times, by an ulp of n each time: n eps relative to a cell of 1 / n.
    n = len(weights)
    np.testing.assert_allclose(oracles.alias_law(table), share(weights), rtol=0, atol=4 * n * np.finfo(float).eps)


@EXAMPLES
@given(WEIGHTS)
def test_a_weight_of_zero_has_probability_exactly_zero(weights: list[float]) -> None:
    table = build_alias_table(np.array(weights))
    zero = np.array(weights) == 0.0
    # Neither an own cell that it keeps, nor another's cell that points to it and can be left.
    assert not table[zero, 0].any()
    assert not zero[table[table[:, 0] < 1.0, 1].astype(int)].any()


@EXAMPLES
@given(WEIGHTS)
def test_thresholds_are_probabilities_and_others_are_items(weights: list[float]) -> None:
    table = build_alias_table(np.array(weights))
    assert ((table[:, 0] >= 0.0) & (table[:, 0] <= 1.0)).all()
    assert set(table[:, 1]) <= set(range(len(weights)))


@pytest.mark.parametrize("weights", [[1e308, 1e308], [5e-324, 5e-324], [3.0, 3.0]])
def test_two_equal_weights_of_any_size_have_one_half_each(weights: list[float]) -> None:
    assert oracles.alias_law(build_alias_table(np.array(weights))).tolist() == [0.5, 0.5]


def test_many_light_items_beside_a_heavy_one_keep_their_probability() -> None:
    n_light = 10**5
    weights = np.full(n_light + 1, 1e-17)
    weights[0] = 1.0
    law = oracles.alias_law(build_alias_table(weights))
    # A running sum of these weights would stay at 1.
    np.testing.assert_allclose(law[1:], 1e-17, rtol=1e-11)
    assert law[0] == pytest.approx(1.0, abs=1e-10)


def test_the_table_of_many_items_keeps_every_zero_and_every_share() -> None:
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=100_001) ** 4
    weights[rng.random(len(weights)) < 0.3] = 0.0
    law = oracles.alias_law(build_alias_table(weights))
    assert not law[weights == 0.0].any()
    np.testing.assert_allclose(law, weights / weights.sum(), rtol=0, atol=1e-15)


def test_rounding_that_uses_up_the_heavy_items_does_not_let_a_zero_be_drawn() -> None:
    # Shares that sum below n stand for the rounding of some 10^7 steps, which a test cannot wait for.
    table = np.empty((3, 2))
    _alias._fill_alias_table(np.array([0.0, 0.9, 0.95]), table, np.empty(3, dtype=np.int64))
    assert oracles.alias_law(table)[0] == 0.0


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
    assert draw_from_alias_table(table, 12, np.uint64(42)).tolist() == [5, 4, 5, 1, 5, 5, 7, 4, 6, 0, 7, 3]


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
