"""Row norms and row gathers over dense arrays, on one thread.

One thread reads float32 rows at 1.2 to 1.3 times and float64 rows at 0.9 to 1 times the rate of `X.sum()`. Two are
hardly faster and less steady: of seven passes over 1.6 GB of float32, beside other work, the best took 46 ms on two
threads and 51 on one, the median 82 and 55. And numba's threads spin on beside the matrix products that follow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["add_squares_of_columns", "dense_gather_rows", "dense_probe_rows", "dense_row_norms", "norms_of_totals"]

# A chunk of this many entries takes under 0.1 s even from a slow disk; Ctrl-C is served between chunks.
_CHUNK_ENTRIES = 32_000_000

# Outside this range a sum of squares has lost digits to underflow, or overflowed; the row is summed again, scaled.
_SAFE_LOW, _SAFE_HIGH = 1e-280, 1e300

# Totals of this many rows, 32 KB, stay in the first cache while the columns go by.
_STRIP = 4096


@kernel(reorder_sums=True)
def _sum_sq(values: FloatArray) -> float:
    total = 0.0
    for j in range(values.shape[0]):
        value = np.float64(values[j])
        total += value * value
    return total


@kernel()
def _scaled_norm(values: FloatArray) -> float:
    # A norm whose squares would overflow or underflow; NaN if an entry is NaN or infinite.
    largest = 0.0
    for j in range(values.shape[0]):
        size = abs(np.float64(values[j]))
        if not size < math.inf:
            return math.nan
        largest = max(largest, size)
    if largest == 0.0:
        return 0.0
    total = 0.0
    for j in range(values.shape[0]):
        share = np.float64(values[j]) / largest
        total += share * share
    return largest * math.sqrt(total)


@kernel()
def _norm(values: FloatArray) -> float:
    total = _sum_sq(values)
    if _SAFE_LOW < total < _SAFE_HIGH:
        return math.sqrt(total)
    return _scaled_norm(values)


@kernel()
def _dense_norms(X: FloatArray, start: int, stop: int, out: Float64Array) -> None:
    for i in range(start, stop):
        out[i] = _norm(X[i])


def dense_row_norms(X: FloatArray) -> Float64Array:
    """Return the row norms of a C-contiguous array, NaN for a row that holds a NaN or an infinity."""
    n_rows, n_cols = X.shape
    out = np.empty(n_rows)
    step = max(1, _CHUNK_ENTRIES // n_cols)
    for start in range(0, n_rows, step):
        _dense_norms(X, start, min(start + step, n_rows), out)
    return out


@kernel()
def _add_squares(columns: FloatArray, totals: Float64Array) -> None:
    n_cols, n_rows = columns.shape
    for low in range(0, n_rows, _STRIP):
        strip = totals[low : low + _STRIP]
        for j in range(0, n_cols - n_cols % 4, 4):  # four at a time, as each visit loads and stores the totals
            a, b = columns[j, low : low + _STRIP], columns[j + 1, low : low + _STRIP]
            c, d = columns[j + 2, low : low + _STRIP], columns[j + 3, low : low + _STRIP]
            for i in range(strip.shape[0]):
                p, q, r, s = np.float64(a[i]), np.float64(b[i]), np.float64(c[i]), np.float64(d[i])
                strip[i] += (p * p + q * q) + (r * r + s * s)
        for j in range(n_cols - n_cols % 4, n_cols):
            a = columns[j, low : low + _STRIP]
            for i in range(strip.shape[0]):
                p = np.float64(a[i])
                strip[i] += p * p


def add_squares_of_columns(columns: FloatArray, totals: Float64Array) -> None:
    """Add to each total the squares of one row; `columns` is C-contiguous with a line for each column."""
    n_cols, n_rows = columns.shape
    if n_rows > _CHUNK_ENTRIES:
        for j in range(n_cols):
            for low in range(0, n_rows, _CHUNK_ENTRIES):
                high = min(low + _CHUNK_ENTRIES, n_rows)
                _add_squares(columns[j : j + 1, low:high], totals[low:high])
        return
    step = max(1, _CHUNK_ENTRIES // n_rows)
    for start in range(0, n_cols, step):
        _add_squares(columns[start : start + step], totals)


def norms_of_totals(totals: Float64Array) -> IntArray:
    """Replace sums of squares by their roots in place; return the rows whose sums left the safe range."""
    unsafe = np.flatnonzero(~((totals > _SAFE_LOW) & (totals < _SAFE_HIGH)))
    np.sqrt(totals, out=totals)
    return unsafe


@kernel()
def _dense_gather(X: FloatArray, rows: IntArray, start: int, stop: int, out: FloatArray) -> None:
    for position in range(start, stop):
        out[position, :] = X[rows[position], :]


def dense_gather_rows(X: FloatArray, rows: IntArray) -> FloatArray:
    """Return X[rows] for a C-contiguous array and indices in range."""
    out = np.empty((len(rows), X.shape[1]), dtype=X.dtype)
    step = max(1, _CHUNK_ENTRIES // X.shape[1])
    for start in range(0, len(rows), step):
        _dense_gather(X, rows, start, min(start + step, len(rows)), out)
    return out


@kernel()
def _probe(
    X: FloatArray, rows: IntArray, starts: IntArray, width: int, first: int, last: int, out: Float64Array
) -> None:
    for place in range(first, last):
        i, start, total = rows[place], starts[place], 0.0
        for j in range(start, min(start + width, X.shape[1])):
            value = np.float64(X[i, j])
            total += value * value
        for j in range(start + width - X.shape[1]):
            value = np.float64(X[i, j])
            total += value * value
        out[place] = total


def dense_probe_rows(X: FloatArray, rows: IntArray, starts: IntArray, width: int) -> Float64Array:
    """Return the sums of the squares of `width` entries of each given row, from its start on and round its end."""
    out = np.empty(len(rows))
    step = max(1, _CHUNK_ENTRIES // width)
    for first in range(0, len(rows), step):
        _probe(X, rows, starts, width, first, min(first + step, len(rows)), out)
    return out
