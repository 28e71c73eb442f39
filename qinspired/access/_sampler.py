"""Draws from a fixed vector of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator, stream_key
from qinspired._validation import check_count, check_vector
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import build_alias_table, draw_from_alias_table

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["AliasTable"]


class AliasTable:
    """Draws of i with probability w_i / sum(w), from fixed weights, in constant time.

    Parameters
    ----------
    weights : array_like, shape (n,)
        Finite weights >= 0, at least one of them positive; any scale. They are copied.

    Raises
    ------
    ValueError
        If `weights` is empty, not 1-dimensional, or has a negative, NaN or infinite entry.
    ZeroMassError
        If every weight is zero.

    Notes
    -----
    Cost: O(n) time and 16 n bytes to build; two uniform numbers and one random memory access a draw.
    Error: each probability is right to a few units of 2^-53; an item of weight zero is never drawn.

    References
    ----------
    .. [1] M. D. Vose, "A linear algorithm for generating random numbers with a given distribution", IEEE
       Transactions on Software Engineering 17 (1991).

    Examples
    --------
    >>> import qinspired as qi
    >>> table = qi.AliasTable([0.0, 3.0, 1.0])
    >>> draws = table.sample(1000, rng=0)
    >>> sorted(set(draws.tolist()))
    [1, 2]
    """

    __slots__ = ("_table",)

    def __init__(self, weights: npt.ArrayLike) -> None:
        array: npt.NDArray[Any] = np.asarray(weights)
        if array.ndim != 1 or array.size == 0:
            raise ValueError(
                f"`weights` must be a 1-dimensional array of at least one weight; got shape {array.shape}."
            )
        values = check_vector(weights, array.size, "weights", matrix="the table")
        if (values < 0).any():
            where = int(np.argmax(values < 0))
            raise ValueError(f"`weights` must be >= 0; got weights[{where}] = {values[where]}.")
        if not values.any():
            raise ZeroMassError("`weights` must have a positive entry to draw from; all of them are zero.")
        self._table: Float64Array = build_alias_table(values)

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
