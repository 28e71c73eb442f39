"""Low-rank approximation from drawn rows and columns, with nothing as long as a row: the method "fkv" of `low_rank`.

Scaled by |A|_F, the r drawn unit rows over sqrt(r) make R, with R^T R close to A^T A. The c columns are drawn from the
mean q of the squared unit rows and scaled by 1 / sqrt(c q), which makes W of R and weighted columns C of A. With the
truncated W = U S Z^T, the approximation is C Z S^-1 U^T R: the vectors v_l = R^T u_l / s_l, and coordinates from c
entries of a row.

Its loss over the best squared error is, to leading order, the sum of what the vectors lose, as k / r, and what the
coordinates lose, as k / c. Both are measured by cross-fitting. Rows and columns fall in halves, and W in four blocks.
The answer from one block judges the opposite one, which shares neither its rows nor its columns, and so does the
truncated singular value decomposition of that opposite block itself. The first errs by twice the loss, the second
looks better than the optimum by twice the loss, and in their difference, four losses, the noise of the common block
cancels. By convexity the expected error of a block's own decomposition is at most the optimum, so that the difference
itself is above the loss of the answer that judges, whatever the spectrum.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from qinspired.access import base_of
from qinspired.algorithms._certificates import loss_interval, root_mean_interval
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.approximation._implicit_approximation import ImplicitApproximation, entry_grid
from qinspired.exceptions import ToleranceNotMetWarning

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import CountingMatrix, SampleQueryMatrix
    from qinspired.algorithms._results import CostMeter

__all__ = ["implicit_low_rank", "reads_whole_rows"]

_MARGIN = 1.25
_LEAST_DRAWS = 64
_MOST_DRAWS = 4096
_LEAST_GROWTH, _MOST_GROWTH = 1.6, 6.0

_HELD_OUT_ROWS = 256
_HELD_OUT_COLS = 4  # of either kind, for each row
_INFLUENCE_ROWS = 256
_LIGHTEST = 10  # rows, or columns, that speak for those never drawn
_MUCH_HEAVIER = 9.0  # than these in squared norm: then they do not

# Constant of the higher orders in the variance of the loss, that of `_certificates.effective_directions`.
_HIGHER_ORDERS = 0.08

# Above this size of the small side, block Krylov replaces LAPACK's SVD; it stops when a block adds less energy than
# this share of what is left.
_DENSE_SVD = 256
_KRYLOV_GAIN = 1e-5

# Squared errors below this share of |A|_F^2 are rounding: all is computed in float64, and float32 entries add 4e-15.
_RESOLVED = 64.0 * float(np.finfo(np.float64).eps)
_MOST_KRYLOV_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class _Factors:
    """The small factors of the approximation and its certificates."""

    rows: IntArray
    cols: IntArray
    coefficients: Float64Array
    column_weights: Float64Array
    shares: Float64Array  # singular values over |A|_F
    error: ErrorEstimate
    excess: ErrorEstimate


@dataclass(frozen=True, slots=True)
class _Triplets:
    U: Float64Array
    s: Float64Array
    Z: Float64Array

    @property
    def energy(self) -> float:
        return float(self.s @ self.s)


def reads_whole_rows(A: SampleQueryMatrix) -> bool:
    """Return whether whole rows of A may be read."""
    return bool(getattr(base_of(A), "whole_rows", True))


def implicit_low_rank(
    meter: CostMeter, rank: int, tolerance: float, rng: np.random.Generator, threshold: float | None = None
) -> ImplicitApproximation:
    """Return the approximation from drawn rows and columns, with a warning if its certificate misses the tolerance.

    With a threshold only the directions are kept whose singular value is estimated to reach it.
    """
    matrix = meter.matrix.source
    method = "fkv" if threshold is None else "threshold"
    least = 0.0 if threshold is None else threshold / matrix.frobenius_norm
    found = _from_rows_and_columns(meter.matrix, rank, tolerance, rng, least)
    drawn = f"{len(found.rows)} drawn rows and as many columns"
    status = f"the certificate meets the tolerance {tolerance:g} with {drawn}"
    if found.excess.high > tolerance:
        remedy = "use a larger tolerance or a lower rank"
        if found.excess.value <= tolerance and math.isinf(found.excess.high):
            remedy = (
                "rows or columns never drawn may hold all of the error, as a few hold nearly all of the norm; " + remedy
            )
        status = (
            f"the certificate shows {found.excess.high:.3g}, above the tolerance {tolerance:g}, after {drawn}; {remedy}"
        )
        warnings.warn(f"low_rank(method={method!r}): {status}.", ToleranceNotMetWarning, stacklevel=3)
    if threshold is not None:
        status += f"; {len(found.shares)} singular values reach the threshold {threshold:g}"
    elif len(found.shares) < rank:
        status += f"; what was drawn has rank {len(found.shares)} to working precision, below the {rank} asked for"
    return ImplicitApproximation(
        found.rows,
        found.cols,
        found.coefficients,
        found.column_weights,
        found.shares * matrix.frobenius_norm,
        found.error,
        found.excess,
        method,
        status,
        meter.read(),
        matrix,
    )


def _from_rows_and_columns(
    A: CountingMatrix, rank: int, tolerance: float, rng: np.random.Generator, least: float
) -> _Factors:
    """Draw, solve and certify, with more draws until the certificate meets the tolerance or 4,096 are made."""
    n_draws = min(max(math.ceil(_MARGIN * rank / tolerance) + 2 * rank, _LEAST_DRAWS), _MOST_DRAWS)
    while True:
        found = _attempt(A, rank, n_draws, rng, least)
        if found.excess.high <= tolerance or n_draws == _MOST_DRAWS:
            return found
        growth = min(max(1.2 * found.excess.high / tolerance, _LEAST_GROWTH), _MOST_GROWTH)
        n_draws = min(math.ceil(growth * n_draws), _MOST_DRAWS)


def _attempt(A: CountingMatrix, rank: int, n_draws: int, rng: np.random.Generator, least: float = 0.0) -> _Factors:
    rows = A.sample_rows(n_draws, rng)
    cols = A.sample_cols(rows[rng.integers(n_draws, size=n_draws)], rng)
    norms = A.row_norms(rows)
    units = entry_grid(A, rows, cols) / norms[:, None]
    law = (units**2).mean(axis=0)
    scaled = units / np.sqrt(law)  # mean square 1 in each column
    joint = leading_triplets(scaled / n_draws, rank + 1, rng)
    energies = np.pad(joint.s**2, (0, rank + 1 - len(joint.s)))
    # Directions below the rounding of the entries, or of the decomposition, are noise.
    rounding = max(float(np.finfo(A.dtype).eps), n_draws * float(np.finfo(np.float64).eps))
    kept = int(np.count_nonzero((joint.s[:rank] > joint.s[0] * rounding) & (joint.s[:rank] >= least)))
    if kept == 0:
        raise ValueError(
            f"`threshold` must be at most the largest singular value, about {joint.s[0] * A.frobenius_norm:.3g}; got "
            f"{least * A.frobenius_norm:.3g}."
        )
    rank = kept if least > 0.0 else rank
    joint = _Triplets(joint.U[:, :kept], joint.s[:kept], joint.Z[:, :kept])
    coefficients = joint.U / joint.s / (math.sqrt(n_draws) * norms)[:, None]
    column_weights = joint.Z / np.sqrt(n_draws * law)[:, None]
    held_out, unseen = _held_out_errors(A, rows, cols, norms, coefficients, column_weights, rng)
    error = root_mean_interval(held_out)
    error = replace(error, high=math.hypot(error.high, math.sqrt(unseen)))
    missed = _most_missed(unseen, float(energies[rank - 1] - energies[rank]))
    excess = _excess(scaled, joint, rank, held_out, missed, rng)
    return _Factors(rows, cols, coefficients, column_weights, joint.s, error, excess)


def leading_triplets(W: Float64Array, rank: int, rng: np.random.Generator) -> _Triplets:
    """Return the leading singular triplets of a matrix, at most `rank` of them."""
    if min(W.shape) <= max(_DENSE_SVD, 4 * (rank + 8)):
        return _cut(*_svd(W), rank)
    width = rank + 8
    basis = np.linalg.qr(W @ rng.standard_normal((W.shape[1], width)))[0]
    image = basis.T @ W
    left, s, right = _svd(image)
    total, energy = float((W**2).sum()), float((s[:rank] ** 2).sum())
    block = basis
    for _ in range(_MOST_KRYLOV_BLOCKS):
        if basis.shape[1] + width > min(W.shape):
            return _cut(*_svd(W), rank)
        # One factorisation of all, as blocks beyond the rank of W are rounding, and would not be orthogonal to it.
        block = np.linalg.qr(np.hstack([basis, W @ (W.T @ block)]))[0][:, basis.shape[1] :]
        basis = np.hstack([basis, block])
        image = np.vstack([image, block.T @ W])
        left, s, right = _svd(image)
        gain, energy = float((s[:rank] ** 2).sum()) - energy, float((s[:rank] ** 2).sum())
        if gain <= _KRYLOV_GAIN * max(total - energy, 0.0) + 1e-15 * total:
            break
    return _cut(basis @ left, s, right, rank)


def _cut(U: Float64Array, s: Float64Array, Zt: Float64Array, rank: int) -> _Triplets:
    return _Triplets(U[:, :rank], s[:rank], Zt[:rank].T)


def _svd(W: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    # LAPACK's divide and conquer now and then fails on a matrix of low numerical rank; QR iteration does not.
    try:
        U, s, Zt = np.linalg.svd(W, full_matrices=False)
    except np.linalg.LinAlgError:
        U, s, Zt = scipy.linalg.svd(W, full_matrices=False, lapack_driver="gesvd")
    return U, s, Zt


def _held_out_errors(
    A: CountingMatrix,
    rows: IntArray,
    cols: IntArray,
    norms: Float64Array,
    coefficients: Float64Array,
    column_weights: Float64Array,
    rng: np.random.Generator,
) -> tuple[Float64Array, float]:
    """Return, for rows drawn afresh, unbiased estimates of the squared error of each over its squared norm.

    Also the squared error that rows and columns never drawn may hide. What the distinct drawn rows leave of |A|_F^2 is
    known, as are their columns on the fresh rows; by 95 % all of a kind that was never met is at most 3 / draws. Rows
    not drawn are light ones, so that they err as the lightest that were. Without this, where a few rows hold nearly
    all of |A|_F^2 and are drawn again and again, the draws tell of them alone.

    Half the columns of a row come from its own law and half from the mean law of the drawn rows. With weights by the
    inverse probability, the square of an entry is at most twice, and that of its approximation y^T R at most 2 |y|^2
    times, what the draws expect: no term is without bound.
    """
    fresh = A.sample_rows(_HELD_OUT_ROWS, rng)
    own = A.sample_cols(np.repeat(fresh, _HELD_OUT_COLS), rng)
    common = A.sample_cols(rows[rng.integers(len(rows), size=len(own))], rng)
    places = np.hstack([own.reshape(-1, _HELD_OUT_COLS), common.reshape(-1, _HELD_OUT_COLS)])
    lengths = A.row_norms(fresh)
    unit = A.query(fresh[:, None], places).astype(np.float64) / lengths[:, None]
    entries = entry_grid(A, fresh, cols) / lengths[:, None]
    drawn = entry_grid(A, rows, places.ravel())
    law = ((drawn / norms[:, None]) ** 2).mean(axis=0).reshape(places.shape)
    vectors = (coefficients.T @ drawn).reshape(-1, *places.shape)
    approximate = np.einsum("il,lij->ij", entries @ column_weights, vectors)
    chances = 0.5 * unit**2 + 0.5 * law
    terms: Float64Array = (unit - approximate) ** 2 / chances
    first_rows, first_cols = (np.unique(drawn_index, return_index=True)[1] for drawn_index in (rows, cols))
    row_share = 1.0 - float(((norms[first_rows] / A.frobenius_norm) ** 2).sum())
    col_share = 1.0 - float((entries[:, first_cols] ** 2).sum(axis=1).mean())
    errors: Float64Array = np.asarray(terms.mean(axis=1), dtype=np.float64)
    own_parts = (slice(None), slice(0, _HELD_OUT_COLS))
    ratios = ((unit - approximate)[own_parts] / unit[own_parts]) ** 2
    m, n = A.shape
    unseen = _unseen(row_share, m - len(first_rows), len(rows), errors, fresh, (lengths / A.frobenius_norm) ** 2)
    unseen += _unseen(col_share, n - len(first_cols), len(cols), ratios.ravel(), own, law[own_parts].ravel())
    # A row apart from all that were drawn has coordinates of about k / c of its squared norm, by chance alone.
    return errors, unseen * (1.0 + 2.0 * coefficients.shape[1] / len(cols))


def _unseen(
    share: float, count: int, n_draws: int, errors: Float64Array, fresh: IntArray, sizes: Float64Array
) -> float:
    """Return the squared error that `count` rows or columns, not among n_draws, may hide in their share of |A|_F^2.

    They err as the lightest of the fresh ones, of which `sizes` are the shares, or, where too few distinct ones were
    met or these are much heavier, wholly.
    """
    if count == 0:
        return 0.0
    most = min(max(share, 0.0), 3.0 / (n_draws + len(fresh)))
    distinct, first = np.unique(fresh, return_index=True)
    lightest = np.argsort(sizes[first], kind="stable")[:_LIGHTEST]
    if len(lightest) < _LIGHTEST or float(sizes[first[lightest]].mean()) > _MUCH_HEAVIER * share / count:
        return most
    means = [float(errors[fresh == one].mean()) for one in distinct[lightest]]
    return most * min(float(np.mean(means)), 1.0)


def _most_missed(share: float, gap: float) -> float:
    """Return the most that unseen rows or columns of this share can add to the energy of the best answer.

    They turn a direction towards one that is `gap` of energy below; the largest gain over all angles.
    """
    return share**2 / (4.0 * gap) if share <= 2.0 * gap and gap > 0.0 else share - gap


def _excess(
    scaled: Float64Array,
    joint: _Triplets,
    rank: int,
    held_out: Float64Array,
    missed: float,
    rng: np.random.Generator,
) -> ErrorEstimate:
    """Return the relative excess sqrt(e / (e - loss)) - 1 of the squared error e."""
    n_draws = len(scaled)
    in_sample = max(1.0 - joint.energy, 0.0)
    if max(in_sample, float(held_out.mean())) <= _RESOLVED:
        # The error is zero to working precision on all that was drawn.
        return ErrorEstimate(0.0, 0.0, math.inf if missed > _RESOLVED else 0.0)
    loss, relative_variance = _cross_fit(scaled, rank, rng)
    residual = scaled / n_draws - (joint.U * joint.s) @ joint.Z.T
    squares = residual**2
    variance = n_draws * (float(squares.sum(axis=1).var(ddof=1)) + float(squares.sum(axis=0).var(ddof=1)))
    held_out_variance = float(held_out.var(ddof=1)) / len(held_out)
    expected = in_sample + 2.0 * loss
    weight = variance / max(variance + held_out_variance, 1e-300)
    mean = (1.0 - weight) * expected + weight * float(held_out.mean())
    noise = (1.0 - weight) * variance / mean**2
    low, high = loss_interval(loss, relative_variance + noise)

    def relative(part: float, missed: float = 0.0) -> float:
        return math.sqrt((mean + missed) / (mean - part)) - 1.0 if part < mean else math.inf

    excess = ErrorEstimate(relative(loss), relative(low), relative(high, missed))
    # Rows drawn afresh see directions that no drawn row or column has. One that carries a share mu is met with
    # probability 256 mu, so that at 95 % a single bad row shows at least 0.05 / 256 of it.
    worst = 0.05 / len(held_out) * min(float(held_out.max()), 1.0)
    shown = max(float(held_out.mean()) - 3.0 * math.sqrt(held_out_variance), worst)
    if shown <= expected + 3.0 * math.sqrt(variance):
        return excess
    value = math.sqrt(max(shown, float(held_out.mean())) / max(in_sample, _RESOLVED)) - 1.0
    return ErrorEstimate(max(value, excess.value), excess.low, max(2.0 * value, excess.high))


def _cross_fit(scaled: Float64Array, rank: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the loss of the joint answer as a share of |A|_F^2, and the relative variance of their ratio."""
    size = len(scaled) // 2
    halves = (slice(0, size), slice(size, 2 * size))
    blocks = [[scaled[i, j] / size for j in halves] for i in halves]
    answers = [[_resolved(leading_triplets(block, rank, rng)) for block in line] for line in blocks]
    gaps, variances = [], []
    for i in (0, 1):
        for j in (0, 1):
            answer, judge = answers[i][j], blocks[1 - i][1 - j]
            left = blocks[1 - i][j] @ answer.Z  # coordinates of the judging rows
            right = blocks[i][1 - j].T @ answer.U  # and the vectors at the judging columns, times s
            residual = judge - (left / answer.s) @ right.T
            own = float((judge**2).sum()) - answers[1 - i][1 - j].energy
            gaps.append(float((residual**2).sum()) - own)
            if i == j == 0:
                for inside, outside in ((left, residual), (right, residual.T)):
                    variances.append(_relative_variance(inside, outside, answer.s**2, 2 * size))
    return max(float(np.mean(gaps)), 0.0) / 4.0, sum(variances)


def _resolved(answer: _Triplets) -> _Triplets:
    kept = int(np.count_nonzero(answer.s > answer.s[0] * 1e-12))
    return _Triplets(answer.U[:, :kept], answer.s[:kept], answer.Z[:, :kept])


def _relative_variance(inside: Float64Array, residual: Float64Array, energies: Float64Array, n_draws: int) -> float:
    """Return what the rows add to the relative variance of the ratio of a loss to its estimate.

    Row u turns direction i towards j by (u.v_i)(u.v_j) / (lambda_i - lambda_j), at a loss of (lambda_i - lambda_j)
    times the square: a quadratic form whose products of different rows vary. A gap below what n_draws rows resolve
    counts as just resolved.
    """
    share = max(len(residual) / _INFLUENCE_ROWS, 1.0)
    inside, residual = inside[:_INFLUENCE_ROWS], residual[:_INFLUENCE_ROWS] * math.sqrt(share)
    left, s, _ = _svd(residual)
    influence = np.zeros((len(inside), len(inside)))
    for i, energy in enumerate(energies):
        gaps = np.maximum(energy - s**2, energy / math.sqrt(n_draws))
        influence += np.outer(inside[:, i], inside[:, i]) * ((left * (s**2 / gaps)) @ left.T)
    diagonal = np.diag(influence)
    count, mean = len(diagonal), float(diagonal.mean())
    if mean <= 0.0:
        return 1.0
    off_diagonal = (float((influence**2).sum()) - float((diagonal**2).sum())) / (count * (count - 1))
    return off_diagonal / mean**2 + 2.0 * _HIGHER_ORDERS * float((diagonal**2).mean()) / (mean**2 * n_draws)
