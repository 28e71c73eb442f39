"""All that a matrix that can change must do: after any updates it is as if made anew from the changed array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_finite_dense
from qinspired.access import as_sq_matrix
from qinspired.exceptions import VersionError
from qinspired.testing._rules import must_raise, require, require_close, stage
from qinspired.testing._sq_matrix import check_sq_matrix, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array, RNGLike

__all__ = ["check_updatable_matrix"]

_HUGE = 2.0**40
_GROWS = "the version grows with each update"


def check_updatable_matrix(
    build: Callable[[], Any],
    dense: npt.ArrayLike,
    *,
    rng: RNGLike = 0,
    n_draws: int = 20_000,
    rtol: float | None = None,
    n_updates: int = 30,
) -> None:
    """Conformance of a matrix A with `update(rows, cols, values)` to an array that changes in the same way.

    Parameters
    ----------
    build : callable
        Makes the object afresh at each call.
    dense : array_like, shape (m, n)
        Its entries before any update.
    rng, n_draws, rtol
        As for `check_sq_matrix`.
    n_updates : int, default=30
        Random updates, each of up to 8 entries, >= 1.

    Raises
    ------
    ConformanceError
        At the first rule that does not hold.
    ValueError, TypeError
        If an argument is out of range, or `n_draws` too small.

    Notes
    -----
    `update` sets A[rows, cols] = values. Entries are set, overwritten by others 2^40 times as large or small, and
    removed; norms must be right after each update, without drift, and draws must follow at once. The version grows
    with each update that changes an entry, and what was pinned before refuses. A bad update changes nothing.
    `delete(rows, cols)`, `append_rows(block)` and `delete_rows(rows)` are used where there are such methods; deleted
    rows may stay as rows of zeros or go. At last `check_sq_matrix` looks at the object after all updates.
    Cost: about 13 times the `n_updates` updates.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> from qinspired.testing import check_updatable_matrix
    >>> class Changeable(qi.RowStorage):
    ...     def __init__(self, X):
    ...         self._X, self.version = np.array(X), 0
    ...         super().__init__(self._X.shape, self._X.dtype)
    ...     def _read_rows(self, rows):
    ...         return self._X[rows]
    ...     def update(self, rows, cols, values):
    ...         self._X[rows, cols] = values  # checks nothing, and the index does not follow
    >>> check_updatable_matrix(lambda: Changeable(np.eye(3)), np.eye(3))
    Traceback (most recent call last):
    qinspired.testing.ConformanceError: the version grows with each update: ...
    """
    X = check_finite_dense(dense, "dense").astype(np.float64)
    check_count(n_draws, "n_draws")
    n_updates = check_count(n_updates, "n_updates", low=1)
    seed = int(as_generator(rng).integers(2**31))
    with stage("a matrix that can change has `update` and `version`", build()):
        A = build()
        for name in ("update", "version"):
            require(hasattr(A, name), "a matrix that can change has `update` and `version`", f"`{name}` is missing")
    with stage(_GROWS, A):
        _check_pins(build(), X)
    with stage("a bad update changes nothing", A):
        _check_bad_updates(build(), X)
    run = _Run(build, X)
    with stage("after updates the matrix is the changed one", A):
        run.make(np.random.default_rng(seed), n_updates, rtol)
        _check_repeats(build(), X)
    with stage("draws follow an update at once", A):
        _check_draws_follow(build(), X)
    check_sq_matrix(run.replay, run.model, rng=seed, n_draws=n_draws, rtol=rtol)


class _Run:
    """Updates of an object beside those of an array, which can be done again."""

    def __init__(self, build: Callable[[], Any], dense: Float64Array) -> None:
        self.build = build
        self.model = dense.copy()
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def replay(self) -> Any:
        A = self.build()
        for name, given in self.calls:
            getattr(A, name)(*given)
        return A

    def make(self, rng: np.random.Generator, n_updates: int, rtol: float | None) -> None:
        A = self.build()
        for step in range(n_updates):
            rows, cols = self._places(rng)
            values = rng.integers(-16, 17, len(rows)) / 4.0
            if step % 5 == 3:  # large ones, and then small ones in their place: differences of squares would drift
                self._do(A, "update", rows, cols, np.full(len(rows), _HUGE))
                self._compare(A, rtol)
            if step % 7 == 5:  # a whole row of zeros
                cols = np.arange(self.model.shape[1])
                rows, values = np.full(len(cols), rows[0]), np.zeros(len(cols))
            self._do(A, "update", rows, cols, values)
            self._compare(A, rtol)
        self._use_other_methods(A, rng, rtol)
        # Something must be left to draw, in two rows if there are two.
        ends = np.unique([0, self.model.shape[0] - 1])
        self._do(A, "update", ends, np.zeros(len(ends), dtype=np.int64), np.full(len(ends), 3.0))
        self._compare(A, rtol)

    def _places(self, rng: np.random.Generator) -> tuple[Any, Any]:
        m, n = self.model.shape
        places = rng.choice(m * n, size=min(m * n, int(rng.integers(1, 9))), replace=False)
        return places // n, places % n

    def _use_other_methods(self, A: Any, rng: np.random.Generator, rtol: float | None) -> None:
        if hasattr(A, "delete"):
            self._do(A, "delete", *self._places(rng))
            self._compare(A, rtol)
        if hasattr(A, "append_rows"):
            self._do(A, "append_rows", rng.integers(-16, 17, (2, self.model.shape[1])) / 4.0)
            self._compare(A, rtol)
        if hasattr(A, "delete_rows"):
            self._do(A, "delete_rows", np.array([self.model.shape[0] // 2]))
            self._compare(A, rtol)

    def _do(self, A: Any, name: str, *given: Any) -> None:
        before, was = A.version, self.model.copy()
        getattr(A, name)(*given)
        self.calls.append((name, given))
        if name in ("update", "delete"):
            self.model[given[0], given[1]] = given[2] if name == "update" else 0.0
        elif name == "append_rows":
            self.model = np.concatenate([self.model, given[0]])
        elif A.shape == self.model.shape:
            self.model[given[0]] = 0.0
        else:
            self.model = np.delete(self.model, given[0], axis=0)
        # What changes no entry may leave the version alone.
        grows = A.version > before or (A.version == before and np.array_equal(was, self.model))
        require(grows, _GROWS, f"`{name}`, call {len(self.calls)}, took it from {before} to {A.version}")

    def _compare(self, A: Any, rtol: float | None) -> None:
        truth = truth_of(A, self.model, rtol)
        last, given = self.calls[-1]
        where = f"after {len(self.calls)} calls, the last one {last}({', '.join(str(np.shape(x)) for x in given)} ...)"
        rule = "after updates the matrix is the changed one"
        require(A.shape == self.model.shape, rule, f"`shape` is {A.shape} instead of {self.model.shape} {where}")
        m, n = A.shape
        got = A.query(np.arange(m)[:, None], np.arange(n)[None, :])
        require_close(got, truth.dense, truth.slack[:, None], rule, f"query(all, all) {where}")
        rule = "norms do not drift under updates"
        require_close(A.row_norms(), truth.row_norms, truth.norm_slack, rule, f"row_norms() {where}")
        require_close(
            A.frobenius_norm, np.array(truth.frobenius_norm), truth.norm_share * truth.frobenius_norm, rule,
            f"frobenius_norm {where}",
        )  # fmt: skip


def _check_pins(A: Any, dense: Float64Array) -> None:
    """Require that what was pinned before an update refuses every access after it, naming both versions."""
    m, n = dense.shape
    pinned, before = as_sq_matrix(A), A.version
    A.update([m - 1], [n - 1], [float(dense[m - 1, n - 1]) + 1.0])
    require(isinstance(A.version, int) and A.version > before, _GROWS, f"`update` took it from {before} to {A.version}")
    rule = "what was made before an update refuses after it"
    asked: dict[str, Callable[[], Any]] = {
        "shape": lambda: pinned.shape,
        "frobenius_norm": lambda: pinned.frobenius_norm,
        "row_norms()": pinned.row_norms,
        "row_lengths([0])": lambda: pinned.row_lengths([0]),
        "query([0], [0])": lambda: pinned.query([0], [0]),
        "rows([0])": lambda: pinned.rows([0]),
        "row_blocks(1)": lambda: list(pinned.row_blocks(1)),
        "sample_rows(1, 0)": lambda: pinned.sample_rows(1, 0),
        "sample_cols([0], 0)": lambda: pinned.sample_cols([m - 1], 0),
        "matmul": lambda: pinned.matmul(np.ones((n, 1), dtype=A.dtype)),
        "rmatmul": lambda: pinned.rmatmul(np.ones((m, 1), dtype=A.dtype)),
    }
    for where, ask in asked.items():
        message = str(must_raise((VersionError,), rule, f"as_sq_matrix(A).{where}", ask))
        named = str(before) in message and str(A.version) in message
        require(named, rule, f"the message of `{where}` must name versions {before} and {A.version}; it is: {message}")


def _check_bad_updates(A: Any, dense: Float64Array) -> None:
    rule = "a bad update is refused"
    m, n = dense.shape
    index, value = (IndexError,), (ValueError,)
    both = (ValueError, TypeError)
    bad: list[tuple[tuple[type[Exception], ...], Any, Any, Any]] = [
        (index, [m], [0], [1.0]),
        (index, [-1], [0], [1.0]),
        (index, [0], [n], [1.0]),
        (index, [0], [-1], [1.0]),
        (index, [0, m], [0, 0], [5.0, 5.0]),
        (index, [0, m - 1], [0, n], [5.0, 5.0]),
        (value, [0, m - 1], [0, n - 1], [5.0, np.nan]),
        (value, [0, m - 1], [0, n - 1], [5.0, -np.inf]),
        (value, [0, m - 1], [0, 0, 0], [5.0, 5.0]),
        (value, [0, m - 1], [0, 0], [5.0, 5.0, 5.0]),
        (both, [0.0], [0], [5.0]),
        (both, [0], [0], [5j]),
        (both, [0], [0], ["a"]),
    ]
    version = A.version
    everything = np.arange(m)[:, None], np.arange(n)[None, :]
    entries, norms, total = A.query(*everything), A.row_norms(), A.frobenius_norm
    for errors, rows, cols, values in bad:
        where = f"update({rows}, {cols}, {values})"
        must_raise(errors, rule, where, A.update, rows, cols, values)
        changed = "a bad update changes nothing"
        require(A.version == version, changed, f"`{where}` took the version from {version} to {A.version}")
        require_close(A.query(*everything), entries, 0, changed, f"query(all, all) after {where}")
        require_close(A.row_norms(), norms, 0, changed, f"row_norms() after {where}")
        require(A.frobenius_norm == total, changed, f"`frobenius_norm` is {A.frobenius_norm} after `{where}`")


def _check_draws_follow(A: Any, dense: Float64Array) -> None:
    """Put nearly all mass into one entry, after draws that may have been prepared for, and draw."""
    m, n = dense.shape
    if A.frobenius_norm > 0.0:
        A.sample_cols(A.sample_rows(20, 0), 0)
    rule = "draws follow an update at once"
    huge = _HUGE * max(1.0, float(np.abs(dense).max()))
    for row, col in ((m - 1, 0), (0, n - 1)):
        A.update([row], [col], [huge])
        rows = A.sample_rows(50, 1)
        seen = f"row {row} has all but 2^-70 of the mass, but `sample_rows` gave rows {np.unique(rows).tolist()}"
        require((rows == row).all(), rule, seen)
        cols = A.sample_cols(rows, 1)
        seen = f"column {col} of row {row} has all its mass, but `sample_cols` gave {np.unique(cols).tolist()}"
        require((cols == col).all(), rule, seen)
        A.update([row], [col], [0.0])


def _check_repeats(A: Any, dense: Float64Array) -> None:
    """An entry named twice in one update takes the last value, or the update is refused and changes nothing."""
    try:
        A.update([0, 0], [0, 0], [2.0, 7.0])
        wanted = 7.0
    except ValueError:
        wanted = float(dense[0, 0])
    got = float(A.query([0], [0])[0])
    rule = "an entry named twice in one update takes the last value"
    require(got == wanted, rule, f"`update([0, 0], [0, 0], [2.0, 7.0])` left {got} there instead of {wanted}")
