from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qinspired.kernels import _rows, csr_gather_rows, csr_row_norms, dense_gather_rows, dense_row_norms

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
FINITE = st.floats(-1e300, 1e300)
MATRICES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FINITE)

# A sum of n squares is right to n ulps in any order, its root to half of that.
EPS = np.finfo(np.float64).eps


def csr(X: np.ndarray) -> Any:
    matrix = sp.csr_array(X)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def random_matrix(shape: tuple[int, int], dtype: type = np.float64, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape)
    X[rng.random(shape) < 0.5] = 0.0
    X[shape[0] // 2] = 0.0
    return X.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (30, 40)])
def test_row_norms_are_those_of_hypot(shape: tuple[int, int], dtype: type) -> None:
    X = random_matrix(shape, dtype)
    wanted = oracles.row_norms(X)
    np.testing.assert_allclose(dense_row_norms(X), wanted, rtol=shape[1] * EPS)
    np.testing.assert_allclose(csr_row_norms(csr(X).data, csr(X).indptr), wanted, rtol=shape[1] * EPS)


@EXAMPLES
@given(MATRICES)
def test_row_norms_of_any_finite_range_are_those_of_hypot(X: np.ndarray) -> None:
    wanted = oracles.row_norms(X)
    # Subnormal results are right to one of their coarse units, 5e-324.
    np.testing.assert_allclose(dense_row_norms(X), wanted, rtol=8 * EPS, atol=1e-323)
    np.testing.assert_allclose(csr_row_norms(csr(X).data, csr(X).indptr), wanted, rtol=8 * EPS, atol=1e-323)


@pytest.mark.parametrize("size", [1e200, 1e-200, 5e-324, 1e308, 1e150, 1e-140])
def test_norms_whose_squares_leave_the_range_are_right(size: float) -> None:
    X = np.array([[size, 0.0, 0.0], [3 * (size / 8), 4 * (size / 8), 0.0], [1.0, size, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(dense_row_norms(X), oracles.row_norms(X), rtol=4 * EPS)


def test_squares_of_a_row_are_summed_in_float64_whatever_the_type() -> None:
    # 3e20 squared overflows float32; 4096 and 1 need 25 bits for the sum of squares.
    X = np.array([[3e20, 4e20], [4096.0, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(dense_row_norms(X), oracles.row_norms(X), rtol=4 * EPS)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_with_a_nan_or_an_infinity_has_norm_nan_and_no_other_row_has(bad: float) -> None:
    X = np.ones((5, 9))
    X[3, 4] = bad
    X[1] = 0.0
    for norms in (dense_row_norms(X), csr_row_norms(csr(X).data, csr(X).indptr)):
        assert np.isnan(norms).tolist() == [False, False, False, True, False]


def test_two_infinities_of_opposite_sign_or_a_nan_beside_an_infinity_are_nan() -> None:
    X = np.array([[math.inf, -math.inf], [math.nan, math.inf], [1e308, 1e308]])
    norms = dense_row_norms(X)
    assert np.isnan(norms).tolist() == [True, True, False]
    assert norms[2] == pytest.approx(math.sqrt(2) * 1e308, rel=4 * EPS)


def test_a_nan_among_zeros_or_subnormals_is_not_taken_for_zero() -> None:
    X = np.array([[math.nan, 0.0, 0.0], [0.0, 0.0, math.nan], [5e-324, math.nan, 0.0], [math.nan] * 3])
    assert np.isnan(dense_row_norms(X)).all()
    assert np.isnan(csr_row_norms(X.ravel(), np.array([0, 3, 6, 9, 12]))).all()


def test_a_norm_beyond_the_largest_float_is_infinite_not_nan() -> None:
    assert dense_row_norms(np.array([[1.7e308, 1.7e308]]))[0] == math.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [[], [0], [4, 4, 0, 2, 4], list(range(5))])
def test_gathered_rows_are_the_rows_asked_for(rows: list[int], dtype: type) -> None:
    X, picked = random_matrix((5, 7), dtype), np.array(rows, dtype=np.int64)
    dense = dense_gather_rows(X, picked)
    matrix = csr(X)
    triple = csr_gather_rows(matrix.data, matrix.indices, matrix.indptr, picked)
    assert dense.dtype == triple[0].dtype == dtype
    np.testing.assert_array_equal(dense, X[picked])
    np.testing.assert_array_equal(sp.csr_array(triple, shape=(len(rows), 7)).toarray(), X[picked])
    if rows:
        np.testing.assert_array_equal(dense, oracles.gather_rows(X, picked))


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_gathered_csr_rows_keep_explicit_zeros_and_the_index_type(index_type: type) -> None:
    data, indices = np.array([1.0, 0.0, 2.0]), np.array([0, 3, 1], dtype=index_type)
    indptr = np.array([0, 2, 2, 3])
    out = csr_gather_rows(data, indices, indptr, np.array([2, 1, 0, 0]))
    assert [part.tolist() for part in out] == [[2.0, 1.0, 0.0, 1.0, 0.0], [1, 0, 3, 0, 3], [0, 1, 1, 3, 5]]
    assert out[1].dtype == index_type


def test_work_done_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    X, rows = random_matrix((23, 7)), np.arange(23)[::-1].copy()
    matrix = csr(X)
    whole = dense_row_norms(X), csr_row_norms(matrix.data, matrix.indptr)
    monkeypatch.setattr(_rows, "_CHUNK_ENTRIES", 10)
    np.testing.assert_array_equal(dense_row_norms(X), whole[0])
    np.testing.assert_array_equal(csr_row_norms(matrix.data, matrix.indptr), whole[1])
    np.testing.assert_array_equal(dense_gather_rows(X, rows), X[rows])
    triple = csr_gather_rows(matrix.data, matrix.indices, matrix.indptr, rows)
    np.testing.assert_array_equal(sp.csr_array(triple, shape=X.shape).toarray(), X[rows])


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_norms_and_rows_are_the_same_on_one_thread_and_on_two(threads: None) -> None:
    X, rows = random_matrix((300, 101)), np.arange(300)[::-1].copy()
    matrix = csr(X)
    results = []
    for n_threads in (1, 2):
        numba.set_num_threads(n_threads)
        results.append((dense_row_norms(X), csr_row_norms(matrix.data, matrix.indptr), dense_gather_rows(X, rows)))
    for serial, parallel in zip(*results, strict=True):
        np.testing.assert_array_equal(serial, parallel)
    np.testing.assert_array_equal(results[1][2], X[rows])


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_a_nan_is_found_on_two_threads(threads: None) -> None:
    numba.set_num_threads(2)
    X = np.ones((200, 100))
    X[150, 99] = math.nan
    assert np.flatnonzero(np.isnan(dense_row_norms(X))).tolist() == [150]
    assert np.flatnonzero(np.isnan(csr_row_norms(csr(X).data, csr(X).indptr))).tolist() == [150]
