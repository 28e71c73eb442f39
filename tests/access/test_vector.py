from __future__ import annotations

import math
from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from zoo import QUARTERS

import qinspired as qi
from qinspired.access import OversampledVector, as_oversampled_vector
from qinspired.exceptions import ZeroMassError

ROWS = np.array([0, 8, 2, 0, 3])
COEFFICIENTS = np.array([1.0, -2.0, 0.5, 0.25, 7.0])
exponents = pytest.mark.parametrize("exponent", [1, 2])


def law_of(values: np.ndarray, exponent: int) -> np.ndarray:
    powers = (np.abs(values.astype(float)) / np.abs(values).max()) ** exponent
    return powers / powers.sum()


def test_norms_entries_and_probabilities_of_a_small_vector_are_known() -> None:
    x = qi.SampleQueryVector([3.0, 0.0, -4.0])
    assert (x.size, len(x), x.exponent, x.norm, x.norm_1, x.bound_norm) == (3, 3, 2, 5.0, 7.0, 5.0)
    assert x.query([2, 0, 2]).tolist() == [-4.0, 3.0, -4.0]
    assert x.to_array().tolist() == [3.0, 0.0, -4.0]
    np.testing.assert_allclose(x.probabilities([0, 1, 2]), [9 / 25, 0.0, 16 / 25], rtol=1e-15)
    by_size = qi.SampleQueryVector([3.0, 0.0, -4.0], exponent=1)
    np.testing.assert_allclose(by_size.probabilities([2, 1, 0]), [4 / 7, 0.0, 3 / 7], rtol=1e-15)
    assert by_size.bound_norm == pytest.approx(math.sqrt(28.0), rel=1e-15)
    assert repr(by_size) == "SampleQueryVector(size=3, dtype=float64, exponent=1)"


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, -2],
        (1.0, 0.0, -2.0),
        np.array([1, 0, -2], dtype=np.int8),
        np.array([1, 0, -2], dtype=">f4"),
        np.array([1, 0, -2], dtype=np.float16),
        np.array([1, 9, 0, 9, -2, 9], dtype=np.float64)[::2],
        np.array([1, 0, -2], dtype=object),
    ],
    ids=["list", "tuple", "int8", "big-endian", "float16", "strided", "object"],
)
def test_a_vector_of_any_kind_gives_the_same_answers(values: Any) -> None:
    x = qi.SampleQueryVector(values)
    assert x.to_array().tolist() == [1.0, 0.0, -2.0]
    assert x.query([0]).dtype == x.to_array().dtype == np.float64
    wanted = qi.SampleQueryVector([1.0, 0.0, -2.0])
    assert (x.norm, x.norm_1) == (wanted.norm, wanted.norm_1)
    np.testing.assert_array_equal(x.sample(100, rng=0), wanted.sample(100, rng=0))


def test_contiguous_floats_are_used_in_place_and_the_whole_vector_is_a_copy() -> None:
    for dtype in (np.float32, np.float64):
        array = np.ones(4, dtype=dtype)
        array.flags.writeable = False
        x = qi.SampleQueryVector(array)
        assert np.shares_memory(x._values, array)
        x.to_array()[0] = 7.0
        assert x.query([0]).tolist() == [1.0]


def test_the_smallest_of_int8_does_not_wrap() -> None:
    assert qi.SampleQueryVector(np.array([-128, 0], dtype=np.int8)).norm == 128.0


def test_float32_is_accumulated_in_float64() -> None:
    x = np.random.default_rng(0).standard_normal(1_000_003).astype(np.float32)
    exact, exact_1 = math.sqrt(math.fsum(x.astype(float) ** 2)), math.fsum(np.abs(x.astype(float)))
    vector = qi.SampleQueryVector(x)
    # Pairwise and blocked sums of a million products are right to some tens of ulps.
    assert vector.norm == pytest.approx(exact, rel=1e-14)
    assert vector.norm_1 == pytest.approx(exact_1, rel=1e-14)


@exponents
@pytest.mark.parametrize("unit", [1e200, 1e-200, 1e300, 2.0**-1060])
def test_laws_and_norms_do_not_depend_on_the_scale(exponent: int, unit: float) -> None:
    values = np.array([3.0, 0.0, -4.0, 12.0])
    x, plain = (qi.SampleQueryVector(part, exponent=exponent) for part in (values * unit, values))
    # Subnormal numbers have few digits: 2^-1060 is 16384 times the least.
    rtol = 1e-14 if unit > 1e-300 else 1e-4
    assert x.norm == pytest.approx(13.0 * unit, rel=rtol)
    assert x.norm_1 == pytest.approx(19.0 * unit, rel=rtol)
    everywhere = np.arange(4)
    np.testing.assert_allclose(x.probabilities(everywhere), plain.probabilities(everywhere), rtol=rtol)
    assert oracles.chi_square_p(x.sample(20_000, rng=0), law_of(values, exponent)) > oracles.P_LOWEST


@exponents
def test_positions_are_drawn_by_the_power_of_their_size(exponent: int) -> None:
    values = np.random.default_rng(1).standard_t(2, 200)
    values[::9] = 0.0
    draws = qi.SampleQueryVector(values, exponent=exponent).sample(100_000, rng=0)
    assert oracles.chi_square_p(draws, law_of(values, exponent)) > oracles.P_LOWEST
    # The twin: the law of the other exponent.
    assert oracles.chi_square_p(draws, law_of(values, 3 - exponent)) < oracles.P_LOWEST


@settings(deadline=None, derandomize=True)
@given(
    arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6).map(lambda v: v if abs(v) > 1e-6 else 0.0)),
    st.sampled_from([1, 2]),
)
def test_the_bound_holds_at_every_entry_and_is_attained_at_one(values: np.ndarray, exponent: int) -> None:
    x = qi.SampleQueryVector(values, exponent=exponent)
    if not values.any():
        assert x.bound_norm == x.norm == x.norm_1 == 0.0
        return
    law = x.probabilities(np.arange(x.size))
    assert law.sum() == pytest.approx(1.0, rel=1e-13)
    drawable = values != 0.0
    ratios = np.abs(values[drawable]) / (x.bound_norm * np.sqrt(law[drawable]))
    assert ratios.max() == pytest.approx(1.0, rel=1e-13)
    assert x.bound_norm >= x.norm * (1 - 1e-13)


@exponents
def test_the_zero_vector_is_allowed_but_not_drawn_from(exponent: int) -> None:
    zero = qi.SampleQueryVector(np.zeros(3), exponent=exponent)
    assert (zero.norm, zero.norm_1, zero.bound_norm) == (0.0, 0.0, 0.0)
    assert zero.query([1]).tolist() == [0.0]
    for attempt in (lambda: zero.sample(1, rng=0), lambda: zero.probabilities([0])):
        with pytest.raises(ZeroMassError, match="vector of size 3 has only zero entries, so no position can be drawn"):
            attempt()


def test_draws_follow_the_seed_alone() -> None:
    x = qi.SampleQueryVector(np.arange(50.0))
    np.testing.assert_array_equal(x.sample(99, rng=4), x.sample(99, rng=np.random.default_rng(4)))
    assert x.sample(0, rng=0).shape == (0,)
    assert x.sample(3, rng=0).dtype == np.int64


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_nan_or_infinity_is_named(value: float) -> None:
    with pytest.raises(ValueError, match=rf"`values` must be finite.*values\[2\] = {value}\. Impute or drop it"):
        qi.SampleQueryVector([1.0, 2.0, value, value])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, r"`values` must be a 1-dimensional array of at least one entry; got shape \(0,\)"),
        (3.0, ValueError, r"got shape \(\)"),
        (np.ones((3, 1)), ValueError, r"got shape \(3, 1\)\. Flatten a single row or column"),
        ([1j], ValueError, "`values` must be real"),
        (["a"], ValueError, "`values` must be numeric"),
        ([[1.0], [1.0, 2.0]], ValueError, "`values` must be an array of numbers; setting an array element"),
        (None, TypeError, "`values` must be an array of numbers; got NoneType"),
        (sp.csr_array([[1.0, 2.0]]), TypeError, "`values` must be an array of numbers; got csr_array"),
        (np.ma.masked_equal([1.0, 2.0], 2.0), TypeError, "`values` must not be a masked array"),
        (np.ones(2, dtype="datetime64[s]"), TypeError, "`values` must be numeric"),
        (np.full(3, 1e308), ValueError, "`values` must have a sum of sizes below 1.8e308; it overflows"),
    ],
)
def test_what_is_no_vector_of_numbers_is_refused(values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.SampleQueryVector(values)


@pytest.mark.parametrize("exponent", [0, 3, 1.5, True, "2", None])
def test_an_exponent_other_than_one_or_two_is_refused(exponent: Any) -> None:
    with pytest.raises(ValueError, match="`exponent` must be 1"):
        qi.SampleQueryVector([1.0], exponent=exponent)


@pytest.mark.parametrize("method", ["query", "probabilities"])
def test_an_index_out_of_range_is_refused(method: str) -> None:
    ask = getattr(qi.SampleQueryVector([1.0, 2.0]), method)
    for bad in ([-1], [2]):
        with pytest.raises(IndexError, match=r"`indices` must hold indices in \[0, 2\)"):
            ask(bad)
    with pytest.raises(TypeError, match="`indices` must hold integer indices"):
        ask([0.5])
    assert ask([]).shape == (0,)


@pytest.mark.parametrize("n_draws", [-1, 2.0, True, None])
def test_a_wrong_number_of_draws_is_refused(n_draws: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="`n_draws` must be an integer >= 0"):
        qi.SampleQueryVector([1.0]).sample(n_draws)


def test_what_can_be_drawn_from_is_told_from_what_cannot() -> None:
    x = qi.SampleQueryVector([1.0])
    assert isinstance(x, OversampledVector)
    assert as_oversampled_vector(x) is x
    combination = qi.RowCombination(qi.as_sq_matrix(QUARTERS), ROWS, COEFFICIENTS)
    assert isinstance(as_oversampled_vector(combination), OversampledVector)
    for other in ([1.0], np.ones(3), None):
        assert as_oversampled_vector(other) is None


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize(("size", "weight"), [(1.0, 1.0), (2.0**600, 2.0**-500), (2.0**-600, 2.0**500)])
def test_the_proposals_of_a_combination_have_the_law_that_they_state(build: Any, size: float, weight: float) -> None:
    combination = qi.RowCombination(qi.as_sq_matrix(build(QUARTERS * size)), ROWS, COEFFICIENTS * weight)
    vector = as_oversampled_vector(combination)
    assert vector is not None
    everywhere = np.arange(vector.size)
    terms = (COEFFICIENTS[:, None] * QUARTERS[ROWS]) ** 2
    law = terms.sum(axis=0) / terms.sum()
    np.testing.assert_allclose(vector.probabilities(everywhere), law, rtol=1e-13)
    np.testing.assert_allclose(vector.query(everywhere), combination.to_array(), rtol=1e-13)
    # Row 3 is zero, so four rows make the bound.
    assert vector.bound_norm == pytest.approx(math.sqrt(4 * terms.sum()) * size * weight, rel=1e-13)
    draws = vector.sample(50_000, rng=0)
    assert oracles.chi_square_p(draws, law) > oracles.P_LOWEST
    # The twin: the law that rejection would make of the proposals.
    assert oracles.chi_square_p(draws, oracles.law_of(COEFFICIENTS @ QUARTERS[ROWS])) < oracles.P_LOWEST


def test_the_bound_of_a_combination_holds_at_every_entry() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_t(2, (6, 40))
    combination = qi.RowCombination(qi.as_sq_matrix(X), np.arange(6), rng.standard_normal(6))
    vector = as_oversampled_vector(combination)
    assert vector is not None
    everywhere = np.arange(40)
    bound = vector.bound_norm * np.sqrt(vector.probabilities(everywhere))
    assert (np.abs(vector.query(everywhere)) <= bound * (1 + 1e-13)).all()


def test_queries_of_a_combination_in_blocks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = as_oversampled_vector(qi.RowCombination(qi.as_sq_matrix(QUARTERS), ROWS, COEFFICIENTS))
    assert vector is not None
    cols = np.array([11, 0, 3, 3, 7])
    at_once = vector.query(cols), vector.probabilities(cols)
    monkeypatch.setattr("qinspired.access._vector._BLOCK_ENTRIES", 10)
    monkeypatch.setattr("qinspired.access._combination._BLOCK_ENTRIES", 10)
    np.testing.assert_array_equal(vector.query(cols), at_once[0])
    np.testing.assert_array_equal(vector.probabilities(cols), at_once[1])
    assert vector.query([]).shape == vector.probabilities([]).shape == (0,)


@pytest.mark.parametrize("coefficients", [np.zeros(5), np.array([0.0, 0.0, 0.0, 0.0, 1.0])])
def test_a_zero_combination_has_no_proposals(coefficients: np.ndarray) -> None:
    vector = as_oversampled_vector(qi.RowCombination(qi.as_sq_matrix(QUARTERS), ROWS, coefficients))
    assert vector is not None
    assert vector.bound_norm == 0.0
    with pytest.raises(ZeroMassError, match="the combination is the zero vector"):
        vector.sample(1, rng=0)
