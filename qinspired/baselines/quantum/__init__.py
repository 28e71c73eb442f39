"""Quantum solvers, simulated exactly in the eigenbasis or the singular basis of the matrix."""

from __future__ import annotations

from qinspired.baselines.quantum._hhl import hhl
from qinspired.baselines.quantum._result import FilterCurve, HHLResult

__all__ = ["FilterCurve", "HHLResult", "hhl"]
