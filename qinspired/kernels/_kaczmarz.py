"""Steps of randomized Kaczmarz over drawn rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel, prange

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["csr_kaczmarz", "csr_kaczmarz_chains", "dense_kaczmarz", "dense_kaczmarz_chains"]


@kernel(reorder_sums=True)
def _dot(row: FloatArray, x: Float64Array) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += np.float64(row[j]) * x[j]
    return total


@kernel()
def dense_kaczmarz(
    X: FloatArray,
    b: Float64Array,
    norms_sq: Float64Array,
    rows: IntArray,
    decay: float,
    x: Float64Array,
    total: Float64Array,
) -> None:
    """Project `x` in place onto the drawn equations in turn, shrinking it by `decay`, and add each x to `total`."""
    for i in rows:
        step = (b[i] - decay * _dot(X[i], x)) / norms_sq[i]
        for j in range(x.shape[0]):
            x[j] = decay * x[j] + step * np.float64(X[i, j])
            total[j] += x[j]


@kernel()
def csr_kaczmarz(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    b: Float64Array,
    norms_sq: Float64Array,
    rows: IntArray,
    decay: float,
    x: Float64Array,
    total: Float64Array,
) -> None:
    """As `dense_kaczmarz`, over the rows of a CSR matrix."""
    for i in rows:
        dot = 0.0
        for position in range(indptr[i], indptr[i + 1]):
            dot += np.float64(data[position]) * x[indices[position]]
        step = (b[i] - decay * dot) / norms_sq[i]
        if decay != 1.0:
            for j in range(x.shape[0]):
                x[j] *= decay
        for position in range(indptr[i], indptr[i + 1]):
            x[indices[position]] += step * np.float64(data[position])
        for j in range(x.shape[0]):
            total[j] += x[j]


@kernel(parallel=True)
def dense_kaczmarz_chains(
    X: FloatArray, b: Float64Array, norms_sq: Float64Array, decay: float, x: Float64Array, total: Float64Array
) -> None:
    """Run independent chains, one a row of `x`; chain c of C takes every C-th equation from the c-th on, in order."""
    n_chains = x.shape[0]
    for chain in prange(n_chains):
        rows = np.arange(chain, X.shape[0], n_chains)
        dense_kaczmarz(X, b, norms_sq, rows, decay, x[chain], total[chain])


@kernel(parallel=True)
def csr_kaczmarz_chains(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    b: Float64Array,
    norms_sq: Float64Array,
    decay: float,
    x: Float64Array,
    total: Float64Array,
) -> None:
    """As `dense_kaczmarz_chains`, over the rows of a CSR matrix."""
    n_chains = x.shape[0]
    for chain in prange(n_chains):
        rows = np.arange(chain, b.shape[0], n_chains)
        csr_kaczmarz(data, indices, indptr, b, norms_sq, rows, decay, x[chain], total[chain])
