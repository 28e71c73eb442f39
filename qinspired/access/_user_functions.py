"""The functions of an implicit matrix, with every answer of theirs checked before it is used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import special

from qinspired._validation import check_count, check_csr, check_dense, check_positive, first_nonfinite, native_float
from qinspired.kernels import csr_row_norms, dense_row_norms

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["UserFunctions", "check_dtype", "check_shape", "refuse_contradicted"]

# A norm may exceed its bound by rounding: both are sums, taken in different orders.
_ROUNDING = 1e-10

# Chance with which the draws of a right `frobenius_norm` contradict it.
_CONTRADICTED = 1e-12


class UserFunctions:
    """What a user gave to compute a matrix from: rows, entries, norms and bounds; and counts of what was asked.

    The functions get copies of the indices: one that writes into them changes neither a draw nor what the caller holds.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: npt.DTypeLike,
        row_function: Callable[[IntArray], Any] | None,
        entry_function: Callable[[IntArray, IntArray], Any] | None,
        norm_function: Callable[[IntArray], Any] | None,
        norm_bound: float | None,
        entry_bound: float | Callable[[IntArray], Any] | None,
    ) -> None:
        self.shape, self.dtype = check_shape(shape), check_dtype(dtype)
        for function, name in ((row_function, "row_function"), (entry_function, "entry_function")):
            if function is not None and not callable(function):
                raise TypeError(f"`{name}` must be a function or None; got {function!r}.")
        if row_function is None and entry_function is None:
            raise ValueError("`row_function` or `entry_function` must be given: rows can come from nothing else.")
        if entry_bound is not None and entry_function is None:
            raise ValueError("`entry_bound` needs `entry_function`, of which the proposed columns are asked.")
        self.row_function, self.entry_function, self.norm_function = row_function, entry_function, norm_function
        self.norm_bound = None if norm_bound is None else check_positive(norm_bound, "norm_bound")
        self.entry_bound: Any = entry_bound
        if entry_bound is not None and not callable(entry_bound):
            self.entry_bound = check_positive(entry_bound, "entry_bound")
        # None until the first block tells.
        self.gives_csr: bool | None = False if row_function is None or entry_bound is not None else None
        self.entries_computed = 0
        self.rows_computed = 0

    @property
    def slack(self) -> float:
        """Relative amount by which a bound may be exceeded."""
        return max(_ROUNDING, 4.0 * float(np.finfo(self.dtype).eps))

    def refuse_above_bound(self, rows: IntArray, norms: Float64Array) -> None:
        """Raise the error for a row whose norm exceeds its bound."""
        if self.norm_bound is None or not len(norms):
            return
        worst = int(np.argmax(norms))
        if norms[worst] > self.norm_bound * (1.0 + self.slack):
            raise ValueError(
                f"`norm_bound` must not be exceeded; row {rows[worst]} has norm {norms[worst]}, above "
                f"{self.norm_bound}."
            )

    def norms(self, rows: IntArray) -> Float64Array:
        """Return the norms of rows."""
        function: Any = self.norm_function
        norms = _per_row(function(rows.copy()), rows, "row_norms") if len(rows) else np.zeros(0)
        self.refuse_above_bound(rows, norms)
        return norms

    def bounds(self, rows: IntArray) -> Float64Array:
        """Return the bounds of the entries of rows."""
        if not callable(self.entry_bound):
            return np.full(len(rows), self.entry_bound)
        return _per_row(self.entry_bound(rows.copy()), rows, "entry_bound") if len(rows) else np.zeros(0)

    def entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        """Return entries; the indices broadcast."""
        function: Any = self.entry_function
        shape = np.broadcast_shapes(rows.shape, cols.shape)
        if 0 in shape:
            return np.zeros(shape, dtype=self.dtype)
        values: np.ndarray[Any, Any] = np.asarray(function(rows.copy(), cols.copy()))
        if values.shape != shape:
            raise ValueError(
                f"`entry_function` must return one entry for each pair of indices, of shape {shape}; got shape "
                f"{values.shape}."
            )
        entries: FloatArray = native_float(values, "entry_function").astype(self.dtype, copy=False)
        where = first_nonfinite(entries)
        if where is not None:
            row, col = (int(np.broadcast_to(index, shape)[where]) for index in (rows, cols))
            raise ValueError(f"`entry_function` must return finite numbers; got A[{row}, {col}] = {values[where]}.")
        self.entries_computed += entries.size
        return entries

    def rows(self, rows: IntArray) -> Any:
        """Return whole rows as the functions give them, checked but for their norms."""
        function, n = self.row_function, self.shape[1]
        if function is None:
            block: Any = self.entries(rows[:, None], np.arange(n)[None, :])
            self.rows_computed += len(rows)
            return block
        given = function(rows.copy())
        if getattr(given, "shape", np.shape(given)) != (len(rows), n):
            raise ValueError(
                f"`row_function` must return a block of shape {(len(rows), n)}; got shape "
                f"{getattr(given, 'shape', np.shape(given))}."
            )
        is_csr = sp.issparse(given)
        if self.gives_csr is not None and self.gives_csr != is_csr:
            kinds = ("sparse", "dense") if self.gives_csr else ("dense", "sparse")
            raise ValueError(
                f"`row_function` must always return {kinds[0]} blocks, as at first or as `entry_bound` asks; got a "
                f"{kinds[1]} one."
            )
        block = check_csr(given, "row_function") if is_csr else check_dense(given, "row_function")
        block = block.astype(self.dtype, copy=False)
        values = block.data if is_csr else block
        where = first_nonfinite(values)
        if where is not None:
            at = int(np.searchsorted(block.indptr, where[0], side="right") - 1) if is_csr else where[0]
            raise ValueError(f"`row_function` must return finite numbers; got {values[where]} in row {int(rows[at])}.")
        self.gives_csr = is_csr
        self.entries_computed += values.size
        self.rows_computed += len(rows)
        return block

    def propose_cols(
        self, rows: IntArray, bounds: Float64Array, width: int, generator: np.random.Generator
    ) -> IntArray:
        """Return the first accepted of `width` columns for each row, -1 where there is none."""
        proposed = generator.integers(0, self.shape[1], (len(rows), width))
        uniforms = generator.random((len(rows), width))
        shares = np.abs(self.entries(rows[:, None], proposed).astype(np.float64)) / bounds[:, None]
        if (shares > 1.0 + self.slack).any():
            at, where = np.unravel_index(int(np.argmax(shares)), shares.shape)
            raise ValueError(
                f"`entry_bound` must not be exceeded; |A[{rows[at]}, {proposed[at, where]}]| = "
                f"{shares[at, where] * bounds[at]} is above {bounds[at]}."
            )
        keep = uniforms < shares**2
        first = np.argmax(keep, axis=1)
        return np.where(keep.any(axis=1), proposed[np.arange(len(rows)), first], -1)

    def refuse_small_bounds(self, rows: IntArray, norms: Float64Array, bounds: Float64Array) -> None:
        """Raise the error for a row whose entries, all at their bound, would fall short of its norm."""
        wrong = bounds * math.sqrt(self.shape[1]) < norms * (1.0 - 1e-6)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"`entry_bound` must be at least |A_i| / sqrt(n); row {rows[at]} has norm {norms[at]} "
                f"and bound {bounds[at]}."
            )

    def refuse_other_norms(self, block: Any, rows: IntArray, stated: Float64Array, frobenius_norm: float) -> None:
        """Raise the error for a row of a block whose norm is not the stated one, rounding apart."""
        found = dense_row_norms(block) if isinstance(block, np.ndarray) else _csr_norms(block)
        precision = float(np.finfo(self.dtype).eps)
        allowed = math.sqrt(precision) * stated + 64.0 * precision * frobenius_norm
        wrong = ~(np.abs(found - stated) <= allowed)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"`row_norms` must be those of the rows; row {int(rows[at])} has norm {found[at]}, and "
                f"{stated[at]} was stated."
            )


def _csr_norms(block: sp.csr_array[Any]) -> Float64Array:
    return csr_row_norms(block.data, block.indptr.astype(np.int64, copy=False))


def _per_row(values: Any, rows: IntArray, name: str) -> Float64Array:
    """Return what a function says of each row: finite numbers >= 0."""
    array: np.ndarray[Any, Any] = np.asarray(values)
    if array.shape != rows.shape:
        raise ValueError(f"`{name}` must return one number for each row, of shape {rows.shape}; got {array.shape}.")
    numbers = native_float(array, name).astype(np.float64)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0.0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"`{name}` must return finite numbers >= 0; got {numbers[at]} for row {int(rows[at])}.")
    return numbers


def refuse_contradicted(stated: float, most: float, n_accepted: int, n_proposals: int) -> None:
    """Raise the error for a Frobenius norm, of at most sqrt(m) norm_bound, that the accepted rows contradict."""
    # A proposal is accepted with probability (stated / most)^2 exactly, so their number is binomial.
    chance = min((stated / most) ** 2, 1.0)
    few = special.bdtr(n_accepted, n_proposals, chance)
    many = special.bdtrc(n_accepted - 1, n_proposals, chance) if n_accepted else 1.0
    if min(few, many) < _CONTRADICTED:
        raise ValueError(
            f"`frobenius_norm` must be that of the rows; {n_accepted} of {n_proposals} proposed rows were accepted, "
            f"which shows about {most * math.sqrt(n_accepted / n_proposals):.6g}, not {stated:.6g}."
        )


def check_shape(shape: Any) -> tuple[int, int]:
    """Return (m, n), both at least 1."""
    try:
        m, n = shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"`shape` must be a pair (m, n); got {shape!r}.") from error
    return check_count(m, "shape[0]", low=1), check_count(n, "shape[1]", low=1)


def check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return native float32 or float64."""
    result = np.dtype(dtype)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"`dtype` must be float32 or float64; got {result}.")
    return result
