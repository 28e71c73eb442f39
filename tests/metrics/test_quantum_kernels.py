from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.metrics import geometric_difference, kernel_concentration, kernel_error_bound, model_complexity


def random_kernel(seed, n=12, rank=None):
    G = np.random.default_rng(seed).standard_normal((n, n + 3 if rank is None else rank))
    return G @ G.T


def normalised(K):
    return K * len(K) / np.trace(K)


def naive_difference(classical, quantum, ridge=0.0):
    C, Q = normalised(classical), scipy.linalg.sqrtm(normalised(quantum)).real
    inverse = np.linalg.inv(C + ridge * np.eye(len(C)))
    root = scipy.linalg.sqrtm(C).real
    return np.sqrt(np.linalg.norm(Q @ root @ inverse @ inverse @ root @ Q, 2))


@pytest.mark.parametrize("rank", [None, 3])
def test_kernel_differs_from_itself_by_one_even_if_singular(rank):
    assert geometric_difference(random_kernel(0, rank=rank), random_kernel(0, rank=rank)) == pytest.approx(
        1.0, abs=1e-9
    )


def test_smooth_kernel_whose_spectrum_ends_in_rounding_differs_from_itself_by_one():
    points = np.linspace(0, 1, 60)
    K = np.exp(-((points[:, None] - points) ** 2))
    assert geometric_difference(K, K) == pytest.approx(1.0, abs=1e-6)


def test_small_cases_by_hand():
    # K_C becomes diag(1/2, 3/2), K_Q = I: the largest of 1 / lambda is 2.
    assert geometric_difference(np.diag([1.0, 3.0]), np.eye(2)) == pytest.approx(np.sqrt(2), rel=1e-14)
    # K_C = I and K_Q the matrix of ones, eigenvalues 2 and 0.
    assert geometric_difference(np.eye(2), np.ones((2, 2))) == pytest.approx(np.sqrt(2), rel=1e-14)
    # With lambda = 1: 2 / (1 + 1)^2.
    assert geometric_difference(np.eye(2), np.ones((2, 2)), regularisation=1.0) == pytest.approx(
        np.sqrt(0.5), rel=1e-14
    )
    # K = diag(1/2, 3/2): 4 / (1/2) + 9 / (3/2), and with lambda = 1/2: 4 (1/2) / 1 + 9 (3/2) / 4.
    assert model_complexity(np.diag([1.0, 3.0]), [2.0, 3.0]) == pytest.approx(14.0, rel=1e-14)
    assert model_complexity(np.diag([1.0, 3.0]), [2.0, 3.0], regularisation=0.5) == pytest.approx(5.375, rel=1e-14)


@pytest.mark.parametrize("ridge", [0.0, 0.01, 1.0])
def test_difference_and_complexity_are_those_of_the_formulas(ridge):
    C, Q, y = random_kernel(1), random_kernel(2), np.random.default_rng(3).standard_normal(12)
    assert geometric_difference(C, Q, regularisation=ridge) == pytest.approx(naive_difference(C, Q, ridge), rel=1e-9)
    K = normalised(C)
    inverse = np.linalg.inv(K + ridge * np.eye(12))
    expected = y @ inverse @ K @ inverse @ y
    assert model_complexity(C, y, regularisation=ridge) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 7.0, 1e300])
def test_scale_of_a_kernel_does_not_matter(factor):
    C, Q, y = random_kernel(1), random_kernel(2), np.ones(12)
    expected = geometric_difference(C, Q, regularisation=0.1)
    assert geometric_difference(factor * C, Q, regularisation=0.1) == pytest.approx(expected, rel=1e-12)
    assert geometric_difference(C, factor * Q, regularisation=0.1) == pytest.approx(expected, rel=1e-12)
    assert model_complexity(factor * C, y) == pytest.approx(model_complexity(C, y), rel=1e-10)


def test_order_of_the_points_does_not_matter():
    C, Q, order = random_kernel(1), random_kernel(2), np.random.default_rng(0).permutation(12)
    shuffled = geometric_difference(C[np.ix_(order, order)], Q[np.ix_(order, order)])
    assert shuffled == pytest.approx(geometric_difference(C, Q), rel=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 10), st.floats(0.0, 10.0))
def test_classical_complexity_is_at_most_the_squared_difference_times_the_quantum_one(seed, n, ridge):
    C, Q = random_kernel(seed, n), random_kernel(seed + 1, n)
    y = np.random.default_rng(seed + 2).standard_normal(n)
    g = geometric_difference(C, Q, regularisation=ridge)
    assert geometric_difference(C, Q) > 1 - 1e-9
    classical = model_complexity(C, y, regularisation=ridge)
    assert classical <= g**2 * model_complexity(Q, y) * (1 + 1e-6)


def test_bound_is_reached_by_the_top_eigenvector():
    C, Q = normalised(random_kernel(1)), normalised(random_kernel(2))
    root = scipy.linalg.sqrtm(Q).real
    y = root @ np.linalg.eigh(root @ np.linalg.inv(C) @ root)[1][:, -1]
    assert model_complexity(C, y) == pytest.approx(geometric_difference(C, Q) ** 2 * model_complexity(Q, y), rel=1e-8)


def test_singular_classical_kernel_gives_infinity_where_the_quantum_one_is_not_in_its_range():
    C, Q = np.diag([1.0, 1.0, 0.0]), np.eye(3)
    assert geometric_difference(C, Q) == np.inf
    assert geometric_difference(C, Q, regularisation=0.1) < np.inf
    # Within the range: K_Q = diag(3, 0, 0) against diag(3/2, 3/2, 0).
    assert geometric_difference(C, np.diag([1.0, 0.0, 0.0])) == pytest.approx(np.sqrt(2), rel=1e-14)


def test_singular_kernel_has_infinite_complexity_for_labels_that_it_cannot_give():
    K = np.diag([1.0, 1.0, 0.0])
    assert model_complexity(K, [0.0, 0.0, 1.0]) == np.inf
    assert model_complexity(K, [1.0, 1.0, 0.0]) == pytest.approx(2 / 1.5, rel=1e-14)
    assert model_complexity(K, [0.0, 0.0, 1.0], regularisation=0.1) == 0.0
    assert model_complexity(K, [0.0, 0.0, 0.0]) == 0.0


def test_kernel_of_single_precision_is_judged_by_its_own_rounding():
    K = random_kernel(4, n=30, rank=5).astype(np.float32)
    assert geometric_difference(K, K) == pytest.approx(1.0, abs=1e-3)


BAD = [
    (np.ones((2, 3)), "square"),
    (np.array([[1.0, 0.5], [0.2, 1.0]]), "symmetric"),
    (np.array([[1.0, 2.0], [2.0, 1.0]]), "positive semidefinite"),
    (-np.eye(2), "positive semidefinite"),
    (np.zeros((2, 2)), "must not be zero"),
    (np.array([[np.nan, 0.0], [0.0, 1.0]]), "finite"),
    (np.array([[np.inf, 0.0], [0.0, 1.0]]), "finite"),
    (np.zeros((0, 0)), "at least one row"),
    (np.eye(2) * 1j, "real"),
]


@pytest.mark.parametrize(("K", "words"), BAD)
def test_what_is_no_kernel_matrix_is_refused_by_name(K, words):
    with pytest.raises(ValueError, match=f"`K_classical`.*{words}"):
        geometric_difference(K, np.eye(2))
    with pytest.raises(ValueError, match=f"`K_quantum`.*{words}"):
        geometric_difference(np.eye(2), K)
    with pytest.raises(ValueError, match=f"`K`.*{words}"):
        model_complexity(K, [1.0, 1.0])
    with pytest.raises(ValueError, match=f"`K`.*{words}"):
        kernel_error_bound(K, [1.0, 1.0])


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="`K_quantum` must be of the same 2 points"):
        geometric_difference(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="`regularisation`"):
        geometric_difference(np.eye(2), np.eye(2), regularisation=-1.0)
    with pytest.raises(ValueError, match="`regularisation`"):
        model_complexity(np.eye(2), [1, 1], regularisation=np.nan)
    with pytest.raises(ValueError, match="`y` must have one entry for each of the 2 rows of `K`"):
        model_complexity(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="`y` must be finite"):
        model_complexity(np.eye(2), [1.0, np.nan])
    with pytest.raises(ValueError, match="`y` must have one entry"):
        kernel_error_bound(np.eye(2), [1.0])


def test_error_bound_is_the_least_over_the_ridges():
    K, y = normalised(random_kernel(5, n=20, rank=8)), np.random.default_rng(0).choice([-1.0, 1.0], size=20)

    def bound(ridge):
        inverse = np.linalg.inv(K + ridge * np.eye(20))
        return np.sqrt(y @ inverse @ K @ inverse @ y / 20) + ridge * np.linalg.norm(inverse @ y) / np.sqrt(20)

    least = min(bound(ridge) for ridge in np.logspace(-6, 4, 2000))
    assert kernel_error_bound(K, y) == pytest.approx(least, rel=1e-3)
    assert kernel_error_bound(K, 3 * y) == pytest.approx(3 * kernel_error_bound(K, y), rel=1e-12)
    assert kernel_error_bound(5 * K, y) == pytest.approx(kernel_error_bound(K, y), rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 10))
def test_classical_bound_is_at_most_the_difference_times_the_quantum_one(seed, n):
    C, Q = random_kernel(seed, n), random_kernel(seed + 1, n)
    y = np.random.default_rng(seed + 2).choice([-1.0, 1.0], size=n)
    assert kernel_error_bound(C, y) <= geometric_difference(C, Q) * kernel_error_bound(Q, y) * 1.01


@pytest.mark.parametrize("factor", [1e-310, 1e-200, 1e150, 1e308])
def test_targets_of_extreme_size_are_scaled(factor):
    K, y = random_kernel(1), np.random.default_rng(0).choice([-1.0, 1.0], size=12)
    assert kernel_error_bound(K, factor * y) == pytest.approx(factor * kernel_error_bound(K, y), rel=1e-8, abs=0.0)
    assert model_complexity(1e150 * K, 1e150 * y) == pytest.approx(1e300 * model_complexity(K, y), rel=1e-10)


def test_complexity_beyond_the_floats_is_refused():
    with pytest.raises(ValueError, match="`y` must be scaled down: with entries up to 1e\\+200"):
        model_complexity(np.eye(3), np.full(3, 1e200))
    assert model_complexity(np.diag([1.0, 1.0, 0.0]), [0.0, 0.0, 1e200], regularisation=0.1) == 0.0


def test_error_bound_by_hand():
    y = np.array([1.0, -1.0, 1.0, -1.0])
    # K = y y^T: s = 1 / 4 of N = 4 without a ridge. K = I: s = N at 0, nothing learnt at infinity, between no better.
    assert kernel_error_bound(np.outer(y, y), y) == pytest.approx(0.25**0.5, abs=1e-6)
    assert kernel_error_bound(np.eye(4), y) == pytest.approx(1.0, abs=1e-6)
    assert kernel_error_bound(np.outer(np.ones(4), np.ones(4)), y) == pytest.approx(1.0, abs=1e-6)
    assert kernel_error_bound(np.eye(4), np.zeros(4)) == 0.0


def test_concentration_is_that_of_the_off_diagonal_entries():
    K = np.array([[1, 0.5, 0.25], [0.5, 1, 0.75], [0.25, 0.75, 1]])
    found = kernel_concentration(K)
    assert found.mean == 0.5
    assert found.variance == pytest.approx(np.var([0.5, 0.25, 0.75]), rel=1e-14)
    assert found.shots == pytest.approx((0.25 + 2 * 3 / 16) / 3 / (1 / 24), rel=1e-14)


def test_at_the_shots_given_noise_is_as_large_as_the_spread():
    rng = np.random.default_rng(0)
    entries = rng.uniform(0.1, 0.3, size=(60, 60))
    K = np.triu(entries, 1) + np.triu(entries, 1).T + np.eye(60)
    found = kernel_concentration(K)
    shots = round(found.shots)
    off = np.triu_indices(60, 1)
    noise = rng.binomial(shots, K[off]) / shots - K[off]
    assert np.var(noise) == pytest.approx(found.variance, rel=0.1)


def test_constant_kernel_needs_infinitely_many_shots():
    assert kernel_concentration(np.full((4, 4), 0.3) + 0.7 * np.eye(4)).shots == np.inf


@pytest.mark.parametrize(
    ("K", "words"),
    [
        (np.eye(1), "at least 2 points"),
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "probabilities"),
        (np.array([[1.0, -0.5], [-0.5, 1.0]]), "probabilities"),
        (np.array([[1.0, 0.5], [0.2, 1.0]]), "symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
    ],
)
def test_concentration_refuses_what_is_no_fidelity_kernel(K, words):
    with pytest.raises(ValueError, match=words):
        kernel_concentration(K)
