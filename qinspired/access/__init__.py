"""Matrices with sample-and-query access."""

from __future__ import annotations

from qinspired.access._combination import RowCombination
from qinspired.access._counting import AccessCounts, CountingMatrix
from qinspired.access._protocol import SampleQueryMatrix
from qinspired.access._sampler import AliasTable
from qinspired.access._stored import CSRMatrix, DenseMatrix, as_sq_matrix

__all__ = [
    "AccessCounts",
    "AliasTable",
    "CSRMatrix",
    "CountingMatrix",
    "DenseMatrix",
    "RowCombination",
    "SampleQueryMatrix",
    "as_sq_matrix",
]
