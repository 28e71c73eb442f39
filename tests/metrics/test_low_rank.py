from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.metrics import excess_error, optimal_error, projection_error, subspace_angle


def random_components(rng, k, n):
    return np.linalg.qr(rng.standard_normal((n, k)))[0].T


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(1, 30), n=st.integers(1, 30), k=st.integers(1, 30))
def test_projection_error_is_the_textbook_formula_for_dense_and_sparse(seed, m, n, k):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.5)
    V = random_components(rng, min(k, n), n)
    norm = np.linalg.norm(A)
    expected = np.linalg.norm(A - A @ V.T @ V) / norm if norm > 0 else 0.0
    assert projection_error(A, V) == pytest.approx(expected, abs=1e-12)
    assert projection_error(sp.csr_array(A), V) == pytest.approx(expected, abs=1e-12)
    assert projection_error(sp.coo_matrix(A), V) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("tail", [1e-3, 1e-5, 1e-7, 1e-12])
def test_small_errors_are_not_lost_to_cancellation(form, tail):
    rng = np.random.default_rng(0)
    V = random_components(rng, 3, 20)
    U = random_components(rng, 3, 40)
    A = U.T @ np.diag([1.0, 1.0, tail]) @ V
    expected = tail / np.sqrt(2.0 + tail**2)
    # An entry of A has an error of about 1e-16, 30 of which add up to some 1e-15.
    assert projection_error(form(A), V[:2]) == pytest.approx(expected, rel=1e-6, abs=3e-15)


def test_single_precision_is_accumulated_in_double():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((3000, 40)).astype(np.float32)
    V = random_components(rng, 5, 40)
    wide = A.astype(np.float64)
    expected = np.linalg.norm(wide - wide @ V.T @ V) / np.linalg.norm(wide)
    assert projection_error(A, V) == pytest.approx(expected, rel=1e-12)
    assert projection_error(sp.csr_array(A), V) == pytest.approx(expected, rel=1e-12)
    assert projection_error(A, V.astype(np.float32)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_huge_and_tiny_entries_neither_overflow_nor_vanish(form, scale):
    assert projection_error(form(np.diag([3.0, 4.0]) * scale), [[0.0, 1.0]]) == pytest.approx(0.6, rel=1e-12)


def test_blocks_do_not_change_the_error(monkeypatch):
    rng = np.random.default_rng(2)
    A, V = rng.standard_normal((50, 20)), random_components(rng, 4, 20)
    whole = projection_error(A, V)
    monkeypatch.setattr("qinspired.metrics._blocks._BLOCK_ENTRIES", 70)
    assert projection_error(A, V) == pytest.approx(whole, rel=1e-13)


def test_matrix_and_components_are_not_modified():
    A, V = np.diag([3e200, 4e200]), np.array([[0.0, 1.0]])
    projection_error(A, V)
    np.testing.assert_array_equal(A, np.diag([3e200, 4e200]))


def test_excess_is_zero_for_the_best_subspace_and_positive_for_another():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((30, 20))
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    best = optimal_error(s, np.linalg.norm(A), 4)
    assert excess_error(A, Vt[:4], best) == pytest.approx(0.0, abs=1e-12)
    assert excess_error(A, Vt[1:5], best) > 0.01


def test_zero_matrix_has_no_error():
    assert projection_error(np.zeros((3, 2)), [[1.0, 0.0]]) == 0.0
    assert projection_error(sp.csr_array((3, 2)), [[1.0, 0.0]]) == 0.0


@pytest.mark.parametrize("given_values", [[4.0, 2.0, 1.0], [4.0, 2.0], [4.0]])
def test_optimal_error_needs_only_the_leading_values(given_values):
    assert optimal_error(given_values, np.sqrt(21.0), 1) == pytest.approx(np.sqrt(5 / 21), rel=1e-14)


def test_optimal_error_of_full_rank_is_zero_and_tiny_tails_are_exact():
    assert optimal_error([4.0, 3.0], 5.0, 2) == 0.0
    assert optimal_error([1.0, 1e-12], np.hypot(1.0, 1e-12), 1) == pytest.approx(1e-12, rel=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-10, 0.3, np.pi / 2])
def test_subspace_angle_is_the_rotation_applied(angle):
    V = np.eye(4)[:2]
    W = np.array([[1.0, 0, 0, 0], [0, np.cos(angle), np.sin(angle), 0]])
    assert subspace_angle(V, W) == pytest.approx(angle, rel=1e-6, abs=1e-15)
    assert subspace_angle(3.0 * V, [[1.0, 1.0], [0.0, 2.0]] @ W) == pytest.approx(angle, rel=1e-6, abs=1e-15)


BAD_MATRICES = [
    (np.array([[1.0, np.nan]]), ValueError, r"`A` must be finite.*A\[0, 1\]"),
    (sp.csr_array(np.array([[1.0, np.inf]])), ValueError, "`A` must be finite"),
    (np.ones(2), ValueError, "`A` must be 2-dimensional"),
    (np.empty((0, 2)), ValueError, "at least one row"),
    (np.eye(2) * 1j, ValueError, "`A` must be real"),
    (np.array([["a", "b"]], dtype=object), ValueError, "`A` must be numeric"),
    (np.ma.masked_array(np.eye(2), mask=np.eye(2)), TypeError, "masked"),
]


@pytest.mark.parametrize(("A", "error", "match"), BAD_MATRICES)
def test_bad_matrix_is_refused(A, error, match):
    with pytest.raises(error, match=match):
        projection_error(A, [[1.0, 0.0]])


@pytest.mark.parametrize(
    ("components", "error", "match"),
    [
        ([[2.0, 0.0]], ValueError, "orthonormal rows; they deviate by 3.0e"),
        ([[1.0, 0.0, 0.0]], ValueError, "one column for each of the 2 columns"),
        (np.ones((2, 1)), ValueError, "Give V\\^T"),
        ([1.0, 0.0], ValueError, "`components` must be 2-dimensional"),
        ([[np.nan, 0.0]], ValueError, "`components` must be finite"),
        (sp.csr_array([[1.0, 0.0]]), TypeError, "dense array"),
    ],
)
def test_bad_components_are_refused(components, error, match):
    with pytest.raises(error, match=match):
        projection_error(np.eye(2), components)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([1.0, 2.0], 3.0, 1), "descending"),
        (([np.nan], 3.0, 1), "finite"),
        (([2.0, 1.0], 1.0, 1), "`frobenius_norm` must be at least"),
        (([2.0, 1.0], 0.0, 1), "`frobenius_norm` must be > 0"),
        (([2.0, 1.0], 3.0, 3), r"`rank` must be in \[1, 2\]"),
        (([2.0, 1.0], 3.0, 0), "`rank`"),
        (([], 3.0, 1), "not empty"),
    ],
)
def test_bad_spectrum_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        optimal_error(*arguments)


def test_excess_over_zero_and_angles_of_other_widths_are_refused():
    with pytest.raises(ValueError, match=r"`optimal_error` must be > 0.*`projection_error`"):
        excess_error(np.eye(2), [[1.0, 0.0]], 0.0)
    with pytest.raises(ValueError, match="same width"):
        subspace_angle(np.eye(2), np.eye(3))
    with pytest.raises(TypeError, match="dense arrays"):
        subspace_angle(sp.csr_array(np.eye(2)), np.eye(2))
