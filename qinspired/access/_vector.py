"""Vectors with sample-and-query access, and what an estimator may ask of any vector."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import (
    check_count,
    check_exponent,
    check_indices,
    first_nonfinite,
    native_float,
    raise_nonfinite,
)
from qinspired.access._combination import RowCombination
from qinspired.access._sampler import AliasTable, array_of
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["OversampledVector", "SampleQueryVector", "as_oversampled_vector"]

# Entries converted to float64 at a time: 2 MB, which stay in a core's cache.
_CHUNK_ENTRIES = 1 << 18

# Entries of a matrix that are queried at a time for a combination of its rows: 32 MB.
_BLOCK_ENTRIES = 4_000_000


@runtime_checkable
class OversampledVector(Protocol):
    """A vector x that can be queried, with draws from a known law P that dominates its squares: SQ_phi(x).

    For every i, x_i^2 <= bound_norm^2 P(i); summed, |x| <= bound_norm, and phi = (bound_norm / |x|)^2.
    """

    @property
    def size(self) -> int:
        """Length n."""

    @property
    def bound_norm(self) -> float:
        """The number with |x_i| <= bound_norm sqrt(P(i)) for every i; 0 for the zero vector."""

    def query(self, indices: npt.ArrayLike) -> Float64Array:
        """Return the entries at `indices`."""

    def sample(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw positions with replacement from P."""

    def probabilities(self, indices: npt.ArrayLike) -> Float64Array:
        """Return P(i) for each of `indices`."""


class SampleQueryVector:
    """Sample-and-query access to a vector x: entries, norms, and draws with P(i) = |x_i|^p / sum |x|^p.

    Parameters
    ----------
    values : array_like, shape (n,)
        Finite real numbers of any sign and scale, n >= 1. Contiguous float32 and float64 are used in place, all else
        is copied. Do not change the array while the vector is in use: the norms and the table would not follow.
    exponent : {1, 2}, default=2
        The power p: draws by size or by squared size.

    Attributes
    ----------
    size : int
        Length n.
    exponent : int
        The power p.
    norm : float
        Euclidean norm |x|.
    norm_1 : float
        Sum of the sizes, |x|_1.
    bound_norm : float
        The least number with |x_i| <= bound_norm sqrt(P(i)) for every i: |x| if p = 2, and
        sqrt(|x|_1 max |x_i|) if p = 1.

    Raises
    ------
    TypeError
        If `values` is masked, holds dates, or is no array.
    ValueError
        If `values` is empty, not 1-dimensional, complex, not numeric, or has a NaN or an infinity (the first one is
        named); if a norm exceeds 1.8e308; if `exponent` is neither 1 nor 2.

    Notes
    -----
    Cost: two passes over the entries; the first draw builds an alias table in O(n) time and 16 n bytes, then a draw
    costs O(1). To read all of x and y once is all that the exact inner product takes: draws pay if they are
    used often, or if the other vector is dear to query.
    Error: entries may be of any scale, 1e200 and 1e-200 alike; norms and probabilities are right to a few ulps. An
    entry with |x_i|^p below 1e-308 times the largest is never drawn.

    The zero vector is allowed; to draw from it is not.

    References
    ----------
    .. [1] E. Tang, "A quantum-inspired classical algorithm for recommendation systems", STOC 2019 (p = 2).
    .. [2] H. Cha, S. Jeong, J. Lee, "Towards optimizing the expected performance of sampling-based quantum-inspired
       algorithms", arXiv:2501.05184 (2025) (p = 1 against p = 2).

    Examples
    --------
    >>> import qinspired as qi
    >>> x = qi.SampleQueryVector([3.0, 0.0, -4.0])
    >>> x.norm, x.norm_1
    (5.0, 7.0)
    >>> x.probabilities([0, 1, 2]).round(2).tolist()
    [0.36, 0.0, 0.64]
    >>> sorted(set(x.sample(1000, rng=0).tolist()))
    [0, 2]
    """

    def __init__(self, values: npt.ArrayLike, *, exponent: int = 2) -> None:
        self._exponent = check_exponent(exponent)
        array = array_of(values, "values")
        if array.ndim != 1 or array.size == 0:
            raise ValueError(
                f"`values` must be a 1-dimensional array of at least one entry; got shape {array.shape}. "
                "Flatten a single row or column with `.ravel()`."
            )
        self._values: FloatArray = np.ascontiguousarray(native_float(array, "values"))
        self._largest = max(float(self._values.max()), -float(self._values.min()))
        where = None if math.isfinite(self._largest) else first_nonfinite(self._values)
        if where is not None:
            raise_nonfinite("values", where, self._values[where])
        self._sum_shares, self._sum_shares_sq = _sums(self._values, self._largest)
        if not math.isfinite(self.norm_1):
            raise ValueError(
                "`values` must have a sum of sizes below 1.8e308; it overflows. Divide the vector by a constant."
            )

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"SampleQueryVector(size={self.size}, dtype={self._values.dtype}, exponent={self._exponent})"

    @property
    def size(self) -> int:
        """Length n of the vector."""
        return len(self._values)

    @property
    def exponent(self) -> int:
        """The power p of the sizes by which positions are drawn."""
        return self._exponent

    @property
    def norm(self) -> float:
        """Euclidean norm |x|."""
        return self._largest * math.sqrt(self._sum_shares_sq)

    @property
    def norm_1(self) -> float:
        """Sum of the sizes, |x|_1."""
        return self._largest * self._sum_shares

    @property
    def bound_norm(self) -> float:
        """The least number with |x_i| <= bound_norm sqrt(P(i)) for every i."""
        return self._largest * math.sqrt(self._mass)

    @property
    def _mass(self) -> float:
        """Sum of |x_i|^p in units of the largest."""
        return self._sum_shares if self._exponent == 1 else self._sum_shares_sq

    @cached_property
    def _table(self) -> AliasTable:
        self._refuse_zero()
        return AliasTable(np.abs(self._values), exponent=self._exponent)

    def _refuse_zero(self) -> None:
        if self._largest == 0.0:
            raise ZeroMassError(
                f"the vector of size {self.size} has only zero entries, so no position can be drawn; "
                "give it a non-zero entry."
            )

    def query(self, indices: npt.ArrayLike) -> Float64Array:
        """Return the entries at `indices`, of shape (len(indices),)."""
        return self._values[check_indices(indices, self.size, "indices")].astype(np.float64)

    def to_array(self) -> Float64Array:
        """Return a copy of the whole vector, of shape (n,)."""
        return self._values.astype(np.float64)

    def probabilities(self, indices: npt.ArrayLike) -> Float64Array:
        """Return the probability with which each of the positions is drawn.

        Parameters
        ----------
        indices : array_like of int, shape (k,)
            Positions in [0, n).

        Returns
        -------
        ndarray of float64, shape (k,)

        Raises
        ------
        ZeroMassError
            If the vector is zero.
        """
        self._refuse_zero()
        shares = np.abs(self.query(indices)) / self._largest
        return shares**self._exponent / self._mass

    def sample(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw positions with replacement, P(i) = |x_i|^p / sum |x|^p.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness; the draws do not depend on the number of threads.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If the vector is zero.
        """
        return self._table.sample(check_count(n_draws, "n_draws"), rng)


def _sums(values: FloatArray, unit: float) -> tuple[float, float]:
    """Return the sums of |x_i| / unit and of its square."""
    if unit == 0.0:
        return 0.0, 0.0
    sizes, squares = [], []
    for start in range(0, len(values), _CHUNK_ENTRIES):
        shares = values[start : start + _CHUNK_ENTRIES].astype(np.float64)
        shares /= unit
        squares.append(float(shares @ shares))
        sizes.append(float(np.abs(shares, out=shares).sum()))
    return math.fsum(sizes), math.fsum(squares)


class _CombinationBound:
    """The proposals of a row combination: row s by |c_s A_s|^2, a column of it by A_sj^2; nothing is rejected.

    With r rows that are not zero, Cauchy-Schwarz gives x_j^2 <= r sum_s c_s^2 A_sj^2, hence
    bound_norm^2 = r sum_s |c_s A_s|^2.
    """

    def __init__(self, combination: RowCombination) -> None:
        self._combination = combination
        coefficients = np.asarray(combination.coefficients, dtype=np.float64)
        self._unit = float(np.abs(coefficients).max(initial=0.0)) or 1.0
        shares = coefficients / self._unit
        sizes = np.abs(shares) * combination.source.row_norms(combination.rows)
        self._largest = float(sizes.max(initial=0.0)) or 1.0
        masses = (sizes / self._largest) ** 2
        used = np.flatnonzero(masses)
        self._rows, self._shares, self._masses = combination.rows[used], shares[used], masses[used]

    @property
    def size(self) -> int:
        return self._combination.size

    @property
    def bound_norm(self) -> float:
        return self._unit * self._largest * math.sqrt(len(self._rows) * float(self._masses.sum()))

    def query(self, indices: npt.ArrayLike) -> Float64Array:
        with np.errstate(over="ignore", invalid="ignore"):
            values = self._combination.query(indices)
        if np.isinf(values).any():
            raise OverflowError(
                "an entry of the combination exceeds 1.8e308; divide its coefficients by a constant first."
            )
        return values

    def sample(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        n_draws = check_count(n_draws, "n_draws")
        if len(self._rows) == 0:
            raise ZeroMassError("the combination is the zero vector, so no position can be drawn.")
        generator = as_generator(rng)
        picks = AliasTable(self._masses).sample(n_draws, generator)
        return self._combination.source.sample_cols(self._rows[picks], generator)

    def probabilities(self, indices: npt.ArrayLike) -> Float64Array:
        cols = check_indices(indices, self.size, "indices")
        law = np.empty(len(cols))
        step = max(1, _BLOCK_ENTRIES // max(1, len(self._rows)))
        for start in range(0, len(cols), step):
            law[start : start + step] = self._block_law(cols[start : start + step])
        return law

    def _block_law(self, cols: IntArray) -> Float64Array:
        block = self._combination.source.query(self._rows[:, None], cols[None, :]).astype(np.float64)
        terms = self._shares[:, None] * (block / self._largest)
        law: Float64Array = (terms**2).sum(axis=0) / self._masses.sum()
        return law


def as_oversampled_vector(vector: Any) -> OversampledVector | None:
    """Return what draws positions of a vector from a known law that dominates its squares, or None.

    Parameters
    ----------
    vector : SampleQueryVector, RowCombination, OversampledVector, or anything else
        A combination gives its proposals, with their law; an object that meets `OversampledVector` is itself.

    Returns
    -------
    OversampledVector or None
        None for an array, and for an object that can be queried only.

    Notes
    -----
    Cost: for a combination of r rows, a draw scans a row for its column, and a query or a probability reads r entries.
    A draw that is weighted by its probability takes the place of the phi proposals that an accepted draw takes.
    """
    if isinstance(vector, RowCombination):
        return _CombinationBound(vector)
    return vector if isinstance(vector, OversampledVector) else None
