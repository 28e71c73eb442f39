"""Exact, randomized, iterative and quantum baselines: the referees, which use nothing of the samplers."""

from __future__ import annotations

from qinspired.baselines._least_squares import exact_least_squares, lsmr, lsqr, normal_equations, ridge
from qinspired.baselines._results import LeastSquaresResult, SVDResult
from qinspired.baselines._svd import exact_svd, fbpca, randomized_svd, svds, truncated_svd
from qinspired.baselines.quantum import (
    CostLine,
    FilterCurve,
    HHLResult,
    QuantumCosts,
    ReadOut,
    ReadOutLine,
    ShotEstimate,
    hhl,
    hhl_gates,
    min_clock_qubits,
    min_degree,
    qsvt,
    quantum_costs,
)

__all__ = [
    "CostLine",
    "FilterCurve",
    "HHLResult",
    "LeastSquaresResult",
    "QuantumCosts",
    "ReadOut",
    "ReadOutLine",
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
    "quantum_costs",
    "randomized_svd",
    "ridge",
    "svds",
    "truncated_svd",
]
