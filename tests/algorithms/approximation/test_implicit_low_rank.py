from __future__ import annotations

import warnings

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.algorithms.approximation import _implicit_low_rank
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

RANK = 5


def with_spectrum(shape, values, rng, skew=0.0):
    m, n = shape
    count = len(values)
    U = np.linalg.qr(np.exp(skew * rng.standard_normal(m))[:, None] * rng.standard_normal((m, count)))[0]
    V = np.linalg.qr(np.exp(skew * rng.standard_normal(n))[:, None] * rng.standard_normal((n, count)))[0]
    return (U * values) @ V.T


def gapped(rng, shape=(900, 600)):
    return with_spectrum(shape, np.r_[np.geomspace(3, 1, RANK), np.full(min(shape) - RANK, 0.07)], rng)


def skeleton(X, approx):
    """Return A[:, cols] G A[rows], formed."""
    return (X[:, approx.cols] @ approx.column_weights) @ (approx.coefficients.T @ X[approx.rows])


def best_error(X, rank=RANK):
    """Return the relative error of the best approximation, by the dense SVD."""
    values = np.linalg.svd(X, compute_uv=False)
    return np.sqrt((values[rank:] ** 2).sum()) / np.linalg.norm(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_approximation_is_within_the_tolerance_of_the_best(build, dtype, rng):
    X = gapped(rng).astype(dtype)
    X[np.abs(X) < 0.002] = 0.0
    approx = qi.low_rank(build(X), RANK, tolerance=0.1, method="fkv", rng=1)
    X = X.astype(np.float64)
    error = np.linalg.norm(X - skeleton(X, approx)) / np.linalg.norm(X)
    best = best_error(X)
    assert error / best - 1 <= 0.1
    assert approx.excess.low <= error / best - 1 <= approx.excess.high <= 0.1
    assert approx.error.low <= error <= approx.error.high
    assert (approx.method, approx.rank, approx.shape) == ("fkv", RANK, (900, 600))
    np.testing.assert_allclose(approx.singular_values, np.linalg.svd(X, compute_uv=False)[:RANK], rtol=0.2)
    np.testing.assert_allclose(approx.core, approx.column_weights @ approx.coefficients.T)


def test_queries_rows_coordinates_and_components_are_those_of_the_formed_approximation(rng):
    X = gapped(rng, (300, 200))
    approx = qi.low_rank(X, RANK, tolerance=0.2, method="fkv", rng=0)
    wanted = skeleton(X, approx)
    rows, cols = np.array([0, 299, 7, 7]), np.array([199, 3, 0, 5])
    np.testing.assert_allclose(approx.query(rows, cols), wanted[rows, cols], atol=1e-13)
    grid = approx.query(rows[:, None], cols[None, :])
    np.testing.assert_allclose(grid, wanted[np.ix_(rows, cols)], atol=1e-13)
    assert approx.query(3, 4) == pytest.approx(wanted[3, 4])
    assert approx.query([], []).shape == (0,)
    np.testing.assert_allclose(approx.row(7).to_array(), wanted[7], atol=1e-13)
    vectors = np.array([approx.component(index).to_array() for index in range(RANK)])
    np.testing.assert_allclose(approx.coordinates(np.arange(300)) @ vectors, wanted, atol=1e-13)
    # The v_l are orthonormal up to the sampling error, the components exactly, with the same span.
    assert np.abs(vectors @ vectors.T - np.eye(RANK)).max() < 0.5
    V = approx.components
    np.testing.assert_allclose(V @ V.T, np.eye(RANK), atol=1e-12)
    np.testing.assert_allclose(vectors @ V.T @ V, vectors, atol=1e-12)
    np.testing.assert_allclose(approx.project(X[:3]), X[:3] @ V.T @ V, atol=1e-13)
    assert np.linalg.norm(X - X @ V.T @ V) <= np.linalg.norm(X - wanted)
    formed = approx.formed()
    np.testing.assert_array_equal(formed.components, V)
    assert (formed.error, formed.excess, formed.rank) == (approx.error, approx.excess, RANK)


def test_the_vectors_and_coordinates_are_those_of_the_textbook(rng):
    X = gapped(rng, (200, 150))
    A = qi.as_sq_matrix(X)
    found = _implicit_low_rank._attempt(qi.CountingMatrix(A), RANK, 80, np.random.default_rng(0))
    R = X[found.rows] / np.linalg.norm(X[found.rows], axis=1)[:, None] / np.sqrt(80)
    law = (R**2).sum(axis=0)
    W = R[:, found.cols] / np.sqrt(80 * law[found.cols])
    U, s, Zt = np.linalg.svd(W, full_matrices=False)
    core = (Zt[:RANK].T / np.sqrt(80 * law[found.cols])[:, None]) / s[:RANK] @ U[:, :RANK].T
    core = core / np.linalg.norm(X[found.rows], axis=1) / np.sqrt(80)
    np.testing.assert_allclose(found.column_weights @ found.coefficients.T, core, atol=1e-10 * np.abs(core).max())
    np.testing.assert_allclose(found.shares, s[:RANK], rtol=1e-12)


@pytest.mark.parametrize("shape", [(700, 500), (300, 900)])
def test_block_krylov_finds_the_leading_triplets(shape, rng, monkeypatch):
    monkeypatch.setattr(_implicit_low_rank, "_KRYLOV_GAIN", 1e-14)
    W = with_spectrum(shape, 0.9 ** np.arange(200), rng)
    found = _implicit_low_rank.leading_triplets(W, 6, rng)
    U, s, Zt = np.linalg.svd(W, full_matrices=False)
    np.testing.assert_allclose(found.s, s[:6], rtol=1e-8)
    np.testing.assert_allclose(np.abs(np.sum(found.U * U[:, :6], axis=0)), 1.0, atol=1e-6)
    np.testing.assert_allclose((found.U * found.s) @ found.Z.T, (U[:, :6] * s[:6]) @ Zt[:6], atol=1e-6)


@pytest.mark.parametrize("n_draws", [300, 1500])
def test_a_matrix_of_exact_rank_is_recovered_to_rounding(n_draws, rng, monkeypatch):
    monkeypatch.setattr(_implicit_low_rank, "_LEAST_DRAWS", n_draws)
    X = with_spectrum((2000, 400), np.array([3.0, 2.0, 1.0]), rng)
    approx = qi.low_rank(X, 3, tolerance=0.1, method="fkv", rng=0)
    assert np.linalg.norm(X - skeleton(X, approx)) < 1e-10 * np.linalg.norm(X)
    assert approx.excess.high == 0.0
    assert approx.error.high < 1e-10


@pytest.mark.parametrize("n_draws", [64, 1500])
def test_a_rank_above_that_of_the_matrix_gives_fewer_components(n_draws, rng, monkeypatch):
    monkeypatch.setattr(_implicit_low_rank, "_LEAST_DRAWS", n_draws)
    X = with_spectrum((300, 200), np.array([2.0, 1.0]), rng)
    approx = qi.low_rank(X, 6, tolerance=0.5, method="fkv", rng=0)
    assert approx.rank == 2
    assert approx.status.endswith("what was drawn has rank 2 to working precision, below the 6 asked for")
    assert np.linalg.norm(X - skeleton(X, approx)) < 1e-10
    with pytest.raises(IndexError, match=r"`index` must be in \[0, 2\), the number of components; got 2"):
        approx.component(2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_a_single_row_or_column_is_recovered(shape, rng):
    X = rng.standard_normal(shape)
    approx = qi.low_rank(X, 1, tolerance=0.5, method="fkv", rng=0)
    np.testing.assert_allclose(skeleton(X, approx), X, atol=1e-12)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_entries_whose_squares_leave_the_range_of_floats_give_the_same_answer(scale, rng):
    X = gapped(rng, (300, 200))
    unit = 2.0 ** np.round(np.log2(scale))
    plain = qi.low_rank(X, RANK, tolerance=0.2, method="fkv", rng=0)
    scaled = qi.low_rank(X * unit, RANK, tolerance=0.2, method="fkv", rng=0)
    np.testing.assert_array_equal(scaled.rows, plain.rows)
    np.testing.assert_allclose(scaled.singular_values / unit, plain.singular_values, rtol=1e-12)
    np.testing.assert_allclose(scaled.query([3], [4]) / unit, plain.query([3], [4]), rtol=1e-9)
    assert scaled.excess.value == pytest.approx(plain.excess.value, rel=1e-9)
    assert scaled.error.value == pytest.approx(plain.error.value, rel=1e-9)
    np.testing.assert_allclose(np.abs(scaled.components), np.abs(plain.components), atol=1e-9)


def test_the_same_seed_gives_the_same_answer(rng):
    X = gapped(rng, (300, 200))
    one, two = (qi.low_rank(X, RANK, tolerance=0.2, method="fkv", rng=4) for _ in range(2))
    np.testing.assert_array_equal(one.core, two.core)
    assert one.excess == two.excess


def test_a_row_of_the_approximation_is_drawn_by_its_squared_entries(rng):
    X = gapped(rng, (300, 60))
    approx = qi.low_rank(X, RANK, tolerance=0.2, method="fkv", rng=0)
    draws, _ = approx.row(17).sample(20_000, rng=0)
    law = oracles.law_of(skeleton(X, approx)[17])
    assert oracles.chi_square_p(draws, law) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of(X[17])) < oracles.P_LOWEST


def implicit(X):
    norms = np.linalg.norm(X, axis=1)
    return qi.ImplicitMatrix(
        lambda rows: norms[rows],
        None,
        shape=X.shape,
        entry_function=lambda rows, cols: X[rows, cols],
        norm_bound=norms.max(),
        entry_bound=np.abs(X).max(),
        frobenius_norm=float(np.linalg.norm(X)),
    )


def test_an_implicit_matrix_gives_an_implicit_approximation_and_no_row_is_read(rng):
    X = gapped(rng)
    A = implicit(X)
    approx = qi.low_rank(A, RANK, tolerance=0.15, rng=0)
    assert (approx.method, A.rows_computed) == ("fkv", 0)
    error = np.linalg.norm(X - skeleton(X, approx)) / np.linalg.norm(X)
    assert error / best_error(X) - 1 <= approx.excess.high <= 0.15
    # Proposals are counted, which the matrix alone sees.
    assert approx.stats.entries_read == A.entries_computed > approx.stats.entry_queries
    assert approx.stats.full_passes == approx.stats.rows_read == 0
    assert "implicit rank-5 approximation of a 900 x 600 matrix by fkv" in approx.explain()


def test_a_billion_short_rows_are_approximated_from_whole_rows_without_a_table_of_norms(rng):
    m, sigma = 10**9, 0.6 ** np.arange(8)
    V = np.linalg.qr(rng.standard_normal((100, 8)))[0]
    problem = qi.problems.virtual_low_rank_matrix((m, 100), sigma)
    A = qi.ImplicitMatrix(
        problem.row_norms,
        lambda rows: (problem.left_vectors(rows) * sigma) @ V.T,
        shape=(m, 100),
        norm_bound=problem.norm_bound,
        frobenius_norm=problem.frobenius_norm,
    )
    approx = qi.low_rank(A, 3, tolerance=0.1, rng=0)
    assert approx.method in ("gram", "krylov")
    error = np.linalg.norm(sigma[:, None] * (V.T - V.T @ approx.components.T @ approx.components))
    assert error / problem.optimal_error(3) / problem.frobenius_norm - 1 <= approx.excess.high <= 0.1


def test_a_billion_rows_and_columns_are_approximated_within_the_tolerance():
    problem = qi.problems.virtual_low_rank_matrix((10**9, 10**9), 0.8 ** np.arange(40))
    approx = qi.low_rank(qi.ImplicitMatrix(**problem.access), 10, tolerance=0.1, rng=0)
    error = problem.skeleton_error(approx.rows, approx.cols, approx.core)
    assert error / problem.optimal_error(10) - 1 <= approx.excess.high <= 0.1
    assert approx.error.low <= error <= approx.error.high
    draw, _ = approx.row(123_456_789).sample(1, rng=0)
    assert 0 <= draw[0] < 10**9
    for ask in (lambda: approx.components, lambda: approx.project(np.ones((1, 2))), approx.formed):
        with pytest.raises(ValueError, match=r"10 x 1000000000 components, 8e\+10 bytes.*use `component\(l\)`, `row"):
            ask()


def test_a_tolerance_that_is_not_certified_is_reported(rng, monkeypatch):
    monkeypatch.setattr(_implicit_low_rank, "_MOST_DRAWS", 70)
    with pytest.warns(ToleranceNotMetWarning, match="above the tolerance 0.01, after 70 drawn rows") as caught:
        approx = qi.low_rank(gapped(rng, (300, 200)), RANK, tolerance=0.01, method="fkv", rng=0)
    assert caught[0].filename == __file__
    assert approx.excess.high > 0.01
    assert "use a larger tolerance or a lower rank" in approx.status


def test_draws_grow_until_the_certificate_meets_the_tolerance(rng, monkeypatch):
    monkeypatch.setattr(_implicit_low_rank, "_MARGIN", 0.05)
    approx = qi.low_rank(gapped(rng), RANK, tolerance=0.05, method="fkv", rng=0)
    assert approx.excess.high <= 0.05
    assert len(approx.rows) > 64


def test_a_zero_matrix_is_refused():
    with pytest.raises(ZeroMassError, match="`A` must have a non-zero entry"):
        qi.low_rank(np.zeros((4, 4)), 2, method="fkv")


def test_indices_out_of_range_are_refused(rng):
    approx = qi.low_rank(gapped(rng, (60, 40)), 2, tolerance=0.5, method="fkv", rng=0)
    for ask in (lambda: approx.row(60), lambda: approx.coordinates([60]), lambda: approx.query([60], [0])):
        with pytest.raises(IndexError, match=r"must hold indices in \[0, 60\); got 60"):
            ask()
    for rows, cols in (([0, 1], [0, 1, 2]), (np.zeros((2, 3), dtype=int), [0, 1])):
        shapes = rf"got \({', '.join(map(str, np.shape(rows)))},?\) and \({len(cols)},\)"
        with pytest.raises(ValueError, match=rf"`rows` and `cols` must have shapes that numpy broadcasts; {shapes}"):
            approx.query(rows, cols)
    with pytest.raises(ValueError, match="`rows` must have 40 columns"):
        approx.project(np.ones((1, 39)))
    with pytest.raises(TypeError, match="`index` must be an integer"):
        approx.component(1.0)


SEEDS = 60
# Of 60 intervals that cover 93 %, more than 17 miss with probability 1e-7.
ALLOWED_MISSES = 17


@pytest.mark.parametrize("kind", ["gapped", "gapless", "skewed", "short tail"])
def test_the_intervals_cover_the_true_errors(kind):
    rng = np.random.default_rng(1)
    shape = (700, 500)
    X = {
        "gapped": lambda: gapped(rng, shape),
        "gapless": lambda: with_spectrum(shape, np.arange(1, 501) ** -0.5, rng),
        "skewed": lambda: with_spectrum(shape, np.r_[np.geomspace(3, 1, RANK), np.full(300, 0.08)], rng, skew=0.8),
        "short tail": lambda: with_spectrum(shape, 0.85 ** np.arange(40), rng),
    }[kind]()
    X /= np.linalg.norm(X)
    A, values = qi.as_sq_matrix(X), np.linalg.svd(X, compute_uv=False)
    best = np.sqrt((values[RANK:] ** 2).sum())
    misses, too_low, in_sample_misses = np.zeros(2), 0, 0
    ratios = []
    for seed in range(SEEDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToleranceNotMetWarning)
            answer = qi.low_rank(A, RANK, tolerance=0.3, method="fkv", rng=seed)
        error = np.linalg.norm(X - skeleton(X, answer))
        excess = error / best - 1.0
        misses += (
            not answer.error.low <= error <= answer.error.high,
            not answer.excess.low <= excess <= answer.excess.high,
        )
        too_low += excess > answer.excess.high
        ratios.append((answer.error.value / error) ** 2)
        # The twin: the error that the drawn rows and columns show, which the answer was fitted to.
        in_sample = np.sqrt(max(1.0 - (answer.singular_values**2).sum(), 0.0))
        in_sample_misses += not answer.error.low <= in_sample <= answer.error.high
    assert (misses <= ALLOWED_MISSES).all()
    assert too_low <= ALLOWED_MISSES // 2
    assert in_sample_misses > ALLOWED_MISSES
    # The squared error is estimated without bias.
    assert np.mean(ratios) == pytest.approx(1.0, abs=5 * np.std(ratios) / np.sqrt(SEEDS))


def test_equal_singular_values_are_certified_too_high_and_never_too_low():
    rng = np.random.default_rng(1)
    X = with_spectrum((500, 400), np.r_[np.ones(2 * RANK), np.full(390, 0.03)], rng)
    X /= np.linalg.norm(X)
    best = np.sqrt((np.linalg.svd(X, compute_uv=False)[RANK:] ** 2).sum())
    for seed in range(20):
        answer = qi.low_rank(X, RANK, tolerance=0.2, method="fkv", rng=seed)
        assert np.linalg.norm(X - skeleton(X, answer)) / best - 1.0 <= answer.excess.high


def test_a_direction_that_no_drawn_row_has_is_not_certified_away(monkeypatch):
    monkeypatch.setattr(_implicit_low_rank, "_MOST_DRAWS", 64)
    # Rank one, one row with a direction of its own that carries 1 % of |A|_F^2, and noise of 0.01 %. Of 64 rows drawn
    # none is that row in half the runs; of 256 more, in a thirteenth.
    rng = np.random.default_rng(0)
    X = np.outer(rng.standard_normal(1000), rng.standard_normal(200))
    X /= np.linalg.norm(X)
    noise, spike = rng.standard_normal(X.shape), rng.standard_normal(200)
    X += 0.01 * noise / np.linalg.norm(noise)
    X[7] += 0.1 * spike / np.linalg.norm(spike)
    best = best_error(X, 2) * np.linalg.norm(X)
    certified_away = unseen = 0
    for seed in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToleranceNotMetWarning)
            answer = qi.low_rank(X, 2, tolerance=0.5, method="fkv", rng=seed)
        certified_away += np.linalg.norm(X - skeleton(X, answer)) / best - 1.0 > answer.excess.high
        unseen += 7 not in qi.as_sq_matrix(X).sample_rows(64, rng=seed)
    assert certified_away <= 5
    assert unseen > 8


def test_the_proposals_of_single_draws_are_the_oversampling_too(rng):
    X = gapped(rng, (300, 60))
    row = qi.low_rank(X, RANK, tolerance=0.3, method="fkv", rng=0).row(17)
    sizes = np.linalg.norm(X[row.rows], axis=1) * row.coefficients
    phi = len(row.rows) * (sizes @ sizes) / np.linalg.norm(row.to_array()) ** 2
    generator = np.random.default_rng(0)
    proposals = [row.sample(1, generator)[1] for _ in range(1500)]
    # Geometric counts have a relative standard deviation below 1; five of them is p < 1e-6.
    assert np.mean(proposals) == pytest.approx(phi, rel=5 / np.sqrt(1500))


@pytest.mark.parametrize("tail", [2e-3, 1e-4, 1e-6])
def test_the_certificate_of_a_small_error_is_as_good_in_float32(tail, rng):
    values = np.r_[1.0, np.full(4, 3 * tail), np.linspace(1.2, 0.8, 60) * tail / np.sqrt(60)]
    X = with_spectrum((900, 600), values, rng).astype(np.float32)
    approx = qi.low_rank(X, 5, tolerance=0.1, method="fkv", rng=0)
    error = np.linalg.norm(X - skeleton(X.astype(np.float64), approx)) / np.linalg.norm(X)
    assert approx.rank == 5
    assert 0.0 < approx.excess.low <= error / best_error(X.astype(np.float64)) - 1 <= approx.excess.high <= 0.1
    # The singular vectors' own part of float32 rounding is no direction.
    few = with_spectrum((900, 600), np.array([1.0, 0.5]), rng).astype(np.float32)
    approx = qi.low_rank(few, 5, tolerance=0.1, method="fkv", rng=0)
    assert (approx.rank, approx.excess.high) == (2, 0.0)
