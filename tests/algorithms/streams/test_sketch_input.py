from __future__ import annotations

import copy
import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from row_streams import Rescaled, assert_bounds, assert_certified, noisy, sketched

import qinspired as qi
from qinspired.algorithms.streams import _rows
from qinspired.algorithms.streams._sketch_buffer import SketchBuffer
from qinspired.exceptions import ZeroMassError


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
    assert_bounds(both, Rescaled(sketch, max(factors)))


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
