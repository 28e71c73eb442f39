"""Comparisons on real data and sweeps over generated problems, with their tables, figures and records."""

from __future__ import annotations

from qinspired.experiments._compare import TaskReport, compare
from qinspired.experiments._definitions import Definition, DefinitionError, list_definitions, load_definition
from qinspired.experiments._document import compare_document, compare_text
from qinspired.experiments._machine import busy_note, machine, machine_line
from qinspired.experiments._report import html_report
from qinspired.experiments._sweep import sweep
from qinspired.experiments._sweep_report import broken_promises, json_line, sweep_figure, sweep_tables
from qinspired.experiments._tables import render_table
from qinspired.experiments._task import Task
from qinspired.experiments._tasks import file_task, shipped_tasks
from qinspired.experiments._verdicts import Outcome, conclude, judge

__all__ = [
    "Definition",
    "DefinitionError",
    "Outcome",
    "Task",
    "TaskReport",
    "broken_promises",
    "busy_note",
    "compare",
    "compare_document",
    "compare_text",
    "conclude",
    "file_task",
    "html_report",
    "json_line",
    "judge",
    "list_definitions",
    "load_definition",
    "machine",
    "machine_line",
    "render_table",
    "shipped_tasks",
    "sweep",
    "sweep_figure",
    "sweep_tables",
]
