"""Matrices with known singular values."""

from __future__ import annotations

import numpy as np


def with_values(values, m=400, skew=0.0, seed=1):
    rng = np.random.default_rng(seed)
    n = len(values)
    U, V = np.linalg.qr(rng.standard_normal((m, n)))[0], np.linalg.qr(rng.standard_normal((n, n)))[0]
    return np.exp(skew * rng.standard_normal(m))[:, None] * ((U * values) @ V.T)


def singular_values(A):
    return np.linalg.svd(np.asarray(A, dtype=np.float64), compute_uv=False)


def covers(found, truth, rounding=1e-9):
    slack = rounding * abs(truth)
    return found.low <= truth + slack and truth - slack <= found.high


def unit_rows(r, n, seed=0):
    B = np.random.default_rng(seed).standard_normal((r, n))
    return B / np.linalg.norm(B, axis=1, keepdims=True)


GAPPED = np.concatenate([np.geomspace(3.0, 1.0, 5), np.full(55, 0.15)])
SLOW = np.arange(1.0, 61.0) ** -0.5
