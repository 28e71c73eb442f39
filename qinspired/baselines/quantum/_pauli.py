"""Pauli decomposition of a Hermitian matrix, and the product formulas that simulate its evolution by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray

__all__ = ["PauliSum", "n_passes", "pauli_decomposition", "product_formula"]

# A coefficient below this share of the largest is rounding of a zero.
_ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class PauliSum:
    """H = sum_l c_l P_l with P_l = i^|x_l & z_l| X^(x_l) Z^(z_l), in lexicographic order of the words in I < X < Y < Z.

    The first letter of a word acts on the most significant bit of the basis state's index.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (L,)
        c_l, real and not zero.
    x, z : ndarray of int64, shape (L,)
        Bit masks of the qubits on which P_l has an X or Y, and a Z or Y.
    n_qubits : int
        Qubits q; the matrix is 2^q x 2^q.
    """

    coefficients: Float64Array
    x: IntArray
    z: IntArray
    n_qubits: int

    @property
    def weights(self) -> IntArray:
        """Qubits on which each P_l is not the identity."""
        return np.asarray(np.bitwise_count(self.x | self.z), dtype=np.int64)


def pauli_decomposition(H: npt.NDArray[Any]) -> PauliSum:
    """Return the Pauli sum of a Hermitian 2^q x 2^q matrix by one Walsh-Hadamard transform for each X mask.

    As X^x Z^z |j> = (-1)^(z.j) |j ^ x>, the entries H[j ^ x, j] over j are the Walsh-Hadamard transform of the
    coefficients of X^x Z^z over z. Cost: O(4^q q).
    """
    size = len(H)
    q = size.bit_length() - 1
    j = np.arange(size)
    table = np.asarray(H, dtype=np.complex128)[j[:, None] ^ j, j]  # row x, column j
    for bit in range(q):
        pair = table.reshape(size, -1, 2, 1 << bit)
        low, high = pair[:, :, 0].copy(), pair[:, :, 1].copy()
        pair[:, :, 0] = low + high
        pair[:, :, 1] = low - high
    y = np.bitwise_count(j[:, None] & j).astype(np.int64)  # letters Y of each word: Y = i X Z
    coefficients = (table * (-1j) ** (y % 4)).real / size
    digits = np.zeros((size, size), dtype=np.int64)
    for bit in range(q):
        has_x, has_z = (j[:, None] >> bit) & 1, (j >> bit) & 1
        digits += np.where(has_x == 1, 1 + has_z, 3 * has_z) << (2 * bit)
    order = np.argsort(digits, axis=None)
    kept = order[np.abs(coefficients.ravel()[order]) > _ROUNDING * np.abs(coefficients).max()]
    return PauliSum(
        coefficients=np.asarray(coefficients.ravel()[kept], dtype=np.float64), x=kept // size, z=kept % size, n_qubits=q
    )


def n_passes(order: int) -> int:
    """Return how often a step of the formula goes through all words."""
    return {1: 1, 2: 2, 4: 10}[order]


def product_formula(terms: PauliSum, time: float, order: int, steps: int) -> npt.NDArray[np.complex128]:
    """Return the unitary S_p(time/steps)^steps that stands for exp(i H time), multiplied out.

    Order 1 is the product of exp(i c_l P_l delta), the first word acting first; order 2 goes through the words and back
    with half of delta each; order 4 is Suzuki's S_2(u)^2 S_2(1 - 4u) S_2(u)^2 with u = 1/(4 - 4^(1/3)), in delta.
    Cost: O(L 4^q) for each pass through the L words.
    """
    size = 1 << terms.n_qubits
    delta = time / steps
    if order == 1:
        step = _pass(terms, delta, np.eye(size, dtype=np.complex128), reverse=False)
    elif order == 2:
        step = _symmetric(terms, delta)
    else:
        u = 1.0 / (4.0 - 4.0 ** (1.0 / 3.0))
        outer = _symmetric(terms, u * delta)
        outer = outer @ outer
        step = outer @ _symmetric(terms, (1.0 - 4.0 * u) * delta) @ outer
    return np.linalg.matrix_power(step, steps)


def _symmetric(terms: PauliSum, delta: float) -> npt.NDArray[np.complex128]:
    half = _pass(terms, 0.5 * delta, np.eye(1 << terms.n_qubits, dtype=np.complex128), reverse=False)
    return _pass(terms, 0.5 * delta, half, reverse=True)


def _pass(
    terms: PauliSum, delta: float, matrix: npt.NDArray[np.complex128], *, reverse: bool
) -> npt.NDArray[np.complex128]:
    """Multiply by each exp(i c P delta) = cos(c delta) + i sin(c delta) P from the left, in turn."""
    j = np.arange(len(matrix))
    words = list(zip(terms.coefficients.tolist(), terms.x.tolist(), terms.z.tolist(), strict=True))
    for c, x, z in reversed(words) if reverse else words:
        source = j ^ x
        sign = 1.0 - 2.0 * (np.bitwise_count(source & z) & 1)
        phase = 1j ** ((x & z).bit_count() % 4)
        turned = (1j * np.sin(c * delta) * phase) * sign[:, None] * matrix[source]
        matrix = np.cos(c * delta) * matrix + turned
    return matrix
