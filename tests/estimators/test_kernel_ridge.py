from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel

import qinspired as qi
from qinspired.estimators import _kernel_ridge
from qinspired.exceptions import ToleranceNotMetWarning

KERNELS = {
    "rbf": {"gamma": 0.2},
    "laplacian": {},
    "poly": {"gamma": 0.1, "degree": 2, "coef0": 0.5},
    "polynomial": {},
    "linear": {},
    "cosine": {},
    "chi2": {"gamma": 0.7},
}


def problem(m=70, n=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 9, (m, n)) * (rng.random((m, n)) < 0.7) / 2.0
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] / 4.0 + 0.1 * rng.standard_normal(m)
    return X, y, rng.integers(0, 4, m) * 1.0


def distance(model, exact, X, y, weights=None):
    root = 1.0 if weights is None else np.sqrt(weights)
    return np.linalg.norm(root * (model.predict(X) - exact.predict(X))) / np.linalg.norm(root * y)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("alpha", [1e-3, 10.0])
def test_with_all_landmarks_it_is_kernel_ridge(kernel, convert, weighted, alpha):
    if kernel == "chi2" and convert is not np.asarray:
        pytest.skip("scikit-learn has no chi2 kernel of sparse data")
    X, y, weights = problem()
    given = weights if weighted else None
    ours = qi.SampledKernelRidge(alpha, kernel=kernel, **KERNELS[kernel]).fit(convert(X), y, given)
    theirs = KernelRidge(alpha=alpha, kernel=kernel, **KERNELS[kernel]).fit(X, y, given)
    new = problem(seed=1)[0]
    np.testing.assert_allclose(ours.predict(convert(new)), theirs.predict(new), atol=1e-6)
    assert distance(ours, theirs, X, y, given) <= ours.error_.high + 1e-8
    assert ours.error_.high < 1e-3


@pytest.mark.parametrize(("kernel", "gamma"), [("chi2", 1.0), ("rbf", 0.25), ("poly", 0.25)])
def test_gamma_is_that_of_scikit_learn_where_none_is_given(kernel, gamma):
    X, y, _ = problem()
    default, given = (qi.SampledKernelRidge(kernel=kernel, gamma=g, random_state=0).fit(X, y) for g in (None, gamma))
    np.testing.assert_array_equal(default.predict(X), given.predict(X))


@pytest.mark.parametrize("weighted", [True, False])
def test_with_few_landmarks_it_is_the_least_penalised_sum_of_them(weighted):
    X, y, weights = problem()
    weights = weights if weighted else np.ones(70)
    model = qi.SampledKernelRidge(0.1, gamma=0.5, n_landmarks=9, random_state=0).fit(X, y, weights)
    assert model.n_landmarks_ == 9
    assert (weights[model.landmark_indices_] > 0).all()
    np.testing.assert_array_equal(model.landmarks_, X[model.landmark_indices_])
    columns, core = rbf_kernel(X, model.landmarks_, 0.5), rbf_kernel(model.landmarks_, gamma=0.5)
    system = columns.T @ (weights[:, None] * columns) + 0.1 * core
    np.testing.assert_allclose(model.dual_coef_, np.linalg.solve(system, columns.T @ (weights * y)), rtol=1e-6)
    np.testing.assert_allclose(model.predict(X), columns @ model.dual_coef_, rtol=1e-10)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("alpha", [1e-3, 1e-1, 1.0, 100.0])
@pytest.mark.parametrize("gamma", [0.05, 0.5, 5.0])
def test_the_error_is_never_above_its_bound(weighted, alpha, gamma):
    X, y, weights = problem(200)
    weights = weights if weighted else None
    exact = KernelRidge(alpha=alpha, kernel="rbf", gamma=gamma).fit(X, y, weights)
    for count in (1, 5, 20, 60, 120):
        model = qi.SampledKernelRidge(alpha, gamma=gamma, n_landmarks=count, random_state=count).fit(X, y, weights)
        assert distance(model, exact, X, y, weights) <= model.error_.high + 1e-9
        assert model.error_.low == 0.0
        assert model.error_.confidence == 1.0


@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
def test_no_smaller_bound_would_hold(alpha):
    X = 100.0 * np.arange(30.0)[:, None]  # the kernel matrix is the identity
    model = qi.SampledKernelRidge(alpha, gamma=1.0, n_landmarks=29, random_state=0).fit(X, np.ones(30))
    missing = np.setdiff1d(np.arange(30), model.landmark_indices_)
    y = np.zeros(30)
    y[missing] = 2.0
    model.fit(X, y)
    exact = KernelRidge(alpha=alpha, kernel="rbf", gamma=1.0).fit(X, y)
    assert distance(model, exact, X, y) == pytest.approx(1.0 / (1.0 + alpha), rel=1e-9)
    assert model.error_.high == pytest.approx(1.0 / (1.0 + alpha), rel=1e-9)


def test_landmarks_are_added_until_the_tolerance_is_met():
    X, y, weights = problem(400)
    for tol in (0.3, 0.01):
        model = qi.SampledKernelRidge(1.0, gamma=0.1, tol=tol, random_state=0).fit(X, y, weights)
        assert model.error_.high <= tol
        assert model.n_landmarks_ < 250
    with pytest.warns(ToleranceNotMetWarning, match=r"10 landmarks certify an error of .*above `tol` = 0.01; use more"):
        qi.SampledKernelRidge(1.0, gamma=0.1, tol=0.01, n_landmarks=10, random_state=0).fit(X, y)


def test_a_penalty_above_the_trace_needs_next_to_no_landmark():
    X, y, _ = problem()
    model = qi.SampledKernelRidge(1e6, tol=0.5, random_state=0).fit(X, y)
    assert model.error_.high <= 0.5


def test_many_landmarks_serve_several_targets():
    X, y, _ = problem()
    Y = np.column_stack([y, -2.0 * y, np.cos(X[:, 0]), np.zeros(70)])
    together = qi.SampledKernelRidge(n_landmarks=12, random_state=0).fit(X, Y)
    alone = qi.SampledKernelRidge(n_landmarks=12, random_state=0).fit(X, y)
    np.testing.assert_allclose(together.dual_coef_[:, 0], alone.dual_coef_, rtol=1e-9)
    np.testing.assert_allclose(together.predict(X)[:, 1], -2.0 * alone.predict(X), rtol=1e-9)
    assert together.error_[0].high == pytest.approx(alone.error_.high)
    assert together.error_[3].high == 0.0
    assert not together.dual_coef_[:, 3].any()


def test_an_integer_weight_is_as_good_as_repeated_rows():
    X, y, weights = problem()
    rows = np.repeat(np.arange(70), weights.astype(int))
    weighted, repeated = qi.SampledKernelRidge(0.1).fit(X, y, weights), qi.SampledKernelRidge(0.1).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-7)


def test_weights_take_part_in_the_choice_of_landmarks():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 6))
    weights = np.where(np.arange(400) < 20, 1e6, 1e-3)
    model = qi.SampledKernelRidge(gamma=5.0, n_landmarks=15, random_state=0).fit(X, X[:, 0], weights)
    assert (model.landmark_indices_ < 20).all()
    plain = qi.SampledKernelRidge(gamma=5.0, n_landmarks=15, random_state=0).fit(X, X[:, 0])
    assert (plain.landmark_indices_ >= 20).any()


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("diagonal", [True, False])
def test_a_callable_gives_blocks(convert, diagonal):
    X, y, _ = problem()
    if diagonal:
        if convert is sp.csr_array:
            pytest.skip("kernels of Gaussian processes take dense points")
        kernel, params = RBF(1.0 / np.sqrt(0.8)), None
    else:
        kernel, params = rbf_kernel, {"gamma": 0.4}
    ours = qi.SampledKernelRidge(0.1, kernel=kernel, kernel_params=params, n_landmarks=20, random_state=0)
    named = qi.SampledKernelRidge(0.1, gamma=0.4, n_landmarks=20, random_state=0)
    np.testing.assert_allclose(ours.fit(convert(X), y).predict(convert(X)), named.fit(X, y).predict(X), rtol=1e-6)


def test_a_callable_with_parameters_and_a_sparse_matrix_sees_sparse_rows():
    X, y, _ = problem()
    kinds = set()

    def kernel(A, B):
        kinds.update((type(A), type(B)))
        return laplacian_kernel(A, B)

    qi.SampledKernelRidge(kernel=kernel, n_landmarks=5, random_state=0).fit(sp.csr_array(X), y)
    assert kinds == {sp.csr_array}


def test_a_callable_that_writes_into_its_points_spoils_nothing():
    X, y, _ = problem()

    def kernel(A, B):
        block = rbf_kernel(A, B, 0.4)
        A[:], B[:] = 0.0, 0.0
        return block

    model = qi.SampledKernelRidge(0.1, kernel=kernel, n_landmarks=20, random_state=0).fit(X, y)
    named = qi.SampledKernelRidge(0.1, gamma=0.4, n_landmarks=20, random_state=0).fit(X, y)
    new = X.copy()
    np.testing.assert_allclose(model.predict(new), named.predict(X), rtol=1e-9)
    np.testing.assert_array_equal(new, X)
    np.testing.assert_allclose(model.predict(new), named.predict(X), rtol=1e-9)


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
def test_points_far_from_zero_keep_their_digits(kernel):
    X, y, _ = problem()
    here = qi.SampledKernelRidge(0.1, kernel=kernel, n_landmarks=30, random_state=0).fit(X, y)
    there = qi.SampledKernelRidge(0.1, kernel=kernel, n_landmarks=30, random_state=0).fit(X + 1e8, y)
    np.testing.assert_allclose(there.predict(X + 1e8), here.predict(X), rtol=1e-6)


def test_predictions_in_blocks_are_those_in_one(monkeypatch):
    X, y, _ = problem()
    model = qi.SampledKernelRidge(random_state=0).fit(X, y)
    whole = model.predict(X)
    monkeypatch.setattr(_kernel_ridge, "_BLOCK_ENTRIES", 3 * model.n_landmarks_)
    np.testing.assert_allclose(model.predict(X), whole, rtol=1e-12)


def test_an_ill_conditioned_system_keeps_its_digits():
    X, y, _ = problem()
    ours = qi.SampledKernelRidge(1e-9, gamma=0.05).fit(X, 1e3 * y)
    columns = rbf_kernel(X, ours.landmarks_, 0.05)
    core = np.linalg.cholesky(rbf_kernel(ours.landmarks_, gamma=0.05) + 1e-15 * np.eye(ours.n_landmarks_)).T
    stacked = np.vstack([columns, np.sqrt(1e-9) * core])
    least = np.linalg.lstsq(stacked, np.r_[1e3 * y, np.zeros(ours.n_landmarks_)], rcond=None)[0]
    np.testing.assert_allclose(ours.predict(X), columns @ least, atol=0.05)


def test_few_entries_of_the_kernel_are_computed():
    X, y, _ = problem(1500)
    counts = []

    class Counted(RBF):
        def __call__(self, A, B=None, eval_gradient=False):
            block = super().__call__(A, B, eval_gradient)
            counts.append(block.size)
            return block

    qi.SampledKernelRidge(kernel=Counted(1.0), n_landmarks=20, random_state=0).fit(X, y)
    assert sum(counts) < 40 * 1500


def test_real_houses_are_priced_as_by_kernel_ridge(data_dir):
    with gzip.open(data_dir / "california-housing" / "cal_housing.data.gz", "rt") as file:
        houses = np.loadtxt(file, delimiter=",")
    houses = houses[np.random.default_rng(0).permutation(len(houses))[:3000]]
    X, y = houses[:, :-1], houses[:, -1] / 1e5
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), y - y.mean()
    theirs = KernelRidge(alpha=0.5, kernel="rbf", gamma=0.1).fit(X[:2000], y[:2000])
    ours = qi.SampledKernelRidge(0.5, gamma=0.1, n_landmarks=400, random_state=0).fit(X[:2000], y[:2000])
    assert distance(ours, theirs, X[:2000], y[:2000]) < min(0.05, ours.error_.high)
    assert ours.score(X[2000:], y[2000:]) == pytest.approx(theirs.score(X[2000:], y[2000:]), abs=0.02)


def test_float32_in_is_float32_out():
    X, y, _ = problem()
    model = qi.SampledKernelRidge(0.1, gamma=0.4).fit(X.astype(np.float32), y.astype(np.float32))
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    exact = KernelRidge(alpha=0.1, kernel="rbf", gamma=0.4).fit(X, y)
    np.testing.assert_allclose(model.predict(X.astype(np.float32)), exact.predict(X), atol=1e-4)


def test_a_kernel_matrix_of_zeros_predicts_zero():
    model = qi.SampledKernelRidge(kernel="linear").fit(np.zeros((5, 2)), np.arange(5.0))
    np.testing.assert_array_equal(model.predict(np.ones((2, 2))), np.zeros(2))
    assert model.error_.high == 0.0


def test_a_seed_repeats_the_fit_and_a_pickle_predicts_the_same():
    X, y, _ = problem(500)
    one, two = (qi.SampledKernelRidge(n_landmarks=20, random_state=3).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.landmark_indices_, two.landmark_indices_)
    data = pickle.dumps(one)
    assert len(data) < X.nbytes
    np.testing.assert_array_equal(pickle.loads(data).predict(X), two.predict(X))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"alpha": 0.0}, ValueError, r"`alpha` must be .*> 0; got 0.0"),
        ({"alpha": np.nan}, ValueError, r"`alpha` must be"),
        ({"kernel": "sigmoid"}, ValueError, r"`kernel` must be one of linear, poly.*got 'sigmoid'"),
        ({"kernel": "precomputed"}, ValueError, r"For a kernel matrix that is at hand use"),
        ({"kernel": 3}, ValueError, r"`kernel` must be one of"),
        ({"gamma": -1.0}, ValueError, r"`gamma` must be .*> 0; got -1.0"),
        ({"kernel": "poly", "degree": 0}, ValueError, r"`degree` must be .*>= 1; got 0"),
        ({"kernel": "poly", "coef0": -1.0}, ValueError, r"`coef0` must be a finite number >= 0; got -1.0"),
        ({"kernel_params": {"gamma": 1.0}}, ValueError, r"`kernel_params` is for callables"),
        ({"n_landmarks": 0}, ValueError, r"`n_landmarks` must be .*>= 1; got 0"),
        ({"tol": 0.0}, ValueError, r"`tol` must be in \(0, 1\); got 0.0"),
        ({"random_state": 1.5}, TypeError, r"`random_state` must be .*got 1.5"),
        ({"kernel": lambda A, B: A[: len(B), 0]}, ValueError, r"`kernel` must return a block of shape \(16, 16\)"),
        ({"kernel": lambda A, B: np.full((len(A), len(B)), np.nan)}, ValueError, r"`kernel` must return finite"),
        ({"kernel": lambda A, B: -rbf_kernel(A, B)}, ValueError, r"positive semi-definite|diagonal"),
        ({"kernel": lambda A, B: 1.0 - 2.0 * rbf_kernel(A, B) * (A @ B.T > 9.0)}, ValueError, r"`A` must be"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule(params, error, message):
    X, y, _ = problem()
    with pytest.raises(error, match=message):
        qi.SampledKernelRidge(**{"random_state": 0} | params).fit(X, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_entries_and_weights_are_refused(bad):
    X, y, _ = problem()
    with pytest.raises(ValueError, match=r"`sample_weight` must be >= 0"):
        qi.SampledKernelRidge().fit(X, y, -np.ones(70))
    with pytest.raises(ValueError, match=r"at least one sample|minimum of 1"):
        qi.SampledKernelRidge().fit(X[:0], y[:0])
    X[3, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        qi.SampledKernelRidge().fit(X, y)


def test_points_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match=r"must be finite|must return finite|overflow"):
        qi.SampledKernelRidge(kernel="linear").fit(1e200 * np.ones((3, 2)), np.ones(3))


def test_it_does_not_predict_before_fit():
    with pytest.raises(NotFittedError):
        qi.SampledKernelRidge().predict([[1.0]])


def test_a_kernel_that_tells_equal_points_apart_by_place_is_not_fooled():
    X, y, _ = problem()
    model = qi.SampledKernelRidge(0.1, kernel=RBF(1.0) + WhiteKernel(1e-12), random_state=0).fit(X, y)
    plain = KernelRidge(alpha=0.1, kernel=RBF(1.0)).fit(X, y)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), atol=1e-5)


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_the_bound_does_not_depend_on_the_unit_of_the_target(unit):
    X = problem()[0]
    y = np.sin(X[:, 0])
    fits = [qi.SampledKernelRidge(n_landmarks=10, random_state=0).fit(X, y * scale) for scale in (1.0, unit)]
    assert fits[0].error_.high > 0.0
    assert fits[1].error_.high == pytest.approx(fits[0].error_.high, rel=1e-6)


def test_a_penalty_too_small_for_the_tolerance_is_refused_by_its_name():
    X = problem()[0]
    with pytest.raises(ValueError, match=r"`alpha` = 1e-320 is too small to meet `tol`"):
        qi.SampledKernelRidge(1e-320, tol=1e-3).fit(X, X[:, 0])
