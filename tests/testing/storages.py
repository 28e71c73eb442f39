"""Every storage of the library, each beside the array that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

import qinspired as qi
from qinspired import access
from qinspired.testing import sample_matrices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MATRICES = sample_matrices()
X = MATRICES["zero row and column"]
TALL = MATRICES["more rows than columns"]
INTEGERS = MATRICES["integers"]
_SMALL = np.rint(4.0 * np.random.default_rng(1).standard_normal((12, 4))) / 4.0


@dataclass(frozen=True)
class Storage:
    """`build(folder)` makes the object, afresh at each call; entries that are computed have an `rtol`."""

    name: str
    build: Callable[[Path], Any]
    dense: np.ndarray
    rtol: float | None = None

    def __str__(self) -> str:
        return self.name


class Negated(qi.RowStorage):
    """A storage from outside the library: nothing but rows."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        super().__init__(array.shape, array.dtype)

    def _read_rows(self, rows: Any) -> Any:
        return -self._array[rows]


class NegatedSparse(qi.RowStorage):
    def __init__(self, matrix: Any) -> None:
        self._matrix = sp.csr_matrix(matrix)
        super().__init__(matrix.shape, matrix.dtype)

    is_sparse = True

    @property
    def n_stored(self) -> int:
        return int(self._matrix.nnz)

    @property
    def entry_bytes(self) -> int:
        return 12

    def row_lengths(self, rows: Any) -> Any:
        return np.diff(self._matrix.indptr).astype(np.int64)[self._check_rows(rows)]

    def _read_rows(self, rows: Any) -> Any:
        return sp.csr_array(-self._matrix[rows])


def _memmap(folder: Path) -> Any:
    path = folder / "X.npy"
    if not path.exists():
        np.save(path, X)
    return np.load(path, mmap_mode="r")


def _read_only() -> np.ndarray:
    array = X.copy()
    array.flags.writeable = False
    return array


def _saved(folder: Path, matrix: Any) -> Any:
    path = folder / f"saved-{sp.issparse(matrix)}"
    if not path.exists():
        qi.save(path, matrix)
    return qi.open(path)


def _dynamic() -> Any:
    A = access.DynamicMatrix(X.shape)
    A.update(*np.nonzero(X), X[np.nonzero(X)])
    return A


def _implicit(**given: Any) -> Any:
    norms = np.sqrt((X**2).sum(axis=1))
    return access.ImplicitMatrix(norms, lambda rows: X[rows], shape=X.shape, **given)


def _implicit_by_bounds() -> Any:
    norms = np.sqrt((X**2).sum(axis=1))
    return access.ImplicitMatrix(
        lambda rows: norms[rows],
        None,
        shape=X.shape,
        entry_function=lambda rows, cols: X[rows, cols],
        norm_bound=float(norms.max()),
        entry_bound=float(np.abs(X).max()),
        frobenius_norm=float(np.sqrt((X**2).sum())),
    )


STORAGES = [
    Storage("dense", lambda _: qi.as_sq_matrix(X.copy()), X),
    Storage("dense float32", lambda _: qi.as_sq_matrix(X.astype(np.float32)), X),
    Storage("dense, Fortran order", lambda _: qi.as_sq_matrix(np.asfortranarray(X)), X),
    Storage("dense, read-only", lambda _: qi.as_sq_matrix(_read_only()), X),
    Storage("dense, memory-mapped", lambda folder: qi.as_sq_matrix(_memmap(folder)), X),
    Storage("dense, tall", lambda _: qi.as_sq_matrix(TALL), TALL),
    Storage("CSR", lambda _: qi.as_sq_matrix(sp.csr_array(X)), X),
    Storage("CSR float32", lambda _: qi.as_sq_matrix(sp.csr_array(X.astype(np.float32))), X),
    Storage("CSR from CSC", lambda _: qi.as_sq_matrix(sp.csc_array(X)), X),
    Storage("dense, integers", lambda _: qi.as_sq_matrix(INTEGERS.astype(np.int8)), INTEGERS),
    Storage("CSR, integers", lambda _: qi.as_sq_matrix(sp.csr_array(INTEGERS.astype(np.int8))), INTEGERS),
    Storage("CSR, tall", lambda _: qi.as_sq_matrix(sp.csr_array(TALL)), TALL),
    Storage("counted", lambda _: qi.CountingMatrix(qi.as_sq_matrix(X)), X),
    Storage("forwarded", lambda _: access.ForwardingMatrix(qi.as_sq_matrix(sp.csr_array(X))), X),
    Storage("rows alone", lambda _: Negated(-X), X),
    Storage("rows alone, float32", lambda _: Negated(-TALL.astype(np.float32)), TALL),
    Storage("sparse rows alone", lambda _: NegatedSparse(-sp.csr_matrix(X)), X),
    Storage("saved, dense", lambda folder: _saved(folder, X), X),
    Storage("saved, CSR", lambda folder: _saved(folder, sp.csr_array(X)), X),
    Storage("implicit, by rows", lambda _: _implicit(), X),
    Storage("implicit, by rejection", lambda _: _implicit_by_bounds(), X),
    Storage("pinned", lambda _: qi.as_sq_matrix(_dynamic()), X),
    Storage("sharded", lambda _: access.ShardedMatrix([X[:4], sp.csr_array(X[4:])]), X),
    Storage("sharded, sparse", lambda _: access.vstack([sp.csr_array(X[:4]), sp.csr_array(X[4:])]), X),
    Storage("indexed sum", lambda _: qi.as_sq_matrix(access.add(X, X[::-1])), X + X[::-1]),
    Storage("indexed product", lambda _: qi.as_sq_matrix(access.multiply(X, _SMALL)), X @ _SMALL, 1e-13),
    Storage("indexed transpose", lambda _: qi.as_sq_matrix(access.transpose(X)), X.T.copy()),
    Storage("indexed centred", lambda _: qi.as_sq_matrix(access.centred(X)), X - X.mean(axis=0), 1e-12),
]

UPDATABLE = [
    Storage("dynamic", lambda _: _dynamic(), X),
    Storage("dynamic, zero at first", lambda _: access.DynamicMatrix((7, 5)), np.zeros((7, 5))),
    Storage("dynamic from CSR", lambda _: access.DynamicMatrix.from_matrix(sp.csr_array(X)), X),
    Storage("sharded, dynamic", lambda _: access.ShardedMatrix([_dynamic(), _dynamic()]), np.vstack([X, X])),
]

_COEFFICIENTS = np.array([1.0, -0.5])
OVERSAMPLED = [
    Storage("sum", lambda _: access.add(X, X[::-1], coefficients=_COEFFICIENTS), X - 0.5 * X[::-1], 1e-14),
    Storage("sum, sparse", lambda _: access.add(sp.csr_array(X), sp.csr_array(X[::-1])), X + X[::-1]),
    Storage("product", lambda _: access.multiply(X, _SMALL), X @ _SMALL, 1e-13),
    Storage("combined rows", lambda _: access.combine_rows(X, _SMALL.T[:, :9]), _SMALL.T[:, :9] @ X, 1e-13),
    Storage("transpose", lambda _: access.transpose(X), X.T.copy()),
    Storage("centred", lambda _: access.centred(X), X - X.mean(axis=0), 1e-12),
]


@dataclass(frozen=True)
class Sampler:
    """`build(weights, exponent)` makes the sampler, afresh at each call."""

    name: str
    build: Callable[[Any, int], Any]

    def __str__(self) -> str:
        return self.name


SAMPLERS = [
    Sampler("alias table", lambda weights, exponent: qi.AliasTable(weights, exponent=exponent)),
    Sampler("dynamic", lambda weights, exponent: access.DynamicSampler(weights, exponent=exponent)),
]

UPDATABLE_SAMPLERS = SAMPLERS[1:]
