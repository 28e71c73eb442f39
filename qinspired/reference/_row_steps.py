"""Row-action iterations in the coordinates y of x = A^T y, with inner products estimated from drawn columns."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_count
from qinspired.exceptions import DivergenceWarning
from qinspired.kernels import sampled_row_steps
from qinspired.reference._combined_rows import CombinedRowsSolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import SampleQueryMatrix

__all__ = [
    "MOST_STEPS",
    "Movement",
    "RowActionSolution",
    "Rule",
    "check_steps",
    "in_order",
    "take_steps",
    "warn_of_divergence",
]

# Entries that are queried at a time, and draws made for them: 16 MB of each.
_BLOCK_ENTRIES = 2_000_000

# The drawn rows of more steps would not be held: 800 MB.
MOST_STEPS = 10**8

# An iteration is said to diverge if a quarter of the steps moves it so many times as far as the first one, which is 7
# times where x grows evenly; with few steps chance alone does. Or if steps are so many times as long as they could be
# without noise.
_MOST_GROWTH, _FEWEST_STEPS, _MOST_SIZE = 40.0, 100, 3.0


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


@dataclass(frozen=True, slots=True)
class Movement:
    """How far the farthest quarter of the steps moved the coefficients over the first, and how far one of the last."""

    growth: float
    step: float


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
) -> tuple[IntArray, Float64Array, float, Movement]:
    """Return distinct rows, the coefficients of x in the unit rows A_i / |A_i|, and its share of the background.

    The background is a fixed vector, given by its entries at some columns.
    The last says how far the coefficients moved in the last quarter of the steps.
    """
    distinct, places = in_order(rows)
    norms = A.row_norms(distinct)
    y, total = np.zeros(len(distinct)), np.zeros(len(distinct))
    share = summed = 0.0
    first_summed = len(rows) // 2 if rule.average else len(rows)
    step = max(1, _BLOCK_ENTRIES // (rule.n_cols * len(distinct)))
    seen = 0
    quarters = [len(rows) // 4, len(rows) // 2, len(rows) - len(rows) // 4, len(rows)]
    moved = [y.copy()]
    for start in range(0, len(rows), step):
        part = places[start : start + step]
        seen = max(seen, int(part.max()) + 1)  # rows that are drawn later have no coefficient yet
        cols = rule.draw(distinct[part])
        used, where = np.unique(cols, return_inverse=True)
        where = where.reshape(cols.shape)
        units = A.query(distinct[None, :seen], used[:, None]).astype(np.float64) / norms[:seen]
        weights = rule.weigh(units[where, part[:, None]], cols)
        behind = np.zeros(len(used)) if background is None else background(used)
        stop = start + len(part)
        ends = [end for end in quarters if start < end < stop]
        for first, last in itertools.pairwise([start, *ends, stop]):
            here = slice(first - start, last - start)
            with np.errstate(over="ignore", invalid="ignore"):  # a diverging iteration is refused by `check_finite`
                share, added = sampled_row_steps(
                    units,
                    part[here],
                    where[here],
                    weights[here],
                    targets[first:last],
                    behind,
                    rule.gain,
                    rule.decay,
                    rule.drift,
                    share,
                    y[:seen],
                    total[:seen],
                    first_summed - first,
                )
            summed += added
            if last in quarters:
                moved.append(y.copy())
    if rule.average:
        count = len(rows) - first_summed
        return distinct, total / count, summed / count, _movement(moved, np.bincount(places[quarters[2] :]))
    return distinct, y, share, _movement(moved, np.bincount(places[quarters[2] :]))


def _movement(states: list[Float64Array], steps: IntArray) -> Movement:
    """Return how the coefficients moved from one state to the next; `steps` counts the last ones for each row."""
    if len(states) < 5 or not np.isfinite(states).all():
        return Movement(0.0, float(np.abs(states[-1]).max()))
    changes = [b / 2.0 - a / 2.0 for a, b in itertools.pairwise(states)]  # a difference may overflow
    unit = max(float(np.abs(change).max()) for change in changes) or 1.0
    first, *later = (float(np.linalg.norm(change / unit)) for change in changes)
    growth = max(later) / first if first > 0.0 else 0.0
    return Movement(growth, 2.0 * unit * (later[-1] / math.sqrt(float(steps @ steps))))


def warn_of_divergence(movement: Movement, n_steps: int, step: float, n_cols: int, size: float, remedy: str) -> None:
    """Warn where the iteration seems to diverge; `size` is |b| / |A|_F.

    From 0 an iteration that converges has |x| <= T step size after T steps, if not for the noise, and its estimates of
    <A_i, x> / |A_i| are of (1 + T step / sqrt(n_cols)) size or less.
    """
    bound = step * (1.0 + n_steps * step / math.sqrt(n_cols)) * size
    grows = n_steps >= _FEWEST_STEPS and movement.growth > _MOST_GROWTH
    if grows or movement.step > _MOST_SIZE * bound:
        warnings.warn(
            "the iteration seems to diverge: its steps grew to a size where the answer is likely to be of no use. Use "
            f"{remedy}, and judge x by its residual.",
            DivergenceWarning,
            stacklevel=3,
        )


def check_steps(n_steps: Any) -> int:
    """Return a number of steps, at least 1 and no more than can be held."""
    count = check_count(n_steps, "n_steps", low=1)
    if count > MOST_STEPS:
        raise ValueError(f"`n_steps` must be at most 1e8; got {count:.3g}.")
    return count
