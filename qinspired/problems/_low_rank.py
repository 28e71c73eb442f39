"""Low-rank matrices plus noise, with their singular vectors known by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_nonnegative, check_rank
from qinspired.problems._spectra import (
    Spectrum,
    check_dtype,
    check_shape,
    check_singular_values,
    orthonormal,
    singular_spectrum,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, RNGLike

__all__ = ["LowRankProblem", "low_rank_matrix", "row_blocks", "row_scales"]

# Entries of one row block: 32 MB of float64, so that a 1.6 GB matrix needs no second copy of itself.
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True)
class LowRankProblem:
    """A matrix A = U diag(s) V^T + E with prescribed singular triplets.

    Attributes
    ----------
    A : ndarray of float32 or float64, shape (m, n)
        The matrix.
    U : ndarray of float64, shape (m, k)
        Left singular vectors of the signal, as columns.
    singular_values : ndarray of float64, shape (k,)
        Singular values of the signal, descending.
    V : ndarray of float64, shape (n, k)
        Right singular vectors of the signal, as columns; `V.T` is what a solver calls its components.
    noise : float
        |E|_F divided by the Frobenius norm of the signal.
    """

    A: FloatArray
    U: Float64Array
    singular_values: Float64Array
    V: Float64Array
    noise: float

    @property
    def frobenius_norm(self) -> float:
        """|A|_F, exact in exact arithmetic because E is orthogonal to the signal."""
        return float(np.linalg.norm(self.singular_values) * np.hypot(1.0, self.noise))

    @property
    def optimal_error(self) -> float:
        """|A - A V V^T|_F / |A|_F; the best of rank k as long as the spectral norm of E is below s_k."""
        return float(self.noise / np.hypot(1.0, self.noise))


def row_blocks(n_rows: int, n_cols: int) -> Iterator[slice]:
    """Yield the slices of a fixed blocking by rows; the draws of a block do not depend on the machine."""
    step = max(1, _BLOCK_ENTRIES // n_cols)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def row_scales(n_rows: int, row_skew: float, rng: np.random.Generator) -> Float64Array | None:
    """Return log-normal factors exp(row_skew z), or None where there is no skew."""
    if row_skew == 0.0:
        return None
    return np.exp(row_skew * rng.standard_normal(n_rows))


def low_rank_matrix(
    shape: tuple[int, int],
    rank: int,
    *,
    singular_values: npt.ArrayLike | None = None,
    kappa: float = 3.0,
    spectrum: Spectrum = "geometric",
    noise: float = 0.0,
    row_skew: float = 0.0,
    dtype: npt.DTypeLike = np.float64,
    rng: RNGLike = None,
) -> LowRankProblem:
    """Generate A = U diag(s) V^T + E of prescribed spectrum, noise level and skew of the row norms.

    Parameters
    ----------
    shape : (int, int)
        (m, n).
    rank : int
        Rank k of the signal, in [1, min(m, n)].
    singular_values : array_like, shape (k,), optional
        Singular values of the signal, positive, descending. Replaces `kappa` and `spectrum`.
    kappa : float
        s_1/s_k, at least 1; s_1 is 1.
    spectrum : {"geometric", "linear", "flat", "power"}
        Shape of the spectrum, see `singular_spectrum`.
    noise : float
        |E|_F / |U diag(s) V^T|_F, at least 0. More than 0 needs `rank` < min(m, n).
    row_skew : float
        Standard deviation of z in the log-normal row factors d_i = exp(row_skew z_i); 0 for none. The columns
        of U are the orthonormal basis (QR) of diag(d) G with G Gaussian, so the row norms of A spread like d
        while the singular values stay as prescribed; the rows of the noise are scaled by the same d.
    dtype : float32 or float64
        Type of A. The factors are float64.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the draws.

    Returns
    -------
    LowRankProblem
        The matrix and its factors.

    Raises
    ------
    ValueError
        If `rank` is outside [1, min(m, n)], a value is out of its range, or there is noise and `rank` is
        min(m, n), which leaves no room for it.

    Notes
    -----
    The noise is Gaussian, projected to be orthogonal to the columns of U and the columns of V, then scaled
    to the exact norm. So each (u_i, s_i, v_i) is an exact singular triplet of A (to rounding in `dtype`),
    and they are the leading k as long as the spectral norm of E, about noise |s| (1/sqrt(m) + 1/sqrt(n))
    for unskewed rows, is below s_k. The projection removes about k (m + n) of the m n dimensions of the
    noise.

    Cost: m n draws if there is noise, 8 m n k operations, one array of m n and some row blocks of 32 MB.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.problems import low_rank_matrix
    >>> problem = low_rank_matrix((200, 80), 3, kappa=4.0, noise=0.1, rng=0)
    >>> s = np.linalg.svd(problem.A, compute_uv=False)
    >>> bool(np.allclose(s[:3], [1.0, 0.5, 0.25])), bool(s[3] < 0.1)
    (True, True)
    """
    n_rows, n_cols = check_shape(shape)
    rank = check_rank(rank, (n_rows, n_cols))
    noise = check_nonnegative(noise, "noise")
    row_skew = check_nonnegative(row_skew, "row_skew")
    result_dtype = check_dtype(dtype)
    if noise > 0.0 and rank == min(n_rows, n_cols):
        raise ValueError(
            f"`noise` must be 0 when `rank` is min(m, n) = {rank}, as nothing is orthogonal to the signal; got {noise}."
        )
    if singular_values is None:
        s = singular_spectrum(rank, kappa=kappa, spectrum=spectrum)
    else:
        s = check_singular_values(singular_values, rank)
    generator = as_generator(rng)
    scales = row_scales(n_rows, row_skew, generator)
    gaussian = generator.standard_normal((n_rows, rank))
    if scales is not None:
        gaussian *= scales[:, None]
    U = orthonormal(gaussian)
    V = orthonormal(generator.standard_normal((n_cols, rank)))
    A = compose(U, s, V, noise=noise, scales=scales, dtype=result_dtype, rng=generator)
    return LowRankProblem(A=A, U=U, singular_values=s, V=V, noise=noise)


def compose(
    U: Float64Array,
    s: Float64Array,
    V: Float64Array,
    *,
    noise: float,
    scales: Float64Array | None,
    dtype: np.dtype[Any],
    rng: np.random.Generator,
) -> FloatArray:
    """Write U diag(s) V^T + E into one new array, block of rows by block of rows."""
    n_rows, n_cols = U.shape[0], V.shape[0]
    A: FloatArray = np.empty((n_rows, n_cols), dtype=dtype)
    left = U.astype(dtype)
    right = (s[:, None] * V.T).astype(dtype)
    if noise == 0.0:
        for rows in row_blocks(n_rows, n_cols):
            np.matmul(left[rows], right, out=A[rows])
        return A
    # First pass: raw noise G, with P = G V and W = U^T G; the projected noise is
    # E = (I - U U^T) G (I - V V^T) = G - P V^T - U W + U (U^T P) V^T, a correction of rank 2k.
    V_low = V.astype(dtype)
    P = np.empty((n_rows, len(s)))
    W = np.zeros((len(s), n_cols))
    total = 0.0
    for rows in row_blocks(n_rows, n_cols):
        block = A[rows]
        rng.standard_normal(out=block, dtype=dtype)
        if scales is not None:
            block *= scales[rows, None].astype(dtype)
        P[rows] = block @ V_low
        W += left[rows].T @ block
        total += float(np.einsum("ij,ij->i", block, block).sum(dtype=np.float64))
    core = U.T @ P
    norm_sq = total - float(np.sum(P * P)) - float(np.sum(W * W)) + float(np.sum(core * core))
    factor = noise * float(np.linalg.norm(s)) / np.sqrt(norm_sq)
    left = np.hstack((U, P - U @ core)).astype(dtype)
    right = np.vstack((s[:, None] * V.T - factor * W, -factor * V.T)).astype(dtype)
    for rows in row_blocks(n_rows, n_cols):
        block = A[rows]
        block *= dtype.type(factor)
        block += left[rows] @ right
    return A
