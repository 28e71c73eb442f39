"""Confidence intervals for a mean of independent, equally distributed numbers.

`benchmarks/test_estimates.py` measures the coverage of the first two on summands of importance sampling.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["bernstein_interval", "binomial_interval", "student_interval"]

# A bet of 1 would be lost by one summand at the end of the range; 3/4 is within the usual 1/2 to 3/4.
_LARGEST_BET = 0.75


def student_interval(values: Float64Array, confidence: float, largest: float) -> tuple[float, float]:
    """Return Student's interval, longer on both sides by the range term of Bernstein's inequality.

    Bernstein: |mean - mu| exceeds sigma sqrt(2 L / n) + largest L / (3 n), L = log(2 / (1 - confidence)), with
    probability 1 - confidence at most, for summands within `largest` of mu. The sample tells sigma but not what it did
    not meet: a value of size `largest` and probability 1 / n is absent from a third of all samples. `largest` is 0
    where no bound is known.
    """
    n = len(values)
    mean = float(values.mean())
    deviation = float(values.std(ddof=1)) / math.sqrt(n)
    reach = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * deviation
    reach += largest * math.log(2.0 / (1.0 - confidence)) / (3.0 * n)
    return mean - reach, mean + reach


def bernstein_interval(values: Float64Array, confidence: float) -> tuple[float, float]:
    """Return an interval for numbers in [0, 1] that covers the mean with at least the given probability, for any n.

    The predictable empirical Bernstein interval of Waudby-Smith and Ramdas, "Estimating means of bounded random
    variables by betting", JRSS B 86 (2024). For Y in [-1, 1] and 0 <= b < 1, exp(b Y - Y^2 psi(b)) <= 1 + b Y with
    psi(b) = -log(1 - b) - b. With Y = X_t - m_t, m_t and b_t known before X_t, the products of
    exp(b_t (X_t - mu) - (X_t - m_t)^2 psi(b_t)) have expectation <= 1; Markov's inequality, on both sides, is the
    interval. Its width tends to sigma sqrt(2 L / n), 1.39 times Student's at 95 %.
    """
    n = len(values)
    log_odds = math.log(2.0 / (1.0 - confidence))
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(values)) / (counts + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (counts + 1)
    means_before, variances_before = np.append(0.5, means[:-1]), np.append(0.25, variances[:-1])
    bets = np.minimum(np.sqrt(2.0 * log_odds / (n * variances_before)), _LARGEST_BET)
    losses = (-np.log1p(-bets) - bets) * (values - means_before) ** 2
    staked = float(bets.sum())
    centre, reach = float(bets @ values) / staked, (log_odds + float(losses.sum())) / staked
    return max(centre - reach, 0.0), min(centre + reach, 1.0)


def binomial_interval(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for a probability, which covers it for any n."""
    tail = 0.5 - confidence / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1.0 - tail)) if hits < n else 1.0
    return low, high
