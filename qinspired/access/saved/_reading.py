"""Matrices opened from a directory that `save_matrix` wrote: memory maps, checked before their first use."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qinspired._validation import check_factor, check_indices
from qinspired.access._row_storage import RowStorage
from qinspired.access._stored import CSRMatrix, DenseMatrix, _writable_view
from qinspired.access.saved._checked import open_parts
from qinspired.access.saved._format import HEADER_NAME, REMEDY, as_folder, parse_header, read_header
from qinspired.exceptions import CorruptFileError, VersionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access.saved._checked import CheckedPart
    from qinspired.access.saved._format import Header

__all__ = ["SavedCSRMatrix", "SavedDenseMatrix", "open_matrix"]

_VERIFY = ("read", "all", "none")


class _Stored(NamedTuple):
    data: FloatArray
    indices: IntArray
    indptr: IntArray
    shape: tuple[int, int]


class _SavedMatrix(RowStorage):
    """What opened matrices share: where they come from, and norms that are read when they are asked for."""

    _path: Path
    _verify: str
    _header: Header
    _parts: dict[str, CheckedPart]
    _index: Float64Array | None = None

    def _attach(self, path: Path, verify: str, header: Header, parts: dict[str, CheckedPart]) -> Float64Array:
        """Keep the parts; return norms for the base class, which looks at their range and would read them all."""
        self._path, self._verify, self._header, self._parts = path, verify, header, parts
        return np.array([header.largest_norm])

    @property
    def path(self) -> Path:
        """The directory."""
        return self._path

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm |A|_F, from the header."""
        return self._header.frobenius_norm

    @property
    def _norms(self) -> Float64Array:
        if self._index is not None:
            return self._index
        self._parts["norms"].check_all()
        norms: Float64Array = _writable_view(self._parts["norms"].array)
        return norms

    @_norms.setter
    def _norms(self, value: Float64Array) -> None:
        self._index = value

    @property
    def has_index(self) -> bool:
        """True: the row norms are in the files."""
        return True

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the Euclidean norms of the given rows, or of all rows, from the file."""
        if rows is None:
            return self._norms.copy()
        rows = check_indices(rows, self._shape[0], "rows")
        self._parts["norms"].check_ranges(rows, rows + 1)
        return np.asarray(self._parts["norms"].array[rows])

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, Any]]:
        """Go through the rows once, as (first row, block); blocks are views."""
        m = self._shape[0]
        blocks = super().row_blocks(rows_per_block)
        for start in self._block_starts(rows_per_block):
            self._check_block(start, min(start + rows_per_block, m))
            yield next(blocks)
        next(blocks, None)  # lets it drop the pages of the last block

    def _draw_cols(self, rows: IntArray, key: np.uint64) -> IntArray:
        self._check_entries(rows)
        return super()._draw_cols(rows, key)

    @abstractmethod
    def _check_entries(self, rows: IntArray) -> None:
        """Check what the entries of rows are read from."""

    @abstractmethod
    def _check_block(self, start: int, stop: int) -> None:
        """Check what the entries of rows start to stop - 1 are read from."""

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, path={str(self._path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self._path), self._verify, self._header.sha256)


class SavedDenseMatrix(_SavedMatrix, DenseMatrix):
    """Sample-and-query access to a saved dense matrix; made by `qinspired.open`."""

    def __init__(self, path: Path, verify: str, header: Header, parts: dict[str, CheckedPart]) -> None:
        super().__init__(parts["data"].array, self._attach(path, verify, header, parts))
        self._index = None

    def _read_rows(self, rows: IntArray) -> FloatArray:
        self._check_entries(rows)
        return super()._read_rows(rows)

    def probe_rows(self, rows: IntArray, rng: np.random.Generator) -> Float64Array:
        """Return rough, unbiased estimates of the squared norms of the given rows, from 64 bytes of each."""
        self._check_entries(rows)
        return super().probe_rows(rows, rng)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        places = rows * self._shape[1] + cols
        self._parts["data"].check_ranges(places, places + 1)
        return super()._read_entries(rows, cols)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A."""
        X = check_factor(X, self._shape[1], "X", "columns")
        self._check_for_blas(X)
        return super().matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        Y = check_factor(Y, self._shape[0], "Y", "rows")
        self._check_for_blas(Y)
        return super().rmatmul(Y)

    def _check_for_blas(self, other: FloatArray) -> None:
        # All at once only where one product takes the whole matrix; else each block is checked as it comes.
        if self._is_for_blas(other):
            self._parts["data"].check_all()

    def _check_entries(self, rows: IntArray) -> None:
        n = self._shape[1]
        self._parts["data"].check_ranges(rows * n, rows * n + n)

    def _check_block(self, start: int, stop: int) -> None:
        self._parts["data"].check_slice(start * self._shape[1], stop * self._shape[1])


class SavedCSRMatrix(_SavedMatrix, CSRMatrix):
    """Sample-and-query access to a saved CSR matrix; made by `qinspired.open`."""

    def __init__(self, path: Path, verify: str, header: Header, parts: dict[str, CheckedPart]) -> None:
        stored = _Stored(parts["data"].array, parts["indices"].array, parts["indptr"].array, header.shape)
        super().__init__(stored, self._attach(path, verify, header, parts))
        self._index = None

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row."""
        low, high = self._places(self._check_rows(rows))
        return high - low

    def _read_rows(self, rows: IntArray) -> sp.csr_array[Any]:
        self._check_entries(rows)
        return super()._read_rows(rows)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        self._check_entries(rows)
        return super()._read_entries(rows, cols)

    def _places(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return where rows start and end among the entries; the pointers themselves were found in range."""
        self._parts["indptr"].check_ranges(rows, rows + 2)
        low, high = self._indptr[rows], self._indptr[rows + 1]
        if (high < low).any():
            self._refuse_pointers(int(rows[np.argmax(high < low)]))
        return low, high

    def _check_entries(self, rows: IntArray) -> None:
        low, high = self._places(rows)
        for name in ("data", "indices"):
            self._parts[name].check_ranges(low, high)

    def _check_block(self, start: int, stop: int) -> None:
        self._parts["indptr"].check_slice(start, stop + 1)
        pointers = self._indptr[start : stop + 1]
        falls = np.diff(pointers) < 0
        if falls.any():
            self._refuse_pointers(start + int(np.argmax(falls)))
        for name in ("data", "indices"):
            self._parts[name].check_slice(int(pointers[0]), int(pointers[-1]))

    def _refuse_pointers(self, row: int) -> None:
        raise CorruptFileError(
            f"{self._parts['indptr'].file}: row {row} ends before it starts; the file was altered. {REMEDY}"
        )


def open_matrix(path: Any, *, verify: str = "read") -> SavedDenseMatrix | SavedCSRMatrix:
    """Sample-and-query access to a matrix that `qinspired.save` wrote, without reading its entries.

    Parameters
    ----------
    path : str or path
        The directory.
    verify : {"read", "all", "none"}, default="read"
        When bytes are compared with their checksums: each chunk of 64 KiB before its first use by any access; all
        of them now; never.

    Returns
    -------
    DenseMatrix or CSRMatrix
        Over read-only memory maps; the norms come from the file too. It answers and draws as the matrix that was
        saved. Pickled, it is its path: the other process opens the same files.

    Raises
    ------
    CorruptFileError
        If the directory is no saved matrix, was written by a newer version, or a part is missing, truncated or
        altered; with `verify="read"` also from any later access that meets an altered chunk.
    FileNotFoundError
        If nothing is at `path`.
    OSError
        If a file cannot be read.

    Notes
    -----
    Cost: reads the header, 128 bytes of each part and 4 bytes for each 64 KiB: 610,476 bytes of checksums and less
    than 2 kB besides for 250,000 x 10,000 float32, 10 GB. No entry and no norm is read.
    Error: none; entries and norms are those that were saved, bit by bit.

    Column indices, row pointers and norms are found in range before their first use whatever `verify` says, so that
    no altered file makes a kernel read foreign memory. `"none"` leaves all else unchecked: an altered entry gives
    wrong answers.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import qinspired as qi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     qi.save(folder + "/A", np.array([[3.0, 4.0], [0.0, 12.0]]))
    ...     A = qi.open(folder + "/A")
    >>> A.frobenius_norm
    13.0
    >>> A.rows([1])
    array([[ 0., 12.]])
    """
    folder = as_folder(path)
    if verify not in _VERIFY:
        raise ValueError(f'`verify` must be "read", "all" or "none"; got {verify!r}.')
    while True:
        raw = read_header(folder)
        header = parse_header(raw, folder)
        try:
            parts = open_parts(folder, header, with_checksums=verify != "none")
            break
        except FileNotFoundError as error:
            # A save in between removes the parts of the old header; then there is a new one.
            if read_header(folder) == raw:
                raise CorruptFileError(f"{error.filename}: is missing, but {HEADER_NAME} names it. {REMEDY}") from None
    if verify == "all":
        _check_all(parts)
    return (SavedDenseMatrix if header.kind == "dense" else SavedCSRMatrix)(folder, verify, header, parts)


def _check_all(parts: dict[str, CheckedPart]) -> None:
    from tqdm import tqdm

    total = sum(part.array.nbytes for part in parts.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc="checking", leave=False, disable=None) as bar:
        for part in parts.values():
            part.check_all(bar.update)


def _reopen(path: str, verify: str, sha256: str) -> SavedDenseMatrix | SavedCSRMatrix:
    matrix = open_matrix(path, verify=verify)
    if matrix._header.sha256 != sha256:
        raise VersionError(f"{path}: another matrix was saved there since this one was pickled; open it by its path.")
    return matrix
