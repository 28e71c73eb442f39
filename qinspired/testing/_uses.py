"""A storage where it is used: counted, pinned, pickled, and under `low_rank`."""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.access import AccessCounts, CountingMatrix, as_sq_matrix
from qinspired.algorithms import low_rank
from qinspired.exceptions import ToleranceNotMetWarning
from qinspired.testing._rules import require, require_close

if TYPE_CHECKING:
    from qinspired.testing._values import Truth

__all__ = ["check_counting", "check_low_rank", "check_pickle", "check_version"]

_TOLERANCE = 0.1
_SEEDS = 3
# Of an excess; where the spectrum is flat it says little of the components, and a wrong answer may have one of 1 %.
_ROUNDING = 1e-3
# From this many rows on the answer is also made from drawn rows alone.
_ROWS_TO_DRAW_FROM = 100


def check_counting(A: Any) -> None:
    """Require that a `CountingMatrix` around the storage counts what its `row_lengths` and `n_stored` say."""
    rule = "a CountingMatrix counts what was asked"
    m, n = A.shape
    counted = CountingMatrix(A)
    row = int(np.argmax(A.row_norms()))
    rows = [row, row, 0]
    lengths = int(A.row_lengths(rows).sum())
    block = counted.rows(rows)
    stored = block.size if isinstance(block, np.ndarray) else block.nnz
    _require_counts(counted, AccessCounts(rows_read=3, entries_read=int(stored)), rule, f"rows({rows})")
    counted.query(np.zeros((3, 1), dtype=np.int64), np.arange(n)[None, :])
    _require_counts(counted, AccessCounts(entry_queries=3 * n, entries_read=3 * n), rule, "query(3 x n)")
    if A.frobenius_norm > 0.0:
        counted.sample_rows(7, 0)
        _require_counts(counted, AccessCounts(row_draws=7), rule, "sample_rows(7, 0)")
        computed = getattr(A, "entries_computed", None)  # an implicit matrix counts them itself
        counted.sample_cols([row, row], 0)
        read = int(A.row_lengths([row, row]).sum()) if computed is None else A.entries_computed - computed
        _require_counts(counted, AccessCounts(column_draws=2, entries_read=read), rule, f"sample_cols({rows[:2]})")
    one_pass = AccessCounts(full_passes=1, entries_read=A.n_stored)
    counted.matmul(np.ones((n, 1), dtype=A.dtype))
    _require_counts(counted, one_pass, rule, "matmul")
    counted.rmatmul(np.ones((m, 1), dtype=A.dtype))
    _require_counts(counted, one_pass, rule, "rmatmul")
    read = sum(block.size if isinstance(block, np.ndarray) else block.nnz for _, block in counted.row_blocks(2))
    _require_counts(counted, one_pass, rule, "row_blocks(2)")
    require(int(read) <= A.n_stored, rule, f"`row_blocks(2)` holds {read} entries, `n_stored` is {A.n_stored}")
    require(int(stored) <= lengths, rule, f"`rows({rows})` holds {stored} entries, `row_lengths` says {lengths}")


def _require_counts(counted: CountingMatrix, wanted: AccessCounts, rule: str, where: str) -> None:
    require(counted.counts == wanted, rule, f"`{where}` counted as {counted.counts} instead of {wanted}")
    counted.counts = AccessCounts()


def check_version(A: Any, truth: Truth) -> None:
    """Require that reading and drawing leave the version alone, and that `as_sq_matrix` answers as the storage does."""
    before = getattr(A, "version", None)
    everything = np.arange(A.shape[0])[:, None], np.arange(A.shape[1])[None, :]
    norms, draws = np.asarray(A.row_norms()), None
    A.query(*everything)
    A.rows([0])
    if A.frobenius_norm > 0.0:
        draws = A.sample_rows(50, 1)
        A.sample_cols(draws, 1)
    now = getattr(A, "version", None)
    require(now == before, "only updates change the version", f"`version` went from {before} to {now} by reading")
    pinned = as_sq_matrix(A)
    rule = "`as_sq_matrix` gives access to the same matrix"
    require_close(pinned.row_norms(), norms, 0, rule, "as_sq_matrix(A).row_norms()")
    values = pinned.query(*everything)
    require_close(values, truth.dense, truth.slack[:, None], rule, "as_sq_matrix(A).query(all, all)")
    if draws is not None:
        same = np.array_equal(pinned.sample_rows(50, 1), draws)
        require(same, rule, "`as_sq_matrix(A).sample_rows(50, 1)` differs from `A.sample_rows(50, 1)`")


def check_pickle(A: Any) -> None:
    """Require a pickled copy to answer and draw alike, where the storage pickles at all."""
    rule = "a storage pickles and answers alike, or says by TypeError that it does not"
    try:
        content = pickle.dumps(A)
    except (TypeError, pickle.PicklingError, AttributeError):  # the last for classes defined in functions
        return
    copy = pickle.loads(content)
    everything = np.arange(A.shape[0])[:, None], np.arange(A.shape[1])[None, :]
    require(copy.shape == A.shape, rule, f"the copy has shape {copy.shape} instead of {A.shape}")
    require_close(copy.query(*everything), A.query(*everything), 0, rule, "copy.query(all, all)")
    require_close(copy.row_norms(), A.row_norms(), 0, rule, "copy.row_norms()")
    if A.frobenius_norm > 0.0:
        rows = A.sample_rows(50, 2)
        require(np.array_equal(copy.sample_rows(50, 2), rows), rule, "`copy.sample_rows(50, 2)` differs")
        require(np.array_equal(copy.sample_cols(rows, 2), A.sample_cols(rows, 2)), rule, "`copy.sample_cols` differs")


def check_low_rank(A: Any, truth: Truth, seed: int) -> None:
    """Hold `low_rank` to its tolerance against LAPACK; a promise of 95 % is broken when three seeds break it."""
    m, n = A.shape
    rank = min(2, m, n)
    scaled = truth.dense / np.abs(truth.dense).max()
    values = np.linalg.svd(scaled, compute_uv=False)
    best = float(np.sqrt((values[rank:] ** 2).sum()))
    # Where the best error is rounding, the excess over it is none of the storage's.
    floor = 64.0 * float(np.finfo(A.dtype).eps) + float(truth.norm_share)
    if best <= floor * float(np.linalg.norm(scaled)):
        return
    for method in ("auto", "gram") if m >= _ROWS_TO_DRAW_FROM else ("auto",):
        seen = []
        for offset in range(_SEEDS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ToleranceNotMetWarning)
                approx = low_rank(A, rank, tolerance=_TOLERANCE, method=method, rng=seed + offset)
            V = approx.components.T.astype(np.float64)
            rule = "`low_rank` meets its tolerance on the storage"
            require_close(V.T @ V, np.eye(rank), 1e-4, rule, f"low_rank(A, {rank}).components, their Gram matrix")
            excess = float(np.linalg.norm(scaled - scaled @ V @ V.T)) / best - 1.0
            # A method pinned by name may end above the tolerance, but then says so.
            promised = 0.0 if approx.method == "exact" else max(_TOLERANCE, approx.excess.high)
            if excess <= promised + _ROUNDING:
                break
            seen.append(f"{excess:.3g}")
        call = f"low_rank(A, {rank}, tolerance={_TOLERANCE}, method={method!r})"
        found = f"`{call}` is off by an excess of {', '.join(seen)} with {_SEEDS} seeds"
        require(len(seen) < _SEEDS, rule, found)
