from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.reference import AdaptiveSample, drvw


def matrix() -> np.ndarray:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 15)) * np.geomspace(3.0, 0.1, 15) * np.exp(rng.standard_normal((60, 1)))
    X[4], X[:, 7] = 0.0, 0.0
    return X


def span(A: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the span of some rows."""
    _, s, Vt = np.linalg.svd(A[rows], full_matrices=False)
    return Vt[s > 1e-12 * s[0]].T


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_answer_is_the_best_in_the_span_of_the_rows(build: Any) -> None:
    A = matrix()
    result = drvw(build(A), 3, n_rows=3, n_rounds=3, rng=1)
    assert [len(rows) for rows in result.rounds] == [3, 3, 3]
    norms = [np.linalg.norm(A)]
    for count in (1, 2, 3):
        Q = span(A, np.concatenate(result.rounds[:count]))
        norms.append(np.linalg.norm(A - A @ Q @ Q.T))
    np.testing.assert_allclose(result.residual_norms, norms, rtol=1e-12)
    _, sigma, Vt = np.linalg.svd(A @ Q @ Q.T)
    np.testing.assert_allclose(result.singular_values, sigma[:3], rtol=1e-12)
    np.testing.assert_allclose(np.abs((result.components * Vt[:3]).sum(axis=1)), 1.0, rtol=1e-10)
    np.testing.assert_allclose(result.components @ result.components.T, np.eye(3), rtol=0, atol=1e-13)


def test_a_matrix_read_in_several_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drvw(matrix(), 3, n_rows=4, rng=1)
    monkeypatch.setattr("qinspired.reference._drawn._BLOCK_ENTRIES", 15 * 7)
    parts = drvw(matrix(), 3, n_rows=4, rng=1)
    np.testing.assert_array_equal(whole.rounds[1], parts.rounds[1])
    np.testing.assert_allclose(np.abs(whole.components), np.abs(parts.components), rtol=0, atol=1e-12)


def test_later_rounds_draw_by_what_is_left() -> None:
    # The first row has all of the energy but a billionth, so the first round draws it and nothing else.
    rng = np.random.default_rng(2)
    A = rng.standard_normal((20, 6)) * np.array([3.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    A[0] = 0.0
    A[0, 0] = 1e6
    source = qi.as_sq_matrix(A)
    results = [drvw(source, 1, n_rows=6, rng=seed) for seed in range(500)]
    assert all((result.rounds[0] == 0).all() for result in results)
    draws = np.concatenate([result.rounds[1] for result in results])
    rest = A.copy()
    rest[:, 0] = 0.0
    assert oracles.chi_square_p(draws, oracles.law_of_rows(rest)) > oracles.P_LOWEST
    # The twin: by the rows themselves, but for the first.
    wrong = A.copy()
    wrong[0] = 0.0
    assert oracles.chi_square_p(draws, oracles.law_of_rows(wrong)) < oracles.P_LOWEST


def test_each_round_divides_the_additive_error_as_promised() -> None:
    # Two strong directions, and in rows of their own two with 1e-4 of the energy, which one round seldom sees.
    rng = np.random.default_rng(3)
    V = np.linalg.qr(rng.standard_normal((40, 5)))[0]
    A = np.zeros((300, 40))
    A[:280] = rng.standard_normal((280, 2)) @ V[:, :2].T
    A[280:] = 0.04 * rng.standard_normal((20, 2)) @ V[:, 2:4].T
    A += 1e-4 * rng.standard_normal(A.shape)
    k, eps = 4, 0.25
    sigma, F = np.linalg.svd(A)[1], np.linalg.norm(A)
    best = (sigma[k:] ** 2).sum()
    source = qi.as_sq_matrix(A)
    errors = {}
    for t in (1, 2, 3):
        runs = [drvw(source, k, n_rows=int(k / eps), n_rounds=t, rng=seed) for seed in range(60)]
        errors[t] = [np.linalg.norm(A - A @ run.components.T @ run.components) ** 2 for run in runs]
        bound = best / (1 - eps) + eps**t * F**2
        assert np.mean(errors[t]) + 5 * np.std(errors[t]) / np.sqrt(60) < bound
    # With more rounds the excess over the best falls by orders of magnitude.
    assert np.mean(errors[2]) - best < 1e-2 * (np.mean(errors[1]) - best)


def test_a_weak_block_is_missed_by_one_round_and_found_by_two() -> None:
    A = np.zeros((500, 30))
    A[:, 0] = 1.0
    A[490:, 1:9] = 1e-6 * np.random.default_rng(4).standard_normal((10, 8))
    one, two = (drvw(A, 9, n_rows=20, n_rounds=t, rng=0) for t in (1, 2))
    assert one.residual_norms[-1] > 1e-7
    assert two.residual_norms[-1] < 1e-12
    assert (two.rounds[1] >= 490).all()
    np.testing.assert_allclose(two.singular_values, np.linalg.svd(A)[1][:9], rtol=1e-8)


@pytest.mark.parametrize("gap", [1e-3, 1e-10])
@pytest.mark.parametrize("n_rows", [1, 5])
def test_directions_stay_orthonormal_where_rows_barely_leave_the_span(n_rows: int, gap: float) -> None:
    # All rows are nearly the first direction; what leaves it is `gap` in size, and parallel but for 1e-7 of that.
    rng = np.random.default_rng(6)
    V = np.linalg.qr(rng.standard_normal((30, 3)))[0].T
    coordinates = rng.standard_normal((500, 3)) * [1.0, gap, 1e-7 * gap]
    A = (coordinates + np.array([3.0, 2.0 * gap, 0.0])) @ V
    result = drvw(A, 3, n_rows=n_rows, n_rounds=9, rng=1)
    np.testing.assert_allclose(result.components @ result.components.T, np.eye(result.rank), rtol=0, atol=1e-13)
    assert np.linalg.norm(V[1] - V[1] @ result.components.T @ result.components) < 1e-5


def test_rounds_end_when_what_is_left_is_rounding() -> None:
    rng = np.random.default_rng(5)
    A = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20))
    result = drvw(A, 3, n_rows=10, n_rounds=9, rng=0)
    assert len(result.rounds) == 1
    assert result.residual_norms[-1] < 1e-13 * result.residual_norms[0]
    assert result.stats.full_passes == 1


def test_a_pass_is_made_for_each_round() -> None:
    stats = drvw(matrix(), 3, n_rows=4, n_rounds=3, rng=1).stats
    assert (stats.row_draws, stats.full_passes, stats.column_draws) == (12, 3, 0)
    assert stats.rows_read <= 12


def test_the_singular_values_never_exceed_those_of_the_matrix() -> None:
    sigma = np.linalg.svd(matrix())[1]
    for seed in range(20):
        found = drvw(matrix(), 4, n_rows=3, rng=seed)
        count = found.rank  # at most 4, and fewer where rows are drawn twice
        assert (found.singular_values <= sigma[:count] * (1 + 1e-12)).all()


def test_the_rank_is_the_number_of_directions_found() -> None:
    result = drvw(np.outer(np.ones(9), np.arange(1.0, 6.0)), 3, n_rows=3, rng=0)
    assert isinstance(result, AdaptiveSample)
    assert (result.rank, result.components.shape) == (1, (1, 5))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"rank": 0}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 15\]"),
        ({"rank": 3.0}, TypeError, "`rank` must be an integer"),
        ({"n_rows": 0}, ValueError, "`n_rows` must be an integer >= 1; got 0"),
        ({"n_rows": True}, TypeError, "`n_rows` must be an integer >= 1"),
        ({"n_rounds": 0}, ValueError, "`n_rounds` must be an integer >= 1; got 0"),
        ({"rank": 9, "n_rows": 4}, ValueError, "`n_rows` times `n_rounds` must be at least `rank` = 9.*got 4 times 2"),
        ({"rng": -1}, ValueError, "`rng` must be"),
    ],
)
def test_a_bad_argument_is_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        drvw(matrix(), **({"rank": 3, "n_rows": 5, "rng": 0} | changed))
