"""Queries of each quantum solver on one problem, for one copy of its output state."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import TYPE_CHECKING

import numpy as np

from qinspired.baselines.quantum._cost_formulas import cks_peak, cks_response, simulation_degree
from qinspired.baselines.quantum._hhl import hhl
from qinspired.baselines.quantum._polynomials import optimal
from qinspired.baselines.quantum._query_counts import (
    ADIABATIC_STEPS,
    adiabatic_queries,
    amplification,
    childs_kothari_somma_terms,
    optimal_terms,
    reflection_queries,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array
    from qinspired.baselines.quantum._cost_conditions import Problem
    from qinspired.baselines.quantum._cost_result import Basis

__all__ = ["Queries", "all_queries"]

# HHL is simulated with more and more clock qubits, up to this many singular values times register values at a time.
_LARGEST_CLOCK, _LARGEST_SIMULATION, _LARGEST_RANK = 18, 1 << 25, 2048

# Share of the tolerance for the clock; the rest is for the simulated evolutions.
_CLOCK_SHARE = 0.9

_HHL = "Harrow, Hassidim and Lloyd 2009, arXiv:0811.3171"
_ADIABATIC = "Costa et al. 2021, arXiv:2111.08152, and 2023, arXiv:2312.07690"
_SHORTCUT = "Dalzell 2024, arXiv:2406.12086"


@dataclass(frozen=True, slots=True)
class Queries:
    """What one copy of the output state takes; see `CostLine`."""

    algorithm: str
    basis: Basis
    queries: float | None
    state_preparations: float | None
    success_probability: float | None
    own_qubits: int
    note: str
    reference: str


def all_queries(problem: Problem, tolerance: float) -> list[Queries]:
    """Return the queries of every solver."""
    kappa = problem.kappa_encoding
    # The bound of these two is of the sine of the angle; this sine has the l2 distance `tolerance`, as in `qsvt`.
    sine = tolerance * sqrt(1.0 - tolerance**2 / 4.0)
    inside = "" if problem.outside <= tolerance**2 else "; assumes b in the column space of A, which it is not here"

    def theorem(name: str, queries: float, own: int, note: str, source: str, basis: Basis = "proven bound") -> Queries:
        return Queries(name, basis, queries, 2.0 * queries, None, own, note + inside, source)

    return [
        _hhl(problem, tolerance),
        _cks(problem, sine),
        _qsvt(problem, sine),
        theorem(
            "Dalzell, norm known",
            reflection_queries(kappa, tolerance, norm_known=True),
            3,
            "|x| is known beforehand; a factor 1 + O(tolerance) is dropped; two preparations of b a query",
            _SHORTCUT,
        ),
        theorem(
            "Dalzell, norm unknown",
            reflection_queries(kappa, tolerance, norm_known=False),
            3,
            "a term o(kappa) is dropped; two preparations of b a query",
            _SHORTCUT,
        ),
        theorem(
            "discrete adiabatic, proven",
            adiabatic_queries(kappa, tolerance, constant="proven"),
            4,
            "one attempt: a filter that fails, and starts again, is not counted; a walk step taken as one query and "
            "two preparations of b",
            _ADIABATIC,
        ),
        theorem(
            "discrete adiabatic, empirical",
            adiabatic_queries(kappa, tolerance, constant="empirical"),
            4,
            f"constant {ADIABATIC_STEPS['empirical']} found on random matrices; else as the line above",
            _ADIABATIC,
            "empirical constant",
        ),
        Queries(
            "quantum recommender",
            "asymptotic only",
            None,
            None,
            None,
            0,
            "projects a row on the singular values above a threshold; their estimation takes O~(|A|_F/precision)",
            "Kerenidis and Prakash 2016, arXiv:1603.08675",
        ),
    ]


def _qsvt(problem: Problem, tolerance: float) -> Queries:
    P = optimal(problem.kappa_encoding, optimal_terms(problem.kappa_encoding, tolerance))
    return _polynomial(
        "QSVT, optimal polynomial",
        problem,
        P.degree,
        P.largest,
        P.evaluate,
        tolerance,
        exact=True,
        reference="Gilyen et al. 2019, arXiv:1806.01838; polynomial: Chebyshev iteration",
    )


def _cks(problem: Problem, tolerance: float) -> Queries:
    kappa = problem.kappa_encoding
    degree = 2 * childs_kothari_somma_terms(kappa, tolerance)[1] + 1
    return _polynomial(
        "Childs-Kothari-Somma",
        problem,
        degree,
        cks_peak(kappa, tolerance),
        lambda x: cks_response(x, kappa, tolerance) - tolerance,
        tolerance,
        exact=False,
        reference="Childs, Kothari and Somma 2017, arXiv:1511.02306",
    )


def _polynomial(
    name: str,
    problem: Problem,
    degree: int,
    peak: float,
    response: Callable[[Float64Array], Float64Array],
    tolerance: float,
    *,
    exact: bool,
    reference: str,
) -> Queries:
    """Return the queries of an odd polynomial near 1/x, applied to b and amplified."""
    alpha = problem.frobenius_norm
    if problem.values is not None and problem.coefficients is not None:
        applied = response(problem.values / alpha) * problem.coefficients
        p = float(applied @ applied) / peak**2
        note = f"degree {degree}; success probability of this b"
    else:
        # |P(x)| >= (1 - tolerance)/x >= (1 - tolerance) alpha/sigma_max on the singular values.
        p = ((1.0 - tolerance) * alpha / (problem.sigma_max * peak)) ** 2
        note = f"degree {degree}; least success probability of any b in the column space of A"
    p = min(1.0, p)
    _, turns = amplification(p)
    basis: Basis = "exact instance" if exact and problem.values is not None else "proven bound"
    return Queries(name, basis, degree * turns, turns, p, 2, f"{note}; amplification with p known", reference)


def _hhl(problem: Problem, tolerance: float) -> Queries:
    name = "HHL"
    none = "O~(kappa^2/tolerance) simulated evolutions; {}"
    if problem.values is None or problem.coefficients is None:
        return Queries(
            name, "asymptotic only", None, None, None, 0, none.format("a number needs A or its SVD, and b"), _HHL
        )
    found = _clock_search(problem, _CLOCK_SHARE * tolerance)
    if found is None:
        reason = "no number: too many clock qubits or singular values to be simulated"
        return Queries(name, "asymptotic only", None, None, None, 0, none.format(reason), _HHL)
    t, time, p, turns = found
    # Errors of 2 t evolutions add up, and post-selection scales them by 1/sqrt(p) and 2 at most.
    each = 0.5 * (1.0 - _CLOCK_SHARE) * tolerance * sqrt(p) / (2 * t)
    degrees = [simulation_degree(problem.frobenius_norm * time * 2.0**i, each) for i in range(t)]
    # Forward and inverse; cosine and sine; times 3 for the oblivious amplification that adds them.
    queries = 2 * sum(2 * 3 * degree for degree in degrees) * turns
    return Queries(
        name,
        "exact instance",
        float(queries),
        turns,
        p,
        t + 4,
        f"{t} clock qubits, the fewest that reach the tolerance for this b, with the clock post-selected; evolutions "
        "by Jacobi-Anger series",
        _HHL,
    )


def _clock_search(problem: Problem, tolerance: float) -> tuple[int, float, float, float] | None:
    """Return clock qubits, evolution time, success probability and expected runs; None if out of reach."""
    values, coefficients = problem.values, problem.coefficients
    assert values is not None
    assert coefficients is not None
    r = len(values)
    if r > _LARGEST_RANK:
        return None
    # The circuit sees singular values, coefficients and the rest of b only: the same on the smallest such system.
    b = np.append(coefficients, sqrt(problem.outside))
    system = (np.eye(r + 1, r), values, np.eye(r))
    for t in range(max(2, ceil(log2(problem.kappa)) + 1), _LARGEST_CLOCK + 1):
        if r << t > _LARGEST_SIMULATION:
            return None
        run = hhl(system, b, n_clock_qubits=t)
        if run.l2_error <= tolerance:
            return t, float(run.parameters["evolution_time"]), run.success_probability, run.expected_runs
    return None
