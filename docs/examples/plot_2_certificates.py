"""
Certificates of thirty answers
==============================

An answer from drawn rows is random, and so is its certificate. A certificate at 95 % may miss the truth in one answer of
twenty, on either side. Here thirty seeds answer the same question on the same matrix, and each interval is compared
with the true error.
"""

# %%
# Two questions: a low-rank approximation with an excess of at most 3 %, of a matrix whose singular values decay slowly
# and have no gap, and a regression with an error of at most 5 % in prediction.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

RANK = 10
spectrum = 0.97 ** np.arange(200)
matrix = qi.problems.low_rank_matrix((3000, 200), 200, singular_values=spectrum, rng=0).A
optimum = qi.metrics.optimal_error(spectrum, float(np.linalg.norm(spectrum)), RANK)
system = qi.problems.linear_system((20_000, 40), kappa=4.0, noise=0.3, rng=0)
exact = qi.baselines.exact_least_squares(system.A, system.b).x

rows, equations = qi.as_sq_matrix(matrix), qi.as_sq_matrix(system.A)
low_rank, regression = [], []
for seed in range(30):
    approx = qi.low_rank(rows, RANK, tolerance=0.03, method="krylov", rng=seed)
    low_rank.append((qi.metrics.excess_error(matrix, approx.components, optimum), approx.excess))
    solution = qi.least_squares(equations, system.b, tolerance=0.05, method="rows", rng=seed)
    regression.append((qi.metrics.prediction_error(system.A, solution.x, exact), solution.error))

# %%
# Orange intervals miss the truth. The dashed line is the tolerance: the upper end of an interval must lie below it before
# an answer is returned as certified.


def show(axes, answers, tolerance, title):
    answers = sorted(answers, key=lambda pair: pair[0])
    for place, (truth, claim) in enumerate(answers):
        covered = claim.low <= truth <= claim.high
        axes.plot([place, place], [claim.low, claim.high], color="C0" if covered else "C1", alpha=0.7)
    axes.plot([], [], color="C0", label="certificate, covers")
    axes.plot([], [], color="C1", label="certificate, misses")
    axes.plot([truth for truth, _ in answers], "k.", markersize=5, label="true error")
    axes.axhline(tolerance, color="grey", linestyle="--", label="tolerance")
    axes.set(title=title, xlabel="answers, by true error", ylim=(0, None), xticks=[])
    axes.yaxis.set_major_formatter("{x:.1%}")
    return sum(claim.low <= truth <= claim.high for truth, claim in answers)


figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8))
hits = [
    show(left, low_rank, 0.03, "Low rank: excess"),
    show(right, regression, 0.05, "Regression: prediction error"),
]
right.legend(loc="lower right")
figure.tight_layout()
plt.show()

# %%
# How many intervals cover, and how far the worst answer is from its tolerance:

print(f"covered: low rank {hits[0]} of 30, regression {hits[1]} of 30")
print(f"largest true errors: {max(t for t, _ in low_rank):.2%} of 3 %, {max(t for t, _ in regression):.2%} of 5 %")
