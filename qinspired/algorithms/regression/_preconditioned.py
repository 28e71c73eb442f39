"""Least squares by conjugate gradients over all rows, preconditioned by drawn rows, from their solution or zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._conjugate_gradients import RitzValues, Scales, Triangle, conjugate_gradients
from qinspired.algorithms.regression._gradient_passes import GradientPasses, inverse_norm

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.regression._held_out import Solved
    from qinspired.algorithms.regression._system import System

__all__ = ["PassesPlan", "plan_passes", "solve_by_passes"]

# Draws for each degree of freedom that are weighed against the iterations they save.
_DRAWS_PER_DEGREE = (4.0, 8.0, 16.0, 32.0, 64.0)

_MOST_ITERATIONS = 60

# Scaled columns count as nearly orthogonal if the eigenvalues of their correlations lie within 1 +- this, as far as
# the draws tell, and the least one seen is no less than this share of where noise alone would put it.
_WIDEST_SPREAD, _LEAST_EXPECTED = 0.9, 0.5


@dataclass(frozen=True, slots=True)
class PassesPlan:
    """How many draws to precondition with, the time, and the half-width of the spectrum if their diagonal does it.

    And whether to start from zero, where the index pass has told the gradient.
    """

    n_draws: int
    seconds: float
    spread: float | None = None
    from_zero: bool = False


def plan_passes(system: System, solved: Solved, tolerance: float) -> PassesPlan:
    """Return the number of draws that is predicted to lead to the tolerance soonest.

    With s draws and d degrees of freedom the singular values of A R^-1 lie within 1 +- sqrt(d / s), and each iteration
    takes the error down by sqrt(d / s); for eigenvalues within 1 +- w, by w / 2 or so.
    """
    plans = []
    spread = _spread_of_scaled_columns(solved, system.penalty)
    if spread is not None:
        narrow = math.sqrt((1.0 - spread) / (1.0 + spread))
        rate = max((1.0 - narrow) / (1.0 + narrow), 0.05)
        n_passes, from_zero = _passes(system, solved.error.value, tolerance, rate)
        plans.append(PassesPlan(solved.n_draws, n_passes * system.seconds_of_pass(), spread, from_zero))
    for factor in _DRAWS_PER_DEGREE:
        n_draws = max(math.ceil(factor * max(solved.degrees, 16.0)), solved.n_draws)
        if n_draws > max(system.m / 3, solved.n_draws):
            continue
        start = solved.error.value * math.sqrt((solved.n_draws - solved.degrees) / (n_draws - solved.degrees))
        n_passes, from_zero = _passes(system, start, tolerance, math.sqrt(min(solved.degrees / n_draws, 0.9)))
        seconds = system.seconds_of_rows(n_draws - solved.n_draws) + n_passes * system.seconds_of_pass()
        plans.append(PassesPlan(n_draws, seconds, from_zero=from_zero))
    return min(plans, key=lambda plan: plan.seconds, default=PassesPlan(solved.n_draws, math.inf))


def _passes(system: System, start: float, tolerance: float, rate: float) -> tuple[int, bool]:
    """Return one pass for the gradient and one for each iteration; and whether zero is the better start.

    The error there is 1, and `rate` after one pass if the gradient is known.
    """
    from_zero = system.gradient is not None and rate < start
    after_one = rate if from_zero else start
    more = math.log(max(2.0 * after_one / tolerance, 1.0)) / -math.log(rate)
    return 1 + math.ceil(more), from_zero


def _spread_of_scaled_columns(solved: Solved, penalty: float) -> float | None:
    """Return the half-width w of the spectrum 1 +- w of the scaled columns' correlations, if it is narrow.

    The squares of the correlations that draws show exceed the true ones by (n - 1) / s on average; what is left is the
    variance of the eigenvalues. One small eigenvalue among many would not show in it, but in the least one seen.
    """
    n, s = len(solved.gram), solved.n_draws
    variances = np.diag(solved.gram)
    if not variances.min() > 0.0:
        return None
    diagonal = variances + penalty
    correlations = (solved.gram + penalty * np.eye(n)) / np.sqrt(np.outer(diagonal, diagonal))
    noise = float(np.mean(variances / diagonal)) ** 2 * (n - 1) / s
    excess = max(float((correlations**2).sum()) / n - 1.0 - noise, 0.0)
    spread = 2.0 * math.sqrt(excess + 2.0 / s)
    if spread > _WIDEST_SPREAD:
        return None
    R, info = scipy.linalg.lapack.dpotrf(correlations, lower=0, clean=1)
    edge = (1.0 - math.sqrt(min(solved.degrees / s, 0.9))) ** 2
    if info != 0 or 1.0 / inverse_norm(R) ** 2 < _LEAST_EXPECTED * edge * (1.0 - spread):
        return None
    return spread


def solve_by_passes(
    system: System, solved: Solved, tolerance: float, plan: PassesPlan
) -> tuple[Float64Array, ErrorEstimate, ErrorEstimate, str] | None:
    """Return x, its error and residual and what was done, or nothing where the drawn rows do not precondition."""
    spread = plan.spread
    R = _factor(solved, system.penalty, diagonal=spread is not None)
    if R is None:
        return None
    if spread is None:
        edge = math.sqrt(min(solved.degrees / solved.n_draws, 0.9))
        spectrum = RitzValues((1.0 - edge) ** 2, (1.0 + edge) ** 2)
    else:
        spectrum = RitzValues(1.0 - spread, 1.0 + spread)
    problem = GradientPasses(system.A, system.b, system.ridge, system.norm)
    start: Float64Array | None = solved.x * system.norm
    first: Float64Array | None = None
    if plan.from_zero and system.gradient is not None:
        start, first = None, system.gradient / system.norm
    found = conjugate_gradients(
        problem, system.b, R, spectrum, tolerance, start=start, first=first, most=_MOST_ITERATIONS
    )
    if found is None:
        return None
    left = math.sqrt(found.residual_sq) / float(np.linalg.norm(system.b))
    how = "their column scales" if spread is not None else "their triangle"
    done = f"{solved.n_draws} drawn rows, preconditioned by {how}, and {found.n_passes} passes"
    if first is not None:
        done += ", the first with the index"
    return found.x / system.norm, found.error, ErrorEstimate(left, left, left, 1.0), done


def _factor(solved: Solved, penalty: float, *, diagonal: bool) -> Scales | Triangle | None:
    """Return R with R^T R near A^T A / |A|_F^2 + penalty, or nothing if there is none."""
    if diagonal:
        return Scales(np.sqrt(np.diag(solved.gram) + penalty))
    R, info = scipy.linalg.lapack.dpotrf(solved.gram + penalty * np.eye(len(solved.gram)), lower=0, clean=1)
    return Triangle(R) if info == 0 else None
