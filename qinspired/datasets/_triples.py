"""Ratings from tables of (user, item, value)."""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.datasets._assemble import ratings_matrix, sort_ids
from qinspired.datasets._files import UnreadableFileError, check_path, data_suffix, find_delimiter, open_text
from qinspired.datasets._types import Ratings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from qinspired._typing import Float64Array, IntArray

__all__ = ["is_number", "named_columns", "read_ratings", "table_rows"]

_USERS = ("user", "userid", "uid", "customer", "customerid", "reviewerid")
_ITEMS = (
    "item",
    "itemid",
    "iid",
    "movie",
    "movieid",
    "product",
    "productid",
    "asin",
    "book",
    "bookid",
    "track",
)
_VALUES = ("value", "rating", "ratings", "score", "stars", "count", "weight", "plays")
_CHUNK_LINES = 100_000
_LONGEST_ID = 1000


def read_ratings(path: str | os.PathLike[str]) -> Ratings:
    r"""Return the users by items matrix in a table of (user, item, value) lines.

    Parameters
    ----------
    path : str or path-like
        A Parquet file (`.parquet`, needs ``qinspired[data]``), or a text table of any suffix,
        gzip-compressed or not, in UTF-8, separated by tabs, `::`, `;`, `,` or white space.

    Returns
    -------
    Ratings
        Rows and columns in ascending order of the ids. Ids are int64 if all of them are integers, else
        strings ("007" is a string).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UnreadableFileError
        If the file is a directory, empty, binary or cut off, or a line has fewer than three fields, an
        empty id or a value that is not a finite number.
    ImportError
        If a Parquet file is given and pyarrow is not installed.

    Notes
    -----
    A first line whose third field is not a number is a header. Columns are found by the names in the header
    (such as userId, movie_id:token, rating) where it names a user, an item and a value; otherwise they are
    the first three. Others, such as a timestamp, are ignored. If a (user, item) pair is repeated, its last
    line counts. A value of 0 is stored as an explicit zero. Blank lines are skipped.

    Cost: about 2 s for a million lines, memory for 24 bytes a line and the ids.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from qinspired.datasets import read_ratings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "ratings.csv"
    ...     _ = file.write_text("user,item,rating\nann,7,4.5\nbob,7,0\nann,3,2\n")
    ...     data = read_ratings(file)
    >>> data.user_ids.tolist(), data.item_ids.tolist(), data.matrix.nnz
    (['ann', 'bob'], [3, 7], 3)
    """
    file = check_path(path)
    if data_suffix(file) in (".npy", ".npz"):
        raise UnreadableFileError(f"{file}: holds a matrix, not a table of ratings. Use `read_matrix`.")
    users = _Encoder()
    items = _Encoder()
    if data_suffix(file) == ".parquet":
        values = _read_parquet(file, users, items)
    else:
        with open_text(file) as text:
            values = _read_lines(file, text, users, items)
    if len(values) == 0:
        raise UnreadableFileError(f"{file}: holds no rating. Each line must be user, item, value.")
    if any("\0" in name for encoder in (users, items) for name in encoder.codes):
        raise _binary(file)
    user_ids, rows = sort_ids(list(users.codes), users.encoded())
    item_ids, cols = sort_ids(list(items.codes), items.encoded())
    matrix = ratings_matrix(rows, cols, values, (len(user_ids), len(item_ids)))
    return Ratings(matrix=matrix, user_ids=user_ids, item_ids=item_ids, name=file.name, source=str(file))


class _Encoder:
    """Numbers ids in order of appearance."""

    __slots__ = ("chunks", "codes")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.chunks: list[IntArray] = []

    def add(self, names: Sequence[str]) -> None:
        codes = self.codes
        self.chunks.append(np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64))

    def encoded(self) -> IntArray:
        return np.concatenate(self.chunks) if self.chunks else np.empty(0, dtype=np.int64)


def is_number(text: str) -> bool:
    """Tell whether a field is a number (NaN and infinity are)."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def named_columns(header: Sequence[str]) -> tuple[int, int, int] | None:
    """Return the positions of user, item and value, if the header names all three."""
    # "movie_id:token", "Movie ID" and "movieId" are the same name.
    names = ["".join(c for c in field.split(":")[0].lower() if c.isalnum()) for field in header]
    found = [next((i for i, name in enumerate(names) if name in known), None) for known in (_USERS, _ITEMS, _VALUES)]
    user, item, value = found
    return None if user is None or item is None or value is None else (user, item, value)


def table_rows(text: TextIO, first_line: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, stripped fields) of the lines that are not blank; `first_line` was read before."""
    delimiter = find_delimiter(first_line)

    def lines() -> Iterator[str]:
        yield first_line
        yield from text

    if delimiter is None or delimiter == "::":
        for number, line in enumerate(lines(), start=1):
            if line.strip():
                yield number, [field.strip() for field in line.strip().split(delimiter)]
        return
    reader = csv.reader(lines(), delimiter=delimiter, skipinitialspace=True)
    for fields in reader:
        if fields and (len(fields) > 1 or fields[0].strip()):
            yield reader.line_num, fields


def _read_lines(file: Path, text: TextIO, users: _Encoder, items: _Encoder) -> Float64Array:
    first_line = _first_line(file, text)
    rows = table_rows(text, first_line)
    columns = (0, 1, 2)
    chunks: list[Float64Array] = []
    first = True
    try:
        while batch := list(islice(rows, _CHUNK_LINES)):
            if first:
                first = False
                header = batch[0][1]
                named = named_columns(header)
                if named is not None or (len(header) >= 3 and not is_number(header[2])):
                    columns = named or columns
                    batch = batch[1:]
            if batch:
                chunks.append(_take(file, batch, columns, users, items))
    except csv.Error as error:
        raise UnreadableFileError(
            f"{file}: is not a table of text ({error}). Check the quotes and the format."
        ) from error
    return np.concatenate(chunks) if chunks else np.empty(0)


def _first_line(file: Path, text: TextIO) -> str:
    line = text.readline(1 << 16)
    if "\0" in line:
        raise _binary(file)
    return line


def _binary(file: Path) -> UnreadableFileError:
    return UnreadableFileError(
        f"{file}: is binary, not a table of text. Give it the suffix of its format (.npy, .npz, .parquet)."
    )


def _take(
    file: Path,
    batch: list[tuple[int, list[str]]],
    columns: tuple[int, int, int],
    users: _Encoder,
    items: _Encoder,
) -> Float64Array:
    user, item, value = columns
    try:
        names = [fields[user].strip() for _, fields in batch]
        things = [fields[item].strip() for _, fields in batch]
        values = np.array([float(fields[value]) for _, fields in batch])
    except (IndexError, ValueError):
        raise _first_fault(file, batch, columns) from None
    if not np.isfinite(values).all() or "" in names or "" in things:
        raise _first_fault(file, batch, columns)
    if max(map(len, names)) > _LONGEST_ID or max(map(len, things)) > _LONGEST_ID:
        raise UnreadableFileError(f"{file}: an id is longer than {_LONGEST_ID} characters. Check the delimiter.")
    users.add(names)
    items.add(things)
    return values


def _first_fault(file: Path, batch: list[tuple[int, list[str]]], columns: tuple[int, int, int]) -> UnreadableFileError:
    """Return the error for the first bad line of a batch that has one."""
    user, item, value = columns
    for number, fields in batch:
        shown = ",".join(fields)[:60]
        if len(fields) <= max(columns):
            return UnreadableFileError(
                f"{file}: line {number} must have user, item and value; got {len(fields)} field(s): "
                f"{shown!r}. "
                "Complete or delete it."
            )
        if not fields[user].strip() or not fields[item].strip():
            return UnreadableFileError(f"{file}: line {number} has an empty id: {shown!r}. Complete or delete it.")
        text = fields[value].strip()
        if not is_number(text) or not np.isfinite(float(text)):
            return UnreadableFileError(
                f"{file}: line {number} must have a finite number as its value; got {text[:30]!r}. "
                "Correct or delete it."
            )
    return UnreadableFileError(f"{file}: is not a table of user, item, value.")


def _read_parquet(file: Path, users: _Encoder, items: _Encoder) -> Float64Array:
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            f'{file}: reading Parquet needs pyarrow, which is not installed; run `pip install "qinspired[data]"`.'
        ) from error
    try:
        source = pq.ParquetFile(file)
        names = source.schema_arrow.names
        columns = named_columns(names) or (0, 1, 2)
        if len(names) < 3:
            raise UnreadableFileError(f"{file}: must have the columns user, item, value; it has {names}.")
        table: Any = source.read(columns=[names[i] for i in columns])
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"{file}: is not a readable Parquet file ({error}). Write it again.") from error
    for i, encoder in ((0, users), (1, items)):
        column = table.column(i)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if column.null_count or not (text or pa.types.is_integer(kind)):
            raise UnreadableFileError(
                f"{file}: column {table.column_names[i]!r} must hold integer or string ids without "
                f"nulls; got {kind} "
                f"with {column.null_count} null(s). Convert or drop them."
            )
        encoder.add(pc.cast(column, pa.string()).to_pylist())
    column = table.column(2)
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise UnreadableFileError(
            f"{file}: column {table.column_names[2]!r} must hold numbers without nulls; got "
            f"{column.type} with "
            f"{column.null_count} null(s). Convert or drop them."
        )
    values = np.asarray(column.to_numpy(), dtype=np.float64)
    if not np.isfinite(values).all():
        raise UnreadableFileError(f"{file}: column {table.column_names[2]!r} must be finite. Drop NaN and infinity.")
    return values
