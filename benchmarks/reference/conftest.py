"""The examples of the published code, and one thread for all that is timed against it."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

import qinspired as qi


@dataclass(frozen=True)
class Example:
    """A linear system, its exact rank-k solution, and the published sizes."""

    A: np.ndarray
    b: np.ndarray
    rank: int
    n_draws: int

    @property
    def x(self) -> np.ndarray:
        U, s, Vt = np.linalg.svd(self.A, full_matrices=False)
        k = self.rank
        return Vt[:k].T @ (U[:, :k].T @ self.b / s[:k])

    def run(self, seed, size=None, matrix=None):
        size = size or self.n_draws
        A = self.A if matrix is None else matrix
        return qi.reference.fkv(A, self.rank, n_rows=size, n_cols=size, rng=seed)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    path = Path(os.environ.get("QINSPIRED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the folder of real data is absent; name it in QINSPIRED_DATA")
    return path


@pytest.fixture(scope="session")
def linear(data_dir) -> Example:
    A, b = (np.load(data_dir / "xanadu" / f"linear_{letter}.npy") for letter in "Ab")
    return Example(A, b, 3, 200)


@pytest.fixture(scope="session")
def films(data_dir) -> sp.csr_array:
    with gzip.open(data_dir / "movielens-latest-small-2018" / "ratings.csv.gz", "rt") as file:
        triples = np.array([line[:3] for line in list(csv.reader(file))[1:]], dtype=np.float64)
    items = np.unique(triples[:, 1], return_inverse=True)[1]
    return sp.csr_array((triples[:, 2], (triples[:, 0].astype(int), items)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    with threadpool_limits(1):
        yield
    numba.set_num_threads(before)
