"""Quantum solvers, simulated in the eigenbasis or the singular basis of the matrix or gate by gate, and their costs."""

from __future__ import annotations

from qinspired.baselines.quantum._cost_result import CostLine, QuantumCosts, ReadOutLine
from qinspired.baselines.quantum._costs import quantum_costs
from qinspired.baselines.quantum._hhl import hhl
from qinspired.baselines.quantum._hhl_gates import hhl_gates
from qinspired.baselines.quantum._kernels import quantum_kernel
from qinspired.baselines.quantum._qsvt import min_degree, qsvt
from qinspired.baselines.quantum._read_out import ReadOut
from qinspired.baselines.quantum._result import FilterCurve, HHLResult
from qinspired.baselines.quantum._search import min_clock_qubits
from qinspired.baselines.quantum._shots import ShotEstimate

__all__ = [
    "CostLine",
    "FilterCurve",
    "HHLResult",
    "QuantumCosts",
    "ReadOut",
    "ReadOutLine",
    "ShotEstimate",
    "hhl",
    "hhl_gates",
    "min_clock_qubits",
    "min_degree",
    "qsvt",
    "quantum_costs",
    "quantum_kernel",
]
