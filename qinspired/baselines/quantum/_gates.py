"""A register of a system, an ancilla and a clock, simulated gate by gate as a state vector or a density matrix.

The amplitudes form an array of shape (n, a, T, m): system, ancilla (a = 1 while it is still in state 0), clock and
columns. A state vector has m = 1. A density matrix has m = n a T; a gate G acts on its columns, then on those of the
adjoint, which makes G rho G^H. Bit i of the clock has weight 2^i in its index.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["Register", "dense_cnots"]

Amplitudes: TypeAlias = "npt.NDArray[np.complex128]"


def dense_cnots(n_qubits: int) -> int:
    """Return the CNOTs of a general unitary by the quantum Shannon decomposition, (23/48) 4^k - (3/2) 2^k + 4/3."""
    if n_qubits < 2:
        return 0
    return ((23 << 2 * n_qubits) - (72 << n_qubits) + 64) // 48


def _hadamard(x: Amplitudes, bit: int) -> Amplitudes:
    pair = x.reshape(-1, 2, (1 << bit) * x.shape[3])
    x *= np.sqrt(0.5)
    low = pair[:, 0].copy()
    pair[:, 0] += pair[:, 1]
    np.subtract(low, pair[:, 1], out=pair[:, 1])
    return x


def _phase(x: Amplitudes, low: int, high: int, factor: complex) -> Amplitudes:
    x.reshape(-1, 2, 1 << (high - low - 1), 2, (1 << low) * x.shape[3])[:, 1, :, 1] *= factor
    return x


def _swap(x: Amplitudes, low: int, high: int) -> Amplitudes:
    parts = x.reshape(-1, 2, 1 << (high - low - 1), 2, (1 << low) * x.shape[3])
    kept = parts[:, 0, :, 1].copy()
    parts[:, 0, :, 1] = parts[:, 1, :, 0]
    parts[:, 1, :, 0] = kept
    return x


def _multiplexed_ry(x: Amplitudes, bit: int, half_angles: Float64Array) -> Amplitudes:
    pair = x.reshape(-1, len(half_angles), 2, (1 << bit) * x.shape[3])
    c, s = np.cos(half_angles)[:, None], np.sin(half_angles)[:, None]
    low, high = pair[:, :, 0].copy(), pair[:, :, 1].copy()
    pair[:, :, 0] = c * low - s * high
    pair[:, :, 1] = s * low + c * high
    return x


def _ancilla(x: Amplitudes, r: Float64Array) -> Amplitudes:
    n, _, n_states, columns = x.shape
    out = np.empty((n, 2, n_states, columns), dtype=np.complex128)
    np.multiply(x[:, 0], np.sqrt(1.0 - r * r)[:, None], out=out[:, 0])
    np.multiply(x[:, 0], r[:, None], out=out[:, 1])
    return out


def _controlled(x: Amplitudes, bit: int, U: Amplitudes) -> Amplitudes:
    n = len(x)
    on = x.reshape(n, -1, 2, (1 << bit) * x.shape[3])[:, :, 1]
    on[...] = (U @ on.reshape(n, -1)).reshape(on.shape)
    return x


class Register:
    """A system in a given state beside a clock and an ancilla in |0>; every method but `amplitudes` is one gate.

    With `depolarising` = p > 0 the state is a density matrix. The unit of error is a CNOT: a gate on k qubits that
    takes g CNOTs is followed by rho -> (1 - e) rho + e tr_k(rho) (x) I/2^k on those qubits, e = 1 - (1 - p)^g. Gates on
    one qubit are free of error.

    Attributes
    ----------
    n_gates, n_cnots : int
        Gates so far, and the CNOTs that they take.
    """

    def __init__(self, system: npt.NDArray[Any], n_clock_qubits: int, *, depolarising: float = 0.0) -> None:
        n, self.n_states = len(system), 1 << n_clock_qubits
        self._n_clock_qubits = n_clock_qubits
        self._p = depolarising
        self.n_gates = self.n_cnots = 0
        state = np.zeros((n, 1, self.n_states, 1), dtype=np.complex128)
        state[:, 0, 0, 0] = system
        if depolarising > 0.0:
            flat = state.ravel()
            state = np.multiply.outer(flat, flat.conj()).reshape(n, 1, self.n_states, -1)
        self.amplitudes = state
        q = n.bit_length() - 1
        # Loading magnitudes by multiplexed rotations about y, and phases by others about z.
        self._close(2 ** (q + 1) - 2 * q - 2 if np.iscomplexobj(system) else 2**q - 2, system=True)

    def add_flag(self) -> None:
        """Put a qubit in |0> above the system, before the ancilla is rotated: no gate."""
        n, _, n_states, width = self.amplitudes.shape
        axes = (n, 1, n_states) if width == 1 else (n, 1, n_states, n, 1, n_states)
        grown = np.pad(self.amplitudes.reshape(axes), [(0, n if axis % 3 == 0 else 0) for axis in range(len(axes))])
        self.amplitudes = grown.reshape(2 * n, 1, n_states, -1)

    def hadamard(self, bit: int) -> None:
        """Apply a Hadamard gate to a clock qubit: no CNOT."""
        self._apply(lambda x: _hadamard(x, bit))
        self._close(0, bits=(bit,))

    def phase(self, low: int, high: int, angle: float) -> None:
        """Multiply by e^(i angle) where both clock qubits are 1: 2 CNOTs."""
        factor = complex(np.exp(1j * angle))
        self._apply(lambda x: _phase(x, low, high, factor))
        self._close(2, bits=(low, high))

    def swap(self, low: int, high: int) -> None:
        """Exchange two clock qubits: 3 CNOTs."""
        self._apply(lambda x: _swap(x, low, high))
        self._close(3, bits=(low, high))

    def multiplexed_ry(self, bit: int, half_angles: Float64Array) -> None:
        """Rotate a clock qubit about y by an angle chosen by the c qubits above it: 2^c CNOTs."""
        self._apply(lambda x: _multiplexed_ry(x, bit, half_angles))
        controls = len(half_angles)
        self._close(controls if controls > 1 else 0, bits=tuple(range(bit, self._n_clock_qubits)))

    def rotate_ancilla(self, r: Float64Array) -> None:
        """Take the ancilla from |0> to sqrt(1 - r_k^2) |0> + r_k |1> where the clock holds k: T CNOTs."""
        self._apply(lambda x: _ancilla(x, r))
        self._close(self.n_states, ancilla=True, bits=tuple(range(self._n_clock_qubits)))

    def controlled(self, bit: int, U: Amplitudes, cnots: int) -> None:
        """Apply a unitary to the system where a clock qubit is 1."""
        self._apply(lambda x: _controlled(x, bit, U))
        self._close(cnots, system=True, bits=(bit,))

    def prepare_window(self, window: Float64Array | None, *, inverse: bool = False) -> None:
        """Take the clock from |0> to a window >= 0, by multiplexed rotations; None is the uniform one, by Hadamards."""
        t = self._n_clock_qubits
        bits = range(t) if inverse else range(t - 1, -1, -1)
        for bit in bits:
            if window is None:
                self.hadamard(bit)
                continue
            mass = np.add.reduce(window.reshape(-1, 2, 1 << bit) ** 2, axis=2)
            half_angles = np.arctan2(np.sqrt(mass[:, 1]), np.sqrt(mass[:, 0]))
            self.multiplexed_ry(bit, -half_angles if inverse else half_angles)

    def fourier(self, *, inverse: bool = False) -> None:
        """Take |j> to T^(-1/2) sum_k exp(2 pi i j k/T) |k> on the clock, or back."""
        t = self._n_clock_qubits
        sign = -1.0 if inverse else 1.0
        steps: list[Callable[[], None]] = []
        for high in range(t - 1, -1, -1):
            steps.append(lambda high=high: self.hadamard(high))  # type: ignore[misc]
            steps += [
                lambda low=low, high=high: self.phase(low, high, sign * np.pi / (1 << (high - low)))  # type: ignore[misc]
                for low in range(high - 1, -1, -1)
            ]
        steps += [lambda low=low: self.swap(low, t - 1 - low) for low in range(t // 2)]  # type: ignore[misc]
        for step in reversed(steps) if inverse else steps:
            step()

    def _apply(self, gate: Callable[[Amplitudes], Amplitudes]) -> None:
        self.amplitudes = gate(self.amplitudes)
        if self._p > 0.0:
            # G rho is n a T long and as wide as rho was; its adjoint is rho G^H, which the second gate makes G rho G^H.
            n, a, n_states, width = self.amplitudes.shape
            adjoint = np.conj(self.amplitudes.reshape(-1, width).T, order="C")
            old = width // (n * n_states)
            self.amplitudes = gate(adjoint.reshape(n, old, n_states, n * a * n_states))

    def _close(self, cnots: int, *, system: bool = False, ancilla: bool = False, bits: tuple[int, ...] = ()) -> None:
        """Count the gate and let its qubits decay."""
        self.n_gates += 1
        self.n_cnots += cnots
        if self._p == 0.0 or cnots == 0:
            return
        strength = -np.expm1(cnots * np.log1p(-self._p)) if self._p < 1.0 else 1.0
        n, a = self.amplitudes.shape[:2]
        t = self._n_clock_qubits
        # Axes: system, ancilla, then the clock from its most significant qubit on; twice.
        chosen = ([0] if system else []) + ([1] if ancilla else []) + [t + 1 - bit for bit in bits]
        dims = (n, a) + (2,) * t
        rho = self.amplitudes.reshape(dims + dims)
        diagonal = []
        for values in itertools.product(*(range(dims[axis]) for axis in chosen)):
            place: list[int | slice] = [slice(None)] * (2 * t + 4)
            for axis, value in zip(chosen, values, strict=True):
                place[axis] = place[axis + t + 2] = value
            diagonal.append(tuple(place))
        mixed = sum(rho[cell] for cell in diagonal) * (strength / len(diagonal))
        rho *= 1.0 - strength
        for cell in diagonal:
            rho[cell] += mixed
