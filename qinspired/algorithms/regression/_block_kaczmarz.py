"""Tail-averaged randomized block Kaczmarz: averaged projections onto the equations of a block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.algorithms._gather import gather_rows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.algorithms.regression._held_out import Solved
    from qinspired.algorithms.regression._system import System

__all__ = ["METRIC_ROWS", "BlockChains", "BlockPlan"]

METRIC_ROWS = 2048

# Rows of a block: about 1 / |G|, with which a step is half as long as t single ones. At 500 columns a row took 1.2
# us in blocks of 128 and 256, 1.3 to 1.8 in those of 64 and 512, 1.6 to 2.2 in those of 32.
_LEAST_ROWS, _MOST_ROWS = 32, 256

# Noise of a tail average over the least possible with as many rows, from the length of the steps.
_STEP_NOISE, _SINGLE_NOISE = 1.2, 1.7


class BlockPlan:
    """The rows of a block and the length of a step, from the moments of drawn rows, and how many rows that takes.

    A step moves x by the mean projection onto the equations of a block, times 1 / L. For unit rows u drawn by squared
    norm, G = E[u u^T], and t of them in a block, E[(block^T block / t)^2] <= L G with L = 1 / t + (1 - 1 / t) |G|, so
    that steps of 1 / L contract the mean squared error whatever blocks come, as would any below 2 / L.
    """

    def __init__(self, solved: Solved, penalty: float) -> None:
        self._solved = solved
        self.spread = 1.0 / (1.0 - min(solved.degrees / solved.n_draws, 0.9))
        self._values: Float64Array = np.maximum(np.linalg.eigvalsh(solved.gram), 0.0)
        top, n = float(self._values[-1]), len(self._values)
        # The largest eigenvalue l of s drawn rows is too large: if all are equal, (sqrt(l) - sqrt(1 / s))^2 is right.
        # The mean of the two is at most a factor of two too low, which the bound leaves room for.
        debiased = max(math.sqrt(top) - math.sqrt(1.0 / solved.n_draws), 0.0) ** 2
        largest = min(max((top + debiased) / 2.0, 1.0 / n), 1.0)
        self.n_rows = int(np.clip(1.0 / largest, _LEAST_ROWS, _MOST_ROWS))
        self.step = 1.0 / (1.0 / self.n_rows + (1.0 - 1.0 / self.n_rows) * largest + penalty)

    def steps(self, needed: float, most: float, *, single: bool = False) -> float:
        """Return the rows that two chains need for the error of a solution from `needed` drawn rows, or above `most`.

        In a direction of eigenvalue v the error of a start falls by exp(-step v) a block, and the average covers the
        last half of a chain. Of drawn rows the small eigenvalues are too small, so that this is an upper bound. With
        `single`, the same for blocks of one row, that is for plain Kaczmarz.
        """
        noise = _SINGLE_NOISE if single else _STEP_NOISE
        target = 1.0 / max(needed - self._solved.degrees, 1.0)
        start = 2.0 / max(self._solved.n_draws - self._solved.degrees, 1.0)
        rates = (1.0 if single else self.step / self.n_rows) * self._values[self._values > 0.0]
        steps = 2.0 * noise / target
        while steps <= most:
            tail = steps / 4.0
            fall = np.exp(-rates * tail)
            kept = fall * (1.0 - fall) / np.maximum(rates * tail, 1e-300)
            if (start * float((kept**2).mean()) + noise / tail) / 2.0 <= target * 1.0001:
                break
            steps *= 1.1
        return steps


class BlockChains:
    """Block Kaczmarz iterations; their averages cover the last half of the rows or more."""

    def __init__(self, system: System, starts: Float64Array, plan: BlockPlan) -> None:
        self._system, self._plan = system, plan
        # Pulls of fitted rows are too small; of a start too near its twin the certificate would see too little.
        middle = starts.mean(axis=0)
        self._x: Float64Array = middle + plan.spread * (starts - middle)
        self._sums: list[tuple[int, Float64Array]] = []  # blocks and sums of the iterates of each stretch
        self._misfits: Float64Array = np.zeros(0)  # |A x - b|^2 by each block of the last stretch, before its step
        self._read = 0

    def run_to(self, n_rows: int) -> None:
        """Go on to this many rows in all, in two stretches, so that the tail can be averaged alone."""
        for end in ((self._read + n_rows) // 2, n_rows):
            if end > self._read:
                self._stretch(end - self._read)

    def _stretch(self, n_rows: int) -> None:
        system, plan, n_chains = self._system, self._plan, len(self._x)
        n_blocks = -(-n_rows // (n_chains * plan.n_rows))
        drawn = system.A.sample_rows(n_blocks * n_chains * plan.n_rows, system.rng)
        total = np.zeros_like(self._x)
        misfits = np.empty((n_blocks, n_chains))
        for place, rows in enumerate(drawn.reshape(n_blocks, n_chains, plan.n_rows)):
            for chain in range(n_chains):
                block, targets, scales = self._equations(rows[chain])
                left = (targets - block @ self._x[chain]) / scales
                misfits[place, chain] = np.sum((left * system.norm) ** 2)
                self._x[chain] *= 1.0 - plan.step * system.penalty
                self._x[chain] += plan.step / plan.n_rows * (block.T @ (left / scales))
            total += self._x
        self._sums.append((n_blocks, total))
        self._misfits = misfits.mean(axis=1) / plan.n_rows
        self._read += drawn.size

    def _equations(self, rows: IntArray) -> tuple[Any, Float64Array, Float64Array]:
        """Return drawn equations and what to divide them by to make unit rows of them."""
        A = self._system.A
        block, scales = gather_rows(A, rows)
        targets = self._system.b[rows] / (A.row_norms(rows) / scales)
        return block.astype(np.float64, copy=False), targets, scales

    def averages(self) -> Float64Array:
        """Return the mean iterate of each chain over the stretches that make up the last half of the rows or more."""
        covered, total = 0, np.zeros_like(self._x)
        for blocks, part in reversed(self._sums):
            covered += blocks
            total = total + part
            if 2 * covered * len(self._x) * self._plan.n_rows >= self._read:
                break
        return total / covered

    def length_sq(self, x: Float64Array) -> float:
        """Return |A x|^2 from fresh rows.

        The moments of the first draw would be too small for what is left of the starts, which come from that draw.
        """
        block, _, scales = self._equations(self._system.A.sample_rows(METRIC_ROWS, self._system.rng))
        return float(np.mean((block @ x / scales * self._system.norm) ** 2))

    def fallen(self) -> float:
        """Return by how much |A x - b|^2 still fell in the last stretch, 0 unless beyond doubt.

        Each block tells it of rows that its x has not met, at no cost. An average over iterates that still approach the
        solution is off by a share of that, which chains from similar starts need not show.
        """
        halves = np.array_split(self._misfits, 2)
        if len(halves[1]) < 2:
            return 0.0
        fall = float(halves[0].mean() - halves[1].mean())
        doubt = math.sqrt(sum(float(half.var(ddof=1)) / len(half) for half in halves))
        return fall if fall > 3.0 * doubt else 0.0
