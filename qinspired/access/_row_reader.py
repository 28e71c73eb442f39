"""What follows from the ability to read whole rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator, stream_key
from qinspired._validation import check_count, check_entries, check_factor, check_indices
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import csr_sample_cols, dense_sample_cols

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qinspired._typing import FloatArray, IntArray, RNGLike

__all__ = ["RowReader", "rows_per_block"]

# Rows are read in blocks of about this many entries: 64 MB of float64, a few hundredths of a second.
_BLOCK_ENTRIES = 8_000_000


def rows_per_block(n_cols: int) -> int:
    """Return how many rows of this length are read at a time."""
    return max(1, _BLOCK_ENTRIES // n_cols)


class RowReader(ABC):
    """Entries, rows, column draws and full passes of a matrix, all by reading whole rows.

    A subclass gives `shape`, `dtype` and `_read_rows`, and overrides what its storage does better.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""

    @abstractmethod
    def _read_rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows, given by indices in range, as a new C-contiguous or CSR block."""

    def __repr__(self) -> str:
        m, n = self.shape
        return f"{type(self).__name__}(shape=({m}, {n}), dtype={self.dtype}, n_stored={self.n_stored})"

    @property
    def is_sparse(self) -> bool:
        """Whether `rows` gives CSR blocks (True) or dense ones (False)."""
        return False

    @property
    def n_stored(self) -> int:
        """Stored entries."""
        return self.shape[0] * self.shape[1]

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry, its column index included if sparse."""
        return self.dtype.itemsize

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row."""
        return np.full(len(self._check_rows(rows)), self.shape[1], dtype=np.int64)

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return the entries X[rows, cols], broadcast as numpy does."""
        row_grid, col_grid = np.broadcast_arrays(*check_entries(rows, cols, self.shape))
        if row_grid.size == 0:
            return np.zeros(row_grid.shape, dtype=self.dtype)
        values = self._read_entries(row_grid.flatten(), col_grid.flatten())
        return values.reshape(row_grid.shape)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        """Return X[rows, cols] for vectors of indices in range."""
        values = np.empty(len(rows), dtype=self.dtype)
        for block, places, positions in self._distinct_rows(rows):
            picked = block if isinstance(block, np.ndarray) else sp.csr_matrix(block)
            values[positions] = np.asarray(picked[places, cols[positions]]).ravel()
        return values

    def _distinct_rows(self, rows: IntArray) -> Iterator[tuple[Any, IntArray, IntArray]]:
        """Read the distinct ones of some rows in blocks; yield each with places in it for positions in `rows`."""
        distinct, place = np.unique(rows, return_inverse=True)
        step = self._rows_per_pass()
        for start in range(0, len(distinct), step):
            positions = np.flatnonzero((place >= start) & (place < start + step))
            yield self._read_rows(distinct[start : start + step]), place[positions] - start, positions

    def rows(self, rows: npt.ArrayLike) -> FloatArray | sp.csr_array[Any]:
        """Return a (len(rows), n) copy of whole rows, dense or CSR."""
        return self._read_rows(self._check_rows(rows))

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block)."""
        m = self.shape[0]
        for start in self._block_starts(rows_per_block):
            yield start, self._read_rows(np.arange(start, min(start + rows_per_block, m)))

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(j) = A_ij^2 / |A_i|^2.

        Parameters
        ----------
        rows : array_like of int, shape (n_draws,)
            A row for each draw; repeats are independent draws.
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
        Cost: three scans of each given row; no table per row is kept.
        """
        rows = self._check_rows(rows)
        cols = self._draw_cols(rows, stream_key(as_generator(rng)))
        if (cols < 0).any():
            row = int(rows[np.argmax(cols < 0)])
            raise ZeroMassError(f"`rows` must name rows with a non-zero entry; row {row} has none to draw.")
        return cols

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        """Return a column for each row, -1 for a row of zeros."""
        cols = np.empty(len(rows), dtype=np.int64)
        for block, places, positions in self._distinct_rows(rows):
            if isinstance(block, np.ndarray):
                cols[positions] = dense_sample_cols(block, places, key, positions)
            else:
                indptr = block.indptr.astype(np.int64, copy=False)
                cols[positions] = csr_sample_cols(block.data, block.indices, indptr, places, key, positions)
        return cols

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        X = check_factor(X, self.shape[1], "X", "columns")
        parts = [block @ X for _, block in self.row_blocks(self._rows_per_pass())]
        return np.concatenate(parts)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        Y = check_factor(Y, self.shape[0], "Y", "rows")
        total = np.zeros((self.shape[1], *Y.shape[1:]), dtype=np.result_type(self.dtype, Y.dtype))
        for start, block in self.row_blocks(self._rows_per_pass()):
            total += block.T @ Y[start : start + block.shape[0]]
        return total

    def _block_starts(self, rows_per_block: int) -> range:
        return range(0, self.shape[0], check_count(rows_per_block, "rows_per_block", low=1))

    def _rows_per_pass(self) -> int:
        """Return how many rows have about as many stored entries as a block."""
        return rows_per_block(max(1, self.n_stored // self.shape[0]))

    def _check_rows(self, rows: npt.ArrayLike) -> IntArray:
        return check_indices(rows, self.shape[0], "rows")
