"""A task, a solver, and the answer of one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qinspired._typing import Float64Array, FloatArray
    from qinspired.algorithms import ErrorEstimate
    from qinspired.datasets import Ratings

__all__ = ["Answer", "Kind", "Solver", "Task", "reason_to_skip", "stored_bytes"]

Kind: TypeAlias = Literal["low-rank", "linear"]

# A factorisation of m n min(m, n) = 2e12 takes minutes on a few cores.
_MOST_OPERATIONS = 2e12
_MOST_DENSE_ENTRIES = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A matrix and what is asked of it.

    Attributes
    ----------
    kind : {"low-rank", "linear"}
        Approximate A by a projection of rank k, or minimise |A x - b|.
    name, source : str
        What the data is and where it comes from.
    A : ndarray or csr_array, shape (m, n)
        The matrix.
    rank : int
        k; for a linear task only solvers of low rank use it.
    tolerance : float
        The accuracy asked of every solver.
    b : ndarray, shape (m,), or None
        Right-hand side of a linear task.
    ratings : Ratings or None
        The ratings that A comes from, with their ids.
    note : str
        What the reader should know about how the task was set.
    """

    kind: Kind
    name: str
    source: str
    A: FloatArray | sp.csr_array[Any]
    rank: int
    tolerance: float
    b: Float64Array | None = None
    ratings: Ratings | None = None
    note: str = ""

    @property
    def right_hand_side(self) -> Float64Array:
        """The vector b of a linear task."""
        if self.b is None:
            raise ValueError(f"the task {self.name!r} has no right-hand side; it is a {self.kind} task.")
        return self.b


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a solver returned, and its cost.

    Attributes
    ----------
    value : ndarray
        Orthonormal components (k, n) of a low-rank task, x (n,) of a linear one.
    method : str
        What the solver used in the end.
    setup_seconds, solve_seconds : float
        Wall times; NaN where a simulator stood in for the machine.
    setup_bytes, solve_bytes : int or None
        Bytes of A read; None where nothing counted them.
    certified : ErrorEstimate or None
        The error the solver claims.
    figures : Mapping
        Further numbers, such as those of a quantum circuit.
    """

    value: Float64Array
    method: str
    setup_seconds: float
    solve_seconds: float
    setup_bytes: int
    solve_bytes: int | None
    certified: ErrorEstimate | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Solver:
    """One way to solve a kind of task.

    Attributes
    ----------
    name : str
        As shown in tables.
    ours : bool
        Whether it is qinspired's own.
    solve : callable
        (task, seed) -> Answer.
    cubic, dense : bool
        Whether it takes m n min(m, n) operations, and whether it makes a sparse matrix dense.
    count_bytes : callable or None
        (task, seed) -> bytes of A read, by a second, untimed run; where the timed one cannot count.
    """

    name: str
    ours: bool
    solve: Callable[[Task, int], Answer]
    cubic: bool = False
    dense: bool = False
    count_bytes: Callable[[Task, int], int] | None = None


def stored_bytes(A: FloatArray | sp.csr_array[Any]) -> int:
    """Return the bytes of the stored entries, column indices included: one pass over A."""
    if isinstance(A, np.ndarray):
        return int(A.nbytes)
    return int(A.data.nbytes + A.indices.nbytes)


def reason_to_skip(task: Task, solver: Solver) -> str:
    """Return why a solver would take too long or too much memory on a task, or "" if it would not."""
    m, n = task.A.shape
    if solver.dense and sp.issparse(task.A) and m * n > _MOST_DENSE_ENTRIES:
        return f"a dense copy would have {m * n:.2g} entries, above {_MOST_DENSE_ENTRIES:.0e}"
    if solver.cubic and float(m) * n * min(m, n) > _MOST_OPERATIONS:
        return f"m n min(m, n) = {float(m) * n * min(m, n):.1e} operations, above {_MOST_OPERATIONS:.0e}"
    return ""
