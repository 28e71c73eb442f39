from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from exact_functions import exact
from oracles import P_LOWEST
from scipy import stats
from scipy.sparse.linalg import aslinearoperator, cg
from zoo import ZOO

import qinspired as qi

FUNCTIONS = [
    ("ridge", 3.0, lambda x: 1.0 / (x + 3.0)),
    ("sqrt", None, np.sqrt),
    ("exp", None, lambda x: np.exp(-x)),
    ("exp", 0.01, lambda x: np.exp(0.01 * x)),
    ("threshold", 6.0, lambda x: (x >= 36.0).astype(float)),
    (np.log1p, None, np.log1p),
    (lambda x: x**2, None, np.square),
]


@pytest.mark.parametrize(("f", "parameter", "truth"), FUNCTIONS)
@pytest.mark.parametrize("shape", [(60, 15), (15, 60)])
def test_all_rows_give_the_exact_matrix(f, parameter, truth, shape, rng):
    A = rng.standard_normal(shape)
    answer = qi.matrix_function(A, f, parameter=parameter)
    whole = exact(A, truth)
    np.testing.assert_allclose(answer.to_array(), whole, atol=1e-10 * max(np.abs(whole).max(), answer.at_zero))
    assert answer.method == "all rows"
    assert answer.error == qi.ErrorEstimate(0.0, 0.0, 0.0, 1.0)


def test_all_rows_agree_with_scipy_funm_eigh_and_an_independent_solver(rng):
    A = rng.standard_normal((80, 12))
    S = A.T @ A
    np.testing.assert_allclose(
        qi.matrix_function(A, "exp", parameter=-0.1).to_array(),
        scipy.linalg.funm(S, lambda x: np.exp(-0.1 * x)),
        atol=1e-10,
    )
    np.testing.assert_allclose(qi.matrix_function(A, "sqrt").to_array(), scipy.linalg.sqrtm(S), atol=1e-10)
    b = rng.standard_normal(12)
    solved = scipy.linalg.solve(S + 7.0 * np.eye(12), b, assume_a="pos")
    np.testing.assert_allclose(qi.matrix_function(A, "ridge", parameter=7.0) @ b, solved, rtol=1e-10)


def test_as_many_draws_as_rows_take_each_row_once(rng):
    A = rng.standard_normal((50, 8))
    answer = qi.matrix_function(A, "sqrt", n_draws=50, rng=0)
    np.testing.assert_array_equal(answer.rows, np.arange(50))
    np.testing.assert_array_equal(answer.weights, 1.0)
    assert answer.error.confidence == 1.0
    assert answer.stats.row_draws == 0


@pytest.mark.parametrize("specimen", ZOO, ids=str)
def test_every_storage_gives_the_same_matrix(specimen, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", qi.exceptions.PrecisionWarning)
        A = specimen.build(tmp_path)
    truth = exact(specimen.dense, np.log1p)
    answer = qi.matrix_function(A, np.log1p)
    np.testing.assert_allclose(answer.to_array(), truth, atol=1e-10)
    if specimen.dense.shape[0] > 4:
        assert np.isfinite(qi.matrix_function(A, np.log1p, n_draws=4, rng=0).to_array()).all()


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n_draws", [20, 200])
@pytest.mark.parametrize(("f", "parameter", "truth"), FUNCTIONS)
def test_the_answer_is_f_of_the_drawn_rows_scaled_as_the_weights_say(f, parameter, truth, n_draws, kind, rng):
    A = rng.standard_normal((400, 40)) * (rng.random((400, 40)) < 0.4)
    answer = qi.matrix_function(kind(A), f, parameter=parameter, n_draws=n_draws, rng=1)
    R = answer.weights[:, None] * A[answer.rows]
    norms = np.linalg.norm(A[answer.rows], axis=1)
    counts = n_draws * (answer.weights * norms / np.linalg.norm(A)) ** 2
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    assert counts.sum() == pytest.approx(n_draws)
    truth_of_rows = exact(R, truth)
    scale = max(np.abs(truth_of_rows).max(), answer.at_zero)
    np.testing.assert_allclose(answer.to_array(), truth_of_rows, atol=1e-10 * scale)
    left, core = answer.core()
    np.testing.assert_allclose(left.T @ left, np.eye(len(core)), atol=1e-9)
    rebuilt = R.T @ (left * core) @ left.T @ R + answer.at_zero * np.eye(40)
    np.testing.assert_allclose(rebuilt, truth_of_rows, atol=1e-10 * scale)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n_draws", [15, 120, 300])
def test_every_way_to_ask_agrees_with_the_whole_matrix(n_draws, kind, rng):
    A = rng.standard_normal((300, 40))
    answer = qi.matrix_function(kind(A), "ridge", parameter=30.0, n_draws=n_draws, rng=1)
    whole = answer.to_array()
    x, X = rng.standard_normal(40), rng.standard_normal((40, 3))
    np.testing.assert_allclose(whole, whole.T, atol=1e-14)
    for product in (answer.matvec(x), answer.rmatvec(x), answer @ x):
        np.testing.assert_allclose(product, whole @ x, atol=1e-13)
    for product in (answer.matmat(X), answer.rmatmat(X), answer @ X):
        np.testing.assert_allclose(product, whole @ X, atol=1e-13)
    assert answer.trace() == pytest.approx(np.trace(whole))
    np.testing.assert_allclose(answer.diagonal(), np.diag(whole), atol=1e-14)
    rows, cols = rng.integers(0, 40, 100), rng.integers(0, 40, 100)
    np.testing.assert_allclose(answer.query(rows, cols), whole[rows, cols], atol=1e-14)
    np.testing.assert_allclose(answer.query(rows[:7, None], cols[:9]), whole[rows[:7, None], cols[:9]], atol=1e-14)
    np.testing.assert_allclose(answer.query([3, 5], [5, 5]), whole[[3, 5], [5, 5]], atol=1e-14)
    assert answer.query([], []).shape == (0,)
    assert answer.query(2, 3) == pytest.approx(whole[2, 3])


@pytest.mark.parametrize("n_draws", [15, 120, 300])
def test_the_combination_of_rows_is_the_product_less_the_multiple_of_the_vector(n_draws, rng):
    A = rng.standard_normal((300, 40))
    answer = qi.matrix_function(A, "ridge", parameter=30.0, n_draws=n_draws, rng=1)
    x = rng.standard_normal(40)
    combination = answer.combination(x)
    expected = answer @ x - answer.at_zero * x
    np.testing.assert_allclose(combination.to_array(), expected, atol=1e-13)
    np.testing.assert_allclose(combination.query([3, 7]), expected[[3, 7]], atol=1e-13)
    draws, _ = combination.sample(4000, rng=2)
    counts = np.bincount(draws, minlength=40)
    assert stats.chisquare(counts, 4000 * expected**2 / (expected**2).sum()).pvalue > P_LOWEST


def test_a_combination_of_a_sparse_column_of_a_wide_sparse_matrix_names_only_drawn_rows(rng):
    A = sp.random_array((300, 20_000), density=0.003, rng=rng, format="csr")
    answer = qi.matrix_function(A, "sqrt", n_draws=40, rng=0)
    assert sp.issparse(answer.basis.block)
    column = sp.csc_array(([1.0], ([5], [0])), shape=(20_000, 1))
    np.testing.assert_array_equal(answer.combination(column).rows, answer.rows)


def test_the_result_is_a_linear_operator_that_conjugate_gradients_can_use(rng):
    A = rng.standard_normal((500, 30))
    answer = qi.matrix_function(A, "ridge", parameter=100.0, n_draws=200, rng=0)
    operator = aslinearoperator(answer)
    b = rng.standard_normal(30)
    x, info = cg(operator, b, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(answer @ x, b, atol=1e-9)
    np.testing.assert_allclose(operator.T @ b, answer @ b)
    preconditioned, info = cg(A.T @ A + 100.0 * np.eye(30), b, M=operator, rtol=1e-10, maxiter=30)
    assert info == 0
    np.testing.assert_allclose((A.T @ A + 100.0 * np.eye(30)) @ preconditioned, b, atol=1e-8)
