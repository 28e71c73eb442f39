"""The certificate of the excess of a low-rank approximation from drawn rows, and what held-out rows say against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.algorithms._certificates import loss_interval
from qinspired.algorithms._results import ErrorEstimate

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = [
    "HELD_OUT_ROWS",
    "HeldOutRows",
    "excess_estimate",
    "missed_share",
    "resolution",
    "unless_refuted",
]

HELD_OUT_ROWS = 128

# Sparse rows fuller than this are made dense for their Gram matrix. Of 128 rows with 16 % of 3,706 columns it took
# 5.5 ms sparse and 1.6 dense, with 8 % of 9,724 columns 3 and 15.
_DENSE_SHARE = 0.12


def resolution(vectors: FloatArray) -> float:
    """Return the share of |A|_F^2 below which a difference of energies is rounding."""
    return 64.0 * float(np.finfo(vectors.dtype).eps)


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Rows that no answer uses, each divided by its scale, so that the mean of u u^T estimates A^T A / |A|_F^2.

    Rows drawn by squared norm are divided by their norm; `sizes` are the squared lengths of the scaled rows, 1 then.
    """

    rows: IntArray
    block: Any
    scales: Float64Array
    sizes: Float64Array

    def times(self, vectors: FloatArray, count: int = HELD_OUT_ROWS) -> Float64Array:
        """Return the products of the first scaled rows with the vectors."""
        return np.asarray(self.block[:count] @ vectors, dtype=np.float64) / self.scales[:count, None]

    def residuals(self, vectors: FloatArray, cosines: Float64Array) -> Float64Array:
        """Return the squared lengths of what the span of orthonormal vectors leaves of the rows.

        They are sizes - |cosines|^2, or, where rounding hides that, come from the residuals in float64.
        """
        left: Float64Array = np.maximum(self.sizes - (cosines**2).sum(axis=1), 0.0)
        if float(left.mean()) > resolution(vectors) * float(self.sizes.mean()):
            return left
        basis = np.linalg.qr(vectors.astype(np.float64))[0]
        dense = self.block if isinstance(self.block, np.ndarray) else self.block.toarray()
        rows = np.asarray(dense, dtype=np.float64) / self.scales[:, None]
        residuals: Float64Array = rows - (rows @ basis) @ basis.T
        return np.asarray((residuals**2).sum(axis=1), dtype=np.float64)

    def gram(self, count: int) -> Float64Array:
        """Return the Gram matrix of the first scaled rows."""
        rows = self.block[:count]
        if not isinstance(rows, np.ndarray) and rows.nnz > _DENSE_SHARE * count * rows.shape[1]:
            rows = rows.toarray()
        product = rows @ rows.T
        dense = np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)
        return dense / np.outer(self.scales[:count], self.scales[:count])


def missed_share(
    left: Float64Array, longest_left: Float64Array, shares: Float64Array, least: float
) -> tuple[float, float]:
    """Return the share of |A|_F^2 in rows unlike any drawn one, which leave more than `least`, and its upper end.

    Drawn rows cannot tell of a direction that none of them has. What the longest rows leave is known; what held-out
    rows leave is a mean, of which one row shows up to five times its part at 95 %.
    """
    known = float(shares[longest_left > least] @ longest_left[longest_left > least])
    parts = np.where(left > least, left, 0.0) / len(left)
    doubt = 2.0 * (math.sqrt(float(parts @ parts)) + float(parts.max()))
    return known + float(parts.sum()), known + float(parts.sum()) + doubt


def unless_refuted(
    excess: ErrorEstimate, in_sample: float, loss: float, sines: Float64Array, n_draws: int
) -> ErrorEstimate:
    """Return the excess, or the one that held-out rows show where their mean contradicts it by three deviations."""
    spread = float(sines.std(ddof=1))
    expected = max(in_sample, 0.0) + 2.0 * loss
    shown = float(sines.mean()) - 3.0 * spread / math.sqrt(len(sines))
    if shown <= expected + 9.0 * min(spread, expected) / math.sqrt(n_draws):
        return excess
    value = math.sqrt(float(sines.mean()) / max(in_sample, 1e-30)) - 1.0
    return ErrorEstimate(max(value, excess.value), excess.low, max(2.0 * value, excess.high))


def excess_estimate(
    loss: float,
    in_sample: float,
    n_draws: int,
    sines: Float64Array,
    relative_variance: float,
    floor: float,
    missed: tuple[float, float],
    misordered: float,
    never_met: float,
) -> ErrorEstimate:
    """Return the relative excess sqrt(e / (e - loss)) - 1 of the squared error e.

    e is pooled from the held-out rows and the drawn ones, on which the answer looks better by twice the loss. Where
    these may have missed something, that counts as lost, and held-out rows alone tell e. The upper end of the loss is
    at least `misordered`; `never_met`, what rows leave that are much shorter than any drawn one, may be lost as well.
    Below `floor` the loss cannot be told from rounding.
    """
    weight = 1.0 if missed[0] > 0.0 else len(sines) / (len(sines) + n_draws)
    mean = weight * float(sines.mean()) + (1.0 - weight) * (max(in_sample, 0.0) + 2.0 * loss)
    if mean <= 2.0 * floor:
        # An error that is zero to working precision has no excess. Of a larger one, the loss is lost in rounding.
        known = float(sines.mean()) <= floor**2
        return ErrorEstimate(0.0 if known else math.inf, 0.0, 0.0 if known and never_met <= floor**2 else math.inf)
    noise = float(sines.var(ddof=1)) / ((len(sines) + n_draws) * mean**2)
    low, high = loss_interval(loss, relative_variance + noise)

    def relative(part: float, more: float = 0.0) -> float:
        return math.sqrt((mean + more) / (mean - part)) - 1.0 if part < mean else math.inf

    highest = max(high, misordered) + missed[1] + floor
    return ErrorEstimate(relative(loss + missed[0]), relative(low), relative(highest, never_met))
