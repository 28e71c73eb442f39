"""Quantum solvers, simulated exactly in the eigenbasis or the singular basis of the matrix."""

from __future__ import annotations

from qinspired.baselines.quantum._hhl import hhl
from qinspired.baselines.quantum._result import FilterCurve, HHLResult, ShotEstimate
from qinspired.baselines.quantum._search import min_clock_qubits

__all__ = ["FilterCurve", "HHLResult", "ShotEstimate", "hhl", "min_clock_qubits"]
