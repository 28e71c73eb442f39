"""What a method of `low_rank` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.algorithms._results import ErrorEstimate
    from qinspired.algorithms.approximation._ritz import Ritz

__all__ = ["Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """Components (k, n), singular values, certificates, what was done, and pairs to start another method from."""

    components: FloatArray
    singular_values: Float64Array
    error: ErrorEstimate
    excess: ErrorEstimate
    done: str
    pairs: Ritz | None = None


def padded(values: Float64Array, count: int) -> Float64Array:
    """Return the first `count` values, with zeros where there are fewer."""
    result = np.zeros(count)
    result[: min(count, len(values))] = values[:count]
    return result
