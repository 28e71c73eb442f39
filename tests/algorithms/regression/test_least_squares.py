from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.algorithms.regression import _normal_equations
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


def tall(rng, shape=(20_000, 30), noise=0.1):
    A = rng.standard_normal(shape) * np.geomspace(5, 1, shape[1])
    fitted = A @ rng.standard_normal(shape[1])
    return A, fitted + noise * np.linalg.norm(fitted) / np.sqrt(shape[0]) * rng.standard_normal(shape[0])


def prediction_error(A, x, exact):
    return np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact)


@pytest.mark.parametrize("method", ["auto", "rows", "kaczmarz", "exact"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_every_method_keeps_its_promise(method, dtype, make, rng):
    A, b = tall(rng)
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(make(A.astype(dtype)), b, tolerance=0.05, method=method, rng=1)
    assert prediction_error(A, solution.x, exact) <= 0.05
    assert solution.error.high <= 0.05
    assert solution.x.dtype == np.float64


@pytest.mark.parametrize("method", ["rows", "kaczmarz", "exact"])
def test_a_ridge_solution_agrees_with_scikit_learn(method, rng):
    A, b = tall(rng, noise=0.3)
    ridge = 0.2 * np.linalg.norm(A) ** 2 / A.shape[1]
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A, b).coef_
    plain = scipy.linalg.lstsq(A, b)[0]
    assert prediction_error(A, plain, exact) > 0.1
    solution = qi.least_squares(A, b, ridge=ridge, tolerance=0.05, method=method, rng=0)
    assert prediction_error(A, solution.x, exact) <= 0.05


@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (30, 30)])
@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_the_exact_method_agrees_with_lapack_on_tall_wide_and_square_systems(shape, ridge, make, rng):
    A, b = rng.standard_normal(shape), rng.standard_normal(shape[0])
    stacked = np.vstack([A, np.sqrt(ridge) * np.eye(shape[1])]) if ridge else A
    exact = scipy.linalg.lstsq(stacked, np.concatenate([b, np.zeros(len(stacked) - len(b))]))[0]
    solution = qi.least_squares(make(A), b, ridge=ridge, method="exact")
    np.testing.assert_allclose(solution.x, exact, atol=1e-8 * np.abs(exact).max())
    residual = np.linalg.norm(A @ exact - b) / np.linalg.norm(b)
    assert solution.residual.value == pytest.approx(residual, abs=1e-10)


def test_a_rank_deficient_system_gets_the_solution_of_least_norm(rng):
    A = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 30))
    b = rng.standard_normal(200)
    exact = scipy.linalg.lstsq(A, b)[0]
    np.testing.assert_allclose(qi.least_squares(A, b, method="exact").x, exact, atol=1e-9)
    consistent = A @ rng.standard_normal(30)
    solution = qi.least_squares(A, consistent, method="rows", rng=0)
    np.testing.assert_allclose(solution.x, scipy.linalg.lstsq(A, consistent)[0], atol=1e-8)


def test_an_ill_conditioned_system_goes_from_normal_equations_to_lapack(rng):
    U, V = np.linalg.qr(rng.standard_normal((300, 20)))[0], np.linalg.qr(rng.standard_normal((20, 20)))[0]
    A = (U * np.geomspace(1, 1e-9, 20)) @ V.T
    x = rng.standard_normal(20)
    solution = qi.least_squares(A, A @ x, method="exact")
    assert "orthogonal factorisation" in solution.status
    assert np.linalg.norm(solution.x - x) / np.linalg.norm(x) < 1e-4


@pytest.mark.parametrize("kappa", [1.0, 30.0])
@pytest.mark.parametrize("rank", [2, 20])
def test_a_consistent_low_rank_system_is_solved_to_rounding_from_drawn_rows(rank, kappa):
    rng = np.random.default_rng(0)
    U, V = (
        np.linalg.qr(rng.standard_normal((1000, rank)))[0],
        np.linalg.qr(rng.standard_normal((500, rank)))[0],
    )
    A = (U * np.geomspace(1, 1 / kappa, rank)) @ V.T
    x = V @ rng.standard_normal(rank)
    solution = qi.least_squares(A, A @ x, method="rows", rng=0)
    assert np.linalg.norm(solution.x - x) / np.linalg.norm(x) < 1e-10
    assert solution.error.high < 1e-9


@pytest.mark.parametrize("kappa", [1, 1e2, 1e4, 1e6, 1e8, 1e10])
def test_the_rounding_of_a_solve_is_certified_too(kappa, rng):
    turn = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    A = (rng.standard_normal((20_000, 30)) * np.geomspace(1, 1 / kappa, 30)) @ turn
    b = A @ rng.standard_normal(30)
    solution = qi.least_squares(A, b, tolerance=0.05, method="rows", rng=0)
    assert np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b) <= 1.3 * solution.error.high
    assert solution.error.high < 1e-6


def test_drawn_rows_are_the_only_entries_read(rng):
    A, b = tall(rng, shape=(50_000, 40), noise=0.05)
    counted = qi.CountingMatrix(qi.as_sq_matrix(A))
    solution = qi.least_squares(counted, b, tolerance=0.05, method="rows", rng=0)
    assert counted.counts.full_passes == 0
    assert counted.counts.entries_read == solution.stats.entries_read == 40 * solution.stats.rows_read
    assert solution.stats.rows_read < 2500


def test_auto_takes_the_exact_solver_where_the_noise_asks_for_too_many_rows(rng):
    A, b = tall(rng, shape=(4000, 60), noise=3.0)
    solution = qi.least_squares(A, b, tolerance=0.01, rng=0)
    assert solution.method == "exact"
    assert solution.error.high <= 0.01


def test_auto_draws_rows_of_a_large_consistent_system():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60_000, 150))
    x = rng.standard_normal(150)
    solution = qi.least_squares(A, A @ x, tolerance=0.05, rng=0)
    assert solution.method == "rows"
    assert np.linalg.norm(solution.x - x) / np.linalg.norm(x) < 1e-10


@pytest.mark.parametrize("scale", [1e150, 1e200, 1e-200])
@pytest.mark.parametrize("target", [1.0, 1e180, 1e-180])
@pytest.mark.parametrize("method", ["rows", "exact"])
def test_entries_whose_squares_overflow_or_underflow_give_the_right_answer(scale, target, method, rng):
    A, b = tall(rng, shape=(3000, 10))
    exact = scipy.linalg.lstsq(A, b)[0]
    if target == 1e180 and scale == 1e-200:
        with pytest.raises(ValueError, match="divide `b` by a constant"):
            qi.least_squares(A * scale, b * target, tolerance=0.1, method=method, rng=0)
        return
    solution = qi.least_squares(A * scale, b * target, tolerance=0.1, method=method, rng=0)
    ratio = target / scale
    if ratio > 0:
        assert prediction_error(A, solution.x / ratio, exact) < 0.1
    assert solution.residual.value == pytest.approx(np.linalg.norm(A @ exact - b) / np.linalg.norm(b), rel=0.3)


@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("scale", [1e200, 1e-160, 1e-200])
@pytest.mark.parametrize("method", ["kaczmarz", "block-kaczmarz"])
def test_steps_do_not_depend_on_the_scale_of_the_matrix(scale, method, storage):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4000, 7))
    b = A[:, 0] + rng.standard_normal(4000)
    one, scaled = (
        qi.least_squares(storage(factor * A), b, tolerance=0.1, method=method, rng=0) for factor in (1.0, scale)
    )
    assert "Kaczmarz steps" in one.status
    np.testing.assert_allclose(scaled.x * scale, one.x, rtol=1e-8, atol=1e-8)
    assert scaled.error.high == pytest.approx(one.error.high, rel=1e-6)


def test_a_sample_that_cannot_see_the_solution_warns(data_dir):
    # The published failure case: b lies far from the range, and sampled solves are off by more than 100 %.
    A, b = np.load(data_dir / "xanadu/linear_small_A.npy"), np.load(data_dir / "xanadu/linear_small_b.npy")
    with pytest.warns(ToleranceNotMetWarning):
        sampled = qi.least_squares(A, b, tolerance=0.05, method="rows", rng=0)
    exact = scipy.linalg.lstsq(A, b, cond=1e-10)[0]
    assert sampled.error.high > 0.05
    solution = qi.least_squares(A, b, tolerance=0.05)
    assert np.linalg.norm(solution.x - exact) / np.linalg.norm(exact) < 1e-9


def test_the_published_linear_example_is_solved_to_rounding_from_drawn_rows(data_dir):
    A, b = np.load(data_dir / "xanadu/linear_A.npy"), np.load(data_dir / "xanadu/linear_b.npy")
    exact = scipy.linalg.lstsq(A, b, cond=1e-10)[0]
    solution = qi.least_squares(A, b, tolerance=0.05, method="rows", rng=0)
    assert np.linalg.norm(solution.x - exact) / np.linalg.norm(exact) < 1e-10
    exact_solution = qi.least_squares(A, b, method="exact")
    assert np.linalg.norm(exact_solution.x - exact) / np.linalg.norm(exact) < 1e-10


def test_a_large_sparse_system_with_many_columns_is_solved_by_lsqr(rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._normal_equations.PRIMAL_COLUMNS", 10)
    monkeypatch.setattr("qinspired.algorithms.regression._normal_equations._DENSE_CELLS", 10)
    A = sp.random_array((300, 40), density=0.2, rng=rng, format="csr")
    b = rng.standard_normal(300)
    solution = qi.least_squares(A, b, ridge=0.5, method="exact")
    exact = Ridge(alpha=0.5, fit_intercept=False).fit(A.toarray(), b).coef_
    np.testing.assert_allclose(solution.x, exact, atol=1e-8)
    assert "LSQR" in solution.status
    dense = A.toarray()
    most = qi.CountingMatrix(qi.as_sq_matrix(A))
    qi.least_squares(most, b, ridge=0.5, method="exact")
    for tolerance in (0.1, 0.01, 1e-4):
        fewer = qi.CountingMatrix(qi.as_sq_matrix(A))
        solution = qi.least_squares(fewer, b, ridge=0.5, tolerance=tolerance)
        assert np.linalg.norm(dense @ (solution.x - exact)) / np.linalg.norm(dense @ exact) <= solution.error.high
        assert solution.error.high <= tolerance
        assert fewer.counts.full_passes < most.counts.full_passes


def test_a_sparse_singular_system_of_two_factors_gets_its_shortest_solution(rng):
    one, two = rng.integers(60, size=2000), rng.integers(20, size=2000)
    A = sp.csr_array((np.ones(4000), (np.repeat(np.arange(2000), 2), np.column_stack([one, 60 + two]).ravel())))
    b = rng.standard_normal(60)[one] + rng.standard_normal(20)[two] + rng.standard_normal(2000)
    solution = qi.least_squares(A, b, tolerance=1e-6, method="exact")
    exact = scipy.linalg.lstsq(A.toarray(), b)[0]
    np.testing.assert_allclose(A @ solution.x, A @ exact, atol=1e-8)
    np.testing.assert_allclose(solution.x, exact, atol=1e-7)  # of least norm, as LAPACK's


@pytest.mark.parametrize("apart", [1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("method", ["auto", "exact"])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_a_target_along_two_nearly_equal_columns_is_not_missed(make, method, apart, rng):
    A = rng.standard_normal((300, 8))
    A = np.hstack([A, A[:, :1]])
    A[:, 8] += apart * rng.standard_normal(300)
    b = rng.standard_normal(300)
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(make(A), b, tolerance=1e-6, method=method, rng=0)
    assert prediction_error(A, solution.x, exact) <= max(solution.error.high, 1e-10)
    assert prediction_error(A, solution.x, exact) <= 1e-5


def test_the_same_seed_gives_the_same_solution(rng):
    A, b = tall(rng)
    one = qi.least_squares(A, b, tolerance=0.05, method="kaczmarz", rng=7)
    two = qi.least_squares(A, b, tolerance=0.05, method="kaczmarz", rng=np.random.default_rng(7))
    np.testing.assert_array_equal(one.x, two.x)


def test_a_zero_right_hand_side_has_the_zero_solution(rng):
    solution = qi.least_squares(rng.standard_normal((30, 5)), np.zeros(30))
    assert not solution.x.any()
    assert solution.error.high == 0.0


def test_a_right_hand_side_orthogonal_to_the_range_is_not_certified_by_a_sample(rng):
    A, b = tall(rng, shape=(3000, 10))
    b -= A @ scipy.linalg.lstsq(A, b)[0]
    with pytest.warns(ToleranceNotMetWarning):
        qi.least_squares(A, b, tolerance=0.05, method="rows", rng=0)


def test_an_account_of_status_and_cost_is_told(rng):
    A, b = tall(rng)
    text = qi.least_squares(A, b, tolerance=0.05, method="rows", rng=0).explain()
    assert "20000 x 30 dense" in text
    assert "drawn rows" in text
    assert "bytes" in text


def test_zero_rows_are_never_drawn_and_do_no_harm(rng):
    A, b = tall(rng)
    A[::2] = 0.0
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(A, b, tolerance=0.05, method="rows", rng=0)
    assert prediction_error(A, solution.x, exact) <= 0.05
    residual = np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b)
    assert solution.residual.low <= residual <= solution.residual.high


@pytest.mark.parametrize("length", [0, 29, 31])
def test_a_right_hand_side_of_another_length_is_refused(length, rng):
    with pytest.raises(ValueError, match="`b` must have one entry for each of the 30 rows"):
        qi.least_squares(rng.standard_normal((30, 5)), np.ones(length))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_right_hand_side_that_is_not_finite_is_refused_with_the_place(value, rng):
    b = np.ones(30)
    b[4] = value
    with pytest.raises(ValueError, match=r"`b` must be finite.*b\[4\]"):
        qi.least_squares(rng.standard_normal((30, 5)), b)


def test_a_complex_right_hand_side_is_refused(rng):
    with pytest.raises(ValueError, match="`b` must be real"):
        qi.least_squares(rng.standard_normal((30, 5)), np.ones(30) * 1j)


@pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf])
def test_a_ridge_out_of_range_is_refused(ridge, rng):
    with pytest.raises(ValueError, match="`ridge` must be a finite number >= 0"):
        qi.least_squares(rng.standard_normal((30, 5)), np.ones(30), ridge=ridge)


def test_an_unknown_method_is_refused_with_the_known_ones(rng):
    known = "auto, rows, leverage, kaczmarz, block-kaczmarz, preconditioned, dual, galerkin, implicit, exact, sketched"
    with pytest.raises(ValueError, match=f"`method` must be one of {known}; got 'qr'"):
        qi.least_squares(rng.standard_normal((30, 5)), np.ones(30), method="qr")


def test_an_all_zero_matrix_is_refused():
    with pytest.raises(ZeroMassError, match="non-zero"):
        qi.least_squares(np.zeros((10, 5)), np.ones(10))


def test_more_columns_than_moments_allow_are_refused_by_the_sampling_methods(rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._drawn_rows.PRIMAL_COLUMNS", 10)
    with pytest.raises(ValueError, match="at most 10 columns; got 20"):
        qi.least_squares(rng.standard_normal((300, 20)), np.ones(300), method="rows")


@pytest.mark.parametrize("method", ["auto", "rows", "kaczmarz"])
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_a_column_that_is_never_drawn_but_decides_the_answer_ends_without_a_false_certificate(method, rng):
    # The held-out rows refute every certificate, and more rows by their norms can never mend it.
    A, b = tall(rng, shape=(8000, 10))
    A[:, 0] = 0.0
    A[0] = np.r_[1e-6, np.zeros(9)]
    b[0] = 1e3 * np.abs(b).max()
    exact = scipy.linalg.lstsq(A, b, cond=1e-12)[0]
    solution = qi.least_squares(A, b, tolerance=0.05, method=method, rng=0)
    assert solution.error.high > 0.05 or prediction_error(A, solution.x, exact) <= 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gram_matrix_of_a_wide_matrix_takes_no_second_copy_of_it(dtype, rng):
    A = rng.standard_normal((50, 400_000), dtype=dtype)
    matrix = qi.CountingMatrix(qi.as_sq_matrix(A))
    tracemalloc.start()
    gram = _normal_equations._dual(matrix)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wide = A.astype(np.float64)
    np.testing.assert_allclose(gram, wide @ wide.T, rtol=1e-12, atol=1e-9)
    assert peak < 0.25 * wide.nbytes


def test_a_wide_matrix_of_float32_is_solved_block_by_block_of_columns(monkeypatch, rng):
    monkeypatch.setattr(_normal_equations, "BLOCK_ENTRIES", 1000)
    A, b = rng.standard_normal((30, 501), dtype=np.float32), rng.standard_normal(30)
    solution = qi.least_squares(A, b, method="exact", rng=0)
    np.testing.assert_allclose(solution.x, np.linalg.lstsq(A.astype(np.float64), b)[0], rtol=0, atol=1e-6)
    assert "normal equations" in solution.status
