"""Checks of arguments at the public boundary. Every message names the argument, the rule and the remedy."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = [
    "check_count",
    "check_csr",
    "check_dense",
    "check_fraction",
    "check_indices",
    "check_matrix",
    "check_nonnegative",
    "check_rank",
    "check_vector",
    "first_nonfinite",
    "native_float",
]


def check_count(value: Any, name: str, *, low: int = 0) -> int:
    """Return an integer >= `low`; floats and bools are refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be an integer >= {low}; got {value!r} of type {type(value).__name__}.")
    number = int(value)
    if number < low:
        raise ValueError(f"`{name}` must be an integer >= {low}; got {value}.")
    return number


def check_rank(rank: Any, shape: tuple[int, int], *, name: str = "rank") -> int:
    """Return a rank in [1, min(m, n)]."""
    if isinstance(rank, bool | np.bool_) or not isinstance(rank, Integral):
        raise TypeError(f"`{name}` must be an integer; got {rank!r} of type {type(rank).__name__}.")
    largest = min(shape)
    if not 1 <= int(rank) <= largest:
        raise ValueError(
            f"`{name}` must be in [1, min(m, n)] = [1, {largest}] for a matrix of shape {shape}; got {rank}."
        )
    return int(rank)


def check_fraction(value: Any, name: str, *, closed_high: bool = False) -> float:
    """Return a number in (0, 1), or in (0, 1] if `closed_high`."""
    interval = "(0, 1]" if closed_high else "(0, 1)"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a number in {interval}; got {value!r} of type {type(value).__name__}.")
    if not (0 < float(value) < 1 or (closed_high and value == 1)):
        raise ValueError(f"`{name}` must be in {interval}; got {value}.")
    return float(value)


def check_nonnegative(value: Any, name: str) -> float:
    """Return a finite number >= 0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a finite number >= 0; got {value!r} of type {type(value).__name__}.")
    if not 0 <= float(value) < np.inf:
        raise ValueError(f"`{name}` must be a finite number >= 0; got {value}.")
    return float(value)


def check_indices(values: Any, size: int, name: str, *, ndim: int | None = 1) -> IntArray:
    """Return indices in [0, size) as int64; negative ones never wrap around."""
    array = np.asarray(values)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must hold integer indices; got dtype {array.dtype}.")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"`{name}` must be {ndim}-dimensional; got shape {array.shape}.")
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= size:
            bad = low if low < 0 else high
            raise IndexError(f"`{name}` must hold indices in [0, {size}); got {bad}.")
    return np.asarray(array, dtype=np.int64, order="C")  # ascontiguousarray would give a scalar a dimension


def first_nonfinite(array: FloatArray) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity in C order, or None."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))


def native_float(array: np.ndarray[Any, Any], name: str) -> FloatArray:
    """Convert to native float32 or float64 (float16 to float32, all other numbers to float64)."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must not be a masked array; fill or drop the masked entries first.")
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(f"`{name}` must be real; got complex dtype {array.dtype}. Solve for its real form instead.")
    if kind in "mM":
        raise TypeError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert times to numbers first.")
    if kind not in "fiubO":
        raise ValueError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert it with `.astype(float)`.")
    if kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{name}` must be numeric; an array of dtype object could not be converted to float ({error})."
            ) from error
    if kind == "f" and array.dtype.itemsize in (4, 8):  # big-endian ones too
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 2:
        remedy = " Reshape a single row with `.reshape(1, -1)` or a single column with `.reshape(-1, 1)`."
        raise ValueError(f"`{name}` must be 2-dimensional; got shape {shape}.{remedy if len(shape) == 1 else ''}")
    if min(shape) == 0:
        raise ValueError(f"`{name}` must have at least one row and one column; got shape {shape}.")


def check_dense(X: Any, name: str = "A") -> FloatArray:
    """Return a two-dimensional, C-contiguous array of native float32 or float64; finiteness is not checked."""
    if isinstance(X, np.matrix):
        raise TypeError(f"`{name}` must not be a numpy.matrix; convert it with `numpy.asarray`.")
    if isinstance(X, str | bytes):
        raise TypeError(f"`{name}` must be an array or a sparse matrix; got a string. Load the file first.")
    try:
        array = X if isinstance(X, np.ndarray) else np.asarray(X)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers; {error}.") from error
    _check_shape(array.shape, name)
    return np.ascontiguousarray(native_float(array, name))


def check_csr(X: Any, name: str = "A") -> sp.csr_array[Any]:
    """Return a canonical CSR array (sorted, duplicates summed) with checked indices; `X` is not modified."""
    _check_shape(X.shape, name)
    if X.format in ("csr", "csc", "bsr"):
        _check_compressed(X, name)
    matrix = sp.csr_array(X)  # shares the three arrays if X is CSR already
    data = native_float(matrix.data, name)
    matrix = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _check_compressed(X: Any, name: str) -> None:
    """Check what scipy's constructors do not: a bad index is read silently, or ends the process in a conversion."""
    n_major, n_minor = X.shape if X.format != "csc" else X.shape[::-1]
    if X.format == "bsr":
        n_major, n_minor = n_major // X.blocksize[0], n_minor // X.blocksize[1]
    indptr, indices = X.indptr, X.indices
    remedy = "Rebuild it from (row, column, value) triples."
    if len(indptr) != n_major + 1 or indptr[0] != 0 or indptr[-1] > len(indices) or (np.diff(indptr) < 0).any():
        raise ValueError(
            f"`{name}` must be a valid {X.format.upper()} matrix; its `indptr` must start at 0, never decrease and end "
            f"at the number of stored entries. {remedy}"
        )
    if len(indices) != len(X.data):
        raise ValueError(
            f"`{name}` must be a valid {X.format.upper()} matrix; `indices` and `data` differ in length. {remedy}"
        )
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= n_minor):
        bad = indices.min() if indices.min() < 0 else indices.max()
        raise ValueError(
            f"`{name}` must be a valid {X.format.upper()} matrix; its indices must be in [0, {n_minor}), got {bad}. "
            f"{remedy}"
        )


def check_matrix(X: Any, name: str = "A") -> FloatArray | sp.csr_array[Any]:
    """Return a finite dense array or canonical CSR array of native float32 or float64."""
    if sp.issparse(X):
        matrix = check_csr(X, name)
        where = first_nonfinite(matrix.data)
        if where is not None:
            row = int(np.searchsorted(matrix.indptr, where[0], side="right") - 1)
            raise_nonfinite(name, (row, int(matrix.indices[where[0]])), matrix.data[where[0]])
        return matrix
    array = check_dense(X, name)
    where = first_nonfinite(array)
    if where is not None:
        raise_nonfinite(name, where, array[where])
    return array


def raise_nonfinite(name: str, where: tuple[int, ...], value: Any) -> None:
    """Raise the error for a NaN or an infinity at `where`."""
    place = ", ".join(str(i) for i in where)
    raise ValueError(
        f"`{name}` must be finite, without NaN or infinity; got {name}[{place}] = {value}. Impute or drop it."
    )


def check_vector(values: Any, size: int, name: str, *, matrix: str = "A") -> Float64Array:
    """Return a finite float64 vector of the given length; a one-column array or sparse matrix is flattened."""
    is_sparse: bool = sp.issparse(values)
    if is_sparse:
        values = values.toarray()
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"`{name}` must be 1-dimensional; got shape {array.shape}.")
    if array.shape[0] != size:
        raise ValueError(
            f"`{name}` must have one entry for each of the {size} rows of `{matrix}`; got {array.shape[0]} entries."
        )
    vector = native_float(array, name).astype(np.float64)
    where = first_nonfinite(vector)
    if where is not None:
        raise_nonfinite(name, where, vector[where])
    return np.ascontiguousarray(vector)
