"""Data frames of pandas and polars as arrays of numbers, without importing either."""

from __future__ import annotations

from typing import Any

import numpy as np

from qinspired._exact import loses_digits, warn_of_lost_digits

__all__ = ["array_of_frame", "is_frame"]


def is_frame(X: Any) -> bool:
    """Whether this is a data frame: it has named columns, each with a type."""
    return all(hasattr(X, name) for name in ("columns", "dtypes", "shape", "to_numpy"))


def array_of_frame(X: Any, name: str) -> np.ndarray[Any, Any]:
    """Return the values of a frame of numbers; one whose columns are of one numpy type is not copied.

    A column of another kind is refused by its name, and a missing value, which an array cannot hold, by its row too.
    """
    dtypes = list(X.dtypes)
    if len(set(dtypes)) == 1 and isinstance(dtypes[0], np.dtype) and dtypes[0].kind in "iufb":
        values: np.ndarray[Any, Any] = X.to_numpy()
        return values
    columns = [_column(X, place, str(label), name) for place, label in enumerate(X.columns)]
    if not columns:
        return np.empty(X.shape)
    kinds = {column.dtype for column in columns}
    if len(kinds) == 1 and hasattr(X, "to_series") and not hasattr(X, "iloc"):
        values = X.to_numpy()  # polars hands out its own memory where it can
        if values.dtype in kinds:
            return values
    # In Fortran order, so that each column is one contiguous copy.
    out = np.empty((X.shape[0], len(columns)), dtype=np.result_type(*kinds), order="F")
    for place, column in enumerate(columns):
        out[:, place] = column
        if out.dtype.kind == "f" and loses_digits(column):
            warn_of_lost_digits(column.dtype, name, stacklevel=4)
    return out


def _column(X: Any, place: int, label: str, name: str) -> np.ndarray[Any, Any]:
    series = X.iloc[:, place] if hasattr(X, "iloc") else X.to_series(place)
    if not isinstance(series.dtype, np.dtype):
        missing = np.asarray(series.isna() if hasattr(series, "isna") else series.is_null(), dtype=bool)
        if missing.any() and _is_numeric(series.dtype):
            raise ValueError(
                f"`{name}` must have no missing values; row {int(np.argmax(missing))} of column {label!r} has none. "
                "Impute or drop it."
            )
    if not _is_numeric(series.dtype):
        raise TypeError(
            f"`{name}` must have numeric columns; column {label!r} has type {series.dtype}. Encode it as numbers or "
            "drop it."
        )
    values = series.to_numpy()
    if values.dtype.kind == "O":  # objects, decimals, and nullable types of old versions
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"`{name}` must have numeric columns; column {label!r} holds objects that are no numbers ({error}). "
                "Encode it as numbers or drop it."
            ) from error
    found: np.ndarray[Any, Any] = values
    return found


def _is_numeric(dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):  # polars
        return bool(dtype.is_numeric()) or str(dtype) == "Boolean"
    if hasattr(dtype, "categories"):
        return False
    return dtype.kind in "iufbO" and str(dtype) not in ("str", "string", "category")
