"""Intervals for positive quantities that a few of the drawn rows may carry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["CONFIDENCE", "gamma_low_high", "student_reach", "unseen_share"]

CONFIDENCE = 0.95
_TAIL = 0.5 - CONFIDENCE / 2


def student_reach(n_draws: int) -> float:
    """Return the quantile of Student's law that makes an interval of a standard deviation from `n_draws` rows."""
    return float(special.stdtrit(n_draws - 1, 1.0 - _TAIL))


def unseen_share(n_draws: int) -> float:
    """Return the share of |A|_F^2 that draws may all have missed, with the probability of one tail."""
    return min(-math.log(_TAIL) / n_draws, 1.0)


def gamma_low_high(
    bases: Float64Array, values: Float64Array, deviations: Float64Array, n_draws: int
) -> tuple[Float64Array, Float64Array]:
    """Return the lower ends about `bases` and the upper ends about `values`, of the given standard deviations.

    A mean of squares over drawn rows is near a gamma law, whose shape is (mean / standard deviation)^2: half the number
    of rows where the terms are squares of normal numbers, and their number where few rows carry all of it. The ends
    are Garwood's for a Poisson count of that size, the lower one 0 below a count of 1.
    """
    widths = deviations * (student_reach(n_draws) / float(special.ndtri(1.0 - _TAIL)))
    below, above = np.zeros_like(values), np.zeros_like(values)
    for i, (base, value, width) in enumerate(zip(bases, values, widths, strict=True)):
        if base > width:
            shape = min((base / width) ** 2, 1e12) if width > 0.0 else 1e12
            below[i] = base * float(special.gammaincinv(shape, _TAIL)) / shape
        if value > 0.0:
            shape = min((value / width) ** 2, 1e12) if width > 0.0 else 1e12
            above[i] = value * float(special.gammaincinv(shape + 1.0, 1.0 - _TAIL)) / shape
    return below, above
