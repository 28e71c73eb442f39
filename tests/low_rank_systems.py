"""Wide systems and systems of low rank, with their exact solutions from numpy alone."""

from __future__ import annotations

import numpy as np


def cell(rank, kappa):
    """Return the published 1000 x 500 system of this rank and condition number, and its solution of unit norm."""
    rng = np.random.default_rng(100 * rank + kappa)
    U = np.linalg.qr(rng.standard_normal((1000, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((500, rank)))[0]
    A = (U * np.geomspace(1, 1 / kappa, rank)) @ V.T
    x = V @ rng.standard_normal(rank)
    x /= np.linalg.norm(x)
    return A, A @ x, x


def system(shape, rank, *, noise=0.0, tail=0.0, skew=0.0, rng):
    """Return A of low rank plus a tail of all directions, rows scaled log-normally, and b near its range."""
    left = rng.standard_normal((shape[0], rank)) * np.exp(skew * rng.standard_normal(shape[0]))[:, None]
    A = left @ rng.standard_normal((rank, shape[1]))
    A /= np.linalg.norm(A)
    rest = rng.standard_normal(shape)
    A += tail * rest / np.linalg.norm(rest)
    fitted = A @ (A.T @ rng.standard_normal(shape[0]))
    spread = rng.standard_normal(shape[0])
    b = fitted / np.linalg.norm(fitted) + noise * spread / np.linalg.norm(spread)
    return A, b


def exact(A, b, ridge=0.0):
    """Return the solution of least norm, by numpy's singular value decomposition."""
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    kept = s > 1e-10 * s[0]
    return Vt[kept].T @ (s[kept] / (s[kept] ** 2 + ridge) * (U[:, kept].T @ b))


def exact_of_rank(A, b, rank):
    """Return the solution of least norm for a matrix of exactly this rank, which any 50 of its rows show."""
    V = np.linalg.svd(A[:50], full_matrices=False)[2][:rank].T
    return V @ np.linalg.lstsq(A @ V, b)[0]


def prediction_error(A, x, best):
    return np.linalg.norm(A @ (x - best)) / np.linalg.norm(A @ best)


def residual(A, b, x):
    return np.linalg.norm(A @ x - b) / np.linalg.norm(b)
