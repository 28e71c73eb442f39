from __future__ import annotations

import json
from dataclasses import replace
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired import baselines, problems
from qinspired.experiments import _projections, _task, compare, compare_document, compare_text, html_report
from qinspired.experiments._projections import project
from qinspired.experiments._quantum_report import Wanted
from qinspired.experiments._quantum_runs import recommender_instance
from qinspired.experiments._quantum_tables import projection_table, quantum_document, quantum_text
from qinspired.experiments._task import Task
from qinspired.experiments._truth import find_truth
from qinspired.experiments._unit_costs import unit_costs
from qinspired.experiments._verdicts import Outcome

if TYPE_CHECKING:
    from qinspired.experiments._quantum_report import QuantumReport

ANSWERS = get_args(Wanted)


def linear_task(m: int = 40, n: int = 5) -> Task:
    system = problems.linear_system((m, n), noise=0.1, rng=0)
    return Task("linear", "system", "", system.A, min(m, n), 0.05, b=np.asarray(system.b))


def low_rank_task(*, sparse: bool = False, shape: tuple[int, int] = (30, 18)) -> Task:
    A = problems.low_rank_matrix(shape, 3, noise=0.2, rng=1).A
    return Task("low-rank", "matrix", "", sp.csr_array(A) if sparse else A, 3, 0.05)


def measured(seconds: float, *, error: float = 0.0, name: str = "exact") -> Outcome:
    return Outcome(name, ours=False, solve_seconds=seconds, error=error)


def projected(task: Task, *outcomes: Outcome, answer: Wanted = "vector", whole: bool = True) -> QuantumReport:
    return project(task, find_truth(task, keep_vectors=whole), outcomes or (measured(1e-3),), answer=answer)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("shape", [(40, 5), (5, 40)])
def test_every_line_of_a_regression_is_what_the_cost_functions_give_for_its_matrix(
    shape: tuple[int, int], answer: Wanted
) -> None:
    task = linear_task(*shape)
    report = projected(task, answer=answer)
    direct = {
        loading: baselines.quantum_costs(task.A, task.b, tolerance=0.05, output=answer, loading=loading)
        for loading in ("qrom", "qram")
    }
    assert [line.algorithm for line in report.lines][:3] == ["HHL", "QSVT, optimal polynomial", "Dalzell, norm known"]
    for line in report.lines:
        own, free = (direct[loading][line.algorithm] for loading in ("qrom", "qram"))
        assert line.basis == own.basis
        assert line.queries == pytest.approx(own.queries)
        assert line.toffoli == pytest.approx(own.toffoli)
        assert line.runs == own.runs
        assert line.projected_seconds == pytest.approx(dict(own.projected_seconds))
        assert line.projected_seconds_qram == pytest.approx(dict(free.projected_seconds))
    sigma = np.linalg.svd(task.A, compute_uv=False)
    assert report.kappa == pytest.approx(sigma[0] / sigma[-1])
    assert report.kappa_encoding == pytest.approx(np.linalg.norm(sigma) / sigma[-1])


def test_the_instances_of_a_regression_are_those_of_hhl_and_qsvt_on_its_matrix() -> None:
    task = linear_task()
    hhl, qsvt = projected(task).instances
    for run, direct in (
        (hhl, baselines.hhl(task.A, task.b)),
        (qsvt, baselines.qsvt(task.A, task.b, tolerance=0.05)),
    ):
        assert run.l2_error == pytest.approx(direct.l2_error, rel=1e-6)
        assert run.success_probability == pytest.approx(direct.success_probability)
        assert (run.uses_per_run, run.qubits) == (direct.n_queries, direct.n_qubits)


def test_the_recommender_is_the_threshold_filter_of_the_walk_on_the_row_of_median_norm() -> None:
    task = low_rank_task()
    report = projected(task, answer="sample")
    (line,), (run,) = report.lines, report.instances
    A = np.asarray(task.A)
    sigma = np.linalg.svd(A, compute_uv=False)
    row = int(np.argsort(np.linalg.norm(A, axis=1))[15])
    assert f"row {row} of A" in report.question

    def direct(t: int, window: str) -> baselines.HHLResult:
        options: dict[str, Any] = {"filter": "threshold", "threshold": (sigma[2] + sigma[3]) / 2, "window": window}
        return baselines.hhl(A.T, A[row], n_clock_qubits=t, phase_map="walk", **options)

    window = "sine" if "sine" in run.note else "hadamard"
    assert run.clock_qubits is not None
    same = direct(run.clock_qubits, window)
    assert run.l2_error == pytest.approx(same.l2_error, rel=1e-6)
    assert same.l2_error <= 0.05
    assert all(direct(run.clock_qubits - 1, other).l2_error > 0.05 for other in ("hadamard", "sine"))
    both = [direct(run.clock_qubits, other) for other in ("hadamard", "sine")]
    cost = [other.n_queries * other.expected_runs for other in both if other.l2_error <= 0.05]
    assert same.n_queries * same.expected_runs == min(cost)
    # The exact answer, without the library.
    V = np.linalg.svd(A)[2][:3]
    exact = V.T @ (V @ A[row])
    state = same.state / np.sign(same.state @ exact)
    assert np.linalg.norm(state - exact / np.linalg.norm(exact)) <= 0.05 + 1e-9
    assert line.queries == pytest.approx(same.n_queries * same.expected_runs)
    assert line.basis == "exact instance"
    costs = baselines.quantum_costs(A.T, A[row], tolerance=0.05, output="sample")
    other = costs["Dalzell, norm known"]
    rotations = other.toffoli_rotations / other.queries
    preparation = other.toffoli_preparation / other.state_preparations
    gates = line.queries * (4 * costs.load_toffoli + rotations) + same.expected_runs * preparation
    assert line.toffoli == pytest.approx(gates)
    assert line.projected_seconds["conservative"] == pytest.approx(gates * 170e-6)
    assert report.kappa_encoding == pytest.approx(np.linalg.norm(sigma) / sigma[2])


@pytest.mark.parametrize("shape", [(30, 18), (18, 30)])
def test_a_projected_row_is_read_as_a_vector_of_as_many_entries_as_the_matrix_has_columns(
    shape: tuple[int, int],
) -> None:
    task = low_rank_task(shape=shape)
    report = projected(task, measured(1e-9))
    copies = 2 * shape[1] / (4 * 0.05**2)
    (line,), sample = report.lines, projected(task, answer="sample").lines[0]
    assert line.runs == pytest.approx(copies)
    assert line.projected_seconds["optimistic"] == pytest.approx(copies * sample.projected_seconds["optimistic"])
    flips = {flip.name: flip for flip in report.flips}
    assert flips["sample"].ratio == pytest.approx(report.ratio / copies)
    one = unit_costs(shape[::-1], 540, length=shape[1], tolerance=0.05, answer="vector", loading="qrom")
    assert flips["one query"].ratio * (1e-9 + report.reading_seconds) == pytest.approx(one.query * copies * 1e-6)
    costs = quantum_document(report)["costs"]
    assert costs["readout"][0]["runs"] == line.runs
    assert costs["lines"] == []


def test_the_recommender_takes_the_smallest_clock_of_all_however_close_the_threshold() -> None:
    sigma = np.array([3.0, 1.0, 1.0 - 1e-4])
    size = float(np.linalg.norm(sigma))
    run = recommender_instance(np.diag(sigma), sigma, np.eye(3), np.eye(3)[0], size, 1.0 - 5e-5, 0.05, whole=True)
    assert run.clock_qubits is not None
    assert run.clock_qubits == 2
    assert run.l2_error == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("exponent", [-1030, -600, 600, 1010])
def test_the_projection_of_a_matrix_at_an_extreme_scale_is_that_of_the_matrix(exponent: int, answer: Wanted) -> None:
    task = low_rank_task()
    far = replace(task, A=np.ldexp(np.asarray(task.A), exponent))
    for one, other in ((task, far), *((replace(t, A=sp.csr_array(t.A)) for t in (task, far)),)):
        near, report = (projected(each, answer=answer) for each in (one, other))
        assert report.lines[0].queries == pytest.approx(near.lines[0].queries, rel=1e-6)
        assert report.kappa_encoding == pytest.approx(near.kappa_encoding)
        assert report.question == near.question


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("exponent", [-1000, 600])
def test_a_huge_or_tiny_solution_is_read_without_a_warning(exponent: int, answer: Wanted) -> None:
    task = linear_task()
    far = replace(task, A=np.ldexp(np.asarray(task.A), exponent))
    assert projected(far, answer=answer).lines[0].queries == pytest.approx(projected(task).lines[0].queries, rel=1e-6)


@pytest.mark.parametrize("kind", ["linear", "low-rank"])
def test_rounding_of_single_precision_is_no_part_of_the_spectrum(kind: Any) -> None:
    system = problems.linear_system((60, 3), noise=0.1, rng=0)
    A = np.asarray(system.A, np.float32)
    A = np.column_stack([A, np.float32(0.3) * A[:, 0] + np.float32(0.7) * A[:, 1]])
    assert 1e-10 < np.linalg.cond(A.astype(float)) ** -1 < 1e-6
    report = projected(Task(kind, "t", "", A, 4, 0.05, b=np.asarray(system.b)))
    if kind == "linear":
        sigma = np.linalg.svd(A, compute_uv=False)
        assert report.kappa == pytest.approx(sigma[0] / sigma[2], rel=1e-4)
    else:
        assert "a rank below `--rank` 4" in report.reason


def test_a_threshold_below_a_singular_value_that_was_not_computed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(low_rank_task(sparse=True), rank=17)
    monkeypatch.setattr(_task, "_MOST_OPERATIONS", 1.0)
    assert projected(task).reason == "singular value 18, which the threshold is below, is too dear. Lower `--rank`."


def test_a_long_matrix_is_extrapolated_no_further_than_rows_can_be_counted() -> None:
    A = sp.csr_array(([2.0, 1.0], ([0, 1], [0, 1])), shape=(2_000_000, 2))
    report = projected(Task("low-rank", "t", "", A, 1, 0.05), measured(1e-12))
    assert "no crossing up to 5e+21 entries" in {flip.name: flip for flip in report.flips}["size, qrom"].text


def test_the_verdict_says_where_a_bound_takes_b_in_the_column_space_and_it_is_not() -> None:
    task = linear_task()
    exact = np.asarray(task.A) @ np.ones(5)
    verdicts = [projected(replace(task, b=b)).verdict for b in (exact + np.arange(40.0), exact)]
    assert ["were b in the column space" in verdict for verdict in verdicts] == [True, False]


@pytest.mark.parametrize("bad", ["vectors", True, 3, np.ones(2)])
def test_an_unknown_output_is_refused_before_anything_runs(bad: Any) -> None:
    with pytest.raises(ValueError, match="`quantum` must be None or one of 'vector', 'sample', 'prediction'; got"):
        compare([linear_task()], quantum=bad)


@pytest.mark.parametrize("sparse", [False, True])
def test_without_all_singular_values_the_rest_of_the_row_is_lumped_below_the_threshold(
    sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = low_rank_task(sparse=sparse, shape=(90, 70))
    whole = projected(task)
    monkeypatch.setattr(_task, "_MOST_OPERATIONS", 1.0)
    part = projected(task)
    assert "root mean square" in part.instances[0].note
    assert part.instances[0].l2_error <= 0.05
    assert part.kappa_encoding == pytest.approx(whole.kappa_encoding, rel=1e-6)
    assert part.instances[0].success_probability == pytest.approx(whole.instances[0].success_probability, rel=0.1)


@pytest.mark.parametrize("tolerance", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("whole", [False, True])
def test_the_recommender_takes_the_window_of_fewer_uses_and_what_is_left_of_the_row_at_its_mean(
    tolerance: float, whole: bool
) -> None:
    A = problems.low_rank_matrix((30, 18), 3, noise=0.9, rng=2).A
    sigma, V = np.linalg.svd(A)[1:]
    kept = 18 if whole else 4
    threshold, size = (sigma[2] + sigma[3]) / 2, float(np.linalg.norm(sigma))
    run = recommender_instance(A, sigma[:kept], V[:kept], A[0], size, threshold, tolerance, whole=whole)
    part, values = V @ A[0] / np.linalg.norm(A[0]), sigma
    if not whole:
        rest = np.sqrt(np.sum(part[4:] ** 2))
        values = np.append(sigma[:4], np.sqrt(np.sum((sigma[4:] * part[4:]) ** 2)) / rest)
        part = np.append(part[:4], rest)
    least = []
    for window in ("hadamard", "sine"):
        direct = baselines.hhl(
            np.diag(values),
            part,
            n_clock_qubits=run.clock_qubits,
            filter="threshold",
            threshold=threshold,
            phase_map="walk",
            alpha=size,
            window=window,
        )
        if direct.l2_error <= tolerance:
            least.append((direct.n_queries * direct.expected_runs, direct.success_probability))
    assert (run.uses_per_run * run.expected_runs, run.success_probability) == pytest.approx(min(least))


def test_the_fastest_measured_solver_that_meets_the_tolerance_is_compared_with_the_least_projection() -> None:
    outcomes = (measured(1e-9, error=0.06, name="misses"), measured(2.0, name="slow"), measured(0.5, name="fast"))
    report = projected(linear_task(), *outcomes)
    assert (report.measured_name, report.measured_seconds) == ("fast", 0.5)
    least = min(line.projected_seconds["optimistic"] for line in report.lines)
    assert report.ratio == pytest.approx(least / (0.5 + report.reading_seconds))
    assert report.winner == ("classical" if report.ratio > 1 else "quantum")


def test_reading_the_output_counts_as_measured_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_projections, "_reading_seconds", lambda *_: 0.25)
    report = projected(linear_task(), measured(0.5), answer="sample")
    assert report.ratio == pytest.approx(min(line.projected_seconds["optimistic"] for line in report.lines) / 0.75)


@pytest.mark.parametrize("answer", ANSWERS)
def test_reading_takes_time_but_for_a_vector_that_is_at_hand(answer: Wanted) -> None:
    assert (projected(linear_task(), answer=answer).reading_seconds > 0.0) == (answer != "vector")
    assert projected(low_rank_task(), answer=answer).reading_seconds > 0.0


def test_a_measurement_slower_than_the_projection_turns_the_verdict() -> None:
    slow = projected(linear_task(), measured(1e9), answer="sample")
    assert slow.winner == "quantum"
    assert slow.verdict.startswith("The projection is below the measurement for one sample")
    flips = {flip.name: flip for flip in slow.flips}
    assert flips["qram"].flips is False
    assert "slower" in flips["clock"].text
    assert "already crossed" in flips["size, qrom"].text
    # The reading of a kept solution takes microseconds.
    assert flips["next"].flips is True


def test_what_would_flip_the_verdict_is_recomputed_from_the_cost_functions() -> None:
    task = linear_task()
    report = projected(task, measured(1e-4))
    flips = {flip.name: flip for flip in report.flips}
    assert list(flips) == ["clock", "qram", "sample", "sample and qram", "one query", "size, qrom", "size, qram"]
    assert flips["clock"].ratio == report.ratio
    assert f"{1e-6 / report.ratio:.1e} s a Toffoli" in flips["clock"].text

    def least(answer: Wanted, loading: str) -> float:
        costs: Any = baselines.quantum_costs(task.A, task.b, tolerance=0.05, output=answer, loading=loading)
        return min(costs[line.algorithm].projected_seconds["optimistic"] for line in report.lines)

    for name, answer, loading in (
        ("qram", "vector", "qram"),
        ("sample", "sample", "qrom"),
        ("sample and qram", "sample", "qram"),
    ):
        ratio = least(answer, loading) / 1e-4
        assert flips[name].ratio == pytest.approx(ratio)
        assert flips[name].flips == (ratio <= 1.0)
        assert ("does not flip" in flips[name].text) == (ratio > 1.0)


@pytest.mark.parametrize("kind", ["linear", "low-rank"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_on_either_side_of_the_flip_the_verdict_and_the_crossing_differ_and_agree_with_each_other(
    kind: str, answer: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_projections, "_reading_seconds", lambda *_: 0.0)
    b = np.zeros(400)
    b[7] = 1.0  # far fewer words to load than a b without zeros
    A = sp.random_array((20, 400), density=0.2, rng=0, format="csr")
    task = replace(linear_task(400, 3), b=b) if kind == "linear" else Task("low-rank", "t", "", A, 3, 0.05)
    projection = projected(task, answer=answer).ratio * 1e-3
    for factor, winner, text in ((0.9, "classical", "they cross at"), (1.1, "quantum", "already crossed at this size")):
        report = projected(task, measured(factor * projection), answer=answer)
        found = {flip.name: flip for flip in report.flips}["size, qrom"]
        assert report.winner == winner
        # A vector has more copies the larger it is: there may be no crossing.
        assert text in found.text or (answer == "vector" and winner == "classical")
        if winner == "classical" and answer != "vector":
            assert found.ratio == pytest.approx(0.9**-2, rel=0.15)


@pytest.mark.parametrize("loading", ["qrom", "qram"])
def test_the_crossing_is_where_the_scaled_costs_meet_the_scaled_measurement(loading: str) -> None:
    task = linear_task()
    report = projected(task, measured(1e-4), answer="sample")
    found = {flip.name: flip for flip in report.flips}[f"size, {loading}"].ratio
    best = next(line for line in report.lines if line.algorithm == report.best)
    assert found is not None

    def difference(scale: float) -> float:
        size = (ceil(40 * sqrt(scale)), ceil(5 * sqrt(scale)))
        conditions = {"shape": size, "frobenius_norm": 2.0, "sigma_max": 1.7, "sigma_min": 0.5}
        costs: Any = baselines.quantum_costs(
            {**conditions, "n_stored": ceil(200 * scale)}, tolerance=0.05, output="sample", loading=loading
        )
        line = costs["discrete adiabatic, proven"]
        query = 4 * costs.load_toffoli + line.toffoli_rotations / line.queries
        preparation = line.toffoli_preparation / line.state_preparations
        seconds = 1e-6 * (best.queries * query + best.state_preparations * preparation)
        return float(seconds - 1e-4 * scale - report.reading_seconds)

    assert difference(found * 1.01) < 0.0 < difference(found / 1.01)


def test_a_vector_by_lookups_of_gates_never_crosses_where_samples_grow_with_the_columns() -> None:
    report = projected(linear_task(), measured(1e-9))
    assert "no crossing up to 1e+24 entries" in {flip.name: flip for flip in report.flips}["size, qrom"].text


def test_costs_of_one_query_do_not_depend_on_the_spectrum() -> None:
    units = unit_costs((100, 30), 3000, length=30, tolerance=0.1, answer="vector", loading="qrom")
    costs = baselines.quantum_costs(np.diag(np.arange(1.0, 101.0))[:, :30], tolerance=0.1, density=1.0)
    line = costs["Dalzell, norm unknown"]
    assert units.query == pytest.approx((line.toffoli_loading + line.toffoli_rotations) / line.queries)
    assert units.runs == line.runs
    assert units.seconds(line.queries, line.state_preparations, 1e-6) == pytest.approx(
        line.projected_seconds["optimistic"]
    )


def test_without_a_measured_answer_the_verdict_is_open() -> None:
    report = projected(linear_task(), measured(1.0, error=0.5))
    assert (report.winner, report.flips, report.measured_name) == ("undecided", (), "")
    assert "no measured solver met the tolerance" in report.verdict
    assert quantum_document(report)["verdict"]["winner"] == "undecided"


def test_a_rank_deficient_regression_is_projected_on_the_singular_values_it_has() -> None:
    task = linear_task()
    A = np.column_stack([task.A, task.A[:, 0]])
    report = projected(replace(task, A=A))
    sigma = np.linalg.svd(A, compute_uv=False)
    assert report.reason == ""
    assert report.kappa == pytest.approx(sigma[0] / sigma[4])


def test_a_condition_number_beyond_the_clock_leaves_hhl_without_a_number() -> None:
    task = linear_task()
    A = np.asarray(task.A) * np.array([1.0, 1.0, 1.0, 1.0, 1e-7])
    report = projected(replace(task, A=A, b=A @ np.ones(5)))
    assert (report.lines[0].basis, report.lines[0].projected_seconds) == ("asymptotic only", None)
    assert "—" in projection_table(report).rows[0]
    assert report.best != "HHL"


def test_what_cannot_be_projected_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    b = np.zeros(4)
    b[3] = 1.0
    outside = Task("linear", "t", "", np.eye(4, 2), 2, 0.05, b=b)
    assert "must have a part in the span" in projected(outside).reason
    tied = Task("low-rank", "t", "", np.eye(6), 3, 0.05)
    assert "singular values 3 and 4 are equal" in projected(tied).reason
    short = Task("low-rank", "t", "", np.outer(np.arange(1.0, 6.0), [1.0, 2.0, 3.0]), 2, 0.05)
    assert "a rank below `--rank` 2" in projected(short).reason
    (line,) = quantum_text(projected(short), short)
    assert line.startswith("Quantum solvers: nothing is projected; ")
    task = linear_task()
    truth = find_truth(task)
    monkeypatch.setattr(_task, "_MOST_OPERATIONS", 1.0)
    assert "too dear" in project(task, truth, [measured(1.0)]).reason


def test_singular_values_that_no_clock_tells_apart_leave_the_recommender_without_a_number() -> None:
    generator = np.random.default_rng(0)
    U, V = (np.linalg.qr(generator.standard_normal((6, 6)))[0] for _ in range(2))
    A = U * np.array([3.0, 2.0, 1.0, 1.0 - 1e-7, 0.5, 0.2]) @ V
    report = projected(Task("low-rank", "t", "", A, 3, 0.05))
    assert report.lines[0].basis == "asymptotic only"
    assert report.instances[0].note.startswith("no number")
    assert report.verdict == "Undecided: no projection has a number."


def test_measured_and_projected_seconds_share_no_table_and_no_key() -> None:
    (report,) = compare([linear_task()], repeats=1, quantum="sample")
    text = compare_text([report], facts=facts(), seed=0)
    first, second = text.split("PROJECTED, not measured")
    assert "normal equations" in first.split("=>")[0]
    assert "Dalzell" not in first
    table = second.split("\n\n")[1]
    assert all("projected" in column or "free QRAM" in column for column in projection_table(report.quantum).head[5:9])
    assert not any(outcome.name in table for outcome in report.outcomes)
    assert "not quantum time" in second
    assert "exact instance" in table
    assert "proven bound" in table
    assert "empirical constant" in table
    document = compare_document([report], facts=facts(), seed=0, repeats=1)
    json.dumps(document, allow_nan=False)
    found = document["tasks"][0]["quantum"]
    assert set(found["measured"]) == {"name", "seconds", "reading_seconds"}
    assert all("seconds" not in line for line in found["projected"])
    assert {line["basis"] for line in found["projected"]} == {
        "exact instance",
        "proven bound, leading order",
        "empirical constant",
    }
    assert found["answer"] == "sample"
    assert found["costs"]["warning"].startswith("These are projections")
    assert [flip["name"] for flip in found["flips"]] == [
        "clock",
        "qram",
        "next",
        "one query",
        "size, qrom",
        "size, qram",
    ]


def test_the_report_has_projections_in_a_section_of_their_own() -> None:
    pytest.importorskip("matplotlib")
    done, refused = compare(
        [low_rank_task(), Task("low-rank", "tied", "", np.eye(20), 3, 0.05)], repeats=1, quantum="vector"
    )
    page = html_report([done, refused], facts=facts(), seed=0)
    assert page.count("<h3>Quantum solvers, projected</h3>") == 1
    assert "What would flip it" in page
    assert "Nothing is projected; singular values 3 and 4 are equal" in page


def test_nothing_is_projected_unless_asked_for() -> None:
    (report,) = compare([linear_task()], repeats=1)
    assert report.quantum is None
    assert compare_document([report], facts=facts(), seed=0, repeats=1)["tasks"][0]["quantum"] is None


def facts() -> dict[str, Any]:
    from qinspired.experiments import machine

    return machine()
