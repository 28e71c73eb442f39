"""Runs a sweep: cells x solvers x seeds, one record each."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired import problems
from qinspired.experiments import _linear_solvers as linear
from qinspired.experiments import _low_rank_solvers as low_rank
from qinspired.experiments._compare import Run, run_solver, warm_up
from qinspired.experiments._definitions import DefinitionError
from qinspired.experiments._machine import versions
from qinspired.experiments._task import Task
from qinspired.experiments._truth import Truth, find_truth, true_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qinspired._typing import Float64Array
    from qinspired.experiments._definitions import Definition, ProblemDefinition, SolverDefinition
    from qinspired.experiments._task import Answer, Solver

__all__ = ["Record", "build_solver", "sweep"]

Record = dict[str, Any]

_FACTORIES: dict[tuple[str, str], Callable[..., Solver]] = {
    ("low-rank", "exact_svd"): low_rank.exact_svd,
    ("low-rank", "svds"): low_rank.svds,
    ("low-rank", "randomized_svd"): low_rank.randomized_svd,
    ("low-rank", "truncated_svd"): low_rank.truncated_svd,
    ("low-rank", "fbpca"): low_rank.fbpca,
    ("low-rank", "low_rank"): low_rank.sampled_low_rank,
    ("low-rank", "fkv"): low_rank.fkv,
    ("linear", "exact_least_squares"): linear.exact_least_squares,
    ("linear", "normal_equations"): linear.normal_equations,
    ("linear", "lsqr"): linear.lsqr,
    ("linear", "ridge"): linear.ridge,
    ("linear", "randomized_pinv"): linear.randomized_pinv,
    ("linear", "least_squares"): linear.sampled_least_squares,
    ("linear", "fkv"): linear.fkv_solve,
    ("linear", "hhl"): linear.hhl,
}

# A grid whose largest matrix is above this would fill the memory of a workstation: 8 GB of float64.
_MOST_ENTRIES = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """One problem of the grid, with the answer to compare with."""

    problem: ProblemDefinition
    values: dict[str, Any]
    task: Task
    truth: Truth
    x: Float64Array | None


def build_solver(definition: SolverDefinition, where: str) -> Solver:
    """Return the solver that a definition names.

    Parameters
    ----------
    definition : SolverDefinition
        One [[solver]] table.
    where : str
        The name of the sweep, for errors.

    Returns
    -------
    Solver
        With the parameters of the table.

    Raises
    ------
    DefinitionError
        If there is no such solver for the task, or it takes no such parameter.
    """
    factory = _FACTORIES.get((definition.task, definition.use))
    if factory is None:
        known = [use for task, use in _FACTORIES if task == definition.task]
        raise DefinitionError(f"{where}, [[solver]]: `use` must be one of {', '.join(known)}; got {definition.use!r}.")
    try:
        return factory(**definition.parameters)
    except TypeError as error:
        raise DefinitionError(
            f"{where}, [[solver]] {definition.label!r}: unknown parameter for {definition.use!r} ({error})."
        ) from error


def sweep(
    definition: Definition,
    *,
    quick: bool = False,
    scale: int = 1,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Record]:
    """Yield one record for each cell, solver and seed of a definition.

    Parameters
    ----------
    definition : Definition
        Of `load_definition`.
    quick : bool
        Whether to run the small grid.
    scale : int
        Factor on both dimensions of every shape, >= 1.
    seed : int
        First seed of the solvers; problems with a generator of random numbers use it too.
    progress : callable, optional
        Told what runs next.

    Yields
    ------
    dict
        "experiment", "task", "problem", "solver", "seed", "status", "error", "certified", "seconds", ...

    Raises
    ------
    DefinitionError
        If a solver, a parameter or a cell is not possible.
    """
    tell = progress or (lambda _: None)
    solvers = [(entry, build_solver(entry, definition.name)) for entry in definition.solvers]
    warmed: set[str] = set()
    for cell in _cells(definition, quick=quick, scale=scale, seed=seed):
        chosen = [(entry, solver) for entry, solver in solvers if entry.task == cell.task.kind]
        if cell.task.kind not in warmed:
            tell("warm-up")
            warm_up(cell.task, [solver for _, solver in chosen], seed)
            warmed.add(cell.task.kind)
        for entry, solver in chosen:
            tell(f"{cell.task.name}: {entry.label}")
            seeds = range(seed, seed + entry.seeds)
            run = run_solver(cell.task, solver, seeds)
            yield from _records(definition, cell, entry, run, seeds)


def _cells(definition: Definition, *, quick: bool, scale: int, seed: int) -> Iterator[_Cell]:
    grid = definition.grid | (definition.quick if quick else {})
    for problem in definition.problems:
        for shape, rank, kappa in itertools.product(grid["shape"], grid["rank"], grid["kappa"]):
            size = (shape[0] * scale, shape[1] * scale)
            if size[0] * size[1] > _MOST_ENTRIES:
                raise DefinitionError(
                    f"{definition.name}: a {size[0]} x {size[1]} matrix has over {_MOST_ENTRIES:.0e} "
                    "entries; lower `--scale`."
                )
            yield _cell(definition, problem, {"shape": size, "rank": rank, "kappa": kappa}, seed)


def _cell(definition: Definition, problem: ProblemDefinition, values: dict[str, Any], seed: int) -> _Cell:
    shape, rank, kappa = values["shape"], values["rank"], values["kappa"]
    name = f"{problem.task} {shape[0]} x {shape[1]}, rank {rank}, kappa {kappa}"
    try:
        if problem.generator == "low_rank_matrix":
            made = problems.low_rank_matrix(shape, rank, kappa=kappa, rng=seed, **problem.parameters)
            task = Task("low-rank", name, "generated", made.A, rank, definition.tolerance)
            return _Cell(problem, values, task, find_truth(task), None)
        if problem.generator == "linear_system_cell":
            system = problems.linear_system_cell(rank, kappa, shape=shape, **problem.parameters)
        else:
            system = problems.linear_system(shape, rank=rank, kappa=kappa, rng=seed, **problem.parameters)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{definition.name}, {name}: {error}") from error
    task = Task("linear", name, "generated", system.A, rank, definition.tolerance, b=system.b)
    if system.noise == 0.0:
        truth = Truth(system.x_true, np.zeros(0), 0.0, "known by construction")
    else:
        truth = find_truth(task)
    return _Cell(problem, values, task, truth, truth.value)


def _records(definition: Definition, cell: _Cell, entry: SolverDefinition, run: Run, seeds: range) -> Iterator[Record]:
    base: Record = {
        "experiment": definition.name,
        "task": cell.task.kind,
        "problem": {
            "generator": cell.problem.generator,
            "parameters": cell.problem.parameters,
            **cell.values,
        },
        "solver": entry.label,
        "use": entry.use,
        "parameters": entry.parameters,
        "tolerance": definition.tolerance,
        "versions": versions(),
    }
    reason = run.skipped or run.failed
    if reason:
        status = "skipped" if run.skipped else "error"
        yield {**base, "seed": seeds[0], "status": status, "reason": reason}
        return
    for seed, answer in zip(seeds, run.answers, strict=False):
        yield {**base, "seed": seed, "status": "ok", "reason": "", **_measured(cell, answer)}


def _measured(cell: _Cell, answer: Answer) -> Record:
    asked = true_error(cell.task, cell.truth, answer.value)
    if cell.x is None:
        error, of = asked, "relative excess over the best rank-k error"
    else:
        error = float(np.linalg.norm(answer.value - cell.x) / np.linalg.norm(cell.x))
        of = "|x - x*| / |x*|"
    certified = answer.certified
    return {
        "method": answer.method,
        "error": error,
        "error_of": of,
        "asked_error": asked,
        "certified": None
        if certified is None
        else {
            "value": certified.value,
            "low": certified.low,
            "high": certified.high,
            "confidence": certified.confidence,
            "of": "asked_error",
        },
        "setup_seconds": None if math.isnan(answer.setup_seconds) else answer.setup_seconds,
        "seconds": None if math.isnan(answer.solve_seconds) else answer.solve_seconds,
        "setup_bytes": answer.setup_bytes,
        "bytes": answer.solve_bytes,
        **answer.figures,
    }
