"""
Error against the number of rows
================================

A projection on :math:`k` directions that come from :math:`r` rows, drawn by squared norm, misses the best projection
of that rank by a relative excess of about :math:`k/(2r)`. This holds where the spectrum has a gap; it knows nothing
of the size of the matrix. Here :func:`qinspired.low_rank` is asked for smaller and smaller excesses, and each answer is
compared with the truth, which the generator knows.
"""

# %%
# The matrix has 12,000 rows, a signal of rank 10 and noise of half the signal's size. Half of its rows are short and a
# few are long (``row_skew``), which draws by squared norm take into account.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

RANK = 10
problem = qi.problems.low_rank_matrix((12_000, 300), RANK, noise=0.5, row_skew=0.5, dtype=np.float32, rng=0)
A = qi.as_sq_matrix(problem.A)

# %%
# ``method="krylov"`` keeps to drawn rows whatever the size of the matrix. The rows that made an answer are told in its
# ``status``; a fixed number of further rows serves the estimate of the absolute error.


def rows_used(approx):
    return int(approx.status.split(" drawn rows")[0].split()[-1])


tolerances = [0.16, 0.08, 0.04, 0.02, 0.01, 0.005]
n_rows, excess, certificates = [], [], []
for tolerance in tolerances:
    for seed in range(4):
        approx = qi.low_rank(A, RANK, tolerance=tolerance, method="krylov", rng=seed)
        n_rows.append(rows_used(approx))
        excess.append(qi.metrics.excess_error(problem.A, approx.components, problem.optimal_error))
        certificates.append(approx.excess)

# %%
# Points are true excesses, bars are the certificates: intervals at 95 % that were computed without the truth. The lower
# panel divides both by the law.

n_rows, excess = np.array(n_rows), np.array(excess)
law = RANK / (2 * n_rows)
value = np.array([c.value for c in certificates])
reach = np.array([[c.value - c.low, c.high - c.value] for c in certificates]).T
shift = np.tile([0.955, 0.985, 1.015, 1.045], len(tolerances))  # seeds side by side

figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 6.0), sharex=True, height_ratios=[2, 1])
grid = np.array([n_rows.min() * 0.8, n_rows.max() * 1.25])
for axes, scale in ((top, 1.0), (bottom, law)):
    axes.errorbar(
        n_rows * shift, value / scale, reach / scale, fmt="none", ecolor="C0", alpha=0.6, label="certificate, 95 %"
    )
    axes.plot(n_rows * shift, excess / scale, "k.", markersize=4, label="true excess")
top.plot(grid, RANK / (2 * grid), "C1--", label="k / (2 r)")
top.set(yscale="log", ylabel="excess over the best error of rank 10")
top.set_yticks([0.002, 0.005, 0.01, 0.02, 0.05, 0.1], labels=["0.2 %", "0.5 %", "1 %", "2 %", "5 %", "10 %"])
top.minorticks_off()
top.legend()
bottom.axhline(1.0, color="C1", linestyle="--")
bottom.set(xscale="log", xlabel="rows drawn, r", ylabel="divided by k / (2 r)", ylim=(0, 2))
sizes = np.unique(n_rows)
bottom.set_xticks(sizes, labels=[str(size) for size in sizes], rotation=0)
bottom.minorticks_off()
figure.tight_layout()
plt.show()

# %%
# The largest of these draws is a quarter of the matrix; with ten times as many rows in the matrix it would be a
# fortieth, for the same error.

last = certificates[-1]
print(f"asked {tolerances[-1]:.1%}, true {excess[-1]:.2%}, certified at most {last.high:.2%}, rows drawn {n_rows[-1]}")
