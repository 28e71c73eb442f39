"""
The HHL algorithm as a spectral filter
======================================

The quantum algorithm of Harrow, Hassidim and Lloyd multiplies each eigenvector of the matrix by a filter :math:`h`,
which phase estimation makes from a register of :math:`t` qubits; exact inversion would be :math:`1/\\lambda`. All of its
error is in that filter, and :func:`qinspired.baselines.hhl` computes it. The simulation is classical and exact: it knows
the eigenvalues, and its running time says nothing about a quantum computer.
"""

# %%
# A matrix with 1,500 eigenvalues spread evenly from 1/10 to 1. A diagonal one stands for any with the same eigenvalues, since
# the filter acts in the eigenbasis.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

rng = np.random.default_rng(0)
A = np.diag(np.linspace(0.1, 1.0, 1500))
b = rng.standard_normal(1500)

clocks = (4, 6, 8)
runs = {t: qi.baselines.hhl(A, b, n_clock_qubits=t) for t in clocks}

figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 6.0), sharex=True, height_ratios=[3, 2])
for t, run in runs.items():
    curve = run.filter_curve
    order = np.argsort(curve.values)
    x, applied, target = curve.values[order], curve.applied[order], curve.target[order]
    top.plot(x, applied, label=f"{t} clock qubits")
    bottom.plot(x, np.abs(applied / target - 1.0), linewidth=0.8, alpha=0.8)
top.plot(x, 1 / x, "k--", linewidth=1, label="1 / λ")
top.set(ylabel="filter h(λ) / C", ylim=(0, 11))
top.legend()
bottom.set(xscale="log", yscale="log", xlabel="eigenvalue λ", ylabel="relative error of the filter", ylim=(1e-4, 1))
bottom.set_xticks([0.1, 0.2, 0.5, 1.0], labels=["0.1", "0.2", "0.5", "1"])
bottom.minorticks_off()
figure.tight_layout()
plt.show()

# %%
# What a quantum computer would have to do for one copy of the state: uses of :math:`e^{iAt_0}` in one run, and runs until
# one succeeds, with amplitude amplification. The state is not the solution: reading all of its entries takes many copies.

print("clock   l2 error   fidelity   uses a run   expected runs   qubits")
for t, run in runs.items():
    print(
        f"{t:5}   {run.l2_error:8.4f}   {run.fidelity:8.5f}   {run.n_queries:10}   {run.expected_runs:13.1f}"
        f"   {run.n_qubits:6}"
    )
for t, run in runs.items():
    for warning in run.warnings:
        print(f"{t} qubits: {warning}")

# %%
# The same against the queries that it takes: uses of :math:`A` in all runs up to a success, with :math:`|A| = 1` and an
# evolution :math:`e^{iAt}` counted as :math:`|A| t` uses, the leading term of simulating it. A polynomial (QSVT) needs far fewer:
# its error falls exponentially with the queries, that of HHL as a power.

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), sharey=True)
for axis, kappa in zip(axes, (10, 100), strict=True):
    A = np.diag(np.linspace(1 / kappa, 1.0, 500))
    b = rng.standard_normal(500)
    for window, marker in (("hadamard", "o"), ("sine", "s")):
        first = int(np.ceil(np.log2(kappa))) + 1
        found = [qi.baselines.hhl(A, b, n_clock_qubits=t, window=window) for t in range(first, first + 9)]
        queries = [run.n_queries * run.parameters["evolution_time"] * run.expected_runs for run in found]
        axis.plot(queries, [run.l2_error for run in found], marker=marker, markersize=4, label=f"HHL, {window} window")
    found = [qi.baselines.qsvt(A, b, tolerance=e, alpha="norm") for e in np.logspace(-0.5, -6, 12)]
    queries = [run.n_queries * run.expected_runs for run in found]
    axis.plot(queries, [run.l2_error for run in found], marker="^", markersize=4, color="k", label="QSVT")
    axis.set(xscale="log", yscale="log", xlabel="queries for one success", title=f"κ = {kappa}")
axes[0].set_ylabel("l2 error of the state")
axes[0].legend()
figure.tight_layout()
plt.show()
