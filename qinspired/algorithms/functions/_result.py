"""The result of `matrix_function`, and the two forms of its eigenvectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_entries, check_finite_dense, check_vector
from qinspired.access import RowCombination

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["DenseBasis", "MatrixFunction", "RowBasis"]

# Entries of a block of eigenvectors formed at a time: 32 MB.
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class DenseBasis:
    """Eigenvectors as an array, shape (p, n)."""

    vectors: Float64Array

    def coordinates(self, X: Any) -> Float64Array:
        """Return V^T X."""
        product: Float64Array = self.vectors @ X
        return product

    def combine(self, Y: Float64Array) -> Float64Array:
        """Return V Y."""
        product: Float64Array = self.vectors.T @ Y
        return product

    def at(self, cols: IntArray) -> Float64Array:
        """Return the entries of all eigenvectors at some places, shape (p, len(cols))."""
        return self.vectors[:, cols]


@dataclass(frozen=True, slots=True, eq=False)
class RowBasis:
    """Eigenvectors as combinations of unit rows, V = block^T mixing; nothing of their size is formed."""

    block: Float64Array | sp.csr_array[Any]
    mixing: Float64Array

    def coordinates(self, X: Any) -> Float64Array:
        """Return V^T X."""
        inner = self.block @ X
        product: Float64Array = self.mixing.T @ (inner if isinstance(inner, np.ndarray) else inner.toarray())
        return product

    def combine(self, Y: Float64Array) -> Float64Array:
        """Return V Y."""
        return np.asarray(self.block.T @ (self.mixing @ Y))

    def at(self, cols: IntArray) -> Float64Array:
        """Return the entries of all eigenvectors at some places, shape (p, len(cols))."""
        picked = self.block[:, cols]
        return self.mixing.T @ (picked if isinstance(picked, np.ndarray) else picked.toarray())


@dataclass(frozen=True, slots=True, eq=False)
class MatrixFunction:
    """The matrix f(A^T A) of shape (n, n), held as R^T Z R + f(0) I with a few scaled rows R of A.

    Works as a linear operator: `scipy.sparse.linalg.aslinearoperator(result)`. It is symmetric.

    Attributes
    ----------
    rows : ndarray of int64, shape (r,)
        The distinct rows of A that were drawn, or all rows.
    weights : ndarray of float64, shape (r,)
        R = weights[:, None] * A[rows]; |A|_F sqrt(draws of the row / draws) / |row|, or 1 for all rows.
    eigenvalues : ndarray of float64, shape (p,)
        The eigenvalues x of R^T R above rounding, in descending order.
    increments : ndarray of float64, shape (p,)
        f(x) - f(0) for each.
    at_zero : float
        f(0).
    error : ErrorEstimate
        |answer - f(A^T A)|_F / |f(A^T A) - f(0) I|_F: relative to the part that is not a multiple of the identity.
    function : str
        What f is.
    method : str
        "drawn rows" or "all rows".
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Draws, rows and bytes read, and seconds.
    source : object with sample-and-query access
        The matrix A.
    basis : object
        The eigenvectors V of R^T R: dense, or as combinations of the drawn rows where those are fewer than n.
    """

    rows: IntArray
    weights: Float64Array
    eigenvalues: Float64Array
    increments: Float64Array
    at_zero: float
    error: ErrorEstimate
    function: str
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix
    basis: DenseBasis | RowBasis = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n, n)."""
        n = self.source.shape[1]
        return n, n

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64."""
        return np.dtype(np.float64)

    def matvec(self, x: Any) -> Float64Array:
        """Return f(A^T A) x for x of shape (n,); two products with R."""
        return self._apply(check_vector(x, self.shape[0], "x", matrix="f(A^T A)"))

    def rmatvec(self, x: Any) -> Float64Array:
        """Return the same as `matvec`: the matrix is symmetric."""
        return self.matvec(x)

    def matmat(self, X: Any) -> Float64Array:
        """Return f(A^T A) X for X of shape (n, q)."""
        block = check_finite_dense(X, "X")
        if block.shape[0] != self.shape[0]:
            raise ValueError(f"`X` must have {self.shape[0]} rows, one for each column of A; got shape {block.shape}.")
        return self._apply(block.astype(np.float64, copy=False))

    def rmatmat(self, X: Any) -> Float64Array:
        """Return the same as `matmat`: the matrix is symmetric."""
        return self.matmat(X)

    def __matmul__(self, X: Any) -> Float64Array:
        """Return f(A^T A) X for a vector or an array."""
        return self.matvec(X) if np.ndim(X) == 1 else self.matmat(X)

    def _apply(self, X: Float64Array) -> Float64Array:
        total: Float64Array = self.at_zero * X + self.basis.combine((self.increments * self.basis.coordinates(X).T).T)
        return total

    def to_array(self) -> Float64Array:
        """Return the whole matrix, of shape (n, n)."""
        return self._apply(np.eye(self.shape[0]))

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Float64Array:
        """Return the entries at `rows` and `cols`, which broadcast as in X[rows, cols].

        Notes
        -----
        Cost: about r p operations for each distinct row and column that is named.
        """
        row_grid, col_grid = np.broadcast_arrays(*check_entries(rows, cols, self.shape))
        values = np.where(row_grid == col_grid, self.at_zero, 0.0)
        places = values.reshape(-1)
        flat_rows, flat_cols = row_grid.ravel(), col_grid.ravel()
        if values.size and len(flat_rows) >= len(np.unique(flat_rows)) * len(np.unique(flat_cols)):
            return values + self._grid(row_grid, col_grid)
        step = max(1, _BLOCK_ENTRIES // max(1, len(self.increments), len(self.rows)))
        for start in range(0, values.size, step):
            part = slice(start, start + step)
            left, right = self.basis.at(flat_rows[part]), self.basis.at(flat_cols[part])
            places[part] += np.einsum("i,ij,ij->j", self.increments, left, right)
        return values

    def _grid(self, rows: IntArray, cols: IntArray) -> Float64Array:
        distinct_rows, row_places = np.unique(rows, return_inverse=True)
        distinct_cols, col_places = np.unique(cols, return_inverse=True)
        left = self.basis.at(distinct_rows).T * self.increments
        grid: Float64Array = (left @ self.basis.at(distinct_cols))[row_places, col_places]
        return grid.reshape(rows.shape)

    def trace(self) -> float:
        """Return the sum of the eigenvalues, n f(0) + sum of the increments."""
        return float(self.shape[0] * self.at_zero + self.increments.sum())

    def diagonal(self) -> Float64Array:
        """Return the diagonal, of shape (n,)."""
        n = self.shape[0]
        values = np.full(n, self.at_zero)
        step = max(1, _BLOCK_ENTRIES // max(1, len(self.increments), len(self.rows)))
        for start in range(0, n, step):
            stop = min(start + step, n)
            values[start:stop] += self.increments @ self.basis.at(np.arange(start, stop)) ** 2
        return values

    def combination(self, x: Any) -> RowCombination:
        """Return f(A^T A) x - f(0) x as a combination of the rows, which can be sampled and queried.

        Parameters
        ----------
        x : array_like or sparse column, shape (n,)
            The vector.

        Returns
        -------
        RowCombination

        Notes
        -----
        Cost: a product with R, or two; one pass over A if the answer is made of all rows.
        """
        vector = check_vector(x, self.shape[0], "x", matrix="f(A^T A)")
        coordinates = self.increments * self.basis.coordinates(vector)
        if isinstance(self.basis, RowBasis):
            norms = self.source.row_norms(self.rows)
            return RowCombination(self.source, self.rows, (self.basis.mixing @ coordinates) / norms)
        # Divided by the eigenvalues, as shares of |A|_F^2 so that no quotient leaves the range, the vector is R^T R z.
        norm = self.source.frobenius_norm
        shares = self.eigenvalues / norm / norm
        images = self._times_rows(self.basis.combine(coordinates / shares) / norm)
        return RowCombination(self.source, self.rows, self.weights * (self.weights * images / norm))

    def core(self) -> tuple[Float64Array, Float64Array]:
        """Return Z = W diag(z) W^T in eigen form: W of shape (r, p), orthonormal columns, and z of shape (p,).

        z is (f(x) - f(0)) / x. Cost: a product of R with p vectors.
        """
        sigma = np.sqrt(self.eigenvalues)
        if isinstance(self.basis, RowBasis):
            scale = self.weights * self.source.row_norms(self.rows)
            left = self.basis.mixing * sigma / scale[:, None]
        else:
            left = self.weights[:, None] * self._times_rows(self.basis.combine(np.diag(1.0 / sigma)))
        return left, self.increments / self.eigenvalues

    def _times_rows(self, X: Float64Array) -> Float64Array:
        if self.method == "all rows":
            return np.asarray(self.source.matmul(X), dtype=np.float64)
        step = max(1, _BLOCK_ENTRIES // self.source.shape[1])
        starts = range(0, len(self.rows), step)
        return np.concatenate([np.asarray(self.source.rows(self.rows[s : s + step]) @ X) for s in starts])

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.source.shape
        cost = self.stats
        share = cost.entries_read / self.source.n_stored
        kind = "sparse" if self.source.is_sparse else "dense"
        return "\n".join(
            [
                f"f(A^T A), f(x) = {self.function}, of a {m} x {n} {kind} matrix by {self.method}: {self.status}",
                f"relative error {self.error}; rank {len(self.increments)} beside {self.at_zero:g} times the identity",
                f"read {cost.bytes_read:,} bytes ({100 * share:.3g} % of A) in {cost.rows_read:,} rows and "
                f"{cost.full_passes} full passes; index {cost.index_seconds:.3g} s, solve {cost.seconds:.3g} s",
            ]
        )
