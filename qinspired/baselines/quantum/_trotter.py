"""The eigenphases of a product formula for exp(i A t0), which the filter needs in place of eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qinspired._validation import check_count
from qinspired.baselines.quantum._pauli import n_passes, pauli_decomposition, product_formula

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["ProductFormula", "check_trotter", "eigenphases", "refuse_large_formula"]

MAX_SIZE = 256


class ProductFormula(NamedTuple):
    """Eigenphases in turns, in (-1/2, 1/2], eigenvectors as columns, and what the formula is made of."""

    phases: Float64Array
    vectors: npt.NDArray[np.complex128]
    n_terms: int
    n_exponentials: int


def check_trotter(trotter: Any) -> tuple[int, int] | None:
    """Return (order, steps), or None."""
    if trotter is None:
        return None
    if not isinstance(trotter, tuple | list) or len(trotter) != 2:
        raise ValueError(f"`trotter` must be None or a pair (order, steps); got {trotter!r}.")
    order, steps = check_count(trotter[0], "trotter[0]", low=1), check_count(trotter[1], "trotter[1]", low=1)
    if order not in (1, 2, 4):
        raise ValueError(f"`trotter[0]`, the order, must be 1, 2 or 4; got {order}.")
    return order, steps


def refuse_large_formula(n: int) -> None:
    """Refuse a matrix of n rows whose Pauli terms are too many."""
    if n > MAX_SIZE:
        raise ValueError(
            f"`A` must have at most {MAX_SIZE} rows for `trotter`, with its dilation and padding; got {n}, whose "
            f"{n**2} Pauli terms and the "
            f"product of their exponentials would take {5 * 16 * n**2 / 1e6:.0f} MB and {float(n) ** 4:.0e} complex "
            "multiplications a step."
        )


def eigenphases(A: npt.NDArray[Any], time: float, order: int, steps: int) -> ProductFormula:
    """Return the eigenphases and eigenvectors of the formula for exp(i A time)."""
    import scipy.linalg

    n = len(A)
    if n & (n - 1):
        raise ValueError(
            f"`A` must have 2^q rows for `trotter`, as its Pauli terms act on whole qubits; got {n}. Pad it with a "
            f"diagonal block to {1 << n.bit_length()} rows."
        )
    refuse_large_formula(n)
    terms = pauli_decomposition(A)
    gate = product_formula(terms, time, order, steps)
    # A unitary is normal, so that its Schur form is diagonal, with orthonormal vectors also in degenerate spaces.
    triangle, vectors = scipy.linalg.schur(gate, output="complex")
    phases = np.angle(np.diag(triangle)) / (2.0 * np.pi)
    n_terms = len(terms.coefficients)
    return ProductFormula(phases, vectors, n_terms, steps * n_passes(order) * n_terms)
