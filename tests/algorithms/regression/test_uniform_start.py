from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.linear_model import Ridge

import qinspired as qi
from qinspired.exceptions import ZeroMassError

M, N, TOLERANCE = 20_000, 30, 0.1
STARTED = "started without an index"


def even(rng, noise=0.3, m=M):
    A = rng.standard_normal((m, N)) * np.geomspace(5, 1, N)
    return A, target(A, rng, noise)


def target(A, rng, noise=0.3):
    fitted = A @ rng.standard_normal(A.shape[1])
    return fitted + noise * np.linalg.norm(fitted) / np.sqrt(len(A)) * rng.standard_normal(len(A))


def one_huge_row(rng):
    A, _ = even(rng)
    A[rng.integers(M)] *= 2000
    return A, target(A, rng)


def a_few_large_rows(rng):
    A, _ = even(rng)
    A[rng.choice(M, 5, replace=False)] *= 100
    return A, target(A, rng)


def log_normal(rng):
    A = even(rng)[0] * np.exp(1.5 * rng.standard_normal((M, 1)))
    return A, target(A, rng)


def pareto(rng):
    A = even(rng)[0] * (1 + rng.pareto(1.2, size=(M, 1)))
    return A, target(A, rng)


def in_order_of_their_norms(rng):
    A = even(rng)[0] * np.linspace(3, 0.01, M)[:, None] ** 2
    return A, target(A, rng)


def mostly_zero(rng):
    A, _ = even(rng)
    A[: M - 300] = 0.0
    return A, target(A, rng)


def half_zero(rng):
    A, _ = even(rng)
    A[::2] = 0.0
    return A, target(A, rng)


def targets_of_few_rows(rng):
    A, b = even(rng)
    b[rng.choice(M, 5, replace=False)] += 30 * np.linalg.norm(b) / np.sqrt(5)
    return A, b


def a_column_in_few_rows(rng):
    A, _ = even(rng)
    A[:, 0] = 0.0
    A[rng.choice(M, 20, replace=False), 0] = 100.0
    return A, target(A, rng)


UNEVEN = [one_huge_row, a_few_large_rows, log_normal, pareto, mostly_zero]
FOOLING = [*UNEVEN, in_order_of_their_norms, half_zero, targets_of_few_rows, a_column_in_few_rows, even]


def prediction_error(A, b, x):
    exact = scipy.linalg.lstsq(A, b)[0]
    return np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact)


def uniform(A, b, seed=0, **options):
    return qi.least_squares(A, b, start="uniform", rng=seed, **{"tolerance": TOLERANCE, "method": "rows", **options})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_even_rows_give_an_answer_without_an_index(noise, dtype, rng):
    A, b = even(rng, noise)
    A = A.astype(dtype)
    solution = uniform(A, b)
    assert prediction_error(A, b, solution.x) <= max(solution.error.high, 1e-14)
    assert solution.error.high <= TOLERANCE
    assert STARTED in solution.status
    assert not solution.source.has_index
    assert solution.method == "rows"
    assert solution.stats.index_seconds == 0.0
    assert solution.stats.full_passes == solution.stats.row_draws == 0


def test_auto_starts_without_an_index_where_sampling_is_worth_it_and_not_where_it_is_not():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60_000, 150))
    solution = uniform(A, target(A, rng, 0.1), method="auto")
    assert (solution.method, solution.source.has_index) == ("rows", False)
    A, b = even(rng)
    solution = uniform(A, b, method="auto")
    assert (solution.method, solution.source.has_index) == ("exact", True)
    assert prediction_error(A, b, solution.x) < 1e-9


def test_few_of_the_entries_are_read(rng):
    A, b = even(rng, m=200_000)
    solution = uniform(A, b)
    assert 0 < solution.stats.entries_read < 0.35 * A.size  # 8 of the 30 entries of every row are probed
    assert solution.stats.bytes_read == 8 * solution.stats.entries_read


@pytest.mark.parametrize("make", UNEVEN)
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_uneven_rows_lead_to_the_index_which_is_said(make, rng):
    A, b = make(rng)
    solution = uniform(A, b)
    assert "so that the index was built" in solution.status
    assert solution.stats.index_seconds > 0.0
    assert solution.source.has_index


@pytest.mark.parametrize("make", FOOLING)
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_hardly_any_certificate_is_false_whatever_the_rows(make):
    false = 0
    for seed in range(20):
        A, b = make(np.random.default_rng(seed))
        solution = uniform(A, b, seed=seed)
        error = prediction_error(A, b, solution.x)
        assert error <= 2.0 * solution.error.high
        false += error > solution.error.high
    # A binomial of 20 at 2.5 % is above 4 with a chance below 1e-4.
    assert false <= 4


def test_the_interval_covers_the_error_as_often_as_it_says(rng):
    A, b = even(rng, noise=0.5, m=10_000)
    exact = scipy.linalg.lstsq(A, b)[0]
    length, covered = np.linalg.norm(A @ exact), 0
    for seed in range(200):
        solution = uniform(A, b, seed=seed)
        assert STARTED in solution.status
        covered += solution.error.low <= np.linalg.norm(A @ (solution.x - exact)) / length <= solution.error.high
    # A binomial of 200 at 95 % is above 178 with a chance of 1 - 1e-3.5; 90 % would be met in 1 of 10.
    assert covered >= 179


def test_a_ridge_solution_agrees_with_scikit_learn(rng):
    A, b = even(rng)
    ridge = 0.2 * np.linalg.norm(A) ** 2 / N
    exact = Ridge(alpha=ridge, fit_intercept=False).fit(A, b).coef_
    solution = uniform(A, b, ridge=ridge)
    assert STARTED in solution.status
    assert np.linalg.norm(A @ (solution.x - exact)) <= TOLERANCE * np.linalg.norm(A @ exact)


def test_a_tolerance_that_drawn_rows_cannot_meet_leads_to_another_answer_that_meets_it(rng):
    A, b = even(rng, noise=3.0)
    solution = uniform(A, b, tolerance=0.001, method="auto")
    assert prediction_error(A, b, solution.x) <= 0.001
    assert solution.method == "exact"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_entry_of_a_row_that_is_read_must_be_finite_and_its_place_is_told(value, rng):
    A, b = even(rng)
    A[:, 17] = value
    with pytest.raises(ValueError, match=r"got A\[\d+, 17\] = (nan|inf)"):
        uniform(A, b)


@pytest.mark.parametrize(
    "convert",
    [np.asfortranarray, sp.csr_array, lambda A: A[::2], qi.as_sq_matrix],
    ids=["Fortran", "sparse", "strided", "indexed"],
)
def test_what_has_an_index_or_cannot_do_without_is_solved_with_it_and_that_is_said(convert, rng):
    A, b = even(rng)
    converted = convert(A)
    rows = slice(None, None, 2) if converted.shape[0] < M else slice(None)
    solution = uniform(converted, b[rows])
    assert solution.status.startswith(("only a C-contiguous array", "the matrix has an index, which was used"))
    assert prediction_error(A[rows], b[rows], solution.x) <= TOLERANCE


@pytest.mark.parametrize("m", [1, 2, 30, 60])
@pytest.mark.filterwarnings("ignore::qinspired.exceptions.ToleranceNotMetWarning")
def test_too_few_rows_for_a_start_without_an_index_use_one(m, rng):
    A, b = even(rng, m=m)
    solution = uniform(A, b)
    assert "too few rows for a start without an index" in solution.status
    assert solution.source.has_index


@pytest.mark.parametrize("scale", [1e200, 1e150, 1e-150, 1e-200])
def test_entries_whose_squares_leave_the_range_give_the_right_answer(scale, rng):
    A, b = even(rng)
    solution = uniform(A * scale, b)
    assert prediction_error(A, b, solution.x * scale) <= TOLERANCE


def test_zeros_are_refused_as_matrix_and_solved_as_target(rng):
    with pytest.raises(ZeroMassError):
        uniform(np.zeros((M, N)), np.ones(M))
    assert not uniform(even(rng)[0], np.zeros(M)).x.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "random"}, "`start` must be 'index' or 'uniform'; got 'random'"),
        ({"start": None}, "`start` must be 'index' or 'uniform'; got None"),
        ({"start": "uniform", "method": "exact"}, "`start` must be 'index' for method 'exact'"),
        ({"start": "uniform", "method": "kaczmarz"}, "`start` must be 'index' for method 'kaczmarz'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message, rng):
    with pytest.raises(ValueError, match=message):
        qi.least_squares(rng.standard_normal((50, 3)), np.ones(50), **options)


def test_the_same_seed_gives_the_same_answer(rng):
    A, b = even(rng)
    np.testing.assert_array_equal(uniform(A, b, seed=4).x, uniform(A, b, seed=4).x)
    assert not np.array_equal(uniform(A, b, seed=4).x, uniform(A, b, seed=5).x)
