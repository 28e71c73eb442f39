"""The files of a saved matrix: names, sizes, checksums, and the header that ties them together."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import struct
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from qinspired.exceptions import CorruptFileError

__all__ = [
    "CHUNK_BYTES",
    "HEADER_NAME",
    "LOCK_NAME",
    "NPY_HEADER_BYTES",
    "OWN_NAME",
    "REMEDY",
    "Header",
    "Part",
    "as_folder",
    "n_chunks",
    "npy_header",
    "parse_header",
    "read_exactly",
    "read_header",
    "render_header",
]

HEADER_NAME = "header.json"
LOCK_NAME = ".lock"
FORMAT_NAME = "qinspired-matrix"
FORMAT_VERSION = 1

# One checksum a chunk: 4 bytes in 65,536, so that the table of 10 GB has 610 kB. A row of 100 float32 reads 64 KiB at
# its first use, and a smaller chunk would make the table, which is read at opening, larger.
CHUNK_BYTES = 65_536

NPY_HEADER_BYTES = 128

# A part's name ends in a token drawn for each save, so that no save writes to a file that a reader may have open.
OWN_NAME = re.compile(r"(?:data|indices|indptr|norms|checksums)-[0-9a-f]{16}\.npy|header-[0-9a-f]{16}\.json|\.lock")

_NO_DIGEST = "0" * 64
REMEDY = "Restore the directory from a copy, or save the matrix again."
_ITEM_BYTES = {"<f4": 4, "<f8": 8, "<i4": 4, "<i8": 8, "<u4": 4}


@dataclass(frozen=True, slots=True)
class Part:
    """One `.npy` file of a saved matrix."""

    file: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of the entries, the header of the file not included."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]

    @property
    def file_bytes(self) -> int:
        """Bytes of the file."""
        return NPY_HEADER_BYTES + self.n_bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What `header.json` says; `parts` are in the order of their checksums in the table."""

    kind: str
    shape: tuple[int, int]
    dtype: str
    frobenius_norm: float
    largest_norm: float
    parts: dict[str, Part]
    checksums: Part
    checksums_sha256: str
    sha256: str = _NO_DIGEST

    @property
    def files(self) -> set[str]:
        """Names of all parts."""
        return {part.file for part in self.parts.values()} | {self.checksums.file}


def _package() -> str:
    return f"qinspired {import_module('qinspired').__version__}"  # layers below the top do not import it by name


def n_chunks(part: Part) -> int:
    """Return how many checksums a part has."""
    return -(-part.n_bytes // CHUNK_BYTES)


def as_folder(path: Any) -> Path:
    """Return the absolute path of a saved matrix."""
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise TypeError(f"`path` must be a string or a `pathlib.Path`; got an object of type {type(path).__name__}.")
    if not os.fspath(path):
        raise ValueError("`path` must name a directory; got an empty string. Give '.' for the current one.")
    return Path(os.path.abspath(path))  # noqa: PTH100 - `Path.resolve` would follow a link that is later set anew


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return the first 128 bytes of a `.npy` file, the same ones from every version of numpy and Python."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}"
    size = NPY_HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", size) + text.encode("ascii").ljust(size - 1) + b"\n"


def read_exactly(descriptor: int, count: int, offset: int, file: Path) -> bytes:
    """Return bytes of an open file without moving its position, so that threads and forked processes can share it."""
    pieces, wanted = [], count
    while wanted:
        piece = os.pread(descriptor, wanted, offset + count - wanted)
        if not piece:
            raise CorruptFileError(
                f"{file}: has {os.fstat(descriptor).st_size} bytes, but bytes {offset} to {offset + count} are needed; "
                f"the file was truncated. {REMEDY}"
            )
        pieces.append(piece)
        wanted -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _as_fields(name: str, part: Part) -> dict[str, Any]:
    return {
        "name": name,
        "file": part.file,
        "dtype": part.dtype,
        "shape": list(part.shape),
        "bytes": part.file_bytes,
    }


def render_header(header: Header) -> bytes:
    """Return the bytes of `header.json`, whose last field is the SHA-256 of them all with zeros in its place."""
    fields = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "written_by": _package(),
        "kind": header.kind,
        "shape": list(header.shape),
        "dtype": header.dtype,
        "frobenius_norm": header.frobenius_norm,
        "largest_norm": header.largest_norm,
        "chunk_bytes": CHUNK_BYTES,
        "parts": [_as_fields(name, part) for name, part in header.parts.items()],
        "checksums": _as_fields("checksums", header.checksums) | {"sha256": header.checksums_sha256},
        "sha256": _NO_DIGEST,
    }
    blank = (json.dumps(fields, indent=1) + "\n").encode("ascii")
    return _sealed(blank, hashlib.sha256(blank).hexdigest())


def _sealed(blank: bytes, digest: str) -> bytes:
    head, _, tail = blank.rpartition(_NO_DIGEST.encode("ascii"))
    return head + digest.encode("ascii") + tail


def read_header(folder: Path) -> bytes:
    """Return the bytes of the header in a directory, which must be there."""
    file = folder / HEADER_NAME
    try:
        return file.read_bytes()
    except FileNotFoundError:
        if not folder.exists():
            raise FileNotFoundError(
                errno.ENOENT, "there is no saved matrix; make one with `qinspired.save`", str(folder)
            ) from None
        begun = any(OWN_NAME.fullmatch(left.name) for left in folder.iterdir())
        what = "a matrix whose saving was interrupted" if begun else "no saved matrix"
        raise CorruptFileError(
            f"{folder}: has no {HEADER_NAME}, so it is {what}. Give the directory that `qinspired.save` wrote, or "
            "save the matrix again."
        ) from None
    except NotADirectoryError:
        if not folder.is_file():
            raise
        raise CorruptFileError(
            f"{folder}: is a file, but a saved matrix is a directory. Read the file with "
            "`qinspired.datasets.read_matrix` and save the matrix with `qinspired.save`."
        ) from None
    except IsADirectoryError:
        raise CorruptFileError(f"{file}: is a directory, so {folder} is no saved matrix. {REMEDY}") from None


def parse_header(raw: bytes, folder: Path) -> Header:
    """Return the header that the bytes hold, checked against its own checksum and for agreement with itself."""
    file = folder / HEADER_NAME
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):  # bytes that are no text raise a ValueError too
        fields = None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT_NAME:
        what = "is damaged" if FORMAT_NAME.encode("ascii") in raw else "is not the header of a saved matrix"
        raise CorruptFileError(f"{file}: {what}. Give a directory that `qinspired.save` wrote. {REMEDY}")
    digest = fields.get("sha256")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest) or not _matches(raw, digest):
        raise CorruptFileError(f"{file}: does not match its own checksum; the file was altered. {REMEDY}")
    version = fields.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise CorruptFileError(
            f"{file}: has format version {version}, written by {fields.get('written_by')}; {_package()} reads versions "
            f"up to {FORMAT_VERSION}. Upgrade qinspired, or save the matrix again with this version."
        )
    try:
        header = _from_fields(fields)
        problem = _disagreement(header, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFileError(f"{file}: lacks a field or has one of the wrong type ({error!r}). {REMEDY}") from error
    if problem:
        raise CorruptFileError(f"{file}: {problem}. {REMEDY}")
    return header


def _matches(raw: bytes, digest: str) -> bool:
    head, found, tail = raw.rpartition(digest.encode("ascii"))
    return bool(found) and hashlib.sha256(head + _NO_DIGEST.encode("ascii") + tail).hexdigest() == digest


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise TypeError(f"{values!r} is no list of integers >= 0")
    return tuple(values)


def _as_part(fields: dict[str, Any]) -> Part:
    part = Part(fields["file"], fields["dtype"], _integers(fields["shape"]))
    if not re.fullmatch(rf"{fields['name']}-[0-9a-f]{{16}}\.npy", part.file):  # also: no path out of the directory
        raise ValueError(f"{part.file!r} is no name of a part")
    if part.dtype not in _ITEM_BYTES:
        raise ValueError(f"dtype {part.dtype!r} is not one of {', '.join(_ITEM_BYTES)}")
    if fields["bytes"] != part.file_bytes:
        raise ValueError(f"{part.file} of shape {part.shape} has {part.file_bytes} bytes, not {fields['bytes']}")
    return part


def _from_fields(fields: dict[str, Any]) -> Header:
    shape = _integers(fields["shape"])
    return Header(
        kind=fields["kind"],
        shape=(shape[0], shape[1]) if len(shape) == 2 else (0, 0),
        dtype=fields["dtype"],
        frobenius_norm=float(fields["frobenius_norm"]),
        largest_norm=float(fields["largest_norm"]),
        parts={part["name"]: _as_part(part) for part in fields["parts"]},
        checksums=_as_part(fields["checksums"] | {"name": "checksums"}),
        checksums_sha256=fields["checksums"]["sha256"],
        sha256=fields["sha256"],
    )


def _disagreement(header: Header, fields: dict[str, Any]) -> str:
    """Say where the shapes and types do not agree with one another; an empty string if they do."""
    m, n = header.shape
    stored = {name: (part.dtype, part.shape) for name, part in header.parts.items()}
    if fields["format_version"] != FORMAT_VERSION or fields["chunk_bytes"] != CHUNK_BYTES:
        return f"format version {fields['format_version']} with chunks of {fields['chunk_bytes']} bytes is unknown"
    if min(m, n) < 1 or header.dtype not in ("<f4", "<f8"):
        return f"a matrix of shape {fields['shape']} and dtype {header.dtype} cannot be"
    if not (0.0 <= header.largest_norm < math.inf and 0.0 <= header.frobenius_norm < math.inf):
        return f"norms {header.largest_norm} of a row and {header.frobenius_norm} of the matrix cannot be"
    expected: dict[str, tuple[str, tuple[int, ...]]] = {"data": (header.dtype, (m, n))}
    if header.kind == "csr":
        index_type, stored_entries = stored["indices"]
        expected = {
            "data": (header.dtype, stored_entries),
            "indices": (index_type, stored_entries),
            "indptr": ("<i8", (m + 1,)),
        }
        if index_type not in ("<i4", "<i8") or len(stored_entries) != 1:
            return f"indices of dtype {index_type} and shape {stored_entries} cannot be"
    elif header.kind != "dense":
        return f"kind {header.kind!r} is unknown"
    expected["norms"] = ("<f8", (m,))
    if list(stored.items()) != list(expected.items()):
        return f"parts {stored} do not make a {header.kind} matrix of shape {header.shape} and dtype {header.dtype}"
    chunks = sum(map(n_chunks, header.parts.values()))
    if (header.checksums.dtype, header.checksums.shape) != ("<u4", (chunks,)):
        return f"{chunks} chunks have a table of checksums of shape {header.checksums.shape}"
    return ""
