"""The certificate of the excess of a low-rank approximation from drawn rows: its width, and what can refute it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.algorithms._certificates import loss_interval
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms._row_sample import gather_rows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms._ritz import Ritz

__all__ = ["HELD_OUT_ROWS", "HeldOutRows", "excess_estimate", "influence", "longest_rows", "unless_refuted"]

HELD_OUT_ROWS = 128
_INFLUENCE_ROWS = 48
_LONGEST_ROWS = 32


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Rows drawn afresh, which no answer uses."""

    block: Any
    norms: Float64Array

    def times(self, vectors: FloatArray, count: int = HELD_OUT_ROWS) -> Float64Array:
        """Return the products of the first unit rows with the vectors."""
        return np.asarray(self.block[:count] @ vectors, dtype=np.float64) / self.norms[:count, None]

    def gram(self, count: int) -> Float64Array:
        """Return the Gram matrix of the first unit rows."""
        product = self.block[:count] @ self.block[:count].T
        dense = np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)
        return dense / np.outer(self.norms[:count], self.norms[:count])


def longest_rows(A: CountingMatrix) -> tuple[HeldOutRows, Float64Array]:
    """Return the rows of largest norm and their shares of |A|_F^2."""
    norms = A.row_norms()
    count = min(_LONGEST_ROWS, int(np.count_nonzero(norms)))
    rows = np.sort(np.argpartition(norms, len(norms) - count)[-count:])
    return HeldOutRows(*gather_rows(A, rows)), (norms[rows] / A.frobenius_norm) ** 2


def unless_refuted(
    excess: ErrorEstimate, in_sample: float, loss: float, sines: Float64Array, seen: float, n_draws: int
) -> ErrorEstimate:
    """Return the excess, or the one that rows outside the sample show where they contradict it beyond doubt.

    The squared error is at least what the longest rows leave out, which is known exactly; what the held-out rows show
    less three standard errors; and, at 95 %, a share of 0.05 / rows for the worst of them. Drawn rows alone cannot
    tell of a direction that none of them has: rank one plus one row of 40 times the mean squared norm, 40,000 rows,
    was certified to 0.6 % at an excess of 900 %.
    """
    spread = float(sines.std(ddof=1))
    expected = max(in_sample, 0.0) + 2.0 * loss
    worst = 0.05 / len(sines) * float(sines.max())
    shown = max(seen, float(sines.mean()) - 3.0 * spread / math.sqrt(len(sines)), worst)
    if shown <= expected + 9.0 * min(spread, expected) / math.sqrt(n_draws):
        return excess
    value = math.sqrt(max(shown, float(sines.mean())) / max(in_sample, 1e-30)) - 1.0
    return ErrorEstimate(max(value, excess.value), excess.low, max(2.0 * value, excess.high))


def influence(held_out: HeldOutRows, inside: Float64Array, joint: Ritz, rank: int, n_draws: int) -> Float64Array:
    """Return the Gram matrix of the first-order influences of some rows on the span, in the metric of the loss.

    Row u turns direction i towards j by (u.v_i)(u.v_j) / (lambda_i - lambda_j), at a loss of (lambda_i - lambda_j)
    times the square; a gap below what n_draws rows resolve counts as just resolved.
    """
    if len(joint.values) < rank:
        return np.zeros((0, 0))
    inside = inside[:_INFLUENCE_ROWS]
    near = held_out.times(joint.vectors[:, rank:], _INFLUENCE_ROWS)
    rest = held_out.gram(_INFLUENCE_ROWS) - inside @ inside.T - near @ near.T
    top, tail = joint.values[:rank], joint.values[rank:]
    total = np.zeros_like(rest)
    for i in range(rank):
        gaps = np.maximum(top[i] - tail, top[i] / math.sqrt(n_draws))
        total += np.outer(inside[:, i], inside[:, i]) * ((near / gaps) @ near.T + rest / top[i])
    return total


def excess_estimate(
    loss: float,
    in_sample: float,
    n_draws: int,
    sines: Float64Array,
    relative_variance: float,
    A: CountingMatrix,
) -> ErrorEstimate:
    """Return the relative excess sqrt(e / (e - loss)) - 1 of the squared error e.

    e is pooled from the held-out rows and the drawn ones, on which the answer looks better by twice the loss.
    """
    weight = len(sines) / (len(sines) + n_draws)
    mean = weight * float(sines.mean()) + (1.0 - weight) * (max(in_sample, 0.0) + 2.0 * loss)
    if mean <= 64.0 * float(np.finfo(A.dtype).eps):
        # The error is zero to working precision, and an excess relative to it has no meaning.
        return ErrorEstimate(0.0, 0.0, 0.0)
    noise = float(sines.var(ddof=1)) / ((len(sines) + n_draws) * mean**2)
    low, high = loss_interval(loss, relative_variance + noise)

    def relative(part: float) -> float:
        return math.sqrt(mean / (mean - part)) - 1.0 if part < mean else math.inf

    return ErrorEstimate(relative(loss), relative(low), relative(high))
