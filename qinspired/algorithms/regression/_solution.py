"""The result of `least_squares`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["LeastSquaresSolution"]


@dataclass(frozen=True, slots=True, eq=False)
class LeastSquaresSolution:
    """A minimiser of |A x - b|^2 + ridge |x|^2, with its error and its cost.

    Attributes
    ----------
    x : ndarray of float64, shape (n,)
        The solution; of least norm where it is not unique.
    residual : ErrorEstimate
        |A x - b| / |b|, from rows that the solution did not use; exact if all rows were read.
    error : ErrorEstimate
        |A (x - x*)| / |A x*|, x* the exact solution. This is what `tolerance` promises.
    method : str
        What was used: the name of a method, as `least_squares` knows it.
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Draws, rows and bytes read, and seconds.
    source : object with sample-and-query access
        The matrix A.
    """

    x: Float64Array
    residual: ErrorEstimate
    error: ErrorEstimate
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.source.shape
        cost = self.stats
        share = cost.entries_read / self.source.n_stored
        kind = "sparse" if self.source.is_sparse else "dense"
        return "\n".join(
            [
                f"least squares with a {m} x {n} {kind} matrix by {self.method}: {self.status}",
                f"prediction error against the exact solution {self.error}; relative residual {self.residual}",
                f"read {cost.bytes_read:,} bytes ({100 * share:.3g} % of A) in {cost.rows_read:,} rows and "
                f"{cost.full_passes} full passes; index {cost.index_seconds:.3g} s, solve {cost.seconds:.3g} s",
            ]
        )
