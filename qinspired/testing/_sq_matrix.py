"""All that a matrix with sample-and-query access must do, against the array that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_finite_dense, check_nonnegative
from qinspired.testing import _draws, _uses, _values
from qinspired.testing._rules import stage

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import RNGLike
    from qinspired.testing._values import Truth

__all__ = ["check_answers", "check_draws", "check_sq_matrix", "truth_of"]

# Draws that are compared with one another; those of a law are `n_draws`.
_SOME = 200
# Norms above this share of the whole may agree by chance: then 0.9^200, 7e-10, is not small any more.
_LARGEST_SHARE = 0.9


def check_sq_matrix(
    build: Callable[[], Any],
    dense: npt.ArrayLike,
    *,
    rng: RNGLike = 0,
    n_draws: int = 20_000,
    rtol: float | None = None,
) -> None:
    """Conformance of a matrix A with sample-and-query access to the (m, n) array that it stands for.

    Parameters
    ----------
    build : callable
        Makes the object afresh at each call, always the same one; 9 are made.
    dense : array_like, shape (m, n)
        The entries, to compare with in float64. Small matrices are best: a few rows to a few hundred.
    rng : int, Generator, SeedSequence or None
        Source of the seeds of all draws. A right storage that passes with one seed always passes with it.
    n_draws : int, default=20_000
        Draws for each law, >= 0. With 0 the laws are left out, and the rest takes some hundredths of a second.
    rtol : float, optional
        Largest error of an entry, as a share of the norm of its row, and of a norm, as a share of itself. By default 8
        units in the last place of the type for entries, and rounding in float64 for norms: right for what is stored.
        Give a larger one where entries are computed.

    Raises
    ------
    ConformanceError
        At the first rule that does not hold, with the call and what it gave.
    ValueError, TypeError
        If an argument is out of range, or `n_draws` is too small to tell the laws of this matrix from wrong ones.

    Notes
    -----
    Looks at attributes, norms, entries, rows, blocks and products; at indices that are out of range, negative or no
    integers; at the laws of rows and of columns by chi-square; at seeds, threads and global random states; and at the
    object counted, pickled, and under `low_rank`. What does not pickle must say so by TypeError, PicklingError or
    AttributeError.
    Cost: some 20 passes over A, 4 batches of `n_draws`, and 2 singular value decompositions of `dense`.
    Error: each of 8 tests of laws refuses a right storage with probability 1e-6, over the seeds. Each law is also drawn
    wrong by the check itself, by size, uniform, off by one or tilted by a tenth, and must then be refused.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> X = np.array([[3.0, 4.0], [0.0, 12.0]])
    >>> qi.testing.check_sq_matrix(lambda: qi.as_sq_matrix(X), X)
    >>> qi.testing.check_sq_matrix(lambda: qi.as_sq_matrix(X), 2 * X)
    Traceback (most recent call last):
    qinspired.testing.ConformanceError: norms are those of the matrix: `row_norms()[1]` is 12.0 instead of 24.0...
    """
    X = check_finite_dense(dense, "dense")
    n_draws = check_count(n_draws, "n_draws")
    seed = int(as_generator(rng).integers(2**31))
    A = build()
    truth = truth_of(A, X, rtol)
    with stage("a storage has every member of SampleQueryMatrix", A):
        _values.check_attributes(A, truth)
    check_answers(A, truth)
    with stage("norms are those of the matrix", A):
        _values.check_frobenius_norm(A, truth)
    check_draws(build, truth, seed, n_draws)
    with stage("a CountingMatrix counts what was asked", A):
        _uses.check_counting(build())
    with stage("`as_sq_matrix` gives access to the same matrix", A):
        _uses.check_version(build(), truth)
    with stage("a storage pickles and answers alike, or says by TypeError that it does not", A):
        _uses.check_pickle(build())
    if truth.frobenius_norm > 0.0:
        with stage("`low_rank` meets its tolerance on the storage", A):
            _uses.check_low_rank(build(), truth, seed)


def truth_of(A: Any, X: Any, rtol: float | None) -> Truth:
    share = None if rtol is None else check_nonnegative(rtol, "rtol")
    kind = getattr(A, "dtype", None)
    single = isinstance(kind, np.dtype) and kind == np.float32
    return _values.Truth.of(X, np.dtype(np.float32 if single else np.float64), share)


def check_answers(A: Any, truth: Truth) -> None:
    """Run everything about entries and indices, in which no draw takes part."""
    with stage("norms are those of the matrix", A):
        _values.check_norms(A, truth)
    with stage("queries are the entries of the matrix, broadcast as numpy does", A):
        _values.check_queries(A, truth)
    with stage("`rows` gives whole rows, repeats and none included", A):
        _values.check_rows(A, truth)
    with stage("`row_blocks` goes through each row once, in order", A):
        _values.check_blocks(A, truth)
    with stage("`matmul` and `rmatmul` multiply by the matrix and by its transpose", A):
        _values.check_products(A, truth)
    with stage("indices out of range are refused", A):
        _values.check_bad_indices(A)
    with stage("writing to what was returned leaves the matrix as it was", A):
        _values.check_copies(A)


def check_draws(build: Callable[[], Any], truth: Truth, seed: int, n_draws: int) -> None:
    """Run everything about draws."""
    A = build()
    m, n = A.shape
    with stage("nothing is drawn where there is no mass", A):
        _draws.check_zero_mass(A)
    if truth.frobenius_norm == 0.0:
        return
    row = int(np.argmax((truth.dense != 0.0).sum(axis=1)))
    with stage("draws are int64 indices in range, one for each asked", A):
        _draws.check_edges(A.sample_rows, m, "sample_rows")
        _draws.require_draws(A.sample_cols([], 1), 0, n, "sample_cols([], 1)")
        _draws.check_randomness(lambda rng: A.sample_cols([row] * 5, rng), n, f"sample_cols([{row}] * 5, {{}})")
    with stage("global random states are neither read nor changed", A), _draws.global_state_untouched("draws"):
        for source in (0, None):
            A.sample_cols(A.sample_rows(20, source), source)
    again = build()
    varied = truth.row_norms.max() < _LARGEST_SHARE * truth.frobenius_norm
    with stage("the same seed gives the same draws", A):
        _draws.check_seeds(
            lambda rng: A.sample_rows(_SOME, rng), lambda rng: again.sample_rows(_SOME, rng), varied, "sample_rows"
        )
        wide = np.abs(truth.dense[row]).max() < _LARGEST_SHARE * truth.row_norms[row]
        repeated = np.full(_SOME, row)
        _draws.check_seeds(
            lambda rng: A.sample_cols(repeated, rng),
            lambda rng: again.sample_cols(repeated, rng),
            wide,
            f"sample_cols([{row}] * {_SOME})",
        )
    many = max(_SOME, min(n_draws, 5000))
    with stage("draws do not depend on the number of threads", A):
        _draws.check_threads(lambda rng: A.sample_rows(many, rng), f"sample_rows({many})")
        _draws.check_threads(lambda rng: A.sample_cols(np.full(many, row), rng), f"sample_cols([{row}] * {many})")
    with stage("draws in several Python threads are those of one", A):
        _draws.check_concurrency(build, _row_and_col, "sample_rows, then sample_cols")
    if n_draws:
        with stage("draws follow their laws", A):
            _draws.check_laws(A, truth, seed, n_draws)


def _row_and_col(A: Any, seed: int) -> Any:
    rows = A.sample_rows(_SOME, seed)
    return np.stack([rows, A.sample_cols(rows, seed)])
