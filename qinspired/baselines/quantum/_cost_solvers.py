"""Queries of each quantum solver on one problem, for one copy of its output state."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, get_args

import numpy as np

from qinspired.baselines.quantum._basis import SpectralProblem
from qinspired.baselines.quantum._choices import always_fails, exact_coordinates
from qinspired.baselines.quantum._clock import resolve_clock
from qinspired.baselines.quantum._cost_formulas import cks_peak, cks_response, is_extrapolated, simulation_degree
from qinspired.baselines.quantum._filters import resolve_filter
from qinspired.baselines.quantum._phase_estimation import Window, respond
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

# HHL is simulated with more and more clock qubits, up to this many and this many values times register values.
_LARGEST_CLOCK, _LARGEST_SIMULATION, _LARGEST_RANK = 18, 1 << 25, 2048

# Share of the tolerance for the clock; the rest is for the simulated evolutions.
_CLOCK_SHARE = 0.9

_HHL = "Harrow, Hassidim and Lloyd 2009, arXiv:0811.3171"
_ADIABATIC = "Costa et al. 2021, arXiv:2111.08152, and 2023, arXiv:2312.07690"
_SHORTCUT = "Dalzell 2024, arXiv:2406.12086"
# Of the theorems whose terms of lower order have no published constant.
_LEADING: Basis = "proven bound, leading order"


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

    @property
    def repeats(self) -> bool:
        """Whether a run may fail, be seen to, and start again."""
        return self.success_probability is not None or self.reference == _ADIABATIC


def all_queries(problem: Problem, tolerance: float) -> list[Queries]:
    """Return the queries of every solver."""
    kappa = problem.kappa_encoding
    # The bound of these two is of the sine of the angle; this sine has the l2 distance `tolerance`, as in `qsvt`.
    sine = tolerance * sqrt(1.0 - tolerance**2 / 4.0)
    inside = "" if problem.outside <= tolerance**2 else "; assumes b in the column space of A, which it is not here"

    def theorem(name: str, queries: float, own: int, note: str, source: str, basis: Basis = _LEADING) -> Queries:
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
    alpha = problem.alpha
    if problem.values is not None and problem.coefficients is not None:
        applied = response(np.abs(problem.values) / alpha) * problem.coefficients
        p = float(applied @ applied) / peak**2
        note = f"degree {degree}; success probability of this b"
    else:
        # |P(x)| >= (1 - tolerance)/x >= (1 - tolerance) alpha/sigma_max on the singular values.
        p = ((1.0 - tolerance) * (alpha / problem.sigma_max) / peak) ** 2
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
    runs = [_clock_search(problem, _CLOCK_SHARE * tolerance, window) for window in get_args(Window)]
    found = [_evolved(problem, tolerance, run) for run in runs if run is not None]
    if not found:
        reason = "no number: too many clock qubits or singular values to be simulated"
        return Queries(name, "asymptotic only", None, None, None, 0, none.format(reason), _HHL)
    queries, run, extrapolated = min(found, key=lambda each: each[0])
    note = (
        f"{run.n_qubits} clock qubits and the {run.window} window: of the windows {' and '.join(get_args(Window))}, "
        f"each with the fewest clock qubits from {run.first} on that reach the tolerance for this b, the one of fewer "
        f"queries; {'eigenbasis' if problem.hermitian else 'singular basis'}, evolution time and C by the rules of "
        "`hhl`, clock post-selected; evolutions by Jacobi-Anger series"
    )
    if len(found) < len(runs):
        note += "; the other window was out of reach"
    if extrapolated:
        note += "; degrees of the longest evolutions are extrapolated from shorter ones"
    basis: Basis = "empirical constant" if extrapolated else "exact instance"
    return Queries(name, basis, queries, run.turns, run.probability, run.n_qubits + 4, note, _HHL)


@dataclass(frozen=True, slots=True)
class _Run:
    """A simulated clock that keeps a tolerance, and the qubits from which the search for it went up."""

    n_qubits: int
    first: int
    window: Window
    time: float
    probability: float
    turns: float


def _evolved(problem: Problem, tolerance: float, run: _Run) -> tuple[float, _Run, bool]:
    """Return the queries for one copy, and whether a degree in them is extrapolated."""
    t = run.n_qubits
    # Errors of 2 t evolutions add up, and post-selection scales them by 1/sqrt(p) and 2 at most.
    each = 0.5 * (1.0 - _CLOCK_SHARE) * tolerance * sqrt(run.probability) / (2 * t)
    taus = [problem.alpha * run.time * 2.0**i for i in range(t)]
    # Forward and inverse; cosine and sine; times 3 for the oblivious amplification that adds them.
    queries = 2 * sum(2 * 3 * simulation_degree(tau, each) for tau in taus) * run.turns
    return float(queries), run, is_extrapolated(taus[-1])


def _clock_search(problem: Problem, tolerance: float, window: Window) -> _Run | None:
    """Return the run with the fewest clock qubits that keep the tolerance; None if out of reach."""
    values, coefficients = problem.values, problem.coefficients
    assert values is not None
    assert coefficients is not None
    r = len(values)
    if r > _LARGEST_RANK:
        return None
    # The circuit sees the values and the coefficients only. What of b is outside gives nothing: h(0) = 0 for an odd
    # rotation table, and a 0 among the eigenvalues stands for it otherwise.
    if problem.hermitian:
        values, coefficients = np.append(values, 0.0), np.append(coefficients, sqrt(problem.outside))
    unit = np.eye(len(values))
    system = SpectralProblem(
        kind="eigen" if problem.hermitian else "singular",
        shape=unit.shape,
        values=values,
        left=unit,
        right=unit,
        b_unit=coefficients,
        b_norm=1.0,
        coefficients=coefficients,
    )
    inverse = resolve_filter("inverse", 0.0, 0.0)
    _, exact = exact_coordinates(system, inverse)
    first = 1 if problem.hermitian and values.min() >= 0.0 else 2
    for t in range(first, _LARGEST_CLOCK + 1):
        if r << t > _LARGEST_SIMULATION:
            return None
        clock = resolve_clock(system, inverse, n_clock_qubits=t, window=window)
        assert clock.evolution_time is not None
        raw = respond(clock.phases(values), clock.rotation, window=window)[0] * coefficients
        size = float(np.linalg.norm(raw))
        p = min(1.0, size**2)
        # The distance of the unit vectors, of whichever sign.
        if (
            not always_fails(p, clock.rotation)
            and min(np.linalg.norm(raw / size + sign * exact) for sign in (-1, 1)) <= tolerance
        ):
            return _Run(t, first, window, clock.evolution_time, p, amplification(p)[1])
    return None
