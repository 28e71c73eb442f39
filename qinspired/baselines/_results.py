"""Results of the classical baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray

__all__ = ["LeastSquaresResult", "SVDResult", "refuse_overflow"]


@dataclass(frozen=True, slots=True)
class SVDResult:
    """Leading right singular vectors and singular values.

    Attributes
    ----------
    components : ndarray of float32 or float64, shape (k, n)
        V^T: orthonormal rows, in the type of the matrix.
    singular_values : ndarray, shape (k,)
        Descending.
    seconds : float
        Wall time of the solver, without the checks of its arguments.
    method : str
        The solver and how it was used.
    """

    components: FloatArray
    singular_values: FloatArray
    seconds: float
    method: str


@dataclass(frozen=True, slots=True)
class LeastSquaresResult:
    """A solution of min |A x - b|^2 + ridge |x|^2.

    Attributes
    ----------
    x : ndarray of float64, shape (n,)
        The solution; of minimum norm where there are several.
    seconds : float
        Wall time of the solver, without the checks of its arguments.
    method : str
        The solver and how it was used.
    n_iter : int or None
        Iterations; None for a direct solver.
    converged : bool
        Whether an iterative solver met its tolerance; True for a direct one.
    """

    x: Float64Array
    seconds: float
    method: str
    n_iter: int | None
    converged: bool


def refuse_overflow(answer: FloatArray, method: str) -> None:
    """Refuse an answer of finite data that is not finite."""
    if not np.isfinite(answer).all():
        raise ValueError(
            f"`A` must be scaled: {method} gave numbers that are not finite, as squares or products of the entries are "
            "beyond the largest float. Divide A, and b with it, by its largest entry."
        )
