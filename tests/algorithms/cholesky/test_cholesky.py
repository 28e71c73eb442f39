from __future__ import annotations

import itertools
import math

import numpy as np
import oracles
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from psd_matrices import METHODS, Asked, psd, residual_of
from sklearn.metrics.pairwise import rbf_kernel

import qinspired as qi


def near_duplicates():
    """A 5 x 5 kernel matrix in which three points nearly coincide and two stand apart, with unequal diagonal."""
    X = np.array([[0.0], [0.05], [0.1], [1.5], [3.0]])
    scale = np.array([1.0, 1.2, 0.9, 0.8, 0.6])
    return rbf_kernel(X, gamma=1.0) * scale[:, None] * scale


def law_of_pivots(A, length):
    """Exact probabilities of all ordered sets of pivots, by Schur complements: an array of one axis a pivot."""
    n = len(A)
    law = np.zeros((n,) * length)
    for pivots in itertools.permutations(range(n), length):
        residual, probability = A, 1.0
        for p in pivots:
            probability *= max(residual[p, p], 0.0) / np.trace(residual)
            residual = residual - np.outer(residual[:, p], residual[p]) / residual[p, p]
        law[pivots] = probability
    return law


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_matrix_of_rank_k_is_recovered_from_k_pivots(method, dtype, rng):
    A = psd(80, 6, rng, dtype)
    approx = qi.rp_cholesky(A, 6, method=method, rng=1)
    # Rounding of the entries, of the products and of the solution: some tens of units on the scale of the diagonal.
    np.testing.assert_allclose(residual_of(A, approx), 0.0, atol=200 * np.finfo(dtype).eps * A.max())
    assert approx.factor.shape == (80, 6)
    assert approx.factor.dtype == approx.dtype == dtype
    assert len(set(approx.pivots.tolist())) == approx.rank == 6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_more_pivots_than_the_numerical_rank_end_the_factor_and_say_so(method, dtype, rng):
    A = psd(80, 6, rng, dtype)
    approx = qi.rp_cholesky(A, 50, method=method, rng=1)
    assert 6 <= approx.rank <= 8  # one or two may just exceed the bound of rounding
    assert "numerical rank" in approx.status
    assert approx.error.high < 1e-4 if dtype == np.float32 else 1e-12
    assert np.isfinite(approx.factor).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_factor_is_nystroms_approximation_on_its_pivots(method, rng):
    A = psd(60, 60, rng)
    approx = qi.rp_cholesky(A, 17, method=method, rng=2)
    columns = A[:, approx.pivots]
    nystrom = columns @ np.linalg.solve(A[np.ix_(approx.pivots, approx.pivots)], columns.T)
    np.testing.assert_allclose(approx.factor @ approx.factor.T, nystrom, atol=1e-8 * A.max())
    np.testing.assert_array_equal(np.triu(approx.factor[approx.pivots], 1), 0.0)


def test_greedy_pivots_are_those_of_lapack(rng):
    A = psd(40, 40, rng)
    _, pivots, _, _ = scipy.linalg.lapack.dpstrf(A, lower=1)
    approx = qi.rp_cholesky(A, 25, method="greedy")
    np.testing.assert_array_equal(approx.pivots, pivots[:25] - 1)


@pytest.mark.parametrize("method", METHODS)
def test_the_stated_error_is_the_relative_trace_of_the_residual_and_bounds_its_norms(method, rng):
    X = rng.standard_normal((300, 2))
    A = rbf_kernel(X, gamma=0.5)
    approx = qi.rp_cholesky(A, 20, method=method, rng=3)
    residual = residual_of(A, approx)
    true = np.trace(residual) / np.trace(A)
    assert approx.error.low <= true <= approx.error.high
    assert approx.error.value == pytest.approx(true, rel=1e-10)
    assert approx.error.confidence == 1.0
    assert np.linalg.norm(residual, 2) <= approx.error.high * np.trace(A)
    assert np.linalg.eigvalsh(residual)[0] > -1e-12


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.sampled_from(METHODS), st.booleans())
def test_any_positive_semi_definite_matrix_is_factored_to_rounding_at_full_rank(n, seed, method, graded):
    rng = np.random.default_rng(seed)
    A = psd(n, int(rng.integers(1, n + 1)), rng)
    if graded:
        scale = 10.0 ** rng.uniform(-6, 6, n)
        A = A * scale[:, None] * scale
    A = (A + A.T) / 2
    approx = qi.rp_cholesky(A, n, method=method, rng=seed)
    scale = np.sqrt(np.diag(A))
    # What is left of a pivot that is not drawn: 8 eps^(2/3) of its diagonal entry.
    np.testing.assert_allclose(residual_of(A, approx) / scale[:, None] / scale, 0.0, atol=1e-9)


N_SEEDS = 1200


def drawn_pivots(method, n_pivots, n_seeds=N_SEEDS, **options):
    A = qi.as_sq_matrix(near_duplicates())
    rng = np.random.default_rng(7)
    draws = [qi.rp_cholesky(A, n_pivots, method=method, rng=rng, **options).pivots for _ in range(n_seeds)]
    return np.ravel_multi_index(np.array(draws).T, (5,) * n_pivots)


@pytest.mark.parametrize("method", ["simple", "accelerated", "block"])
def test_the_first_pivot_is_drawn_by_the_diagonal(method):
    diagonal = np.diag(near_duplicates())
    draws = drawn_pivots(method, 1)
    assert oracles.chi_square_p(draws, diagonal / diagonal.sum()) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, diagonal**2 / (diagonal**2).sum()) < oracles.P_LOWEST
    assert oracles.chi_square_p(draws, np.full(5, 0.2)) < oracles.P_LOWEST


@pytest.mark.parametrize(
    ("method", "options"),
    [("simple", {}), ("accelerated", {}), ("accelerated", {"block_size": 2})],
)
def test_two_and_three_pivots_have_the_joint_law_of_draws_by_the_residual(method, options):
    draws = drawn_pivots(method, 3, **options)
    assert oracles.chi_square_p(draws, law_of_pivots(near_duplicates(), 3).ravel()) > oracles.P_LOWEST
    pairs = law_of_pivots(near_duplicates(), 2).ravel()
    assert oracles.chi_square_p(draws // 5, pairs) > oracles.P_LOWEST  # the first two of each three


@pytest.mark.parametrize("method", ["block", "greedy", "uniform"])
def test_other_pivots_have_another_law_which_the_test_tells(method):
    draws = drawn_pivots(method, 3, n_seeds=500)
    assert oracles.chi_square_p(draws, law_of_pivots(near_duplicates(), 3).ravel()) < oracles.P_LOWEST


def test_the_expected_trace_after_one_pivot_is_the_one_in_closed_form():
    A = near_duplicates()
    matrix = qi.as_sq_matrix(A)
    # E tr(A - F F^T) = tr A - tr(A^2) / tr A.
    expected = 1.0 - (A**2).sum() / np.trace(A) ** 2
    rng = np.random.default_rng(8)
    errors = [qi.rp_cholesky(matrix, 1, rng=rng).error.value for _ in range(1500)]
    deviations = math.sqrt(len(errors)) * (np.mean(errors) - expected) / np.std(errors)
    assert abs(deviations) < 4.9  # 1e-6 of a normal law


@pytest.mark.parametrize("method", ["simple", "accelerated"])
def test_the_expected_trace_error_keeps_the_bound_of_the_theorem(method, rng):
    values = np.concatenate([[50.0, 20.0, 10.0], np.full(97, 0.05)])
    Q = np.linalg.qr(rng.standard_normal((100, 100)))[0]
    A = (Q * values) @ Q.T
    A = (A + A.T) / 2
    r, eps = 3, 0.5
    best = values[r:].sum()
    k = math.ceil(r / eps + r * math.log(1.0 / (eps * best / values.sum())))
    matrix = qi.as_sq_matrix(A)
    traces = [qi.rp_cholesky(matrix, k, method=method, rng=seed).error.value * values.sum() for seed in range(100)]
    assert np.mean(traces) + 4.9 * np.std(traces) / 10 <= (1.0 + eps) * best
    assert min(traces) >= values[k:].sum()


def test_clusters_are_found_by_rejection_and_missed_by_uniform_columns(rng):
    X = np.concatenate([1e-3 * rng.standard_normal((2000, 2)), 10.0 * rng.standard_normal((40, 2))])
    K = qi.KernelMatrix(X, gamma=0.5)
    errors = {
        method: np.mean([qi.rp_cholesky(K, 50, method=method, rng=seed).error.value for seed in range(3)])
        for method in METHODS
    }
    assert errors["accelerated"] < 1e-4
    assert errors["uniform"] > 100 * errors["accelerated"]


def test_a_seed_gives_the_same_pivots_again_and_another_seed_others(rng):
    A = rbf_kernel(rng.standard_normal((200, 2)))
    first, again, other = (qi.rp_cholesky(A, 20, rng=seed).pivots for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())


@pytest.mark.parametrize("method", ["simple", "greedy"])
def test_one_pivot_at_a_time_asks_for_k_plus_one_times_n_entries(method, rng):
    A = Asked(rbf_kernel(rng.standard_normal((300, 3))))
    approx = qi.rp_cholesky(A, 12, method=method, rng=0)
    assert A.n_asked == 13 * 300
    assert approx.stats.entries_read == A.n_asked
    assert approx.stats.bytes_read == 8 * A.n_asked
    assert approx.stats.full_passes == approx.stats.row_draws == 0


@pytest.mark.parametrize("method", ["accelerated", "block", "uniform"])
def test_a_block_asks_for_its_own_square_besides(method, rng):
    A = Asked(rbf_kernel(rng.standard_normal((300, 3))))
    qi.rp_cholesky(A, 12, method=method, block_size=6, rng=0)
    assert 13 * 300 < A.n_asked <= 13 * 300 + 12 * 36


def test_an_implicit_matrix_with_entries_only_is_never_read_whole(rng):
    X = rng.standard_normal((400, 3))

    def entries(rows, cols):
        return np.exp(-0.5 * ((X[rows] - X[cols]) ** 2).sum(axis=-1))

    full = entries(np.arange(400)[:, None], np.arange(400))
    norms = np.linalg.norm(full, axis=1)
    K = qi.ImplicitMatrix(
        lambda rows: norms[rows],
        None,
        shape=(400, 400),
        entry_function=entries,
        norm_bound=20.0,
        entry_bound=1.0,
        frobenius_norm=np.linalg.norm(full),
    )
    approx = qi.rp_cholesky(K, 30, method="simple", rng=0)
    assert K.rows_computed == 0
    assert K.entries_computed == 31 * 400 + 1  # one to see that it gives single entries
    np.testing.assert_array_equal(approx.pivots, qi.rp_cholesky(full, 30, method="simple", rng=0).pivots)


def test_an_implicit_matrix_with_rows_has_the_rows_of_the_pivots_computed(rng):
    X = rng.standard_normal((400, 3))
    K = qi.KernelMatrix(X, gamma=0.5)
    implicit = qi.ImplicitMatrix(None, K.rows, shape=K.shape, entry_function=K.query)
    before = implicit.entries_computed
    approx = qi.rp_cholesky(implicit, 30, method="simple", rng=0)
    assert implicit.entries_computed - before == 31 * 400 + 1
    assert approx.stats.rows_read == 30
    assert approx.source is implicit


def test_an_implicit_matrix_without_an_entry_function_is_refused_with_the_remedy(rng):
    K = qi.KernelMatrix(rng.standard_normal((50, 3)))
    implicit = qi.ImplicitMatrix(None, K.rows, shape=K.shape)
    with pytest.raises(ValueError, match="entry_function"):
        qi.rp_cholesky(implicit, 3)


@pytest.mark.parametrize("build", ["array", "fortran", "csr", "csc", "coo", "list", "indexed", "dynamic", "int"])
def test_every_storage_gives_the_same_factor(build, rng, tmp_path):
    A = np.rint(psd(30, 30, rng)) + 200.0 * np.eye(30)
    inputs = {
        "array": lambda: A,
        "fortran": lambda: np.asfortranarray(A),
        "csr": lambda: sp.csr_array(A),
        "csc": lambda: sp.csc_matrix(A),
        "coo": lambda: sp.coo_array(A),
        "list": A.tolist,
        "indexed": lambda: qi.as_sq_matrix(A),
        "dynamic": lambda: qi.DynamicMatrix.from_matrix(A),
        "int": lambda: A.astype(np.int64),
    }
    approx = qi.rp_cholesky(inputs[build](), 9, rng=4)
    reference = qi.rp_cholesky(A, 9, rng=4)
    np.testing.assert_array_equal(approx.pivots, reference.pivots)
    np.testing.assert_allclose(approx.factor, reference.factor, atol=1e-12 * np.abs(reference.factor).max())


def test_a_saved_matrix_is_read_by_its_path(rng, tmp_path):
    A = psd(30, 30, rng)
    qi.save(tmp_path / "A", A)
    approx = qi.rp_cholesky(tmp_path / "A", 5, rng=0)
    np.testing.assert_array_equal(approx.pivots, qi.rp_cholesky(A, 5, rng=0).pivots)


def test_a_sum_of_matrices_needs_no_index(rng):
    A, B = psd(40, 40, rng), psd(40, 40, rng)
    total = qi.add(A, B, coefficients=[1.0, 2.0])
    approx = qi.rp_cholesky(total, 10, rng=0)
    np.testing.assert_array_equal(approx.pivots, qi.rp_cholesky(A + 2.0 * B, 10, rng=0).pivots)
