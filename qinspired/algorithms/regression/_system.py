"""A least-squares problem with the predicted costs of the ways to solve it, and rows drawn from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.access import CSRMatrix, DenseMatrix, base_of
from qinspired.algorithms._gather import squares_are_safe, unit_rows
from qinspired.algorithms.regression._normal_equations import PRIMAL_COLUMNS, moment

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.regression._row_laws import RowLaw

__all__ = ["LEAST_DRAW", "LEAST_DRAW_PER_COLUMN", "Draw", "System", "draw_rows", "first_iterations"]

# Rows of the first draw, in multiples of n: each half of them determines a solution, exact for a consistent system.
_FIRST_DRAW = 2.5

# The first draw has at least this many rows a column, up to a limit. Features of one row in a hundred, and outliers,
# must have a chance to be drawn: on the diamonds data, 24 columns, 60 rows gave answers off by 11 % certified as 3 %.
LEAST_DRAW_PER_COLUMN, LEAST_DRAW = 64, 1024

# Groups of draws whose scores make the certificate: its own noise is 1 / (groups - 1) of that of the error.
_GROUPS = 16

# Rates for the choice of a method, from one 2-core machine; only their ratios matter.
_SYRK_RATE = 5e10
_KACZMARZ_BYTES = 2.5e9
_BLOCK_BYTES = 3e9
_SCORE_BYTES = 4e9
_SPARSE_PASS_RATE = 5e7  # entries, each with 16 projections
_SPARSE_RATE = 5e8
_SPARSE_GRADIENT_RATE = 7e8  # entries: 5e7 took 40 to 90 ms
_ITERATIONS = 10.0  # over all rows, on a well-conditioned system
_ITERATION_OVERHEAD, _FIRST_ITERATIONS = 2e-3, 60
_PASS_BYTES = 2e10
_GATHER_BYTES = 2.5e9
_SAMPLING_OVERHEAD = 3e-3

# Normal equations above this condition number of A^T A give way to a sketch and some passes.
_SAFE_CONDITION, _PASSES_OF_SKETCH = 1e10, 45.0
_DRAWN_OVERHEAD = 1e-2
_HELD_OUT = 600


class System:
    """The scaled problem: b with largest entry 1, and the costs of the ways to solve it."""

    def __init__(self, A: CountingMatrix, b: Float64Array, ridge: float, law: RowLaw, rng: np.random.Generator) -> None:
        self.A, self.b, self.ridge, self.law, self.rng = A, b, ridge, law, rng
        self.m, self.n = A.shape
        self.per_row = max(A.n_stored / self.m, 1.0)
        self.gradient: Float64Array | None = None  # A^T b, if the index pass told it

    @property
    def norm(self) -> float:
        """|A|_F."""
        return self.law.norm

    @cached_property
    def penalty(self) -> float:
        """The ridge over |A|_F^2, without the square that could overflow."""
        root = math.sqrt(self.ridge) / self.norm
        return min(root * root, 1e300)

    def make_index(self) -> None:
        """Make the index of a dense array that has none, and have A^T b from the same pass."""
        base = base_of(self.A)
        if isinstance(base, DenseMatrix):
            self.gradient = base.index_with_gradient(self.b)

    def seconds_of_rows(self, n_rows: float) -> float:
        """Predict the time of forming and solving normal equations from some rows."""
        if self.A.is_sparse:
            return _seconds_of_sparse_rows(n_rows, self.per_row, self.n)
        return n_rows * self.n**2 / _SYRK_RATE + 2.0 * self.n**3 / _SYRK_RATE

    def seconds_of_kaczmarz(self, n_steps: float) -> float:
        """Predict the time of some Kaczmarz steps."""
        return (
            n_steps
            * (self.per_row * self.A.entry_bytes + (8.0 * self.n if self.A.is_sparse else 0.0))
            / _KACZMARZ_BYTES
        )

    def seconds_of_pass(self) -> float:
        """Predict the time of a gradient over all rows."""
        rate = _SPARSE_GRADIENT_RATE if self.A.is_sparse else _PASS_BYTES / self.A.entry_bytes
        return self.m * self.per_row / rate

    def seconds_of_blocks(self, n_steps: float) -> float:
        """Predict the time of block Kaczmarz over so many dense rows."""
        return n_steps * self.n * self.A.entry_bytes / _BLOCK_BYTES

    def seconds_of_scores(self) -> float:
        """Predict the time of the pass for the leverages of all rows."""
        if self.A.is_sparse:
            return self.A.n_stored / _SPARSE_PASS_RATE
        return self.A.n_stored * self.A.entry_bytes / _SCORE_BYTES

    def seconds_of_exact(self, condition: float = 1.0) -> float:
        """Predict the time of the exact solver, for a condition number of A^T A as far as it is known."""
        size = min(self.m, self.n)
        if self.A.is_sparse and size > PRIMAL_COLUMNS:
            return _ITERATIONS * self.seconds_of_pass()
        if self.n <= self.m and self.n <= PRIMAL_COLUMNS:
            by_moments = self.seconds_of_rows(self.m)
            safe = condition < _SAFE_CONDITION or self.A.is_sparse
            return by_moments if safe else max(by_moments, _PASSES_OF_SKETCH * self.seconds_of_pass())
        if self.A.is_sparse:
            return self.A.n_stored * (self.A.n_stored / self.n) / _SPARSE_RATE + 2.0 * size**3 / _SYRK_RATE
        # An orthogonal factorisation takes 4 times the multiplications of a Gram matrix.
        return (1.0 if size <= PRIMAL_COLUMNS else 4.0) * size**2 * max(self.m, self.n) / _SYRK_RATE

    def seconds_of_drawn(self, n_rows: float) -> float:
        """Predict the time of the Gram matrix of some drawn rows, its decomposition, and reading the held-out rows."""
        read = (n_rows + _HELD_OUT) * self.per_row * self.A.entry_bytes / _GATHER_BYTES
        pairs = n_rows**2 * self.per_row / (_SPARSE_RATE if self.A.is_sparse else _SYRK_RATE)
        return _DRAWN_OVERHEAD + read + pairs + 10.0 * n_rows**3 / _SYRK_RATE

    def seconds_of_projected(self, n_rows: float, rank: int) -> float:
        """Predict the time of reading some rows and projecting them on a few directions."""
        work = 2.0 * self.per_row * rank / (_SPARSE_RATE if self.A.is_sparse else _SYRK_RATE)
        return n_rows * (self.per_row * self.A.entry_bytes / _GATHER_BYTES + work)

    def seconds_within(self, rank: int) -> float:
        """Predict the time of the exact solution within a few directions."""
        return 3.0 * self.seconds_of_projected(self.m, rank) + 4.0 * self.m * rank**2 / _SYRK_RATE

    def worth_drawing(self, n_rows: int) -> bool:
        """Say whether rows too few to span all columns are cheap beside the exact solver."""
        few = self.n > PRIMAL_COLUMNS or self.first_draw() > self.m / 3
        return few and n_rows < self.m / 2 and 4.0 * self.seconds_of_drawn(n_rows) < self.seconds_of_exact()

    def not_zero(self) -> npt.NDArray[np.bool_]:
        """Return which rows are known not to be zero, of shape (m,); all, where the law does not know norms."""
        return self.law.chances(np.arange(self.m)) > 0.0

    def first_draw(self) -> int:
        """Return the number of rows of the first draw."""
        return _first_draw(self.m, self.n)

    def can_be_sampled(self) -> bool:
        """Say whether a first draw leaves most rows, and has moments that may be formed."""
        return self.first_draw() <= self.m / 3 and self.n <= PRIMAL_COLUMNS

    def worth_sampling(self) -> bool:
        """Say whether a first draw of rows is cheap beside the exact solver."""
        first = self.seconds_of_rows(2.0 * self.first_draw())
        return self.can_be_sampled() and first + _SAMPLING_OVERHEAD < self.seconds_of_exact()


def _first_draw(m: int, n: int) -> int:
    return max(math.ceil(_FIRST_DRAW * min(n, m)), min(LEAST_DRAW_PER_COLUMN * n, LEAST_DRAW))


def _seconds_of_sparse_rows(n_rows: float, per_row: float, n: int) -> float:
    return n_rows * per_row**2 / _SPARSE_RATE + 2.0 * n**3 / _SYRK_RATE


def first_iterations(A: CountingMatrix) -> int:
    """Return how many iterations over a sparse matrix to try before rows are drawn: as many as these would take.

    With an index and no moments in question, a few rows are looked at for a low rank before.
    """
    base, (m, n), entries = base_of(A), A.shape, A.n_stored
    if not isinstance(base, CSRMatrix) or entries == 0:
        return 0
    if min(m, n) > PRIMAL_COLUMNS:
        return 0 if base.has_index else _FIRST_ITERATIONS
    by_drawing = _seconds_of_sparse_rows(2.0 * _first_draw(m, n), entries / m, n) + _DRAWN_OVERHEAD
    other = min(by_drawing, _seconds_of_sparse_rows(m, entries / m, n)) - _ITERATION_OVERHEAD
    worth = int(other * _SPARSE_GRADIENT_RATE / entries)
    return 0 if worth < _ITERATIONS else max(worth, _FIRST_ITERATIONS)


@dataclass(frozen=True, slots=True)
class DrawnBlock:
    """Drawn rows a_i over their scales s_i in float64, with targets b_i |A|_F / s_i; by squared norm, unit rows."""

    block: Any
    targets: Float64Array
    rows: IntArray
    scales: Float64Array


def draw_rows(system: System, count: int) -> DrawnBlock:
    """Draw rows and read them."""
    rows, scales = system.law.draw(count, system.rng)
    block = system.A.rows(rows).astype(np.float64, copy=False)
    if not squares_are_safe(scales, block.dtype):
        block = unit_rows(block, scales).astype(np.float64, copy=False)
    elif isinstance(block, np.ndarray):
        block /= scales[:, None]
    else:
        block.data /= np.repeat(scales, np.diff(block.indptr))
    return DrawnBlock(block, system.b[rows] / (scales / system.norm), rows, scales)


class Draw:
    """Drawn rows over their scales with their targets and moments."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.blocks: list[tuple[Any, Float64Array]] = []
        self.gram: Float64Array = np.zeros((system.n, system.n))
        self.rhs: Float64Array = np.zeros(system.n)
        self.n_draws = 0

    def grow_to(self, n_draws: int) -> None:
        """Draw more rows."""
        drawn = draw_rows(self._system, n_draws - self.n_draws)
        self.add(drawn.block, drawn.targets)

    def add(self, block: Any, targets: Float64Array) -> None:
        """Take in drawn rows."""
        self.blocks.append((block, targets))
        self.gram += moment(block)
        self.rhs += block.T @ targets
        self.n_draws += len(targets)

    def squares(self, x: Float64Array) -> Float64Array:
        """Return the squared residuals of the drawn rows."""
        return np.concatenate([(targets - block @ x) ** 2 for block, targets in self.blocks])

    def scores(self, x: Float64Array) -> Float64Array:
        """Return the sums of u_s times the residual over each of some groups of draws, of shape (groups, n)."""
        groups = []
        for block, targets in self.blocks:
            weighted = targets - block @ x
            for part in np.array_split(np.arange(len(targets)), _GROUPS // 2):
                if len(part):
                    low, high = part[0], part[-1] + 1
                    groups.append(block[low:high].T @ weighted[low:high])
        return np.array(groups)
