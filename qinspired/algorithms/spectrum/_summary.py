"""Singular values, norms and traces of a matrix, from drawn rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count
from qinspired.access import SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._gather import gather_rows
from qinspired.algorithms._results import CostMeter
from qinspired.algorithms._sum_estimate import Estimate
from qinspired.algorithms.approximation._implicit_low_rank import reads_whole_rows
from qinspired.algorithms.spectrum._spectra import DrawnSpectrum, KnownSpectrum
from qinspired.algorithms.spectrum._traces import check_order, scaled_estimate, trace_of
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.access import CountingMatrix
    from qinspired.algorithms._results import Cost

__all__ = ["SpectralSummary", "spectral_summary"]

_LEAST_DRAWS, _USUAL_DRAWS = 20, 1000

# Up to this many cells a sparse matrix is solved as a dense one; beyond, the products of its rows are taken, in which
# singular values below 1e-8 of the largest drown.
_DENSE_CELLS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SpectralSummary:
    """What is known of the singular values of a matrix A of shape (m, n), each number with its interval.

    Attributes
    ----------
    frobenius_norm : float
        |A|_F, from the index: exact.
    singular_values : tuple of Estimate
        The leading ones, descending. An interval that starts at 0 says that the value is not told from 0.
    norm : Estimate
        Spectral norm |A|, the first singular value.
    stable_rank : Estimate
        |A|_F^2 / |A|^2.
    effective_rank : Estimate
        |A|_F^4 / |A^T A|_F^2, the participation ratio: k for k equal singular values.
    shape : (int, int)
        Shape of A.
    method : str
        "sampled" from drawn rows, or "exact" from all.
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Draws, rows and bytes read, and seconds.
    source : object with sample-and-query access
        The matrix A.
    """

    frobenius_norm: float
    singular_values: tuple[Estimate, ...]
    norm: Estimate
    stable_rank: Estimate
    effective_rank: Estimate
    shape: tuple[int, int]
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix
    _spectrum: DrawnSpectrum | KnownSpectrum

    def schatten(self, p: float) -> Estimate:
        """Return the Schatten norm |A|_p = (sum_i sigma_i^p)^(1/p).

        Parameters
        ----------
        p : float
            Order, >= 1 or infinity; 2 is the Frobenius norm, infinity the spectral one, 1 the nuclear one.

        Returns
        -------
        Estimate
            Exact for p = 2.

        Raises
        ------
        TypeError
            If `p` is no number.
        ValueError
            If `p` is below 1 or NaN.
        OverflowError
            If the norm, or an end of its interval, exceeds 1.8e308.

        Notes
        -----
        Even p from 4 to 16 are roots of means of cyclic products of drawn rows, without bias before the root [1]_:
        over all tuples of rows up to p = 8, over increasing ones in two orders beyond. Other p between 2 and 16 are
        traces of x^(p/2). Above 16 the value lies between the bounds that p = 16 and the spectral norm imply. For
        p < 2 the norm is carried by singular values that no draw meets: the interval is then what the Frobenius norm,
        the effective rank, min(m, n) and a polynomial below and above x^(p/2) leave, and can be long.

        Cost: O(r^3) operations on r drawn rows, at the first p > 8 or other than 4, 6, 8; then little.

        References
        ----------
        .. [1] W. Kong, G. Valiant, "Spectrum estimation from samples", Annals of Statistics 45 (2017).
           Differs from [1]_: rows drawn by squared norm and taken at unit length; all tuples where that is as cheap.
        """
        order = check_order(p)
        if order == 2.0:
            return _exactly(self.frobenius_norm)
        if math.isinf(order):
            return self.norm
        found = self._spectrum.power_mean(order / 2.0)
        return scaled_estimate(found, self.frobenius_norm, math.sqrt)

    def trace(self, f: Callable[[Float64Array], Any]) -> Estimate:
        """Return the trace of f(A^T A), the sum of f over n eigenvalues sigma_i^2, those that are 0 included.

        Parameters
        ----------
        f : callable
            From an array of numbers in [0, |A|_F^2] to an array of finite numbers. f(0) counts n - min(m, n) times.

        Returns
        -------
        Estimate

        Raises
        ------
        TypeError
            If `f` cannot be called with an array.
        ValueError
            If `f` gives a NaN or an infinity, as log(x) and 1 / x do at 0, or another shape.
        OverflowError
            If |A|_F^2 is no normal float64: divide A by a constant, and let `f` multiply by its square.

        Notes
        -----
        n f(0) plus an estimate of the sum of f(x) - f(0). A polynomial of degree up to 8 that is fitted to it
        on what the intervals of the singular values allow is summed without bias, with a jackknife interval; what it
        leaves is bounded and added to the interval. So that is short for functions which such a polynomial follows,
        and long where f bends at values that no draw shows, or jumps at one of the singular values.

        Between the points at which it is called, some 260, f is taken to be smooth; towards 0, monotone.

        Examples
        --------
        The effective dimension of ridge regression:

        >>> import numpy as np
        >>> import qinspired as qi
        >>> A = np.random.default_rng(0).standard_normal((5000, 40)) * np.geomspace(5, 1, 40)
        >>> found = qi.spectral_summary(A, rng=0).trace(lambda x: x / (x + 20_000.0))
        >>> moment = A.T @ A
        >>> exact = np.trace(np.linalg.solve(moment + 20_000.0 * np.eye(40), moment))
        >>> bool(found.low < exact < found.high), bool(found.high - found.low < 0.1 * exact)
        (True, True)
        """
        return trace_of(f, self._spectrum, self.frobenius_norm, self.shape)

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.shape
        cost = self.stats
        share = 100 * cost.entries_read / max(self.source.n_stored, 1)
        return "\n".join(
            [
                f"spectrum of a {m} x {n} {'sparse' if self.source.is_sparse else 'dense'} matrix, {self.method}: "
                f"{self.status}",
                f"|A|_F = {self.frobenius_norm:.6g}, |A| = {self.norm}, stable rank {self.stable_rank}, effective rank "
                f"{self.effective_rank}",
                f"read {cost.bytes_read:,} bytes ({share:.3g} % of A) in {cost.rows_read:,} rows and "
                f"{cost.full_passes} full passes; index {cost.index_seconds:.3g} s, rest {cost.seconds:.3g} s",
            ]
        )

    def __repr__(self) -> str:
        m, n = self.shape
        names = ["spectral norm", "stable rank", "effective rank"]
        numbers = [self.norm, self.stable_rank, self.effective_rank]
        names += [f"sigma_{i + 1}" for i in range(len(self.singular_values))]
        percent = f"{100 * self.norm.confidence:g} %"
        lines = [
            f"SpectralSummary of a {m} x {n} matrix, {self.method}",
            f"{'':14s} {'value':>12s} {'low':>12s} {'high':>12s}  (confidence {percent})",
            f"{'Frobenius norm':14s} {self.frobenius_norm:12.6g} {'exact':>12s}",
        ]
        for name, found in zip(names, [*numbers, *self.singular_values], strict=True):
            lines.append(f"{name:14s} {found.value:12.6g} {found.low:12.6g} {found.high:12.6g}")
        return "\n".join([*lines, self.status])


def spectral_summary(A: Any, *, rank: int = 10, n_draws: int | None = None, rng: RNGLike = None) -> SpectralSummary:
    """Singular values, norms and ranks of a matrix, estimated from drawn rows with 95 % intervals.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int, default=10
        Number of leading singular values, >= 1; all min(m, n) of them if it is larger.
    n_draws : int, optional
        Number r of rows to draw by squared norm, >= 20; by default 1000, or 20 `rank` if that is more. With
        r >= m, all rows are read, and everything is exact.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    SpectralSummary
        With `frobenius_norm`, `singular_values`, `norm`, `stable_rank`, `effective_rank`, `method`, `status`, `stats`,
        `schatten(p)`, `trace(f)` and `explain()`.

    Raises
    ------
    TypeError
        If an argument is of a wrong type.
    ValueError
        If an argument is out of range, or `A` is no finite real matrix or an implicit one whose rows are not
        read whole.
    ZeroMassError
        If all entries of `A` are zero.

    Notes
    -----
    Everything follows from the r x r matrix of cosines between the drawn rows. The singular values of the drawn rows
    are too large, by about the share of |A|_F^2 outside the leading ones over r; the energy of the singular vectors of
    one half of the draws on the other half is too small by as much. The value is the root of their harmonic mean.
    `effective_rank` is the inverse of the mean squared cosine of two drawn rows.

    Cost: r draws, at most r rows read, O(r^2 n + r^3) operations, 8 r^2 bytes kept in the result.
    Error: a relative standard deviation of 1 / sqrt(2 r) for values that stand alone and rows that are
    combinations of many, and of 1 / (2 sqrt(c)) for a value carried by c of the draws. Values below about
    |A|_F / sqrt(r) drown in those of the other rows; their intervals reach far down, or to 0. Where many singular
    values are equal, the value is up to sqrt(2) times too large and the interval long. A direction that holds less
    than 3.7 / r of |A|_F^2 may be missed by all draws; intervals leave room for it. The smallest singular value cannot
    be estimated from few rows. Values found exactly are so up to rounding, some 1e-15 |A|, and for sparse matrices of
    more than 2e7 cells up to 1e-7 |A|.
    `benchmarks/test_spectrum.py` measures the coverage of all intervals.

    References
    ----------
    .. [1] W. Kong, G. Valiant, "Spectrum estimation from samples", Annals of Statistics 45 (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = np.random.default_rng(0).standard_normal((20_000, 100)) * np.geomspace(10, 0.1, 100)
    >>> found = qi.spectral_summary(A, rank=3, rng=0)
    >>> exact = np.linalg.svd(A, compute_uv=False)
    >>> [bool(s.low <= e <= s.high) for s, e in zip(found.singular_values, exact)]
    [True, True, True]
    >>> found.stats.rows_read <= 1000
    True
    """
    rank = check_count(rank, "rank", low=1)
    n_draws = max(_USUAL_DRAWS, 20 * rank) if n_draws is None else check_count(n_draws, "n_draws", low=_LEAST_DRAWS)
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    generator = as_generator(rng)
    if not reads_whole_rows(matrix):
        raise ValueError(
            "`A` must be a matrix whose rows may be read whole: the cosines between drawn rows are needed. Make it "
            "without `entry_bound`, or use low_rank(A, rank, method='fkv').singular_values, which reads entries."
        )
    norm = matrix.frobenius_norm
    if norm == 0.0:
        raise ZeroMassError("`A` must have a non-zero entry: no row of a zero matrix can be drawn.")
    meter = CostMeter(matrix, built_index=built_index)
    count = min(rank, *matrix.shape)
    spectrum: DrawnSpectrum | KnownSpectrum
    if n_draws >= matrix.shape[0]:
        spectrum = _of_all_rows(meter.matrix)
        method, status = "exact", "all rows were read"
    else:
        rows = meter.matrix.sample_rows(n_draws, generator)
        spectrum = DrawnSpectrum(_cosines(meter.matrix, rows), count, min(matrix.shape), generator)
        method = "sampled"
        status = f"{n_draws} draws met {len(np.unique(rows))} different rows"
    shares = spectrum.leading(count)
    values = tuple(scaled_estimate(share, norm, math.sqrt) for share in shares)
    hidden = next((i for i, found in enumerate(values) if found.low == 0.0), count)
    if method == "sampled" and hidden < count:
        status += (
            f"; singular values below the first {hidden} are not told from 0: they drown below about |A|_F / sqrt(r) = "
            f"{norm / math.sqrt(n_draws):.3g}, and a larger `n_draws` shows smaller ones"
        )
    if rank > count:
        status += f"; there are no more than min(m, n) = {count} singular values"
    second = spectrum.power_mean(2.0)
    return SpectralSummary(
        norm,
        values,
        values[0],
        scaled_estimate(shares[0], 1.0, lambda share: 1.0 / share),
        scaled_estimate(second, 1.0, lambda mean: mean**-2.0),
        matrix.shape,
        method,
        status,
        meter.read(),
        matrix,
        spectrum,
    )


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value, 1.0, 0)


def _cosines(A: CountingMatrix, draws: IntArray) -> Float64Array:
    """Return the cosines between drawn rows, (r, r); each different row is read once."""
    rows, place = np.unique(draws, return_inverse=True)
    block, _ = gather_rows(A, rows)
    product = block @ block.T
    gram = np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)
    lengths = np.sqrt(np.diag(gram))
    gram /= lengths[:, None]
    gram /= lengths
    np.fill_diagonal(gram, 1.0)
    return gram[np.ix_(place, place)]


def _of_all_rows(A: CountingMatrix) -> KnownSpectrum:
    m, n = A.shape
    blocks: list[Any] = [block for _, block in A.row_blocks(m)]
    sparse = any(sp.issparse(block) for block in blocks)
    if sparse and m * n > _DENSE_CELLS:
        rows: Any = sp.vstack(blocks).tocsr().astype(np.float64) / A.frobenius_norm
        gram = (rows @ rows.T).toarray() if m <= n else (rows.T @ rows).toarray()
        values = np.clip(np.linalg.eigvalsh(gram)[::-1], 0.0, None)
        return KnownSpectrum(values, 16.0 * len(gram) * float(np.finfo(float).eps) * float(values[0]))
    dense = np.vstack([block if isinstance(block, np.ndarray) else block.toarray() for block in blocks]).astype(
        np.float64
    )
    values = np.asarray(np.linalg.svd(dense / A.frobenius_norm, compute_uv=False), dtype=np.float64)
    return KnownSpectrum(values**2, 0.0)
