"""Draws from fixed weights: `AliasTable` against scipy's `DiscreteAliasUrn` and numpy's `Generator.choice`.

The latency of one random memory access is timed in the same run, by following a random cycle through a table of the
same size: what a draw would cost if each had to wait for its cell.
"""

from __future__ import annotations

import contextlib
import warnings

import numba
import numpy as np
import pytest
from scipy.stats.sampling import DiscreteAliasUrn
from timing import side_by_side

import qinspired as qi

SIZES = [10**3, 10**5, 10**6, 10**7]


@contextlib.contextmanager
def threads(number):
    before = numba.get_num_threads()
    numba.set_num_threads(min(number, before))
    yield
    numba.set_num_threads(before)


@numba.njit(cache=False)
def follow(successors, steps):
    place = 0
    for _ in range(steps):
        place = successors[place, 0]
    return place


def cycle(n):
    order = np.random.default_rng(3).permutation(n)
    successors = np.zeros((n, 2), dtype=np.int64)  # 16 bytes an item, as in the table
    successors[order, 0] = np.roll(order, 1)
    return successors


def urn(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a rounding error in its histogram
        return DiscreteAliasUrn(weights, random_state=np.random.default_rng(1))


def on(number, run):
    with threads(number):
        return run()


@pytest.mark.parametrize("n", SIZES)
def test_batch_draws(benchmark, report, tiny, n):
    n, n_draws = (min(n, 10**5), 10**4) if tiny else (n, 2 * 10**6)
    weights = np.random.default_rng(0).random(n)
    table, theirs, generator = qi.AliasTable(weights), urn(weights), np.random.default_rng(2)
    law, successors = weights / weights.sum(), cycle(n)
    contenders = {
        "one thread": lambda: on(1, lambda: table.sample(n_draws, rng=0)),
        "two threads": lambda: on(2, lambda: table.sample(n_draws, rng=0)),
        "urn": lambda: theirs.rvs(n_draws),
        "choice": lambda: generator.choice(n, n_draws, p=law),
        "latency": lambda: follow(successors, n_draws),
    }
    timed = side_by_side(contenders, 1 if tiny else 7)
    seconds = {name: timing.median for name, (timing, _) in timed.items()}
    best = {name: min(timing.seconds) for name, (timing, _) in timed.items()}
    np.testing.assert_array_equal(timed["one thread"][1], timed["two threads"][1])
    ours = seconds["one thread"]
    ratios = {name: seconds[name] / ours for name in ("urn", "choice", "latency")}
    benchmark.extra_info.update(n=n, **ratios, two_threads=ours / seconds["two threads"])
    benchmark.pedantic(contenders["one thread"], rounds=1 if tiny else 5)
    report(
        f"alias draws n = {n:.0e}: {ratios['urn']:.1f}x DiscreteAliasUrn (target 2x), {ratios['choice']:.0f}x "
        f"Generator.choice (target 10x), {ours / seconds['two threads']:.2f}x on two threads (target 1.7x; of the best "
        f"times {best['one thread'] / best['two threads']:.2f}x), "
        f"{1 / ratios['latency']:.2f} of a random memory access"
    )


@pytest.mark.parametrize("n", SIZES)
def test_building_a_table(benchmark, report, tiny, n):
    n = min(n, 10**5) if tiny else n
    weights = np.random.default_rng(0).random(n)
    contenders = {
        "two threads": lambda: on(2, lambda: qi.AliasTable(weights)),
        "one thread": lambda: on(1, lambda: qi.AliasTable(weights)),
        "urn": lambda: urn(weights),
    }
    timed = side_by_side(contenders, 1 if tiny else 7)
    seconds = {name: timing.median for name, (timing, _) in timed.items()}
    ratio = seconds["urn"] / seconds["two threads"]
    benchmark.extra_info.update(n=n, ratio=ratio)
    benchmark.pedantic(contenders["two threads"], rounds=1 if tiny else 5)
    report(
        f"alias build n = {n:.0e}: {ratio:.2f}x DiscreteAliasUrn on two threads, "
        f"{seconds['urn'] / seconds['one thread']:.2f}x on one (target 2x at 1e7)"
    )
