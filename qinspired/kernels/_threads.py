"""The number of threads of the kernels, for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numba

from qinspired.kernels import _jit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kernel_threads"]


@contextmanager
def kernel_threads(n_threads: int | None = None, *, parallel_from: int | None = None) -> Iterator[int]:
    """Run the kernels that this thread calls on `n_threads` (by default all), and yield how many there are.

    `parallel_from` is the number of entries from which kernels use threads; it holds for the whole process, and 1
    sends the smallest work over the parallel loops.
    """
    config: Any = numba.config
    most = int(config.NUMBA_NUM_THREADS)
    before, threshold = numba.get_num_threads(), _jit._PARALLEL_FROM
    count = most if n_threads is None else min(n_threads, most)
    numba.set_num_threads(count)
    if parallel_from is not None:
        _jit._PARALLEL_FROM = parallel_from
    try:
        yield count
    finally:
        numba.set_num_threads(before)
        _jit._PARALLEL_FROM = threshold
