"""All that oversampling access must do: a bound that dominates, a factor that is right, and draws that are exact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_finite_dense
from qinspired.exceptions import ZeroMassError
from qinspired.testing import _draws
from qinspired.testing._rules import ConformanceError, must_raise, require, require_close, stage
from qinspired.testing._sq_matrix import check_answers, check_draws, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import RNGLike
    from qinspired.testing._values import Truth

__all__ = ["check_oversampled"]

_MEMBERS = ("bound_norm", "bound_norms", "phi", "row_norms", "sample_cols", "sample_rows", "sample_rows_counted")
_DOMINATES = "the bound dominates the matrix row by row"
_COUNTS = "proposals are counted: phi of them a draw"
# Five standard errors: one in 1.7 million.
_STANDARD_ERRORS = 5.0


def check_oversampled(
    build: Callable[[], Any],
    dense: npt.ArrayLike,
    *,
    rng: RNGLike = 0,
    n_draws: int = 20_000,
    rtol: float | None = None,
) -> None:
    """Conformance of a matrix A known through a dominating A~ to the array that A stands for.

    Parameters
    ----------
    build : callable
        Makes the object afresh at each call. It has `bound_norm` = |A~|_F, `bound_norms(rows=None)` = |A~_i|,
        `phi()` = |A~|_F^2 / |A|_F^2, `sample_rows_counted(n_draws, rng)`, which returns draws and the number of
        proposals, and whatever a `RowReader` has.
    dense : array_like, shape (m, n)
        The entries of A.
    rng, n_draws, rtol
        As for `check_sq_matrix`. Entries that are computed need an `rtol` of some 1e-12, more where terms cancel.

    Raises
    ------
    ConformanceError
        At the first rule that does not hold.
    ValueError, TypeError
        If an argument is out of range, or `n_draws` too small.

    Notes
    -----
    Looks at entries, rows and products as `check_sq_matrix` does, at domination |A_i| <= |A~_i|, at the bound's norm,
    at phi, at the law of the draws, which is exact, and at the proposals: their number has mean n phi and variance
    n phi (phi - 1).
    Cost: some 4 phi `n_draws` proposals.
    """
    X = check_finite_dense(dense, "dense")
    n_draws = check_count(n_draws, "n_draws")
    seed = int(as_generator(rng).integers(2**31))
    A = build()
    with stage("oversampling access has its members", A):
        missing = [name for name in _MEMBERS if not hasattr(A, name)]
        require(not missing, "oversampling access has its members", f"{', '.join(missing)} missing")
    truth = truth_of(A, X, rtol)
    check_answers(A, truth)
    with stage(_DOMINATES, A):
        _check_bound(build(), truth)
    if truth.frobenius_norm == 0.0:
        with stage("nothing is drawn where there is no mass", A):
            rule = "nothing is drawn where there is no mass"
            must_raise((ZeroMassError,), rule, "sample_rows_counted(1, 0)", A.sample_rows_counted, 1, 0)
        return
    with stage("`phi` is |A~|_F^2 / |A|_F^2", A):
        _check_phi(build(), truth)
    with stage(_COUNTS, A):
        _check_proposals(build, seed, max(n_draws, 1000))
    check_draws(build, truth, seed, n_draws)


def _check_bound(A: Any, truth: Truth) -> None:
    bounds = A.bound_norms()
    m = A.shape[0]
    require(np.shape(bounds) == (m,), _DOMINATES, f"`bound_norms()` has shape {np.shape(bounds)} instead of {(m,)}")
    low = truth.row_norms - truth.norm_slack - truth.slack
    if (bounds < low).any():
        row = int(np.argmax(low - bounds))
        seen = f"`bound_norms([{row}])` is {bounds[row]!r}, the norm of the row is {truth.row_norms[row]!r}"
        raise ConformanceError(_DOMINATES, seen)
    repeated = np.array([m - 1, 0, m - 1])
    slack = 1e-12 * bounds[repeated]
    require_close(A.bound_norms(repeated), bounds[repeated], slack, _DOMINATES, f"bound_norms({repeated.tolist()})")
    top = float(bounds.max())
    total = top * float(np.linalg.norm(bounds / top)) if top > 0.0 else 0.0
    # Less where rows are drawn by a law of their own, as those of a transpose are.
    seen = f"`bound_norm` is {A.bound_norm!r}, more than {total!r}, the norm of `bound_norms()`"
    require(A.bound_norm <= total * (1.0 + 1e-6), "`bound_norm` is the norm of the bound", seen)


def _check_phi(A: Any, truth: Truth) -> None:
    rule = "`phi` is |A~|_F^2 / |A|_F^2"
    wanted, phi = (A.bound_norm / truth.frobenius_norm) ** 2, A.phi()
    require(isinstance(phi, float), rule, f"`phi()` is a {type(phi).__name__}")
    slack = (1e-9 + 4.0 * truth.norm_share) * wanted
    require(abs(phi - wanted) <= slack, rule, f"`phi()` is {phi} instead of {wanted}")


def _check_proposals(build: Callable[[], Any], seed: int, n_draws: int) -> None:
    A = build()
    phi = A.phi()
    where = f"sample_rows_counted({n_draws}, {seed})"
    rows, n_proposals = A.sample_rows_counted(n_draws, seed)
    _draws.require_draws(rows, n_draws, A.shape[0], where)
    good = isinstance(n_proposals, int | np.integer) and n_proposals >= n_draws
    require(good, _COUNTS, f"`{where}` counted {n_proposals!r} proposals")
    # The number of trials up to success n is negative binomial.
    spread = math.sqrt(n_draws * phi * max(phi - 1.0, 0.0))
    off = abs(n_proposals - n_draws * phi)
    seen = f"`{where}` counted {n_proposals} proposals, {n_proposals / n_draws:.4g} a draw, with phi = {phi:.4g}"
    require(off <= _STANDARD_ERRORS * spread + 5.0, _COUNTS, f"{seen}; {off / (spread or 1.0):.1f} standard errors off")
    same = np.array_equal(build().sample_rows(n_draws, seed), rows)
    require(same, "`sample_rows` and `sample_rows_counted` draw alike", f"with rng={seed} they differ")
    none, count = A.sample_rows_counted(0, seed)
    require(len(none) == 0 and count == 0, _COUNTS, f"no draws took {count} proposals")
