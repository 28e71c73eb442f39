"""Low-rank approximation by the method asked for, or by the one predicted to be fastest, certified."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_nonnegative, check_rank
from qinspired.access import DenseMatrix, as_sq_matrix, base_of, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.algorithms.approximation._approximation import LowRankApproximation
from qinspired.algorithms.approximation._choice import choose
from qinspired.algorithms.approximation._drawn_rows import OVERSAMPLING, climb, from_drawn_rows, predicted_draws
from qinspired.algorithms.approximation._found import Found
from qinspired.algorithms.approximation._frequent_directions import frequent_directions
from qinspired.algorithms.approximation._full_svd import exact_low_rank
from qinspired.algorithms.approximation._halves import one_krylov_step
from qinspired.algorithms.approximation._implicit_low_rank import implicit_low_rank
from qinspired.algorithms.approximation._passes import polished_low_rank, randomized_low_rank
from qinspired.algorithms.approximation._row_laws import (
    ReweightedRows,
    RowsBySquaredNorm,
    UnevenRowsError,
    UniformRows,
    leverage,
    residual,
)
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

if TYPE_CHECKING:
    import numpy as np

    from qinspired._typing import RNGLike
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.approximation._implicit_approximation import ImplicitApproximation
    from qinspired.algorithms.approximation._ritz import Ritz

__all__ = ["low_rank"]

_METHODS = (
    "auto",
    "gram",
    "krylov",
    "residual",
    "leverage",
    "fkv",
    "threshold",
    "polished",
    "frequent_directions",
    "randomized",
    "exact",
)

# Stored entries up to which "auto" ends with the exact solver if nothing else is certified: 5,000 x 5,000, which takes
# 3 minutes at 1e10 operations a second.
_EXACT_ENTRIES = 25_000_000


def low_rank(
    A: Any,
    rank: int,
    *,
    tolerance: float = 0.01,
    method: str = "auto",
    start: str = "index",
    threshold: float | None = None,
    rng: RNGLike = None,
) -> LowRankApproximation | ImplicitApproximation:
    """Projection A V V^T of a matrix on k directions, within a tolerance of the best and certified.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    rank : int
        Number k of directions, in [1, min(m, n)].
    tolerance : float, default=0.01
        Largest relative excess of |A - A V V^T|_F over the best error with rank k, in (0, 1). It is a promise: while
        the upper end of the certificate exceeds it, more rows are drawn, and at last all rows are used.
    method : str, default="auto"
        From drawn rows: "gram", the eigenvectors of their Gram matrix; "krylov", a warm-started block Krylov iteration;
        "residual" and "leverage", which draw half of the rows in a second round, by what the first answer leaves of a
        row or by the leverage it gives a row. From drawn rows and columns: "fkv"; "threshold", which keeps the
        directions whose singular value reaches `threshold`, at most `rank`. From passes over all rows: "polished", a
        start from drawn rows and a pass, or as many as the certificate asks for; "randomized", the same from a random
        start; "frequent_directions", one pass with bounds that hold for certain; "exact", the SVD of LAPACK, or of
        ARPACK for a sparse matrix and a low rank. "auto" takes the one it predicts to be fastest of "gram", "krylov",
        "polished", "randomized" and "exact", and "fkv" for an `ImplicitMatrix` whose rows are too long to be read
        whole. With "fkv", or a method pinned by name, a tolerance that is not certified raises a warning.
    start : {"index", "uniform"}, default="index"
        "uniform" draws rows uniformly from a C-contiguous array of floats that has no index, and makes none if the
        certificate, from fresh uniform rows, meets the tolerance. For methods "auto", "gram" and "krylov". The index is
        made, and `status` says why, where row norms look uneven or the certificate fails.
    threshold : float, optional
        Least singular value to keep, >= 0, for method "threshold".
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    LowRankApproximation, or ImplicitApproximation from "fkv"
        With `components`, `singular_values`, `error`, `excess`, `method`, `status`, `stats`, `project`, `explain`. An
        implicit one is a map A -> A[:, cols] G A[rows], and forms components only where they are small enough.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `A` is no finite real matrix.
    ZeroMassError
        If all entries of `A` are zero.

    Warns
    -----
    ToleranceNotMetWarning
        If a method pinned by name, or the last resort, ended before its certificate met the tolerance.

    Notes
    -----
    Cost: from drawn rows, r = 1.15 k / (2 tolerance) draws as a rule, about 8 r n (k + 6) multiplications, the drawn
    rows read three or four times, and 160 rows for the error and the checks, 32 more where some are much shorter than
    all drawn; beyond m / 3 draws passes over all rows take over, of 4 m n (k + 6) multiplications each. Memory beyond
    A: those rows, 400,000 entries of drawn rows at a time from an array in memory, and some vectors of n (k + 6)
    entries: at most 1 % of a dense 40,000 x 10,000 float32 matrix at k = 10 with "krylov" and "polished", 1.0 % with
    "leverage", 1.4 % with "randomized". "gram" holds all rows drawn and copies of their Gram matrix, r n + 3 r^2
    numbers: 3 % there from 594 rows and 62 % from 5,770.
    "frequent_directions" holds a buffer of up to 1 GiB and copies of it: 7 and 13 % there for 174 and 507 rows.
    Error: r rows drawn by squared norm give a relative excess of about k / (2 r) where the spectrum has a gap [1]_. The
    excess is certified by cross-fitting: each half of the drawn rows judges the answer made from the other half, which
    needs no row beyond those drawn. Measured over seeds, its ratio to the truth is 0.95 to 1.03 on gapped, gapless and
    row-skewed matrices; with many equal singular values at k it is too high, 10 to 34 times, never low. Held-out rows
    and the 32 longest rows that leave three times as much as any drawn row count as lost; a direction that carries less
    than about 3 / r of |A|_F^2, in rows that are none of these, goes unseen. The interval is asymptotic: where few
    rows, seldom drawn, turn the answer most (covariances of the prices of 472 shares, k = 10) it covered 88 to 95 %,
    and on generated spectra 93 to 100 %, of 60 to 100 seeds.
    After passes the energy is known exactly; what is left to gain follows from the gain of the first pass and the
    second moment of what the block leaves, on 128 held-out rows, and later from the residuals.
    Where rounding hides the loss, as in float32 at errors below some 0.3 %, the excess is infinity; "auto" then ends
    with the exact solver if `A` has at most 2.5e7 stored entries.
    `error` is what the 32 longest rows leave, and a mean over 128 rows drawn afresh for the others.
    With `start="uniform"`, 64 bytes of every row (of a mapped file, a page of as many rows as make 2 % of it) are
    probed for rows that are long, which are read. What neither a probe nor a row that was read shows goes unseen: one
    entry of an ordinary row that outweighs all others, or a NaN in a row that was not read. Only the index pass sees
    these.

    References
    ----------
    .. [1] A. Frieze, R. Kannan, S. Vempala, "Fast Monte-Carlo algorithms for finding low-rank approximations",
       Journal of the ACM 51 (2004). Differs from [1]_: rows only, no column draws; solved by block Krylov; grown
       until certified.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((3000, 400), 5, noise=0.2, rng=0)
    >>> approx = qi.low_rank(problem.A, 5, tolerance=0.05, method="gram", rng=0)
    >>> approx.components.shape, bool(approx.excess.high <= 0.05)
    ((5, 400), True)
    >>> approx.stats.rows_read < 1000
    True
    """
    tolerance = check_fraction(tolerance, "tolerance")
    if threshold is not None:
        threshold = check_nonnegative(threshold, "threshold")
    _check_choices(method, start, threshold)
    built_index = not has_access(A)
    matrix = as_sq_matrix(A, index="later" if start == "uniform" else "now")
    rank = check_rank(rank, matrix.shape)
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    chosen = method if threshold is None else "threshold"
    if chosen == "auto":
        chosen = choose(meter.matrix, rank, tolerance)
    note = ""
    if start == "uniform":
        found, note = _without_index(meter.matrix, rank, tolerance, chosen, generator, was_indexed=not built_index)
        if found is not None:
            status = f"started without an index: the certificate meets the tolerance {tolerance:g} with {found.done}"
            return _result(found, chosen, f"{status}; rows unlike any that was read or probed would go unseen", meter)
    if matrix.frobenius_norm == 0.0:
        raise ZeroMassError("`A` must have a non-zero entry: the best approximation of a zero matrix is any.")
    if chosen in ("fkv", "threshold"):
        implicit = implicit_low_rank(meter, rank, tolerance, generator, threshold)
        return replace(implicit, status=note + implicit.status)
    found = _run(chosen, meter.matrix, rank, tolerance, generator, None)
    status = found.done
    for dearer in _dearer(chosen, matrix.n_stored) if method == "auto" else ():
        if found.excess.high <= tolerance:
            break
        status += f" ended at an excess of {found.excess.high:.3g}; "
        found, chosen = _run(dearer, meter.matrix, rank, tolerance, generator, found.pairs), dearer
        status += found.done
    if found.excess.high > tolerance:
        status = (
            f"the certificate shows {found.excess.high:.3g}, above the tolerance {tolerance:g}, after {status}; use "
            + ("method='exact'" if method == "auto" else "method='auto' or a larger tolerance")
        )
        warnings.warn(f"low_rank(method={method!r}): {note}{status}.", ToleranceNotMetWarning, stacklevel=2)
    elif chosen != "exact":
        status = f"the certificate meets the tolerance {tolerance:g} with {status}"
    elif method == "auto" and status == found.done:
        status += ": it is predicted to be the fastest on this matrix"
    return _result(found, chosen, note + status, meter)


def _check_choices(method: str, start: str, threshold: float | None) -> None:
    if method not in _METHODS:
        raise ValueError(f"`method` must be one of {', '.join(_METHODS)}; got {method!r}.")
    if start not in ("index", "uniform"):
        raise ValueError(f"`start` must be 'index' or 'uniform'; got {start!r}.")
    if start == "uniform" and method not in ("auto", "gram", "krylov"):
        raise ValueError(
            f"`start` must be 'index' for method {method!r}; 'uniform' goes with 'auto', 'gram' and 'krylov'."
        )
    if method == "threshold" and threshold is None:
        raise ValueError("`threshold` must be given with method 'threshold': the least singular value to keep.")
    if threshold is not None and method not in ("auto", "threshold"):
        raise ValueError(f"`threshold` goes with method 'threshold'; got method {method!r}.")
    if threshold is not None and start == "uniform":
        raise ValueError("`start` must be 'index' with a `threshold`, whose method draws by squared norm.")


def _without_index(
    A: CountingMatrix, rank: int, tolerance: float, method: str, rng: np.random.Generator, *, was_indexed: bool
) -> tuple[Found | None, str]:
    """Return what uniform rows give, or nothing and the reason."""
    base = base_of(A)
    if type(base) is not DenseMatrix or base.has_index:
        if was_indexed and getattr(base, "has_index", True):
            return None, "the matrix has an index, which was used; "
        return None, "only a C-contiguous array of float32 or float64 is started on without an index; "
    if method not in ("gram", "krylov"):
        return None, f"method {method!r} is predicted to be the fastest, for which the index was built; "
    if predicted_draws(rank, tolerance) > A.shape[0] // 3:
        return None, "too few rows for a start without an index; "
    try:
        law = UniformRows(A, rng)
        found = from_drawn_rows(law, rank, tolerance, method, rng, limit=A.shape[0] // 4)
    except UnevenRowsError as error:
        return None, f"{error}, so that the index was built; "
    if found.excess.high <= tolerance:
        return found, ""
    return None, f"uniform rows ended at an excess of {found.excess.high:.3g}, so that the index was built; "


def _dearer(method: str, n_stored: int) -> list[str]:
    """Return the methods that "auto" goes on to."""
    order = [] if method in ("polished", "randomized") else ["polished"]
    return [*order, "exact"] if n_stored <= _EXACT_ENTRIES else order


def _run(
    method: str, A: CountingMatrix, rank: int, tolerance: float, rng: np.random.Generator, pairs: Ritz | None
) -> Found:
    if method in ("gram", "krylov"):
        return from_drawn_rows(RowsBySquaredNorm(A), rank, tolerance, method, rng)
    if method in ("residual", "leverage"):
        return _two_rounds(A, rank, tolerance, method, rng)
    if method == "polished":
        return polished_low_rank(A, rank, tolerance, rng, pairs)
    if method == "randomized":
        return randomized_low_rank(A, rank, tolerance, rng)
    if method == "frequent_directions":
        streamed = frequent_directions(A, rank, tolerance)
        return Found(
            streamed.components,
            streamed.singular_values,
            streamed.error,
            streamed.excess,
            f"one pass into a sketch of {streamed.sketch_size} rows",
        )
    return exact_low_rank(A, rank)


def _two_rounds(A: CountingMatrix, rank: int, tolerance: float, method: str, rng: np.random.Generator) -> Found:
    """Draw a first round by squared norm, and the rows of the answer by what it says of them."""
    width = min(rank + OVERSAMPLING, *A.shape)
    first, pairs = climb(
        RowsBySquaredNorm(A), max(predicted_draws(rank, tolerance) // 8, 8 * width), width, rng, by_krylov=True
    )
    pairs = one_krylov_step(first, pairs.vectors, width)
    score = residual(pairs, rank) if method == "residual" else leverage(pairs, rank)
    return from_drawn_rows(ReweightedRows(A, *score), rank, tolerance, "krylov", rng)


def _result(found: Found, method: str, status: str, meter: CostMeter) -> LowRankApproximation:
    return LowRankApproximation(
        found.components,
        found.singular_values,
        found.error,
        found.excess,
        method,
        status,
        meter.read(),
        meter.matrix.source,
    )
