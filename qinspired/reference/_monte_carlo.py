"""Inner products estimated from draws, as medians of means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import SampleQueryMatrix

__all__ = ["GROUPS", "combined_entries", "median_of_means"]

# Arrazola et al. take the median of ten means whatever the number of draws.
GROUPS = 10

# Entries held at once while combinations are read at drawn columns: 64 MB.
_BLOCK_ENTRIES = 8_000_000


def median_of_means(samples: Float64Array, n_groups: int = GROUPS) -> Float64Array:
    """Return the median over the groups of the means of consecutive samples of shape (n_groups n, k), as (k,)."""
    means = samples.reshape(n_groups, -1, samples.shape[1]).mean(axis=1)
    medians: Float64Array = np.median(means, axis=0)
    return medians


def combined_entries(A: SampleQueryMatrix, rows: IntArray, coefficients: Float64Array, cols: IntArray) -> Float64Array:
    """Return sum_s A[rows[s], j] coefficients[s, l] for each j of `cols`, as (len(cols), k)."""
    distinct, where = np.unique(cols, return_inverse=True)
    values = np.empty((len(distinct), coefficients.shape[1]))
    step = max(1, _BLOCK_ENTRIES // max(1, len(rows)))
    for start in range(0, len(distinct), step):
        block = A.query(rows[:, None], distinct[None, start : start + step])
        values[start : start + step] = block.T.astype(np.float64) @ coefficients
    gathered: Float64Array = values[where]
    return gathered
