"""Real data: loaders of bundled sets, readers of ratings and matrices, and the per-user split."""

from __future__ import annotations

from qinspired.datasets._bundled import load_diabetes, load_diamonds, load_insteval
from qinspired.datasets._files import UnreadableFileError
from qinspired.datasets._matrices import read_matrix
from qinspired.datasets._read import read
from qinspired.datasets._split import train_test_split_ratings
from qinspired.datasets._triples import read_ratings
from qinspired.datasets._types import Ratings, Regression

__all__ = [
    "Ratings",
    "Regression",
    "UnreadableFileError",
    "load_diabetes",
    "load_diamonds",
    "load_insteval",
    "read",
    "read_matrix",
    "read_ratings",
    "train_test_split_ratings",
]
