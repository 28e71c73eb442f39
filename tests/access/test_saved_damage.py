from __future__ import annotations

import hashlib
import json
import os
import pickle
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved_files import ACCESSES, KINDS, NEW, OLD, assert_tidy, both_kinds, dense, flip, part_file, use_all
from zoo import QUARTERS

import qinspired as qi
from qinspired.access import CSRMatrix, DenseMatrix, RowReader, RowStorage
from qinspired.access.saved._format import CHUNK_BYTES, NPY_HEADER_BYTES
from qinspired.exceptions import CorruptFileError, ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("_without_waiting_for_the_disk")

OF_NORMS = {"row_norms", "all row_norms", "sample_rows"}
READS = {
    "data": set(ACCESSES) - OF_NORMS - {"row_lengths"},
    "indices": set(ACCESSES) - OF_NORMS - {"row_lengths"},
    "indptr": set(ACCESSES) - OF_NORMS,
    "norms": OF_NORMS,
}
PARTS = [("dense", part) for part in ("data", "norms")] + [
    ("csr", part) for part in ("data", "indices", "indptr", "norms")
]


def seal(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the fields of a header and give it the checksum that belongs to them."""
    fields = json.loads((folder / "header.json").read_text())
    change(fields)
    blank = json.dumps(fields | {"sha256": "0" * 64})
    digest = hashlib.sha256(blank.encode()).hexdigest()
    (folder / "header.json").write_text(blank.replace("0" * 64, digest))


def forge(folder: Path, name: str, values: np.ndarray) -> None:
    """Put other values into a part, with checksums that belong to them."""
    fields = json.loads((folder / "header.json").read_text())
    table = bytearray()
    for part in fields["parts"]:
        file = folder / part["file"]
        if part["name"] == name:
            file.write_bytes(file.read_bytes()[:NPY_HEADER_BYTES] + values.astype(part["dtype"]).tobytes())
        content = file.read_bytes()[NPY_HEADER_BYTES:]
        for start in range(0, len(content), CHUNK_BYTES):
            table += zlib.crc32(content[start : start + CHUNK_BYTES]).to_bytes(4, "little")
    file = folder / fields["checksums"]["file"]
    content = file.read_bytes()[:NPY_HEADER_BYTES] + bytes(table)
    file.write_bytes(content)
    seal(folder, lambda fields: fields["checksums"].update(sha256=hashlib.sha256(content).hexdigest()))


def test_every_way_to_the_entries_is_among_those_tried_here() -> None:
    harmless = {
        "shape",
        "dtype",
        "frobenius_norm",
        "is_sparse",
        "n_stored",
        "entry_bytes",
        "index_seconds",
        "has_index",
    }
    harmless |= {"is_in_memory", "index_with_gradient"}  # the latter reads nothing where there is an index
    for storage in (qi.SampleQueryMatrix, RowReader, RowStorage, DenseMatrix, CSRMatrix):
        public = {name for name in vars(storage) if not name.startswith("_")}
        assert public - harmless <= set(ACCESSES), storage


@both_kinds
def test_a_bit_flipped_in_any_byte_of_any_file_is_found(kind: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", KINDS[kind](QUARTERS))
    for file in sorted((tmp_path / "A").iterdir()):
        whole = file.read_bytes()
        for place in range(0, len(whole), 1 if kind == "csr" else 5):
            flip(file, place, bit=place % 8)
            with pytest.raises(CorruptFileError, match=str(tmp_path / "A")):
                use_all(tmp_path / "A")
            if place % 16 == 0:
                with pytest.raises(CorruptFileError, match=str(tmp_path / "A")):
                    qi.open(tmp_path / "A", verify="all")
            file.write_bytes(whole)
    use_all(tmp_path / "A")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)))
def test_a_random_bit_flipped_in_a_random_file_never_changes_an_answer(
    data: st.DataObject, kind: str, tmp_path: Path
) -> None:
    qi.save(tmp_path / "A", KINDS[kind](QUARTERS))
    file = data.draw(st.sampled_from(sorted((tmp_path / "A").iterdir())))
    flip(file, data.draw(st.integers(0, file.stat().st_size - 1)), data.draw(st.integers(0, 7)))
    with pytest.raises(CorruptFileError):
        use_all(tmp_path / "A")


@pytest.mark.parametrize(("kind", "part"), PARTS)
@pytest.mark.parametrize("access", ACCESSES)
def test_an_access_finds_a_flipped_bit_in_what_it_reads_and_only_there(
    kind: str, part: str, access: str, long_matrix: np.ndarray, tmp_path: Path
) -> None:
    qi.save(tmp_path / "A", KINDS[kind](long_matrix))
    file = part_file(tmp_path / "A", part)
    middle = file.stat().st_size // 2  # in or near row 2500
    flip(file, middle, bit=5)
    A, rows = qi.open(tmp_path / "A"), np.arange(2490, 2510)
    if access not in READS[part]:
        ACCESSES[access](A, rows)
        return
    begin = NPY_HEADER_BYTES + (middle - NPY_HEADER_BYTES) // CHUNK_BYTES * CHUNK_BYTES
    for _ in range(2):  # the second time too
        with pytest.raises(CorruptFileError, match=rf"{file}: bytes {begin} to \d+ do not match their checksum"):
            ACCESSES[access](A, rows)
    if access in {"rows", "query", "sample_cols"} and part == "data":
        ACCESSES[access](A, np.arange(3))


@both_kinds
@pytest.mark.parametrize("rows_per_block", [1, 2, 3])
def test_each_block_of_rows_that_are_a_chunk_each_is_checked_to_its_end(
    kind: str, rows_per_block: int, tmp_path: Path
) -> None:
    X = np.ones((5, CHUNK_BYTES // 8))
    for row in range(5):
        qi.save(tmp_path / "A", KINDS[kind](X))
        flip(part_file(tmp_path / "A", "data"), NPY_HEADER_BYTES + row * CHUNK_BYTES + 8)
        blocks = qi.open(tmp_path / "A").row_blocks(rows_per_block)
        for _ in range(row // rows_per_block):
            next(blocks)
        with pytest.raises(CorruptFileError, match="do not match their checksum"):
            next(blocks)


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_a_flipped_bit_in_any_chunk_is_found_at_opening_if_asked(
    kind: str, part: str, long_matrix: np.ndarray, tmp_path: Path
) -> None:
    qi.save(tmp_path / "A", KINDS[kind](long_matrix))
    file = part_file(tmp_path / "A", part)
    size = file.stat().st_size
    starts = range(NPY_HEADER_BYTES, size, CHUNK_BYTES)
    for place in (*starts, *(start - 1 for start in starts), size - 1):
        flip(file, place)
        with pytest.raises(CorruptFileError, match=str(file)):
            qi.open(tmp_path / "A", verify="all")
        flip(file, place)
    qi.open(tmp_path / "A", verify="all")


@both_kinds
def test_altered_entries_go_unseen_if_nothing_is_to_be_checked(kind: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", KINDS[kind](QUARTERS))
    flip(part_file(tmp_path / "A", "data"), NPY_HEADER_BYTES + 6, bit=0)
    A = qi.open(tmp_path / "A", verify="none")
    assert (dense(A) != QUARTERS).sum() == 1


@pytest.mark.parametrize("verify", ["read", "none"])
@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("indices", 20, 12),
        ("indices", 20, -1),
        ("indices", 20, 2**31 - 1),
        ("indptr", 4, -1),
        ("indptr", 4, 10**15),
        ("indptr", 2, 0),
        ("indptr", 9, 10**15),
    ],
)
def test_indices_out_of_range_never_reach_a_kernel_even_with_checksums_to_match(
    part: str, place: int, value: int, verify: str, tmp_path: Path
) -> None:
    qi.save(tmp_path / "A", sp.csr_array(QUARTERS))
    values = np.load(part_file(tmp_path / "A", part))
    values[place] = value
    forge(tmp_path / "A", part, values)
    for access in READS[part]:
        with pytest.raises(CorruptFileError, match=f"{part}-.*(hold a value outside|ends before it starts)"):
            ACCESSES[access](qi.open(tmp_path / "A", verify=verify), np.array([0, 1, 2, 4, 5, 6, 7, 8]))


@pytest.mark.parametrize("verify", ["read", "none"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e300])
def test_norms_that_cannot_be_are_refused_even_with_checksums_to_match(
    value: float, verify: str, tmp_path: Path
) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    norms = qi.as_sq_matrix(QUARTERS).row_norms()
    norms[5] = value
    forge(tmp_path / "A", "norms", norms)
    for access in READS["norms"]:
        with pytest.raises(CorruptFileError, match=r"norms-.*hold a value outside"):
            ACCESSES[access](qi.open(tmp_path / "A", verify=verify), np.arange(9))


@pytest.mark.parametrize("part", ["indices", "indptr", "norms", "data"])
def test_flipped_bits_that_are_not_checked_never_end_the_process(part: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", sp.csr_array(QUARTERS))
    file = part_file(tmp_path / "A", part)
    for place in range(NPY_HEADER_BYTES, file.stat().st_size):
        flip(file, place, bit=7 - place % 8)
        for name in ("rows", "query", "sample_cols", "row_lengths", "row_norms", "sample_rows"):
            with suppress(CorruptFileError, ZeroMassError), np.errstate(all="ignore"):
                ACCESSES[name](qi.open(tmp_path / "A", verify="none"), np.array([0, 1, 2, 4, 5, 6, 7, 8]))
        flip(file, place, bit=7 - place % 8)


@pytest.mark.parametrize(("kind", "part"), [*PARTS, ("dense", "checksums"), ("csr", "header")])
def test_a_truncated_or_longer_part_is_refused_at_opening(kind: str, part: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", KINDS[kind](QUARTERS))
    file = part_file(tmp_path / "A", part)
    whole = file.read_bytes()
    for content in (b"", whole[:5], whole[:100], whole[:128], whole[:-1], whole + b"\0", whole + whole):
        file.write_bytes(content)
        with pytest.raises(CorruptFileError, match=rf"{file}: .*\. (Restore|Give) "):
            qi.open(tmp_path / "A")


def test_a_part_truncated_after_it_was_opened_is_an_error_and_no_crash(long_matrix: np.ndarray, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", long_matrix)
    A = qi.open(tmp_path / "A")
    file = part_file(tmp_path / "A", "data")
    os.truncate(file, 200_000)
    A.rows([0])
    with pytest.raises(
        CorruptFileError, match=rf"{file}: has 200000 bytes, but bytes \d+ to 480128 are needed; the file was truncated"
    ):
        A.rows([4999])


@pytest.mark.parametrize(("kind", "part"), [*PARTS, ("dense", "checksums")])
def test_a_missing_part_is_named(kind: str, part: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", KINDS[kind](QUARTERS))
    file = part_file(tmp_path / "A", part)
    file.unlink()
    with pytest.raises(CorruptFileError, match=rf"{file}: is missing, but header.json names it\. Restore"):
        qi.open(tmp_path / "A")


def write_npz(folder: Path) -> Path:
    np.savez(folder / "A.npz", X=QUARTERS)
    return folder / "A.npz"


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return folder / Path(name).parts[0]

    return build


FOREIGN = {
    "an npz file": write_npz,
    "a text file": write("A.txt", b"1 2\n3 4\n"),
    "an empty file": write("A", b""),
    "a directory without header": write("A/data.npy", b""),
    "JSON of something else": write("A/header.json", b'{"format": "zarr"}'),
    "a JSON list": write("A/header.json", b"[1, 2]"),
    "a JSON number": write("A/header.json", b"1"),
    "deep JSON": write("A/header.json", b"[" * 100_000),
    "bytes that are no text": write("A/header.json", bytes(range(256))),
    "an empty header": write("A/header.json", b""),
    "a header that is a directory": write("A/header.json/x", b""),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_saved_matrix_is_neither_opened_nor_overwritten(what: str, tmp_path: Path) -> None:
    path = FOREIGN[what](tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(CorruptFileError, match=rf"{path}.*: .*(Give|Read|Restore) "):
        qi.open(path)
    with pytest.raises(FileExistsError, match=f"{path}"):
        qi.save(path, OLD)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_an_empty_directory_is_refused_for_opening_and_taken_for_saving(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match=r"has no header\.json, so it is no saved matrix"):
        qi.open(tmp_path)
    qi.save(tmp_path, OLD)
    assert_tidy(tmp_path)


def test_a_path_that_does_not_exist_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no saved matrix; make one with `qinspired.save`.*missing"):
        qi.open(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/below"):
        qi.open(tmp_path / "file" / "below")


def test_files_of_others_beside_a_saved_matrix_stay(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", OLD)
    (tmp_path / "A" / "README").write_text("mine")
    qi.save(tmp_path / "A", NEW)
    assert (tmp_path / "A" / "README").read_text() == "mine"
    np.testing.assert_array_equal(dense(qi.open(tmp_path / "A")), NEW)


@both_kinds
@pytest.mark.parametrize("part", ["header", "data", "norms", "checksums"])
def test_a_damaged_matrix_can_be_saved_anew(kind: str, part: str, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", KINDS[kind](OLD))
    part_file(tmp_path / "A", part).write_bytes(b"garbage")
    qi.save(tmp_path / "A", NEW)
    np.testing.assert_array_equal(dense(qi.open(tmp_path / "A", verify="all")), NEW)
    assert_tidy(tmp_path / "A")


def test_a_newer_version_says_what_wrote_it(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", OLD)
    seal(tmp_path / "A", lambda fields: fields.update(format_version=2, written_by="qinspired 9.1", parts="elsewhere"))
    with pytest.raises(
        CorruptFileError, match=r"format version 2, written by qinspired 9\.1; .* up to 1\. Upgrade qinspired"
    ):
        qi.open(tmp_path / "A")


def edit(part: str, **fields: Any) -> Callable[[dict[str, Any]], Any]:
    """Change fields of one part in the header."""
    return lambda header: next(one for one in header["parts"] if one["name"] == part).update(fields)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("shape"),
        lambda header: header.pop("parts"),
        lambda header: header.pop("checksums"),
        lambda header: header.update(shape=[12, 9]),
        lambda header: header.update(shape=[9, 12, 1]),
        lambda header: header.update(shape=[0, 12]),
        lambda header: header.update(shape=[9.0, 12]),
        lambda header: header.update(shape="9"),
        lambda header: header.update(dtype="<f4"),
        lambda header: header.update(dtype="|O"),
        lambda header: header.update(kind="dense"),
        lambda header: header.update(kind="coo"),
        lambda header: header.update(format_version=0),
        lambda header: header.update(format_version="1"),
        lambda header: header.update(chunk_bytes=1024),
        lambda header: header.update(frobenius_norm=float("nan")),
        lambda header: header.update(largest_norm=float("inf")),
        lambda header: header.update(largest_norm=-1.0),
        lambda header: header.update(largest_norm=None),
        lambda header: header["parts"].pop(),
        lambda header: header["parts"].reverse(),
        lambda header: header["checksums"].update(shape=[5]),
        lambda header: header["checksums"].update(sha256="0"),
        edit("data", dtype="|O", bytes=0),
        edit("data", dtype=">f8"),
        edit("data", shape=[10**18], bytes=128 + 8 * 10**18),
        edit("data", shape=[2]),
        edit("data", bytes=7),
        edit("data", file="../data-0123456789abcdef.npy"),
        edit("data", file="/etc/passwd"),
        edit("data", file=3),
        edit("indices", dtype="<u4"),
        edit("indptr", dtype="<i4"),
        edit("norms", shape=[8], bytes=128 + 64),
        edit("norms", name="data"),
    ],
    ids=range(35),
)
def test_a_header_that_disagrees_with_itself_is_refused(change: Any, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", sp.csr_array(QUARTERS))
    seal(tmp_path / "A", lambda header: header)
    use_all(tmp_path / "A")
    seal(tmp_path / "A", change)
    with pytest.raises(CorruptFileError, match=str(tmp_path / "A")):
        qi.open(tmp_path / "A")


def test_a_part_outside_the_directory_is_refused_even_if_it_fits(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", sp.csr_array(QUARTERS))
    file = part_file(tmp_path / "A", "data")
    file.rename(tmp_path / file.name)
    for name in (f"../{file.name}", str(tmp_path / file.name)):
        seal(tmp_path / "A", edit("data", file=name))
        with pytest.raises(CorruptFileError, match=r"is no name of a part"):
            qi.open(tmp_path / "A")


def test_an_altered_table_of_checksums_is_named_at_opening(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    file = part_file(tmp_path / "A", "checksums")
    flip(file, NPY_HEADER_BYTES + 1)
    with pytest.raises(CorruptFileError, match=rf"{file}: the table of checksums was altered\. Restore"):
        qi.open(tmp_path / "A")


class Bomb:
    """Unpickling it would be seen."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("unpickled",)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", QUARTERS)
    file = part_file(tmp_path / "A", "data")
    with file.open("wb") as opened:
        np.save(opened, np.array([[Bomb()]], dtype=object), allow_pickle=True)
    with pytest.raises(CorruptFileError, match=str(file)):
        qi.open(tmp_path / "A")
    (tmp_path / "A" / "header.json").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CorruptFileError, match=r"header\.json"):
        qi.open(tmp_path / "A")
