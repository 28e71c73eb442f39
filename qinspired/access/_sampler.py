"""Draws from a fixed vector of weights."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator, stream_key
from qinspired._validation import check_count, check_exponent, native_float
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import build_alias_table, draw_from_alias_table, weight_range

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import AliasCells, Float64Array, IntArray, RNGLike

__all__ = ["AliasTable", "array_of", "checked_weights"]


def array_of(values: Any, name: str) -> npt.NDArray[Any]:
    """Return numbers, a single one too, as an array of whatever type and shape they have."""
    try:
        array: npt.NDArray[Any] = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array of numbers; {str(error).rstrip('.')}.") from error
    if array.ndim == 0 and array.dtype.kind == "O" and not isinstance(values, Number):
        raise TypeError(
            f"`{name}` must be an array of numbers; got {type(values).__name__}. Convert it to a numpy array first."
        )
    return array


def checked_weights(weights: npt.ArrayLike) -> tuple[Float64Array, float]:
    """Return finite weights >= 0, a single one too, in C order, and the largest of them (0 if there is none)."""
    values = np.asarray(native_float(array_of(weights, "weights"), "weights"), dtype=np.float64, order="C")
    low, high = weight_range(values.reshape(-1)) if values.size else (0.0, 0.0)
    if not 0.0 <= low <= high < np.inf:
        bad = ~np.isfinite(values)
        if not bad.any():
            bad = values < 0.0
        place = np.unravel_index(int(np.argmax(bad)), values.shape)
        named = f"weights[{', '.join(map(str, place))}]" if place else "weights"
        if not np.isfinite(values[place]):
            raise ValueError(
                f"`weights` must be finite, without NaN or infinity; got {named} = {values[place]}. Impute or drop it."
            )
        raise ValueError(
            f"`weights` must be >= 0; got {named} = {values[place]}. An item that must not be drawn has weight 0."
        )
    return values, high


class AliasTable:
    """Draws of i with probability w_i^p / sum(w^p), from fixed weights, in constant time.

    Parameters
    ----------
    weights : array_like, shape (n,)
        Finite weights >= 0, at least one of them positive; any scale. They are copied.
    exponent : {1, 2}, default=1
        The power p; 2 draws by squared size, and squares may overflow or underflow.

    Raises
    ------
    TypeError
        If `weights` is masked, holds dates, or is no array.
    ValueError
        If `weights` is empty, not 1-dimensional, complex, not numeric, or has a negative, NaN or infinite entry.
    ZeroMassError
        If every weight is zero.

    Notes
    -----
    Cost: O(n) time, on numba's threads for a million items or more, and 16 n bytes to build; two random words and one
    random memory access a draw.
    Error: an item of weight zero is never drawn. Each probability is right to 1e-15, and one below the mean 1 / n to
    a few ulps of itself and 2^-64 / n, whatever the range of the weights: [1e308, 1e308], [5e-324, 5e-324], 1 beside a
    million of 1e-17. A power w^p below 1e-308 times the largest counts as zero.

    References
    ----------
    .. [1] M. D. Vose, "A linear algorithm for generating random numbers with a given distribution", IEEE
       Transactions on Software Engineering 17 (1991).
    .. [2] L. Hübschle-Schneider, P. Sanders, "Parallel weighted random sampling", ESA 2019.

    Examples
    --------
    >>> import qinspired as qi
    >>> table = qi.AliasTable([0.0, 3.0, 1.0])
    >>> draws = table.sample(1000, rng=0)
    >>> sorted(set(draws.tolist()))
    [1, 2]
    """

    __slots__ = ("_table",)

    def __init__(self, weights: npt.ArrayLike, *, exponent: int = 1) -> None:
        squared = check_exponent(exponent) == 2
        values, largest = checked_weights(weights)
        if values.ndim != 1 or values.size == 0:
            raise ValueError(
                f"`weights` must be a 1-dimensional array of at least one weight; got shape {values.shape}."
            )
        if largest == 0.0:
            raise ZeroMassError("`weights` must have a positive entry to draw from; all of them are zero.")
        self._table: AliasCells = build_alias_table(values, squared=squared)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"AliasTable(n={len(self)})"

    def sample(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw indices with replacement.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness. The same `rng` gives the same draws on any number of threads.

        Returns
        -------
        ndarray of int64, shape (n_draws,)
        """
        n_draws = check_count(n_draws, "n_draws")
        return draw_from_alias_table(self._table, n_draws, stream_key(as_generator(rng)))
