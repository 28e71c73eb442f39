"""The contenders of the frontier: every method of `low_rank` from three starts, and the rivals."""

from __future__ import annotations

import itertools
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse as sp

import qinspired as qi
from qinspired.exceptions import ToleranceNotMetWarning

STARTS = ("cold", "warm", "no index")
METHODS = (
    "auto",
    "gram",
    "krylov",
    "polished",
    "leverage",
    "residual",
    "randomized",
    "frequent_directions",
    "fkv",
    "exact",
)
UNINDEXED = ("auto", "gram", "krylov")  # those that `start="uniform"` goes with

# A rate of LAPACK's SVD, in operations a second, that only decides whether it is tried.
_LAPACK_RATE = 3e10


class OutOfTimeError(BaseException):
    """Not an Exception: some solvers go on after any of those."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError between two Python steps after so many seconds, where the system has interval timers."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    fired = False

    def stop(*_: Any) -> None:
        nonlocal fired
        fired = True
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
    try:
        yield
    except Exception as error:
        # PROPACK reports what its callback raised as an error of its own.
        if fired:
            raise OutOfTimeError from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Case:
    """A matrix, the rank, the best error of that rank, and the ratios aimed at: cold, warm, without an index."""

    name: str
    about: str
    A: Any
    rank: int
    optimal_error: float
    targets: dict[float, tuple[float, float, float]] = field(default_factory=dict)

    @cached_property
    def indexed(self) -> Any:
        return qi.as_sq_matrix(self.A)

    @property
    def lapack_seconds(self) -> float:
        m, n = sorted(self.A.shape, reverse=True)
        return 4.0 * m * n**2 / _LAPACK_RATE


@dataclass
class Answer:
    components: np.ndarray
    seconds: float | None  # by the solver's own clock, which leaves the checks of arguments out, or None
    certified: float = math.nan
    used: str = ""


@dataclass
class Contender:
    """A way to an answer, with what was measured of it at one level."""

    method: str
    start: str  # one of STARTS; empty for a rival
    run: Callable[[int], Answer]
    seconds: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    true: list[float] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.start

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    def reaches(self, level: float) -> bool:
        return bool(self.true) and max(self.true) <= level

    def record(self, case: Case, level: float | None) -> dict[str, Any]:
        kind = "ours" if self.start else "rival"
        certified = max((a.certified for a in self.answers), default=math.nan)
        used = self.answers[-1].used if self.answers else ""
        return {
            "kind": kind,
            "matrix": case.name,
            "method": self.method,
            "start": self.start,
            "tolerance": level,
            "seconds": self.median,
            "rounds": len(self.seconds),
            "true_excess": max(self.true),
            "seeds": len(self.true),
            "certified_excess": certified if math.isfinite(certified) else None,
            "used": used,
        }


def _ours(source: Any, rank: int, method: str, level: float, options: dict[str, str], seed: int) -> Answer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToleranceNotMetWarning)
        found = qi.low_rank(source, rank, tolerance=level, method=method, rng=seed, **options)
        formed = found.formed() if hasattr(found, "formed") else found
    # Where uniform rows will not do, the index is built after all.
    fallback = " (index built)" if "start" in options and found.stats.index_seconds > 0.0 else ""
    return Answer(formed.components, None, found.excess.high, found.method + fallback)


def our_contenders(case: Case, level: float, usable: set[tuple[str, str]]) -> list[Contender]:
    found = []
    for method, start in itertools.product(METHODS, STARTS):
        if (method, start) not in usable:
            continue
        options = {"start": "uniform"} if start == "no index" else {}
        source = case.indexed if start == "warm" else case.A
        found.append(Contender(method, start, partial(_ours, source, case.rank, method, level, options)))
    return found


def usable_methods(case: Case, cap: float) -> set[tuple[str, str]]:
    """Return what goes together, each compiled by one small call; LAPACK's SVD only where it fits the cap."""
    found = set()
    small = case.A[: min(case.A.shape[0], 400)]
    for method in METHODS:
        if method == "exact" and case.lapack_seconds > cap:
            continue
        for start in STARTS:
            if start == "no index" and method not in UNINDEXED:
                continue
            options = {"start": "uniform"} if start == "no index" else {}
            found.add((method, start))
            if method != "exact" and start != "warm":
                try:
                    with time_limit(cap):
                        _ours(small, min(case.rank, *small.shape), method, 0.3, options, 0)
                except (OutOfTimeError, ValueError):
                    pass
    return found


def _dask_svd(A: np.ndarray, rank: int, *, n_power_iter: int, rng: int) -> Any:
    import dask
    import dask.array as da

    chunk = max(1, 16_000_000 // A.shape[1])
    started = time.perf_counter()
    lazy = da.linalg.svd_compressed(da.from_array(A, chunks=(chunk, -1)), rank, n_power_iter=n_power_iter, seed=rng)
    _, s, Vt = dask.compute(*lazy)
    return qi.baselines.SVDResult(np.asarray(Vt), np.asarray(s), time.perf_counter() - started, "dask svd_compressed")


def rivals(case: Case, cap: float) -> list[Contender]:
    """Return the rivals, likeliest to be fastest first."""
    A, k, solve = case.A, case.rank, qi.baselines
    found: dict[str, Callable[[int], Any]] = {}

    def by_sketch(*n_iters: Any) -> None:
        for q in n_iters:
            found[f"randomized_svd(n_iter={q})"] = lambda s, q=q: solve.randomized_svd(A, k, n_iter=q, rng=s)

    def by_fbpca(*n_iters: int) -> None:
        for q in n_iters if find_spec("fbpca") else ():
            found[f"fbpca(n_iter={q})"] = lambda s, q=q: solve.fbpca(A, k, n_iter=q, rng=s)

    def by_arpack(tol: float) -> None:
        found[f"svds(arpack, tol={tol:g})"] = lambda s: solve.svds(A, k, tolerance=tol, rng=s)

    by_sketch(0, 1, 2)
    by_fbpca(0, 1)
    by_arpack(0.1)
    if not sp.issparse(A) and find_spec("dask"):
        for q in (0, 1):
            found[f"dask svd_compressed(n_power_iter={q})"] = lambda s, q=q: _dask_svd(A, k, n_power_iter=q, rng=s)
    by_fbpca(2)
    by_sketch(4, "auto")
    by_arpack(0.0)
    found["truncated_svd"] = lambda s: solve.truncated_svd(A, k, rng=s)
    for solver in ("lobpcg", "propack"):
        found[f"svds({solver})"] = lambda s, name=solver: solve.svds(A, k, solver=name, rng=s)
    if case.lapack_seconds <= cap:
        found["exact_svd"] = lambda s: solve.exact_svd(A, k)  # noqa: ARG005

    def run(solver: Callable[[int], Any], seed: int) -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LOBPCG warns of its tolerance
            result = solver(seed)
        return Answer(result.components, result.seconds)

    return [Contender(name, "", partial(run, solver)) for name, solver in found.items()]
