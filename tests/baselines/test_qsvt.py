from __future__ import annotations

from fractions import Fraction
from math import comb, pi

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.baselines import min_degree, qsvt
from qinspired.baselines.quantum import _polynomials, _query_counts

seeds = st.integers(0, 2**32 - 1)
NAMES = ("optimal", "cks", "reflection")


def orthogonal(rng, m, n):
    return np.linalg.qr(rng.standard_normal((m, n)))[0]


def with_spectrum(rng, values, *, m=None, n=None):
    """Return a matrix of the given singular values, and its pseudo-inverse made from the same factors."""
    r = len(values)
    U, V = orthogonal(rng, m or r, r), orthogonal(rng, n or r, r)
    return (U * values) @ V.T, (V / values) @ U.T, U


def error_to(state, x):
    """Return the least distance of the unit vectors over the phase."""
    x = x / np.linalg.norm(x)
    overlap = np.vdot(x, state)
    return np.linalg.norm(state - x * overlap / abs(overlap))


def chebyshev(degree, x):
    before, now = Fraction(1), x
    for _ in range(degree - 1):
        before, now = now, 2 * x * now - before
    return now if degree else before


def optimal_exactly(kappa, terms, x):
    d = Fraction(1, kappa)
    z = (1 + d**2 - 2 * x**2) / (1 - d**2)
    z0 = (1 + d**2) / (1 - d**2)
    return (1 - chebyshev(terms, z) / chebyshev(terms, z0)) / x


def childs_kothari_somma_exactly(b, last, x):
    total = Fraction(0)
    for j in range(last + 1):
        tail = Fraction(sum(comb(2 * b, b + i) for i in range(j + 1, b + 1)), 4**b)
        total += 4 * (-1) ** j * tail * chebyshev(2 * j + 1, x)
    return total


POINTS = [Fraction(1, 10**9), Fraction(1, 1000), Fraction(9, 100), Fraction(1, 10), Fraction(1, 3), Fraction(1)]


@pytest.mark.parametrize("terms", [1, 2, 5, 27])
def test_optimal_polynomial_equals_rational_arithmetic(terms):
    P = _polynomials.optimal(10.0, terms)
    exact = [float(optimal_exactly(10, terms, x)) for x in POINTS]
    found = P.evaluate(np.array([float(x) for x in POINTS]))
    np.testing.assert_allclose(found, exact, rtol=5e-14)
    np.testing.assert_allclose(P.evaluate(-np.array([float(x) for x in POINTS])), -found, rtol=0.0)


def test_childs_kothari_somma_polynomial_equals_rational_arithmetic():
    P = _polynomials.childs_kothari_somma(3.0, 20, 9)
    exact = [float(childs_kothari_somma_exactly(20, 9, x)) for x in POINTS]
    np.testing.assert_allclose(P.evaluate(np.array([float(x) for x in POINTS])), exact, rtol=1e-13)


@pytest.mark.parametrize("kind", ["cks", "ridge"])
@pytest.mark.parametrize("kappa", [30.0, 1000.0])
def test_series_keep_their_digits_next_to_the_largest_singular_value(kind, kappa):
    x = np.concatenate([np.geomspace(1.0 / kappa, 1.0, 60), np.linspace(0.99, 1.0, 60)])
    if kind == "cks":
        P = _polynomials.childs_kothari_somma(kappa, *_query_counts.childs_kothari_somma_terms(kappa, 1e-15))
        error = np.abs(x * P.evaluate(x) - 1.0)
    else:
        P = _polynomials.ridge_series(kappa, 1.0 / kappa, int(25 * kappa))
        error = np.abs(P.evaluate(x) * (x + 1.0 / (x * kappa**2)) - 1.0)
    assert P.residual < 1e-15
    assert error.max() < 2.2e-16 * (100.0 + 20.0 * np.sqrt(P.degree))


@pytest.mark.parametrize("options", [{"polynomial": "cks"}, {"filter": "ridge", "ridge": 1e-6}])
def test_bound_of_the_error_holds_where_the_answer_is_in_the_largest_singular_values(options):
    values = np.append(np.linspace(0.99, 1.0, 60), 1e-3)
    b = np.append(np.ones(60), 0.0)
    run = qsvt(np.diag(values), b, tolerance=1e-11, alpha="norm", **options)
    assert run.l2_error <= run.parameters["error_bound"] <= 1.1e-11


def test_ridge_series_converges_to_the_ridge_filter():
    x = np.linspace(-1.0, 1.0, 101)
    P = _polynomials.ridge_series(10.0, 0.3, 60)
    np.testing.assert_allclose(P.evaluate(x), x / (x**2 + 0.09), atol=1e-13)
    assert P.largest == pytest.approx(1.0 / 0.6, rel=1e-9)


@pytest.mark.parametrize("width", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("terms", [2, 9, 30])
def test_ridge_series_keeps_its_bound_of_the_relative_error(terms, width):
    x = np.geomspace(0.1, 1.0, 3001)
    P = _polynomials.ridge_series(10.0, width, terms)
    error = np.abs(P.evaluate(x) * (x**2 + width**2) / x - 1.0).max()
    assert error <= P.residual + 1e-14
    assert P.residual < 60.0 * error + 1e-12


@pytest.mark.parametrize(
    ("kappa", "tolerance", "cks", "optimal", "largest", "largest_cks"),
    [
        (2, 1e-2, 31, 9, 1.10, 1.52),
        (10, 1e-2, 189, 53, 1.12, 1.68),
        (10, 1e-8, 479, 191, 2.01, 2.91),
        (100, 1e-2, 2535, 529, 1.11, 1.93),
        (100, 1e-4, 3523, 991, 1.47, 2.37),
    ],
)
def test_degrees_and_largest_values_are_the_known_ones(kappa, tolerance, cks, optimal, largest, largest_cks):
    best = _polynomials.optimal(kappa, _query_counts.optimal_terms(kappa, tolerance))
    other = _polynomials.childs_kothari_somma(kappa, *_query_counts.childs_kothari_somma_terms(kappa, tolerance))
    assert (best.degree, other.degree) == (optimal, cks)
    # Two decimals, cut in some of the published values and rounded in others.
    assert best.largest / kappa == pytest.approx(largest, abs=0.01)
    assert other.largest / kappa == pytest.approx(largest_cks, abs=0.01)
    assert max(best.residual, other.residual) <= tolerance
    x = np.geomspace(1.0 / kappa, 1.0, 5000)
    assert np.abs(1.0 - x * best.evaluate(x)).max() == pytest.approx(best.residual, rel=1e-5)
    assert np.abs(1.0 - x * other.evaluate(x)).max() <= other.residual + 1e-13


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("name", ["optimal", "cks", "ridge"])
def test_largest_value_is_the_one_of_a_fine_grid(name, low):
    terms = 12 if low else 60
    P = {
        "optimal": lambda: _polynomials.optimal(20.0, terms),
        "cks": lambda: _polynomials.childs_kothari_somma(5.0, 160, terms),
        "ridge": lambda: _polynomials.ridge_series(20.0, 0.05, terms),
    }[name]()
    sizes = np.abs(P.evaluate(np.sin(np.linspace(0.0, pi / 2, 200_001))))
    assert sizes.max() <= P.largest * (1 + 1e-12)
    assert sizes.max() == pytest.approx(P.largest, rel=1e-6)


@pytest.mark.parametrize("name", ["cks", "ridge"])
def test_largest_value_by_the_fast_transform_is_that_of_the_series_itself(name, monkeypatch):
    def largest():
        if name == "cks":
            return _polynomials.childs_kothari_somma(30.0, 9000, 40).largest
        return _polynomials.ridge_series(30.0, 0.01, 40).largest

    slow = largest()
    monkeypatch.setattr(_polynomials, "_CHUNK_SINES", 64)
    assert largest() == pytest.approx(slow, rel=1e-12)
    angles, sums = _polynomials._sine_transform(np.array([1.0, 0.5, 0.2]))
    assert 0.0 < angles[0] < angles[-1] < pi / 2
    np.testing.assert_allclose(sums, np.sin(angles) + 0.5 * np.sin(3 * angles) + 0.2 * np.sin(5 * angles), atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"polynomial": "cks", "kappa": 1e4, "degree": 100_001},
        {"polynomial": "cks", "kappa": 1e9, "degree": 101},
        {"polynomial": "cks", "kappa": 1e100, "degree": 101},
        {"filter": "ridge", "ridge": 1e-12, "degree": 100_001},
    ],
)
def test_low_degrees_for_a_large_condition_number_are_evaluated_in_no_time(options):
    run = qsvt(np.diag([1.0, 0.5]), [1.0, 1.0], alpha="norm", **options)
    # The weights are at most 4 and 2, so that M is at most 2 (degree + 1).
    assert 0.2 * run.n_queries < run.parameters["M"] < 2.0 * (run.n_queries + 1)
    assert any("needs degree" in flaw for flaw in run.warnings)


def test_expanded_tails_of_the_binomial_law_are_those_of_integers(monkeypatch):
    b, js = 2000, [0, 1, 30, 90, 180]
    exact = [float(Fraction(sum(comb(2 * b, b + i) for i in range(j + 1, b + 1)), 4**b)) for j in js]
    summed = [float(_polynomials._binomial_tails(b, j, j + 1)[0]) for j in js]
    cut = _polynomials.childs_kothari_somma(12.0, b, 100)
    monkeypatch.setattr(_polynomials, "_LARGE_LAW", 1)
    expanded = [float(_polynomials._binomial_tails(b, j, j + 1)[0]) for j in js]
    np.testing.assert_allclose(summed, exact, rtol=1e-12)
    # The next term of the expansion is of the order 1/b^2.
    np.testing.assert_allclose(expanded, exact, atol=0.01 / b**2)
    other = _polynomials.childs_kothari_somma(12.0, b, 100)
    assert cut.residual < other.residual < cut.residual * 1.01
    assert other.largest == pytest.approx(cut.largest, rel=1e-7)


def test_optimal_polynomial_keeps_its_digits_at_a_high_degree():
    kappa, terms = 20_000.0, 50_000
    P = _polynomials.optimal(kappa, terms)
    gap = 1.0 / kappa
    # Where T_l(z) is 1 or -1 by construction, and at tiny x, where P is x times its slope at 0.
    k = np.arange(0, terms, 997)
    x = np.sqrt(gap**2 + (1 - gap**2) * np.sin(pi * k / (2 * terms)) ** 2)
    np.testing.assert_allclose(1.0 - x * P.evaluate(x), (-1.0) ** k * P.residual, atol=1e-10)
    small = np.array([1e-100, 1e-12])
    slope = np.tanh(2 * terms * np.arctanh(gap)) * terms * (1 - gap**2) / gap
    np.testing.assert_allclose(P.evaluate(small) / small, slope, rtol=1e-6)
    assert P.evaluate(np.zeros(1))[0] == 0.0


SYSTEMS = ["square", "tall", "wide", "hermitian", "complex", "singular", "outside"]


def make_system(kind):
    rng = np.random.default_rng(7)
    values = np.array([1.0, 0.8, 0.5, 0.2, 0.15])
    if kind == "complex":
        Q = np.linalg.qr(rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5)))[0]
        return (Q * (values * [1, -1, 1, -1, 1])) @ Q.conj().T, rng.standard_normal(5) + 1j * rng.standard_normal(5)
    if kind == "hermitian":
        Q = orthogonal(rng, 5, 5)
        A = (Q * (values * [1, -1, 1, -1, 1])) @ Q.T
        return (A + A.T) / 2, rng.standard_normal(5)
    m, n = {"square": (5, 5), "tall": (9, 5), "wide": (5, 9), "singular": (7, 7), "outside": (9, 6)}[kind]
    A, _, U = with_spectrum(rng, values, m=m, n=n)
    return A, rng.standard_normal(m) if kind == "outside" else U @ rng.standard_normal(5)


@pytest.mark.parametrize("alpha", ["norm", "frobenius", 3.0])
@pytest.mark.parametrize("polynomial", NAMES)
@pytest.mark.parametrize("kind", SYSTEMS)
def test_solution_is_that_of_the_pseudo_inverse(kind, polynomial, alpha):
    A, b = make_system(kind)
    if kind == "outside" and polynomial == "reflection":
        with pytest.raises(ValueError, match="`b` must lie in the column space"):
            qsvt(A, b, polynomial=polynomial)
        return
    x = np.linalg.pinv(A, rcond=1e-10) @ b
    run = qsvt(A, b, polynomial=polynomial, alpha=alpha, tolerance=1e-4)
    assert run.l2_error == pytest.approx(error_to(run.state, x), abs=1e-9)
    assert run.l2_error <= 1e-4
    assert run.fidelity == pytest.approx(1.0 - run.l2_error**2 * (1 - run.l2_error**2 / 4), abs=1e-12)
    np.testing.assert_allclose(run.x, x, atol=3e-4 * np.linalg.norm(x))
    assert run.warnings == ()
    scale = {"norm": 1.0, "frobenius": np.linalg.norm(A), 3.0: 3.0}[alpha]
    assert run.parameters["alpha"] == pytest.approx(scale)
    assert run.parameters["kappa"] == pytest.approx(1 / 0.15)
    assert run.parameters["kappa_block_encoding"] == pytest.approx(scale / 0.15)
    assert run.n_queries == run.parameters["degree"]
    assert np.isrealobj(run.state) == np.isrealobj(A)


@pytest.mark.parametrize("polynomial", ["optimal", "cks"])
def test_success_probability_and_state_are_those_of_the_matrix_polynomial(polynomial):
    A, b = make_system("hermitian")
    run = qsvt(A, b, polynomial=polynomial, alpha=2.0, tolerance=0.1)
    # The same polynomial by its Chebyshev coefficients, from interpolation, and the recurrence of matrices.
    D = run.n_queries
    P = (
        _polynomials.optimal(2 / 0.15, (D + 1) // 2)
        if polynomial == "optimal"
        else _polynomials.childs_kothari_somma(
            2 / 0.15, _query_counts.childs_kothari_somma_terms(2 / 0.15, 0.1 * (1 - 0.01 / 4) ** 0.5)[0], (D - 1) // 2
        )
    )
    series = np.polynomial.chebyshev.chebinterpolate(P.evaluate, D)
    before, now, total = b, A @ b / 2.0, series[0] * b + series[1] * (A @ b / 2.0)
    for c in series[2:]:
        before, now = now, A @ now - before
        total = total + c * now
    length = np.linalg.norm(total)
    M = np.abs(P.evaluate(np.linspace(0, 1, 100_001))).max()
    np.testing.assert_allclose(run.state, total / length, atol=1e-9)
    assert run.success_probability == pytest.approx((length / np.linalg.norm(b) / M) ** 2, rel=1e-6)
    assert run.norm == pytest.approx(length / 2.0, rel=1e-9)
    assert run.success_probability_ancilla == run.success_probability
    assert run.fidelity_mixed == run.fidelity


def reflect_densely(A, b, t, terms, gap):
    """Build the enlarged matrix, and apply the polynomial to its right singular vectors."""
    b = b / np.linalg.norm(b)
    m, n = A.shape
    big = np.zeros((m + 1, n + 1), dtype=complex)
    big[:m, :n], big[m, n] = A, 1.0 / t
    rhs = np.append(b, 1.0) / np.sqrt(2.0)
    G = big - np.outer(rhs, rhs.conj() @ big)
    _, s, Vh = np.linalg.svd(G, full_matrices=True)
    s = np.append(s, np.zeros(n + 1 - len(s)))
    z = (1 + gap**2 - 2 * s**2) / (1 - gap**2)
    T = np.polynomial.chebyshev.Chebyshev.basis(terms)
    K = -1 + 2 * (T(z) + 1) / (T((1 + gap**2) / (1 - gap**2)) + 1)
    return (Vh.conj().T * K) @ Vh[:, -1]


@pytest.mark.parametrize("factor", [0.6, 1.0, 2.5])
@pytest.mark.parametrize("kind", ["square", "hermitian", "complex", "singular", "wide"])
def test_kernel_reflection_equals_the_dense_construction(kind, factor):
    A, b = make_system(kind)
    x = np.linalg.pinv(A, rcond=1e-10) @ b
    run = qsvt(
        A, b, polynomial="reflection", alpha="norm", tolerance=0.1, solution_norm=factor * np.linalg.norm(x), degree=40
    )
    t = factor * np.linalg.norm(x) / np.linalg.norm(b)
    out = reflect_densely(A, b, t, 20, 1.0 / max(1 / 0.15, t))
    length = np.linalg.norm(out[:-1])
    assert np.linalg.norm(out) <= 1.0 + 1e-12
    assert run.success_probability == pytest.approx(length**2, rel=1e-9)
    np.testing.assert_allclose(run.state, out[:-1] / length, atol=1e-9)
    assert run.norm == pytest.approx(factor * np.linalg.norm(x))


def test_kernel_reflection_succeeds_with_the_sine_of_twice_the_angle():
    A, b = make_system("square")
    size = np.linalg.norm(np.linalg.solve(A, b))
    for factor in (0.8, 1.0, 3.0):
        run = qsvt(A, b, polynomial="reflection", tolerance=1e-8, solution_norm=factor * size)
        assert run.success_probability == pytest.approx((2 * factor / (1 + factor**2)) ** 2, rel=1e-6)


def test_kernel_reflection_warns_where_the_norm_is_too_small_for_the_bound():
    A, b = make_system("square")
    size = np.linalg.norm(np.linalg.solve(A, b))
    run = qsvt(A, b, polynomial="reflection", alpha="norm", tolerance=1e-3, solution_norm=0.5 * size)
    (warning,) = run.warnings
    assert f"needs degree {run.parameters['degree_needed']}" in warning
    better = qsvt(
        A,
        b,
        polynomial="reflection",
        alpha="norm",
        tolerance=1e-3,
        solution_norm=0.5 * size,
        degree=run.parameters["degree_needed"],
    )
    assert better.warnings == ()
    assert better.l2_error <= 1e-3


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    n=st.integers(1, 8),
    kappa=st.floats(1.0, 300.0),
    tolerance=st.floats(1e-8, 0.9),
    name=st.sampled_from(NAMES),
)
def test_tolerance_is_kept_for_every_instance(seed, n, kappa, tolerance, name):
    rng = np.random.default_rng(seed)
    values = np.append(rng.uniform(1.0 / kappa, 1.0, n), [1.0, 1.0 / kappa])
    b = rng.standard_normal(n + 2) * rng.uniform(0, 1, n + 2) ** 4
    run = qsvt(np.diag(values), b, tolerance=tolerance, polynomial=name, alpha="norm")
    assert run.l2_error <= tolerance + 1e-12
    assert run.parameters["error_bound"] <= tolerance
    assert run.warnings == ()
    assert 0.0 < run.success_probability <= 1.0
    assert run.expected_runs <= 1.0 / run.success_probability + 1e-9


@pytest.mark.parametrize("tolerance", [0.9, 0.3, 1e-2, 1e-5])
def test_tolerance_is_nearly_reached_by_the_worst_right_hand_side(tolerance):
    kappa = 10.0
    terms = _query_counts.optimal_terms(kappa, tolerance * (1 - tolerance**2 / 4) ** 0.5)
    gap = 1 / kappa
    # 1 - x P is +r and -r at neighbouring extremes; equal weights of x there turn it the most.
    k = np.array([0, 1])
    values = np.append(np.sqrt(gap**2 + (1 - gap**2) * np.sin(pi * k / (2 * terms)) ** 2), 1.0)
    r = _polynomials.decay(gap, terms)
    weights = np.array([(1 - r) ** -0.5, (1 + r) ** -0.5])
    b = np.append(values[:2] * weights, 0.0)
    run = qsvt(np.diag(values), b, tolerance=tolerance, alpha="norm")
    # Away from the promise only by the degree being a whole number.
    assert run.l2_error <= tolerance
    cosine = (weights**2 @ (1 - r * np.array([1, -1]))) / np.sqrt(
        weights @ weights * (weights**2 @ (1 - r * np.array([1, -1])) ** 2)
    )
    assert run.l2_error == pytest.approx(np.sqrt(2 - 2 * cosine), rel=1e-4)
    assert np.sqrt(1 - cosine**2) == pytest.approx(r, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kappa", [20.0, 100.0, 700.0])
def test_rounding_is_estimated_from_above_and_warned_of_where_it_breaks_the_tolerance(name, kappa):
    values, tolerance = np.geomspace(1.0, 1.0 / kappa, 12), 1e-14 if name == "cks" else 1e-13
    worst = 0.0
    for seed in range(5):
        b = np.random.default_rng(seed).standard_normal(12) * values ** (seed % 2)
        run = qsvt((np.eye(12), values, np.eye(12)), b, alpha="norm", tolerance=tolerance, polynomial=name)
        worst = max(worst, run.l2_error)
        assert run.l2_error <= run.parameters["error_bound"]
    warned = any("rounding in the simulation may add" in flaw for flaw in run.warnings)
    assert warned == (name != "optimal") or (name, kappa) == ("reflection", 20.0)
    assert warned or worst <= tolerance
    if name == "reflection" and kappa > 100.0:
        assert worst > tolerance
    easy = qsvt(np.diag(values), np.ones(12), polynomial=name, tolerance=1e-6)
    assert not any("rounding" in flaw for flaw in easy.warnings)


def test_largest_ridge_and_condition_number_give_finite_results():
    A, b = np.diag([1.0, 0.5]), np.array([1.0, 1.0])
    heavy = qsvt(A, b, filter="ridge", ridge=1e99, alpha="norm")
    np.testing.assert_allclose(heavy.state, A @ b / np.linalg.norm(A @ b), atol=1e-12)
    wide = qsvt(A, b, kappa=1e100, degree=11)
    assert np.isfinite(wide.norm)
    assert np.isfinite(wide.parameters["error_bound"])


@settings(max_examples=25, deadline=None)
@given(seed=seeds, scale=st.floats(1e-8, 1e8), name=st.sampled_from(NAMES))
def test_scaling_the_matrix_or_the_right_hand_side_changes_only_the_norm(seed, scale, name):
    rng = np.random.default_rng(seed)
    A, _, _ = with_spectrum(rng, rng.uniform(0.1, 1.0, 4))
    b = rng.standard_normal(4)
    one = qsvt(A, b, polynomial=name, tolerance=0.05)
    for other, norm in (
        (qsvt(scale * A, b, polynomial=name, tolerance=0.05), one.norm / scale),
        (qsvt(A, scale * b, polynomial=name, tolerance=0.05), one.norm * scale),
    ):
        assert other.n_queries in (one.n_queries, one.n_queries + 2, one.n_queries - 2)
        if other.n_queries == one.n_queries:
            assert other.success_probability == pytest.approx(one.success_probability, rel=1e-8)
            assert other.l2_error == pytest.approx(one.l2_error, abs=1e-8)
            assert other.norm == pytest.approx(norm, rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, ridge=st.floats(1e-4, 10.0), tolerance=st.floats(1e-6, 0.5))
def test_ridge_filter_gives_the_ridge_solution(seed, ridge, tolerance):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((6, 4)), rng.standard_normal(6)
    run = qsvt(A, b, filter="ridge", ridge=ridge, tolerance=tolerance)
    x = np.linalg.solve(A.T @ A + ridge * np.eye(4), A.T @ b)
    assert error_to(run.state, x) <= tolerance + 1e-9
    assert run.norm == pytest.approx(np.linalg.norm(x), rel=tolerance + 1e-9)
    assert run.warnings == ()
    np.testing.assert_allclose(run.filter_curve.target, run.filter_curve.values / (run.filter_curve.values**2 + ridge))


def test_filter_curve_is_the_inverse_to_the_tolerance():
    A, b = make_system("tall")
    for name in NAMES:
        curve = qsvt(A, b, polynomial=name, tolerance=1e-3).filter_curve
        np.testing.assert_allclose(curve.applied, 1.0 / curve.values, rtol=2.1e-3)
        np.testing.assert_allclose(curve.target, 1.0 / curve.values)


def test_too_low_a_degree_warns_with_the_degree_needed():
    A, b = make_system("square")
    run = qsvt(A, b, degree=9, alpha="norm")
    needed = qsvt(A, b, alpha="norm").n_queries
    (warning,) = run.warnings
    assert f"needs degree {needed}." in warning
    assert run.parameters["degree_needed"] == needed
    assert run.n_queries == 9
    assert run.parameters["error_bound"] > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_too_small_a_kappa_warns_with_the_degree_needed(name):
    A, b = make_system("square")
    needed = qsvt(A, b, polynomial=name).n_queries
    run = qsvt(A, b, polynomial=name, kappa=4.0)
    assert any(f"needs degree {needed}." in text and "alpha/kappa" in text for text in run.warnings)
    assert qsvt(A, b, polynomial=name, kappa=40.0).warnings == ()


def test_low_success_probability_is_listed():
    run = qsvt(np.diag([1.0, 1e-4]), [1.0, 0.0], alpha="norm", tolerance=0.5)
    assert any("success probability" in text for text in run.warnings)


def test_frobenius_norm_is_the_default_and_costs_more_than_the_norm():
    A, b = make_system("square")
    default, best = qsvt(A, b), qsvt(A, b, alpha="norm")
    assert default.parameters["alpha_rule"] == "frobenius"
    ratio = default.parameters["kappa_block_encoding"] / best.parameters["kappa_block_encoding"]
    assert ratio == pytest.approx(np.linalg.norm(A))
    assert default.n_queries / best.n_queries == pytest.approx(ratio, rel=0.05)


def test_qubits_are_counted_as_documented():
    A, b = make_system("tall")  # 9 rows: four system qubits
    assert qsvt(A, b, alpha="norm").n_qubits == 4 + 1 + 1
    assert qsvt(A, b).n_qubits == 4 + 6 + 1
    assert qsvt(A, b, polynomial="reflection").n_qubits == 5 + 6 + 1


def test_unit_matrix_takes_one_query():
    run = qsvt(np.eye(4), [1.0, 2.0, 3.0, 4.0], alpha="norm", tolerance=1e-12)
    assert run.n_queries == 1
    assert run.success_probability == pytest.approx(1.0)
    assert run.l2_error < 1e-12


def test_svd_factors_and_sparse_matrices_stand_for_the_matrix():
    A, b = make_system("tall")
    whole = qsvt(A, b)
    np.testing.assert_allclose(qsvt(np.linalg.svd(A, full_matrices=False), b).x, whole.x, atol=1e-9)
    np.testing.assert_allclose(qsvt(sp.csr_array(A), b).x, whole.x, atol=1e-9)


def test_huge_entries_do_not_overflow():
    A, b = make_system("square")
    np.testing.assert_allclose(qsvt(A * 1e200, b * 1e200).x, qsvt(A, b).x, rtol=1e-8)


def test_shots_estimate_the_norm_without_bias():
    A, b = make_system("square")
    exact = qsvt(A, b, alpha="norm")
    p, shots = exact.success_probability, 400
    runs = [qsvt(A, b, alpha="norm", shots=shots, rng=seed) for seed in range(200)]
    shares = np.array([run.shots.n_successes for run in runs]) / shots
    assert abs(shares.mean() - p) < 5 * np.sqrt(p * (1 - p) / shots / len(runs))
    assert (runs[0].norm, exact.shots) == (exact.norm, None)
    assert runs[0].shots.norm == pytest.approx(exact.norm * np.sqrt(shares[0] / p))
    assert runs[0].shots.counts.sum() == runs[0].shots.n_successes
    np.testing.assert_array_equal(runs[0].state, exact.state)
    # Relative standard deviation sqrt((1 - p)/(4 N p)).
    spread = np.std([run.shots.norm for run in runs])
    assert spread / exact.norm == pytest.approx(np.sqrt((1 - p) / (4 * shots * p)), rel=0.25)
    assert np.mean([run.shots.norm_stderr for run in runs]) == pytest.approx(spread, rel=0.25)


def test_shots_of_the_reflection_do_not_tell_the_norm():
    run = qsvt(np.diag([1.0, 0.5]), [1.0, 1.0], polynomial="reflection", shots=100, rng=0)
    assert run.shots.n_successes > 90
    assert np.isnan(run.shots.norm)
    assert np.isnan(run.shots.norm_stderr)


def test_least_degree_keeps_the_tolerance_and_the_one_before_does_not():
    rng = np.random.default_rng(5)
    for tolerance in (0.3, 1e-2, 1e-5):
        A, b = np.diag(np.linspace(0.05, 1.0, 30)), rng.standard_normal(30)
        least = min_degree(A, b, tolerance=tolerance, alpha="norm")
        promised = qsvt(A, b, tolerance=tolerance, alpha="norm").n_queries
        assert least <= promised
        assert qsvt(A, b, tolerance=tolerance, alpha="norm", degree=least).l2_error <= tolerance * (1 + 1e-9)
        errors = [qsvt(A, b, alpha="norm", degree=D).l2_error for D in range(1, least, 2)]
        assert min(errors, default=1.0) > tolerance


@pytest.mark.parametrize(
    ("kappa", "tolerance", "options"),
    [
        (1000.0, 1e-13, {"polynomial": "optimal"}),
        (1000.0, 1e-9, {"polynomial": "reflection"}),
        (1000.0, 1e-11, {"filter": "ridge", "ridge": 1e-6}),
    ],
)
def test_automatic_degree_makes_up_for_rounding(kappa, tolerance, options):
    run = qsvt(np.diag([1.0, 1.0 / kappa]), [1.0, 1.0], tolerance=tolerance, alpha="norm", **options)
    assert 0.99 * tolerance < run.parameters["error_bound"] <= tolerance
    assert run.warnings == ()


def test_least_degree_out_of_reach_is_refused_with_a_remedy_it_has():
    with pytest.raises(ValueError, match=r"`degree` must be at most 10000000; got 52\d+, .*Give a truncated SVD"):
        min_degree(np.diag([1.0, 1e-9]), [1.0, 1.0])


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
@pytest.mark.parametrize("kappa", [10.0, 100.0])
def test_queries_stay_below_the_published_constants(kappa, tolerance):
    rng = np.random.default_rng(11)
    A = np.diag(np.linspace(1.0 / kappa, 1.0, 64))
    known = _query_counts.reflection_queries(kappa, tolerance, norm_known=True)
    for _ in range(10):
        b = rng.standard_normal(64)
        # A run of Chebyshev iteration: kappa ln(2/tolerance).
        one = qsvt(A, b, tolerance=tolerance, alpha="norm")
        assert one.n_queries < 1.02 * kappa * np.log(2.0 / tolerance) + 1
        # A copy of the state by Dalzell's solver, repetitions included: kappa ln(2 sqrt 2/tolerance).
        whole = qsvt(A, b, tolerance=tolerance, alpha="norm", polynomial="reflection")
        assert whole.n_queries * whole.expected_runs < 1.05 * known
        assert max(one.l2_error, whole.l2_error) <= tolerance


@pytest.mark.parametrize(
    ("kappa", "tolerance", "total"), [(10.0, 1e-2, 267), (10.0, 1e-3, 549), (100.0, 1e-2, 4771), (100.0, 1e-3, 8380)]
)
def test_totals_with_amplification_surround_those_of_another_simulation(kappa, tolerance, total):
    # Single random right-hand sides there: the totals depend on |x|, so that they are compared with a sample.
    A = np.diag(np.linspace(1.0 / kappa, 1.0, 64))
    totals = []
    for seed in range(40):
        run = qsvt(A, np.random.default_rng(seed).standard_normal(64), tolerance=tolerance, alpha="norm")
        totals.append(run.n_queries * run.expected_runs)
    assert min(totals) < total < max(totals)


def test_published_counts_give_the_worked_example():
    kappa = float(np.linalg.norm(np.linspace(10.0, 1.0, 20)))
    assert kappa == pytest.approx(27.463, abs=5e-4)
    assert _query_counts.reflection_queries(kappa, 1e-2, norm_known=True) == pytest.approx(155.0, abs=0.05)
    assert _query_counts.reflection_queries(kappa, 1e-2, norm_known=False) == pytest.approx(1670.7, abs=0.1)
    observed, proven = (_query_counts.adiabatic_queries(kappa, 1e-2, constant=c) for c in ("empirical", "proven"))
    assert observed == pytest.approx(196.0, abs=0.05)
    filter_part = kappa * np.log(200.0)
    assert (proven - filter_part) / (observed - filter_part) == pytest.approx(2305 / 1.84)


@pytest.mark.parametrize(
    ("A", "b", "options", "match"),
    [
        ([[np.nan, 0], [0, 1]], [1, 1], {}, "`A` must be finite"),
        (np.eye(2), [np.inf, 1], {}, "`b` must be finite"),
        (np.eye(2), [0, 0], {}, "`b` must not be zero"),
        (np.zeros((2, 2)), [1, 0], {}, "must not be the zero matrix"),
        (np.diag([1.0, 0.0]), [0, 1], {}, "lies in the kernel"),
        (np.empty((0, 2)), [], {}, "at least one row"),
        (np.eye(2), [1, 0, 0], {}, "one entry for each of the 2 rows"),
        (np.eye(2), [1, 0], {"tolerance": 0.0}, "`tolerance` must be in"),
        (np.eye(2), [1, 0], {"tolerance": 1.0}, "`tolerance` must be in"),
        (np.eye(2), [1, 0], {"tolerance": np.nan}, "`tolerance` must be in"),
        (np.eye(2), [1, 0], {"tolerance": 9e-15}, "`tolerance` must be at least 1e-14, as smaller"),
        (np.eye(2), [1, 0], {"kappa": 1e101}, "`kappa` must keep kappa of the block encoding.* at most 1e[+]100"),
        (np.eye(2), [1, 0], {"alpha": 1e101}, "`alpha` must keep kappa of the block encoding.* at most 1e[+]100"),
        (np.eye(2), [1, 0], {"filter": "ridge", "ridge": 1e308}, "`ridge` must be at most 1e[+]100 alpha"),
        (1e-200 * np.eye(2), [1, 0], {"filter": "ridge", "ridge": 1.0}, "`ridge` must be at most 1e[+]100 alpha"),
        (np.eye(2), [1, 0], {"polynomial": "reflection", "solution_norm": 1e308}, "`solution_norm` must be at most"),
        (np.eye(2), [1, 0], {"polynomial": "best"}, "`polynomial` must be one of 'optimal', 'cks', 'reflection'"),
        (np.eye(2), [1, 0], {"filter": "square"}, "`filter` must be one of"),
        (np.eye(2), [1, 0], {"degree": 4}, "`degree` must be odd .* Take 5"),
        (np.eye(2), [1, 0], {"degree": 0}, "`degree` must be an integer >= 1"),
        (np.eye(2), [1, 0], {"degree": 10**8 + 1}, "`degree` must be at most 10000000"),
        (np.eye(2), [1, 0], {"degree": 5, "polynomial": "reflection"}, "`degree` must be even .* Take 6"),
        (np.diag([1.0, 1e-9]), [1, 1], {}, "`degree` must be at most 10000000; got .*smaller `kappa`"),
        (np.eye(2), [1, 0], {"alpha": 0.5}, r"`alpha` must be at least \|A\| = 1, as"),
        (np.eye(2), [1, 0], {"alpha": "best"}, "`alpha` must be a number > 0, 'frobenius' or 'norm'"),
        (np.eye(2), [1, 0], {"alpha": -1.0}, "`alpha` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"kappa": 0.5}, "`kappa` must be >= 1"),
        (np.eye(2), [1, 0], {"kappa": np.inf}, "`kappa` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"ridge": 1.0}, "`ridge` must be 0 unless"),
        (np.eye(2), [1, 0], {"ridge": np.zeros(2)}, "`ridge` must be 0 unless"),
        (np.eye(2), [1, 0], {"filter": "ridge", "ridge": 1e-300}, "got one beyond 1e15, .* a larger `ridge`"),
        (np.eye(2), [1, 0], {"degree": 10**5000}, "`degree` must be at most 10000000; got one beyond 1e15"),
        (np.eye(2), [1, 0], {"filter": "ridge"}, "`ridge` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"filter": "ridge", "ridge": 1.0, "polynomial": "cks"}, "must stay 'optimal'"),
        (np.eye(2), [1, 0], {"solution_norm": 2.0}, "`solution_norm` must be 'exact' unless"),
        (np.eye(2), [1, 0], {"polynomial": "reflection", "solution_norm": "known"}, "number > 0 or 'exact'"),
        (np.eye(2), [1, 0], {"polynomial": "reflection", "solution_norm": 0.1}, "at least .b./alpha"),
        (np.eye(2), [1, 0], {"shots": 0}, "`shots` must be an integer >= 1"),
    ],
)
def test_bad_input_is_a_clear_value_error(A, b, options, match):
    with pytest.raises(ValueError, match=match):
        qsvt(A, b, **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"degree": 3.0}, "`degree` must be an integer"),
        ({"tolerance": "small"}, "`tolerance` must be a number"),
        ({"kappa": "large"}, "`kappa` must be a finite number"),
        ({"shots": 1.5}, "`shots` must be an integer"),
        ({"shots": 5, "rng": 1.5}, "`rng` must be"),
    ],
)
def test_wrong_types_are_type_errors(options, match):
    with pytest.raises(TypeError, match=match):
        qsvt(np.eye(2), [1.0, 0.0], **options)


def test_inputs_are_not_modified():
    A, b = make_system("square")
    kept = A.copy(), b.copy()
    for name in NAMES:
        qsvt(A, b, polynomial=name)
    np.testing.assert_array_equal(A, kept[0])
    np.testing.assert_array_equal(b, kept[1])
