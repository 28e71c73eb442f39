"""The figures that the published code gives when it is run again on its own data, reproduced.

"Published" stands for that: none is a figure printed in the paper. They are medians over 8 to 20 runs of a heavy-tailed
error, so that two right programs differ by a factor of up to two; the bounds say so. What practical algorithms reach in
their place, and how fast, is in `benchmarks/reference`.
"""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.reference import FKVResult, dkm_linear_time_svd, fkv, tang_recommend

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
            [linear.error(linear.run(r, r, seed).solve(linear.b).to_array()) for seed in range(2 * SEEDS)]
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
    # Published: median 0.581 over 20 runs, from 0.145 to 1.66. Over 300 seeds this code has 0.35, and medians of 20
    # seeds from 0.25 to 0.53; with draws of their own for each coefficient, as published, 0.36, and 0.25 to 0.58.
    assert 0.2 < np.median(errors) < 0.85
    assert max(errors) < 4


@pytest.mark.parametrize(("r", "published"), [(50, 0.19), (200, 0.13)])
def test_whole_rows_give_less_error_than_rows_and_columns(linear: Example, r: int, published: float) -> None:
    errors = [
        linear.error(dkm_linear_time_svd(linear.matrix, 3, n_rows=r, rng=seed).solve(linear.b).to_array())
        for seed in range(3 * SEEDS)
    ]
    assert published / 2 < np.median(errors) < published * 2


def test_the_singular_values_are_as_near_as_published(linear: Example) -> None:
    errors = [np.abs(linear.run(200, 200, seed).singular_values / linear.sigma - 1) for seed in range(120)]
    published = np.array([0.015, 0.023, 0.071])
    medians = np.median(errors, axis=0)
    assert (medians < 1.5 * published).all()
    assert (medians > published / 1.5).all()


@pytest.mark.parametrize(("count", "n_seeds"), [(50, 450), (200, 450)])
def test_the_draws_for_a_coefficient_scatter_as_predicted(linear: Example, count: int, n_seeds: int) -> None:
    found = linear.run(200, 200, 1)
    V = found.components()
    exact = V @ (linear.A.T @ linear.b)
    basis = np.linalg.pinv(found.coefficients / found.singular_values**2)
    errors = [
        np.abs(basis @ found.solve(linear.b, n_estimates=count, rng=seed).coefficients - exact)
        for seed in range(n_seeds)
    ]
    scale = linear.matrix.frobenius_norm**2 * (linear.b @ linear.b)
    predicted = 0.6745 * 1.19 * np.sqrt((scale * (V**2).sum(axis=1) - exact**2) / (10 * count))
    # The median of 450 such errors has a standard deviation of 1.17 / sqrt(450) = 5.5 %.
    np.testing.assert_allclose(np.median(errors, axis=0), predicted, rtol=0.2)


def test_one_draw_has_the_published_variance(linear: Example) -> None:
    # Of an estimate of lambda_l = <v_l, A^T b> over lambda_l, with the exact singular vectors: by entries from their
    # squares as published, by rows from their squared norms, and by rows from the squares of b. Estimates by entries
    # have heavy tails, as an entry may be small.
    count = 10**6
    V = np.linalg.svd(linear.A, full_matrices=False)[2][:3]
    products, norm = linear.A @ V.T, linear.matrix.frobenius_norm
    exact = products.T @ linear.b
    i = linear.matrix.sample_rows(count, rng=0)
    j = linear.matrix.sample_cols(i, rng=1)
    by_entries = (norm**2 * linear.b[i] / linear.A[i, j])[:, None] * V[:, j].T
    by_rows = (norm**2 * linear.b / (linear.A**2).sum(axis=1))[i, None] * products[i]
    i = qi.AliasTable(linear.b**2).sample(count, rng=0)
    by_b = (linear.b @ linear.b / linear.b)[i, None] * products[i]
    for draws, published in (
        (by_entries, [8.47, 5.16, 41.15]),
        (by_rows, [2.71, 1.84, 5.21]),
        (by_b, [3.84, 1.66, 1.40]),
    ):
        np.testing.assert_allclose(draws.mean(axis=0), exact, rtol=0.03)
        np.testing.assert_allclose(draws.var(axis=0) / exact**2, published, rtol=0.05)


def test_the_variance_of_one_draw_has_a_formula(linear: Example) -> None:
    V = np.linalg.svd(linear.A, full_matrices=False)[2][:3]
    scale = linear.matrix.frobenius_norm**2 * (linear.b @ linear.b)
    variances = scale / (V @ (linear.A.T @ linear.b)) ** 2 - 1
    np.testing.assert_allclose(variances, [8.47, 5.16, 41.15], rtol=0.001)


def trials_and_prediction(matrix: qi.SampleQueryMatrix, x: qi.RowCombination, seed: int) -> tuple[float, float]:
    """Return the trials for each of 200 draws from x, and |A|_F^2 |w|^2 / |x|^2, w the coefficients in unit rows."""
    _, n_proposals = x.sample(200, rng=seed)
    w = x.coefficients * matrix.row_norms(x.rows) * np.sqrt(len(x.rows)) / matrix.frobenius_norm
    whole = x.to_array()
    return n_proposals / 200, matrix.frobenius_norm**2 * (w @ w) / (whole @ whole)


@pytest.mark.parametrize(
    ("name", "rank", "r", "c", "count", "published"),
    [("linear", 3, 200, 200, 50, 14.4), ("linear_small", 5, 80, 50, 10, 474.0)],
)
def test_trials_for_a_drawn_entry_are_those_predicted_and_published(
    data_dir: Path, name: str, rank: int, r: int, c: int, count: int, published: float
) -> None:
    example = Example(data_dir, name, rank)
    found = []
    for seed in range(SEEDS // 2):
        x = example.run(r, c, seed).solve(example.b, n_estimates=count, rng=seed)
        found.append(trials_and_prediction(example.matrix, x, seed))
    check_trials(found, published)


def test_trials_of_the_portfolio_are_those_predicted_and_published(data_dir: Path) -> None:
    # [[0, r^T], [r, S]] with the right-hand side (mu, 0): lambda_l = mu <A[0], v_l> is estimated from draws of row 0.
    S, returns = (np.load(data_dir / "xanadu" / f"SnP500_{name}.npy") for name in ("correlation", "returns"))
    matrix = qi.as_sq_matrix(np.block([[np.zeros((1, 1)), returns[None, :]], [returns[:, None], S]]))
    sizes = {"n_rows": 340, "n_cols": 340}
    found = []
    for seed in range(8):
        projections = tang_recommend(matrix, 0, 0, rank=5, n_estimates=10, rng=seed, **sizes).projections
        factors = fkv(matrix, 5, rng=seed, **sizes)  # the same draws
        x = qi.access.RowCombination(
            matrix, factors.rows, factors.coefficients @ (projections / factors.singular_values**2)
        )
        found.append(trials_and_prediction(matrix, x, seed))
    check_trials(found, 168.0)


def check_trials(found: list[tuple[float, float]], published: float) -> None:
    trials, predicted = np.array(found).T
    # 200 draws scatter by 1 / sqrt(200) = 7 %, their mean over 8 or 10 seeds by 2.5 %.
    assert np.mean(trials / predicted) == pytest.approx(1.0, abs=0.08)
    # The trials themselves vary from run to run with the coefficients, by a factor of two and more.
    assert published / 2 < np.median(trials) < 2 * published


def test_drawn_entries_of_the_solution_follow_their_squares(linear: Example) -> None:
    x = linear.run(200, 200, 0).solve(linear.b, n_estimates=50, rng=0)
    draws, _ = x.sample(20_000, rng=1)
    assert oracles.chi_square_p(draws, oracles.law_of(x.to_array())) > oracles.P_LOWEST
    # The twin: the law of another run, whose solution differs by about as much as that of the exact one.
    other = linear.run(200, 200, 1).solve(linear.b, n_estimates=50, rng=1)
    assert oracles.chi_square_p(draws, oracles.law_of(other.to_array())) < oracles.P_LOWEST


CELLS = {
    2: (0.088, 0.241, 3.57, 25.6),
    5: (0.224, 0.367, 0.966, 27.3),
    10: (0.420, 0.547, 1.67, 14.0),
    20: (0.582, 0.884, 3.97, 23.9),
}


@pytest.mark.parametrize("place", range(4), ids=["kappa 1", "kappa 3", "kappa 10", "kappa 30"])
@pytest.mark.parametrize("rank", CELLS)
def test_rank_and_condition_number_spoil_the_answer_as_published(rank: int, place: int) -> None:
    kappa, published = (1, 3, 10, 30)[place], CELLS[rank][place]
    rng = np.random.default_rng(100 * rank + kappa)
    U = np.linalg.qr(rng.standard_normal((1000, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((500, rank)))[0]
    sigma = np.geomspace(1.0, 1.0 / kappa, rank)
    x = V @ rng.standard_normal(rank)
    x /= np.linalg.norm(x)
    A = U * sigma @ V.T
    matrix, b = qi.as_sq_matrix(A), A @ x
    # The bound is tight at small kappa, where more seeds are needed to be below it.
    errors = [
        np.linalg.norm(fkv(matrix, rank, n_rows=400, n_cols=400, rng=seed).solve(b).to_array() - x)
        for seed in range(24 if kappa <= 3 else 10)
    ]
    assert np.median(errors) < (sigma**2).sum() / sigma[-1] ** 2 / np.sqrt(400)
    assert published / 2.5 < np.median(errors) < published * 2.5


def films(data_dir: Path) -> sp.csr_array:
    """Return the ratings, one row for each user number from 0 and a column for each film."""
    with gzip.open(data_dir / "movielens-latest-small-2018" / "ratings.csv.gz", "rt") as file:
        triples = np.array([line[:3] for line in list(csv.reader(file))[1:]], dtype=np.float64)
    _, items = np.unique(triples[:, 1], return_inverse=True)
    A = sp.csr_array((triples[:, 2], (triples[:, 0].astype(int), items)))
    assert A.shape == (611, 9724)
    return A


def test_the_row_of_a_film_user_is_as_far_off_as_published(data_dir: Path) -> None:
    A = films(data_dir)
    U, s, Vt = sp.linalg.svds(A, k=10, rng=np.random.default_rng(0))
    wanted = U[416] * s @ Vt
    matrix = qi.as_sq_matrix(A)
    errors: dict[bool, list[float]] = {True: [], False: []}
    ratios, trials = [], []
    for exact, found in errors.items():
        for seed in range(3):
            result = tang_recommend(
                matrix, 416, 0, rank=10, n_rows=450, n_cols=4500, n_estimates=10, exact_coefficients=exact, rng=seed
            )
            found.append(float(np.linalg.norm(result.vector.to_array() - wanted) / np.linalg.norm(wanted)))
            made, predicted = trials_and_prediction(matrix, result.vector, seed)
            ratios.append(made / predicted)
            trials.append(made)
    # Published over 3 runs: 0.292 (0.244 to 0.293) and 0.376 (0.361 to 0.432).
    assert 0.22 < np.median(errors[True]) < 0.36
    assert 0.3 < np.median(errors[False]) < 0.45
    # Of one user's row, 12 % of the energy lies in the ten directions: the row itself is far from any of these.
    assert 0.1 < (np.linalg.norm(wanted) / matrix.row_norms([416])[0]) ** 2 < 0.14
    # 7 % / sqrt(6) = 3 %; published 18.7.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)
    assert 18.7 / 2 < np.median(trials) < 18.7 * 2
