from __future__ import annotations

import copy
import math
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from zoo import QUARTERS, ZOO, Specimen

import qinspired as qi
from qinspired.access import SampleQueryMatrix
from qinspired.access.dynamic import _matrix as _dynamic_matrix
from qinspired.access.dynamic import _reader as _dynamic_reader
from qinspired.access.dynamic import _rows as _dynamic_rows
from qinspired.exceptions import PrecisionWarning, VersionError, ZeroMassError
from qinspired.testing import check_updatable_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

EPS = np.finfo(np.float64).eps
N_DRAWS = 100_000


def assert_is(A: Any, X: np.ndarray) -> None:
    """Compare a dynamic matrix, and the parts it keeps, with the array that it stands for."""
    m, n = X.shape
    assert A.shape == (m, n)
    found = A.to_csr()
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), X)
    assert found.nnz == A.n_stored == np.count_nonzero(X)
    np.testing.assert_array_equal(A.query(np.arange(m)[:, None], np.arange(n)[None, :]), X)
    np.testing.assert_array_equal(A.row_lengths(np.arange(m)), np.count_nonzero(X, axis=1))
    norms = A.row_norms()
    np.testing.assert_allclose(norms, oracles.row_norms(X), rtol=40 * EPS, atol=1e-322)
    np.testing.assert_array_equal(norms == 0.0, ~X.any(axis=1))
    assert A.frobenius_norm == pytest.approx(math.hypot(*X.ravel()), rel=40 * EPS, abs=1e-322)
    np.testing.assert_array_equal(A._sampler.weights(), norms)
    assert_segments_are_apart(A._rows)


def assert_segments_are_apart(rows: Any) -> None:
    firsts, lengths, capacities = rows._pool.extents[: rows.n_rows].T
    assert (lengths <= capacities).all()
    order = np.argsort(firsts, kind="stable")
    order = order[capacities[order] > 0]
    ends = firsts[order] + capacities[order]
    assert (ends[:-1] <= firsts[order][1:]).all()
    assert ends.max(initial=0) <= rows._end <= len(rows._pool.cols)


VALUES = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -2.0, 1e200, 1e-200, 5e-324]), st.floats(-1e150, 1e150))


class AnyUpdates(RuleBasedStateMachine):
    """Calls on a dynamic matrix beside the same calls on an array."""

    @initialize(m=st.integers(0, 4), n=st.sampled_from([1, 5, 70]), start=st.booleans(), seed=st.integers(0, 99))
    def make(self, m: int, n: int, start: bool, seed: int) -> None:
        self.X = np.zeros((m, n))
        self.A = qi.DynamicMatrix((m, n))
        if start and m:
            self.X = self.block(m, seed)
            self.A = qi.DynamicMatrix.from_matrix(self.X)
        self.version = 0

    def block(self, m: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((m, self.X.shape[1])) * 10.0 ** rng.integers(-200, 200, size=(m, 1))
        X[rng.random(X.shape) < rng.random()] = 0.0
        return X

    def follow(self, wanted: np.ndarray) -> None:
        changed = wanted.shape != self.X.shape or (wanted != self.X).any()
        self.version += bool(changed)
        self.X = wanted

    @rule(data=st.data(), count=st.integers(0, 12))
    def update(self, data: Any, count: int) -> None:
        m, n = self.X.shape
        if m == 0:
            return
        rows = data.draw(st.lists(st.integers(0, m - 1), min_size=count, max_size=count))
        cols = data.draw(st.lists(st.integers(0, n - 1), min_size=count, max_size=count))
        values = data.draw(st.lists(VALUES, min_size=count, max_size=count))
        self.A.update(rows, cols, values)
        wanted = self.X.copy()
        for row, col, value in zip(rows, cols, values, strict=True):
            wanted[row, col] = value
        self.follow(wanted)

    @rule(data=st.data())
    def update_a_row(self, data: Any) -> None:
        m, n = self.X.shape
        if m == 0:
            return
        row, value = data.draw(st.integers(0, m - 1)), data.draw(VALUES)
        self.A.update(row, np.arange(n), value)
        wanted = self.X.copy()
        wanted[row] = value
        self.follow(wanted)

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        m, n = self.X.shape
        if m == 0:
            return
        rows = data.draw(st.lists(st.integers(0, m - 1), max_size=2))
        cols = data.draw(st.lists(st.integers(0, n - 1), max_size=30))
        self.A.delete(np.array(rows, dtype=int)[:, None], np.array(cols, dtype=int))
        wanted = self.X.copy()
        wanted[np.ix_(rows, cols)] = 0.0
        self.follow(wanted)

    @rule(data=st.data())
    def delete_rows(self, data: Any) -> None:
        rows = data.draw(st.lists(st.integers(0, max(0, len(self.X) - 1)), max_size=len(self.X)))
        self.A.delete_rows(rows)
        wanted = self.X.copy()
        wanted[rows] = 0.0
        self.follow(wanted)

    @rule(data=st.data(), seed=st.integers(0, 99), form=st.sampled_from([np.array, sp.csr_array, sp.coo_array]))
    def set_rows(self, data: Any, seed: int, form: Any) -> None:
        rows = data.draw(st.lists(st.integers(0, max(0, len(self.X) - 1)), max_size=len(self.X)))
        block = self.block(len(rows), seed)
        self.A.set_rows(rows, form(block))
        wanted = self.X.copy()
        for row, values in zip(rows, block, strict=True):
            wanted[row] = values
        self.follow(wanted)

    @rule(count=st.integers(0, 3), seed=st.integers(0, 99), form=st.sampled_from([np.array, sp.csr_array]))
    def append_rows(self, count: int, seed: int, form: Any) -> None:
        block = self.block(count, seed)
        new = self.A.append_rows(form(block))
        assert new.tolist() == list(range(len(self.X), len(self.X) + count))
        self.follow(np.concatenate([self.X, block]))

    @rule()
    def pickle(self) -> None:
        self.A = pickle.loads(pickle.dumps(self.A))

    @invariant()
    def the_matrix_is_the_array(self) -> None:
        assert self.A.version == self.version
        assert_is(self.A, self.X)


TestAnyUpdates = AnyUpdates.TestCase
TestAnyUpdates.settings = settings(max_examples=60, stateful_step_count=15, deadline=None, derandomize=True)


@pytest.mark.parametrize("specimen", ZOO, ids=str)
def test_a_dynamic_matrix_is_made_of_every_matrix(specimen: Specimen, tmp_path: Path) -> None:
    A = qi.DynamicMatrix.from_matrix(specimen.build(tmp_path))
    assert A.version == 0
    assert A.index_seconds > 0.0
    assert_is(A, specimen.dense.astype(np.float64))


def test_it_keeps_all_rules_of_a_matrix_that_can_change() -> None:
    check_updatable_matrix(lambda: qi.DynamicMatrix.from_matrix(QUARTERS), QUARTERS)


def test_the_matrix_it_is_made_of_is_not_shared() -> None:
    X = sp.csr_array(QUARTERS)
    A = qi.DynamicMatrix.from_matrix(X)
    A.update(0, 0, 99.0)
    np.testing.assert_array_equal(X.toarray(), QUARTERS)
    assert A.query(0, 0) == 99.0


def test_it_starts_from_zeros() -> None:
    A = qi.DynamicMatrix((3, 4))
    assert_is(A, np.zeros((3, 4)))
    assert (A.version, A.index_seconds, A.is_sparse, A.entry_bytes) == (0, 0.0, True, 16)
    assert isinstance(A, SampleQueryMatrix)
    assert repr(A) == "DynamicMatrix(shape=(3, 4), dtype=float64, n_stored=0, version=0)"


def test_a_matrix_without_rows_answers_and_grows() -> None:
    A = qi.DynamicMatrix((0, 4))
    assert_is(A, np.zeros((0, 4)))
    assert A.rows([]).shape == (0, 4)
    assert A.row_norms([]).shape == A.sample_cols([], rng=0).shape == (0,)
    assert A.matmul(np.ones((4, 2))).shape == (0, 2)
    np.testing.assert_array_equal(A.rmatmul(np.ones((0, 2))), np.zeros((4, 2)))
    assert list(A.row_blocks(3)) == []
    with pytest.raises(ZeroMassError):
        A.sample_rows(1, rng=0)
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 0\); got 0"):
        A.update(0, 0, 1.0)
    assert A.append_rows(np.eye(2, 4)).tolist() == [0, 1]
    assert_is(A, np.eye(2, 4))


def test_arguments_broadcast_as_in_numpy() -> None:
    A, X = qi.DynamicMatrix((4, 6)), np.zeros((4, 6))
    for rows, cols, values in (
        (np.arange(4)[:, None], np.arange(3), np.arange(12.0).reshape(4, 3)),
        (1, [3, 4, 5], 7.0),
        ([0, 2], 5, [1, 2]),
        (3, 3, np.float32(0.5)),
        ([], [], []),
    ):
        A.update(rows, cols, values)
        X[np.asarray(rows, dtype=int), np.asarray(cols, dtype=int)] = values
    assert_is(A, X)
    assert A.version == 4


def test_of_an_entry_named_twice_the_last_value_counts() -> None:
    A = qi.DynamicMatrix((2, 3))
    A.update([1, 0, 1, 1], [2, 0, 2, 2], [5.0, 1.0, 0.0, 6.0])
    assert_is(A, np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 6.0]]))
    A.update([1, 1], [2, 2], [7.0, 0.0])
    assert_is(A, np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    A.set_rows([1, 0, 1], [[1.0, 1.0, 1.0], [2.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    assert_is(A, np.array([[2.0, 0.0, 2.0], [0.0, 3.0, 0.0]]))


def test_the_version_grows_by_one_with_each_call_that_changes_something_and_with_no_other() -> None:
    A = qi.DynamicMatrix.from_matrix(QUARTERS)
    for call in (
        lambda: A.update([0, 1], [0, 1], A.query([0, 1], [0, 1])),
        lambda: A.update([], [], []),
        lambda: A.delete(3, np.arange(12)),
        lambda: A.delete_rows([3]),
        lambda: A.delete_rows([]),
        lambda: A.set_rows([5, 4], QUARTERS[[5, 4]]),
        lambda: A.append_rows(np.zeros((0, 12))),
        lambda: A.sample_rows(10, rng=0),
    ):
        call()
        assert A.version == 0
    for version, call in enumerate(
        (
            lambda: A.update([0, 1], [0, 1], [100.0, 101.0]),
            lambda: A.delete(0, 0),
            lambda: A.delete_rows([0, 3]),
            lambda: A.set_rows([3], QUARTERS[:1]),
            lambda: A.append_rows(np.zeros((2, 12))),
        ),
        start=1,
    ):
        call()
        assert A.version == version


def random_history() -> tuple[Any, np.ndarray]:
    """Return a matrix after many updates of every kind, with short and long rows, and its array."""
    rng = np.random.default_rng(5)
    A, X = qi.DynamicMatrix((30, 400)), np.zeros((30, 400))
    for step in range(150):
        size = int(rng.integers(1, 200))
        rows, cols = rng.integers(0, len(X), size), rng.integers(0, 400, size) ** 2 // 400
        values = rng.standard_normal(size) * rng.exponential(size=size) * (rng.random(size) < 0.8)
        if step % 3 == 0:
            values *= 1e9  # replaced or removed later by numbers without this factor
        A.update(rows, cols, values)
        for row, col, value in zip(rows, cols, values, strict=True):
            X[row, col] = value
        if step % 10 == 9:
            gone = rng.integers(0, len(X), 3)
            A.delete_rows(gone)
            X[gone] = 0.0
            block = rng.standard_normal((2, 400)) * (rng.random((2, 400)) < 0.5)
            A.append_rows(sp.csr_array(block))
            X = np.concatenate([X, block])
    large = np.abs(X) > 1e3
    A.update(*np.nonzero(large), X[large] / 1e9)
    X[large] /= 1e9
    A.delete_rows([7])
    X[7] = 0.0
    return A, X


def wrong_laws(law: np.ndarray) -> list[np.ndarray]:
    """Return the laws by size, uniform over the possible items, off by one, and with a tenth of one item moved."""
    first, second = np.argsort(law)[[-1, -2]]
    tilted = law.copy()
    tilted[[first, second]] += 0.1 * law[first] * np.array([-1.0, 1.0])
    return [np.sqrt(law) / np.sqrt(law).sum(), (law > 0) / np.count_nonzero(law), np.roll(law, 1), tilted]


def test_after_long_sequences_of_updates_rows_and_columns_follow_their_laws() -> None:
    A, X = random_history()
    assert_is(A, X)
    law = oracles.law_of_rows(X)
    rows = A.sample_rows(N_DRAWS, rng=1)
    assert oracles.chi_square_p(rows, law) > oracles.P_LOWEST
    assert all(oracles.chi_square_p(rows, wrong) < oracles.P_LOWEST for wrong in wrong_laws(law))
    for row in (
        int(np.argmax(np.count_nonzero(X, axis=1))),
        int(np.argmin(np.count_nonzero(X, axis=1) - 400 * X.any(axis=1))),
    ):
        law = oracles.law_of(X[row])
        cols = A.sample_cols(np.full(N_DRAWS, row), rng=2)
        assert oracles.chi_square_p(cols, law) > oracles.P_LOWEST
        assert all(oracles.chi_square_p(cols, wrong) < oracles.P_LOWEST for wrong in wrong_laws(law))
    law = (X / np.abs(X).max()).ravel() ** 2
    entries = rows * X.shape[1] + A.sample_cols(rows, rng=3)
    assert oracles.chi_square_p(entries, law / law.sum()) > oracles.P_LOWEST


def test_draws_follow_an_update_at_once() -> None:
    A = qi.DynamicMatrix.from_matrix(QUARTERS)
    A.sample_rows(1000, rng=0)
    for row, col in ((4, 7), (0, 11), (8, 0)):
        A.delete_rows(np.arange(9))
        A.update(row, col, 1e-150)
        assert set(A.sample_rows(100, rng=0).tolist()) == {row}
        assert set(A.sample_cols([row] * 100, rng=0).tolist()) == {col}


def test_in_ten_million_draws_no_zero_is_drawn() -> None:
    A, X = random_history()
    rows = A.sample_rows(10_000_000, rng=0)
    cols = np.concatenate([A.sample_cols(part, rng=1 + i) for i, part in enumerate(np.split(rows, 10))])
    drawn = np.bincount(rows * X.shape[1] + cols, minlength=X.size).reshape(X.shape)
    assert not drawn[X == 0.0].any()
    assert drawn.sum() == 10_000_000


def test_norms_after_a_million_updates_that_cancel_are_those_computed_afresh() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((50, 300))
    A = qi.DynamicMatrix.from_matrix(X)
    done = 0
    while done < 1_000_000:
        rows, cols = np.divmod(rng.permutation(X.size)[:7500], 300)
        for values in (1e150, rng.standard_normal(7500) * 1e-150, 0.0, -1e8, rng.standard_normal(7500)):
            A.update(rows, cols, values)
            X[rows, cols] = values
            done += 7500
    rows, cols = np.divmod(np.arange(X.size), 300)
    A.update(rows, cols, 1e150)
    A.update(rows, cols, 1e-150 * X.ravel())
    assert_is(A, 1e-150 * X)
    fresh = qi.as_sq_matrix(1e-150 * X)
    np.testing.assert_allclose(A.row_norms(), fresh.row_norms(), rtol=40 * EPS, atol=0)


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 5e-324])
def test_entries_whose_squares_leave_the_range_of_floats_are_drawn_by_their_law(size: float) -> None:
    A, X = qi.DynamicMatrix((3, 100)), np.zeros((3, 100))
    X[0], X[2, :50] = 2.0, np.arange(50) % 4
    A.update(*np.nonzero(X), size * X[X != 0])
    rows = A.sample_rows(N_DRAWS, rng=0)
    law = oracles.law_of(A.row_norms())
    assert oracles.chi_square_p(rows, law) > oracles.P_LOWEST
    cols = A.sample_cols(np.full(N_DRAWS, 2), rng=1)
    assert oracles.chi_square_p(cols, oracles.law_of(X[2])) > oracles.P_LOWEST
    np.testing.assert_allclose(A.row_norms(), size * oracles.row_norms(X), rtol=40 * EPS, atol=2e-323)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_draws_are_the_same_on_one_thread_and_on_two() -> None:
    A, _ = random_history()
    before, draws = numba.get_num_threads(), []
    try:
        for n_threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(n_threads)
            rows = copy.deepcopy(A).sample_rows(300_000, rng=0)
            draws.append((rows, A.sample_cols(rows, rng=0)))
    finally:
        numba.set_num_threads(before)
    for one, many in zip(draws[0], draws[-1], strict=True):
        np.testing.assert_array_equal(one, many)


def test_products_are_those_of_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dynamic_reader, "_BLOCK_ENTRIES", 1000)
    A, X = random_history()
    rng = np.random.default_rng(0)
    right, left = rng.standard_normal((X.shape[1], 2)), rng.standard_normal((X.shape[0], 3))
    slack = 1e-13 * np.abs(X).sum()
    np.testing.assert_allclose(A.matmul(right), X @ right, rtol=0, atol=slack)
    np.testing.assert_allclose(A.rmatmul(left), X.T @ left, rtol=0, atol=slack)


def test_products_with_too_few_or_too_many_rows_are_refused() -> None:
    A = qi.DynamicMatrix.from_matrix(QUARTERS)
    for n_rows in (0, 1, 11, 13):
        with pytest.raises(ValueError, match=rf"`X` must have 12 rows.*got shape \({n_rows}, 2\)"):
            A.matmul(np.ones((n_rows, 2)))
    for n_rows in (0, 1, 8, 10):
        with pytest.raises(ValueError, match=rf"`Y` must have 9 rows.*got shape \({n_rows},\)"):
            A.rmatmul(np.ones(n_rows))
    np.testing.assert_array_equal(A.rmatmul([1.0] * 9), QUARTERS.sum(axis=0))


def test_rows_are_read_as_canonical_csr_in_the_order_asked_for() -> None:
    A, X = random_history()
    block = A.rows([5, 0, 5, 7])
    assert isinstance(block, sp.csr_array)
    assert block.has_canonical_format
    np.testing.assert_array_equal(block.toarray(), X[[5, 0, 5, 7]])
    for start, part in A.row_blocks(11):
        np.testing.assert_array_equal(part.toarray(), X[start : start + 11])


def test_copies_and_pickles_are_independent_and_draw_alike() -> None:
    A, X = random_history()
    for twin in (pickle.loads(pickle.dumps(A)), copy.deepcopy(A), copy.copy(A)):
        assert twin.version == A.version
        assert_is(twin, X)
        np.testing.assert_array_equal(twin.sample_rows(100, rng=0), A.sample_rows(100, rng=0))
        np.testing.assert_array_equal(twin.sample_cols([0] * 50, rng=0), A.sample_cols([0] * 50, rng=0))
        twin.update(0, np.flatnonzero(X[0])[:2], [99.0, 0.0])
        assert_is(A, X)
        twin.update(np.zeros(400, dtype=int), np.arange(400), 1.0)
        twin.append_rows(np.ones((3, 400)))
        assert_is(A, X)


BAD_INDICES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "row too large": (lambda A: A.update([0, 9], 0, 1.0), IndexError, "9. `append_rows` adds rows."),
    "row negative": (lambda A: A.update(-1, 0, 1.0), IndexError, r"`rows` must hold indices in \[0, 9\); got -1"),
    "column too large": (lambda A: A.update(0, 12, 1.0), IndexError, "got 12. The number of columns is fixed."),
    "column negative": (lambda A: A.update(0, -1, 1.0), IndexError, r"`cols` must hold indices in \[0, 12\); got -1"),
    "row float": (lambda A: A.update([0.0], 0, 1.0), TypeError, "`rows` must hold integer indices"),
    "column bool": (lambda A: A.update(0, [True], 1.0), TypeError, "`cols` must hold integer indices"),
    "shapes": (
        lambda A: A.update([0, 1], [0, 1, 2], 1.0),
        ValueError,
        r"`rows`, `cols` and `values` must broadcast to one shape; got shapes \(2,\), \(3,\) and \(\)",
    ),
    "shape of values": (lambda A: A.update([0, 1], [0, 1], [1.0] * 3), ValueError, "must broadcast to one shape"),
    "delete": (lambda A: A.delete(0, 12), IndexError, r"`cols` must hold indices in \[0, 12\)"),
    "delete_rows": (lambda A: A.delete_rows([0, 9]), IndexError, "got 9. `append_rows` adds rows"),
    "delete_rows scalar": (lambda A: A.delete_rows(0), ValueError, "`rows` must be 1-dimensional"),
    "set_rows": (lambda A: A.set_rows([0, -1], np.ones((2, 12))), IndexError, "got -1"),
}
BAD_VALUES: dict[str, tuple[Any, type[Exception], str]] = {
    "NaN": (
        [[1.0, np.nan]],
        ValueError,
        r"`values` must be finite.*values\[0, 1\] is nan. `delete` removes",
    ),
    "inf": (np.inf, ValueError, "`values` must be finite.*it is inf"),
    "-inf": ([-np.inf], ValueError, r"values\[0\] is -inf"),
    "None": (None, TypeError, "`values` must be an array of numbers; got NoneType"),
    "complex": (1j, ValueError, "`values` must be real; got complex"),
    "string": ("a", ValueError, "`values` must be numeric"),
    "date": (np.datetime64("2020-01-01"), TypeError, "`values` must be numeric"),
    "masked": (np.ma.masked_equal([1.0], 3), TypeError, "`values` must not be a masked"),
    "ragged": ([[1.0], [1.0, 2.0]], ValueError, "`values` must be an array of numbers; setting"),
}
BAD_BLOCKS: dict[str, tuple[Any, type[Exception], str]] = {
    "narrow": (np.ones((2, 5)), ValueError, r"`block` must have 12 columns, as the matrix has; got shape \(2, 5\)"),
    "wide": (sp.csr_array((2, 13)), ValueError, r"`block` must have 12 columns.*got shape \(2, 13\)"),
    "wide without rows": (np.ones((0, 13)), ValueError, "`block` must have at least one row"),
    "NaN": (np.full((2, 12), np.nan), ValueError, r"`block` must be finite.*block\[0, 0\] = nan"),
    "inf": (sp.csr_array(np.full((2, 12), np.inf)), ValueError, "`block` must be finite"),
    "vector": (np.ones(12), ValueError, "`block` must be 2-dimensional"),
    "complex": (np.full((2, 12), 1j), ValueError, "`block` must be real"),
    "row overflow": ([[1.7e308] * 12] * 2, ValueError, "`block` must leave every row norm below 1.8e308; that of row"),
    "overflow": (1.7e308 * np.eye(2, 12), ValueError, "`block` must leave the Frobenius norm below 1.8e308"),
}
OTHERS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "set_rows length": (
        lambda A: A.set_rows([0], np.ones((2, 12))),
        ValueError,
        r"`block` must have a row for each of the 1 given rows; got shape \(2, 12\)",
    ),
    "row overflow": (
        lambda A: A.update(3, [0, 1], 1.7e308),
        ValueError,
        "`values` must leave every row norm below 1.8e308; that of row 3 would overflow. Divide the matrix",
    ),
    "overflow": (
        lambda A: A.update([3, 4], 0, 1.7e308),
        ValueError,
        "`values` must leave the Frobenius norm below 1.8e308; it would overflow. Divide the matrix",
    ),
}
BAD_CALLS = {
    **BAD_INDICES,
    **{f"values {name}": (lambda A, v=v: A.update(0, [1], v), *rest) for name, (v, *rest) in BAD_VALUES.items()},
    **{f"set_rows {name}": (lambda A, b=b: A.set_rows([3, 4], b), *rest) for name, (b, *rest) in BAD_BLOCKS.items()},
    **{f"append_rows {name}": (lambda A, b=b: A.append_rows(b), *rest) for name, (b, *rest) in BAD_BLOCKS.items()},
    **OTHERS,
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_call_is_refused_and_changes_nothing(name: str) -> None:
    call, error, message = BAD_CALLS[name]
    A = qi.DynamicMatrix.from_matrix(QUARTERS)
    with pytest.raises(error, match=message):
        call(A)
    assert A.version == 0
    assert_is(A, QUARTERS)
    A.update(0, 0, 50.0)
    assert set(A.sample_rows(50, rng=0).tolist()) <= set(range(9)) - {3}


def test_a_number_beyond_float64_is_refused() -> None:
    A = qi.DynamicMatrix((1, 1))
    too_large = np.longdouble("1e400")
    if not np.isfinite(too_large) or np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("longdouble is float64 here")
    with pytest.warns(PrecisionWarning), pytest.raises(ValueError, match=r"`values` must be finite.*it is inf"):
        A.update(0, 0, too_large)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((3, 0), ValueError, r"`shape\[1\]` must be an integer >= 1; got 0"),
        ((-1, 3), ValueError, r"`shape\[0\]` must be an integer >= 0; got -1"),
        ((3, 4.0), TypeError, r"`shape\[1\]` must be an integer >= 1; got 4.0"),
        ((True, 3), TypeError, r"`shape\[0\]` must be an integer >= 0; got True"),
        ((3,), TypeError, r"`shape` must be a pair of integers \(m, n\); got \(3,\)"),
        (3, TypeError, r"`shape` must be a pair of integers"),
        ("ab", TypeError, r"`shape` must be a pair of integers"),
    ],
)
def test_a_bad_shape_is_refused(shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.DynamicMatrix(shape)


def test_a_bad_matrix_to_start_from_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`X` must be finite.*X\[0, 1\] = nan"):
        qi.DynamicMatrix.from_matrix([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"`X` must have at least one row"):
        qi.DynamicMatrix.from_matrix(np.ones((0, 3)))
    with pytest.raises(ValueError, match=r"`X` must leave every row norm below 1.8e308; that of row 1"):
        qi.DynamicMatrix.from_matrix([[1.0, 1.0], [1.7e308, 1.7e308]])
    with pytest.raises(ValueError, match=r"`X` must leave the Frobenius norm below 1.8e308"):
        qi.DynamicMatrix.from_matrix([[1.5e308], [1.5e308]])


def test_what_has_only_zeros_is_not_drawn_from() -> None:
    A = qi.DynamicMatrix((3, 4))
    with pytest.raises(ZeroMassError, match=r"`A` of shape \(3, 4\) has only zero entries.*by `update`"):
        A.sample_rows(1, rng=0)
    A.update(1, 2, 3.0)
    with pytest.raises(ZeroMassError, match=r"row 2 has none to draw"):
        A.sample_cols([1, 2], rng=0)
    assert A.sample_rows(2, rng=0).tolist() == [1, 1]
    A.delete(1, 2)
    with pytest.raises(ZeroMassError, match=r"only zero entries"):
        A.sample_rows(1, rng=0)
    with pytest.raises(ValueError, match=r"`n_draws` must be an integer >= 0; got -1"):
        A.sample_rows(-1)


# All change more than one thing, but the last one, which puts an entry into a row that is long enough for groups.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "update": lambda A: A.update([0, 0, 2, 5, 5, 5, 8], [0, 5, 5, 1, 2, 3, 11], [0.0, 9.0, 9.0, 1e9, 0.0, -1e9, 4.0]),
    "set_rows": lambda A: A.set_rows([8, 0, 3], np.arange(36.0).reshape(3, 12)),
    "delete_rows": lambda A: A.delete_rows([0, 8]),
    "append_rows": lambda A: A.append_rows(np.arange(36.0).reshape(3, 12)),
    "update of a long row": lambda A: A.update(0, 50, 7.0),
}
LONG = np.arange(1.0, 121.0).reshape(2, 60) * (np.arange(60) < 40)


def before_change(name: str) -> np.ndarray:
    return LONG if name == "update of a long row" else QUARTERS


def changed(name: str) -> np.ndarray:
    A = qi.DynamicMatrix.from_matrix(before_change(name))
    CHANGES[name](A)
    return A.to_csr().toarray()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", CHANGES)
def test_an_error_at_any_line_leaves_all_or_nothing(name: str, error: type[BaseException]) -> None:
    before, after, n_lines = before_change(name), changed(name), 0
    while True:
        A = qi.DynamicMatrix.from_matrix(before)
        seen = interrupted(lambda A=A: CHANGES[name](A), n_lines, error)
        X = A.to_csr().toarray()
        if seen:
            assert A.version == 1
            assert_is(A, after)
            break
        n_lines += 1
        assert_is(A, before if A.version == 0 else after)
        CHANGES[name](A)  # nothing is in the way of another try
        assert_is(A, np.concatenate([X, after[9:]]) if name == "append_rows" else after)
    assert n_lines > 40


def interrupted(call: Callable[[], Any], n_lines: int, error: type[BaseException]) -> bool:
    """Raise an error in place of line `n_lines` of the modules that keep the matrix; say whether the call was over."""
    left = n_lines

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        path = Path(frame.f_code.co_filename)
        if path.parent.name != "dynamic" and not path.name.startswith("_dynamic_"):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise error
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except error:
        return False
    finally:
        sys.settrace(before)
    return True


def test_an_undoing_that_is_interrupted_is_done_at_the_next_access(monkeypatch: pytest.MonkeyPatch) -> None:
    A = qi.DynamicMatrix.from_matrix(QUARTERS)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(A._sampler.__class__, "update", interrupt)
        patch.setattr(_dynamic_rows.DynamicRows, "recount", interrupt)
        with pytest.raises(KeyboardInterrupt):
            CHANGES["update"](A)
        assert A.version == 0
    assert_is(A, QUARTERS)


def test_want_of_memory_for_the_pool_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.eye(9, 400)
    A = qi.DynamicMatrix.from_matrix(X)

    def no_memory(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(_dynamic_rows, "_empty_pool", no_memory)
        for call in (
            lambda: A.update(0, np.arange(400), 7.0),
            lambda: A.set_rows([1, 2], np.ones((2, 400))),
            lambda: A.append_rows(np.ones((20, 400))),
        ):
            with pytest.raises(MemoryError):
                call()
            assert A.version == 0
            assert_is(A, X)
    A.append_rows(np.ones((1, 400)))
    assert_is(A, np.concatenate([X, np.ones((1, 400))]))


def test_a_row_longer_than_its_offsets_can_count_is_refused() -> None:
    rows = _dynamic_rows.DynamicRows(1, 2**40)
    with pytest.raises(ValueError, match=r"a row may have at most 1073741824 stored entries; got 1073741825"):
        rows.reserve(np.array([0]), np.array([2**30 + 1]))


def test_entries_are_named_apart_also_where_their_numbers_do_not_fit_into_64_bits() -> None:
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 9, 300), rng.integers(0, 12, 300)
    last = _dynamic_matrix._last_of_each(rows, cols, 12)
    np.testing.assert_array_equal(_dynamic_matrix._last_of_each(rows, cols, 2**62), last)
    wanted = {(row, col): place for place, (row, col) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True))}
    assert last.tolist() == [wanted[entry] for entry in sorted(wanted)]
    A = qi.DynamicMatrix((4, 2**62))
    A.update([3, 1, 3, 3], [2**62 - 1, 0, 7, 2**62 - 1], [1.0, 2.0, 3.0, 4.0])
    assert A.query([3, 3, 1, 1], [2**62 - 1, 7, 0, 7]).tolist() == [4.0, 3.0, 2.0, 0.0]


def test_columns_beyond_32_bits_are_kept() -> None:
    A = qi.DynamicMatrix((2, 2**40))
    A.update([0, 0, 1], [2**40 - 1, 5, 2**33], [3.0, 4.0, 1.0])
    assert A.row_norms().tolist() == [5.0, 1.0]
    assert A.to_csr().indices.tolist() == [5, 2**40 - 1, 2**33]
    assert A.sample_cols([1], rng=0).tolist() == [2**33]
    assert A.query(0, 2**40 - 1) == 3.0


def test_putting_entries_in_one_by_one_moves_each_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = 0
    move = _dynamic_rows.dynamic_move

    def count(pool: Any, new_pool: Any, rows: Any, firsts: Any, capacities: Any) -> None:
        nonlocal moved
        moved += int(pool.extents[rows, 1].sum())
        move(pool, new_pool, rows, firsts, capacities)

    monkeypatch.setattr(_dynamic_rows, "dynamic_move", count)
    for m in (1, 40):  # one long row, and many short ones
        moved, n_entries = 0, 6000
        A = qi.DynamicMatrix((m, 100_000))
        for entry in range(n_entries):
            A.update(entry % m, 16 * entry, 1.0)
        # Rows that double have moved up to 2 entries for each that they hold, and a pool is packed at most twice while
        # its rows double.
        assert moved < 6 * n_entries


def test_room_is_given_back_when_entries_go() -> None:
    A = qi.DynamicMatrix((50, 1000))
    A.update(np.arange(50)[:, None], np.arange(1000), 1.0)
    full = len(A._rows._pool.cols)
    A.delete_rows(np.arange(50))
    A.update([0, 7], [5, 6], 2.0)
    assert len(A._rows._pool.cols) < full / 20
    assert A.n_stored == 2
    assert A.query([0, 7, 7], [5, 6, 5]).tolist() == [2.0, 2.0, 0.0]


def test_updates_and_draws_of_two_threads_never_mix() -> None:
    # Between calls the mass of row 0 is in the left half, or all of it in the right one, and row 1 or row 2 is empty.
    left, right = np.arange(50), np.arange(50, 100)
    A = qi.DynamicMatrix((3, 100))
    rows = np.concatenate([np.zeros(100, dtype=int), [1, 2]])
    cols = np.concatenate([left, right, [0, 0]])
    states = [np.concatenate([np.repeat([1.0, 0.0], 50)[::step], [1.0, 0.0][::step]]) for step in (1, -1)]
    A.update(rows, cols, states[0])
    stop = threading.Event()

    def write() -> int:
        turn = 0
        while not stop.is_set():
            turn += 1
            A.update(rows, cols, states[turn % 2])
        return turn

    def read(seed: int) -> None:
        for turn in range(60):
            drawn = A.sample_cols(np.zeros(5000, dtype=int), rng=seed + turn)
            assert (drawn < 50).all() or (drawn >= 50).all()
            seen = set(A.sample_rows(500, rng=seed + turn).tolist())
            assert not {1, 2} <= seen
            assert A.n_stored == 51
            assert A.matmul(np.ones((100, 1)))[:, 0].tolist() in ([50.0, 1.0, 0.0], [50.0, 0.0, 1.0])
            assert A.row_norms()[1:].sum() == 1.0
            assert pickle.loads(pickle.dumps(A)).n_stored == 51

    with ThreadPoolExecutor(3) as pool:
        writer = pool.submit(write)
        readers = [pool.submit(read, 0), pool.submit(read, 1000)]
        try:
            for reader in readers:
                reader.result()
        finally:
            stop.set()
        assert writer.result() > 10


def test_a_pass_under_way_ends_when_the_matrix_changes() -> None:
    A = qi.DynamicMatrix.from_matrix(QUARTERS)
    A.update(0, 0, 9.0)
    blocks = A.row_blocks(4)
    next(blocks)
    A.update(8, 0, 9.0)
    with pytest.raises(VersionError, match=r"began at version 1 of a matrix that is now at version 2; begin it again"):
        next(blocks)
