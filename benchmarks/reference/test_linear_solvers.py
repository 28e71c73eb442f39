"""The three published solvers beside an exact one and `least_squares`: error, time, and what grows with the size.

The systems are consistent and of exact rank, the best case for each of them. Compilation is outside the times.
"""

from __future__ import annotations

import numpy as np
import pytest
from timing import side_by_side

import qinspired as qi
from qinspired.reference import glt_regression, gst_regression, shao_montanaro_kaczmarz


def relative(x, exact):
    return float(np.linalg.norm(x - exact) / np.linalg.norm(exact))


def solvers(matrix, b, rank, sigma):
    """Return calls by name, each of a seed; matrix is indexed already."""
    F_sq = matrix.frobenius_norm**2
    kappa_sq = F_sq / sigma[-1] ** 2
    sampled = {"n_rows": 200, "n_cols": 200, "n_estimates": 50}
    gradient = {"step": 0.05, "n_steps": int(40 * kappa_sq), "n_cols": 4}
    return {
        "GLT": lambda seed: glt_regression(matrix, b, rank, rng=seed, **sampled),
        "GLT, rows by b": lambda seed: glt_regression(
            matrix, b, rank, draw_by="rhs", whole_rows=True, shared_draws=True, rng=seed, **sampled
        ),
        "GST": lambda seed: gst_regression(matrix, b, rng=seed, **gradient),
        "GST, b drawn": lambda seed: gst_regression(matrix, b, n_rhs=2000, rng=seed, **gradient),
        "SM, d = 1000": lambda seed: shao_montanaro_kaczmarz(matrix, b, int(6 * kappa_sq), n_cols=1000, rng=seed),
        "Kaczmarz": lambda seed: shao_montanaro_kaczmarz(matrix, b, int(6 * kappa_sq), rng=seed),
    }


def compare(calls, rivals, exact, n_seeds, rounds):
    """Return the median error and the seconds of each call and rival, the errors over seeds."""
    errors = {
        name: float(np.median([relative(run(seed).to_array(), exact) for seed in range(n_seeds)]))
        for name, run in calls.items()
    }
    errors |= {name: relative(run(), exact) for name, run in rivals.items()}
    timed = side_by_side({name: lambda run=run: run(0) for name, run in calls.items()} | rivals, rounds)
    return {name: (errors[name], timed[name][0].median) for name in errors}


def told(found):
    return "; ".join(f"{name} {error:.2g} in {1e3 * seconds:.2f} ms" for name, (error, seconds) in found.items())


def test_the_linear_example(benchmark, linear, report, tiny):
    A, b = linear.A, linear.b
    calls = solvers(qi.as_sq_matrix(A), b, 3, np.linalg.svd(A)[1][:3])
    rivals = {
        "lstsq": lambda: np.linalg.lstsq(A, b)[0],
        "least_squares": lambda: qi.least_squares(A, b, method="rows", rng=0).x,
    }
    found = compare(calls, rivals, linear.x, 2 if tiny else 40, 1 if tiny else 21)
    benchmark.extra_info.update({name: list(pair) for name, pair in found.items()})
    benchmark.pedantic(lambda: calls["GLT"](0), rounds=1 if tiny else 20)
    report(f"linear, indexed: error and time of {told(found)} (published code: 0.58 in 351 ms, lstsq 5.5 ms)")
    assert found["Kaczmarz"][0] < 1e-2
    assert found["least_squares"][0] < 1e-10
    if not tiny:
        assert 0.2 < found["GLT"][0] < 0.85


def test_the_portfolio(benchmark, data_dir, report, tiny):
    S, returns = (np.load(data_dir / "xanadu" / f"SnP500_{name}.npy") for name in ("correlation", "returns"))
    A = np.block([[np.zeros((1, 1)), returns[None, :]], [returns[:, None], S]])
    b = np.append(returns.mean(), np.zeros(len(returns)))
    matrix, true = qi.as_sq_matrix(A), np.linalg.solve(A, b)
    sizes = {"n_rows": 340, "n_cols": 340, "n_estimates": 10, "draw_by": "rhs"}
    calls = {"GLT, rank 5": lambda seed: glt_regression(matrix, b, 5, rng=seed, **sizes)}
    rivals = {
        "solve": lambda: np.linalg.solve(A, b),
        "least_squares": lambda: qi.least_squares(A, b, rng=0).x,
    }
    found = compare(calls, rivals, true, 2 if tiny else 20, 1 if tiny else 21)
    benchmark.extra_info.update({name: list(pair) for name, pair in found.items()})
    benchmark.pedantic(lambda: calls["GLT, rank 5"](0), rounds=1 if tiny else 20)
    report(f"portfolio, distance from the true solution and time of {told(found)} (published code: 1.0 in 578 ms)")
    assert found["least_squares"][0] < 1e-6


def test_gradient_steps_of_the_default_sizes(benchmark, linear, report, tiny):
    sigma = np.linalg.svd(linear.A)[1][:3]
    matrix = qi.as_sq_matrix(linear.A)
    line = []
    for tolerance in (0.5, 0.3) if tiny else (0.5, 0.3, 0.2, 0.1):
        limits = {"sigma_min": sigma[-1], "sigma_max": sigma[0], "tolerance": tolerance}
        errors = []
        for seed in range(2 if tiny else 10):
            found = gst_regression(matrix, linear.b, rng=seed, **limits)
            errors.append(relative(found.to_array(), linear.x))
        size = float(np.sqrt(np.mean(np.square(errors))))
        line.append(f"{tolerance}: {size:.3f} after {found.n_steps} steps, {1e3 * found.stats.seconds:.0f} ms")
        assert size < tolerance
    benchmark.pedantic(lambda: gst_regression(matrix, linear.b, rng=0, **limits), rounds=1 if tiny else 3)
    report(f"GST with the default sizes, root mean square error at a tolerance of {', '.join(line)}")


@pytest.mark.parametrize("shape", [(500, 250), (4000, 2000), (100_000, 500), (2000, 20_000)])
def test_the_time_after_the_index_by_the_size_of_the_matrix(benchmark, report, tiny, shape):
    shape = (500, 250) if tiny else shape
    problem = qi.problems.linear_system(shape, rank=3, kappa=3.0, rng=0)
    matrix = qi.as_sq_matrix(problem.A)
    calls = solvers(matrix, problem.b, 3, np.geomspace(1.0, 1.0 / 3.0, 3))
    rivals = {"least_squares": lambda: qi.least_squares(matrix, problem.b, method="dual", rng=0).x}
    found = compare(calls, rivals, problem.x_true, 1 if tiny else 10, 1 if tiny else 7)
    benchmark.extra_info.update({name: list(pair) for name, pair in found.items()})
    benchmark.pedantic(lambda: calls["GLT"](0), rounds=1 if tiny else 5)
    report(f"{shape[0]} x {shape[1]} of rank 3, indexed: error and time of {told(found)}")


def test_columns_drawn_for_kaczmarz_in_a_wide_system(benchmark, report, tiny):
    shape = (400, 2000) if tiny else (400, 100_000)
    problem = qi.problems.linear_system(shape, rank=10, kappa=3.0, rng=0)
    matrix, b = qi.as_sq_matrix(problem.A), problem.b
    steps = 60 if tiny else 300
    calls = {
        f"{steps} steps, d = {d}": lambda seed, d=d: shao_montanaro_kaczmarz(matrix, b, steps, n_cols=d, rng=seed)
        for d in ((100,) if tiny else (100, 1000))
    }
    calls["computed"] = lambda seed: shao_montanaro_kaczmarz(matrix, b, steps, rng=seed)
    rivals = {"20 rows, LAPACK": lambda: np.linalg.lstsq(problem.A[:20], b[:20], rcond=1e-10)[0]}
    found = compare(calls, rivals, problem.x_true, 1 if tiny else 3, 1 if tiny else 3)
    benchmark.extra_info.update({name: list(pair) for name, pair in found.items()})
    benchmark.pedantic(lambda: calls["computed"](0), rounds=1 if tiny else 3)
    report(f"Kaczmarz on {shape[0]} x {shape[1]} of rank 10, indexed: error and time of {told(found)}")
