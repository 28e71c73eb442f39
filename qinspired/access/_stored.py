"""Dense and CSR matrices in memory or memory-mapped, used in place, with an index of row norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_factor, raise_bad_index
from qinspired.access._mapped import FilePages, chunks
from qinspired.access._row_storage import RowStorage
from qinspired.kernels import (
    csr_find,
    csr_gather_rows,
    csr_sample_cols,
    csr_scan,
    dense_first_gradient,
    dense_gather_rows,
    dense_probe_rows,
    dense_row_norms,
    dense_sample_cols,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["CSRMatrix", "DenseMatrix"]


class DenseMatrix(RowStorage):
    """Sample-and-query access to a C-contiguous float32 or float64 array; made by `as_sq_matrix`."""

    def __init__(self, array: FloatArray, norms: Float64Array | None = None, *, index: str = "now") -> None:
        self._keep(array)
        super().__init__(array.shape, array.dtype, norms, index=index)

    def _keep(self, array: np.ndarray[Any, Any]) -> None:
        self._pages = FilePages(array)
        self._array: FloatArray = _writable_view(array)

    def _compute_norms(self) -> Float64Array:
        return self._norms_by(lambda start, stop: dense_row_norms(self._array[start:stop]))

    def _norms_by(self, norms_of: Callable[[int, int], Float64Array]) -> Float64Array:
        m, n = self._shape
        if not self._pages.are_mapped:
            return norms_of(0, m)
        norms = np.empty(m)
        for start, stop in chunks(m, n * self._array.itemsize, label="index"):
            norms[start:stop] = norms_of(start, stop)
            self._pages.drop(self._array[start:stop])
        return norms

    def index_with_gradient(self, b: Float64Array) -> Float64Array | None:
        """Make the index and, by the same pass, return A^T b; nothing if that overflows or the index is there."""
        if self.has_index:
            return None
        gradient = np.zeros(self._shape[1])

        def both(start: int, stop: int) -> Float64Array:
            part, norms = dense_first_gradient(self._array[start:stop], b[start:stop])
            with np.errstate(over="ignore", invalid="ignore"):
                gradient[:] += part
            return norms

        self._norms = self._timed(lambda: self._norms_by(both))
        return gradient if np.isfinite(gradient).all() else None

    def _read_rows(self, rows: IntArray) -> FloatArray:
        if not self._pages.are_mapped:
            return dense_gather_rows(self._array, rows)
        out = np.empty((len(rows), self._shape[1]), dtype=self._dtype)
        for start, stop in self._announced(rows):
            out[start:stop] = dense_gather_rows(self._array, rows[start:stop])
        return out

    def _announced(self, rows: IntArray) -> Iterator[tuple[int, int]]:
        """Go through places in a list of rows of a map, each part announced before it is read and dropped after."""
        row_bytes = self._shape[1] * self._array.itemsize
        for start, stop in self._pages.in_places(len(rows), row_bytes):
            distinct = np.unique(rows[start:stop]) * row_bytes
            self._pages.expect(distinct, distinct + row_bytes)
            yield start, stop

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        if not self._pages.are_mapped:
            picked: FloatArray = self._array[rows, cols]
            return picked
        values = np.empty(len(rows), dtype=self._dtype)
        for start, stop in self._pages.in_places(len(rows), 0):
            values[start:stop] = self._array[rows[start:stop], cols[start:stop]]
        return values

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        if not self._pages.are_mapped:
            return dense_sample_cols(self._array, rows, key)
        cols = np.empty(len(rows), dtype=np.int64)
        for start, stop in self._announced(rows):
            cols[start:stop] = dense_sample_cols(self._array, rows[start:stop], key, np.arange(start, stop))
        return cols

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray]]:
        """Go through the rows once, as (first row, block); blocks are views."""
        for start in self._block_starts(rows_per_block):
            yield start, self._array[start : start + rows_per_block]
            self._pages.drop(self._array[start : start + rows_per_block])

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        X = check_factor(X, self._shape[1], "X", "columns")
        if self._is_for_blas(X):
            product: FloatArray = self._array @ X
            return product
        return super().matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        Y = check_factor(Y, self._shape[0], "Y", "rows")
        if self._is_for_blas(Y):
            product: FloatArray = self._array.T @ Y
            return product
        return super().rmatmul(Y)

    @property
    def is_in_memory(self) -> bool:
        """Whether rows may be read again at no cost but that of memory."""
        return not self._pages.are_mapped

    def probe_rows(self, rows: IntArray, rng: np.random.Generator) -> Float64Array:
        """Return rough, unbiased estimates of the squared norms of the given rows, from 64 bytes of each.

        All squares are taken in float64, and an estimate is infinite or NaN where they or the entries are.
        """
        n = self._shape[1]
        width = min(64 // self._array.itemsize, n)
        # Where whole probes make up a row they are those of the cache lines; else any entry may be the first, as those
        # at the ends of the row would be met less often.
        starts = rng.integers(n // width, size=len(rows)) * width if n % width == 0 else rng.integers(n, size=len(rows))
        with np.errstate(over="ignore"):
            return dense_probe_rows(self._array, rows, starts, width) * (n / width)

    def _is_for_blas(self, other: FloatArray) -> bool:
        # With another type numpy would first convert the whole matrix.
        return other.dtype == self._dtype and not self._pages.are_mapped


class CSRMatrix(RowStorage):
    """Sample-and-query access to a CSR matrix; made by `as_sq_matrix`.

    `matrix` has `data` (float32 or float64), `indices` (int32 or int64), `indptr` and `shape`; where its indices do
    not ascend in each row, a sorted copy is used.
    With `norms` given they are taken to be in range and to ascend.
    """

    _pages: tuple[FilePages, ...] = ()
    _has_order = True

    def __init__(self, matrix: Any, norms: Float64Array | None = None, *, index: str = "now") -> None:
        self._keep(matrix)
        self._has_order = index == "now"
        super().__init__(matrix.shape, self._data.dtype, norms, index=index)

    def _keep(self, matrix: Any) -> None:
        self._pages = tuple(FilePages(part) for part in (matrix.data, matrix.indices))
        self._data: FloatArray = _writable_view(matrix.data)
        self._indices: IntArray = _writable_view(matrix.indices)
        self._indptr: IntArray = _writable_view(matrix.indptr.astype(np.int64, copy=False))

    def _compute_norms(self) -> Float64Array:
        norms, n_disordered = np.empty(self._shape[0]), 0
        for start, stop in self._row_chunks():
            lowest, highest, disorder = self._scan(start, stop, norms)
            if lowest < 0 or highest >= self._shape[1]:
                raise_bad_index(lowest if lowest < 0 else highest, self._shape[1], "csr", "A")
            n_disordered += disorder
            self._drop(start, stop)
        if n_disordered == 0:
            return norms
        # All indices are in range now, so scipy may see them.
        parts = self._entries(slice(None)).copy(), self._indices.copy(), self._indptr.copy()
        copy = sp.csr_array(parts, shape=self._shape)
        copy.sum_duplicates()
        self._keep(copy)
        return self._compute_norms()

    @property
    def _in_order(self) -> bool:
        """Whether the indices of each row are known to ascend."""
        return self._has_order or self.has_index

    def _put_in_order(self) -> None:
        if not self._in_order:
            _ = self._norms  # the index pass sorts indices and adds up repeated ones

    def _row_chunks(self) -> Iterator[tuple[int, int]]:
        """Go through the rows in parts of about 256 MB."""
        m, first = self._shape[0], 0
        if not self._are_mapped:
            yield 0, m
            return
        for _, last in chunks(self.n_stored, self.entry_bytes, label="index"):
            stop = m if last == self.n_stored else int(np.searchsorted(self._indptr, last, side="right") - 1)
            if stop > first:
                yield first, stop
                first = stop

    def _scan(self, start: int, stop: int, norms: Float64Array) -> tuple[int, int, int]:
        return csr_scan(self._data, self._indices, self._indptr, start, stop, norms)

    def _drop(self, start: int, stop: int) -> None:
        low, high = self._indptr[start], self._indptr[stop]
        for pages, part in zip(self._pages, (self._data, self._indices), strict=False):
            pages.drop(part[low:high])

    @property
    def is_in_memory(self) -> bool:
        """Whether rows may be read again at no cost but that of memory."""
        return not self._are_mapped

    @property
    def _are_mapped(self) -> bool:
        return any(pages.are_mapped for pages in self._pages)

    def _announced(self, rows: IntArray) -> Iterator[tuple[int, int]]:
        """Go through places in a list of rows of a map, each part announced before it is read and dropped after."""
        row_bytes = self.n_stored // self._shape[0] * self._data.itemsize
        data, indices = self._pages
        leading, other = (data, indices) if data.are_mapped else (indices, data)
        for start, stop in leading.in_places(len(rows), row_bytes):
            distinct = np.unique(rows[start:stop])
            lows, highs = self._indptr[distinct], self._indptr[distinct + 1]
            data.expect(lows * self._data.itemsize, highs * self._data.itemsize)
            indices.expect(lows * self._indices.itemsize, highs * self._indices.itemsize)
            yield start, stop
            other.drop()

    @property
    def is_sparse(self) -> bool:
        """True: `rows` gives CSR blocks."""
        return True

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
        rows = self._check_rows(rows)
        lengths: IntArray = self._indptr[rows + 1] - self._indptr[rows]
        return lengths

    def _read_rows(self, rows: IntArray) -> sp.csr_array[Any]:
        if not self._are_mapped or len(rows) == 0:
            return self._gather(rows)
        parts = [self._gather(rows[start:stop]) for start, stop in self._announced(rows)]
        pointers = np.concatenate([[0], *(np.diff(part.indptr) for part in parts)]).cumsum()
        data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
        return _csr_block(data, indices, pointers, self._shape[1], self._in_order)

    def _gather(self, rows: IntArray) -> sp.csr_array[Any]:
        return _csr_block(
            *csr_gather_rows(self._data, self._indices, self._indptr, rows), self._shape[1], self.has_index
        )

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        self._put_in_order()
        values = np.zeros(len(rows), dtype=self._dtype)
        for start, stop in self._announced(rows) if self._are_mapped else [(0, len(rows))]:
            places = csr_find(self._indices, self._indptr, rows[start:stop], cols[start:stop])
            stored = np.flatnonzero(places >= 0)
            values[start + stored] = self._entries(places[stored])
        return values

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        self._put_in_order()
        if not self._are_mapped:
            return csr_sample_cols(self._data, self._indices, self._indptr, rows, key)
        cols = np.empty(len(rows), dtype=np.int64)
        for start, stop in self._announced(rows):
            places, part = np.arange(start, stop), rows[start:stop]
            cols[start:stop] = csr_sample_cols(self._data, self._indices, self._indptr, part, key, places)
        return cols

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block); blocks are views."""
        m = self._shape[0]
        for start in self._block_starts(rows_per_block):
            stop = min(start + rows_per_block, m)
            low, high = self._indptr[start], self._indptr[stop]
            pointers = self._indptr[start : stop + 1] - low
            parts = self._entries(slice(low, high)), self._indices[low:high], pointers
            yield start, _csr_block(*parts, self._shape[1], self._in_order)
            self._drop(start, stop)

    def _entries(self, places: Any) -> FloatArray:
        part: FloatArray = self._data[places]
        return part


def _csr_block(
    data: FloatArray, indices: IntArray, indptr: IntArray, n_cols: int, canonical: bool = True
) -> sp.csr_array[Any]:
    """Return a CSR array of these parts; its constructor would look through the indices, and copy some."""
    block: Any = sp.csr_array((len(indptr) - 1, n_cols), dtype=data.dtype)
    block.data, block.indices = data, indices
    block.indptr = indptr.astype(indices.dtype, copy=False) if len(data) <= np.iinfo(np.int32).max else indptr
    if canonical:
        block.has_canonical_format = True
    found: sp.csr_array[Any] = block
    return found


class _ArrayView:
    """Offers the memory of a read-only array as writable, so that numba compiles one signature, not two."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.owner = array  # keeps the memory alive
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }


def _writable_view(array: np.ndarray[Any, Any]) -> Any:
    # No kernel writes to its input; memory mapped read-only would end the process if one did. The type of maps is
    # dropped too, as numba and numpy are slower with it.
    return np.asarray(array) if array.flags.writeable or array.size == 0 else np.asarray(_ArrayView(array))
