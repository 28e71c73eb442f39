"""Least squares from drawn rows: solved at once, or as the start of a tail-averaged (block) Kaczmarz iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qinspired.algorithms._certificates import effective_directions, loss_interval
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._block_kaczmarz import METRIC_ROWS, BlockChains, BlockPlan
from qinspired.algorithms.regression._held_out import HeldOut, Solved
from qinspired.algorithms.regression._kaczmarz import Chains
from qinspired.algorithms.regression._leverage import RowsByLeverage, rows_saved
from qinspired.algorithms.regression._normal_equations import PRIMAL_COLUMNS, SymmetricSolver
from qinspired.algorithms.regression._preconditioned import PassesPlan, plan_passes, solve_by_passes
from qinspired.algorithms.regression._system import Draw, System

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["Answer", "from_drawn_rows"]

# Relative variance of the error's square over that of its estimate, times the degrees of freedom. Normal scores would
# give 2 + 2 / 15; with that the interval covered 90 to 95 % (stopping favours low estimates).
_SCORE_SPREAD = 2.3

# A squared residual below this share of the fit may be the rounding of the solve, on which all groups agree: scores
# showed a fourth of it for condition numbers from 1 to 1e12. It bounds the error of a consistent system.
_ROUNDING = 1e-12

# Rows whose influences tell how many directions the error has: at least so many, more where n is small.
_INFLUENCE_ROWS = 64
_INFLUENCE_WORK = 2e7

_MARGIN = 1.06

# A tail-averaged Kaczmarz run needs about 3 times the rows of a solve for the same error: 2.93 at noise 0.1 and 1 %,
# 2.97 at noise 1 and 5 % (200,000 x 500, column scales 5 to 1).
_KACZMARZ_STEPS_PER_ROW = 3.0


# Relative variance of the squared distance of two chains times the degrees of freedom. Independent directions of equal
# weight would give 4; the slow ones weigh more, and with 4 the interval covered 88 to 96 % instead of 95 %.
_CHAIN_SPREAD = 5.5

# Block Kaczmarz stops first at this share of the rows predicted, which are twice too many at kappa 5 (200,000 x 500).
_BLOCKS_AT_FIRST = 0.6

# A Kaczmarz run ends after as many steps as this many passes over A.
_MOST_SWEEPS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A solution with its certificate."""

    x: Float64Array
    error: ErrorEstimate
    residual: ErrorEstimate
    method: str


def from_drawn_rows(
    system: System, tolerance: float, method: str, *, with_steps: bool = True
) -> tuple[Answer | None, str]:
    """Draw and solve until certified; None with the reason where all rows are the better way.

    Without steps, for rows not drawn by squared norm, "auto" takes no Kaczmarz steps.
    """
    if system.n > PRIMAL_COLUMNS:
        raise ValueError(
            f"`method` = {method!r} forms n x n moments and needs at most {PRIMAL_COLUMNS} columns; got {system.n}. "
            "Use method='exact'."
        )
    if method == "leverage":
        system = _by_leverage(system)
    draw = Draw(system)
    limit = max(system.m // 2, 2 * system.first_draw())
    wanted = system.first_draw()
    held_out = HeldOut(system)
    while True:
        draw.grow_to(wanted)
        solved = _solve(system, draw)
        done = f"{wanted} drawn rows"
        if method in ("kaczmarz", "block-kaczmarz") and solved.error.high > tolerance:
            return _kaczmarz(system, solved, held_out, tolerance, method)
        error = held_out.confirm(solved, solved.x, solved.error)
        if error.high <= tolerance or (method != "auto" and wanted >= limit):
            return Answer(solved.x, error, held_out.residual(solved.x), system.law.method), done
        # The squared error falls as 1 / (s - degrees of freedom), and the interval narrows to its limit.
        reach = max(_MARGIN * _upper_end(solved, 2.5), error.value)
        needed = solved.degrees + (wanted - solved.degrees) * max(min(reach / tolerance, 1e6), 1.1) ** 2
        plan = plan_passes(system, solved, tolerance) if with_steps and method in ("auto", "preconditioned") else None
        if method == "auto":
            ways = _seconds(system, solved, needed, limit, wanted, with_steps=with_steps)
            if plan is not None and not solved.singular:
                ways["preconditioned"] = plan.seconds
            fastest = min(ways, key=lambda way: ways[way])
            if ways[fastest] > 0.8 * system.seconds_of_exact():
                return None, f"a first draw of {wanted} rows predicted {needed:.3g} for the tolerance: "
            if fastest == "leverage":
                return from_drawn_rows(_by_leverage(system, draw), tolerance, "auto", with_steps=False)
            if plan is not None and fastest == "preconditioned":
                return _preconditioned(system, draw, plan, tolerance)
            if fastest != "rows":
                answer, told = _kaczmarz(system, solved, held_out, tolerance, fastest)
                if answer.error.high <= tolerance:
                    return answer, told
                return None, f"{told} gave {answer.error.high:.3g}: "
        if plan is not None and method == "preconditioned":
            return _preconditioned(system, draw, plan, tolerance)
        wanted = math.ceil(min(needed, limit, 8.0 * wanted))


def _preconditioned(system: System, draw: Draw, plan: PassesPlan, tolerance: float) -> tuple[Answer | None, str]:
    if plan.n_draws > draw.n_draws:
        draw.grow_to(plan.n_draws)
    solved = _solve(system, draw)
    found = None if solved.singular else solve_by_passes(system, solved, tolerance)
    if found is None:
        return None, f"{draw.n_draws} drawn rows do not precondition: "
    x, error, residual, done = found
    return Answer(x, error, residual, "preconditioned"), done


def _by_leverage(system: System, first: Draw | None = None) -> System:
    """Return the problem with rows drawn by leverage."""
    if first is None:
        first = Draw(system)
        first.grow_to(system.first_draw())
    return System(system.A, system.b, system.ridge, RowsByLeverage(system, first), system.rng)


def _seconds(
    system: System, solved: Solved, needed: float, limit: float, drawn: int, *, with_steps: bool
) -> dict[str, float]:
    """Predict the times of the ways on, where rows by the law of the problem need so many."""
    ways = {"rows": system.seconds_of_rows(needed - drawn) if needed <= limit else math.inf}
    if not with_steps:
        return ways
    most = _MOST_SWEEPS * system.m
    steps = _KACZMARZ_STEPS_PER_ROW * needed
    ways["kaczmarz"] = system.seconds_of_kaczmarz(steps) if steps <= most else math.inf
    by_leverage = max(needed * solved.rows_saved, system.first_draw())
    if by_leverage <= limit:
        ways["leverage"] = system.seconds_of_scores() + system.seconds_of_rows(by_leverage)
    # Measured for dense rows only; the eigenvalues of the plan are wanted where steps may win.
    if not system.A.is_sparse and ways["kaczmarz"] < min(ways["rows"], system.seconds_of_exact()):
        plan = BlockPlan(solved, system.penalty)
        steps = plan.steps(needed, most, single=True)
        ways["kaczmarz"] = system.seconds_of_kaczmarz(steps) if steps <= most else math.inf
        steps = plan.steps(needed, most)
        ways["block-kaczmarz"] = system.seconds_of_blocks(steps) if steps <= most else math.inf
    return ways


def _solve(system: System, draw: Draw) -> Solved:
    """Solve from all drawn rows; groups of them judge the solution.

    At the joint solution the scores g_c of the groups sum to the penalty's gradient; each is how far its group would
    pull the solution, to first order H^-1 g_c for the joint Hessian H. The pulls are independent, so that the sum of
    their squares in the metric of H is the expected squared error of the joint solution.
    """
    penalty = system.penalty
    n_draws = draw.n_draws
    solver = SymmetricSolver(draw.gram + n_draws * penalty * np.eye(system.n) if penalty else draw.gram)
    x = solver.solve(draw.rhs)
    scores = draw.scores(x)
    scores -= scores.mean(axis=0)
    pulls = solver.solve(scores.T)
    degrees = _degrees_of_freedom(system, solver, draw.gram)
    squares = draw.squares(x)
    rows_that_matter = _rows_that_matter(squares)
    directions, saved = _directions(draw, solver, x, degrees)
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
        x / system.norm,
        np.array([x + half, x - half]) / system.norm,
        _prediction_error(loss, fitted, relative_variance, directions),
        degrees,
        directions,
        draw.gram / n_draws,
        n_draws,
        fitted,
        float(squares.mean()) / (1.0 - fraction),
        float(squares.std()) / math.sqrt(n_draws) / (1.0 - fraction),
        singular=solver.singular,
        rows_saved=saved,
    )


def _upper_end(solved: Solved, spread: float) -> float:
    """Return the upper end that the interval of a larger sample would have around this error."""
    return solved.error.value * math.sqrt(loss_interval(1.0, spread / solved.directions, solved.directions)[1])


def _degrees_of_freedom(system: System, solver: SymmetricSolver, gram: Float64Array) -> float:
    """Return tr (gram + penalty)^-1 gram, from a few random probes."""
    if system.ridge == 0.0 and not solver.singular:
        return float(system.n)
    probes = np.sign(np.random.default_rng(0).standard_normal((system.n, min(system.n, 16))))
    trace = float(np.sum(probes * solver.solve(gram @ probes))) / probes.shape[1]
    return float(np.clip(trace, 1.0, system.n))


def _directions(draw: Draw, solver: SymmetricSolver, x: Float64Array, degrees: float) -> tuple[float, float]:
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
    leverages = np.einsum("ij,ji->i", rows, pulls)
    sizes = residuals**2 * leverages
    few = min(count, 4 * _INFLUENCE_ROWS)
    influence = np.outer(residuals[:few], residuals[:few]) * (rows[:few] @ pulls[:, :few])
    # A row that was fitted has a smaller residual and leverage than a fresh one.
    left = np.maximum(1.0 - leverages, 0.01)
    saved = rows_saved(sizes / left**3, draw.n_draws * leverages / left, degrees)
    return min(effective_directions(influence, draw.n_draws, sizes), 1.0 * len(x)), saved


def _rows_that_matter(squares: Float64Array) -> float:
    """Return the effective number of rows among which the squared residuals are shared.

    Without it, with five targets 13 times the rest and few of them drawn, the error was 2.9 times the upper end.
    """
    total = float(squares.sum())
    return total**2 / float((squares**2).sum()) if total > 0.0 else 1.0 * len(squares)


def _prediction_error(loss: float, fitted: float, relative_variance: float, directions: float) -> ErrorEstimate:
    if fitted <= 0.0:
        return ErrorEstimate(1.0, 0.0, math.inf)
    low, high = loss_interval(loss, relative_variance, directions)
    return ErrorEstimate(math.sqrt(loss / fitted), math.sqrt(low / fitted), math.sqrt(high / fitted))


def _kaczmarz(system: System, solved: Solved, held_out: HeldOut, tolerance: float, method: str) -> tuple[Answer, str]:
    """Run two chains of tail-averaged Kaczmarz from the two parents, doubling until certified or dear."""
    limit = _MOST_SWEEPS * system.m
    reach = _MARGIN * _upper_end(solved, _CHAIN_SPREAD)
    needed = (solved.n_draws - solved.degrees) * max(min(reach / tolerance, 1e6), 1.0) ** 2
    chains: Chains | BlockChains
    if method == "kaczmarz":
        chains = Chains(system, solved.parents, 1.0 / (1.0 + system.penalty))
        wanted = math.ceil(_KACZMARZ_STEPS_PER_ROW * needed)
    else:
        plan = BlockPlan(solved, system.penalty)
        chains = BlockChains(system, solved.parents, plan)
        wanted = math.ceil(_BLOCKS_AT_FIRST * plan.steps(needed, limit))
    while True:
        wanted = min(wanted, limit)
        chains.run_to(wanted)
        one, two = chains.averages()
        x = (one + two) / 2.0
        gap = (one - two) / 2.0
        fitted = float(x @ solved.gram @ x) * system.norm**2
        fallen, spread = 0.0, _CHAIN_SPREAD / solved.directions + 8.0 / wanted
        if isinstance(chains, BlockChains):
            loss, fallen = chains.length_sq(gap), chains.fallen()
            spread += 2.0 / METRIC_ROWS
        else:
            gap *= system.norm
            loss = float(gap @ solved.gram @ gap)
        error = _prediction_error(loss, fitted, spread, solved.directions)
        if fallen > 0.0 and fitted > 0.0:
            error = replace(error, high=math.hypot(error.high, math.sqrt(fallen / fitted)))
        if error.high <= tolerance or wanted >= limit:
            error = held_out.confirm(solved, x, error)
            told = f"{wanted} Kaczmarz steps" if method == "kaczmarz" else f"{wanted} rows in block Kaczmarz steps"
            return Answer(x, error, held_out.residual(x), method), told
        wanted = math.ceil(wanted * min(max((_MARGIN * error.high / tolerance) ** 2, 1.5), 4.0))
