"""Least squares on a dense 20,000 x 10,000 float32 matrix of effective rank 20 against the fastest rival.

Twenty singular values from 1 to 1/3, a tail of 0.1 % of |A|_F in all directions, b = A x for a known x in the leading
ones, prediction error 2 %. LSQR and LSMR stop at the first iteration that meets the tolerance (the best they can do:
they are told the answer). LAPACK's lstsq and the solvers of scikit-learn's `Ridge` that take minutes at this size are
timed at 4,000 x 2,000. The Cholesky factor of A A^T is no rival here: it is larger than that of A^T A.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
from timing import side_by_side

import qinspired as qi

TOLERANCE = 0.02
RANK, TAIL = 20, 1e-3
TARGET, TARGET_CHOLESKY = 30, 300
REDUCED = (4000, 2000)


def system(shape):
    rng = np.random.default_rng(0)
    m, n = shape
    left = np.linalg.qr(rng.standard_normal((m, RANK)))[0] * np.geomspace(1, 1 / 3, RANK)
    right = np.linalg.qr(rng.standard_normal((n, RANK)))[0]
    A = np.empty(shape, dtype=np.float32)
    size = TAIL * np.linalg.norm(left) / np.sqrt(m * n)
    for start in range(0, m, 1000):
        part = slice(start, start + 1000)
        A[part] = left[part] @ right.T
        A[part] += np.float32(size) * rng.standard_normal(A[part].shape, dtype=np.float32)
    x = right @ rng.standard_normal(RANK)
    return A, A @ x.astype(np.float32), x


@pytest.fixture(scope="module")
def problem(tiny):
    return system((800, 400) if tiny else (20_000, 10_000))


def prediction_error(A, x, exact):
    exact = exact.astype(np.float32)
    return float(np.linalg.norm(A @ (x.astype(np.float32) - exact)) / np.linalg.norm(A @ exact))


def iterative(solver, A, b, iterations):
    options = {"lsqr": {"iter_lim": iterations}, "lsmr": {"maxiter": iterations}}[solver]
    run = getattr(scipy.sparse.linalg, solver)
    with np.errstate(over="ignore"):  # LSMR starts an estimate at 1e100, beyond float32
        return run(A, b, atol=0, btol=0, conlim=0, **options)[0]


def cholesky(A, b):
    gram = A.T @ A
    gram[np.diag_indices_from(gram)] += np.float32(1e-6) * np.trace(gram)
    return scipy.linalg.solve(gram, A.T @ b, assume_a="pos", overwrite_a=True, check_finite=False)


def test_solutions_from_few_rows_against_the_fastest_rival(benchmark, problem, report, tiny):
    A, b, exact = problem
    iterations = {
        solver: next(
            count for count in range(1, 40) if prediction_error(A, iterative(solver, A, b, count), exact) <= TOLERANCE
        )
        for solver in ("lsqr", "lsmr")
    }
    contenders = {
        "ours, uniform start": lambda: qi.least_squares(A, b, tolerance=TOLERANCE, start="uniform", rng=0),
        "ours, index start": lambda: qi.least_squares(A, b, tolerance=TOLERANCE, rng=0),
    } | {
        f"{solver} ({count} iterations)": lambda solver=solver, count=count: iterative(solver, A, b, count)
        for solver, count in iterations.items()
    }
    timed = side_by_side(contenders, 1 if tiny else 3)
    indexed = qi.as_sq_matrix(A)
    timed |= side_by_side(
        {"ours, warm": lambda: qi.least_squares(indexed, b, tolerance=TOLERANCE, rng=0)}, 1 if tiny else 3
    )
    seconds = {name: timing.median for name, (timing, _) in timed.items()}
    rivals = {name: seconds[name] for name in seconds if not name.startswith("ours")}
    fastest = min(rivals, key=lambda name: rivals[name])
    for name in [name for name in timed if name.startswith("ours")]:
        answer = timed[name][1]
        true = prediction_error(A, answer.x, exact)
        report(
            f"least_squares {A.shape} rank {RANK}, {name}: {seconds[name]:.3f} s, "
            f"{rivals[fastest] / seconds[name]:5.1f}x {fastest} (target {TARGET}x); {answer.method}, true error "
            f"{true:.2g}, certified {answer.error.high:.2g}"
        )
        assert answer.error.high <= TOLERANCE
        assert true <= TOLERANCE
    benchmark.extra_info.update(seconds=seconds, rival=fastest)
    benchmark.group = f"least_squares {A.shape} rank {RANK}"
    benchmark.pedantic(contenders["ours, uniform start"], rounds=1 if tiny else 5)


def test_solutions_from_few_rows_against_cholesky(problem, report):
    A, b, exact = problem
    started = time.perf_counter()
    x = cholesky(A, b)
    rival = time.perf_counter() - started
    timing, answer = side_by_side(
        {"ours": lambda: qi.least_squares(A, b, tolerance=TOLERANCE, start="uniform", rng=0)}, 3
    )["ours"]
    report(
        f"least_squares {A.shape} rank {RANK}: {rival / timing.median:6.0f}x Cholesky of the float32 normal equations, "
        f"{rival:.1f} s (target {TARGET_CHOLESKY}x), of error {prediction_error(A, x, exact):.2g}"
    )
    assert prediction_error(A, answer.x, exact) <= TOLERANCE


def test_solutions_from_few_rows_against_lapack_and_ridge_at_a_reduced_size(report, tiny):
    A, b, exact = system((400, 200) if tiny else REDUCED)
    once = {
        "lstsq(gelsd)": lambda: qi.baselines.exact_least_squares(A, b).x,
        "lstsq(gelsy)": lambda: qi.baselines.exact_least_squares(A, b, driver="gelsy").x,
        "normal equations": lambda: qi.baselines.normal_equations(A, b).x,
    } | {
        f"Ridge({solver})": lambda solver=solver: (
            qi.baselines.ridge(A, b, ridge=1e-8, solver=solver, tolerance=0.01, rng=0).x
        )
        for solver in ("cholesky", "lsqr", "sparse_cg")
    }
    slow = side_by_side(once, 1)
    timing, answer = side_by_side(
        {"ours": lambda: qi.least_squares(A, b, tolerance=TOLERANCE, start="uniform", rng=0)}, 5
    )["ours"]
    for name, (rival, x) in slow.items():
        report(
            f"least_squares {A.shape} rank {RANK}: {rival.median / timing.median:6.1f}x {name}, "
            f"{rival.median:.2f} s, of error {prediction_error(A, x, exact):.2g}"
        )
    assert prediction_error(A, answer.x, exact) <= TOLERANCE
