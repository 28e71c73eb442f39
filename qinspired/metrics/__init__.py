"""Exact error measures of low-rank approximations, solutions and recommendations; conditions of quantum kernels."""

from __future__ import annotations

from qinspired.metrics._low_rank import excess_error, optimal_error, projection_error, subspace_angle
from qinspired.metrics._quantum_kernels import (
    KernelConcentration,
    geometric_difference,
    kernel_concentration,
    kernel_error_bound,
    model_complexity,
)
from qinspired.metrics._ranking import RankingScores, ndcg_at_k, precision_at_k, ranking_scores, recall_at_k
from qinspired.metrics._regression import prediction_error, residual_error

__all__ = [
    "KernelConcentration",
    "RankingScores",
    "excess_error",
    "geometric_difference",
    "kernel_concentration",
    "kernel_error_bound",
    "model_complexity",
    "ndcg_at_k",
    "optimal_error",
    "precision_at_k",
    "prediction_error",
    "projection_error",
    "ranking_scores",
    "recall_at_k",
    "residual_error",
    "subspace_angle",
]
