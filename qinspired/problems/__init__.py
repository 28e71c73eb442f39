"""Generated matrices, linear systems and ratings whose answers are known by construction."""

from __future__ import annotations

from qinspired.problems._linear_system import LinearSystem, linear_system, linear_system_cell
from qinspired.problems._low_rank import LowRankProblem, low_rank_matrix
from qinspired.problems._quantum_labels import DiscreteLogProblem, discrete_log, engineered_labels
from qinspired.problems._ratings import RatingsProblem, ratings
from qinspired.problems._spectra import singular_spectrum
from qinspired.problems._virtual import VirtualLowRankProblem, virtual_low_rank_matrix

__all__ = [
    "DiscreteLogProblem",
    "LinearSystem",
    "LowRankProblem",
    "RatingsProblem",
    "VirtualLowRankProblem",
    "discrete_log",
    "engineered_labels",
    "linear_system",
    "linear_system_cell",
    "low_rank_matrix",
    "ratings",
    "singular_spectrum",
    "virtual_low_rank_matrix",
]
