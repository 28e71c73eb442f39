"""All that a sampler of indices by weight must do."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_exponent, check_vector
from qinspired.exceptions import ZeroMassError
from qinspired.testing import _draws
from qinspired.testing._laws import require_independence, require_law
from qinspired.testing._rules import must_raise, require, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array, RNGLike

__all__ = ["check_sampler", "check_updatable_sampler"]

_SOME = 200
_LARGEST_SHARE = 0.9
_LAW = "items are drawn in proportion to their weights"
_FOLLOW = "draws follow an update at once"
_UNCHANGED = "a bad update is refused and changes nothing"


def check_sampler(
    build: Callable[[], Any],
    weights: npt.ArrayLike,
    *,
    exponent: int = 1,
    rng: RNGLike = 0,
    n_draws: int = 20_000,
) -> None:
    """Conformance of a sampler of i with probability w_i^p / sum(w^p), with the method `sample(n_draws, rng=None)`.

    Parameters
    ----------
    build : callable
        Makes the sampler afresh at each call.
    weights : array_like, shape (n,)
        The weights w, >= 0, at least one of them positive.
    exponent : {1, 2}, default=1
        The power p.
    rng : int, Generator, SeedSequence or None
        Source of the seeds.
    n_draws : int, default=20_000
        Draws for the law, >= 1.

    Raises
    ------
    ConformanceError
        At the first rule that does not hold.
    ValueError, TypeError
        If an argument is out of range, or `n_draws` too small to tell the law from a wrong one.

    Notes
    -----
    Looks at the law, at weights of zero, the number of draws, seeds, threads, global random states, and pickling.
    Cost: one batch of `n_draws` draws, and some small ones.
    Error: each of 3 tests refuses a right sampler with probability 1e-6, over the seeds.

    Examples
    --------
    >>> import qinspired as qi
    >>> qi.testing.check_sampler(lambda: qi.AliasTable([1.0, 0.0, 3.0]), [1.0, 0.0, 3.0])
    >>> qi.testing.check_sampler(lambda: qi.AliasTable([1.0, 0.0, 3.0]), [1.0, 0.0, 2.0])
    Traceback (most recent call last):
    qinspired.testing.ConformanceError: items are drawn in proportion to their weights: p = ...
    """
    n_draws = check_count(n_draws, "n_draws", low=1)
    law = _law(weights, exponent)
    _check_draws(build, law, int(as_generator(rng).integers(2**31)), n_draws)


def _law(weights: npt.ArrayLike, exponent: int) -> Float64Array:
    values = check_vector(weights, np.size(np.asarray(weights)), "weights", matrix="the sampler")
    if (values < 0).any() or not values.any():
        raise ValueError("`weights` must be >= 0 with at least one positive; they give no law to compare with.")
    shares = (values / values.max()) ** check_exponent(exponent)
    law: Float64Array = shares / shares.sum()
    return law


def _check_draws(build: Callable[[], Any], law: Float64Array, seed: int, n_draws: int) -> None:
    sampler, again = build(), build()
    n = len(law)
    with stage("draws are int64 indices in range, one for each asked", sampler):
        if hasattr(sampler, "__len__"):
            require(len(sampler) == n, "the length is the number of weights", f"`len` is {len(sampler)} instead of {n}")
        _draws.check_edges(sampler.sample, n, "sample")
    with stage("the same seed gives the same draws", sampler):
        varied = float(law.max()) < _LARGEST_SHARE
        _draws.check_seeds(
            lambda rng: sampler.sample(_SOME, rng), lambda rng: again.sample(_SOME, rng), varied, f"sample({_SOME})"
        )
    with stage("draws do not depend on the number of threads", sampler):
        many = max(_SOME, min(n_draws, 5000))
        _draws.check_threads(lambda rng: sampler.sample(many, rng), f"sample({many})")
    with stage("draws in several Python threads are those of one", sampler):
        _draws.check_concurrency(build, lambda built, rng: built.sample(_SOME, rng), f"sample({_SOME})")
    with stage("global random states are neither read nor changed", sampler), _draws.global_state_untouched("sample"):
        sampler.sample(20, 0)
        sampler.sample(20)
    with stage("a sampler pickles and draws alike, or says by TypeError that it does not", sampler):
        _check_pickle(sampler)
    with stage(_LAW, sampler):
        where = f"sample({n_draws}, {seed})"
        draws = sampler.sample(n_draws, seed)
        _draws.require_draws(draws, n_draws, n, where)
        require_law(draws, law, _LAW, where, "item")
        require_independence(draws, law, where)


def _check_pickle(sampler: Any) -> None:
    try:
        content = pickle.dumps(sampler)
    except (TypeError, pickle.PicklingError, AttributeError):  # the last for classes defined in functions
        return
    same = np.array_equal(pickle.loads(content).sample(_SOME, 2), sampler.sample(_SOME, 2))
    rule = "a sampler pickles and draws alike, or says by TypeError that it does not"
    require(same, rule, f"`copy.sample({_SOME}, 2)` differs from that of the original")


def check_updatable_sampler(
    build: Callable[[], Any],
    weights: npt.ArrayLike,
    *,
    exponent: int = 1,
    rng: RNGLike = 0,
    n_draws: int = 20_000,
    n_updates: int = 30,
) -> None:
    """Conformance of a sampler with `update(indices, weights)` to weights that change in the same way.

    Parameters
    ----------
    build, weights, exponent, rng, n_draws
        As for `check_sampler`; the weights before any update.
    n_updates : int, default=30
        Random updates, each of up to 8 weights, >= 1.

    Raises
    ------
    ConformanceError
        At the first rule that does not hold.
    ValueError, TypeError
        If an argument is out of range, or `n_draws` too small.

    Notes
    -----
    All mass is moved to one item and away again, which draws must follow at once; large weights are overwritten by
    small ones; a bad update changes no draw; with all weights zero a draw raises ZeroMassError, and after the next
    update it works. At last `check_sampler` looks at the sampler after all updates.
    Cost: about 7 times the `n_updates` updates.
    """
    check_count(n_draws, "n_draws", low=1)
    check_count(n_updates, "n_updates", low=1)
    _law(weights, exponent)
    before = np.asarray(weights, dtype=np.float64).ravel()
    seed = int(as_generator(rng).integers(2**31))
    generator = np.random.default_rng(seed)
    sampler = build()
    with stage(_UNCHANGED, sampler):
        _check_bad_updates(build(), len(before))
    with stage(_FOLLOW, sampler):
        _check_mass_moves(build(), before)
    model, calls = before.copy(), []
    for step in range(n_updates):
        items = generator.choice(len(model), size=min(len(model), int(generator.integers(1, 9))), replace=False)
        if step % 5 == 3:  # overwritten by the next one: differences of sums would drift
            calls.append((items, np.full(len(items), 2.0**80)))
        calls.append((items, generator.integers(0, 9, len(items)) / 4.0))
        model[items] = calls[-1][1]
    ends = np.unique([0, len(model) - 1])
    calls.append((ends, np.full(len(ends), 1.5)))
    model[ends] = 1.5

    def replay() -> Any:
        built = build()
        for items, values in calls:
            built.update(items, values)
        return built

    with stage("after updates the sampler is that of the changed weights", sampler):
        replay()
    check_sampler(replay, model, exponent=exponent, rng=seed, n_draws=n_draws)


def _check_bad_updates(sampler: Any, n: int) -> None:
    bad: list[tuple[tuple[type[Exception], ...], Any, Any]] = [
        ((IndexError,), [n], [1.0]),
        ((IndexError,), [-1], [1.0]),
        ((IndexError,), [0, n], [1e9, 1.0]),
        ((ValueError,), [0, n - 1], [1e9, -1.0]),
        ((ValueError,), [0, n - 1], [1e9, np.nan]),
        ((ValueError,), [0, n - 1], [1e9, np.inf]),
        ((ValueError,), [0, n - 1], [1e9, 1.0, 1.0]),
        ((ValueError, TypeError), [0.0], [1e9]),
        ((ValueError, TypeError), [0], ["a"]),
    ]
    wanted = sampler.sample(_SOME, 3)
    for errors, items, values in bad:
        where = f"update({items}, {values})"
        must_raise(errors, _UNCHANGED, where, sampler.update, items, values)
        same = np.array_equal(sampler.sample(_SOME, 3), wanted)
        require(same, _UNCHANGED, f"`sample({_SOME}, 3)` differs after `{where}`")


def _check_mass_moves(sampler: Any, before: Float64Array) -> None:
    n = len(before)
    sampler.sample(20, 0)
    huge = 2.0**80 * float(before.max())
    for item in (n - 1, 0):
        sampler.update([item], [huge])
        draws = sampler.sample(50, 1)
        seen = f"item {item} has all but 2^-60 of the mass, but `sample` gave {np.unique(draws).tolist()}"
        require((draws == item).all(), _FOLLOW, seen)
        sampler.update([item], [0.0])
    rule = "nothing is drawn where there is no mass"
    sampler.update(np.arange(n), np.zeros(n))
    must_raise((ZeroMassError,), rule, "sample(1, 0) with all weights zero", sampler.sample, 1, 0)
    sampler.update([n - 1], [1.0])
    require((sampler.sample(50, 1) == n - 1).all(), _FOLLOW, f"item {n - 1} alone has mass, but others were drawn")
