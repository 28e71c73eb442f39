from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired.baselines import exact_least_squares, lsmr, lsqr, normal_equations, ridge

SOLVERS = {
    "gelsd": lambda A, b, a: exact_least_squares(A, b, ridge=a),
    "gelsy": lambda A, b, a: exact_least_squares(A, b, ridge=a, driver="gelsy"),
    "gelss": lambda A, b, a: exact_least_squares(A, b, ridge=a, driver="gelss"),
    "normal": lambda A, b, a: normal_equations(A, b, ridge=a),
    "lsqr": lambda A, b, a: lsqr(A, b, ridge=a, tolerance=1e-13),
    "lsmr": lambda A, b, a: lsmr(A, b, ridge=a, tolerance=1e-13),
    "ridge": lambda A, b, a: ridge(A, b, ridge=a, tolerance=1e-12),
}
every_solver = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS.keys())


@every_solver
@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ridge_solution_satisfies_the_normal_equations(solve, shape, form, dtype):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal(shape).astype(dtype)
    b = rng.standard_normal(shape[0])
    result = solve(form(dense), b, 0.5)
    A = dense.astype(np.float64)
    gradient = A.T @ (A @ result.x - b) + 0.5 * result.x
    assert np.linalg.norm(gradient) <= 1e-6 * np.linalg.norm(A.T @ b) * (100 if dtype == np.float32 else 1)
    assert result.x.dtype == np.float64
    assert result.converged
    assert result.seconds > 0.0


@pytest.mark.parametrize("name", ["gelsd", "gelsy", "gelss", "normal", "lsqr", "lsmr"])
def test_consistent_system_gives_back_its_solution(name):
    rng = np.random.default_rng(1)
    A, x = rng.standard_normal((50, 20)), rng.standard_normal(20)
    np.testing.assert_allclose(SOLVERS[name](A, A @ x, 0.0).x, x, rtol=1e-8)


@pytest.mark.parametrize("name", ["gelsd", "gelsy", "gelss", "lsqr", "lsmr"])
def test_rank_deficient_system_gives_the_minimum_norm_solution(name):
    rng = np.random.default_rng(2)
    A = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20))
    b = rng.standard_normal(50)
    np.testing.assert_allclose(SOLVERS[name](A, b, 0.0).x, np.linalg.pinv(A, rcond=1e-10) @ b, rtol=1e-7, atol=1e-10)


def test_rounding_tail_of_single_precision_needs_rcond():
    rng = np.random.default_rng(3)
    A = (rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20))).astype(np.float32)
    b = rng.standard_normal(50)
    cut = exact_least_squares(A, b, rcond=1e-5).x
    assert np.linalg.norm(exact_least_squares(A, b).x) > 1e3 * np.linalg.norm(cut)


def test_direct_solvers_report_no_iterations_and_krylov_ones_do():
    rng = np.random.default_rng(4)
    A, b = rng.standard_normal((50, 20)), rng.standard_normal(50)
    assert exact_least_squares(A, b).n_iter is None
    assert 1 <= lsqr(A, b).n_iter <= 180
    assert 1 <= lsmr(A, b).n_iter <= 180
    assert ridge(A, b, solver="sag", rng=0).n_iter >= 1


@pytest.mark.parametrize("solve", [lsqr, lsmr])
def test_stopping_early_is_reported(solve):
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((50, 20)) * np.geomspace(1, 1e-4, 20), rng.standard_normal(50)
    result = solve(A, b, max_iter=2)
    assert not result.converged
    assert result.n_iter == 2


def test_singular_normal_equations_are_refused():
    A = np.outer(np.arange(1.0, 6.0), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"must have full column rank.*Give a `ridge` > 0"):
        normal_equations(A, np.ones(5))
    with pytest.raises(ValueError, match="must have full column rank"):
        normal_equations(np.ones((2, 3)), np.ones(2))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("solve", [normal_equations, lsqr, lsmr])
def test_squares_beyond_the_largest_float_are_refused(solve):
    rng = np.random.default_rng(6)
    A, b = 1e200 * rng.standard_normal((20, 3)), 1e200 * rng.standard_normal(20)
    with pytest.raises(ValueError, match=r"`A` must be scaled: .* gave numbers that are not finite"):
        solve(A, b)
    scale = 1e200
    np.testing.assert_allclose(solve(A / scale, b / scale).x, exact_least_squares(A, b).x, rtol=1e-6)


def test_large_sparse_matrix_is_not_made_dense(monkeypatch):
    monkeypatch.setattr("qinspired.baselines._least_squares.DENSE_ENTRIES", 5)
    with pytest.raises(ValueError, match=r"at most 5 entries.*Use `lsqr`"):
        exact_least_squares(sp.csr_array(np.eye(3)), np.ones(3))


BAD = [
    (np.array([[1.0, np.nan], [0.0, 1.0]]), [1, 1], ValueError, r"A\[0, 1\] = nan"),
    (np.array([[1.0, np.inf], [0.0, 1.0]]), [1, 1], ValueError, r"A\[0, 1\] = inf"),
    (np.ones(3), [1, 1, 1], ValueError, "`A` must be 2-dimensional"),
    (np.empty((0, 3)), [], ValueError, "at least one row"),
    (np.eye(2) * 1j, [1, 1], ValueError, "`A` must be real"),
    (np.array([["a"]], dtype=object), [1], ValueError, "`A` must be numeric"),
    (np.ma.masked_array(np.eye(2), mask=np.eye(2)), [1, 1], TypeError, "masked"),
    (np.eye(2), [1, 1, 1], ValueError, "`b` must have one entry for each of the 2 rows"),
    (np.eye(2), [1, np.nan], ValueError, r"b\[1\] = nan"),
    (np.eye(2), np.array([1j, 1]), ValueError, "`b` must be real"),
]


@every_solver
def test_bad_input_is_refused(solve):
    for A, b, error, match in BAD:
        with pytest.raises(error, match=match):
            solve(A, b, 1.0)


@every_solver
def test_bad_penalty_is_refused(solve):
    with pytest.raises(ValueError, match="`ridge` must be a finite number >= 0; got -1"):
        solve(np.eye(2), [1, 1], -1.0)


def test_other_bad_parameters_are_refused():
    A, b = np.eye(2), [1, 1]
    with pytest.raises(ValueError, match="`driver` must be one of"):
        exact_least_squares(A, b, driver="magic")
    with pytest.raises(ValueError, match="`solver` must be one of"):
        ridge(A, b, solver="magic")
    with pytest.raises(ValueError, match="`ridge` must be > 0"):
        ridge(A, b, ridge=0.0)
    with pytest.raises(ValueError, match="must not be 'svd'"):
        ridge(sp.csr_array(A), b, solver="svd")
    with pytest.raises(ValueError, match=r"`tolerance` must be in \(0, 1\)"):
        lsqr(A, b, tolerance=2.0)
    with pytest.raises(ValueError, match="`max_iter`"):
        lsmr(A, b, max_iter=0)


def test_inputs_are_not_modified():
    A, b = np.random.default_rng(0).standard_normal((6, 3)), np.ones(6)
    copies = A.copy(), b.copy()
    for solve in SOLVERS.values():
        solve(A, b, 1.0)
    np.testing.assert_array_equal(A, copies[0])
    np.testing.assert_array_equal(b, copies[1])
