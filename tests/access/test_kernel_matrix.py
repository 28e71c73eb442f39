from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from psd_matrices import residual_of
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics.pairwise import laplacian_kernel, polynomial_kernel, rbf_kernel

import qinspired as qi


@pytest.mark.parametrize(("name", "reference"), [("rbf", rbf_kernel), ("laplacian", laplacian_kernel)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_named_kernel_is_that_of_scikit_learn(name, reference, dtype, rng):
    X = (rng.standard_normal((70, 4)) + 3.0).astype(dtype)
    K = qi.KernelMatrix(X, name, gamma=0.3)
    full = reference(X.astype(np.float64), gamma=0.3)
    every = np.arange(70)
    tolerance = {"rtol": 0.0, "atol": 4 * np.finfo(dtype).eps + 1e-14}
    np.testing.assert_allclose(K.rows(every), full, **tolerance)
    np.testing.assert_allclose(K.query(every[:, None], every[None, 5:9]), full[:, 5:9], **tolerance)
    np.testing.assert_allclose(K.query(every, every[::-1]), full[every, every[::-1]], **tolerance)
    np.testing.assert_array_equal(K.diagonal(), 1.0)
    assert K.rows(every).dtype == K.dtype == dtype
    assert K.shape == (70, 70)
    assert K.entries_computed == 2 * 70 * 70 + 70 * 4 + 70 + 70
    np.testing.assert_allclose(qi.KernelMatrix(X, name).rows([3]), reference(X.astype(float)[[3]], X), **tolerance)


@pytest.mark.parametrize("name", ["rbf", "laplacian"])
def test_points_far_from_the_origin_lose_no_more_digits_than_their_coordinates(name, rng):
    X = rng.integers(0, 100, (40, 3)) / 64.0
    far = qi.KernelMatrix(X + 2.0**20, name)
    np.testing.assert_allclose(far.rows(np.arange(40)), qi.KernelMatrix(X, name).rows(np.arange(40)), atol=1e-8)


def test_a_callable_is_asked_in_blocks(rng):
    X = rng.standard_normal((50, 4))
    K = qi.KernelMatrix(X, polynomial_kernel, degree=2, gamma=0.1)
    full = polynomial_kernel(X, degree=2, gamma=0.1)
    np.testing.assert_allclose(K.rows([4, 4, 0]), full[[4, 4, 0]], rtol=1e-14)
    np.testing.assert_allclose(K.diagonal(), np.diag(full), rtol=1e-14)
    assert K.query(np.zeros((0, 1), dtype=int), np.arange(3)[None]).shape == (0, 3)
    known = qi.KernelMatrix(X, polynomial_kernel, degree=2, gamma=0.1, diagonal=np.diag(full))
    np.testing.assert_array_equal(known.diagonal(), np.diag(full))
    assert known.entries_computed == 50


def test_a_kernel_of_a_gaussian_process_gives_its_diagonal_at_once(rng):
    X = rng.standard_normal((60, 2))
    K = qi.KernelMatrix(X, Matern(nu=1.5))
    np.testing.assert_array_equal(K.diagonal(), 1.0)
    assert K.entries_computed == 60
    approx = qi.rp_cholesky(K, 60, tolerance=1e-3, rng=0)
    assert np.trace(residual_of(Matern(nu=1.5)(X), approx)) <= 1e-3 * 60


def test_a_callable_that_answers_wrongly_is_refused(rng):
    X = rng.standard_normal((20, 2))
    with pytest.raises(ValueError, match=r"`kernel` must return a block of shape \(1, 20\)"):
        qi.KernelMatrix(X, lambda x, y: np.ones(len(x) * len(y))).rows([0])
    with pytest.raises(ValueError, match=r"finite numbers; got K\[2, 0\] = nan"):
        qi.KernelMatrix(X, lambda x, y: np.full((len(x), len(y)), np.nan)).rows([2])


@pytest.mark.parametrize(
    ("args", "options", "error", "match"),
    [
        ((np.ones(3),), {}, ValueError, "2-dimensional"),
        ((np.array([[np.nan]]),), {}, ValueError, "finite"),
        ((sp.csr_array(np.eye(2)),), {}, TypeError, "toarray"),
        ((np.eye(2), "cosine"), {}, ValueError, "`kernel` must be one of rbf, laplacian"),
        ((np.eye(2), 3), {}, ValueError, "`kernel`"),
        ((np.eye(2),), {"gamma": -1.0}, ValueError, "`gamma`"),
        ((np.eye(2),), {"gamma": True}, TypeError, "`gamma`"),
        ((np.eye(2),), {"degree": 2}, TypeError, "`gamma` only; got degree"),
        ((np.eye(2),), {"diagonal": 1.0}, ValueError, "`diagonal`"),
        ((np.eye(2), rbf_kernel), {"diagonal": [1.0]}, ValueError, "`diagonal`"),
    ],
)
def test_a_kernel_matrix_refuses_what_it_cannot_use(args, options, error, match):
    with pytest.raises(error, match=match):
        qi.KernelMatrix(*args, **options)


def test_indices_out_of_range_are_refused(rng):
    K = qi.KernelMatrix(rng.standard_normal((5, 2)))
    with pytest.raises(IndexError):
        K.query([5], [0])
    with pytest.raises(IndexError):
        K.rows([-1])
    with pytest.raises(ValueError, match="broadcasts"):
        K.query([1, 2], [1, 2, 3])


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
@pytest.mark.parametrize("far", [99.0, 1e9, 1e200, 1.7e308])
def test_points_far_from_the_others_do_not_blur_their_kernel(kernel, far, rng):
    X = rng.standard_normal((100, 3))
    alone = qi.KernelMatrix(X, kernel, gamma=0.03)
    K = qi.KernelMatrix(np.vstack([X, [[far] * 3, [-far] * 3]]), kernel, gamma=0.03)
    np.testing.assert_allclose(K.rows(np.arange(100))[:, :100], alone.rows(np.arange(100)), rtol=1e-11)
    np.testing.assert_allclose(K.query(np.arange(100), np.full(100, 7)), alone.rows([7])[0], rtol=1e-11)
    np.testing.assert_allclose(K.rows([100, 101])[:, :100], 0.0, atol=0.01)
    assert qi.rp_cholesky(K, 102, rng=0).error.value < 1e-12
