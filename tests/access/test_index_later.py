from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from scipy import stats
from zoo import QUARTERS

import qinspired as qi
from qinspired.access import DenseMatrix, _mapped, has_access
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[DenseMatrix]:
    """Note every index pass over a dense matrix."""
    made: list[DenseMatrix] = []
    compute = DenseMatrix._compute_norms

    def counted(self: DenseMatrix) -> Any:
        made.append(self)
        return compute(self)

    monkeypatch.setattr(DenseMatrix, "_compute_norms", counted)
    return made


def later(X: Any) -> DenseMatrix:
    found = qi.as_sq_matrix(X, index="later")
    assert type(found) is DenseMatrix
    return found


def test_no_pass_is_made_before_norms_or_draws_are_asked_for(passes: list[DenseMatrix]) -> None:
    A = later(QUARTERS.copy())
    np.testing.assert_array_equal(A.rows([3, 1]), QUARTERS[[3, 1]])
    np.testing.assert_array_equal(A.query([0, 8], [0, 11]), [3.5, -0.25])
    np.testing.assert_array_equal(A.matmul(np.eye(12)), QUARTERS)
    np.testing.assert_array_equal(A.rmatmul(np.eye(9)), QUARTERS.T)
    np.testing.assert_array_equal(next(iter(A.row_blocks(9)))[1], QUARTERS)
    A.probe_rows(np.arange(9), np.random.default_rng(0))
    A.sample_cols([0, 0, 1], rng=0)
    assert (A.n_stored, A.shape, A.dtype, A.is_in_memory) == (108, (9, 12), np.float64, True)
    assert "shape=(9, 12)" in repr(A)
    assert (passes, A.has_index, A.index_seconds) == ([], False, 0.0)


@pytest.mark.parametrize(
    "need",
    [
        lambda A: A.row_norms(),
        lambda A: A.row_norms([0]),
        lambda A: A.frobenius_norm,
        lambda A: A.sample_rows(2, rng=0),
    ],
)
def test_the_first_need_of_the_norms_makes_one_pass_and_no_later_one_does(need: Any, passes: list[DenseMatrix]) -> None:
    A = later(QUARTERS.copy())
    need(A)
    assert (passes, A.has_index, A.index_seconds > 0.0) == ([A], True, True)
    seconds = A.index_seconds
    A.row_norms(), A.sample_rows(5, rng=0), A.frobenius_norm
    assert passes == [A]
    assert A.index_seconds == seconds


def test_an_index_made_now_is_there_at_once(passes: list[DenseMatrix]) -> None:
    A = qi.as_sq_matrix(QUARTERS.copy(), index="now")
    assert isinstance(A, DenseMatrix)
    assert (passes, A.has_index) == ([A], True)


def test_norms_that_are_given_are_an_index() -> None:
    A = DenseMatrix(QUARTERS.copy(), np.linalg.norm(QUARTERS, axis=1), index="later")
    assert A.has_index


def test_draws_and_norms_are_those_of_an_index_made_at_once() -> None:
    one, two = later(QUARTERS.copy()), qi.as_sq_matrix(QUARTERS.copy())
    np.testing.assert_array_equal(one.sample_rows(500, rng=3), two.sample_rows(500, rng=3))
    np.testing.assert_array_equal(one.sample_cols([0, 2, 2, 8], rng=4), two.sample_cols([0, 2, 2, 8], rng=4))
    np.testing.assert_array_equal(one.row_norms(), two.row_norms())
    assert one.frobenius_norm == two.frobenius_norm


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_found_when_the_index_is_built_and_again_each_time(value: float) -> None:
    X = QUARTERS.copy()
    X[4, 7] = value
    A = later(X)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"got A\[4, 7\]"):
            _ = A.frobenius_norm
        assert not A.has_index


def test_a_norm_that_overflows_is_refused_when_the_index_is_built() -> None:
    A = later(np.full((3, 4), 1.7e308))
    with pytest.raises(ValueError, match="overflow"):
        A.sample_rows(1, rng=0)


def test_a_matrix_of_zeros_is_known_as_such_when_a_row_is_drawn() -> None:
    with pytest.raises(ZeroMassError):
        later(np.zeros((3, 4))).sample_rows(1, rng=0)


def test_a_mapped_file_may_wait_for_its_index_too(
    tmp_path: Path, passes: list[DenseMatrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mapped, "CHUNK_BYTES", 256)
    np.save(tmp_path / "matrix.npy", QUARTERS)
    A = later(np.load(tmp_path / "matrix.npy", mmap_mode="r"))
    np.testing.assert_array_equal(A.rows([5]), QUARTERS[[5]])
    whole = A.probe_rows(np.arange(9), np.random.default_rng(0))
    assert whole.shape == (9,)
    assert (passes, A.has_index, A.is_in_memory) == ([], False, False)
    np.testing.assert_allclose(A.row_norms(), np.linalg.norm(QUARTERS, axis=1), rtol=1e-15)
    assert passes == [A]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_index_with_a_gradient_is_the_index_and_a_product(dtype: Any) -> None:
    A, b = later(QUARTERS.astype(dtype)), np.arange(9.0)
    gradient = A.index_with_gradient(b)
    assert A.has_index
    assert A.index_seconds > 0.0
    assert gradient is not None
    np.testing.assert_array_equal(gradient, QUARTERS.T @ b)
    at_once = qi.as_sq_matrix(QUARTERS.astype(dtype))
    np.testing.assert_array_equal(A.row_norms(), at_once.row_norms())
    np.testing.assert_array_equal(A.sample_rows(500, rng=3), at_once.sample_rows(500, rng=3))
    assert A.index_with_gradient(b) is None  # the index is there


def test_an_index_with_a_gradient_reads_a_mapped_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mapped, "CHUNK_BYTES", 256)
    np.save(tmp_path / "matrix.npy", QUARTERS)
    A, drops = later(np.load(tmp_path / "matrix.npy", mmap_mode="r")), []
    monkeypatch.setattr(_mapped.FilePages, "drop", lambda _, view: drops.append(len(view)))
    gradient = A.index_with_gradient(np.arange(9.0))
    assert gradient is not None
    np.testing.assert_array_equal(gradient, QUARTERS.T @ np.arange(9.0))
    assert (sum(drops), len(drops)) == (9, 5)
    np.testing.assert_allclose(A.row_norms(), np.linalg.norm(QUARTERS, axis=1), rtol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_index_with_a_gradient_refuses_what_the_index_does_in_the_same_words(value: float) -> None:
    X = QUARTERS.copy()
    X[4, 7] = value
    with pytest.raises(ValueError, match=r"got A\[4, 7\]") as expected:
        qi.as_sq_matrix(X)
    A = later(X)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"got A\[4, 7\]") as found:
            A.index_with_gradient(np.zeros(9))
        assert str(found.value) == str(expected.value)
        assert not A.has_index


def test_a_gradient_that_overflows_leaves_the_index_alone() -> None:
    A = later(np.full((3, 1), 1e308))
    assert A.index_with_gradient(np.ones(3)) is None
    np.testing.assert_array_equal(A.row_norms(), 1e308)


@pytest.mark.parametrize("value", ["soon", "", None, True, "Now"])
def test_an_unknown_time_for_the_index_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"`index` must be 'now' or 'later'; got"):
        qi.as_sq_matrix(QUARTERS.copy(), index=value)


@pytest.mark.parametrize(
    "X",
    [
        np.asfortranarray(QUARTERS),
        QUARTERS[:, ::2],
        QUARTERS.astype(np.int64),
        QUARTERS.astype(np.float16),
        QUARTERS.astype(object),
        QUARTERS.tolist(),
        sp.csr_array(QUARTERS),
    ],
    ids=["Fortran", "strided", "int64", "float16", "objects", "list", "sparse"],
)
def test_what_is_no_row_major_array_of_floats_is_indexed_at_once(X: Any) -> None:
    A = qi.as_sq_matrix(X, index="later")
    assert A.index_seconds > 0.0
    if hasattr(A, "has_index"):
        assert A.has_index


@pytest.mark.parametrize(
    "look",
    [
        has_access,
        qi.as_sq_matrix,
        qi.CountingMatrix,
        lambda A: has_access(qi.CountingMatrix(A)),
        lambda A: has_access(qi.vstack([A, A])),
        lambda A: qi.vstack([qi.as_sq_matrix(qi.CountingMatrix(A)), A]).rows([0, 9]),
        lambda A: qi.as_sq_matrix(qi.vstack([A, A])).query([0, 9], [0, 0]),
        lambda A: qi.ShardedMatrix([A, A]).matmul(np.eye(12)),
        lambda A: repr(qi.vstack([A, A])),
    ],
)
def test_looking_whether_a_matrix_has_access_leaves_its_index_waiting(look: Any, passes: list[DenseMatrix]) -> None:
    A = later(QUARTERS.copy())
    look(A)
    assert (passes, A.has_index) == ([], False)


def test_a_matrix_of_waiting_shards_is_indexed_at_its_first_draw_or_norm(passes: list[DenseMatrix]) -> None:
    A, B = later(QUARTERS.copy()), later(2.0 * QUARTERS)
    whole = qi.vstack([A, B])
    assert passes == []
    np.testing.assert_array_equal(
        whole.sample_rows(9, rng=0), qi.vstack([QUARTERS, 2.0 * QUARTERS]).sample_rows(9, rng=0)
    )
    assert passes[:2] == [A, B]


@pytest.mark.parametrize("ask", [lambda S: S.frobenius_norm, lambda S: S.sample_rows(1, rng=0)])
def test_waiting_shards_whose_whole_norm_overflows_are_refused_when_it_is_asked_for(ask: Any) -> None:
    shard = np.full((1, 2), 1.2e308)
    whole = qi.vstack([later(shard.copy()), later(shard.copy())])
    with pytest.raises(ValueError, match=r"`shards` must have a Frobenius norm below 1.8e308 together"):
        ask(whole)


def test_what_hands_its_attributes_on_has_access() -> None:
    class Proxy:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    assert has_access(Proxy(later(QUARTERS.copy())))
    assert not has_access(Proxy(QUARTERS))


@pytest.mark.parametrize("X", [QUARTERS, sp.csr_array(QUARTERS), [[1.0]], "path", None, 3])
def test_what_has_no_access_is_told_as_such(X: Any) -> None:
    assert not has_access(X)


def test_what_has_access_already_is_returned_as_it_is() -> None:
    A = qi.as_sq_matrix(QUARTERS.copy())
    assert qi.as_sq_matrix(A, index="later") is A
    waiting = later(QUARTERS.copy())
    assert qi.as_sq_matrix(waiting, index="now") is waiting


def _probe_statistics(X: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the p-value of mean probes against the squared norms (or weighted ones), by rows over 3,000 seeds."""
    A, rng = later(X), np.random.default_rng(5)
    probes = np.array([A.probe_rows(np.arange(len(X)), rng) for _ in range(3000)])
    expected = (X.astype(np.float64) ** 2 * (1.0 if weights is None else weights)).sum(axis=1)
    spread = probes.std(axis=0, ddof=1)
    # A row whose probes do not vary must be right to rounding.
    fixed = spread <= 1e-9 * expected
    np.testing.assert_allclose(probes.mean(axis=0)[fixed], expected[fixed], rtol=1e-9)
    z = (probes.mean(axis=0) - expected)[~fixed] / (spread[~fixed] / np.sqrt(len(probes)))
    return float(min([1.0, *(z.size * 2.0 * stats.norm.sf(np.abs(z)))]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 8, 9, 15, 16, 17, 31, 40])
def test_probes_are_unbiased_whatever_the_length_of_a_row(n: int, dtype: type) -> None:
    # Columns of unequal size, the first and the last largest, which a probe that stays in the row would rarely meet.
    rng = np.random.default_rng(6)
    size = np.ones(n)
    size[0], size[-1] = 3.0, 2.0
    X = (rng.standard_normal((4, n)) * size).astype(dtype)
    assert _probe_statistics(X) > oracles.P_LOWEST


def test_the_check_of_the_probes_rejects_probes_that_meet_the_ends_of_a_row_less_often() -> None:
    n, width = 15, 8
    rng = np.random.default_rng(6)
    X = rng.standard_normal((4, n)) * np.where(np.isin(np.arange(n), [0, n - 1]), 3.0, 1.0)
    met = sum(((np.arange(n) >= start) & (np.arange(n) < start + width)) for start in range(n - width + 1))
    assert _probe_statistics(X, np.asarray(met) / (n - width + 1) * n / width) < oracles.P_LOWEST


def test_probes_whose_squares_overflow_are_infinite_and_those_of_nan_are_nan_without_a_warning() -> None:
    X = np.ones((4, 16))
    X[1], X[2], X[3] = 1e200, np.nan, 1e153
    found = later(X).probe_rows(np.arange(4), np.random.default_rng(0))
    assert found[0] == 16.0
    assert found[1] == np.inf
    assert np.isnan(found[2])
    assert found[3] == pytest.approx(1.6e307)
    assert later(np.full((1, 800), 1e153)).probe_rows(np.array([0]), np.random.default_rng(0))[0] == np.inf


def test_the_call_that_makes_a_waiting_index_tells_its_seconds_and_no_later_one_does() -> None:
    A = later(np.random.default_rng(0).standard_normal((300, 40)))
    first, second = (qi.low_rank(A, 2, method="gram", tolerance=0.5, rng=0).stats for _ in range(2))
    assert first.index_seconds == A.index_seconds > 0.0
    assert second.index_seconds == 0.0
