from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spectra import GAPPED, SLOW, covers, singular_values, with_values

import qinspired as qi
from qinspired.exceptions import ZeroMassError

# Bad inputs ---------------------------------------------------------------------------------------------------------


def test_a_zero_matrix_is_refused():
    with pytest.raises(ZeroMassError, match="non-zero entry"):
        qi.spectral_summary(np.zeros((30, 4)))


@pytest.mark.parametrize("m", [50, 2000])
def test_a_matrix_of_rank_one_has_one_singular_value(m, rng):
    A = np.outer(rng.standard_normal(m), rng.standard_normal(20))
    found = qi.spectral_summary(A, rank=3, n_draws=100, rng=0)
    assert [s.value for s in found.singular_values] == pytest.approx([np.linalg.norm(A), 0.0, 0.0], abs=1e-7)
    assert all(s.low <= 1e-7 and s.high < 0.3 * found.norm.value for s in found.singular_values[1:])
    assert covers(found.norm, np.linalg.norm(A))
    assert found.effective_rank.value == pytest.approx(1.0)
    assert found.stable_rank.value == pytest.approx(1.0)
    assert found.schatten(10).value == pytest.approx(np.linalg.norm(A))
    assert covers(found.schatten(1), np.linalg.norm(A))


def test_a_rank_above_the_smaller_side_gives_all_singular_values_and_says_so(rng):
    for m in (40, 400):
        found = qi.spectral_summary(rng.standard_normal((m, 4)), rank=10, n_draws=100, rng=0)
        assert len(found.singular_values) == 4
        assert "no more than min(m, n) = 4" in found.status


def test_a_rank_above_the_number_of_draws_gives_intervals_from_zero():
    found = qi.spectral_summary(with_values(SLOW), rank=50, n_draws=30, rng=0)
    assert len(found.singular_values) == 50
    assert [s.low for s in found.singular_values[30:]] == [0.0] * 20
    assert all(
        covers(s, e) for s, e in zip(found.singular_values[30:], singular_values(with_values(SLOW))[30:], strict=False)
    )


def test_duplicate_rows_are_read_once_and_count_for_their_mass(rng):
    few = rng.standard_normal((3, 10)) * np.array([[3.0], [2.0], [1.0]])
    A = np.tile(few, (200, 1))
    found = qi.spectral_summary(A, rank=3, n_draws=300, rng=0)
    assert all(covers(s, e) for s, e in zip(found.singular_values, singular_values(A), strict=False))


def test_all_mass_in_one_row():
    A = np.full((500, 6), 1e-9)
    A[77] = [3.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    found = qi.spectral_summary(A, rank=2, n_draws=50, rng=0)
    assert found.stats.rows_read == 1
    assert found.norm.value == pytest.approx(5.0)
    assert covers(found.singular_values[1], singular_values(A)[1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (400, 1)])
def test_one_row_or_one_column_has_the_norm_as_its_singular_value(shape, rng):
    A = rng.standard_normal(shape)
    found = qi.spectral_summary(A, n_draws=40, rng=0)
    assert len(found.singular_values) == 1
    assert found.norm.value == pytest.approx(np.linalg.norm(A))
    assert covers(found.norm, np.linalg.norm(A))
    assert found.norm.high - found.norm.low < 1e-9 * np.linalg.norm(A)
    assert covers(found.trace(np.square), np.linalg.norm(A) ** 4)


def test_a_condition_number_of_1e16_leaves_the_smallest_values_open():
    A = with_values(np.geomspace(1.0, 1e-16, 20))
    found = qi.spectral_summary(A, rank=20, n_draws=100, rng=0)
    exact = np.geomspace(1.0, 1e-16, 20)
    assert all(s.low <= e <= s.high for s, e in zip(found.singular_values, exact, strict=True))
    assert found.singular_values[-1].low == 0.0


def test_a_matrix_whose_rows_are_not_read_whole_is_refused_with_the_remedy():
    problem = qi.problems.virtual_low_rank_matrix((10**6, 10**6), 0.5 ** np.arange(4))
    A = qi.ImplicitMatrix(**problem.access)
    with pytest.raises(ValueError, match=r"read whole.*`entry_bound`.*fkv"):
        qi.spectral_summary(A)
    assert A.rows_computed == 0


@pytest.mark.parametrize("rank", [True, 2.0, "3", None])
def test_a_rank_that_is_no_integer_is_refused(rank):
    with pytest.raises(TypeError, match="`rank` must be an integer >= 1"):
        qi.spectral_summary(np.eye(30), rank=rank)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank):
    with pytest.raises(ValueError, match="`rank` must be an integer >= 1"):
        qi.spectral_summary(np.eye(30), rank=rank)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="`n_draws` must be an integer >= 20; got 19"):
        qi.spectral_summary(np.eye(30), n_draws=19)
    with pytest.raises(TypeError, match="`n_draws` must be an integer >= 20"):
        qi.spectral_summary(np.eye(30), n_draws=50.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_entries_that_are_not_finite_are_refused(bad):
    A = np.eye(30)
    A[3, 4] = bad
    with pytest.raises(ValueError, match=r"must be finite"):
        qi.spectral_summary(A)


@pytest.mark.parametrize("n_draws", [25, 100])
def test_bad_orders_of_a_norm_are_refused(n_draws):
    found = qi.spectral_summary(with_values(SLOW, 90), n_draws=n_draws, rng=0)
    for p in (0, 0.5, -1, math.nan, -math.inf):
        with pytest.raises(ValueError, match=r"`p` must be >= 1, or infinity; got .*effective_rank"):
            found.schatten(p)
    for p in (True, "4", None, 2j):
        with pytest.raises(TypeError, match="`p` must be a number"):
            found.schatten(p)


@pytest.mark.parametrize("n_draws", [25, 100])
def test_bad_functions_of_a_trace_are_refused(n_draws):
    found = qi.spectral_summary(with_values(SLOW[:20], 90), n_draws=n_draws, rng=0)
    with pytest.raises(TypeError, match="`f` must be a function"):
        found.trace(3.0)
    with pytest.raises(TypeError, match=r"`f` must take an array.*numpy.vectorize"):
        found.trace(math.sqrt)
    with pytest.raises(ValueError, match=r"`f` must give a real number for each"):
        found.trace(np.sum)
    with pytest.raises(ValueError, match=r"`f` must give a real number for each"):
        found.trace(lambda x: x + 1j)
    with pytest.raises(ValueError, match=r"`f` must be finite"):
        found.trace(lambda x: np.full_like(x, np.nan))
    with pytest.raises(ZeroDivisionError):
        found.trace(lambda x: x + 1 // 0)


@pytest.mark.parametrize("f", [np.log, lambda x: 1.0 / x])
def test_functions_that_are_infinite_at_zero_are_refused_from_draws(f):
    found = qi.spectral_summary(with_values(SLOW), n_draws=30, rng=0)
    with pytest.raises(ValueError, match=r"finite on \[0, \|A\|_F\^2\]; got f\(0\) = .*log\(1 \+ x\)"):
        found.trace(f)


@pytest.mark.parametrize("unit", [1e200, 1e-200])
@pytest.mark.parametrize("n_draws", [30, 500])
def test_eigenvalues_beyond_the_range_of_floats_are_refused_in_traces_only(unit, n_draws):
    A = with_values(GAPPED[:20])
    found = qi.spectral_summary(unit * A, n_draws=n_draws, rng=0)
    assert covers(found.norm, unit * singular_values(A)[0])
    assert found.schatten(4).value == pytest.approx(unit * np.linalg.norm(A.T @ A) ** 0.5, rel=0.3)
    with pytest.raises(OverflowError, match="Divide A by a constant"):
        found.trace(np.log1p)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(21, 30), st.integers(1, 6)), elements=st.integers(-3, 3).map(float)),
    st.integers(1, 8),
    st.floats(1.0, 40.0),
)
def test_intervals_are_ordered_and_within_what_is_known(A, rank, p):
    if not A.any():
        return
    found = qi.spectral_summary(A, rank=rank, n_draws=20, rng=0)
    norm = np.linalg.norm(A) * (1 + 1e-9)
    numbers = [*found.singular_values, found.schatten(p), found.stable_rank, found.effective_rank]
    for number in [*numbers, found.trace(np.log1p), found.trace(np.sqrt)]:
        assert number.low <= number.value <= number.high < math.inf
    for parts in zip(*((s.value, s.low, s.high) for s in found.singular_values), strict=True):
        assert list(parts) == sorted(parts, reverse=True)
        assert 0.0 <= parts[-1] <= parts[0] <= norm
    smaller = min(A.shape) * (1 + 1e-9)
    for number in (found.stable_rank, found.effective_rank):
        assert 1 - 1e-9 <= number.low <= number.high <= smaller
    if p > 2:
        assert found.schatten(p).high <= norm
    else:
        assert found.schatten(p).low >= norm * (1 - 1e-8)
