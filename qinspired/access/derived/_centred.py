"""A matrix minus a row, its columns divided by a scale: never formed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_factor, check_vector
from qinspired.access._convert import as_sq_matrix
from qinspired.access._row_reader import rows_per_block
from qinspired.access.derived._oversampled import OversampledMatrix, block_norms
from qinspired.access.derived._sources import finite_bound, power_unit, scaled_norm, working_dtype
from qinspired.kernels import csr_row_norms

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access._protocol import SampleQueryMatrix

__all__ = ["CentredMatrix", "centred"]

# Rows are centred in blocks of this many entries, 8 MB of float64, which stay in a processor's cache.
_WORK_ENTRIES = 1_000_000

# A sparse row whose centred norm is below this share of the centre's lost 6 of 16 digits: it is summed densely.
_CANCELLED = 1e-3

# Above this ratio of the centre's share to the whole, a product minus its rank-one correction loses too many digits.
_LARGEST_AMPLIFICATION = 100.0

# A column of a spread below this many ulps of its mean is constant.
_CONSTANT_ULPS = 10.0


def centred(A: Any, center: str | npt.ArrayLike = "mean", *, scale: str | npt.ArrayLike | None = None) -> CentredMatrix:
    """Centred and scaled matrix (A - 1 mu^T) diag(1 / s), never formed: its low-rank approximation is PCA.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        A derived matrix is indexed first, by one pass. A sparse one stays sparse; only rows that are read are dense.
    center : "mean" or array_like, shape (n,), default="mean"
        The row mu that is subtracted.
    scale : "std", array_like of shape (n,), or None, default=None
        Positive divisors s of the columns; "std" is the population standard deviation, as in scikit-learn's
        `StandardScaler`, and 1 for a constant column.

    Returns
    -------
    CentredMatrix
        With `center` and `scale`, dense rows of the type of A, computed in float64.

    Raises
    ------
    ValueError
        If `center` or `scale` has not n finite entries, or a scale is not positive.

    Notes
    -----
    Bound: |a - mu|^2 <= 2 (|a|^2 + |mu|^2) for each entry, so that |A~_i|^2 = 2 (|A_i|^2 / s_min^2 + |mu / s|^2) and
    phi = 2 (|A|_F^2 / s_min^2 + m |mu / s|^2) / |(A - 1 mu^T) / s|_F^2 [1]_, constant columns left out of s_min and mu
    if they were found for "std". That is large where the mean dominates the matrix, or the scales differ widely: then
    take `as_sq_matrix` of the result, which has phi = 1 for one pass.
    Cost: one pass for "mean" or "std". A product is one with A and a rank-one correction; where that correction would
    cancel more than two digits it is made from centred blocks of rows instead.
    Error: means and deviations are summed about the mean of the first rows, and a row's norm from differences, or for
    a sparse row to 1e-10: data of mean 1e8 and deviation 1 keep 7 digits or more, all that their rounding left.

    References
    ----------
    .. [1] N.-H. Chia, A. Gilyen, T. Li, H.-H. Lin, E. Tang, C. Wang, "Sampling-based sublinear low-rank matrix
       arithmetic framework for dequantizing quantum machine learning", STOC 2020, linear combinations.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> C = qi.centred(np.array([[1.0, 5.0], [3.0, 5.0]]), scale="std")
    >>> C.center, C.scale
    (array([2., 5.]), array([1., 1.]))
    >>> C.rows([0, 1])
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    source = as_sq_matrix(A)
    n = source.shape[1]
    moments: tuple[Float64Array, Float64Array] | None = None
    constant: npt.NDArray[np.bool_] = np.zeros(n, dtype=bool)
    words = (_is_word(center, "mean", "center", "an array"), _is_word(scale, "std", "scale", "an array or None"))
    if any(words):
        moments = column_moments(source)
    if isinstance(center, str):
        mu = (moments or column_moments(source))[0]
    else:
        mu = _columns(center, n, "center")
    if isinstance(scale, str):
        mean, spread = moments or column_moments(source)
        deviation = spread / np.sqrt(source.shape[0])
        constant = deviation <= _CONSTANT_ULPS * np.finfo(np.float64).eps * np.abs(mean)
        s: Float64Array | None = np.where(constant, 1.0, deviation)
    else:
        s = None if scale is None else _columns(scale, n, "scale")
    if s is not None and not (s > 0.0).all():
        where = int(np.argmin(s > 0.0))
        raise ValueError(
            f"`scale` must be positive; got scale[{where}] = {s[where]}. Use 1 for a column that is not scaled."
        )
    return CentredMatrix(source, mu, s, moments, constant if isinstance(center, str) else None)


def _is_word(value: Any, word: str, name: str, other: str) -> bool:
    if isinstance(value, str) and value != word:
        raise ValueError(f"`{name}` must be {word!r} or {other}; got {value!r}.")
    return isinstance(value, str)


def _columns(values: Any, n: int, name: str) -> Float64Array:
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"`{name}` must have one number for each of the {n} columns of `A`; got shape {array.shape}.")
    return check_vector(array, n, name).copy()


def column_moments(A: SampleQueryMatrix) -> tuple[Float64Array, Float64Array]:
    """Return the column means, and the norms |A^j - mean_j 1| of the centred columns, by one pass.

    Sums are taken about the mean of the first block: with a share f of the rows in it, that mean is within
    sqrt(1 / f) standard deviations of the true one, so that the squares lose at most log10(1 / f) digits.
    """
    m, n = A.shape
    unit = power_unit(float(A.row_norms().max()))
    shift: Float64Array | None = None
    sums, squares, stored = np.zeros(n), np.zeros(n), np.zeros(n)
    for _, block in A.row_blocks(rows_per_block(n)):
        if not isinstance(block, np.ndarray):
            cols, values = block.indices, (block.data / unit).astype(np.float64)
            here = np.bincount(cols, minlength=n)
            if shift is None:
                shift = np.bincount(cols, weights=values, minlength=n) / np.maximum(here, 1)
                shift += np.bincount(cols, weights=values - shift[cols], minlength=n) / np.maximum(here, 1)
            values -= shift[cols]
            stored += here
            sums += np.bincount(cols, weights=values, minlength=n)
            squares += np.bincount(cols, weights=values * values, minlength=n)
            continue
        step = max(1, _WORK_ENTRIES // n)
        for start in range(0, len(block), step):
            part = (block[start : start + step] / unit).astype(np.float64)
            if shift is None:
                first = part[0].copy()
                shift = first + (part - first).mean(axis=0)
            part -= shift
            stored += len(part)
            sums += part.sum(axis=0)
            squares += np.einsum("ij,ij->j", part, part)
    about = np.zeros(n) if shift is None else shift
    mean = about * (stored / m) + sums / m
    # Of the stored entries about the mean, from their sums about the shift; and of the zeros that are not stored.
    away = mean - about
    squares = squares - 2.0 * away * sums + stored * away * away
    squares = np.maximum(squares, 0.0) + (m - stored) * mean * mean
    return mean * unit, np.sqrt(squares) * unit


class CentredMatrix(OversampledMatrix):
    """Oversampling access to (A - 1 mu^T) diag(1 / s); made by `centred`."""

    def __init__(
        self,
        source: SampleQueryMatrix,
        center: Float64Array,
        scale: Float64Array | None,
        moments: tuple[Float64Array, Float64Array] | None = None,
        constant: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._source, self._center, self._given_moments = source, center, moments
        self._scale: Float64Array = np.ones(len(center)) if scale is None else scale
        self._has_scale = scale is not None
        with np.errstate(over="ignore"):
            self._offset: Float64Array = center / self._scale
            self._offset_norm = scaled_norm(np.abs(self._offset))
            # A constant column is nothing once centred: its scale of 1 must not widen the bound of all the others.
            varying = np.full(len(center), True) if constant is None else ~constant
            self._widest = 1.0 / float(self._scale[varying].min(initial=np.inf))
            rounding = scaled_norm((moments[1] / self._scale)[~varying]) if moments else 0.0
            self._row_bound = float(np.hypot(scaled_norm(np.abs(self._offset[varying])), rounding))
            bounds = np.array([source.frobenius_norm * self._widest, np.sqrt(source.shape[0]) * self._row_bound])
            bound = float(np.sqrt(2.0)) * scaled_norm(bounds)
            self._bound_norm = finite_bound(bound, "center" if scale is None else "scale")
        self._dtype = working_dtype(source.dtype, self._bound_norm)

    @property
    def center(self) -> Float64Array:
        """The row mu that is subtracted, of shape (n,)."""
        return self._center.copy()

    @property
    def scale(self) -> Float64Array:
        """The divisors s of the columns, of shape (n,); ones if none were asked for."""
        return self._scale.copy()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (m, n)."""
        return self._source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, float32 or float64."""
        return self._dtype

    @property
    def bound_norm(self) -> float:
        """Root of 2 (|A|_F^2 / s_min^2 + m |mu / s|^2)."""
        return self._bound_norm

    def bound_norms(self, rows: npt.ArrayLike | None = None) -> Float64Array:
        """Return the roots of 2 (|A_i|^2 / s_min^2 + |mu / s|^2) for the given rows, or all, from the index of A."""
        bounds: Float64Array = np.sqrt(2.0) * np.hypot(self._source.row_norms(rows) * self._widest, self._row_bound)
        return bounds

    @property
    def multiplied(self) -> Any:
        """The matrix whose entries a product reads: A, which may be sparse, or this one where that would cancel."""
        return self._source if self._is_corrected else self

    @cached_property
    def _is_corrected(self) -> bool:
        """Whether a product is one with A and a correction: if its parts are not much larger than their difference."""
        mean, spread = self._given_moments or column_moments(self._source)
        m = self._source.shape[0]
        with np.errstate(over="ignore"):
            parts = np.hypot(spread, np.sqrt(m) * np.abs(mean - self._center)) / self._scale
        size = scaled_norm(parts)
        return bool(size) and float(np.sqrt(m)) * self._offset_norm / size < _LARGEST_AMPLIFICATION

    def _centre(self, block: Any) -> Float64Array:
        """Return the centred and scaled rows of a block, in float64."""
        dense: Float64Array = (block if isinstance(block, np.ndarray) else block.toarray()) - self._center
        if self._has_scale:
            dense /= self._scale
        return dense

    def _read_rows(self, rows: IntArray) -> FloatArray:
        step = max(1, _WORK_ENTRIES // self.shape[1])
        out = np.empty((len(rows), self.shape[1]), dtype=self._dtype)
        for start in range(0, len(rows), step):
            out[start : start + step] = self._centre(self._source.rows(rows[start : start + step]))
        return out

    def _read_entries(self, rows: IntArray, cols: IntArray) -> FloatArray:
        values = (self._source.query(rows, cols) - self._center[cols]) / self._scale[cols]
        return values.astype(self._dtype, copy=False)

    def row_blocks(self, rows_per_block: int) -> Iterator[tuple[int, FloatArray]]:
        """Go through the rows once, as (first row, dense block)."""
        step = max(1, _WORK_ENTRIES // self.shape[1])
        for start, block in self._source.row_blocks(rows_per_block):
            out = np.empty(block.shape, dtype=self._dtype)
            for low in range(0, len(out), step):
                out[low : low + step] = self._centre(block[low : low + step])
            yield start, out

    def _compute_norms(self, rows: IntArray) -> Float64Array:
        step = max(1, _WORK_ENTRIES // self.shape[1])
        parts = [self._deviations(self._source.rows(rows[low : low + step])) for low in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _compute_all_norms(self) -> Float64Array:
        step = max(1, _WORK_ENTRIES // self.shape[1])
        parts = []
        for _, block in self._source.row_blocks(rows_per_block(self.shape[1])):
            if not isinstance(block, np.ndarray):
                parts.append(self._deviations(block))
                continue
            parts += [self._deviations(block[low : low + step]) for low in range(0, block.shape[0], step)]
        return np.concatenate(parts)

    def _deviations(self, block: Any) -> Float64Array:
        """Return the norms of the centred and scaled rows of a block of A."""
        if isinstance(block, np.ndarray):
            return block_norms(self._centre(block))
        cols, indptr = block.indices, block.indptr.astype(np.int64, copy=False)
        near = (block.data - self._center[cols]) / self._scale[cols]
        norms = csr_row_norms(near, indptr)
        whole = self._offset_norm
        if whole == 0.0:
            return norms
        shares = csr_row_norms(self._offset[cols] / whole, indptr)
        norms = np.hypot(norms, whole * np.sqrt(np.maximum(1.0 - shares * shares, 0.0)))
        # What the zeros of a row add is a difference, right to about 1e-16 of |mu / s|^2: too little for a small norm.
        lost = np.flatnonzero(norms < _CANCELLED * whole)
        step = max(1, _WORK_ENTRIES // self.shape[1])
        for low in range(0, len(lost), step):
            norms[lost[low : low + step]] = block_norms(self._centre(block[lost[low : low + step]]))
        return norms

    def matmul(self, X: FloatArray) -> FloatArray:
        """Return (A - 1 mu^T) diag(1 / s) X by one pass over A."""
        X = check_factor(X, self.shape[1], "X", "columns")
        if not self._is_corrected:
            return super().matmul(X)
        wide = X.reshape(len(X), -1) / self._scale[:, None]
        kind = np.result_type(self._dtype, X.dtype)
        product = self._source.matmul(wide.astype(kind, copy=False)) - self._center @ wide
        return product.astype(kind, copy=False).reshape(-1, *X.shape[1:])

    def rmatmul(self, Y: FloatArray) -> FloatArray:
        """Return diag(1 / s) (A^T - mu 1^T) Y by one pass over A."""
        Y = check_factor(Y, self.shape[0], "Y", "rows")
        if not self._is_corrected:
            return super().rmatmul(Y)
        tall = Y.reshape(len(Y), -1)
        kind = np.result_type(self._dtype, Y.dtype)
        sums = tall.sum(axis=0, dtype=np.float64)
        product = (self._source.rmatmul(tall.astype(kind, copy=False)) - np.outer(self._center, sums)) / self._scale[
            :, None
        ]
        return product.astype(kind, copy=False).reshape(-1, *Y.shape[1:])

    def __repr__(self) -> str:
        return f"CentredMatrix({self._source!r}, scaled={self._has_scale})"
