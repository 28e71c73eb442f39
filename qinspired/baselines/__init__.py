"""Exact, randomized, iterative and quantum baselines: the referees, which use nothing of the samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    quantum_kernel,
)

if TYPE_CHECKING:
    from qinspired.baselines.quantum._surrogate import FourierSurrogateClassifier, FourierSurrogateRegressor
    from qinspired.baselines.quantum._variational import VariationalClassifier

__all__ = [
    "CostLine",
    "FilterCurve",
    "FourierSurrogateClassifier",
    "FourierSurrogateRegressor",
    "HHLResult",
    "LeastSquaresResult",
    "QuantumCosts",
    "ReadOut",
    "ReadOutLine",
    "SVDResult",
    "ShotEstimate",
    "VariationalClassifier",
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
    "quantum_kernel",
    "randomized_svd",
    "ridge",
    "svds",
    "truncated_svd",
]

# Estimators, which import scikit-learn: loaded when first used.
_ESTIMATORS = {
    "FourierSurrogateClassifier": "_surrogate",
    "FourierSurrogateRegressor": "_surrogate",
    "VariationalClassifier": "_variational",
}


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"qinspired.baselines.quantum.{_ESTIMATORS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
