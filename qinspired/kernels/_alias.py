"""Alias tables (Walker 1977, Vose 1991): draws from fixed weights in constant time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import BLOCK, block_state, next_state, state_uniform

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray

__all__ = ["build_alias_table", "draw_from_alias_table"]


@kernel()
def _fill_alias_table(shares: Float64Array, table: Float64Array, stack: IntArray) -> None:
    # shares: weights scaled to mean 1. table[i] = (threshold, other index), one cache line a draw; an index is
    # exact in float64 up to 2^53. `stack` holds the light items from the left and the heavy ones from the right.
    n = shares.shape[0]
    n_light = 0
    first_heavy = n
    heaviest = 0
    for i in range(n):
        if shares[i] > shares[heaviest]:
            heaviest = i
        if shares[i] < 1.0:
            stack[n_light] = i
            n_light += 1
        else:
            first_heavy -= 1
            stack[first_heavy] = i
    top = heaviest
    while n_light > 0 and first_heavy < n:
        n_light -= 1
        light = stack[n_light]
        heavy = stack[first_heavy]
        table[light, 0] = shares[light]
        table[light, 1] = heavy
        shares[heavy] = (shares[heavy] + shares[light]) - 1.0
        if shares[heavy] < 1.0:
            first_heavy += 1
            stack[n_light] = heavy
            n_light += 1
    # Rounding leaves some items over, whose share is 1 up to a few ulps; an item of weight zero must not be
    # among those that keep their own cell, so it hands its cell to the heaviest.
    for position in range(first_heavy, n):
        item = stack[position]
        table[item, 0] = 1.0
        table[item, 1] = item
    for position in range(n_light):
        item = stack[position]
        table[item, 0] = 1.0 if shares[item] > 0.5 else shares[item]
        table[item, 1] = top


def build_alias_table(weights: Float64Array) -> Float64Array:
    """Return the (n, 2) table of finite weights >= 0 of which at least one is positive."""
    shares = weights / weights.max()  # neither [1e308, 1e308] nor [5e-324, 5e-324] breaks the sum
    shares *= len(shares) / shares.sum()
    table = np.empty((len(shares), 2))
    _fill_alias_table(shares, table, np.empty(len(shares), dtype=np.int64))
    return table


@kernel()
def _draw_block(table: Float64Array, key: np.uint64, block: int, out: IntArray) -> None:
    n = table.shape[0]
    state = block_state(key, np.uint64(block))
    for position in range(block * BLOCK, min(block * BLOCK + BLOCK, out.shape[0])):
        state = next_state(state)
        cell = int(state_uniform(state) * n)
        state = next_state(state)
        out[position] = cell if state_uniform(state) < table[cell, 0] else int(table[cell, 1])


@kernel()
def _draw_serial(table: Float64Array, key: np.uint64, start: int, stop: int, out: IntArray) -> None:
    for block in range(start, stop):
        _draw_block(table, key, block, out)


@kernel(parallel=True)
def _draw_parallel(table: Float64Array, key: np.uint64, start: int, stop: int, out: IntArray) -> None:
    for block in prange(start, stop):
        _draw_block(table, key, block, out)


# A draw takes as long as some 20 entries of a sum: two random numbers and one random memory access.
_VISITS_PER_DRAW = 20


def draw_from_alias_table(table: Float64Array, n_draws: int, key: np.uint64) -> IntArray:
    """Draw indices; the same ones on any number of threads."""
    out = np.empty(n_draws, dtype=np.int64)
    draw = _draw_parallel if worth_threads(_VISITS_PER_DRAW * n_draws) else _draw_serial
    n_blocks = -(-n_draws // BLOCK)
    for start in range(0, n_blocks, 2048):  # 2 million draws a call, under 0.1 s: Ctrl-C is served between calls
        draw(table, key, start, min(start + 2048, n_blocks), out)
    return out
