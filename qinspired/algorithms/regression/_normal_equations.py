"""Small symmetric systems and the exact least-squares solver."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.linalg.lapack
import scipy.sparse.linalg

from qinspired._threads import small_products
from qinspired.algorithms.regression._exact_solution import BLOCK_ENTRIES, ExactSolution, block_rows
from qinspired.algorithms.regression._iterations import solve_by_iterations
from qinspired.algorithms.regression._sketched import (
    refined,
    shows_ill_conditioning,
    sketched_least_squares,
    worth_sketching,
)

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["PRIMAL_COLUMNS", "SymmetricSolver", "exact_least_squares", "moment"]

# Up to this many columns A^T A is formed (128 MB); beyond, a sparse system is solved by LSQR.
PRIMAL_COLUMNS = 4096

# A sparse matrix below this many cells may be solved as a dense one.
_DENSE_CELLS = 50_000_000

_MOST_ITERATIONS = 2000

# LSQR ends where |A^T r| falls below this share of |A| |r|: at first the tolerance times the former.
_FIRST_REDUCTION, _LEAST_REDUCTION = 0.1, 1e-12

_EPS = float(np.finfo(np.float64).eps)


def moment(block: Any) -> Float64Array:
    """Return block^T block as a dense matrix."""
    product = block.T @ block  # numpy sees the transpose of a dense block and does half the work
    return np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)


class SymmetricSolver:
    """Solves M x = c for a symmetric positive semi-definite M: by Cholesky, or in the range of M where it is singular.

    `condition` estimates the condition number of M, infinite where M is singular to working precision.
    """

    __slots__ = ("_factor", "_inverse", "_matrix", "condition")

    def __init__(self, matrix: Float64Array) -> None:
        norm = float(np.abs(matrix).sum(axis=0).max())
        self._factor, info = scipy.linalg.lapack.dpotrf(matrix, lower=1, clean=0)
        reciprocal = 0.0
        if info == 0:
            reciprocal, _ = scipy.linalg.lapack.dpocon(self._factor, norm, uplo="L")
        self.condition = 1.0 / reciprocal if reciprocal > 1e-13 else math.inf
        self._matrix = matrix
        self._inverse: tuple[Float64Array, Float64Array] | None = None

    @property
    def singular(self) -> bool:
        """Whether M is singular to working precision."""
        return math.isinf(self.condition)

    def _eigenpairs(self) -> tuple[Float64Array, Float64Array]:
        """Return eigenvectors of the range and the inverse eigenvalues, which not all who ask for a factor need."""
        if self._inverse is None:
            values, vectors = np.linalg.eigh(self._matrix)
            kept = values > max(values[-1], 0.0) * len(values) * _EPS * 4
            self._inverse = vectors[:, kept], 1.0 / values[kept]
        return self._inverse

    @property
    def triangle(self) -> Float64Array:
        """R, upper triangular, with R^T R = M; M must not be singular."""
        return np.asfortranarray(np.triu(self._factor.T))

    def solve(self, rhs: Float64Array) -> Float64Array:
        """Return the solution, of least norm where M is singular."""
        if self.singular:
            vectors, inverse_values = self._eigenpairs()
            return np.asarray(vectors @ (inverse_values * (vectors.T @ rhs).T).T)
        solution, _ = scipy.linalg.lapack.dpotrs(self._factor, rhs, lower=1)
        return np.asarray(solution)


def exact_least_squares(
    A: CountingMatrix,
    b: Float64Array,
    ridge: float,
    tolerance: float,
    rng: np.random.Generator,
    *,
    sketched: bool = False,
    loosely: bool = False,
) -> ExactSolution:
    """Solve from all rows: by normal equations where they are safe, refined where the tolerance asks for it.

    Else by a sketch and refinement if that is faster than LAPACK or asked for, by conjugate gradients or LSQR if large
    and sparse (no further than the tolerance if `loosely`), by pivoted QR.
    """
    m, n = A.shape
    size = min(m, n)
    sketch = size <= PRIMAL_COLUMNS and (sketched or worth_sketching(A))
    moments = not sketched and size <= PRIMAL_COLUMNS and 1e-100 < A.frobenius_norm < 1e100
    dense = False
    if moments and not (sketch and shows_ill_conditioning(A, ridge, rng)):
        found = _by_moments(A, b, ridge, tolerance, sketch)
        if found is not None:
            return found
        # Nearly singular: an iteration may end before it sees the small singular values (two columns 1e-9 apart: error
        # 0.76, told as 3e-8).
        loosely, dense = False, m * n <= _DENSE_CELLS
    reason = ""
    if sketched and not sketch:
        reason = f"no sketch, which takes at most {PRIMAL_COLUMNS} columns"
    if sketch:
        found, reason = sketched_least_squares(A, b, ridge, rng)
        if found is not None:
            return found
    found = None
    if A.is_sparse and not dense:
        found = _by_iterations(A, b, ridge, tolerance if loosely else 0.0, rng)
    if found is None or (m * n <= _DENSE_CELLS and not (found.converged and found.rounding <= tolerance)):
        found = _by_lapack(A, b, ridge)
    return replace(found, how=f"{found.how}, after {reason}") if reason else found


def _by_moments(A: CountingMatrix, b: Float64Array, ridge: float, tolerance: float, tall: bool) -> ExactSolution | None:
    """Solve the normal equations, refined where their rounding exceeds the tolerance; nothing if they are unsafe."""
    m, n = A.shape
    size = min(m, n)
    gram, rhs = _primal(A, b) if n <= m else (_dual(A), b)
    solver = SymmetricSolver(gram + ridge * np.eye(size))
    # Without refinement kappa(A) = sqrt(condition) may be 1e5, with it as far as there is a factor. Of small systems
    # those above 1e5 go to LAPACK.
    if solver.singular or (solver.condition >= 1e10 and not tall):
        return None
    how = "Cholesky factor of the normal equations"
    x = solver.solve(rhs)
    residual_sq = None
    if n <= m:
        total = float(b @ b)
        rest = total - 2.0 * float(x @ rhs) + float(x @ gram @ x)
        residual_sq = rest if rest > 1e-6 * total else None
        fitted = math.sqrt(max(float(x @ gram @ x), 0.0))
    else:
        x = A.rmatmul(x[:, None])[:, 0].astype(np.float64)
        fitted = float(np.linalg.norm(A.matmul(x[:, None])))
    # A^T A and A^T b are rounded to eps |A|^2 and eps |A| |b|, which the inverse multiplies by kappa / |A|.
    sizes = float(np.linalg.norm(b)) + A.frobenius_norm * float(np.linalg.norm(x))
    rounding = _EPS * math.sqrt(solver.condition) * size * sizes / fitted if fitted else math.inf
    plain = ExactSolution(x, rounding, how, residual_sq=residual_sq)
    if n > m or (rounding <= tolerance and solver.condition < 1e10):
        return plain
    found = refined(A, b, ridge, solver.triangle / A.frobenius_norm, x, how)
    return plain if found is None and solver.condition < 1e10 else found


def _by_iterations(
    A: CountingMatrix, b: Float64Array, ridge: float, tolerance: float, rng: np.random.Generator
) -> ExactSolution:
    """Iterate on the normal equations if that can meet the tolerance, else by LSQR, which rounding harms less."""
    found = None
    if tolerance > 0.0:
        with small_products(1):
            found = solve_by_iterations(A, b, ridge, tolerance, _MOST_ITERATIONS, rng)
    return found or _by_lsqr(A, b, ridge, tolerance)


def _by_lsqr(A: CountingMatrix, b: Float64Array, ridge: float, tolerance: float) -> ExactSolution:
    """Iterate until LSQR's own estimates show the tolerance, each run starting where the one before ended."""
    (m, n), scale = A.shape, A.frobenius_norm
    root = math.sqrt(ridge) / scale
    extra = n if ridge > 0.0 else 0
    # The penalty as further rows: with `damp`, scipy penalises the distance from x0.
    operator = scipy.sparse.linalg.LinearOperator(
        (m + extra, n),
        matvec=lambda v: np.concatenate([A.matmul((v / scale).reshape(-1, 1))[:, 0], root * v.reshape(-1)[:extra]]),
        rmatvec=lambda v: A.rmatmul((v[:m] / scale).reshape(-1, 1))[:, 0] + (root * v[m:] if extra else 0.0),
        dtype=np.float64,
    )
    target = np.concatenate([b, np.zeros(extra)])
    left = min(20 * min(A.shape), _MOST_ITERATIONS)
    x, reduction, taken = None, max(_FIRST_REDUCTION * tolerance, _LEAST_REDUCTION), 0
    while True:
        found = scipy.sparse.linalg.lsqr(
            operator,
            target,
            atol=reduction,
            btol=min(reduction, _LEAST_REDUCTION),
            conlim=1e14,
            iter_lim=left,
            x0=x,
        )
        x, taken, left = found[0], taken + found[2], left - found[2]
        # |A (x - x*)| <= |A^T r| / sigma_min, with LSQR's own estimates of both.
        fitted = float(np.linalg.norm(A.matmul((x / scale)[:, None])))
        error = float(found[7] * found[6] / max(found[5], 1e-300)) / fitted if fitted > 0.0 else np.inf
        converged = found[1] in (0, 1, 2, 4, 5)
        if error <= tolerance or reduction <= _LEAST_REDUCTION or left <= 0 or not converged:
            error = error if converged else max(error, 1.0)
            return ExactSolution(np.asarray(x / scale), error, f"{taken} iterations of LSQR", converged)
        reduction = max(min(0.5 * tolerance / error, 0.1) * reduction, _LEAST_REDUCTION)


def _by_lapack(A: CountingMatrix, b: Float64Array, ridge: float) -> ExactSolution:
    m, n = A.shape
    scale = A.frobenius_norm
    extra = n if ridge > 0.0 else 0
    dense, target = np.zeros((m + extra, n)), np.zeros(m + extra)
    for start, block in A.row_blocks(block_rows(A)):
        dense[start : start + block.shape[0]] = block if isinstance(block, np.ndarray) else block.toarray()
    dense[:m] /= scale
    dense[m:] = np.sqrt(ridge) / scale * np.eye(extra, n)
    target[:m] = b
    # LAPACK's own threshold, eps, would invert the rounding noise of a matrix of exact low rank.
    x = scipy.linalg.lstsq(
        dense, target, cond=max(dense.shape) * _EPS, lapack_driver="gelsy", check_finite=False, overwrite_a=True
    )[0]
    # A backward stable solver moves A x by about eps |A| |x|.
    fitted = float(np.linalg.norm(A.matmul((x / scale)[:, None])))
    size = float(np.linalg.norm(x)) + float(np.linalg.norm(b))
    rounding = 10.0 * _EPS * size / fitted if fitted > 0.0 else np.inf
    return ExactSolution(x / scale, rounding, "complete orthogonal factorisation by LAPACK")


def _primal(A: CountingMatrix, b: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return A^T A and A^T b by one pass."""
    n = A.shape[1]
    gram, rhs = np.zeros((n, n)), np.zeros(n)
    for start, block in A.row_blocks(block_rows(A)):
        wide = block.astype(np.float64, copy=False)
        gram += moment(wide)
        rhs += wide.T @ b[start : start + block.shape[0]]
    return gram, rhs


def _dual(A: CountingMatrix) -> Float64Array:
    """Return A A^T for a wide A."""
    (_, block), *_ = A.row_blocks(A.shape[0])
    if not isinstance(block, np.ndarray) or block.dtype == np.float64:
        return moment(block.astype(np.float64, copy=False).T)
    m, n = A.shape
    gram, step = np.zeros((m, m)), max(1, BLOCK_ENTRIES // m)
    for start in range(0, n, step):
        gram += moment(block[:, start : start + step].astype(np.float64).T)
    return gram
