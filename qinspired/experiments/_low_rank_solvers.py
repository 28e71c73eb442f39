"""The solvers of the low-rank task: exact, iterative, randomized, and qinspired's own."""

from __future__ import annotations

import math
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse.linalg

from qinspired import baselines, reference
from qinspired.access import CountingMatrix, as_sq_matrix
from qinspired.algorithms import low_rank
from qinspired.experiments._task import Answer, Solver, Task, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired.baselines import SVDResult

__all__ = [
    "exact_svd",
    "fbpca",
    "fkv",
    "low_rank_solvers",
    "randomized_svd",
    "sampled_low_rank",
    "svds",
    "truncated_svd",
]


def low_rank_solvers() -> list[Solver]:
    """Return every solver that `qinspired compare` runs on a low-rank task."""
    solvers = [
        exact_svd(),
        svds(),
        svds(asked=True),
        *(randomized_svd(n_iter=n_iter) for n_iter in (0, 1, 2)),
        randomized_svd(n_iter="auto"),
        truncated_svd(),
    ]
    if find_spec("fbpca") is not None:
        solvers.append(fbpca())
    methods = ("auto", "krylov", "gram")
    return [*solvers, *(sampled_low_rank(method=method) for method in methods), fkv()]


def exact_svd() -> Solver:
    """LAPACK's full SVD, cut at rank k."""
    return _rival(
        "exact SVD (LAPACK)",
        lambda task, _: baselines.exact_svd(task.A, task.rank),
        1,
        cubic=True,
        dense=True,
    )


def svds(*, asked: bool = False) -> Solver:
    """ARPACK's Lanczos iteration, to machine precision or to the tolerance asked."""

    def tolerance(task: Task) -> float:
        return task.tolerance if asked else 0.0

    def count(task: Task, seed: int) -> int:
        return stored_bytes(task.A) * _count_products(task, tolerance(task), seed)

    return Solver(
        "ARPACK svds, tol as asked" if asked else "ARPACK svds",
        ours=False,
        solve=lambda task, seed: _answer(
            task, baselines.svds(task.A, task.rank, tolerance=tolerance(task), rng=seed), None
        ),
        count_bytes=count,
    )


def randomized_svd(*, n_iter: Any = "auto") -> Solver:
    """scikit-learn's randomized SVD with a number of power iterations."""

    def passes(task: Task) -> int:
        rule = 7 if task.rank < 0.1 * min(task.A.shape) else 4  # scikit-learn's
        return 2 * (rule if n_iter == "auto" else n_iter) + 2

    return Solver(
        f"randomized_svd, n_iter={n_iter}",
        ours=False,
        solve=lambda task, seed: _answer(
            task, baselines.randomized_svd(task.A, task.rank, n_iter=n_iter, rng=seed), passes(task)
        ),
    )


def truncated_svd() -> Solver:
    """scikit-learn's TruncatedSVD with its defaults: five power iterations, and the variance of A."""
    return _rival("TruncatedSVD", lambda task, seed: baselines.truncated_svd(task.A, task.rank, rng=seed), 2 * 5 + 3)


def fbpca() -> Solver:
    """Return fbpca's randomized PCA without centring, two power iterations."""
    return _rival("fbpca", lambda task, seed: baselines.fbpca(task.A, task.rank, rng=seed), 2 * 2 + 2)


def sampled_low_rank(*, method: str = "auto") -> Solver:
    """`qinspired.low_rank`."""

    def solve(task: Task, seed: int) -> Answer:
        started = time.perf_counter()
        matrix = as_sq_matrix(task.A)
        ready = time.perf_counter()
        found = low_rank(matrix, task.rank, tolerance=task.tolerance, method=method, rng=seed)
        done = time.perf_counter()
        return Answer(
            value=found.components.astype(np.float64),
            method=found.method,
            setup_seconds=ready - started,
            solve_seconds=done - ready,
            setup_bytes=stored_bytes(task.A),
            solve_bytes=found.stats.bytes_read,
            certified=found.excess,
        )

    return Solver(f"qinspired low_rank, {method}", ours=True, solve=solve)


def fkv(*, n_rows: int | None = None, n_cols: int | None = None) -> Solver:
    """Return the published algorithm; by default with k / tolerance rows and columns.

    Rows alone give an excess of about k / (2 r), and the columns drawn cost as much again.
    """

    def solve(task: Task, seed: int) -> Answer:
        size = max(math.ceil(task.rank / task.tolerance), task.rank)
        started = time.perf_counter()
        matrix = CountingMatrix(as_sq_matrix(task.A))
        ready = time.perf_counter()
        found = reference.fkv(matrix, task.rank, n_rows=n_rows or size, n_cols=n_cols or size, rng=seed)
        # The published vectors are not orthonormal; the projection on their span is what the error is of.
        V = np.linalg.qr(found.components().T)[0]
        done = time.perf_counter()
        return Answer(
            value=np.ascontiguousarray(V.T),
            method=f"fkv, {n_rows or size} rows x {n_cols or size} columns",
            setup_seconds=ready - started,
            solve_seconds=done - ready,
            setup_bytes=stored_bytes(task.A),
            solve_bytes=matrix.bytes_read,
        )

    return Solver("reference FKV (as published)", ours=True, solve=solve)


def _rival(
    name: str,
    solve: Callable[[Task, int], SVDResult],
    passes: int,
    *,
    cubic: bool = False,
    dense: bool = False,
) -> Solver:
    return Solver(
        name,
        ours=False,
        solve=lambda task, seed: _answer(task, solve(task, seed), passes),
        cubic=cubic,
        dense=dense,
    )


def _answer(task: Task, found: SVDResult, passes: int | None) -> Answer:
    return Answer(
        value=found.components.astype(np.float64),
        method=found.method,
        setup_seconds=0.0,
        solve_seconds=found.seconds,
        setup_bytes=0,
        solve_bytes=None if passes is None else passes * stored_bytes(task.A),
    )


def _count_products(task: Task, tolerance: float, seed: int) -> int:
    """Return the products with A or A^T of a run of ARPACK; a block counts as one pass."""
    count = 0

    def times(transposed: bool) -> Callable[[Any], Any]:
        matrix = task.A.T if transposed else task.A

        def apply(block: Any) -> Any:
            nonlocal count
            count += 1
            return matrix @ block

        return apply

    operator = scipy.sparse.linalg.LinearOperator(
        task.A.shape,
        matvec=times(transposed=False),
        rmatvec=times(transposed=True),
        matmat=times(transposed=False),
        rmatmat=times(transposed=True),
        dtype=task.A.dtype,
    )
    scipy.sparse.linalg.svds(operator, task.rank, tol=tolerance, rng=np.random.default_rng(seed))
    return count
