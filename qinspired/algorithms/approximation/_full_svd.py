"""Low-rank approximation from all rows: the exact and the randomized last resort."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from qinspired.algorithms.approximation._excess import resolution
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.approximation._ritz import Ritz, complete_orthonormal, orthonormal, ritz_pairs

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.access import CountingMatrix

__all__ = ["exact_low_rank", "randomized_low_rank", "scaled_passes"]

_OVERSAMPLING = 8
_MAX_ITERATIONS = 60
_BLOCK_ENTRIES = 4_000_000

# Cells of A up to which the residuals of all rows are formed, dense, block by block: some 4e10 operations at k = 10.
_CHECKED_CELLS = 10**9

# A sparse matrix below this many cells is solved as a dense one by LAPACK, above by ARPACK.
_DENSE_CELLS = 20_000_000


def exact_low_rank(A: CountingMatrix, rank: int) -> tuple[FloatArray, Float64Array, ErrorEstimate, ErrorEstimate]:
    """Return components, singular values, error and excess from LAPACK's SVD, or ARPACK's for a large sparse A."""
    m, n = A.shape
    norm = A.frobenius_norm
    (_, block), *_ = A.row_blocks(m)
    if sp.issparse(block) and m * n > _DENSE_CELLS and rank < min(m, n):
        start = np.random.default_rng(0).standard_normal(min(m, n))  # ARPACK's own start is unseeded
        _, values, components = scipy.sparse.linalg.svds(block / norm, k=rank, v0=start)
        values, components = values[::-1], components[::-1]
        rest = max(0.0, 1.0 - float(values.astype(np.float64) @ values.astype(np.float64)))
    else:
        dense = block.toarray() if sp.issparse(block) else block
        _, values, components = scipy.linalg.svd(
            dense / norm, full_matrices=False, check_finite=False, overwrite_a=True
        )
        left_out = values[rank:].astype(np.float64)
        rest = float(left_out @ left_out)  # 1 less the others would be rounding where the error is small
        values, components = values[:rank], components[:rank]
    error = float(np.sqrt(rest))
    return (
        np.ascontiguousarray(components),
        values.astype(np.float64) * norm,
        ErrorEstimate(error, error, error, 1.0),
        ErrorEstimate(0.0, 0.0, 0.0, 1.0),
    )


def scaled_passes(A: CountingMatrix, V: FloatArray) -> tuple[FloatArray, Float64Array]:
    """Return A^T A V / |A|_F^2 and V^T A^T A V / |A|_F^2 by two passes."""
    norm = A.frobenius_norm
    images = A.matmul(V / norm if norm >= 1.0 else V) / (1.0 if norm >= 1.0 else norm)
    images = images.astype(V.dtype, copy=False)
    inner = images.T.astype(np.float64) @ images.astype(np.float64)
    back = A.rmatmul(images / norm if norm >= 1.0 else images) / (1.0 if norm >= 1.0 else norm)
    return back.astype(V.dtype, copy=False), inner


def randomized_low_rank(
    A: CountingMatrix, rank: int, tolerance: float, rng: np.random.Generator, start: FloatArray | None
) -> tuple[FloatArray, Float64Array, ErrorEstimate, ErrorEstimate]:
    """Return components, singular values, error and excess by block power iterations with Rayleigh-Ritz steps.

    The energy still to be gained is extrapolated geometrically from the last two gains; the interval of the excess
    reaches from 0 to the whole last gain. Stops once its upper end meets the tolerance, or nothing is gained any more.
    """
    n = A.shape[1]
    width = min(rank + _OVERSAMPLING, *A.shape)
    V = rng.standard_normal((n, width)).astype(A.dtype) if start is None else start[:, :width]
    V = complete_orthonormal(orthonormal(V), width, rng)
    energy, gain, left = 0.0, 1.0, 1.0
    pairs = Ritz(V, np.zeros(width))
    rest, excess = 1.0, ErrorEstimate(0.0, 0.0, np.inf)
    for _ in range(_MAX_ITERATIONS):
        images, inner = scaled_passes(A, V)
        pairs = ritz_pairs(images, inner, 1, width)
        new_energy = float(pairs.values[:rank].sum())
        last_gain, gain, energy = gain, max(new_energy - energy, 0.0), new_energy
        ratio = min(gain / last_gain, 0.99) if last_gain > 0.0 else 0.0
        left = gain * ratio / (1.0 - ratio)
        rest = max(1.0 - energy, 0.0)
        V = complete_orthonormal(orthonormal(pairs.vectors), width, rng)
        excess = _power_excess(rest, left, gain, _noise_floor(A))
        if excess.high <= tolerance or gain <= _noise_floor(A):
            break
    # A step squares the singular values twice: directions may be lost in rounding that A itself resolves.
    if len(pairs.values) < width and not _is_all_of(A, V[:, :rank]):
        excess = ErrorEstimate(np.inf, 0.0, np.inf)
    error = float(np.sqrt(rest))
    values = np.zeros(rank)
    values[: min(rank, len(pairs.values))] = np.sqrt(pairs.values[:rank]) * A.frobenius_norm
    floor = float(np.finfo(A.dtype).eps)
    return (
        np.ascontiguousarray(V[:, :rank].T),
        values,
        ErrorEstimate(error, float(np.sqrt(max(rest - floor, 0.0))), float(np.sqrt(rest + floor)), 1.0),
        excess,
    )


def _is_all_of(A: CountingMatrix, V: FloatArray) -> bool:
    """Say whether A V V^T is seen to be A to working precision, by the residuals of its rows in float64."""
    if A.shape[0] * A.shape[1] > _CHECKED_CELLS:
        return False
    basis = np.linalg.qr(V.astype(np.float64))[0]
    rest = 0.0
    for _, block in A.row_blocks(max(1, _BLOCK_ENTRIES // A.shape[1])):
        rows = (block if isinstance(block, np.ndarray) else block.toarray()).astype(np.float64) / A.frobenius_norm
        rest += float(np.linalg.norm(rows - (rows @ basis) @ basis.T)) ** 2
    return rest <= resolution(V) ** 2


def _noise_floor(A: CountingMatrix) -> float:
    return 16.0 * float(np.finfo(A.dtype).eps)


def _power_excess(rest: float, left: float, gain: float, floor: float) -> ErrorEstimate:
    if rest <= floor or gain <= floor:
        return ErrorEstimate(0.0, 0.0, 0.0)
    value = _relative_excess(rest, rest - left)
    return ErrorEstimate(value, 0.0, max(_relative_excess(rest, rest - max(gain, left)), value))


def _relative_excess(rest: float, best: float) -> float:
    return float(np.sqrt(rest / best) - 1.0) if best > 0.0 else float("inf")
