"""
Draws by size, by squared size, and by both
===========================================

An inner product :math:`\\langle x, y\\rangle` is the mean of :math:`x_i y_i / q_i` over positions drawn with probability
:math:`q_i`. A vector with sample-and-query access offers :math:`q_i \\propto |x_i|` (exponent 1) or
:math:`q_i \\propto x_i^2` (exponent 2); two of them offer the mean of both laws.
:func:`qinspired.estimate_inner_product` is asked with each, and compared with uniform draws and with the truth.
"""

# %%
# Three pairs of 20,000 entries: normal numbers, where all entries count about equally; log-normal numbers, where few
# entries carry the norm, drawn independently; and log-normal numbers that are large at the same places.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

N = 20_000
rng = np.random.default_rng(0)
g, h = rng.standard_normal((2, N))
pairs = {
    "flat: normal": (g, h),
    "heavy tails, independent": (np.exp(1.5 * g), np.exp(1.5 * h)),
    "heavy tails, correlated": (np.exp(1.5 * g), np.exp(g + 0.5 * h)),
}

# %%
# The variance of one summand is :math:`\sum_i x_i^2 y_i^2 / q_i - \langle x, y\rangle^2`, in closed form.


def law(values, exponent):
    powers = np.abs(values) ** exponent
    return powers / powers.sum()


def laws(x, y):
    return {
        "uniform": np.full(N, 1 / N),
        "x, exponent 1": law(x, 1),
        "x, exponent 2": law(x, 2),
        "both, exponent 2": (law(x, 2) + law(y, 2)) / 2,
    }


def uniform_estimate(x, y, n_draws, seed):
    positions = np.random.default_rng(seed).integers(0, N, n_draws)
    return N * np.mean(x[positions] * y[positions])


def estimates(x, y, n_draws, seeds):
    """Yield the values of each way, over the seeds."""
    by_square, by_size, other = (
        qi.SampleQueryVector(x),
        qi.SampleQueryVector(x, exponent=1),
        qi.SampleQueryVector(y),
    )
    ways = {"x, exponent 1": (by_size, y), "x, exponent 2": (by_square, y), "both, exponent 2": (by_square, other)}
    yield "uniform", [uniform_estimate(x, y, n_draws, seed) for seed in seeds]
    for name, (left, right) in ways.items():
        yield name, [qi.estimate_inner_product(left, right, n_draws, rng=seed).value for seed in seeds]


# %%
# Points are root mean squares of the error over 40 seeds, relative to :math:`|x||y|`; lines are the square root of the
# exact variance over the number of draws. The dashed line is what the mixture promises for every pair of vectors.

draws = np.array([100, 300, 1000, 3000, 10_000, 30_000])
figure, panels = plt.subplots(1, 3, figsize=(10.0, 4.2), sharey=True)
for axes, (title, (x, y)) in zip(panels, pairs.items(), strict=True):
    unit, truth = np.linalg.norm(x) * np.linalg.norm(y), x @ y
    errors = {name: [] for name in laws(x, y)}
    for n_draws in draws:
        for name, values in estimates(x, y, n_draws, range(40)):
            errors[name].append(np.sqrt(np.mean((np.array(values) - truth) ** 2)) / unit)
    for number, (name, q) in enumerate(laws(x, y).items()):
        deviation = np.sqrt((x**2 * y**2 / q).sum() - truth**2) / unit
        axes.loglog(draws, deviation / np.sqrt(draws), color=f"C{number}", linewidth=1)
        axes.loglog(draws, errors[name], f"C{number}o", markersize=5, label=name)
    axes.loglog(draws, 1 / np.sqrt(draws), "k--", linewidth=1, label="1 / sqrt(draws)")
    axes.set(title=title, xlabel="draws")
panels[0].set_ylabel("error / (|x| |y|)")
panels[0].legend(fontsize="small")
figure.tight_layout()
plt.show()

# %%
# Independent heavy tails favour exponent 1 over 2; where the large entries meet it is the other way round. Draws from
# both vectors keep below the dashed line, and are the best of the four in all three panels. In the middle the points of
# exponent 2 scatter about their line: the variance consists of rare large summands, which 40 runs of 100 draws did not
# meet and 40 runs of 1000 met too often. An interval made of draws that did not meet them is too short. Draws from both
# vectors have no such summands.

x, y = pairs["heavy tails, independent"]
both = qi.SampleQueryVector(x), qi.SampleQueryVector(y)
for name, pair in (("x, exponent 2", (both[0], y)), ("both, exponent 2", both)):
    found = [qi.estimate_inner_product(*pair, 300, rng=seed) for seed in range(200)]
    covered = np.mean([e.low <= x @ y <= e.high for e in found])
    print(f"{name}: {covered:.0%} of 200 intervals at 95 % from 300 draws cover the truth")
