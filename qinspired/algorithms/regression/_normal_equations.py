"""Small symmetric systems and the exact least-squares solver."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.linalg.lapack
import scipy.sparse.linalg

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["PRIMAL_COLUMNS", "ExactSolution", "SymmetricSolver", "exact_least_squares", "moment"]

# Up to this many columns A^T A is formed (128 MB); beyond, a sparse system is solved by LSQR.
PRIMAL_COLUMNS = 4096

# Entries of a block of an exact pass: 32 MB as float64.
_BLOCK_ENTRIES = 4_000_000

# A sparse matrix below this many cells may be solved as a dense one.
_DENSE_CELLS = 50_000_000

_LSQR_ITERATIONS = 2000

_EPS = float(np.finfo(np.float64).eps)


def moment(block: Any) -> Float64Array:
    """Return block^T block as a dense matrix."""
    product = block.T @ block  # numpy sees the transpose of a dense block and does half the work
    return np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)


class SymmetricSolver:
    """Solves M x = c for a symmetric positive semi-definite M: by Cholesky, or in the range of M where it is singular.

    `condition` estimates the condition number of M on its range.
    """

    __slots__ = ("_factor", "_inverse_values", "_vectors", "condition")

    def __init__(self, matrix: Float64Array) -> None:
        size = len(matrix)
        self._vectors: Float64Array | None = None
        norm = float(np.abs(matrix).sum(axis=0).max())
        self._factor, info = scipy.linalg.lapack.dpotrf(matrix, lower=1, clean=0)
        reciprocal = 0.0
        if info == 0:
            reciprocal, _ = scipy.linalg.lapack.dpocon(self._factor, norm, uplo="L")
        if reciprocal > 1e-13:
            self.condition = 1.0 / reciprocal
            return
        values, vectors = np.linalg.eigh(matrix)
        kept = values > max(values[-1], 0.0) * size * _EPS * 4
        self._vectors = vectors[:, kept]
        self._inverse_values = 1.0 / values[kept]
        self.condition = float(values[-1] / values[kept][0]) if kept.any() else 1.0

    @property
    def singular(self) -> bool:
        """Whether M is singular to working precision."""
        return self._vectors is not None

    def solve(self, rhs: Float64Array) -> Float64Array:
        """Return the solution, of least norm where M is singular."""
        if self._vectors is not None:
            return np.asarray(self._vectors @ (self._inverse_values * (self._vectors.T @ rhs).T).T)
        solution, _ = scipy.linalg.lapack.dpotrs(self._factor, rhs, lower=1)
        return np.asarray(solution)


@dataclass(frozen=True, slots=True)
class ExactSolution:
    """A solution from all rows and the size of its rounding error relative to |A x*|."""

    x: Float64Array
    rounding: float
    how: str
    converged: bool = True
    residual_sq: float | None = None  # |A x - b|^2 where the moments give it without loss of digits


def exact_least_squares(A: CountingMatrix, b: Float64Array, ridge: float) -> ExactSolution:
    """Solve from all rows: normal equations where they are safe, else by pivoted QR, or LSQR if large and sparse."""
    m, n = A.shape
    size = min(m, n)
    if size <= PRIMAL_COLUMNS and A.frobenius_norm < 1e100 and A.frobenius_norm > 1e-100:
        gram, rhs = _primal(A, b) if n <= m else (_dual(A), b)
        solver = SymmetricSolver(gram + ridge * np.eye(size))
        # The prediction error of normal equations is about eps kappa(A) |b| / |A x*|, kappa(A) = sqrt(condition).
        # Singular ones, and kappa above 1e5, go to an orthogonal factorisation.
        if not solver.singular and solver.condition < 1e10:
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
            # The residual enters the normal equations at the size of b, so that kappa multiplies |b| / |A x|.
            rounding = _EPS * np.sqrt(solver.condition) * size * float(np.linalg.norm(b)) / fitted if fitted else np.inf
            return ExactSolution(x, rounding, "Cholesky factor of the normal equations", residual_sq=residual_sq)
    if A.is_sparse and m * n > _DENSE_CELLS:
        return _by_lsqr(A, b, ridge)
    return _by_lapack(A, b, ridge)


def _by_lsqr(A: CountingMatrix, b: Float64Array, ridge: float) -> ExactSolution:
    scale = A.frobenius_norm
    operator = scipy.sparse.linalg.LinearOperator(
        A.shape,
        matvec=lambda v: A.matmul((v / scale).reshape(-1, 1))[:, 0],
        rmatvec=lambda v: A.rmatmul((v / scale).reshape(-1, 1))[:, 0],
        dtype=np.float64,
    )
    found = scipy.sparse.linalg.lsqr(
        operator,
        b,
        damp=np.sqrt(ridge) / scale,
        atol=1e-12,
        btol=1e-12,
        conlim=1e14,
        iter_lim=min(20 * min(A.shape), _LSQR_ITERATIONS),
    )
    # |A (x - x*)| <= |A^T r| / sigma_min, with LSQR's own estimates of both.
    fitted = float(np.linalg.norm(A.matmul((found[0] / scale)[:, None])))
    rounding = float(found[7] * found[6] / max(found[5], 1e-300)) / fitted if fitted > 0.0 else np.inf
    converged = found[1] in (0, 1, 2, 4, 5)
    rounding = rounding if converged else max(rounding, 1.0)
    return ExactSolution(np.asarray(found[0] / scale), rounding, f"{found[2]} iterations of LSQR", converged)


def _by_lapack(A: CountingMatrix, b: Float64Array, ridge: float) -> ExactSolution:
    m, n = A.shape
    scale = A.frobenius_norm
    extra = n if ridge > 0.0 else 0
    dense, target = np.zeros((m + extra, n)), np.zeros(m + extra)
    for start, block in A.row_blocks(_rows_per_block(A)):
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


def _rows_per_block(A: CountingMatrix) -> int:
    return max(1, _BLOCK_ENTRIES * A.shape[0] // max(1, A.n_stored))


def _primal(A: CountingMatrix, b: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return A^T A and A^T b by one pass."""
    n = A.shape[1]
    gram, rhs = np.zeros((n, n)), np.zeros(n)
    for start, block in A.row_blocks(_rows_per_block(A)):
        wide = block.astype(np.float64, copy=False)
        gram += moment(wide)
        rhs += wide.T @ b[start : start + block.shape[0]]
    return gram, rhs


def _dual(A: CountingMatrix) -> Float64Array:
    """Return A A^T for a wide A."""
    (_, block), *_ = A.row_blocks(A.shape[0])
    return moment(block.astype(np.float64, copy=False).T)
