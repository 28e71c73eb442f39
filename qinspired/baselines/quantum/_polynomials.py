"""Polynomials that stand for 1/x on [-1, 1] outside a gap around 0, in forms that keep their digits at any degree.

All but the kernel reflection are odd: with |P| <= M on [-1, 1], quantum singular value transformation applies P/M to
a block encoding in as many queries as the degree.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import acosh, asin, asinh, atanh, ceil, erfc, exp, pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = [
    "OddPolynomial",
    "childs_kothari_somma",
    "decay",
    "optimal",
    "reflect",
    "reflection_terms_needed",
    "ridge_series",
]

# A gap of 1 would put the pole of 1/T_l at infinity; from degree 3 on, this one leaves residuals below 1e-12.
_LARGEST_GAP = 1.0 - 1e-6
# Multiples of 1/2^28 of half a turn, times orders below 2^25, have 53 digits.
_ANGLE_STEPS = float(1 << 28)
# Sines held at a time: 32 MB.
_CHUNK_SINES = 1 << 22
# Points an oscillation at which the largest value is sought, before refinement between two of them.
_POINTS = 16
# From here on tails of the binomial law are taken from their expansion in 1/b, whose next term is below 1e-14.
_LARGE_LAW = 1 << 20


@dataclass(frozen=True, slots=True)
class OddPolynomial:
    """An odd polynomial P and what is known of it.

    Attributes
    ----------
    degree : int
        Its degree, the number of queries.
    evaluate : callable
        P at an array of points of [-1, 1].
    residual : float
        Upper bound of |P(x)/f(x) - 1| for 1/kappa <= |x| <= 1, f the function that P stands for.
    largest : float
        max |P| on [-1, 1].
    """

    degree: int
    evaluate: Callable[[Float64Array], Float64Array]
    residual: float
    largest: float


def decay(gap: float, terms: int) -> float:
    """Return 1/T_l((1 + gap^2)/(1 - gap^2)) = 1/cosh(2 l artanh(gap)), the residual of the optimal polynomial."""
    if terms == 1 and gap > _LARGEST_GAP:
        return (1.0 - gap**2) / (1.0 + gap**2)
    small = exp(-2.0 * terms * atanh(min(gap, _LARGEST_GAP)))
    return 2.0 * small / (1.0 + small**2)


def optimal(kappa: float, terms: int) -> OddPolynomial:
    """Return the P of degree 2l - 1 with the least max |1 - x P(x)| on [1/kappa, 1]: l steps of Chebyshev iteration.

    P(x) = [1 - T_l(z(x))/T_l(z(0))]/x with z(x) = (1 + d^2 - 2x^2)/(1 - d^2) and d = 1/kappa.
    """
    gap = 1.0 / kappa if terms == 1 else min(1.0 / kappa, _LARGEST_GAP)
    residual = decay(gap, terms)

    def evaluate(x: Float64Array) -> Float64Array:
        size = np.minimum(np.abs(x), 1.0)
        if terms == 1:
            return np.asarray(np.copysign(2.0 * size / (1.0 + gap**2), x))
        P = np.zeros(len(size))
        # Inside the gap z > 1, and T_l = cosh(2 l artanh w). The difference of two such terms, relative to the larger,
        # is a product of factors without cancellation, so that P keeps its digits down to x = 0.
        inside = (size < gap) & (size > 0.0)
        v = size[inside]
        rest = (1.0 - v) * (1.0 + v)
        w = np.sqrt((gap - v) * (gap + v) / rest)
        step = np.arctanh(v**2 * ((1.0 - gap**2) / (rest * (gap + w) * (1.0 - gap * w))))
        whole = 2.0 * terms * atanh(gap)
        P[inside] = np.expm1(2.0 * (terms * step - whole)) * np.expm1(-2.0 * terms * step) / (1.0 + exp(-2.0 * whole))
        outside = size >= gap
        v = size[outside]
        angle = 2.0 * np.arctan2(np.sqrt((v - gap) * (v + gap)), np.sqrt((1.0 - v) * (1.0 + v)))
        P[outside] = 1.0 - np.cos(terms * angle) * residual
        np.divide(P, size, out=P, where=size > 0.0)
        return np.asarray(np.copysign(P, x))

    degree = 2 * terms - 1
    largest = _largest(evaluate, degree, guess=gap, reach=1.0 + residual, tail=0.0)
    return OddPolynomial(degree=degree, evaluate=evaluate, residual=residual, largest=largest)


def childs_kothari_somma(kappa: float, b: int, last: int) -> OddPolynomial:
    """Return the Chebyshev series of [1 - (1 - x^2)^b]/x, cut after T_(2 last + 1).

    Its coefficients, 4 (-1)^j 2^(-2b) sum_(i > j) binom(2b, b + i), are tails of a binomial law.
    """
    gap = 1.0 / kappa
    weights = 4.0 * _binomial_tails(b, 0, last + 1)
    if b < _LARGE_LAW:
        # The part cut off, summed as far as it is not below e^-64; Hoeffding's inequality bounds the rest.
        far = min(b, last + 1 + 8 * ceil(sqrt(b)))
        dropped = 4.0 * float(np.sum(_binomial_tails(b, last + 1, far)))
        dropped += 4.0 * max(0, b - far) * exp(-(far**2) / b)
    else:
        # A convex function at midpoints is below its integral; tails are below 1 + 2/b times those of the normal law.
        z = (last + 1) / sqrt(b)
        dropped = (2.0 + 4.0 / b) * sqrt(b) * (exp(-(z**2)) / sqrt(pi) - z * erfc(z))
    # |1 - x P| <= (1 - x^2)^b + x |dropped|.
    residual = exp(b * float(np.log1p(-(gap**2)))) + dropped if gap < 1.0 else dropped
    degree = 2 * last + 1
    evaluate = _sine_series(weights)
    largest = _largest(evaluate, degree, guess=min(1.0, 1.12 / sqrt(b)), reach=1.0, tail=dropped, weights=weights)
    return OddPolynomial(degree=degree, evaluate=evaluate, residual=residual, largest=largest)


def ridge_series(kappa: float, width: float, terms: int) -> OddPolynomial:
    """Return the Chebyshev series of x/(x^2 + width^2), cut after T_(2 terms - 1).

    The series is (2/sqrt(1 + s^2)) sum_j (-1)^j q^(2j + 1) T_(2j + 1) with q = exp(-arsinh s).
    """
    rate, factor = asinh(width), 2.0 / sqrt(1.0 + width**2)
    dropped = factor * exp(-(2 * terms + 1) * rate) / -float(np.expm1(-2.0 * rate))
    # x + s^2/x is convex, so largest at an end of [1/kappa, 1].
    steepest = max(1.0 + width**2, 1.0 / kappa + width**2 * kappa)
    weights = factor * np.exp(-rate * (2.0 * np.arange(terms) + 1.0))
    evaluate = _sine_series(weights)
    degree = 2 * terms - 1
    largest = _largest(evaluate, degree, guess=min(1.0, width), reach=1.0, tail=dropped, weights=weights)
    return OddPolynomial(degree=degree, evaluate=evaluate, residual=dropped * steepest, largest=largest)


def _binomial_tails(b: int, first: int, stop: int) -> Float64Array:
    """Return P(X > b + j), first <= j < stop, for the binomial law of 2b fair throws."""
    if b < _LARGE_LAW:
        # Beyond 40 sqrt(b) probabilities are below e^-1600. Sums of their ratios have more digits than scipy's tails.
        i = np.arange(min(b, 40 * ceil(sqrt(b))), dtype=np.float64)
        ratios = np.cumprod((b - i) / (b + i + 1.0))
        sums = np.cumsum(ratios[::-1])[::-1]
        found = np.zeros(max(stop, len(sums)))
        found[: len(sums)] = sums / (1.0 + 2.0 * sums[0])
        return np.asarray(found[first:stop])
    from scipy.special import erfc as tails

    j = np.arange(first, stop, dtype=np.float64)
    # The normal law at half steps and the term in 1/b, of its curvature and of the kurtosis.
    z = (j + 0.5) / sqrt(b)
    x = sqrt(2.0) * z
    return np.asarray(0.5 * tails(z) - np.exp(-(z**2)) * (x**3 - x) / (24.0 * sqrt(2.0 * pi) * b), dtype=np.float64)


def _sine_series(weights: Float64Array) -> Callable[[Float64Array], Float64Array]:
    """Return sum_j w_j (-1)^j T_(2j+1), as sum_j w_j sin((2j+1) arcsin x): terms of one sign near 0."""
    orders = 2.0 * np.arange(len(weights)) + 1.0

    def evaluate(x: Float64Array) -> Float64Array:
        turns = np.arcsin(np.clip(x, -1.0, 1.0)) / pi
        # Orders times this part are exact, and so is what full turns leave of them: the product itself, rounded, would
        # be off by eps times the order.
        coarse = np.round(turns * _ANGLE_STEPS) / _ANGLE_STEPS
        P = np.empty(len(turns))
        step = max(1, _CHUNK_SINES // len(weights))
        for start in range(0, len(turns), step):
            part = slice(start, start + step)
            halves = np.multiply.outer(coarse[part], orders)
            halves -= 2.0 * np.round(0.5 * halves)
            halves += np.multiply.outer(turns[part] - coarse[part], orders)
            P[part] = np.sin(pi * halves) @ weights
        return P

    return evaluate


def _largest(
    evaluate: Callable[[Float64Array], Float64Array],
    degree: int,
    *,
    guess: float,
    reach: float,
    tail: float,
    weights: Float64Array | None = None,
) -> float:
    """Return max |P| on [0, 1], known that |P(x)| <= reach/x + tail beyond the largest value's place.

    With the `weights` of a sine series many values are those of one fast transform.
    """
    from scipy.optimize import minimize_scalar

    floor = float(np.abs(evaluate(np.array([guess])))[0])
    limit = min(1.0, reach / (floor - tail)) if floor > tail else 1.0
    # A polynomial of degree D in x is one of D in the angle arcsin x, so this grid misses no oscillation.
    n_points = ceil(asin(limit) * _POINTS * degree / pi) + 8
    if weights is not None and n_points * len(weights) > _CHUNK_SINES:
        angles, sizes = _sine_transform(weights)
        inside = angles <= asin(limit)
        angles, sizes = np.append(angles[inside], asin(limit)), np.abs(sizes[inside])
    else:
        angles = np.linspace(0.0, asin(limit), n_points)
        sizes = np.abs(evaluate(np.sin(angles)))
    k = int(np.argmax(sizes))
    low, high = float(angles[max(k - 1, 0)]), float(angles[min(k + 1, len(angles) - 1)])

    def negative(angle: float) -> float:
        return -float(np.abs(evaluate(np.array([np.sin(angle)])))[0])

    found = minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * high})
    return max(float(sizes[k]), -float(found.fun))


def _sine_transform(weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return angles pi (2k + 1)/(4N) in (0, pi/2) and sum_j w_j sin((2j+1) angle) at each."""
    from scipy.fft import dst, next_fast_len

    n = next_fast_len(_POINTS * len(weights), real=True)
    padded = np.zeros(n)
    padded[: len(weights)] = weights
    angles = np.asarray((2.0 * np.arange(n) + 1.0) * (pi / (4 * n)), dtype=np.float64)
    return angles, np.asarray(0.5 * dst(padded, type=4, overwrite_x=True), dtype=np.float64)


def reflection_terms_needed(kappa: float, ratio: float) -> int:
    """Return the least l with T_l(z(0)) >= `ratio` in the kernel reflection."""
    return max(1, ceil(acosh(max(1.0, ratio)) / (2.0 * atanh(min(1.0 / kappa, _LARGEST_GAP))) - 1e-12))


def reflect(
    values_sq: Float64Array,
    w: npt.NDArray[Any],
    start: npt.NDArray[Any],
    *,
    gap: float,
    terms: int,
) -> npt.NDArray[Any]:
    """Return K(G) start for G^H G = diag(values_sq) - w w^H, K Dalzell's reflection about the kernel of G.

    K(x) = -1 + 2 (T_l(z(x)) + 1)/(T_l(z(0)) + 1), z as in `optimal`, even of degree 2l, with K(0) = 1 and, on [gap,
    1], values between -1 and -1 + 4/(T_l(z(0)) + 1).
    """
    gap = min(gap, _LARGEST_GAP)
    spread = 1.0 - gap**2
    z0 = (1.0 + gap**2) / spread

    def apply(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(z0 * y - (values_sq * y - w * np.vdot(w, y)) * (2.0 / spread))

    # The recurrence of T_k(Z) start/T_k(z0): the scaled vectors stay below 1, so that rounding does not grow.
    ratio, before, now = 1.0 / z0, start, apply(start) / z0
    inverse = ratio
    for _ in range(terms - 1):
        new_ratio = 1.0 / (2.0 * z0 - ratio)
        before, now = now, 2.0 * new_ratio * apply(now) - new_ratio * ratio * before
        ratio = new_ratio
        inverse *= ratio
    return np.asarray(2.0 * (now + inverse * start) / (1.0 + inverse) - start)
