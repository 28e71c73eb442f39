from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired.metrics import prediction_error, residual_error


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_errors_are_the_textbook_formulas(form, dtype):
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((30, 8)) * 5).astype(dtype)
    x, y, b = rng.standard_normal(8), rng.standard_normal(8), rng.standard_normal(30)
    wide = A.astype(np.float64)
    expected = np.linalg.norm(wide @ (x - y)) / np.linalg.norm(wide @ y)
    assert prediction_error(form(A), x, y) == pytest.approx(expected, rel=1e-12)
    assert residual_error(form(A), x, b) == pytest.approx(np.linalg.norm(wide @ x - b) / np.linalg.norm(b), rel=1e-12)


def test_squared_residual_splits_into_the_optimum_and_the_prediction_error():
    rng = np.random.default_rng(1)
    A, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    best = np.linalg.lstsq(A, b)[0]
    x = best + 0.1 * rng.standard_normal(8)
    avoidable = prediction_error(A, x, best) * np.linalg.norm(A @ best) / np.linalg.norm(b)
    assert residual_error(A, x, b) ** 2 == pytest.approx(residual_error(A, best, b) ** 2 + avoidable**2, rel=1e-12)


def test_zero_denominators_give_zero_or_infinity():
    A = np.eye(2)
    assert residual_error(A, [0.0, 0.0], [0.0, 0.0]) == 0.0
    assert residual_error(A, [1.0, 0.0], [0.0, 0.0]) == np.inf
    assert prediction_error(A, [0.0, 0.0], [0.0, 0.0]) == 0.0
    assert prediction_error(A, [1.0, 0.0], [0.0, 0.0]) == np.inf


def test_huge_vectors_do_not_overflow():
    assert residual_error(np.eye(2), [3e200, 0.0], [3e200, 4e200]) == pytest.approx(0.8, rel=1e-12)


@pytest.mark.parametrize(
    ("A", "x", "b", "match"),
    [
        ([[np.nan, 0], [0, 1]], [1, 1], [1, 1], "`A` must be finite"),
        (np.eye(2), [1, 1, 1], [1, 1], r"`x` must have shape \(2,\)"),
        (np.eye(2), [1, np.inf], [1, 1], r"`x` must be finite; got x\[1\]"),
        (np.eye(2), ["a", "b"], [1, 1], "`x` must be real numbers"),
        (np.eye(2), [1, 1j], [1, 1], "`x` must be real numbers"),
        (np.eye(2), [1, 1], [1, 1, 1], "`b` must have one entry"),
        (np.ones(2), [1, 1], [1, 1], "`A` must be 2-dimensional"),
    ],
)
def test_bad_input_is_refused(A, x, b, match):
    with pytest.raises(ValueError, match=match):
        residual_error(A, x, b)


def test_bad_exact_solution_is_named():
    with pytest.raises(ValueError, match=r"`x_exact` must have shape \(2,\)"):
        prediction_error(np.eye(2), [1, 1], [1])
