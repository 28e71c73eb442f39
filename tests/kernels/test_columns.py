from __future__ import annotations

from typing import Any

import numba
import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qinspired.kernels import _columns, csr_sample_cols, dense_sample_cols

KEY = np.uint64(2**63 + 12345)
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
MATRICES = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.one_of(st.just(0.0), st.just(-0.0), st.floats(-1e300, 1e300)),
)


def csr_draws(X: np.ndarray, rows: np.ndarray, key: np.uint64, index_type: Any = np.int32) -> np.ndarray:
    matrix = sp.csr_array(X)
    return csr_sample_cols(matrix.data, matrix.indices.astype(index_type), matrix.indptr.astype(np.int64), rows, key)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_those_of_the_naive_twin(dtype: type) -> None:
    rng = np.random.default_rng(1)
    X = (rng.standard_normal((20, 15)) * (rng.random((20, 15)) < 0.6)).astype(dtype)
    rows = rng.integers(0, 20, size=300)
    wanted = oracles.sample_cols(X, rows, int(KEY))
    np.testing.assert_array_equal(dense_sample_cols(X, rows, KEY), wanted)
    np.testing.assert_array_equal(csr_draws(X, rows, KEY), wanted)
    np.testing.assert_array_equal(csr_draws(X, rows, KEY, np.int64), wanted)


@EXAMPLES
@given(MATRICES, st.integers(0, 2**64 - 1))
def test_dense_and_csr_draw_the_same_columns_and_never_a_zero(X: np.ndarray, key: int) -> None:
    rows = np.repeat(np.arange(len(X)), 5)
    cols = dense_sample_cols(X, rows, np.uint64(key))
    np.testing.assert_array_equal(cols, csr_draws(X, rows, np.uint64(key)))
    np.testing.assert_array_equal(cols < 0, ~X.any(axis=1)[rows])
    assert X[rows[cols >= 0], cols[cols >= 0]].all()


def test_the_ends_of_the_unit_interval_draw_the_first_and_the_last_entry_that_is_not_zero() -> None:
    for values in ([0.0, 3.0, 1.0, 2.0, 0.0], [0.0, 1e-5, 1e-9, 1.0, 0.0], [0.0, 1e-3, 0.0, 1e-3, 0.0]):
        assert _columns._draw_position(np.array(values), 0.0) == 1
        assert _columns._draw_position(np.array(values), 1.0 - 2.0**-53) == 3


def test_a_row_of_zeros_gives_minus_one() -> None:
    X = np.array([[0.0, 0.0], [0.0, -0.0], [0.0, 1.0]])
    assert dense_sample_cols(X, np.array([0, 1, 2]), KEY).tolist() == [-1, -1, 1]
    assert csr_draws(X, np.array([0, 1, 2]), KEY).tolist() == [-1, -1, 1]


def test_an_explicit_zero_is_not_drawn() -> None:
    data, indices, indptr = np.array([0.0, 2.0, 0.0, 0.0]), np.array([1, 4, 7, 2]), np.array([0, 3, 4])
    cols = csr_sample_cols(data, indices, indptr, np.repeat([0, 1], 50), KEY)
    assert cols.tolist() == [4] * 50 + [-1] * 50


@pytest.mark.parametrize("size", [1e200, 1e-200, 5e-324, 1.7e308])
def test_draws_do_not_depend_on_the_scale_of_a_row(size: float) -> None:
    pattern = np.array([[0.0, 1.0, 1.0, 0.0, 1.0]])
    rows = np.zeros(200, dtype=np.int64)
    np.testing.assert_array_equal(dense_sample_cols(pattern * size, rows, KEY), dense_sample_cols(pattern, rows, KEY))


def test_each_draw_owns_a_stream_so_a_longer_batch_starts_with_the_shorter() -> None:
    X = np.ones((2, 50))
    rows = np.tile([0, 1], 60)
    np.testing.assert_array_equal(dense_sample_cols(X, rows, KEY)[:30], dense_sample_cols(X, rows[:30], KEY))


def test_the_columns_of_a_key_have_not_changed() -> None:
    X = np.arange(1.0, 11.0)[None, :]
    assert dense_sample_cols(X, np.zeros(12, dtype=np.int64), np.uint64(42)).tolist() == [
        8,
        6,
        5,
        9,
        9,
        7,
        9,
        6,
        6,
        8,
        9,
        8,
    ]


def test_no_rows_give_no_columns() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert len(dense_sample_cols(np.ones((2, 3)), nothing, KEY)) == 0
    assert len(csr_draws(np.ones((2, 3)), nothing, KEY)) == 0


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_columns_are_the_same_on_one_thread_and_on_two(threads: None) -> None:
    rng = np.random.default_rng(2)
    X, rows = rng.standard_normal((40, 30)), rng.integers(0, 40, size=2000)
    numba.set_num_threads(1)
    serial = dense_sample_cols(X, rows, KEY)
    numba.set_num_threads(2)
    assert _columns.worth_threads(X.shape[1] * len(rows))
    np.testing.assert_array_equal(dense_sample_cols(X, rows, KEY), serial)
    np.testing.assert_array_equal(csr_draws(X, rows, KEY), serial)
