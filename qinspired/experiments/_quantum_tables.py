"""Projections of quantum solvers as tables of text and as an object for JSON, apart from everything measured."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qinspired.experiments._quantum_report import CLOCK, duration
from qinspired.experiments._tables import Table, render_table
from qinspired.experiments._verdicts import percent, show_seconds

if TYPE_CHECKING:
    from qinspired.experiments._quantum_report import Projection, QuantumReport
    from qinspired.experiments._quantum_runs import Instance
    from qinspired.experiments._tables import Format
    from qinspired.experiments._task import Task

__all__ = ["instance_table", "projection_table", "quantum_document", "quantum_lines", "quantum_text"]

# Clocks shown; all are in the JSON document.
_SHOWN = {"optimistic": "1 µs a gate", "surface-code": "15.6 µs", "conservative": "170 µs"}

_WARNING = (
    "Projections, not measurements: no quantum computer was run. Seconds are Toffoli gates, one after another, times "
    "an assumed clock; Clifford gates and error correction beyond that clock are free. The time that a simulator takes "
    "on this computer is not quantum time and is in no column."
)


_EXTRAPOLATED = (
    "The crossings are extrapolations: queries as at this size, gates by the same formulas. A measured time in "
    "proportion to the entries belongs to a solver that reads them all; one that samples by an index, the classical "
    "counterpart of free lookups, need not."
)

# How the measured and the projected question differ.
_SAME = {
    "low-rank": (
        "The measured solvers find the subspace for all rows, to the tolerance in the excess; the projection is of one "
        "row, and another row costs as much again. Its clock tells the last singular value kept from the first one "
        "left out, which a tolerance in the excess does not ask: a softer threshold takes fewer queries, though more "
        "than a solver that uses the data once a copy."
    ),
    "linear": "The tolerance of the measured solvers is in the prediction A x; that of the projection is in x/|x|.",
}


def projection_table(report: QuantumReport) -> Table:
    """Return the projected costs of an output, one row for each solver."""
    head = (
        "solver",
        "queries",
        "Toffoli a copy",
        "copies",
        "logical qubits",
        *(f"projected, {label}" for label in _SHOWN.values()),
        f"free QRAM, {_SHOWN[CLOCK]}",
        "queries rest on",
    )
    rows = tuple((line.algorithm, *_counts(line), *_times(line), line.basis) for line in report.lines)
    return Table(f"PROJECTED, not measured: {report.question}", head, rows, left=(0, len(head) - 1))


def instance_table(report: QuantumReport) -> Table:
    """Return the simulated runs: errors, probabilities and counts."""
    head = ("circuit", "l2 error", "success", "uses a run", "expected runs", "qubits", "note")
    rows = tuple((run.name, *_figures(run), run.note) for run in report.instances)
    title = "Exact instances: simulated on this data; counts, no seconds"
    return Table(title, head, rows, left=(0, len(head) - 1))


def quantum_lines(report: QuantumReport, task: Task) -> list[str]:
    """Return the conditions of the projection, what was measured, and what the numbers take for granted."""
    costs = report.costs
    depends = ", which the queries depend on" if task.kind == "linear" else ", of the singular values kept"
    out = [
        f"kappa {report.kappa:.4g}; |A|_F/sigma_min {report.kappa_encoding:.4g}{depends}. "
        f"Tolerance {percent(task.tolerance)}: here the l2 error of the output state, and of what is read."
    ]
    if report.measured_name:
        reading = f" + {show_seconds(report.reading_seconds)} to read the output" if report.reading_seconds else ""
        out.append(
            f"Measured, for the verdict: {report.measured_name}, {show_seconds(report.measured_seconds)}{reading}."
        )
    if costs is not None:
        out.append(
            f"One lookup of {costs.n_stored:,} stored entries: {costs.load_toffoli:,} Toffoli gates, "
            f"{costs.loads_per_query} lookups a query. Copies by {costs.readout[0].method} ({costs.readout[0].basis})."
        )
        out.extend(f"{line.algorithm}: {line.note}. [{line.reference}]" for line in report.lines)
        out.append(f"Assumed: {'; '.join(costs.assumptions)}.")
    out.append(_SAME[task.kind])
    if report.flips:
        out.append(_EXTRAPOLATED)
    return [*out, _WARNING]


def quantum_text(report: QuantumReport, task: Task, style: Format = "text") -> list[str]:
    """Return the blocks of text of a report: tables, verdict, what would flip it, and notes."""
    if report.reason:
        return [f"Quantum solvers: nothing is projected; {report.reason}"]
    bullet = "* " if style == "text" else "- "
    flips = "What would flip it:" if report.flips else ""
    blocks = [
        render_table(projection_table(report), style),
        render_table(instance_table(report), style),
        f"=> {report.verdict}" if style == "text" else f"**{report.verdict}**",
        "\n".join([flips, *(f"{bullet}{flip.text}" for flip in report.flips)]) if flips else "",
        "\n".join(bullet + line for line in quantum_lines(report, task)),
    ]
    return [block for block in blocks if block]


def quantum_document(report: QuantumReport) -> dict[str, Any]:
    """Return a report as an object for JSON; measured and projected seconds are under keys that say which."""
    return {
        "answer": report.answer,
        "question": report.question,
        "reason": report.reason,
        "kappa": report.kappa,
        "kappa_encoding": report.kappa_encoding,
        "projected": [asdict(line) for line in report.lines],
        "instances": [asdict(run) for run in report.instances],
        "measured": {
            "name": report.measured_name,
            "seconds": report.measured_seconds,
            "reading_seconds": report.reading_seconds,
        },
        "verdict": {
            "winner": report.winner,
            "best_projection": report.best,
            "clock": CLOCK,
            "projected_over_measured": report.ratio,
            "text": report.verdict,
        },
        "flips": [asdict(flip) for flip in report.flips],
        "costs": None if report.costs is None else report.costs.as_dict(),
        "warning": _WARNING,
    }


def _counts(line: Projection) -> tuple[str, ...]:
    return tuple(_number(value) for value in (line.queries, line.toffoli, line.runs, line.logical_qubits))


def _times(line: Projection) -> tuple[str, ...]:
    seconds, free = line.projected_seconds, line.projected_seconds_qram
    shown = [duration(None if seconds is None else seconds[name]) for name in _SHOWN]
    return (*shown, duration(None if free is None else free[CLOCK]))


def _figures(run: Instance) -> tuple[str, ...]:
    error = "—" if run.l2_error is None else f"{run.l2_error:.2g}"
    success = "—" if run.success_probability is None else f"{run.success_probability:.3g}"
    return (error, success, _number(run.uses_per_run), _number(run.expected_runs), _number(run.qubits))


def _number(value: float | None) -> str:
    if value is None:
        return "—"
    if value >= 1e5:
        return f"{value:.2e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
