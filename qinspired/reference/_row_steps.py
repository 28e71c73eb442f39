"""Row-action iterations in the coordinates y of x = A^T y, with inner products estimated from drawn columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_count
from qinspired.kernels import sampled_row_steps
from qinspired.reference._combined_rows import CombinedRowsSolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import SampleQueryMatrix

__all__ = ["MOST_STEPS", "RowActionSolution", "Rule", "check_steps", "in_order", "take_steps"]

# Entries that are queried at a time, and draws made for them: 16 MB of each.
_BLOCK_ENTRIES = 2_000_000

# The drawn rows of more steps would not be held: 800 MB.
MOST_STEPS = 10**8


@dataclass(frozen=True, slots=True, eq=False)
class RowActionSolution(CombinedRowsSolution):
    """A solution reached by steps each of which changes one entry of y, in x = A^T y.

    Attributes
    ----------
    vector : RowCombination
        x, of length n.
    n_steps : int
        Steps T taken.
    n_cols : int or None
        Columns drawn for an inner product; None where they were computed.
    step : float
        Step size in units of 1 / |A|_F^2; 1 for Kaczmarz.
    stats : Cost
        What the call cost.
    """

    n_steps: int
    n_cols: int | None
    step: float


@dataclass(frozen=True, slots=True)
class Rule:
    """How columns are drawn and weighted, and what a step does with the estimate.

    `draw` gives n_cols columns for each of the given rows, as a (steps, n_cols) array; `weigh` turns the entries of
    the unit rows there and these columns into weights whose sum with x estimates <A_i, x> / |A_i|.
    """

    n_cols: int
    draw: Callable[[IntArray], IntArray]
    weigh: Callable[[Float64Array, IntArray], Float64Array]
    gain: float = 1.0
    decay: float = 1.0
    drift: float = 0.0
    average: bool = False


def in_order(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct rows in the order of their first appearance, and the place of each row among them."""
    distinct, first, where = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return distinct[order], rank[where]


def take_steps(
    A: SampleQueryMatrix,
    rows: IntArray,
    targets: Float64Array,
    rule: Rule,
    background: Callable[[IntArray], Float64Array] | None = None,
) -> tuple[IntArray, Float64Array, float]:
    """Return distinct rows, the coefficients of x in the unit rows A_i / |A_i|, and its share of the background.

    The background is a fixed vector, given by its entries at some columns.
    """
    distinct, places = in_order(rows)
    norms = A.row_norms(distinct)
    y, total = np.zeros(len(distinct)), np.zeros(len(distinct))
    share = summed = 0.0
    first_summed = len(rows) // 2 if rule.average else len(rows)
    step = max(1, _BLOCK_ENTRIES // (rule.n_cols * len(distinct)))
    seen = 0
    for start in range(0, len(rows), step):
        part = places[start : start + step]
        seen = max(seen, int(part.max()) + 1)  # rows that are drawn later have no coefficient yet
        cols = rule.draw(distinct[part])
        used, where = np.unique(cols, return_inverse=True)
        where = where.reshape(cols.shape)
        units = A.query(distinct[None, :seen], used[:, None]).astype(np.float64) / norms[:seen]
        weights = rule.weigh(units[where, part[:, None]], cols)
        behind = np.zeros(len(used)) if background is None else background(used)
        with np.errstate(over="ignore", invalid="ignore"):  # a diverging iteration is refused by `check_finite`
            share, added = sampled_row_steps(
                units,
                part,
                where,
                weights,
                targets[start : start + step],
                behind,
                rule.gain,
                rule.decay,
                rule.drift,
                share,
                y[:seen],
                total[:seen],
                first_summed - start,
            )
        summed += added
    if rule.average:
        count = len(rows) - first_summed
        return distinct, total / count, summed / count
    return distinct, y, share


def check_steps(n_steps: Any) -> int:
    """Return a number of steps, at least 1 and no more than can be held."""
    count = check_count(n_steps, "n_steps", low=1)
    if count > MOST_STEPS:
        raise ValueError(f"`n_steps` must be at most 1e8; got {count:.3g}.")
    return count
