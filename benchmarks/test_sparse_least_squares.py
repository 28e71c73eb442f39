"""Sparse least squares against LSQR and LSMR stopped at the first iteration that meets the accuracy, and `Ridge`.

A generated 10^6 x 10^4 matrix with 5 x 10^7 entries, rows of uneven lengths, and real data of MovieLens: ratings by
user and film (two entries a row), and who saw the most popular film by what else they saw.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
from sklearn.linear_model import Ridge
from timing import side_by_side

import qinspired as qi

ACCURACIES = (0.1, 0.01, 1e-4)
_MOST_ITERATIONS = 3000


def generated(tiny):
    m, n, per_row = (20_000, 300, 20) if tiny else (1_000_000, 10_000, 50)
    rng = np.random.default_rng(0)
    lengths = np.maximum(rng.poisson(per_row * rng.lognormal(0.0, 0.5, m) / np.exp(0.125)), 1)
    cols = rng.integers(n, size=int(lengths.sum()), dtype=np.int32)
    data = rng.standard_normal(len(cols)).astype(np.float32)
    matrix = sp.csr_array((data, cols, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)), shape=(m, n))
    matrix.sum_duplicates()
    return matrix


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_sparse_least_squares_at_every_accuracy(benchmark, noise, report, tiny):
    A = generated(tiny)
    rng = np.random.default_rng(1)
    fitted = A @ rng.standard_normal(A.shape[1])
    b = fitted + noise * np.linalg.norm(fitted) / np.sqrt(A.shape[0]) * rng.standard_normal(A.shape[0])
    compare(benchmark, f"generated, noise {noise:g}", A, b, 0.0, report, 1 if tiny else 3)


def data_folder():
    return Path(os.environ.get("QINSPIRED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def ratings_by_user_and_film(file):
    """Return a row for each rating, with a one for its user and one for its film, and the ratings less their mean."""
    R = sp.coo_array(qi.datasets.read_ratings(file).matrix)
    cols = np.column_stack([R.coords[0], R.shape[0] + R.coords[1]]).astype(np.int32)
    pointers = np.arange(0, cols.size + 1, 2, dtype=np.int32)
    A = sp.csr_array((np.ones(cols.size), cols.ravel(), pointers), shape=(len(R.data), sum(R.shape)))
    return A, R.data - R.data.mean()


def popular_film_by_the_others(file):
    """Return users by films, without the film that most have seen, and that film."""
    with np.load(file) as pairs:
        user, film = (np.unique(pairs[name], return_inverse=True)[1] for name in ("user", "movie"))
    seen = sp.csc_array((np.ones(len(user)), (user, film)))
    popular = int(np.argmax(np.asarray(seen.sum(axis=0))))
    others = np.delete(np.arange(seen.shape[1]), popular)
    return sp.csr_array(seen[:, others]), seen[:, [popular]].toarray()[:, 0]


REAL = {
    "latest-small": (ratings_by_user_and_film, "movielens-latest-small-2018/ratings.csv.gz"),
    "100k": (ratings_by_user_and_film, "movielens-100k/u.data.gz"),
    "1m": (popular_film_by_the_others, "movielens-1m-implicit/interactions.npz"),
}


@pytest.mark.parametrize("ridge", [1.0, 100.0])
@pytest.mark.parametrize("name", REAL)
def test_real_sparse_least_squares(benchmark, name, ridge, report, tiny):
    read, file = REAL[name]
    if tiny or not (data_folder() / file).exists():
        pytest.skip("MovieLens is not there, or the run is tiny")
    A, b = read(data_folder() / file)
    compare(benchmark, f"MovieLens {name}, ridge {ridge:g}", A, b, ridge, report, 5)


def lsqr(A, b, ridge, count):
    run = scipy.sparse.linalg.lsqr
    return run(A, b, damp=ridge**0.5, atol=0, btol=0, conlim=0, iter_lim=count)[0]


def lsmr(A, b, ridge, count):
    run = scipy.sparse.linalg.lsmr
    return run(A, b, damp=ridge**0.5, atol=0, btol=0, conlim=0, maxiter=count)[0]


def scikit_learn(A, b, ridge, accuracy, solver):
    return Ridge(alpha=max(ridge, 1e-9), fit_intercept=False, solver=solver, tol=0.1 * accuracy).fit(A, b).coef_


def first_count(run, meets):
    """Return the least count of iterations, to an eighth, that meets the accuracy; None if none does."""
    count = 1
    while count <= _MOST_ITERATIONS and not meets(run(count)):
        count += 1 + count // 8
    return count if count <= _MOST_ITERATIONS else None


def compare(benchmark, name, A, b, ridge, report, rounds):
    exact = lsmr(A, b, ridge, 40 if ridge == 0.0 else 1000)
    length = np.linalg.norm(A @ exact)

    def error_of(x):
        return float(np.linalg.norm(A @ (getattr(x, "x", x) - exact)) / length)

    indexed = qi.as_sq_matrix(A)
    lines = [f"sparse least squares, {name}, {A.shape[0]:,} x {A.shape[1]:,}, {A.nnz:,} entries:"]
    for accuracy in ACCURACIES:
        ours = {
            "cold": partial(qi.least_squares, A, b, ridge=ridge, tolerance=accuracy, rng=0),
            "warm": partial(qi.least_squares, indexed, b, ridge=ridge, tolerance=accuracy, rng=0),
        }
        rivals = {
            f"Ridge({solver})": partial(scikit_learn, A, b, ridge, accuracy, solver) for solver in ("sparse_cg", "lsqr")
        }
        for run in (lsqr, lsmr):
            count = first_count(partial(run, A, b, ridge), lambda x, accuracy=accuracy: error_of(x) <= accuracy)
            if count is not None:
                rivals[f"{run.__name__}({count})"] = partial(run, A, b, ridge, count)
        measured = side_by_side(ours | rivals, rounds)
        met = {key: measured[key][0].median for key in rivals if error_of(measured[key][1]) <= accuracy}
        answer = measured["cold"][1]
        about = f"{answer.method}, true {error_of(answer):.1e}, certified {answer.error.high:.1e}; {answer.status}"
        if not met:
            lines.append(f"    {accuracy:7.0e}: no rival meets it; {about}")
            continue
        fastest = min(met, key=lambda key: met[key])
        ratios = {key: met[fastest] / measured[key][0].median for key in ours}
        behind = "" if ratios["cold"] >= 0.9 else "  BEHIND"
        lines.append(
            f"    {accuracy:7.0e}: cold {ratios['cold']:5.2f}x, warm {ratios['warm']:5.2f}x of {fastest} "
            f"({met[fastest] * 1e3:.1f} ms){behind}; {about}"
        )
        assert error_of(answer) <= max(1.5 * answer.error.high, 1e-9)
    benchmark.pedantic(ours["cold"], rounds=1)
    report("\n".join(lines))
