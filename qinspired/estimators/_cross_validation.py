"""Scores of every penalty on every fold, from moments of the rows that each fold leaves."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import r2_score

from qinspired.estimators._ridge import SampledRidge
from qinspired.estimators._ridge_fit import IndexedRidge
from qinspired.estimators._ridge_moments import PRIMAL_COLUMNS, RidgeMoments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qinspired._typing import Float64Array, IntArray
    from qinspired.estimators._ridge_fit import RidgeFit

__all__ = ["FoldScores", "Rows", "fold_scores", "is_tall"]

# Moments of all folds are kept up to this many numbers, 800 MB; beyond, a fold's are made when its turn comes.
_KEPT_NUMBERS = 100_000_000

# Up to this many features moments are formed though there are fewer rows.
_FEW_FEATURES = 512

# sqrt(condition) eps is the error of normal equations; above this an orthogonal factorisation takes their place.
_LARGEST_CONDITION = 1e10

Splits = list[tuple["IntArray", "IntArray"]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with their targets, of shape (m, t), and their weights, and the way in which they are fitted.

    The targets are over 2^exponents, of shape (t,), so that their squares neither overflow nor underflow.
    """

    X: Any
    targets: Float64Array
    weights: Float64Array | None
    fit_intercept: bool
    tol: float
    exponents: IntArray

    def at(self, index: IntArray) -> Rows:
        """Return some of the rows."""
        weights = None if self.weights is None else self.weights[index]
        return replace(self, X=self.X[index], targets=self.targets[index], weights=weights)

    def unscaled_targets(self) -> Float64Array:
        """Return the targets as they were given."""
        return np.asarray(np.ldexp(self.targets, self.exponents))

    def moments(self) -> RidgeMoments:
        """Return their moments."""
        return RidgeMoments.of(self.X, self.targets, self.weights)


@dataclass(frozen=True, slots=True)
class FoldScores:
    """Scores, one row for each penalty and one column for each fold, and the deviations that draws give to them."""

    scores: Float64Array
    deviations: Float64Array


def is_tall(shape: tuple[int, int]) -> bool:
    """Say whether moments of the features are the way to solve a problem of this shape."""
    return shape[1] <= PRIMAL_COLUMNS and shape[1] <= max(shape[0], _FEW_FEATURES)


def fold_scores(
    rows: Rows, alphas: Float64Array, splits: Splits, *, scorer: Callable[..., Any] | None, single: bool, drawn: bool
) -> FoldScores:
    """Fit each penalty without each fold and score it there, by R^2 without a scorer."""
    shape = len(alphas), len(splits)
    scores, deviations = np.empty(shape), np.zeros(shape)
    for f, (fits, test) in enumerate(_fits(rows, alphas, splits)):
        held_out = rows.at(test)
        if scorer is not None:
            scores[:, f] = [
                _scored(scorer, alpha, fit, held_out, single) for alpha, fit in zip(alphas, fits, strict=True)
            ]
            continue
        every = np.vstack([fit.coef for fit in fits])
        predicted = np.asarray(held_out.X @ every.T, dtype=np.float64).reshape(len(test), len(alphas), -1)
        for a, fit in enumerate(fits):
            guess = predicted[:, a] + fit.intercept
            scores[a, f] = r2_score(held_out.targets, guess, sample_weight=held_out.weights)
            if drawn:
                deviations[a, f] = _deviation(held_out, guess)
    return FoldScores(scores, deviations)


def _fits(rows: Rows, alphas: Float64Array, splits: Splits) -> Iterator[tuple[list[RidgeFit], IntArray]]:
    by_moments = training_moments(rows, splits) if is_tall(rows.X.shape) else iter([None] * len(splits))
    for (train, test), moments in zip(splits, by_moments, strict=True):
        fits: list[RidgeFit] = []
        orthogonal: IndexedRidge | None = None
        exact = moments is not None and moments.is_finite and not moments.underflows(fit_intercept=rows.fit_intercept)
        for alpha in alphas:
            if moments is not None and exact:
                fit, condition = moments.solve(float(alpha), fit_intercept=rows.fit_intercept)
                if condition < _LARGEST_CONDITION:
                    fits.append(fit)
                    continue
            if orthogonal is None:
                part = rows.at(train)
                orthogonal = IndexedRidge(
                    part.X,
                    part.targets,
                    part.weights,
                    alpha=float(alphas.max()),
                    fit_intercept=rows.fit_intercept,
                    tol=rows.tol,
                )
            fits.append(orthogonal.fit(float(alpha), method="exact", rng=np.random.default_rng(0)))
        yield fits, test


def training_moments(rows: Rows, splits: Splits) -> Iterator[RidgeMoments]:
    """Yield the moments of the training rows of each split.

    Where the folds share all rows among them, their moments are made once, by one pass, and a training set is the
    whole less its fold. Where a fold holds nearly all of some feature, that would lose digits, and its training rows
    are read.
    """
    m = rows.X.shape[0]
    uses = np.zeros(m, dtype=np.int64)
    is_complement = []
    for train, test in splits:
        uses[test] += 1
        counts = np.bincount(train, minlength=m) + np.bincount(test, minlength=m)
        is_complement.append(bool((counts == 1).all()))
    folds: list[RidgeMoments] = []
    whole: RidgeMoments | None = None
    if all(is_complement) and (uses == 1).all() and len(splits) * rows.X.shape[1] ** 2 <= _KEPT_NUMBERS:
        folds = [rows.at(test).moments() for _, test in splits]
        whole = reduce(RidgeMoments.plus, folds)
    elif any(is_complement):
        whole = rows.moments()
    for f, (train, test) in enumerate(splits):
        rest = None
        if is_complement[f] and whole is not None:
            rest = whole.minus(folds[f] if folds else rows.at(test).moments())
        yield rows.at(train).moments() if rest is None else rest


def _scored(scorer: Callable[..., Any], alpha: float, fit: RidgeFit, held_out: Rows, single: bool) -> float:
    model = SampledRidge(float(alpha), fit_intercept=held_out.fit_intercept)
    coef = np.ldexp(fit.coef, held_out.exponents[:, None])
    unscaled = replace(fit, coef=coef, intercept=np.ldexp(fit.intercept, held_out.exponents))
    model._set(unscaled, held_out.X.dtype, single=single)
    model.n_features_in_ = held_out.X.shape[1]
    targets = held_out.unscaled_targets()
    y = targets[:, 0] if single else targets
    options = {}
    if held_out.weights is not None and _takes_weights(scorer):
        options["sample_weight"] = held_out.weights
    return float(scorer(model, held_out.X, y, **options))


def _takes_weights(scorer: Callable[..., Any]) -> bool:
    return "sample_weight" in inspect.signature(scorer).parameters


def _deviation(held_out: Rows, guess: Float64Array) -> float:
    """Return the standard deviation of the score 1 - sum q e^2 / sum q (y - mean)^2 over draws with weights q.

    To first order a draw adds q ((y - mean)^2 (1 - score) - e^2) / sum q (y - mean)^2, which sums to 0 over the draws.
    """
    weights = np.ones(len(guess)) if held_out.weights is None else held_out.weights
    y = held_out.targets
    errors = weights[:, None] * (y - guess) ** 2
    around = weights[:, None] * (y - weights @ y / weights.sum()) ** 2
    totals = around.sum(axis=0)
    kept = totals > 0.0
    if not kept.any():
        return 0.0
    shares = errors.sum(axis=0)[kept] / totals[kept]
    influence = (around[:, kept] * shares - errors[:, kept]) / totals[kept]
    return float(np.linalg.norm(influence.mean(axis=1)))
