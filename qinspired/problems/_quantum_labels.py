"""Labels for which a quantum kernel is known to win."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired._kernel_spectrum import kernel_spectrum, relative_root
from qinspired._rng import as_generator
from qinspired._validation import check_count, check_nonnegative

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike

__all__ = ["DiscreteLogProblem", "discrete_log", "engineered_labels"]

_LARGEST_PRIME = 2**20


@dataclass(frozen=True, slots=True)
class DiscreteLogProblem:
    """Elements of Z_p^*, labelled by the half circle of logarithms that theirs falls into.

    Attributes
    ----------
    elements : ndarray of int64, shape (n_samples,)
        The x, distinct, in [1, p).
    X : ndarray of float64, shape (n_samples, n_bits)
        Bits of the elements, 0 or 1, most significant first: what a learner is shown.
    y : ndarray of int64, shape (n_samples,)
        +1 where log_g x is in [s, s + (p - 3) / 2] mod p - 1, else -1.
    kernel : ndarray of float64, shape (n_samples, n_samples)
        |<phi_x | phi_x'>|^2 of the interval states |phi_x> = 2^(-k/2) sum_{i < 2^k} |x g^i>.
    p, g, start, interval_bits : int
        Prime, generator, s, and k.
    """

    elements: IntArray
    X: Float64Array
    y: IntArray
    kernel: Float64Array
    p: int
    g: int
    start: int
    interval_bits: int


def discrete_log(
    n_samples: int, *, p: int = 1019, g: int = 2, interval_bits: int | None = None, rng: RNGLike = None
) -> DiscreteLogProblem:
    """Sample the classification by discrete logarithms of Liu, Arunachalam and Temme [1]_.

    Parameters
    ----------
    n_samples : int
        Number of distinct elements, in [2, p - 1].
    p : int
        Odd prime, 5 <= p < 2^20: all logarithms are tabulated.
    g : int
        Generator of Z_p^*.
    interval_bits : int, optional
        k of the interval states, 2^k <= (p - 1) / 2; by default the largest with 2^k <= (p - 1) / 4.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the elements and of s.

    Returns
    -------
    DiscreteLogProblem
        Elements, bits, labels and the exact kernel matrix of the quantum feature map.

    Raises
    ------
    ValueError
        If p is not an odd prime in its range, g does not generate Z_p^*, or another value is out of range.

    Notes
    -----
    A quantum computer prepares the interval states by Shor's algorithm. If discrete logarithms are hard, no efficient
    classical learner does notably better than guessing as p grows; at the sizes here they are easy, and the data show
    what learners that do not compute them find. A classical learner that tabulates the logarithms wins too, as does one
    that is shown the products of x by a few powers of g, where a good part of all elements is in the training set.
    Cost: O(p + n_samples^2).

    References
    ----------
    .. [1] Y. Liu, S. Arunachalam and K. Temme, "A rigorous and robust quantum speed-up in supervised machine
       learning", Nature Physics 17, 1013-1017, 2021, arXiv:2010.02174.

    Differs from [1]_: elements are drawn without replacement, so that no test point is in the training set.

    Examples
    --------
    >>> from qinspired.problems import discrete_log
    >>> problem = discrete_log(4, p=5, interval_bits=1, rng=0)
    >>> sorted(problem.elements.tolist()), int(problem.y.sum())
    ([1, 2, 3, 4], 0)
    """
    prime, generator = _check_prime(p), check_count(g, "g", low=2)
    if generator >= prime:
        raise ValueError(f"`g` must generate Z_{prime}^* and be below p; got {generator}.")
    count = check_count(n_samples, "n_samples", low=2)
    if count > prime - 1:
        raise ValueError(f"`n_samples` must be at most p - 1 = {prime - 1}, the number of elements; got {count}.")
    order = prime - 1
    logs = _logarithms(prime, generator)
    bits = max(order // 4, 1).bit_length() - 1 if interval_bits is None else check_count(interval_bits, "interval_bits")
    if bits >= (order // 2).bit_length():
        raise ValueError(f"`interval_bits` must satisfy 2^k <= (p - 1) / 2 = {order // 2}; got {interval_bits}.")
    random = as_generator(rng)
    start = int(random.integers(order))
    elements = random.choice(np.arange(1, prime), size=count, replace=False)
    exponents = logs[elements]
    labels = np.where((exponents - start) % order <= (prime - 3) // 2, 1, -1)
    apart = (exponents[:, None] - exponents[None, :]) % order
    apart = np.minimum(apart, order - apart)
    overlaps = np.maximum(2**bits - apart, 0) / 2.0**bits
    places = np.arange((prime - 1).bit_length() - 1, -1, -1)
    return DiscreteLogProblem(
        elements=elements,
        X=((elements[:, None] >> places) & 1).astype(np.float64),
        y=labels.astype(np.int64),
        kernel=overlaps**2,
        p=prime,
        g=generator,
        start=start,
        interval_bits=bits,
    )


def engineered_labels(
    K_quantum: npt.ArrayLike,
    K_classical: npt.ArrayLike,
    *,
    regularisation: float = 0.0,
    noise: float = 0.0,
    rng: RNGLike = None,
) -> IntArray:
    r"""Return the labels of :math:`\sqrt{K_Q} v` that set a quantum kernel apart from a classical one.

    v is the top eigenvector of :math:`\sqrt{K_Q} \sqrt{K_C} (K_C + \lambda)^{-2} \sqrt{K_C} \sqrt{K_Q}`, for which
    s_C = g^2 s_Q [1]_.

    Parameters
    ----------
    K_quantum, K_classical : array_like, shape (N, N)
        Kernel matrices on the same N >= 2 points; each is multiplied by N / trace.
    regularisation : float
        The ridge lambda >= 0 of K_C. Must be > 0 if K_Q has weight where K_C is 0 to rounding.
    noise : float
        Probability in [0, 1] that a label is replaced by a fair coin.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of that noise and of the sign of v.

    Returns
    -------
    ndarray of int64, shape (N,)
        +1 above the median of sqrt(K_Q) v, -1 elsewhere; before noise, the two are as frequent (N even, no ties).

    Raises
    ------
    ValueError
        If a kernel is not square, symmetric, positive semidefinite and finite; the sizes differ; a parameter is out of
        range; lambda = 0 and the geometric difference is infinite; or sqrt(K_Q) v is the same for all points.

    Notes
    -----
    The labels are made for the quantum kernel to win: they show that such data exist, not that data at hand are so.
    The split at the median loses part of the separation: s_C = g^2 s_Q holds for sqrt(K_Q) v itself.
    Cost: about 30 N^3 operations.

    References
    ----------
    .. [1] H.-Y. Huang, M. Broughton, M. Mohseni, R. Babbush, S. Boixo, H. Neven and J. R. McClean, "Power of data in
       quantum machine learning", Nature Communications 12, 2631, 2021, arXiv:2011.01938.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.problems import engineered_labels
    >>> G = np.random.default_rng(0).standard_normal((2, 6, 6))
    >>> labels = engineered_labels(G[0] @ G[0].T, G[1] @ G[1].T, rng=0)
    >>> sorted(labels.tolist())
    [-1, -1, -1, 1, 1, 1]
    """
    ridge = check_nonnegative(regularisation, "regularisation")
    share = check_nonnegative(noise, "noise")
    if share > 1.0:
        raise ValueError(f"`noise` must be in [0, 1]; got {share}.")
    random = as_generator(rng)
    quantum = kernel_spectrum(K_quantum, "K_quantum")
    if len(quantum.values) < 2:
        raise ValueError("`K_quantum` must be of at least 2 points, one for each label; got 1.")
    classical = kernel_spectrum(K_classical, "K_classical", size=len(quantum.values))
    root, leak = relative_root(classical, quantum, ridge)
    if ridge == 0.0 and leak > 2.0 * max(classical.cut, quantum.cut):
        raise ValueError(
            "`regularisation` must be > 0 here: `K_classical` is singular to rounding where `K_quantum` is not, so "
            "that the geometric difference is infinite and no top eigenvector exists."
        )
    top = np.linalg.svd(root, full_matrices=False)[2][0]
    values = quantum.vectors @ (np.sqrt(quantum.values) * top)
    if np.ptp(values) <= 1e-8 * np.abs(values).max():
        raise ValueError(
            "`K_quantum` must tell points apart where it differs most from `K_classical`; there it gives all the same "
            "value, so that no labels set the two apart. Centre it, or take another embedding or bandwidth."
        )
    values *= 1.0 if random.random() < 0.5 else -1.0
    labels = np.where(values > np.median(values), 1, -1).astype(np.int64)
    replaced = random.random(len(labels)) < share
    return np.where(replaced, random.integers(2, size=len(labels)) * 2 - 1, labels)


def _check_prime(p: int) -> int:
    prime = check_count(p, "p", low=5)
    if prime >= _LARGEST_PRIME:
        raise ValueError(f"`p` must be below 2^20, as all logarithms are tabulated; got {prime}.")
    if prime % 2 == 0 or any(prime % d == 0 for d in range(3, int(prime**0.5) + 1, 2)):
        raise ValueError(f"`p` must be an odd prime; got {prime}.")
    return prime


def _logarithms(p: int, g: int) -> IntArray:
    """Return log_g x at index x; index 0 is unused."""
    logs = np.full(p, -1, dtype=np.int64)
    power = 1
    for exponent in range(p - 1):
        if logs[power] >= 0:
            raise ValueError(f"`g` must generate Z_{p}^*; {g} has order {exponent}, not {p - 1}.")
        logs[power] = exponent
        power = power * g % p
    return logs
