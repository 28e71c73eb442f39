"""The exact answer of a task, and the true error of any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from qinspired import baselines, metrics
from qinspired.experiments._linear_solvers import exact_least_squares
from qinspired.experiments._low_rank_solvers import exact_svd
from qinspired.experiments._task import reason_to_skip

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.experiments._task import Task

__all__ = ["Truth", "find_truth", "true_error"]

# Below this best error A has rank k to rounding, and an excess relative to it would be noise over noise.
_ROUNDING = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The exact answer in float64.

    Attributes
    ----------
    value : ndarray
        Components (k, n) or x* (n,).
    singular_values : ndarray
        All singular values, or the leading k where more were too dear; empty for a linear task.
    best_error : float
        |A - A_k|_F / |A|_F of a low-rank task, |A x* - b| / |b| of a linear one.
    how : str
        The solver.
    vectors : ndarray, shape (r, n), or None
        A right singular vector for each singular value, where asked for and all are known.
    """

    value: Float64Array
    singular_values: Float64Array
    best_error: float
    how: str
    vectors: Float64Array | None = None


def find_truth(task: Task, *, keep_vectors: bool = False) -> Truth:
    """Solve a task exactly, in float64."""
    A = task.A.astype(np.float64, copy=False)
    if task.kind == "low-rank":
        dear = reason_to_skip(task, exact_svd()) != ""
        found = baselines.svds(A, task.rank, rng=0) if dear else baselines.exact_svd(A)
        entries = A.ravel() if isinstance(A, np.ndarray) else A.data
        norm = float(scipy.linalg.norm(entries))
        values = found.singular_values.astype(np.float64)
        best = metrics.optimal_error(values, norm, task.rank)
        vectors = found.components.astype(np.float64)
        return Truth(vectors[: task.rank], values, best, found.method, vectors if keep_vectors and not dear else None)
    if reason_to_skip(task, exact_least_squares()):
        solved = baselines.lsqr(A, task.right_hand_side, tolerance=1e-14)
    else:
        solved = baselines.exact_least_squares(A, task.right_hand_side)
    residual = metrics.residual_error(A, solved.x, task.right_hand_side)
    return Truth(solved.x, np.zeros(0), residual, solved.method)


def true_error(task: Task, truth: Truth, value: Float64Array) -> float:
    """Return the error that the tolerance is about.

    Parameters
    ----------
    task, truth : Task, Truth
        The task and its exact answer.
    value : ndarray
        Components or x.

    Returns
    -------
    float
        Relative excess over the best error of rank k, or |A (x - x*)| / |A x*|. Where A has rank k to
        rounding, the first is |A - A V V^T|_F / |A|_F itself.
    """
    if task.kind == "linear":
        return metrics.prediction_error(task.A, value, truth.value)
    error = metrics.projection_error(task.A, value)
    if truth.best_error < _ROUNDING:
        return error
    return max(error / truth.best_error - 1.0, 0.0)
