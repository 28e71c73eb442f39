"""Streams of rows, their sketches, and what must hold of them."""

from __future__ import annotations

import math

import numpy as np

import qinspired as qi


def noisy(m=400, n=60, rank=6, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n)) + noise * rng.standard_normal((m, n))


def sketched(A, size, *, block=37, dtype=np.float64, as_block=np.asarray):
    sketch = qi.FrequentDirections(A.shape[1], size, dtype=dtype)
    for start in range(0, len(A), block):
        sketch.update(as_block(A[start : start + block]))
    return sketch


def losses(A, B):
    """Return the eigenvalues of (A^T A - B^T B) / |A|_F^2, ascending."""
    norm = np.linalg.norm(A)
    A, B = A.astype(np.float64) / norm, B.astype(np.float64) / norm
    return np.linalg.eigvalsh(A.T @ A - B.T @ B)


def assert_bounds(A, sketch, rounding=1e-13):
    """0 <= |Ax|^2 - |Bx|^2 <= Delta <= |A - A_k|_F^2 / (l + 1 - k), as shares of |A|_F^2."""
    norm = np.linalg.norm(A)
    loss, delta = losses(A, sketch.sketch), sketch.shrinkage / norm / norm
    assert len(sketch.sketch) <= sketch.sketch_size
    assert loss[0] >= -rounding
    assert loss[-1] <= delta + rounding
    tails = 1.0 - np.cumsum(np.r_[0.0, np.linalg.svd(A / norm, compute_uv=False) ** 2])
    for k, tail in enumerate(tails[: sketch.sketch_size + 1]):
        assert delta <= tail / (sketch.sketch_size + 1 - k) + rounding


def true_errors(A, components):
    """Return |A - A V V^T|_F / |A|_F and the least possible one."""
    A = A / np.abs(A).max()
    V = np.linalg.qr(components.T.astype(np.float64))[0]
    norm = np.linalg.norm(A)
    left_out = np.linalg.svd(A / norm, compute_uv=False)[V.shape[1] :]
    return float(np.linalg.norm((A - (A @ V) @ V.T) / norm)), float(np.linalg.norm(left_out))


def assert_certified(A, approx):
    V = approx.components.astype(np.float64)
    tight = 100 * np.finfo(approx.dtype).eps
    np.testing.assert_allclose(V @ V.T, np.eye(len(V)), atol=tight)
    error, best = true_errors(A, approx.components)
    assert approx.error.low <= approx.error.value <= approx.error.high
    assert approx.error.low - 1e-14 <= error <= approx.error.high + 1e-14
    assert approx.error.low <= best + 1e-14
    assert approx.error.confidence == approx.excess.confidence == 1.0
    law = math.sqrt((approx.sketch_size + 1) / (approx.sketch_size + 1 - approx.rank)) - 1.0
    if approx.error.high > 1e4 * np.finfo(approx.dtype).eps:
        law += tight / approx.error.low  # what rounding adds to the bounds, 16 to 50 eps |A|_F, beside the error
        assert approx.excess.low <= approx.excess.value <= approx.excess.high <= law * (1 + 1e-3) + 1e-6
        assert error / best - 1.0 <= approx.excess.high + 1e-9
    norm = np.linalg.norm(A)
    values = np.linalg.svd(A / norm, compute_uv=False)[: approx.rank]
    assert np.all((approx.singular_values / norm) ** 2 <= values**2 + tight)
    assert np.all(values <= approx.singular_values_high / norm + tight)


class Rescaled:
    def __init__(self, sketch, factor):
        self.sketch, self.sketch_size = sketch.sketch / factor, sketch.sketch_size
        self.shrinkage = sketch.shrinkage / factor / factor
