"""Draws from the squares of a vector V x, V with orthonormal columns, by rejection from the leverage scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._alias import pick
from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import block_state, mix, next_state, state_uniform, word_below

if TYPE_CHECKING:
    from qinspired._typing import AliasCells, Float64Array, FloatArray, IntArray

__all__ = ["sample_projected"]

# A trial takes k products and as long as some 30 entries for its three random numbers and the table.
_VISITS_PER_TRIAL = 30

# Expected trials are k; 2,000 k fail with probability under e^-2000 / k, so reaching the cap means a broken table.
_MAX_TRIALS_PER_COLUMN = 2000


@kernel()
def _draw_one(
    V: FloatArray, table: AliasCells, leverage: Float64Array, x: Float64Array, state: np.uint64
) -> tuple[int, int]:
    n, k = V.shape
    x_sq = 0.0
    for column in range(k):
        x_sq += x[column] * x[column]
    for trial in range(1, _MAX_TRIALS_PER_COLUMN * k + 1):
        first = next_state(state)
        state = next_state(first)
        item = pick(table, word_below(mix(first), np.uint64(n)), mix(state))
        value = 0.0
        for column in range(k):
            value += np.float64(V[item, column]) * x[column]
        state = next_state(state)
        if state_uniform(state) * leverage[item] * x_sq < value * value:
            return item, trial
    return -1, _MAX_TRIALS_PER_COLUMN * k


@kernel(parallel=True)
def _sample_parallel(
    V: FloatArray,
    table: AliasCells,
    leverage: Float64Array,
    X: Float64Array,
    owners: IntArray,
    key: np.uint64,
    items: IntArray,
    trials: IntArray,
) -> None:
    for position in prange(owners.shape[0]):
        items[position], trials[position] = _draw_one(
            V, table, leverage, X[owners[position]], block_state(key, np.uint64(position))
        )


@kernel()
def _sample_serial(
    V: FloatArray,
    table: AliasCells,
    leverage: Float64Array,
    X: Float64Array,
    owners: IntArray,
    key: np.uint64,
    items: IntArray,
    trials: IntArray,
) -> None:
    for position in range(owners.shape[0]):
        items[position], trials[position] = _draw_one(
            V, table, leverage, X[owners[position]], block_state(key, np.uint64(position))
        )


def sample_projected(
    V: FloatArray,
    table: AliasCells,
    leverage: Float64Array,
    X: Float64Array,
    owners: IntArray,
    key: np.uint64,
) -> tuple[IntArray, IntArray]:
    """Draw item j with probability (V x)_j^2 / |x|^2, x = X[owner], for each owner; also return the trials used."""
    items = np.empty(len(owners), dtype=np.int64)
    trials = np.empty(len(owners), dtype=np.int64)
    sample = (
        _sample_parallel
        if worth_threads(len(owners) * V.shape[1] * (V.shape[1] + _VISITS_PER_TRIAL))
        else _sample_serial
    )
    sample(V, table, leverage, X, owners, key, items, trials)
    return items, trials
