from __future__ import annotations

import math

import pytest

from qinspired.algorithms import ErrorEstimate
from qinspired.experiments._verdicts import Outcome, conclude, judge, percent, promise_broken, show_seconds

CERTIFIED = ErrorEstimate(0.03, 0.02, 0.04)


def rival(seconds: float, error: float, name: str = "LAPACK") -> Outcome:
    return Outcome(name, ours=False, solve_seconds=seconds, error=error)


def own(setup: float, solve: float, error: float, method: str = "krylov", *, warned: bool = False) -> Outcome:
    return Outcome(
        "qinspired low_rank, auto",
        ours=True,
        method=method,
        setup_seconds=setup,
        solve_seconds=solve,
        error=error,
        certified=CERTIFIED,
        warned=warned,
    )


def test_the_fastest_of_those_that_meet_the_tolerance_is_named_and_the_others_get_their_ratio() -> None:
    outcomes = [rival(2.0, 0.0), rival(1.0, 0.05), own(2.0, 1.0, 0.01)]
    assert judge(outcomes, 0.05) == ["meets, 2.0x slower", "fastest that meets 5 %", "meets, 3.0x slower"]


def test_a_solver_within_five_per_cent_of_the_fastest_is_called_as_fast() -> None:
    verdicts = judge([rival(1.0, 0.0), rival(1.04, 0.0), rival(1.06, 0.0)], 0.05)
    assert verdicts[1:] == ["meets, as fast to 5 %", "meets, 1.1x slower"]


def test_a_faster_solver_that_misses_is_not_the_fastest() -> None:
    assert judge([rival(0.1, 0.0501), rival(1.0, 0.0)], 0.05) == ["misses 5 %", "fastest that meets 5 %"]


def test_set_up_counts_in_the_ratio() -> None:
    assert judge([own(1.5, 0.5, 0.0), rival(1.0, 0.0)], 0.05)[0] == "meets, 2.0x slower"


def test_errors_and_skips_show_their_reason_and_never_count_as_fastest() -> None:
    failed = Outcome("a", ours=False, status="error", reason="singular")
    skipped = Outcome("b", ours=False, status="skipped", reason="too large")
    assert judge([failed, skipped, rival(9.0, 0.0)], 0.01) == [
        "error: singular",
        "skipped: too large",
        "fastest that meets 1 %",
    ]


def test_a_warned_answer_is_marked_whether_it_meets_or_misses() -> None:
    warned = own(0.0, 3.0, 0.01, warned=True)
    missing = own(0.0, 3.0, 0.2, warned=True)
    assert judge([rival(1.0, 0.0), warned, missing], 0.05)[1:] == [
        "meets, 3.0x slower, not certified",
        "misses 5 %, and warns",
    ]


def test_a_certificate_below_the_tolerance_on_a_worse_answer_is_exposed() -> None:
    assert judge([own(0.0, 1.0, 0.06)], 0.05) == ["misses 5 % though certified"]


def test_an_iterative_solver_that_did_not_converge_is_marked() -> None:
    unfinished = Outcome("sag", ours=False, solve_seconds=1.0, error=0.0, converged=False)
    assert judge([unfinished], 0.05) == ["fastest that meets 5 %, not converged"]


def test_the_conclusion_says_who_wins_with_set_up_and_solve_and_why() -> None:
    text = conclude([rival(0.010, 0.0), own(0.012, 0.030, 0.02)], 0.05, (300, 20), 48_000)
    assert text == (
        "An established solver wins here; the data is small (300 x 20, 0.048 MB). LAPACK: 10 ms; "
        "qinspired low_rank, auto (by krylov): 42 ms (set-up 12 ms + solve 30 ms), 4.2x slower."
    )


def test_the_conclusion_turns_round_when_the_times_do() -> None:
    text = conclude([rival(0.084, 0.0), own(0.012, 0.030, 0.02)], 0.05, (30_000, 2000), 480_000_000)
    assert text.startswith("Sampling wins here on 30000 x 2000, 480 MB. qinspired")
    assert "2.0x faster than the best rival; LAPACK: 84 ms." in text


def test_sampling_is_not_given_credit_for_an_answer_from_all_rows() -> None:
    text = conclude([rival(2.0, 0.0), own(0.5, 0.5, 0.0, method="exact")], 0.05, (10, 10), 800)
    assert text.startswith("Ours wins here, without sampling")
    slower = conclude([rival(0.5, 0.0), own(0.5, 0.5, 0.0, method="exact")], 0.05, (10, 10), 800)
    assert slower.startswith("An established solver wins here, though ours used all rows too")


def test_times_within_a_tenth_are_called_equal() -> None:
    assert conclude([rival(1.0, 0.0), own(0.0, 1.05, 0.0)], 0.05, (9, 9), 8).startswith("About equal")
    assert not conclude([rival(1.0, 0.0), own(0.0, 1.2, 0.0)], 0.05, (9, 9), 8).startswith("About equal")


def test_an_answer_of_ours_without_a_kept_certificate_is_not_our_best() -> None:
    published = Outcome("reference FKV", ours=True, solve_seconds=0.1, error=0.01)
    warned = own(0.0, 0.1, 0.01, warned=True)
    text = conclude([rival(1.0, 0.0), published, warned], 0.05, (9, 9), 8)
    assert text == "None of ours met and certified 5 %; LAPACK: 1 s."


def test_nobody_or_only_one_side_may_meet_the_tolerance() -> None:
    assert conclude([rival(1.0, 1.0)], 0.05, (9, 9), 8) == "No solver met 5 %."
    assert conclude([rival(1.0, 1.0), own(0.0, 1.0, 0.0)], 0.05, (9, 9), 8).startswith("Only ours met 5 %")


def test_only_an_automatic_choice_that_misses_breaks_a_promise() -> None:
    pinned = Outcome("qinspired low_rank, gram", ours=True, error=1.0)
    failed = Outcome("qinspired low_rank, auto", ours=True, status="error", reason="no")
    assert promise_broken([pinned, rival(1.0, 1.0), own(0.0, 1.0, 0.05)], 0.05) == []
    assert promise_broken([own(0.0, 1.0, 0.051)], 0.05) == ["qinspired low_rank, auto"]
    assert promise_broken([failed], 0.05) == ["qinspired low_rank, auto"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.345, "12.3 s"),
        (1.0, "1 s"),
        (0.9999, "1 s"),
        (0.123, "123 ms"),
        (0.00150, "1.5 ms"),
        (4.6e-5, "46 µs"),
        (math.nan, "—"),
    ],
)
def test_a_time_is_shown_to_three_digits_with_its_unit(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


def test_a_share_is_shown_in_per_cent() -> None:
    assert [percent(0.05), percent(0.001), percent(0.125)] == ["5 %", "0.1 %", "12.5 %"]
