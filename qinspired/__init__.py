"""Answers from a sample of the matrix, with a certificate.

Quantum-inspired (dequantized) algorithms: low-rank approximation, regression and recommendation by drawing rows in
proportion to their squared norms, each answer with its error and its cost, beside exact, randomized and simulated
quantum referees. Names load when first used; importing the package compiles nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qinspired import baselines, datasets, exceptions, metrics, problems, reference
    from qinspired.access import AliasTable, CountingMatrix, RowCombination, SampleQueryMatrix, as_sq_matrix
    from qinspired.algorithms import (
        Cost,
        ErrorEstimate,
        LeastSquaresSolution,
        LowRankApproximation,
        least_squares,
        low_rank,
    )
    from qinspired.estimators import SampledRecommender, SampledRidge, SampledSVD

__version__ = "0.1.0.dev0"

_HOME = {
    "AliasTable": "access",
    "CountingMatrix": "access",
    "RowCombination": "access",
    "SampleQueryMatrix": "access",
    "as_sq_matrix": "access",
    "Cost": "algorithms",
    "ErrorEstimate": "algorithms",
    "LeastSquaresSolution": "algorithms",
    "LowRankApproximation": "algorithms",
    "least_squares": "algorithms",
    "low_rank": "algorithms",
    "SampledRecommender": "estimators",
    "SampledRidge": "estimators",
    "SampledSVD": "estimators",
}
_MODULES = ("baselines", "datasets", "exceptions", "metrics", "problems", "reference")

__all__ = [
    "AliasTable",
    "Cost",
    "CountingMatrix",
    "ErrorEstimate",
    "LeastSquaresSolution",
    "LowRankApproximation",
    "RowCombination",
    "SampleQueryMatrix",
    "SampledRecommender",
    "SampledRidge",
    "SampledSVD",
    "as_sq_matrix",
    "baselines",
    "datasets",
    "exceptions",
    "least_squares",
    "low_rank",
    "metrics",
    "problems",
    "reference",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"qinspired.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"qinspired.{name}")
    else:
        raise AttributeError(f"module 'qinspired' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
