"""Polynomials of a block encoding, applied to the coefficients of b: degrees, bounds and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from math import asinh, ceil, log, sqrt
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from qinspired._validation import check_count
from qinspired.baselines.quantum import _polynomials
from qinspired.baselines.quantum._choices import is_word, warn_of_failure
from qinspired.baselines.quantum._query_counts import childs_kothari_somma_terms, optimal_terms

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array
    from qinspired.baselines.quantum._basis import SpectralProblem

__all__ = ["Output", "PolynomialName", "check_degree", "find_flaws", "reflect", "transform"]

PolynomialName: TypeAlias = Literal["optimal", "cks", "reflection"]
_MAX_DEGREE = 10_000_000
_EPS = float(np.finfo(np.float64).eps)
_OPTIMAL_ROUNDING = 10.0 * _EPS
# Share of the tolerance from which rounding is told; less is made up for by the degree.
_ROUNDING_SHARE = 0.1
# Estimates of |x| beyond it would make a kappa whose squares overflow.
_LARGEST_NORM = 1e100


@dataclass(frozen=True, slots=True)
class Output:
    """Coefficients of the unnormalised output in the right basis, and what came with them.

    `error_bound` bounds the sine of the angle to the exact state, wherever the spectrum keeps to kappa; an estimate of
    the `rounding` of the simulation is in it.
    """

    coefficients: npt.NDArray[Any]
    degree: int
    needed: int
    error_bound: float
    rounding: float
    largest: float
    to_solution: float


def transform(
    problem: SpectralProblem,
    scaled: Float64Array,
    degree: int | Literal["auto"],
    kappa: float,
    name: PolynomialName,
    penalty: float,
    sine: float,
) -> Output:
    """Apply an odd polynomial."""
    b = 0
    if penalty > 0.0:
        width = sqrt(penalty)
        likely = 2 * _ridge_terms(kappa, width, sine) - 1
        needed = 2 * _ridge_terms(kappa, width, _without_rounding(sine, _series_rounding(likely))) - 1
    elif name == "cks":
        b, last = childs_kothari_somma_terms(kappa, sine)  # whose residual is below sine/2
        needed = 2 * last + 1
    else:
        needed = _degree_for(name, kappa, sine)
    used = needed if is_word(degree, "auto") else check_count(degree, "degree", low=1)
    check_degree(used)
    if used % 2 == 0:
        raise ValueError(f"`degree` must be odd for an odd polynomial; got {used}. Take {used + 1}.")
    terms = (used + 1) // 2
    rounding = _series_rounding(used) if name == "cks" or penalty > 0.0 else _OPTIMAL_ROUNDING
    if penalty > 0.0:
        P = _polynomials.ridge_series(kappa, width, terms)
    elif name == "cks":
        P = _polynomials.childs_kothari_somma(kappa, b, terms - 1)
    else:
        P = _polynomials.optimal(kappa, terms)
    return Output(
        coefficients=P.evaluate(scaled) * problem.coefficients,
        degree=used,
        needed=needed,
        error_bound=P.residual + rounding,
        rounding=rounding,
        largest=P.largest,
        to_solution=1.0,
    )


def reflect(
    problem: SpectralProblem,
    scaled: Float64Array,
    degree: int | Literal["auto"],
    kappa: float,
    t: float,
    exact_norm: float,
    sine: float,
) -> Output:
    """Apply the reflection about the kernel of (I - b' b'^H) diag(A/alpha, 1/t) to (0, 1), with A and b scaled."""
    missing = problem.outside_mass + float(np.sum(np.abs(problem.coefficients[scaled == 0.0]) ** 2))
    # What is outside turns the kernel by up to kappa times its size over |x|; only rounding is let through.
    if sqrt(missing) > max(1e-13, 0.01 * sine * exact_norm / max(kappa, t)):
        raise ValueError(
            "`b` must lie in the column space of `A` for polynomial 'reflection', which solves A x = b and has no "
            f"least squares; a share {missing:.2e} of |b|^2 is outside. Use polynomial 'optimal'."
        )
    if t < 1.0 - 1e-9:
        raise ValueError(
            f"`solution_norm` must be at least |b|/alpha, below which no solution is; got {t:.6g} of that."
        )
    if t > _LARGEST_NORM:
        raise ValueError(f"`solution_norm` must be at most {_LARGEST_NORM:.0e} |b|/alpha; got {t:.3g} of that.")
    t = max(t, 1.0)
    kappa = max(kappa, t)  # the entry 1/t is a singular value of the enlarged matrix
    # The sine of the angle is at most 1/(c T_l), and c = 1/sqrt 2 where t is |x|. It is not known otherwise.
    needed = _degree_for("reflection", kappa, sine)
    used = needed if is_word(degree, "auto") else check_count(degree, "degree", low=2)
    check_degree(used)
    if used % 2:
        raise ValueError(f"`degree` must be even for polynomial 'reflection'; got {used}. Take {used + 1}.")
    gap = 1.0 / kappa
    ends = np.append(scaled, 1.0 / t)
    w = ends * np.append(problem.coefficients, 1.0) / sqrt(2.0)
    start = np.zeros(len(ends), dtype=w.dtype)
    start[-1] = 1.0
    kept = _polynomials.reflect(ends**2, w, start, gap=gap, terms=used // 2)[:-1]
    cosine = t / float(np.hypot(t, exact_norm))
    bound = _polynomials.decay(gap, used // 2) / cosine
    rounding = _reflection_rounding(kappa)
    if bound > sine:
        needed = max(used, 2 * _polynomials.reflection_terms_needed(kappa, 1.0 / (cosine * sine)))
    # 2 sin cos of the angle to the kernel, over |x|: what the exact reflection multiplies x by.
    return Output(
        coefficients=kept,
        degree=used,
        needed=needed,
        error_bound=bound + rounding,
        rounding=rounding,
        largest=1.0,
        to_solution=(t**2 + exact_norm**2) / (2.0 * t),
    )


def _series_rounding(degree: int) -> float:
    # Errors of the terms add up as a random walk, worst where x is near a sine of simple fractions of pi.
    return _EPS * (100.0 + 20.0 * sqrt(degree))


def _reflection_rounding(kappa: float) -> float:
    return _EPS * (50.0 + 0.25 * kappa**2)


def _without_rounding(sine: float, rounding: float) -> float:
    """Return what the polynomial may use up of the sine, where rounding leaves most of it."""
    return sine - rounding if rounding <= _ROUNDING_SHARE * sine else sine


def _degree_for(name: str, kappa: float, sine: float) -> int:
    if name == "reflection":
        left = _without_rounding(sine, _reflection_rounding(kappa))
        return 2 * _polynomials.reflection_terms_needed(kappa, sqrt(2.0) / left)
    if name == "cks":
        return 2 * childs_kothari_somma_terms(kappa, sine)[1] + 1
    return 2 * optimal_terms(kappa, _without_rounding(sine, _OPTIMAL_ROUNDING)) - 1


def _ridge_terms(kappa: float, width: float, sine: float) -> int:
    """Return the least number of terms of the ridge series whose bound of the relative error is below `sine`."""
    rate = asinh(width)
    steepest = max(1.0 + width**2, 1.0 / kappa + width**2 * kappa)
    level = 2.0 * steepest / (sqrt(1.0 + width**2) * -float(np.expm1(-2.0 * rate)) * sine)
    return max(1, ceil((log(level) / rate - 1.0) / 2.0))


def find_flaws(
    output: Output,
    kappa: float,
    kappa_block: float,
    sine: float,
    tol: float,
    probability: float,
    name: str,
    width: float,
) -> tuple[str, ...]:
    flaws = []
    if kappa < kappa_block * (1.0 - 1e-9):
        flaws.append(
            f"singular values below alpha/kappa are not inverted as they should be: `kappa` is {kappa:.6g} and that of "
            f"the block encoding {kappa_block:.6g}. With it, the tolerance needs degree "
            f"{2 * _ridge_terms(kappa_block, width, sine) - 1 if width else _degree_for(name, kappa_block, sine)}."
        )
    proven = output.error_bound - output.rounding
    if proven > sine * (1.0 + 1e-9):
        flaws.append(
            f"degree {output.degree} keeps the error only below {output.error_bound:.3g}; the tolerance {tol:.3g} "
            f"needs degree {output.needed}."
        )
    if output.error_bound > sine and output.rounding > _ROUNDING_SHARE * sine:
        flaws.append(
            f"rounding in the simulation may add about {output.rounding:.1e} to the error, which breaks the promise of "
            f"the tolerance {tol:.3g}. Ask for a larger `tolerance`."
        )
    return (*flaws, *warn_of_failure(probability))


def check_degree(degree: int) -> None:
    if degree > _MAX_DEGREE:
        size = degree if degree < 10**15 else "one beyond 1e15"
        raise ValueError(
            f"`degree` must be at most {_MAX_DEGREE}; got {size}, given or asked for by the spectrum of `A` or a small "
            "`ridge`. Give a truncated SVD of `A` or a smaller `kappa`, which leave out the smallest singular values, "
            "a larger `ridge`, or a smaller `degree`."
        )
