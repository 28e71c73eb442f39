r"""
Judging against an unknown optimum
==================================

How far is an answer from the best possible, if the best possible is unknown? Two ways to tell from drawn rows:

* **paired difference**: solve from :math:`r/2` and from :math:`r` rows and compare the two on the same fresh rows. If
  the excess halves with each doubling, the difference is the excess of the better answer.
* **cross-fitting**: split the :math:`r` rows in halves, solve each, and judge each answer on the half that made the
  other. No further rows are read.

This script does both in a few lines of NumPy and compares them with the true excess. It is why
:func:`qinspired.low_rank` certifies by cross-fitting; :doc:`/theory/certificates` has the derivation.
"""

# %%
# Four spectra: one with a gap, two without, and one with equal singular values on both sides of the cut.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

K, M, N, SEEDS = 10, 3000, 400, 30
index = np.arange(1, N + 1)
spectra = {
    "gap after 10": np.where(index <= K, 1.0, 0.05),
    "0.97^j": 0.97**index,
    "j^-1/2": index**-0.5,
    "20 equal at 10": np.where(index <= 20, 1.0, 0.05),
}


def directions(rows):
    """Leading K right singular vectors of unit rows, from their Gram matrix."""
    _, vectors = np.linalg.eigh(rows @ rows.T)
    return np.linalg.qr(rows.T @ vectors[:, -K:])[0]


def energy(rows, V):
    """Mean share of a unit row that lies in the span of V: rows drawn by squared norm make it |A V|^2 / |A|^2."""
    return float(((rows @ V) ** 2).sum()) / len(rows)


def ratios(values, r):
    """Estimates of the loss in energy by both ways, divided by the true loss, over the seeds."""
    matrix = qi.problems.low_rank_matrix((M, N), N, singular_values=values, rng=0).A
    A = qi.as_sq_matrix(matrix)
    best = float((values[:K] ** 2).sum() / (values**2).sum())
    found = []
    for seed in range(SEEDS):
        drawn = A.sample_rows(r + 200, rng=seed)
        rows = matrix[drawn] / A.row_norms(drawn)[:, None]
        one, two, fresh = rows[: r // 2], rows[r // 2 : r], rows[r:]
        V_one, V_two, V = directions(one), directions(two), directions(rows[:r])
        loss = best - float(((matrix @ V) ** 2).sum() / A.frobenius_norm**2)
        paired = energy(fresh, V) - energy(fresh, V_one)
        crossed = (energy(one, V_one) - energy(one, V_two) + energy(two, V_two) - energy(two, V_one)) / 2 / 4
        found.append((paired / loss, crossed / loss))
    return np.array(found)


results = {name: {r: ratios(values, r) for r in (100, 400)} for name, values in spectra.items()}

# %%
# A ratio of 1 is right; below 1 the estimate is too low, which is the dangerous side.

figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True)
for panel, r in zip(axes, (100, 400), strict=True):
    for place, name in enumerate(spectra):
        for shift, column, colour, label in ((-0.15, 0, "C1", "paired difference"), (0.15, 1, "C0", "cross-fitting")):
            sample = results[name][r][:, column]
            spot = np.full(SEEDS, place + shift) + np.linspace(-0.08, 0.08, SEEDS)
            panel.plot(spot, sample, ".", color=colour, alpha=0.5, label=label if place == 0 else None)
            panel.plot([place + shift - 0.12, place + shift + 0.12], [sample.mean()] * 2, color="k", linewidth=1.5)
    panel.axhline(1.0, color="grey", linestyle="--")
    panel.set_yscale("symlog", linthresh=2.0)
    panel.set(title=f"r = {r} rows", ylim=(-30, 80))
    ticks = [-10, -2, -1, 0, 1, 2, 10, 50]
    panel.set_yticks(ticks, labels=[str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.set_xticks(range(len(spectra)), labels=list(spectra), rotation=20)
axes[0].set_ylabel("estimate / truth")
axes[0].legend(loc="lower left")
figure.tight_layout()
plt.show()

# %%
# Mean and standard deviation over the seeds. On spectra without a gap the paired difference is too low, the more so for
# few rows: the excess does not halve yet when the rows double. With equal singular values on both sides of the cut the
# two halves choose different ones of equally good directions; cross-fitting takes that for an error, and so errs on the
# safe side, while the paired difference is mostly noise.

for name in spectra:
    for r in (100, 400):
        mean, spread = results[name][r].mean(axis=0), results[name][r].std(axis=0, ddof=1)
        print(
            f"{name:15} r = {r}: paired {mean[0]:5.2f} +- {spread[0]:.2f}, cross-fitted {mean[1]:5.2f} +- {spread[1]:.2f}"
        )
