from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.reference import RowColumnFactors, cchlw_low_rank_factors

RANK = 3


def matrix() -> np.ndarray:
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((80, RANK)) * [3.0, 1.5, 0.5]) @ rng.standard_normal((RANK, 50))
    X += 0.2 * rng.standard_normal(X.shape)
    X[4], X[:, 7] = 0.0, 0.0
    return X


def textbook(A: np.ndarray, result: RowColumnFactors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, S A and the leverage of each candidate column, from the drawn indices by dense formulas."""
    r, c, F = len(result.rows), len(result.candidates), np.linalg.norm(A)
    SA = A[result.rows] / np.sqrt(r * (A[result.rows] ** 2).sum(axis=1) / F**2)[:, None]
    q = (SA[:, result.candidates] ** 2).sum(axis=0) / F**2
    SAR = SA[:, result.candidates] / np.sqrt(c * q)
    U = np.linalg.svd(SAR)[0][:, : result.rank]
    inside = U.T @ SAR
    leverage = (inside * np.linalg.solve(inside @ inside.T, inside)).sum(axis=0)
    return U, SA, leverage


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_factors_are_those_of_the_formulas(build: Any) -> None:
    A = matrix()
    result = cchlw_low_rank_factors(build(A), RANK, n_rows=30, n_cols=25, n_leverage=12, rng=1)
    assert (len(result.rows), len(result.candidates), len(result.cols)) == (30, 25, 12)
    assert np.isin(result.cols, result.candidates).all()
    U, SA, leverage = textbook(A, result)
    # The scale of a column, whatever candidate it came from: the leverage goes with the entries, as 1 / (c q) does.
    F, where = np.linalg.norm(A), [int(np.flatnonzero(result.candidates == col)[0]) for col in result.cols]
    q = (SA[:, result.cols] ** 2).sum(axis=0) / F**2
    scale = 1.0 / np.sqrt(25 * q * 12 * leverage[where] / RANK)
    W = np.linalg.pinv(U.T @ SA[:, result.cols] * scale) @ U.T
    wanted = A[:, result.cols] * scale @ W @ SA
    np.testing.assert_allclose(result.to_array(), wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


def test_columns_of_the_second_stage_follow_their_leverage() -> None:
    A = matrix() * np.exp(np.linspace(-1.5, 1.5, 50))
    result = cchlw_low_rank_factors(A, RANK, n_rows=40, n_cols=30, n_leverage=20_000, rng=2)
    leverage = textbook(A, result)[2]
    assert leverage.sum() == pytest.approx(RANK)
    law = np.bincount(result.candidates, weights=leverage / RANK, minlength=50)
    assert oracles.chi_square_p(result.cols, law) > oracles.P_LOWEST
    # The twin: every candidate alike, which is the law of the first stage again.
    wrong = np.bincount(result.candidates, minlength=50) / 30
    assert oracles.chi_square_p(result.cols, wrong) < oracles.P_LOWEST


def test_candidates_follow_the_squared_column_norms_of_the_scaled_rows() -> None:
    A = matrix() * np.exp(np.linspace(-1, 1, 50))
    result = cchlw_low_rank_factors(A, 1, n_rows=4, n_cols=20_000, n_leverage=1, rng=3)
    units = A[result.rows] / np.linalg.norm(A[result.rows], axis=1)[:, None]
    assert oracles.chi_square_p(result.candidates, (units**2).mean(axis=0)) > oracles.P_LOWEST
    assert oracles.chi_square_p(result.candidates, oracles.law_of_rows(A.T.copy())) < oracles.P_LOWEST


def test_the_answer_lies_in_the_found_row_space_and_nears_its_best() -> None:
    # X = A R_2 (B R_2)^+ stands for A B^+, B = U^T S A; with more columns it comes as near as the row space allows.
    A = matrix()
    source = qi.as_sq_matrix(A)
    excesses = {}
    for n_leverage in (12, 100, 1600):
        found = []
        for seed in range(10):
            result = cchlw_low_rank_factors(source, RANK, n_rows=60, n_cols=400, n_leverage=n_leverage, rng=seed)
            U, SA, _ = textbook(A, result)
            Q = np.linalg.qr((U.T @ SA).T)[0]
            Y = result.to_array()
            assert np.linalg.norm(Y - Y @ Q @ Q.T) < 1e-11 * np.linalg.norm(Y)
            best = np.linalg.norm(A - A @ Q @ Q.T)
            found.append(np.linalg.norm(A - Y) / best - 1)
        assert min(found) > -1e-12
        excesses[n_leverage] = np.median(found)
    assert excesses[12] > 2 * excesses[100] > 4 * excesses[1600]
    assert excesses[1600] < 0.02


def test_leverage_finds_columns_that_carry_little_energy() -> None:
    # Direction l lives on ten columns of its own, with a tenth of the energy of the one before.
    columns = np.random.default_rng(4).uniform(1, 2, (3, 10))
    A = np.zeros((30, 30))
    for start, energy, line in zip((0, 10, 20), (1.0, 0.1, 0.01), columns, strict=True):
        A[start : start + 10, start : start + 10] = np.sqrt(energy) * line
    result = cchlw_low_rank_factors(A, 3, n_rows=500, n_cols=500, n_leverage=3000, rng=5)
    by_energy = np.bincount(result.candidates // 10, minlength=3) / 500
    by_leverage = np.bincount(result.cols // 10, minlength=3) / 3000
    assert 0.0 < by_energy[2] < 0.03
    assert (np.abs(by_leverage - 1 / 3) < 5 * np.sqrt(2 / 9 / 3000)).all()


def test_a_row_is_drawn_from_by_its_squared_entries() -> None:
    result = cchlw_low_rank_factors(matrix(), RANK, n_rows=30, n_cols=25, n_leverage=20, rng=1)
    Y = result.to_array()
    np.testing.assert_allclose(result.row(11).to_array(), Y[11], rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.query([11, 12], [[3], [0]]), Y[np.ix_([11, 12], [3, 0])].T, rtol=0, atol=1e-12)
    draws, _ = result.row(11).sample(5000, rng=2)
    assert oracles.chi_square_p(draws, oracles.law_of(Y[11])) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of(Y[12])) < oracles.P_LOWEST


def test_the_cost_does_not_depend_on_the_number_of_rows() -> None:
    sizes = {"n_rows": 30, "n_cols": 25, "n_leverage": 12, "rng": 0}
    few, many = (cchlw_low_rank_factors(np.tile(matrix(), (t, 1)), RANK, **sizes).stats for t in (1, 30))
    for stats in (few, many):
        assert (stats.row_draws, stats.column_draws, stats.entry_queries) == (30, 25, 750)
        assert (stats.rows_read, stats.full_passes) == (0, 0)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"rank": 0}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 50\]"),
        ({"rank": True}, TypeError, "`rank` must be an integer"),
        ({"n_rows": 2}, ValueError, "`n_rows` must be at least `rank` = 3, the directions sought; got 2"),
        ({"n_cols": 2}, ValueError, "`n_cols` must be at least `rank` = 3"),
        ({"n_leverage": 2}, ValueError, "`n_leverage` must be at least `rank` = 3"),
        ({"n_leverage": 4.0}, TypeError, "`n_leverage` must be an integer >= 1"),
        ({"rng": -1}, ValueError, "`rng` must be"),
    ],
)
def test_a_bad_argument_is_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"rank": RANK, "n_rows": 10, "n_cols": 10, "n_leverage": 10, "rng": 0} | changed
    with pytest.raises(error, match=message):
        cchlw_low_rank_factors(matrix(), **arguments)
