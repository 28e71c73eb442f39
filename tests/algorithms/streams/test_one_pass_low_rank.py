from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from row_streams import assert_certified, noisy

import qinspired as qi
from qinspired.algorithms.approximation._frequent_directions import frequent_directions, sketch_size


def streamed(X, rank, tolerance):
    A = qi.CountingMatrix(qi.as_sq_matrix(X))
    return A, frequent_directions(A, rank, tolerance)


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.03])
@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_array, lambda X: X.astype(np.float32)])
def test_one_pass_certifies_the_tolerance(tolerance, as_matrix):
    X = np.random.default_rng(0).standard_normal((500, 120))
    A, approx = streamed(as_matrix(X), 3, tolerance)
    assert approx.excess.high <= tolerance
    assert_certified(X, approx)
    assert approx.components.dtype == A.dtype
    assert (A.counts.full_passes, A.counts.rows_read) == (1, 0)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.floats(0.005, 0.99))
def test_the_size_of_the_sketch_follows_the_law(rank, tolerance):
    size = sketch_size((10**6, 4000), rank, tolerance)
    assert rank <= size <= 512
    if size < 512:
        assert math.sqrt((size + 1) / (size + 1 - rank)) - 1.0 <= tolerance * (1 + 1e-12)
        assert size == rank or math.sqrt(size / (size - rank)) - 1.0 > tolerance * (1 - 1e-12)


def test_the_size_of_the_sketch_has_its_limits():
    assert sketch_size((40, 1000), 10, 0.001) == 40
    assert sketch_size((1000, 30), 10, 0.001) == 30
    assert sketch_size((10**6, 10**4), 400, 0.01) == 800
    assert sketch_size((10**6, 10**6), 10, 0.01) == 67
    with pytest.raises(ValueError, match="`rank` must be at most 3 for rows of 10000000 columns with"):
        sketch_size((10**6, 10**7), 10, 0.01)


def test_a_matrix_whose_rows_may_not_be_read_is_refused():
    X = noisy()
    A = qi.ImplicitMatrix(
        np.linalg.norm(X, axis=1),
        None,
        shape=X.shape,
        entry_function=lambda rows, cols: X[rows, cols],
        entry_bound=float(np.abs(X).max()),
    )
    with pytest.raises(ValueError, match=r"rows that may be read whole for method='frequent_directions'.*method='fkv'"):
        frequent_directions(qi.CountingMatrix(A), 3, 0.1)
