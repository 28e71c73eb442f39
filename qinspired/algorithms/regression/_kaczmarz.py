"""Tail-averaged randomized Kaczmarz."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from qinspired.algorithms._gather import gather_rows
from qinspired.kernels import csr_kaczmarz_chains, dense_kaczmarz_chains

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.algorithms.regression._system import System

__all__ = ["Chains"]

# Kaczmarz rows gathered at a time: a chunk stays in the second-level cache.
_CHUNK_BYTES = 1_000_000


class Chains:
    """Two Kaczmarz iterations; their averages cover the last half of the steps or more."""

    def __init__(self, system: System, starts: Float64Array, decay: float) -> None:
        self._system, self._decay = system, decay
        self._x = starts.copy()
        self._sums: list[tuple[int, Float64Array]] = []  # steps and sums of the iterates of each stretch
        self._steps = 0

    def run_to(self, steps: int) -> None:
        """Go on to this many steps in all, in two stretches, so that the tail can be averaged alone."""
        for end in ((self._steps + steps) // 2, steps):
            if end > self._steps:
                self._stretch(end - self._steps)

    def _stretch(self, steps: int) -> None:
        system, count = self._system, len(self._x)
        total = np.zeros_like(self._x)
        chunk = count * max(1, int(_CHUNK_BYTES / (system.per_row * system.A.entry_bytes)))
        rows = system.A.sample_rows(-(-steps // count) * count, system.rng)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            block, scales = gather_rows(system.A, part)
            targets, norms_sq = system.b[part] / (system.A.row_norms(part) / scales), scales**2
            if isinstance(block, np.ndarray):
                dense_kaczmarz_chains(block, targets, norms_sq, self._decay, self._x, total)
            else:
                indptr = cast("IntArray", block.indptr.astype(np.int64, copy=False))
                csr_kaczmarz_chains(
                    block.data, cast("IntArray", block.indices), indptr, targets, norms_sq, self._decay, self._x, total
                )
        self._sums.append((len(rows) // count, total))
        self._steps += len(rows)

    def averages(self) -> Float64Array:
        """Return the mean iterate of each chain over the stretches that make up the last half of the steps or more."""
        covered, total = 0, np.zeros_like(self._x)
        for steps, part in reversed(self._sums):
            covered += steps
            total = total + part
            if 2 * covered * len(self._x) >= self._steps:
                break
        return total / covered
