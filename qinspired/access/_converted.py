"""Arrays of other layouts and types, used in place: only what is read is converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._exact import loses_digits, may_lose_digits, warn_of_lost_digits
from qinspired._validation import check_factor, float_type
from qinspired.access import _mapped
from qinspired.access._mapped import chunks
from qinspired.access._row_reader import rows_per_block
from qinspired.access._row_storage import RowStorage
from qinspired.access._stored import CSRMatrix, DenseMatrix, _csr_block
from qinspired.kernels import (
    add_squares_of_columns,
    csr_scan,
    dense_row_norms,
    norms_of_totals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["ConvertedCSRMatrix", "ConvertedMatrix"]

# Entries are converted in pieces of this many, 512 KB of float64, which the second cache holds until they are summed.
_PIECE_ENTRIES = 65_536

# Columns that are read together, so that the lines of a block of rows are written as a whole.
_PANEL = 64


class ConvertedMatrix(DenseMatrix):
    """Sample-and-query access to an array of any real type and layout; made by `as_sq_matrix`.

    Rows are given as float32 if the array is of float16 or float32, else as float64.
    """

    def __init__(self, array: np.ndarray[Any, Any], norms: Float64Array | None = None) -> None:
        self._is_inexact = False
        self._keep(array)
        self._by_columns = abs(array.strides[0]) < abs(array.strides[1])
        RowStorage.__init__(self, array.shape, float_type(array.dtype), norms)
        if self._is_inexact:
            warn_of_lost_digits(array.dtype, "A", stacklevel=3)

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry, before it is converted."""
        return self._array.itemsize

    def _as_float(self, part: np.ndarray[Any, Any], order: Any = "K") -> FloatArray:
        with np.errstate(over="ignore"):  # a long double may become an infinity, which is told by its place
            return part.astype(self._dtype, order=order, copy=False)

    def _look_at_digits(self, piece: np.ndarray[Any, Any], sizes: Float64Array, least: float) -> None:
        self._is_inexact = self._is_inexact or _is_inexact(piece, sizes, least)

    def _compute_norms(self) -> Float64Array:
        return self._norms_by_columns() if self._by_columns else self._norms_by_rows()

    def _norms_by_rows(self) -> Float64Array:
        m, n = self._shape
        norms = np.zeros(m)
        for first, last in chunks(m, n * self._array.itemsize, label="index"):
            for rows, cols in _pieces(first, last, n):
                piece = self._array[rows, cols]
                part = dense_row_norms(self._as_float(piece, "C"))
                norms[rows] = part if piece.shape[1] == n else np.hypot(norms[rows], part)
                self._look_at_digits(piece, part, 2.0**53)
            self._pages.drop(self._array[first:last])
        return norms

    def _norms_by_columns(self) -> Float64Array:
        m, n = self._shape
        lines, totals = self._array.T, np.zeros(m)
        in_place = lines.flags.c_contiguous and lines.dtype == self._dtype
        for first, last in chunks(n, m * self._array.itemsize, label="index"):
            if in_place:
                add_squares_of_columns(lines[first:last], totals)
            else:
                for cols, rows in _pieces(first, last, m):
                    piece = lines[cols, rows]
                    add_squares_of_columns(self._as_float(piece, "C"), totals[rows])
                    self._look_at_digits(piece, totals[rows], 2.0**106)
            self._pages.drop(self._array[:, first:last])
        unsafe = norms_of_totals(totals)
        if self._array.itemsize <= 4:
            # Squares of these neither overflow nor underflow, so a sum out of range is zero, or not finite.
            unsafe = unsafe[totals[unsafe] != 0.0]
        step = rows_per_block(n)
        for start in range(0, len(unsafe), step):
            part = unsafe[start : start + step]
            totals[part] = dense_row_norms(self._read_rows(part))
        return totals

    def _read_rows(self, rows: IntArray) -> FloatArray:
        out = np.empty((len(rows), self._shape[1]), dtype=self._dtype)
        if self._by_columns:
            self._fill_by_columns(rows, out)
            return out
        for start, stop in self._announced(rows):
            out[start:stop] = self._as_float(self._array[rows[start:stop]])
        return out

    def _announced(self, rows: IntArray) -> Iterator[tuple[int, int]]:
        if self._array.flags.c_contiguous:
            yield from super()._announced(rows)
        else:
            yield from self._pages.in_places(len(rows), abs(self._array.strides[0]))

    def _fill_by_columns(self, rows: IntArray | slice, out: FloatArray) -> None:
        n = self._shape[1]
        width = _PANEL
        if self._pages.are_mapped:  # every row lies in every page of a column
            width = max(1, min(width, _mapped.CHUNK_BYTES // (self._shape[0] * self._array.itemsize)))
        for low in range(0, n, width):
            panel = self._array[:, low : low + width]
            out[:, low : low + width] = self._as_float(panel[rows])
            self._pages.drop(panel)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        values = np.empty(len(rows), dtype=self._dtype)
        for start, stop in self._pages.in_places(len(rows), 0):
            values[start:stop] = self._as_float(self._array[rows[start:stop], cols[start:stop]])
        return values

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        return RowStorage._draw_cols(self, rows, key)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray]]:
        """Go through the rows once, as (first row, block)."""
        m, n = self._shape
        for start in self._block_starts(rows_per_block):
            rows = slice(start, min(start + rows_per_block, m))
            if self._by_columns:
                block = np.empty((rows.stop - start, n), dtype=self._dtype)
                self._fill_by_columns(rows, block)
            else:
                block = self._as_float(self._array[rows], "C")
                self._pages.drop(self._array[rows])
            yield start, block

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        X = check_factor(X, self._shape[1], "X", "columns")
        if self._is_for_blas(X) or not self._by_columns:
            return super().matmul(X)
        total = np.zeros((self._shape[0], *X.shape[1:]), dtype=np.result_type(self._dtype, X.dtype))
        for low, high, panel in self._panels():
            total += panel @ X[low:high]
        return total

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        Y = check_factor(Y, self._shape[0], "Y", "rows")
        if self._is_for_blas(Y) or not self._by_columns:
            return super().rmatmul(Y)
        return np.concatenate([panel.T @ Y for _, _, panel in self._panels()])

    def _panels(self) -> Iterator[tuple[int, int, FloatArray]]:
        """Go through the columns once, as (first, last + 1, converted panel)."""
        m, n = self._shape
        width = min(rows_per_block(m), max(1, n))
        for low in range(0, n, width):
            panel = self._array[:, low : low + width]
            yield low, min(low + width, n), self._as_float(panel)
            self._pages.drop(panel)

    def _is_for_blas(self, other: FloatArray) -> bool:
        return self._array.dtype == self._dtype and self._array.T.flags.c_contiguous and super()._is_for_blas(other)


def _is_inexact(piece: np.ndarray[Any, Any], sizes: Float64Array, least: float) -> bool:
    """Whether a piece has a number that float64 rounds; `sizes` of rows below `least` have no integer beyond 2^53."""
    if not may_lose_digits(piece.dtype) or (piece.dtype.kind != "f" and not sizes.max() >= least):
        return False
    return loses_digits(piece)


def _pieces(first: int, last: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Cut lines first to last, each of `width` entries, into pieces that fit the cache."""
    across = min(width, _PIECE_ENTRIES)
    down = max(1, _PIECE_ENTRIES // across)
    for start in range(first, last, down):
        for low in range(0, width, across):
            yield slice(start, min(start + down, last)), slice(low, min(low + across, width))


class ConvertedCSRMatrix(CSRMatrix):
    """Sample-and-query access to a CSR matrix whose data are of another real type; made by `as_sq_matrix`."""

    def __init__(self, matrix: Any, norms: Float64Array | None = None) -> None:
        self._is_inexact = False
        self._keep(matrix)
        RowStorage.__init__(self, matrix.shape, float_type(matrix.data.dtype), norms)
        if self._is_inexact:
            warn_of_lost_digits(matrix.data.dtype, "A", stacklevel=3)

    def _entries(self, places: Any) -> FloatArray:
        with np.errstate(over="ignore"):
            return super()._entries(places).astype(self._dtype, copy=False)

    def _scan(self, start: int, stop: int, norms: Float64Array) -> tuple[int, int, int]:
        lowest, highest, disorder = 0, 0, 0
        step = max(1, int(_PIECE_ENTRIES * self._shape[0] / max(1, self.n_stored)))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            entries = slice(self._indptr[first], self._indptr[last])
            pointers = self._indptr[first : last + 1] - entries.start
            low, high, n = csr_scan(
                self._entries(entries), self._indices[entries], pointers, 0, last - first, norms[first:last]
            )
            lowest, highest, disorder = min(lowest, low), max(highest, high), disorder + n
            self._is_inexact = self._is_inexact or _is_inexact(self._data[entries], norms[first:last], 2.0**53)
        return lowest, highest, disorder

    def _gather(self, rows: IntArray) -> sp.csr_array[Any]:
        lengths = self._indptr[rows + 1] - self._indptr[rows]
        pointers = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=pointers[1:])
        places = np.repeat(self._indptr[rows] - pointers[:-1], lengths) + np.arange(pointers[-1])
        return _csr_block(self._entries(places), self._indices[places], pointers, self._shape[1])

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        return RowStorage._draw_cols(self, rows, key)
