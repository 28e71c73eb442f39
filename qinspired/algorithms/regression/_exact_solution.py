"""What an exact solver returns, and the blocks of rows by which it goes through a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["BLOCK_ENTRIES", "ExactSolution", "block_rows"]

# Entries of a block of an exact pass: 32 MB as float64.
BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True)
class ExactSolution:
    """A solution from all rows and the size of its error relative to |A x*|."""

    x: Float64Array
    rounding: float
    how: str
    converged: bool = True
    residual_sq: float | None = None  # |A x - b|^2 where it is known without loss of digits
    sketched: bool = False


def block_rows(A: CountingMatrix) -> int:
    """Return how many rows have at least as many stored entries as a block: with fewer, a pass has one thread."""
    return max(1, -(-BLOCK_ENTRIES * A.shape[0] // max(1, A.n_stored)))
