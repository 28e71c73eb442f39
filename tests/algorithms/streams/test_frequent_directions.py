from __future__ import annotations

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from row_streams import Rescaled, assert_bounds, assert_certified, losses, noisy, sketched, true_errors

import qinspired as qi

EPS = float(np.finfo(np.float64).eps)


def decaying(m=300, n=40, ratio=0.5, seed=0):
    rng = np.random.default_rng(seed)
    left, right = np.linalg.qr(rng.standard_normal((m, n)))[0], np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (left * ratio ** np.arange(n)) @ right


def huge_row_last():
    A = noisy()
    A[-1] *= 1e6
    return A


def by_norm():
    A = noisy() * np.linspace(0.1, 10.0, 400)[:, None]
    return A[np.argsort((A**2).sum(axis=1))]


STREAMS = {
    "noisy": noisy(),
    "all rows equal": np.tile(noisy(m=1), (300, 1)),
    "huge row last": huge_row_last(),
    "huge row first": huge_row_last()[::-1].copy(),
    "longest row last": by_norm(),
    "longest row first": by_norm()[::-1].copy(),
    "rank below l": noisy(noise=0.0),
    "rank 1": noisy(rank=1, noise=0.0),
    "every row twice": np.repeat(noisy(m=150), 2, axis=0),
    "all directions alike": np.tile(np.eye(60), (5, 1)),
    "no gap": np.random.default_rng(1).standard_normal((400, 60)),
    "rows of zeros": noisy() * (np.arange(400) % 3 == 0)[:, None],
    "one direction after another": np.repeat(np.eye(60), 7, axis=0),
    "steep": decaying(),
    "condition 1e16": decaying(ratio=1e-16 ** (1 / 39)),
    "one column": noisy(n=1),
    "one row": noisy(m=1),
    "fewer columns than the sketch has rows": noisy(n=9),
}


@pytest.fixture(params=sorted(STREAMS))
def stream(request):
    return STREAMS[request.param]


def test_small_singular_values_beside_a_large_one_stay_below_their_upper_bounds():
    # From a Gram matrix their squares are known to 8 eps of the largest: 1e-13 of 8e-4, the second value here.
    rows = np.ones((21, 5))
    rows[[0, 1, 2, 4, 16], [0, 2, 4, 0, 3]] = 0.0
    rows[18, 4] = 1e4
    approx = qi.FrequentDirections(5, 4).update(rows).low_rank(3)
    assert np.all(np.linalg.svd(rows, compute_uv=False)[:3] <= approx.singular_values_high * (1 + 1e-15))


def test_two_orthogonal_rows_in_a_sketch_of_one_lose_the_smaller_square():
    sketch = qi.FrequentDirections(2, 1).update([[3.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(np.abs(sketch.sketch), [[math.sqrt(5.0), 0.0]])
    assert sketch.shrinkage == pytest.approx(4.0)
    assert sketch.frobenius_norm == pytest.approx(math.sqrt(13.0))


def test_rows_of_the_identity_leave_nothing_and_the_bounds_say_so():
    sketch = qi.FrequentDirections(9, 3).update(np.eye(9)[:4])
    assert sketch.sketch.shape == (0, 9)
    assert sketch.shrinkage == pytest.approx(1.0)
    full = qi.FrequentDirections(9, 2).update(np.eye(9)[:4]).update(np.eye(9)[4:])
    assert_bounds(np.eye(9), full)
    assert_certified(np.eye(9), full.low_rank(2))


def test_an_answer_from_a_sketch_that_was_emptied_is_still_certified():
    A = np.eye(20)[:8]
    sketch = qi.FrequentDirections(20, 4).update(sp.csr_array(A))
    assert sketch.sketch.shape == (0, 20)
    approx = sketch.low_rank(3)
    assert_certified(A, approx)
    assert approx.error.high == pytest.approx(1.0)
    assert approx.error.low == pytest.approx(math.sqrt(5 / 8))


@pytest.mark.parametrize("rank", [1, 6, 12])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_of_a_rank_up_to_the_size_of_the_sketch_lose_nothing(rank, dtype):
    A = noisy(rank=rank, noise=0.0).astype(dtype)
    sketch = sketched(A, 12, dtype=dtype)
    eps = np.finfo(dtype).eps
    assert sketch.shrinkage == 0.0
    np.testing.assert_allclose(losses(A, sketch.sketch), 0.0, atol=20 * eps)
    approx = sketch.low_rank(rank)
    assert approx.error.high < 1e3 * eps
    assert approx.excess.high == 0.0
    assert approx.status == "nothing was lost in a sketch of 12 rows"
    np.testing.assert_allclose(
        approx.singular_values, np.linalg.svd(A.astype(np.float64), compute_uv=False)[:rank], rtol=1e3 * eps
    )
    np.testing.assert_allclose(
        approx.singular_values_high, approx.singular_values, rtol=0, atol=1e3 * eps * np.linalg.norm(A)
    )


def test_fewer_rows_than_the_sketch_are_the_sketch():
    A = noisy(m=9)
    sketch = qi.FrequentDirections(60, 10).update(A)
    np.testing.assert_array_equal(sketch.sketch, A)
    assert sketch.shrinkage == 0.0


def test_a_rank_beyond_that_of_the_rows_is_filled_with_orthonormal_directions():
    A = noisy(rank=2, noise=0.0)
    approx = sketched(A, 12).low_rank(5)
    assert_certified(A, approx)
    assert np.all(approx.singular_values[2:] == 0.0)


def test_the_square_lost_and_the_square_kept_make_the_square_of_the_norm(stream):
    sketch = sketched(stream, 12)
    held = sketch._buffer
    kept = float(np.sum(held.dense.astype(np.float64) ** 2))
    assert held.lost + kept == pytest.approx(held.energy, rel=1e-12)


def naive_sketch(A, size):
    B, delta = np.zeros((0, A.shape[1])), 0.0
    for row in A:
        if len(B) == 2 * size:
            _, values, right = np.linalg.svd(B, full_matrices=False)
            cut = values[size] ** 2 if len(values) > size else 0.0
            kept = values[:size][values[:size] ** 2 > cut]
            B, delta = np.sqrt(kept**2 - cut)[:, None] * right[: len(kept)], delta + cut
        B = np.vstack([B, row])
    if len(B) > size:
        _, values, right = np.linalg.svd(B, full_matrices=False)
        cut = values[size] ** 2 if len(values) > size else 0.0
        B, delta = np.sqrt(np.maximum(values[:size] ** 2 - cut, 0.0))[:, None] * right[:size], delta + cut
    return B, delta


@pytest.mark.parametrize("name", ["noisy", "longest row last", "steep", "huge row first", "no gap"])
def test_the_sketch_is_that_of_the_published_algorithm_by_svd(name):
    A = STREAMS[name]
    sketch = sketched(A, 12)
    B, delta = naive_sketch(A, 12)
    norm = np.linalg.norm(A) ** 2
    np.testing.assert_allclose(sketch.sketch.T @ sketch.sketch / norm, B.T @ B / norm, atol=1e-12)
    assert sketch.shrinkage / norm == pytest.approx(delta / norm, rel=1e-6, abs=1e-14)


def test_a_steep_spectrum_is_kept_to_full_precision():
    A = decaying(n=60, ratio=0.5)
    sketch = sketched(A, 25)
    approx = sketch.low_rank(20)
    error, best = true_errors(A, approx.components)
    assert best < 1e-6
    assert error == pytest.approx(best, rel=1e-6)
    assert approx.error.value == pytest.approx(error, rel=1e-6)
    assert approx.excess.high < 1e-2


@pytest.mark.parametrize("size", [1, 2, 12, 30])
def test_the_bounds_hold(stream, size):
    assert_bounds(stream, sketched(stream, size))


@pytest.mark.parametrize("size", [1, 12, 30])
def test_the_bounds_hold_for_sparse_blocks(stream, size):
    sketch = sketched(stream, size, as_block=sp.csr_array)
    assert_bounds(stream, sketch)
    assert sketch.frobenius_norm == pytest.approx(float(np.linalg.norm(stream)), rel=1e-13)


def test_the_bounds_hold_in_float32(stream):
    A = stream.astype(np.float32)
    sketch = sketched(A, 12, dtype=np.float32)
    assert sketch.sketch.dtype == np.float32
    assert_bounds(A.astype(np.float64), sketch, rounding=1e-5)
    for rank in (1, 5, 12):
        if rank <= min(A.shape):
            approx = sketch.low_rank(rank)
            assert approx.components.dtype == np.float32
            assert_certified(A.astype(np.float64), approx)


def test_the_error_lies_between_its_bounds_and_the_excess_below_its_own(stream):
    for size, rank in itertools.product((1, 3, 12, 30), (1, 2, 3, 8, 12, 30)):
        if rank <= min(size, *stream.shape):
            assert_certified(stream, sketched(stream, size).low_rank(rank))


def test_any_order_of_the_rows_keeps_the_bounds():
    A = by_norm()
    for seed in range(5):
        shuffled = A[np.random.default_rng(seed).permutation(len(A))]
        sketch = sketched(shuffled, 10)
        assert_bounds(A, sketch)
        assert_certified(A, sketch.low_rank(5))


def test_any_cut_into_blocks_gives_the_same_sketch():
    A = noisy()
    sketches = [sketched(A, 12, block=block) for block in (1, 7, 24, 400)]
    for sketch in sketches[1:]:
        np.testing.assert_allclose(sketch.sketch, sketches[0].sketch, atol=1e-10)
        assert sketch.shrinkage == pytest.approx(sketches[0].shrinkage, rel=1e-9)


def test_the_bounds_allow_for_the_rounding_of_every_step():
    A = noisy(m=4000, n=20, rank=2, noise=0.0)
    approx = sketched(A, 2, block=400).low_rank(2)  # nothing is lost but by rounding, in 1,999 steps or more
    error, _ = true_errors(A, approx.components)
    assert error <= approx.error.high
    assert 500 * EPS < approx.error.high < 2500 * EPS  # a sum of eps |B|_F, where |B|_F grows to |A|_F


def test_where_the_spectrum_has_a_gap_the_estimate_of_the_error_is_near_the_truth():
    A = noisy(m=2000)
    approx = sketched(A, 12).low_rank(6)
    error, best = true_errors(A, approx.components)
    assert abs(approx.error.value - error) < 0.02 * (approx.error.high - approx.error.low)
    assert approx.error.high - approx.error.low > 0.1 * error
    assert error / best - 1.0 < 1e-3


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 40), st.integers(1, 12)),
        elements=st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 1e-3, 1e-9, 1e4, 3.0]),
    ),
    st.integers(1, 13),
    st.integers(1, 9),
    st.booleans(),
)
def test_the_bounds_hold_for_any_rows(A, size, block, is_sparse):
    sketch = sketched(A, size, block=block, as_block=sp.csr_array if is_sparse else np.asarray)
    assert sketch.n_rows == len(A)
    if not A.any():
        assert sketch.frobenius_norm == sketch.shrinkage == 0.0
        return
    assert_bounds(A, sketch)
    for rank in range(1, min(size, *A.shape) + 1):
        assert_certified(A, sketch.low_rank(rank))


def merged_from_left(parts):
    first = copy.copy(parts[0])
    for part in parts[1:]:
        first.merge(part)
    return first


def merged_as_tree(parts):
    if len(parts) == 1:
        return copy.copy(parts[0])
    middle = len(parts) // 2
    return merged_as_tree(parts[:middle]).merge(merged_as_tree(parts[middle:]))


@pytest.mark.parametrize("merge", [merged_from_left, merged_as_tree])
@pytest.mark.parametrize("as_block", [np.asarray, sp.csr_array])
def test_merged_sketches_have_the_bounds_of_one(stream, merge, as_block):
    parts = [sketched(part, 10, as_block=as_block) for part in np.array_split(stream, min(5, len(stream)))]
    before = [pickle.dumps(part) for part in parts]
    whole = merge(parts)
    assert whole.n_rows == len(stream)
    assert whole.frobenius_norm == pytest.approx(float(np.linalg.norm(stream)), rel=1e-12)
    assert_bounds(stream, whole)
    rank = min(4, *stream.shape)
    assert_certified(stream, whole.low_rank(rank))
    assert whole.low_rank(rank).stats.entries_read == (stream != 0).sum() or as_block is np.asarray
    assert [pickle.dumps(part) for part in parts] == before


def test_a_sketch_merged_with_itself_has_seen_all_rows_twice():
    A = noisy()
    sketch = sketched(A, 10)
    sketch.merge(sketch)
    assert_bounds(np.vstack([A, A]), sketch)
    assert_certified(np.vstack([A, A]), sketch.low_rank(4))


def test_an_empty_sketch_changes_nothing_when_merged():
    sketch, empty = sketched(noisy(), 10), qi.FrequentDirections(60, 10)
    before = sketch.sketch
    np.testing.assert_array_equal(sketch.merge(empty).sketch, before)
    np.testing.assert_array_equal(empty.merge(sketch).sketch, before)


@pytest.mark.parametrize("factors", [(1e150, 1e-150), (1e-150, 1e150), (1e-150, 1e-150), (1.0, 1e-150)])
def test_sketches_of_other_scales_merge(factors):
    A = noisy(m=200)
    one, two = sketched(A * factors[0], 10), sketched(A[::-1] * factors[1], 10)
    one.merge(two)
    both = np.vstack([A * factors[0], A[::-1] * factors[1]]) / max(factors)
    assert one.frobenius_norm / max(factors) == pytest.approx(np.linalg.norm(both), rel=1e-12)
    assert_bounds(both, Rescaled(one, max(factors)))
    assert_certified(both * max(factors) if max(factors) > 1 else both, _as_scaled(one.low_rank(6), factors, both))


def _as_scaled(approx, factors, both):
    from dataclasses import replace

    factor = 1.0 if max(factors) > 1 else max(factors)
    return replace(
        approx,
        singular_values=approx.singular_values / factor,
        singular_values_high=approx.singular_values_high / factor,
    )


def test_only_sketches_of_one_kind_merge():
    sketch = qi.FrequentDirections(6, 3)
    with pytest.raises(TypeError, match="`other` must be a FrequentDirections; got ndarray"):
        sketch.merge(np.eye(6))
    with pytest.raises(ValueError, match="same `n_features` as this sketch, 6; got 5"):
        sketch.merge(qi.FrequentDirections(5, 3))
    with pytest.raises(ValueError, match="same `sketch_size` as this sketch, 3; got 4"):
        sketch.merge(qi.FrequentDirections(6, 4))
    with pytest.raises(ValueError, match="same `dtype` as this sketch, float64; got float32"):
        sketch.merge(qi.FrequentDirections(6, 3, dtype=np.float32))
