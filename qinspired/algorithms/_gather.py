"""Whole rows of a matrix, as they are or scaled to unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import CountingMatrix

__all__ = ["gather_rows", "squares_are_safe", "unit_rows"]

# Rows are used as they are, with weights 1 / |a|^2, unless the squares of their entries leave what the type holds.
_PLAIN_NORMS = {"f4": (1e-12, 1e12), "f8": (1e-120, 1e120)}


def squares_are_safe(norms: Float64Array, dtype: np.dtype[Any]) -> bool:
    """Say whether rows of these norms may be squared and summed as they are."""
    low, high = _PLAIN_NORMS[dtype.str[1:]]
    return len(norms) == 0 or bool(low <= float(norms.min()) and float(norms.max()) <= high)


def gather_rows(A: CountingMatrix, rows: IntArray) -> tuple[FloatArray | sp.csr_array[Any], Float64Array]:
    """Return whole rows and their norms; as unit rows, with norms 1, where their squares could leave the type."""
    block, norms = A.rows(rows), A.row_norms(rows)
    if squares_are_safe(norms, A.dtype):
        return block, norms
    return unit_rows(block, norms), np.ones_like(norms)


def unit_rows(block: FloatArray | sp.csr_array[Any], norms: Float64Array) -> FloatArray | sp.csr_array[Any]:
    """Divide each row by its norm, in two steps so that neither 1 / norm nor the product leaves the range."""
    exponents = np.frexp(norms)[1]
    mantissas = np.ldexp(norms, -exponents)
    if isinstance(block, np.ndarray):
        return np.ldexp(block, -exponents[:, None]) / mantissas[:, None].astype(block.dtype)
    scaled = block.copy()
    per_entry = np.repeat(np.arange(len(norms)), np.diff(block.indptr))
    scaled.data = np.ldexp(scaled.data, -exponents[per_entry]) / mantissas[per_entry].astype(block.dtype)
    return scaled
