"""The result of `rp_cholesky`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from qinspired._validation import check_entries, check_positive, check_rank, check_vector

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["CholeskyApproximation"]


@dataclass(frozen=True, slots=True, eq=False)
class CholeskyApproximation:
    """The approximation F F^T of a positive semi-definite matrix A by a partial Cholesky factor, with its error.

    It agrees with A in the rows and columns of the pivots, and A - F F^T is positive semi-definite, both up to
    rounding. Works as a linear operator: `scipy.sparse.linalg.aslinearoperator(approx)`.

    Attributes
    ----------
    pivots : ndarray of int64, shape (k,)
        The pivots, all distinct, in the order in which they were chosen.
    factor : ndarray, shape (n, k)
        F; its rows at the pivots are a lower triangular matrix.
    error : ErrorEstimate
        The relative trace error tr(A - F F^T) / tr(A): exact, with confidence 1, since the diagonal of A is known.
        The interval is rounding. It bounds the relative error in the spectral, Frobenius and nuclear norms where these
        are taken relative to tr(A).
    method : str
        How the pivots were chosen.
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Entries and rows of A asked for, and seconds.
    source : object with `shape`, `dtype` and `query`
        The matrix A.
    """

    pivots: IntArray
    factor: FloatArray
    error: ErrorEstimate
    method: str
    status: str
    stats: Cost
    source: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n, n) of A and of the approximation."""
        return len(self.factor), len(self.factor)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the factor."""
        return self.factor.dtype

    @property
    def rank(self) -> int:
        """Number k of pivots."""
        return len(self.pivots)

    @property
    def eigenvalues(self) -> Float64Array:
        """The k non-zero eigenvalues of F F^T, descending.

        None exceeds that of A in the same place, and together they fall short of its k largest by at most the trace
        error. Each call takes O(n k^2).
        """
        return self._spectrum()[0]

    def eigenvectors(self, rank: int | None = None) -> FloatArray:
        """Return orthonormal eigenvectors of F F^T for its largest eigenvalues.

        Parameters
        ----------
        rank : int, optional
            How many, in [1, k]; all k by default.

        Returns
        -------
        ndarray, shape (n, rank)
        """
        count = self.rank if rank is None else check_rank(rank, self.factor.shape)
        return self._spectrum()[1][:, :count].astype(self.dtype, copy=False)

    def _spectrum(self) -> tuple[Float64Array, Float64Array]:
        # By the triangle of a QR decomposition, and not by F^T F, so that the vectors of small eigenvalues are
        # orthonormal too.
        basis, triangle = np.linalg.qr(self.factor.astype(np.float64, copy=False))
        left, values, _ = scipy.linalg.svd(triangle, check_finite=False)
        return values**2, basis @ left

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return entries of F F^T; `rows` and `cols` broadcast as in X[rows, cols]."""
        row_index, col_index = check_entries(rows, cols, self.shape)
        entries: FloatArray = np.einsum("...k,...k->...", self.factor[row_index], self.factor[col_index])
        return entries

    def matvec(self, x: Any) -> Float64Array:
        """Return F F^T x for x of shape (n,), in 4 n k operations."""
        vector = check_vector(x, len(self.factor), "x")
        return np.asarray(self.factor @ (self.factor.T @ vector), dtype=np.float64)

    def rmatvec(self, y: Any) -> Float64Array:
        """Return F F^T y, which is symmetric."""
        return self.matvec(y)

    def solve(self, b: Any, ridge: float) -> Float64Array:
        """Return the solution x of (F F^T + ridge I) x = b.

        Parameters
        ----------
        b : array_like, shape (n,)
            Right-hand side.
        ridge : float
            A finite number > 0, on the scale of the eigenvalues.

        Returns
        -------
        ndarray of float64, shape (n,)

        Notes
        -----
        Cost: O(n k^2).
        Error: with E = A - F F^T, the exact solution of (A + ridge I) x* = b is off by
        |x - x*| <= |E| |x*| / ridge <= tr(A) `error` |x*| / ridge.
        """
        ridge = check_positive(ridge, "ridge")
        vector = check_vector(b, len(self.factor), "b")
        values, basis = self._spectrum()
        inside = basis.T @ vector
        outside = vector - basis @ inside
        # What rounding leaves of the span in the other part is divided by the ridge: taken out once more.
        outside -= basis @ (basis.T @ outside)
        solution: Float64Array = basis @ (inside / (values + ridge)) + outside / ridge
        return solution

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        n, cost = len(self.factor), self.stats
        return "\n".join(
            [
                f"Cholesky factor of rank {self.rank} of a {n} x {n} matrix by {self.method}: {self.status}",
                f"relative trace error {self.error}",
                f"asked for {cost.entries_read:,} entries ({100 * cost.entries_read / n**2:.3g} % of A); index "
                f"{cost.index_seconds:.3g} s, solve {cost.seconds:.3g} s",
            ]
        )
