from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

import qinspired as qi
from qinspired.algorithms.approximation import _low_rank, _passes
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


def matrix_with_spectrum(shape, values, rng, *, skew=0.0):
    m, n = shape
    k = len(values)
    U = np.linalg.qr(np.exp(skew * rng.standard_normal(m))[:, None] * rng.standard_normal((m, k)))[0]
    V = np.linalg.qr(rng.standard_normal((n, k)))[0]
    return (U * values) @ V.T


def gapped(rng, shape=(3000, 200), rank=5, noise=0.1):
    values = np.concatenate([np.geomspace(3, 1, rank), np.full(shape[1] - rank, noise)])
    return matrix_with_spectrum(shape, values, rng)


def true_errors(A, components):
    """Relative error of A V V^T and of the best approximation of that rank, both from the dense SVD."""
    dense = A.toarray() if sp.issparse(A) else np.asarray(A, dtype=np.float64)
    dense = dense / np.abs(dense).max()
    V = np.asarray(components, dtype=np.float64).T
    values = np.linalg.svd(dense, compute_uv=False)
    total = np.linalg.norm(dense)
    best = np.sqrt((values[V.shape[1] :] ** 2).sum()) / total
    return np.linalg.norm(dense - (dense @ V) @ V.T) / total, best


@pytest.mark.parametrize("method", ["auto", "gram", "krylov", "randomized", "exact"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_method_keeps_its_promise_on_a_dense_matrix(method, dtype, rng):
    A = gapped(rng).astype(dtype)
    approx = qi.low_rank(A, 5, tolerance=0.05, method=method, rng=1)
    error, best = true_errors(A, approx.components)
    assert error / best - 1 <= 0.05
    assert approx.excess.high <= 0.05
    assert approx.components.dtype == dtype
    np.testing.assert_allclose(
        approx.components @ approx.components.T, np.eye(5), atol=2e-5 if dtype == np.float32 else 1e-12
    )


@pytest.mark.parametrize("method", ["auto", "gram", "krylov", "randomized", "exact"])
def test_every_method_keeps_its_promise_on_a_sparse_matrix(method, rng):
    A = sp.random_array((2000, 150), density=0.05, rng=rng, format="csr")
    A = sp.csr_array(A + sp.csr_array(np.outer(rng.random(2000) < 0.2, rng.random(150) < 0.3) * 1.0))
    approx = qi.low_rank(A, 3, tolerance=0.05, method=method, rng=1)
    error, best = true_errors(A, approx.components)
    assert error / best - 1 <= 0.05


def test_the_exact_method_agrees_with_the_svd_of_numpy(rng):
    A = rng.standard_normal((60, 40))
    approx = qi.low_rank(A, 7, method="exact")
    _, values, Vt = np.linalg.svd(A, full_matrices=False)
    np.testing.assert_allclose(approx.singular_values, values[:7], rtol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(approx.components * Vt[:7], axis=1)), 1.0, atol=1e-10)
    assert approx.excess.value == 0.0
    assert approx.error.value == pytest.approx(true_errors(A, approx.components)[0], abs=1e-12)


def test_arpack_serves_the_exact_method_on_a_sparse_matrix_too_large_to_densify(rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.approximation._full_svd._DENSE_CELLS", 100)
    A = sp.random_array((200, 120), density=0.1, rng=rng, format="csr")
    approx = qi.low_rank(A, 4, method="exact")
    values = np.linalg.svd(A.toarray(), compute_uv=False)[:4]
    np.testing.assert_allclose(approx.singular_values, values, rtol=1e-10)


@pytest.mark.parametrize("method", ["gram", "krylov"])
def test_a_matrix_of_exact_rank_is_recovered_to_rounding_from_a_few_rows(method, rng):
    A = matrix_with_spectrum((4000, 300), np.array([3.0, 2.0, 1.0]), rng)
    approx = qi.low_rank(A, 3, method=method, rng=0)
    assert true_errors(A, approx.components)[0] < 1e-7
    assert approx.error.high < 1e-7
    assert approx.excess.high == 0.0


@pytest.mark.parametrize("method", ["gram", "krylov", "randomized", "exact"])
def test_a_rank_above_that_of_the_matrix_gives_orthonormal_components_and_zero_singular_values(method, rng):
    A = matrix_with_spectrum((900, 60), np.array([2.0, 1.0]), rng)
    approx = qi.low_rank(A, 6, method=method, rng=0)
    np.testing.assert_allclose(approx.components @ approx.components.T, np.eye(6), atol=1e-8)
    assert (approx.singular_values[2:] < 1e-6).all()
    assert true_errors(A, approx.components)[0] < 1e-7


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e-308])
@pytest.mark.parametrize("method", ["gram", "krylov", "randomized", "exact"])
def test_entries_whose_squares_overflow_or_underflow_give_the_right_answer(scale, method, rng):
    A = gapped(rng, shape=(900, 60))
    approx = qi.low_rank(A * scale, 5, tolerance=0.1, method=method, rng=0)
    error, best = true_errors(A, approx.components)
    assert error / best - 1 < 0.1
    ratio = approx.singular_values / scale / np.linalg.svd(A, compute_uv=False)[:5]
    assert ((ratio > 0.5) & (ratio < 2.0)).all()


@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("method", ["gram", "krylov", "randomized", "exact"])
def test_float32_entries_whose_squares_leave_float32_give_the_right_answer(scale, method, rng):
    A = gapped(rng, shape=(900, 60)).astype(np.float32)
    approx = qi.low_rank(A * np.float32(scale), 5, tolerance=0.1, method=method, rng=0)
    error, best = true_errors(A, approx.components)
    assert error / best - 1 < 0.1


def test_drawn_rows_are_the_only_entries_read():
    problem = qi.problems.low_rank_matrix((20_000, 300), 5, noise=0.3, rng=0)
    counted = qi.CountingMatrix(qi.as_sq_matrix(problem.A))
    approx = qi.low_rank(counted, 5, tolerance=0.05, rng=0)
    assert approx.method in ("gram", "krylov")
    assert counted.counts.full_passes == 0
    assert counted.counts.entries_read == approx.stats.entries_read == approx.stats.rows_read * 300
    assert approx.stats.bytes_read == approx.stats.entries_read * 8
    assert counted.counts.entries_read < 0.03 * problem.A.size


def test_the_index_pass_is_charged_to_the_call_that_makes_it(rng):
    A = rng.standard_normal((500, 30))
    assert qi.low_rank(A, 2, rng=0).stats.index_seconds > 0
    assert qi.low_rank(qi.as_sq_matrix(A), 2, rng=0).stats.index_seconds == 0


def test_auto_uses_the_exact_solver_on_a_small_matrix_and_says_so(rng):
    approx = qi.low_rank(rng.standard_normal((40, 20)), 3)
    assert approx.method == "exact"
    assert "exact" in approx.explain()


def test_auto_turns_to_all_rows_where_the_tolerance_needs_more_rows_than_pay(rng):
    A = gapped(rng, shape=(3000, 400))
    approx = qi.low_rank(A, 5, tolerance=1e-4, rng=0)
    assert approx.method in ("polished", "randomized", "exact")
    assert approx.stats.full_passes >= 1
    error, best = true_errors(A, approx.components)
    assert error / best - 1 <= 1e-4


def test_auto_finishes_with_all_rows_when_the_certificate_of_drawn_rows_fails(rng):
    # The law k / (2 r) asks for few rows, the slowly decaying spectrum for many more than m / 3.
    A = matrix_with_spectrum((1500, 600), 0.99 ** np.arange(600), rng)
    approx = qi.low_rank(A, 40, tolerance=0.06, rng=0)
    error, best = true_errors(A, approx.components)
    assert error / best - 1 <= 0.06
    assert approx.excess.high <= 0.06


def test_a_pinned_method_that_misses_the_tolerance_warns_and_returns_its_certificate(rng):
    A = matrix_with_spectrum((600, 100), 0.99 ** np.arange(100), rng)
    with pytest.warns(ToleranceNotMetWarning, match="method='auto'"):
        approx = qi.low_rank(A, 5, tolerance=1e-3, method="krylov", rng=0)
    assert approx.excess.high > 1e-3


def test_krylov_and_gram_find_the_same_span_from_the_same_draws(rng):
    A = gapped(rng)
    one = qi.low_rank(A, 5, tolerance=0.05, method="krylov", rng=3)
    two = qi.low_rank(A, 5, tolerance=0.05, method="gram", rng=3)
    assert one.stats.row_draws == two.stats.row_draws
    cosines = np.linalg.svd(one.components @ two.components.T, compute_uv=False)
    assert cosines.min() > 0.999


def test_excess_follows_the_law_k_over_2r(rng):
    A = gapped(rng, shape=(6000, 400), rank=8, noise=0.05)
    sizes, excesses = [], []
    for tolerance in (0.08, 0.04, 0.02, 0.01):
        runs = [qi.low_rank(A, 8, tolerance=tolerance, method="gram", rng=seed) for seed in range(3)]
        sizes.append(np.mean([run.stats.row_draws - 128 for run in runs]))
        excesses.append(np.mean([np.divide(*true_errors(A, run.components)) - 1 for run in runs]))
    slope = np.polyfit(np.log(sizes), np.log(excesses), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.15)
    np.testing.assert_allclose(np.array(excesses) * sizes, 8 / 2, rtol=0.3)


def test_the_same_seed_gives_the_same_answer(rng):
    A = gapped(rng)
    one = qi.low_rank(A, 5, tolerance=0.05, method="krylov", rng=7)
    two = qi.low_rank(A, 5, tolerance=0.05, method="krylov", rng=np.random.default_rng(7))
    np.testing.assert_array_equal(one.components, two.components)
    assert not np.array_equal(one.components, qi.low_rank(A, 5, tolerance=0.05, method="krylov", rng=8).components)


def test_the_result_is_a_linear_operator_and_projects_rows(rng):
    A = rng.standard_normal((30, 20))
    approx = qi.low_rank(A, 4, method="exact")
    V = approx.components.T
    x, y = rng.standard_normal(20), rng.standard_normal(30)
    operator = aslinearoperator(approx)
    np.testing.assert_allclose(operator @ x, A @ (V @ (V.T @ x)), atol=1e-12)
    np.testing.assert_allclose(operator.T @ y, V @ (V.T @ (A.T @ y)), atol=1e-12)
    np.testing.assert_allclose(approx.project(A[:3]), A[:3] @ V @ V.T, atol=1e-12)
    np.testing.assert_allclose(approx.project(sp.csr_array(A[:3])), A[:3] @ V @ V.T, atol=1e-12)


def test_sparse_and_dense_storage_of_one_matrix_give_the_same_span(rng):
    A = np.where(rng.random((2000, 100)) < 0.1, rng.standard_normal((2000, 100)) + 1.0, 0.0)
    one = qi.low_rank(A, 3, tolerance=0.05, method="krylov", rng=0)
    two = qi.low_rank(sp.csr_array(A), 3, tolerance=0.05, method="krylov", rng=0)
    assert np.linalg.svd(one.components @ two.components.T, compute_uv=False).min() > 0.999999


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("method", ["auto", "gram", "krylov", "randomized", "exact"])
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_the_smallest_shapes_work(shape, method, rng):
    approx = qi.low_rank(rng.standard_normal(shape), 1, tolerance=0.9, method=method, rng=0)
    assert approx.components.shape == (1, shape[1])
    assert np.linalg.norm(approx.components) == pytest.approx(1.0)


def test_zero_rows_and_duplicated_rows_do_no_harm(rng):
    A = gapped(rng, shape=(3000, 100))
    A[::3] = 0.0
    A[1::3] = A[1]
    approx = qi.low_rank(A, 5, tolerance=0.05, method="krylov", rng=0)
    error, best = true_errors(A, approx.components)
    assert error - best <= 0.05 * best + 1e-7


@pytest.mark.parametrize("rank", [0, -1, 21, 10**9])
def test_a_rank_out_of_range_is_refused_with_the_range(rank, rng):
    with pytest.raises(ValueError, match=r"`rank` must be in \[1, min\(m, n\)\] = \[1, 20\] .* got"):
        qi.low_rank(rng.standard_normal((30, 20)), rank)


@pytest.mark.parametrize("rank", [2.0, True, "3", None])
def test_a_rank_that_is_no_integer_is_refused(rank, rng):
    with pytest.raises(TypeError, match="`rank` must be an integer"):
        qi.low_rank(rng.standard_normal((30, 20)), rank)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1, np.nan, 2])
def test_a_tolerance_out_of_range_is_refused(tolerance, rng):
    with pytest.raises(ValueError, match=r"`tolerance` must be in \(0, 1\)"):
        qi.low_rank(rng.standard_normal((30, 20)), 2, tolerance=tolerance)


def test_an_unknown_method_is_refused_with_the_known_ones(rng):
    names = "auto, gram, krylov, residual, leverage, fkv, threshold, polished, frequent_directions, randomized, exact"
    with pytest.raises(ValueError, match=rf"`method` must be one of {names}; got 'svd'"):
        qi.low_rank(rng.standard_normal((30, 20)), 2, method="svd")


def test_an_all_zero_matrix_is_refused():
    with pytest.raises(ZeroMassError, match="non-zero"):
        qi.low_rank(np.zeros((10, 5)), 2)


def test_rows_of_another_width_are_refused_by_project(rng):
    approx = qi.low_rank(rng.standard_normal((30, 20)), 2)
    with pytest.raises(ValueError, match="`rows` must have 20 columns"):
        approx.project(rng.standard_normal((3, 19)))


@pytest.mark.parametrize("method", ["auto", "gram", "krylov", "randomized"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tail", [3e-3, 1e-3, 1e-4])
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_an_error_near_rounding_is_never_certified_falsely(rng, method, dtype, tail):
    # One direction with nearly all of |A|_F, four of three times the tail: rounding may hide these from a method.
    sigma = np.concatenate([[1.0], 3 * tail * np.linspace(1, 0.8, 4), tail / 60**0.5 * np.linspace(1.2, 0.8, 60)])
    left, right = (np.linalg.qr(rng.standard_normal((size, len(sigma))))[0] for size in (900, 700))
    X = (left * sigma) @ right.T
    approx = qi.low_rank(X.astype(dtype), 5, tolerance=0.1, method=method, rng=0)
    V = np.linalg.qr(approx.components.T.astype(np.float64))[0]
    excess = np.linalg.norm(X - X @ V @ V.T) / np.linalg.norm(sigma[5:]) - 1
    assert excess <= approx.excess.high + 1e-5
    if method == "auto":
        assert approx.excess.high <= 0.1


def test_what_is_too_large_to_be_checked_or_solved_exactly_is_reported_as_unknown(rng, monkeypatch):
    # Of rank 5 to rounding, fewer than the directions that are kept.
    X = (rng.standard_normal((900, 5)) @ rng.standard_normal((5, 700))).astype(np.float32)
    assert qi.low_rank(X, 5, method="randomized", rng=0).excess.high == 0.0
    monkeypatch.setattr(_passes, "_CHECKED_CELLS", 1000)
    assert qi.low_rank(X, 5, method="exact", rng=0).excess.high == 0.0
    monkeypatch.setattr(_low_rank, "choose", lambda *_: "polished")
    assert qi.low_rank(X, 5, rng=0).method == "exact"
    monkeypatch.setattr(_low_rank, "_EXACT_ENTRIES", 1000)
    with pytest.warns(ToleranceNotMetWarning, match="shows inf, above the tolerance 0.01.*use method='exact'"):
        assert qi.low_rank(X, 5, rng=0).excess.high == np.inf
