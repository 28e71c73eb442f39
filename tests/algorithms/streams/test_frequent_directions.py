from __future__ import annotations

import copy
import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import qinspired as qi
from qinspired.algorithms.approximation._frequent_directions import frequent_directions, sketch_size
from qinspired.algorithms.streams import _rows
from qinspired.algorithms.streams._sketch_buffer import SketchBuffer
from qinspired.exceptions import ZeroMassError

EPS = float(np.finfo(np.float64).eps)


def noisy(m=400, n=60, rank=6, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n)) + noise * rng.standard_normal((m, n))


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


def sketched(A, size, *, block=37, dtype=np.float64, as_block=np.asarray):
    sketch = qi.FrequentDirections(A.shape[1], size, dtype=dtype)
    for start in range(0, len(A), block):
        sketch.update(as_block(A[start : start + block]))
    return sketch


def losses(A, B):
    """Return the eigenvalues of (A^T A - B^T B) / |A|_F^2, ascending."""
    norm = np.linalg.norm(A)
    A, B = A.astype(np.float64) / norm, B.astype(np.float64) / norm
    return np.linalg.eigvalsh(A.T @ A - B.T @ B)


def assert_bounds(A, sketch, rounding=1e-13):
    """0 <= |Ax|^2 - |Bx|^2 <= Delta <= |A - A_k|_F^2 / (l + 1 - k), as shares of |A|_F^2."""
    norm = np.linalg.norm(A)
    loss, delta = losses(A, sketch.sketch), sketch.shrinkage / norm / norm
    assert len(sketch.sketch) <= sketch.sketch_size
    assert loss[0] >= -rounding
    assert loss[-1] <= delta + rounding
    tails = 1.0 - np.cumsum(np.r_[0.0, np.linalg.svd(A / norm, compute_uv=False) ** 2])
    for k, tail in enumerate(tails[: sketch.sketch_size + 1]):
        assert delta <= tail / (sketch.sketch_size + 1 - k) + rounding


def true_errors(A, components):
    """Return |A - A V V^T|_F / |A|_F and the least possible one."""
    A = A / np.abs(A).max()
    V = np.linalg.qr(components.T.astype(np.float64))[0]
    norm = np.linalg.norm(A)
    left_out = np.linalg.svd(A / norm, compute_uv=False)[V.shape[1] :]
    return float(np.linalg.norm((A - (A @ V) @ V.T) / norm)), float(np.linalg.norm(left_out))


def assert_certified(A, approx):
    V = approx.components.astype(np.float64)
    tight = 100 * np.finfo(approx.dtype).eps
    np.testing.assert_allclose(V @ V.T, np.eye(len(V)), atol=tight)
    error, best = true_errors(A, approx.components)
    assert approx.error.low <= approx.error.value <= approx.error.high
    assert approx.error.low - 1e-14 <= error <= approx.error.high + 1e-14
    assert approx.error.low <= best + 1e-14
    assert approx.error.confidence == approx.excess.confidence == 1.0
    law = math.sqrt((approx.sketch_size + 1) / (approx.sketch_size + 1 - approx.rank)) - 1.0
    if approx.error.high > 1e4 * np.finfo(approx.dtype).eps:
        law += tight / approx.error.low  # what rounding adds to the bounds, 16 to 50 eps |A|_F, beside the error
        assert approx.excess.low <= approx.excess.value <= approx.excess.high <= law * (1 + 1e-3) + 1e-6
        assert error / best - 1.0 <= approx.excess.high + 1e-9
    norm = np.linalg.norm(A)
    values = np.linalg.svd(A / norm, compute_uv=False)[: approx.rank]
    assert np.all((approx.singular_values / norm) ** 2 <= values**2 + tight)
    assert np.all(values <= approx.singular_values_high / norm + tight)


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
    assert_bounds(both, _Rescaled(one, max(factors)))
    assert_certified(both * max(factors) if max(factors) > 1 else both, _as_scaled(one.low_rank(6), factors, both))


class _Rescaled:
    def __init__(self, sketch, factor):
        self.sketch, self.sketch_size = sketch.sketch / factor, sketch.sketch_size
        self.shrinkage = sketch.shrinkage / factor / factor


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


@pytest.mark.parametrize("factor", [1e150, 1e-150, 1e-300, 1e300])
@pytest.mark.parametrize("as_block", [np.asarray, sp.csr_array])
def test_entries_far_from_one_are_sketched_as_others_are(factor, as_block):
    A = noisy()
    plain, scaled = sketched(A, 12), sketched(A * factor, 12, as_block=as_block)
    np.testing.assert_allclose(
        scaled.sketch.T / factor @ (scaled.sketch / factor), plain.sketch.T @ plain.sketch, atol=1e-8
    )
    assert scaled.frobenius_norm / factor == pytest.approx(plain.frobenius_norm, rel=1e-12)
    one, two = plain.low_rank(6), scaled.low_rank(6)
    np.testing.assert_allclose(two.singular_values / factor, one.singular_values, rtol=1e-10)
    np.testing.assert_allclose(two.singular_values_high / factor, one.singular_values_high, rtol=1e-10)
    assert two.error.high == pytest.approx(one.error.high, rel=1e-6)
    assert two.excess.high == pytest.approx(one.excess.high, rel=1e-6)


@pytest.mark.parametrize("factors", [(1e-150, 1e150), (1e150, 1e-150), (1.0, 1e150), (1e-160, 1.0)])
def test_a_stream_may_change_its_scale(factors):
    A = noisy(m=200)
    sketch = sketched(A * factors[0], 12)
    sketch.update(sp.csr_array(A * factors[0]))
    sketch.update(A * factors[1])
    both = np.vstack([A * factors[0], A * factors[0], A * factors[1]]) / max(factors)
    assert sketch.frobenius_norm / max(factors) == pytest.approx(np.linalg.norm(both), rel=1e-12)
    assert_bounds(both, _Rescaled(sketch, max(factors)))


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_float32_entries_whose_squares_leave_its_range_are_sketched(factor):
    A = noisy().astype(np.float32)
    scaled = sketched(A * np.float32(factor), 12, dtype=np.float32)
    assert scaled.low_rank(6).error.value == pytest.approx(sketched(A, 12).low_rank(6).error.value, rel=1e-3)


def test_the_norm_is_that_of_all_rows_whatever_was_lost():
    A = noisy(m=3000)
    assert sketched(A, 1).frobenius_norm == pytest.approx(float(np.linalg.norm(A)), rel=1e-13)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "bsr", "dok", "dia"])
def test_every_sparse_format_is_taken(kind):
    A = np.diag(np.arange(1.0, 41.0)) + np.diag(np.ones(38), 2)
    sketch = qi.FrequentDirections(40, 6).update(sp.coo_array(A).asformat(kind))
    assert_bounds(A, sketch)


def test_dense_and_sparse_blocks_may_take_turns():
    A = noisy() * (np.random.default_rng(0).random((400, 60)) < 0.05)
    sketch = qi.FrequentDirections(60, 8)
    for i, part in enumerate(np.array_split(A, 23)):
        sketch.update(sp.csr_array(part) if i % 2 else part)
    assert_bounds(A, sketch)
    assert_certified(A, sketch.low_rank(5))


def test_thin_rows_are_not_made_dense(monkeypatch):
    A = sp.random_array((600, 800), density=0.01, rng=0, format="csr")
    monkeypatch.setattr(sp.csr_array, "toarray", _small_only(sp.csr_array.toarray, 400 * 400))
    sketch = qi.FrequentDirections(800, 5).update(A)
    monkeypatch.undo()
    assert_bounds(A.toarray(), sketch)


def _small_only(toarray, limit):
    def guarded(self, *arguments, **options):
        assert math.prod(self.shape) <= limit
        return toarray(self, *arguments, **options)

    return guarded


def test_integers_lists_and_other_layouts_are_taken():
    A = np.random.default_rng(0).integers(-9, 9, (50, 8))
    expected = qi.FrequentDirections(8, 4).update(A.astype(np.float64)).sketch
    for rows in (
        A,
        A.tolist(),
        np.asfortranarray(A),
        A.astype(">f8"),
        np.repeat(A, 2, axis=1)[:, ::2],
        A.astype(object),
    ):
        np.testing.assert_array_equal(qi.FrequentDirections(8, 4).update(rows).sketch, expected)


def test_a_mapped_file_is_read_in_parts(tmp_path, monkeypatch):
    A = noisy()
    np.save(tmp_path / "rows.npy", A)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    monkeypatch.setattr("qinspired.algorithms.streams._rows._PART_ENTRIES", 60 * 11)
    np.testing.assert_allclose(qi.FrequentDirections(60, 12).update(mapped).sketch, sketched(A, 12).sketch, atol=1e-10)


def test_blocks_without_rows_change_nothing():
    sketch = sketched(noisy(), 12)
    before = sketch.sketch
    assert sketch.update(np.empty((0, 60))).update(sp.csr_array((0, 60))) is sketch
    assert sketch.n_rows == 400
    np.testing.assert_array_equal(sketch.sketch, before)


def test_what_was_taken_in_may_be_written_over():
    A = noisy()
    for as_block in (np.array, sp.csr_array):
        sketch = qi.FrequentDirections(60, 200)
        block = as_block(A[:20])
        sketch.update(block)
        if as_block is np.array:
            block[:] = np.nan
        else:
            block.data[:] = np.nan
        np.testing.assert_array_equal(sketch.sketch, A[:20])


def test_rows_given_are_not_changed():
    for rows in (noisy(), noisy() * 1e200, sp.csr_array(noisy() * 1e200)):
        before = rows.copy()
        qi.FrequentDirections(60, 5).update(rows).low_rank(3)
        assert (before != rows).sum() == 0


def _state(sketch):
    return sketch.n_rows, sketch.frobenius_norm, sketch.shrinkage, sketch.sketch.tobytes(), sketch.low_rank(3).error


def _with(A, row, col, value):
    A = A.copy()
    A[row, col] = value
    return A


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.ones((3, 59)), ValueError, r"`rows` must have 60 columns, as the sketch has; got shape \(3, 59\)"),
        (np.ones((0, 59)), ValueError, r"`rows` must have 60 columns, as the sketch has; got shape \(0, 59\)"),
        (sp.csr_array((3, 61)), ValueError, r"`rows` must have 60 columns"),
        (np.ones(60), ValueError, r"2-dimensional; got shape \(60,\). Reshape a single row"),
        (_with(noisy(), 211, 5, np.nan), ValueError, r"`rows` must be finite.*got rows\[211, 5\] = nan"),
        (_with(noisy(), 399, 59, -np.inf), ValueError, r"`rows` must be finite.*got rows\[399, 59\] = -inf"),
        (sp.csr_array(_with(np.eye(60), 7, 9, np.nan)), ValueError, r"got rows\[7, 9\] = nan"),
        (sp.csr_array(_with(noisy(), 7, 9, np.inf)), ValueError, r"got rows\[7, 9\] = inf"),
        (noisy() * 1e306, ValueError, r"`rows` must"),
        (np.full((30, 60), 1e307), ValueError, r"Frobenius norm of all rows below 1.8e\+308"),
        (np.ones((3, 60), dtype=complex), ValueError, "must be real"),
        (np.array([["a"] * 60]), ValueError, "must be numeric"),
        ("rows.npy", TypeError, "got a string"),
        (None, ValueError, "2-dimensional"),
    ],
)
def test_a_block_that_is_refused_leaves_the_sketch_as_it_was(rows, error, message, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.streams._rows._PART_ENTRIES", 60 * 50)
    sketch = sketched(noisy(), 12)
    other = sketched(noisy(), 12)
    with pytest.raises(error, match=message):
        sketch.update(rows)
    assert _state(sketch) == _state(other)
    assert _state(sketch.update(noisy(seed=1))) == _state(other.update(noisy(seed=1)))


def test_a_number_beyond_float32_is_named_with_its_row():
    sketch = qi.FrequentDirections(60, 5, dtype=np.float32)
    for rows in (_with(noisy(), 8, 3, 1e39), sp.csr_array(_with(np.eye(60), 8, 3, 1e39))):
        with pytest.raises(ValueError, match=r"below 3.4e38 for a sketch of float32; got rows\[8, 3\] = 1e\+39"):
            sketch.update(rows)
    assert sketch.n_rows == 0


def test_an_interrupt_half_way_leaves_the_sketch_as_it_was(monkeypatch):
    sketch, other = sketched(noisy(), 12), sketched(noisy(), 12)
    kept, steps = SketchBuffer._keep, itertools.count()

    def interrupted(self, *arguments):
        if next(steps) == 3:
            raise KeyboardInterrupt
        kept(self, *arguments)

    seen = sketch.sketch.tobytes()
    monkeypatch.setattr(SketchBuffer, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sketch.update(noisy(seed=1))
    monkeypatch.undo()
    assert sketch.sketch.tobytes() == seen
    assert _state(sketch) == _state(other)
    assert _state(sketch.update(noisy(seed=2))) == _state(other.update(noisy(seed=2)))


def test_a_sketch_that_was_looked_at_survives_a_block_that_is_refused(monkeypatch):
    A = noisy() * (np.random.default_rng(0).random((400, 60)) < 0.05)
    sketch = qi.FrequentDirections(60, 12).update(A[:5]).update(sp.csr_array(A[5:9]))
    np.testing.assert_array_equal(sketch.sketch, A[:9])
    monkeypatch.setattr("qinspired.algorithms.streams._rows._PART_ENTRIES", 60 * 6)
    with pytest.raises(ValueError, match=r"rows\[11, 0\] = nan"):
        sketch.update(_with(noisy(), 11, 0, np.nan))
    np.testing.assert_array_equal(sketch.sketch, A[:9])


@pytest.mark.parametrize("size", [0, -1])
def test_a_sketch_needs_a_row(size):
    with pytest.raises(ValueError, match="`sketch_size` must be an integer >= 1"):
        qi.FrequentDirections(5, size)


@pytest.mark.parametrize("size", [2.0, True, "3", None])
def test_a_size_must_be_an_integer(size):
    with pytest.raises(TypeError, match="`sketch_size` must be an integer >= 1"):
        qi.FrequentDirections(5, size)


def test_rows_need_a_column():
    with pytest.raises(ValueError, match="`n_features` must be an integer >= 1; got 0"):
        qi.FrequentDirections(0, 3)


@pytest.mark.parametrize("dtype", [np.int64, np.float16, complex])
def test_a_sketch_is_of_float32_or_float64(dtype):
    with pytest.raises(ValueError, match="`dtype` must be float32 or float64"):
        qi.FrequentDirections(5, 3, dtype=dtype)


def test_what_is_no_type_is_refused_by_name():
    with pytest.raises(TypeError, match="`dtype` must be float32 or float64; got 'double trouble'"):
        qi.FrequentDirections(3, 3, dtype="double trouble")


def test_a_sketch_larger_than_4_gib_is_refused_before_it_is_made():
    with pytest.raises(
        ValueError, match="2 x sketch_size dense rows of 10000000 float64 numbers take at most 4 GiB; got 100"
    ):
        qi.FrequentDirections(10_000_000, 100)


@pytest.mark.parametrize(("rank", "largest"), [(13, 12), (0, None), (61, 12)])
def test_a_rank_out_of_range_is_refused(rank, largest):
    sketch = sketched(noisy(), 12)
    message = "`rank` must be an integer >= 1" if largest is None else rf"= \[1, {largest}\] for a sketch of size 12"
    with pytest.raises(ValueError, match=message):
        sketch.low_rank(rank)


def test_a_rank_above_the_number_of_rows_or_columns_is_refused():
    with pytest.raises(ValueError, match=r"\[1, 3\] for a sketch of size 12 that has seen 3 rows"):
        qi.FrequentDirections(60, 12).update(noisy(m=3)).low_rank(4)
    with pytest.raises(ValueError, match=r"\[1, 9\].* rows of 9 columns"):
        sketched(noisy(n=9), 12).low_rank(10)
    with pytest.raises(TypeError, match="`rank` must be an integer"):
        sketched(noisy(), 12).low_rank(2.0)


def test_no_answer_from_no_rows():
    with pytest.raises(ZeroMassError, match="rows must be taken in first"):
        qi.FrequentDirections(4, 2).low_rank(1)


def test_no_answer_from_rows_of_zeros():
    with pytest.raises(ZeroMassError, match="a row that is not zero"):
        qi.FrequentDirections(4, 2).update(np.zeros((5, 4))).low_rank(1)


@pytest.mark.parametrize("as_block", [np.asarray, sp.csr_array])
def test_looking_at_a_sketch_does_not_change_what_follows(as_block):
    A = noisy() * (np.random.default_rng(0).random((400, 60)) < 0.08)
    quiet, watched = qi.FrequentDirections(60, 12), qi.FrequentDirections(60, 12)
    for start in range(0, 400, 17):
        quiet.update(as_block(A[start : start + 17]))
        watched.update(as_block(A[start : start + 17]))
        seen, again = watched.sketch, watched.sketch
        np.testing.assert_array_equal(seen, again)
        assert_bounds(A[: start + 17], watched)
        watched.low_rank(2)
    np.testing.assert_array_equal(watched.sketch, quiet.sketch)
    assert watched.shrinkage == quiet.shrinkage
    quiet.sketch[:] = 0.0
    np.testing.assert_array_equal(watched.sketch, quiet.sketch)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda sketch: pickle.loads(pickle.dumps(sketch))])
def test_a_copy_goes_its_own_way(duplicate):
    A, B = noisy(), noisy(seed=1)
    one = sketched(A, 12)
    two = duplicate(one)
    one.update(B[:5])
    two.update(B[5:9])
    np.testing.assert_array_equal(one.sketch, sketched(A, 12).update(B[:5]).sketch)
    np.testing.assert_array_equal(two.sketch, sketched(A, 12).update(B[5:9]).sketch)


def test_blocks_from_several_threads_are_all_taken_in():
    A = noisy(m=400)
    sketch = qi.FrequentDirections(60, 12)
    other = sketched(noisy(m=100), 12)

    def feed(start):
        for first in range(start, start + 100, 4):
            sketch.update(A[first : first + 4])
            assert len(sketch.sketch) <= 12
        sketch.merge(other)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(feed, range(0, 400, 100)))
    assert sketch.n_rows == 800
    energy = np.linalg.norm(A) ** 2 + 4 * np.linalg.norm(noisy(m=100)) ** 2
    np.testing.assert_allclose(sketch.frobenius_norm**2, energy)
    assert np.linalg.norm(sketch.sketch) ** 2 <= energy


def test_parts_of_rows_of_another_type_are_converted_one_at_a_time(monkeypatch):
    sizes = []
    original = _rows.dense_row_norms
    monkeypatch.setattr(_rows, "dense_row_norms", lambda part: sizes.append(part.size) or original(part))
    qi.low_rank(np.ones((3000, 1000), dtype=np.float32), 1, method="frequent_directions", rng=0)
    assert len(sizes) >= 6
    assert max(sizes) <= 500_000


def test_the_same_blocks_give_the_same_answer_to_the_bit():
    one, two = (sketched(noisy(), 12).low_rank(5) for _ in range(2))
    np.testing.assert_array_equal(one.components, two.components)
    assert one.error == two.error


def test_an_answer_tells_what_was_read():
    A = noisy()
    approx = sketched(A, 12).low_rank(5)
    stats = approx.stats
    assert (stats.rows_read, stats.entries_read, stats.bytes_read, stats.full_passes) == (400, 24_000, 192_000, 1)
    assert approx.shape == (400, 60)
    assert (approx.rank, approx.dtype, approx.sketch_size, approx.method) == (5, np.float64, 12, "frequent_directions")
    thin = qi.FrequentDirections(60, 12).update(sp.csr_array(np.eye(60, dtype=np.float32)))
    assert (thin.low_rank(3).stats.entries_read, thin.low_rank(3).stats.bytes_read) == (60, 480)
    text = approx.explain()
    assert "rank-5 approximation of a stream of 400 rows of 60 columns: a sketch of 12 rows lost" in text
    assert "192,000 bytes, each once; kept at most 24 rows" in text
    assert repr(sketched(A, 12)) == "FrequentDirections(n_features=60, sketch_size=12, dtype=float64, n_rows=400)"


def test_an_answer_projects_rows():
    A = noisy()
    approx = sketched(A, 12).low_rank(5)
    expected = A[:4] @ approx.components.T @ approx.components
    np.testing.assert_allclose(approx.project(A[:4]), expected)
    np.testing.assert_allclose(approx.project(sp.csr_array(A[:4])), expected)
    with pytest.raises(ValueError, match="`rows` must have 60 columns"):
        approx.project(np.ones((1, 61)))


def streamed(X, rank, tolerance):
    A = qi.CountingMatrix(qi.as_sq_matrix(X))
    return A, frequent_directions(A, rank, tolerance)


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.03])
@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_array, lambda X: X.astype(np.float32)])
def test_one_pass_certifies_the_tolerance(tolerance, as_matrix):
    X = np.random.default_rng(0).standard_normal((500, 120))
    A, approx = streamed(as_matrix(X), 3, tolerance)
    assert approx.excess.high <= tolerance
    assert_certified(X, approx)
    assert approx.components.dtype == A.dtype
    assert (A.counts.full_passes, A.counts.rows_read) == (1, 0)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.floats(0.005, 0.99))
def test_the_size_of_the_sketch_follows_the_law(rank, tolerance):
    size = sketch_size((10**6, 4000), rank, tolerance)
    assert rank <= size <= 512
    if size < 512:
        assert math.sqrt((size + 1) / (size + 1 - rank)) - 1.0 <= tolerance * (1 + 1e-12)
        assert size == rank or math.sqrt(size / (size - rank)) - 1.0 > tolerance * (1 - 1e-12)


def test_the_size_of_the_sketch_has_its_limits():
    assert sketch_size((40, 1000), 10, 0.001) == 40
    assert sketch_size((1000, 30), 10, 0.001) == 30
    assert sketch_size((10**6, 10**4), 400, 0.01) == 800
    assert sketch_size((10**6, 10**6), 10, 0.01) == 67
    with pytest.raises(ValueError, match="`rank` must be at most 3 for rows of 10000000 columns with"):
        sketch_size((10**6, 10**7), 10, 0.01)


def test_a_matrix_whose_rows_may_not_be_read_is_refused():
    X = noisy()
    A = qi.ImplicitMatrix(
        np.linalg.norm(X, axis=1),
        None,
        shape=X.shape,
        entry_function=lambda rows, cols: X[rows, cols],
        entry_bound=float(np.abs(X).max()),
    )
    with pytest.raises(ValueError, match=r"rows that may be read whole for method='frequent_directions'.*method='fkv'"):
        frequent_directions(qi.CountingMatrix(A), 3, 0.1)
