"""
Regression: what an accuracy costs
==================================

A regression with noise needs about :math:`n (1 + (\\eta/\\epsilon)^2)` rows for an error :math:`\\epsilon` in
prediction, where :math:`\\eta` is the size of the noise against that of the predictions. Whether that is less than all
rows depends on the noise and on the accuracy, not on the method. This is the same trade on one system of
100,000 equations in 50 unknowns, with :func:`qinspired.least_squares` choosing for itself.
"""

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

M, N = 100_000, 50
tolerances = np.array([0.2, 0.1, 0.05, 0.02, 0.01, 0.005])
noises = [0.1, 0.5]

answers = {}
for noise in noises:
    system = qi.problems.linear_system((M, N), kappa=3.0, noise=noise, rng=0)
    exact = qi.baselines.exact_least_squares(system.A, system.b).x
    A = qi.as_sq_matrix(system.A)
    for tolerance in tolerances:
        solution = qi.least_squares(A, system.b, tolerance=float(tolerance), rng=1)
        truth = qi.metrics.prediction_error(system.A, solution.x, exact)
        answers[noise, tolerance] = (solution, truth)

# %%
# Left: what was read, as a share of all. Right: the true error, which stays below the diagonal, the tolerance. Where
# drawn rows alone no longer pay, ``"auto"`` turns to all rows: with so few unknowns to the exact solver (crosses), whose
# error is rounding, too small for the right panel.

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8))
markers = {"rows": "o", "preconditioned": "s", "exact": "X"}
for noise, colour in zip(noises, ("C0", "C1"), strict=True):
    read = [answers[noise, t][0].stats.entries_read / (M * N) for t in tolerances]
    left.plot(tolerances, read, color=colour, linewidth=1, alpha=0.6, label=f"noise {noise}")
    left.plot(tolerances, N * (1 + (noise / tolerances) ** 2) / M, ":", color=colour, linewidth=1)
    for tolerance, share in zip(tolerances, read, strict=True):
        solution, truth = answers[noise, tolerance]
        left.plot(tolerance, share, markers[solution.method], color=colour)
        if solution.method != "exact":
            right.plot(tolerance, truth, markers[solution.method], color=colour)
for method, marker in markers.items():
    if any(solution.method == method for solution, _ in answers.values()):
        left.plot([], [], marker, color="grey", label=f'method "{method}"')
left.plot([], [], ":", color="grey", label="n (1 + (noise / tol)²)")
left.axhline(1.0, color="grey", linewidth=0.8)
left.set(xscale="log", yscale="log", xlabel="tolerance", ylabel="entries read / all entries", ylim=(4e-4, 200))
left.set_yticks([1e-3, 1e-2, 1e-1, 1], labels=["0.1 %", "1 %", "10 %", "100 %"])
left.legend(fontsize="small", loc="upper left", ncols=2)
right.plot(tolerances, tolerances, "--", color="grey", label="tolerance")
right.set(xscale="log", yscale="log", xlabel="tolerance", ylabel="true error of the predictions")
right.legend()
for axes in (left, right):
    axes.set_xticks(tolerances, labels=[f"{100 * t:g} %" for t in tolerances])
    axes.minorticks_off()
    axes.invert_xaxis()
ticks = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
right.set_yticks(ticks, labels=[f"{100 * t:g} %" for t in ticks])
figure.tight_layout()
plt.show()

# %%
# Each answer says what happened:

for tolerance in (0.05, 0.005):
    print(answers[0.5, tolerance][0].explain())
    print()
