"""Singular value decompositions by LAPACK, scipy, scikit-learn and fbpca."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_matrix, check_nonnegative, check_rank
from qinspired.baselines._results import SVDResult, refuse_overflow

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import FloatArray, RNGLike

__all__ = ["DENSE_ENTRIES", "exact_svd", "fbpca", "randomized_svd", "svds", "truncated_svd"]

SvdsSolver: TypeAlias = Literal["arpack", "propack", "lobpcg"]
TruncatedAlgorithm: TypeAlias = Literal["randomized", "arpack"]

# A sparse matrix of up to this many entries is made dense for LAPACK: 400 MB of float64.
DENSE_ENTRIES = 50_000_000


def exact_svd(A: npt.ArrayLike | sp.sparray, rank: int | None = None) -> SVDResult:
    """Return the leading k right singular vectors and singular values of A to machine precision.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    rank : int, optional
        Number k of triplets, in [1, min(m, n)]; by default all. A cut, not an approximation.

    Returns
    -------
    SVDResult
        Computed in the type of A: for float32 the singular values are good to about 1e-7 s_1.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix, `rank` is out of its range, or a sparse A of more than 50
        million entries comes without a `rank` below min(m, n).

    Notes
    -----
    LAPACK's gesdd for a dense A and for a sparse one of at most 50 million entries, which is made dense;
    ARPACK for a larger sparse one (`svds` with its full accuracy).
    Cost: O(m n min(m, n)) time whatever the rank; memory for A twice and the two factors.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import exact_svd
    >>> exact_svd(np.diag([3.0, 1.0, 2.0]), rank=2).singular_values.tolist()
    [3.0, 2.0]
    """
    import scipy.linalg

    matrix = check_matrix(A)
    k = min(matrix.shape) if rank is None else check_rank(rank, matrix.shape)
    if sp.issparse(matrix) and np.prod(matrix.shape, dtype=np.float64) > DENSE_ENTRIES:
        if k == min(matrix.shape):
            raise ValueError(
                f"`rank` must be below min(m, n) = {k} for a sparse matrix of more than {DENSE_ENTRIES} "
                "entries, "
                f"which is not made dense; got {rank}."
            )
        return svds(matrix, k, rng=0)
    started = time.perf_counter()
    dense = matrix.toarray() if sp.issparse(matrix) else matrix
    _, s, Vt = scipy.linalg.svd(dense, full_matrices=False, lapack_driver="gesdd", check_finite=False)
    return _result(Vt[:k], s[:k], started, "LAPACK gesdd", matrix.dtype)


def randomized_svd(
    A: npt.ArrayLike | sp.sparray,
    rank: int,
    *,
    n_iter: int | Literal["auto"] = "auto",
    n_oversamples: int = 10,
    rng: RNGLike = None,
) -> SVDResult:
    """Return a rank-k SVD by a Gaussian sketch and power iterations: scikit-learn's `randomized_svd`.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    rank : int
        k, in [1, min(m, n)].
    n_iter : int or "auto"
        Power iterations; "auto" is scikit-learn's rule (7 for k < 0.1 min(m, n), else 4).
    n_oversamples : int
        Columns of the sketch beyond k.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the sketch.

    Returns
    -------
    SVDResult
        The approximate leading triplets.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix or a parameter is out of its range.

    Notes
    -----
    Cost: O(m n (k + n_oversamples) (n_iter + 1)) for a dense A; 2 (n_iter + 1) passes over A.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson and J. A. Tropp, "Finding structure with randomness", SIAM Review
       53(2), 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import randomized_svd
    >>> randomized_svd(np.diag([3.0, 1.0, 2.0]), 2, rng=0).singular_values.round(9).tolist()
    [3.0, 2.0]
    """
    from sklearn.utils.extmath import randomized_svd as solve

    matrix = check_matrix(A)
    k = check_rank(rank, matrix.shape)
    iterations = n_iter if n_iter == "auto" else check_count(n_iter, "n_iter")
    extra = check_count(n_oversamples, "n_oversamples")
    seed = _seed(rng)
    started = time.perf_counter()
    _, s, Vt = solve(matrix, k, n_iter=iterations, n_oversamples=extra, random_state=seed)
    return _result(Vt, s, started, f"scikit-learn randomized_svd, n_iter={iterations}", matrix.dtype)


def truncated_svd(
    A: npt.ArrayLike | sp.sparray,
    rank: int,
    *,
    algorithm: TruncatedAlgorithm = "randomized",
    n_iter: int = 5,
    n_oversamples: int = 10,
    rng: RNGLike = None,
) -> SVDResult:
    """Return a rank-k SVD by scikit-learn's `TruncatedSVD`, its defaults included.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    rank : int
        k, in [1, min(m, n)]; below min(m, n) for "arpack".
    algorithm : {"randomized", "arpack"}
        Randomized sketch, or Lanczos to full accuracy.
    n_iter, n_oversamples : int
        Power iterations and extra columns of the sketch; not used by "arpack".
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the sketch or the starting vector.

    Returns
    -------
    SVDResult
        Its `seconds` are those of the whole fit, which also computes the explained variances.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix or a parameter is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import truncated_svd
    >>> truncated_svd(np.diag([3.0, 1.0, 2.0]), 2, rng=0).singular_values.round(9).tolist()
    [3.0, 2.0]
    """
    from sklearn.decomposition import TruncatedSVD

    matrix = check_matrix(A)
    k = check_rank(rank, matrix.shape)
    _check_choice(algorithm, "algorithm", get_args(TruncatedAlgorithm))
    if algorithm == "arpack":
        _check_below(k, matrix.shape, "algorithm='arpack'")
    model = TruncatedSVD(
        n_components=k,
        algorithm=algorithm,
        n_iter=check_count(n_iter, "n_iter"),
        n_oversamples=check_count(n_oversamples, "n_oversamples", low=1),
        random_state=_seed(rng),
    )
    if not _has_mass(matrix):
        return _zero(matrix, k, "scikit-learn TruncatedSVD (zero matrix)")
    started = time.perf_counter()
    model.fit(matrix)
    method = f"scikit-learn TruncatedSVD, {algorithm}, n_iter={n_iter}"
    return _result(model.components_, model.singular_values_, started, method, matrix.dtype)


def svds(
    A: npt.ArrayLike | sp.sparray,
    rank: int,
    *,
    solver: SvdsSolver = "arpack",
    tolerance: float = 0.0,
    rng: RNGLike = None,
) -> SVDResult:
    """Return the leading k triplets by an iterative eigensolver: scipy's `svds`.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    rank : int
        k, in [1, min(m, n)]; below min(m, n) for "arpack" and "lobpcg".
    solver : {"arpack", "propack", "lobpcg"}
        Lanczos on the normal equations, Lanczos bidiagonalisation, or block conjugate gradients.
    tolerance : float
        Relative accuracy of the singular values; 0 is machine precision.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the starting vectors.

    Returns
    -------
    SVDResult
        In descending order (scipy's own is ascending).

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix or a parameter is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import svds
    >>> svds(np.diag([3.0, 1.0, 2.0]), 2, rng=0).singular_values.round(9).tolist()
    [3.0, 2.0]
    """
    import scipy.sparse.linalg as spla

    matrix = check_matrix(A)
    k = check_rank(rank, matrix.shape)
    _check_choice(solver, "solver", get_args(SvdsSolver))
    tol = check_nonnegative(tolerance, "tolerance")
    if solver != "propack":
        _check_below(k, matrix.shape, f"solver={solver!r}")
    generator = as_generator(rng)
    if not _has_mass(matrix):  # ARPACK fails on a starting vector that A maps to zero
        return _zero(matrix, k, f"scipy svds, {solver} (zero matrix)")
    started = time.perf_counter()
    _, s, Vt = spla.svds(matrix, k, solver=solver, tol=tol, rng=generator)
    order = np.argsort(s)[::-1]
    return _result(Vt[order], s[order], started, f"scipy svds, {solver}", matrix.dtype)


def fbpca(
    A: npt.ArrayLike | sp.sparray,
    rank: int,
    *,
    n_iter: int = 2,
    n_oversamples: int = 2,
    rng: RNGLike = None,
) -> SVDResult:
    """Return a rank-k SVD by a sketch and normalised power iterations: `fbpca.pca` without centring.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n)
        The matrix.
    rank : int
        k, in [1, min(m, n)].
    n_iter : int
        Power iterations.
    n_oversamples : int
        Columns of the sketch beyond k.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the sketch.

    Returns
    -------
    SVDResult
        The approximate leading triplets.

    Raises
    ------
    ValueError
        If A is not a finite non-empty matrix or a parameter is out of its range.
    ImportError
        If fbpca is not installed.

    Notes
    -----
    fbpca draws from numpy's global random state. It is seeded from `rng` for the call and put back after
    it; other threads that use the global state at the same time would disturb both.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import fbpca
    >>> fbpca(np.diag([3.0, 1.0, 2.0]), 2, rng=0).singular_values.round(9).tolist()
    [3.0, 2.0]
    """
    try:
        from fbpca import pca
    except ImportError as error:
        raise ImportError(
            'this baseline needs fbpca, which is not installed; run `pip install "qinspired[bench]"`.'
        ) from error
    matrix = check_matrix(A)
    k = check_rank(rank, matrix.shape)
    iterations = check_count(n_iter, "n_iter")
    extra = check_count(n_oversamples, "n_oversamples")
    seed = _seed(rng)
    before = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(seed)  # noqa: NPY002
        started = time.perf_counter()
        _, s, Vt = pca(matrix, k, raw=True, n_iter=iterations, l=k + extra)
        return _result(Vt, s, started, f"fbpca, n_iter={iterations}", matrix.dtype)
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _result(components: Any, singular_values: Any, started: float, method: str, dtype: np.dtype[Any]) -> SVDResult:
    seconds = time.perf_counter() - started
    components = np.ascontiguousarray(components, dtype=dtype)
    values = np.ascontiguousarray(singular_values, dtype=dtype)
    refuse_overflow(np.append(components, values), method)
    return SVDResult(
        components=components,
        singular_values=values,
        seconds=seconds,
        method=method,
    )


def _seed(rng: RNGLike) -> int:
    return int(as_generator(rng).integers(2**32))


def _has_mass(matrix: FloatArray | sp.csr_array[Any]) -> bool:
    entries = matrix.data if sp.issparse(matrix) else matrix
    return bool(np.any(entries))


def _zero(matrix: FloatArray | sp.csr_array[Any], k: int, method: str) -> SVDResult:
    """Return the SVD of a zero matrix, for which any orthonormal vectors will do."""
    started = time.perf_counter()
    components = np.eye(k, matrix.shape[1])
    return _result(components, np.zeros(k), started, method, matrix.dtype)


def _check_below(k: int, shape: tuple[int, int], what: str) -> None:
    if k >= min(shape):
        raise ValueError(
            f"`rank` must be in [1, min(m, n) - 1] = [1, {min(shape) - 1}] for {what} and a matrix of "
            f"shape {shape}; "
            f"got {k}. Use `exact_svd` for all of them."
        )


def _check_choice(value: Any, name: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}; got {value!r}.")
