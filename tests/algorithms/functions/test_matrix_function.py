from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import P_LOWEST
from scipy import stats
from scipy.sparse.linalg import aslinearoperator, cg
from zoo import ZOO

import qinspired as qi
from qinspired.algorithms.functions import _from_all_rows, _from_draws, _matrix_function
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


def with_spectrum(shape, values, rng, skew=0.0):
    m, n = shape
    k = len(values)
    U = np.linalg.qr(np.exp(skew * rng.standard_normal(m))[:, None] * rng.standard_normal((m, k)))[0]
    return (U * values) @ np.linalg.qr(rng.standard_normal((n, k)))[0].T


def exact(A, f):
    """f(A^T A) from numpy's SVD."""
    A = np.asarray(A, dtype=np.float64)
    _, sigma, Vt = np.linalg.svd(A, full_matrices=len(A) < A.shape[1])
    x = np.zeros(A.shape[1])
    x[: len(sigma)] = sigma**2
    return (Vt.T * f(x)) @ Vt


def relative(answer, truth):
    part = truth - answer.at_zero * np.eye(len(truth))
    return np.linalg.norm(answer.to_array() - truth) / np.linalg.norm(part)


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


def test_a_matrix_of_rank_one_is_exact_from_any_rows(rng):
    A = rng.standard_normal((5000, 1)) @ rng.standard_normal((1, 80))
    answer = qi.matrix_function(A, "sqrt", n_draws=10, rng=0)
    S = A.T @ A
    np.testing.assert_allclose(answer.to_array(), S / np.sqrt(np.trace(S)), atol=1e-10 * np.sqrt(np.trace(S)))
    assert answer.error.high < 1e-5
    assert len(answer.eigenvalues) == 1


def test_duplicate_rows_give_what_the_scaled_distinct_rows_give(rng):
    A = rng.standard_normal((6, 10))
    repeated = np.repeat(A, 100, axis=0)
    answer = qi.matrix_function(repeated, "ridge", parameter=50.0, n_draws=300, rng=0)
    truth = exact(10.0 * A, lambda x: 1.0 / (x + 50.0))
    error = relative(answer, truth)
    assert error < 0.2
    assert answer.error.low <= error <= answer.error.high
    np.testing.assert_allclose(qi.matrix_function(repeated, "ridge", parameter=50.0).to_array(), truth, atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1), (2, 30)])
@pytest.mark.parametrize("n_draws", [None, 2])
def test_matrices_of_one_row_or_column_are_exact_or_certified(shape, n_draws, rng):
    A = rng.standard_normal(shape)
    answer = qi.matrix_function(A, "sqrt", n_draws=n_draws, rng=0)
    assert relative(answer, exact(A, np.sqrt)) <= answer.error.high + 1e-12
    if min(shape) == 1:
        assert relative(answer, exact(A, np.sqrt)) < 1e-12


@pytest.mark.parametrize("n_draws", [150, 3000])
def test_float32_rows_are_used_in_float64(n_draws, rng):
    A = with_spectrum((3000, 30), np.geomspace(10, 1, 30), rng).astype(np.float32)
    answer = qi.matrix_function(A, "ridge", parameter=20.0, n_draws=n_draws, rng=0)
    wide = qi.matrix_function(A.astype(np.float64), "ridge", parameter=20.0, n_draws=n_draws, rng=0)
    assert answer.dtype == np.float64
    # Norms of float32 rows are summed in float64, so that only the draws could differ by rounding of the norms.
    np.testing.assert_allclose(answer.to_array(), wide.to_array(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
@pytest.mark.parametrize("n_draws", [100, 500])
def test_entries_whose_squares_are_near_the_ends_of_the_range_change_only_the_scale(scale, n_draws, rng):
    A = rng.standard_normal((500, 20))
    plain = qi.matrix_function(A, "sqrt", n_draws=n_draws, rng=0)
    scaled = qi.matrix_function(scale * A, "sqrt", n_draws=n_draws, rng=0)
    np.testing.assert_allclose(scaled.to_array() / scale, plain.to_array(), atol=1e-10)
    x = rng.standard_normal(20)
    np.testing.assert_allclose(scaled.combination(x).to_array() / scale, plain @ x, atol=1e-10)
    assert scaled.error.value == pytest.approx(plain.error.value, rel=1e-6)


@pytest.mark.parametrize("scale", [1e155, 1e-155])
def test_entries_whose_squares_leave_the_range_are_refused(scale, rng):
    with pytest.raises(ValueError, match=r"`A` must have a Frobenius norm in \[1e-153, 1e\+154\]"):
        qi.matrix_function(scale * rng.standard_normal((50, 4)), "sqrt")


def test_a_condition_number_of_1e16_is_exact_or_said_not_to_be(rng):
    values = np.geomspace(1.0, 1e-16, 20)
    U, V = np.linalg.qr(rng.standard_normal((300, 20)))[0], np.linalg.qr(rng.standard_normal((20, 20)))[0]
    A = (U * values) @ V.T
    for n_draws in (100, 300):
        for parameter in (1e-20, 1e-25):
            answer = qi.matrix_function(A, "ridge", parameter=parameter, n_draws=n_draws, rng=1)
            assert relative(answer, (V / (values**2 + parameter)) @ V.T) <= answer.error.high + 1e-12
    # A^T A would lose the small half of the spectrum.
    exact_root = qi.matrix_function(A, "sqrt")
    assert "singular value decomposition" in exact_root.status
    np.testing.assert_allclose(exact_root.to_array(), (V * values) @ V.T, atol=1e-14)


@pytest.mark.parametrize("m", [3000, 30_000])
def test_many_short_rows_beside_one_long_one_are_not_certified_away(m, rng):
    A = 0.01 * rng.standard_normal((m, 30))
    A[7] = 100.0 * rng.standard_normal(30)
    answer = qi.matrix_function(A, "sqrt", n_draws=300, rng=0)
    assert len(answer.rows) == 1
    error = relative(answer, exact(A, np.sqrt))
    assert 0.5 * error <= answer.error.value <= 2.0 * error
    assert answer.error.high >= error


def test_an_eigenvalue_at_a_jump_of_f_is_told(rng):
    A = np.linalg.qr(rng.standard_normal((40, 5)))[0]
    assert qi.matrix_function(A, "threshold", parameter=1.0).error.high >= 1.0
    assert qi.matrix_function(A, "threshold", parameter=0.9).error.high == 0.0


def test_a_constant_function_is_exact(rng):
    answer = qi.matrix_function(rng.standard_normal((500, 9)), lambda x: np.full(x.shape, 2.5), n_draws=50, rng=0)
    np.testing.assert_array_equal(answer.to_array(), 2.5 * np.eye(9))
    assert answer.error.high == 0.0


def test_a_wide_matrix_too_large_for_a_dense_factorisation_keeps_its_rows_sparse(rng, monkeypatch):
    monkeypatch.setattr(_from_all_rows, "_DENSE_CELLS", 100)
    dense = rng.standard_normal((20, 300)) * (rng.random((20, 300)) < 0.1)
    dense[3] = 0.0
    answer = qi.matrix_function(sp.csr_array(dense), "ridge", parameter=2.0)
    assert sp.issparse(answer.basis.block)
    np.testing.assert_allclose(answer.to_array(), exact(dense, lambda x: 1.0 / (x + 2.0)), atol=1e-12)
    assert 3 not in answer.rows
    x = rng.standard_normal(300)
    np.testing.assert_allclose(answer.combination(x).to_array(), answer @ x - x / 2.0, atol=1e-12)


def test_rows_are_read_in_parts_and_reduced_to_a_triangle(rng, monkeypatch):
    monkeypatch.setattr(_from_all_rows, "_BLOCK_ENTRIES", 70)
    A = with_spectrum((100, 7), np.geomspace(1.0, 1e-12, 7), rng)
    answer = qi.matrix_function(A, "sqrt")
    assert "singular value decomposition" in answer.status
    np.testing.assert_allclose(answer.to_array(), exact(A, np.sqrt), atol=1e-14)


@given(st.integers(2, 12), st.integers(1, 12), st.integers(2, 30), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_projector_of_a_tiny_threshold_has_the_rank_of_the_drawn_rows(m, n, n_draws, seed):
    A = np.random.default_rng(seed).standard_normal((m, n))
    answer = qi.matrix_function(A, "threshold", parameter=1e-5 * np.linalg.norm(A), n_draws=n_draws, rng=seed)
    P = answer.to_array()
    np.testing.assert_allclose(P @ P, P, atol=1e-7)
    assert answer.trace() == np.linalg.matrix_rank(A[answer.rows])


def test_a_dynamic_matrix_is_used_as_it_was(rng):
    A = qi.DynamicMatrix((20, 5))
    rows, cols = np.divmod(np.arange(100), 5)
    X = rng.standard_normal((20, 5))
    A.update(rows, cols, X.ravel())
    answer = qi.matrix_function(A, "sqrt")
    np.testing.assert_allclose(answer.to_array(), exact(X, np.sqrt), atol=1e-10)
    A.update([0], [0], [3.0])
    with pytest.raises(qi.exceptions.VersionError):
        answer.combination(np.ones(5))


def test_a_matrix_whose_rows_are_too_long_is_refused_with_a_remedy():
    problem = qi.problems.virtual_low_rank_matrix((10**6, 10**6), [2.0, 1.0])
    A = qi.ImplicitMatrix(**problem.access)
    with pytest.raises(ValueError, match="`A` must let whole rows be read"):
        qi.matrix_function(A, "sqrt")


def test_a_zero_matrix_is_refused():
    with pytest.raises(ZeroMassError, match="f\\(0\\) times the identity"):
        qi.matrix_function(np.zeros((3, 2)), "sqrt")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"f": "log"}, ValueError, "`f` must be a callable or one of ridge, sqrt, exp, threshold; got 'log'"),
        ({"f": 3}, TypeError, "`f` must be a callable or one of"),
        ({"f": "ridge"}, ValueError, "`parameter` must be given for 'ridge'"),
        ({"f": "threshold"}, ValueError, "`parameter` must be given for 'threshold'"),
        ({"f": "ridge", "parameter": 0}, ValueError, "`parameter` must be > 0 for 'ridge'; got 0"),
        ({"f": "threshold", "parameter": -1.0}, ValueError, "`parameter` must be > 0 for 'threshold'"),
        ({"f": "ridge", "parameter": 1e-309}, ValueError, "1 / parameter overflows"),
        ({"f": "ridge", "parameter": True}, TypeError, "`parameter` must be a real number"),
        ({"f": "exp", "parameter": "2"}, TypeError, "`parameter` must be a real number"),
        ({"f": "exp", "parameter": np.nan}, ValueError, "`parameter` must be finite"),
        ({"f": "exp", "parameter": 1e4}, ValueError, "exp\\(parameter x\\) overflows; got 10000"),
        ({"f": "sqrt", "parameter": 2.0}, ValueError, "`parameter` must be left out for 'sqrt'"),
        ({"f": np.sqrt, "parameter": 2.0}, ValueError, "`parameter` belongs to a named `f`"),
        ({"f": lambda x: x.sum()}, ValueError, "`f` must return one number for each"),
        ({"f": lambda x: np.zeros((len(x), 1))}, ValueError, "`f` must return one number for each"),
        ({"f": lambda x: x * 1j}, TypeError, "`f` must return real numbers; it returned dtype complex128"),
        ({"f": lambda x: x.astype(str)}, TypeError, "`f` must return real numbers"),
        ({"f": lambda x: np.where(x == 0.0, np.inf, x)}, ValueError, "got f\\(0\\) = inf"),
        ({"f": lambda x: np.where(x > 0.0, np.nan, x)}, ValueError, "`f` must be finite on the eigenvalues"),
        ({"f": lambda x: np.where(x > 0.0, 1.5e308, -1.5e308)}, ValueError, "`f` must vary by less than"),
        ({"f": "sqrt", "n_draws": 1}, ValueError, "`n_draws` must be an integer >= 2; got 1"),
        ({"f": "sqrt", "n_draws": 2.0}, TypeError, "`n_draws` must be an integer"),
        ({"f": "sqrt", "n_draws": True}, TypeError, "`n_draws` must be an integer"),
        ({"f": "sqrt", "tolerance": 1.0}, ValueError, "`tolerance` must be in \\(0, 1\\)"),
        ({"f": "sqrt", "rng": -1}, ValueError, "`rng` must be"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_bad_arguments_are_named(arguments, error, message):
    arguments = dict(arguments)
    with pytest.raises(error, match=message):
        qi.matrix_function(np.arange(1.0, 13.0).reshape(4, 3), arguments.pop("f"), **arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_matrix_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="`A` must be finite"):
        qi.matrix_function(np.array([[1.0, value]]), "sqrt")


def test_a_function_that_writes_to_its_argument_does_no_harm(rng):
    def root(x):
        np.sqrt(x, out=x)
        return x

    A = rng.standard_normal((30, 5))
    for n_draws in (10, 30):
        first, second = (qi.matrix_function(A, f, n_draws=n_draws, rng=0) for f in (root, np.sqrt))
        np.testing.assert_array_equal(first.to_array(), second.to_array())
        np.testing.assert_array_equal(first.eigenvalues, second.eigenvalues)


def test_bad_vectors_and_indices_are_named(rng):
    answer = qi.matrix_function(rng.standard_normal((30, 5)), "sqrt")
    with pytest.raises(ValueError, match=r"`x` must have one entry for each of the 5 rows of `f\(A\^T A\)`"):
        answer.matvec(np.ones(4))
    with pytest.raises(ValueError, match="`X` must have 5 rows"):
        answer @ np.ones((4, 2))
    with pytest.raises(ValueError, match="`x` must be finite"):
        answer @ np.array([1.0, np.nan, 0.0, 0.0, 0.0])
    with pytest.raises(IndexError, match="`cols` must hold indices in"):
        answer.query([0], [5])
    with pytest.raises(ValueError, match="`rows` and `cols` must have shapes that numpy broadcasts"):
        answer.query([0, 1], [0, 1, 2])


def test_the_account_names_the_function_the_method_and_the_error(rng):
    answer = qi.matrix_function(rng.standard_normal((300, 20)), "ridge", parameter=2.0, n_draws=40, rng=0)
    text = answer.explain()
    assert "1 / (x + 2)" in text
    assert "300 x 20 dense matrix by drawn rows: 40 draws" in text
    assert str(answer.error) in text
    assert answer.stats.rows_read == len(answer.rows) + 160
    with pytest.raises(AttributeError):
        answer.at_zero = 1.0
