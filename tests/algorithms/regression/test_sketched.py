from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

import qinspired as qi
from qinspired.algorithms.regression._gradient_passes import inverse_norm


def system(rng, kappa, residual, shape=(1200, 20)):
    """Return A, b; A with the given condition number, b as far from its range as told, relative to |A x|."""
    m, n = shape
    left, right = np.linalg.qr(rng.standard_normal(shape))[0], np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = (left * np.geomspace(1, 1 / kappa, n)) @ right.T
    fitted = A @ rng.standard_normal(n)
    rest = rng.standard_normal(m)
    rest -= left @ (left.T @ rest)
    return A, fitted + residual * np.linalg.norm(fitted) / np.linalg.norm(rest) * rest


def solved(A, b):
    """Return the solution in extended precision, by Gram-Schmidt done twice."""
    A, b = A.astype(np.longdouble), b.astype(np.longdouble)
    n = A.shape[1]
    Q, R = A.copy(), np.zeros((n, n), dtype=np.longdouble)
    for j in range(n):
        for _ in range(2):
            part = Q[:, :j].T @ Q[:, j]
            Q[:, j] -= Q[:, :j] @ part
            R[:j, j] += part
        R[j, j] = np.sqrt(Q[:, j] @ Q[:, j])
        Q[:, j] /= R[j, j]
    target = Q.T @ b
    target += Q.T @ (b - Q @ target)
    x = np.zeros(n, dtype=np.longdouble)
    for j in reversed(range(n)):
        x[j] = (target[j] - R[j, j + 1 :] @ x[j + 1 :]) / R[j, j]
    return x


def prediction_error(A, x, exact):
    A = A.astype(np.longdouble)
    return float(np.linalg.norm(A @ (x - exact)) / np.linalg.norm(A @ exact))


def backward_error(A, b, x):
    """Return Karlson and Walden's estimate, relative to |A|_F."""
    wide = A.astype(np.longdouble)
    r = b - wide @ x
    _, sizes, directions = np.linalg.svd(A, full_matrices=False)
    length = np.linalg.norm(x)
    weights = np.sqrt(sizes**2 + float(np.linalg.norm(r) / length) ** 2)
    return float(np.linalg.norm(directions @ (wide.T @ r).astype(float) / weights) / length / np.linalg.norm(A))


@pytest.mark.parametrize("method", ["sketched", "exact"])
@pytest.mark.parametrize("residual", [0.0, 1e-9, 0.1, 100.0])
@pytest.mark.parametrize("kappa", [1.0, 1e3, 1e5, 1e6, 1e8, 1e10, 1e12])
def test_a_solution_is_as_good_as_that_of_lapack_and_its_certificate_true(method, kappa, residual, rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._normal_equations.worth_sketching", lambda _: True)
    A, b = system(rng, kappa, residual)
    exact, lapack = solved(A, b), scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(A, b, tolerance=1e-12, method=method, rng=0)
    assert backward_error(A, b, solution.x) < max(10 * backward_error(A, b, lapack), 5e-15)
    error = prediction_error(A, solution.x, exact)
    assert error <= 20 * prediction_error(A, lapack, exact) + 1e-15
    assert error <= solution.error.high
    # The certificate allows for the worst: eps of |x| and |b|, and kappa times eps of the residual.
    assert solution.error.high <= 1e-12 + 1e-14 * kappa * residual or solution.error.high == np.inf


def test_the_extended_precision_reference_tells_a_wrong_solution_from_a_right_one(rng):
    A, b = system(rng, 1e6, 0.1)
    exact = solved(A, b)
    x = scipy.linalg.lstsq(A, b)[0]
    assert prediction_error(A, x, exact) < 1e-9
    assert prediction_error(A, x * (1 + 1e-8), exact) > 1e-9
    assert backward_error(A, b, x * (1 + 1e-8)) > 1e-11


def test_normal_equations_are_refined_only_where_the_tolerance_asks_for_it(rng):
    A, b = system(rng, 1e4, 0.1)
    coarse = qi.least_squares(A, b, tolerance=0.01, method="exact")
    fine = qi.least_squares(A, b, tolerance=1e-12, method="exact")
    assert "refinement" not in coarse.status
    assert "Cholesky" in fine.status
    assert "refinement" in fine.status
    exact = solved(A, b)
    assert prediction_error(A, fine.x, exact) < 1e-13 < prediction_error(A, coarse.x, exact) <= coarse.error.high


def test_a_tall_ill_conditioned_system_is_sketched_without_normal_equations(rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.regression._normal_equations.worth_sketching", lambda _: True)
    A, b = system(rng, 1e10, 0.1)
    ill = qi.least_squares(A, b, method="exact", rng=0)
    assert "sketch" in ill.status
    assert ill.method == "exact"
    monkeypatch.setattr("qinspired.algorithms.regression._normal_equations._by_moments", None)
    np.testing.assert_array_equal(qi.least_squares(A, b, method="exact", rng=0).x, ill.x)


def test_a_sketch_is_predicted_to_pay_for_tall_dense_matrices_only(rng):
    from qinspired.algorithms.regression._sketched import worth_sketching

    def worth(X):
        return worth_sketching(qi.CountingMatrix(qi.as_sq_matrix(X)))

    tall = np.broadcast_to(np.ones(400), (20_000, 400))
    assert worth(tall)
    assert not worth(tall[:3000])
    assert not worth(tall[:, :8])
    assert not worth(sp.csr_array(tall[:7000]))


@pytest.mark.parametrize("make", [lambda A: A.astype(np.float32), sp.csr_array, lambda A: sp.csr_array(np.float32(A))])
def test_float32_and_sparse_matrices_are_solved_to_the_accuracy_of_float64(make, rng):
    A, b = system(rng, 1e4, 0.1)
    stored = make(A)
    wide = (stored.toarray() if sp.issparse(stored) else stored).astype(np.float64)
    solution = qi.least_squares(stored, b, tolerance=1e-12, method="sketched", rng=0)
    assert solution.method == "sketched"
    assert "sketch of" in solution.status
    assert prediction_error(wide, solution.x, solved(wide, b)) < 1e-13


@pytest.mark.parametrize("spoil", ["low rank", "duplicated column", "zero column", "nearly singular"])
def test_a_singular_system_gets_the_solution_of_least_norm_by_lapack(spoil, rng):
    A, b = system(rng, 10.0, 0.1)
    if spoil == "low rank":
        A = A[:, :4] @ rng.standard_normal((4, 20))
    elif spoil == "duplicated column":
        A[:, 3] = A[:, 7]
    elif spoil == "zero column":
        A[:, 5] = 0.0
    else:
        A[:, 3] = A[:, 7] * (1 + 2.0**-52)
    solution = qi.least_squares(A, b, method="sketched", rng=0)
    assert "LAPACK, after a sketch without full rank" in solution.status
    np.testing.assert_allclose(solution.x, scipy.linalg.lstsq(A, b, cond=1e-13)[0], atol=1e-8)


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (7, 20), (100, 20)])
def test_systems_with_few_rows_go_to_lapack(shape, rng):
    A, b = rng.standard_normal(shape), rng.standard_normal(shape[0])
    solution = qi.least_squares(A, b, method="sketched", rng=0)
    assert "fewer than 8 rows a column" in solution.status
    np.testing.assert_allclose(solution.x, scipy.linalg.lstsq(A, b)[0], atol=1e-8)


def test_one_column_and_zero_rows_are_solved(rng):
    a, b = rng.standard_normal((50, 1)), rng.standard_normal(50)
    a[10:40] = 0.0
    solution = qi.least_squares(a, b, method="sketched", rng=0)
    assert solution.x[0] == pytest.approx(float(a[:, 0] @ b / (a[:, 0] @ a[:, 0])), rel=1e-14)
    A, b = system(rng, 1e6, 0.1)
    A[::3] = 0.0
    solution = qi.least_squares(A, b, tolerance=1e-12, method="sketched", rng=0)
    assert prediction_error(A, solution.x, solved(A, b)) <= solution.error.high < 1e-7


@pytest.mark.parametrize("ridge", [1e-18, 1e-8, 0.3, 1e12])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_a_ridge_is_as_rows_below_the_matrix(ridge, make, rng):
    A, b = system(rng, 1e8, 0.1)
    stacked, target = np.vstack([A, np.sqrt(ridge) * np.eye(20)]), np.concatenate([b, np.zeros(20)])
    exact = solved(stacked, target)
    solution = qi.least_squares(make(A), b, ridge=ridge, tolerance=1e-12, method="sketched", rng=0)
    assert "sketch of" in solution.status
    lapack = prediction_error(A, scipy.linalg.lstsq(stacked, target)[0], exact)
    assert prediction_error(A, solution.x, exact) <= 20 * lapack + 1e-14
    assert solution.residual.value == pytest.approx(np.linalg.norm(A @ solution.x - b) / np.linalg.norm(b), rel=1e-9)


@pytest.mark.parametrize(
    ("scale", "target"),
    [(1e150, 1.0), (1e150, 1e150), (1e150, 1e-150), (1e-150, 1.0), (1e-150, 1e100), (1e-150, 1e-150), (1e250, 1.0)],
)
def test_entries_whose_squares_overflow_or_underflow_are_solved_to_full_accuracy(scale, target, rng):
    A, b = system(rng, 1e6, 0.01)
    solution = qi.least_squares(A * scale, b * target, tolerance=1e-12, method="sketched", rng=0)
    assert "sketch of" in solution.status
    assert prediction_error(A, solution.x / target * scale, solved(A * scale / scale, b)) < 1e-9


def test_columns_of_very_different_scale_are_left_to_lapack(rng):
    A, b = system(rng, 10.0, 0.1)
    A[:, 0] *= 1e150
    A[:, 1] *= 1e-150
    solution = qi.least_squares(A, b, method="sketched", rng=0)
    assert "LAPACK" in solution.status
    assert np.isfinite(solution.x).all()


def test_a_right_hand_side_orthogonal_to_the_range_has_no_relative_accuracy_and_says_so(rng):
    A, b = system(rng, 1e3, 0.1)
    b -= A @ scipy.linalg.lstsq(A, b)[0]
    solution = qi.least_squares(A, b, method="sketched", rng=0)
    assert solution.error.high > 0.1
    assert "rounding" in solution.status
    assert np.linalg.norm(A @ solution.x) < 1e-10 * np.linalg.norm(b)
    assert solution.residual.value == pytest.approx(1.0)


def test_a_coherent_matrix_with_few_rows_that_matter_is_solved(rng):
    A = 1e-9 * rng.standard_normal((1000, 20))
    A[:20] += np.eye(20)
    b = rng.standard_normal(1000)
    solution = qi.least_squares(A, b, tolerance=1e-12, method="sketched", rng=0)
    assert prediction_error(A, solution.x, solved(A, b)) <= min(solution.error.high, 1e-12)


def test_a_zero_right_hand_side_has_the_zero_solution(rng):
    assert not qi.least_squares(rng.standard_normal((300, 5)), np.zeros(300), method="sketched").x.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_entries_that_are_not_finite_are_refused(bad, rng):
    A, b = system(rng, 1.0, 0.1)
    A[3, 2] = bad
    with pytest.raises(ValueError, match="`A` must be finite"):
        qi.least_squares(A, b, method="sketched")
    A[3, 2], b[4] = 0.0, bad
    with pytest.raises(ValueError, match="`b` must be finite"):
        qi.least_squares(A, b, method="sketched")


def test_the_passes_are_counted_and_a_seed_gives_the_same_answer(rng):
    A, b = system(rng, 1e10, 0.1)
    one = qi.least_squares(A, b, tolerance=1e-12, method="sketched", rng=3)
    two = qi.least_squares(A, b, tolerance=1e-12, method="sketched", rng=3)
    np.testing.assert_array_equal(one.x, two.x)
    assert one.stats.full_passes == two.stats.full_passes == 1 + int(one.status.split(" passes")[0].split()[-1])
    assert one.stats.full_passes < 50


def test_a_consistent_system_needs_few_passes(rng):
    A, b = system(rng, 1e10, 0.0)
    assert qi.least_squares(A, b, tolerance=1e-12, method="sketched", rng=0).stats.full_passes < 20


@pytest.mark.parametrize("kappa", [1.0, 1e4, 1e12])
def test_the_norm_of_the_inverse_of_a_triangle_is_estimated(kappa, rng):
    A, _ = system(rng, kappa, 0.0)
    R = np.linalg.qr(A, mode="r")
    assert 0.5 * kappa <= inverse_norm(R) <= 1.01 * kappa
    R[4, 4] = 0.0
    assert inverse_norm(R) == np.inf


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_too_many_columns_for_a_sketch_are_named_as_the_reason(make, monkeypatch, rng):
    monkeypatch.setattr("qinspired.algorithms.regression._normal_equations.PRIMAL_COLUMNS", 20)
    A = rng.standard_normal((300, 21))
    solution = qi.least_squares(make(A), rng.standard_normal(300), method="sketched", rng=0)
    assert solution.method == "exact"
    assert "after no sketch, which takes at most 20 columns" in solution.status
    assert "no sketch" not in qi.least_squares(A[:, :20], np.ones(300), method="sketched", rng=0).status
    assert "no sketch" not in qi.least_squares(A, np.ones(300), method="exact", rng=0).status
