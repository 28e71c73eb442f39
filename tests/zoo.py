"""A named zoo of matrices: every storage, layout and type, beside the float64 array that each stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Specimen:
    """`build(folder)` makes the matrix, afresh at each call; `dense` is what it stands for."""

    name: str
    build: Callable[[Path], Any]
    dense: np.ndarray
    dtype: type = np.float64

    def __str__(self) -> str:
        return self.name


def _quarters() -> np.ndarray:
    # Multiples of 1/4 below 4 are exact in every float type, float16 included; about half are zero.
    rng = np.random.default_rng(0)
    X = rng.integers(-15, 16, size=(9, 12)) / 4.0
    X[rng.random(X.shape) < 0.5] = 0.0
    X[3] = 0.0
    X[:, 5] = 0.0
    X[0, 0], X[8, 11], X[2, 2] = 3.5, -0.25, -0.0
    return X


QUARTERS = _quarters()
_INTEGERS = np.rint(4 * QUARTERS)
_NATURALS = np.abs(_INTEGERS)


def _memmap(folder: Path) -> np.memmap[Any, Any]:
    path = folder / "matrix.npy"
    np.save(path, QUARTERS)
    mapped = np.load(path, mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    return mapped


def _mapped_copy(folder: Path, X: np.ndarray, mode: str = "r") -> np.memmap[Any, Any]:
    order = "C" if X.flags.c_contiguous else "F"
    path = folder / f"{X.dtype.str[1:]}-{len(list(folder.iterdir()))}.bin"
    writer = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape, order=order)  # type: ignore[call-overload]
    writer[:] = X
    writer.flush()
    mapped = np.memmap(path, dtype=X.dtype, mode=mode, shape=X.shape, order=order)  # type: ignore[call-overload]
    assert isinstance(mapped, np.memmap)
    return mapped


def _mapped_naturals(folder: Path) -> np.memmap[Any, Any]:
    return _mapped_copy(folder, np.asfortranarray(_NATURALS.astype(np.uint8)))


def _copy_on_write(folder: Path) -> np.memmap[Any, Any]:
    # The file holds other numbers; those that count are in private pages.
    mapped = _mapped_copy(folder, np.full_like(QUARTERS, 55.0), mode="c")
    mapped[:] = QUARTERS
    return mapped


def _mapped_csr(folder: Path) -> Any:
    matrix = sp.csr_array(QUARTERS)
    matrix.data, matrix.indices = _mapped_copy(folder, matrix.data), _mapped_copy(folder, matrix.indices)
    matrix.indptr = _mapped_copy(folder, matrix.indptr)
    return matrix


def _wide_pointers() -> Any:
    # As with more than 2^31 stored entries in fewer columns.
    matrix = sp.csr_array(QUARTERS)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def _narrow_pointers() -> Any:
    matrix = sp.csr_array(QUARTERS)
    matrix.indices = matrix.indices.astype(np.int64)
    return matrix


def _framed() -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(QUARTERS, columns=[f"c{j}" for j in range(QUARTERS.shape[1])])


def _framed_polars() -> Any:
    polars = pytest.importorskip("polars")
    return polars.DataFrame({f"c{j}": QUARTERS[:, j] for j in range(QUARTERS.shape[1])})


def _read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.flags.writeable = False
    return X


def _read_only_csr() -> Any:
    matrix = sp.csr_array(QUARTERS)
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    return matrix


def _with_int64_indices(matrix: Any) -> Any:
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    return matrix


def _unsorted() -> Any:
    matrix = sp.csr_array(QUARTERS)
    for low, high in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        matrix.indices[low:high] = matrix.indices[low:high][::-1].copy()
        matrix.data[low:high] = matrix.data[low:high][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def _csr_of_type(dtype: type) -> Any:
    # scipy has no such type in its constructor, but lets it be set.
    matrix = sp.csr_array(QUARTERS)
    matrix.data = matrix.data.astype(dtype)
    return matrix


def _unsorted_integers() -> Any:
    matrix = _unsorted()
    matrix.data = (4 * matrix.data).astype(np.int8)
    return matrix


def _duplicated() -> Any:
    # Each entry is stored as 3/4 and 1/4 of itself, side by side.
    matrix = sp.csr_array(QUARTERS)
    data = np.stack([0.75 * matrix.data, 0.25 * matrix.data], axis=1).ravel()
    return sp.csr_array((data, np.repeat(matrix.indices, 2), 2 * matrix.indptr), shape=matrix.shape)


def _duplicated_coo() -> Any:
    matrix = sp.coo_array(QUARTERS)
    rows, cols = (np.concatenate([part, part]) for part in matrix.coords)
    return sp.coo_array((np.concatenate([matrix.data / 2, matrix.data / 2]), (rows, cols)), shape=matrix.shape)


def _explicit_zeros() -> Any:
    # Every entry is stored, the zeros too.
    m, n = QUARTERS.shape
    indptr = np.arange(0, m * n + 1, n)
    return sp.csr_array((QUARTERS.ravel().copy(), np.tile(np.arange(n), m), indptr), shape=(m, n))


def _spare_room() -> Any:
    # scipy keeps longer arrays than `indptr` uses after some edits in place.
    matrix = sp.csr_array(QUARTERS)
    matrix.data = np.append(matrix.data, [99.0, 99.0])
    matrix.indices = np.append(matrix.indices, [0, 1]).astype(matrix.indices.dtype)
    return matrix


def _big_endian_csr() -> Any:
    # scipy refuses the type in its constructor, but not in its attributes, as after reading a foreign file.
    matrix = sp.csr_array(QUARTERS)
    matrix.data = matrix.data.astype(">f8")
    return matrix


def _strided() -> np.ndarray:
    wide = np.full((18, 24), 77.0)
    wide[::2, ::2] = QUARTERS
    return wide[::2, ::2]


_DENSE = [
    Specimen("C float64", lambda _: QUARTERS.copy(), QUARTERS),
    Specimen("C float32", lambda _: QUARTERS.astype(np.float32), QUARTERS, np.float32),
    Specimen("F float64", lambda _: np.asfortranarray(QUARTERS), QUARTERS),
    Specimen("F float32", lambda _: np.asfortranarray(QUARTERS.astype(np.float32)), QUARTERS, np.float32),
    Specimen("float16", lambda _: QUARTERS.astype(np.float16), QUARTERS, np.float32),
    Specimen("longdouble", lambda _: QUARTERS.astype(np.longdouble), QUARTERS),
    Specimen("read-only", lambda _: _read_only(QUARTERS), QUARTERS),
    Specimen("read-only float32", lambda _: _read_only(QUARTERS.astype(np.float32)), QUARTERS, np.float32),
    Specimen("memory-mapped, read-only", _memmap, QUARTERS),
    Specimen("memory-mapped, copy-on-write", _copy_on_write, QUARTERS),
    Specimen("memory-mapped, Fortran", lambda f: _mapped_copy(f, np.asfortranarray(QUARTERS)), QUARTERS),
    Specimen("memory-mapped, writable", lambda f: _mapped_copy(f, QUARTERS, "r+"), QUARTERS),
    Specimen("memory-mapped, int16", lambda f: _mapped_copy(f, _INTEGERS.astype(np.int16)), _INTEGERS),
    Specimen("memory-mapped, Fortran uint8", _mapped_naturals, _NATURALS),
    Specimen("memory-mapped, float16", lambda f: _mapped_copy(f, QUARTERS.astype(np.float16)), QUARTERS, np.float32),
    Specimen("F float16", lambda _: np.asfortranarray(QUARTERS.astype(np.float16)), QUARTERS, np.float32),
    Specimen("F int8", lambda _: np.asfortranarray((8 * _INTEGERS).astype(np.int8)), 8 * _INTEGERS),
    Specimen("F big-endian float32", lambda _: np.asfortranarray(QUARTERS.astype(">f4")), QUARTERS, np.float32),
    Specimen("columns of a wider array", lambda _: np.hstack([QUARTERS, QUARTERS])[:, :12], QUARTERS),
    Specimen("rows of a taller Fortran array", lambda _: np.asfortranarray(np.vstack([QUARTERS] * 2))[:9], QUARTERS),
    Specimen("repeated column", lambda _: np.broadcast_to(QUARTERS[:, :1], (9, 5)), np.tile(QUARTERS[:, :1], (1, 5))),
    Specimen("uint64", lambda _: _NATURALS.astype(np.uint64), _NATURALS),
    Specimen("pandas frame", lambda _: _framed(), QUARTERS),
    Specimen("polars frame", lambda _: _framed_polars(), QUARTERS),
    Specimen("strided view", lambda _: _strided(), QUARTERS),
    Specimen("negative strides", lambda _: QUARTERS[::-1, ::-1].copy()[::-1, ::-1], QUARTERS),
    Specimen("broadcast view", lambda _: np.broadcast_to(QUARTERS[0], (4, 12)), np.tile(QUARTERS[0], (4, 1))),
    Specimen("transposed view", lambda _: np.ascontiguousarray(QUARTERS.T).T, QUARTERS),
    Specimen("big-endian float64", lambda _: QUARTERS.astype(">f8"), QUARTERS),
    Specimen("int64", lambda _: _INTEGERS.astype(np.int64), _INTEGERS),
    Specimen("big-endian int32", lambda _: _INTEGERS.astype(">i4"), _INTEGERS),
    Specimen("int8 whose squares wrap", lambda _: (8 * _INTEGERS).astype(np.int8), 8 * _INTEGERS),
    Specimen("uint8", lambda _: _NATURALS.astype(np.uint8), _NATURALS),
    Specimen("bool", lambda _: QUARTERS != 0, (QUARTERS != 0).astype(np.float64)),
    Specimen("object of numbers", lambda _: QUARTERS.astype(object), QUARTERS),
    Specimen("list of lists", lambda _: QUARTERS.tolist(), QUARTERS),
    Specimen("one row", lambda _: QUARTERS[:1].copy(), QUARTERS[:1]),
    Specimen("one column", lambda _: QUARTERS[:, :1].copy(), QUARTERS[:, :1]),
    Specimen("one entry", lambda _: np.array([[-2.5]]), np.array([[-2.5]])),
]

_FORMATS = [
    Specimen(
        f"{kind} {name}",
        lambda _, kind=kind, name=name: getattr(sp, f"{name}_{kind}")(QUARTERS),  # type: ignore[misc]
        QUARTERS,
    )
    for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    for kind in ("array", "matrix")
]

_SPARSE = [
    Specimen("csr float32", lambda _: sp.csr_array(QUARTERS.astype(np.float32)), QUARTERS, np.float32),
    Specimen("csr int8", lambda _: sp.csr_array((8 * _INTEGERS).astype(np.int8)), 8 * _INTEGERS),
    Specimen("csr bool", lambda _: sp.csr_array(QUARTERS != 0), (QUARTERS != 0).astype(np.float64)),
    Specimen("csr big-endian", lambda _: _big_endian_csr(), QUARTERS),
    Specimen("csr int64 indices", lambda _: _with_int64_indices(sp.csr_array(QUARTERS)), QUARTERS),
    Specimen("csc int64 indices", lambda _: _with_int64_indices(sp.csc_array(QUARTERS)), QUARTERS),
    Specimen("csr int32 indices, int64 pointers", lambda _: _wide_pointers(), QUARTERS),
    Specimen("csr int64 indices, int32 pointers", lambda _: _narrow_pointers(), QUARTERS),
    Specimen("csr memory-mapped", _mapped_csr, QUARTERS),
    Specimen("csr float16", lambda _: _csr_of_type(np.float16), QUARTERS, np.float32),
    Specimen("csr int8 unsorted", lambda _: _unsorted_integers(), _INTEGERS),
    Specimen("csr read-only", lambda _: _read_only_csr(), QUARTERS),
    Specimen("csr unsorted", lambda _: _unsorted(), QUARTERS),
    Specimen("csr duplicates", lambda _: _duplicated(), QUARTERS),
    Specimen("coo duplicates", lambda _: _duplicated_coo(), QUARTERS),
    Specimen("csr explicit zeros", lambda _: _explicit_zeros(), QUARTERS),
    Specimen("csr with spare room", lambda _: _spare_room(), QUARTERS),
    Specimen("csr one row", lambda _: sp.csr_array(QUARTERS[:1]), QUARTERS[:1]),
    Specimen("csr one column", lambda _: sp.csr_array(QUARTERS[:, :1]), QUARTERS[:, :1]),
    Specimen("csr one entry", lambda _: sp.csr_array(np.array([[-2.5]])), np.array([[-2.5]])),
]

ZOO = _DENSE + _FORMATS + _SPARSE
