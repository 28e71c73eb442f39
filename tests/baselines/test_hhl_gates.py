from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from baselines.foreign_circuits import pennylane_hhl, qiskit_hhl, window_unitary
from baselines.gate_level import dilation, gate_level_hhl, naive_exponential_product, naive_rotation, walk
from baselines.gate_list import gates_of, noisy_density
from baselines.systems import first, sine, toeplitz
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import P_LOWEST, chi_square_p

from qinspired.baselines import hhl, hhl_gates
from qinspired.baselines.quantum._gates import Register, dense_cnots
from qinspired.baselines.quantum._pauli import pauli_decomposition, product_formula


def complex_normal(rng, shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def hermitian(rng, n, *, is_complex=False):
    X = complex_normal(rng, (n, n)) if is_complex else rng.standard_normal((n, n))
    return X + X.conj().T


def assert_same(gates, engine, *, atol=1e-10):
    # The phase too: both engines keep that of b.
    np.testing.assert_allclose(gates.state, engine.state, atol=atol)
    np.testing.assert_allclose(gates.x, engine.x, atol=atol * engine.norm)
    for name in (
        "success_probability",
        "success_probability_ancilla",
        "fidelity",
        "fidelity_mixed",
        "l2_error",
    ):
        assert getattr(gates, name) == pytest.approx(getattr(engine, name), abs=atol), name
    assert gates.norm == pytest.approx(engine.norm, rel=atol)
    assert gates.expected_runs == pytest.approx(engine.expected_runs, rel=1e-8)
    for name in ("n_queries", "n_qubits", "amplification_rounds", "warnings"):
        assert getattr(gates, name) == getattr(engine, name), name
    assert gates.state.dtype == engine.state.dtype
    shared = set(gates.parameters) & set(engine.parameters) - {"basis"}
    assert {"evolution_time", "C", "guard", "signed", "n_clock_qubits", "phase_map", "alpha", "filter"} <= shared
    for name in shared:
        assert gates.parameters[name] == engine.parameters[name], name
    curve = gates.filter_curve
    np.testing.assert_array_equal(curve.values, engine.filter_curve.values)
    seen = np.isfinite(curve.applied)
    assert seen.any()
    largest = np.abs(engine.filter_curve.applied).max()
    np.testing.assert_allclose(curve.applied[seen], engine.filter_curve.applied[seen], atol=1e-8 * largest)
    assert abs(gates.parameters["leakage"]) < 1e-10


SYSTEMS = {
    "positive": lambda rng: (toeplitz(4), rng.standard_normal(4)),
    "indefinite": lambda rng: (hermitian(rng, 8), rng.standard_normal(8)),
    "complex": lambda rng: (hermitian(rng, 4, is_complex=True), complex_normal(rng, 4)),
    "singular": lambda rng: (np.diag([0.0, 0.4, 1.0, 2.0]), rng.standard_normal(4)),
    "three": lambda rng: (hermitian(rng, 3), rng.standard_normal(3)),
    "six complex": lambda rng: (hermitian(rng, 6, is_complex=True), rng.standard_normal(6)),
    "one": lambda rng: (np.array([[2.0]]), rng.standard_normal(1)),
    "asymmetric": lambda rng: (rng.standard_normal((4, 4)), rng.standard_normal(4)),
    "tall": lambda rng: (rng.standard_normal((7, 3)), rng.standard_normal(7)),
    "wide complex": lambda rng: (complex_normal(rng, (2, 5)), complex_normal(rng, 2)),
    "low rank": lambda rng: (rng.standard_normal((6, 2)) @ rng.standard_normal((2, 5)), rng.standard_normal(6)),
}
OPTIONS = [
    {},
    {"window": "sine"},
    {"below": "zero", "C": 0.3},
    {"C": "register", "signed": True},
    {"guard": 3, "postselect_clock": False},
    {"evolution_time": 0.7, "C": 0.5},
    {"filter": "ridge", "ridge": 0.2},
    {"filter": "threshold", "threshold": 0.9, "window": "sine"},
    {"filter": np.tanh, "C": 0.6, "below": "zero"},
    {"filter": np.square, "rotation_bits": 5},
    {"phase_map": "walk"},
    {"phase_map": "walk", "alpha": "norm", "window": "sine", "postselect_clock": False},
    {"phase_map": "walk", "filter": "threshold", "threshold": 0.9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", SYSTEMS)
def test_gates_equal_the_eigenbasis(name, options):
    A, b = SYSTEMS[name](np.random.default_rng(7))
    assert_same(hhl_gates(A, b, n_clock_qubits=5, **options), hhl(A, b, n_clock_qubits=5, **options))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(1, 5), n=st.integers(1, 5), t=st.integers(2, 6))
def test_random_systems_have_the_probabilities_of_the_eigenbasis(seed, m, n, t):
    rng = np.random.default_rng(seed)
    A, b = complex_normal(rng, (m, n)), complex_normal(rng, m)
    gates, engine = hhl_gates(A, b, n_clock_qubits=t), hhl(A, b, n_clock_qubits=t)
    np.testing.assert_allclose(
        gates.state * np.sqrt(gates.success_probability),
        engine.state * np.sqrt(engine.success_probability),
        atol=1e-10,
    )
    assert gates.success_probability_ancilla == pytest.approx(engine.success_probability_ancilla, abs=1e-10)


def test_a_wrong_circuit_is_told_apart():
    A, b = toeplitz(4), first(4)
    wrong = hhl_gates(A, b, n_clock_qubits=5, evolution_time=3.0, C=0.5)
    right = hhl(A, b, n_clock_qubits=5, evolution_time=3.0001, C=0.5)
    assert abs(wrong.success_probability - right.success_probability) > 1e-6


@pytest.mark.parametrize("window", ["hadamard", "sine"])
def test_gates_equal_full_matrices_that_share_no_code(window):
    rng = np.random.default_rng(8)
    A, b = complex_normal(rng, (3, 2)), rng.standard_normal(3)
    result = hhl_gates(A, b, n_clock_qubits=4, window=window)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    r = naive_rotation(4, t0, C, signed=True)
    kept, p10, p1, _, rho = gate_level_hhl(
        dilation(A), np.r_[b, 0, 0], t=4, t0=t0, rotation=r, window=sine(16) if window == "sine" else None
    )
    assert result.success_probability == pytest.approx(p10, abs=1e-12)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=1e-12)
    np.testing.assert_allclose(result.state, kept[3:] / np.linalg.norm(kept), atol=1e-12)
    exact = np.r_[np.zeros(3), np.linalg.pinv(A) @ b]
    exact /= np.linalg.norm(exact)
    assert result.fidelity_mixed == pytest.approx((exact.conj() @ rho @ exact).real, abs=1e-12)


def test_gates_of_the_walk_equal_full_matrices_that_share_no_code():
    rng = np.random.default_rng(9)
    A, b = hermitian(rng, 4, is_complex=True), complex_normal(rng, 4)
    alpha = 1.5 * np.linalg.norm(A, 2)
    result = hhl_gates(A, b, n_clock_qubits=5, phase_map="walk", alpha=alpha)
    values = alpha * np.cos(2 * np.pi * np.arange(32) / 32)
    r = np.where(np.abs(values) > 1e-12, result.parameters["C"] / np.where(values == 0, 1, values), 0.0)
    kept, _, p1, _, rho = gate_level_hhl(walk(A, alpha), np.r_[b, np.zeros(4)], t=5, rotation=np.clip(r, -1, 1))
    kept = kept[:4]  # where the flag is 0
    assert result.success_probability == pytest.approx(np.linalg.norm(kept) ** 2, abs=1e-12)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=1e-12)
    assert result.success_probability < p1 - 0.01
    np.testing.assert_allclose(result.state, kept / np.linalg.norm(kept), atol=1e-12)
    exact = np.linalg.solve(A, b)
    exact = np.r_[exact / np.linalg.norm(exact), np.zeros(4)]
    assert result.fidelity_mixed == pytest.approx((exact.conj() @ rho @ exact).real, abs=1e-12)


def amplitudes(register):
    return register.amplitudes[..., 0].transpose(1, 2, 0)  # ancilla, clock, system


@pytest.mark.parametrize("t", [1, 2, 3, 6])
def test_fourier_gates_equal_numpy(t):
    rng = np.random.default_rng(t)
    start = complex_normal(rng, (4, 1, 1 << t, 1))
    register = Register(np.ones(4), t)
    register.amplitudes = start.copy()
    register.fourier()
    np.testing.assert_allclose(register.amplitudes, np.fft.ifft(start, axis=2, norm="ortho"), atol=1e-13)
    register.fourier(inverse=True)
    np.testing.assert_allclose(register.amplitudes, start, atol=1e-13)
    register.fourier(inverse=True)
    np.testing.assert_allclose(register.amplitudes, np.fft.fft(start, axis=2, norm="ortho"), atol=1e-13)


def test_window_gates_prepare_the_window_and_undo_it():
    for window in (sine(32), np.random.default_rng(0).uniform(0.0, 1.0, 32) * np.r_[np.zeros(20), np.ones(12)]):
        unit = window / np.linalg.norm(window)
        register = Register(np.array([0.6, 0.8]), 5)
        register.prepare_window(unit)
        np.testing.assert_allclose(amplitudes(register)[0], np.outer(unit, [0.6, 0.8]), atol=1e-14)
        register.prepare_window(unit, inverse=True)
        np.testing.assert_allclose(amplitudes(register)[0], np.outer(np.eye(32)[0], [0.6, 0.8]), atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), t=st.integers(1, 5))
def test_every_gate_is_unitary(seed, t):
    rng = np.random.default_rng(seed)
    register = Register(np.ones(4) / 2, t)
    vectors = np.linalg.qr(complex_normal(rng, (4 << t, 4 << t)))[0]  # all columns at once
    register.amplitudes = vectors.reshape(4, 1, 1 << t, -1).copy()
    bit = int(rng.integers(t))
    steps = [
        lambda: register.hadamard(bit),
        lambda: register.multiplexed_ry(bit, rng.uniform(-2, 2, 1 << (t - 1 - bit))),
        lambda: register.controlled(bit, np.linalg.qr(complex_normal(rng, (4, 4)))[0], 0),
        register.fourier,
        lambda: register.rotate_ancilla(rng.uniform(-1, 1, 1 << t)),
    ]
    if t > 1:
        steps.insert(0, lambda: register.phase(0, t - 1, 0.3))
        steps.insert(0, lambda: register.swap(0, t - 1))
    for step in steps:
        step()
        G = register.amplitudes.reshape(-1, 4 << t)
        np.testing.assert_allclose(G.conj().T @ G, np.eye(4 << t), atol=1e-12)


WORDS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def word_matrix(word):
    matrix = np.eye(1)
    for letter in word:
        matrix = np.kron(matrix, WORDS[letter])
    return matrix


@pytest.mark.parametrize("q", [1, 2, 3])
def test_pauli_decomposition_equals_the_traces_word_by_word(q):
    H = hermitian(np.random.default_rng(q), 1 << q, is_complex=True)
    terms = pauli_decomposition(H)
    words = ["".join(letters) for letters in itertools.product("IXYZ", repeat=q)]  # in lexicographic order
    naive = [np.trace(word_matrix(word) @ H).real / (1 << q) for word in words]
    np.testing.assert_allclose(terms.coefficients, naive, atol=1e-13)
    np.testing.assert_array_equal(terms.weights, [q - word.count("I") for word in words])
    total = sum(c * word_matrix(word) for c, word in zip(terms.coefficients, words, strict=True))
    np.testing.assert_allclose(total, H, atol=1e-13)


def test_pauli_decomposition_keeps_only_words_that_are_there():
    terms = pauli_decomposition(1e-6 * word_matrix("XIZ") - 2.0 * word_matrix("IYY"))
    np.testing.assert_allclose(terms.coefficients, [-2.0, 1e-6], atol=1e-15)
    np.testing.assert_array_equal(terms.x, [0b011, 0b100])
    np.testing.assert_array_equal(terms.z, [0b011, 0b001])


@pytest.mark.parametrize("order", [1, 2, 4])
def test_product_formula_equals_exponentials_of_the_words(order):
    H = hermitian(np.random.default_rng(3), 4, is_complex=True)
    naive = naive_exponential_product(H, 0.7, 3, order=order)
    found = product_formula(pauli_decomposition(H), 0.7, order, 3)
    np.testing.assert_allclose(found, naive, atol=1e-13)
    np.testing.assert_allclose(found @ found.conj().T, np.eye(4), atol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_error_of_a_product_formula_falls_with_its_order(order):
    H = hermitian(np.random.default_rng(4), 8, is_complex=True) / 4
    terms, exact = pauli_decomposition(H), scipy.linalg.expm(1j * H)
    errors = [np.linalg.norm(product_formula(terms, 1.0, order, steps) - exact) for steps in (8, 16)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("is_complex", [False, True])
def test_product_formula_in_the_circuit_equals_the_filter_of_its_eigenphases(order, is_complex):
    rng = np.random.default_rng(9)
    A, b = hermitian(rng, 4, is_complex=is_complex), rng.standard_normal(4)
    gates, engine = (run(A, b, n_clock_qubits=5, trotter=(order, 2)) for run in (hhl_gates, hhl))
    np.testing.assert_allclose(gates.x, engine.x, atol=1e-10 * engine.norm)
    for name in ("success_probability", "success_probability_ancilla", "fidelity", "fidelity_mixed", "l2_error"):
        assert getattr(gates, name) == pytest.approx(getattr(engine, name), abs=1e-10), name
    assert gates.warnings == engine.warnings
    exact = hhl(A, b, n_clock_qubits=5)
    assert abs(exact.success_probability - engine.success_probability) > 1e-6  # so that the formula counts


def test_product_formula_leaks_out_of_the_answer_and_it_is_counted():
    rng = np.random.default_rng(10)
    A, b = rng.standard_normal((3, 2)), rng.standard_normal(3)
    rough, fine = (hhl_gates(A, b, n_clock_qubits=6, trotter=(1, steps)) for steps in (1, 256))
    assert rough.parameters["leakage"] > 1e-3
    assert any("outside the entries of the answer" in text for text in rough.warnings)
    assert rough.fidelity <= 1.0 - rough.parameters["leakage"] + 1e-12
    assert fine.parameters["leakage"] < 1e-4
    assert np.linalg.norm(rough.state) == pytest.approx(1.0, abs=1e-12)
    exact = hhl_gates(A, b, n_clock_qubits=6)
    assert fine.fidelity == pytest.approx(exact.fidelity, abs=2e-3)


def noisy_parts(rho, n, t):
    """Return p10, p1 and the unnormalised system matrices for them; the ancilla is the most significant qubit."""
    T = 1 << t
    blocks = rho.reshape(2, T, n, 2, T, n)
    kept = blocks[1, 0, :, 1, 0]
    reduced = np.einsum("kikj->ij", blocks[1, :, :, 1])
    return np.trace(kept).real, np.trace(reduced).real, kept, reduced


@pytest.mark.parametrize(
    ("b", "t", "window", "loading"),
    [
        ([0.6, 0.8], 2, "hadamard", 0),
        ([1.0, 2.0j], 2, "sine", 0),
        ([1.0, 2.0, 3.0, 1.0], 2, "hadamard", 2),
        ([1.0, 2.0, 3.0j, 1.0], 2, "sine", 2),
    ],
)
def test_noise_equals_a_sum_over_pauli_words_on_full_matrices(b, t, window, loading):
    p, b = 3e-3, np.array(b)
    n = len(b)
    A = hermitian(np.random.default_rng(11), n, is_complex=True)
    result = hhl_gates(A, b, n_clock_qubits=t, window=window, depolarising=p)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    r = naive_rotation(t, t0, C, signed=True)
    gates = gates_of(scipy.linalg.expm(1j * A * t0), t, r, sine(1 << t) if window == "sine" else None)
    rho = noisy_density(b, gates, p, n_qubits=n.bit_length() - 1 + t + 1, loading=loading)
    p10, p1, kept, reduced = noisy_parts(rho, n, t)
    x = np.linalg.solve(A, b)
    x = x / np.linalg.norm(x)
    assert result.success_probability == pytest.approx(p10, abs=1e-12)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=1e-12)
    assert result.fidelity == pytest.approx((x.conj() @ kept @ x).real / p10, abs=1e-12)
    assert result.fidelity_mixed == pytest.approx((x.conj() @ reduced @ x).real / p1, abs=1e-12)
    assert result.parameters["purity"] == pytest.approx(np.trace(kept @ kept).real / p10**2, abs=1e-12)
    assert np.vdot(result.state, kept @ result.state).real == pytest.approx(np.linalg.eigvalsh(kept)[-1], abs=1e-12)
    assert np.vdot(x, result.state).imag == pytest.approx(0.0, abs=1e-12)
    assert result.parameters["n_cnots"] == loading + sum(cnots for *_, cnots in gates)
    assert result.parameters["n_gates"] == 1 + len(gates)
    assert np.isnan(result.filter_curve.applied).all()


def test_a_little_noise_changes_little_and_full_noise_leaves_nothing():
    A, b = toeplitz(2), first(2)
    clean = hhl_gates(A, b, n_clock_qubits=3)
    slight = hhl_gates(A, b, n_clock_qubits=3, depolarising=1e-9)
    assert slight.success_probability == pytest.approx(clean.success_probability, abs=1e-6)
    np.testing.assert_allclose(slight.state, clean.state, atol=1e-6)
    assert slight.l2_error == pytest.approx(clean.l2_error, abs=1e-6)
    full = hhl_gates(A, b, n_clock_qubits=3, depolarising=1.0)
    # The multiplexed rotation mixes the clock and the ancilla, the last controlled powers the system.
    assert full.success_probability_ancilla == pytest.approx(0.5, abs=1e-12)
    assert full.fidelity == pytest.approx(0.5, abs=1e-12)
    assert full.parameters["purity"] == pytest.approx(0.5, abs=1e-12)
    levels = [hhl_gates(A, b, n_clock_qubits=3, depolarising=p).fidelity for p in (0.0, 1e-4, 1e-3, 1e-2)]
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("p", [0.9, 1.0])
def test_noisy_state_is_one_of_the_answer_also_where_the_padding_leads(p):
    for A, b in ((np.diag([1.0, 2.0, 3.0]), np.ones(3)), (np.array([[1.0], [2.0]]), np.ones(2))):
        result = hhl_gates(A, b, n_clock_qubits=2, depolarising=p)
        assert np.linalg.norm(result.state) == pytest.approx(1.0, abs=1e-12)
        assert np.isfinite(result.x).all()


def test_counts_of_loading_and_of_dense_gates_are_the_published_ones():
    # 2^q - 2 for real and 2^(q+1) - 2q - 2 for complex amplitudes; (23/48) 4^k - (3/2) 2^k + 4/3.
    assert [Register(np.ones(1 << q), 1).n_cnots for q in (1, 2, 3, 4)] == [0, 2, 6, 14]
    assert [Register(np.ones(1 << q) * 1j, 1).n_cnots for q in (1, 2, 3, 4)] == [0, 2, 8, 22]
    assert [dense_cnots(k) for k in (1, 2, 3, 4)] == [0, 3, 20, 100]


def test_gates_of_a_product_formula_grow_with_its_steps():
    # Toeplitz of size 2: the words I and X; a controlled exponential of X takes 2 CNOTs, times 1 + 2 + 4 each way.
    counts = [
        hhl_gates(toeplitz(2), first(2), n_clock_qubits=3, trotter=trotter).parameters["n_cnots"]
        for trotter in ((1, 1), (1, 2), (2, 1), (4, 1))
    ]
    circuit = 2 * (3 * 2 + 3) + 8  # two Fourier transforms, one multiplexed rotation
    assert counts == [circuit + 28, circuit + 56, circuit + 56, circuit + 280]


def exact_law(A, b, *, t, t0, C):
    """The law of (clock 0, clock not 0) x system with the ancilla 1, and last of the ancilla 0."""
    kept, _, p1, p0, rho = gate_level_hhl(A, b, t=t, t0=t0, rotation=naive_rotation(t, t0, C, signed=False))
    return np.r_[np.abs(kept) ** 2, np.diag(rho).real * p1 - np.abs(kept) ** 2, p0]


def test_shots_follow_the_law_of_the_circuit_and_a_wrong_law_is_rejected():
    A, b, shots = toeplitz(4), np.array([1.0, 2.0, 3.0, 4.0]), 20_000
    result = hhl_gates(A, b, n_clock_qubits=3, shots=shots, rng=5)
    counts = result.parameters["counts"]
    assert counts.shape == (2, 2, 4)
    assert counts.sum() == shots
    estimate = result.shots
    assert (estimate.n_shots, estimate.n_successes) == (shots, counts[1, 0].sum())
    np.testing.assert_array_equal(estimate.counts, counts[1, 0])
    assert abs(estimate.norm - result.norm) < 5 * estimate.norm_stderr < 0.1 * result.norm
    draws = np.repeat(np.arange(9), np.r_[counts[1].ravel(), counts[0].sum()])
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    assert chi_square_p(draws, exact_law(A, b, t=3, t0=t0, C=C)) > P_LOWEST
    assert chi_square_p(draws, exact_law(A, b, t=3, t0=t0, C=0.95 * C)) < P_LOWEST
    assert chi_square_p(draws, exact_law(A, b[::-1], t=3, t0=t0, C=C)) < P_LOWEST


def test_shots_are_reproducible_and_do_not_change_the_exact_fields():
    A, b = toeplitz(4), first(4)
    one, two, other = (hhl_gates(A, b, n_clock_qubits=3, shots=500, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.parameters["counts"], two.parameters["counts"])
    assert not np.array_equal(one.parameters["counts"], other.parameters["counts"])
    exact = hhl_gates(A, b, n_clock_qubits=3)
    np.testing.assert_array_equal(one.state, exact.state)
    assert exact.parameters["counts"] is None
    assert exact.shots is None


def test_shots_without_the_clock_count_every_clock_and_those_of_a_dilation_the_answer_alone():
    rng = np.random.default_rng(6)
    A, b = rng.standard_normal((3, 2)), rng.standard_normal(3)
    result = hhl_gates(A, b, n_clock_qubits=4, shots=5000, postselect_clock=False, trotter=(1, 1), rng=2)
    counts, shots = result.parameters["counts"], result.shots
    assert shots.n_successes == counts[1].sum()
    np.testing.assert_array_equal(shots.counts, counts[1].sum(axis=0)[3:5])
    assert shots.n_successes > shots.counts.sum()  # product formulas leak out of the answer


def test_shots_of_the_walk_succeed_with_the_flag_0_where_the_clock_has_to_be_0():
    rng = np.random.default_rng(10)
    A, b, n_shots = hermitian(rng, 4), rng.standard_normal(4), 100_000
    for postselect_clock, share in ((True, "success_probability"), (False, "success_probability_ancilla")):
        options = {"n_clock_qubits": 5, "phase_map": "walk", "postselect_clock": postselect_clock, "shots": n_shots}
        run = hhl_gates(A, b, rng=1, **options)
        p = getattr(run, share)
        assert run.parameters["counts"].shape == (2, 2, 8)
        assert abs(run.shots.n_successes - n_shots * p) < 5 * np.sqrt(n_shots * p * (1 - p))
    assert run.success_probability_ancilla - run.success_probability > 10 / np.sqrt(n_shots)
    # Noise leaves the flag at 1 in a good part of the runs with the ancilla 1 and the clock 0: they fail.
    run = hhl_gates(A[:3, :3], b[:3], rng=1, n_clock_qubits=3, phase_map="walk", shots=n_shots, depolarising=0.01)
    counts, p = run.parameters["counts"], run.success_probability
    assert run.shots.n_successes == counts[1, 0, :4].sum() < 0.9 * counts[1, 0].sum()
    assert abs(run.shots.n_successes - n_shots * p) < 5 * np.sqrt(n_shots * p * (1 - p))
    assert 0.0 < run.parameters["leakage"] < 1.0


def test_controlled_walk_costs_a_dense_unitary_of_system_flag_and_control():
    A = hermitian(np.random.default_rng(12), 4)
    walks = hhl_gates(A, np.ones(4), n_clock_qubits=3, phase_map="walk").parameters["n_cnots"]
    steps = hhl_gates(A, np.ones(4), n_clock_qubits=3).parameters["n_cnots"]
    # A controlled power for each clock qubit and its inverse, on 4 qubits in place of 3; all else is alike.
    assert walks - steps == 2 * 3 * (dense_cnots(4) - dense_cnots(3))


def test_flag_is_added_in_its_lower_state_and_loading_leaves_it_alone():
    rng = np.random.default_rng(13)
    b = complex_normal(rng, 4)
    for p in (0.0, 0.2):
        register, grown = (Register(b / np.linalg.norm(b), 1, depolarising=p) for _ in range(2))
        grown.add_flag()
        shape = (4, 2) if p == 0.0 else (4, 2, 4, 2)
        padded = np.zeros(tuple(8 if size == 4 else size for size in shape), dtype=complex)
        padded[tuple(slice(size) for size in shape)] = register.amplitudes.reshape(shape)
        np.testing.assert_array_equal(grown.amplitudes.reshape(padded.shape), padded)
        assert (grown.n_gates, grown.n_cnots) == (register.n_gates, register.n_cnots)


def test_noise_in_the_walk_takes_its_fidelity():
    A, b = hermitian(np.random.default_rng(11), 2), np.array([1.0, 2.0])
    options = {"n_clock_qubits": 3, "phase_map": "walk"}
    clean, little, much = (hhl_gates(A, b, depolarising=p, **options) for p in (0.0, 1e-9, 1e-2))
    for name in ("success_probability", "success_probability_ancilla", "fidelity", "fidelity_mixed"):
        assert getattr(little, name) == pytest.approx(getattr(clean, name), abs=1e-5), name
    assert much.fidelity < clean.fidelity - 0.01


def test_shots_of_a_noisy_circuit_follow_its_density_matrix():
    A, b, shots, p = toeplitz(2), first(2), 20_000, 5e-3
    result = hhl_gates(A, b, n_clock_qubits=2, depolarising=p, shots=shots, rng=3)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    r = naive_rotation(2, t0, C, signed=False)
    rho = noisy_density(b, gates_of(scipy.linalg.expm(1j * A * t0), 2, r), p, n_qubits=4)
    cells = np.diag(rho).real.reshape(2, 4, 2)
    law = np.stack((cells[:, 0], cells[:, 1:].sum(axis=1)), axis=1)
    draws = np.repeat(np.arange(8), result.parameters["counts"].ravel())
    assert chi_square_p(draws, law.ravel()) > P_LOWEST
    clean = hhl_gates(A, b, n_clock_qubits=2)
    noiseless = np.abs(clean.state) ** 2 * clean.success_probability
    wrong = np.r_[law.ravel()[:4], noiseless, law.ravel()[6:]]
    assert chi_square_p(draws, wrong / wrong.sum()) < P_LOWEST


FOREIGN = {
    "toeplitz": (toeplitz(4), first(4), "hadamard", None),
    "indefinite complex": (
        hermitian(np.random.default_rng(20), 4, is_complex=True),
        complex_normal(np.random.default_rng(21), 4),
        "hadamard",
        None,
    ),
    "rectangular": (np.random.default_rng(22).standard_normal((5, 3)), np.arange(1.0, 6.0), "sine", None),
    "product formula": (
        hermitian(np.random.default_rng(23), 4, is_complex=True),
        np.array([1.0, -1.0, 2.0, 0.5]),
        "hadamard",
        (2, 1),
    ),
}


def foreign_system(name):
    """Return our result, and what the circuit needs elsewhere (U, b, rotation, window), and the place of the answer."""
    A, b, window, trotter = FOREIGN[name]
    t = 4
    result = hhl_gates(A, b, n_clock_qubits=t, window=window, trotter=trotter)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    rectangular = A.shape[0] != A.shape[1]
    H = dilation(A) if rectangular else A
    padded = np.pad(b, (0, len(H) - len(b)))
    place = slice(A.shape[0], None) if rectangular else slice(None)
    if trotter:
        U = naive_exponential_product(H, t0, trotter[1], order=trotter[0])
    else:
        U = scipy.linalg.expm(1j * H * t0)
    r = naive_rotation(t, t0, C, signed=result.parameters["signed"])
    prepare = window_unitary(sine(1 << t)) if window == "sine" else None
    return result, (U, padded, r, prepare), place


def assert_foreign(result, final, place):
    kept = final[1, 0]
    assert result.success_probability == pytest.approx(np.linalg.norm(kept) ** 2, abs=1e-8)
    assert result.success_probability_ancilla == pytest.approx(np.linalg.norm(final[1]) ** 2, abs=1e-8)
    np.testing.assert_allclose(result.state * np.sqrt(result.success_probability), kept[place], atol=1e-8)


@pytest.mark.parametrize("name", FOREIGN)
def test_amplitudes_equal_those_of_qiskit(name):
    pytest.importorskip("qiskit")
    result, circuit, place = foreign_system(name)
    assert_foreign(result, qiskit_hhl(*circuit), place)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("name", FOREIGN)
def test_amplitudes_equal_those_of_pennylane(name, device):
    pytest.importorskip("pennylane")
    if device == "lightning.qubit":
        pytest.importorskip("pennylane_lightning")
    result, circuit, place = foreign_system(name)
    assert_foreign(result, pennylane_hhl(*circuit, device=device), place)


@pytest.mark.parametrize(("package", "simulate"), [("qiskit", qiskit_hhl), ("pennylane", pennylane_hhl)])
def test_amplitudes_of_the_walk_equal_those_of_other_simulators(package, simulate):
    pytest.importorskip(package)
    rng = np.random.default_rng(24)
    A, b, t = hermitian(rng, 4, is_complex=True), complex_normal(rng, 4), 4
    alpha = 1.2 * np.linalg.norm(A, 2)
    result = hhl_gates(A, b, n_clock_qubits=t, phase_map="walk", alpha=alpha)
    values = alpha * np.cos(2 * np.pi * np.arange(1 << t) / (1 << t))
    zero = np.abs(values) < 1e-12 * alpha
    r = np.where(zero, 0.0, np.clip(result.parameters["C"] / np.where(zero, 1.0, values), -1.0, 1.0))
    final = simulate(walk(A, alpha), np.r_[b, np.zeros(4)], r)
    np.testing.assert_allclose(result.state * np.sqrt(result.success_probability), final[1, 0, :4], atol=1e-8)
    assert result.success_probability_ancilla == pytest.approx(np.linalg.norm(final[1]) ** 2, abs=1e-8)
    # Both phases of an eigenvalue have one rotation, so that the flag comes back to 0 with the clock, and only with it.
    np.testing.assert_allclose(final[1, 0, 4:], 0.0, atol=1e-12)
    assert np.linalg.norm(final[1, 1:, 4:]) > 0.01


def test_noise_equals_that_of_qiskit_aer():
    pytest.importorskip("qiskit_aer")
    from qiskit import QuantumCircuit
    from qiskit.circuit import library
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    p, t, b = 4e-3, 3, np.array([0.6, 0.8])
    A = hermitian(np.random.default_rng(30), 2, is_complex=True)
    result = hhl_gates(A, b, n_clock_qubits=t, depolarising=p)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    gates = gates_of(scipy.linalg.expm(1j * A * t0), t, naive_rotation(t, t0, C, signed=True))
    model, known = NoiseModel(basis_gates=["unitary"]), set()
    circuit = QuantumCircuit(t + 2)
    circuit.append(library.UnitaryGate([[0.6, -0.8], [0.8, 0.6]]), [0])
    for name, matrix, qubits, cnots in gates:
        circuit.append(library.UnitaryGate(matrix, label=name), qubits)
        if cnots and name not in known:
            known.add(name)
            model.add_all_qubit_quantum_error(depolarizing_error(1 - (1 - p) ** cnots, len(qubits)), name)
    circuit.save_density_matrix()
    rho = np.asarray(
        AerSimulator(method="density_matrix", noise_model=model).run(circuit).result().data()["density_matrix"]
    )
    p10, p1, kept, _ = noisy_parts(rho, 2, t)
    x = np.linalg.solve(A, b)
    assert result.success_probability == pytest.approx(p10, abs=1e-8)
    assert result.success_probability_ancilla == pytest.approx(p1, abs=1e-8)
    assert result.fidelity == pytest.approx((x.conj() @ kept @ x).real / p10 / np.linalg.norm(x) ** 2, abs=1e-8)


def test_factors_and_sparse_matrices_stand_for_the_array():
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal((6, 3)), rng.standard_normal(6)
    whole = hhl_gates(A, b, n_clock_qubits=5)
    factors = hhl_gates(np.linalg.svd(A, full_matrices=False), b, n_clock_qubits=5)
    np.testing.assert_allclose(factors.x, whole.x, atol=1e-11)
    np.testing.assert_array_equal(hhl_gates(sp.csr_array(A), b, n_clock_qubits=5).x, whole.x)


def test_filter_is_not_read_off_where_b_has_no_part():
    curve = hhl_gates(np.diag([1.0, 2.0]), [1.0, 0.0], n_clock_qubits=3).filter_curve
    np.testing.assert_array_equal(np.isnan(curve.applied), [False, True])


def test_large_product_formulas_are_refused_as_in_the_eigenbasis():
    with pytest.raises(ValueError, match=r"`A` must have at most 256 rows .* got 512"):
        hhl_gates(np.eye(300), np.ones(300), n_clock_qubits=3, trotter=(1, 1))


def test_large_registers_are_refused_with_their_memory():
    with pytest.raises(ValueError, match=r"2 system qubits, 24 clock qubits and an ancilla take 134217728 \(2 GiB\)"):
        hhl_gates(toeplitz(4), first(4), n_clock_qubits=24)
    with pytest.raises(ValueError, match=r"268435456 \(4 GiB\) for the density matrix. Set `depolarising` to 0"):
        hhl_gates(toeplitz(4), first(4), n_clock_qubits=11, depolarising=0.1)
    for options in ({}, {"depolarising": 0.1}):
        with pytest.raises(ValueError, match="must make a register of at most"):
            hhl_gates(toeplitz(4), first(4), n_clock_qubits=10_000, **options)


@pytest.mark.parametrize(
    ("A", "b", "options", "error", "match"),
    [
        ([[np.nan, 0], [0, 1]], [1, 1], {}, ValueError, r"`A` must be finite.*A\[0, 0\] = nan"),
        (np.eye(2), [np.inf, 1], {}, ValueError, "`b` must be finite"),
        (np.empty((0, 2)), [], {}, ValueError, "at least one row"),
        (np.eye(2), [0, 0], {}, ValueError, "`b` must not be zero"),
        (np.zeros((2, 2)), [1, 0], {}, ValueError, "must not be the zero matrix"),
        (np.diag([1.0, 0.0]), [0, 1], {}, ValueError, "kernel"),
        (-np.eye(2), [1, 0], {"signed": False}, ValueError, "negative eigenvalues"),
        (np.eye(2), [1, 0], {"window": "flat"}, ValueError, "`window` must be one of"),
        (np.eye(2), [1, 0], {"filter": "power"}, ValueError, "must be one of 'inverse', 'ridge', 'threshold'"),
        (np.eye(2), [1, 0], {"ridge": 1.0}, ValueError, "`filter` must be"),
        (np.eye(2), [1, 0], {"filter": "threshold", "threshold": 2.0}, ValueError, "`threshold` must leave a part"),
        (np.eye(2), [1, 0], {"C": 50.0, "below": "zero"}, ValueError, "some success probability"),
        (np.eye(2), [1, 0], {"trotter": (3, 1)}, ValueError, "the order, must be 1, 2 or 4; got 3"),
        (np.eye(2), [1, 0], {"trotter": (2, 0)}, ValueError, r"`trotter\[1\]` must be an integer >= 1"),
        (np.eye(2), [1, 0], {"trotter": 2}, ValueError, "pair"),
        (np.eye(2), [1, 0], {"trotter": (1, 1), "phase_map": "walk"}, ValueError, "`trotter` must be None"),
        (np.eye(2), [1, 0], {"phase_map": "jump"}, ValueError, "`phase_map` must be one of"),
        (np.eye(2), [1, 0], {"phase_map": "walk", "alpha": 0.5}, ValueError, r"`alpha` must be at least \|A\|"),
        (np.eye(2), [1, 0], {"phase_map": "walk", "evolution_time": 1.0}, ValueError, "must be 'auto' for phase_map"),
        (np.eye(2), [1, 0], {"trotter": (2, 1.5)}, TypeError, r"`trotter\[1\]` must be an integer"),
        (np.eye(2), [1, 0], {"shots": 0}, ValueError, "`shots` must be an integer >= 1"),
        (np.eye(2), [1, 0], {"shots": 10.0}, TypeError, "`shots` must be an integer"),
        (np.eye(2), [1, 0], {"depolarising": 1.5}, ValueError, r"probability in \[0, 1\]; got 1.5"),
        (np.eye(2), [1, 0], {"depolarising": -0.1}, ValueError, "`depolarising` must be"),
        (np.eye(2), [1, 0], {"depolarising": np.nan}, ValueError, "`depolarising` must be"),
        (np.eye(2), [1, 0], {"rng": "seed"}, TypeError, "`rng` must be"),
    ],
)
def test_bad_input_is_a_clear_error(A, b, options, error, match):
    with pytest.raises(error, match=match):
        hhl_gates(A, b, n_clock_qubits=3, **options)


def test_inputs_are_not_modified():
    A, b = toeplitz(4), first(4)
    hhl_gates(A, b, n_clock_qubits=3, depolarising=0.01)
    np.testing.assert_array_equal(A, toeplitz(4))
    np.testing.assert_array_equal(b, first(4))
