"""What a number of drawn runs of a circuit tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_count

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import IntArray

__all__ = ["ShotEstimate", "check_shots", "count_shots", "estimate_shots"]

_MOST_SHOTS = 10**18


@dataclass(frozen=True, slots=True)
class ShotEstimate:
    """What a number of runs of the circuit tells, drawn at random from the exact law.

    Attributes
    ----------
    n_shots, n_successes : int
        Runs, and runs that passed the post-selection asked for.
    counts : ndarray of int64, shape (n,), or None
        How often each entry of the answer was found among the successes. None where `hhl` does not post-select
        the clock: the state is then mixed, and its law is not computed.
    probability, probability_stderr : float
        Share of successes p, and its standard error sqrt(p (1 - p)/shots).
    norm, norm_stderr : float
        |b| sqrt(p)/C, the estimate of |x|, and its standard error |b| sqrt((1 - p)/shots)/(2 C), to first
        order. For `qsvt` alpha/M takes the place of C; NaN for its polynomial "reflection", whose probability does
        not tell the norm.
    """

    n_shots: int
    n_successes: int
    counts: IntArray | None
    probability: float
    probability_stderr: float
    norm: float
    norm_stderr: float


def check_shots(shots: Any) -> int | None:
    """Return a number of runs, or None."""
    if shots is None:
        return None
    found = check_count(shots, "shots", low=1)
    if found > _MOST_SHOTS:
        raise ValueError(f"`shots` must be at most {_MOST_SHOTS:.0e}, as they are counted in 64 bits; got {found}.")
    return found


def count_shots(
    generator: np.random.Generator,
    n_shots: int,
    probability: float,
    unit: float,
    state: npt.NDArray[Any] | None,
) -> ShotEstimate:
    """Draw runs that succeed with a probability, and an index of the state for each success; `unit` is |x| at p = 1."""
    n_successes = int(generator.binomial(n_shots, min(1.0, probability)))
    counts = None
    if state is not None:
        law = state.real**2 + state.imag**2
        counts = generator.multinomial(n_successes, law / law.sum())
    return estimate_shots(n_shots, n_successes, unit, counts)


def estimate_shots(n_shots: int, n_successes: int, unit: float, counts: IntArray | None) -> ShotEstimate:
    """Return what drawn runs tell."""
    if np.isinf(unit):
        raise ValueError(
            "`A` and `b` must have a norm |b|/C that is a float64 for `shots`; it is beyond the largest here. Scale "
            "`b`."
        )
    found = n_successes / n_shots
    return ShotEstimate(
        n_shots=n_shots,
        n_successes=n_successes,
        counts=counts,
        probability=found,
        probability_stderr=float(np.sqrt(found * (1.0 - found) / n_shots)),
        norm=unit * float(np.sqrt(found)),
        norm_stderr=0.5 * unit * float(np.sqrt((1.0 - found) / n_shots)),
    )
