"""Steps of row-action solvers whose inner products are estimated from drawn columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qinspired.kernels._jit import kernel
from qinspired.kernels._kaczmarz import _dot

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray

__all__ = ["sampled_row_steps"]


@kernel()
def sampled_row_steps(
    entries: Float64Array,
    places: IntArray,
    where: IntArray,
    weights: Float64Array,
    targets: Float64Array,
    background: Float64Array,
    gain: float,
    decay: float,
    drift: float,
    share: float,
    y: Float64Array,
    total: Float64Array,
    first_summed: int,
) -> tuple[float, float]:
    """Change one entry of `y` in each step, and return the last `share` of the background and the sum of those summed.

    The vector x is entries @ y + share background at the columns that matter. Step t estimates an inner product by the
    weighted sum of x at the columns where[t], shrinks y and the share by `decay`, adds `gain` times what is missing to
    the target to y[places[t]], and `drift` to the share. From step `first_summed` on each y is added to `total`.
    """
    summed = 0.0
    for t in range(places.shape[0]):
        estimate = 0.0
        for e in range(where.shape[1]):
            j = where[t, e]
            estimate += weights[t, e] * (_dot(entries[j], y) + share * background[j])
        if decay != 1.0:
            for s in range(y.shape[0]):
                y[s] *= decay
        y[places[t]] += gain * (targets[t] - estimate)
        share = decay * share + drift
        if t >= first_summed:
            for s in range(y.shape[0]):
                total[s] += y[s]
            summed += share
    return share, summed
