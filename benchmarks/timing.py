"""Side-by-side timing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Timing:
    """Seconds of one contender over the rounds of a comparison, and the accuracy it reached."""

    seconds: list[float] = field(default_factory=list)
    error: float = float("nan")

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))


def side_by_side(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[Timing, Any]]:
    """Time contenders in turn, A B C A B C ..., after one untimed call each; return timings and last results."""
    results = {name: run() for name, run in contenders.items()}
    timings = {name: Timing() for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            results[name] = run()
            timings[name].seconds.append(time.perf_counter() - started)
    return {name: (timings[name], results[name]) for name in contenders}
