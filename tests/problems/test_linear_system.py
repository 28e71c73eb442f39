from __future__ import annotations

import numpy as np
import pytest

from qinspired.problems import linear_system, linear_system_cell


@pytest.mark.parametrize("rank", [None, 1, 7])
@pytest.mark.parametrize("row_skew", [0.0, 1.0])
def test_prescribed_spectrum_is_that_of_the_matrix(rank, row_skew):
    system = linear_system((60, 20), rank=rank, kappa=10.0, row_skew=row_skew, rng=0)
    k = 20 if rank is None else rank
    s = np.linalg.svd(system.A, compute_uv=False)
    np.testing.assert_allclose(s[:k], np.geomspace(1.0, 0.1, k) if k > 1 else [1.0], rtol=1e-10)
    assert np.all(s[k:] < 1e-13)


@pytest.mark.parametrize("options", [{"rank": 4, "kappa": 3.0}, {"column_scales": np.linspace(5, 1, 20)}])
@pytest.mark.parametrize("shape", [(60, 20), (15, 20)])
def test_consistent_system_has_the_true_vector_as_its_minimum_norm_solution(options, shape):
    system = linear_system(shape, **options, rng=1)
    np.testing.assert_allclose(np.linalg.pinv(system.A, rcond=1e-10) @ system.b, system.x_true, atol=1e-10)
    assert np.linalg.norm(system.x_true) == pytest.approx(1.0, abs=1e-14)
    assert system.noise == 0.0


@pytest.mark.parametrize("options", [{"rank": 4}, {"column_scales": np.ones(20)}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_has_exactly_the_asked_length(options, dtype):
    system = linear_system((60, 20), **options, noise=0.3, dtype=dtype, rng=2)
    exact = system.A.astype(float) @ system.x_true
    assert np.linalg.norm(system.b - exact) == pytest.approx(0.3 * np.linalg.norm(exact), rel=1e-12)
    assert system.A.dtype == dtype
    assert system.b.dtype == np.float64


def test_column_scales_set_the_singular_values_of_a_tall_matrix():
    scales = np.linspace(5.0, 1.0, 4)
    s = np.linalg.svd(linear_system((20_000, 4), column_scales=scales, rng=3).A, compute_uv=False)
    np.testing.assert_allclose(s / np.sqrt(20_000), scales, rtol=0.05)


def test_row_skew_acts_on_the_rows_of_a_gaussian_matrix():
    A = linear_system((3000, 30), column_scales=np.ones(30), row_skew=1.0, rng=4).A
    assert np.std(np.log(np.linalg.norm(A, axis=1))) == pytest.approx(1.0, abs=0.1)


def test_cell_follows_its_recipe():
    rank, kappa = 5, 10
    rng = np.random.default_rng(510)
    U = np.linalg.qr(rng.standard_normal((40, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((30, rank)))[0]
    x = V @ rng.standard_normal(rank)
    x /= np.linalg.norm(x)
    system = linear_system_cell(rank, kappa, shape=(40, 30))
    np.testing.assert_allclose(system.A, U @ np.diag(np.logspace(0, -1, rank)) @ V.T, atol=1e-15)
    np.testing.assert_allclose(system.x_true, x, atol=1e-15)
    np.testing.assert_allclose(system.b, system.A @ x, atol=1e-15)


@pytest.mark.parametrize(
    ("rank", "kappa", "bound"),
    [(2, 1, 0.10), (2, 3, 0.50), (2, 30, 45), (5, 10, 7.3), (10, 3, 1.9), (20, 30, 149)],
)
def test_cells_have_the_condition_numbers_of_the_table(rank, kappa, bound):
    system = linear_system_cell(rank, kappa)
    s = np.linalg.svd(system.A, compute_uv=False)[:rank]
    assert system.A.shape == (1000, 500)
    assert np.sum(s**2) / s[-1] ** 2 / np.sqrt(400) == pytest.approx(bound, rel=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"rank": 21}, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 20\]"),
        ({"column_scales": np.ones(20), "rank": 3}, "`column_scales` fixes the spectrum"),
        ({"column_scales": np.ones(20), "kappa": 3.0}, "`column_scales` fixes the spectrum"),
        ({"column_scales": np.ones(19)}, r"`column_scales` must have shape \(20,\)"),
        ({"column_scales": np.zeros(20)}, "`column_scales` must be finite and > 0"),
        ({"noise": np.nan}, "`noise`"),
        ({"kappa": 0.1}, "`kappa`"),
        ({"dtype": complex}, "`dtype`"),
    ],
)
def test_bad_parameters_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        linear_system((60, 20), **options)


def test_cell_with_a_fractional_condition_number_is_refused():
    with pytest.raises(TypeError, match="`kappa` must be an integer"):
        linear_system_cell(2, 1.5)
    with pytest.raises(ValueError, match="`kappa` must be a condition number >= 1"):
        linear_system_cell(2, 0)
