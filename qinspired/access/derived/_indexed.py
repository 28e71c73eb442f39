"""Exact sample-and-query access to any matrix whose rows can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qinspired.access._row_storage import RowStorage
from qinspired.access.derived._oversampled import OversampledMatrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike
    from qinspired.access._row_reader import RowReader

__all__ = ["IndexedMatrix"]


class IndexedMatrix(RowStorage):
    """A matrix that can be read, with an index of its exact row norms: sample-and-query access with phi = 1.

    Parameters
    ----------
    reader : RowReader
        For one, a sum, a product, a transpose or a centred matrix. It is not formed; rows are made when they are read.

    Raises
    ------
    ValueError
        If a row is not finite (the first one is named).

    Notes
    -----
    Cost: one pass over the rows of `reader`; 8 bytes a row, and 16 more at the first draw. `as_sq_matrix` makes it.
    """

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        super().__init__(reader.shape, reader.dtype)

    @property
    def reader(self) -> RowReader:
        """The matrix that is read."""
        return self._reader

    def _compute_norms(self) -> Float64Array:
        return self._reader.row_norms() if isinstance(self._reader, OversampledMatrix) else super()._compute_norms()

    def _read_rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        return self._reader._read_rows(rows)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        return self._reader._read_entries(rows, cols)

    @property
    def multiplied(self) -> Any:
        """The matrix whose entries a product reads: this one, or what the matrix that is read multiplies with."""
        return getattr(self._reader, "multiplied", self)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return self._reader.shape  # asked of the source: one that was updated since refuses

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm, from the index."""
        self._check_source()
        return super().frobenius_norm

    @property
    def is_sparse(self) -> bool:
        """Whether `rows` gives CSR blocks (True) or dense ones (False)."""
        return self._reader.is_sparse

    @property
    def n_stored(self) -> int:
        """Stored entries."""
        return self._reader.n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry, its column index included if sparse."""
        return self._reader.entry_bytes

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row."""
        return self._reader.row_lengths(rows)

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the Euclidean norms of the given rows, or of all rows, from the index."""
        self._check_source()
        return super().row_norms(rows)

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2; as `RowStorage.sample_rows`."""
        self._check_source()
        return super().sample_rows(n_draws, rng)

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(j) = A_ij^2 / |A_i|^2, as the matrix that is read does it."""
        return self._reader.sample_cols(rows, rng)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block)."""
        yield from self._reader.row_blocks(rows_per_block)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        return self._reader.matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        return self._reader.rmatmul(Y)

    def _check_source(self) -> None:
        # The index would go on answering for a source that was updated; reading the shape lets a pinned one refuse.
        _ = self._reader.shape

    def __repr__(self) -> str:
        return f"IndexedMatrix({self._reader!r})"
