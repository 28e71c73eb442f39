"""A matrix that hands every question on to another one."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from qinspired.exceptions import VersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike
    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["ForwardingMatrix", "PinnedMatrix", "base_of"]


class ForwardingMatrix:
    """Sample-and-query access that asks `source`, the base of wrappers."""

    __slots__ = ("_source",)

    def __init__(self, source: SampleQueryMatrix) -> None:
        self._source = source

    @property
    def source(self) -> SampleQueryMatrix:
        """The matrix that is asked."""
        return self._source

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        return self.source.dtype

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm, from the index."""
        return self.source.frobenius_norm

    @property
    def is_sparse(self) -> bool:
        """Whether `rows` gives CSR blocks."""
        return self.source.is_sparse

    @property
    def n_stored(self) -> int:
        """Stored entries."""
        return self.source.n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes read for one stored entry."""
        return self.source.entry_bytes

    @property
    def index_seconds(self) -> float:
        """Seconds that building the index took."""
        return self.source.index_seconds

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return row norms."""
        return self.source.row_norms(rows)

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of the given rows."""
        return self.source.row_lengths(rows)

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return entries."""
        return self.source.query(rows, cols)

    def rows(self, rows: npt.ArrayLike) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows."""
        return self.source.rows(rows)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once."""
        yield from self.source.row_blocks(rows_per_block)

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows by squared norm."""
        return self.source.sample_rows(n_draws, rng)

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw a column for each row."""
        return self.source.sample_cols(rows, rng)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X."""
        return self.source.matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y."""
        return self.source.rmatmul(Y)


def base_of(A: Any) -> Any:
    """Return the matrix behind all wrappers."""
    while isinstance(A, ForwardingMatrix):
        A = A.source
    return A


class PinnedMatrix(ForwardingMatrix):
    """A changeable matrix as it was at one version; every access after an update is refused.

    Parameters
    ----------
    source : object with sample-and-query access and a `version`
        A number that grows with each update.

    Notes
    -----
    `as_sq_matrix` makes it of a matrix that has a `version`, so that an answer keeps to the matrix it was made from.
    """

    __slots__ = ("version",)

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        self.version: int = source.version

    @property
    def source(self) -> SampleQueryMatrix:
        """The matrix, if it is still at the version."""
        self._check()
        return self._source

    def _check(self) -> None:
        now = self._source.version  # type: ignore[attr-defined]
        if now != self.version:
            raise VersionError(
                f"this was made from version {self.version} of a matrix that is now at version {now}; make it again "
                "from the updated matrix."
            )

    def __repr__(self) -> str:
        return f"PinnedMatrix({self._source!r}, version={self.version})"

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once; an update on the way ends it."""
        for start, block in self.source.row_blocks(rows_per_block):
            self._check()
            yield start, block


def _checked_after(ask: Callable[..., Any]) -> Callable[..., Any]:
    # An update by another thread, after the version was seen and before the answer was made, is refused too.
    @wraps(ask)
    def method(self: PinnedMatrix, *args: Any, **kwargs: Any) -> Any:
        answer = ask(self, *args, **kwargs)
        self._check()
        return answer

    return method


for _name in ("row_norms", "row_lengths", "query", "rows", "sample_rows", "sample_cols", "matmul", "rmatmul"):
    setattr(PinnedMatrix, _name, _checked_after(getattr(ForwardingMatrix, _name)))
for _name in ("shape", "frobenius_norm", "n_stored"):
    setattr(PinnedMatrix, _name, property(_checked_after(getattr(ForwardingMatrix, _name).fget)))
