"""Phase estimation followed by a controlled rotation and its inverse, as a spectral filter.

For an eigenvector with phase phi the clock of T = 2^t states holds, after phase estimation with the input
window w, alpha_k(phi) = T^(-1/2) sum_tau w_tau exp(2 pi i tau (phi - k/T)). The rotation puts amplitude r_k
on the ancilla and the inverse brings the clock back, so the component of the eigenvector is multiplied by
h(phi) = sum_k |alpha_k|^2 r_k where the ancilla is 1 and the clock 0, and has probability q(phi) = sum_k
|alpha_k|^2 r_k^2 where the ancilla is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = [
    "Below",
    "Kind",
    "Response",
    "Window",
    "clock_window",
    "register_values",
    "respond",
    "rotation_table",
]

Below: TypeAlias = Literal["clip", "zero"]
Kind: TypeAlias = Literal["inverse", "ridge", "threshold"]
Window: TypeAlias = Literal["hadamard", "sine"]

# Complex amplitudes held at a time: 64 MB, so that 20 clock qubits work one eigenvalue or a few at a time.
_CHUNK_AMPLITUDES = 1 << 22


@dataclass(frozen=True, slots=True)
class Response:
    """What the circuit does to each phase.

    Attributes
    ----------
    h : ndarray of float64, shape (n,)
        Amplitude kept with the ancilla 1 and the clock 0.
    q : ndarray of float64, shape (n,)
        Probability of the ancilla 1.
    overlap_sq : float
        sum_tau |sum_j weight_j s_j(tau)|^2, with s_j(tau) the amplitudes of the clock, ancilla 1, before
        the window is undone; the fidelity of the mixed output for the right weights.
    """

    h: Float64Array
    q: Float64Array
    overlap_sq: float


def clock_window(n_states: int, window: Window) -> Float64Array:
    """Return the real amplitudes of the clock's input state, of unit norm."""
    if window == "hadamard":
        return np.full(n_states, n_states**-0.5)
    tau = np.arange(n_states) + 0.5
    return np.asarray(np.sqrt(2.0 / n_states) * np.sin(np.pi * tau / n_states))


def register_values(n_states: int, evolution_time: float, *, signed: bool) -> Float64Array:
    """Return the eigenvalue that each clock state stands for; signed registers are in two's complement."""
    k = np.arange(n_states, dtype=np.float64)
    if signed:
        k[n_states // 2 :] -= n_states
    return k * (2.0 * np.pi / (n_states * evolution_time))


def rotation_table(
    values: Float64Array,
    *,
    C: float,
    signed: bool,
    below: Below,
    kind: Kind,
    ridge: float,
    threshold: float,
) -> Float64Array:
    """Return the ancilla amplitude r_k in [-1, 1] of each register value; 0 for the value 0."""
    r = np.zeros(len(values))
    used = values != 0.0
    if signed and len(values) > 1:
        used[len(values) // 2] = False  # -T/2 has no partner +T/2: without it the filter would not be odd
    v = values[used]
    if kind == "threshold":
        # A register value equal to the threshold up to rounding belongs to the kept side.
        r[used] = np.abs(v) >= threshold * (1.0 - 1e-12)
        return r
    wanted = C / v if kind == "inverse" else C / (v + ridge / v)
    too_large = np.abs(wanted) > 1.0
    # C is often the value of a register itself, whose ratio may exceed 1 by rounding.
    rounding = np.abs(wanted) <= 1.0 + 1e-12
    if below == "zero":
        wanted = np.where(too_large & ~rounding, 0.0, wanted)
    r[used] = np.clip(wanted, -1.0, 1.0)
    return r


def respond(
    phases: Float64Array,
    r: Float64Array,
    *,
    window: Window,
    weights: Float64Array,
    paired: bool,
) -> Response:
    """Return the filter for phases in turns, chunk of eigenvalues by chunk.

    Parameters
    ----------
    phases : ndarray, shape (n,)
        lambda t0/(2 pi), in turns.
    r : ndarray, shape (T,)
        The rotation table.
    window : {"hadamard", "sine"}
        Clock input.
    weights : ndarray, shape (n,)
        Weights of the clock amplitudes in `Response.overlap_sq`.
    paired : bool
        Each phase stands for the pair +phase and -phase of a Hermitian dilation. As the window is real and
        r odd or even, the amplitudes of the partner are minus or plus the complex conjugate, and the sum
        over the pair is twice a real part; the weights then belong to the halves.
    """
    n_states = len(r)
    tau = np.arange(n_states, dtype=np.float64)
    w = clock_window(n_states, window)
    h, q = np.empty(len(phases)), np.empty(len(phases))
    overlap = np.zeros(n_states, dtype=np.complex128)
    step = max(1, _CHUNK_AMPLITUDES // n_states)
    for start in range(0, len(phases), step):
        part = slice(start, start + step)
        # tau phi is reduced mod 1 before the exponential, which keeps full accuracy at many turns.
        turns = np.multiply.outer(phases[part], tau)
        turns -= np.rint(turns)
        forward = np.exp(2j * np.pi * turns)
        alpha = np.fft.fft(w * forward, axis=1)
        alpha /= np.sqrt(n_states)
        mass = alpha.real**2 + alpha.imag**2
        h[part] = mass @ r
        q[part] = mass @ (r * r)
        s = np.fft.ifft(alpha * r, axis=1)
        s *= np.sqrt(n_states)
        s *= forward.conj()
        overlap += weights[part] @ (s.real if paired else s)
    overlap_sq = float(np.sum(overlap.real**2 + overlap.imag**2))
    return Response(h=h, q=q, overlap_sq=4.0 * overlap_sq if paired else overlap_sq)
