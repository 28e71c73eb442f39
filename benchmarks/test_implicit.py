"""Low-rank approximation of matrices that are computed on demand, up to 1e9 x 1e9, with the size left out of the time.

The matrix: 40 singular values 0.8^l with cosine singular vectors, every entry in closed form, so that the true excess
is exact at any size. Rows and columns are drawn by rejection; nothing of length m or n exists.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

import qinspired as qi

RANK, TOLERANCE = 10, 0.05
VALUES = 0.8 ** np.arange(40)


def access(exponent):
    problem = qi.problems.virtual_low_rank_matrix((10**exponent, 10**exponent), VALUES)
    return problem, qi.ImplicitMatrix(**problem.access)


def answer(A, seed, method="fkv"):
    approx = qi.low_rank(A, RANK, tolerance=TOLERANCE, method=method, rng=seed)
    return approx, approx.row(A.shape[0] // 3).sample(1, rng=seed)[0]


def true_excess(problem, approx):
    return problem.skeleton_error(approx.rows, approx.cols, approx.core) / problem.optimal_error(RANK) - 1.0


def test_a_low_rank_approximation_and_a_recommendation_from_the_largest_matrix(benchmark, report, tiny):
    exponent = 6 if tiny else 9
    problem, A = access(exponent)
    started = time.perf_counter()
    approx, _ = answer(A, 0, "auto")
    seconds = time.perf_counter() - started
    excess = true_excess(problem, approx)
    benchmark.extra_info.update(seconds=seconds, true_excess=excess, certified=approx.excess.high)
    benchmark.pedantic(lambda: answer(A, 1, "auto"), rounds=1 if tiny else 5)
    report(
        f"low_rank and a draw, 1e{exponent} x 1e{exponent}: {seconds:.2f} s (target 10 s), {approx.method}; "
        f"true excess {excess:.4f}, certified {approx.excess}; {approx.stats.row_draws} row draws, "
        f"{approx.stats.entries_read:,} entries computed"
    )
    assert excess <= TOLERANCE
    assert approx.excess.high <= TOLERANCE
    assert seconds < 10.0


@pytest.mark.parametrize("method", ["fkv", "auto"])
def test_the_time_does_not_grow_with_the_matrix(benchmark, report, tiny, method):
    exponents = range(4, 7 if tiny else 10)
    seeds = range(2 if tiny else 9)
    answer(access(4)[1], 0, method)
    seconds = {}
    counts = {}
    # The sizes take turns, so that a change of the machine's speed meets all of them.
    for seed in seeds:
        for exponent in exponents:
            problem, A = access(exponent)
            started = time.perf_counter()
            approx, _ = answer(A, seed, method)
            seconds.setdefault(exponent, []).append(time.perf_counter() - started)
            counts.setdefault(exponent, []).append(
                (approx.stats.row_draws, approx.stats.column_draws, approx.stats.entry_queries, A.entries_computed)
            )
            assert true_excess(problem, approx) <= TOLERANCE
    medians = np.array([np.median(seconds[exponent]) for exponent in exponents])
    slope = float(np.polyfit(list(exponents), np.log10(medians), 1)[0])
    for exponent, median in zip(exponents, medians, strict=True):
        draws, columns, queries, computed = np.mean(counts[exponent], axis=0)
        report(
            f"low_rank({method}) 1e{exponent} x 1e{exponent}: {median:.3f} s; {draws:.0f} row draws, {columns:.0f} "
            f"column draws, {queries:,.0f} queries, {computed:,.0f} entries computed"
        )
    report(f"low_rank({method}) seconds against size: log-log slope {slope:.3f} (target below 0.1)")
    benchmark.extra_info.update(slope=slope, seconds=medians.tolist())
    benchmark.pedantic(lambda: answer(access(max(exponents))[1], 0, method), rounds=1)
    assert tiny or slope < 0.1
