"""Rows of a stream on their way into a sketch: checked, and converted a part at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_array, check_csr, first_nonfinite, native_float, raise_nonfinite
from qinspired.kernels import csr_row_norms, dense_row_norms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qinspired._typing import Float64Array, FloatArray

__all__ = ["checked_block", "parts_with_norms"]

# Entries that are checked and converted at a time: 4 MB of float64.
_PART_ENTRIES = 500_000

# Share of stored entries above which a sparse block is taken in as a dense one.
_DENSE_SHARE = 0.1


def checked_block(rows: Any, n_cols: int) -> Any:
    """Return rows as an array or in CSR, their width and layout checked, but not yet their entries."""
    shape = getattr(rows, "shape", None)
    if not (isinstance(shape, tuple) and len(shape) == 2 and shape[0] == 0):
        rows = check_csr(rows, "rows") if sp.issparse(rows) else check_array(rows, "rows")
    if rows.shape[1] != n_cols:
        raise ValueError(f"`rows` must have {n_cols} columns, as the sketch has; got shape {rows.shape}.")
    return rows


def parts_with_norms(block: Any, dtype: np.dtype[Any]) -> Iterator[tuple[FloatArray | sp.csr_array[Any], Float64Array]]:
    """Go through a checked block in parts of the given type, dense or sparse, each with its row norms.

    Raises
    ------
    ValueError
        At the part that has a NaN, an infinity, or a number that is too large for the type.
    """
    n_rows, n_cols = block.shape
    is_sparse: bool = sp.issparse(block)
    is_thin = is_sparse and block.nnz <= _DENSE_SHARE * n_rows * n_cols
    step = n_rows if is_thin else max(1, _PART_ENTRIES // n_cols)
    for start in range(0, n_rows, step):
        taken = block[start : start + step]
        part: Any
        with np.errstate(over="ignore"):
            if is_thin:
                part = taken.astype(dtype, copy=False)
            else:
                values = taken.toarray() if is_sparse else native_float(taken, "rows")
                part = np.ascontiguousarray(values, dtype=dtype)
        if is_thin:
            norms = csr_row_norms(part.data, part.indptr.astype(np.int64, copy=False))
        else:
            norms = dense_row_norms(part)
        if not math.isfinite(norms.max()):  # a NaN or an infinity makes its row's norm NaN
            _raise_unfit(taken, dtype, start)
        yield part, norms


def _raise_unfit(taken: Any, dtype: np.dtype[Any], start: int) -> None:
    """Name the first entry that is NaN, infinite or too large; the rows taken begin at row `start`."""
    is_sparse: bool = sp.issparse(taken)
    given = taken.data if is_sparse else native_float(taken, "rows")
    with np.errstate(over="ignore"):
        converted = given.astype(dtype)
    for array in (given, converted):
        where = first_nonfinite(array)
        if where is None:
            continue
        value = given[where]
        if is_sparse:
            row, col = int(np.searchsorted(taken.indptr, where[0], side="right")) - 1, int(taken.indices[where[0]])
        else:
            row, col = where
        if not np.isfinite(value):
            raise_nonfinite("rows", (row + start, col), value)
        raise ValueError(
            f"`rows` must have entries below 3.4e38 for a sketch of float32; got rows[{row + start}, {col}] = {value}. "
            "Use dtype=float64, or divide the rows by a constant."
        )
    raise ValueError("`rows` must have norms below 1.8e308; one overflows. Divide the rows by a constant.")
