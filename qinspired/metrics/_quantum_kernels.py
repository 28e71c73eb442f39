"""Conditions, computable from kernel matrices, under which a quantum kernel could predict better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired._kernel_spectrum import kernel_spectrum, relative_root
from qinspired._validation import check_finite_dense, check_nonnegative, check_vector

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "KernelConcentration",
    "geometric_difference",
    "kernel_concentration",
    "kernel_error_bound",
    "model_complexity",
]

# Ridges among which the error bound is least: eight a decade, from rounding to beyond the largest eigenvalue.
_RIDGES = np.logspace(-10, 4, 113)


@dataclass(frozen=True, slots=True)
class KernelConcentration:
    """How far the off-diagonal entries of a kernel matrix are from all being equal.

    Attributes
    ----------
    mean, variance : float
        Mean and variance (divided by their number) of the off-diagonal entries.
    shots : float
        Runs of the circuit per entry at which shot noise is as large as the spread of the entries:
        mean(k (1 - k)) / variance. Infinite if all are equal.
    """

    mean: float
    variance: float
    shots: float


def geometric_difference(K_classical: npt.ArrayLike, K_quantum: npt.ArrayLike, *, regularisation: float = 0.0) -> float:
    r"""Return :math:`g = \| \sqrt{K_Q} \sqrt{K_C} (K_C + \lambda)^{-2} \sqrt{K_C} \sqrt{K_Q} \|_2^{1/2}`.

    At :math:`\lambda = 0` this is :math:`\| \sqrt{K_Q} K_C^{-1} \sqrt{K_Q} \|_2^{1/2}`, the geometric difference
    g(K_C || K_Q) of [1]_.

    Parameters
    ----------
    K_classical, K_quantum : array_like, shape (N, N)
        Kernel matrices on the same N points, symmetric and positive semidefinite. Each is multiplied by N / trace.
    regularisation : float
        The ridge lambda >= 0 that is added to the normalised K_C.

    Returns
    -------
    float
        At least 0; at least 1 at lambda = 0, as the traces are equal. Infinite at lambda = 0 if K_Q has weight where
        K_C is 0 to rounding: some labels cost K_Q a finite and K_C an infinite complexity. A K_C that is singular with
        K_Q inside of its range has a finite g.

    Raises
    ------
    ValueError
        If a kernel is not square, symmetric, positive semidefinite, finite and nonzero, or the sizes differ.

    See Also
    --------
    model_complexity : What it costs a kernel to give some labels.

    Notes
    -----
    For every y, s_C <= g^2 s_Q, s_C at lambda and s_Q at 0: the error bound of K_C is at most g times that of K_Q. Only
    a g near 1 says that the classical kernel is as good for all labels; for a larger one labels exist for which K_Q has
    the better bound, and whether those at hand are of this kind, the two complexities tell.
    The statement is about one K_C; take the smallest g over a family of classical kernels. With lambda > 0 the bound of
    K_C has a training error besides, so that a K_C of low rank can have a small g and fit nothing.
    Cost: two symmetric eigendecompositions and one N x N singular value, about 30 N^3 operations.
    Error: eigenvalues up to 16 N eps of the largest count as 0. A large g at lambda = 0 is set by eigenvalues of K_C
    close to that; report it at a lambda > 0 too.

    References
    ----------
    .. [1] H.-Y. Huang, M. Broughton, M. Mohseni, R. Babbush, S. Boixo, H. Neven and J. R. McClean, "Power of data in
       quantum machine learning", Nature Communications 12, 2631, 2021, arXiv:2011.01938.

    Differs from [1]_: taken as the largest singular value of sqrt(K_C) (K_C + lambda)^-1 sqrt(K_Q), so that no product
    of kernels is formed.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.metrics import geometric_difference
    >>> geometric_difference(np.diag([1.0, 3.0]), np.eye(2))  # 1 / sqrt(1/2), with K_C = diag(1/2, 3/2)
    1.4142135623730951
    """
    ridge = check_nonnegative(regularisation, "regularisation")
    classical = kernel_spectrum(K_classical, "K_classical")
    quantum = kernel_spectrum(K_quantum, "K_quantum", size=len(classical.values))
    root, leak = relative_root(classical, quantum, ridge)
    if ridge == 0.0 and leak > 2.0 * max(classical.cut, quantum.cut):
        return float("inf")
    return float(np.linalg.norm(root, 2))


def model_complexity(K: npt.ArrayLike, y: npt.ArrayLike, *, regularisation: float = 0.0) -> float:
    r"""Return :math:`s = y^T \sqrt{K} (K + \lambda)^{-2} \sqrt{K} y`, the squared norm of the model that fits y.

    Parameters
    ----------
    K : array_like, shape (N, N)
        Kernel matrix, symmetric and positive semidefinite. It is multiplied by N / trace.
    y : array_like, shape (N,)
        Targets.
    regularisation : float
        The ridge lambda >= 0 that is added to the normalised K. At 0, s = y^T K^-1 y.

    Returns
    -------
    float
        At least 0. Infinite at lambda = 0 if y has a part, beyond sqrt(N eps) |y|, where K is 0 to rounding: no model
        of this kernel fits y.

    Raises
    ------
    ValueError
        If K is not a kernel matrix, or y not finite numbers, one for each row, or of a size whose s no float holds.

    Notes
    -----
    For independent points and targets of at most 1 the expected error on new points is at most c sqrt(s / N), and a
    term of sqrt(log(1 / delta) / N) to hold with probability 1 - delta, plus the training error where lambda > 0 [1]_.
    Cost: one symmetric eigendecomposition, about 10 N^3 operations.

    References
    ----------
    .. [1] H.-Y. Huang, M. Broughton, M. Mohseni, R. Babbush, S. Boixo, H. Neven and J. R. McClean, "Power of data in
       quantum machine learning", Nature Communications 12, 2631, 2021, arXiv:2011.01938.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.metrics import model_complexity
    >>> model_complexity(5.0 * np.eye(4), [1.0, -1.0, 1.0, -1.0])
    4.0
    """
    ridge = check_nonnegative(regularisation, "regularisation")
    spectrum = kernel_spectrum(K, "K")
    target = check_vector(y, len(spectrum.values), "y", matrix="K")
    peak = float(np.abs(target).max())
    if peak == 0.0:
        return 0.0
    target = target / peak  # no square of entries near 1e300 or 1e-300 leaves the floats
    length = float(np.linalg.norm(target))
    inside = spectrum.values > 0.0
    coordinates = spectrum.vectors.T @ (target / length)
    outside = float(np.linalg.norm(coordinates[~inside]))
    if ridge == 0.0 and outside > np.sqrt(len(target) * np.finfo(np.float64).eps):
        return float("inf")
    kept = spectrum.values[inside]
    complexity = float(np.sum((coordinates[inside] / (kept + ridge)) ** 2 * kept)) * length**2 * peak * peak
    if complexity == float("inf"):
        raise ValueError(f"`y` must be scaled down: with entries up to {peak:.3g} the complexity exceeds 1.8e308.")
    return complexity


def kernel_error_bound(K: npt.ArrayLike, y: npt.ArrayLike) -> float:
    r"""Return :math:`\min_\lambda \sqrt{s_\lambda / N} + \sqrt{t_\lambda / N}`, a bound without its constant.

    s is `model_complexity` and t = lambda^2 y^T (K + lambda)^-2 y the squared training error of ridge regression.

    Parameters
    ----------
    K : array_like, shape (N, N)
        Kernel matrix, symmetric and positive semidefinite. It is multiplied by N / trace.
    y : array_like, shape (N,)
        Targets; for two classes, labels of +-1.

    Returns
    -------
    float
        In [0, sqrt(y^T y / N)]: for labels of +-1, at 1 nothing is promised.

    Raises
    ------
    ValueError
        If K is not a kernel matrix, or y not finite numbers, one for each row.

    Notes
    -----
    The bound of [1]_ on the expected error, without its constant and the part that no kernel changes: a figure to
    rank kernels by, on one set of labels. Where that of a quantum kernel is not below those of classical ones, nothing
    speaks for the quantum one; where it is, a test on points left out decides. The complexity alone does not rank
    kernels: one of low rank that fits nothing has a small complexity at lambda > 0.
    Cost: one symmetric eigendecomposition, about 10 N^3 operations.
    Error: the minimum is over eight values of lambda a decade, from 1e-10 to 1e4.

    References
    ----------
    .. [1] H.-Y. Huang, M. Broughton, M. Mohseni, R. Babbush, S. Boixo, H. Neven and J. R. McClean, "Power of data in
       quantum machine learning", Nature Communications 12, 2631, 2021, arXiv:2011.01938.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.metrics import kernel_error_bound
    >>> y = np.array([1.0, 1.0, -1.0, -1.0])
    >>> round(kernel_error_bound(np.outer(y, y), y), 6), round(kernel_error_bound(np.eye(4), y), 6)
    (0.5, 1.0)
    """
    spectrum = kernel_spectrum(K, "K")
    target = check_vector(y, len(spectrum.values), "y", matrix="K")
    peak = float(np.abs(target).max())
    if peak == 0.0:
        return 0.0
    target = target / peak
    length = float(np.linalg.norm(target))
    weights = (spectrum.vectors.T @ (target / length)) ** 2
    shares = 1.0 / (spectrum.values + _RIDGES[:, None])
    complexity = np.sqrt((spectrum.values * shares**2) @ weights)
    training = np.sqrt((_RIDGES[:, None] * shares) ** 2 @ weights)
    least = min(1.0, float((complexity + training).min()))  # 1 is the limit of large lambda
    return least * (length / float(np.sqrt(len(target)))) * peak


def kernel_concentration(K: npt.ArrayLike) -> KernelConcentration:
    """Return mean and variance of the off-diagonal entries of a kernel, and the shots that resolve them.

    Parameters
    ----------
    K : array_like, shape (N, N)
        Fidelity kernel: symmetric, entries in [0, 1], N >= 2.

    Returns
    -------
    KernelConcentration
        Mean, variance, and shots per entry.

    Raises
    ------
    ValueError
        If K is not square, symmetric and in [0, 1], or has one row only.

    Notes
    -----
    On hardware an entry k is the frequency of one outcome of a circuit: of variance k (1 - k) / shots. Below the
    number of shots given here, noise hides the differences between entries and the model learns nothing of the data.
    The count is per entry; a training set has N (N - 1) / 2 of them. It is a count of circuit runs, not of seconds.
    The variance falls exponentially in the number of qubits for embeddings that spread over the space [1]_.

    References
    ----------
    .. [1] S. Thanasilp, S. Wang, M. Cerezo and Z. Holmes, "Exponential concentration in quantum kernel methods",
       Nature Communications 15, 5200, 2024, arXiv:2208.11060.

    Examples
    --------
    >>> from qinspired.metrics import kernel_concentration
    >>> kernel_concentration([[1, 0.5, 0.25], [0.5, 1, 0.75], [0.25, 0.75, 1]]).shots.__round__(9)
    5.0
    """
    array = check_finite_dense(K, "K").astype(np.float64)
    n = array.shape[0]
    if array.shape[1] != n or n < 2:
        raise ValueError(f"`K` must be a square kernel matrix of at least 2 points; got shape {array.shape}.")
    slack = 1e-6
    if np.abs(array - array.T).max() > slack:
        raise ValueError("`K` must be symmetric; average K and K^T if they differ by noise alone.")
    if array.min() < -slack or array.max() > 1.0 + slack:
        raise ValueError(
            f"`K` must have entries in [0, 1], probabilities of an outcome; got [{array.min():.3g}, {array.max():.3g}]."
        )
    entries = array[np.triu_indices(n, 1)].clip(0.0, 1.0)
    variance = float(entries.var())
    noise = float(np.mean(entries * (1.0 - entries)))
    # Equal entries: a variance of rounding is none.
    flat = variance <= (np.finfo(np.float64).eps * 16.0) ** 2 * n
    return KernelConcentration(float(entries.mean()), variance, float("inf") if flat else noise / variance)
