"""The index pass of `as_sq_matrix` against a plain sum over the same array, and the memory it takes for a row.

The rate of an index is its bytes (of a CSR matrix data, indices and row pointers) over its seconds; the rate of the
sum is the bytes of the array, or of the data, over the seconds of `X.sum()`.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from timing import side_by_side

import qinspired as qi

# Of a row: 8 bytes for its norm, and for CSR with 32-bit pointers 8 for a 64-bit one; the rest is pieces of fixed size.
FIXED_BYTES = 4_000_000
DENSE = {
    "C float32": (np.float32, "C"),
    "C float64": (np.float64, "C"),
    "F float32": (np.float32, "F"),
    "F float64": (np.float64, "F"),
    "int8": (np.int8, "C"),
    "F int8": (np.int8, "F"),
    "float16": (np.float16, "C"),
}
CSR_ROWS = (10, 100, 10_000)


def most_bytes(X):
    """Return the largest amount of memory that the index takes on its way."""
    tracemalloc.start()
    try:
        qi.as_sq_matrix(X)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def measure(benchmark, report, name, X, values, n_bytes, tiny):
    wide = np.float32 if values.dtype == np.float16 else None  # the sum would overflow
    timed = side_by_side({"index": lambda: qi.as_sq_matrix(X), "sum": lambda: values.sum(dtype=wide)}, 2 if tiny else 9)
    index, total = timed["index"][0].median, timed["sum"][0].median
    ratio = (n_bytes / index) / (values.nbytes / total)
    per_row = max(0, most_bytes(X) - FIXED_BYTES) / X.shape[0]
    benchmark.extra_info.update(ratio=ratio, index_bytes_per_second=n_bytes / index, bytes_per_row=per_row)
    benchmark.group = "index"
    benchmark.pedantic(lambda: qi.as_sq_matrix(X), rounds=1 if tiny else 5)
    report(
        f"index {name} {X.shape}: {ratio:4.0%} of the bandwidth of a plain sum, {n_bytes / index / 1e9:.1f} GB/s, "
        f"{X.shape[0] / index / 1e6:.1f} million rows/s, {per_row:.1f} bytes a row"
    )
    return per_row


@pytest.mark.parametrize("name", DENSE)
def test_index_of_an_array_against_a_plain_sum(benchmark, report, tiny, name):
    dtype, order = DENSE[name]
    shape = (200_000, 20) if tiny else (1_000_000, 400)
    line = np.random.default_rng(0).integers(-100, 100, size=shape[1]).astype(dtype)
    X = np.empty(shape, dtype=dtype, order=order)
    X[:] = line
    assert measure(benchmark, report, name, X, X, X.nbytes, tiny) <= 16.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("length", CSR_ROWS)
@pytest.mark.parametrize("lengths", ["even", "random"])
def test_index_of_a_csr_matrix_against_a_plain_sum(benchmark, report, tiny, length, dtype, lengths):
    n_stored = 2_000_000 if tiny else 100_000_000
    m = n_stored // length
    sizes = np.full(m, length) if lengths == "even" else np.random.default_rng(0).poisson(length, m)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    starts = np.repeat(indptr[:-1], sizes)
    indices = (np.arange(indptr[-1]) - starts).astype(np.int32)
    del starts
    data = np.ones(indptr[-1], dtype=dtype)
    X = sp.csr_array((data, indices, indptr.astype(np.int32)), shape=(m, 2 * length + 100))
    n_bytes = data.nbytes + indices.nbytes + X.indptr.nbytes
    name = f"CSR {np.dtype(dtype).name}, {lengths} rows of {length}"
    # The finiteness check of the norms takes two more bytes for a moment.
    assert measure(benchmark, report, name, X, data, n_bytes, tiny) <= 18.0
