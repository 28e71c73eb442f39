"""Projected costs of quantum solvers on a task, beside the measured ones, and what would turn the comparison."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite, sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.linalg

from qinspired import baselines
from qinspired.baselines.quantum._basis import rounding_level
from qinspired.experiments._linear_solvers import exact_least_squares
from qinspired.experiments._low_rank_solvers import exact_svd
from qinspired.experiments._quantum_report import CLOCK, Flip, Projection, QuantumReport, Wanted, duration, times
from qinspired.experiments._quantum_runs import Instance, linear_instances, recommender_instance
from qinspired.experiments._task import reason_to_skip
from qinspired.experiments._unit_costs import UnitCosts, read_out, unit_costs, units_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qinspired._typing import Float64Array
    from qinspired.baselines import QuantumCosts
    from qinspired.experiments._task import Task
    from qinspired.experiments._truth import Truth
    from qinspired.experiments._verdicts import Outcome

__all__ = ["project"]

# The lines shown of a linear task: the best known of each kind, with its bound.
_LINEAR = (
    "HHL",
    "QSVT, optimal polynomial",
    "Dalzell, norm known",
    "Dalzell, norm unknown",
    "discrete adiabatic, empirical",
)
_RECOMMENDER = "quantum recommender"

# Data are extrapolated up to this many stored entries, and rows or columns.
_MOST_ENTRIES, _MOST_ROWS = 1e24, 1e17

_READINGS = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """What is handed to the cost functions: the data by gates and by free lookups, and the simulated runs."""

    question: str
    costs: dict[str, QuantumCosts]
    lines: tuple[Projection, ...]
    instances: tuple[Instance, ...]
    conditions: dict[str, Any]
    row: Float64Array | None = None


def project(
    task: Task, truth: Truth, outcomes: Sequence[Outcome], *, answer: Wanted = "vector", seed: int = 0
) -> QuantumReport:
    """Return what quantum solvers are projected to take for an output of a task, and which side wins.

    Parameters
    ----------
    task, truth : Task, Truth
        The task and its exact answer.
    outcomes : sequence of Outcome
        What was measured.
    answer : {"vector", "sample", "prediction"}
        The output: all entries of x or of a user's projected row, one index drawn by their squares, or one inner
        product.
    seed : int
        Of the measured sample.

    Returns
    -------
    QuantumReport
        With a `reason` in place of numbers where the spectrum would be too dear, or nothing can be inverted.
    """
    question = _question(task, answer)
    try:
        problem = _linear_problem(task, answer) if task.kind == "linear" else _low_rank_problem(task, truth, answer)
    except ValueError as error:
        return QuantumReport(answer, question, reason=" ".join(str(error).split()))
    costs = problem.costs["qrom"]
    reading = _reading_seconds(truth, problem.row, answer, seed)
    meeting = [o for o in outcomes if o.meets(task.tolerance) and isfinite(o.seconds)]
    fastest = min(meeting, key=lambda o: o.seconds, default=None)
    numbered = [line for line in problem.lines if line.projected_seconds is not None]
    best = min(numbered, key=lambda line: _seconds(line, "qrom"), default=None)
    report: dict[str, Any] = {
        "answer": answer,
        "question": problem.question,
        "kappa": costs.kappa,
        "kappa_encoding": costs.kappa_encoding,
        "lines": problem.lines,
        "instances": problem.instances,
        "measured_name": "" if fastest is None else fastest.name,
        "measured_seconds": inf if fastest is None else fastest.seconds,
        "reading_seconds": reading,
        "best": "" if best is None else best.algorithm,
        "costs": costs,
    }
    if fastest is None or best is None:
        missing = "no measured solver met the tolerance" if fastest is None else "no projection has a number"
        return QuantumReport(**report, verdict=f"Undecided: {missing}.")
    measured = fastest.seconds + reading
    ratio = _seconds(best, "qrom") / measured
    winner: Literal["classical", "quantum"] = "classical" if ratio > 1.0 else "quantum"
    asked = {"vector": "the vector", "sample": "one sample", "prediction": "one prediction"}[answer]
    size = f"{task.A.shape[0]:,} x {task.A.shape[1]:,}"
    given = ", were b in the column space" if "which it is not here" in best.note else ""
    lead = f"{fastest.name} (measured) against {best.algorithm} (projected, {best.basis}{given})"
    if winner == "classical":
        verdict = f"Classical wins for {asked} on {size}: {lead}, {times(ratio)} the measured time even at 1 µs a gate."
    else:
        verdict = (
            f"The projection is below the measurement for {asked} on {size}: {lead}, {times(1.0 / ratio)} less, if a "
            "quantum computer did a Toffoli gate in 1 µs without error."
        )
    flips = _flips(task, problem, best, measured, fastest.seconds, reading, answer)
    return QuantumReport(**report, ratio=ratio, winner=winner, verdict=verdict, flips=flips)


def _question(task: Task, answer: Wanted) -> str:
    if task.kind == "linear":
        what = {"vector": "x/|x|", "sample": "an index, drawn by x_j^2/|x|^2", "prediction": "one inner product with x"}
        return f"{what[answer]}, x the least-squares solution"
    what = {
        "vector": "the projection of one row on the leading {k} right singular vectors",
        "sample": "one column, drawn by the squares of a row projected on the leading {k} right singular vectors",
        "prediction": "one entry of a row projected on the leading {k} right singular vectors",
    }
    return what[answer].format(k=task.rank)


def _costs(A: Any, b: Any, **options: Any) -> dict[str, QuantumCosts]:
    return {loading: baselines.quantum_costs(A, b, loading=loading, **options) for loading in ("qrom", "qram")}


def _stored(A: Any) -> int:
    entries = A if isinstance(A, np.ndarray) else A.data
    return int(np.count_nonzero(entries))


def _rounding(A: Any, values: Float64Array) -> float:
    """Return the size up to which singular values are rounding of the matrix's own type."""
    eps = float(np.finfo(A.dtype if np.issubdtype(A.dtype, np.floating) else np.float64).eps)
    return rounding_level(values, max(A.shape), eps)


def _linear_problem(task: Task, answer: Wanted) -> _Problem:
    dear = reason_to_skip(task, exact_least_squares())
    if dear:
        raise ValueError(f"the singular values that a projection rests on are too dear: {dear}.")
    A = task.A if isinstance(task.A, np.ndarray) else task.A.toarray()
    svd = scipy.linalg.svd(A.astype(np.float64), full_matrices=False)
    kept = svd[1] > _rounding(task.A, svd[1])
    U, s, Vt = svd[0][:, kept], svd[1][kept], svd[2][kept]
    b, stored = task.right_hand_side, _stored(task.A)
    costs = _costs((U, s, Vt), b, tolerance=task.tolerance, output=answer, density=stored / (A.shape[0] * A.shape[1]))
    lines = tuple(_projection(costs["qrom"][name], costs["qram"][name]) for name in _LINEAR)
    conditions = {"shape": task.A.shape, "n_stored": stored}
    return _Problem(_question(task, answer), costs, lines, linear_instances((U, s, Vt), b, task.tolerance), conditions)


def _low_rank_problem(task: Task, truth: Truth, answer: Wanted) -> _Problem:
    A = task.A.astype(np.float64, copy=False)
    k, (m, n) = task.rank, task.A.shape
    values, V, whole = _right_singular(task, truth, A)
    if not 1e-100 < values[0] < 1e100:  # no number depends on the scale, and squares would leave the range
        factor = 2.0 ** (600 if values[0] < 1.0 else -600)
        A, values = A * factor, values * factor
    if not whole and k >= len(values):
        raise ValueError(f"singular value {k + 1}, which the threshold is below, is too dear. Lower `--rank`.")
    if k < len(values) and values[k] >= values[k - 1] * (1.0 - 1e-9):
        raise ValueError(f"singular values {k} and {k + 1} are equal: no threshold keeps rank {k}. Change `--rank`.")
    if values[k - 1] <= _rounding(task.A, values):
        raise ValueError(f"the matrix has a rank below `--rank` {k}: no threshold keeps it. Lower `--rank`.")
    row = _typical_row(A, V[:k])
    b = np.asarray(A[row] if isinstance(A, np.ndarray) else A[[row]].toarray()).ravel()
    frobenius = float(scipy.linalg.norm(A.ravel() if isinstance(A, np.ndarray) else A.data))
    conditions = {"shape": (n, m), "n_stored": _stored(A)}
    # The row is projected on right singular vectors: the left ones of the transpose, whose b it is.
    spectrum = {"frobenius_norm": frobenius, "sigma_max": values[0], "sigma_min": values[k - 1], "rank": k}
    costs = _costs({**conditions, **spectrum}, b, tolerance=task.tolerance, output=answer)
    below = float(values[k]) if k < len(values) else 0.0
    run = recommender_instance(A, values, V, b, frobenius, 0.5 * (values[k - 1] + below), task.tolerance, whole=whole)
    readout = read_out(n, task.tolerance, answer)
    line = _recommender(run, costs, readout[0].runs)
    # The lines are of another question, the solution of A^T x = b, and so are their copies.
    shown = {loading: replace(found, lines=(), readout=readout) for loading, found in costs.items()}
    question = f"{_question(task, answer)}; row {row} of A, the one of median norm"
    return _Problem(question, shown, (line,), (run,), conditions, row=b)


def _right_singular(task: Task, truth: Truth, A: Any) -> tuple[Float64Array, Float64Array, bool]:
    """Return singular values and right vectors (r, n): all, or some more than k where all are too dear."""
    if truth.vectors is not None:
        return truth.singular_values, truth.vectors, True
    if not reason_to_skip(task, exact_svd()):
        found = baselines.exact_svd(A)
        return found.singular_values.astype(np.float64), found.components.astype(np.float64), True
    found = baselines.svds(A, min(task.rank + 10, min(A.shape) - 1), rng=0)
    return found.singular_values.astype(np.float64), found.components.astype(np.float64), False


def _typical_row(A: Any, V: Float64Array) -> int:
    """Return the row of median norm among those that the leading vectors see."""
    squares = A * A if isinstance(A, np.ndarray) else A.multiply(A)
    norms = np.sqrt(np.asarray(squares.sum(axis=1)).ravel())
    seen = np.flatnonzero(np.linalg.norm(A @ V.T, axis=1) > 1e-9 * norms.max())
    return int(seen[np.argsort(norms[seen], kind="stable")[len(seen) // 2]])


def _projection(line: Any, free: Any) -> Projection:
    return Projection(
        algorithm=line.algorithm,
        basis=line.basis,
        queries=line.queries,
        state_preparations=line.state_preparations,
        toffoli=line.toffoli,
        runs=line.runs,
        logical_qubits=line.logical_qubits,
        projected_seconds=None if line.projected_seconds is None else dict(line.projected_seconds),
        projected_seconds_qram=None if free.projected_seconds is None else dict(free.projected_seconds),
        note=line.note,
        reference=line.reference,
    )


def _recommender(run: Instance, costs: dict[str, QuantumCosts], copies: Any) -> Projection:
    """Return the line of the recommender: uses of its walk from the simulated run, gates a use as for any solver."""
    line = costs["qrom"][_RECOMMENDER]
    if run.uses_per_run is None or run.expected_runs is None or run.clock_qubits is None:
        return replace(_projection(line, costs["qram"][_RECOMMENDER]), runs=copies)
    queries, preparations = run.uses_per_run * run.expected_runs, run.expected_runs
    other = {loading: found["Dalzell, norm known"] for loading, found in costs.items()}
    units = {loading: units_of(other[loading], copies) for loading in other}
    seconds = {
        loading: {name: each.seconds(queries, preparations, clock) for name, clock in costs["qrom"].clocks.items()}
        for loading, each in units.items()
    }
    one = units["qrom"]
    return Projection(
        algorithm=_RECOMMENDER,
        basis="exact instance",
        queries=queries,
        state_preparations=preparations,
        toffoli=queries * one.query + preparations * one.preparation,
        runs=one.runs,
        logical_qubits=int(other["qrom"].logical_qubits or 0) + run.clock_qubits,
        projected_seconds=seconds["qrom"],
        projected_seconds_qram=seconds["qram"],
        note=run.note,
        reference=line.reference,
    )


def _seconds(line: Projection, loading: str) -> float:
    found = line.projected_seconds if loading == "qrom" else line.projected_seconds_qram
    return inf if found is None else found[CLOCK]


def _reading_seconds(truth: Truth, row: Float64Array | None, answer: Wanted, seed: int) -> float:
    """Return the median time to read the output from the exact answer, x or components to project a row on."""
    value, generator = truth.value, np.random.default_rng(seed)

    def draw(vector: Float64Array) -> None:
        squares = (vector / np.abs(vector).max()) ** 2
        generator.choice(len(vector), p=squares / squares.sum())

    @np.errstate(over="ignore", under="ignore")  # the inner product of a huge x with itself
    def read() -> None:
        if row is None:
            if answer == "sample":
                draw(value)
            elif answer == "prediction":
                value @ value
            return
        image = value @ row
        if answer == "prediction":
            image @ value[:, 0]
            return
        projected = image @ value
        if answer == "sample":
            draw(projected)

    if row is None and (answer == "vector" or not value.any()):
        return 0.0
    read()
    spent = []
    for _ in range(_READINGS):
        started = time.perf_counter()
        read()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def _flips(
    task: Task, problem: _Problem, best: Projection, measured: float, solving: float, reading: float, answer: Wanted
) -> tuple[Flip, ...]:
    ratio = _seconds(best, "qrom") / measured
    quantum_ahead = ratio <= 1.0
    clock = problem.costs["qrom"].clocks[CLOCK]
    out = [
        Flip(
            "clock",
            ratio,
            None,
            f"A clock {times(max(ratio, 1.0 / ratio))} {'slower' if quantum_ahead else 'faster'}: "
            f"{clock / ratio:.1e} s a Toffoli gate in place of {clock:.0e} s.",
        )
    ]

    def change(name: str, what: str, seconds: float, against: float) -> None:
        after = seconds / against
        turned = (after <= 1.0) != quantum_ahead
        ending = "flips" if turned else "does not flip"
        out.append(Flip(name, after, turned, f"{what}: {times(after)} the measured time; {ending} it."))

    free = min((_seconds(line, "qram") for line in problem.lines), default=inf)
    change("qram", "Free lookups (a quantum memory, which nobody has built)", free, measured)
    shape, stored = problem.conditions["shape"], problem.conditions["n_stored"]
    queries, preparations = best.queries or 0.0, best.state_preparations or 0.0

    def units(kind: Wanted, loading: str, scale: float = 1.0) -> UnitCosts:
        wide = (ceil(shape[0] * sqrt(scale)), ceil(shape[1] * sqrt(scale)))
        length = ceil(task.A.shape[1] * sqrt(scale))
        return unit_costs(
            wide, ceil(stored * scale), length=length, tolerance=task.tolerance, answer=kind, loading=loading
        )

    if answer == "vector":
        ratio_of_runs = units("sample", "qrom").runs / best.runs
        change("sample", "One sample in place of the vector", _seconds(best, "qrom") * ratio_of_runs, measured)
        change("sample and qram", "One sample and free lookups", free * ratio_of_runs, measured)
    elif reading > 0.0:
        change(
            "next", "A second answer from the same data, the measured solution kept", _seconds(best, "qrom"), reading
        )
    largest = min(_MOST_ENTRIES / stored, (_MOST_ROWS / max(shape)) ** 2)
    one = units(answer, "qrom")
    once = one.query * best.runs * clock
    change("one query", "A solver that uses the data once a copy, fewer than any can", once, measured)
    # Preparations of a b without zeros that take as much as those of b.
    dense = {"qrom": ((best.toffoli or 0.0) - queries * one.query) / one.preparation, "qram": preparations}
    for loading, words in (("qrom", "looked up by gates"), ("qram", "with free lookups")):
        found = _crossing(
            lambda scale, loading=loading: (
                units(answer, loading, scale).seconds(queries, dense[loading], clock) - (solving * scale + reading)
            ),
            largest,
        )
        name, start = (
            f"size, {loading}",
            f"Extrapolated at the same queries, data {words}, measured time in proportion to entries",
        )
        if found is None:
            text = f"{start}: no crossing up to {stored * largest:.0e} entries."
        elif found <= 1.0:
            text = f"{start}: already crossed at this size."
        else:
            rows, columns = (f"{size * sqrt(found):.1e}" for size in task.A.shape)
            text = (
                f"{start}: they cross at {times(found)} the entries, {rows} x {columns}, where both take "
                f"{duration(solving * found + reading)}."
            )
        out.append(Flip(name, found, None, text))
    return tuple(out)


def _crossing(difference: Any, largest: float) -> float | None:
    """Return the least factor in [1, largest] at which the projection is no longer above, to 0.1 %, or None."""
    if difference(1.0) <= 0.0:
        return 1.0
    # The difference may turn more than once only through the ceilings of the counts, which are far below the steps.
    low, high = 1.0, 1.0
    while difference(high) > 0.0:
        low, high = high, 4.0 * high
        if low >= largest:
            return None
    while high / low > 1.001:
        middle = sqrt(low * high)
        low, high = (middle, high) if difference(middle) > 0.0 else (low, middle)
    return high if high <= largest else None
