"""Matrices whose rows, entries and norms are computed when they are asked for."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_entries, check_positive, check_vector
from qinspired.access._row_reader import rows_per_block
from qinspired.access._row_storage import RowStorage, length_of
from qinspired.access._user_functions import UserFunctions, refuse_contradicted
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray, RNGLike

__all__ = ["ImplicitMatrix"]

_LARGEST_PASS = 10**12  # entries; at 1e8 a second, some three hours
_LARGEST_TABLE = 10**9  # bytes of row norms
_LARGEST_BLOCK = 2**32  # bytes of one answer of `rows`
_LARGEST_OVERSAMPLING = 1e7
_PROPOSALS_PER_ROUND = 2**17
_NORMS_PER_CALL = 10**6
_PROBED_ROWS = 16


class ImplicitMatrix(RowStorage):
    """Sample-and-query access to a matrix that is computed on demand and never formed.

    Parameters
    ----------
    row_norms : array_like of shape (m,), callable, or None
        The row norms; or a function from rows, of shape (q,), to their norms, of shape (q,), and then no table of m
        norms is made; or None, and they are computed by one pass over the rows.
    row_function : callable or None
        From rows, of shape (q,), to the block A[rows] of shape (q, n): always a new array, or always CSR. With an
        `entry_bound` it must be an array.
    shape : (int, int)
        Rows and columns, (m, n).
    entry_function : callable, optional
        From rows and cols to A[rows, cols]; the two arrays broadcast, as in X[rows, cols]. At least one of
        `row_function` and `entry_function` is needed; the other follows from it, by reading whole rows or n entries.
    norm_bound : float, optional
        A number that no row norm exceeds. Needed with a callable `row_norms`.
    entry_bound : float or callable, optional
        A number that no entry exceeds in size; or a function from rows, of shape (q,), to such a number for each.
        With it and `entry_function`, columns are drawn without reading a row.
    frobenius_norm : float, optional
        |A|_F. Needed with a callable `row_norms`; an array of norms gives it.
    dtype : float32 or float64, default=float64
        Type of the entries; what the functions return is converted to it.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or missing; later, if a function returns something of a wrong shape or type, a
        NaN or an infinity, a norm or an entry above its bound, or a row whose norm is not the stated one. The message
        names the row. An error that a function raises comes through unchanged.

    Notes
    -----
    Cost: with an array of norms, as `as_sq_matrix`. With a callable, a row is proposed uniformly and accepted with
    probability (norm / norm_bound)^2: m norm_bound^2 / |A|_F^2 proposals a draw in expectation, whatever m is. With
    `entry_bound`, a column of row i takes n bound_i^2 / |A_i|^2 proposals, each of one entry; else it is drawn from
    the whole row. Passes over more than 1e12 entries, tables of more than 1e9 bytes of norms and blocks of more than
    4 GiB are refused. The number of stored entries of an implicit sparse matrix is estimated from 16 rows.
    Error: draws are exact if the norms and bounds are. Every norm, entry and row that is read is checked against
    them, and so is the number of proposals against |A|_F; what is not read is believed.

    Examples
    --------
    A Gaussian kernel matrix whose rows are computed on demand: once for the norms, then only those drawn.

    >>> import numpy as np
    >>> import qinspired as qi
    >>> points = np.random.default_rng(0).standard_normal((2000, 2))
    >>> def kernel(rows):
    ...     return np.exp(-0.5 * ((points[rows, None] - points) ** 2).sum(axis=-1))
    >>> K = qi.ImplicitMatrix(None, kernel, shape=(2000, 2000))
    >>> approx = qi.low_rank(K, 3, tolerance=0.2, method="gram", rng=0)
    >>> bool(approx.excess.high <= 0.2), K.rows_computed < 2600
    (True, True)

    A matrix too large for its norms or a row, by rejection:

    >>> problem = qi.problems.virtual_low_rank_matrix((10**9, 10**9), 0.5 ** np.arange(8))
    >>> A = qi.ImplicitMatrix(**problem.access)
    >>> rows = A.sample_rows(100, rng=0)
    >>> A.sample_cols(rows, rng=0).shape, A.rows_computed
    ((100,), 0)
    """

    def __init__(
        self,
        row_norms: npt.ArrayLike | Callable[[IntArray], Any] | None,
        row_function: Callable[[IntArray], Any] | None,
        *,
        shape: tuple[int, int],
        entry_function: Callable[[IntArray, IntArray], Any] | None = None,
        norm_bound: float | None = None,
        entry_bound: float | Callable[[IntArray], Any] | None = None,
        frobenius_norm: float | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        started = time.perf_counter()
        norm_function = row_norms if callable(row_norms) else None
        self._ask = UserFunctions(shape, dtype, row_function, entry_function, norm_function, norm_bound, entry_bound)
        self._shape, self._dtype = self._ask.shape, self._ask.dtype
        self._given_norm = None if frobenius_norm is None else check_positive(frobenius_norm, "frobenius_norm")
        self._known_norms: Float64Array | None = None
        self._stored_per_row: float | None = None
        if callable(row_norms):
            self._check_rejection()
            self._index_seconds = time.perf_counter() - started
            return
        if row_norms is None:
            self._refuse_large_table()
            self._refuse_pass()
            norms = self._compute_norms()
        else:
            norms = check_vector(row_norms, self._shape[0], "row_norms")
            if (norms < 0.0).any():
                row = int(np.argmax(norms < 0.0))
                raise ValueError(f"`row_norms` must be >= 0; got row_norms[{row}] = {norms[row]}.")
            norms = norms.copy()
        self._ask.refuse_above_bound(np.arange(len(norms)), norms)
        super().__init__(self._shape, self._dtype, norms)
        self._known_norms = norms
        if self._given_norm is not None and abs(self._given_norm / (self.frobenius_norm or 1.0) - 1.0) > 1e-6:
            raise ValueError(
                f"`frobenius_norm` must be that of the row norms, {self.frobenius_norm}; got {self._given_norm}. "
                "Leave it out."
            )
        self._index_seconds = time.perf_counter() - started

    def _check_rejection(self) -> None:
        if self._ask.norm_bound is None or self._given_norm is None:
            missing = "norm_bound" if self._ask.norm_bound is None else "frobenius_norm"
            raise ValueError(
                f"`{missing}` must be given where `row_norms` is a function: rows are drawn by rejection, and no pass "
                "computes it."
            )
        phi = self._shape[0] * (self._ask.norm_bound / self._given_norm) ** 2
        if phi < 1.0 - 1e-6:
            most = math.sqrt(self._shape[0]) * self._ask.norm_bound
            raise ValueError(f"`frobenius_norm` must be at most sqrt(m) `norm_bound` = {most}; got {self._given_norm}.")
        if phi > _LARGEST_OVERSAMPLING:
            raise ValueError(
                f"`norm_bound` must not be so loose: a draw would take m norm_bound^2 / |A|_F^2 = {phi:.3g} proposals, "
                f"of at most {_LARGEST_OVERSAMPLING:g}. Give the row norms as an array."
            )

    @property
    def entries_computed(self) -> int:
        """Entries that were asked of the functions so far, proposals and whole rows included."""
        return self._ask.entries_computed

    @property
    def rows_computed(self) -> int:
        """Whole rows that were asked of the functions so far."""
        return self._ask.rows_computed

    @property
    def row_oversampling(self) -> float:
        """Expected proposals for the draw of a row: 1 with an array of norms, else m norm_bound^2 / |A|_F^2."""
        if self._ask.norm_function is None or self._ask.norm_bound is None:
            return 1.0
        return self._shape[0] * (self._ask.norm_bound / self.frobenius_norm) ** 2

    @property
    def whole_rows(self) -> bool:
        """Whether rows may be read whole; False with an `entry_bound`, which says that n is too large for it."""
        return self._ask.entry_bound is None

    @cached_property
    def frobenius_norm(self) -> float:
        """Frobenius norm |A|_F, from the norms or as given."""
        if self._ask.norm_function is not None and self._given_norm is not None:
            return self._given_norm
        return length_of(self._norms)

    @property
    def is_sparse(self) -> bool:
        """Whether `row_function` gives CSR blocks; its first block tells."""
        if self._ask.gives_csr is None:
            self._ask.rows(np.zeros(1, dtype=np.int64))
        return bool(self._ask.gives_csr)

    @property
    def n_stored(self) -> int:
        """Entries, m n if dense; if sparse, an estimate from 16 evenly spaced rows."""
        m, n = self._shape
        if not self.is_sparse:
            return m * n
        if self._stored_per_row is None:
            block = self._ask.rows(np.unique(np.linspace(0, m - 1, _PROBED_ROWS).astype(np.int64)))
            self._stored_per_row = block.nnz / block.shape[0]
        return round(m * self._stored_per_row)

    @property
    def entry_bytes(self) -> int:
        """Bytes of one entry, and of its column index if sparse."""
        return self._dtype.itemsize + (8 if self.is_sparse else 0)

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row; reads them if sparse."""
        rows = self._check_rows(rows)
        if not self.is_sparse:
            return np.full(len(rows), self._shape[1], dtype=np.int64)
        lengths: IntArray = np.diff(self._read_rows(rows).indptr).astype(np.int64)
        return lengths

    def row_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the norms of the given rows, or of all if a table of them is below 1e9 bytes."""
        if rows is not None:
            rows = self._check_rows(rows)
            return self._ask.norms(rows) if self._known_norms is None else self._known_norms[rows]
        if self._known_norms is not None:
            return self._known_norms.copy()
        self._refuse_large_table()
        m = self._shape[0]
        starts = range(0, m, _NORMS_PER_CALL)
        return np.concatenate([self._ask.norms(np.arange(s, min(s + _NORMS_PER_CALL, m))) for s in starts])

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return the entries A[rows, cols], broadcast as numpy does; one call of `entry_function` if there is one."""
        if self._ask.entry_function is None:
            return super().query(rows, cols)
        return self._ask.entries(*check_entries(rows, cols, self._shape))

    def rows(self, rows: npt.ArrayLike) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows as a (len(rows), n) block, dense or CSR; a dense one of more than 4 GiB is refused."""
        rows = self._check_rows(rows)
        size = len(rows) * self._shape[1] * self._dtype.itemsize
        if size > _LARGEST_BLOCK and not self.is_sparse:
            raise ValueError(
                f"`rows` would make a block of {size:.3g} bytes, of at most {_LARGEST_BLOCK:.3g}; read fewer rows, "
                "or use what draws and queries: low_rank(A, rank, method='fkv')."
            )
        block: FloatArray | sp.csr_array[Any] = self._read_rows(rows)
        return block

    def sample_rows(self, n_draws: int, rng: RNGLike = None) -> IntArray:
        """Draw rows with replacement, P(i) = |A_i|^2 / |A|_F^2, from a table or by rejection.

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
            If all row norms are zero.
        ValueError
            If a norm exceeds `norm_bound`, or the number of proposals contradicts `frobenius_norm`.
        """
        if self._ask.norm_function is None:
            return super().sample_rows(n_draws, rng)
        n_draws = check_count(n_draws, "n_draws")
        generator = as_generator(rng)
        phi, bound = self.row_oversampling, self._ask.norm_bound or math.inf
        accepted: list[IntArray] = []
        n_accepted = n_proposals = 0
        while n_accepted < n_draws:
            size = min(math.ceil(1.1 * phi * (n_draws - n_accepted)) + 16, _NORMS_PER_CALL)
            rows = generator.integers(0, self._shape[0], size)
            shares = self._ask.norms(rows) / bound
            hits = rows[generator.random(size) < shares**2]
            accepted.append(hits)
            n_accepted, n_proposals = n_accepted + len(hits), n_proposals + size
            refuse_contradicted(self.frobenius_norm, math.sqrt(self._shape[0]) * bound, n_accepted, n_proposals)
        return np.concatenate([*accepted, np.zeros(0, dtype=np.int64)])[:n_draws]

    def sample_cols(self, rows: npt.ArrayLike, rng: RNGLike = None) -> IntArray:
        """Draw one column for each given row, P(j) = A_ij^2 / |A_i|^2, from the row or by rejection.

        Parameters
        ----------
        rows : array_like of int, shape (n_draws,)
            A row for each draw; repeats are independent draws.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        ndarray of int64, shape (n_draws,)

        Raises
        ------
        ZeroMassError
            If a given row has only zero entries.
        ValueError
            If an entry exceeds `entry_bound`, or the norm of a row contradicts its entries.
        """
        if self._ask.entry_bound is None:
            return super().sample_cols(rows, rng)
        rows = self._check_rows(rows)
        generator = as_generator(rng)
        norms, bounds = self.row_norms(rows), self._ask.bounds(rows)
        if (norms == 0.0).any():
            row = int(rows[np.argmax(norms == 0.0)])
            raise ZeroMassError(f"`rows` must name rows with a non-zero entry; row {row} has none to draw.")
        self._ask.refuse_small_bounds(rows, norms, bounds)
        phi = self._shape[1] * (bounds / norms) ** 2
        if len(rows) and float(phi.max()) > _LARGEST_OVERSAMPLING:
            worst = int(np.argmax(phi))
            raise ValueError(
                f"`entry_bound` must not be so loose: a column of row {rows[worst]} would take n bound^2 / |A_i|^2 = "
                f"{phi[worst]:.3g} proposals, of at most {_LARGEST_OVERSAMPLING:g}."
            )
        cols = np.empty(len(rows), dtype=np.int64)
        pending, n_tried = np.arange(len(rows)), np.zeros(len(rows))
        while len(pending):
            width = math.ceil(min(float(np.median(phi[pending])), _PROPOSALS_PER_ROUND))
            part = pending[: max(1, _PROPOSALS_PER_ROUND // width)]
            found = self._ask.propose_cols(rows[part], bounds[part], width, generator)
            cols[part] = found
            n_tried[part] += width
            missed = part[found < 0]
            # A right norm is missed so often with probability exp(-60).
            hopeless = missed[n_tried[missed] > 60.0 * phi[missed]]
            if len(hopeless):
                row = int(rows[hopeless[0]])
                raise ValueError(
                    f"`row_norms` must be those of the entries; row {row} has norm {norms[hopeless[0]]}, but none of "
                    f"{int(n_tried[hopeless[0]])} columns proposed was accepted."
                )
            pending = np.concatenate([missed, pending[len(part) :]])
        return cols

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray | sp.csr_array[Any]]]:
        """Go through the rows once, as (first row, block); more than 1e12 entries are refused."""
        self._refuse_pass()
        yield from super().row_blocks(rows_per_block)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X by one pass over A, of at most 1e12 entries."""
        self._refuse_pass()
        return super().matmul(X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y by one pass over A."""
        self._refuse_pass()
        return super().rmatmul(Y)

    def _rows_per_pass(self) -> int:
        return rows_per_block(self._shape[1])  # to know the stored entries a row would be computed

    def _refuse_pass(self) -> None:
        if self.n_stored > _LARGEST_PASS:
            raise ValueError(
                f"a pass over all {self.n_stored:.3g} entries of {self!r} would never end; give the row norms, and use "
                "what draws and queries: low_rank(A, rank, method='fkv')."
            )

    def _refuse_large_table(self) -> None:
        size = 8 * self._shape[0]
        if size > _LARGEST_TABLE:
            remedy = "ask for those of some rows"
            if self._ask.norm_function is None:
                remedy = "give `row_norms` as a function, with `norm_bound` and `frobenius_norm`"
            raise ValueError(
                f"the norms of all {self._shape[0]} rows would take {size:.3g} bytes, of at most {_LARGEST_TABLE:.0e}; "
                f"{remedy}."
            )

    def _read_rows(self, rows: IntArray) -> Any:
        if not len(rows):
            empty = (0, self._shape[1])
            return sp.csr_array(empty, dtype=self._dtype) if self.is_sparse else np.zeros(empty, dtype=self._dtype)
        block = self._ask.rows(rows)
        if self._ask.norm_function is None and self._known_norms is None:
            return block  # the pass that computes the norms
        stated = self.row_norms(rows)
        self._ask.refuse_other_norms(block, rows, stated, self.frobenius_norm)
        return block
