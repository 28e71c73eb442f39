"""What every algorithm returns beside its answer: an error with an interval, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qinspired.access import CountingMatrix

if TYPE_CHECKING:
    from qinspired.access import SampleQueryMatrix

__all__ = ["Cost", "CostMeter", "ErrorEstimate"]


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """An error with a confidence interval.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        Ends of the interval, low <= value <= high.
    confidence : float
        Probability with which the interval is meant to cover the true error; 1.0 where the error is exact or
        bounded.
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost.

    Attributes
    ----------
    row_draws, column_draws : int
        Draws by squared size.
    entry_queries : int
        Single entries asked for.
    rows_read : int
        Whole rows gathered, repeats counted.
    entries_read, bytes_read : int
        Stored entries of A read, and their bytes with the column indices of sparse ones; without the index pass.
    full_passes : int
        Passes over all of A, without the index pass.
    index_seconds : float
        Seconds of the index pass if this call made it, else 0.
    seconds : float
        Seconds of the call without the index pass.
    """

    row_draws: int
    column_draws: int
    entry_queries: int
    rows_read: int
    entries_read: int
    bytes_read: int
    full_passes: int
    index_seconds: float
    seconds: float


class CostMeter:
    """Counts the accesses and seconds of one call."""

    __slots__ = ("_built_index", "_seconds_before", "_started", "matrix")

    def __init__(self, matrix: SampleQueryMatrix, *, built_index: bool) -> None:
        self._started = time.perf_counter()
        self._built_index = built_index
        # An index that is built later, in this call, is not part of its seconds.
        self._seconds_before = matrix.index_seconds
        self.matrix = CountingMatrix(matrix)

    def read(self) -> Cost:
        """Return the cost so far."""
        counts = self.matrix.counts
        index_seconds = self.matrix.index_seconds
        return Cost(
            row_draws=counts.row_draws,
            column_draws=counts.column_draws,
            entry_queries=counts.entry_queries,
            rows_read=counts.rows_read,
            entries_read=counts.entries_read,
            bytes_read=self.matrix.bytes_read,
            full_passes=counts.full_passes,
            index_seconds=index_seconds if self._built_index else index_seconds - self._seconds_before,
            seconds=time.perf_counter() - self._started - (index_seconds - self._seconds_before),
        )
