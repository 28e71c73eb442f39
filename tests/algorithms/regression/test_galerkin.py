from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from low_rank_systems import exact, exact_of_rank, prediction_error, residual, system
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("shape", [(700, 400), (400, 700)])
def test_noisy_systems_of_low_rank_are_solved_to_rounding_by_one_pass(make, shape, rng):
    A, b = system(shape, 6, noise=0.5, rng=rng)
    A[:, ::3] = 0.0
    best = exact(A, b)
    counted = qi.CountingMatrix(qi.as_sq_matrix(make(A)))
    solution = qi.least_squares(counted, b, method="galerkin", rng=0)
    assert np.linalg.norm(solution.x - best) / np.linalg.norm(best) < 1e-11
    assert prediction_error(A, solution.x, best) <= solution.error.high < 1e-6
    assert counted.counts.full_passes == 1
    assert solution.residual.value == pytest.approx(residual(A, b, best), rel=1e-9)


def test_the_published_system_far_from_the_range_is_solved_to_rounding(data_dir):
    A, b = np.load(data_dir / "xanadu/linear_small_A.npy"), np.load(data_dir / "xanadu/linear_small_b.npy")
    best = exact(A, b)
    for seed in range(10):
        solution = qi.least_squares(A, b, method="galerkin", rng=seed)
        assert np.linalg.norm(solution.x - best) / np.linalg.norm(best) < 1e-11
        assert solution.error.high < 1e-2


def test_a_ridge_solution_agrees_with_scikit_learn(rng):
    A, b = system((500, 800), 6, noise=0.3, tail=1e-2, rng=rng)
    best = Ridge(alpha=1e-2, fit_intercept=False).fit(A, b).coef_
    assert prediction_error(A, exact(A, b), best) > 0.1
    for seed in range(20):
        solution = qi.least_squares(A, b, ridge=1e-2, tolerance=0.01, method="galerkin", rng=seed)
        assert prediction_error(A, solution.x, best) <= solution.error.high <= 0.01


def test_auto_goes_from_drawn_rows_to_one_pass_where_the_noise_asks_for_it(rng):
    A, b = system((3000, 2000), 6, noise=2.0, rng=rng)
    best = exact_of_rank(A, b, 6)
    solution = qi.least_squares(A, b, tolerance=0.01, rng=0)
    assert solution.method == "galerkin"
    assert prediction_error(A, solution.x, best) <= solution.error.high <= 1e-6


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_the_bound_is_above_the_error_for_every_seed(skew):
    rng = np.random.default_rng(4)
    A, b = system((500, 600), 8, noise=0.05, tail=1e-2, skew=skew, rng=rng)
    best = exact(A, b)
    matrix = qi.as_sq_matrix(A)
    for seed in range(100):
        solution = qi.least_squares(matrix, b, tolerance=0.1, method="galerkin", rng=seed)
        assert solution.error.low * (1 - 1e-9) <= prediction_error(A, solution.x, best) <= solution.error.high
        assert solution.residual.value == pytest.approx(residual(A, b, solution.x), rel=1e-9)


@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
@pytest.mark.parametrize("lift", [2.0, 0.01])
def test_a_direction_that_no_drawn_row_has_is_not_certified_away(lift, rng):
    # It carries 1e-8 of |A|_F^2 and a part of b that rows held out show, or not: then the pass finds it.
    A, b = system((6000, 150), 5, rng=rng)
    extra = rng.standard_normal(150)
    A[200] += 1e-4 / np.linalg.norm(extra) * extra
    b[200] += lift
    best = exact(A, b)
    for seed in range(10):
        solution = qi.least_squares(A, b, tolerance=0.005, method="galerkin", rng=seed)
        assert prediction_error(A, solution.x, best) <= solution.error.high + 1e-9


def test_noise_that_the_tail_of_the_matrix_explains_warns(rng):
    A, b = system((300, 500), 5, noise=0.5, tail=1e-2, rng=rng)
    with pytest.warns(ToleranceNotMetWarning):
        solution = qi.least_squares(A, b, tolerance=0.05, method="galerkin", rng=0)
    assert prediction_error(A, solution.x, exact(A, b)) <= solution.error.high


def test_a_matrix_too_wide_for_a_basis_is_refused(rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._row_space.MOST_ENTRIES", 100)
    A, b = system((60, 90), 3, rng=rng)
    with pytest.raises(ValueError, match="too few for 90 columns; use method='dual'"):
        qi.least_squares(A, b, method="galerkin", rng=0)


def test_a_start_without_an_index_is_refused(rng):
    A, b = system((60, 90), 3, rng=rng)
    with pytest.raises(ValueError, match="`start` must be 'index' for method 'galerkin'"):
        qi.least_squares(A, b, method="galerkin", start="uniform")


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("size", [1e-7, 1e-9])
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_a_tiny_row_out_of_the_span_with_a_target_of_its_own_is_not_taken_for_rounding(size, make, rng):
    left = rng.standard_normal((2000, 5))
    right = rng.standard_normal((5, 120)) * (np.arange(120) % 3 == 0)
    A = left @ right
    A /= np.linalg.norm(A)
    A[200] = 0.0
    A[200, 1] = size
    b = A @ (right.T @ rng.standard_normal(5))
    b /= np.linalg.norm(b)
    b[200] = 0.02
    exact = np.linalg.lstsq(A, b, rcond=1e-15)[0]
    solution = qi.least_squares(make(A), b, method="galerkin", tolerance=0.005, rng=0)
    error = np.linalg.norm(A @ (solution.x - exact)) / np.linalg.norm(A @ exact)
    assert 0.01 < error <= 1.001 * solution.error.high
