"""PCA of sparse data without centring them in memory, and draws from shards, each against what it replaces.

PCA: 40,000 x 3,000 float64 of Poisson counts with a rank-10 mean; k = 10, at a true excess of 1 % or less. Rivals:
scikit-learn's PCA on the sparse matrix ("arpack", and "covariance_eigh"), and densify, centre, randomized_svd. Set-up
(means, row norms, the dense copy) is timed for all. Memory is the peak of what numpy allocates, by tracemalloc.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from timing import side_by_side

import qinspired as qi

RANK, TOLERANCE = 10, 0.01


@pytest.fixture(scope="module")
def counts(tiny):
    """Documents of ten topics with skewed words, as counts."""
    m, n = (3000, 400) if tiny else (40_000, 3000)
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(n, 0.05), size=RANK)
    lengths = np.linspace(0.5, 1.5, m) * (0.03 * n)
    mixes = rng.dirichlet(np.full(RANK, 0.3), size=m)
    blocks = []
    for start in range(0, m, 2000):
        part = slice(start, min(start + 2000, m))
        blocks.append(sp.csr_array(rng.poisson(lengths[part, None] * (mixes[part] @ topics)).astype(np.float64)))
    return sp.vstack(blocks, format="csr")


def dense_pca(X, n_iter):
    dense = X.toarray()
    dense -= dense.mean(axis=0)
    return qi.baselines.randomized_svd(dense, RANK, n_iter=n_iter, rng=0).components


def peak_bytes(run):
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


class Truth:
    """Excess of a projection of the centred matrix over the best, from its Gram matrix."""

    def __init__(self, X):
        mean = np.asarray(X.mean(axis=0)).ravel()
        self.gram = (X.T @ X).toarray() - X.shape[0] * np.outer(mean, mean)
        values = np.linalg.eigvalsh(self.gram)[::-1]
        self.total = float(values.sum())
        self.best = self.total - float(values[:RANK].sum())

    def excess(self, components):
        kept = float(np.einsum("ij,jk,ik->", components, self.gram, components))
        return np.sqrt((self.total - kept) / self.best) - 1.0


def test_pca_of_sparse_data_against_scikit_learn_and_against_a_dense_copy(benchmark, counts, report, tiny):
    truth = Truth(counts)
    contenders = {
        "ours": lambda: qi.low_rank(qi.IndexedMatrix(qi.centred(counts)), RANK, tolerance=TOLERANCE, rng=0).components,
        "PCA(arpack)": lambda: PCA(RANK, svd_solver="arpack", random_state=0).fit(counts).components_,
        "PCA(covariance_eigh)": lambda: PCA(RANK, svd_solver="covariance_eigh").fit(counts).components_,
    }
    contenders |= {
        f"dense copy, randomized_svd(n_iter={n_iter})": lambda n_iter=n_iter: dense_pca(counts, n_iter)
        for n_iter in (0, 1, 2)
    }
    found = side_by_side(contenders, 1 if tiny else 3)
    ours = found["ours"][0]
    memory = {name: peak_bytes(run) for name, run in contenders.items()}
    for name, (timing, components) in found.items():
        timing.error = truth.excess(components)
        ratio = timing.median / ours.median
        benchmark.extra_info[name] = {"seconds": timing.median, "excess": timing.error, "bytes": memory[name]}
        report(
            f"PCA of sparse {counts.shape}, {counts.nnz} stored: {name}: {timing.median * 1e3:.0f} ms, "
            f"excess {timing.error:.4f}, peak {memory[name] / 2**20:.0f} MB; ours is {ratio:.2f}x as fast, with "
            f"{memory['ours'] / memory[name]:.2f} of the memory{'' if timing.error <= TOLERANCE else ' (not accurate)'}"
        )
    benchmark.pedantic(contenders["ours"], rounds=1 if tiny else 3)
    assert ours.error <= TOLERANCE


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("n_shards", [4, 64])
def test_draws_from_shards_against_the_plain_matrix(benchmark, report, tiny, kind, n_shards):
    m, n = (4000, 100) if tiny else (400_000, 100)
    X = np.random.default_rng(0).standard_normal((m, n)).astype(np.float32)
    X = sp.csr_array(X * (X > 1.3)) if kind == "csr" else X
    plain = qi.as_sq_matrix(X)
    shards = qi.vstack([X[start : start + m // n_shards] for start in range(0, m, m // n_shards)])
    n_draws = 1000 if tiny else 100_000
    rows = plain.sample_rows(n_draws, rng=0)
    plain.sample_rows(1, rng=0), shards.sample_rows(1, rng=0)
    for what, ask in (
        ("sample_rows", lambda A: A.sample_rows(n_draws, rng=1)),
        ("sample_cols", lambda A: A.sample_cols(rows, rng=1)),
        ("rows", lambda A: A.rows(rows[:2000])),
        ("query", lambda A: A.query(rows, rows % n)),
    ):
        contenders = {"plain": lambda ask=ask: ask(plain), "shards": lambda ask=ask: ask(shards)}
        timed = side_by_side(contenders, 1 if tiny else 7)
        ratio = timed["shards"][0].median / timed["plain"][0].median
        benchmark.extra_info[what] = ratio
        report(
            f"{what} from {n_shards} {kind} shards of {(m, n)}: {ratio:.2f} times the time of the plain matrix "
            f"({timed['shards'][0].median * 1e3:.2f} ms)"
        )
    benchmark.pedantic(lambda: shards.sample_rows(n_draws, rng=1), rounds=1 if tiny else 5)


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_rejection_from_a_centred_matrix_against_its_index(benchmark, report, tiny, shift):
    m, n = (4000, 50) if tiny else (200_000, 100)
    X = shift + np.random.default_rng(0).standard_normal((m, n)).astype(np.float32)
    source = qi.as_sq_matrix(X)
    center = X.mean(axis=0, dtype=np.float64)
    n_draws = 1000
    contenders = {
        "index": lambda: qi.IndexedMatrix(qi.centred(source, center)).sample_rows(n_draws, rng=0),
        "rejection": lambda: qi.centred(source, center).sample_rows(n_draws, rng=0),
    }
    timed = side_by_side(contenders, 1 if tiny else 5)
    phi = qi.centred(source, center).phi()
    ratio = timed["index"][0].median / timed["rejection"][0].median
    benchmark.extra_info.update(phi=phi, ratio=ratio)
    report(f"{n_draws} rows of a centred {(m, n)}, phi {phi:.0f}: rejection is {ratio:.2f}x as fast as index and draw")
    benchmark.pedantic(contenders["rejection"], rounds=1 if tiny else 3)
