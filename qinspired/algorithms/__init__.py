"""The practical algorithms: the fastest known way to an answer of stated accuracy, certified."""

from __future__ import annotations

from qinspired.algorithms._approximation import LowRankApproximation
from qinspired.algorithms._least_squares import least_squares
from qinspired.algorithms._low_rank import low_rank
from qinspired.algorithms._results import Cost, ErrorEstimate
from qinspired.algorithms._solution import LeastSquaresSolution

__all__ = [
    "Cost",
    "ErrorEstimate",
    "LeastSquaresSolution",
    "LowRankApproximation",
    "least_squares",
    "low_rank",
]
