"""The low-rank approximation of Frieze, Kannan and Vempala, and the linear solver built on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_rank, check_vector
from qinspired.access import RowCombination, SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import Cost, CostMeter
from qinspired.reference._drawn import left_pairs, sampled_block
from qinspired.reference._monte_carlo import GROUPS, combined_entries, median_of_means

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["FKVResult", "check_size", "fkv", "sampled_svd"]


@dataclass(frozen=True, slots=True)
class FKVResult:
    """Approximate right singular vectors v_l = R^T u_l / sigma_l, held as combinations of drawn rows.

    Attributes
    ----------
    source : object with sample-and-query access
        The (m, n) matrix A.
    rows : ndarray of int64, shape (r,)
        The drawn rows, repeats included.
    cols : ndarray of int64, shape (c,)
        The drawn columns, repeats included; none where whole rows are used.
    coefficients : ndarray of float64, shape (r, k)
        v_l = sum_s coefficients[s, l] A[rows[s]]; the scaling of R is in them.
    singular_values : ndarray of float64, shape (k,)
        Estimates of the largest singular values of A, decreasing and positive: those of the sample.
    stats : Cost
        What the call cost.
    """

    source: SampleQueryMatrix
    rows: IntArray
    cols: IntArray
    coefficients: Float64Array
    singular_values: Float64Array
    stats: Cost

    @property
    def rank(self) -> int:
        """Number k of vectors."""
        return len(self.singular_values)

    def right_vector(self, index: int) -> RowCombination:
        """Return one v_l, open to samples and queries.

        Parameters
        ----------
        index : int
            Which one, in [0, k).

        Returns
        -------
        RowCombination
            Of length n, and of norm near 1.

        Raises
        ------
        TypeError, IndexError
            If `index` is no integer, or out of range.
        """
        index = check_count(index, "index")
        if index >= self.rank:
            raise IndexError(f"`index` must be in [0, {self.rank}), the number of vectors kept; got {index}.")
        return RowCombination(self.source, self.rows, self.coefficients[:, index])

    def components(self) -> Float64Array:
        """Return all v_l as the rows of a dense array.

        Returns
        -------
        ndarray of float64, shape (k, n)
            Orthonormal only up to the sampling error of the columns: the Gram matrix is not the identity.

        Notes
        -----
        Cost: r rows read, r n k multiplications.
        """
        return _dense_components(self.source, self.rows, self.coefficients)

    def solve(self, b: Any, *, n_estimates: int | None = None, rng: RNGLike = None) -> RowCombination:
        """Approximate x = A_k^+ b by sum_l v_l lambda_l / sigma_l^2, with lambda_l = <v_l, A^T b>.

        Parameters
        ----------
        b : array_like, shape (m,)
            Right-hand side.
        n_estimates : int, optional
            Draws in each of the ten groups whose means' median estimates lambda_l, >= 1. By default lambda_l
            is computed, by one pass over A.
        rng : int, Generator, SeedSequence or None
            Source of the randomness; not used where lambda_l is computed.

        Returns
        -------
        RowCombination
            x, of length n.

        Raises
        ------
        ValueError, TypeError
            If `b` is no finite real vector of length m, or `n_estimates` no integer >= 1.

        Notes
        -----
        Cost: exact, one pass over A and r rows; otherwise 10 n_estimates draws of an entry and as many
        queries of r + 1 entries.
        Error: relative to A_k^+ b, of the order of kappa_F^2 / sqrt(r) for exact lambda_l, with
        kappa_F = |A|_F / sigma_k; measured medians are 0.2 to 0.3 of it. Drawing (i, j) with probability
        A_ij^2 / |A|_F^2, one estimate of lambda_l has variance |A|_F^2 |b|^2 |v_l|^2 - lambda_l^2 if no entry
        of A is zero [1]_.

        References
        ----------
        .. [1] J. M. Arrazola, A. Delgado, B. R. Bardhan, S. Lloyd, "Quantum-inspired algorithms in practice",
           Quantum 4, 307 (2020).

        Differs from [1]_: one set of draws serves all l, where theirs draws anew for each, so that the errors
        of different lambda_l are correlated; each column drawn is read once.
        """
        vector = check_vector(b, self.source.shape[0], "b")
        if n_estimates is None:
            back = np.asarray(self.source.rmatmul(vector[:, None]), dtype=np.float64)[:, 0]
            projections = self.components() @ back
        else:
            count = check_count(n_estimates, "n_estimates", low=1) * GROUPS
            generator = as_generator(rng)
            i = self.source.sample_rows(count, generator)
            j = self.source.sample_cols(i, generator)
            # |A|_F (|A|_F / A_ij), in this order, stays finite where |A|_F^2 would not.
            weights = self.source.frobenius_norm * (self.source.frobenius_norm / self.source.query(i, j))
            entries = combined_entries(self.source, self.rows, self.coefficients, j)
            projections = median_of_means((weights * vector[i])[:, None] * entries)
        scaled = projections / self.singular_values / self.singular_values
        return RowCombination(self.source, self.rows, self.coefficients @ scaled)


def fkv(A: Any, rank: int, *, n_rows: int, n_cols: int, rng: RNGLike = None) -> FKVResult:
    """Low-rank approximation from the singular vectors of a small sample of rows and columns.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions, in [1, min(m, n)] and at most `n_rows` and `n_cols`.
    n_rows, n_cols : int
        Number r of rows and c of columns to draw, with replacement; each may exceed m or n.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    FKVResult
        With `rows`, `cols`, `coefficients`, `singular_values`, `right_vector`, `components`, `solve` and
        `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    Rows i_1 ... i_r are drawn by squared norm and scaled to R[s] = A[i_s] |A|_F / (sqrt(r) |A[i_s]|). Columns
    are drawn from a uniformly chosen row of R by squared entry, which is by squared column norm of R, and
    scaled to W[s, t] = R[s, j_t] / sqrt(c q_{j_t}), q the law of the columns. W = U S Z^T gives v_l = R^T u_l
    / s_l.

    Cost: r + c draws, c scans of a row, r c entries read, the SVD of an r x c matrix; independent of m, and
    of n but for the scans.
    Error: |A - A V V^T|_F^2 <= |A - A_k|_F^2 + eps |A|_F^2 with constant probability, for r and c polynomial
    in k and 1 / eps [1]_; measured, the relative excess is about k / (2 r) for c = r.

    References
    ----------
    .. [1] A. Frieze, R. Kannan, S. Vempala, "Fast Monte-Carlo algorithms for finding low-rank
       approximations",
       Journal of the ACM 51 (2004).

    Differs from [1]_: sizes are given, not derived from an accuracy; the filter sigma_l^2 >= gamma |W|_F^2 is
    replaced by `rank`, and directions with sigma_l below the rounding of sigma_1 are dropped, so that fewer
    than `rank` may come back; rows of zeros are never drawn, and never divided by.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((300, 200), 3, noise=0.0, rng=0)
    >>> result = qi.reference.fkv(problem.A, 3, n_rows=60, n_cols=60, rng=0)
    >>> result.components().shape, result.stats.row_draws, result.stats.column_draws
    ((3, 200), 60, 60)
    >>> V = np.linalg.qr(result.components().T)[0]
    >>> bool(np.linalg.norm(problem.A - problem.A @ V @ V.T) < 1e-10 * np.linalg.norm(problem.A))
    True
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    n_rows, n_cols = check_size(n_rows, "n_rows", rank), check_size(n_cols, "n_cols", rank)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows, cols, coefficients, values = sampled_svd(meter.matrix, n_rows, n_cols, generator)
    return FKVResult(matrix, rows, cols, coefficients[:, :rank], values[:rank], meter.read())


def check_size(size: Any, name: str, rank: int) -> int:
    """Return a number of rows or columns to draw, at least the rank."""
    count = check_count(size, name, low=1)
    if count < rank:
        raise ValueError(f"`{name}` must be at least `rank` = {rank}, the directions sought; got {count}.")
    return count


def sampled_svd(
    A: SampleQueryMatrix, n_rows: int, n_cols: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray, Float64Array, Float64Array]:
    """Return drawn rows and columns, and the coefficients of all v_l with positive sigma_l beside those sigma_l."""
    block = sampled_block(A, n_rows, n_cols, generator)
    U, shares = left_pairs(block.W, A.dtype)
    # |A|_F cancels between the scaling of R and sigma_l = |A|_F shares_l.
    coefficients = U / shares / (np.sqrt(n_rows) * block.norms)[:, None]
    return block.rows, block.cols, coefficients, shares * A.frobenius_norm


def _dense_components(A: SampleQueryMatrix, rows: IntArray, coefficients: Float64Array) -> Float64Array:
    block = A.rows(rows)
    if sp.issparse(block):
        return np.ascontiguousarray((block.T @ coefficients).T, dtype=np.float64)
    return np.ascontiguousarray(coefficients.T @ block)
