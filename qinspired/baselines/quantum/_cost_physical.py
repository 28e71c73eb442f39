"""Physical qubits of the surface code, from the resource estimator of the qdk package."""

from __future__ import annotations

from math import ceil
from typing import Any

__all__ = ["physical_estimate"]

# The estimator holds nanoseconds in 64 bits: 1e16 gates of 60 microseconds came back as 1.5e10 seconds.
_MOST_GATES = 10**14


def physical_estimate(toffoli: float, logical_qubits: int, hardware: str) -> tuple[int, float] | None:
    """Return physical qubits and seconds of one circuit; None beyond what the estimator can hold.

    Every Toffoli gate is a CCZ state and a measurement; one circuit in a hundred may fail.
    """
    try:
        from qdk.estimator import EstimatorError, LogicalCounts
    except ImportError as error:
        raise ImportError(
            'physical qubits need qdk, which is not installed; run `pip install "qinspired[resources]"`.'
        ) from error
    gates = max(1, ceil(toffoli))
    if gates > _MOST_GATES:
        return None
    counts = LogicalCounts({"numQubits": logical_qubits, "cczCount": gates, "measurementCount": gates})
    try:
        found: Any = counts.estimate({"qubitParams": {"name": hardware}, "errorBudget": 0.01})
    except EstimatorError:
        return None
    physical = found["physicalCounts"]
    return int(physical["physicalQubits"]), float(physical["runtime"]) * 1e-9
