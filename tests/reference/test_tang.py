from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.exceptions import ZeroMassError
from qinspired.reference import TangRecommendation, tang_recommend

USER = 2


def ratings() -> np.ndarray:
    """Return ratings of two groups of users for two groups of items, with some noise and a user without any."""
    rng = np.random.default_rng(0)
    X = np.kron(np.eye(2), np.full((20, 30), 3.0)) + rng.integers(0, 2, size=(40, 60))
    X[9] = 0.0
    return X


def recommend(A: Any = None, **changed: Any) -> TangRecommendation:
    arguments = {"user": USER, "n_draws": 3000, "n_rows": 60, "n_cols": 60, "rank": 2, "rng": 0} | changed
    user, n_draws = arguments.pop("user"), arguments.pop("n_draws")
    return tang_recommend(ratings() if A is None else A, user, n_draws, **arguments)


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_items_follow_the_squared_entries_of_the_vector(build: Any) -> None:
    result = recommend(build(ratings()))
    law = oracles.law_of(result.vector.to_array())
    assert oracles.chi_square_p(result.items, law) > oracles.P_LOWEST
    assert oracles.chi_square_p(result.items, np.full(60, 1 / 60)) < oracles.P_LOWEST
    assert oracles.chi_square_p(result.items, np.roll(law, 20)) < oracles.P_LOWEST


def test_the_vector_is_near_the_row_of_the_best_approximation() -> None:
    U, s, Vt = np.linalg.svd(ratings())
    wanted = U[USER, :2] * s[:2] @ Vt[:2]
    errors = [
        np.linalg.norm(
            recommend(n_draws=0, n_rows=400, n_cols=400, n_estimates=500, rng=seed).vector.to_array() - wanted
        )
        for seed in range(5)
    ]
    assert np.median(errors) < 0.2 * np.linalg.norm(wanted)


def test_exact_coefficients_are_the_inner_products_with_the_row() -> None:
    for A in (ratings(), sp.csr_array(ratings())):
        result = recommend(A, exact_coefficients=True, n_draws=0)
        found = qi.reference.fkv(A, 2, n_rows=60, n_cols=60, rng=0)
        V = found.components()
        np.testing.assert_allclose(result.projections, V @ ratings()[USER], rtol=1e-12)
        np.testing.assert_allclose(result.vector.to_array(), V.T @ V @ ratings()[USER], rtol=0, atol=1e-10)


def test_estimated_coefficients_are_near_the_exact_ones() -> None:
    exact = recommend(exact_coefficients=True, n_draws=0)
    V = qi.reference.fkv(ratings(), 2, n_rows=60, n_cols=60, rng=0).components()
    a = ratings()[USER]
    variance = (a @ a) * ((V * (a != 0)) ** 2).sum(axis=1) - exact.projections**2
    # The draws of rows and columns come first, so the vectors are the same for both.
    for n_estimates in (20, 2000):
        error = np.abs(recommend(n_estimates=n_estimates, n_draws=0).projections - exact.projections)
        assert (error < 5 * 1.19 * np.sqrt(variance / (10 * n_estimates))).all()


def test_the_trials_are_the_predicted_oversampling() -> None:
    result = recommend(n_draws=10_000)
    A, x = ratings(), result.vector.to_array()
    # phi = |A|_F^2 |w|^2 / |x|^2, w the coefficients in the scaled rows, each of norm |A|_F / sqrt(r).
    w = result.vector.coefficients * np.linalg.norm(A[result.vector.rows], axis=1) * np.sqrt(60) / np.linalg.norm(A)
    phi = np.linalg.norm(A) ** 2 * (w @ w) / (x @ x)
    assert result.n_proposals / 10_000 == pytest.approx(phi, rel=5 / np.sqrt(10_000))


def test_a_threshold_keeps_the_singular_values_above_it() -> None:
    sigma = recommend(rank=10, n_draws=0).singular_values
    assert len(sigma) == 10
    result = recommend(rank=None, threshold=(sigma[2] + sigma[3]) / 2, n_draws=0)
    np.testing.assert_array_equal(result.singular_values, sigma[:3])


def test_the_cost_does_not_depend_on_the_number_of_users() -> None:
    few, many = (recommend(np.tile(ratings(), (copies, 1)), n_draws=0).stats for copies in (1, 30))
    assert (few.row_draws, few.column_draws) == (many.row_draws, many.column_draws) == (60, 60 + 500)
    assert few.rows_read == many.rows_read == few.full_passes == many.full_passes == 0
    # Only distinct columns are read for the coefficients: at most n = 60 of them.
    assert many.entry_queries <= 60 * 60 + 500 + 60 * 60


def test_the_draws_are_part_of_the_cost() -> None:
    assert recommend(n_draws=500).stats.column_draws > recommend(n_draws=0).stats.column_draws + 500


def test_the_same_seed_gives_the_same_items() -> None:
    np.testing.assert_array_equal(recommend().items, recommend().items)
    assert (recommend().items != recommend(rng=1).items).any()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"rank": None}, ValueError, "exactly one of `rank` and `threshold` must be given; got neither"),
        ({"threshold": 1.0}, ValueError, "exactly one of `rank` and `threshold` must be given; got both"),
        ({"rank": 0}, ValueError, r"`rank` must be in \[1, min\(m, n\)\]"),
        ({"rank": None, "threshold": 0.0}, ValueError, "`threshold` must be > 0"),
        ({"rank": None, "threshold": -1.0}, ValueError, "`threshold` must be a finite number >= 0"),
        ({"rank": None, "threshold": 1e9}, ValueError, "`threshold` must not exceed the largest singular value"),
        ({"user": 40}, IndexError, r"`user` must hold indices in \[0, 40\); got 40"),
        ({"user": -1}, IndexError, r"`user` must hold indices in \[0, 40\); got -1"),
        ({"user": 1.0}, TypeError, r"`user` must hold integer indices"),
        ({"user": [1, 2]}, ValueError, r"`user` must be one index; got shape \(2,\)"),
        ({"user": 9}, ZeroMassError, "`user` must have a non-zero entry to recommend from; row 9"),
        ({"n_draws": -1}, ValueError, "`n_draws` must be an integer >= 0"),
        ({"n_estimates": 0}, ValueError, "`n_estimates` must be an integer >= 1"),
        ({"n_rows": 1}, ValueError, "`n_rows` must be at least `rank` = 2"),
    ],
)
def test_a_bad_argument_is_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recommend(**changed)
