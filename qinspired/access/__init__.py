"""Matrices with sample-and-query access."""

from __future__ import annotations

from qinspired.access._combination import RowCombination
from qinspired.access._convert import as_sq_matrix, as_unindexed, has_access
from qinspired.access._counting import AccessCounts, CountingMatrix
from qinspired.access._forwarding import ForwardingMatrix, PinnedMatrix, base_of
from qinspired.access._implicit import ImplicitMatrix
from qinspired.access._kernel_matrix import KernelMatrix
from qinspired.access._protocol import SampleQueryMatrix
from qinspired.access._row_reader import RowReader
from qinspired.access._row_storage import RowStorage
from qinspired.access._sampler import AliasTable
from qinspired.access._sharded import ShardedMatrix, vstack
from qinspired.access._stored import CSRMatrix, DenseMatrix
from qinspired.access._vector import OversampledVector, SampleQueryVector, as_oversampled_vector
from qinspired.access.derived._centred import CentredMatrix, centred
from qinspired.access.derived._indexed import IndexedMatrix
from qinspired.access.derived._oversampled import NormEstimate, OversampledMatrix
from qinspired.access.derived._products import CombinedRows, ProductMatrix, combine_rows, multiply
from qinspired.access.derived._sums import SumMatrix, add
from qinspired.access.derived._transposed import TransposedMatrix, transpose
from qinspired.access.dynamic._matrix import DynamicMatrix
from qinspired.access.dynamic._sampler import DynamicSampler
from qinspired.access.saved._reading import SavedCSRMatrix, SavedDenseMatrix, open_matrix
from qinspired.access.saved._writing import save_matrix

__all__ = [
    "AccessCounts",
    "AliasTable",
    "CSRMatrix",
    "CentredMatrix",
    "CombinedRows",
    "CountingMatrix",
    "DenseMatrix",
    "DynamicMatrix",
    "DynamicSampler",
    "ForwardingMatrix",
    "ImplicitMatrix",
    "IndexedMatrix",
    "KernelMatrix",
    "NormEstimate",
    "OversampledMatrix",
    "OversampledVector",
    "PinnedMatrix",
    "ProductMatrix",
    "RowCombination",
    "RowReader",
    "RowStorage",
    "SampleQueryMatrix",
    "SampleQueryVector",
    "SavedCSRMatrix",
    "SavedDenseMatrix",
    "ShardedMatrix",
    "SumMatrix",
    "TransposedMatrix",
    "add",
    "as_oversampled_vector",
    "as_sq_matrix",
    "as_unindexed",
    "base_of",
    "centred",
    "combine_rows",
    "has_access",
    "multiply",
    "open_matrix",
    "save_matrix",
    "transpose",
    "vstack",
]
