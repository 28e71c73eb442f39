from __future__ import annotations

import itertools
import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import P_LOWEST
from scipy import stats
from zoo import ZOO

import qinspired as qi
from qinspired.algorithms.spectrum._intervals import gamma_low_high, student_reach, unseen_share
from qinspired.algorithms.spectrum._moments import CyclicMoments, _closed_moments, _increasing_cycles
from qinspired.algorithms.spectrum._spectra import DrawnSpectrum, KnownSpectrum
from qinspired.algorithms.spectrum._values import leading_shares
from qinspired.exceptions import VersionError, ZeroMassError

SEEDS = 200

# An interval that covers 93 % misses more than 35 of 200 with a probability below 1e-6.
ALLOWED_MISSES = int(stats.binom.isf(P_LOWEST, SEEDS, 0.07))


def with_values(values, m=400, skew=0.0, seed=1):
    rng = np.random.default_rng(seed)
    n = len(values)
    U, V = np.linalg.qr(rng.standard_normal((m, n)))[0], np.linalg.qr(rng.standard_normal((n, n)))[0]
    return np.exp(skew * rng.standard_normal(m))[:, None] * ((U * values) @ V.T)


def singular_values(A):
    return np.linalg.svd(np.asarray(A, dtype=np.float64), compute_uv=False)


def covers(found, truth, rounding=1e-9):
    slack = rounding * abs(truth)
    return found.low <= truth + slack and truth - slack <= found.high


def unit_rows(r, n, seed=0):
    B = np.random.default_rng(seed).standard_normal((r, n))
    return B / np.linalg.norm(B, axis=1, keepdims=True)


def closed_walk(gram, places):
    return math.prod(gram[s, t] for s, t in zip(places, (*places[1:], places[0]), strict=True))


GAPPED = np.concatenate([np.geomspace(3.0, 1.0, 5), np.full(55, 0.15)])
SLOW = np.arange(1.0, 61.0) ** -0.5


# What is averaged ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4])
def test_low_moments_are_the_means_of_cyclic_products_over_all_tuples_of_different_draws(order):
    B = unit_rows(8, 3)
    gram = B @ B.T
    values, without = _closed_moments(gram)
    tuples = list(itertools.permutations(range(8), order))
    assert values[order - 1] == pytest.approx(np.mean([closed_walk(gram, t) for t in tuples]), rel=1e-12)
    for draw in range(8):
        left = np.mean([closed_walk(gram, t) for t in tuples if draw not in t])
        assert without[order - 1, draw] == pytest.approx(left, rel=1e-12)


@pytest.mark.parametrize("order", [5, 6, 7, 8])
def test_high_moments_are_sums_of_cyclic_products_over_increasing_tuples(order):
    B = unit_rows(10, 4)
    gram = B @ B.T
    totals, through = _increasing_cycles(gram)
    products = {t: closed_walk(gram, t) for t in itertools.combinations(range(10), order)}
    assert totals[order - 5] == pytest.approx(sum(products.values()), rel=1e-11)
    for draw in range(10):
        assert through[order - 5, draw] == pytest.approx(sum(p for t, p in products.items() if draw in t), rel=1e-11)


def test_high_moments_without_a_draw_are_those_of_the_other_draws_in_the_same_order(monkeypatch):
    gram = np.abs(unit_rows(24, 3) @ unit_rows(24, 3).T)
    monkeypatch.setattr("qinspired.algorithms.spectrum._moments._GROUP", 12)
    values, without = CyclicMoments(gram, 7).up_to(8)
    rng = np.random.default_rng(7)
    groups = [group for _ in range(2) for group in np.array_split(rng.permutation(24), 2)]
    for order in (5, 8):
        mean, mean_without = 0.0, 0.0
        for group in groups:
            products = {t: closed_walk(gram, t) for t in itertools.combinations(group.tolist(), order)}
            mean += np.mean(list(products.values())) / 4
            mean_without += np.mean([p for t, p in products.items() if 3 not in t]) / 4
        assert values[order - 1] == pytest.approx(mean, rel=1e-11)
        assert without[order - 1, 3] == pytest.approx(mean_without, rel=1e-11)


def test_moments_have_no_bias_over_all_draws_of_a_small_matrix():
    A = np.array([[2.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.5, -1.0]])
    law = (A**2).sum(axis=1) / (A**2).sum()
    B = A / np.linalg.norm(A, axis=1, keepdims=True)
    mean = np.zeros(4)
    for draws in itertools.product(range(3), repeat=5):
        rows = B[list(draws)]
        mean += law[list(draws)].prod() * _closed_moments(rows @ rows.T)[0]
    shares = singular_values(A) ** 2 / (A**2).sum()
    np.testing.assert_allclose(mean, [(shares**q).sum() for q in (1, 2, 3, 4)], rtol=1e-12)


def test_high_moments_have_no_bias_over_seeds():
    A = with_values(SLOW[:12])
    shares = singular_values(A) ** 2 / np.linalg.norm(A) ** 2
    matrix = qi.as_sq_matrix(A)
    found, naive = [], []
    for seed in range(200):
        rows = matrix.rows(matrix.sample_rows(60, seed))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found.append(CyclicMoments(rows @ rows.T, seed).up_to(8)[0][4:])
        sampled = np.linalg.eigvalsh(rows.T @ rows / 60)
        naive.append([(sampled**q).sum() for q in (5, 6, 7, 8)])
    exact = [(shares**q).sum() for q in (5, 6, 7, 8)]
    # 4.9 standard errors have a probability of 1e-6; the twin are the power sums of the sampled eigenvalues.
    off, naive_off = (
        np.abs(np.mean(part, axis=0) - exact) * math.sqrt(200) / np.std(part, axis=0) for part in (found, naive)
    )
    assert off.max() < 4.9
    assert naive_off.min() > 4.9


def test_the_effective_rank_is_the_inverse_of_the_mean_squared_cosine_of_two_draws():
    A = with_values(SLOW)
    found = qi.spectral_summary(A, n_draws=50, rng=3)
    rows = A[qi.as_sq_matrix(A).sample_rows(50, 3)]
    norms = np.linalg.norm(rows, axis=1)
    cosines = rows @ rows.T / np.outer(norms, norms)
    mean = (cosines[~np.eye(50, dtype=bool)] ** 2).mean()
    assert found.effective_rank.value == pytest.approx(1.0 / mean, rel=1e-12)


def test_an_interval_of_a_count_is_garwoods_and_of_squares_of_normal_numbers_a_chi_square():
    found = gamma_low_high(np.array([9.0]), np.array([9.0]), np.array([3.0]), 10**9)
    assert found[0][0] == pytest.approx(stats.chi2.ppf(0.025, 18) / 2, rel=1e-6)
    assert found[1][0] == pytest.approx(stats.chi2.ppf(0.975, 20) / 2, rel=1e-6)
    low, high = gamma_low_high(np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 0.0]), 50)
    assert low[0] == 0.0
    assert (low[1], high[1]) == (0.0, 0.0)
    assert low[2] == pytest.approx(1.0, abs=1e-5)
    assert high[2] == pytest.approx(1.0, abs=1e-5)


def test_the_unseen_share_is_missed_by_all_draws_with_the_probability_of_a_tail():
    assert (1.0 - unseen_share(1000)) ** 1000 == pytest.approx(0.025, rel=0.01)
    assert unseen_share(2) == 1.0
    assert student_reach(31) == pytest.approx(stats.t.ppf(0.975, 30), rel=1e-9)


# All rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 25), (25, 60), (30, 30)])
def test_with_as_many_draws_as_rows_everything_is_exact(shape, rng):
    A = rng.standard_normal(shape)
    found = qi.spectral_summary(A, rank=7, n_draws=60)
    sigma = singular_values(A)
    np.testing.assert_allclose([s.value for s in found.singular_values], sigma[:7], rtol=1e-12)
    assert all(s.low == s.value == s.high for s in found.singular_values)
    assert found.method == "exact"
    assert (found.norm.confidence, found.norm.n_draws) == (1.0, 0)
    assert found.norm == found.singular_values[0]
    assert found.stable_rank.value == pytest.approx((sigma**2).sum() / sigma[0] ** 2, rel=1e-12)
    assert found.effective_rank.value == pytest.approx((sigma**2).sum() ** 2 / (sigma**4).sum(), rel=1e-12)
    for p in (1, 1.5, 3, 4, 7.3, 16, 400):
        exact = sigma[0] * ((sigma / sigma[0]) ** p).sum() ** (1 / p)
        assert found.schatten(p).value == pytest.approx(exact, rel=1e-12)
        assert found.schatten(p).low == found.schatten(p).high
    moment = A.T @ A
    trace = found.trace(lambda x: 1.0 / (x + 2.0))
    assert trace.value == pytest.approx(np.trace(np.linalg.inv(moment + 2.0 * np.eye(shape[1]))), rel=1e-10)
    assert trace.low == trace.high
    assert found.stats.full_passes == 1
    assert found.stats.row_draws == 0


def test_a_log_determinant_of_full_rank_is_exact_from_all_rows(rng):
    A = rng.standard_normal((40, 10))
    found = qi.spectral_summary(A).trace(np.log)
    assert found.value == pytest.approx(np.linalg.slogdet(A.T @ A)[1], rel=1e-12)


@pytest.mark.parametrize("specimen", ZOO, ids=str)
def test_every_storage_gives_the_same_exact_values(specimen, tmp_path):
    found = qi.spectral_summary(specimen.build(tmp_path), rank=4)
    exact = singular_values(specimen.dense)[:4]
    np.testing.assert_allclose([s.value for s in found.singular_values], exact, atol=1e-12 * exact[0])


def test_a_condition_number_of_1e16_is_known_to_rounding_from_all_rows():
    A = with_values(np.geomspace(1.0, 1e-16, 9), 60)
    found = qi.spectral_summary(A, rank=9)
    np.testing.assert_allclose(
        [s.value for s in found.singular_values], np.geomspace(1.0, 1e-16, 9), rtol=1e-6, atol=1e-15
    )


def test_products_of_sparse_rows_give_intervals_as_long_as_their_rounding(monkeypatch, rng):
    A = sp.random_array((50, 30), density=0.3, rng=rng, format="csr") @ sp.diags_array(np.geomspace(1.0, 1e-12, 30))
    exact = singular_values(A.toarray())
    monkeypatch.setattr("qinspired.algorithms.spectrum._summary._DENSE_CELLS", 10)
    for matrix in (A, A.T.tocsr()):
        found = qi.spectral_summary(matrix, rank=30)
        assert all(covers(s, e) for s, e in zip(found.singular_values, exact, strict=True))
        assert found.singular_values[0].high - found.singular_values[0].low < 1e-9 * exact[0]
        assert found.singular_values[-1].low == 0.0
        assert found.singular_values[-1].high < 1e-5 * exact[0]
        for p in (1, 4):
            assert covers(found.schatten(p), (exact**p).sum() ** (1 / p))
        assert covers(found.trace(np.sqrt), exact.sum())


def test_the_interval_of_a_decreasing_function_of_rounded_values_is_ordered():
    found = KnownSpectrum(np.array([0.75, 0.25]), 0.01).sum_of(lambda x: 1.0 - x)
    assert (found.low, found.value, found.high) == pytest.approx((0.98, 1.0, 1.02))


# Drawn rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "float32", "csr", "csc", "implicit", "dynamic", "sharded"])
def test_every_storage_is_drawn_from(form):
    A = with_values(GAPPED)
    matrix = {
        "dense": lambda: A,
        "float32": lambda: A.astype(np.float32),
        "csr": lambda: sp.csr_array(A),
        "csc": lambda: sp.csc_array(A),
        "implicit": lambda: qi.ImplicitMatrix(None, lambda rows: A[rows], shape=A.shape),
        "dynamic": lambda: filled(A),
        "sharded": lambda: qi.ShardedMatrix([A[:150], A[150:]]),
    }[form]()
    found = qi.spectral_summary(matrix, rank=5, n_draws=200, rng=0)
    sigma = singular_values(A)
    assert found.method == "sampled"
    # Three standard deviations and more, for 5 values in 7 storages with different draws.
    assert all(abs(s.value - e) < s.high - s.low for s, e in zip(found.singular_values, sigma, strict=False))
    assert found.frobenius_norm == pytest.approx(np.linalg.norm(A), rel=1e-6)
    assert found.stats.row_draws == 200
    assert found.stats.rows_read <= 200
    assert found.stats.full_passes == 0


def filled(A):
    matrix = qi.DynamicMatrix(A.shape)
    rows, cols = np.nonzero(A)
    matrix.update(rows, cols, A[rows, cols])
    return matrix


def test_a_summary_outlives_an_update_of_the_matrix():
    matrix = filled(with_values(GAPPED))
    found = qi.spectral_summary(matrix, n_draws=60, rng=0)
    matrix.update([0], [0], [100.0])
    assert found.schatten(4).value > 0.0
    assert "sigma_1" in repr(found)
    with pytest.raises(VersionError):
        found.source.rows([0])


def test_dense_sparse_and_scaled_matrices_give_the_same_numbers():
    A = with_values(GAPPED)
    found = qi.spectral_summary(A, n_draws=100, rng=5)
    for other, unit in ((sp.csr_array(A), 1.0), (1e150 * A, 1e150), (1e-150 * A, 1e-150), (-A, 1.0)):
        again = qi.spectral_summary(other, n_draws=100, rng=5)
        for ours, theirs in zip(found.singular_values, again.singular_values, strict=True):
            np.testing.assert_allclose([theirs.low, theirs.high], [ours.low * unit, ours.high * unit], rtol=1e-6)
        assert again.schatten(6).value == pytest.approx(found.schatten(6).value * unit, rel=1e-6)
        assert again.effective_rank.value == pytest.approx(found.effective_rank.value, rel=1e-6)


def test_a_seed_gives_the_same_numbers_and_another_seed_others():
    A = with_values(SLOW)
    first, same, other = (qi.spectral_summary(A, n_draws=80, rng=seed) for seed in (1, 1, 2))
    assert first.singular_values == same.singular_values
    assert first.schatten(10) == same.schatten(10)
    assert first.trace(np.log1p) == same.trace(np.log1p)
    assert first.singular_values != other.singular_values


def test_high_moments_do_not_depend_on_what_was_asked_before():
    A = with_values(SLOW)
    first, second = (qi.spectral_summary(A, n_draws=80, rng=1) for _ in range(2))
    first.trace(np.log1p)
    assert first.schatten(12) == second.schatten(12)


def test_a_summary_survives_pickling():
    found = qi.spectral_summary(with_values(SLOW), n_draws=60, rng=1)
    again = pickle.loads(pickle.dumps(found))
    assert again.singular_values == found.singular_values
    assert again.schatten(10) == found.schatten(10)


@pytest.mark.parametrize(
    "values", [GAPPED, SLOW, np.ones(60), 0.9 ** np.arange(60)], ids=["gap", "slow", "flat", "geo"]
)
def test_intervals_hold_norms_and_traces(values):
    A = with_values(values)
    sigma = singular_values(A)
    found = qi.spectral_summary(A, n_draws=200, rng=0)
    for p in (1, 1.3, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 13, 16, 17.5, 30, 1000, math.inf):
        exact = sigma[0] * ((sigma / sigma[0]) ** p).sum() ** (1 / p) if p < math.inf else sigma[0]
        assert covers(found.schatten(p), exact), p
    for f in (lambda x: x / (x + sigma[3] ** 2), np.exp, np.sqrt, lambda x: np.log1p(x / sigma[5] ** 2), np.cos):
        assert covers(found.trace(f), f(sigma**2).sum())
    assert covers(found.stable_rank, (sigma**2).sum() / sigma[0] ** 2)
    assert covers(found.effective_rank, (sigma**2).sum() ** 2 / (sigma**4).sum())


def test_norms_of_orders_that_moments_give_are_estimated_closely():
    A = with_values(GAPPED, m=3000)
    sigma = singular_values(A)
    found = qi.spectral_summary(A, n_draws=500, rng=0)
    for p in (3, 4, 6, 8, 12):
        estimate = found.schatten(p)
        assert estimate.value == pytest.approx((sigma**p).sum() ** (1 / p), rel=0.05)
        assert estimate.high - estimate.low < 0.14 * estimate.value


@pytest.mark.parametrize("p", [1, 1.5])
def test_norms_below_the_frobenius_norm_are_bounded_by_it_and_by_the_number_of_values(p):
    # Of 3000 equal singular values a few are met: nothing but the bounds of Hoelder's inequality is known.
    found = qi.spectral_summary(np.eye(3000), n_draws=30, rng=0)
    norm = found.schatten(p)
    assert covers(norm, 3000 ** (1 / p))
    assert norm.high <= 3000 ** (1 / p) * (1 + 1e-9)
    least = found.frobenius_norm * found.effective_rank.low ** (1 / p - 0.5)
    assert norm.low >= least * (1 - 1e-9)


def test_the_frobenius_and_the_spectral_norm_are_those_of_orders_two_and_infinity():
    found = qi.spectral_summary(with_values(SLOW), n_draws=50, rng=0)
    assert found.schatten(2) == qi.Estimate(found.frobenius_norm, found.frobenius_norm, found.frobenius_norm, 1.0, 0)
    assert found.schatten(math.inf) == found.norm == found.singular_values[0]
    assert found.norm.high <= found.schatten(1e9).high * (1 + 1e-6)


def test_a_trace_of_a_linear_function_is_exact_whatever_the_draws():
    A = with_values(SLOW)
    found = qi.spectral_summary(A, n_draws=30, rng=0).trace(lambda x: 2.0 * x + 3.0)
    exact = 2.0 * np.linalg.norm(A) ** 2 + 3.0 * 60
    assert found.value == pytest.approx(exact, rel=1e-9)
    assert found.high - found.low < 1e-6 * exact


def test_eigenvalues_that_are_zero_count_in_a_trace():
    A = with_values(GAPPED[:5], 300).T  # 5 x 300
    tall = np.tile(A, (40, 1))
    sigma = singular_values(tall)[:5]
    found = qi.spectral_summary(tall, n_draws=100, rng=0).trace(lambda x: 1.0 / (1.0 + x))
    assert covers(found, (1.0 / (1.0 + sigma**2)).sum() + 295.0)
    assert qi.spectral_summary(A).trace(np.cos).value == pytest.approx(295.0 + np.cos(singular_values(A) ** 2).sum())


def test_a_jump_at_a_singular_value_and_a_root_at_zero_make_a_trace_uncertain():
    A = with_values(GAPPED)
    sigma = singular_values(A)
    found = qi.spectral_summary(A, n_draws=200, rng=0)

    def relative_length(estimate):
        return (estimate.high - estimate.low) / abs(estimate.value)

    smooth = found.trace(lambda x: x / (x + sigma[0] ** 2))
    count = found.trace(lambda x: (x > 0.9 * sigma[55] ** 2).astype(float))
    assert relative_length(smooth) < 0.05
    assert relative_length(found.trace(np.sqrt)) > 0.3
    assert count.high - count.low > 30.0
    assert covers(count, 60.0)


def test_values_that_draws_do_not_show_have_intervals_from_zero_and_are_told():
    # The rows are orthogonal, and most of them are drawn once if at all.
    found = qi.spectral_summary(np.eye(3000), rank=5, n_draws=100, rng=0)
    assert [s.low for s in found.singular_values[1:]] == [0.0] * 4
    assert all(s.high >= 1.0 for s in found.singular_values)
    assert "below the first 1 are not told from 0" in found.status
    assert "|A|_F / sqrt(r) = 5.48" in found.status
    assert "`n_draws`" in found.status


def test_an_interval_leaves_room_for_a_direction_that_no_draw_met():
    A = np.zeros((2000, 4))
    A[:, 0] = 1.0
    A[0] = [0.0, math.sqrt(2.0), 0.0, 0.0]
    found = qi.spectral_summary(A, rank=2, n_draws=100, rng=0)
    assert found.stats.rows_read == len(np.unique(qi.as_sq_matrix(A).sample_rows(100, 0)))
    assert [s.value for s in found.singular_values] == pytest.approx([found.frobenius_norm, 0.0])
    assert all(covers(s, e) for s, e in zip(found.singular_values, singular_values(A), strict=False))
    assert covers(found.effective_rank, np.linalg.norm(A) ** 4 / np.linalg.norm(A.T @ A) ** 2)


def test_the_account_and_the_table_name_what_was_found():
    found = qi.spectral_summary(with_values(GAPPED), rank=3, n_draws=100, rng=0)
    table = repr(found).splitlines()
    assert table[0] == "SpectralSummary of a 400 x 60 matrix, sampled"
    assert "confidence 95 %" in table[1]
    assert [line.split()[0] for line in table[6:9]] == ["sigma_1", "sigma_2", "sigma_3"]
    assert f"{found.singular_values[1].low:.6g}" in table[7]
    account = found.explain()
    assert "400 x 60 dense matrix, sampled: 100 draws met" in account
    assert str(found.stable_rank) in account
    with pytest.raises(FrozenInstanceError):
        found.method = "exact"


# Bad inputs ---------------------------------------------------------------------------------------------------------


def test_a_zero_matrix_is_refused():
    with pytest.raises(ZeroMassError, match="non-zero entry"):
        qi.spectral_summary(np.zeros((30, 4)))


@pytest.mark.parametrize("m", [50, 2000])
def test_a_matrix_of_rank_one_has_one_singular_value(m, rng):
    A = np.outer(rng.standard_normal(m), rng.standard_normal(20))
    found = qi.spectral_summary(A, rank=3, n_draws=100, rng=0)
    assert [s.value for s in found.singular_values] == pytest.approx([np.linalg.norm(A), 0.0, 0.0], abs=1e-7)
    assert all(s.low <= 1e-7 and s.high < 0.3 * found.norm.value for s in found.singular_values[1:])
    assert covers(found.norm, np.linalg.norm(A))
    assert found.effective_rank.value == pytest.approx(1.0)
    assert found.stable_rank.value == pytest.approx(1.0)
    assert found.schatten(10).value == pytest.approx(np.linalg.norm(A))
    assert covers(found.schatten(1), np.linalg.norm(A))


def test_a_rank_above_the_smaller_side_gives_all_singular_values_and_says_so(rng):
    for m in (40, 400):
        found = qi.spectral_summary(rng.standard_normal((m, 4)), rank=10, n_draws=100, rng=0)
        assert len(found.singular_values) == 4
        assert "no more than min(m, n) = 4" in found.status


def test_a_rank_above_the_number_of_draws_gives_intervals_from_zero():
    found = qi.spectral_summary(with_values(SLOW), rank=50, n_draws=30, rng=0)
    assert len(found.singular_values) == 50
    assert [s.low for s in found.singular_values[30:]] == [0.0] * 20
    assert all(
        covers(s, e) for s, e in zip(found.singular_values[30:], singular_values(with_values(SLOW))[30:], strict=False)
    )


def test_duplicate_rows_are_read_once_and_count_for_their_mass(rng):
    few = rng.standard_normal((3, 10)) * np.array([[3.0], [2.0], [1.0]])
    A = np.tile(few, (200, 1))
    found = qi.spectral_summary(A, rank=3, n_draws=300, rng=0)
    assert all(covers(s, e) for s, e in zip(found.singular_values, singular_values(A), strict=False))


def test_all_mass_in_one_row():
    A = np.full((500, 6), 1e-9)
    A[77] = [3.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    found = qi.spectral_summary(A, rank=2, n_draws=50, rng=0)
    assert found.stats.rows_read == 1
    assert found.norm.value == pytest.approx(5.0)
    assert covers(found.singular_values[1], singular_values(A)[1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (400, 1)])
def test_one_row_or_one_column_has_the_norm_as_its_singular_value(shape, rng):
    A = rng.standard_normal(shape)
    found = qi.spectral_summary(A, n_draws=40, rng=0)
    assert len(found.singular_values) == 1
    assert found.norm.value == pytest.approx(np.linalg.norm(A))
    assert covers(found.norm, np.linalg.norm(A))
    assert found.norm.high - found.norm.low < 1e-9 * np.linalg.norm(A)
    assert covers(found.trace(np.square), np.linalg.norm(A) ** 4)


def test_a_condition_number_of_1e16_leaves_the_smallest_values_open():
    A = with_values(np.geomspace(1.0, 1e-16, 20))
    found = qi.spectral_summary(A, rank=20, n_draws=100, rng=0)
    exact = np.geomspace(1.0, 1e-16, 20)
    assert all(s.low <= e <= s.high for s, e in zip(found.singular_values, exact, strict=True))
    assert found.singular_values[-1].low == 0.0


def test_a_matrix_whose_rows_are_not_read_whole_is_refused_with_the_remedy():
    problem = qi.problems.virtual_low_rank_matrix((10**6, 10**6), 0.5 ** np.arange(4))
    A = qi.ImplicitMatrix(**problem.access)
    with pytest.raises(ValueError, match=r"read whole.*`entry_bound`.*fkv"):
        qi.spectral_summary(A)
    assert A.rows_computed == 0


@pytest.mark.parametrize("rank", [True, 2.0, "3", None])
def test_a_rank_that_is_no_integer_is_refused(rank):
    with pytest.raises(TypeError, match="`rank` must be an integer >= 1"):
        qi.spectral_summary(np.eye(30), rank=rank)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank):
    with pytest.raises(ValueError, match="`rank` must be an integer >= 1"):
        qi.spectral_summary(np.eye(30), rank=rank)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="`n_draws` must be an integer >= 20; got 19"):
        qi.spectral_summary(np.eye(30), n_draws=19)
    with pytest.raises(TypeError, match="`n_draws` must be an integer >= 20"):
        qi.spectral_summary(np.eye(30), n_draws=50.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_entries_that_are_not_finite_are_refused(bad):
    A = np.eye(30)
    A[3, 4] = bad
    with pytest.raises(ValueError, match=r"must be finite"):
        qi.spectral_summary(A)


@pytest.mark.parametrize("n_draws", [25, 100])
def test_bad_orders_of_a_norm_are_refused(n_draws):
    found = qi.spectral_summary(with_values(SLOW, 90), n_draws=n_draws, rng=0)
    for p in (0, 0.5, -1, math.nan, -math.inf):
        with pytest.raises(ValueError, match=r"`p` must be >= 1, or infinity; got .*effective_rank"):
            found.schatten(p)
    for p in (True, "4", None, 2j):
        with pytest.raises(TypeError, match="`p` must be a number"):
            found.schatten(p)


@pytest.mark.parametrize("n_draws", [25, 100])
def test_bad_functions_of_a_trace_are_refused(n_draws):
    found = qi.spectral_summary(with_values(SLOW[:20], 90), n_draws=n_draws, rng=0)
    with pytest.raises(TypeError, match="`f` must be a function"):
        found.trace(3.0)
    with pytest.raises(TypeError, match=r"`f` must take an array.*numpy.vectorize"):
        found.trace(math.sqrt)
    with pytest.raises(ValueError, match=r"`f` must give a real number for each"):
        found.trace(np.sum)
    with pytest.raises(ValueError, match=r"`f` must give a real number for each"):
        found.trace(lambda x: x + 1j)
    with pytest.raises(ValueError, match=r"`f` must be finite"):
        found.trace(lambda x: np.full_like(x, np.nan))
    with pytest.raises(ZeroDivisionError):
        found.trace(lambda x: x + 1 // 0)


@pytest.mark.parametrize("f", [np.log, lambda x: 1.0 / x])
def test_functions_that_are_infinite_at_zero_are_refused_from_draws(f):
    found = qi.spectral_summary(with_values(SLOW), n_draws=30, rng=0)
    with pytest.raises(ValueError, match=r"finite on \[0, \|A\|_F\^2\]; got f\(0\) = .*log\(1 \+ x\)"):
        found.trace(f)


@pytest.mark.parametrize("unit", [1e200, 1e-200])
@pytest.mark.parametrize("n_draws", [30, 500])
def test_eigenvalues_beyond_the_range_of_floats_are_refused_in_traces_only(unit, n_draws):
    A = with_values(GAPPED[:20])
    found = qi.spectral_summary(unit * A, n_draws=n_draws, rng=0)
    assert covers(found.norm, unit * singular_values(A)[0])
    assert found.schatten(4).value == pytest.approx(unit * np.linalg.norm(A.T @ A) ** 0.5, rel=0.3)
    with pytest.raises(OverflowError, match="Divide A by a constant"):
        found.trace(np.log1p)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(21, 30), st.integers(1, 6)), elements=st.integers(-3, 3).map(float)),
    st.integers(1, 8),
    st.floats(1.0, 40.0),
)
def test_intervals_are_ordered_and_within_what_is_known(A, rank, p):
    if not A.any():
        return
    found = qi.spectral_summary(A, rank=rank, n_draws=20, rng=0)
    norm = np.linalg.norm(A) * (1 + 1e-9)
    numbers = [*found.singular_values, found.schatten(p), found.stable_rank, found.effective_rank]
    for number in [*numbers, found.trace(np.log1p), found.trace(np.sqrt)]:
        assert number.low <= number.value <= number.high < math.inf
    for parts in zip(*((s.value, s.low, s.high) for s in found.singular_values), strict=True):
        assert list(parts) == sorted(parts, reverse=True)
        assert 0.0 <= parts[-1] <= parts[0] <= norm
    smaller = min(A.shape) * (1 + 1e-9)
    for number in (found.stable_rank, found.effective_rank):
        assert 1 - 1e-9 <= number.low <= number.high <= smaller
    if p > 2:
        assert found.schatten(p).high <= norm
    else:
        assert found.schatten(p).low >= norm * (1 - 1e-8)


# Coverage -----------------------------------------------------------------------------------------------------------


def in_sample_interval(A, rows):
    """Return the twin: the first singular value of the drawn rows with the spread of its own terms."""
    block = A[rows] / np.linalg.norm(A[rows], axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(block @ block.T)
    terms = values[-1] * vectors[:, -1] ** 2
    reach = 1.96 * terms.std() / math.sqrt(len(rows))
    return np.linalg.norm(A) * np.sqrt(np.maximum([terms.mean() - reach, terms.mean() + reach], 0.0))


KINDS = {
    "gapped": lambda: with_values(GAPPED),
    "0.9^j": lambda: with_values(0.9 ** np.arange(60)),
    "flat": lambda: with_values(np.ones(60)),
    "row-skewed": lambda: with_values(GAPPED, skew=1.5),
    "diagonal": lambda: np.diag(np.arange(1.0, 401.0) ** -0.7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_and_shorter_ones_or_those_of_the_drawn_rows_alone_do_not(kind):
    A = KINDS[kind]()
    sigma, norm = singular_values(A), np.linalg.norm(A)
    matrix = qi.as_sq_matrix(A)
    truths = [*sigma[:4], norm**4 / (sigma**4).sum(), (sigma**6).sum() ** (1 / 6)]
    misses, thirds, twin = np.zeros(6), np.zeros(6), 0
    for seed in range(SEEDS):
        found = qi.spectral_summary(matrix, rank=4, n_draws=100, rng=seed)
        numbers = [*found.singular_values, found.effective_rank, found.schatten(6)]
        misses += [not covers(x, t) for x, t in zip(numbers, truths, strict=True)]
        thirds += [abs(x.value - t) > (x.high - x.low) / 6 for x, t in zip(numbers, truths, strict=True)]
        low, high = in_sample_interval(A, matrix.sample_rows(100, seed))
        twin += not low <= sigma[0] <= high
    assert (misses <= ALLOWED_MISSES).all()
    # The twins: a third of the length, where chance and not bias makes it, and the drawn rows' own value.
    if kind in ("gapped", "0.9^j", "row-skewed"):
        assert (thirds[[0, 4, 5]] > ALLOWED_MISSES).all()
    if kind == "flat":
        assert twin > ALLOWED_MISSES


@pytest.mark.parametrize("kind", ["gapped", "diagonal"])
def test_intervals_of_traces_cover_and_a_tenth_of_their_length_does_not(kind):
    A = KINDS[kind]()
    squares = singular_values(A) ** 2
    matrix = qi.as_sq_matrix(A)
    functions = [lambda x: np.expm1(x / squares[0]), lambda x: np.log1p(x / squares[0]), lambda x: x / (x + squares[3])]
    seeds = 60
    allowed = int(stats.binom.isf(P_LOWEST, seeds, 0.07))
    misses, tenths = np.zeros(3), np.zeros(3)
    for seed in range(seeds):
        summary = qi.spectral_summary(matrix, rank=4, n_draws=100, rng=seed)
        for i, f in enumerate(functions):
            found, exact = summary.trace(f), f(squares).sum()
            misses[i] += not covers(found, exact)
            tenths[i] += abs(found.value - exact) > (found.high - found.low) / 20
    assert (misses <= allowed).all()
    assert (tenths > allowed).all()


def test_values_from_drawn_rows_are_less_biased_than_those_of_the_rows():
    A = with_values(SLOW)
    shares = singular_values(A) ** 2 / np.linalg.norm(A) ** 2
    matrix = qi.as_sq_matrix(A)
    ours, naive = [], []
    for seed in range(100):
        rows = A[matrix.sample_rows(150, seed)]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        ours.append(leading_shares(rows @ rows.T, 5, 60, np.random.default_rng(seed)).values)
        naive.append(np.linalg.eigvalsh(rows @ rows.T / 150)[::-1][:5])
    bias, naive_bias = (np.abs(np.mean(part, axis=0) / shares[:5] - 1.0) for part in (ours, naive))
    assert bias.max() < 0.05
    assert (naive_bias[2:] > 2.0 * bias[2:]).all()


def test_movielens_values_are_in_their_intervals(data_dir):
    path = data_dir / "movielens-100k" / "u.data.gz"
    if not path.is_file():
        pytest.skip("MovieLens 100k is absent")
    A = qi.datasets.read_ratings(path).matrix
    found = qi.spectral_summary(A, n_draws=400, rng=0)
    sigma = singular_values(A.toarray())
    assert all(covers(s, e) for s, e in zip(found.singular_values, sigma, strict=False))
    assert covers(found.effective_rank, (sigma**2).sum() ** 2 / (sigma**4).sum())
    assert covers(found.schatten(4), (sigma**4).sum() ** 0.25)


def test_what_draws_tell_is_made_of_the_cosines_alone():
    B = unit_rows(40, 12)
    first, second = (DrawnSpectrum(gram, 3, 12, np.random.default_rng(0)) for gram in (B @ B.T, -B @ -B.T))
    assert first.leading(3) == second.leading(3)
