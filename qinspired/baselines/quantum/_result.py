"""What a simulated run of the HHL algorithm returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

__all__ = ["FilterCurve", "HHLResult", "ShotEstimate", "amplification", "count_shots", "estimate_shots"]


@dataclass(frozen=True, slots=True)
class FilterCurve:
    """The filter that the circuit applied, beside the one that was wanted.

    Attributes
    ----------
    values : ndarray of float64, shape (r,)
        Eigenvalues or singular values of A, zeros included; with a product formula those of the Hamiltonian
        that it applies.
    applied : ndarray of float64, shape (r,)
        h(value)/C, in the units of `target`.
    target : ndarray of float64, shape (r,)
        The function wanted: 1/value, value/(value^2 + ridge), the 0/1 threshold or the caller's; 0 at the
        value 0.
    """

    values: Float64Array
    applied: Float64Array
    target: Float64Array


@dataclass(frozen=True, slots=True)
class ShotEstimate:
    """What a number of runs of the circuit tells, drawn at random from the exact law.

    Attributes
    ----------
    n_shots, n_successes : int
        Runs, and runs that passed the post-selection asked for.
    counts : ndarray of int64, shape (n,), or None
        How often each entry of the answer was found among the successes. None where `hhl` does not post-select
        the clock: the state is then mixed, and its law is not computed.
    probability, probability_stderr : float
        Share of successes p, and its standard error sqrt(p (1 - p)/shots).
    norm, norm_stderr : float
        |b| sqrt(p)/C, the estimate of |x|, and its standard error |b| sqrt((1 - p)/shots)/(2 C), to first
        order.
    """

    n_shots: int
    n_successes: int
    counts: IntArray | None
    probability: float
    probability_stderr: float
    norm: float
    norm_stderr: float


@dataclass(frozen=True, slots=True)
class HHLResult:
    """Exact output of an HHL circuit, and its costs.

    Attributes
    ----------
    state : ndarray of float64 or complex128, shape (n,)
        Unit vector left in the system register when the ancilla is 1 and the clock 0; of length m where a
        projection of b is asked for in the singular basis.
    x : ndarray of float64 or complex128, shape (n,)
        `norm` times `state`: the estimated solution.
    norm : float
        |b| sqrt(p)/C, the estimate of |x| from the success probability p (of the post-selection asked for).
    success_probability : float
        Probability of ancilla 1 and clock 0 (for the walk, flag 0 too).
    success_probability_ancilla : float
        Probability of ancilla 1, whatever the clock holds; the system is then in a mixed state.
    fidelity : float
        |<x*, state>|^2/|x*|^2 against the exact answer x*.
    fidelity_mixed : float
        The same for the mixed state left when only the ancilla is measured: for a dilation with the answer in
        its own block, for the walk with the flag 0, both unmeasured.
    l2_error : float
        |state - e^(i phase) x*/|x*|| minimised over the phase; it also counts signs.
    filter_curve : FilterCurve
        The filter applied to each eigenvalue or singular value.
    n_queries : int
        Uses of exp(i A t0), or of the walk operator, in one run of the circuit, 2 (2^t - 1).
    n_qubits : int
        System, clock and ancilla qubits, and for the walk one flag of the block encoding. Work space of the
        evolution, of a block encoding and of a memory is not counted.
    amplification_rounds : int
        Rounds m of amplitude amplification, floor(pi/(4 theta)); 0 where plain repetition costs no more.
    expected_runs : float
        Expected runs of the circuit for one success, min(1/p, (2m+1)/sin^2((2m+1) theta)), theta = arcsin
        sqrt(p).
    parameters : Mapping
        Every parameter as used, also the automatic ones: among them `n_clock_qubits`, `evolution_time` (None
        for the walk), `C`, `signed` and `guard`.
    warnings : tuple of str
        What makes the result less than it could be: aliasing, too few clock qubits, a low success
        probability.
    simulation_seconds : float
        Time of the simulation on this computer. It is not the time of a quantum computer.
    shots : ShotEstimate or None
        What a number of drawn runs would tell, where `shots` was asked for.
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
    parameters: Mapping[str, Any]
    warnings: tuple[str, ...]
    simulation_seconds: float
    shots: ShotEstimate | None = None


def amplification(probability: float) -> tuple[int, float]:
    """Return the rounds of amplitude amplification and the expected circuit runs for one success."""
    theta = float(np.arcsin(np.sqrt(min(1.0, probability))))
    rounds = int(np.pi / (4.0 * theta))
    turns = 2 * rounds + 1
    amplified = turns / float(np.sin(turns * theta)) ** 2
    plain = 1.0 / probability
    return (rounds, amplified) if rounds and amplified < plain else (0, plain)


def count_shots(
    generator: np.random.Generator,
    n_shots: int,
    probability: float,
    unit: float,
    state: npt.NDArray[Any] | None,
) -> ShotEstimate:
    """Draw runs that succeed with a probability, and an index of the state for each success; `unit` is |b|/C."""
    n_successes = int(generator.binomial(n_shots, min(1.0, probability)))
    counts = None
    if state is not None:
        law = state.real**2 + state.imag**2
        counts = generator.multinomial(n_successes, law / law.sum())
    return estimate_shots(n_shots, n_successes, unit, counts)


def estimate_shots(n_shots: int, n_successes: int, unit: float, counts: IntArray | None) -> ShotEstimate:
    """Return what drawn runs tell."""
    found = n_successes / n_shots
    return ShotEstimate(
        n_shots=n_shots,
        n_successes=n_successes,
        counts=counts,
        probability=found,
        probability_stderr=float(np.sqrt(found * (1.0 - found) / n_shots)),
        norm=unit * float(np.sqrt(found)),
        norm_stderr=0.5 * unit * float(np.sqrt((1.0 - found) / n_shots)),
    )
