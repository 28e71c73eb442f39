"""Entries to be set, as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["flat_entries"]


def flat_entries(rows: Any, cols: Any, values: Any) -> tuple[Any, Any, Any]:
    """Return arrays of indices and values, broadcast to one shape, as new vectors."""
    try:
        grids = np.broadcast_arrays(rows, cols, values)
    except ValueError:
        raise ValueError(
            f"`rows`, `cols` and `values` must broadcast to one shape; got shapes {rows.shape}, {cols.shape} and "
            f"{values.shape}."
        ) from None
    at_rows, at_cols, wanted = (grid.flatten() for grid in grids)
    return at_rows, at_cols, wanted
