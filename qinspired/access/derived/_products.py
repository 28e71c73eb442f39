"""Products of a matrix with a small one, from the right and from the left."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_indices, check_matrix
from qinspired.access._convert import as_sq_matrix
from qinspired.access._row_reader import rows_per_block
from qinspired.access.derived._oversampled import OversampledMatrix
from qinspired.access.derived._sources import finite_bound, scaled_norm, working_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["CombinedRows", "ProductMatrix", "combine_rows", "multiply"]


def multiply(A: Any, B: npt.ArrayLike) -> ProductMatrix:
    """Product A B of a matrix with a small dense one, never formed as a whole.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        A derived matrix is indexed first, by one pass.
    B : array_like or sparse matrix, shape (n, p)
        Finite; held in memory.

    Returns
    -------
    ProductMatrix
        Of shape (m, p), dense.

    Raises
    ------
    ValueError
        If `B` is not finite, or has not n rows.

    Notes
    -----
    Bound: |A_i B| <= |A_i| |B|_2, the spectral norm, so that rows are proposed by the norms of A and
    phi = |A|_F^2 |B|_2^2 / |A B|_F^2, at most the squared condition number of a square B [1]_.
    Cost: one SVD of B; a row costs a row of A and n p multiplications; products with X cost one pass over A.

    References
    ----------
    .. [1] N.-H. Chia, A. Gilyen, T. Li, H.-H. Lin, E. Tang, C. Wang, "Sampling-based sublinear low-rank matrix
       arithmetic framework for dequantizing quantum machine learning", STOC 2020. Differs from [1]_: B is small and
       known, so a row of the product is formed, and only its norm is bounded.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> product = qi.multiply(np.eye(3), np.array([[1.0, 2.0], [0.0, 1.0], [0.0, 0.0]]))
    >>> product.rows([0])
    array([[1., 2.]])
    >>> product.phi() < 3
    True
    """
    source = as_sq_matrix(A)
    checked = check_matrix(B, "B")
    right = checked if isinstance(checked, np.ndarray) else np.ascontiguousarray(checked.toarray())
    if right.shape[0] != source.shape[1]:
        raise ValueError(
            f"`B` must have one row for each of the {source.shape[1]} columns of `A`; got shape {right.shape}."
        )
    return ProductMatrix(source, right)


class ProductMatrix(OversampledMatrix):
    """Oversampling access to A B; made by `multiply`."""

    def __init__(self, source: SampleQueryMatrix, right: FloatArray) -> None:
        self._source = source
        self._spectral = _spectral_norm(right)
        with np.errstate(over="ignore"):
            self._bound_norm = finite_bound(float(np.float64(source.frobenius_norm) * self._spectral), "B")
        self._dtype = working_dtype(np.result_type(source.dtype, right.dtype), self._bound_norm)
        self._right: FloatArray = right.astype(self._dtype, copy=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, p)."""
        return self._source.shape[0], self._right.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._dtype

    @property
    def bound_norm(self) -> float:
        """|A|_F |B|_2."""
        return self._bound_norm

    def bound_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return |A_i| |B|_2 for the given rows, or all, from the index of A."""
        return self._source.row_norms(rows) * self._spectral

    def _read_rows(self, rows: IntArray) -> FloatArray:
        return np.ascontiguousarray(self._source.rows(rows) @ self._right)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray]]:
        """Go through the rows once, as (first row, block), by one pass over A."""
        for start, block in self._source.row_blocks(rows_per_block):
            yield start, np.ascontiguousarray(block @ self._right)

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A (B X) by one pass over A."""
        return self._source.matmul(self._right @ X)

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return B^T (A^T Y) by one pass over A."""
        product: FloatArray = self._right.T @ self._source.rmatmul(Y)
        return product

    def __repr__(self) -> str:
        return f"ProductMatrix(shape={self.shape}, left={self._source!r})"


def combine_rows(A: Any, M: npt.ArrayLike, rows: npt.ArrayLike | None = None) -> CombinedRows:
    """Product M A[rows]: p combinations of given rows of a matrix, never formed as a whole.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        A derived matrix is indexed first, by one pass.
    M : array_like or sparse matrix, shape (p, r)
        Coefficients, finite; held in memory, dense.
    rows : array_like of int, shape (r,), optional
        Rows of A, repeats allowed; by default all of them, and r = m.

    Returns
    -------
    CombinedRows
        Of shape (p, n), sparse if A is.

    Raises
    ------
    ValueError
        If `M` is not finite, or has not r columns.
    IndexError
        If a row is out of range.

    Notes
    -----
    Bound: with r_i terms of non-zero size in row i, |A~_i|^2 = r_i sum_s M_is^2 |A_s|^2 by Cauchy-Schwarz, so that
    phi = sum_i r_i sum_s M_is^2 |A_s|^2 / |M A|_F^2; for one row that of `RowCombination` [1]_.
    Cost: a row costs r rows of A; an entry r entries.

    References
    ----------
    .. [1] N.-H. Chia, A. Gilyen, T. Li, H.-H. Lin, E. Tang, C. Wang, "Sampling-based sublinear low-rank matrix
       arithmetic framework for dequantizing quantum machine learning", STOC 2020, linear combinations.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> mixed = qi.combine_rows(np.eye(4), [[1.0, 1.0], [2.0, 0.0]], rows=[0, 3])
    >>> mixed.rows([0, 1])
    array([[1., 0., 0., 1.],
           [2., 0., 0., 0.]])
    >>> round(mixed.phi(), 12)  # (2 (1 + 1) + 4) / 6
    1.333333333333
    """
    source = as_sq_matrix(A)
    used = np.arange(source.shape[0]) if rows is None else check_indices(rows, source.shape[0], "rows")
    checked = check_matrix(M, "M")
    left = checked if isinstance(checked, np.ndarray) else np.ascontiguousarray(checked.toarray())
    if left.shape[1] != len(used):
        raise ValueError(f"`M` must have one column for each of the {len(used)} rows of `A`; got shape {left.shape}.")
    return CombinedRows(source, left, used)


class CombinedRows(OversampledMatrix):
    """Oversampling access to M A[rows]; made by `combine_rows`."""

    def __init__(self, source: SampleQueryMatrix, left: FloatArray, used: IntArray) -> None:
        self._source, self._used = source, used
        with np.errstate(over="ignore"):
            sizes = np.abs(left.astype(np.float64)) * source.row_norms(used)
            self._bounds: Float64Array = np.sqrt(np.count_nonzero(sizes, axis=1)) * np.hypot.reduce(sizes, axis=1)
        self._bound_norm = finite_bound(scaled_norm(self._bounds), "M")
        # The coefficients are as wide as the result: in float32 a large one would overflow before it is multiplied.
        narrow = np.result_type(source.dtype, left.dtype)
        factors = (self._bound_norm, float(np.abs(left).max()))
        self._dtype = max((working_dtype(narrow, factor) for factor in factors), key=lambda kind: kind.itemsize)
        self._left: FloatArray = left.astype(self._dtype, copy=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (p, n)."""
        return self._left.shape[0], self._source.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._dtype

    @property
    def is_sparse(self) -> bool:
        """Whether A is sparse."""
        return self._source.is_sparse

    @cached_property
    def _n_read(self) -> int:
        return int(self._source.row_lengths(self._used).sum())

    @property
    def n_stored(self) -> int:
        """Stored entries; of a sparse combination at most those of its rows, p times."""
        return self.shape[0] * self._n_read if self.is_sparse else super().n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry, its column index included if sparse."""
        return self._source.entry_bytes if self.is_sparse else super().entry_bytes

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row; of a sparse one at most those of its terms."""
        rows = self._check_rows(rows)
        return np.full(len(rows), self._n_read) if self.is_sparse else super().row_lengths(rows)

    @property
    def bound_norm(self) -> float:
        """Root of sum_i r_i sum_s M_is^2 |A_s|^2."""
        return self._bound_norm

    def bound_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the roots of r_i sum_s M_is^2 |A_s|^2 for the given rows, or all."""
        return self._bounds.copy() if rows is None else self._bounds[self._check_rows(rows)]

    def _source_blocks(self) -> Iterator[tuple[slice, FloatArray | sp.csr_array[Any]]]:
        step = rows_per_block(self._source.shape[1])
        for start in range(0, len(self._used), step):
            part = slice(start, min(start + step, len(self._used)))
            yield part, self._source.rows(self._used[part])

    def _read_rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        if self.is_sparse:
            mixed: Any = sp.csr_array((len(rows), self.shape[1]), dtype=self._dtype)
            for part, block in self._source_blocks():
                mixed = mixed + sp.csr_array(self._left[rows, part]) @ block
            block = sp.csr_array(mixed)
            block.sum_duplicates()
            return block
        total = np.zeros((len(rows), self.shape[1]), dtype=self._dtype)
        for part, block in self._source_blocks():
            total += self._left[rows, part] @ block
        return total

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        values = np.empty(len(rows), dtype=self._dtype)
        step = rows_per_block(max(1, len(self._used)))
        for start in range(0, len(rows), step):
            here = slice(start, start + step)
            block = self._source.query(self._used[:, None], cols[None, here])
            values[here] = np.einsum("is,si->i", self._left[rows[here]], block)
        return values

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return M (A[rows] X); reads the r rows once."""
        total = np.zeros((self.shape[0], *X.shape[1:]), dtype=np.result_type(self._dtype, X.dtype))
        for part, block in self._source_blocks():
            total += self._left[:, part] @ (block @ X)
        return total

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A[rows]^T (M^T Y); reads the r rows once."""
        total = np.zeros((self.shape[1], *Y.shape[1:]), dtype=np.result_type(self._dtype, Y.dtype))
        for part, block in self._source_blocks():
            total += block.T @ (self._left[:, part].T @ Y)
        return total

    def __repr__(self) -> str:
        return f"CombinedRows(shape={self.shape}, n_terms={len(self._used)}, source={self._source!r})"


def _spectral_norm(B: FloatArray) -> float:
    # Scaled, so that no singular value overflows; the largest one may be an ulp low, which acceptance tolerates.
    largest = float(np.abs(B).max())
    if largest == 0.0:
        return 0.0
    return largest * float(np.linalg.norm(B.astype(np.float64) / largest, 2))
