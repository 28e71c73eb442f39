from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

from qinspired.kernels import csr_perceptron, dense_perceptron

ETA, RATE, KEY = 0.3, 0.4, 12345


def problem(dtype: type, extra: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((9, 5)) * (rng.random((9, 5)) < 0.6)).astype(dtype)
    scales = np.where(rng.random(9) < 0.5, -0.5, 0.5)
    full = np.column_stack([X.astype(float), np.full(9, extra)]) * scales[:, None]
    return X, scales, full


def first_above(masses: np.ndarray, uniform: float) -> int:
    return int(np.argmax(np.cumsum(masses) > uniform * masses.sum()))


def by_formula(A: np.ndarray, first: int, count: int, w: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the published steps, in place; return the sums of the iterates and of the laws of the examples."""
    x_sum, p_sum = np.zeros(A.shape[1]), np.zeros(len(A))
    for t in range(first, first + count):
        numbers = oracles.uniforms(KEY, t)
        x = u / max(1.0, np.linalg.norm(u))
        x_sum += x
        p_sum += w / w.sum()
        i = first_above(w, next(numbers))
        if x.any():
            j = first_above(x**2, next(numbers))
            v = np.clip(A[:, j] * (x @ x) / x[j], -1.0 / ETA, 1.0 / ETA)
            w *= 1.0 - ETA * v + ETA**2 * v**2
        u += RATE * A[i]
    return x_sum, p_sum


def taken(X: np.ndarray, scales: np.ndarray, extra: float, sparse: bool, cuts: list[int], w: Any, u: Any) -> Any:
    x_sum, p_sum = np.zeros(len(u)), np.zeros(len(w))
    arrays: tuple[Any, ...] = (X, np.ascontiguousarray(X.T))
    if sparse:
        rows, cols = sp.csr_array(X), sp.csc_array(X)
        arrays = tuple(
            a.astype(np.int64) if a.dtype.kind == "i" else a
            for each in (rows, cols)
            for a in (each.data, each.indices, each.indptr)
        )
    step = csr_perceptron if sparse else dense_perceptron
    for first, end in pairwise(cuts):
        step(*arrays, scales, extra, ETA, RATE, first, end - first, np.uint64(KEY), w, u, x_sum, p_sum)
    return x_sum, p_sum


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("extra", [0.0, 0.7])
def test_steps_are_those_of_the_formula(dtype: type, sparse: bool, extra: float) -> None:
    X, scales, A = problem(dtype, extra)
    w, u = np.ones(9), np.zeros(6)
    wanted = by_formula(A, 0, 80, w, u)
    w_found, u_found = np.ones(9), np.zeros(6)
    found = taken(X, scales, extra, sparse, [0, 1, 30, 80], w_found, u_found)
    for one, other in zip((w_found, u_found, *found), (w, u, *wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert np.ptp(w) > 1.0


@pytest.mark.parametrize("size", [1e120, 1e-120])
@pytest.mark.parametrize("sparse", [False, True])
def test_weights_that_would_overflow_are_scaled_without_another_draw(size: float, sparse: bool) -> None:
    X, scales, _ = problem(np.float64, 0.7)
    plain, scaled = (np.linspace(1.0, 2.0, 9) * factor for factor in (1.0, size))
    u, u_scaled = np.full(6, 0.1), np.full(6, 0.1)
    one = taken(X, scales, 0.7, sparse, [0, 60], plain, u)
    other = taken(X, scales, 0.7, sparse, [0, 60], scaled, u_scaled)
    np.testing.assert_allclose(u_scaled, u, rtol=1e-9)
    np.testing.assert_allclose(other[1], one[1], rtol=1e-9)
    np.testing.assert_allclose(scaled / scaled.sum(), plain / plain.sum(), rtol=1e-9)
    assert 1e-50 < scaled.sum() < 1e50


def test_rows_of_zeros_move_nothing() -> None:
    w, u = np.ones(4), np.zeros(3)
    x_sum, p_sum = taken(np.zeros((4, 2)), np.ones(4), 0.0, False, [0, 10], w, u)
    np.testing.assert_array_equal(w, 1.0)
    assert not u.any()
    assert not x_sum.any()
    np.testing.assert_allclose(p_sum, 2.5)
