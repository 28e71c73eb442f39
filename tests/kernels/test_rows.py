from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qinspired.kernels import (
    _columns,
    _csr_rows,
    _rows,
    add_squares_of_columns,
    csr_find,
    csr_gather_rows,
    csr_row_norms,
    csr_sample_cols,
    csr_scan,
    dense_gather_rows,
    dense_row_norms,
    dense_sample_cols,
    norms_of_totals,
)

# Without the JIT an infinity times a mask of zero warns; the row is then summed again without the mask.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in scalar:RuntimeWarning")

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


def scan(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    norms = np.full(len(indptr) - 1, -1.0)
    return csr_scan(data, indices, indptr, 0, len(norms), norms), norms


def naive_scan(indices: np.ndarray, indptr: np.ndarray) -> tuple[int, int, int]:
    disorder = 0
    for low, high in itertools.pairwise(indptr.tolist()):
        disorder += sum(int(indices[p] <= indices[p - 1]) for p in range(low + 1, high))
    return min([0, *indices.tolist()]), max([0, *indices.tolist()]), disorder


LENGTHS = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 40)), min_size=1, max_size=12)


@EXAMPLES
@given(LENGTHS, st.integers(0, 2**32), st.sampled_from([np.int32, np.int64]), st.sampled_from([np.float32, np.float64]))
def test_a_scan_sees_the_range_and_the_order_of_any_indices(
    lengths: list[int], seed: int, index_type: type, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(-2, 60, size=indptr[-1]).astype(index_type)
    for low, high in itertools.pairwise(indptr.tolist()):
        if rng.random() < 0.7:
            indices[low:high] = low + np.arange(high - low)
    data = rng.standard_normal(len(indices)).astype(dtype)
    found, norms = scan(data, indices, indptr)
    assert found == naive_scan(indices, indptr)
    np.testing.assert_allclose(norms, csr_row_norms(data, indptr), rtol=40 * EPS)


def test_a_scan_of_groups_of_any_size_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.poisson(10, 700), [0, 20_000, 0, 3], rng.poisson(3, 600), np.zeros(300, int)])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    data = rng.standard_normal(len(indices))
    found, norms = scan(data, indices, indptr)
    assert found == (0, 19_999, 0)
    np.testing.assert_allclose(norms, csr_row_norms(data, indptr), rtol=100 * EPS)
    for row in (0, 300, 701, 703):
        swapped = indices.copy()
        swapped[indptr[row] : indptr[row] + 2] = swapped[indptr[row] : indptr[row] + 2][::-1]
        assert scan(data, swapped, indptr)[0][2] == naive_scan(swapped, indptr)[2] == 1
    monkeypatch.setattr(_rows, "_CHUNK_ENTRIES", 50)
    again, chunked = scan(data, indices, indptr)
    assert again == found
    np.testing.assert_array_equal(chunked, norms)


@pytest.mark.parametrize("row", [0, 3, 8])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_what_is_wrong_in_one_short_row_leaves_its_neighbours_alone(bad: float, row: int) -> None:
    indptr = np.arange(0, 28, 3)
    data, indices = np.ones(27), np.tile(np.arange(3), 9)
    data[3 * row + 1] = bad
    wanted = np.full(9, math.sqrt(3.0))
    wanted[row] = bad if bad == 1e200 else math.nan
    np.testing.assert_allclose(scan(data, indices, indptr)[1], wanted, rtol=2 * EPS)


def test_a_scan_may_start_and_stop_anywhere() -> None:
    X = random_matrix((40, 30))
    matrix = csr(X)
    norms = np.full(40, -1.0)
    assert csr_scan(matrix.data, matrix.indices, matrix.indptr, 11, 25, norms) == (0, 29, 0)
    np.testing.assert_allclose(norms[11:25], oracles.row_norms(X[11:25]), rtol=30 * EPS)
    assert (norms[:11] == -1.0).all()
    assert (norms[25:] == -1.0).all()


def test_a_scan_of_many_short_rows_is_that_of_the_naive_twin() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.poisson(10, 5000)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(-5, 100, indptr[-1])
    data = rng.standard_normal(len(indices))
    found, norms = scan(data, indices, indptr)
    assert found == naive_scan(indices, indptr)
    rows = [data[low:high] for low, high in itertools.pairwise(indptr)]
    np.testing.assert_allclose(norms, [np.linalg.norm(row) for row in rows], rtol=100 * EPS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (5000, 3), (40, 30)])
def test_squares_added_column_by_column_give_the_norms(
    shape: tuple[int, int], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = random_matrix(shape, dtype)
    wanted = oracles.row_norms(X)
    for chunk in (_rows._CHUNK_ENTRIES, 100):
        monkeypatch.setattr(_rows, "_CHUNK_ENTRIES", chunk)
        totals = np.zeros(shape[0])
        add_squares_of_columns(np.ascontiguousarray(X.T), totals)
        unsafe = norms_of_totals(totals)
        np.testing.assert_allclose(totals, wanted, rtol=shape[1] * EPS)
        np.testing.assert_array_equal(unsafe, np.flatnonzero(wanted == 0.0))


def test_sums_out_of_range_are_named() -> None:
    totals = np.array([4.0, 0.0, 1e-290, math.nan, math.inf, 1e305, 1e-270])
    assert norms_of_totals(totals).tolist() == [1, 2, 3, 4, 5]
    assert totals[0] == 2.0


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_entries_are_found_where_they_are_stored_and_nowhere_else(index_type: type) -> None:
    X = random_matrix((20, 15))
    matrix = csr(X)
    rows, cols = (part.ravel() for part in np.indices(X.shape))
    places = csr_find(matrix.indices.astype(index_type), matrix.indptr, rows, cols)
    found = np.where(places >= 0, matrix.data[places], 0.0)
    np.testing.assert_array_equal(found, X.ravel())
    assert (np.sort(places[places >= 0]) == np.arange(matrix.nnz)).all()
    assert csr_find(matrix.indices, matrix.indptr, rows[:0], cols[:0]).shape == (0,)


def test_draws_from_rows_that_were_read_are_those_from_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    X, key = random_matrix((30, 12)), np.uint64(5)
    rows = np.random.default_rng(1).integers(0, 30, 200)
    rows = rows[X[rows].any(axis=1)]
    whole = dense_sample_cols(X, rows, key)
    matrix = csr(X)
    np.testing.assert_array_equal(whole, csr_sample_cols(matrix.data, matrix.indices, matrix.indptr, rows, key))
    positions = np.arange(3, len(rows), 7)
    distinct, place = np.unique(rows[positions], return_inverse=True)
    triple = csr_gather_rows(matrix.data, matrix.indices, matrix.indptr, distinct)
    for chunk in (_columns._CHUNK_ENTRIES, 5):
        monkeypatch.setattr(_columns, "_CHUNK_ENTRIES", chunk)
        np.testing.assert_array_equal(dense_sample_cols(X[distinct], place, key, positions), whole[positions])
        np.testing.assert_array_equal(csr_sample_cols(*triple, place, key, positions), whole[positions])


def test_the_masks_of_short_rows_keep_as_many_entries_as_the_row_has() -> None:
    assert [int(mask.sum()) for mask in _csr_rows._MASKS] == list(range(_csr_rows._WIDTH + 1))
    assert all((np.diff(mask) <= 0).all() for mask in _csr_rows._MASKS)
