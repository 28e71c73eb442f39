from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest

from qinspired.datasets import UnreadableFileError, read, read_ratings

EXPECTED = np.array([[4.5, 3.0], [0.0, 2.0]])
TEXTS = {
    "comma": "1,10,4.5\n1,20,3\n2,20,2\n2,10,0\n",
    "tab and time": "1\t10\t4.5\t881250949\n1\t20\t3\t881250949\n2\t20\t2\t881250949\n2\t10\t0\t881250949\n",
    "header": "userId,movieId,rating\n1,10,4.5\n1,20,3\n2,20,2\n2,10,0\n",
    "named columns": "rating,when,item_id:token,user_id:token\n4.5,x,10,1\n3,x,20,1\n2,,20,2\n0,x,10,2\n",
    "unknown header": "a,b,c\n1,10,4.5\n1,20,3\n2,20,2\n2,10,0\n",
    "double colon": "1::10::4.5::9\n1::20::3::9\n2::20::2::9\n2::10::0::9\n",
    "semicolon": "1;10;4.5\n1;20;3\n2;20;2\n2;10;0\n",
    "spaces": "1 10 4.5\n1  20 3\n 2 20 2\n2 10 0\n",
    "quotes": '"1","10","4.5"\n"1","20","3"\n"2","20","2"\n"2","10","0"\n',
    "windows and blank lines": "\ufeff1,10,4.5\r\n\r\n1,20,3\r\n2,20,2\r\n2,10,0\r\n\r\n",
    "no last line end": "1,10,4.5\n1,20,3\n2,20,2\n2,10,0",
    "repeats, of which the last counts": "1,10,1\n1,20,3\n2,20,2\n2,10,0\n1,10,2\n1,10,4.5\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("compressed", [False, True])
def test_every_form_of_table_gives_the_same_matrix(tmp_path, text, compressed):
    file = tmp_path / ("table.csv.gz" if compressed else "table.csv")
    file.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    data = read_ratings(file)
    np.testing.assert_array_equal(data.matrix.toarray(), EXPECTED)
    assert data.matrix.nnz == 4  # the zero stays stored
    assert data.user_ids.tolist() == [1, 2]
    assert data.item_ids.tolist() == [10, 20]
    assert data.user_ids.dtype == np.int64
    assert data.matrix.has_canonical_format
    assert data.name == file.name


def test_ids_that_are_not_canonical_integers_stay_strings(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("zoë,007,1\nann,7,2\nann,-3,3\n", encoding="utf-8")
    data = read_ratings(file)
    assert data.user_ids.tolist() == ["ann", "zoë"]
    assert data.item_ids.tolist() == ["-3", "007", "7"]
    np.testing.assert_array_equal(data.matrix.toarray(), [[3, 0, 2], [0, 1, 0]])


def test_quoted_ids_may_hold_the_delimiter(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text('"Doe, Jane","a ""b""",1\n')
    data = read_ratings(file)
    assert data.user_ids.tolist() == ["Doe, Jane"]
    assert data.item_ids.tolist() == ['a "b"']


def test_chunks_of_lines_do_not_change_the_matrix(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    lines = [f"{u},{i},{v}" for u, i, v in rng.integers(0, 30, (500, 3))]
    file = tmp_path / "table.csv"
    file.write_text("\n".join(lines))
    whole = read_ratings(file)
    monkeypatch.setattr("qinspired.datasets._triples._CHUNK_LINES", 7)
    np.testing.assert_array_equal(read_ratings(file).matrix.toarray(), whole.matrix.toarray())


@pytest.mark.parametrize("strings", [False, True])
def test_parquet_gives_the_same_matrix(tmp_path, strings):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    users, items = ["1", "1", "2", "2"], ["10", "20", "20", "10"]
    columns = {
        "rating": pa.array([4.5, 3.0, 2.0, 0.0]),
        "user": pa.array(users).dictionary_encode() if strings else pa.array([int(u) for u in users]),
        "item": pa.array(items) if strings else pa.array([int(i) for i in items], pa.uint16()),
    }
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    data = read_ratings(tmp_path / "table.parquet")
    np.testing.assert_array_equal(data.matrix.toarray(), EXPECTED)
    assert data.item_ids.tolist() == [10, 20]
    assert data.matrix.nnz == 4


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"user": [1, None], "item": [1, 2], "rating": [1.0, 2.0]}, "without nulls"),
        ({"user": [1.5, 2.5], "item": [1, 2], "rating": [1.0, 2.0]}, "integer or string ids"),
        ({"user": [1, 2], "item": [1, 2], "rating": ["a", "b"]}, "must hold numbers"),
        ({"user": [1, 2], "item": [1, 2], "rating": [1.0, float("nan")]}, "must be finite"),
        ({"user": [1, 2], "item": [1, 2]}, "must have the columns"),
    ],
)
def test_bad_parquet_columns_are_refused(tmp_path, columns, match):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "table.parquet"
    pq.write_table(pa.table(columns), file)
    with pytest.raises(UnreadableFileError, match=match):
        read_ratings(file)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    file = tmp_path / "table.parquet"
    file.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install \"qinspired\[data\]\""):
        read_ratings(file)


FAULTS = {
    "short line": (b"1,10,4\n2,20\n", "line 2 must have user, item and value; got 2 field"),
    "text value": (b"1,10,4\n2,20,x\n", "line 2 must have a finite number as its value; got 'x'"),
    "nan": (b"1,10,4\n2,20,nan\n", "line 2 must have a finite number"),
    "infinite": (b"u,i,v\n1,10,4\n2,20,inf\n", "line 3 must have a finite number"),
    "empty value": (b"1,10,4\n2,20,\n", "line 2 must have a finite number"),
    "empty id": (b"1,10,4\n,20,1\n", "line 2 has an empty id"),
    "header only": (b"user,item,rating\n", "holds no rating"),
    "empty": (b"", "is empty"),
    "blank": (b"\n\n\n", "holds no rating"),
    "binary": (bytes(range(256)) * 10, "is binary|not UTF-8"),
    "latin-1": ("1,é,3\n".encode("latin-1"), "not UTF-8"),
    "nul": (b"1,2,3\n" + b"4,\0,5\n", "is binary"),
    "cut gzip": (gzip.compress(b"1,10,4\n" * 5000)[:-20], "damaged or cut off"),
    "flipped gzip": (gzip.compress(b"1,10,4\n" * 5000)[:30] + b"\xff" * 40, "damaged or cut off|not UTF-8"),
    "endless id": (b"1," + b"9" * 2000 + b",3\n", "longer than 1000 characters"),
}


@pytest.mark.parametrize(("content", "match"), FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("reader", [read_ratings, read])
def test_bad_file_is_one_error_with_its_path(tmp_path, content, match, reader):
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    # The general reader may take a broken table for a matrix; its error is of the same kind.
    with pytest.raises(UnreadableFileError, match=match if reader is read_ratings else None) as caught:
        reader(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("reader", [read_ratings, read])
def test_missing_file_and_directory_are_told_apart(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match="no such file"):
        reader(tmp_path / "absent.csv")
    with pytest.raises(UnreadableFileError, match="is a directory"):
        reader(tmp_path)
    with pytest.raises(TypeError, match="`path` must be"):
        reader(3)


def test_table_of_two_columns_is_no_ratings(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("1,10\n2,20\n")
    with pytest.raises(UnreadableFileError, match="line 1 must have user, item and value; got 2 field"):
        read_ratings(file)


def test_broken_parquet_and_matrix_files_are_refused(tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(UnreadableFileError, match="not a readable Parquet"):
        read_ratings(broken)
    np.save(tmp_path / "matrix.npy", np.eye(2))
    with pytest.raises(UnreadableFileError, match="Use `read_matrix`"):
        read_ratings(tmp_path / "matrix.npy")


def test_movielens_has_its_known_counts(real_data):
    data = read(real_data / "movielens-100k" / "u.data.gz")
    assert data.matrix.shape == (943, 1682)
    assert data.matrix.nnz == 100_000
    assert np.linalg.norm(data.matrix.data) ** 2 == pytest.approx(np.sum(data.matrix.data**2))
    data = read(real_data / "movielens-latest-small-2018" / "ratings.csv.gz")
    assert data.matrix.shape == (610, 9724)
    assert data.matrix.nnz == 100_836
    assert set(np.unique(data.matrix.data)) == set(np.arange(1, 11) / 2)


def test_jester_zeros_survive(real_data, tmp_path):
    with np.load(real_data / "jester-1" / "jester.npz", allow_pickle=False) as file:
        few = slice(0, 20_000)
        user, item, value = file["user"][few], file["item"][few], file["rating_x100"][few] / 100
    path = tmp_path / "jester.csv"
    np.savetxt(path, np.column_stack((user, item, value)), fmt=["%d", "%d", "%.2f"], delimiter=",")
    data = read_ratings(path)
    assert data.matrix.nnz == 20_000
    assert np.sum(data.matrix.data == 0) == np.sum(value == 0) > 0
