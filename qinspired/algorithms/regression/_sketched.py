"""Least squares to full accuracy: a triangular preconditioner, from a sketch or by Cholesky, and refined iterations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from qinspired._rng import stream_key
from qinspired.algorithms.regression._exact_solution import ExactSolution, block_rows
from qinspired.algorithms.regression._gradient_passes import GradientPasses, inverse_norm, solve_transposed
from qinspired.kernels import csr_sketch_rows, dense_sketch_rows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.access import CountingMatrix

__all__ = ["refined", "shows_ill_conditioning", "sketched_least_squares", "worth_sketching"]

# Rows of the sketch for each column, and non-zeros in each column of the embedding. The error falls by
# sqrt(columns / rows) an iteration.
_ROWS_PER_COLUMN, _NONZEROS = 8, 4

# Fewer rows for each column than this go to LAPACK.
_LEAST_ASPECT = 8

# Above this condition number a Cholesky factor of A^T A is no use, and a sample of rows says so beforehand; a sample of
# two rows a column shows up to some 6 times the true one.
_CHOLESKY_LIMIT = 2e7

# Rounds of refinement, each with a residual from A itself, and iterations in one of them.
_ROUNDS, _ITERATIONS = 8, 100

# A distance from the solution above this share of |A x| is never good enough.
_LONG = 1e-3

# Rates for the choice, from one 2-core machine; only their ratios matter.
_LAPACK_RATE, _PASS_BYTES, _PASSES = 2e10, 2e10, 45

_EPS = float(np.finfo(np.float64).eps)


def worth_sketching(A: CountingMatrix) -> bool:
    """Say whether a sketch is predicted to solve a dense system faster than LAPACK."""
    m, n = A.shape
    if A.is_sparse or m < 2 * _ROWS_PER_COLUMN * n:
        return False
    lapack = 2.0 * m * n * n / _LAPACK_RATE
    sketched = _PASSES * m * n * 8.0 / _PASS_BYTES + 2.0 * _ROWS_PER_COLUMN * n**3 / _LAPACK_RATE + 0.01
    return sketched < lapack


def shows_ill_conditioning(A: CountingMatrix, ridge: float, rng: np.random.Generator) -> bool:
    """Say whether a few drawn rows suggest that A^T A has no Cholesky factor of use. It is a guess."""
    n = A.shape[1]
    rows = A.sample_rows(2 * n, rng)
    block: Any = A.rows(rows).astype(np.float64)
    block /= A.row_norms(rows)[:, None] * math.sqrt(len(rows))
    factor = _triangle(np.vstack([block, _penalty_rows(ridge, A.frobenius_norm, n)]))
    return inverse_norm(factor) > _CHOLESKY_LIMIT


def sketched_least_squares(
    A: CountingMatrix, b: Float64Array, ridge: float, rng: np.random.Generator
) -> tuple[ExactSolution | None, str]:
    """Solve by sketch-and-precondition with refinement, or return nothing and the reason."""
    m, n = A.shape
    if m < _LEAST_ASPECT * n:
        return None, f"fewer than {_LEAST_ASPECT} rows a column"
    scale = A.frobenius_norm
    if not 1e-290 < scale < 1e290:
        return None, "a norm near the ends of float64"
    size = min(_ROWS_PER_COLUMN * n, m // 2)
    sketch, target = _sketch(A, b, size, rng)
    stacked = np.vstack([sketch, _penalty_rows(ridge, scale, n)])
    stacked = np.column_stack([stacked, np.concatenate([target, np.zeros(len(stacked) - size)])])
    factor = _triangle(stacked)
    R, projected = np.asfortranarray(factor[:n, :n]), factor[:n, n]
    if inverse_norm(R) * 8.0 * n * _EPS > 1.0:
        return None, "a sketch without full rank"
    x = scipy.linalg.blas.dtrsv(R, projected)
    how = f"a sketch of {size} rows as preconditioner"
    found = refined(A, b, ridge, R, x / scale, how)
    if found is None:
        return None, "a sketch that does not precondition"
    return replace(found, sketched=True), ""


def refined(
    A: CountingMatrix, b: Float64Array, ridge: float, R: Float64Array, x: Float64Array, how: str
) -> ExactSolution | None:
    """Refine x by rounds of conjugate gradients preconditioned by R, R^T R near (A^T A + ridge I) / |A|_F^2.

    Each round starts from a residual computed from A itself, so that what rounding does to the short recurrences in
    one of them is undone by the next.
    """
    problem = GradientPasses(A, b, ridge, A.frobenius_norm)
    x = x * A.frobenius_norm
    spread = inverse_norm(R)
    # Beyond this reduction the short recurrences no longer follow the residual.
    least = max(1e-8, 10.0 * _EPS * spread)
    nearest, best, damped = math.inf, math.inf, False
    answer: tuple[Float64Array, float, float] | None = None
    passes = 0
    for _ in range(_ROUNDS):
        gradient, misfit, fitted = problem.gradient(x)
        passes += 1
        distance = float(np.linalg.norm(solve_transposed(R, gradient)))
        # Karlson and Walden's estimate of the least |E|_F / |A|_F for which x solves the problem with A + E.
        length = float(np.linalg.norm(x))
        shift = math.sqrt(misfit + problem.penalty * length * length) / max(length, 1e-100)
        factor = _shifted(R, shift)
        backward = float(np.linalg.norm(solve_transposed(factor, gradient))) / max(length, 1e-100)
        closer, better = distance < 0.5 * nearest, backward < 0.5 * best
        if closer or backward < best:
            answer, nearest, best = (x, misfit, fitted), distance, backward
        # A first guess far too long may have a small backward error: it is not good enough.
        if (backward <= _EPS and not distance > _LONG * math.sqrt(fitted)) or (damped and not better):
            break
        # Where the small singular values only multiply the rounding of A^T r, solving for them further would spoil the
        # other directions: the shift leaves them alone.
        damped = damped or not closer
        step, taken = _conjugate_gradients(
            problem, factor if damped else R, shift if damped else 0.0, gradient, max(least, 0.1 * _EPS / backward)
        )
        if step is None:
            return None
        x, passes = x + step, passes + taken
    if answer is None:
        return None
    x, misfit, fitted = answer
    # |A (x - x*)| <= |R^-T A^T r| / sigma_min(A R^-1), and sigma_min >= 1/2 where the sketch stretches no vector to
    # more than twice its length. The rest is what rounding does to r and, times the condition number, to A^T r.
    sizes = float(np.linalg.norm(x)) + float(np.linalg.norm(b)) + spread * math.sqrt(misfit)
    error = 2.0 * nearest + 2.0 * _EPS * sizes
    # x* is as long in prediction as A x, less the error.
    shortest = math.sqrt(fitted) - error
    relative = error / shortest if shortest > 0.0 else math.inf
    return ExactSolution(x / A.frobenius_norm, relative, f"{how} and {passes} passes of refinement", residual_sq=misfit)


def _conjugate_gradients(
    problem: GradientPasses, R: Float64Array, shift: float, gradient: Float64Array, reduction: float
) -> tuple[Float64Array | None, int]:
    """Solve (A^T A + penalty I + shift^2 I) p = gradient, R^T R near that matrix; return p and the passes.

    |R^-T residual| falls by `reduction`, which is taken to be 0.1 at most; if that takes too long, there is no p.
    """
    residual = solve_transposed(R, gradient)
    z, direction = np.zeros(len(residual)), residual.copy()
    square = float(residual @ residual)
    goal = min(reduction, 0.1) ** 2 * square
    for taken in range(_ITERATIONS):
        if square <= goal:
            return scipy.linalg.blas.dtrsv(R, z), taken
        p = scipy.linalg.blas.dtrsv(R, direction)
        image, curvature = problem.product(p)
        image += shift * shift * p
        curvature += shift * shift * float(p @ p)
        if not 0.0 < curvature < math.inf:
            break
        step = square / curvature
        z += step * direction
        residual -= step * solve_transposed(R, image)
        before, square = square, float(residual @ residual)
        direction = residual + square / before * direction
    return None, _ITERATIONS


def _shifted(R: Float64Array, shift: float) -> Float64Array:
    """Return the triangle of R^T R + shift^2 I."""
    return np.asfortranarray(_triangle(np.vstack([R, shift * np.eye(len(R))])))


def _triangle(stacked: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.qr(stacked, mode="r"))


def _penalty_rows(ridge: float, scale: float, n: int) -> Float64Array:
    return math.sqrt(ridge) / scale * np.eye(n if ridge > 0.0 else 0, n)


def _sketch(
    A: CountingMatrix, b: Float64Array, size: int, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Return S A / |A|_F and S b for a sparse sign embedding S with `size` rows, by one pass."""
    out, target = np.zeros((size, A.shape[1])), np.zeros((size, 1))
    key, groups = stream_key(rng), min(_NONZEROS, size)
    weight = 1.0 / math.sqrt(groups)
    for start, block in A.row_blocks(block_rows(A)):
        part = np.ascontiguousarray(b[start : start + block.shape[0], None])
        dense_sketch_rows(part, start, key, groups, weight, target)
        if isinstance(block, np.ndarray):
            dense_sketch_rows(np.ascontiguousarray(block), start, key, groups, weight / A.frobenius_norm, out)
        else:
            rows: Any = sp.csr_array(block)
            csr_sketch_rows(rows.data, rows.indices, rows.indptr, start, key, groups, weight / A.frobenius_norm, out)
    return out, target[:, 0]
