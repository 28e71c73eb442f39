"""Leading eigenvectors of weighted sums of outer products of rows: Gram matrices and warm-started block Krylov."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import scipy.sparse as sp

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray
    from qinspired.algorithms._row_sample import RowBatch

__all__ = ["Ritz", "complete_orthonormal", "eigenpairs_by_gram", "leading_eigenpairs", "orthonormal", "ritz_pairs"]


@dataclass(frozen=True, slots=True)
class Ritz:
    """Approximate leading eigenvectors (n, p) and eigenvalues (p,), descending, of S divided by its draws."""

    vectors: FloatArray
    values: Float64Array


def leading_eigenpairs(matrix: Float64Array, count: int) -> tuple[Float64Array, Float64Array]:
    """Return the `count` largest eigenvalues of a symmetric matrix, descending, and their vectors."""
    size = len(matrix)
    if count < size // 4:
        values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[size - count, size - 1], check_finite=False)
    else:
        values, vectors = np.linalg.eigh(matrix)
    return values[::-1][:count], vectors[:, ::-1][:, :count]


def ritz_pairs(images: FloatArray, inner: Float64Array, n_draws: int, count: int) -> Ritz:
    """Return Ritz pairs of S on the row space of a basis B, from the images S B and the inner products B^T S B.

    The Rayleigh-Ritz step is taken in the left space: with R^T R = S and Q an orthonormal basis of R B, the pairs
    are the singular pairs of Q^T R = (B^T S B)^(-1/2) (S B)^T. B need not be orthonormal.
    """
    precision = float(np.finfo(images.dtype).eps)
    squares, mixing = np.linalg.eigh(inner)
    kept = squares > squares[-1] * precision * len(squares)
    if not kept.any():
        return Ritz(images[:, :0], np.zeros(0))
    left = images @ (mixing[:, kept] / np.sqrt(squares[kept])).astype(images.dtype)
    values, rotation = np.linalg.eigh(left.T.astype(np.float64) @ left.astype(np.float64))
    values, rotation = values[::-1], rotation[:, ::-1]
    above = values > max(values[0], 0.0) * precision * len(values)
    values, rotation = values[above][:count], rotation[:, above][:, :count]
    return Ritz(left @ (rotation / np.sqrt(values)).astype(images.dtype), values / n_draws)


def eigenpairs_by_gram(batches: list[RowBatch], count: int) -> Ritz:
    """Return the leading eigenpairs of S exactly, from the smaller Gram matrix of the weighted rows."""
    n = batches[0].block.shape[1]
    dtype = batches[0].weights.dtype
    n_draws = sum(batch.n_draws for batch in batches)
    n_rows = sum(len(batch.rows) for batch in batches)
    precision = float(np.finfo(dtype).eps)
    if n <= n_rows:
        moment = np.zeros((n, n))
        for batch in batches:
            moment += _to_dense(_scale_rows(batch).T @ batch.block)
        values, vectors = leading_eigenpairs(moment, min(count, n))
        kept = values > max(values[0], 0.0) * precision * n
        return Ritz(vectors[:, kept].astype(dtype), values[kept] / n_draws)
    blocks = [_scale_rows(batch, root=True) for batch in batches]
    rows = blocks[0] if len(blocks) == 1 else (sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.vstack(blocks))
    gram = _to_dense(rows @ rows.T)
    values, vectors = leading_eigenpairs(gram, min(count, n_rows))
    kept = values > max(values[0], 0.0) * precision * n_rows
    values, vectors = values[kept], vectors[:, kept]
    return Ritz(np.asarray(rows.T @ (vectors / np.sqrt(values)).astype(dtype)), values / n_draws)


def _scale_rows(batch: RowBatch, *, root: bool = False) -> FloatArray | sp.csr_array:
    scale = np.sqrt(batch.weights) if root else batch.weights
    if isinstance(batch.block, np.ndarray):
        return batch.block * scale[:, None]
    return sp.csr_array(sp.diags_array(scale) @ batch.block)


def _to_dense(product: FloatArray | sp.sparray) -> Float64Array:
    return np.asarray(product.toarray() if sp.issparse(product) else product, dtype=np.float64)


def orthonormal(vectors: FloatArray) -> FloatArray:
    """Return the orthonormal basis nearest in order to the given columns: Cholesky QR, Householder QR if they are far."""
    wide = vectors.astype(np.float64)
    overlap = wide.T @ wide
    if np.abs(overlap - np.eye(len(overlap))).max(initial=0.0) < 0.1:
        factor = np.linalg.cholesky(overlap)
        return np.asarray(scipy.linalg.solve_triangular(factor, wide.T, lower=True).T, dtype=vectors.dtype)
    basis, triangle = np.linalg.qr(wide)
    return np.asarray(basis * np.where(np.diag(triangle) < 0, -1.0, 1.0), dtype=vectors.dtype)


def complete_orthonormal(vectors: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Add random orthonormal columns until there are `count`."""
    missing = count - vectors.shape[1]
    if missing <= 0:
        return vectors
    extra = rng.standard_normal((len(vectors), missing))
    for _ in range(2):  # twice is enough
        extra -= vectors @ (vectors.T @ extra)
        extra = np.linalg.qr(extra)[0]
    return np.hstack([vectors, extra.astype(vectors.dtype)])
