"""What a simulated run of the HHL algorithm returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["FilterCurve", "HHLResult", "amplification"]


@dataclass(frozen=True, slots=True)
class FilterCurve:
    """The filter that the circuit applied, beside the one that was wanted.

    Attributes
    ----------
    values : ndarray of float64, shape (r,)
        Eigenvalues or singular values of A, zeros included.
    applied : ndarray of float64, shape (r,)
        h(value)/C, in the units of `target`.
    target : ndarray of float64, shape (r,)
        1/value, value/(value^2 + ridge), or the 0/1 threshold; 0 at the value 0.
    """

    values: Float64Array
    applied: Float64Array
    target: Float64Array


@dataclass(frozen=True, slots=True)
class HHLResult:
    """Exact output of an HHL circuit, and its costs.

    Attributes
    ----------
    state : ndarray of float64 or complex128, shape (n,)
        Unit vector left in the system register when the ancilla is 1 and the clock 0.
    x : ndarray of float64 or complex128, shape (n,)
        `norm` times `state`: the estimated solution.
    norm : float
        |b| sqrt(p)/C, the estimate of |x| from the success probability p (of the post-selection asked for).
    success_probability : float
        Probability of ancilla 1 and clock 0.
    success_probability_ancilla : float
        Probability of ancilla 1, whatever the clock holds; the system is then in a mixed state.
    fidelity : float
        |<x*, state>|^2/|x*|^2 against the exact answer x*.
    fidelity_mixed : float
        The same for the mixed state left when only the ancilla is measured.
    l2_error : float
        |state - e^(i phase) x*/|x*|| minimised over the phase; it also counts signs.
    filter_curve : FilterCurve
        The filter applied to each eigenvalue or singular value.
    n_queries : int
        Uses of exp(i A t0) in one run of the circuit, 2 (2^t - 1).
    n_qubits : int
        System, clock and ancilla qubits.
    amplification_rounds : int
        Rounds m of amplitude amplification, floor(pi/(4 theta)); 0 where plain repetition costs no more.
    expected_runs : float
        Expected runs of the circuit for one success, min(1/p, (2m+1)/sin^2((2m+1) theta)), theta = arcsin
        sqrt(p).
    evolution_time : float
        t0, in units of the inverse of A's.
    C : float
        Constant of the eigenvalue rotation, in the units of A for the inverse.
    parameters : Mapping
        Every parameter as used, also the automatic ones.
    warnings : tuple of str
        What makes the result less than it could be: aliasing, too few clock qubits, a low success
        probability.
    simulation_seconds : float
        Time of the simulation on this computer. It is not the time of a quantum computer.
    """

    state: npt.NDArray[Any]
    x: npt.NDArray[Any]
    norm: float
    success_probability: float
    success_probability_ancilla: float
    fidelity: float
    fidelity_mixed: float
    l2_error: float
    filter_curve: FilterCurve
    n_queries: int
    n_qubits: int
    amplification_rounds: int
    expected_runs: float
    evolution_time: float
    C: float
    parameters: Mapping[str, Any]
    warnings: tuple[str, ...]
    simulation_seconds: float


def amplification(probability: float) -> tuple[int, float]:
    """Return the rounds of amplitude amplification and the expected circuit runs for one success."""
    theta = float(np.arcsin(np.sqrt(min(1.0, probability))))
    rounds = int(np.pi / (4.0 * theta))
    turns = 2 * rounds + 1
    amplified = turns / float(np.sin(turns * theta)) ** 2
    plain = 1.0 / probability
    return (rounds, amplified) if rounds and amplified < plain else (0, plain)
