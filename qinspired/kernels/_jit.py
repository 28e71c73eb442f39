"""The one place that says how kernels are compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["kernel", "prange", "worth_threads"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_log = logging.getLogger("qinspired")

prange = numba.prange

# Sums may be reordered and contracted, but NaN and infinity must survive: full fastmath folds `isnan` to False.
_SUM_FLAGS = {"reassoc", "contract", "nsz"}

# Below this many entries visited, 1 to 2 ms of work, one thread is as fast: a parallel region costs some 10 us to
# enter, and the threads spin for some time after it (12 ms for the norms of a 500 x 250 matrix on busy cores).
_PARALLEL_FROM = 4_000_000


def kernel(*, parallel: bool = False, reorder_sums: bool = False) -> Callable[[_Function], _Function]:
    """Compile a function with numba: cached on disk, without the GIL, IEEE division by zero."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "parallel": parallel}
    if reorder_sums:
        options["fastmath"] = _SUM_FLAGS

    def decorate(function: _Function) -> _Function:
        try:
            compiled: _Function = numba.njit(cache=True, **options)(function)
        except RuntimeError as error:  # neither the package nor the user's cache directory can be written
            _log.info("numba cannot cache %s on disk (%s); it compiles anew in every process", function, error)
            compiled = numba.njit(**options)(function)
        return compiled

    return decorate


def worth_threads(n_entries: int) -> bool:
    """Say whether a kernel that visits this many entries should run on numba's threads."""
    return n_entries >= _PARALLEL_FROM and numba.get_num_threads() > 1
