"""
The published algorithm beside the practical one
================================================

:func:`qinspired.reference.fkv` is the algorithm of Frieze, Kannan and Vempala: it draws rows, then columns, and takes
singular vectors of the small matrix in which they meet. :func:`qinspired.low_rank` keeps the whole rows. Both are judged
by the true excess over the best error.
"""

# %%
# The same rows in number, 100 to 400, and as many columns for FKV, or four times as many.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

RANK, SEEDS = 10, 4
problem = qi.problems.low_rank_matrix((4000, 1000), RANK, noise=0.5, rng=0, dtype=np.float32)
A = qi.as_sq_matrix(problem.A)
best = problem.optimal_error


def excess(components):
    """Relative excess of the projection on the span; FKV's vectors are orthonormal only up to sampling error."""
    V = np.linalg.qr(components.T)[0].T
    projected = problem.A @ V.T.astype(np.float32)
    rest = A.frobenius_norm**2 - float((projected.astype(np.float64) ** 2).sum())
    return np.sqrt(rest) / (A.frobenius_norm * best) - 1.0


sizes = np.array([100, 200, 400])
published = {1: [], 4: []}
for factor, found in published.items():
    for r in sizes:
        runs = [qi.reference.fkv(A, RANK, n_rows=int(r), n_cols=int(factor * r), rng=s) for s in range(SEEDS)]
        found.append([(excess(run.components()), run.stats.entries_read) for run in runs])
practical = []
for tolerance in (0.08, 0.03, 0.015):
    for seed in range(SEEDS):
        run = qi.low_rank(A, RANK, tolerance=tolerance, method="krylov", rng=seed)
        used = int(run.status.split(" drawn rows")[0].split()[-1])
        practical.append((used, excess(run.components.astype(float)), run.stats.entries_read))
practical = np.array(practical)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8), sharey=True)
for (factor, found), colour in zip(published.items(), ("C1", "C2"), strict=True):
    found = np.array(found)
    label = "FKV, c = r" if factor == 1 else f"FKV, c = {factor} r"
    left.plot(
        np.repeat(sizes, SEEDS) * (0.97 if factor == 1 else 1.03),
        found[:, :, 0].ravel(),
        ".",
        color=colour,
        label=label,
    )
    right.plot(found[:, :, 1].ravel() / problem.A.size, found[:, :, 0].ravel(), ".", color=colour, label=label)
left.plot(practical[:, 0], practical[:, 1], "x", color="C0", label="low_rank")
right.plot(practical[:, 2] / problem.A.size, practical[:, 1], "x", color="C0", label="low_rank")
grid = np.array([70.0, 600.0])
left.plot(grid, RANK / (2 * grid), "--", color="grey", label="k / (2 r)")
left.set(xscale="log", yscale="log", xlabel="rows drawn, r", ylabel="excess over the best error", ylim=(0.008, 0.08))
left.set_xticks(sizes, labels=[str(size) for size in sizes])
left.set_yticks([0.01, 0.02, 0.05], labels=["1 %", "2 %", "5 %"])
right.set(xscale="log", xlabel="entries read / all entries")
right.set_xticks([0.05, 0.1, 0.2, 0.5], labels=["5 %", "10 %", "20 %", "50 %"])
for axes in (left, right):
    axes.minorticks_off()
left.legend()
figure.tight_layout()
plt.show()

# %%
# For equal rows the excess is nearly equal: FKV's vectors are half a power step from the sampled rows, which makes good
# for the noise of its columns, and more columns bring little. In this implementation FKV scans each row that a column is
# drawn from. It reports no error; ``low_rank`` reads some rows more and gives a certificate with every answer.

for factor, found in published.items():
    means = ", ".join(f"{np.mean([e for e, _ in runs]):.2%}" for runs in found)
    print(f"FKV with c = {factor} r, r = 100, 200, 400: {means}")
print("k / (2 r):", ", ".join(f"{RANK / (2 * r):.2%}" for r in sizes))
