"""The result of `low_rank`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_vector
from qinspired.algorithms.approximation._row_space import RowSpace

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["LowRankApproximation"]


@dataclass(frozen=True, slots=True, eq=False)
class LowRankApproximation(RowSpace):
    """The projection A V V^T of a matrix on a k-dimensional row space, with its error and its cost.

    Works as a linear operator: `scipy.sparse.linalg.aslinearoperator(approx)`.

    Attributes
    ----------
    components : ndarray, shape (k, n)
        Orthonormal rows, the columns of V; approximate leading right singular vectors.
    singular_values : ndarray of float64, shape (k,)
        Estimates of the leading singular values, in descending order. From drawn rows their relative standard
        deviation is about 1 / sqrt(2 r).
    error : ErrorEstimate
        |A - A V V^T|_F / |A|_F.
    excess : ErrorEstimate
        Relative excess of that error over the best possible with rank k. This is what `tolerance` promises.
    method : str
        What was used: "gram" or "krylov" on drawn rows, "randomized" or "exact" on all rows.
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Draws, rows and bytes read, and seconds.
    source : object with sample-and-query access
        The matrix A.
    """

    components: FloatArray
    singular_values: Float64Array
    error: ErrorEstimate
    excess: ErrorEstimate
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) of A and of the approximation."""
        return self.source.shape

    def matvec(self, x: Any) -> Float64Array:
        """Return A V V^T x for x of shape (n,); one pass over A."""
        vector = check_vector(x, self.shape[1], "x", matrix="A^T")
        return np.asarray(
            self.source.matmul((self.components.T @ (self.components @ vector))[:, None])[:, 0],
            dtype=np.float64,
        )

    def rmatvec(self, y: Any) -> Float64Array:
        """Return V V^T A^T y for y of shape (m,); one pass over A."""
        vector = check_vector(y, self.shape[0], "y")
        image = self.source.rmatmul(vector[:, None])[:, 0]
        return np.asarray(self.components.T @ (self.components @ image), dtype=np.float64)

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.shape
        cost = self.stats
        share = cost.entries_read / self.source.n_stored
        kind = "sparse" if self.source.is_sparse else "dense"
        return "\n".join(
            [
                f"rank-{self.rank} approximation of a {m} x {n} {kind} matrix by {self.method}: {self.status}",
                f"relative error {self.error}; excess over the best rank-{self.rank} error {self.excess}",
                f"read {cost.bytes_read:,} bytes ({100 * share:.3g} % of A) in {cost.rows_read:,} rows and "
                f"{cost.full_passes} full passes; index {cost.index_seconds:.3g} s, solve {cost.seconds:.3g} s",
            ]
        )
