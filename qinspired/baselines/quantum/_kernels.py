"""Kernel matrices of quantum feature maps, exactly, in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from qinspired._validation import check_count, check_finite_dense, check_positive

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["quantum_kernel"]

Embedding: TypeAlias = Literal["angle", "iqp", "projected"]

MAX_QUBITS = 12

# Products of two angles of this size are known to 1e-4 of a turn.
_MOST_RADIANS = 1e6


def quantum_kernel(
    X: npt.ArrayLike,
    Y: npt.ArrayLike | None = None,
    *,
    embedding: Embedding = "iqp",
    repeats: int = 1,
    bandwidth: float = 1.0,
    entangling: bool = True,
    gamma: float = 1.0,
) -> Float64Array:
    r"""Return :math:`K_{ij} = |\langle \psi(y_j) | \psi(x_i) \rangle|^2` of a quantum feature map, to rounding.

    Parameters
    ----------
    X : array_like, shape (n_samples, n_features)
        Points, one qubit a feature. The state is that of ``bandwidth * x``, in radians.
    Y : array_like, shape (n_others, n_features), optional
        Points of the columns; X by default.
    embedding : {"angle", "iqp", "projected"}
        - ``"angle"``: a rotation by x_i, about the X axis, of qubit i; `repeats` of them.
        - ``"iqp"``: `repeats` times a Hadamard on every qubit, then the diagonal
          exp(-i/2 (sum_i x_i z_i + sum_{i<j} x_i x_j z_i z_j)), z_i = +-1: PennyLane's ``IQPEmbedding``.
        - ``"projected"``: exp(-gamma sum_i |rho_i(x) - rho_i(y)|_F^2) with rho_i the state of qubit i, of the IQP
          state [1]_.
    repeats : {1, 2}
        Layers of the embedding.
    bandwidth : float
        Factor > 0 of the features. Small ones bring the kernel near to a constant, large ones near to the identity.
    entangling : bool
        False leaves out the terms x_i x_j, so that the states are products of one-qubit states: the ablation that
        tells what entanglement is worth. The angle embedding has none in any case.
    gamma : float
        Scale > 0 of the projected kernel.

    Returns
    -------
    ndarray of float64, shape (n_samples, n_others)
        Entries in [0, 1]; symmetric with ones on the diagonal if Y is not given. For scikit-learn's
        ``kernel="precomputed"``.

    Raises
    ------
    ValueError
        If a matrix is not finite, a parameter is out of range, or an embedding other than "angle" is asked for more
        than 12 qubits.

    Notes
    -----
    These are the kernels of an error-free device with infinitely many shots. How many it would need:
    `qinspired.metrics.kernel_concentration`. The seconds taken here are those of a classical computer and say nothing
    of a quantum one.
    Cost: "angle" N M n operations, as its kernel is the product of cos^2(repeats (x_i - y_i) / 2), at any number of
    qubits. The others 2^n states: 16 (N + M) 2^n bytes, N M 2^n operations for the kernel (N + M for "projected").

    References
    ----------
    .. [1] H.-Y. Huang, M. Broughton, M. Mohseni, R. Babbush, S. Boixo, H. Neven and J. R. McClean, "Power of data in
       quantum machine learning", Nature Communications 12, 2631, 2021, arXiv:2011.01938.
    .. [2] V. Havlicek, A. D. Corcoles, K. Temme, A. W. Harrow, A. Kandala, J. M. Chow and J. M. Gambetta, "Supervised
       learning with quantum-enhanced feature spaces", Nature 567, 209-212, 2019, arXiv:1804.11326.

    Differs from [2]_: the phases of pairs are x_i x_j / 2, not (pi - x_i)(pi - x_j).

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import quantum_kernel
    >>> quantum_kernel([[0.0], [np.pi / 2]], embedding="angle").round(12).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    if embedding not in get_args(Embedding):
        raise ValueError(f"`embedding` must be one of {', '.join(get_args(Embedding))}; got {embedding!r}.")
    if check_count(repeats, "repeats", low=1) > 2:
        raise ValueError(f"`repeats` must be 1 or 2; got {repeats}.")
    scale = check_positive(bandwidth, "bandwidth")
    width = check_positive(gamma, "gamma")
    if not isinstance(entangling, bool | np.bool_):
        raise TypeError(f"`entangling` must be True or False; got {entangling!r}.")
    rows = check_angles(check_finite_dense(X, "X"), scale, "X")
    cols = None if Y is None else check_angles(check_finite_dense(Y, "Y"), scale, "Y")
    n_qubits = rows.shape[1]
    if cols is not None and cols.shape[1] != n_qubits:
        raise ValueError(f"`Y` must have the {n_qubits} features of `X`; got {cols.shape[1]}.")
    if embedding == "angle":
        return _finished(_angle_kernel(repeats * rows, None if cols is None else repeats * cols), symmetric=Y is None)
    if n_qubits > MAX_QUBITS:
        count = len(rows) + (0 if cols is None else len(cols))
        raise ValueError(
            f"`X` must have at most {MAX_QUBITS} features, one qubit each; got {n_qubits}, whose {count} states take "
            f"{count * 2.0**n_qubits * 16 / 1e9:.3g} GB. Reduce the features first, for example by PCA."
        )
    left = iqp_states(rows, repeats=repeats, entangling=bool(entangling))
    right = left if cols is None else iqp_states(cols, repeats=repeats, entangling=bool(entangling))
    if embedding == "iqp":
        kernel = np.abs(left @ right.conj().T) ** 2
    else:
        # |rho - rho'|_F^2 is half of the squared distance of the Bloch vectors.
        a, b = bloch_vectors(left), bloch_vectors(right)
        squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
        kernel = np.exp(-0.5 * width * np.maximum(squared, 0.0))
    return _finished(kernel, symmetric=Y is None)


def check_angles(points: Any, bandwidth: float, name: str) -> Float64Array:
    """Return bandwidth times points, which must be angles whose products have digits left after the turns."""
    largest = float(np.abs(points).max(initial=0.0))
    if largest > _MOST_RADIANS / bandwidth:
        raise ValueError(
            f"`bandwidth` times the entries of `{name}` must be at most {_MOST_RADIANS:g} radians; got entries up to "
            f"{largest:.3g} and bandwidth {bandwidth:.3g}. Scale the features, or lower `bandwidth`."
        )
    return np.asarray(points * bandwidth, dtype=np.float64)


def _finished(kernel: Float64Array, *, symmetric: bool) -> Float64Array:
    if symmetric:
        kernel = (kernel + kernel.T) / 2.0
        np.fill_diagonal(kernel, 1.0)
    return np.minimum(kernel, 1.0)


def _angle_kernel(X: Float64Array, Y: Float64Array | None) -> Float64Array:
    others = X if Y is None else Y
    kernel = np.ones((len(X), len(others)))
    for i in range(X.shape[1]):
        kernel *= np.cos((X[:, i, None] - others[None, :, i]) / 2.0) ** 2
    return kernel


def iqp_states(X: Float64Array, *, repeats: int, entangling: bool) -> Any:
    """Return the states of the IQP embedding as rows; qubit 0 is the most significant bit, z = +1 for bit 0."""
    n_qubits = X.shape[1]
    bits = (np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits - 1, -1, -1)) & 1
    z = 1.0 - 2.0 * bits
    angles = X @ z.T
    if entangling:
        first, second = np.triu_indices(n_qubits, 1)
        angles += (X[:, first] * X[:, second]) @ (z[:, first] * z[:, second]).T
    phases = np.exp(-0.5j * angles)
    states = phases * 2.0 ** (-n_qubits / 2.0)
    for _ in range(repeats - 1):
        states = _hadamard_on_all(states, n_qubits) * phases
    return states


def _hadamard_on_all(states: Any, n_qubits: int) -> Any:
    for i in range(n_qubits):
        halves = states.reshape(len(states), 2**i, 2, -1)
        states = np.stack((halves[:, :, 0] + halves[:, :, 1], halves[:, :, 0] - halves[:, :, 1]), axis=2)
        states = states.reshape(len(states), -1) * np.sqrt(0.5)
    return states


def bloch_vectors(states: Any) -> Float64Array:
    """Return <X_i>, <Y_i>, <Z_i> of every qubit, 3 n columns."""
    n_qubits = states.shape[1].bit_length() - 1
    found = np.empty((len(states), 3 * n_qubits))
    for i in range(n_qubits):
        halves = states.reshape(len(states), 2**i, 2, -1)
        zero, one = halves[:, :, 0].reshape(len(states), -1), halves[:, :, 1].reshape(len(states), -1)
        cross = np.einsum("ij,ij->i", zero.conj(), one)
        found[:, 3 * i] = 2.0 * cross.real
        found[:, 3 * i + 1] = 2.0 * cross.imag
        found[:, 3 * i + 2] = (np.abs(zero) ** 2).sum(axis=1) - (np.abs(one) ** 2).sum(axis=1)
    return found
