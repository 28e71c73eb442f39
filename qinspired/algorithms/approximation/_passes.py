"""Low-rank approximation by passes over all rows, from a random start or from drawn rows.

A pass multiplies a block V by A^T A, with a Rayleigh-Ritz step in the left space of the last three blocks. Of the
energies of a block before and after its step the second is larger, by the gain. From a start of drawn rows one pass is
often enough: what the answer still lacks in direction j beyond the block falls with the gain there by
(lambda_j / lambda_i)^2, and the sum of these over the directions follows from the second moment of what the block
leaves, measured on rows drawn afresh. Later the residuals of A^T A V tell what V lacks.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from qinspired.access import CSRMatrix, DenseMatrix, SavedCSRMatrix, SavedDenseMatrix, base_of
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.approximation._after_one_pass import UNKNOWN, Losses, RowsOutside, predicted_losses
from qinspired.algorithms.approximation._drawn_rows import OVERSAMPLING, climb, predicted_draws
from qinspired.algorithms.approximation._excess import resolution
from qinspired.algorithms.approximation._found import Found, padded
from qinspired.algorithms.approximation._halves import one_krylov_step
from qinspired.algorithms.approximation._ritz import Ritz, complete_orthonormal, orthonormal, ritz_pairs
from qinspired.algorithms.approximation._row_laws import RowsBySquaredNorm

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.access import CountingMatrix

__all__ = ["polished_low_rank", "randomized_low_rank"]

_OVERSAMPLING = 8
_MAX_PASSES = 60

# Matrices whose consecutive rows are given without a copy.
_ROWS_AT_HAND = (DenseMatrix, CSRMatrix, SavedDenseMatrix, SavedCSRMatrix)

_MOST_BLOCKS = 3
_BLOCK_ENTRIES = 4_000_000
_GRAM_ROWS = 4096

# Cells of A up to which the residuals of all rows are formed, dense, block by block: some 4e10 operations at k = 10.
_CHECKED_CELLS = 10**9

# Rows for a start by drawn rows: their cost is about a tenth of that of a pass at a twentieth of the rows.
_MOST_START_ROWS = 2000
_START_SHARE = 20

# Distinct rows of a start, in multiples of its width, below which it is no better than a random one to predict from:
# where one row holds nearly all of |A|_F^2 it is drawn again and again.
_LEAST_START_ROWS = 4

# What a prediction from drawn rows is taken to be too low by, and its most in terms of what energies alone tell.
_PREDICTED_LOW, _MOST_PREDICTED = 1.25, 3.0


def _normal_product(
    A: CountingMatrix, V: FloatArray, inside: Float64Array | None = None
) -> tuple[FloatArray, Float64Array]:
    """Return A^T A V / |A|_F^2 and V^T A^T A V / |A|_F^2, by one pass where rows are at hand.

    If given, `inside` becomes |a_i V|^2 / |A|_F^2.
    """
    if type(base_of(A)) in _ROWS_AT_HAND:
        return _by_rows(A, V, inside)
    images, inner = _scaled_product(A, V)
    if inside is not None:
        inside[:] = np.einsum("ij,ij->i", images, images)
    return _scaled_transposed_product(A, images), inner


def _scaled_product(A: CountingMatrix, V: FloatArray) -> tuple[FloatArray, Float64Array]:
    """Return Y = A V / |A|_F and Y^T Y."""
    root = _root_norm(A)
    images = (A.matmul(V / root) / root).astype(V.dtype, copy=False)
    return images, _gram(images)


def _scaled_transposed_product(A: CountingMatrix, Y: FloatArray) -> FloatArray:
    """Return A^T Y / |A|_F."""
    root = _root_norm(A)
    back: FloatArray = (A.rmatmul(Y / root) / root).astype(Y.dtype, copy=False)
    return back


def _root_norm(A: CountingMatrix) -> float:
    """Return what to divide by before and after a product: a root, so that no factor leaves the range of float32."""
    return math.sqrt(A.frobenius_norm)


def _by_rows(A: CountingMatrix, V: FloatArray, inside: Float64Array | None) -> tuple[FloatArray, Float64Array]:
    root = V.dtype.type(_root_norm(A))
    scaled = np.ascontiguousarray(V / root)
    back = np.zeros(V.shape[::-1], dtype=V.dtype)
    inner = np.zeros((V.shape[1], V.shape[1]))
    step = max(1, _BLOCK_ENTRIES * A.shape[0] // A.n_stored)
    for start, block in A.row_blocks(step):
        images = block @ scaled / root
        if inside is not None:
            inside[start : start + len(images)] = np.einsum("ij,ij->i", images, images)
        inner += _gram(images)
        images /= root
        back += images.T @ block  # block.T @ images took as long, and 15 MB of work space, not 3, on rows of 10,000
    return np.ascontiguousarray(back.T) / root, inner


def _gram(images: FloatArray) -> Float64Array:
    """Return Y^T Y in float64, of which no whole copy is made."""
    total = np.zeros((images.shape[1], images.shape[1]))
    for start in range(0, len(images), _GRAM_ROWS):
        wide = images[start : start + _GRAM_ROWS].astype(np.float64)
        total += wide.T @ wide
    return total


def randomized_low_rank(A: CountingMatrix, rank: int, tolerance: float, rng: np.random.Generator) -> Found:
    """Return components by block power iterations from a random start."""
    width = min(rank + _OVERSAMPLING, *A.shape)
    start = rng.standard_normal((A.shape[1], width)).astype(A.dtype)
    return _iterate(A, rank, tolerance, start, width, rng)


def polished_low_rank(
    A: CountingMatrix, rank: int, tolerance: float, rng: np.random.Generator, pairs: Ritz | None
) -> Found:
    """Return components by block power iterations from drawn rows, which one pass may end."""
    m, n = A.shape
    width = min(rank + _OVERSAMPLING, m, n)
    drawn, is_lawful = A.counts.row_draws, True
    if pairs is None or pairs.vectors.shape[1] < min(rank + OVERSAMPLING, m, n):
        least = max(8 * width, predicted_draws(rank, 0.5))
        size = min(max(least, min(m // _START_SHARE, _MOST_START_ROWS)), max(m, least))
        batches, pairs = climb(RowsBySquaredNorm(A), size, width, rng, by_krylov=True)
        pairs = one_krylov_step(batches, complete_orthonormal(pairs.vectors, width, rng), width)
        drawn = A.counts.row_draws - drawn
        is_lawful = sum(len(batch.rows) for batch in batches) >= _LEAST_START_ROWS * width
    found = pairs.vectors.shape[1]
    is_lawful = is_lawful and found >= min(rank + OVERSAMPLING, m, n)
    width = found if is_lawful else width
    return _iterate(A, rank, tolerance, _with_longest(A, pairs, width, rng), width, rng, drawn, is_lawful=is_lawful)


def _with_longest(A: CountingMatrix, pairs: Ritz, width: int, rng: np.random.Generator) -> FloatArray:
    """Return the leading ones of the pairs and of what these leave of the longest rows.

    A row that no draw found may be orthogonal to all others, and then no pass finds it: of 30 seeds 23 were certified
    to 0.03 % at an excess of 5 %, by one row with 0.6 % of |A|_F^2.
    """
    basis = orthonormal(pairs.vectors)
    longest, shares = RowsBySquaredNorm(A).longest(rng)
    cosines, roots = longest.times(basis), np.sqrt(shares)
    left = (longest.gram(len(roots)) - cosines @ cosines.T) * np.outer(roots, roots)
    values, mixing = np.linalg.eigh(left)
    missed = values > max(float(pairs.values[-1]), resolution(basis))
    if not missed.any():
        return basis  # the rows need not be made wider
    mixing = mixing[:, missed] * roots[:, None]
    rest = longest.block.T @ (mixing / longest.scales[:, None]) - basis @ (cosines.T @ mixing)
    both = np.hstack([basis, (rest / np.sqrt(values[missed])).astype(basis.dtype)])
    leading = np.argsort(-np.concatenate([pairs.values, values[missed]]), kind="stable")[:width]
    return np.ascontiguousarray(both[:, leading])


def _iterate(
    A: CountingMatrix,
    rank: int,
    tolerance: float,
    start: FloatArray,
    width: int,
    rng: np.random.Generator,
    drawn: int = 0,
    *,
    is_lawful: bool = False,
) -> Found:
    """Multiply by A and by A^T until the upper end of the excess meets the tolerance, or nothing is gained any more.

    The first pass does both at once; after each later product the energy is known, and with it the last gains.
    """
    n_before = A.counts.full_passes
    V = complete_orthonormal(orthonormal(start), width, rng)
    inside = np.empty(A.shape[0]) if drawn else None
    back, inner = _normal_product(A, V, inside)
    pairs = ritz_pairs(back, inner, 1, width)
    energies = [_leading_sum(inner, rank), float(pairs.values[:rank].sum())]
    floor = 16.0 * float(np.finfo(A.dtype).eps)
    krylov = (V, back, inner)
    V = complete_orthonormal(orthonormal(pairs.vectors), width, rng)
    candidates: tuple[Losses, ...] = (UNKNOWN,)
    missed = None
    if inside is not None and len(pairs.values) == width:
        rows = RowsOutside(A, inside, V, tolerance, rng)
        missed = rows.missed(V, pairs, rank)
        if missed is not None:
            V = complete_orthonormal(orthonormal(missed), width, rng)
        elif is_lawful:
            candidates = predicted_losses(rows, pairs, rank, max(energies[1] - energies[0], 0.0))
    error, excess = _first_that_meets(tolerance, energies[-1], candidates, floor)
    for step in range(1, _MAX_PASSES):
        if excess.high <= tolerance:
            break
        if drawn and missed is None and step == 1:
            # One product more tells the energy of V, the third of a sequence, at half the price of a pass.
            images, inner = _scaled_product(A, V)
            energies.append(_leading_sum(inner, rank))
            error, excess = _estimates(
                max(1.0 - energies[-1], 0.0), _geometric_losses(energies, candidates[-1].after), floor
            )
            if excess.high <= tolerance:
                V = _rotated(V, inner)
                break
            krylov = (V, _scaled_transposed_product(A, images), inner)
        else:
            krylov = _extended(A, krylov, V)
        pairs = ritz_pairs(krylov[1], krylov[2], 1, width)
        energy = float(pairs.values[:rank].sum())
        losses = _residual_losses(V, *_image(krylov, V), rank)
        V = complete_orthonormal(orthonormal(pairs.vectors), width, rng)
        error, excess = _estimates(max(1.0 - energy, 0.0), losses, floor)
        if energy - energies[-1] <= floor:
            break
        energies = [energy]
    # A step squares the singular values twice: directions may be lost in rounding that A itself resolves.
    if len(pairs.values) < rank or excess.high == math.inf:
        unknown = 0.0 if _is_all_of(A, V[:, :rank]) else math.inf
        excess = ErrorEstimate(unknown, 0.0, unknown)
    passes = A.counts.full_passes - n_before
    return Found(
        np.ascontiguousarray(V[:, :rank].T),
        np.sqrt(padded(pairs.values, rank)) * A.frobenius_norm,
        error,
        excess,
        (f"a start from {drawn} drawn rows and " if drawn else "")
        + ("1 pass over all rows" if passes == 1 else f"{passes} passes over all rows"),
        pairs,
    )


_Krylov = tuple["FloatArray", "FloatArray", "Float64Array"]


def _extended(A: CountingMatrix, krylov: _Krylov, V: FloatArray) -> _Krylov:
    """Add to an orthonormal basis B, A^T A B and B^T A^T A B what V has beyond B; start anew from V at times."""
    basis, images, inners = krylov
    if basis.shape[1] + V.shape[1] > min(_MOST_BLOCKS * V.shape[1], *A.shape):
        return V, *_normal_product(A, V)
    # Blocks that are not orthogonal gave Ritz values above the largest that A has.
    wide = np.linalg.qr(np.hstack([basis, V]).astype(np.float64))[0]
    fresh = np.ascontiguousarray(wide[:, basis.shape[1] :]).astype(V.dtype)
    del wide
    image, inner = _normal_product(A, fresh)
    cross = (basis.T @ image).astype(np.float64)
    return np.hstack([basis, fresh]), np.hstack([images, image]), np.block([[inners, cross], [cross.T, inner]])


def _image(krylov: _Krylov, V: FloatArray) -> tuple[FloatArray, Float64Array]:
    """Return A^T A V and V^T A^T A V for V in the span of the basis."""
    basis, images, inners = krylov
    coordinates = basis.T @ V
    wide = coordinates.astype(np.float64)
    return images @ coordinates, wide.T @ inners @ wide


def _leading_sum(inner: Float64Array, rank: int) -> float:
    return float(np.linalg.eigvalsh(inner)[::-1][:rank].sum())


def _rotated(V: FloatArray, inner: Float64Array) -> FloatArray:
    """Return the basis with the leading directions of V^T A^T A V first."""
    rotation = np.linalg.eigh(inner)[1][:, ::-1]
    rotated: FloatArray = V @ rotation.astype(V.dtype)
    return rotated


def _geometric_losses(energies: list[float], predicted: float) -> Losses:
    """Return the losses of a block whose energy is the last of three, half a step apart.

    They fall as a mixture of geometric sequences, so that their ratio grows towards the largest. The upper end takes a
    root of the ratio of the gains for all that follow, the higher the nearer to 1 it is: on flat noise beside one large
    row a ratio of 0.61 to 0.68 went with losses as at 0.89, on ratings of films 0.1 with those at 0.2. What drawn rows
    predicted, 0.84 to 1.9 times the truth on ratings of films and covariances of prices, counts up to three times that:
    on the covariances upper ends were too low in 8 of 44 seeds, by energies alone in 15.
    """
    earlier, last = (max(b - a, 0.0) for a, b in pairwise(energies))
    ratio = min(last / earlier, 0.99) if earlier > 0.0 else 0.0
    root = ratio ** float(np.interp(ratio, (0.2, 0.5), (0.5, 0.25)))
    left, most = (last * r / (1.0 - r) for r in (ratio, root))
    if predicted < math.inf:
        most = max(most, min(_PREDICTED_LOW * predicted, _MOST_PREDICTED * most))
    return Losses(left, most, left, most)


def _residual_losses(V: FloatArray, image: FloatArray, inner: Float64Array, rank: int) -> Losses:
    """Return the losses of the block that follows V, from the residuals of V under A^T A.

    V lacks sum_j r_ij^2 / (lambda_i - lambda_j) in direction i, r_ij the parts of its residual, between |r_i|^2 /
    lambda_i and |r_i|^2 / (lambda_i - lambda_{w + 1}). Half a step multiplies each part by lambda_j / lambda_i, and
    the steps in the space of several blocks gain more. For lambda_{w + 1} a Ritz value well inside the block is taken.
    """
    values, rotation = np.linalg.eigh(inner)
    values, rotation = values[::-1], rotation[:, ::-1].astype(V.dtype)
    values = np.maximum(values, values[0] * float(np.finfo(np.float64).eps))  # beyond the rank of A they may be below 0
    top, outside = values[:rank], float(values[min((rank + len(values)) // 2, len(values) - 1)])
    residuals = (image @ rotation[:, :rank] - (V @ rotation[:, :rank]) * top.astype(V.dtype)).astype(np.float64)
    squares = (residuals**2).sum(axis=0)
    ratio = outside / float(top[-1])
    least = float((squares / top).sum())
    # Without a gap the length of the residual itself is a bound.
    gaps = np.maximum(top - outside, np.sqrt(squares) + 1e-300)
    most = float((squares / gaps).sum())
    before, value = most * ratio, math.sqrt(least * most) * ratio
    return Losses(value, before, value * ratio, before * ratio)


def _first_that_meets(
    tolerance: float, energy: float, candidates: tuple[Losses, ...], floor: float
) -> tuple[ErrorEstimate, ErrorEstimate]:
    """Return the first of some estimates that meets the tolerance, or the last."""
    for losses in candidates:
        error, excess = _estimates(max(1.0 - energy, 0.0), losses, floor)
        if excess.high <= tolerance:
            break
    return error, excess


def _estimates(rest: float, losses: Losses, floor: float) -> tuple[ErrorEstimate, ErrorEstimate]:
    """Return the error and its excess, from the squared error before the last half step and the losses there."""
    before, before_high, after, after_high = losses
    least = rest - before_high - floor
    if not math.isfinite(before_high) or least <= 0.0:
        value = math.sqrt(rest)
        return ErrorEstimate(value, 0.0, math.sqrt(rest + floor), 1.0), ErrorEstimate(np.inf, 0.0, np.inf)
    best = rest - before
    error = ErrorEstimate(math.sqrt(best + after), math.sqrt(least), math.sqrt(rest + floor), 1.0)
    high = math.sqrt(1.0 + (after_high + floor) / least) - 1.0
    value = min(math.sqrt(1.0 + after / best) - 1.0, high)
    return error, ErrorEstimate(value, 0.0, high)


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
