"""The plot of the frontier: excess error against seconds, one panel a matrix."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frontier_contenders import METHODS, STARTS

_FLOOR = 1e-5
_COLOURS = {"cold": "#0072B2", "warm": "#D55E00", "no index": "#009E73", "": "#555555"}


def read_records(paths: Sequence[Path]) -> dict[str, dict[tuple[Any, ...], dict[str, Any]]]:
    """Return the records of each matrix; of two with the same key the later one."""
    found: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            key = tuple(record.get(name) for name in ("kind", "method", "start", "tolerance", "who"))
            found.setdefault(record["matrix"], {})[key] = record
    return found


def plot(paths: Sequence[Path], out: Path) -> None:
    """Draw excess against seconds, one panel a matrix: ours by start, rivals as squares."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matrices = read_records(paths)
    columns = min(2, len(matrices))
    lines = -(-len(matrices) // columns)
    figure = Figure(figsize=(8.0 * columns, 5.6 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    placed = [(axes, _panel(axes, records.values())) for axes, records in zip(panels, matrices.values(), strict=False)]
    for axes in panels[len(matrices) :]:
        axes.set_visible(False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, labels in placed:
        _place(axes, labels)
    figure.savefig(out, dpi=130)


def _panel(axes: Any, records: Any) -> list[tuple[float, float, str, str]]:
    records = list(records)
    about = next(r for r in records if r["kind"] == "case")
    labels = []
    series: dict[str, list[tuple[float, float]]] = {}
    for r in records:
        if r["kind"] != "rival":
            continue
        x, y = r["seconds"], max(r["true_excess"], _FLOOR)
        axes.plot(x, y, "s", color=_COLOURS[""], markersize=6, markerfacecolor="white", zorder=2)
        labels.append((x, y, _short(r["method"]), _COLOURS[""]))
        if "iter" in r["method"]:
            series.setdefault(r["method"].split("(")[0], []).append((x, y))
    for points in series.values():
        if len(points) > 1:
            axes.plot(*zip(*sorted(points), strict=True), "-", color=_COLOURS[""], alpha=0.25, linewidth=1, zorder=1)
    for start in STARTS:
        ours = [r for r in records if r["kind"] == "ours" and r["start"] == start]
        points = {m: [(r["seconds"], max(r["true_excess"], _FLOOR)) for r in ours if r["method"] == m] for m in METHODS}
        for method, found in points.items():
            if not found:
                continue
            if method == "auto":
                found.sort(key=lambda point: -point[1])
                axes.plot(*zip(*found, strict=True), "o-", color=_COLOURS[start], markersize=6, linewidth=2, zorder=4)
                labels.append((*found[0], f"auto, {start}", _COLOURS[start]))
            else:
                axes.plot(*zip(*found, strict=True), ".", color=_COLOURS[start], markersize=5, alpha=0.5, zorder=3)
        labels += _front(ours, start)
    axes.set(xscale="log", yscale="log", xlabel="seconds", ylabel="excess over the best error")
    axes.set_title(f"{about['matrix']}: {about['about']}", fontsize=9)
    axes.set_ylim(_FLOOR / 2, None)
    axes.margins(x=0.12)
    ticks = [_FLOOR, 1e-4, 1e-3, 1e-2, 1e-1]
    axes.set_yticks(ticks, labels=["0.001 % or less", "0.01 %", "0.1 %", "1 %", "10 %"])
    low, high = axes.get_xlim()
    times = [step * 10.0**power for power in range(-4, 4) for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    axes.set_xticks(times, labels=[f"{value:g}" for value in times])
    axes.minorticks_off()
    axes.grid(visible=True, color="#dddddd", linewidth=0.6, zorder=0)
    return labels


def _short(name: str) -> str:
    for long, short in (("randomized_svd", "randomized"), ("dask svd_compressed", "dask"), ("n_power_iter", "q")):
        name = name.replace(long, short)
    return name.replace("n_iter", "q").replace("svds(", "").replace("(q=", " q=").rstrip(")")


def _front(ours: list[dict[str, Any]], start: str) -> list[tuple[float, float, str, str]]:
    """Return labels of the pinned methods that are fastest at their error, one for each method."""
    named = {}
    for r in sorted(ours, key=lambda r: r["seconds"]):
        beaten = any(o["seconds"] < r["seconds"] and o["true_excess"] <= r["true_excess"] for o in ours)
        if r["method"] != "auto" and not beaten and r["method"] not in named:
            named[r["method"]] = (r["seconds"], max(r["true_excess"], _FLOOR), r["method"], _COLOURS[start])
    return list(named.values())


def _place(axes: Any, labels: list[tuple[float, float, str, str]]) -> None:
    """Write each label beside its point, where it covers no other label and no other point."""
    from matplotlib.patheffects import withStroke
    from matplotlib.text import Text

    renderer = axes.figure.canvas.get_renderer()
    points = [tuple(axes.transData.transform((x, y))) for x, y, _, _ in labels]
    frame = axes.get_window_extent(renderer)
    taken: list[Any] = []
    order = sorted(zip(labels, points, strict=True), key=lambda pair: not pair[0][2].startswith("auto"))
    for (x, y, text, colour), own in order:
        for dx, dy in itertools.chain.from_iterable(map(_around, (7, 16, 28, 42, 58))):
            note = axes.annotate(
                text,
                (x, y),
                (dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="center",
                fontsize=7.5,
                color=colour,
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4}
                if max(dx, -dx, dy, -dy) > 10
                else None,
                zorder=5,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
            note.update_positions(renderer)
            words = Text.get_window_extent(note, renderer)
            inside = frame.x0 <= words.x0 and words.x1 <= frame.x1 and frame.y0 <= words.y0 and words.y1 <= frame.y1
            covers = any(words.overlaps(o) for o in taken) or any(words.contains(*p) for p in points if p != own)
            if inside and not covers:
                taken.append(words)
                break
            note.remove()


def _around(reach: float) -> list[tuple[float, float]]:
    straight = [(reach, 0.0), (-reach, 0.0), (0.0, reach), (0.0, -reach)]
    return straight + [(dx, dy) for dx in (reach, -reach) for dy in (reach, -reach)]
