from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from qinspired.kernels import _rows, dense_probe_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 3, 8, 11])
def test_probes_are_the_sums_of_the_squares_of_a_stretch_of_each_row(dtype: type, width: int) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((20, 11)).astype(dtype)
    rows, starts = rng.integers(20, size=50), rng.integers(11 - width + 1, size=50)
    expected = [float((X[i, s : s + width].astype(np.float64) ** 2).sum()) for i, s in zip(rows, starts, strict=True)]
    np.testing.assert_allclose(dense_probe_rows(X, rows, starts, width), expected, rtol=1e-14)


def test_a_stretch_that_goes_beyond_the_end_of_a_row_goes_on_at_its_start() -> None:
    X = np.arange(10.0).reshape(2, 5)
    found = dense_probe_rows(X, np.array([0, 1, 1]), np.array([3, 4, 0]), 3)
    np.testing.assert_array_equal(found, [9 + 16 + 0, 81 + 25 + 36, 25 + 36 + 49])


def test_probes_of_no_rows_are_an_empty_array() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert dense_probe_rows(np.ones((3, 4)), none, none, 2).shape == (0,)


def test_squares_of_probed_float32_entries_are_taken_in_float64() -> None:
    X = np.full((2, 4), 1e30, dtype=np.float32)
    wanted = 2 * float(np.float32(1e30)) ** 2
    np.testing.assert_allclose(dense_probe_rows(X, np.arange(2), np.zeros(2, dtype=np.int64), 2), wanted, rtol=1e-14)


def test_an_entry_that_is_not_finite_stays_visible_in_a_probe() -> None:
    X = np.ones((3, 2))
    X[0, 1], X[2, 0] = np.nan, np.inf
    found = dense_probe_rows(X, np.arange(3), np.zeros(3, dtype=np.int64), 2)
    assert np.isnan(found[0])
    np.testing.assert_array_equal(found[1:], [2.0, np.inf])


def test_a_probe_in_many_chunks_is_that_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(4).standard_normal((30, 8))
    rows, starts = np.arange(30), np.arange(30) % 8
    whole = dense_probe_rows(X, rows, starts, 4)
    monkeypatch.setattr(_rows, "_CHUNK_ENTRIES", 28)
    np.testing.assert_array_equal(dense_probe_rows(X, rows, starts, 4), whole)


_WITHOUT_JIT = """
import numpy as np
from qinspired.kernels import dense_probe_rows
X = np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 0]])
assert np.array_equal(dense_probe_rows(X, np.array([0, 2]), np.array([2, 1]), 2), [5.0, 9.0])
"""


def test_probes_are_right_without_the_jit_too() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-c", _WITHOUT_JIT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
