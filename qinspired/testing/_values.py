"""What does not involve chance: attributes, norms, entries, rows, blocks, products, indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired.access import SampleQueryMatrix
from qinspired.testing._rules import ConformanceError, must_raise, require, require_close

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array

__all__ = [
    "Truth",
    "check_attributes",
    "check_bad_indices",
    "check_blocks",
    "check_copies",
    "check_frobenius_norm",
    "check_norms",
    "check_products",
    "check_queries",
    "check_rows",
]

_SUBNORMAL = float(np.finfo(np.float64).smallest_subnormal)
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Truth:
    """The matrix that a storage stands for, its norms, and how far an entry and a norm may be off."""

    dense: Float64Array
    row_norms: Float64Array
    frobenius_norm: float
    slack: Float64Array
    norm_slack: Float64Array

    @classmethod
    def of(cls, dense: Any, dtype: np.dtype[Any], rtol: float | None) -> Truth:
        X = np.asarray(dense, dtype=np.float64)
        largest = np.abs(X).max(axis=1, initial=0.0)
        safe = np.where(largest > 0.0, largest, 1.0)
        norms = largest * np.sqrt(((X / safe[:, None]) ** 2).sum(axis=1))
        top = float(norms.max())
        total = top * float(np.sqrt(((norms / top) ** 2).sum())) if top > 0.0 else 0.0
        share = 8.0 * float(np.finfo(dtype).eps) if rtol is None else rtol
        # A stored matrix has no rounding in its entries, and its norms are summed in float64.
        norm_share = max(4.0 * sum(X.shape) * _EPS, 0.0 if rtol is None else rtol)
        return cls(X, norms, total, share * norms + 4 * _SUBNORMAL, norm_share * norms + 4 * _SUBNORMAL)

    @property
    def norm_share(self) -> float:
        """The relative error that the Frobenius norm may have."""
        top = float(self.row_norms.max())
        return float(self.norm_slack.max()) / top if top > 0.0 else 0.0


def _is_sparse(block: Any) -> bool:
    return bool(sp.issparse(block))


def to_dense(block: Any) -> Any:
    return block.toarray() if _is_sparse(block) else block


def check_attributes(A: Any, truth: Truth) -> None:
    members = [name for name in dir(SampleQueryMatrix) if not name.startswith("_")]
    missing = [name for name in members if not hasattr(A, name)]
    require(not missing, "a storage has every member of SampleQueryMatrix", f"{', '.join(missing)} missing")
    rule = "attributes have the types that the protocol names"
    shape = A.shape
    good = isinstance(shape, tuple) and len(shape) == 2 and all(type(size) is int for size in shape)
    require(good, rule, f"`shape` must be a tuple of two ints; got {shape!r}")
    require(
        shape == truth.dense.shape, "the shape is that of the matrix", f"`shape` is {shape}, not {truth.dense.shape}"
    )
    good = isinstance(A.dtype, np.dtype) and A.dtype in (np.dtype(np.float32), np.dtype(np.float64))
    require(good, rule, f"`dtype` must be numpy's native float32 or float64; got {A.dtype!r}")
    require(isinstance(A.is_sparse, bool), rule, f"`is_sparse` must be a bool; got {A.is_sparse!r}")
    require(isinstance(A.frobenius_norm, float), rule, f"`frobenius_norm` must be a float; got {A.frobenius_norm!r}")
    for name in ("n_stored", "entry_bytes"):
        value = getattr(A, name)
        require(isinstance(value, int | np.integer) and value >= 0, rule, f"`{name}` must be an int; got {value!r}")
    seconds = A.index_seconds
    require(isinstance(seconds, float) and seconds >= 0, rule, f"`index_seconds` must be a float >= 0; got {seconds!r}")
    version = getattr(A, "version", 0)
    require(isinstance(version, int) and not isinstance(version, bool), rule, f"`version` is {version!r}, no int")
    _check_stored(A, truth)


def _check_stored(A: Any, truth: Truth) -> None:
    rule = "`n_stored` and `row_lengths` count the stored entries"
    m, n = truth.dense.shape
    lengths = A.row_lengths(np.arange(m))
    require(np.shape(lengths) == (m,), rule, f"`row_lengths(all rows)` has shape {np.shape(lengths)}, not {(m,)}")
    require(lengths.dtype.kind == "i", rule, f"`row_lengths` has dtype {lengths.dtype}")
    total = int(lengths.sum())
    require(total == A.n_stored, rule, f"`row_lengths` sums to {total}, `n_stored` is {A.n_stored}")
    for start, block in A.row_blocks(max(1, m // 2)):
        n_rows = block.shape[0]
        held = np.diff(block.indptr) if _is_sparse(block) else np.full(n_rows, n)
        # A sum of sparse matrices reads more entries than it has.
        short = np.flatnonzero(lengths[start : start + n_rows] < held)
        if len(short):
            row = int(start + short[0])
            seen = f"`row_lengths([{row}])` is {lengths[row]}, but the row has {held[short[0]]} stored entries"
            raise ConformanceError(rule, seen)
    repeated = np.array([m - 1, 0, m - 1])
    require_close(A.row_lengths(repeated), lengths[repeated], 0, rule, f"row_lengths({repeated.tolist()})")


def check_norms(A: Any, truth: Truth) -> None:
    rule = "norms are those of the matrix"
    m = A.shape[0]
    norms = A.row_norms()
    require(getattr(norms, "dtype", None) == np.float64, rule, f"`row_norms()` is {type(norms).__name__}, not float64")
    require_close(norms, truth.row_norms, truth.norm_slack, rule, "row_norms()")
    zero = np.flatnonzero((truth.row_norms == 0.0) & (norms != 0.0))
    require(not len(zero), rule, f"`row_norms()` of the zero row {zero[:1]} is not 0")
    for rows in ([m - 1, 0, m - 1], np.arange(m, dtype=np.uint16)[::-1], []):
        picked = np.asarray(rows, dtype=np.int64)
        slack = truth.norm_slack[picked]
        require_close(A.row_norms(rows), norms[picked], slack, rule, f"row_norms({picked[:3].tolist()}...)")


def check_frobenius_norm(A: Any, truth: Truth) -> None:
    rule = "norms are those of the matrix"
    off = abs(A.frobenius_norm - truth.frobenius_norm)
    seen = f"`frobenius_norm` is {A.frobenius_norm!r} instead of {truth.frobenius_norm!r}"
    require(off <= truth.norm_share * truth.frobenius_norm + 4 * _SUBNORMAL, rule, seen)


def check_queries(A: Any, truth: Truth) -> None:
    rule = "queries are the entries of the matrix, broadcast as numpy does"
    m, n = A.shape
    grid = (np.arange(m)[:, None], np.arange(n)[None, :])
    values = A.query(*grid)
    require(values.dtype == A.dtype, rule, f"`query` has dtype {values.dtype}, the matrix {A.dtype}")
    require_close(values, truth.dense, truth.slack[:, None], rule, "query(all rows, all columns)")
    last = np.array([m - 1, 0, m - 1])
    cases: list[tuple[Any, Any]] = [
        (last, np.array([0, n - 1, n - 1])),
        (last[:, None], np.array([n - 1, 0], dtype=np.uint8 if n < 256 else np.int64)),
        (m - 1, [0, n - 1]),
        ([[0, m - 1], [m - 1, 0]], [[n - 1, 0], [0, n - 1]]),
        (m - 1, n - 1),
        ([], []),
        (np.zeros((3, 1), dtype=np.int64), np.zeros((1, 0), dtype=np.int64)),
    ]
    for rows, cols in cases:
        row_grid, col_grid = np.asarray(rows, dtype=np.int64), np.asarray(cols, dtype=np.int64)
        slack = np.broadcast_to(truth.slack[:, None], truth.dense.shape)[row_grid, col_grid]
        where = f"query({np.asarray(rows).tolist()}, {np.asarray(cols).tolist()})"
        require_close(A.query(rows, cols), truth.dense[row_grid, col_grid], slack, rule, where)


def check_rows(A: Any, truth: Truth) -> None:
    rule = "`rows` gives whole rows, repeats and none included"
    m = A.shape[0]
    for rows in (np.arange(m), np.array([m - 1, 0, m - 1]), np.arange(m)[::-1], np.arange(m)[::3], [], [0]):
        picked = np.asarray(rows, dtype=np.int64)
        where = f"rows({np.asarray(rows)[:3].tolist()}...)"
        block = A.rows(rows)
        check_block(block, A, where)
        require_close(to_dense(block), truth.dense[picked], truth.slack[picked, None], rule, where)


def check_block(block: Any, A: Any, where: str) -> None:
    """Require the type, the order and, if sparse, the canonical form that algorithms rely on."""
    rule = "blocks are CSR if `is_sparse` and C-contiguous arrays if not"
    require(_is_sparse(block) == A.is_sparse, rule, f"`{where}` is {type(block).__name__}, is_sparse {A.is_sparse}")
    require(block.dtype == A.dtype, rule, f"`{where}` has dtype {block.dtype}, the matrix {A.dtype}")
    if not _is_sparse(block):
        require(isinstance(block, np.ndarray), rule, f"`{where}` is a {type(block).__name__}")
        require(block.flags.c_contiguous, rule, f"`{where}` is not C-contiguous")
        return
    require(block.format == "csr", rule, f"`{where}` is in the format {block.format}")
    rule = "CSR blocks are canonical: indices in range, sorted, each once"
    indices, indptr = block.indices, block.indptr
    counts = (len(indptr), int(indptr[0]), int(indptr[-1]))
    good = counts == (block.shape[0] + 1, 0, len(indices)) and len(indices) == len(block.data)
    require(good and (np.diff(indptr) >= 0).all(), rule, f"`{where}` has a broken indptr, {indptr[:8].tolist()}...")
    inside = len(indices) == 0 or (int(indices.min()) >= 0 and int(indices.max()) < block.shape[1])
    require(inside, rule, f"`{where}` has an index outside [0, {block.shape[1]})")
    steps = np.diff(indices.astype(np.int64))
    ends = indptr[1:-1]
    steps[ends[(ends > 0) & (ends < len(indices))] - 1] = 1
    if (steps <= 0).any():
        position = int(np.argmax(steps <= 0))
        row = int(np.searchsorted(indptr, position, side="right")) - 1
        seen = f"row {row} of `{where}` has column {indices[position]} before {indices[position + 1]}"
        raise ConformanceError(rule, seen)


def check_copies(A: Any) -> None:
    """Write to whatever was returned, and look at the matrix again."""
    m, n = A.shape
    everything = np.arange(m)
    grid = (everything[:, None], np.arange(n)[None, :])
    given: dict[str, Callable[[], Any]] = {
        "rows(...)": lambda: A.rows(everything),
        "rows([0])": lambda: A.rows([0]),
        "query(...)": lambda: A.query(*grid),
        "row_norms()": A.row_norms,
        "row_norms([...])": lambda: A.row_norms(everything),
        "row_lengths([...])": lambda: A.row_lengths(everything),
    }
    before = (A.query(*grid).copy(), A.row_norms().copy(), np.array(A.row_lengths(everything)))
    for where, ask in given.items():
        answer = ask()
        for part in (answer.data, answer.indices) if _is_sparse(answer) else (answer,):
            require(part.flags.writeable, "what is returned is the caller's to write to", f"`{where}` is read-only")
            part[...] = 0 if part.dtype.kind in "iu" else 77.0
        after = (A.query(*grid), A.row_norms(), A.row_lengths(everything))
        same = all(np.array_equal(was, now) for was, now in zip(before, after, strict=True))
        rule = "writing to what was returned leaves the matrix as it was"
        require(same, rule, f"after writing to `{where}` the matrix answers otherwise")


def check_blocks(A: Any, truth: Truth) -> None:
    rule = "`row_blocks` goes through each row once, in order"
    m = A.shape[0]
    for size in sorted({1, 2, max(1, m // 3), m, m + 5}):
        where, expected = f"row_blocks({size})", 0
        for start, block in A.row_blocks(size):
            require(start == expected, rule, f"`{where}` goes on at row {start} after row {expected - 1}")
            stop = min(expected + size, m)
            require(block.shape[0] == stop - start, rule, f"`{where}` gave {block.shape[0]} rows at row {start} of {m}")
            check_block(block, A, where)
            wanted, slack = truth.dense[start:stop], truth.slack[start:stop, None]
            require_close(to_dense(block), wanted, slack, rule, f"{where} at row {start}")
            expected = stop
        require(expected == m, rule, f"`{where}` ended before row {expected} of {m}")
    for size in (0, -1):
        must_raise((ValueError,), rule, f"row_blocks({size})", lambda bad: list(A.row_blocks(bad)), size)


def check_products(A: Any, truth: Truth) -> None:
    rule = "`matmul` and `rmatmul` multiply by the matrix and by its transpose"
    m, n = A.shape
    rng = np.random.default_rng(0)
    size = np.abs(truth.dense)
    eps = (8 + max(m, n)) * float(np.finfo(A.dtype).eps)
    for width in (1, 3):
        right, left = rng.standard_normal((n, width)), rng.standard_normal((m, width))
        for dtype in {np.dtype(np.float64), A.dtype}:
            X, Y = right.astype(dtype), left.astype(dtype)
            given = truth.slack[:, None]
            slack = eps * (size @ np.abs(X)) + given * np.abs(X).sum(axis=0) + n * _SUBNORMAL
            require_close(A.matmul(X), truth.dense @ X, slack, rule, f"matmul({dtype} of shape {X.shape})")
            slack = eps * (size.T @ np.abs(Y)) + (given * np.abs(Y)).sum(axis=0) + m * _SUBNORMAL
            require_close(A.rmatmul(Y), truth.dense.T @ Y, slack, rule, f"rmatmul({dtype} of shape {Y.shape})")
    for extra in (1, 7):
        too_long = "a factor with too many rows"
        must_raise((ValueError,), rule, f"matmul({too_long})", A.matmul, np.ones((n + extra, 1), dtype=A.dtype))
        must_raise((ValueError,), rule, f"rmatmul({too_long})", A.rmatmul, np.ones((m + extra, 1), dtype=A.dtype))


def check_bad_indices(A: Any) -> None:
    m, n = A.shape
    calls = {"rows": A.rows, "row_norms": A.row_norms, "row_lengths": A.row_lengths, "sample_cols": A.sample_cols}
    for name, call in calls.items():
        _refuse_indices(call, f"{name}({{}})", m)
        rule = "row indices are one-dimensional"
        for rows in (0, [[0]]):
            must_raise((ValueError, TypeError), rule, f"{name}({rows})", call, rows)
    _refuse_indices(lambda rows: A.query(rows, [0]), "query({}, [0])", m)
    _refuse_indices(lambda cols: A.query([0], cols), "query([0], {})", n)


def _refuse_indices(call: Callable[..., Any], form: str, size: int) -> None:
    for bad in ([-1], [size], [0, size], [0, -size], np.array([2**63 + 1], dtype=np.uint64)):
        shown = form.format(np.asarray(bad).tolist())
        rule = "negative indices never wrap around" if min(bad) < 0 else "indices out of range are refused"
        must_raise((IndexError,), rule, shown, call, bad)
    for wrong in ([0.0], [True], ["0"]):
        must_raise((TypeError,), "indices are integers", form.format(wrong), call, wrong)
