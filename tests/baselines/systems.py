"""Small systems shared by the tests of the quantum baselines."""

from __future__ import annotations

import numpy as np

PI = np.pi


def toeplitz(n):
    return np.eye(n) - (np.eye(n, k=1) + np.eye(n, k=-1)) / 3.0


def first(n):
    return np.eye(n)[0]


def random_orthogonal(rng, n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def sine(T):
    """The sine window of T clock states."""
    return np.sqrt(2 / T) * np.sin(PI * (np.arange(T) + 0.5) / T)
