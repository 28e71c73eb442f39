"""Errors of a low-rank approximation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_count, check_dense, check_matrix, check_nonnegative, first_nonfinite
from qinspired.metrics._blocks import dense_blocks, multiply, power_scale

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["excess_error", "optimal_error", "projection_error", "subspace_angle"]

# Largest |V V^T - I| entry that single-precision factors show.
_ORTHONORMAL_TOLERANCE = 1e-4
# Below this squared relative error, |A|^2 - |A V|^2 would have lost half of its digits.
_CANCELLATION = 1e-8


def projection_error(A: npt.ArrayLike | sp.sparray, components: npt.ArrayLike) -> float:
    """Return |A - A V V^T|_F / |A|_F, the relative error of the projection on the span of the components.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    components : array_like, shape (k, n)
        V^T: orthonormal rows (to 1e-4).

    Returns
    -------
    float
        In [0, 1]; 0 for A = 0.

    Raises
    ------
    ValueError
        If an argument is not finite, the widths differ or the rows are not orthonormal.

    Notes
    -----
    Cost: 4 m n k operations for a dense A, 2 nnz k for a sparse one. A sparse A is made dense only by
    blocks of rows, and only where the error is below 1e-4.
    Error: float64 accumulation; relative 1e-8 or better.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.metrics import projection_error
    >>> projection_error(np.diag([3.0, 4.0]), [[0.0, 1.0]])
    0.6
    """
    matrix = check_matrix(A)
    V = _check_components(components, matrix.shape[1])
    gram = V @ V.T
    deviation = float(np.abs(gram - np.eye(len(V))).max())
    if deviation > _ORTHONORMAL_TOLERANCE:
        raise ValueError(
            f"`components` must have orthonormal rows; they deviate by {deviation:.1e}. Orthonormalise "
            "with `numpy.linalg.qr(components.T)[0].T`."
        )
    scale = power_scale(matrix)
    if scale == 0.0:
        return 0.0
    if sp.issparse(matrix):
        scaled = sp.csr_array(
            (matrix.data.astype(np.float64) / scale, matrix.indices, matrix.indptr), shape=matrix.shape
        )
        total = float(np.sum(scaled.data**2))
        P = multiply(scaled, V.T)
        # |A - P V^T|^2 for any V, orthonormal to rounding or not.
        error = total - 2.0 * float(np.sum(P * P)) + float(np.sum((P @ gram) * P))
        if error > _CANCELLATION * total:
            return float(np.sqrt(error / total))
    total = error = 0.0
    for block in dense_blocks(matrix):
        # A block may be a view of A, which must not change.
        scaled_block = block if scale == 1.0 else block / scale
        total += float(np.vdot(scaled_block, scaled_block))
        rest = scaled_block - (scaled_block @ V.T) @ V
        error += float(np.vdot(rest, rest))
    return float(np.sqrt(error / total))


def excess_error(A: npt.ArrayLike | sp.sparray, components: npt.ArrayLike, optimal_error: float) -> float:
    """Return |A - A V V^T|_F / |A - A_k|_F - 1, the relative excess over the best rank-k error.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    components : array_like, shape (k, n)
        V^T: orthonormal rows.
    optimal_error : float
        |A - A_k|_F / |A|_F > 0, as `optimal_error` returns it.

    Returns
    -------
    float
        At least 0 up to rounding, if `optimal_error` is that of rank k.

    Raises
    ------
    ValueError
        If `optimal_error` is not positive (the rank of A is at most k, and `projection_error` says all), or
        as `projection_error`.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.metrics import excess_error
    >>> round(excess_error(np.diag([4.0, 3.0]), [[0.0, 1.0]], optimal_error=0.6), 12)
    0.333333333333
    """
    best = check_nonnegative(optimal_error, "optimal_error")
    if best == 0.0:
        raise ValueError("`optimal_error` must be > 0, as the excess is relative to it; got 0. Use `projection_error`.")
    return projection_error(A, components) / best - 1.0


def optimal_error(singular_values: npt.ArrayLike, frobenius_norm: float, rank: int) -> float:
    """Return |A - A_k|_F / |A|_F, the error of the best approximation of rank k (Eckart and Young).

    Parameters
    ----------
    singular_values : array_like, shape (r,)
        The leading r >= k singular values of A, descending; all of them make a small error exact.
    frobenius_norm : float
        |A|_F > 0.
    rank : int
        k, in [1, r].

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the values are not finite, not descending or exceed the norm, or `rank` is outside [1, r].

    Notes
    -----
    Error: the mass outside the given values is |A|_F^2 minus their squares, which is exact to about 1e-16 of
    |A|_F^2; a remainder below that is taken as 0.

    Examples
    --------
    >>> from qinspired.metrics import optimal_error
    >>> optimal_error([4.0, 3.0], frobenius_norm=5.0, rank=1)
    0.6
    """
    s = np.asarray(singular_values, dtype=np.float64)
    if s.ndim != 1 or s.size == 0:
        raise ValueError(f"`singular_values` must be 1-dimensional and not empty; got shape {s.shape}.")
    if first_nonfinite(s) is not None or s.min() < 0.0 or (np.diff(s) > 0.0).any():
        raise ValueError("`singular_values` must be finite, >= 0 and descending; sort with `numpy.sort(s)[::-1]`.")
    norm = check_nonnegative(frobenius_norm, "frobenius_norm")
    if norm == 0.0:
        raise ValueError("`frobenius_norm` must be > 0; got 0.")
    k = check_count(rank, "rank", low=1)
    if k > len(s):
        raise ValueError(f"`rank` must be in [1, {len(s)}], the number of singular values given; got {k}.")
    relative = s / norm
    remainder = 1.0 - float(np.sum(relative**2))
    if remainder < -1e-5:
        raise ValueError(
            f"`frobenius_norm` must be at least that of `singular_values`, {np.linalg.norm(s):.9g}; got {norm}."
        )
    if remainder < 64 * np.finfo(np.float64).eps:
        remainder = 0.0
    return float(np.sqrt(np.sum(relative[k:] ** 2) + remainder))


def subspace_angle(V: npt.ArrayLike, W: npt.ArrayLike) -> float:
    """Return the largest principal angle, in radians, between the spans of the rows of V and W.

    Parameters
    ----------
    V, W : array_like, shapes (k, n) and (l, n)
        Linearly independent rows; they need not be orthonormal. If k differs from l, the angle is that
        between the smaller span and its closest part of the larger one.

    Returns
    -------
    float
        In [0, pi/2]. Small angles are accurate too (they come from a sine, not from an arccosine).

    Raises
    ------
    ValueError
        If an argument is not finite or the widths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.metrics import subspace_angle
    >>> round(subspace_angle([[1.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]) / np.pi, 12)
    0.25
    """
    import scipy.linalg

    first = check_matrix(V, "V")
    second = check_matrix(W, "W")
    if sp.issparse(first) or sp.issparse(second):
        raise TypeError("`V` and `W` must be dense arrays; convert them with `.toarray()`.")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"`V` and `W` must have the same width; got {first.shape} and {second.shape}.")
    left, right = first.T.astype(np.float64), second.T.astype(np.float64)
    return float(np.max(scipy.linalg.subspace_angles(left, right)))


def _check_components(components: Any, n_cols: int) -> Float64Array:
    if sp.issparse(components):
        raise TypeError("`components` must be a dense array; convert it with `.toarray()`.")
    V = check_dense(components, "components").astype(np.float64)
    if V.shape[1] != n_cols:
        hint = " Give V^T, one component a row." if V.shape[0] == n_cols else ""
        raise ValueError(
            f"`components` must have one column for each of the {n_cols} columns of `A`; got {V.shape}.{hint}"
        )
    where = first_nonfinite(V)
    if where is not None:
        raise ValueError(f"`components` must be finite; got {V[where]} at {where}.")
    return V
