"""f(A^T A) from drawn rows of a dense 40,000 x 2,000 matrix against scipy's dense eigensolver.

The matrix: rank-20 signal with singular values 3 to 1 plus noise. The exact rival forms A^T A and takes it apart with
`scipy.linalg.eigh`; for the ridge inverse there is also conjugate gradients on A, stopped at the error that the drawn
rows reach. "cold" includes the index, "warm" does not.
"""

from __future__ import annotations

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
