"""The low-rank approximation of rows that were read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qinspired.algorithms.approximation._row_space import RowSpace

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["StreamedApproximation"]


@dataclass(frozen=True, slots=True, eq=False)
class StreamedApproximation(RowSpace):
    """The projection A V V^T of the rows A of a stream, with bounds that hold without chance.

    Attributes
    ----------
    components : ndarray, shape (k, n)
        Orthonormal rows, the columns of V.
    singular_values : ndarray of float64, shape (k,)
        Lower bounds of the leading singular values of A, in descending order: those of the sketch. Rounding may make
        the square of one too high by some 10 eps |A|_F^2.
    singular_values_high : ndarray of float64, shape (k,)
        Upper bounds: the squares are larger by `shrinkage` and by what rounding may hide.
    error : ErrorEstimate
        |A - A V V^T|_F / |A|_F; `low` and `high` bound it, `confidence` is 1.
    excess : ErrorEstimate
        Relative excess of that error over the best possible with rank k, bounded in the same way.
    shrinkage : float
        Delta, with 0 <= |A x|^2 - |B x|^2 <= Delta for all unit vectors x and the rows B of the sketch; 0 if nothing
        was lost. Infinite or 0 where the square is out of the range of float64.
    sketch_size : int
        Size l of the sketch.
    n_rows : int
        Rows of the stream so far, m.
    method : str
        "frequent_directions".
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Rows and bytes taken in, and seconds.
    """

    components: FloatArray
    singular_values: Float64Array
    singular_values_high: Float64Array
    error: ErrorEstimate
    excess: ErrorEstimate
    shrinkage: float
    sketch_size: int
    n_rows: int
    method: str
    status: str
    stats: Cost

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) of A and of the approximation."""
        return self.n_rows, self.components.shape[1]

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.shape
        cost = self.stats
        return "\n".join(
            [
                f"rank-{self.rank} approximation of a stream of {m:,} rows of {n:,} columns: {self.status}",
                f"relative error {self.error}; excess over the best rank-{self.rank} error {self.excess}; both bounds "
                "hold for certain",
                f"took in {cost.bytes_read:,} bytes, each once; kept at most {2 * self.sketch_size} rows; "
                f"{cost.seconds:.3g} s",
            ]
        )
