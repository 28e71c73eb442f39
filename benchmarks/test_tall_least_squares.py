"""Least squares on tall dense systems at accuracies from 10 % to 1e-10, against the fastest rival at each.

200,000 x 500 and 2,000,000 x 100 float64, condition numbers 1.1, 5 and 20, noise of 0, 0.1 and 1 of |A x|. Rivals:
LSQR and LSMR stopped at the first iteration that meets the accuracy (they are told the answer), normal equations,
SciPy's `clarkson_woodruff_transform` followed by a solve, and for reference one run each of LAPACK's gelsd and of
scikit-learn's `SGDRegressor`. "auto" is asked for the accuracy, with its index built in the call, with one, and
without.
"""

from __future__ import annotations

import os
import time
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
from sklearn.linear_model import SGDRegressor
from timing import side_by_side

import qinspired as qi

ACCURACIES = (0.1, 0.05, 0.01, 1e-3, 1e-6, 1e-10)
SHAPES = {"200,000 x 500": (200_000, 500), "2,000,000 x 100": (2_000_000, 100)}
_MOST_ITERATIONS = 100


@pytest.fixture(scope="module", params=list(SHAPES))
def shape(request, tiny):
    m, n = SHAPES[request.param]
    return (m // 50, n // 5) if tiny else (m, n)


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("kappa", [1.1, 5.0, 20.0])
def test_tall_least_squares_at_every_accuracy(benchmark, shape, kappa, noise, report, tiny):
    problem = qi.problems.linear_system(
        shape, column_scales=np.linspace(kappa, 1, shape[1]), noise=noise, rng=np.random.default_rng(0)
    )
    A, b = problem.A, problem.b
    exact = refined(A, b)
    rounds = 1 if tiny else int(os.environ.get("QINSPIRED_BENCH_ROUNDS", "3"))
    indexed = qi.as_sq_matrix(A)
    benchmark.pedantic(lambda: qi.least_squares(A, b, tolerance=0.05, rng=0), rounds=1)
    lines = [f"tall least squares {shape[0]:,} x {shape[1]}, kappa {kappa:g}, noise {noise:g}:"]
    counts = {name: iterations_needed(run, A, b, exact) for name, run in ITERATIVE.items()}
    normal = side_by_side({"normal equations": lambda: qi.baselines.normal_equations(A, b).x}, rounds)
    fixed = {name: (timing.median, error_of(A, x, exact)) for name, (timing, x) in normal.items()}
    for accuracy in ACCURACIES[::3] if tiny else ACCURACIES:
        contenders = {
            "cold": partial(qi.least_squares, A, b, tolerance=accuracy, rng=0),
            "warm": partial(qi.least_squares, indexed, b, tolerance=accuracy, rng=0),
            "no index": partial(qi.least_squares, A, b, tolerance=accuracy, start="uniform", rng=0),
        }
        for name, run in ITERATIVE.items():
            count = counts[name].get(accuracy)
            if count is not None:
                contenders[f"{name}({count})"] = partial(run, A, b, count)
        rows = sketch_rows(A.shape, noise, accuracy)
        if rows is not None:
            contenders[f"clarkson_woodruff({rows})"] = partial(sketch_and_solve, A, b, rows)
        measured = side_by_side(contenders, rounds)
        ours = {name: measured.pop(name) for name in ("cold", "warm", "no index")}
        seconds = {name: (timing.median, error_of(A, x, exact)) for name, (timing, x) in measured.items()} | fixed
        met = [name for name in seconds if seconds[name][1] <= max(accuracy, 2e-12)]
        fastest = min(met, key=lambda name: seconds[name][0])
        answer = ours["cold"][1]
        true = error_of(A, answer.x, exact)
        ratios = {name: seconds[fastest][0] / timing.median for name, (timing, _) in ours.items()}
        behind = "" if ratios["cold"] >= 0.9 else "  BEHIND"
        lines.append(
            f"    {accuracy:7.0e}: cold {ratios['cold']:5.2f}x, warm {ratios['warm']:5.2f}x, no index "
            f"{ratios['no index']:5.2f}x of {fastest} ({seconds[fastest][0] * 1e3:.0f} ms); {answer.method}, true "
            f"{true:.1e}, certified {answer.error.high:.1e}{behind}"
        )
        # A certificate at 95 % may be wrong one time in forty; far wrong it must not be.
        assert true <= max(1.5 * answer.error.high, 2e-12)
    report("\n".join(lines))


def test_reference_solvers_once(benchmark, shape, report, tiny):
    problem = qi.problems.linear_system(shape, column_scales=np.linspace(5, 1, shape[1]), noise=0.1, rng=0)
    A, b = problem.A, problem.b
    exact = refined(A, b)
    runs = {
        "normal equations": lambda: qi.baselines.normal_equations(A, b).x,
        "lstsq(gelsd)": lambda: qi.baselines.exact_least_squares(A, b).x,
        "SGDRegressor": lambda: (
            SGDRegressor(alpha=0.0, penalty=None, fit_intercept=False, max_iter=1 if tiny else 5, tol=None)
            .fit(A / np.abs(A).max(), b)
            .coef_
            / np.abs(A).max()
        ),
    }
    lines = []
    for name, run in runs.items():
        started = time.perf_counter()
        x = run()
        lines.append(f"    {name}: {time.perf_counter() - started:.2f} s, error {error_of(A, x, exact):.1e}")
    benchmark.pedantic(lambda: None, rounds=1)
    report(f"reference solvers, one run each, {shape[0]:,} x {shape[1]}, kappa 5, noise 0.1:\n" + "\n".join(lines))


def lsqr(A, b, count):
    return scipy.sparse.linalg.lsqr(A, b, atol=0, btol=0, conlim=0, iter_lim=count)[0]


def lsmr(A, b, count):
    return scipy.sparse.linalg.lsmr(A, b, atol=0, btol=0, conlim=0, maxiter=count)[0]


ITERATIVE = {"lsqr": lsqr, "lsmr": lsmr}


def iterations_needed(run, A, b, exact):
    """Return for each accuracy the first count of iterations that meets it, from the same problem with n rows.

    The iterations see A by its singular values and b by its coefficients, which the triangle R of A = Q R and Q^T b
    share with them, so that counting is cheap.
    """
    gram = A.T @ A
    R = scipy.linalg.cholesky(gram)
    reduced = scipy.linalg.solve_triangular(R, A.T @ b, trans="T")
    counts = {}
    count = 1
    for accuracy in ACCURACIES:
        while count <= _MOST_ITERATIONS and error_of(R, run(R, reduced, count), exact) > accuracy:
            count += 1
        if count > _MOST_ITERATIONS:
            break
        counts[accuracy] = count
    return counts


def sketch_rows(shape, noise, accuracy):
    """Return the rows of a sketch whose solution has about the accuracy, or none where it would not be small."""
    m, n = shape
    rows = int(n * (1.2 + (noise / accuracy) ** 2)) + 1
    return rows if rows <= m // 8 else None


def sketch_and_solve(A, b, rows):
    both = scipy.linalg.clarkson_woodruff_transform(np.column_stack([A, b]), rows, rng=0)
    return np.linalg.lstsq(both[:, :-1], both[:, -1], rcond=None)[0]


def refined(A, b):
    gram = scipy.linalg.cho_factor(A.T @ A)
    x = scipy.linalg.cho_solve(gram, A.T @ b)
    for _ in range(2):
        x += scipy.linalg.cho_solve(gram, A.T @ (b - A @ x))
    return x


def error_of(A, x, exact):
    x = getattr(x, "x", x)
    return float(np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact))
