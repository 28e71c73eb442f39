"""Functions of A^T A from drawn rows, and from all rows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction
from qinspired.access import SampleQueryMatrix, as_sq_matrix, base_of, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.algorithms.functions._from_all_rows import from_all_rows
from qinspired.algorithms.functions._from_draws import from_draws
from qinspired.algorithms.functions._result import MatrixFunction
from qinspired.algorithms.functions._scalar_functions import scalar_function
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

if TYPE_CHECKING:
    from qinspired._typing import RNGLike
    from qinspired.algorithms.functions._spectrum import Answer

__all__ = ["matrix_function"]

_DRAWS = 1000
_ALL_ROWS_WORK = 2e9  # m n min(m, n): some 0.1 s

# A^T A has to be within the range of float64, and its smaller eigenvalues too.
_SMALLEST_NORM, _LARGEST_NORM = 1e-153, 1e154


def matrix_function(
    A: Any,
    f: Any,
    *,
    parameter: float | None = None,
    n_draws: int | None = None,
    tolerance: float | None = None,
    rng: RNGLike = None,
) -> MatrixFunction:
    """Matrix f(A^T A) of shape (n, n) for a function f of a non-negative number, from a few drawn rows of A.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    f : callable or {"ridge", "sqrt", "exp", "threshold"}
        A callable takes a float64 array of numbers >= 0 and returns as many real, finite ones; it must be defined at 0.
        "ridge" is 1 / (x + parameter), so that the answer is (A^T A + parameter I)^-1; "sqrt" is the root, |A|;
        "exp" is exp(parameter x); "threshold" is 1 where sqrt(x) >= parameter and 0 elsewhere, the projector on the
        right singular vectors whose singular value is at least the parameter.
    parameter : float, optional
        Of the named functions: > 0 for "ridge" and "threshold"; any number for "exp", -1 by default.
    n_draws : int, optional
        Number r of rows to draw, >= 2. With m or more, all rows are taken, each once. By default all rows if
        m n min(m, n) <= 2e9, else 1,000 draws, or as many as the tolerance needs.
    tolerance : float, optional
        Largest relative error, in (0, 1): rows are added to those drawn until the upper end of `error` is below it,
        and at last all rows are taken.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    MatrixFunction
        A symmetric linear operator with `matvec`, `query`, `trace`, `diagonal`, `combination`, `error` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, `A` is no finite real matrix or its whole rows cannot be read, or f gives
        something of a wrong shape, a complex number, a NaN or an infinity.
    ZeroMassError
        If all entries of `A` are zero.

    Warns
    -----
    ToleranceNotMetWarning
        If the certificate does not show the tolerance with `n_draws` draws, or with as many as can be solved.

    Notes
    -----
    With R the drawn rows, scaled by |A|_F / (sqrt(r) |row|), the answer is f(R^T R) = R^T Z R + f(0) I, where
    Z = g(R R^T) and g(x) = (f(x) - f(0)) / x [1]_.
    Cost: r draws, r + 160 rows read, about r q n + 15 q^3 operations with q = min(r, n); then 4 r n for a product.
    Nothing of size n^2 is formed, and sparse rows stay sparse if r < n.
    Error: where f is smooth on the scale of the drawn spectrum, as r^-1/2. `error` adds the disagreement of two halves
    of the draws, the bias that they show, and what held-out rows have in directions that no drawn row has. It is an
    estimate of first order, no bound: a feature in rows with less than about 3 / (r + 160) of |A|_F^2 may be unseen.
    From all rows it is 0, or a bound of what rounding can do where f is steep.

    References
    ----------
    .. [1] N.-H. Chia, A. Gilyen, T. Li, H.-H. Lin, E. Tang, C. Wang, "Sampling-based sublinear low-rank matrix
       arithmetic framework for dequantizing quantum machine learning", STOC 2020. Differs from [1]_: all columns of
       the drawn rows are used, so that Z is computed from R R^T and not from sampled columns of it.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((20_000, 300), 5, noise=0.1, rng=0)
    >>> inverse = qi.matrix_function(problem.A, "ridge", parameter=100.0, n_draws=1000, rng=0)
    >>> inverse.shape, inverse.method, inverse.stats.rows_read < 1200
    ((300, 300), 'drawn rows', True)
    >>> x = inverse @ np.ones(300)
    >>> exact = np.linalg.solve(problem.A.T @ problem.A + 100.0 * np.eye(300), np.ones(300))
    >>> bool(np.linalg.norm(x - exact) < 0.1 * np.linalg.norm(exact))
    True
    """
    function = scalar_function(f, parameter)
    if n_draws is not None:
        n_draws = check_count(n_draws, "n_draws", low=2)
    if tolerance is not None:
        tolerance = check_fraction(tolerance, "tolerance")
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    generator = as_generator(rng)
    _refuse_unreadable(matrix)
    meter = CostMeter(matrix, built_index=built_index)
    m, n = matrix.shape
    start = _DRAWS if n_draws is None else n_draws
    if n_draws is None and m * n * min(m, n) <= _ALL_ROWS_WORK:
        start = m
    found: Answer | None = None
    if start < m:
        found = from_draws(meter.matrix, function, start, tolerance if n_draws is None else None, generator)
    if found is None:
        found = from_all_rows(meter.matrix, function)
    status = found.status
    if tolerance is not None and found.error.high > tolerance:
        remedy = "use more draws" if found.method == "drawn rows" else "f is too steep for the precision of A"
        status += f", above the tolerance {tolerance:g}; {remedy} or a larger tolerance"
        warnings.warn(f"matrix_function: {status}.", ToleranceNotMetWarning, stacklevel=2)
    return MatrixFunction(
        rows=found.rows,
        weights=found.weights,
        eigenvalues=found.eigenvalues,
        increments=found.increments,
        at_zero=function.at_zero,
        error=found.error,
        function=function.label,
        method=found.method,
        status=status,
        stats=meter.read(),
        source=matrix,
        basis=found.basis,
    )


def _refuse_unreadable(A: SampleQueryMatrix) -> None:
    if not getattr(base_of(A), "whole_rows", True):
        raise ValueError(
            "`A` must let whole rows be read; this one has an `entry_bound`, which says that they are too long. Leave "
            "`entry_bound` out if a row fits, or use `low_rank(A, rank)`, which reads single entries."
        )
    norm = A.frobenius_norm
    if norm == 0.0:
        raise ZeroMassError("`A` must have a non-zero entry; of a zero matrix, f(A^T A) is f(0) times the identity.")
    if not _SMALLEST_NORM <= norm <= _LARGEST_NORM:
        raise ValueError(
            f"`A` must have a Frobenius norm in [{_SMALLEST_NORM:g}, {_LARGEST_NORM:g}], as f acts on squares; got "
            f"{norm:.3g}. Divide A by a constant c and use x -> f(c^2 x)."
        )
