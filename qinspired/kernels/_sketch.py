"""A sparse-sign embedding of rows, and the gradient of least squares by one reading of them.

Row i of the matrix is added, with random signs, to one row of each of several groups of rows of the sketch. Which ones
is a function of (key, i) alone, so that the sketch depends neither on the blocks nor on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel, prange, worth_threads
from qinspired.kernels._streams import block_state, mix, next_state, word_below

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["csr_sketch_rows", "dense_gradient", "dense_sketch_rows"]

# The rows of a block are summed in so many parts, each with a sum of its own, on any number of threads.
_PARTS = 16

_ONE = np.uint64(1)


@kernel()
def _place(state: np.uint64, group: int, groups: int, size: int) -> tuple[np.int64, float]:
    """Return the row of a group of the sketch, and the sign, that the number of a state names."""
    low, high = size * group // groups, size * (group + 1) // groups
    word = mix(state)
    # The place is made of the high bits of the word, the sign of its lowest one.
    row = low + np.int64(word_below(word, np.uint64(high - low)))
    return row, 1.0 if word & _ONE else -1.0


@kernel()
def _dense_panel(
    X: FloatArray, first: int, key: np.uint64, groups: int, scale: float, low: int, high: int, out: Float64Array
) -> None:
    for i in range(X.shape[0]):
        state = block_state(key, np.uint64(first + i))
        for group in range(groups):
            state = next_state(state)
            row, sign = _place(state, group, groups, out.shape[0])
            weight = sign * scale
            for j in range(low, high):
                out[row, j] += weight * np.float64(X[i, j])


@kernel(parallel=True)
def _dense_halves(X: FloatArray, first: int, key: np.uint64, groups: int, scale: float, out: Float64Array) -> None:
    n_cols = X.shape[1]
    for part in prange(2):
        _dense_panel(X, first, key, groups, scale, n_cols * part // 2, n_cols * (part + 1) // 2, out)


def dense_sketch_rows(X: FloatArray, first: int, key: np.uint64, groups: int, scale: float, out: Float64Array) -> None:
    """Add scale S[:, first:first + len(X)] X to `out`; each column of S has one entry +-1 in each group of rows."""
    # More than two parts would read too little of a row at a time: panels of 64 columns of 500 took twice as long.
    if worth_threads(X.size):
        _dense_halves(X, first, key, groups, scale, out)
    else:
        _dense_panel(X, first, key, groups, scale, 0, X.shape[1], out)


@kernel()
def csr_sketch_rows(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    first: int,
    key: np.uint64,
    groups: int,
    scale: float,
    out: Float64Array,
) -> None:
    """As `dense_sketch_rows`, over the rows of a CSR matrix."""
    for i in range(indptr.shape[0] - 1):
        state = block_state(key, np.uint64(first + i))
        for group in range(groups):
            state = next_state(state)
            row, sign = _place(state, group, groups, out.shape[0])
            weight = sign * scale
            for position in range(indptr[i], indptr[i + 1]):
                out[row, indices[position]] += weight * np.float64(data[position])


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
