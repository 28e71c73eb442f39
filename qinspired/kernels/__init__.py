"""Compiled kernels: no input or output, no validation, no classes."""

from __future__ import annotations

from qinspired.kernels._alias import build_alias_table, draw_from_alias_table
from qinspired.kernels._columns import csr_sample_cols, dense_sample_cols
from qinspired.kernels._kaczmarz import (
    csr_kaczmarz,
    csr_kaczmarz_chains,
    dense_kaczmarz,
    dense_kaczmarz_chains,
)
from qinspired.kernels._leverage import sample_projected
from qinspired.kernels._rows import csr_gather_rows, csr_row_norms, dense_gather_rows, dense_row_norms

__all__ = [
    "build_alias_table",
    "csr_gather_rows",
    "csr_kaczmarz",
    "csr_kaczmarz_chains",
    "csr_row_norms",
    "csr_sample_cols",
    "dense_gather_rows",
    "dense_kaczmarz",
    "dense_kaczmarz_chains",
    "dense_row_norms",
    "dense_sample_cols",
    "draw_from_alias_table",
    "sample_projected",
]
