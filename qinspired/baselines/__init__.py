"""Exact, randomized, iterative and quantum baselines: the referees, which use nothing of the samplers."""

from __future__ import annotations

from qinspired.baselines._least_squares import exact_least_squares, lsmr, lsqr, normal_equations, ridge
from qinspired.baselines._results import LeastSquaresResult, SVDResult
from qinspired.baselines._svd import exact_svd, fbpca, randomized_svd, svds, truncated_svd
from qinspired.baselines.quantum import (
    FilterCurve,
    HHLResult,
    ReadOut,
    ShotEstimate,
    hhl,
    hhl_gates,
    min_clock_qubits,
    min_degree,
    qsvt,
)

__all__ = [
    "FilterCurve",
    "HHLResult",
    "LeastSquaresResult",
    "ReadOut",
    "SVDResult",
    "ShotEstimate",
    "exact_least_squares",
    "exact_svd",
    "fbpca",
    "hhl",
    "hhl_gates",
    "lsmr",
    "lsqr",
    "min_clock_qubits",
    "min_degree",
    "normal_equations",
    "qsvt",
    "randomized_svd",
    "ridge",
    "svds",
    "truncated_svd",
]
