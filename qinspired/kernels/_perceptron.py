"""Steps of the sublinear perceptron: draws of an example and of a coordinate, and multiplicative weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qinspired.kernels._jit import kernel
from qinspired.kernels._streams import block_state, next_state, state_uniform

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["csr_perceptron", "dense_perceptron"]

# The weights of the examples are divided by their sum when it leaves this range.
_LARGEST_TOTAL, _LEAST_TOTAL = 1e100, 1e-100


@kernel()
def _draw(masses: Float64Array, uniform: float, total: float, squared: bool) -> int:
    """Return the first index whose running sum exceeds a share of the total; never one without mass."""
    threshold = uniform * total
    running, last = 0.0, 0
    for i in range(masses.shape[0]):
        mass = masses[i] * masses[i] if squared else masses[i]
        if mass > 0.0:
            last = i
        running += mass
        if running > threshold:
            return i
    return last  # rounding of the sum


@kernel()
def _start(w: Float64Array, u: Float64Array, x_sum: Float64Array, p_sum: Float64Array) -> tuple[float, float, float]:
    """Add the mean of the examples' law and the iterate x = u / max(1, |u|); return sum w, |u|^2 and |x| / |u|."""
    total, norm_sq = 0.0, 0.0
    for i in range(w.shape[0]):
        total += w[i]
    if not (_LEAST_TOTAL < total < _LARGEST_TOTAL):
        for i in range(w.shape[0]):
            w[i] /= total
        total = 1.0
    for i in range(w.shape[0]):
        p_sum[i] += w[i] / total
    for j in range(u.shape[0]):
        norm_sq += u[j] * u[j]
    shrink = 1.0 / max(1.0, np.sqrt(norm_sq))
    for j in range(u.shape[0]):
        x_sum[j] += shrink * u[j]
    return total, norm_sq, shrink


@kernel()
def _weighed(weight: float, value: float, eta: float) -> float:
    """Return w (1 - eta v + eta^2 v^2) for v clipped to 1 / eta in size."""
    gain = min(max(eta * value, -1.0), 1.0)
    return weight * (1.0 - gain + gain * gain)


@kernel()
def dense_perceptron(
    X: FloatArray,
    columns: FloatArray,
    scales: Float64Array,
    extra: float,
    eta: float,
    rate: float,
    first: int,
    n_steps: int,
    key: np.uint64,
    w: Float64Array,
    u: Float64Array,
    x_sum: Float64Array,
    p_sum: Float64Array,
) -> None:
    """Take some steps, in place, for the rows a_i = scales[i] (X_i, extra); `columns` is the transpose of X.

    Step t draws i from w and j by squared size from the iterate, with the numbers of block t of the key.
    """
    n = X.shape[1]
    for t in range(first, first + n_steps):
        total, norm_sq, shrink = _start(w, u, x_sum, p_sum)
        state = next_state(block_state(key, np.uint64(t)))
        i = _draw(w, state_uniform(state), total, False)
        if norm_sq > 0.0:
            j = _draw(u, state_uniform(next_state(state)), norm_sq, True)
            ratio = norm_sq * shrink / u[j]
            if j < n:
                for k in range(w.shape[0]):
                    w[k] = _weighed(w[k], scales[k] * np.float64(columns[j, k]) * ratio, eta)
            else:
                for k in range(w.shape[0]):
                    w[k] = _weighed(w[k], scales[k] * extra * ratio, eta)
        step = rate * scales[i]
        for k in range(n):
            u[k] += step * np.float64(X[i, k])
        u[n] += step * extra


@kernel()
def csr_perceptron(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    column_data: FloatArray,
    column_rows: IntArray,
    column_ptr: IntArray,
    scales: Float64Array,
    extra: float,
    eta: float,
    rate: float,
    first: int,
    n_steps: int,
    key: np.uint64,
    w: Float64Array,
    u: Float64Array,
    x_sum: Float64Array,
    p_sum: Float64Array,
) -> None:
    """As `dense_perceptron`, for a matrix given by its rows and by its columns."""
    n = u.shape[0] - 1
    for t in range(first, first + n_steps):
        total, norm_sq, shrink = _start(w, u, x_sum, p_sum)
        state = next_state(block_state(key, np.uint64(t)))
        i = _draw(w, state_uniform(state), total, False)
        if norm_sq > 0.0:
            j = _draw(u, state_uniform(next_state(state)), norm_sq, True)
            ratio = norm_sq * shrink / u[j]
            if j < n:
                for place in range(column_ptr[j], column_ptr[j + 1]):
                    k = column_rows[place]
                    w[k] = _weighed(w[k], scales[k] * np.float64(column_data[place]) * ratio, eta)
            else:
                for k in range(w.shape[0]):
                    w[k] = _weighed(w[k], scales[k] * extra * ratio, eta)
        step = rate * scales[i]
        for place in range(indptr[i], indptr[i + 1]):
            u[indices[place]] += step * np.float64(data[place])
        u[n] += step * extra
