from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from derived import A, to_dense
from hypothesis import given, settings
from hypothesis import strategies as st

import qinspired as qi
from qinspired.access import SampleQueryMatrix
from qinspired.exceptions import VersionError, ZeroMassError

N_DRAWS = 60_000
CUTS = ((0, 3), (3, 4), (4, 25), (25, 40))
WHOLE = np.arange(40)


def cut(*builds: Any) -> list[Any]:
    """Return the shards of A, built in turn."""
    return [builds[k % len(builds)](A[low:high]) for k, (low, high) in enumerate(CUTS)]


def single(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float32)


def single_csr(X: np.ndarray) -> Any:
    return sp.csr_array(X.astype(np.float32))


class Updatable:
    """A matrix that can be updated; its update number `fails_at` raises after half of the entries are written."""

    def __init__(self, X: np.ndarray, fails_at: int | None = None, error: type[BaseException] = RuntimeError) -> None:
        self.array = X.copy()
        self.version = 0
        self.fails_at = fails_at
        self.error = error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(qi.as_sq_matrix(self.array), name)

    def update(self, rows: np.ndarray, cols: np.ndarray, values: np.ndarray) -> None:
        number, self.version = self.version, self.version + 1
        count = len(rows) // 2 if number == self.fails_at else len(rows)
        for row, col, value in list(zip(rows, cols, values, strict=True))[:count]:
            self.array[row, col] = value
        if number == self.fails_at:
            raise self.error("the disk is full")


MIXES = {
    "dense": ((np.array,), False, np.float64),
    "csr": ((sp.csr_array,), True, np.float64),
    "dense and csr": ((np.array, sp.csr_array), False, np.float64),
    "float32": ((single,), False, np.float32),
    "csr float32": ((single_csr,), True, np.float32),
    "float32 and float64": ((single, np.array), False, np.float64),
    "csr float32 and float64": ((single_csr, sp.csr_array), True, np.float64),
    "dense float32 and csr float64": ((single, sp.csr_array), False, np.float64),
}
mixes = pytest.mark.parametrize(("builds", "is_sparse", "dtype"), MIXES.values(), ids=MIXES)


@mixes
def test_shards_read_as_the_matrix_that_they_make_up(builds: Any, is_sparse: bool, dtype: type) -> None:
    S = qi.ShardedMatrix(cut(*builds))
    assert isinstance(S, SampleQueryMatrix)
    assert (S.shape, S.is_sparse, S.dtype) == ((40, 24), is_sparse, dtype)
    for rows in (WHOLE, np.array([39, 3, 3, 0, 24, 25]), np.array([], dtype=int)):
        block = S.rows(rows)
        assert sp.issparse(block) == is_sparse
        assert block.dtype == dtype
        np.testing.assert_array_equal(to_dense(block), A[rows])
    entries = S.query(WHOLE[:, None], np.arange(24)[None, :])
    assert entries.dtype == dtype
    np.testing.assert_array_equal(entries, A)
    np.testing.assert_allclose(S.row_norms(), oracles.row_norms(A), rtol=1e-14)
    np.testing.assert_allclose(S.row_norms([30, 3, 30]), oracles.row_norms(A[[30, 3, 30]]), rtol=1e-14)
    assert S.frobenius_norm == pytest.approx(np.linalg.norm(A), rel=1e-14)
    assert S.row_lengths(WHOLE).sum() == S.n_stored == (np.count_nonzero(A) if is_sparse else A.size)
    assert S.entry_bytes == np.dtype(dtype).itemsize + (4 if is_sparse else 0)
    assert S.index_seconds >= 0.0


@mixes
@pytest.mark.parametrize("height", [1, 4, 24, 40, 99])
def test_blocks_of_rows_run_across_the_shards(builds: Any, is_sparse: bool, dtype: type, height: int) -> None:
    S = qi.ShardedMatrix(cut(*builds))
    found = list(S.row_blocks(height))
    assert [start for start, _ in found] == list(range(0, 40, height))
    assert all(block.shape[0] == min(height, 40 - start) for start, block in found)
    assert all(sp.issparse(block) == is_sparse and block.dtype == dtype for _, block in found)
    np.testing.assert_array_equal(np.concatenate([to_dense(block) for _, block in found]), A)


@mixes
def test_products_are_those_of_the_whole(builds: Any, is_sparse: bool, dtype: type) -> None:
    S = qi.ShardedMatrix(cut(*builds))
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((24, 3)).astype(dtype), rng.standard_normal((40, 2)).astype(dtype)
    close = 1000 * np.finfo(np.float32 if "32" in str(S.shards[0].dtype) else np.float64).eps
    np.testing.assert_allclose(S.matmul(X), A @ X, rtol=0, atol=close)
    np.testing.assert_allclose(S.matmul(X[:, 0]), A @ X[:, 0], rtol=0, atol=close)
    np.testing.assert_allclose(S.rmatmul(Y), A.T @ Y, rtol=0, atol=close)
    assert S.matmul(X).dtype == S.rmatmul(Y).dtype == dtype


@mixes
def test_rows_and_columns_are_drawn_by_the_law_of_the_whole(builds: Any, is_sparse: bool, dtype: type) -> None:
    S = qi.ShardedMatrix(cut(*builds))
    law = oracles.law_of_rows(A)
    rows = S.sample_rows(N_DRAWS, rng=0)
    assert oracles.chi_square_p(rows, law) > oracles.P_LOWEST
    entries = rows * 24 + S.sample_cols(rows, rng=1)
    assert oracles.chi_square_p(entries, oracles.law_of(A.ravel())) > oracles.P_LOWEST
    # The twins: shards that are drawn by size and not by its square, or all alike; and draws tied to their order.
    within = np.concatenate([oracles.law_of_rows(A[low:high]) for low, high in CUTS])
    sizes = np.array([np.linalg.norm(A[low:high]) for low, high in CUTS])
    for weights in (sizes, np.ones(4)):
        wrong = within * np.repeat(weights / weights.sum(), [high - low for low, high in CUTS])
        assert oracles.chi_square_p(rows, wrong) < oracles.P_LOWEST
    pairs = rows[0::2] * 40 + rows[1::2]
    assert oracles.chi_square_p(pairs, np.outer(law, law).ravel()) > oracles.P_LOWEST
    assert oracles.chi_square_p(np.sort(rows)[0::2] * 40 + np.sort(rows)[1::2], np.outer(law, law).ravel()) < 1e-6


def test_the_same_seed_gives_the_same_draws_on_any_number_of_threads() -> None:
    import numba

    tall = np.tile(A, (300, 1))
    S = qi.ShardedMatrix([tall[:5000], tall[5000:]])
    before = numba.get_num_threads()
    try:
        draws = []
        for n_threads in (1, before):
            numba.set_num_threads(n_threads)
            rows = S.sample_rows(30_000, rng=5)
            draws.append((rows, S.sample_cols(rows, rng=6)))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(draws[0], draws[1])


@pytest.mark.parametrize("unit", [1e200, 1e-200, 1e300, 1e-300])
def test_no_scale_of_the_shards_overflows(unit: float) -> None:
    S = qi.ShardedMatrix([X * unit for X in cut(np.array)])
    assert S.frobenius_norm / unit == pytest.approx(np.linalg.norm(A), rel=1e-12)
    assert oracles.chi_square_p(S.sample_rows(N_DRAWS, rng=0), oracles.law_of_rows(A)) > oracles.P_LOWEST


def test_a_shard_of_a_scale_beyond_the_others_is_all_that_is_drawn() -> None:
    S = qi.ShardedMatrix([A, A * 1e200, A * 1e-200])
    draws = S.sample_rows(1000, rng=0)
    assert ((draws >= 40) & (draws < 80)).all()


def test_a_row_is_found_in_its_shard() -> None:
    S = qi.ShardedMatrix(cut(np.array))
    shards, local = S.locate(WHOLE)
    np.testing.assert_array_equal(shards, np.repeat([0, 1, 2, 3], [3, 1, 21, 15]))
    np.testing.assert_array_equal(local, np.concatenate([np.arange(high - low) for low, high in CUTS]))
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 40\); got 40"):
        S.locate([40])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_cut_reads_as_the_whole(heights: list[int], n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=(sum(heights), n)).astype(np.float64)
    parts = [rng.choice([np.array, sp.csr_array])(part) for part in np.split(X, np.cumsum(heights)[:-1])]
    S = qi.vstack(parts)
    rows = rng.integers(0, len(X), 7)
    np.testing.assert_array_equal(to_dense(S.rows(rows)), X[rows])
    np.testing.assert_array_equal(np.concatenate([to_dense(b) for _, b in S.row_blocks(2)]), X)
    if X.any():
        draws = S.sample_rows(20, rng=seed)
        assert X[draws, S.sample_cols(draws, rng=seed)].all()


def test_derived_matrices_and_shards_of_shards_are_shards_too() -> None:
    nested = qi.vstack([qi.vstack([A[:5], A[5:10]]), qi.centred(A[10:]), qi.transpose(A[:, :24].T.copy())])
    wanted = np.vstack([A[:10], A[10:] - A[10:].mean(axis=0), A])
    np.testing.assert_allclose(nested.rows(np.arange(80)), wanted, atol=1e-14)
    assert oracles.chi_square_p(nested.sample_rows(N_DRAWS, rng=0), oracles.law_of_rows(wanted)) > oracles.P_LOWEST


def test_low_rank_of_shards_is_that_of_the_whole() -> None:
    approx = qi.low_rank(qi.vstack(cut(np.array, sp.csr_array)), 3, method="exact")
    np.testing.assert_allclose(approx.singular_values, np.linalg.svd(A, compute_uv=False)[:3], rtol=1e-12)


@pytest.mark.parametrize(
    ("shards", "error", "message"),
    [
        ([], ValueError, "`shards` must have at least one matrix; got none"),
        (np.zeros((2, 3, 3)), TypeError, "`shards` must be a list or tuple of matrices; got ndarray"),
        (qi.as_sq_matrix(A), TypeError, "`shards` must be a list or tuple of matrices; got DenseMatrix"),
        ("shards", TypeError, "`shards` must be a list or tuple"),
        ([A, A[:, :20]], ValueError, "same number of columns; shard 0 has 24 and shard 1 has 20"),
        ([np.full((2, 2), 8e307), np.full((2, 2), 8e307)], ValueError, "Frobenius norm below 1.8e308 together"),
    ],
)
def test_shards_that_make_no_matrix_are_refused(shards: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.vstack(shards)


@pytest.mark.parametrize(
    "bad", [b"text", np.array([[np.nan]]), np.zeros((0, 24)), object(), np.ma.masked_array([[1.0]])]
)
def test_a_shard_that_is_no_matrix_is_named(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        qi.vstack([A, bad])
    assert caught.value.__notes__ == ["raised by shard 1 of 2"]


def test_shards_of_zeros_are_read_but_not_drawn_from() -> None:
    S = qi.vstack([np.zeros((2, 3)), sp.csr_array((2, 3))])
    assert not S.rows(np.arange(4)).any()
    with pytest.raises(ZeroMassError, match=r"`A` of shape \(4, 3\) has only zero entries"):
        S.sample_rows(1, rng=0)
    with pytest.raises(ZeroMassError, match="row 1 has none") as caught:
        S.sample_cols([3], rng=0)
    assert caught.value.__notes__ == ["raised by shard 1 of 2; it counts its rows from 0"]
    T = qi.vstack([np.zeros((2, 3)), np.eye(3)])
    assert T.sample_rows(100, rng=0).min() >= 2


def test_static_shards_have_version_zero_and_an_answer_from_them_holds() -> None:
    S = qi.vstack([A, A])
    assert S.version == 0
    assert qi.as_sq_matrix(S).shape == (80, 24)


def test_changes_made_to_a_shard_are_seen() -> None:
    shard = Updatable(A[:20])
    S = qi.vstack([shard, A[20:]])
    pinned = qi.as_sq_matrix(S)
    S.sample_rows(10, rng=0)
    X = A.copy()
    X[2, 9] = 50.0
    shard.update(np.array([2]), np.array([9]), np.array([50.0]))
    assert S.version == 1
    np.testing.assert_array_equal(S.rows(WHOLE), X)
    assert S.frobenius_norm == pytest.approx(np.linalg.norm(X), rel=1e-14)
    draws = S.sample_rows(N_DRAWS, rng=1)
    assert oracles.chi_square_p(draws, oracles.law_of_rows(X)) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of_rows(A)) < oracles.P_LOWEST
    with pytest.raises(VersionError, match="now at version 1"):
        pinned.sample_rows(1, rng=0)


def test_updates_are_routed_to_the_shards_that_hold_the_rows() -> None:
    shards = cut(Updatable)
    S = qi.vstack(shards)
    X = A.copy()
    rows, cols, values = np.array([39, 0, 3, 10]), np.array([1, 2, 3, 4]), np.array([5.0, 6.0, 7.0, 0.0])
    X[rows, cols] = values
    S.update(rows, cols, values)
    np.testing.assert_array_equal(S.rows(WHOLE), X)
    assert S.version == 4
    S.update([[0], [30]], [5, 6], 2.5)  # broadcast
    X[np.ix_([0, 30], [5, 6])] = 2.5
    np.testing.assert_array_equal(S.rows(WHOLE), X)
    S.update([], [], [])
    assert S.version == 6


@pytest.mark.parametrize(
    ("rows", "cols", "values", "error", "message"),
    [
        ([0, 39], [0, 0], [1.0, np.nan], ValueError, r"`values` must be finite.*values\[1\] = nan"),
        ([0, 39], [0, 0], [np.inf, 1.0], ValueError, "`values` must be finite"),
        ([0, 39], [0, 0], ["a", "b"], ValueError, "`values` must be numeric"),
        ([0, 40], [0, 0], [1.0, 1.0], IndexError, r"`rows` must hold indices in \[0, 40\)"),
        ([0, -1], [0, 0], [1.0, 1.0], IndexError, r"`rows` must hold indices in \[0, 40\)"),
        ([0, 39], [0, 24], [1.0, 1.0], IndexError, r"`cols` must hold indices in \[0, 24\)"),
        ([0, 39], [0.5, 1.0], [1.0, 1.0], TypeError, "`cols` must hold integer"),
        ([0, 39], [0, 1], [1.0, 1.0, 1.0], ValueError, r"got shapes \(2,\), \(2,\) and \(3,\)"),
    ],
)
def test_bad_updates_change_nothing(rows: Any, cols: Any, values: Any, error: type[Exception], message: str) -> None:
    S = qi.vstack(cut(Updatable))
    with pytest.raises(error, match=message):
        S.update(rows, cols, values)
    assert S.version == 0
    np.testing.assert_array_equal(S.rows(WHOLE), A)


def test_a_static_shard_is_named_before_anything_changes() -> None:
    S = qi.vstack([Updatable(A[:20]), A[20:]])
    with pytest.raises(TypeError, match="shard 1, a DenseMatrix, cannot"):
        S.update([0, 20], [0, 0], [1.0, 1.0])
    assert S.version == 0
    np.testing.assert_array_equal(S.rows(WHOLE), A)
    S.update([0], [0], [1.0])
    assert S.query([0], [0]) == 1.0


@pytest.mark.parametrize("which", [0, 1, 2, 3])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_shard_that_fails_halfway_leaves_no_trace_in_any(which: int, error: type[BaseException]) -> None:
    shards = cut(Updatable)
    shards[which].fails_at, shards[which].error = 0, error
    S = qi.vstack(shards)
    rng = np.random.default_rng(7)
    rows, cols = rng.integers(0, 40, 60), rng.integers(0, 24, 60)
    rows[:4] = [0, 3, 10, 30]
    draws = S.sample_rows(100, rng=0)
    with pytest.raises(error) as caught:
        S.update(rows, cols, rng.standard_normal(60))
    np.testing.assert_array_equal(S.rows(WHOLE), A)
    np.testing.assert_array_equal(S.sample_rows(100, rng=0), draws)
    if issubclass(error, Exception):
        assert caught.value.__notes__[0] == f"raised by shard {which} of 4; it counts its rows from 0"
    S.update(rows, cols, np.arange(60.0))  # and the next update works
    assert S.query(rows[-1], cols[-1]) == 59.0


def test_an_update_that_overflows_only_in_the_whole_is_taken_back() -> None:
    S = qi.vstack([Updatable(A[:20]), Updatable(A[20:])])
    with pytest.raises(ValueError, match=r"Frobenius norm below 1\.8e308 together"):
        S.update([0, 20], [0, 0], [1.5e308, 1.5e308])
    np.testing.assert_array_equal(S.rows(WHOLE), A)


def test_a_shard_that_cannot_be_set_back_is_told() -> None:
    shards = cut(Updatable)
    shards[0].fails_at = 1  # the update that would undo the first
    shards[2].fails_at = 0
    S = qi.vstack(shards)
    with pytest.raises(RuntimeError) as caught:
        S.update([0, 1, 10, 11], [0, 0, 0, 0], [1.0, 2.0, 3.0, 4.0])
    assert caught.value.__notes__[1:] == ["shard 0 could not be set back to its old entries: the disk is full"]


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("sample_rows", lambda S: S.sample_rows(500, rng=0)),
        ("sample_cols", lambda S: S.sample_cols([0, 39], rng=0)),
        ("rows", lambda S: S.rows([0, 39])),
        ("query", lambda S: S.query([0, 39], [0, 0])),
        ("row_norms", lambda S: S.row_norms()),
        ("row_norms", lambda S: S.row_norms([0, 39])),
        ("matmul", lambda S: S.matmul(np.ones((24, 1)))),
        ("rmatmul", lambda S: S.rmatmul(np.ones((40, 1)))),
        ("row_blocks", lambda S: list(S.row_blocks(7))),
    ],
)
def test_a_shard_that_raises_is_named_and_the_next_call_works(method: str, call: Any) -> None:
    class Flaky(Updatable):
        broken = False

        def __getattr__(self, name: str) -> Any:
            if self.broken and name == method:
                raise OSError("the disk is gone")
            return super().__getattr__(name)

    flaky = Flaky(A[20:])
    S = qi.vstack([A[:20], flaky])
    flaky.broken = True
    flaky.version += 1
    with pytest.raises(OSError, match="the disk is gone") as caught:
        call(S)
    assert caught.value.__notes__ == ["raised by shard 1 of 2; it counts its rows from 0"]
    flaky.broken = False
    found, wanted = call(S), call(qi.vstack([A[:20], Flaky(A[20:])]))
    if method == "row_blocks":
        found, wanted = (np.concatenate([block for _, block in part]) for part in (found, wanted))
    np.testing.assert_array_equal(found, wanted)


def test_dynamic_matrices_are_shards_that_change_and_grow() -> None:
    dynamic = [qi.DynamicMatrix.from_matrix(sp.csr_array(part)) for part in (A[:10], A[10:25])]
    S = qi.vstack([*dynamic, sp.csr_array(A[25:])])
    assert S.is_sparse
    X = A.copy()
    X[[0, 24], [9, 9]] = [30.0, -40.0]
    S.update([0, 24], [9, 9], [30.0, -40.0])
    np.testing.assert_array_equal(to_dense(S.rows(WHOLE)), X)
    assert oracles.chi_square_p(S.sample_rows(N_DRAWS, rng=0), oracles.law_of_rows(X)) > oracles.P_LOWEST
    with pytest.raises(ValueError, match="norm") as caught:
        S.update([0, 24, 24], [0, 0, 1], [1.0, 1.7e308, 1.7e308])  # the second shard's norm would overflow
    assert caught.value.__notes__ == ["raised by shard 1 of 3; it counts its rows from 0"]
    np.testing.assert_array_equal(to_dense(S.rows(WHOLE)), X)
    dynamic[0].append_rows(np.full((2, 24), 20.0))
    grown = np.insert(X, [10, 10], 20.0, axis=0)
    assert S.shape == (42, 24)
    np.testing.assert_array_equal(to_dense(S.rows(np.arange(42))), grown)
    assert oracles.chi_square_p(S.sample_rows(N_DRAWS, rng=1), oracles.law_of_rows(grown)) > oracles.P_LOWEST


@pytest.mark.parametrize("height", [5, 7])
def test_a_factor_of_another_height_is_refused(height: int) -> None:
    with pytest.raises(ValueError, match=r"with one row for each of the 6 rows of the matrix; got shape"):
        qi.vstack([np.eye(3), sp.csr_array(np.eye(3))]).rmatmul(np.ones((height, 2)))


def test_shards_too_long_to_be_read_are_approximated_from_entries() -> None:
    problem = qi.problems.virtual_low_rank_matrix((10**9, 10**9), 0.5 ** np.arange(8))
    A = qi.ImplicitMatrix(**problem.access)
    stacked = qi.vstack([A, qi.CountingMatrix(A)])
    assert not stacked.whole_rows
    assert qi.vstack([np.eye(3)]).whole_rows
    approx = qi.low_rank(stacked, 2, tolerance=0.5, rng=0)
    assert approx.method == "fkv"
    assert approx.excess.high <= 0.5
