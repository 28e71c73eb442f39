"""The tasks of `qinspired compare`: the shipped real data, or a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired import datasets
from qinspired._validation import check_fraction, check_rank
from qinspired.datasets._files import check_path, data_suffix, find_delimiter, open_text
from qinspired.experiments._task import Task

if TYPE_CHECKING:
    import os

    from qinspired.datasets import Regression

__all__ = ["DEFAULT_RANK", "file_task", "shipped_tasks"]

DEFAULT_RANK = 10


def shipped_tasks(*, rank: int | None = None, tolerance: float = 0.05) -> list[Task]:
    """Return the real ratings and regressions that come with the extra `data`.

    Parameters
    ----------
    rank : int, optional
        Rank of the approximation of the ratings, 10 by default.
    tolerance : float
        Accuracy asked of every solver, in (0, 1).

    Returns
    -------
    list of Task
        InstEval; diamonds; diabetes.

    Raises
    ------
    ImportError
        If the package with the data is not installed.
    ValueError, TypeError
        If `rank` or `tolerance` is out of range.
    """
    asked = check_fraction(tolerance, "--tolerance")
    ratings = datasets.load_insteval()
    k, note = _rank_for(ratings.matrix.shape, rank)
    first = Task("low-rank", ratings.name, ratings.source, ratings.matrix, k, asked, ratings=ratings, note=note)
    regressions = (datasets.load_diamonds(), datasets.load_diabetes())
    return [first, *(_regression_task(data, asked) for data in regressions)]


def file_task(
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    rank: int | None = None,
    tolerance: float = 0.05,
) -> Task:
    """Return the task in a file: ratings or a matrix to approximate, or a regression on one of its columns.

    Parameters
    ----------
    path : str or path-like
        What `datasets.read` reads; with `target` what `datasets.read_matrix` reads.
    target : str, optional
        Column of a dense matrix to take as b: its name in the header, its index (negative from the end) or
        "last".
    rank : int, optional
        Rank of the approximation; by default 10, or half of min(m, n) where that is less.
    tolerance : float
        Accuracy asked of every solver, in (0, 1).

    Returns
    -------
    Task
        Named after the file.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If the file cannot be read, holds only zeros, or an argument is out of range.
    ImportError
        If a Parquet file is given and pyarrow is not installed.
    """
    asked = check_fraction(tolerance, "--tolerance")
    name = Path(path).name
    if target is not None:
        if rank is not None:
            raise ValueError("`--rank` must not be given with `--target`: a regression has no rank. Drop one.")
        return _target_task(path, target, asked)
    data = datasets.read(path)
    ratings = data if isinstance(data, datasets.Ratings) else None
    A: Any = data.matrix if isinstance(data, datasets.Ratings) else data
    _refuse_zero(A, name)
    k, note = _rank_for(A.shape, rank)
    return Task("low-rank", name, f"file {name}", A, k, asked, ratings=ratings, note=note)


def _rank_for(shape: tuple[int, int], rank: int | None) -> tuple[int, str]:
    if rank is not None:
        return check_rank(rank, shape, name="--rank"), ""
    largest = max(1, min(shape) // 2)
    if largest >= DEFAULT_RANK:
        return DEFAULT_RANK, ""
    return largest, (
        f"The rank is {largest} instead of {DEFAULT_RANK}: half of min(m, n) for this {shape[0]} x {shape[1]} matrix."
    )


def _regression_task(data: Regression, tolerance: float) -> Task:
    return Task("linear", data.name, data.source, data.X, min(data.X.shape), tolerance, b=data.y)


def _target_task(path: str | os.PathLike[str], target: str, tolerance: float) -> Task:
    name = Path(path).name
    matrix = datasets.read_matrix(path)
    if not isinstance(matrix, np.ndarray):
        raise ValueError(f"`--target` needs a dense matrix; {name} holds a sparse one. Save it with `numpy.save`.")
    n = matrix.shape[1]
    if n < 2:
        raise ValueError(f"`--target` needs at least two columns, features and target; {name} has {n}.")
    header = _header(path, n)
    column = _column(target, header, n, name)
    A = np.ascontiguousarray(np.delete(matrix, column, axis=1))
    b = matrix[:, column].astype(np.float64)
    _refuse_zero(A, name)
    if not b.any():
        raise ValueError(f"`--target` must name a column with a non-zero entry; column {column} of {name} is zero.")
    label = f"column {column}" if header is None else f"column {column}, {header[column]!r}"
    note = f"Target: {label}. The other {n - 1} columns are used as they are; no intercept is added."
    return Task("linear", name, f"file {name}", A, min(A.shape), tolerance, b=b, note=note)


def _header(path: str | os.PathLike[str], n_cols: int) -> list[str] | None:
    """Return the column names of a text table, or None where it has none."""
    file = check_path(path)
    if data_suffix(file) in (".npy", ".npz"):
        return None
    with open_text(file) as text:
        first = text.readline(1 << 24)
    names = [field.strip().strip("\"'") for field in first.split(find_delimiter(first))]
    if len(names) != n_cols:
        return None
    try:
        [float(field) for field in names]
    except ValueError:
        return names
    return None


def _column(target: str, header: list[str] | None, n_cols: int, name: str) -> int:
    if header is not None and target in header:
        if header.count(target) > 1:
            raise ValueError(f"`--target` {target!r} names {header.count(target)} columns of {name}; give an index.")
        return header.index(target)
    if target == "last":
        return n_cols - 1
    try:
        index = int(target)
    except ValueError:
        known = "it has no header" if header is None else f"its columns are {', '.join(header[:20])}"
        raise ValueError(
            f"`--target` must be a column name, an index or 'last'; got {target!r}, and {known} ({name})."
        ) from None
    if not -n_cols <= index < n_cols:
        raise ValueError(
            f"`--target` must be in [{-n_cols}, {n_cols - 1}] for the {n_cols} columns of {name}; got {index}."
        )
    return index % n_cols


def _refuse_zero(A: Any, name: str) -> None:
    entries = A if isinstance(A, np.ndarray) else A.data
    if not np.any(entries):
        raise ValueError(f"{name}: the matrix must have a non-zero entry; all of them are zero. Give another file.")
