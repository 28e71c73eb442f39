"""The gradient of least squares by one reading of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._rows import _CHUNK_ENTRIES, _norm

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["csr_first_gradient", "csr_gradient", "dense_first_gradient", "dense_gradient"]

# The rows of a block are summed in so many parts, each with a sum of its own, on any number of threads.
_PARTS = 16

# A part has at least so many entries for each column of its sum.
_ENTRIES_PER_SUM = 8

# A stored entry, gathered for and scattered to, takes as long as so many entries read in order.
_WORK_OF_ENTRY = 4


@kernel(reorder_sums=True)
def _gradient_part(
    X: FloatArray, x: Float64Array, b: Float64Array, low: int, high: int, gradient: Float64Array, sums: Float64Array
) -> None:
    n_cols = X.shape[1]
    # Four rows at a time: they stay in the first cache between the two uses, and each visit to the gradient serves all.
    for i in range(low, high - (high - low) % 4, 4):
        p, q, r, s = 0.0, 0.0, 0.0, 0.0
        for j in range(n_cols):
            p += np.float64(X[i, j]) * x[j]
            q += np.float64(X[i + 1, j]) * x[j]
            r += np.float64(X[i + 2, j]) * x[j]
            s += np.float64(X[i + 3, j]) * x[j]
        sums[1] += (p * p + q * q) + (r * r + s * s)
        p, q, r, s = b[i] - p, b[i + 1] - q, b[i + 2] - r, b[i + 3] - s
        sums[0] += (p * p + q * q) + (r * r + s * s)
        for j in range(n_cols):
            gradient[j] += (p * np.float64(X[i, j]) + q * np.float64(X[i + 1, j])) + (
                r * np.float64(X[i + 2, j]) + s * np.float64(X[i + 3, j])
            )
    for i in range(high - (high - low) % 4, high):
        p = 0.0
        for j in range(n_cols):
            p += np.float64(X[i, j]) * x[j]
        sums[1] += p * p
        p = b[i] - p
        sums[0] += p * p
        for j in range(n_cols):
            gradient[j] += p * np.float64(X[i, j])


@kernel()
def _gradient(X: FloatArray, x: Float64Array, b: Float64Array, gradients: Float64Array, sums: Float64Array) -> None:
    for part in range(gradients.shape[0]):
        low, high = X.shape[0] * part // gradients.shape[0], X.shape[0] * (part + 1) // gradients.shape[0]
        _gradient_part(X, x, b, low, high, gradients[part], sums[part])


@kernel(parallel=True)
def _gradient_on_threads(
    X: FloatArray, x: Float64Array, b: Float64Array, gradients: Float64Array, sums: Float64Array
) -> None:
    for part in prange(gradients.shape[0]):
        low, high = X.shape[0] * part // gradients.shape[0], X.shape[0] * (part + 1) // gradients.shape[0]
        _gradient_part(X, x, b, low, high, gradients[part], sums[part])


def dense_gradient(X: FloatArray, x: Float64Array, b: Float64Array) -> tuple[Float64Array, float, float]:
    """Return X^T r for r = b - X x, |r|^2 and |X x|^2, by one reading of a C-contiguous X."""
    gradients, sums = np.zeros((_PARTS, X.shape[1])), np.zeros((_PARTS, 2))
    run = _gradient_on_threads if worth_threads(X.size) else _gradient
    run(X, x, b, gradients, sums)
    misfit, fitted = sums.sum(axis=0)
    return gradients.sum(axis=0), float(misfit), float(fitted)


@kernel(reorder_sums=True)
def _first_part(
    X: FloatArray, b: Float64Array, low: int, high: int, gradient: Float64Array, norms: Float64Array
) -> None:
    for i in range(low, high - (high - low) % 4, 4):
        for k in range(i, i + 4):
            norms[k] = _norm(X[k])
        p, q, r, s = b[i], b[i + 1], b[i + 2], b[i + 3]
        for j in range(X.shape[1]):
            gradient[j] += (p * np.float64(X[i, j]) + q * np.float64(X[i + 1, j])) + (
                r * np.float64(X[i + 2, j]) + s * np.float64(X[i + 3, j])
            )
    for i in range(high - (high - low) % 4, high):
        norms[i] = _norm(X[i])
        for j in range(X.shape[1]):
            gradient[j] += b[i] * np.float64(X[i, j])


@kernel()
def _first(X: FloatArray, b: Float64Array, gradients: Float64Array, norms: Float64Array) -> None:
    for part in range(gradients.shape[0]):
        low, high = X.shape[0] * part // gradients.shape[0], X.shape[0] * (part + 1) // gradients.shape[0]
        _first_part(X, b, low, high, gradients[part], norms)


@kernel(parallel=True)
def _first_on_threads(X: FloatArray, b: Float64Array, gradients: Float64Array, norms: Float64Array) -> None:
    for part in prange(gradients.shape[0]):
        low, high = X.shape[0] * part // gradients.shape[0], X.shape[0] * (part + 1) // gradients.shape[0]
        _first_part(X, b, low, high, gradients[part], norms)


def dense_first_gradient(X: FloatArray, b: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return X^T b and the row norms, as `dense_row_norms` does, by one reading of a C-contiguous X."""
    gradients, norms = np.zeros((_PARTS, X.shape[1])), np.empty(X.shape[0])
    run = _first_on_threads if worth_threads(X.size) else _first
    step = max(1, _CHUNK_ENTRIES // X.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, X.shape[0], step):
            rows = slice(start, start + step)
            run(X[rows], b[rows], gradients, norms[rows])
        return gradients.sum(axis=0), norms


@kernel(reorder_sums=True)
def _csr_gradient_part(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    x: Float64Array,
    b: Float64Array,
    low: int,
    high: int,
    gradient: Float64Array,
    sums: Float64Array,
) -> None:
    misfit, fitted = 0.0, 0.0
    for i in range(low, high):
        # Unsigned, so that no index is looked at for being negative: 95 ms in place of 190 for 5e7 entries.
        first, last = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        values, cols = data[first:last], indices[first:last]
        image = 0.0
        for p in range(values.shape[0]):
            image += np.float64(values[p]) * x[np.uint64(cols[p])]
        rest = b[i] - image
        fitted += image * image
        misfit += rest * rest
        for p in range(values.shape[0]):
            gradient[np.uint64(cols[p])] += rest * np.float64(values[p])
    sums[0] += misfit
    sums[1] += fitted


@kernel()
def _csr_gradient(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    x: Float64Array,
    b: Float64Array,
    bounds: IntArray,
    gradients: Float64Array,
    sums: Float64Array,
) -> None:
    for part in range(gradients.shape[0]):
        _csr_gradient_part(data, indices, indptr, x, b, bounds[part], bounds[part + 1], gradients[part], sums[part])


@kernel(parallel=True)
def _csr_gradient_on_threads(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    x: Float64Array,
    b: Float64Array,
    bounds: IntArray,
    gradients: Float64Array,
    sums: Float64Array,
) -> None:
    for part in prange(gradients.shape[0]):
        _csr_gradient_part(data, indices, indptr, x, b, bounds[part], bounds[part + 1], gradients[part], sums[part])


def csr_gradient(
    data: FloatArray, indices: IntArray, indptr: IntArray, x: Float64Array, b: Float64Array
) -> tuple[Float64Array, float, float]:
    """As `dense_gradient`, for a CSR triple whose indices are in range, in any order and repeated or not."""
    bounds = _equal_parts(indptr, len(x))
    gradients, sums = np.zeros((len(bounds) - 1, len(x))), np.zeros((len(bounds) - 1, 2))
    run = _csr_gradient_on_threads if worth_threads(_WORK_OF_ENTRY * len(data)) else _csr_gradient
    run(data, indices, indptr, x, b, bounds, gradients, sums)
    misfit, fitted = sums.sum(axis=0)
    return gradients.sum(axis=0), float(misfit), float(fitted)


def _equal_parts(indptr: IntArray, n_cols: int) -> IntArray:
    """Return the rows between parts of about as many entries each, the same for any number of threads."""
    n_stored = int(indptr[-1] - indptr[0])
    parts = min(max(n_stored // (_ENTRIES_PER_SUM * n_cols), 1), _PARTS)
    shares = indptr[0] + n_stored * np.arange(parts + 1) // parts
    bounds: IntArray = np.searchsorted(indptr, shares.astype(indptr.dtype))  # of another type, indptr would be copied
    bounds[0], bounds[-1] = 0, len(indptr) - 1
    return bounds


@kernel()
def _csr_first_part(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    b: Float64Array,
    low: int,
    high: int,
    gradient: Float64Array,
    squares: Float64Array,
) -> bool:
    n_cols = np.uint64(gradient.shape[0])
    for i in range(low, high):
        first, last = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        values, cols = data[first:last], indices[first:last]
        for p in range(values.shape[0]):
            # A negative index is a large one here.
            col = np.uint64(np.int64(cols[p]))
            if col >= n_cols:
                return False
            value = np.float64(values[p])
            gradient[col] += b[i] * value
            squares[col] += value * value
    return True


@kernel()
def _csr_first(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    b: Float64Array,
    bounds: IntArray,
    gradients: Float64Array,
    squares: Float64Array,
    in_range: IntArray,
) -> None:
    for part in range(gradients.shape[0]):
        in_range[part] = _csr_first_part(
            data, indices, indptr, b, bounds[part], bounds[part + 1], gradients[part], squares[part]
        )


@kernel(parallel=True)
def _csr_first_on_threads(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    b: Float64Array,
    bounds: IntArray,
    gradients: Float64Array,
    squares: Float64Array,
    in_range: IntArray,
) -> None:
    for part in prange(gradients.shape[0]):
        in_range[part] = _csr_first_part(
            data, indices, indptr, b, bounds[part], bounds[part + 1], gradients[part], squares[part]
        )


def csr_first_gradient(
    data: FloatArray, indices: IntArray, indptr: IntArray, b: Float64Array, n_cols: int
) -> tuple[Float64Array, Float64Array] | None:
    """Return X^T b and the sums of squares of the stored entries of each column; nothing if an index is out of range.

    `indptr` must never decrease and stay within `data` and `indices`; the indices may be any.
    """
    bounds = _equal_parts(indptr, 2 * n_cols)
    gradients, squares = np.zeros((len(bounds) - 1, n_cols)), np.zeros((len(bounds) - 1, n_cols))
    in_range = np.zeros(len(bounds) - 1, dtype=np.int64)
    run = _csr_first_on_threads if worth_threads(_WORK_OF_ENTRY * len(data)) else _csr_first
    run(data, indices, indptr, b, bounds, gradients, squares, in_range)
    return (gradients.sum(axis=0), squares.sum(axis=0)) if in_range.all() else None
