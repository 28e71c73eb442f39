"""f(A^T A) from drawn rows of a dense 40,000 x 2,000 matrix against scipy's dense eigensolver.

The matrix: rank-20 signal with singular values 3 to 1 plus noise. The exact rival forms A^T A and takes it apart with
`scipy.linalg.eigh`; for the ridge inverse there is also conjugate gradients on A, stopped at the error that the drawn
rows reach. "cold" includes the index, "warm" does not.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, cg
from timing import side_by_side

import qinspired as qi

RANK = 20


@pytest.fixture(scope="module")
def problem(tiny):
    """A, its squared singular values, right singular vectors, and a ridge as large as the smallest of the signal."""
    shape = (2000, 100) if tiny else (40_000, 2000)
    A = qi.problems.low_rank_matrix(shape, RANK, kappa=3.0, noise=0.1, rng=0).A
    values, vectors = scipy.linalg.eigh(A.T @ A)
    values = np.maximum(values, 0.0)
    return A, values, vectors, values[-RANK]


def functions(ridge):
    return {"ridge": (ridge, lambda x: 1.0 / (x + ridge)), "sqrt": (None, np.sqrt)}


def true_error(answer, values, vectors, f):
    """|answer - f(A^T A)|_F / |f(A^T A) - f(0) I|_F."""
    increments = f(values) - answer.at_zero
    difference = answer.matmat(vectors) - vectors * (increments + answer.at_zero)
    return float(np.linalg.norm(difference) / np.linalg.norm(increments))


@pytest.mark.parametrize("start", ["cold", "warm"])
@pytest.mark.parametrize("name", ["ridge", "sqrt"])
def test_function_and_its_product_against_dense_eigh(benchmark, problem, report, tiny, name, start):
    A, values, vectors, ridge = problem
    parameter, f = functions(ridge)[name]
    source = A if start == "cold" else qi.as_sq_matrix(A)
    x = np.random.default_rng(1).standard_normal(A.shape[1])
    n_draws = 200 if tiny else 1000

    def ours():
        answer = qi.matrix_function(source, name, parameter=parameter, n_draws=n_draws, rng=0)
        return answer, answer @ x

    def dense_eigh():
        eigenvalues, basis = scipy.linalg.eigh(A.T @ A, check_finite=False, driver="evd")
        return basis @ (f(np.maximum(eigenvalues, 0.0)) * (basis.T @ x))

    timed = side_by_side({"ours": ours, "eigh": dense_eigh}, 1 if tiny else 3)
    mine, (answer, product) = timed["ours"]
    theirs, exact = timed["eigh"]
    error = true_error(answer, values, vectors, f)
    vector_error = float(np.linalg.norm(product - exact) / np.linalg.norm(exact))
    line = (
        f"matrix_function {name} {A.shape} {start}: {theirs.median / mine.median:6.1f}x scipy eigh; true error "
        f"{error:.4f}, certified {answer.error}, of a product {vector_error:.4f}"
    )
    if name == "ridge":
        operator = LinearOperator((len(x), len(x)), matvec=lambda v: A.T @ (A @ v) + ridge * v, dtype=np.float64)
        tolerance = vector_error * float(np.linalg.norm(exact)) * ridge / float(np.linalg.norm(x))
        solved = side_by_side({"cg": lambda: cg(operator, x, rtol=tolerance)[0]}, 1 if tiny else 3)["cg"]
        line += (
            f"; one product by conjugate gradients {solved[0].median / mine.median:.1f}x ours, error "
            f"{np.linalg.norm(solved[1] - exact) / np.linalg.norm(exact):.4f}"
        )
    benchmark.extra_info.update(true_error=error, certified=answer.error.high, ratio=theirs.median / mine.median)
    benchmark.pedantic(ours, rounds=1 if tiny else 3)
    report(line)
    assert error <= 1.2 * answer.error.high


@pytest.mark.parametrize("name", ["ridge", "sqrt"])
def test_the_error_against_the_number_of_draws(benchmark, problem, report, tiny, name):
    A, values, vectors, ridge = problem
    parameter, f = functions(ridge)[name]
    source = qi.as_sq_matrix(A)
    sizes = [200, 400] if tiny else [250, 500, 1000, 2000]

    def run():
        return [
            np.mean(
                [
                    true_error(
                        qi.matrix_function(source, name, parameter=parameter, n_draws=r, rng=s), values, vectors, f
                    )
                    for s in range(2)
                ]
            )
            for r in sizes
        ]

    errors = benchmark.pedantic(run, rounds=1)
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    benchmark.extra_info.update(slope=slope)
    report(
        f"matrix_function {name}: error {', '.join(f'{e:.4f}' for e in errors)} at {sizes} draws, slope {slope:.2f} "
        "(law -0.5 where the draws resolve the spectrum)"
    )
    assert slope < -0.2


def small_matrices():
    rng = np.random.default_rng(0)
    m, n = 1500, 120
    spectra = {
        "gapped": np.concatenate([np.geomspace(3.0, 1.0, 8), np.full(n - 8, 0.1)]),
        "1/j": 1.0 / np.arange(1, n + 1),
        "1/sqrt(j)": np.arange(1, n + 1) ** -0.5,
        "0.9^j": 0.9 ** np.arange(n),
        "rank 3": np.r_[3.0, 2.0, 1.0, np.zeros(n - 3)],
    }
    found = {}
    for name, values in spectra.items():
        U, V = np.linalg.qr(rng.standard_normal((m, n)))[0], np.linalg.qr(rng.standard_normal((n, n)))[0]
        found[name] = (U * values) @ V.T
    found["noise"] = rng.standard_normal((m, n))
    found["row-skewed"] = np.exp(rng.standard_normal(m))[:, None] * found["gapped"]
    return {name: A / np.linalg.norm(A) for name, A in found.items()}


# Of matrices with |A|_F = 1, whose eigenvalues are about 1 / 120 on average.
SMALL_FUNCTIONS = {
    "ridge 1": ("ridge", 1.0),
    "ridge 0.01": ("ridge", 0.01),
    "ridge 0.0001": ("ridge", 1e-4),
    "sqrt": ("sqrt", None),
    "exp -30": ("exp", -30.0),
    "x^2": (np.square, None),
    "log(1 + 100 x)": (lambda x: np.log1p(100.0 * x), None),
}


@pytest.mark.parametrize("n_draws", [50, 400])
def test_coverage_of_the_error(benchmark, report, tiny, n_draws):
    seeds = int(os.environ.get("QINSPIRED_BENCH_SEEDS", "5" if tiny else "100"))
    lines = []

    def run():
        for kind, A in small_matrices().items():
            matrix = qi.as_sq_matrix(A)
            for name, (f, parameter) in SMALL_FUNCTIONS.items():
                known = qi.matrix_function(A, f, parameter=parameter, n_draws=len(A))
                exact, at_zero = known.to_array(), known.at_zero
                scale = np.linalg.norm(exact - at_zero * np.eye(len(exact)))
                covered, ratios, widths = 0, [], []
                for seed in range(seeds):
                    answer = qi.matrix_function(matrix, f, parameter=parameter, n_draws=n_draws, rng=seed)
                    true = np.linalg.norm(answer.to_array() - exact) / scale
                    covered += answer.error.low <= true * (1 + 1e-9) and true <= answer.error.high * (1 + 1e-9) + 1e-12
                    ratios.append(answer.error.value / max(true, 1e-12))
                    widths.append(answer.error.high / max(answer.error.low, 1e-12))
                lines.append((covered / seeds, float(np.median(ratios)), float(np.median(widths)), f"{kind}, {name}"))

    benchmark.pedantic(run, rounds=1)
    for share, ratio, width, what in lines:
        report(
            f"matrix_function of {what}, {n_draws} draws: covers {share:.0%} of {seeds} seeds, estimate / true "
            f"{ratio:.2f}, upper / lower end {width:.1f}"
        )
