"""Which columns, or rows: pivoting in a basis of leading directions, or draws without repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from qinspired.algorithms.selection._drawn import rounding

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array, IntArray

__all__ = ["METHODS", "choose", "distinct_draws", "independent"]

METHODS = ("auto", "qr", "pivoting", "leverage", "length-squared")

# Draws in search of distinct items end after so many per item, and some more for a small number of items.
_MOST_DRAWS = 64
_MORE_DRAWS = 1024


def choose(basis: Float64Array, count: int, rank: int, method: str, rng: np.random.Generator) -> IntArray:
    """Return up to `count` distinct rows of a basis, (size, q), in the order in which they were chosen.

    The basis is orthonormal; with "qr" its rows may have been scaled.
    """
    if method == "leverage":
        return _distinct_by_weight((basis[:, :rank] ** 2).sum(axis=1), count, rng)
    leading = basis[:, :count]
    if method == "pivoting":
        return _random_pivots(leading, rng)
    pivots = scipy.linalg.qr(leading.T, mode="r", pivoting=True, check_finite=False)[1]
    return np.asarray(pivots[: leading.shape[1]], dtype=np.int64)


def _random_pivots(basis: Float64Array, rng: np.random.Generator) -> IntArray:
    """Return one row for each column of an orthonormal basis: each drawn by what the rows before leave of it, squared.

    The set S has probability det(Q_S)^2: interpolation from the chosen ones has, in expectation, at most k + 1 times
    the squared distance from the span of the basis.
    """
    count = basis.shape[1]
    left = (basis**2).sum(axis=1)
    chosen: list[int] = []
    taken = np.zeros((count, count))
    for step in range(count):
        left[chosen] = 0.0
        possible = np.flatnonzero(left > 0.0)
        totals = np.cumsum(left[possible])
        place = int(np.searchsorted(totals, rng.random() * totals[-1], side="right"))
        row = int(possible[min(place, len(possible) - 1)])
        chosen.append(row)
        direction = basis[row].copy()
        for _ in range(2):  # twice is enough
            direction -= taken[:step].T @ (taken[:step] @ direction)
        taken[step] = direction / np.linalg.norm(direction)
        left -= (basis @ taken[step]) ** 2
    return np.array(chosen, dtype=np.int64)


def _distinct_by_weight(weights: Float64Array, count: int, rng: np.random.Generator) -> IntArray:
    """Draw items one after another, each by its weight among those that are left."""
    possible = np.flatnonzero(weights)
    # The order of exponential waiting times is that of draws without replacement (Efraimidis and Spirakis 2006).
    waits = rng.standard_exponential(len(possible)) / weights[possible]
    return possible[np.argsort(waits)[:count]]


def distinct_draws(draw: Callable[[int], IntArray], count: int) -> IntArray:
    """Return the first `count` distinct items of a stream of draws, fewer where it keeps repeating itself."""
    drawn = draw(2 * count)
    most = _MOST_DRAWS * count + _MORE_DRAWS
    while True:
        items, places = np.unique(drawn, return_index=True)
        if len(items) >= count or len(drawn) >= most:
            return items[np.argsort(places)[:count]]
        drawn = np.concatenate([drawn, draw(len(drawn))])


def independent(
    lines: Float64Array, dtype: np.dtype[Any], least: float = 0.0
) -> tuple[Float64Array, Float64Array, IntArray]:
    """Return Q, T, p with lines[:, p] = Q T, p without those columns that depend on the others to rounding."""
    Q, T, order = scipy.linalg.qr(lines, mode="economic", pivoting=True, check_finite=False)
    sizes = np.abs(np.diag(T))
    kept = int(np.count_nonzero(sizes > max(rounding(dtype), least) * sizes[0]))
    return np.asarray(Q[:, :kept]), np.asarray(T[:kept, :kept]), np.asarray(order[:kept], dtype=np.int64)
