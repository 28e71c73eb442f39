from __future__ import annotations

import copy
import math
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zoo import QUARTERS, ZOO, Specimen

import qinspired as qi
from qinspired.access import CSRMatrix, DenseMatrix, _row_reader
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from pathlib import Path

EPS = np.finfo(np.float64).eps
every_storage = pytest.mark.parametrize("specimen", ZOO, ids=str)


def parts(X: Any) -> list[Any]:
    """Return all that a caller could see change."""
    if isinstance(X, list):
        return [copy.deepcopy(X)]
    if hasattr(X, "columns"):
        return [X.to_numpy().copy(), list(X.columns)]
    if not sp.issparse(X):
        return [X.copy(), X.dtype, X.flags.writeable]
    if X.format in ("csr", "csc", "bsr"):
        return [X.data.copy(), X.indices.copy(), X.indptr.copy(), X.data.dtype, X.indices.dtype]
    if X.format == "coo":
        return [X.data.copy(), *(part.copy() for part in X.coords)]
    return [X.toarray(), X.dtype, X.nnz]


@every_storage
def test_norms_queries_and_rows_are_those_of_the_matrix(specimen: Specimen, tmp_path: Path) -> None:
    A, X = qi.as_sq_matrix(specimen.build(tmp_path)), specimen.dense
    m, n = X.shape
    assert A.shape == (m, n)
    assert A.dtype == specimen.dtype
    assert isinstance(A, CSRMatrix if A.is_sparse else DenseMatrix)
    np.testing.assert_allclose(A.row_norms(), oracles.row_norms(X), rtol=n * EPS)
    np.testing.assert_array_equal(A.row_norms([m - 1, 0]), A.row_norms()[[m - 1, 0]])
    assert A.frobenius_norm == pytest.approx(math.hypot(*X.ravel()), rel=m * n * EPS)
    np.testing.assert_array_equal(A.query(np.arange(m)[:, None], np.arange(n)[None, :]), X)
    rows = np.array([m - 1, 0, m - 1])
    block = A.rows(rows)
    assert block.dtype == specimen.dtype
    np.testing.assert_array_equal(block.toarray() if sp.issparse(block) else block, X[rows])
    np.testing.assert_array_equal(A.row_lengths(rows), np.diff(block.indptr) if sp.issparse(block) else [n] * 3)


@every_storage
def test_rows_and_columns_are_drawn_by_squared_size(specimen: Specimen, tmp_path: Path) -> None:
    A, X = qi.as_sq_matrix(specimen.build(tmp_path)), specimen.dense
    rows = A.sample_rows(20_000, rng=1)
    assert rows.dtype == np.int64
    assert oracles.chi_square_p(rows, oracles.law_of_rows(X)) > oracles.P_LOWEST
    row = int(np.argmax((X != 0).sum(axis=1)))
    cols = A.sample_cols(np.full(20_000, row), rng=2)
    assert cols.dtype == np.int64
    assert oracles.chi_square_p(cols, oracles.law_of(X[row])) > oracles.P_LOWEST


@every_storage
def test_the_same_numbers_give_the_same_draws_in_every_storage(specimen: Specimen, tmp_path: Path) -> None:
    A, plain = qi.as_sq_matrix(specimen.build(tmp_path)), qi.as_sq_matrix(specimen.dense.copy())
    rows = A.sample_rows(500, rng=3)
    np.testing.assert_array_equal(rows, plain.sample_rows(500, rng=3))
    np.testing.assert_array_equal(A.sample_cols(rows, rng=4), plain.sample_cols(rows, rng=4))


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("block_entries", [1, 30, 8_000_000])
def test_a_storage_that_only_reads_rows_draws_as_the_array_does(
    is_sparse: bool, block_entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnlyRows(qi.RowStorage):
        n_stored = property(lambda self: QUARTERS.size)  # noqa: ARG005
        is_sparse = property(lambda self: is_sparse)  # noqa: ARG005

        def _read_rows(self, rows: Any) -> Any:
            return sp.csr_array(QUARTERS[rows]) if is_sparse else QUARTERS[rows]

    A, plain = OnlyRows(QUARTERS.shape, np.float64), qi.as_sq_matrix(QUARTERS)
    rows = plain.sample_rows(300, rng=1)
    cols = np.arange(300) % 12
    monkeypatch.setattr(_row_reader, "_BLOCK_ENTRIES", block_entries)
    np.testing.assert_array_equal(A.sample_cols(rows, rng=2), plain.sample_cols(rows, rng=2))
    np.testing.assert_array_equal(A.query(rows, cols), QUARTERS[rows, cols])
    np.testing.assert_array_equal(A.rmatmul(QUARTERS), QUARTERS.T @ QUARTERS)


@every_storage
def test_products_are_those_of_the_matrix(specimen: Specimen, tmp_path: Path) -> None:
    A, X = qi.as_sq_matrix(specimen.build(tmp_path)), specimen.dense
    m, n = X.shape
    rng = np.random.default_rng(0)
    right, left = rng.standard_normal((n, 2)), rng.standard_normal((m, 3))
    np.testing.assert_allclose(A.matmul(right), X @ right, rtol=0, atol=1e-12 * (1 + np.abs(X).sum()))
    np.testing.assert_allclose(A.rmatmul(left), X.T @ left, rtol=0, atol=1e-12 * (1 + np.abs(X).sum()))


@every_storage
def test_the_matrix_given_is_not_modified(specimen: Specimen, tmp_path: Path) -> None:
    X = specimen.build(tmp_path)
    before = parts(X)
    A = qi.as_sq_matrix(X)
    A.sample_cols(A.sample_rows(10, rng=0), rng=0)
    A.rows([0])[0, 0] = 123.0
    norms = A.row_norms()
    norms[:] = 0.0
    after = parts(X)
    for was, is_now in zip(before, after, strict=True):
        np.testing.assert_array_equal(was, is_now)
    assert A.row_norms().any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_array_in_order_is_used_in_place(dtype: type) -> None:
    X = QUARTERS.astype(dtype)
    A = qi.as_sq_matrix(X)
    X[8, 1] = 2.5
    assert A.query([8], [1]) == [2.5]


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "Fortran float32": lambda X: np.asfortranarray(X.astype(np.float32)),
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "int8": lambda X: X.astype(np.int8),
    "Fortran int16": lambda X: np.asfortranarray(X.astype(np.int16)),
    "float16": lambda X: X.astype(np.float16),
    "big-endian": lambda X: X.astype(">f8"),
    "long double": lambda X: X.astype(np.longdouble),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_of_any_layout_and_type_is_used_in_place(layout: str) -> None:
    X = LAYOUTS[layout](QUARTERS)
    A = qi.as_sq_matrix(X)
    X[8, 1] = 3.0
    assert A.query([8], [1]) == [3.0]
    assert A.rows([8])[0, 1] == 3.0


def extra_bytes(X: Any) -> int:
    """Return the most memory that an index takes on its way."""
    qi.as_sq_matrix(X[: len(X) // 100] if isinstance(X, np.ndarray) else X[:100])  # compiled before it is watched
    tracemalloc.start()
    try:
        qi.as_sq_matrix(X)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_index_of_an_array_takes_no_more_than_16_bytes_a_row(layout: str) -> None:
    rows = 300_000
    X = LAYOUTS[layout](np.tile(np.arange(1.0, 9.0), (rows, 1)))
    assert extra_bytes(X) < 16 * rows + 3_000_000  # and pieces that are converted, which do not grow with the matrix


@pytest.mark.parametrize("dtype", [np.float64, np.int8])
def test_the_index_of_a_csr_matrix_takes_nothing_for_an_entry(dtype: type) -> None:
    rows, length = 100_000, 20
    indices = np.tile(np.arange(length, dtype=np.int32), rows)
    X = sp.csr_array((np.ones(len(indices), dtype), indices, np.arange(0, len(indices) + 1, length)), shape=(rows, 50))
    assert extra_bytes(X) < 20 * rows + 3_000_000


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("pointer_type", [np.int32, np.int64])
def test_the_indices_of_a_csr_matrix_are_not_copied_whatever_their_type(index_type: type, pointer_type: type) -> None:
    X = sp.csr_array(QUARTERS)
    X.indices, X.indptr = X.indices.astype(index_type), X.indptr.astype(pointer_type)
    A = qi.as_sq_matrix(X)
    assert isinstance(A, CSRMatrix)
    assert np.shares_memory(A._indices, X.indices)
    assert A._indices.dtype == index_type
    assert A._indptr.dtype == np.int64


def test_not_even_what_scipy_remembers_of_a_matrix_is_changed() -> None:
    X = sp.csr_array(QUARTERS)
    before = dict(vars(X))
    A = qi.as_sq_matrix(X)
    A.query([0], [0])
    A.matmul(np.ones((12, 1)))
    assert vars(X).keys() == before.keys()
    assert all(vars(X)[name] is before[name] for name in before)


def test_a_read_only_map_of_a_file_is_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", QUARTERS)
    writer = np.load(tmp_path / "X.npy", mmap_mode="r+")
    A = qi.as_sq_matrix(np.load(tmp_path / "X.npy", mmap_mode="r"))
    writer[8, 1] = 2.5
    assert A.query([8], [1]) == [2.5]


def test_the_arrays_of_a_canonical_csr_matrix_are_shared() -> None:
    X = sp.csr_array(QUARTERS)
    A = qi.as_sq_matrix(X)
    X.data[0] = 2.75
    assert 2.75 in A.rows([0]).data


def test_an_object_with_access_is_returned_unchanged() -> None:
    A = qi.as_sq_matrix(QUARTERS)
    counted = qi.CountingMatrix(A)
    assert qi.as_sq_matrix(A) is A
    assert qi.as_sq_matrix(counted) is counted


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize(
    ("rows", "cols"),
    [
        (np.array([8, 0, 2]), np.array([1, 0, 2])),
        (np.array([[8], [0]]), np.array([[0, 1, 5]])),
        (np.array(8), np.array([1, 2])),
        (np.array([], dtype=int), np.array([], dtype=int)),
        (np.zeros((3, 1), dtype=int), np.zeros((1, 0), dtype=int)),
        (np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]])),
        (np.array(8), np.array(11)),
        (np.arange(9, dtype=np.uint8)[:, None], np.arange(12, dtype=np.int8)),
    ],
    ids=["pairs", "grid", "scalar row", "none", "empty grid", "two by two", "two scalars", "small types"],
)
def test_a_query_broadcasts_as_numpy_does(build: Any, rows: np.ndarray, cols: np.ndarray) -> None:
    values = qi.as_sq_matrix(build(QUARTERS)).query(rows, cols)
    wanted = QUARTERS[rows, cols]
    assert np.shape(values) == np.shape(wanted)
    np.testing.assert_array_equal(values, wanted)


MATRICES = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
    elements=st.one_of(st.just(0.0), st.floats(-1e150, 1e150), st.integers(-3, 3).map(float)),
).filter(lambda X: bool(X.any()))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(MATRICES)
def test_dense_and_csr_agree_on_any_matrix(X: np.ndarray) -> None:
    dense, sparse = qi.as_sq_matrix(X), qi.as_sq_matrix(sp.csr_array(X))
    np.testing.assert_allclose(dense.row_norms(), sparse.row_norms(), rtol=8 * EPS)
    assert dense.frobenius_norm == pytest.approx(sparse.frobenius_norm, rel=8 * EPS)
    rows = dense.sample_rows(20, rng=0)
    assert X[rows].any(axis=1).all()
    np.testing.assert_array_equal(dense.sample_cols(rows, rng=1), sparse.sample_cols(rows, rng=1))
    np.testing.assert_array_equal(dense.rows(rows), sparse.rows(rows).toarray())


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 5e-324 * 4, 2.0**-1060])
@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_squares_that_leave_the_range_change_nothing(build: Any, size: float) -> None:
    # The unit is a power of two near the size, so that the quarters scale without rounding.
    unit = 2.0 ** math.ceil(math.log2(size))
    whole = 4.0 * QUARTERS
    A, plain = qi.as_sq_matrix(build(whole * unit)), qi.as_sq_matrix(build(whole))
    np.testing.assert_allclose(A.row_norms(), plain.row_norms() * unit, rtol=20 * EPS, atol=5e-324)
    assert A.frobenius_norm == pytest.approx(plain.frobenius_norm * unit, rel=0.01 if unit < 1e-320 else 1e-14)
    np.testing.assert_array_equal(A.query([0, 8], [0, 11]), np.array([14.0, -1.0]) * unit)
    rows = plain.sample_rows(2000, rng=5)
    np.testing.assert_array_equal(A.sample_cols(rows, rng=6), plain.sample_cols(rows, rng=6))
    draws = A.sample_rows(20_000, rng=7)
    assert oracles.chi_square_p(draws, oracles.law_of(A.row_norms())) > oracles.P_LOWEST


def test_a_row_too_small_to_compare_is_never_drawn_and_the_large_rows_keep_their_law() -> None:
    X = np.array([[3e200, 0.0], [1e-200, 1e-200], [0.0, 4e200], [0.0, 0.0]])
    A = qi.as_sq_matrix(X)
    np.testing.assert_allclose(A.row_norms(), [3e200, math.sqrt(2) * 1e-200, 4e200, 0.0], rtol=4 * EPS)
    assert A.frobenius_norm == pytest.approx(5e200, rel=4 * EPS)
    draws = A.sample_rows(10_000, rng=0)
    assert oracles.chi_square_p(draws, np.array([9.0, 0.0, 16.0, 0.0]) / 25) > oracles.P_LOWEST
    assert set(A.sample_cols(np.full(100, 1), rng=0).tolist()) == {0, 1}


def test_zero_rows_and_zero_columns_never_come_up_in_a_million_draws() -> None:
    A = qi.as_sq_matrix(QUARTERS)
    rows = A.sample_rows(10**6, rng=0)
    assert not np.isin(3, rows)
    assert not np.isin(5, A.sample_cols(rows, rng=1))


def test_the_same_seed_gives_the_same_draws_and_another_seed_gives_others() -> None:
    A = qi.as_sq_matrix(QUARTERS)
    np.testing.assert_array_equal(A.sample_rows(100, rng=5), A.sample_rows(100, rng=5))
    assert (A.sample_rows(100, rng=5) != A.sample_rows(100, rng=6)).any()
    generator = np.random.default_rng(0)
    assert (A.sample_rows(100, generator) != A.sample_rows(100, generator)).any()


def test_an_all_zero_matrix_has_norms_and_queries_but_no_draws() -> None:
    for X in (np.zeros((3, 4)), sp.csr_array((3, 4))):
        A = qi.as_sq_matrix(X)
        assert A.frobenius_norm == 0.0
        assert A.row_norms().tolist() == [0.0, 0.0, 0.0]
        assert A.query([2], [3]).tolist() == [0.0]
        with pytest.raises(ZeroMassError, match=r"`A` of shape \(3, 4\) has only zero entries"):
            A.sample_rows(1, rng=0)
        with pytest.raises(ZeroMassError, match=r"row 2 has none to draw"):
            A.sample_cols([2], rng=0)


def test_a_column_of_a_zero_row_is_refused_by_name() -> None:
    with pytest.raises(ZeroMassError, match=r"`rows` must name rows with a non-zero entry; row 3 has none"):
        qi.as_sq_matrix(QUARTERS).sample_cols([0, 3], rng=0)


def test_no_draws_are_an_empty_array() -> None:
    A = qi.as_sq_matrix(QUARTERS)
    assert A.sample_rows(0, rng=0).shape == A.sample_cols([], rng=0).shape == (0,)
    assert A.rows([]).shape == (0, 12)


def test_the_global_random_state_of_numpy_is_neither_read_nor_changed() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    A = qi.as_sq_matrix(QUARTERS)
    first = A.sample_cols(A.sample_rows(50, rng=0), rng=0)
    A.sample_rows(50)
    after = np.random.get_state()  # noqa: NPY002
    assert str(before) == str(after)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(A.sample_cols(A.sample_rows(50, rng=0), rng=0), first)


def test_a_matrix_says_what_it_is() -> None:
    assert repr(qi.as_sq_matrix(QUARTERS)) == "DenseMatrix(shape=(9, 12), dtype=float64, n_stored=108)"
    sparse = qi.as_sq_matrix(sp.csr_array(QUARTERS.astype(np.float32)))
    assert repr(sparse) == f"CSRMatrix(shape=(9, 12), dtype=float32, n_stored={np.count_nonzero(QUARTERS)})"
    assert sparse.entry_bytes == 4 + 4
    assert sparse.index_seconds >= 0.0


@every_storage
@pytest.mark.parametrize("rows_per_block", [1, 4, 100])
def test_blocks_of_rows_are_the_matrix_in_order(rows_per_block: int, specimen: Specimen, tmp_path: Path) -> None:
    A, next_row = qi.as_sq_matrix(specimen.build(tmp_path)), 0
    for start, block in A.row_blocks(rows_per_block):
        assert start == next_row
        assert block.shape[0] == min(rows_per_block, A.shape[0] - start)
        dense = block.toarray() if sp.issparse(block) else block
        np.testing.assert_array_equal(dense, specimen.dense[start : start + rows_per_block])
        next_row += block.shape[0]
    assert next_row == A.shape[0]
