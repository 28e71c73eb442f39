"""Small symmetric systems and the exact least-squares solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.linalg.lapack
import scipy.sparse as sp
import scipy.sparse.linalg

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["PRIMAL_COLUMNS", "ExactSolution", "SymmetricSolver", "exact_least_squares", "moment"]

# Up to this many columns A^T A is formed (128 MB); beyond, a sparse system is solved by LSQR.
PRIMAL_COLUMNS = 4096

# Rows of a chunk of an exact pass: 32 MB as float64.
_CHUNK_ENTRIES = 4_000_000

# A sparse matrix below this many cells may be solved as a dense one.
_DENSE_CELLS = 50_000_000

_EPS = float(np.finfo(np.float64).eps)


def moment(block: Any) -> Float64Array:
    """Return block^T block as a dense matrix."""
    if sp.issparse(block):
        return np.asarray((block.T @ block).toarray(), dtype=np.float64)
    product: Float64Array = block.T @ block  # numpy sees the transpose and does half the work
    return product


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


def exact_least_squares(A: CountingMatrix, b: Float64Array, ridge: float) -> ExactSolution:
    """Solve from all rows: normal equations where they are safe, else LAPACK's SVD, or LSQR for many sparse columns."""
    m, n = A.shape
    size = min(m, n)
    if size <= PRIMAL_COLUMNS and A.frobenius_norm < 1e100 and A.frobenius_norm > 1e-100:
        gram, rhs = _primal(A, b) if n <= m else (_dual(A), b)
        solver = SymmetricSolver(gram + ridge * np.eye(size))
        # The prediction error of normal equations is about eps kappa(A)^2 kappa(A)^-1 = eps sqrt(condition) times
        # |b| / |A x*|; 1e6 keeps six digits even then, and singular ones go to the SVD.
        if not solver.singular and solver.condition < 1e10:
            x = solver.solve(rhs)
            if n > m:
                x = A.rmatmul(x[:, None])[:, 0].astype(np.float64)
            return ExactSolution(x, _EPS * np.sqrt(solver.condition) * size, "Cholesky factor of the normal equations")
    if A.is_sparse and m * n > _DENSE_CELLS:
        scale = A.frobenius_norm
        operator = scipy.sparse.linalg.LinearOperator(
            A.shape,
            matvec=lambda v: A.matmul((v / scale).reshape(-1, 1))[:, 0],
            rmatvec=lambda v: A.rmatmul((v / scale).reshape(-1, 1))[:, 0],
            dtype=np.float64,
        )
        found = scipy.sparse.linalg.lsqr(
            operator, b, damp=np.sqrt(ridge) / scale, atol=1e-12, btol=1e-12, conlim=1e14, iter_lim=20 * size
        )
        return ExactSolution(found[0] / scale, 1e-10, f"{found[2]} iterations of LSQR")
    block = A.rows(np.arange(m))
    dense = np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)
    scale = A.frobenius_norm
    dense /= scale
    target = b
    if ridge > 0.0:
        dense = np.vstack([dense, np.sqrt(ridge) / scale * np.eye(n)])
        target = np.concatenate([b, np.zeros(n)])
    # LAPACK's own threshold, eps, would invert the rounding noise of a matrix of exact low rank.
    x, _, rank, values = scipy.linalg.lstsq(
        dense, target, cond=max(dense.shape) * _EPS, lapack_driver="gelsd", check_finite=False
    )
    kappa = float(values[0] / values[max(int(rank) - 1, 0)])
    return ExactSolution(x / scale, _EPS * kappa, "singular value decomposition by LAPACK")


def _row_chunks(A: CountingMatrix) -> list[tuple[int, int]]:
    m, n = A.shape
    per_row = max(1, A.n_stored // m) if A.is_sparse else n
    step = max(1, _CHUNK_ENTRIES // per_row)
    return [(start, min(start + step, m)) for start in range(0, m, step)]


def _primal(A: CountingMatrix, b: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return A^T A and A^T b by one pass in chunks of rows."""
    n = A.shape[1]
    gram, rhs = np.zeros((n, n)), np.zeros(n)
    for start, stop in _row_chunks(A):
        block = A.rows(np.arange(start, stop)).astype(np.float64, copy=False)
        gram += moment(block)
        rhs += block.T @ b[start:stop]
    return gram, rhs


def _dual(A: CountingMatrix) -> Float64Array:
    """Return A A^T for a wide A."""
    block = A.rows(np.arange(A.shape[0])).astype(np.float64, copy=False)
    return moment(sp.csr_array(block.T) if sp.issparse(block) else block.T)
