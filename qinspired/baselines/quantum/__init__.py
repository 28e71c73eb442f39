"""Quantum solvers, simulated in the eigenbasis or the singular basis of the matrix, or gate by gate."""

from __future__ import annotations

from qinspired.baselines.quantum._hhl import hhl
from qinspired.baselines.quantum._hhl_gates import hhl_gates
from qinspired.baselines.quantum._result import FilterCurve, HHLResult, ShotEstimate
from qinspired.baselines.quantum._search import min_clock_qubits

__all__ = ["FilterCurve", "HHLResult", "ShotEstimate", "hhl", "hhl_gates", "min_clock_qubits"]
