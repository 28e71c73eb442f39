"""Principal axes, and the shares of |A|_F^2 that they carry: from all rows, or rows drawn afresh, with intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from qinspired.algorithms import ErrorEstimate
from qinspired.estimators._factors import explicit_low_rank, with_fixed_signs

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms import LowRankApproximation

__all__ = ["Axes", "AxisSearch", "Shares", "shares_from_held_out", "shares_from_images", "shares_from_sketch"]

# Their mean has a relative standard deviation of 3 % for normal data; they are read in a tenth of a pass over 20,000.
HELD_OUT_ROWS = 2048
_LONGEST_ROWS = 64

# What is left out can be certified from the drawn rows to be no less than 3 / 2048, -log(0.05) over their number.
_LEAST_LEFT_OUT = 4.0 / HELD_OUT_ROWS

_CONFIDENCE = 0.95
_BLOCK_ENTRIES = 1_000_000

# In 224 rows that they were fitted to, of 9,000 x 60, directions of signal had 1.1 times their share, of noise 2.6 to
# 3.5 times. Rows too rare to be drawn again cannot be told from noise: with both, the upper end allows for such rows.
_SUSPECT_RATIO = 1.25

# Directions of the first trial for a share.
_FIRST_RANK = 8


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares |A v_j|^2 / |A|_F^2 of orthonormal directions and their sums up to each, with intervals.

    Attributes
    ----------
    values : ndarray of float64, shape (k,)
    interval : ndarray of float64, shape (k, 2)
    cumulative_low : ndarray of float64, shape (k,)
        Lower ends for the sums of the first shares.
    source : {"all rows", "held-out rows", "sketch"}
    """

    values: Float64Array
    interval: Float64Array
    cumulative_low: Float64Array
    source: str


def shares_from_images(images: FloatArray, norm: float) -> Shares:
    """Return the shares from A V: exact."""
    values = np.empty(images.shape[1])
    for j in range(len(values)):  # one column at a time: no scaled copy of all
        column = images[:, j].astype(np.float64) / norm
        values[j] = column @ column
    return Shares(values, np.column_stack([values, values]), np.cumsum(values), "all rows")


def shares_from_held_out(
    A: SampleQueryMatrix, V: FloatArray, in_sample: Float64Array, rng: np.random.Generator
) -> Shares:
    """Return the shares from the longest rows, exactly, and others drawn by squared norm, independently of V.

    A unit row u has (u v_j)^2 in [0, 1] with the share as its mean, over draws by squared norm. The intervals are
    Student's for the logarithm of that mean. Without the longest rows, one with a few per cent of |A|_F^2 would be
    drawn by chance or not; with them it counts as what it is. Where the rows that V was made from gave a larger
    share (`in_sample`), they may have held rows too rare to be drawn again: there the upper end allows for those.
    """
    norms = A.row_norms()
    weights = (norms / A.frobenius_norm) ** 2
    longest = np.argpartition(norms, max(len(norms) - _LONGEST_ROWS, 0))[-_LONGEST_ROWS:]
    longest = np.sort(longest[norms[longest] > 0.0])
    known = weights[longest] @ _squared_cosines(A, V, longest, norms)
    weights[longest] = 0.0
    reached = np.cumsum(weights)
    rest = float(reached[-1])
    if rest <= 1e-14:
        return Shares(known, np.column_stack([known, known]), np.cumsum(known), "held-out rows")
    drawn = np.searchsorted(reached, rng.random(HELD_OUT_ROWS) * rest, side="right")
    drawn = np.minimum(drawn, np.flatnonzero(weights)[-1])
    cosines = _squared_cosines(A, V, drawn, norms)
    values = known + rest * cosines.mean(axis=0)
    low, high = _mean_intervals(cosines)
    suspect = in_sample > _SUSPECT_RATIO * values
    high = np.where(suspect, np.maximum(high, _upper_ends(cosines, 0.5 + _CONFIDENCE / 2)), high)
    interval = known[:, None] + rest * np.column_stack([low, high])
    # Of the part that is left out it is the upper end that certifies a share.
    left_out = np.maximum(1.0 - np.cumsum(cosines, axis=1), 0.0)
    most = np.minimum(_upper_ends(left_out, _CONFIDENCE), 1.0)
    return Shares(values, np.minimum(interval, 1.0), np.cumsum(known) + rest * (1.0 - most), "held-out rows")


def _squared_cosines(A: SampleQueryMatrix, V: FloatArray, rows: IntArray, norms: Float64Array) -> Float64Array:
    out = np.empty((len(rows), V.shape[1]))
    step = max(1, _BLOCK_ENTRIES // A.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        out[start : start + step] = np.asarray(A.rows(part) @ V, dtype=np.float64) / norms[part, None]
    return out**2


def _mean_intervals(values: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return Student's intervals for the logarithms of the means of columns: squares are skewed to the right."""
    n = len(values)
    mean = values.mean(axis=0)
    deviation = values.std(axis=0, ddof=1) / np.sqrt(n)
    quantile = float(special.stdtrit(n - 1, 0.5 + _CONFIDENCE / 2))
    reach = np.exp(quantile * deviation / np.where(mean > 0.0, mean, 1.0))
    return mean / reach, mean * reach


def _upper_ends(values: Float64Array, confidence: float) -> Float64Array:
    """Return upper ends for the means of columns of values in [0, 1] that may be 1 in rows too rare to be drawn.

    Quantiles of gamma laws that have the mean and the variance of the values and one more value of 1: the upper end of
    M. P. Fay, E. J. Feuer, "Confidence intervals for directly standardized rates", Statistics in Medicine 16 (1997).
    """
    n = len(values)
    mean = values.mean(axis=0) + 1.0 / n
    variance = values.var(axis=0, ddof=1) / n + 1.0 / n**2
    ends: Float64Array = variance / mean * special.gammaincinv(mean**2 / variance, confidence)
    return ends


def shares_from_sketch(approx: Any, norm: float) -> Shares:
    """Return the shares between the squares of a sketch, and these and what it may have lost along any direction.

    A leading direction loses nearly all of that, as each shrinking of the sketch takes it away: the upper end is the
    estimate.
    """
    low = (approx.singular_values / norm) ** 2
    high = np.minimum((approx.singular_values_high / norm) ** 2, 1.0)
    return Shares(high, np.column_stack([low, high]), np.cumsum(low), "sketch")


@dataclass(frozen=True, slots=True)
class Axes:
    """Directions, the shares they carry, and A V where it was formed."""

    approx: LowRankApproximation
    shares: Shares
    images: FloatArray | None


class AxisSearch:
    """Directions of a matrix, for a rank or for a share of |A|_F^2."""

    def __init__(
        self, A: SampleQueryMatrix, tol: float, method: str, rng: np.random.Generator, *, needs_images: bool
    ) -> None:
        self._A, self._tol, self._method, self._rng = A, tol, method, rng
        # On so few rows a pass costs no more than the rows drawn in its place.
        self._needs_images = needs_images or A.shape[0] <= 4 * HELD_OUT_ROWS

    def at(self, rank: int) -> Axes:
        """Return `rank` directions."""
        approx = explicit_low_rank(self._A, rank, tolerance=self._tol, method=self._method, rng=self._rng)
        approx = replace(approx, components=with_fixed_signs(approx.components))
        V = np.ascontiguousarray(approx.components.T)
        if not (self._needs_images or approx.stats.full_passes):
            in_sample = (approx.singular_values / self._A.frobenius_norm) ** 2
            return Axes(approx, shares_from_held_out(self._A, V, in_sample, self._rng), None)
        images = self._A.matmul(V)
        return Axes(approx, shares_from_images(images, self._A.frobenius_norm), images)

    def for_share(self, share: float) -> Axes:
        """Return as few directions as are certified to carry more than a share.

        A trial rank doubles until its directions are; then fresh rows judge the fewest of them that were, and one more
        is taken until they confirm it.
        """
        if 1.0 - share < _LEAST_LEFT_OUT:
            self._needs_images = True
        largest = min(self._A.shape)
        rank = min(_FIRST_RANK, largest)
        axes = self.at(rank)
        while axes.shares.cumulative_low[-1] <= share and rank < largest:
            rank = min(2 * rank, largest)
            axes = self.at(rank)
        enough = axes.shares.cumulative_low > share
        found = int(np.argmax(enough)) + 1 if enough.any() else rank
        if axes.approx.method == "exact":
            return _leading(axes, found)
        while found < rank:
            trial = self.at(found)
            if trial.shares.cumulative_low[-1] > share:
                return trial
            found += 1
        return axes


def _leading(axes: Axes, rank: int) -> Axes:
    """Return the first of exact directions."""
    shares, approx = axes.shares, axes.approx
    error = float(np.sqrt(approx.error.value**2 + shares.values[rank:].sum()))
    approx = replace(
        approx,
        components=approx.components[:rank].copy(),
        singular_values=approx.singular_values[:rank],
        error=ErrorEstimate(error, error, error, 1.0),
    )
    values, interval, low = shares.values[:rank], shares.interval[:rank], shares.cumulative_low[:rank]
    images = None if axes.images is None else np.ascontiguousarray(axes.images[:, :rank])
    return Axes(approx, Shares(values, interval, low, shares.source), images)
