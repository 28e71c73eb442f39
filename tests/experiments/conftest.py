from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from qinspired import datasets, problems
from qinspired.experiments._compare import TaskReport, compare
from qinspired.experiments._task import Task

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>alert('x')</script>|\x1b[2J"


@pytest.fixture(scope="session")
def ratings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings of 60 users for 30 items with hostile ids."""
    generator = np.random.default_rng(0)
    users, items = np.nonzero(generator.random((60, 30)) < 0.4)
    values = generator.integers(1, 6, len(users))
    file = tmp_path_factory.mktemp("data") / "ratings.csv"
    lines = [f"{HOSTILE}{i},item{j},{v}" for i, j, v in zip(users, items, values, strict=True)]
    file.write_text("user,item,rating\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def reports(ratings_file: Path) -> list[TaskReport]:
    """One comparison of each kind of task."""
    ratings = datasets.read_ratings(ratings_file)
    system = problems.linear_system((400, 8), noise=0.3, rng=0)
    low_rank = Task("low-rank", HOSTILE, HOSTILE, ratings.matrix, 4, 0.05, ratings=ratings, note="a note")
    linear = Task("linear", "system", "generated", system.A, 8, 0.05, b=np.asarray(system.b))
    return compare([low_rank, linear], repeats=1)
