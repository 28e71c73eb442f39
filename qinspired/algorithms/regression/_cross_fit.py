"""A solution from drawn rows, judged by how far groups of them would pull it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from qinspired.algorithms._certificates import effective_directions, loss_interval
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._held_out import Solved
from qinspired.algorithms.regression._leverage import rows_saved
from qinspired.algorithms.regression._normal_equations import SymmetricSolver

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.regression._system import Draw

__all__ = ["prediction_error", "solve_drawn", "upper_end"]

# Relative variance of the error's square over that of its estimate, times the degrees of freedom. Normal scores would
# give 2 + 2 / 15; with that the interval covered 90 to 95 % (stopping favours low estimates).
_SCORE_SPREAD = 2.3

# A squared residual below this share of the fit may be the rounding of the solve, on which all groups agree: scores
# showed a fourth of it for condition numbers from 1 to 1e12. It bounds the error of a consistent system.
_ROUNDING = 1e-12

# Rows whose influences tell how many directions the error has: at least so many, more where n is small.
_INFLUENCE_ROWS = 64
_INFLUENCE_WORK = 2e7


def solve_drawn(draw: Draw, penalty: float, norm: float) -> Solved:
    """Solve from all drawn rows; groups of them judge the solution.

    At the joint solution the scores g_c of the groups sum to the penalty's gradient; each is how far its group would
    pull the solution, to first order H^-1 g_c for the joint Hessian H. The pulls are independent, so that the sum of
    their squares in the metric of H is the expected squared error of the joint solution.
    """
    n_draws = draw.n_draws
    solver = SymmetricSolver(draw.gram + n_draws * penalty * np.eye(len(draw.gram)) if penalty else draw.gram)
    x = solver.solve(draw.rhs)
    scores = draw.scores(x)
    scores -= scores.mean(axis=0)
    pulls = solver.solve(scores.T)
    degrees = _degrees_of_freedom(penalty, solver, draw.gram)
    squares = draw.squares(x)
    rows_that_matter = _rows_that_matter(squares)
    directions, saved = _directions(draw, solver, x, penalty, degrees)
    directions = min(directions, rows_that_matter)
    # Residuals of fitted rows are too small: the expected sum is noise^2 d (1 - 1 / groups - d / s) for d degrees of
    # freedom and s draws, and the error to be estimated noise^2 (d / s) / (1 - d / s).
    fraction = min(degrees / n_draws, 0.9)
    share = max(1.0 - 1.0 / len(scores) - fraction, 0.05)
    # With H = gram + n_draws penalty, the products with the gram matrix cost nothing more.
    loss = float((pulls * scores.T).sum()) / n_draws - penalty * float((pulls**2).sum())
    loss = max(loss, 0.0) / share / (1.0 - fraction)
    fitted = float(x @ draw.rhs) / n_draws - penalty * float(x @ x)
    if float(squares.mean()) <= _ROUNDING * fitted:
        loss = max(loss, float(squares.mean()))
    relative_variance = _SCORE_SPREAD / directions + 2.0 / rows_that_matter + 2.0 * fraction / n_draws
    half = 2.0 * pulls[:, : len(scores) // 2].sum(axis=1)
    return Solved(
        x / norm,
        np.array([x + half, x - half]) / norm,
        prediction_error(loss, fitted, relative_variance, directions),
        degrees,
        directions,
        draw.gram / n_draws,
        n_draws,
        fitted,
        float(squares.mean()) / (1.0 - fraction),
        float(squares.std()) / math.sqrt(n_draws) / (1.0 - fraction),
        condition=solver.condition,
        rows_saved=saved,
    )


def upper_end(solved: Solved, spread: float) -> float:
    """Return the upper end that the interval of a larger sample would have around this error."""
    return solved.error.value * math.sqrt(loss_interval(1.0, spread / solved.directions, solved.directions)[1])


def _degrees_of_freedom(penalty: float, solver: SymmetricSolver, gram: Float64Array) -> float:
    """Return tr (gram + penalty)^-1 gram, from a few random probes."""
    size = len(gram)
    if penalty == 0.0 and not solver.singular:
        return float(size)
    probes = np.sign(np.random.default_rng(0).standard_normal((size, min(size, 16))))
    trace = float(np.sum(probes * solver.solve(gram @ probes))) / probes.shape[1]
    return float(np.clip(trace, 1.0, size))


def _directions(
    draw: Draw, solver: SymmetricSolver, x: Float64Array, penalty: float, degrees: float
) -> tuple[float, float]:
    """Return the effective number of squares that the error sums, from the influences r_s H^-1 u_s of some rows.

    And, from the same rows, the rows that draws by leverage would need over those that these draws need.

    It is n for rows of equal leverage, and falls where a drawn outlier pulls far more than the rest: of 20 draws of
    1,024 rows of the diamonds data, 24 columns, the least is 1.1 and the median 24.
    """
    block, targets = draw.blocks[0]
    count = int(min(len(targets), max(_INFLUENCE_ROWS, _INFLUENCE_WORK / len(x) ** 2)))
    rows = np.asarray(block[:count] if isinstance(block, np.ndarray) else block[:count].toarray())
    residuals = targets[:count] - rows @ x
    pulls = solver.solve(np.ascontiguousarray(rows.T))
    # In the metric of the loss, that of A^T A alone: H^-1 would count the directions that the penalty holds still.
    weight = draw.n_draws * penalty
    leverages = np.einsum("ij,ji->i", rows, pulls)
    sizes = residuals**2 * (leverages - weight * np.einsum("ji,ji->i", pulls, pulls))
    few = min(count, 4 * _INFLUENCE_ROWS)
    influence = np.outer(residuals[:few], residuals[:few]) * (
        rows[:few] @ pulls[:, :few] - weight * pulls[:, :few].T @ pulls[:, :few]
    )
    # A row that was fitted has a smaller residual and leverage than a fresh one.
    left = np.maximum(1.0 - leverages, 0.01)
    saved = rows_saved(residuals**2 * leverages / left**3, draw.n_draws * leverages / left, degrees)
    return min(effective_directions(influence, draw.n_draws, sizes), 1.0 * len(x)), saved


def _rows_that_matter(squares: Float64Array) -> float:
    """Return the effective number of rows among which the squared residuals are shared.

    Without it, with five targets 13 times the rest and few of them drawn, the error was 2.9 times the upper end.
    """
    total = float(squares.sum())
    return total**2 / float((squares**2).sum()) if total > 0.0 else 1.0 * len(squares)


def prediction_error(loss: float, fitted: float, relative_variance: float, directions: float) -> ErrorEstimate:
    if fitted <= 0.0:
        return ErrorEstimate(1.0, 0.0, math.inf)
    low, high = loss_interval(loss, relative_variance, directions)
    return ErrorEstimate(math.sqrt(loss / fitted), math.sqrt(low / fitted), math.sqrt(high / fitted))
