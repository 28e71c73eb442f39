from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator
from sklearn.metrics.pairwise import rbf_kernel

import qinspired as qi


@pytest.fixture
def kernel_and_factor(rng):
    A = rbf_kernel(rng.standard_normal((150, 2)), gamma=0.4)
    return A, qi.rp_cholesky(A, 25, rng=0)


def test_eigenvalues_are_bounded_by_those_of_the_matrix_with_the_trace_error_between(kernel_and_factor):
    A, approx = kernel_and_factor
    true = np.linalg.eigvalsh(A)[::-1][:25]
    gaps = true - approx.eigenvalues
    assert (gaps > -1e-12).all()
    assert gaps.sum() <= approx.error.high * np.trace(A)


def test_eigenvectors_are_orthonormal_and_those_of_the_product(kernel_and_factor):
    _, approx = kernel_and_factor
    vectors = approx.eigenvectors()
    product = approx.factor @ approx.factor.T
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(25), atol=1e-13)
    np.testing.assert_allclose(product @ vectors, vectors * approx.eigenvalues, atol=1e-12)
    np.testing.assert_array_equal(approx.eigenvectors(4), vectors[:, :4])
    with pytest.raises(ValueError, match="`rank`"):
        approx.eigenvectors(26)


def test_the_answer_is_a_linear_operator_and_can_be_queried(kernel_and_factor, rng):
    _, approx = kernel_and_factor
    product = approx.factor @ approx.factor.T
    x = rng.standard_normal(150)
    operator = aslinearoperator(approx)
    np.testing.assert_allclose(operator.matvec(x), product @ x, atol=1e-12)
    np.testing.assert_allclose(operator.rmatvec(x), product @ x, atol=1e-12)
    rows, cols = np.array([3, 4]), np.array([0, 149, 7])
    np.testing.assert_allclose(approx.query(rows[:, None], cols), product[np.ix_(rows, cols)], atol=1e-14)
    np.testing.assert_allclose(approx.query(3, 4), product[3, 4], atol=1e-14)
    with pytest.raises(IndexError):
        approx.query([150], [0])
    with pytest.raises(ValueError, match="broadcasts"):
        approx.query([1, 2], [1, 2, 3])


@pytest.mark.parametrize("ridge", [1e-10, 1e-3, 10.0])
def test_the_ridge_solution_is_that_of_the_dense_matrix(kernel_and_factor, rng, ridge):
    _, approx = kernel_and_factor
    product = approx.factor @ approx.factor.T
    dense = product + ridge * np.eye(150)
    for b in (rng.standard_normal(150), product @ np.ones(150)):
        x = approx.solve(b, ridge)
        # Backward stable: the residual is rounding on the scale of the matrix times the solution.
        assert np.linalg.norm(dense @ x - b) <= 1e-13 * np.linalg.norm(dense, 2) * np.linalg.norm(x)


@pytest.mark.parametrize(
    ("ridge", "error"),
    [
        (0.0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        ("1", TypeError),
    ],
)
def test_a_ridge_that_is_no_positive_number_is_refused(kernel_and_factor, ridge, error):
    with pytest.raises(error, match="`ridge`"):
        kernel_and_factor[1].solve(np.ones(150), ridge)


def test_vectors_of_a_wrong_length_are_refused(kernel_and_factor):
    _, approx = kernel_and_factor
    with pytest.raises(ValueError, match="`x`"):
        approx.matvec(np.ones(3))
    with pytest.raises(ValueError, match="`b`"):
        approx.solve(np.ones(3), 1.0)


def test_the_account_tells_what_was_asked(kernel_and_factor):
    text = kernel_and_factor[1].explain()
    assert "rank 25 of a 150 x 150 matrix by accelerated" in text
    assert "relative trace error" in text
