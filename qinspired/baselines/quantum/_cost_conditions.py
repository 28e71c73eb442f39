"""What the costs depend on: the size of the data and a few numbers of the spectrum, read from any of several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.linalg

from qinspired._validation import check_count, check_fraction, check_positive, check_rank
from qinspired.baselines.quantum._basis import (
    check_dense_matrix,
    check_factors,
    check_right_side,
    is_factors,
    is_hermitian,
    nearest_hermitian,
    rounding_level,
)
from qinspired.baselines.quantum._choices import check_kappa_encoding

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["Problem", "read_problem"]

# A matrix is diagonalised up to this many entries (160 MB) and m n min(m, n) operations.
_LARGEST_ENTRIES, _LARGEST_WORK = 20_000_000, 1e11
_GIVE_LESS = "Give a truncated SVD (U, s, Vt), or the conditions: shape, frobenius_norm, sigma_max, sigma_min."

# Rounding in numbers that a caller computed in another order.
_SLACK = 1e-9
# Rows or columns of conditions, so that products of costs stay finite.
_LARGEST_SIZE = 10**18
_LARGEST_NUMBER = 10**300

_NAMES = {
    "shape": ("shape",),
    "frobenius_norm": ("frobenius_norm", "frobenius"),
    "sigma_max": ("sigma_max", "spectral_norm", "norm"),
    "sigma_min": ("sigma_min",),
    "rank": ("rank",),
    "n_stored": ("n_stored", "nnz"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A linear system as far as its costs go.

    Attributes
    ----------
    shape : (int, int)
        Shape (m, n).
    frobenius_norm, sigma_max, sigma_min : float
        |A|_F of the whole data, the largest singular value and the smallest that is inverted.
    rank : int or None
        Number of singular values >= sigma_min, where known.
    n_stored : int
        Words of A that are loaded.
    n_stored_b : int
        Words of b that are loaded.
    alpha : float
        Scale of the block encoding.
    values, coefficients : ndarray, shape (r,), or None
        Singular values kept, or eigenvalues with their signs if `hermitian`, and |<u_i, b>|/|b|, where b is known.
    hermitian : bool
        Whether `values` are those of the eigenbasis.
    outside : float
        Squared length of the part of b/|b| outside the span of the kept left vectors.
    source : str
        Where the spectrum is from.
    """

    shape: tuple[int, int]
    frobenius_norm: float
    sigma_max: float
    sigma_min: float
    rank: int | None
    n_stored: int
    n_stored_b: int
    alpha: float
    values: Float64Array | None
    hermitian: bool
    coefficients: Float64Array | None
    outside: float
    source: str

    @property
    def kappa(self) -> float:
        """sigma_max/sigma_min."""
        return self.sigma_max / self.sigma_min

    @property
    def kappa_encoding(self) -> float:
        """alpha/sigma_min."""
        return self.alpha / self.sigma_min


def read_problem(
    A: Any, b: Any, *, cutoff: float | None, density: float | None, alpha: float | Literal["frobenius"] = "frobenius"
) -> Problem:
    """Return the problem that a matrix, a tuple (U, s, Vt) or conditions stand for."""
    problem = _read(A, b, cutoff=cutoff, density=density)
    if isinstance(alpha, str):
        if alpha != "frobenius":
            raise ValueError(f"`alpha` must be a number > 0 or 'frobenius'; got {alpha!r}.")
    else:
        scale = check_positive(alpha, "alpha")
        if scale < problem.sigma_max * (1.0 - _SLACK):
            raise ValueError(
                f"`alpha` must be at least |A| = {problem.sigma_max:.6g}, as A/alpha has no block encoding otherwise; "
                f"got {scale}."
            )
        problem = replace(problem, alpha=max(scale, problem.sigma_max))
    remedy = "Give a larger `sigma_min`, with a `cutoff` where `A` is no condition, or a smaller `alpha`."
    check_kappa_encoding(problem.alpha / problem.sigma_min, "sigma_min", remedy)
    return problem


def _read(A: Any, b: Any, *, cutoff: float | None, density: float | None) -> Problem:
    floor = 0.0 if cutoff is None else check_positive(cutoff, "cutoff")
    share = None if density is None else check_fraction(density, "density", closed_high=True)
    if is_factors(A):
        return _from_factors(A, b, floor, share)
    if isinstance(A, Mapping) or (hasattr(A, "shape") and any(hasattr(A, k) for k in _NAMES["frobenius_norm"])):
        if cutoff is not None:
            raise ValueError(f"`cutoff` must not be given with conditions: `sigma_min` says it; got {cutoff}.")
        return _from_conditions(A, b, share)
    return _from_matrix(A, b, floor, share)


def _words(share: float | None, m: int, n: int) -> int:
    """Return the entries that a share of m n stands for; that of k entries, rounded as k/(m n) is, stands for k."""
    entries = (1.0 if share is None else share) * (m * n)
    nearest = round(entries)
    is_whole = abs(entries - nearest) <= 2.0 * np.finfo(np.float64).eps * entries
    return max(1, nearest if is_whole else ceil(entries))


def _unit_right_side(b: Any, n_rows: int) -> npt.NDArray[Any] | None:
    if b is None:
        return None
    vector = check_right_side(b, n_rows)
    if not vector.any():
        raise ValueError("`b` must not be zero: there is no state to prepare.")
    # Squares of entries beyond 1e154 would overflow.
    scaled = vector / np.abs(vector).max()
    return np.asarray(scaled / np.linalg.norm(scaled))


def _from_matrix(A: Any, b: Any, floor: float, share: float | None) -> Problem:
    size = getattr(A, "shape", ())
    if len(size) == 2:
        _refuse_large(size)
    given, eps = check_dense_matrix(A, "A")
    dense = nearest_hermitian(given, eps)
    stored = int(np.count_nonzero(given))
    if not stored:
        raise ValueError("`A` must not be the zero matrix: nothing can be inverted.")
    shape = (int(dense.shape[0]), int(dense.shape[1]))
    rhs = _unit_right_side(b, shape[0])
    coefficients = None
    hermitian = rhs is not None and shape[0] == shape[1] and is_hermitian(dense)
    if rhs is None:
        values = scipy.linalg.svdvals(dense)
    elif hermitian:
        values, left = scipy.linalg.eigh(dense)
        coefficients = np.abs(left.conj().T @ rhs)
    else:
        left, values, _ = scipy.linalg.svd(dense, full_matrices=False)
        coefficients = np.abs(left.conj().T @ rhs)
    words = stored if share is None else _words(share, *shape)
    rounding = rounding_level(values, max(shape), eps)
    return _with_spectrum(
        shape, values, coefficients, rhs, floor, rounding, words, "all singular values of A", hermitian
    )


def _refuse_large(shape: tuple[int, ...]) -> None:
    m, n = int(shape[0]), int(shape[1])
    if m * n > _LARGEST_ENTRIES or float(m) * n * min(m, n) > _LARGEST_WORK:
        raise ValueError(
            f"`A` must have at most {_LARGEST_ENTRIES} entries and m n min(m, n) at most {_LARGEST_WORK:.0e} for its "
            f"singular values to be computed; got shape {(m, n)}. {_GIVE_LESS}"
        )


def _from_factors(A: tuple[Any, Any, Any], b: Any, floor: float, share: float | None) -> Problem:
    U, values, Vt, eps = check_factors(A)
    if values.max() == 0.0:
        raise ValueError("`s` must hold singular values >= 0, not all 0; all are.")
    shape, rank = (U.shape[0], Vt.shape[1]), len(values)
    rhs = _unit_right_side(b, shape[0])
    coefficients = None if rhs is None else np.abs(U.conj().T @ rhs)
    words = _words(share, *shape)
    rounding = rounding_level(values, rank, eps)
    return _with_spectrum(shape, values, coefficients, rhs, floor, rounding, words, "the given singular values")


def _with_spectrum(
    shape: tuple[int, int],
    values: Float64Array,
    coefficients: Float64Array | None,
    rhs: npt.NDArray[Any] | None,
    floor: float,
    rounding: float,
    n_stored: int,
    source: str,
    hermitian: bool = False,
) -> Problem:
    sizes = np.abs(values)
    largest = float(sizes.max())
    if floor > largest:
        raise ValueError(f"`cutoff` must be at most the largest singular value, {largest:.6g}; got {floor}.")
    kept = sizes > rounding
    kept &= sizes >= floor
    if coefficients is not None:
        coefficients = coefficients[kept]
        if float(np.linalg.norm(coefficients)) <= 1e-12:
            raise ValueError(
                "`b` must have a part in the span of the kept left singular vectors of `A`; it has none, so that the "
                "success probability of every solver is 0. Lower `cutoff` or give another `b`."
            )
    inside = values[kept]
    if floor > 0.0:
        source += f", those below {floor:.6g} taken as removed beforehand at no cost"
    frobenius = largest * float(np.linalg.norm(values / largest))
    return Problem(
        shape=shape,
        frobenius_norm=frobenius,
        alpha=frobenius,
        sigma_max=largest,
        sigma_min=float(np.abs(inside).min()),
        rank=len(inside),
        n_stored=n_stored,
        n_stored_b=shape[0] if rhs is None else int(np.count_nonzero(rhs)),
        values=None if coefficients is None else inside,
        hermitian=hermitian,
        coefficients=coefficients,
        outside=0.0 if coefficients is None else max(0.0, 1.0 - float(coefficients @ coefficients)),
        source=source,
    )


def _field(given: Any, name: str) -> Any:
    for key in _NAMES[name]:
        value = given.get(key) if isinstance(given, Mapping) else getattr(given, key, None)
        if value is not None:
            return getattr(value, "value", value)
    return None


def _number(given: Any, name: str) -> float:
    value = _field(given, name)
    if value is None:
        raise ValueError(
            f"`A`, if conditions, must have `{name}`; got none. Needed are shape, frobenius_norm, sigma_max and "
            "sigma_min."
        )
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise ValueError(f"`{name}` must be at most 1e+300; got an integer beyond it. Scale A and b.")
    return check_positive(value, name)


def _from_conditions(given: Any, b: Any, share: float | None) -> Problem:
    if isinstance(given, Mapping):
        known = {key for keys in _NAMES.values() for key in keys}
        unknown = sorted(str(key) for key in given if key not in known)
        if unknown:
            raise ValueError(f"`A`, if conditions, must have the keys {sorted(known)} only; got {unknown}.")
    shape = _field(given, "shape")
    if not isinstance(shape, Sequence | np.ndarray) or isinstance(shape, str) or len(shape) != 2:
        raise ValueError(f"`shape` of the conditions must be (m, n); got {shape!r}.")
    m, n = (check_count(size, "shape", low=1) for size in shape)
    if max(m, n) > _LARGEST_SIZE:
        raise ValueError(f"`shape` of the conditions must have sizes of at most {_LARGEST_SIZE:.0e}; got {(m, n)}.")
    frobenius, high, low = (_number(given, name) for name in ("frobenius_norm", "sigma_max", "sigma_min"))
    rank = _field(given, "rank")
    k = None if rank is None else check_rank(rank, (m, n))
    if low > high * (1.0 + _SLACK):
        raise ValueError(f"`sigma_min` must be at most `sigma_max`, {high}; got {low}.")
    spread = low < high * (1.0 - _SLACK)
    if spread and (k == 1 or min(m, n) == 1):
        raise ValueError(
            f"`sigma_min` must equal `sigma_max`, {high:.6g}, where the rank is 1; got {low:.6g}. Give the rank, or "
            "the smallest singular value that is inverted."
        )
    # One of the k values inverted is sigma_max and one sigma_min; those not inverted are below sigma_min.
    ratio, all_of_them = (low / high) ** 2, min(m, n)
    inverted = k or all_of_them
    least = high * sqrt(1.0 + ((k or (2 if spread else 1)) - 1) * ratio)
    most = high * sqrt(1.0 + (inverted - 1 - spread) + (all_of_them - inverted + spread) * ratio)
    if not (least * (1.0 - _SLACK) <= frobenius <= most * (1.0 + _SLACK)) or not isfinite(frobenius):
        raise ValueError(
            f"`frobenius_norm` must be in [{least:.6g}, {most:.6g}] for `sigma_max` = {high:.6g}, `sigma_min` = "
            f"{low:.6g}, rank {k} and shape {(m, n)}; got {frobenius}."
        )
    stored = _field(given, "n_stored")
    if stored is not None and share is not None:
        raise ValueError("`density` must not be given with conditions that have `n_stored`; drop one of them.")
    if stored is not None:
        words = check_count(stored, "n_stored", low=1)
        if words > m * n:
            raise ValueError(f"`n_stored` must be at most m n = {m * n}; got {words}.")
    else:
        words = _words(share, m, n)
    rhs = _unit_right_side(b, m)
    return Problem(
        shape=(m, n),
        frobenius_norm=max(frobenius, high),
        alpha=max(frobenius, high),
        sigma_max=high,
        sigma_min=min(low, high),
        rank=k,
        n_stored=words,
        n_stored_b=m if rhs is None else int(np.count_nonzero(rhs)),
        values=None,
        hermitian=False,
        coefficients=None,
        outside=0.0,
        source="the given conditions",
    )
