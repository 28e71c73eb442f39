"""Frequent directions: a sketch of a stream of rows, read once, with bounds that hold for certain."""

from __future__ import annotations

import copy
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_count
from qinspired.algorithms._results import Cost, ErrorEstimate
from qinspired.algorithms.approximation._ritz import complete_orthonormal
from qinspired.algorithms.streams._result import StreamedApproximation
from qinspired.algorithms.streams._rows import checked_block, parts_with_norms
from qinspired.algorithms.streams._sketch_buffer import SketchBuffer
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray

__all__ = ["FrequentDirections"]

# Largest buffer of 2 l rows, in bytes.
_MAX_BYTES = 4 * 2**30


class FrequentDirections:
    r"""Sketch B, of at most l rows, of a stream of rows A: 0 <= |A x|^2 - |B x|^2 <= Delta for every unit vector x.

    Rows are read once, in blocks of any size; sketches of parts of a stream merge into one of all of it. No random
    number is drawn: the same blocks give the same sketch, and the bounds hold always, not with some probability.
    Threads may update one sketch, in turn; a sketch for each and a merge at the end are faster.

    Parameters
    ----------
    n_features : int
        Length n of the rows.
    sketch_size : int
        Largest number l of rows of the sketch, >= 1. A rank-k approximation has an excess of at most
        sqrt((l + 1) / (l + 1 - k)) - 1: for 10 %, l = 5.8 k, for 1 %, l = 51 k. The excess that is found, and told
        by `low_rank`, is often far smaller.
    dtype : float32 or float64, default=float64
        Type in which the rows are kept; other rows are converted to it. float32 takes half the memory, but no less
        time: products of rows are summed in float64.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or the buffer of 2 l rows would take more than 4 GiB.

    Notes
    -----
    Rows are collected, up to l beyond the sketch. Then the squares of all singular values are lowered by that of number
    l + 1, which leaves l rows [1]_, [2]_. Delta is the sum of these squares; for every k <= l it is at most
    |A - A_k|_F^2 / (l + 1 - k), A_k the best approximation of rank k. While the rows have rank l or less, Delta = 0.

    Cost: about 8 l n multiplications for a dense row, and O(l^2) for the eigenvectors; 2 l n numbers of memory, and as
    many again during an update. Sparse rows are collected as they are, up to 8 l of them, and multiplied sparse; the
    sketch is dense.
    Error: as above, up to rounding, of which eps |B|_F for each time that the rows were shrunk, and 8 eps |B|_F^2 for
    each square from a Gram matrix, is added to the bounds of the error and to the upper ones of the singular values.
    Where the square to be taken is below 1e-9 of the largest, it comes from a QR factorization instead of a Gram
    matrix, with which the step takes 3 to 9 times as long.

    References
    ----------
    .. [1] E. Liberty, "Simple and deterministic matrix sketching", KDD 2013.
    .. [2] M. Ghashami, E. Liberty, J. M. Phillips, D. P. Woodruff, "Frequent directions: simple and deterministic
       matrix sketching", SIAM Journal on Computing 45 (2016). Differs from [2]_: sparse rows are multiplied exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.low_rank_matrix((3000, 50), 4, noise=0.2, rng=0)
    >>> sketch = qi.FrequentDirections(50, 20)
    >>> for start in range(0, 3000, 100):
    ...     _ = sketch.update(problem.A[start : start + 100])
    >>> sketch.n_rows, len(sketch.sketch) <= 20
    (3000, True)
    >>> approx = sketch.low_rank(4)
    >>> true = qi.metrics.projection_error(problem.A, approx.components)
    >>> approx.error.low <= true <= approx.error.high, approx.error.confidence
    (True, 1.0)
    """

    def __init__(self, n_features: int, sketch_size: int, *, dtype: npt.DTypeLike = np.float64) -> None:
        n = check_count(n_features, "n_features", low=1)
        size = check_count(sketch_size, "sketch_size", low=1)
        try:
            kind = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"`dtype` must be float32 or float64; got {dtype!r}.") from None
        if kind not in (np.float32, np.float64):
            raise ValueError(f"`dtype` must be float32 or float64; got {kind}.")
        n_bytes = 2 * size * n * kind.itemsize
        if n_bytes > _MAX_BYTES:
            raise ValueError(
                f"`sketch_size` must be such that 2 x sketch_size dense rows of {n} {kind} numbers take at most "
                f"{_MAX_BYTES // 2**30} GiB; got {size}, which takes {n_bytes / 2**30:.3g} GiB."
            )
        self._buffer = SketchBuffer(n, size, kind)
        self._settled: SketchBuffer | None = None
        self._entries = self._bytes = 0
        self._seconds = 0.0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __copy__(self) -> FrequentDirections:
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return (
            f"FrequentDirections(n_features={self.n_features}, sketch_size={self.sketch_size}, dtype={self.dtype}, "
            f"n_rows={self.n_rows})"
        )

    @property
    def n_features(self) -> int:
        """Length n of the rows."""
        return self._buffer.n_features

    @property
    def sketch_size(self) -> int:
        """Largest number l of rows of the sketch."""
        return self._buffer.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the sketch."""
        return self._buffer.dtype

    @property
    def n_rows(self) -> int:
        """Number m of rows seen so far."""
        return self._buffer.n_rows

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm |A|_F of all rows seen, a sum over the rows themselves."""
        return _scaled(math.sqrt(self._buffer.energy), self._buffer.exponent)

    @property
    def sketch(self) -> FloatArray:
        """The rows B, a new array of shape (at most l, n); to look at it changes nothing."""
        settled = self._settle()
        return np.ldexp(settled.dense, settled.exponent or 0)

    @property
    def shrinkage(self) -> float:
        """Delta for the rows of `sketch`; 0 or infinite where it is out of the range of float64."""
        settled = self._settle()
        return _scaled(settled.shrinkage, 2 * (settled.exponent or 0))

    def update(self, rows: Any) -> FrequentDirections:
        """Take in rows.

        Parameters
        ----------
        rows : array_like or sparse matrix, shape (q, n)
            The next rows; q may be 0. A memory-mapped array is read in parts of some 4 MB.

        Returns
        -------
        FrequentDirections
            Itself.

        Raises
        ------
        ValueError, TypeError
            If the rows are no finite real matrix with n columns, or their squares sum to more than the type holds.
            Then none of them is taken in.
        """
        started = time.perf_counter()
        block = checked_block(rows, self.n_features)
        if block.shape[0] == 0:
            return self
        is_sparse: bool = sp.issparse(block)
        entries = int(block.size)  # of a sparse block, the stored ones
        with self._lock:
            # Made on a copy, so that an error or Ctrl-C half-way leaves this sketch as it was.
            changed = self._buffer.copy()
            for part, norms in parts_with_norms(block, self.dtype):
                changed.add(part, norms)
            self._refuse_overflow(changed)
            self._buffer, self._settled = changed, None
            self._entries += entries
            self._bytes += entries * (block.dtype.itemsize + (block.indices.itemsize if is_sparse else 0))
            self._seconds += time.perf_counter() - started
        return self

    def merge(self, other: FrequentDirections) -> FrequentDirections:
        """Take in all rows that another sketch has seen.

        The bounds are those of one sketch of both streams; Delta is not the same for every order of merges.

        Parameters
        ----------
        other : FrequentDirections
            Of equal length of rows, size and type. It is not changed.

        Returns
        -------
        FrequentDirections
            Itself.

        Raises
        ------
        ValueError, TypeError
            If `other` is no such sketch, or all squares sum to more than the type holds.
        """
        if not isinstance(other, FrequentDirections):
            raise TypeError(f"`other` must be a FrequentDirections; got {type(other).__name__}.")
        for name in ("n_features", "sketch_size", "dtype"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                raise ValueError(f"`other` must have the same `{name}` as this sketch, {mine}; got {its}.")
        started = time.perf_counter()
        with other._lock:
            taken, entries, n_bytes, seconds = other._buffer.copy(), other._entries, other._bytes, other._seconds
        with self._lock:
            changed = self._buffer.copy()
            changed.absorb(taken)
            self._refuse_overflow(changed)
            self._buffer, self._settled = changed, None
            self._entries += entries
            self._bytes += n_bytes
            self._seconds += seconds + time.perf_counter() - started
        return self

    def low_rank(self, rank: int) -> StreamedApproximation:
        """Projection A V V^T of all rows seen on k directions, with the bounds of its error.

        Parameters
        ----------
        rank : int
            Number k of directions, in [1, min(l, n, m)].

        Returns
        -------
        StreamedApproximation
            With `components`, `singular_values`, `error`, `excess`, `shrinkage`, `stats`, `project`, `explain`.

        Raises
        ------
        ValueError, TypeError
            If the rank is out of range.
        ZeroMassError
            If all rows seen are zero.

        Notes
        -----
        Cost: one more step of the sketch, 4 l^2 n multiplications; nothing is changed, and more rows may follow.
        Error: |A - A V V^T|_F^2 is at most |A|_F^2 - |B V|_F^2, and smaller by k Delta at most, as is the best error
        with rank k. The excess follows; it is at most sqrt((l + 1) / (l + 1 - k)) - 1. The bounds are taken from the
        rows before they are shrunk to l, so that `shrinkage` of the answer may be smaller than that of the sketch. The
        values between the bounds are estimates; the error itself may be anywhere. One that is all rounding has no
        excess.
        """
        started = time.perf_counter()
        k = check_count(rank, "rank", low=1)
        if self.n_rows == 0:
            raise ZeroMassError("rows must be taken in first, by `update`: the sketch has seen none.")
        largest = min(self.sketch_size, self.n_features, self.n_rows)
        if k > largest:
            raise ValueError(
                f"`rank` must be in [1, min(sketch_size, n_features, n_rows)] = [1, {largest}] for a sketch of size "
                f"{self.sketch_size} that has seen {self.n_rows} rows of {self.n_features} columns; got {k}."
            )
        if self._buffer.energy == 0.0:
            raise ZeroMassError(
                "a row that is not zero must be taken in first: any approximation of zeros is the best."
            )
        held = self._buffer.copy()
        held.settle(2 * held.size)
        left, squares, blur = held.directions(k)
        used = squares[:k]
        used = used[used > max(held.floor(squares), 8.0 * blur)]
        unit, norm = held.exponent or 0, math.sqrt(held.energy)
        values = np.zeros(k)
        values[: len(used)] = np.sqrt(used)
        # No singular value is larger than |A|_F; in float32 that may be rounded to less than the one found.
        highest = np.sqrt(values**2 + held.shrinkage + blur + held.blur) + held.drift
        highest = np.maximum(np.minimum(highest, norm), values)
        vectors = _orthonormal(held.dense.T @ (left[:, : len(used)] / values[: len(used)]).astype(held.dtype))
        error, excess = _bounds(held, squares, blur, k, held.repaid(left, squares, k))
        return StreamedApproximation(
            components=np.ascontiguousarray(complete_orthonormal(vectors, k, np.random.default_rng(0)).T),
            singular_values=np.ldexp(values, unit),
            singular_values_high=np.ldexp(highest, unit),
            error=error,
            excess=excess,
            shrinkage=_scaled(held.shrinkage, 2 * unit),
            sketch_size=held.size,
            n_rows=held.n_rows,
            method="frequent_directions",
            status=_status(held),
            stats=Cost(
                row_draws=0,
                column_draws=0,
                entry_queries=0,
                rows_read=held.n_rows,
                entries_read=self._entries,
                bytes_read=self._bytes,
                full_passes=1,
                index_seconds=0.0,
                seconds=self._seconds + time.perf_counter() - started,
            ),
        )

    def _settle(self) -> SketchBuffer:
        with self._lock:
            if self._settled is None:
                settled = self._buffer.copy()
                settled.settle(settled.size)
                self._settled = settled
            return self._settled

    def _refuse_overflow(self, changed: SketchBuffer) -> None:
        largest = float(np.finfo(self.dtype).max)
        if not math.sqrt(changed.energy) <= math.ldexp(largest, -max(changed.exponent or 0, 0)):
            raise ValueError(
                f"`rows` must keep the Frobenius norm of all rows below {largest:.2g}, the largest {self.dtype}. "
                "Divide them by a constant."
            )


def _scaled(value: float, exponent: int | None) -> float:
    try:
        return math.ldexp(value, exponent or 0)
    except OverflowError:
        return math.inf


def _orthonormal(vectors: FloatArray) -> FloatArray:
    basis, triangle = np.linalg.qr(vectors)
    return np.asarray(basis * np.where(np.diag(triangle) < 0, -1.0, 1.0), dtype=vectors.dtype)


def _status(held: SketchBuffer) -> str:
    if held.shrinkage == 0.0:
        return f"nothing was lost in a sketch of {held.size} rows"
    return f"a sketch of {held.size} rows lost {100.0 * held.lost / held.energy:.3g} % of |A|_F^2"


def _bounds(
    held: SketchBuffer, squares: Float64Array, blur: float, k: int, repaid: float
) -> tuple[ErrorEstimate, ErrorEstimate]:
    """Return the bounds of the error and of its excess over the best, with estimates between them.

    The square that is left out is summed up from what was lost and what is not in the answer: |A|_F^2 less what is in
    it would have lost its digits where the error is small.
    """
    norm = math.sqrt(held.energy)
    rest = held.lost + float(squares[k:].sum())
    blur, drift = blur + held.blur, held.drift + 8.0 * held.eps * norm
    high = min((math.sqrt(rest + blur) + drift) / norm, 1.0)
    low = max(math.sqrt(max(rest - k * held.shrinkage - blur, 0.0)) - drift, 0.0) / norm
    value = min(max(math.sqrt(max(rest - repaid, 0.0)) / norm, low), high)
    error = ErrorEstimate(value, low, high, 1.0)
    if high <= 4.0 * drift / norm:
        return error, ErrorEstimate(0.0, 0.0, 0.0, 1.0)
    if low == 0.0:
        return error, ErrorEstimate(math.inf, 0.0, math.inf, 1.0)
    return error, ErrorEstimate(value / low - 1.0, 0.0, high / low - 1.0, 1.0)
