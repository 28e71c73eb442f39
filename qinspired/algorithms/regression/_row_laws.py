"""Laws by which the rows of a least-squares problem are drawn: by squared norm, or uniformly without an index."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qinspired.algorithms.approximation._row_laws import UniformRows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import CountingMatrix

__all__ = ["EvenRows", "RowLaw", "RowsByNorm"]


class RowLaw(Protocol):
    """What a solver asks of a law: draws, and the chances of rows, which make |A|_F^2 of squares over chances."""

    method: str  # of least_squares, that solves from rows drawn so

    @property
    def norm(self) -> float:
        """|A|_F."""

    def draw(self, n_draws: int, rng: np.random.Generator) -> tuple[IntArray, Float64Array]:
        """Return drawn rows, and what to divide each by so that the mean outer product is A^T A / norm^2."""

    def chances(self, rows: IntArray) -> Float64Array:
        """Return the chance of each row in one draw."""


class RowsByNorm:
    """Rows drawn by squared norm, which become unit rows."""

    method = "rows"

    def __init__(self, A: CountingMatrix) -> None:
        self._A = A

    @property
    def norm(self) -> float:
        """|A|_F, which makes the index if there is none."""
        return self._A.frobenius_norm

    def draw(self, n_draws: int, rng: np.random.Generator) -> tuple[IntArray, Float64Array]:
        """Return drawn rows and their norms."""
        rows = self._A.sample_rows(n_draws, rng)
        return rows, self._A.row_norms(rows)

    def chances(self, rows: IntArray) -> Float64Array:
        """Return |a_i|^2 / |A|_F^2."""
        shares: Float64Array = (self._A.row_norms(rows) / self.norm) ** 2
        return shares


class EvenRows:
    """Rows drawn uniformly; raises `UnevenRowsError` where probes or drawn rows show norms too uneven for that.

    The unit of |A|_F is that of the probes, good to a per cent or so; only the scale of drawn rows depends on it.
    """

    method = "rows"

    def __init__(self, A: CountingMatrix, rng: np.random.Generator) -> None:
        self._law = UniformRows(A, rng)
        self._m = A.shape[0]
        self.norm = self._law.norm

    def draw(self, n_draws: int, rng: np.random.Generator) -> tuple[IntArray, Float64Array]:
        """Return drawn rows in random order, and the root of the mean squared norm."""
        rows = rng.permutation(self._law.rows(n_draws, rng))
        return rows, np.full(len(rows), self.norm / math.sqrt(self._m))

    def chances(self, rows: IntArray) -> Float64Array:
        """Return 1 / m."""
        return np.full(len(rows), 1.0 / self._m)
