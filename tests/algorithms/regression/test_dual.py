from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from low_rank_systems import cell, exact, exact_of_rank, prediction_error, residual, system
from oracles import P_LOWEST
from scipy import stats

import qinspired as qi
from qinspired.algorithms.regression import _row_space
from qinspired.algorithms.regression._row_laws import RowsByNorm
from qinspired.algorithms.regression._system import System
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


@pytest.mark.parametrize("kappa", [1, 3, 10, 30])
@pytest.mark.parametrize("rank", [2, 5, 10, 20])
@pytest.mark.parametrize("method", ["dual", "galerkin"])
def test_the_published_low_rank_systems_are_solved_to_rounding(method, rank, kappa):
    A, b, x = cell(rank, kappa)
    for seed in range(3):
        solution = qi.least_squares(A, b, method=method, rng=seed)
        assert np.linalg.norm(solution.x - x) < 1e-10
        assert solution.error.high < 1e-10
        assert solution.method == method


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wide_system_of_low_rank_keeps_its_promise_dense_and_sparse(make, dtype, rng):
    A, b = system((900, 1500), 6, noise=0.1, rng=rng)
    A[:, rng.random(1500) < 0.5] = 0.0
    A = A.astype(dtype)
    best = exact(A.astype(np.float64), b) if dtype == np.float64 else None
    if best is None:
        # Rounded to float32 the matrix has full rank: only a ridge makes it a problem of low rank.
        best = exact(A.astype(np.float64), b, ridge=1e-4)
    ridge = 0.0 if dtype == np.float64 else 1e-4
    solution = qi.least_squares(make(A), b, ridge=ridge, tolerance=0.05, method="dual", rng=0)
    assert prediction_error(A, solution.x, best) <= 0.05
    assert solution.error.high <= 0.05


def test_few_rows_are_read_of_a_large_consistent_system(rng):
    A, b = system((3000, 2000), 8, rng=rng)
    counted = qi.CountingMatrix(qi.as_sq_matrix(A))
    solution = qi.least_squares(counted, b, tolerance=0.02, rng=0)
    assert solution.method == "dual"
    assert counted.counts.full_passes == 0
    assert solution.stats.rows_read <= 700
    np.testing.assert_allclose(solution.x, exact_of_rank(A, b, 8), atol=1e-9 * np.abs(solution.x).max())


def test_auto_draws_rows_where_a_small_tail_makes_the_rank_full(rng):
    A, b = system((2400, 2000), 10, tail=1e-3, rng=rng)
    solution = qi.least_squares(A, b, tolerance=0.02, rng=0)
    assert solution.method == "dual"
    # The system is consistent, so that the residual is the prediction error.
    assert residual(A, b, solution.x) <= solution.error.high <= 0.02


@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
@pytest.mark.parametrize("kind", ["noisy", "ridge"])
@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_intervals_cover_the_error_and_the_residual_as_often_as_they_say(kind, skew):
    rng = np.random.default_rng(3)
    ridge = {"noisy": 0.0, "ridge": 1e-2}[kind]
    A, b = system((1000, 1200), 8, noise=0.3, tail=0.0 if kind == "noisy" else 1e-2, skew=skew, rng=rng)
    best = exact(A, b, ridge)
    matrix = qi.as_sq_matrix(A)
    above = misses = 0
    for seed in range(100):
        solution = qi.least_squares(matrix, b, ridge=ridge, tolerance=0.3 if skew else 0.1, method="dual", rng=seed)
        above += prediction_error(A, solution.x, best) > solution.error.high
        misses += not solution.residual.low <= residual(A, b, solution.x) <= solution.residual.high
    # Each upper end is meant to fail in 2.5 % and each interval in 5 %; up to twice that is allowed for.
    assert stats.binom.sf(above - 1, 100, 0.05) > P_LOWEST
    assert stats.binom.sf(misses - 1, 100, 0.1) > P_LOWEST
    # The twin: a count that a wrong interval would give, one in three, is rejected.
    assert stats.binom.sf(33 - 1, 100, 0.1) < P_LOWEST


def test_the_bound_by_the_residual_is_above_the_error_for_every_seed():
    rng = np.random.default_rng(5)
    A, b = system((900, 1000), 8, noise=0.02, tail=1e-2, rng=rng)
    best = exact(A, b)
    matrix = qi.as_sq_matrix(A)
    above = 0
    for seed in range(100):
        solution = qi.least_squares(matrix, b, tolerance=0.05, method="dual", rng=seed)
        above += prediction_error(A, solution.x, best) > solution.error.high
    assert stats.binom.sf(above - 1, 100, 0.05) > P_LOWEST


def test_a_right_hand_side_far_from_the_range_warns_or_is_solved_by_a_dearer_method(data_dir):
    A, b = np.load(data_dir / "xanadu/linear_small_A.npy"), np.load(data_dir / "xanadu/linear_small_b.npy")
    best = exact(A, b)
    for seed in range(10):
        with pytest.warns(ToleranceNotMetWarning):
            assert qi.least_squares(A, b, tolerance=0.05, method="dual", rng=seed).error.high > 0.05
        solution = qi.least_squares(A, b, tolerance=0.05, rng=seed)
        assert np.linalg.norm(solution.x - best) / np.linalg.norm(best) < 1e-9


def test_noise_that_the_tail_of_the_matrix_explains_is_never_certified(rng):
    A, b = system((800, 1000), 5, noise=0.3, tail=1e-2, rng=rng)
    with pytest.warns(ToleranceNotMetWarning, match="use method='auto'"):
        solution = qi.least_squares(A, b, tolerance=0.05, method="dual", rng=0)
    best = exact(A, b)
    assert prediction_error(A, solution.x, best) > 0.05
    assert prediction_error(A, solution.x, best) <= solution.error.high
    answer = qi.least_squares(A, b, tolerance=0.05, rng=0)
    assert prediction_error(A, answer.x, best) <= 0.05


@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_a_direction_of_one_row_that_decides_the_answer_is_not_certified_away(rng):
    A, b = system((700, 900), 5, rng=rng)
    A[7] = 0.0
    A[7, 3] = 1e-4
    b[7] = 10.0 * np.linalg.norm(b)
    best = exact(A, b)
    matrix = qi.as_sq_matrix(A)
    for seed in range(20):
        solution = qi.least_squares(matrix, b, tolerance=0.05, method="dual", rng=seed)
        assert prediction_error(A, solution.x, best) <= 0.05 or solution.error.high > 0.05


@pytest.mark.parametrize("start", ["index", "uniform"])
def test_a_start_without_an_index_gives_the_same_accuracy(start, rng):
    A, b = system((3000, 4000), 8, tail=1e-3, rng=rng)
    A = A.astype(np.float32)
    solution = qi.least_squares(A, b, tolerance=0.02, start=start, method="dual", rng=0)
    assert residual(A, b, solution.x) <= 0.02
    assert solution.error.high <= 0.02
    assert ("started without an index" in solution.status) == (start == "uniform")
    assert (solution.stats.index_seconds == 0.0) == (start == "uniform")


def test_uneven_rows_make_the_index_after_all(rng):
    A, b = system((3000, 4000), 4, skew=3.0, rng=rng)
    solution = qi.least_squares(A, b, tolerance=0.02, start="uniform", method="dual", rng=0)
    assert "the index was built" in solution.status
    assert solution.error.high <= 0.02


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_entries_whose_squares_leave_the_range_give_the_right_answer(scale, rng):
    A, b = system((500, 700), 4, rng=rng)
    solution = qi.least_squares(A * scale, b, tolerance=0.05, method="dual", rng=0)
    assert prediction_error(A, solution.x * scale, exact(A, b)) < 1e-8


def test_zero_rows_do_no_harm(rng):
    A, b = system((1200, 1500), 5, rng=rng)
    A[::2] = 0.0
    best = exact(A, b)
    solution = qi.least_squares(A, b, tolerance=0.05, method="dual", rng=0)
    assert prediction_error(A, solution.x, best) < 1e-9
    assert solution.residual.low <= residual(A, b, best) <= solution.residual.high


def test_an_implicit_matrix_of_readable_rows_is_solved(rng):
    A, b = system((600, 800), 5, rng=rng)
    matrix = qi.ImplicitMatrix(np.linalg.norm(A, axis=1), lambda rows: A[rows], shape=A.shape)
    solution = qi.least_squares(matrix, b, tolerance=0.05, method="dual", rng=0)
    assert prediction_error(A, solution.x, exact(A, b)) < 1e-9


def test_one_row_and_one_column_are_enough(rng):
    row = qi.least_squares([[3.0, 4.0]], [10.0], method="dual", rng=0)
    np.testing.assert_allclose(row.x, [1.2, 1.6])
    column = qi.least_squares(np.full((5, 1), 2.0), np.full(5, 3.0), method="dual", rng=0)
    np.testing.assert_allclose(column.x, [1.5])


def test_the_same_seed_gives_the_same_solution(rng):
    A, b = system((600, 800), 5, noise=0.1, rng=rng)
    one, two = (qi.least_squares(A, b, tolerance=0.1, method="dual", rng=7) for _ in range(2))
    np.testing.assert_array_equal(one.x, two.x)


def test_bad_input_is_refused(rng):
    A, b = system((60, 80), 3, rng=rng)
    with pytest.raises(ZeroMassError, match="non-zero"):
        qi.least_squares(np.zeros((10, 20)), np.ones(10), method="dual")
    with pytest.raises(ValueError, match="`b` must have one entry for each of the 60 rows"):
        qi.least_squares(A, b[:-1], method="dual")
    with pytest.raises(ValueError, match="`b` must be finite"):
        qi.least_squares(A, np.r_[np.nan, b[1:]], method="dual")
    with pytest.raises(ValueError, match="`tolerance`"):
        qi.least_squares(A, b, method="dual", tolerance=0.0)
    broken = A.copy()
    broken[2, 3] = np.inf
    with pytest.raises(ValueError, match="finite"):
        qi.least_squares(broken, b, method="dual")


@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_more_drawn_rows_than_columns_with_rare_features_and_a_ridge_end_in_an_answer():
    rng = np.random.default_rng(3)
    A = np.column_stack([rng.standard_normal((4000, 20)), np.zeros((4000, 10))])
    for j in range(10):
        A[rng.choice(4000, 3 + j, replace=False), 20 + j] = 3.0
    fitted = A @ rng.standard_normal(30)
    b = fitted + 0.5 * np.linalg.norm(fitted) / np.sqrt(4000) * rng.standard_normal(4000)
    exact = np.linalg.solve(A.T @ A + 2.68 * np.eye(30), A.T @ b)
    for seed in range(4):
        solution = qi.least_squares(A, b, method="dual", ridge=2.68, tolerance=0.03, rng=seed)
        error = np.linalg.norm(A @ (solution.x - exact)) / np.linalg.norm(A @ exact)
        assert error <= 1.5 * solution.error.high


def test_within_the_span_of_drawn_rows_the_status_says_what_rows_would_go_unseen(rng):
    A, b = system((1000, 800), 5, rng=rng)
    solution = qi.least_squares(A, b, method="dual", rng=0)
    assert solution.error.high < 1e-8
    assert "rows unlike any drawn or held-out one, at 95 % at most 1.5 % of |A|_F^2, go unseen" in solution.status
    # A pass over all rows would see them, and a bound by the residual of drawn rows makes no claim about a space.
    assert "unseen" not in qi.least_squares(A, b, method="galerkin", rng=0).status
    A, b = system((1000, 800), 5, tail=1e-3, rng=rng)
    assert "unseen" not in qi.least_squares(A, b, method="dual", tolerance=0.1, rng=0).status


def test_a_row_with_the_share_that_the_status_names_is_missed_as_seldom_as_it_says(rng):
    A, x = system((1000, 800), 5, rng=rng)[0], rng.standard_normal(800)
    basis = np.linalg.qr(A.T[:, :5])[0]
    x = basis @ (basis.T @ x)
    unlike = rng.standard_normal(800)
    unlike -= basis @ (basis.T @ unlike)
    unlike /= np.linalg.norm(unlike)

    def missed(share):
        size = np.sqrt(share / (1.0 - share)) * np.linalg.norm(A)
        rows = np.vstack([A, size * unlike])
        b = rows @ (x + 1e-3 * np.linalg.norm(A @ x) / size * unlike)
        matrix = qi.as_sq_matrix(rows)
        found = [qi.least_squares(matrix, b, method="dual", rng=seed) for seed in range(200)]
        wrong = [np.linalg.norm(rows @ each.x - b) > 1e-4 * np.linalg.norm(b) for each in found]
        return sum(far and each.error.high < 1e-8 for far, each in zip(wrong, found, strict=True))

    assert stats.binomtest(missed(0.015), 200, 0.05, alternative="greater").pvalue > P_LOWEST
    # A bound by all 600 held-out rows, which is 0.5 %, would be exceeded more often.
    assert stats.binomtest(missed(0.005), 200, 0.05, alternative="greater").pvalue < P_LOWEST


@pytest.mark.parametrize(("least", "rank"), [(1e-13, 6), (7e-14, 5), (1e-17, 5)])
def test_directions_at_the_rounding_of_the_rows_are_left_out_and_others_kept(least, rank, rng):
    # 400 rows of 90 columns: LAPACK's threshold is 400 eps = 9e-14 of the largest singular value.
    Q = np.linalg.qr(rng.standard_normal((90, 6)))[0]
    A = np.linalg.qr(rng.standard_normal((4000, 6)))[0] @ Q.T
    rows = _row_space.DrawnRows(System(qi.CountingMatrix(qi.as_sq_matrix(A)), np.ones(4000), 0.0, *_by_norm(A, rng)))
    rows.grow_to(400)
    P, _, Vt = np.linalg.svd(rows.block, full_matrices=False)
    rows.block = (P[:, :6] * [1.0, 1.0, 1.0, 1.0, 1.0, least]) @ Vt[:6]
    space = rows.space(accurate=True)
    assert space.rank == rank
    np.testing.assert_allclose(space.s[:5], 1.0, rtol=1e-12)


def _by_norm(A, rng):
    return RowsByNorm(qi.CountingMatrix(qi.as_sq_matrix(A))), rng
