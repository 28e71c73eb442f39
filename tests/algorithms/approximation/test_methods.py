from __future__ import annotations

import warnings

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from scipy import stats

import qinspired as qi
from qinspired.access import _mapped
from qinspired.algorithms.approximation._row_laws import (
    ReweightedRows,
    RowsBySquaredNorm,
    UniformRows,
    leverage,
    residual,
)
from qinspired.exceptions import ToleranceNotMetWarning

DRAWING = ["gram", "krylov", "residual", "leverage"]
ALL_ROWS = ["polished", "frequent_directions", "randomized", "exact"]
PROJECTIONS = ["auto", *DRAWING, *ALL_ROWS]


def with_values(shape, values, rng, row_skew=0.0):
    m, n = shape
    U = np.exp(row_skew * rng.standard_normal((m, 1))) * rng.standard_normal((m, len(values)))
    V = rng.standard_normal((n, len(values)))
    return (np.linalg.qr(U)[0] * values) @ np.linalg.qr(V)[0].T


def true_excess(A, components):
    dense = A.toarray() if sp.issparse(A) else np.asarray(A, dtype=np.float64)
    V = np.linalg.qr(np.asarray(components, dtype=np.float64).T)[0]
    best = np.linalg.norm(np.linalg.svd(dense, compute_uv=False)[V.shape[1] :])
    return np.linalg.norm(dense - (dense @ V) @ V.T) / best - 1


def gapped(rng, shape=(2000, 80), rank=4):
    return with_values(shape, np.concatenate([[4.0, 3.0, 2.5, 2.0][:rank], np.full(shape[1] - rank, 0.15)]), rng)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", PROJECTIONS)
def test_every_method_meets_its_tolerance_on_dense_and_sparse_matrices(method, dtype, is_sparse, rng):
    A = gapped(rng)
    A[rng.random(A.shape) < 0.3] = 0.0
    A = A.astype(dtype)
    approx = qi.low_rank(sp.csr_array(A) if is_sparse else A, 4, tolerance=0.1, method=method, rng=0)
    assert approx.excess.high <= 0.1
    assert true_excess(A, approx.components) <= 0.1
    assert approx.components.dtype == dtype
    np.testing.assert_allclose(approx.components @ approx.components.T, np.eye(4), atol=1e-5)
    if method != "auto":
        assert approx.method == method
    assert approx.method in approx.explain()


@pytest.mark.parametrize("method", ["fkv", "threshold"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_implicit_methods_work_on_dense_and_sparse_matrices(method, is_sparse, rng):
    A = gapped(rng)
    options = {"threshold": 1.0} if method == "threshold" else {}
    source = sp.csr_array(A) if is_sparse else A
    approx = qi.low_rank(source, 4, tolerance=0.2, method=method, rng=0, **options)
    assert approx.method == method
    assert approx.excess.high <= 0.2


# The laws of the methods "residual" and "leverage".

SMALL = np.array(
    [
        [1.0, 0.5, 0.0, 0.0],
        [2.0, 1.0, 0.1, 0.0],
        [0.0, 0.0, 3.0, 0.2],
        [0.3, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0],
        [1.0, -2.0, 0.5, 0.5],
    ]
)
SMALL_MASS = (SMALL**2).sum(axis=1) / (SMALL**2).sum()


def small_law(kind):
    """Return the law and, for each row, its score by the definition."""
    A = qi.CountingMatrix(qi.as_sq_matrix(SMALL))
    batch = RowsBySquaredNorm(A).draw(20, np.random.default_rng(0))
    values, vectors = np.linalg.eigh((batch.block.T * batch.weights) @ batch.block / batch.n_draws)
    pairs = qi.algorithms.approximation._ritz.Ritz(vectors[:, ::-1][:, :3], values[::-1][:3])
    norms = np.linalg.norm(SMALL, axis=1)
    cosines = SMALL @ pairs.vectors[:, :2] / np.where(norms > 0, norms, 1)[:, None]
    if kind == "residual":
        return ReweightedRows(A, *residual(pairs, 2)), 1 - (cosines**2).sum(axis=1)
    scores = np.minimum((cosines**2 / pairs.values[:2]).sum(axis=1) * pairs.values[1], 1)
    return ReweightedRows(A, *leverage(pairs, 2)), scores


def counts_of(batch, scores):
    """Return how often each row was drawn, from its weight: shares are counts over the ratio of the laws."""
    ratio = 0.5 + 0.5 * scores / (SMALL_MASS @ scores)
    counts = np.zeros(len(SMALL))
    counts[batch.rows] = batch.weights * (SMALL[batch.rows] ** 2).sum(axis=1) * ratio[batch.rows]
    return counts


@pytest.mark.parametrize("kind", ["residual", "leverage"])
def test_half_the_rows_follow_the_law_of_the_squared_norm_times_the_score(kind):
    law, scores = small_law(kind)
    n_draws = 200_000
    counts = counts_of(law.draw(n_draws, np.random.default_rng(1)), scores)
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.02 * counts.max())
    second = SMALL_MASS * scores / (SMALL_MASS @ scores)
    mixture = 0.5 * SMALL_MASS + 0.5 * second
    kept = mixture > 0
    assert counts[~kept].sum() == 0

    def p_value(probabilities):
        # Half of the draws are allotted to either law, so that the counts vary no more than a multinomial's.
        return stats.chisquare(
            counts[kept] * n_draws / counts.sum(), n_draws * probabilities[kept] / probabilities[kept].sum()
        ).pvalue

    assert p_value(mixture) > oracles.P_LOWEST
    assert p_value(SMALL_MASS) < oracles.P_LOWEST
    assert p_value(second + 1e-9 * SMALL_MASS) < oracles.P_LOWEST


def _outer_products(law, n_batches, n_draws, reweigh=None):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(n_batches):
        batch = law.draw(n_draws, rng)
        weights = batch.weights if reweigh is None else reweigh(batch)
        found.append((batch.block.T * weights) @ batch.block / n_draws)
    return np.array(found)


def _p_of_mean(products, expected):
    """Return the p-value of the largest deviation of the mean entries, for as many tests as there are entries."""
    upper = np.triu_indices(len(expected))
    sample = products[:, *upper]
    spread = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    z = np.abs(sample.mean(axis=0) - expected[upper]) / spread
    return min(1.0, 2 * z.size * stats.t.sf(z.max(), len(sample) - 1))


@pytest.mark.parametrize("kind", ["residual", "leverage", "squared norm", "uniform"])
def test_the_weighted_sum_of_drawn_rows_is_the_moment_matrix_on_average(kind, monkeypatch):
    if kind == "uniform":
        monkeypatch.setattr("qinspired.algorithms.approximation._row_laws._UNEVEN", np.inf)
        monkeypatch.setattr("qinspired.algorithms.approximation._row_laws._UNEVEN_PROBES", np.inf)
        A = qi.CountingMatrix(qi.as_sq_matrix(SMALL, index="later"))
        law = UniformRows(A, np.random.default_rng(0))
    elif kind == "squared norm":
        law = RowsBySquaredNorm(qi.CountingMatrix(qi.as_sq_matrix(SMALL)))
    else:
        law, _ = small_law(kind)
    products = _outer_products(law, 300, 4000)
    expected = SMALL.T @ SMALL / law.norm**2
    assert _p_of_mean(products, expected) > oracles.P_LOWEST
    traces = products.trace(axis1=1, axis2=2)
    np.testing.assert_allclose(traces.mean(), (SMALL**2).sum() / law.norm**2, rtol=0.01)


@pytest.mark.parametrize("kind", ["residual", "leverage"])
def test_the_check_of_the_weights_rejects_the_weights_of_draws_by_squared_norm(kind):
    law, scores = small_law(kind)

    def plain(batch):
        return counts_of(batch, scores)[batch.rows] / (SMALL[batch.rows] ** 2).sum(axis=1)

    products = _outer_products(law, 300, 4000, plain)
    assert _p_of_mean(products, SMALL.T @ SMALL / law.norm**2) < oracles.P_LOWEST


def test_scores_that_are_all_zero_leave_draws_by_squared_norm():
    A = qi.CountingMatrix(qi.as_sq_matrix(SMALL))
    law = ReweightedRows(A, np.eye(4), lambda cosines: np.zeros(len(cosines)))
    batch = law.draw(5000, np.random.default_rng(0))
    counts = np.zeros(6)
    counts[batch.rows] = batch.weights * (SMALL[batch.rows] ** 2).sum(axis=1)
    assert counts.sum() == pytest.approx(5000)
    assert oracles.chi_square_p(np.repeat(np.arange(6), np.rint(counts).astype(int)), SMALL_MASS) > oracles.P_LOWEST


@pytest.mark.parametrize("method", ["residual", "leverage"])
@pytest.mark.parametrize("row_skew", [0.0, 1.0])
def test_reweighted_rows_are_certified_with_intervals_that_cover_the_truth(method, row_skew):
    rng = np.random.default_rng(3)
    A = with_values((2500, 60), np.concatenate([[4.0, 3.0, 2.5], 0.7 * 0.95 ** np.arange(57)]), rng, row_skew)
    covered = 0
    for seed in range(60):
        approx = qi.low_rank(A, 3, tolerance=0.15, method=method, rng=seed)
        excess = true_excess(A, approx.components)
        covered += excess <= approx.excess.high
        assert excess <= 2 * 0.15
    # An upper end at 97.5 % is missed more than 8 times in 60 with a chance of 1e-4.
    assert covered >= 52


# The method "threshold".


def test_directions_of_at_least_the_threshold_are_kept(rng):
    A = with_values((1500, 60), np.concatenate([[8.0, 6.0, 4.0, 1.0], np.full(56, 0.02)]), rng)
    for threshold, kept in ((0.5, 4), (2.0, 3), (5.0, 2), (7.0, 1)):
        approx = qi.low_rank(A, 10, tolerance=0.5, threshold=threshold, rng=0)
        assert approx.method == "threshold"
        assert len(approx.singular_values) == kept
        assert (approx.singular_values >= threshold).all()
        assert f"{kept} singular values reach the threshold {threshold:g}" in approx.status


def test_no_more_directions_than_the_rank_are_kept_however_low_the_threshold(rng):
    A = with_values((1500, 60), np.concatenate([[8.0, 6.0, 4.0, 1.0], np.full(56, 0.02)]), rng)
    approx = qi.low_rank(A, 2, tolerance=0.5, method="threshold", threshold=0.5, rng=0)
    assert len(approx.singular_values) == 2


def test_a_threshold_above_the_largest_singular_value_is_refused_with_that_value(rng):
    A = with_values((800, 40), np.array([2.0, 1.0]), rng)
    with pytest.raises(ValueError, match=r"`threshold` must be at most the largest singular value, about .*; got 5\."):
        qi.low_rank(A, 2, threshold=5.0, rng=0)


def test_a_threshold_of_zero_is_the_method_fkv(rng):
    A = gapped(rng)
    one = qi.low_rank(A, 4, tolerance=0.2, method="fkv", rng=5)
    two = qi.low_rank(A, 4, tolerance=0.2, threshold=0.0, rng=5)
    np.testing.assert_array_equal(one.singular_values, two.singular_values)
    np.testing.assert_array_equal(one.components, two.components)
    assert (one.excess, one.error) == (two.excess, two.error)
    assert (one.method, two.method) == ("fkv", "threshold")


# The method "polished".

SPECTRA = {
    "gapped": np.concatenate([[4.0, 3.0, 2.5, 2.0], np.full(76, 0.15)]),
    "gapless": 1.0 / np.sqrt(1.0 + np.arange(80)),
    "geometric": 0.9 ** np.arange(80),
    "flat": np.ones(80),
    "power": 1.0 / (1.0 + np.arange(80)),
}


def test_one_pass_after_a_start_from_drawn_rows_is_nearly_exact_on_gapped_data(rng):
    A = gapped(rng)
    approx = qi.low_rank(A, 4, tolerance=0.01, method="polished", rng=0)
    assert approx.stats.full_passes == 1
    assert approx.stats.row_draws > 0
    assert true_excess(A, approx.components) < 1e-4
    assert "1 pass over all rows" in approx.status
    np.testing.assert_allclose(approx.singular_values, [4.0, 3.0, 2.5, 2.0], rtol=1e-4)


@pytest.mark.parametrize("row_skew", [0.0, 1.0])
@pytest.mark.parametrize("tolerance", [0.05, 0.005, 0.0005])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("method", ["polished", "randomized"])
def test_the_certificate_after_passes_covers_the_truth_on_every_spectrum(method, spectrum, tolerance, row_skew):
    A = with_values((1500, 80), SPECTRA[spectrum], np.random.default_rng(4), row_skew)
    norm, missed = np.linalg.norm(A), 0
    for seed in range(12):
        approx = qi.low_rank(A, 4, tolerance=tolerance, method=method, rng=seed)
        assert approx.excess.high <= tolerance
        excess = true_excess(A, approx.components)
        # The upper end is a promise at 95 %; the tolerance is kept with more room.
        missed += excess > approx.excess.high + 1e-12
        assert excess <= 1.5 * tolerance
        V = approx.components.T
        error = np.linalg.norm(A - (A @ V) @ V.T) / norm
        assert approx.error.low * (1 - 1e-9) <= error <= approx.error.high * (1 + 1e-9)
    # More than 4 of 12 at 5 % has a chance of 2e-4.
    assert missed <= 4


@pytest.mark.parametrize("size", [30.0, 300.0, 1e4, 1e6])
@pytest.mark.parametrize("spectrum", ["gapped", "geometric", "power"])
def test_one_row_that_holds_nearly_all_is_not_taken_for_a_start(size, spectrum):
    # Nearly all draws are that row: the start has few directions beside it, as if it were random.
    for seed in range(8):
        rng = np.random.default_rng(seed)
        A = with_values((1500, 60), SPECTRA[spectrum][:60], rng)
        A[rng.integers(1500)] *= size
        approx = qi.low_rank(A, 3, tolerance=0.01, method="polished", rng=seed)
        assert true_excess(A, approx.components) <= 0.01
        assert approx.excess.high <= 0.01


def _memory_mapped(A, tmp_path, monkeypatch):
    np.save(tmp_path / "matrix.npy", A)
    monkeypatch.setattr(_mapped, "CHUNK_BYTES", 100_000)
    return np.load(tmp_path / "matrix.npy", mmap_mode="r")


@pytest.mark.parametrize("method", ["polished", "randomized"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "centred", "centred sparse", "sharded", "mapped", "dynamic"])
def test_passes_go_over_every_kind_of_matrix_and_are_counted(kind, method, rng, tmp_path, monkeypatch):
    A = gapped(rng)
    A[rng.random(A.shape) < 0.2] = 0.0
    dense = A - A.mean(axis=0) if "centred" in kind else A
    source = {
        "dense": lambda: A,
        "sparse": lambda: sp.csr_array(A),
        "centred": lambda: qi.centred(A),
        "centred sparse": lambda: qi.centred(sp.csr_array(A)),
        "sharded": lambda: qi.access.vstack([A[:700], A[700:]]),
        "mapped": lambda: _memory_mapped(A, tmp_path, monkeypatch),
        "dynamic": lambda: qi.DynamicMatrix.from_matrix(A),
    }[kind]()
    approx = qi.low_rank(source, 4, tolerance=0.01, method=method, rng=0)
    assert approx.excess.high <= 0.01
    assert true_excess(dense, approx.components) <= 0.01
    values = np.linalg.svd(dense, compute_uv=False)[:4]
    np.testing.assert_allclose(approx.singular_values, values, rtol=0.01)
    assert approx.stats.full_passes >= 1
    assert f"{approx.stats.full_passes} pass" in approx.status


@pytest.mark.parametrize("scale", [1e30, 1e-30, 3e37, 1e-36])
@pytest.mark.parametrize("method", ["polished", "randomized"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_passes_over_float32_entries_of_extreme_size_lose_no_digits(scale, method, is_sparse, rng):
    A = gapped(rng).astype(np.float32)
    plain, scaled = (sp.csr_array(X) if is_sparse else X for X in (A, A * np.float32(scale)))
    one = qi.low_rank(plain, 4, tolerance=0.01, method=method, rng=0)
    two = qi.low_rank(scaled, 4, tolerance=0.01, method=method, rng=0)
    np.testing.assert_allclose(two.singular_values / scale, one.singular_values, rtol=1e-5)
    assert true_excess(A, two.components) < 0.01


# The method "frequent_directions".


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_bounds_of_frequent_directions_hold_for_certain(spectrum, rng):
    A = with_values((900, 80), SPECTRA[spectrum], rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToleranceNotMetWarning)
        approx = qi.low_rank(A, 4, tolerance=0.3, method="frequent_directions", rng=0)
    excess = true_excess(A, approx.components)
    assert approx.excess.low - 1e-12 <= excess <= approx.excess.high + 1e-12
    V = approx.components.T
    error = np.linalg.norm(A - (A @ V) @ V.T) / np.linalg.norm(A)
    assert approx.error.low * (1 - 1e-9) <= error <= approx.error.high * (1 + 1e-9)
    assert (approx.singular_values <= np.linalg.svd(A, compute_uv=False)[:4] * (1 + 1e-12)).all()
    assert approx.excess.confidence == 1.0
    assert (approx.stats.full_passes, approx.stats.row_draws) == (1, 0)
    assert "one pass into a sketch of" in approx.status


def test_frequent_directions_draws_no_random_number(rng):
    A = rng.standard_normal((300, 40))
    one, two = (qi.low_rank(A, 3, tolerance=0.3, method="frequent_directions", rng=seed) for seed in (0, 1))
    np.testing.assert_array_equal(one.components, two.components)
