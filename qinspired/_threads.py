"""BLAS threads around runs of small products."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

__all__ = ["small_products"]

# Up to this many columns a product of the drawn rows takes some milliseconds, as long as waking BLAS threads may. At
# 500 columns, 3,000 rows, on 2 cores: 41 ms on one thread, 120 ms (65 at best) on two.
_SMALL_COLUMNS = 1000


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # looks through the loaded libraries, some 5 ms

    return ThreadpoolController()


def small_products(n_columns: int) -> AbstractContextManager[Any]:
    """Return a context with one BLAS thread if products with this many columns are small; it restores the number."""
    if n_columns > _SMALL_COLUMNS:
        return nullcontext()
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited
