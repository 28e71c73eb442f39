"""Solvers that apply a polynomial of A through its block encoding, simulated exactly as spectral filters."""

from __future__ import annotations

import time
from math import sqrt
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_positive
from qinspired.baselines.quantum._basis import check_problem, diagonalise
from qinspired.baselines.quantum._choices import (
    check_choice,
    check_kappa_encoding,
    check_norm,
    check_tolerance,
    choose_alpha,
    extreme_magnitudes,
    is_word,
)
from qinspired.baselines.quantum._polynomial_filters import (
    Output,
    PolynomialName,
    check_degree,
    find_flaws,
    reflect,
    transform,
)
from qinspired.baselines.quantum._query_counts import amplification, optimal_terms
from qinspired.baselines.quantum._result import FilterCurve, HHLResult
from qinspired.baselines.quantum._shots import check_shots, count_shots

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array, RNGLike
    from qinspired.baselines.quantum._basis import SpectralProblem

__all__ = ["Alpha", "min_degree", "qsvt"]

# Of ridge/alpha^2: the filter is linear long before, and its squares stay finite.
_LARGEST_RIDGE = 1e100

Alpha: TypeAlias = "float | Literal['norm', 'frobenius']"


def qsvt(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    b: npt.ArrayLike,
    *,
    tolerance: float = 1e-2,
    polynomial: PolynomialName = "optimal",
    degree: int | Literal["auto"] = "auto",
    alpha: Alpha = "frobenius",
    kappa: float | Literal["auto"] = "auto",
    filter: Literal["inverse", "ridge"] = "inverse",  # noqa: A002
    ridge: float = 0.0,
    solution_norm: float | Literal["exact"] = "exact",
    shots: int | None = None,
    rng: RNGLike = None,
) -> HHLResult:
    r"""Return the quantum state A^+ b/|A^+ b| as a polynomial of a block encoding of A makes it [1]_.

    The simulation is exact and classical: it diagonalises A, so it already knows the answer, and its seconds are not
    the time of a quantum computer and say nothing about a speed-up. `n_queries` and `expected_runs` are what a quantum
    computer would have to do.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n), or a tuple (U, s, Vt)
        Real or complex matrix, of any shape and rank, or its (truncated) SVD.
    b : array_like, shape (m,)
        Right-hand side, real or complex.
    tolerance : float
        In [1e-14, 1): the promise that `l2_error` is at most this, kept by every automatic degree. `warnings` says
        where rounding in the simulation, if above a tenth of it, may break it.
    polynomial : {"optimal", "cks", "reflection"}
        "optimal" has the least relative residual of its degree, the Chebyshev iteration. "cks" is that of Childs,
        Kothari and Somma [2]_, of three to five times the degree. "reflection" is Dalzell's solver [3]_, which reflects
        about the solution as the kernel of an enlarged matrix and succeeds almost surely where |x| is known.
    degree : int or "auto"
        Degree of the polynomial, odd, even for "reflection". "auto" is the least that is proven to keep the tolerance
        for every b ("cks": the published one).
    alpha : float, "norm" or "frobenius"
        Norm of the block encoding, whose top left block is A/alpha, in the units of A. The default |A|_F is what a tree
        of row norms in quantum memory gives for any data; "norm", |A|_2, is the least possible, and no general way is
        known to reach it.
    kappa : float or "auto"
        The polynomial is made for singular values in [alpha/kappa, alpha]. "auto" takes alpha over the smallest
        non-zero one, `kappa_block_encoding`, which a quantum computer must be told. Not kappa of A, which is smaller.
    filter : {"inverse", "ridge"}
        1/lambda, or lambda/(lambda^2 + ridge), by its Chebyshev series, cut; `polynomial` must stay "optimal".
    ridge : float
        Penalty > 0 for filter "ridge", in squared units of A.
    solution_norm : float or "exact"
        For "reflection": the estimate of |x| that the circuit is built with. A quantum computer must find it first, at
        a cost not counted here.
    shots : int or None
        Runs of the circuit to draw. Every other field stays exact; the estimates are in the field `shots`.
    rng : int, Generator or None
        Source of randomness for `shots`.

    Returns
    -------
    HHLResult
        `n_queries` is the degree: uses of the block encoding and of its inverse in one run. There is no clock, so that
        `success_probability_ancilla` equals `success_probability`, and `fidelity_mixed` equals `fidelity`. `norm` is
        |b| sqrt(p) M/alpha, or `solution_norm` for "reflection". `parameters` has `kappa` (of A, by non-zero singular
        values), `kappa_block_encoding`, `kappa_polynomial`, `alpha`, `degree`, `M`, `error_bound` and more.

    Raises
    ------
    ValueError
        If b is zero or in the kernel of A^H, A is zero, alpha is below |A|_2, the degree would exceed ten million, or a
        parameter is out of its range.

    Notes
    -----
    With A = sum sigma_j u_j v_j^H the output is sum_j P(sigma_j/alpha) <u_j, b/|b|> v_j/M, M the largest |P| on [-1,
    1], and its squared length is the success probability. Singular values that are rounding count as zero, as in
    `hhl`; as P is odd, P(0) = 0 and the answer is that of the pseudo-inverse. Block encoding and rotations are taken
    as perfect.

    The tolerance: if |1 - x P(x)| <= r wherever b has a part, the output differs from a multiple of the solution x by
    at most r |x|, so that the sine of their angle is at most r, and the l2 distance of the unit vectors at most r (1 +
    r^2/8 + ...). The degree is chosen for r = tolerance sqrt(1 - tolerance^2/4), which makes this the tolerance.

    For "reflection", G = (I - b' b'^H) diag(A/alpha, 1/(alpha t)) with b' = (b/|b|, 1)/sqrt 2 and t = |x|/|b| has the
    kernel (x/|b|, t), and the polynomial K(G), K(0) = 1 and K near -1 elsewhere, is applied to (0, 1). Its first block
    is left at the angle with sine at most 1/(c T_l) to x, c = t/sqrt(t^2 + |x|^2/|b|^2). Each query also reflects about
    b', two preparations of b. M is 1.

    `n_qubits` counts ceil(log2 max(m, n)) = w system qubits (one of them more for the enlarged matrix), one qubit of
    the transformation, and for the block encoding w + 2 with "frobenius" [1]_ and else 1, the least possible.

    Cost: a dense eigendecomposition or SVD (none for a tuple), then O(r) for r singular values; O(r degree) for "cks",
    "ridge" and "reflection".
    Error: none but rounding, of which `error_bound` includes an estimate: relative to |x| a few eps for "optimal", eps
    (100 + 20 sqrt(degree)) for "cks" and "ridge", and eps kappa^2/4 for "reflection", whose recurrence adds it up.

    References
    ----------
    .. [1] A. Gilyen, Y. Su, G. H. Low and N. Wiebe, "Quantum singular value transformation and beyond", STOC 2019,
       arXiv:1806.01838.
    .. [2] A. M. Childs, R. Kothari and R. D. Somma, "Quantum algorithm for systems of linear equations with
       exponentially improved dependence on precision", SIAM J. Comput. 46, 1920 (2017), arXiv:1511.02306.
    .. [3] A. M. Dalzell, "A shortcut to an optimal quantum linear system solver", arXiv:2406.12086 (2024).

    Differs from [1]_: the polynomial is evaluated, not compiled into rotation angles. Differs from [2]_: its
    polynomial, applied by singular value transformation in place of a sum of unitaries. Differs from [3]_: the least
    degree that the bound allows; no search for |x|.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import qsvt
    >>> A = np.diag(np.linspace(0.1, 1.0, 10))
    >>> run = qsvt(A, np.ones(10), alpha="norm", tolerance=1e-2)
    >>> run.n_queries, run.l2_error <= 1e-2
    (53, True)
    >>> qsvt(A, np.ones(10), tolerance=1e-2).n_queries  # |A|_F is 1.96 |A|
    103
    """
    tol = check_tolerance(tolerance, "tolerance")
    check_choice(polynomial, "polynomial", get_args(PolynomialName))
    check_choice(filter, "filter", ("inverse", "ridge"))
    penalty = _check_ridge(ridge, filter, polynomial)
    if not is_word(solution_norm, "exact") and polynomial != "reflection":
        raise ValueError(
            "`solution_norm` must be 'exact' unless `polynomial` is 'reflection', as only that one uses it."
        )
    n_shots = check_shots(shots)
    generator = as_generator(rng)
    system = check_problem(A, b)
    started = time.perf_counter()
    problem = diagonalise(system)
    largest, smallest = extreme_magnitudes(problem)
    scale = choose_alpha(alpha, problem)
    kappa_block = scale / smallest
    check_kappa_encoding(kappa_block, "alpha", "Give a smaller `alpha`; 'norm' is the least.")
    kappa_used = kappa_block if is_word(kappa, "auto") else _check_kappa(kappa)
    scaled, width_sq = problem.values / scale, penalty / scale / scale
    if width_sq > _LARGEST_RIDGE:
        raise ValueError(
            f"`ridge` must be at most {_LARGEST_RIDGE:.0e} alpha^2; got {penalty:.3g} for alpha = {scale:.3g}. From "
            "1e8 alpha^2 on the filter is a multiple of A^H to the digits, and a smaller `ridge` gives the same state."
        )
    target = _target(scaled, width_sq)
    exact = target * problem.coefficients
    exact_norm = float(np.linalg.norm(exact))
    sine = tol * sqrt(1.0 - tol**2 / 4.0)

    if polynomial == "reflection":
        t = (
            exact_norm
            if is_word(solution_norm, "exact")
            else _check_solution_norm(solution_norm) * scale / problem.b_norm
        )
        output = reflect(problem, scaled, degree, kappa_used, t, exact_norm, sine)
    else:
        output = transform(problem, scaled, degree, kappa_used, polynomial, width_sq, sine)
    raw = problem.right @ output.coefficients
    raw_norm = float(np.linalg.norm(raw))
    probability = min(1.0, (raw_norm / output.largest) ** 2)
    if probability < np.finfo(np.float64).tiny:
        raise ValueError(
            f"`kappa` and `degree` must leave some success probability, and it is 0 here. Raise them; "
            f"{kappa_block:.6g} is kappa of the block encoding."
        )
    state = raw / raw_norm
    exact_unit = problem.right @ (exact / exact_norm)
    overlap = complex(np.vdot(exact_unit, state))
    turn: complex = overlap / abs(overlap) if overlap != 0 else 1.0
    aligned = exact_unit * (turn if np.iscomplexobj(state) else turn.real)
    if polynomial == "reflection":
        unit, norm = np.nan, check_norm(problem.b_norm, scale, t)
    else:
        norm = check_norm(problem.b_norm, scale, output.largest * sqrt(probability))
        unit = norm / sqrt(probability)
    rounds, runs = amplification(probability)
    n_system = max(1, (max(problem.shape) - 1).bit_length())
    n_encoding = n_system + 2 if is_word(alpha, "frobenius") else 1
    return HHLResult(
        state=state,
        x=norm * state,
        norm=norm,
        success_probability=probability,
        success_probability_ancilla=probability,
        fidelity=abs(overlap) ** 2,
        fidelity_mixed=abs(overlap) ** 2,
        l2_error=float(np.linalg.norm(state - aligned)),
        filter_curve=_curve(problem, output, target, scale),
        n_queries=output.degree,
        n_qubits=n_system + n_encoding + (2 if polynomial == "reflection" else 1),
        amplification_rounds=rounds,
        expected_runs=runs,
        parameters=MappingProxyType(
            {
                "basis": problem.kind,
                "polynomial": "chebyshev" if filter == "ridge" else polynomial,
                "filter": filter,
                "ridge": penalty,
                "degree": output.degree,
                "degree_needed": output.needed,
                "tolerance": tol,
                "error_bound": output.error_bound,
                "alpha": scale,
                "alpha_rule": alpha if isinstance(alpha, str) else "given",
                "kappa": largest / smallest,
                "kappa_block_encoding": kappa_block,
                "kappa_polynomial": kappa_used,
                "M": output.largest,
                "solution_norm": t * problem.b_norm / scale if polynomial == "reflection" else None,
            }
        ),
        warnings=find_flaws(output, kappa_used, kappa_block, sine, tol, probability, polynomial, sqrt(width_sq)),
        simulation_seconds=time.perf_counter() - started,
        shots=None if n_shots is None else count_shots(generator, n_shots, probability, unit, state),
    )


def min_degree(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    b: npt.ArrayLike,
    *,
    tolerance: float = 1e-2,
    alpha: Alpha = "frobenius",
) -> int:
    """Return the least degree of the optimal polynomial with `l2_error` <= `tolerance` for this A and b.

    `qsvt` must choose a degree that serves every b. This search, which has the answer at hand, shows how much of it
    this instance needs; a quantum computer could not run it.

    Parameters
    ----------
    A, b, alpha
        As in `qsvt`.
    tolerance : float
        In [1e-14, 1).

    Returns
    -------
    int
        Odd degree; all smaller odd degrees miss the tolerance.

    Raises
    ------
    ValueError
        As in `qsvt`.

    Notes
    -----
    Cost: a diagonalisation, then O(r degree) for r singular values.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import min_degree, qsvt
    >>> A, b = np.diag(np.linspace(0.1, 1.0, 10)), np.ones(10)
    >>> least = min_degree(A, b, alpha="norm")
    >>> least < qsvt(A, b, alpha="norm").n_queries
    True
    """
    tol = check_tolerance(tolerance, "tolerance")
    problem = diagonalise(check_problem(A, b))
    _, smallest = extreme_magnitudes(problem)
    scale = choose_alpha(alpha, problem)
    scaled = np.abs(problem.values[problem.values != 0.0]) / scale
    kappa = scale / smallest
    mass = np.abs(problem.coefficients[problem.values != 0.0] / scaled) ** 2
    mass /= mass.sum()
    last = optimal_terms(kappa, tol * sqrt(1.0 - tol**2 / 4.0))
    check_degree(2 * last - 1)
    # 1 - x P of every l in turn, by the recurrence of T_l(z(x))/T_l(z(0)).
    gap = min(1.0 / kappa, 1.0 - 1e-6)
    z0 = (1.0 + gap**2) / (1.0 - gap**2)
    z = z0 - 2.0 * np.minimum(scaled, 1.0) ** 2 / (1.0 - gap**2)
    before, now, ratio = np.ones(len(z)), z / z0, 1.0 / z0
    for terms in range(1, last):
        kept = 1.0 - now
        # |state - exact|^2 = 2 - 2 cos, and 1 - cos^2 without cancellation, as a variance.
        mean = float(mass @ kept)
        square = float(mass @ kept**2)
        if mean > 0.0:
            sine_sq = float(mass @ (kept - mean) ** 2) / square
            if sine_sq <= tol**2 * (1.0 - tol**2 / 4.0):
                return 2 * terms - 1
        new_ratio = 1.0 / (2.0 * z0 - ratio)
        before, now = now, 2.0 * new_ratio * z * now - new_ratio * ratio * before
        ratio = new_ratio
    return 2 * last - 1


def _curve(problem: SpectralProblem, output: Output, target: Float64Array, scale: float) -> FilterCurve:
    b_size = np.abs(problem.coefficients)
    touched = b_size > 0.0
    applied = np.zeros(len(target))
    ratio = output.coefficients[touched] / problem.coefficients[touched]
    applied[touched] = ratio.real * output.to_solution / scale
    return FilterCurve(values=problem.values, applied=applied, target=target / scale)


def _target(scaled: Float64Array, penalty: float) -> Float64Array:
    target = np.zeros(len(scaled))
    used = scaled != 0.0
    target[used] = 1.0 / (scaled[used] + penalty / scaled[used])
    return target


def _check_kappa(kappa: Any) -> float:
    value = check_positive(kappa, "kappa")
    if value < 1.0:
        raise ValueError(f"`kappa` must be >= 1 or 'auto'; got {value}.")
    return check_kappa_encoding(value, "kappa", "Leave it at 'auto', which takes that of `A`.")


def _check_solution_norm(value: Any) -> float:
    if isinstance(value, str):
        raise ValueError(f"`solution_norm` must be a number > 0 or 'exact'; got {value!r}.")
    return check_positive(value, "solution_norm")


def _check_ridge(ridge: Any, kind: str, polynomial: str) -> float:
    if kind == "ridge":
        if polynomial != "optimal":
            raise ValueError(f"`polynomial` must stay 'optimal' for filter 'ridge'; got {polynomial!r}.")
        return check_positive(ridge, "ridge")
    if isinstance(ridge, bool) or not isinstance(ridge, Real) or ridge != 0.0:
        raise ValueError(f"`ridge` must be 0 unless `filter` is 'ridge'; got {ridge!r}.")
    return 0.0
