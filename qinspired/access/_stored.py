"""Matrices in memory or memory-mapped: dense arrays and CSR, with an index of row norms."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator, stream_key
from qinspired._validation import (
    check_count,
    check_csr,
    check_dense,
    check_indices,
    first_nonfinite,
    raise_nonfinite,
)
from qinspired.access._protocol import SampleQueryMatrix
from qinspired.access._sampler import AliasTable
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import (
    csr_gather_rows,
    csr_row_norms,
    csr_sample_cols,
    dense_gather_rows,
    dense_row_norms,
    dense_sample_cols,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["CSRMatrix", "DenseMatrix", "as_sq_matrix"]


class _StoredMatrix(ABC):
    """Row norms, the alias table over rows, and what follows from them."""

    def __init__(self, shape: tuple[int, int]) -> None:
        started = time.perf_counter()
        self._shape = (int(shape[0]), int(shape[1]))
        self._norms = self._compute_norms()
        self._refuse_nonfinite()
        self._largest_norm = float(self._norms.max())
        self._refuse_overflow()
        self._index_seconds = time.perf_counter() - started

    @abstractmethod
    def _compute_norms(self) -> Float64Array: ...

    @abstractmethod
    def _refuse_row(self, row: int) -> None:
        """Raise for the first NaN or infinity of a row that has one."""

    @abstractmethod
    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray: ...

    def _refuse_nonfinite(self) -> None:
        # The index pass is also the finiteness check: a NaN or infinity makes its row's norm NaN.
        bad = ~np.isfinite(self._norms)
        if not bad.any():
            return
        row = int(np.argmax(bad))
        self._refuse_row(row)
        raise ValueError(
            f"`A` must have row norms below 1.8e308; the norm of row {row} overflows. Divide the matrix by a constant."
        )

    def _refuse_overflow(self) -> None:
        # The Frobenius norm is at most sqrt(m) times the largest row norm: below that bound the sum is not
        # needed.
        if self._largest_norm * math.sqrt(self._shape[0]) == math.inf and self.frobenius_norm == math.inf:
            raise ValueError(
                "`A` must have a Frobenius norm below 1.8e308; the sum over its rows overflows. "
                "Divide the matrix by a constant."
            )

    def __repr__(self) -> str:
        m, n = self._shape
        return f"{type(self).__name__}(shape=({m}, {n}), dtype={self.dtype}, n_stored={self.n_stored})"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return self._shape

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""

    @property
    @abstractmethod
    def n_stored(self) -> int:
        """Stored entries."""

    @property
    def index_seconds(self) -> float:
        """Seconds that the index pass took."""
        return self._index_seconds

    @cached_property
    def frobenius_norm(self) -> float:
        """Frobenius norm |A|_F."""
        if self._largest_norm == 0.0:
            return 0.0
        shares = self._norms / self._largest_norm  # a sum of squares of norms could overflow or underflow
        return self._largest_norm * float(np.sqrt(shares @ shares))

    @cached_property
    def _row_table(self) -> AliasTable:
        if self._largest_norm == 0.0:
            raise ZeroMassError(
                f"`A` of shape {self._shape} has only zero entries, so no row can be drawn; give it a non-zero entry."
            )
        return AliasTable((self._norms / self._largest_norm) ** 2)

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the Euclidean norms of the given rows, or of all rows, from the index."""
        if rows is None:
            return self._norms.copy()
        return self._norms[check_indices(rows, self._shape[0], "rows")]

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2.

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
            If all entries of the matrix are zero.

        Notes
        -----
        Cost: O(m) at the first call, which builds the alias table (16 bytes a row); then O(1) a draw.
        """
        return self._row_table.sample(check_count(n_draws, "n_draws"), rng)

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
        rows = check_indices(rows, self._shape[0], "rows")
        cols = self._draw_cols(rows, stream_key(as_generator(rng)))
        if (cols < 0).any():
            row = int(rows[np.argmax(cols < 0)])
            raise ZeroMassError(f"`rows` must name rows with a non-zero entry; row {row} has none to draw.")
        return cols


class DenseMatrix(_StoredMatrix):
    """Sample-and-query access to a C-contiguous array; made by `as_sq_matrix`."""

    is_sparse = False

    def __init__(self, array: FloatArray) -> None:
        self._array: FloatArray = _writable_view(array)
        super().__init__(array.shape)

    def _compute_norms(self) -> Float64Array:
        return dense_row_norms(self._array)

    def _refuse_row(self, row: int) -> None:
        where = first_nonfinite(self._array[row])
        if where is not None:
            raise_nonfinite("A", (row, where[0]), self._array[row, where[0]])

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        return dense_sample_cols(self._array, rows, key)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._array.dtype

    @property
    def n_stored(self) -> int:
        """Number of entries, m n."""
        return self._array.size

    @property
    def entry_bytes(self) -> int:
        """Bytes of one entry."""
        return self._array.itemsize

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return n for each given row."""
        return np.full(len(check_indices(rows, self._shape[0], "rows")), self._shape[1], dtype=np.int64)

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return the entries X[rows, cols], broadcast as numpy does."""
        picked: FloatArray = self._array[
            check_indices(rows, self._shape[0], "rows", ndim=None),
            check_indices(cols, self._shape[1], "cols", ndim=None),
        ]
        return picked

    def rows(self, rows: npt.ArrayLike) -> FloatArray:
        """Return a (len(rows), n) copy of whole rows."""
        return dense_gather_rows(self._array, check_indices(rows, self._shape[0], "rows"))

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray]]:
        """Go through the rows once, as (first row, block); blocks are views."""
        for start in range(0, self._shape[0], rows_per_block):
            yield start, self._array[start : start + rows_per_block]

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        product: FloatArray = self._array @ X
        return product

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        product: FloatArray = self._array.T @ Y
        return product


class CSRMatrix(_StoredMatrix):
    """Sample-and-query access to a canonical CSR matrix; made by `as_sq_matrix`."""

    is_sparse = True

    def __init__(self, matrix: sp.csr_array[Any]) -> None:
        # One index type for indices and indptr, so that each kernel has one signature.
        index_type = np.int64 if np.int64 in (matrix.indices.dtype, matrix.indptr.dtype) else np.int32
        self._data: FloatArray = _writable_view(matrix.data)
        self._indices: IntArray = _writable_view(matrix.indices.astype(index_type, copy=False))
        self._indptr: IntArray = _writable_view(matrix.indptr.astype(np.int64, copy=False))
        self._matrix: sp.csr_array[Any] = sp.csr_array((self._data, self._indices, matrix.indptr), shape=matrix.shape)
        super().__init__(matrix.shape)

    def _compute_norms(self) -> Float64Array:
        return csr_row_norms(self._data, self._indptr)

    def _refuse_row(self, row: int) -> None:
        low, high = self._indptr[row], self._indptr[row + 1]
        where = first_nonfinite(self._data[low:high])
        if where is not None:
            raise_nonfinite("A", (row, int(self._indices[low + where[0]])), self._data[low + where[0]])

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        return csr_sample_cols(self._data, self._indices, self._indptr, rows, key)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._data.dtype

    @property
    def n_stored(self) -> int:
        """Stored entries, explicit zeros included."""
        return len(self._data)

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry and its column index."""
        return self._data.itemsize + self._indices.itemsize

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row."""
        rows = check_indices(rows, self._shape[0], "rows")
        lengths: IntArray = self._indptr[rows + 1] - self._indptr[rows]
        return lengths

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return the entries X[rows, cols], broadcast as numpy does."""
        row_grid, col_grid = np.broadcast_arrays(
            check_indices(rows, self._shape[0], "rows", ndim=None),
            check_indices(cols, self._shape[1], "cols", ndim=None),
        )
        if row_grid.size == 0:
            return np.zeros(row_grid.shape, dtype=self.dtype)
        picked = sp.csr_matrix(self._matrix)[row_grid.flatten(), col_grid.flatten()]
        return np.asarray(picked).reshape(row_grid.shape)

    def rows(self, rows: npt.ArrayLike) -> sp.csr_array[Any]:
        """Return a CSR copy of whole rows, of shape (len(rows), n)."""
        rows = check_indices(rows, self._shape[0], "rows")
        triple = csr_gather_rows(self._data, self._indices, self._indptr, rows)
        return sp.csr_array(triple, shape=(len(rows), self._shape[1]))

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block)."""
        for start in range(0, self._shape[0], rows_per_block):
            yield start, self._matrix[start : start + rows_per_block]

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        product: FloatArray = self._matrix @ X
        return product

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        product: FloatArray = self._matrix.T @ Y
        return product


class _ArrayView:
    """Offers the memory of a read-only array as writable, so that numba compiles one signature, not two."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.owner = array  # keeps the memory alive
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }


def _writable_view(array: np.ndarray[Any, Any]) -> Any:
    # No kernel writes to its input; memory mapped read-only would end the process if one did.
    return array if array.flags.writeable or array.size == 0 else np.asarray(_ArrayView(array))


def as_sq_matrix(X: Any) -> SampleQueryMatrix:
    """Sample-and-query access to a matrix: entries, row norms, draws by squared size.

    Parameters
    ----------
    X : ndarray, memmap, scipy.sparse matrix or array, or object with sample-and-query access
        An (m, n) matrix of real numbers. float32 and float64 in C order are used in place, read-only and
        memory-mapped ones too; other layouts and types are copied, float16 to float32 and the rest to
        float64. Every sparse format becomes canonical CSR (duplicates summed). An object that already has
        access is returned unchanged. Do not change `X` while the result is in use: the index would not
        follow.

    Returns
    -------
    DenseMatrix or CSRMatrix
        With `shape`, `dtype`, `frobenius_norm`, `row_norms`, `query`, `rows`, `sample_rows` and
        `sample_cols`.

    Raises
    ------
    TypeError
        For masked arrays, `numpy.matrix`, dates, strings and other things that are no matrix of numbers.
    ValueError
        If `X` is complex, not 2-dimensional, empty, holds a NaN or an infinity (the first place is named), is
        a CSR matrix with an index out of range, or has a row norm or Frobenius norm beyond 1.8e308.

    Notes
    -----
    Cost: one pass over the entries, which also finds NaN and infinity; 8 bytes a row, and 16 more at the
    first draw. Nothing is kept per entry.
    Error: norms are accumulated in float64; entries whose squares overflow or underflow (1e200, 1e-200) are
    scaled first, and the result is right to a few ulps. A row of norm below 1e-162 times the largest is never
    drawn.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.as_sq_matrix(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 12.0]]))
    >>> A.row_norms()
    array([ 5.,  0., 12.])
    >>> A.frobenius_norm
    13.0
    >>> 1 in A.sample_rows(1000, rng=0)
    False
    """
    if isinstance(X, SampleQueryMatrix):
        return X
    if sp.issparse(X):
        return CSRMatrix(check_csr(X))
    return DenseMatrix(check_dense(X))
