"""Verdicts: which solver met the tolerance, which was fastest, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qinspired.algorithms import ErrorEstimate

__all__ = ["Outcome", "conclude", "judge", "percent", "promise_broken", "show_seconds"]

# Two times closer than this are called equal: repeated runs of one solver differ by as much.
_TIE = 1.1

# Below this ratio "1.0x slower" would be printed.
_AS_FAST = 1.05

# A matrix below this size is passed over in milliseconds, which no sampling overhead can undercut by much.
_SMALL_BYTES = 100_000_000

# What `method` says where all of A was used instead of a sample.
_UNSAMPLED = ("exact", "polished", "randomized", "frequent_directions")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one solver did on one task.

    Attributes
    ----------
    name : str
        The solver.
    ours : bool
        Whether it is qinspired's own.
    status : {"ok", "error", "skipped"}
        Whether there is an answer.
    reason : str
        The error or why it was skipped.
    method : str
        What was used in the end.
    setup_seconds, solve_seconds : float
        Medians over the runs.
    setup_bytes, solve_bytes : int or None
        Bytes of A read.
    error : float
        The largest true error of the runs.
    certified : ErrorEstimate or None
        The claim of the run with that error.
    warned : bool
        Whether a run warned that its tolerance is not certified.
    converged : bool
        Whether every run of an iterative solver converged.
    runs : int
        Timed runs.
    """

    name: str
    ours: bool
    status: Literal["ok", "error", "skipped"] = "ok"
    reason: str = ""
    method: str = ""
    setup_seconds: float = 0.0
    solve_seconds: float = 0.0
    setup_bytes: int | None = 0
    solve_bytes: int | None = None
    error: float = 0.0
    certified: ErrorEstimate | None = None
    warned: bool = False
    converged: bool = True
    runs: int = 1

    @property
    def seconds(self) -> float:
        """Set-up and solve together, the time that is compared."""
        return self.setup_seconds + self.solve_seconds

    def meets(self, tolerance: float) -> bool:
        """Whether there is an answer and its true error is within the tolerance."""
        return self.status == "ok" and self.error <= tolerance


def judge(outcomes: Sequence[Outcome], tolerance: float) -> list[str]:
    """Return one verdict for each outcome.

    Parameters
    ----------
    outcomes : sequence of Outcome
        All solvers of one task.
    tolerance : float
        The largest true error allowed.

    Returns
    -------
    list of str
        "fastest that meets 5 %", "meets, 3.1x slower", "misses 5 %", "error: ..." or "skipped: ...".
    """
    fastest = min((o.seconds for o in outcomes if o.meets(tolerance)), default=0.0)
    return [_verdict(outcome, tolerance, fastest) for outcome in outcomes]


def conclude(outcomes: Sequence[Outcome], tolerance: float, shape: tuple[int, int], n_bytes: int) -> str:
    """Return one sentence that names the best rival and the best of ours.

    Parameters
    ----------
    outcomes : sequence of Outcome
        All solvers of one task.
    tolerance : float
        The largest true error allowed.
    shape : (int, int)
        Of A.
    n_bytes : int
        Bytes of one pass over A.

    Returns
    -------
    str
        The faster of the two by set-up and solve together, and by how much.
    """
    asked = percent(tolerance)
    rivals = [o for o in outcomes if not o.ours and o.meets(tolerance)]
    # A published algorithm has no certificate, and a warned one none that holds: neither keeps a promise.
    own = [o for o in outcomes if o.ours and o.certified is not None and not o.warned and o.meets(tolerance)]
    if not rivals and not own:
        return f"No solver met {asked}."
    if not own:
        return f"None of ours met and certified {asked}; {_timed(_fastest(rivals))}."
    if not rivals:
        return f"Only ours met {asked}: {_timed(_fastest(own))}."
    best, rival = _fastest(own), _fastest(rivals)
    ratio = best.seconds / max(rival.seconds, 1e-12)
    size = f"{shape[0]} x {shape[1]}, {n_bytes / 1e6:.3g} MB"
    data = f"; the data is small ({size})." if n_bytes < _SMALL_BYTES else f" on {size}."
    if max(ratio, 1.0 / max(ratio, 1e-12)) < _TIE:
        return f"About equal{data} {_timed(best)}; {_timed(rival)}."
    if ratio < 1.0:
        how = "Ours wins here, without sampling" if best.method in _UNSAMPLED else "Sampling wins here"
        return f"{how}{data} {_timed(best)}, {_times(1.0 / ratio)} faster than the best rival; {_timed(rival)}."
    used = ", though ours used all rows too" if best.method in _UNSAMPLED else ""
    times = f"{_timed(rival)}; {_timed(best)}, {_times(ratio)} slower"
    return f"An established solver wins here{used}{data} {times}."


def promise_broken(outcomes: Sequence[Outcome], tolerance: float) -> list[str]:
    """Return the names of our solvers that chose their method themselves and still missed the tolerance."""
    return [o.name for o in outcomes if o.ours and o.name.endswith("auto") and not o.meets(tolerance)]


def percent(value: float) -> str:
    """Return a share in per cent, such as "5 %"."""
    return f"{100.0 * value:.3g} %"


def show_seconds(seconds: float) -> str:
    """Return a time with its unit, to three digits."""
    if math.isnan(seconds):
        return "—"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= 0.9995 * scale:
            return f"{_digits(seconds / scale)} {unit}"
    return f"{_digits(seconds / 1e-6)} µs"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 99.95 else f"{ratio:.1f}x"


def _fastest(outcomes: Sequence[Outcome]) -> Outcome:
    return min(outcomes, key=lambda o: o.seconds)


def _timed(outcome: Outcome) -> str:
    # A method pinned by name says no more; "auto" says what it chose.
    chosen = f" (by {outcome.method})" if outcome.ours and outcome.name.endswith("auto") else ""
    if outcome.setup_seconds == 0.0:
        return f"{outcome.name}{chosen}: {show_seconds(outcome.solve_seconds)}"
    parts = f"set-up {show_seconds(outcome.setup_seconds)} + solve {show_seconds(outcome.solve_seconds)}"
    return f"{outcome.name}{chosen}: {show_seconds(outcome.seconds)} ({parts})"


def _verdict(outcome: Outcome, tolerance: float, fastest: float) -> str:
    if outcome.status != "ok":
        return f"{outcome.status}: {outcome.reason}"
    asked = percent(tolerance)
    tail = "" if outcome.converged else ", not converged"
    if not outcome.meets(tolerance):
        if outcome.warned:
            tail += ", and warns"
        elif outcome.certified is not None and outcome.certified.high <= tolerance:
            tail += " though certified"
        return f"misses {asked}{tail}"
    if outcome.warned:
        tail += ", not certified"
    if outcome.seconds <= fastest:
        return f"fastest that meets {asked}{tail}"
    if outcome.seconds < _AS_FAST * fastest:
        return f"meets, as fast to {percent(_AS_FAST - 1.0)}{tail}"
    return f"meets, {_times(outcome.seconds / max(fastest, 1e-12))} slower{tail}"
