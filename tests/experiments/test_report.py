from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from qinspired.experiments import busy_note, compare_document, compare_text, html_report, machine
from qinspired.experiments._document import describe, outcome_table, show_error
from qinspired.experiments._tables import Table, render_table

if TYPE_CHECKING:
    from qinspired.experiments import TaskReport

FACTS = machine()

VOID = {"meta", "br", "path", "use"}


class Page(HTMLParser):
    """Counts elements, collects addresses and ids, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.addresses.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def html(reports: list[TaskReport]) -> str:
    pytest.importorskip("matplotlib")
    return html_report(reports, facts=FACTS, seed=7)


def test_the_page_parses_with_every_table_and_its_figures(html: str, reports: list[TaskReport]) -> None:
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.counts["table"] == 4  # two of solvers, one of recommendation scores, one of a sample of them
    assert page.counts["svg"] == 5  # error against time and certificates twice, singular values once
    for report in reports:
        assert report.conclusion in page.text
        for outcome in report.outcomes:
            assert outcome.name in page.text
    assert "seed 7" in page.text


def test_the_page_needs_nothing_outside_itself(html: str) -> None:
    page = Page()
    page.feed(html)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    assert len(set(page.ids)) == len(page.ids)


def test_axes_of_the_figures_carry_labels_with_units(html: str) -> None:
    for label in ("set-up + solve time (ms)", "error (%)", "singular value / largest"):
        assert label in html


def test_ids_and_names_from_a_file_cannot_become_markup_or_move_a_cursor(html: str, reports: list[TaskReport]) -> None:
    assert "<script" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in compare_text(reports, facts=FACTS, seed=0)


def test_the_text_has_one_line_for_each_solver_and_the_conclusions(reports: list[TaskReport]) -> None:
    text = compare_text(reports, facts=FACTS, seed=0)
    for report in reports:
        assert report.conclusion.split(";")[0] in text
        for outcome, verdict in zip(report.outcomes, report.verdicts, strict=True):
            lines = [line for line in text.splitlines() if outcome.name in line and verdict in line]
            assert lines, outcome.name
    assert "NDCG@10" in text
    assert "numpy" in text


def test_the_document_is_json_with_the_numbers_of_the_outcomes(reports: list[TaskReport]) -> None:
    document = compare_document(reports, facts=FACTS, seed=3, repeats=1)
    read = json.loads(json.dumps(document, allow_nan=False))
    assert read["seed"] == 3
    assert set(read["machine"]["versions"]) >= {"python", "numpy", "scipy", "numba", "qinspired"}
    for task, report in zip(read["tasks"], reports, strict=True):
        assert task["conclusion"] == report.conclusion
        assert [m["error"] for m in task["methods"]] == [o.error for o in report.outcomes]
        assert [m["verdict"] for m in task["methods"]] == list(report.verdicts)
    auto = next(m for m in read["tasks"][1]["methods"] if m["name"].endswith("auto"))
    assert set(auto["certified"]) == {"value", "low", "high", "confidence"}


def test_exact_solvers_have_no_error_and_automatic_ones_keep_their_promise(reports: list[TaskReport]) -> None:
    for report in reports:
        assert report.outcomes[0].error < 1e-10
        auto = next(o for o in report.outcomes if o.ours and o.name.endswith("auto"))
        assert auto.error <= report.task.tolerance


def test_solvers_without_a_certificate_show_a_dash(reports: list[TaskReport]) -> None:
    table = outcome_table(reports[0])
    column = table.head.index("certified error")
    for row, outcome in zip(table.rows, reports[0].outcomes, strict=True):
        assert (row[column] == "—") == (outcome.certified is None)


def test_the_title_names_shape_and_question(reports: list[TaskReport]) -> None:
    assert "(400 x 8): least squares, predictions to within 5 %" in describe(reports[1].task)


def test_a_busy_machine_is_confessed() -> None:
    facts = FACTS | {"cores": 2, "load": 1.5}
    assert busy_note(facts) == ""
    assert busy_note(facts | {"load": None}) == ""
    assert busy_note(facts | {"load": 1.51}).startswith("The machine was busy before the run began (load 1.51 on 2")


def test_a_text_table_is_aligned_and_a_markdown_table_escapes_bars() -> None:
    table = Table("t", ("name", "n"), (("a|b", "1"), ("c", "23")))
    assert render_table(table) == "t\n\nname   n\n----  --\na|b    1\nc     23"
    assert render_table(table, "markdown") == ("**t**\n\n| name |  n |\n| ---- | -: |\n| a\\|b |  1 |\n| c    | 23 |")


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.0, "0"), (0.0321, "3.21 %"), (2e-16, "2e-16"), (1.93, "193 %"), (float("inf"), "inf"), (float("nan"), "—")],
)
def test_an_error_is_shown_in_per_cent_or_as_a_power_of_ten(error: float, text: str) -> None:
    assert show_error(error) == text
