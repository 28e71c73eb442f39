"""Least squares from drawn rows: solved at once, or as the start of a tail-averaged (block) Kaczmarz iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qinspired.algorithms.regression._block_kaczmarz import METRIC_ROWS, BlockChains, BlockPlan
from qinspired.algorithms.regression._cross_fit import prediction_error, solve_drawn, upper_end
from qinspired.algorithms.regression._held_out import HeldOut, Solved
from qinspired.algorithms.regression._kaczmarz import Chains
from qinspired.algorithms.regression._leverage import RowsByLeverage
from qinspired.algorithms.regression._normal_equations import PRIMAL_COLUMNS
from qinspired.algorithms.regression._preconditioned import PassesPlan, plan_passes, solve_by_passes
from qinspired.algorithms.regression._system import Draw, System

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms._results import ErrorEstimate

__all__ = ["Answer", "from_drawn_rows"]

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
    """A solution with its certificate, and what that does not cover."""

    x: Float64Array
    error: ErrorEstimate
    residual: ErrorEstimate
    method: str
    caveat: str = ""


def from_drawn_rows(
    system: System, tolerance: float, method: str, *, with_steps: bool = True
) -> tuple[Answer | None, str]:
    """Draw and solve until certified; None with the reason where all rows are the better way.

    Without steps, for rows not drawn by squared norm, "auto" takes no Kaczmarz steps and draws none by leverage.
    """
    if system.n > PRIMAL_COLUMNS:
        raise ValueError(
            f"`method` = {method!r} forms n x n moments and needs at most {PRIMAL_COLUMNS} columns; got {system.n}. "
            "Use method='dual', 'galerkin' or 'exact'."
        )
    if method == "leverage":
        system = _by_leverage(system)
    draw = Draw(system)
    limit = max(system.m // 2, 2 * system.first_draw())
    wanted = system.first_draw()
    held_out = HeldOut(system)
    while True:
        draw.grow_to(wanted)
        solved = solve_drawn(draw, system.penalty, system.norm)
        done = f"{wanted} drawn rows"
        if method in ("kaczmarz", "block-kaczmarz") and solved.error.high > tolerance:
            return _kaczmarz(system, solved, held_out, tolerance, method)
        error = held_out.confirm(solved, solved.x, solved.error)
        if error.high <= tolerance or (method != "auto" and wanted >= limit):
            return Answer(solved.x, error, held_out.residual(solved.x), system.law.method), done
        # The squared error falls as 1 / (s - degrees of freedom), and the interval narrows to its limit.
        reach = max(_MARGIN * upper_end(solved, 2.5), error.value)
        needed = solved.degrees + (wanted - solved.degrees) * max(min(reach / tolerance, 1e6), 1.1) ** 2
        plan = plan_passes(system, solved, tolerance) if method in ("auto", "preconditioned") else None
        if method == "auto":
            by_passes = plan.seconds if plan is not None and math.isfinite(solved.condition) else math.inf
            ways = _seconds(system, solved, needed, limit, wanted, by_passes, with_steps=with_steps)
            fastest = min(ways, key=lambda way: ways[way])
            if ways[fastest] > 0.8 * system.seconds_of_exact(solved.condition):
                return None, f"a first draw of {wanted} rows predicted {needed:.3g} for the tolerance: "
            if fastest == "leverage":
                return from_drawn_rows(_by_leverage(system, draw), tolerance, "auto", with_steps=False)
            if plan is not None and fastest == "preconditioned":
                return _preconditioned(system, draw, solved, plan, tolerance)
            if fastest != "rows":
                answer, told = _kaczmarz(system, solved, held_out, tolerance, fastest)
                if answer.error.high <= tolerance:
                    return answer, told
                return None, f"{told} gave {answer.error.high:.3g}: "
        if plan is not None and method == "preconditioned":
            return _preconditioned(system, draw, solved, plan, tolerance)
        wanted = math.ceil(min(needed, limit, 8.0 * wanted))


def _preconditioned(
    system: System, draw: Draw, solved: Solved, plan: PassesPlan, tolerance: float
) -> tuple[Answer | None, str]:
    if plan.n_draws > draw.n_draws:
        draw.grow_to(plan.n_draws)
        solved = solve_drawn(draw, system.penalty, system.norm)
    found = None if math.isinf(solved.condition) else solve_by_passes(system, solved, tolerance, plan)
    if found is None:
        return None, f"{draw.n_draws} drawn rows do not precondition, or rounding forbids passes to this tolerance: "
    x, error, residual, done = found
    return Answer(x, error, residual, "preconditioned"), done


def _by_leverage(system: System, first: Draw | None = None) -> System:
    """Return the problem with rows drawn by leverage."""
    if first is None:
        first = Draw(system)
        first.grow_to(system.first_draw())
    return System(system.A, system.b, system.ridge, RowsByLeverage(system, first), system.rng)


def _seconds(
    system: System, solved: Solved, needed: float, limit: float, drawn: int, by_passes: float, *, with_steps: bool
) -> dict[str, float]:
    """Predict the times of the ways on, where rows by the law of the problem need so many."""
    ways = {"rows": system.seconds_of_rows(needed - drawn) if needed <= limit else math.inf}
    ways["preconditioned"] = by_passes
    if not with_steps:
        return ways
    most = _MOST_SWEEPS * system.m
    steps = _KACZMARZ_STEPS_PER_ROW * needed
    ways["kaczmarz"] = system.seconds_of_kaczmarz(steps) if steps <= most else math.inf
    by_leverage = max(needed * solved.rows_saved, system.first_draw())
    if by_leverage <= limit:
        ways["leverage"] = system.seconds_of_scores() + system.seconds_of_rows(by_leverage)
    # Measured for dense rows only; the eigenvalues of the plan, 10 ms for 500 columns, are wanted where steps may win.
    if not system.A.is_sparse and ways["kaczmarz"] < min(ways["rows"], system.seconds_of_exact(), 2.0 * by_passes):
        plan = BlockPlan(solved, system.penalty)
        steps = plan.steps(needed, most, single=True)
        ways["kaczmarz"] = system.seconds_of_kaczmarz(steps) if steps <= most else math.inf
        steps = plan.steps(needed, most)
        ways["block-kaczmarz"] = system.seconds_of_blocks(steps) if steps <= most else math.inf
    return ways


def _kaczmarz(system: System, solved: Solved, held_out: HeldOut, tolerance: float, method: str) -> tuple[Answer, str]:
    """Run two chains of tail-averaged Kaczmarz from the two parents, doubling until certified or dear."""
    limit = _MOST_SWEEPS * system.m
    reach = _MARGIN * upper_end(solved, _CHAIN_SPREAD)
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
        seen = x * system.norm
        fitted = float(seen @ solved.gram @ seen)
        fallen, spread = 0.0, _CHAIN_SPREAD / solved.directions + 8.0 / wanted
        if isinstance(chains, BlockChains):
            loss, fallen = chains.length_sq(gap), chains.fallen()
            spread += 2.0 / METRIC_ROWS
        else:
            gap *= system.norm
            loss = float(gap @ solved.gram @ gap)
        error = prediction_error(loss, fitted, spread, solved.directions)
        if fallen > 0.0 and fitted > 0.0:
            error = replace(error, high=math.hypot(error.high, math.sqrt(fallen / fitted)))
        if error.high <= tolerance or wanted >= limit:
            error = held_out.confirm(solved, x, error)
            told = f"{wanted} Kaczmarz steps" if method == "kaczmarz" else f"{wanted} rows in block Kaczmarz steps"
            return Answer(x, error, held_out.residual(x), method), told
        wanted = math.ceil(wanted * min(max((_MARGIN * error.high / tolerance) ** 2, 1.5), 4.0))
