from __future__ import annotations

import gzip

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired.datasets import Ratings, UnreadableFileError, read, read_matrix

A = np.array([[1.5, 0.0, -2.0, 1.0], [0.25, 3.0, 0.0, 2.0]])
TEXTS = {
    "comma": "1.5,0,-2,1\n0.25,3,0,2\n",
    "header": "a,b,c,d\n1.5,0,-2,1\n0.25,3,0,2\n",
    "tab": "1.5\t0\t-2\t1\n0.25\t3\t0\t2\n",
    "spaces": "1.5 0  -2 1\n0.25 3 0 2\n",
    "semicolon": "1.5;0;-2;1\n0.25;3;0;2\n",
    "blank lines and a byte order mark": "\ufeff1.5,0,-2,1\r\n\r\n0.25,3,0,2\r\n\r\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("reader", [read_matrix, read])
def test_every_form_of_table_gives_the_same_matrix(tmp_path, text, compressed, reader):
    file = tmp_path / "A.csv"
    file.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    np.testing.assert_array_equal(reader(file), A)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.bool_, ">f8"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_numpy_files_keep_floats_and_widen_the_rest(tmp_path, dtype, suffix):
    file = tmp_path / f"A.{suffix}"
    array = A.astype(dtype)
    if suffix == "npy":
        np.save(file, array)
    else:
        np.savez_compressed(file, array)
    found = read_matrix(file)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == (np.float32 if dtype == np.float32 else np.float64)


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_sparse_files_come_back_as_csr_with_their_zeros(tmp_path, form):
    matrix = sp.coo_array((np.array([1.5, 0.0, 3.0]), (np.array([0, 0, 1]), np.array([0, 1, 1]))), shape=(2, 4))
    sp.save_npz(tmp_path / "A.npz", form(matrix))
    found = read(tmp_path / "A.npz")
    assert isinstance(found, sp.csr_array)
    assert found.nnz == 3
    np.testing.assert_array_equal(found.toarray(), matrix.toarray())


def test_single_column_is_a_matrix(tmp_path):
    file = tmp_path / "column.txt"
    file.write_text("1\n2\n3\n")
    assert read(file).shape == (3, 1)


def test_a_matrix_of_three_columns_is_read_where_asked(tmp_path):
    file = tmp_path / "A.csv"
    file.write_text("1,2,3\n4,5,6\n")
    assert isinstance(read(file), Ratings)
    np.testing.assert_array_equal(read_matrix(file), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("text", "ratings"),
    [
        ("user,item,rating\n1,2,3\n", True),
        ("rating;userId;movieId;when;how\n1;2;3;4;5\n", True),
        ("u,i,v\n1,2,3\n", True),
        ("ann,book,3\n", True),
        ("1,2,3\n4,5,6.5\n", True),
        ("1,2,3,881250949\n", True),
        ("1,2,3,4\n", False),
        ("1.5,2,3\n4,5,6\n", False),
        ("1,2,3\n4,-5,6\n", False),
        ("a,b,c\n0.1,0.2,0.3\n", False),
        ("1,2\n3,4\n", False),
    ],
)
def test_rule_between_ratings_and_matrix(tmp_path, text, ratings):
    file = tmp_path / "table.csv"
    file.write_text(text)
    assert isinstance(read(file), Ratings) is ratings


def numpy_bytes(tmp_path, array, **options):
    np.save(tmp_path / "whole.npy", array, **options)
    return (tmp_path / "whole.npy").read_bytes()


def test_bad_numpy_files_are_refused_with_their_path(tmp_path):
    whole = numpy_bytes(tmp_path, A)
    objects = numpy_bytes(tmp_path, np.array([[1, "a"]], dtype=object), allow_pickle=True)
    sp.save_npz(tmp_path / "sparse.npz", sp.csr_array(A))
    sparse = (tmp_path / "sparse.npz").read_bytes()
    cases = [
        ("A.npy", whole[:-9], "not a readable numpy file"),
        ("A.npy", whole[:20], "not a readable numpy file"),
        ("A.npy", b"1,2\n3,4\n", "not a readable numpy file"),
        ("A.npy", objects, "Python objects, which are never loaded"),
        ("A.npy", b"", "is empty"),
        ("A.npz", sparse[:-30], "not a readable numpy file"),
        ("A.npz", b"PK\x03\x04" + b"x" * 50, "not a readable numpy file"),
        ("A.npy", numpy_bytes(tmp_path, np.ones(3)), "must be 2-dimensional"),
        ("A.npy", numpy_bytes(tmp_path, np.array([[1.0, np.nan]])), r"must be finite.*\[0, 1\]"),
        ("A.npy", numpy_bytes(tmp_path, np.array([["a", "b"]])), "must be numeric"),
        ("A.npy", numpy_bytes(tmp_path, np.eye(2) * 1j), "must be real"),
        ("A.npy", numpy_bytes(tmp_path, np.empty((0, 3))), "at least one row"),
    ]
    for name, content, match in cases:
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(UnreadableFileError, match=match) as caught:
            read_matrix(file)
        assert str(file) in str(caught.value)


def test_archive_of_several_arrays_is_refused_with_their_names(tmp_path):
    np.savez(tmp_path / "two.npz", first=A, second=A)
    with pytest.raises(UnreadableFileError, match="it holds first, second"):
        read_matrix(tmp_path / "two.npz")


FAULTS = {
    "ragged": (b"1,2\n3,4,5\n", "as many in each line"),
    "text": (b"1,2\n3,x\n", "as many in each line"),
    "missing field": (b"1,2\n3,\n", "as many in each line"),
    "nan": (b"1,2\n3,nan\n", "must be finite"),
    "header only": (b"a,b\n", "holds no numbers"),
    "blank": (b"\n\n", "holds no numbers"),
    "empty": (b"", "is empty"),
    "binary": (bytes(range(256)), "is binary|not UTF-8"),
    "latin-1 later": (b"1,2\n" * 10 + b"\xe9,1\n", "not UTF-8"),
    "cut gzip": (gzip.compress(b"1,2\n" * 9999)[:-12], "damaged or cut off"),
}


@pytest.mark.parametrize(("content", "match"), FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("reader", [read_matrix, read])
def test_bad_table_is_one_error_with_its_path(tmp_path, content, match, reader):
    file = tmp_path / "A.csv"
    file.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=match) as caught:
        reader(file)
    assert str(file) in str(caught.value)


def test_missing_file_directory_and_parquet_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_matrix(tmp_path / "absent.npy")
    with pytest.raises(UnreadableFileError, match="is a directory"):
        read_matrix(tmp_path)
    (tmp_path / "A.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnreadableFileError, match="Use `read_ratings`"):
        read_matrix(tmp_path / "A.parquet")


def test_real_files_have_their_known_shapes(real_data):
    assert read(real_data / "xanadu" / "linear_A.npy").shape == (500, 250)
    assert read(real_data / "california-housing" / "cal_housing.data.gz").shape == (20_640, 9)
