"""The matrix of a kernel function over data points, whose entries are computed when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from qinspired._validation import (
    check_entries,
    check_finite_dense,
    check_indices,
    check_positive,
    check_vector,
    first_nonfinite,
    native_float,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, IntArray

__all__ = ["KernelMatrix"]

_KERNELS = ("rbf", "laplacian")

# Numbers in the temporary arrays of one step over pairs of points.
_STEP = 4_000_000

# Squared distances from inner products are wrong by some eps |x|^2, the kernel by gamma times that. With one of 1,000
# points at gamma |x|^2 = 8e17 it was no longer positive semi-definite.
_LARGEST_EXPONENT = 1000.0

# A callable gives blocks only: pairs are the diagonals of blocks of this size, which costs as many entries a pair.
_PAIRS_PER_BLOCK = 16


class KernelMatrix:
    """The matrix K[i, j] = k(x_i, x_j) of a kernel function over n points, computed on demand and never formed.

    It answers what `rp_cholesky` asks: entries, rows and the diagonal. It has no row norms, which would take all n^2
    entries, and so no draws; `ImplicitMatrix(None, K.rows, shape=K.shape, entry_function=K.query)` makes them by one
    such pass.

    Parameters
    ----------
    X : array_like, shape (n, p)
        The points.
    kernel : {"rbf", "laplacian"} or callable, default="rbf"
        exp(-gamma |x - y|^2), exp(-gamma |x - y|_1), or a function from points X, of shape (q, p), and Y, of shape
        (r, p), to the block of shape (q, r), as those of `sklearn.metrics.pairwise` and the kernels of
        `sklearn.gaussian_process`. It must be symmetric and positive semi-definite, which is not checked here.
    diagonal : float or array_like of shape (n,), optional
        The values k(x_i, x_i) of a callable, to spare their computation.
    **params
        `gamma`, 1 / p by default, for the kernels named; for a callable its keyword arguments.

    Raises
    ------
    ValueError, TypeError
        If `X` is no finite real matrix, or a parameter is unknown or out of range; later, if a callable returns
        something of a wrong shape or type, a NaN or an infinity.

    Notes
    -----
    Cost: O(p) an entry; two copies of the points; nothing else is kept. The diagonal takes n entries. For a callable
    it takes `kernel.diag(X)` if there is one, else 16 n entries.
    Error: squared distances are computed from inner products of the centred points, to about eps |x|^2; where gamma
    |x|^2 exceeds 1000 for a point, from differences instead, which is exact to rounding, but slower for many features.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> X = np.random.default_rng(0).standard_normal((5000, 3))
    >>> K = qi.KernelMatrix(X, "rbf", gamma=0.1)
    >>> approx = qi.rp_cholesky(K, 200, tolerance=0.01, rng=0)
    >>> approx.error.value <= 0.01, K.entries_computed < 150 * 5000
    (True, True)
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        kernel: str | Callable[..., Any] = "rbf",
        *,
        diagonal: npt.ArrayLike | None = None,
        **params: Any,
    ) -> None:
        if sp.issparse(X):
            raise TypeError("`X` must be a dense array of points; got a sparse one. Convert it with `.toarray()`.")
        self._X = check_finite_dense(X, "X")
        self._dtype = self._X.dtype
        self.kernel, self.params = kernel, params
        self._diagonal: Float64Array | None = None
        if not callable(kernel):
            if not isinstance(kernel, str) or kernel not in _KERNELS:
                raise ValueError(f"`kernel` must be one of {', '.join(_KERNELS)}, or a callable; got {kernel!r}.")
            if set(params) - {"gamma"}:
                raise TypeError(f"`{kernel}` takes the parameter `gamma` only; got {', '.join(sorted(params))}.")
            if diagonal is not None:
                raise ValueError(f"`diagonal` is known for `{kernel}`: it is 1; leave it out.")
            gamma = params.get("gamma")
            self.gamma = 1.0 / self._X.shape[1] if gamma is None else check_positive(gamma, "gamma")
            wide = self._X.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                self._points = wide - wide.mean(axis=0)  # cancels less
                self._squares = np.einsum("ij,ij->i", self._points, self._points)
                self._cancels = not self.gamma * float(self._squares.max()) <= _LARGEST_EXPONENT
            if self._cancels:
                self._points = wide
            self._diagonal = np.ones(len(self._X))
        elif diagonal is not None:
            given = np.full(len(self._X), diagonal) if np.ndim(diagonal) == 0 else diagonal
            self._diagonal = check_vector(given, len(self._X), "diagonal", matrix="X")
        self.entries_computed = 0

    def __repr__(self) -> str:
        n, name = len(self._X), self.kernel if isinstance(self.kernel, str) else repr(self.kernel)
        return f"KernelMatrix(shape=({n}, {n}), dtype={self._dtype}, kernel={name})"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (n, n)."""
        return len(self._X), len(self._X)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries: that of the points, float32 or float64."""
        return self._dtype

    def diagonal(self) -> Float64Array:
        """Return the n values k(x_i, x_i)."""
        if self._diagonal is not None:
            self.entries_computed += len(self._diagonal)
            return self._diagonal.copy()
        function: Any = self.kernel
        if callable(getattr(function, "diag", None)) and not self.params:
            self.entries_computed += len(self._X)
            return check_vector(function.diag(self._X.copy()), len(self._X), "kernel.diag(X)", matrix="X")
        every = np.arange(len(self._X))
        return self._pairs(every, every).astype(np.float64)

    def query(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
        """Return the entries K[rows, cols], broadcast as numpy does; a grid of rows and columns as one block."""
        row_index, col_index = check_entries(rows, cols, self.shape)
        if row_index.ndim == 2 and col_index.ndim == 2 and row_index.shape[1] == 1 and col_index.shape[0] == 1:
            return self._block(row_index[:, 0], col_index[0])
        row_grid, col_grid = np.broadcast_arrays(row_index, col_index)
        return self._pairs(row_grid.ravel(), col_grid.ravel()).reshape(row_grid.shape)

    def rows(self, rows: npt.ArrayLike) -> FloatArray:
        """Return whole rows as a (len(rows), n) block."""
        return self._block(check_indices(rows, len(self._X), "rows"), None)

    def _block(self, rows: IntArray, cols: IntArray | None) -> FloatArray:
        """Return the entries of a grid; None stands for all columns."""
        size = len(self._X) if cols is None else len(cols)
        block = np.empty((len(rows), size), dtype=self._dtype)
        step = max(1, _STEP // max(size, 1))
        for start in range(0, len(rows) if size else 0, step):
            part = rows[start : start + step]
            block[start : start + step] = self._called(part, cols) if callable(self.kernel) else self._named(part, cols)
        self.entries_computed += block.size
        return block

    def _named(self, rows: IntArray, cols: IntArray | None) -> Float64Array:
        left, right = self._points[rows], self._points if cols is None else self._points[cols]
        if self.kernel == "laplacian" or self._cancels:
            exponents = cdist(left, right, "cityblock" if self.kernel == "laplacian" else "sqeuclidean")
        else:
            exponents = left @ right.T
            exponents *= -2.0
            exponents += self._squares[rows, None]
            exponents += self._squares if cols is None else self._squares[cols]
            np.maximum(exponents, 0.0, out=exponents)
        exponents *= -self.gamma
        values: Float64Array = np.exp(exponents, out=exponents)
        return values

    def _called(self, rows: IntArray, cols: IntArray | None) -> FloatArray:
        function: Any = self.kernel
        right = self._X.copy() if cols is None else self._X[cols]  # it may write into what it gets
        given: np.ndarray[Any, Any] = np.asarray(function(self._X[rows], right, **self.params))
        if given.shape != (len(rows), len(right)):
            raise ValueError(
                f"`kernel` must return a block of shape {(len(rows), len(right))} for as many points; got shape "
                f"{given.shape}."
            )
        block = native_float(given, "kernel").astype(self._dtype, copy=False)
        where = first_nonfinite(block)
        if where is not None:
            col = where[1] if cols is None else cols[where[1]]
            raise ValueError(f"`kernel` must return finite numbers; got K[{rows[where[0]]}, {col}] = {given[where]}.")
        return block

    def _pairs(self, rows: IntArray, cols: IntArray) -> FloatArray:
        """Return the entries of pairs of indices."""
        values = np.empty(len(rows), dtype=self._dtype)
        step = _PAIRS_PER_BLOCK if callable(self.kernel) else max(1, _STEP // self._X.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            if callable(self.kernel):
                block = self._called(rows[part], cols[part])
                values[part] = np.diag(block)
                self.entries_computed += block.size
                continue
            with np.errstate(over="ignore"):
                differences = self._points[rows[part]] - self._points[cols[part]]
                power = 1 if self.kernel == "laplacian" else 2
                values[part] = np.exp(-self.gamma * (np.abs(differences) ** power).sum(axis=1))
            self.entries_computed += len(differences)
        return values
