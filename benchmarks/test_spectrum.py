"""The leading singular values and norms of a tall matrix from 1000 drawn rows, against svds and the full SVD.

`test_spectrum_coverage.py` measures the intervals.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg
from timing import side_by_side

import qinspired as qi

RANK = 10


@pytest.fixture(scope="module")
def problem(tiny):
    shape = (3000, 100) if tiny else (100_000, 1000)
    return qi.problems.low_rank_matrix(shape, RANK, kappa=3.0, noise=0.5, dtype=np.float32, rng=0)


@pytest.mark.parametrize("start", ["cold", "warm"])
def test_spectral_summary_against_svds_and_the_full_svd(benchmark, problem, report, tiny, start):
    A = problem.A
    given = A if start == "cold" else qi.as_sq_matrix(A)

    def by_moment():
        return np.sqrt(np.linalg.eigvalsh((A.T @ A).astype(np.float64))[::-1][:RANK])

    contenders = {
        "ours": lambda: qi.spectral_summary(given, rank=RANK, rng=0),
        "svds": lambda: np.sort(
            scipy.sparse.linalg.svds(A, k=RANK, return_singular_vectors=False, v0=np.ones(min(A.shape)))
        )[::-1],
        "eigenvalues of A^T A": by_moment,
    }
    if tiny:
        contenders["svd"] = lambda: np.linalg.svd(A, compute_uv=False)[:RANK]
    timed = side_by_side(contenders, 1 if tiny else 3)
    exact = timed["eigenvalues of A^T A"][1]
    timing, found = timed["ours"]
    worst = max(abs(s.value / e - 1.0) for s, e in zip(found.singular_values, exact, strict=True))
    inside = sum(s.low <= e <= s.high for s, e in zip(found.singular_values, exact, strict=True))
    ratios = ", ".join(
        f"{rival[0].median / timing.median:.1f}x {name}" for name, rival in timed.items() if name != "ours"
    )
    benchmark.extra_info.update(worst_error=worst, inside=inside, seconds=timing.median)
    benchmark.pedantic(contenders["ours"], rounds=1 if tiny else 3)
    report(
        f"spectral_summary {A.shape} {start}: {timing.median:.2f} s, {ratios}; largest relative error of "
        f"{RANK} singular values {worst:.1%}, {inside} in their intervals, effective rank {found.effective_rank}"
    )
    assert inside >= RANK - 3
