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

__all__ = ["UNSEEN", "HeldOut", "HeldOutLaw", "Solved", "bound_of_residual"]

_HELD_OUT_ROWS = 600

# Rows with this share of |A|_F^2 are missed by the third that is drawn by squared norm in 1 of 20 cases.
_UNSEEN_SHARE = 1.0 - 0.05 ** (3.0 / _HELD_OUT_ROWS)
UNSEEN = f"rows unlike any drawn or held-out one, at 95 % at most {100.0 * _UNSEEN_SHARE:.2g} % of |A|_F^2, go unseen"
_BLOCK_ENTRIES = 4_000_000
_CACHED_ENTRIES = 160_000


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
    condition: float  # of the Gram matrix of the drawn rows; infinite if they leave directions out
    rows_saved: float  # rows needed if drawn by leverage over those needed as they were drawn


def bound_of_residual(rho: ErrorEstimate) -> ErrorEstimate:
    """Return the bound rho / sqrt(1 - rho^2) of |A (x - x*)| / |A x*| by rho = |A x - b| / |b|."""
    value, high = (r / math.sqrt(1.0 - r * r) if r < 1.0 else math.inf for r in (rho.value, rho.high))
    return ErrorEstimate(value, 0.0, high, rho.confidence)


class HeldOutLaw:
    """Rows drawn afresh, a third each by the law of the problem, by b_i^2 and uniformly, which no solution uses.

    Of the terms of |A x - b|^2, draws by squared norm and by b_i^2 bound each by 6 (|A|_F^2 |x|^2 + |b|^2); the third
    keeps noise of one size on small rows from dominating the mean (coverage 87 % without it, row norms log-normal).
    """

    def __init__(self, system: System, n_rows: int = _HELD_OUT_ROWS) -> None:
        squares = np.cumsum(system.b**2)
        share = n_rows // 3
        by_row, _ = system.law.draw(share, system.rng)
        by_target = np.searchsorted(squares, system.rng.random(share) * squares[-1], side="right")
        evenly = system.rng.integers(0, system.m, share)
        self.rows = np.concatenate([by_row, np.minimum(by_target, system.m - 1), evenly])
        self.targets = system.b[self.rows]
        by_law = system.law.chances(self.rows)
        self.can_be_drawn = by_law > 0.0
        self.length_sq = float(squares[-1])
        self.chances = (by_law + self.targets**2 / self.length_sq + 1.0 / system.m) / 3.0


class HeldOut:
    """Rows drawn afresh and read."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._last: tuple[Float64Array, Float64Array] | None = None  # an x, and its squared residuals
        drawn = HeldOutLaw(system)
        self._block = system.A.rows(drawn.rows)
        self._targets, self._chances, self._can_be_drawn = drawn.targets, drawn.chances, drawn.can_be_drawn
        self._length_sq = drawn.length_sq

    def _squares(self, x: Float64Array) -> Float64Array:
        if self._last is None or self._last[0] is not x:
            self._last = x, self._new_squares(x)
        return self._last[1]

    def _new_squares(self, x: Float64Array) -> Float64Array:
        # float32 rows are widened some at a time: 600 of 10,000 entries took 2.4 ms in place of 9.
        step = max(1, _CACHED_ENTRIES // len(x)) if isinstance(self._block, np.ndarray) else len(self._targets)
        starts = range(0, len(self._targets), step)
        fits = [np.asarray(self._block[s : s + step].astype(np.float64, copy=False) @ x) for s in starts]
        squares: Float64Array = (np.concatenate(fits) - self._targets) ** 2
        return squares

    def residual(self, x: Float64Array) -> ErrorEstimate:
        """Return |A x - b| / |b|."""
        return root_mean_interval(self._squares(x) / self._chances / self._length_sq)

    def bound(self, x: Float64Array) -> ErrorEstimate:
        """Return an upper bound of |A (x - x*)| / |A x*| without ridge, from the residual alone.

        |A (x - x*)|^2 = |A x - b|^2 - |A x* - b|^2 is at most rho^2 |b|^2 for rho = |A x - b| / |b|, and |A x*|^2 is at
        least (1 - rho^2) |b|^2; both without the zero rows of A, on which all x agree.
        """
        seen = self._system.b[self._system.not_zero()]
        length_sq = float(seen @ seen)
        if length_sq == 0.0:
            return ErrorEstimate(math.inf, 0.0, math.inf)
        rho = root_mean_interval(np.where(self._can_be_drawn, self._squares(x) / self._chances, 0.0) / length_sq)
        return bound_of_residual(rho)

    def tail(self, basis: Float64Array) -> float:
        """Return |A - A V V^T|_F / |A|_F for the orthonormal columns V of `basis`, as the rows show it."""
        squares = np.empty(len(self._targets))
        step = max(1, _BLOCK_ENTRIES // len(basis))
        for start in range(0, len(squares), step):
            part = self._block[start : start + step]
            dense = part if isinstance(part, np.ndarray) else part.toarray()
            dense = dense / self._system.norm
            left = dense - (dense @ basis) @ basis.T
            squares[start : start + step] = np.einsum("ij,ij->i", left, left)
        return math.sqrt(float((squares / self._chances).mean()))

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
