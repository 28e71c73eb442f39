"""The eigenbasis of a Hermitian matrix, or the singular basis that stands for the dilation of any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp

from qinspired._validation import check_array, check_matrix, check_vector

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = [
    "KERNEL_TOLERANCE",
    "CheckedSystem",
    "SpectralProblem",
    "check_dense_matrix",
    "check_factors",
    "check_problem",
    "check_right_side",
    "diagonalise",
    "is_factors",
    "is_hermitian",
    "nearest_hermitian",
    "rounding_level",
]

_EPS = float(np.finfo(np.float64).eps)

# A sparse matrix is diagonalised as a dense one: 400 MB of float64 at most.
_DENSE_ENTRIES = 50_000_000
# Part of b outside the kernel, relative to |b|, that is no more than rounding.
KERNEL_TOLERANCE = 1e-12
# Largest deviation of the products of singular vectors from 0 and 1: those of float32 are within 1e-6.
_ORTHONORMAL = 1e-6
# Entries A_ij and A_ji that were computed apart differ by fractions of the rounding of the largest.
_ASYMMETRY = 8.0
# Zero eigenvalues of products of 4 x 4 matrices come out as up to 20 eps.
_LEAST_SIZE = 32


@dataclass(frozen=True, slots=True)
class SpectralProblem:
    """A and b in the basis in which the circuit is diagonal.

    Attributes
    ----------
    kind : {"eigen", "singular"}
        Eigenbasis of a Hermitian A, or singular basis of any A, by its dilation [[0, A], [A^H, 0]].
    shape : (int, int)
        Shape (m, n) of A.
    values : ndarray of float64, shape (r,)
        Eigenvalues or singular values; those that are zero to rounding are exactly 0.
    left, right : ndarray, shapes (m, r) and (n, r)
        Their vectors as columns; the same array for an eigenbasis.
    b_unit : ndarray, shape (m,)
        b/|b|.
    b_norm : float
        |b|.
    coefficients : ndarray, shape (r,)
        Inner products of `left` with `b_unit`.
    """

    kind: Literal["eigen", "singular"]
    shape: tuple[int, int]
    values: Float64Array
    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    b_unit: npt.NDArray[Any]
    b_norm: float
    coefficients: npt.NDArray[Any]

    @property
    def outside_mass(self) -> float:
        """Squared length of the part of b/|b| outside the span of `left`."""
        rest = self.b_unit - self.left @ self.coefficients
        return float(np.vdot(rest, rest).real)


class CheckedSystem(NamedTuple):
    """(A,) or (U, s, Vt), and b, as finite float64 or complex128 arrays, and the rounding of A's own numbers."""

    parts: tuple[npt.NDArray[Any], ...]
    b: npt.NDArray[Any]
    eps: float

    def matrix(self) -> npt.NDArray[Any]:
        """Return A."""
        return self.parts[0] if len(self.parts) == 1 else (self.parts[0] * self.parts[1]) @ self.parts[2]


def _checked(values: Any, check: Callable[[Any], Any]) -> npt.NDArray[Any]:
    """Run a check for real arrays on an array that may be complex, and return float64 or complex128."""
    try:
        array: Any = values if sp.issparse(values) or isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError:
        check(values)  # tells in which way it is no array
        raise
    if array.dtype.kind != "c" or isinstance(array, np.ma.MaskedArray):
        return np.asarray(check(array), dtype=np.float64)
    return np.asarray(check(array.real) + 1j * check(array.imag), dtype=np.complex128)


def _unit_roundoff(dtype: np.dtype[Any]) -> float:
    """Return the rounding of the numbers given: those of float32 remain so when they are turned into float64."""
    return max(float(np.finfo(dtype if dtype.kind in "fc" else np.float64).eps), _EPS)


def check_dense_matrix(X: Any, name: str) -> tuple[npt.NDArray[Any], float]:
    """Return a finite float64 or complex128 array, and the rounding of the numbers that it was given in."""
    original = X
    if not sp.issparse(X):
        try:
            X = X if isinstance(X, np.ndarray) else np.asarray(X)
        except ValueError:
            check_array(X, name)  # tells in which way it is no array
            raise
        if X.ndim == 0:
            check_array(original, name)
        return _checked(X, lambda part: check_matrix(part, name)), _unit_roundoff(X.dtype)
    matrix: Any = X  # the stubs' sparse base class has no shape
    entries = int(np.prod(matrix.shape, dtype=np.float64))
    if entries > _DENSE_ENTRIES:
        raise ValueError(
            f"`{name}` must have at most {_DENSE_ENTRIES} entries to be diagonalised when sparse; got shape "
            f"{matrix.shape}, which would take {8 * entries / 1e9:.3g} GB as an array. Give a truncated SVD (U, s, Vt) "
            "instead."
        )

    def check(part: Any) -> Any:
        return sp.csr_array(check_matrix(part, name)).toarray()

    return _checked(matrix, check), _unit_roundoff(matrix.dtype)


def is_factors(A: Any) -> bool:
    """Return whether A is given by an SVD, and not as a matrix of three rows; a list of its parts is refused."""
    if isinstance(A, list) and len(A) == 3 and [_ndim(part) for part in A] == [2, 1, 2]:
        raise TypeError("`A` must be a tuple (U, s, Vt) where it is given by its SVD; got a list.")
    return isinstance(A, tuple) and len(A) == 3 and _ndim(A[0]) == 2


def _ndim(value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError:  # lists of different lengths, which a check tells later
        return 2


def check_factors(A: Any) -> tuple[npt.NDArray[Any], Float64Array, npt.NDArray[Any], float]:
    """Return U, s and Vt of an SVD, and the rounding of the numbers in s."""
    (U, _), (Vt, _) = check_dense_matrix(A[0], "U"), check_dense_matrix(A[2], "Vt")
    rank = U.shape[1]
    try:
        n_values = np.shape(A[1])
    except ValueError:
        check_vector(A[1], rank, "s")  # tells in which way it is no array
        raise
    if Vt.shape[0] != rank or n_values != (rank,):
        raise ValueError(
            f"`A` = (U, s, Vt) must have shapes (m, r), (r,) and (r, n); got {U.shape}, {n_values}, {Vt.shape}. "
            "Drop the surplus vectors (`full_matrices=False`)."
        )
    s = check_vector(A[1], rank, "s", matrix="Vt")
    if s.min() < 0.0:
        raise ValueError(f"`s` must hold singular values >= 0; got {s.min()}.")
    for name, gram in (("U", U.conj().T @ U), ("Vt", Vt @ Vt.conj().T)):
        deviation = float(np.abs(gram - np.eye(rank)).max())
        if deviation > _ORTHONORMAL:
            raise ValueError(f"`{name}` of `A` = (U, s, Vt) must be orthonormal; it deviates by {deviation:.1e}.")
    return U, s, Vt, _unit_roundoff(np.asarray(A[1]).dtype)


def check_right_side(b: Any, n_rows: int) -> npt.NDArray[Any]:
    """Return b as a finite float64 or complex128 vector with an entry for each row."""
    return _checked(b, lambda part: check_vector(part, n_rows, "b"))


def check_problem(A: Any, b: Any) -> CheckedSystem:
    """Return the system; a square matrix that is Hermitian to rounding is made so."""
    parts: tuple[npt.NDArray[Any], ...]
    if is_factors(A):
        U, s, Vt, eps = check_factors(A)
        parts = (U, s, Vt)
    else:
        matrix, eps = check_dense_matrix(A, "A")
        parts = (nearest_hermitian(matrix, eps),)
    return CheckedSystem(parts, check_right_side(b, len(parts[0])), eps)


def nearest_hermitian(A: npt.NDArray[Any], eps: float) -> npt.NDArray[Any]:
    """Return the Hermitian part of a square matrix that deviates from it by no more than rounding, else the matrix."""
    if A.shape[0] != A.shape[1] or is_hermitian(A):
        return A
    half, adjoint = A / 2.0, A.conj().T / 2.0  # whose difference cannot overflow
    allowed = max(len(A) * _EPS, _ASYMMETRY * eps) * np.abs(half).max()
    return half + adjoint if np.abs(half - adjoint).max() <= allowed else A


def rounding_level(values: Float64Array, size: int, eps: float) -> float:
    """Return the size up to which the singular values or eigenvalues of A are no more than rounding.

    That of the decomposition is `size` times the largest in float64, and more for a small one. Numbers rounded to a
    coarser type change A by a matrix of norm eps |A|_F/2 at most; twice that leaves room for arithmetic in that type.
    """
    largest = float(np.abs(values).max())
    return largest * max(max(size, _LEAST_SIZE) * _EPS, eps * float(np.linalg.norm(values / largest)))


def diagonalise(system: CheckedSystem) -> SpectralProblem:
    """Return the problem in the eigenbasis if A is Hermitian, in the singular basis otherwise."""
    import scipy.linalg

    parts, b, eps = system
    scale = float(np.abs(b).max())
    if scale == 0.0:
        raise ValueError("`b` must not be zero: there is no state to prepare.")
    b_unit = b / scale  # first, as the norm itself may overflow or lose its digits
    relative = float(np.linalg.norm(b_unit))
    b_unit, b_norm = b_unit / relative, scale * relative
    if not np.isfinite(b_norm):
        raise ValueError("`b` must have a norm that is a float64; scale it down.")
    kind: Literal["eigen", "singular"] = "singular"
    if len(parts) == 3:
        left, values, right = parts[0], parts[1], parts[2].conj().T
        shape = (left.shape[0], right.shape[0])
    else:
        A = parts[0]
        shape = (A.shape[0], A.shape[1])
        if shape[0] == shape[1] and is_hermitian(A):
            kind = "eigen"
            # The default "evr" is as fast, but at n = 1,500 its vectors were orthogonal to 1.5e-12, these to 4e-15.
            values, left = scipy.linalg.eigh(A, driver="evd")
            right = left
        else:
            left, values, Vt = scipy.linalg.svd(A, full_matrices=False)
            right = Vt.conj().T
    if not values.any():
        raise ValueError("`A` must not be the zero matrix: nothing can be inverted.")
    size = len(values) if len(parts) == 3 else max(shape)
    values = np.where(np.abs(values) <= rounding_level(values, size, eps), 0.0, values)
    coefficients = left.conj().T @ b_unit
    if float(np.linalg.norm(coefficients[values != 0.0])) <= KERNEL_TOLERANCE:
        space = "range" if kind == "eigen" else "column space"
        raise ValueError(
            f"`b` must have a part in the {space} of `A`; it lies in the kernel of A^H, so that the success "
            "probability is 0 and the solution of least squares is x = 0."
        )
    return SpectralProblem(
        kind=kind,
        shape=shape,
        values=values,
        left=left,
        right=right,
        b_unit=b_unit,
        b_norm=b_norm,
        coefficients=coefficients,
    )


def is_hermitian(A: npt.NDArray[Any]) -> bool:
    """Return whether a square matrix is exactly Hermitian."""
    return bool((A == A.conj().T).all())
