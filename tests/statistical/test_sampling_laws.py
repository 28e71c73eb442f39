"""Every sampler against its exact law, and the same test against a law that is wrong, to be rejected."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.kernels import build_alias_table, sample_projected

N_DRAWS = 100_000
SHAPE = (40, 60)
storages = pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])


def matrix() -> np.ndarray:
    """Return a matrix with skewed rows and columns, a zero row, and a zero column."""
    rng = np.random.default_rng(10)
    X = rng.standard_normal(SHAPE) * rng.exponential(size=(SHAPE[0], 1)) * rng.exponential(size=(1, SHAPE[1]))
    X[rng.random(SHAPE) < 0.3] = 0.0
    X[7], X[:, 9] = 0.0, 0.0
    return X


def root(law: np.ndarray) -> np.ndarray:
    """Return the law by size instead of squared size."""
    return np.sqrt(law) / np.sqrt(law).sum()


def flat(law: np.ndarray) -> np.ndarray:
    """Return the uniform law over the items that are possible."""
    return (law > 0) / np.count_nonzero(law)


def tilted(law: np.ndarray) -> np.ndarray:
    """Return a law in which the two likeliest items give a tenth of the first to the second."""
    first, second = np.argsort(law)[[-1, -2]]
    wrong = law.copy()
    wrong[first] -= 0.1 * law[first]
    wrong[second] += 0.1 * law[first]
    return wrong


def shifted(law: np.ndarray) -> np.ndarray:
    """Return the law of a sampler that is off by one."""
    return np.roll(law, 1)


def assert_draws_follow(draws: np.ndarray, law: np.ndarray) -> None:
    """Accept the law, and reject every wrong one: otherwise the acceptance would say nothing."""
    assert oracles.chi_square_p(draws, law) > oracles.P_LOWEST
    for wrong in (root, flat, tilted, shifted):
        assert oracles.chi_square_p(draws, wrong(law)) < oracles.P_LOWEST, wrong.__name__


def test_an_alias_table_draws_in_proportion_to_the_weights() -> None:
    weights = np.random.default_rng(0).exponential(size=300) ** 3
    weights[::7] = 0.0
    assert_draws_follow(qi.AliasTable(weights).sample(N_DRAWS, rng=0), weights / weights.sum())


@storages
def test_rows_are_drawn_by_squared_norm(build: Any) -> None:
    X = matrix()
    assert_draws_follow(qi.as_sq_matrix(build(X)).sample_rows(N_DRAWS, rng=1), oracles.law_of_rows(X))


@storages
def test_columns_of_a_row_are_drawn_by_squared_entry(build: Any) -> None:
    X = matrix()
    row = int(np.argmax(oracles.row_norms(X)))
    draws = qi.as_sq_matrix(build(X)).sample_cols(np.full(N_DRAWS, row), rng=2)
    assert_draws_follow(draws, oracles.law_of(X[row]))


@storages
def test_a_row_and_then_a_column_is_an_entry_drawn_by_its_square(build: Any) -> None:
    X = matrix()
    A = qi.as_sq_matrix(build(X))
    rows = A.sample_rows(2 * N_DRAWS, rng=3)
    entries = rows * SHAPE[1] + A.sample_cols(rows, rng=4)
    assert_draws_follow(entries, oracles.law_of(X.ravel()))


def test_column_draws_of_one_batch_are_independent_of_their_neighbours() -> None:
    X = np.abs(matrix()[:, :6]) + 0.1
    cols = qi.as_sq_matrix(X).sample_cols(np.zeros(2 * N_DRAWS, dtype=int), rng=5).reshape(-1, 2)
    law = oracles.law_of(X[0])
    pairs = cols[:, 0] * 6 + cols[:, 1]
    assert oracles.chi_square_p(pairs, np.outer(law, law).ravel()) > oracles.P_LOWEST
    # The twin: a column that repeats its neighbour in a twentieth of the draws.
    repeats = np.where(np.arange(N_DRAWS) % 20 == 0, cols[:, 0], cols[:, 1])
    assert oracles.chi_square_p(cols[:, 0] * 6 + repeats, np.outer(law, law).ravel()) < oracles.P_LOWEST


def test_rows_and_columns_drawn_with_one_seed_each_are_independent() -> None:
    # The same integer seed for the rows and for the columns must not tie the two together.
    X = np.ones((8, 8))
    A = qi.as_sq_matrix(X)
    rows = A.sample_rows(N_DRAWS, rng=6)
    cols = A.sample_cols(rows, rng=6)
    assert oracles.chi_square_p(rows * 8 + cols, np.full(64, 1 / 64)) > oracles.P_LOWEST
    assert oracles.chi_square_p(rows * 8 + np.where(rows == 0, 0, cols), np.full(64, 1 / 64)) < oracles.P_LOWEST


@storages
def test_a_combination_of_rows_is_drawn_by_its_squared_entries(build: Any) -> None:
    X = matrix()
    rng = np.random.default_rng(11)
    rows, coefficients = rng.integers(0, SHAPE[0], 6), rng.standard_normal(6)
    rows[3] = 7  # a row of zeros
    rows[4] = rows[0]
    draws, _ = qi.RowCombination(qi.as_sq_matrix(build(X)), rows, coefficients).sample(30_000, rng=7)
    assert_draws_follow(draws, oracles.law_of(coefficients @ X[rows]))


def test_a_projected_vector_is_drawn_by_its_squared_entries_in_k_trials() -> None:
    rng = np.random.default_rng(12)
    k = 5
    V = np.linalg.qr(rng.standard_normal((80, k)) * rng.exponential(size=(80, 1)))[0].copy()
    leverage = (V**2).sum(axis=1)
    X = rng.standard_normal((2, k))
    owners = np.arange(2 * N_DRAWS) % 2
    items, trials = sample_projected(V, build_alias_table(leverage), leverage, X, owners, np.uint64(8))
    for owner in (0, 1):
        assert_draws_follow(items[owner::2], oracles.law_of(V @ X[owner]))
    # Trials are geometric with mean k and variance k (k - 1); five standard errors are p < 1e-6.
    assert trials.mean() == pytest.approx(k, abs=5 * np.sqrt(k * (k - 1) / len(trials)))


@pytest.mark.parametrize("n_items", [2, 3, 1000, 2**16 + 1])
def test_a_flat_table_has_no_favourites(n_items: int) -> None:
    draws = qi.AliasTable(np.ones(n_items)).sample(10**6, rng=9)
    assert oracles.chi_square_p(draws, np.full(n_items, 1 / n_items)) > oracles.P_LOWEST
    # Coarse groups see a slow drift over the items, which fine cells would drown.
    n_groups = min(n_items, 64)
    coarse = np.bincount(np.arange(n_items) * n_groups // n_items) / n_items
    assert oracles.chi_square_p(draws * n_groups // n_items, coarse) > oracles.P_LOWEST
    # The twin: one draw in fifty moved to the lower half.
    biased = np.where(np.arange(len(draws)) % 50 == 0, draws // 2, draws)
    assert oracles.chi_square_p(biased * n_groups // n_items, coarse) < oracles.P_LOWEST


def test_squared_rows_estimate_the_gram_matrix_with_the_known_variance() -> None:
    # E |A^T A - R^T R|_F^2 = (|A|_F^4 - |A^T A|_F^2) / r exactly, for r rows scaled by 1 / sqrt(r p).
    X = matrix()
    A = qi.as_sq_matrix(X)
    r, repeats = 20, 2000
    rows = A.sample_rows(r * repeats, rng=13).reshape(repeats, r)
    R = A.frobenius_norm / np.sqrt(r) * X[rows] / oracles.row_norms(X)[rows][:, :, None]
    losses = ((R.transpose(0, 2, 1) @ R - X.T @ X) ** 2).sum(axis=(1, 2))
    wanted = (A.frobenius_norm**4 - ((X.T @ X) ** 2).sum()) / r
    assert losses.mean() == pytest.approx(wanted, abs=5 * losses.std() / np.sqrt(repeats))
    # The test is sharp enough to tell r from r - 1, the law of draws without replacement to first order.
    assert losses.mean() != pytest.approx(wanted * r / (r - 1), abs=5 * losses.std() / np.sqrt(repeats))
