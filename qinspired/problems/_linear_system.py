"""Linear systems with a known solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_nonnegative, check_rank, first_nonfinite
from qinspired.problems._low_rank import compose, row_blocks, row_scales
from qinspired.problems._spectra import Spectrum, check_dtype, check_shape, orthonormal, singular_spectrum

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, FloatArray, RNGLike

__all__ = ["LinearSystem", "linear_system", "linear_system_cell"]


@dataclass(frozen=True, slots=True)
class LinearSystem:
    """A system A x = b + noise with the vector that made it.

    Attributes
    ----------
    A : ndarray of float32 or float64, shape (m, n)
        The matrix.
    b : ndarray of float64, shape (m,)
        A x_true + e.
    x_true : ndarray of float64, shape (n,)
        Unit vector in the row space of A. The least-squares solution too where `noise` is 0; with noise the
        least-squares solution differs from it by A^+ e.
    noise : float
        |e| / |A x_true|.
    """

    A: FloatArray
    b: Float64Array
    x_true: Float64Array
    noise: float


def linear_system(
    shape: tuple[int, int],
    *,
    rank: int | None = None,
    kappa: float = 1.0,
    spectrum: Spectrum = "geometric",
    column_scales: npt.ArrayLike | None = None,
    noise: float = 0.0,
    row_skew: float = 0.0,
    dtype: npt.DTypeLike = np.float64,
    rng: RNGLike = None,
) -> LinearSystem:
    """Generate A x = b with A of prescribed spectrum and rank, or Gaussian with scaled columns.

    Parameters
    ----------
    shape : (int, int)
        (m, n).
    rank : int, optional
        Rank of A in [1, min(m, n)], by default min(m, n). Not with `column_scales`.
    kappa : float
        s_1/s_k of A, at least 1; s_1 is 1. Not with `column_scales`.
    spectrum : {"geometric", "linear", "flat", "power"}
        Shape of the spectrum, see `singular_spectrum`. Not used with `column_scales`.
    column_scales : array_like, shape (n,), optional
        If given, A is a standard Gaussian matrix with column j multiplied by column_scales[j] > 0: the
        singular values of a tall A are then close to sqrt(m) times the scales.
    noise : float
        |e| / |A x_true| for b = A x_true + e, e Gaussian scaled to this length exactly; 0 is a
        consistent system.
    row_skew : float
        Standard deviation of z in the log-normal row factors exp(row_skew z_i); 0 for none. With a prescribed
        spectrum they act through the left singular vectors (see `low_rank_matrix`), otherwise on the rows.
    dtype : float32 or float64
        Type of A; b and x_true are float64, and b is computed from A as stored.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the draws.

    Returns
    -------
    LinearSystem
        A, b, the unit vector x_true and the noise level.

    Raises
    ------
    ValueError
        If a value is out of its range, or `column_scales` comes with `rank` or `kappa`.

    Notes
    -----
    Cost: with `column_scales` m n draws and no second array of that size; otherwise (m + n) k draws, the QR
    factorisations of an m x k and an n x k matrix and 2 m n k operations.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.problems import linear_system
    >>> system = linear_system((300, 40), rank=5, kappa=10.0, noise=0.5, rng=0)
    >>> residual = system.b - system.A @ system.x_true
    >>> round(float(np.linalg.norm(residual) / np.linalg.norm(system.A @ system.x_true)), 6)
    0.5
    """
    n_rows, n_cols = check_shape(shape)
    noise = check_nonnegative(noise, "noise")
    row_skew = check_nonnegative(row_skew, "row_skew")
    result_dtype = check_dtype(dtype)
    generator = as_generator(rng)
    if column_scales is not None:
        if rank is not None or kappa != 1.0:
            raise ValueError(
                "`column_scales` fixes the spectrum, so it must come without `rank` and `kappa`; drop one."
            )
        columns = _check_scales(column_scales, n_cols)
        A = _scaled_gaussian((n_rows, n_cols), columns, row_skew, result_dtype, generator)
        x = generator.standard_normal(n_cols)
        if n_rows < n_cols:  # only a wide matrix has a null space, which A x cannot tell from zero
            x = A.T.astype(np.float64) @ generator.standard_normal(n_rows)
    else:
        rank = check_rank(min(n_rows, n_cols) if rank is None else rank, (n_rows, n_cols))
        s = singular_spectrum(rank, kappa=kappa, spectrum=spectrum)
        scales = row_scales(n_rows, row_skew, generator)
        gaussian = generator.standard_normal((n_rows, rank))
        if scales is not None:
            gaussian *= scales[:, None]
        U = orthonormal(gaussian)
        V = orthonormal(generator.standard_normal((n_cols, rank)))
        A = compose(U, s, V, noise=0.0, scales=None, dtype=result_dtype, rng=generator)
        x = V @ generator.standard_normal(rank)
    x /= np.linalg.norm(x)
    b = _multiply(A, x)
    if noise > 0.0:
        e = generator.standard_normal(n_rows)
        b += e * (noise * float(np.linalg.norm(b)) / float(np.linalg.norm(e)))
    return LinearSystem(A=A, b=b, x_true=x, noise=noise)


def linear_system_cell(rank: int, kappa: int, *, shape: tuple[int, int] = (1000, 500)) -> LinearSystem:
    """One consistent system of the rank-by-condition-number table of the published algorithm's study.

    Parameters
    ----------
    rank : int
        Rank of A, in [1, min(m, n)].
    kappa : int
        Condition number, an integer because it is part of the seed 100 rank + kappa; at least 1.
    shape : (int, int)
        (m, n); the table has (1000, 500).

    Returns
    -------
    LinearSystem
        With `noise` 0.

    Raises
    ------
    ValueError
        If `rank` or `kappa` is out of its range.
    TypeError
        If `kappa` is not an integer.

    Notes
    -----
    A = U diag(s) V^T with s log-spaced from 1 down to 1/kappa; U, then V, are the Q factors (numpy's, signs
    left alone) of Gaussian matrices; then x = V g scaled to length 1, and b = A x; all from one
    ``numpy.random.default_rng(100 * rank + kappa)``.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.problems import linear_system_cell
    >>> system = linear_system_cell(2, 3, shape=(60, 30))
    >>> np.linalg.svd(system.A, compute_uv=False)[:3].round(6).tolist()
    [1.0, 0.333333, 0.0]
    """
    n_rows, n_cols = check_shape(shape)
    rank = check_rank(rank, (n_rows, n_cols))
    if isinstance(kappa, bool) or not isinstance(kappa, int | np.integer):
        raise TypeError(f"`kappa` must be an integer, as it is part of the seed; got {kappa!r}.")
    s = singular_spectrum(rank, kappa=int(kappa))
    generator = np.random.default_rng(100 * rank + int(kappa))
    U = np.linalg.qr(generator.standard_normal((n_rows, rank)))[0]
    V = np.linalg.qr(generator.standard_normal((n_cols, rank)))[0]
    A = (U * s) @ V.T
    x = V @ generator.standard_normal(rank)
    x /= np.linalg.norm(x)
    return LinearSystem(A=A, b=A @ x, x_true=x, noise=0.0)


def _check_scales(values: Any, n_cols: int) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n_cols,):
        raise ValueError(f"`column_scales` must have shape ({n_cols},), one for each column; got {array.shape}.")
    if first_nonfinite(array) is not None or array.min() <= 0.0:
        raise ValueError("`column_scales` must be finite and > 0.")
    return array


def _scaled_gaussian(
    shape: tuple[int, int],
    columns: Float64Array,
    row_skew: float,
    dtype: np.dtype[Any],
    rng: np.random.Generator,
) -> FloatArray:
    A: FloatArray = np.empty(shape, dtype=dtype)
    scales = row_scales(shape[0], row_skew, rng)
    for rows in row_blocks(*shape):
        block = A[rows]
        rng.standard_normal(out=block, dtype=dtype)
        block *= columns.astype(dtype)
        if scales is not None:
            block *= scales[rows, None].astype(dtype)
    return A


def _multiply(A: FloatArray, x: Float64Array) -> Float64Array:
    """Return A x in float64, without a float64 copy of a float32 matrix."""
    product = np.empty(A.shape[0])
    for rows in row_blocks(*A.shape):
        product[rows] = A[rows].astype(np.float64, copy=False) @ x
    return product
