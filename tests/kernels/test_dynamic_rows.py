from __future__ import annotations

import itertools
import math

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.kernels import (
    RowPool,
    _dynamic_rows,
    _dynamic_segments,
    dynamic_change,
    dynamic_draw,
    dynamic_find,
    dynamic_gather,
    dynamic_move,
    dynamic_place,
    dynamic_write,
)

KEY = np.uint64(2**63 + 12345)
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
EPS = np.finfo(np.float64).eps
FAN = 32


def empty_pool(capacities: list[int]) -> RowPool:
    """Return a pool of empty rows; what is not initialised holds values that show if they are read."""
    firsts, end = dynamic_place(np.array(capacities, dtype=np.int64), 0)
    size = -(-end // 16) * 16
    pool = RowPool(
        extents=np.stack([firsts, np.zeros_like(firsts), np.array(capacities)], axis=1),
        norms=np.zeros(len(capacities)),
        cols=np.full(size, -7),
        values=np.full(size, np.nan),
        slots=np.full(2 * size, 10**9, dtype=np.int32),
        groups=np.full(size // 16, np.nan),
    )
    dynamic_write(pool, np.arange(len(capacities)), *csr([{}] * len(capacities)))
    return pool


def csr(rows: list[dict[int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = np.array([value for row in rows for value in row.values()], dtype=np.float64)
    indices = np.array([col for row in rows for col in row], dtype=np.int64)
    return data, indices, np.cumsum([0] + [len(row) for row in rows])


def change(pool: RowPool, row: int, entries: dict[int, float]) -> int:
    at = np.array(list(entries), dtype=np.int64)
    return dynamic_change(pool, np.full(len(at), row), at, np.array(list(entries.values()), dtype=np.float64))


def stored(pool: RowPool, row: int) -> tuple[np.ndarray, np.ndarray]:
    first, length, _ = pool.extents[row]
    return pool.cols[first : first + length], pool.values[first : first + length]


def levels(values: np.ndarray, capacity: int) -> list[np.ndarray]:
    """Return the values, and the norms of groups of 32 of each level below one that has room for more than 32."""
    found = [values]
    while capacity > FAN:
        below = found[-1]
        found.append(np.array([math.hypot(*below[low : low + FAN]) for low in range(0, len(below), FAN)]))
        capacity //= FAN
    return found


def assert_sound(pool: RowPool, model: list[dict[int, float]]) -> None:
    for row, entries in enumerate(model):
        first, length, capacity = (int(part) for part in pool.extents[row])
        cols, values = stored(pool, row)
        assert dict(zip(cols.tolist(), values.tolist(), strict=True)) == entries
        assert length == len(entries)
        asked = np.array([*entries, *range(60)], dtype=np.int64)
        found = dynamic_find(pool, np.full(len(asked), row), asked)
        assert found.tolist() == [entries.get(col, 0.0) for col in asked.tolist()]
        names = pool.slots[2 * first : 2 * (first + capacity)]
        assert sorted(names[names >= 0].tolist()) == list(range(length))
        *parts, top = levels(values, capacity)
        base = first // 16
        for below in [*parts[1:], top] if parts else []:
            np.testing.assert_allclose(pool.groups[base : base + len(below)], below, rtol=40 * EPS)
            capacity //= FAN
            base += capacity
        assert pool.norms[row] == pytest.approx(math.hypot(*top), rel=40 * EPS, abs=0)


def test_to_remove_what_is_not_there_changes_nothing() -> None:
    for length in (3, 40):
        pool, entries = empty_pool([64]), {col: col + 1.0 for col in range(length)}
        change(pool, 0, entries)
        change(pool, 0, {50: 0.0})
        assert_sound(pool, [entries])


SEQUENCES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 40), st.sampled_from([0.0, 1.0, -2.5, 1e200, 1e-200])), max_size=60
)


@EXAMPLES
@given(st.lists(SEQUENCES, max_size=4))
def test_after_any_changes_a_row_holds_what_a_dictionary_holds(batches: list[list[tuple[int, int, float]]]) -> None:
    pool = empty_pool([64, 64])
    model: list[dict[int, float]] = [{}, {}]
    for batch in batches:
        batch.sort(key=lambda triple: triple[0])
        rows, cols, values = (np.array(part) for part in zip(*batch, strict=True)) if batch else ([], [], [])
        if batch:
            dynamic_change(pool, rows, cols, values)
        for row, col, value in batch:
            model[row].pop(col, None)
            if value:
                model[row][col] = value
        assert_sound(pool, model)


@pytest.mark.parametrize("home", [0, 3, 15])
def test_columns_that_collide_are_found_after_removals_in_every_order(home: int) -> None:
    # All five start from one slot of the 16; from the last one the run goes round to the first.
    cols = [col for col in range(400) if _dynamic_rows._home(col, 15) == home][:5]
    for order in itertools.permutations(cols, 4):
        pool = empty_pool([8])
        model = [{col: 1.0 + col for col in cols}]
        dynamic_write(pool, np.array([0]), *csr(model))
        for col in order:
            del model[0][col]
            change(pool, 0, {col: 0.0})
            assert_sound(pool, model)


def test_a_row_as_full_as_its_capacity_is_searched_to_an_end() -> None:
    pool = empty_pool([4])
    model = [{10: 1.0, 20: 2.0, 30: 3.0, 40: 4.0}]
    dynamic_write(pool, np.array([0]), *csr(model))
    assert_sound(pool, model)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025, 2047, 2049])
def test_every_level_is_right_as_a_row_crosses_the_sizes_of_groups(length: int) -> None:
    pool = empty_pool([4096])
    model = [{7 * col: 1.0 + col % 5 for col in range(length)}]
    dynamic_write(pool, np.array([0]), *csr(model))
    assert_sound(pool, model)
    for step in range(3):  # one by one, over the boundary and back
        change(pool, 0, {7 * (length + step): 3.0})
        model[0][7 * (length + step)] = 3.0
        assert_sound(pool, model)
    for col in list(model[0])[:5]:
        change(pool, 0, {col: 0.0})
        del model[0][col]
        assert_sound(pool, model)


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 1e-300])
def test_norms_do_not_depend_on_the_scale_of_a_row(size: float) -> None:
    pool = empty_pool([128])
    change(pool, 0, {col: 3.0 * size if col else 4.0 * size for col in range(100)})
    assert pool.norms[0] == pytest.approx(size * math.hypot(4.0, *[3.0] * 99), rel=40 * EPS, abs=0)
    change(pool, 0, {0: 1e-5 * size})
    assert pool.norms[0] == pytest.approx(size * math.hypot(1e-5, *[3.0] * 99), rel=40 * EPS, abs=0)


def test_the_cells_that_a_change_reads_grow_as_the_logarithm_of_the_row() -> None:
    read = {}
    exponents = (6, 11, 16) if numba.config.DISABLE_JIT else (6, 11, 16, 21)
    for exponent in exponents:
        pool = empty_pool([2**exponent])
        length = 2**exponent - 1
        model = np.arange(length)
        dynamic_write(pool, np.array([0]), np.ones(length), model, np.array([0, length]))
        middle = length // 2
        read[exponent] = max(change(pool, 0, {middle: 2.0}), change(pool, 0, {length + 5: 1.0}))
        removal = change(pool, 0, {middle: 0.0})
        assert removal <= 2 * read[exponent]
    # 32 cells a level: 2 levels for 64 entries, 5 for two million.
    assert read[exponents[0]] <= 2 * FAN
    for fewer, more in itertools.pairwise(exponents):
        assert read[more] <= read[fewer] + FAN


def test_many_changes_of_a_row_read_it_once() -> None:
    pool = empty_pool([1024])
    change(pool, 0, dict.fromkeys(range(1000), 1.0))
    n_read = change(pool, 0, dict.fromkeys(range(1000), 2.0))
    assert n_read <= 1000 + 2 * FAN


def naive_draws(pool: RowPool, rows: np.ndarray, key: int) -> list[int]:
    draws = []
    for position, row in enumerate(rows):
        cols, values = stored(pool, int(row))
        stream = oracles.uniforms(key, position)
        at, parts = 0, levels(np.abs(values), int(pool.extents[row, 2]))
        for level, part in zip(range(len(parts) - 1, -1, -1), reversed(parts), strict=True):
            high = len(part) if level == len(parts) - 1 else min(len(part), at + FAN)
            shares = np.cumsum((part[at:high] / part[at:high].max()) ** 2)
            at += int(np.searchsorted(shares, next(stream) * shares[-1], side="right"))
            at *= FAN if level else 1
        draws.append(int(cols[at]))
    return draws


@pytest.mark.parametrize("length", [5, 32, 33, 100, 1500])
def test_columns_are_those_of_the_naive_descent(length: int) -> None:
    rng = np.random.default_rng(length)
    pool = empty_pool([4, 4096])
    dynamic_change(pool, np.array([0]), np.array([3]), np.array([1.0]))
    change(pool, 1, dict(zip(rng.permutation(9000)[:length].tolist(), rng.standard_normal(length), strict=True)))
    rows = np.tile([1, 1, 0], 100)
    assert dynamic_draw(pool, rows, KEY).tolist() == naive_draws(pool, rows, int(KEY))


def test_an_empty_row_gives_minus_one() -> None:
    pool = empty_pool([0, 4, 64])
    change(pool, 2, {5: 1.0})
    change(pool, 2, {5: 0.0})
    assert dynamic_draw(pool, np.array([0, 1, 2]), KEY).tolist() == [-1, -1, -1]
    assert dynamic_find(pool, np.array([0, 1, 2]), np.array([5, 5, 5])).tolist() == [0.0, 0.0, 0.0]


def test_a_long_row_of_the_smallest_numbers_is_drawn_from_evenly() -> None:
    pool = empty_pool([64])
    change(pool, 0, dict.fromkeys(range(48), 5e-324))
    draws = dynamic_draw(pool, np.zeros(20_000, dtype=np.int64), KEY)
    assert oracles.chi_square_p(draws, np.full(48, 1 / 48)) > oracles.P_LOWEST
    # By the norms of the groups, which are rounded to 6 and 4 of these numbers, it would be 36 to 16.
    of_groups = draws // FAN
    assert oracles.chi_square_p(of_groups, np.array([32, 16]) / 48) > oracles.P_LOWEST
    assert oracles.chi_square_p(of_groups, np.array([36, 16]) / 52) < oracles.P_LOWEST


def test_the_columns_of_a_key_have_not_changed() -> None:
    pool = empty_pool([64])
    change(pool, 0, {col: 1.0 + col for col in range(60)})
    assert dynamic_draw(pool, np.zeros(10, dtype=np.int64), np.uint64(42)).tolist() == [
        42,
        46,
        43,
        46,
        52,
        59,
        32,
        58,
        50,
        42,
    ]


def test_segments_lie_behind_one_another_and_those_with_groups_are_aligned() -> None:
    capacities = np.array([4, 64, 0, 8, 32, 128, 4])
    firsts, end = dynamic_place(capacities, 4)
    assert firsts.tolist() == [4, 16, 80, 80, 88, 128, 256]
    assert end == 260


def test_a_row_that_moves_keeps_its_entries_and_leaves_the_others_alone() -> None:
    pool = empty_pool([4, 4, 64, 256])
    model = [{1: 1.0, 2: 2.0}, {3: 3.0}, dict.fromkeys(range(40), 1.0), {}]
    dynamic_write(pool, np.arange(4), *csr(model))
    first = pool.extents[3, 0]
    pool.extents[3] = 0  # its room is now free
    rows, capacities = np.array([2, 0]), np.array([128, 4])
    firsts, _ = dynamic_place(capacities, int(first))
    dynamic_move(pool, pool, rows, firsts, capacities)
    assert pool.extents[[2, 0], 0].tolist() == firsts.tolist()
    assert_sound(pool, model[:3])


def test_rows_are_gathered_in_the_order_asked_for() -> None:
    pool = empty_pool([4, 4, 4])
    dynamic_write(pool, np.arange(3), *csr([{1: 1.0, 2: 2.0}, {}, {3: 3.0}]))
    for index_type in (np.int32, np.int64):
        data, indices, indptr = dynamic_gather(pool, np.array([2, 0, 1, 2]), index_type)
        assert data.tolist() == [3.0, 1.0, 2.0, 3.0]
        assert indices.tolist() == [3, 1, 2, 3]
        assert indices.dtype == index_type
        assert indptr.tolist() == [0, 1, 3, 3, 4]


def test_work_in_many_chunks_is_the_work_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, cols = np.sort(rng.integers(0, 5, size=400)), rng.integers(0, 60, size=400)
    values = rng.standard_normal(400) * (rng.random(400) < 0.7)
    outcomes = []
    for chunk in (10**6, 7):
        monkeypatch.setattr(_dynamic_rows, "_CHUNK_CHANGES", chunk)
        monkeypatch.setattr(_dynamic_segments, "_CHUNK_ENTRIES", chunk)
        pool = empty_pool([64] * 5)
        dynamic_change(pool, rows, cols, values)
        grown = empty_pool([128] * 5)
        dynamic_move(pool, grown, np.arange(5), grown.extents[:, 0].copy(), np.full(5, 128))
        gathered = dynamic_gather(grown, np.arange(5), np.int64)
        draws = dynamic_draw(grown, np.arange(300) % 5, KEY)
        outcomes.append([*gathered, draws, dynamic_find(grown, rows, cols)])
    for one, many in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(one, many)
