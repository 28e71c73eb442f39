"""The room of rows whose entries come and go: when segments grow, and when the pool is packed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired.kernels import (
    RowPool,
    dynamic_change,
    dynamic_draw,
    dynamic_find,
    dynamic_gather,
    dynamic_move,
    dynamic_place,
    dynamic_write,
)

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray

__all__ = ["DynamicRows"]

_SMALLEST_CAPACITY = 4
_LARGEST_CAPACITY = 2**30  # an offset in a row is an int32

# A pool with more than this many cells an entry is packed anew. Freshly packed rows of one entry, the worst case, have
# 8: four cells of capacity, and as much free room again.
_LOOSEST = 32


class DynamicRows:
    """Sparse rows in a pool of segments; the caller checks, locks, and reserves room before it writes.

    Parameters
    ----------
    n_rows, n_cols : int
        Shape of the matrix that the rows make up, zero at first.
    """

    def __init__(self, n_rows: int, n_cols: int) -> None:
        self.n_rows = n_rows
        self.n_cols = n_cols
        self.n_stored = 0
        self._pool = _empty_pool(n_rows, 0)
        self._end = 0  # cells of the pool in use, or left behind by rows that moved

    @property
    def norms(self) -> Float64Array:
        """Norms of all rows, a view."""
        return self._pool.norms[: self.n_rows]

    @property
    def lengths(self) -> IntArray:
        """Stored entries of all rows, a view."""
        return self._pool.extents[: self.n_rows, 1]

    def copy(self) -> DynamicRows:
        """Return an independent copy, without the free room."""
        twin = DynamicRows(0, self.n_cols)
        n, end = self.n_rows, _round_up(self._end)
        pool = self._pool
        twin._pool = RowPool(
            extents=pool.extents[:n].copy(),
            norms=pool.norms[:n].copy(),
            cols=pool.cols[:end].copy(),
            values=pool.values[:end].copy(),
            slots=pool.slots[: 2 * end].copy(),
            groups=pool.groups[: end // 16].copy(),
        )
        twin.n_rows, twin.n_stored, twin._end = n, self.n_stored, end
        return twin

    def find(self, rows: IntArray, cols: IntArray) -> Float64Array:
        """Return entries, 0 where none is stored."""
        return dynamic_find(self._pool, rows, cols)

    def draw(self, rows: IntArray, key: np.uint64) -> IntArray:
        """Return a column for each row, -1 for an empty row."""
        return dynamic_draw(self._pool, rows, key)

    def gather(self, rows: IntArray) -> sp.csr_array[Any]:
        """Return rows as a canonical CSR block."""
        index_type = np.int32 if self.n_cols <= np.iinfo(np.int32).max else np.int64
        triple = dynamic_gather(self._pool, rows, index_type)
        block: sp.csr_array[Any] = sp.csr_array(triple, shape=(len(rows), self.n_cols))
        block.sort_indices()
        return block

    def change(self, rows: IntArray, cols: IntArray, values: Float64Array) -> None:
        """Give entries their values, 0 to remove one; equal rows stand together, and their room is reserved."""
        dynamic_change(self._pool, rows, cols, values)

    def write(self, rows: IntArray, block: sp.csr_array[Any]) -> None:
        """Replace distinct rows, whose room is reserved, by those of a CSR block without zeros."""
        indices, indptr = (part.astype(np.int64, copy=False) for part in (block.indices, block.indptr))
        dynamic_write(self._pool, rows, block.data, indices, indptr)

    def recount(self) -> None:
        """Count the stored entries."""
        self.n_stored = int(self.lengths.sum())

    def add_rows(self, count: int) -> IntArray:
        """Append rows of zeros and return their numbers."""
        pool, known = self._pool, len(self._pool.norms)
        wanted = self.n_rows + count
        if wanted > known:
            extents, norms = np.zeros((max(wanted, 2 * known), 3), dtype=np.int64), np.zeros(max(wanted, 2 * known))
            extents[:known], norms[:known] = pool.extents, pool.norms
            self._pool = pool._replace(extents=extents, norms=norms)
        new = np.arange(self.n_rows, wanted)
        self.n_rows = wanted
        return new

    def drop_rows(self, n_rows: int) -> None:
        """Keep the first rows only."""
        self._pool.extents[n_rows:] = 0
        self._pool.norms[n_rows:] = 0.0
        self.n_rows = n_rows

    def reserve(self, rows: IntArray, lengths: IntArray) -> None:
        """Give distinct rows the capacity for so many entries; all rows keep theirs, and the room for them.

        A row that is full moves to a segment twice as long, and a pool that is full to one with as much free room
        as its segments take: so a cell is moved O(1) times for each entry put in.
        """
        held = self._pool.extents[rows]
        short = lengths > held[:, 2]
        size = len(self._pool.cols)
        if size > _LOOSEST * (self.n_stored + int(lengths.sum())) + 1024:
            self._pack(rows, lengths)
        elif short.any():
            capacities = _capacities(lengths[short])
            firsts, end = dynamic_place(capacities, self._end)
            if end > size:
                self._pack(rows, lengths)
            else:
                self._end = end
                dynamic_move(self._pool, self._pool, rows[short], firsts, capacities)

    def _pack(self, rows: IntArray, lengths: IntArray) -> None:
        pool = self._pool
        wanted = pool.extents[:, 1].copy()
        wanted[rows] = np.maximum(wanted[rows], lengths)
        capacities = _capacities(wanted)
        firsts, end = dynamic_place(capacities, 0)
        packed = _empty_pool(len(wanted), 2 * end)._replace(norms=pool.norms)
        moved = np.flatnonzero(capacities)
        dynamic_move(pool, packed, moved, firsts[moved], capacities[moved])
        self._pool, self._end = packed, end


def _empty_pool(n_rows: int, n_cells: int) -> RowPool:
    n_cells = _round_up(n_cells)
    return RowPool(
        extents=np.zeros((n_rows, 3), dtype=np.int64),
        norms=np.zeros(n_rows),
        cols=np.empty(n_cells, dtype=np.int64),
        values=np.empty(n_cells),
        slots=np.empty(2 * n_cells, dtype=np.int32),
        groups=np.empty(n_cells // 16),
    )


def _round_up(n_cells: int) -> int:
    return -(-n_cells // 16) * 16  # whole groups


def _capacities(lengths: IntArray) -> IntArray:
    # The powers of two that are large enough; frexp(n - 1) has the number of bits of n - 1, exactly.
    bits = np.frexp(np.maximum(lengths, 1) - 1.0)[1].astype(np.int64)
    capacities: IntArray = np.where(lengths > 0, np.maximum(_SMALLEST_CAPACITY, 1 << bits), 0)
    if capacities.max(initial=0) > _LARGEST_CAPACITY:
        raise ValueError(f"a row may have at most {_LARGEST_CAPACITY} stored entries; got {int(lengths.max())}.")
    return capacities
