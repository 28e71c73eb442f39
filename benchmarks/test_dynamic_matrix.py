"""A 100,000 x 10,000 matrix with 5 million entries that change, against scipy's editable formats and rebuilding.

`lil_matrix` and `dok_matrix` take new entries but have no norms and no draws; what stays right without them is a new
`as_sq_matrix` after each change, whose index is one pass. dok, which takes far more memory, holds a tenth of the rows.
Draws are compared with those of the CSR matrix that never changes.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.sparse as sp
from timing import side_by_side

import qinspired as qi

BATCHES = (1, 100, 10_000, 1_000_000)


@pytest.fixture(scope="module")
def matrix(tiny):
    m, n, n_entries = (1000, 500, 20_000) if tiny else (100_000, 10_000, 5_000_000)
    rng = np.random.default_rng(0)
    # Rows of very different lengths, as users of a recommender have.
    popularity = rng.pareto(1.5, m) + 0.1
    rows = rng.choice(m, n_entries, p=popularity / popularity.sum())
    X = sp.csr_array((rng.standard_normal(n_entries), (rows, rng.integers(0, n, n_entries))), shape=(m, n))
    X.sum_duplicates()
    return X


@pytest.fixture(scope="module")
def dynamic(matrix):
    return qi.DynamicMatrix.from_matrix(matrix)


def changes(X, count, rng):
    """Return places and values: half of them new entries, half of them in place of others."""
    m, n = X.shape
    old = rng.integers(0, X.nnz, count // 2)
    old_rows = np.searchsorted(X.indptr, old, side="right") - 1
    rows = np.concatenate([old_rows, rng.integers(0, m, count - count // 2)])
    cols = np.concatenate([X.indices[old], rng.integers(0, n, count - count // 2)])
    order = rng.permutation(count)
    return rows[order], cols[order], rng.standard_normal(count)


def one_by_one(target, rounds):
    """Return a call that assigns the entries of the next round."""
    m = target.shape[0]
    left = iter([[part.tolist() for part in (rows % m, cols, values)] for rows, cols, values in rounds])

    def assign():
        for row, col, value in zip(*next(left), strict=True):
            target[row, col] = value

    return assign


def in_calls(dynamic, n_calls, rounds):
    """Return a call that makes the updates of the next round in so many calls of `update`."""
    left = iter([[np.array_split(part, n_calls) for part in parts] for parts in rounds])

    def update():
        for rows, cols, values in zip(*next(left), strict=True):
            dynamic.update(rows, cols, values)

    return update


@pytest.fixture(scope="module")
def editable(matrix):
    return matrix.tolil(), matrix[: matrix.shape[0] // 10].todok()


@pytest.mark.parametrize("count", BATCHES)
def test_updates_against_the_editable_formats_of_scipy_and_a_new_index_a_change(
    benchmark, matrix, dynamic, editable, report, tiny, count
):
    rng = np.random.default_rng(count)
    count, n_rounds = (min(count, 100), 1) if tiny else (count, 5)
    n_calls = max(1, 1000 // count)
    few = min(n_calls * count, 10_000)  # of those one by one, so that a round ends in a second

    def rounds(size):
        return [changes(matrix, size, rng) for _ in range(n_rounds + 1)]

    lil, dok = editable
    contenders = {
        "ours": in_calls(dynamic, n_calls, rounds(n_calls * count)),
        "lil": one_by_one(lil, rounds(few)),
        "dok": one_by_one(dok, rounds(few)),
        "new index": lambda: qi.as_sq_matrix(matrix),
    }
    seconds = {name: timing.median for name, (timing, _) in side_by_side(contenders, n_rounds).items()}
    ours, new = seconds["ours"] / (n_calls * count), seconds["new index"]
    ratios = {name: seconds[name] / few / ours for name in ("lil", "dok")}
    benchmark.extra_info.update(per_second=1 / ours, new_index=new / (count * ours), **ratios)
    benchmark.group = f"updates of {matrix.shape}"
    report(
        f"update in batches of {count:>9,}: {1 / ours:>9,.0f} entries/s; {ratios['lil']:5.2f}x lil_matrix, "
        f"{ratios['dok']:5.2f}x dok_matrix (neither draws), {new / (count * ours):8.2f}x one new index a batch"
    )
    benchmark.pedantic(in_calls(dynamic, 1, rounds(count)), rounds=1)


def test_draws_right_after_a_burst_against_the_matrix_that_never_changes(benchmark, matrix, dynamic, report, tiny):
    rng = np.random.default_rng(2)
    static = qi.as_sq_matrix(matrix)
    n_draws = 1000 if tiny else 100_000

    def draw_both(A):
        rows = A.sample_rows(n_draws, rng=rng)
        return A.sample_cols(rows, rng=rng)

    # Timed apart, so that the draws are timed and not the updates: the first draw after them sets up what they undid.
    found = {name: [] for name in ("rows", "both", "static rows", "static both")}
    for turn in range(2 if tiny else 12):
        for name, contender, draw in (
            ("rows", dynamic, lambda A: A.sample_rows(n_draws, rng=rng)),
            ("both", dynamic, draw_both),
            ("static rows", static, lambda A: A.sample_rows(n_draws, rng=rng)),
            ("static both", static, draw_both),
        ):
            dynamic.update(*changes(matrix, 1000, rng))
            started = time.perf_counter()
            draw(contender)
            found[name] += [time.perf_counter() - started] * (turn > 0)
    rows, both = (np.median(found[f"static {name}"]) / np.median(found[name]) for name in ("rows", "both"))
    benchmark.extra_info.update(rows=rows, both=both)
    report(
        f"{n_draws:,} draws after 1,000 updates: rows at {rows:.2f}x the speed of the matrix that never changes, rows "
        f"and columns at {both:.2f}x"
    )
    benchmark.pedantic(lambda: draw_both(dynamic), rounds=1 if tiny else 5)


def test_making_it_and_reading_it_against_the_static_matrix(benchmark, matrix, report, tiny):
    rows = np.random.default_rng(3).integers(0, matrix.shape[0], 2000)
    x = np.ones((matrix.shape[1], 4))
    static, dynamic = qi.as_sq_matrix(matrix), qi.DynamicMatrix.from_matrix(matrix)
    for name, contenders in {
        "made from CSR": {"ours": lambda: qi.DynamicMatrix.from_matrix(matrix), "it": lambda: qi.as_sq_matrix(matrix)},
        "2,000 rows read": {"ours": lambda: dynamic.rows(rows), "it": lambda: static.rows(rows)},
        "a product": {"ours": lambda: dynamic.matmul(x), "it": lambda: static.matmul(x)},
    }.items():
        timed = side_by_side(contenders, 1 if tiny else 5)
        ratio = timed["it"][0].median / timed["ours"][0].median
        benchmark.extra_info[name] = ratio
        report(f"{name}: at {ratio:.3f}x the speed of the static matrix")
    benchmark.pedantic(lambda: dynamic.rows(rows), rounds=1 if tiny else 5)
