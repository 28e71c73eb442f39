"""What `rp_cholesky` asks its input for, and the checks of it."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_array, check_csr, first_nonfinite, native_float, raise_nonfinite
from qinspired.access import SampleQueryMatrix, as_sq_matrix, base_of, has_access
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.algorithms._results import CostMeter

__all__ = ["dense_block", "diagonal_of", "opened", "refuse_zero"]

# Tiles of this many rows and columns are compared for symmetry: two of float64 take 4 MB.
_TILE = 512


def opened(A: Any) -> tuple[Any, Any, bool]:
    """Return what to keep as the source, what to ask, and whether an index was built from a checked array."""
    if has_access(A):
        matrix = as_sq_matrix(A)
        _check_square(matrix.shape)
        _refuse_rows_only(matrix)
        return matrix, matrix, False
    if isinstance(A, str | os.PathLike):
        matrix = as_sq_matrix(A)
        _check_square(matrix.shape)
        return matrix, matrix, False
    if not isinstance(A, np.ndarray) and not sp.issparse(A) and callable(getattr(A, "query", None)) and _has_type(A):
        _check_square(A.shape)
        return A, QueriedMatrix(A), False
    given = check_csr(A) if sp.issparse(A) else check_array(A)
    _check_square(given.shape)
    matrix = as_sq_matrix(given)
    _check_symmetric(given, matrix.dtype)
    return matrix, matrix, True


def _has_type(A: Any) -> bool:
    # A data frame has a `query` too, but no `dtype` of its own.
    return hasattr(A, "shape") and hasattr(A, "dtype")


def _check_square(shape: tuple[int, int]) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise ValueError(f"`A` must be a square matrix with at least one row; got shape {tuple(shape)}.")


def _refuse_rows_only(matrix: SampleQueryMatrix) -> None:
    # Without a function for entries each of them would be read from a row of its own.
    base = base_of(matrix)
    before = getattr(base, "entries_computed", None)
    if before is None or matrix.shape[1] == 1:
        return
    matrix.query(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    if base.entries_computed - before > 1:
        raise ValueError(
            "`A` must give single entries: its diagonal would take all n^2 entries of an ImplicitMatrix that has a "
            "`row_function` only. Give it an `entry_function` too, or use a KernelMatrix."
        )


def _check_symmetric(given: Any, dtype: np.dtype[Any]) -> None:
    """Refuse entries that differ from their mirror images by more than rounding on the scale of the diagonal."""
    slack = math.sqrt(float(np.finfo(dtype).eps))
    diagonal = np.abs(np.asarray(given.diagonal(), dtype=np.float64))
    scale = np.sqrt(diagonal)
    if sp.issparse(given):
        # One of the entries may not be stored, so that the difference has the union of both patterns.
        gap = _mirror_gap(given)
        rows, cols = gap.coords
        wrong = np.flatnonzero(np.abs(gap.data) > slack * scale[rows] * scale[cols])
        if len(wrong):
            _raise_asymmetric(int(rows[wrong[0]]), int(cols[wrong[0]]), given)
        return
    n = len(given)
    for top in range(0, n, _TILE):
        for left in range(0, top + 1, _TILE):
            lower = given[top : top + _TILE, left : left + _TILE].astype(np.float64)
            upper = given[left : left + _TILE, top : top + _TILE].T.astype(np.float64)
            allowed = slack * scale[top : top + _TILE, None] * scale[left : left + _TILE]
            with np.errstate(over="ignore"):
                far = np.abs(lower - upper) > allowed
            if far.any():
                row, col = np.unravel_index(int(np.argmax(far)), far.shape)
                _raise_asymmetric(top + int(row), left + int(col), given)


def _mirror_gap(given: Any) -> sp.coo_array[Any]:
    wide = given.astype(np.float64)
    return sp.coo_array(wide - wide.T)


def _raise_asymmetric(i: int, j: int, given: Any) -> None:
    raise ValueError(
        f"`A` must be symmetric; got A[{i}, {j}] = {given[i, j]} and A[{j}, {i}] = {given[j, i]}. Symmetrise it, "
        "(A + A.T) / 2, or use `low_rank`."
    )


def diagonal_of(meter: CostMeter, source: Any) -> Float64Array:
    n = meter.matrix.shape[0]
    if isinstance(base_of(meter.matrix), QueriedMatrix) and callable(getattr(source, "diagonal", None)):
        values = _checked(source.diagonal(), (n,), "diagonal")
        meter.matrix.counts.entry_queries += n
        meter.matrix.counts.entries_read += n
    else:
        every = np.arange(n)
        values = meter.matrix.query(every, every)
    diagonal: Float64Array = values.astype(np.float64)
    where = first_nonfinite(diagonal)
    if where is not None:
        raise_nonfinite("A", (where[0], where[0]), diagonal[where])
    with np.errstate(over="ignore"):
        if diagonal.sum() == math.inf:
            raise ValueError("`A` must have a trace below 1.8e308; its sum overflows. Divide the matrix by a constant.")
    return diagonal


def refuse_zero(diagonal: Float64Array, indexed: SampleQueryMatrix | None) -> None:
    if indexed is not None:
        # Stored matrices have row norms at hand, which the pivots of other rows would not show.
        lost = np.flatnonzero((diagonal == 0.0) & (indexed.row_norms() > 0.0))
        if len(lost) and not (diagonal < 0.0).any():
            i = int(lost[0])
            raise ValueError(
                f"`A` must be positive semi-definite, but A[{i}, {i}] is 0 and row {i} is not: add a ridge to the "
                "diagonal, or use `low_rank`."
            )
    if not diagonal.any():
        raise ZeroMassError(
            "`A` has a diagonal of zeros; a positive semi-definite matrix is then zero, and no pivot can be drawn. "
            "Give it a non-zero entry."
        )


class QueriedMatrix:
    """Adds to an object with `query` what the counting of accesses asks for, and checks its answers."""

    is_sparse = False
    index_seconds = 0.0

    def __init__(self, source: Any) -> None:
        self.asked = source
        self.shape = (int(source.shape[0]), int(source.shape[1]))
        dtype = np.dtype(source.dtype)
        self.dtype = np.dtype(np.float32) if dtype in (np.float32, np.float16) else np.dtype(np.float64)
        self.entry_bytes = self.dtype.itemsize
        self.n_stored = self.shape[0] * self.shape[1]

    def query(self, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]) -> FloatArray:
        shape = np.broadcast_shapes(rows.shape, cols.shape)
        return _checked(self.asked.query(rows, cols), shape, "query").astype(self.dtype, copy=False)

    def rows(self, rows: IntArray) -> FloatArray:
        if not callable(getattr(self.asked, "rows", None)):
            return self.query(rows[:, None], np.arange(self.shape[1])[None, :])
        return _checked(dense_block(self.asked.rows(rows)), (len(rows), self.shape[1]), "rows").astype(
            self.dtype, copy=False
        )


def dense_block(block: Any) -> FloatArray:
    return np.asarray(block.toarray() if hasattr(block, "toarray") else block)


def _checked(values: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    """Return numbers that an object gave: finite, real and as many as were asked for."""
    array: np.ndarray[Any, Any] = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"`A.{name}` must return an array of shape {shape}; got shape {array.shape}.")
    numbers = native_float(array, f"A.{name}")
    where = first_nonfinite(numbers)
    if where is not None:
        raise ValueError(f"`A.{name}` must return finite numbers; got {array[where]} at {where}.")
    return numbers
