"""Opening of files, with one clear error for each thing that can be wrong with them."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["UnreadableFileError", "check_path", "data_suffix", "find_delimiter", "open_text"]


class UnreadableFileError(ValueError):
    """A file that does not hold what was asked for; the message names it, the fault and a remedy."""


def check_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing, non-empty, regular file."""
    try:
        file = Path(path)
    except TypeError as error:
        raise TypeError(f"`path` must be a string or a path; got {type(path).__name__}.") from error
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file. Check the path; it is relative to {Path.cwd()}.")
    if file.is_dir():
        raise UnreadableFileError(f"{file}: is a directory. Give the path of one file inside it.")
    if file.stat().st_size == 0:
        raise UnreadableFileError(f"{file}: the file is empty. Write it again or give another one.")
    return file


def data_suffix(file: Path) -> str:
    """Return the lower-case suffix that tells the format, without a final `.gz`."""
    name = file.name.lower()
    return Path(name.removesuffix(".gz")).suffix


@contextmanager
def open_text(file: Path) -> Iterator[TextIO]:
    """Open a text file, gzip-compressed or not, and explain what keeps it from being read."""
    try:
        with file.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if compressed:
                with gzip.open(raw) as unpacked, io.TextIOWrapper(unpacked, "utf-8-sig", newline="") as text:
                    yield text
            else:
                with io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
                    yield text
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"{file}: is not UTF-8 text (byte {error.start} of a block). If it is text, save it as "
            "UTF-8; if it is "
            "binary, give it the suffix of its format (.npy, .npz, .parquet)."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFileError(
            f"{file}: the gzip stream is damaged or cut off ({error}). Copy the file again."
        ) from error
    except PermissionError as error:
        raise UnreadableFileError(f"{file}: may not be read. Change its permissions.") from error


def find_delimiter(line: str) -> str | None:
    """Return the delimiter of a line of a table: tab, '::', ';' or ','; None for white space."""
    for candidate in ("\t", "::", ";", ","):
        if candidate in line:
            return candidate
    return None
