"""How often each quantum linear-system solver uses the block encoding of A, in closed form.

`kappa` is that of the block encoding, alpha/sigma_min, which is |A|_F/sigma_min for data loaded as a tree of row norms.
"""

from __future__ import annotations

from math import acosh, ceil, log, sqrt

__all__ = ["childs_kothari_somma_terms", "optimal_terms", "reflection_terms"]


def optimal_terms(kappa: float, tolerance: float) -> int:
    """Return l of the odd polynomial of degree 2l - 1 with max |1 - x P(x)| <= `tolerance` on [1/kappa, 1], the least."""
    gap_sq = kappa**-2
    return max(1, ceil(acosh(1.0 / tolerance) / acosh((1.0 + gap_sq) / (1.0 - gap_sq)))) if kappa > 1.0 else 1


def childs_kothari_somma_terms(kappa: float, tolerance: float) -> tuple[int, int]:
    """Return (b, j0) of the polynomial of degree 2 j0 + 1 of Childs, Kothari and Somma (arXiv:1511.02306, lemma 14)."""
    b = ceil(kappa**2 * log(kappa / tolerance))
    return b, ceil(sqrt(b * log(4.0 * b / tolerance)))


def reflection_terms(kappa: float, tolerance: float) -> int:
    """Return l of Dalzell's kernel reflection (arXiv:2406.12086), an even polynomial of degree 2l."""
    return ceil(kappa * log(2.0 / tolerance) / 2.0)
