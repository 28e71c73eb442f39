"""The adaptive row sampling of Deshpande, Rademacher, Vempala and Wang."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_rank
from qinspired.access import SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.reference._drawn import check_mass, check_whole_rows, scaled_blocks, small_svd, stacked_triangle

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.algorithms._results import Cost

__all__ = ["AdaptiveSample", "drvw"]

# Residuals are differences of unit vectors, computed in float64: below this they are rounding.
_ROUNDING = 1e3 * float(np.finfo(np.float64).eps)

# A direction of the new rows that is smaller than this against the largest is left to later rounds.
_LEAST_DIRECTION = 1e-10


@dataclass(frozen=True, slots=True)
class AdaptiveSample:
    """The best k directions in the span of adaptively drawn rows.

    Attributes
    ----------
    source : object with sample-and-query access
        The (m, n) matrix A.
    rounds : tuple of ndarray of int64, each of shape (s,)
        The drawn rows of each round, repeats included.
    residual_norms : ndarray of float64, shape (len(rounds) + 1,)
        |A|_F, then |E|_F after each round: E is A without its projection on the span of the rows drawn so far.
    components : ndarray of float64, shape (k, n)
        Orthonormal rows v_l.
    singular_values : ndarray of float64, shape (k,)
        Those of A V V^T, decreasing: none exceeds that of A.
    stats : Cost
        What the call cost.
    """

    source: SampleQueryMatrix
    rounds: tuple[IntArray, ...]
    residual_norms: Float64Array
    components: Float64Array
    singular_values: Float64Array
    stats: Cost

    @property
    def rank(self) -> int:
        """Number k of directions."""
        return len(self.singular_values)


def drvw(A: Any, rank: int, *, n_rows: int, n_rounds: int = 2, rng: RNGLike = None) -> AdaptiveSample:
    """Low-rank approximation from rows drawn in rounds, each by what the rows of the rounds before leave.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions, in [1, min(m, n)] and at most `n_rows` times `n_rounds`.
    n_rows : int
        Number s of rows to draw in each round, with replacement, >= 1.
    n_rounds : int, default=2
        Number t of rounds, >= 1. They end early when what is left is rounding.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    AdaptiveSample
        With `rounds`, `residual_norms`, `components`, `singular_values` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, `A` is no finite real matrix, or its rows cannot be read whole.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    With E_1 = A, round j draws s rows with probability |(E_j)_i|^2 / |E_j|_F^2, and E_{j+1} is A without its
    projection on the span of all rows drawn so far. The answer is the best rank-k approximation of A whose rows lie
    in that span.

    Cost: t s draws, t s rows read, t passes over A of up to m n t s multiplications, sparse rows taken as dense;
    n t s numbers held.
    Error: for s >= k / eps, E |A - A V V^T|_F^2 <= |A - A_k|_F^2 / (1 - eps) + eps^t |A|_F^2 [1]_: the additive
    error of one round falls exponentially with their number.

    References
    ----------
    .. [1] A. Deshpande, L. Rademacher, S. Vempala, G. Wang, "Matrix approximation and projective clustering via volume
       sampling", Theory of Computing 2 (2006).

    Differs from [1]_: s is given, not derived from an accuracy; the rounds end when |E_j|_F is rounding.

    Examples
    --------
    A small block of rows that carries a millionth of the energy is missed by one round and found by two.

    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = np.zeros((1000, 50))
    >>> A[:990, 0], A[990:, 1] = 1.0, 0.01
    >>> [qi.reference.drvw(A, 2, n_rows=5, n_rounds=t, rng=0).rank for t in (1, 2)]
    [1, 2]
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    n_rows = check_count(n_rows, "n_rows", low=1)
    n_rounds = check_count(n_rounds, "n_rounds", low=1)
    if n_rows * n_rounds < rank:
        raise ValueError(
            f"`n_rows` times `n_rounds` must be at least `rank` = {rank}, the directions sought; got {n_rows} times "
            f"{n_rounds}."
        )
    check_mass(matrix)
    check_whole_rows(matrix)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rounds = [meter.matrix.sample_rows(n_rows, generator)]
    basis = _extended(np.zeros((matrix.shape[1], 0)), meter.matrix, rounds[0])
    left, triangle = _residual(meter.matrix, basis)
    norms = [1.0, float(np.linalg.norm(left))]
    while len(rounds) < n_rounds and norms[-1] > _ROUNDING:
        law = (left / norms[-1]) ** 2
        rounds.append(generator.choice(len(law), size=n_rows, p=law / law.sum()))
        meter.matrix.counts.row_draws += n_rows
        basis = _extended(basis, meter.matrix, rounds[-1])
        left, triangle = _residual(meter.matrix, basis)
        norms.append(float(np.linalg.norm(left)))
    _, shares, Zt = small_svd(triangle, matrix.dtype)
    components = np.ascontiguousarray((basis @ Zt[:rank].T).T)
    norm = matrix.frobenius_norm
    return AdaptiveSample(matrix, tuple(rounds), np.array(norms) * norm, components, shares[:rank] * norm, meter.read())


def _residual(A: SampleQueryMatrix, basis: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the row norms of A - A Q Q^T and the triangle of A Q, in units of |A|_F, for an orthonormal Q."""
    norms = np.empty(A.shape[0])
    triangle = np.zeros((0, basis.shape[1]))
    for start, block in scaled_blocks(A):
        coordinates = block @ basis
        norms[start : start + len(block)] = np.linalg.norm(block - coordinates @ basis.T, axis=1)
        triangle = stacked_triangle(triangle, coordinates)
    return norms, triangle


def _extended(basis: Float64Array, A: SampleQueryMatrix, rows: IntArray) -> Float64Array:
    """Return an orthonormal basis of the span of a basis and of rows of A."""
    distinct = np.unique(rows)
    block = A.rows(distinct)
    dense = block if isinstance(block, np.ndarray) else block.toarray()
    vectors = (dense.astype(np.float64) / A.row_norms(distinct)[:, None]).T
    # What is left of a row is made a unit vector, however little it is.
    vectors = vectors - basis @ (basis.T @ vectors)
    lengths = np.linalg.norm(vectors, axis=0)
    vectors = vectors[:, lengths > _ROUNDING] / lengths[lengths > _ROUNDING]
    if vectors.shape[1] == 0:
        return basis
    U, s, _ = np.linalg.svd(vectors, full_matrices=False)
    new = U[:, s > _LEAST_DIRECTION * s[0]]
    # By that its rounding along the basis has grown: it is taken out again.
    new = np.linalg.qr(new - basis @ (basis.T @ new))[0]
    return np.hstack([basis, new])
