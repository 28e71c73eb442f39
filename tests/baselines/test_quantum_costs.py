from __future__ import annotations

import dataclasses
import json
import re
import sys
from math import ceil, comb, log, log2, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import P_LOWEST
from scipy import special, stats

from qinspired.baselines import QuantumCosts, hhl, quantum_costs
from qinspired.baselines.quantum import _cost_formulas as formulas
from qinspired.baselines.quantum._polynomials import optimal
from qinspired.baselines.quantum._query_counts import optimal_terms

SIGMA = np.linspace(10.0, 1.0, 20)
# Rank 20, 1% of 1e5 x 1e4 entries stored.
EXAMPLE = {
    "shape": (100_000, 10_000),
    "frobenius_norm": float(np.linalg.norm(SIGMA)),
    "sigma_max": 10.0,
    "sigma_min": 1.0,
    "rank": 20,
    "n_stored": 10_000_000,
}
KNOWN, UNKNOWN = "Dalzell, norm known", "Dalzell, norm unknown"
PROVEN, FOUND = "discrete adiabatic, proven", "discrete adiabatic, empirical"
QSVT, CKS, RECOMMENDER = "QSVT, optimal polynomial", "Childs-Kothari-Somma", "quantum recommender"
THEOREMS = (KNOWN, UNKNOWN, PROVEN, FOUND)


def assert_same_costs(found, wanted, rel):
    for ours, theirs in zip(found.lines, wanted.lines, strict=True):
        assert (ours.algorithm, ours.basis) == (theirs.algorithm, theirs.basis)
        for name in ("queries", "state_preparations", "toffoli", "logical_qubits", "success_probability"):
            one, other = getattr(ours, name), getattr(theirs, name)
            assert one == (other if other is None else pytest.approx(other, rel=rel))


def digits(value, n):
    return float(f"{value:.{n - 1}e}")


def orthonormal(rng, m, r):
    return np.linalg.qr(rng.standard_normal((m, r)))[0]


def system(seed=0, m=12, n=9, values=None):
    rng = np.random.default_rng(seed)
    values = np.linspace(2.0, 0.5, n) if values is None else np.asarray(values)
    U, V = orthonormal(rng, m, len(values)), orthonormal(rng, n, len(values))
    return U, values, V.T, U @ rng.standard_normal(len(values))


# The worked example


def test_worked_example_has_the_known_condition_numbers_and_queries():
    costs = quantum_costs(EXAMPLE, tolerance=1e-2, output="sample", count="loads")
    assert costs.kappa == pytest.approx(10.0, rel=1e-12)
    assert round(costs.kappa_encoding, 3) == 27.463
    assert [round(costs[name].queries, 1) for name in (KNOWN, UNKNOWN, FOUND)] == [155.0, 1670.7, 196.0]
    assert all(line.kappa == costs.kappa and line.kappa_encoding == costs.kappa_encoding for line in costs.lines)


def test_worked_example_has_the_known_gates_and_seconds():
    costs = quantum_costs(EXAMPLE, tolerance=1e-2, output="sample", count="loads")
    assert digits(costs.load_toffoli, 3) == 3.10e4
    assert digits(costs.load_ancillas, 2) == 1.5e4
    line = costs[KNOWN]
    assert digits(line.toffoli / line.queries, 3) == 1.24e5
    seconds = line.projected_seconds
    assert [digits(seconds[c], k) for c, k in (("optimistic", 2), ("mid", 3), ("conservative", 2))] == [19, 192, 3.3e3]


def test_worked_example_of_a_vector_takes_56_days_for_magnitudes_and_as_many_again_for_signs():
    costs = quantum_costs(EXAMPLE, tolerance=1e-2, output="magnitudes", readout_tolerance=0.1, count="loads")
    assert costs[KNOWN].runs == pytest.approx(2.5e5, rel=1e-9)
    assert round(costs[KNOWN].projected_seconds["optimistic"] / 86400) == 56
    signed = quantum_costs(EXAMPLE, tolerance=1e-2, output="vector", readout_tolerance=0.1, count="loads")
    assert signed[KNOWN].projected_seconds["mid"] == pytest.approx(2 * costs[KNOWN].projected_seconds["mid"])


def test_counting_everything_adds_the_preparations_and_the_rotations():
    loads = quantum_costs(EXAMPLE, output="sample", count="loads")
    whole = quantum_costs(EXAMPLE, output="sample")
    for few, all_of_it in zip(loads.lines, whole.lines, strict=True):
        if few.toffoli is None:
            continue
        assert few.toffoli == few.toffoli_loading == all_of_it.toffoli_loading
        assert all_of_it.toffoli == pytest.approx(
            all_of_it.toffoli_loading + all_of_it.toffoli_preparation + all_of_it.toffoli_rotations, rel=1e-12
        )
    line = whole[KNOWN]
    # 14 and 17 qubits number columns and rows; b of 1e5 words is loaded and unloaded.
    assert line.toffoli_rotations == pytest.approx(line.queries * 25 * (17 + 14), rel=1e-12)
    per_preparation = 2 * formulas.qrom(100_000, 24).toffoli + 24 * 17
    assert line.toffoli_preparation == pytest.approx(2 * line.queries * per_preparation, rel=1e-12)
    assert 1.05 < line.toffoli / line.toffoli_loading < 1.15
    assert line.logical_qubits == 2 * 17 + 1 + whole.load_ancillas + 3


# Loading


@pytest.mark.parametrize(("n_words", "toffoli"), [(2**10, 892), (2**14, 3964), (2**20, 32636)])
def test_restored_lookup_has_the_gates_of_pennylane(n_words, toffoli):
    assert formulas.qrom(n_words, 32, power_of_two=True, restored=True).toffoli == toffoli


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize(("n_words", "bits"), [(2**10, 32), (2**14, 32), (10**5, 8), (10**7, 24)])
def test_lookup_has_the_gates_that_pennylane_counts_now(n_words, bits, restored):
    qre = pytest.importorskip("pennylane.estimator")
    found = formulas.qrom(n_words, bits, power_of_two=True, restored=restored)
    theirs = qre.estimate(qre.QROM(n_words, bits, restored=restored, select_swap_depth=found.width))
    assert found.toffoli == theirs.gate_counts["Toffoli"]
    address = ceil(log2(n_words))
    assert found.ancillas == theirs.total_wires - address  # pennylane's wires are the address, the word and the rest


@pytest.mark.parametrize("restored", [False, True])
@given(n_words=st.integers(1, 3000), bits=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_lookup_is_the_cheapest_of_all_widths(restored, n_words, bits):
    def naive(width):
        again = restored and width > 1
        select = max(0, ceil(n_words / width) - 2)
        return (2 if again else 1) * select + (4 if again else 1) * bits * (width - 1)

    least = min(naive(width) for width in range(1, n_words + 1))
    powers = min(naive(1 << k) for k in range(n_words.bit_length()))
    # The ceiling makes the sum uneven by less than one part of it.
    assert least <= formulas.qrom(n_words, bits, restored=restored).toffoli <= least + (4 if restored else 2)
    assert formulas.qrom(n_words, bits, restored=restored, power_of_two=True).toffoli == powers


def test_widths_that_are_powers_of_two_cost_at_most_six_percent_more():
    sizes = [int(10 ** (5 + k / 20)) for k in range(60)]
    ratios = [formulas.qrom(L, 24, power_of_two=True).toffoli / formulas.qrom(L, 24).toffoli for L in sizes]
    assert 1.04 < max(ratios) < 1.0615  # (sqrt(2) + 1/sqrt(2))/2 = 1.0607
    assert min(ratios) >= 1.0


def test_one_lookup_stands_for_those_of_the_levels_of_a_tree_within_the_factor_that_is_told():
    depth, bits = 26, 24
    each_level = sum(formulas.qrom(2**level, bits).toffoli for level in range(depth))
    ratio = each_level / formulas.qrom(2**depth, bits).toffoli
    assert 2.35 < ratio < 1.0 + sqrt(2.0)
    assert any("up to 1 + sqrt 2 = 2.4 times the gates" in text for text in quantum_costs(EXAMPLE).assumptions)


def test_free_lookups_are_no_default_and_are_named_an_assumption():
    gates = quantum_costs(EXAMPLE, output="sample")
    free = quantum_costs(EXAMPLE, output="sample", loading="qram")
    assert gates.loading == "qrom"
    assert not any("QRAM" in text for text in gates.assumptions)
    assert any("QRAM: lookups are free" in text for text in free.assumptions)
    assert free[KNOWN].toffoli_loading == 0.0
    assert 0.0 < free[KNOWN].toffoli < 0.05 * gates[KNOWN].toffoli
    assert free[KNOWN].queries == gates[KNOWN].queries


# Formulas


@pytest.mark.parametrize(("tau", "degree"), [(1, 5), (10, 18), (100, 116), (1000, 1032)])
def test_simulation_degree_has_the_known_values(tau, degree):
    assert formulas.simulation_degree(tau, 1e-3) == degree


@given(tau=st.floats(1e-3, 3000.0), exponent=st.floats(-9.0, -0.5))
@settings(max_examples=40, deadline=None)
def test_simulation_degree_is_the_least_of_a_naive_search(tau, exponent):
    terms = np.abs(special.jv(np.arange(int(2 * tau) + 200), tau))
    tolerance = 10.0**exponent
    k = 0
    while 2.0 * terms[k:].sum() > tolerance:
        k += 1
    assert abs(formulas.simulation_degree(tau, tolerance) - k) <= (1 if tolerance < 1e-8 else 0)


def test_series_cut_at_the_degree_is_within_the_tolerance_of_the_exponential():
    tau, tolerance = 37.0, 1e-3
    x = np.linspace(-1.0, 1.0, 2001)
    orders = np.arange(formulas.simulation_degree(tau, tolerance))
    waves = np.cos(np.outer(np.arccos(x), orders))
    series = waves @ (np.where(orders == 0, 1.0, 2.0) * (1j**orders) * special.jv(orders, tau))
    assert np.abs(series - np.exp(1j * tau * x)).max() <= tolerance


def test_simulation_degree_of_long_evolutions_follows_the_law_of_the_shorter(monkeypatch):
    exact = formulas.simulation_degree(9e5, 1e-6) - 9e5
    monkeypatch.setattr(formulas, "_LARGEST_TAU", 1e4)
    assert formulas.simulation_degree(9e5, 1e-6) - 9e5 == pytest.approx(exact, rel=0.02)


def naive_optimal(x, kappa, tolerance):
    """1/x times one less a ratio of Chebyshev polynomials, by the recurrence."""
    gap_sq = kappa**-2.0
    degree = ceil(np.arccosh(1 / tolerance) / np.arccosh((1 + gap_sq) / (1 - gap_sq)))

    def chebyshev(z):
        before, now = np.ones_like(z), z
        for _ in range(degree - 1):
            before, now = now, 2 * z * now - before
        return now

    top = chebyshev(np.array((1 + gap_sq) / (1 - gap_sq)))
    return (1 - chebyshev((1 + gap_sq - 2 * x**2) / (1 - gap_sq)) / top) / x


@pytest.mark.parametrize(
    ("kappa", "tolerance", "cks"),
    [(2, 1e-2, 1.52), (10, 1e-2, 1.68), (10, 1e-8, 2.91), (100, 1e-2, 1.94), (100, 1e-4, 2.37)],
)
def test_peak_of_the_smooth_inverse_is_the_known_one(kappa, tolerance, cks):
    assert formulas.cks_peak(kappa, tolerance) / kappa == pytest.approx(cks, abs=0.006)


def test_condition_numbers_next_to_rounding_have_finite_costs():
    costs = quantum_costs(
        {"shape": (9, 9), "frobenius_norm": 1.1, "sigma_max": 1.0, "sigma_min": 1e-13}, tolerance=1e-3
    )
    kappa = costs.kappa_encoding
    for name in (*THEOREMS, QSVT, CKS):
        assert kappa < costs[name].queries < np.inf
    # Chebyshev polynomials at large order are exponentials: the shape of P no longer depends on kappa.
    peaks = [optimal(k, optimal_terms(k, 1e-3)).largest / k for k in (kappa, 1e4)]
    assert peaks[0] == pytest.approx(peaks[1], rel=1e-4)
    assert costs["HHL"].queries is None
    spread = quantum_costs((np.eye(2), [1.0, 1e-11], np.eye(2)), [1.0, 1.0], tolerance=0.1)
    assert spread["HHL"].basis == "asymptotic only"
    assert np.isfinite(spread[QSVT].queries)


def test_peak_of_the_smooth_inverse_bounds_that_of_the_truncated_polynomial():
    kappa, tolerance = 4.0, 1e-2
    b = ceil(kappa**2 * log(kappa / tolerance))
    j0 = ceil(sqrt(b * log(4 * b / tolerance)))
    tails = [sum(comb(2 * b, b + i) for i in range(j + 1, b + 1)) / 4.0**b for j in range(j0 + 1)]
    coefficients = np.zeros(2 * j0 + 2)
    coefficients[1::2] = [4 * (-1) ** j * tail for j, tail in enumerate(tails)]
    x = np.linspace(1e-4, 1.0, 20001)
    polynomial = np.polynomial.chebyshev.chebval(x, coefficients)
    assert np.abs(polynomial - formulas.cks_response(x, kappa, tolerance)).max() <= tolerance
    assert np.abs(polynomial).max() <= formulas.cks_peak(kappa, tolerance) <= np.abs(polynomial).max() + 2 * tolerance


@pytest.mark.parametrize("delta", [0.3, 1e-2, 1e-3])
def test_amplitude_estimation_takes_the_fewest_points_of_its_bound(delta):
    def bound(points):
        return 2 * np.pi / points + 2 * np.pi**2 / points**2

    points = formulas.amplitude_estimation_uses(delta)
    assert bound(points) <= delta < bound(points - 1)


@pytest.mark.parametrize("mean", [-0.9, 0.0, 0.123, 0.7])
def test_amplitude_estimation_keeps_its_promise(mean):
    delta = 0.05
    points = formulas.amplitude_estimation_uses(delta)
    theta = np.arcsin(np.sqrt((1 + mean) / 2)) / np.pi
    k = np.arange(points)

    def law(phase):
        amplitudes = np.exp(2j * np.pi * np.outer(phase - k / points, np.arange(points))).sum(axis=1) / points
        return np.abs(amplitudes) ** 2

    chances = (law(theta) + law(-theta)) / 2
    means = 2 * np.sin(np.pi * k / points) ** 2 - 1
    assert chances.sum() == pytest.approx(1.0)
    assert chances[np.abs(means - mean) <= delta].sum() >= 8 / np.pi**2


def test_copies_of_tomography_give_the_expected_error_and_half_of_them_do_not():
    rng = np.random.default_rng(5)
    size, delta, repeats = 64, 0.05, 400
    x = rng.standard_normal(size)
    law = x**2 / (x @ x)

    def errors_sq(copies):
        counts = rng.multinomial(copies, law, size=repeats)
        return ((np.sqrt(counts / copies) - np.sqrt(law)) ** 2).sum(axis=1)

    copies = ceil(formulas.tomography_copies(size, delta))
    right, wrong = errors_sq(copies), errors_sq(copies // 2)
    # Rare entries make the law of a size a little wider than 1/(4N), by less than 10% here.
    assert stats.ttest_1samp(right, 1.1 * delta**2, alternative="greater").pvalue > P_LOWEST
    assert stats.ttest_1samp(wrong, 1.1 * delta**2, alternative="greater").pvalue < P_LOWEST
    assert formulas.tomography_copies_bound(size, delta) == ceil(36 * 64 * log(64) / 0.0025)


# Instances


def test_queries_of_qsvt_are_those_of_the_polynomial_of_the_matrix():
    A, b = np.diag([1.0, 0.7, 0.4]) + 0.1, np.array([1.0, -2.0, 0.5])
    tolerance = 1e-3
    line = quantum_costs(A, b, tolerance=tolerance, output="sample")[QSVT]
    B, unit = A / np.linalg.norm(A), b / np.linalg.norm(b)
    kappa = 1.0 / np.linalg.svd(B, compute_uv=False)[-1]
    gap_sq = kappa**-2.0
    terms = ceil(np.arccosh(1 / tolerance) / np.arccosh((1 + gap_sq) / (1 - gap_sq)))
    z = ((1 + gap_sq) * np.eye(3) - 2 * B @ B.T) / (1 - gap_sq)
    before, now = unit, z @ unit
    top_before, top = 1.0, (1 + gap_sq) / (1 - gap_sq)
    z_0 = top
    for _ in range(terms - 1):
        before, now = now, 2 * z @ now - before
        top_before, top = top, 2 * z_0 * top - top_before
    applied = np.linalg.solve(B, unit - now / top)
    assert np.linalg.norm(applied - np.linalg.solve(B, unit)) <= tolerance * np.linalg.norm(applied) * (1 + tolerance)
    grid = np.linspace(1e-4, 1.0, 400_001)
    p = float(applied @ applied) / np.abs(naive_optimal(grid, kappa, tolerance)).max() ** 2
    assert line.success_probability == pytest.approx(p, rel=1e-6)
    theta = np.arcsin(np.sqrt(p))
    turns = min([1 / p] + [(2 * m + 1) / np.sin((2 * m + 1) * theta) ** 2 for m in [int(np.pi / (4 * theta))] if m])
    assert line.queries == pytest.approx((2 * terms - 1) * turns, rel=1e-5)
    assert line.state_preparations == pytest.approx(turns, rel=1e-5)
    assert line.basis == "exact instance"


def test_least_success_probability_is_below_that_of_any_right_hand_side():
    U, s, Vt, _ = system()
    without = quantum_costs((U, s, Vt), output="sample")
    assert without[QSVT].basis == "proven bound"
    for column in range(len(s)):
        with_b = quantum_costs((U, s, Vt), U[:, column], output="sample")
        for name in (QSVT, CKS):
            assert without[name].success_probability <= with_b[name].success_probability * (1 + 1e-9)
            assert with_b[name].success_probability <= 1.0


def test_childs_kothari_somma_never_takes_fewer_queries_than_the_optimal_polynomial():
    U, s, Vt, b = system()
    for tolerance in (0.1, 1e-2, 1e-4):
        costs = quantum_costs((U, s, Vt), b, tolerance=tolerance)
        assert costs[CKS].queries > costs[QSVT].queries
        assert costs[CKS].basis == "proven bound"


def test_queries_of_hhl_are_those_of_the_simulated_circuit():
    U, s, Vt, b = system(values=[1.0, 0.6, 0.35, 0.2])
    b = b + 0.3 * np.random.default_rng(3).standard_normal(12)
    tolerance = 0.02
    line = quantum_costs((U, s, Vt), b, tolerance=tolerance, output="sample")["HHL"]
    assert_hhl_line((U, s, Vt), b, s, tolerance, line, first=2)
    assert "singular basis" in line.note


def assert_hhl_line(A, b, s, tolerance, line, *, first):
    """Search both windows by `hhl` itself."""
    found = []
    for window in ("hadamard", "sine"):
        runs = ((t, hhl(A, b, n_clock_qubits=t, window=window)) for t in range(first, 16))
        t, run = next(((t, run) for t, run in runs if run.l2_error <= 0.9 * tolerance), (0, None))
        if run is None:
            assert "the other window was out of reach" in line.note
            continue
        each = 0.05 * tolerance * sqrt(run.success_probability) / (2 * t)
        times = [np.linalg.norm(s) * run.parameters["evolution_time"] * 2**i for i in range(t)]
        found.append((sum(12 * formulas.simulation_degree(x, each) for x in times) * run.expected_runs, t, run, window))
    queries, t, run, window = min(found, key=lambda each: each[0])
    assert line.queries == pytest.approx(queries, rel=1e-9)
    assert line.success_probability == pytest.approx(run.success_probability, rel=1e-9)
    assert line.state_preparations == pytest.approx(run.expected_runs)
    assert line.basis == "exact instance"
    assert f"{t} clock qubits and the {window} window" in line.note
    assert f"from {first} on" in line.note


@pytest.mark.parametrize(
    ("values", "first"),
    [([1.0, 0.6, 0.35, 0.2], 1), ([1.0, -0.6, 0.35, -0.2], 2), ([1.0, 0.5, 0.2, 0.0], 1)],
)
def test_hermitian_matrix_is_searched_in_its_eigenbasis(values, first):
    Q = orthonormal(np.random.default_rng(4), 4, 4)
    A, b = (Q * values) @ Q.T, Q @ [1.0, -1.0, 0.5, 0.3]
    line = quantum_costs(A, b, tolerance=0.05, output="sample")["HHL"]
    assert_hhl_line(A, b, values, 0.05, line, first=first)
    assert "eigenbasis" in line.note
    # Eigenvalues that fit the registers take fewer clock qubits than kappa of the block encoding would tell.
    easy = quantum_costs(np.diag([1.0, 0.01]), [1.0, 0.0], tolerance=0.05)["HHL"]
    assert easy.note.startswith("1 clock qubits")


def test_extrapolated_degrees_are_no_exact_instance(monkeypatch):
    U, s, Vt, b = system()
    exact = quantum_costs((U, s, Vt), b, tolerance=0.05)["HHL"]
    monkeypatch.setattr(formulas, "_LARGEST_TAU", 10.0)
    line = quantum_costs((U, s, Vt), b, tolerance=0.05)["HHL"]
    assert (exact.basis, line.basis) == ("exact instance", "empirical constant")
    assert "extrapolated" in line.note
    assert "extrapolated" not in exact.note


def test_another_block_encoding_changes_the_queries_in_proportion():
    usual = quantum_costs(EXAMPLE, output="sample")
    other = quantum_costs(EXAMPLE, output="sample", alpha=2.0 * EXAMPLE["frobenius_norm"])
    assert other[KNOWN].queries == pytest.approx(2.0 * usual[KNOWN].queries)
    assert quantum_costs(EXAMPLE, alpha=10.0).kappa_encoding == pytest.approx(10.0)
    back = other.as_dict()
    assert (back["alpha"], back["alpha_rule"]) == (2.0 * EXAMPLE["frobenius_norm"], "given")
    assert usual.as_dict()["alpha_rule"] == "frobenius"
    assert "alpha = 54.9" in other.explain()
    assert any("given scale alpha" in text for text in other.assumptions)
    U, s, Vt, b = system()
    low, high = (quantum_costs((U, s, Vt), b, alpha=alpha, tolerance=0.05) for alpha in (s[0], 3.0 * s[0]))
    for name in (QSVT, CKS, "HHL"):
        assert low[name].queries < high[name].queries


def test_predictions_say_which_lines_repeat_until_success():
    U, s, Vt, b = system()
    costs = quantum_costs((U, s, Vt), b, tolerance=0.05, output="prediction")
    for name in ("HHL", QSVT, CKS, PROVEN):
        assert "repeats until success" in costs[name].note
    assert "repeats until success" not in costs[KNOWN].note
    assert any("amplified close to 1" in text for text in costs.assumptions)
    assert "amplified close to 1" in costs.explain()
    assert "amplified close to 1" not in quantum_costs((U, s, Vt), b, tolerance=0.05).explain()


def test_hhl_without_right_hand_side_or_out_of_reach_carries_no_number(monkeypatch):
    U, s, Vt, b = system()
    assert quantum_costs((U, s, Vt))["HHL"].queries is None
    monkeypatch.setattr("qinspired.baselines.quantum._cost_solvers._LARGEST_SIMULATION", 64)
    line = quantum_costs((U, s, Vt), b)["HHL"]
    assert line.basis == "asymptotic only"
    assert line.queries is None
    assert line.projected_seconds is None


def test_hhl_takes_most_queries_and_the_known_norm_fewest():
    U, s, Vt, b = system()
    costs = quantum_costs((U, s, Vt), b, tolerance=1e-3)
    assert costs["HHL"].queries > 10 * costs[QSVT].queries > costs[KNOWN].queries


# Inputs


def test_every_form_of_the_data_gives_the_same_lines():
    U, s, Vt, b = system()
    A = U * s @ Vt
    fields = {
        "shape": A.shape,
        "frobenius_norm": np.linalg.norm(s),
        "sigma_max": s[0],
        "sigma_min": s[-1],
        "rank": 9,
        "n_stored": A.size,
    }
    spec = dataclasses.make_dataclass("Conditions", fields)(**fields)
    estimates = SimpleNamespace(
        shape=A.shape,
        frobenius_norm=float(np.linalg.norm(s)),
        norm=SimpleNamespace(value=float(s[0])),
        sigma_min=SimpleNamespace(value=float(s[-1])),
    )
    wanted = quantum_costs(A)
    for form in (sp.csr_array(A), sp.coo_matrix(A), A.tolist(), (U, s, Vt), fields, spec, estimates, A.astype(complex)):
        assert_same_costs(quantum_costs(form), wanted, 1e-9)
    with_b = quantum_costs(A, b, tolerance=0.05)
    for form in (sp.csr_array(A), (U, s, Vt), A.astype(complex)):
        assert_same_costs(quantum_costs(form, b, tolerance=0.05), with_b, 1e-6)


def test_complex_system_costs_what_its_rotated_real_twin_costs():
    U, s, Vt, b = system()
    turn = np.exp(1j * np.arange(12))
    found = quantum_costs(turn[:, None] * (U * s @ Vt), turn * b, tolerance=0.05)
    assert_same_costs(found, quantum_costs(U * s @ Vt, b, tolerance=0.05), 1e-6)


def test_list_of_the_parts_of_an_svd_is_refused_by_name():
    U, s, Vt, _ = system()
    with pytest.raises(TypeError, match=r"`A` must be a tuple \(U, s, Vt\) where it is given by its SVD; got a list"):
        quantum_costs([U, s, Vt])


def test_only_stored_words_are_loaded():
    A = sp.eye_array(50, format="csr") + sp.csr_array(([2.0], ([0], [7])), shape=(50, 50))
    assert quantum_costs(A).n_stored == 51
    assert quantum_costs(A.toarray()).n_stored == 51
    U, s, Vt, _ = system()
    assert quantum_costs((U, s, Vt)).n_stored == 108
    assert quantum_costs((U, s, Vt), density=0.1).n_stored == 11
    given = {"shape": (1234, 567), "frobenius_norm": 1.0, "sigma_max": 1.0, "sigma_min": 1.0}
    for k in range(1, 200):  # a tenth of these shares of all entries are above k/(m n) in float64
        assert quantum_costs(given, density=k / (1234 * 567)).n_stored == k
    sparse_b = np.eye(50)[0]
    assert (
        quantum_costs(A, sparse_b, tolerance=0.1)[KNOWN].toffoli_preparation
        < quantum_costs(A, np.ones(50), tolerance=0.1)[KNOWN].toffoli_preparation
    )


def test_values_below_rounding_or_the_cutoff_are_not_inverted():
    U, s, Vt, b = system(values=[4.0, 2.0, 1.0, 1e-3, 1e-17])
    whole = quantum_costs((U, s, Vt))
    assert whole.kappa == pytest.approx(4e3)
    cut = quantum_costs((U, s, Vt), b, cutoff=0.5)
    assert cut.kappa == pytest.approx(4.0)
    assert "those below 0.5 taken as removed beforehand at no cost" in cut.assumptions[0]
    assert "removed" not in whole.assumptions[0]
    assert cut.kappa_encoding == pytest.approx(np.sqrt(21 + 1e-6), rel=1e-12)


def test_rank_one_costs_one_query_by_the_optimal_polynomial():
    A = np.outer([3.0, 4.0], [1.0, 0.0, 0.0])
    costs = quantum_costs(A, [3.0, 4.0], tolerance=0.1)
    assert costs.kappa == costs.kappa_encoding == pytest.approx(1.0)
    assert costs[QSVT].queries == pytest.approx(1.0)
    assert costs[QSVT].success_probability == pytest.approx(1.0)


def test_part_of_b_outside_the_column_space_lowers_the_success_and_is_told():
    U, s, Vt, b = system()
    outside = b + 3.0 * np.linalg.norm(b) * np.linalg.svd(U, full_matrices=True)[0][:, -1]
    inside, mixed = (quantum_costs((U, s, Vt), rhs) for rhs in (b, outside))
    assert mixed[QSVT].success_probability == pytest.approx(inside[QSVT].success_probability / 10.0, rel=1e-6)
    assert "column space" in mixed[KNOWN].note
    assert "column space" not in inside[KNOWN].note


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_scale_of_the_data_does_not_matter(scale):
    U, s, Vt, b = system()
    found = quantum_costs((U, s * scale, Vt), b * scale, tolerance=0.05)
    assert_same_costs(found, quantum_costs((U, s, Vt), b, tolerance=0.05), 1e-9)


@given(kappa=st.floats(1.0, 1e4), spread=st.floats(1.5, 5.0), tolerance=st.floats(1e-6, 0.3))
@settings(max_examples=40, deadline=None)
def test_theorems_ask_for_more_as_the_condition_number_and_the_accuracy_grow(kappa, spread, tolerance):
    def conditions(low):
        return {"shape": (90, 70), "frobenius_norm": spread * 1.5, "sigma_max": 1.5, "sigma_min": 1.5 / low}

    base, worse, finer = (
        quantum_costs(conditions(k), tolerance=eps)
        for k, eps in ((kappa, tolerance), (2 * kappa, tolerance), (kappa, tolerance / 3))
    )
    for name in THEOREMS:
        assert worse[name].queries == pytest.approx(2 * base[name].queries, rel=1e-9)
        assert base[name].queries < finer[name].queries
    for name in (QSVT, CKS):
        assert base[name].queries < worse[name].queries < np.inf
        assert 0.0 < base[name].success_probability <= 1.0


# Outputs


def test_runs_of_each_output():
    U, s, Vt, _ = system()
    runs = {out: quantum_costs((U, s, Vt), output=out, readout_tolerance=0.1)[KNOWN].runs for out in (
        "sample", "magnitudes", "vector", "prediction"
    )}  # fmt: skip
    assert runs["sample"] == 1.0
    assert runs["magnitudes"] == pytest.approx(9 / 0.04)
    assert runs["vector"] == pytest.approx(18 / 0.04)
    assert runs["prediction"] == 2 * formulas.amplitude_estimation_uses(0.1) - 1
    for out, found in runs.items():
        costs = quantum_costs((U, s, Vt), output=out, readout_tolerance=0.1)
        assert costs.readout[0].runs == found
    bounds = {w.basis: w.runs for w in quantum_costs((U, s, Vt), output="vector", readout_tolerance=0.1).readout}
    assert bounds["proven bound"] == 2 * ceil(36 * 9 * log(9) / 0.01)
    shots = quantum_costs((U, s, Vt), output="prediction", readout_tolerance=0.1).readout[1]
    assert shots.runs == pytest.approx(100.0)


def test_seconds_are_gates_times_runs_times_the_clock():
    costs = quantum_costs(EXAMPLE, clock=2e-7, output="prediction")
    assert costs.clock == "given"
    assert costs.clocks["given"] == 2e-7
    for line in costs.lines:
        if line.toffoli is None:
            continue
        assert set(line.projected_seconds) == {
            "optimistic", "mid", "surface-code", "surface-code-1e-3", "conservative", "given"
        }  # fmt: skip
        for name, each in costs.clocks.items():
            assert line.projected_seconds[name] == pytest.approx(line.toffoli * line.runs * each, rel=1e-12)


def test_hardest_conditions_and_options_give_finite_numbers():
    worst = {"shape": (10**18, 10**18), "frobenius_norm": 1e300, "sigma_max": 1e300, "sigma_min": 1e201}
    costs = quantum_costs(worst, tolerance=1e-14, clock=1e9, loads_per_query=10**6, word_bits=10**6, output="vector")
    json.dumps(costs.as_dict(), allow_nan=False)
    assert costs.kappa_encoding == pytest.approx(1e99)


def test_lines_without_constant_carry_no_number():
    costs = quantum_costs(EXAMPLE)
    line = costs[RECOMMENDER]
    assert line.basis == "asymptotic only"
    for field in dataclasses.fields(line):
        if field.name not in ("algorithm", "basis", "kappa", "kappa_encoding", "note", "reference"):
            assert getattr(line, field.name) is None
    assert {line.basis for line in costs.lines} == {
        "proven bound",
        "proven bound, leading order",
        "empirical constant",
        "asymptotic only",
    }
    assert all(line.reference for line in costs.lines)


def test_theorems_with_dropped_terms_are_told_from_bounds():
    costs = quantum_costs(EXAMPLE)
    for name, dropped in (
        (KNOWN, "factor 1 [+] O.tolerance. is dropped"),
        (UNKNOWN, "o.kappa. is dropped"),
        (PROVEN, "is not counted"),
    ):
        assert costs[name].basis == "proven bound, leading order"
        assert re.search(dropped, costs[name].note)
    assert {costs[name].basis for name in (QSVT, CKS)} == {"proven bound"}


def test_text_says_that_nothing_was_measured():
    text = quantum_costs(EXAMPLE, output="sample", count="loads").explain()
    for phrase in (
        "projections, not measurements",
        "Clifford gates are free",
        "error correction costs nothing beyond",
        "not quantum time",
        "projected time",
        "19.2 s",
        "27.463",
        "155",
        "asymptotic only",
        "conservative 0.00017",
    ):
        assert phrase in text
    assert max(map(len, text.split("\n")[:26])) < 140


def test_costs_become_json_and_are_frozen():
    U, s, Vt, b = system()
    costs = quantum_costs((U, s, Vt), b, tolerance=0.05)
    assert isinstance(costs, QuantumCosts)
    back = json.loads(json.dumps(costs.as_dict(), allow_nan=False))
    assert back["shape"] == [12, 9]
    assert [line["algorithm"] for line in back["lines"]] == [line.algorithm for line in costs.lines]
    assert back["lines"][3]["projected_seconds"]["mid"] == costs[KNOWN].projected_seconds["mid"]
    assert "not quantum time" in back["warning"]
    assert str(costs) == costs.explain()
    with pytest.raises(dataclasses.FrozenInstanceError):
        costs.kappa = 1.0
    with pytest.raises(TypeError):
        costs[KNOWN].projected_seconds["mid"] = 0.0
    with pytest.raises(KeyError, match="no line for 'Shor'"):
        costs["Shor"]


# Physical qubits


def test_physical_qubits_are_those_of_the_estimator():
    estimator = pytest.importorskip("qdk.estimator")
    costs = quantum_costs(EXAMPLE, output="magnitudes", physical="qubit_gate_ns_e4")
    line = costs[KNOWN]
    gates = ceil(line.toffoli)
    counts = {"numQubits": line.logical_qubits, "cczCount": gates, "measurementCount": gates}
    found = estimator.LogicalCounts(counts).estimate(
        {"qubitParams": {"name": "qubit_gate_ns_e4"}, "errorBudget": 0.01}
    )["physicalCounts"]
    assert line.physical_qubits == found["physicalQubits"]
    assert line.physical_seconds == pytest.approx(found["runtime"] * 1e-9 * line.runs)
    assert line.runs > 1e6
    assert costs[RECOMMENDER].physical_qubits is None
    assert "physical qubits" in costs.explain()
    assert quantum_costs(EXAMPLE, physical=True)[KNOWN].physical_qubits > line.physical_qubits


def test_prediction_is_one_circuit_whose_size_sets_the_physical_qubits():
    estimator = pytest.importorskip("qdk.estimator")
    one, many = (quantum_costs(EXAMPLE, output=out, physical=True)[KNOWN] for out in ("sample", "prediction"))
    gates = ceil(many.toffoli * many.runs)
    counts = {"numQubits": many.logical_qubits, "cczCount": gates, "measurementCount": gates}
    found = estimator.LogicalCounts(counts).estimate(
        {"qubitParams": {"name": "qubit_gate_ns_e3"}, "errorBudget": 0.01}
    )["physicalCounts"]
    assert many.physical_qubits == found["physicalQubits"]
    assert many.physical_seconds == pytest.approx(found["runtime"] * 1e-9)
    # A thousand times the gates at the same chance to fail need a larger code.
    assert many.logical_qubits == one.logical_qubits
    assert many.physical_qubits > 1.2 * one.physical_qubits
    assert many.physical_seconds > 1.1 * many.runs * one.physical_seconds


def test_circuit_whose_time_the_estimator_cannot_hold_has_no_physical_number():
    pytest.importorskip("qdk")
    low = quantum_costs({**EXAMPLE, "sigma_min": 1e-9}, output="sample", physical=True)[PROVEN]
    assert low.toffoli > 1e14
    assert low.physical_qubits is None
    assert low.physical_seconds is None
    high = quantum_costs({**EXAMPLE, "sigma_min": 1e-4}, output="sample", physical=True)[PROVEN]
    assert high.physical_seconds > high.projected_seconds["surface-code-1e-3"]


@pytest.mark.parametrize(
    ("hardware", "qubits", "seconds"),
    [("qubit_gate_ns_e3", 920_580, 30_010.0), ("qubit_gate_ns_e4", 187_180, 15_605.2)],
)
def test_clocks_of_the_surface_code_are_those_of_the_estimator(hardware, qubits, seconds):
    pytest.importorskip("qdk")
    from qdk.estimator import LogicalCounts

    counts = LogicalCounts({"numQubits": 100, "cczCount": 10**9, "measurementCount": 10**6})
    found = counts.estimate({"qubitParams": {"name": hardware}, "errorBudget": 0.01})["physicalCounts"]
    assert found["physicalQubits"] == qubits
    assert found["runtime"] * 1e-9 == pytest.approx(seconds)
    clock = {"qubit_gate_ns_e3": "surface-code-1e-3", "qubit_gate_ns_e4": "surface-code"}[hardware]
    assert quantum_costs(EXAMPLE).clocks[clock] == pytest.approx(seconds / 1e9, rel=1e-3)


def test_missing_estimator_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "qdk", None)
    monkeypatch.setitem(sys.modules, "qdk.estimator", None)
    assert quantum_costs(EXAMPLE)[KNOWN].physical_qubits is None
    with pytest.raises(ImportError, match=r"qinspired\[resources\]"):
        quantum_costs(EXAMPLE, physical=True)
