"""Weights that change: updates and draws of `DynamicSampler`, against a sum tree, an alias table, and scipy's tables.

The sum tree is the textbook one in numba: an update recomputes the sums on the way to the root, a draw walks down. It
is drawn from with numba's own generator. Draws right after a burst are draws before any table over the items is built.
"""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from scipy.stats.sampling import DiscreteAliasUrn
from timing import side_by_side

import qinspired as qi


@numba.njit
def tree_update(tree, items, weights):
    size = len(tree) // 2
    for k in range(len(items)):
        node = size + items[k]
        tree[node] = weights[k]
        while node > 1:
            node //= 2
            tree[node] = tree[2 * node] + tree[2 * node + 1]


@numba.njit
def tree_draws(tree, out):
    size = len(tree) // 2
    for k in range(len(out)):
        target = np.random.random() * tree[1]  # noqa: NPY002 - what numba has
        node = 1
        while node < size:
            node *= 2
            if target >= tree[node] and tree[node + 1] > 0.0:
                target -= tree[node]
                node += 1
        out[k] = node - size
    return out


def sum_tree(weights):
    size = 1 << (len(weights) - 1).bit_length()
    tree = np.zeros(2 * size)
    tree[size : size + len(weights)] = weights
    while size > 1:
        tree[size // 2 : size] = tree[size : 2 * size].reshape(-1, 2).sum(axis=1)
        size //= 2
    return tree


def label(n):
    return f"10^{round(np.log10(n))}"


@pytest.mark.parametrize("batch", [1, 100, 10_000, 1_000_000], ids=label)
def test_updates_a_second(benchmark, report, tiny, batch):
    n = 10_000 if tiny else 1_000_000
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=n)
    sampler, tree = qi.DynamicSampler(weights), sum_tree(weights)
    n_calls = max(1, 20_000 // batch)
    # Other changes in each round: the same ones again would find the weights as they are.
    rounds = [
        [(rng.integers(0, n, batch), rng.exponential(size=batch)) for _ in range(n_calls)]
        for _ in range(1 if tiny else 5)
    ]

    def contender(update):
        turns = itertools.cycle(rounds)

        def run():
            for items, new in next(turns):
                update(items, new)

        return run

    contenders = {
        "ours": contender(sampler.update),
        "tree": contender(lambda items, new: tree_update(tree, items, new)),
    }
    timed = side_by_side(contenders, 1 if tiny else 9)
    rates = {name: batch * n_calls / timing.median / 1e6 for name, (timing, _) in timed.items()}
    benchmark.group = f"dynamic updates n={label(n)}"
    benchmark.extra_info.update(batch=batch, rates=rates)
    benchmark.pedantic(contenders["ours"], rounds=1 if tiny else 5)
    target = " (target 5)" if batch == 1_000_000 else ""
    report(
        f"dynamic update n={label(n)}, batches of {label(batch)}: {rates['ours']:.2f} million a second{target}; "
        f"{rates['ours'] / rates['tree']:.2f}x a sum tree"
    )


def test_a_single_change_against_building_a_table_anew(benchmark, report, tiny):
    n = 10_000 if tiny else 1_000_000
    rng = np.random.default_rng(1)
    weights = rng.exponential(size=n)
    sampler = qi.DynamicSampler(weights)
    shares = weights / weights.sum()
    items, values = rng.integers(0, n, 1000).tolist(), rng.exponential(size=1000).tolist()

    def change_all():
        for item, value in zip(items, values, strict=True):
            sampler.update(item, value)

    def change_all_and_draw():
        generator = np.random.default_rng(2)
        for item, value in zip(items, values, strict=True):
            sampler.update(item, value)
            sampler.sample(1, generator)

    contenders = {
        "change": change_all,
        "change and draw": change_all_and_draw,
        "urn": lambda: DiscreteAliasUrn(shares, random_state=0),
        "alias": lambda: qi.AliasTable(weights),
    }
    timed = {name: timing.median for name, (timing, _) in side_by_side(contenders, 1 if tiny else 7).items()}
    change, change_and_draw = timed["change"] / len(items), timed["change and draw"] / len(items)
    benchmark.group = "dynamic single change"
    benchmark.extra_info.update(change=change, change_and_draw=change_and_draw, urn=timed["urn"], alias=timed["alias"])
    benchmark.pedantic(change_all, rounds=1 if tiny else 5)
    report(
        f"dynamic single change n={label(n)}: {1e6 * change:.1f} us, {timed['urn'] / change:.0f}x building scipy's "
        f"DiscreteAliasUrn (target 100x), {timed['alias'] / change:.0f}x building an AliasTable; with a draw after "
        f"each {1e6 * change_and_draw:.1f} us, {timed['urn'] / change_and_draw:.0f}x"
    )


@pytest.mark.parametrize("exponent", [1, 2])
@pytest.mark.parametrize("n", [100_000, 1_000_000, 10_000_000], ids=label)
def test_draws_right_after_a_burst(benchmark, report, tiny, n, exponent):
    n = min(n, 10_000) if tiny else n
    rng = np.random.default_rng(3)
    weights = rng.exponential(size=n)
    sampler = qi.DynamicSampler(weights, exponent=exponent)
    burst, new = rng.integers(0, n, n // 10), rng.exponential(size=n // 10)
    sampler.update(burst, new)
    weights = sampler.weights()
    table, tree = qi.AliasTable(weights, exponent=exponent), sum_tree(weights**exponent)
    n_draws = 50_000 if tiny else 200_000
    out = np.empty(n_draws, dtype=np.int64)

    def ours():
        sampler.update(0, weights[0])  # drops whatever was built for earlier draws
        return sampler.sample(n_draws, rng=0)

    contenders = {
        "ours": ours,
        "alias": lambda: table.sample(n_draws, rng=0),
        "tree": lambda: tree_draws(tree, out),
    }
    timed = side_by_side(contenders, 1 if tiny else 15)
    assert sampler._alias is None
    means = [weights[draws].mean() for _, draws in timed.values()]
    assert np.ptp(means) < 0.05 * np.mean(means)
    each = {name: 1e9 * timing.median / n_draws for name, (timing, _) in timed.items()}
    benchmark.group = f"dynamic draws n={label(n)}"
    benchmark.extra_info.update(exponent=exponent, nanoseconds=each)
    benchmark.pedantic(ours, rounds=1 if tiny else 5)
    report(
        f"dynamic draws after a burst, n={label(n)}, p={exponent}: {each['ours']:.1f} ns; {each['alias']:.1f} ns from "
        f"an AliasTable ({each['ours'] / each['alias']:.1f} times that, target 4), "
        f"{each['tree']:.1f} ns from a sum tree ({each['tree'] / each['ours']:.1f}x)"
    )
