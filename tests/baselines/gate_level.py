"""A gate-level HHL circuit as full numpy matrices: the naive oracle, which shares no code with the package.

The state has axes (ancilla, clock, system). Every gate of the circuit acts on it in turn; nothing is
diagonalised but exp(i A t0), by scipy's `expm`.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg


def gate_level_hhl(H, b, *, t, t0, rotation, window=None):
    """Return (vector for ancilla 1 and clock 0, p10, p1, p0, reduced density matrix for ancilla 1)."""
    n, T = len(H), 2**t
    U = scipy.linalg.expm(1j * np.asarray(H, dtype=complex) * t0)
    powers = [np.eye(n, dtype=complex)]
    for _ in range(T - 1):
        powers.append(powers[-1] @ U)
    k = np.arange(T)
    fourier = np.exp(2j * np.pi * np.outer(k, k) / T) / np.sqrt(T)
    w = np.full(T, T**-0.5) if window is None else window
    # A unitary that takes |0> to the window: Householder.
    v = w - np.eye(T)[0]
    prepare = np.eye(T) - (2.0 * np.outer(v, v) / (v @ v) if v @ v > 1e-30 else 0.0)

    state = np.zeros((2, T, n), dtype=complex)
    state[0, 0] = b / np.linalg.norm(b)
    state = np.einsum("kl,aln->akn", prepare, state)
    state = np.stack([[powers[tau] @ state[a, tau] for tau in range(T)] for a in (0, 1)])
    state = np.einsum("kl,aln->akn", fourier.conj().T, state)
    r = np.asarray(rotation)
    c = np.sqrt(1.0 - r**2)
    state = np.stack([c[:, None] * state[0] - r[:, None] * state[1], r[:, None] * state[0] + c[:, None] * state[1]])
    state = np.einsum("kl,aln->akn", fourier, state)
    state = np.stack([[powers[tau].conj().T @ state[a, tau] for tau in range(T)] for a in (0, 1)])
    state = np.einsum("kl,aln->akn", prepare.T, state)

    kept = state[1, 0]
    p1 = np.sum(np.abs(state[1]) ** 2)
    p0 = np.sum(np.abs(state[0]) ** 2)
    rho = np.einsum("kn,km->nm", state[1], state[1].conj()) / p1
    return kept, np.sum(np.abs(kept) ** 2), p1, p0, rho


def naive_rotation(t, t0, C, *, signed, below="clip"):
    """Return C over the register value, register by register."""
    T = 2**t
    table = np.zeros(T)
    for k in range(1, T):
        j = k - T if signed and k >= T // 2 else k
        if signed and k == T // 2:
            continue
        ratio = C / (2.0 * np.pi * j / (T * t0))
        if abs(ratio) > 1.0 + 1e-12:
            ratio = float(np.sign(ratio)) if below == "clip" else 0.0
        table[k] = max(-1.0, min(1.0, ratio))
    return table


def dilation(A):
    """Return [[0, A], [A^H, 0]]."""
    A = np.asarray(A)
    m, n = A.shape
    return np.block([[np.zeros((m, m)), A], [A.conj().T, np.zeros((n, n))]])
