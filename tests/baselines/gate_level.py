"""A gate-level HHL circuit as full numpy matrices: the naive oracle, which shares no code with the package.

The state has axes (ancilla, clock, system). Every gate of the circuit acts on it in turn; nothing is
diagonalised but exp(i A t0), by scipy's `expm`, or the unitary that is given in its place.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.linalg


def gate_level_hhl(H, b, *, t, t0=None, rotation, window=None):
    """Return (vector for ancilla 1 and clock 0, p10, p1, p0, reduced density matrix for ancilla 1).

    Without a time, `H` is the unitary itself.
    """
    n, T = len(H), 2**t
    U = np.asarray(H, dtype=complex) if t0 is None else scipy.linalg.expm(1j * np.asarray(H, dtype=complex) * t0)
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


def walk(H, alpha):
    """Return (2|0><0| - 1) U_A on flag and system, the flag first, for the encoding by one flag qubit."""
    scaled = np.asarray(H) / alpha
    rest = scipy.linalg.sqrtm(np.eye(len(H)) - scaled @ scaled)
    return np.block([[scaled, rest], [-rest, scaled]])


def naive_exponential_product(H, time, steps, *, order):
    """Return the product formula of a Hermitian matrix, from its Pauli strings by Kronecker products and `expm`."""
    n = len(H)
    letters = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    parts = []
    for word in itertools.product(range(4), repeat=n.bit_length() - 1):
        string = np.eye(1)
        for letter in word:
            string = np.kron(string, letters[letter])
        parts.append(np.trace(string @ H) / n * string)
    dt = time / steps

    def forth(seconds, which):
        U = np.eye(n)
        for part in which:
            U = scipy.linalg.expm(1j * part * seconds) @ U
        return U

    def second(seconds):
        return forth(seconds / 2, parts[::-1]) @ forth(seconds / 2, parts)

    if order == 1:
        step = forth(dt, parts)
    elif order == 2:
        step = second(dt)
    else:
        p = 1 / (4 - 4 ** (1 / 3))
        step = second(p * dt) @ second(p * dt) @ second((1 - 4 * p) * dt) @ second(p * dt) @ second(p * dt)
    return np.linalg.matrix_power(step, steps)
