"""Sums of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_vector
from qinspired.access._convert import as_sq_matrix
from qinspired.access.derived._oversampled import OversampledMatrix
from qinspired.access.derived._sources import finite_bound, naming, scaled_norm, working_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["SumMatrix", "add"]


def add(*matrices: Any, coefficients: npt.ArrayLike | None = None) -> SumMatrix:
    """Sum A = c_1 A_1 + ... + c_t A_t of matrices, never formed as a whole.

    Parameters
    ----------
    *matrices : array_like, sparse matrices, or objects with sample-and-query access, each of shape (m, n)
        At least one. A derived matrix is indexed first, by one pass.
    coefficients : array_like, shape (t,), optional
        Finite numbers; by default all are 1.

    Returns
    -------
    SumMatrix
        Sparse if all matrices are; float32 if all are, unless the coefficients leave its range.

    Raises
    ------
    ValueError
        If there is no matrix, the shapes differ, or a coefficient is NaN or infinite.

    Notes
    -----
    Bound: A~_ij^2 = tau sum_t c_t^2 A_t,ij^2 >= A_ij^2 by Cauchy-Schwarz, with tau terms of c_t != 0. So
    phi = tau sum_t c_t^2 |A_t|_F^2 / |A|_F^2: it is 2 for two matrices that do not overlap, 1 for equal ones, and grows
    without limit where the terms cancel [1]_.
    Cost: a row or an entry costs one of each term; products are the sum of the terms' products.

    References
    ----------
    .. [1] N.-H. Chia, A. Gilyen, T. Li, H.-H. Lin, E. Tang, C. Wang, "Sampling-based sublinear low-rank matrix
       arithmetic framework for dequantizing quantum machine learning", STOC 2020, linear combinations.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A, B = np.diag([1.0, 2.0]), np.diag([3.0, 0.0])
    >>> total = qi.add(A, B, coefficients=[1.0, -1.0])
    >>> total.rows([0, 1])
    array([[-2.,  0.],
           [ 0.,  2.]])
    >>> round(total.phi(), 12)  # 2 (1 + 4 + 9) / 8
    3.5
    """
    if not matrices:
        raise ValueError("`matrices` must have at least one matrix; got none.")
    sources = []
    for t, X in enumerate(matrices):
        with naming(f"matrix {t} of the sum"):
            sources.append(as_sq_matrix(X))
    for t, A in enumerate(sources):
        if A.shape != sources[0].shape:
            raise ValueError(
                f"`matrices` must have one shape; matrix 0 has {sources[0].shape} and matrix {t} has {A.shape}."
            )
    if coefficients is None:
        return SumMatrix(sources, np.ones(len(sources)))
    array = np.asarray(coefficients)
    if array.shape != (len(sources),):
        raise ValueError(
            f"`coefficients` must have one number for each of the {len(sources)} matrices; got shape {array.shape}."
        )
    return SumMatrix(sources, check_vector(array, len(sources), "coefficients", matrix="the sum"))


class SumMatrix(OversampledMatrix):
    """Oversampling access to a sum of matrices; made by `add`."""

    def __init__(self, sources: list[SampleQueryMatrix], coefficients: Float64Array) -> None:
        self._sources = sources
        used = [(float(c), A) for c, A in zip(coefficients, sources, strict=True) if c != 0.0]
        self._terms: list[tuple[float, SampleQueryMatrix]] = used or [(0.0, sources[0])]
        with np.errstate(over="ignore"):
            sizes = np.array([abs(c) * A.frobenius_norm for c, A in self._terms])
            bound = float(np.sqrt(len(sizes))) * scaled_norm(sizes)
        self._bound_norm = finite_bound(bound, "coefficients")
        # Each factor must fit the type too, or its products overflow or vanish before they are added.
        narrow = np.result_type(*(A.dtype for A in sources))
        factors = [1.0, self._bound_norm, *(abs(c) for c, _ in used)]
        self._dtype = max((working_dtype(narrow, factor) for factor in factors), key=lambda kind: kind.itemsize)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        for A in self._sources:
            shape = A.shape  # each is asked: one that was updated since refuses
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._dtype

    @property
    def is_sparse(self) -> bool:
        """Whether all terms are sparse."""
        return all(A.is_sparse for A in self._sources)

    @property
    def n_stored(self) -> int:
        """Stored entries; of a sparse sum those of its terms."""
        return sum(A.n_stored for _, A in self._terms) if self.is_sparse else super().n_stored

    @property
    def entry_bytes(self) -> int:
        """Bytes of one stored entry, its column index included if sparse."""
        return max(A.entry_bytes for _, A in self._terms) if self.is_sparse else super().entry_bytes

    def row_lengths(self, rows: npt.ArrayLike) -> IntArray:
        """Return the number of stored entries of each given row; of a sparse sum those of its terms."""
        rows = self._check_rows(rows)
        if not self.is_sparse:
            return super().row_lengths(rows)
        lengths: IntArray = np.sum([A.row_lengths(rows) for _, A in self._terms], axis=0)
        return lengths

    @property
    def bound_norm(self) -> float:
        """Root of tau sum_t c_t^2 |A_t|_F^2."""
        return self._bound_norm

    def bound_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the roots of tau sum_t c_t^2 |A_t,i|^2 of the given rows, or of all, from the terms' indexes."""
        sizes = [abs(c) * A.row_norms(rows) for c, A in self._terms]
        bounds: Float64Array = np.sqrt(len(sizes)) * np.hypot.reduce(sizes, axis=0)
        return bounds

    def _read_rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        total: Any = None
        for c, A in self._terms:
            block: Any = A.rows(rows)
            if not isinstance(block, np.ndarray) and not self.is_sparse:
                block = block.toarray()
            term = block.astype(self._dtype, copy=False) * self._dtype.type(c)
            total = term if total is None else total + term
        return sp.csr_array(total) if self.is_sparse else np.ascontiguousarray(total)

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        total = np.zeros(len(rows), dtype=self._dtype)
        for c, A in self._terms:
            total += A.query(rows, cols).astype(self._dtype, copy=False) * self._dtype.type(c)
        return total

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return A X, the sum of the terms' products."""
        X = X.astype(np.result_type(self._dtype, X.dtype), copy=False)
        total: FloatArray = sum(c * A.matmul(X) for c, A in self._terms)  # type: ignore[assignment]
        return total

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return A^T Y, the sum of the terms' products."""
        Y = Y.astype(np.result_type(self._dtype, Y.dtype), copy=False)
        total: FloatArray = sum(c * A.rmatmul(Y) for c, A in self._terms)  # type: ignore[assignment]
        return total

    def __repr__(self) -> str:
        return f"SumMatrix(shape={self.shape}, n_terms={len(self._sources)})"
