"""Draws from a vector of weights that change."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator, stream_key
from qinspired._validation import check_count, check_exponent, check_indices
from qinspired.access._sampler import AliasTable, checked_weights
from qinspired.exceptions import ZeroMassError
from qinspired.kernels import (
    Buckets,
    bucket_law,
    bucket_mass,
    draw_from_buckets,
    empty_buckets,
    get_weights,
    last_of_each,
    new_undo,
    set_weights,
    take_back,
    with_places,
    with_room,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.kernels import BucketLaw

__all__ = ["DynamicSampler"]

# The draws that pay for an `AliasTable`, measured on one thread: 3 x 10^4 to 6 x 10^4 for 100 items, 2 to 3 an item for
# 10^6 and 10^7.
_DRAWS_PER_ITEM = 3
_DRAWS_AT_LEAST = 50_000


class DynamicSampler:
    """Draws of i with probability w_i^p / sum(w^p), from weights that change, in constant time each.

    Parameters
    ----------
    weights : array_like, shape (n,), default=()
        Finite weights >= 0 of any scale; none, or none positive, is allowed. They are copied.
    exponent : {1, 2}, default=1
        The power p; 2 draws by squared size.

    Attributes
    ----------
    exponent : int
        The power p.
    version : int
        Grows by one with each call of `update`, `append` or `delete` that changes a weight or the length.
    total : float
        sum(w^p); infinite or zero where that is beyond the range of floats.
    norm : float
        (sum(w^p))^(1/p), which is in that range more often.

    Raises
    ------
    TypeError
        If `weights` is masked, holds dates, or is no array.
    ValueError
        If `weights` is not 1-dimensional, complex, not numeric, or has a negative, NaN or infinite entry.

    See Also
    --------
    AliasTable : draws from weights that do not change, about twice as fast.

    Notes
    -----
    Items are kept in buckets in which weights differ by a quarter at most; a draw picks a bucket by an upper bound of
    its sum, then an item in it, and accepts it in proportion to its weight [1]_.

    Cost: O(1) a change, amortized, and at most 1.25 expected proposals a draw (1.57 for p = 2), each of two random
    words and one random memory access. 32 bytes an item to begin with and at most 58 after any changes, beside some
    0.3 MB for any sampler; twice that while the pool of items is packed anew. After 50,000 draws and three an item
    without a call of `update`, `append` or `delete` in between, an `AliasTable` is built (16 bytes an item) and drawn
    from until the next such call.

    Error: what the draws follow are the weights alone, not how they came about, since no sum of floats is kept. Each
    probability is right to a few units of 2^-53. An item of weight zero is never drawn; nor is one whose w^p is
    below 2^-1074 of the largest.

    Draws are the same for the same sequence of calls with the same `rng`, on any number of threads. Another order of
    the same changes leads to the same law, but to other draws. Calls from several Python threads take their turns.
    An error or Ctrl-C leaves all weights as they were before the call, or as they are after it.

    Differs from [1]_: one level of buckets, whose table (a row for each bucket in use, of 8,392) is built anew at the
    first draw after a change; quarters of an exponent instead of whole ones.

    References
    ----------
    .. [1] Y. Matias, J. S. Vitter, W.-C. Ni, "Dynamic generation of discrete random variates", Theory of Computing
       Systems 36 (2003).

    Examples
    --------
    >>> import qinspired as qi
    >>> sampler = qi.DynamicSampler([0.0, 3.0, 1.0])
    >>> sampler.update([0, 2], [5.0, 0.0])
    >>> sampler.append([2.0])
    array([3])
    >>> sampler.weights()
    array([5., 3., 0., 2.])
    >>> sorted(set(sampler.sample(1000, rng=0).tolist()))
    [0, 1, 3]
    """

    __slots__ = ("_alias", "_buckets", "_drawn", "_law", "_length", "_lock", "_squared", "_version")

    _alias: AliasTable | None
    _buckets: Buckets
    _drawn: int
    _law: BucketLaw | None
    _length: int
    _version: int

    def __init__(self, weights: npt.ArrayLike = (), *, exponent: int = 1) -> None:
        self._squared = check_exponent(exponent) == 2
        self._lock = threading.RLock()
        self._buckets = empty_buckets()
        self._length = 0
        self._version = 0
        self._forget()
        values, _ = checked_weights(weights)
        if values.ndim != 1:
            raise ValueError(f"`weights` must be 1-dimensional; got shape {values.shape}.")
        self._change(np.arange(len(values)), values, len(values))
        self._version = 0

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"DynamicSampler(n={len(self)}, exponent={self.exponent})"

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = ("_squared", "_length", "_version", "_drawn")
            arrays = tuple(np.copy(array) for array in self._buckets)
            return {**{name: getattr(self, name) for name in kept}, "arrays": arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lock = threading.RLock()
        self._forget()
        self._buckets = Buckets(*state.pop("arrays"))
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def exponent(self) -> int:
        return 2 if self._squared else 1

    @property
    def version(self) -> int:
        return self._version

    @property
    def total(self) -> float:
        with self._lock:
            mass, exponent = bucket_mass(self._buckets, squared=self._squared)
        return _as_float(mass, exponent)

    @property
    def norm(self) -> float:
        if not self._squared:
            return self.total
        with self._lock:
            mass, exponent = bucket_mass(self._buckets, squared=True)
        # The exponent is even. The root of an integer of 128 bits or more is right to 63 of them.
        return _as_float(math.isqrt(mass << 128), (exponent - 128) // 2)

    def weights(self, indices: npt.ArrayLike | None = None) -> Float64Array:
        """Return weights, to the last bit as they were given.

        Parameters
        ----------
        indices : array_like of int, optional
            The items, of any shape; by default all.

        Returns
        -------
        ndarray of float64, of the shape of `indices`

        Raises
        ------
        IndexError
            If an index is not in [0, n).
        """
        with self._lock:
            if indices is None:
                return get_weights(self._buckets, np.arange(self._length))
            items = check_indices(indices, self._length, "indices", ndim=None)
            return get_weights(self._buckets, items.reshape(-1)).reshape(items.shape)

    def update(self, indices: npt.ArrayLike, weights: npt.ArrayLike) -> None:
        """Give items new weights.

        Parameters
        ----------
        indices : int or array_like of int, shape (k,)
            The items. If one is given twice, its last weight holds.
        weights : float or array_like, shape (k,)
            Their weights, finite and >= 0; a number holds for all of them.

        Raises
        ------
        IndexError
            If an index is not in [0, n); `append` adds items.
        ValueError
            If a weight is negative, NaN or infinite, or there are not as many weights as indices.
        """
        values, _ = checked_weights(weights)
        with self._lock:
            items = self._checked_items(indices)
            if values.ndim == 0:
                values = np.full(len(items), float(values))
            if values.shape != items.shape:
                raise ValueError(
                    f"`weights` must be a number or hold one weight for each of the {len(items)} indices; got shape "
                    f"{values.shape}."
                )
            if len(items) > self._length:  # some are repeated; this keeps the bound on memory
                last = last_of_each(items, self._length)
                items, values = items[last], values[last]
            self._change(items, values, self._length)

    def append(self, weights: npt.ArrayLike) -> IntArray:
        """Add items at the end.

        Parameters
        ----------
        weights : float or array_like, shape (k,)
            Their weights, finite and >= 0.

        Returns
        -------
        ndarray of int64, shape (k,)
            The indices of the new items.

        Raises
        ------
        ValueError
            If a weight is negative, NaN or infinite.
        """
        values = np.atleast_1d(checked_weights(weights)[0])
        if values.ndim != 1:
            raise ValueError(f"`weights` must be a number or 1-dimensional; got shape {values.shape}.")
        with self._lock:
            items = np.arange(self._length, self._length + len(values))
            self._change(items, values, self._length + len(values))
        return items

    def delete(self, indices: npt.ArrayLike) -> None:
        """Set weights to zero, so that the items are drawn no more; the numbers of the others do not change.

        Parameters
        ----------
        indices : int or array_like of int, shape (k,)
            The items.

        Raises
        ------
        IndexError
            If an index is not in [0, n).
        """
        self.update(indices, 0.0)

    def sample(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw indices with replacement.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If no weight is positive.
        """
        n_draws = check_count(n_draws, "n_draws")
        generator = as_generator(rng)
        with self._lock:
            if self._law is None:
                self._law = bucket_law(self._buckets, squared=self._squared)
            if self._law is None:
                raise ZeroMassError("there is no positive weight to draw from; give items one by `update` or `append`.")
            self._drawn += n_draws
            if self._alias is None and self._drawn > _DRAWS_AT_LEAST + _DRAWS_PER_ITEM * self._length:
                self._alias = AliasTable(self.weights(), exponent=self.exponent)
            if self._alias is not None:
                return self._alias.sample(n_draws, generator)
            key = stream_key(generator)
            return draw_from_buckets(self._buckets, self._law, n_draws, key, squared=self._squared)

    def _checked_items(self, indices: npt.ArrayLike) -> IntArray:
        try:
            items = check_indices(indices, self._length, "indices", ndim=None)
        except IndexError as error:
            raise IndexError(f"{error} Add new items by `append`.") from None
        if items.ndim > 1:
            raise ValueError(f"`indices` must be a number or 1-dimensional; got shape {items.shape}.")
        return items.reshape(-1)

    def _forget(self) -> None:
        self._law = None
        self._alias = None
        self._drawn = 0

    def _change(self, items: IntArray, values: Float64Array, length: int) -> None:
        # Whatever may fail for want of memory comes first and changes no weight.
        self._forget()
        undo = new_undo(len(items))
        self._buckets = with_room(with_places(self._buckets, length), items, values)
        before = self._length, self._version
        try:
            is_new = set_weights(self._buckets, items, values, undo, squared=self._squared)
            if is_new or length > self._length:
                self._version += 1
            self._length = length
        except BaseException:
            take_back(self._buckets, items, undo, self._squared)
            self._length, self._version = before
            raise


def _as_float(mass: int, exponent: int) -> float:
    # Correctly rounded, as the division of integers is.
    try:
        return float(mass << exponent) if exponent >= 0 else mass / (1 << -exponent)
    except OverflowError:
        return math.inf
