from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from exact_functions import exact, relative, with_spectrum
from hypothesis import given, settings
from hypothesis import strategies as st

import qinspired as qi
from qinspired.algorithms.functions import _from_all_rows
from qinspired.exceptions import ZeroMassError


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
