"""Runs every solver on a task at the same asked accuracy."""

from __future__ import annotations

import statistics
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import scipy.sparse as sp

from qinspired import problems
from qinspired.exceptions import ToleranceNotMetWarning
from qinspired.experiments._linear_solvers import linear_solvers
from qinspired.experiments._low_rank_solvers import low_rank_solvers
from qinspired.experiments._projections import project
from qinspired.experiments._quantum_report import Wanted
from qinspired.experiments._recommendations import RecommendationReport, recommend_all
from qinspired.experiments._task import Task, reason_to_skip, stored_bytes
from qinspired.experiments._truth import Truth, find_truth, true_error
from qinspired.experiments._verdicts import Outcome, conclude, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qinspired.experiments._quantum_report import QuantumReport
    from qinspired.experiments._task import Answer, Solver

__all__ = ["Run", "TaskReport", "compare", "run_solver", "summarise", "warm_up"]

# A solver is not run again once its runs have taken this long together.
_SECONDS_PER_SOLVER = 10.0

# Enough rows and entries for the kernels that run on several threads from 10,000 items on.
_WARM_UP_SHAPE = (3000, 30)


@dataclass(frozen=True, slots=True, eq=False)
class TaskReport:
    """All that was measured on one task.

    Attributes
    ----------
    task, truth : Task, Truth
        The task and its exact answer.
    outcomes : tuple of Outcome
        One for each solver.
    verdicts : tuple of str
        One for each outcome.
    conclusion : str
        One sentence.
    recommendations : RecommendationReport or None
        For ratings.
    quantum : QuantumReport or None
        Projections of quantum solvers, if asked for.
    """

    task: Task
    truth: Truth
    outcomes: tuple[Outcome, ...]
    verdicts: tuple[str, ...]
    conclusion: str
    recommendations: RecommendationReport | None = None
    quantum: QuantumReport | None = None


@dataclass(slots=True)
class Run:
    """The answers of one solver, or why there are none."""

    answers: list[Answer] = field(default_factory=list)
    skipped: str = ""
    failed: str = ""
    warned: bool = False
    converged: bool = True


def compare(
    tasks: Sequence[Task],
    *,
    repeats: int = 3,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    solvers: Callable[[Task], list[Solver]] | None = None,
    quantum: Wanted | None = None,
) -> list[TaskReport]:
    """Run every solver on every task and judge them.

    Parameters
    ----------
    tasks : sequence of Task
        Of `shipped_tasks` or `file_task`.
    repeats : int
        Timed runs of each solver, >= 1, each with its own seed; fewer where they take over 10 s together.
    seed : int
        Seed of the first run.
    progress : callable, optional
        Told what runs next.
    solvers : callable, optional
        Task -> its solvers; all that apply by default.
    quantum : {"vector", "sample", "prediction"}, optional
        Output for which quantum solvers are projected as well; none are by default.

    Returns
    -------
    list of TaskReport
        In the order of the tasks.

    Raises
    ------
    ValueError
        If `quantum` is none of its words.

    Notes
    -----
    Before any timing each solver answers a small generated problem of the same storage and type once, so that
    compilation and imports are not timed.
    """
    if quantum is not None and not (isinstance(quantum, str) and quantum in get_args(Wanted)):
        known = ", ".join(map(repr, get_args(Wanted)))
        raise ValueError(f"`quantum` must be None or one of {known}; got {quantum!r}.")
    tell = progress or (lambda _: None)
    choose = solvers or _all_solvers
    return [_report(task, choose(task), repeats, seed, tell, quantum) for task in tasks]


def _all_solvers(task: Task) -> list[Solver]:
    return low_rank_solvers() if task.kind == "low-rank" else linear_solvers()


def _report(
    task: Task,
    solvers: Sequence[Solver],
    repeats: int,
    seed: int,
    tell: Callable[[str], None],
    quantum: Wanted | None,
) -> TaskReport:
    tell(f"{task.name}: exact answer")
    truth = find_truth(task, keep_vectors=quantum is not None)
    tell(f"{task.name}: warm-up")
    warm_up(task, solvers, seed)
    outcomes = []
    for solver in solvers:
        tell(f"{task.name}: {solver.name}")
        run = run_solver(task, solver, range(seed, seed + repeats))
        outcomes.append(summarise(solver, run, task, truth, seed))
    recommendations = None
    if task.ratings is not None:
        tell(f"{task.name}: recommendations")
        recommendations = recommend_all(task, seed)
    projected = None
    if quantum is not None:
        tell(f"{task.name}: projections of quantum solvers")
        projected = project(task, truth, outcomes, answer=quantum, seed=seed)
    return TaskReport(
        task=task,
        truth=truth,
        outcomes=tuple(outcomes),
        verdicts=tuple(judge(outcomes, task.tolerance)),
        conclusion=conclude(outcomes, task.tolerance, task.A.shape, stored_bytes(task.A)),
        recommendations=recommendations,
        quantum=projected,
    )


def warm_up(task: Task, solvers: Sequence[Solver], seed: int) -> None:
    """Let each solver answer a small problem of the storage and type of a task once."""
    rank = 2
    noisy = problems.linear_system(_WARM_UP_SHAPE, noise=0.2, dtype=task.A.dtype, rng=seed)
    A: Any = sp.csr_array(noisy.A) if sp.issparse(task.A) else noisy.A
    small = Task(task.kind, "warm-up", "", A, rank, task.tolerance, b=noisy.b)
    for solver in solvers:
        run_solver(small, solver, (seed,))


def run_solver(task: Task, solver: Solver, seeds: Sequence[int]) -> Run:
    """Run a solver once for each seed; warnings become facts of the run, and so does a refusal."""
    run = Run(skipped=reason_to_skip(task, solver))
    if run.skipped:
        return run
    spent = 0.0
    for seed in seeds:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answer = solver.solve(task, seed)
            # Whatever a rival raises is a row of the table, not the end of the comparison.
            except (ArithmeticError, ImportError, MemoryError, RuntimeError, TypeError, ValueError) as error:
                run.failed = " ".join(str(error).split()) or type(error).__name__
                return run
        if not np.isfinite(answer.value).all():
            run.failed = "the answer is not finite"
            return run
        run.answers.append(answer)
        run.warned |= any(issubclass(entry.category, ToleranceNotMetWarning) for entry in caught)
        run.converged &= not any("ConvergenceWarning" in entry.category.__name__ for entry in caught)
        seconds = answer.setup_seconds + answer.solve_seconds
        spent += 0.0 if np.isnan(seconds) else seconds
        if spent > _SECONDS_PER_SOLVER:
            break
    return run


def summarise(solver: Solver, run: Run, task: Task, truth: Truth, seed: int) -> Outcome:
    """Return the medians of the times and the largest error of the runs: a promise holds in each of them."""
    if run.skipped:
        return Outcome(solver.name, solver.ours, "skipped", run.skipped)
    if run.failed:
        return Outcome(solver.name, solver.ours, "error", run.failed)
    errors = [true_error(task, truth, answer.value) for answer in run.answers]
    worst = int(np.argmax(errors))
    last = run.answers[-1]
    solve_bytes = last.solve_bytes
    if solver.count_bytes is not None:
        solve_bytes = solver.count_bytes(task, seed)
    return Outcome(
        name=solver.name,
        ours=solver.ours,
        method=last.method,
        setup_seconds=statistics.median(answer.setup_seconds for answer in run.answers),
        solve_seconds=statistics.median(answer.solve_seconds for answer in run.answers),
        setup_bytes=last.setup_bytes,
        solve_bytes=solve_bytes,
        error=errors[worst],
        certified=run.answers[worst].certified,
        warned=run.warned,
        converged=run.converged,
        runs=len(run.answers),
    )
