"""Removal of an unpenalised intercept and of sample weights from a ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray

__all__ = ["RidgeProblem", "ridge_problem"]

# Entries of a block of rows that is converted to float64 at a time: 8 MB.
_BLOCK_ENTRIES = 1_000_000


@dataclass(frozen=True, slots=True)
class RidgeProblem:
    """Minimise |A w - b|^2 + alpha |w|^2; the intercept is then y_mean - x_mean w.

    Attributes
    ----------
    A : ndarray or CSR array, shape (m, n) or (m, n + 1)
        Weighted rows, centred if dense. If sparse and not centred, with a last column for the intercept.
    b : ndarray, shape (m, t)
        Weighted, centred targets.
    x_mean, y_mean : ndarray, shapes (n,) and (t,)
        Weighted means; zero without an intercept.
    """

    A: Any
    b: Float64Array
    x_mean: Float64Array
    y_mean: Float64Array


def ridge_problem(
    X: Any, y: Float64Array, weights: Float64Array | None, *, alpha: float, fit_intercept: bool, tol: float
) -> RidgeProblem:
    """Return the problem without intercept and weights; dense X is copied if it has either."""
    if weights is not None and not weights.all():
        kept = weights > 0
        X, y, weights = X[kept], y[kept], weights[kept]
    is_sparse: bool = sp.issparse(X)
    if is_sparse:
        X = sp.csr_array(X)
    m, n = X.shape
    root = None if weights is None else np.sqrt(weights)
    if not fit_intercept:
        b = y if root is None else y * root[:, None]
        return RidgeProblem(_weighted(X, root), b, np.zeros(n), np.zeros(y.shape[1]))
    shares = np.full(m, 1.0 / m) if weights is None else weights / weights.sum()
    x_mean = _weighted_mean(X, shares)
    # The mean of equal targets is exact: what its rounding would leave of them no relative tolerance can be met for.
    y_mean: Float64Array = np.where((y == y[0]).all(axis=0), y[0], shares @ y)
    b = y - y_mean
    if root is not None:
        b *= root[:, None]
    if is_sparse:
        A = _weighted(X, root)
        scale = _intercept_scale(X, shares, x_mean, alpha=alpha, tol=tol)
        if scale > 0.0:
            column = np.full(m, scale) if root is None else scale * root
            A = sp.hstack([A, sp.csr_array(column[:, None].astype(X.dtype))], format="csr")
    else:
        A = X - x_mean.astype(X.dtype)
        if root is not None:
            A *= root[:, None].astype(X.dtype)
    return RidgeProblem(A, b, x_mean, y_mean)


def _weighted(X: Any, root: Float64Array | None) -> Any:
    if root is None:
        return X
    is_sparse: bool = sp.issparse(X)
    if is_sparse:
        data = X.data * np.repeat(root, np.diff(X.indptr)).astype(X.dtype)
        return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)
    return X * root[:, None].astype(X.dtype)


def _weighted_mean(X: Any, shares: Float64Array) -> Float64Array:
    """Return the weighted mean row in float64, without a float64 copy of a dense X."""
    is_sparse: bool = sp.issparse(X)
    if is_sparse:
        return np.asarray(X.T @ shares, dtype=np.float64)
    mean = np.zeros(X.shape[1])
    step = max(1, _BLOCK_ENTRIES // X.shape[1])
    for start in range(0, len(X), step):
        mean += shares[start : start + step] @ X[start : start + step].astype(np.float64, copy=False)
    return mean


def _intercept_scale(
    X: sp.csr_array[Any], shares: Float64Array, x_mean: FloatArray, *, alpha: float, tol: float
) -> float:
    """Return the factor c of the constant column that stands for the intercept.

    The intercept c beta is penalised by alpha beta^2, which acts as centring by a slightly shrunk mean. In
    the norm of the objective the solution is off by at most |x_mean|^2 / c^2 of its own norm, for any alpha.
    A larger c hides the other columns from draws by squared norm: Kaczmarz fails at c^2 = 1e6 |x_mean|^2.
    """
    unit = float(np.abs(X.data).max(initial=0.0)) or 1.0  # squares of the entries neither overflow nor underflow
    mean_sq = float((x_mean / unit) @ (x_mean / unit))
    row_shares = np.repeat(shares, np.diff(X.indptr))
    typical_sq = float(row_shares @ (X.data.astype(np.float64) / unit) ** 2) / X.shape[1]
    ratio = 100.0 / tol if alpha > 0.0 else 1.0
    return unit * float(np.sqrt(max(ratio * mean_sq, typical_sq)))
