from __future__ import annotations

import gc
import mmap
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.access import _mapped
from qinspired.access._mapped import FilePages, chunks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system cannot drop pages")

M, N = 700, 90
PAGE = mmap.PAGESIZE


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every map be larger than a chunk, and every chunk a few pages."""
    monkeypatch.setattr(_mapped, "CHUNK_BYTES", 3 * PAGE)


@pytest.fixture
def drops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the bytes of each call that drops pages."""
    calls: list[int] = []
    whole = FilePages.drop

    def drop(self: FilePages, view: Any = None) -> None:
        if self.are_mapped:
            calls.append(self._array.nbytes if view is None else view.nbytes)
        whole(self, view)

    monkeypatch.setattr(FilePages, "drop", drop)
    return calls


def numbers() -> np.ndarray:
    X = np.random.default_rng(0).integers(-100, 100, size=(M, N)).astype(np.float64)
    X[5] = 0.0
    return X


def write(path: Path, X: np.ndarray, mode: Any = "r", offset: int = 0) -> Any:
    order: Any = "C" if X.flags.c_contiguous else "F"
    path.write_bytes(b"\0" * offset + X.tobytes(order=order))
    return np.memmap(path, dtype=X.dtype, mode=mode, shape=X.shape, order=order, offset=offset)


KINDS = {
    "C float64": lambda X: X,
    "C float32": lambda X: X.astype(np.float32),
    "Fortran float64": np.asfortranarray,
    "Fortran float32": lambda X: np.asfortranarray(X.astype(np.float32)),
    "int16": lambda X: X.astype(np.int16),
    "Fortran int8": lambda X: np.asfortranarray(X.astype(np.int8)),
    "big-endian": lambda X: X.astype(">f8"),
}


def check_like(A: Any, X: np.ndarray) -> None:
    plain = qi.as_sq_matrix(X)
    np.testing.assert_allclose(A.row_norms(), plain.row_norms(), rtol=1e-14)
    rows = plain.sample_rows(400, rng=0)
    block = A.rows(rows)
    np.testing.assert_array_equal(block.toarray() if sp.issparse(block) else block, X[rows])
    np.testing.assert_array_equal(A.sample_cols(rows, rng=1), plain.sample_cols(rows, rng=1))
    np.testing.assert_array_equal(A.query(rows[:50], np.arange(50)), X[rows[:50], np.arange(50)])
    np.testing.assert_allclose(A.matmul(np.ones((N, 2))), X @ np.ones((N, 2)))
    np.testing.assert_allclose(A.rmatmul(np.ones((M, 2))), X.T @ np.ones((M, 2)))
    blocks = [part.toarray() if sp.issparse(part) else part for _, part in A.row_blocks(64)]
    np.testing.assert_array_equal(np.concatenate(blocks), X)


@pytest.mark.parametrize("offset", [0, 128, PAGE + 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_map_answers_as_the_array_does(
    kind: str, offset: int, tmp_path: Path, small_chunks: None, drops: list[int]
) -> None:
    X = numbers()
    mapped = write(tmp_path / "X", KINDS[kind](X), offset=offset)
    A = qi.as_sq_matrix(mapped)
    assert sum(drops) >= mapped.nbytes
    check_like(A, X)
    assert len(drops) > 5


@pytest.mark.parametrize("dtype", [np.float64, np.int8])
def test_a_csr_matrix_of_maps_answers_as_the_array_does(
    dtype: type, tmp_path: Path, small_chunks: None, drops: list[int]
) -> None:
    X = numbers()
    matrix = sp.csr_array(X)
    matrix.data = write(tmp_path / "data", matrix.data.astype(dtype))
    matrix.indices = write(tmp_path / "indices", matrix.indices)
    matrix.indptr = write(tmp_path / "indptr", matrix.indptr)
    A = qi.as_sq_matrix(matrix)
    assert sum(drops) == matrix.data.nbytes + matrix.indices.nbytes
    check_like(A, X)
    assert len(drops) > 5


def test_a_view_of_part_of_a_map_answers_as_the_array_does(
    tmp_path: Path, small_chunks: None, drops: list[int]
) -> None:
    wide = np.hstack([np.full((M, 10), 7.0), numbers(), np.full((M, 10), 7.0)])
    wide = np.vstack([np.full((3, N + 20), 7.0), wide])
    mapped = write(tmp_path / "X", wide)
    check_like(qi.as_sq_matrix(mapped[3:, 10:-10]), numbers())
    check_like(qi.as_sq_matrix(np.asarray(mapped)[3:][::-1, 10:-10]), numbers()[::-1])
    assert drops


def test_the_private_changes_of_a_copy_on_write_map_are_kept(tmp_path: Path, small_chunks: None) -> None:
    mapped = write(tmp_path / "X", numbers(), mode="c")
    mapped[:] = 2.0 * numbers()
    for array in (mapped, np.asarray(mapped), mapped[:, ::-1], mapped.T.T):
        A = qi.as_sq_matrix(array)
        A.matmul(np.ones((N, 1)))
        A.rows(np.arange(M))
        A.sample_cols(np.zeros(1000, dtype=int), rng=0)
    np.testing.assert_array_equal(mapped, 2.0 * numbers())


def test_changes_written_to_a_shared_map_are_kept(tmp_path: Path, small_chunks: None, drops: list[int]) -> None:
    mapped = write(tmp_path / "X", numbers(), mode="r+")
    mapped[:] = 2.0 * numbers()
    qi.as_sq_matrix(mapped).matmul(np.ones((N, 1)))
    assert drops
    np.testing.assert_array_equal(mapped, 2.0 * numbers())
    del mapped
    gc.collect()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "X").reshape(M, N), 2.0 * numbers())


def test_only_maps_known_to_be_shared_with_a_file_are_dropped(tmp_path: Path, small_chunks: None) -> None:
    mapped = {mode: write(tmp_path / mode, numbers(), mode=mode) for mode in ("r", "r+", "c")}
    with (tmp_path / "r").open("r+b") as file:
        raw = {
            access: np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), dtype=np.float64)
            for access in (mmap.ACCESS_READ, mmap.ACCESS_WRITE, mmap.ACCESS_COPY)
        }
    for array, dropped in (
        (mapped["r"], True),
        (mapped["r+"], True),
        (mapped["c"], False),
        (np.asarray(mapped["c"]), False),
        (np.asarray(mapped["r"])[5:, ::2].T, True),
        (raw[mmap.ACCESS_READ], True),
        (raw[mmap.ACCESS_WRITE], False),
        (raw[mmap.ACCESS_COPY], False),
        (np.frombuffer(mmap.mmap(-1, 100 * PAGE)), False),
        (np.zeros(100_000), False),
    ):
        assert FilePages(array).are_mapped == dropped


def test_small_maps_keep_their_pages(tmp_path: Path) -> None:
    assert not FilePages(write(tmp_path / "X", numbers())).are_mapped


_INDEX_A_LARGE_MAP = """
import resource, sys
import numpy as np
import qinspired as qi

def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform != "darwin" else 1e6)

warm = qi.as_sq_matrix(np.ones((5, 5), dtype=np.float32, order=sys.argv[2]))
warm.matmul(np.ones((5, 1), dtype=np.float32))
X = np.memmap(sys.argv[1], dtype=np.float32, mode="r", shape=(40_000, 10_000), order=sys.argv[2])
before = resident()
A = qi.as_sq_matrix(X)
A.matmul(np.ones((10_000, 1), dtype=np.float32))
A.rows(np.arange(0, 40_000, 40))
print(resident() - before, A.row_norms([7])[0])
"""


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_map_of_more_than_a_gigabyte_is_indexed_in_a_third_of_it(order: str, tmp_path: Path) -> None:
    # The file is a hole but for one number: it takes no room on the disk.
    mapped = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(40_000, 10_000), order=order)  # type: ignore[call-overload]
    mapped[7, 9_999] = 3.0
    del mapped
    command = [sys.executable, "-c", _INDEX_A_LARGE_MAP, str(tmp_path / "X"), order]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert float(found[0]) < 530.0
    assert float(found[1]) == 3.0


def test_chunks_cover_everything_once(small_chunks: None) -> None:
    assert list(chunks(10, 3 * PAGE / 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(chunks(2, 100 * PAGE)) == [(0, 1), (1, 2)]
    assert list(chunks(0, 8)) == []


def test_a_long_pass_shows_its_progress_and_a_short_one_does_not(
    small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Any] = []

    class Bar:
        def __init__(self, **options: Any) -> None:
            self.options, self.done = options, 0
            bars.append(self)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *ending: object) -> None:
            self.options["ended"] = True

        def update(self, n: int) -> None:
            self.done += n

    monkeypatch.setattr("tqdm.tqdm", Bar)
    list(chunks(100, PAGE, label="index"))
    assert not bars
    monkeypatch.setattr(_mapped, "_PROGRESS_FROM", 10 * PAGE)
    list(chunks(100, PAGE, label="index"))
    list(chunks(100, PAGE))
    (bar,) = bars
    assert bar.done == bar.options["total"] == 100 * PAGE
    assert bar.options["disable"] is None
    assert bar.options["desc"] == "index"
    assert bar.options["ended"]
