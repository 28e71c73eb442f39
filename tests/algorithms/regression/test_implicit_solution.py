from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from low_rank_systems import exact, prediction_error, residual, system
from oracles import P_LOWEST, chi_square_p, law_of
from scipy import stats

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


@pytest.fixture(scope="module")
def stored():
    A, b = system((500, 300), 4, rng=np.random.default_rng(0))
    return A, b, qi.least_squares(A, b, method="implicit", rng=0)


def virtual(shape=(800, 3000), values=(1.0, 0.8, 0.6), weights=(1.0, -1.0, 2.0)):
    problem = qi.problems.virtual_low_rank_matrix(shape, values)
    left = problem.left_vectors(np.arange(shape[0]))
    return problem, qi.ImplicitMatrix(**problem.access), left[:, : len(weights)] @ weights


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_the_solution_of_a_consistent_system_is_that_of_numpy(make, rng):
    A, b = system((500, 300), 4, rng=rng)
    A[:, ::2] = 0.0
    b = A @ rng.standard_normal(300)
    solution = qi.least_squares(make(A), b, method="implicit", rng=0)
    best = exact(A, b)
    np.testing.assert_allclose(solution.to_array(), best, atol=1e-9 * np.abs(best).max())
    assert solution.error.high < 1e-9
    assert solution.method == "implicit"


def test_entries_that_are_queried_are_those_of_the_formed_solution(stored):
    solution = stored[2]
    np.testing.assert_allclose(solution.query([0, 5, 299, 5]), solution.to_array()[[0, 5, 299, 5]], rtol=1e-9)
    assert solution.size == 300


def test_positions_are_drawn_by_squared_entries(stored):
    solution = stored[2]
    draws, proposals = solution.sample(4000, rng=1)
    assert proposals >= len(draws) == 4000
    assert chi_square_p(draws, law_of(solution.to_array())) > P_LOWEST
    assert chi_square_p(draws, np.full(300, 1 / 300)) < P_LOWEST


def test_norm_and_inner_products_are_covered_by_their_intervals(stored):
    solution = stored[2]
    x, y = solution.to_array(), np.linspace(-1.0, 2.0, 300)
    misses = 0
    for seed in range(50):
        norm, product = solution.norm(500, rng=seed), solution.inner(y, 500, rng=seed)
        misses += not norm.low <= np.linalg.norm(x) <= norm.high
        misses += not product.low <= x @ y <= product.high
    assert stats.binom.sf(misses - 1, 100, 0.1) > P_LOWEST


def test_a_matrix_of_a_billion_columns_is_solved_from_entries():
    problem, A, b = virtual((5000, 10**9))
    solution = qi.least_squares(A, b, tolerance=0.1, rng=0)
    assert solution.method == "implicit"
    assert solution.error.high <= 0.1
    assert A.rows_computed == 0
    # x = V S^-1 c, so that at a position it is the modes' values there.
    best = problem.right_vectors(np.arange(20)) @ (np.array([1.0, -1.0, 2.0]) / problem.singular_values)
    np.testing.assert_allclose(solution.query(np.arange(20)), best, rtol=0.1, atol=0.1 * np.abs(best).max())
    assert solution.norm(500, rng=0).value == pytest.approx(
        np.linalg.norm(np.array([1.0, -1.0, 2.0]) / problem.singular_values), rel=0.2
    )
    with pytest.raises(ValueError, match="use `query`"):
        solution.to_array()


@pytest.mark.parametrize("values", [(1.0, 0.8, 0.6), 0.7 ** np.arange(12)])
@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_intervals_from_drawn_columns_cover_the_residual_and_bound_the_error(values, noise):
    problem, A, b = virtual((300, 600), values)
    b = b + noise * np.linalg.norm(b) / np.sqrt(300) * np.random.default_rng(0).standard_normal(300)
    formed = problem.rows(np.arange(300))
    best = exact(formed, b)
    misses = above = 0
    for seed in range(30):
        solution = qi.least_squares(A, b, tolerance=0.4, rng=seed)
        x = solution.to_array()
        misses += not solution.residual.low <= residual(formed, b, x) <= solution.residual.high
        above += prediction_error(formed, x, best) > solution.error.high
    assert stats.binom.sf(misses - 1, 30, 0.1) > P_LOWEST
    assert stats.binom.sf(above - 1, 30, 0.05) > P_LOWEST


def test_a_right_hand_side_far_from_the_range_warns(rng):
    problem, A, b = virtual()
    b = b + np.linalg.norm(b) / np.sqrt(800) * rng.standard_normal(800)
    with pytest.warns(ToleranceNotMetWarning, match="larger tolerance"):
        solution = qi.least_squares(A, b, tolerance=0.2, rng=0)
    best = exact(problem.rows(np.arange(800)), b)
    assert residual(problem.rows(np.arange(800)), b, best) > 0.6
    assert solution.error.high > 0.2
    A, b = system((300, 400), 4, noise=0.5, tail=0.01, rng=rng)
    with pytest.warns(ToleranceNotMetWarning):
        qi.least_squares(A, b, tolerance=0.2, method="implicit", rng=0)


def test_a_ridge_is_refused(stored):
    A, b, _ = stored
    with pytest.raises(ValueError, match="`ridge` must be 0 for an implicit solution"):
        qi.least_squares(A, b, ridge=1.0, method="implicit")


def test_a_zero_right_hand_side_has_the_zero_solution(stored):
    solution = qi.least_squares(stored[0], np.zeros(500), method="implicit", rng=0)
    assert not solution.to_array().any()
    assert solution.norm(10).value == 0.0
    with pytest.raises(ZeroMassError):
        solution.sample(1)


def test_bad_input_is_refused(stored):
    A, b, solution = stored
    with pytest.raises(IndexError, match="`cols`"):
        solution.query([300])
    with pytest.raises(ValueError, match="`n_draws`"):
        solution.sample(-1)
    with pytest.raises(ZeroMassError):
        qi.least_squares(np.zeros((3, 4)), np.ones(3), method="implicit")
    with pytest.raises(ValueError, match="`b` must be finite"):
        qi.least_squares(A, np.r_[np.inf, b[1:]], method="implicit")
    with pytest.raises(ValueError, match="`start` must be 'index'"):
        qi.least_squares(A, b, method="implicit", start="uniform")


def test_an_account_of_status_and_cost_is_told(stored):
    text = stored[2].explain()
    assert "500 x 300" in text
    assert "entries" in text
    assert "64 rows" in text
