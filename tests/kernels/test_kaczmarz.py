from __future__ import annotations

import numba
import numpy as np
import oracles
import pytest
import scipy.sparse as sp

from qinspired.kernels import csr_kaczmarz, csr_kaczmarz_chains, dense_kaczmarz, dense_kaczmarz_chains


def problem(dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((12, 6)) * (rng.random((12, 6)) < 0.7)).astype(dtype)
    X[:, 0] = 1.0  # no row of zeros
    return X, rng.standard_normal(12), rng.integers(0, 12, size=60), rng.standard_normal(6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_steps_are_those_of_the_formula_dense_and_csr(decay: float, dtype: type) -> None:
    X, b, rows, start = problem(dtype)
    wanted, wanted_total = oracles.kaczmarz(X, b, rows, decay, start)
    norms_sq = oracles.row_norms(X) ** 2
    matrix = sp.csr_array(X)
    x_dense, total_dense = start.copy(), np.zeros(6)
    dense_kaczmarz(X, b, norms_sq, rows, decay, x_dense, total_dense)
    x_csr, total_csr = start.copy(), np.zeros(6)
    csr_kaczmarz(
        matrix.data,
        matrix.indices,
        matrix.indptr.astype(np.int64),
        b,
        norms_sq,
        rows,
        decay,
        x_csr,
        total_csr,
    )
    # 60 projections, each a contraction, with rounding of some ulps of |x| in each.
    for x, total in ((x_dense, total_dense), (x_csr, total_csr)):
        np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(total, wanted_total, rtol=0, atol=1e-11)


def test_each_iterate_is_added_to_a_total_that_is_not_reset() -> None:
    X, b, rows, start = problem(np.float64)
    norms_sq = (X**2).sum(axis=1)
    x, total = start.copy(), np.full(6, 100.0)
    dense_kaczmarz(X, b, norms_sq, rows[:1], 1.0, x, total)
    np.testing.assert_array_equal(total, 100.0 + x)


def test_a_step_solves_the_drawn_equation() -> None:
    X, b, _, start = problem(np.float64)
    for row in range(12):
        x = start.copy()
        dense_kaczmarz(X, b, (X**2).sum(axis=1), np.array([row]), 1.0, x, np.zeros(6))
        assert X[row] @ x == pytest.approx(b[row], abs=1e-13)


def test_on_a_consistent_system_the_iterates_reach_the_solution() -> None:
    X, _, _, solution = problem(np.float64)
    rows = np.random.default_rng(4).integers(0, 12, size=3000)
    x = np.zeros(6)
    dense_kaczmarz(X, X @ solution, (X**2).sum(axis=1), rows, 1.0, x, np.zeros(6))
    np.testing.assert_allclose(x, solution, rtol=0, atol=1e-12)


def test_no_rows_change_nothing() -> None:
    X, b, _, start = problem(np.float64)
    x, total = start.copy(), np.zeros(6)
    dense_kaczmarz(X, b, np.ones(12), np.zeros(0, dtype=np.int64), 0.5, x, total)
    np.testing.assert_array_equal(x, start)
    assert not total.any()


@pytest.mark.parametrize("n_chains", [1, 2, 5, 12])
def test_chains_take_the_equations_in_turn_each_on_its_own(n_chains: int) -> None:
    X, b, _, _ = problem(np.float64)
    matrix = sp.csr_array(X)
    norms_sq = oracles.row_norms(X) ** 2
    starts = np.random.default_rng(8).standard_normal((n_chains, 6))
    x_dense, total_dense = starts.copy(), np.full((n_chains, 6), 10.0)
    dense_kaczmarz_chains(X, b, norms_sq, 0.9, x_dense, total_dense)
    x_csr, total_csr = starts.copy(), np.full((n_chains, 6), 10.0)
    indptr = matrix.indptr.astype(np.int64)
    csr_kaczmarz_chains(matrix.data, matrix.indices, indptr, b, norms_sq, 0.9, x_csr, total_csr)
    for chain in range(n_chains):
        rows = np.arange(chain, 12, n_chains)
        wanted, wanted_total = oracles.kaczmarz(X, b, rows, 0.9, starts[chain])
        for x, total in ((x_dense, total_dense), (x_csr, total_csr)):
            np.testing.assert_allclose(x[chain], wanted, rtol=0, atol=1e-12)
            np.testing.assert_allclose(total[chain], 10.0 + wanted_total, rtol=0, atol=1e-11)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_chains_are_the_same_on_one_thread_and_on_two(threads: None) -> None:
    X, b, _, _ = problem(np.float64)
    results = []
    for n_threads in (1, 2):
        numba.set_num_threads(n_threads)
        x, total = np.zeros((4, 6)), np.zeros((4, 6))
        dense_kaczmarz_chains(X, b, (X**2).sum(axis=1), 1.0, x, total)
        results.append((x, total))
    np.testing.assert_array_equal(results[0], results[1])
