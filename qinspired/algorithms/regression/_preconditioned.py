"""Least squares by conjugate gradients over all rows, from the solution of drawn rows and preconditioned by them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._gradient_passes import GradientPasses, solve_transposed

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.regression._held_out import Solved
    from qinspired.algorithms.regression._system import System

__all__ = ["PassesPlan", "plan_passes", "solve_by_passes"]

# Draws for each degree of freedom that are weighed against the iterations they save.
_DRAWS_PER_DEGREE = (4.0, 8.0, 16.0, 32.0, 64.0)

_MOST_ITERATIONS = 60

# The least eigenvalue of the preconditioned matrix is between the least Ritz value and nothing: taken as this share of
# that, or of the edge of the Marchenko-Pastur law if less.
_SHARE_OF_LEAST = 0.8


@dataclass(frozen=True, slots=True)
class PassesPlan:
    """How many draws to precondition with, how many passes over A follow, and how long that takes."""

    n_draws: int
    seconds: float


def plan_passes(system: System, solved: Solved, tolerance: float) -> PassesPlan:
    """Return the number of draws that is predicted to lead to the tolerance soonest.

    With s draws and d degrees of freedom the singular values of A R^-1 lie within 1 +- sqrt(d / s), and each iteration
    takes the error down by sqrt(d / s).
    """
    plans = []
    for factor in _DRAWS_PER_DEGREE:
        n_draws = max(math.ceil(factor * max(solved.degrees, 16.0)), solved.n_draws)
        if n_draws > max(system.m / 3, solved.n_draws):
            continue
        rate = math.sqrt(min(solved.degrees / n_draws, 0.9))
        start = solved.error.value * math.sqrt((solved.n_draws - solved.degrees) / (n_draws - solved.degrees))
        iterations = math.ceil(max(math.log(max(2.0 * start / tolerance, 1.0)) / -math.log(rate), 0.0))
        seconds = system.seconds_of_rows(n_draws - solved.n_draws) + (iterations + 1) * system.seconds_of_pass()
        plans.append(PassesPlan(n_draws, seconds))
    return min(plans, key=lambda plan: plan.seconds, default=PassesPlan(solved.n_draws, math.inf))


def solve_by_passes(
    system: System, solved: Solved, tolerance: float
) -> tuple[Float64Array, ErrorEstimate, ErrorEstimate, str] | None:
    """Return x, its error and residual and what was done, or nothing where the drawn rows do not precondition."""
    size = len(solved.x)
    gram = solved.gram + system.penalty * np.eye(size)
    R, info = scipy.linalg.lapack.dpotrf(gram, lower=0, clean=1)
    if info != 0:
        return None
    problem = GradientPasses(system.A, system.b, system.ridge)
    x = solved.x * system.norm
    gradient, misfit, fitted = problem.gradient(x)
    residual = solve_transposed(R, gradient)
    direction = residual.copy()
    square = float(residual @ residual)
    loss = misfit + system.penalty * float(x @ x)
    edge = math.sqrt(min(solved.degrees / solved.n_draws, 0.9))
    spectrum = _RitzValues((1.0 - edge) ** 2, (1.0 + edge) ** 2)
    total, length = float(system.b @ system.b), math.sqrt(fitted)
    for taken in range(_MOST_ITERATIONS + 1):
        error = _error(square, spectrum, length)
        if error.high <= tolerance or not math.isfinite(square):
            break
        if taken == _MOST_ITERATIONS:
            return None
        p = scipy.linalg.blas.dtrsv(R, direction)
        image, curvature = problem.product(p)
        if not 0.0 < curvature < math.inf:
            return None
        step = square / curvature
        x += step * p
        residual -= step * solve_transposed(R, image)
        loss -= step * square
        before, square = square, float(residual @ residual)
        spectrum.add(step, square / before)
        direction = residual + square / before * direction
        length = _length(total, loss, x, R.T @ residual, system.penalty)
    if not math.isfinite(square):
        return None
    left = math.sqrt(max(loss - system.penalty * float(x @ x), 0.0)) / float(np.linalg.norm(system.b))
    how = f"{solved.n_draws} drawn rows as preconditioner and {taken + 1} passes"
    return x / system.norm, error, ErrorEstimate(left, left, left, 1.0), how


def _length(total: float, loss: float, x: Float64Array, gradient: Float64Array, penalty: float) -> float:
    """Return |A x| from |b|^2, the loss and its gradient."""
    shrunk = penalty * float(x @ x)
    return math.sqrt(max(total - (loss - shrunk) - 2.0 * (float(x @ gradient) + shrunk), 0.0))


def _error(square: float, spectrum: _RitzValues, length: float) -> ErrorEstimate:
    """Return |A (x - x*)| / |A x*| from |R^-T A^T r|^2 and the eigenvalues of R^-T A^T A R^-1."""
    low, high = spectrum.range()
    most, least = math.sqrt(square / low), math.sqrt(square / high)
    upper = most / (length - most) if length > most else math.inf
    return ErrorEstimate(math.sqrt(square) / length if length else math.inf, least / (length + least), upper)


class _RitzValues:
    """The Lanczos matrix that belongs to conjugate gradients, and the range of its eigenvalues."""

    def __init__(self, least: float, largest: float) -> None:
        self._least, self._largest = least, largest
        self._diagonal: list[float] = []
        self._beside: list[float] = []
        self._carried = 0.0

    def add(self, step: float, ratio: float) -> None:
        self._diagonal.append(1.0 / step + self._carried)
        self._beside.append(math.sqrt(ratio) / step)
        self._carried = ratio / step

    def range(self) -> tuple[float, float]:
        """Return where the eigenvalues lie, allowing for what the iterations have not met."""
        least, largest = self._least, self._largest
        if self._diagonal:
            values = scipy.linalg.eigvalsh_tridiagonal(np.array(self._diagonal), np.array(self._beside[:-1]))
            least, largest = min(least, float(values[0])), max(largest, float(values[-1]))
        return _SHARE_OF_LEAST * max(least, 1e-300), largest / _SHARE_OF_LEAST
