"""The certificate of `matrix_function`: what drawn rows say of the distance of f(S) from f(A^T A).

S = R^T R is the mean of r terms with expectation A^T A. Four parts add up, squared:

*noise*. Each half of the draws gives an answer, and their difference D has the covariance of the joint answer times
(1/r1 + 1/r2) r, to first order: |D|_F^2 r1 r2 / r^2. As a quadratic form it has as many degrees of freedom as the
influences of single rows have directions.

*bias*. f is not linear, so the answer from r rows is off by about b / r, and the mean of two from r / 2 by 2 b / r: the
mean of the halves less the joint answer is b / r.

*jumps*. Where f jumps near an eigenvalue, derivatives say nothing: the change of f over two standard deviations of the
eigenvalue to either side, as far as its slope does not explain it, is added to the upper end.

*missing*. In directions that no drawn row has, the answer is f(0). Held-out rows tell the trace t and the squared
Frobenius norm of A^T A there. What is missing is the sum of (f(x_j) - f(0))^2 over its eigenvalues x_j, t times the
mean of h(x) = (f(x) - f(0))^2 / x with the weights x_j / t. The mean of x is known, so that by Jensen's inequality the
mean of h lies between the convex and the concave envelope of h at it; h itself there is the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired.algorithms._certificates import effective_directions, loss_interval
from qinspired.algorithms._results import ErrorEstimate

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.algorithms.functions._scalar_functions import Increments

__all__ = ["HeldOut", "Parts", "divided_differences", "drawn_error", "influence", "jumps", "missing_part"]

_GRID = 400
# An answer as wrong as none tells too little of the size of f(A^T A) for an upper end.
_LARGEST_KNOWN = 1.0

_RESOLVED = 64.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows drawn afresh, partly by norm and partly uniformly, of unit length.

    `inside` holds their coordinates in the eigenvectors of S, (h, p), `outside` the Gram matrix of what is left. With
    `weights`, the share of a row in |A|_F^2 over its chance, the mean of weights u u^T estimates A^T A / |A|_F^2. The
    first `n_by_norm` rows are those drawn by norm.
    """

    inside: Float64Array
    outside: Float64Array
    weights: Float64Array
    n_by_norm: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Squared parts of the error, and of the size |f(A^T A) - f(0) I|_F^2 that they are divided by."""

    noise: float
    bias: float
    missing: tuple[float, float, float]  # lowest, estimate, highest
    jumps: float
    size: float


def missing_part(held_out: HeldOut, increments: Increments) -> tuple[float, float, float]:
    """Return bounds of the sum of squared increments over directions that no drawn row has, and an estimate between.

    Eigenvalues are shares of |A|_F^2, here and below, and `increments` takes such.
    """
    count = len(held_out.outside)
    roots = np.sqrt(held_out.weights)
    gram = held_out.outside * np.outer(roots, roots)
    lengths = np.maximum(np.diag(gram), 0.0)
    share = float(lengths.mean())
    if share <= _RESOLVED * float(held_out.weights.mean()):
        return 0.0, 0.0, 0.0
    squares = float((gram**2).sum() - (np.diag(gram) ** 2).sum()) / (count * (count - 1))
    # The largest eigenvalue is below the root of the sum of squares, and below what the held-out rows show.
    largest = float(np.linalg.eigvalsh(gram)[-1]) / count
    largest = max(min(largest, math.sqrt(squares)), _RESOLVED * share)
    mean = min(max(squares / share, _RESOLVED * share), largest)
    grid = largest * np.concatenate([np.geomspace(1e-9, 1.0, _GRID)[:-1], np.linspace(1e-3, 1.0, _GRID)])
    grid = np.unique(np.append(grid, mean))
    values = increments(grid) ** 2 / grid
    centre = float(values[np.searchsorted(grid, mean)])
    low, high = -_upper_envelope(grid, -values, mean), _upper_envelope(grid, values, mean)
    doubt = 2.0 * float(lengths.std(ddof=1)) / math.sqrt(count)
    return max(share - doubt, 0.0) * max(low, 0.0), share * centre, (share + doubt) * high


def _upper_envelope(x: Float64Array, y: Float64Array, at: float) -> float:
    """Return the least concave function above the points, constant below the first, at a place within their range."""
    x, y = np.append(0.0, x), np.append(y[0], y)
    left, right = x <= at, x >= at
    chords = y[left][:, None] + (at - x[left])[:, None] * np.divide(
        y[right] - y[left][:, None],
        x[right] - x[left][:, None],
        out=np.zeros((int(left.sum()), int(right.sum()))),
        where=x[right] > x[left][:, None],
    )
    return float(chords.max())


def divided_differences(x: Float64Array, increments: Increments) -> Float64Array:
    """Return (f(x_i) - f(x_j)) / (x_i - x_j), and the slope of f about x_i where the two are equal."""
    values = increments(np.concatenate([x, x * (1.0 + 1e-4), x * (1.0 - 1e-4)])).reshape(3, -1)
    gaps = x[:, None] - x
    slopes = (values[1] - values[2]) / (2e-4 * x)
    close = np.abs(gaps) <= 1e-6 * np.maximum(x[:, None], x)
    gaps[close] = 1.0
    quotients: Float64Array = np.where(close, slopes[:, None], (values[0][:, None] - values[0]) / gaps)
    return quotients


def jumps(
    held_out: HeldOut,
    x: Float64Array,
    slopes: Float64Array,
    increments: Increments,
    n_draws: int,
) -> float:
    """Return the sum of squares by which f moves over the error bars of the eigenvalues, beyond what slopes explain."""
    squares = held_out.inside[: held_out.n_by_norm] ** 2
    reach = 2.0 * np.sqrt(((squares - x) ** 2).mean(axis=0) / n_draws)
    moved = increments(np.minimum(x + reach, 1.0)) - increments(np.maximum(x - reach, 0.0))
    return float(np.maximum(moved**2 - 1.5 * (2.0 * slopes * reach) ** 2, 0.0).sum())


def influence(
    inside: Float64Array, outside: Float64Array, differences: Float64Array, to_zero: Float64Array
) -> Float64Array:
    """Return the centred Gram matrix of the first-order influences of some rows, drawn by norm, on f(S).

    `inside` and `outside` are as in `HeldOut`. The Frechet derivative of f at S in the direction u u^T multiplies it,
    in the eigenvectors of S, by the divided differences of f; `to_zero` holds those between the eigenvalues and 0, the
    eigenvalue outside of their span. The part that lies outside on both sides belongs to what is missing.
    """
    count = len(inside)
    rows, cols = np.triu_indices(count)
    products = inside[rows] * inside[cols]
    upper = np.einsum("ij,ij->i", products @ differences**2, products)
    upper += 2.0 * (products @ to_zero**2) * outside[rows, cols]
    total = np.zeros((count, count))
    total[rows, cols] = total[cols, rows] = upper
    centred: Float64Array = total - total.mean(axis=0) - total.mean(axis=1)[:, None] + total.mean()
    return centred


def drawn_error(parts: Parts, influences: Float64Array, n_draws: int, rounding: float) -> ErrorEstimate:
    """Return the relative error from its parts, with an interval."""
    if parts.size <= 0.0:
        known = parts.noise + parts.bias + parts.missing[2] <= 0.0
        return ErrorEstimate(0.0, 0.0, 0.0) if known else ErrorEstimate(1.0, 0.0, math.inf)
    noise, bias = parts.noise / parts.size, parts.bias / parts.size
    lowest, missing, highest = (part / parts.size for part in parts.missing)
    value = math.sqrt(noise + bias + missing)
    # What first order leaves out: the parts that vanish with it widen the interval, and lower the noise at its low end,
    # as half of the draws then have more than twice the variance of all.
    nonlinear = (bias + missing) / max(noise, 1e-300)
    relative_variance = 4.0 / effective_directions(influences, n_draws) + 2.0 * noise
    relative_variance += 2.0 * min(bias / max(noise, 1e-300), 1.0)
    low, high = loss_interval(noise, relative_variance)
    upper = max(math.sqrt(high + 2.0 * bias + highest + parts.jumps / parts.size), value) + rounding
    return ErrorEstimate(
        value,
        min(math.sqrt(low / (1.0 + 4.0 * nonlinear) + lowest), value),
        upper if value <= _LARGEST_KNOWN else math.inf,
    )
