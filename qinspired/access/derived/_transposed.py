"""The transpose of a matrix whose rows can be drawn."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count
from qinspired.access._convert import as_sq_matrix
from qinspired.access._row_reader import rows_per_block
from qinspired.access.derived._indexed import IndexedMatrix
from qinspired.access.derived._oversampled import OversampledMatrix
from qinspired.access.derived._sources import power_unit
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike
    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["TransposedMatrix", "transpose"]

# Stored entries of a panel of columns that is taken out of a sparse matrix by one pass: 64 MB of float64.
_PANEL_ENTRIES = 8_000_000
_ROUND_ENTRIES = 1_000_000
_LARGEST_OVERSAMPLING = 10_000_000


def transpose(A: Any) -> SampleQueryMatrix | TransposedMatrix:
    """Transpose A^T of a matrix, never formed.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        A derived matrix is indexed first, by one pass; the transpose of a transpose is the matrix itself.

    Returns
    -------
    TransposedMatrix
        Of shape (n, m); `sample_rows` draws columns of A by squared norm.

    Notes
    -----
    Bound: for rows none is needed. A row i of A drawn by squared norm, then a column of it, is a column j with
    probability |A^j|^2 / |A|_F^2: phi = 1. The entries of column j are dominated by the row norms, |A_ij| <= |A_i|, so
    that a row i is proposed by squared norm and accepted with probability A_ij^2 / |A_i|^2: phi_j = |A|_F^2 / |A^j|^2
    proposals. For columns drawn by their law it is n on average (the number of non-zero columns, exactly).
    Cost: a row of the transpose is a column of A: m strided reads if A is dense, a pass over A if it is sparse, one for
    all rows of a call. `sample_cols` reads the columns where that is cheaper than n proposals a draw.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.as_sq_matrix(np.array([[0.0, 3.0], [0.0, 4.0]]))
    >>> T = qi.transpose(A)
    >>> T.rows([1])
    array([[3., 4.]])
    >>> T.sample_rows(3, rng=0).tolist(), T.phi()
    ([1, 1, 1], 1.0)
    >>> qi.transpose(T) is A
    True
    """
    if isinstance(A, IndexedMatrix) and isinstance(A.reader, TransposedMatrix):
        return A.reader.source
    if isinstance(A, TransposedMatrix):
        return A.source
    return TransposedMatrix(as_sq_matrix(A))


class TransposedMatrix(OversampledMatrix):
    """Access to A^T through the rows of A; made by `transpose`."""

    def __init__(self, source: SampleQueryMatrix) -> None:
        self._source = source

    @property
    def source(self) -> SampleQueryMatrix:
        """The matrix A."""
        return self._source

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (n, m)."""
        m, n = self._source.shape
        return n, m

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._source.dtype

    @property
    def is_sparse(self) -> bool:
        """Whether A is sparse."""
        return self._source.is_sparse

    @property
    def n_stored(self) -> int:
        """Stored entries of A."""
        return self._source.n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry of A."""
        return self._source.entry_bytes

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row; of a sparse A by one pass, at the first call."""
        rows = self._check_rows(rows)
        return self._counts[rows] if self.is_sparse else super().row_lengths(rows)

    @cached_property
    def _counts(self) -> IntArray:
        counts = np.zeros(self.shape[0], dtype=np.int64)
        for _, block in self._source_blocks():
            counts += np.bincount(block.indices, minlength=len(counts))
        return counts

    @property
    def bound_norm(self) -> float:
        """|A|_F: rows are drawn exactly."""
        return self._source.frobenius_norm

    def bound_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the norms of the given rows, or of all, which need no bound; reads them."""
        return self.row_norms(rows)

    def phi(self) -> float:
        """Return 1, the oversampling of the row law; no pass is made.

        Raises
        ------
        ZeroMassError
            If the matrix is zero.
        """
        self._refuse_zero_bound()
        return 1.0

    def _propose(self, count: int, generator: np.random.Generator) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        rows = self._source.sample_cols(self._source.sample_rows(count, generator), generator)
        return rows, np.ones(count, dtype=bool)

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(i) = A_ij^2 / |A^j|^2, by rejection or by reading the rows.

        Parameters
        ----------
        rows : array_like of int, shape (n_draws,)
            A row of the transpose for each draw; repeats are independent draws.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If a given row has only zero entries.

        Notes
        -----
        Cost: about n proposals a draw, each a row draw and an entry, or m entries for each distinct row if that is
        less; a draw that was refused m times is made by reading its row.
        """
        rows = self._check_rows(rows)
        generator = as_generator(rng)
        m, n = self._source.shape
        by_reading = self._source.n_stored if self.is_sparse else m * len(np.unique(rows))
        if by_reading <= n * len(rows):
            return super().sample_cols(rows, generator)
        cols, _ = self._reject(rows, generator, m)
        left = np.flatnonzero(cols < 0)
        if len(left):
            cols[left] = super().sample_cols(rows[left], generator)
        return cols

    def sample_cols_counted(self, rows: npt.ArrayLike, rng: RNGLike = None) -> tuple[IntArray, int]:
        """Draw columns by rejection alone, and count the proposals.

        Returns
        -------
        draws : ndarray of int64, shape (len(rows),)
        n_proposals : int
            Its expectation is the sum of phi_j = |A|_F^2 / |A^j|^2 over the given rows j.

        Raises
        ------
        ZeroMassError
            If a given row has only zero entries, or so small a share that more than 1e7 proposals are needed.
        """
        rows = self._check_rows(rows)
        generator = as_generator(rng)
        m = self._source.shape[0]
        cols, n_proposals = self._reject(rows, generator, min(m, _LARGEST_OVERSAMPLING))
        left = np.flatnonzero(cols < 0)
        if len(left) and m < _LARGEST_OVERSAMPLING:
            # Reading costs no more than the proposals already spent, and tells a zero row from an unlucky one.
            norms = self.row_norms(rows[left])
            if (norms == 0.0).any():
                row = int(rows[left[np.argmin(norms)]])
                raise ZeroMassError(f"`rows` must name rows with a non-zero entry; row {row} has none to draw.")
            cols[left], more = self._reject(rows[left], generator, _LARGEST_OVERSAMPLING)
            n_proposals += more
        if (cols < 0).any():
            row = int(rows[np.argmax(cols < 0)])
            raise ZeroMassError(
                f"`rows` must name rows of a share above 1e-7 to be drawn from by rejection; row {row} has less. "
                "Use `sample_cols`, which reads it."
            )
        return cols, n_proposals

    def _reject(self, rows: IntArray, generator: np.random.Generator, budget: int) -> tuple[IntArray, int]:
        """Return a column for each row, -1 for one refused at least `budget` times, and the proposals made."""
        cols = np.full(len(rows), -1, dtype=np.int64)
        if self.bound_norm == 0.0:
            return cols, 0
        pending, n_proposals, spent, per_draw = np.arange(len(rows)), 0, 0, 4
        while len(pending) and spent < budget:
            per_draw = max(1, min(per_draw, _ROUND_ENTRIES // len(pending)))
            proposals = self._source.sample_rows(len(pending) * per_draw, generator)
            shares = np.empty(len(proposals))
            for start in range(0, len(proposals), _ROUND_ENTRIES):  # one round may have more draws than entries
                part = proposals[start : start + _ROUND_ENTRIES]
                owners = rows[pending[np.arange(start, start + len(part)) // per_draw]]
                shares[start : start + len(part)] = self._source.query(part, owners) / self._source.row_norms(part)
            kept = (generator.random(len(proposals)) < shares * shares).reshape(-1, per_draw)
            found, first = kept.any(axis=1), kept.argmax(axis=1)
            cols[pending[found]] = proposals.reshape(-1, per_draw)[found, first[found]]
            n_proposals += int((first[found] + 1).sum()) + per_draw * int((~found).sum())
            pending = pending[~found]
            spent += per_draw
            per_draw *= 2
        return cols, n_proposals

    def _source_blocks(self) -> Iterator[tuple[int, Any]]:
        return self._source.row_blocks(rows_per_block(self._source.shape[1]))

    def _compute_all_norms(self) -> Float64Array:
        n = self.shape[0]
        unit = power_unit(float(self._source.row_norms().max()))
        sums = np.zeros(n)
        for _, block in self._source_blocks():
            if not isinstance(block, np.ndarray):
                sums += np.bincount(block.indices, weights=(block.data / unit).astype(np.float64) ** 2, minlength=n)
                continue
            step = max(1, _ROUND_ENTRIES // n)
            for start in range(0, len(block), step):
                part = block[start : start + step].astype(np.float64) / unit
                sums += np.einsum("ij,ij->j", part, part)
        norms: Float64Array = np.sqrt(sums) * unit
        # Columns whose squares underflow beside the largest are summed on their own; those of zeros are among them.
        small = np.flatnonzero(sums < 1e-280)
        if len(small):
            norms[small] = self._compute_norms(small)
        return norms

    def _read_rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        distinct, place = np.unique(rows, return_inverse=True)
        m = self._source.shape[0]
        if self.is_sparse:
            tall: Any = sp.vstack([block[:, distinct] for _, block in self._source_blocks()], format="csr")
            wide = sp.csr_array(tall.T)
            wide.sort_indices()
            return sp.csr_array(wide[place])
        out = np.empty((len(distinct), m), dtype=self.dtype)
        for start, block in self._source_blocks():
            out[:, start : start + len(block)] = block[:, distinct].T
        return out if np.array_equal(distinct, rows) else out[place]

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        return self._source.query(cols, rows)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block).

        A pass over A takes out as many columns as have 8 million stored entries; a dense A is read strided, once.
        """
        n, m = self.shape
        rows_per_block = check_count(rows_per_block, "rows_per_block", low=1)
        lengths = self._counts if self.is_sparse else np.full(n, m)
        ends = np.cumsum(lengths)
        start = 0
        while start < n:
            before = int(ends[start - 1]) if start else 0
            fitting = int(np.searchsorted(ends, before + _PANEL_ENTRIES, side="right")) - start
            stop = min(n, start + max(1, fitting // rows_per_block) * rows_per_block)
            panel = self._read_rows(np.arange(start, stop))
            for low in range(start, stop, rows_per_block):
                yield low, panel[low - start : min(low + rows_per_block, stop) - start]
            start = stop

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A^T X by one pass over A."""
        return self._source.rmatmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A Y by one pass over A."""
        return self._source.matmul(Y)

    def __repr__(self) -> str:
        return f"TransposedMatrix({self._source!r})"
