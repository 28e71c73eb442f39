"""Matrices that are known through one that dominates them: draws by rejection."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction
from qinspired.access._row_reader import RowReader, rows_per_block
from qinspired.access._sampler import AliasTable
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import csr_row_norms, dense_row_norms

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["NormEstimate", "OversampledMatrix", "block_norms"]

# Proposals a round: few at first, since a row that is proposed must be read; the cap bounds the memory of a round.
_FIRST_ROUND, _LARGEST_ROUND = 16, 65_536
_LARGEST_OVERSAMPLING = 1e7
_LARGEST_TABLE = 10**9  # bytes of row norms


def block_norms(block: FloatArray | sp.csr_array[Any]) -> Float64Array:
    """Return the row norms of a dense or CSR block, NaN for a row that is not finite."""
    if isinstance(block, np.ndarray):
        return dense_row_norms(block)
    return csr_row_norms(block.data, block.indptr.astype(np.int64, copy=False))


@dataclass(frozen=True, slots=True)
class NormEstimate:
    """A Frobenius norm estimated from the share of accepted proposals.

    Attributes
    ----------
    value : float
        The bound's norm times the root of the accepted share.
    low, high : float
        Clopper-Pearson interval, which covers the norm with at least the given probability.
    confidence : float
    n_accepted, n_proposals : int
    """

    value: float
    low: float
    high: float
    confidence: float
    n_accepted: int
    n_proposals: int


class OversampledMatrix(RowReader):
    """Oversampling access SQ_phi to a matrix A derived from others, never formed as a whole.

    A is dominated by a matrix A~ from which rows are drawn at once: |A_i| <= |A~_i| for every row, and
    phi = |A~|_F^2 / |A|_F^2 [1]_. A draw from A is a draw from A~ that is accepted with probability
    |A_i|^2 / |A~_i|^2. A subclass gives `shape`, `dtype`, `_read_rows`, `bound_norm` and `bound_norms`. The norm of A
    itself is not known without a pass: `as_sq_matrix` makes it, and gives exact access with phi = 1 to every algorithm.

    Notes
    -----
    Cost: a row draw takes phi proposals in expectation; the row of a proposal is read once, its norm kept (8 bytes a
    row of A, and 16 for the table of proposals).

    References
    ----------
    .. [1] N.-H. Chia, A. Gilyen, T. Li, H.-H. Lin, E. Tang, C. Wang, "Sampling-based sublinear low-rank matrix
       arithmetic framework for dequantizing quantum machine learning", STOC 2020. Differs from [1]_: rows and columns
       are accepted by whole norms, which are read, and not by single entries.
    """

    _norms: Float64Array | None = None

    @property
    @abstractmethod
    def bound_norm(self) -> float:
        """Frobenius norm |A~|_F of the dominating matrix."""

    @abstractmethod
    def bound_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the norms |A~_i| of the given rows of the dominating matrix, or of all."""

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the exact norms of the given rows, or of all, by reading them; kept for the next time.

        Parameters
        ----------
        rows : array_like of int, optional
            By default all rows, in one pass.

        Returns
        -------
        ndarray of float64, shape (len(rows),) or (m,)
        """
        known = self._known_norms()
        if rows is None:
            if np.isnan(known).any():
                known[:] = self._compute_all_norms()
            return known.copy()
        rows = self._check_rows(rows)
        missing = np.unique(rows[np.isnan(known[rows])])
        if len(missing):
            known[missing] = self._compute_norms(missing)
        return known[rows]

    def _known_norms(self) -> Float64Array:
        m = self.shape[0]  # asked of the sources: one that was updated since refuses
        if self._norms is None:
            if 8 * m > _LARGEST_TABLE:
                raise ValueError(
                    f"the norms of a derived matrix are kept, and those of {m} rows would take {8 * m:.3g} bytes, of "
                    f"at most {_LARGEST_TABLE:.0e}; ask for rows and entries, or derive it from fewer rows."
                )
            self._norms = np.full(m, np.nan)
        return self._norms

    def _compute_norms(self, rows: IntArray) -> Float64Array:
        """Return the norms of distinct rows in range."""
        step = rows_per_block(self.shape[1])
        parts = [block_norms(self._read_rows(rows[start : start + step])) for start in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _compute_all_norms(self) -> Float64Array:
        """Return all row norms by one pass."""
        return np.concatenate([block_norms(block) for _, block in self.row_blocks(rows_per_block(self.shape[1]))])

    @cached_property
    def _proposals(self) -> AliasTable:
        return AliasTable(self.bound_norms(), exponent=2)

    def _propose(self, count: int, generator: np.random.Generator) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Draw rows from the dominating matrix and say which are accepted."""
        rows = self._proposals.sample(count, generator)
        shares = self.row_norms(rows) / self.bound_norms(rows)
        return rows, generator.random(count) < shares * shares

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2 exactly, by rejection.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness; the draws do not depend on the number of threads.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If the matrix is zero, or cancels to it to working precision (phi above 1e7).

        Notes
        -----
        Cost: phi proposals a draw in expectation, each a row read; none is read twice.
        """
        return self.sample_rows_counted(n_draws, rng)[0]

    def sample_rows_counted(self, n_draws: int, rng: RNGLike = None) -> tuple[IntArray, int]:
        """Draw rows as `sample_rows` does, and count the proposals.

        Returns
        -------
        draws : ndarray of int64, shape (n_draws,)
        n_proposals : int
            Proposals up to the last one that was needed: n_proposals / n_draws is an unbiased estimate of phi.
        """
        n_draws = check_count(n_draws, "n_draws")
        generator = as_generator(rng)
        self._refuse_zero_bound()
        accepted: list[IntArray] = []
        n_accepted = n_proposals = 0
        while n_accepted < n_draws:
            needed = n_draws - n_accepted
            per_draw = max(1.0, n_proposals / (n_accepted + 1))
            rows, keep = self._propose(int(min(_FIRST_ROUND + needed * per_draw, _LARGEST_ROUND)), generator)
            hits = np.flatnonzero(keep)[:needed]
            # Proposals after the one that fills the request are not counted, so that the ratio is unbiased.
            n_proposals += int(hits[-1]) + 1 if len(hits) == needed else len(rows)
            accepted.append(rows[hits])
            n_accepted += len(hits)
            if n_accepted < n_draws:
                self._refuse_cancelled(n_proposals, n_accepted)
        return np.concatenate(accepted) if accepted else np.zeros(0, dtype=np.int64), n_proposals

    def sample_cols_counted(self, rows: npt.ArrayLike, rng: RNGLike = None) -> tuple[IntArray, int]:
        """Draw columns as `sample_cols` does, and count the proposals: one a draw where the row is read.

        Returns
        -------
        draws : ndarray of int64, shape (len(rows),)
        n_proposals : int
        """
        cols = self.sample_cols(rows, rng)
        return cols, len(cols)

    def _refuse_zero_bound(self) -> None:
        if self.bound_norm == 0.0:
            raise ZeroMassError(f"the {self.shape} matrix has only zero entries, so no row can be drawn.")

    def _refuse_cancelled(self, n_proposals: int, n_accepted: int) -> None:
        # After as many refusals as rows a pass costs no more than was spent, and tells how small the matrix is.
        hopeless = n_proposals > _LARGEST_OVERSAMPLING * (n_accepted + 1)
        if n_accepted == 0 and n_proposals >= self.shape[0] and not hopeless:
            norm = self._norm_by_pass()
            hopeless = norm * np.sqrt(_LARGEST_OVERSAMPLING) < self.bound_norm
        if hopeless:
            raise ZeroMassError(
                "the matrix cancels to zero to working precision: its norm is below 3e-4 of its bound "
                f"{self.bound_norm:.3g}, so rows cannot be drawn by rejection. If it is not zero, `as_sq_matrix` "
                "gives draws without."
            )

    def _norm_by_pass(self) -> float:
        norms = self.row_norms()
        largest = float(norms.max())
        if not 0.0 < largest < np.inf:
            return largest
        shares = norms / largest
        return largest * float(np.sqrt(shares @ shares))

    def phi(self) -> float:
        """Return the oversampling factor |A~|_F^2 / |A|_F^2, exactly.

        Returns
        -------
        float
            At least 1, up to rounding.

        Raises
        ------
        ZeroMassError
            If the matrix is zero.

        Notes
        -----
        Cost: one pass over the rows, unless their norms are known; `estimate_norm` needs none.
        """
        norm = self._norm_by_pass()
        if norm == 0.0:
            raise ZeroMassError(f"the {self.shape} matrix has only zero entries, so its oversampling is infinite.")
        ratio = self.bound_norm / norm
        return ratio * ratio

    def estimate_norm(self, n_proposals: int = 1000, rng: RNGLike = None, *, confidence: float = 0.95) -> NormEstimate:
        """Return an estimate of |A|_F, with its interval, from the share of proposals that are accepted.

        Parameters
        ----------
        n_proposals : int, default=1000
            Proposals to make, >= 1.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.
        confidence : float, default=0.95
            Probability, in (0, 1), with which the interval covers the norm at least.

        Returns
        -------
        NormEstimate
            phi is about (bound_norm / value)^2.

        Notes
        -----
        Cost: `n_proposals` draws from the bound, each a row read.
        Error: the accepted share is binomial with probability 1 / phi; its Clopper-Pearson interval is exact, so the
        relative error of the norm is about sqrt(phi / n_proposals).
        """
        n_proposals = check_count(n_proposals, "n_proposals", low=1)
        confidence = check_fraction(confidence, "confidence")
        generator = as_generator(rng)
        bound = self.bound_norm
        if bound == 0.0:
            return NormEstimate(0.0, 0.0, 0.0, confidence, 0, n_proposals)
        hits = 0
        for start in range(0, n_proposals, _LARGEST_ROUND):
            hits += int(self._propose(min(_LARGEST_ROUND, n_proposals - start), generator)[1].sum())
        tail = (1.0 - confidence) / 2.0
        low = float(betaincinv(hits, n_proposals - hits + 1, tail)) if hits else 0.0
        high = float(betaincinv(hits + 1, n_proposals - hits, 1.0 - tail)) if hits < n_proposals else 1.0
        value, low, high = (bound * float(np.sqrt(share)) for share in (hits / n_proposals, low, high))
        return NormEstimate(value, low, high, confidence, hits, n_proposals)
