"""Spectrum of a kernel matrix that was normalised to trace N."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qinspired._validation import check_finite_dense

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["KernelSpectrum", "kernel_spectrum", "relative_root"]


class KernelSpectrum(NamedTuple):
    """Eigenvalues, ascending, of sum N, and eigenvectors as columns; values at most `cut` were set to 0."""

    values: Float64Array
    vectors: Float64Array
    cut: float


def kernel_spectrum(K: Any, name: str, *, size: int | None = None) -> KernelSpectrum:
    """Check a kernel matrix and return the spectrum of N K / trace(K).

    Symmetric and positive semidefinite are asked for to the rounding of the type in which K came: 16 N eps of the
    largest entry or eigenvalue.
    """
    array = check_finite_dense(K, name)
    n = array.shape[0]
    if array.shape[1] != n:
        raise ValueError(f"`{name}` must be a square kernel matrix; got shape {array.shape}.")
    if size is not None and n != size:
        raise ValueError(f"`{name}` must be of the same {size} points as the other kernel; got shape {array.shape}.")
    slack = 16.0 * n * float(np.finfo(array.dtype).eps)
    largest = float(np.abs(array).max())
    if largest == 0.0:
        raise ValueError(f"`{name}` must not be zero; its trace is 0, so that it cannot be normalised.")
    matrix = array.astype(np.float64) / largest  # no trace of entries near 1e308 overflows
    gap = float(np.abs(matrix - matrix.T).max())
    if gap > slack:
        raise ValueError(
            f"`{name}` must be symmetric; |K - K^T| reaches {gap:.2g} of its largest entry. Average the two if they "
            "differ by noise alone."
        )
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    top = float(np.abs(values).max())
    if values[0] < -slack * top:
        raise ValueError(
            f"`{name}` must be positive semidefinite; its lowest eigenvalue is {values[0] / top:.2g} of the largest. "
            "A kernel estimated from shots needs its negative eigenvalues clipped first."
        )
    values = np.where(values > slack * top, values, 0.0)
    scale = n / float(values.sum())
    return KernelSpectrum(values * scale, vectors, slack * top * scale)


def relative_root(
    classical: KernelSpectrum, quantum: KernelSpectrum, regularisation: float
) -> tuple[Float64Array, float]:
    """Return M with M^T M = sqrt(K_Q) sqrt(K_C) (K_C + l)^-2 sqrt(K_C) sqrt(K_Q) in the basis of K_Q, and a leak.

    The leak is the largest weight of K_Q on the kernel of K_C, on which K_C^-1 does not exist and M has no rows.
    """
    overlaps = (classical.vectors.T @ quantum.vectors) * np.sqrt(quantum.values)
    inside = classical.values > 0.0
    kept = classical.values[inside]
    root = (np.sqrt(kept) / (kept + regularisation))[:, None] * overlaps[inside]
    leak = float(np.linalg.norm(overlaps[~inside], 2)) ** 2 if not inside.all() else 0.0
    return root, leak
