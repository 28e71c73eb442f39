"""Quantum solvers simulated exactly on a task: errors, probabilities and counts; never their simulator's seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired import baselines

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.baselines import HHLResult

__all__ = ["Instance", "linear_instances", "recommender_instance"]

# The clock of the recommender grows up to this many register values times singular values, seconds of simulation.
_LARGEST_SIMULATION, _LARGEST_CLOCK = 1 << 26, 22


@dataclass(frozen=True, slots=True)
class Instance:
    """One circuit on this very A and b, simulated exactly.

    Attributes
    ----------
    name : str
        The circuit.
    l2_error, success_probability : float or None
        Of the output state, and of one run.
    uses_per_run : float or None
        Of exp(i A t0) for HHL, of the block encoding for the others.
    expected_runs : float or None
        Runs for one success, with amplitude amplification.
    clock_qubits, qubits : int or None
        Of the clock, if any, and in all without the lookup.
    note : str
        What was chosen, or why there are no numbers.
    """

    name: str
    l2_error: float | None = None
    success_probability: float | None = None
    uses_per_run: float | None = None
    expected_runs: float | None = None
    clock_qubits: int | None = None
    qubits: int | None = None
    note: str = ""


def linear_instances(
    svd: tuple[Float64Array, Float64Array, Float64Array], b: Float64Array, tolerance: float
) -> tuple[Instance, ...]:
    """Return runs of HHL with the default clock and of QSVT at a tolerance."""
    out = []
    for name in ("HHL, default clock", "QSVT, optimal polynomial"):
        try:
            run = baselines.hhl(svd, b) if name.startswith("HHL") else baselines.qsvt(svd, b, tolerance=tolerance)
            out.append(_instance(name, run, "; ".join(flaw.rstrip(".") for flaw in run.warnings)))
        except ValueError as error:
            out.append(Instance(name, note=" ".join(str(error).split())))
    return tuple(out)


def recommender_instance(
    A: Any,
    values: Float64Array,
    V: Float64Array,
    row: Float64Array,
    frobenius: float,
    threshold: float,
    tolerance: float,
    *,
    whole: bool,
) -> Instance:
    """Return the quantum recommender on one row with the smallest clock that reaches a tolerance.

    Phase estimation of the walk of a block encoding of scale |A|_F, and the projection on singular values above the
    threshold, as in arXiv:1603.08675; the clock starts uniform or in a sine window, whichever takes fewer uses.
    """
    name = "quantum recommender"
    coefficients = V @ row / np.linalg.norm(row)
    sigma, part = values, coefficients
    note = "all singular values"
    rest = row - V.T @ (V @ row)
    size = float(np.linalg.norm(rest))
    if not whole and size > 1e-9 * float(np.linalg.norm(row)):
        # What is left of the row lies below the threshold; how far is known in the mean only.
        mean = float(np.linalg.norm(A @ rest)) / size
        sigma, part = np.append(values, mean), np.append(coefficients, size / np.linalg.norm(row))
        note = f"the row's part beyond the leading {len(values)} singular values at its root mean square"
    r = len(sigma)
    gap = float(np.min(np.abs(sigma - threshold)))
    for t in range(2, _LARGEST_CLOCK + 1):  # the walk has both signs, and so two qubits at least
        if r << t > _LARGEST_SIMULATION:
            break
        found = []
        for window in ("hadamard", "sine"):
            try:
                found.append(_recommend(sigma, part, t, window, frobenius, threshold))
            except ValueError:  # no state is left: the clock is too coarse
                continue
        enough = [run for run in found if run.l2_error <= tolerance]
        if enough:
            run = min(enough, key=lambda each: each.n_queries * each.expected_runs)
            window = str(run.parameters["window"])
            return _instance(
                name,
                run,
                f"{t} clock qubits, {window} window, the fewest that reach the tolerance; for any row "
                "the clock must resolve the distance of the threshold to the nearest singular value, |A|_F/"
                f"{frobenius / gap:.3g}; amplification with p known; {note}",
            )
    return Instance(name, note=f"no number: singular values as close as {gap:.1e} to the threshold need a larger clock")


def _recommend(
    sigma: Float64Array, part: Float64Array, t: int, window: Any, frobenius: float, threshold: float
) -> HHLResult:
    # The circuit sees singular values and coefficients only: the same on the smallest such system.
    identity = np.eye(len(sigma))
    return baselines.hhl(
        (identity, sigma, identity),
        part,
        n_clock_qubits=t,
        filter="threshold",
        threshold=threshold,
        phase_map="walk",
        alpha=frobenius,
        window=window,
    )


def _instance(name: str, run: HHLResult, note: str = "") -> Instance:
    clock = run.parameters.get("n_clock_qubits")
    return Instance(
        name=name,
        l2_error=run.l2_error,
        success_probability=run.success_probability,
        uses_per_run=float(run.n_queries),
        expected_runs=run.expected_runs,
        clock_qubits=None if clock is None else int(clock),
        qubits=run.n_qubits,
        note=note,
    )
