from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.exceptions import ZeroMassError
from qinspired.reference import FKVResult, fkv

RANK = 3


def matrix() -> np.ndarray:
    """Return a matrix of rank 3 with condition number 2, a zero row and a zero column."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((80, RANK)) * [2.0, 1.5, 1.0]) @ rng.standard_normal((RANK, 50))
    X[4], X[:, 7] = 0.0, 0.0
    return X


def textbook(A: np.ndarray, result: FKVResult) -> tuple[np.ndarray, np.ndarray]:
    """Return sigma_l and v_l from the drawn indices by the formulas of the paper, in dense matrices."""
    r, c, F = len(result.rows), len(result.cols), np.linalg.norm(A)
    p = (A[result.rows] ** 2).sum(axis=1) / F**2
    R = A[result.rows] / np.sqrt(r * p)[:, None]
    q = (R[:, result.cols] ** 2).sum(axis=0) / F**2
    U, sigma, _ = np.linalg.svd(R[:, result.cols] / np.sqrt(c * q))
    k = result.rank
    return sigma[:k], R.T @ U[:, :k] / sigma[:k]


def sine(V: np.ndarray, W: np.ndarray) -> float:
    Q = np.linalg.qr(V)[0]
    return float(np.linalg.norm(W - Q @ (Q.T @ W)))


@pytest.fixture(params=[np.array, sp.csr_array], ids=["dense", "csr"])
def result(request: pytest.FixtureRequest) -> FKVResult:
    return fkv(request.param(matrix()), RANK, n_rows=30, n_cols=20, rng=1)


def test_with_more_columns_than_rows_the_factors_are_those_of_the_formulas() -> None:
    found = fkv(matrix(), RANK, n_rows=10, n_cols=70, rng=1)
    sigma, V = textbook(matrix(), found)
    np.testing.assert_allclose(found.singular_values, sigma, rtol=1e-12)
    signs = np.sign((V * found.components().T).sum(axis=0))
    np.testing.assert_allclose(found.components().T, V * signs, rtol=0, atol=1e-12)


def test_the_factors_are_those_of_the_formulas(result: FKVResult) -> None:
    sigma, V = textbook(matrix(), result)
    assert (result.rows.shape, result.cols.shape, result.coefficients.shape) == ((30,), (20,), (30, 3))
    np.testing.assert_allclose(result.singular_values, sigma, rtol=1e-12)
    signs = np.sign((V * result.components().T).sum(axis=0))
    np.testing.assert_allclose(result.components().T, V * signs, rtol=0, atol=1e-12)


def test_each_right_vector_is_a_row_of_the_components(result: FKVResult) -> None:
    for index in range(RANK):
        vector = result.right_vector(index)
        np.testing.assert_allclose(vector.to_array(), result.components()[index], rtol=0, atol=1e-14)
        draws, _ = vector.sample(3000, rng=2)
        assert oracles.chi_square_p(draws, oracles.law_of(vector.to_array())) > oracles.P_LOWEST


def test_a_matrix_of_exact_rank_has_its_row_space_found(result: FKVResult) -> None:
    # Any drawn rows that span the row space give it back but for rounding.
    wanted = np.linalg.svd(matrix())[2][:RANK].T
    assert sine(result.components().T, wanted) < 1e-12


def test_columns_follow_the_squared_column_norms_of_the_scaled_rows() -> None:
    A = matrix() * np.exp(np.linspace(-1, 1, 50))
    drawn = fkv(A, 1, n_rows=4, n_cols=20_000, rng=3)
    units = A[drawn.rows] / np.linalg.norm(A[drawn.rows], axis=1)[:, None]
    law = (units**2).mean(axis=0)
    assert oracles.chi_square_p(drawn.cols, law) > oracles.P_LOWEST
    # The twin: the rows weighted once more by their norms.
    wrong = (A[drawn.rows] ** 2).sum(axis=0) / (A[drawn.rows] ** 2).sum()
    assert oracles.chi_square_p(drawn.cols, wrong) < oracles.P_LOWEST


def test_more_rows_and_columns_give_better_singular_values() -> None:
    A, truth = qi.as_sq_matrix(matrix()), np.linalg.svd(matrix())[1][:RANK]
    medians = []
    for size in (20, 320):
        errors = [
            np.abs(fkv(A, RANK, n_rows=size, n_cols=size, rng=seed).singular_values / truth - 1).max()
            for seed in range(15)
        ]
        medians.append(np.median(errors))
    # 16 times the draws: a quarter of the error, here to within a factor of two.
    assert medians[0] / 8 < medians[1] < medians[0] / 2


def test_directions_that_are_rounding_are_dropped() -> None:
    found = fkv(matrix(), 10, n_rows=40, n_cols=40, rng=4)
    assert found.rank == RANK
    assert found.coefficients.shape == (40, RANK)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_the_scale_of_the_matrix_changes_only_the_singular_values(scale: float) -> None:
    unit = 2.0 ** np.round(np.log2(scale))
    plain, scaled = (fkv(matrix() * factor, RANK, n_rows=20, n_cols=20, rng=5) for factor in (1.0, unit))
    np.testing.assert_array_equal(plain.rows, scaled.rows)
    np.testing.assert_allclose(scaled.singular_values, plain.singular_values * unit, rtol=1e-12)
    np.testing.assert_allclose(np.abs(scaled.components()), np.abs(plain.components()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("unit", [2.0**300, 2.0**-300])
@pytest.mark.parametrize("count", [None, 50])
def test_the_scale_of_the_matrix_divides_the_solution(count: int | None, unit: float) -> None:
    # Coefficients are of size 1 / unit^2, so that a unit beyond 2^500 would leave the range.
    b = matrix() @ np.arange(50.0)
    x, y = (
        fkv(matrix() * factor, RANK, n_rows=20, n_cols=20, rng=5).solve(b, n_estimates=count, rng=6).to_array()
        for factor in (1.0, unit)
    )
    np.testing.assert_allclose(y * unit, x, rtol=0, atol=1e-9 * np.abs(x).max())


def test_the_cost_is_that_of_the_draws_and_of_a_small_block() -> None:
    stats = fkv(matrix(), RANK, n_rows=30, n_cols=20, rng=1).stats
    assert (stats.row_draws, stats.column_draws, stats.entry_queries) == (30, 20, 600)
    assert (stats.rows_read, stats.full_passes) == (0, 0)
    assert stats.entries_read == 600 + 20 * 50
    assert stats.index_seconds > 0
    assert fkv(qi.as_sq_matrix(matrix()), 1, n_rows=5, n_cols=5, rng=1).stats.index_seconds == 0


def test_the_same_seed_gives_the_same_answer() -> None:
    first, second, other = (fkv(matrix(), 2, n_rows=9, n_cols=9, rng=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.coefficients, second.coefficients)
    assert (first.rows != other.rows).any()


def test_the_exact_solution_is_the_sum_of_the_scaled_projections(result: FKVResult) -> None:
    b = np.random.default_rng(9).standard_normal(80)
    V, sigma = result.components(), result.singular_values
    wanted = V.T @ ((V @ (matrix().T @ b)) / sigma**2)
    np.testing.assert_allclose(result.solve(b).to_array(), wanted, rtol=0, atol=1e-12)


def test_estimated_projections_have_the_mean_and_the_variance_of_one_draw() -> None:
    A = np.abs(matrix()) + 0.1  # no zero entry: the variance formula holds
    found = fkv(A, 1, n_rows=30, n_cols=30, rng=10)
    b = A @ np.ones(50)
    (v,), (sigma,) = found.components(), found.singular_values
    exact = v @ A.T @ b
    estimates = []
    for seed in range(200):
        x = found.solve(b, n_estimates=200, rng=seed)
        estimates.append(x.coefficients[0] / found.coefficients[0, 0] * sigma**2)
    variance = np.linalg.norm(A) ** 2 * (b @ b) * (v @ v) - exact**2
    # The median of ten means has 1.19 times the standard error of the mean of all 2,000 draws. A median is
    # biased where the law is skewed; with 200 draws in a mean, by less than a tenth of that standard error.
    predicted = 1.19 * np.sqrt(variance / 2000)
    assert np.mean(estimates) == pytest.approx(exact, abs=5 * predicted / np.sqrt(200) + 0.1 * predicted)
    assert np.std(estimates) == pytest.approx(predicted, rel=0.25)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"rank": 0}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 50\]"),
    ({"rank": 51}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 50\]"),
    ({"rank": 2.0}, TypeError, r"`rank` must be an integer"),
    ({"n_rows": 2}, ValueError, r"`n_rows` must be at least `rank` = 3, the directions sought; got 2"),
    ({"n_cols": 2}, ValueError, r"`n_cols` must be at least `rank` = 3, the directions sought; got 2"),
    ({"n_cols": 5.0}, TypeError, r"`n_cols` must be an integer >= 1"),
    ({"rng": -1}, ValueError, r"`rng` must be"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD)
def test_a_bad_argument_is_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"rank": RANK, "n_rows": 10, "n_cols": 10, "rng": 0} | changed
    with pytest.raises(error, match=message):
        fkv(matrix(), **arguments)


def test_a_zero_matrix_is_refused() -> None:
    with pytest.raises(ZeroMassError, match="`A` must have a non-zero entry"):
        fkv(np.zeros((4, 5)), 1, n_rows=2, n_cols=2, rng=0)


def test_bad_arguments_of_the_methods_are_refused(result: FKVResult) -> None:
    with pytest.raises(IndexError, match=r"`index` must be in \[0, 3\), the number of vectors kept; got 3"):
        result.right_vector(3)
    with pytest.raises(ValueError, match="`index` must be an integer >= 0; got -1"):
        result.right_vector(-1)
    with pytest.raises(ValueError, match="`b` must have one entry for each of the 80 rows"):
        result.solve(np.ones(50))
    with pytest.raises(ValueError, match="`n_estimates` must be an integer >= 1"):
        result.solve(np.ones(80), n_estimates=0)
