"""Rows that arrive in blocks, as a sketch, with their mean and their norm about it."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.algorithms import FrequentDirections
from qinspired.estimators._centred_rows import as_dense, length_of
from qinspired.kernels import dense_row_norms

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["RowStream", "sketch_rows"]

# Rows are centred this many entries at a time (32 MB of float64), each part a block with its own mean.
_PART_ENTRIES = 4_000_000

# Entries of the buffer of the sketch, twice its rows: 800 MB of float64.
_MOST_ENTRIES = 100_000_000


def sketch_rows(rank: int, tolerance: float, n_features: int) -> int:
    """Return l with sqrt(l / (l - k)) - 1 <= tolerance, at most n + 1, which lose nothing, and what memory allows."""
    growth = (1.0 + tolerance) ** 2
    wanted = math.ceil(rank * growth / (growth - 1.0))
    return min(wanted, n_features + 1, max(_MOST_ENTRIES // (2 * n_features), 2 * rank))


class RowStream:
    """What is kept of the rows X of a stream: a sketch of X, or of X - 1 mean^T, the mean and |X - 1 mean^T|_F.

    Two groups of n1 and n2 rows, each centred by its own mean, have the scatter of both about the common mean when the
    row sqrt(n1 n2 / (n1 + n2)) (mean1 - mean2) is added. So each part of a block is centred by itself, and nothing of
    the scatter is approximated but by the sketch.
    """

    def __init__(self, n_features: int, rank: int, size: int, dtype: npt.DTypeLike, *, is_centred: bool) -> None:
        self.sketch = FrequentDirections(n_features, size, dtype=dtype)
        self.rank = rank
        self.is_centred = is_centred
        self.n_rows = 0
        self.mean: Float64Array = np.zeros(n_features)
        self.centred_norm = 0.0

    def with_block(self, X: Any) -> RowStream:
        """Return the stream with a block of checked rows more. This one may be kept in its place, but not go on too."""
        longer = copy.copy(self)
        longer.sketch = _went_on(self.sketch)
        if not self.is_centred:
            longer.sketch.update(X)
        for part in _parts(X):
            longer.n_rows, longer.mean, longer.centred_norm, rows = _joined(
                longer.n_rows, longer.mean, longer.centred_norm, part
            )
            if self.is_centred:
                longer.sketch.update(rows)
        return longer


def _went_on(sketch: FrequentDirections) -> FrequentDirections:
    # Its rows are not copied: an update never writes over rows that a sketch counts.
    other = object.__new__(FrequentDirections)
    other.__setstate__(sketch.__getstate__())
    return other


def _parts(X: Any) -> Any:
    step = max(1, _PART_ENTRIES // X.shape[1])
    for start in range(0, X.shape[0], step):
        part = X[start : start + step]
        yield as_dense(part).astype(np.float64)


def _joined(
    n_rows: int, mean: Float64Array, norm: float, part: Float64Array
) -> tuple[int, Float64Array, float, Float64Array]:
    """Return number, mean and norm about it of the rows so far and a part, and the rows that add to that norm."""
    count = len(part)
    center = part.mean(axis=0)
    part -= center
    away = part.mean(axis=0)  # what the rounding of a large mean left
    part -= away
    center += away
    total = n_rows + count
    if n_rows:
        between = math.sqrt(n_rows * count / total) * (mean - center)
        part = np.vstack([part, between])
    norm = math.hypot(norm, length_of(dense_row_norms(np.ascontiguousarray(part))))
    return total, mean + (count / total) * (center - mean), norm, part
