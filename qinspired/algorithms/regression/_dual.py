"""Least squares in the space of few drawn rows, the rest judged by rows held out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired._threads import small_products
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._cross_fit import solve_drawn, upper_end
from qinspired.algorithms.regression._row_space import (
    FIRST_ROWS,
    DrawnRows,
    ProjectedDraw,
    most_rows,
    vanishing_tail,
)
from qinspired.algorithms.regression._system import LEAST_DRAW, LEAST_DRAW_PER_COLUMN

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.regression._held_out import HeldOut
    from qinspired.algorithms.regression._row_space import RowSpace
    from qinspired.algorithms.regression._system import System

__all__ = ["FromRowSpace", "exact_row_space", "solve_dual"]

# The cross-fit interval holds where a solution has at most this share of degrees of freedom for each draw.
_MOST_DEGREES = 0.4

# Squared residuals below this share of the targets are rounding.
_CONSISTENT = 1e-20

_MARGIN = 1.06
_SCORE_SPREAD = 2.5
_LEAST_GAIN = 0.8


@dataclass(frozen=True, slots=True)
class FromRowSpace:
    """A solution in the span of drawn rows, with its error."""

    x: Float64Array
    error: ErrorEstimate
    drawn: DrawnRows
    space: RowSpace
    basis: Float64Array | None  # of the row space of A, where the drawn rows span it to rounding
    done: str


def solve_dual(system: System, held_out: HeldOut, tolerance: float, most_seconds: float) -> FromRowSpace:
    """Draw rows until a combination of them is certified, or more promise nothing, or take too long."""
    drawn = DrawnRows(system)
    limit = most_rows(system)
    wanted, before = min(FIRST_ROWS, limit), math.inf
    while True:
        with small_products(wanted):
            drawn.grow_to(wanted)
            space, basis = exact_row_space(system, drawn, held_out)
        done = f"{wanted} drawn rows"
        if basis is not None:
            return _within(system, held_out, drawn, space, basis, tolerance, most_seconds)
        if system.penalty > 0.0:
            x, error, needed = _ridge(system, held_out, drawn, space, tolerance)
        else:
            rank = drawn.best_rank(space)
            x = _truncated(drawn, space, rank) / system.norm
            error, needed = held_out.bound(x), 2.0 * wanted
            done += f", {rank} directions"
            # A residual that more directions do not lower is that of the exact solution, or lies beyond any sample.
            hopeless = math.isinf(error.value) and wanted > FIRST_ROWS
            if hopeless or error.value > _LEAST_GAIN * before:
                needed = math.inf
            before = error.value
        wanted = math.ceil(min(max(needed, 2.0 * wanted), 4.0 * wanted))
        late = wanted > limit or system.seconds_of_drawn(wanted) > most_seconds or math.isinf(needed)
        if error.high <= tolerance or late:
            return FromRowSpace(x, error, drawn, space, None, done)


def exact_row_space(system: System, drawn: DrawnRows, held_out: HeldOut) -> tuple[RowSpace, Float64Array | None]:
    """Return the space of the drawn rows, and a basis of it if rows held out lie in it to rounding."""
    space = drawn.space()
    for attempt in (space, None):
        if attempt is None:
            if space.V is not None or not isinstance(drawn.block, np.ndarray):
                break
            space = drawn.space(accurate=True)
        if space.rank > _MOST_DEGREES * len(drawn):
            break
        basis = drawn.basis(space, space.rank)
        if basis is None:
            break
        if held_out.tail(basis) <= vanishing_tail(system):
            return space, basis
    return space, None


def _truncated(drawn: DrawnRows, space: RowSpace, rank: int) -> Float64Array:
    """Return the solution of least norm within the leading directions, times |A|_F."""
    P, s = space.P[:, :rank], space.s[:rank]
    if space.V is not None:
        return np.asarray(space.V[:, :rank] @ ((P.T @ drawn.targets) / s))
    return drawn.combine(P @ ((P.T @ drawn.targets) / s**2))


def _ridge(
    system: System, held_out: HeldOut, drawn: DrawnRows, space: RowSpace, tolerance: float
) -> tuple[Float64Array, ErrorEstimate, float]:
    """Return the ridge solution of the drawn rows, its error, and how many rows the tolerance needs."""
    draw = ProjectedDraw(system, None, space.rank)
    draw.add(space.P * space.s, drawn.targets)
    solved = solve_drawn(draw, system.penalty, system.norm)
    x = drawn.combine(space.P @ (solved.x / space.s)) if space.V is None else space.V @ solved.x
    if solved.degrees > _MOST_DEGREES * len(drawn):
        return x, ErrorEstimate(solved.error.value, 0.0, math.inf), solved.degrees / _MOST_DEGREES
    error = held_out.confirm(solved, x, solved.error)
    reach = _MARGIN * upper_end(solved, _SCORE_SPREAD)
    return x, error, solved.degrees + (len(drawn) - solved.degrees) * (reach / tolerance) ** 2


def _within(
    system: System,
    held_out: HeldOut,
    drawn: DrawnRows,
    space: RowSpace,
    basis: Float64Array,
    tolerance: float,
    most_seconds: float,
) -> FromRowSpace:
    """Solve in the row space of A, with more and more rows projected on it."""
    own = np.asarray(drawn.block @ basis)
    directions = basis
    if system.penalty == 0.0:
        # In coordinates that make the drawn rows orthonormal the condition number of A does not matter.
        _, s, Zt = np.linalg.svd(own, full_matrices=False)
        turn = Zt.T / s * math.sqrt(len(drawn))
        directions, own = basis @ turn, own @ turn
    draw = ProjectedDraw(system, directions, basis.shape[1])
    draw.add(own, drawn.targets)
    limit = max(system.m // 2, 2 * len(drawn))
    if float(((own @ np.linalg.lstsq(own, drawn.targets)[0] - drawn.targets) ** 2).sum()) > (
        _CONSISTENT * float(drawn.targets @ drawn.targets)
    ):
        draw.grow_to(max(len(drawn), min(LEAST_DRAW_PER_COLUMN * basis.shape[1], LEAST_DRAW, limit)))
    while True:
        solved = solve_drawn(draw, system.penalty, system.norm)
        x = directions @ solved.x
        error = held_out.confirm(solved, x, solved.error)
        done = f"{draw.n_draws} drawn rows, rank {basis.shape[1]}"
        reach = max(_MARGIN * upper_end(solved, _SCORE_SPREAD), error.value)
        needed = solved.degrees + (draw.n_draws - solved.degrees) * max(min(reach / tolerance, 1e6), 1.1) ** 2
        wanted = math.ceil(min(needed, limit, 8.0 * draw.n_draws))
        dear = system.seconds_of_projected(needed - draw.n_draws, basis.shape[1]) > most_seconds
        if error.high <= tolerance or draw.n_draws >= limit or dear:
            return FromRowSpace(x, error, drawn, space, basis, done)
        draw.grow_to(wanted)
