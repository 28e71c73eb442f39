from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import scipy.sparse as sp
from spectra import GAPPED, SLOW, covers, singular_values, with_values
from zoo import ZOO

import qinspired as qi
from qinspired.algorithms.spectrum._spectra import KnownSpectrum
from qinspired.exceptions import VersionError

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
