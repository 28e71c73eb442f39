"""The estimate of a sum of products: its value, its interval, its scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction
from qinspired.algorithms._mean_intervals import bernstein_interval, student_interval
from qinspired.algorithms._sides import summands

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, RNGLike
    from qinspired.algorithms._sides import Side

__all__ = ["Estimate", "check_choice", "estimate_sum", "scaled", "within_bound"]

_ONE_SIDED = "without draws from both factors the summands have no known bound"

# A summand above its bound by more than rounding says that a law or a `bound_norm` is wrong.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number estimated from draws, with a confidence interval.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        Ends of the interval, low <= value <= high.
    confidence : float
        Probability with which the interval is meant to cover the truth; 1.0 where the value is exact.
    n_draws : int
        Draws that were made; 0 where none was needed.

    Examples
    --------
    >>> import qinspired as qi
    >>> print(qi.Estimate(-2.5, -3.0, -2.0, 0.95, 100))
    -2.5 [-3, -2]
    """

    value: float
    low: float
    high: float
    confidence: float
    n_draws: int

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def estimate_sum(left: Side, right: Side, n_draws: int, rng: RNGLike, confidence: float, interval: str) -> Estimate:
    """Return the estimate of the sum over points of left times right."""
    n_draws, confidence = check_count(n_draws, "n_draws", low=2), check_fraction(confidence, "confidence")
    check_choice(interval, "interval", ("student", "bernstein"))
    generator = as_generator(rng)
    bounded = left.sampled and right.sampled
    if interval == "bernstein" and not bounded:
        raise ValueError(f"`interval` must be 'student' here: {_ONE_SIDED}. Give the other factor draws too.")
    if left.is_zero or right.is_zero:
        return Estimate(0.0, 0.0, 0.0, 1.0, 0)
    values, units = summands(left, right, n_draws, generator)
    value = float(values.mean())
    if bounded:
        halves = (within_bound(values) + 1.0) / 2.0
        if interval == "bernstein":
            low, high = (2.0 * end - 1.0 for end in bernstein_interval(halves, confidence))
        else:
            low, high = student_interval(values, confidence, 1.0)
        low, high = min(max(low, -1.0), value), max(min(high, 1.0), value)
    else:
        low, high = student_interval(values, confidence, 0.0)
    value, low, high = (scaled(number, units) for number in (value, low, high))
    return Estimate(value, low, high, confidence, n_draws)


def within_bound(values: Float64Array) -> Float64Array:
    largest = float(np.abs(values).max())
    if largest > 1.0 + _ROUNDING:
        raise ValueError(
            f"a summand exceeds its bound by a factor of {largest:.3g}, so that a `bound_norm` or a law in "
            "`probabilities` must be wrong: |x_i| <= bound_norm sqrt(P(i)) must hold for every i."
        )
    return np.clip(values, -1.0, 1.0)


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def scaled(number: float, units: tuple[float, ...]) -> float:
    """Return the product, by mantissas and exponents: 1e200 times 1e-300 times 1e200 does not overflow midway."""
    mantissa, exponent = math.frexp(number)
    for unit in units:
        part, shift = math.frexp(unit)
        mantissa, exponent = mantissa * part, exponent + shift
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        raise OverflowError(
            "the estimate or an end of its interval exceeds 1.8e308; divide a factor by a constant first."
        ) from None
