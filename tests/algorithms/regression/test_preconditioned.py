from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.algorithms.regression._exact_solution import BLOCK_ENTRIES, block_rows

M, N = 6000, 40


def noisy(rng, noise=1.0, kappa=5.0, rows=None):
    turn = np.linalg.qr(rng.standard_normal((N, N)))[0]
    A = (rng.standard_normal((M, N)) * np.geomspace(1, 1 / kappa, N)) @ turn
    if rows is not None:
        A *= rows(rng)[:, None]
    fitted = A @ rng.standard_normal(N)
    return A, fitted + noise * np.linalg.norm(fitted) / np.sqrt(M) * rng.standard_normal(M)


def prediction_error(A, x, exact):
    return np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact)


def preconditioned(A, b, tolerance=1e-3, **options):
    return qi.least_squares(A, b, tolerance=tolerance, method="preconditioned", rng=0, **options)


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 1e-4, 1e-7, 1e-10])
@pytest.mark.parametrize("noise", [0.1, 1.0, 5.0])
def test_any_tolerance_is_met_whatever_the_noise(noise, tolerance, rng):
    A, b = noisy(rng, noise)
    solution = preconditioned(A, b, tolerance)
    exact = scipy.linalg.lstsq(A, b)[0]
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= tolerance
    assert solution.method in ("preconditioned", "rows")
    residual = np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b)
    if solution.method == "preconditioned":
        assert solution.residual.value == pytest.approx(residual, rel=1e-8)
        assert "passes" in solution.status


@pytest.mark.parametrize(
    "rows",
    [
        lambda rng: np.exp(rng.standard_normal(M)),
        lambda rng: 1 + rng.pareto(1.2, M),
        lambda _: np.where(np.arange(M) < 30, 200.0, 1.0),
        lambda _: np.where(np.arange(M) % 2, 1.0, 0.0),
        lambda _: np.linspace(1e-3, 1, M) ** 2,
    ],
    ids=["log-normal", "Pareto", "30 heavy rows", "half zero", "ascending"],
)
def test_rows_of_uneven_norms_are_no_obstacle(rows, rng):
    A, b = noisy(rng, rows=rows)
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = preconditioned(A, b)
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-3


@pytest.mark.parametrize("kappa", [1.0, 1e3, 1e5])
def test_the_condition_number_does_not_matter(kappa, rng):
    A, b = noisy(rng, kappa=kappa)
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = preconditioned(A, b, 1e-6)
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-6
    assert solution.stats.full_passes <= 14


@pytest.mark.parametrize("make", [np.float32, np.asfortranarray, sp.csr_array, lambda A: A[::-1][::-1]])
def test_other_storages_give_the_same_answer(make, rng):
    A, b = noisy(rng)
    converted = make(A)
    dense = np.asarray(converted.toarray() if sp.issparse(converted) else converted, dtype=np.float64)
    exact = scipy.linalg.lstsq(dense, b)[0]
    solution = preconditioned(converted, b)
    assert prediction_error(dense, solution.x, exact) <= solution.error.high <= 1e-3


@pytest.mark.parametrize("share", [1e-3, 1.0, 100.0])
def test_a_ridge_solution_agrees_with_scikit_learn(share, rng):
    A, b = noisy(rng)
    ridge = share * np.linalg.norm(A) ** 2 / N
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A, b).coef_
    solution = preconditioned(A, b, 1e-6, ridge=ridge)
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-6
    residual = np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b)
    assert solution.residual.value == pytest.approx(residual, rel=1e-6)


def test_bounds_of_the_error_hold_over_many_seeds():
    held, ratios = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        A, b = noisy(rng, rows=(lambda r: np.exp(r.standard_normal(M))) if seed % 2 else None)
        exact = scipy.linalg.lstsq(A, b)[0]
        solution = qi.least_squares(A, b, tolerance=0.02, method="preconditioned", rng=seed)
        error = prediction_error(A, solution.x, exact)
        held += solution.error.low <= error <= solution.error.high
        ratios.append(solution.error.high / error)
    assert held >= 93
    assert np.median(ratios) < 2.5  # and are not wide


def test_directions_that_drawn_rows_overstate_widen_the_bounds(rng):
    # A drawn row of a column that few rows have counts for more than there is of it in A.
    A, b = noisy(rng)
    A[:, 0] = 0.0
    A[rng.choice(M, 60, replace=False), 0] = 1.0
    for seed in range(10):
        solution = qi.least_squares(A, b, tolerance=0.01, method="preconditioned", rng=seed)
        exact = scipy.linalg.lstsq(A, b)[0]
        assert prediction_error(A, solution.x, exact) <= solution.error.high <= 0.01


def test_a_column_that_no_drawn_row_has_goes_to_the_exact_solver(rng):
    A, b = noisy(rng)
    A[:, 0] = 0.0
    A[5, 0] = 1e-4
    solution = preconditioned(A, b)
    exact = scipy.linalg.lstsq(A, b)[0]
    assert solution.method == "exact"
    assert "do not precondition" in solution.status
    np.testing.assert_allclose(solution.x, exact, rtol=1e-6, atol=1e-8 * np.abs(exact).max())


def test_auto_takes_passes_where_the_noise_asks_for_too_many_rows_and_moments_are_dear():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60_000, 300))
    b = A @ rng.standard_normal(300) + 30 * rng.standard_normal(60_000)
    solution = qi.least_squares(A, b, tolerance=1e-3, rng=0)
    exact = np.linalg.solve(A.T @ A, A.T @ b)
    assert solution.method == "preconditioned"
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-3


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_entries_whose_squares_leave_the_range_give_the_right_answer(scale, rng):
    A, b = noisy(rng)
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = preconditioned(A * scale, b)
    assert prediction_error(A, solution.x * scale, exact) <= 1e-3


def test_a_target_far_from_the_range_ends_in_an_answer_or_a_warning(rng):
    A, b = noisy(rng)
    b -= A @ scipy.linalg.lstsq(A, b)[0]
    b += 1e-6 * np.linalg.norm(b) * A[:, 0] / np.linalg.norm(A[:, 0])
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = preconditioned(A, b, 0.01)
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 0.01


def dependent(rng):
    A, _ = noisy(rng)
    A[:, 1] = A[:, 0] + 0.01 * A[:, 1]
    return A


def drifting(rng):
    return noisy(rng)[0] + 3.0 * rng.standard_normal((M, 1))


def scaled_columns(rng):
    return rng.standard_normal((M, N)) * np.geomspace(1, 1e4, N)


def one_hot(rng):
    A = np.zeros((M, N))
    A[np.arange(M), np.minimum(rng.geometric(0.15, M), N) - 1] = 1.0
    A[:N] += np.eye(N)
    return A


def few_rows_of_a_column(rng):
    A, _ = noisy(rng)
    A[:, 0] = 0.0
    A[:25, 0] = rng.standard_normal(25)
    return A


@pytest.mark.parametrize("make", [dependent, drifting, scaled_columns, one_hot, few_rows_of_a_column])
def test_no_bound_is_false_where_columns_are_or_look_orthogonal(make):
    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A = make(rng)
        b = A @ (rng.standard_normal(N) / np.linalg.norm(A, axis=0)) + 0.3 * rng.standard_normal(M)
        exact = scipy.linalg.lstsq(A, b)[0]
        for tolerance in (0.05, 0.003):
            solution = qi.least_squares(A, b, tolerance=tolerance, method="preconditioned", rng=seed)
            assert solution.error.high <= tolerance
            false += prediction_error(A, solution.x, exact) > solution.error.high
    assert false <= 3


def test_orthogonal_columns_of_any_scale_need_no_triangle(rng):
    A = scaled_columns(rng)
    b = A @ (1 / np.geomspace(1, 1e4, N)) + 6.0 * rng.standard_normal(M)
    solution = preconditioned(A, b, 1e-6)
    exact = scipy.linalg.lstsq(A, b)[0]
    assert "column scales" in solution.status
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-6
    assert solution.stats.full_passes <= 10
    assert "their triangle" in preconditioned(dependent(rng), b, 1e-6).status


def test_passes_make_no_index_and_yet_see_all_rows(rng):
    A, b = noisy(rng)
    solution = preconditioned(A, b, start="uniform")
    assert not solution.source.has_index
    exact = scipy.linalg.lstsq(A, b)[0]
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-3
    assert "would go unseen" not in solution.status
    A[4321] *= 1e3
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = preconditioned(A, b, start="uniform")
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-3
    A[1234, 5] = np.nan
    with pytest.raises(ValueError, match=r"A\[1234, 5\] = nan"):
        preconditioned(A, b, start="uniform")


def solved_in_extended_precision(A, b):
    A, b, n = A.astype(np.longdouble), b.astype(np.longdouble), A.shape[1]
    Q, R = A.copy(), np.zeros((n, n), np.longdouble)
    for j in range(n):
        for _ in range(2):
            parts = Q[:, :j].T @ Q[:, j]
            Q[:, j] -= Q[:, :j] @ parts
            R[:j, j] += parts
        R[j, j] = np.sqrt(Q[:, j] @ Q[:, j])
        Q[:, j] /= R[j, j]
    x = np.zeros(n, np.longdouble)
    rest = Q.T @ b
    for j in reversed(range(n)):
        x[j] = (rest[j] - R[j, j + 1 :] @ x[j + 1 :]) / R[j, j]
    return x


@pytest.mark.parametrize("tolerance", [1e-9, 1e-12, 1e-14])
@pytest.mark.parametrize("kappa", [1e4, 5e5])
@pytest.mark.parametrize("noise", [0.1, 10.0])
def test_no_tolerance_below_rounding_is_claimed(noise, kappa, tolerance, rng):
    turn = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    A = (rng.standard_normal((4000, 20)) * np.geomspace(1, 1 / kappa, 20)) @ turn
    fitted = A @ (turn.T @ (np.geomspace(1, kappa, 20) * rng.standard_normal(20)))
    b = fitted + noise * np.linalg.norm(fitted) / np.sqrt(4000) * rng.standard_normal(4000)
    best = solved_in_extended_precision(A, b)
    solution = qi.least_squares(A, b, tolerance=tolerance, method="preconditioned", rng=0)
    wide = A.astype(np.longdouble)
    error = float(np.linalg.norm(wide @ (solution.x - best)) / np.linalg.norm(wide @ best))
    assert error <= solution.error.high
    if solution.error.high > tolerance:
        assert solution.method == "exact"
        assert "rounding" in solution.status


@pytest.mark.parametrize("kappa", [1.1, 5.0, 20.0])
@pytest.mark.parametrize("tolerance", [0.1, 0.01, 1e-6])
def test_a_gradient_from_the_index_pass_spares_one_pass_and_gives_the_same_answer(kappa, tolerance, rng):
    A = rng.standard_normal((M, N)) * np.linspace(kappa, 1, N)
    fitted = A @ rng.standard_normal(N)
    b = fitted + 10.0 * np.linalg.norm(fitted) / np.sqrt(M) * rng.standard_normal(M)
    cold, warm = preconditioned(A, b, tolerance), preconditioned(qi.as_sq_matrix(A), b, tolerance)
    exact = scipy.linalg.lstsq(A, b)[0]
    for solution in (cold, warm):
        assert solution.method == "preconditioned"
        assert prediction_error(A, solution.x, exact) <= solution.error.high <= tolerance
        residual = np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b)
        assert solution.residual.value == pytest.approx(residual, rel=1e-8)
    assert "the first with the index" in cold.status
    assert "the first with the index" not in warm.status
    assert f"{cold.stats.full_passes + 1} passes" in cold.status
    assert f"{warm.stats.full_passes} passes" in warm.status
    assert cold.stats.full_passes < warm.stats.full_passes
    for stats in (cold.stats, warm.stats):
        assert stats.bytes_read == 8 * N * (stats.rows_read + M * stats.full_passes)
    assert (cold.stats.index_seconds > 0.0, warm.stats.index_seconds) == (True, 0.0)
    assert cold.stats.row_draws == warm.stats.row_draws


def test_drawn_rows_are_the_start_where_they_are_nearer_than_a_pass(rng):
    A, b = noisy(rng, noise=1e-4)
    assert "the first with the index" not in preconditioned(A, b, 1e-9).status


def test_a_gradient_that_overflows_is_taken_by_a_pass(rng):
    A, b = noisy(rng)
    A *= 1e306 / np.abs(A).max()
    solution = preconditioned(A, np.abs(b) * np.sign(A[:, 0]))
    assert solution.error.high <= 1e-3


@pytest.mark.parametrize("method", ["auto", "preconditioned"])
def test_an_entry_that_is_not_finite_is_named_where_the_index_is_made_in_the_call(method, rng):
    A, b = rng.standard_normal((30_000, 100)), rng.standard_normal(30_000)
    A[1234, 5] = np.nan
    with pytest.raises(ValueError, match=r"A\[1234, 5\] = nan"):
        qi.least_squares(A, b, method=method, tolerance=1e-3)


def test_bounds_hold_whatever_the_start_and_the_noise():
    false, from_zero = 0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        for kappa, noise in ((1.1, 1.0), (1.1, 10.0), (5.0, 0.1), (5.0, 1.0), (20.0, 0.1), (20.0, 1.0)):
            A = rng.standard_normal((M, N)) * np.linspace(kappa, 1, N)
            fitted = A @ rng.standard_normal(N)
            b = fitted + noise * np.linalg.norm(fitted) / np.sqrt(M) * rng.standard_normal(M)
            exact = scipy.linalg.lstsq(A, b)[0]
            solution = preconditioned(A, b, 10.0 ** -rng.uniform(1, 6))
            by_passes = solution.method == "preconditioned"
            false += by_passes and prediction_error(A, solution.x, exact) > solution.error.high
            from_zero += by_passes and "the first with the index" in solution.status
    assert false == 0
    assert 80 <= from_zero <= 160  # of 180


@pytest.mark.parametrize("n", [7, 300, 500, 4097])
def test_blocks_of_a_pass_are_large_enough_for_threads(n):
    A = qi.CountingMatrix(qi.as_sq_matrix(np.ones((1, 1))[[0] * 3000][:, [0] * n]))
    assert block_rows(A) * n >= BLOCK_ENTRIES
    assert (block_rows(A) - 1) * n < BLOCK_ENTRIES
