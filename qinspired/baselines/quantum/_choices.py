"""Checks and choices that the quantum solvers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_fraction, check_positive

if TYPE_CHECKING:
    from qinspired.baselines.quantum._basis import SpectralProblem

__all__ = [
    "check_choice",
    "check_kappa_encoding",
    "check_tolerance",
    "choose_alpha",
    "extreme_magnitudes",
    "warn_of_failure",
]

_LOW_PROBABILITY = 1e-6
# Below it an error would be lost in the rounding of unit vectors.
_LEAST_TOLERANCE = 1e-14
# Squares of condition numbers up to this one, times any count, are finite.
_LARGEST_KAPPA = 1e100


def check_choice(value: Any, name: str, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError for a value that is none of the strings and booleans allowed."""
    if not any(
        value is choice or (isinstance(choice, str) and isinstance(value, str) and value == choice)
        for choice in allowed
    ):
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"`{name}` must be one of {choices}; got {value!r}.")


def check_tolerance(value: Any, name: str) -> float:
    """Return a number in [1e-14, 1)."""
    found = check_fraction(value, name)
    if found < _LEAST_TOLERANCE:
        raise ValueError(
            f"`{name}` must be at least {_LEAST_TOLERANCE:.0e}, as smaller errors are lost in the rounding of 64-bit "
            f"numbers; got {found}."
        )
    return found


def check_kappa_encoding(kappa: float, name: str, remedy: str) -> float:
    """Return a condition number of a block encoding, at most 1e100."""
    if not kappa <= _LARGEST_KAPPA:
        raise ValueError(
            f"`{name}` must keep kappa of the block encoding, alpha over the smallest singular value, at most "
            f"{_LARGEST_KAPPA:.0e}; got {kappa:.3g}. {remedy}"
        )
    return kappa


def extreme_magnitudes(problem: SpectralProblem) -> tuple[float, float]:
    """Return the largest and the smallest non-zero |eigenvalue| or singular value."""
    magnitudes = np.abs(problem.values[problem.values != 0.0])
    return float(magnitudes.max()), float(magnitudes.min())


def choose_alpha(alpha: Any, problem: SpectralProblem) -> float:
    """Return the norm of the block encoding of A/alpha."""
    largest, _ = extreme_magnitudes(problem)
    if isinstance(alpha, str):
        if alpha not in ("frobenius", "norm"):
            raise ValueError(f"`alpha` must be a number > 0, 'frobenius' or 'norm'; got {alpha!r}.")
        # Scaled, so that squares of 1e200 do not overflow.
        return largest if alpha == "norm" else largest * float(np.linalg.norm(problem.values / largest))
    found = check_positive(alpha, "alpha")
    if found < largest * (1.0 - 1e-9):
        raise ValueError(
            f"`alpha` must be at least |A| = {largest:.6g}, as A/alpha has no block encoding otherwise; got {found}."
        )
    return max(found, largest)


def warn_of_failure(probability: float) -> list[str]:
    """Return what there is to say about a success probability."""
    return [f"the success probability {probability:.1e} is very low."] if probability < _LOW_PROBABILITY else []
