from __future__ import annotations

import numpy as np
import oracles
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.access import CountingMatrix
from qinspired.algorithms.regression._leverage import RowsByLeverage, rows_saved
from qinspired.algorithms.regression._row_laws import RowsByNorm
from qinspired.algorithms.regression._system import Draw, System
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


def with_outliers(rng, shape=(20_000, 20), size=500.0, share=0.01, noise=0.1):
    # One column is small but for a few rows, which have nearly all of |A|_F^2 and a twentieth of the leverage.
    A = rng.standard_normal(shape)
    far = rng.random(shape[0]) < share
    A[:, 0] = np.where(far, size * rng.standard_normal(shape[0]), 0.01 * A[:, 0])
    x = rng.standard_normal(shape[1])
    x[0] /= size * np.sqrt(share)
    fitted = A @ x
    return A, fitted + noise * np.linalg.norm(fitted) / np.sqrt(shape[0]) * rng.standard_normal(shape[0])


def prediction_error(A, x, exact):
    return np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact)


def law_of(A, b=None, ridge=0.0, seed=0, n_draws=1000):
    counted = CountingMatrix(qi.as_sq_matrix(A))
    target = np.ones(A.shape[0]) if b is None else b
    system = System(counted, target, ridge, RowsByNorm(counted), np.random.default_rng(seed))
    first = Draw(system)
    first.grow_to(n_draws)
    return RowsByLeverage(system, first)


def leverages(A, ridge=0.0):
    return np.einsum("ij,ji->i", A, np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_rows_drawn_by_leverage_keep_the_promise(dtype, make, rng):
    A, b = with_outliers(rng)
    A = A.astype(dtype)
    exact = scipy.linalg.lstsq(A.astype(float), b)[0]
    solution = qi.least_squares(make(A), b, tolerance=0.05, method="leverage", rng=1)
    assert prediction_error(A, solution.x, exact) <= 0.05
    assert solution.error.high <= 0.05
    assert solution.method == "leverage"
    assert solution.stats.full_passes == 1


def test_rows_by_leverage_are_a_tenth_of_rows_by_norm_where_norm_and_leverage_differ(rng):
    A, b = with_outliers(rng, shape=(200_000, 20), size=200.0)
    exact = np.linalg.solve(A.T @ A, A.T @ b)
    by_leverage = qi.least_squares(A, b, tolerance=0.01, method="leverage", rng=0)
    by_norm = qi.least_squares(A, b, tolerance=0.01, method="rows", rng=0)
    for solution in (by_leverage, by_norm):
        assert prediction_error(A, solution.x, exact) <= 0.01
    assert 10 * by_leverage.stats.rows_read < by_norm.stats.rows_read


def test_rows_by_leverage_have_a_smaller_error_with_as_many_rows(rng):
    # A column that lives in 40 rows of small norm: by norm a few of them are drawn, by leverage most.
    A = 10.0 * rng.standard_normal((20_000, 10))
    A[:, 0] = 0.0
    A[:40, 0] = rng.standard_normal(40)
    x = rng.standard_normal(10)
    x[0] = 3000.0
    noise = np.where(np.arange(20_000) < 40, 1000.0, 1.0) * rng.standard_normal(20_000)
    b = A @ x + noise
    exact = scipy.linalg.lstsq(A, b)[0]
    squares = {"leverage": [], "norm": []}
    counted = CountingMatrix(qi.as_sq_matrix(A))
    for seed in range(10):
        system = System(counted, b, 0.0, RowsByNorm(counted), np.random.default_rng(seed))
        first = Draw(system)
        first.grow_to(640)
        system.law = RowsByLeverage(system, first)
        second = Draw(system)
        second.grow_to(640)
        for name, draw in (("norm", first), ("leverage", second)):
            found = scipy.linalg.lstsq(draw.gram, draw.rhs)[0] / system.norm
            squares[name].append(prediction_error(A, found, exact) ** 2)
    assert 4 * np.mean(squares["leverage"]) < np.mean(squares["norm"])


def test_rows_follow_the_chances_they_are_weighted_by_and_not_another_law(rng):
    A, _ = with_outliers(rng, shape=(300, 6), size=30.0)
    law = law_of(A)
    rows, scales = law.draw(200_000, rng)
    chances = law.chances(np.arange(300))
    assert chances.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(scales, np.linalg.norm(A) * np.sqrt(chances[rows]))
    assert oracles.chi_square_p(rows, chances) > oracles.P_LOWEST
    assert oracles.chi_square_p(rows, oracles.law_of_rows(A)) < oracles.P_LOWEST


@pytest.mark.parametrize("ridge", [0.0, 500.0])
def test_chances_are_a_mixture_of_norms_and_leverages(ridge, rng):
    A, _ = with_outliers(rng, shape=(500, 8), size=30.0)
    law = law_of(A, ridge=ridge, n_draws=50_000)  # 8 columns: no more than the projections, so that scores are exact
    exact = leverages(A, ridge)
    mixture = 0.25 * oracles.law_of_rows(A) + 0.75 * exact / exact.sum()
    np.testing.assert_allclose(law.chances(np.arange(500)), mixture, rtol=0.1)
    assert np.abs(oracles.law_of_rows(A) / mixture - 1.0).max() > 0.5


def test_projected_leverages_are_right_on_average(rng):
    A = rng.standard_normal((400, 60)) * np.geomspace(5, 1, 60)
    law = np.mean([law_of(A, seed=seed, n_draws=20_000).chances(np.arange(400)) for seed in range(20)], axis=0)
    exact = leverages(A)
    mixture = 0.25 * oracles.law_of_rows(A) + 0.75 * exact / exact.sum()
    assert np.abs(law / mixture - 1.0).mean() < 0.1


@pytest.mark.parametrize("n_draws", [7, 400])
def test_moments_are_unbiased_however_bad_the_first_draw_was(n_draws, rng):
    A, _ = with_outliers(rng, shape=(300, 10), size=20.0, share=0.1)
    b = rng.standard_normal(300)
    counted = CountingMatrix(qi.as_sq_matrix(A))
    system = System(counted, b, 0.0, RowsByNorm(counted), rng)
    first = Draw(system)
    first.grow_to(n_draws)
    system.law = RowsByLeverage(system, first)
    draw = Draw(system)
    draw.grow_to(400_000)
    norm_sq = np.linalg.norm(A) ** 2
    np.testing.assert_allclose(draw.gram / draw.n_draws, A.T @ A / norm_sq, atol=0.01)
    np.testing.assert_allclose(draw.rhs / draw.n_draws, A.T @ b / np.sqrt(norm_sq), atol=0.02 * np.linalg.norm(b))


def test_rows_with_a_feature_that_the_first_draw_missed_are_sure_to_be_likely(rng):
    A = rng.standard_normal((5000, 10))
    A[:, 0] = 0.0
    A[17, 0] = 0.1
    chance = law_of(A, n_draws=500).chances(np.array([17]))
    assert 0.75 / 11 < chance < 1.1 * 0.75 / 10 + 0.01


def test_the_predicted_saving_is_that_of_the_exact_laws(rng):
    A, b = with_outliers(rng, shape=(3000, 8), size=500.0)
    misfit = (b - A @ scipy.linalg.lstsq(A, b)[0]) ** 2
    exact = leverages(A)
    by_norm = oracles.law_of_rows(A)
    mixture = 0.25 * by_norm + 0.75 * exact / exact.sum()
    truth = (misfit * exact / mixture).sum() / (misfit * exact / by_norm).sum()
    drawn = rng.choice(3000, 200_000, p=by_norm)
    terms, ratios = (misfit * exact / by_norm**2)[drawn], (exact / by_norm)[drawn]
    assert rows_saved(terms, ratios, 8.0) == pytest.approx(truth, rel=0.1)
    assert truth < 0.1
    assert rows_saved(np.zeros(5), np.ones(5), 8.0) == 1.0


def test_auto_draws_by_leverage_where_it_predicts_to_save_rows_and_passes_are_dear(monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._system._PASS_BYTES", 1e8)
    rng = np.random.default_rng(0)
    A, b = with_outliers(rng, shape=(40_000, 400), size=300.0, share=0.05)
    exact = np.linalg.solve(A.T @ A, A.T @ b)
    solution = qi.least_squares(A, b, tolerance=0.05, rng=0)
    assert solution.method == "leverage"
    assert prediction_error(A, solution.x, exact) <= 0.05


def test_auto_does_not_draw_by_leverage_where_norms_are_as_good(rng):
    A = rng.standard_normal((60_000, 100))
    fitted = A @ rng.standard_normal(100)
    b = fitted + 0.3 * fitted.std() * rng.standard_normal(60_000)
    assert qi.least_squares(A, b, tolerance=0.05, rng=0).method != "leverage"


def test_a_ridge_solution_by_leverage_agrees_with_scikit_learn(rng):
    A, b = with_outliers(rng, size=20.0, noise=0.3)
    ridge = 0.2 * np.linalg.norm(A) ** 2 / A.shape[1]
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A, b).coef_
    assert prediction_error(A, scipy.linalg.lstsq(A, b)[0], exact) > 0.05
    solution = qi.least_squares(A, b, ridge=ridge, tolerance=0.05, method="leverage", rng=0)
    assert prediction_error(A, solution.x, exact) <= 0.05


def test_intervals_of_rows_by_leverage_cover_the_truth_in_100_seeds(rng):
    A, b = with_outliers(rng, shape=(8000, 20), noise=0.3)
    moment = A.T @ A
    exact = np.linalg.solve(moment, A.T @ b)
    indexed = qi.as_sq_matrix(A)
    misses, naive_misses = np.zeros(2), 0
    for seed in range(100):
        answer = qi.least_squares(indexed, b, tolerance=0.08, method="leverage", rng=seed)
        error = np.sqrt((answer.x - exact) @ moment @ (answer.x - exact) / (exact @ moment @ exact))
        residual = np.linalg.norm(A @ answer.x - b) / np.linalg.norm(b)
        misses += (
            not answer.error.low <= error <= answer.error.high,
            not answer.residual.low <= residual <= answer.residual.high,
        )
        naive_misses += not answer.error.low / 2 <= error <= answer.error.high / 2
    # An interval that covers 93 % misses more than 22 of 100 with a chance below 1e-6.
    assert (misses <= 22).all()
    assert naive_misses > 22


def test_zero_rows_are_never_drawn_by_leverage(rng):
    A, b = with_outliers(rng)
    A[::2] = 0.0
    law = law_of(A)
    rows, _ = law.draw(50_000, rng)
    assert (rows % 2 == 1).all()
    assert not law.chances(np.arange(0, 20_000, 2)).any()
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(A, b, tolerance=0.05, method="leverage", rng=0)
    assert prediction_error(A, solution.x, exact) <= 0.05


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_a_consistent_system_of_low_rank_is_solved_to_rounding_by_leverage(make, rng):
    A = rng.standard_normal((3000, 5)) @ rng.standard_normal((5, 40))
    x = A.T @ rng.standard_normal(3000)
    solution = qi.least_squares(make(A), A @ x, method="leverage", rng=0)
    assert np.linalg.norm(solution.x - x) / np.linalg.norm(x) < 1e-8


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_leverage_knows_no_scale(scale, rng):
    A, b = with_outliers(rng, shape=(5000, 10))
    plain = qi.least_squares(A, b, tolerance=0.1, method="leverage", rng=0)
    scaled = qi.least_squares(A * scale, b, tolerance=0.1, method="leverage", rng=0)
    np.testing.assert_allclose(scaled.x * scale, plain.x, rtol=1e-6)


def test_a_ridge_that_swallows_all_leverage_leaves_draws_by_norm(rng):
    A = rng.standard_normal((500, 5))
    np.testing.assert_allclose(law_of(A, ridge=1e308).chances(np.arange(500)), oracles.law_of_rows(A), rtol=0.5)


def test_the_same_seed_gives_the_same_rows_by_leverage(rng):
    A, b = with_outliers(rng)
    one = qi.least_squares(A, b, tolerance=0.05, method="leverage", rng=7)
    two = qi.least_squares(A, b, tolerance=0.05, method="leverage", rng=np.random.default_rng(7))
    np.testing.assert_array_equal(one.x, two.x)


def test_a_tolerance_out_of_reach_of_rows_by_leverage_is_told(rng):
    A, b = with_outliers(rng, shape=(3000, 10), noise=10.0)
    with pytest.warns(ToleranceNotMetWarning, match="leverage"):
        solution = qi.least_squares(A, b, tolerance=0.001, method="leverage", rng=0)
    assert solution.error.high > 0.001


def test_bad_input_is_refused_with_rows_by_leverage_too(rng):
    A = rng.standard_normal((30, 5))
    with pytest.raises(ValueError, match=r"`b` must be finite.*b\[4\]"):
        qi.least_squares(A, np.where(np.arange(30) == 4, np.nan, 1.0), method="leverage")
    with pytest.raises(ValueError, match=r"NaN|finite"):
        qi.least_squares(np.where(np.isclose(A, A[3, 2]), np.inf, A), np.ones(30), method="leverage")
    with pytest.raises(ZeroMassError, match="non-zero"):
        qi.least_squares(np.zeros((10, 5)), np.ones(10), method="leverage")
    with pytest.raises(ValueError, match="'uniform' goes with 'auto', 'rows', 'preconditioned' and 'dual'"):
        qi.least_squares(A, np.ones(30), method="leverage", start="uniform")
