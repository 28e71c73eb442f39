from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.access import CountingMatrix
from qinspired.algorithms.regression._block_kaczmarz import BlockChains, BlockPlan
from qinspired.algorithms.regression._cross_fit import solve_drawn
from qinspired.algorithms.regression._row_laws import RowsByNorm
from qinspired.algorithms.regression._system import Draw, System
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


def tall(rng, shape=(20_000, 30), noise=0.3, kappa=5.0):
    A = rng.standard_normal(shape) * np.geomspace(kappa, 1, shape[1])
    fitted = A @ rng.standard_normal(shape[1])
    return A, fitted + noise * np.linalg.norm(fitted) / np.sqrt(shape[0]) * rng.standard_normal(shape[0])


def prediction_error(A, x, exact):
    return np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact)


def solved(A, b, ridge=0.0, n_draws=1000, seed=0):
    counted = CountingMatrix(qi.as_sq_matrix(A))
    system = System(counted, b, ridge, RowsByNorm(counted), np.random.default_rng(seed))
    draw = Draw(system)
    draw.grow_to(n_draws)
    return system, solve_drawn(draw, system.penalty, system.norm)


class Scripted(CountingMatrix):
    """A matrix whose draws are given."""

    __slots__ = ("script",)

    def sample_rows(self, n_draws, rng=None):
        del rng
        drawn, self.script = self.script[:n_draws], self.script[n_draws:]
        return drawn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_block_kaczmarz_keeps_the_promise(dtype, make, rng):
    A, b = tall(rng)
    A = A.astype(dtype)
    exact = scipy.linalg.lstsq(A.astype(float), b)[0]
    solution = qi.least_squares(make(A), b, tolerance=0.03, method="block-kaczmarz", rng=1)
    assert prediction_error(A, solution.x, exact) <= 0.03
    assert solution.error.high <= 0.03
    assert solution.method == "block-kaczmarz"
    assert "block Kaczmarz steps" in solution.status


@pytest.mark.parametrize("ridge", [0.0, 700.0])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_iterates_averages_and_residuals_are_those_of_the_naive_iteration(ridge, make, rng):
    A, b = tall(rng, shape=(200, 6))
    system, start = solved(make(A), b, ridge, n_draws=100)
    plan = BlockPlan(start, system.penalty)
    size = plan.n_rows
    script = rng.integers(200, size=(5, 2, size))  # 2 blocks a chain, then 3
    system.A = Scripted(system.A.source if hasattr(system.A, "source") else qi.as_sq_matrix(make(A)))
    system.A.script = script.ravel()
    starts = rng.standard_normal((2, 6))
    chains = BlockChains(system, starts, plan)
    chains._stretch(4 * size)
    chains._stretch(6 * size)
    expected, misfits = [], []
    for chain in range(2):
        middle = starts.mean(axis=0)
        x, iterates = middle + (starts[chain] - middle) / (1.0 - start.degrees / start.n_draws), []
        for block in range(5):
            pull, misfit = np.zeros(6), 0.0
            for row in script[block, chain]:
                left = (b[row] - A[row] @ x) / np.linalg.norm(A[row])
                pull += left * A[row] / np.linalg.norm(A[row]) / size
                misfit += left**2 * np.linalg.norm(A) ** 2 / size
            x = x - plan.step * ridge / np.linalg.norm(A) ** 2 * x + plan.step * pull
            iterates.append(x)
            misfits.append((chain, block, misfit))
        expected.append(np.mean(iterates[2:], axis=0))
    np.testing.assert_allclose(chains.averages(), expected, rtol=1e-9)
    last = [np.mean([value for _, place, value in misfits if place == block]) for block in (2, 3, 4)]
    np.testing.assert_allclose(chains._misfits, last, rtol=1e-9)


@pytest.mark.parametrize("kappa", [1.0, 5.0, 100.0])
def test_a_step_contracts_the_mean_squared_error_and_one_three_times_as_long_does_not(kappa):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4000, 30)) * np.geomspace(kappa, 1, 30)
    units = A / np.linalg.norm(A, axis=1)[:, None]
    _, start = solved(A, A @ rng.standard_normal(30))
    plan = BlockPlan(start, 0.0)
    chance = np.linalg.norm(A, axis=1) ** 2 / np.linalg.norm(A) ** 2
    moment = (units * chance[:, None]).T @ units
    # E[(I - step B)^2] for the mean outer product B of a block, exactly.
    t = plan.n_rows
    second = moment / t + (1.0 - 1.0 / t) * moment @ moment

    def growth(step):
        return np.linalg.eigvalsh(np.eye(30) - 2 * step * moment + step**2 * second)[-1]

    assert growth(plan.step) < 1.0
    assert growth(3.0 * plan.step) > 1.0


def test_the_predicted_rows_reach_the_error_of_as_many_drawn_rows_as_asked(rng):
    A, b = tall(rng, shape=(40_000, 20))
    exact = scipy.linalg.lstsq(A, b)[0]
    needed, squares = 6000, []
    for seed in range(30):
        system, start = solved(A, b, n_draws=640, seed=seed)
        plan = BlockPlan(start, 0.0)
        chains = BlockChains(system, start.parents, plan)
        chains.run_to(int(plan.steps(needed, 1e9)))
        squares.append(prediction_error(A, chains.averages().mean(axis=0), exact) ** 2)
    misfit = np.linalg.norm(A @ exact - b) / np.linalg.norm(A @ exact)
    # 600 squares in all: their mean is good to 6 %, and the prediction is meant to be on the safe side.
    assert 0.5 < np.mean(squares) / (misfit**2 * 20 / needed) < 1.2


def test_more_rows_are_predicted_for_a_larger_condition_number(rng):
    counts = []
    for kappa in (1.0, 5.0, 20.0):
        A = rng.standard_normal((5000, 30)) * np.geomspace(kappa, 1, 30)
        _, start = solved(A, A @ np.ones(30) + rng.standard_normal(5000))
        counts.append(BlockPlan(start, 0.0).steps(4000.0, 1e9))
    assert counts[0] < counts[1] < counts[2]
    assert counts[0] >= 2 * 4000


def test_a_residual_that_still_falls_widens_the_certificate_and_a_steady_one_does_not(rng):
    A, b = tall(rng, shape=(5000, 30))
    exact = scipy.linalg.lstsq(A, b)[0]
    system, start = solved(A, b)
    plan = BlockPlan(start, 0.0)
    slow = 100.0 * np.eye(30)[-1]  # the column of least norm
    far = BlockChains(system, np.array([exact + slow, exact - slow]), plan)
    far.run_to(100 * plan.n_rows)
    assert far.fallen() > 0.0
    near = BlockChains(system, np.array([exact, exact]), plan)
    near.run_to(200 * plan.n_rows)
    assert near.fallen() == 0.0
    short = BlockChains(system, np.zeros((2, 30)), plan)
    short.run_to(2 * plan.n_rows)
    assert short.fallen() == 0.0


def test_a_ridge_solution_by_block_kaczmarz_agrees_with_scikit_learn(rng):
    A, b = tall(rng)
    ridge = 0.2 * np.linalg.norm(A) ** 2 / A.shape[1]
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A, b).coef_
    assert prediction_error(A, scipy.linalg.lstsq(A, b)[0], exact) > 0.1
    solution = qi.least_squares(A, b, ridge=ridge, tolerance=0.02, method="block-kaczmarz", rng=0)
    assert solution.method == "block-kaczmarz"
    assert prediction_error(A, solution.x, exact) <= 0.02


@pytest.mark.parametrize("skew", [0.0, 0.8])
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_intervals_of_block_kaczmarz_cover_the_truth_in_100_seeds(skew):
    rng = np.random.default_rng(0)
    m, n = 8000, 30
    A = np.exp(skew * rng.standard_normal(m))[:, None] * rng.standard_normal((m, n)) * np.geomspace(5, 1, n)
    fitted = A @ rng.standard_normal(n)
    b = fitted + 0.3 * np.linalg.norm(fitted) / np.sqrt(m) * rng.standard_normal(m)
    moment = A.T @ A
    exact = np.linalg.solve(moment, A.T @ b)
    indexed = qi.as_sq_matrix(A)
    misses, naive_misses, refuted = np.zeros(2), 0, 0
    for seed in range(100):
        answer = qi.least_squares(indexed, b, tolerance=0.05, method="block-kaczmarz", rng=seed)
        assert answer.method == "block-kaczmarz"
        error = np.sqrt((answer.x - exact) @ moment @ (answer.x - exact) / (exact @ moment @ exact))
        residual = np.linalg.norm(A @ answer.x - b) / np.linalg.norm(b)
        misses += (
            not answer.error.low <= error <= answer.error.high,
            not answer.residual.low <= residual <= answer.residual.high,
        )
        refuted += answer.error.high > 0.05  # by held-out rows, at three standard deviations
        naive_misses += not answer.error.low / 2 <= error <= answer.error.high / 2
    # An interval that covers 93 % misses more than 22 of 100 with a chance below 1e-6.
    assert (misses <= 22).all()
    assert naive_misses > 22
    assert refuted <= 5


def test_auto_takes_block_kaczmarz_on_a_noisy_dense_system_where_passes_are_dear(monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._system._PASS_BYTES", 1e8)
    rng = np.random.default_rng(0)
    A, b = tall(rng, shape=(50_000, 500), noise=0.1, kappa=1.0)
    exact = np.linalg.solve(A.T @ A, A.T @ b)
    solution = qi.least_squares(A, b, tolerance=0.02, rng=0)
    assert solution.method == "block-kaczmarz"
    assert prediction_error(A, solution.x, exact) <= 0.02


def test_zero_rows_do_no_harm_to_block_kaczmarz(rng):
    A, b = tall(rng)
    A[::2] = 0.0
    exact = scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(A, b, tolerance=0.05, method="block-kaczmarz", rng=0)
    assert prediction_error(A, solution.x, exact) <= 0.05
    residual = np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b)
    assert solution.residual.low <= residual <= solution.residual.high


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_block_kaczmarz_knows_no_scale(scale, rng):
    A, b = tall(rng, shape=(5000, 10))
    plain = qi.least_squares(A, b, tolerance=0.05, method="block-kaczmarz", rng=0)
    scaled = qi.least_squares(A * scale, b, tolerance=0.05, method="block-kaczmarz", rng=0)
    assert scaled.method == "block-kaczmarz"
    np.testing.assert_allclose(scaled.x * scale, plain.x, rtol=1e-6)


def test_the_same_seed_gives_the_same_block_kaczmarz_solution(rng):
    A, b = tall(rng)
    one = qi.least_squares(A, b, tolerance=0.05, method="block-kaczmarz", rng=7)
    two = qi.least_squares(A, b, tolerance=0.05, method="block-kaczmarz", rng=np.random.default_rng(7))
    np.testing.assert_array_equal(one.x, two.x)


def test_a_tolerance_out_of_reach_of_block_kaczmarz_is_told(rng):
    A, b = tall(rng, shape=(3000, 10), noise=10.0)
    with pytest.warns(ToleranceNotMetWarning, match="block-kaczmarz"):
        solution = qi.least_squares(A, b, tolerance=0.001, method="block-kaczmarz", rng=0)
    assert solution.error.high > 0.001


def test_bad_input_is_refused_with_block_kaczmarz_too(rng):
    A = rng.standard_normal((30, 5))
    with pytest.raises(ValueError, match=r"`b` must be finite.*b\[4\]"):
        qi.least_squares(A, np.where(np.arange(30) == 4, np.nan, 1.0), method="block-kaczmarz")
    with pytest.raises(ValueError, match=r"NaN|finite"):
        qi.least_squares(np.where(np.isclose(A, A[3, 2]), np.inf, A), np.ones(30), method="block-kaczmarz")
    with pytest.raises(ZeroMassError, match="non-zero"):
        qi.least_squares(np.zeros((10, 5)), np.ones(10), method="block-kaczmarz")
    with pytest.raises(ValueError, match="'uniform' goes with 'auto', 'rows', 'preconditioned' and 'dual'"):
        qi.least_squares(A, np.ones(30), method="block-kaczmarz", start="uniform")
