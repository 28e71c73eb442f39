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


def named_methods():
    with pytest.raises(ValueError, match="`method` must be one of") as caught:
        qi.low_rank(np.eye(3), 1, method="none such")
    return str(caught.value).partition("one of ")[2].partition(";")[0].split(", ")


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_every_method_that_forms_components_is_taken(convert):
    A = tall()
    exact = np.linalg.svd(A, full_matrices=False)[2][:4]
    for method in set(named_methods()) - {"auto", "fkv", "threshold"}:
        svd = qi.SampledSVD(4, tol=0.1, method=method, random_state=0).fit(convert(A))
        assert svd.approximation_.method == method
        assert np.linalg.svd(svd.components_ @ exact.T, compute_uv=False).min() > 0.9


@pytest.mark.parametrize("method", ["fkv", "threshold"])
def test_a_method_that_forms_no_components_is_refused(X, method):
    with pytest.raises(ValueError, match=rf"`method` must not be '{method}', which forms no components"):
        qi.SampledSVD(2, method=method).fit(X)


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


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_array])
def test_blocks_give_the_components_of_all_rows_within_the_tolerance(convert):
    A = tall()
    svd = qi.SampledSVD(4, tol=0.05)
    for start in range(0, 3000, 600):
        svd.partial_fit(convert(A[start : start + 600]))
    values = np.linalg.svd(A, compute_uv=False)
    error = np.linalg.norm(A - A @ svd.components_.T @ svd.components_)
    assert error / np.sqrt((values[4:] ** 2).sum()) - 1.0 <= svd.excess_.high <= 0.05
    assert svd.n_samples_seen_ == 3000
    true = np.var(A @ svd.components_.T, axis=0)
    low, high = svd.explained_variance_interval_.T
    assert (low <= true * (1 + 1e-9)).all()
    assert (true <= high * (1 + 1e-9)).all()
    np.testing.assert_allclose(svd.explained_variance_, true, rtol=0.02)
    np.testing.assert_allclose(svd.singular_values_, values[:4], rtol=0.01)
    total = np.var(A, axis=0).sum()
    np.testing.assert_allclose(svd.explained_variance_ratio_interval_ * total, svd.explained_variance_interval_)
    np.testing.assert_allclose(svd.transform(A), A @ svd.components_.T, atol=1e-12)


def test_a_sketch_that_holds_all_is_the_exact_svd(X):
    streamed = qi.SampledSVD(5).partial_fit(X[:20]).partial_fit(X[20:])
    exact = qi.SampledSVD(5, method="exact").fit(X)
    np.testing.assert_allclose(streamed.components_, exact.components_, atol=1e-9)
    for name in ("singular_values_", "explained_variance_", "explained_variance_ratio_"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(exact, name), rtol=1e-9)
    assert streamed.excess_.high < 1e-12


@pytest.mark.parametrize("mean", [1e6, 1e8])
def test_where_the_mean_hides_the_deviations_the_bounds_from_blocks_say_so(X, mean):
    far = X + mean
    svd = qi.SampledSVD(2).partial_fit(far[:20]).partial_fit(far[20:])
    images = far @ svd.components_.T
    true = np.var(images - images.mean(axis=0), axis=0)
    low, high = svd.explained_variance_interval_.T
    assert (low <= true).all()
    assert (true <= high).all()
    # The first direction is that of the mean, the second is not.
    total = np.var(far - mean, axis=0).sum()
    assert high[0] - low[0] > (0.5 * total if mean == 1e8 else 1e-4 * total)
    assert high[1] - low[1] < 1e-3 * total
    np.testing.assert_allclose(
        svd.explained_variance_ratio_interval_ * total, svd.explained_variance_interval_, rtol=1e-6
    )


def test_fit_starts_anew_and_blocks_after_it_too(X):
    svd = qi.SampledSVD(3).partial_fit(10.0 * X).fit(X)
    np.testing.assert_array_equal(svd.components_, qi.SampledSVD(3).fit(X).components_)
    with pytest.warns(UserWarning, match="starts anew: `fit` keeps no sketch"):
        svd.partial_fit(X[:30])
    np.testing.assert_array_equal(svd.components_, qi.SampledSVD(3).partial_fit(X[:30]).components_)
    assert svd.partial_fit(X[30:]).n_samples_seen_ == 60


def test_a_refused_block_changes_nothing(X):
    svd = qi.SampledSVD(3).partial_fit(X[:30])
    with pytest.raises(ValueError, match="NaN"):
        svd.partial_fit(np.where(X[40, 3] == X, np.nan, X)[30:])
    with pytest.raises(ValueError, match="25 features"):
        svd.partial_fit(X[30:, :5])
    with pytest.raises(ValueError, match="must stay what it was in the first block, 3; got 4"):
        clone_with_state(svd, n_components=4).partial_fit(X)
    again = pickle.loads(pickle.dumps(svd)).partial_fit(X[30:])
    np.testing.assert_array_equal(svd.partial_fit(X[30:]).components_, again.components_)
    np.testing.assert_allclose(svd.components_, qi.SampledSVD(3, method="exact").fit(X).components_, atol=1e-9)


def clone_with_state(svd, **params):
    return pickle.loads(pickle.dumps(svd)).set_params(**params)


def test_a_first_block_of_zeros_is_refused_by_name():
    with pytest.raises(ZeroMassError, match=r"`X` must have a non-zero entry.*\(4, 3\)"):
        qi.SampledSVD(1).partial_fit(np.zeros((4, 3)))


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nan_or_an_infinity_is_refused(X, convert, value):
    X[3, 4] = value
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        qi.SampledSVD(2).fit(convert(X))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_output_is_a_frame_if_it_is_set(X, kind):
    pytest.importorskip(kind)
    svd = qi.SampledSVD(2).set_output(transform=kind)
    assert list(svd.fit_transform(X).columns) == list(svd.get_feature_names_out()) == ["sampledsvd0", "sampledsvd1"]


def test_a_sparse_matrix_of_another_format_is_taken(X):
    plain = qi.SampledSVD(3, method="exact").fit(X)
    for convert in (sp.coo_array, sp.csc_matrix, sp.lil_array):
        svd = qi.SampledSVD(3, method="exact").fit(convert(X))
        np.testing.assert_allclose(svd.transform(convert(X)), plain.transform(X), atol=1e-9)


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
