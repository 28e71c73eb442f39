"""Row norms, the alias table over rows, and what follows from them."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from qinspired._validation import check_count, check_indices, first_nonfinite, raise_nonfinite
from qinspired.access._row_reader import RowReader, rows_per_block
from qinspired.access._sampler import AliasTable
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import csr_row_norms, dense_row_norms

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["RowStorage", "length_of"]


class RowStorage(RowReader):
    """Sample-and-query access to a matrix whose rows can be read: the base class of the storages.

    A new storage gives `_read_rows(rows)`, which returns whole rows as a C-contiguous float32 or float64 block, or
    as a CSR one if its `is_sparse` is True (then `n_stored`, `entry_bytes` and `row_lengths` too). All else follows;
    override what the storage does better.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    dtype : dtype
        Type of the entries, float32 or float64.
    norms : ndarray of float64, shape (m,), optional
        The row norms if they are known; by default they are computed by one pass over the rows.
    index : {"now", "later"}, default="now"
        Whether that pass is made at once, or when the norms are first needed.

    Raises
    ------
    ValueError
        If a row holds a NaN or an infinity (the first one is named), or a norm overflows.

    Notes
    -----
    Cost: one pass; 8 bytes a row, and 16 more at the first draw of rows.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: npt.DTypeLike,
        norms: Float64Array | None = None,
        *,
        index: str = "now",
    ) -> None:
        self._shape = (int(shape[0]), int(shape[1]))
        self._dtype = np.dtype(dtype)
        self._index_seconds = 0.0
        if norms is not None:
            self._norms = self._checked(norms)
        elif index == "now":
            _ = self._norms

    @cached_property
    def _norms(self) -> Float64Array:
        return self._timed(self._compute_norms)

    def _timed(self, index_pass: Callable[[], Float64Array]) -> Float64Array:
        started = time.perf_counter()
        norms = self._checked(index_pass())
        self._index_seconds = time.perf_counter() - started
        return norms

    @property
    def has_index(self) -> bool:
        """Whether the row norms are known; if not, the first need of them makes the index pass."""
        return "_norms" in self.__dict__

    def _compute_norms(self) -> Float64Array:
        norms = np.empty(self._shape[0])
        for start, block in self.row_blocks(rows_per_block(self._shape[1])):
            if isinstance(block, np.ndarray):
                norms[start : start + len(block)] = dense_row_norms(block)
            else:
                indptr = block.indptr.astype(np.int64, copy=False)
                norms[start : start + block.shape[0]] = csr_row_norms(block.data, indptr)
        return norms

    def _checked(self, norms: Float64Array) -> Float64Array:
        """Return the norms, or say which entry is not finite, or that a norm overflows."""
        # The index pass is also the finiteness check: a NaN or infinity makes its row's norm NaN.
        if not math.isfinite(norms.max()):
            self._refuse_nonfinite(int(np.argmax(~np.isfinite(norms))))
        # The Frobenius norm is at most sqrt(m) times the largest row norm: below that bound the sum is not needed.
        if float(norms.max()) * math.sqrt(len(norms)) == math.inf and length_of(norms) == math.inf:
            raise ValueError(
                "`A` must have a Frobenius norm below 1.8e308; the sum over its rows overflows. "
                "Divide the matrix by a constant."
            )
        return norms

    def _refuse_nonfinite(self, row: int) -> NoReturn:
        block = self._read_rows(np.array([row]))
        values = block[0] if isinstance(block, np.ndarray) else block.data
        where = first_nonfinite(values)
        if where is not None:
            col = where[0] if isinstance(block, np.ndarray) else int(block.indices[where[0]])
            raise_nonfinite("A", (row, col), values[where[0]])
        raise ValueError(
            f"`A` must have row norms below 1.8e308; the norm of row {row} overflows. Divide the matrix by a constant."
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._dtype

    @property
    def index_seconds(self) -> float:
        """Seconds that the index pass took, 0 before it."""
        return self._index_seconds

    @cached_property
    def frobenius_norm(self) -> float:
        """Frobenius norm |A|_F."""
        return length_of(self._norms)

    @cached_property
    def _row_table(self) -> AliasTable:
        if not self._norms.any():
            raise ZeroMassError(
                f"`A` of shape {self._shape} has only zero entries, so no row can be drawn; give it a non-zero entry."
            )
        return AliasTable(self._norms, exponent=2)

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the Euclidean norms of the given rows, or of all rows, from the index."""
        if rows is None:
            return self._norms.copy()
        return self._norms[check_indices(rows, self._shape[0], "rows")]

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness; the draws do not depend on the number of threads.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If all entries of the matrix are zero.

        Notes
        -----
        Cost: O(m) at the first call, which builds the alias table (16 bytes a row); then O(1) a draw.
        """
        return self._row_table.sample(check_count(n_draws, "n_draws"), rng)


def length_of(values: Float64Array) -> float:
    """Return the Euclidean norm; a sum of squares of norms could overflow or underflow."""
    largest = float(values.max())
    if largest == 0.0:
        return 0.0
    shares = values / largest
    # No product of BLAS, whose threads would spin on beside the passes that follow: of a least-squares answer with
    # 200,000 rows the first one took 75 ms in place of 38.
    shares *= shares
    return largest * float(np.sqrt(shares.sum()))
