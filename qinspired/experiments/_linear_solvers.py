"""The solvers of the linear task: exact, iterative, of low rank, quantum, and qinspired's own."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qinspired import baselines, reference
from qinspired.access import CountingMatrix, as_sq_matrix
from qinspired.algorithms import least_squares
from qinspired.experiments._task import Answer, Solver, Task, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired.algorithms import LeastSquaresSolution
    from qinspired.baselines import LeastSquaresResult

__all__ = [
    "exact_least_squares",
    "fkv_solve",
    "hhl",
    "linear_solvers",
    "lsqr",
    "normal_equations",
    "randomized_pinv",
    "ridge",
    "sampled_least_squares",
]

# The penalty given to scikit-learn's Ridge, relative to |A|_F^2: too small to change the answer.
_TINY_RIDGE = 1e-12


def linear_solvers() -> list[Solver]:
    """Return every solver that `qinspired compare` runs on a linear task."""
    return [
        exact_least_squares(),
        normal_equations(),
        *(ridge(solver=solver) for solver in ("cholesky", "svd", "lsqr", "sag")),
        lsqr(),
        *(sampled_least_squares(method=method) for method in ("auto", "rows", "kaczmarz")),
    ]


def exact_least_squares() -> Solver:
    """LAPACK's divide-and-conquer SVD."""
    return _rival(
        "lstsq (LAPACK)",
        lambda task, _: baselines.exact_least_squares(task.A, task.right_hand_side),
        lambda _: 1,
        cubic=True,
        dense=True,
    )


def normal_equations() -> Solver:
    """Cholesky factorisation of A^T A."""
    return _rival(
        "normal equations",
        lambda task, _: baselines.normal_equations(task.A, task.right_hand_side),
        lambda _: 2,
    )


def ridge(*, solver: Any = "cholesky") -> Solver:
    """scikit-learn's Ridge with a vanishing penalty; iterative solvers to the tolerance asked."""
    passes: dict[str, Callable[[LeastSquaresResult], int | None]] = {
        "cholesky": lambda _: 2,
        "svd": lambda _: 1,
        "lsqr": lambda found: None if found.n_iter is None else 2 * found.n_iter + 1,
        "sag": lambda found: found.n_iter,
    }

    def solve(task: Task, seed: int) -> LeastSquaresResult:
        penalty = _TINY_RIDGE * _frobenius_sq(task.A)
        return baselines.ridge(
            task.A, task.right_hand_side, ridge=penalty, solver=solver, tolerance=task.tolerance, rng=seed
        )

    iterative = solver not in ("cholesky", "svd")
    name = f"Ridge {solver}, tol as asked" if iterative else f"Ridge {solver}"
    return _rival(name, solve, passes.get(solver, lambda _: None), cubic=solver == "svd")


def lsqr() -> Solver:
    """Return scipy's LSQR at the tolerance asked."""
    return _rival(
        "LSQR, tol as asked",
        lambda task, _: baselines.lsqr(task.A, task.right_hand_side, tolerance=task.tolerance),
        lambda found: None if found.n_iter is None else 2 * found.n_iter + 1,
    )


def randomized_pinv(*, n_iter: Any = "auto") -> Solver:
    """A_k^+ b from a randomized SVD of rank k."""

    def solve(task: Task, seed: int) -> Answer:
        found = baselines.randomized_svd(task.A, task.rank, n_iter=n_iter, rng=seed)
        started = time.perf_counter()
        V = found.components.T.astype(np.float64)
        image = task.A.T @ task.right_hand_side
        x = V @ ((V.T @ image) / found.singular_values.astype(np.float64) ** 2)
        seconds = found.seconds + time.perf_counter() - started
        rule = 7 if task.rank < 0.1 * min(task.A.shape) else 4  # scikit-learn's
        passes = 2 * (rule if n_iter == "auto" else n_iter) + 3
        return Answer(x, found.method, 0.0, seconds, 0, passes * stored_bytes(task.A))

    return Solver("randomized_svd, pseudo-inverse", ours=False, solve=solve)


def sampled_least_squares(*, method: str = "auto") -> Solver:
    """`qinspired.least_squares`."""

    def solve(task: Task, seed: int) -> Answer:
        started = time.perf_counter()
        matrix = as_sq_matrix(task.A)
        ready = time.perf_counter()
        found = cast(
            "LeastSquaresSolution",
            least_squares(matrix, task.right_hand_side, tolerance=task.tolerance, method=method, rng=seed),
        )
        done = time.perf_counter()
        return Answer(
            value=found.x,
            method=found.method,
            setup_seconds=ready - started,
            solve_seconds=done - ready,
            setup_bytes=stored_bytes(task.A),
            solve_bytes=found.stats.bytes_read,
            certified=found.error,
        )

    return Solver(f"qinspired least_squares, {method}", ours=True, solve=solve)


def fkv_solve(*, n_rows: int | None = None, n_cols: int | None = None) -> Solver:
    """Return the published linear solver with its coefficients computed exactly."""

    def solve(task: Task, seed: int) -> Answer:
        size = max(math.ceil(task.rank / task.tolerance), task.rank)
        started = time.perf_counter()
        matrix = CountingMatrix(as_sq_matrix(task.A))
        ready = time.perf_counter()
        found = reference.fkv(matrix, task.rank, n_rows=n_rows or size, n_cols=n_cols or size, rng=seed)
        x = found.solve(task.right_hand_side).to_array()
        done = time.perf_counter()
        return Answer(
            value=np.asarray(x, dtype=np.float64),
            method=f"fkv, {n_rows or size} rows x {n_cols or size} columns",
            setup_seconds=ready - started,
            solve_seconds=done - ready,
            setup_bytes=stored_bytes(task.A),
            solve_bytes=matrix.bytes_read,
        )

    return Solver("reference FKV (as published)", ours=True, solve=solve)


def hhl(*, n_clock_qubits: Any = "auto") -> Solver:
    """Return the HHL circuit, simulated exactly; the simulator's seconds are never reported as a time."""

    def solve(task: Task, seed: int) -> Answer:
        del seed  # the exact output of the circuit; nothing is drawn
        found = baselines.hhl(task.A, task.right_hand_side, n_clock_qubits=n_clock_qubits)
        return Answer(
            value=np.real(found.x).astype(np.float64),
            method=f"HHL, {found.parameters['n_clock_qubits']} clock qubits",
            setup_seconds=math.nan,
            solve_seconds=math.nan,
            setup_bytes=0,
            solve_bytes=None,
            figures={
                "simulator_seconds": found.simulation_seconds,
                "success_probability": found.success_probability,
                "queries_per_run": found.n_queries,
                "expected_runs": found.expected_runs,
                "qubits": found.n_qubits,
                "fidelity": found.fidelity,
            },
        )

    return Solver("HHL (simulator, not quantum time)", ours=False, solve=solve, cubic=True, dense=True)


def _rival(
    name: str,
    solve: Callable[[Task, int], LeastSquaresResult],
    passes: Callable[[LeastSquaresResult], int | None],
    *,
    cubic: bool = False,
    dense: bool = False,
) -> Solver:
    def answer(task: Task, seed: int) -> Answer:
        found = solve(task, seed)
        count = passes(found)
        return Answer(
            value=found.x,
            method=found.method,
            setup_seconds=0.0,
            solve_seconds=found.seconds,
            setup_bytes=0,
            solve_bytes=None if count is None else count * stored_bytes(task.A),
        )

    return Solver(name, ours=False, solve=answer, cubic=cubic, dense=dense)


def _frobenius_sq(A: Any) -> float:
    entries = A if isinstance(A, np.ndarray) else A.data
    return float(np.vdot(entries, entries).real)
