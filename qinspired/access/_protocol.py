"""What an algorithm may ask of a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["SampleQueryMatrix"]


@runtime_checkable
class SampleQueryMatrix(Protocol):
    """A matrix with sample-and-query access: entries, row norms, and draws by squared size.

    Derive a new storage from `RowStorage`, which implements all of it on the reading of rows. `row_blocks`, `matmul`
    and `rmatmul` are full passes; only an exact or randomized last resort uses them. A matrix that can change has a
    `version` too, an int that grows with each update.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""

    @property
    def frobenius_norm(self) -> float:
        """Square root of the sum of all squared entries."""

    @property
    def is_sparse(self) -> bool:
        """Whether `rows` gives CSR blocks (True) or dense ones (False)."""

    @property
    def n_stored(self) -> int:
        """Stored entries: m n if dense, nnz if sparse."""

    @property
    def entry_bytes(self) -> int:
        """Bytes read for one stored entry, its column index included if sparse."""

    @property
    def index_seconds(self) -> float:
        """Seconds that building the index of row norms took."""

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the norms of the given rows, or of all."""

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of the given rows."""

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return entries; `rows` and `cols` broadcast as in X[rows, cols]."""

    def rows(self, rows: npt.ArrayLike) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows as a (len(rows), n) block, dense or CSR."""

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through A once, as (first row, block of consecutive rows); blocks may be views, not to be written."""

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2."""

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(j) = A_ij^2 / |A_i|^2."""

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X, X of shape (n, p), by one pass over A."""

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y, Y of shape (m, p), by one pass over A."""
