from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from exact_functions import exact, relative, with_spectrum
from oracles import P_LOWEST
from scipy import stats

import qinspired as qi
from qinspired.algorithms.functions import _from_draws, _matrix_function
from qinspired.exceptions import ToleranceNotMetWarning


def test_ridge_from_many_draws_comes_near_an_independent_solver(rng):
    A = with_spectrum((20_000, 60), np.geomspace(300.0, 10.0, 60), rng)
    b = rng.standard_normal(60)
    solved = scipy.linalg.solve(A.T @ A + 5000.0 * np.eye(60), b, assume_a="pos")
    answer = qi.matrix_function(A, "ridge", parameter=5000.0, n_draws=4000, rng=0)
    assert np.linalg.norm(answer @ b - solved) / np.linalg.norm(solved) < 0.06


@pytest.mark.parametrize(("f", "parameter"), [("ridge", 20.0), ("sqrt", None), ("exp", -0.02), ("threshold", 6.0)])
def test_the_error_falls_as_the_root_of_the_draws(f, parameter):
    rng = np.random.default_rng(3)
    A = with_spectrum((3000, 24), np.concatenate([[12.0, 10.0, 8.0], np.full(21, 1.0)]), rng)
    truths = {
        "ridge": lambda x: 1.0 / (x + 20.0),
        "sqrt": np.sqrt,
        "exp": lambda x: np.exp(-0.02 * x),
        "threshold": lambda x: (x >= 36.0).astype(float),
    }
    truth = exact(A, truths[f])
    matrix = qi.as_sq_matrix(A)
    sizes = [250, 500, 1000, 2000]
    errors = [
        np.mean(
            [relative(qi.matrix_function(matrix, f, parameter=parameter, n_draws=r, rng=s), truth) for s in range(16)]
        )
        for r in sizes
    ]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.6 <= slope <= -0.4


def test_the_mean_square_error_of_the_identity_function_is_the_exact_law():
    # E |R^T R - A^T A|_F^2 = (|A|_F^4 - |A^T A|_F^2) / r for draws by squared norm.
    rng = np.random.default_rng(4)
    A = rng.standard_normal((300, 10)) * np.exp(rng.standard_normal(300))[:, None]
    S = A.T @ A
    matrix = qi.as_sq_matrix(A)
    squares = np.array(
        [
            np.linalg.norm(qi.matrix_function(matrix, lambda x: x, n_draws=50, rng=s).to_array() - S) ** 2
            for s in range(300)
        ]
    )
    law = (np.linalg.norm(A) ** 4 - np.linalg.norm(S) ** 2) / 50
    z = (squares.mean() - law) / (squares.std(ddof=1) / np.sqrt(300))
    assert 2 * stats.norm.sf(abs(z)) > P_LOWEST
    uniform = []
    for s in range(300):  # the twin: rows drawn evenly and not weighted miss the law
        picked = A[np.random.default_rng(s).integers(0, 300, 50)]
        uniform.append(np.linalg.norm(6.0 * picked.T @ picked - S) ** 2)
    z = (np.mean(uniform) - law) / (np.std(uniform, ddof=1) / np.sqrt(300))
    assert 2 * stats.norm.sf(abs(z)) < P_LOWEST


SEEDS = 200
COVERAGE = {
    "gapped": (np.concatenate([np.geomspace(3, 1, 5), np.full(25, 0.05)]), 0.0),
    "gapless": (1.0 / np.arange(1, 31), 0.0),
    "skewed": (np.concatenate([np.geomspace(3, 1, 5), np.full(25, 0.1)]), 1.0),
    "low rank": (np.array([3.0, 2.0, 1.0]), 0.0),
}


@pytest.mark.parametrize(("f", "parameter"), [("ridge", 0.1), ("sqrt", None), ("exp", -3.0), ("threshold", 0.45)])
@pytest.mark.parametrize("kind", COVERAGE)
def test_the_interval_covers_the_true_error(kind, f, parameter):
    values, skew = COVERAGE[kind]
    A = with_spectrum((600, 30), values / values[0], np.random.default_rng(1), skew)
    truths = {
        "ridge": lambda x: 1.0 / (x + 0.1),
        "sqrt": np.sqrt,
        "exp": lambda x: np.exp(-3.0 * x),
        "threshold": lambda x: (np.sqrt(x) >= 0.45).astype(float),
    }
    truth = exact(A, truths[f])
    matrix = qi.as_sq_matrix(A)
    misses = shrunk = 0
    for seed in range(SEEDS):
        answer = qi.matrix_function(matrix, f, parameter=parameter, n_draws=150, rng=seed)
        error = relative(answer, truth)
        misses += not answer.error.low <= error <= answer.error.high
        # The twin: the interval of a twentieth of the error.
        shrunk += not answer.error.low / 20 <= error <= answer.error.high / 20
    # An interval that covers 93 % misses more than that with a probability below 1e-6.
    allowed = stats.binom.isf(P_LOWEST, SEEDS, 0.07)
    assert misses <= allowed
    assert shrunk > allowed


@pytest.mark.parametrize(
    ("values", "f", "parameter", "truth"),
    [
        # Eigenvalues within their error bars of the jump.
        (np.arange(1, 31) ** -0.5, "threshold", 0.56, lambda x: (np.sqrt(x) >= 0.56).astype(float)),
        # An error of one or two degrees of freedom.
        (np.geomspace(1.0, 1e-16, 20), "ridge", 0.1, lambda x: 1.0 / (x + 0.1)),
    ],
)
def test_the_interval_covers_errors_that_one_direction_decides(values, f, parameter, truth):
    A = with_spectrum((300, len(values)), values, np.random.default_rng(0))
    whole = exact(A, truth)
    matrix = qi.as_sq_matrix(A)
    misses = 0
    for seed in range(300):
        answer = qi.matrix_function(matrix, f, parameter=parameter, n_draws=200, rng=seed)
        misses += not answer.error.low <= relative(answer, whole) <= answer.error.high
    assert misses <= stats.binom.isf(P_LOWEST, 300, 0.07)


def test_an_eigenvalue_of_the_drawn_rows_near_a_jump_raises_the_upper_end():
    A = with_spectrum((3000, 5), np.array([1.0, 0.9, 0.8, 0.3, 0.3]), np.random.default_rng(0))
    matrix = qi.as_sq_matrix(A)
    near = 0
    for seed in range(40):
        answer = qi.matrix_function(matrix, "threshold", parameter=0.8, n_draws=1000, rng=seed)
        if np.abs(np.sqrt(answer.eigenvalues) / 0.8 - 1.0).min() < 0.01:
            near += 1
            # One direction more or less of three.
            assert answer.error.high > 0.5
    assert near > 5
    clear = qi.matrix_function(matrix, "threshold", parameter=0.5, n_draws=1000, rng=0)
    assert clear.error.high < 0.3


def test_draws_are_added_until_the_certificate_meets_the_tolerance(rng, monkeypatch):
    monkeypatch.setattr(_matrix_function, "_ALL_ROWS_WORK", 0)
    A = with_spectrum((20_000, 40), 1.0 / np.arange(1, 41), rng)
    answer = qi.matrix_function(A, "ridge", parameter=0.2, tolerance=0.04, rng=0)
    assert answer.method == "drawn rows"
    assert answer.error.high <= 0.04
    assert 1096 < answer.stats.row_draws < 10_000
    assert relative(answer, exact(A, lambda x: 1.0 / (x + 0.2))) <= 0.04


def test_rows_that_were_drawn_are_kept_when_the_draw_grows(rng, monkeypatch):
    monkeypatch.setattr(_matrix_function, "_ALL_ROWS_WORK", 0)
    A = with_spectrum((20_000, 30), 1.0 / np.arange(1, 31), rng)
    answer = qi.matrix_function(A, "sqrt", tolerance=0.04, rng=0)
    # Each distinct row is read once, and 160 held-out ones.
    assert answer.stats.row_draws > 1096
    assert answer.stats.rows_read == len(answer.rows) + 160


def test_a_tolerance_out_of_reach_of_draws_ends_with_all_rows(rng, monkeypatch):
    monkeypatch.setattr(_matrix_function, "_ALL_ROWS_WORK", 0)
    answer = qi.matrix_function(rng.standard_normal((3000, 60)), "sqrt", tolerance=0.01, rng=0)
    assert answer.stats.row_draws == 1096
    assert answer.method == "all rows"
    assert answer.error.high == 0.0


def test_a_tolerance_not_met_with_the_given_draws_warns(rng):
    with pytest.warns(ToleranceNotMetWarning, match=r"above the tolerance 0\.001; use more draws"):
        answer = qi.matrix_function(rng.standard_normal((500, 30)), "sqrt", n_draws=50, tolerance=0.001, rng=0)
    assert answer.stats.row_draws == 50 + 96


def test_draws_stop_growing_where_the_eigenproblem_would_be_too_large(rng, monkeypatch):
    monkeypatch.setattr(_from_draws, "_LARGEST_SIDE", 200)
    monkeypatch.setattr(_matrix_function, "_DRAWS", 100)
    monkeypatch.setattr(_matrix_function, "_ALL_ROWS_WORK", 0)
    with pytest.warns(ToleranceNotMetWarning):
        answer = qi.matrix_function(rng.standard_normal((500, 300)), "sqrt", tolerance=0.01, rng=0)
    assert answer.method == "drawn rows"
    assert answer.stats.row_draws == 200 + 96


def test_without_draws_given_a_large_matrix_is_drawn_from_and_a_small_one_is_not(rng):
    A = rng.standard_normal((20_000, 400))
    answer = qi.matrix_function(A, "sqrt", rng=0)
    assert (answer.method, answer.stats.row_draws, answer.stats.full_passes) == ("drawn rows", 1096, 0)
    assert qi.matrix_function(A[:5000], "sqrt").method == "all rows"


def test_the_same_seed_gives_the_same_answer(rng):
    A = rng.standard_normal((500, 30))
    first, second, third = (qi.matrix_function(A, "sqrt", n_draws=50, rng=s) for s in (7, 7, 8))
    np.testing.assert_array_equal(first.to_array(), second.to_array())
    assert not np.array_equal(first.to_array(), third.to_array())
