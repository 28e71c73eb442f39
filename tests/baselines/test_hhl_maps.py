"""Walk operator, product formulas, rounded rotations and the caller's own filters."""

from __future__ import annotations

import numpy as np
import pytest
from baselines.systems import PI, first, random_orthogonal, toeplitz

from qinspired.baselines import hhl


def test_walk_gives_the_known_fidelity_and_probability():
    A = toeplitz(8)
    alpha = 1.1 * np.linalg.eigvalsh(A).max()
    result = hhl(A, first(8), n_clock_qubits=8, phase_map="walk", alpha=alpha)
    assert result.fidelity == pytest.approx(0.999778, abs=5.1e-7)
    assert result.success_probability == pytest.approx(0.185006, abs=5.1e-7)
    assert result.n_queries == 510
    assert result.parameters["evolution_time"] is None
    assert result.parameters["guard"] is None
    assert result.parameters["signed"] is True


@pytest.mark.parametrize("t", [2, 3, 6])
def test_walk_is_exact_on_eigenvalues_that_are_cosines_of_the_register(t):
    values = np.cos(2 * PI * np.arange(2 ** (t - 2)) / 2**t)
    Q = random_orthogonal(np.random.default_rng(0), len(values))
    A = (Q * values) @ Q.T
    b = np.random.default_rng(1).standard_normal(len(values))
    result = hhl((A + A.T) / 2, b, n_clock_qubits=t, phase_map="walk", alpha=1.0)
    assert result.fidelity == pytest.approx(1.0, abs=1e-12)
    assert result.fidelity_mixed == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(result.x, np.linalg.solve((A + A.T) / 2, b), rtol=1e-9)


def infidelities(order, steps, *, A=None, t=8, guard=1):
    A = toeplitz(8) if A is None else A
    return np.array([1.0 - hhl(A, first(8), n_clock_qubits=t, guard=guard, trotter=(order, r)).fidelity for r in steps])


def test_first_order_formula_has_the_known_errors():
    np.testing.assert_allclose(infidelities(1, (1, 2, 4, 8, 16)), [7.1e-2, 1.5e-2, 3.5e-3, 8.8e-4, 2.2e-4], rtol=0.035)


def test_second_order_formula_has_the_known_errors():
    np.testing.assert_allclose(infidelities(2, (1, 2, 4, 8, 16)), [1.1e-2, 6.6e-4, 5.8e-5, 1.4e-5, 9e-6], rtol=0.02)


@pytest.mark.parametrize(("order", "steps"), [(1, (8, 16, 32)), (2, (4, 8, 16)), (4, (2, 4, 8))])
def test_error_of_the_eigenvalues_falls_with_the_order_of_the_formula(order, steps):
    A = toeplitz(8) + np.diag(np.linspace(0.0, 0.3, 8))
    exact = np.linalg.eigvalsh(A)
    errors = []
    for r in steps:
        found = hhl(A, first(8), n_clock_qubits=6, trotter=(order, r)).filter_curve.values
        errors.append(np.abs(np.sort(found) - exact).max())
    slopes = np.diff(np.log2(errors))
    # Errors of the eigenvalues of a real matrix are of even order in the step: order 1 falls as order 2.
    np.testing.assert_allclose(slopes, -max(order, 2), atol=0.35)


def test_formula_of_commuting_terms_is_exact():
    A = np.diag([1.0, 2.0, 3.0, 5.0])
    one, other = (hhl(A, np.ones(4), n_clock_qubits=6, trotter=trotter) for trotter in (None, (1, 1)))
    np.testing.assert_allclose(other.x, one.x, atol=1e-10)
    assert other.success_probability == pytest.approx(one.success_probability, abs=1e-12)
    assert other.fidelity_mixed == pytest.approx(one.fidelity_mixed, abs=1e-10)
    assert other.parameters["trotter"] == (1, 1)
    assert other.parameters["n_pauli_terms"] == 4  # II, IZ, ZI, ZZ
    assert other.parameters["n_exponentials"] == 4 * other.n_queries


def test_zero_eigenvalues_stay_zero_under_a_product_formula():
    for A in (np.diag([0.0, 1.0, 2.0, 3.0]), np.kron([[1.0, 1.0], [1.0, 1.0]], np.diag([1.0, 2.0]))):
        curve = hhl(A, [1.0, 1.0, 1.0, 0.5], n_clock_qubits=6, trotter=(2, 1)).filter_curve
        assert np.sum(curve.values == 0.0) == 4 - np.linalg.matrix_rank(A)
        assert np.abs(curve.target).max() <= 1.0 + 1e-12


def test_rotation_with_many_bits_is_the_exact_one_and_with_few_bits_is_not():
    exact = hhl(toeplitz(8), first(8), n_clock_qubits=8)
    errors = [
        abs(
            hhl(toeplitz(8), first(8), n_clock_qubits=8, rotation_bits=m).success_probability
            - exact.success_probability
        )
        for m in (4, 8, 40)
    ]
    assert errors[0] > 1e-3
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-10


def test_own_function_reproduces_the_built_in_filters():
    A, b = toeplitz(8), first(8)
    pairs = [
        ({"filter": "inverse"}, lambda v: 1.0 / v),
        ({"filter": "ridge", "ridge": 0.2}, lambda v: v / (v**2 + 0.2)),
    ]
    for options, function in pairs:
        built_in, own = hhl(A, b, n_clock_qubits=7, **options), hhl(A, b, n_clock_qubits=7, filter=function)
        np.testing.assert_allclose(own.x, built_in.x, rtol=1e-10)
        np.testing.assert_allclose(own.filter_curve.target, built_in.filter_curve.target, rtol=1e-12)
        assert own.parameters["C"] == pytest.approx(built_in.parameters["C"], rel=1e-12)
        assert own.parameters["filter"] is function


def test_truncated_pseudo_inverse_as_a_function_drops_small_singular_values():
    rng = np.random.default_rng(3)
    U, V = random_orthogonal(rng, 4), random_orthogonal(rng, 4)
    b = rng.standard_normal(4)
    factors = (U, np.array([4.0, 3.0, 1.0, 1.0]), V.T)
    truncated = hhl(factors, b, n_clock_qubits=4, evolution_time=PI / 8, filter=lambda v: (abs(v) >= 2) / v)
    expected = V[:, :2] @ ((U[:, :2].T @ b) / [4.0, 3.0])
    np.testing.assert_allclose(truncated.x, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (
            lambda v: np.full_like(v, np.nan),
            ValueError,
            "`filter` must return finite numbers; got nan at",
        ),
        (lambda v: 1j * v, TypeError, "`filter` must return real numbers; got dtype complex128"),
        (lambda v: v.sum(), ValueError, r"`filter` must return one number for each eigenvalue.*got shape \(\)"),
        (lambda v: 0.0 * v, ValueError, "`filter` must not be 0 on every register"),
        (np.exp, ValueError, r"`filter` must be odd .* or even"),
        (lambda v: v + 1e-4 * v * v, ValueError, r"`filter` must be odd .* or even"),
    ],
)
def test_own_function_is_checked(function, error, match):
    with pytest.raises(error, match=match):
        hhl([[1.0, 0.5], [0.0, 1.0]], [1.0, 1.0], n_clock_qubits=5, filter=function)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"phase_map": "walk", "evolution_time": 1.0},
            "`evolution_time` and `guard` must be 'auto'",
        ),
        ({"phase_map": "walk", "guard": 1}, "`evolution_time` and `guard` must be 'auto'"),
        ({"phase_map": "walk", "signed": False}, "`signed` must be True or 'auto' for phase_map 'walk'"),
        ({"phase_map": "walk", "alpha": 0.5}, r"`alpha` must be at least \|A\|"),
        ({"phase_map": "walk", "alpha": "trace"}, "`alpha` must be a number > 0, 'frobenius' or 'norm'"),
        ({"phase_map": "walk", "alpha": np.nan}, "`alpha` must be a finite number"),
        ({"phase_map": "walk", "n_clock_qubits": 1}, "integer >= 2"),
        ({"phase_map": "walk", "trotter": (1, 1)}, "`trotter` must be None unless"),
        ({"alpha": "norm"}, "`alpha` must be left at 'frobenius' unless"),
        ({"phase_map": "adiabatic"}, "`phase_map` must be one of 'hamiltonian', 'walk'"),
        ({"trotter": (3, 1)}, "the order, must be 1, 2 or 4; got 3"),
        ({"trotter": (1, 0)}, r"`trotter\[1\]` must be an integer >= 1"),
        ({"trotter": 2}, r"`trotter` must be None or a pair \(order, steps\)"),
        ({"rotation_bits": 0}, "`rotation_bits` must be an integer >= 1"),
        ({"rotation_bits": 60}, "`rotation_bits` must be at most 50"),
    ],
)
def test_bad_maps_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        hhl(np.diag([1.0, 2.0]), [1.0, 1.0], **options)


def test_product_formula_needs_whole_qubits_a_hermitian_matrix_and_few_rows():
    with pytest.raises(ValueError, match=r"`A` must have 2\^q rows .* got 3. Pad it .* to 4 rows"):
        hhl(np.eye(3), np.ones(3), trotter=(1, 1))
    with pytest.raises(ValueError, match="`trotter` must be None unless `A` is a Hermitian"):
        hhl([[1.0, 1.0], [0.0, 1.0]], np.ones(2), trotter=(1, 1))
    with pytest.raises(ValueError, match=r"at most 256 rows .* got 512, .* would take 21 MB and 7e\+10 complex"):
        hhl(np.eye(512), np.ones(512), trotter=(1, 1))
