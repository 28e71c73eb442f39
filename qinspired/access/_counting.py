"""A wrapper that counts what an algorithm asks of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.access._forwarding import ForwardingMatrix, base_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import FloatArray, IntArray, RNGLike
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


class CountingMatrix(ForwardingMatrix):
    """Sample-and-query access to a matrix, with a count of every access.

    Parameters
    ----------
    source : object with sample-and-query access
        As made by `as_sq_matrix`.

    Notes
    -----
    `counts.entries_read` counts stored entries: those of gathered rows, single queries, n_stored for each full pass,
    and for each draw of a column those of its row, as if that were scanned. An `ImplicitMatrix` counts what a draw of
    a column computes by itself, which is taken instead.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.CountingMatrix(qi.as_sq_matrix(np.eye(100)))
    >>> _ = A.rows(A.sample_rows(5, rng=0))
    >>> A.counts.row_draws, A.counts.entries_read
    (5, 500)
    """

    __slots__ = ("counts",)

    def __init__(self, source: SampleQueryMatrix) -> None:
        super().__init__(source)
        self.counts = AccessCounts()

    @property
    def bytes_read(self) -> int:
        """Bytes of the matrix read so far, the index pass not included."""
        return self.counts.entries_read * self.entry_bytes

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return entries and count them."""
        values = super().query(rows, cols)
        self.counts.entry_queries += values.size
        self.counts.entries_read += values.size
        return values

    def rows(self, rows: npt.ArrayLike) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows and count their entries."""
        block = super().rows(rows)
        self.counts.rows_read += block.shape[0]
        self.counts.entries_read += block.size if isinstance(block, np.ndarray) else int(block.nnz)
        return block

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once and count a full pass, when its first block is taken."""
        self._count_pass()
        yield from super().row_blocks(rows_per_block)

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows and count the draws."""
        rows = super().sample_rows(n_draws, rng)
        self.counts.row_draws += len(rows)
        return rows

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw a column for each row and count the draws and the entries scanned."""
        before = self._entries_computed()
        cols = super().sample_cols(rows, rng)
        self.counts.column_draws += len(cols)
        if before is None:
            self.counts.entries_read += int(self.row_lengths(rows).sum())
        else:
            self.counts.entries_read += self._entries_computed() - before
        return cols

    def _entries_computed(self) -> Any:
        """Return how many entries an implicit matrix computed so far, None for another."""
        return getattr(base_of(self), "entries_computed", None)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X and count a full pass."""
        self._count_pass()
        return super().matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y and count a full pass."""
        self._count_pass()
        return super().rmatmul(Y)

    def _count_pass(self) -> None:
        self.counts.full_passes += 1
        self.counts.entries_read += self.n_stored
