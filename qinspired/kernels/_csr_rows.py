"""Row norms, order of the indices, gathers and look-ups over CSR triples (data, indices, indptr)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.kernels import _rows
from qinspired.kernels._jit import kernel
from qinspired.kernels._rows import _SAFE_HIGH, _SAFE_LOW, _norm, _scaled_norm

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["csr_find", "csr_gather_rows", "csr_row_norms", "csr_scan"]

# Rows of up to this many entries are summed with a mask over this many, without a branch on their length.
_WIDTH = 16
_MASKS = np.tril(np.ones((_WIDTH + 1, _WIDTH)), -1)

# Rows are scanned in groups whose indices and values stay in the second cache between their two visits.
_GROUP_ROWS, _GROUP_ENTRIES = 256, 16_384


@kernel()
def _csr_norms(data: FloatArray, indptr: IntArray, start: int, stop: int, out: Float64Array) -> None:
    for i in range(start, stop):
        out[i] = _norm(data[indptr[i] : indptr[i + 1]])


def csr_row_norms(data: FloatArray, indptr: IntArray) -> Float64Array:
    """Return the row norms of a CSR matrix, NaN for a row that holds a NaN or an infinity."""
    n_rows = len(indptr) - 1
    out = np.empty(n_rows)
    step = _rows_per_call(len(data), n_rows)
    for start in range(0, n_rows, step):
        _csr_norms(data, indptr, start, min(start + step, n_rows), out)
    return out


def _rows_per_call(n_stored: int, n_rows: int) -> int:
    return max(1, int(_rows._CHUNK_ENTRIES * n_rows / max(1, n_stored)))


@kernel(reorder_sums=True)
def _group_sums(
    data: FloatArray, indptr: IntArray, masks: Float64Array, first: int, last: int, totals: Float64Array
) -> None:
    # The width comes from the masks at run time: with a constant one, LLVM unrolls the loop into scalar steps.
    width, stored = np.uint64(masks.shape[1]), np.uint64(data.shape[0])
    for r in range(first, last):
        low, high = np.uint64(indptr[r]), np.uint64(indptr[r + 1])
        total = 0.0
        if high - low <= width and low + width <= stored:
            values, mask = data[low : low + width], masks[high - low]
            for j in range(mask.shape[0]):
                value = np.float64(values[j]) * mask[j]
                total += value * value
        else:
            values = data[low:high]
            for j in range(values.shape[0]):
                value = np.float64(values[j])
                total += value * value
        totals[r] = total


@kernel()
def _range_and_descents(here: IntArray, before: IntArray) -> tuple[int, int, int]:
    lowest, highest, descents = here[0], here[0], 0
    for p in range(here.shape[0]):
        lowest = min(lowest, here[p])
        highest = max(highest, here[p])
        descents += 1 if here[p] <= before[p] else 0
    return lowest, highest, descents


@kernel()
def _descents_at_starts(indices: IntArray, indptr: IntArray, first: int, last: int) -> int:
    # Between the last entry of a row and the first of the next a descent is no disorder.
    while first < last and indptr[first] == 0:
        first += 1
    while first < last and indptr[last - 1] == indices.shape[0]:
        last -= 1
    bounds, descents, one = indptr[first : last + 1], 0, np.uint64(1)
    for r in range(bounds.shape[0] - 1):
        start = np.uint64(bounds[r])
        descents += (1 if indices[start] <= indices[start - one] else 0) & (1 if bounds[r + 1] > bounds[r] else 0)
    return descents


@kernel()
def _group_norms(
    data: FloatArray, indptr: IntArray, masks: Float64Array, first: int, last: int, norms: Float64Array
) -> None:
    _group_sums(data, indptr, masks, first, last, norms)
    group, unsafe = norms[first:last], 0
    for i in range(group.shape[0]):
        unsafe += 0 if _SAFE_LOW < group[i] < _SAFE_HIGH else 1
        group[i] = math.sqrt(group[i])
    if unsafe == 0:
        return
    for r in range(first, last):
        # Not in range: too large, too small, zero, or a NaN or an infinity here or just behind the row.
        if not 1e-139 < norms[r] < 1e149:
            norms[r] = _scaled_norm(data[indptr[r] : indptr[r + 1]])


@kernel()
def _scan(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    masks: Float64Array,
    start: int,
    stop: int,
    norms: Float64Array,
) -> tuple[Any, Any, Any]:
    lowest, highest, disorder = np.int64(0), np.int64(0), np.int64(0)
    first = start
    while first < stop:
        last = min(first + _GROUP_ROWS, stop)
        while last > first + 1 and indptr[last] - indptr[first] > _GROUP_ENTRIES:
            last = first + (last - first) // 2
        low, high = indptr[first], indptr[last]
        if low == 0 and high > 0:
            lowest, highest = min(lowest, np.int64(indices[0])), max(highest, np.int64(indices[0]))
            low = np.int64(1)
        if high > low:
            least, most, descents = _range_and_descents(indices[low:high], indices[low - 1 : high - 1])
            lowest, highest = min(lowest, np.int64(least)), max(highest, np.int64(most))
            disorder += descents - _descents_at_starts(indices, indptr, first, last)
        _group_norms(data, indptr, masks, first, last, norms)
        first = last
    return lowest, highest, disorder


def csr_scan(
    data: FloatArray, indices: IntArray, indptr: IntArray, start: int, stop: int, norms: Float64Array
) -> tuple[int, int, int]:
    """Write the norms of the rows start to stop, and return the least and largest index and the places out of order.

    A norm is NaN if its row holds a NaN or an infinity; a place is out of order if an index is not above the one before
    it in its row. `indptr` must be int64, never decrease and stay within `data` and `indices`; these may hold anything.
    """
    step = _rows_per_call(int(indptr[stop] - indptr[start]), stop - start)
    parts = [
        _scan(data, indices, indptr, _MASKS, first, min(first + step, stop), norms)
        for first in range(start, stop, step)
    ]
    lowest, highest, disorder = zip(*parts, strict=True)
    return min(lowest), max(highest), sum(disorder)


@kernel()
def _csr_gather(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    rows: IntArray,
    out_indptr: IntArray,
    start: int,
    stop: int,
    out_data: FloatArray,
    out_indices: IntArray,
) -> None:
    for position in range(start, stop):
        low, high = indptr[rows[position]], indptr[rows[position] + 1]
        out_data[out_indptr[position] : out_indptr[position + 1]] = data[low:high]
        out_indices[out_indptr[position] : out_indptr[position + 1]] = indices[low:high]


def csr_gather_rows(
    data: FloatArray, indices: IntArray, indptr: IntArray, rows: IntArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return the CSR triple (data, indices, indptr) of the rows asked for."""
    lengths = indptr[rows + 1] - indptr[rows]
    out_indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=out_indptr[1:])
    out_data = np.empty(out_indptr[-1], dtype=data.dtype)
    out_indices = np.empty(out_indptr[-1], dtype=indices.dtype)
    step = _rows_per_call(len(out_data), len(rows))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        _csr_gather(data, indices, indptr, rows, out_indptr, start, stop, out_data, out_indices)
    return out_data, out_indices, out_indptr


@kernel()
def _csr_find(
    indices: IntArray, indptr: IntArray, rows: IntArray, cols: IntArray, start: int, stop: int, out: IntArray
) -> None:
    for position in range(start, stop):
        low, high = indptr[rows[position]], indptr[rows[position] + 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < cols[position]:
                low = middle + 1
            else:
                high = middle
        out[position] = low if low < end and indices[low] == cols[position] else -1


def csr_find(indices: IntArray, indptr: IntArray, rows: IntArray, cols: IntArray) -> IntArray:
    """Return the place in `indices` of each (row, column), -1 if it is not stored; indices must ascend in each row."""
    out = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), 1_000_000):
        _csr_find(indices, indptr, rows, cols, start, min(start + 1_000_000, len(rows)), out)
    return out
