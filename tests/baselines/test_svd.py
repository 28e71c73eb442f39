from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired import baselines
from qinspired.baselines import exact_svd, fbpca, randomized_svd, svds, truncated_svd

SOLVERS = {
    "exact": exact_svd,
    "randomized": lambda A, k: randomized_svd(A, k, rng=0),
    "truncated": lambda A, k: truncated_svd(A, k, rng=0),
    "truncated arpack": lambda A, k: truncated_svd(A, k, algorithm="arpack", rng=0),
    "arpack": lambda A, k: svds(A, k, rng=0),
    "propack": lambda A, k: svds(A, k, solver="propack", rng=0),
    "lobpcg": lambda A, k: svds(A, k, solver="lobpcg", rng=0),
    "fbpca": lambda A, k: fbpca(A, k, n_iter=4, n_oversamples=8, rng=0),
}
NEEDS_FBPCA = pytest.mark.skipif(importlib.util.find_spec("fbpca") is None, reason="fbpca is not installed")
PARAMETERS = {name: pytest.param(name, marks=NEEDS_FBPCA if name == "fbpca" else ()) for name in SOLVERS}
every_solver = pytest.mark.parametrize("solve", PARAMETERS.values(), indirect=True)


@pytest.fixture
def solve(request):
    return SOLVERS[request.param]


def known_matrix(dtype=np.float64):
    """Singular values 8, 4, 2 and a tail at 1e-3: any solver here finds the three to about 1e-6."""
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((60, 12)))[0]
    V = np.linalg.qr(rng.standard_normal((40, 12)))[0]
    s = np.array([8.0, 4.0, 2.0] + [1e-3] * 9)
    return ((U * s) @ V.T).astype(dtype), V[:, :3]


@every_solver
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.coo_matrix])
def test_leading_triplets_are_those_of_the_construction(solve, wide, form):
    A, V = known_matrix()
    if wide:
        V = A @ V / [8.0, 4.0, 2.0]
        A = A.T
    result = solve(form(np.ascontiguousarray(A)), 3)
    np.testing.assert_allclose(result.singular_values, [8.0, 4.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(result.components @ result.components.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(result.components * V.T, axis=1)), 1.0, atol=1e-6)
    assert result.seconds > 0.0


@every_solver
def test_single_precision_stays_single(solve):
    A, _ = known_matrix(np.float32)
    result = solve(A, 3)
    assert result.components.dtype == np.float32
    np.testing.assert_allclose(result.singular_values, [8.0, 4.0, 2.0], rtol=1e-5)


@every_solver
def test_zero_matrix_has_zero_singular_values_and_orthonormal_vectors(solve):
    result = solve(np.zeros((6, 5)), 2)
    np.testing.assert_array_equal(result.singular_values, 0.0)
    np.testing.assert_allclose(result.components @ result.components.T, np.eye(2), atol=1e-12)


def test_exact_svd_gives_all_values_by_default():
    A, _ = known_matrix()
    result = exact_svd(A)
    assert result.components.shape == (40, 40)
    np.testing.assert_allclose(
        (result.components * result.singular_values[:, None] ** 2).T @ result.components, A.T @ A, atol=1e-12
    )


def test_large_sparse_matrix_goes_to_arpack_and_needs_a_rank(monkeypatch):
    monkeypatch.setattr("qinspired.baselines._svd.DENSE_ENTRIES", 100)
    A = sp.random_array((30, 20), density=0.3, rng=np.random.default_rng(0)).tocsr()
    result = exact_svd(A, 4)
    assert "arpack" in result.method
    np.testing.assert_allclose(result.singular_values, np.linalg.svd(A.toarray(), compute_uv=False)[:4])
    with pytest.raises(ValueError, match=r"`rank` must be below min\(m, n\) = 20"):
        exact_svd(A)


@pytest.mark.parametrize("name", ["randomized", "truncated", "arpack", PARAMETERS["fbpca"]])
def test_same_seed_gives_the_same_bits(name):
    A = np.random.default_rng(1).standard_normal((50, 30))
    first, second = SOLVERS[name](A, 3), SOLVERS[name](A, 3)
    np.testing.assert_array_equal(first.components, second.components)


def test_global_random_state_is_left_alone():
    A, _ = known_matrix()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for name, solve in SOLVERS.items():
        if name != "fbpca" or importlib.util.find_spec("fbpca") is not None:
            solve(A, 3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


BAD = [
    (np.array([[1.0, np.nan], [0.0, 1.0]]), ValueError, r"`A` must be finite.*A\[0, 1\]"),
    (np.array([[1.0, 0.0], [-np.inf, 1.0]]), ValueError, r"`A` must be finite.*A\[1, 0\]"),
    (sp.csr_array(np.array([[1.0, np.nan]])), ValueError, r"`A` must be finite"),
    (np.ones(3), ValueError, "`A` must be 2-dimensional"),
    (np.empty((0, 3)), ValueError, "at least one row"),
    (np.eye(2) * 1j, ValueError, "`A` must be real"),
    (np.array([["a", "b"], ["c", "d"]], dtype=object), ValueError, "`A` must be numeric"),
    (np.ma.masked_array(np.eye(2), mask=np.eye(2)), TypeError, "masked"),
]


@every_solver
def test_bad_matrix_is_refused(solve):
    for A, error, match in BAD:
        with pytest.raises(error, match=match):
            solve(A, 1)


@every_solver
@pytest.mark.parametrize("rank", [0, -1, 6])
def test_rank_outside_the_range_is_refused(solve, rank):
    with pytest.raises(ValueError, match=r"`rank` must be in \[1, min\(m, n\)\] = \[1, 5\].*got"):
        solve(np.ones((7, 5)), rank)


@pytest.mark.parametrize("name", ["arpack", "lobpcg", "truncated arpack"])
def test_full_rank_is_refused_where_the_solver_cannot(name):
    with pytest.raises(ValueError, match=r"`rank` must be in \[1, min\(m, n\) - 1\].*Use `exact_svd`"):
        SOLVERS[name](np.ones((7, 5)), 5)


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="`solver` must be one of arpack, propack, lobpcg"):
        svds(np.eye(3), 1, solver="magic")
    with pytest.raises(ValueError, match="`algorithm` must be one of"):
        truncated_svd(np.eye(3), 1, algorithm="magic")
    with pytest.raises(TypeError, match="`n_iter` must be an integer"):
        randomized_svd(np.eye(3), 1, n_iter=1.5)


def test_missing_fbpca_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fbpca", None)
    with pytest.raises(ImportError, match=r"pip install \"qinspired\[bench\]\""):
        fbpca(np.eye(3), 1)


def test_every_public_name_exists():
    assert all(hasattr(baselines, name) for name in baselines.__all__)
