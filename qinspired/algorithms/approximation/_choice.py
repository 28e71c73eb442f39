"""Which method of `low_rank` is predicted to be the fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qinspired.access import base_of
from qinspired.algorithms.approximation._drawn_rows import OVERSAMPLING, predicted_draws
from qinspired.algorithms.approximation._full_svd import uses_arpack
from qinspired.algorithms.approximation._implicit_low_rank import reads_whole_rows

if TYPE_CHECKING:
    from qinspired.access import SampleQueryMatrix

__all__ = ["choose"]

# Rates for the choice of a method, in operations a second, from one 2-core machine; only their ratios matter, and a
# factor of two in them moves the choice by as much in matrix size.
_DENSE_RATE = {4: 8e10, 8: 4e10}
_SPARSE_RATE = 8e9
_LAPACK_RATE = 1e10

# Seconds of small matrices and of Python: drawn rows of 40,000 x 10,000 took 8 ms and more by their number, passes over
# 6,040 x 3,706 with 1e6 entries 11 ms and 8 each.
_OVERHEAD = 1.2e-2

# A random start costs nothing but more passes, which pays where they take less than some milliseconds.
_RANDOM_OVERHEAD, _PASSES_MORE = 5e-3, 1.5

# Many products with few sparse rows: 18 to 24 ms on those ratings, whatever the tolerance from 3 to 0.3 %.
_SPARSE_KRYLOV_OVERHEAD = 2.5e-2

# Draws as a share of all rows above which passes are taken at once; a third is the most that is drawn, after growth.
_DRAWN_SHARE = 0.2

# Draws by squared norm prefer rows with many entries: 1.5 times the mean in films rated, 3 in products bought.
_DRAWN_LENGTH = 2.0

# ARPACK multiplies one vector at a time by A and A^T, some 10 times for each direction: 26 ms for 100,836 entries and
# 115 for 1,000,209, at k = 10.
_PRODUCTS_BY_RANK = 10.0
_PRODUCT_RATE = 1.2e9

# Draws up to which the Gram matrix is solved whole.
_GRAM_DRAWS = 128


def choose(A: SampleQueryMatrix, rank: int, tolerance: float) -> str:
    """Return the method with the least predicted time."""
    m, n = A.shape
    # Asked first: to count the stored entries of an implicit matrix, a row of it is read.
    if not reads_whole_rows(A):
        return "fkv"
    width = rank + OVERSAMPLING
    # A centred sparse matrix has dense rows, but products at the cost of sparse ones.
    multiplied = getattr(base_of(A), "multiplied", A)
    draws = predicted_draws(rank, tolerance)
    per_row = A.n_stored / m * (_DRAWN_LENGTH if A.is_sparse else 1.0)
    small = 10.0 * (m + n) * width**2 / _LAPACK_RATE
    a_pass = 4.0 * multiplied.n_stored * width / _rate(multiplied)
    seconds = {
        "exact": _exact_seconds(A, rank),
        "polished": _OVERHEAD + _passes(tolerance) * a_pass + small,
        "randomized": _RANDOM_OVERHEAD + (_passes(tolerance) + _PASSES_MORE) * a_pass + small,
    }
    if draws <= m * _DRAWN_SHARE:
        name = "gram" if min(n, draws) <= _GRAM_DRAWS else "krylov"
        overhead = _SPARSE_KRYLOV_OVERHEAD if A.is_sparse and name == "krylov" else _OVERHEAD
        seconds[name] = overhead + 7.0 * draws * per_row * width / _rate(A) + small * n / (m + n)
    # Below some milliseconds the exact answer is preferred to a faster inexact one.
    return "exact" if seconds["exact"] < 4e-3 else min(seconds, key=lambda name: seconds[name])


def _exact_seconds(A: SampleQueryMatrix, rank: int) -> float:
    m, n = A.shape
    if A.is_sparse and uses_arpack((m, n), rank):
        return _PRODUCTS_BY_RANK * rank * 2.0 * A.n_stored / _PRODUCT_RATE
    return (4.0 * m * n * min(m, n) + 10.0 * min(m, n) ** 3) / _LAPACK_RATE


def _passes(tolerance: float) -> float:
    # From drawn rows; with a gap one is enough at any tolerance.
    return 1.0 if tolerance >= 0.01 else 1.5 if tolerance >= 0.001 else 2.5


def _rate(A: SampleQueryMatrix) -> float:
    return _SPARSE_RATE if A.is_sparse else _DENSE_RATE[A.dtype.itemsize]
