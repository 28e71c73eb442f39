"""Prescribed singular values and orthonormal factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from qinspired._validation import check_count, check_nonnegative, first_nonfinite

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = [
    "Spectrum",
    "check_dtype",
    "check_shape",
    "check_singular_values",
    "orthonormal",
    "singular_spectrum",
]

Spectrum: TypeAlias = Literal["geometric", "linear", "flat", "power"]


def singular_spectrum(rank: int, *, kappa: float = 3.0, spectrum: Spectrum = "geometric") -> Float64Array:
    """Singular values 1 = s_1 >= ... >= s_k = 1/kappa of a named shape.

    Parameters
    ----------
    rank : int
        Number k of values, at least 1.
    kappa : float
        Condition number s_1/s_k, at least 1. A single value is 1 whatever `kappa` is.
    spectrum : {"geometric", "linear", "flat", "power"}
        "geometric": equal ratios; "linear": equal differences; "power": s_i = i^-p with p = ln(kappa)/ln(k);
        "flat": all ones, and `kappa` is not used.

    Returns
    -------
    ndarray of float64, shape (k,)
        In descending order.

    Raises
    ------
    ValueError
        If `rank` or `kappa` is below 1 or the name of the spectrum is unknown.

    Examples
    --------
    >>> from qinspired.problems import singular_spectrum
    >>> singular_spectrum(3, kappa=100.0).tolist()
    [1.0, 0.1, 0.01]
    """
    rank = check_count(rank, "rank", low=1)
    kappa = check_nonnegative(kappa, "kappa")
    if kappa < 1.0:
        raise ValueError(f"`kappa` must be a condition number >= 1; got {kappa}.")
    if spectrum not in get_args(Spectrum):
        raise ValueError(f"`spectrum` must be one of {', '.join(get_args(Spectrum))}; got {spectrum!r}.")
    if spectrum == "flat" or rank == 1:
        return np.ones(rank)
    if spectrum == "geometric":
        return np.asarray(np.geomspace(1.0, 1.0 / kappa, rank), dtype=np.float64)
    if spectrum == "linear":
        return np.linspace(1.0, 1.0 / kappa, rank)
    return np.asarray(np.arange(1.0, rank + 1.0) ** (-np.log(kappa) / np.log(rank)))


def check_singular_values(values: Any, rank: int) -> Float64Array:
    """Return k finite positive singular values in descending order."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (rank,):
        raise ValueError(
            f"`singular_values` must have shape ({rank},), one value for each of `rank`; got {array.shape}."
        )
    where = first_nonfinite(array)
    if where is not None or array.min() <= 0.0:
        raise ValueError("`singular_values` must be finite and > 0; lower `rank` instead of giving zeros.")
    if (np.diff(array) > 0.0).any():
        raise ValueError("`singular_values` must be descending; sort them with `numpy.sort(s)[::-1]`.")
    return array


def check_shape(shape: Any) -> tuple[int, int]:
    """Return (m, n), both at least 1."""
    try:
        n_rows, n_cols = shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"`shape` must be a pair (m, n); got {shape!r}.") from error
    return check_count(n_rows, "shape[0]", low=1), check_count(n_cols, "shape[1]", low=1)


def check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return native float32 or float64."""
    result = np.dtype(dtype)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"`dtype` must be float32 or float64; got {result}.")
    return result


def orthonormal(gaussian: Float64Array) -> Float64Array:
    """Return the Q factor that goes with a positive diagonal of R, which makes it unique."""
    Q, R = np.linalg.qr(gaussian)
    return np.asarray(Q * np.where(np.diagonal(R) < 0.0, -1.0, 1.0))
