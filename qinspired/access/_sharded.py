"""Row blocks, each a matrix of its own, as one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import (
    check_count,
    check_factor,
    check_indices,
    first_nonfinite,
    native_float,
    raise_nonfinite,
)
from qinspired.access._changes import flat_entries
from qinspired.access._convert import as_sq_matrix, has_access
from qinspired.access._forwarding import base_of
from qinspired.access._row_reader import RowReader
from qinspired.access._sampler import AliasTable
from qinspired.access.derived._sources import naming, scaled_norm
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["ShardedMatrix", "vstack"]


class ShardedMatrix(RowReader):
    """Matrix of row blocks (shards), each with its own sample-and-query access; phi = 1.

    Parameters
    ----------
    shards : list or tuple
        At least one; each an array, a sparse matrix or an object with sample-and-query access, all of one width n. A
        matrix that can change is kept as it is, not pinned: its changes are seen. A derived matrix is indexed first.
        An index that is to wait (`as_sq_matrix(X, index="later")`) waits until a norm or a draw is asked for.

    Raises
    ------
    ValueError
        If there is no shard, the widths differ, or the whole norm overflows.
    TypeError
        If `shards` is no list or tuple, or a shard no matrix.

    Notes
    -----
    A row is drawn by drawing a shard by its squared Frobenius norm, then a row of it, which is the law of the whole.
    Blocks are sparse if all shards are, else dense, and of the widest type among the shards.
    Cost: 24 bytes a shard beyond the shards; a draw costs one of a shard. Norms are asked of the shards each time.
    An exception that a shard raises says in a note which one it was.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.ShardedMatrix([np.eye(2), 2 * np.eye(2)])
    >>> A.shape, A.row_norms()
    ((4, 2), array([1., 1., 2., 2.]))
    >>> A.locate([1, 2])
    (array([0, 1]), array([1, 0]))
    """

    def __init__(self, shards: Sequence[Any]) -> None:
        if not isinstance(shards, list | tuple):
            raise TypeError(f"`shards` must be a list or tuple of matrices; got {type(shards).__name__}.")
        if not shards:
            raise ValueError("`shards` must have at least one matrix; got none.")
        found: list[Any] = []
        for k, shard in enumerate(shards):
            with naming(f"shard {k} of {len(shards)}"):
                found.append(shard if has_access(shard) else as_sq_matrix(shard))
        for k, shard in enumerate(found):
            if shard.shape[1] != found[0].shape[1]:
                raise ValueError(
                    "`shards` must have the same number of columns; "
                    f"shard 0 has {found[0].shape[1]} and shard {k} has {shard.shape[1]}."
                )
        self._shards: tuple[Any, ...] = tuple(found)
        self._dtype: np.dtype[Any] = np.result_type(*(shard.dtype for shard in found))
        self._is_sparse = all(shard.is_sparse for shard in found)
        self._table: tuple[int, AliasTable] | None = None
        if all(getattr(base_of(shard), "has_index", True) for shard in found):
            self._norms()  # refuses an overflow; of a shard whose index is to wait, when it is there

    @property
    def shards(self) -> tuple[Any, ...]:
        """The matrices, from the top."""
        return self._shards

    @property
    def _offsets(self) -> IntArray:
        # Asked each time: a shard may have grown by rows.
        return np.cumsum([0, *(shard.shape[0] for shard in self._shards)], dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return int(self._offsets[-1]), int(self._shards[0].shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries: float32 if all shards are, else float64."""
        return self._dtype

    @property
    def version(self) -> int:
        """Sum of the versions of the shards that can change; it grows with each update of any of them."""
        return sum(int(getattr(shard, "version", 0)) for shard in self._shards)

    @property
    def is_sparse(self) -> bool:
        """Whether all shards are sparse."""
        return self._is_sparse

    @property
    def whole_rows(self) -> bool:
        """Whether rows may be read whole, those of every shard."""
        return all(getattr(base_of(shard), "whole_rows", True) for shard in self._shards)

    @property
    def n_stored(self) -> int:
        """Stored entries of all shards; m n if one is dense."""
        return sum(shard.n_stored for shard in self._shards) if self.is_sparse else super().n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry, its column index included if sparse."""
        return max(shard.entry_bytes for shard in self._shards) if self.is_sparse else super().entry_bytes

    @property
    def index_seconds(self) -> float:
        """Seconds that the index passes of the shards took."""
        return float(sum(shard.index_seconds for shard in self._shards))

    @property
    def frobenius_norm(self) -> float:
        """Frobenius norm, from those of the shards."""
        return scaled_norm(self._norms())

    def _norms(self) -> Float64Array:
        norms = np.array(self._asked(lambda shard: shard.frobenius_norm))
        if scaled_norm(norms) == np.inf:
            raise ValueError(
                "`shards` must have a Frobenius norm below 1.8e308 together; it overflows. Divide them by a constant."
            )
        return norms

    def _asked(self, ask: Callable[[Any], Any]) -> list[Any]:
        """Return what each shard answers, from the top."""
        answers = []
        for k, shard in enumerate(self._shards):
            with self._naming(k):
                answers.append(ask(shard))
        return answers

    def _naming(self, k: int) -> AbstractContextManager[None]:
        return naming(f"shard {k} of {len(self._shards)}; it counts its rows from 0")

    def locate(self, rows: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        """Return the shard of each given row, and the row's number in it.

        Parameters
        ----------
        rows : array_like of int, shape (k,)

        Returns
        -------
        shards, local_rows : ndarrays of int64, shape (k,)
        """
        rows, offsets = self._check_rows(rows), self._offsets
        owners = np.searchsorted(offsets, rows, side="right") - 1
        return owners, rows - offsets[owners]

    def _routed(self, rows: IntArray) -> Iterator[tuple[int, Any, IntArray, IntArray]]:
        """Yield (number, shard, positions in `rows`, local rows) for each shard that is asked, from the top."""
        owners, local = self.locate(rows)
        for k, here in self._grouped(owners):
            yield k, self._shards[k], here, local[here]

    def _grouped(self, owners: IntArray) -> Iterator[tuple[int, IntArray]]:
        """Yield (number, positions) for each shard that occurs, from the top."""
        # numpy sorts integers of 16 bits by radix, in linear time.
        small = owners.astype(np.uint16) if len(self._shards) < 2**16 else owners
        order = np.argsort(small, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=len(self._shards)))
        for k in np.flatnonzero(np.diff(ends, prepend=0)):
            yield int(k), order[ends[k - 1] if k else 0 : ends[k]]

    def _filled(self, out: Any, rows: IntArray, ask: Callable[[Any, IntArray, IntArray], Any]) -> Any:
        """Fill in what each shard answers for its local rows, which are at given positions in `rows`."""
        for k, shard, here, local in self._routed(rows):
            with self._naming(k):
                out[here] = ask(shard, local, here)
        return out

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the Euclidean norms of the given rows, or of all rows, from the shards' indexes."""
        if rows is None:
            return np.concatenate(self._asked(lambda shard: shard.row_norms()))
        rows = self._check_rows(rows)
        return np.asarray(self._filled(np.empty(len(rows)), rows, lambda shard, local, _: shard.row_norms(local)))

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row."""
        if not self.is_sparse:
            return super().row_lengths(rows)
        rows = self._check_rows(rows)
        out = np.empty(len(rows), dtype=np.int64)
        return np.asarray(self._filled(out, rows, lambda shard, local, _: shard.row_lengths(local)))

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2; as `RowStorage.sample_rows`."""
        n_draws, generator = check_count(n_draws, "n_draws"), as_generator(rng)
        offsets = self._offsets
        rows = np.empty(n_draws, dtype=np.int64)
        for k, here in self._grouped(self._shard_table().sample(n_draws, generator)):
            with self._naming(k):
                rows[here] = offsets[k] + self._shards[k].sample_rows(len(here), generator)
        return rows

    def _shard_table(self) -> AliasTable:
        # Asked again after every update of a shard; a shard without a version does not change.
        version = self.version
        if self._table is None or self._table[0] != version:
            norms = self._norms()
            if not norms.any():
                raise ZeroMassError(
                    f"`A` of shape {self.shape} has only zero entries, so no row can be drawn; "
                    "give it a non-zero entry."
                )
            self._table = (version, AliasTable(norms, exponent=2))
        return self._table[1]

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(j) = A_ij^2 / |A_i|^2; as `RowReader.sample_cols`, in its shard."""
        rows = self._check_rows(rows)
        generator = as_generator(rng)
        out = np.empty(len(rows), dtype=np.int64)
        return np.asarray(self._filled(out, rows, lambda shard, local, _: shard.sample_cols(local, generator)))

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        out = np.empty(len(rows), dtype=self.dtype)
        return np.asarray(self._filled(out, rows, lambda shard, local, here: shard.query(local, cols[here])))

    def _read_rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        if not self.is_sparse:
            out = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
            return np.asarray(self._filled(out, rows, lambda shard, local, _: self._as_block(shard.rows(local))))
        if not len(rows):
            return sp.csr_array((0, self.shape[1]), dtype=self.dtype)
        parts, places = [], []
        for k, shard, here, local in self._routed(rows):
            with self._naming(k):
                parts.append(self._as_block(shard.rows(local)))
            places.append(here)
        return sp.csr_array(_stacked(parts)[np.argsort(np.concatenate(places))])

    def _as_block(self, block: Any) -> Any:
        if not isinstance(block, np.ndarray) and not self.is_sparse:
            block = block.toarray()
        return block if block.dtype == self.dtype else block.astype(self.dtype)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block); a block that spans shards is a copy."""
        m, rows_per_block = self.shape[0], check_count(rows_per_block, "rows_per_block", low=1)
        start, parts, needed = 0, list[Any](), min(rows_per_block, m)
        for k, shard in enumerate(self._shards):
            with self._naming(k):
                for _, block in shard.row_blocks(rows_per_block):
                    low = 0
                    while low < block.shape[0]:
                        part = self._as_block(block[low : low + needed])
                        parts.append(part)
                        low += part.shape[0]
                        needed -= part.shape[0]
                        if needed == 0:
                            yield start, parts[0] if len(parts) == 1 else _stacked(parts)
                            start += sum(part.shape[0] for part in parts)
                            parts, needed = [], min(rows_per_block, m - start)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X, shard by shard."""
        return np.concatenate(self._asked(lambda shard: shard.matmul(X)))

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y, the sum over the shards."""
        Y = check_factor(Y, self.shape[0], "Y", "rows")
        total = np.zeros((self.shape[1], *Y.shape[1:]), dtype=np.result_type(self.dtype, Y.dtype))
        offsets = self._offsets
        for k, shard in enumerate(self._shards):
            with self._naming(k):
                total += shard.rmatmul(Y[offsets[k] : offsets[k + 1]])
        return total

    def update(self, rows: npt.ArrayLike, cols: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Set entries A[rows, cols] = values in the shards that hold them: all of them, or none.

        Parameters
        ----------
        rows, cols : array_like of int
            Broadcast with `values`.
        values : array_like
            Finite numbers.

        Raises
        ------
        TypeError
            If a shard that is named cannot be updated; nothing is changed.
        ValueError, IndexError
            If a value is not finite, an index out of range, or the shapes do not broadcast; nothing is changed.

        Notes
        -----
        The old entries are read first. If a shard raises, they are written back to it and to the shards before it, and
        the exception goes on; `version` has then grown, since the shards changed and changed back.
        """
        array = native_float(np.asarray(values), "values")
        bad = first_nonfinite(array)
        if bad is not None:
            raise_nonfinite("values", bad, array[bad])
        flat_rows, flat_cols, flat_values = flat_entries(
            check_indices(rows, self.shape[0], "rows", ndim=None),
            check_indices(cols, self.shape[1], "cols", ndim=None),
            array,
        )
        plan = []
        for k, shard, here, local in self._routed(flat_rows):
            if not callable(getattr(shard, "update", None)):
                raise TypeError(
                    f"`rows` must name rows of shards that can be updated; shard {k}, a {type(shard).__name__}, "
                    "cannot. Make it a DynamicMatrix."
                )
            with self._naming(k):
                old = shard.query(local, flat_cols[here])
            plan.append((k, shard, local, flat_cols[here], flat_values[here], old))
        started = 0
        try:
            for k, shard, local, at, new, _ in plan:
                started += 1
                with self._naming(k):
                    shard.update(local, at, new)
            self._norms()  # refuses an overflow
        except BaseException as error:  # Ctrl-C between two shards must not leave half an update either
            for k, shard, local, at, _, old in reversed(plan[:started]):
                _write_back(k, shard, local, at, old, error)
            raise

    def __repr__(self) -> str:
        m, n = self.shape
        return f"ShardedMatrix(shape=({m}, {n}), dtype={self.dtype}, n_shards={len(self._shards)})"


def _stacked(parts: list[Any]) -> Any:
    if sp.issparse(parts[0]):
        return sp.csr_array(sp.vstack(parts, format="csr"))
    return np.concatenate(parts)


def _write_back(k: int, shard: Any, rows: IntArray, cols: IntArray, old: FloatArray, error: BaseException) -> None:
    try:
        if not np.array_equal(shard.query(rows, cols), old):
            shard.update(rows, cols, old)
    except Exception as failure:
        error.add_note(f"shard {k} could not be set back to its old entries: {failure}")


def vstack(blocks: Sequence[Any]) -> ShardedMatrix:
    """Matrix of the given row blocks, one above the other, with draws from the whole; as `ShardedMatrix(blocks)`.

    Parameters
    ----------
    blocks : list or tuple
        Matrices of one width: arrays, sparse matrices, objects with sample-and-query access, derived matrices.

    Returns
    -------
    ShardedMatrix

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.vstack([np.ones((2, 3)), 2 * np.ones((1, 3))])
    >>> A.rows([2])
    array([[2., 2., 2.]])
    """
    return ShardedMatrix(blocks)
