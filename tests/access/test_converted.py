from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import qinspired as qi
from qinspired import _exact
from qinspired.access import _converted, _row_reader
from qinspired.exceptions import PrecisionWarning, QInspiredWarning

if TYPE_CHECKING:
    from collections.abc import Callable

EPS = np.finfo(np.float64).eps

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran": np.asfortranarray,
    "big-endian": lambda X: X.astype(">f8"),
    "Fortran big-endian": lambda X: np.asfortranarray(X.astype(">f8")),
    "every other row of Fortran": lambda X: np.asfortranarray(np.repeat(X, 2, axis=0))[::2],
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "long double": lambda X: X.astype(np.longdouble),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)

ENTRIES = st.one_of(st.just(0.0), st.floats(-1e300, 1e300), st.integers(-3, 3).map(float))
MATRICES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=ENTRIES).filter(
    lambda X: bool(X.any())
)


@every_layout
@settings(max_examples=40, deadline=None, derandomize=True)
@given(X=MATRICES)
def test_a_layout_changes_no_answer(layout: str, X: np.ndarray) -> None:
    A, plain = qi.as_sq_matrix(LAYOUTS[layout](X)), qi.as_sq_matrix(X)
    np.testing.assert_allclose(A.row_norms(), oracles.row_norms(X), rtol=8 * EPS, atol=1e-323)
    rows = plain.sample_rows(20, rng=0)
    np.testing.assert_array_equal(A.rows(rows), X[rows])
    np.testing.assert_array_equal(A.sample_cols(rows, rng=1), plain.sample_cols(rows, rng=1))


@pytest.mark.parametrize("X", [[[100, 100]], [[-128, 127]]], ids=str)
def test_squares_of_int8_do_not_wrap(X: Any) -> None:
    for order in ("C", "F"):
        array = np.array(X * 3, dtype=np.int8, order=order)
        assert qi.as_sq_matrix(array).row_norms() == pytest.approx([math.hypot(*X[0])] * 3, rel=4 * EPS)
    sparse = sp.csr_array(np.array(X, dtype=np.int8))
    assert qi.as_sq_matrix(sparse).row_norms() == pytest.approx([math.hypot(*X[0])], rel=4 * EPS)


BUILDS: dict[str, Callable[[np.ndarray], Any]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "csr": sp.csr_array,
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**60 + 2**6])
def test_an_integer_that_float64_rounds_is_told(value: int, build: str) -> None:
    X = np.array([[1, 2], [value, 3], [5, 6]], dtype=np.int64)
    with pytest.warns(
        PrecisionWarning, match=r"`A` holds numbers of type int64 that float64 cannot hold exactly"
    ) as told:
        A = qi.as_sq_matrix(BUILDS[build](X))
    assert len(told) == 1
    assert told[0].filename == __file__
    assert A.query([1], [0]) == [float(value)]
    assert issubclass(PrecisionWarning, QInspiredWarning)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("value", [2**53, -(2**53), 2**62, -(2**63), 2**53 + 2, 3 * 2**60])
def test_an_integer_that_float64_holds_is_not(value: int, build: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qi.as_sq_matrix(BUILDS[build](np.array([[1, 2], [value, 3]], dtype=np.int64)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(-(2**63), 2**64 - 1), st.integers(0, 11))
@example(2**63 + 2**10, 0)
@example(2**63 + 2**11, 0)
@example(-(2**63), 0)
def test_exactness_is_that_of_python(value: int, zeros: int) -> None:
    value = value >> zeros << zeros
    dtype = np.int64 if value < 2**63 else np.uint64
    assert _exact.loses_digits(np.array([value], dtype=dtype)) == (int(float(value)) != value)


def test_long_doubles_that_float64_rounds_are_told() -> None:
    if np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant:
        pytest.skip("a long double is a double here")
    third = np.ones((3, 2), dtype=np.longdouble) / np.longdouble(3)
    for X in (third, np.asfortranarray(third)):
        with pytest.warns(PrecisionWarning, match="`A` holds numbers of type .*float64 cannot hold"):
            qi.as_sq_matrix(X)
    huge = np.ones((3, 2), dtype=np.longdouble)
    huge[1, 1] = np.longdouble("1e4000")
    for X in (huge, np.asfortranarray(huge)):
        with pytest.raises(ValueError, match=r"`A` must be finite.*A\[1, 1\] = inf"):
            qi.as_sq_matrix(X)


@every_layout
@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 2.0**-1060])
def test_squares_that_leave_the_range_change_nothing(layout: str, size: float) -> None:
    unit = 2.0 ** math.ceil(math.log2(size))
    X = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [0.0, 5.0, 12.0]]) * unit
    np.testing.assert_allclose(
        qi.as_sq_matrix(LAYOUTS[layout](X)).row_norms(), np.array([5.0, 0.0, 13.0]) * unit, rtol=8 * EPS
    )


@every_layout
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_nan_or_infinity_is_named_with_its_place(layout: str, bad: float) -> None:
    X = np.ones((4, 6))
    X[2, 5] = X[3, 0] = bad
    with pytest.raises(ValueError, match=rf"`A` must be finite.*A\[2, 5\] = {bad}\. Impute or drop it\."):
        qi.as_sq_matrix(LAYOUTS[layout](X))


@pytest.mark.parametrize("dtype", [np.float16, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_nan_or_a_zero_row_of_short_floats_is_seen(dtype: Any, order: Any) -> None:
    X = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]).astype(dtype, order=order)
    assert qi.as_sq_matrix(X).row_norms().tolist() == [math.sqrt(5.0), 0.0, 5.0]
    X[2, 1] = math.inf
    with pytest.raises(ValueError, match=r"A\[2, 1\] = inf"):
        qi.as_sq_matrix(X)


@every_layout
def test_work_done_in_pieces_is_the_same(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).standard_normal((40, 23))
    X[7] = 0.0
    whole = qi.as_sq_matrix(LAYOUTS[layout](X))
    rows = whole.sample_rows(300, rng=0)
    right, left = np.ones((23, 2)), np.ones((40, 3))
    wanted = [
        whole.row_norms(),
        whole.sample_cols(rows, rng=1),
        whole.rows(rows),
        whole.matmul(right),
        whole.rmatmul(left),
    ]
    monkeypatch.setattr(_converted, "_PIECE_ENTRIES", 10)
    monkeypatch.setattr(_converted, "_PANEL", 4)
    monkeypatch.setattr(_row_reader, "_BLOCK_ENTRIES", 100)
    A = qi.as_sq_matrix(LAYOUTS[layout](X))
    found = [A.row_norms(), A.sample_cols(rows, rng=1), A.rows(rows), A.matmul(right), A.rmatmul(left)]
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=23 * EPS, atol=40 * EPS)


def test_a_csr_matrix_of_integers_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).integers(-100, 100, (40, 23)).astype(np.int8)
    X[7] = 0
    wanted = qi.as_sq_matrix(sp.csr_array(X.astype(np.float64)))
    monkeypatch.setattr(_converted, "_PIECE_ENTRIES", 50)
    monkeypatch.setattr(_row_reader, "_BLOCK_ENTRIES", 100)
    A = qi.as_sq_matrix(sp.csr_array(X))
    np.testing.assert_array_equal(A.row_norms(), wanted.row_norms())
    rows = wanted.sample_rows(300, rng=0)
    np.testing.assert_array_equal(A.sample_cols(rows, rng=1), wanted.sample_cols(rows, rng=1))
    np.testing.assert_array_equal(A.rmatmul(np.ones((40, 2))), X.T.astype(float) @ np.ones((40, 2)))
    assert A.entry_bytes == 1 + 4
    broken = sp.csr_array(X)
    broken.indices[-1] = 23
    with pytest.raises(ValueError, match=r"indices must be in \[0, 23\), got 23"):
        qi.as_sq_matrix(broken)


def test_duplicates_of_int8_are_summed_in_float() -> None:
    X = sp.csr_array((1, 2))
    X.data, X.indices, X.indptr = np.array([100, 100], dtype=np.int8), np.array([1, 1]), np.array([0, 2])
    assert qi.as_sq_matrix(X).rows([0]).toarray().tolist() == [[0.0, 200.0]]


def test_a_product_with_another_type_does_not_convert_the_matrix_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_row_reader, "_BLOCK_ENTRIES", 100)
    X = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    for array in (X, np.asfortranarray(X), sp.csr_array(X)):
        A = qi.as_sq_matrix(array)
        assert A.matmul(np.ones((30, 2))).dtype == np.float64
        np.testing.assert_allclose(A.matmul(np.ones((30, 2))), X.astype(float) @ np.ones((30, 2)), atol=1e-12)
        np.testing.assert_allclose(A.rmatmul(np.ones((40, 2))), X.T.astype(float) @ np.ones((40, 2)), atol=1e-12)
