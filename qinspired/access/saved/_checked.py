"""Parts of a saved matrix as memory maps whose bytes are checked before their first use."""

from __future__ import annotations

import hashlib
import os
import weakref
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.access.saved._format import (
    CHUNK_BYTES,
    NPY_HEADER_BYTES,
    REMEDY,
    Header,
    Part,
    n_chunks,
    npy_header,
    read_exactly,
)
from qinspired.exceptions import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from qinspired._typing import IntArray

__all__ = ["CheckedPart", "open_parts"]

# Neighbouring chunks are read together, up to 1 MiB.
_CHUNKS_PER_READ = 16

# Scattered reads are announced to the system so many at a time.
_RUNS_AHEAD = 1024


class CheckedPart:
    """A read-only memory map and a mark for each chunk that was found sound.

    Parameters
    ----------
    file : Path
        The `.npy` file.
    part : Part
        What the header says of it.
    checksums : ndarray of uint32 or None
        CRC-32 of each chunk; None leaves them unchecked.
    bounds : (float, float) or None
        Smallest and largest value that an item may have. It is checked with and without checksums: an index out of
        range would make a kernel read foreign memory.

    Notes
    -----
    Chunks are checked by reads of the file, not through the map: the pages that only the check needs stay out of the
    process, and a file truncated since it was opened ends in an error, not in a bus error.
    """

    def __init__(
        self,
        file: Path,
        part: Part,
        checksums: npt.NDArray[np.uint32] | None,
        bounds: tuple[float, float] | None,
    ) -> None:
        self.file = file
        self._part = part
        self._checksums = checksums
        self._bounds = bounds
        with file.open("rb") as opened:
            _check_npy(opened.fileno(), file, part)
            self.array: np.ndarray[Any, Any] = np.memmap(
                opened, dtype=part.dtype, mode="r", offset=NPY_HEADER_BYTES, shape=part.shape
            )
            self._descriptor = os.dup(opened.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._sound = np.full(n_chunks(part), checksums is None and bounds is None)
        self._all_sound = bool(self._sound.all())

    @property
    def n_checked(self) -> int:
        """Chunks that were checked, or need not be."""
        return int(self._sound.sum())

    def check_ranges(self, low: IntArray, high: IntArray) -> None:
        """Check the chunks that hold items low[i] to high[i] - 1, counted through the part, for all i."""
        if self._all_sound:
            return
        item = self.array.itemsize
        some = high > low
        first, last = low[some] * item // CHUNK_BYTES, (high[some] * item - 1) // CHUNK_BYTES
        sizes = last - first + 1
        total = int(sizes.sum())
        if total <= len(self._sound):
            # All ranges written out: short, where few chunks of many are asked for.
            ends = np.cumsum(sizes)
            chunks = np.arange(total) + np.repeat(first - (ends - sizes), sizes)
            self._check(np.unique(chunks[~self._sound[chunks]]))
        else:
            n = len(self._sound) + 1
            open_ranges = np.cumsum(np.bincount(first, minlength=n) - np.bincount(last + 1, minlength=n))
            self._check(np.flatnonzero((open_ranges[:-1] > 0) & ~self._sound))

    def check_slice(self, low: int, high: int) -> None:
        """Check the chunks that hold items low to high - 1."""
        if self._all_sound or high <= low:
            return
        item = self.array.itemsize
        first, last = low * item // CHUNK_BYTES, (high * item - 1) // CHUNK_BYTES
        self._check(first + np.flatnonzero(~self._sound[first : last + 1]))

    def check_all(self, advance: Callable[[int], Any] = lambda _: None) -> None:
        """Check every chunk; `advance` is told the bytes as they are done."""
        self._check(np.flatnonzero(~self._sound), advance)

    def _check(self, chunks: IntArray, advance: Callable[[int], Any] = lambda _: None) -> None:
        if len(chunks) == 0:
            return
        runs = np.split(chunks, np.flatnonzero(np.diff(chunks) != 1) + 1)
        for position, run in enumerate(runs):
            if position % _RUNS_AHEAD == 0 and len(runs) > 1:
                self._announce(runs[position : position + _RUNS_AHEAD])
            for start in range(0, len(run), _CHUNKS_PER_READ):
                together = run[start : start + _CHUNKS_PER_READ]
                advance(self._check_run(int(together[0]), len(together)))
                self._sound[together] = True
        # Not a count: two threads may check the same chunk.
        self._all_sound = bool(self._sound.all())

    def _announce(self, runs: list[IntArray]) -> None:
        """Ask the system to read scattered chunks ahead, so that the disk has more than one to fetch at a time."""
        if hasattr(os, "posix_fadvise"):
            for run in runs:
                place = NPY_HEADER_BYTES + int(run[0]) * CHUNK_BYTES
                os.posix_fadvise(self._descriptor, place, len(run) * CHUNK_BYTES, os.POSIX_FADV_WILLNEED)

    def _check_run(self, first: int, count: int) -> int:
        begin, end = first * CHUNK_BYTES, min((first + count) * CHUNK_BYTES, self._part.n_bytes)
        content = memoryview(read_exactly(self._descriptor, end - begin, NPY_HEADER_BYTES + begin, self.file))
        for chunk in range(count):
            piece = content[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
            if self._checksums is not None and zlib.crc32(piece) != self._checksums[first + chunk]:
                place = NPY_HEADER_BYTES + begin + chunk * CHUNK_BYTES
                raise CorruptFileError(
                    f"{self.file}: bytes {place} to {place + len(piece)} do not match their checksum; the file was "
                    f"altered or its disk is failing. {REMEDY}"
                )
        if self._bounds is not None:
            items = np.frombuffer(content, dtype=self._part.dtype)
            low, high = self._bounds
            if not (items.min() >= low and items.max() <= high):  # False for NaN too
                place = NPY_HEADER_BYTES + begin
                raise CorruptFileError(
                    f"{self.file}: bytes {place} to {place + len(content)} hold a value outside [{low}, {high}]; the "
                    f"file was altered. {REMEDY}"
                )
        return end - begin


def _check_npy(descriptor: int, file: Path, part: Part) -> None:
    """Compare the size and the first 128 bytes of a `.npy` file with what the header says."""
    size = os.fstat(descriptor).st_size
    if size != part.file_bytes:
        what = "truncated" if size < part.file_bytes else "added to"
        raise CorruptFileError(
            f"{file}: has {size} bytes, but dtype {part.dtype} and shape {part.shape} make {part.file_bytes}; the file "
            f"was {what}. {REMEDY}"
        )
    if read_exactly(descriptor, NPY_HEADER_BYTES, 0, file) != npy_header(part.dtype, part.shape):
        raise CorruptFileError(
            f"{file}: bytes 0 to {NPY_HEADER_BYTES} are not the header of an array of dtype {part.dtype} and shape "
            f"{part.shape}; the file was altered. {REMEDY}"
        )


def _read_checksums(folder: Path, header: Header) -> npt.NDArray[np.uint32]:
    file = folder / header.checksums.file
    with file.open("rb") as opened:
        _check_npy(opened.fileno(), file, header.checksums)
        content = read_exactly(opened.fileno(), header.checksums.file_bytes, 0, file)
    if hashlib.sha256(content).hexdigest() != header.checksums_sha256:
        raise CorruptFileError(f"{file}: the table of checksums was altered. {REMEDY}")
    return np.frombuffer(content, dtype="<u4", offset=NPY_HEADER_BYTES)


def open_parts(folder: Path, header: Header, *, with_checksums: bool) -> dict[str, CheckedPart]:
    """Map all parts of a matrix; reads the table of checksums and the first 128 bytes of each part, no entry."""
    checksums = _read_checksums(folder, header) if with_checksums else None
    n_stored = header.parts["data"].shape[0]
    bounds: dict[str, tuple[float, float]] = {
        "indices": (0, header.shape[1] - 1),
        "indptr": (0, n_stored),
        "norms": (0.0, header.largest_norm),
    }
    parts, first = {}, 0
    for name, part in header.parts.items():
        own = None if checksums is None else checksums[first : first + n_chunks(part)]
        first += n_chunks(part)
        parts[name] = CheckedPart(folder / part.file, part, own, bounds.get(name))
    return parts
