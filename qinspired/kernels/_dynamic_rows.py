"""Rows whose entries come, change and go: a pool of segments, a hash table and a hierarchy of norms in each.

Row i is a segment of the pool: extents[i] = (first cell, length, capacity), the capacity 0 or a power of two >= 4. Its
entries stand in cells first ... first + length - 1 of `cols` and `values`, in any order. Three structures share the
segment, so that a row moves as one piece:

- `slots`, 2 cells for each cell of the pool: an open-addressing hash table from a column to its offset in the row
  (linear probing, at most half full; -1 is empty).
- `groups`, 1 cell for 16 cells of the pool: the norms of groups of `FAN` entries, then the norms of groups of `FAN` of
  those, and so on, until a level has at most `FAN`. A row of capacity up to `FAN` has none. The capacity says how many
  nodes a level has; those past the length are stale and never read.
- `norms`, one for each row: the norm of its top level.

The levels hold norms and not sums of squares, since a norm neither overflows nor underflows; each is computed from its
parts alone, so nothing drifts. A column is drawn by a descent, group by group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qinspired.kernels._columns import _draw_position
from qinspired.kernels._jit import kernel
from qinspired.kernels._rows import _norm
from qinspired.kernels._streams import block_state, mix, next_state, state_uniform

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

    SlotArray = npt.NDArray[np.int32]

__all__ = ["FAN", "RowPool", "dynamic_change", "dynamic_draw", "dynamic_find", "index_row"]

FAN = 32
_FAN_BITS = 5
_CELLS_PER_GROUP_BITS = 4  # of c cells, c/32 + c/1024 + ... < c/16 group cells

# A row of lesser norm is drawn from by a scan: its groups may be subnormal, so that their norms are far from exact.
_COARSE = 1e-290

# Changes, or draws, of one kernel call; Ctrl-C is served between calls.
_CHUNK_CHANGES = 100_000


class RowPool(NamedTuple):
    """The arrays of the rows; see the head of this file."""

    extents: IntArray
    norms: Float64Array
    cols: IntArray
    values: Float64Array
    slots: SlotArray
    groups: Float64Array


@kernel()
def _home(col: int, mask: int) -> int:
    # A hash of all 64 bits: a multiplication alone would put columns of an unlucky stride into one run.
    return int(np.int64(mix(np.uint64(col)) & np.uint64(mask)))


@kernel()
def _find_slot(cols: IntArray, slots: SlotArray, first: int, capacity: int, col: int) -> int:
    # The cell of `slots` that names the column, or the empty one where it would be.
    mask = 2 * capacity - 1
    slot = _home(col, mask)
    while True:
        offset = slots[2 * first + slot]
        if offset < 0 or cols[first + offset] == col:
            return 2 * first + slot
        slot = (slot + 1) & mask


@kernel()
def _free_slot(cols: IntArray, slots: SlotArray, first: int, capacity: int, slot: int) -> None:
    # Backward-shift deletion (Knuth 6.4, algorithm R): later names of the run move up, so no tombstones pile up.
    mask = 2 * capacity - 1
    gap = slot - 2 * first
    probe = (gap + 1) & mask
    while slots[2 * first + probe] >= 0:
        home = _home(cols[first + slots[2 * first + probe]], mask)
        if ((probe - home) & mask) >= ((probe - gap) & mask):
            slots[2 * first + gap] = slots[2 * first + probe]
            gap = probe
        probe = (probe + 1) & mask
    slots[2 * first + gap] = -1


@kernel()
def _refresh(
    values: Float64Array, groups: Float64Array, first: int, length: int, capacity: int, low: int, high: int
) -> tuple[float, int]:
    # Recompute the groups above offsets low ... high - 1; return the norm of the row and the cells that were read.
    if capacity <= FAN:
        return _norm(values[first : first + length]), length
    base = first >> _CELLS_PER_GROUP_BITS
    n_read = 0
    count = (length + FAN - 1) >> _FAN_BITS
    low >>= _FAN_BITS
    high = min(count, ((high - 1) >> _FAN_BITS) + 1)
    for node in range(low, high):
        left, right = node * FAN, min(length, node * FAN + FAN)
        groups[base + node] = _norm(values[first + left : first + right])
        n_read += right - left
    width = capacity >> _FAN_BITS
    while width > FAN:
        above = base + width
        low >>= _FAN_BITS
        high = min((count + FAN - 1) >> _FAN_BITS, ((high - 1) >> _FAN_BITS) + 1)
        for node in range(low, high):
            left, right = node * FAN, min(count, node * FAN + FAN)
            groups[above + node] = _norm(groups[base + left : base + right])
            n_read += right - left
        base, count, width = above, (count + FAN - 1) >> _FAN_BITS, width >> _FAN_BITS
    return _norm(groups[base : base + count]), n_read + count


@kernel()
def _remove(
    cols: IntArray, values: Float64Array, slots: SlotArray, first: int, length: int, capacity: int, slot: int
) -> None:
    # The last entry of the row takes the place of the one removed.
    offset, last = slots[slot], length - 1
    _free_slot(cols, slots, first, capacity, slot)
    if offset != last:
        moved = cols[first + last]
        slots[_find_slot(cols, slots, first, capacity, moved)] = offset
        cols[first + offset] = moved
        values[first + offset] = values[first + last]


@kernel()
def index_row(
    cols: IntArray,
    values: Float64Array,
    slots: SlotArray,
    groups: Float64Array,
    first: int,
    length: int,
    capacity: int,
) -> float:
    """Build hash table and hierarchy of a row whose columns and values are in place; return its norm."""
    slots[2 * first : 2 * (first + capacity)] = -1
    for offset in range(length):
        slots[_find_slot(cols, slots, first, capacity, cols[first + offset])] = offset
    return _refresh(values, groups, first, length, capacity, 0, length)[0]


@kernel()
def _change(
    extents: IntArray,
    norms: Float64Array,
    cols: IntArray,
    values: Float64Array,
    slots: SlotArray,
    groups: Float64Array,
    rows: IntArray,
    at: IntArray,
    wanted: Float64Array,
    start: int,
    stop: int,
) -> int:
    n_read = 0
    position = start
    while position < stop:
        row = rows[position]
        end = position + 1
        while end < stop and rows[end] == row:
            end += 1
        first, length, capacity = extents[row, 0], extents[row, 1], extents[row, 2]
        # As many changes as groups: the groups are then summed once, after all changes of the row.
        whole = (end - position) * FAN >= length
        norm = norms[row]  # stays if there is nothing to remove
        for change in range(position, end):
            slot = _find_slot(cols, slots, first, capacity, at[change])
            offset = int(slots[slot])
            last = length - 1
            if wanted[change] == 0.0:
                if offset < 0:
                    continue
                _remove(cols, values, slots, first, length, capacity, slot)
                length -= 1
            else:
                if offset < 0:
                    offset = last = length
                    cols[first + offset] = at[change]
                    slots[slot] = offset
                    length += 1
                values[first + offset] = wanted[change]
            if not whole:
                norm, n_cells = _refresh(values, groups, first, length, capacity, offset, offset + 1)
                n_read += n_cells
                if wanted[change] == 0.0:
                    norm, n_cells = _refresh(values, groups, first, length, capacity, last, last + 1)
                    n_read += n_cells
        if whole:
            norm, n_cells = _refresh(values, groups, first, length, capacity, 0, length)
            n_read += n_cells
        extents[row, 1] = length
        norms[row] = norm
        position = end
    return n_read


def dynamic_change(pool: RowPool, rows: IntArray, at: IntArray, wanted: Float64Array) -> int:
    """Give the entries (rows, at) their values, 0 to remove one if there is; return the cells that the norms took.

    Equal rows must stand together, and a row must have the capacity for what is put in.
    """
    n_read = 0
    for start in range(0, len(rows), _CHUNK_CHANGES):
        n_read += _change(*pool, rows, at, wanted, start, min(start + _CHUNK_CHANGES, len(rows)))
    return n_read


@kernel()
def _find(
    extents: IntArray,
    cols: IntArray,
    values: Float64Array,
    slots: SlotArray,
    rows: IntArray,
    at: IntArray,
    start: int,
    stop: int,
    out: Float64Array,
) -> None:
    for position in range(start, stop):
        first, capacity = extents[rows[position], 0], extents[rows[position], 2]
        out[position] = 0.0
        if capacity > 0:
            offset = slots[_find_slot(cols, slots, first, capacity, at[position])]
            if offset >= 0:
                out[position] = values[first + offset]


def dynamic_find(pool: RowPool, rows: IntArray, at: IntArray) -> Float64Array:
    """Return the entries (rows, at), 0 where none is stored."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), _CHUNK_CHANGES):
        stop = min(start + _CHUNK_CHANGES, len(rows))
        _find(pool.extents, pool.cols, pool.values, pool.slots, rows, at, start, stop, out)
    return out


@kernel()
def _draw_offset(
    values: Float64Array, groups: Float64Array, first: int, length: int, capacity: int, state: np.uint64
) -> int:
    base, level = first >> _CELLS_PER_GROUP_BITS, 0
    while (capacity >> (_FAN_BITS * level)) > FAN:
        base += (capacity >> (_FAN_BITS * level)) if level > 0 else 0
        level += 1
    low, high = 0, (length + (1 << (_FAN_BITS * level)) - 1) >> (_FAN_BITS * level)
    while level > 0:
        low = (low + _draw_position(groups[base + low : base + high], state_uniform(state))) << _FAN_BITS
        state = next_state(state)
        level -= 1
        high = min(low + FAN, (length + (1 << (_FAN_BITS * level)) - 1) >> (_FAN_BITS * level))
        base -= (capacity >> (_FAN_BITS * level)) if level > 0 else 0
    return low + _draw_position(values[first + low : first + high], state_uniform(state))


@kernel()
def _draw(
    extents: IntArray,
    norms: Float64Array,
    cols: IntArray,
    values: Float64Array,
    groups: Float64Array,
    rows: IntArray,
    key: np.uint64,
    start: int,
    stop: int,
    out: IntArray,
) -> None:
    for position in range(start, stop):
        first, length, capacity = extents[rows[position], 0], extents[rows[position], 1], extents[rows[position], 2]
        out[position] = -1
        if length > 0:
            state = next_state(block_state(key, np.uint64(position)))
            if norms[rows[position]] < _COARSE:
                offset = _draw_position(values[first : first + length], state_uniform(state))
            else:
                offset = _draw_offset(values, groups, first, length, capacity, state)
            out[position] = cols[first + offset]


def dynamic_draw(pool: RowPool, rows: IntArray, key: np.uint64) -> IntArray:
    """Draw one column for each given row by squared size; -1 for an empty row."""
    out = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _CHUNK_CHANGES):
        stop = min(start + _CHUNK_CHANGES, len(rows))
        _draw(pool.extents, pool.norms, pool.cols, pool.values, pool.groups, rows, key, start, stop, out)
    return out
