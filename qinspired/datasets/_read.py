"""One reader for whatever a user has."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from qinspired.datasets._assemble import is_integer_id
from qinspired.datasets._files import check_path, data_suffix, open_text
from qinspired.datasets._matrices import read_matrix
from qinspired.datasets._triples import is_number, named_columns, read_ratings, table_rows

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import scipy.sparse as sp

    from qinspired._typing import FloatArray
    from qinspired.datasets._types import Ratings

__all__ = ["read"]

_LINES_SEEN = 100
_FIRST_TIMESTAMP = 100_000_000  # seconds: March 1973


def read(path: str | os.PathLike[str]) -> Ratings | FloatArray | sp.csr_array[Any]:
    r"""Return ratings or a matrix, whichever the file holds.

    Parameters
    ----------
    path : str or path-like
        As for `read_ratings` and `read_matrix`.

    Returns
    -------
    Ratings, ndarray or csr_array
        `Ratings` for triples, otherwise the matrix.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UnreadableFileError
        As `read_ratings` and `read_matrix`.

    Notes
    -----
    `.parquet` is read as ratings, `.npy` and `.npz` as a matrix. A text table is read as ratings if

    - its header names a user, an item and a value, or
    - it has three columns, or four whose last is a time in seconds (integers of at least 10^8), and the
      third is numeric and each of the first two holds ids in the first 100 lines: integers >= 0, or text
      that is not a number.

    Anything else is read as a dense matrix. So a matrix of three columns that starts with two of integers
    is taken for ratings; call `read_matrix` for it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from qinspired.datasets import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "table.csv"
    ...     _ = file.write_text("1,10,4.5\n2,10,3.0\n")
    ...     triples = type(read(file)).__name__
    ...     _ = file.write_text("1.0,10,4.5\n2.0,10,3.0\n")
    ...     matrix = type(read(file)).__name__
    >>> triples, matrix
    ('Ratings', 'ndarray')
    """
    file = check_path(path)
    suffix = data_suffix(file)
    if suffix == ".parquet" or (suffix not in (".npy", ".npz") and _looks_like_triples(file)):
        return read_ratings(file)
    return read_matrix(file)


def _looks_like_triples(file: Path) -> bool:
    with open_text(file) as text:
        first = text.readline(1 << 16)
        if "\0" in first:
            return False
        rows = [fields for _, fields in islice(table_rows(text, first), _LINES_SEEN)]
    if not rows:
        return False
    if named_columns(rows[0]) is not None:
        return True
    if not all(is_number(field) for field in rows[0][2:3]):
        rows = rows[1:]
    width = len(rows[0]) if rows else 0
    # Short lines are a fault of the table, which the reader of ratings reports with their number.
    rows = [fields for fields in rows if len(fields) == width]
    if width == 4:
        if not all(is_integer_id(fields[3].strip()) and int(fields[3]) >= _FIRST_TIMESTAMP for fields in rows):
            return False
    elif width != 3:
        return False
    ids = all(_is_id(field.strip()) for fields in rows for field in fields[:2])
    return ids and all(is_number(fields[2]) for fields in rows)


def _is_id(text: str) -> bool:
    return text != "" and ((is_integer_id(text) and int(text) >= 0) or not is_number(text))
