"""Confidence intervals for errors, from rows that the answer did not use.

Two kinds. An *absolute* error is a mean over held-out rows, with Student's interval. An error *against an unknown
optimum* is measured by cross-fitting. For `low_rank` the drawn rows fall in two halves, each gives an answer, and each
answer is judged on the half that the other was made from. Near the optimum the loss is quadratic and the deviations of
the two answers are independent with variances inverse to their numbers of rows, so that the loss of the joint answer
is the cross-fit gap times n1 n2 / (n1 + n2)^2. For `least_squares`, whose loss is quadratic, 16 groups of draws need
not be solved: their scores at the joint solution say how far each would pull it. The ratio of the loss to its estimate
follows Fisher's F with as many degrees of freedom as either has effective directions.
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


def root_mean_interval(values: Float64Array) -> ErrorEstimate:
    """Return sqrt(mean) of held-out squared relative errors with Student's interval for the logarithm of the mean.

    Squared errors are skewed to the right. At 200 rows the plain interval covered 91 to 97 % over matrices.
    """
    mean = max(float(values.mean()), 0.0)
    if len(values) < 2:
        return ErrorEstimate(math.sqrt(mean), 0.0, math.inf, _CONFIDENCE)
    if mean == 0.0:
        return ErrorEstimate(0.0, 0.0, 0.0, _CONFIDENCE)
    deviation = float(values.std(ddof=1)) / math.sqrt(len(values))
    reach = float(special.stdtrit(len(values) - 1, 0.5 + _CONFIDENCE / 2)) * deviation / mean
    half = math.exp(min(reach, 700.0) / 2.0)
    return ErrorEstimate(math.sqrt(mean), math.sqrt(mean) / half, math.sqrt(mean) * half, _CONFIDENCE)


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
