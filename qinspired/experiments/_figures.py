"""Figures of a comparison as SVG text, by matplotlib."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.experiments._verdicts import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qinspired.experiments._compare import TaskReport

__all__ = [
    "OURS",
    "RIVAL",
    "TRUE",
    "certificate_figure",
    "decay_figure",
    "error_time_figure",
    "inline_svg",
    "new_figure",
]

# Colours of Okabe and Ito, which colour-blind readers can tell apart.
OURS, RIVAL, TRUE = "#0072b2", "#777777", "#d55e00"

# Errors this far below the tolerance are drawn at the bottom: their size does not matter to who asked for it.
_SHOWN_BELOW = 1e-3

# Singular values this far below the largest are rounding.
_ROUNDING = 1e-16


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
        Without a window.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'figures need matplotlib, which is not installed; run `pip install "qinspired[plot]"`.'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def inline_svg(figure: Figure, label: str, prefix: str) -> str:
    """Return a figure as an SVG element that stands alone inside a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    label : str
        What a screen reader says; already escaped for an attribute.
    prefix : str
        Put before every id, so that those of two figures on one page differ.

    Returns
    -------
    str
        Without XML declaration, namespaces and metadata, which HTML does not need.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "qinspired", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def error_time_figure(report: TaskReport) -> Figure:
    """Return true error against set-up + solve time, one numbered point for each solver of the table."""
    figure = new_figure(8.5, 4.4)
    axes = figure.subplots()
    names: list[tuple[Any, str]] = []
    floor = report.task.tolerance * _SHOWN_BELOW
    errors = []
    for number, outcome in enumerate(report.outcomes, 1):
        if outcome.status != "ok" or not outcome.seconds > 0.0 or not np.isfinite(outcome.error):
            continue
        error = max(outcome.error, floor)
        errors.append(error)
        (point,) = axes.loglog(
            1e3 * outcome.seconds,
            error,
            "o" if outcome.ours else "s",
            color=OURS if outcome.ours else RIVAL,
            markersize=14,
            alpha=0.85,
            linestyle="none",
            markeredgecolor="white",
        )
        axes.annotate(
            str(number),
            (1e3 * outcome.seconds, error),
            ha="center",
            va="center",
            color="white",
            fontsize=8,
            fontweight="bold",
        )
        names.append((point, f"{number}  {_safe(outcome.name)}"))
    axes.axhline(report.task.tolerance, color=TRUE, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"asked: {percent(report.task.tolerance)}",
        (1.0, report.task.tolerance),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        color=TRUE,
        fontsize=9,
    )
    axes.set_ylim(floor / 2.0, max([*errors, report.task.tolerance]) * 3.0)
    axes.margins(x=0.12)
    what = (
        "true excess over the best error (relative)"
        if report.task.kind == "low-rank"
        else "true error |A(x − x*)| / |Ax*|"
    )
    axes.set_xlabel("set-up + solve time (ms)")
    axes.set_ylabel(what)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_title(
        f"Below the line meets the tolerance, left is faster; errors below {floor:.0e} are at the bottom",
        fontsize=10,
    )
    if names:
        axes.legend(
            [point for point, _ in names],
            [name for _, name in names],
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            fontsize=8,
            frameon=False,
            markerscale=0.5,
        )
    return figure


def decay_figure(report: TaskReport) -> Figure | None:
    """Return the singular values of A, or None for a linear task."""
    values = report.truth.singular_values
    if not len(values) or values[0] <= 0.0:
        return None
    figure = new_figure(6.5, 3.6)
    axes = figure.subplots()
    share = values / values[0]
    shown = share > _ROUNDING
    axes.semilogy(np.arange(1, len(share) + 1)[shown], share[shown], color=OURS, linewidth=1.5)
    axes.axvline(report.task.rank, color=TRUE, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"rank {report.task.rank}",
        (report.task.rank, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(5, -12),
        textcoords="offset points",
        color=TRUE,
        fontsize=9,
    )
    axes.set_xlabel("index")
    axes.set_ylabel("singular value / largest")
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_title(
        f"Singular values; best rank-{report.task.rank} error {percent(report.truth.best_error)} of |A|_F",
        fontsize=11,
    )
    return figure


def certificate_figure(report: TaskReport) -> Figure | None:
    """Return the certified intervals beside the true errors, or None where no sampled answer has one."""
    certified = [
        (outcome.name.removeprefix("qinspired "), outcome.certified, outcome.error)
        for outcome in report.outcomes
        if outcome.status == "ok" and outcome.certified is not None and outcome.certified.confidence < 1.0
    ]
    if not certified:
        return None
    figure = new_figure(7.5, 1.5 + 0.42 * len(certified))
    axes = figure.subplots()
    for row, (_, interval, error) in enumerate(certified):
        ends = [100.0 * interval.low, 100.0 * min(interval.high, 1e3)]
        axes.plot(
            ends,
            [row, row],
            color=OURS,
            linewidth=3,
            solid_capstyle="butt",
            label="95 % interval" if row == 0 else None,
        )
        axes.plot(
            100.0 * interval.value,
            row,
            "|",
            color=OURS,
            markersize=14,
            markeredgewidth=2,
            label="estimate" if row == 0 else None,
        )
        axes.plot(100.0 * error, row, "D", color=TRUE, markersize=7, label="true error" if row == 0 else None)
    _mark_tolerance(axes, report.task.tolerance)
    axes.set_yticks(range(len(certified)), [_safe(name) for name, _, _ in certified])
    axes.set_ylim(len(certified) - 0.5, -0.5)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("error (%)")
    axes.set_title("Certified intervals beside the true error", fontsize=11)
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _mark_tolerance(axes: Axes, tolerance: float) -> None:
    axes.axvline(100.0 * tolerance, color=TRUE, linestyle="--", linewidth=1.2, label=f"asked: {percent(tolerance)}")


def _safe(text: str) -> str:
    # A dollar sign would start mathematics.
    return text.replace("$", r"\$")
