"""Least squares by LAPACK, normal equations, Krylov methods and scikit-learn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction, check_matrix, check_nonnegative, check_vector
from qinspired.baselines._results import LeastSquaresResult, refuse_overflow
from qinspired.baselines._svd import DENSE_ENTRIES, _check_choice

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, RNGLike

__all__ = ["exact_least_squares", "lsmr", "lsqr", "normal_equations", "ridge"]

Driver: TypeAlias = Literal["gelsd", "gelsy", "gelss"]
RidgeSolver: TypeAlias = Literal["auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga"]

# Rows of float64 held at a time while A^T A is summed: 32 MB.
_BLOCK_ENTRIES = 4_000_000


def exact_least_squares(
    A: npt.ArrayLike | sp.sparray,
    b: npt.ArrayLike,
    *,
    ridge: float = 0.0,
    driver: Driver = "gelsd",
    rcond: float | None = None,
) -> LeastSquaresResult:
    """Return the minimum-norm solution of min |A x - b|^2 + ridge |x|^2 by an orthogonal factorisation.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    b : array_like, shape (m,)
        Right-hand side.
    ridge : float
        Penalty, >= 0; handled as the rows sqrt(ridge) I below A, never by squaring A.
    driver : {"gelsd", "gelsy", "gelss"}
        LAPACK routine: divide-and-conquer SVD, complete orthogonal factorisation, SVD.
    rcond : float, optional
        Singular values below rcond s_1 count as zero; by default max(m, n) eps of float64. A low-rank
        matrix stored in float32 has a tail of about 1e-7 s_1, which only an `rcond` above it leaves out.

    Returns
    -------
    LeastSquaresResult
        Computed in float64.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix, `b` does not match it, a parameter is out of its range, or a
        sparse A has more than 50 million entries.

    Notes
    -----
    Cost: O(m n min(m, n)) time and a float64 copy of A (and n more rows if `ridge` > 0).

    Examples
    --------
    >>> from qinspired.baselines import exact_least_squares
    >>> exact_least_squares([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [3.0, 4.0, 5.0]).x.round(12).tolist()
    [3.0, 2.0]
    """
    import scipy.linalg

    matrix, rhs, penalty = _check(A, b, ridge)
    _check_choice(driver, "driver", get_args(Driver))
    n_rows, n_cols = matrix.shape
    # LAPACK's own default, eps, would invert the rounding noise of an exactly low-rank matrix.
    cut = max(n_rows, n_cols) * np.finfo(np.float64).eps if rcond is None else check_nonnegative(rcond, "rcond")
    if sp.issparse(matrix) and np.prod(matrix.shape, dtype=np.float64) > DENSE_ENTRIES:
        raise ValueError(
            f"`A` must have at most {DENSE_ENTRIES} entries to be made dense; got shape {matrix.shape}. "
            "Use `lsqr` or `lsmr`."
        )
    started = time.perf_counter()
    extra = n_cols if penalty > 0.0 else 0
    stacked = np.zeros((n_rows + extra, n_cols), order="F")  # LAPACK's order: it then works in place
    stacked[:n_rows] = matrix.toarray() if sp.issparse(matrix) else matrix
    stacked[n_rows:].flat[:: n_cols + 1] = np.sqrt(penalty)
    target = np.concatenate((rhs, np.zeros(extra)))
    x = scipy.linalg.lstsq(
        stacked,
        target,
        cond=cut,
        lapack_driver=driver,
        overwrite_a=True,
        overwrite_b=True,
        check_finite=False,
    )[0]
    return _result(x, started, f"LAPACK {driver}")


def normal_equations(A: npt.ArrayLike | sp.sparray, b: npt.ArrayLike, *, ridge: float = 0.0) -> LeastSquaresResult:
    """Return the solution of (A^T A + ridge I) x = A^T b by Cholesky, or of its dual if m < n and ridge > 0.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    b : array_like, shape (m,)
        Right-hand side.
    ridge : float
        Penalty, >= 0; must be > 0 where A lacks full column rank.

    Returns
    -------
    LeastSquaresResult
        Computed in float64.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix, `b` does not match it, or the equations are singular to
        rounding.

    Notes
    -----
    Cost: O(m n min(m, n)) time at the speed of matrix products, memory min(m, n)^2; no copy of A.
    Error: loses twice the digits of the condition number of A; kappa must be below about 1e7.

    Examples
    --------
    >>> from qinspired.baselines import normal_equations
    >>> normal_equations([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [3.0, 4.0, 5.0]).x.round(12).tolist()
    [3.0, 2.0]
    """
    import scipy.linalg

    matrix, rhs, penalty = _check(A, b, ridge)
    n_rows, n_cols = matrix.shape
    dual = n_rows < n_cols and penalty > 0.0
    started = time.perf_counter()
    side: Any = matrix.T if dual else matrix
    G = _gram(side)
    G.flat[:: len(G) + 1] += penalty
    right = rhs if dual else np.asarray(matrix.T @ rhs, dtype=np.float64)
    singular = ValueError(
        f"`A` must have full column rank for the normal equations with ridge={penalty}; A^T A is singular to "
        "rounding. Give a `ridge` > 0 or use `exact_least_squares`."
    )
    try:
        factor, lower = scipy.linalg.cho_factor(G, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError as error:
        raise singular from error
    diagonal = np.diagonal(factor)
    if (float(diagonal.min()) / float(diagonal.max())) ** 2 < len(G) * np.finfo(np.float64).eps:
        raise singular
    x = scipy.linalg.cho_solve((factor, lower), right, check_finite=False)
    if dual:
        x = matrix.T @ x
    return _result(x, started, "Cholesky of A A^T (dual)" if dual else "Cholesky of A^T A")


def lsqr(
    A: npt.ArrayLike | sp.sparray,
    b: npt.ArrayLike,
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-10,
    max_iter: int | None = None,
) -> LeastSquaresResult:
    """Return the least-squares solution by Lanczos bidiagonalisation: scipy's `lsqr`.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    b : array_like, shape (m,)
        Right-hand side.
    ridge : float
        Penalty, >= 0 (scipy's damp squared).
    tolerance : float
        Relative accuracy asked of A and b (scipy's atol and btol), in (0, 1).
    max_iter : int, optional
        By default 4 min(m, n) + 100.

    Returns
    -------
    LeastSquaresResult
        With the iterations and whether it converged. Computed in float64: a float32 A is converted.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix, `b` does not match it, or a parameter is out of its range.

    Notes
    -----
    Cost: two products with A an iteration.

    Examples
    --------
    >>> from qinspired.baselines import lsqr
    >>> lsqr([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [3.0, 4.0, 5.0]).x.round(9).tolist()
    [3.0, 2.0]
    """
    import scipy.sparse.linalg as spla

    matrix, rhs, penalty = _check(A, b, ridge)
    tol = check_fraction(tolerance, "tolerance")
    limit = _iterations(max_iter, matrix.shape)
    started = time.perf_counter()
    found = spla.lsqr(
        matrix.astype(np.float64, copy=False), rhs, damp=np.sqrt(penalty), atol=tol, btol=tol, iter_lim=limit
    )
    return _result(found[0], started, f"scipy lsqr, tolerance={tol:g}", int(found[2]), converged=found[1] != 7)


def lsmr(
    A: npt.ArrayLike | sp.sparray,
    b: npt.ArrayLike,
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-10,
    max_iter: int | None = None,
) -> LeastSquaresResult:
    """Return the least-squares solution by a minimal-residual bidiagonalisation: scipy's `lsmr`.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    b : array_like, shape (m,)
        Right-hand side.
    ridge : float
        Penalty, >= 0 (scipy's damp squared).
    tolerance : float
        Relative accuracy asked of A and b (scipy's atol and btol), in (0, 1).
    max_iter : int, optional
        By default 4 min(m, n) + 100.

    Returns
    -------
    LeastSquaresResult
        With the iterations and whether it converged. Computed in float64: a float32 A is converted.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix, `b` does not match it, or a parameter is out of its range.

    Notes
    -----
    Cost: two products with A an iteration.

    Examples
    --------
    >>> from qinspired.baselines import lsmr
    >>> lsmr([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [3.0, 4.0, 5.0]).x.round(9).tolist()
    [3.0, 2.0]
    """
    import scipy.sparse.linalg as spla

    matrix, rhs, penalty = _check(A, b, ridge)
    tol = check_fraction(tolerance, "tolerance")
    limit = _iterations(max_iter, matrix.shape)
    started = time.perf_counter()
    found = spla.lsmr(
        matrix.astype(np.float64, copy=False), rhs, damp=np.sqrt(penalty), atol=tol, btol=tol, maxiter=limit
    )
    return _result(found[0], started, f"scipy lsmr, tolerance={tol:g}", int(found[2]), converged=found[1] != 7)


def ridge(
    A: npt.ArrayLike | sp.sparray,
    b: npt.ArrayLike,
    *,
    ridge: float = 1.0,
    solver: RidgeSolver = "auto",
    tolerance: float = 1e-4,
    rng: RNGLike = None,
) -> LeastSquaresResult:
    """Return the solution of min |A x - b|^2 + ridge |x|^2 by scikit-learn's `Ridge`, without an intercept.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    b : array_like, shape (m,)
        Right-hand side.
    ridge : float
        Penalty, > 0 (scikit-learn's alpha).
    solver : {"auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga"}
        As in scikit-learn.
    tolerance : float
        Of an iterative solver (scikit-learn's tol), in (0, 1).
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the order of the rows in "sag" and "saga".

    Returns
    -------
    LeastSquaresResult
        `n_iter` where scikit-learn reports it.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix, `b` does not match it, a parameter is out of its range, or
        "svd" is asked of a sparse A.

    Examples
    --------
    >>> from qinspired.baselines import ridge
    >>> ridge([[1.0, 0.0], [0.0, 2.0]], [3.0, 4.0], ridge=1.0).x.round(9).tolist()
    [1.5, 1.6]
    """
    from sklearn.linear_model import Ridge

    matrix, rhs, penalty = _check(A, b, ridge)
    _check_choice(solver, "solver", get_args(RidgeSolver))
    if penalty == 0.0:
        raise ValueError("`ridge` must be > 0 for scikit-learn's Ridge; got 0. Use `exact_least_squares`.")
    if solver == "svd" and sp.issparse(matrix):
        raise ValueError("`solver` must not be 'svd' for a sparse matrix; use 'auto' or 'sparse_cg'.")
    model = Ridge(
        alpha=penalty,
        fit_intercept=False,
        solver=solver,
        tol=check_fraction(tolerance, "tolerance"),
        random_state=int(as_generator(rng).integers(2**32)),
    )
    started = time.perf_counter()
    model.fit(matrix, rhs)
    iterations = None if model.n_iter_ is None else int(np.max(model.n_iter_))
    return _result(model.coef_, started, f"scikit-learn Ridge, {model.solver_}", iterations)


def _check(A: Any, b: Any, ridge: Any) -> tuple[FloatArray | sp.csr_array[Any], Float64Array, float]:
    matrix = check_matrix(A)
    return matrix, check_vector(b, matrix.shape[0], "b"), check_nonnegative(ridge, "ridge")


def _iterations(max_iter: int | None, shape: tuple[int, int]) -> int:
    return 4 * min(shape) + 100 if max_iter is None else check_count(max_iter, "max_iter", low=1)


def _gram(A: Any) -> Float64Array:
    """Return A^T A in float64, summed over blocks of rows so that a float32 A is never copied whole."""
    if not isinstance(A, np.ndarray):
        product = A.T.astype(np.float64) @ A.astype(np.float64)
        return np.ascontiguousarray(product.toarray())
    if A.dtype == np.float64:
        return np.asarray(A.T @ A)
    G = np.zeros((A.shape[1], A.shape[1]))
    step = max(1, _BLOCK_ENTRIES // A.shape[1])
    for start in range(0, A.shape[0], step):
        block = A[start : start + step].astype(np.float64)
        G += block.T @ block
    return G


def _result(
    x: Any, started: float, method: str, n_iter: int | None = None, *, converged: bool = True
) -> LeastSquaresResult:
    seconds = time.perf_counter() - started
    x = np.ascontiguousarray(x, dtype=np.float64)
    refuse_overflow(x, method)
    return LeastSquaresResult(
        x=x,
        seconds=seconds,
        method=method,
        n_iter=n_iter,
        converged=bool(converged),
    )
