"""From what a user has to sample-and-query access."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_array, csr_parts
from qinspired.access._converted import ConvertedCSRMatrix, ConvertedMatrix
from qinspired.access._forwarding import PinnedMatrix
from qinspired.access._protocol import SampleQueryMatrix
from qinspired.access._stored import CSRMatrix, DenseMatrix
from qinspired.access.derived._indexed import IndexedMatrix
from qinspired.access.derived._oversampled import OversampledMatrix
from qinspired.access.saved._reading import open_matrix

__all__ = ["as_sq_matrix", "has_access"]

_MEMBERS = tuple(name for name in vars(SampleQueryMatrix) if not name.startswith("_"))

_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


def as_sq_matrix(X: Any, *, index: str = "now") -> SampleQueryMatrix:
    """Sample-and-query access to a matrix: entries, row norms, draws by squared size.

    Parameters
    ----------
    X : ndarray, memmap, sparse matrix or array, DataFrame, path, or object with sample-and-query access
        An (m, n) matrix of real numbers. Arrays of any layout and type, read-only and memory-mapped ones too, are
        used in place: what is read is converted, float16 to float32 and all but float32 to float64. So is a canonical
        CSR matrix; every other sparse format becomes canonical CSR (duplicates summed). Lists, arrays of objects and
        frames of several types are copied. A path is that of a matrix saved by `qinspired.save`. An object that
        already has access is returned unchanged; one that can change, a `DynamicMatrix`, as a view that refuses every
        access after an update; an oversampled one, such as `add` and `centred` make, with an index of its row norms.
        Do not change an array while the result is in use: the index would not follow.
    index : {"now", "later"}, default="now"
        "later" leaves the index pass, and with it the search for NaN and infinity, until norms or draws are asked for.
        Only for C-contiguous numpy arrays of float32 or float64, in memory or mapped; anything else, such as a list,
        is indexed now.

    Returns
    -------
    DenseMatrix or CSRMatrix
        With `shape`, `dtype` (of what `rows` gives), `frobenius_norm`, `row_norms`, `query`, `rows`, `sample_rows`
        and `sample_cols`.

    Raises
    ------
    TypeError
        For masked arrays, `numpy.matrix`, dates, strings, frames with such columns, and other things that are no
        matrix of numbers.
    ValueError
        If `X` is complex, not 2-dimensional, empty, holds a NaN or an infinity (the first place is named), is
        a CSR matrix with an index out of range, or has a row norm or Frobenius norm beyond 1.8e308.

    Warns
    -----
    PrecisionWarning
        If `X` holds 64-bit integers or long doubles that float64 cannot hold exactly.

    Notes
    -----
    Cost: one pass over the entries, which also finds NaN and infinity; 8 bytes a row, for CSR with 32-bit row
    pointers 16, and 16 more at the first draw. Nothing is kept per entry. Of a map of a file of more than 256 MB the
    pages read are dropped as the pass goes on, unless it is copy-on-write.
    Error: norms are accumulated in float64; entries whose squares overflow or underflow (1e200, 1e-200) are
    scaled first, and the result is right to a few ulps. A row of norm below 1e-162 times the largest is never
    drawn.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> A = qi.as_sq_matrix(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 12.0]]))
    >>> A.row_norms()
    array([ 5.,  0., 12.])
    >>> A.frobenius_norm
    13.0
    >>> 1 in A.sample_rows(1000, rng=0)
    False
    """
    if index not in ("now", "later"):
        raise ValueError(f"`index` must be 'now' or 'later'; got {index!r}.")
    if isinstance(X, OversampledMatrix):
        return IndexedMatrix(X)
    if has_access(X):
        return PinnedMatrix(X) if hasattr(X, "version") else X
    if isinstance(X, str | os.PathLike):
        return open_matrix(X)
    if sp.issparse(X):
        parts = csr_parts(X)
        return (CSRMatrix if parts.data.dtype in _NATIVE else ConvertedCSRMatrix)(parts)
    array = check_array(X)
    if not (array.flags.c_contiguous and array.dtype in _NATIVE):
        return ConvertedMatrix(array)
    return DenseMatrix(array, index=index if array is X else "now")


def as_unindexed(X: Any) -> SampleQueryMatrix:
    """As `as_sq_matrix`, but what can gets its index later; NaN and column indices are not looked at before.

    The caller must see that these are in range before anything is multiplied.
    """
    if sp.issparse(X):
        parts = csr_parts(X)
        if parts.data.dtype in _NATIVE:
            return CSRMatrix(parts, index="later")
    return as_sq_matrix(X, index="later")


def has_access(X: Any) -> bool:
    """Say whether an object has sample-and-query access already.

    Properties are looked up in its class and not asked for, as `isinstance` with the protocol does before Python 3.12:
    the Frobenius norm would build an index that is to wait.
    """
    return all(hasattr(type(X), name) or hasattr(X, name) for name in _MEMBERS)
