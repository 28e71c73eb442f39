"""Sparse least squares against LSQR and LSMR stopped at the first iteration that meets the accuracy, and `Ridge`.

A generated 10^6 x 10^4 matrix with 5 x 10^7 entries, rows of uneven lengths, noise 0.1 and 1 of |A x|. It is well
conditioned, so that 40 iterations of LSMR are the exact solution.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge
from test_tall_least_squares import ITERATIVE
from timing import side_by_side

import qinspired as qi

ACCURACIES = (0.1, 0.01, 1e-4)


def generated(tiny):
    m, n, per_row = (20_000, 300, 20) if tiny else (1_000_000, 10_000, 50)
    rng = np.random.default_rng(0)
    lengths = np.maximum(rng.poisson(per_row * rng.lognormal(0.0, 0.5, m) / np.exp(0.125)), 1)
    cols = rng.integers(n, size=int(lengths.sum()))
    data = rng.standard_normal(len(cols)).astype(np.float32)
    return sp.csr_array((data, cols, np.concatenate([[0], np.cumsum(lengths)])), shape=(m, n))


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_sparse_least_squares_at_every_accuracy(benchmark, noise, report, tiny):
    A = generated(tiny)
    rng = np.random.default_rng(1)
    fitted = A @ rng.standard_normal(A.shape[1])
    b = fitted + noise * np.linalg.norm(fitted) / np.sqrt(A.shape[0]) * rng.standard_normal(A.shape[0])
    compare(
        benchmark, f"sparse {A.shape[0]:,} x {A.shape[1]:,}, {A.nnz:,} entries, noise {noise:g}", A, b, report, tiny
    )


def compare(benchmark, name, A, b, report, tiny):
    exact = ITERATIVE["lsmr"](A, b, 40)
    length = np.linalg.norm(A @ exact)

    def error_of(x):
        return float(np.linalg.norm(A @ (getattr(x, "x", x) - exact)) / length)

    indexed = qi.as_sq_matrix(A)
    lines = [f"least squares {name}:"]
    count = 1
    for accuracy in ACCURACIES:
        while count < 100 and error_of(ITERATIVE["lsqr"](A, b, count)) > accuracy:
            count += 1 + count // 8
        measured = side_by_side(
            {
                "cold": partial(qi.least_squares, A, b, tolerance=accuracy, rng=0),
                "warm": partial(qi.least_squares, indexed, b, tolerance=accuracy, rng=0),
                f"lsqr({count})": partial(ITERATIVE["lsqr"], A, b, count),
                f"lsmr({count})": partial(ITERATIVE["lsmr"], A, b, count),
                "Ridge(sparse_cg)": lambda accuracy=accuracy: (
                    Ridge(alpha=1e-9, fit_intercept=False, solver="sparse_cg", tol=0.1 * accuracy).fit(A, b).coef_
                ),
            },
            1 if tiny else 2,
        )
        ours = {key: measured.pop(key) for key in ("cold", "warm")}
        met = {key: timing.median for key, (timing, x) in measured.items() if error_of(x) <= accuracy}
        if not met:
            lines.append(f"    {accuracy:7.0e}: no rival meets it in {count} iterations")
            continue
        fastest = min(met, key=lambda key: met[key])
        answer = ours["cold"][1]
        ratios = {key: met[fastest] / timing.median for key, (timing, _) in ours.items()}
        behind = "" if ratios["cold"] >= 0.9 else "  BEHIND"
        lines.append(
            f"    {accuracy:7.0e}: cold {ratios['cold']:5.2f}x, warm {ratios['warm']:5.2f}x of {fastest} "
            f"({met[fastest] * 1e3:.0f} ms); {answer.method}, true {error_of(answer):.1e}, certified "
            f"{answer.error.high:.1e}; {answer.status.split(': ')[-1]}{behind}"
        )
        assert error_of(answer) <= max(1.5 * answer.error.high, 1e-9)
    benchmark.pedantic(lambda: qi.least_squares(A, b, tolerance=0.1, rng=0), rounds=1)
    report("\n".join(lines))
