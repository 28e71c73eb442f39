"""A sparse-sign embedding of rows.

Row i of the matrix is added, with random signs, to one row of each of several groups of rows of the sketch. Which ones
is a function of (key, i) alone, so that the sketch depends neither on the blocks nor on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import block_state, mix, next_state, word_below

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["csr_sketch_rows", "dense_sketch_rows"]

_ONE = np.uint64(1)


@kernel()
def _place(state: np.uint64, group: int, groups: int, size: int) -> tuple[np.int64, float]:
    """Return the row of a group of the sketch, and the sign, that the number of a state names."""
    low, high = size * group // groups, size * (group + 1) // groups
    word = mix(state)
    # The place is made of the high bits of the word, the sign of its lowest one.
    row = low + np.int64(word_below(word, np.uint64(high - low)))
    return row, 1.0 if word & _ONE else -1.0


@kernel()
def _dense_panel(
    X: FloatArray, first: int, key: np.uint64, groups: int, scale: float, low: int, high: int, out: Float64Array
) -> None:
    for i in range(X.shape[0]):
        state = block_state(key, np.uint64(first + i))
        for group in range(groups):
            state = next_state(state)
            row, sign = _place(state, group, groups, out.shape[0])
            weight = sign * scale
            for j in range(low, high):
                out[row, j] += weight * np.float64(X[i, j])


@kernel(parallel=True)
def _dense_halves(X: FloatArray, first: int, key: np.uint64, groups: int, scale: float, out: Float64Array) -> None:
    n_cols = X.shape[1]
    for part in prange(2):
        _dense_panel(X, first, key, groups, scale, n_cols * part // 2, n_cols * (part + 1) // 2, out)


def dense_sketch_rows(X: FloatArray, first: int, key: np.uint64, groups: int, scale: float, out: Float64Array) -> None:
    """Add scale S[:, first:first + len(X)] X to `out`; each column of S has one entry +-1 in each group of rows."""
    # More than two parts would read too little of a row at a time: panels of 64 columns of 500 took twice as long.
    if worth_threads(X.size):
        _dense_halves(X, first, key, groups, scale, out)
    else:
        _dense_panel(X, first, key, groups, scale, 0, X.shape[1], out)


@kernel()
def csr_sketch_rows(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    first: int,
    key: np.uint64,
    groups: int,
    scale: float,
    out: Float64Array,
) -> None:
    """As `dense_sketch_rows`, over the rows of a CSR matrix."""
    for i in range(indptr.shape[0] - 1):
        state = block_state(key, np.uint64(first + i))
        for group in range(groups):
            state = next_state(state)
            row, sign = _place(state, group, groups, out.shape[0])
            weight = sign * scale
            for position in range(indptr[i], indptr[i + 1]):
                out[row, indices[position]] += weight * np.float64(data[position])
