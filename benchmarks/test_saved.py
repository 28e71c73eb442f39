"""Saved matrices against `numpy.load(mmap_mode="r")`: opening, rows at their first and second touch, a full pass.

The matrix: dense float32, 40,000 x 10,000 (1.6 GB). Its file is in memory when the clock runs, so that the ratios are
of work, not of the disk. `qi.open` knows the norms and checks what it reads; the rival has neither, so beside it stands
the rival with its index.
"""

from __future__ import annotations

import numpy as np
import pytest
from timing import side_by_side

import qinspired as qi
from qinspired.access.saved import _checked, _format

N_ROWS = 3000


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny):
    """Return the folder of a saved matrix and the path of its plain `.npy` twin, which is its own part."""
    shape = (2000, 500) if tiny else (40_000, 10_000)
    folder = tmp_path_factory.mktemp("saved") / "A"
    qi.save(folder, np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    qi.open(folder, verify="all")
    (plain,) = folder.glob("data-*.npy")
    return folder, plain


def rounds(tiny):
    return 1 if tiny else 7


def test_opening_against_a_map_and_a_map_with_index(benchmark, saved, report, tiny, monkeypatch):
    folder, plain = saved
    timed = side_by_side(
        {
            "open": lambda: qi.open(folder),
            "map": lambda: np.load(plain, mmap_mode="r"),
            "map and index": lambda: qi.as_sq_matrix(np.load(plain, mmap_mode="r")),
        },
        rounds(tiny),
    )
    ours, mapped, indexed = (timed[name][0].median for name in ("open", "map", "map and index"))
    count, real = [], _format.read_exactly

    def counting(descriptor, size, offset, file):
        count.append(size)
        return real(descriptor, size, offset, file)

    monkeypatch.setattr(_checked, "read_exactly", counting)
    qi.open(folder)
    n_bytes = sum(count) + (folder / _format.HEADER_NAME).stat().st_size
    benchmark.extra_info.update(seconds=ours, map=mapped, map_and_index=indexed, bytes_read=n_bytes)
    benchmark.pedantic(lambda: qi.open(folder), rounds=1 if tiny else 5)
    report(
        f"open {plain.stat().st_size / 1e9:.2f} GB: {ours * 1e3:.2f} ms and {n_bytes:,} bytes read; "
        f"{indexed / ours:.0f}x faster than a map with its index, {ours / mapped:.1f}x slower than the bare map"
    )


def test_rows_at_first_and_second_touch(benchmark, saved, report, tiny):
    folder, plain = saved
    shape = qi.open(folder).shape
    rows = np.random.default_rng(1).integers(0, shape[0], min(N_ROWS, shape[0]))
    mapped = qi.access.DenseMatrix(np.load(plain, mmap_mode="r"), qi.open(folder).row_norms())

    def first(verify):
        return lambda: qi.open(folder, verify=verify).rows(rows)

    touched = qi.open(folder)
    touched.rows(rows)
    timed = side_by_side(
        {
            "first, checked": first("read"),
            "first, unchecked": first("none"),
            "second, checked": lambda: touched.rows(rows),
            "map": lambda: mapped.rows(rows),
        },
        rounds(tiny),
    )
    median = {name: timing.median for name, (timing, _) in timed.items()}
    benchmark.extra_info.update(median)
    benchmark.pedantic(lambda: touched.rows(rows), rounds=1 if tiny else 5)
    report(
        f"{len(rows)} rows of {shape[1]}: first touch checked {median['first, checked'] * 1e3:.0f} ms, "
        f"{median['first, checked'] / median['first, unchecked']:.1f}x the time unchecked; second touch "
        f"{median['second, checked'] / median['map']:.2f}x that of a plain map"
    )


def test_a_full_pass_first_and_second(benchmark, saved, report, tiny):
    folder, plain = saved
    mapped = qi.access.DenseMatrix(np.load(plain, mmap_mode="r"), qi.open(folder).row_norms())
    X = np.random.default_rng(2).standard_normal((mapped.shape[1], 8), dtype=np.float32)
    touched = qi.open(folder, verify="all")
    timed = side_by_side(
        {
            "first": lambda: qi.open(folder).matmul(X),
            "second": lambda: touched.matmul(X),
            "map": lambda: mapped.matmul(X),
            "check": lambda: qi.open(folder, verify="all"),
        },
        rounds(tiny),
    )
    median = {name: timing.median for name, (timing, _) in timed.items()}
    benchmark.extra_info.update(median)
    benchmark.pedantic(lambda: touched.matmul(X), rounds=1 if tiny else 3)
    rate = plain.stat().st_size / median["check"] / 1e9
    report(
        f"A @ X with 8 columns: first pass {median['first'] / median['map']:.2f}x that over a plain map, second "
        f"{median['second'] / median['map']:.2f}x; checking alone {rate:.2f} GB/s"
    )
