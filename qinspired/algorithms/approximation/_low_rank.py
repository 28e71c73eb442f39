"""Low-rank approximation from drawn rows, certified, with exact and randomized solvers as the last resort."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_rank
from qinspired.access import SampleQueryMatrix, as_sq_matrix, base_of
from qinspired.algorithms.approximation._approximation import LowRankApproximation
from qinspired.algorithms._certificates import effective_directions, root_mean_interval
from qinspired.algorithms.approximation._excess import (
    HELD_OUT_ROWS,
    HeldOutRows,
    excess_estimate,
    influence,
    longest_rows,
    resolution,
    unless_refuted,
)
from qinspired.algorithms.approximation._full_svd import exact_low_rank, randomized_low_rank
from qinspired.algorithms.approximation._implicit_low_rank import implicit_low_rank, reads_whole_rows
from qinspired.algorithms._results import CostMeter, ErrorEstimate
from qinspired.algorithms.approximation._ritz import (
    Ritz,
    complete_orthonormal,
    eigenpairs_by_gram,
    orthonormal,
    ritz_pairs,
    ritz_transform,
)
from qinspired.algorithms.approximation._row_sample import RowBatch, draw_batch, gather_rows, n_draws_of, scatter
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, RNGLike
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.approximation._implicit_approximation import ImplicitApproximation

__all__ = ["low_rank"]

_METHODS = ("auto", "gram", "krylov", "fkv", "randomized", "exact")

# Extra directions kept beside the k wanted; with 6 the block is 16 wide at k = 10, one AVX-512 register of float32.
_OVERSAMPLING = 6

# Rows of the first, exactly solved level, and the growth from level to level. A level is one multiplication by its
# rows and their transpose from the answer of the level before: 64, 380 and 2,300 rows cost 1.2 times the last alone.
_FIRST_LEVEL = 64
_LEVEL_GROWTH = 6

# Margin over the law r = k / (2 tolerance), so that the upper end of the interval meets the tolerance at once.
_MARGIN = 1.15
_MAX_KRYLOV_BLOCKS = 6

# Iterations stop when the energy still to be gained on the drawn rows, as a share of the loss, is below this over the
# root of their number: the spread of the certificate falls in the same way, and an iteration left at 5 % of the loss
# covered 83 % at 600 rows where one at 2 % covered 91 and the Gram matrix 95.
_UNCONVERGED = 0.74

# To stop at the first certificate that happens to be low enough makes the reported excess too low on average. With
# steps of 1.3 it was 0.81 to 0.89 of the truth on gapless spectra; a bold step leaves little to select from.
_LEAST_GROWTH = 1.6

# Rates for the choice of a method, in operations a second, from one 2-core machine; only their ratios matter, and a
# factor of two in them moves the choice by as much in matrix size.
_DENSE_RATE = {4: 8e10, 8: 4e10}
_SPARSE_RATE = 4e9
_LAPACK_RATE = 1e10
_SAMPLING_OVERHEAD, _PASSES_OVERHEAD = 1.2e-2, 2e-3

# Stored entries up to which "auto" ends with the exact solver if nothing else is certified: 5,000 x 5,000, which takes
# 3 minutes by the rate above.
_EXACT_ENTRIES = 25_000_000
_PASS_PAIRS = 4  # passes over A and A^T that power iterations take at tolerances of 5 to 0.3 %


def low_rank(
    A: Any, rank: int, *, tolerance: float = 0.01, method: str = "auto", rng: RNGLike = None
) -> LowRankApproximation | ImplicitApproximation:
    """Projection A V V^T of a matrix on k directions, within a tolerance of the best and certified.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions, in [1, min(m, n)].
    tolerance : float, default=0.01
        Largest relative excess of |A - A V V^T|_F over the best error with rank k, in (0, 1). It is a promise: while
        the upper end of the certificate exceeds it, more rows are drawn, and at last all rows are used.
    method : {"auto", "gram", "krylov", "fkv", "randomized", "exact"}, default="auto"
        "gram" takes the eigenvectors of a Gram matrix of drawn rows, "krylov" a warm-started block Krylov iteration
        on them, "fkv" drawn entries of drawn rows, "randomized" power iterations on all of A, "exact" LAPACK's SVD.
        "auto" takes the one it predicts to be fastest, and "fkv" for an `ImplicitMatrix` whose rows are too long to be
        read whole. With "fkv", or a method pinned by name, a tolerance that is not certified raises a warning.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    LowRankApproximation, or ImplicitApproximation from "fkv"
        With `components`, `singular_values`, `error`, `excess`, `method`, `status`, `stats`, `project`, `explain`. An
        implicit one is a map A -> A[:, cols] G A[rows], and forms components only where they are small enough.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Warns
    -----
    ToleranceNotMetWarning
        If a method pinned by name, or the last resort, ended before its certificate met the tolerance.

    Notes
    -----
    Cost: r = 1.15 k / (2 tolerance) draws as a rule, about 7 r n (k + 6) multiplications, r rows read, and 160 rows
    for the error and the checks; beyond m / 3 rows the randomized or exact solver takes over.
    Error: r rows drawn by squared norm give a relative excess of about k / (2 r) where the spectrum has a gap [1]_.
    The excess is certified by cross-fitting: each half of the drawn rows judges the answer made from the other half,
    which needs no row beyond those drawn. Measured over seeds, its ratio to the truth is 0.95 to 1.03 on gapped,
    gapless and row-skewed matrices; with many equal singular values at k it is too high, 10 to 34 times, never low.
    The held-out rows and the 32 longest rows can refute it; a direction that carries less than about 3 / r of |A|_F^2,
    in rows that are none of these, goes unseen.
    Where rounding hides the loss, as in float32 at errors below some 0.3 %, the excess is infinity; "auto" then ends
    with the exact solver if `A` has at most 2.5e7 stored entries.
    `error` is a mean over 128 rows drawn afresh, with Student's interval.

    References
    ----------
    .. [1] A. Frieze, R. Kannan, S. Vempala, "Fast Monte-Carlo algorithms for finding low-rank approximations",
       Journal of the ACM 51 (2004). Differs from [1]_: rows only, no column draws; solved by block Krylov; grown
       until certified.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((3000, 400), 5, noise=0.2, rng=0)
    >>> approx = qi.low_rank(problem.A, 5, tolerance=0.05, method="gram", rng=0)
    >>> approx.components.shape, bool(approx.excess.high <= 0.05)
    ((5, 400), True)
    >>> approx.stats.rows_read < 1000
    True
    """
    if method not in _METHODS:
        raise ValueError(f"`method` must be one of {', '.join(_METHODS)}; got {method!r}.")
    tolerance = check_fraction(tolerance, "tolerance")
    built_index = not isinstance(A, SampleQueryMatrix)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    generator = as_generator(rng)
    if matrix.frobenius_norm == 0.0:
        raise ZeroMassError("`A` must have a non-zero entry: the best approximation of a zero matrix is any.")
    meter = CostMeter(matrix, built_index=built_index)
    chosen = _choose(meter.matrix, rank, tolerance) if method == "auto" else method
    if chosen == "fkv":
        return implicit_low_rank(matrix, meter, rank, tolerance, generator)
    start: FloatArray | None = None
    status = ""
    if chosen in ("gram", "krylov"):
        found = _from_drawn_rows(meter.matrix, rank, tolerance, chosen, generator)
        if found.excess.high <= tolerance:
            status = f"the certificate meets the tolerance {tolerance:g} with {found.n_draws} drawn rows"
        elif method != "auto":
            status = (
                f"the certificate shows {found.excess.high:.3g}, above the tolerance {tolerance:g}, after "
                f"{found.n_draws} drawn rows; use method='auto' or a larger tolerance"
            )
            warnings.warn(f"low_rank(method={method!r}): {status}.", ToleranceNotMetWarning, stacklevel=2)
        else:
            start = found.vectors
            status = f"drawn rows ended at an excess of {found.excess.high:.3g}; "
            chosen = "randomized"
        if start is None:
            return _result(found.vectors, found.values, found.error, found.excess, chosen, status, meter, matrix, rank)
    if chosen == "randomized":
        components, values, error, excess = randomized_low_rank(meter.matrix, rank, tolerance, generator, start)
        status += f"{meter.matrix.counts.full_passes} passes over all rows"
        if excess.high > tolerance and method == "auto" and matrix.n_stored <= _EXACT_ENTRIES:
            status += f", after which the excess may still be {excess.high:.3g}; "
            chosen = "exact"
        elif excess.high > tolerance:
            status += f", after which the excess may still be {excess.high:.3g}; use method='exact'"
            warnings.warn(f"low_rank: {status}.", ToleranceNotMetWarning, stacklevel=2)
    if chosen == "exact":
        components, values, error, excess = exact_low_rank(meter.matrix, rank)
        predicted = method == "auto" and not status
        status += "the exact solver was used"
        if predicted:
            status += ": it is predicted to be the fastest on this matrix"
    return LowRankApproximation(components, values, error, excess, chosen, status, meter.read(), matrix)


def _result(
    vectors: FloatArray,
    values: Float64Array,
    error: ErrorEstimate,
    excess: ErrorEstimate,
    method: str,
    status: str,
    meter: CostMeter,
    matrix: SampleQueryMatrix,
    rank: int,
) -> LowRankApproximation:
    singular_values = np.zeros(rank)
    count = min(rank, len(values))
    singular_values[:count] = np.sqrt(values[:count]) * matrix.frobenius_norm
    components = np.ascontiguousarray(vectors[:, :rank].T)
    return LowRankApproximation(components, singular_values, error, excess, method, status, meter.read(), matrix)


def _predicted_draws(rank: int, tolerance: float) -> int:
    return max(math.ceil(_MARGIN * rank / (2.0 * tolerance)) + 2 * rank, 4 * (rank + _OVERSAMPLING), _FIRST_LEVEL)


def _rate(A: SampleQueryMatrix) -> float:
    return _SPARSE_RATE if A.is_sparse else _DENSE_RATE[A.dtype.itemsize]


def _choose(A: CountingMatrix, rank: int, tolerance: float) -> str:
    """Return the method with the least predicted time."""
    m, n = A.shape
    # Asked first: to count the stored entries of an implicit matrix, a row of it is read.
    if not reads_whole_rows(A):
        return "fkv"
    width = rank + _OVERSAMPLING
    rate = _rate(A)
    # A centred sparse matrix has dense rows, but products at the cost of sparse ones.
    multiplied = getattr(base_of(A), "multiplied", A)
    draws = _predicted_draws(rank, tolerance)
    per_row = A.n_stored / m
    seconds = {
        "exact": (4.0 * m * n * min(m, n) + 10.0 * min(m, n) ** 3) / _LAPACK_RATE,
        "randomized": _PASSES_OVERHEAD
        + 4.0 * multiplied.n_stored * width * _PASS_PAIRS / _rate(multiplied)
        + 10.0 * (m + n) * width**2 / _LAPACK_RATE,
    }
    if draws <= m / 3:
        sampled = 7.0 * draws * per_row * width / rate + 10.0 * n * width**2 / _LAPACK_RATE + _SAMPLING_OVERHEAD
        seconds["gram" if min(n, draws) <= 2 * _FIRST_LEVEL else "krylov"] = sampled
    # Below some milliseconds the exact answer is preferred to a faster inexact one.
    return "exact" if seconds["exact"] < 4e-3 else min(seconds, key=lambda name: seconds[name])


@dataclass(frozen=True, slots=True)
class _Sampled:
    vectors: FloatArray
    values: Float64Array
    error: ErrorEstimate
    excess: ErrorEstimate
    n_draws: int


def _from_drawn_rows(A: CountingMatrix, rank: int, tolerance: float, method: str, rng: np.random.Generator) -> _Sampled:
    """Draw, solve and certify, growing the draw until the certificate meets the tolerance or m / 3 rows are drawn."""
    m, n = A.shape
    width = min(rank + _OVERSAMPLING, m, n)
    limit = max(m // 3, _FIRST_LEVEL)
    target = min(_predicted_draws(rank, tolerance), limit)
    sizes = _level_sizes(target, width)
    first = [draw_batch(A, sizes[0], rng)]
    pairs = eigenpairs_by_gram(first, width)
    for size in sizes[1:]:
        first.append(draw_batch(A, size - n_draws_of(first), rng))
        if method == "krylov" and size < sizes[-1]:
            pairs = _one_krylov_step(first, pairs.vectors, width)
    second = [draw_batch(A, n_draws_of(first), rng)]
    held_out = HeldOutRows(*gather_rows(A, A.sample_rows(HELD_OUT_ROWS, rng)))
    longest, shares = longest_rows(A, rng)
    solve = _solve_by_gram if method == "gram" else _solve_by_krylov
    while True:
        split = solve(first, second, pairs.vectors, rank, width)
        n_draws = n_draws_of(first + second)
        vectors = complete_orthonormal(orthonormal(split.joint.vectors[:, :rank]), rank, rng)
        cosines = held_out.times(vectors)
        sines, floor = held_out.sines(vectors, cosines), resolution(vectors)
        directions = effective_directions(influence(held_out, cosines, split.joint, rank, n_draws), n_draws)
        relative_variance = 4.0 / directions
        in_sample = 1.0 - float(split.joint.values[:rank].sum())
        excess = excess_estimate(split.loss, in_sample, n_draws, sines, relative_variance, floor)
        seen = shares @ np.maximum(1.0 - (longest.times(vectors) ** 2).sum(axis=1), 0.0)
        if max(float(seen), float(sines.max())) > floor:
            excess = unless_refuted(excess, in_sample, split.loss, sines, float(seen), n_draws)
        wanted = min(math.ceil(n_draws * min(max(1.2 * excess.high / tolerance, _LEAST_GROWTH), 8.0)), limit)
        # The halves stay equal: a small one would judge and be judged by too few rows.
        more = (wanted - n_draws) // 2
        if excess.high <= tolerance or more < n_draws // 8:
            return _Sampled(vectors, split.joint.values, root_mean_interval(sines), excess, n_draws)
        pairs = split.joint
        first, second = [*first, draw_batch(A, more, rng)], [*second, draw_batch(A, more, rng)]


def _level_sizes(target: int, width: int) -> list[int]:
    """Return the growing sizes of the first half, from an exactly solved level to half the draws."""
    sizes = [target // 2]
    while sizes[0] > max(_FIRST_LEVEL, 2 * width):
        sizes.insert(0, max(sizes[0] // _LEVEL_GROWTH, _FIRST_LEVEL, 2 * width))
    return sizes


@dataclass(frozen=True, slots=True)
class _Split:
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
    return sum(
        float(batch.weights.astype(np.float64) @ (batch.times(V).astype(np.float64) ** 2).sum(axis=1))
        for batch in batches
    )


def _solve_by_gram(first: list[RowBatch], second: list[RowBatch], start: FloatArray, rank: int, width: int) -> _Split:
    del start
    one, two, joint = (eigenpairs_by_gram(rows, width) for rows in (first, second, first + second))
    loss = _cross_fit_loss(float(one.values[:rank].sum()), two.vectors[:, :rank], first, second)
    return _Split(joint, loss)


def _one_krylov_step(batches: list[RowBatch], start: FloatArray, width: int) -> Ritz:
    images, inner = scatter(batches, start)
    return ritz_pairs(images, inner, n_draws_of(batches), width)


def _solve_by_krylov(first: list[RowBatch], second: list[RowBatch], start: FloatArray, rank: int, width: int) -> _Split:
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
    return _Split(joint, loss + left)


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
