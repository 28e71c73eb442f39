"""Properties that every run must have, on random systems."""

from __future__ import annotations

import numpy as np
import pytest
from baselines.gate_level import dilation, gate_level_hhl, naive_rotation
from baselines.systems import random_orthogonal
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.baselines import hhl
from qinspired.baselines.quantum._phase_estimation import clock_window, mixed_overlap, respond

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=st.integers(1, 6), t=st.integers(2, 7))
def test_probabilities_and_fidelities_are_consistent(seed, n, t):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((n, n)), rng.standard_normal(n)
    result = hhl(A + A.T, b, n_clock_qubits=t)
    assert 0.0 < result.success_probability <= result.success_probability_ancilla * (1 + 1e-12)
    assert result.success_probability_ancilla <= 1.0 + 1e-12
    assert result.fidelity <= 1.0 + 1e-12
    assert result.fidelity_mixed <= 1.0 + 1e-12
    assert result.expected_runs <= 1.0 / result.success_probability + 1e-9
    assert np.linalg.norm(result.state) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, t=st.integers(3, 8))
def test_filter_is_odd_for_a_signed_register(seed, t):
    values = np.random.default_rng(seed).uniform(0.1, 1.0, 4)
    curve = hhl(np.diag(np.r_[values, -values]), np.ones(8), n_clock_qubits=t).filter_curve
    order = np.argsort(curve.values)
    np.testing.assert_allclose(curve.applied[order], -curve.applied[order][::-1], atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_scaling_the_matrix_and_the_time_changes_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((5, 3)), rng.standard_normal(5)
    one = hhl(A, b, n_clock_qubits=6, evolution_time=0.7, C=0.1)
    other = hhl(scale * A, b, n_clock_qubits=6, evolution_time=0.7 / scale, C=0.1 * scale)
    assert other.success_probability == pytest.approx(one.success_probability, rel=1e-8)
    assert other.fidelity == pytest.approx(one.fidelity, abs=1e-8)
    assert other.norm == pytest.approx(one.norm / scale, rel=1e-8)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_basis_of_a_degenerate_eigenspace_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    Q, b = random_orthogonal(rng, 4), rng.standard_normal(4)
    A = (Q * [1.0, 1.0, 1.0, 2.0]) @ Q.T
    projector = np.outer(Q[:, 3], Q[:, 3])
    result = hhl((A + A.T) / 2, b, n_clock_qubits=5, evolution_time=1.3, C=0.8)
    curve = result.filter_curve
    h = {round(v): f * 0.8 for v, f in zip(curve.values, curve.applied, strict=True)}
    kept = (h[1] * (np.eye(4) - projector) + h[2] * projector) @ (b / np.linalg.norm(b))
    np.testing.assert_allclose(result.state, kept / np.linalg.norm(kept), atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n=st.integers(1, 6), rank=st.integers(1, 6))
def test_right_hand_side_in_the_kernel_is_refused_and_a_part_there_changes_no_state(seed, n, rank):
    rng = np.random.default_rng(seed)
    Q, values = random_orthogonal(rng, n + 1), rng.uniform(0.3, 1.0, n + 1)
    kernel = min(rank, n)
    values[:kernel] = 0.0
    A = (Q * values) @ Q.T
    inside, outside = Q[:, kernel:] @ rng.uniform(0.5, 1.0, n + 1 - kernel), Q[:, 0]
    with pytest.raises(ValueError, match="`b` must have a part in the range of `A`"):
        hhl((A + A.T) / 2, outside, n_clock_qubits=6)
    one, both = (hhl((A + A.T) / 2, b, n_clock_qubits=6) for b in (inside, inside + outside))
    np.testing.assert_allclose(both.x, one.x, atol=1e-9 * one.norm)
    assert any("`A` is singular" in text for text in both.warnings)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, m=st.integers(1, 5), n=st.integers(1, 5), window=st.sampled_from(["hadamard", "sine"]))
def test_fidelity_tends_to_one_as_the_clock_grows(seed, m, n, window):
    rng = np.random.default_rng(seed)
    U, V = random_orthogonal(rng, m), random_orthogonal(rng, n)
    s, b = rng.uniform(0.2, 1.0, min(m, n)), U[:, 0] + rng.standard_normal(m)
    A = (U[:, : len(s)] * s) @ V[:, : len(s)].T
    few, many = (hhl(A, b, n_clock_qubits=t, window=window) for t in (6, 15))
    assert 1.0 - many.fidelity <= 1e-5
    if window == "hadamard":  # the sine window rotates a part of what is outside the column space
        assert 1.0 - many.fidelity_mixed <= 1e-2
    assert many.l2_error <= max(few.l2_error, 1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, t=st.integers(2, 5), signed=st.booleans())
def test_threshold_on_a_representable_spectrum_is_the_exact_projector(seed, t, signed):
    rng = np.random.default_rng(seed)
    T, n = 2**t, int(rng.integers(2, 6))
    registers = rng.integers(1, T // 2 if signed else T, n) * (rng.choice([-1.0, 1.0], n) if signed else 1.0)
    Q, b = random_orthogonal(rng, n), rng.standard_normal(n)
    A, threshold = (Q * registers) @ Q.T, float(np.abs(registers).max()) / 2
    kept = Q[:, np.abs(registers) >= threshold]
    result = hhl(
        (A + A.T) / 2,
        b,
        n_clock_qubits=t,
        evolution_time=2 * np.pi / T,
        signed=signed,
        filter="threshold",
        threshold=threshold,
    )
    np.testing.assert_allclose(result.x, kept @ (kept.T @ b), atol=1e-9 * np.linalg.norm(b))
    assert result.success_probability_ancilla == pytest.approx(result.success_probability, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, m=st.integers(1, 4), n=st.integers(1, 4), t=st.integers(2, 6))
def test_probabilities_of_both_ancilla_states_add_up_to_one(seed, m, n, t):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((m, n)), rng.standard_normal(m)
    result = hhl((A, A @ A.T)[m == n], b, n_clock_qubits=t, signed=True)
    t0, C = result.parameters["evolution_time"], result.parameters["C"]
    H = A @ A.T if m == n else dilation(A)
    r = naive_rotation(t, t0, C, signed=True)
    _, p10, p1, p0, _ = gate_level_hhl(H, np.r_[b, np.zeros(len(H) - m)], t=t, t0=t0, rotation=r)
    assert p0 + result.success_probability_ancilla == pytest.approx(1.0, abs=1e-10)
    assert p1 == pytest.approx(result.success_probability_ancilla, abs=1e-10)
    assert p10 == pytest.approx(result.success_probability, abs=1e-10)


choices = st.fixed_dictionaries(
    {
        "window": st.sampled_from(["hadamard", "sine"]),
        "below": st.sampled_from(["clip", "zero"]),
        "phase_map": st.sampled_from(["hamiltonian", "walk"]),
        "filter": st.sampled_from(["inverse", "ridge", lambda v: v**3]),
        "rotation_bits": st.sampled_from([None, 12]),
    }
)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, m=st.integers(1, 6), n=st.integers(1, 6), t=st.integers(4, 8), options=choices)
def test_every_choice_of_parameters_gives_probabilities_in_order(seed, m, n, t, options):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((m, n)) + 1j * rng.standard_normal((m, n)), rng.standard_normal(m)
    result = hhl(A, b, n_clock_qubits=t, **options)
    p10, p1 = result.success_probability, result.success_probability_ancilla
    assert 0.0 < p10 <= p1 * (1 + 1e-12)
    assert p1 <= 1.0 + 1e-12
    assert result.fidelity <= 1.0 + 1e-12
    # The clock at 0 is one of the ways in which the ancilla can be 1.
    assert result.fidelity_mixed * p1 >= result.fidelity * p10 * (1 - 1e-9) - 1e-12
    assert result.l2_error == pytest.approx(np.sqrt(max(0.0, 2 - 2 * np.sqrt(result.fidelity))), abs=1e-6)
    assert result.norm == pytest.approx(np.linalg.norm(b) * np.sqrt(p10) / result.parameters["C"], rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_scaling_the_matrix_and_the_norm_of_its_encoding_changes_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((4, 4)), rng.standard_normal(4)
    one = hhl(A, b, n_clock_qubits=6, phase_map="walk", alpha=9.0, C=0.3)
    other = hhl(scale * A, b, n_clock_qubits=6, phase_map="walk", alpha=9.0 * scale, C=0.3 * scale)
    assert other.success_probability == pytest.approx(one.success_probability, rel=1e-8)
    assert other.fidelity_mixed == pytest.approx(one.fidelity_mixed, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, t=st.integers(1, 9), window=st.sampled_from(["hadamard", "sine"]), halves=st.booleans())
def test_closed_forms_equal_the_sums_that_define_them(seed, t, window, halves):
    rng = np.random.default_rng(seed)
    T = 2**t
    # On, beside and between registers, at the wrap, and anywhere.
    near = [0.0, 0.5, -0.5, 1 / T, 0.5 / T, -0.5 / T, -1.5 / T, 1e-13, (1 - 1e-9) / T, (0.5 + 1e-11) / T, 0.5 - 1e-12]
    phases = np.r_[near, rng.uniform(-0.5, 0.5, 10), rng.uniform(0.0, 1.0, 5)]
    r = rng.uniform(-1.0, 1.0, T)
    weights = rng.standard_normal(len(phases)) + 1j * rng.standard_normal(len(phases))
    tau = np.arange(T)
    turns = np.exp(2j * np.pi * np.outer(phases, tau))
    alpha = (clock_window(T, window) * turns) @ np.exp(-2j * np.pi * np.outer(tau, tau) / T) / np.sqrt(T)
    h, q = respond(phases, r, window=window)
    np.testing.assert_allclose(h, np.abs(alpha) ** 2 @ r, atol=1e-11)
    np.testing.assert_allclose(q, np.abs(alpha) ** 2 @ r**2, atol=1e-11)
    s = (alpha * r) @ np.exp(2j * np.pi * np.outer(tau, tau) / T) / np.sqrt(T) * turns.conj()
    expected = np.sum(np.abs(weights @ (s.real if halves else s)) ** 2)
    found = mixed_overlap(phases, weights, r, window=window, halves=halves)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
