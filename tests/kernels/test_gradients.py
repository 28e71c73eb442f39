from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired.kernels import (
    _gradients,
    csr_first_gradient,
    csr_gradient,
    dense_first_gradient,
    dense_gradient,
    dense_row_norms,
)


@pytest.fixture(params=[False, True], ids=["one thread", "threads"])
def on_threads(request, monkeypatch):
    monkeypatch.setattr("qinspired.kernels._gradients.worth_threads", lambda _: request.param)
    return request.param


def check_gradient(found, wide, x, b):
    gradient, misfit, fitted = found
    residual = b - wide @ x
    np.testing.assert_allclose(gradient, wide.T @ residual, atol=1e-12 * len(b))
    assert misfit == pytest.approx(residual @ residual, rel=1e-12)
    assert fitted == pytest.approx(np.sum((wide @ x) ** 2), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 3, 16, 67, 500])
def test_a_gradient_is_that_of_numpy(dtype, n_rows, on_threads, rng):
    X = rng.standard_normal((n_rows, 9)).astype(dtype)
    x, b = rng.standard_normal(9), rng.standard_normal(n_rows)
    check_gradient(dense_gradient(X, x, b), X.astype(np.float64), x, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 3, 16, 67, 500])
def test_a_first_gradient_is_that_of_numpy_beside_the_row_norms(dtype, n_rows, on_threads, rng):
    X = rng.standard_normal((n_rows, 9)).astype(dtype)
    X[n_rows // 2] = 0.0
    b = rng.standard_normal(n_rows)
    gradient, norms = dense_first_gradient(X, b)
    np.testing.assert_allclose(gradient, X.astype(np.float64).T @ b, atol=1e-12 * n_rows)
    np.testing.assert_array_equal(norms, dense_row_norms(X))
    assert norms[n_rows // 2] == 0.0


def test_a_first_gradient_in_chunks_is_the_same(on_threads, rng, monkeypatch):
    X, b = rng.standard_normal((203, 7)), rng.standard_normal(203)
    whole = dense_first_gradient(X, b)
    monkeypatch.setattr(_gradients, "_CHUNK_ENTRIES", 70)
    gradient, norms = dense_first_gradient(X, b)
    np.testing.assert_allclose(gradient, whole[0], atol=1e-12)
    np.testing.assert_array_equal(norms, whole[1])


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e-310])
def test_a_first_gradient_of_entries_whose_squares_leave_the_range_has_the_right_norms(size, on_threads, rng):
    X, b = rng.integers(-8, 9, (70, 5)) * size, rng.integers(-8, 9, 70) / 8.0
    gradient, norms = dense_first_gradient(X, b)
    np.testing.assert_allclose(gradient / size, (X / size).T @ b, atol=1e-10)
    np.testing.assert_array_equal(norms, dense_row_norms(X))
    np.testing.assert_allclose(norms / size, np.linalg.norm(X / size, axis=1), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 33, 69])
def test_a_first_gradient_has_norm_nan_for_a_row_that_is_not_finite_and_for_no_other(bad, place, on_threads, rng):
    X = rng.standard_normal((70, 5))
    X[place, 2] = bad
    gradient, norms = dense_first_gradient(X, np.zeros(70))
    assert np.flatnonzero(np.isnan(norms)).tolist() == [place]
    assert not np.isfinite(gradient[2])


def test_a_first_gradient_that_overflows_is_not_finite_and_does_not_warn(on_threads):
    X = np.array([[1.7e308, 1.0], [1.7e308, 1.0], [-1.7e308, 1.0]] * 30)
    gradient, norms = dense_first_gradient(X, np.ones(90))
    assert not np.isfinite(gradient[0])
    assert gradient[1] == 90.0
    np.testing.assert_array_equal(norms, 1.7e308)


def test_a_first_gradient_does_not_depend_on_the_number_of_threads(rng, monkeypatch):
    X, b = rng.standard_normal((400, 5)), rng.standard_normal(400)
    one = dense_first_gradient(X, b)
    monkeypatch.setattr("qinspired.kernels._gradients.worth_threads", lambda _: True)
    for here, there in zip(one, dense_first_gradient(X, b), strict=True):
        np.testing.assert_array_equal(here, there)


def rows_in_disorder(rng, n_rows, n_cols, dtype, index_dtype):
    """Return a CSR triple with empty rows, indices in any order and repeated, and the matrix that it stands for."""
    lengths = rng.integers(0, 2 * n_cols, n_rows) * (rng.random(n_rows) < 0.8)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(index_dtype)
    indices = rng.integers(n_cols, size=indptr[-1]).astype(index_dtype)
    data = rng.standard_normal(indptr[-1]).astype(dtype)
    return (data, indices, indptr), sp.csr_array((data, indices, indptr), shape=(n_rows, n_cols)).toarray()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n_rows", [1, 3, 67, 500])
def test_a_gradient_of_sparse_rows_is_that_of_the_dense_ones(dtype, index_dtype, n_rows, on_threads, rng):
    triple, wide = rows_in_disorder(rng, n_rows, 9, dtype, index_dtype)
    wide = wide.astype(np.float64)
    x, b = rng.standard_normal(9), rng.standard_normal(n_rows)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12  # scipy adds up repeated entries in the type of the data
    gradient, misfit, fitted = csr_gradient(*triple, x, b)
    residual = b - wide @ x
    np.testing.assert_allclose(gradient, wide.T @ residual, atol=tolerance * n_rows * 20)
    assert misfit == pytest.approx(residual @ residual, rel=100 * tolerance)
    assert fitted == pytest.approx(np.sum((wide @ x) ** 2), rel=100 * tolerance, abs=1e-300)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_the_first_gradient_has_the_squares_of_the_columns(index_dtype, on_threads, rng):
    X = sp.random_array((300, 9), density=0.3, rng=rng, format="csr")
    b = rng.standard_normal(300)
    gradient, squares = csr_first_gradient(X.data, X.indices.astype(index_dtype), X.indptr.astype(index_dtype), b, 9)
    np.testing.assert_allclose(gradient, X.T @ b, atol=1e-12)
    np.testing.assert_allclose(squares, (X.toarray() ** 2).sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("wrong", [-1, 9, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("place", [0, 150, -1])
def test_the_first_gradient_refuses_an_index_out_of_range(wrong, place, on_threads, rng):
    X = sp.random_array((300, 9), density=0.3, rng=rng, format="csr")
    indices = X.indices.astype(np.int32)
    indices[place] = wrong
    assert csr_first_gradient(X.data, indices, X.indptr.astype(np.int32), np.ones(300), 9) is None


def test_sums_of_sparse_rows_do_not_depend_on_the_number_of_threads(rng, monkeypatch):
    triple, _ = rows_in_disorder(rng, 400, 5, np.float64, np.int32)
    x, b = rng.standard_normal(5), rng.standard_normal(400)
    one = csr_gradient(*triple, x, b), csr_first_gradient(*triple, b, 5)
    monkeypatch.setattr("qinspired.kernels._gradients.worth_threads", lambda _: True)
    two = csr_gradient(*triple, x, b), csr_first_gradient(*triple, b, 5)
    for here, there in zip(one[0] + one[1], two[0] + two[1], strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_matrix_without_entries_has_no_gradient():
    nothing = np.zeros(0), np.zeros(0, dtype=np.int32), np.zeros(4, dtype=np.int32)
    gradient, misfit, fitted = csr_gradient(*nothing, np.ones(2), np.ones(3))
    assert not gradient.any()
    assert (misfit, fitted) == (3.0, 0.0)
