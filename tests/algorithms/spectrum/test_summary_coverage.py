from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import P_LOWEST
from scipy import stats
from spectra import GAPPED, SLOW, covers, singular_values, unit_rows, with_values

import qinspired as qi
from qinspired.algorithms.spectrum._spectra import DrawnSpectrum
from qinspired.algorithms.spectrum._values import leading_shares

SEEDS = 200

# An interval that covers 93 % misses more than 35 of 200 with a probability below 1e-6.
ALLOWED_MISSES = int(stats.binom.isf(P_LOWEST, SEEDS, 0.07))


def in_sample_interval(A, rows):
    """Return the twin: the first singular value of the drawn rows with the spread of its own terms."""
    block = A[rows] / np.linalg.norm(A[rows], axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(block @ block.T)
    terms = values[-1] * vectors[:, -1] ** 2
    reach = 1.96 * terms.std() / math.sqrt(len(rows))
    return np.linalg.norm(A) * np.sqrt(np.maximum([terms.mean() - reach, terms.mean() + reach], 0.0))


KINDS = {
    "gapped": lambda: with_values(GAPPED),
    "0.9^j": lambda: with_values(0.9 ** np.arange(60)),
    "flat": lambda: with_values(np.ones(60)),
    "row-skewed": lambda: with_values(GAPPED, skew=1.5),
    "diagonal": lambda: np.diag(np.arange(1.0, 401.0) ** -0.7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_and_shorter_ones_or_those_of_the_drawn_rows_alone_do_not(kind):
    A = KINDS[kind]()
    sigma, norm = singular_values(A), np.linalg.norm(A)
    matrix = qi.as_sq_matrix(A)
    truths = [*sigma[:4], norm**4 / (sigma**4).sum(), (sigma**6).sum() ** (1 / 6)]
    misses, thirds, twin = np.zeros(6), np.zeros(6), 0
    for seed in range(SEEDS):
        found = qi.spectral_summary(matrix, rank=4, n_draws=100, rng=seed)
        numbers = [*found.singular_values, found.effective_rank, found.schatten(6)]
        misses += [not covers(x, t) for x, t in zip(numbers, truths, strict=True)]
        thirds += [abs(x.value - t) > (x.high - x.low) / 6 for x, t in zip(numbers, truths, strict=True)]
        low, high = in_sample_interval(A, matrix.sample_rows(100, seed))
        twin += not low <= sigma[0] <= high
    assert (misses <= ALLOWED_MISSES).all()
    # The twins: a third of the length, where chance and not bias makes it, and the drawn rows' own value.
    if kind in ("gapped", "0.9^j", "row-skewed"):
        assert (thirds[[0, 4, 5]] > ALLOWED_MISSES).all()
    if kind == "flat":
        assert twin > ALLOWED_MISSES


@pytest.mark.parametrize("kind", ["gapped", "diagonal"])
def test_intervals_of_traces_cover_and_a_tenth_of_their_length_does_not(kind):
    A = KINDS[kind]()
    squares = singular_values(A) ** 2
    matrix = qi.as_sq_matrix(A)
    functions = [lambda x: np.expm1(x / squares[0]), lambda x: np.log1p(x / squares[0]), lambda x: x / (x + squares[3])]
    seeds = 60
    allowed = int(stats.binom.isf(P_LOWEST, seeds, 0.07))
    misses, tenths = np.zeros(3), np.zeros(3)
    for seed in range(seeds):
        summary = qi.spectral_summary(matrix, rank=4, n_draws=100, rng=seed)
        for i, f in enumerate(functions):
            found, exact = summary.trace(f), f(squares).sum()
            misses[i] += not covers(found, exact)
            tenths[i] += abs(found.value - exact) > (found.high - found.low) / 20
    assert (misses <= allowed).all()
    assert (tenths > allowed).all()


def test_values_from_drawn_rows_are_less_biased_than_those_of_the_rows():
    A = with_values(SLOW)
    shares = singular_values(A) ** 2 / np.linalg.norm(A) ** 2
    matrix = qi.as_sq_matrix(A)
    ours, naive = [], []
    for seed in range(100):
        rows = A[matrix.sample_rows(150, seed)]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        ours.append(leading_shares(rows @ rows.T, 5, 60, np.random.default_rng(seed)).values)
        naive.append(np.linalg.eigvalsh(rows @ rows.T / 150)[::-1][:5])
    bias, naive_bias = (np.abs(np.mean(part, axis=0) / shares[:5] - 1.0) for part in (ours, naive))
    assert bias.max() < 0.05
    assert (naive_bias[2:] > 2.0 * bias[2:]).all()


def test_movielens_values_are_in_their_intervals(data_dir):
    path = data_dir / "movielens-100k" / "u.data.gz"
    if not path.is_file():
        pytest.skip("MovieLens 100k is absent")
    A = qi.datasets.read_ratings(path).matrix
    found = qi.spectral_summary(A, n_draws=400, rng=0)
    sigma = singular_values(A.toarray())
    assert all(covers(s, e) for s, e in zip(found.singular_values, sigma, strict=False))
    assert covers(found.effective_rank, (sigma**2).sum() ** 2 / (sigma**4).sum())
    assert covers(found.schatten(4), (sigma**4).sum() ** 0.25)


def test_what_draws_tell_is_made_of_the_cosines_alone():
    B = unit_rows(40, 12)
    first, second = (DrawnSpectrum(gram, 3, 12, np.random.default_rng(0)) for gram in (B @ B.T, -B @ -B.T))
    assert first.leading(3) == second.leading(3)
