"""Writing a matrix to a directory, so that a crash at any point leaves the old one or the new one."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import zlib
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_csr
from qinspired.access._convert import as_sq_matrix
from qinspired.access.saved._format import (
    CHUNK_BYTES,
    HEADER_NAME,
    LOCK_NAME,
    NPY_HEADER_BYTES,
    OWN_NAME,
    Header,
    Part,
    as_folder,
    npy_header,
    parse_header,
    render_header,
)
from qinspired.exceptions import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["save_matrix"]

# Rows are written in blocks of about this many entries, 8 MB of float64.
_BLOCK_ENTRIES = 1_000_000

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


def save_matrix(path: Any, A: Any) -> None:
    """Write a matrix with its row norms and checksums to a directory that `qinspired.open` reads.

    Parameters
    ----------
    path : str or path
        The directory. It is made if it is absent (its parent must exist), and replaced if it is a saved matrix; any
        other directory is refused.
    A : matrix of shape (m, n), dense or sparse, or object with sample-and-query access
        As for `as_sq_matrix`. It is read in blocks of rows, so it may be larger than the memory, and may be the
        matrix opened from `path` itself.

    Raises
    ------
    FileExistsError
        If `path` is a file, or a directory that is no saved matrix.
    BlockingIOError
        If another process (named by its pid) or thread is writing there.
    OSError
        If the disk is full, or too small for a dense matrix, or the directory cannot be written; the message names
        the path.
    TypeError, ValueError
        As for `as_sq_matrix`, or if the blocks of rows of `A` do not make a matrix of its shape.
    VersionError
        If `A` is updated while it is written.

    Notes
    -----
    Cost: one pass over the rows, after that of the index if `A` has none; the bytes of the matrix, 8 a row for the
    norms, 4 for each 64 KiB.
    Error: none; entries and norms are stored as they are, float32 or float64.

    New parts are written under new names and synced; then `header.json`, which names them, is replaced in one step;
    then the old parts are removed. So a crash leaves the old matrix or the new one; an error or Ctrl-C leaves the old
    one (the new one, if it came after that step) and no other file; whoever has the old one open keeps it. Needs a
    POSIX system.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import qinspired as qi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     qi.save(Path(folder) / "A", np.eye(3, dtype=np.float32))
    ...     qi.open(Path(folder) / "A").row_norms()
    array([1., 1., 1.])
    """
    folder = as_folder(path)
    matrix = as_sq_matrix(A)
    if matrix.dtype not in (np.float32, np.float64):
        raise TypeError(f"`A` must hold float32 or float64; got dtype {matrix.dtype}. Give rows of one of them.")
    is_new = not folder.exists()
    try:
        _refuse_foreign(folder)
        if is_new:
            folder.mkdir(exist_ok=True)
        with _lock(folder):
            token = secrets.token_hex(8)
            _refuse_too_large(folder, matrix)
            try:
                header = _write_parts(folder, token, matrix)
                _commit(folder, token, header)
            finally:
                _sweep(folder, token)
        if is_new:
            _sync_directory(folder.parent)
    except BaseException as error:
        if is_new:
            with suppress(OSError):  # it is not empty if the error came after the last step, or another writer is there
                folder.rmdir()
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            error.filename = str(folder)  # a full disk does not say where
        raise


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(
            errno.EEXIST, "is a file; a saved matrix is a directory: give another path or remove it", str(folder)
        )
    names = {file.name for file in folder.iterdir()}
    if (folder / HEADER_NAME).is_file():
        with suppress(CorruptFileError):
            parse_header((folder / HEADER_NAME).read_bytes(), folder)
            return
    # A damaged matrix, or one whose first save was interrupted, may be saved anew: it holds no file but ours.
    own = {name for name in names if OWN_NAME.fullmatch(name)}
    if names - own - ({HEADER_NAME} if own else set()):
        raise FileExistsError(
            errno.EEXIST, "is a directory, but no saved matrix: give another path or empty it", str(folder)
        )


def _refuse_too_large(folder: Path, matrix: SampleQueryMatrix) -> None:
    """Look for room before a pass that may take hours; what sparse rows hold is not known so exactly."""
    m, n = matrix.shape
    needed, free = m * n * matrix.dtype.itemsize + 8 * m, shutil.disk_usage(folder).free
    if not matrix.is_sparse and needed > free:
        raise OSError(errno.ENOSPC, f"the matrix needs {needed:.3g} bytes, but {free:.3g} are free", str(folder))


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a lock that the system lets go of when the process ends, however it ends, so that none is ever stale."""
    import fcntl

    file = folder / LOCK_NAME
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have removed the file after it was opened here.
            if file.exists() and os.path.samestat(file.stat(), os.fstat(descriptor)):
                break
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "(unknown)"
            os.close(descriptor)
            raise BlockingIOError(
                errno.EWOULDBLOCK, f"process {pid} is saving a matrix there; wait for it or end it", str(folder)
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        with suppress(OSError):
            file.unlink()
        os.close(descriptor)


class _PartWriter:
    """One `.npy` file, written from front to end, with the checksum of each chunk."""

    def __init__(self, folder: Path, name: str, token: str, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._file = folder / f"{name}-{token}.npy"
        self.checksums: list[int] = []
        self._running, self._filled, self._written = 0, 0, 0
        self._descriptor = os.open(self._file, _CREATE, 0o666)
        self._is_open = True

    def append(self, values: np.ndarray[Any, Any]) -> None:
        content = np.ascontiguousarray(values, dtype=self._dtype).reshape(-1).view(np.uint8).data
        _write(self._descriptor, content, NPY_HEADER_BYTES + self._written)
        self._written += len(content)
        while content:
            piece = content[: CHUNK_BYTES - self._filled]
            content = content[len(piece) :]
            self._running = zlib.crc32(piece, self._running)
            self._filled += len(piece)
            if self._filled == CHUNK_BYTES:
                self._end_chunk()

    def _end_chunk(self) -> None:
        self.checksums.append(self._running)
        self._running, self._filled = 0, 0

    def finish(self, shape: tuple[int, ...]) -> Part:
        """Write the `.npy` header, sync and close."""
        if self._filled:
            self._end_chunk()
        part = Part(self._file.name, self._dtype.str, shape)
        if part.n_bytes != self._written:
            raise ValueError(
                f"`A` must give blocks of rows that make its shape; {self._written} bytes came for an array of shape "
                f"{shape} with {part.n_bytes}."
            )
        _write(self._descriptor, memoryview(npy_header(part.dtype, shape)), 0)
        os.fsync(self._descriptor)
        self.close()
        return part

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)


def _write(descriptor: int, content: memoryview, offset: int) -> None:
    while content:
        count = os.pwrite(descriptor, content, offset)
        content, offset = content[count:], offset + count


def _write_parts(folder: Path, token: str, matrix: SampleQueryMatrix) -> Header:
    m, n = matrix.shape
    with ExitStack() as stack:

        def writer(name: str, dtype: Any) -> _PartWriter:
            made = _PartWriter(folder, name, token, np.dtype(dtype))
            stack.callback(made.close)
            return made

        norms = matrix.row_norms()
        if not (norms.min() >= 0.0 and norms.max() < np.inf):
            raise ValueError(f"`A` must have finite row norms >= 0; got {norms.min()} to {norms.max()}.")
        writers = {"data": writer("data", matrix.dtype)}
        if matrix.is_sparse:
            wide = matrix.entry_bytes - matrix.dtype.itemsize == 8 or max(n, matrix.n_stored) > np.iinfo(np.int32).max
            writers |= {"indices": writer("indices", "i8" if wide else "i4"), "indptr": writer("indptr", "i8")}
            n_stored = _stream_csr(matrix, writers)
            shapes: dict[str, tuple[int, ...]] = {"data": (n_stored,), "indices": (n_stored,), "indptr": (m + 1,)}
        else:
            _stream_dense(matrix, writers["data"])
            shapes = {"data": (m, n)}
        writers["norms"], shapes["norms"] = writer("norms", "f8"), (m,)
        writers["norms"].append(norms)
        parts = {name: one.finish(shapes[name]) for name, one in writers.items()}
        table = np.array([crc for one in writers.values() for crc in one.checksums], dtype="<u4")
        last = writer("checksums", "u4")
        last.append(table)
        checksums = last.finish(table.shape)
    digest = hashlib.sha256(npy_header(checksums.dtype, checksums.shape) + table.tobytes()).hexdigest()
    return Header(
        kind="csr" if matrix.is_sparse else "dense",
        shape=(m, n),
        dtype=parts["data"].dtype,
        frobenius_norm=float(matrix.frobenius_norm),
        largest_norm=float(norms.max()),
        parts=parts,
        checksums=checksums,
        checksums_sha256=digest,
    )


def _stream_dense(matrix: SampleQueryMatrix, data: _PartWriter) -> None:
    n = matrix.shape[1]
    for start, block in matrix.row_blocks(max(1, _BLOCK_ENTRIES // n)):
        if not isinstance(block, np.ndarray) or block.ndim != 2 or block.shape[1] != n:
            raise ValueError(f"`A` must give dense blocks with {n} columns; got {block!r} from row {start}.")
        data.append(block)


def _stream_csr(matrix: SampleQueryMatrix, writers: dict[str, _PartWriter]) -> int:
    m, n = matrix.shape
    n_stored = 0
    writers["indptr"].append(np.zeros(1))
    for start, block in matrix.row_blocks(max(1, _BLOCK_ENTRIES * m // max(1, matrix.n_stored))):
        rows = check_csr(block)
        if rows.shape[1] != n:
            raise ValueError(f"`A` must give sparse blocks with {n} columns; got {block!r} from row {start}.")
        pointers = rows.indptr.astype(np.int64)
        writers["data"].append(rows.data[: pointers[-1]])
        writers["indices"].append(rows.indices[: pointers[-1]])
        writers["indptr"].append(n_stored + pointers[1:])
        n_stored += int(pointers[-1])
    return n_stored


def _commit(folder: Path, token: str, header: Header) -> None:
    new = folder / f"header-{token}.json"
    descriptor = os.open(new, _CREATE, 0o666)
    try:
        _write(descriptor, memoryview(render_header(header)), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_directory(folder)
    os.replace(new, folder / HEADER_NAME)  # noqa: PTH105 - the one step by which the new matrix takes the old one's place
    _sync_directory(folder)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path, token: str) -> None:
    """Remove the files that the header in place does not name, whichever header that is by now."""
    file = folder / HEADER_NAME
    keep: set[str] | None
    try:
        keep = parse_header(file.read_bytes(), folder).files
    except FileNotFoundError:
        keep = set()
    except (CorruptFileError, OSError):
        keep = None  # of a damaged or newer one, all but this save's own
    with suppress(OSError):
        for left in folder.iterdir():
            stale = token in left.name if keep is None else left.name not in keep
            if stale and left.name != LOCK_NAME and OWN_NAME.fullmatch(left.name):
                left.unlink()
