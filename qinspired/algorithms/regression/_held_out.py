"""What rows that no solution uses say of a least-squares solution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired.algorithms._certificates import root_mean_interval
from qinspired.algorithms._results import ErrorEstimate

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.regression._system import System

__all__ = ["HeldOut", "Solved"]

_HELD_OUT_ROWS = 600


@dataclass(frozen=True, slots=True)
class Solved:
    """A solution from drawn rows, the two that either half of them would give to first order, and its error."""

    x: Float64Array
    parents: Float64Array
    error: ErrorEstimate
    degrees: float
    directions: float
    gram: Float64Array
    n_draws: int
    fitted: float  # |A x|^2
    noise: float  # |A x* - b|^2 without the zero rows of A, from the residuals of the drawn rows
    noise_deviation: float
    singular: bool  # the drawn rows leave directions out, to working precision
    rows_saved: float  # rows needed if drawn by leverage over those needed as they were drawn


class HeldOut:
    """Rows drawn afresh, a third each by the law of the problem, by b_i^2 and uniformly, which no solution uses.

    Of the terms of |A x - b|^2, draws by squared norm and by b_i^2 bound each by 6 (|A|_F^2 |x|^2 + |b|^2); the third
    keeps noise of one size on small rows from dominating the mean (coverage 87 % without it, row norms log-normal).
    """

    def __init__(self, system: System) -> None:
        squares = np.cumsum(system.b**2)
        share = _HELD_OUT_ROWS // 3
        by_row, _ = system.law.draw(share, system.rng)
        by_target = np.searchsorted(squares, system.rng.random(share) * squares[-1], side="right")
        evenly = system.rng.integers(0, system.m, share)
        rows = np.concatenate([by_row, np.minimum(by_target, system.m - 1), evenly])
        self._block = system.A.rows(rows)
        self._targets = system.b[rows]
        by_law = system.law.chances(rows)
        self._can_be_drawn = by_law > 0.0
        self._chances = (by_law + self._targets**2 / squares[-1] + 1.0 / system.m) / 3.0
        self._length_sq = float(squares[-1])

    def _squares(self, x: Float64Array) -> Float64Array:
        squares: Float64Array = (np.asarray(self._block @ x, dtype=np.float64) - self._targets) ** 2
        return squares

    def residual(self, x: Float64Array) -> ErrorEstimate:
        """Return |A x - b| / |b|."""
        return root_mean_interval(self._squares(x) / self._chances / self._length_sq)

    def confirm(self, solved: Solved, x: Float64Array, error: ErrorEstimate) -> ErrorEstimate:
        """Return the error, or the one that the held-out rows show where it is larger beyond doubt.

        Drawn rows cannot pull towards a feature that none of them has. What |A x - b|^2 exceeds the noise by on rows
        drawn afresh is an estimate of |A (x - x*)|^2 too: too noisy to certify, enough to refute.
        """
        # A zero row has a residual that no x explains and that is never drawn by its norm.
        terms = np.where(self._can_be_drawn, self._squares(x) / self._chances, 0.0)
        excess = float(terms.mean()) - solved.noise
        doubt = float(terms.std(ddof=1)) / math.sqrt(len(terms))
        doubt = math.hypot(doubt, solved.noise_deviation)
        if solved.fitted <= 0.0 or excess - 3.0 * doubt <= error.high**2 * solved.fitted:
            return error
        value = math.sqrt(excess / solved.fitted)
        return ErrorEstimate(value, error.low, math.sqrt((excess + 2.0 * doubt) / solved.fitted))
