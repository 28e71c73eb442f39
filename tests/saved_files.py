"""Saved matrices in the tests: every way to read one, and its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from zoo import QUARTERS

import qinspired as qi

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = {"dense": np.array, "csr": sp.csr_array}
both_kinds = pytest.mark.parametrize("kind", KINDS)
OLD, NEW = QUARTERS, QUARTERS[::-1] + 1.0

# Every way to the entries or the norms; a storage that gains another one fails a test below.
ACCESSES: dict[str, Callable[[Any, Any], Any]] = {
    "rows": lambda A, rows: A.rows(rows),
    "query": lambda A, rows: A.query(rows[:, None], np.arange(A.shape[1])),
    "sample_cols": lambda A, rows: A.sample_cols(rows, rng=0),
    "row_blocks": lambda A, _: [block + 0 for _, block in A.row_blocks(100)],
    "matmul": lambda A, _: A.matmul(np.ones((A.shape[1], 1))),
    "matmul of another type": lambda A, _: A.matmul(np.ones(A.shape[1], dtype=np.float32)),
    "rmatmul": lambda A, _: A.rmatmul(np.ones((A.shape[0], 1))),
    "rmatmul of another type": lambda A, _: A.rmatmul(np.ones(A.shape[0], dtype=np.float32)),
    "row_lengths": lambda A, rows: A.row_lengths(rows),
    "row_norms": lambda A, rows: A.row_norms(rows),
    "all row_norms": lambda A, _: A.row_norms(),
    "sample_rows": lambda A, _: A.sample_rows(5, rng=0),
    "probe_rows": lambda A, rows: A.rows(rows) if A.is_sparse else A.probe_rows(rows, np.random.default_rng(0)),
}


def dense(A: Any) -> np.ndarray:
    block = A.rows(np.arange(A.shape[0]))
    return block.toarray() if sp.issparse(block) else block


def use_all(folder: Path) -> None:
    A = qi.open(folder)
    for access in ACCESSES.values():
        access(A, np.flatnonzero(QUARTERS.any(axis=1)))


def part_file(folder: Path, name: str) -> Path:
    (file,) = folder.glob("header.json" if name == "header" else f"{name}-*.npy")
    return file


def flip(file: Path, place: int, bit: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def assert_tidy(folder: Path) -> None:
    header = json.loads((folder / "header.json").read_text())
    named = {part["file"] for part in [*header["parts"], header["checksums"]]}
    assert files(folder) == named | {"header.json"}
