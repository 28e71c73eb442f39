"""Positive semi-definite matrices to factor."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

METHODS = ("accelerated", "simple", "block", "greedy", "uniform")


def psd(n, rank, rng, dtype=np.float64):
    G = rng.standard_normal((n, rank))
    return (G @ G.T).astype(dtype)


def residual_of(A, approx):
    F = np.asarray(approx.factor, dtype=np.float64)
    dense = A.toarray() if sp.issparse(A) else np.asarray(A, dtype=np.float64)
    return dense - F @ F.T


class Asked:
    """The lightest input: entries only, counted."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.dtype, self.n_asked = matrix, matrix.shape, matrix.dtype, 0

    def query(self, rows, cols):
        values = self.matrix[rows, cols]
        self.n_asked += values.size
        return values
