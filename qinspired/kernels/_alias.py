"""Alias tables (Walker 1977): draws from fixed weights in constant time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import BLOCK, block_state, mix, state_after, word_below

if TYPE_CHECKING:
    from qinspired._typing import AliasCells, IntArray

__all__ = ["draw_from_alias_table", "pick"]


@kernel()
def pick(table: AliasCells, cell: np.uint64, word: np.uint64) -> int:
    """Return the item of a cell: itself if the word is below its threshold, else the other one."""
    item: Any = np.int64(cell) if word < table[cell, 0] else np.int64(table[cell, 1])
    return item  # type: ignore[no-any-return]


@kernel()
def _draw_block(table: AliasCells, key: np.uint64, block: int, out: IntArray) -> None:
    # All numbers first, in a loop without memory accesses that the compiler vectorises; then all cells, whose loads
    # do not wait for one another. One loop over both took 35 ns a draw at n = 10^7 where this takes 13.
    n = np.uint64(table.shape[0])
    start = block_state(key, np.uint64(block))
    low = block * BLOCK
    size = min(BLOCK, out.shape[0] - low)
    cells = np.empty(BLOCK, dtype=np.uint64)
    words = np.empty(BLOCK, dtype=np.uint64)
    for position in range(size):
        cells[position] = word_below(mix(state_after(start, 2 * position + 1)), n)
        words[position] = mix(state_after(start, 2 * position + 2))
    for position in range(size):
        out[low + position] = pick(table, cells[position], words[position])


@kernel()
def _draw_serial(table: AliasCells, key: np.uint64, start: int, stop: int, out: IntArray) -> None:
    for block in range(start, stop):
        _draw_block(table, key, block, out)


@kernel(parallel=True)
def _draw_parallel(table: AliasCells, key: np.uint64, start: int, stop: int, out: IntArray) -> None:
    for block in prange(start, stop):
        _draw_block(table, key, block, out)


# A draw takes as long as some 10 entries of a sum: two random numbers and one random memory access.
_VISITS_PER_DRAW = 10


def draw_from_alias_table(table: AliasCells, n_draws: int, key: np.uint64) -> IntArray:
    """Draw indices; the same ones on any number of threads."""
    out = np.empty(n_draws, dtype=np.int64)
    draw = _draw_parallel if worth_threads(_VISITS_PER_DRAW * n_draws) else _draw_serial
    n_blocks = -(-n_draws // BLOCK)
    for start in range(0, n_blocks, 2048):  # 2 million draws a call, under 0.1 s: Ctrl-C is served between calls
        draw(table, key, start, min(start + 2048, n_blocks), out)
    return out
