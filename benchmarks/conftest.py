"""Shared by the benchmarks: sizes, and the table of ratios printed at the end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

_LINES: list[str] = []


@pytest.fixture
def report() -> Callable[[str], None]:
    """Add a line to the table that is printed after the run."""
    return _LINES.append


@pytest.fixture(scope="session")
def tiny() -> bool:
    """Whether to run at a size that shows that the code works, not how fast it is."""
    return os.environ.get("QINSPIRED_BENCH_SCALE", "full") == "tiny"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _LINES:
        terminalreporter.section("ratios, each within one run on one machine")
        for line in _LINES:
            terminalreporter.write_line(line)
