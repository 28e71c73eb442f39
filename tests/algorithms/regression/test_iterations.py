from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.algorithms.regression._conjugate_gradients import RitzValues, Scales, conjugate_gradients
from qinspired.algorithms.regression._gradient_passes import GradientPasses


@pytest.fixture(autouse=True)
def few_columns_are_many(monkeypatch):
    """Let matrices of more than 20 columns count as too wide for moments."""
    for module in ("_system", "_normal_equations", "_drawn_rows"):
        monkeypatch.setattr(f"qinspired.algorithms.regression.{module}.PRIMAL_COLUMNS", 20)


def sparse_system(rng, shape=(2000, 60), density=0.1, noise=0.3):
    A = sp.random_array(shape, density=density, rng=rng, format="csr", data_sampler=rng.standard_normal)
    fitted = A @ rng.standard_normal(shape[1])
    return A, fitted + noise * np.linalg.norm(fitted) / np.sqrt(shape[0]) * rng.standard_normal(shape[0])


def prediction_error(A, x, exact):
    return np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact)


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 1e-4, 1e-7, 1e-10])
@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_sparse_system_is_iterated_on_without_an_index(tolerance, noise, dtype, rng):
    A, b = sparse_system(rng, noise=noise)
    A = A.astype(dtype)
    exact = scipy.linalg.lstsq(A.toarray().astype(np.float64), b)[0]
    solution = qi.least_squares(A, b, tolerance=tolerance, rng=0)
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= tolerance
    assert "conjugate gradients" in solution.status
    assert solution.stats.index_seconds == 0.0
    assert solution.residual.value == pytest.approx(np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b), abs=1e-7)


def test_an_index_that_is_there_changes_nothing_in_the_answer(rng):
    A, b = sparse_system(rng)
    cold = qi.least_squares(A, b, tolerance=1e-3, rng=0)
    warm = qi.least_squares(qi.as_sq_matrix(A), b, tolerance=1e-3, rng=0)
    np.testing.assert_allclose(warm.x, cold.x, rtol=1e-12)


def test_indices_in_any_order_and_repeated_are_added_up_and_left_as_they_are(rng):
    cols = rng.integers(40, size=20_000)
    data = rng.standard_normal(20_000)
    A = sp.csr_array((data.copy(), cols.copy(), np.arange(0, 20_001, 10)), shape=(2000, 40))
    b = rng.standard_normal(2000)
    exact = scipy.linalg.lstsq(A.toarray(), b)[0]
    solution = qi.least_squares(A, b, tolerance=1e-8, rng=0)
    assert prediction_error(A, solution.x, exact) <= 1e-8
    np.testing.assert_array_equal(A.indices, cols)
    np.testing.assert_array_equal(A.data, data)


@pytest.mark.parametrize("share", [1e-4, 1.0, 100.0])
def test_a_ridge_solution_agrees_with_scikit_learn(share, rng):
    A, b = sparse_system(rng)
    ridge = share * sp.linalg.norm(A) ** 2 / A.shape[1]
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A.toarray(), b).coef_
    solution = qi.least_squares(A, b, ridge=ridge, tolerance=1e-6, rng=0)
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 1e-6
    assert "scaled columns" in solution.status


def test_with_a_ridge_the_scales_of_the_columns_do_not_matter(rng):
    A, b = sparse_system(rng)
    scaled = sp.csr_array(A * np.geomspace(1, 1e-3, A.shape[1]))
    passes = qi.least_squares(scaled, b, ridge=1e-12, tolerance=1e-6, rng=0).stats.full_passes
    assert passes <= 20
    without = qi.least_squares(scaled, b, tolerance=1e-6, rng=0)
    assert "LSQR" in without.status or without.stats.full_passes > 3 * passes


@pytest.mark.parametrize("shape", [(60, 200), (2000, 60)])
def test_of_many_solutions_the_shortest_is_found(shape, rng):
    A, b = sparse_system(rng, shape, density=0.3)
    if shape[0] > shape[1]:
        A = sp.csr_array(sp.hstack([A, A[:, :10]]))  # columns twice
    exact = scipy.linalg.lstsq(A.toarray(), b, cond=1e-12)[0]  # with its own threshold it inverts rounding
    solution = qi.least_squares(A, b, tolerance=1e-9, rng=0)
    np.testing.assert_allclose(solution.x, exact, atol=1e-6 * np.linalg.norm(exact))


@pytest.mark.parametrize("factor", [1e-200, 1e-140, 1e140, 1e200])
def test_squares_out_of_range_are_left_to_the_index(factor, rng):
    A, b = sparse_system(rng)
    plain = qi.least_squares(A, b, tolerance=1e-6, rng=0)
    solution = qi.least_squares(sp.csr_array(A * factor), b, tolerance=1e-6, rng=0)
    np.testing.assert_allclose(solution.x * factor, plain.x, rtol=1e-4)


def test_a_matrix_without_entries_is_refused(rng):
    with pytest.raises(qi.exceptions.ZeroMassError, match="non-zero entry"):
        qi.least_squares(sp.csr_array((1000, 10)), rng.standard_normal(1000))


def test_the_source_of_a_solution_answers_though_its_rows_are_in_disorder(rng):
    cols, data = rng.integers(40, size=20_000), rng.standard_normal(20_000)
    A = sp.csr_array((data, cols, np.arange(0, 20_001, 10)), shape=(2000, 40))
    dense = A.toarray()
    source = qi.least_squares(A, rng.standard_normal(2000), rng=0).source
    np.testing.assert_allclose(source.query(np.arange(2000)[:, None], np.arange(40)), dense, atol=1e-12)
    np.testing.assert_allclose((source.rows([3]) + source.rows([4])).toarray(), dense[[3]] + dense[[4]], atol=1e-12)


def test_nearly_equal_columns_do_not_hide_from_the_bound():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        half, other = (
            sp.random_array((3000, 440), density=4 / 440, rng=rng, data_sampler=rng.standard_normal) for _ in range(2)
        )
        A = sp.csr_array(sp.hstack([half, half + 0.01 * other]))
        b = A @ rng.standard_normal(880)
        b += 0.1 * np.linalg.norm(b) / np.sqrt(3000) * rng.standard_normal(3000)
        exact = scipy.linalg.lstsq(A.toarray(), b)[0]
        for tolerance in (0.1, 0.03, 0.01):
            solution = qi.least_squares(A, b, tolerance=tolerance, rng=seed)
            assert prediction_error(A, solution.x, exact) <= solution.error.high <= tolerance


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_the_bound_that_ends_an_iteration_is_the_one_that_is_told(ridge, rng):
    # One-hot rows and the target 1: solved by one direction, which shows one eigenvalue of many.
    groups = [rng.integers(size, size=3000) + offset for size, offset in ((30, 0), (50, 30), (20, 80))]
    A = sp.csr_array((np.ones(9000), np.column_stack(groups).ravel(), np.arange(0, 9001, 3)), shape=(3000, 100))
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A.toarray(), np.ones(3000)).coef_
    for tolerance in (0.3, 0.1, 0.01):
        solution = qi.least_squares(A, np.ones(3000), ridge=ridge, tolerance=tolerance, rng=0)
        assert prediction_error(A, solution.x, exact) <= solution.error.high


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_named(value, rng):
    A, b = sparse_system(rng)
    A.data[777] = value
    with pytest.raises(ValueError, match=r"`A`.*(NaN|inf)"):
        qi.least_squares(A, b, rng=0)


@pytest.mark.parametrize("wrong", [-1, 60, 2**31 - 1])
def test_an_index_out_of_range_is_refused(wrong, rng):
    A, b = sparse_system(rng)
    A.indices[1234] = wrong
    with pytest.raises(ValueError, match="indices must be in"):
        qi.least_squares(A, b, rng=0)


@pytest.mark.parametrize("m", [400, 3000])  # too few rows to learn the spectrum from some of them, and enough
def test_bounds_hold_for_spectra_that_iterations_take_long_for(m):
    n = 60
    spectra = [
        np.linspace(1, 0.2, n),
        np.geomspace(1, 1e-2, n),
        np.geomspace(1, 1e-4, n),
        np.r_[np.linspace(10, 1, 10), np.full(n - 10, 0.05)],
        np.r_[100.0, np.ones(n - 1)],
        np.r_[np.ones(n - 1), 0.01],
        1 / np.arange(1, n + 1.0),
    ]
    held = n_cases = 0
    for seed in range(8):
        for values in spectra:
            rng = np.random.default_rng(seed)
            U, V = (np.linalg.qr(rng.standard_normal((size, n)))[0] for size in (m, n))
            A = (U * values) @ V.T
            fitted = U @ (rng.standard_normal(n) * values ** (seed % 3 / 2))
            b = fitted + (seed % 2) * np.linalg.norm(fitted) / np.sqrt(m) * rng.standard_normal(m)
            exact = scipy.linalg.lstsq(A, b)[0]
            solution = qi.least_squares(sp.csr_array(A), b, tolerance=0.1, rng=seed)
            n_cases += 1
            held += prediction_error(A, solution.x, exact) <= solution.error.high
    assert held >= 0.98 * n_cases


def test_with_a_large_ridge_the_bound_is_certain_and_needs_no_confirmation(rng):
    # Too few rows to learn the spectrum from; a small singular value holds most of the target.
    A, _ = sparse_system(rng, (70, 60), density=0.5)
    U, s, Vt = np.linalg.svd(A.toarray(), full_matrices=False)
    s[-1] = 0.3
    A = sp.csr_array((U * s) @ Vt)
    b = U[:, -1] + 0.3 * rng.standard_normal(70)
    ridge = 0.2 * sp.linalg.norm(A) ** 2 / 60
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A.toarray(), b).coef_
    certain = qi.least_squares(A, b, ridge=ridge, tolerance=0.01, rng=0)
    assert prediction_error(A, certain.x, exact) <= certain.error.high <= 0.01
    uncertain = qi.least_squares(A, b, ridge=1e-9, tolerance=0.01, rng=0)
    assert certain.stats.full_passes < uncertain.stats.full_passes / 2


def test_an_iteration_that_ends_at_once_is_an_answer(rng):
    scales = 3.0 * rng.permutation(np.repeat([-1.0, 1.0], 30))
    b = rng.standard_normal(60)
    solution = qi.least_squares(sp.csr_array(np.diag(scales)), b, tolerance=1e-3, rng=0)
    np.testing.assert_allclose(solution.x, b / scales, rtol=1e-12)
    assert "conjugate gradients, 3 passes" in solution.status  # one of them looks at the spectrum


def test_a_target_that_only_small_singular_values_explain_is_not_promised_too_much(rng):
    # The first iterations see the large singular values, in which the target has next to nothing.
    m, n = 1000, 60
    U, V = (np.linalg.qr(rng.standard_normal((size, n)))[0] for size in (m, n))
    A = (U * np.geomspace(1, 1e-3, n)) @ V.T
    b = U[:, -5:] @ rng.standard_normal(5)
    solution = qi.least_squares(sp.csr_array(A), b, tolerance=0.05, rng=0)
    exact = scipy.linalg.lstsq(A, b)[0]
    assert prediction_error(A, solution.x, exact) <= solution.error.high <= 0.05


@pytest.mark.parametrize("share", [1e-7, 1e-9, 1e-10])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_the_bound_holds_where_b_is_nearly_orthogonal_to_the_range(share, ridge, rng):
    # On rows of zeros b is orthogonal to the range without any rounding.
    A = sp.vstack([sp.random_array((2000, 60), density=0.1, rng=rng, format="csr"), sp.csr_array((500, 60))], "csr")
    fitted = A[:2000] @ rng.standard_normal(60)
    b = np.concatenate([share * fitted / np.linalg.norm(fitted), np.full(500, 1.0 / np.sqrt(500.0))])
    dense = A.toarray()
    exact = np.linalg.solve(dense.T @ dense + ridge * np.eye(60), dense.T @ b)
    assert np.linalg.norm(A @ exact) < 1.01 * share * np.linalg.norm(b)
    for tolerance in (0.3, 0.01, 1e-4):
        solution = qi.least_squares(A, b, ridge=ridge, tolerance=tolerance, rng=0)
        assert prediction_error(A, solution.x, exact) <= solution.error.high
        if share >= 1e-9 and tolerance >= 0.01:
            assert "conjugate gradients" in solution.status
            assert solution.error.high <= tolerance


def test_the_length_of_a_nearly_orthogonal_fit_is_the_true_one(rng):
    # Where differences of squares told it, |A x| came out as rounding: 1e-8 |b| for 1e-10 |b|, or 0.
    A = sp.vstack([sp.random_array((2000, 60), density=0.1, rng=rng, format="csr"), sp.csr_array((500, 60))], "csr")
    fitted = A[:2000] @ rng.standard_normal(60)
    b = np.concatenate([1e-9 * fitted / np.linalg.norm(fitted), np.full(500, 1.0 / np.sqrt(500.0))])
    matrix = qi.CountingMatrix(qi.as_sq_matrix(A))
    scale = matrix.frobenius_norm
    problem = GradientPasses(matrix, b, 0.0, scale)
    dense = A.toarray() / scale
    exact = np.linalg.lstsq(dense, b)[0]
    values = np.linalg.eigvalsh(dense.T @ dense)
    for tolerance in (0.5, 0.1, 0.01):
        spectrum = RitzValues(values[0], values[-1])
        found = conjugate_gradients(problem, b, Scales(np.ones(60)), spectrum, tolerance, most=100)
        error = np.linalg.norm(dense @ (found.x - exact)) / np.linalg.norm(dense @ exact)
        assert error <= found.error.high <= tolerance
        assert found.error.low <= error
