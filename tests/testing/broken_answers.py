"""Storages that each answer wrongly in one way."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from testing.right import FULL, Right, RightSparse


class QueryWraps(Right):
    def query(self, rows: Any, cols: Any) -> Any:
        m, n = self.shape
        super().query(np.abs(np.asarray(rows)), np.abs(np.asarray(cols)))
        return self._array[np.asarray(rows, dtype=int) % m, np.asarray(cols, dtype=int) % n]


class RowsWrap(Right):
    def rows(self, rows: Any) -> Any:
        wrapped = np.where(np.asarray(rows) == -1, self.shape[0] - 1, rows) if np.size(rows) else rows
        return super().rows(wrapped)


class NormsClip(Right):
    def row_norms(self, rows: Any = None) -> Any:
        return super().row_norms(None if rows is None else np.minimum(rows, self.shape[0] - 1) if len(rows) else rows)


class FloatIndices(Right):
    def query(self, rows: Any, cols: Any) -> Any:
        rows = np.asarray(rows)
        return super().query(rows.astype(np.int64) if rows.dtype.kind == "f" else rows, cols)


class BoolIndices(Right):
    def rows(self, rows: Any) -> Any:
        rows = np.asarray(rows)
        return super().rows(rows.astype(np.int64) if rows.dtype == bool else rows)


class ScalarRows(Right):
    def rows(self, rows: Any) -> Any:
        return super().rows(np.atleast_1d(rows))


class WritesThrough(Right):
    def rows(self, rows: Any) -> Any:
        rows = self._check_rows(rows)
        together = len(rows) > 0 and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows)))
        return self._array[rows[0] : rows[0] + len(rows)] if together else self._array[rows]


class NormsHandedOut(Right):
    def row_norms(self, rows: Any = None) -> Any:
        return self._norms if rows is None else super().row_norms(rows)


class LengthsHandedOut(RightSparse):
    def __init__(self, array: np.ndarray = FULL) -> None:
        super().__init__(array)
        self._lengths = super().row_lengths(np.arange(len(array)))

    def row_lengths(self, rows: Any) -> Any:
        picked = super().row_lengths(rows)
        return self._lengths if len(picked) == len(self._lengths) and np.array_equal(rows, np.sort(rows)) else picked


class WrongKindOfError(Right):
    def rows(self, rows: Any) -> Any:
        try:
            return super().rows(rows)
        except IndexError as error:
            raise ValueError("no such row") from error


class LengthsTooSmall(RightSparse):
    def row_lengths(self, rows: Any) -> Any:
        lengths = super().row_lengths(rows)
        return np.where(lengths > 3, lengths - 1, lengths)

    @property
    def n_stored(self) -> int:
        return int(self.row_lengths(np.arange(self.shape[0])).sum())


class StoredTooMany(RightSparse):
    @property
    def n_stored(self) -> int:
        return super().n_stored + 1


class BlocksEndEarly(Right):
    def _compute_norms(self) -> Any:
        return np.linalg.norm(self._array, axis=1)

    def row_blocks(self, rows_per_block: int) -> Any:
        for start in range(0, self.shape[0] - rows_per_block + 1, rows_per_block):
            yield start, self._array[start : start + rows_per_block]


class BlocksOverlap(Right):
    def row_blocks(self, rows_per_block: int) -> Any:
        for start, block in super().row_blocks(rows_per_block):
            yield max(start - 1, 0), block


class BlocksShifted(Right):
    def _compute_norms(self) -> Any:
        return np.linalg.norm(self._array, axis=1)

    def row_blocks(self, rows_per_block: int) -> Any:
        for start, block in super().row_blocks(rows_per_block):
            yield start, np.ascontiguousarray(block[::-1])


class AscendingRowsAreRanges(Right):
    def rows(self, rows: Any) -> Any:
        rows = self._check_rows(rows)
        if len(rows) > 1 and (np.diff(rows) > 0).all():
            rows = np.arange(rows[0], rows[0] + len(rows))
        return super().rows(rows)


class ProductOfSizes(Right):
    def matmul(self, right: Any) -> Any:
        return np.abs(self._array) @ right


class TransposedProductShort(Right):
    def rmatmul(self, left: Any) -> Any:
        return self._array[:-1].T @ left[:-1]


class NormsOff(Right):
    def _compute_norms(self) -> Any:
        return super()._compute_norms() * (1 + 1e-9)


class FrobeniusIsSum(Right):
    @property
    def frobenius_norm(self) -> float:
        return float(self._norms.sum())


class EntryOff(Right):
    def _read_entries(self, rows: Any, cols: Any) -> Any:
        return self._array[rows, cols] + 1e-6 * ((rows == 2) & (cols == 3))


class NoBroadcast(Right):
    def query(self, rows: Any, cols: Any) -> Any:
        if np.ndim(rows) == np.ndim(cols) == 1 or np.size(rows) * np.size(cols) > 50:
            return super().query(rows, cols)
        return np.array([super(NoBroadcast, self).query([i], [j])[0] for i, j in zip(np.ravel(rows), np.ravel(cols))])  # noqa: B905


class RowsReversed(Right):
    def rows(self, rows: Any) -> Any:
        return super().rows(np.asarray(rows)[::-1] if np.ndim(rows) == 1 else rows)


class RepeatsDropped(Right):
    def rows(self, rows: Any) -> Any:
        rows = self._check_rows(rows)
        return super().rows(np.unique(rows) if (np.diff(rows) < 0).any() and rows[0] == rows[-1] else rows)


class RowsFloat32(Right):
    def rows(self, rows: Any) -> Any:
        return super().rows(rows).astype(np.float32)


class RowsInFortranOrder(Right):
    def rows(self, rows: Any) -> Any:
        return np.asfortranarray(super().rows(rows))


class DenseThoughSparse(RightSparse):
    def rows(self, rows: Any) -> Any:
        return super().rows(rows).toarray()


class Unsorted(RightSparse):
    def rows(self, rows: Any) -> Any:
        block = super().rows(rows)
        for low, high in zip(block.indptr[:-1], block.indptr[1:], strict=True):
            block.indices[low:high] = block.indices[low:high][::-1].copy()
            block.data[low:high] = block.data[low:high][::-1].copy()
        return block


class Duplicated(RightSparse):
    def _compute_norms(self) -> Any:
        return np.linalg.norm(self._matrix.toarray(), axis=1)

    def row_blocks(self, rows_per_block: int) -> Any:
        for start, block in super().row_blocks(rows_per_block):
            yield start, self._doubled(block)

    def rows(self, rows: Any) -> Any:
        return self._doubled(super().rows(rows))

    def row_lengths(self, rows: Any) -> Any:
        return 2 * super().row_lengths(rows)

    @property
    def n_stored(self) -> int:
        return 2 * super().n_stored

    @staticmethod
    def _doubled(block: Any) -> Any:
        return sp.csr_array((np.repeat(block.data / 2, 2), np.repeat(block.indices, 2), 2 * block.indptr), block.shape)


class PicklesWithoutNorms(Right):
    def __getstate__(self) -> Any:
        return {**self.__dict__, "_norms": np.ones(self.shape[0]), "_array": self._array}


class PickleRaises(Right):
    def __getstate__(self) -> Any:
        raise RuntimeError("no pickles today")


class VersionMoves(Right):
    """Reading changes the version."""

    _reads = 0

    @property
    def version(self) -> int:
        return self._reads // 1000

    def _read_rows(self, rows: Any) -> Any:
        self._reads += 1000
        return super()._read_rows(rows)


class ShapeOfNumpy(Right):
    @property
    def shape(self) -> Any:
        return tuple(np.array(self._array.shape))


class ShapeTransposed(Right):
    @property
    def shape(self) -> Any:
        return self._array.shape[::-1] if "_norms" in self.__dict__ else self._array.shape


class RowsUncounted(RightSparse):
    """The rows that are read hold explicit zeros, more than `row_lengths` says."""

    def rows(self, rows: Any) -> Any:
        dense = super().rows(rows).toarray()
        indptr = np.arange(0, dense.size + 1, dense.shape[1])
        return sp.csr_array((dense.ravel(), np.tile(np.arange(dense.shape[1]), len(dense)), indptr), dense.shape)


class CannotQuery(Right):
    def query(self, rows: Any, cols: Any) -> Any:
        raise NotImplementedError("entries are not to be had")
