"""Least squares from all rows within the space of few drawn ones, by one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._dual import exact_row_space
from qinspired.algorithms.regression._row_space import FIRST_ROWS, MOST_ENTRIES, DrawnRows, most_rows, vanishing_tail

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.regression._held_out import HeldOut
    from qinspired.algorithms.regression._row_space import RowSpace
    from qinspired.algorithms.regression._system import System

__all__ = ["FromAllRows", "leading_rank", "solve_galerkin", "solve_leading", "solve_within"]

_BLOCK_ENTRIES = 4_000_000
# Tails of sparse rows come from differences of squares.
_SPARSE_TAIL = 1e-7

_EPS = float(np.finfo(np.float64).eps)

# Solutions whose residual falls by less than this factor as directions are doubled have found what there is to find.
_LEAST_GAIN = 0.8


@dataclass(frozen=True, slots=True)
class FromAllRows:
    """A solution from all rows within a subspace."""

    x: Float64Array
    error: ErrorEstimate
    residual: float  # |A x - b| / |b|
    done: str


def solve_galerkin(system: System, held_out: HeldOut, tolerance: float) -> FromAllRows:
    """Solve within the space of drawn rows, and of more of them until certified or no better."""
    drawn = DrawnRows(system)
    limit = most_rows(system)
    wanted, before = min(FIRST_ROWS, limit), math.inf
    while True:
        drawn.grow_to(wanted)
        space, basis = exact_row_space(system, drawn, held_out)
        exact = basis is not None
        found = solve_within(system, basis, exact=True) if basis is not None else None
        found = found or solve_leading(system, drawn, space, tolerance)
        if found is None:
            raise ValueError(
                f"`method` = 'galerkin' forms a basis of at most {MOST_ENTRIES:.0e} numbers, too few for "
                f"{system.n} columns; use method='dual'."
            )
        wanted *= 2
        if found.error.high <= tolerance or exact or wanted > limit or found.error.high > _LEAST_GAIN * before:
            return found
        before = found.error.high


def solve_leading(system: System, drawn: DrawnRows, space: RowSpace, tolerance: float) -> FromAllRows | None:
    """Solve within as many leading directions of the drawn rows as the certificate asks for, if they can be formed."""
    basis = drawn.basis(space, leading_rank(system, drawn, space, tolerance))
    return None if basis is None else solve_within(system, basis, exact=False)


def leading_rank(system: System, drawn: DrawnRows, space: RowSpace, tolerance: float) -> int:
    """Return the number of directions to solve in, from what the drawn rows say."""
    rank = _ridge_rank(system, drawn.targets, space.s, tolerance) if system.penalty else drawn.best_rank(space)
    return min(rank, space.rank)


def _ridge_rank(system: System, targets: Float64Array, s: Float64Array, tolerance: float) -> int:
    """Return the directions that leave a tail small enough for the certificate of a ridge solution.

    It bounds the error by |T| |b - A x| / (2 sqrt(ridge)) for the tail T; |b - A x| and |A x| are taken as |b|.
    """
    tails = np.append(np.cumsum(s[::-1] ** 2)[::-1], 0.0) / len(targets)
    return max(1, int(np.argmax(tails <= system.penalty * tolerance**2)))


def solve_within(system: System, basis: Float64Array, *, exact: bool) -> FromAllRows:
    """Minimise over x = V y with all rows, V orthonormal; `exact` says that V seems to span the rows of A to rounding.

    The pass checks that, or finds the gradient outside V, g = T^T (b - A x) for the tail T = A - A V V^T.
    """
    m, n = system.m, system.n
    rank = basis.shape[1]
    coordinates = np.empty((m, rank))
    outside = np.zeros((n, rank + 1))
    tail_sq = 0.0
    for start, block in system.A.row_blocks(max(1, int(_BLOCK_ENTRIES / system.per_row))):
        scaled = block.astype(np.float64) / system.norm
        part = np.asarray(scaled @ basis)
        coordinates[start : start + len(part)] = part
        if exact:
            tail_sq += _tail_sq(scaled, part, basis)
        if not exact or system.A.is_sparse:
            outside += np.asarray(scaled.T @ np.column_stack([system.b[start : start + len(part)], part]))
    root = math.sqrt(system.penalty)
    stacked, target = coordinates, system.b
    if root > 0.0:
        stacked = np.vstack([coordinates, root * np.eye(rank)])
        target = np.concatenate([system.b, np.zeros(rank)])
    y = scipy.linalg.lstsq(stacked, target, cond=max(m, n) * _EPS, check_finite=False)[0]
    fit = coordinates @ y
    left = system.b - fit
    seen = float(np.linalg.norm(left[system.not_zero()]))
    rounding = 10.0 * _EPS * (float(np.linalg.norm(y)) + float(np.linalg.norm(system.b)))
    outer = outside[:, 0] - outside[:, 1:] @ y
    gradient = float(np.linalg.norm(outer - basis @ (basis.T @ outer)))
    if exact:
        resolved = _SPARSE_TAIL if system.A.is_sparse else vanishing_tail(system)
        if math.sqrt(tail_sq) > resolved:
            gradient = math.sqrt(tail_sq) * seen
        elif gradient <= vanishing_tail(system) * seen + rounding:
            gradient = 0.0
    error = _error(float(np.linalg.norm(fit)), gradient, seen, root * float(np.linalg.norm(y)), root, rounding)
    residual = float(np.linalg.norm(left) / np.linalg.norm(system.b))
    return FromAllRows(
        basis @ y / system.norm, error, residual, f"one pass over all rows within {rank} directions of drawn ones"
    )


def _tail_sq(scaled: Any, part: Float64Array, basis: Float64Array) -> float:
    """Return |T|_F^2 of a block of rows; for sparse ones from their norms, to 8 digits of |T|."""
    if isinstance(scaled, np.ndarray):
        return float(((scaled - part @ basis.T) ** 2).sum())
    return max(float((scaled.data**2).sum() - (part**2).sum()), 0.0)


def _error(
    fitted: float, gradient: float, residual: float, shrunk: float, root: float, rounding: float
) -> ErrorEstimate:
    """Return bounds of |A e| / |A x*| for e = x* - x, all in units that make |A|_F = 1.

    (A^T A + ridge) e = g, so that |A e| <= |g| / (2 sqrt(ridge)); and |A e|^2 is at most the loss of x. Without ridge
    |A e| >= |g| / |A|, and A e is orthogonal to A x.
    """
    if gradient == 0.0:
        high = rounding / fitted if fitted > 0.0 else math.inf
        return ErrorEstimate(high, 0.0, high, 1.0)
    if root == 0.0:
        most = residual + rounding
        high = most / math.hypot(fitted, most)
        return ErrorEstimate(high, min(gradient / math.hypot(fitted, gradient), high), high, 1.0)
    most = min(gradient / (2.0 * root), math.hypot(residual, shrunk)) + rounding
    high = most / (fitted - most) if fitted > most else math.inf
    return ErrorEstimate(high, 0.0, high, 1.0)
