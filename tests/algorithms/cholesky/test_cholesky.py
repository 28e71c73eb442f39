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
from scipy.sparse.linalg import aslinearoperator
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics.pairwise import laplacian_kernel, polynomial_kernel, rbf_kernel

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

METHODS = ("accelerated", "simple", "block", "greedy", "uniform")


def psd(n, rank, rng, dtype=np.float64):
    G = rng.standard_normal((n, rank))
    return (G @ G.T).astype(dtype)


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


def residual_of(A, approx):
    F = np.asarray(approx.factor, dtype=np.float64)
    dense = A.toarray() if sp.issparse(A) else np.asarray(A, dtype=np.float64)
    return dense - F @ F.T


class Asked:
    """The lightest input: entries only, counted."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.dtype, self.n_asked = matrix, matrix.shape, matrix.dtype, 0

    def query(self, rows, cols):
        values = self.matrix[rows, cols]
        self.n_asked += values.size
        return values


# --- the factor -----------------------------------------------------------------------------------------------------


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


# --- the law of the pivots ------------------------------------------------------------------------------------------

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


# --- what is asked of A ---------------------------------------------------------------------------------------------


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


# --- tolerance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_tolerance_stops_at_the_first_pivot_that_meets_it(method, rng):
    A = rbf_kernel(rng.standard_normal((300, 2)), gamma=0.3)
    approx = qi.rp_cholesky(A, 200, tolerance=0.01, method=method, rng=1)
    assert approx.error.value <= 0.01
    assert approx.rank < 100
    assert "met the tolerance" in approx.status
    without_last = approx.factor[:, :-1]
    assert np.trace(A - without_last @ without_last.T) / np.trace(A) > 0.01


def test_a_tolerance_out_of_reach_of_the_rank_warns():
    with pytest.warns(ToleranceNotMetWarning, match="raise `rank`"):
        approx = qi.rp_cholesky(np.eye(10), 3, tolerance=0.1, rng=0)
    assert approx.rank == 3
    assert approx.error.value == pytest.approx(0.7)


def test_a_tolerance_below_rounding_warns_that_no_more_can_be_had(rng):
    with pytest.warns(ToleranceNotMetWarning, match="no more can be had"):
        approx = qi.rp_cholesky(psd(80, 5, rng, np.float32), 80, tolerance=1e-12, rng=0)
    assert approx.error.high > 1e-12


# --- hard matrices --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_duplicate_points_are_taken_once(method, dtype, rng):
    X = np.repeat(rng.standard_normal((10, 2)), 20, axis=0).astype(dtype)
    approx = qi.rp_cholesky(qi.KernelMatrix(X, gamma=1.0), 200, method=method, rng=0)
    assert approx.rank == 10
    assert len(set((approx.pivots // 20).tolist())) == 10


@pytest.mark.parametrize("method", ["accelerated", "simple", "block", "greedy"])
def test_one_huge_diagonal_entry_is_the_first_pivot_and_the_rest_follow(method):
    diagonal = np.ones(20)
    diagonal[13] = 1e12
    approx = qi.rp_cholesky(np.diag(diagonal), 20, method=method, rng=0)
    assert approx.pivots[0] == 13
    assert approx.rank == 20
    np.testing.assert_allclose(approx.factor @ approx.factor.T, np.diag(diagonal), rtol=1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e300, 1e-290])
def test_the_scale_of_the_entries_does_not_matter(method, scale, rng):
    A = psd(40, 40, rng)
    A /= A.max()
    approx = qi.rp_cholesky(A * scale, 10, method=method, rng=5)
    reference = qi.rp_cholesky(A, 10, method=method, rng=5)
    np.testing.assert_array_equal(approx.pivots, reference.pivots)
    np.testing.assert_allclose(approx.factor / math.sqrt(scale), reference.factor, atol=1e-12)
    assert approx.error.value == pytest.approx(reference.error.value, rel=1e-12)
    np.testing.assert_allclose(approx.eigenvalues / scale, reference.eigenvalues, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_one_by_one_and_rank_one_matrices(method):
    one = qi.rp_cholesky(np.array([[4.0]]), 1, method=method, rng=0)
    np.testing.assert_array_equal(one.factor, [[2.0]])
    assert one.error.value == 0.0
    line = np.arange(1.0, 9.0)
    approx = qi.rp_cholesky(np.outer(line, line), 5, method=method, rng=0)
    assert approx.rank == 1
    np.testing.assert_allclose(np.abs(approx.factor[:, 0]), line, rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_condition_number_of_1e16_ends_in_rounding_and_not_in_an_error(method, dtype, rng):
    Q = np.linalg.qr(rng.standard_normal((120, 120)))[0]
    A = (Q * np.geomspace(1.0, 1e-16, 120)) @ Q.T
    A = ((A + A.T) / 2).astype(dtype)
    approx = qi.rp_cholesky(A, 120, method=method, rng=0)
    assert approx.error.high < (1e-3 if dtype == np.float32 else 1e-8)
    assert np.linalg.norm(residual_of(A, approx), 2) < (1e-3 if dtype == np.float32 else 1e-8)


def test_rows_of_zeros_are_no_pivots(rng):
    A = np.zeros((12, 12))
    A[3:9, 3:9] = psd(6, 6, rng)
    for method in METHODS:
        approx = qi.rp_cholesky(A, 12, method=method, rng=0)
        assert sorted(approx.pivots.tolist()) == list(range(3, 9))


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_matrix_that_is_not_symmetric_is_refused_by_its_place(rng):
    A = psd(600, 600, rng)
    A[580, 17] += 1.0
    with pytest.raises(ValueError, match=r"`A` must be symmetric; got A\[580, 17\]"):
        qi.rp_cholesky(A, 3)
    with pytest.raises(ValueError, match=r"`A` must be symmetric; got A\[(17|580), (17|580)\]"):
        qi.rp_cholesky(sp.csr_array(A), 3)
    B = np.eye(20)
    B[0, 0], B[6, 5] = 10.0, 0.1  # far from the only pivot
    with pytest.raises(ValueError, match=r"`A` must be symmetric; got A\[(5|6), (5|6)\]"):
        qi.rp_cholesky(B, 1, method="greedy")
    one_sided = sp.csr_array(([1.0, 1.0, 0.5], ([0, 1, 0], [0, 1, 1])), shape=(2, 2))
    with pytest.raises(ValueError, match="`A` must be symmetric"):
        qi.rp_cholesky(one_sided, 1)


@pytest.mark.parametrize("method", METHODS)
def test_an_object_that_is_not_symmetric_at_its_pivots_is_refused(method):
    A = np.eye(6) + np.triu(np.full((6, 6), 0.1), 1)
    with pytest.raises(ValueError, match="`A` must be symmetric"):
        qi.rp_cholesky(Asked(A), 6, method=method, rng=0)


def test_rounding_of_a_product_is_no_asymmetry(rng):
    G = rng.standard_normal((200, 300)).astype(np.float32)
    A = G @ G.T
    A[0, 1] += np.float32(1e-5) * A[0, 0]
    assert qi.rp_cholesky(A, 5, rng=0).rank == 5


@pytest.mark.parametrize("method", METHODS)
def test_a_negative_residual_is_refused(method):
    A = np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="`A` must be positive semi-definite; after 1 pivots"):
        qi.rp_cholesky(A, 2, method=method, block_size=None if method in ("simple", "greedy") else 1, rng=0)


def test_a_matrix_that_is_indefinite_by_a_little_is_refused_and_by_rounding_is_not(rng):
    Q = np.linalg.qr(rng.standard_normal((50, 50)))[0]
    for least, refused in ((-1e-3, True), (-1e-6, True), (-1e-15, False)):
        A = (Q * np.concatenate([np.ones(25), np.full(25, least)])) @ Q.T
        A = (A + A.T) / 2
        if refused:
            with pytest.raises(ValueError, match="positive semi-definite"):
                qi.rp_cholesky(A, 50, rng=0)
        else:
            assert qi.rp_cholesky(A, 50, rng=0).rank == 25


def test_two_rows_that_are_more_than_parallel_are_refused_from_a_millionth_on():
    for excess in (1e-6, 1e-3):
        A = np.array([[1.0, 1.0 + excess], [1.0 + excess, 1.0]])
        with pytest.raises(ValueError, match="positive semi-definite"):
            qi.rp_cholesky(A, 2, rng=0)
    A = np.array([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]])
    assert qi.rp_cholesky(A, 2, rng=0).rank == 1


def test_entries_less_exact_than_their_type_are_refused_at_their_noise_and_not_before(rng):
    A = psd(60, 8, rng)
    noise = 1e-5 * rng.standard_normal((60, 60))
    A += noise + noise.T
    with pytest.raises(ValueError, match="less exact than their type, ask for fewer pivots"):
        qi.rp_cholesky(A, 60, rng=0)
    assert qi.rp_cholesky(A, 7, rng=0).rank == 7
    assert qi.rp_cholesky(A.astype(np.float32), 8, rng=0).error.value < 1e-3
    assert qi.rp_cholesky(A + 2e-4 * np.eye(60), 60, rng=0).error.value < 1e-12


def test_a_negative_diagonal_is_refused_and_its_rounding_is_not(rng):
    with pytest.raises(ValueError, match=r"its diagonal is >= 0; got A\[1, 1\] = -1.0"):
        qi.rp_cholesky(np.diag([1.0, -1.0]), 1)
    X = np.concatenate([rng.standard_normal((30, 3)), np.zeros((1, 3))])
    A = X @ X.T
    A[30] = A[:, 30] = 1e-17
    A[30, 30] = -1e-16
    assert qi.rp_cholesky(A, 31, rng=0).rank == 3


def test_a_zero_on_the_diagonal_of_a_row_that_is_not_zero_is_refused():
    with pytest.raises(ValueError, match=r"A\[0, 0\] is 0 and row 0 is not"):
        qi.rp_cholesky(np.array([[0.0, 1.0], [1.0, 0.0]]), 1)
    with pytest.raises(ValueError, match="positive semi-definite"):
        qi.rp_cholesky(Asked(np.array([[0.0, 1.0], [1.0, 1.0]])), 1, rng=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_entries_that_are_not_finite_are_refused(bad, rng):
    A = psd(10, 10, rng)
    A[2, 7] = A[7, 2] = bad
    with pytest.raises(ValueError, match=r"finite"):
        qi.rp_cholesky(A, 3)
    with pytest.raises(ValueError, match=r"finite"):
        qi.rp_cholesky(sp.csr_array(A), 3)
    with pytest.raises(ValueError, match=r"`A\.query` must return finite"):
        qi.rp_cholesky(Asked(A), 10, rng=0)
    B = psd(10, 10, rng)
    B[4, 4] = bad
    with pytest.raises(ValueError, match=r"`A\.query` must return finite"):
        qi.rp_cholesky(Asked(B), 3)


def test_a_matrix_that_is_not_square_is_refused():
    for A in (np.ones((3, 4)), sp.csr_array(np.ones((3, 4))), qi.as_sq_matrix(np.ones((3, 4))), Asked(np.ones((3, 4)))):
        with pytest.raises(ValueError, match=r"`A` must be a square matrix.*\(3, 4\)"):
            qi.rp_cholesky(A, 2)
    with pytest.raises(ValueError, match="2-dimensional"):
        qi.rp_cholesky(np.ones(4), 2)


def test_a_zero_matrix_has_no_pivots():
    for A in (np.zeros((4, 4)), sp.csr_array((4, 4)), Asked(np.zeros((4, 4)))):
        with pytest.raises(ZeroMassError, match="diagonal of zeros"):
            qi.rp_cholesky(A, 2)


def test_a_trace_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"trace below 1.8e308"):
        qi.rp_cholesky(Asked(np.diag(np.full(4, 1e308))), 2)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rank": 0}, ValueError, r"`rank` must be in \[1, min"),
        ({"rank": 11}, ValueError, "got 11"),
        ({"rank": True}, TypeError, "`rank`"),
        ({"rank": 2.0}, TypeError, "`rank`"),
        ({"tolerance": 0.0}, ValueError, "`tolerance`"),
        ({"tolerance": 1.0}, ValueError, "`tolerance`"),
        ({"tolerance": math.nan}, ValueError, "`tolerance`"),
        ({"tolerance": "a"}, TypeError, "`tolerance`"),
        ({"method": "magic"}, ValueError, "`method` must be one of accelerated, simple"),
        ({"block_size": 0}, ValueError, "`block_size`"),
        ({"block_size": 2.5}, TypeError, "`block_size`"),
        ({"block_size": 3, "method": "greedy"}, ValueError, "one pivot at a time"),
        ({"rng": -1}, ValueError, "`rng`"),
        ({"rng": "a"}, TypeError, "`rng`"),
    ],
)
def test_arguments_out_of_range_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        qi.rp_cholesky(np.eye(10), **{"rank": 3, **options})


def test_answers_of_a_wrong_shape_are_refused():
    class Wrong(Asked):
        def query(self, rows, cols):
            return super().query(rows, cols)[:-1]

    with pytest.raises(ValueError, match=r"`A.query` must return an array of shape \(4,\)"):
        qi.rp_cholesky(Wrong(np.eye(4)), 2)


# --- the result -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kernel_and_factor(rng):
    A = rbf_kernel(rng.standard_normal((150, 2)), gamma=0.4)
    return A, qi.rp_cholesky(A, 25, rng=0)


def test_eigenvalues_are_bounded_by_those_of_the_matrix_with_the_trace_error_between(kernel_and_factor):
    A, approx = kernel_and_factor
    true = np.linalg.eigvalsh(A)[::-1][:25]
    gaps = true - approx.eigenvalues
    assert (gaps > -1e-12).all()
    assert gaps.sum() <= approx.error.high * np.trace(A)


def test_eigenvectors_are_orthonormal_and_those_of_the_product(kernel_and_factor):
    _, approx = kernel_and_factor
    vectors = approx.eigenvectors()
    product = approx.factor @ approx.factor.T
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(25), atol=1e-13)
    np.testing.assert_allclose(product @ vectors, vectors * approx.eigenvalues, atol=1e-12)
    np.testing.assert_array_equal(approx.eigenvectors(4), vectors[:, :4])
    with pytest.raises(ValueError, match="`rank`"):
        approx.eigenvectors(26)


def test_the_answer_is_a_linear_operator_and_can_be_queried(kernel_and_factor, rng):
    _, approx = kernel_and_factor
    product = approx.factor @ approx.factor.T
    x = rng.standard_normal(150)
    operator = aslinearoperator(approx)
    np.testing.assert_allclose(operator.matvec(x), product @ x, atol=1e-12)
    np.testing.assert_allclose(operator.rmatvec(x), product @ x, atol=1e-12)
    rows, cols = np.array([3, 4]), np.array([0, 149, 7])
    np.testing.assert_allclose(approx.query(rows[:, None], cols), product[np.ix_(rows, cols)], atol=1e-14)
    np.testing.assert_allclose(approx.query(3, 4), product[3, 4], atol=1e-14)
    with pytest.raises(IndexError):
        approx.query([150], [0])
    with pytest.raises(ValueError, match="broadcasts"):
        approx.query([1, 2], [1, 2, 3])


@pytest.mark.parametrize("ridge", [1e-10, 1e-3, 10.0])
def test_the_ridge_solution_is_that_of_the_dense_matrix(kernel_and_factor, rng, ridge):
    _, approx = kernel_and_factor
    product = approx.factor @ approx.factor.T
    dense = product + ridge * np.eye(150)
    for b in (rng.standard_normal(150), product @ np.ones(150)):
        x = approx.solve(b, ridge)
        # Backward stable: the residual is rounding on the scale of the matrix times the solution.
        assert np.linalg.norm(dense @ x - b) <= 1e-13 * np.linalg.norm(dense, 2) * np.linalg.norm(x)


@pytest.mark.parametrize(
    ("ridge", "error"),
    [
        (0.0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        ("1", TypeError),
    ],
)
def test_a_ridge_that_is_no_positive_number_is_refused(kernel_and_factor, ridge, error):
    with pytest.raises(error, match="`ridge`"):
        kernel_and_factor[1].solve(np.ones(150), ridge)


def test_vectors_of_a_wrong_length_are_refused(kernel_and_factor):
    _, approx = kernel_and_factor
    with pytest.raises(ValueError, match="`x`"):
        approx.matvec(np.ones(3))
    with pytest.raises(ValueError, match="`b`"):
        approx.solve(np.ones(3), 1.0)


def test_the_account_tells_what_was_asked(kernel_and_factor):
    text = kernel_and_factor[1].explain()
    assert "rank 25 of a 150 x 150 matrix by accelerated" in text
    assert "relative trace error" in text


# --- kernels of points ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "reference"), [("rbf", rbf_kernel), ("laplacian", laplacian_kernel)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_named_kernel_is_that_of_scikit_learn(name, reference, dtype, rng):
    X = (rng.standard_normal((70, 4)) + 3.0).astype(dtype)
    K = qi.KernelMatrix(X, name, gamma=0.3)
    full = reference(X.astype(np.float64), gamma=0.3)
    every = np.arange(70)
    tolerance = {"rtol": 0.0, "atol": 4 * np.finfo(dtype).eps + 1e-14}
    np.testing.assert_allclose(K.rows(every), full, **tolerance)
    np.testing.assert_allclose(K.query(every[:, None], every[None, 5:9]), full[:, 5:9], **tolerance)
    np.testing.assert_allclose(K.query(every, every[::-1]), full[every, every[::-1]], **tolerance)
    np.testing.assert_array_equal(K.diagonal(), 1.0)
    assert K.rows(every).dtype == K.dtype == dtype
    assert K.shape == (70, 70)
    assert K.entries_computed == 2 * 70 * 70 + 70 * 4 + 70 + 70
    np.testing.assert_allclose(qi.KernelMatrix(X, name).rows([3]), reference(X.astype(float)[[3]], X), **tolerance)


@pytest.mark.parametrize("name", ["rbf", "laplacian"])
def test_points_far_from_the_origin_lose_no_more_digits_than_their_coordinates(name, rng):
    X = rng.integers(0, 100, (40, 3)) / 64.0
    far = qi.KernelMatrix(X + 2.0**20, name)
    np.testing.assert_allclose(far.rows(np.arange(40)), qi.KernelMatrix(X, name).rows(np.arange(40)), atol=1e-8)


def test_a_callable_is_asked_in_blocks(rng):
    X = rng.standard_normal((50, 4))
    K = qi.KernelMatrix(X, polynomial_kernel, degree=2, gamma=0.1)
    full = polynomial_kernel(X, degree=2, gamma=0.1)
    np.testing.assert_allclose(K.rows([4, 4, 0]), full[[4, 4, 0]], rtol=1e-14)
    np.testing.assert_allclose(K.diagonal(), np.diag(full), rtol=1e-14)
    assert K.query(np.zeros((0, 1), dtype=int), np.arange(3)[None]).shape == (0, 3)
    known = qi.KernelMatrix(X, polynomial_kernel, degree=2, gamma=0.1, diagonal=np.diag(full))
    np.testing.assert_array_equal(known.diagonal(), np.diag(full))
    assert known.entries_computed == 50


def test_a_kernel_of_a_gaussian_process_gives_its_diagonal_at_once(rng):
    X = rng.standard_normal((60, 2))
    K = qi.KernelMatrix(X, Matern(nu=1.5))
    np.testing.assert_array_equal(K.diagonal(), 1.0)
    assert K.entries_computed == 60
    approx = qi.rp_cholesky(K, 60, tolerance=1e-3, rng=0)
    assert np.trace(residual_of(Matern(nu=1.5)(X), approx)) <= 1e-3 * 60


def test_a_callable_that_answers_wrongly_is_refused(rng):
    X = rng.standard_normal((20, 2))
    with pytest.raises(ValueError, match=r"`kernel` must return a block of shape \(1, 20\)"):
        qi.KernelMatrix(X, lambda x, y: np.ones(len(x) * len(y))).rows([0])
    with pytest.raises(ValueError, match=r"finite numbers; got K\[2, 0\] = nan"):
        qi.KernelMatrix(X, lambda x, y: np.full((len(x), len(y)), np.nan)).rows([2])


@pytest.mark.parametrize(
    ("args", "options", "error", "match"),
    [
        ((np.ones(3),), {}, ValueError, "2-dimensional"),
        ((np.array([[np.nan]]),), {}, ValueError, "finite"),
        ((sp.csr_array(np.eye(2)),), {}, TypeError, "toarray"),
        ((np.eye(2), "cosine"), {}, ValueError, "`kernel` must be one of rbf, laplacian"),
        ((np.eye(2), 3), {}, ValueError, "`kernel`"),
        ((np.eye(2),), {"gamma": -1.0}, ValueError, "`gamma`"),
        ((np.eye(2),), {"gamma": True}, TypeError, "`gamma`"),
        ((np.eye(2),), {"degree": 2}, TypeError, "`gamma` only; got degree"),
        ((np.eye(2),), {"diagonal": 1.0}, ValueError, "`diagonal`"),
        ((np.eye(2), rbf_kernel), {"diagonal": [1.0]}, ValueError, "`diagonal`"),
    ],
)
def test_a_kernel_matrix_refuses_what_it_cannot_use(args, options, error, match):
    with pytest.raises(error, match=match):
        qi.KernelMatrix(*args, **options)


def test_indices_out_of_range_are_refused(rng):
    K = qi.KernelMatrix(rng.standard_normal((5, 2)))
    with pytest.raises(IndexError):
        K.query([5], [0])
    with pytest.raises(IndexError):
        K.rows([-1])
    with pytest.raises(ValueError, match="broadcasts"):
        K.query([1, 2], [1, 2, 3])


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
@pytest.mark.parametrize("far", [99.0, 1e9, 1e200, 1.7e308])
def test_points_far_from_the_others_do_not_blur_their_kernel(kernel, far, rng):
    X = rng.standard_normal((100, 3))
    alone = qi.KernelMatrix(X, kernel, gamma=0.03)
    K = qi.KernelMatrix(np.vstack([X, [[far] * 3, [-far] * 3]]), kernel, gamma=0.03)
    np.testing.assert_allclose(K.rows(np.arange(100))[:, :100], alone.rows(np.arange(100)), rtol=1e-11)
    np.testing.assert_allclose(K.query(np.arange(100), np.full(100, 7)), alone.rows([7])[0], rtol=1e-11)
    np.testing.assert_allclose(K.rows([100, 101])[:, :100], 0.0, atol=0.01)
    assert qi.rp_cholesky(K, 102, rng=0).error.value < 1e-12
