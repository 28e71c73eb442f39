"""Least squares from drawn rows, certified, with an exact solver as the last resort."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_nonnegative, check_vector
from qinspired.access import SampleQueryMatrix, as_sq_matrix
from qinspired.algorithms._certificates import loss_interval, root_mean_interval
from qinspired.algorithms._normal_equations import (
    PRIMAL_COLUMNS,
    SymmetricSolver,
    exact_least_squares,
    moment,
)
from qinspired.algorithms._results import CostMeter, ErrorEstimate
from qinspired.algorithms._row_sample import gather_rows
from qinspired.algorithms._solution import LeastSquaresSolution
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError
from qinspired.kernels import csr_kaczmarz_chains, dense_kaczmarz_chains

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.access import CountingMatrix

__all__ = ["least_squares"]

_METHODS = ("auto", "rows", "kaczmarz", "exact")

# Rows of the first draw, in multiples of n: each half of them determines a solution, exact for a consistent system.
_FIRST_DRAW = 2.5
_HELD_OUT_ROWS = 600

# Relative variance of the error's square over that of its estimate, times the degrees of freedom. Normal scores would
# give 2 + 2 / 15; with that the interval covered 90 to 95 % (stopping favours low estimates).
_SCORE_SPREAD = 2.6

# Groups of draws whose scores make the certificate: its own noise is 1 / (groups - 1) of that of the error.
_GROUPS = 16
_MARGIN = 1.06

# A tail-averaged Kaczmarz run needs about 3 times the rows of a solve for the same error: 2.93 at noise 0.1 and 1 %,
# 2.97 at noise 1 and 5 % (200,000 x 500, column scales 5 to 1).
_KACZMARZ_STEPS_PER_ROW = 3.0

# Rates for the choice of a method, from one 2-core machine; only their ratios matter.
_SYRK_RATE = 5e10
_KACZMARZ_BYTES = 2.5e9
_SPARSE_RATE = 5e8
_SAMPLING_OVERHEAD = 3e-3

# Relative variance of the squared distance of two chains times the degrees of freedom. Independent directions of equal
# weight would give 4; the slow ones weigh more, and with 4 the interval covered 88 to 96 % instead of 95 %.
_CHAIN_SPREAD = 5.5

# A Kaczmarz run ends after as many steps as this many passes over A.
_MOST_SWEEPS = 4

# Kaczmarz rows gathered at a time: a chunk stays in the second-level cache.
_CHUNK_BYTES = 1_000_000


def least_squares(
    A: Any, b: Any, *, ridge: float = 0.0, tolerance: float = 0.01, method: str = "auto", rng: RNGLike = None
) -> LeastSquaresSolution:
    """Minimiser of |A x - b|^2 + ridge |x|^2, within a tolerance of the exact one in prediction and certified.

    Parameters
    ----------
    A : array_like, sparse matrix, or object with sample-and-query access, shape (m, n)
        The matrix. Anything but an object made by `as_sq_matrix` is indexed first, by one pass.
    b : array_like, shape (m,)
        The right-hand side.
    ridge : float, default=0.0
        Weight of |x|^2, >= 0 (scikit-learn's `alpha`).
    tolerance : float, default=0.01
        Largest |A (x - x*)| / |A x*|, x* the exact solution, in (0, 1). It is a promise: while the upper end of the
        certificate exceeds it, more rows are drawn, and at last all rows are used.
    method : {"auto", "rows", "kaczmarz", "exact"}, default="auto"
        "rows" solves from drawn rows; "kaczmarz" averages the tail of a randomized Kaczmarz iteration started there;
        "exact" uses all rows. "auto" takes the one it predicts to be fastest, after a first draw that tells the
        noise. With a method pinned by name, a tolerance that is not certified raises a warning.
    rng : int, Generator, SeedSequence or None
        Source of the randomness.

    Returns
    -------
    LeastSquaresSolution
        With `x`, `residual`, `error`, `method`, `status`, `stats`, `explain`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, lengths differ, or `A` or `b` is no finite real array.
    ZeroMassError
        If all entries of `A` are zero.

    Warns
    -----
    ToleranceNotMetWarning
        If a method pinned by name ended before its certificate met the tolerance.

    Notes
    -----
    Cost: 2.5 n rows at first, s n^2 multiplications for s rows; n (1 + (noise / tolerance)^2) rows are needed, noise
    relative to |A x*|. Each Kaczmarz step costs 6 n. 600 rows for the residual.
    Error: certified by cross-fitting: groups of draws, independent of one another, each pull the joint solution towards
    their own, and the sum of the squared pulls estimates its squared error. A consistent system with a row space of
    dimension n is solved to rounding by any n independent rows.
    What no sample can tell is the smallest singular value: a direction of A that carries less than about 1 / s of
    |A|_F^2 may go unseen, with the part of b that only it explains.

    References
    ----------
    .. [1] T. Strohmer, R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", Journal of
       Fourier Analysis and Applications 15 (2009).
    .. [2] E. N. Epperly, G. Goldshlager, R. J. Webber, "Randomized Kaczmarz with tail averaging" (2024). Differs
       from [2]_: two independent chains, started from the solutions of two halves of the drawn rows, so that their
       distance is the certificate and no burn-in is needed beyond half the steps.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> system = qi.problems.linear_system((20_000, 20), kappa=3.0, noise=0.1, rng=0)
    >>> solution = qi.least_squares(system.A, system.b, tolerance=0.05, method="rows", rng=0)
    >>> bool(solution.error.high <= 0.05), solution.stats.rows_read < 2000
    (True, True)
    """
    if method not in _METHODS:
        raise ValueError(f"`method` must be one of {', '.join(_METHODS)}; got {method!r}.")
    tolerance = check_fraction(tolerance, "tolerance")
    ridge = check_nonnegative(ridge, "ridge")
    built_index = not isinstance(A, SampleQueryMatrix)
    matrix = as_sq_matrix(A)
    m, n = matrix.shape
    target = check_vector(b, m, "b")
    generator = as_generator(rng)
    if matrix.frobenius_norm == 0.0:
        raise ZeroMassError(
            "`A` must have a non-zero entry: every x solves a system with the zero matrix equally well."
        )
    meter = CostMeter(matrix, built_index=built_index)
    size = float(np.abs(target).max())
    if size == 0.0:
        zero = ErrorEstimate(0.0, 0.0, 0.0, 1.0)
        return LeastSquaresSolution(np.zeros(n), zero, zero, "exact", "b is zero", meter.read(), matrix)
    system = _System(meter.matrix, target / size, ridge, generator)
    if method == "exact" or (method == "auto" and not system.worth_sampling()):
        status = "" if method == "exact" else "predicted to be the fastest on this matrix: "
        return _exact(system, size, status, meter, matrix)
    answer, status = _from_drawn_rows(system, tolerance, method)
    if answer is None:
        return _exact(system, size, status, meter, matrix)
    if answer.error.high > tolerance:
        status = (
            f"the certificate shows {answer.error.high:.3g}, above the tolerance {tolerance:g}, after {status}; "
            "use method='auto' or a larger tolerance"
        )
        warnings.warn(f"least_squares(method={method!r}): {status}.", ToleranceNotMetWarning, stacklevel=2)
    else:
        status = f"the certificate meets the tolerance {tolerance:g} with {status}"
    residual = _held_out_residual(system, answer.x)
    return LeastSquaresSolution(
        _unscaled(answer.x, size), residual, answer.error, answer.method, status, meter.read(), matrix
    )


class _System:
    """The scaled problem: b with largest entry 1, and the costs of the ways to solve it."""

    def __init__(self, A: CountingMatrix, b: Float64Array, ridge: float, rng: np.random.Generator) -> None:
        self.A, self.b, self.ridge, self.rng = A, b, ridge, rng
        self.m, self.n = A.shape
        self.norm = A.frobenius_norm
        # ridge / |A|_F^2, without the square that could overflow
        root = math.sqrt(ridge) / self.norm
        self.penalty = min(root * root, 1e300)
        self.per_row = max(A.n_stored / self.m, 1.0)

    def seconds_of_rows(self, n_rows: float) -> float:
        """Predict the time of forming and solving normal equations from some rows."""
        if self.A.is_sparse:
            return n_rows * self.per_row**2 / _SPARSE_RATE + 2.0 * self.n**3 / _SYRK_RATE
        return n_rows * self.n**2 / _SYRK_RATE + 2.0 * self.n**3 / _SYRK_RATE

    def seconds_of_kaczmarz(self, n_steps: float) -> float:
        """Predict the time of some Kaczmarz steps."""
        return (
            n_steps
            * (self.per_row * self.A.entry_bytes + (8.0 * self.n if self.A.is_sparse else 0.0))
            / _KACZMARZ_BYTES
        )

    def seconds_of_exact(self) -> float:
        """Predict the time of the exact solver."""
        if self.n > PRIMAL_COLUMNS and self.A.is_sparse:
            return 200.0 * self.A.n_stored / _SPARSE_RATE
        return self.seconds_of_rows(self.m)

    def worth_sampling(self) -> bool:
        """Say whether a first draw of rows is cheap beside the exact solver."""
        first = _FIRST_DRAW * self.n
        if first > self.m / 3 or self.n > PRIMAL_COLUMNS:
            return False
        return self.seconds_of_rows(2.0 * first) + _SAMPLING_OVERHEAD < self.seconds_of_exact()


class _Draw:
    """Drawn rows as unit rows u_s = a_i / |a_i| with targets b_i |A|_F / |a_i|, and their moments."""

    def __init__(self, system: _System) -> None:
        self._system = system
        self.blocks: list[tuple[Any, Float64Array]] = []
        self.gram: Float64Array = np.zeros((system.n, system.n))
        self.rhs: Float64Array = np.zeros(system.n)
        self.n_draws = 0

    def grow_to(self, n_draws: int) -> None:
        """Draw more rows."""
        system = self._system
        rows = system.A.sample_rows(n_draws - self.n_draws, system.rng)
        block, norms = gather_rows(system.A, rows)
        block = block.astype(np.float64, copy=False)
        if isinstance(block, np.ndarray):
            block /= norms[:, None]
        else:
            block.data /= np.repeat(norms, np.diff(block.indptr))
        targets = system.b[rows] / (system.A.row_norms(rows) / system.norm)
        self.blocks.append((block, targets))
        self.gram += moment(block)
        self.rhs += block.T @ targets
        self.n_draws = n_draws

    def scores(self, x: Float64Array) -> Float64Array:
        """Return the sums of u_s times the residual over each of some groups of draws, of shape (groups, n)."""
        groups = []
        for block, targets in self.blocks:
            weighted = targets - block @ x
            for part in np.array_split(np.arange(len(targets)), _GROUPS // 2):
                if len(part):
                    low, high = part[0], part[-1] + 1
                    groups.append(block[low:high].T @ weighted[low:high])
        return np.array(groups)


@dataclass(frozen=True, slots=True)
class _Answer:
    x: Float64Array
    error: ErrorEstimate
    method: str


def _from_drawn_rows(system: _System, tolerance: float, method: str) -> tuple[_Answer | None, str]:
    """Draw and solve until certified; None with the reason where all rows are the better way."""
    if system.n > PRIMAL_COLUMNS:
        raise ValueError(
            f"`method` = {method!r} forms n x n moments and needs at most {PRIMAL_COLUMNS} columns; got {system.n}. "
            "Use method='exact'."
        )
    draw = _Draw(system)
    limit = max(system.m // 2, 2 * math.ceil(_FIRST_DRAW * min(system.n, system.m)))
    wanted = max(math.ceil(_FIRST_DRAW * min(system.n, system.m)), 2 * _GROUPS)
    while True:
        draw.grow_to(wanted)
        solved = _solve(system, draw)
        done = f"{wanted} drawn rows"
        if method == "kaczmarz" and solved.error.high > tolerance:
            return _kaczmarz(system, solved, tolerance)
        if solved.error.high <= tolerance or (method == "rows" and wanted >= limit):
            return _Answer(solved.x, solved.error, "rows"), done
        # The squared error falls as 1 / (s - degrees of freedom), and the interval narrows to its limit.
        reach = _MARGIN * _upper_end(solved, 2.5)
        needed = solved.degrees + (wanted - solved.degrees) * max(min(reach / tolerance, 1e6), 1.1) ** 2
        if method == "auto":
            steps = _KACZMARZ_STEPS_PER_ROW * needed
            by_rows = system.seconds_of_rows(needed - wanted) if needed <= limit else math.inf
            by_steps = system.seconds_of_kaczmarz(steps) if steps <= _MOST_SWEEPS * system.m else math.inf
            if min(by_rows, by_steps) > 0.8 * system.seconds_of_exact():
                return None, f"a first draw of {wanted} rows predicted {needed:.3g} for the tolerance: "
            if by_steps < by_rows:
                answer, told = _kaczmarz(system, solved, tolerance)
                if answer.error.high <= tolerance:
                    return answer, told
                return None, f"{told} gave {answer.error.high:.3g}: "
        wanted = math.ceil(min(needed, limit, 8.0 * wanted))


@dataclass(frozen=True, slots=True)
class _Solved:
    """A solution from drawn rows, the two that either half of them would give to first order, and its error."""

    x: Float64Array
    parents: Float64Array
    error: ErrorEstimate
    degrees: float
    directions: float
    gram: Float64Array
    n_draws: int


def _solve(system: _System, draw: _Draw) -> _Solved:
    """Solve from all drawn rows; groups of them judge the solution.

    At the joint solution the scores g_c of the groups sum to the penalty's gradient; each is how far its group would
    pull the solution, to first order H^-1 g_c for the joint Hessian H. The pulls are independent, so that the sum of
    their squares in the metric of H is the expected squared error of the joint solution.
    """
    penalty = system.penalty
    n_draws = draw.n_draws
    solver = SymmetricSolver(draw.gram + n_draws * penalty * np.eye(system.n) if penalty else draw.gram)
    x = solver.solve(draw.rhs)
    scores = draw.scores(x)
    scores -= scores.mean(axis=0)
    pulls = solver.solve(scores.T)
    degrees, directions = _degrees_of_freedom(system, solver, draw.gram)
    # Residuals of fitted rows are too small: the expected sum is noise^2 d (1 - 1 / groups - d / s) for d degrees of
    # freedom and s draws, and the error to be estimated noise^2 (d / s) / (1 - d / s).
    fraction = min(degrees / n_draws, 0.9)
    share = max(1.0 - 1.0 / len(scores) - fraction, 0.05)
    # With H = gram + n_draws penalty, the products with the gram matrix cost nothing more.
    loss = float((pulls * scores.T).sum()) / n_draws - penalty * float((pulls**2).sum())
    loss = max(loss, 0.0) / share / (1.0 - fraction)
    fitted = float(x @ draw.rhs) / n_draws - penalty * float(x @ x)
    relative_variance = _SCORE_SPREAD / directions + 2.0 / n_draws + 2.0 * fraction / n_draws
    half = 2.0 * pulls[:, : len(scores) // 2].sum(axis=1)
    return _Solved(
        x / system.norm,
        np.array([x + half, x - half]) / system.norm,
        _prediction_error(loss, fitted, relative_variance, directions),
        degrees,
        directions,
        draw.gram / n_draws,
        n_draws,
    )


def _upper_end(solved: _Solved, spread: float) -> float:
    """Return the upper end that the interval of a larger sample would have around this error."""
    return solved.error.value * math.sqrt(loss_interval(1.0, spread / solved.directions, solved.directions)[1])


def _degrees_of_freedom(system: _System, solver: SymmetricSolver, gram: Float64Array) -> tuple[float, float]:
    """Return tr H and tr(H)^2 / tr(H^2) for H = (gram + penalty)^-1 gram, from a few random probes."""
    if system.ridge == 0.0 and not solver.singular:
        return float(system.n), float(system.n)
    probes = np.sign(np.random.default_rng(0).standard_normal((system.n, min(system.n, 16))))
    images = solver.solve(gram @ probes)
    trace = float((probes * images).sum()) / probes.shape[1]
    square = float((images**2).sum()) / probes.shape[1]
    trace = min(max(trace, 1.0), float(system.n))
    return trace, min(max(trace**2 / max(square, 1e-300), 1.0), float(system.n))


def _prediction_error(loss: float, fitted: float, relative_variance: float, directions: float) -> ErrorEstimate:
    if fitted <= 0.0:
        return ErrorEstimate(1.0, 0.0, math.inf)
    low, high = loss_interval(loss, relative_variance, directions)
    return ErrorEstimate(math.sqrt(loss / fitted), math.sqrt(low / fitted), math.sqrt(high / fitted))


def _kaczmarz(system: _System, solved: _Solved, tolerance: float) -> tuple[_Answer, str]:
    """Run two chains of tail-averaged Kaczmarz from the two parents, doubling until certified or dear."""
    decay = 1.0 / (1.0 + system.penalty)
    limit = _MOST_SWEEPS * system.m
    reach = _MARGIN * _upper_end(solved, _CHAIN_SPREAD)
    wanted = math.ceil(
        _KACZMARZ_STEPS_PER_ROW * (solved.n_draws - solved.degrees) * max(min(reach / tolerance, 1e6), 1.0) ** 2
    )
    chains = _Chains(system, solved.parents, decay)
    while True:
        wanted = min(wanted, limit)
        chains.run_to(wanted)
        one, two = chains.averages()
        x = (one + two) / 2.0
        gap = (one - two) * system.norm / 2.0
        loss = float(gap @ solved.gram @ gap)
        fitted = float(x @ solved.gram @ x) * system.norm**2
        error = _prediction_error(loss, fitted, _CHAIN_SPREAD / solved.directions + 8.0 / wanted, solved.directions)
        if error.high <= tolerance or wanted >= limit:
            return _Answer(x, error, "kaczmarz"), f"{wanted} Kaczmarz steps"
        wanted = math.ceil(wanted * min(max((_MARGIN * error.high / tolerance) ** 2, 1.5), 4.0))


class _Chains:
    """Two Kaczmarz iterations; their averages cover the last half of the steps or more."""

    def __init__(self, system: _System, starts: Float64Array, decay: float) -> None:
        self._system, self._decay = system, decay
        self._x = starts.copy()
        self._sums: list[tuple[int, Float64Array]] = []  # steps and sums of the iterates of each stretch
        self._steps = 0

    def run_to(self, steps: int) -> None:
        """Go on to this many steps in all, in two stretches, so that the tail can be averaged alone."""
        for end in ((self._steps + steps) // 2, steps):
            if end > self._steps:
                self._stretch(end - self._steps)

    def _stretch(self, steps: int) -> None:
        system, count = self._system, len(self._x)
        total = np.zeros_like(self._x)
        chunk = count * max(1, int(_CHUNK_BYTES / (system.per_row * system.A.entry_bytes)))
        rows = system.A.sample_rows(-(-steps // count) * count, system.rng)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            block = system.A.rows(part)
            targets, norms_sq = system.b[part], system.A.row_norms(part) ** 2
            if isinstance(block, np.ndarray):
                dense_kaczmarz_chains(block, targets, norms_sq, self._decay, self._x, total)
            else:
                indptr = cast("IntArray", block.indptr.astype(np.int64, copy=False))
                csr_kaczmarz_chains(
                    block.data, cast("IntArray", block.indices), indptr, targets, norms_sq, self._decay, self._x, total
                )
        self._sums.append((len(rows) // count, total))
        self._steps += len(rows)

    def averages(self) -> Float64Array:
        """Return the mean iterate of each chain over the stretches that make up the last half of the steps or more."""
        covered, total = 0, np.zeros_like(self._x)
        for steps, part in reversed(self._sums):
            covered += steps
            total = total + part
            if 2 * covered * len(self._x) >= self._steps:
                break
        return total / covered


def _held_out_residual(system: _System, x: Float64Array) -> ErrorEstimate:
    """Return |A x - b| / |b| from rows drawn a third each by |a_i|^2, by b_i^2 and uniformly.

    The first two bound each term by 6 (|A|_F^2 |x|^2 + |b|^2); the third keeps noise of one size on small rows from
    dominating the mean (coverage 87 % without it, row norms log-normal).
    """
    squares = np.cumsum(system.b**2)
    share = _HELD_OUT_ROWS // 3
    by_row = system.A.sample_rows(share, system.rng)
    by_target = np.searchsorted(squares, system.rng.random(share) * squares[-1], side="right")
    evenly = system.rng.integers(0, system.m, share)
    rows = np.concatenate([by_row, np.minimum(by_target, system.m - 1), evenly])
    residuals = np.asarray(system.A.rows(rows) @ x, dtype=np.float64) - system.b[rows]
    norms = system.A.row_norms(rows) / system.norm
    chances = (norms**2 + system.b[rows] ** 2 / squares[-1] + 1.0 / system.m) / 3.0
    return root_mean_interval(residuals**2 / chances / squares[-1])


def _unscaled(x: Float64Array, size: float) -> Float64Array:
    with np.errstate(over="ignore"):
        solution = x * size
    if not np.isfinite(solution).all():
        raise ValueError(
            "`b` must not be so large against `A` that the solution exceeds 1.8e308; divide `b` by a constant."
        )
    return solution


def _exact(
    system: _System, size: float, status: str, meter: CostMeter, matrix: SampleQueryMatrix
) -> LeastSquaresSolution:
    """Solve from all rows; the residual takes one more pass where the moments do not give it."""
    found = exact_least_squares(system.A, system.b, system.ridge)
    if found.residual_sq is None:
        misfit = np.linalg.norm(system.A.matmul(found.x[:, None])[:, 0] - system.b) / np.linalg.norm(system.b)
    else:
        misfit = np.sqrt(found.residual_sq) / np.linalg.norm(system.b)
    residual = ErrorEstimate(float(misfit), float(misfit), float(misfit), 1.0)
    error = ErrorEstimate(found.rounding, 0.0, found.rounding, 1.0)
    return LeastSquaresSolution(
        _unscaled(found.x, size), residual, error, "exact", status + found.how, meter.read(), matrix
    )
