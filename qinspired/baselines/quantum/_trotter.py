"""Product formulas for exp(i A t0) in Pauli terms, and the eigenphases of what they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qinspired._validation import check_count

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["ProductFormula", "check_trotter", "pauli_terms", "product_formula"]

MAX_SIZE = 256
# Coefficients below this share of the largest are rounding of the transform.
_NEGLIGIBLE = 1e-14


class ProductFormula(NamedTuple):
    """Eigenphases in turns, in (-1/2, 1/2], eigenvectors as columns, and what the formula is made of."""

    phases: Float64Array
    vectors: npt.NDArray[np.complex128]
    n_terms: int
    n_exponentials: int


def check_trotter(trotter: Any, n: int) -> tuple[int, int]:
    """Return (order, steps) for a matrix of n rows."""
    if not isinstance(trotter, tuple | list) or len(trotter) != 2:
        raise ValueError(f"`trotter` must be None or a pair (order, steps); got {trotter!r}.")
    order, steps = check_count(trotter[0], "trotter[0]", low=1), check_count(trotter[1], "trotter[1]", low=1)
    if order not in (1, 2, 4):
        raise ValueError(f"`trotter[0]`, the order, must be 1, 2 or 4; got {order}.")
    if n & (n - 1):
        raise ValueError(
            f"`A` must have 2^q rows for `trotter`, as its Pauli terms act on whole qubits; got {n}. Pad it with a "
            f"diagonal block to {1 << n.bit_length()} rows."
        )
    if n > MAX_SIZE:
        raise ValueError(
            f"`A` must have at most {MAX_SIZE} rows for `trotter`; got {n}, whose {n**2} Pauli terms and the "
            f"product of their exponentials would take {5 * 16 * n**2 / 1e6:.0f} MB and {float(n) ** 4:.0e} complex "
            "multiplications a step."
        )
    return order, steps


def pauli_terms(A: npt.NDArray[Any]) -> list[tuple[int, int, float]]:
    """Return (x, z, coefficient) with A = sum coefficient P(x, z), in lexicographic order of I, X, Y, Z.

    P(x, z) = i^|x and z| X^x Z^z: bit j of x and z says whether the factor of qubit j has an X part and a Z part; the
    first qubit is the highest bit.
    """
    n = len(A)
    rows = np.arange(n)
    found: list[tuple[int, int, float]] = []
    for x in range(n):
        # Walsh-Hadamard transform of the entries A[j, j xor x] over j.
        values = A[rows, rows ^ x].astype(np.complex128)
        half = 1
        while half < n:
            pairs = values.reshape(-1, 2, half)
            values = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).ravel()
            half *= 2
        found.extend((x, z, float((1j ** (x & z).bit_count() * values[z]).real) / n) for z in range(n))
    floor = _NEGLIGIBLE * max(abs(coefficient) for _, _, coefficient in found)
    return sorted((term for term in found if abs(term[2]) > floor), key=lambda term: _letters(term[0], term[1], n))


def _letters(x: int, z: int, n: int) -> tuple[int, ...]:
    """Return 0, 1, 2, 3 for I, X, Y, Z, first qubit first."""
    bits = range(n.bit_length() - 2, -1, -1)
    return tuple((0, 3, 1, 2)[2 * (x >> j & 1) + (z >> j & 1)] for j in bits)


def product_formula(A: npt.NDArray[Any], time: float, order: int, steps: int) -> ProductFormula:
    """Return the eigenphases and eigenvectors of the formula for exp(i A time); order 1 applies term 1 first."""
    import scipy.linalg

    n = len(A)
    terms = pauli_terms(A)
    rows = np.arange(n)
    parity = np.array([(-1.0) ** j.bit_count() for j in range(n)])

    def first_order(gate: npt.NDArray[Any], seconds: float, which: list[tuple[int, int, float]]) -> npt.NDArray[Any]:
        for x, z, coefficient in which:
            angle = coefficient * seconds
            turned = (1j ** (x & z).bit_count()) * parity[(rows ^ x) & z][:, None] * gate[rows ^ x]
            gate = np.cos(angle) * gate + 1j * np.sin(angle) * turned
        return gate

    def second_order(gate: npt.NDArray[Any], seconds: float) -> npt.NDArray[Any]:
        return first_order(first_order(gate, 0.5 * seconds, terms), 0.5 * seconds, terms[::-1])

    step = time / steps
    gate = np.eye(n, dtype=np.complex128)
    if order == 1:
        gate = first_order(gate, step, terms)
    elif order == 2:
        gate = second_order(gate, step)
    else:
        # Suzuki: five second-order steps, the middle one backwards.
        share = 1.0 / (4.0 - 4.0 ** (1.0 / 3.0))
        for part in (share, share, 1.0 - 4.0 * share, share, share):
            gate = second_order(gate, part * step)
    gate = np.linalg.matrix_power(gate, steps)
    # A unitary is normal, so that its Schur form is diagonal, with orthonormal vectors also in degenerate spaces.
    triangle, vectors = scipy.linalg.schur(gate, output="complex")
    phases = np.angle(np.diag(triangle)) / (2.0 * np.pi)
    stages = {1: 1, 2: 2, 4: 10}[order]
    return ProductFormula(phases, vectors, len(terms), steps * stages * len(terms))
