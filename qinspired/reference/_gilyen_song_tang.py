"""The stochastic gradient descent of Gilyen, Song and Tang."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction, check_nonnegative, check_positive
from qinspired.access import AliasTable, RowCombination, SampleQueryMatrix, as_sq_matrix, has_access
from qinspired.algorithms._results import CostMeter
from qinspired.reference._combined_rows import check_finite, check_system
from qinspired.reference._monte_carlo import combined_entries
from qinspired.reference._row_steps import (
    MOST_STEPS,
    RowActionSolution,
    Rule,
    check_steps,
    take_steps,
    warn_of_divergence,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["gst_regression"]

_MOST_SHARE = 1e8


def gst_regression(
    A: Any,
    b: Any,
    *,
    ridge: float = 0.0,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    tolerance: float = 0.3,
    n_steps: int | None = None,
    step: float | None = None,
    n_cols: int | None = None,
    n_rhs: int | None = None,
    average: bool = False,
    rng: RNGLike = None,
) -> RowActionSolution:
    """Approximate x = (A^T A + ridge I)^+ A^T b as A^T y, by stochastic gradient steps each of which changes one y_i.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    b : array_like, shape (m,)
        Right-hand side, not zero.
    ridge : float, default=0.0
        The lambda of lambda |x|^2, in the unit of squared entries of A, in [0, 1e16 |A|_F^2].
    sigma_min : float, optional
        Lower bound > 0 on the smallest non-zero singular value; needed for the default `step` and `n_steps` unless
        `ridge` > 0.
    sigma_max : float, optional
        Upper bound on the largest singular value, at least |A|_F / sqrt(min(m, n)); by default |A|_F. It sets the
        default `n_cols` and `step`.
    tolerance : float, default=0.3
        The eps in (0, 1) of the default `step` and `n_steps`.
    n_steps : int, optional
        Steps T, in [1, 1e8].
    step : float, optional
        Step size eta in units of 1 / |A|_F^2, > 0.
    n_cols : int, optional
        Columns C drawn in each step to estimate the inner product, >= 1.
    n_rhs : int, optional
        Draws from b by b_i^2, >= 1, whose mean replaces b. By default b itself is used, at the price of a pass over A.
    average : bool, default=False
        Return the mean of the iterates of the second half of the steps, not the last one.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    RowActionSolution
        With `query`, `sample`, `norm`, `to_array`, `vector`, `n_steps`, `n_cols`, `step` and `stats`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, `A` is no finite real matrix, or `b` no finite real vector of length m; if
        |A|_F or the largest entry of b is not in [1e-100, 1e100]; if `sigma_min` is needed and not given, or
        `sigma_max` too small to be a bound; if more than 1e8 steps are asked for; if the iteration grows beyond
        1.8e308.
    ZeroMassError
        If all entries of `A` or of `b` are zero.

    Warns
    -----
    DivergenceWarning
        If, with 100 steps or more, quarters of them move y farther and farther, or a step is far larger than that
        of an iteration which converges can be.

    Notes
    -----
    A step draws a row i by |A_i|^2 and columns j_1 ... j_C by A_ij^2, takes
    g = (1/C) sum_e |A_i|^2 / A_{i,j_e} x_{j_e}, of mean <A_i, x>, and moves x from 0 by
    -eta (|A|_F^2 / |A_i|^2 g A_i - A^T b + ridge x), of which the mean is a step down the gradient.

    With mu = sigma_min^2 + ridge and S^2 = |A|_F^2 (sigma_max^2 + |A|_F^2 / C) the defaults are

    C = ceil(|A|_F^2 / sigma_max^2),
    eta = min(tolerance^2 mu / (4 S^2), 1 / (2 (sigma_max^2 + ridge))),
    T = ceil(log(2 / tolerance^2) / (eta mu)).

    Cost: C draws by a scan of the row, and at most C T queries a step, independent of m, and of n but for the scans.
    By default T is of the order of |A|_F^2 sigma_max^2 / (mu^2 tolerance^2). Without `n_rhs` y has as many entries as
    b, and queries and draws of x cost as much.
    Error: with the defaults E|x - x*|^2 <= tolerance^2 |x*|^2, x* the exact solution, for the bounds as given and b
    itself; the defaults are pessimistic, and larger steps often do. Draws from b move A^T b by at most
    |A|_F |b| / sqrt(n_rhs) in root mean square, and x* by up to 1 / mu times that. A step that is too large
    diverges, which a warning tells once it shows: judge x by its residual.

    References
    ----------
    .. [1] A. Gilyen, Z. Song, E. Tang, "An improved quantum-inspired algorithm for linear regression", Quantum 6, 754
       (2022), arXiv:2009.07268.

    Differs from [1]_: C, eta and T are of its order, with the constants of the bound above in place of its own; any of
    them can be given, and the iterates averaged. b itself may be used. Draws from b follow b_i^2 alone. All columns
    that a stretch of steps needs are drawn before it and queried together.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.linear_system((400, 200), rank=2, kappa=1.5, rng=0)
    >>> s = np.linalg.svd(problem.A)[1]
    >>> found = qi.reference.gst_regression(problem.A, problem.b, sigma_min=s[1], sigma_max=s[0], rng=0)
    >>> bool(np.linalg.norm(found.to_array() - problem.x_true) < 0.3)
    True
    """
    built_index = not has_access(A)
    matrix = as_sq_matrix(A)
    target = check_system(matrix, b)
    ridge = check_nonnegative(ridge, "ridge")
    tolerance = check_fraction(tolerance, "tolerance")
    n_steps = None if n_steps is None else check_steps(n_steps)
    step = None if step is None else check_positive(step, "step")
    n_cols = None if n_cols is None else check_count(n_cols, "n_cols", low=1)
    n_rhs = None if n_rhs is None else check_count(n_rhs, "n_rhs", low=1)
    low, high = _check_bounds(sigma_min, sigma_max, matrix)
    penalty = _penalty(ridge, matrix.frobenius_norm)
    # A whole number stays one whatever its rounding.
    n_cols = math.ceil((1.0 - 1e-9) / high**2) if n_cols is None else n_cols
    n_steps, step = _sizes(n_steps, step, low**2 + penalty, high**2, penalty, n_cols, tolerance)

    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    rows = meter.matrix.sample_rows(n_steps, generator)
    places, entries = _right_hand_side(target, n_rhs, generator)
    scaled = entries / matrix.frobenius_norm / matrix.frobenius_norm
    background = _background(meter.matrix, places, scaled, whole=n_rhs is None)
    rule = _rule(meter.matrix, n_cols, generator, step, 1.0 - step * penalty, average)
    distinct, y, share, movement = take_steps(meter.matrix, rows, np.zeros(n_steps), rule, background)
    check_finite(
        np.append(y, share),
        f"`step` must be smaller or `n_cols` larger; the iteration diverged with {step:.3g} and {n_cols}",
    )
    size = float(np.linalg.norm(target / matrix.frobenius_norm))
    remedy = f"a smaller `step` than {step:.3g}, more `n_cols` than {n_cols}, or fewer `n_steps`"
    warn_of_divergence(movement, n_steps, step, n_cols, size, remedy)
    support, where = np.unique(np.concatenate([distinct, places]), return_inverse=True)
    coefficients = np.concatenate([y / matrix.row_norms(distinct), share * scaled])
    merged = np.bincount(where, weights=coefficients).astype(np.float64, copy=False)
    vector = RowCombination(matrix, support, merged)
    return RowActionSolution(vector, meter.read(), n_steps, n_cols, step)


def _check_bounds(sigma_min: float | None, sigma_max: float | None, A: SampleQueryMatrix) -> tuple[float, float]:
    """Return the bounds on the singular values in units of |A|_F; 0 and 1 where they are not given."""
    norm = A.frobenius_norm
    high = norm if sigma_max is None else check_positive(sigma_max, "sigma_max")
    low = 0.0 if sigma_min is None else check_positive(sigma_min, "sigma_min")
    # |A|_F^2 is the sum of min(m, n) squares; where all are equal, rounding decides.
    least = norm / math.sqrt(min(A.shape)) * (1.0 - 1e-6)
    if high < least:
        raise ValueError(
            f"`sigma_max` must be at least |A|_F / sqrt(min(m, n)), {least:.6g}; got {high:.6g}. Give an upper bound "
            "on the largest singular value."
        )
    if low > min(high, norm) * (1.0 + 1e-6):
        raise ValueError(
            f"`sigma_min` must not exceed `sigma_max` and |A|_F, {min(high, norm):.6g}; got {low:.6g}. Give a lower "
            "bound on the smallest non-zero singular value."
        )
    return min(low / norm, 1.0), min(high / norm, 1.0)


def _penalty(ridge: float, norm: float) -> float:
    """Return the ridge in units of |A|_F^2."""
    share = math.sqrt(ridge) / norm
    if share > _MOST_SHARE:
        raise ValueError(f"`ridge` must be at most 1e16 |A|_F^2, above which x is 0 to rounding; got {ridge:.3g}.")
    return share * share


def _sizes(
    n_steps: int | None, step: float | None, mu: float, top: float, penalty: float, n_cols: int, tolerance: float
) -> tuple[int, float]:
    """Return the steps and their size; mu, top and penalty are in units of |A|_F^2."""
    if mu == 0.0 and (n_steps is None or step is None):
        raise ValueError(
            "`sigma_min` must be given, or `ridge` be > 0, to choose `n_steps` and `step`; got neither, or one too "
            "small. Or give both `n_steps` and `step`."
        )
    if step is None:
        step = min(tolerance**2 * mu / (4.0 * (top + 1.0 / n_cols)), 0.5 / (top + penalty))
    if n_steps is None:
        rate = mu * step
        wanted = math.log(2.0 / tolerance**2) / rate if rate > 0.0 else math.inf
        if wanted > MOST_STEPS:
            raise ValueError(
                f"`n_steps` must be at most 1e8; `tolerance` and `sigma_min` ask for {wanted:.3g}. Raise `tolerance` "
                "or `ridge`, or give `n_steps` and `step`."
            )
        n_steps = math.ceil(wanted)
    return n_steps, step


def _right_hand_side(
    b: Float64Array, n_rhs: int | None, generator: np.random.Generator
) -> tuple[IntArray, Float64Array]:
    """Return the non-zero places and entries of b, or of the mean of draws from it."""
    if n_rhs is None:
        places = np.flatnonzero(b)
        return places, b[places]
    drawn = AliasTable(np.abs(b), exponent=2).sample(n_rhs, generator)
    places, counts = np.unique(drawn, return_counts=True)
    size = float(np.linalg.norm(b / np.abs(b).max())) * float(np.abs(b).max())
    return places, size * (size / b[places]) * (counts / n_rhs)


def _background(
    A: SampleQueryMatrix, places: IntArray, scaled: Float64Array, *, whole: bool
) -> Callable[[IntArray], Float64Array]:
    """Return what gives A^T b / |A|_F^2 at some columns, by one pass if `whole`, else by queries of the drawn rows."""
    if not whole:
        return lambda cols: combined_entries(A, places, scaled[:, None], cols)[:, 0]
    column = np.zeros((A.shape[0], 1))
    column[places, 0] = scaled
    back = np.asarray(A.rmatmul(column), dtype=np.float64)[:, 0]
    return lambda cols: back[cols]


def _rule(
    A: SampleQueryMatrix, n_cols: int, generator: np.random.Generator, step: float, decay: float, average: bool
) -> Rule:
    def draw(part: IntArray) -> IntArray:
        return A.sample_cols(np.repeat(part, n_cols), generator).reshape(len(part), n_cols)

    def weigh(units: Float64Array, cols: IntArray) -> Float64Array:  # noqa: ARG001
        return 1.0 / (n_cols * units)

    return Rule(n_cols, draw, weigh, gain=step, decay=decay, drift=step, average=average)
