"""The answer from two halves of drawn rows, and its loss against the optimum by cross-fitting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired.algorithms.approximation._ritz import Ritz, eigenpairs_by_gram, orthonormal, ritz_pairs, ritz_transform
from qinspired.algorithms.approximation._row_sample import RowBatch, n_draws_of, scatter

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray

__all__ = ["Split", "one_krylov_step", "solve_by_gram", "solve_by_krylov"]

_MAX_KRYLOV_BLOCKS = 6

# Iterations stop when the energy still to be gained on the drawn rows, as a share of the loss, is below this over the
# root of their number: the spread of the certificate falls in the same way, and an iteration left at 5 % of the loss
# covered 83 % at 600 rows where one at 2 % covered 91 and the Gram matrix 95.
_UNCONVERGED = 0.74


@dataclass(frozen=True, slots=True)
class Split:
    """The answer from all drawn rows, and its loss against the optimum by cross-fitting, as a share of |A|_F^2."""

    joint: Ritz
    loss: float


def _cross_fit_loss(in_sample: float, other: FloatArray, first: list[RowBatch], second: list[RowBatch]) -> float:
    """Return the loss of the joint answer from the energy that the answer of `second` leaves out on `first`."""
    n_first, n_second = n_draws_of(first), n_draws_of(second)
    gap = in_sample - _energy_on(first, orthonormal(other)) / n_first
    return max(gap, 0.0) * n_first * n_second / (n_first + n_second) ** 2


def _energy_on(batches: list[RowBatch], V: FloatArray) -> float:
    """Return the trace of V^T S V."""
    return sum(batch.energy(V) for batch in batches)


def solve_by_gram(first: list[RowBatch], second: list[RowBatch], start: FloatArray, rank: int, width: int) -> Split:
    del start
    one, two, joint = (eigenpairs_by_gram(rows, width) for rows in (first, second, first + second))
    loss = _cross_fit_loss(float(one.values[:rank].sum()), two.vectors[:, :rank], first, second)
    return Split(joint, loss)


def one_krylov_step(batches: list[RowBatch], start: FloatArray, width: int) -> Ritz:
    images, inner = scatter(batches, start)
    return ritz_pairs(images, inner, n_draws_of(batches), width)


def solve_by_krylov(first: list[RowBatch], second: list[RowBatch], start: FloatArray, rank: int, width: int) -> Split:
    """Iterate the two halves and the whole on one common basis, until the energy left to gain is below the loss.

    The images of a basis under the whole are the sums of those under the halves, so three answers cost as one.
    """
    n_first, n_both = n_draws_of(first), n_draws_of(first + second)
    precision = float(np.finfo(start.dtype).eps)
    basis = start
    image_one, inner_one = scatter(first, basis)
    image_two, inner_two = scatter(second, basis)
    energy = _energy(start[:, :rank], (inner_one + inner_two)[:rank, :rank]) / n_both
    for blocks in range(1, _MAX_KRYLOV_BLOCKS + 1):
        gram_one, gram_two, cross = _grams(image_one, image_two)
        _, one_values = ritz_transform(inner_one, gram_one, precision, rank)
        to_two, _ = ritz_transform(inner_two, gram_two, precision, rank)
        to_joint, values = ritz_transform(
            inner_one + inner_two, gram_one + gram_two + cross + cross.T, precision, width
        )
        transform = to_joint.astype(start.dtype)
        joint = Ritz(image_one @ transform + image_two @ transform, values / n_both)
        other = image_two @ to_two.astype(start.dtype)
        loss = _cross_fit_loss(float(one_values.sum()) / n_first, other, first, second)
        new_energy = float(joint.values[:rank].sum())
        gain, energy = new_energy - energy, new_energy
        if len(joint.values) < width or len(joint.values) <= rank:
            contraction = 0.0  # the rows have rank below the width: the span is exact
        else:
            contraction = min(float(joint.values[-1] / joint.values[rank - 1]) ** 2, 0.999)
        left = max(gain, 0.0) * contraction / (1.0 - contraction)
        if left <= _UNCONVERGED / math.sqrt(n_both) * loss or blocks == _MAX_KRYLOV_BLOCKS:
            break
        fresh = joint.vectors
        image_one, inner_one = _extend(first, basis, image_one, inner_one, fresh)
        image_two, inner_two = _extend(second, basis, image_two, inner_two, fresh)
        basis = np.hstack([basis, fresh])
    return Split(joint, loss + left)


def _grams(one: FloatArray, two: FloatArray) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return one^T one, two^T two and one^T two."""
    size = one.shape[1]
    both = np.hstack([one, two])
    gram = (both.T @ both).astype(np.float64)
    return gram[:size, :size], gram[size:, size:], gram[:size, size:]


def _extend(
    batches: list[RowBatch], basis: FloatArray, image: FloatArray, inner: Float64Array, fresh: FloatArray
) -> tuple[FloatArray, Float64Array]:
    """Add a block to a basis: return the images and inner products of the longer one."""
    new_image, new_inner = scatter(batches, fresh)
    cross = (basis.T @ new_image).astype(np.float64)
    return np.hstack([image, new_image]), np.block([[inner, cross], [cross.T, new_inner]])


def _energy(vectors: FloatArray, inner: Float64Array) -> float:
    """Return the trace of S on the span of nearly orthonormal vectors, from their inner products under S."""
    overlap = vectors.T.astype(np.float64) @ vectors.astype(np.float64)
    return float(np.trace(np.linalg.solve(overlap, inner)))
