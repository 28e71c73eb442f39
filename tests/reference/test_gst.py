from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy import stats

import qinspired as qi
from qinspired.exceptions import DivergenceWarning, QInspiredWarning, ZeroMassError
from qinspired.reference import gst_regression

# The largest |z| that a right program shows with probability 1 - P_LOWEST.
Z_HIGHEST = float(stats.norm.isf(oracles.P_LOWEST / 2))


def signs(n: int = 8) -> np.ndarray:
    """Return 16 x n with orthonormal columns and entries of one size: estimates from them have light tails."""
    return scipy.linalg.hadamard(16)[:, :n] / 4.0


def uneven() -> np.ndarray:
    """Return 30 x 20 of rank 3 with a zero row, a zero column and condition number 2."""
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.standard_normal((size, 3)))[0] for size in (30, 20))
    U[4], V[7] = 0.0, 0.0
    return U * [2.0, 1.5, 1.0] @ V.T


def exact(A: np.ndarray, b: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    if ridge == 0.0:
        return np.linalg.lstsq(A, b)[0]
    return np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T @ b)


def bounds(A: np.ndarray, rank: int) -> dict[str, float]:
    s = np.linalg.svd(A)[1]
    return {"sigma_min": float(s[rank - 1]), "sigma_max": float(s[0])}


def mean_of(values: list[Any]) -> tuple[Any, Any]:
    """Return means and their standard errors."""
    array = np.array(values)
    return array.mean(axis=0), array.std(axis=0) / np.sqrt(len(array))


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize("kind", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_default_sizes_keep_the_promise(kind: Any, ridge: float) -> None:
    A, b = uneven(), np.linspace(-1.0, 2.0, 30)
    wanted = exact(A, b, ridge)
    limits = bounds(A, 3)
    matrix = qi.as_sq_matrix(kind(A))
    errors = [
        np.linalg.norm(gst_regression(matrix, b, ridge=ridge, tolerance=0.2, rng=seed, **limits).to_array() - wanted)
        for seed in range(8)
    ]
    assert np.sqrt(np.mean(np.square(errors))) < 0.2 * np.linalg.norm(wanted)


def test_the_default_sizes_are_those_of_the_formulas() -> None:
    A, b = uneven(), np.ones(30)
    F, ridge, eps = np.linalg.norm(A), 0.25, 0.4
    found = gst_regression(A, b, ridge=ridge, tolerance=eps, rng=0, **bounds(A, 3))
    s = np.linalg.svd(A)[1][:3]
    mu, C = s[2] ** 2 + ridge, int(np.ceil(F**2 / s[0] ** 2))
    eta = min(eps**2 * mu / (4 * F**2 * (s[0] ** 2 + F**2 / C)), 1 / (2 * (s[0] ** 2 + ridge)))
    assert found.n_cols == C
    assert found.step == pytest.approx(eta * F**2, rel=1e-12)
    assert found.n_steps == int(np.ceil(np.log(2 / eps**2) / (eta * mu)))
    # A ridge far above the matrix: the other bound on the step.
    large = gst_regression(A, b, ridge=1e4, tolerance=0.9, rng=0)
    assert large.step == pytest.approx(F**2 / (2 * (F**2 + 1e4)), rel=1e-12)
    assert large.n_cols == 1


def test_a_smaller_step_with_as_many_more_steps_errs_as_its_root() -> None:
    A, b = uneven(), np.linspace(-1.0, 2.0, 30)
    wanted, matrix = exact(A, b), qi.as_sq_matrix(A)
    steps, errors = [0.2, 0.05, 0.0125], []
    for step in steps:
        sizes = {"step": step, "n_steps": int(120 / step), "n_cols": 4}
        squares = [
            np.sum((gst_regression(matrix, b, rng=seed, **sizes).to_array() - wanted) ** 2) for seed in range(40)
        ]
        errors.append(np.sqrt(np.mean(squares)))
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(0.5, abs=0.15)


def test_the_last_step_is_that_of_the_formula() -> None:
    A, b, ridge, step = uneven(), np.linspace(-1.0, 2.0, 30), 0.3, 0.2
    matrix, F = qi.as_sq_matrix(A), np.linalg.norm(A)
    eta = step / F**2
    generator = np.random.default_rng(7)
    rows = matrix.sample_rows(12, generator)
    cols = matrix.sample_cols(np.repeat(rows, 3), generator).reshape(12, 3)
    x, iterates = np.zeros(20), []
    for i, drawn in zip(rows, cols, strict=True):
        g = np.mean((A[i] @ A[i]) / A[i, drawn] * x[drawn])
        x = x - eta * (F**2 / (A[i] @ A[i]) * g * A[i] - A.T @ b + ridge * x)
        iterates.append(x)
    sizes = {"ridge": ridge, "step": step, "n_steps": 12, "n_cols": 3}
    found = gst_regression(matrix, b, rng=7, **sizes)
    np.testing.assert_allclose(found.to_array(), x, rtol=0, atol=1e-12 * np.abs(x).max())
    np.testing.assert_allclose(found.query([1, 19]), x[[1, 19]], rtol=0, atol=1e-12 * np.abs(x).max())
    mean = gst_regression(matrix, b, average=True, rng=7, **sizes)
    np.testing.assert_allclose(mean.to_array(), np.mean(iterates[6:], axis=0), rtol=0, atol=1e-12 * np.abs(x).max())


@pytest.mark.parametrize("n_rhs", [None, 5])
def test_the_mean_iterate_is_that_of_gradient_descent(n_rhs: int | None) -> None:
    A, ridge, step = signs()[:, :6] + 0.05, 0.4, 0.5
    b = np.arange(1.0, 17.0)
    matrix, F = qi.as_sq_matrix(A), np.linalg.norm(A)
    x, short = np.zeros(6), np.zeros(6)
    for t in range(12):
        x = x - step / F**2 * (A.T @ (A @ x - b) + ridge * x)
        short = x if t < 9 else short
    sizes = {"ridge": ridge, "step": step, "n_steps": 12, "n_cols": 2, "n_rhs": n_rhs}
    mean, error = mean_of([gst_regression(matrix, b, rng=seed, **sizes).to_array() for seed in range(1500)])
    assert (np.abs(mean - x) < Z_HIGHEST * error).all()
    assert (np.abs(mean - short) > Z_HIGHEST * error).any()  # the twin: three steps fewer


def test_drawn_columns_and_rows_add_the_noise_of_the_formula() -> None:
    n, C, ridge, step = 8, 3, 0.2, 0.4
    A = signs(n)
    b = A @ np.arange(1.0, 9.0)
    x, eta, matrix = exact(A, b, ridge), step / n, qi.as_sq_matrix(A)
    keep = 1.0 - eta * (1.0 + ridge)

    def second_moment(noise: float) -> float:
        expected = float(x @ x)
        for t in range(20):
            size = expected + (x @ x) * (1.0 - 2.0 * keep**t)  # E|x_t|^2, as E(x_t - x*) = -keep^t x*
            expected = keep**2 * expected + eta**2 * noise * size
        return expected

    # E|H_t x|^2 - |H x|^2, H_t x = (|A|_F^2 / |A_i|^2) g A_i and H = I.
    noise = n * (1 - 1 / C) + n**2 / C - 1
    sizes = {"ridge": ridge, "step": step, "n_steps": 20, "n_cols": C}
    squares = [np.sum((gst_regression(matrix, b, rng=seed, **sizes).to_array() - x) ** 2) for seed in range(1500)]
    mean, error = mean_of(squares)
    assert abs(mean - second_moment(noise)) < Z_HIGHEST * error
    assert abs(mean - second_moment(n**2 / C)) > Z_HIGHEST * error  # the twin: without the noise of the rows


def test_the_draws_from_the_right_hand_side_have_its_mean_and_the_spread_of_the_formula() -> None:
    A, s = signs(), 7
    b = np.arange(16.0)
    matrix, back = qi.as_sq_matrix(A), A.T @ b
    # From x = 0 one step of size eta gives eta A^T b.
    found = [
        gst_regression(matrix, b, n_rhs=s, step=1.0, n_steps=1, n_cols=1, rng=seed).to_array() * 8
        for seed in range(1000)
    ]
    mean, error = mean_of(found)
    assert (np.abs(mean - back) < Z_HIGHEST * error).all()
    spread, error = mean_of(((np.array(found) - back) ** 2).sum(axis=1).tolist())
    reached = (A[1:] ** 2).sum()
    assert abs(spread - ((b @ b) * reached - back @ back) / s) < Z_HIGHEST * error
    assert abs(spread - (b @ b) * reached / s) > Z_HIGHEST * error  # the twin: without the square of the mean


def test_a_drawn_right_hand_side_keeps_the_solution_sparse_and_needs_no_pass() -> None:
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((500, 20)), rng.standard_normal(500)
    sizes = {"ridge": 500.0, "step": 0.1, "n_steps": 30, "n_cols": 2}
    drawn = gst_regression(qi.as_sq_matrix(A), b, n_rhs=40, rng=0, **sizes)
    whole = gst_regression(qi.as_sq_matrix(A), b, rng=0, **sizes)
    assert len(drawn.vector.rows) <= 70
    assert drawn.stats.full_passes == 0
    assert len(whole.vector.rows) == 500
    assert whole.stats.full_passes == 1
    assert (whole.stats.row_draws, whole.stats.column_draws) == (30, 60)
    assert len(np.unique(drawn.vector.rows)) == len(drawn.vector.rows)


def test_draws_from_the_solution_follow_its_squares() -> None:
    A, b = uneven(), np.linspace(-1.0, 2.0, 30)
    found = gst_regression(A, b, ridge=1.0, step=0.1, n_steps=400, n_cols=4, n_rhs=200, rng=0)
    whole = found.to_array()
    draws, _ = found.sample(5000, rng=1)
    assert oracles.chi_square_p(draws, oracles.law_of(whole)) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of(np.abs(whole) ** 1.2)) < oracles.P_LOWEST


def test_outside_the_range_the_coefficients_grow_with_the_steps_and_so_do_the_trials() -> None:
    A = uneven()
    inside, outside = A @ np.arange(20.0), np.linspace(-1.0, 2.0, 30)
    trials = {}
    for name, b in (("inside", inside), ("outside", outside)):
        for steps in (400, 1600):
            found = gst_regression(A, b, step=0.1, n_steps=steps, n_cols=4, rng=0)
            trials[name, steps] = found.sample(20, rng=0)[1]
    assert trials["outside", 1600] > 5 * trials["outside", 400]
    assert trials["outside", 400] > 5 * trials["inside", 1600]


def test_a_step_that_is_too_large_diverges_and_is_told() -> None:
    A = uneven()
    with pytest.raises(
        ValueError, match="`step` must be smaller or `n_cols` larger; the iteration diverged with 4 and 1"
    ):
        gst_regression(A, np.ones(30), step=4.0, n_steps=5000, n_cols=1, rng=0)


@pytest.mark.parametrize(("step", "steps"), [(4.0, 12), (4.0, 30), (4.0, 200), (4.0, 400), (2.5, 400)])
@pytest.mark.parametrize("average", [False, True])
def test_an_answer_of_an_iteration_that_diverges_comes_with_a_warning(step: float, steps: int, average: bool) -> None:
    A = uneven()
    b = A @ np.ones(A.shape[1])
    with pytest.warns(
        DivergenceWarning, match="Use a smaller `step` than .*, more `n_cols` than 1, or fewer `n_steps`"
    ):
        found = gst_regression(A, b, step=step, n_steps=steps, n_cols=1, average=average, rng=0)
    assert np.linalg.norm(found.to_array()) > 100 * np.sqrt(A.shape[1])


@pytest.mark.parametrize("steps", [1, 3, 5, 10, 100, 1000])
@pytest.mark.parametrize("step", [1e-3, 0.1, 0.5])
@pytest.mark.parametrize("size", [1e-90, 1.0, 1e90])
def test_an_iteration_that_converges_comes_without_one(steps: int, step: float, size: float) -> None:
    A = uneven()
    b = size * (A @ np.ones(A.shape[1]))
    for seed in range(3):
        gst_regression(A, b, step=step, n_steps=steps, n_cols=10, rng=seed)


def test_few_steps_that_grow_by_chance_are_not_taken_for_divergence() -> None:
    problem = qi.problems.linear_system((100, 60), rank=40, kappa=2.0, noise=0.3, rng=0)
    matrix = qi.as_sq_matrix(problem.A)
    for seed in range(30):
        gst_regression(matrix, problem.b, step=0.3, n_steps=10, n_cols=1, rng=seed)


BAD = {
    "no bound at all": ({}, "`sigma_min` must be given, or `ridge` be > 0"),
    "steps but no step": ({"n_steps": 5}, "`sigma_min` must be given"),
    "a bound of zero": ({"sigma_min": 0.0}, "`sigma_min` must be a finite number > 0"),
    "bounds crossed": ({"sigma_min": 2.0, "sigma_max": 1.0}, "`sigma_min` must not exceed `sigma_max`"),
    "above the norm": ({"sigma_min": 50.0}, r"`sigma_min` must not exceed `sigma_max` and \|A\|_F"),
    "negative ridge": ({"ridge": -1.0}, "`ridge` must be a finite number >= 0"),
    "ridge without a number": ({"ridge": float("nan")}, "`ridge` must be a finite number >= 0"),
    "ridge far above all": ({"ridge": 1e20}, r"`ridge` must be at most 1e16 \|A\|_F\^2"),
    "a bound without a number": ({"sigma_min": float("nan")}, "`sigma_min` must be a finite number > 0"),
    "no upper bound": ({"sigma_min": 0.1, "sigma_max": 0.3}, r"`sigma_max` must be at least \|A\|_F / sqrt"),
    "steps that cannot be held": ({"step": 0.1, "n_steps": 10**9}, r"`n_steps` must be at most 1e8; got 1e\+09"),
    "a bound that is nothing": ({"sigma_min": 1e-170}, "or one too small"),
    "a bound of next to nothing": ({"sigma_min": 1e-120}, "`n_steps` must be at most 1e8; .* ask for inf"),
    "tolerance of one": ({"sigma_min": 1.0, "tolerance": 1.0}, r"`tolerance` must be in \(0, 1\)"),
    "too many steps": ({"sigma_min": 1e-3}, "`n_steps` must be at most 1e8"),
    "no steps": ({"n_steps": 0, "step": 1.0}, "`n_steps` must be an integer >= 1"),
    "step of zero": ({"n_steps": 3, "step": 0.0}, "`step` must be a finite number > 0"),
    "no columns": ({"n_steps": 3, "step": 0.1, "n_cols": 0}, "`n_cols` must be an integer >= 1"),
    "no draws": ({"n_steps": 3, "step": 0.1, "n_rhs": 0}, "`n_rhs` must be an integer >= 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_arguments_out_of_range_are_refused(name: str) -> None:
    arguments, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        gst_regression(uneven(), np.ones(30), rng=0, **arguments)


def test_equal_singular_values_have_an_upper_bound_at_the_least_that_is_allowed() -> None:
    found = gst_regression(signs(), np.ones(16), sigma_min=1.0, sigma_max=1.0, rng=0)
    assert found.n_cols == 8


def test_a_zero_matrix_is_refused() -> None:
    with pytest.raises(ZeroMassError, match="`A` must have a non-zero entry"):
        gst_regression(np.zeros((3, 4)), np.ones(3), sigma_min=1.0)


def test_a_divergence_is_caught_as_a_warning_of_the_package_and_of_numpy() -> None:
    assert issubclass(DivergenceWarning, QInspiredWarning)
    assert issubclass(DivergenceWarning, RuntimeWarning)
