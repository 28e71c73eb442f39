"""Answers from a sample of the matrix, with a certificate.

Quantum-inspired (dequantized) algorithms: low-rank approximation, regression and recommendation by drawing rows in
proportion to their squared norms, each answer with its error and its cost, beside exact, randomized and simulated
quantum referees. Names load when first used; importing the package compiles nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qinspired import baselines, datasets, exceptions, metrics, problems, reference, testing
    from qinspired.access import (
        AliasTable,
        CountingMatrix,
        DynamicMatrix,
        DynamicSampler,
        ImplicitMatrix,
        IndexedMatrix,
        KernelMatrix,
        NormEstimate,
        OversampledMatrix,
        RowCombination,
        RowStorage,
        SampleQueryMatrix,
        SampleQueryVector,
        ShardedMatrix,
        add,
        as_sq_matrix,
        centred,
        combine_rows,
        multiply,
        transpose,
        vstack,
    )
    from qinspired.access import open_matrix as open  # noqa: A004 - as in zarr, the verb of the pair save and open
    from qinspired.access import save_matrix as save
    from qinspired.algorithms import (
        CholeskyApproximation,
        ColumnSubset,
        Cost,
        CURDecomposition,
        ErrorEstimate,
        Estimate,
        FrequentDirections,
        ImplicitApproximation,
        ImplicitSolution,
        LeastSquaresSolution,
        LowRankApproximation,
        MatrixFunction,
        RowSubset,
        SpectralSummary,
        StreamedApproximation,
        cur,
        estimate_bilinear_form,
        estimate_inner_product,
        estimate_norm,
        estimate_trace,
        least_squares,
        low_rank,
        matrix_function,
        rp_cholesky,
        select_columns,
        select_rows,
        spectral_summary,
    )
    from qinspired.estimators import (
        SampledKernelRidge,
        SampledPCA,
        SampledRecommender,
        SampledRidge,
        SampledRidgeClassifier,
        SampledRidgeCV,
        SampledSVD,
        SublinearPerceptron,
    )

__version__ = "0.1.0.dev0"

_HOME = {
    "AliasTable": "access",
    "CountingMatrix": "access",
    "DynamicMatrix": "access",
    "DynamicSampler": "access",
    "ImplicitMatrix": "access",
    "IndexedMatrix": "access",
    "KernelMatrix": "access",
    "NormEstimate": "access",
    "OversampledMatrix": "access",
    "RowCombination": "access",
    "RowStorage": "access",
    "SampleQueryMatrix": "access",
    "SampleQueryVector": "access",
    "ShardedMatrix": "access",
    "add": "access",
    "as_sq_matrix": "access",
    "centred": "access",
    "combine_rows": "access",
    "multiply": "access",
    "open": "access",
    "save": "access",
    "transpose": "access",
    "vstack": "access",
    "CholeskyApproximation": "algorithms",
    "CURDecomposition": "algorithms",
    "ColumnSubset": "algorithms",
    "Cost": "algorithms",
    "ErrorEstimate": "algorithms",
    "Estimate": "algorithms",
    "FrequentDirections": "algorithms",
    "ImplicitApproximation": "algorithms",
    "ImplicitSolution": "algorithms",
    "LeastSquaresSolution": "algorithms",
    "LowRankApproximation": "algorithms",
    "MatrixFunction": "algorithms",
    "RowSubset": "algorithms",
    "SpectralSummary": "algorithms",
    "StreamedApproximation": "algorithms",
    "cur": "algorithms",
    "estimate_bilinear_form": "algorithms",
    "estimate_inner_product": "algorithms",
    "estimate_norm": "algorithms",
    "estimate_trace": "algorithms",
    "least_squares": "algorithms",
    "low_rank": "algorithms",
    "matrix_function": "algorithms",
    "rp_cholesky": "algorithms",
    "select_columns": "algorithms",
    "select_rows": "algorithms",
    "spectral_summary": "algorithms",
    "SampledKernelRidge": "estimators",
    "SampledPCA": "estimators",
    "SampledRecommender": "estimators",
    "SampledRidge": "estimators",
    "SampledRidgeCV": "estimators",
    "SampledRidgeClassifier": "estimators",
    "SampledSVD": "estimators",
    "SublinearPerceptron": "estimators",
}
# Public names that would hide a builtin in the module that makes them.
_MADE_AS = {"open": "open_matrix", "save": "save_matrix"}
_MODULES = ("baselines", "datasets", "exceptions", "metrics", "problems", "reference", "testing")

__all__ = [
    "AliasTable",
    "CURDecomposition",
    "CholeskyApproximation",
    "ColumnSubset",
    "Cost",
    "CountingMatrix",
    "DynamicMatrix",
    "DynamicSampler",
    "ErrorEstimate",
    "Estimate",
    "FrequentDirections",
    "ImplicitApproximation",
    "ImplicitMatrix",
    "ImplicitSolution",
    "IndexedMatrix",
    "KernelMatrix",
    "LeastSquaresSolution",
    "LowRankApproximation",
    "MatrixFunction",
    "NormEstimate",
    "OversampledMatrix",
    "RowCombination",
    "RowStorage",
    "RowSubset",
    "SampleQueryMatrix",
    "SampleQueryVector",
    "SampledKernelRidge",
    "SampledPCA",
    "SampledRecommender",
    "SampledRidge",
    "SampledRidgeCV",
    "SampledRidgeClassifier",
    "SampledSVD",
    "ShardedMatrix",
    "SpectralSummary",
    "StreamedApproximation",
    "SublinearPerceptron",
    "add",
    "as_sq_matrix",
    "baselines",
    "centred",
    "combine_rows",
    "cur",
    "datasets",
    "estimate_bilinear_form",
    "estimate_inner_product",
    "estimate_norm",
    "estimate_trace",
    "exceptions",
    "least_squares",
    "low_rank",
    "matrix_function",
    "metrics",
    "multiply",
    "open",
    "problems",
    "reference",
    "rp_cholesky",
    "save",
    "select_columns",
    "select_rows",
    "spectral_summary",
    "testing",
    "transpose",
    "vstack",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"qinspired.{_HOME[name]}"), _MADE_AS.get(name, name))
    elif name in _MODULES:
        value = importlib.import_module(f"qinspired.{name}")
    else:
        raise AttributeError(f"module 'qinspired' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
