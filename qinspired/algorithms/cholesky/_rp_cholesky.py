"""Partial Cholesky factors of positive semi-definite matrices from few entries, with randomly chosen pivots."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction, check_rank
from qinspired.access import base_of
from qinspired.algorithms._results import CostMeter, ErrorEstimate
from qinspired.algorithms.cholesky._factor import PartialCholesky
from qinspired.algorithms.cholesky._input import dense_block, diagonal_of, opened, refuse_zero
from qinspired.algorithms.cholesky._result import CholeskyApproximation
from qinspired.exceptions import ToleranceNotMetWarning

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["rp_cholesky"]

_METHODS = ("accelerated", "simple", "block", "greedy", "uniform")
_ONE_BY_ONE = ("simple", "greedy")

# A block starts at a tenth of the rank, as in the reference code of the authors, and stays within these bounds.
_SMALLEST_BLOCK, _LARGEST_BLOCK = 8, 256

# With a tolerance the rank says little of how many pivots it takes: blocks start as for this one.
_FIRST_RANK = 320


def rp_cholesky(
    A: Any,
    rank: int,
    *,
    tolerance: float | None = None,
    method: str = "accelerated",
    block_size: int | None = None,
    rng: RNGLike = None,
) -> CholeskyApproximation:
    """Partial Cholesky factor F of a positive semi-definite matrix A ~ F F^T, with pivots drawn from its residual.

    Parameters
    ----------
    A : array_like, sparse matrix, object with sample-and-query access, or KernelMatrix, shape (n, n)
        The matrix; or any object with `shape`, `dtype` and `query(rows, cols)`, whose indices broadcast, and maybe
        `diagonal()` and `rows(rows)`. Of such an object, and of one with sample-and-query access, only the diagonal
        and the rows of k pivots are asked for; arrays and sparse matrices are read once more, to check them.
    rank : int
        Largest number k of pivots, in [1, n].
    tolerance : float, optional
        Stop as soon as the relative trace error tr(A - F F^T) / tr(A) is at most this, in (0, 1). By default all k
        pivots are taken.
    method : {"accelerated", "simple", "block", "greedy", "uniform"}, default="accelerated"
        "simple" draws one pivot at a time with probability proportional to the diagonal of the residual.
        "accelerated" has the same law: it proposes a block of pivots from the current diagonal and accepts each with
        the probability that is left of its diagonal entry. "block" takes all that were proposed: pivots from one
        block do not know of each other, so that many near-duplicates of one point may be taken, and on clustered data
        the error may be far larger. "greedy" takes the largest entry of the diagonal, which is classical
        pivoted Cholesky, and is drawn to outliers. "uniform" is the Nystrom method with columns drawn uniformly without
        replacement, which misses small clusters.
    block_size : int, optional
        Pivots proposed at once by "accelerated", "block" and "uniform", >= 1. By default a tenth of the rank, between
        8 and 256; "accelerated" then adapts it to the share that is accepted.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    CholeskyApproximation
        With `pivots`, `factor`, `error`, `eigenvalues`, `eigenvectors`, `query`, `matvec`, `solve`. It has fewer than
        `rank` pivots if the tolerance was met, or if the rest of A is rounding.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range; `A` is not square, not finite or not symmetric; an entry of its diagonal, or of
        that of a residual, is negative beyond rounding; or it is an `ImplicitMatrix` that gives whole rows only.
    ZeroMassError
        If `A` is zero.

    Warns
    -----
    ToleranceNotMetWarning
        If a tolerance was not met with `rank` pivots.

    Notes
    -----
    Cost: n + k n entries of A, and b^2 for each block of b proposals; n k^2 multiplications; memory for n k numbers.
    Error: with k >= r / eps + r log(1 / (eps eta)) pivots, E tr(A - F F^T) <= (1 + eps) tr(A - A_r), A_r the
    best approximation of rank r and eta = tr(A - A_r) / tr(A) [1]_. Whatever the pivots, A - F F^T is positive
    semi-definite, so that its diagonal tells its trace, and with it a bound of every norm: `error` is exact, not an
    estimate. That A is positive semi-definite cannot be checked from these entries. What is checked: its diagonal, the
    diagonals of all residuals, which may fall below 0 by sqrt(machine precision) of the entry of A at most, and the
    symmetry at the pivots; that of arrays and sparse matrices everywhere, to as much of sqrt(A_ii A_jj).
    A pivot of whose diagonal entry only rounding is left is not drawn: less than 64 eps of it, more by the root of the
    ratio of the largest entry of the diagonal to the least, and at most 8 eps^(2/3), which is also the bound of "block"
    and "uniform": 3e-10 in float64, 2e-4 in float32. That keeps the factor stable without a shift of the diagonal.

    References
    ----------
    .. [1] Y. Chen, E. N. Epperly, J. A. Tropp, R. J. Webber, "Randomly pivoted Cholesky: Practical approximation of a
       kernel matrix with few entry evaluations", Communications on Pure and Applied Mathematics 78 (2025).
    .. [2] E. N. Epperly, J. A. Tropp, R. J. Webber, "Embrace rejection: Kernel matrix approximation by accelerated
       randomly pivoted Cholesky", arXiv:2410.03969 (2024). Differs from [2]_: the size of the block follows the share
       accepted, not the clock, so that a seed gives the same pivots on every machine; and no shift of the diagonal.

    Examples
    --------
    Points on a circle, many of them in one place:

    >>> import numpy as np
    >>> import qinspired as qi
    >>> angles = np.concatenate([np.zeros(3000), np.linspace(0.0, 6.0, 1000)])
    >>> X = np.column_stack([np.cos(angles), np.sin(angles)])
    >>> K = qi.KernelMatrix(X, gamma=2.0)
    >>> approx = qi.rp_cholesky(K, 30, tolerance=1e-6, rng=0)
    >>> approx.error.value <= 1e-6, approx.rank <= 30
    (True, True)
    >>> K.entries_computed < 60 * 4000  # of 16 million
    True
    """
    source, matrix, built_index = opened(A)
    n = matrix.shape[0]
    rank = check_rank(rank, matrix.shape)
    if tolerance is not None:
        tolerance = check_fraction(tolerance, "tolerance")
    if method not in _METHODS:
        raise ValueError(f"`method` must be one of {', '.join(_METHODS)}; got {method!r}.")
    size = _first_block(block_size, method, rank if tolerance is None else min(rank, _FIRST_RANK))
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    counting = meter.matrix
    every = np.arange(n)
    reads_rows = bool(getattr(base_of(matrix), "whole_rows", True))

    def rows(pivots: IntArray) -> FloatArray:
        block: Any = counting.rows(pivots) if reads_rows else counting.query(pivots[:, None], every[None, :])
        return dense_block(block)

    def block(pivots: IntArray) -> FloatArray:
        return counting.query(pivots[:, None], pivots[None, :])

    diagonal = diagonal_of(meter, source)
    refuse_zero(diagonal, matrix if built_index else None)
    partial = PartialCholesky(diagonal, counting.dtype, rank, method in ("block", "uniform"), rows, block)
    _grow(partial, tolerance, method, size, block_size is None, generator)

    value, low, high = partial.error
    k = len(partial.pivots)
    status = f"took {k} pivots"
    if tolerance is not None and high <= tolerance:
        status = f"met the tolerance {tolerance:g} with {k} pivots"
    elif k < rank:
        status = f"stopped at {k} of {rank} pivots, since the rest of A is rounding: A has no higher numerical rank"
    if tolerance is not None and high > tolerance:
        remedy = "no more can be had in this precision" if k < rank else "raise `rank`"
        status += f"; the trace error, {high:.3g}, is above the tolerance {tolerance:g}: {remedy}"
        warnings.warn(f"rp_cholesky(method={method!r}): {status}.", ToleranceNotMetWarning, stacklevel=2)
    return CholeskyApproximation(
        pivots=partial.pivots,
        factor=partial.taken().T,
        error=ErrorEstimate(value, low, high, 1.0),
        method=method,
        status=status,
        stats=meter.read(),
        source=source,
    )


def _grow(
    partial: PartialCholesky,
    tolerance: float | None,
    method: str,
    size: int,
    adapts: bool,
    rng: np.random.Generator,
) -> None:
    """Propose pivots until the rank, the tolerance or rounding ends it."""
    order = rng.permutation(partial.size) if method == "uniform" else np.zeros(0, dtype=np.int64)
    expected = math.inf  # pivots that the tolerance will still take
    while (most := min(partial.rank - len(partial.pivots), expected)) > 0:
        weights, before = partial.weights, partial.error[2]
        if not weights.any() or (tolerance is not None and before <= tolerance):
            return
        most, thresholds = int(most), None
        if method == "greedy":
            proposed = np.array([np.argmax(weights)])
        elif method == "uniform":
            order = order[weights[order] > 0.0]  # a column that is explained already would add rounding only
            if not len(order):
                order = rng.permutation(np.flatnonzero(weights))
            proposed, order = order[: min(size, most)], order[min(size, most) :]
        else:
            # Near the end most proposals of a whole block would come too late.
            proposed = _draw(weights, min(size, most if method == "block" else 2 * most), rng)
            if method == "accelerated":
                thresholds = rng.random(len(proposed)) * weights[proposed]
            else:
                proposed = proposed[np.sort(np.unique(proposed, return_index=True)[1])]
        n_taken = partial.extend(proposed, thresholds, most, tolerance)
        # The law of the pivots is that of "simple" with any limits that look at the past only.
        if method == "accelerated" and adapts:
            size = _next_block(size, len(proposed), n_taken)
        if tolerance is not None:
            expected = _expected(before, partial.error[2], n_taken, tolerance)


def _expected(before: float, after: float, n_taken: int, tolerance: float) -> float:
    """Return how many pivots more the tolerance takes if the error falls on as it did, and some."""
    rate = math.log(before / after) / n_taken if 0.0 < after < before else 0.0
    return 8.0 + max(1.1 * math.log(after / tolerance) / rate, 0.0) if rate > 0.0 else math.inf


def _draw(weights: Float64Array, n_draws: int, rng: np.random.Generator) -> IntArray:
    """Draw indices with replacement, in proportion to weights that change too often for a table."""
    running = np.cumsum(weights)
    places = np.searchsorted(running, rng.random(n_draws) * running[-1], side="right")
    # A product rounded up to the sum would be past the end.
    drawn: IntArray = np.minimum(places, np.searchsorted(running, running[-1], side="left"))
    return drawn


def _first_block(block_size: int | None, method: str, rank: int) -> int:
    if block_size is None:
        size = min(max(math.ceil(rank / 10), _SMALLEST_BLOCK), _LARGEST_BLOCK)
        return 1 if method in _ONE_BY_ONE else size
    if method in _ONE_BY_ONE:
        raise ValueError(f"`block_size` has no meaning for method={method!r}, which takes one pivot at a time.")
    return check_count(block_size, "block_size", low=1)


def _next_block(size: int, n_proposed: int, n_taken: int) -> int:
    if n_taken < 0.4 * n_proposed:
        size //= 2
    elif n_taken > 0.8 * n_proposed and n_proposed == size:
        size *= 2
    return min(max(size, _SMALLEST_BLOCK), _LARGEST_BLOCK)
