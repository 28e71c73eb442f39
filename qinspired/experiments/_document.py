"""A comparison as tables of text and as one JSON document."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

from qinspired.experiments._machine import busy_note, machine_line
from qinspired.experiments._quantum_tables import quantum_document, quantum_text
from qinspired.experiments._tables import Format, Table, printable, render_table
from qinspired.experiments._task import stored_bytes
from qinspired.experiments._verdicts import percent, promise_broken, show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qinspired.algorithms import ErrorEstimate
    from qinspired.experiments._compare import TaskReport
    from qinspired.experiments._recommendations import RecommendationReport
    from qinspired.experiments._task import Task
    from qinspired.experiments._verdicts import Outcome

__all__ = [
    "NOTES",
    "compare_document",
    "compare_text",
    "describe",
    "outcome_table",
    "plain",
    "score_table",
    "show_error",
    "suggestion_table",
]

_ERROR_OF = {"low-rank": "relative excess over the best rank-k error", "linear": "|A (x - x*)| / |A x*|"}

_HOW_TIMED = """
Every solver got the same asked accuracy, and one untimed run on a small generated problem first, so that
compilation and imports are not timed. Times are medians of the runs; the true error is the largest of the
runs, against the exact solver in float64.
"""
_SETUP = """
Set-up is qinspired's index: one pass over A for its row norms, which a second question would not pay again.
For the others it is zero: their checks of the input are not timed.
"""
_READ = """
A read: bytes of A in set-up + solve. qinspired counts the rows it reads; for the others it is the passes over
A times its stored size. The reference algorithm, which has no tolerance of its own, draws rank / tolerance rows
and as many columns.
"""
_CERTIFIED = """
The certified error is what a solver claims without knowing the truth, with its interval: 95 % where it
sampled.
"""
NOTES = tuple(" ".join(note.split()) for note in (_HOW_TIMED, _SETUP, _READ, _CERTIFIED))


def describe(task: Task) -> str:
    """Return the title of a task: its data, shape and question."""
    m, n = task.A.shape
    stored = f", {task.A.nnz:,} stored entries" if sp.issparse(task.A) else ""
    asked = percent(task.tolerance)
    if task.kind == "low-rank":
        question = f"rank-{task.rank} approximation to within {asked} of the best error"
    else:
        question = f"least squares, predictions to within {asked} of the exact ones"
    return f"{printable(task.name)} ({m:,} x {n:,}{stored}): {question}"


def show_error(error: float) -> str:
    """Return a relative error in per cent, or as a power of ten where it is tiny."""
    if not math.isfinite(error):
        return "—" if math.isnan(error) else "inf"
    if error == 0.0:
        return "0"
    return f"{error:.0e}" if error < 1e-5 else f"{100.0 * error:.3g} %"


def outcome_table(report: TaskReport) -> Table:
    """Return the table of a task: one row for each solver."""
    what = "true excess" if report.task.kind == "low-rank" else "true error"
    head = ("#", "method", "set-up", "solve", "A read", what, "certified error", "verdict")
    rows = [
        (str(number), *_cells(outcome), verdict)
        for number, (outcome, verdict) in enumerate(zip(report.outcomes, report.verdicts, strict=True), 1)
    ]
    return Table(describe(report.task), head, tuple(rows), left=(1, 7))


def score_table(report: RecommendationReport) -> Table:
    """Return the table of recommendation quality."""
    k = report.k
    head = ("recommender", "fit", f"P@{k}", f"R@{k}", f"NDCG@{k}")
    rows = tuple(
        (
            score.name,
            show_seconds(score.fit_seconds) if score.fit_seconds else "—",
            f"{score.precision:.4f}",
            f"{score.recall:.4f}",
            f"{score.ndcg:.4f}",
        )
        for score in report.scores
    )
    return Table("Recommendations, on held-out ratings", head, rows)


def suggestion_table(report: RecommendationReport) -> Table:
    """Return a sample of what SampledRecommender recommends."""
    rows = tuple((s.user, " ".join(s.best), " ".join(s.held_out) or "—", " ".join(s.drawn)) for s in report.suggestions)
    head = ("user", "best unseen items", "held out among them", "drawn by squared score")
    return Table("A sample of recommendations, by SampledRecommender", head, rows, left=(0, 1, 2, 3))


def compare_text(reports: Sequence[TaskReport], *, facts: dict[str, Any], seed: int, style: Format = "text") -> str:
    """Return all tables, conclusions and notes of a comparison.

    Parameters
    ----------
    reports : sequence of TaskReport
        Of `compare`.
    facts : dict
        Of `machine`, taken before the run.
    seed : int
        The seed to state.
    style : {"text", "markdown"}
        Of the tables.

    Returns
    -------
    str
        With a final newline.
    """
    parts = []
    for report in reports:
        parts.append(render_table(outcome_table(report), style))
        parts.extend([report.task.note] if report.task.note else [])
        parts.append(f"=> {report.conclusion}" if style == "text" else f"**{report.conclusion}**")
        if report.quantum is not None:
            parts.extend(quantum_text(report.quantum, report.task, style))
        recommended = report.recommendations
        if recommended is not None:
            if recommended.scores:
                parts.append(render_table(score_table(recommended), style))
            parts.append(recommended.note)
            if recommended.suggestions:
                parts.append(render_table(suggestion_table(recommended), style))
    bullet = "* " if style == "text" else "- "
    parts.append("\n".join(bullet + note for note in NOTES))
    parts.append(f"{machine_line(facts)}; seed {seed}")
    parts.extend([busy_note(facts)] if busy_note(facts) else [])
    return "\n\n".join(printable_lines(part) for part in parts) + "\n"


def printable_lines(text: str) -> str:
    """Return text without control characters but line ends."""
    return "\n".join(printable(line) for line in text.split("\n"))


def compare_document(
    reports: Sequence[TaskReport], *, facts: dict[str, Any], seed: int, repeats: int
) -> dict[str, Any]:
    """Return a comparison as an object for JSON: numbers in SI units, null where there is none.

    Parameters
    ----------
    reports : sequence of TaskReport
        Of `compare`.
    facts : dict
        Of `machine`, taken before the run.
    seed, repeats : int
        As used.

    Returns
    -------
    dict
        With "tasks", "machine", "seed", "repeats" and "broken_promises".
    """
    broken = {r.task.name: promise_broken(r.outcomes, r.task.tolerance) for r in reports}
    document = {
        "command": "compare",
        "seed": seed,
        "repeats": repeats,
        "machine": facts,
        "tasks": [_task_document(report) for report in reports],
        "broken_promises": {name: names for name, names in broken.items() if names},
    }
    cleaned: dict[str, Any] = plain(document)
    return cleaned


def plain(value: Any) -> Any:
    """Return a value with NaN and infinity replaced by None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _task_document(report: TaskReport) -> dict[str, Any]:
    task = report.task
    return {
        "name": task.name,
        "kind": task.kind,
        "source": task.source,
        "shape": list(task.A.shape),
        "stored_bytes": stored_bytes(task.A),
        "rank": task.rank if task.kind == "low-rank" else None,
        "tolerance": task.tolerance,
        "error_of": _ERROR_OF[task.kind],
        "best_error": report.truth.best_error,
        "truth": report.truth.how,
        "note": task.note,
        "methods": [
            _outcome_document(outcome, verdict)
            for outcome, verdict in zip(report.outcomes, report.verdicts, strict=True)
        ],
        "conclusion": report.conclusion,
        "recommendations": None if report.recommendations is None else asdict(report.recommendations),
        "quantum": None if report.quantum is None else quantum_document(report.quantum),
    }


def _outcome_document(outcome: Outcome, verdict: str) -> dict[str, Any]:
    answered = outcome.status == "ok"
    return {
        "name": outcome.name,
        "ours": outcome.ours,
        "status": outcome.status,
        "reason": outcome.reason,
        "method": outcome.method,
        "setup_seconds": outcome.setup_seconds if answered else None,
        "solve_seconds": outcome.solve_seconds if answered else None,
        "setup_bytes": outcome.setup_bytes if answered else None,
        "solve_bytes": outcome.solve_bytes if answered else None,
        "error": outcome.error if answered else None,
        "certified": None if outcome.certified is None else asdict(outcome.certified),
        "warned": outcome.warned,
        "converged": outcome.converged,
        "runs": outcome.runs if answered else 0,
        "verdict": verdict,
    }


def _cells(outcome: Outcome) -> tuple[str, ...]:
    name = outcome.name
    # What "auto" chose, or what a pinned method fell back to.
    if outcome.certified is not None and outcome.method not in name:
        name = f"{name} -> {outcome.method}"
    if outcome.status != "ok":
        return (name, "—", "—", "—", "—", "—")
    return (
        name,
        show_seconds(outcome.setup_seconds) if outcome.setup_seconds else "—",
        show_seconds(outcome.solve_seconds),
        _read(outcome),
        show_error(outcome.error),
        _show_certified(outcome.certified),
    )


def _read(outcome: Outcome) -> str:
    solve = "?" if outcome.solve_bytes is None else _megabytes(outcome.solve_bytes)
    return f"{_megabytes(outcome.setup_bytes)} + {solve} MB" if outcome.setup_bytes else f"{solve} MB"


def _megabytes(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e6:.3g}"


def _show_certified(certified: ErrorEstimate | None) -> str:
    if certified is None:
        return "—"
    return f"{show_error(certified.value)} [{show_error(certified.low)}, {show_error(certified.high)}]"
