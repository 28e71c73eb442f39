"""What the selections have in common: checked arguments, the rows they are made from, and their account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_rank
from qinspired.access import SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.algorithms.selection._drawn import RowSample, refuse_without_rows, row_sample
from qinspired.algorithms.selection._pivots import METHODS
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from qinspired._typing import RNGLike
    from qinspired.access import CountingMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate

__all__ = ["Attempt", "Task", "described", "outcome", "settled", "start"]

_DRAWS_PER_LINE = 16
_LEAST_DRAWS = 64

# Growth of the draw where too few lines can be told apart, or few rows are different, up to so many stored entries.
_LEAST_ROWS_PER_LINE = 4
_GROWTH = 8
_MOST_ENTRIES = 25_000_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Task:
    """A selection to be made, with checked arguments."""

    matrix: SampleQueryMatrix
    meter: CostMeter
    rank: int
    method: str
    n_draws: int | None
    rng: np.random.Generator

    @property
    def A(self) -> CountingMatrix:  # noqa: N802 - a matrix
        """The matrix, with its accesses counted."""
        return self.meter.matrix


@dataclass(frozen=True, slots=True)
class Attempt(Generic[_T]):
    """An answer from one sample of rows, the number of its columns and rows, and its error."""

    answer: _T
    n_found: int
    error: ErrorEstimate


class _Result(Protocol):
    @property
    def error(self) -> ErrorEstimate: ...

    @property
    def method(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def stats(self) -> Cost: ...


def start(A: Any, rank: int, method: str, n_draws: int | None, rng: RNGLike, name: str) -> Task:
    """Check the arguments and begin to count."""
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}; got {method!r}.")
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    rank = check_rank(rank, matrix.shape)
    if n_draws is not None:
        n_draws = check_count(n_draws, "n_draws", low=rank)
    generator = as_generator(rng)
    if matrix.frobenius_norm == 0.0:
        raise ZeroMassError("`A` must have a non-zero entry: any columns and rows stand for a zero matrix.")
    meter = CostMeter(matrix, built_index=built_index)
    refuse_without_rows(meter.matrix, name)
    return Task(matrix, meter, rank, "qr" if method == "auto" else method, n_draws, generator)


def settled(
    task: Task, count: int, wanted: int, floor: float, attempt: Callable[[RowSample], Attempt[_T]]
) -> tuple[RowSample, Attempt[_T]]:
    """Return an answer with so many columns and rows, at most `count` of either, and the sample that it is from.

    The sample grows where it shows too few directions and the error is above `floor`, that is 10 times rounding. Rows
    drawn by squared norm miss what is in short rows: one of 1e8 times the norm of the others is all that they show.
    """
    A = task.A
    n_draws = task.n_draws or max(_DRAWS_PER_LINE * count, _LEAST_DRAWS)
    while True:
        sample = row_sample(A, n_draws, task.rng)
        found = attempt(sample)
        n_draws *= _GROWTH
        entries = A.n_stored if 2 * n_draws >= A.shape[0] else n_draws * (A.n_stored // A.shape[0])
        is_last = sample.whole or task.n_draws is not None or entries > _MOST_ENTRIES
        is_enough = found.n_found == wanted and len(sample.rows) >= _LEAST_ROWS_PER_LINE * count
        if is_last or is_enough or found.error.value <= 10.0 * floor:
            return sample, found


def outcome(task: Task, sample: RowSample, found: int, wanted: int, lines: str) -> str:
    """Return what happened, as a status."""
    rows = "all rows" if sample.whole else f"{len(sample.rows)} drawn rows"
    if found == wanted:
        return f"chosen by {task.method} from {rows}"
    return f"only {found} of {wanted} {lines} could be told apart by {task.method} in {rows}: the rest depend on them"


def described(what: str, source: SampleQueryMatrix, result: _Result) -> str:
    """Return an account of a result in a few lines."""
    m, n = source.shape
    cost = result.stats
    share = cost.entries_read / source.n_stored
    kind = "sparse" if source.is_sparse else "dense"
    return "\n".join(
        [
            f"{what} of a {m} x {n} {kind} matrix by {result.method}: {result.status}",
            f"relative error {result.error}",
            f"read {cost.bytes_read:,} bytes ({100 * share:.3g} % of A) in {cost.rows_read:,} rows and "
            f"{cost.full_passes} full passes; index {cost.index_seconds:.3g} s, solve {cost.seconds:.3g} s",
        ]
    )
