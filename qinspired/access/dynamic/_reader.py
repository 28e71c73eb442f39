"""Reading a matrix that changes: one lock, one version, and a way back from half a change."""

from __future__ import annotations

import copy
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_count
from qinspired.access._row_reader import RowReader
from qinspired.access.dynamic._rows import DynamicRows
from qinspired.access.dynamic._sampler import DynamicSampler
from qinspired.exceptions import VersionError, ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["DynamicReader"]

# A product reads the matrix in blocks of rows with about this many entries.
_BLOCK_ENTRIES = 8_000_000


class DynamicReader(RowReader):
    """What `DynamicMatrix` answers, and the frame in which it changes.

    Parameters
    ----------
    n_rows, n_cols : int
        Shape; all entries are zero at first.
    """

    def __init__(self, n_rows: int, n_cols: int) -> None:
        self._rows = DynamicRows(n_rows, n_cols)
        self._sampler = DynamicSampler(self._rows.norms, exponent=2)
        self._version = 0
        self._index_seconds = 0.0
        self._undo: Callable[[], None] | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, version={self._version})"

    @property
    def version(self) -> int:
        """Number of calls so far that changed something."""
        return self._version

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        with self._exclusive():
            return self._rows.n_rows, self._rows.n_cols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float64."""
        return np.dtype(np.float64)

    @property
    def is_sparse(self) -> bool:
        """True: `rows` gives CSR blocks."""
        return True

    @property
    def n_stored(self) -> int:
        """Entries that are not zero."""
        with self._exclusive():
            return self._rows.n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry and its column index."""
        return 16

    @property
    def index_seconds(self) -> float:
        """Seconds that `from_matrix` took; 0 for a matrix that started from zeros."""
        return self._index_seconds

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm |A|_F."""
        with self._exclusive():
            return self._sampler.norm

    def to_csr(self) -> sp.csr_array[Any]:
        """Return a copy as a canonical CSR array."""
        with self._exclusive():
            return self._rows.gather(np.arange(self._rows.n_rows))

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the Euclidean norms of the given rows, or of all rows."""
        with self._exclusive():
            return self._rows.norms.copy() if rows is None else self._rows.norms[self._check_rows(rows)]

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of non-zero entries of each given row."""
        with self._exclusive():
            lengths: IntArray = self._rows.lengths[self._check_rows(rows)]
            return lengths

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
        Cost: O(1) expected a draw.
        """
        n_draws = check_count(n_draws, "n_draws")
        with self._exclusive():
            if self._sampler.norm == 0.0:
                raise ZeroMassError(
                    f"`A` of shape {self.shape} has only zero entries, so no row can be drawn; give it a non-zero "
                    "entry by `update`."
                )
            return self._sampler.sample(n_draws, rng)

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(j) = A_ij^2 / |A_i|^2.

        Parameters
        ----------
        rows : array_like of int, shape (n_draws,)
            A row for each draw; repeats are independent draws.
        rng : int, Generator, SeedSequence or None
            Source of the randomness; the draws do not depend on the number of threads.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If a given row has only zero entries.

        Notes
        -----
        Cost: O(log n) a draw.
        """
        return super().sample_cols(rows, rng)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block); a change on the way ends it with `VersionError`."""
        rows_per_block = check_count(rows_per_block, "rows_per_block", low=1)
        with self._exclusive():
            version, m = self._version, self._rows.n_rows
        for start in range(0, m, rows_per_block):
            with self._exclusive():
                if self._version != version:
                    raise VersionError(
                        f"a pass over the rows began at version {version} of a matrix that is now at version "
                        f"{self._version}; begin it again."
                    )
                block = self._rows.gather(np.arange(start, min(start + rows_per_block, m)))
            yield start, block

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        X = _factor(X, "X", self._rows.n_cols)
        with self._exclusive():
            parts = [block @ X for _, block in self.row_blocks(self._rows_per_block())]
        return np.concatenate(parts) if parts else np.zeros((0, *X.shape[1:]))

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        with self._exclusive():
            Y = _factor(Y, "Y", self._rows.n_rows)
            total = np.zeros((self._rows.n_cols, *Y.shape[1:]))
            for start, block in self.row_blocks(self._rows_per_block()):
                total += block.T @ Y[start : start + block.shape[0]]
        return total

    def _rows_per_block(self) -> int:
        return max(1, int(_BLOCK_ENTRIES * self._rows.n_rows / max(1, self._rows.n_stored)))

    def _read_rows(self, rows: IntArray) -> sp.csr_array[Any]:
        with self._exclusive():
            return self._rows.gather(rows)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> Float64Array:
        with self._exclusive():
            return self._rows.find(rows, cols)

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        with self._exclusive():
            return self._rows.draw(rows, key)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock:
            if self._undo is not None:  # an interrupt came between a change and its end, or into its undoing
                self._roll_back()
            yield

    @contextmanager
    def _changing(self, undo: Callable[[], None]) -> Iterator[None]:
        # Room for `undo` is there before anything changes, so that it needs no memory; it may run twice.
        self._undo = undo
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self._version, self._undo = self._version + 1, None  # one statement, between whose halves no interrupt comes

    def _roll_back(self) -> None:
        if self._undo is not None:
            self._undo()
        self._rows.recount()
        self._sampler = DynamicSampler(self._rows.norms, exponent=2)
        self._undo = None

    def __getstate__(self) -> dict[str, Any]:
        with self._exclusive():
            state = {**self.__dict__, "_rows": self._rows.copy(), "_sampler": copy.deepcopy(self._sampler)}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()


def _factor(values: Any, name: str, n_rows: int) -> FloatArray:
    array: FloatArray = np.asarray(values)
    if array.ndim == 0 or len(array) != n_rows:
        raise ValueError(f"`{name}` must have {n_rows} rows to be multiplied; got shape {array.shape}.")
    return array
