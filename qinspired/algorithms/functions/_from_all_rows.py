"""f(A^T A) from all rows of A."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.functions._result import DenseBasis, RowBasis
from qinspired.algorithms.functions._spectrum import (
    Answer,
    Spectrum,
    blur,
    dense,
    eigenpairs,
    rounding_error,
    unit_rows,
)

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.functions._scalar_functions import Increments, ScalarFunction

__all__ = ["from_all_rows"]

_BLOCK_ENTRIES = 4_000_000
_DENSE_CELLS = 50_000_000
_NEGLIGIBLE = 1e-10  # relative rounding error below which an answer is called exact


def from_all_rows(A: CountingMatrix, function: ScalarFunction) -> Answer:
    """Return f(A^T A) by a Gram matrix, or by a singular value decomposition where f is too steep for that."""
    m, n = A.shape
    norm = A.frobenius_norm
    rows = np.arange(m)

    def increments(shares: Float64Array) -> Float64Array:
        return function.increments(shares * norm * norm)

    found: _Eigen | None = None
    if n <= m:
        found = _of_moment(A, increments)
    elif m * n > _DENSE_CELLS:
        rows = np.flatnonzero(A.row_norms())
        found = _of_rows(A, rows, increments)
    if found is None or (n <= m and found.rounding > _NEGLIGIBLE):
        found = _of_singular_values(A, increments)
    high = 0.0 if found.rounding <= _NEGLIGIBLE else found.rounding
    return Answer(
        rows=rows,
        weights=np.ones(len(rows)),
        eigenvalues=found.shares * norm * norm,
        increments=increments(found.shares),
        error=ErrorEstimate(0.0, 0.0, high, 1.0),
        method="all rows",
        status=f"all {m} rows, {found.how}" + (f", relative rounding error up to {high:.3g}" if high else ""),
        basis=found.basis,
    )


@dataclass(frozen=True, slots=True)
class _Eigen:
    """Eigenvalues of A^T A as shares of |A|_F^2, their vectors, and what rounding does to f of them."""

    shares: Float64Array
    basis: DenseBasis | RowBasis
    rounding: float
    how: str


def _of_moment(A: CountingMatrix, increments: Increments) -> _Eigen:
    n = A.shape[1]
    moment = np.zeros((n, n))
    for _, block in A.row_blocks(_rows_per_block(A)):
        scaled = block.astype(np.float64) / A.frobenius_norm
        moment += dense(scaled.T @ scaled)
    shares, vectors = eigenpairs(moment)
    blurred = blur(n) * float(shares[0])
    rounding = rounding_error(shares, blurred, blurred, n - len(shares), increments)
    return _Eigen(shares, DenseBasis(np.ascontiguousarray(vectors.T)), rounding, "eigenvalues of A^T A")


def _of_rows(A: CountingMatrix, rows: IntArray, increments: Increments) -> _Eigen:
    spectrum = Spectrum(unit_rows(A, rows), (A.row_norms(rows) / A.frobenius_norm) ** 2)
    shares = spectrum.shares
    blurred = blur(len(rows)) * float(shares[0])
    rounding = rounding_error(shares, blurred, blurred, len(rows) - len(shares), increments)
    return _Eigen(shares, spectrum.basis, rounding, "eigenvalues of A A^T")


def _of_singular_values(A: CountingMatrix, increments: Increments) -> _Eigen:
    """Rows are reduced to a triangle, and only its singular values are squared."""
    norm, n = A.frobenius_norm, A.shape[1]
    triangle = np.zeros((0, n))
    for _, block in A.row_blocks(max(n, _rows_per_block(A))):
        triangle = np.vstack([triangle, dense(block) / norm])
        if len(triangle) > n:
            triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
    _, sigma, vectors = scipy.linalg.svd(triangle, full_matrices=False, check_finite=False)
    blurred = blur(len(sigma)) * float(sigma[0])
    kept = sigma > blurred
    sigma = sigma[kept]
    blurs = 2.0 * sigma * blurred + blurred**2
    rounding = rounding_error(sigma**2, blurs, blurred**2, int((~kept).sum()), increments)
    basis = DenseBasis(np.ascontiguousarray(vectors[kept]))
    return _Eigen(sigma**2, basis, rounding, "singular value decomposition")


def _rows_per_block(A: CountingMatrix) -> int:
    return max(1, _BLOCK_ENTRIES // A.shape[1])
