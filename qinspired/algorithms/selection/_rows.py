"""Rows of a matrix that stand for all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from qinspired._validation import check_matrix
from qinspired.algorithms.selection._columns import leading
from qinspired.algorithms.selection._drawn import dense, rounding
from qinspired.algorithms.selection._pivots import choose, distinct_draws, independent
from qinspired.algorithms.selection._remainder import relative_error
from qinspired.algorithms.selection._task import Attempt, described, outcome, settled, start

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike
    from qinspired.access import CountingMatrix, SampleQueryMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate
    from qinspired.algorithms.selection._drawn import Directions, RowSample
    from qinspired.algorithms.selection._task import Task

__all__ = ["RowFit", "RowSubset", "chosen_rows", "fit_rows", "select_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class RowSubset:
    """The projection X A[rows] of a matrix on the span of a few of its rows, X = A A[rows]^+.

    Attributes
    ----------
    rows : ndarray of int64, shape (k,)
        The rows, all different.
    components : ndarray, shape (k, n)
        Orthonormal rows V^T that span the rows chosen.
    triangle : ndarray of float64, shape (k, k)
        Upper triangular T with A[rows] = T^T V^T.
    error : ErrorEstimate
        |A - X A[rows]|_F / |A|_F.
    method : str
        How the rows were chosen.
    status : str
        What happened.
    stats : Cost
        Draws, rows and bytes read, and seconds.
    source : object with sample-and-query access
        The matrix A.
    """

    rows: IntArray
    components: FloatArray
    triangle: Float64Array
    error: ErrorEstimate
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix

    def coefficients(self, rows: Any = None) -> FloatArray:
        """Return the coefficients X of rows in terms of those chosen.

        Parameters
        ----------
        rows : array_like or sparse matrix, shape (q, n), optional
            Rows of A or new ones; by default all of A, by one pass. Then X[subset.rows] is the identity.

        Returns
        -------
        ndarray, shape (q, k) or (m, k)
        """
        basis = np.ascontiguousarray(self.components.T)
        if rows is None:
            X = self._solved(self.source.matmul(basis))
            X[self.rows] = np.eye(len(self.rows))
            return X
        block = check_matrix(rows, "rows")
        if block.shape[1] != len(basis):
            raise ValueError(f"`rows` must have {len(basis)} columns, as A has; got shape {block.shape}.")
        return self._solved(block @ basis)

    def _solved(self, images: FloatArray) -> FloatArray:
        # The inverse of a triangle of subnormal numbers is beyond the range of floats: both in another unit.
        unit = -math.frexp(float(np.abs(self.triangle).max()))[1]
        triangle, images = np.ldexp(self.triangle, unit), np.ldexp(images.astype(np.float64), unit)
        solved = scipy.linalg.solve_triangular(triangle, images.T, check_finite=False).T
        return np.asarray(solved, dtype=self.components.dtype, order="C")

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        return described(f"{len(self.rows)} rows", self.source, self)


def select_rows(
    A: Any, rank: int, *, method: str = "auto", n_draws: int | None = None, rng: RNGLike = None
) -> RowSubset:
    """Rows A[rows] of a matrix with A ~ X A[rows], chosen among drawn rows.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of rows, in [1, min(m, n)]. Fewer are returned if the others depend on them to rounding.
    method : {"auto", "qr", "pivoting", "leverage", "length-squared"}, default="auto"
        As for `select_columns`, with the left singular vectors of the drawn rows; "length-squared" draws the rows
        themselves.
    n_draws : int, optional
        Rows to draw by squared norm, among which those are chosen; by default 16 k and at least 64. From m / 2 on,
        all rows are taken instead, in one pass.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    RowSubset
        With `rows`, `components`, `coefficients`, `error`, `method`, `status`, `stats`, `explain`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    See Also
    --------
    select_columns, cur

    Notes
    -----
    Cost: r = `n_draws` rows, the chosen ones again and 256 for the error are read; about 4 r n k multiplications. The
    coefficients X, m k numbers, are made by one pass when they are asked for.
    Error: X is the best there is for the rows. "qr" chose rows whose error was 1.1 to 1.9 times the best of rank k on
    eight families of spectra, 1.1 to 2.1 times if all rows were candidates; candidates by draw cost most, 1.63 against
    1.37, where the spectrum falls geometrically. `error` is as for `select_columns`.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.problems.low_rank_matrix((5000, 300), 4, noise=0.1, rng=0).A
    >>> subset = qi.select_rows(A, 4, rng=0)
    >>> subset.stats.full_passes, subset.coefficients().shape
    (0, (5000, 4))
    >>> error = np.linalg.norm(A - subset.coefficients() @ A[subset.rows]) / np.linalg.norm(A)
    >>> bool(subset.error.low < error < subset.error.high)
    True
    """
    task = start(A, rank, method, n_draws, rng, "select_rows")

    def attempt(sample: RowSample) -> Attempt[RowFit]:
        fit = fit_rows(task.A, chosen_rows(task, sample, leading(task, sample, rank), rank))
        return Attempt(fit, len(fit.rows), relative_error(task.A, fit.residuals, sample, task.rng))

    sample, found = settled(task, rank, rank, rounding(task.A.dtype), attempt)
    fit = found.answer
    status = outcome(task, sample, found.n_found, rank, "rows")
    components = np.ascontiguousarray(fit.V.T, dtype=task.A.dtype)
    return RowSubset(fit.rows, components, fit.T, found.error, task.method, status, task.meter.read(), task.matrix)


def chosen_rows(task: Task, sample: RowSample, directions: Directions | None, count: int) -> IntArray:
    """Return up to `count` different rows of non-zero norm."""
    if directions is not None:
        basis = directions.left
        if task.method == "qr" and not sample.whole:
            # The greedy choice is for long rows, as among all rows of A. In the sample all have one length; with these
            # the error was 1.61 times the best instead of 1.32, on a flat tail behind a gap.
            lengths = task.A.row_norms(sample.rows) / task.A.frobenius_norm / np.sqrt(sample.squares)
            basis = basis * lengths[:, None]
        return sample.rows[choose(basis, count, task.rank, task.method, task.rng)]
    return distinct_draws(lambda size: task.A.sample_rows(size, task.rng), count)


@dataclass(frozen=True, slots=True)
class RowFit:
    """Independent rows and their factors, A[rows] = T^T V^T."""

    rows: IntArray
    V: Float64Array
    T: Float64Array

    def residuals(self, block: Any) -> Float64Array:
        """Return what rows leave outside the span."""
        images = dense(block @ self.V.astype(block.dtype))
        return dense(block) - images @ self.V.T


def fit_rows(A: CountingMatrix, rows: IntArray, least: float = 0.0) -> RowFit:
    """Return those of the rows that do not depend on the others to rounding, or to a larger share."""
    V, T, order = independent(dense(A.rows(rows)).T, A.dtype, least)
    return RowFit(rows[order], V, T)
