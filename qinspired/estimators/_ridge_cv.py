"""Ridge regression whose penalty is chosen by cross-validation."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

from qinspired._rng import as_generator
from qinspired._validation import check_fraction, check_vector
from qinspired.estimators._checked import all_or_nothing, validated
from qinspired.estimators._cross_validation import FoldScores, Rows, fold_scores, is_tall
from qinspired.estimators._ridge_fit import IndexedRidge, RidgeModel, check_weights
from qinspired.estimators._ridge_moments import RidgeMoments
from qinspired.exceptions import ToleranceNotMetWarning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["SampledRidgeCV"]

_METHODS = ("auto", "rows", "kaczmarz", "exact")

# Rows of the first draw: at least so many a feature, and so many a fold.
_DRAWS_PER_FEATURE, _DRAWS_PER_FOLD = 10, 400

# "auto" draws where the moments of all rows take more multiplications than this.
_EXACT_WORK = 1e9


class SampledRidgeCV(RidgeModel):
    """Ridge regression with the penalty that predicts rows left out best; like scikit-learn's `RidgeCV`.

    Parameters
    ----------
    alphas : array_like of float, shape (n_alphas,), default=(0.1, 1, 10)
        Penalties >= 0 to choose from.
    fit_intercept : bool, default=True
        Whether to fit an intercept, which is not penalised.
    cv : int, splitter, iterable of (train, test) or None, default=None
        Folds, as in scikit-learn; None for 5 of consecutive rows, where `RidgeCV` leaves out single rows.
    scoring : str, callable or None, default=None
        The score to maximise; None for R^2.
    tol : float, default=0.01
        Largest relative distance of the fitted values from those of the exact solution, in (0, 1), as in
        `SampledRidge`; where rows are drawn for the scores, the same for the fits without a fold, but estimated and
        not certified.
    method : {"auto", "rows", "kaczmarz", "exact"}, default="auto"
        As in `SampledRidge` for the final fit. The scores are from all rows with "exact", from drawn rows with "rows",
        and otherwise from drawn rows where these are predicted to be faster.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the randomness, also of the draws; that of the folds is the splitter's own.

    Attributes
    ----------
    alpha_ : float
        The penalty with the highest mean score, the first of them where there are several.
    best_score_ : float
        That mean score.
    cv_results_ : dict of ndarray
        One entry for each penalty: `param_alpha`, `params`, `split0_test_score` and so on, `mean_test_score`,
        `std_test_score` and `rank_test_score`, as in `GridSearchCV`. `standard_error_test_score` is that of the mean
        over the folds; `sampling_error_test_score` the part of it that the draws of held-out rows make, 0 where all
        rows were scored.
    n_draws_ : int
        Number of rows drawn for the scores; 0 where they are from all rows.
    draw_error_ : float
        Estimated distance of the fits of the drawn rows from those of all rows at `alpha_`, relative as in `tol`; 0
        without draws.
    coef_, intercept_, error_, residual_, solution_, n_features_in_, feature_names_in_
        As in `SampledRidge`, of the final fit of all rows.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range; X, y or the weights are not finite or differ in length; or a score is
        not finite.

    Warns
    -----
    ToleranceNotMetWarning
        In `fit`, if a method pinned by name ended before `tol` was met.

    See Also
    --------
    SampledRidge : The fit for one penalty.

    Notes
    -----
    The n x n moments X^T X and X^T y about the mean serve all penalties, and those of a training set are those of all
    rows less those of its fold. They are formed from all rows, or from drawn ones: a third each by the squared norms of
    the rows of X and of y, and evenly, with the inverse probabilities as weights. All folds share these draws, through
    the index that serves the final fit too: a fold's are the drawn rows that belong to it, so that no row is on both
    sides. Without one of both, few features or more rows than features, each fold and penalty is solved by itself.

    Cost: n^2 multiplications for each row or draw, and n^3 / 3 for each fold and penalty; one product of each held-out
    row with all solutions. Then that of `SampledRidge`. Draws are added until `draw_error_` is at most `tol`.
    Error: from all rows the scores are those of `GridSearchCV(Ridge())` to rounding. From s draws a fit has errors of
    its own, some n / s of the variance of the noise, which lower all scores, those of small penalties more; with a
    `draw_error_` of at most `tol` they are about `tol`^2 of the explained variance. Penalties whose scores differ by
    less, or by less than their errors, are as good as each other, and the choice may be another one than from all
    rows. With sample weights the scores are weighted too, other than in `GridSearchCV`, as weight 2 is as good as two
    rows; only a callable without a `sample_weight` is not told.

    Examples
    --------
    >>> import qinspired as qi
    >>> system = qi.problems.linear_system((500, 20), kappa=10.0, noise=1.0, rng=0)
    >>> model = qi.SampledRidgeCV((1e-4, 1e-2, 1.0, 100.0)).fit(system.A, system.b)
    >>> model.n_draws_, model.cv_results_["mean_test_score"].shape
    (0, (4,))
    >>> model.alpha_ in (1e-4, 1e-2, 1.0)
    True
    """

    def __init__(
        self,
        alphas: Any = (0.1, 1, 10),
        *,
        fit_intercept: bool = True,
        cv: Any = None,
        scoring: Any = None,
        tol: float = 0.01,
        method: str = "auto",
        random_state: RNGLike = None,
    ) -> None:
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.tol = tol
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the penalty and find the weights.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Training data.
        y : array_like, shape (n_samples,) or (n_samples, n_targets)
            Targets; several share one penalty.
        sample_weight : array_like, shape (n_samples,), or float, optional
            Weights >= 0, not all zero.

        Returns
        -------
        SampledRidgeCV
            This object.
        """
        with all_or_nothing(self):
            X, y = validated(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
            alphas = _check_alphas(self.alphas)
            tol = check_fraction(self.tol, "tol")
            if self.method not in _METHODS:
                raise ValueError(f"`method` must be one of {', '.join(_METHODS)}; got {self.method!r}.")
            rng = as_generator(self.random_state, name="random_state")
            weights = check_weights(sample_weight, X.shape[0])
            scorer = None if self.scoring is None else check_scoring(self, self.scoring)
            splits = [(np.asarray(a), np.asarray(b)) for a, b in check_cv(self.cv, y).split(X, y)]
            splits = [(_positions(train, X.shape[0]), _positions(test, X.shape[0])) for train, test in splits]
            targets: Float64Array = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
            exponents: IntArray = np.frexp(np.abs(targets).max(axis=0))[1].astype(np.int64)
            rows = Rows(X, np.ldexp(targets, -exponents), weights, bool(self.fit_intercept), tol, exponents)
            if weights is not None and not weights.all():
                rows, splits = _of_positive_weight(rows, splits)
            for train, test in splits:
                if not len(train) or not len(test):
                    raise ValueError(
                        "`cv` must leave rows of positive weight on both sides of each split; got one with "
                        f"{len(train)} to fit and {len(test)} to score. Use fewer folds."
                    )
            problem = IndexedRidge(
                rows.X,
                rows.unscaled_targets(),
                rows.weights,
                alpha=float(alphas.max()),
                fit_intercept=rows.fit_intercept,
                tol=tol,
            )
            search = _Search(rows, alphas, splits, problem, rng)
            n_draws, draw_error = 0, 0.0
            found = None
            if search.may_draw(self.method, scorer is not None):
                found, n_draws, draw_error = search.from_draws(at_any_cost=self.method == "rows")
            if found is None:
                found, n_draws, draw_error = search.from_all_rows(scorer, single=y.ndim == 1), 0, 0.0
            results = _results(alphas, found)
            best = int(np.argmax(results["mean_test_score"]))
            fit = problem.fit(float(alphas[best]), method=self.method, rng=rng)
            self.alpha_: float = float(alphas[best])
            self.best_score_: float = float(results["mean_test_score"][best])
            self.cv_results_: dict[str, Any] = results
            self.n_draws_: int = n_draws
            self.draw_error_: float = draw_error
            self._set(fit, X.dtype, single=y.ndim == 1)
        return self


class _Search:
    """The scores of one data set, from all of its rows or from drawn ones."""

    def __init__(
        self,
        rows: Rows,
        alphas: Float64Array,
        splits: list[tuple[IntArray, IntArray]],
        problem: IndexedRidge,
        rng: np.random.Generator,
    ) -> None:
        self.rows, self.alphas, self.splits, self.problem, self.rng = rows, alphas, splits, problem, rng
        self.m, self.n = rows.X.shape
        self.first = max(_DRAWS_PER_FEATURE * self.n, _DRAWS_PER_FOLD * len(splits))

        self.varied = np.flatnonzero(problem.problem.b.any(axis=0))

    def may_draw(self, method: str, has_scorer: bool) -> bool:
        """Say whether scores are to be tried from drawn rows."""
        can = is_tall(self.rows.X.shape) and not has_scorer and self.problem.matrix.frobenius_norm > 0.0
        can = can and len(self.varied) > 0
        if method == "rows" and not can:
            raise ValueError(
                "`method` = 'rows' draws rows for the scores, which needs more rows than features, at most 4096 of "
                "these, an X and y that vary, and R^2 as the score (`scoring=None`). Use method='auto'."
            )
        work = float(self.m) * self.n * self.n
        return can and (method == "rows" or (method != "exact" and 3 * self.first <= self.m and work > _EXACT_WORK))

    def from_all_rows(self, scorer: Any, *, single: bool) -> FoldScores:
        """Return the exact scores."""
        return fold_scores(self.rows, self.alphas, self.splits, scorer=scorer, single=single, drawn=False)

    def from_draws(self, *, at_any_cost: bool) -> tuple[FoldScores | None, int, float]:
        """Return scores from enough drawn rows, their number and their error; None where all rows are cheaper."""
        n_draws, limit = self.first, self.m if at_any_cost else self.m // 3
        limit = max(limit, self.first)
        norms = self.problem.matrix.row_norms() / self.problem.matrix.frobenius_norm
        b = np.ldexp(self.problem.problem.b, -self.rows.exponents)[:, self.varied]
        law = ((b / np.linalg.norm(b, axis=0)) ** 2).mean(axis=1)
        chances = (norms**2 + law + 1.0 / self.m) / 3.0
        while True:
            drawn, halves = self._draw(n_draws, law)
            splits = self._split(drawn)
            if splits is None:
                found, error = None, math.inf
            else:
                sample = self._sample(drawn, chances)
                found = fold_scores(sample, self.alphas, splits, scorer=None, single=False, drawn=True)
                best = int(np.argmax(found.scores.mean(axis=1)))
                error = _gap(sample, halves, float(self.alphas[best]), self.varied)
            if error <= self.rows.tol:
                return found, n_draws, error
            wanted = math.ceil(n_draws * min(max((1.1 * error / self.rows.tol) ** 2, 1.5), 1e6))
            if not at_any_cost and wanted > limit:
                return None, 0, 0.0
            if n_draws >= limit:
                if found is not None:
                    warnings.warn(
                        f"SampledRidgeCV(method='rows'): the fits of {n_draws} drawn rows are off by some {error:.3g}, "
                        f"above `tol` = {self.rows.tol:g}; use method='auto' or a larger `tol`.",
                        ToleranceNotMetWarning,
                        stacklevel=3,
                    )
                return found, n_draws, error
            n_draws = min(wanted, limit, 8 * n_draws)

    def _draw(self, n_draws: int, law: Float64Array) -> tuple[IntArray, Any]:
        """Return drawn rows, and a half of the positions at random."""
        share = n_draws // 3
        by_norm = self.problem.matrix.sample_rows(share, self.rng)
        running = np.cumsum(law)
        by_target = np.searchsorted(running, self.rng.random(share) * running[-1], side="right")
        evenly = self.rng.integers(0, self.m, n_draws - 2 * share)
        drawn = np.concatenate([by_norm, np.minimum(by_target, self.m - 1), evenly])
        return drawn, self.rng.permutation(n_draws) % 2 == 0

    def _sample(self, drawn: IntArray, chances: Float64Array) -> Rows:
        sample = self.rows.at(drawn)
        weights = 1.0 / (len(drawn) * chances[drawn])
        if sample.weights is not None:
            weights = weights * sample.weights
        return replace(sample, weights=weights)

    def _split(self, drawn: IntArray) -> list[tuple[IntArray, IntArray]] | None:
        """Return the positions of the draws on either side of each split; None where a side has too few."""
        splits = []
        for sides in self.splits:
            positions = [np.flatnonzero(np.bincount(side, minlength=self.m)[drawn]) for side in sides]
            if len(positions[0]) <= self.n or len(positions[1]) < 2:
                return None
            splits.append((positions[0], positions[1]))
        return splits


def _gap(sample: Rows, halves: Any, alpha: float, targets: IntArray) -> float:
    """Return half the distance of the fits of two halves of the draws, relative to the fitted values of both.

    The largest of those of some targets; infinite where squares of entries of X overflow or underflow.
    """
    parts = [sample.at(np.flatnonzero(side)) for side in (halves, ~halves)]
    moments = [RidgeMoments.of(part.X, part.targets, _doubled(part)) for part in parts]
    if any(not each.is_finite or each.underflows(fit_intercept=sample.fit_intercept) for each in moments):
        return math.inf
    one, two = (each.solve(alpha, fit_intercept=sample.fit_intercept)[0].coef[targets] for each in moments)
    gram = (moments[0].gram + moments[1].gram) / 2.0
    if not sample.fit_intercept:
        gram = gram + moments[0].weight * np.outer(moments[0].x_mean, moments[0].x_mean)
    away, mean = (one - two) / 2.0, (one + two) / 2.0
    gaps = np.einsum("ti,ij,tj->t", away, gram, away, optimize=True)
    fitted = np.einsum("ti,ij,tj->t", mean, gram, mean, optimize=True)
    kept = fitted > 0.0
    return math.sqrt(float((gaps[kept] / fitted[kept]).max(initial=0.0)))


def _doubled(part: Rows) -> Float64Array:
    # A half with twice the weights stands for all rows, beside the same penalty.
    return 2.0 * (np.ones(len(part.targets)) if part.weights is None else part.weights)


def _check_alphas(alphas: Any) -> Float64Array:
    values = np.atleast_1d(np.asarray(alphas))
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"`alphas` must be a list of one penalty or more; got shape {values.shape}.")
    numbers = check_vector(values, len(values), "alphas")
    if (numbers < 0.0).any():
        where = int(np.argmax(numbers < 0.0))
        raise ValueError(f"`alphas` must be >= 0; got alphas[{where}] = {numbers[where]}.")
    return numbers


def _positions(index: Any, m: int) -> IntArray:
    return np.flatnonzero(index) if index.dtype == bool else np.arange(m)[index]


def _of_positive_weight(
    rows: Rows, splits: Sequence[tuple[IntArray, IntArray]]
) -> tuple[Rows, list[tuple[IntArray, IntArray]]]:
    """Return the rows whose weight is not 0, which are as good as all, and where they now are in the splits."""
    if rows.weights is None:
        return rows, list(splits)
    kept = rows.weights > 0.0
    places = np.cumsum(kept) - 1
    return rows.at(np.flatnonzero(kept)), [
        (places[train[kept[train]]], places[test[kept[test]]]) for train, test in splits
    ]


def _results(alphas: Float64Array, found: FoldScores) -> dict[str, Any]:
    scores = found.scores
    if not np.isfinite(scores).all():
        a, f = (int(i) for i in np.argwhere(~np.isfinite(scores))[0])
        raise ValueError(
            f"`scoring` must give finite scores; got {scores[a, f]} for alpha = {alphas[a]:g} on fold {f}. R^2 needs "
            "two rows a fold: use fewer folds, or another score."
        )
    n_folds = scores.shape[1]
    mean = scores.mean(axis=1)
    results: dict[str, Any] = {"param_alpha": alphas.copy(), "params": [{"alpha": float(alpha)} for alpha in alphas]}
    results |= {f"split{f}_test_score": scores[:, f].copy() for f in range(n_folds)}
    results["mean_test_score"], results["std_test_score"] = mean, scores.std(axis=1)
    spread = scores.std(axis=1, ddof=1) if n_folds > 1 else np.full(len(alphas), np.nan)
    results["standard_error_test_score"] = spread / math.sqrt(n_folds)
    results["sampling_error_test_score"] = np.sqrt((found.deviations**2).sum(axis=1)) / n_folds
    results["rank_test_score"] = rankdata(-mean, method="min").astype(np.int32)
    return results
