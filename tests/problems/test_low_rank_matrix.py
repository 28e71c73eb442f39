from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.problems import low_rank_matrix, singular_spectrum


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    noise=st.sampled_from([0.0, 1e-3, 0.3]),
    row_skew=st.sampled_from([0.0, 1.0]),
    spectrum=st.sampled_from(["geometric", "linear", "flat", "power"]),
)
def test_factors_are_exact_singular_triplets_of_the_matrix(seed, shape, noise, row_skew, spectrum):
    p = low_rank_matrix(shape, 3, kappa=5.0, spectrum=spectrum, noise=noise, row_skew=row_skew, rng=seed)
    np.testing.assert_allclose(p.A @ p.V, p.U * p.singular_values, atol=1e-11)
    np.testing.assert_allclose(p.A.T @ p.U, p.V * p.singular_values, atol=1e-11)
    np.testing.assert_allclose(p.U.T @ p.U, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(p.V.T @ p.V, np.eye(3), atol=1e-12)
    signal = (p.U * p.singular_values) @ p.V.T
    assert np.linalg.norm(p.A - signal) == pytest.approx(noise * np.linalg.norm(signal), rel=1e-9, abs=1e-12)
    assert p.frobenius_norm == pytest.approx(np.linalg.norm(p.A), rel=1e-10)
    error = np.linalg.norm(p.A - p.A @ p.V @ p.V.T) / np.linalg.norm(p.A)
    assert p.optimal_error == pytest.approx(error, abs=1e-9)  # the share of noise is kept to 1e-9, as above


def test_noise_is_gaussian_away_from_the_signal():
    p = low_rank_matrix((400, 300), 2, noise=0.5, rng=0)
    E = p.A - (p.U * p.singular_values) @ p.V.T
    z = np.sort((E / E.std()).ravel())
    assert abs(np.mean(z**4) - 3.0) < 0.1  # six standard errors of the kurtosis of 120,000 normals
    assert abs(np.mean(z)) < 0.02


def test_single_precision_keeps_the_triplets_to_its_accuracy():
    p = low_rank_matrix((500, 300), 4, noise=0.2, row_skew=0.5, dtype=np.float32, rng=1)
    assert p.A.dtype == np.float32
    np.testing.assert_allclose(p.A.astype(float) @ p.V, p.U * p.singular_values, atol=1e-6)
    assert np.linalg.norm(p.A.astype(float)) == pytest.approx(p.frobenius_norm, rel=1e-6)


def test_blocks_do_not_change_the_law_of_the_triplets(monkeypatch):
    monkeypatch.setattr("qinspired.problems._low_rank._BLOCK_ENTRIES", 70)
    p = low_rank_matrix((50, 20), 3, noise=0.3, row_skew=1.0, rng=2)
    np.testing.assert_allclose(p.A.T @ p.U, p.V * p.singular_values, atol=1e-12)
    assert np.linalg.norm(p.A) == pytest.approx(p.frobenius_norm, rel=1e-12)


def test_row_skew_spreads_the_row_norms():
    def spread(skew):
        p = low_rank_matrix((2000, 50), 5, noise=0.1, row_skew=skew, rng=3)
        return np.std(np.log(np.linalg.norm(p.A, axis=1)))

    assert spread(0.0) < 0.5
    assert spread(1.5) > 1.2


def test_given_singular_values_are_used():
    s = np.linalg.svd(low_rank_matrix((30, 20), 2, singular_values=[7.0, 0.5], rng=0).A, compute_uv=False)
    np.testing.assert_allclose(s[:3], [7.0, 0.5, 0.0], atol=1e-12)


def test_same_seed_gives_the_same_matrix_and_another_does_not():
    first, same, other = (low_rank_matrix((20, 10), 2, noise=0.1, rng=seed).A for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


@pytest.mark.parametrize(
    ("spectrum", "expected"),
    [
        ("geometric", [1.0, 0.5, 0.25]),
        ("linear", [1.0, 0.625, 0.25]),
        ("flat", [1.0, 1.0, 1.0]),
        ("power", [1.0, 2.0 ** (-np.log(4) / np.log(3)), 0.25]),
    ],
)
def test_spectra_run_from_one_to_one_over_kappa(spectrum, expected):
    np.testing.assert_allclose(singular_spectrum(3, kappa=4.0, spectrum=spectrum), expected, rtol=1e-14)
    np.testing.assert_array_equal(singular_spectrum(1, kappa=4.0, spectrum=spectrum), [1.0])


@pytest.mark.parametrize(
    ("shape", "rank", "options", "match"),
    [
        ((5, 3), 0, {}, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 3\]"),
        ((5, 3), 4, {}, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 3\]"),
        ((0, 3), 1, {}, r"`shape\[0\]` must be an integer >= 1"),
        (5, 1, {}, "`shape` must be a pair"),
        ((5, 3), 2, {"kappa": 0.5}, "`kappa` must be a condition number >= 1"),
        ((5, 3), 2, {"kappa": np.nan}, "`kappa`"),
        ((5, 3), 2, {"spectrum": "cubic"}, "`spectrum` must be one of geometric"),
        ((5, 3), 2, {"noise": -0.1}, "`noise` must be a finite number >= 0"),
        ((5, 3), 3, {"noise": 0.1}, "`noise` must be 0 when `rank` is min"),
        ((5, 3), 2, {"row_skew": np.inf}, "`row_skew`"),
        ((5, 3), 2, {"dtype": np.int32}, "`dtype` must be float32 or float64"),
        ((5, 3), 2, {"singular_values": [1.0]}, r"`singular_values` must have shape \(2,\)"),
        ((5, 3), 2, {"singular_values": [1.0, 2.0]}, "descending"),
        ((5, 3), 2, {"singular_values": [1.0, 0.0]}, "finite and > 0"),
        ((5, 3), 2, {"rng": -1}, "`rng` must be"),
    ],
)
def test_bad_parameters_are_refused(shape, rank, options, match):
    with pytest.raises(ValueError, match=match):
        low_rank_matrix(shape, rank, **options)


def test_rank_that_is_not_an_integer_is_refused():
    with pytest.raises(TypeError, match="`rank` must be an integer"):
        low_rank_matrix((5, 3), 2.0)
