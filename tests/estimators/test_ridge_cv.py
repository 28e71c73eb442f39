from __future__ import annotations

import gzip

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit, RepeatedKFold, ShuffleSplit, TimeSeriesSplit

import qinspired as qi
from qinspired.estimators import _cross_validation, _ridge_cv
from qinspired.exceptions import ToleranceNotMetWarning

ALPHAS = (0.01, 1.0, 10.0, 1000.0)


def problem(m=90, n=7, seed=0, far=0.0):
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (m, n)) * (rng.random((m, n)) < 0.5) + far
    y = X @ rng.standard_normal(n) + 3.0 * rng.standard_normal(m) + 5.0
    return X, y, rng.integers(0, 4, m) * 1.0


def by_grid(X, y, cv=None, scoring=None, **options):
    ridge = Ridge(solver="svd", **options)
    return GridSearchCV(ridge, {"alpha": list(ALPHAS)}, cv=cv or KFold(5), scoring=scoring).fit(X, y)


def agrees(ours, theirs, rtol=1e-8):
    for name, values in theirs.cv_results_.items():
        if "score" in name and "time" not in name:
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=rtol, atol=1e-10, err_msg=name)
    assert ours.alpha_ == theirs.best_params_["alpha"]
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=rtol)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    assert ours.cv_results_["param_alpha"].tolist() == list(ALPHAS)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(90, 7), (30, 60)])
@pytest.mark.parametrize("far", [0.0, 1e4])
def test_scores_are_those_of_a_grid_search(convert, fit_intercept, shape, far):
    X, y, _ = problem(*shape, far=far)
    ours = qi.SampledRidgeCV(ALPHAS, fit_intercept=fit_intercept, tol=1e-4).fit(convert(X), y)
    agrees(ours, by_grid(X, y, fit_intercept=fit_intercept), rtol=1e-5)
    best = Ridge(ours.alpha_, fit_intercept=fit_intercept, solver="svd").fit(X, y)
    np.testing.assert_allclose(ours.predict(convert(X)), best.predict(X), rtol=1e-5)
    assert ours.n_draws_ == ours.draw_error_ == 0
    assert not ours.cv_results_["sampling_error_test_score"].any()


def test_with_folds_it_agrees_with_ridge_cv():
    X, y, _ = problem()
    ours, theirs = qi.SampledRidgeCV(ALPHAS).fit(X, y), RidgeCV(ALPHAS, cv=5).fit(X, y)
    assert ours.alpha_ == theirs.alpha_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-8)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)


@pytest.mark.parametrize(
    "cv",
    [
        2,
        90,
        KFold(4, shuffle=True, random_state=0),
        ShuffleSplit(6, test_size=0.3, random_state=0),
        RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
        TimeSeriesSplit(4),
        PredefinedSplit(np.arange(90) % 4 - 1),
        [(np.arange(50), np.arange(40, 90)), (np.arange(30, 90), np.arange(30))],
        [(np.arange(90) < 50, np.arange(90) >= 60)],
        [(np.r_[0:50, 0:50, 3], np.arange(-30, 0))],
    ],
    ids=lambda cv: type(cv).__name__,
)
@pytest.mark.parametrize("kept", [0, 10**9])
def test_any_folds_are_those_of_a_grid_search(cv, kept, monkeypatch):
    monkeypatch.setattr(_cross_validation, "_KEPT_NUMBERS", kept)
    X, y, _ = problem()
    scoring = "neg_mean_squared_error"  # R^2 of one row is not defined
    agrees(qi.SampledRidgeCV(ALPHAS, cv=cv, scoring=scoring).fit(X, y), by_grid(X, y, cv, scoring))
    if cv != 90:
        agrees(qi.SampledRidgeCV(ALPHAS, cv=cv).fit(X, y), by_grid(X, y, cv))


@pytest.mark.parametrize(
    "scoring", ["neg_mean_squared_error", make_scorer(mean_absolute_error, greater_is_better=False)]
)
def test_another_score_is_maximised(scoring):
    X, y, _ = problem()
    agrees(qi.SampledRidgeCV(ALPHAS, scoring=scoring).fit(X, y), by_grid(X, y, scoring=scoring))


def test_a_score_that_takes_no_weights_is_not_told_them():
    X, y, weights = problem()
    given = []

    def told(model, X, y, sample_weight=None):
        given.append(sample_weight)
        return model.score(X, y)

    models = [
        qi.SampledRidgeCV(ALPHAS, scoring=score, cv=KFold(3)).fit(X, y, weights + 1.0)
        for score in (lambda model, X, y: model.score(X, y), told)
    ]
    assert models[0].best_score_ == models[1].best_score_
    np.testing.assert_array_equal(np.concatenate(given[:: len(ALPHAS)]), weights + 1.0)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_several_targets_share_a_penalty(convert):
    X, y, _ = problem()
    Y = np.column_stack([y, X[:, 0] - 2.0 * y, np.abs(y)])
    ours = qi.SampledRidgeCV(ALPHAS).fit(convert(X), Y)
    agrees(ours, by_grid(X, Y))
    assert ours.coef_.shape == (3, 7)


@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error"])
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_an_integer_weight_is_as_good_as_repeated_rows(scoring, convert):
    X, y, weights = problem()
    folds = np.arange(90) % 5
    weighted = qi.SampledRidgeCV(ALPHAS, cv=PredefinedSplit(folds), scoring=scoring).fit(convert(X), y, weights)
    rows = np.repeat(np.arange(90), weights.astype(int))
    repeated = qi.SampledRidgeCV(ALPHAS, cv=PredefinedSplit(folds[rows]), scoring=scoring).fit(
        convert(X[rows]), y[rows]
    )
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(weighted.cv_results_[name], repeated.cv_results_[name], rtol=1e-8)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-8)


def test_a_feature_that_only_one_fold_has_keeps_its_digits():
    X, y, _ = problem()
    X[:, 3] *= 1e-8
    X[5, 3] = 1e4
    agrees(qi.SampledRidgeCV(ALPHAS).fit(X, y), by_grid(X, y), rtol=1e-6)


def test_without_penalty_dependent_features_are_no_fault():
    X, y, _ = problem()
    X = np.column_stack([X, X[:, 0] + X[:, 1], X[:, 2] * (1.0 + 1e-9 * y)])
    ours = qi.SampledRidgeCV((0.0, 1.0)).fit(X[:, :-1], y)
    alone = qi.SampledRidgeCV((0.0, 1.0)).fit(X[:, :7], y)
    assert ours.cv_results_["mean_test_score"][0] == pytest.approx(alone.cv_results_["mean_test_score"][0], rel=1e-6)
    assert np.isfinite(qi.SampledRidgeCV((0.0, 1.0)).fit(X, y).best_score_)


def test_the_first_of_equally_good_penalties_is_taken():
    model = qi.SampledRidgeCV((3.0, 1.0, 2.0)).fit(np.zeros((20, 2)), np.arange(20.0))
    assert model.alpha_ == 3.0
    assert model.cv_results_["rank_test_score"].tolist() == [1, 1, 1]


def test_the_real_houses_get_the_penalty_of_ridge_cv(data_dir):
    with gzip.open(data_dir / "california-housing" / "cal_housing.data.gz", "rt") as file:
        houses = np.loadtxt(file, delimiter=",")
    X, y = houses[:, :-1], houses[:, -1]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    folds = KFold(5, shuffle=True, random_state=0)
    ours, theirs = (kind(np.logspace(-2, 5, 15), cv=folds).fit(X, y) for kind in (qi.SampledRidgeCV, RidgeCV))
    assert ours.alpha_ == theirs.alpha_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-8)


def tall(seed=0, m=20_000, n=12):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, n)) * np.exp(0.7 * rng.standard_normal(m))[:, None]
    return X, X @ rng.standard_normal(n) + 1.5 * rng.standard_normal(m) + 3.0


DRAWN = {"alphas": (1.0, 300.0, 3e4), "tol": 0.05, "method": "rows"}


def sampling_z(seeds, n_draws=2000):
    """Return by how many of its standard deviations a score from draws is off, at the penalty that hardly acts."""
    X, y = tall()
    weights = np.random.default_rng(1).integers(1, 4, len(y)) * 1.0
    exact = qi.SampledRidgeCV(DRAWN["alphas"], method="exact").fit(X, y, weights)
    z = []
    for seed in seeds:
        model = qi.SampledRidgeCV(**DRAWN, random_state=seed).fit(X, y, weights)
        assert n_draws <= model.n_draws_ < 10_000
        off = model.cv_results_["mean_test_score"][0] - exact.cv_results_["mean_test_score"][0]
        z.append(off / model.cv_results_["sampling_error_test_score"][0])
    return np.array(z)


def is_credible(z):
    """Say whether deviations of variance 1, or somewhat more for the fits, are no surprise."""
    too_far = stats.chi2.sf((z**2).sum() / 1.5, len(z))
    too_near = stats.chi2.cdf((z**2).sum(), len(z))
    return min(too_far, too_near) > oracles.P_LOWEST


def test_scores_from_draws_are_off_by_what_is_told():
    assert is_credible(sampling_z(range(30)))


def test_draws_with_wrong_weights_would_be_seen(monkeypatch):
    right = _ridge_cv._Search._sample

    def evenly(self, drawn, chances):
        return right(self, drawn, np.full_like(chances, 1.0 / len(chances)))

    monkeypatch.setattr(_ridge_cv._Search, "_sample", evenly)
    assert not is_credible(sampling_z(range(30)))


def test_a_fold_of_draws_has_no_row_on_both_sides_and_no_row_of_another_fold(monkeypatch):
    seen = []
    right = _ridge_cv._Search._split

    def noted(self, drawn):
        splits = right(self, drawn)
        seen.extend((drawn[train], drawn[test], side) for (train, test), side in zip(splits, self.splits, strict=True))
        return splits

    monkeypatch.setattr(_ridge_cv._Search, "_split", noted)
    X, y = tall()
    qi.SampledRidgeCV(**DRAWN, cv=KFold(4, shuffle=True, random_state=0), random_state=0).fit(X, y)
    assert len(seen) >= 4
    for train, test, sides in seen:
        assert len(np.unique(train)) < len(train)  # some rows are drawn twice
        assert np.isin(train, sides[0]).all()
        assert np.isin(test, sides[1]).all()


def test_the_gap_of_two_halves_tells_the_error_of_the_fits():
    X, y = tall()
    gaps, true = [], []
    for seed in range(10):
        problem = _ridge_cv.IndexedRidge(X, y[:, None], None, alpha=1.0, fit_intercept=True, tol=0.05)
        rows = _ridge_cv.Rows(X, y[:, None], None, True, 0.05, np.zeros(1, dtype=np.int64))
        splits = [(np.arange(10_000), np.arange(10_000, 20_000))]
        search = _ridge_cv._Search(rows, np.array([1.0]), splits, problem, np.random.default_rng(seed))
        law = problem.problem.b[:, 0] ** 2 / (problem.problem.b[:, 0] ** 2).sum()
        chances = (problem.matrix.row_norms() ** 2 / problem.matrix.frobenius_norm**2 + law + 1.0 / 20_000) / 3.0
        drawn, halves = search._draw(2000, law)
        sample = search._sample(drawn, chances)
        gaps.append(_ridge_cv._gap(sample, halves, 1.0, np.array([0])))
        moments = _ridge_cv.RidgeMoments.of(sample.X, sample.targets, sample.weights)
        centred = X - X.mean(axis=0)
        exact = Ridge(1.0).fit(X, y).coef_
        away = moments.solve(1.0, fit_intercept=True)[0].coef[0] - exact
        true.append(np.linalg.norm(centred @ away) / np.linalg.norm(centred @ exact))
    assert 0.7 < np.mean(gaps) / np.mean(true) < 1.4


def test_draws_serve_the_final_fit_too_and_a_seed_repeats_them():
    X, y = tall()
    one, two = (qi.SampledRidgeCV(**DRAWN, random_state=0).fit(X, y) for _ in range(2))
    assert one.n_draws_ == two.n_draws_ > 0
    assert one.draw_error_ <= 0.05
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(one.coef_, two.coef_)
    assert one.error_.high <= 0.05
    assert one.solution_.method == "rows"


@pytest.mark.parametrize("weighted", [True, False])
def test_a_target_that_does_not_vary_does_not_count_for_the_draws(weighted):
    X, y = tall()
    weights = np.random.default_rng(0).random(len(y)) if weighted else None
    Y = np.column_stack([y, np.full_like(y, 0.1)])
    model = qi.SampledRidgeCV(**DRAWN, random_state=0).fit(X, Y, weights)
    assert 0 < model.n_draws_ < 10_000
    with pytest.raises(ValueError, match=r"an X and y that vary"):
        qi.SampledRidgeCV(**DRAWN).fit(X, Y[:, 1], weights)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_penalty_from_draws_is_as_good_as_the_best(convert, fit_intercept):
    X, y = tall()
    Y = np.column_stack([y, -y])
    options = DRAWN | {"fit_intercept": fit_intercept}
    model = qi.SampledRidgeCV(**options, random_state=0).fit(convert(X), Y)
    exact = qi.SampledRidgeCV(**options | {"method": "exact"}).fit(X, Y)
    scores = exact.cv_results_["mean_test_score"]
    assert scores[DRAWN["alphas"].index(model.alpha_)] > scores.max() - 0.003


def test_auto_draws_where_all_rows_would_take_long(monkeypatch):
    X, y = tall()
    options = DRAWN | {"method": "auto"}
    assert qi.SampledRidgeCV(**options, random_state=0).fit(X, y).n_draws_ == 0
    monkeypatch.setattr(_ridge_cv, "_EXACT_WORK", 1e6)
    assert qi.SampledRidgeCV(**options, random_state=0).fit(X, y).n_draws_ > 0
    assert qi.SampledRidgeCV(**options | {"tol": 1e-3}, random_state=0).fit(X, y).n_draws_ == 0  # as many as rows
    assert qi.SampledRidgeCV(**options | {"method": "exact"}, random_state=0).fit(X, y).n_draws_ == 0


def test_draws_that_miss_the_tolerance_warn():
    X, y = tall(m=3000)
    with pytest.warns(ToleranceNotMetWarning) as told:  # the final fit misses it too
        qi.SampledRidgeCV((1.0,), tol=1e-3, method="rows", random_state=0).fit(X, y)
    assert any("the fits of 3000 drawn rows are off by some" in str(each.message) for each in told)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"alphas": ()}, ValueError, r"`alphas` must be a list of one penalty or more; got shape \(0,\)"),
        ({"alphas": (1.0, -2.0)}, ValueError, r"`alphas` must be >= 0; got alphas\[1\] = -2.0"),
        ({"alphas": (1.0, np.nan)}, ValueError, r"`alphas` must be finite"),
        ({"alphas": [[1.0, 2.0]]}, ValueError, r"`alphas` must be a list.*got shape \(1, 2\)"),
        ({"tol": 1.0}, ValueError, r"`tol` must be in \(0, 1\); got 1.0"),
        ({"method": "fast"}, ValueError, r"`method` must be one of auto, rows.*got 'fast'"),
        ({"cv": 1}, ValueError, "n_splits"),
        ({"cv": 91}, ValueError, "n_splits"),
        ({"cv": [(np.arange(3), np.zeros(0, dtype=int))]}, ValueError, r"`cv` must leave rows .* 0 to score"),
        ({"cv": 60}, ValueError, r"`scoring` must give finite scores; got nan.*fewer folds"),
        ({"scoring": "speed"}, ValueError, "speed"),
        ({"method": "rows", "scoring": "r2"}, ValueError, r"`method` = 'rows' draws rows for the scores"),
        ({"random_state": 1.5}, TypeError, r"`random_state` must be .*got 1.5"),
    ],
)
@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")
def test_a_bad_parameter_is_named_with_its_rule(params, error, message):
    X, y, _ = problem()
    with pytest.raises(error, match=message):
        qi.SampledRidgeCV(**params).fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(90), r"`sample_weight` must be >= 0"),
        (np.zeros(90), r"`sample_weight` must have a positive entry"),
        (np.r_[np.ones(18), np.zeros(72)], r"`cv` must leave rows of positive weight on both sides"),
    ],
)
def test_bad_sample_weights_are_named_with_their_rule(weights, message):
    X, y, _ = problem()
    with pytest.raises(ValueError, match=message):
        qi.SampledRidgeCV().fit(X, y, weights)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_entries_are_refused(bad):
    X, y, _ = problem()
    X[3, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        qi.SampledRidgeCV().fit(X, y)


def test_float32_stays_float32():
    X, y, _ = problem()
    model = qi.SampledRidgeCV().fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float32


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_folds_whose_squares_underflow_are_scored_as_those_of_a_multiple(fit_intercept):
    X, y, _ = problem()
    model = qi.SampledRidgeCV((0.0,), fit_intercept=fit_intercept)
    expected = model.fit(X, y).best_score_
    assert model.fit(X * 1e-170, y).best_score_ == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [1e-310, 1e-170, 1e170, 1e300])
@pytest.mark.parametrize("options", [{}, {"method": "rows", "tol": 0.4}, {"scoring": "r2"}, {"fit_intercept": False}])
def test_targets_of_any_size_are_scored_as_those_of_size_one(size, options):
    X, y, weights = problem(600, 4)
    # One target keeps its size: each has a scale of its own.
    targets = np.column_stack([y, X[:, 0] - y])
    factors = np.ldexp([1.0, 1.0], [int(np.log2(size)), 0])
    if options.get("scoring") == "r2":
        options = {"scoring": make_scorer(_distance, greater_is_better=False)}
    one, other = (
        qi.SampledRidgeCV(ALPHAS, **options, random_state=0).fit(X, target, weights)
        for target in (targets, targets * factors)
    )
    # Subnormal numbers have fewer digits.
    rtol = 1e-3 if size < 1e-300 else 1e-9
    assert one.alpha_ == other.alpha_
    assert one.n_draws_ == other.n_draws_
    assert other.draw_error_ == pytest.approx(one.draw_error_, rel=rtol)
    for name, values in one.cv_results_.items():
        if "score" in name:
            np.testing.assert_allclose(other.cv_results_[name], values, rtol=rtol, atol=rtol, err_msg=name)
    np.testing.assert_allclose(other.coef_ / factors[:, None], one.coef_, rtol=rtol)
    np.testing.assert_allclose(other.predict(X) / factors, one.predict(X), rtol=rtol)


def _distance(y, guess, sample_weight=None):
    """Return a score that takes targets of any size, but only with the guess on their scale."""
    return float((np.abs(y - guess).mean(axis=0) / np.abs(y).mean(axis=0)).sum())


@pytest.mark.parametrize("scoring", ["neg_mean_absolute_error", "neg_root_mean_squared_error"])
def test_a_score_with_a_unit_is_that_of_the_targets_as_they_are(scoring):
    X, y, _ = problem()
    agrees(qi.SampledRidgeCV(ALPHAS, scoring=scoring).fit(X, 1000.0 * y), by_grid(X, 1000.0 * y, scoring=scoring))


def test_draws_of_rows_whose_squares_underflow_are_not_said_to_be_exact():
    X, y, _ = problem(600, 2)
    with pytest.warns(ToleranceNotMetWarning, match="off by some inf"):
        model = qi.SampledRidgeCV((0.0,), method="rows", tol=0.9, random_state=0).fit(X * 1e-170, y)
    assert model.draw_error_ == np.inf


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gap_of_two_halves_is_that_of_fits_of_each_half_taken_twice(weighted, rng):
    # A strong feature tells the fitted values, a weak one that the penalty shrinks most of the gap.
    X = rng.standard_normal((60, 2)) * [10.0, 1.0]
    y = X @ [1.0, 0.0] + 20.0 * rng.standard_normal(60)
    weights = rng.uniform(0.5, 2.0, 60) if weighted else np.ones(60)
    halves, alpha = rng.permutation(60) % 2 == 0, 100.0
    fits = [
        Ridge(alpha).fit(np.tile(X[s], (2, 1)), np.tile(y[s], 2), np.tile(weights[s], 2)) for s in (halves, ~halves)
    ]
    away, mean = (fits[0].coef_ - fits[1].coef_) / 2.0, (fits[0].coef_ + fits[1].coef_) / 2.0
    centred = [
        (X[s] - np.average(X[s], axis=0, weights=weights[s])) * np.sqrt(weights[s, None]) for s in (halves, ~halves)
    ]
    rows = np.vstack(centred)
    expected = np.linalg.norm(rows @ away) / np.linalg.norm(rows @ mean)
    sample = _ridge_cv.Rows(X, y[:, None], weights if weighted else None, True, 0.05, np.zeros(1, dtype=np.int64))
    assert _ridge_cv._gap(sample, halves, alpha, np.array([0])) == pytest.approx(expected, rel=1e-10)
