"""Laws of the draws, and what must not change them: threads, other draws, the global random state."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired.exceptions import ZeroMassError
from qinspired.kernels import kernel_threads
from qinspired.testing._laws import require_independence, require_law, square_law
from qinspired.testing._rules import must_raise, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qinspired._typing import IntArray
    from qinspired.testing._values import Truth

__all__ = [
    "check_concurrency",
    "check_edges",
    "check_laws",
    "check_seeds",
    "check_threads",
    "check_zero_mass",
    "global_state_untouched",
    "require_draws",
]

_N_THREADS = 4


def require_draws(draws: Any, n_draws: int, n_items: int, where: str) -> None:
    rule = "draws are int64 indices in range, one for each asked"
    require(isinstance(draws, np.ndarray) and draws.dtype == np.int64, rule, f"`{where}` gave {_kind(draws)}")
    require(draws.shape == (n_draws,), rule, f"`{where}` gave shape {draws.shape} instead of {(n_draws,)}")
    if n_draws:
        low, high = int(draws.min()), int(draws.max())
        require(low >= 0 and high < n_items, rule, f"`{where}` gave {low} to {high}, outside [0, {n_items})")


def _kind(draws: Any) -> str:
    return f"{type(draws).__name__} of {getattr(draws, 'dtype', 'no dtype')}"


def check_laws(A: Any, truth: Truth, seed: int, n_draws: int) -> None:
    """Check the laws of rows, of entries with one seed for both indices, of each row's columns, and of one row's."""
    m, n = A.shape
    X = truth.dense
    row_law = square_law(truth.row_norms)
    where = f"sample_rows({n_draws}, {seed})"
    rows = A.sample_rows(n_draws, seed)
    require_draws(rows, n_draws, m, where)
    require_law(rows, row_law, "rows are drawn by squared norm", where, "row")
    require_independence(rows, row_law, where)

    safe = np.where(truth.row_norms > 0.0, truth.row_norms, 1.0)
    col_laws = (X / safe[:, None]) ** 2  # norms may not be squared: they may be 1e200
    rule = "columns are drawn by squared entry, independently of the rows drawn with the same seed"
    cols = A.sample_cols(rows, seed)
    where = f"sample_cols(sample_rows({n_draws}, {seed}), {seed})"
    require_draws(cols, n_draws, n, where)
    _require_entries(rows, cols, row_law[:, None] * col_laws, rule, where)

    drawable = np.flatnonzero(truth.row_norms)
    rule = "columns of every row are drawn by squared entry"
    evenly = np.random.default_rng(seed).choice(drawable, n_draws)
    where = f"sample_cols({n_draws} rows, {seed + 1})"
    shares = np.zeros(m)
    shares[drawable] = 1.0 / len(drawable)
    _require_entries(evenly, A.sample_cols(evenly, seed + 1), shares[:, None] * col_laws, rule, where)

    widest = int(np.argmax((X != 0.0).sum(axis=1)))
    where = f"sample_cols([{widest}] * {n_draws}, {seed + 2})"
    cols = A.sample_cols(np.full(n_draws, widest), seed + 2)
    law = square_law(X[widest])
    require_law(cols, law, "columns of every row are drawn by squared entry", where, "column")
    require_independence(cols, law, where)


def _require_entries(rows: IntArray, cols: IntArray, law: Any, rule: str, where: str) -> None:
    n = law.shape[1]
    flat = law.ravel()
    require_law(rows * n + cols, flat / flat.sum(), rule, where, "entry")


def check_edges(draw: Callable[..., Any], n_items: int, where: str) -> None:
    """Check no draws, bad numbers of draws, and the kinds of randomness."""
    rule = "the number of draws is an integer >= 0"
    require_draws(draw(0, 1), 0, n_items, f"{where}(0, 1)")
    require_draws(draw(np.int8(3), 1), 3, n_items, f"{where}(np.int8(3), 1)")
    must_raise((ValueError,), rule, f"{where}(-1, 1)", draw, -1, 1)
    for wrong in (2.0, True, "3", None):
        must_raise((TypeError,), rule, f"{where}({wrong!r}, 1)", draw, wrong, 1)
    check_randomness(lambda rng: draw(5, rng), n_items, f"{where}(5, {{}})")


def check_randomness(draw: Callable[[Any], Any], n_items: int, form: str) -> None:
    """Check the kinds of `rng`, those refused too, for calls that draw 5 items."""
    for rng in (None, 3, np.int64(3), np.random.default_rng(3), np.random.SeedSequence(3)):
        require_draws(draw(rng), 5, n_items, form.format(type(rng).__name__))
    rule = "`rng` is an int >= 0, a Generator, a SeedSequence or None"
    for wrong in (-1, 1.5, "a", True):
        must_raise((ValueError, TypeError), rule, form.format(repr(wrong)), draw, wrong)


def check_seeds(first: Callable[[Any], Any], again: Callable[[Any], Any], varied: bool, where: str) -> None:
    """Check two ways to the same draws, given a source of randomness; `varied` says that others must differ."""
    rule = "the same seed gives the same draws"
    wanted = first(5)
    require(np.array_equal(first(5), wanted), rule, f"two calls of `{where}` with rng=5 differ")
    require(np.array_equal(again(5), wanted), rule, f"`{where}` with rng=5 differs on an object built anew")
    from_generator = first(np.random.default_rng(5))
    require(np.array_equal(from_generator, wanted), rule, f"`{where}` with rng=5 and with default_rng(5) differ")
    if varied:
        rule = "another seed gives other draws, and a Generator advances"
        require(not np.array_equal(first(6), wanted), rule, f"`{where}` with rng=5 and rng=6 are the same")
        generator = np.random.default_rng(5)
        seen = f"`{where}` twice with one Generator is the same"
        require(not np.array_equal(first(generator), first(generator)), rule, seen)
        require(not np.array_equal(first(None), first(None)), rule, f"`{where}` twice with rng=None is the same")


def check_threads(draw: Callable[[int], Any], where: str) -> None:
    """Compare draws on one thread of the kernels with those of the parallel loops on all threads."""
    with kernel_threads(1):
        wanted = draw(7)
    with kernel_threads(parallel_from=1) as count:
        got = draw(7)
    rule = "draws do not depend on the number of threads"
    require(np.array_equal(got, wanted), rule, f"`{where}` with rng=7 differs between 1 and {count} threads")


def check_concurrency(build: Callable[[], Any], draw: Callable[[Any, int], Any], where: str) -> None:
    """Draw from one object in several Python threads at once, its first draws too."""
    plain, shared = build(), build()
    wanted = [draw(plain, seed) for seed in range(_N_THREADS)]
    together = Barrier(_N_THREADS)

    def work(seed: int) -> list[Any]:
        with kernel_threads(1):  # numba's workqueue ends a process whose parallel loops run in two threads at once
            together.wait()
            return [draw(shared, seed) for _ in range(3)]

    with ThreadPoolExecutor(_N_THREADS) as pool:
        got = list(pool.map(work, range(_N_THREADS)))
    rule = "draws in several Python threads are those of one"
    for seed, draws in enumerate(got):
        same = all(np.array_equal(one, wanted[seed]) for one in draws)
        require(same, rule, f"`{where}` with rng={seed} differs beside {_N_THREADS - 1} other threads")


@contextmanager
def global_state_untouched(where: str) -> Iterator[None]:
    """Require that numpy's and Python's global random states are neither read nor changed."""
    before = str(np.random.get_state()), random.getstate()  # noqa: NPY002
    yield
    after = str(np.random.get_state()), random.getstate()  # noqa: NPY002
    rule = "global random states are neither read nor changed"
    require(before[0] == after[0], rule, f"numpy's advanced during `{where}`")
    require(before[1] == after[1], rule, f"Python's advanced during `{where}`")


def check_zero_mass(A: Any) -> None:
    """Check that what has no mass is refused: a row of zeros, and a matrix of zeros."""
    rule = "nothing is drawn where there is no mass"
    norms = A.row_norms()
    empty, full = np.flatnonzero(norms == 0.0), np.flatnonzero(norms)
    if not len(full):
        must_raise((ZeroMassError,), rule, "sample_rows(1, 0) of a zero matrix", A.sample_rows, 1, 0)
    for row in empty[:2]:
        must_raise((ZeroMassError,), rule, f"sample_cols([{row}], 0)", A.sample_cols, [row], 0)
        mixed = [*full[:1].tolist(), int(row)]
        must_raise((ZeroMassError,), rule, f"sample_cols({mixed}, 0)", A.sample_cols, mixed, 0)
