"""The function of the eigenvalue that a circuit is asked for: the inverse, ridge, a projection, or the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from qinspired._validation import check_nonnegative

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["Below", "Filter", "FilterLike", "resolve_filter", "rotation_table"]

Below: TypeAlias = Literal["clip", "zero"]
FilterLike: TypeAlias = Literal["inverse", "ridge", "threshold"] | Callable[[Any], Any]

_NAMES = ("inverse", "ridge", "threshold")
# How far a function may be from odd or even before it is called neither, relative to its largest value.
_PARITY_TOLERANCE = 1e-9
# A value this close to the threshold, relative, is on it: a register and the eigenvalue beside it fall on one side.
_ON_THRESHOLD = 1e-12


@dataclass(frozen=True, slots=True)
class Filter:
    """A function f of the eigenvalue, without the constant C; 0 at the eigenvalue 0, as for a pseudo-inverse.

    Attributes
    ----------
    name : {"inverse", "ridge", "threshold", "callable"}
        Which one.
    ridge, threshold : float
        Their parameters, 0 where they have none.
    function : callable or None
        The caller's own, for "callable".
    """

    name: str
    ridge: float = 0.0
    threshold: float = 0.0
    function: Callable[[Any], Any] | None = None

    @property
    def is_projection(self) -> bool:
        """Whether f is 0 or 1, so that it has no constant C and no unit."""
        return self.name == "threshold"

    def __call__(self, values: Float64Array) -> Float64Array:
        """Return f; a value equal to the threshold up to rounding is kept."""
        found = np.zeros(len(values))
        used = values != 0.0
        v = values[used]
        if self.name == "threshold":
            found[used] = np.abs(v) >= self.threshold * (1.0 - _ON_THRESHOLD)
        elif self.function is not None:
            found[used] = _call(self.function, v)
        else:
            found[used] = 1.0 / (v + self.ridge / v)
        return found

    def reciprocal(self, values: Float64Array) -> Float64Array:
        """Return 1/|f| of values > 0 or < 0, infinite where f is 0."""
        if self.function is None:
            return np.abs(values + self.ridge / values)
        with np.errstate(divide="ignore"):
            return 1.0 / np.abs(self(values))

    def is_odd(self, values: Float64Array) -> bool:
        """Return whether f is odd, False if even; on the singular basis it has to be one of the two."""
        if self.function is None:
            return not self.is_projection
        v = np.abs(values[values != 0.0])
        plus, minus = self(v), self(-v)
        allowed = _PARITY_TOLERANCE * float(np.abs(plus).max(initial=0.0))
        if float(np.abs(plus + minus).max(initial=0.0)) <= allowed:
            return True
        if float(np.abs(plus - minus).max(initial=0.0)) <= allowed:
            return False
        raise ValueError(
            "`filter` must be odd (answer made of right singular vectors) or even (of left ones) for a matrix that is "
            "not Hermitian, as its dilation has eigenvalues +sigma and -sigma; this one is neither."
        )


def _call(function: Callable[[Any], Any], values: Float64Array) -> Float64Array:
    found = np.asarray(function(values.copy()))
    if found.dtype.kind not in "fiub":
        raise TypeError(f"`filter` must return real numbers; got dtype {found.dtype}.")
    if found.shape != values.shape:
        raise ValueError(
            f"`filter` must return one number for each eigenvalue, shape {values.shape}; got shape {found.shape}."
        )
    bad = ~np.isfinite(found)
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(
            f"`filter` must return finite numbers; got {found[where]} at the eigenvalue {values[where]:.6g}. It is "
            "called on the non-zero registers of the clock and the non-zero eigenvalues."
        )
    return found.astype(np.float64)


def resolve_filter(filter: Any, ridge: Any, threshold: Any) -> Filter:  # noqa: A002
    """Return the checked filter."""
    ridge = check_nonnegative(ridge, "ridge")
    threshold = check_nonnegative(threshold, "threshold")
    if not callable(filter) and not (isinstance(filter, str) and filter in _NAMES):
        names = ", ".join(repr(name) for name in _NAMES)
        raise ValueError(f"`filter` must be one of {names} or a function of the eigenvalue; got {filter!r}.")
    name = "callable" if callable(filter) else filter
    if (name == "threshold") != (threshold > 0.0) or (ridge > 0.0 and name != "ridge"):
        raise ValueError(
            "`filter` must be 'threshold' with a `threshold` > 0, 'ridge' with an optional `ridge`, or 'inverse' or a "
            f"function with neither; got filter={filter!r}, ridge={ridge}, threshold={threshold}."
        )
    if callable(filter):
        return Filter("callable", function=filter)
    return Filter(filter, ridge=ridge, threshold=threshold)


def rotation_table(
    values: Float64Array,
    wanted: Filter,
    *,
    C: float,
    below: Below,
    rotation_bits: int | None = None,
) -> Float64Array:
    """Return the ancilla amplitude r_k = C f(value) in [-1, 1] of each register value; 0 for the value 0.

    With `rotation_bits` m, the angle 2 arcsin r_k is rounded to a multiple of 2 pi/2^m.
    """
    r = wanted(values)
    if not wanted.is_projection:
        r *= C
        # C is often the value of a register itself, whose ratio may exceed 1 by rounding.
        if below == "zero":
            r[np.abs(r) > 1.0 + 1e-12] = 0.0
        np.clip(r, -1.0, 1.0, out=r)
    if rotation_bits is not None:
        unit = 2.0 * np.pi / 2.0**rotation_bits
        r = np.sin(0.5 * unit * np.rint(2.0 * np.arcsin(r) / unit))
    return r
