"""Small matrices on which storages go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array

__all__ = ["sample_matrices"]


def sample_matrices(dtype: npt.DTypeLike = np.float64) -> dict[str, Float64Array]:
    """Small awkward matrices by name: zero rows, single rows and columns, huge and tiny entries, repeated rows.

    Parameters
    ----------
    dtype : dtype, default=float64
        float32 or float64; every entry is exact in it, and the squares of the huge and the tiny ones leave its range.

    Returns
    -------
    dict of str to ndarray of float64
        Made afresh at each call.

    Raises
    ------
    ValueError
        If `dtype` is another one.

    Examples
    --------
    >>> from qinspired.testing import sample_matrices
    >>> matrices = sample_matrices()
    >>> matrices["one row"].shape, bool(matrices["zero row and column"][3].any())
    ((1, 12), False)
    """
    kind = np.dtype(dtype)
    if kind not in (np.float32, np.float64):
        raise ValueError(f"`dtype` must be float32 or float64; got {kind}.")
    rng = np.random.default_rng(0)
    plain = rng.integers(-15, 16, size=(9, 12)) / 4.0
    plain[rng.random(plain.shape) < 0.3] = 0.0
    plain[0, 0], plain[8, 11] = 3.5, -0.25
    holed = plain.copy()
    holed[3], holed[:, 5] = 0.0, 0.0
    peaked = np.zeros((6, 5))
    peaked[4] = [1.0, -2.0, 0.0, 4.0, 8.0]
    huge, tiny = (1e200, 1e-200) if kind == np.float64 else (1e30, 1e-30)
    mixed = holed.copy()
    mixed[:3] *= huge
    mixed[3:] *= tiny
    matrices = {
        "zero row and column": holed,
        "no zero row": plain,
        "one row": plain[:1],
        "one column": plain[:, :1],
        "one entry": np.array([[-2.5]]),
        "all mass in one row": peaked,
        "all mass in one column": peaked.T,
        "all mass in one entry": np.eye(5)[[2]].T @ np.eye(4)[[3]],
        "huge entries": huge * plain,
        "tiny entries": tiny * plain,
        "huge and tiny rows": mixed,
        "repeated rows": np.repeat(plain[:3], 3, axis=0),
        "rank one": np.outer(np.arange(1.0, 8.0), [1.0, -1.0, 2.0, 0.5]),
        "all negative": -np.abs(plain) - 0.25,
        "integers": np.rint(4.0 * plain),
        "negative zeros": np.where(plain == 0.0, -0.0, plain),
        "diagonal": np.diag(np.arange(1.0, 9.0)),
        "constant": np.ones((7, 6)),
        "more rows than columns": np.rint(rng.standard_normal((150, 6)) * 8.0) / 4.0,
        "zeros": np.zeros((3, 4)),
    }
    return {name: np.ascontiguousarray(X.astype(kind), dtype=np.float64).copy() for name, X in matrices.items()}
