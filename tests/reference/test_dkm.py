from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.reference import (
    RowColumnFactors,
    dkm_constant_time_svd,
    dkm_linear_time_cur,
    dkm_linear_time_svd,
    fkv,
)


def matrix() -> np.ndarray:
    """Return a full-rank matrix with a decaying spectrum and uneven rows, a zero row and a zero column."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 12)) * np.geomspace(3.0, 0.3, 12) * np.exp(rng.standard_normal((60, 1)))
    X[4], X[:, 7] = 0.0, 0.0
    return X


def scaled_rows(A: np.ndarray, rows: np.ndarray) -> np.ndarray:
    p = (A[rows] ** 2).sum(axis=1) / np.linalg.norm(A) ** 2
    return A[rows] / np.sqrt(len(rows) * p)[:, None]


@pytest.mark.parametrize("n_rows", [5, 30])
@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_vectors_are_those_of_the_scaled_rows(build: Any, n_rows: int) -> None:
    result = dkm_linear_time_svd(build(matrix()), 4, n_rows=n_rows, rng=1)
    _, sigma, Vt = np.linalg.svd(scaled_rows(matrix(), result.rows))
    np.testing.assert_allclose(result.singular_values, sigma[:4], rtol=1e-12)
    V = result.components()
    np.testing.assert_allclose(np.abs((V * Vt[:4]).sum(axis=1)), 1.0, rtol=1e-12)
    np.testing.assert_allclose(V @ V.T, np.eye(4), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.right_vector(2).to_array(), V[2], rtol=0, atol=1e-14)
    assert len(result.cols) == 0


def test_the_bounds_of_the_paper_hold_for_any_rows() -> None:
    A = matrix()
    sigma = np.linalg.svd(A)[1]
    for seed in range(40):
        rows = dkm_linear_time_svd(A, 1, n_rows=15, rng=seed).rows
        R = scaled_rows(A, rows)
        gap = A.T @ A - R.T @ R
        for k in (1, 3, 6):
            V = dkm_linear_time_svd(A, k, n_rows=15, rng=seed).components()
            left = A - A @ V.T @ V
            assert np.linalg.norm(left) ** 2 <= (sigma[k:] ** 2).sum() + 2 * np.sqrt(k) * np.linalg.norm(gap)
            assert np.linalg.norm(left, 2) ** 2 <= sigma[k] ** 2 + 2 * np.linalg.norm(gap, 2)


def test_the_drawn_rows_miss_the_gram_matrix_by_the_predicted_amount() -> None:
    A = matrix()
    n, r, F = A.shape[1], 20, np.linalg.norm(A)
    errors = []
    for seed in range(400):
        found = dkm_linear_time_svd(A, n, n_rows=r, rng=seed)
        V = found.components()
        errors.append(np.linalg.norm(A.T @ A - (V.T * found.singular_values**2) @ V) ** 2)
    # E |A^T A - R^T R|_F^2 = (|A|_F^4 - |A^T A|_F^2) / r for draws by squared norm.
    predicted = (F**4 - np.linalg.norm(A.T @ A) ** 2) / r
    deviation = np.std(errors) / np.sqrt(len(errors))
    assert np.mean(errors) == pytest.approx(predicted, abs=5 * deviation)
    # The twin: for uniform draws it is (m sum |A_i|^4 - |A^T A|_F^2) / r.
    uniform = (60 * (A**2).sum(axis=1) @ (A**2).sum(axis=1) - np.linalg.norm(A.T @ A) ** 2) / r
    assert uniform > predicted + 20 * deviation


def test_the_solution_is_that_of_the_drawn_directions() -> None:
    A, b = matrix(), np.random.default_rng(2).standard_normal(60)
    found = dkm_linear_time_svd(A, 3, n_rows=40, rng=3)
    V = found.components()
    wanted = V.T @ ((V @ (A.T @ b)) / found.singular_values**2)
    np.testing.assert_allclose(found.solve(b).to_array(), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_the_linear_time_svd_reads_the_drawn_rows_and_no_more() -> None:
    stats = dkm_linear_time_svd(matrix(), 3, n_rows=25, rng=0).stats
    assert (stats.row_draws, stats.column_draws, stats.entry_queries) == (25, 0, 0)
    assert (stats.rows_read, stats.entries_read, stats.full_passes) == (25, 25 * 12, 0)


def test_a_wide_sparse_matrix_takes_no_memory_for_its_empty_columns() -> None:
    n = 10**9
    A = sp.csr_array((np.ones(6), (np.arange(6) % 3, np.array([0, 5, 9, 5, 10**8, n - 1]))), shape=(3, n))
    found = dkm_linear_time_svd(A, 3, n_rows=30, rng=0)
    assert found.rank == 3
    np.testing.assert_allclose(found.right_vector(0).query([1, 2]), 0.0, atol=1e-15)


def test_the_constant_time_svd_is_fkv_without_the_weak_directions() -> None:
    A = matrix()
    all_of_them = fkv(A, 8, n_rows=40, n_cols=40, rng=4)
    shares = (all_of_them.singular_values / np.linalg.norm(A)) ** 2
    for count in (1, 3, 5):
        gamma = float(np.sqrt(shares[count - 1] * shares[count]))
        found = dkm_constant_time_svd(A, 8, n_rows=40, n_cols=40, gamma=gamma, rng=4)
        assert found.rank == count
        np.testing.assert_array_equal(found.rows, all_of_them.rows)
        np.testing.assert_array_equal(found.coefficients, all_of_them.coefficients[:, :count])
    assert dkm_constant_time_svd(A, 2, n_rows=40, n_cols=40, gamma=1e-9, rng=4).rank == 2


def test_by_default_a_direction_needs_a_thousandth_of_the_energy_over_the_rank() -> None:
    A = np.zeros((40, 2))
    A[:20, 0], A[20:, 1] = 1.0, 0.03
    ranks = []
    for seed in range(20):
        shares = (fkv(A, 2, n_rows=300, n_cols=100, rng=seed).singular_values / np.linalg.norm(A)) ** 2
        ranks.append(dkm_constant_time_svd(A, 2, n_rows=300, n_cols=100, rng=seed).rank)
        assert ranks[-1] == (shares >= 1e-3 / 2).sum()
    # 1 / 1100 of the energy is in the second direction, and as drawn sometimes less than 1 / 2000.
    assert set(ranks) == {1, 2}


def textbook_cur(A: np.ndarray, result: RowColumnFactors, k: int) -> np.ndarray:
    """Return C U R from the drawn indices by the formulas of the paper, with C^T C."""
    r, c, F = len(result.rows), len(result.cols), np.linalg.norm(A)
    q = (A[:, result.cols] ** 2).sum(axis=0) / F**2
    p = (A[result.rows] ** 2).sum(axis=1) / F**2
    C = A[:, result.cols] / np.sqrt(c * q)
    R = A[result.rows] / np.sqrt(r * p)[:, None]
    Psi = C[result.rows] / np.sqrt(r * p)[:, None]
    values, Y = np.linalg.eigh(C.T @ C)
    Phi = (Y[:, -k:] / values[-k:]) @ Y[:, -k:].T
    return C @ (Phi @ Psi.T) @ R


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_cur_is_that_of_the_formulas(build: Any) -> None:
    A = matrix()
    result = dkm_linear_time_cur(build(A), 4, n_rows=30, n_cols=10, rng=1)
    wanted = textbook_cur(A, result, 4)
    np.testing.assert_allclose(result.to_array(), wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
    assert (result.rows.shape, result.cols.shape, result.rank) == ((30,), (10,), 4)
    np.testing.assert_array_equal(result.candidates, result.cols)


def test_entries_and_rows_are_those_of_the_whole() -> None:
    result = dkm_linear_time_cur(matrix(), 4, n_rows=30, n_cols=10, rng=1)
    Y = result.to_array()
    i, j = np.array([[0, 3, 3], [59, 4, 0]]), np.array([[11, 7, 2], [0, 0, 0]])
    np.testing.assert_allclose(result.query(i, j), Y[i, j], rtol=0, atol=1e-13)
    np.testing.assert_allclose(result.query(np.arange(5)[:, None], np.arange(6)), Y[:5, :6], rtol=0, atol=1e-13)
    assert result.query(3, 2).shape == ()
    row = result.row(9)
    np.testing.assert_allclose(row.to_array(), Y[9], rtol=0, atol=1e-13)
    draws, _ = row.sample(5000, rng=2)
    assert oracles.chi_square_p(draws, oracles.law_of(Y[9])) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of(matrix()[9])) < oracles.P_LOWEST


def test_a_cur_of_columns_read_in_several_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dkm_linear_time_cur(matrix(), 4, n_rows=30, n_cols=10, rng=1)
    wanted = whole.to_array()
    monkeypatch.setattr("qinspired.reference._drawn._BLOCK_ENTRIES", 70)
    monkeypatch.setattr("qinspired.reference._factors._BLOCK_ENTRIES", 70)
    parts = dkm_linear_time_cur(matrix(), 4, n_rows=30, n_cols=10, rng=1)
    np.testing.assert_allclose(parts.to_array(), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_columns_and_rows_of_a_cur_follow_their_squared_norms() -> None:
    A = matrix()
    result = dkm_linear_time_cur(A, 1, n_rows=2500, n_cols=2500, rng=2)
    columns, rows = np.linalg.norm(A, axis=0), np.linalg.norm(A, axis=1)
    assert oracles.chi_square_p(result.cols, oracles.law_of(columns)) > oracles.P_LOWEST
    assert oracles.chi_square_p(result.rows, oracles.law_of(rows)) > oracles.P_LOWEST
    # The twin: by norm, not by its square.
    assert oracles.chi_square_p(result.cols, columns / columns.sum()) < oracles.P_LOWEST
    assert oracles.chi_square_p(result.rows, rows / rows.sum()) < oracles.P_LOWEST


def test_the_error_of_a_cur_is_that_of_a_product_from_drawn_rows() -> None:
    # With C of full column space, C U R estimates X_k X_k^T A without bias, with the mean squared error
    # (k |A|_F^2 - |X_k^T A|_F^2) / r; of rank k, X_k X_k^T A is A.
    rng = np.random.default_rng(3)
    A = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20)) * np.exp(rng.standard_normal((50, 1)))
    F, r = np.linalg.norm(A), 40
    matrix_ = qi.as_sq_matrix(A)
    found = [dkm_linear_time_cur(matrix_, 3, n_rows=r, n_cols=30, rng=seed).to_array() for seed in range(300)]
    errors = [np.linalg.norm(A - Y) ** 2 for Y in found]
    predicted = (3 - 1) * F**2 / r
    assert np.mean(errors) == pytest.approx(predicted, abs=5 * np.std(errors) / np.sqrt(300))
    assert np.linalg.norm(np.mean(found, axis=0) - A) ** 2 == pytest.approx(predicted / 300, rel=0.8)


def test_a_cur_reads_its_columns_and_where_they_meet_its_rows() -> None:
    A = matrix()
    result = dkm_linear_time_cur(A, 3, n_rows=30, n_cols=10, rng=1)
    n_distinct = len(np.unique(result.cols))
    assert (result.stats.row_draws, result.stats.column_draws) == (40, 10)
    assert result.stats.entry_queries == 60 * n_distinct + 300
    assert (result.stats.rows_read, result.stats.full_passes) == (0, 0)


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (dkm_linear_time_svd, {"rank": 0}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 12\]"),
    (dkm_linear_time_svd, {"rank": True}, TypeError, "`rank` must be an integer"),
    (dkm_linear_time_svd, {"n_rows": 2}, ValueError, "`n_rows` must be at least `rank` = 3"),
    (dkm_linear_time_svd, {"n_rows": 9.0}, TypeError, "`n_rows` must be an integer >= 1"),
    (dkm_linear_time_svd, {"rng": "now"}, TypeError, "`rng` must be"),
    (dkm_constant_time_svd, {"rank": 13}, ValueError, "`rank` must be in"),
    (dkm_constant_time_svd, {"n_rows": 2}, ValueError, "`n_rows` must be at least `rank` = 3"),
    (dkm_constant_time_svd, {"n_cols": -1}, ValueError, "`n_cols` must be an integer >= 1"),
    (dkm_constant_time_svd, {"gamma": 0.0}, ValueError, r"`gamma` must be in \(0, 1\); got 0"),
    (dkm_constant_time_svd, {"gamma": np.nan}, ValueError, r"`gamma` must be in \(0, 1\); got nan"),
    (dkm_constant_time_svd, {"gamma": True}, TypeError, r"`gamma` must be a number in \(0, 1\)"),
    (dkm_constant_time_svd, {"gamma": 0.999}, ValueError, "`gamma` must not exceed the largest share of the energy"),
    (dkm_linear_time_cur, {"rank": 0}, ValueError, "`rank` must be in"),
    (dkm_linear_time_cur, {"n_rows": 2}, ValueError, "`n_rows` must be at least `rank` = 3"),
    (dkm_linear_time_cur, {"n_cols": 2}, ValueError, "`n_cols` must be at least `rank` = 3"),
    (dkm_linear_time_cur, {"rng": -1}, ValueError, "`rng` must be"),
]


@pytest.mark.parametrize(("run", "changed", "error", "message"), BAD)
def test_a_bad_argument_is_refused(run: Any, changed: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"rank": 3, "n_rows": 10, "n_cols": 10, "rng": 0} | changed
    if run is dkm_linear_time_svd:
        del arguments["n_cols"]
    with pytest.raises(error, match=message):
        run(matrix(), **arguments)


def test_bad_places_are_refused() -> None:
    result = dkm_linear_time_cur(matrix(), 3, n_rows=10, n_cols=10, rng=0)
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 60\); got 60"):
        result.query([60], [0])
    with pytest.raises(IndexError, match=r"`cols` must hold indices in \[0, 12\); got -1"):
        result.query([0], [-1])
    with pytest.raises(TypeError, match="`cols` must hold integer indices"):
        result.query([0], [0.0])
    with pytest.raises(IndexError, match=r"`index` must hold indices in \[0, 60\); got 60"):
        result.row(60)
    with pytest.raises(TypeError, match="`index` must hold integer indices"):
        result.row(1.0)
