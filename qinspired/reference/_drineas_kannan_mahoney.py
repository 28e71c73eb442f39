"""The fast Monte Carlo algorithms of Drineas, Kannan and Mahoney for low-rank and CUR approximation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_rank
from qinspired.access import as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.reference._drawn import (
    check_mass,
    check_whole_rows,
    left_pairs,
    scaled_columns_triangle,
    small_svd,
    unit_rows,
)
from qinspired.reference._factors import RowColumnFactors
from qinspired.reference._frieze_kannan_vempala import FKVResult, check_size, sampled_svd

if TYPE_CHECKING:
    from qinspired._typing import RNGLike

__all__ = ["dkm_constant_time_svd", "dkm_linear_time_cur", "dkm_linear_time_svd"]


def dkm_linear_time_svd(A: Any, rank: int, *, n_rows: int, rng: RNGLike = None) -> FKVResult:
    """Right singular vectors of r drawn and scaled rows R, as an approximation of those of the matrix.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions, in [1, min(m, n)] and at most `n_rows`.
    n_rows : int
        Number r of rows to draw, with replacement; it may exceed m.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    FKVResult
        With `rows`, `coefficients`, `singular_values`, `right_vector`, `components`, `solve` and `stats`; `cols` is
        empty. `components` are orthonormal to rounding.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, `A` is no finite real matrix, or its rows cannot be read whole.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    Rows i_1 ... i_r are drawn with probability p_i = |A_i|^2 / |A|_F^2 and scaled to R[s] = A[i_s] / sqrt(r p).
    With R = U S V^T the answer is the first k rows of V^T and of S.

    Cost: r draws, r rows read, r^2 n multiplications; of a sparse matrix the drawn rows are held dense, without the
    columns that are zero in all of them.
    Error: |A - A V V^T|_F^2 <= |A - A_k|_F^2 + 2 sqrt(k) |A^T A - R^T R|_F for any rows, and in the spectral norm
    |A - A V V^T|_2^2 <= |A - A_k|_2^2 + 2 |A^T A - R^T R|_2; the mean of |A^T A - R^T R|_F is at most
    |A|_F^2 / sqrt(r) [1]_.

    References
    ----------
    .. [1] P. Drineas, R. Kannan, M. W. Mahoney, "Fast Monte Carlo algorithms for matrices II: computing a low-rank
       approximation to a matrix", SIAM Journal on Computing 36 (2006).

    Differs from [1]_: LinearTimeSVD is applied to A^T, so that rows are drawn in place of columns; r is given, not
    derived from an accuracy; the probabilities are the optimal ones, not any given; singular vectors come from a QR
    factorisation of R^T, not from R R^T, which would lose those below 1e-8 of the largest; directions below the
    rounding of the largest are dropped, so that fewer than `rank` may come back.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((2000, 300), 3, noise=0.1, rng=0)
    >>> result = qi.reference.dkm_linear_time_svd(problem.A, 3, n_rows=100, rng=0)
    >>> V = result.components()
    >>> bool(np.allclose(V @ V.T, np.eye(3))), result.stats.rows_read
    (True, 100)
    >>> excess = qi.metrics.excess_error(problem.A, V, problem.optimal_error)
    >>> bool(0.0 < excess < 0.05)
    True
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    n_rows = check_size(n_rows, "n_rows", rank)
    check_mass(matrix)
    check_whole_rows(matrix)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows = meter.matrix.sample_rows(n_rows, generator)
    units, norms = unit_rows(meter.matrix, rows)
    U, shares = left_pairs(units / np.sqrt(n_rows), matrix.dtype)  # of R over |A|_F
    U, shares = U[:, :rank], shares[:rank]
    coefficients = U / shares / (np.sqrt(n_rows) * norms)[:, None]
    no_cols = np.zeros(0, dtype=np.int64)
    return FKVResult(matrix, rows, no_cols, coefficients, shares * matrix.frobenius_norm, meter.read())


def dkm_constant_time_svd(
    A: Any, rank: int, *, n_rows: int, n_cols: int, gamma: float | None = None, rng: RNGLike = None
) -> FKVResult:
    """Right singular vectors from drawn rows and columns, those with a share of the energy of at least gamma.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Largest number k of directions, in [1, min(m, n)] and at most `n_rows` and `n_cols`.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw, with replacement; each may exceed m or n.
    gamma : float, optional
        Directions with sigma_l^2 < gamma |W|_F^2 are left out, in (0, 1). By default 1e-3 / k, which is the published
        eps / (100 k) for an accuracy eps = 0.1 in the Frobenius norm; for the spectral norm theirs is eps / 100.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    FKVResult
        With `rows`, `cols`, `coefficients`, `singular_values`, `right_vector`, `components`, `solve` and `stats`; of
        at most `rank` directions.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, no direction reaches `gamma`, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    The draws and the scaling are those of `fkv`, with W the scaled r x c matrix, |W|_F = |A|_F.

    Cost: that of `fkv`.
    Error: |A - A V V^T|_F^2 <= |A - A_k|_F^2 + eps |A|_F^2 with constant probability for r and c of the order of
    k^2 / eps^4, and the same in the spectral norm for 1 / eps^4 [1]_; V spans the returned vectors.

    References
    ----------
    .. [1] P. Drineas, R. Kannan, M. W. Mahoney, "Fast Monte Carlo algorithms for matrices II: computing a low-rank
       approximation to a matrix", SIAM Journal on Computing 36 (2006).

    Differs from [1]_: ConstantTimeSVD is applied to A^T, so that rows are drawn first; r and c are given, not derived
    from an accuracy; columns are drawn by a uniformly chosen row of R and its squared entries, which is their law
    |R^j|^2 / |R|_F^2, instead of from a table of all column norms of R; the SVD of W in place of that of W^T W.

    Examples
    --------
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((300, 200), 3, kappa=30.0, rng=0)
    >>> for gamma in (1e-5, 1e-2):
    ...     result = qi.reference.dkm_constant_time_svd(problem.A, 3, n_rows=80, n_cols=80, gamma=gamma, rng=0)
    ...     print(result.rank)
    3
    2
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    n_rows, n_cols = check_size(n_rows, "n_rows", rank), check_size(n_cols, "n_cols", rank)
    share = 1e-3 / rank if gamma is None else check_fraction(gamma, "gamma")
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows, cols, coefficients, values = sampled_svd(meter.matrix, n_rows, n_cols, generator)
    # The scaled sample has the norm of A.
    shares = (values / matrix.frobenius_norm) ** 2
    count = min(rank, int((shares >= share).sum()))
    if count == 0:
        raise ValueError(
            f"`gamma` must not exceed the largest share of the energy, estimated as {shares[0]:.3g}; got {share:g}."
        )
    return FKVResult(matrix, rows, cols, coefficients[:, :count], values[:count], meter.read())


def dkm_linear_time_cur(A: Any, rank: int, *, n_rows: int, n_cols: int, rng: RNGLike = None) -> RowColumnFactors:
    """CUR approximation C U R from columns and rows drawn by squared norm, independently of each other.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions of C kept, in [1, min(m, n)] and at most `n_rows` and `n_cols`.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw, with replacement; each may exceed m or n.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    RowColumnFactors
        With `rows`, `cols`, `left`, `right`, `query`, `row`, `to_array` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    Columns j_1 ... j_c are drawn with probability q_j = |A^j|^2 / |A|_F^2 and scaled to C[:, t] = A[:, j_t] / sqrt(c
    q), rows i_1 ... i_r with probability p_i = |A_i|^2 / |A|_F^2 and scaled to R[s] = A[i_s] / sqrt(r p). With
    Psi[s] = C[i_s] / sqrt(r p), C = X S Y^T and U = Y_k S_k^-2 Y_k^T Psi^T, the product C U R estimates X_k X_k^T A.

    Cost: 2 c + r draws, m c + r c entries read, m c^2 multiplications.
    Error: E |A - C U R|_F <= |A - A_k|_F + eps |A|_F for c of the order of k / eps^4 and r of k / eps^2 [1]_. The
    second term is that of a product estimated from r rows, and stays where A has rank k: E |X_k X_k^T A - C U R|_F^2
    <= k |A|_F^2 / r.

    References
    ----------
    .. [1] P. Drineas, R. Kannan, M. W. Mahoney, "Fast Monte Carlo algorithms for matrices III: computing a compressed
       approximate matrix decomposition", SIAM Journal on Computing 36 (2006).

    Differs from [1]_: r and c are given, not derived from an accuracy; the probabilities are the squared norms, not
    any given; a column is drawn as an entry of a drawn row, and its norm found from the column read; the SVD of C
    comes from its QR factorisation, not from C^T C; directions of C below the rounding of the largest are dropped.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((300, 200), 3, noise=0.1, rng=0)
    >>> factors = qi.reference.dkm_linear_time_cur(problem.A, 3, n_rows=200, n_cols=50, rng=0)
    >>> error = np.linalg.norm(problem.A - factors.to_array()) / np.linalg.norm(problem.A)
    >>> bool(problem.optimal_error < error < problem.optimal_error + 0.15)
    True
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    n_rows, n_cols = check_size(n_rows, "n_rows", rank), check_size(n_cols, "n_cols", rank)
    check_mass(matrix)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    cols = meter.matrix.sample_cols(meter.matrix.sample_rows(n_cols, generator), generator)
    distinct, where = np.unique(cols, return_inverse=True)
    triangle = scaled_columns_triangle(meter.matrix, distinct)[:, where]
    # sqrt(c q_j), q_j the squared norm of the column in units of |A|_F.
    scales = np.sqrt(n_cols) * np.linalg.norm(triangle, axis=0)
    _, shares, Yt = small_svd(triangle / scales, matrix.dtype)
    shares, Yt = shares[:rank], Yt[:rank]
    rows = meter.matrix.sample_rows(n_rows, generator)
    scaled_norms = np.sqrt(n_rows) * meter.matrix.row_norms(rows)
    Psi = meter.matrix.query(rows[:, None], cols[None, :]).astype(np.float64) / scaled_norms[:, None] / scales
    left = (Yt / shares[:, None] ** 2 / scales).T
    right = (Yt @ Psi.T) / scaled_norms
    return RowColumnFactors(matrix, rows, cols, left, right, cols, meter.read())
