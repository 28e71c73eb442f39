"""The state of a frequent-directions sketch: buffered rows, and what shrinking took away."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray

__all__ = ["SketchBuffer"]

# A Gram matrix gives squares of singular values to some eps sigma_1^2. Below this share of sigma_1^2 the square that is
# taken away would be known to some six digits at best, and a QR factorization gives it instead: steps of 64, 256 and
# 500 rows of 10,000, 10,000 and 2,000 columns took 9, 4 and 2.7 times as long with it.
_GRAM_SHARE = 1e-9

# The same for the squares left out of an answer, as a share of all: they are read once, and the error is their root.
_GRAM_REST = 1e-6

# Columns of float32 rows that are widened at a time for a Gram matrix in float64.
_STRIP_COLUMNS = 4096

# Row norms within this power of two of the unit are squared and multiplied as they are.
_SAFE_EXPONENT = {4: 30, 8: 100}

_MAX_SPARSE_BATCH = 8  # times the size of the sketch


class SketchBuffer:
    """Rows B, dense and sparse, with B^T B <= A^T A <= B^T B + `shrinkage` I, in units of 2^`exponent`.

    A copy shares the array of its original, and writes into it only beyond the rows that the original counts: an
    update is made on a copy, which takes the place of the original when all went well.
    """

    def __init__(self, n_features: int, size: int, dtype: np.dtype[Any]) -> None:
        self.n_features, self.size, self.dtype = n_features, size, dtype
        self.eps = float(np.finfo(dtype).eps)
        self.exponent: int | None = None
        self.n_dense = 0
        self.pending: list[sp.csr_array[Any]] = []
        self.n_pending = 0
        self.energy = self.lost = self.shrinkage = 0.0
        # Rounding: how far the rows may have moved, and by how much squares from Gram matrices may be wrong.
        self.drift = self.blur = 0.0
        self.n_rows = 0
        # What each dense row's direction lost so far, as a share of the row's square: an estimate.
        self._loss_shares = np.zeros(0)
        self._rows: FloatArray | None = None
        self._owns = True
        self._needs_qr = False

    def copy(self) -> SketchBuffer:
        """Return a copy that may be changed without a change of this one."""
        other = copy.copy(self)
        other.pending = list(self.pending)
        other._owns = False
        return other

    @property
    def n_held(self) -> int:
        """Number of rows held."""
        return self.n_dense + self.n_pending

    @property
    def dense(self) -> FloatArray:
        """The dense rows."""
        if self._rows is None:
            return np.empty((0, self.n_features), dtype=self.dtype)
        return self._rows[: self.n_dense]

    def add(self, block: FloatArray | sp.csr_array[Any], norms: Float64Array) -> None:
        """Take in rows of the stream, with their norms."""
        largest = float(norms.max())
        if largest > 0.0:
            self._fit_exponent(math.frexp(largest)[1])
            shares = np.ldexp(norms, -self._unit)
            self.energy += float(shares @ shares)
            self._append(block, -self._unit)
        self.n_rows += block.shape[0]

    def absorb(self, other: SketchBuffer) -> None:
        """Take in the rows of another sketch, and all that it lost."""
        if other.exponent is not None:
            self._fit_exponent(other.exponent)
            shift = other.exponent - self._unit
            square = math.ldexp(1.0, 2 * shift)
            self.energy += other.energy * square
            self.lost += other.lost * square
            self.shrinkage += other.shrinkage * square
            self.blur += other.blur * square
            self.drift += math.ldexp(other.drift, shift)
            if other.n_dense:
                self._append_dense(other.dense, shift, other._loss_shares)
            for block in other.pending:
                self._append(block, shift)
        self.n_rows += other.n_rows

    def settle(self, n_rows: int) -> None:
        """Make all rows dense, and at most so many of them."""
        if self.n_held > n_rows:
            self.shrink()
        if self.n_pending:
            # This sketch is kept beside its original, which goes on to write behind its own rows.
            self._take_room(self.dense)
            self._densify()

    def repaid(self, left: Float64Array, squares: Float64Array, count: int) -> float:
        """Return an estimate of what the first right singular vectors of the dense rows lost so far, all together.

        What rows outside their span lost is taken to be spread evenly over all directions. In the range of the error
        that is certain, on 21 streams of 300 and 400 columns, the estimate lay within 0.15 of the truth; on 3 whose
        directions turn, within 0.31.
        """
        losses = self._losses(left, squares)
        outside = max(self.lost - float(losses.sum()), 0.0) / self.n_features
        return float(np.minimum(losses[:count] + outside, self.shrinkage).sum())

    def floor(self, squares: Float64Array) -> float:
        """Return the square below which a singular value is rounding: (8 eps |B|_F)^2."""
        return (8.0 * self.eps) ** 2 * float(squares.sum())

    def _losses(self, left: Float64Array, squares: Float64Array) -> Float64Array:
        """Return estimates of the losses in the directions of right singular vectors.

        The loss is taken to be a sum over the dense rows b_j that shrinking left, c_j in the direction of b_j; a right
        singular vector v_i has the cosine U_ji sigma_i / |b_j| with it.
        """
        weights = np.zeros(len(left))
        weights[: self.n_dense] = self._loss_shares
        return np.asarray((weights @ left**2) * squares)

    def _append(self, block: FloatArray | sp.csr_array[Any], shift: int) -> None:
        if isinstance(block, np.ndarray):
            self._append_dense(block, shift)
            return
        batch = self._sparse_batch()
        for start in range(0, block.shape[0], batch):
            part = block[start : start + batch].astype(self.dtype)
            part.data = np.ldexp(part.data, shift) if shift else part.data
            self.pending.append(part)
            self.n_pending += part.shape[0]
            if self.n_pending >= batch:
                self.shrink()

    def _append_dense(self, block: FloatArray, shift: int, shares: Float64Array | None = None) -> None:
        shares = np.zeros(len(block)) if shares is None else shares
        start = 0
        while start < len(block):
            if self.n_dense == 2 * self.size:
                self.shrink()
            rows = self._take_room(self.dense) if self._rows is None else self._rows
            stop = min(start + 2 * self.size - self.n_dense, len(block))
            place = rows[self.n_dense : self.n_dense + stop - start]
            if shift:
                np.ldexp(block[start:stop], shift, out=place, casting="same_kind")
            else:
                place[:] = block[start:stop]
            self.n_dense += stop - start
            self._loss_shares = np.append(self._loss_shares, shares[start:stop])
            start = stop

    def _densify(self) -> None:
        pending, self.pending, self.n_pending = self.pending, [], 0
        for block in pending:
            for start in range(0, block.shape[0], self.size):
                self._append_dense(block[start : start + self.size].toarray(), 0)

    def shrink(self) -> None:
        """Leave at most `size` rows: take the square of the next singular value from all squares."""
        if self.n_held <= self.size:
            return
        if not self._needs_qr:
            left, squares = self._by_gram()
            accurate = self.dtype == np.float32 or squares[self.size] > _GRAM_SHARE * squares[0]
            if accurate:
                self.blur += _gram_rounding(squares)
                self._keep(left, squares)
                return
            self._needs_qr = True
        if self.n_pending:
            self._densify()
            self.shrink()
            return
        left, squares = self._by_qr()
        self._needs_qr = len(squares) <= self.size or squares[self.size] < 4.0 * _GRAM_SHARE * squares[0]
        self._keep(left, squares)

    def directions(self, count: int) -> tuple[Float64Array, Float64Array, float]:
        """Return left singular vectors of the dense rows, squares of singular values, and how wrong the squares are.

        For float32 rows the Gram matrix in float64 is as accurate as the rows.
        """
        if self.n_held == 0:
            return np.zeros((0, 0)), np.zeros(0), 0.0
        if self.dtype == np.float32 or not self._needs_qr:
            left, squares = self._by_gram()
            if self.dtype == np.float32 or self.lost + squares[count:].sum() > _GRAM_REST * squares.sum():
                return left, squares, _gram_rounding(squares)
        return *self._by_qr(), 0.0

    def _by_qr(self) -> tuple[Float64Array, Float64Array]:
        triangle = scipy.linalg.qr(self.dense.T, mode="r", check_finite=False)[0][: self.n_features]
        left, values, _ = np.linalg.svd(triangle.T, full_matrices=False)
        return left, values**2

    def _by_gram(self) -> tuple[Float64Array, Float64Array]:
        rows, count = self.dense, self.n_dense
        gram = np.zeros((self.n_held, self.n_held))
        if self.dtype == np.float64:
            gram[:count, :count] = rows @ rows.T
        else:
            for start in range(0, self.n_features, _STRIP_COLUMNS):
                strip = rows[:, start : start + _STRIP_COLUMNS].astype(np.float64)
                gram[:count, :count] += strip @ strip.T
        if self.n_pending:
            block = self._stacked().astype(np.float64)
            gram[count:, :count] = block @ rows.T
            gram[:count, count:] = gram[count:, :count].T
            gram[count:, count:] = (block @ block.T).toarray()
        squares, left = np.linalg.eigh(gram)
        return left[:, ::-1], np.maximum(squares[::-1], 0.0)

    def _keep(self, left: Float64Array, squares: Float64Array) -> None:
        """Replace the rows by the leading ones of U^T B, shrunk."""
        floor = self.floor(squares)
        cut = float(squares[self.size]) if len(squares) > self.size else 0.0
        cut = cut if cut > floor else 0.0
        leading = squares[: self.size]
        kept = leading[leading > max(cut, floor)]
        self.lost += cut * len(kept) + float(squares[len(kept) :].sum())
        self.shrinkage += cut
        self.drift += self.eps * math.sqrt(float(squares.sum()))
        losses = self._losses(left[:, : len(kept)], kept) + cut
        transform = (left[:, : len(kept)] * np.sqrt(1.0 - cut / kept)).astype(self.dtype)
        rows = transform[: self.n_dense].T @ self.dense
        if self.n_pending:
            rows += (self._stacked().T @ transform[self.n_dense :]).T
            self.pending, self.n_pending = [], 0
        if self._rows is None or not self._owns:
            self._take_room(rows)
        else:
            self._rows[: len(rows)] = rows
        self.n_dense = len(rows)
        self._loss_shares = losses / np.maximum(kept - cut, np.finfo(np.float64).tiny)

    def _stacked(self) -> sp.csr_array[Any]:
        if len(self.pending) > 1:
            self.pending = [sp.csr_array(sp.vstack(self.pending, format="csr"))]
        return self.pending[0]

    def _take_room(self, rows: FloatArray) -> FloatArray:
        """Take an array of its own, which begins with these rows."""
        room: FloatArray = np.empty((2 * self.size, self.n_features), dtype=self.dtype)
        room[: len(rows)] = rows
        self._rows, self._owns = room, True
        return room

    def _sparse_batch(self) -> int:
        """Return how many sparse rows make the eigenvectors as dear as the dense product."""
        balance = round(math.cbrt(0.4 * self.size**2 * self.n_features)) - self.size
        return min(max(balance, self.size), _MAX_SPARSE_BATCH * self.size)

    @property
    def _unit(self) -> int:
        return self.exponent or 0

    def _fit_exponent(self, exponent: int) -> None:
        """Choose a power of two to divide by, so that squares neither overflow nor underflow."""
        safe = _SAFE_EXPONENT[self.dtype.itemsize]
        if self.exponent is None:
            self.exponent = 0 if abs(exponent) <= safe else exponent
        if exponent <= self.exponent + safe:
            return
        shift = self.exponent - exponent
        square = math.ldexp(1.0, 2 * shift)
        self.energy, self.lost = self.energy * square, self.lost * square
        self.shrinkage, self.blur = self.shrinkage * square, self.blur * square
        self.drift = math.ldexp(self.drift, shift)
        if self._rows is not None:
            self._take_room(np.ldexp(self.dense, shift))
        scaled = []
        for block in self.pending:
            part = block.copy()
            part.data = np.ldexp(part.data, shift)
            scaled.append(part)
        self.pending = scaled
        self.exponent = exponent


def _gram_rounding(squares: Float64Array) -> float:
    return 8.0 * float(np.finfo(np.float64).eps) * float(squares.sum())
