from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zoo import QUARTERS, ZOO, Specimen

import qinspired as qi
from qinspired.access import CSRMatrix, DenseMatrix
from qinspired.access.saved import _checked as checked
from qinspired.access.saved._format import CHUNK_BYTES, Header, Part, npy_header, render_header
from qinspired.exceptions import VersionError

VERIFY = ("read", "all", "none")
both_kinds = pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
pytestmark = pytest.mark.usefixtures("_without_waiting_for_the_disk")


class Squares(qi.RowStorage):
    """Entry (i, j) is (i j) mod 7, made when it is read; notes how many rows are asked for at a time."""

    def __init__(self, shape: tuple[int, int], *, sparse: bool = False) -> None:
        self.largest_read, self.sparse = 0, sparse
        super().__init__(shape, np.float64)

    @property
    def is_sparse(self) -> bool:
        return self.sparse

    @property
    def n_stored(self) -> int:
        return int(np.count_nonzero(self.dense())) if self.sparse else super().n_stored

    @property
    def entry_bytes(self) -> int:
        return 12 if self.sparse else 8

    def row_lengths(self, rows: Any) -> Any:
        return np.count_nonzero(self.dense()[rows], axis=1) if self.sparse else super().row_lengths(rows)

    def dense(self) -> np.ndarray:
        m, n = self.shape
        return (np.arange(m)[:, None] * np.arange(n) % 7).astype(np.float64)

    def _read_rows(self, rows: Any) -> Any:
        self.largest_read = max(self.largest_read, len(rows))
        block = (rows[:, None] * np.arange(self.shape[1]) % 7).astype(np.float64)
        return sp.csr_array(block) if self.sparse else block


def tall(build: Any, n_rows: int = 2000) -> Any:
    """Return a matrix of several chunks in each part; about a tenth of the entries is not zero."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n_rows, 60))
    X[rng.random(X.shape) < 0.9] = 0.0
    X[:, 0] = 1.0
    return build(X)


def dense(block: Any) -> np.ndarray:
    return block.toarray() if sp.issparse(block) else np.asarray(block)


def assert_same(A: Any, B: Any) -> None:
    """Check that two matrices give the same answers and draws, bit by bit, and products up to the order of sums."""
    m, n = B.shape
    assert (A.shape, A.dtype, A.is_sparse) == (B.shape, B.dtype, B.is_sparse)
    assert A.frobenius_norm == B.frobenius_norm
    everything, rng = np.arange(m), np.random.default_rng(0)
    np.testing.assert_array_equal(A.row_norms(), B.row_norms())
    np.testing.assert_array_equal(A.row_norms(everything[::-1]), B.row_norms(everything[::-1]))
    np.testing.assert_array_equal(A.row_lengths(everything), B.row_lengths(everything))
    mixed = rng.integers(0, m, 50)
    assert type(A.rows(mixed)) is type(B.rows(mixed))
    np.testing.assert_array_equal(dense(A.rows(mixed)), dense(B.rows(mixed)))
    columns = rng.integers(0, n, 50)
    np.testing.assert_array_equal(A.query(mixed, columns), B.query(mixed, columns))
    assert A.query(mixed, columns).dtype == B.dtype
    for rows_per_block in (1, 4, m):
        blocks, others = list(A.row_blocks(rows_per_block)), list(B.row_blocks(rows_per_block))
        assert [start for start, _ in blocks] == [start for start, _ in others]
        for (_, block), (_, other) in zip(blocks, others, strict=True):
            np.testing.assert_array_equal(dense(block), dense(other))
    X, Y = rng.standard_normal((n, 3)), rng.standard_normal((m, 3))
    for factor, other in ((X, Y), (X[:, 0], Y[:, 0])):
        # A sum of k products has an error of at most k roundings of the sum of their sizes, which norms bound.
        room = 4 * max(m, n) * np.finfo(B.dtype).eps * A.frobenius_norm
        np.testing.assert_allclose(A.matmul(factor), B.matmul(factor), rtol=0, atol=room * np.linalg.norm(factor))
        np.testing.assert_allclose(A.rmatmul(other), B.rmatmul(other), rtol=0, atol=room * np.linalg.norm(other))
    if B.frobenius_norm:
        rows = B.sample_rows(200, rng=3)
        np.testing.assert_array_equal(A.sample_rows(200, rng=3), rows)
        np.testing.assert_array_equal(A.sample_cols(rows, rng=4), B.sample_cols(rows, rng=4))


@pytest.mark.parametrize("specimen", ZOO, ids=str)
def test_a_matrix_opened_is_the_matrix_saved(specimen: Specimen, tmp_path: Path) -> None:
    original = qi.as_sq_matrix(specimen.build(tmp_path))
    qi.save(tmp_path / "saved", specimen.build(tmp_path))
    opened = qi.open(tmp_path / "saved")
    assert isinstance(opened, CSRMatrix if original.is_sparse else DenseMatrix)
    assert_same(opened, original)
    np.testing.assert_array_equal(dense(opened.rows(np.arange(opened.shape[0]))), specimen.dense)


@both_kinds
@pytest.mark.parametrize("verify", VERIFY)
def test_a_matrix_of_many_chunks_comes_back_whatever_is_checked(build: Any, verify: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", tall(build))
    A, original = qi.open(tmp_path / "A", verify=verify), qi.as_sq_matrix(tall(build))
    assert_same(A, original)
    assert (A.n_stored, A.entry_bytes) == (original.n_stored, original.entry_bytes)
    np.testing.assert_array_equal(A.matmul(np.eye(60)), original.matmul(np.eye(60)))
    np.testing.assert_array_equal(A.rmatmul(np.ones((2000, 2))), original.rmatmul(np.ones((2000, 2))))


def test_wide_indices_stay_wide(tmp_path: Path) -> None:
    S = sp.csr_array(QUARTERS)
    S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    qi.save(tmp_path / "S", S)
    assert qi.open(tmp_path / "S").entry_bytes == 16


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    X=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    build=st.sampled_from([np.array, sp.csr_array]),
)
def test_any_matrix_comes_back(X: np.ndarray, build: Any, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", build(X))
    assert_same(qi.open(tmp_path / "A"), qi.as_sq_matrix(build(X)))


def test_the_parts_are_plain_npy_files(tmp_path: Path) -> None:
    X = tall(sp.csr_array)
    qi.save(tmp_path / "A", X)
    header = json.loads((tmp_path / "A" / "header.json").read_text())
    part = {
        part["name"]: np.load(tmp_path / "A" / part["file"], allow_pickle=False)
        for part in [*header["parts"], header["checksums"] | {"name": "checksums"}]
    }
    rebuilt = sp.csr_array((part["data"], part["indices"], part["indptr"]), shape=header["shape"])
    np.testing.assert_array_equal(rebuilt.toarray(), X.toarray())
    np.testing.assert_array_equal(part["norms"], qi.as_sq_matrix(X).row_norms())
    first = part["data"].tobytes()[:CHUNK_BYTES]
    assert part["checksums"][0] == zlib.crc32(first)
    assert (header["format"], header["format_version"]) == ("qinspired-matrix", 1)
    assert header["written_by"] == f"qinspired {qi.__version__}"
    for name, array in part.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        (file,) = (tmp_path / "A").glob(f"{name}-*.npy")
        assert buffer.getvalue() == file.read_bytes()


def test_the_seal_of_the_header_is_the_digest_of_the_rest(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    raw = (tmp_path / "A" / "header.json").read_bytes()
    digest = json.loads(raw)["sha256"].encode()
    assert hashlib.sha256(raw.replace(digest, b"0" * 64)).hexdigest().encode() == digest


@both_kinds
def test_low_rank_of_an_opened_matrix_is_that_of_the_original(build: Any, tmp_path: Path) -> None:
    X = qi.problems.low_rank_matrix((1500, 80), 4, noise=0.1, rng=0).A
    qi.save(tmp_path / "A", build(X))
    for method in ("auto", "gram", "krylov", "randomized", "exact"):
        ours = qi.low_rank(qi.open(tmp_path / "A"), 4, tolerance=0.1, method=method, rng=7)
        theirs = qi.low_rank(qi.as_sq_matrix(build(X)), 4, tolerance=0.1, method=method, rng=7)
        np.testing.assert_array_equal(ours.components, theirs.components)
        np.testing.assert_array_equal(ours.singular_values, theirs.singular_values)
        assert (ours.excess, ours.error, ours.method) == (theirs.excess, theirs.error, theirs.method)


@both_kinds
def test_least_squares_of_an_opened_matrix_is_that_of_the_original(build: Any, tmp_path: Path) -> None:
    X = tall(np.array)
    b = X @ np.arange(60.0) + np.random.default_rng(0).standard_normal(len(X))
    qi.save(tmp_path / "A", build(X))
    ours = qi.least_squares(qi.open(tmp_path / "A"), b, tolerance=0.1, rng=7)
    theirs = qi.least_squares(qi.as_sq_matrix(build(X)), b, tolerance=0.1, rng=7)
    np.testing.assert_array_equal(ours.x, theirs.x)
    assert (ours.error, ours.method) == (theirs.error, theirs.method)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csr"])
def test_a_matrix_that_is_only_made_row_by_row_is_saved_a_block_at_a_time(sparse: bool, tmp_path: Path) -> None:
    A = Squares((25_000, 100), sparse=sparse)
    A.largest_read = 0
    qi.save(tmp_path / "A", A)
    assert 0 < A.largest_read <= 1_000_000 * 25_000 // A.n_stored
    opened = qi.open(tmp_path / "A")
    assert opened.is_sparse == sparse
    np.testing.assert_array_equal(dense(opened.rows(np.arange(25_000))), A.dense())


def test_a_wrapped_and_an_opened_matrix_can_be_saved_as_well(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", qi.CountingMatrix(qi.as_sq_matrix(QUARTERS)))
    qi.save(str(tmp_path / "B"), qi.open(str(tmp_path / "A")))
    assert_same(qi.open(tmp_path / "B"), qi.as_sq_matrix(QUARTERS))


def test_a_changeable_matrix_is_saved_at_its_version(tmp_path: Path) -> None:
    class Changing(Squares):
        version = 0
        change_at = -1

        def _read_rows(self, rows: Any) -> Any:
            self.version += self.change_at in rows
            return super()._read_rows(rows)

    A = Changing((25_000, 100))
    qi.save(tmp_path / "A", A)
    before = qi.open(tmp_path / "A").row_norms()
    A.change_at = 100
    with pytest.raises(VersionError):
        qi.save(tmp_path / "A", A)
    np.testing.assert_array_equal(qi.open(tmp_path / "A").row_norms(), before)


def test_blocks_that_do_not_make_the_shape_are_refused(tmp_path: Path) -> None:
    class Short(Squares):
        def row_blocks(self, rows_per_block: int) -> Any:  # noqa: ARG002
            yield 0, self._read_rows(np.arange(3))

    class Narrow(Squares):
        def row_blocks(self, rows_per_block: int) -> Any:  # noqa: ARG002
            yield 0, self._read_rows(np.arange(self.shape[0]))[:, 1:]

    for sparse in (False, True):
        A: Any = Squares((10, 4), sparse=sparse)
        A.__class__ = Short
        with pytest.raises(ValueError, match=r"`A` must give blocks of rows that make its shape"):
            qi.save(tmp_path / "A", A)
        A.__class__ = Narrow
        with pytest.raises(ValueError, match=r"`A` must give (dense|sparse) blocks with 4 columns"):
            qi.save(tmp_path / "A", A)
    assert list(tmp_path.iterdir()) == []


def test_row_norms_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    A = qi.as_sq_matrix(QUARTERS)
    for bad in (np.nan, np.inf, -1.0):
        A._norms = np.full(9, bad)
        with pytest.raises(ValueError, match=r"`A` must have finite row norms >= 0; got"):
            qi.save(tmp_path / "A", A)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_of_another_type_is_refused(tmp_path: Path) -> None:
    A = qi.as_sq_matrix(QUARTERS)
    A._dtype = np.dtype(np.float16)
    with pytest.raises(TypeError, match=r"`A` must hold float32 or float64; got dtype float16"):
        qi.save(tmp_path / "A", A)


def test_what_is_no_matrix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`A` must be finite"):
        qi.save(tmp_path / "A", np.array([[np.nan]]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 3, b"A", ["A"]])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    for call in (lambda: qi.open(path), lambda: qi.save(path, QUARTERS)):
        with pytest.raises(TypeError, match=r"`path` must be a string or a `pathlib.Path`; got"):
            call()


def test_an_empty_path_is_not_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (lambda: qi.open(""), lambda: qi.save("", QUARTERS), lambda: qi.as_sq_matrix("")):
        with pytest.raises(ValueError, match=r"`path` must name a directory; got an empty string"):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_path_is_a_matrix_wherever_one_is_asked_for(as_path: Any, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    assert_same(qi.as_sq_matrix(as_path(tmp_path / "A")), qi.as_sq_matrix(QUARTERS))
    assert qi.low_rank(as_path(tmp_path / "A"), 2, rng=0).components.shape == (2, 12)


def changeable() -> Any:
    A = qi.DynamicMatrix(QUARTERS.shape)
    A.update(*np.indices(QUARTERS.shape), QUARTERS)
    return A


@pytest.mark.parametrize(
    "build",
    [
        changeable,
        lambda: qi.ShardedMatrix([QUARTERS[:4], QUARTERS[4:]]),
        lambda: qi.ShardedMatrix([changeable(), sp.csr_array(QUARTERS)]),
        lambda: qi.centred(QUARTERS),
        lambda: qi.centred(qi.ImplicitMatrix(**qi.problems.virtual_low_rank_matrix((30, 20), [3.0, 1.0]).access)),
        lambda: qi.ImplicitMatrix(**qi.problems.virtual_low_rank_matrix((30, 20), [3.0, 1.0]).access),
    ],
    ids=["dynamic", "sharded", "sharded dynamic", "centred", "centred implicit", "implicit"],
)
def test_a_matrix_that_is_no_array_is_saved_as_what_it_stands_for(build: Any, tmp_path: Path) -> None:
    A = build()
    qi.save(tmp_path / "A", A)
    opened, everything = qi.open(tmp_path / "A", verify="all"), np.arange(A.shape[0])
    assert opened.is_sparse == A.is_sparse
    np.testing.assert_array_equal(dense(opened.rows(everything)), dense(A.rows(everything)))
    np.testing.assert_array_equal(opened.row_norms(), qi.as_sq_matrix(A).row_norms())


@pytest.mark.parametrize("verify", ["All", True, None, "", ["read"]])
def test_an_unknown_way_to_verify_is_refused(verify: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'`verify` must be "read", "all" or "none"; got'):
        qi.open(tmp_path, verify=verify)


def test_the_folder_above_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        qi.save(tmp_path / "missing" / "A", QUARTERS)
    assert list(tmp_path.iterdir()) == []


def test_relative_paths_are_kept_as_absolute_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    qi.save("A", QUARTERS)
    A = qi.open("A")
    assert A.path == tmp_path / "A"
    monkeypatch.chdir("/")
    assert_same(pickle.loads(pickle.dumps(A)), qi.as_sq_matrix(QUARTERS))


@both_kinds
def test_a_pickled_matrix_is_its_path(build: Any, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", tall(build))
    A = qi.open(tmp_path / "A", verify="none")
    content = pickle.dumps(A)
    assert len(content) < 1000
    again = pickle.loads(content)
    assert (type(again), again.path, again._verify) == (type(A), A.path, "none")
    assert_same(copy.deepcopy(A), qi.as_sq_matrix(tall(build)))
    qi.save(tmp_path / "A", tall(build))
    with pytest.raises(VersionError, match=r"another matrix was saved there since this one was pickled"):
        pickle.loads(content)


@both_kinds
def test_saving_onto_the_path_a_matrix_was_opened_from_keeps_both(build: Any, tmp_path: Path) -> None:
    original = qi.as_sq_matrix(tall(build))
    qi.save(tmp_path / "A", original)
    A = qi.open(tmp_path / "A")
    qi.save(tmp_path / "A", A)
    B = qi.open(tmp_path / "A")
    qi.save(tmp_path / "A", np.eye(3))
    for opened in (A, B):
        assert_same(opened, original)
    assert_same(qi.open(tmp_path / "A"), qi.as_sq_matrix(np.eye(3)))


def test_the_maps_cannot_be_written_to(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    A = qi.open(tmp_path / "A")
    assert not any(part.array.flags.writeable for part in A._parts.values())
    for answer in (A.row_norms(), A.row_norms([0, 1]), A.rows([0]), A.query([0], [0])):
        answer[...] = 7.0
    assert_same(qi.open(tmp_path / "A", verify="all"), qi.as_sq_matrix(QUARTERS))


def test_an_opened_matrix_says_what_it_is(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    assert repr(qi.open(tmp_path / "A")) == (
        f"SavedDenseMatrix(shape=(9, 12), dtype=float64, n_stored=108, path='{tmp_path}/A')"
    )


def test_checking_all_prints_nothing_where_nobody_looks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    qi.open(tmp_path / "A", verify="all")
    assert capfd.readouterr() == ("", "")


class Reads:
    """Counts the bytes that an opened matrix reads from its files, by the part that they come from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places: list[tuple[str, int, int]] = []
        real = checked.read_exactly

        def read(descriptor: int, count: int, offset: int, file: Path) -> bytes:
            self.places.append((file.name.partition("-")[0], offset, count))
            return real(descriptor, count, offset, file)

        monkeypatch.setattr(checked, "read_exactly", read)

    def take(self) -> list[tuple[str, int, int]]:
        taken, self.places = self.places, []
        return taken


def test_a_row_is_checked_with_its_own_chunks_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).standard_normal((1000, 1024))  # a row has 8 KiB: eight rows a chunk
    qi.save(tmp_path / "A", X)
    reads = Reads(monkeypatch)
    A = qi.open(tmp_path / "A")
    reads.take()
    A.rows([8, 9, 15, 8])
    assert reads.take() == [("data", 128 + CHUNK_BYTES, CHUNK_BYTES)]
    A.rows([10])
    A.query([11], [5])
    A.sample_cols([12], rng=0)
    assert reads.take() == []
    A.query([7, 16, 999], [1023, 0, 1023])
    assert reads.take() == [
        ("data", 128, CHUNK_BYTES),
        ("data", 128 + 2 * CHUNK_BYTES, CHUNK_BYTES),
        ("data", 128 + 124 * CHUNK_BYTES, CHUNK_BYTES),
    ]
    A.row_norms([3])
    assert reads.take() == [("norms", 128, 8000)]
    A.sample_rows(3, rng=0)
    assert reads.take() == []
    for _, _block in A.row_blocks(100):
        pass
    assert sum(count for _, _, count in reads.take()) == 121 * CHUNK_BYTES
    A.matmul(np.ones(1024))
    A.rmatmul(np.ones(1000))
    assert reads.take() == []


def test_sparse_rows_are_checked_with_their_pointers_and_indices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 16,384 rows of 16 entries: a chunk holds 8,192 pointers, 512 rows of data, 1,024 rows of int32 indices.
    n = 16_384
    cols, pointers = np.tile(np.arange(16, dtype=np.int32), n), np.arange(0, 16 * n + 1, 16, dtype=np.int32)
    S = sp.csr_array((np.ones(16 * n), cols, pointers), shape=(n, 20))
    qi.save(tmp_path / "S", S)
    reads = Reads(monkeypatch)
    A = qi.open(tmp_path / "S")
    reads.take()
    A.row_lengths([8191])  # its end is the first pointer of the next chunk
    assert reads.take() == [("indptr", 128, 2 * CHUNK_BYTES)]
    A.rows([512, 600])
    assert reads.take() == [("data", 128 + CHUNK_BYTES, CHUNK_BYTES), ("indices", 128, CHUNK_BYTES)]
    A.sample_cols([1100], rng=0)
    assert reads.take() == [("data", 128 + 2 * CHUNK_BYTES, CHUNK_BYTES), ("indices", 128 + CHUNK_BYTES, CHUNK_BYTES)]


@pytest.mark.parametrize("n_rows", [1, 5, 400, 3000])
def test_the_chunks_of_many_ranges_are_those_that_hold_an_item(n_rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(n_rows)
    qi.save(tmp_path / "A", np.zeros((500, 5000), dtype=np.float32))
    for _ in range(20):
        part = qi.open(tmp_path / "A")._parts["data"]
        low = rng.integers(0, part.array.size, n_rows)
        high = np.minimum(low + rng.integers(0, 40_000, n_rows), part.array.size)
        part.check_ranges(low, high)
        bytes_used = {
            chunk
            for first, last in zip(4 * low, 4 * high, strict=True)
            if last > first
            for chunk in range(first // CHUNK_BYTES, (last - 1) // CHUNK_BYTES + 1)
        }
        assert set(np.flatnonzero(part._sound).tolist()) == bytes_used


def resident_kilobytes(file: str) -> int:
    """Return how much of a mapped file is in this process, as the system tells."""
    maps = Path("/proc/self/smaps").read_text()
    found = re.findall(rf"\S*/{re.escape(file)}\n(?:[A-Z]\w*: .*\n)*?Rss: +(\d+) kB", maps)
    assert found
    return sum(map(int, found))


needs_proc = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what is in memory")


@needs_proc
def test_checking_leaves_the_data_out_of_the_process(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", np.ones((1000, 1000)))
    A = qi.open(tmp_path / "A", verify="all")
    file = A._parts["data"].file.name
    assert resident_kilobytes(file) == 0
    assert A.rows(np.arange(1000)).sum() == 1e6
    assert resident_kilobytes(file) > 7000


def huge_saved_matrix(folder: Path, shape: tuple[int, int]) -> int:
    """Make a saved float32 matrix of zeros whose data and norms are holes; return the bytes that opening may read."""
    token, table, parts = "0123456789abcdef", [], {}
    folder.mkdir()
    for name, dtype, size in (("data", "<f4", shape), ("norms", "<f8", shape[:1])):
        part = Part(f"{name}-{token}.npy", dtype, size)
        with (folder / part.file).open("wb") as file:
            file.write(npy_header(dtype, size))
            file.truncate(part.file_bytes)
        whole, rest = divmod(part.n_bytes, CHUNK_BYTES)
        table += [zlib.crc32(bytes(CHUNK_BYTES))] * whole + [zlib.crc32(bytes(rest))] * (rest > 0)
        parts[name] = part
    checksums = Part(f"checksums-{token}.npy", "<u4", (len(table),))
    content = npy_header(checksums.dtype, checksums.shape) + np.array(table, dtype="<u4").tobytes()
    (folder / checksums.file).write_bytes(content)
    header = Header("dense", shape, "<f4", 0.0, 0.0, parts, checksums, hashlib.sha256(content).hexdigest())
    (folder / "header.json").write_bytes(render_header(header))
    return len(render_header(header)) + 2 * 128 + 128 + len(content)


@needs_proc
def test_opening_ten_gigabytes_reads_its_header_and_the_checksums_and_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = huge_saved_matrix(tmp_path / "A", (250_000, 10_000))
    assert 610_860 < expected < 612_500  # 4 bytes a chunk, 128 for each part, and the header
    qi.save(tmp_path / "small", QUARTERS)
    qi.open(tmp_path / "small")  # loads what Python loads at a first call
    reads = Reads(monkeypatch)
    before = characters_read()
    A = qi.open(tmp_path / "A")
    own = characters_read(after=True) - before
    assert expected <= own <= expected + 1
    counts: dict[str, int] = {}
    for name, _, count in reads.take():
        counts[name] = counts.get(name, 0) + count
    assert counts == {"data": 128, "norms": 128, "checksums": 128 + 610_604}
    assert A._parts["data"].n_checked == A._parts["norms"].n_checked == 0
    for part in A._parts.values():
        assert resident_kilobytes(part.file.name) == 0
    assert A.frobenius_norm == 0.0
    assert not A.rows([0, 249_999]).any()
    assert A.row_norms([5]).tolist() == [0.0]
    assert A._parts["data"].n_checked == 2


def characters_read(*, after: bool = False) -> int:
    """Return the bytes this process has read through system calls, before the next read."""
    descriptor = os.open("/proc/self/io", os.O_RDONLY)
    text = os.read(descriptor, 4096)
    os.close(descriptor)
    (count,) = re.findall(rb"rchar: (\d+)", text)
    return int(count) + (0 if after else len(text))


def test_the_names_are_public() -> None:
    assert {"open", "save"} <= set(qi.__all__)
    assert qi.open.__module__ == "qinspired.access.saved._reading"
