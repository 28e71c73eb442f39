"""Matrices from files."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_matrix
from qinspired.datasets._files import UnreadableFileError, check_path, data_suffix, find_delimiter, open_text
from qinspired.datasets._triples import is_number

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from qinspired._typing import FloatArray

__all__ = ["read_matrix"]


# What numpy, scipy and zipfile raise for files that are cut off, altered or of another kind.
_DAMAGE = (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def read_matrix(path: str | os.PathLike[str]) -> FloatArray | sp.csr_array[Any]:
    """Return the matrix in a file, dense or CSR as it was saved.

    Parameters
    ----------
    path : str or path-like
        `.npy`; `.npz` written by `scipy.sparse.save_npz` or holding one array; otherwise a text table of
        numbers in UTF-8, gzip-compressed or not, separated by tabs, `;`, `,` or white space. A first line
        that is not all numbers is a header.

    Returns
    -------
    ndarray or csr_array, shape (m, n)
        Finite float32 or float64; other numbers become float64. Zeros stored in a sparse file stay stored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UnreadableFileError
        If the file is a directory, empty, cut off or of another format, holds Python objects, several
        arrays, a missing or non-numeric field, lines of different lengths, NaN or infinity, or is not
        two-dimensional.

    Notes
    -----
    Pickled objects are never loaded.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qinspired.datasets import read_matrix
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "A.npy", np.eye(3))
    ...     read_matrix(Path(folder) / "A.npy").shape
    (3, 3)
    """
    file = check_path(path)
    suffix = data_suffix(file)
    if suffix == ".parquet":
        raise UnreadableFileError(f"{file}: Parquet files are read as ratings. Use `read_ratings`.")
    raw = _load_numpy(file) if suffix in (".npy", ".npz") else _load_text(file)
    try:
        return check_matrix(raw, "matrix")
    except (TypeError, ValueError) as error:
        raise UnreadableFileError(f"{file}: {error}") from error


def _load_numpy(file: Path) -> Any:
    try:
        # Opened here, as numpy leaves a damaged archive open.
        with file.open("rb") as raw:
            loaded = np.load(raw, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return loaded
            names = loaded.files
            if len(names) == 1:
                return loaded[names[0]]
        if {"format", "shape"} <= set(names):
            return sp.load_npz(file)
    except _DAMAGE as error:
        objects = " It holds Python objects, which are never loaded." if "allow_pickle" in str(error) else ""
        raise UnreadableFileError(
            f"{file}: is not a readable numpy file ({error}).{objects} Write it again with `numpy.save` or "
            "`scipy.sparse.save_npz`."
        ) from error
    raise UnreadableFileError(
        f"{file}: must hold one array or a scipy.sparse matrix; it holds {', '.join(names) or 'nothing'}. "
        "Save the matrix alone with `numpy.save`."
    )


def _load_text(file: Path) -> FloatArray:
    with open_text(file) as text:
        first = text.readline(1 << 24)
        if "\0" in first:
            raise UnreadableFileError(
                f"{file}: is binary, not a table of text. Give it the suffix of its format (.npy, .npz)."
            )
        delimiter = find_delimiter(first)
        fields = first.split(delimiter)
        header = not all(is_number(field) for field in fields if field.strip()) or not first.strip()
        skipped = int(header)

        def lines() -> Any:
            if not header:
                yield first
            yield from text

        try:
            rows = np.loadtxt(_NonEmpty(lines(), file), delimiter=delimiter, comments=None, ndmin=2)
        except ValueError as error:
            if isinstance(error, UnreadableFileError | UnicodeDecodeError):
                raise
            raise UnreadableFileError(
                f"{file}: must be a table of numbers with as many in each line; {error} (rows are "
                "counted from 0 "
                f"after {skipped} header line(s)). Correct it, or read user, item, value lines with "
                "`read_ratings`."
            ) from error
    return rows


class _NonEmpty:
    """An iterator over lines that refuses to be empty."""

    def __init__(self, lines: Any, file: Path) -> None:
        self._lines = lines
        self._file = file
        self._seen = False

    def __iter__(self) -> _NonEmpty:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if line.strip():
                self._seen = True
                return str(line)
        if not self._seen:
            raise UnreadableFileError(f"{self._file}: holds no numbers. Write it again or give another file.")
        raise StopIteration
