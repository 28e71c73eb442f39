from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest

import qinspired as qi


@pytest.mark.parametrize(
    "weights",
    [
        [0, 3, 1],
        (0.0, 3.0, 1.0),
        np.array([0, 3, 1], dtype=np.uint8),
        np.array([0, 3, 1], dtype=">f4"),
        [-0.0, 3e307, 1e307],
    ],
    ids=["ints", "tuple", "uint8", "big-endian", "huge"],
)
def test_weights_of_any_kind_and_scale_give_the_same_draws(weights: Any) -> None:
    draws = qi.AliasTable(weights).sample(5000, rng=0)
    np.testing.assert_array_equal(draws, qi.AliasTable([0.0, 3.0, 1.0]).sample(5000, rng=0))
    assert draws.dtype == np.int64


def test_the_weights_are_copied() -> None:
    weights = np.array([1.0, 0.0])
    table = qi.AliasTable(weights)
    weights[:] = [0.0, 1.0]
    assert not table.sample(100, rng=0).any()


def test_a_table_knows_its_length() -> None:
    table = qi.AliasTable([1.0, 2.0, 3.0])
    assert len(table) == 3
    assert repr(table) == "AliasTable(n=3)"


def test_one_weight_is_always_drawn() -> None:
    assert not qi.AliasTable([1e-300]).sample(10, rng=0).any()


def test_no_draws_are_an_empty_array() -> None:
    assert qi.AliasTable([1.0]).sample(0, rng=0).shape == (0,)


def test_a_weight_that_is_a_millionth_of_the_others_is_reached() -> None:
    weights = np.ones(1001)
    weights[500] = 1e-3
    draws = qi.AliasTable(weights).sample(10**7, rng=0)
    assert oracles.chi_square_p(draws, weights / weights.sum()) > oracles.P_LOWEST


@pytest.mark.parametrize("exponent", [0, 3, 1.5, True, "2", None, np.array([1, 2])])
def test_an_exponent_other_than_one_or_two_is_refused(exponent: Any) -> None:
    with pytest.raises(ValueError, match=r"`exponent` must be 1 .* or 2"):
        qi.AliasTable([1.0], exponent=exponent)


def test_an_exponent_of_two_draws_by_squared_size() -> None:
    draws = qi.AliasTable([1.0, 3.0, 0.0], exponent=2).sample(100_000, rng=0)
    assert oracles.chi_square_p(draws, np.array([0.1, 0.9, 0.0])) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, np.array([0.25, 0.75, 0.0])) < oracles.P_LOWEST


def test_a_mask_is_not_dropped_silently() -> None:
    with pytest.raises(TypeError, match="`weights` must not be a masked array; fill or drop"):
        qi.AliasTable(np.ma.masked_equal([1.0, 2.0], 2.0))
