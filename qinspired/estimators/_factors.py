"""The low-rank approximation that an estimator keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from qinspired.algorithms import low_rank

if TYPE_CHECKING:
    import numpy as np

    from qinspired.algorithms import LowRankApproximation

__all__ = ["explicit_low_rank"]


def explicit_low_rank(
    A: Any, rank: int, *, tolerance: float, method: str, rng: np.random.Generator
) -> LowRankApproximation:
    """Return a low-rank approximation with components; "fkv", which leaves them implicit, is refused."""
    if method == "fkv":
        raise ValueError("`method` must not be 'fkv', which forms no components; use `low_rank` for it, or 'auto'.")
    # Arrays and sparse matrices can be read by whole rows, so that "auto" forms components.
    return cast("LowRankApproximation", low_rank(A, rank, tolerance=tolerance, method=method, rng=rng))
