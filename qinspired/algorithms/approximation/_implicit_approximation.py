"""The result of `low_rank` on a matrix too large for one vector of its length: drawn rows and columns and a core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_count, check_entries, check_indices, check_matrix
from qinspired.access import RowCombination
from qinspired.algorithms.approximation._approximation import LowRankApproximation

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["ImplicitApproximation", "entry_grid"]

_LARGEST_COMPONENTS = 10**8
_BLOCK_ENTRIES = 4_000_000


def entry_grid(A: SampleQueryMatrix, rows: IntArray, cols: IntArray) -> Float64Array:
    """Return the entries of A where rows and columns cross, of shape (len(rows), len(cols)), in float64."""
    if not A.is_sparse:
        return A.query(rows[:, None], cols[None, :]).astype(np.float64)
    # scipy looks a single entry up in some microseconds; columns of whole sparse rows are picked at once.
    distinct, place = np.unique(rows, return_inverse=True)
    block: Any = A.rows(distinct)
    grid: Float64Array = sp.csr_matrix(block)[:, cols].toarray()[place].astype(np.float64)
    return grid


@dataclass(frozen=True, slots=True, eq=False)
class ImplicitApproximation:
    """The approximation A[:, cols] G A[rows] of rank k, held as indices and small factors of G.

    Row x of A goes to the combination sum_l (x[cols] W)_l v_l of the vectors v_l = sum_s coefficients[s, l]
    A[rows[s]], so that c of its entries determine its k coordinates, and nothing of length m or n is formed.

    Attributes
    ----------
    rows : ndarray of int64, shape (r,)
        The drawn rows, repeats included.
    cols : ndarray of int64, shape (c,)
        The drawn columns, repeats included.
    coefficients : ndarray of float64, shape (r, k)
        Of the v_l in the drawn rows. The v_l approximate the leading right singular vectors and are orthonormal only
        up to the sampling error.
    column_weights : ndarray of float64, shape (c, k)
        The matrix W that makes coordinates of the drawn columns' entries; G = W coefficients^T.
    singular_values : ndarray of float64, shape (k,)
        Estimates of the leading singular values, descending: those of the scaled r x c sample. They are too high on
        average, their squares by about (k / r + k / c) / k of the squared error.
    error : ErrorEstimate
        |A - A[:, cols] G A[rows]|_F / |A|_F.
    excess : ErrorEstimate
        Relative excess of that error over the best possible with the rank asked for. This is what `tolerance` promises.
    method : str
        "fkv".
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Draws, entries and seconds.
    source : object with sample-and-query access
        The matrix A.

    Notes
    -----
    Cost: r = c = 1.25 k / tolerance + 2 k draws at first, at most 4,096; r (c + 2,048) + 256 c entries of A, which need
    not be read by whole rows; the decomposition of an r x c matrix. Independent of m and n.
    Error: the relative excess is about k / (2 r) + k / (2 c). `error` is unbiased: the mean over 256 rows drawn afresh,
    at 8 columns each, half from the row's own law and half from the mean law of the drawn rows, with an interval for
    skewed terms. `excess` is measured by cross-fitting halves of the rows and of the columns, and refuted by the rows
    drawn afresh. It is asymptotic: no bound. Where a few rows or columns hold nearly all of |A|_F^2, the draws tell of
    them alone; then what was never drawn, known from the norms, is taken to err as the lightest that were, which widens
    both upper ends, the second to infinity if it may be all of the error. Measured on 1,000 x 700 matrices and user
    ratings, k = 5, tolerance 15 %, 50 seeds each: on even, gapped, gapless, geometric and short-tailed spectra and
    log-normal rows or columns, the truth was above the upper end in 0 to 4 % of the runs and above a certified
    tolerance in 2 % at most, and `error` was covered in 96 to 100 %; with equal singular values at k, `excess` was 6
    times too high. On 500 x 350 Gaussian matrices with rows or columns scaled by Pareto factors of index 0.5, 0.7 and
    1, or log-normal ones of standard deviation 3 and 4, at most 1,000 draws and tolerance 20 %, 40 seeds each: the true
    excess was above its upper end in 0 to 5 %, above a certified tolerance in none, and below its lower end in 5 to 18
    %; 12 to 80 % of the runs were certified. `error` was covered in 75 to 100 % there, with the truth above its upper
    end in up to 20 %. What no drawn row and no row drawn afresh has goes unseen where the rest is even: a direction
    with less than about 3 / (r + 256) of |A|_F^2.

    References
    ----------
    .. [1] A. Frieze, R. Kannan, S. Vempala, "Fast Monte-Carlo algorithms for finding low-rank approximations",
       Journal of the ACM 51 (2004).

    Differs from [1]_: the coordinates of a row come from the drawn columns too, which defines the approximation by
    drawn rows and columns alone; sizes grow until a certificate meets the tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.virtual_low_rank_matrix((10**9, 10**9), 0.7 ** np.arange(30))
    >>> approx = qi.low_rank(qi.ImplicitMatrix(**problem.access), 5, tolerance=0.2, rng=0)
    >>> approx.method, bool(approx.excess.high <= 0.2)
    ('fkv', True)
    >>> items, _ = approx.row(123_456_789).sample(2, rng=0)
    >>> items.shape
    (2,)
    """

    rows: IntArray
    cols: IntArray
    coefficients: Float64Array
    column_weights: Float64Array
    singular_values: Float64Array
    error: ErrorEstimate
    excess: ErrorEstimate
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) of A and of the approximation."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the components if they are formed."""
        return np.dtype(np.float64)

    @property
    def rank(self) -> int:
        """Number k of components, fewer than asked for if the drawn rows and columns have a lower rank."""
        return len(self.singular_values)

    @property
    def core(self) -> Float64Array:
        """The matrix G of shape (c, r) in A[:, cols] G A[rows]."""
        product: Float64Array = self.column_weights @ self.coefficients.T
        return product

    def component(self, index: int) -> RowCombination:
        """Return v_l, l = `index` in [0, k), open to samples and queries."""
        index = check_count(index, "index")
        if index >= self.rank:
            raise IndexError(f"`index` must be in [0, {self.rank}), the number of components; got {index}.")
        return RowCombination(self.source, self.rows, self.coefficients[:, index])

    def coordinates(self, rows: npt.ArrayLike) -> Float64Array:
        """Return the coordinates of rows of A in the v_l, from c entries of each.

        Parameters
        ----------
        rows : array_like of int, shape (q,)
            Rows of A.

        Returns
        -------
        ndarray of float64, shape (q, k)
        """
        index = check_indices(rows, self.shape[0], "rows")
        result = np.empty((len(index), self.rank))
        step = max(1, _BLOCK_ENTRIES // len(self.cols))
        for start in range(0, len(index), step):
            part = index[start : start + step]
            result[start : start + step] = entry_grid(self.source, part, self.cols) @ self.column_weights
        return result

    def row(self, index: int) -> RowCombination:
        """Return row `index` of the approximation, open to samples and queries.

        Parameters
        ----------
        index : int
            Row of A.

        Returns
        -------
        RowCombination
            Of length n; ``approx.row(i).sample(1)`` draws a recommendation for user i.

        Notes
        -----
        Cost: c entries of A.
        """
        index = int(check_indices([check_count(index, "index")], self.shape[0], "index")[0])
        return RowCombination(self.source, self.rows, self.coefficients @ self.coordinates([index])[0])

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Float64Array:
        """Return entries of the approximation.

        Parameters
        ----------
        rows, cols : array_like of int
            Their shapes broadcast, as in X[rows, cols].

        Returns
        -------
        ndarray of float64, of the broadcast shape

        Raises
        ------
        ValueError
            If the shapes do not broadcast.
        IndexError
            If an index is out of range.

        Notes
        -----
        Cost: c entries of A for each distinct row, r for each distinct column.
        """
        row_index, col_index = check_entries(rows, cols, self.shape)
        distinct_rows, row_place = np.unique(row_index, return_inverse=True)
        distinct_cols, col_place = np.unique(col_index, return_inverse=True)
        left = self.coordinates(distinct_rows)[row_place.reshape(row_index.shape)]
        right = self._components_at(distinct_cols)[col_place.reshape(col_index.shape)]
        if left.ndim == right.ndim == 3 and left.shape[1] == right.shape[0] == 1:
            return np.asarray(left[:, 0] @ right[0].T)
        return np.asarray(np.einsum("...l,...l->...", left, right))

    def _components_at(self, cols: IntArray) -> Float64Array:
        """Return v_l(j) for the given columns, of shape (len(cols), k)."""
        result = np.empty((len(cols), self.rank))
        step = max(1, _BLOCK_ENTRIES // len(self.rows))
        for start in range(0, len(cols), step):
            block = entry_grid(self.source, self.rows, cols[start : start + step])
            result[start : start + step] = block.T @ self.coefficients
        return result

    @property
    def components(self) -> FloatArray:
        """The k x n orthonormal rows that span what the v_l span, formed anew, if k n is at most 1e8; reads r rows."""
        self._refuse_large("components")
        vectors = np.zeros((self.shape[1], self.rank))
        step = max(1, _BLOCK_ENTRIES // self.shape[1])
        for start in range(0, len(self.rows), step):
            block: Any = self.source.rows(self.rows[start : start + step])
            vectors += np.asarray(block.T @ self.coefficients[start : start + step])
        left, _, right = np.linalg.svd(vectors, full_matrices=False)
        return np.ascontiguousarray((left @ right).T)

    def formed(self) -> LowRankApproximation:
        """Return the projection A V V^T on the span of the v_l, if its components can be formed.

        Returns
        -------
        LowRankApproximation
            With the same estimates: its error is at most that of this approximation, whose rows lie in the span.
        """
        return LowRankApproximation(
            self.components,
            self.singular_values,
            self.error,
            self.excess,
            self.method,
            self.status,
            self.stats,
            self.source,
        )

    def project(self, rows: Any) -> FloatArray:
        """Return rows V V^T for the orthonormal `components` V^T, if they can be formed.

        Parameters
        ----------
        rows : array_like or sparse matrix, shape (q, n)
            Rows of A or new ones.

        Returns
        -------
        ndarray, shape (q, n)
            For rows of A closer to them than the approximation itself is.
        """
        self._refuse_large("project")
        block = check_matrix(rows, "rows")
        if block.shape[1] != self.shape[1]:
            raise ValueError(f"`rows` must have {self.shape[1]} columns, as A has; got shape {block.shape}.")
        components = self.components
        projected: FloatArray = (block @ components.T) @ components
        return projected

    def _refuse_large(self, name: str) -> None:
        size = self.rank * self.shape[1]
        if size > _LARGEST_COMPONENTS:
            raise ValueError(
                f"`{name}` needs the {self.rank} x {self.shape[1]} components, {8 * size:.3g} bytes, of at most "
                f"{8 * _LARGEST_COMPONENTS:.1g}; use `component(l)`, `row(i)`, `query` and `coordinates` instead."
            )

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.shape
        cost = self.stats
        return "\n".join(
            [
                f"implicit rank-{self.rank} approximation of a {m} x {n} matrix by {self.method}: {self.status}",
                f"relative error {self.error}; excess over the best error {self.excess}",
                f"held as {len(self.rows)} rows, {len(self.cols)} columns and {self.rank} coefficients of each; "
                f"read {cost.entries_read:,} entries ({100 * cost.entries_read / (m * n):.3g} % of A); index "
                f"{cost.index_seconds:.3g} s, solve {cost.seconds:.3g} s",
            ]
        )
