"""Functions of matrices by their eigenvalues."""

from __future__ import annotations

import numpy as np


def with_spectrum(shape, values, rng, skew=0.0):
    m, n = shape
    k = len(values)
    U = np.linalg.qr(np.exp(skew * rng.standard_normal(m))[:, None] * rng.standard_normal((m, k)))[0]
    return (U * values) @ np.linalg.qr(rng.standard_normal((n, k)))[0].T


def exact(A, f):
    """f(A^T A) from numpy's SVD."""
    A = np.asarray(A, dtype=np.float64)
    _, sigma, Vt = np.linalg.svd(A, full_matrices=len(A) < A.shape[1])
    x = np.zeros(A.shape[1])
    x[: len(sigma)] = sigma**2
    return (Vt.T * f(x)) @ Vt


def relative(answer, truth):
    part = truth - answer.at_zero * np.eye(len(truth))
    return np.linalg.norm(answer.to_array() - truth) / np.linalg.norm(part)
