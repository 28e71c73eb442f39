"""The practical algorithms: the fastest known way to an answer of stated accuracy, certified."""

from __future__ import annotations

from qinspired.algorithms.approximation._approximation import LowRankApproximation
from qinspired.algorithms._estimates import (
    estimate_bilinear_form,
    estimate_inner_product,
    estimate_norm,
    estimate_trace,
)
from qinspired.algorithms.approximation._implicit_approximation import ImplicitApproximation
from qinspired.algorithms._least_squares import least_squares
from qinspired.algorithms.approximation._low_rank import low_rank
from qinspired.algorithms._results import Cost, ErrorEstimate
from qinspired.algorithms._solution import LeastSquaresSolution
from qinspired.algorithms._sum_estimate import Estimate

__all__ = [
    "Cost",
    "ErrorEstimate",
    "Estimate",
    "ImplicitApproximation",
    "LeastSquaresSolution",
    "LowRankApproximation",
    "estimate_bilinear_form",
    "estimate_inner_product",
    "estimate_norm",
    "estimate_trace",
    "least_squares",
    "low_rank",
]
