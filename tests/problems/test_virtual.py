from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import qinspired as qi

VALUES = np.array([3.0, 2.0, 0.5, 0.25])
SMALL = qi.problems.virtual_low_rank_matrix((30, 20), VALUES)


def formed(problem):
    m, n = problem.shape
    return problem.rows(np.arange(m)), problem.left_vectors(np.arange(m)), problem.right_vectors(np.arange(n))


def test_the_modes_are_orthonormal_and_the_singular_values_as_given():
    A, U, V = formed(SMALL)
    np.testing.assert_allclose(U.T @ U, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(V.T @ V, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(A, (U * VALUES) @ V.T, atol=1e-14)
    np.testing.assert_allclose(np.linalg.svd(A, compute_uv=False)[:4], VALUES, rtol=1e-13)


def test_the_modes_are_those_of_scipys_cosine_transform():
    from scipy.fft import idct

    basis = idct(np.eye(30), type=2, norm="ortho", axis=0)
    np.testing.assert_allclose(SMALL.left_vectors(np.arange(30)), basis[:, 1:5], atol=1e-14)


def test_norms_and_bounds_are_those_of_the_formed_matrix():
    A = formed(SMALL)[0]
    rows = np.arange(30)
    norms = np.linalg.norm(A, axis=1)
    np.testing.assert_allclose(SMALL.row_norms(rows), norms, rtol=1e-12)
    assert SMALL.frobenius_norm == pytest.approx(np.linalg.norm(A), rel=1e-13)
    assert norms.max() <= SMALL.norm_bound
    assert (np.abs(A).max(axis=1) <= SMALL.entry_bound(rows) * (1 + 1e-14)).all()
    # Neither bound is loose: row norms vary by less than two, and some entry comes near its bound.
    assert norms.max() > 0.6 * SMALL.norm_bound
    assert (np.abs(A).max(axis=1) / SMALL.entry_bound(rows)).max() > 0.9


def test_entries_broadcast_as_indices_of_an_array_do():
    A = formed(SMALL)[0]
    rows, cols = np.array([3, 29, 0]), np.array([19, 0, 7])
    np.testing.assert_allclose(SMALL.entries(rows, cols), A[rows, cols], atol=1e-14)
    np.testing.assert_allclose(SMALL.entries(rows[:, None], cols[None, :2]), A[np.ix_(rows, cols[:2])], atol=1e-14)
    np.testing.assert_allclose(
        SMALL.entries(rows[:, None], np.tile(cols, (3, 1))), A[rows[:, None], cols[None]], atol=1e-14
    )
    assert SMALL.entries(3, 4) == pytest.approx(A[3, 4])


def test_long_rows_are_computed_in_parts(monkeypatch):
    monkeypatch.setattr("qinspired.problems._virtual._BLOCK_ENTRIES", 12)
    np.testing.assert_allclose(SMALL.rows([1, 2]), SMALL.entries(np.array([[1], [2]]), np.arange(20)[None]), atol=1e-15)


def test_entries_of_a_billion_rows_are_right_to_the_last_digits():
    m, p = 10**9, 3000
    problem = qi.problems.virtual_low_rank_matrix((m, m), np.ones(p))
    i = 876_543_210
    # The phase as a fraction of a turn, exactly; the cosine of what is left loses nothing.
    turns = [Fraction((order + 1) * (2 * i + 1), 4 * m) % 1 for order in range(p)]
    wanted = np.sqrt(2 / m) * np.cos([2 * np.pi * float(turn) for turn in turns])
    np.testing.assert_allclose(problem.left_vectors(i), wanted, rtol=0, atol=4e-15 * np.sqrt(2 / m))
    naive = np.sqrt(2 / m) * np.cos(np.pi * np.arange(1, p + 1) * (2 * i + 1) / (2 * m))
    assert np.abs(naive - wanted).max() > 4e-14 * np.sqrt(2 / m)
    # Symmetric about the middle for odd orders, antisymmetric for even ones.
    mirrored = problem.left_vectors(m - 1 - i) * (-1.0) ** np.arange(1, p + 1)
    np.testing.assert_allclose(mirrored, wanted, rtol=0, atol=4e-15 * np.sqrt(2 / m))


def test_the_error_of_a_skeleton_is_that_of_the_formed_matrices():
    A = formed(SMALL)[0]
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 30, 7), rng.integers(0, 20, 5)
    core = rng.standard_normal((5, 7))
    wanted = np.linalg.norm(A - A[:, cols] @ core @ A[rows]) / np.linalg.norm(A)
    assert SMALL.skeleton_error(rows, cols, core) == pytest.approx(wanted, rel=1e-12)


def test_the_best_error_of_a_rank_is_that_of_the_singular_values_left_out():
    assert SMALL.optimal_error(2) == pytest.approx(np.hypot(0.5, 0.25) / np.linalg.norm(VALUES))
    assert SMALL.optimal_error(4) == 0.0


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_sizes_whose_squares_leave_the_range_of_floats_are_no_trouble(scale):
    problem = qi.problems.virtual_low_rank_matrix((30, 20), VALUES * scale)
    np.testing.assert_allclose(problem.row_norms(np.arange(30)) / scale, SMALL.row_norms(np.arange(30)), rtol=1e-13)
    assert problem.frobenius_norm / scale == pytest.approx(SMALL.frobenius_norm)
    assert problem.optimal_error(2) == pytest.approx(SMALL.optimal_error(2))
    core = np.ones((1, 1)) / scale
    assert problem.skeleton_error([3], [4], core) == pytest.approx(SMALL.skeleton_error([3], [4], core * scale))


@pytest.mark.parametrize(
    ("shape", "values", "error", "message"),
    [
        ((30, 20), [], ValueError, r"`singular_values` must be at least 1 and fewer than min\(m, n\) = 20"),
        ((30, 4), VALUES, ValueError, r"fewer than min\(m, n\) = 4, the modes there are; got 4"),
        ((30, 20), VALUES[::-1], ValueError, "`singular_values` must be descending"),
        ((30, 20), [1.0, 0.0], ValueError, "`singular_values` must be finite and > 0"),
        ((30, 20), [np.nan], ValueError, "`singular_values` must be finite and > 0"),
        ((30, 20), [[2.0, 1.0]], ValueError, r"`singular_values` must have shape \(2,\)"),
        ((30,), VALUES, ValueError, r"`shape` must be a pair \(m, n\)"),
        ((30.0, 20), VALUES, TypeError, r"`shape\[0\]` must be an integer"),
        ((2**61, 20), VALUES, ValueError, r"`shape` must keep 2 p max\(m, n\) below 2\^63"),
    ],
)
def test_bad_arguments_are_refused(shape, values, error, message):
    with pytest.raises(error, match=message):
        qi.problems.virtual_low_rank_matrix(shape, values)


def test_indices_out_of_range_are_refused():
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 30\); got 30"):
        SMALL.row_norms([30])
    with pytest.raises(IndexError, match=r"`cols` must hold indices in \[0, 20\); got -1"):
        SMALL.entries([0], [-1])


def test_the_problem_does_not_change_with_the_values_it_was_made_from():
    values = VALUES.copy()
    problem = qi.problems.virtual_low_rank_matrix((30, 20), values)
    values[0] = 100.0
    assert problem.singular_values[0] == 3.0
    with pytest.raises(ValueError, match="read-only"):
        problem.singular_values[0] = 1.0
