"""True errors of low-rank answers, without a copy of the matrix."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse as sp

import qinspired as qi

# Entries of A that are taken in float64 at a time, and columns of components beside each other.
_BLOCK_ENTRIES = 8_000_000
_SIDE_BY_SIDE = {"dense": 256, "sparse": 64}


def _blocks(A: Any) -> Iterator[Any]:
    """Yield views of consecutive rows."""
    if not sp.issparse(A):
        step = max(1, _BLOCK_ENTRIES // A.shape[1])
        for start in range(0, len(A), step):
            yield A[start : start + step]
        return
    stops = np.searchsorted(A.indptr, np.arange(_BLOCK_ENTRIES, A.nnz + _BLOCK_ENTRIES, _BLOCK_ENTRIES), side="right")
    edges = np.unique(np.r_[0, np.minimum(stops, A.shape[0]), A.shape[0]])
    for low, high in itertools.pairwise(edges):
        first, last = A.indptr[low], A.indptr[high]
        parts = A.data[first:last], A.indices[first:last], A.indptr[low : high + 1] - first
        yield sp.csr_array(parts, shape=(high - low, A.shape[1]))


def true_errors(A: Any, components: Sequence[np.ndarray]) -> list[float]:
    """Return |A - A V V^T|_F / |A|_F for the spans of some components, in float64, without a copy of A."""
    bases = [np.linalg.qr(np.asarray(part, dtype=np.float64).T)[0] for part in components]
    most = _SIDE_BY_SIDE["sparse" if sp.issparse(A) else "dense"]
    groups: list[list[np.ndarray]] = [[]]
    for basis in bases:
        if groups[-1] and sum(b.shape[1] for b in groups[-1]) + basis.shape[1] > most:
            groups.append([])
        groups[-1].append(basis)
    kept: list[float] = []
    total = 0.0
    for group in groups:
        wide = np.hstack(group)
        edges = np.cumsum([0, *(basis.shape[1] for basis in group)])[:-1]

        def energies(block: Any, wide: np.ndarray = wide, edges: np.ndarray = edges) -> np.ndarray:
            entries = np.asarray(block.data if sp.issparse(block) else block, dtype=np.float64)
            image = (block if sp.issparse(block) else entries) @ wide
            own = float(np.vdot(entries, entries))
            return np.r_[own, np.add.reduceat(np.einsum("ij,ij->j", image, image), edges)]

        if sp.issparse(A):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                sums = sum(pool.map(energies, _blocks(A)))
        else:
            sums = sum(energies(block) for block in _blocks(A))
        total, found = float(sums[0]), sums[1:]
        kept.extend(float(value) for value in found)
    return [math.sqrt(max(1.0 - value / total, 0.0)) for value in kept]


def reference_error(A: Any, rank: int) -> float:
    """Return the best error of a matrix whose optimum is not known: from ARPACK, or from many power iterations."""
    small = (A.nnz if sp.issparse(A) else A.size) <= 5_000_000
    best = qi.baselines.svds(A, rank, rng=0) if small else qi.baselines.randomized_svd(A, rank, n_iter=5, rng=0)
    return true_errors(A, [best.components])[0]


class Truth:
    """True excesses of answers; each distinct answer is measured once."""

    def __init__(self, A: Any, optimal_error: float) -> None:
        self._A, self._optimal_error = A, optimal_error
        self._known: dict[bytes, float] = {}

    def excesses(self, components: Sequence[np.ndarray]) -> list[float]:
        keys = [part.tobytes() if part.size < 1000 else _digest(part) for part in components]
        unknown = {key: part for key, part in zip(keys, components, strict=True) if key not in self._known}
        if unknown:
            found = true_errors(self._A, list(unknown.values()))
            self._known.update(zip(unknown, found, strict=True))
        return [self._known[key] / self._optimal_error - 1.0 for key in keys]


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).view(np.uint8), digest_size=16).digest()
