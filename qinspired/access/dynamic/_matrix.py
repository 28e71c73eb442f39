"""A matrix with sample-and-query access whose entries and rows change."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_count, check_indices, check_matrix, first_nonfinite, native_float
from qinspired.access._changes import flat_entries
from qinspired.access._sampler import array_of
from qinspired.access.dynamic._reader import DynamicReader
from qinspired.access.dynamic._sampler import DynamicSampler

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

__all__ = ["DynamicMatrix"]

# Rows of lesser norm, added to a finite Frobenius norm, cannot bring it over 1.8e308: their share is below rounding.
_HARMLESS = 1e290


class DynamicMatrix(DynamicReader):
    """Sample-and-query access to a real (m, n) matrix whose entries and rows change; draws follow at once.

    Parameters
    ----------
    shape : (int, int)
        Rows m >= 0 and columns n >= 1. All entries are zero at first; see `from_matrix` too.

    Raises
    ------
    TypeError, ValueError
        If `shape` is not a pair of such integers.

    Notes
    -----
    Cost: to put in, change or remove an entry takes O(log n) amortised; a column draw takes O(log n), a row draw and a
    query O(1) expected. Rows are sparse whatever they came from: a row has room for a power of two of entries, 25 bytes
    each, and the pool of rows, when it was packed, as much room again. It is packed by one pass when it is full or
    mostly empty. A single call takes far longer than a single entry in a batch.
    Error: norms are computed anew from their parts at each change, so nothing drifts; they are right to a few ulps,
    also where squares overflow or underflow (1e200, 1e-200). A row of norm below 1e-290 is drawn from by a scan.
    Every call that changes something adds 1 to `version`. An answer made from the matrix, such as that of `low_rank`,
    keeps to the version it was made from: it raises `VersionError` when it reads the matrix after a change.
    Every call is all or nothing, also when it is interrupted or memory runs out, and calls from several threads
    follow one another.

    References
    ----------
    .. [1] E. Tang, "A quantum-inspired classical algorithm for recommendation systems", STOC 2019: the data structure
       of section 2.2.2. Differs from [1]_: 32 children a node instead of 2, which hold norms instead of squares; a
       hash table for each row finds its entries.

    Examples
    --------
    >>> import qinspired as qi
    >>> A = qi.DynamicMatrix((3, 4))
    >>> A.update([0, 0, 2], [1, 3, 3], [3.0, 4.0, 12.0])
    >>> A.row_norms()
    array([ 5.,  0., 12.])
    >>> A.delete(2, 3)
    >>> A.sample_rows(3, rng=0)
    array([0, 0, 0])
    >>> A.append_rows([[0.0, 0.0, 2.0, 0.0]])
    array([3])
    >>> A.version, A.shape
    (3, (4, 4))
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise TypeError(f"`shape` must be a pair of integers (m, n); got {shape!r}.")
        m, n = check_count(shape[0], "shape[0]"), check_count(shape[1], "shape[1]", low=1)
        super().__init__(m, n)

    @classmethod
    def from_matrix(cls, X: Any) -> DynamicMatrix:
        """Make one of a dense or sparse matrix, at version 0.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (m, n)
            Real and finite, of any scipy.sparse format; it is copied.

        Returns
        -------
        DynamicMatrix

        Raises
        ------
        TypeError, ValueError
            As by `as_sq_matrix`.

        Notes
        -----
        Cost: one pass over `X`.
        """
        started = time.perf_counter()
        block = _canonical(X, "X")
        made = cls(block.shape)
        made._append(np.arange(block.shape[0]), block, "X")
        made._sampler = DynamicSampler(made._rows.norms, exponent=2)
        made._refuse_overflow("X")
        made._index_seconds = time.perf_counter() - started
        return made

    def update(self, rows: npt.ArrayLike, cols: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Set the entries A[rows, cols] = values.

        Parameters
        ----------
        rows, cols : array_like of int
            Indices in [0, m) and [0, n).
        values : array_like
            Finite numbers; the three broadcast as in numpy. 0 removes an entry, and of an entry that is named more than
            once the last value counts.

        Raises
        ------
        IndexError
            If an index is negative or too large.
        TypeError
            If an index is not an integer, or a value not a number.
        ValueError
            If a value is NaN, infinite or complex, the shapes do not broadcast, or a norm would overflow.

        Notes
        -----
        Cost: O(log n) an entry, amortised, and the sorting of the batch.
        """
        at_rows, at_cols, wanted = self._check_entries(rows, cols, values)
        with self._exclusive():
            before = self._rows.find(at_rows, at_cols)
            differs = before != wanted
            if not differs.any():
                return
            if not differs.all():
                at_rows, at_cols = at_rows[differs], at_cols[differs]
                before, wanted = before[differs], wanted[differs]
            starts = np.flatnonzero(np.diff(at_rows, prepend=-1))
            touched = at_rows[starts]
            added = np.add.reduceat((before == 0.0).astype(np.int64), starts)
            self._rows.reserve(touched, self._rows.lengths[touched] + added)
            with self._changing(partial(self._rows.change, at_rows, at_cols, before)):
                self._rows.change(at_rows, at_cols, wanted)
                self._rows.n_stored += int(added.sum()) - int(np.count_nonzero(wanted == 0.0))
                self._follow(touched, "values")

    def delete(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> None:
        """Make the entries A[rows, cols] zero; the indices broadcast as in numpy, and an entry may be zero already."""
        self.update(rows, cols, 0.0)

    def set_rows(self, rows: npt.ArrayLike, block: Any) -> None:
        """Replace whole rows.

        Parameters
        ----------
        rows : array_like of int, shape (q,)
            Rows in [0, m); of a row that is named more than once the last one counts.
        block : array_like or sparse matrix, shape (q, n)
            The new rows, finite.

        Raises
        ------
        IndexError
            If a row is out of range.
        TypeError, ValueError
            If `block` is not a finite real matrix of that shape, or a norm would overflow.

        Notes
        -----
        Cost: O(1) for each entry of the old and the new rows, amortised.
        """
        numbers = self._check_rows_to_change(rows)
        given = _canonical(block, "block", self._rows.n_cols)
        if given.shape[0] != len(numbers):
            raise ValueError(
                f"`block` must have a row for each of the {len(numbers)} given rows; got shape {given.shape}."
            )
        touched, last = np.unique(numbers[::-1], return_index=True)
        wanted = given[len(numbers) - 1 - last] if len(touched) < len(numbers) or _unsorted(numbers) else given
        with self._exclusive():
            before = self._rows.gather(touched)
            if _equal(before, wanted):
                return
            self._rows.reserve(touched, np.diff(wanted.indptr).astype(np.int64))
            with self._changing(partial(self._rows.write, touched, before)):
                self._rows.write(touched, wanted)
                self._rows.n_stored += wanted.nnz - before.nnz
                self._follow(touched, "block")

    def delete_rows(self, rows: npt.ArrayLike) -> None:
        """Make whole rows zero; they keep their numbers."""
        numbers = self._check_rows_to_change(rows)
        self.set_rows(numbers, sp.csr_array((len(numbers), self._rows.n_cols)))

    def append_rows(self, block: Any) -> IntArray:
        """Add rows at the end.

        Parameters
        ----------
        block : array_like or sparse matrix, shape (q, n)
            The new rows, finite.

        Returns
        -------
        ndarray of int64, shape (q,)
            Their numbers, m to m + q - 1.

        Raises
        ------
        TypeError, ValueError
            If `block` is not a finite real matrix with n columns, or a norm would overflow.

        Notes
        -----
        Cost: O(1) an entry, amortised.
        """
        given = _canonical(block, "block", self._rows.n_cols)
        with self._exclusive():
            known = self._rows.n_rows
            if given.shape[0] == 0:
                return np.zeros(0, dtype=np.int64)
            with self._changing(partial(self._rows.drop_rows, known)):
                new = self._rows.add_rows(given.shape[0])
                self._append(new, given, "block")
                self._sampler.append(self._rows.norms[new])
                self._refuse_overflow("block")
            return new

    def _check_rows_to_change(self, rows: npt.ArrayLike, *, ndim: int | None = 1) -> IntArray:
        try:
            return check_indices(rows, self.shape[0], "rows", ndim=ndim)
        except IndexError as error:
            raise IndexError(f"{error} `append_rows` adds rows.") from None

    def _check_entries(self, rows: Any, cols: Any, values: Any) -> tuple[IntArray, IntArray, Float64Array]:
        """Return checked triples in the order of rows, then columns, each entry once."""
        at_rows = self._check_rows_to_change(rows, ndim=None)
        try:
            at_cols = check_indices(cols, self._rows.n_cols, "cols", ndim=None)
        except IndexError as error:
            raise IndexError(f"{error} The number of columns is fixed.") from None
        wanted = _check_values(values)
        at_rows, at_cols, wanted = flat_entries(at_rows, at_cols, wanted)
        last = _last_of_each(at_rows, at_cols, self._rows.n_cols)
        return at_rows[last], at_cols[last], wanted[last]

    def _append(self, new: IntArray, block: sp.csr_array[Any], name: str) -> None:
        self._rows.reserve(new, np.diff(block.indptr).astype(np.int64))
        self._rows.write(new, block)
        self._rows.n_stored += block.nnz
        self._refuse_row_overflow(new, name)

    def _follow(self, touched: IntArray, name: str) -> None:
        """Let the sampler of rows follow."""
        norms = self._rows.norms[touched]
        self._refuse_row_overflow(touched, name)
        self._sampler.update(touched, norms)
        if norms.max() > _HARMLESS:
            self._refuse_overflow(name)

    def _refuse_row_overflow(self, touched: IntArray, name: str) -> None:
        finite = np.isfinite(self._rows.norms[touched])
        if not finite.all():
            raise ValueError(
                f"`{name}` must leave every row norm below 1.8e308; that of row {touched[np.argmin(finite)]} would "
                "overflow. Divide the matrix by a constant."
            )

    def _refuse_overflow(self, name: str) -> None:
        if not np.isfinite(self._sampler.norm):
            raise ValueError(
                f"`{name}` must leave the Frobenius norm below 1.8e308; it would overflow. Divide the matrix by a "
                "constant."
            )


def _check_values(values: Any) -> Float64Array:
    numbers = native_float(array_of(values, "values"), "values").astype(np.float64, copy=False)
    where = first_nonfinite(numbers)
    if where is not None:
        place = f"values[{', '.join(map(str, where))}]" if where else "it"
        raise ValueError(
            f"`values` must be finite, without NaN or infinity; {place} is {numbers[where]}. `delete` removes an entry."
        )
    return numbers


def _last_of_each(rows: IntArray, cols: IntArray, n_cols: int) -> IntArray:
    """Return the places of distinct entries in the order of rows, then columns; of equal ones the last place."""
    if len(rows) == 0 or int(rows.max()) < np.iinfo(np.int64).max // n_cols:
        names = rows * n_cols + cols
        order = np.argsort(names)  # nearly 3 times as fast as `lexsort` for 1e6 entries; it need not be stable
        is_new = np.diff(names[order], prepend=-1) != 0
    else:
        order = np.lexsort((cols, rows))
        is_new = (np.diff(rows[order], prepend=-1) != 0) | (np.diff(cols[order], prepend=-1) != 0)
    return np.maximum.reduceat(order, np.flatnonzero(is_new)) if len(order) else order


def _canonical(X: Any, name: str, n_cols: int | None = None) -> sp.csr_array[Any]:
    """Return a canonical float64 CSR array without zeros; a block of a matrix may have no rows."""
    matrix: Any
    if n_cols is not None and getattr(X, "shape", None) == (0, n_cols):
        matrix = sp.csr_array((0, n_cols), dtype=np.float64)
    else:
        matrix = check_matrix(X, name)
    if n_cols is not None and matrix.shape[1] != n_cols:
        raise ValueError(f"`{name}` must have {n_cols} columns, as the matrix has; got shape {matrix.shape}.")
    block: sp.csr_array[Any] = sp.csr_array(matrix).astype(np.float64, copy=False)
    if not block.data.all():
        block = block.copy()
        block.eliminate_zeros()
    return block


def _unsorted(numbers: IntArray) -> bool:
    return bool((np.diff(numbers) < 0).any())


def _equal(first: sp.csr_array[Any], second: sp.csr_array[Any]) -> bool:
    return all(np.array_equal(getattr(first, part), getattr(second, part)) for part in ("indptr", "indices", "data"))
