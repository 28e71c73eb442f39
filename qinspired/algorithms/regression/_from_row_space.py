"""Least squares in the space of few drawn rows: from drawn rows, then from all of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.regression._drawn_rows import Answer
from qinspired.algorithms.regression._dual import solve_dual
from qinspired.algorithms.regression._galerkin import (
    FromAllRows,
    leading_rank,
    solve_galerkin,
    solve_leading,
    solve_within,
)
from qinspired.algorithms.regression._held_out import UNSEEN, HeldOut

if TYPE_CHECKING:
    from qinspired.algorithms.regression._system import System

__all__ = ["from_row_space"]


def from_row_space(system: System, tolerance: float, method: str) -> tuple[Answer | None, str]:
    """Solve in the space of few drawn rows; None with the reason where all rows are the better way."""
    held_out = HeldOut(system)
    most_seconds = math.inf
    if method != "galerkin":
        if method == "auto":
            most_seconds = system.seconds_of_exact() / 4.0
        found = solve_dual(system, held_out, tolerance, most_seconds)
        if found.error.high <= tolerance or method == "dual":
            # Within a space that drawn rows span, only the rows held out vouch for what is outside.
            caveat = UNSEEN if found.basis is not None else ""
            return Answer(found.x, found.error, held_out.residual(found.x), "dual", caveat), found.done
        reason = f"{found.done} gave {found.error.high:.3g}: "
        if found.basis is None and system.penalty == 0.0:
            # The certificate without a ridge comes from the residual, which drawn rows have minimised already.
            return None, reason
        rank = found.space.rank
        if found.basis is None:
            rank = leading_rank(system, found.drawn, found.space, tolerance)
        if system.seconds_within(rank) > 2.0 * most_seconds:
            return None, reason
        within: FromAllRows | None
        if found.basis is not None:
            within = solve_within(system, found.basis, exact=True)
        else:
            within = solve_leading(system, found.drawn, found.space, tolerance)
        if within is None or within.error.high > tolerance:
            return None, reason
    else:
        within = solve_galerkin(system, held_out, tolerance)
    residual = ErrorEstimate(within.residual, within.residual, within.residual, 1.0)
    return Answer(within.x, within.error, residual, "galerkin"), within.done
