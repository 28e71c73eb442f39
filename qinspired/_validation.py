"""Checks of arguments at the public boundary. Every message names the argument, the rule and the remedy."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from qinspired._exact import loses_digits, warn_of_lost_digits
from qinspired._frames import array_of_frame, is_frame

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = [
    "CSRParts",
    "check_array",
    "check_count",
    "check_csr",
    "check_dense",
    "check_entries",
    "check_exponent",
    "check_factor",
    "check_finite_dense",
    "check_fraction",
    "check_indices",
    "check_matrix",
    "check_nonnegative",
    "check_positive",
    "check_rank",
    "check_vector",
    "csr_parts",
    "first_nonfinite",
    "float_type",
    "native_float",
    "raise_bad_index",
    "raise_nonfinite",
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


def check_exponent(value: Any) -> int:
    """Return the power, 1 or 2, of the sizes by which draws are made."""
    if isinstance(value, bool | np.bool_ | np.ndarray) or value not in (1, 2):
        raise ValueError(f"`exponent` must be 1 (draws by size) or 2 (by squared size); got {value!r}.")
    return int(value)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return np.inf


def check_fraction(value: Any, name: str, *, closed_high: bool = False) -> float:
    """Return a number in (0, 1), or in (0, 1] if `closed_high`."""
    interval = "(0, 1]" if closed_high else "(0, 1)"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a number in {interval}; got {value!r} of type {type(value).__name__}.")
    if not (0 < _as_float(value) < 1 or (closed_high and value == 1)):
        raise ValueError(f"`{name}` must be in {interval}; got {value}.")
    return float(value)


def check_nonnegative(value: Any, name: str) -> float:
    """Return a finite number >= 0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a finite number >= 0; got {value!r} of type {type(value).__name__}.")
    if not 0 <= _as_float(value) < np.inf:
        raise ValueError(f"`{name}` must be a finite number >= 0; got {value}.")
    return float(value)


def check_positive(value: Any, name: str) -> float:
    """Return a finite number > 0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a finite number > 0; got {value!r} of type {type(value).__name__}.")
    if not 0.0 < _as_float(value) < np.inf:
        raise ValueError(f"`{name}` must be a finite number > 0; got {value}.")
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


def check_entries(rows: Any, cols: Any, shape: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Return the indices of entries, of any shapes that broadcast; a single one is an array of no dimension."""
    row_index = check_indices(rows, shape[0], "rows", ndim=None)
    col_index = check_indices(cols, shape[1], "cols", ndim=None)
    try:
        np.broadcast_shapes(row_index.shape, col_index.shape)
    except ValueError:
        raise ValueError(
            f"`rows` and `cols` must have shapes that numpy broadcasts; got {row_index.shape} and {col_index.shape}."
        ) from None
    return row_index, col_index


def check_factor(values: Any, size: int, name: str, lines: str) -> FloatArray:
    """Return an array to multiply a matrix by, with one row for each of its `size` `lines`, rows or columns."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.ndim not in (1, 2) or array.shape[0] != size:
        raise ValueError(
            f"`{name}` must be a vector or an array with one row for each of the {size} {lines} of the matrix; got "
            f"shape {array.shape}."
        )
    return array


def first_nonfinite(array: FloatArray) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity in C order, or None."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))


def _check_numeric(array: np.ndarray[Any, Any], name: str) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must not be a masked array; fill or drop the masked entries first.")
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(f"`{name}` must be real; got complex dtype {array.dtype}. Solve for its real form instead.")
    if kind in "mM":
        raise TypeError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert times to numbers first.")
    if kind not in "fiubO":
        raise ValueError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert it with `.astype(float)`.")


def float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the native float type in which numbers of a type are read: float32 for float16, else float64."""
    return np.dtype(np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64)


def _objects_as_float(array: np.ndarray[Any, Any], name: str) -> Float64Array:
    try:
        return array.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be numeric; an array of dtype object could not be converted to float ({error})."
        ) from error


def native_float(array: np.ndarray[Any, Any], name: str) -> FloatArray:
    """Convert to native float32 or float64 (float16 to float32, all other numbers to float64)."""
    _check_numeric(array, name)
    if array.dtype.kind == "O":
        return _objects_as_float(array, name)
    if loses_digits(array):
        warn_of_lost_digits(array.dtype, name, stacklevel=3)
    with np.errstate(over="ignore"):  # a long double may become an infinity, which is told by its place
        return array.astype(float_type(array.dtype), copy=False)


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 2:
        remedy = " Reshape a single row with `.reshape(1, -1)` or a single column with `.reshape(-1, 1)`."
        raise ValueError(f"`{name}` must be 2-dimensional; got shape {shape}.{remedy if len(shape) == 1 else ''}")
    if min(shape) == 0:
        raise ValueError(f"`{name}` must have at least one row and one column; got shape {shape}.")


def check_array(X: Any, name: str = "A") -> np.ndarray[Any, Any]:
    """Return a two-dimensional array of real numbers in whatever type and layout it has; no entry is looked at."""
    if isinstance(X, np.matrix):
        raise TypeError(f"`{name}` must not be a numpy.matrix; convert it with `numpy.asarray`.")
    if isinstance(X, str | bytes):
        raise TypeError(f"`{name}` must be an array or a sparse matrix; got a string. Load the file first.")
    array = X if isinstance(X, np.ndarray) else _foreign_array(X, name)
    _check_shape(array.shape, name)
    _check_numeric(array, name)
    return _objects_as_float(array, name) if array.dtype.kind == "O" else array


# What others' matrices offer, and so what to call to have one of numpy or scipy.
_REMEDIES = ("collect", "tocsr", "to_scipy_sparse")


def _foreign_array(X: Any, name: str) -> np.ndarray[Any, Any]:
    refusal = f"`{name}` must be a numpy array, a data frame or a scipy.sparse matrix; got {_type_name(X)}."
    for method in _REMEDIES:
        if callable(getattr(X, method, None)):
            raise TypeError(f"{refusal} Convert it with `.{method}()`.")
    graph = getattr(X, "__dask_graph__", None)
    if callable(graph) and graph() is not None:
        raise TypeError(f"{refusal} If it fits in memory, convert it with `.compute()`.")
    if is_frame(X):
        return array_of_frame(X, name)
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers; {error}") from error
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{refusal} It could not be converted ({error}).") from error
    if array.ndim == 0 and array.dtype.kind == "O" and X is not None:
        raise TypeError(f"{refusal} Convert it with its own method first.")
    return array


def _type_name(X: Any) -> str:
    return f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"


def check_dense(X: Any, name: str = "A") -> FloatArray:
    """Return a two-dimensional, C-contiguous array of native float32 or float64; finiteness is not checked."""
    return np.ascontiguousarray(native_float(check_array(X, name), name))


def check_finite_dense(X: Any, name: str = "A") -> FloatArray:
    """Return a finite, two-dimensional, C-contiguous array of native float32 or float64."""
    array = check_dense(X, name)
    where = first_nonfinite(array)
    if where is not None:
        raise_nonfinite(name, where, array[where])
    return array


def check_csr(X: Any, name: str = "A") -> sp.csr_array[Any]:
    """Return a canonical CSR array (sorted, duplicates summed) with checked indices; `X` is not modified."""
    parts = csr_parts(X, name)
    n_cols = parts.shape[1]
    if len(parts.indices):
        low, high = int(parts.indices.min()), int(parts.indices.max())
        if low < 0 or high >= n_cols:
            raise_bad_index(low if low < 0 else high, n_cols, "csr", name)
    data = native_float(parts.data, name)
    # scipy takes no copy of the pointers if they are of the type of the indices.
    pointers = parts.indptr.astype(parts.indices.dtype) if len(data) <= np.iinfo(np.int32).max else parts.indptr
    matrix = sp.csr_array((data, parts.indices, pointers), shape=parts.shape)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


class CSRParts(NamedTuple):
    """The arrays of a CSR matrix: data of any real type, indices int32 or int64, indptr int64, and the shape."""

    data: np.ndarray[Any, Any]
    indices: IntArray
    indptr: IntArray
    shape: tuple[int, int]


def csr_parts(X: Any, name: str = "A") -> CSRParts:
    """Return the arrays of a sparse matrix as CSR, shared with it if it is CSR already.

    The pointers are checked; of the entries nothing is: the caller checks the range and the order of the indices.
    """
    _check_shape(X.shape, name)
    if X.format in ("csc", "bsr"):
        indices = _check_compressed(X, name)[1]
        n_minor = X.shape[0] if X.format == "csc" else X.shape[1] // X.blocksize[1]
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= n_minor):
            bad = indices.min() if indices.min() < 0 else indices.max()
            raise_bad_index(bad, n_minor, X.format, name)
    matrix = X if X.format == "csr" else X.tocsr()
    data, indices, indptr = _check_compressed(matrix, name)
    _check_numeric(data, name)
    if data.dtype.kind == "O":
        data = _objects_as_float(data, name)
    n_stored = int(indptr[-1])
    return CSRParts(
        np.ascontiguousarray(data[:n_stored]),
        np.ascontiguousarray(indices[:n_stored]),
        np.ascontiguousarray(indptr, dtype=np.int64),
        (int(X.shape[0]), int(X.shape[1])),
    )


def _check_compressed(X: Any, name: str) -> tuple[np.ndarray[Any, Any], IntArray, IntArray]:
    """Check what scipy's constructors do not: a bad pointer is read silently, or ends the process in a conversion."""
    n_major = X.shape[1] if X.format == "csc" else X.shape[0]
    if X.format == "bsr":
        n_major //= X.blocksize[0]
    indptr, indices = _index_array(X.indptr, X.format, name), _index_array(X.indices, X.format, name)
    if len(indptr) != n_major + 1 or indptr[0] != 0 or indptr[-1] > len(indices) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(
            f"`{name}` must be a valid {X.format.upper()} matrix; its `indptr` must start at 0, never decrease and end "
            f"at the number of stored entries. {_REBUILD}"
        )
    if len(indices) != len(X.data):
        raise ValueError(
            f"`{name}` must be a valid {X.format.upper()} matrix; `indices` and `data` differ in length. {_REBUILD}"
        )
    return X.data, indices, indptr


_REBUILD = "Rebuild it from (row, column, value) triples."


def _index_array(values: Any, kind: str, name: str) -> Any:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(
            f"`{name}` must be a valid {kind.upper()} matrix; its `indices` and `indptr` must be vectors of integers, "
            f"got dtype {array.dtype} and shape {array.shape}. {_REBUILD}"
        )
    return array if array.dtype in (np.int32, np.int64) else array.astype(np.int64)


def raise_bad_index(index: int, size: int, kind: str, name: str) -> None:
    """Raise the error for an index of a compressed matrix that is out of range."""
    raise ValueError(
        f"`{name}` must be a valid {kind.upper()} matrix; its indices must be in [0, {size}), got {index}. {_REBUILD}"
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
    return check_finite_dense(X, name)


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
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a vector of numbers; {error}") from error
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
