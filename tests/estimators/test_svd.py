from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError


@pytest.fixture(name="X")
def noisy_matrix(rng):
    return rng.standard_normal((60, 12)) @ rng.standard_normal((12, 25)) + 0.3 * rng.standard_normal((60, 25))


def tall(seed=0, dtype=np.float64):
    return qi.problems.low_rank_matrix((3000, 120), 4, noise=0.3, rng=seed).A.astype(dtype)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csr_matrix, sp.csc_array])
def test_the_exact_method_agrees_with_truncated_svd(X, convert):
    ours = qi.SampledSVD(5, method="exact").fit(convert(X))
    theirs = TruncatedSVD(5, algorithm="arpack").fit(X)
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.components_, signs[:, None] * theirs.components_, atol=1e-9)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-10)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(ours.transform(X), signs * theirs.transform(X), atol=1e-8)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("method", ["gram", "krylov"])
def test_from_drawn_rows_the_excess_is_within_the_promised_tolerance(method, convert):
    A = tall()
    svd = qi.SampledSVD(4, tol=0.05, method=method, random_state=0).fit(convert(A))
    best = np.sqrt((np.linalg.svd(A, compute_uv=False)[4:] ** 2).sum())
    error = np.linalg.norm(A - A @ svd.components_.T @ svd.components_)
    assert error / best - 1.0 <= 0.05
    assert svd.excess_.high <= 0.05
    assert svd.approximation_.method == method
    assert svd.error_.value == pytest.approx(error / np.linalg.norm(A), rel=0.2)


def test_variances_come_from_all_rows_even_where_components_come_from_drawn_ones():
    A = tall()
    svd = qi.SampledSVD(4, tol=0.05, method="gram", random_state=0).fit(A)
    np.testing.assert_allclose(svd.explained_variance_, np.var(A @ svd.components_.T, axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        svd.explained_variance_ratio_, svd.explained_variance_ / np.var(A, axis=0).sum(), rtol=1e-12
    )


def test_variance_ratios_keep_their_digits_beside_a_large_mean(X):
    shifted = X + 1e7
    svd = qi.SampledSVD(6).fit(shifted)
    expected = np.var(shifted @ svd.components_.T, axis=0) / np.var(shifted, axis=0).sum()
    # The transform itself, of size 4e8, is rounded to 6e-8 beside variances of the order 10.
    np.testing.assert_allclose(svd.explained_variance_ratio_, expected, rtol=1e-6)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_without_variance_the_ratios_are_nan_and_nothing_warns(convert):
    svd = qi.SampledSVD(1).fit(convert(np.full((5, 3), 0.1)))
    assert svd.explained_variance_ == pytest.approx([0.0], abs=1e-15)
    assert np.isnan(svd.explained_variance_ratio_).all()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_entries_whose_squares_overflow_or_underflow_are_harmless(X, scale):
    plain, scaled = (qi.SampledSVD(3, method="exact").fit(A) for A in (X, X * scale))
    np.testing.assert_allclose(np.abs(scaled.components_), np.abs(plain.components_), atol=1e-9)
    np.testing.assert_allclose(scaled.singular_values_, plain.singular_values_ * scale, rtol=1e-9)
    np.testing.assert_allclose(scaled.explained_variance_ratio_, plain.explained_variance_ratio_, rtol=1e-9)


@pytest.mark.parametrize("method", ["auto", "gram"])
def test_the_largest_entry_of_each_component_is_positive(method):
    A = tall()
    for matrix in (A, -A):
        components = qi.SampledSVD(4, tol=0.05, method=method, random_state=0).fit(matrix).components_
        assert (components[np.arange(4), np.abs(components).argmax(axis=1)] > 0).all()


def test_the_stored_approximation_has_the_same_components_as_the_estimator(X):
    svd = qi.SampledSVD(3).fit(X)
    np.testing.assert_array_equal(svd.approximation_.components, svd.components_)
    assert "rank-3 approximation" in svd.approximation_.explain()


def test_float32_stays_float32():
    A = tall(dtype=np.float32)
    svd = qi.SampledSVD(3, tol=0.1, method="gram", random_state=0)
    transformed = svd.fit_transform(A)
    assert transformed.dtype == svd.components_.dtype == svd.inverse_transform(transformed).dtype == np.float32
    assert svd.explained_variance_.dtype == svd.singular_values_.dtype == np.float64


def test_one_seed_gives_one_answer_and_another_seed_another():
    A = tall()
    svd = qi.SampledSVD(4, tol=0.05, method="gram", random_state=1)
    first = svd.fit(A).components_
    np.testing.assert_array_equal(clone(svd).fit(A).components_, first)
    assert not np.array_equal(svd.set_params(random_state=2).fit(A).components_, first)


@pytest.mark.parametrize(
    "seed", [None, 3, 2**70, np.random.default_rng(0), np.random.SeedSequence(0), np.random.RandomState(0)]
)
def test_every_kind_of_random_state_is_accepted(X, seed):
    assert qi.SampledSVD(2, random_state=seed).fit(X).components_.shape == (2, 25)


def test_the_inverse_transform_projects(X):
    svd = qi.SampledSVD(4).fit(X)
    projected = svd.inverse_transform(svd.transform(X))
    np.testing.assert_allclose(projected, svd.approximation_.project(X), atol=1e-12)


def test_a_pickle_leaves_out_the_training_data():
    A = tall()
    svd = qi.SampledSVD(2).fit(A)
    data = pickle.dumps(svd)
    assert len(data) < A.nbytes / 50
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform(A), svd.transform(A))
    assert not hasattr(again, "approximation_")


def test_data_frames_go_in_and_come_out(X):
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(25)])
    svd = qi.SampledSVD(2).set_output(transform="pandas").fit(frame)
    assert list(svd.transform(frame).columns) == ["sampledsvd0", "sampledsvd1"]
    assert list(svd.feature_names_in_) == list(frame.columns)


def test_fit_leaves_its_input_alone(X):
    matrix = sp.csr_array(X)
    matrix.data.flags.writeable = False
    before = matrix.copy()
    qi.SampledSVD(2).fit(matrix)
    assert (matrix != before).nnz == 0


def test_a_matrix_of_zeros_is_refused_by_name():
    with pytest.raises(ZeroMassError, match=r"`X` must have a non-zero entry.*\(4, 3\)"):
        qi.SampledSVD(1).fit(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (
            {"n_components": 26},
            ValueError,
            r"`n_components` must be in \[1, min\(m, n\)\] = \[1, 25\].*got 26",
        ),
        ({"n_components": 0}, ValueError, r"`n_components` must be in \[1, min\(m, n\)\].*got 0"),
        ({"n_components": 2.0}, TypeError, r"`n_components` must be an integer; got 2.0"),
        ({"n_components": True}, TypeError, r"`n_components` must be an integer; got True"),
        ({"tol": 0.0}, ValueError, r"`tol` must be in \(0, 1\); got 0.0"),
        ({"tol": "small"}, TypeError, r"`tol` must be a number in \(0, 1\); got 'small'"),
        ({"method": "fast"}, ValueError, r"`method` must be one of auto, gram.*got 'fast'"),
        ({"random_state": -1}, ValueError, r"`random_state` must be .*got -1"),
        ({"random_state": "a"}, TypeError, r"`random_state` must be .*got 'a'"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule_in_fit(X, params, error, message):
    with pytest.raises(error, match=message):
        qi.SampledSVD(**params).fit(X)


def test_coordinates_of_another_width_are_refused(X):
    svd = qi.SampledSVD(3).fit(X)
    with pytest.raises(ValueError, match=r"`X` must have 3 columns, one for each component; got shape \(60, 25\)"):
        svd.inverse_transform(X)


def test_nothing_works_before_fit(X):
    for method in ("transform", "inverse_transform"):
        with pytest.raises(NotFittedError):
            getattr(qi.SampledSVD(), method)(X)


def test_a_pinned_method_that_misses_the_tolerance_warns(rng):
    with pytest.warns(ToleranceNotMetWarning):
        qi.SampledSVD(5, tol=1e-4, method="gram", random_state=0).fit(rng.standard_normal((300, 80)))
