"""Draws from buckets of items by rejection: see `_buckets`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qinspired.kernels._alias import pick
from qinspired.kernels._alias_build import build_alias_table
from qinspired.kernels._buckets import COUNT, N_BUCKETS, QUARTER_BITS, QUARTERS, START, Buckets
from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import BLOCK, block_state, mix, state_after, word_below

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import AliasCells, Float64Array, IntArray

__all__ = ["BucketLaw", "bucket_law", "draw_from_buckets"]

_BLOCKS_PER_CALL = 2048  # 2 million draws, under 0.1 s: Ctrl-C is served between calls


class BucketLaw(NamedTuple):
    """What draws need to know of the buckets that are not empty."""

    table: AliasCells  # over these buckets
    segments: npt.NDArray[np.uint64]  # (start, count) of each
    bounds: Float64Array  # of m^p in each


@kernel()
def _bucket_shares(all_segments: IntArray, squared: bool) -> tuple[Float64Array, npt.NDArray[np.uint64], Float64Array]:
    n = 0
    used = np.empty(N_BUCKETS, dtype=np.int64)
    for bucket in range(N_BUCKETS):
        used[n] = bucket
        n += all_segments[COUNT, bucket] > 0
    shares, segments, bounds = np.empty(n), np.empty((n, 2), dtype=np.uint64), np.empty(n)
    power = 2 if squared else 1
    kept = 0
    for place in range(n):
        bucket = used[place]
        bound = (QUARTERS + 1 + bucket % QUARTERS) / (2 * QUARTERS)
        bounds[kept] = bound * bound if squared else bound  # exact
        exponent = int(power * ((bucket >> QUARTER_BITS) - (used[n - 1] >> QUARTER_BITS)))
        shares[kept] = math.ldexp(bounds[kept] * all_segments[COUNT, bucket], exponent)
        segments[kept, 0] = all_segments[START, bucket]
        segments[kept, 1] = all_segments[COUNT, bucket]
        kept += shares[kept] > 0.0
    return shares[:kept], segments[:kept], bounds[:kept]


def bucket_law(buckets: Buckets, *, squared: bool) -> BucketLaw | None:
    """Return what draws need to know of the buckets, or None if there is no item of positive weight.

    Buckets lighter than 2^-1074 of the heaviest are left out.
    """
    shares, segments, bounds = _bucket_shares(buckets.segments, squared)
    return BucketLaw(build_alias_table(shares), segments, bounds) if len(shares) else None


@kernel()
def _draw_block(law: BucketLaw, pairs: Float64Array, squared: bool, key: np.uint64, block: int, out: IntArray) -> None:
    # A round makes as many proposals as draws are missing: all words first, which the compiler vectorises; then all
    # slots; then all loads from the pool, none of which waits for another one or for the verdict on it. A proposal
    # takes two words of the block's stream. The high part of word x count is the bucket or the slot, the low part is
    # uniform given the high one and decides what comes next: each probability is right to some 2^-63.
    n_cells = np.uint64(law.table.shape[0])
    begin = block_state(key, np.uint64(block))
    low = block * BLOCK
    size = min(BLOCK, out.shape[0] - low)
    firsts = np.empty(BLOCK, dtype=np.uint64)
    seconds = np.empty(BLOCK, dtype=np.uint64)
    slots = np.empty(BLOCK, dtype=np.uint64)
    marks = np.empty(BLOCK)
    tried = found = 0
    while found < size:
        missing = size - found
        for trial in range(missing):
            firsts[trial] = mix(state_after(begin, 2 * (tried + trial) + 1))
            seconds[trial] = mix(state_after(begin, 2 * (tried + trial) + 2))
        for trial in range(missing):
            segment = pick(law.table, word_below(firsts[trial], n_cells), firsts[trial] * n_cells)
            count = law.segments[segment, 1]
            slots[trial] = law.segments[segment, 0] + word_below(seconds[trial], count)
            marks[trial] = float((seconds[trial] * count) >> np.uint64(11)) * 2.0**-53 * law.bounds[segment]
        for trial in range(missing):
            mantissa = pairs[slots[trial], 1]
            out[low + found] = int(pairs[slots[trial], 0])
            found += marks[trial] < (mantissa * mantissa if squared else mantissa)
        tried += missing


@kernel()
def _draw_serial(
    law: BucketLaw, pairs: Float64Array, squared: bool, key: np.uint64, start: int, stop: int, out: IntArray
) -> None:
    for block in range(start, stop):
        _draw_block(law, pairs, squared, key, block, out)


@kernel(parallel=True)
def _draw_parallel(
    law: BucketLaw, pairs: Float64Array, squared: bool, key: np.uint64, start: int, stop: int, out: IntArray
) -> None:
    for block in prange(start, stop):
        _draw_block(law, pairs, squared, key, block, out)


# A draw takes as long as some 20 entries of a sum, twice as long as one from an alias table.
_VISITS_PER_DRAW = 20


def draw_from_buckets(buckets: Buckets, law: BucketLaw, n_draws: int, key: np.uint64, *, squared: bool) -> IntArray:
    """Draw items by the law made of these buckets as they are; the same ones on any number of threads."""
    out = np.empty(n_draws, dtype=np.int64)
    draw = _draw_parallel if worth_threads(_VISITS_PER_DRAW * n_draws) else _draw_serial
    n_blocks = -(-n_draws // BLOCK)
    for start in range(0, n_blocks, _BLOCKS_PER_CALL):
        draw(law, buckets.pairs, squared, key, start, min(start + _BLOCKS_PER_CALL, n_blocks), out)
    return out
