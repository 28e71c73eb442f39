"""Matrices of any size in closed form: every entry, norm and singular value is known, and nothing is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_indices, check_rank
from qinspired.problems._spectra import check_shape, check_singular_values

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

__all__ = ["VirtualLowRankProblem", "virtual_low_rank_matrix"]

# Modes are evaluated for about this many entries at a time: 32 MB of float64.
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class VirtualLowRankProblem:
    """The matrix A_ij = sum_l s_l u_l(i) v_l(j) with cosine modes u_l and v_l, made by `virtual_low_rank_matrix`.

    Attributes
    ----------
    shape : (int, int)
        (m, n).
    singular_values : ndarray of float64, shape (p,)
        All nonzero singular values of A, descending.
    """

    shape: tuple[int, int]
    singular_values: Float64Array

    @property
    def frobenius_norm(self) -> float:
        """|A|_F."""
        return math.hypot(*self.singular_values.tolist())

    @property
    def norm_bound(self) -> float:
        """A number that no row norm exceeds: sqrt(2 / m) |A|_F."""
        return math.sqrt(2.0 / self.shape[0]) * self.frobenius_norm

    @property
    def access(self) -> dict[str, Any]:
        """Keyword arguments that make it a matrix: ``qinspired.ImplicitMatrix(**problem.access)``."""
        return {
            "row_norms": self.row_norms,
            "row_function": None,
            "shape": self.shape,
            "entry_function": self.entries,
            "norm_bound": self.norm_bound,
            "entry_bound": self.entry_bound,
            "frobenius_norm": self.frobenius_norm,
        }

    def left_vectors(self, rows: npt.ArrayLike) -> Float64Array:
        """Return u_l(i) for the given rows, of shape rows.shape + (p,)."""
        return _modes(check_indices(rows, self.shape[0], "rows", ndim=None), self.shape[0], len(self.singular_values))

    def right_vectors(self, cols: npt.ArrayLike) -> Float64Array:
        """Return v_l(j) for the given columns, of shape cols.shape + (p,)."""
        return _modes(check_indices(cols, self.shape[1], "cols", ndim=None), self.shape[1], len(self.singular_values))

    def row_norms(self, rows: npt.ArrayLike) -> Float64Array:
        """Return the norms of the given rows, of shape (len(rows),)."""
        weighted = self.left_vectors(rows) * (self.singular_values / self.singular_values[0])
        return np.asarray(np.sqrt((weighted**2).sum(axis=-1)) * self.singular_values[0])

    def entry_bound(self, rows: npt.ArrayLike) -> Float64Array:
        """Return sqrt(2 / n) sum_l s_l |u_l(i)| for the given rows i, which no entry of theirs exceeds."""
        sizes: Float64Array = np.abs(self.left_vectors(rows)) @ self.singular_values
        return np.asarray(math.sqrt(2.0 / self.shape[1]) * sizes)

    def entries(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Float64Array:
        """Return A[rows, cols]; the indices broadcast, and a grid (rows[:, None], cols[None, :]) is one product."""
        left = self.left_vectors(rows) * self.singular_values
        right = self.right_vectors(cols)
        if left.ndim == right.ndim == 3 and left.shape[1] == right.shape[0] == 1:
            return np.asarray(left[:, 0] @ right[0].T)
        return np.asarray(np.einsum("...l,...l->...", left, right))

    def rows(self, rows: npt.ArrayLike) -> Float64Array:
        """Return whole rows, of shape (len(rows), n)."""
        index = check_indices(rows, self.shape[0], "rows")
        block = np.empty((len(index), self.shape[1]))
        step = max(1, _BLOCK_ENTRIES // len(self.singular_values))
        for start in range(0, self.shape[1], step):
            cols = np.arange(start, min(start + step, self.shape[1]))
            block[:, cols] = self.entries(index[:, None], cols[None, :])
        return block

    def optimal_error(self, rank: int) -> float:
        """Return |A - A_k|_F / |A|_F for the best approximation A_k of rank k."""
        rank = check_rank(rank, self.shape)
        return math.hypot(*self.singular_values[rank:].tolist()) / self.frobenius_norm

    def skeleton_error(self, rows: npt.ArrayLike, cols: npt.ArrayLike, core: npt.ArrayLike) -> float:
        """Return |A - A[:, cols] G A[rows]|_F / |A|_F.

        Parameters
        ----------
        rows : array_like of int, shape (r,)
            Rows of A.
        cols : array_like of int, shape (c,)
            Columns of A.
        core : array_like, shape (c, r)
            The matrix G between them.

        Returns
        -------
        float
            Exact, since in the bases of the modes both matrices are p x p.
        """
        s = self.singular_values / self.singular_values[0]
        factors = np.asarray(core, dtype=np.float64) * self.singular_values[0]
        inner = (s[:, None] * self.right_vectors(cols).T) @ factors @ (self.left_vectors(rows) * s)
        return float(np.linalg.norm(np.diag(s) - inner) / np.linalg.norm(s))


def virtual_low_rank_matrix(shape: tuple[int, int], singular_values: npt.ArrayLike) -> VirtualLowRankProblem:
    """Matrix A = U diag(s) V^T of any size whose singular vectors are the cosine modes of the DCT-II.

    Parameters
    ----------
    shape : (int, int)
        (m, n), both above the number of singular values; a billion each is no trouble.
    singular_values : array_like, shape (p,)
        The nonzero singular values, positive, descending.

    Returns
    -------
    VirtualLowRankProblem
        With `entries`, `row_norms`, bounds, the best errors, and `access` for `qinspired.ImplicitMatrix`.

    Raises
    ------
    ValueError
        If there are not fewer singular values than rows and columns, one is not positive and finite, they are not
        descending, or a phase p m would leave 64 bits.

    Notes
    -----
    u_l(i) = sqrt(2 / m) cos(pi (l + 1) (2 i + 1) / (2 m)), and v_l likewise with n, are exactly orthonormal, so these
    are the singular triplets. The phase is reduced modulo 4 m in integers before the cosine: in floats it would lose
    as many digits as p has.

    Cost: p cosines for each row and each column asked; p multiplications an entry.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.virtual_low_rank_matrix((10**9, 10**9), 0.8 ** np.arange(20))
    >>> A = qi.ImplicitMatrix(**problem.access)
    >>> A.shape, A.sample_rows(3, rng=0).shape
    ((1000000000, 1000000000), (3,))
    """
    m, n = check_shape(shape)
    size = np.size(singular_values)
    values = check_singular_values(singular_values, size) if size else np.zeros(0)
    if not 0 < size < min(m, n):
        raise ValueError(
            f"`singular_values` must be at least 1 and fewer than min(m, n) = {min(m, n)}, the modes there "
            f"are; got {size}."
        )
    if size * 2 * max(m, n) >= 2**63:
        raise ValueError(f"`shape` must keep 2 p max(m, n) below 2^63; got {shape} and p = {size}.")
    values = values.copy()
    values.flags.writeable = False
    return VirtualLowRankProblem((m, n), values)


def _modes(index: IntArray, length: int, count: int) -> Float64Array:
    orders = np.arange(1, count + 1)
    phases = (orders * (2 * index[..., None] + 1)) % (4 * length)
    return np.asarray(math.sqrt(2.0 / length) * np.cos(phases * (math.pi / (2.0 * length))))
