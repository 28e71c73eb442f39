from __future__ import annotations

import copy
import itertools
import math
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import oracles
import pytest
from bucket_structure import assert_consistent
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scipy import stats

import qinspired as qi
from qinspired.access.dynamic import _sampler as _dynamic_sampler
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import _buckets

POWERS = pytest.mark.parametrize("power", [1, 2])
N_DRAWS = 300_000


def law_of(weights: Any, power: int = 1) -> np.ndarray:
    """Return the probabilities; a weight below 1e-160 of the largest counts as zero, which no draw here meets."""
    powers = (np.asarray(weights) / np.max(weights)) ** power
    return powers / math.fsum(powers)


def draws_of(sampler: qi.DynamicSampler, n_draws: int, seed: int) -> np.ndarray:
    """Return draws from the buckets, in calls too short for an alias table: a change that is none is made between."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, n_draws, 50_000):
        sampler.update([], [])
        parts.append(sampler.sample(min(50_000, n_draws - start), rng))
    return np.concatenate(parts)


def wrong_laws(law: np.ndarray) -> list[np.ndarray]:
    """Return the laws by another power, without acceptance within a bucket, of stale weights, and off by one."""
    rooted = np.sqrt(law)
    squared = law**2
    bounds = np.where(law > 0, 2.0 ** np.ceil(np.log2(np.where(law > 0, law, 1.0))), 0.0)
    stale = law.copy()
    first, second = np.argsort(law)[[-1, -2]]
    stale[first], stale[second] = 0.8 * law[first], law[second] + 0.2 * law[first]
    return [wrong / wrong.sum() for wrong in (rooted, squared, bounds, stale, np.roll(law, 1))]


def assert_draws_follow(draws: np.ndarray, law: np.ndarray) -> None:
    assert oracles.chi_square_p(draws, law) > oracles.P_LOWEST
    for wrong in wrong_laws(law):
        assert oracles.chi_square_p(draws, wrong) < oracles.P_LOWEST


def skewed(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=n) ** 2
    weights[rng.random(n) < 0.2] = 0.0
    return weights


# The law


@POWERS
def test_draws_follow_the_weights(power: int) -> None:
    weights = skewed(300, 0)
    sampler = qi.DynamicSampler(weights, exponent=power)
    assert_draws_follow(draws_of(sampler, N_DRAWS, 1), law_of(weights, power))


@POWERS
def test_draws_follow_the_last_weights_after_bursts(power: int) -> None:
    weights = skewed(300, 2)
    sampler = qi.DynamicSampler(weights, exponent=power)
    rng = np.random.default_rng(3)
    for burst in range(20):
        items, new = rng.integers(0, len(weights), 200), skewed(200, 100 + burst)
        sampler.update(items, new)
        for item, weight in zip(items, new, strict=True):
            weights[item] = weight
        added = skewed(5, 200 + burst)
        sampler.append(added)
        weights = np.append(weights, added)
        removed = rng.integers(0, len(weights), 10)
        sampler.delete(removed)
        weights[removed] = 0.0
        sampler.sample(100, rng)
    assert_draws_follow(draws_of(sampler, N_DRAWS, 4), law_of(weights, power))


@POWERS
def test_a_long_sequence_of_single_changes_ends_in_the_law_of_its_last_weights(power: int) -> None:
    n, rng = 200, np.random.default_rng(5)
    weights = np.zeros(n)
    sampler = qi.DynamicSampler(weights, exponent=power)
    # Each item is often worth 10^12 times what it is worth at the end.
    for _ in range(5000):
        item = int(rng.integers(n))
        weights[item] = rng.choice([0.0, rng.random(), 1e12 * rng.random()])
        sampler.update(item, weights[item])
    final = skewed(n, 6)
    for item in rng.permutation(n):
        sampler.update(int(item), final[item])
    assert sampler.weights().tolist() == final.tolist()
    assert_draws_follow(draws_of(sampler, N_DRAWS, 7), law_of(final, power))


@POWERS
def test_an_alias_table_takes_over_where_draws_dominate(power: int) -> None:
    weights = skewed(300, 8)
    sampler, table = qi.DynamicSampler(weights, exponent=power), qi.AliasTable(weights, exponent=power)
    few, many = 50_000, N_DRAWS
    sampler.sample(few, rng=9)
    assert sampler._alias is None
    draws = sampler.sample(many, rng=10)
    np.testing.assert_array_equal(draws, table.sample(many, rng=10))
    assert_draws_follow(draws, law_of(weights, power))
    # The next change ends it.
    weights = skewed(300, 11)
    sampler.update(range(300), weights)
    assert_draws_follow(draws_of(sampler, N_DRAWS, 12), law_of(weights, power))


@POWERS
@pytest.mark.parametrize("weights", [[5e-324, 5e-324], [1e308, 1e308], [1e-200, 1e-200], [3.0, 3.0]])
def test_two_equal_weights_of_any_size_have_one_half_each(weights: list[float], power: int) -> None:
    ones = draws_of(qi.DynamicSampler(weights, exponent=power), N_DRAWS, 13).sum()
    assert stats.binomtest(int(ones), N_DRAWS).pvalue > oracles.P_LOWEST
    assert stats.binomtest(int(ones), N_DRAWS, 0.52).pvalue < oracles.P_LOWEST


def test_weights_from_the_least_to_the_largest_float_come_and_go() -> None:
    # Each in turn is alone among weights that are nothing beside it, which then is deleted.
    exponents = np.arange(300, -324, -12)
    scales = np.array([float(f"1e{e}") for e in exponents])
    sampler = qi.DynamicSampler(np.outer(scales, [1.0, 3.0, 0.0]).ravel())
    for row, scale in enumerate(scales):
        draws = sampler.sample(20_000, rng=row)
        weights = np.zeros(3 * len(scales))
        weights[3 * row : 3 * row + 2] = sampler.weights([3 * row, 3 * row + 1])
        assert oracles.chi_square_p(draws, law_of(weights)) > oracles.P_LOWEST
        assert oracles.chi_square_p(draws, law_of(np.roll(weights, 3))) == 0.0
        assert sampler.norm == pytest.approx(4 * scale, rel=1e-11) or scale < 1e-307
        sampler.delete(range(3 * row, 3 * row + 3))
    with pytest.raises(ZeroMassError):
        sampler.sample(1)


@POWERS
def test_a_million_light_items_beside_a_heavy_one_keep_their_probability(power: int) -> None:
    n = 10**6
    weights = np.full(n + 1, 1e-17)
    weights[0] = 1.0
    sampler = qi.DynamicSampler(weights, exponent=power)
    assert sampler.total == pytest.approx(1.0 + n * 1e-17**power, rel=1e-16)
    # The heavy item becomes as heavy as all others together: half of the draws, and the others share the rest.
    half = (n * 1e-17**power) ** (1 / power)
    sampler.update(0, half)
    draws = draws_of(sampler, 400_000, 14)
    light = int((draws > 0).sum())
    assert stats.binomtest(light, len(draws)).pvalue > oracles.P_LOWEST
    assert stats.binomtest(light, len(draws), 0.51).pvalue < oracles.P_LOWEST
    groups, even = (draws[draws > 0] - 1) * 100 // n, np.full(100, 0.01)
    assert oracles.chi_square_p(groups, even) > oracles.P_LOWEST
    assert oracles.chi_square_p(np.where(np.arange(light) % 20 == 0, 0, groups), even) < oracles.P_LOWEST
    sampler.update(0, 0.0)
    assert sampler.total == pytest.approx(n * 1e-17**power, rel=1e-11)
    assert sampler.sample(1000, rng=15).all()


def test_an_item_of_weight_zero_is_never_drawn_in_ten_million_draws() -> None:
    weights = np.tile([0.0, 1.0, 0.0, 1e-9, 7.0], 20)
    sampler = qi.DynamicSampler(np.ones(100))
    sampler.update(range(100), weights)
    counts = np.bincount(draws_of(sampler, 8 * 10**6, 16), minlength=100)
    counts += np.bincount(sampler.sample(2 * 10**6, rng=17), minlength=100)
    assert counts.sum() == 10**7
    assert not counts[weights == 0.0].any()


def test_draws_of_one_batch_are_independent_of_their_neighbours() -> None:
    weights = np.array([1.0, 1.7, 0.6, 5.0])
    pairs = draws_of(qi.DynamicSampler(weights), 2 * N_DRAWS, 18).reshape(-1, 2)
    law = np.outer(law_of(weights), law_of(weights)).ravel()
    assert oracles.chi_square_p(pairs[:, 0] * 4 + pairs[:, 1], law) > oracles.P_LOWEST
    repeats = np.where(np.arange(N_DRAWS) % 20 == 0, pairs[:, 0], pairs[:, 1])
    assert oracles.chi_square_p(pairs[:, 0] * 4 + repeats, law) < oracles.P_LOWEST


# The object


def test_an_empty_sampler_fills_up() -> None:
    sampler = qi.DynamicSampler()
    assert (len(sampler), sampler.total, sampler.norm, sampler.version) == (0, 0.0, 0.0, 0)
    assert sampler.weights().shape == (0,)
    assert sampler.append([2.0, 0.0]).tolist() == [0, 1]
    assert sampler.append(3.0).tolist() == [2]
    assert sampler.append([]).tolist() == []
    assert sampler.weights().tolist() == [2.0, 0.0, 3.0]
    assert sampler.version == 2
    assert repr(sampler) == "DynamicSampler(n=3, exponent=1)"
    assert set(sampler.sample(100, rng=0).tolist()) == {0, 2}


def test_the_last_weight_of_a_repeated_item_holds() -> None:
    sampler = qi.DynamicSampler([1.0, 1.0, 1.0])
    sampler.update([1, 1], [5.0, 6.0])
    sampler.update([2, 0, 2, 0, 2], [1.0, 2.0, 3.0, 4.0, 5.0])  # more of them than there are items
    assert sampler.weights().tolist() == [4.0, 6.0, 5.0]


def test_scalars_are_accepted() -> None:
    sampler = qi.DynamicSampler([1.0, 2.0, 3.0])
    sampler.update(1, 5)
    sampler.update(np.int8(0), np.float32(0.5))
    assert sampler.weights().tolist() == [0.5, 5.0, 3.0]
    sampler.update([0, 2], 7.0)
    assert sampler.weights([2, 0, 1]).tolist() == [7.0, 7.0, 5.0]
    assert sampler.weights(2) == 7.0
    assert sampler.weights([[0, 1]]).tolist() == [[7.0, 5.0]]
    sampler.delete(2)
    assert sampler.weights().tolist() == [7.0, 5.0, 0.0]


@pytest.mark.parametrize(
    "weights",
    [[0, 3, 1], (0, 3, 1), np.array([0, 3, 1], dtype=np.uint8), np.array([0, 3, 1], dtype=">f4"), [-0.0, 3.0, 1.0]],
    ids=["ints", "tuple", "uint8", "big-endian", "minus zero"],
)
def test_weights_of_any_kind_give_the_same_draws(weights: Any) -> None:
    draws = qi.DynamicSampler(weights).sample(5000, rng=0)
    np.testing.assert_array_equal(draws, qi.DynamicSampler([0.0, 3.0, 1.0]).sample(5000, rng=0))
    assert draws.dtype == np.int64
    other = qi.DynamicSampler(np.zeros(3))
    other.update(np.array([2, 1, 0], dtype=">u2"), np.asarray(weights)[::-1])
    assert set(other.sample(5000, rng=0).tolist()) == {1, 2}


def test_weights_are_copied_in_and_out() -> None:
    weights = np.array([1.0, 0.0])
    sampler = qi.DynamicSampler(weights)
    weights[:] = [0.0, 1.0]
    sampler.weights()[:] = 0.0
    assert sampler.weights().tolist() == [1.0, 0.0]
    items, new = np.array([0, 1, 0]), np.array([2.0, 3.0, 4.0])
    sampler.update(items, new)
    assert (items.tolist(), new.tolist()) == ([0, 1, 0], [2.0, 3.0, 4.0])


def test_the_version_counts_the_calls_that_change_something() -> None:
    sampler = qi.DynamicSampler([1.0, 2.0, 0.0])
    calls = [
        (lambda: sampler.update(0, 3.0), 1),
        (lambda: sampler.update([0, 1], [3.0, 2.0]), 1),
        (lambda: sampler.update([], []), 1),
        (lambda: sampler.delete([2]), 1),
        (lambda: sampler.delete([0, 1]), 2),
        (lambda: sampler.append(0.0), 3),
        (lambda: sampler.append([]), 3),
        (lambda: sampler.sample(0), 3),
        (lambda: sampler.update(3, 1.0), 4),
    ]
    for call, version in calls:
        if version == 3:
            sampler.update([], [])
        try:
            call()
        except ZeroMassError:
            assert not sampler.weights().any()
        assert sampler.version == version


@POWERS
def test_total_and_norm_are_the_rounded_exact_sums(power: int) -> None:
    rng = np.random.default_rng(20)
    sampler = qi.DynamicSampler(np.zeros(50), exponent=power)
    for _ in range(50):
        sampler.update(rng.integers(0, 50, 30), rng.exponential(size=30) ** 20)
        exact = sum(Fraction(weight) ** power for weight in sampler.weights().tolist())
        # Squares of mantissas are rounded to 53 bits before they are summed, and the sum once more.
        assert sampler.total == pytest.approx(float(exact), rel=0.0 if power == 1 else 2.0**-52)
        assert sampler.norm == pytest.approx(float(exact) ** (1 / power), rel=0.0 if power == 1 else 2.0**-51)


@pytest.mark.parametrize(
    ("weights", "power", "total", "norm"),
    [
        ([1e308, 1e308], 1, math.inf, math.inf),
        ([3e200, 4e200], 2, math.inf, 5e200),
        ([3e-200, 4e-200], 2, 0.0, 5e-200),
        ([5e-324, 5e-324], 1, 1e-323, 1e-323),
        ([5e-324] * 4, 2, 0.0, 1e-323),
        ([3.0, 4.0], 2, 25.0, 5.0),
        ([0.0], 2, 0.0, 0.0),
    ],
)
def test_the_norm_neither_overflows_nor_underflows_with_the_total(
    weights: list[float], power: int, total: float, norm: float
) -> None:
    sampler = qi.DynamicSampler(weights, exponent=power)
    assert sampler.total == total
    assert sampler.norm == pytest.approx(norm, rel=1e-15)
    assert sampler.exponent == power


def test_repeated_items_take_no_memory() -> None:
    sampler = qi.DynamicSampler(np.ones(10))
    rng = np.random.default_rng(23)
    for _ in range(5):
        sampler.update(rng.integers(0, 10, 50_000), 2.0 ** rng.integers(-50, 50, 50_000))
    # One and a half slots for each item that may be in two buckets, and five for each bucket.
    assert len(sampler._buckets.pairs) <= 3 * 10 + 5 * 20


@pytest.mark.parametrize("n_drawn", [10, 200_000], ids=["buckets", "alias table"])
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_draws_the_same_and_then_goes_its_own_way(duplicate: Any, n_drawn: int) -> None:
    sampler = qi.DynamicSampler(skewed(100, 21), exponent=2)
    sampler.update([3, 4], [1.0, 0.0])
    sampler.sample(n_drawn, rng=0)
    other = duplicate(sampler)
    assert (len(other), other.version, other.exponent) == (100, sampler.version, 2)
    for n_draws in (1000, 60_000):
        np.testing.assert_array_equal(other.sample(n_draws, rng=1), sampler.sample(n_draws, rng=1))
    before = sampler.weights()
    other.update(range(100), np.zeros(100))
    other.append(1.0)
    np.testing.assert_array_equal(sampler.weights(), before)


def test_the_same_calls_give_the_same_draws() -> None:
    def run() -> list[np.ndarray]:
        rng = np.random.default_rng(22)
        sampler = qi.DynamicSampler(np.ones(1000))
        draws = []
        for n_draws in (10, 3000, 100_000, 5):
            sampler.update(sampler.sample(10, rng), rng.exponential(size=10))
            draws.append(sampler.sample(n_draws, rng))
        return draws

    for first, second in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(first, second)


# Bad input


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "call",
    [
        qi.DynamicSampler,
        lambda weights: qi.DynamicSampler().append(weights),
        lambda weights: qi.DynamicSampler(np.ones(4)).update([0, 1, 2, 3], weights),
    ],
    ids=["new", "append", "update"],
)
def test_the_first_nan_or_infinity_is_named(call: Any, value: float) -> None:
    with pytest.raises(ValueError, match=rf"`weights` must be finite.*weights\[2\] = {value}\. Impute"):
        call([1.0, -1.0 if math.isinf(value) else 2.0, value, value])


BAD_CALLS: list[tuple[Any, type[Exception], str]] = [
    (lambda s: s.update([0, 1], [1.0, -2.0]), ValueError, r"`weights` must be >= 0; got weights\[1\] = -2.0"),
    (lambda s: s.update(0, -2.0), ValueError, r"`weights` must be >= 0; got weights = -2\.0"),
    (lambda s: s.update(0, math.nan), ValueError, r"`weights` must be finite.*; got weights = nan"),
    (lambda s: s.append([1.0, -5e-324]), ValueError, r"`weights` must be >= 0; got weights\[1\] = -5e-324"),
    (
        lambda s: s.update([0, 1], [1.0, 2.0, 3.0]),
        ValueError,
        r"one weight for each of the 2 indices; got shape \(3,\)",
    ),
    (lambda s: s.update([0, 1], [1.0]), ValueError, r"one weight for each of the 2 indices; got shape \(1,\)"),
    (lambda s: s.update([0, 1], [[1.0, 2.0]]), ValueError, r"got shape \(1, 2\)"),
    (lambda s: s.update([[0, 1]], [[1.0, 2.0]]), ValueError, r"`indices` must be a number or 1-dimensional"),
    (lambda s: s.update([0, 4], [1.0, 2.0]), IndexError, r"`indices` must .* in \[0, 4\); got 4\..*`append`"),
    (lambda s: s.update([0, -1], [1.0, 2.0]), IndexError, r"in \[0, 4\); got -1"),
    (lambda s: s.update(np.array([2**63], dtype=np.uint64), 1.0), IndexError, r"got 9223372036854775808"),
    (lambda s: s.update([True], 1.0), TypeError, r"integer indices; got dtype bool"),
    (lambda s: s.update([0.0], 1.0), TypeError, r"integer indices; got dtype float64"),
    (lambda s: s.update(["0"], 1.0), TypeError, r"integer indices"),
    (lambda s: s.update(0, "one"), ValueError, r"`weights` must be numeric"),
    (lambda s: s.update(0, None), TypeError, r"`weights` must be an array of numbers; got NoneType"),
    (lambda s: s.update(0, [[1.0], [1.0, 2.0]]), ValueError, r"`weights` must be an array of numbers; setting"),
    (lambda s: s.update(0, 1j), ValueError, r"`weights` must be real"),
    (lambda s: s.update(0, np.datetime64(1, "s")), TypeError, r"`weights` must be numeric"),
    (lambda s: s.update([0, 1], np.ma.masked_equal([1.0, 2.0], 2.0)), TypeError, r"masked"),
    (lambda s: s.append([[1.0]]), ValueError, r"`weights` must be a number or 1-dimensional; got shape \(1, 1\)"),
    (lambda s: s.delete(4), IndexError, r"in \[0, 4\); got 4"),
    (lambda s: s.delete(-1), IndexError, r"got -1"),
    (lambda s: s.delete(True), TypeError, r"integer indices; got dtype bool"),
    (lambda s: s.weights(4), IndexError, r"in \[0, 4\); got 4"),
    (lambda s: s.weights([-1]), IndexError, r"got -1"),
    (lambda s: s.weights([0.0]), TypeError, r"integer indices"),
    (lambda s: s.sample(-1), ValueError, r"`n_draws` must be an integer >= 0; got -1"),
    (lambda s: s.sample(1.0), TypeError, r"`n_draws` must be an integer"),
    (lambda s: s.sample(True), TypeError, r"`n_draws` must be an integer"),
    (lambda s: s.sample(1, rng="seed"), TypeError, r"`rng` must be"),
    (lambda _: qi.DynamicSampler([[1.0]]), ValueError, r"`weights` must be 1-dimensional; got shape \(1, 1\)"),
    (lambda _: qi.DynamicSampler(1.0), ValueError, r"`weights` must be 1-dimensional; got shape \(\)"),
    (lambda _: qi.DynamicSampler([1.0], exponent=3), ValueError, r"`exponent` must be 1"),
    (lambda _: qi.DynamicSampler([1.0], exponent=True), ValueError, r"`exponent` must be 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS)
def test_bad_input_is_refused_and_changes_nothing(call: Any, error: type[Exception], message: str) -> None:
    sampler = qi.DynamicSampler([1.0, 0.0, 2.0, 5.0])
    expected = copy.deepcopy(sampler).sample(100, rng=0)
    with pytest.raises(error, match=message):
        call(sampler)
    assert (sampler.weights().tolist(), sampler.version) == ([1.0, 0.0, 2.0, 5.0], 0)
    np.testing.assert_array_equal(sampler.sample(100, rng=0), expected)


@pytest.mark.parametrize("weights", [[], [0.0], [0.0, -0.0]])
@pytest.mark.parametrize("n_draws", [0, 1])
def test_nothing_positive_to_draw_from_is_an_error(weights: list[float], n_draws: int) -> None:
    with pytest.raises(ZeroMassError, match=r"no positive weight .* `update` or `append`"):
        qi.DynamicSampler(weights).sample(n_draws)


# Interruptions


CHANGES = [
    lambda s: s.update(np.arange(50) % 20, np.arange(50.0) ** 3),
    lambda s: s.update(np.arange(20)[::-1], np.arange(20.0) ** 3),
    lambda s: s.append(np.arange(50.0)),
    lambda s: s.delete(np.arange(15)),
]


def interrupt(step: Any, error: type[BaseException], calls_before: int, after: bool) -> Any:
    """Return a function that stands in for a step and raises before or after its work, in one of its calls."""
    calls = itertools.count()

    def interrupted(*args: Any, **keywords: Any) -> Any:
        call = next(calls)
        if call == calls_before and not after:
            raise error
        result = step(*args, **keywords)
        if call == calls_before:
            raise error
        return result

    return interrupted


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("call", CHANGES, ids=["update, repeated", "update", "append", "delete"])
def test_a_change_interrupted_anywhere_changes_nothing(
    call: Any, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_buckets, "_CHUNK", 6)
    monkeypatch.setattr(_buckets, "_SHORT", 0)
    sampler = qi.DynamicSampler(np.arange(1.0, 21.0), exponent=2)
    sampler.sample(10, rng=0)
    weights, total = sampler.weights(), sampler.total
    steps = [
        (_buckets, name) for name in ("_set", "_count_demand", "_move_segments", "_packed", "_copy", "with_places")
    ]
    steps += [(_dynamic_sampler, name) for name in ("with_places", "with_room", "new_undo", "set_weights")]
    n_interrupted = 0
    for module, name in steps:
        for calls_before in range(4):
            for after in (False, True):
                interrupted = interrupt(getattr(module, name), error, calls_before, after)
                attempt = copy.deepcopy(sampler)
                with monkeypatch.context() as patch:
                    patch.setattr(module, name, interrupted)
                    try:
                        call(attempt)
                    except error:
                        n_interrupted += 1
                    else:
                        continue  # there are not so many calls of this step
                assert (len(attempt), attempt.version, attempt.total) == (20, 0, total)
                assert attempt.weights().tolist() == weights.tolist()
                assert_consistent(attempt._buckets, weights.tolist(), 2)
                assert attempt.sample(1000, rng=0).max() < 20
                call(attempt)
                assert attempt.version == 1
    assert n_interrupted >= 20


@pytest.mark.parametrize("call", CHANGES, ids=["update, repeated", "update", "append", "delete"])
def test_ctrl_c_between_any_two_lines_of_a_change_changes_nothing(call: Any) -> None:
    code = qi.DynamicSampler._change.__code__
    sampler = qi.DynamicSampler(np.arange(1.0, 21.0))
    n_interrupted = 0
    for n_lines in range(30):
        lines = itertools.count()

        def trace(frame: Any, event: str, _: Any, lines: Any = lines, n_lines: int = n_lines) -> Any:
            if frame.f_code is not code:
                return None
            if event == "line" and next(lines) == n_lines:
                raise KeyboardInterrupt
            return trace

        attempt, before = copy.deepcopy(sampler), sys.gettrace()
        sys.settrace(trace)
        try:
            call(attempt)
        except KeyboardInterrupt:
            n_interrupted += 1
        else:
            break
        finally:
            sys.settrace(before)
        assert (len(attempt), attempt.version) == (20, 0)
        assert_consistent(attempt._buckets, sampler.weights().tolist(), 1)
    assert 8 <= n_interrupted < 30


def test_updates_and_draws_of_several_threads_do_not_mix() -> None:
    # Every update moves all weight from one half to the other, and the draws of one call are all of one half.
    n, rounds = 20_000, 60
    halves = [np.repeat([1.0, 0.0], n // 2), np.repeat([0.0, 1.0], n // 2)]
    sampler = qi.DynamicSampler(halves[0])
    done = threading.Event()

    def write(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(n)
        for step in range(rounds):
            sampler.update(order, halves[(step + seed) % 2][order])

    def draw(seed: int) -> int:
        rng, n_calls = np.random.default_rng(seed), 0
        while not done.is_set() or n_calls < 5:
            upper = sampler.sample(2000, rng) >= n // 2
            assert upper.all() or not upper.any()
            weights = sampler.weights()
            assert weights.tolist() in (halves[0].tolist(), halves[1].tolist())
            assert sampler.total == n // 2
            n_calls += 1
        return n_calls

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(draw, seed) for seed in (10, 11)]
        writers = [pool.submit(write, seed) for seed in (0, 1)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        assert all(reader.result() >= 5 for reader in readers)
    assert_consistent(sampler._buckets, sampler.weights().tolist(), 1)


# Any sequence of calls


WEIGHTS = st.one_of(
    st.just(0.0),
    st.floats(0.0, 1e308, allow_subnormal=True),
    st.floats(0.25, 8.0),
    st.sampled_from([5e-324, 1e-300, 1.0, 1e300]),
)


class SamplerAgainstDict(RuleBasedStateMachine):
    @initialize(weights=st.lists(WEIGHTS, max_size=6), power=st.sampled_from([1, 2]))
    def start(self, weights: list[float], power: int) -> None:
        self.model = dict(enumerate(weights))
        self.power = power
        self.sampler = qi.DynamicSampler(weights, exponent=power)
        self.version = 0

    def record(self, new: dict[int, float]) -> None:
        self.version += any(self.model.get(item) != weight for item, weight in new.items())
        self.model.update(new)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        items = data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=12))
        weights = [data.draw(WEIGHTS) for _ in items]
        before = self.sampler.version
        self.sampler.update(items, weights)
        # An item that leaves its weight and comes back to it within one call may count as changed.
        back = len(set(items)) < len(items)
        self.record(dict(zip(items, weights, strict=True)))
        if back:
            assert before + 1 >= self.sampler.version >= self.version
            self.version = self.sampler.version

    @rule(weights=st.lists(WEIGHTS, max_size=12))
    def append(self, weights: list[float]) -> None:
        items = self.sampler.append(weights).tolist()
        assert items == list(range(len(self.model), len(self.model) + len(weights)))
        self.record(dict(zip(items, weights, strict=True)))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        items = data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=12))
        self.sampler.delete(items)
        self.record(dict.fromkeys(items, 0.0))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), weight=WEIGHTS)
    def set_one(self, data: st.DataObject, weight: float) -> None:
        item = data.draw(st.sampled_from(sorted(self.model)))
        self.sampler.update(item, weight)
        self.record({item: weight})

    @rule(n_draws=st.sampled_from([1, 100, 60_000]))
    def sample(self, n_draws: int) -> None:
        if any(self.model.values()):
            drawn = set(self.sampler.sample(n_draws, rng=0).tolist())
            assert all(self.model[item] > 0.0 for item in drawn)
        else:
            with pytest.raises(ZeroMassError):
                self.sampler.sample(n_draws)

    @rule()
    def pickle(self) -> None:
        self.sampler = pickle.loads(pickle.dumps(self.sampler))

    @invariant()
    def same_as_the_model(self) -> None:
        weights = list(self.model.values())
        assert self.sampler.weights().tolist() == weights
        assert (len(self.sampler), self.sampler.version) == (len(weights), self.version)
        assert_consistent(self.sampler._buckets, weights, self.power)


SamplerAgainstDict.TestCase.settings = settings(
    max_examples=60, stateful_step_count=20, deadline=None, derandomize=True
)
test_any_sequence_of_calls_agrees_with_a_dict = SamplerAgainstDict.TestCase
