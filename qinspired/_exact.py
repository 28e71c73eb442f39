"""Whether numbers of other types are exact in float64."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from qinspired.exceptions import PrecisionWarning

__all__ = ["loses_digits", "may_lose_digits", "warn_of_lost_digits"]


def may_lose_digits(dtype: np.dtype[Any]) -> bool:
    """Whether a type has numbers that are not exact in float64: 64-bit integers, and long doubles where longer."""
    return (dtype.kind in "iu" and dtype.itemsize == 8) or (dtype.kind == "f" and dtype.itemsize > 8)


def loses_digits(array: np.ndarray[Any, Any]) -> bool:
    """Whether a finite number of the array is not exact in float64."""
    if array.size == 0 or not may_lose_digits(array.dtype):
        return False
    if array.dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            back = array.astype(np.float64)
            return bool(((back != array) & np.isfinite(array)).any())
    if int(array.max()) <= 2**53 and int(array.min()) >= -(2**53):
        return False
    # Exact are the odd numbers below 2^53 times a power of two, the lowest bit set. From 2^11 on all are.
    large = array[(array > 2**53) | (array < -(2**53))] if array.dtype.kind == "i" else array[array > 2**53]
    sizes = large.astype(np.uint64, copy=False)
    if array.dtype.kind == "i":
        sizes = np.where(large < 0, ~sizes + np.uint64(1), sizes)
    lowest = sizes & (~sizes + np.uint64(1))
    return bool(((lowest < 2**11) & (sizes >> np.uint64(53) >= lowest)).any())


def warn_of_lost_digits(dtype: np.dtype[Any], name: str, *, stacklevel: int) -> None:
    """Warn that numbers were rounded."""
    warnings.warn(
        f"`{name}` holds numbers of type {dtype} that float64 cannot hold exactly; they are rounded to it. Subtract or "
        "divide by a constant first if their last digits matter.",
        PrecisionWarning,
        stacklevel=stacklevel + 1,
    )
