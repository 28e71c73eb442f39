"""Low-rank approximations made of a few rows and columns of the matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired._validation import check_entries, check_indices
from qinspired.access import RowCombination
from qinspired.reference._monte_carlo import combined_entries

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms._results import Cost

__all__ = ["RowColumnFactors"]

# Entries of columns of A held at once: 32 MB.
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True)
class RowColumnFactors:
    """The approximation A[:, cols] L M A[rows] of rank k, whose entries and rows are computed on demand.

    Attributes
    ----------
    source : object with sample-and-query access
        The (m, n) matrix A.
    rows : ndarray of int64, shape (r,)
        The drawn rows, repeats included.
    cols : ndarray of int64, shape (c,)
        The drawn columns, repeats included.
    left : ndarray of float64, shape (c, k)
        L; the scaling of the drawn columns is in it.
    right : ndarray of float64, shape (k, r)
        M; the scaling of the drawn rows is in it. L M is the W of a factorisation C W R in units of 1 / A.
    candidates : ndarray of int64
        The columns of which `cols` are a draw, where there were two stages; else `cols`.
    stats : Cost
        What the call cost.
    """

    source: SampleQueryMatrix
    rows: IntArray
    cols: IntArray
    left: Float64Array
    right: Float64Array
    candidates: IntArray
    stats: Cost

    @property
    def rank(self) -> int:
        """Largest rank k that the approximation can have."""
        return int(self.left.shape[1])

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Float64Array:
        """Return entries of the approximation.

        Parameters
        ----------
        rows, cols : array_like of int
            Places; they broadcast as in X[rows, cols].

        Returns
        -------
        ndarray of float64
            Of the shape to which `rows` and `cols` broadcast.

        Raises
        ------
        IndexError, TypeError, ValueError
            If an index is out of range or no integer, or the shapes do not broadcast.

        Notes
        -----
        Cost: for each distinct row c entries of A, for each distinct column r, and (c + r) k multiplications.
        """
        places = np.broadcast_arrays(*check_entries(rows, cols, self.source.shape))
        inner = (self._coordinates(places[0].ravel()) * self._vectors(places[1].ravel())).sum(axis=1)
        values: Float64Array = inner.reshape(places[0].shape)
        return values

    def row(self, index: int) -> RowCombination:
        """Return one row of the approximation, open to samples and queries.

        Parameters
        ----------
        index : int
            Which one, in [0, m).

        Returns
        -------
        RowCombination
            Of length n, of the drawn rows.

        Raises
        ------
        IndexError, TypeError
            If `index` is out of range, or no integer.
        """
        coordinates = self._coordinates(check_indices([index], self.source.shape[0], "index"))[0]
        return RowCombination(self.source, self.rows, coordinates @ self.right)

    def to_array(self) -> Float64Array:
        """Return the whole approximation, of shape (m, n); reads c columns and r rows."""
        m, n = self.source.shape
        return self._coordinates(np.arange(m)) @ self._vectors(np.arange(n)).T

    def _coordinates(self, rows: IntArray) -> Float64Array:
        """Return A[rows, cols] L, as (len(rows), k)."""
        distinct, where = np.unique(rows, return_inverse=True)
        values = np.empty((len(distinct), self.rank))
        step = max(1, _BLOCK_ENTRIES // len(self.cols))
        for start in range(0, len(distinct), step):
            block = self.source.query(distinct[start : start + step, None], self.cols[None, :])
            values[start : start + step] = block.astype(np.float64) @ self.left
        gathered: Float64Array = values[where]
        return gathered

    def _vectors(self, cols: IntArray) -> Float64Array:
        """Return (M A[rows])[:, cols]^T, as (len(cols), k)."""
        return combined_entries(self.source, self.rows, self.right.T, cols)
