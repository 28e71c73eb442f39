"""The low-rank approximation that an estimator keeps, and the signs of its components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.utils import assert_all_finite

from qinspired.access import as_sq_matrix
from qinspired.algorithms import low_rank

if TYPE_CHECKING:
    from qinspired._typing import FloatArray
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms import LowRankApproximation

__all__ = ["explicit_low_rank", "indexed", "with_fixed_signs"]

# Methods of `low_rank` whose answer is a map of drawn rows and columns, without components.
_IMPLICIT = ("fkv", "threshold")


def explicit_low_rank(
    A: Any, rank: int, *, tolerance: float, method: str, rng: np.random.Generator
) -> LowRankApproximation:
    """Return a low-rank approximation with components; methods that leave them implicit are refused."""
    if method in _IMPLICIT:
        raise ValueError(
            f"`method` must not be {method!r}, which forms no components; use `low_rank` for it, or 'auto'."
        )
    # Arrays and sparse matrices can be read by whole rows, so that "auto" forms components.
    return cast("LowRankApproximation", low_rank(A, rank, tolerance=tolerance, method=method, rng=rng))


def indexed(X: Any) -> SampleQueryMatrix:
    """Return the index of an array whose finiteness was not checked; a NaN or infinity is told as scikit-learn does."""
    try:
        return as_sq_matrix(X)
    except ValueError:
        assert_all_finite(X, input_name="X")
        raise


def with_fixed_signs(components: FloatArray) -> FloatArray:
    """Return the components with the entry of largest modulus of each made positive, as scikit-learn does."""
    largest = np.argmax(np.abs(components), axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1, 1).astype(components.dtype)
    signed: FloatArray = components * signs[:, None]
    return signed
