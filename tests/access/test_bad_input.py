from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from zoo import QUARTERS

import qinspired as qi
from qinspired.exceptions import ZeroMassError

if TYPE_CHECKING:
    from pathlib import Path


def with_entry(value: float) -> np.ndarray:
    X = np.ones((4, 6))
    X[2, 5] = value
    X[3, 0] = value
    return X


def csr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Any:
    """Return a CSR array with whatever indices are given; scipy looks at few of them."""
    matrix = sp.csr_array(shape)
    matrix.data, matrix.indices, matrix.indptr = (np.array(part) for part in (data, indices, indptr))
    return matrix


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("build", [np.array, sp.csr_array, sp.coo_array], ids=["dense", "csr", "coo"])
def test_the_first_nan_or_infinity_is_named_with_its_place(build: Any, value: float) -> None:
    with pytest.raises(ValueError, match=rf"`A` must be finite.*A\[2, 5\] = {value}\. Impute or drop it\."):
        qi.as_sq_matrix(build(with_entry(value)))


def test_a_frobenius_norm_beyond_the_largest_float_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`A` must have a Frobenius norm below 1.8e308; .* Divide the matrix"):
        qi.as_sq_matrix(np.full((4, 1), 1.5e308))
    assert qi.as_sq_matrix(np.full((4, 1), 0.75e308)).frobenius_norm == 1.5e308


def test_a_norm_beyond_the_largest_float_is_refused_with_its_row() -> None:
    with pytest.raises(ValueError, match=r"row norms below 1.8e308; the norm of row 1 overflows. Divide"):
        qi.as_sq_matrix(np.array([[1.0, 1.0], [1.7e308, 1.7e308]]))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones((2, 2), dtype=complex), ValueError, r"`A` must be real; got complex dtype complex128"),
        (sp.csr_array(np.ones((2, 2), dtype=complex)), ValueError, r"`A` must be real"),
        (np.array([["1", "2"]]), ValueError, r"`A` must be numeric.*astype\(float\)"),
        (np.array([["a", "b"]], dtype=object), ValueError, r"`A` must be numeric.*dtype object"),
        (np.array([[1.0, None]]), ValueError, r"`A` must be finite.*A\[0, 1\] = nan"),
        (np.ones((2, 2), dtype="datetime64[s]"), TypeError, r"`A` must be numeric.*Convert times to numbers"),
        (
            np.ones((2, 2), dtype="timedelta64[s]"),
            TypeError,
            r"`A` must be numeric.*Convert times to numbers",
        ),
        (np.ma.masked_equal(np.ones((2, 2)), 3), TypeError, r"`A` must not be a masked array; fill or drop"),
        (
            np.asmatrix(np.ones((2, 2))),
            TypeError,
            r"`A` must not be a numpy.matrix; convert it with `numpy.asarray`",
        ),
        (
            "matrix.npy",
            FileNotFoundError,
            r"there is no saved matrix; make one with `qinspired.save`",
        ),
        ([[1.0, 2.0], [3.0]], ValueError, r"`A` must be a rectangular array of numbers"),
        (np.ones(3), ValueError, r"`A` must be 2-dimensional; got shape \(3,\). Reshape"),
        (sp.coo_array(np.ones(3)), ValueError, r"`A` must be 2-dimensional; got shape \(3,\)"),
        (np.ones((2, 2, 2)), ValueError, r"`A` must be 2-dimensional; got shape \(2, 2, 2\)"),
        (3.0, ValueError, r"`A` must be 2-dimensional; got shape \(\)"),
        (None, ValueError, r"`A` must be 2-dimensional"),
        (np.ones((0, 3)), ValueError, r"`A` must have at least one row and one column; got shape \(0, 3\)"),
        (np.ones((3, 0)), ValueError, r"`A` must have at least one row and one column; got shape \(3, 0\)"),
        (np.ones((0, 0)), ValueError, r"`A` must have at least one row and one column"),
        (sp.csr_array((0, 3)), ValueError, r"`A` must have at least one row and one column"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type | str) else None,
)
def test_what_is_no_matrix_of_real_numbers_is_refused(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.as_sq_matrix(X)


@pytest.mark.parametrize(
    ("indices", "indptr", "message"),
    [
        ([0, 3], [0, 1, 2], r"indices must be in \[0, 3\), got 3"),
        ([0, -1], [0, 1, 2], r"indices must be in \[0, 3\), got -1"),
        ([0, 1], [0, 2, 1], r"`indptr` must start at 0, never decrease and end at the number of stored"),
    ],
)
def test_csr_indices_out_of_range_are_refused_before_any_kernel(indices: Any, indptr: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"`A` must be a valid CSR matrix; .*" + message):
        qi.as_sq_matrix(csr([1.0, 2.0], indices, indptr, (2, 3)))


BROKEN = [
    ([0, 1], [1, 1, 2]),
    ([0, 1], [0, 1, 5]),
    ([0, 1], [0, 2]),
    ([0, 1, 2], [0, 1, 2]),
]


@pytest.mark.parametrize(("indices", "indptr"), BROKEN)
def test_a_broken_csr_matrix_is_refused(indices: Any, indptr: Any) -> None:
    with pytest.raises(ValueError, match="ind"):
        qi.as_sq_matrix(csr([1.0, 2.0], indices, indptr, (2, 3)))


@pytest.mark.parametrize("dtype", [np.float64, np.int8])
@pytest.mark.parametrize("place", [0, 13, 4999])
@pytest.mark.parametrize("bad", [-1, 100, 2**31 - 1, -(2**31)])
def test_one_index_out_of_range_is_found_among_many(bad: int, place: int, dtype: type) -> None:
    matrix = csr(np.ones(5000, dtype), np.tile(np.arange(5, dtype=np.int32), 1000), np.arange(0, 5001, 5), (1000, 100))
    matrix.indices[place] = bad
    with pytest.raises(
        ValueError, match=rf"`A` must be a valid CSR matrix; its indices must be in \[0, 100\), got {bad}"
    ):
        qi.as_sq_matrix(matrix)


def test_indices_that_are_no_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="`indices` and `indptr` must be vectors of integers, got dtype float64"):
        qi.as_sq_matrix(csr([1.0, 2.0], [0.0, 1.0], [0, 1, 2], (2, 3)))
    with pytest.raises(ValueError, match="`indices` and `indptr` must be vectors of integers"):
        qi.as_sq_matrix(csr([1.0, 2.0], [0, 1], [[0, 1, 2]], (2, 3)))


@pytest.mark.parametrize("index_type", [np.int8, np.uint32, ">i4"])
def test_indices_of_other_integer_types_are_converted(index_type: Any) -> None:
    matrix = csr([3.0, 4.0], np.array([0, 2], dtype=index_type), np.array([0, 2, 2], dtype=index_type), (2, 3))
    assert qi.as_sq_matrix(matrix).row_norms().tolist() == [5.0, 0.0]


class _Foreign:
    """Has one method of another library's matrix."""

    def __init__(self, method: str) -> None:
        setattr(self, method, dict)


@pytest.mark.parametrize(
    ("method", "remedy"),
    [("tocsr", r"\.tocsr\(\)"), ("to_scipy_sparse", r"\.to_scipy_sparse\(\)"), ("collect", r"\.collect\(\)")],
)
def test_the_matrix_of_another_library_is_refused_with_its_remedy(method: str, remedy: str) -> None:
    with pytest.raises(TypeError, match=rf"`A` must be a numpy array.*got .*_Foreign\. Convert it with `{remedy}`"):
        qi.as_sq_matrix(_Foreign(method))


def test_a_dask_graph_is_refused_unless_it_is_computed() -> None:
    with pytest.raises(TypeError, match=r"If it fits in memory, convert it with `\.compute\(\)`"):
        qi.as_sq_matrix(_Foreign("__dask_graph__"))


def test_integers_beyond_the_largest_float_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`A` must be numeric; .* \(int too large to convert to float\)"):
        qi.as_sq_matrix([[10**400, 1], [1, 2]])


def test_what_numpy_cannot_convert_is_refused_by_its_type() -> None:
    class Stubborn:
        def __array__(self, *args: Any, **options: Any) -> Any:
            raise TypeError("no")

    with pytest.raises(TypeError, match=r"got .*Stubborn\. It could not be converted \(no\)"):
        qi.as_sq_matrix(Stubborn())
    with pytest.raises(TypeError, match=r"got builtins\.object\. Convert it with its own method first"):
        qi.as_sq_matrix(object())


def test_csc_indices_out_of_range_are_refused() -> None:
    broken = sp.csc_array((np.ones(3), np.array([0, 1, 2]), np.array([0, 1, 2, 3])), shape=(2, 3))
    with pytest.raises(ValueError, match="`A` must be a valid CSC matrix"):
        qi.as_sq_matrix(broken)


@pytest.mark.parametrize("n_draws", [-1, -(2**40)])
def test_a_negative_number_of_draws_is_refused(n_draws: int) -> None:
    with pytest.raises(ValueError, match=rf"`n_draws` must be an integer >= 0; got {n_draws}\."):
        qi.as_sq_matrix(QUARTERS).sample_rows(n_draws, rng=0)
    with pytest.raises(ValueError, match=r"`n_draws` must be an integer >= 0"):
        qi.AliasTable([1.0]).sample(n_draws, rng=0)


@pytest.mark.parametrize("n_draws", [2.0, True, "3", None, np.float64(2)])
def test_a_number_of_draws_that_is_no_integer_is_refused(n_draws: Any) -> None:
    with pytest.raises(TypeError, match=r"`n_draws` must be an integer >= 0; got .* of type"):
        qi.as_sq_matrix(QUARTERS).sample_rows(n_draws, rng=0)


def test_a_numpy_integer_is_a_number_of_draws() -> None:
    assert len(qi.as_sq_matrix(QUARTERS).sample_rows(np.int8(3), rng=0)) == 3


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("method", ["row_norms", "rows", "sample_cols", "row_lengths"])
def test_row_indices_are_checked_and_never_wrap(build: Any, method: str) -> None:
    call = getattr(qi.as_sq_matrix(build(QUARTERS)), method)
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 9\); got -1"):
        call([0, -1])
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 9\); got 9"):
        call([9])
    with pytest.raises(IndexError, match=r"`rows` must hold indices"):
        call(np.array([2**63 + 1], dtype=np.uint64))
    with pytest.raises(TypeError, match=r"`rows` must hold integer indices; got dtype float64"):
        call([0.0])
    with pytest.raises(TypeError, match=r"`rows` must hold integer indices; got dtype bool"):
        call([True, False])
    with pytest.raises(ValueError, match=r"`rows` must be 1-dimensional; got shape \(\)"):
        call(0)
    with pytest.raises(ValueError, match=r"`rows` must be 1-dimensional; got shape \(1, 2\)"):
        call([[0, 1]])


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_the_indices_of_a_query_are_checked_and_never_wrap(build: Any) -> None:
    A = qi.as_sq_matrix(build(QUARTERS))
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 9\); got -1"):
        A.query([-1], [0])
    with pytest.raises(IndexError, match=r"`cols` must hold indices in \[0, 12\); got 12"):
        A.query([0], [12])
    with pytest.raises(TypeError, match=r"`cols` must hold integer indices"):
        A.query([0], [0.5])


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([], ValueError, r"`weights` must be a 1-dimensional array of at least one weight; got shape \(0,\)"),
        ([[1.0]], ValueError, r"`weights` must be a 1-dimensional array"),
        (1.0, ValueError, r"`weights` must be a 1-dimensional array"),
        ([1.0, -1.0], ValueError, r"`weights` must be >= 0; got weights\[1\] = -1.0"),
        ([1.0, np.nan], ValueError, r"`weights` must be finite.*weights\[1\] = nan"),
        ([np.inf, 1.0], ValueError, r"`weights` must be finite.*weights\[0\] = inf"),
        (
            [0.0, -0.0],
            ZeroMassError,
            r"`weights` must have a positive entry to draw from; all of them are zero",
        ),
        ([1j], ValueError, r"`weights` must be real"),
        (["a"], ValueError, r"`weights` must be numeric"),
        ([[1.0], [1.0, 2.0]], ValueError, "`weights` must be an array of numbers; setting an array element"),
        (None, TypeError, "`weights` must be an array of numbers; got NoneType"),
    ],
)
def test_weights_that_give_no_law_are_refused(weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.AliasTable(weights)


@pytest.mark.parametrize(
    ("rng", "error"),
    [(-1, ValueError), (1.5, TypeError), ("a", TypeError), (True, TypeError), ([1], TypeError)],
)
def test_a_bad_source_of_randomness_is_refused_by_every_draw(rng: Any, error: type[Exception]) -> None:
    A = qi.as_sq_matrix(QUARTERS)
    combination = qi.RowCombination(A, np.array([0]), np.array([1.0]))
    for draw in (
        lambda: A.sample_rows(1, rng),
        lambda: A.sample_cols([0], rng),
        lambda: qi.AliasTable([1.0]).sample(1, rng),
        lambda: combination.sample(1, rng),
    ):
        with pytest.raises(error, match=r"`rng` must be an int >= 0, a numpy Generator"):
            draw()


def storages(folder: Path) -> dict[str, Any]:
    """Return QUARTERS, of shape (9, 12), in every storage that this layer makes of an array or a file."""
    sparse = sp.csr_array(QUARTERS)
    qi.save(folder / "dense", QUARTERS)
    qi.save(folder / "csr", sparse)
    given = [QUARTERS, np.asfortranarray(QUARTERS), QUARTERS[::-1][::-1, ::-1][:, ::-1], (4 * QUARTERS).astype(np.int8)]
    given += [QUARTERS.astype(np.int16, order="F"), sparse, sp.csr_array((4 * QUARTERS).astype(np.int8))]
    made = [qi.as_sq_matrix(one) for one in (*given, folder / "dense", folder / "csr")]
    return {f"{place}: {A!r}": A for place, A in enumerate(made)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(8,), (10,), (13,), (13, 2), (1, 9), (), (9, 12, 1), (0,)])
def test_a_factor_of_another_length_is_refused_by_every_storage(shape: Any, dtype: type, tmp_path: Path) -> None:
    factor = np.ones(shape, dtype=dtype)
    for name, A in storages(tmp_path).items():
        with pytest.raises(ValueError, match=r"`X` must be .* one row for each of the 12 columns .*; got shape"):
            pytest.fail(f"{name}: {A.matmul(factor)}")
        with pytest.raises(ValueError, match=r"`Y` must be .* one row for each of the 9 rows .*; got shape"):
            pytest.fail(f"{name}: {A.rmatmul(factor)}")


def test_a_list_is_a_factor_too(tmp_path: Path) -> None:
    for A in storages(tmp_path).values():
        np.testing.assert_array_equal(A.matmul([1.0] * 12), A.matmul(np.ones(12)))
        np.testing.assert_array_equal(A.rmatmul([1.0] * 9), A.rmatmul(np.ones(9)))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_blocks_of_no_rows_are_refused_by_every_storage(size: Any, error: type[Exception], tmp_path: Path) -> None:
    for name, A in storages(tmp_path).items():
        with pytest.raises(error, match=r"`rows_per_block` must be an integer >= 1; got"):
            pytest.fail(f"{name}: {list(A.row_blocks(size))}")


ASKED = {
    "stored": lambda: qi.as_sq_matrix(QUARTERS),
    "sparse": lambda: qi.as_sq_matrix(sp.csr_array(QUARTERS)),
    "counting": lambda: qi.CountingMatrix(qi.as_sq_matrix(QUARTERS)),
    "dynamic": lambda: qi.DynamicMatrix.from_matrix(QUARTERS),
    "sharded": lambda: qi.vstack([QUARTERS, QUARTERS]),
    "centred": lambda: qi.centred(QUARTERS),
    "sum": lambda: qi.add(QUARTERS, QUARTERS),
    "rows": lambda: qi.ImplicitMatrix(None, lambda rows: QUARTERS[rows], shape=QUARTERS.shape),
    "entries": lambda: qi.ImplicitMatrix(
        None, None, shape=QUARTERS.shape, entry_function=lambda rows, cols: QUARTERS[rows, cols]
    ),
    "kernel": lambda: qi.KernelMatrix(QUARTERS, "rbf", gamma=1.0),
    "Cholesky": lambda: qi.rp_cholesky(QUARTERS @ QUARTERS.T, 2, rng=0),
    "function": lambda: qi.matrix_function(QUARTERS, "sqrt"),
    "published": lambda: qi.reference.cchlw_low_rank_factors(QUARTERS, 2, n_rows=6, n_cols=6, n_leverage=4, rng=0),
}


@pytest.mark.parametrize("kind", ASKED)
def test_indices_that_do_not_broadcast_are_refused_by_name(kind: str) -> None:
    with pytest.raises(ValueError, match=r"`rows` and `cols` must have shapes .* broadcasts; got \(2,\) and \(3,\)"):
        ASKED[kind]().query([0, 1], [0, 1, 2])
