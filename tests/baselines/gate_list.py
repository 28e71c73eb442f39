"""The HHL circuit as a list of gates, applied to a density matrix by full matrices: the naive oracle of the noise.

Qubit j is bit j of the state's index: the system first, then the clock, then the ancilla. Noise is a sum over all Pauli
words on a gate's qubits. Nothing comes from the package.
"""

from __future__ import annotations

import itertools

import numpy as np

PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])]


def gates_of(U, t, r, window=None):
    """Return (name, matrix, qubits, CNOTs): the first qubit of a gate is the least significant bit of its matrix."""
    n = len(U)
    q = n.bit_length() - 1
    system, clock, ancilla = list(range(q)), list(range(q, q + t)), q + t
    h = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    k = q + 1
    dense = round(23 / 48 * 4**k - 1.5 * 2**k + 4 / 3)

    def controlled(matrix, bit):
        full = np.eye(2 * n, dtype=complex)
        full[n:, n:] = matrix
        return ("cu", full, [*system, clock[bit]], dense)

    powers = [np.linalg.matrix_power(U, 2**bit) for bit in range(t)]
    fourier = []
    for high in reversed(range(t)):
        fourier.append(("h", h, [clock[high]], 0))
        for low in reversed(range(high)):
            angle = np.pi / 2 ** (high - low)
            fourier.append(("cp", np.diag([1, 1, 1, np.exp(1j * angle)]), [clock[low], clock[high]], 2))
    for low in range(t // 2):
        fourier.append(("sw", np.eye(4)[[0, 2, 1, 3]], [clock[low], clock[t - 1 - low]], 3))  # noqa: PERF401
    rotation = np.zeros((2 << t, 2 << t))
    for value, amplitude in enumerate(r):
        c = np.sqrt(1 - amplitude**2)
        rotation[value, value] = rotation[value + (1 << t), value + (1 << t)] = c
        rotation[value + (1 << t), value], rotation[value, value + (1 << t)] = amplitude, -amplitude
    if window is None:
        opened = [("h", h, [bit], 0) for bit in clock]
    else:
        opened = []
        for bit in reversed(range(t)):
            matrix = np.zeros((2 ** (t - bit), 2 ** (t - bit)))
            for above in range(2 ** (t - 1 - bit)):
                block = window[above << (bit + 1) : (above + 1) << (bit + 1)]
                low, high = np.linalg.norm(block[: 1 << bit]), np.linalg.norm(block[1 << bit :])
                total = np.hypot(low, high)
                matrix[2 * above : 2 * above + 2, 2 * above : 2 * above + 2] = (
                    np.array([[low, -high], [high, low]]) / total
                )
            controls = t - 1 - bit
            opened.append(("mw", matrix, clock[bit:], 2**controls if controls else 0))
    return [
        *opened,
        *(controlled(powers[bit], bit) for bit in range(t)),
        *adjoint(fourier),
        ("mry", rotation, [*clock, ancilla], 2**t),
        *fourier,
        *(controlled(powers[bit].conj().T, bit) for bit in reversed(range(t))),
        *adjoint(opened),
    ]


def adjoint(gates):
    return [(name, matrix.conj().T, qubits, cnots) for name, matrix, qubits, cnots in reversed(gates)]


def embedded(matrix, qubits, n_qubits):
    """Return a gate as a matrix on the whole register, entry by entry."""
    size = 1 << n_qubits
    full = np.zeros((size, size), dtype=complex)
    for column in range(size):
        inner = sum(((column >> qubit) & 1) << place for place, qubit in enumerate(qubits))
        rest = column & ~sum(1 << qubit for qubit in qubits)
        for row in range(len(matrix)):
            full[rest | sum(((row >> place) & 1) << qubit for place, qubit in enumerate(qubits)), column] = matrix[
                row, inner
            ]
    return full


def noisy_density(b, gates, p, *, n_qubits, loading=0):
    """Return the density matrix at the end of the circuit."""
    state = np.zeros(1 << n_qubits, dtype=complex)
    state[: len(b)] = b / np.linalg.norm(b)
    rho = np.outer(state, state.conj())
    q = len(b).bit_length() - 1
    rho = depolarised(rho, list(range(q)), 1 - (1 - p) ** loading, n_qubits)
    for _, matrix, qubits, cnots in gates:
        full = embedded(matrix, qubits, n_qubits)
        rho = depolarised(full @ rho @ full.conj().T, qubits, 1 - (1 - p) ** cnots, n_qubits)
    return rho


def depolarised(rho, qubits, strength, n_qubits):
    if strength == 0.0:
        return rho
    mixed = np.zeros_like(rho)
    for word in itertools.product(PAULIS, repeat=len(qubits)):
        full = np.eye(1 << n_qubits, dtype=complex)
        for letter, qubit in zip(word, qubits, strict=True):
            full = embedded(letter, [qubit], n_qubits) @ full
        mixed += full @ rho @ full.conj().T
    return (1 - strength) * rho + strength * mixed / 4 ** len(qubits)
