"""The low-rank solver of Gilyen, Lloyd and Tang, and of Chia, Lin and Wang."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_rank
from qinspired.access import AliasTable, RowCombination, SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.reference._combined_rows import CombinedRowsSolution, check_finite, check_system
from qinspired.reference._drawn import check_whole_rows
from qinspired.reference._frieze_kannan_vempala import FKVResult, check_size, sampled_svd
from qinspired.reference._monte_carlo import GROUPS, combined_entries, median_of_means

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["GLTSolution", "glt_regression"]

_LAWS = ("rows", "rhs")


@dataclass(frozen=True, slots=True, eq=False)
class GLTSolution(CombinedRowsSolution):
    """The solution sum_l v_l lambda_l / sigma_l^2 of a low-rank system, never formed.

    Attributes
    ----------
    vector : RowCombination
        x, of length n.
    factors : FKVResult
        The vectors v_l and singular values sigma_l; as many as were found, at most the rank asked for.
    projections : ndarray of float64, shape (k,)
        lambda_l, estimates of <v_l, A^T b>.
    stats : Cost
        What the call cost, that of `factors` included.
    """

    factors: FKVResult
    projections: Float64Array

    @property
    def rank(self) -> int:
        """Number k of directions that x is made of."""
        return self.factors.rank


def glt_regression(
    A: Any,
    b: Any,
    rank: int,
    *,
    n_rows: int,
    n_cols: int,
    n_estimates: int | None = 50,
    n_groups: int = GROUPS,
    draw_by: str = "rows",
    whole_rows: bool = False,
    shared_draws: bool = False,
    rng: RNGLike = None,
) -> GLTSolution:
    """Approximate x = A_k^+ b, the solution of a low-rank system, as a combination of drawn rows.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    b : array_like, shape (m,)
        Right-hand side, not zero.
    rank : int
        Number k of directions, in [1, min(m, n)] and at most `n_rows` and `n_cols`.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw, with replacement; each may exceed m or n.
    n_estimates : int or None, default=50
        Draws N in each group for an estimate of lambda_l = <v_l, A^T b>, >= 1; None computes lambda_l by one pass
        over A.
    n_groups : int, default=10
        Groups, >= 1; lambda_l is the median of their means.
    draw_by : {"rows", "rhs"}, default="rows"
        Whether a row i is drawn by |A_i|^2 or by b_i^2.
    whole_rows : bool, default=False
        Compute the inner product of a drawn row with v_l instead of estimating it from one entry, drawn by A_ij^2.
    shared_draws : bool, default=False
        Use the same draws for all l.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    GLTSolution
        With `query`, `sample`, `norm`, `to_array`, `vector`, `factors`, `projections` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, `A` is no finite real matrix, or `b` no finite real vector of length m; if
        |A|_F or the largest entry of b is not in [1e-100, 1e100]; if whole rows are needed of a matrix that has none.
    ZeroMassError
        If all entries of `A` or of `b` are zero.

    Notes
    -----
    `fkv` gives v_l = R^T u_l / sigma_l. With (i, j) drawn by A_ij^2, |A|_F^2 b_i v_l[j] / A_ij has mean lambda_l.
    Then x = sum_l v_l lambda_l / sigma_l^2 is R^T w with w = sum_l u_l lambda_l / sigma_l^3. Drawn by b_i^2, the row
    has weight |b|^2 / b_i in place of |A|_F^2 b_i / |A_i|^2.

    Cost: that of `fkv`; k n_groups N draws of an entry, and as many queries of r + 1 entries; `shared_draws` takes
    away the factor k, `whole_rows` reads the drawn rows, and the r of R, in place of entries.
    Error: relative to A_k^+ b with lambda_l computed, of the order of kappa_F^2 / sqrt(r), kappa_F = |A|_F / sigma_k
    for r = c. One estimate of lambda_l has variance |A|_F^2 |b|^2 |v_l|^2 - lambda_l^2, if no entry of A or b is zero,
    and with whole rows |A|_F^2 sum_i b_i^2 <A_i, v_l>^2 / |A_i|^2 - lambda_l^2, or |b|^2 |A v_l|^2 - lambda_l^2 if
    drawn by b_i^2, which is the least where b lies near the range of A. The solution can be worse than 0: a small
    sigma_l enters squared.

    References
    ----------
    .. [1] A. Gilyen, S. Lloyd, E. Tang, "Quantum-inspired low-rank stochastic regression with logarithmic dependence
       on the dimension", arXiv:1811.04909 (2018).
    .. [2] N.-H. Chia, H.-H. Lin, C. Wang, "Quantum-inspired sublinear classical algorithms for solving low-rank linear
       systems", arXiv:1811.04852 (2018).
    .. [3] J. M. Arrazola, A. Delgado, B. R. Bardhan, S. Lloyd, "Quantum-inspired algorithms in practice", Quantum 4,
       307 (2020).

    Differs from [1]_ and [2]_: sizes are given, not derived from an accuracy; a number of directions replaces the
    threshold on sigma_l; `fkv` tells how its draws differ. `draw_by`, `whole_rows` and `shared_draws` are not in them.
    Draws that fall on the same column share one query, and draws from x propose a row by |w_s R_s|^2 instead of
    uniformly, which needs the same trials in expectation.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.linear_system((400, 200), rank=2, kappa=1.5, rng=0)
    >>> sizes = {"n_rows": 200, "n_cols": 200, "n_estimates": 200}
    >>> found = qi.reference.glt_regression(problem.A, problem.b, 2, **sizes, rng=0)
    >>> bool(np.linalg.norm(found.to_array() - problem.x_true) < 0.3)
    True
    >>> draws, trials = found.sample(100, rng=0)
    >>> len(draws), found.query([0, 1]).shape, trials > 100
    (100, (2,), True)
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    target = check_system(matrix, b)
    rank = check_rank(rank, matrix.shape)
    n_rows, n_cols = check_size(n_rows, "n_rows", rank), check_size(n_cols, "n_cols", rank)
    if n_estimates is not None:
        n_estimates = check_count(n_estimates, "n_estimates", low=1)
    n_groups = check_count(n_groups, "n_groups", low=1)
    if draw_by not in _LAWS:
        raise ValueError(f"`draw_by` must be one of {', '.join(map(repr, _LAWS))}; got {draw_by!r}.")
    if n_estimates is None or whole_rows:
        check_whole_rows(matrix, "give `n_estimates`, with `whole_rows=False`")
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows, cols, coefficients, values = sampled_svd(meter.matrix, n_rows, n_cols, generator)
    factors = FKVResult(matrix, rows, cols, coefficients[:, :rank], values[:rank], meter.read())
    if n_estimates is None:
        projections = _computed(meter.matrix, target, factors)
    else:
        table = None if draw_by == "rows" else AliasTable(np.abs(target), exponent=2)
        parts = [slice(None)] if shared_draws else [slice(which, which + 1) for which in range(factors.rank)]
        projections = np.concatenate(
            [
                median_of_means(
                    _samples(meter.matrix, target, factors, part, table, n_groups * n_estimates, whole_rows, generator),
                    n_groups,
                )
                for part in parts
            ]
        )
    with np.errstate(over="ignore", invalid="ignore"):
        combined = factors.coefficients @ (projections / factors.singular_values / factors.singular_values)
    check_finite(
        combined, f"`rank` must be smaller; with {rank} a singular value is too near 0 to divide by its square"
    )
    return GLTSolution(RowCombination(matrix, rows, combined), meter.read(), factors, projections)


def _computed(A: SampleQueryMatrix, b: Float64Array, factors: FKVResult) -> Float64Array:
    """Return all <v_l, A^T b> by a pass over A."""
    back = np.asarray(A.rmatmul(b[:, None]), dtype=np.float64)[:, 0]
    inner = A.rows(factors.rows).astype(np.float64) @ back
    projections: Float64Array = inner @ factors.coefficients
    return projections


def _samples(
    A: SampleQueryMatrix,
    b: Float64Array,
    factors: FKVResult,
    part: slice,
    table: AliasTable | None,
    count: int,
    whole_rows: bool,
    generator: np.random.Generator,
) -> Float64Array:
    """Return estimates of some <v_l, A^T b>, one a row, each from one drawn row: with a table, drawn by b_i^2."""
    coefficients = factors.coefficients[:, part]
    i = A.sample_rows(count, generator) if table is None else table.sample(count, generator)
    norms = A.row_norms(i)
    # In this order no square is formed that could overflow.
    if table is None:
        weights = b[i] * A.frobenius_norm * (A.frobenius_norm / norms)
    else:
        size = float(np.linalg.norm(b / np.abs(b).max())) * float(np.abs(b).max())
        weights = size * (size / b[i]) * norms
    if whole_rows:
        return weights[:, None] * _inner_products(A, i, norms, factors.rows, coefficients)
    # A drawn row of zeros, which only b can draw, adds nothing to A^T b.
    samples = np.zeros((count, coefficients.shape[1]))
    drawn = np.flatnonzero(norms)
    j = A.sample_cols(i[drawn], generator)
    shares = A.query(i[drawn], j).astype(np.float64) / norms[drawn]
    samples[drawn] = (weights[drawn] / shares)[:, None] * combined_entries(A, factors.rows, coefficients, j)
    return samples


def _inner_products(
    A: SampleQueryMatrix, i: IntArray, norms: Float64Array, rows: IntArray, coefficients: Float64Array
) -> Float64Array:
    """Return <A_i / |A_i|, v_l> for the drawn rows, each read once; 0 for a row of zeros."""
    distinct, first, where = np.unique(i, return_index=True, return_inverse=True)
    vectors = A.rows(rows).T.astype(np.float64) @ coefficients
    products = np.asarray(A.rows(distinct).astype(np.float64) @ vectors)
    lengths = norms[first]
    units: Float64Array = products / np.where(lengths > 0.0, lengths, 1.0)[:, None]
    return np.asarray(units[where])
