from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from zoo import QUARTERS

import qinspired as qi
from qinspired.access import AccessCounts, SampleQueryMatrix

LENGTHS = np.count_nonzero(QUARTERS, axis=1)


@pytest.fixture
def dense() -> qi.CountingMatrix:
    return qi.CountingMatrix(qi.as_sq_matrix(QUARTERS))


@pytest.fixture
def sparse() -> qi.CountingMatrix:
    return qi.CountingMatrix(qi.as_sq_matrix(sp.csr_array(QUARTERS)))


def test_nothing_asked_is_nothing_counted(dense: qi.CountingMatrix) -> None:
    assert dense.counts == AccessCounts()
    dense.row_norms()
    dense.row_lengths([0])
    assert (dense.shape, dense.dtype, dense.is_sparse) == ((9, 12), np.float64, False)
    assert dense.frobenius_norm == dense.source.frobenius_norm
    assert dense.index_seconds == dense.source.index_seconds
    assert dense.counts == AccessCounts()


def test_queries_count_the_entries_of_the_broadcast_shape(dense: qi.CountingMatrix) -> None:
    dense.query(np.zeros((3, 1), dtype=int), np.zeros((1, 5), dtype=int))
    assert dense.counts == AccessCounts(entry_queries=15, entries_read=15)


def test_rows_count_their_stored_entries_repeats_included(dense: qi.CountingMatrix, sparse: qi.CountingMatrix) -> None:
    dense.rows([0, 0, 3])
    sparse.rows([0, 0, 3])
    assert dense.counts == AccessCounts(rows_read=3, entries_read=36)
    assert sparse.counts == AccessCounts(rows_read=3, entries_read=2 * int(LENGTHS[0]))


def test_row_draws_read_no_entry(dense: qi.CountingMatrix) -> None:
    dense.sample_rows(7, rng=0)
    assert dense.counts == AccessCounts(row_draws=7)


def test_column_draws_count_the_rows_scanned(dense: qi.CountingMatrix, sparse: qi.CountingMatrix) -> None:
    dense.sample_cols([0, 0, 8], rng=0)
    sparse.sample_cols([0, 0, 8], rng=0)
    assert dense.counts == AccessCounts(column_draws=3, entries_read=36)
    assert sparse.counts == AccessCounts(column_draws=3, entries_read=int(2 * LENGTHS[0] + LENGTHS[8]))


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_products_are_full_passes(name: str, request: pytest.FixtureRequest) -> None:
    A: Any = request.getfixturevalue(name)
    A.matmul(np.ones((12, 1)))
    A.rmatmul(np.ones((9, 1)))
    assert A.counts == AccessCounts(full_passes=2, entries_read=2 * A.n_stored)
    assert A.bytes_read == 2 * A.n_stored * A.entry_bytes


def test_a_call_refused_is_not_counted(dense: qi.CountingMatrix) -> None:
    for call in (lambda: dense.query([99], [0]), lambda: dense.rows([-1]), lambda: dense.sample_rows(-1)):
        with pytest.raises((IndexError, ValueError)):
            call()
    assert dense.counts == AccessCounts()


def test_the_answers_are_those_of_the_source(sparse: qi.CountingMatrix) -> None:
    source = sparse.source
    np.testing.assert_array_equal(sparse.sample_rows(50, rng=1), source.sample_rows(50, rng=1))
    np.testing.assert_array_equal(sparse.sample_cols([0, 8], rng=1), source.sample_cols([0, 8], rng=1))
    np.testing.assert_array_equal(sparse.query([0], [0]), source.query([0], [0]))
    np.testing.assert_array_equal(sparse.rows([8]).toarray(), source.rows([8]).toarray())
    np.testing.assert_array_equal(sparse.matmul(np.eye(12)), source.matmul(np.eye(12)))


def test_a_counted_matrix_has_sample_and_query_access(dense: qi.CountingMatrix) -> None:
    assert isinstance(dense, SampleQueryMatrix)
    assert not isinstance(QUARTERS, SampleQueryMatrix)


def test_going_through_all_blocks_is_one_full_pass(sparse: qi.CountingMatrix) -> None:
    blocks = sparse.row_blocks(4)
    assert sparse.counts == AccessCounts()
    assert sum(block.shape[0] for _, block in blocks) == 9
    assert sparse.counts == AccessCounts(full_passes=1, entries_read=sparse.n_stored)


def test_column_draws_of_an_implicit_matrix_count_what_was_computed() -> None:
    X = np.where(QUARTERS == 0.0, 0.25, QUARTERS)
    norms, rows = np.linalg.norm(X, axis=1), np.zeros(500, dtype=int)
    entries = {"entry_function": lambda rows, cols: X[rows, cols], "entry_bound": np.abs(X).max()}
    drawn = qi.ImplicitMatrix(norms, None, shape=X.shape, **entries)
    read = qi.ImplicitMatrix(norms, lambda rows: sp.csr_array(X)[rows], shape=X.shape)
    for A in (drawn, read):
        counted = qi.CountingMatrix(qi.CountingMatrix(A))
        before = A.entries_computed
        counted.sample_cols(rows, rng=0)
        assert counted.counts.column_draws == 500
        assert counted.counts.entries_read == A.entries_computed - before
    assert 12 <= read.entries_computed <= 24  # row 0 is scanned once for all draws, perhaps after one to learn its kind
    assert drawn.entries_computed != 500 * 12
