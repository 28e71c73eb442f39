"""Checks and choices that the quantum solvers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_fraction, check_positive
from qinspired.baselines.quantum._basis import KERNEL_TOLERANCE

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array
    from qinspired.baselines.quantum._basis import SpectralProblem
    from qinspired.baselines.quantum._filters import Filter

__all__ = [
    "always_fails",
    "check_choice",
    "check_kappa_encoding",
    "check_norm",
    "check_tolerance",
    "choose_alpha",
    "exact_coordinates",
    "extreme_magnitudes",
    "is_word",
    "refuse_failure",
    "warn_of_failure",
]

_LOW_PROBABILITY = 1e-6
# Rounding of amplitudes, squared: a probability of no more than that, with rotations by up to 1, is none.
_LEAST_SHARE = 1e-28
# Below it an error would be lost in the rounding of unit vectors.
_LEAST_TOLERANCE = 1e-14
# Squares of condition numbers up to this one, times any count, are finite.
_LARGEST_KAPPA = 1e100


def is_word(value: Any, word: str) -> bool:
    """Return whether a value is this string; an array compares with it entry by entry."""
    return isinstance(value, str) and value == word


def check_choice(value: Any, name: str, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError for a value that is none of the strings and booleans allowed."""
    value = bool(value) if isinstance(value, np.bool_) else value
    if not any(value is choice or (isinstance(choice, str) and is_word(value, choice)) for choice in allowed):
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


def exact_coordinates(problem: SpectralProblem, wanted: Filter) -> tuple[Float64Array, npt.NDArray[Any]]:
    """Return the function wanted of each value, and the exact answer as a unit vector in the basis."""
    target = wanted(problem.values)
    # Only directions are compared with it, and squares of 1e-200 would vanish.
    exact = target / (float(np.abs(target).max()) or 1.0) * problem.coefficients
    norm = float(np.linalg.norm(exact))
    # What b has of a vector by rounding alone is no part of it.
    if norm == 0.0 or float(np.linalg.norm(problem.coefficients[target != 0.0])) <= KERNEL_TOLERANCE:
        raise ValueError(
            f"`{'threshold' if wanted.is_projection else 'filter'}` must leave a part of `b`; it is 0 on every "
            "eigenvalue or singular value that `b` touches."
        )
    return target, exact / norm


def always_fails(probability: float, rotation: Float64Array) -> bool:
    """Return whether a circuit succeeds by the rounding of its amplitudes only, or never."""
    return probability <= max(_LEAST_SHARE * float(np.abs(rotation).max()) ** 2, float(np.finfo(np.float64).tiny))


def refuse_failure(probability: float, rotation: Float64Array) -> None:
    """Refuse a circuit that always fails."""
    if always_fails(probability, rotation):
        raise ValueError(
            "`n_clock_qubits` and `C` must leave some success probability, and it is 0 to rounding here: every "
            "register that the eigenvalues reach is rotated by nothing. Raise `n_clock_qubits`, or bring `C` nearer to "
            "the eigenvalues."
        )


def check_norm(b_norm: float, scale: float, share: float) -> float:
    """Return |b| share/scale, the norm of the solution."""
    norm = share * b_norm / scale
    if not 0.0 < norm < np.inf:
        size = "smallest" if norm == 0.0 else "largest"
        raise ValueError(
            f"`A` and `b` must have a solution whose norm is a float64; it is beyond the {size} here. Scale `b`."
        )
    return norm


def warn_of_failure(probability: float) -> list[str]:
    """Return what there is to say about a success probability."""
    return [f"the success probability {probability:.1e} is very low."] if probability < _LOW_PROBABILITY else []
