"""The space that drawn rows span: its leading directions, and least squares within it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from qinspired.algorithms.regression._system import Draw, draw_rows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.algorithms.regression._system import System

__all__ = [
    "FIRST_ROWS",
    "MOST_ENTRIES",
    "DrawnRows",
    "ProjectedDraw",
    "RowSpace",
    "best_rank",
    "most_rows",
    "vanishing_tail",
]

# Rows of the first draw: for ranks up to some 25.
FIRST_ROWS = 64
_MOST_ROWS = 4096

# Entries of drawn rows held as float64 (400 MB), of a basis, and of a block of projected rows.
MOST_ENTRIES = 50_000_000
_BLOCK_ENTRIES = 4_000_000

_EPS = float(np.finfo(np.float64).eps)

# Eigenvalues of a Gram matrix below this share of the largest keep too few digits for the directions of the rows.
_CLEAR = 1e-10

# Cross-validation has no say where nearly as many directions are fitted as there are rows.
_MOST_FITTED = 0.8


def most_rows(system: System) -> int:
    """Return the largest number of rows to be drawn at once."""
    by_memory = int(MOST_ENTRIES / system.per_row)
    return max(1, min(_MOST_ROWS, max(2 * system.m, FIRST_ROWS), max(by_memory, FIRST_ROWS)))


def vanishing_tail(system: System) -> float:
    """Return the share of |A|_F below which what a basis leaves is rounding, as LAPACK's solvers take it."""
    return max(system.m, system.n) * _EPS


@dataclass(frozen=True, slots=True)
class RowSpace:
    """The thin singular value decomposition P S V^T of the drawn unit rows, V only where it is wanted."""

    P: Float64Array
    s: Float64Array
    V: Float64Array | None  # from LAPACK, n x k; None from a Gram matrix

    @property
    def rank(self) -> int:
        return len(self.s)


class DrawnRows:
    """Unit rows drawn by squared norm with their targets, and the Gram matrix of the rows."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.block: Any = None
        self.targets: Float64Array = np.zeros(0)
        self.rows: IntArray = np.zeros(0, dtype=np.int64)
        self.scales: Float64Array = np.zeros(0)
        self._gram: Float64Array = np.zeros((0, 0))

    def __len__(self) -> int:
        return len(self.targets)

    def grow_to(self, n_rows: int) -> None:
        """Draw more rows."""
        drawn = draw_rows(self._system, n_rows - len(self))
        block = drawn.block
        own = _dense(block @ block.T)
        if self.block is None:
            self.block, self._gram = block, own
        else:
            cross = _dense(self.block @ block.T)
            self._gram = np.block([[self._gram, cross], [cross.T, own]])
            dense = isinstance(block, np.ndarray)
            self.block = np.vstack([self.block, block]) if dense else sp.vstack([self.block, block], format="csr")
        self.targets = np.concatenate([self.targets, drawn.targets])
        self.rows = np.concatenate([self.rows, drawn.rows])
        self.scales = np.concatenate([self.scales, drawn.scales])

    def space(self, *, accurate: bool = False) -> RowSpace:
        """Return the directions that are present to working precision, in descending order.

        The Gram matrix squares the condition number. Where eigenvalues fall into the gap between its rounding and that
        of the rows, or with `accurate`, dense rows are decomposed themselves.
        """
        if not accurate and (len(self) <= self._system.n or not isinstance(self.block, np.ndarray)):
            values, vectors = np.linalg.eigh(self._gram)
            values, vectors = values[::-1], vectors[:, ::-1]
            present = int(np.count_nonzero(values > 4.0 * len(self) * _EPS * values[0]))
            clear = int(np.count_nonzero(values > _CLEAR * values[0]))
            if present == clear or not isinstance(self.block, np.ndarray):
                return RowSpace(vectors[:, :present], np.sqrt(values[:present]), None)
        try:
            P, s, Vt = np.linalg.svd(self.block, full_matrices=False)
        except np.linalg.LinAlgError:
            # Divide and conquer now and then fails on a matrix of low numerical rank; QR iteration does not.
            P, s, Vt = scipy.linalg.svd(self.block, full_matrices=False, lapack_driver="gesvd")
        present = int(np.count_nonzero(s > s[0] * max(self.block.shape) * _EPS))
        return RowSpace(P[:, :present], s[:present], Vt[:present].T)

    def combine(self, weights: Float64Array) -> Float64Array:
        """Return the combinations U^T w of the unit rows."""
        combined: Float64Array = np.asarray(self.block.T @ weights)
        return combined

    def basis(self, space: RowSpace, rank: int) -> Float64Array | None:
        """Return an orthonormal basis of the leading directions, of shape (n, rank), if it is not too large."""
        if self._system.n * rank > MOST_ENTRIES:
            return None
        if space.V is not None:
            return space.V[:, :rank]
        vectors = self.combine(space.P[:, :rank] / space.s[:rank])
        return np.asarray(np.linalg.qr(vectors)[0])

    def best_rank(self, space: RowSpace) -> int:
        """Return the number of leading directions of least generalised cross-validation error for the targets."""
        return best_rank(space.P, self.targets)


def best_rank(P: Float64Array, targets: Float64Array) -> int:
    """Return the number of leading columns of P, orthonormal, of least generalised cross-validation error."""
    n_rows = len(targets)
    fitted = (P.T @ targets) ** 2
    unseen = max(float(targets @ targets) - float(fitted.sum()), 0.0)
    left = np.append(np.cumsum(fitted[::-1])[::-1], 0.0) + unseen
    ranks = np.arange(len(left))
    allowed = ranks <= max(1, int(_MOST_FITTED * n_rows))
    scores = np.where(allowed, left / (1.0 - np.minimum(ranks / n_rows, _MOST_FITTED)) ** 2, math.inf)
    return max(1, int(np.argmin(scores)))


class ProjectedDraw(Draw):
    """Drawn rows in the coordinates of a few directions."""

    def __init__(self, system: System, directions: Float64Array | None, rank: int) -> None:
        self._system, self._directions = system, directions
        self.blocks = []
        self.gram = np.zeros((rank, rank))
        self.rhs = np.zeros(rank)
        self.n_draws = 0

    def grow_to(self, n_draws: int) -> None:
        """Draw more rows and project them, some at a time."""
        if n_draws <= self.n_draws:
            return
        step = max(1, _BLOCK_ENTRIES // self._system.n)
        parts, targets = [], []
        for start in range(self.n_draws, n_draws, step):
            drawn = draw_rows(self._system, min(step, n_draws - start))
            parts.append(np.asarray(drawn.block @ self._directions))
            targets.append(drawn.targets)
        self.add(np.vstack(parts), np.concatenate(targets))


def _dense(product: Any) -> Float64Array:
    return np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)
