"""What an answer still lacks after one pass from drawn rows.

A pass tells of every row how long it is outside the block that went into it. Rows drawn by that, mostly, show
what is beyond the block that came out: how much is left to gain, and directions that the start had no row of.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qinspired.algorithms._gather import gather_rows
from qinspired.algorithms.approximation._excess import HELD_OUT_ROWS, HeldOutRows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.approximation._ritz import Ritz

__all__ = ["UNKNOWN", "Losses", "RowsOutside", "predicted_losses"]

# A direction whose loss would exceed the tolerance is in 2 tolerances of what is outside, or more; so many of the rows
# are wanted to have it. Their Gram matrix may take half as many operations as a pass, and they 0.5 % of A, or 16 MB.
_WANTED_WITH_IT, _GRAM_SHARE, _SHARE_OF_A, _ENTRIES = 6.0, 0.5, 0.005, 2_000_000

# The largest value beyond the block in terms of its last Ritz value, which is too low: by 1.0 to 3.3 times over seven
# spectra. The slack is for rows so uneven that the drawn ones miss what matters.
_LARGEST_TAIL, _SLACK = 3.0, 4.0


class Losses(NamedTuple):
    """What is left to gain, estimated and at most, before and after the last half step.

    Before it is what the energy lacks that was measured; after it what the answer lacks.
    """

    before: float
    before_high: float
    after: float
    after_high: float


UNKNOWN = Losses(math.inf, math.inf, math.inf, math.inf)


class RowsOutside:
    """Rows drawn by their squares outside the block before a pass, which are known, one in four by squared norm.

    `cosines` are their products with the block after it, and `outside` is the Gram matrix of what that leaves of them.
    """

    def __init__(
        self, A: CountingMatrix, inside: Float64Array, V: FloatArray, tolerance: float, rng: np.random.Generator
    ) -> None:
        self._tolerance = tolerance
        norms = A.row_norms()
        shares = (norms / A.frobenius_norm) ** 2
        rest = np.maximum(shares - inside, 0.0)
        total = float(rest.sum())
        chances = 0.25 * shares + 0.75 * rest / total if total > 0.0 else shares
        chances /= chances.sum()
        rows = np.sort(rng.choice(len(chances), size=_count(A, V.shape[1], tolerance), p=chances))
        block, scales = gather_rows(A, rows)
        # gathered rows may be of unit length, whose scale is 1
        scales = scales * np.sqrt(chances[rows] / shares[rows])
        self._rows = HeldOutRows(rows, block, scales, shares[rows] / chances[rows])
        self.sizes = self._rows.sizes
        self.cosines = self._rows.times(V, len(rows))
        self.outside: Float64Array = self._rows.gram(len(rows)) - self.cosines @ self.cosines.T
        squares = self.outside**2
        np.fill_diagonal(squares, 0.0)
        self.second = squares.sum(axis=1) / (len(rows) - 1)  # of each row, its square in the metric of the tail

    def missed(self, V: FloatArray, pairs: Ritz, rank: int) -> FloatArray | None:
        """Return V with the last columns replaced by directions that belong among the leading ones, if any do.

        Such is what a row leaves if the others have so much of it that half the tolerance would be lost, and
        if more than one row tells.
        """
        lengths = np.maximum(np.diag(self.outside), 1e-300)
        least = float(pairs.values[rank - 1]) + max(self._tolerance, 1.0 / len(lengths)) * float(lengths.mean())
        if float((self.second / lengths).max()) <= least:
            return None
        values, mixing = np.linalg.eigh(self.outside / len(lengths))
        room = V.shape[1] - rank
        values, mixing = values[::-1][:room], mixing[:, ::-1][:, :room]
        mixing = mixing[:, values > least]
        rest = self._rows.block.T @ (mixing / self._rows.scales[:, None]) - V @ (self.cosines.T @ mixing)
        rest = (rest / np.linalg.norm(rest, axis=0)).astype(V.dtype)
        return np.hstack([V[:, : V.shape[1] - rest.shape[1]], rest])


def _count(A: CountingMatrix, width: int, tolerance: float) -> int:
    m, n = A.shape
    room = max(_SHARE_OF_A * m, _ENTRIES * m / A.n_stored)
    most = min(math.sqrt(_GRAM_SHARE * 4.0 * width * A.n_stored / n), room)
    return int(max(min(_WANTED_WITH_IT / (2.0 * tolerance), most), HELD_OUT_ROWS))


def predicted_losses(rows: RowsOutside, pairs: Ritz, rank: int, gain: float) -> tuple[Losses, ...]:
    """Return bounds of the losses after one pass from drawn rows, and estimates, from its gain and the tail.

    With rho the largest value of the tail in lambda_k, at most rho / (1 - rho) of the gain is left, and after the half
    step rho^2 / (1 - rho): the bounds. Drawn rows turn direction i towards j at a loss of lambda_j / (1 - rho_ij),
    rho_ij = lambda_j / lambda_i, in units that the gain fixes, and each half step multiplies it by rho_ij.
    """
    last = float(pairs.values[-1])
    outside = rows.outside
    largest = max(min(float(np.linalg.eigvalsh(outside)[-1]) / len(outside), _LARGEST_TAIL * last), last)
    top = pairs.values[:rank]
    # Per unit row; of mean 1 by squared norm. Rows that are long inside may be long outside.
    parts = rows.cosines[:, :rank] ** 2 / rows.sizes[:, None] / top
    unit = gain / max(float((parts * np.diag(outside)[:, None]).mean()), 1e-300)

    def losses(tail: float, sigmas: float) -> tuple[float, float]:
        ratios = tail / top
        if float(ratios.max()) >= 1.0:
            return math.inf, math.inf
        found = []
        for power in (1, 2):
            terms = rows.second * (parts / (top**power * (1.0 - ratios))).mean(axis=1)
            spread = sigmas * float(terms.std(ddof=1)) / math.sqrt(len(terms))
            found.append(unit * tail ** (power - 1) * (float(terms.mean()) + spread))
        return found[0], found[1]

    (before, after), highs = losses(math.sqrt(last * largest), 0.0), losses(largest, 4.0)
    likely = Losses(before, max(before, _SLACK * highs[0]), after, max(after, _SLACK * highs[1]))
    ratio = largest / float(top[-1])
    bounds = [gain * ratio**power / (1.0 - ratio) if ratio < 1.0 else math.inf for power in (1, 2)]
    # What needs no law of the rows comes first, for where it is enough.
    return Losses(min(before, bounds[0]), bounds[0], min(after, bounds[1]), bounds[1]), likely
