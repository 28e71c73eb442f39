"""The randomized Kaczmarz iteration of Shao and Montanaro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count
from qinspired.access import AliasTable, RowCombination, SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.reference._combined_rows import check_finite, check_system
from qinspired.reference._drawn import check_whole_rows
from qinspired.reference._row_steps import (
    Movement,
    RowActionSolution,
    Rule,
    check_steps,
    in_order,
    take_steps,
    warn_of_divergence,
)

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["shao_montanaro_kaczmarz"]

# Entries of rows that are held at a time: 8 MB.
_BLOCK_ENTRIES = 1_000_000


def shao_montanaro_kaczmarz(
    A: Any, b: Any, n_steps: int, *, n_cols: int | None = None, rng: RNGLike = None
) -> RowActionSolution:
    """Approximate the least-norm solution x of A x = b as A^T y, by Kaczmarz steps each of which changes one y_i.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    b : array_like, shape (m,)
        Right-hand side, not zero.
    n_steps : int
        Steps T, in [1, 1e8].
    n_cols : int, optional
        Columns d drawn in each step to estimate the inner product, >= 1. By default it is computed.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    RowActionSolution
        With `query`, `sample`, `norm`, `to_array`, `vector` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, `A` is no finite real matrix, or `b` no finite real vector of length m; if
        |A|_F or the largest entry of b is not in [1e-100, 1e100]; if the iteration diverges; if whole rows are
        needed of a matrix that has none.
    ZeroMassError
        If all entries of `A` or of `b` are zero.

    Warns
    -----
    DivergenceWarning
        If columns are drawn and, with 100 steps or more, quarters of them move y farther and farther, or a step is
        far larger than that of an iteration which converges can be.

    Notes
    -----
    A step draws a row i by |A_i|^2 and columns j_1 ... j_d by |A^(j)|^2, the squared column norms, takes
    g = (1/d) sum_e A_{i,j_e} x_{j_e} |A|_F^2 / |A^(j_e)|^2, of mean <A_i, x>, and adds (b_i - g) / |A_i|^2 to y_i.
    Rows of zeros are never drawn.

    Cost: with columns, a pass for the column norms, then d draws and at most d T queries a step, independent of m and
    n. Without, one row read and 4 n operations a step, and one vector of length n.
    Error: with e = x - A^+ b and b = A x*, E|e|^2 falls in each step by E|A e|^2 / |A|_F^2 exactly, hence at least by
    the factor 1 - 1 / kappa_F^2, kappa_F = |A|_F / sigma_min. Drawn columns add E(|x|^2 - |A x|^2 / |A|_F^2) / d, so
    that the relative error stays near kappa_F / sqrt(d) at most, and d below kappa_F^2 may diverge. If b is
    not in the range of A, x stays about as far away as the residual of b over sigma_min, or less.

    References
    ----------
    .. [1] C. Shao, A. Montanaro, "Faster quantum-inspired algorithms for solving linear systems", ACM Transactions on
       Quantum Computing 3 (2022), arXiv:2103.10309.
    .. [2] T. Strohmer, R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", Journal of Fourier
       Analysis and Applications 15 (2009).

    Differs from [1]_: sizes are given, not derived from an accuracy; the inner product can be computed, and x is then
    kept beside y as in [2]_. All columns that a stretch of steps needs are drawn before it and queried together.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.linear_system((400, 200), rank=4, kappa=1.5, rng=0)
    >>> found = qi.reference.shao_montanaro_kaczmarz(problem.A, problem.b, 400, rng=0)
    >>> bool(np.linalg.norm(found.to_array() - problem.x_true) < 1e-6)
    True
    >>> drawn = qi.reference.shao_montanaro_kaczmarz(problem.A, problem.b, 100, n_cols=500, rng=0)
    >>> bool(np.linalg.norm(drawn.to_array() - problem.x_true) < 0.3)
    True
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    target = check_system(matrix, b)
    n_steps = check_steps(n_steps)
    if n_cols is not None:
        n_cols = check_count(n_cols, "n_cols", low=1)
    if n_cols is None:
        check_whole_rows(matrix, "give `n_cols`, with which only the column norms take a pass")
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows = meter.matrix.sample_rows(n_steps, generator)
    movement = None  # projections do not diverge
    if n_cols is None:
        distinct, y = _exact_steps(meter.matrix, rows, target)
    else:
        distinct, y, movement = _sampled_steps(meter.matrix, rows, target, n_cols, generator)
    check_finite(
        y, f"`n_cols` must be larger, or `n_steps` smaller; the iteration diverged with {n_cols} and {n_steps}"
    )
    if movement is not None and n_cols is not None:
        size = float(np.linalg.norm(target / matrix.frobenius_norm))
        remedy = f"more `n_cols` than {n_cols}, or fewer `n_steps`"
        warn_of_divergence(movement, n_steps, 1.0, n_cols, size, remedy)
    vector = RowCombination(matrix, distinct, y / matrix.row_norms(distinct))
    return RowActionSolution(vector, meter.read(), n_steps, n_cols, 1.0)


def _sampled_steps(
    A: SampleQueryMatrix, rows: IntArray, b: Float64Array, n_cols: int, generator: np.random.Generator
) -> tuple[IntArray, Float64Array, Movement]:
    law = _column_law(A)
    table = AliasTable(law)

    def draw(part: IntArray) -> IntArray:
        return table.sample(len(part) * n_cols, generator).reshape(len(part), n_cols)

    def weigh(units: Float64Array, cols: IntArray) -> Float64Array:
        weights: Float64Array = units / (n_cols * law[cols])
        return weights

    distinct, y, _, movement = take_steps(A, rows, b[rows] / A.row_norms(rows), Rule(n_cols, draw, weigh))
    return distinct, y, movement


def _column_law(A: SampleQueryMatrix) -> Float64Array:
    """Return the squared column norms over their sum, by one pass."""
    law = np.zeros(A.shape[1])
    for _, block in A.row_blocks(max(1, _BLOCK_ENTRIES * A.shape[0] // max(A.n_stored, 1))):
        if isinstance(block, np.ndarray):
            law += ((block.astype(np.float64) / A.frobenius_norm) ** 2).sum(axis=0)
        else:
            squares = (block.data.astype(np.float64) / A.frobenius_norm) ** 2
            law += np.bincount(block.indices, weights=squares, minlength=len(law))
    return law


def _exact_steps(A: SampleQueryMatrix, rows: IntArray, b: Float64Array) -> tuple[IntArray, Float64Array]:
    """Return distinct rows and the coefficients of x in the unit rows, with x kept as a vector."""
    distinct, places = in_order(rows)
    y, x = np.zeros(len(distinct)), np.zeros(A.shape[1])
    step = max(1, _BLOCK_ENTRIES * A.shape[0] // max(A.n_stored, 1))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        block, norms = A.rows(part), A.row_norms(part)
        targets = b[part] / norms
        for position, place in enumerate(places[start : start + step]):
            where: Any = slice(None)
            if isinstance(block, np.ndarray):
                unit = block[position] / norms[position]
            else:
                low, high = block.indptr[position], block.indptr[position + 1]
                unit, where = block.data[low:high] / norms[position], block.indices[low:high]
            change = targets[position] - unit @ x[where]
            x[where] += change * unit
            y[place] += change
    return distinct, y
