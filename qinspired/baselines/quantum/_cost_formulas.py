"""Closed formulas behind the projected costs of quantum solvers: loading, Hamiltonian simulation, solvers, read-out.

`kappa` is that of the block encoding, alpha/sigma_min, and tolerances are of states of unit length, in the l2 norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from qinspired.baselines.quantum._query_counts import childs_kothari_somma_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array

__all__ = [
    "Lookup",
    "amplitude_estimation_uses",
    "cks_peak",
    "cks_response",
    "is_extrapolated",
    "qrom",
    "simulation_degree",
    "tomography_copies",
    "tomography_copies_bound",
]

# Beyond this, d(tau) - tau is scaled as tau^(1/3), its law in the transition region of the Bessel functions.
_LARGEST_TAU = 1e6


@dataclass(frozen=True, slots=True)
class Lookup:
    """One table lookup.

    Attributes
    ----------
    toffoli : int
        Toffoli gates.
    ancillas : int
        Qubits besides the address: the swapped words, of which one is the output, and the unary iteration's.
    width : int
        Words swapped at a time, lambda.
    """

    toffoli: int
    ancillas: int
    width: int


def qrom(n_words: int, word_bits: int, *, power_of_two: bool = False, restored: bool = False) -> Lookup:
    """Return the cheapest select-swap lookup of `n_words` words of `word_bits` bits.

    Toffoli: max(0, ceil(L/lambda) - 2) for the unary iteration and b (lambda - 1) for the swaps; twice and four times
    that if the swapped words are `restored` (and lambda > 1). Any width lambda splits the address into a quotient and
    a remainder, which is free for powers of two only: the best of those costs up to 6% more.
    """

    def toffoli(width: int) -> int:
        again = restored and width > 1
        select = max(0, -(-n_words // width) - 2)
        return (2 if again else 1) * select + (4 if again else 1) * word_bits * (width - 1)

    # The sum is convex in lambda but for the ceiling, so that the best is next to the root of the derivative.
    balance = isqrt(max(1, n_words // ((2 if restored else 1) * word_bits)))
    if power_of_two:
        widths = [1 << k for k in range(max(1, balance).bit_length() + 2)]
    else:
        widths = [1, *range(max(1, balance - 3), balance + 5)]
    width: int = min((w for w in widths if w <= n_words), key=toffoli)
    iterated = -(-n_words // width)
    return Lookup(toffoli(width), word_bits * width + max(0, (iterated - 1).bit_length() - 1), width)


def simulation_degree(tau: float, tolerance: float) -> int:
    """Return the least k with 2 sum_{l >= k} |J_l(tau)| <= tolerance: where the Jacobi-Anger series is cut."""
    if tau > _LARGEST_TAU:
        ahead = simulation_degree(_LARGEST_TAU, tolerance) - _LARGEST_TAU
        return ceil(tau + ahead * float((tau / _LARGEST_TAU) ** (1.0 / 3.0)))
    # J_l(tau) vanishes as exp(-(2/3) (2 (l - tau)^3/tau)^(1/2)) beyond l = tau and faster far out; before it the sum
    # of the terms exceeds any tolerance below 1.
    spread = 10.0 * max(1.0, tau) ** (1.0 / 3.0)
    first = max(0, int(tau - spread))
    orders = np.arange(first, int(tau + 4.0 * spread + 60.0))
    tails = 2.0 * np.cumsum(np.abs(scipy.special.jv(orders, tau))[::-1])[::-1]
    return first + int(np.count_nonzero(tails > tolerance))


def is_extrapolated(tau: float) -> bool:
    """Return whether `simulation_degree` follows a law beyond the times at which it was computed."""
    return tau > _LARGEST_TAU


def cks_response(x: Float64Array, kappa: float, tolerance: float) -> Float64Array:
    """Return (1 - (1 - x^2)^b)/x, of which the polynomial of arXiv:1511.02306 is a truncation to within `tolerance`."""
    b, _ = childs_kothari_somma_terms(kappa, tolerance)
    return np.asarray(-np.expm1(float(b) * np.log1p(-np.minimum(x * x, 1.0 - 1e-16))) / x)


def cks_peak(kappa: float, tolerance: float) -> float:
    """Return a bound on the maximum of that polynomial over [-1, 1]."""
    b, _ = childs_kothari_somma_terms(kappa, tolerance)
    return _peak(lambda x: cks_response(x, kappa, tolerance), b**-0.5) + tolerance


def _peak(response: Callable[[Float64Array], Float64Array], scale: float) -> float:
    coarse = np.linspace(0.0, min(1.0, 4.0 * scale), 4001)[1:]
    at = float(coarse[int(np.argmax(np.abs(response(coarse))))])
    step = float(coarse[0])
    fine = np.linspace(max(step * 1e-3, at - step), min(1.0, at + step), 2001)
    return float(np.abs(response(fine)).max())


def tomography_copies(size: int, tolerance: float) -> int:
    """Return d/(4 delta^2): copies for which the expected squared l2 error of the magnitudes is (d-1)/(4N) or less."""
    return ceil(size / (4.0 * tolerance**2))


def tomography_copies_bound(size: int, tolerance: float) -> int:
    """Return 36 d ln d/delta^2, the proven number for the magnitudes; the signs take as many again."""
    return ceil(36.0 * size * log(max(size, 2)) / tolerance**2)


def amplitude_estimation_uses(tolerance: float) -> int:
    """Return P with 2 pi/P + 2 pi^2/P^2 <= tolerance: points of amplitude estimation for a mean in [-1, 1].

    A mean is 2p - 1 and the error of p at most 2 pi sqrt(p (1 - p))/P + pi^2/P^2, with probability 8/pi^2 or more
    (arXiv:quant-ph/0005055); p = 1/2 is the worst.
    """
    return ceil(pi * (1.0 + sqrt(1.0 + 2.0 * tolerance)) / tolerance)
