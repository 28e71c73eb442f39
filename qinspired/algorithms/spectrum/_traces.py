"""From shares of |A|_F^2 to norms and traces of A."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.algorithms._sum_estimate import Estimate, scaled
from qinspired.algorithms.spectrum._spectra import KnownSpectrum

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array
    from qinspired.algorithms.spectrum._spectra import DrawnSpectrum

__all__ = ["check_order", "scaled_estimate", "trace_of"]


def check_order(p: Any) -> float:
    """Return the order of a Schatten norm, >= 1."""
    if isinstance(p, bool | np.bool_) or not isinstance(p, Real):
        raise TypeError(f"`p` must be a number >= 1, or infinity; got {p!r} of type {type(p).__name__}.")
    order = float(p)
    if not order >= 1.0:
        raise ValueError(
            f"`p` must be >= 1, or infinity; got {p}. Below 1 it is no norm, and it counts singular values that draws "
            "do not meet; `effective_rank` and `stable_rank` measure the rank by those that they do."
        )
    return order


def scaled_estimate(found: Estimate, unit: float, function: Callable[[float], float]) -> Estimate:
    """Return an estimate of a monotone function of a positive number, times a unit."""
    value, low, high = (scaled(function(part), (unit,)) for part in (found.value, found.low, found.high))
    return Estimate(value, min(low, high), max(low, high), found.confidence, found.n_draws)


def trace_of(
    f: Callable[[Float64Array], Any],
    spectrum: DrawnSpectrum | KnownSpectrum,
    norm: float,
    shape: tuple[int, int],
) -> Estimate:
    """Return the sum of f over the n eigenvalues of A^T A."""
    if not callable(f):
        raise TypeError(f"`f` must be a function of an array of eigenvalues; got {f!r}.")
    square = norm * norm
    if not np.finfo(float).tiny <= square < math.inf:
        raise OverflowError(
            f"|A|_F^2 must be a normal float64, for `f` to be called with eigenvalues of A^T A; |A|_F is {norm:.3g}. "
            "Divide A by a constant, and let `f` multiply by its square."
        )
    n_zero = shape[1] - min(shape)
    if isinstance(spectrum, KnownSpectrum):
        rest = n_zero * float(_images(f, np.zeros(2))[0]) if n_zero else 0.0
        found = spectrum.sum_of(lambda x: _images(f, square * x))
        return Estimate(found.value + rest, found.low + rest, found.high + rest, 1.0, 0)
    at_zero = float(_images(f, np.zeros(2))[0])  # of one entry, older numpy would make a number
    found = spectrum.sum_of(lambda x: _images(f, square * x) - at_zero)
    value, low, high = (shape[1] * at_zero + part for part in (found.value, found.low, found.high))
    return Estimate(value, low, high, found.confidence, found.n_draws)


def _images(f: Callable[[Float64Array], Any], points: Float64Array) -> Float64Array:
    try:
        with np.errstate(all="ignore"):
            images = np.asarray(f(points))
    except TypeError as error:
        raise TypeError(
            f"`f` must take an array of eigenvalues; it raised {error}. Write it with numpy's functions, or wrap it in "
            "`numpy.vectorize`."
        ) from error
    if images.shape != points.shape or images.dtype.kind not in "fiub":
        raise ValueError(
            f"`f` must give a real number for each eigenvalue; for {len(points)} it gave shape {images.shape} and "
            f"dtype {images.dtype}. Write it with numpy's functions, or wrap it in `numpy.vectorize`."
        )
    images = images.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(images))
    if len(bad):
        raise ValueError(
            f"`f` must be finite on [0, |A|_F^2]; got f({points[bad[0]]:.3g}) = {images[bad[0]]}. Add a constant to "
            "its argument, as in log(1 + x) or 1 / (x + 1), or bound it."
        )
    return images
