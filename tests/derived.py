"""One matrix of each derived kind, beside the float64 array that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

import qinspired as qi

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (40, 24)


def skewed(seed: int, shape: tuple[int, int] = SHAPE, share_of_zeros: float = 0.4) -> np.ndarray:
    """Return a matrix of skewed rows and columns, exact in float32, with a zero row and a zero column."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape) * rng.exponential(size=(shape[0], 1)) * rng.exponential(size=(1, shape[1]))
    X[rng.random(shape) < share_of_zeros] = 0.0
    X[min(7, shape[0] - 1)], X[:, 9 % shape[1]] = 0.0, 0.0
    return X.astype(np.float32).astype(np.float64)


A, B = skewed(0), skewed(1)
RIGHT = np.random.default_rng(2).standard_normal((SHAPE[1], 6)).astype(np.float32).astype(np.float64)
LEFT = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32).astype(np.float64)
LEFT[2, 3:] = 0.0
ROWS = np.array([0, 5, 7, 12, 5, 30, 39, 21])
STD = np.where(A.std(axis=0) == 0.0, 1.0, A.std(axis=0))


@dataclass(frozen=True)
class Derived:
    """`make(build)` derives the matrix from sources that `build` made of arrays; `phi` is its formula."""

    name: str
    make: Callable[[Callable[[np.ndarray], Any]], qi.OversampledMatrix]
    dense: np.ndarray
    bound_sq: float

    @property
    def phi(self) -> float:
        return self.bound_sq / float((self.dense**2).sum())

    def __str__(self) -> str:
        return self.name


def _combination_bound() -> float:
    terms = (LEFT[:, :, None] * A[ROWS][None]) ** 2
    counts = ((LEFT != 0) & (A[ROWS] != 0).any(axis=1)).sum(axis=1)
    return float((counts * terms.sum(axis=(1, 2))).sum())


KINDS = [
    Derived(
        "sum",
        lambda build: qi.add(build(A), build(B), coefficients=[2.0, -0.5]),
        2.0 * A - 0.5 * B,
        2.0 * float(4.0 * (A**2).sum() + 0.25 * (B**2).sum()),
    ),
    Derived("product", lambda build: qi.multiply(build(A), RIGHT.astype(build(A).dtype)), A @ RIGHT,
            float((A**2).sum() * np.linalg.norm(RIGHT, 2) ** 2)),
    Derived("combined rows", lambda build: qi.combine_rows(build(A), LEFT.astype(build(A).dtype), ROWS),
            LEFT @ A[ROWS], _combination_bound()),
    Derived("transpose", lambda build: qi.transpose(build(A)), A.T.copy(), float((A**2).sum())),
    Derived("centred", lambda build: qi.centred(build(A)), A - A.mean(axis=0),
            2.0 * float((A**2).sum() + len(A) * (A.mean(axis=0) ** 2).sum())),
    Derived(
        "centred and scaled",
        lambda build: qi.centred(build(A), scale="std"),
        (A - A.mean(axis=0)) / STD,
        2.0 * float((A**2).sum() / STD[A.any(axis=0)].min() ** 2 + len(A) * ((A.mean(axis=0) / STD) ** 2).sum()),
    ),
]  # fmt: skip

BUILDS = {
    "dense": np.array,
    "csr": sp.csr_array,
    "dense float32": lambda X: X.astype(np.float32),
    "csr float32": lambda X: sp.csr_array(X.astype(np.float32)),
}


def to_dense(block: Any) -> np.ndarray:
    return np.asarray(block.toarray() if sp.issparse(block) else block)
