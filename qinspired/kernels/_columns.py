"""Draws of one column from each given row, by a scan of the row: no table per row is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import block_state, next_state, state_uniform

if TYPE_CHECKING:
    from qinspired._typing import FloatArray, IntArray

__all__ = ["csr_sample_cols", "dense_sample_cols"]

# Entries visited in one call; Ctrl-C is served between calls.
_CHUNK_ENTRIES = 8_000_000


@kernel()
def _draw_position(values: FloatArray, uniform: float) -> int:
    # Position with probability value^2 / sum of squares, -1 if all are zero. Shares of the largest entry neither
    # overflow nor underflow; a position of value zero leaves the running sum as it was and so is never the first
    # to pass the target, which lies strictly below the total.
    largest = 0.0
    for j in range(values.shape[0]):
        largest = max(largest, abs(np.float64(values[j])))
    if largest == 0.0:
        return -1
    total = 0.0
    for j in range(values.shape[0]):
        share = np.float64(values[j]) / largest
        total += share * share
    target = uniform * total
    running = 0.0
    for j in range(values.shape[0]):
        share = np.float64(values[j]) / largest
        running += share * share
        if running > target:
            return j
    return -1


@kernel()
def _dense_serial(
    X: FloatArray, rows: IntArray, positions: IntArray, key: np.uint64, start: int, stop: int, out: IntArray
) -> None:
    for i in range(start, stop):
        state = next_state(block_state(key, np.uint64(positions[i])))
        out[i] = _draw_position(X[rows[i]], state_uniform(state))


@kernel(parallel=True)
def _dense_parallel(
    X: FloatArray, rows: IntArray, positions: IntArray, key: np.uint64, start: int, stop: int, out: IntArray
) -> None:
    for i in prange(start, stop):
        state = next_state(block_state(key, np.uint64(positions[i])))
        out[i] = _draw_position(X[rows[i]], state_uniform(state))


def dense_sample_cols(X: FloatArray, rows: IntArray, key: np.uint64, positions: IntArray | None = None) -> IntArray:
    """Draw one column for each given row of a C-contiguous array; -1 for a row of zeros.

    With `positions` the draws are those at these places of a longer list of rows, of which `rows` is a part.
    """
    places = np.arange(len(rows)) if positions is None else positions
    out = np.empty(len(rows), dtype=np.int64)
    draw = _dense_parallel if worth_threads(len(rows) * X.shape[1]) else _dense_serial
    step = max(1, _CHUNK_ENTRIES // X.shape[1])
    for start in range(0, len(rows), step):
        draw(X, rows, places, key, start, min(start + step, len(rows)), out)
    return out


@kernel()
def _csr_draws(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    rows: IntArray,
    positions: IntArray,
    key: np.uint64,
    start: int,
    stop: int,
    out: IntArray,
) -> None:
    for i in range(start, stop):
        state = next_state(block_state(key, np.uint64(positions[i])))
        low = indptr[rows[i]]
        found = _draw_position(data[low : indptr[rows[i] + 1]], state_uniform(state))
        out[i] = -1 if found < 0 else indices[low + found]


def csr_sample_cols(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    rows: IntArray,
    key: np.uint64,
    positions: IntArray | None = None,
) -> IntArray:
    """Draw one column for each given row of a CSR matrix, at the `positions` of a longer list if given."""
    places = np.arange(len(rows)) if positions is None else positions
    out = np.empty(len(rows), dtype=np.int64)
    step = max(1, int(_CHUNK_ENTRIES * (len(indptr) - 1) / max(1, len(data))))
    for start in range(0, len(rows), step):
        _csr_draws(data, indices, indptr, rows, places, key, start, min(start + step, len(rows)), out)
    return out
