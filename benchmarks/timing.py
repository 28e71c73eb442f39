"""Side-by-side timing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Threads of OpenBLAS spin for some 25 ms after a call, on the cores of whoever comes next: right after a threaded rival
# `low_rank` took 29, 60 and 132 ms (k = 10 at 3, 1 and 0.3 %), 23, 36 and 64 after this pause, and with
# OPENBLAS_THREAD_TIMEOUT=4, with which they sleep at once, 19, 30 and 54 with a rival between as without.
_PAUSE = 0.1


@dataclass
class Timing:
    """Seconds of one contender over the rounds of a comparison, and the accuracy it reached."""

    seconds: list[float] = field(default_factory=list)
    error: float = float("nan")

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))


def side_by_side(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[Timing, Any]]:
    """Time contenders in turn, A B C A B C ..., after one untimed call each; return timings and last results.

    Before each call there is a pause, so that no contender pays for threads that another left spinning.
    """
    results = {name: run() for name, run in contenders.items()}
    timings = {name: Timing() for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            time.sleep(_PAUSE)
            started = time.perf_counter()
            results[name] = run()
            timings[name].seconds.append(time.perf_counter() - started)
    return {name: (timings[name], results[name]) for name in contenders}
