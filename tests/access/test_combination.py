from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from zoo import QUARTERS

import qinspired as qi
from qinspired.access import ForwardingMatrix, _combination
from qinspired.exceptions import ZeroMassError

ROWS = np.array([0, 8, 2, 0, 3])
COEFFICIENTS = np.array([1.0, -2.0, 0.5, 0.25, 7.0])
WANTED = COEFFICIENTS @ QUARTERS[ROWS]


@pytest.fixture(params=[np.array, sp.csr_array], ids=["dense", "csr"])
def combination(request: pytest.FixtureRequest) -> Any:
    return qi.RowCombination(qi.as_sq_matrix(request.param(QUARTERS)), ROWS, COEFFICIENTS)


def test_queries_and_the_whole_vector_are_those_of_the_sum(combination: Any) -> None:
    assert combination.size == 12
    # Sums of five products, exact but for their last rounding.
    np.testing.assert_allclose(combination.to_array(), WANTED, rtol=0, atol=1e-14)
    np.testing.assert_allclose(combination.query([11, 0, 0]), WANTED[[11, 0, 0]], rtol=0, atol=1e-14)
    assert combination.query([]).shape == (0,)


def test_a_query_out_of_range_is_refused(combination: Any) -> None:
    with pytest.raises(IndexError, match=r"`cols` must hold indices in \[0, 12\); got -1"):
        combination.query([-1])


def test_the_proposals_for_a_draw_are_the_oversampling(combination: Any) -> None:
    draws, n_proposals = combination.sample(20_000, rng=0)
    used = np.abs(QUARTERS[ROWS]).sum(axis=1) > 0
    masses = ((COEFFICIENTS[:, None] * QUARTERS[ROWS]) ** 2).sum()
    phi = used.sum() * masses / (WANTED @ WANTED)
    # Geometric counts have a relative standard deviation below 1; five of them is p < 1e-6.
    assert n_proposals / len(draws) == pytest.approx(phi, rel=5 / np.sqrt(len(draws)))


def test_no_draws_cost_no_proposals(combination: Any) -> None:
    draws, n_proposals = combination.sample(0, rng=0)
    assert (draws.shape, draws.dtype, n_proposals) == ((0,), np.int64, 0)


def test_the_same_seed_gives_the_same_draws(combination: Any) -> None:
    np.testing.assert_array_equal(combination.sample(300, rng=4)[0], combination.sample(300, rng=4)[0])


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 2.0**-1040])
@pytest.mark.parametrize("weight", [1.0, 1e-100, 1e100])
def test_draws_do_not_depend_on_the_scale_of_the_matrix_or_the_coefficients(size: float, weight: float) -> None:
    unit = 2.0 ** np.round(np.log2(size))
    plain = qi.RowCombination(qi.as_sq_matrix(4 * QUARTERS), ROWS, COEFFICIENTS)
    scaled = qi.RowCombination(qi.as_sq_matrix(4 * QUARTERS * unit), ROWS, COEFFICIENTS * weight)
    draws, n_proposals = scaled.sample(2000, rng=0)
    assert oracles.chi_square_p(draws, oracles.law_of(WANTED)) > oracles.P_LOWEST
    assert n_proposals / 2000 == pytest.approx(plain.sample(2000, rng=1)[1] / 2000, rel=0.3)


@pytest.mark.parametrize(
    "coefficients", [np.zeros(5), np.array([0.0, 0.0, 0.0, 0.0, 1.0])], ids=["all zero", "on a zero row"]
)
def test_the_zero_vector_has_no_draws(coefficients: np.ndarray) -> None:
    zero = qi.RowCombination(qi.as_sq_matrix(QUARTERS), ROWS, coefficients)
    with pytest.raises(ZeroMassError, match="the combination is the zero vector"):
        zero.sample(1, rng=0)


def test_terms_that_cancel_are_refused_after_many_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_combination, "_LARGEST_OVERSAMPLING", 1e3)
    nothing = qi.RowCombination(qi.as_sq_matrix(QUARTERS), np.array([0, 0]), np.array([1.0, -1.0]))
    with pytest.raises(ZeroMassError, match="cancels to zero to working precision"):
        nothing.sample(1, rng=0)


def test_float32_rows_are_combined_in_float64() -> None:
    X = np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-20]], dtype=np.float32)
    difference = qi.RowCombination(qi.as_sq_matrix(X), np.array([0, 1]), np.array([1e10, -1e10]))
    assert difference.to_array().dtype == difference.query([1]).dtype == np.float64
    assert difference.query([0, 1]).tolist() == [0.0, -1e10 * 2.0**-20]


@pytest.mark.parametrize("build", [np.asarray, sp.csr_array], ids=["dense", "csr"])
def test_many_rows_and_long_ones_are_read_in_blocks(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_combination, "_BLOCK_ENTRIES", 100)
    rng = np.random.default_rng(0)
    X, coefficients = rng.standard_normal((40, 30)), rng.standard_normal(20)
    rows, largest = rng.integers(40, size=20), [0]

    class Watched(ForwardingMatrix):
        def rows(self, rows: Any) -> Any:
            largest.append(30 * len(rows))
            return super().rows(rows)

        def query(self, rows: Any, cols: Any) -> Any:
            values = super().query(rows, cols)
            largest.append(values.size)
            return values

    combination = qi.RowCombination(Watched(qi.as_sq_matrix(build(X))), rows, coefficients)
    np.testing.assert_allclose(combination.to_array(), coefficients @ X[rows], atol=1e-12)
    np.testing.assert_allclose(combination.query(np.arange(30)), coefficients @ X[rows], atol=1e-12)
    assert max(largest) <= 100
    assert combination.query([]).shape == (0,)
