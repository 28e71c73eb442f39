"""
A portfolio, and the low-rank answer that is not its answer
===========================================================

The published example of quantum-inspired linear algebra in finance is the portfolio of least risk
:math:`w^T \\Sigma w` for a wanted return :math:`r^T w = \\mu`. It solves

.. math::

    \\begin{pmatrix} 0 & r^T \\\\ r & \\Sigma \\end{pmatrix} \\begin{pmatrix} \\nu \\\\ w \\end{pmatrix}
    = \\begin{pmatrix} \\mu \\\\ 0 \\end{pmatrix}

within the leading directions of the matrix. Two distances belong together: that of the sampled answer from the exact
answer *of rank k*, and that of either from the solution of the problem. The first alone looks like a success.
"""

# %%
# Daily returns of 400 stocks over 1,000 days: six common factors, of which the first, the market, moves them most, and a
# part of each stock's own. Expected returns are hundreds of times smaller than the entries of the covariance matrix of
# returns scaled to unit variance, as they are for real prices.

import matplotlib.pyplot as plt
import numpy as np

import qinspired as qi

rng = np.random.default_rng(0)
n_days, n_stocks, wanted_return = 1000, 400, 0.001
strengths = np.array([0.55, 0.25, 0.2, 0.15, 0.12, 0.1])
loadings = strengths * np.column_stack([rng.uniform(0.5, 1.5, n_stocks), rng.standard_normal((n_stocks, 5))])
own = np.sqrt(np.maximum(1.0 - (loadings**2).sum(axis=1), 0.2))
expected = rng.uniform(0.0, 0.001, n_stocks)
returns = expected + rng.standard_normal((n_days, 6)) @ loadings.T + own * rng.standard_normal((n_days, n_stocks))
covariance = np.cov(returns, rowvar=False)
A = np.block([[np.zeros((1, 1)), expected[None, :]], [expected[:, None], covariance]])
b = np.zeros(n_stocks + 1)
b[0] = wanted_return

# %%
# The exact solution takes milliseconds. It is compared with :math:`A_k^+ b` from the singular value decomposition and
# with the sampled answer of rank :math:`k`, which draws 300 rows and 300 columns
# (:func:`qinspired.reference.glt_regression`), and entries of :math:`A` by the squares of :math:`b` and of the row.

exact = np.linalg.solve(A, b)
U, s, Vt = np.linalg.svd(A)
ranks = [1, 2, 5, 10, 20, 50, 100, 200, 300, 390, 400, 401]
of_rank = {k: Vt[:k].T @ ((U[:, :k].T @ b) / s[:k]) for k in ranks}


def distance(x, target):
    return np.linalg.norm(x - target) / np.linalg.norm(target)


sampled = {}
for k in (1, 2, 5):
    runs = [
        qi.reference.glt_regression(A, b, k, n_rows=300, n_cols=300, n_estimates=50, draw_by="rhs", rng=seed).to_array()
        for seed in range(7)
    ]
    sampled[k] = runs
    near = np.median([distance(x, of_rank[k]) for x in runs])
    far = np.median([distance(x, exact) for x in runs])
    print(
        f"rank {k}: sampled from exact rank {k} {near:.2f}, sampled from the solution {far:.4f}, "
        f"exact rank {k} from the solution {distance(of_rank[k], exact):.4f}"
    )

# %%
# What the portfolios are worth: the return that is got of the one that was wanted.

for name, x in [("exact", exact)] + [(f"exact rank {k}", of_rank[k]) for k in (5, 100, 400)]:
    print(f"{name:15s} return {expected @ x[1:] / wanted_return:9.6f} of the wanted one")

# %%
# The constraint sits in the smallest singular values: a row of expected returns is tiny beside the covariances, and so
# :math:`b` is nearly orthogonal to all leading directions. Every rank but the full one misses it.

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6))
left.semilogy(np.arange(1, len(s) + 1), s, "k.-", markersize=3)
left.set(xlabel="number", ylabel="singular value")
partial = ranks[:-1]  # at the full rank the distance is rounding
right.plot(partial, [distance(of_rank[k], exact) for k in partial], "C1o-", label="exact rank k from the solution")
right.plot(
    list(sampled),
    [np.median([distance(x, of_rank[k]) for x in runs]) for k, runs in sampled.items()],
    "C0s-",
    label="sampled from exact rank k",
)
right.set(xlabel="rank k", ylabel="relative distance", xscale="log", yscale="log")
right.legend()
figure.tight_layout()
plt.show()

# %%
# Which solver, then? :func:`qinspired.least_squares` is asked for 1 % and decides by itself that a matrix of this size
# and condition is solved exactly; its answer is the solution.

solution = qi.least_squares(A, b, tolerance=0.01, rng=0)
print(solution.method, "-", solution.status)
print(f"distance from the solution {distance(solution.x, exact):.1e}")
