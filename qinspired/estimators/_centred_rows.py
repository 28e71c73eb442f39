"""The rows of a data matrix less their mean, with an index of their norms, without a centred copy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite

from qinspired.access import IndexedMatrix, RowStorage, as_sq_matrix, centred
from qinspired.kernels import dense_row_norms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["CentredRows", "as_dense", "centred_product", "centred_rows", "dense_blocks", "length_of", "mean_dominates"]

# Rows are centred in blocks of this many entries, 2 MB of float64, which stay in a processor's cache.
_BLOCK_ENTRIES = 300_000

# |mean|^2 over the mean of |x - mean|^2 up to which |x - mean|^2 is taken as |x|^2 - 2 x mean + |mean|^2, by products
# at the speed of memory: what is lost is 4 of 16 digits, none of 7.
_LARGEST_RATIO = {4: 1.0, 8: 1e4}

# Above it a product is made from rows that are centred first: X V - mean V would lose more than 2 digits.
_DOMINANT_RATIO = 1e4

# A row whose centred square is below this share of |mean|^2 is summed from differences.
_CANCELLED = 1e-3


def as_dense(X: Any) -> FloatArray:
    """Return an array or sparse matrix as an array."""
    is_sparse: bool = sp.issparse(X)
    dense: FloatArray = X.toarray() if is_sparse else X
    return dense


def dense_blocks(X: Any) -> Iterator[tuple[int, FloatArray]]:
    """Go through the rows of an array or CSR matrix, as (first row, dense block)."""
    step = max(1, _BLOCK_ENTRIES // X.shape[1])
    for start in range(0, X.shape[0], step):
        yield start, as_dense(X[start : start + step])


def mean_dominates(mean: FloatArray, centred_norm: float, n_rows: int) -> bool:
    """Say whether the mean hides the deviations from it in a product with rows that are not centred."""
    length = length_of(mean)
    return length > 0.0 and (
        centred_norm == 0.0 or length / centred_norm * math.sqrt(n_rows) > math.sqrt(_DOMINANT_RATIO)
    )


def length_of(vector: FloatArray) -> float:
    """Return the norm of a vector whose squares may overflow or underflow."""
    largest = float(np.abs(vector).max(initial=0.0))
    return largest * float(np.linalg.norm(vector.astype(np.float64) / largest)) if largest > 0.0 else 0.0


def centred_product(X: Any, mean: FloatArray, V: FloatArray, *, subtract_first: bool) -> FloatArray:
    """Return (X - 1 mean^T) V; sparse X stays sparse, unless rows have to be centred before they are multiplied."""
    kind = np.result_type(X.dtype, V.dtype)
    if not subtract_first:
        product: FloatArray = np.asarray(X @ V)
        product -= mean.astype(np.float64) @ V
        return product.astype(kind, copy=False)
    out = np.empty((X.shape[0], *V.shape[1:]), dtype=kind)
    for start, block in dense_blocks(X):
        out[start : start + len(block)] = (block - mean) @ V
    return out


class CentredRows(RowStorage):
    """Sample-and-query access to X - 1 mean^T for a dense X that is used in place; made by `centred_rows`."""

    def __init__(self, X: FloatArray, mean: FloatArray, norms: Float64Array) -> None:
        self._array, self._mean = X, mean
        super().__init__(X.shape, X.dtype, norms)
        self._subtract_first = mean_dominates(mean, self.frobenius_norm, X.shape[0])

    def _read_rows(self, rows: IntArray) -> FloatArray:
        block = np.ascontiguousarray(self._array[rows])
        block -= self._mean
        return block

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray]]:
        """Go through the rows once, as (first row, block)."""
        for start in self._block_starts(rows_per_block):
            yield start, np.ascontiguousarray(self._array[start : start + rows_per_block] - self._mean)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return (X - 1 mean^T) V by one pass."""
        return centred_product(self._array, self._mean, X, subtract_first=self._subtract_first)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return (X - 1 mean^T)^T Y by one pass."""
        kind = np.result_type(self.dtype, Y.dtype)
        if not self._subtract_first:
            product: FloatArray = self._array.T @ Y
            product -= np.multiply.outer(self._mean.astype(np.float64), Y.sum(axis=0, dtype=np.float64))
            return product.astype(kind, copy=False)
        total = np.zeros((self.shape[1], *Y.shape[1:]), dtype=kind)
        for start, block in dense_blocks(self._array):
            total += (block - self._mean).T @ Y[start : start + len(block)]
        return total


def centred_rows(X: Any) -> tuple[RowStorage, FloatArray]:
    """Return access to the centred rows of an array or CSR matrix, and the mean, of the type of X.

    The rows of a dense X are read twice: for the mean and the norms, then for the products with the mean; a third
    time where the mean is so large that the norms have to come from differences.
    """
    is_sparse: bool = sp.issparse(X)
    if is_sparse:
        reader = centred(as_sq_matrix(X))
        return IndexedMatrix(reader), reader.center.astype(X.dtype)
    mean, norms = _mean_and_norms(X)
    unit = float(norms.max())
    if unit == 0.0:
        return CentredRows(X, mean, norms), mean
    shares, centre = norms / unit, mean.astype(np.float64) / unit
    centre_sq = float(centre @ centre)
    total = float(shares @ shares) - len(X) * centre_sq
    if len(X) * centre_sq > _LARGEST_RATIO[X.dtype.itemsize] * total:
        return _by_differences(X, mean)
    products = (X @ centre.astype(X.dtype)).astype(np.float64) / unit
    squares = shares * shares - 2.0 * products + centre_sq
    lost = np.flatnonzero(squares <= _CANCELLED * (centre_sq + shares * shares))
    norms = np.sqrt(np.maximum(squares, 0.0)) * unit
    step = max(1, _BLOCK_ENTRIES // X.shape[1])
    for start in range(0, len(lost), step):
        rows = lost[start : start + step]
        norms[rows] = dense_row_norms(np.ascontiguousarray(X[rows] - mean))
    return CentredRows(X, mean, norms), mean


def _mean_and_norms(X: FloatArray) -> tuple[FloatArray, Float64Array]:
    """Return the mean row and the row norms, which tell a NaN or an infinity."""
    m, n = X.shape
    sums, norms = np.zeros(n), np.empty(m)
    ones = np.ones(max(1, _BLOCK_ENTRIES // n), dtype=X.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for start, block in dense_blocks(X):
            norms[start : start + len(block)] = dense_row_norms(np.ascontiguousarray(block))
            sums += (ones[: len(block)] / ones.dtype.type(m)) @ block
    if not np.isfinite(norms).all():
        assert_all_finite(X, input_name="X")
    if not (np.isfinite(norms).all() and np.isfinite(sums).all()):
        raise ValueError("`X` must have row norms below 1.8e308; one of them overflows. Divide it by a constant.")
    return sums.astype(X.dtype), norms


def _by_differences(X: FloatArray, mean: FloatArray) -> tuple[RowStorage, FloatArray]:
    """Return the centred rows with norms from differences, after a correction of the mean by the mean difference."""
    m = len(X)
    ones = np.ones(max(1, _BLOCK_ENTRIES // X.shape[1]), dtype=X.dtype)
    away = np.zeros(X.shape[1])
    for _, block in dense_blocks(X):
        away += ones[: len(block)] @ (block - mean)
    mean = (mean + away / m).astype(X.dtype)
    norms = np.empty(m)
    for start, block in dense_blocks(X):
        norms[start : start + len(block)] = dense_row_norms(np.ascontiguousarray(block - mean))
    return CentredRows(X, mean, norms), mean
