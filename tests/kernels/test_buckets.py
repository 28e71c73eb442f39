from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import oracles
import pytest
from bucket_structure import CAPACITY, COUNT, START, assert_consistent, bucket_of, share
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.kernels import (
    Buckets,
    _bucket_draws,
    _buckets,
    bucket_law,
    bucket_mass,
    draw_from_buckets,
    empty_buckets,
    get_weights,
    last_of_each,
    new_undo,
    set_weights,
    take_back,
    with_places,
    with_room,
)

KEY = np.uint64(0xDEADBEEF12345678)
JIT_OFF = bool(numba.config.DISABLE_JIT)
POWERS = pytest.mark.parametrize("power", [1, 2])
WEIGHT = st.one_of(
    st.just(0.0),
    st.floats(0.0, 1.7e308, allow_subnormal=True),
    st.floats(0.5, 4.0),
    st.sampled_from([5e-324, 1e-300, 0.5, 0.625, 1.0, math.nextafter(1.0, 0.0), 1e300, 1.7976931348623157e308]),
)
EXAMPLES = settings(max_examples=20 if JIT_OFF else 150, deadline=None, derandomize=True)


def change(buckets: Buckets, items: Any, weights: Any, power: int = 1) -> Buckets:
    items, weights = np.asarray(items, dtype=np.int64), np.asarray(weights, dtype=np.float64)
    buckets = with_room(buckets, items, weights)
    set_weights(buckets, items, weights, new_undo(len(items)), squared=power == 2)
    return buckets


def build(weights: Any, power: int = 1) -> Buckets:
    return change(with_places(empty_buckets(), len(weights)), np.arange(len(weights)), weights, power)


def law_of(buckets: Buckets, n_items: int, power: int) -> list[Fraction]:
    """Return the exact probabilities that the table over buckets, the slots and the acceptance stand for."""
    law = bucket_law(buckets, squared=power == 2)
    assert law is not None
    accepted = [Fraction(0)] * n_items
    cells = oracles.alias_law(law.table)
    for probability, (start, count), bound in zip(cells, law.segments.tolist(), law.bounds.tolist(), strict=True):
        for item, mantissa in buckets.pairs[start : start + count].tolist():
            assert mantissa**power <= bound
            accepted[int(item)] += probability / count * Fraction(mantissa) ** power / Fraction(bound)
    return [value / sum(accepted) for value in accepted]


def assert_law(buckets: Buckets, weights: list[float], power: int) -> None:
    # A few roundings to 53 bits for each bucket in the table over buckets, and none after it.
    for found, wanted in zip(law_of(buckets, len(weights), power), share(weights, power), strict=True):
        assert abs(found - wanted) < 4 * (len(weights) + 1) * 2.0**-53


@POWERS
@EXAMPLES
@given(data=st.data())
def test_any_changes_lead_to_the_law_and_the_structure_of_the_last_weights(power: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(WEIGHT, min_size=1, max_size=12))
    n = len(weights)
    buckets = build(weights, power)
    for _ in range(data.draw(st.integers(0, 4))):
        items = data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n))
        new = [data.draw(WEIGHT) for _ in items]
        buckets = change(buckets, items, new, power)
        for item, weight in zip(items, new, strict=True):
            weights[item] = weight
        assert_consistent(buckets, weights, power)
    assert get_weights(buckets, np.arange(n)).tolist() == weights
    if any(weights):
        assert_law(buckets, weights, power)
    else:
        assert bucket_law(buckets, squared=power == 2) is None


@POWERS
@EXAMPLES
@given(weights=st.lists(WEIGHT, max_size=20))
def test_the_mass_is_the_exact_sum(power: int, weights: list[float]) -> None:
    buckets = change(build(np.ones(len(weights)), power), range(len(weights)), weights, power)
    mass, exponent = bucket_mass(buckets, squared=power == 2)
    wanted = sum((Fraction(weight) ** power for weight in weights), Fraction(0))
    found = mass * Fraction(2) ** exponent
    # The square of a mantissa is rounded to 53 bits.
    assert found == wanted if power == 1 else abs(found - wanted) <= wanted * Fraction(2) ** -53


def test_the_law_does_not_drift() -> None:
    # A float sum that saw 10^16 come and go has lost the ones.
    weights = [1.0] * 8
    buckets = build(weights)
    for step in range(200):
        buckets = change(buckets, [step % 8], [1e16])
        buckets = change(buckets, [step % 8], [1.0])
    assert law_of(buckets, 8, 1) == [Fraction(1, 8)] * 8
    assert bucket_mass(buckets, squared=False)[0] * Fraction(2) ** bucket_mass(buckets, squared=False)[1] == 8


def naive_draws(buckets: Buckets, n_draws: int, power: int) -> list[int]:
    law = bucket_law(buckets, squared=power == 2)
    assert law is not None
    draws: list[int] = []
    for block in range(-(-n_draws // oracles.BLOCK)):
        stream = oracles.words(int(KEY), block)
        while len(draws) < min((block + 1) * oracles.BLOCK, n_draws):
            cell, rest = divmod(next(stream) * len(law.table), 2**64)
            segment = cell if rest < int(law.table[cell, 0]) else int(law.table[cell, 1])
            start, count = law.segments[segment].tolist()
            slot, rest = divmod(next(stream) * count, 2**64)
            item, mantissa = buckets.pairs[start + slot].tolist()
            if (rest >> 11) / 2**53 * law.bounds[segment] < mantissa**power:
                draws.append(int(item))
    return draws


@POWERS
@pytest.mark.parametrize("n_draws", [0, 1, 1023, 1024, 1025, 3000])
def test_draws_are_those_of_the_naive_twin(n_draws: int, power: int) -> None:
    buckets = build([0.0, 5.0, 1.0, 0.25, 3.0, 0.0, 1e-3, 3.25, 0.75], power)
    law = bucket_law(buckets, squared=power == 2)
    assert law is not None
    draws = draw_from_buckets(buckets, law, n_draws, KEY, squared=power == 2)
    assert draws.tolist() == naive_draws(buckets, n_draws, power)


def test_the_draws_of_a_key_have_not_changed() -> None:
    buckets = build(np.arange(1.0, 9.0))
    law = bucket_law(buckets, squared=False)
    assert law is not None
    draws = draw_from_buckets(buckets, law, 12, np.uint64(42), squared=False)
    assert draws.tolist() == [6, 5, 6, 7, 6, 4, 0, 7, 3, 3, 3, 0]


@POWERS
@pytest.mark.skipif(JIT_OFF, reason="one thread only without the JIT")
@pytest.mark.parametrize("n_draws", [20_000, 2_500_000])
def test_draws_are_the_same_on_one_thread_and_on_two(n_draws: int, power: int, threads: None) -> None:
    buckets = build(np.arange(1.0, 1000.0), power)
    law = bucket_law(buckets, squared=power == 2)
    assert law is not None
    numba.set_num_threads(1)
    serial = draw_from_buckets(buckets, law, n_draws, KEY, squared=power == 2)
    numba.set_num_threads(2)
    np.testing.assert_array_equal(draw_from_buckets(buckets, law, n_draws, KEY, squared=power == 2), serial)


def test_buckets_lighter_than_the_least_float_of_the_heaviest_are_left_out() -> None:
    weights = [1e-300, 1e300, 0.0, 5e-324]
    law = bucket_law(build(weights, 2), squared=True)
    assert law is not None
    assert law.segments[:, 1].tolist() == [1]
    assert_law(build(weights, 1), weights, 1)


@pytest.mark.parametrize(
    ("weight", "bucket"),
    [(5e-324, 0), (2.0**-1073, 4), (0.5, 4292), (0.625, 4293), (0.75, 4294), (0.875, 4295), (1.0, 4296)],
)
def test_a_bucket_is_an_exponent_and_a_quarter(weight: float, bucket: int) -> None:
    assert bucket_of(weight) == bucket
    buckets = build([weight])
    assert np.flatnonzero(buckets.segments[COUNT]).tolist() == [bucket]
    assert get_weights(buckets, np.array([0])).tolist() == [weight]


def test_the_largest_float_is_in_the_last_bucket() -> None:
    buckets = build([1.7976931348623157e308])
    assert np.flatnonzero(buckets.segments[COUNT]).tolist() == [_buckets.N_BUCKETS - 1]


def test_a_segment_that_is_full_moves_to_the_end_and_doubles() -> None:
    weights = [1.0] * 40 + [2.0] * 40 + [4.0, 4.5]
    buckets = with_places(build(weights), 200)
    pairs, end = buckets.pairs, int(buckets.segments[START, -1])
    assert len(pairs) - end == 20
    assert buckets.segments[CAPACITY, bucket_of(4.0)] == 6
    # Doubled it fits into the free end, and the pool stays.
    buckets = change(buckets, range(82, 88), [4.0] * 6)
    assert buckets.pairs is pairs
    assert buckets.segments[[START, CAPACITY], bucket_of(4.0)].tolist() == [end, 12]
    assert buckets.segments[START, -1] == end + 12
    assert_consistent(buckets, weights + [4.0] * 6, 1)
    # A segment of 54 does not: a new pool, in which each bucket has a quarter and four to spare.
    buckets = change(buckets, range(88, 108), [1.0] * 20)
    assert buckets.pairs is not pairs
    assert buckets.segments[CAPACITY, [bucket_of(w) for w in (1.0, 2.0, 4.0)]].tolist() == [79, 54, 14]
    assert_consistent(buckets, weights + [4.0] * 6 + [1.0] * 20, 1)


def test_a_short_batch_that_may_not_fit_makes_room() -> None:
    # The short way may say no where there is room, and never yes where there is none.
    weights = [1.0]
    buckets = build(weights)
    for _ in range(300):
        buckets = with_places(buckets, len(weights) + 3)
        buckets = change(buckets, range(len(weights), len(weights) + 3), [1.0, 1.0, 3.0])
        weights += [1.0, 1.0, 3.0]
    assert_consistent(buckets, weights, 1)


def test_long_work_is_cut_into_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_buckets, "_CHUNK", 7)
    monkeypatch.setattr(_buckets, "_SHORT", 0)
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=100)
    buckets = build(weights)
    for _ in range(20):
        items = rng.integers(0, 100, 60)
        new = rng.exponential(size=60) ** 9
        new[::5] = 0.0
        buckets = change(buckets, items, new)
        for item, weight in zip(items, new, strict=True):
            weights[item] = weight
        assert_consistent(buckets, weights.tolist(), 1)
    assert get_weights(buckets, np.arange(100)).tolist() == weights.tolist()


def test_draws_are_cut_into_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = build(np.arange(1.0, 9.0))
    law = bucket_law(buckets, squared=False)
    assert law is not None
    whole = draw_from_buckets(buckets, law, 5000, KEY, squared=False)
    monkeypatch.setattr(_bucket_draws, "_BLOCKS_PER_CALL", 2)
    np.testing.assert_array_equal(draw_from_buckets(buckets, law, 5000, KEY, squared=False), whole)


@POWERS
@EXAMPLES
@given(data=st.data())
def test_a_change_is_taken_back_from_wherever_it_stopped(power: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(WEIGHT, min_size=1, max_size=8))
    buckets = build(weights, power)
    items = np.array(data.draw(st.lists(st.integers(0, len(weights) - 1), min_size=1, max_size=20)))
    new = np.array([data.draw(WEIGHT) for _ in items])
    undo = new_undo(len(items))
    buckets = with_room(buckets, items, new)
    _buckets._set(buckets, items, new, power == 2, undo, 0, data.draw(st.integers(0, len(items))))
    for _ in range(2):  # the second call has nothing to take back
        take_back(buckets, items, undo, power == 2)
        assert_consistent(buckets, weights, power)


def test_a_change_across_groups_is_taken_back_to_the_first_old_weight() -> None:
    n = 3 * _buckets._GROUP
    buckets = build([1.0, 2.0])
    items, undo = np.arange(n) % 2, new_undo(n)
    new = np.arange(1.0, n + 1.0)
    buckets = with_room(buckets, items, new)
    assert set_weights(buckets, items, new, undo, squared=False)
    assert get_weights(buckets, np.arange(2)).tolist() == [n - 1.0, n]
    take_back(buckets, items, undo, squared=False)
    assert_consistent(buckets, [1.0, 2.0], 1)


def test_it_is_known_whether_a_weight_is_new() -> None:
    buckets = build([1.0, 2.0, 0.0])
    items = np.array([0, 2])
    for new, is_new in (([1.0, 0.0], False), ([1.0, -0.0], False), ([1.0, 1.0], True)):
        buckets = with_room(buckets, items, np.array(new))
        assert set_weights(buckets, items, np.array(new), new_undo(2), squared=False) == is_new


def test_the_last_of_each_item_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_buckets, "_CHUNK", 3)
    items = np.array([4, 2, 4, 0, 2, 2, 4])
    assert last_of_each(items, 6).tolist() == [3, 5, 6]
    assert last_of_each(items[:0], 6).tolist() == []


def test_places_grow_by_a_quarter_more_than_needed_and_never_shrink() -> None:
    buckets = with_places(empty_buckets(), 100)
    assert len(buckets.places) == 100
    buckets = with_places(buckets, 101)
    assert len(buckets.places) == 101 + 25
    assert with_places(buckets, 50) is buckets
    assert set(buckets.places.tolist()) == {-1}


def test_memory_is_bounded_after_any_changes() -> None:
    n = 500 if JIT_OFF else 20_000
    rng = np.random.default_rng(1)
    buckets = build(np.ones(n))
    for step in range(10 if JIT_OFF else 60):
        # All items march from bucket to bucket, or scatter over a few hundred, some of them one by one.
        spread = 0 if step % 3 else 100
        items = rng.permutation(n)[: n if step % 2 else n // 50]
        buckets = change(buckets, items, 2.0 ** (step % 7 + rng.integers(-spread, spread + 1, len(items))))
        used = np.count_nonzero(buckets.segments[CAPACITY])
        assert len(buckets.pairs) <= 3 * n + 5 * used
    assert buckets.segments.nbytes < 2**19
