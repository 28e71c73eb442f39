"""Phase estimation followed by a controlled rotation and its inverse, as a spectral filter.

For an eigenvector with phase phi the clock of T = 2^t states holds, after phase estimation with the input window w,
alpha_k(phi) = T^(-1/2) sum_tau w_tau exp(2 pi i tau (phi - k/T)). The rotation puts amplitude r_k on the ancilla and
the inverse brings the clock back, so the component of the eigenvector is multiplied by h(phi) = sum_k |alpha_k|^2 r_k
where the ancilla is 1 and the clock 0, and has probability q(phi) = sum_k |alpha_k|^2 r_k^2 where the ancilla is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["Window", "clock_window", "mixed_overlap", "respond"]

Window: TypeAlias = Literal["hadamard", "sine"]

# Numbers held at a time by the loops over eigenvalues: 16 MB an array of float64.
_CHUNK = 1 << 21
# A phase this close to a register, in registers, is on it: squares of less would vanish.
_ON_REGISTER = 1e-100


def clock_window(n_states: int, window: Window) -> Float64Array:
    """Return the real amplitudes of the clock's input state, of unit norm."""
    if window == "hadamard":
        return np.full(n_states, n_states**-0.5)
    tau = np.arange(n_states) + 0.5
    return np.asarray(np.sqrt(2.0 / n_states) * np.sin(np.pi * tau / n_states))


def _register_masses(u: Float64Array, n_states: int, window: Window) -> Float64Array:
    """Return |alpha_k|^2 for phases u in registers, |u| <= T/2, in closed form, shape (len(u), T).

    With d = u - k: sin^2(pi d)/(T sin(pi d/T))^2 for the uniform window, and for the sine window half the square of
    the sum of two such kernels at d + 1/2 and d - 1/2, in which the sum is written as a product, without cancellation.
    Whole registers and the rest of u are kept apart, so that d is exact beside its peaks.
    """
    k = np.arange(n_states, dtype=np.float64)
    nearest = np.rint(u)
    rest = u - nearest
    whole = np.subtract.outer(nearest, k)
    whole -= n_states * np.rint(whole / n_states)
    turn = np.pi / n_states
    if window == "hadamard" or n_states == 2:  # with two states the sine window is uniform
        base = np.sin(turn * (whole + rest[:, None]))
        base *= n_states
        peaks, height = [0.0], 1.0
    else:
        # One peak is at d = -1/2, the other at d = 1/2, and there cos(pi d) vanishes with one of the sines.
        above = rest >= 0.0
        cosine = np.cos(turn * (whole + rest[:, None]))
        rest = np.where(above, rest - 0.5, rest + 0.5)
        whole += above[:, None]
        base = np.sin(turn * (whole + rest[:, None]))
        base *= np.sin(turn * (whole - 1.0 + rest[:, None]))
        base *= n_states / (np.sqrt(2.0) * np.sin(0.5 * turn))
        base /= cosine
        peaks, height = [0.0, 1.0], 0.5
    scale = np.sin(np.pi * rest) ** 2
    on_register = np.abs(rest) < _ON_REGISTER
    if on_register.any():
        base[on_register] = np.where(np.isin(whole[on_register], peaks), height**-0.5, np.inf)
        scale[on_register] = 1.0
    np.square(base, out=base)
    return np.asarray(np.divide(scale[:, None], base, out=base))


def respond(phases: Float64Array, r: Float64Array, *, window: Window) -> tuple[Float64Array, Float64Array]:
    """Return h and q for phases in turns, chunk of eigenvalues by chunk."""
    n_states = len(r)
    table = np.column_stack((r, r * r))
    found = np.empty((len(phases), 2))
    step = max(1, _CHUNK // n_states)
    for start in range(0, len(phases), step):
        part = slice(start, start + step)
        turns = phases[part] - np.rint(phases[part])
        found[part] = _register_masses(turns * n_states, n_states, window) @ table
    return found[:, 0], found[:, 1]


def mixed_overlap(
    phases: Float64Array, weights: npt.NDArray[Any], r: Float64Array, *, window: Window, halves: bool
) -> float:
    """Return sum_tau |sum_j weight_j s_j(tau)|^2, with s_j the clock with ancilla 1 before the window is undone.

    s_j(tau) = sum_tau' w_tau' R(tau - tau') exp(-2 pi i (tau - tau') phi_j), with R the inverse Fourier transform of
    r, so that the sum over j is one convolution of the window: nothing of size (eigenvalues x T) is made. With the
    weights conj(<u_j, x>) <u_j, b> it is the squared overlap of the mixed output with x.

    Parameters
    ----------
    phases : ndarray of float64, shape (n,)
        In turns.
    weights : ndarray, shape (n,)
        Real or complex.
    r : ndarray of float64, shape (T,)
        The rotation table.
    window : {"hadamard", "sine"}
        Clock input.
    halves : bool
        Each eigenvector comes with a partner whose clock is plus or minus the complex conjugate, and their halves add
        up: -sigma for a Hermitian dilation, the other phase of the walk. s_j is then replaced by its real part.
    """
    n_states = len(r)
    plus, minus = _exponential_sums(phases, weights, n_states)
    R = np.fft.ifft(r)
    forward, backward = R * minus, R.conj() * plus  # at +m and at -m, for m = tau - tau' >= 0
    if halves:
        forward = backward = 0.5 * (forward + backward)
    kernel = np.concatenate((forward, [0.0], backward[:0:-1]))
    spectrum = np.fft.fft(kernel)
    spectrum *= np.fft.fft(clock_window(n_states, window), 2 * n_states)
    clock = np.fft.ifft(spectrum)[:n_states]
    return float(np.vdot(clock, clock).real)


def _exponential_sums(
    phases: Float64Array, weights: npt.NDArray[Any], n_states: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return sum_j weight_j exp(+-2 pi i m phi_j), m = 0..T-1, as products of two tables: m = a B + b."""
    inner = 1 << ((n_states.bit_length() - 1) // 2)
    outer = n_states // inner
    is_real = not np.iscomplexobj(weights)
    plus = np.zeros((outer, inner), dtype=np.complex128)
    minus = plus if is_real else np.zeros_like(plus)
    step = max(1, _CHUNK // (outer + inner))
    for start in range(0, len(phases), step):
        part = slice(start, start + step)
        large, small = (_turns(phases[part], m) for m in (inner * np.arange(outer), np.arange(inner)))
        plus += (weights[part, None] * large).T @ small
        if not is_real:
            minus += (weights[part, None].conj() * large).T @ small
    return plus.ravel(), minus.ravel().conj()


def _turns(phases: Float64Array, m: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
    # Reduced mod 1 before the exponential, which keeps full accuracy at many turns.
    turns = np.multiply.outer(phases, m.astype(np.float64))
    turns -= np.rint(turns)
    return np.asarray(np.exp(2j * np.pi * turns))
