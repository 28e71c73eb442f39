from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from psd_matrices import METHODS, Asked, psd, residual_of
from sklearn.metrics.pairwise import rbf_kernel

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


@pytest.mark.parametrize("method", METHODS)
def test_a_tolerance_stops_at_the_first_pivot_that_meets_it(method, rng):
    A = rbf_kernel(rng.standard_normal((300, 2)), gamma=0.3)
    approx = qi.rp_cholesky(A, 200, tolerance=0.01, method=method, rng=1)
    assert approx.error.value <= 0.01
    assert approx.rank < 100
    assert "met the tolerance" in approx.status
    without_last = approx.factor[:, :-1]
    assert np.trace(A - without_last @ without_last.T) / np.trace(A) > 0.01


def test_a_tolerance_out_of_reach_of_the_rank_warns():
    with pytest.warns(ToleranceNotMetWarning, match="raise `rank`"):
        approx = qi.rp_cholesky(np.eye(10), 3, tolerance=0.1, rng=0)
    assert approx.rank == 3
    assert approx.error.value == pytest.approx(0.7)


def test_a_tolerance_below_rounding_warns_that_no_more_can_be_had(rng):
    with pytest.warns(ToleranceNotMetWarning, match="no more can be had"):
        approx = qi.rp_cholesky(psd(80, 5, rng, np.float32), 80, tolerance=1e-12, rng=0)
    assert approx.error.high > 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_duplicate_points_are_taken_once(method, dtype, rng):
    X = np.repeat(rng.standard_normal((10, 2)), 20, axis=0).astype(dtype)
    approx = qi.rp_cholesky(qi.KernelMatrix(X, gamma=1.0), 200, method=method, rng=0)
    assert approx.rank == 10
    assert len(set((approx.pivots // 20).tolist())) == 10


@pytest.mark.parametrize("method", ["accelerated", "simple", "block", "greedy"])
def test_one_huge_diagonal_entry_is_the_first_pivot_and_the_rest_follow(method):
    diagonal = np.ones(20)
    diagonal[13] = 1e12
    approx = qi.rp_cholesky(np.diag(diagonal), 20, method=method, rng=0)
    assert approx.pivots[0] == 13
    assert approx.rank == 20
    np.testing.assert_allclose(approx.factor @ approx.factor.T, np.diag(diagonal), rtol=1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e300, 1e-290])
def test_the_scale_of_the_entries_does_not_matter(method, scale, rng):
    A = psd(40, 40, rng)
    A /= A.max()
    approx = qi.rp_cholesky(A * scale, 10, method=method, rng=5)
    reference = qi.rp_cholesky(A, 10, method=method, rng=5)
    np.testing.assert_array_equal(approx.pivots, reference.pivots)
    np.testing.assert_allclose(approx.factor / math.sqrt(scale), reference.factor, atol=1e-12)
    assert approx.error.value == pytest.approx(reference.error.value, rel=1e-12)
    np.testing.assert_allclose(approx.eigenvalues / scale, reference.eigenvalues, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_one_by_one_and_rank_one_matrices(method):
    one = qi.rp_cholesky(np.array([[4.0]]), 1, method=method, rng=0)
    np.testing.assert_array_equal(one.factor, [[2.0]])
    assert one.error.value == 0.0
    line = np.arange(1.0, 9.0)
    approx = qi.rp_cholesky(np.outer(line, line), 5, method=method, rng=0)
    assert approx.rank == 1
    np.testing.assert_allclose(np.abs(approx.factor[:, 0]), line, rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_condition_number_of_1e16_ends_in_rounding_and_not_in_an_error(method, dtype, rng):
    Q = np.linalg.qr(rng.standard_normal((120, 120)))[0]
    A = (Q * np.geomspace(1.0, 1e-16, 120)) @ Q.T
    A = ((A + A.T) / 2).astype(dtype)
    approx = qi.rp_cholesky(A, 120, method=method, rng=0)
    assert approx.error.high < (1e-3 if dtype == np.float32 else 1e-8)
    assert np.linalg.norm(residual_of(A, approx), 2) < (1e-3 if dtype == np.float32 else 1e-8)


def test_rows_of_zeros_are_no_pivots(rng):
    A = np.zeros((12, 12))
    A[3:9, 3:9] = psd(6, 6, rng)
    for method in METHODS:
        approx = qi.rp_cholesky(A, 12, method=method, rng=0)
        assert sorted(approx.pivots.tolist()) == list(range(3, 9))


def test_a_matrix_that_is_not_symmetric_is_refused_by_its_place(rng):
    A = psd(600, 600, rng)
    A[580, 17] += 1.0
    with pytest.raises(ValueError, match=r"`A` must be symmetric; got A\[580, 17\]"):
        qi.rp_cholesky(A, 3)
    with pytest.raises(ValueError, match=r"`A` must be symmetric; got A\[(17|580), (17|580)\]"):
        qi.rp_cholesky(sp.csr_array(A), 3)
    B = np.eye(20)
    B[0, 0], B[6, 5] = 10.0, 0.1  # far from the only pivot
    with pytest.raises(ValueError, match=r"`A` must be symmetric; got A\[(5|6), (5|6)\]"):
        qi.rp_cholesky(B, 1, method="greedy")
    one_sided = sp.csr_array(([1.0, 1.0, 0.5], ([0, 1, 0], [0, 1, 1])), shape=(2, 2))
    with pytest.raises(ValueError, match="`A` must be symmetric"):
        qi.rp_cholesky(one_sided, 1)


@pytest.mark.parametrize("method", METHODS)
def test_an_object_that_is_not_symmetric_at_its_pivots_is_refused(method):
    A = np.eye(6) + np.triu(np.full((6, 6), 0.1), 1)
    with pytest.raises(ValueError, match="`A` must be symmetric"):
        qi.rp_cholesky(Asked(A), 6, method=method, rng=0)


def test_rounding_of_a_product_is_no_asymmetry(rng):
    G = rng.standard_normal((200, 300)).astype(np.float32)
    A = G @ G.T
    A[0, 1] += np.float32(1e-5) * A[0, 0]
    assert qi.rp_cholesky(A, 5, rng=0).rank == 5


@pytest.mark.parametrize("method", METHODS)
def test_a_negative_residual_is_refused(method):
    A = np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="`A` must be positive semi-definite; after 1 pivots"):
        qi.rp_cholesky(A, 2, method=method, block_size=None if method in ("simple", "greedy") else 1, rng=0)


def test_a_matrix_that_is_indefinite_by_a_little_is_refused_and_by_rounding_is_not(rng):
    Q = np.linalg.qr(rng.standard_normal((50, 50)))[0]
    for least, refused in ((-1e-3, True), (-1e-6, True), (-1e-15, False)):
        A = (Q * np.concatenate([np.ones(25), np.full(25, least)])) @ Q.T
        A = (A + A.T) / 2
        if refused:
            with pytest.raises(ValueError, match="positive semi-definite"):
                qi.rp_cholesky(A, 50, rng=0)
        else:
            assert qi.rp_cholesky(A, 50, rng=0).rank == 25


def test_two_rows_that_are_more_than_parallel_are_refused_from_a_millionth_on():
    for excess in (1e-6, 1e-3):
        A = np.array([[1.0, 1.0 + excess], [1.0 + excess, 1.0]])
        with pytest.raises(ValueError, match="positive semi-definite"):
            qi.rp_cholesky(A, 2, rng=0)
    A = np.array([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]])
    assert qi.rp_cholesky(A, 2, rng=0).rank == 1


def test_entries_less_exact_than_their_type_are_refused_at_their_noise_and_not_before(rng):
    A = psd(60, 8, rng)
    noise = 1e-5 * rng.standard_normal((60, 60))
    A += noise + noise.T
    with pytest.raises(ValueError, match="less exact than their type, ask for fewer pivots"):
        qi.rp_cholesky(A, 60, rng=0)
    assert qi.rp_cholesky(A, 7, rng=0).rank == 7
    assert qi.rp_cholesky(A.astype(np.float32), 8, rng=0).error.value < 1e-3
    assert qi.rp_cholesky(A + 2e-4 * np.eye(60), 60, rng=0).error.value < 1e-12


def test_a_negative_diagonal_is_refused_and_its_rounding_is_not(rng):
    with pytest.raises(ValueError, match=r"its diagonal is >= 0; got A\[1, 1\] = -1.0"):
        qi.rp_cholesky(np.diag([1.0, -1.0]), 1)
    X = np.concatenate([rng.standard_normal((30, 3)), np.zeros((1, 3))])
    A = X @ X.T
    A[30] = A[:, 30] = 1e-17
    A[30, 30] = -1e-16
    assert qi.rp_cholesky(A, 31, rng=0).rank == 3


def test_a_zero_on_the_diagonal_of_a_row_that_is_not_zero_is_refused():
    with pytest.raises(ValueError, match=r"A\[0, 0\] is 0 and row 0 is not"):
        qi.rp_cholesky(np.array([[0.0, 1.0], [1.0, 0.0]]), 1)
    with pytest.raises(ValueError, match="positive semi-definite"):
        qi.rp_cholesky(Asked(np.array([[0.0, 1.0], [1.0, 1.0]])), 1, rng=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_entries_that_are_not_finite_are_refused(bad, rng):
    A = psd(10, 10, rng)
    A[2, 7] = A[7, 2] = bad
    with pytest.raises(ValueError, match=r"finite"):
        qi.rp_cholesky(A, 3)
    with pytest.raises(ValueError, match=r"finite"):
        qi.rp_cholesky(sp.csr_array(A), 3)
    with pytest.raises(ValueError, match=r"`A\.query` must return finite"):
        qi.rp_cholesky(Asked(A), 10, rng=0)
    B = psd(10, 10, rng)
    B[4, 4] = bad
    with pytest.raises(ValueError, match=r"`A\.query` must return finite"):
        qi.rp_cholesky(Asked(B), 3)


def test_a_matrix_that_is_not_square_is_refused():
    for A in (np.ones((3, 4)), sp.csr_array(np.ones((3, 4))), qi.as_sq_matrix(np.ones((3, 4))), Asked(np.ones((3, 4)))):
        with pytest.raises(ValueError, match=r"`A` must be a square matrix.*\(3, 4\)"):
            qi.rp_cholesky(A, 2)
    with pytest.raises(ValueError, match="2-dimensional"):
        qi.rp_cholesky(np.ones(4), 2)


def test_a_zero_matrix_has_no_pivots():
    for A in (np.zeros((4, 4)), sp.csr_array((4, 4)), Asked(np.zeros((4, 4)))):
        with pytest.raises(ZeroMassError, match="diagonal of zeros"):
            qi.rp_cholesky(A, 2)


def test_a_trace_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"trace below 1.8e308"):
        qi.rp_cholesky(Asked(np.diag(np.full(4, 1e308))), 2)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rank": 0}, ValueError, r"`rank` must be in \[1, min"),
        ({"rank": 11}, ValueError, "got 11"),
        ({"rank": True}, TypeError, "`rank`"),
        ({"rank": 2.0}, TypeError, "`rank`"),
        ({"tolerance": 0.0}, ValueError, "`tolerance`"),
        ({"tolerance": 1.0}, ValueError, "`tolerance`"),
        ({"tolerance": math.nan}, ValueError, "`tolerance`"),
        ({"tolerance": "a"}, TypeError, "`tolerance`"),
        ({"method": "magic"}, ValueError, "`method` must be one of accelerated, simple"),
        ({"block_size": 0}, ValueError, "`block_size`"),
        ({"block_size": 2.5}, TypeError, "`block_size`"),
        ({"block_size": 3, "method": "greedy"}, ValueError, "one pivot at a time"),
        ({"rng": -1}, ValueError, "`rng`"),
        ({"rng": "a"}, TypeError, "`rng`"),
    ],
)
def test_arguments_out_of_range_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        qi.rp_cholesky(np.eye(10), **{"rank": 3, **options})


def test_answers_of_a_wrong_shape_are_refused():
    class Wrong(Asked):
        def query(self, rows, cols):
            return super().query(rows, cols)[:-1]

    with pytest.raises(ValueError, match=r"`A.query` must return an array of shape \(4,\)"):
        qi.rp_cholesky(Wrong(np.eye(4)), 2)
