"""What quantum solvers are projected to take on a task, as a record, and how its numbers are written."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from qinspired.baselines import QuantumCosts
    from qinspired.experiments._quantum_runs import Instance

__all__ = ["CLOCK", "Flip", "Projection", "QuantumReport", "Wanted", "duration", "times"]

Wanted: TypeAlias = Literal["vector", "sample", "prediction"]

# The clock of the verdict, the fastest of `quantum_costs`.
CLOCK = "optimistic"


@dataclass(frozen=True, slots=True)
class Projection:
    """One quantum solver, projected. Numbers are None where no constant is known.

    Attributes
    ----------
    algorithm, basis, note, reference : str
        As in `baselines.CostLine`.
    queries, state_preparations : float or None
        Uses of the block encoding of A, and preparations of b, for one copy of the output state.
    toffoli : float or None
        Gates for one copy, with the data looked up by gates.
    runs : float
        Copies that the output takes.
    logical_qubits : int or None
        With the data looked up by gates.
    projected_seconds : dict of str to float, or None
        For the output, by the name of the clock; data looked up by gates.
    projected_seconds_qram : dict of str to float, or None
        The same with lookups taken as free.
    """

    algorithm: str
    basis: str
    queries: float | None
    state_preparations: float | None
    toffoli: float | None
    runs: float
    logical_qubits: int | None
    projected_seconds: dict[str, float] | None
    projected_seconds_qram: dict[str, float] | None
    note: str
    reference: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of the conditions and what it does to the comparison.

    Attributes
    ----------
    name : str
        Which change.
    ratio : float or None
        Projected over measured seconds after the change; where the change is a crossing, the factor of the size.
    flips : bool or None
        Whether the other side then wins; None for a number that is only reported.
    text : str
        The same in a sentence.
    """

    name: str
    ratio: float | None
    flips: bool | None
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class QuantumReport:
    """What quantum solvers are projected to take on a task, and the verdict.

    Attributes
    ----------
    answer : {"vector", "sample", "prediction"}
        What is read.
    question : str
        What the quantum solvers are asked.
    reason : str
        Why nothing is projected, or "".
    kappa, kappa_encoding : float
        sigma_max/sigma_min of what is inverted or kept, and |A|_F/sigma_min.
    lines : tuple of Projection
        One for each solver.
    instances : tuple of Instance
        Runs simulated on this very A and b: errors and counts, no seconds.
    measured_name : str
        The fastest measured solver that meets the tolerance, or "" if there is none.
    measured_seconds, reading_seconds : float
        Its set-up and solve; and the output read from its answer, by numpy.
    best : str
        The projection with the least seconds at the optimistic clock, or "".
    ratio : float
        Its seconds over the measured ones, infinite where one of them is missing.
    winner : {"classical", "quantum", "undecided"}
        By that ratio.
    verdict : str
        The same in a sentence.
    flips : tuple of Flip
        What would turn it.
    costs : QuantumCosts or None
        The whole projection, data looked up by gates.
    """

    answer: Wanted
    question: str
    reason: str = ""
    kappa: float = inf
    kappa_encoding: float = inf
    lines: tuple[Projection, ...] = ()
    instances: tuple[Instance, ...] = ()
    measured_name: str = ""
    measured_seconds: float = inf
    reading_seconds: float = 0.0
    best: str = ""
    ratio: float = inf
    winner: Literal["classical", "quantum", "undecided"] = "undecided"
    verdict: str = ""
    flips: tuple[Flip, ...] = ()
    costs: QuantumCosts | None = None


def times(ratio: float) -> str:
    """Return a factor to two or three digits, such as "1.2e+04 times"."""
    number = f"{ratio:.2g}" if ratio >= 99.5 or ratio < 0.01 else f"{ratio:.3g}"
    return f"{number} times"


def duration(seconds: float | None) -> str:
    """Return a projected time with a unit that suits it."""
    if seconds is None:
        return "—"
    for size, name in ((365.25 * 86400.0, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= size:
            number = seconds / size
            return f"{number:.1e} {name}" if number >= 1e4 else f"{number:.3g} {name}"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"
