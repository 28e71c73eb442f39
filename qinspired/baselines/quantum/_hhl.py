"""The algorithm of Harrow, Hassidim and Lloyd, simulated exactly as a spectral filter."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from qinspired._rng import as_generator
from qinspired.baselines.quantum._basis import check_problem, diagonalise
from qinspired.baselines.quantum._choices import (
    check_choice,
    check_norm,
    exact_coordinates,
    refuse_failure,
    warn_of_failure,
)
from qinspired.baselines.quantum._clock import find_flaws, resolve_clock
from qinspired.baselines.quantum._filters import resolve_filter
from qinspired.baselines.quantum._phase_estimation import mixed_overlap, respond
from qinspired.baselines.quantum._query_counts import amplification
from qinspired.baselines.quantum._result import FilterCurve, HHLResult
from qinspired.baselines.quantum._shots import check_shots, count_shots
from qinspired.baselines.quantum._spectrum import evolved_spectrum

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import RNGLike
    from qinspired.baselines.quantum._basis import SpectralProblem
    from qinspired.baselines.quantum._clock import Clock, PhaseMap
    from qinspired.baselines.quantum._filters import Below, FilterLike
    from qinspired.baselines.quantum._phase_estimation import Window

__all__ = ["hhl"]


def hhl(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    b: npt.ArrayLike,
    *,
    n_clock_qubits: int | Literal["auto"] = "auto",
    evolution_time: float | Literal["auto"] = "auto",
    C: float | Literal["auto", "register"] = "auto",
    window: Window = "hadamard",
    guard: int | Literal["auto"] = "auto",
    below: Below = "clip",
    signed: bool | Literal["auto"] = "auto",
    postselect_clock: bool = True,
    filter: FilterLike = "inverse",  # noqa: A002
    ridge: float = 0.0,
    threshold: float = 0.0,
    phase_map: PhaseMap = "hamiltonian",
    alpha: float | Literal["frobenius", "norm"] = "frobenius",
    trotter: tuple[int, int] | None = None,
    rotation_bits: int | None = None,
    shots: int | None = None,
    rng: RNGLike = None,
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
        t0 in U = exp(+i A t0); the register value k stands for the eigenvalue 2 pi k/(T t0). "auto" puts the
        largest |eigenvalue| `guard` registers below the top.
    C : float, "auto" or "register"
        The rotation's constant, in the units of A for the inverse. "auto" is the largest register value not
        above the smallest non-zero |eigenvalue| (for other filters f, 1/max |f| from that register on);
        "register" takes the first register value, which needs no knowledge of the spectrum. The success
        probability goes as C^2.
    window : {"hadamard", "sine"}
        State in which the clock starts: uniform, or the sine window of [1]_, whose tails decay faster and
        which needs 2 guard registers or more.
    guard : int or "auto"
        Registers kept free above the largest |eigenvalue|, which stop it from wrapping around to 0; max(1,
        T//16) by default. Only with an automatic `evolution_time`.
    below : {"clip", "zero"}
        Registers where C |f| > 1, values below C for the inverse: amplitude 1 with the sign kept, or 0 (as in
        older packages; less accurate).
    signed : bool or "auto"
        Two's complement register, needed for negative eigenvalues and for the singular basis. "auto" where
        needed.
    postselect_clock : bool
        Whether success means ancilla 1 and clock 0, or ancilla 1 only. It decides the probability behind
        `norm`, `shots`, `amplification_rounds` and `expected_runs`; both probabilities and both fidelities
        are always returned.
    filter : {"inverse", "ridge", "threshold"} or callable
        The function f of the eigenvalue: 1/lambda; lambda/(lambda^2 + ridge); or the projection of b on
        |lambda| >= threshold, the step of the quantum recommender [2]_. A callable takes an array of non-zero
        numbers in the units of A and returns f of each, real and finite; f(0) counts as 0. In the singular
        basis f must be odd (the answer is made of right singular vectors, length n) or even (of left ones,
        length m, as for the threshold).
    ridge : float
        Penalty for the filter "ridge", >= 0, in the units of A squared.
    threshold : float
        Threshold for the filter "threshold", > 0, in the units of A.
    phase_map : {"hamiltonian", "walk"}
        What the clock controls: exp(i A t0), or the walk W = (2|0><0| - 1) U_A of a Hermitian block encoding
        <0|U_A|0> = A/alpha, with phases +-arccos(lambda/alpha) and register values alpha cos(2 pi k/T). The
        walk needs no Hamiltonian simulation; a step near 0 is 2 pi alpha/T. Success then includes that the
        flag of the block encoding is 0 where the clock has to be 0.
    alpha : float, "frobenius" or "norm"
        Norm of the block encoding, for the walk only: |A|_F, as for data in a tree of row norms, |A|_2, or a
        number >= |A|_2.
    trotter : (int, int) or None
        Order 1, 2 or 4 and number of steps of a product formula for exp(i A t0), in the Pauli terms of A in
        lexicographic order of I, X, Y, Z, the first qubit being the highest bit of the index and term 1
        applied first; powers of U by repetition. A Hermitian A of 2^q <= 256 rows. The filter curve is then
        that of the formula's own eigenvalues. None for an exact exponential.
    rotation_bits : int or None
        Bits m of the ancilla's rotation angle, 2 arcsin r rounded to multiples of 2 pi/2^m. None for exact.
    shots : int or None
        Runs of the circuit to draw. Every other field stays exact; the estimates are in the field `shots`.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the draws for `shots`.

    Returns
    -------
    HHLResult
        State, solution, probabilities, errors, costs and the parameters used.

    Raises
    ------
    ValueError
        If `b` is zero or in the kernel of A^H, A is zero, shapes do not match, a value is not finite or a
        parameter is out of its range, `signed` is False for an A that needs both signs, or no state is left
        after post-selection.
    TypeError
        If a parameter has a wrong type.

    Notes
    -----
    With A = sum_j lambda_j u_j u_j^H and phi_j = lambda_j t0/(2 pi), the output for ancilla 1 and clock 0
    is sum_j h(phi_j) <u_j, b/|b|> u_j, where h = sum_k |alpha_k|^2 r_k, alpha_k are the amplitudes of phase
    estimation and r_k = C f(value of k), within [-1, 1], the rotation of register k; r = 0 on the register
    value 0 and, if signed, on -T/2. Eigenvalues below N eps |A|_2, N = max(m, n, 32), or max(r, 32) for a tuple,
    count as zero and are not inverted; for numbers of a coarser type than float64 those below eps |A|_F, eps that of
    the type. An A that is Hermitian to rounding is made so. Gates are perfect but for `trotter` and `rotation_bits`.

    Cost: a dense eigendecomposition or SVD (none for a tuple), then O(r T) for r eigenvalues, in chunks, and
    O(T log T); about 290 T bytes.
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
    wanted = resolve_filter(filter, ridge, threshold)
    check_choice(postselect_clock, "postselect_clock", (True, False))
    n_shots = check_shots(shots)
    generator = as_generator(rng)
    system = check_problem(A, b)
    started = time.perf_counter()
    problem = diagonalise(system)
    clock = resolve_clock(
        problem,
        wanted,
        n_clock_qubits=n_clock_qubits,
        evolution_time=evolution_time,
        C=C,
        window=window,
        guard=guard,
        below=below,
        signed=signed,
        phase_map=phase_map,
        alpha=alpha,
        rotation_bits=rotation_bits,
    )
    spectrum = evolved_spectrum(problem, clock, system.parts[0], trotter)
    singular = problem.kind == "singular"
    odd = not singular or wanted.is_odd(clock.values)
    h, q = respond(np.append(spectrum.phases, clock.phases(np.zeros(1))), clock.rotation, window=clock.window)
    h, h_zero, q, q_zero = h[:-1], float(h[-1]), q[:-1], float(q[-1])
    outside = problem.outside_mass if singular else 0.0

    target, coordinates = exact_coordinates(problem, wanted)
    exact = (problem.right if odd else problem.left) @ coordinates
    vectors = spectrum.right if odd else spectrum.left
    raw = vectors @ (h * spectrum.coefficients)
    if not odd:
        raw = raw + h_zero * (problem.b_unit - problem.left @ problem.coefficients)
    raw_norm = float(np.linalg.norm(raw))
    p10 = raw_norm**2
    p1 = float(np.abs(spectrum.coefficients) ** 2 @ q) + outside * q_zero
    refuse_failure(p10, clock.rotation)
    state, exact_unit = raw / raw_norm, exact / np.linalg.norm(exact)
    overlap = complex(np.vdot(exact_unit, state))
    turn: complex = overlap / abs(overlap) if overlap != 0 else 1.0
    aligned = exact_unit * (turn if np.iscomplexobj(state) else turn.real)
    weights = (vectors.conj().T @ exact_unit).conj() * spectrum.coefficients
    halves = singular or clock.phase_map == "walk"
    overlap_sq = mixed_overlap(spectrum.phases, weights, clock.rotation, window=clock.window, halves=halves)

    probability = p10 if postselect_clock else p1
    root = float(np.sqrt(probability))
    norm = check_norm(problem.b_norm, clock.C, root)
    rounds, runs = amplification(probability)
    flaws = find_flaws(clock, problem) + warn_of_failure(probability)
    return HHLResult(
        state=state,
        x=norm * state,
        norm=norm,
        success_probability=p10,
        success_probability_ancilla=p1,
        fidelity=min(1.0, abs(overlap) ** 2),
        fidelity_mixed=min(1.0, overlap_sq / p1),
        l2_error=float(np.linalg.norm(state - aligned)),
        filter_curve=FilterCurve(
            values=spectrum.values,
            applied=h / clock.C,
            target=target if trotter is None else wanted(spectrum.values),
        ),
        n_queries=clock.n_queries,
        n_qubits=_count_qubits(problem, clock),
        amplification_rounds=rounds,
        expected_runs=runs,
        parameters=MappingProxyType(
            {
                "basis": problem.kind,
                **clock.choices(),
                "C_rule": C if isinstance(C, str) else "given",
                "postselect_clock": postselect_clock,
                "trotter": spectrum.trotter,
                "n_pauli_terms": spectrum.n_terms,
                "n_exponentials": spectrum.n_exponentials,
            }
        ),
        warnings=tuple(flaws),
        simulation_seconds=time.perf_counter() - started,
        shots=None
        if n_shots is None
        else count_shots(generator, n_shots, probability, norm / root, state if postselect_clock else None),
    )


def _count_qubits(problem: SpectralProblem, clock: Clock) -> int:
    """System, clock and ancilla, and the flag of the walk's block encoding."""
    n_system = sum(problem.shape) if problem.kind == "singular" else problem.shape[0]
    return max(1, (n_system - 1).bit_length()) + clock.n_qubits + 1 + (clock.phase_map == "walk")
