from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired import _validation as validation
from qinspired._rng import as_generator, stream_key


@pytest.mark.parametrize(
    "rng",
    [
        0,
        2**40,
        2**128 - 1,
        np.int8(3),
        np.uint64(2**63),
        np.random.SeedSequence(5),
        np.random.PCG64(5),
        np.random.MT19937(5),
        np.random.RandomState(5),
        None,
    ],
    ids=lambda kind: type(kind).__name__,
)
def test_every_kind_of_randomness_becomes_a_generator(rng: Any) -> None:
    assert isinstance(as_generator(rng), np.random.Generator)


def test_a_generator_is_passed_through_and_advances() -> None:
    generator = np.random.default_rng(0)
    assert as_generator(generator) is generator
    assert stream_key(as_generator(generator)) != stream_key(as_generator(generator))


@pytest.mark.parametrize(
    "make",
    [lambda: 7, lambda: np.int64(7), lambda: np.random.SeedSequence(7), lambda: np.random.default_rng(7)],
    ids=["int", "numpy int", "SeedSequence", "Generator"],
)
def test_a_seed_means_what_it_means_to_numpy(make: Any) -> None:
    assert as_generator(make()).integers(2**60) == np.random.default_rng(7).integers(2**60)


def test_a_shared_random_state_advances_and_repeats_from_its_seed() -> None:
    state = np.random.RandomState(3)
    first, second = (as_generator(state).integers(2**60) for _ in range(2))
    assert first != second
    assert as_generator(np.random.RandomState(3)).integers(2**60) == first


def test_no_seed_gives_new_randomness_each_time() -> None:
    assert stream_key(as_generator(None)) != stream_key(as_generator(None))


@pytest.mark.parametrize(
    ("rng", "error"),
    [
        (-1, ValueError),
        (np.int64(-5), ValueError),
        (1.5, TypeError),
        (np.float64(1), TypeError),
        ("a", TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        ([1, 2], TypeError),
        (np.random, TypeError),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_source_of_randomness_is_refused(rng: Any, error: type[Exception]) -> None:
    message = (
        r"`random_state` must be an int >= 0, a numpy Generator, SeedSequence, BitGenerator or RandomState, or None"
    )
    with pytest.raises(error, match=message):
        as_generator(rng, name="random_state")


def test_keys_are_64_bits() -> None:
    keys = [int(stream_key(np.random.default_rng(seed))) for seed in range(200)]
    assert len(set(keys)) == 200
    assert max(keys) > 2**63
    assert stream_key(np.random.default_rng(0)).dtype == np.uint64


def test_a_count_is_an_integer_from_its_low() -> None:
    assert validation.check_count(np.uint8(4), "n") == 4
    assert type(validation.check_count(np.uint8(4), "n")) is int
    with pytest.raises(ValueError, match=r"`n` must be an integer >= 1; got 0\."):
        validation.check_count(0, "n", low=1)
    for bad in (1.0, True, np.True_, "1", None, [1]):
        with pytest.raises(TypeError, match=r"`n` must be an integer >= 0; got"):
            validation.check_count(bad, "n")


@pytest.mark.parametrize("rank", [0, -1, 51, 10**9])
def test_a_rank_out_of_range_is_refused_with_the_range(rank: int) -> None:
    message = rf"`rank` must be in \[1, min\(m, n\)\] = \[1, 50\] for a matrix of shape \(50, 80\); got {rank}\."
    with pytest.raises(ValueError, match=message):
        validation.check_rank(rank, (50, 80))


@pytest.mark.parametrize("rank", [2.0, True, "2", None, np.float32(2)])
def test_a_rank_that_is_no_integer_is_refused(rank: Any) -> None:
    with pytest.raises(TypeError, match="`rank` must be an integer; got"):
        validation.check_rank(rank, (50, 80))


def test_a_rank_in_range_is_a_python_int() -> None:
    assert [validation.check_rank(rank, (50, 80)) for rank in (1, np.int64(50))] == [1, 50]


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.1, np.nan, np.inf])
def test_a_fraction_lies_strictly_between_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match=r"`tolerance` must be in \(0, 1\); got"):
        validation.check_fraction(value, "tolerance")


def test_a_fraction_may_be_1_where_that_is_said() -> None:
    assert validation.check_fraction(1, "share", closed_high=True) == 1.0
    assert validation.check_fraction(np.float32(0.5), "share") == 0.5
    with pytest.raises(ValueError, match=r"`share` must be in \(0, 1\]; got 1.5"):
        validation.check_fraction(1.5, "share", closed_high=True)
    for bad in (True, "0.5", None, 1j):
        with pytest.raises(TypeError, match=r"`share` must be a number in \(0, 1\)"):
            validation.check_fraction(bad, "share")


def test_a_nonnegative_number_is_finite() -> None:
    assert validation.check_nonnegative(0, "ridge") == 0.0
    for bad in (-1e-300, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"`ridge` must be a finite number >= 0"):
            validation.check_nonnegative(bad, "ridge")
    for bad in (True, "1", None):
        with pytest.raises(TypeError, match=r"`ridge` must be a finite number >= 0"):
            validation.check_nonnegative(bad, "ridge")


def test_indices_become_contiguous_int64() -> None:
    for values in ([2, 0], np.array([2, 9, 0], dtype=np.uint8)[::2], np.array([2, 0], dtype=">i2"), (2, 0)):
        indices = validation.check_indices(values, 3, "rows")
        assert indices.dtype == np.int64
        assert indices.flags.c_contiguous
        assert indices.tolist() == [2, 0]
    assert validation.check_indices([], 3, "rows").dtype == np.int64


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (">f8", np.float64),
        (np.longdouble, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (bool, np.float64),
        (object, np.float64),
        (">f4", np.float32),
    ],
)
def test_numbers_become_native_float32_or_float64(dtype: Any, wanted: type) -> None:
    array = validation.native_float(np.array([0, 1, 1]).astype(dtype), "A")
    assert array.dtype == wanted
    assert array.dtype.isnative
    assert array.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_native_floats_are_not_copied(dtype: type) -> None:
    array = np.ones((2, 3), dtype=dtype)
    assert validation.native_float(array, "A") is array or np.shares_memory(validation.native_float(array, "A"), array)
    assert np.shares_memory(validation.check_dense(array), array)


def test_the_first_nonfinite_entry_is_first_in_row_order() -> None:
    array = np.ones((3, 4))
    assert validation.first_nonfinite(array) is None
    array[2, 0] = np.nan
    array[1, 3] = -np.inf
    assert validation.first_nonfinite(array) == (1, 3)


def test_a_matrix_for_the_referees_is_checked_entry_by_entry() -> None:
    X = np.ones((3, 4))
    assert validation.check_matrix(X) is X
    X[1, 2] = np.nan
    for bad in (X, sp.csr_array(X), sp.csc_array(X)):
        with pytest.raises(ValueError, match=r"`B` must be finite.*got B\[1, 2\] = nan"):
            validation.check_matrix(bad, "B")


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([[1], [2], [3]]),
        sp.csr_array(np.array([[1.0], [2.0], [3.0]])),
        np.arange(1, 4, dtype=np.float32),
    ],
    ids=["list", "tuple", "column", "sparse column", "float32"],
)
def test_a_vector_is_flat_float64(values: Any) -> None:
    vector = validation.check_vector(values, 3, "b")
    assert vector.dtype == np.float64
    assert vector.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0], ValueError, r"`b` must have one entry for each of the 3 rows of `A`; got 1 entries"),
        (np.ones((3, 2)), ValueError, r"`b` must be 1-dimensional; got shape \(3, 2\)"),
        (np.ones((1, 3)), ValueError, r"`b` must be 1-dimensional; got shape \(1, 3\)"),
        ([1.0, np.nan, 0.0], ValueError, r"`b` must be finite.*got b\[1\] = nan"),
        ([1.0, 2.0, 1j], ValueError, r"`b` must be real"),
        (["a", "b", "c"], ValueError, r"`b` must be numeric"),
        (np.ma.masked_equal([1.0, 2.0, 3.0], 2.0), TypeError, r"`b` must not be a masked array"),
    ],
)
def test_what_is_no_vector_of_real_numbers_is_refused(values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        validation.check_vector(values, 3, "b")


def test_checking_a_csr_matrix_leaves_it_as_it_was() -> None:
    matrix = sp.csr_array((np.array([1.0, 2.0, 3.0]), np.array([2, 0, 0]), np.array([0, 3])), shape=(1, 3))
    canonical = validation.check_csr(matrix)
    assert canonical.indices.tolist() == [0, 2]
    assert canonical.data.tolist() == [5.0, 1.0]
    assert matrix.indices.tolist() == [2, 0, 0]
    assert matrix.data.tolist() == [1.0, 2.0, 3.0]
