"""The circuit of Harrow, Hassidim and Lloyd, simulated gate by gate on the amplitudes of its register."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_nonnegative
from qinspired.baselines.quantum._basis import check_problem, diagonalise
from qinspired.baselines.quantum._choices import check_choice, check_norm, exact_coordinates, warn_of_failure
from qinspired.baselines.quantum._circuit import evolution, read_register, run_circuit, walk_operator
from qinspired.baselines.quantum._clock import PhaseMap, find_flaws, resolve_clock
from qinspired.baselines.quantum._filters import resolve_filter
from qinspired.baselines.quantum._phase_estimation import clock_window
from qinspired.baselines.quantum._query_counts import amplification
from qinspired.baselines.quantum._result import FilterCurve, HHLResult
from qinspired.baselines.quantum._shots import check_shots, estimate_shots
from qinspired.baselines.quantum._trotter import check_trotter, refuse_large_formula

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired._typing import RNGLike
    from qinspired.baselines.quantum._filters import Below, FilterLike
    from qinspired.baselines.quantum._phase_estimation import Window

__all__ = ["hhl_gates"]

_MAX_NUMBERS = 1 << 26  # complex128: 1 GiB
_BYTES = 16
# The part of b along an eigenvector below which the filter cannot be read off the amplitudes.
_VISIBLE = 1e-6
# Outside the answer's block there is rounding only, unless product formulas or noise put something there.
_LEAK = 1e-10


def hhl_gates(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    b: npt.ArrayLike,
    *,
    n_clock_qubits: int | Literal["auto"],
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
    depolarising: float = 0.0,
    rng: RNGLike = None,
) -> HHLResult:
    """Return the output state of the HHL circuit [1]_, simulated gate by gate on its 2^q amplitudes.

    It is the independent check of `hhl`, which works in the eigenbasis: here nothing is diagonalised to evolve the
    state (only the walk's R is made of eigenvectors). It also simulates what `hhl` takes as perfect, noise in the
    gates, and samples the outcomes of runs. It is for small registers, and the seconds it takes are not the time of a
    quantum computer.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n), or a tuple (U, s, Vt)
        Real or complex matrix. One that is not Hermitian enters as its dilation [[0, A], [A^H, 0]], formed explicitly,
        with b in the first block. The system is padded with zeros to a power of two.
    b : array_like, shape (m,)
        Right-hand side, real or complex.
    n_clock_qubits, evolution_time, C, window, guard, below, signed, postselect_clock
        As for `hhl`.
    filter : {"inverse", "ridge", "threshold"} or callable
        What the ancilla's rotation applies, as for `hhl`.
    ridge, threshold : float
        Its parameter.
    phase_map, alpha
        As for `hhl`. The walk's encoding by one flag qubit is U_A = [[H/alpha, R], [R, -H/alpha]], R = sqrt(1 -
        (H/alpha)^2), and the flag is the highest qubit of the system.
    trotter : (int, int) or None
        (order, steps) of the product formula that stands for U = exp(i A t0): order 1, 2 or 4, over the Pauli words of
        the padded matrix in lexicographic order I < X < Y < Z. Powers of U repeat it. None is exact evolution.
    rotation_bits : int or None
        Bits of the ancilla's rotation angle, as for `hhl`.
    shots : int or None
        Runs of the circuit to sample; the estimates are in the field `shots`. The exact fields do not change.
    depolarising : float
        Error probability p of a CNOT, in [0, 1]. Above 0 a density matrix of 4^q numbers is simulated.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Random state of the shots; nothing else here is random.

    Returns
    -------
    HHLResult
        As `hhl` returns it; the filter curve is read off the amplitudes along the eigenvectors of A, also with product
        formulas, and is NaN where b has no part in one and where there is noise. `parameters` also holds

        - "leakage": share of the successful outcomes outside the entries of the answer (the other block of the
          dilation, the padding), which is rounding for exact evolution without noise. The probabilities, the
          fidelities and `l2_error` count it;
        - "purity": tr(rho^2) of the system once the ancilla is 1 and the clock 0;
        - "n_gates" and "n_cnots": gates simulated, and CNOTs that they take;
        - "counts": sampled outcomes as an int64 array [ancilla, clock not 0, system state] of shape (2, 2,
          2^q_system), or None without `shots`. With the walk the flag is a system qubit, and successes have it 0
          where the clock is 0.

    Raises
    ------
    ValueError
        As for `hhl`; if the register is too large, with the memory that it would take; if `trotter` or `depolarising`
        is out of range.

    Notes
    -----
    Conventions: U = exp(+i A t0); clock qubit i has weight 2^i and controls U^(2^i); the Fourier transform takes |j> to
    T^(-1/2) sum_k exp(2 pi i j k/T) |k>; the first letter of a Pauli word acts on the most significant system qubit.

    The gates, in order: b is loaded; the clock's window is prepared (Hadamards, or multiplexed rotations for the sine
    window); the controlled powers of U, by `scipy.linalg.expm` or the product formula and then by squaring; the inverse
    Fourier transform by Hadamards, controlled phases and swaps; the ancilla is rotated by 2 arcsin r_k where the clock
    holds k; then the Fourier transform, the powers of U^H and the window's inverse. "Ancilla 1" and "clock 0" are
    outcomes at the end. The automatic parameters and the exact answer that the errors refer to come from the spectrum
    of A, as for `hhl`.

    Noise: the unit is the CNOT. A gate on k qubits that takes g CNOTs is followed by the depolarising channel
    rho -> (1 - e) rho + e tr_k(rho) (x) I/2^k on these k qubits, with e = 1 - (1 - p)^g. Gates on one qubit are free
    of error. g is 2 for a controlled phase, 3 for a swap, 2^c for a rotation multiplexed by c qubits [2]_, 2^q - 2 to
    load q qubits with real amplitudes and 2^(q+1) - 2q - 2 with complex ones [2]_, and (23/48) 4^k - (3/2) 2^k + 4/3
    for a controlled dense U on k = q_system + 1 qubits [3]_. A product formula takes 2 w for a controlled exponential
    of a word on w qubits, times its steps and the power of U. The model spreads the errors of a compiled gate evenly
    over its qubits, so it is not any machine's noise. With noise the output is mixed: `state` is the leading
    eigenvector of the answer's block of its density matrix, turned to a positive overlap with the exact answer,
    `l2_error` is that of this vector, and `fidelity` that of the mixed state.

    Cost: O(2^q n) for each controlled power on an n x n system of q qubits in all, O(2^q) for every other gate; 2^q
    times that with noise. O(n^2) for each pass through a Pauli word of a product formula.
    Error: rounding, about 1e-13.

    References
    ----------
    .. [1] A. W. Harrow, A. Hassidim and S. Lloyd, "Quantum algorithm for linear systems of equations",
       Phys. Rev. Lett. 103, 150502 (2009), arXiv:0811.3171.
    .. [2] M. Mottonen, J. J. Vartiainen, V. Bergholm and M. M. Salomaa, "Transformation of quantum states using
       uniformly controlled rotations", Quantum Inf. Comput. 5, 467 (2005), arXiv:quant-ph/0407010.
    .. [3] V. V. Shende, S. S. Bullock and I. L. Markov, "Synthesis of quantum logic circuits", IEEE Trans. CAD 25, 1000
       (2006), arXiv:quant-ph/0406176.

    Differs from [1]_: as `hhl` does; the system is padded; U is dense rather than a sparse simulation.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import hhl, hhl_gates
    >>> A, b = np.array([[1.5, 0.5], [0.5, 1.5]]), [1.0, 0.0]
    >>> gates = hhl_gates(A, b, n_clock_qubits=3)
    >>> bool(np.allclose(gates.x, hhl(A, b, n_clock_qubits=3).x, atol=1e-12))
    True
    >>> noisy = hhl_gates(A, b, n_clock_qubits=3, depolarising=0.01)
    >>> noisy.fidelity < gates.fidelity
    True
    """
    wanted = resolve_filter(filter, ridge, threshold)
    check_choice(postselect_clock, "postselect_clock", (True, False))
    trotter = check_trotter(trotter)
    depolarising = check_nonnegative(depolarising, "depolarising")
    if depolarising > 1.0:
        raise ValueError(f"`depolarising` must be a probability in [0, 1]; got {depolarising}.")
    n_shots = check_shots(shots)
    generator = as_generator(rng)
    system = check_problem(A, b)
    started = time.perf_counter()
    problem = diagonalise(system)
    is_dilated = problem.kind == "singular"
    m = problem.shape[0]
    n_system = sum(problem.shape) if is_dilated else m
    size = 1 << max(1, (n_system - 1).bit_length())
    check_choice(phase_map, "phase_map", get_args(PhaseMap))
    flagged = phase_map == "walk"
    if trotter is not None:
        if flagged:
            raise ValueError("`trotter` must be None for phase_map 'walk', which has no exp(i A t0).")
        refuse_large_formula(size)
    n_states = size << flagged
    noisy = depolarising > 0.0
    if not isinstance(n_clock_qubits, str):
        # Before anything of the register's size is made.
        _refuse_large(n_states, check_count(n_clock_qubits, "n_clock_qubits", low=1), noisy=noisy)
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
    _refuse_large(n_states, clock.n_qubits, noisy=noisy)
    odd = not is_dilated or wanted.is_odd(clock.values)
    answers = slice(m, n_system) if is_dilated and odd else slice(0, m)

    target, coordinates = exact_coordinates(problem, wanted)
    H = np.zeros((size, size), dtype=np.result_type(*system.parts, np.float64))
    block = system.matrix()
    if is_dilated:
        H[:m, m:n_system], H[m:n_system, :m] = block, block.conj().T
    else:
        H[:m, :m] = block
    if clock.alpha is not None:
        U, cnots = walk_operator(H, clock.alpha)
    else:
        assert clock.evolution_time is not None
        U, cnots = evolution(H, clock.evolution_time, trotter)
    loaded = np.zeros(size, dtype=problem.b_unit.dtype)
    loaded[:m] = problem.b_unit
    start = None if window == "hadamard" else clock_window(clock.n_states, window)
    register = run_circuit(loaded, U, cnots, clock.rotation, start, depolarising)

    vectors = problem.right if odd else problem.left
    exact = np.zeros(n_states, dtype=np.complex128)
    exact[answers] = vectors @ coordinates
    exact /= np.linalg.norm(exact)
    output = read_register(register.amplitudes, exact, answers, clock.rotation, flagged=flagged, noisy=noisy)
    is_real = not (np.iscomplexobj(H) or np.iscomplexobj(loaded)) and trotter is None and not noisy
    inside = output.vector[answers].real if is_real else output.vector[answers]
    inside_norm = float(np.linalg.norm(inside))
    state = inside / inside_norm
    overlap = complex(np.vdot(exact, output.vector))
    turn = overlap / abs(overlap) if overlap != 0 else 1.0
    probability = output.p10 if postselect_clock else output.p1
    root = float(np.sqrt(probability))
    norm = check_norm(problem.b_norm, clock.C, root)
    rounds, runs = amplification(probability)
    applied = np.full(len(problem.values), np.nan)
    if not noisy:
        visible = np.abs(problem.coefficients) > _VISIBLE
        found = vectors.conj().T @ output.vector[answers] * np.sqrt(output.p10)
        applied[visible] = (found[visible] / problem.coefficients[visible]).real / clock.C
    leakage = 1.0 - float(output.inside[answers].sum())
    flaws = find_flaws(clock, problem) + warn_of_failure(probability)
    if leakage > _LEAK:
        flaws.append(f"{leakage:.2%} of the successful outcomes lie outside the entries of the answer.")
    counts, estimate = None, None
    if n_shots is not None:
        law = output.law.ravel()
        counts = generator.multinomial(n_shots, law / law.sum()).reshape(output.law.shape)
        successes = counts[1, 0, : len(output.inside)] if postselect_clock else counts[1].sum(axis=0)
        estimate = estimate_shots(n_shots, int(successes.sum()), norm / root, successes[answers])
    return HHLResult(
        state=state,
        x=norm * state,
        norm=norm,
        success_probability=output.p10,
        success_probability_ancilla=output.p1,
        fidelity=output.fidelity,
        fidelity_mixed=output.fidelity_mixed,
        l2_error=float(np.linalg.norm(output.vector - turn * exact)),
        filter_curve=FilterCurve(values=problem.values, applied=applied, target=target),
        n_queries=clock.n_queries,
        n_qubits=n_states.bit_length() - 1 + clock.n_qubits + 1,
        amplification_rounds=rounds,
        expected_runs=runs,
        parameters=MappingProxyType(
            {
                "basis": "gates",
                "dilated": is_dilated,
                **clock.choices(),
                "C_rule": C if isinstance(C, str) else "given",
                "postselect_clock": postselect_clock,
                "trotter": trotter,
                "depolarising": depolarising,
                "leakage": leakage,
                "purity": output.purity,
                "n_gates": register.n_gates,
                "n_cnots": register.n_cnots,
                "counts": counts,
            }
        ),
        warnings=tuple(flaws),
        simulation_seconds=time.perf_counter() - started,
        shots=estimate,
    )


def _refuse_large(size: int, t: int, *, noisy: bool) -> None:
    amplitudes = size << (min(t, 400) + 1)  # whose square is still a float
    numbers = amplitudes**2 if noisy else max(amplitudes, t * size * size)
    if numbers > _MAX_NUMBERS:
        what = "density matrix" if noisy else "state vector and the powers of U"
        remedy = "Set `depolarising` to 0, or lower" if noisy else "Use `hhl`, which needs no register, or lower"
        gib = _BYTES / 2**30
        raise ValueError(
            f"`n_clock_qubits` and `A` must make a register of at most {_MAX_NUMBERS} numbers "
            f"({_MAX_NUMBERS * gib:.0f} GiB) a copy; {size.bit_length() - 1} system qubits, {t} clock qubits and an "
            f"ancilla take {numbers} ({numbers * gib:.3g} GiB) for the {what}. {remedy} `n_clock_qubits`."
        )
