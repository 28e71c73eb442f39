"""Draws against an exact law by chi-square, with the proof that wrong laws would be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from qinspired.testing._rules import ConformanceError, TooFewDrawsError, require

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray

__all__ = ["THRESHOLD", "require_independence", "require_law", "square_law"]

# The chance with which one law of a right sampler is refused.
THRESHOLD = 1e-6

_MIN_EXPECTED = 5.0
_GROUPS = 32
_MOST_DRAWS = 1 << 22
# Wrong laws nearer than this to the right one, in total variation, need not be seen.
_FAR = 0.1


def square_law(values: Float64Array) -> Float64Array:
    """Return the law in proportion to the squares of values of any scale."""
    squares = (values / np.abs(values).max()) ** 2
    law: Float64Array = squares / squares.sum()
    return law


def require_law(draws: IntArray, law: Float64Array, rule: str, where: str, what: str) -> None:
    """Require that draws follow a law, no impossible item among them, and that they could have shown a wrong one."""
    _require_power(law, len(draws), what)
    impossible = draws[law[draws] == 0.0]
    if len(impossible):
        seen = f"`{where}` gave {what} {int(impossible[0])}, whose probability is 0, {len(impossible)} times"
        raise ConformanceError(f"{what} of probability zero never comes up", f"{seen} in {len(draws)} draws")
    chance = _p_value(draws, law)
    if chance < THRESHOLD:
        shares = np.bincount(draws, minlength=len(law)) / len(draws)
        worst = int(np.argmax(np.abs(shares - law) / np.sqrt(law + 1.0 / len(draws))))
        seen = f"p = {chance:.2g} over {len(draws)} draws of `{where}`"
        raise ConformanceError(
            rule, f"{seen}; {what} {worst} came up in a share of {shares[worst]:.4g} instead of {law[worst]:.4g}"
        )


def require_independence(draws: IntArray, law: Float64Array, where: str) -> None:
    """Require that neighbouring draws are independent, and that the counts are not more even than chance makes them."""
    rule = "draws of one call are independent"
    group = _groups(law, 8)
    coarse = np.bincount(group, weights=law)
    both: Float64Array = np.outer(coarse, coarse).ravel().astype(np.float64)
    pairs = group[draws[: len(draws) // 2 * 2]].reshape(-1, 2)
    chance = _chi_square_p(pairs[:, 0] * len(coarse) + pairs[:, 1], both)
    require(chance >= THRESHOLD, rule, f"p = {chance:.2g} for pairs of neighbours among {len(draws)} of `{where}`")
    statistic, cells = _statistic(draws, law)
    # With few cells the counts may well be exactly even; with 10 the chance of it is below the threshold.
    if cells > 10:
        chance = float(stats.chi2.cdf(statistic, cells - 1))
        observed = f"p = {chance:.2g} for counts as even as those of {len(draws)} draws of `{where}`"
        require(chance >= THRESHOLD, rule, f"{observed}; were they drawn without replacement?")


def _groups(law: Float64Array, n_groups: int) -> IntArray:
    """Return a group of neighbours for each item, of about equal probability."""
    middles = np.cumsum(law) - law / 2
    group = np.minimum((middles * n_groups).astype(np.int64), n_groups - 1)
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def _statistic(draws: IntArray, law: Float64Array) -> tuple[float, int]:
    """Return the chi-square statistic and its cells; items expected fewer than 5 times are one cell, or none."""
    expected = law * len(draws)
    counts = np.bincount(draws, minlength=len(law)).astype(np.float64)
    large = expected >= _MIN_EXPECTED
    rest = float(expected[~large].sum())
    observed, wanted = counts[large], expected[large]
    if rest >= _MIN_EXPECTED:
        observed, wanted = np.append(observed, counts[~large].sum()), np.append(wanted, rest)
    if len(wanted) < 2:
        return 0.0, 1
    wanted = wanted * (observed.sum() / wanted.sum())
    if not observed.any():
        return np.inf, len(wanted)
    return float(((observed - wanted) ** 2 / wanted).sum()), len(wanted)


def _chi_square_p(draws: IntArray, law: Float64Array) -> float:
    statistic, cells = _statistic(draws, law)
    return float(stats.chi2.sf(statistic, cells - 1)) if cells > 1 else 1.0


def _p_value(draws: IntArray, law: Float64Array) -> float:
    """Return a p-value of draws: by item, by groups of neighbours, and by the number of rare items."""
    if (law[draws] == 0.0).any():
        return 0.0
    group = _groups(law, _GROUPS)
    chances = [_chi_square_p(draws, law), _chi_square_p(group[draws], np.bincount(group, law).astype(np.float64))]
    rare = law * len(draws) < _MIN_EXPECTED
    rare_law = min(float(law[rare].sum()), 1.0)
    if rare_law > 0.0:
        # Where all rare items together are expected fewer than 5 times no cell holds them: their number is binomial.
        chances.append(float(stats.binom.sf(int(rare[draws].sum()) - 1, len(draws), rare_law)))
    return min(1.0, len(chances) * min(chances))


def _wrong_laws(law: Float64Array) -> dict[str, Float64Array]:
    possible = np.flatnonzero(law)
    if len(possible) < 2:
        return {}
    wrong = {
        "by size instead of squared size": np.sqrt(law) / np.sqrt(law).sum(),
        "uniform": (law > 0) / len(possible),
        "off by one": np.roll(law, 1),
    }
    wrong = {name: other for name, other in wrong.items() if np.abs(other - law).sum() / 2 >= _FAR}
    # A tenth of the heavier half, in the order of the items, goes to the lighter half: always 5 % or more of all.
    running = np.cumsum(law[possible])
    cut = min(int(np.argmin(np.abs(running - 0.5))), len(possible) - 2) + 1
    halves = [possible[:cut], possible[cut:]]
    lighter, heavier = sorted(halves, key=lambda half: float(law[half].sum()))
    tilted = law.copy()
    tilted[heavier] *= 0.9
    shares = law[lighter] / law[lighter].max()  # the sum may be subnormal
    tilted[lighter] = (1.0 - tilted[heavier].sum()) * shares / shares.sum()
    return {"tilted by a tenth": tilted / tilted.sum(), **wrong}


def _require_power(law: Float64Array, n_draws: int, what: str) -> None:
    """Refuse a number of draws with which a wrong law would pass; this is the caller's to mend, not the sampler's."""
    for name, wrong in _wrong_laws(law).items():
        needed = n_draws
        while not _rejects(law, wrong, needed):
            needed *= 2
            if needed > _MOST_DRAWS:
                raise TooFewDrawsError(
                    f"the law of {what} over {len(law)} items cannot be told from the one that is {name} in "
                    f"{_MOST_DRAWS} draws; check a smaller matrix."
                )
        if needed > n_draws:
            raise TooFewDrawsError(
                f"`n_draws` must be at least about {needed} to tell the law of {what} over {len(law)} items from the "
                f"one that is {name}; got {n_draws}. Give more draws or a smaller matrix."
            )


def _rejects(law: Float64Array, wrong: Float64Array, n_draws: int) -> bool:
    rng = np.random.default_rng(0)
    return _p_value(rng.choice(len(law), size=n_draws, p=wrong), law) < THRESHOLD
