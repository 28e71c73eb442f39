"""Low-rank approximation from one pass over all rows, with bounds that hold for certain."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from qinspired.algorithms.approximation._implicit_low_rank import reads_whole_rows
from qinspired.algorithms.streams._frequent_directions import FrequentDirections

if TYPE_CHECKING:
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.streams._result import StreamedApproximation

__all__ = ["frequent_directions", "sketch_size"]

# Rows of the sketch at most. At 500 rows of 2,000 columns the eigenvectors, O(l^3), took 70 % of the time of a step.
_LARGEST_SIZE = 512

# Bytes of the buffer of 2 l rows at most.
_BUFFER_BYTES = 2**30

_BLOCK_ENTRIES = 1_000_000


def sketch_size(shape: tuple[int, int], rank: int, tolerance: float) -> int:
    """Return the size l of a sketch with sqrt((l + 1) / (l + 1 - k)) - 1 <= tolerance, if memory and time allow.

    With min(m, n) rows nothing is ever lost. More than 512 rows are taken for 2 k of them only, and never more than
    make a buffer of 1 GiB.
    """
    m, n = shape
    law = math.ceil(rank / (1.0 - (1.0 + tolerance) ** -2)) - 1
    most = _BUFFER_BYTES // (2 * n * 8)
    if most < min(2 * rank, m, n):
        raise ValueError(
            f"`rank` must be at most {most // 2} for rows of {n} columns with method='frequent_directions', whose "
            f"buffer of 2 x (2 x rank) dense rows must take at most 1 GiB; got {rank}. Use another method, or "
            "`FrequentDirections` with a size of your own."
        )
    return min(max(law, rank), max(_LARGEST_SIZE, 2 * rank), most, m, n)


def frequent_directions(A: CountingMatrix, rank: int, tolerance: float) -> StreamedApproximation:
    """Return the approximation from a sketch of the rows in their order, in float64, from one pass over A.

    Where the size of the sketch is limited, the excess that was found may exceed the tolerance: the caller tells.
    """
    if not reads_whole_rows(A):
        raise ValueError(
            "`A` must have rows that may be read whole for method='frequent_directions', which reads all of them; use "
            "method='fkv'."
        )
    sketch = FrequentDirections(A.shape[1], sketch_size(A.shape, rank, tolerance))
    for _, block in A.row_blocks(max(1, _BLOCK_ENTRIES * A.shape[0] // max(A.n_stored, 1))):
        sketch.update(block)
    found = sketch.low_rank(rank)
    return replace(found, components=found.components.astype(A.dtype))
