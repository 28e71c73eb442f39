"""Confidence intervals for errors, from rows that the answer did not use.

Two kinds. An *absolute* error is a mean over held-out rows, with Student's interval, longer where they are skewed. An
error *against an unknown optimum* is measured by cross-fitting. For `low_rank` the drawn rows fall in two halves, each
gives an answer, and each answer is judged on the half that the other was made from. Near the optimum the loss is
quadratic and the deviations of the two answers are independent with variances inverse to their numbers of rows, so that
the loss of the joint answer is the cross-fit gap times n1 n2 / (n1 + n2)^2. For `least_squares`, whose loss is
quadratic, 16 groups of draws need not be solved: their scores at the joint solution say how far each would pull it. The
ratio of the loss to its estimate follows Fisher's F with as many degrees of freedom as either has effective directions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from qinspired.algorithms._results import ErrorEstimate

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["effective_directions", "loss_interval", "root_mean_interval"]

_CONFIDENCE = 0.95
_HIGHER_ORDERS = 0.08

# Samples show less skewness than heavy tails have: with 1 in place of 1.3, 128 log-normal values, sigma = 2, covered 89
# in place of 94 %; the interval of exponential ones was 1.02 in place of 1.05 times Student's.
_SKEWNESS_MISSED = 1.3


def root_mean_interval(values: Float64Array) -> ErrorEstimate:
    """Return sqrt(mean) of held-out squared relative errors with a 95 % interval that knows their skewness.

    A sample that misses the tail is too low in mean and deviation both. The lower end is Student's for the logarithm
    of the mean; the upper end is the higher of this one's and of that of P. Hall, "On the removal of skewness by
    transformation", Journal of the Royal Statistical Society B 54 (1992), with 1.3 times the skewness of the sample.

    Per cent covered in 2000 samples of 64, 128, 256 and 600 values, in brackets by Student's interval alone:

    - exponential 95, 96, 95, 95 (93, 95, 95, 95); squared normal 96, 97, 96, 95 (94, 95, 95, 94)
    - log-normal, sigma = 1: 96, 96, 96, 95 (93, 93, 94, 94); 1.5: 95, 95, 94, 95 (88, 90, 90, 91);
      2: 93, 94, 92, 93 (79, 83, 82, 85)
    - Pareto, exponent 2.5: 94, 95, 95, 95 (87, 89, 90, 91)
    - half of the mean in 1 % of the values: 45, 67, 85, 95 (40, 59, 74, 85); samples may have none of them

    The interval is 1.02 to 1.13 times as long on the first two, least for many values, and up to 1.8 times on others.
    """
    size, mean = len(values), max(float(values.mean()), 0.0)
    value = math.sqrt(mean)
    if size < 2:
        return ErrorEstimate(value, 0.0, math.inf, _CONFIDENCE)
    if mean == 0.0:
        return ErrorEstimate(0.0, 0.0, 0.0, _CONFIDENCE)
    apart = values / mean - 1.0
    square = float(apart @ apart)
    deviation = math.sqrt(square / (size * (size - 1)))
    quantile = float(special.stdtrit(size - 1, 0.5 + _CONFIDENCE / 2))
    half = math.exp(min(quantile * deviation, 700.0) / 2.0)
    skewness = float(apart**2 @ apart) / square**1.5 if square > 0.0 else 0.0
    skewed = math.sqrt(1.0 + deviation * _hall(quantile, _SKEWNESS_MISSED * skewness))
    return ErrorEstimate(value, value / half, value * max(half, skewed), _CONFIDENCE)


def _hall(quantile: float, skewness: float) -> float:
    """Return the -t that Hall's cubic takes to -`quantile`; `skewness` is that of the values over sqrt(size).

    It is 3 (1 - cbrt(1 - s shifted)) / s for the skewness s, here without the division by it.
    """
    shifted = quantile + skewness / 6.0
    root = float(np.cbrt(1.0 - skewness * shifted))
    return 3.0 * shifted / (1.0 + root + root**2)


def loss_interval(loss: float, relative_variance: float, directions: float | None = None) -> tuple[float, float]:
    """Return the interval of a loss from the relative variance of its ratio to the estimate, under Fisher's F.

    The loss is a mean of `directions` squares, as is, by default, its estimate; a ratio with d1 and d2 degrees of
    freedom has a relative variance of about 2 / d1 + 2 / d2.
    """
    relative_variance = max(relative_variance, 1e-12)
    over = 4.0 / relative_variance if directions is None else directions
    under = 2.0 / max(relative_variance - 2.0 / over, 1e-12)
    over, under = max(over, 1.0), max(under, 1.0)
    tail = 0.5 - _CONFIDENCE / 2
    return loss * float(special.fdtri(over, under, tail)), loss * float(special.fdtri(over, under, 1.0 - tail))


def effective_directions(influence: Float64Array, n_draws: int, sizes: Float64Array | None = None) -> float:
    """Return the degrees of freedom of a cross-fit loss, from the Gram matrix of some rows' influences.

    The loss and its estimate share their diagonal terms, each row with itself (`sizes`, by default the diagonal of
    `influence`); what differs are the products of different rows, of relative variance 2 E[K_st^2] / E[K_ss]^2 on
    either side. The second term stands for higher orders; its constant is fitted to the spread over 500 seeds (0.06
    at r = 100, 0.04 at 400, k = 10, tail flat).
    """
    size = len(influence)
    diagonal = np.diag(influence)
    sizes = diagonal if sizes is None else sizes
    mean = float(sizes.mean()) if size else 0.0
    if size < 3 or mean <= 0.0:
        return 1.0
    off_diagonal = (float((influence**2).sum()) - float((diagonal**2).sum())) / (size * (size - 1))
    inverse = off_diagonal / mean**2 + _HIGHER_ORDERS * float((sizes**2).mean()) / (mean**2 * n_draws)
    return 1.0 / max(inverse, 1e-12)
