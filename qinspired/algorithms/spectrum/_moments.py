"""Unbiased estimates of the power sums of the eigenvalues of A^T A, from the Gram matrix of drawn unit rows.

With B_s the drawn rows at unit length, E[B_s^T B_s] = A^T A / |A|_F^2, and the mean of the cyclic products
K_st K_tu ... K_zs of K = B B^T over tuples of q different draws has the expectation tr (A^T A)^q / |A|_F^(2q).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["CLOSED_ORDERS", "HIGHEST_ORDER", "CyclicMoments", "deviation"]

CLOSED_ORDERS = 4
HIGHEST_ORDER = 8
_ORDERINGS = 2

# Beyond the fourth order the draws are used in groups of at most this many: time and memory grow with its square.
_GROUP = 1024


class CyclicMoments:
    """Power sums of the shares sigma_i^2 / |A|_F^2, each also without each of the draws.

    Orders 1 to 4 are means over all tuples of different draws. Orders 5 to 8 are made when first asked for, as means
    over increasing tuples in two random orderings of the draws, as Kong and Valiant do.
    """

    __slots__ = ("_closed", "_gram", "_high", "_seed")

    def __init__(self, gram: Float64Array, seed: int) -> None:
        self._gram, self._seed = gram, seed
        self._closed = _closed_moments(gram)
        self._high: tuple[Float64Array, Float64Array] | None = None

    @property
    def n_draws(self) -> int:
        """Number r of drawn rows."""
        return len(self._gram)

    def up_to(self, order: int) -> tuple[Float64Array, Float64Array]:
        """Return the power sums of orders 1 to `order`, (order,), and those without each draw, (order, r)."""
        values, without = self._closed
        if order > CLOSED_ORDERS:
            if self._high is None:
                self._high = _grouped_moments(self._gram, np.random.default_rng(self._seed))
            values, without = np.append(values, self._high[0]), np.vstack([without, self._high[1]])
        return values[:order], without[:order]


def deviation(without: Float64Array) -> Float64Array:
    """Return the jackknife's standard deviation along the last axis."""
    r = without.shape[-1]
    spread: Float64Array = without.std(axis=-1) * math.sqrt(r - 1)
    return spread


def _closed_moments(gram: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return orders 1 to 4 from closed walks, less those that come back before their end."""
    r = len(gram)
    links = gram.copy()
    np.fill_diagonal(links, 0.0)
    squares = links**2
    paths = links @ links
    lengths = squares.sum(axis=1)
    # Of the walks s t u v s, those with u = s are lengths^2, those with v = t squares @ lengths, both squares^2.
    walks = [
        lengths,
        np.einsum("st,st->s", links, paths),
        np.einsum("st,st->s", paths, paths) - lengths**2 - squares @ lengths + (squares**2).sum(axis=1),
    ]
    values, without = np.ones(CLOSED_ORDERS), np.ones((CLOSED_ORDERS, r))
    for q, through in enumerate(walks, start=2):
        total = float(through.sum())
        values[q - 1] = total / math.perm(r, q)
        without[q - 1] = (total - q * through) / math.perm(r - 1, q)
    return values, without


def _grouped_moments(gram: Float64Array, rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return orders 5 to 8, as means over groups of draws."""
    r = len(gram)
    n_groups = math.ceil(r / _GROUP)
    n_orders = HIGHEST_ORDER - CLOSED_ORDERS
    values, changes = np.zeros(n_orders), np.zeros((n_orders, r))
    for _ in range(_ORDERINGS):
        for group in np.array_split(rng.permutation(r), n_groups):
            totals, through = _increasing_cycles(gram[np.ix_(group, group)])
            for row, q in enumerate(range(CLOSED_ORDERS + 1, HIGHEST_ORDER + 1)):
                mean = totals[row] / math.comb(len(group), q)
                values[row] += mean
                changes[row, group] += (totals[row] - through[row]) / math.comb(len(group) - 1, q) - mean
    n_means = _ORDERINGS * n_groups
    return values / n_means, (values[:, None] + changes) / n_means


def _increasing_cycles(gram: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the sums over s_1 < ... < s_q of cyclic products, for q = 5 to 8, and the parts that contain each draw.

    With T the part of K above the diagonal, those with the draw s at place l + 1 are (T^(q - 1 - l) K T^l)_ss.
    """
    steps = np.triu(gram, 1)
    powers = [np.eye(len(gram)), steps]
    for _ in range(HIGHEST_ORDER - 2):
        powers.append(steps @ powers[-1])
    through = np.zeros((HIGHEST_ORDER - CLOSED_ORDERS, len(gram)))
    for before, path in enumerate(powers):
        closing = gram @ path if before else gram
        for row, q in enumerate(range(CLOSED_ORDERS + 1, HIGHEST_ORDER + 1)):
            after = q - 1 - before
            if after >= 0:
                through[row] += np.einsum("sj,js->s", powers[after], closing)
    return through.sum(axis=1) / np.arange(CLOSED_ORDERS + 1, HIGHEST_ORDER + 1), through
