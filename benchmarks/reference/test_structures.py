"""Draws of one index and the building of what they need, against what the published code does for them.

It calls `numpy.random.choice(n, p=...)` for each draw, which goes through all n probabilities, and builds a list over
all m n entries of the matrix.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from timing import side_by_side

import qinspired as qi


def test_one_draw_at_any_number_of_items(benchmark, report, tiny):
    sizes = [10**3, 10**4] if tiny else [10**3, 10**4, 10**5, 10**6, 10**7]
    n_draws = 10**3 if tiny else 10**5
    per_draw, single, theirs = {}, {}, {}
    for n in sizes:
        weights = np.random.default_rng(0).random(n)
        law, legacy = weights / weights.sum(), np.random.RandomState(0)
        table, generator = qi.AliasTable(weights), np.random.default_rng(1)
        contenders = {
            "batch": lambda table=table, generator=generator: table.sample(n_draws, rng=generator),
            "single": lambda table=table, generator=generator: [table.sample(1, rng=generator) for _ in range(100)],
            "choice": lambda n=n, law=law, legacy=legacy: legacy.choice(n, p=law),
        }
        timed = side_by_side(contenders, 1 if tiny else 9)
        per_draw[n] = 1e6 * timed["batch"][0].median / n_draws
        single[n] = 1e6 * timed["single"][0].median / 100
        theirs[n] = 1e6 * timed["choice"][0].median
    benchmark.extra_info.update({str(n): us for n, us in per_draw.items()})
    benchmark.pedantic(contenders["batch"], rounds=1 if tiny else 5)
    for kind, found in ((f"of {n_draws} at once", per_draw), ("a call each", single), ("choice, as published", theirs)):
        report(f"one index draw, us, {kind}: " + ", ".join(f"n = {n:.0e}: {us:.3f}" for n, us in found.items()))
    report("one index draw: target 2 us at n = 1e6 after set-up (published 6300), growing at most as log n")


def test_structure_of_a_dense_matrix(benchmark, report, tiny):
    shape = (400, 200) if tiny else (4000, 2000)
    A = np.random.default_rng(0).standard_normal(shape)

    def build():
        matrix = qi.as_sq_matrix(A)
        matrix.sample_rows(1, rng=0)  # the table over the rows is made at the first draw
        return matrix

    timed = side_by_side({"build": build, "sum": A.sum, "square": lambda: A**2}, 2 if tiny else 15)
    seconds = timed["build"][0].median
    benchmark.extra_info.update(seconds=seconds, ratio_to_sum=seconds / timed["sum"][0].median)
    benchmark.pedantic(build, rounds=1 if tiny else 10)
    plain, square = timed["sum"][0].median, timed["square"][0].median
    report(
        f"structure of {shape[0]} x {shape[1]}: {seconds:.4f} s (target 0.05, published 2.13), {seconds / plain:.1f} "
        f"times a plain sum, {seconds / square:.2f} times A**2"
    )


def test_structure_of_a_sparse_matrix_takes_time_by_stored_entry(benchmark, report, tiny):
    m, n = (10_000, 10**5) if tiny else (100_000, 10**6)
    found = {}
    for per_row in (10, 30, 100):
        indices = np.sort(np.random.default_rng(0).integers(0, n // per_row, (m, per_row)), axis=1)
        indices += np.arange(per_row) * (n // per_row)
        A = sp.csr_array((np.ones(m * per_row), indices.ravel(), np.arange(m + 1) * per_row), shape=(m, n))

        def build(A=A):
            return qi.as_sq_matrix(A).sample_rows(1, rng=0)

        timed = side_by_side({"build": build}, 1 if tiny else 7)
        found[per_row] = 1e9 * timed["build"][0].median / A.nnz
    benchmark.extra_info.update({str(per_row): ns for per_row, ns in found.items()})
    benchmark.pedantic(build, rounds=1 if tiny else 5)
    report(
        f"structure of a sparse {m} x {n}, ns for each stored entry: "
        + ", ".join(f"{per_row} a row: {ns:.2f}" for per_row, ns in found.items())
        + " (target: at most in proportion; dense it would hold 1e11 entries)"
    )


@pytest.mark.parametrize("shape", [(500, 250), (4000, 2000), (100_000, 2000)])
def test_a_coefficient_draw_by_the_size_of_the_matrix(benchmark, report, tiny, shape):
    shape = (500, 250) if tiny else shape
    problem = qi.problems.linear_system(shape, rank=3, kappa=3.0, rng=0)
    matrix = qi.as_sq_matrix(problem.A)
    run = qi.reference.fkv(matrix, 3, n_rows=200, n_cols=200, rng=0)
    count = 50 if tiny else 5000
    timed = side_by_side({"solve": lambda: run.solve(problem.b, n_estimates=count, rng=0)}, 1 if tiny else 5)
    us = 1e6 * timed["solve"][0].median / (30 * count)
    benchmark.extra_info.update(us=us)
    benchmark.pedantic(lambda: run.solve(problem.b, n_estimates=50, rng=0), rounds=1 if tiny else 5)
    report(
        f"coefficient draw at {shape[0]} x {shape[1]}: {us:.3f} us (published 124 to 177); a column draw scans its row"
    )
