"""Records of a sweep as JSON lines, tables and a figure."""

from __future__ import annotations

import json
import math
import statistics
from typing import TYPE_CHECKING, Any

from qinspired.experiments._document import plain
from qinspired.experiments._figures import new_figure
from qinspired.experiments._tables import Table
from qinspired.experiments._verdicts import show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qinspired.experiments._definitions import Definition
    from qinspired.experiments._sweep import Record

__all__ = ["broken_promises", "json_line", "sweep_figure", "sweep_tables"]

_FLOOR = 1e-16
# Colours and markers by what a solver is: ours, as published, quantum, or a rival.
_OWN = (("#0072b2", "o"), ("#56b4e9", "^"), ("#009e73", "<"))
_PUBLISHED = (("#cc79a7", "P"),)
_QUANTUM = (("#d55e00", "X"),)
_RIVALS = (("#000000", "s"), ("#666666", "D"), ("#999999", "v"), ("#bbbbbb", "*"))
_UNITS = {
    "error": {"low-rank": "relative excess over the best error", "linear": "|x − x*| / |x*|"},
    "seconds": {"low-rank": "set-up + solve (s)", "linear": "set-up + solve (s)"},
}


def json_line(record: Record) -> str:
    """Return a record as one line of JSON."""
    return json.dumps(plain(record), allow_nan=False, ensure_ascii=False)


def sweep_tables(definition: Definition, records: Sequence[Record]) -> list[Table]:
    """Return the tables of a sweep: median errors and times for each task, and what quantum circuits cost.

    Parameters
    ----------
    definition : Definition
        Of the sweep.
    records : sequence of dict
        All of them.

    Returns
    -------
    list of Table
        Cells by rows, solvers by columns.
    """
    tables = []
    for task in dict.fromkeys(record["task"] for record in records):
        chosen = [record for record in records if record["task"] == task]
        what = _UNITS["error"][task]
        title = f"{definition.title}: {task}, {what.replace('−', '-')}, medians over seeds"
        tables.append(_pivot(title, chosen, _error, _show_ratio))
        timed = [record for record in chosen if _seconds(record) is not None or record["status"] != "ok"]
        tables.append(_pivot(f"{definition.title}: {task}, set-up + solve", timed, _seconds, show_seconds))
        quantum = [record for record in chosen if "simulator_seconds" in record]
        if quantum:
            tables.append(_quantum_table(quantum))
    return tables


def broken_promises(records: Iterable[Record]) -> list[str]:
    """Return the cells in which a solver of ours that chooses its method itself missed the tolerance."""
    return [
        f"{record['solver']} on {_cell_name(record)}"
        for record in records
        if record["use"] in ("low_rank", "least_squares")
        and record["parameters"].get("method", "auto") == "auto"
        and (record["status"] != "ok" or record["asked_error"] > record["tolerance"])
    ]


def sweep_figure(definition: Definition, records: Sequence[Record]) -> Figure:
    """Return the figure of a sweep: medians over seeds, one panel for each value, one line for each solver.

    Parameters
    ----------
    definition : Definition
        Of the sweep.
    records : sequence of dict
        All of them.

    Returns
    -------
    matplotlib.figure.Figure
        Solvers without measured times, such as a quantum simulator, are left out of panels of seconds.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    spec = definition.figure
    panels = list(dict.fromkeys(str(_axis(record, spec.panels)) for record in records))
    figure = new_figure(3.4 * max(len(panels), 2) + 0.6, 3.1 * len(spec.y) + 1.2)
    grid = figure.subplots(len(spec.y), len(panels), sharex="col", sharey=False, squeeze=False)
    styles = _styles(records)
    for row, measure in enumerate(spec.y):
        value = _error if measure == "error" else _seconds
        for column, panel in enumerate(panels):
            axes = grid[row, column]
            chosen = [record for record in records if str(_axis(record, spec.panels)) == panel]
            _draw(axes, chosen, spec.x, value, styles)
            if row == 0:
                axes.set_title(panel if spec.panels == "task" else f"{spec.panels} {panel}", fontsize=11)
            if row == len(spec.y) - 1:
                axes.set_xlabel("rows of A" if spec.x == "shape" else spec.x)
            if column == 0 or spec.panels == "task":
                axes.set_ylabel(_UNITS[measure][chosen[0]["task"]])
        if measure == "error" and spec.panels != "task":
            low = min(axes.get_ylim()[0] for axes in grid[row])
            high = max(axes.get_ylim()[1] for axes in grid[row])
            for axes in grid[row]:
                axes.set_ylim(low, high)
    handles: dict[str, Any] = {}
    for axes in grid.ravel():
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=3,
            fontsize=8,
            frameon=False,
        )
    figure.suptitle(definition.title, fontsize=12)
    return figure


def _styles(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """Return the colour and the marker of each solver."""
    families = {"low_rank": _OWN, "least_squares": _OWN, "fkv": _PUBLISHED, "hhl": _QUANTUM}
    styles: dict[str, tuple[str, str]] = {}
    for record in records:
        family = families.get(record["use"], _RIVALS)
        taken = sum(style in family for style in styles.values())
        styles.setdefault(record["solver"], family[taken % len(family)])
    return styles


def _draw(
    axes: Axes,
    records: Sequence[Record],
    x: str,
    value: Callable[[Record], float | None],
    styles: dict[str, tuple[str, str]],
) -> None:
    ticks: set[int] = set()
    for label, (colour, marker) in styles.items():
        points: dict[int, list[float]] = {}
        for record in records:
            found = value(record) if record["solver"] == label else None
            if found is not None:
                points.setdefault(_number(record, x), []).append(max(found, _FLOOR))
        if points:
            places = sorted(points)
            ticks.update(places)
            medians = [statistics.median(points[place]) for place in places]
            line = ":" if "simulator" in label else "-"
            axes.loglog(places, medians, line, color=colour, marker=marker, markersize=5, linewidth=1.3, label=label)
    axes.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])
    axes.minorticks_off()
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.6)


def _pivot(
    title: str,
    records: Sequence[Record],
    value: Callable[[Record], float | None],
    show: Callable[[float], str],
) -> Table:
    labels = list(dict.fromkeys(record["solver"] for record in records))
    cells = list(dict.fromkeys(_cell_name(record) for record in records))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((_cell_name(record), record["solver"]), []).append(record)
    rows = tuple((cell, *(_median(groups.get((cell, label), []), value, show) for label in labels)) for cell in cells)
    return Table(title, ("problem", *labels), rows)


def _median(records: Sequence[Record], value: Callable[[Record], float | None], show: Callable[[float], str]) -> str:
    found = [number for number in map(value, records) if number is not None]
    if found:
        return show(statistics.median(found))
    return records[0]["status"] if records else "—"


def _show_ratio(value: float) -> str:
    return f"{value:.2g}"


def _quantum_table(records: Sequence[Record]) -> Table:
    head = (
        "problem",
        "success probability",
        "queries a run",
        "expected runs",
        "qubits",
        "simulator's seconds, not quantum time",
    )
    rows = tuple(
        (
            _cell_name(record),
            f"{record['success_probability']:.3g}",
            f"{record['queries_per_run']:,.0f}",
            f"{record['expected_runs']:.3g}",
            f"{record['qubits']:.0f}",
            show_seconds(record["simulator_seconds"]),
        )
        for record in records
    )
    return Table(f"{records[0]['solver']}: what a quantum computer would have to do", head, rows)


def _error(record: Record) -> float | None:
    found = record.get("error")
    return None if found is None or math.isnan(found) else float(found)


def _seconds(record: Record) -> float | None:
    if record.get("seconds") is None:
        return None
    return float(record["setup_seconds"] + record["seconds"])


def _axis(record: Record, axis: str) -> Any:
    return record["task"] if axis == "task" else record["problem"][axis]


def _number(record: Record, axis: str) -> int:
    found = _axis(record, axis)
    return int(found[0] if axis == "shape" else found)


def _cell_name(record: Record) -> str:
    problem = record["problem"]
    m, n = problem["shape"]
    return f"{m} x {n}, rank {problem['rank']}, kappa {problem['kappa']}"
