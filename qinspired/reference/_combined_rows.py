"""A solution of a linear system that is never formed: a combination of few rows of the matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction, check_vector
from qinspired.access import NormEstimate, as_oversampled_vector
from qinspired.exceptions import ZeroMassError
from qinspired.reference._drawn import check_mass

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.access import RowCombination, SampleQueryMatrix
    from qinspired.algorithms._results import Cost

__all__ = ["CombinedRowsSolution", "check_finite", "check_system"]

_LEAST, _MOST = 1e-100, 1e100


@dataclass(frozen=True, slots=True, eq=False)
class CombinedRowsSolution:
    """The vector x = A^T y with few non-zero y_i, open to queries and draws in time independent of m.

    Attributes
    ----------
    vector : RowCombination
        x, of length n: its `rows` are the places of y, its `coefficients` the entries there.
    stats : Cost
        What the call cost.
    """

    vector: RowCombination
    stats: Cost

    def query(self, cols: npt.ArrayLike) -> Float64Array:
        """Return entries of x.

        Parameters
        ----------
        cols : array_like of int, shape (p,)
            Places, in [0, n).

        Returns
        -------
        ndarray of float64, shape (p,)

        Raises
        ------
        IndexError, TypeError, ValueError
            If an index is out of range or no integer, or `cols` no vector.

        Notes
        -----
        Cost: as many entries of A for each as y has.
        """
        return self.vector.query(cols)

    def sample(self, n_draws: int, rng: RNGLike = None) -> tuple[IntArray, int]:
        """Draw places j with probability x_j^2 / |x|^2, by rejection.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        draws : ndarray of int64, shape (n_draws,)
        n_proposals : int
            Trials made for all of them.

        Raises
        ------
        ZeroMassError
            If x is zero, or so small against its terms that it would take more than 1e7 trials a draw.

        Notes
        -----
        Cost: phi = r sum_i |y_i A_i|^2 / |x|^2 trials a draw, r the number of rows; each draws a column of a
        row and queries r entries.
        """
        return self.vector.sample(n_draws, rng)

    def norm(self, n_draws: int = 1000, *, confidence: float = 0.95, rng: RNGLike = None) -> NormEstimate:
        """Estimate |x| from the share of trials that are accepted.

        Parameters
        ----------
        n_draws : int, default=1000
            Accepted draws to wait for, >= 2.
        confidence : float, default=0.95
            Probability, in (0, 1), with which the interval covers |x|.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        NormEstimate
            Zero, without a draw, if y is zero.

        Raises
        ------
        ValueError, TypeError
            If an argument is out of range.
        ZeroMassError
            If x is so small against its terms that it would take more than 1e7 trials a draw.

        Notes
        -----
        Cost: that of `n_draws` draws.
        Error: |x|^2 is unbiased, with a relative standard error of about 1 / sqrt(n_draws); that of |x| is
        half of it. The interval is the exact one for the number of trials up to the last accepted draw.
        """
        n_draws = check_count(n_draws, "n_draws", low=2)
        confidence = check_fraction(confidence, "confidence")
        generator = as_generator(rng)
        bound = as_oversampled_vector(self.vector)
        if bound is None or bound.bound_norm == 0.0:
            return NormEstimate(0.0, 0.0, 0.0, confidence, 0, 0)
        n_trials = self.vector.sample(n_draws, generator)[1]
        tail = (1.0 - confidence) / 2.0
        share = (n_draws - 1) / (n_trials - 1)
        low = float(betaincinv(n_draws, n_trials - n_draws + 1, tail))
        high = float(betaincinv(n_draws, n_trials - n_draws, 1.0 - tail)) if n_trials > n_draws else 1.0
        value, low, high = (bound.bound_norm * math.sqrt(part) for part in (share, low, high))
        return NormEstimate(value, low, high, confidence, n_draws, n_trials)

    def to_array(self) -> Float64Array:
        """Return all of x, of shape (n,), by reading the rows that y has."""
        return self.vector.to_array()


def check_system(A: SampleQueryMatrix, b: Any) -> Float64Array:
    """Return b as a finite vector of length m; neither it nor A is zero, or so scaled that y leaves the range."""
    vector = check_vector(b, A.shape[0], "b")
    if not vector.any():
        raise ZeroMassError("`b` must have a non-zero entry: the solution for `b` = 0 is 0, from which none is drawn.")
    check_mass(A)
    # y is of the size of b / |A|_F^2.
    for name, what, size in (("A", "|A|_F", A.frobenius_norm), ("b", "the largest entry", float(np.abs(vector).max()))):
        if not _LEAST <= size <= _MOST:
            raise ValueError(
                f"`{name}` must be scaled so that {what} is in [1e-100, 1e100]; got {size:.3g}. Multiply it by "
                "a constant."
            )
    return vector


def check_finite(y: Float64Array, remedy: str) -> None:
    """Refuse coefficients that left the range of numbers."""
    if not np.isfinite(y).all():
        raise ValueError(f"{remedy}.")
