"""The figures measured with the published code on its own data, reproduced.

The wanted figures are medians over 8 to 20 runs of a heavy-tailed error, so that two right programs differ by
a factor of up to two; the bounds say so.
"""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.reference import FKVResult, fkv, tang_recommend

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 20


class Example:
    def __init__(self, folder: Path, name: str, rank: int) -> None:
        self.A = np.load(folder / "xanadu" / f"{name}_A.npy")
        self.b = np.load(folder / "xanadu" / f"{name}_b.npy")
        self.matrix = qi.as_sq_matrix(self.A)
        self.rank = rank
        U, s, Vt = np.linalg.svd(self.A, full_matrices=False)
        self.sigma = s[:rank]
        self.x = Vt[:rank].T @ (U[:, :rank].T @ self.b / s[:rank])

    def run(self, n_rows: int, n_cols: int, seed: int) -> FKVResult:
        return fkv(self.matrix, self.rank, n_rows=n_rows, n_cols=n_cols, rng=seed)

    def error(self, x: np.ndarray) -> float:
        return float(np.linalg.norm(x - self.x) / np.linalg.norm(self.x))


@pytest.fixture(scope="module")
def linear(data_dir: Path) -> Example:
    return Example(data_dir, "linear", 3)


def test_with_exact_coefficients_the_error_falls_as_the_root_of_the_rows(linear: Example) -> None:
    published = {50: 0.650, 100: 0.540, 200: 0.373, 400: 0.164}
    kappa_sq = linear.matrix.frobenius_norm**2 / linear.sigma[-1] ** 2
    medians = {}
    for r, figure in published.items():
        medians[r] = np.median(
            [linear.error(linear.run(r, r, seed).solve(linear.b).to_array()) for seed in range(3 * SEEDS)]
        )
        assert figure / 2 < medians[r] < figure * 2
        assert medians[r] < 1.5 * 0.27 * kappa_sq / np.sqrt(r)
    slope = np.polyfit(np.log(list(medians)), np.log(list(medians.values())), 1)[0]
    assert -0.9 < slope < -0.3


def test_with_estimated_coefficients_the_error_is_that_of_the_example(linear: Example) -> None:
    errors = [
        linear.error(linear.run(200, 200, seed).solve(linear.b, n_estimates=50, rng=seed).to_array())
        for seed in range(SEEDS)
    ]
    # Published: median 0.581 over 20 runs, from 0.145 to 1.66. Over 150 seeds this code has 0.37, and medians
    # of 20 seeds from 0.26 to 0.45.
    assert 0.2 < np.median(errors) < 0.85
    assert max(errors) < 4


def test_the_singular_values_are_as_near_as_published(linear: Example) -> None:
    errors = [np.abs(linear.run(200, 200, seed).singular_values / linear.sigma - 1) for seed in range(120)]
    published = np.array([0.015, 0.023, 0.071])
    medians = np.median(errors, axis=0)
    assert (medians < 1.5 * published).all()
    assert (medians > published / 1.5).all()


def test_the_draws_for_a_coefficient_scatter_as_predicted(linear: Example) -> None:
    found = linear.run(200, 200, 1)
    V, count = found.components(), 50
    exact = V @ (linear.A.T @ linear.b)
    basis = found.coefficients / found.singular_values**2
    errors = []
    for seed in range(150):
        solution = found.solve(linear.b, n_estimates=count, rng=seed)
        errors.append(np.abs(np.linalg.lstsq(basis, solution.coefficients)[0] - exact))
    scale = linear.matrix.frobenius_norm**2 * (linear.b @ linear.b)
    predicted = 0.6745 * 1.19 * np.sqrt((scale * (V**2).sum(axis=1) - exact**2) / (10 * count))
    np.testing.assert_allclose(np.median(errors, axis=0), predicted, rtol=0.25)


def test_one_draw_has_the_published_variance(linear: Example) -> None:
    # V_l = |A|_F^2 |b|^2 |v_l|^2 / lambda_l^2 - 1 with the exact singular vectors.
    V = np.linalg.svd(linear.A, full_matrices=False)[2][:3]
    scale = linear.matrix.frobenius_norm**2 * (linear.b @ linear.b)
    variances = scale / (V @ (linear.A.T @ linear.b)) ** 2 - 1
    np.testing.assert_allclose(variances, [8.47, 5.16, 41.15], rtol=0.01)
    # And as drawn: 10^5 draws scatter by some percent, as the estimates have heavy tails.
    i = linear.matrix.sample_rows(100_000, rng=0)
    j = linear.matrix.sample_cols(i, rng=1)
    draws = linear.matrix.frobenius_norm**2 * linear.b[i] / linear.A[i, j] * V[:, j]
    relative = draws.var(axis=1) / (V @ (linear.A.T @ linear.b)) ** 2
    np.testing.assert_allclose(relative, variances, rtol=0.1)


def test_trials_for_a_drawn_entry_are_those_predicted_and_published(linear: Example) -> None:
    ratios, trials = [], []
    for seed in range(SEEDS):
        x = linear.run(200, 200, seed).solve(linear.b, n_estimates=50, rng=seed)
        n_draws = 200
        _, n_proposals = x.sample(n_draws, rng=seed)
        norms = linear.matrix.row_norms(x.rows)
        w = x.coefficients * norms * np.sqrt(200) / linear.matrix.frobenius_norm
        predicted = linear.matrix.frobenius_norm**2 * (w @ w) / (x.to_array() @ x.to_array())
        trials.append(n_proposals / n_draws)
        ratios.append(trials[-1] / predicted)
    assert np.median(ratios) == pytest.approx(1.0, abs=0.05)
    assert np.median(trials) == pytest.approx(14.4, rel=0.25)


def test_the_small_example_fails_as_published(data_dir: Path) -> None:
    small = Example(data_dir, "linear_small", 5)
    errors = {}
    for count in (10, None):
        errors[count] = np.median(
            [
                small.error(small.run(80, 50, seed).solve(small.b, n_estimates=count, rng=seed).to_array())
                for seed in range(SEEDS)
            ]
        )
    # Published: 23.7 (3.9 to 170) estimated, 4.89 (0.66 to 13.9) exact. An answer of zero has an error of 1.
    assert 8 < errors[10] < 70
    assert 1.6 < errors[None] < 15


@pytest.mark.parametrize(
    ("rank", "kappa", "published"),
    [(2, 1, 0.088), (2, 3, 0.241), (5, 1, 0.224), (5, 10, 0.966), (10, 3, 0.547), (20, 1, 0.582), (2, 30, 25.6)],
)
def test_rank_and_condition_number_spoil_the_answer_as_published(rank: int, kappa: int, published: float) -> None:
    rng = np.random.default_rng(100 * rank + kappa)
    U = np.linalg.qr(rng.standard_normal((1000, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((500, rank)))[0]
    sigma = np.geomspace(1.0, 1.0 / kappa, rank)
    x = V @ rng.standard_normal(rank)
    x /= np.linalg.norm(x)
    A = U * sigma @ V.T
    matrix, b = qi.as_sq_matrix(A), A @ x
    errors = [
        np.linalg.norm(fkv(matrix, rank, n_rows=400, n_cols=400, rng=seed).solve(b).to_array() - x)
        for seed in range(24)
    ]
    assert np.median(errors) < (sigma**2).sum() / sigma[-1] ** 2 / np.sqrt(400)
    assert published / 2.5 < np.median(errors) < published * 2.5


def test_the_row_of_a_film_user_is_as_far_off_as_published(data_dir: Path) -> None:
    with gzip.open(data_dir / "movielens-latest-small-2018" / "ratings.csv.gz", "rt") as file:
        triples = np.array([line[:3] for line in list(csv.reader(file))[1:]], dtype=np.float64)
    _, items = np.unique(triples[:, 1], return_inverse=True)
    A = sp.csr_array((triples[:, 2], (triples[:, 0].astype(int), items)))
    assert A.shape == (611, 9724)
    U, s, Vt = sp.linalg.svds(A, k=10, rng=np.random.default_rng(0))
    wanted = U[416] * s @ Vt
    matrix = qi.as_sq_matrix(A)
    errors: dict[bool, list[float]] = {True: [], False: []}
    for exact, found in errors.items():
        for seed in range(3):
            result = tang_recommend(
                matrix, 416, 0, rank=10, n_rows=450, n_cols=1500, n_estimates=10, exact_coefficients=exact, rng=seed
            )
            found.append(float(np.linalg.norm(result.vector.to_array() - wanted) / np.linalg.norm(wanted)))
    # Published with 4,500 columns: 0.292 (0.244 to 0.293) and 0.376 (0.361 to 0.432); a third of the columns
    # is enough, as the rows limit the answer.
    assert 0.2 < np.median(errors[True]) < 0.4
    assert 0.25 < np.median(errors[False]) < 0.5
