"""The low-rank approximation and the recommendation algorithm of Tang."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_indices, check_nonnegative, check_rank
from qinspired.access import RowCombination, SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import Cost, CostMeter
from qinspired.exceptions import ZeroMassError
from qinspired.reference._frieze_kannan_vempala import FKVResult, check_size, sampled_svd
from qinspired.reference._monte_carlo import GROUPS, combined_entries, median_of_means

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["TangRecommendation", "modfkv", "tang_recommend"]


@dataclass(frozen=True, slots=True)
class TangRecommendation:
    """Items drawn from a user's row of the low-rank approximation.

    Attributes
    ----------
    items : ndarray of int64, shape (n_draws,)
        Drawn columns, with replacement: an item may come up more than once, and a rated one may come up.
    n_proposals : int
        Trials of the rejection sampler for all draws.
    vector : RowCombination
        The approximate row sum_l v_l lambda_l, of length n, from whose squared entries the items are drawn.
    projections : ndarray of float64, shape (k,)
        lambda_l, estimates of <A[user], v_l>.
    singular_values : ndarray of float64, shape (k,)
        Estimates of the singular values of A that were kept.
    stats : Cost
        What the call cost.
    """

    items: IntArray
    n_proposals: int
    vector: RowCombination
    projections: Float64Array
    singular_values: Float64Array
    stats: Cost


def modfkv(A: Any, threshold: float, *, n_rows: int, n_cols: int, rng: RNGLike = None) -> FKVResult:
    """Low-rank approximation from a small sample: the directions whose singular value reaches a threshold.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    threshold : float
        Directions with sigma_l >= `threshold` > 0 are kept, in units of the singular values of A.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw, with replacement; each may exceed m or n.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    FKVResult
        With `rows`, `cols`, `coefficients`, `singular_values`, `right_vector`, `components`, `solve` and
        `stats`; of as many directions as reach the threshold.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, no sigma_l reaches `threshold`, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    The draws, the scaling and the vectors are those of `fkv`; `tang_recommend` is built on it. With K =
    |A|_F^2 / threshold^2 at most K directions are kept, whatever A is, for the energy of the sample is that of A.

    Cost: that of `fkv`.
    Error: for r = c of the order of K^4 / (eta eps^2)^2, |A_s+ - A V V^T|_F <= eps |A|_F but for directions of A whose
    singular value is within a factor 1 - eta and 1 + eta of the threshold, which may be kept or not; A_s+ has
    the larger ones [1]_.

    References
    ----------
    .. [1] E. Tang, "A quantum-inspired classical algorithm for recommendation systems", STOC 2019.

    Differs from [1]_: sizes are given, not derived from an accuracy, and the numbers of rows and columns may differ;
    a threshold that no direction reaches is an error, not an approximation by zero; directions with sigma_l below the
    rounding of sigma_1 are dropped.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((300, 200), 3, kappa=4.0, rng=0)
    >>> exact = problem.singular_values
    >>> middle = float(np.sqrt(exact[1] * exact[2]))
    >>> qi.reference.modfkv(problem.A, middle, n_rows=100, n_cols=100, rng=0).rank
    2
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    least = _check_threshold(threshold)
    n_rows, n_cols = check_size(n_rows, "n_rows", 1), check_size(n_cols, "n_cols", 1)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows, cols, coefficients, values = sampled_svd(meter.matrix, n_rows, n_cols, generator)
    count = _count_above(values, least)
    return FKVResult(matrix, rows, cols, coefficients[:, :count], values[:count], meter.read())


def tang_recommend(
    A: Any,
    user: int,
    n_draws: int,
    *,
    n_rows: int,
    n_cols: int,
    n_estimates: int = 50,
    rank: int | None = None,
    threshold: float | None = None,
    exact_coefficients: bool = False,
    rng: RNGLike = None,
) -> TangRecommendation:
    """Items j drawn with probability near (A_k)_{user, j}^2 / |(A_k)_user|^2, in time independent of m and n.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        Preferences, users by items. Anything but an object made by `as_sq_matrix` is indexed first, by one
        pass.
    user : int
        Row, in [0, m); it must have a non-zero entry.
    n_draws : int
        Items to draw, >= 0.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw, with replacement.
    n_estimates : int, default=50
        Draws in each of ten groups, the median of whose means estimates lambda_l, >= 1.
    rank, threshold : int, float, optional
        Exactly one of the two: keep the first `rank` directions, or those with sigma_l >= `threshold` > 0.
    exact_coefficients : bool, default=False
        Compute lambda_l = <A[user], v_l> from the whole row instead of estimating it.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    TangRecommendation
        With `items`, `n_proposals`, `vector`, `projections`, `singular_values`, `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, both or neither of `rank` and `threshold` are given, no sigma_l
        reaches `threshold`, or `A` is no finite real matrix.
    IndexError
        If `user` is not in [0, m).
    ZeroMassError
        If the row of the user, or its approximation, is zero.

    Notes
    -----
    `fkv` gives v_l = R^T u_l / sigma_l. With j drawn by squared entry of a = A[user], v_l[j] |a|^2 / a_j has
    mean lambda_l; x = sum_l v_l lambda_l is R^T w, w = sum_l u_l lambda_l / sigma_l, and is drawn from by
    rejection.

    Cost: that of `fkv`; 10 n_estimates draws and as many queries of r entries; |A|_F^2 |w|^2 / |x|^2 trials a
    draw, between the stable rank and kappa_F^2, of r entries each.
    Error: the items follow x exactly. x differs from the row of A_k by the error of `fkv` and by that of
    lambda_l, whose estimates have variance |a|^2 |v_l on the support of a|^2 - lambda_l^2 in one draw. Items
    drawn by squared entry are not the best items: rank the distinct ones by their entries.

    References
    ----------
    .. [1] E. Tang, "A quantum-inspired classical algorithm for recommendation systems", STOC 2019.
    .. [2] J. M. Arrazola, A. Delgado, B. R. Bardhan, S. Lloyd, "Quantum-inspired algorithms in practice",
       Quantum 4,
       307 (2020).

    Differs from [1]_: sizes are given, not derived from an accuracy; `rank` is offered beside the threshold;
    lambda_l is a median of ten means as in [2]_; the rejection proposes a row by |w_s R_s|^2 instead of
    uniformly, which needs the same trials in expectation; a user without ratings is refused.
    Differs from [2]_: one set of draws serves all lambda_l; each column drawn is read once.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = np.kron(np.eye(2), np.ones((20, 30)))  # two groups of users, each with its own items
    >>> result = qi.reference.tang_recommend(A, 0, 100, rank=2, n_rows=20, n_cols=20, rng=0)
    >>> bool((result.items < 30).all())
    True
    """
    if (rank is None) == (threshold is None):
        given = "neither" if rank is None else "both"
        raise ValueError(f"exactly one of `rank` and `threshold` must be given; got {given}. Leave one out.")
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    if np.ndim(user) != 0:
        raise ValueError(f"`user` must be one index; got shape {np.shape(user)}.")
    user = int(check_indices([user], matrix.shape[0], "user")[0])
    n_draws = check_count(n_draws, "n_draws")
    n_estimates = check_count(n_estimates, "n_estimates", low=1)
    if rank is not None:
        rank = check_rank(rank, matrix.shape)
    least = 0.0 if threshold is None else _check_threshold(threshold)
    n_rows, n_cols = check_size(n_rows, "n_rows", rank or 1), check_size(n_cols, "n_cols", rank or 1)
    generator = as_generator(rng)
    norm = float(matrix.row_norms([user])[0])
    if norm == 0.0:
        raise ZeroMassError(f"`user` must have a non-zero entry to recommend from; row {user} of `A` is zero.")
    meter = CostMeter(matrix, built_index=built_index)
    rows, _, coefficients, values = sampled_svd(meter.matrix, n_rows, n_cols, generator)
    count = rank if rank is not None else _count_above(values, least)
    coefficients, values = coefficients[:, :count], values[:count]
    if exact_coefficients:
        projections = _exact_projections(meter.matrix, user, rows, coefficients)
    else:
        cols = meter.matrix.sample_cols(np.full(GROUPS * n_estimates, user), generator)
        weights = norm * (norm / meter.matrix.query([user], cols))
        entries = combined_entries(meter.matrix, rows, coefficients, cols)
        projections = median_of_means(weights[:, None] * entries)
    combined = coefficients @ projections
    items, n_proposals = RowCombination(meter.matrix, rows, combined).sample(n_draws, generator)
    vector = RowCombination(matrix, rows, combined)
    return TangRecommendation(items, n_proposals, vector, projections, values, meter.read())


def _check_threshold(threshold: Any) -> float:
    """Return a positive threshold."""
    least = check_nonnegative(threshold, "threshold")
    if least == 0.0:
        raise ValueError("`threshold` must be > 0, in units of the singular values of `A`; got 0.")
    return least


def _count_above(values: Float64Array, threshold: float) -> int:
    """Return how many singular values reach a threshold, at least one."""
    count = int((values >= threshold).sum())
    if count == 0:
        raise ValueError(
            f"`threshold` must not exceed the largest singular value, estimated as {values[0]:.6g}; got {threshold}."
        )
    return count


def _exact_projections(A: SampleQueryMatrix, user: int, rows: IntArray, coefficients: Float64Array) -> Float64Array:
    products = A.rows(rows) @ A.rows([user]).T
    inner = np.asarray(products if isinstance(products, np.ndarray) else products.toarray(), dtype=np.float64)
    projections: Float64Array = inner[:, 0] @ coefficients
    return projections
