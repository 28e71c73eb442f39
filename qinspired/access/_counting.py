"""A wrapper that counts what an algorithm asks of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike
    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["AccessCounts", "CountingMatrix"]


@dataclass(slots=True)
class AccessCounts:
    """What was asked of a matrix so far."""

    row_draws: int = 0
    column_draws: int = 0
    entry_queries: int = 0
    rows_read: int = 0
    entries_read: int = 0
    full_passes: int = 0


class CountingMatrix:
    """Sample-and-query access to a matrix, with a count of every access.

    Parameters
    ----------
    source : object with sample-and-query access
        As made by `as_sq_matrix`.

    Notes
    -----
    `counts.entries_read` counts stored entries: those of gathered rows, of rows scanned for a column draw
    (once a draw), single queries, and n_stored for each full pass.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.CountingMatrix(qi.as_sq_matrix(np.eye(100)))
    >>> _ = A.rows(A.sample_rows(5, rng=0))
    >>> A.counts.row_draws, A.counts.entries_read
    (5, 500)
    """

    __slots__ = ("_source", "counts")

    def __init__(self, source: SampleQueryMatrix) -> None:
        self._source = source
        self.counts = AccessCounts()

    @property
    def source(self) -> SampleQueryMatrix:
        """The matrix that is counted."""
        return self._source

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return self._source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        return self._source.dtype

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm, from the index."""
        return self._source.frobenius_norm

    @property
    def is_sparse(self) -> bool:
        """Whether `rows` gives CSR blocks."""
        return self._source.is_sparse

    @property
    def n_stored(self) -> int:
        """Stored entries."""
        return self._source.n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes read for one stored entry."""
        return self._source.entry_bytes

    @property
    def index_seconds(self) -> float:
        """Seconds that building the index took."""
        return self._source.index_seconds

    @property
    def bytes_read(self) -> int:
        """Bytes of the matrix read so far, the index pass not included."""
        return self.counts.entries_read * self.entry_bytes

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return row norms; they come from the index and are not counted."""
        return self._source.row_norms(rows)

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of the given rows; not counted."""
        return self._source.row_lengths(rows)

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return entries and count them."""
        values = self._source.query(rows, cols)
        self.counts.entry_queries += values.size
        self.counts.entries_read += values.size
        return values

    def rows(self, rows: npt.ArrayLike) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows and count their entries."""
        block = self._source.rows(rows)
        self.counts.rows_read += block.shape[0]
        self.counts.entries_read += block.size if isinstance(block, np.ndarray) else int(block.nnz)
        return block

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once and count a full pass, when its first block is taken."""
        self.counts.full_passes += 1
        self.counts.entries_read += self._source.n_stored
        yield from self._source.row_blocks(rows_per_block)

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows and count the draws."""
        rows = self._source.sample_rows(n_draws, rng)
        self.counts.row_draws += len(rows)
        return rows

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw a column for each row and count the draws and the entries scanned."""
        cols = self._source.sample_cols(rows, rng)
        self.counts.column_draws += len(cols)
        self.counts.entries_read += int(self._source.row_lengths(rows).sum())
        return cols

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X and count a full pass."""
        self.counts.full_passes += 1
        self.counts.entries_read += self._source.n_stored
        return self._source.matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y and count a full pass."""
        self.counts.full_passes += 1
        self.counts.entries_read += self._source.n_stored
        return self._source.rmatmul(Y)
