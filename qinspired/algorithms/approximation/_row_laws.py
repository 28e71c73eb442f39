"""Laws by which rows are drawn, each giving batches for the answer and fresh rows to judge it.

By squared norm, as the index has it; uniform, for a matrix without an index; and, after a first round, half by squared
norm and half by what the first answer leaves of a row, or by the leverage that it gives the row. Every law weighs its
rows so that the weighted sum of outer products estimates A^T A, as a share of the squared `norm`.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from qinspired._validation import first_nonfinite, raise_nonfinite
from qinspired.access import base_of
from qinspired.algorithms._certificates import root_mean_interval
from qinspired.algorithms._gather import gather_rows, squares_are_safe, unit_rows
from qinspired.algorithms.approximation._excess import HELD_OUT_ROWS, HeldOutRows
from qinspired.algorithms.approximation._row_sample import RowBatch, draw_batch, make_batch, row_parts
from qinspired.kernels import dense_row_norms

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms._results import ErrorEstimate
    from qinspired.algorithms.approximation._ritz import Ritz

__all__ = ["ReweightedRows", "RowLaw", "RowsBySquaredNorm", "UnevenRowsError", "UniformRows", "leverage", "residual"]

_LONGEST_ROWS = 32

# Above so many rows, whose norms may not be tabulated, the longest are looked for among drawn ones, as they are drawn
# most often: one with over 0.2 % of |A|_F^2 is missed by 4,096 draws with a chance below 1 in 1,000.
_NORMS_LOOKED_AT = 10**8
_DRAWN_CANDIDATES = 4096

# A row shorter by this factor than all that were met may be unlike them: some are drawn among these alone.
_SHORTER, _SHORT_ROWS = 3.0, 32

# Of a row in memory 64 bytes are probed, of a mapped one a page is read: of all rows, or of as many as make this share
# of A, but of 4,096 at least.
_PROBED_SHARE = 0.02
_PAGE_BYTES = 4096

# Uniform draws need more rows than draws by squared norm by the mean square over the squared mean of the squared
# norms. Above this the index pass is preferred.
_UNEVEN = 2.0
_UNEVEN_PROBES = 3.0  # of 16 entries: independent ones of a normal law scatter by 1 + 2 / 16 of themselves

# Proposals for a row of the second law, as a multiple of the rows wanted; after them the rest is drawn by squared norm.
_MOST_PROPOSALS = 16
_PROPOSED_AT_ONCE = 256

_NORMS_AT_ONCE = 64


_Rows = TypeVar("_Rows", RowBatch, HeldOutRows)


class RowLaw(Protocol):
    """What a solver asks of a law: `draw`, and the rows and the unit for judging."""

    matrix: CountingMatrix
    norm: float

    def draw(self, n_draws: int, rng: np.random.Generator) -> RowBatch:
        """Return a batch of drawn rows."""

    def held_out(self, rng: np.random.Generator) -> HeldOutRows:
        """Return fresh rows."""

    def longest(self, rng: np.random.Generator) -> tuple[HeldOutRows, Float64Array]:
        """Return unit rows of large norm and their shares of the squared norm."""

    def shorter(self, rng: np.random.Generator) -> tuple[HeldOutRows, float] | None:
        """Return some rows so short that no draw tells of such ones, and the share of |A|_F^2 in all of them."""

    def error(self, left: Float64Array, sizes: Float64Array) -> ErrorEstimate:
        """Return the relative error from what is left of held-out rows and from their squared lengths."""


class RowsBySquaredNorm:
    """Rows drawn by squared norm."""

    def __init__(self, matrix: CountingMatrix) -> None:
        self.matrix = matrix
        self.norm = matrix.frobenius_norm
        self._shortest = math.inf

    def draw(self, n_draws: int, rng: np.random.Generator) -> RowBatch:
        """Return a batch of drawn rows."""
        return self._met(draw_batch(self.matrix, n_draws, rng))

    def held_out(self, rng: np.random.Generator) -> HeldOutRows:
        """Return fresh rows."""
        rows = self.matrix.sample_rows(HELD_OUT_ROWS, rng)
        return self._met(HeldOutRows(rows, *gather_rows(self.matrix, rows), np.ones(len(rows))))

    def _met(self, drawn: _Rows) -> _Rows:
        self._shortest = min(self._shortest, float(self.matrix.row_norms(drawn.rows).min()))
        return drawn

    def shorter(self, rng: np.random.Generator) -> tuple[HeldOutRows, float] | None:
        """Return rows drawn by squared norm among those much shorter than any so far, and the share of all of them."""
        if self.matrix.shape[0] > _NORMS_LOOKED_AT:
            return None
        norms = self.matrix.row_norms()
        short = np.flatnonzero((norms < self._shortest / _SHORTER) & (norms > 0.0))
        shares = (norms[short] / self.norm) ** 2
        share = float(shares.sum())
        if share == 0.0:
            return None
        rows = np.sort(rng.choice(short, size=_SHORT_ROWS, p=shares / share))
        return HeldOutRows(rows, *gather_rows(self.matrix, rows), np.ones(len(rows))), share

    def longest(self, rng: np.random.Generator) -> tuple[HeldOutRows, Float64Array]:
        """Return the rows of largest norm, of all or of many that are drawn, and their shares of |A|_F^2."""
        A = self.matrix
        candidates = np.unique(A.sample_rows(_DRAWN_CANDIDATES, rng)) if A.shape[0] > _NORMS_LOOKED_AT else None
        norms = A.row_norms(candidates)
        longest = _largest(norms)
        rows, norms = longest if candidates is None else candidates[longest], norms[longest]
        return HeldOutRows(rows, *gather_rows(A, rows), np.ones(len(rows))), (norms / self.norm) ** 2

    def error(self, left: Float64Array, sizes: Float64Array) -> ErrorEstimate:
        """Return the relative error from what is left of held-out rows."""
        del sizes
        return root_mean_interval(left)


def _largest(norms: Float64Array) -> IntArray:
    count = min(_LONGEST_ROWS, int(np.count_nonzero(norms)))
    return np.sort(np.argpartition(norms, len(norms) - count)[-count:])


class UnevenRowsError(Exception):
    """Raised where uniform draws would not do: rows of very uneven norms, or entries that are not finite."""


class UniformRows:
    """Rows drawn uniformly from a matrix without an index; |A|_F is estimated from the probes.

    Of every row, or of many, 64 bytes are probed: rows that look long are read, and norms that look uneven end it.
    """

    def __init__(self, matrix: CountingMatrix, rng: np.random.Generator) -> None:
        self.matrix = matrix
        self._probe(rng)
        # The unit is that of the probes, good to a per cent or so; only ratios to it are reported.
        self.norm = math.sqrt(matrix.shape[0]) * math.sqrt(float(self._probes.mean()))
        self._seen: list[Float64Array] = []

    def _probe(self, rng: np.random.Generator) -> None:
        m, n = self.matrix.shape
        source = base_of(self.matrix)
        row_bytes = n * source.dtype.itemsize
        probed_bytes = min(64 if source.is_in_memory else _PAGE_BYTES, row_bytes)
        count = min(m, max(int(_PROBED_SHARE * m * row_bytes / probed_bytes), _DRAWN_CANDIDATES))
        self._candidates = np.arange(m) if count == m else np.sort(rng.choice(m, size=count, replace=False))
        self._probes: Float64Array = source.probe_rows(self._candidates, rng)
        self.matrix.counts.entries_read += count * min(64 // source.dtype.itemsize, n)
        with np.errstate(over="ignore"):
            mean = float(self._probes.mean())
        if not sys.float_info.min <= mean < math.inf:
            raise UnevenRowsError("the entries probed are zero, not finite, or have squares out of range")
        unevenness = float(((self._probes / mean) ** 2).mean())
        if not unevenness <= _UNEVEN_PROBES:
            raise UnevenRowsError(f"the squares of probed entries vary by {unevenness - 1.0:.3g} of their mean squared")

    def _drawn(self, n_draws: int, rng: np.random.Generator) -> tuple[IntArray, Float64Array, IntArray]:
        rows, counts = np.unique(rng.integers(self.matrix.shape[0], size=n_draws), return_counts=True)
        norms = self._norms(rows)
        self._seen.append(np.repeat((norms / self.norm) ** 2, counts))
        seen = np.concatenate(self._seen)
        mean = float(seen.mean())
        unevenness = float((seen**2).mean()) / mean**2 if mean > 0.0 else math.inf
        if not unevenness <= _UNEVEN:
            raise UnevenRowsError(
                f"the squared norms of drawn rows vary by {unevenness - 1.0:.3g} of their mean squared"
            )
        return rows, norms, counts

    def rows(self, n_draws: int, rng: np.random.Generator) -> IntArray:
        """Return drawn rows, repeats next to one another, that were seen to be finite and even."""
        rows, _, counts = self._drawn(n_draws, rng)
        return np.repeat(rows, counts)

    def _norms(self, rows: IntArray) -> Float64Array:
        """Return norms from the rows themselves; the first entry that is not finite is told."""
        norms = np.empty(len(rows))
        for start in range(0, len(rows), _NORMS_AT_ONCE):
            part = slice(start, start + _NORMS_AT_ONCE)
            block = np.asarray(self.matrix.rows(rows[part]))
            norms[part] = dense_row_norms(block)
            if not np.isfinite(norms[part]).all():
                place = int(np.argmax(~np.isfinite(norms[part])))
                where = first_nonfinite(block[place])
                if where is not None:
                    raise_nonfinite("A", (int(rows[start + place]), where[0]), block[place][where[0]])
                raise UnevenRowsError("squares of the entries leave the range of float64")
        return norms

    def _batch(self, rows: IntArray, norms: Float64Array, counts: IntArray, n_draws: int) -> RowBatch:
        kept = norms > 0.0
        rows, norms, counts = rows[kept], norms[kept], counts[kept]
        shares = counts * (norms / self.norm) ** 2 * self.matrix.shape[0]
        return make_batch(self.matrix, rows, norms, shares, n_draws)

    def draw(self, n_draws: int, rng: np.random.Generator) -> RowBatch:
        """Return a batch of drawn rows."""
        return self._batch(*self._drawn(n_draws, rng), n_draws)

    def held_out(self, rng: np.random.Generator) -> HeldOutRows:
        """Return fresh rows."""
        rows = rng.integers(self.matrix.shape[0], size=HELD_OUT_ROWS)
        norms = self._norms(rows)
        return self._held(rows, norms, np.full(len(rows), self.norm / math.sqrt(self.matrix.shape[0])))

    def longest(self, rng: np.random.Generator) -> tuple[HeldOutRows, Float64Array]:
        """Return the rows whose probes are largest, and their shares of |A|_F^2."""
        del rng
        rows = self._candidates[_largest(self._probes)]
        norms = self._norms(rows)
        return self._held(rows, norms, norms), (norms / self.norm) ** 2

    def shorter(self, rng: np.random.Generator) -> None:
        """Return nothing: short rows are drawn as often as long ones."""
        del rng

    def _held(self, rows: IntArray, norms: Float64Array, scales: Float64Array) -> HeldOutRows:
        """Return rows to be divided by scales, of unit length where their squares could leave the type."""
        block, sizes = self.matrix.rows(rows), (norms / scales) ** 2
        if squares_are_safe(norms[norms > 0.0], self.matrix.dtype):
            return HeldOutRows(rows, block, scales, sizes)
        lengths = np.where(norms > 0.0, norms, 1.0)
        return HeldOutRows(rows, unit_rows(block, lengths), scales / lengths, sizes)

    def error(self, left: Float64Array, sizes: Float64Array) -> ErrorEstimate:
        """Return the relative error, a ratio of means, with the interval of its linearisation."""
        mean = float(sizes.mean())
        ratio = float(left.mean()) / mean
        return root_mean_interval(ratio + (left - ratio * sizes) / mean)


def residual(first: Ritz, rank: int) -> tuple[FloatArray, Callable[[Float64Array], Float64Array]]:
    """Return the span of a first answer, and the score of a unit row by its cosines: what the span leaves of it."""

    def score(cosines: Float64Array) -> Float64Array:
        left: Float64Array = np.maximum(1.0 - (cosines**2).sum(axis=1), 0.0)
        return left

    return first.vectors[:, :rank], score


def leverage(first: Ritz, rank: int) -> tuple[FloatArray, Callable[[Float64Array], Float64Array]]:
    """Return the span of a first answer, and the score of a unit row by its cosines: leverage, at most 1."""
    values = first.values[:rank]

    def score(cosines: Float64Array) -> Float64Array:
        shares: Float64Array = (cosines[:, : len(values)] ** 2 / values).sum(axis=1) * float(values.min())
        return np.minimum(shares, 1.0)

    return first.vectors[:, :rank], score


class ReweightedRows(RowsBySquaredNorm):
    """Rows drawn half by squared norm and half by squared norm times a score in [0, 1], by rejection."""

    def __init__(
        self, matrix: CountingMatrix, vectors: FloatArray, score: Callable[[Float64Array], Float64Array]
    ) -> None:
        super().__init__(matrix)
        self._vectors, self._score = vectors, score
        self._score_sum, self._n_scored = 0.0, 0

    def draw(self, n_draws: int, rng: np.random.Generator) -> RowBatch:
        """Return a batch of drawn rows, weighted by the inverse of the law they follow together."""
        plain = self.matrix.sample_rows(n_draws - n_draws // 2, rng)
        wanted = n_draws // 2
        drawn, scores, n_proposed, n_accepted = [plain], [self._scores(plain)], 0, 0
        while n_accepted < wanted and n_proposed < _MOST_PROPOSALS * wanted:
            proposed = self.matrix.sample_rows(_PROPOSED_AT_ONCE, rng)
            found = self._scores(proposed)
            accepted = np.flatnonzero(rng.random(len(found)) < found)[: wanted - n_accepted]
            drawn.append(proposed[accepted])
            scores.append(found[accepted])
            n_proposed += len(proposed)
            n_accepted += len(accepted)
        rest = self.matrix.sample_rows(wanted - n_accepted, rng)
        rows = np.concatenate([*drawn, rest])
        ratios = np.concatenate([*scores, self._scores(rest)]) * self._n_scored / max(self._score_sum, 1e-300)
        share = n_accepted / n_draws
        distinct, first, counts = np.unique(rows, return_index=True, return_counts=True)
        shares = counts / (1.0 - share + share * ratios[first])
        return self._met(make_batch(self.matrix, distinct, self.matrix.row_norms(distinct), shares, n_draws))

    def _scores(self, rows: IntArray) -> Float64Array:
        if len(rows) == 0:
            return np.zeros(0)
        distinct, places = np.unique(rows, return_inverse=True)
        found = np.concatenate(
            [self._score(self._cosines(distinct[part])) for part in row_parts(self.matrix, distinct)]
        )
        found = found[places]
        self._score_sum += float(found.sum())
        self._n_scored += len(found)
        return found

    def _cosines(self, rows: IntArray) -> Float64Array:
        block, norms = gather_rows(self.matrix, rows)
        return np.asarray(block @ self._vectors, dtype=np.float64) / norms[:, None]
