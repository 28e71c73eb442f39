"""Passes over arrays that may be maps of files larger than memory: read in chunks, whose pages are dropped."""

from __future__ import annotations

import mmap
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qinspired._typing import IntArray

__all__ = ["FilePages", "chunks"]

# Resident pages of a map are dropped after about this many bytes; a map of no more than this stays.
CHUNK_BYTES = 256_000_000

# A first touch may map a whole piece of the page cache of this size: on Linux 6.18, 1000 rows of 40 KB spread over a
# file of 1.6 GB made all of it resident.
_TOUCH_BYTES = 2_000_000

# A pass over more than this shows its progress, if a terminal listens.
_PROGRESS_FROM = 2_000_000_000


class FilePages:
    """The pages of the file that an array is a map of: those read can be dropped from resident memory.

    Of no effect where the array is no map, is small, or the system cannot drop pages; and where the map is, or may be,
    copy-on-write, because its private changes would be lost with its pages.
    """

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        found = _file_map(array) if array.nbytes > CHUNK_BYTES and hasattr(mmap, "MADV_DONTNEED") else None
        self._map = found
        self._touched = 0
        self._array = array
        if found is not None:
            self._start = np.frombuffer(found, dtype=np.uint8).__array_interface__["data"][0]

    @property
    def are_mapped(self) -> bool:
        """Whether pages are dropped at all."""
        return self._map is not None

    def drop(self, view: np.ndarray[Any, Any] | None = None) -> None:
        """Drop the pages of a part of the array, or of all of it."""
        part = self._array if view is None else view
        if self._map is None or part.size == 0:
            return
        low, high = (address - self._start for address in np.lib.array_utils.byte_bounds(part))
        low -= low % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, low, min(high, len(self._map)) - low)

    def expect(self, starts: IntArray, stops: IntArray) -> None:
        """Ask the system to read ahead the bytes start to stop of the array, for each of several parts.

        Without it a map is read at each first touch in pieces of 128 KB, one after the other: 3000 rows of 40 KB of a
        2 GB file that was not in memory took 1.2 to 3.5 s, and 0.2 s when asked for.
        """
        if self._map is None or len(starts) == 0 or int((stops - starts).sum()) < mmap.PAGESIZE * len(starts):
            return
        offset = self._array.__array_interface__["data"][0] - self._start
        lows = (starts + offset) // mmap.PAGESIZE * mmap.PAGESIZE
        for low, length in zip(lows.tolist(), (stops + offset - lows).tolist(), strict=True):
            self._map.madvise(mmap.MADV_WILLNEED, low, length)

    def in_places(self, count: int, item_bytes: int) -> Iterator[tuple[int, int]]:
        """Go through `count` items that lie here and there, as (first, last + 1); pages are dropped in between."""
        step = max(1, CHUNK_BYTES // 2 // (item_bytes + _TOUCH_BYTES)) if self.are_mapped else max(1, count)
        for start in range(0, count, step):
            stop = min(start + step, count)
            yield start, stop
            self._touched += (stop - start) * (item_bytes + _TOUCH_BYTES)
            if self.are_mapped and self._touched > CHUNK_BYTES // 2:
                self.drop()
                self._touched = 0


def _file_map(array: np.ndarray[Any, Any]) -> mmap.mmap | None:
    """Return the map behind an array if its pages may be dropped without loss."""
    mode, base = None, cast("Any", array)
    while base is not None and not isinstance(base, mmap.mmap):
        if isinstance(base, np.memmap):
            mode = base.mode
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if not isinstance(base, mmap.mmap):
        return None
    # A writable map tells nobody whether it is shared; only `np.memmap` remembers.
    shared = memoryview(base).readonly or mode in {"r+", "w+"}
    return base if shared else None


def chunks(count: int, item_bytes: float, *, label: str | None = None) -> Iterator[tuple[int, int]]:
    """Go through `count` items in chunks of about 256 MB, as (first, last + 1); with a label show progress."""
    step = max(1, int(CHUNK_BYTES / max(item_bytes, 1.0)))
    with _progress(count * item_bytes, label) as bar:
        for start in range(0, count, step):
            stop = min(start + step, count)
            yield start, stop
            if bar is not None:
                bar.update(int((stop - start) * item_bytes))


def _progress(total: float, label: str | None) -> Any:
    if label is None or total < _PROGRESS_FROM:
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=int(total), unit="B", unit_scale=True, desc=label, leave=False, disable=None)
