"""Rows drawn by their approximate ridge leverage, which a first draw and one pass tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.algorithms.regression._system import Draw, System

__all__ = ["RowsByLeverage", "rows_saved"]

# The share of draws by squared norm, which bounds what a score far too low can do to a row's weight.
_BY_NORM = 0.25

# Random projections of the pass: 8 took 0.18 to 0.32 s on 200,000 x 500, 16 took 0.20 to 0.33, 32 took 0.38 to 0.50. A
# score from k of them is off by a factor whose mean inverse is k / (k - 2). A pass, not rejection from
# proposals: that cannot find a row that no proposal meets, nor give chances that are known exactly.
_PROJECTIONS = 16

# Added to the Gram matrix, whose trace is 1: directions that no drawn row has make rows of leverage 1.
_FLOOR = 1e-10

_BLOCK_ENTRIES = 1_000_000


class RowsByLeverage:
    """Rows drawn by a mixture of squared norm and of a_i^T (G + ridge)^-1 a_i, G the moments of a first draw.

    The scores come from one pass over A and some random projections, so that the chance of every row is known exactly
    and the weighted sums are unbiased whatever the first draw was.
    """

    method = "leverage"

    def __init__(self, system: System, first: Draw) -> None:
        self.norm = system.norm
        chances: Float64Array = (system.A.row_norms() / self.norm) ** 2
        scores = _scores(system, first)
        total = float(scores.sum())
        if total > 0.0:
            chances = _BY_NORM * chances + (1.0 - _BY_NORM) / total * scores
        self._sums = np.cumsum(chances)
        self._chances = chances / self._sums[-1]
        self._last = int(np.flatnonzero(chances)[-1])

    def draw(self, n_draws: int, rng: np.random.Generator) -> tuple[IntArray, Float64Array]:
        """Return drawn rows and |A|_F times the root of their chances."""
        places = np.searchsorted(self._sums, rng.random(n_draws) * self._sums[-1], side="right")
        rows: IntArray = np.minimum(places, self._last)
        return rows, self.norm * np.sqrt(self._chances[rows])

    def chances(self, rows: IntArray) -> Float64Array:
        """Return the chance of each row in one draw."""
        found: Float64Array = self._chances[rows]
        return found


def _scores(system: System, first: Draw) -> Float64Array:
    """Return the approximate leverages, by one pass."""
    gram = first.gram / first.n_draws
    n = len(gram)
    gram[np.diag_indices(n)] += system.penalty + _FLOOR * float(np.trace(gram))
    factor = np.linalg.cholesky(gram)
    size = min(n, _PROJECTIONS)
    probes = system.rng.standard_normal((n, size)) / np.sqrt(size) if size < n else np.eye(n)
    weights = scipy.linalg.solve_triangular(factor, probes, lower=True, trans="T", check_finite=False) / system.norm
    scores = np.empty(system.m)
    for start, block in system.A.row_blocks(max(1, int(_BLOCK_ENTRIES / system.per_row))):
        products = np.asarray(block.astype(np.float64, copy=False) @ weights)
        scores[start : start + len(products)] = np.einsum("ij,ij->i", products, products)
    return np.minimum(scores, 1.0)


def rows_saved(sizes: Float64Array, leverages: Float64Array, degrees: float) -> float:
    """Return the rows needed by leverage over those needed by norm.

    `sizes` are the terms r_i^2 l_i / p_i^2 of the loss for rows drawn with chances p_i, and `leverages` l_i / p_i.
    """
    total = float(sizes.sum())
    if total <= 0.0:
        return 1.0
    return float((sizes / (_BY_NORM + (1.0 - _BY_NORM) * leverages / degrees)).sum()) / total
