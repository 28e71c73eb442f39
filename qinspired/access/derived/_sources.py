"""What the derived matrices share: their sources, whose error it was, and norms that do not overflow."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qinspired._typing import Float64Array

__all__ = ["finite_bound", "naming", "power_unit", "scaled_norm", "working_dtype"]

# Within these bounds products of float32 numbers neither overflow nor lose digits to underflow.
_FLOAT32_LOW, _FLOAT32_HIGH = 1e-30, 1e38


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Note on an exception which of several matrices raised it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised by {what}")
        raise


def power_unit(largest: float) -> float:
    """Return a power of two to divide by where squares would overflow or underflow, else 1."""
    if largest == 0.0 or 1e-140 < largest < 1e140:
        return 1.0
    return float(np.ldexp(1.0, int(np.frexp(largest)[1]) - 1))


def scaled_norm(values: Float64Array) -> float:
    """Return the norm of a vector of any scale >= 0; infinite only if the norm itself is."""
    largest = float(values.max(initial=0.0))
    if largest in (0.0, np.inf):
        return largest
    shares = values / largest
    return largest * float(np.sqrt(shares @ shares))  # Python floats overflow to infinity without a warning


def working_dtype(dtype: np.dtype[Any], bound: float) -> np.dtype[Any]:
    """Return the type of derived entries up to `bound`: that of the sources, or float64 where float32 is too narrow."""
    if dtype == np.float32 and bound != 0.0 and not _FLOAT32_LOW < bound < _FLOAT32_HIGH:
        return np.dtype(np.float64)
    return dtype


def finite_bound(bound: float, name: str) -> float:
    """Return the norm of the dominating matrix, which must be a number."""
    if not np.isfinite(bound):
        raise ValueError(
            f"`{name}` must keep the bound on the result's Frobenius norm below 1.8e308; it overflows. "
            f"Divide `{name}` or the matrix by a constant."
        )
    return bound
