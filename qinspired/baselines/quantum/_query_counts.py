"""How often each quantum linear-system solver uses the block encoding of A, in closed form.

`kappa` is that of the block encoding, alpha/sigma_min, which is |A|_F/sigma_min for data loaded as a tree of row norms.
"""

from __future__ import annotations

from math import acosh, asin, atanh, ceil, log, pi, sin, sqrt
from typing import Literal

__all__ = [
    "ADIABATIC_STEPS",
    "adiabatic_queries",
    "amplification",
    "childs_kothari_somma_terms",
    "optimal_terms",
    "reflection_queries",
]

# Walk steps a unit of kappa of the discrete adiabatic solver (arXiv:2111.08152): its strict bound and the mean over
# random matrices, about 1,200 times smaller, both as arXiv:2312.07690 gives them.
ADIABATIC_STEPS = {"proven": 2305.0, "empirical": 1.84}


# Root of tan z = 2 z.
_BEST_ANGLE = 1.1655611852072114


def optimal_terms(kappa: float, tolerance: float) -> int:
    """Return the least l whose polynomial of degree 2l - 1 has |1 - x P(x)| <= `tolerance` on [1/kappa, 1]."""
    if kappa <= 1.0:
        return 1
    # arcosh((1 + d^2)/(1 - d^2)) with d = 1/kappa, in a form that keeps its digits where d^2 is below rounding.
    return max(1, ceil(acosh(1.0 / tolerance) / (2.0 * atanh(1.0 / kappa))))


def childs_kothari_somma_terms(kappa: float, tolerance: float) -> tuple[int, int]:
    """Return (b, j0) of the polynomial of degree 2 j0 + 1 of Childs, Kothari and Somma (arXiv:1511.02306, lemma 14)."""
    b = ceil(kappa**2 * log(kappa / tolerance))
    return b, ceil(sqrt(b * log(4.0 * b / tolerance)))


def reflection_queries(kappa: float, tolerance: float, *, norm_known: bool) -> float:
    """Return the queries of Dalzell's solver (arXiv:2406.12086), whose reflections also prepare b twice a query.

    With |x| known, kappa ln(2 sqrt(2)/tolerance), to leading order; with |x| unknown, the explicit bound 56 kappa +
    1.05 kappa ln(1/tolerance), to which the paper adds a term o(kappa) that is not counted here.
    """
    if norm_known:
        return kappa * log(2.0 * sqrt(2.0) / tolerance)
    return 56.0 * kappa + 1.05 * kappa * log(1.0 / tolerance)


def adiabatic_queries(kappa: float, tolerance: float, *, constant: Literal["proven", "empirical"]) -> float:
    """Return the walk steps of the discrete adiabatic solver and of the filter after it, kappa ln(2/tolerance).

    The proven constant is 2305; the empirical one, 1.84, is from random matrices (arXiv:2312.07690) and is no bound. A
    step of the walk is one query.
    """
    return ADIABATIC_STEPS[constant] * kappa + kappa * log(2.0 / tolerance)


def amplification(probability: float) -> tuple[int, float]:
    """Return the rounds of amplitude amplification and the expected circuit runs for one success.

    The rounds m make (2m + 1)/sin^2((2m + 1) theta), theta = arcsin sqrt p, least: (2m + 1) theta is next to the root
    1.1656 of tan z = 2 z, not pi/2 (Boyer, Brassard, Hoyer and Tapp 1998). The runs so never grow with p.
    """
    theta = asin(sqrt(min(1.0, probability)))
    near = int((_BEST_ANGLE / theta - 1.0) / 2.0) if theta < _BEST_ANGLE else 0
    candidates = {0: 1.0 / probability}
    for rounds in (near, near + 1):
        turns = 2 * rounds + 1
        if rounds and turns * theta < pi / 2.0 + theta:
            candidates[rounds] = turns / sin(turns * theta) ** 2
    best = min(candidates, key=lambda rounds: candidates[rounds])
    return best, candidates[best]
