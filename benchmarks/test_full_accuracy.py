"""Least squares to full accuracy on a tall 200,000 x 500 float64 matrix, well and ill conditioned.

Singular values fall geometrically from 1 to 1 / kappa; the residual is a hundredth of |A x| or 1e-8 of it. Rivals:
LAPACK's lstsq (gelsd, gelsy), normal equations, LSQR stopped at 100 iterations, and sketch-and-solve with scipy's
Clarkson-Woodruff transform. Of each: the time over ours, the backward error (Karlson and Walden's estimate, relative to
|A|_F), and |x - x*| / |x*|. The residuals behind them, and the reference, are computed in extended precision.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
from timing import side_by_side

import qinspired as qi

KAPPAS = (1.0, 1e3, 1e6, 1e10)
RESIDUALS = {"large residual": 1e-2, "small residual": 1e-8}


@pytest.fixture(scope="module", params=KAPPAS, ids=[f"kappa {kappa:.0e}" for kappa in KAPPAS])
def matrix(request, tiny):
    m, n = (4000, 40) if tiny else (200_000, 500)
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, n))
    right = np.linalg.qr(rng.standard_normal((n, n)))[0] * np.geomspace(1, 1 / request.param, n) / np.sqrt(m)
    for start in range(0, m, 10_000):
        A[start : start + 10_000] = A[start : start + 10_000] @ right.T
    return A, np.linalg.qr(A, mode="r"), request.param


@pytest.mark.parametrize("residual", RESIDUALS)
def test_full_accuracy_against_lapack(benchmark, matrix, residual, report, tiny):
    A, R, kappa = matrix
    m, n = A.shape
    rng = np.random.default_rng(1)
    fitted = A @ rng.standard_normal(n)
    noise = rng.standard_normal(m)
    b = fitted + RESIDUALS[residual] * np.linalg.norm(fitted) / np.linalg.norm(noise) * noise
    reference = refined(A, b, R)
    quick = {
        "sketched": lambda: qi.least_squares(A, b, tolerance=1e-12, method="sketched", rng=0).x,
        "exact": lambda: qi.least_squares(A, b, tolerance=1e-12, method="exact", rng=0).x,
        "normal equations": lambda: normal_equations(A, b),
    }
    slow = {
        "gelsd": lambda: scipy.linalg.lstsq(A, b, check_finite=False)[0],
        "gelsy": lambda: scipy.linalg.lstsq(A, b, lapack_driver="gelsy", check_finite=False)[0],
        "lsqr(100)": lambda: scipy.sparse.linalg.lsqr(A, b, atol=0, btol=0, conlim=0, iter_lim=100)[0],
        "sketch-and-solve": lambda: sketch_and_solve(A, b),
    }
    timed = side_by_side(quick, 1 if tiny else 5) | side_by_side(slow, 1)
    errors = {name: backward_error(A, b, R, x) for name, (_, x) in timed.items()}
    off = {name: float(np.linalg.norm(x - reference) / np.linalg.norm(reference)) for name, (_, x) in timed.items()}
    seconds = {name: timing.median for name, (timing, _) in timed.items()}
    certified = qi.least_squares(A, b, tolerance=1e-12, method="exact", rng=0)
    true = qi.metrics.prediction_error(A, certified.x, reference.astype(np.float64))
    benchmark.extra_info.update(
        seconds=seconds, backward=errors, forward=off, certified=certified.error.high, true=true
    )
    benchmark.group = f"full accuracy {A.shape} kappa {kappa:.0e} {residual}"
    benchmark.pedantic(quick["sketched"], rounds=1)
    report(f"full accuracy, kappa {kappa:.0e}, {residual}: certified {certified.error.high:.1g}, true {true:.1g}")
    for name in timed:
        ratios = " ".join(f"{seconds[name] / seconds[ours]:6.2f}x {ours}" for ours in ("sketched", "exact"))
        report(f"  {name:17s} {seconds[name]:7.2f} s, {ratios}, backward {errors[name]:.1g}, forward {off[name]:.1g}")
    assert errors["sketched"] <= max(10 * errors["gelsd"], 1e-15)
    assert errors["exact"] <= max(10 * errors["gelsd"], 1e-15)
    assert true <= certified.error.high


def normal_equations(A, b):
    gram, rhs = np.zeros((A.shape[1],) * 2), np.zeros(A.shape[1])
    for start in range(0, len(b), 8000):
        block = A[start : start + 8000]
        gram += block.T @ block
        rhs += block.T @ b[start : start + 8000]
    try:
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram), rhs)
    except np.linalg.LinAlgError:
        return np.full(len(rhs), np.inf)


def sketch_and_solve(A, b):
    stacked = np.column_stack([A, b])
    sketch = scipy.linalg.clarkson_woodruff_transform(stacked, 8 * A.shape[1], rng=0)
    return scipy.linalg.lstsq(sketch[:, :-1], sketch[:, -1], check_finite=False)[0]


def gradient(A, b, x):
    """Return A^T r and |r| for r = b - A x, in extended precision."""
    total, square = np.zeros(A.shape[1], dtype=np.longdouble), np.longdouble(0)
    for start in range(0, len(b), 2000):
        block = A[start : start + 2000].astype(np.longdouble)
        r = b[start : start + 2000] - block @ x
        total += r @ block
        square += r @ r
    return total, np.sqrt(square)


def refined(A, b, R):
    x = np.zeros(A.shape[1], dtype=np.longdouble)
    for _ in range(4):
        y = scipy.linalg.solve_triangular(R, gradient(A, b, x)[0].astype(np.float64), trans=1)
        x = x + scipy.linalg.solve_triangular(R, y)
    return x


def backward_error(A, b, R, x):
    """Return Karlson and Walden's estimate of the least |E|_F / |A|_F for which x solves the problem with A + E."""
    if not np.isfinite(x).all():
        return np.inf
    total, residual = gradient(A, b, x)
    length = np.linalg.norm(x)
    _, sizes, directions = scipy.linalg.svd(R)
    weights = np.sqrt(sizes**2 + float(residual / length) ** 2)
    return float(np.linalg.norm(directions @ total.astype(np.float64) / weights) / length / np.linalg.norm(R))
