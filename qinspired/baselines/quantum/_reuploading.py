"""State vectors and adjoint gradients of the re-uploading circuit, in numpy, for many points at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import Float64Array

__all__ = ["ReuploadingCircuit"]

# Amplitudes held at a time where only values are asked for: 16 MB.
_AMPLITUDES = 2**20
# exp(-i theta P / 2) moves an expectation value <psi| O |psi> by Im <O psi| P psi> per unit of theta.
_Y = np.array([[0.0, -1.0j], [1.0j, 0.0]])
_Z = np.diag([1.0 + 0.0j, -1.0])


class ReuploadingCircuit:
    """The mean of <Z_i> after layers of RX(x_i), RZ(c) RY(b) RZ(a) and, if `entangling`, CNOTs from i to i + 1.

    Qubit 0 is the most significant bit.
    """

    def __init__(self, n_qubits: int, *, entangling: bool) -> None:
        self.n_qubits = n_qubits
        index = np.arange(2**n_qubits)
        bits = (index[:, None] >> np.arange(n_qubits - 1, -1, -1)) & 1
        self._signs = (1.0 - 2.0 * bits).mean(axis=1)
        self._from = index
        if entangling and n_qubits > 1:
            for i in range(n_qubits):
                target = 1 << (n_qubits - 1 - (i + 1) % n_qubits)
                self._from = self._from[np.where(bits[:, i] == 1, index ^ target, index)]
        self._back = np.argsort(self._from)

    def values(self, points: Float64Array, angles: Float64Array) -> Float64Array:
        """Return the mean of <Z_i> at each point, for angles of shape (n_layers, n_qubits, 3)."""
        rows = max(1, _AMPLITUDES >> self.n_qubits)
        blocks = [points[i : i + rows] for i in range(0, len(points), rows)]
        return np.concatenate([self._measured(self._run(block, angles)[0]) for block in blocks])

    def value_and_gradient(
        self, points: Float64Array, angles: Float64Array, weigh: Any
    ) -> tuple[Float64Array, Float64Array]:
        """Return the values v at the points and the gradient in the angles of a function with dF/dv = weigh(v)."""
        states, gates = self._run(points, angles)
        values = self._measured(states)
        pair = np.stack((weigh(values)[:, None] * self._signs * states, states))
        gradient = np.empty(angles.shape)
        for layer in reversed(range(len(angles))):
            pair = pair[:, :, self._back]
            for i in range(self.n_qubits):
                halves = pair.reshape(2, len(points), 2**i, 2, -1)
                # What is left of both states on qubit i: <lambda| P |psi> = sum(P * overlap).
                left, right = halves.transpose(0, 3, 1, 2, 4).reshape(2, 2, -1)
                overlap = left.conj() @ right.T
                _, b, c = angles[layer, i]
                gradient[layer, i, 2] = np.sum(_Z * overlap).imag
                overlap = _rz(c).T @ overlap @ _rz(c).conj()
                gradient[layer, i, 1] = np.sum(_Y * overlap).imag
                overlap = _ry(b).T @ overlap @ _ry(b).conj()
                gradient[layer, i, 0] = np.sum(_Z * overlap).imag
                undo = gates[layer][i].conj().swapaxes(1, 2)
                pair = _applied(halves, undo[:, None, :, :, None]).reshape(pair.shape)
        return values, gradient

    def _run(self, points: Float64Array, angles: Float64Array) -> tuple[Any, list[list[Any]]]:
        """Return the states as rows, and by layer and qubit the gate of each point."""
        states = np.zeros((len(points), 2**self.n_qubits), dtype=np.complex128)
        states[:, 0] = 1.0
        uploads = _rx(points)
        gates = [[_rot(layer[i]) @ uploads[:, i] for i in range(self.n_qubits)] for layer in angles]
        for layer in gates:
            for i, gate in enumerate(layer):
                halves = states.reshape(len(points), 2**i, 2, -1)
                states = _applied(halves, gate[:, None, :, :, None]).reshape(states.shape)
            states = states[:, self._from]
        return states, gates

    def _measured(self, states: Any) -> Float64Array:
        values: Float64Array = (np.abs(states) ** 2) @ self._signs
        return values


def _applied(halves: Any, gate: Any) -> Any:
    """Apply one-qubit gates (points, 1, 2, 2, 1) to states (..., points, before, 2, after)."""
    zero, one = halves[..., 0, :], halves[..., 1, :]
    return np.stack(
        (gate[:, :, 0, 0] * zero + gate[:, :, 0, 1] * one, gate[:, :, 1, 0] * zero + gate[:, :, 1, 1] * one), axis=-2
    )


def _rx(angles: Float64Array) -> Any:
    c, s = np.cos(angles / 2.0), -1.0j * np.sin(angles / 2.0)
    return np.stack((np.stack((c, s), axis=-1), np.stack((s, c), axis=-1)), axis=-2)


def _ry(angle: float) -> Any:
    c, s = np.cos(angle / 2.0), np.sin(angle / 2.0)
    return np.array([[c, -s], [s, c]])


def _rz(angle: float) -> Any:
    return np.diag(np.exp([-0.5j * angle, 0.5j * angle]))


def _rot(angles: Float64Array) -> Any:
    return _rz(angles[2]) @ _ry(angles[1]) @ _rz(angles[0])
