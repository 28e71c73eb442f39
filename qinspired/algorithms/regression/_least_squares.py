"""Least squares from drawn rows, certified, with an exact solver as the last resort."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._threads import small_products
from qinspired._validation import check_fraction, check_nonnegative, check_vector
from qinspired.access import DenseMatrix, SampleQueryMatrix, as_sq_matrix, as_unindexed, base_of, has_access
from qinspired.algorithms._results import CostMeter, ErrorEstimate
from qinspired.algorithms.approximation._row_laws import UnevenRowsError
from qinspired.algorithms.regression._drawn_rows import Answer, from_drawn_rows
from qinspired.algorithms.regression._from_row_space import from_row_space
from qinspired.algorithms.regression._implicit import implicit_least_squares, may_read_rows
from qinspired.algorithms.regression._implicit_solution import ImplicitSolution
from qinspired.algorithms.regression._iterations import solve_by_iterations
from qinspired.algorithms.regression._normal_equations import exact_least_squares
from qinspired.algorithms.regression._row_laws import EvenRows, RowsByNorm
from qinspired.algorithms.regression._row_space import FIRST_ROWS
from qinspired.algorithms.regression._solution import LeastSquaresSolution
from qinspired.algorithms.regression._system import System, first_iterations
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, RNGLike
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.regression._exact_solution import ExactSolution

__all__ = ["METHODS", "least_squares"]

METHODS = (
    "auto",
    "rows",
    "leverage",
    "kaczmarz",
    "block-kaczmarz",
    "preconditioned",
    "dual",
    "galerkin",
    "implicit",
    "exact",
    "sketched",
)
_WITHOUT_INDEX = ("auto", "rows", "preconditioned", "dual")


def least_squares(
    A: Any,
    b: Any,
    *,
    ridge: float = 0.0,
    tolerance: float = 0.01,
    method: str = "auto",
    start: str = "index",
    rng: RNGLike = None,
) -> LeastSquaresSolution | ImplicitSolution:
    """Minimiser of |A x - b|^2 + ridge |x|^2, within a tolerance of the exact one in prediction and certified.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but what `as_sq_matrix` made is indexed first, by one pass, but not a sparse matrix that
        "auto" iterates on.
    b : array_like, shape (m,)
        The right-hand side.
    ridge : float, default=0.0
        Weight of |x|^2, >= 0 (scikit-learn's `alpha`).
    tolerance : float, default=0.01
        Largest |A (x - x*)| / |A x*|, x* the exact solution, in (0, 1). It is a promise: while the upper end of the
        certificate exceeds it, more rows are drawn, and at last all rows are used. 1e-12 is as good a choice as 0.05;
        where rounding allows no such accuracy, `status` says what was reached.
    method : str, default="auto"
        "auto" takes the method that it predicts to be fastest, after a first draw that tells the noise. By name, from
        as many drawn rows as span all columns:

        - "rows" solves from rows drawn by squared norm, "leverage" from rows drawn by their ridge leverage, which a
          first draw and one pass tell.
        - "kaczmarz" and "block-kaczmarz" average the tail of a randomized Kaczmarz iteration, over rows or blocks of
          them, started there.
        - "preconditioned" is conjugate gradients over all rows, preconditioned by drawn rows and started from their
          solution, or from zero if the index pass of this call told A^T b and that leads nearer.

        In the space of few drawn rows, for a wide matrix or one of low rank:

        - "dual" takes the combination of drawn rows that is best for drawn rows, "galerkin" the one for all rows, by
          one pass; "implicit" is "dual" without forming x, which "auto" takes for an `ImplicitMatrix` whose rows are
          too long to be read whole.

        From all rows:

        - "exact" takes the fastest direct solver that is safe, "sketched" a sketch of all rows as the preconditioner
          of an iteration, to full accuracy.

        With a method pinned by name that draws rows, a tolerance that is not certified raises a warning.
    start : {"index", "uniform"}, default="index"
        "uniform" answers from uniformly drawn rows without the index pass where it can: for a dense array of float32
        or float64, rows of even norms, and a certificate that meets the tolerance. If not, the index is made after
        all, and `status` says why.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    LeastSquaresSolution, or ImplicitSolution from "implicit"
        With `x`, `residual`, `error`, `method`, `status`, `stats`, `explain`. An implicit one has `query`, `sample`,
        `inner` and `norm` in place of `x`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, lengths differ, or `A` or `b` is no finite real array.
    ZeroMassError
        If all entries of `A` are zero.

    Warns
    -----
    ToleranceNotMetWarning
        If a method pinned by name that draws rows ended before its certificate met the tolerance, or the exact solver
        did not converge. That rounding alone exceeds the tolerance is said by `status` only: its bounds are 10 to 100
        times the error.

    Notes
    -----
    Cost: max(2.5 n, min(64 n, 1024)) rows at first, s n^2 multiplications for s rows; n (1 + (noise / tolerance)^2)
    rows are needed, noise relative to |A x*|. Each Kaczmarz step costs 6 n, as does each row of a block. 600 rows for
    the residual. "preconditioned" reads A once, at 4 m n multiplications, for each factor sqrt(s / n) of the error,
    whatever the noise; where the columns, scaled, are nearly orthogonal, as far as the first draw tells, their scales
    take the place of s further rows. "dual" takes 64 rows at first, doubled until certified, and s^2 n multiplications;
    "galerkin" 6 m n k more for k directions. "leverage" adds a pass, and needs fewer rows than "rows" where few rows
    have most of |A|_F^2 and little leverage. "auto" weighs all of them from the first draw, "block-kaczmarz" for dense
    rows only; it seldom takes that, "kaczmarz" or "leverage", as some passes are mostly cheaper.
    Error: certified by cross-fitting: groups of draws, independent of one another, each pull the joint solution
    towards their own, and the sum of the squared pulls estimates its squared error; 600 fresh rows can refute it.
    A consistent system with a row space of dimension n is solved to rounding by any n independent rows.
    The interval takes rows to pull about as their norms say. Where a few rows have a leverage far above it (outliers in
    nearly dependent columns) it is too narrow: on the diamonds data, largest leverage 15 times the mean, it covered 64
    to 91 of 100 seeds; tolerances of 5 and 1 % were kept by all, 0.3 % by 89 ("rows") and 98 ("kaczmarz").
    "preconditioned" is certified by the gradient, in the metric of the drawn rows, and by the range of the eigenvalues
    of A^T A in that metric: the Ritz values of the iteration, or the Marchenko-Pastur law if wider, by a quarter more.
    From all rows: normal equations, refined by passes over A where their rounding exceeds the tolerance. Where A is too
    ill-conditioned for them, tall and dense, and always for "sketched": a sketch of 8 n rows by one pass, its QR
    factor R, and conjugate gradients with R as preconditioner in rounds, 4 m n multiplications an iteration, until the
    backward error is that of rounding: some 35 iterations if the residual is large, fewer if it is small. Memory: the
    sketch, 64 n^2 bytes, and a block of rows. With fewer than 8 rows a column, or without full rank: LAPACK.
    A sparse matrix too wide for moments, or on which they would take longer, is iterated on at once by "auto":
    conjugate gradients over all rows, each iteration one reading of A, columns scaled if there is a ridge. The bound
    takes the range of the eigenvalues from the iteration and from 10 to 40 products with a random vector: of 4 n rows
    drawn uniformly where there are 20 n or more, else of A; a ridge of a hundredth of the largest squared column norm
    makes it certain without. It is too small where a part of b belongs to singular values that neither has met. After
    some iterations the other methods are weighed, and the last resort is such an iteration, or LSQR where rounding
    forbids one.
    The certificate of a refined solution is 2 |R^-T A^T (b - A x)|, and what rounding does to it. It bounds the error
    if no vector is stretched by the sketch to more than twice its length, which nothing computed proves; the share
    of rounding is the size usual for sums, not the worst, and its factor 1 / s_min is that of R.
    Without ridge, "dual" and "implicit" on a matrix that no few rows span are certified by their residual, which bounds
    the error; where b is farther from the range of A than the tolerance, that bound cannot meet it. Where drawn rows
    span A to rounding, and with a ridge, "dual" is certified by cross-fitting, and "galerkin" by the gradient that its
    pass finds outside the space, to rounding or by |gradient| / (2 sqrt(ridge)).
    What no sample can tell is the smallest singular value: a direction of A that carries less than about 1 / s of
    |A|_F^2 may go unseen, with the part of b that only it explains.

    References
    ----------
    .. [1] T. Strohmer, R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", Journal of
       Fourier Analysis and Applications 15 (2009).
    .. [2] E. N. Epperly, G. Goldshlager, R. J. Webber, "Randomized Kaczmarz with tail averaging" (2024). Differs
       from [2]_: two independent chains, started from the solutions of two halves of the drawn rows, so that their
       distance is the certificate and no burn-in is needed beyond half the steps.
    .. [3] E. N. Epperly, M. Meier, Y. Nakatsukasa, "Fast randomized least-squares solvers can be just as accurate and
       stable as classical direct solvers" (2024). Differs from [3]_: conjugate gradients in as many rounds as the
       backward error asks for, the last ones with a shift that spares the small singular values.
    .. [4] I. Necoara, "Faster randomized block Kaczmarz algorithms", SIAM Journal on Matrix Analysis and Applications
       40 (2019). Differs from [4]_: the step is one length for all blocks, from the largest eigenvalue of the mean
       block squared, so that averages tend to the least-squares solution with noise too; tails are averaged as in [2]_.
    .. [5] M. B. Cohen, C. Musco, C. Musco, "Input sparsity time low-rank approximation via ridge leverage score
       sampling", SODA (2017). Differs from [5]_: scores for a given ridge, from one first draw and 16 random
       projections, mixed with a quarter of draws by squared norm.
    .. [6] V. Rokhlin, M. Tygert, "A fast randomized algorithm for overdetermined linear least-squares regression",
       PNAS 105 (2008). Differs from [6]_ in "preconditioned": drawn rows take the place of a random transform.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> system = qi.problems.linear_system((20_000, 20), kappa=3.0, noise=0.1, rng=0)
    >>> solution = qi.least_squares(system.A, system.b, tolerance=0.05, method="rows", rng=0)
    >>> bool(solution.error.high <= 0.05), solution.stats.rows_read < 2000
    (True, True)
    >>> scales = np.geomspace(1.0, 1e-8, 20)
    >>> system = qi.problems.linear_system((20_000, 20), column_scales=scales, noise=1e-6, rng=0)
    >>> solution = qi.least_squares(system.A, system.b, tolerance=1e-12, method="sketched", rng=0)
    >>> solution.method, solution.stats.full_passes < 40
    ('sketched', True)
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}; got {method!r}.")
    tolerance = check_fraction(tolerance, "tolerance")
    ridge = check_nonnegative(ridge, "ridge")
    if start not in ("index", "uniform"):
        raise ValueError(f"`start` must be 'index' or 'uniform'; got {start!r}.")
    if start == "uniform" and method not in _WITHOUT_INDEX:
        raise ValueError(
            f"`start` must be 'index' for method {method!r}; 'uniform' goes with 'auto', 'rows', 'preconditioned' and "
            "'dual'."
        )
    built_index = not has_access(A)
    if method in ("auto", "preconditioned") and start == "index":
        matrix = as_unindexed(A)
    else:
        matrix = as_sq_matrix(A, index="later" if start == "uniform" else "now")
    m, n = matrix.shape
    target = check_vector(b, m, "b")
    generator = as_generator(rng)
    meter = CostMeter(matrix, built_index=built_index)
    implicit = method == "implicit" or (method == "auto" and not may_read_rows(meter.matrix))
    if implicit and ridge > 0.0:
        raise ValueError(
            f"`ridge` must be 0 for an implicit solution, whose certificate is by the residual; got {ridge!r}. Use a "
            "matrix whose rows can be read, with another method."
        )
    size = float(np.abs(target).max())
    scaled = target / size if size else target
    note = ""
    if start == "uniform" and size and not implicit:
        answer, note = _without_index(meter.matrix, scaled, ridge, tolerance, method, generator)
        if answer is not None:
            return _result(answer, size, note, meter, matrix)
    n_iterations = first_iterations(meter.matrix) if method == "auto" and size else 0
    if n_iterations:
        with small_products(1):
            found = solve_by_iterations(meter.matrix, scaled, ridge, tolerance, n_iterations, generator)
            if found is not None:
                note += "predicted to be the fastest on this matrix: "
                return _exact_result(found, size, note, tolerance, meter, matrix, scaled)
    system = System(meter.matrix, scaled, ridge, RowsByNorm(meter.matrix), generator)
    if method == "preconditioned" or (method == "auto" and system.worth_sampling()):
        system.make_index()
    if matrix.frobenius_norm == 0.0:
        raise ZeroMassError(
            "`A` must have a non-zero entry: every x solves a system with the zero matrix equally well."
        )
    if size == 0.0 and implicit:
        rows = meter.matrix.sample_rows(1, generator)
        zero = ErrorEstimate(0.0, 0.0, 0.0, 1.0)
        return ImplicitSolution(rows, np.zeros(1), zero, zero, "implicit", "b is zero", meter.read(), matrix)
    if size == 0.0:
        zero = ErrorEstimate(0.0, 0.0, 0.0, 1.0)
        return LeastSquaresSolution(np.zeros(n), zero, zero, "exact", "b is zero", meter.read(), matrix)
    if implicit:
        return _implicit(system, size, note, tolerance, meter, matrix)
    by_space = _by_row_space(system, method)
    if method in ("exact", "sketched") or (method == "auto" and not by_space and not system.worth_sampling()):
        status = "predicted to be the fastest on this matrix: " if method == "auto" else ""
        return _exact(system, size, note + status, tolerance, meter, matrix, method)
    if by_space:
        answer, status = from_row_space(system, tolerance, method)
    else:
        with small_products(n):
            answer, status = from_drawn_rows(system, tolerance, method)
    if answer is None:
        return _exact(system, size, note + status, tolerance, meter, matrix, method)
    if answer.error.high > tolerance:
        status = (
            f"the certificate shows {answer.error.high:.3g}, above the tolerance {tolerance:g}, after {status}; "
            "use method='auto' or a larger tolerance"
        )
        warnings.warn(f"least_squares(method={method!r}): {note}{status}.", ToleranceNotMetWarning, stacklevel=2)
    else:
        status = f"the certificate meets the tolerance {tolerance:g} with {status}"
    if answer.caveat:
        status += f"; {answer.caveat}"
    return _result(answer, size, note + status, meter, matrix)


def _without_index(
    A: CountingMatrix, b: Float64Array, ridge: float, tolerance: float, method: str, rng: np.random.Generator
) -> tuple[Answer | None, str]:
    """Return what uniform rows give and how, or nothing and the reason."""
    base = base_of(A)
    if not isinstance(base, DenseMatrix):
        return None, "only a C-contiguous array of float32 or float64 is started on without an index; "
    if base.has_index:
        return None, "the matrix has an index, which was used; "
    try:
        system = System(A, b, ridge, EvenRows(A, rng), rng)
        if _by_row_space(system, method):
            answer, done = from_row_space(system, tolerance, method)
        elif not system.can_be_sampled():
            return None, "too few rows for a start without an index; "
        elif method == "auto" and not system.worth_sampling():
            return None, ""
        else:
            with small_products(system.n):
                answer, done = from_drawn_rows(system, tolerance, method, with_steps=False)
    except UnevenRowsError as error:
        return None, f"{error}, so that the index was built; "
    if answer is None:
        return None, done
    if answer.error.high > tolerance:
        return None, f"{done}, drawn uniformly, gave {answer.error.high:.3g}, so that the index was built; "
    status = f"started without an index: the certificate meets the tolerance {tolerance:g} with {done}"
    if answer.method != "preconditioned":
        status += "; rows unlike any that was read or probed would go unseen"
    return answer, status


def _implicit(
    system: System, size: float, note: str, tolerance: float, meter: CostMeter, matrix: SampleQueryMatrix
) -> ImplicitSolution:
    with small_products(FIRST_ROWS):
        found = implicit_least_squares(system, tolerance)
    if found.error.high > tolerance:
        status = (
            f"{note}the certificate shows {found.error.high:.3g}, above the tolerance {tolerance:g}, after "
            f"{found.done}; use a larger tolerance, or another method where rows of `A` can be read"
        )
        warnings.warn(f"least_squares(method='implicit'): {status}.", ToleranceNotMetWarning, stacklevel=3)
    else:
        status = f"{note}the certificate meets the tolerance {tolerance:g} with {found.done}"
    coefficients = _unscaled(found.coefficients, size)
    return ImplicitSolution(
        found.rows, coefficients, found.residual, found.error, "implicit", status, meter.read(), matrix
    )


def _by_row_space(system: System, method: str) -> bool:
    """Say whether to solve in the space of few drawn rows: where a row for each column would be too many."""
    if method == "auto":
        return not system.worth_sampling() and system.worth_drawing(FIRST_ROWS)
    return method in ("dual", "galerkin")


def _result(
    answer: Answer, size: float, status: str, meter: CostMeter, matrix: SampleQueryMatrix
) -> LeastSquaresSolution:
    return LeastSquaresSolution(
        _unscaled(answer.x, size), answer.residual, answer.error, answer.method, status, meter.read(), matrix
    )


def _unscaled(x: Float64Array, size: float) -> Float64Array:
    with np.errstate(over="ignore"):
        solution = x * size
    if not np.isfinite(solution).all():
        raise ValueError(
            "`b` must not be so large against `A` that the solution exceeds 1.8e308; divide `b` by a constant."
        )
    return solution


def _exact(
    system: System,
    size: float,
    status: str,
    tolerance: float,
    meter: CostMeter,
    matrix: SampleQueryMatrix,
    method: str,
) -> LeastSquaresSolution:
    """Solve from all rows; the residual takes one more pass where the moments do not give it."""
    found = exact_least_squares(
        system.A, system.b, system.ridge, tolerance, system.rng, sketched=method == "sketched", loosely=method == "auto"
    )
    return _exact_result(found, size, status, tolerance, meter, matrix, system.b, method)


def _exact_result(
    found: ExactSolution,
    size: float,
    status: str,
    tolerance: float,
    meter: CostMeter,
    matrix: SampleQueryMatrix,
    b: Float64Array,
    method: str = "auto",
) -> LeastSquaresSolution:
    if found.residual_sq is None:
        misfit = np.linalg.norm(meter.matrix.matmul(found.x[:, None])[:, 0] - b) / np.linalg.norm(b)
    else:
        misfit = np.sqrt(found.residual_sq) / np.linalg.norm(b)
    residual = ErrorEstimate(float(misfit), float(misfit), float(misfit), 1.0)
    error = ErrorEstimate(found.rounding, 0.0, found.rounding, 1.0)
    status += found.how
    if not found.converged:
        status += (
            f", which did not converge: the error may be {error.high:.3g}; scale the columns of `A`, or add a ridge"
        )
        warnings.warn(f"least_squares: {status}.", ToleranceNotMetWarning, stacklevel=3)
    elif error.high > tolerance:
        status += (
            f", with rounding of up to {error.high:.3g} of |A x|, more than the tolerance: `b` is far from the range "
            "of `A`, or `A` is ill-conditioned"
        )
    name = "sketched" if method == "sketched" and found.sketched else "exact"
    return LeastSquaresSolution(_unscaled(found.x, size), residual, error, name, status, meter.read(), matrix)
