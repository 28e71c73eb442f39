"""Naive twins of every kernel, and the chi-square test: plain Python and numpy, nothing from the package."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.floating[Any]]
    Float64Array = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

# A statistical test here has a fixed seed, so it passes for ever or fails for ever; the threshold is the
# chance with which a right sampler would have failed when the test was written.
P_LOWEST = 1e-6

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
BLOCK = 1024


def mix(word: int) -> int:
    """Return the finaliser of splitmix64 (Steele, Lea, Flood 2014), in Python integers."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def block_state(key: int, block: int) -> int:
    return mix((mix(key) + mix((block + _GOLDEN) & _MASK)) & _MASK)


def words(key: int, block: int) -> Iterator[int]:
    """Yield the 64-bit words of one block of a stream for ever."""
    state = block_state(int(key), block)
    while True:
        state = (state + _GOLDEN) & _MASK
        yield mix(state)


def uniforms(key: int, block: int) -> Iterator[float]:
    """Yield the numbers of one block of a stream for ever."""
    for word in words(key, block):
        yield (word >> 11) / 2**53


def alias_law(table: npt.NDArray[np.uint64]) -> list[Fraction]:
    """Return the exact probabilities that an alias table of (threshold, other) cells stands for."""
    law = [Fraction(int(threshold), 2**64) for threshold in table[:, 0]]
    for threshold, other in table:
        law[int(other)] += 1 - Fraction(int(threshold), 2**64)
    return [probability / len(table) for probability in law]


def alias_draws(table: npt.NDArray[np.uint64], n_draws: int, key: int) -> IntArray:
    draws = []
    for block in range(-(-n_draws // BLOCK)):
        stream = words(key, block)
        for _ in range(min(BLOCK, n_draws - block * BLOCK)):
            cell = (next(stream) * len(table)) >> 64
            draws.append(cell if next(stream) < int(table[cell, 0]) else int(table[cell, 1]))
    return np.array(draws, dtype=np.int64)


def row_norms(X: FloatArray) -> Float64Array:
    """Return norms by `math.hypot`, which scales; NaN where an entry is NaN or infinite."""
    rows = [[float(value) for value in row] for row in X]
    return np.array([math.hypot(*row) if all(map(math.isfinite, row)) else math.nan for row in rows])


def sample_cols(X: FloatArray, rows: IntArray, key: int) -> IntArray:
    """Return, for draw d, the first column whose running share of the squares exceeds the number of block d."""
    cols = []
    for position, row in enumerate(rows):
        values = X[row].astype(np.float64)
        if not values.any():
            cols.append(-1)
            continue
        running = np.cumsum((values / np.abs(values).max()) ** 2)
        cols.append(int(np.searchsorted(running, next(uniforms(key, position)) * running[-1], side="right")))
    return np.array(cols, dtype=np.int64)


def kaczmarz(
    X: FloatArray, b: Float64Array, rows: IntArray, decay: float, x: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the last iterate and the sum of all iterates."""
    iterates = []
    for row in rows:
        a = X[row].astype(np.float64)
        x = decay * x
        x = x + (b[row] - a @ x) / (a @ a) * a
        iterates.append(x)
    return x, np.sum(iterates, axis=0)


def sampled_row_steps(
    entries: Float64Array,
    places: IntArray,
    where: IntArray,
    weights: Float64Array,
    targets: Float64Array,
    background: Float64Array,
    gain: float,
    decay: float,
    drift: float,
    share: float,
    y: Float64Array,
) -> list[tuple[Float64Array, float]]:
    """Return y and the share of the background after each step."""
    iterates = []
    for t, place in enumerate(places):
        x = entries @ y + share * background
        change = gain * (targets[t] - sum(weights[t, e] * x[j] for e, j in enumerate(where[t])))
        y, share = decay * y, decay * share + drift
        y[place] += change
        iterates.append((y, share))
    return iterates


def sample_projected(
    V: FloatArray, table: Float64Array, leverage: Float64Array, X: Float64Array, owners: IntArray, key: int
) -> tuple[IntArray, IntArray]:
    """Return accepted items and the trials they took: propose from the leverage, accept (v.x)^2 / (|v|^2 |x|^2)."""
    items, trials = [], []
    for position, owner in enumerate(owners):
        stream, x, trial = words(key, position), X[owner], 0
        while True:
            trial += 1
            cell = (next(stream) * len(table)) >> 64
            item = cell if next(stream) < int(table[cell, 0]) else int(table[cell, 1])
            value = float(V[item].astype(np.float64) @ x)
            if (next(stream) >> 11) / 2**53 * leverage[item] * float(x @ x) < value * value:
                break
        items.append(item)
        trials.append(trial)
    return np.array(items, dtype=np.int64), np.array(trials, dtype=np.int64)


def gather_rows(X: Any, rows: IntArray) -> Any:
    return sp.csr_array(sp.csr_matrix(X)[rows]) if sp.issparse(X) else np.stack([X[row] for row in rows])


def law_of_rows(X: FloatArray) -> Float64Array:
    return law_of(row_norms(X))


def law_of(values: FloatArray) -> Float64Array:
    """Return the probabilities in proportion to the squares of a vector, of any scale."""
    squares = (values.astype(np.float64) / np.abs(values).max()) ** 2
    return squares / squares.sum()


def chi_square_p(draws: IntArray, law: Float64Array) -> float:
    """Return the p-value of draws against a law; 0 if an impossible item was drawn.

    Cells expected fewer than 5 times are merged into one, so that the chi-square law of the statistic holds.
    """
    counts = np.bincount(draws, minlength=len(law)).astype(np.float64)
    if len(counts) > len(law) or counts[law == 0.0].any():
        return 0.0
    expected = law * len(draws)
    small = expected < 5.0
    observed, expected = (np.append(values[~small], values[small].sum()) for values in (counts, expected))
    if expected[-1] < 5.0 and len(expected) > 1:
        observed, expected = (np.append(values[:-2], values[-2:].sum()) for values in (observed, expected))
    if len(expected) == 1:
        return 1.0
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))
