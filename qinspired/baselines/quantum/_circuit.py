"""The gates of the HHL circuit in their order, and what is read off the register at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.baselines.quantum._choices import refuse_failure
from qinspired.baselines.quantum._gates import Register, dense_cnots
from qinspired.baselines.quantum._pauli import n_passes, pauli_decomposition, product_formula

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["Output", "evolution", "read_register", "run_circuit", "walk_operator"]


def evolution(
    H: npt.NDArray[Any], t0: float, trotter: tuple[int, int] | None
) -> tuple[npt.NDArray[np.complex128], tuple[int, bool]]:
    """Return U for exp(i H t0), with the CNOTs of its controlled form and whether a power of U repeats them."""
    import scipy.linalg

    if trotter is None:
        U = scipy.linalg.expm(1j * (H * t0))
        return np.asarray(U, dtype=np.complex128), (dense_cnots(len(H).bit_length()), False)
    order, steps = trotter
    terms = pauli_decomposition(H * t0)
    # 2 (w - 1) for the ladder to one qubit and back, 2 for the controlled rotation; the identity is a clock's phase.
    one_pass = int(np.sum(2 * terms.weights))
    return product_formula(terms, 1.0, order, steps), (one_pass * n_passes(order) * steps, True)


def walk_operator(H: npt.NDArray[Any], alpha: float) -> tuple[npt.NDArray[np.complex128], tuple[int, bool]]:
    """Return W = (2|0><0| - 1) U_A on flag and system, U_A = [[H/alpha, R], [R, -H/alpha]], and what it costs."""
    import scipy.linalg

    values, vectors = scipy.linalg.eigh(H / alpha)
    rest = (vectors * np.sqrt(np.maximum(0.0, (1.0 - values) * (1.0 + values)))) @ vectors.conj().T
    W = np.block([[H / alpha, rest], [-rest, H / alpha]])
    return np.asarray(W, dtype=np.complex128), (dense_cnots(len(W).bit_length()), False)


def run_circuit(
    loaded: npt.NDArray[Any],
    U: npt.NDArray[np.complex128],
    cost: tuple[int, bool],
    r: Float64Array,
    window: Float64Array | None,
    depolarising: float,
) -> Register:
    """Return the register after the circuit: load, window, powers, inverse Fourier transform, rotation, and back.

    A U of twice the size of what is loaded acts on a flag above it too.
    `cost` are the CNOTs of a controlled U, and whether a power of U repeats them.
    """
    t = len(r).bit_length() - 1
    cnots, repeats = cost
    powers = [U]
    for _ in range(t - 1):
        powers.append(powers[-1] @ powers[-1])
    prices = [cnots << bit if repeats else cnots for bit in range(t)]
    register = Register(loaded, t, depolarising=depolarising)
    if len(U) > len(loaded):
        register.add_flag()
    register.prepare_window(window)
    for bit in range(t):
        register.controlled(bit, powers[bit], prices[bit])
    register.fourier(inverse=True)
    register.rotate_ancilla(r)
    register.fourier()
    for bit in reversed(range(t)):
        register.controlled(bit, powers[bit].conj().T, prices[bit])
    register.prepare_window(window, inverse=True)
    return register


@dataclass(frozen=True, slots=True)
class Output:
    # Of unit length: the system for ancilla 1 and clock 0, or its leading eigenvector; 0 where the flag is 1.
    vector: npt.NDArray[np.complex128]
    inside: Float64Array  # probabilities of the system's states given ancilla 1 and clock 0
    law: Float64Array  # of (ancilla, clock not 0, system)
    p10: float
    p1: float
    fidelity: float
    fidelity_mixed: float
    purity: float


def read_register(
    amplitudes: npt.NDArray[np.complex128],
    exact: npt.NDArray[np.complex128],
    answers: slice,
    rotation: Float64Array,
    *,
    flagged: bool,
    noisy: bool,
) -> Output:
    """Return what a final register holds, against the exact answer, which fills `answers` of the padded system.

    If `flagged`, the first half of the system is that with flag 0, and only it counts where the clock is 0.
    """
    n, _, n_states, _ = amplitudes.shape
    kept_states = n // 2 if flagged else n
    if noisy:
        dims = (n, 2, n_states)
        rho = amplitudes.reshape(dims + dims)
        cells = np.einsum("iakiak->iak", rho).real
        kept = rho[:kept_states, 1, 0, :kept_states, 1, 0]
        reduced = np.einsum("ikjk->ij", rho[:, 1, :, :, 1, :])
        p10, p1 = float(np.trace(kept).real), float(np.trace(reduced).real)
        refuse_failure(p10, rotation)
        # Of the answer's block: with much noise the leading vector of all of `kept` may lie in the padding.
        vector = np.zeros(n, dtype=np.complex128)
        vector[answers] = np.linalg.eigh(kept[answers, answers])[1][:, -1]
        overlap = np.vdot(exact, vector)
        if overlap != 0:
            vector = vector * (np.conj(overlap) / abs(overlap))
        inside = exact[:kept_states]
        fidelity = float(np.vdot(inside, kept @ inside).real) / p10
        mixed = float(np.vdot(exact, reduced @ exact).real) / p1
        purity = float(np.sum(np.abs(kept) ** 2)) / p10**2
    else:
        state = amplitudes[..., 0]
        cells = state.real**2 + state.imag**2
        p10, p1 = float(cells[:kept_states, 1, 0].sum()), float(cells[:, 1].sum())
        refuse_failure(p10, rotation)
        vector = state[:, 1, 0] / np.sqrt(p10)
        vector[kept_states:] = 0.0
        fidelity = float(abs(np.vdot(exact, vector)) ** 2)
        overlaps = exact.conj() @ state[:, 1]
        mixed = float(np.sum(overlaps.real**2 + overlaps.imag**2)) / p1
        purity = 1.0
    law = np.stack((cells[:, :, 0], cells[:, :, 1:].sum(axis=2)), axis=2).transpose(1, 2, 0)
    return Output(
        vector=vector,
        inside=cells[:kept_states, 1, 0] / p10,
        law=np.maximum(law, 0.0),
        p10=p10,
        p1=p1,
        fidelity=min(1.0, fidelity),
        fidelity_mixed=min(1.0, mixed),
        purity=purity,
    )
