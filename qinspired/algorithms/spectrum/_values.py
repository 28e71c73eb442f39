"""The leading eigenvalues of A^T A as shares of |A|_F^2, from the Gram matrix of drawn unit rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qinspired.algorithms.approximation._ritz import leading_eigenpairs
from qinspired.algorithms.spectrum._intervals import gamma_low_high, unseen_share

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["ROUNDING", "Shares", "leading_shares"]

_SPLITS = 4

# The noise of the bias correction, as a factor of the standard deviation of the rows' terms. Without it, intervals from
# 400 draws covered 92 to 98 % over the first ten values of a gapped spectrum and 500 seeds, with it 94 to 98 %.
_CORRECTION_NOISE = 1.05

ROUNDING = 1e-12


class Shares(NamedTuple):
    """Estimates of sigma_i^2 / |A|_F^2 in descending order, with the ends of their intervals."""

    values: Float64Array
    low: Float64Array
    high: Float64Array


def leading_shares(gram: Float64Array, count: int, n_values: int, rng: np.random.Generator) -> Shares:
    """Return the `count` largest of `n_values` shares, which sum to 1.

    The eigenvalues of half the rows are too high, by B / h in first order for h rows: the other eigenvectors turn
    towards what the half happens to hold. The energy of its eigenvectors on the other half is too low by as much. So
    their mean m has no bias of first order. With rho their difference over their sum, m (1 - rho^2), which is their
    harmonic mean, is the estimate; where rho is not small, the interval reaches down to m (1 - 2 rho^2), or to the
    energy on the other half if that is more.
    """
    n_draws = len(gram)
    over, under, variances = np.zeros(count), np.zeros(count), np.zeros(count)
    for _ in range(_SPLITS):
        order = rng.permutation(n_draws)
        halves = order[: n_draws // 2], order[n_draws // 2 :]
        terms = np.zeros((n_draws, count))
        for own, other in (halves, halves[::-1]):
            values, vectors = _positive_pairs(gram[np.ix_(own, own)], count)
            found = len(values)
            terms[other, :found] = (gram[np.ix_(other, own)] @ vectors) ** 2 / values
            over[:found] += values / (2 * _SPLITS * len(own))
            under += terms[other].mean(axis=0) / (2 * _SPLITS)
        variances += terms.var(axis=0, ddof=1) / (_SPLITS * n_draws)
    values, vectors = _positive_pairs(gram, count)
    inner = np.zeros(count)
    inner[: len(values)] = (values * vectors**2).var(axis=0, ddof=1) / n_draws
    deviations = _CORRECTION_NOISE * np.sqrt(np.maximum(variances, inner))
    middle = (over + under) / 2.0
    rho = np.clip((over - under) / np.maximum(over + under, np.finfo(float).tiny), 0.0, 1.0)
    shares = middle * (1.0 - rho**2)
    base = np.minimum(shares, np.maximum(under, middle * (1.0 - 2.0 * rho**2)))
    low, high = gamma_low_high(base, middle, deviations, n_draws)
    return _within_what_is_known(shares, low, high, n_values, n_draws)


def _within_what_is_known(
    shares: Float64Array, low: Float64Array, high: Float64Array, n_values: int, n_draws: int
) -> Shares:
    """Sort, leave room for what no draw met, and use that `n_values` shares in descending order sum to 1."""
    unseen = unseen_share(n_draws)
    count = len(shares)
    shares, low, high = (np.sort(part)[::-1] for part in (shares, low, high))
    low = np.minimum(low, shares * (1.0 - unseen))
    high = np.minimum(np.maximum(high, unseen), 1.0 / np.arange(1, count + 1))
    low[0] = max(low[0], (1.0 - ROUNDING) / n_values)
    high[0] = max(high[0], low[0])
    shares = np.minimum(np.maximum(shares, low), high)
    return Shares(shares, low, high)


def _positive_pairs(gram: Float64Array, count: int) -> tuple[Float64Array, Float64Array]:
    """Return up to `count` leading eigenpairs whose eigenvalues rounding cannot have made."""
    values, vectors = leading_eigenpairs(gram, min(count, len(gram)))
    found = int(np.count_nonzero(values > max(values[0], 0.0) * len(gram) * np.finfo(float).eps))
    return values[:found], vectors[:, :found]
