"""The HHL circuit in Qiskit and in PennyLane, from their own gates: simulators that share nothing with the package.

Both take U = exp(i H t0), b, the rotation of each register value and a unitary that prepares the clock's window (None:
Hadamards), and return the amplitudes [ancilla, clock, system].
"""

from __future__ import annotations

import numpy as np


def window_unitary(window):
    """Return the Householder reflection that takes |0> to a window."""
    v = window - np.eye(len(window))[0]
    return np.eye(len(window)) - 2.0 * np.outer(v, v) / (v @ v)


def powers(U, t):
    out = [U]
    for _ in range(t - 1):
        out.append(out[-1] @ out[-1])
    return out


def qiskit_circuit(U, b, r, prepare=None, *, label="cu"):
    """Return the circuit on the qubits (system, clock, ancilla), least significant first."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import library as gates

    n, t = len(U), len(r).bit_length() - 1
    q = n.bit_length() - 1
    system, clock, ancilla = list(range(q)), list(range(q, q + t)), q + t
    circuit = QuantumCircuit(q + t + 1)

    def controlled(matrix, bit):
        block = np.block([[np.eye(n), np.zeros((n, n))], [np.zeros((n, n)), matrix]])
        circuit.append(gates.UnitaryGate(block, label=label), [*system, clock[bit]])

    def window(adjoint):
        if prepare is None:
            circuit.h(clock)
        else:
            circuit.append(gates.UnitaryGate(prepare.conj().T if adjoint else prepare), clock)

    circuit.prepare_state(np.asarray(b, dtype=complex) / np.linalg.norm(b), system)
    window(adjoint=False)
    for bit, power in enumerate(powers(U, t)):
        controlled(power, bit)
    circuit.append(gates.QFTGate(t).inverse(), clock)
    circuit.append(gates.UCRYGate(list(2.0 * np.arcsin(r))), [ancilla, *clock])
    circuit.append(gates.QFTGate(t), clock)
    for bit, power in enumerate(powers(U, t)):
        controlled(power.conj().T, bit)
    window(adjoint=True)
    return circuit


def qiskit_hhl(U, b, r, prepare=None):
    from qiskit.quantum_info import Statevector

    return np.asarray(Statevector(qiskit_circuit(U, b, r, prepare))).reshape(2, len(r), len(U))


def pennylane_hhl(U, b, r, prepare=None, *, device="default.qubit"):
    import pennylane as qml

    n, t = len(U), len(r).bit_length() - 1
    q = n.bit_length() - 1
    ancilla, clock, system = 0, list(range(1, t + 1)), list(range(t + 1, t + 1 + q))
    squared = powers(U, t)
    unit = np.asarray(b, dtype=complex) / np.linalg.norm(b)
    angles = 2.0 * np.arcsin(r)

    def window(adjoint):
        if prepare is None:
            for wire in clock:
                qml.Hadamard(wire)
        else:
            qml.QubitUnitary(prepare.conj().T if adjoint else prepare, wires=clock)

    @qml.qnode(qml.device(device, wires=1 + t + q))
    def circuit():
        qml.StatePrep(unit, wires=system)
        window(adjoint=False)
        for bit in range(t):
            qml.ControlledQubitUnitary(squared[bit], wires=[clock[t - 1 - bit], *system])
        qml.adjoint(qml.QFT)(wires=clock)
        qml.SelectPauliRot(angles, control_wires=clock, target_wire=ancilla, rot_axis="Y")
        qml.QFT(wires=clock)
        for bit in range(t):
            qml.ControlledQubitUnitary(squared[bit].conj().T, wires=[clock[t - 1 - bit], *system])
        window(adjoint=True)
        return qml.state()

    return np.asarray(circuit()).reshape(2, 1 << t, n)
