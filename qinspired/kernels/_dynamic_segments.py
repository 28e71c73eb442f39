"""Whole rows of a pool (`_dynamic_rows.py`): written, moved to longer segments, gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.kernels._dynamic_rows import FAN, RowPool, index_row
from qinspired.kernels._jit import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

    SlotArray = npt.NDArray[np.int32]

__all__ = ["dynamic_gather", "dynamic_move", "dynamic_place", "dynamic_write"]

# Entries of one kernel call; Ctrl-C is served between calls.
_CHUNK_ENTRIES = 2_000_000


@kernel()
def _write(
    extents: IntArray,
    norms: Float64Array,
    cols: IntArray,
    values: Float64Array,
    slots: SlotArray,
    groups: Float64Array,
    rows: IntArray,
    data: Float64Array,
    indices: IntArray,
    indptr: IntArray,
    start: int,
    stop: int,
) -> None:
    for position in range(start, stop):
        row = rows[position]
        first, capacity = extents[row, 0], extents[row, 2]
        low, length = indptr[position], indptr[position + 1] - indptr[position]
        cols[first : first + length] = indices[low : low + length]
        values[first : first + length] = data[low : low + length]
        norms[row] = index_row(cols, values, slots, groups, first, length, capacity)
        extents[row, 1] = length


def dynamic_write(pool: RowPool, rows: IntArray, data: Float64Array, indices: IntArray, indptr: IntArray) -> None:
    """Replace whole rows by those of a CSR triple without zeros; the rows must have the capacity for them."""
    step = _rows_per_chunk(len(rows), len(data))
    for start in range(0, len(rows), step):
        _write(*pool, rows, data, indices, indptr, start, min(start + step, len(rows)))


def _rows_per_chunk(n_rows: int, n_entries: int) -> int:
    return max(1, int(_CHUNK_ENTRIES * n_rows / max(1, n_entries + n_rows)))


@kernel()
def _place(capacities: IntArray, end: int, firsts: IntArray) -> int:
    for position in range(capacities.shape[0]):
        if capacities[position] > FAN:
            end = (end + 15) & ~15
        firsts[position] = end
        end += capacities[position]
    return end


def dynamic_place(capacities: IntArray, end: int) -> tuple[IntArray, int]:
    """Return the first cells of new segments behind cell `end`, and where they end; groups are aligned."""
    firsts = np.empty(len(capacities), dtype=np.int64)
    return firsts, _place(capacities, end, firsts)


@kernel()
def _move(
    extents: IntArray,
    cols: IntArray,
    values: Float64Array,
    new_extents: IntArray,
    new_cols: IntArray,
    new_values: Float64Array,
    new_slots: SlotArray,
    new_groups: Float64Array,
    rows: IntArray,
    firsts: IntArray,
    capacities: IntArray,
    start: int,
    stop: int,
) -> None:
    for position in range(start, stop):
        row, to, capacity = rows[position], firsts[position], capacities[position]
        first, length = extents[row, 0], extents[row, 1]
        new_cols[to : to + length] = cols[first : first + length]
        new_values[to : to + length] = values[first : first + length]
        index_row(new_cols, new_values, new_slots, new_groups, to, length, capacity)
        new_extents[row, 0], new_extents[row, 1], new_extents[row, 2] = to, length, capacity


def dynamic_move(pool: RowPool, new_pool: RowPool, rows: IntArray, firsts: IntArray, capacities: IntArray) -> None:
    """Copy rows to new segments, in the same pool or in another one."""
    target = (new_pool.extents, new_pool.cols, new_pool.values, new_pool.slots, new_pool.groups)
    step = _rows_per_chunk(len(rows), int(capacities.sum()))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        _move(pool.extents, pool.cols, pool.values, *target, rows, firsts, capacities, start, stop)


@kernel()
def _gather(
    extents: IntArray,
    cols: IntArray,
    values: Float64Array,
    rows: IntArray,
    start: int,
    stop: int,
    data: Float64Array,
    indices: IntArray,
    indptr: IntArray,
) -> None:
    for position in range(start, stop):
        first, low = extents[rows[position], 0], indptr[position]
        for offset in range(indptr[position + 1] - low):
            data[low + offset] = values[first + offset]
            indices[low + offset] = cols[first + offset]


def dynamic_gather(
    pool: RowPool, rows: IntArray, index_type: npt.DTypeLike
) -> tuple[Float64Array, npt.NDArray[np.signedinteger[Any]], IntArray]:
    """Return the CSR triple (data, indices, indptr) of rows, each in the order of the pool."""
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(pool.extents[rows, 1], out=indptr[1:])
    data, indices = np.empty(indptr[-1]), np.empty(indptr[-1], dtype=index_type)
    step = _rows_per_chunk(len(rows), len(data))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        _gather(pool.extents, pool.cols, pool.values, rows, start, stop, data, indices, indptr)
    return data, indices, indptr
