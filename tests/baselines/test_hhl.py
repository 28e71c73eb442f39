from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from baselines.systems import PI, first, random_orthogonal, toeplitz

from qinspired.baselines import hhl


@pytest.mark.parametrize(
    "case",
    [
        ([[1, -1 / 3], [-1 / 3, 1]], [1, 0], 2, 3 * PI / 4, 2 / 3, False, 0.625, [3, 1], 1.1858541226),
        ([[1, -1 / 3], [-1 / 3, 1]], [1, 0], 3, 3 * PI / 8, 2 / 3, True, 0.625, [3, 1], 1.1858541226),
        ([[1.5, 0.5], [0.5, 1.5]], [1, 0], 2, PI / 2, 1.0, False, 0.625, [3, -1], 0.7905694150),
        ([[1.5, 0.5], [0.5, 1.5]], [1, 1], 2, PI / 2, 1.0, False, 0.25, [1, 1], np.sqrt(2) / 2),
        ([[1.5, 0.5], [0.5, 1.5]], [1, -1], 2, PI / 2, 1.0, False, 1.0, [1, -1], np.sqrt(2)),
        ([[1, 0], [0, 2]], [1, 4], 2, PI / 2, 1.0, False, 5 / 17, [1, 2], np.sqrt(5)),
        ([[3 / 8, 1 / 8], [1 / 8, 3 / 8]], [1, 1], 3, PI, 0.25, False, 0.25, [1, 1], 2 * np.sqrt(2)),
        ([[3 / 8, 1 / 8], [1 / 8, 3 / 8]], [1, 0], 3, PI, 0.25, False, 0.625, [3, -1], 4 * 0.7905694150),
    ],
)
def test_representable_system_is_solved_exactly(case):
    A, b, t, t0, C, signed, p, direction, norm = case
    result = hhl(A, b, n_clock_qubits=t, evolution_time=t0, C=C, signed=signed)
    assert result.success_probability == pytest.approx(p, abs=1e-12)
    assert result.success_probability_ancilla == pytest.approx(p, abs=1e-12)
    assert result.fidelity == pytest.approx(1.0, abs=1e-12)
    assert result.fidelity_mixed == pytest.approx(1.0, abs=1e-12)
    assert result.l2_error < 1e-12
    np.testing.assert_allclose(result.state, np.array(direction) / np.linalg.norm(direction), atol=1e-12)
    assert result.norm == pytest.approx(norm, rel=1e-9)
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), atol=1e-12)
    assert result.warnings == ()


def test_rank_two_rectangular_system_is_solved_exactly():
    m, n = 12, 8
    u = [np.sqrt(2 / m) * np.cos(PI * (np.arange(m) + 0.5) * k / m) for k in (1, 2)]
    v = [np.sqrt(2 / n) * np.cos(PI * (np.arange(n) + 0.5) * k / n) for k in (1, 2)]
    A = 2 * np.outer(u[0], v[0]) + np.outer(u[1], v[1])
    b = 3 * u[0] + 4 * u[1]
    result = hhl(A, b, n_clock_qubits=3, evolution_time=PI / 4, C=1.0)
    assert result.success_probability == pytest.approx(0.73, abs=1e-12)
    assert result.norm == pytest.approx(4.2720018727, abs=1e-10)
    assert result.fidelity == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(result.x, 1.5 * v[0] + 4 * v[1], atol=1e-12)
    assert result.parameters["basis"] == "singular"
    assert result.n_qubits == 5 + 3 + 1  # ceil(log2(12 + 8)) system qubits


def legacy_parameters(A):
    """The automatic parameters of the former Qiskit class for negative and positive eigenvalues."""
    values = np.abs(np.linalg.eigvalsh(A))
    smallest, largest = values.min(), values.max()
    t = max(int(np.log2(len(A))) + 1, int(np.ceil(np.log2(largest / smallest + 1)))) + 1
    delta = np.floor(smallest * (2 ** (t - 1) - 1) / largest) / 2 ** (t - 1)
    return SimpleNamespace(t=t, delta=delta, t0=PI * delta / smallest, C=float(smallest))


def legacy(A, b):
    p = legacy_parameters(np.asarray(A))
    return p, hhl(A, b, n_clock_qubits=p.t, evolution_time=p.t0, C=p.C, signed=True, below="zero")


@pytest.mark.parametrize(
    "case",
    [
        (4, 4, 0.25, 0.9989757264, 0.9398938479, 0.3106769589, 0.3439481346, 1.20998062, 1.2378333510),
        (8, 5, 0.1875, 0.9998361931, 0.9741525885, 0.2107928351, 0.2178698671, 1.22911591, 1.2399109034),
        (16, 6, 0.1875, 0.9987684246, 0.9659930200, 0.1741175676, 0.1826598667, 1.21059650, 1.2399127144),
    ],
)
def test_legacy_automatic_parameters_give_the_digits_of_the_legacy_package(case):
    n, t, delta, F10, F1, p10, p1, norm, true_norm = case
    parameters, result = legacy(toeplitz(n), first(n))
    assert (parameters.t, parameters.delta) == (t, delta)
    assert result.fidelity == pytest.approx(F10, abs=6e-11)
    assert result.fidelity_mixed == pytest.approx(F1, abs=6e-11)
    assert result.success_probability == pytest.approx(p10, abs=6e-11)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=6e-11)
    assert result.norm == pytest.approx(norm, abs=6e-9)
    assert np.linalg.norm(np.linalg.solve(toeplitz(n), first(n))) == pytest.approx(true_norm, abs=6e-11)


def test_legacy_four_by_four_state_has_the_printed_entries():
    _, result = legacy(toeplitz(4), first(4))
    np.testing.assert_allclose(result.state, [0.9195697, 0.3625376, 0.1322714, 0.0739077], atol=6e-8)


def test_system_once_reported_as_wrong_is_right():
    parameters, result = legacy([[19.98, -10.0], [-10.0, 19.98]], [-2.8653, 0.6344])
    assert parameters.t == 4
    assert result.fidelity == pytest.approx(0.99999972, abs=6e-9)
    assert result.success_probability == pytest.approx(0.3679369087, abs=6e-11)


@pytest.mark.parametrize(
    "case",
    [
        (4, 4, 7, 0.999805, 0.251376, 0.259592, 0.986516),
        (4, 6, 9, 0.999917, 0.296781, 0.298800, 0.993890),
        (4, 8, 11, 0.999998, 0.322293, 0.322775, 0.999518),
        (8, 4, 8, 0.999508, 0.167709, 0.174360, 0.966413),
        (8, 6, 10, 0.999857, 0.201378, 0.203547, 0.989822),
        (8, 8, 12, 0.999992, 0.209976, 0.210408, 0.998682),
        (16, 4, 9, 0.999340, 0.173979, 0.184089, 0.960678),
        (16, 6, 11, 0.999906, 0.180519, 0.182896, 0.988703),
        (16, 8, 13, 0.999993, 0.182401, 0.182846, 0.997983),
    ],
)
def test_toeplitz_grid_agrees_with_other_simulators_to_six_digits(case):
    n, t, qubits, F10, p10, p1, F1 = case
    result = hhl(toeplitz(n), first(n), n_clock_qubits=t, guard=1)
    found = (
        result.fidelity,
        result.success_probability,
        result.success_probability_ancilla,
        result.fidelity_mixed,
    )
    np.testing.assert_allclose(found, (F10, p10, p1, F1), atol=5.1e-7)
    assert result.n_qubits == qubits
    assert result.n_queries == 2 * (2**t - 1)


def test_ridge_filter_gives_the_known_fidelity_and_norm():
    result = hhl(toeplitz(8), first(8), n_clock_qubits=8, guard=1, filter="ridge", ridge=0.2)
    assert result.fidelity == pytest.approx(0.99999954, abs=6e-9)
    assert result.norm == pytest.approx(0.862498, abs=6e-7)
    A = toeplitz(8)
    exact = np.linalg.solve(A @ A + 0.2 * np.eye(8), A @ first(8))
    assert np.linalg.norm(exact) == pytest.approx(0.863263, abs=6e-7)


def test_threshold_filter_gives_the_known_probability():
    result = hhl(toeplitz(8), first(8), n_clock_qubits=8, guard=1, filter="threshold", threshold=1.2)
    assert result.success_probability == pytest.approx(0.284168, abs=6e-7)
    values, vectors = np.linalg.eigh(toeplitz(8))
    assert np.sum(vectors[0, values >= 1.2] ** 2) == pytest.approx(0.284479, abs=6e-7)


def test_sine_window_stalls_without_a_guard():
    # kappa = 2: the mass of the largest eigenvalue wraps around to register 0, however large the clock.
    A, b = np.diag(np.linspace(0.5, 1.0, 64)), np.random.default_rng(0).standard_normal(64)
    assert hhl(A, b, n_clock_qubits=16, window="sine", guard=0).l2_error > 5e-3
    assert hhl(A, b, n_clock_qubits=6, window="sine").l2_error < 2e-3


def test_error_falls_as_the_clock_grows():
    errors = [hhl(toeplitz(8), first(8), n_clock_qubits=t, window="sine").l2_error for t in (5, 7, 9, 11)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5


@pytest.mark.parametrize("seed", range(6))  # in some of which the eigenvalue 3 is rounded to less
def test_threshold_filter_on_a_representable_spectrum_is_the_exact_projector(seed):
    rng = np.random.default_rng(seed)
    Q, b = random_orthogonal(rng, 4), rng.standard_normal(4)
    A = (Q * [1.0, 2.0, 3.0, 5.0]) @ Q.T
    result = hhl((A + A.T) / 2, b, n_clock_qubits=3, evolution_time=PI / 4, filter="threshold", threshold=3.0)
    kept = Q[:, 2:] @ (Q[:, 2:].T @ b)
    np.testing.assert_allclose(result.x, kept, atol=1e-12)
    assert result.success_probability == pytest.approx((kept @ kept) / (b @ b), abs=1e-12)
    assert result.l2_error < 1e-12


def test_svd_factors_stand_for_their_product():
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 20)), rng.standard_normal(30)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    whole = hhl(A, b, n_clock_qubits=8)
    factors = hhl((U[:, :4], s[:4], Vt[:4]), b, n_clock_qubits=8)
    np.testing.assert_allclose(factors.x, whole.x, atol=1e-9)
    assert factors.fidelity_mixed == pytest.approx(whole.fidelity_mixed, abs=1e-9)
    assert factors.n_qubits == whole.n_qubits


def test_sparse_matrix_gives_the_dense_answer():
    A = toeplitz(8)
    dense, sparse = hhl(A, first(8)), hhl(sp.csr_array(A), first(8))
    np.testing.assert_array_equal(sparse.x, dense.x)


def test_chunks_of_eigenvalues_change_nothing(monkeypatch):
    whole = hhl(toeplitz(8), first(8), n_clock_qubits=6)
    monkeypatch.setattr("qinspired.baselines.quantum._phase_estimation._CHUNK", 128)
    parts = hhl(toeplitz(8), first(8), n_clock_qubits=6)
    assert parts.fidelity_mixed == pytest.approx(whole.fidelity_mixed, abs=1e-13)
    np.testing.assert_allclose(parts.x, whole.x, atol=1e-13)


def test_ancilla_only_success_uses_the_ancilla_probability():
    strict = hhl(toeplitz(4), first(4), n_clock_qubits=5)
    loose = hhl(toeplitz(4), first(4), n_clock_qubits=5, postselect_clock=False)
    ratio = strict.success_probability_ancilla / strict.success_probability
    assert loose.norm / strict.norm == pytest.approx(np.sqrt(ratio), rel=1e-12)
    theta = np.arcsin(np.sqrt(strict.success_probability_ancilla))
    assert loose.amplification_rounds == 1
    assert loose.expected_runs == pytest.approx(3.0 / np.sin(3.0 * theta) ** 2, rel=1e-12)


def test_amplification_finds_the_best_rounds():
    result = hhl(np.diag([0.01, 1.0]), [0.0, 1.0], n_clock_qubits=8)
    p, m = result.success_probability, result.amplification_rounds
    costs = [(2 * j + 1) / np.sin((2 * j + 1) * np.arcsin(np.sqrt(p))) ** 2 for j in range(1, 2 * m)]
    assert m > 1
    assert result.expected_runs < 1.0 / p
    assert result.expected_runs <= 1.3 * min(costs)  # the rule floor(pi/(4 theta)) is close to the best


def test_real_input_gives_real_output_and_huge_entries_do_not_overflow():
    result = hhl(toeplitz(4) * 1e200, first(4) * 1e200, n_clock_qubits=8)
    assert result.x.dtype == np.float64
    np.testing.assert_allclose(result.x, hhl(toeplitz(4), first(4), n_clock_qubits=8).x, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-304, 1e-300, 1e300, 5e307])
def test_entries_near_the_ends_of_float64_change_nothing(scale):
    A, expected = np.array([[1.0, 0.3], [0.3, 0.7]]), hhl([[1.0, 0.3], [0.3, 0.7]], [1.0, 2.0], n_clock_qubits=6)
    found = hhl(A * scale, [1.0, 2.0], n_clock_qubits=6)
    assert found.success_probability == pytest.approx(expected.success_probability, rel=1e-9)
    np.testing.assert_allclose(found.state, expected.state, rtol=1e-9)


def test_probabilities_of_tiny_right_hand_sides_stay_below_one():
    for size in (5e-324, 1e-320, 1e-310):
        assert hhl(np.eye(2), [size, size], n_clock_qubits=4).success_probability <= 1.0 + 1e-12


def test_automatic_clock_is_accurate_and_reported():
    result = hhl(toeplitz(8), first(8))
    assert result.parameters["n_clock_qubits"] == 11  # ceil(log2(4.35)) + 8
    assert result.l2_error < 0.01
    assert result.parameters["guard"] == 2**11 // 16


def test_a_signed_register_gets_a_qubit_more_by_itself():
    assert hhl(np.diag([1.0, 0.25]), [1.0, 1.0]).parameters["n_clock_qubits"] == 10
    assert hhl(np.diag([1.0, -0.25]), [1.0, 1.0]).parameters["n_clock_qubits"] == 11


def test_a_small_part_of_b_in_the_range_is_enough():
    result = hhl(np.diag([1.0, 0.0]), [1e-4, 1.0], n_clock_qubits=6)
    np.testing.assert_allclose(np.abs(result.state), [1.0, 0.0], atol=1e-6)
