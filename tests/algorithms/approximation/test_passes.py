"""The parts of passes over all rows, each against what a plain computation gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.algorithms.approximation import _passes

RANK = 3


def counted(A):
    return qi.CountingMatrix(qi.as_sq_matrix(A))


def basis(rng, n, width):
    return np.linalg.qr(rng.standard_normal((n, width)))[0]


def with_values(rng, shape, values):
    left, right = (np.linalg.qr(rng.standard_normal((size, len(values))))[0] for size in shape)
    return (left * values) @ right.T


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, np.asfortranarray], ids=["dense", "sparse", "Fortran"])
def test_a_normal_product_in_blocks_of_rows_is_that_of_the_whole_matrix(convert, rng, monkeypatch):
    monkeypatch.setattr(_passes, "_BLOCK_ENTRIES", 700)
    monkeypatch.setattr(_passes, "_GRAM_ROWS", 7)
    A, V = rng.standard_normal((53, 40)), basis(rng, 40, 4)
    back, inner = _passes._normal_product(counted(convert(A)), V)
    moment = A.T @ A / np.linalg.norm(A) ** 2
    np.testing.assert_allclose(back, moment @ V, atol=1e-14)
    np.testing.assert_allclose(inner, V.T @ moment @ V, atol=1e-14)
    assert back.flags.c_contiguous


def test_a_longer_basis_is_orthonormal_and_its_images_are_those_of_the_matrix(rng):
    A = rng.standard_normal((90, 40))
    moment = A.T @ A / np.linalg.norm(A) ** 2
    V, other = basis(rng, 40, 5), basis(rng, 40, 5)
    krylov = (V, *_passes._normal_product(counted(A), V))
    for width in (10, 15):
        krylov = _passes._extended(counted(A), krylov, other)
        longer, images, inner = krylov
        assert longer.shape == (40, width)
        np.testing.assert_allclose(longer.T @ longer, np.eye(width), atol=1e-13)
        np.testing.assert_allclose(images, moment @ longer, atol=1e-14)
        np.testing.assert_allclose(inner, longer.T @ moment @ longer, atol=1e-14)
        np.testing.assert_allclose(longer @ (longer.T @ other), other, atol=1e-13)
        image, product = _passes._image(krylov, other)
        np.testing.assert_allclose(image, moment @ other, atol=1e-13)
        np.testing.assert_allclose(product, other.T @ moment @ other, atol=1e-13)
        other = basis(rng, 40, 5)
    again, images, _ = _passes._extended(counted(A), krylov, other)
    np.testing.assert_array_equal(again, other)  # three blocks are the most: a new start
    np.testing.assert_allclose(images, moment @ other, atol=1e-14)


def test_a_basis_never_has_more_columns_than_the_matrix_has_sides(rng):
    A, V = rng.standard_normal((9, 40)), basis(rng, 40, 5)
    krylov = (V, *_passes._normal_product(counted(A), V))
    other = basis(rng, 40, 5)
    assert _passes._extended(counted(A), krylov, other)[0] is other


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_that_has_converged_still_makes_the_basis_orthonormal(dtype, rng):
    A, V = rng.standard_normal((90, 40)).astype(dtype), basis(rng, 40, 5).astype(dtype)
    krylov = (V, *_passes._normal_product(counted(A), V))
    longer = _passes._extended(counted(A), krylov, V)[0]
    np.testing.assert_allclose(longer.T @ longer, np.eye(10), atol=100 * np.finfo(dtype).eps)


def test_losses_of_a_geometric_sequence_of_energies_are_what_it_lacks():
    for ratio in (0.05, 0.1, 0.2):
        energies = [1.0 - 0.3 * ratio**i for i in range(3)]
        losses = _passes._geometric_losses(energies)
        assert losses.before == pytest.approx(0.3 * ratio**2)
        assert losses.before_high == pytest.approx(0.3 * (ratio - ratio**2) * ratio**0.5 / (1 - ratio**0.5))
        assert (losses.after, losses.after_high) == (losses.before, losses.before_high)


@pytest.mark.parametrize(("ratio", "power"), [(0.2, 0.5), (0.35, 0.375), (0.5, 0.25), (0.8, 0.25)])
def test_the_upper_end_takes_a_higher_root_of_a_ratio_that_is_near_to_one(ratio, power):
    root = ratio**power
    losses = _passes._geometric_losses([0.0, 0.1, 0.1 + 0.1 * ratio])
    assert losses.before == pytest.approx(0.1 * ratio * ratio / (1 - ratio))
    assert losses.before_high == pytest.approx(0.1 * ratio * root / (1 - root))


def test_gains_that_do_not_fall_count_as_falling_by_a_hundredth():
    losses = _passes._geometric_losses([0.0, 0.1, 0.3])
    assert losses.before == pytest.approx(0.2 * 0.99 / 0.01)
    assert losses.before < losses.before_high < math.inf


@pytest.mark.parametrize(
    "energies", [[0.5, 0.5, 0.5], [0.5, 0.4, 0.4], [0.5, 0.4, 0.6], [0.5, 0.6, 0.6], [0.5, 0.6, 0.5]]
)
def test_energies_that_gain_nothing_lack_nothing(energies):
    assert _passes._geometric_losses(energies) == (0.0, 0.0, 0.0, 0.0)


def test_the_losses_from_residuals_hold_the_truth_of_a_block_near_the_leading_one(rng):
    values = np.array([1.0, 0.8, 0.6, 0.1, 0.08, 0.05, 0.03, 0.02])
    for size in (1e-1, 1e-2, 1e-3):
        V = np.linalg.qr(np.eye(8)[:, :6] + size * rng.standard_normal((8, 6)))[0]
        image = values[:, None] * V
        losses = _passes._residual_losses(V, image, V.T @ image, RANK)
        # The block that follows has half a step more, and the losses are those of its first directions.
        following = np.linalg.qr(np.sqrt(values)[:, None] * V)[0]
        inner = np.linalg.eigvalsh(following.T @ (values[:, None] * following))[::-1]
        lacking = values[:RANK].sum() - inner[:RANK].sum()
        assert 0.0 <= lacking <= losses.before_high
        assert losses.before <= losses.before_high
        assert losses.after_high == pytest.approx(losses.before_high * values[4] / values[2], rel=0.5)


def test_residuals_of_an_invariant_block_lack_nothing(rng):
    values = np.array([1.0, 0.8, 0.6, 0.1, 0.08])
    V = np.eye(5)[:, :4]
    losses = _passes._residual_losses(V, values[:, None] * V, np.diag(values[:4]), RANK)
    assert losses == (0.0, 0.0, 0.0, 0.0)


def test_a_matrix_whose_rank_is_between_the_one_asked_for_and_the_width_is_certified_by_its_rows(rng, monkeypatch):
    # Rank 5 of float32, 3 asked for, 11 kept: what is beyond the 3 is known, and no direction is missing.
    values = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    A = with_values(rng, (400, 60), values).astype(np.float32)
    best = math.sqrt(5.0) / np.linalg.norm(values)
    monkeypatch.setattr(_passes, "_first_that_meets", lambda *_: _passes._estimates(1.0, _passes._UNKNOWN, 0.0))
    monkeypatch.setattr(_passes, "_residual_losses", lambda *_: _passes._UNKNOWN)
    approx = qi.low_rank(A, RANK, tolerance=0.01, method="randomized", rng=0)
    assert approx.excess.high <= 1e-3
    assert approx.error.value == pytest.approx(best, rel=1e-4)
    assert approx.error.low <= best <= approx.error.high
    calls = []
    monkeypatch.setattr(_passes, "_is_all_of", lambda _, V: calls.append(V.shape[1]) and False)
    with pytest.warns(qi.exceptions.ToleranceNotMetWarning):
        assert qi.low_rank(A, RANK, tolerance=0.01, method="randomized", rng=0).excess.high == math.inf
    assert calls == [RANK, 5]


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_drawn_rows_too_few_for_the_width_are_no_start_to_predict_from(share, rng, monkeypatch):
    A = with_values(rng, (1500, 60), np.concatenate([[4.0, 3.0, 2.5], np.full(57, 0.15)]))
    predicted = []
    plain = _passes._predicted_losses
    monkeypatch.setattr(_passes, "_predicted_losses", lambda *given: predicted.append(1) or plain(*given))
    # The start draws 104 rows or more for a width of 11, of which nearly all are distinct: some 8 times the width.
    monkeypatch.setattr(_passes, "_LEAST_START_ROWS", 8 * share)
    qi.low_rank(A, RANK, tolerance=0.05, method="polished", rng=0)
    assert bool(predicted) == (share < 1)


def test_a_start_of_one_row_drawn_again_and_again_is_not_predicted_from(rng, monkeypatch):
    A = with_values(rng, (1500, 60), np.concatenate([[4.0, 3.0, 2.5], np.full(57, 0.15)]))
    A[7] *= 1e4
    predicted = []
    monkeypatch.setattr(_passes, "_predicted_losses", lambda *_: predicted.append(1))
    qi.low_rank(A, RANK, tolerance=0.05, method="polished", rng=0)
    assert not predicted


def test_even_rows_are_a_start_to_predict_from(rng, monkeypatch):
    A = with_values(rng, (1500, 60), np.concatenate([[4.0, 3.0, 2.5], np.full(57, 0.15)]))
    predicted = []
    plain = _passes._predicted_losses
    monkeypatch.setattr(_passes, "_predicted_losses", lambda *given: predicted.append(1) or plain(*given))
    approx = qi.low_rank(A, RANK, tolerance=0.05, method="polished", rng=0)
    assert predicted
    assert approx.stats.full_passes == 1


def test_the_losses_from_residuals_are_those_of_their_formula():
    values = np.array([1.0, 0.8, 0.6, 0.1, 0.08, 0.05, 0.03])
    V = np.eye(7)[:, :5]
    # Images beyond the block, of known lengths, are the residuals.
    image = values[:, None] * V
    image[5, :RANK] = [1e-2, 2e-2, 3e-2]
    squares = np.array([1e-4, 4e-4, 9e-4])
    losses = _passes._residual_losses(V, image, np.diag(values[:5]), RANK)
    outside = values[4]
    least, most = (squares / values[:RANK]).sum(), (squares / (values[:RANK] - outside)).sum()
    ratio = outside / values[2]
    expected = (math.sqrt(least * most) * ratio, most * ratio, math.sqrt(least * most) * ratio**2, most * ratio**2)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)


def test_a_gap_smaller_than_the_residual_counts_as_long_as_the_residual():
    values = np.array([1.0, 0.8, 0.6, 0.6, 0.6])
    V = np.eye(6)[:, :5]
    image = np.vstack([np.diag(values), np.zeros(5)])
    image[5, 2:] = 0.1  # whichever of the three equal ones is taken
    losses = _passes._residual_losses(V, image, np.diag(values), RANK)
    assert losses.before_high == pytest.approx(0.1**2 / 0.1)
