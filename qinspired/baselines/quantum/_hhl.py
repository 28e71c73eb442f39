"""The algorithm of Harrow, Hassidim and Lloyd, simulated exactly as a spectral filter."""

from __future__ import annotations

import time
from math import ceil, log2
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from qinspired._validation import check_count, check_nonnegative
from qinspired.baselines.quantum._basis import check_problem, diagonalise
from qinspired.baselines.quantum._phase_estimation import (
    Below,
    Kind,
    Window,
    register_values,
    respond,
    rotation_table,
)
from qinspired.baselines.quantum._result import FilterCurve, HHLResult, amplification

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import Float64Array
    from qinspired.baselines.quantum._basis import SpectralProblem

__all__ = ["hhl"]

_MAX_CLOCK_QUBITS = 24
_AUTO_CLOCK_QUBITS = 16
_LOW_PROBABILITY = 1e-6


def hhl(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    b: npt.ArrayLike,
    *,
    n_clock_qubits: int | Literal["auto"] = "auto",
    evolution_time: float | Literal["auto"] = "auto",
    C: float | Literal["auto", "register"] = "auto",
    guard: int | Literal["auto"] = "auto",
    below: Below = "clip",
    signed: bool | Literal["auto"] = "auto",
    window: Window = "hadamard",
    kind: Kind = "inverse",
    ridge: float = 0.0,
    threshold: float = 0.0,
    postselect_clock: bool = True,
) -> HHLResult:
    """Return the quantum state A^+ b/|A^+ b| as the HHL circuit [1]_ makes it, with its success probability.

    The simulation is exact and classical: it diagonalises A, so it already knows the answer, and the
    seconds it takes are not the time of a quantum computer and say nothing about a speed-up. `n_queries`
    and `expected_runs` are what a quantum computer would have to do.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n), or a tuple (U, s, Vt)
        Real or complex matrix. A Hermitian one is handled in its eigenbasis; a rectangular or other one in
        its singular basis, which is its Hermitian dilation [[0, A], [A^H, 0]] with b in the first block. A
        known (truncated) SVD stands for its product and makes large low-rank systems cheap.
    b : array_like, shape (m,)
        Right-hand side, real or complex.
    n_clock_qubits : int or "auto"
        Clock qubits t in [1, 24] (at least 2 if signed), for a register of T = 2^t values. "auto" is
        ceil(log2 kappa) + 8, one more if signed, at most 16.
    evolution_time : float or "auto"
        t0 in U = exp(i A t0); the register value k stands for the eigenvalue 2 pi k/(T t0). "auto" puts the
        largest |eigenvalue| `guard` registers below the top.
    C : float, "auto" or "register"
        The rotation's constant, in the units of A. "auto" is the largest register value not above the
        smallest non-zero |eigenvalue|; "register" is the first register value, which needs no knowledge of
        the spectrum. The success probability goes as C^2.
    guard : int or "auto"
        Registers kept free above the largest |eigenvalue|, which stop it from wrapping around to 0; max(1,
        T//16) by default. Only with an automatic `evolution_time`.
    below : {"clip", "zero"}
        Register values below C: amplitude 1 with the sign kept, or 0 (as in older packages; less accurate).
    signed : bool or "auto"
        Two's complement register, needed for negative eigenvalues and for the singular basis. "auto" where
        needed.
    window : {"hadamard", "sine"}
        State in which the clock starts: uniform, or the sine window of [1]_, whose tails decay faster and
        which needs some guard registers.
    kind : {"inverse", "ridge", "threshold"}
        Filter: C/lambda; C lambda/(lambda^2 + ridge); or the projection of b on |lambda| >= threshold, the
        step of the quantum recommender [2]_ (in the singular basis on left singular vectors, a state of
        length m).
    ridge : float
        Penalty for kind "ridge", >= 0.
    threshold : float
        Threshold for kind "threshold", > 0.
    postselect_clock : bool
        Whether success means ancilla 1 and clock 0, or ancilla 1 only. It decides the probability behind
        `norm`, `amplification_rounds` and `expected_runs`; both probabilities and both fidelities are
        always returned.

    Returns
    -------
    HHLResult
        State, solution, probabilities, errors, costs and the parameters used.

    Raises
    ------
    ValueError
        If `b` is zero or in the kernel of A^H, A is zero, shapes do not match, a value is not finite or a
        parameter is out of its range, or no state is left after post-selection.

    Notes
    -----
    With A = sum_j lambda_j u_j u_j^H and phi_j = lambda_j t0/(2 pi), the output for ancilla 1 and clock 0
    is sum_j h(phi_j) <u_j, b/|b|> u_j, where h = sum_k |alpha_k|^2 r_k, alpha_k are the amplitudes of phase
    estimation and r_k the rotation of register k. Eigenvalues of A below max(m, n) eps |A| count as zero
    and are not inverted. Rotations and controlled powers of U are taken as perfect.

    Cost: a dense eigendecomposition or SVD (none for a tuple), then O(r T log T) for r eigenvalues; 64 MB
    chunks.
    Error: none but rounding, about 1e-13, against a simulation of the gates.

    References
    ----------
    .. [1] A. W. Harrow, A. Hassidim and S. Lloyd, "Quantum algorithm for linear systems of equations",
       Phys. Rev. Lett. 103, 150502 (2009), arXiv:0811.3171.
    .. [2] I. Kerenidis and A. Prakash, "Quantum recommendation systems", ITCS 2017, arXiv:1603.08675.

    Differs from [1]_: the default clock input is uniform; the clock may be post-selected; C may use the
    smallest eigenvalue; eigenvalues below C are clipped rather than flagged in a second ancilla state.

    Examples
    --------
    Eigenvalues 1 and 2 fit a clock of two qubits exactly.

    >>> import numpy as np
    >>> from qinspired.baselines import hhl
    >>> A = np.array([[1.5, 0.5], [0.5, 1.5]])
    >>> result = hhl(A, [1.0, 0.0], n_clock_qubits=2, evolution_time=np.pi / 2, C=1.0)
    >>> round(result.success_probability, 12), round(result.fidelity, 12), result.n_queries
    (0.625, 1.0, 6)
    >>> bool(np.allclose(result.x, np.linalg.solve(A, [1.0, 0.0])))
    True
    """
    _check_choices(below=below, window=window, kind=kind, signed=signed, postselect_clock=postselect_clock)
    ridge = check_nonnegative(ridge, "ridge")
    threshold = check_nonnegative(threshold, "threshold")
    if (kind == "threshold") != (threshold > 0.0) or (ridge > 0.0 and kind != "ridge"):
        raise ValueError(
            "`kind` must be 'threshold' with a `threshold` > 0, 'ridge' with an optional `ridge`, or "
            "'inverse' "
            f"with neither; got kind={kind!r}, ridge={ridge}, threshold={threshold}."
        )
    parts, rhs = check_problem(A, b)
    started = time.perf_counter()
    problem = diagonalise(parts, rhs)
    magnitudes = np.abs(problem.values[problem.values != 0.0])
    largest, smallest = float(magnitudes.max()), float(magnitudes.min())
    is_signed = _choose_sign(problem, signed)
    t = _choose_clock(n_clock_qubits, largest / smallest, signed=is_signed)
    n_states = 1 << t
    t0, guard_used = _choose_time(evolution_time, guard, n_states, largest, signed=is_signed)
    values = register_values(n_states, t0, signed=is_signed)
    constant = _choose_constant(C, values, smallest, kind=kind, ridge=ridge)
    r = rotation_table(values, C=constant, signed=is_signed, below=below, kind=kind, ridge=ridge, threshold=threshold)
    target = _target(problem.values, kind=kind, ridge=ridge, threshold=threshold)

    paired = problem.kind == "singular"
    mass = np.abs(problem.coefficients) ** 2
    # The last phase, 0, is that of b outside the span of the basis.
    phases = np.append(problem.values * (t0 / (2.0 * np.pi)), 0.0)
    # Of unit size: only directions are compared with it, and squares of 1e-200 would vanish.
    peak = float(np.abs(target).max())
    wanted = target / peak if peak > 0.0 else target
    weights = np.append(mass * wanted * (0.5 if paired else 1.0), 0.0)
    response = respond(phases, r, window=window, weights=weights, paired=paired)
    h, h_zero = response.h[:-1], float(response.h[-1])
    outside = problem.outside_mass if paired else 0.0

    vectors = problem.left if kind == "threshold" else problem.right
    raw = vectors @ (h * problem.coefficients)
    exact = vectors @ (wanted * problem.coefficients)
    if paired and kind == "threshold":
        raw = raw + h_zero * (problem.b_unit - problem.left @ problem.coefficients)
    raw_norm = float(np.linalg.norm(raw))
    exact_norm = float(np.linalg.norm(exact))
    p10 = raw_norm**2
    p1 = float(mass @ response.q[:-1]) + outside * float(response.q[-1])
    if exact_norm == 0.0:
        raise ValueError(
            f"`threshold` must leave a part of `b`; no eigenvalue or singular value that `b` touches reaches "
            f"{threshold}. Lower it."
        )
    if p10 < np.finfo(np.float64).tiny:
        raise ValueError(
            "`n_clock_qubits` and `C` must leave some success probability, and it is 0 here: every register "
            "that the eigenvalues reach is rotated by nothing. Raise `n_clock_qubits` or lower `C`."
        )
    state, exact_unit = raw / raw_norm, exact / exact_norm
    overlap = complex(np.vdot(exact_unit, state))
    turn: complex = overlap / abs(overlap) if overlap != 0 else 1.0
    aligned = exact_unit * (turn if np.iscomplexobj(state) else turn.real)
    scale = 1.0 if kind == "threshold" else constant
    probability = p10 if postselect_clock else p1
    norm = problem.b_norm * float(np.sqrt(probability)) / scale
    rounds, runs = amplification(probability)
    n_system = sum(problem.shape) if paired else problem.shape[0]
    return HHLResult(
        state=state,
        x=norm * state,
        norm=norm,
        success_probability=p10,
        success_probability_ancilla=p1,
        fidelity=abs(overlap) ** 2,
        fidelity_mixed=response.overlap_sq / (p1 * exact_norm**2),
        l2_error=float(np.linalg.norm(state - aligned)),
        filter_curve=FilterCurve(values=problem.values, applied=h / scale, target=target),
        n_queries=2 * (n_states - 1),
        n_qubits=max(1, (n_system - 1).bit_length()) + t + 1,
        amplification_rounds=rounds,
        expected_runs=runs,
        evolution_time=t0,
        C=constant,
        parameters=MappingProxyType(
            {
                "basis": problem.kind,
                "n_clock_qubits": t,
                "evolution_time": t0,
                "C": constant,
                "C_rule": C if isinstance(C, str) else "given",
                "guard": guard_used,
                "below": below,
                "signed": is_signed,
                "window": window,
                "kind": kind,
                "ridge": ridge,
                "threshold": threshold,
                "postselect_clock": postselect_clock,
            }
        ),
        warnings=_find_flaws(
            largest=largest,
            smallest=smallest,
            step=float(values[1]),
            top=float(values.max()) + float(values[1]),
            C=constant if kind == "inverse" else 0.0,
            below=below,
            probability=probability,
        ),
        simulation_seconds=time.perf_counter() - started,
    )


def _check_choices(*, below: Any, window: Any, kind: Any, signed: Any, postselect_clock: Any) -> None:
    for name, value, allowed in (
        ("below", below, get_args(Below)),
        ("window", window, get_args(Window)),
        ("kind", kind, get_args(Kind)),
        ("signed", signed, (True, False, "auto")),
        ("postselect_clock", postselect_clock, (True, False)),
    ):
        if not any(value is choice or (isinstance(choice, str) and value == choice) for choice in allowed):
            choices = ", ".join(repr(choice) for choice in allowed)
            raise ValueError(f"`{name}` must be one of {choices}; got {value!r}.")


def _choose_sign(problem: SpectralProblem, signed: bool | Literal["auto"]) -> bool:
    needed = problem.kind == "singular" or bool(problem.values.min() < 0.0)
    if signed == "auto":
        return needed
    if needed and not signed:
        why = "the singular basis" if problem.kind == "singular" else "negative eigenvalues"
        raise ValueError(f"`signed` must be True or 'auto' for {why}; got False.")
    return signed


def _choose_clock(n_clock_qubits: int | Literal["auto"], kappa: float, *, signed: bool) -> int:
    if n_clock_qubits == "auto":
        return min(_AUTO_CLOCK_QUBITS, ceil(log2(kappa) - 1e-9) + 8 + signed)
    t = check_count(n_clock_qubits, "n_clock_qubits", low=2 if signed else 1)
    if t > _MAX_CLOCK_QUBITS:
        raise ValueError(f"`n_clock_qubits` must be at most {_MAX_CLOCK_QUBITS}; got {t}.")
    return t


def _choose_time(
    evolution_time: float | Literal["auto"],
    guard: int | Literal["auto"],
    n_states: int,
    largest: float,
    *,
    signed: bool,
) -> tuple[float, int | None]:
    """Return t0 and the guard registers, None where the caller gave t0."""
    if evolution_time != "auto":
        if guard != "auto":
            raise ValueError("`guard` must be 'auto' when `evolution_time` is given, as it has no effect then.")
        return _check_positive(evolution_time, "evolution_time"), None
    top = n_states // 2 if signed else n_states
    used = max(1, n_states // 16) if guard == "auto" else check_count(guard, "guard")
    if used >= top:
        raise ValueError(f"`guard` must be below {top}, the registers of one sign; got {used}.")
    return 2.0 * np.pi * (top - used) / (n_states * largest), used


def _choose_constant(
    C: float | Literal["auto", "register"], values: Float64Array, smallest: float, *, kind: Kind, ridge: float
) -> float:
    if kind == "threshold":
        return 1.0
    if isinstance(C, str):
        if C not in ("auto", "register"):
            raise ValueError(f"`C` must be a number > 0, 'auto' or 'register'; got {C!r}.")
        step = values[1]
        first = 1 if C == "register" else max(1, int(smallest / step + 1e-9))
        positive = values[values > 0.0]
        used = positive[min(first, len(positive)) - 1 :]
        # The largest C that lets no register from the first used one on exceed amplitude 1.
        return float(np.min(used + ridge / used))
    return _check_positive(C, "C")


def _check_positive(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"`{name}` must be a number > 0 or 'auto'; got {value!r} of type {type(value).__name__}.")
    if not 0.0 < value < np.inf:
        raise ValueError(f"`{name}` must be finite and > 0; got {value}.")
    return float(value)


def _target(values: Float64Array, *, kind: Kind, ridge: float, threshold: float) -> Float64Array:
    if kind == "threshold":
        return np.asarray(np.abs(values) >= threshold, dtype=np.float64)
    target = np.zeros(len(values))
    used = values != 0.0
    target[used] = 1.0 / (values[used] + ridge / values[used])
    return target


def _find_flaws(
    *, largest: float, smallest: float, step: float, top: float, C: float, below: Below, probability: float
) -> tuple[str, ...]:
    flaws = []
    if largest >= top * (1.0 - 1e-12):
        flaws.append(
            f"aliasing: the largest |eigenvalue| {largest:.6g} wraps around the register, which ends at "
            f"{top:.6g}"
            "; shorten `evolution_time`."
        )
    if smallest < step * (1.0 - 1e-9):
        flaws.append(
            f"the smallest non-zero |eigenvalue| {smallest:.6g} is below one register step {step:.6g}; raise "
            "`n_clock_qubits`."
        )
    if smallest * (1.0 + 1e-9) < C:
        done = "clipped" if below == "clip" else "set to zero"
        flaws.append(f"eigenvalues below C = {C:.6g} are {done}; the smallest is {smallest:.6g}. Lower `C`.")
    if probability < _LOW_PROBABILITY:
        flaws.append(f"the success probability {probability:.1e} is very low.")
    return tuple(flaws)
