from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from scipy import stats

import qinspired as qi
from qinspired.exceptions import DivergenceWarning
from qinspired.reference import _row_steps, shao_montanaro_kaczmarz


def orthonormal(m: int = 60, n: int = 8) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).standard_normal((m, n)))[0]


def wide() -> np.ndarray:
    """Return a matrix of rank 4 with a zero row, a zero column, and more columns than rows."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30, 4)) * [2.0, 1.5, 1.2, 1.0] @ rng.standard_normal((4, 70))
    X[3], X[:, 5] = 0.0, 0.0
    return X


def mean_of(values: list[Any]) -> tuple[Any, Any]:
    """Return means and their standard errors."""
    array = np.array(values)
    return array.mean(axis=0), array.std(axis=0) / np.sqrt(len(array))


# The largest |z| that a right program shows with probability 1 - P_LOWEST.
Z_HIGHEST = float(stats.norm.isf(oracles.P_LOWEST / 2))


@pytest.mark.parametrize("kind", [np.array, sp.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("n_cols", [None, 100_000])
def test_a_consistent_system_gives_the_least_norm_solution(kind: Any, n_cols: int | None) -> None:
    A = wide()
    b = A @ np.random.default_rng(2).standard_normal(70)
    wanted = np.linalg.lstsq(A, b)[0]
    found = shao_montanaro_kaczmarz(kind(A), b, 1000 if n_cols is None else 60, n_cols=n_cols, rng=0)
    error = np.linalg.norm(found.to_array() - wanted) / np.linalg.norm(wanted)
    assert error < (1e-10 if n_cols is None else 0.05)
    np.testing.assert_allclose(found.query([0, 5, 69]), found.to_array()[[0, 5, 69]], rtol=0, atol=1e-12)
    assert 3 not in found.vector.rows


def test_the_first_steps_are_those_of_the_formula() -> None:
    A, b = wide(), np.arange(1.0, 31.0)
    matrix = qi.as_sq_matrix(A)
    rows = matrix.sample_rows(40, np.random.default_rng(7))  # the first draws of the call
    x = np.zeros(70)
    for i in rows:
        x += (b[i] - A[i] @ x) / (A[i] @ A[i]) * A[i]
    found = shao_montanaro_kaczmarz(matrix, b, 40, rng=7)
    np.testing.assert_allclose(found.to_array(), x, rtol=0, atol=1e-11 * np.abs(x).max())
    one = shao_montanaro_kaczmarz(matrix, b, 1, n_cols=3, rng=7)  # x = 0 before it: nothing to estimate
    assert one.vector.rows.tolist() == [rows[0]]
    assert one.vector.coefficients[0] == pytest.approx(b[rows[0]] / (A[rows[0]] @ A[rows[0]]), rel=1e-13)


def test_sampled_steps_in_one_stretch_or_many_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    A, b = wide(), np.arange(1.0, 31.0)
    matrix, norm = qi.as_sq_matrix(A), np.linalg.norm(A)
    for block in (10**6, 200):
        monkeypatch.setattr(_row_steps, "_BLOCK_ENTRIES", block)
        generator = np.random.default_rng(7)
        rows = matrix.sample_rows(25, generator)
        table = qi.AliasTable((A**2).sum(axis=0))
        stretch = max(1, block // (4 * len(np.unique(rows))))
        cols = np.concatenate(
            [table.sample(4 * len(rows[k : k + stretch]), generator).reshape(-1, 4) for k in range(0, 25, stretch)]
        )
        y, lengths = np.zeros(30), (A**2).sum(axis=0)
        for i, drawn in zip(rows, cols, strict=True):
            x = A.T @ y
            g = np.mean(A[i, drawn] * x[drawn] * norm**2 / lengths[drawn])
            y[i] += (b[i] - g) / (A[i] @ A[i])
        found = shao_montanaro_kaczmarz(matrix, b, 25, n_cols=4, rng=7)
        np.testing.assert_allclose(found.to_array(), A.T @ y, rtol=1e-9)


def test_with_equal_singular_values_the_expected_error_falls_by_one_minus_one_over_n() -> None:
    A = orthonormal()
    x = np.arange(1.0, 9.0)
    matrix, b = qi.as_sq_matrix(A), A @ x
    for steps in (3, 12):
        squares = [
            np.sum((shao_montanaro_kaczmarz(matrix, b, steps, rng=seed).to_array() - x) ** 2) for seed in range(600)
        ]
        mean, error = mean_of(squares)
        assert abs(mean - (1 - 1 / 8) ** steps * (x @ x)) < Z_HIGHEST * error
        # The twin: as if kappa_F^2 were 12 in place of 8.
        assert abs(mean - (1 - 1 / 12) ** steps * (x @ x)) > Z_HIGHEST * error


def test_the_expected_error_is_below_the_bound_by_the_condition_number() -> None:
    A = wide()
    s = np.linalg.svd(A)[1][:4]
    x = np.linalg.svd(A)[2][3]  # the slowest direction, for which the bound is an equation
    matrix, b = qi.as_sq_matrix(A), A @ x
    squares = [np.sum((shao_montanaro_kaczmarz(matrix, b, 30, rng=seed).to_array() - x) ** 2) for seed in range(400)]
    mean, error = mean_of(squares)
    assert mean < (1 - s[-1] ** 2 / (s @ s)) ** 30 + Z_HIGHEST * error
    assert mean > 1e-3


def test_drawn_columns_add_the_noise_of_the_formula() -> None:
    n, d = 8, 20
    A = orthonormal()
    x = np.arange(1.0, 9.0)
    matrix, b = qi.as_sq_matrix(A), A @ x
    expected, quiet = float(x @ x), float(x @ x)
    for t in range(15):
        size = expected + (x @ x) * (1.0 - 2.0 * (1 - 1 / n) ** t)  # E|x_t|^2, as E(x_t - x) = -(1 - 1/n)^t x
        expected, quiet = (1 - 1 / n) * (expected + size / d), (1 - 1 / n) * (quiet + size / (2 * d))
    squares = [
        np.sum((shao_montanaro_kaczmarz(matrix, b, 15, n_cols=d, rng=seed).to_array() - x) ** 2) for seed in range(1500)
    ]
    mean, error = mean_of(squares)
    assert abs(mean - expected) < Z_HIGHEST * error
    assert abs(mean - quiet) > Z_HIGHEST * error  # the twin: half of the noise


@pytest.mark.parametrize("n_cols", [None, 40])
def test_the_mean_iterate_is_that_of_gradient_descent(n_cols: int | None) -> None:
    A = wide()[:, :12]
    b = np.linspace(-1.0, 2.0, 30)  # not in the range of A
    matrix, H = qi.as_sq_matrix(A), A.T @ A / np.linalg.norm(A) ** 2
    x, short = np.zeros(12), np.zeros(12)
    for t in range(10):
        x = x - H @ x + A.T @ b / np.linalg.norm(A) ** 2
        short = x if t < 8 else short
    found = [shao_montanaro_kaczmarz(matrix, b, 10, n_cols=n_cols, rng=seed).to_array() for seed in range(1500)]
    mean, error = mean_of(found)
    used = np.abs(A).sum(axis=0) > 0
    assert (np.abs(mean - x)[used] < Z_HIGHEST * error[used]).all()
    assert (np.abs(mean - short)[used] > Z_HIGHEST * error[used]).any()  # the twin: two steps fewer


def test_the_error_left_falls_as_the_root_of_the_columns() -> None:
    A = orthonormal(200, 16)
    x = np.ones(16)
    matrix, b = qi.as_sq_matrix(A), A @ x
    sizes, errors = [100, 400, 1600, 6400], []
    for d in sizes:
        squares = [
            np.sum((shao_montanaro_kaczmarz(matrix, b, 120, n_cols=d, rng=seed).to_array() - x) ** 2) / 16
            for seed in range(20)
        ]
        errors.append(np.sqrt(np.mean(squares)))
        assert errors[-1] < 1.3 * 4 / np.sqrt(d)  # kappa_F / sqrt(d)
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.1)


def test_draws_from_the_solution_follow_its_squares() -> None:
    A = wide()
    b = A @ np.random.default_rng(2).standard_normal(70)
    found = shao_montanaro_kaczmarz(A, b, 40, n_cols=200, rng=0)
    draws, trials = found.sample(5000, rng=1)
    whole = found.to_array()
    assert oracles.chi_square_p(draws, oracles.law_of(whole)) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of(np.abs(whole) ** 1.2)) < oracles.P_LOWEST
    sizes = found.vector.coefficients * np.linalg.norm(A[found.vector.rows], axis=1)
    assert trials / 5000 == pytest.approx(len(sizes) * (sizes @ sizes) / (whole @ whole), rel=0.1)


def test_the_cost_is_counted() -> None:
    A = wide()
    cost = shao_montanaro_kaczmarz(qi.as_sq_matrix(A), A @ np.ones(70), 50, n_cols=10, rng=0).stats
    assert (cost.row_draws, cost.rows_read, cost.full_passes, cost.index_seconds) == (50, 0, 1, 0.0)
    # At most one entry for each row seen and each column used.
    assert 0 < cost.entry_queries <= 29 * 69
    exact = shao_montanaro_kaczmarz(qi.as_sq_matrix(A), A @ np.ones(70), 50, rng=0).stats
    assert (exact.rows_read, exact.entry_queries, exact.full_passes) == (50, 0, 0)


def test_too_few_columns_diverge_and_are_told() -> None:
    A = orthonormal(200, 100)
    with pytest.raises(
        ValueError, match="`n_cols` must be larger, or `n_steps` smaller; the iteration diverged with 1 and 30000"
    ):
        shao_montanaro_kaczmarz(A, A @ np.ones(100), 30_000, n_cols=1, rng=0)


@pytest.mark.parametrize("steps", [300, 2000])
def test_an_answer_of_an_iteration_that_diverges_comes_with_a_warning(steps: int) -> None:
    A = orthonormal(200, 100)
    with pytest.warns(DivergenceWarning, match="Use more `n_cols` than 1, or fewer `n_steps`"):
        found = shao_montanaro_kaczmarz(A, A @ np.ones(100), steps, n_cols=1, rng=0)
    assert np.abs(found.to_array()).max() > 100.0


def test_a_burst_that_has_passed_its_height_is_told_too() -> None:
    problem = qi.problems.linear_system((100, 60), rank=6, kappa=4.0, rng=0)
    matrix, told = qi.as_sq_matrix(problem.A), 0
    for seed in range(20):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = shao_montanaro_kaczmarz(matrix, problem.b, 400, n_cols=3, rng=seed)
        far = np.linalg.norm(found.to_array() - problem.x_true) / np.linalg.norm(problem.x_true)
        assert far < 300.0 or caught
        told += len(caught)
    assert told > 5


@pytest.mark.parametrize("steps", [1, 3, 5, 10, 100, 1000])
@pytest.mark.parametrize("n_cols", [None, 300])
def test_an_iteration_that_converges_comes_without_one(steps: int, n_cols: int | None) -> None:
    A = wide()
    for seed in range(3):
        shao_montanaro_kaczmarz(A, A @ np.ones(70), steps, n_cols=n_cols, rng=seed)


@pytest.mark.parametrize(("steps", "cols"), [(0, None), (2.0, None), (True, None), (3, 0), (3, 1.5)])
def test_numbers_of_steps_and_columns_must_be_positive_integers(steps: Any, cols: Any) -> None:
    A = wide()
    name = "n_steps" if cols is None else "n_cols"
    with pytest.raises((ValueError, TypeError), match=f"`{name}` must be an integer >= 1"):
        shao_montanaro_kaczmarz(A, A @ np.ones(70), steps, n_cols=cols, rng=0)


def test_more_steps_than_can_be_held_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`n_steps` must be at most 1e8; got 1e\+09"):
        shao_montanaro_kaczmarz(wide(), np.ones(30), 10**9, rng=0)


def test_without_whole_rows_columns_must_be_drawn() -> None:
    A = np.abs(wide()) + 0.1
    lengths = np.linalg.norm(A, axis=1)
    entries = qi.ImplicitMatrix(
        lengths, lambda rows: A[rows], shape=A.shape, entry_function=lambda i, j: A[i, j], entry_bound=float(A.max())
    )
    with pytest.raises(ValueError, match="`A` must have rows that can be read whole"):
        shao_montanaro_kaczmarz(entries, np.ones(30), 5, rng=0)
