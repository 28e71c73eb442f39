"""Partial Cholesky factors of kernel matrices against Nystrom with uniform columns, LAPACK and the full spectrum.

The points: clusters of very different sizes and widths in 5 dimensions with an RBF kernel, so that the spectrum decays
slowly enough for ranks of several hundred. Each rival is taken at its least rank whose relative trace
error meets that of the target; only that call is timed.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import rbf_kernel
from timing import side_by_side

import qinspired as qi

GAMMA = 0.05
TARGET = 0.01


def points(n):
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1, 200, 40)
    labels = rng.choice(40, size=n, p=sizes / sizes.sum())
    centres = 4.0 * rng.standard_normal((40, 5))
    return centres[labels] + rng.standard_normal((n, 5)) * rng.uniform(0.2, 1.0, 40)[labels, None]


def nystroem(X, rank, seed=0):
    found = Nystroem(kernel="rbf", gamma=GAMMA, n_components=rank, random_state=seed)
    return found.fit_transform(X)


def trace_error(features):
    return 1.0 - float((features**2).sum()) / len(features)  # the diagonal of the kernel is 1


def least_rank(error_at, lowest, highest):
    """Return a rank within 2 % of the least one that meets the target; the highest if none does."""
    while highest > 1.02 * lowest + 1:
        middle = round((lowest * highest) ** 0.5)
        lowest, highest = (lowest, middle) if error_at(middle) <= TARGET else (middle, highest)
    return highest


def test_a_kernel_factor_against_nystroem_at_equal_trace_error(benchmark, report, tiny):
    n = 1000 if tiny else 10_000
    X = points(n)
    K = qi.KernelMatrix(X, gamma=GAMMA)
    ours = qi.rp_cholesky(K, n, tolerance=TARGET, rng=0)
    rank = least_rank(lambda k: trace_error(nystroem(X, k)), 10, n // (2 if tiny else 8))
    timed = side_by_side(
        {
            "ours": lambda: qi.rp_cholesky(qi.KernelMatrix(X, gamma=GAMMA), n, tolerance=TARGET, rng=0),
            "nystroem": lambda: nystroem(X, rank),
        },
        1 if tiny else 3,
    )
    (our_time, approx), (their_time, features) = timed["ours"], timed["nystroem"]
    ratio = their_time.median / our_time.median
    benchmark.extra_info.update(
        rank=approx.rank, rival_rank=rank, error=approx.error.value, rival_error=trace_error(features), ratio=ratio
    )
    benchmark.pedantic(lambda: qi.rp_cholesky(K, n, tolerance=TARGET, rng=0), rounds=1 if tiny else 3)
    report(
        f"rp_cholesky n = {n}: {our_time.median:.2f} s at rank {approx.rank}, trace error {approx.error.value:.4f}; "
        f"sklearn Nystroem {their_time.median:.2f} s at rank {rank}, {trace_error(features):.4f}: {ratio:.1f}x"
    )
    assert approx.error.value <= TARGET
    assert ours.rank == approx.rank


@pytest.mark.parametrize("storage", ["kernel", "matrix"])
def test_accelerated_against_simple_pivots_at_equal_rank(benchmark, report, tiny, storage):
    n, rank = (1000, 100) if tiny else (20_000, 600) if storage == "kernel" else (6000, 600)
    X = points(n)
    K = qi.KernelMatrix(X, gamma=GAMMA)
    A = K if storage == "kernel" else qi.as_sq_matrix(rbf_kernel(X, gamma=GAMMA))
    methods = ("accelerated", "simple", "block", "greedy")
    timed = side_by_side({m: lambda m=m: qi.rp_cholesky(A, rank, method=m, rng=0) for m in methods}, 1 if tiny else 3)
    seconds = {m: timed[m][0].median for m in methods}
    errors = {m: timed[m][1].error.value for m in methods}
    ratio = seconds["simple"] / seconds["accelerated"]
    benchmark.extra_info.update(seconds=seconds, errors=errors, ratio=ratio)
    benchmark.pedantic(lambda: qi.rp_cholesky(A, rank, rng=0), rounds=1 if tiny else 3)
    report(
        f"rp_cholesky {storage} n = {n}, rank {rank}: accelerated {ratio:.1f}x simple; "
        + ", ".join(f"{m} {seconds[m]:.2f} s, error {errors[m]:.4f}" for m in methods)
    )
    assert errors["accelerated"] <= 1.2 * errors["simple"]


def test_a_kernel_factor_against_lapack_and_the_spectrum_of_the_whole_matrix(benchmark, report, tiny):
    n = 600 if tiny else 3000
    X = points(n)

    def pivoted():
        # LAPACK stops at the largest diagonal entry, which is the trace error at most: TARGET of it is met earlier.
        return scipy.linalg.lapack.dpstrf(rbf_kernel(X, gamma=GAMMA), tol=TARGET, lower=1)

    timed = side_by_side(
        {
            "ours": lambda: qi.rp_cholesky(qi.KernelMatrix(X, gamma=GAMMA), n, tolerance=TARGET, rng=0),
            "dpstrf": pivoted,
            "eigh": lambda: np.linalg.eigh(rbf_kernel(X, gamma=GAMMA)),
        },
        1 if tiny else 2,
    )
    approx, values = timed["ours"][1], timed["eigh"][1][0][::-1]
    best = int(np.searchsorted(np.cumsum(values) / n, 1.0 - TARGET)) + 1
    seconds = {name: timing.median for name, (timing, _) in timed.items()}
    benchmark.extra_info.update(seconds=seconds, rank=approx.rank, best_rank=best)
    benchmark.pedantic(lambda: qi.rp_cholesky(qi.KernelMatrix(X, gamma=GAMMA), n, tolerance=TARGET, rng=0), rounds=1)
    report(
        f"rp_cholesky n = {n}, trace error {TARGET}: {seconds['ours']:.3f} s at rank {approx.rank} (least possible "
        f"{best}); LAPACK dpstrf {seconds['dpstrf'] / seconds['ours']:.1f}x at rank {timed['dpstrf'][1][2]}, eigh "
        f"{seconds['eigh'] / seconds['ours']:.1f}x"
    )
    assert best <= approx.rank
