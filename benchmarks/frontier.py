"""Excess error against seconds: every method of `low_rank` and every rival on one matrix, as records, lines and a plot.

`python benchmarks/frontier.py plot IN.jsonl [IN.jsonl ...] OUT.png` draws the plot from records written earlier.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from frontier_contenders import (
    STARTS,
    Answer,
    Case,
    Contender,
    OutOfTimeError,
    our_contenders,
    rivals,
    time_limit,
    usable_methods,
)
from frontier_truth import Truth
from timing import side_by_side

LEVELS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0001)


@dataclass
class Comparison:
    """Measures one case level by level, writes records as they come, and keeps lines to print."""

    case: Case
    out: Path
    budget: float
    rounds: int = 7
    lines: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._truth = Truth(self.case.A, self.case.optimal_error)
        self._cap = max(self.budget / 8.0, 5.0)
        self._out_of_use: set[str] = set()
        self._pace: dict[tuple[str, str], float] = {}
        self._behind: list[str] = []
        self._broken: list[str] = []

    def write(self, record: dict[str, Any]) -> None:
        with self.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def run(self, levels: Sequence[float] = LEVELS) -> list[str]:
        case = self.case
        started = time.perf_counter()
        self.write({"kind": "case", "matrix": case.name, "about": case.about, "rank": case.rank, **machine()})
        field_of_rivals = self._measure_rivals()
        usable = usable_methods(case, self._cap)
        for position, level in enumerate(levels):
            left = max(self.budget - (time.perf_counter() - started), 0.05 * self.budget)
            self._measure_level(level, field_of_rivals, usable, left / (len(levels) - position))
        for rival in field_of_rivals:
            self.write(rival.record(case, None))
        where = ", ".join(self._behind) or "nowhere"
        self.lines.append(f"    auto more than 10 % behind the fastest rival: {where}")
        self.lines.append(f"    certified within the level, but not so: {', '.join(self._broken) or 'nowhere'}")
        for reason, names in self.skipped.items():
            beyond = f" and {len(names) - 12} more" if len(names) > 12 else ""
            self.lines.append(f"    {reason}: {', '.join(names[:12])}{beyond}")
        if self._out_of_use:
            self.lines.append(f"    slow, not tried at smaller excesses: {', '.join(sorted(self._out_of_use))}")
        return self.lines

    def _skip(self, reason: str, name: str) -> None:
        self.skipped.setdefault(reason, []).append(name)

    def _call(self, contender: Contender, seed: int) -> bool:
        """Time one call within the cap; return whether it ended."""
        name = f"{contender.method} {contender.start}".strip()
        try:
            with time_limit(self._cap):
                started = time.perf_counter()
                answer = contender.run(seed)
                seconds = time.perf_counter() - started
        except OutOfTimeError:
            self._skip(f"stopped after {self._cap:.0f} s", name)
            self._pace[contender.key] = math.inf
            return False
        except Exception as error:
            self._skip(f"{type(error).__name__}: {str(error)[:120]}", name)
            return False
        contender.seconds.append(seconds if answer.seconds is None else answer.seconds)
        contender.answers.append(answer)
        return True

    def _judge(self, contenders: Sequence[Contender]) -> None:
        waiting = [(c, a) for c in contenders for a in c.answers[len(c.true) :]]
        found = self._truth.excesses([answer.components for _, answer in waiting])
        for (contender, answer), excess in zip(waiting, found, strict=True):
            contender.true.append(excess)
            answer.components = np.zeros((0, 0))

    def _measure_rivals(self) -> list[Contender]:
        found, started = [], time.perf_counter()
        for position, rival in enumerate(rivals(self.case, self._cap)):
            if position >= 3 and time.perf_counter() - started > 0.35 * self.budget:
                self._skip("not measured, out of time", rival.method)
            elif self._call(rival, 0):
                if rival.median < self._cap / 15:
                    rival.seconds.clear()  # the first call warms up
                    rival.answers.clear()
                    self._call(rival, 0)
                found.append(rival)
        self._judge(found)
        for rival in found:
            self.write(rival.record(self.case, None))
        return found

    def _measure_level(
        self, level: float, field_of_rivals: list[Contender], usable: set[tuple[str, str]], share: float
    ) -> None:
        started = time.perf_counter()
        measured = []
        field_of_ours = our_contenders(self.case, level, {key for key in usable if key[0] not in self._out_of_use})
        # "auto" first, then in the order of the level before, so that what runs out of time is what is slow.
        field_of_ours.sort(key=lambda c: (c.method != "auto", self._pace.get(c.key, math.inf)))
        for contender in field_of_ours:
            name = contender.method
            if name in self._out_of_use:
                continue
            if name != "auto" and time.perf_counter() - started > 0.5 * share:
                self._skip("not measured, out of time", f"{name} {contender.start} at {level:.2%}")
            elif self._call(contender, 0):
                measured.append(contender)
                self._pace[contender.key] = contender.median
            if name != "auto" and contender.key in self._pace and self._pace[contender.key] > self._cap / 5:
                self._out_of_use.add(name)
        self._judge(measured)
        auto = {c.start: c for c in measured if c.method == "auto"}
        best = {start: _fastest(c for c in measured if c.start == start and c.reaches(level)) for start in STARTS}
        in_race = sorted((r for r in field_of_rivals if r.reaches(level)), key=lambda r: r.median)[:3]
        finalists = {c.key: c for c in [*in_race, *auto.values(), *(b for b in best.values() if b)]}
        self._final(list(finalists.values()), 0.4 * share)
        for contender in measured:
            self.write(contender.record(self.case, level))
            if max(a.certified for a in contender.answers) <= level < max(contender.true):
                self._broken.append(f"{contender.method} {contender.start} at {level:.2%} ({max(contender.true):.3%})")
        self._summarise(level, _fastest(in_race), auto, best, measured)

    def _final(self, finalists: list[Contender], share: float) -> None:
        """Time the finalists in interleaved rounds, each with a seed of its own."""
        longest = sum(c.median for c in finalists)
        rounds = max(1, min(self.rounds, int(share / max(longest, 1e-9)) - 1))
        if longest * 2 > 3 * self._cap:
            return  # one measurement each
        logs: dict[str, list[Answer]] = {}
        steps = {}
        for contender in finalists:
            seeds, log = itertools.count(), logs.setdefault(" ".join(contender.key), [])

            def step(c: Contender = contender, seeds: Iterator[int] = seeds, log: list[Answer] = log) -> None:
                log.append(c.run(next(seeds)))

            steps[" ".join(contender.key)] = step
        try:
            with time_limit(2.0 * share + self._cap):
                timed = side_by_side(steps, rounds)
        except (OutOfTimeError, Exception) as error:
            self._skip(f"one measurement each: {type(error).__name__} {str(error)[:100]}", ", ".join(steps))
            return
        for contender in finalists:
            name = " ".join(contender.key)
            counted = logs[name][1:]
            own = [a.seconds for a in counted if a.seconds is not None]
            contender.seconds = own or timed[name][0].seconds
            if contender.start:
                contender.answers += counted[:3]  # the truth of three more seeds
        self._judge([c for c in finalists if c.start])

    def _summarise(
        self,
        level: float,
        rival: Contender | None,
        auto: dict[str, Contender],
        best: dict[str, Contender | None],
        measured: list[Contender],
    ) -> None:
        case = self.case
        against = f"{rival.method} {rival.median:.4g} s, true {max(rival.true):.2g}" if rival else "no rival reaches it"
        self.lines.append(f"frontier {case.name} at {level:.4g}: fastest rival {against}")
        for who, chosen in (("auto", auto), ("best", best)):
            parts = []
            for start, target in zip(STARTS, case.targets.get(level, (0.0, 0.0, 0.0)), strict=True):
                ours = chosen.get(start)
                ratio = rival.median / ours.median if ours and rival else math.nan
                parts.append(f"{start} {self._told(level, ours, rival, ratio, target if who == 'auto' else 0.0)}")
                if who == "auto" and ours and rival and start == "cold" and (ratio < 0.9 or not ours.reaches(level)):
                    self._behind.append(f"{level:.2%} ({ratio:.2f}x)")
                self.write(
                    {
                        "kind": "summary",
                        "matrix": case.name,
                        "tolerance": level,
                        "who": who,
                        "start": start,
                        "method": ours.method if ours else None,
                        "ratio": ratio if math.isfinite(ratio) else None,
                        "target": target or None,
                        "rival": rival.method if rival else None,
                        "reached": bool(ours and ours.reaches(level)),
                    }
                )
            self.lines.append(f"    {who}: " + " | ".join(parts))
        if not measured:
            self.lines.append("    nothing of ours ended in time")

    @staticmethod
    def _told(level: float, ours: Contender | None, rival: Contender | None, ratio: float, target: float) -> str:
        if ours is None:
            return "not measured or not reached"
        certified = max(a.certified for a in ours.answers)
        reached = "" if ours.reaches(level) else "NOT REACHED, "
        pace = f"{ours.median:.4g} s"
        if rival:
            pace = f"{ratio:.2f}x" + (" SLOWER" if ratio < 1.0 else "")
        aim = f" (target {target:g}x{'' if ratio >= target else ', MISSED'})" if target and rival else ""
        used = ours.answers[-1].used
        method = used if ours.method == used.split(" ")[0] else f"{ours.method}: {used}"
        return f"{pace}{aim} {method}, {reached}true {max(ours.true):.2g}, certified {certified:.2g}"


def _fastest(contenders: Any) -> Contender | None:
    return min(contenders, key=lambda c: c.median, default=None)


def machine() -> dict[str, Any]:
    from threadpoolctl import threadpool_info

    threads = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    return {"cores": os.cpu_count(), "threads": threads, "machine": platform.machine(), "numpy": np.__version__}


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] != "plot":
        sys.exit("usage: python benchmarks/frontier.py plot IN.jsonl [IN.jsonl ...] OUT.png")
    from frontier_plot import plot

    plot([Path(name) for name in sys.argv[2:-1]], Path(sys.argv[-1]))
