"""The low-rank factors of Chepurko, Clarkson, Horesh, Lin and Woodruff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_rank
from qinspired.access import as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.reference._drawn import sampled_block, small_svd
from qinspired.reference._factors import RowColumnFactors
from qinspired.reference._frieze_kannan_vempala import check_size

if TYPE_CHECKING:
    from qinspired._typing import RNGLike

__all__ = ["cchlw_low_rank_factors"]


def cchlw_low_rank_factors(
    A: Any, rank: int, *, n_rows: int, n_cols: int, n_leverage: int, rng: RNGLike = None
) -> RowColumnFactors:
    """Approximation A R W S A of rank k: rows S by squared norm, columns R by squared norm and then by leverage.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions, in [1, min(m, n)] and at most each of the three sizes.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw by squared norm, with replacement; each may exceed m or n.
    n_leverage : int
        Number of columns to draw by leverage from those c, with replacement: they make A R. Some multiple of k log k.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    RowColumnFactors
        With `rows`, `cols` (the columns drawn by leverage), `candidates` (those drawn by squared norm), `left`,
        `right`, `query`, `row`, `to_array` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    1. S draws r rows by squared norm, and R_1 c columns by squared column norm of S A, each scaled by one over the
       root of its expected number of draws: S A and S A R_1 keep the costs of all rank-k projections.
    2. U holds the first k left singular vectors of S A R_1; the rows of U^T S A span the row space of the answer.
    3. R_2 draws from the c columns by their leverage in U^T S A R_1, and X = A R_2 (U^T S A R_2)^+ minimises
       |X U^T S A R_2 - A R_2|_F, in place of |X U^T S A - A|_F. So W = (U^T S A R_2)^+ U^T.

    A query of the answer reads one entry for each of the r rows and leverage columns. Row i is drawn from by rejection,
    as the combination of S A that it is.

    Cost: r + c draws, c scans of a row, r c entries read, the SVD of an r x c matrix; independent of m, and of n but
    for the scans.
    Error: |A - A R W S A|_F <= (1 + eps) |A - A_k|_F with constant probability, for r, c and n_leverage polynomial in
    k, 1 / eps and |A|_F / sigma_k [1]_.

    References
    ----------
    .. [1] N. Chepurko, K. L. Clarkson, L. Horesh, H. Lin, D. P. Woodruff, "Quantum-inspired algorithms from
       randomized numerical linear algebra", ICML 2022 (arXiv:2011.04125).

    Differs from [1]_, whose BuildLowRankFactors is followed in its stages but not in its constants, at least in this:
    sizes are given, not derived from an accuracy and a bound on sigma_k; the leverage scores are those of the c drawn
    columns within U^T S A R_1, so that no row is read whole, not those of all n columns of U^T S A; U comes from
    LAPACK's SVD; directions below the rounding of the largest are dropped, so that the rank may be below `rank`; the
    index follows updates only where `A` is a `DynamicMatrix`, and the answer does not.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((2000, 1000), 3, noise=0.2, rng=0)
    >>> factors = qi.reference.cchlw_low_rank_factors(problem.A, 3, n_rows=100, n_cols=100, n_leverage=60, rng=0)
    >>> factors.cols.shape, factors.stats.rows_read
    ((60,), 0)
    >>> error = np.linalg.norm(problem.A - factors.to_array()) / np.linalg.norm(problem.A)
    >>> bool(problem.optimal_error < error < 1.1 * problem.optimal_error)
    True
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    n_rows, n_cols = check_size(n_rows, "n_rows", rank), check_size(n_cols, "n_cols", rank)
    n_leverage = check_size(n_leverage, "n_leverage", rank)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    block = sampled_block(meter.matrix, n_rows, n_cols, generator)
    U, shares, Zt = small_svd(block.W, matrix.dtype)
    U, shares, Zt = U[:, :rank], shares[:rank], Zt[:rank]
    # U^T S A R_1 = |A|_F diag(shares) Z^T: the leverage of a column is its squared norm in Z^T.
    leverage = (Zt**2).sum(axis=0)
    law = leverage / leverage.sum()
    drawn = generator.choice(n_cols, size=n_leverage, p=law)
    # By the first stage a column was scaled by 1 / sqrt(c q), by the second by 1 / sqrt(c' p).
    second = 1.0 / np.sqrt(n_leverage * law[drawn])
    scales = second / np.sqrt(n_cols * block.law[drawn])
    left = scales[:, None] * np.linalg.pinv(Zt[:, drawn] * second) / shares
    right = U.T / (np.sqrt(n_rows) * block.norms)
    cols = block.cols[drawn]
    return RowColumnFactors(matrix, block.rows, cols, left, right, block.cols, meter.read())
