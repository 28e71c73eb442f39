"""The practical algorithms: the fastest known way to an answer of stated accuracy, certified."""

from __future__ import annotations

from qinspired.algorithms._estimates import (
    estimate_bilinear_form,
    estimate_inner_product,
    estimate_norm,
    estimate_trace,
)
from qinspired.algorithms._results import Cost, ErrorEstimate
from qinspired.algorithms._sum_estimate import Estimate
from qinspired.algorithms.approximation._approximation import LowRankApproximation
from qinspired.algorithms.approximation._implicit_approximation import ImplicitApproximation
from qinspired.algorithms.approximation._low_rank import low_rank
from qinspired.algorithms.cholesky._result import CholeskyApproximation
from qinspired.algorithms.cholesky._rp_cholesky import rp_cholesky
from qinspired.algorithms.functions._matrix_function import matrix_function
from qinspired.algorithms.functions._result import MatrixFunction
from qinspired.algorithms.regression._implicit_solution import ImplicitSolution
from qinspired.algorithms.regression._least_squares import least_squares
from qinspired.algorithms.regression._solution import LeastSquaresSolution
from qinspired.algorithms.selection._columns import ColumnSubset, select_columns
from qinspired.algorithms.selection._cur import CURDecomposition, cur
from qinspired.algorithms.selection._rows import RowSubset, select_rows
from qinspired.algorithms.spectrum._summary import SpectralSummary, spectral_summary
from qinspired.algorithms.streams._frequent_directions import FrequentDirections
from qinspired.algorithms.streams._result import StreamedApproximation

__all__ = [
    "CURDecomposition",
    "CholeskyApproximation",
    "ColumnSubset",
    "Cost",
    "ErrorEstimate",
    "Estimate",
    "FrequentDirections",
    "ImplicitApproximation",
    "ImplicitSolution",
    "LeastSquaresSolution",
    "LowRankApproximation",
    "MatrixFunction",
    "RowSubset",
    "SpectralSummary",
    "StreamedApproximation",
    "cur",
    "estimate_bilinear_form",
    "estimate_inner_product",
    "estimate_norm",
    "estimate_trace",
    "least_squares",
    "low_rank",
    "matrix_function",
    "rp_cholesky",
    "select_columns",
    "select_rows",
    "spectral_summary",
]
