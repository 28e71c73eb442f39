"""Projected costs as a table of lines, each with what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qinspired.baselines.quantum._frozen import get_state, set_state

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Basis", "CostLine", "QuantumCosts", "ReadOutLine"]

Basis: TypeAlias = Literal[
    "exact instance", "proven bound", "proven bound, leading order", "empirical constant", "asymptotic only"
]

_WARNING = (
    "These are projections, not measurements: no quantum computer was run. Toffoli gates are counted, one after "
    "another; Clifford gates are free, and error correction costs nothing beyond the time of a Toffoli gate{physical}. "
    "The time that a simulator takes on this computer is not quantum time and is in no column."
)


@dataclass(frozen=True, slots=True)
class ReadOutLine:
    """What one way to read the output state takes.

    Attributes
    ----------
    method : str
        How the state is read.
    runs : float or None
        Preparations of the output state; None where no constant is known.
    basis : str
        As in `CostLine`.
    reference : str
        Where the number is from.
    """

    method: str
    runs: float | None
    basis: Basis
    reference: str


@dataclass(frozen=True, slots=True)
class CostLine:
    """Projected cost of one algorithm, from loading to read-out. Every number is None where no constant is known.

    Attributes
    ----------
    algorithm : str
        Name of the solver.
    basis : str
        What `queries` rests on. "exact instance": computed for this A and b. "proven bound": a theorem. "proven bound,
        leading order": a theorem's leading terms, where `note` says what is dropped. "empirical constant": found on
        test matrices. "asymptotic only": a law without constant, which gives no number. Gates, qubits and seconds
        follow from it by the model of loading.
    kappa, kappa_encoding : float
        sigma_max/sigma_min, and alpha/sigma_min, on which the queries depend.
    queries : float or None
        Uses of the block encoding of A for one copy of the output state, failed post-selections included.
    state_preparations : float or None
        Preparations of b for one copy.
    success_probability : float or None
        Of one run before amplification (at least), where the algorithm has one.
    toffoli : float or None
        Toffoli gates for one copy: the sum of the next three, or only the first if only loads were asked for.
    toffoli_loading, toffoli_preparation, toffoli_rotations : float or None
        For lookups of A, for the preparations of b, and for rotations and reflections within the queries.
    logical_qubits : int or None
        System, block encoding, lookup and the solver's own.
    runs : float or None
        Copies of the output state for the output asked for.
    projected_seconds : Mapping of str to float, or None
        Toffoli gates for all runs times the seconds a gate, by the name of the clock.
    physical_qubits : int or None
        With the surface code, if asked for, up to 1e14 gates a circuit.
    physical_seconds : float or None
        Seconds for all runs, if asked for, at the code distance that the size of one circuit needs: of one copy, but
        for a prediction of all runs, which amplitude estimation takes in one circuit.
    note : str
        What was left out or assumed in this line.
    reference : str
        The publication behind `queries`.
    """

    algorithm: str
    basis: Basis
    kappa: float
    kappa_encoding: float
    queries: float | None
    state_preparations: float | None
    success_probability: float | None
    toffoli: float | None
    toffoli_loading: float | None
    toffoli_preparation: float | None
    toffoli_rotations: float | None
    logical_qubits: int | None
    runs: float | None
    projected_seconds: Mapping[str, float] | None
    physical_qubits: int | None
    physical_seconds: float | None
    note: str
    reference: str

    __getstate__ = get_state
    __setstate__ = set_state


@dataclass(frozen=True, slots=True)
class QuantumCosts:
    """Projected costs of quantum linear-system solvers on one problem.

    Attributes
    ----------
    lines : tuple of CostLine
        One for each algorithm.
    readout : tuple of ReadOutLine
        Ways to read the output asked for; the first one's runs are those of the lines.
    shape : (int, int)
        Shape of A.
    kappa, kappa_encoding : float
        sigma_max/sigma_min and alpha/sigma_min.
    alpha, alpha_rule : float and str
        Norm of the block encoding; "frobenius" if it is |A|_F, or "given".
    n_stored : int
        Words of A that are loaded.
    tolerance, readout_tolerance : float
        l2 error of the output state, and error of what is read from it.
    output, loading, clock : str
        As asked for; a clock in seconds is called "given".
    clocks : Mapping of str to float
        Seconds a Toffoli gate.
    load_toffoli, load_ancillas, load_width : int
        One lookup of A: gates, qubits, words swapped at a time.
    loads_per_query : int
        Lookups of A in one use of its block encoding.
    assumptions : tuple of str
        What the numbers take for granted.
    """

    lines: tuple[CostLine, ...]
    readout: tuple[ReadOutLine, ...]
    shape: tuple[int, int]
    kappa: float
    kappa_encoding: float
    alpha: float
    alpha_rule: str
    n_stored: int
    tolerance: float
    readout_tolerance: float
    output: str
    loading: str
    clock: str
    clocks: Mapping[str, float]
    load_toffoli: int
    load_ancillas: int
    load_width: int
    loads_per_query: int
    assumptions: tuple[str, ...]

    __getstate__ = get_state
    __setstate__ = set_state

    def __getitem__(self, algorithm: str) -> CostLine:
        """Return the line of an algorithm."""
        for line in self.lines:
            if line.algorithm == algorithm:
                return line
        raise KeyError(f"no line for {algorithm!r}; there are {[line.algorithm for line in self.lines]}")

    @property
    def _has_physical(self) -> bool:
        return any(line.physical_qubits is not None for line in self.lines)

    @property
    def _alpha_rule(self) -> str:
        return "|A|_F" if self.alpha_rule == "frobenius" else "given"

    @property
    def _warning(self) -> str:
        return _WARNING.format(physical=", but in the physical columns" if self._has_physical else "")

    def explain(self) -> str:
        """Return the table as text, with what it takes for granted.

        Returns
        -------
        str
            Lines of text.
        """
        physical = self._has_physical
        counts = [["algorithm", "queries", "preparations", "Toffoli", "qubits", "runs", "basis"]]
        times = [["projected time for the output", *self.clocks]]
        if physical:
            counts[0].append("physical qubits")
            times[0].append("physical")
        for line in self.lines:
            numbers = (line.queries, line.state_preparations, line.toffoli, line.logical_qubits, line.runs)
            counts.append([line.algorithm, *map(_short, numbers), line.basis])
            seconds = line.projected_seconds
            times.append([line.algorithm, *(_duration(seconds[c] if seconds else None) for c in self.clocks)])
            if physical:
                counts[-1].append(_short(line.physical_qubits))
                times[-1].append(_duration(line.physical_seconds))
        m, n = self.shape
        return "\n".join(
            [
                f"Projected costs, A of shape {m} x {n} with {self.n_stored} stored words, output: {self.output}",
                f"condition number {self.kappa:.5g}, of the block encoding (alpha/sigma_min) {self.kappa_encoding:.5g}",
                f"norm of the block encoding: alpha = {self.alpha:.6g} ({self._alpha_rule})",
                f"l2 error of the state {self.tolerance:g}, error of what is read {self.readout_tolerance:g}",
                f"one lookup of A ({self.loading}): {self.load_toffoli} Toffoli, {self.load_ancillas} ancillas; "
                f"{self.loads_per_query} lookups a query",
                "",
                *_aligned(counts),
                "",
                *_aligned(times),
                "",
                "Queries, preparations of b and Toffoli are for one copy of the output state; runs are the copies "
                "needed; - where no constant is known.",
                *(f"Read-out: {w.method}: {_short(w.runs)} runs ({w.basis}). [{w.reference}]" for w in self.readout),
                *(f"{line.algorithm}: {line.note}. [{line.reference}]" for line in self.lines),
                *(f"Assumed: {assumption}." for assumption in self.assumptions),
                "Seconds a Toffoli gate: " + ", ".join(f"{name} {each:g}" for name, each in self.clocks.items()) + ".",
                self._warning,
            ]
        )

    __str__ = explain

    def as_dict(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, strings and numbers, which `json.dumps` takes.

        Returns
        -------
        dict
            Of the attributes, with `lines` and `readout` as lists of dictionaries and the `warning` of `explain`.
        """
        out: dict[str, Any] = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        out["warning"] = self._warning
        return out


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, CostLine | ReadOutLine):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if hasattr(value, "items") else value


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1e5:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


_UNITS = ((365.25 * 86400.0, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, name in _UNITS:
        if seconds >= size:
            number = seconds / size
            return f"{_short(number) if number >= 1e5 else f'{number:.3g}'} {name}"
    return f"{1e3 * seconds:.3g} ms"
