"""The two factors of a sum of products, each open to queries and perhaps to draws: what an estimate is made of.

A sum S = sum_i l_i r_i over positions (of a vector), entries or rows (of a matrix) is the mean of l_i r_i / q_i over
draws of i with probability q_i. Each factor is a side. It tells its shares l_i / unit, so that nothing overflows, and,
if it can be drawn from, its law P(i) with l_i^2 <= unit^2 P(i). With draws from both, q = (P_l + P_r) / 2, which is
at least sqrt(P_l P_r) >= |l_i r_i| / (unit_l unit_r): no summand exceeds the product of the units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import scipy.sparse as sp

from qinspired._frames import array_of_frame, is_frame
from qinspired._validation import check_array, check_csr, first_nonfinite, native_float, raise_nonfinite
from qinspired.access import SampleQueryMatrix, SampleQueryVector, as_oversampled_vector, as_sq_matrix, has_access

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray, IntArray
    from qinspired.access import OversampledVector

__all__ = [
    "MatrixSide",
    "OuterSide",
    "Reading",
    "RowLawSide",
    "RowSide",
    "Side",
    "VectorSide",
    "draw_from",
    "matrix_side",
    "summands",
    "vector_side",
]

_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What a side says of some points: values = shares times the units, and its law if it has one."""

    shares: Float64Array
    units: tuple[float, ...]
    law: Float64Array | None


class Side(Protocol):
    """One factor; points are arrays of indices, one or two."""

    @property
    def sampled(self) -> bool:
        """Whether points can be drawn."""

    @property
    def is_zero(self) -> bool:
        """Whether the factor is known to be zero."""

    def sample(self, n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
        """Draw points."""

    def read(self, points: tuple[IntArray, ...]) -> Reading:
        """Return the shares and the law of points."""


def _finite(values: Any, name: str, points: tuple[IntArray, ...]) -> Float64Array:
    array = native_float(np.asarray(values), name).astype(np.float64)
    where = first_nonfinite(array)
    if where is not None:
        raise_nonfinite(name, tuple(int(index[where[0]]) for index in points), array[where])
    return array


def _in_units(values: Float64Array, bound: float | None) -> tuple[Float64Array, float]:
    unit = float(np.abs(values).max(initial=0.0)) if bound is None else bound
    unit = unit or 1.0
    return values / unit, unit


@dataclass(frozen=True, slots=True)
class VectorSide:
    """A vector that can be queried, and the law of its draws if it has one."""

    name: str
    size: int
    vector: Any
    law: OversampledVector | None

    @property
    def sampled(self) -> bool:
        return self.law is not None

    @property
    def is_zero(self) -> bool:
        return self.law is not None and self.law.bound_norm == 0.0

    def sample(self, n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
        return (cast("OversampledVector", self.law).sample(n_draws, generator),)

    def read(self, points: tuple[IntArray, ...]) -> Reading:
        (indices,) = points
        if self.law is None:
            raw = self.vector[indices] if isinstance(self.vector, np.ndarray) else self.vector.query(indices)
            shares, unit = _in_units(_finite(raw, self.name, points), None)
            return Reading(shares, (unit,), None)
        values = _finite(self.law.query(indices), self.name, points)
        shares, unit = _in_units(values, self.law.bound_norm)
        return Reading(shares, (unit,), self.law.probabilities(indices))

    def whole(self) -> tuple[Float64Array, float]:
        """Return the whole vector in units of its norm, and the norm."""
        if isinstance(self.vector, np.ndarray):
            array = self.vector
        else:
            array = self.vector.query(np.arange(self.size))
        exact = SampleQueryVector(_finite(array, self.name, (np.arange(self.size),)))
        shares, unit = _in_units(exact.to_array(), exact.norm)
        return shares, unit if exact.norm else 0.0


def vector_side(vector: Any, name: str) -> VectorSide:
    """Return the side of a vector of any kind."""
    law = as_oversampled_vector(vector)
    if law is not None:
        return VectorSide(name, law.size, vector, law)
    if hasattr(vector, "query") and hasattr(vector, "size") and not is_frame(vector):  # a frame queries by words
        return VectorSide(name, int(vector.size), vector, None)
    if isinstance(vector, np.matrix):
        raise TypeError(f"`{name}` must not be a numpy.matrix; convert it with `numpy.asarray`.")
    is_sparse: bool = sp.issparse(vector)
    if is_frame(vector):
        array = array_of_frame(vector, name)
    else:
        array = np.asanyarray(vector.toarray() if is_sparse else vector)
    if array.ndim == 0:
        raise TypeError(
            f"`{name}` must be a vector: an array, or an object with `query` and `size`; got {type(vector).__name__}."
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.size == 0:
        remedy = " Flatten a single row with `.ravel()`." if array.ndim == 2 and array.shape[0] == 1 else ""
        raise ValueError(
            f"`{name}` must be a 1-dimensional vector of at least one entry; got shape {array.shape}.{remedy}"
        )
    native_float(array[:1], name)  # refuses what is not numeric, without a pass
    return VectorSide(name, len(array), array, None)


@dataclass(frozen=True, slots=True)
class MatrixSide:
    """A matrix whose entries can be queried, and drawn by squared size if `access` is there."""

    name: str
    shape: tuple[int, int]
    matrix: Any
    access: SampleQueryMatrix | None

    @property
    def sampled(self) -> bool:
        return self.access is not None

    @property
    def is_zero(self) -> bool:
        return self.access is not None and self.access.frobenius_norm == 0.0

    def sample(self, n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
        access = cast("SampleQueryMatrix", self.access)
        rows = access.sample_rows(n_draws, generator)
        return rows, access.sample_cols(rows, generator)

    def read(self, points: tuple[IntArray, ...]) -> Reading:
        rows, cols = points
        raw = self.matrix[rows, cols] if _is_plain(self.matrix) else self.matrix.query(rows, cols)
        values = _finite(np.asarray(raw).ravel(), self.name, points)
        norm = None if self.access is None else self.access.frobenius_norm
        shares, unit = _in_units(values, norm)
        return Reading(shares, (unit,), None if norm is None else shares**2)

    def rows(self, rows: IntArray) -> FloatArray | sp.csr_array[Any]:
        """Return whole rows."""
        block: Any = self.matrix[rows] if _is_plain(self.matrix) else self.matrix.rows(rows)
        is_sparse: bool = sp.issparse(block)
        return sp.csr_array(block) if is_sparse else native_float(np.asarray(block), self.name)


def _is_plain(matrix: Any) -> bool:
    return isinstance(matrix, np.ndarray) or sp.issparse(matrix)


def matrix_side(matrix: Any, name: str, *, draws: bool) -> MatrixSide:
    """Return the side of a matrix of any kind; `draws` makes an index if it has none."""
    if draws or has_access(matrix):
        access = as_sq_matrix(matrix)
        return MatrixSide(name, access.shape, access, access)
    if hasattr(matrix, "query") and hasattr(matrix, "rows"):  # a pandas frame has a `query` of another kind
        return MatrixSide(name, matrix.shape, matrix, None)
    if sp.issparse(matrix):
        csr = sp.csr_matrix(check_csr(matrix, name))  # csr_array reads pairs of indices in a slower way
        return MatrixSide(name, csr.shape, csr, None)
    array = check_array(matrix, name)
    return MatrixSide(name, array.shape, array, None)


@dataclass(frozen=True, slots=True)
class OuterSide:
    """The matrix x y^T, by its factors; drawn from if both are."""

    x: VectorSide
    y: VectorSide

    @property
    def sampled(self) -> bool:
        return self.x.sampled and self.y.sampled

    @property
    def is_zero(self) -> bool:
        return self.x.is_zero or self.y.is_zero

    def sample(self, n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
        return self.x.sample(n_draws, generator) + self.y.sample(n_draws, generator)

    def read(self, points: tuple[IntArray, ...]) -> Reading:
        left, right = self.x.read(points[:1]), self.y.read(points[1:])
        law = None if left.law is None or right.law is None else left.law * right.law
        return Reading(left.shares * right.shares, left.units + right.units, law)


@dataclass(frozen=True, slots=True)
class RowSide:
    """Row i of A times a vector, or times row i of another matrix; drawn by the squared norms of A's rows.

    `factor` is a whole vector in units of `unit`, or a matrix; a matrix without a norm is measured as it is read.
    """

    access: SampleQueryMatrix
    factor: Float64Array | MatrixSide
    unit: float | None

    @property
    def sampled(self) -> bool:
        return True

    @property
    def is_zero(self) -> bool:
        return self.access.frobenius_norm == 0.0 or self.unit == 0.0

    def sample(self, n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
        return (self.access.sample_rows(n_draws, generator),)

    def read(self, points: tuple[IntArray, ...]) -> Reading:
        norm = self.access.frobenius_norm
        distinct, place = np.unique(points[0], return_inverse=True)
        step = max(1, _BLOCK_ENTRIES // self.access.shape[1])
        products, units = [], []
        for start in range(0, len(distinct), step):
            some = distinct[start : start + step]
            product, unit = self._products(some, norm)
            products.append(product)
            units.append(np.full(len(some), unit))
        unit = float(max(values[0] for values in units))
        shares = np.concatenate(products) * (np.concatenate(units) / unit)
        return Reading(shares[place], (norm, unit), (self.access.row_norms(points[0]) / norm) ** 2)

    def _products(self, rows: IntArray, norm: float) -> tuple[Float64Array, float]:
        block: Any = self.access.rows(rows)
        block = block.astype(np.float64) / norm
        if not isinstance(self.factor, MatrixSide):
            return np.asarray(block @ self.factor), cast("float", self.unit)
        other: Any = self.factor.rows(rows)
        other = other.astype(np.float64)
        is_sparse: bool = sp.issparse(other)
        stored = other.data if is_sparse else other
        bad = first_nonfinite(stored)
        if bad is not None:
            row, col = (other.tocoo().coords[0][bad[0]], other.indices[bad[0]]) if is_sparse else bad
            raise_nonfinite(self.factor.name, (int(rows[row]), int(col)), stored[bad])
        unit = self.unit if self.unit is not None else float(np.abs(stored).max(initial=0.0)) or 1.0
        if sp.issparse(block) or is_sparse:
            product = sp.csr_array(block).multiply(other / unit).sum(axis=1)
        else:
            product = np.einsum("ij,ij->i", block, other / unit)
        return np.asarray(product, dtype=np.float64).ravel(), unit


@dataclass(frozen=True, slots=True)
class RowLawSide:
    """The factor 1, with draws of rows by the squared norms of a matrix, if it has them, that `RowSide` multiplies."""

    access: SampleQueryMatrix | None

    @property
    def sampled(self) -> bool:
        return self.access is not None

    @property
    def is_zero(self) -> bool:
        return self.access is not None and self.access.frobenius_norm == 0.0

    def sample(self, n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
        return (cast("SampleQueryMatrix", self.access).sample_rows(n_draws, generator),)

    def read(self, points: tuple[IntArray, ...]) -> Reading:
        law = None
        if self.access is not None:
            law = (self.access.row_norms(points[0]) / self.access.frobenius_norm) ** 2
        return Reading(np.ones(len(points[0])), (), law)


def draw_from(sides: list[Side], n_draws: int, generator: np.random.Generator) -> tuple[IntArray, ...]:
    """Draw points from one side, or each from one of two by the toss of a coin."""
    if len(sides) == 1:
        return sides[0].sample(n_draws, generator)
    heads = generator.random(n_draws) < 0.5
    n_heads = int(np.count_nonzero(heads))
    first, second = sides[0].sample(n_heads, generator), sides[1].sample(n_draws - n_heads, generator)
    points = []
    for left, right in zip(first, second, strict=True):
        merged = np.empty(n_draws, dtype=np.int64)
        merged[heads], merged[~heads] = left, right
        points.append(merged)
    return tuple(points)


def summands(
    left: Side, right: Side, n_draws: int, generator: np.random.Generator
) -> tuple[Float64Array, tuple[float, ...]]:
    """Return l_i r_i / q_i at points drawn from the law q, in the units that follow."""
    sides = [left] if left is right else [side for side in (left, right) if side.sampled]
    points = draw_from(sides, n_draws, generator)
    one = left.read(points)
    other = one if left is right else right.read(points)
    laws = [reading.law for reading in (one, other) if reading.law is not None]
    law = sum(laws[1:], laws[0]) / len(laws)
    return one.shares * other.shares / law, one.units + other.units
