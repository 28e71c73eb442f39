"""Functions of a non-negative number for `matrix_function`: those with a name, and those of the caller."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array

__all__ = ["NAMES", "Increments", "ScalarFunction", "scalar_function"]

Increments: TypeAlias = "Callable[[Float64Array], Float64Array]"

NAMES = ("ridge", "sqrt", "exp", "threshold")


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """f, as its value at zero and its increments f(x) - f(0), which the named ones compute without cancellation."""

    label: str
    at_zero: float
    increments: Increments


def scalar_function(f: Any, parameter: Any) -> ScalarFunction:
    """Return the named or given function, checked at 0."""
    if isinstance(f, str):
        if f not in NAMES:
            raise ValueError(f"`f` must be a callable or one of {', '.join(NAMES)}; got {f!r}.")
        return _named(f, parameter)
    if not callable(f):
        raise TypeError(f"`f` must be a callable or one of {', '.join(NAMES)}; got {type(f).__name__}.")
    if parameter is not None:
        raise ValueError(f"`parameter` belongs to a named `f`; put {parameter!r} into the function that you give.")
    at_zero = float(_called(f, np.zeros(2))[0])

    def increments(x: Float64Array) -> Float64Array:
        values: Float64Array = _called(f, x) - at_zero
        if not np.isfinite(values).all():
            where = int(np.argmax(~np.isfinite(values)))
            raise ValueError(f"`f` must vary by less than 1.8e308; f({x[where]:.17g}) - f(0) overflows. Scale it.")
        return values

    return ScalarFunction("f", at_zero, increments)


def _named(name: str, parameter: Any) -> ScalarFunction:
    if name == "sqrt":
        if parameter is not None:
            raise ValueError(f"`parameter` must be left out for 'sqrt', which has none; got {parameter!r}.")
        return ScalarFunction("sqrt(x)", 0.0, np.sqrt)
    if name == "exp":
        rate = -1.0 if parameter is None else _number(parameter, "exp")
        return ScalarFunction(f"exp({rate:g} x)", 1.0, lambda x: _exp_increments(rate, x))
    if parameter is None:
        raise ValueError(f"`parameter` must be given for {name!r}: a number > 0.")
    number = _number(parameter, name)
    if number <= 0.0:
        raise ValueError(f"`parameter` must be > 0 for {name!r}; got {parameter}.")
    if name == "threshold":
        return ScalarFunction(
            f"1 where sqrt(x) >= {number:g}", 0.0, lambda x: (np.sqrt(x) >= number).astype(np.float64)
        )
    if math.isinf(1.0 / number):
        raise ValueError(
            f"`parameter` must be at least 5.6e-309 for 'ridge', as 1 / parameter overflows; got {number}."
        )
    # 1 / (x + p) - 1 / p, in the order in which no product leaves the range.
    return ScalarFunction(f"1 / (x + {number:g})", 1.0 / number, lambda x: -(x / (x + number)) / number)


def _number(parameter: Any, name: str) -> float:
    if isinstance(parameter, bool | np.bool_) or not isinstance(parameter, Real):
        raise TypeError(f"`parameter` must be a real number for {name!r}; got {parameter!r}.")
    if not math.isfinite(parameter):
        raise ValueError(f"`parameter` must be finite for {name!r}; got {parameter}.")
    return float(parameter)


def _exp_increments(rate: float, x: Float64Array) -> Float64Array:
    with np.errstate(over="ignore", under="ignore"):
        increments: Float64Array = np.expm1(rate * x)
    if not np.isfinite(increments).all():
        largest = float(x.max())
        raise ValueError(
            f"`parameter` must be below 709 / x for 'exp', as exp(parameter x) overflows; got {rate:g} and an "
            f"eigenvalue x = {largest:.6g} of A^T A. Use a parameter below {709.0 / largest:.3g}."
        )
    return increments


def _called(f: Callable[[Float64Array], Any], x: Float64Array) -> Float64Array:
    """Return f(x), checked."""
    values = np.asarray(f(x.copy()))
    if values.shape != x.shape:
        raise ValueError(
            f"`f` must return one number for each it is given; it returned shape {values.shape} for shape {x.shape}. "
            "Write it with numpy functions."
        )
    if values.dtype.kind not in "biuf":
        raise TypeError(f"`f` must return real numbers; it returned dtype {values.dtype}.")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        where = int(np.argmax(~np.isfinite(values)))
        raise ValueError(
            f"`f` must be finite on the eigenvalues of A^T A and at 0; got f({x[where]:.17g}) = {values[where]}. "
            "Define it there: at 0 it acts on the directions that no row has."
        )
    return values
