from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from derived import A, skewed
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import qinspired as qi
from qinspired.access.derived import _centred

builds = pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])


def exact_moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and population deviations of the columns, in rational numbers until the last step."""
    means, deviations = [], []
    for column in X.T:
        values = [Fraction(float(value)) for value in column]
        mean = sum(values) / len(values)
        means.append(float(mean))
        deviations.append(float(sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5)
    return np.array(means), np.array(deviations)


def offset_data(mean: float, shape: tuple[int, int] = (500, 6), seed: int = 0) -> np.ndarray:
    return mean + np.random.default_rng(seed).standard_normal(shape)


@builds
@pytest.mark.parametrize("mean", [0.0, 1.0, -1e4, 1e8])
@pytest.mark.parametrize("in_order", [False, True])
def test_moments_are_right_to_the_last_digits_under_a_large_mean(build: Any, mean: float, in_order: bool) -> None:
    X = offset_data(mean)
    X = np.sort(X, axis=0) if in_order else X  # so that the first rows say little about the mean
    means, deviations = exact_moments(X)
    C = qi.centred(build(X), scale="std")
    # The sum of 500 deviations of size 1, and one rounding of the mean itself.
    np.testing.assert_allclose(C.center, means, rtol=0, atol=1e-13 + 2e-16 * abs(mean))
    np.testing.assert_allclose(C.scale, deviations, rtol=1e-12)


@builds
@pytest.mark.parametrize("blocks", [1, 7, 50])
def test_moments_do_not_depend_on_the_blocks(build: Any, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.sort(offset_data(1e8, (50, 3)), axis=0)
    monkeypatch.setattr(_centred, "rows_per_block", lambda _: -(-50 // blocks))
    monkeypatch.setattr(_centred, "_WORK_ENTRIES", 3 * -(-50 // blocks))
    means, deviations = exact_moments(X)
    C = qi.centred(build(X), scale="std")
    np.testing.assert_allclose(C.center, means, rtol=2e-16)
    np.testing.assert_allclose(C.scale, deviations, rtol=1e-9)  # seven blocks and the last: a fiftieth is one row
    np.testing.assert_allclose(C.row_norms(), np.linalg.norm((X - means) / deviations, axis=1), rtol=1e-7)


@builds
@pytest.mark.parametrize("scale", [None, "std"])
def test_norms_of_rows_do_not_cancel_under_a_large_mean(build: Any, scale: str | None) -> None:
    X = offset_data(1e8)
    means, deviations = exact_moments(X)
    wanted = (X - means) / (deviations if scale else 1.0)
    C = qi.centred(build(X), scale=scale)
    # The mean is known to an ulp, 1.5e-8, of which six entries share; the squares of norms alone would lose all.
    np.testing.assert_allclose(C.row_norms(), np.linalg.norm(wanted, axis=1), rtol=0, atol=1e-7)
    np.testing.assert_allclose(C.row_norms([3, 1]), np.linalg.norm(wanted[[3, 1]], axis=1), rtol=0, atol=1e-7)
    np.testing.assert_allclose(C.rows(np.arange(500)), wanted, rtol=0, atol=1e-7)
    naive = np.sqrt(np.maximum((X**2).sum(axis=1) - 2 * X @ means + (means**2).sum(), 0.0))
    assert np.abs(naive - np.linalg.norm(X - means, axis=1)).max() > 0.1


@builds
def test_products_do_not_cancel_under_a_large_mean(build: Any) -> None:
    X = offset_data(1e8)
    means, _ = exact_moments(X)
    C = qi.centred(build(X))
    right = np.random.default_rng(1).standard_normal((6, 2))
    left = np.random.default_rng(2).standard_normal((500, 2))
    np.testing.assert_allclose(C.matmul(right), (X - means) @ right, rtol=0, atol=1e-7)
    # The mean is off by half an ulp, 7e-9, which is multiplied by the sum of `left`, 23.
    np.testing.assert_allclose(C.rmatmul(left), (X - means).T @ left, rtol=0, atol=5e-7)
    # A product minus its rank-one correction is off by more.
    assert np.abs(X.T @ left - np.outer(means, left.sum(axis=0)) - (X - means).T @ left).max() > 2e-6


def test_products_of_sparse_data_make_no_dense_rows() -> None:
    class Refusing(qi.CountingMatrix):
        def row_blocks(self, rows_per_block: int) -> Any:
            raise AssertionError(f"blocks of {rows_per_block} rows were read")

    X = sp.random_array((300, 40), density=0.1, rng=0, format="csr")
    source = Refusing(qi.as_sq_matrix(X))
    mean, dense = X.toarray().mean(axis=0), X.toarray()
    moments = _centred.column_moments(qi.as_sq_matrix(X))
    C = _centred.CentredMatrix(source, mean, None, moments)
    np.testing.assert_allclose(C.matmul(np.eye(40)), dense - mean, atol=1e-13)
    np.testing.assert_allclose(C.rmatmul(np.eye(300)), (dense - mean).T, atol=1e-13)


def test_a_short_sparse_row_near_the_centre_is_summed_densely() -> None:
    # Row 0 stores the centre but for a trace, so that its norm is a difference of equal numbers.
    center = np.arange(1.0, 9.0)
    X = np.zeros((3, 8))
    X[0] = center
    X[0, 2] += 1e-7
    X[1, :7] = center[:7]
    C = qi.centred(sp.csr_array(X), center)
    np.testing.assert_allclose(C.row_norms(), np.linalg.norm(X - center, axis=1), rtol=1e-9)


@builds
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1.0, 1e8, 1e-200, 1e200]),
    st.sampled_from([None, "std"]),
)
def test_any_small_matrix_is_centred_as_numpy_does(
    build: Any, m: int, n: int, seed: int, size: float, scale: str | None
) -> None:
    rng = np.random.default_rng(seed)
    X = size * rng.integers(-3, 4, size=(m, n)).astype(np.float64)
    X[rng.random((m, n)) < 0.3] = 0.0
    unit = float(np.abs(X).max()) or 1.0
    shares = X / unit
    mean, std = shares.mean(axis=0), shares.std(axis=0)
    wanted = shares - mean
    if scale:
        wanted /= np.where(std < 1e-14, 1.0 / unit, std)  # a constant column keeps its own rounding, of any size
    else:
        wanted *= unit
    C = qi.centred(build(X), scale=scale)
    top = max(float(np.abs(wanted).max()), unit if scale is None else 1.0)
    constant = std < 1e-14
    found = C.rows(np.arange(m))
    np.testing.assert_allclose(found[:, ~constant] / top, wanted[:, ~constant] / top, rtol=0, atol=1e-12)
    assert (np.abs(found[:, constant]) <= 1e-14 * unit).all()
    if not constant.any():
        np.testing.assert_allclose(C.row_norms() / top, np.linalg.norm(wanted / top, axis=1), rtol=0, atol=1e-12)


@builds
def test_scaling_is_that_of_scikit_learn(build: Any) -> None:
    X = A.copy()
    X[:, 5] = 3.0  # a constant column beside the zero one, and one that is constant but for rounding
    X[:, 6] = np.where(np.arange(40) % 2, 0.3, 0.1 + 0.2)
    scaler = StandardScaler().fit(X)
    C = qi.centred(build(X), scale="std")
    np.testing.assert_allclose(C.center, scaler.mean_, atol=1e-14)
    np.testing.assert_allclose(C.scale, scaler.scale_, rtol=1e-13)
    assert C.scale[5] == C.scale[6] == C.scale[9] == 1.0
    np.testing.assert_allclose(C.rows(np.arange(40)), scaler.transform(X), atol=1e-12)


def test_constant_columns_do_not_widen_the_bound() -> None:
    X = 1e6 * skewed(1, (60, 5), 0.0)[:, [0, 1, 2]] + 1.0
    with_constant = np.column_stack([X, np.full(60, 0.1), np.full(60, 1e6)])
    # What is constant is part of the norms of the rows that propose, so the bound grows; but not by its scale of 1.
    assert qi.centred(with_constant, scale="std").phi() < 100 * qi.centred(X, scale="std").phi()
    assert (qi.centred(with_constant, scale="std").bound_norms() >= qi.centred(X, scale="std").row_norms()).all()


@builds
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_low_rank_of_a_centred_matrix_is_scikit_learn_s_pca(build: Any, offset: float) -> None:
    rng = np.random.default_rng(3)
    X = offset + rng.standard_normal((200, 4)) * [8.0, 4.0, 2.0, 1.0] @ np.linalg.qr(rng.standard_normal((30, 4)))[0].T
    X += 0.01 * rng.standard_normal((200, 30))
    pca = PCA(3, svd_solver="full").fit(X)
    approx = qi.low_rank(qi.centred(build(X)), 3, method="exact")
    signs = np.sign((approx.components * pca.components_).sum(axis=1))
    np.testing.assert_allclose(approx.components * signs[:, None], pca.components_, atol=1e-9)
    np.testing.assert_allclose(approx.singular_values**2 / 199, pca.explained_variance_, rtol=1e-10)
    total = qi.IndexedMatrix(qi.centred(build(X))).frobenius_norm ** 2
    np.testing.assert_allclose(approx.singular_values**2 / total, pca.explained_variance_ratio_, rtol=1e-10)


def test_low_rank_from_drawn_rows_of_centred_sparse_data_meets_its_tolerance() -> None:
    X = sp.random_array((4000, 60), density=0.2, rng=4, format="csr")
    X = sp.csr_array(X @ np.diag(np.linspace(3, 0.1, 60) ** 2))
    dense = X.toarray() - X.toarray().mean(axis=0)
    approx = qi.low_rank(qi.centred(X), 5, tolerance=0.05, rng=0)
    values = np.linalg.svd(dense, compute_uv=False)
    best = np.sqrt((values[5:] ** 2).sum())
    error = np.linalg.norm(dense - dense @ approx.components.T @ approx.components)
    assert error <= 1.05 * best
    assert approx.excess.high <= 0.05


@builds
def test_any_center_and_scale_may_be_given(build: Any) -> None:
    center, scale = np.linspace(-2, 2, 24), np.linspace(0.5, 3, 24)
    C = qi.centred(build(A), center, scale=scale)
    wanted = (A - center) / scale
    np.testing.assert_allclose(C.rows(np.arange(40)), wanted, atol=1e-14)
    np.testing.assert_allclose(C.row_norms(), np.linalg.norm(wanted, axis=1), rtol=1e-10)
    np.testing.assert_allclose(C.matmul(np.eye(24)), wanted, atol=1e-12)
    np.testing.assert_allclose(C.rmatmul(np.eye(40)), wanted.T, atol=1e-12)
    np.testing.assert_allclose(C.query([0, 39], [3, 4]), wanted[[0, 39], [3, 4]], atol=1e-14)
    center[0] = scale[0] = 99.0  # they were copied
    C.center[1] = C.scale[1] = 99.0
    np.testing.assert_allclose(C.rows([0]), wanted[:1], atol=1e-14)


@pytest.mark.parametrize(
    ("center", "scale", "message"),
    [
        ("median", None, "`center` must be 'mean' or an array; got 'median'"),
        ("mean", "var", "`scale` must be 'std' or an array or None; got 'var'"),
        (np.zeros(23), None, r"`center` must have one number for each of the 24 columns of `A`; got shape \(23,\)"),
        (0.0, None, r"`center` must have one number for each of the 24 columns"),
        (None, None, r"`center` must have one number for each"),
        (np.full(24, np.nan), None, r"`center` must be finite.*center\[0\] = nan"),
        (np.full(24, np.inf), None, r"`center` must be finite"),
        (np.full(24, 1j), None, r"`center` must be real"),
        ("mean", np.ones(23), r"`scale` must have one number for each of the 24 columns"),
        ("mean", np.full(24, np.nan), r"`scale` must be finite"),
        ("mean", np.r_[np.ones(23), 0.0], r"`scale` must be positive; got scale\[23\] = 0\.0\. Use 1"),
        ("mean", np.r_[-1.0, np.ones(23)], r"`scale` must be positive; got scale\[0\] = -1\.0"),
        ("mean", np.full(24, 5e-324), "`scale` must keep the bound.*below 1.8e308"),
        (np.full(24, 1e308), None, "`center` must keep the bound"),
    ],
)
@builds
def test_a_center_or_scale_that_makes_no_sense_is_refused(build: Any, center: Any, scale: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qi.centred(build(A), center, scale=scale)


def test_a_constant_matrix_is_zero_once_centred() -> None:
    for build in (np.array, sp.csr_array):
        for value in (0.1, 1e8 / 3, 1e200):
            C = qi.centred(build(np.full((30, 4), value)), scale="std")
            assert not C.rows(np.arange(30)).any()
            assert not C.row_norms().any()
            assert not C.matmul(np.ones((4, 1))).any()


@pytest.mark.parametrize("mean", [0.0, 1e6])
@pytest.mark.parametrize("height", [9, 11])
def test_a_factor_of_another_height_is_refused(mean: float, height: int) -> None:
    X = sp.csr_array(mean + np.random.default_rng(0).standard_normal((10, 4)))
    with pytest.raises(ValueError, match=r"with one row for each of the 10 rows of the matrix; got shape"):
        qi.centred(X).rmatmul(np.ones((height, 2)))


def test_products_of_centred_sparse_data_are_priced_as_sparse_ones() -> None:
    X = sp.random_array((4000, 3000), density=0.002, rng=0, format="csr")
    centred = qi.centred(X)
    indexed = qi.IndexedMatrix(centred)
    assert indexed.n_stored == 4000 * 3000
    assert indexed.multiplied.n_stored == centred.multiplied.n_stored == X.nnz
    # Passes over 24,000 entries beat the drawing of 300 dense rows; over 12 million they would not.
    assert qi.low_rank(centred, 5, tolerance=0.01, rng=0).method in ("polished", "randomized")
    # A correction that would cancel is not made: blocks of dense rows are multiplied.
    shifted = qi.centred(sp.csr_array(1e6 + X.toarray()[:20]))
    assert shifted.multiplied is shifted
