from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired import problems
from qinspired.exceptions import ToleranceNotMetWarning
from qinspired.experiments import _task, compare
from qinspired.experiments._compare import run_solver
from qinspired.experiments._low_rank_solvers import exact_svd, svds
from qinspired.experiments._recommendations import recommend_all
from qinspired.experiments._task import Answer, Solver, Task, reason_to_skip, stored_bytes
from qinspired.experiments._tasks import file_task
from qinspired.experiments._truth import find_truth, true_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qinspired.experiments import TaskReport


def diagonal_task() -> Task:
    A = np.zeros((5, 3))
    A[[0, 1, 2], [0, 1, 2]] = (4.0, 3.0, 1.0)
    return Task("low-rank", "diagonal", "", A, 1, 0.05)


def fake(solve: Callable[[Task, int], Answer]) -> Solver:
    return Solver("fake", ours=False, solve=solve)


def answer(value: list[list[float]], seconds: float = 0.0) -> Answer:
    return Answer(np.array(value), "fake", 0.0, seconds, 0, None)


def test_the_true_excess_of_a_wrong_direction_is_the_ratio_of_the_best_errors() -> None:
    task = diagonal_task()
    truth = find_truth(task)
    assert truth.best_error == pytest.approx(np.sqrt(10.0 / 26.0))
    assert true_error(task, truth, np.array([[1.0, 0.0, 0.0]])) == pytest.approx(0.0, abs=1e-12)
    assert true_error(task, truth, np.array([[0.0, 1.0, 0.0]])) == pytest.approx(np.sqrt(17.0 / 10.0) - 1.0)


def test_the_error_of_a_matrix_of_exact_rank_is_the_projection_error_itself() -> None:
    task = Task("low-rank", "rank one", "", np.outer([1.0, 2.0, 3.0], [1.0, 0.0]), 1, 0.05)
    truth = find_truth(task)
    assert true_error(task, truth, np.array([[0.0, 1.0]])) == pytest.approx(1.0)
    assert true_error(task, truth, np.array([[1.0, 0.0]])) < 1e-12


def test_the_true_error_of_a_regression_is_in_prediction() -> None:
    task = Task("linear", "d", "", np.diag([2.0, 1.0]), 2, 0.05, b=np.array([2.0, 0.0]))
    assert true_error(task, find_truth(task), np.array([1.0, 0.5])) == pytest.approx(0.25)


def test_the_largest_error_and_the_median_time_of_the_runs_are_reported() -> None:
    directions = {0: [1.0, 0.0, 0.0], 1: [0.0, 1.0, 0.0], 2: [1.0, 0.0, 0.0]}
    seconds = {0: 0.3, 1: 0.1, 2: 0.2}
    calls = []

    def solve(task: Task, seed: int) -> Answer:
        if task.name == "warm-up":
            return answer([[1.0] + [0.0] * (task.A.shape[1] - 1)])
        calls.append(seed)
        return answer([directions[seed]], seconds[seed])

    (report,) = compare([diagonal_task()], repeats=3, solvers=lambda _: [fake(solve)])
    assert calls == [0, 1, 2]
    assert report.outcomes[0].solve_seconds == 0.2
    assert report.outcomes[0].error == pytest.approx(np.sqrt(1.7) - 1.0)
    assert report.verdicts == ("misses 5 %",)


def test_a_slow_solver_is_not_repeated() -> None:
    run = run_solver(diagonal_task(), fake(lambda *_: answer([[1.0, 0.0, 0.0]], 11.0)), range(3))
    assert len(run.answers) == 1


def test_what_a_solver_raises_becomes_its_row() -> None:
    def solve(task: Task, seed: int) -> Answer:
        raise ValueError("two\nlines")

    (report,) = compare([diagonal_task()], solvers=lambda _: [fake(solve)])
    assert report.verdicts == ("error: two lines",)


def test_an_answer_that_is_not_finite_is_a_row_and_not_the_end() -> None:
    (report,) = compare([diagonal_task()], solvers=lambda _: [fake(lambda *_: answer([[np.nan, 0.0, 0.0]]))])
    assert report.verdicts == ("error: the answer is not finite",)


def test_a_warning_of_a_missed_tolerance_is_a_fact_of_the_run_and_is_not_shown() -> None:
    def solve(task: Task, seed: int) -> Answer:
        warnings.warn("not certified", ToleranceNotMetWarning, stacklevel=1)
        return answer([[1.0, 0.0, 0.0]])

    assert run_solver(diagonal_task(), fake(solve), (0,)).warned


def test_a_solver_that_would_take_too_long_or_too_much_memory_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_task, "_MOST_OPERATIONS", 44.0)
    assert reason_to_skip(diagonal_task(), exact_svd()).startswith("m n min(m, n) = 4.5e+01 operations")
    assert reason_to_skip(diagonal_task(), svds()) == ""
    monkeypatch.setattr(_task, "_MOST_DENSE_ENTRIES", 14)
    sparse = Task("low-rank", "s", "", sp.csr_array(diagonal_task().A), 1, 0.05)
    assert reason_to_skip(sparse, exact_svd()).startswith("a dense copy would have 15 entries")
    assert run_solver(sparse, exact_svd(), (0,)).skipped


@pytest.mark.parametrize("sparse", [False, True])
def test_truths_from_iterative_solvers_agree_with_those_of_lapack(
    monkeypatch: pytest.MonkeyPatch, sparse: bool
) -> None:
    made = problems.low_rank_matrix((60, 40), 3, noise=0.3, rng=0)
    system = problems.linear_system((60, 5), noise=0.3, rng=0)
    A = sp.csr_array(made.A) if sparse else made.A
    low_rank = Task("low-rank", "m", "", A, 3, 0.05)
    linear = Task("linear", "s", "", system.A, 5, 0.05, b=system.b)
    exact = find_truth(low_rank), find_truth(linear)
    monkeypatch.setattr(_task, "_MOST_OPERATIONS", 1.0)
    iterative = find_truth(low_rank), find_truth(linear)
    assert "svds" in iterative[0].how
    assert "lsqr" in iterative[1].how
    assert iterative[0].best_error == pytest.approx(exact[0].best_error, rel=1e-9)
    np.testing.assert_allclose(iterative[1].value, exact[1].value, rtol=1e-8)


def test_bytes_of_arpack_are_counted_in_whole_passes() -> None:
    made = problems.low_rank_matrix((60, 40), 3, noise=0.3, rng=0)
    task = Task("low-rank", "m", "", made.A, 3, 0.05)
    count = svds().count_bytes
    assert count is not None
    passes, rest = divmod(count(task, 0), stored_bytes(made.A))
    assert rest == 0
    assert passes > 3


def test_recommenders_are_scored_and_their_sample_excludes_what_the_user_has(reports: list[TaskReport]) -> None:
    found = reports[0].recommendations
    assert found is not None
    assert [score.name for score in found.scores] == [
        "popularity",
        "exact rank-4 SVD",
        "qinspired SampledRecommender",
    ]
    assert all(0.0 < score.precision < 1.0 and 0.0 < score.ndcg < 1.0 for score in found.scores)
    assert found.n_users == 60
    assert all(len(set(s.best)) == 5 and set(s.held_out) <= set(s.best) for s in found.suggestions)


def test_ratings_too_few_to_hold_any_out_say_so(tmp_path: Path) -> None:
    file = tmp_path / "few.csv"
    file.write_text("user,item,rating\n1,1,5\n2,2,4\n")
    found = recommend_all(file_task(file), 0)
    assert found.scores == ()
    assert "no user has enough ratings" in found.note


def test_the_default_rank_adapts_to_a_small_matrix_and_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.random.default_rng(0).standard_normal((30, 7)))
    task = file_task(tmp_path / "small.npy")
    assert task.rank == 3
    assert "The rank is 3 instead of 10" in task.note


@pytest.mark.parametrize(("target", "column"), [("y", 1), ("-1", 2), ("last", 2), ("0", 0)])
def test_a_target_is_found_by_name_and_by_index(tmp_path: Path, target: str, column: int) -> None:
    values = np.arange(1.0, 13.0).reshape(4, 3)
    file = tmp_path / "table.csv"
    file.write_text("x,y,z\n" + "\n".join(",".join(map(str, row)) for row in values) + "\n")
    task = file_task(file, target=target)
    assert task.b is not None
    np.testing.assert_array_equal(task.b, values[:, column])
    np.testing.assert_array_equal(task.A, np.delete(values, column, axis=1))
