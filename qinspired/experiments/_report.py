"""The comparison as one self-contained HTML page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qinspired.experiments._document import (
    NOTES,
    describe,
    outcome_table,
    score_table,
    suggestion_table,
)
from qinspired.experiments._figures import (
    certificate_figure,
    decay_figure,
    error_time_figure,
    inline_svg,
)
from qinspired.experiments._machine import busy_note, machine_line
from qinspired.experiments._quantum_tables import instance_table, projection_table, quantum_lines
from qinspired.experiments._tables import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qinspired.experiments._compare import TaskReport
    from qinspired.experiments._tables import Table

__all__ = ["html_report"]

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem;
       margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .3rem; }
h2 { font-size: 1.25rem; margin-top: 2.6rem; border-bottom: 1px solid #ddd; padding-bottom: .3rem; }
.conclusion { background: #eef5fa; border-left: 4px solid #0072b2; padding: .7rem 1rem; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .28rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; vertical-align: top; }
th { border-bottom: 2px solid #999; white-space: nowrap; }
td { white-space: nowrap; }
.left { text-align: left; }
td.left:last-child { white-space: normal; min-width: 12rem; }
tr.ours td { background: #f3f8fc; }
tr.fastest td { font-weight: 600; }
figure { margin: 1.2rem 0; }
figure svg { width: 100%; height: auto; max-width: 52rem; }
.small { font-size: .86rem; color: #555; }
"""


def html_report(reports: Sequence[TaskReport], *, facts: dict[str, Any], seed: int) -> str:
    """Return the page: tables, conclusions, figures and the machine; it refers to nothing outside itself.

    Parameters
    ----------
    reports : sequence of TaskReport
        Of `compare`.
    facts : dict
        Of `machine`, taken before the run.
    seed : int
        The seed to state.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    body = "\n".join(_task_section(report, number) for number, report in enumerate(reports, 1))
    summary = "\n".join(f"<li><b>{_text(report.task.name)}</b>: {_text(report.conclusion)}</li>" for report in reports)
    notes = "\n".join(f"<li>{_text(note)}</li>" for note in NOTES)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>qinspired: comparison at the same asked accuracy</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Comparison at the same asked accuracy</h1>
<p class="small">{_text(machine_line(facts))}; seed {seed}. {_text(busy_note(facts))}</p>
<ul>
{summary}
</ul>
{body}
<h2>How this was measured</h2>
<ul class="small">
{notes}
</ul>
</body>
</html>
"""


def _task_section(report: TaskReport, number: int) -> str:
    ours = {str(i) for i, outcome in enumerate(report.outcomes, 1) if outcome.ours}
    fastest = {str(i) for i, verdict in enumerate(report.verdicts, 1) if verdict.startswith("fastest")}
    parts = [
        f"<h2>{_text(describe(report.task))}</h2>",
        f'<p class="small">{_text(report.task.source)} {_text(report.task.note)}</p>',
        f'<p class="conclusion">{_text(report.conclusion)}</p>',
        _table(outcome_table(report), ours, fastest, caption="Solvers; shaded rows are qinspired's"),
    ]
    drawings = (
        (error_time_figure(report), "Scatter plot of true error against time"),
        (decay_figure(report), "Singular values in descending order"),
        (certificate_figure(report), "Certified error intervals beside true errors"),
    )
    for kind, (figure, label) in enumerate(drawings):
        if figure is not None:
            parts.append(f"<figure>{inline_svg(figure, escape(label), f't{number}f{kind}')}</figure>")
    parts.extend(_quantum_parts(report))
    recommended = report.recommendations
    if recommended is not None:
        if recommended.scores:
            parts.append(_table(score_table(recommended), set(), set()))
        parts.append(f'<p class="small">{_text(recommended.note)}</p>')
        if recommended.suggestions:
            parts.append(_table(suggestion_table(recommended), set(), set()))
    return "\n".join(parts)


def _quantum_parts(report: TaskReport) -> list[str]:
    """Return the projections of quantum solvers, in tables of their own."""
    found = report.quantum
    if found is None:
        return []
    if found.reason:
        return [f"<h3>Quantum solvers</h3><p>Nothing is projected; {_text(found.reason)}</p>"]

    def listed(lines: Sequence[str]) -> str:
        return f'<ul class="small">{"".join(f"<li>{_text(line)}</li>" for line in lines)}</ul>'

    parts = [
        "<h3>Quantum solvers, projected</h3>",
        f'<p class="conclusion">{_text(found.verdict)}</p>',
        _table(projection_table(found), set(), set()),
        _table(instance_table(found), set(), set()),
    ]
    if found.flips:
        parts.extend(["<p>What would flip it:</p>", listed([flip.text for flip in found.flips])])
    return [*parts, listed(quantum_lines(found, report.task))]


def _table(table: Table, ours: set[str], fastest: set[str], caption: str | None = None) -> str:
    def cell(tag: str, column: int, text: str) -> str:
        side = ' class="left"' if column in table.left else ""
        return f"<{tag}{side}>{_text(text)}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(table.head))
    lines = []
    for row in table.rows:
        marks = [name for name, chosen in (("ours", ours), ("fastest", fastest)) if row[0] in chosen]
        mark = f' class="{" ".join(marks)}"' if marks else ""
        lines.append(f"<tr{mark}>{''.join(cell('td', i, text) for i, text in enumerate(row))}</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="scroll"><table><caption>{_text(caption or table.title)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _text(text: str) -> str:
    return escape(printable(text))
