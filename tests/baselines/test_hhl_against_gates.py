"""The filter engine against a circuit simulated gate by gate."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from baselines.gate_level import dilation, gate_level_hhl, naive_exponential_product, naive_rotation, walk
from baselines.systems import PI, first, sine, toeplitz

from qinspired.baselines import hhl


def assert_equals_gates(result, gates, *, block, x_exact):
    kept, p10, p1, p0, rho = gates
    part = kept[block]
    exact = np.zeros(len(kept), dtype=complex)
    exact[block] = x_exact / np.linalg.norm(x_exact)
    assert result.success_probability == pytest.approx(p10, abs=1e-10)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=1e-10)
    assert p0 + p1 == pytest.approx(1.0, abs=1e-10)
    np.testing.assert_allclose(result.state, part / np.linalg.norm(part), atol=1e-10)
    np.testing.assert_allclose(np.delete(kept, np.r_[block]), 0.0, atol=1e-10)
    assert result.fidelity == pytest.approx(abs(np.vdot(exact[block], result.state)) ** 2, abs=1e-10)
    assert result.fidelity_mixed == pytest.approx((exact.conj() @ rho @ exact).real, abs=1e-10)


@pytest.mark.parametrize("below", ["clip", "zero"])
@pytest.mark.parametrize("window", ["hadamard", "sine"])
@pytest.mark.parametrize("signs", ["positive", "both", "singular"])
def test_hermitian_system_equals_the_gates(below, window, signs):
    rng = np.random.default_rng(3)
    values = {
        "positive": [0.3, 0.7, 1.0, 1.0],
        "both": [-0.9, 0.4, 0.8, 1.1],
        "singular": [0.0, 0.35, 0.9, 1.2],
    }
    X = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    Q = np.linalg.qr(X)[0]
    A = (Q * values[signs]) @ Q.conj().T
    A = (A + A.conj().T) / 2
    b = rng.standard_normal(4) + 1j * rng.standard_normal(4)
    result = hhl(A, b, n_clock_qubits=5, below=below, window=window, C=0.5)
    assert result.parameters["signed"] == (signs == "both")
    T = 32
    w = sine(T) if window == "sine" else None
    r = naive_rotation(5, result.parameters["evolution_time"], 0.5, signed=signs == "both", below=below)
    gates = gate_level_hhl(A, b, t=5, t0=result.parameters["evolution_time"], rotation=r, window=w)
    assert_equals_gates(result, gates, block=np.arange(4), x_exact=np.linalg.pinv(A) @ b)


@pytest.mark.parametrize("window", ["hadamard", "sine"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_rectangular_or_asymmetric_system_equals_the_gates_of_its_dilation(window, shape):
    rng = np.random.default_rng(5)
    A = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    b = rng.standard_normal(shape[0]) + 1j * rng.standard_normal(shape[0])
    result = hhl(A, b, n_clock_qubits=6, window=window)
    T = 64
    w = sine(T) if window == "sine" else None
    r = naive_rotation(6, result.parameters["evolution_time"], result.parameters["C"], signed=True)
    padded = np.concatenate((b, np.zeros(shape[1])))
    gates = gate_level_hhl(dilation(A), padded, t=6, t0=result.parameters["evolution_time"], rotation=r, window=w)
    assert_equals_gates(result, gates, block=np.arange(shape[0], sum(shape)), x_exact=np.linalg.pinv(A) @ b)


@pytest.mark.parametrize("window", ["hadamard", "sine"])
def test_threshold_projection_in_the_singular_basis_equals_the_gates(window):
    rng = np.random.default_rng(6)
    A, b, s = rng.standard_normal((5, 3)), rng.standard_normal(5), 1.1
    result = hhl(A, b, n_clock_qubits=6, window=window, filter="threshold", threshold=s)
    T = 64
    w = sine(T) if window == "sine" else None
    k = np.arange(T)
    values = 2 * PI * np.where(k >= T // 2, k - T, k) / (T * result.parameters["evolution_time"])
    r = (np.abs(values) >= s).astype(float)
    r[T // 2] = 0.0
    gates = gate_level_hhl(
        dilation(A), np.r_[b, np.zeros(3)], t=6, t0=result.parameters["evolution_time"], rotation=r, window=w
    )
    U, sigma, _ = np.linalg.svd(A, full_matrices=False)
    exact = U[:, sigma >= s] @ (U[:, sigma >= s].T @ b)
    assert_equals_gates(result, gates, block=np.arange(5), x_exact=exact)


def test_oracle_tells_a_wrong_constant_apart():
    A, b = toeplitz(4), first(4)
    result = hhl(A, b, n_clock_qubits=4)
    r = naive_rotation(4, result.parameters["evolution_time"], 0.9 * result.parameters["C"], signed=False)
    p10 = gate_level_hhl(A, b, t=4, t0=result.parameters["evolution_time"], rotation=r)[1]
    assert abs(p10 - result.success_probability) > 1e-3


def walk_rotation(t, alpha, C):
    r = np.zeros(2**t)
    for k in range(2**t):
        value = alpha * np.cos(2 * PI * k / 2**t)
        if abs(value) > 1e-12 * alpha:
            r[k] = np.clip(C / value, -1.0, 1.0)
    return r


def random_hermitian(seed, n, *, spread=1.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
    return spread * (X + X.conj().T) / 2, rng.standard_normal(n) + 1j * rng.standard_normal(n)


@pytest.mark.parametrize("window", ["hadamard", "sine"])
@pytest.mark.parametrize("alpha", ["frobenius", "norm", 4.5])
def test_walk_equals_the_gates_of_a_block_encoding(window, alpha):
    A, b = random_hermitian(8, 3)
    result = hhl(A, b, n_clock_qubits=6, phase_map="walk", alpha=alpha, window=window)
    norm = result.parameters["alpha"]
    assert norm == pytest.approx(
        {"frobenius": np.linalg.norm(A), "norm": np.linalg.norm(A, 2)}.get(alpha, alpha), rel=1e-12
    )
    r = walk_rotation(6, norm, result.parameters["C"])
    W = walk(A, norm * (1 + 1e-15))
    padded = np.r_[b, np.zeros(3)]
    kept, _, p1, p0, rho = gate_level_hhl(W, padded, t=6, rotation=r, window=sine(64) if window == "sine" else None)
    x = np.linalg.solve(A, b)
    x /= np.linalg.norm(x)
    flagged = kept[:3]
    # The square root in the encoding loses half the digits where alpha is the norm itself.
    close = 1e-6 if alpha == "norm" else 1e-10
    np.testing.assert_allclose(result.state, flagged / np.linalg.norm(flagged), atol=close)
    assert result.success_probability == pytest.approx(np.linalg.norm(flagged) ** 2, abs=close)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=close)
    assert p0 + p1 == pytest.approx(1.0, abs=1e-10)
    assert result.fidelity_mixed == pytest.approx((x.conj() @ rho[:3, :3] @ x).real, abs=close)


def test_walk_of_a_rectangular_matrix_equals_the_gates_of_its_dilation():
    rng = np.random.default_rng(9)
    A, b = rng.standard_normal((4, 2)), rng.standard_normal(4)
    result = hhl(A, b, n_clock_qubits=6, phase_map="walk")
    alpha = result.parameters["alpha"]
    assert alpha == pytest.approx(np.linalg.norm(A))
    r = walk_rotation(6, alpha, result.parameters["C"])
    padded = np.r_[b, np.zeros(2 + 6)]
    kept, _, p1, _, rho = gate_level_hhl(walk(dilation(A), alpha), padded, t=6, rotation=r)
    x = np.linalg.pinv(A) @ b
    x /= np.linalg.norm(x)
    np.testing.assert_allclose(kept[:4], 0.0, atol=1e-10)
    np.testing.assert_allclose(result.state * np.sqrt(result.success_probability), kept[4:6], atol=1e-10)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=1e-10)
    assert result.fidelity_mixed == pytest.approx(x @ rho[4:6, 4:6].real @ x, abs=1e-10)
    assert result.n_qubits == 3 + 6 + 1 + 1  # system, clock, ancilla, flag


@pytest.mark.parametrize(("order", "steps"), [(1, 1), (1, 3), (2, 2), (4, 1)])
@pytest.mark.parametrize("signed", [True, False])
def test_product_formula_equals_its_gates(order, steps, signed):
    A, b = random_hermitian(12, 4, spread=0.3)
    if not signed:
        A = A + 2.0 * np.eye(4)
    result = hhl(A, b, n_clock_qubits=5, trotter=(order, steps))
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    assert result.parameters["signed"] == signed
    exponentials = {1: 1, 2: 2, 4: 10}[order] * steps * result.parameters["n_pauli_terms"]
    assert result.parameters["n_exponentials"] == result.n_queries * exponentials
    U = naive_exponential_product(A, t0, steps, order=order)
    r = naive_rotation(5, t0, C, signed=signed)
    gates = gate_level_hhl(U, b, t=5, rotation=r)
    assert_equals_gates(result, gates, block=np.arange(4), x_exact=np.linalg.solve(A, b))
    assert np.abs(U - scipy.linalg.expm(1j * A * t0)).max() > 1e-4  # so that the formula is told from the exponential


@pytest.mark.parametrize("bits", [3, 8])
def test_rounded_rotations_equal_the_gates(bits):
    A, b = toeplitz(4), first(4)
    result = hhl(A, b, n_clock_qubits=5, rotation_bits=bits)
    t0 = result.parameters["evolution_time"]
    r = naive_rotation(5, t0, result.parameters["C"], signed=False)
    grid = np.sin(PI * np.arange(-(2**bits), 2**bits + 1) / 2**bits)
    angles = 2 * np.arcsin(r)
    unit = 2 * PI / 2**bits
    r = np.sin(np.floor(angles / unit + 0.5) * unit / 2)
    assert all(np.abs(grid - value).min() < 1e-12 for value in r)
    gates = gate_level_hhl(A, b, t=5, t0=t0, rotation=r)
    assert_equals_gates(result, gates, block=np.arange(4), x_exact=np.linalg.solve(A, b))


def test_function_of_the_eigenvalues_equals_the_gates():
    A, b = random_hermitian(14, 4)
    result = hhl(A, b, n_clock_qubits=5, filter=lambda v: np.exp(-v))
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    k = np.arange(32)
    values = 2 * PI * np.where(k >= 16, k - 32, k) / (32 * t0)
    r = np.where((k == 0) | (k == 16), 0.0, np.clip(C * np.exp(-values), -1.0, 1.0))
    gates = gate_level_hhl(A, b, t=5, t0=t0, rotation=r)
    assert_equals_gates(result, gates, block=np.arange(4), x_exact=scipy.linalg.expm(-A) @ b)
    assert result.norm == pytest.approx(np.linalg.norm(b) * np.sqrt(result.success_probability) / C)


@pytest.mark.parametrize("parity", ["odd", "even"])
def test_function_of_the_singular_values_equals_the_gates(parity):
    rng = np.random.default_rng(15)
    A, b = rng.standard_normal((4, 3)), rng.standard_normal(4)

    def f(v):
        return v / (v * v + 0.5) if parity == "odd" else v * v / (v * v + 0.5)

    result = hhl(A, b, n_clock_qubits=6, filter=f)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    k = np.arange(64)
    values = 2 * PI * np.where(k >= 32, k - 64, k) / (64 * t0)
    r = np.where((k == 0) | (k == 32), 0.0, np.clip(C * f(values), -1.0, 1.0))
    gates = gate_level_hhl(dilation(A), np.r_[b, np.zeros(3)], t=6, t0=t0, rotation=r)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    exact = (Vt.T if parity == "odd" else U) @ (f(s) * (U.T @ b))
    block = np.arange(4, 7) if parity == "odd" else np.arange(4)
    assert_equals_gates(result, gates, block=block, x_exact=exact)
