"""Excess error against seconds of `low_rank` and its rivals on large matrices, and the law k / (2 r) of the excess.

One matrix: `pytest benchmarks/test_frontier.py -k dense-k50`, or QINSPIRED_BENCH_MATRICES=dense-k50,sparse. Records and
plots go to the folder QINSPIRED_BENCH_OUT; QINSPIRED_BENCH_SECONDS (420) bounds the measurement of one matrix, beside
its generation.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from frontier import Comparison
from frontier_contenders import Case
from frontier_truth import reference_error, true_errors

import qinspired as qi
from qinspired.access import CountingMatrix
from qinspired.algorithms.approximation._ritz import eigenpairs_by_gram
from qinspired.algorithms.approximation._row_sample import draw_batch


def dense(name, shape, rank, noise, targets, row_skew=0.0):
    made = qi.problems.low_rank_matrix(shape, rank, kappa=3.0, noise=noise, row_skew=row_skew, dtype=np.float32, rng=0)
    ratio = (made.frobenius_norm / made.singular_values[-1]) ** 2
    skew = f", log-normal row norms ({row_skew:g})" if row_skew else ""
    about = f"{shape[0]:,} x {shape[1]:,} float32, k = {rank}, |A|^2 / s_k^2 = {ratio:.0f}{skew}"
    return Case(name, about, made.A, rank, made.optimal_error, targets)


def dense_k10(tiny):
    targets = {0.03: (6, 50, 30), 0.01: (6, 30, 30), 0.003: (5, 15, 15)}
    return dense("dense-k10", (4000, 1000) if tiny else (40_000, 10_000), 10, 0.707, targets)


def dense_k50(tiny):
    # The noise that makes |A|_F^2 / s_50^2 = 320 with singular values 3 to 1: 0.86.
    s = qi.problems.singular_spectrum(50, kappa=3.0)
    noise = np.sqrt(320.0 * s[-1] ** 2 / (s @ s) - 1.0)
    return dense("dense-k50", (4000, 1000) if tiny else (40_000, 10_000), 50, noise, {0.03: (5, 15, 12)})


def wide(tiny):
    return dense("wide", (500, 4000) if tiny else (5000, 200_000), 10, 0.707, {})


def row_skewed(tiny):
    return dense("row-skewed", (4000, 1000) if tiny else (40_000, 10_000), 10, 0.707, {}, row_skew=1.0)


def ratings_like(shape, n_entries, *, n_groups=10, rng=0):
    """Return a sparse float32 matrix of ratings, made block of rows by block of rows.

    Users are active to log-normal degrees. Six in ten of a user's draws go to what the user's group likes, one item in
    200, and the rest to all items, of which few are popular; both by a power of a uniform number.
    """
    generator = np.random.default_rng(rng)
    m, n = shape
    size = max(n // 200, 40)
    favourites = generator.permutation(n)[: n_groups * size].reshape(n_groups, size).astype(np.int32)
    popular = generator.permutation(n).astype(np.int32)
    groups = generator.integers(n_groups, size=m)
    activity = np.clip(np.exp(generator.standard_normal(m)), 0.1, 20.0)
    activity *= n_entries / activity.sum()

    def entries(rows, factor):
        counts = np.minimum(generator.poisson(factor * activity[rows]) + 1, n // 2)
        owners = np.repeat(np.arange(len(counts)), counts)
        place = generator.random(len(owners), dtype=np.float32) * np.float32(0.999999)
        liked = favourites[np.repeat(groups[rows], counts), (size * place * np.sqrt(place)).astype(np.int32)]
        other = popular[(n * place * place * place).astype(np.int32)]
        likes = generator.random(len(owners), dtype=np.float32) < 0.6
        keys = owners * n + np.where(likes, liked, other)
        keys.sort()
        keys = keys[np.r_[True, keys[1:] != keys[:-1]]]
        ends = np.searchsorted(keys, n * np.arange(1, len(counts) + 1))
        return (keys - np.repeat(n * np.arange(len(counts)), np.diff(ends, prepend=0))).astype(np.int32), ends

    step = max(1, min(m, int(4_000_000 * m / n_entries)))
    factor = 1.0
    for _ in range(2):  # repeats are merged; draw as many more
        factor *= activity[:step].sum() / entries(slice(0, step), factor)[1][-1]
    capacity = int(1.1 * n_entries) + step
    indices, data = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.float32)
    stops = [np.zeros(1, dtype=np.int64)]
    end = 0
    for start in range(0, m, step):
        cols, ends = entries(slice(start, min(start + step, m)), factor)
        begin, end = end, end + len(cols)
        indices[begin:end] = cols
        data[begin:end] = np.clip(3.5 + 0.7 * generator.standard_normal(len(cols), dtype=np.float32), 0.5, 5.0)
        stops.append(begin + ends)
    indptr = np.concatenate(stops).astype(np.int32)
    matrix = sp.csr_array((data[:end], indices[:end], indptr), shape=shape)
    matrix.has_canonical_format = True
    return matrix


def sparse_case(name, matrix, targets=None):
    about = f"{matrix.shape[0]:,} x {matrix.shape[1]:,} sparse {matrix.dtype}, {matrix.nnz:,} entries, k = 10"
    return Case(name, about, matrix, 10, reference_error(matrix, 10), targets or {})


def sparse(tiny):
    made = ratings_like((10_000, 2000), 300_000) if tiny else ratings_like((1_000_000, 100_000), 100_000_000)
    return sparse_case("sparse", made, {0.001: (1.5, 1.5, 1.5)})


def data_folder():
    return Path(os.environ.get("QINSPIRED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def movielens_1m(tiny):
    path = data_folder() / "movielens-1m-implicit" / "interactions.npz"
    if tiny or not path.exists():
        pytest.skip("MovieLens 1M is not there, or the run is tiny")
    with np.load(path) as pairs:
        _, user = np.unique(pairs["user"], return_inverse=True)
        _, movie = np.unique(pairs["movie"], return_inverse=True)
    ones = np.ones(len(user), dtype=np.float32)
    return sparse_case("movielens-1m", sp.csr_array((ones, (user, movie))), {0.001: (1.5, 1.5, 1.5)})


def movielens_small(tiny):
    del tiny
    path = data_folder() / "movielens-latest-small-2018" / "ratings.csv.gz"
    if not path.exists():
        pytest.skip("MovieLens latest-small is not there")
    return sparse_case("movielens-small", qi.datasets.read_ratings(path).matrix)


CASES = {
    "dense-k10": dense_k10,
    "dense-k50": dense_k50,
    "wide": wide,
    "row-skewed": row_skewed,
    "sparse": sparse,
    "movielens-1m": movielens_1m,
    "movielens-small": movielens_small,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = os.environ.get("QINSPIRED_BENCH_OUT")
    found = Path(folder) if folder else tmp_path_factory.mktemp("frontier")
    found.mkdir(parents=True, exist_ok=True)
    return found


# A time limit that ends while a callback or a destructor runs cannot be raised there, and Python warns of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CASES)
def test_frontier(benchmark, report, tiny, out, name):
    chosen = os.environ.get("QINSPIRED_BENCH_MATRICES")
    if chosen and name not in chosen.split(","):
        pytest.skip("not among QINSPIRED_BENCH_MATRICES")
    case = CASES[name](tiny)
    records = out / f"frontier-{name}.jsonl"
    records.unlink(missing_ok=True)
    budget = float(os.environ.get("QINSPIRED_BENCH_SECONDS", "6" if tiny else "420"))
    comparison = Comparison(case, records, budget, rounds=1 if tiny else 7)
    benchmark.group = "frontier"
    report(f"-- {case.name}: {case.about}")
    for line in benchmark.pedantic(comparison.run, rounds=1):
        report(line)
    report(f"    records: {records}")
    try:
        from frontier_plot import plot
    except ImportError:
        return
    plot([records], records.with_suffix(".png"))


def test_the_law_of_the_excess(benchmark, report, tiny):
    """The excess of k directions from r drawn rows is k / (2 r) where the spectrum has a gap."""
    k = 10
    problem = qi.problems.low_rank_matrix(
        (4000, 500) if tiny else (40_000, 4000), k, kappa=3.0, noise=0.707, dtype=np.float32, rng=0
    )
    matrix = CountingMatrix(qi.as_sq_matrix(problem.A))
    sizes = 100 * 2 ** np.arange(4 if tiny else 6)
    seeds = 2 if tiny else 5

    def run():
        answers = [
            eigenpairs_by_gram([draw_batch(matrix, int(r), np.random.default_rng(seed))], k).vectors.T
            for r in sizes
            for seed in range(seeds)
        ]
        return np.array(true_errors(problem.A, answers)).reshape(len(sizes), seeds) / problem.optimal_error - 1.0

    excess = benchmark.pedantic(run, rounds=1).mean(axis=1)
    slope = np.polyfit(np.log(sizes), np.log(excess), 1)[0]
    constants = excess * sizes / (k / 2)
    benchmark.extra_info.update(slope=slope, constants=constants.tolist())
    report(
        f"law of the excess, {problem.A.shape}, k = {k}: slope {slope:.3f} (target -1 +- 0.1); constant over k / 2 "
        f"{constants.mean():.3f} (target 1 +- 0.15), by r: "
        + ", ".join(f"{r}: {c:.3f}" for r, c in zip(sizes, constants, strict=True))
    )
    assert abs(slope + 1.0) <= 0.1
    assert abs(constants.mean() - 1.0) <= 0.15
