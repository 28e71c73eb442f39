"""Conformance checks for storages and samplers: plain functions, with or without a test framework."""

from __future__ import annotations

from qinspired.testing._matrices import sample_matrices
from qinspired.testing._oversampled import check_oversampled
from qinspired.testing._rules import ConformanceError
from qinspired.testing._samplers import check_sampler, check_updatable_sampler
from qinspired.testing._sq_matrix import check_sq_matrix
from qinspired.testing._updates import check_updatable_matrix

__all__ = [
    "ConformanceError",
    "check_oversampled",
    "check_sampler",
    "check_sq_matrix",
    "check_updatable_matrix",
    "check_updatable_sampler",
    "sample_matrices",
]
