"""Ratings of users who fall into a few types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_fraction, check_nonnegative
from qinspired.problems._low_rank import row_blocks
from qinspired.problems._spectra import check_shape

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import IntArray, RNGLike

__all__ = ["RatingsProblem", "ratings"]


@dataclass(frozen=True, slots=True)
class RatingsProblem:
    """Observed likes of users of k types, with the types and what each type likes.

    Attributes
    ----------
    matrix : csr_array of float64, shape (n_users, n_items)
        1 where a like was observed.
    groups : ndarray of int64, shape (n_users,)
        Type of each user, in [0, k).
    profiles : ndarray of bool, shape (k, n_items)
        What each type likes. `profiles[groups]` is the full preference matrix, of rank at most k.
    density : float
        Probability that a like is observed.
    noise : float
        Probability that an item which is not liked appears as a like, relative to `density`.
    """

    matrix: sp.csr_array[Any]
    groups: IntArray
    profiles: npt.NDArray[np.bool_]
    density: float
    noise: float


def ratings(
    shape: tuple[int, int],
    n_groups: int,
    *,
    density: float = 0.1,
    noise: float = 0.0,
    liked: float = 0.2,
    rng: RNGLike = None,
) -> RatingsProblem:
    """Sample a 0/1 preference matrix with k distinct rows, the model of Kerenidis and Prakash [1]_.

    Parameters
    ----------
    shape : (int, int)
        (n_users, n_items).
    n_groups : int
        Number k of user types, at least 1. Users are assigned to types uniformly.
    density : float
        Probability in (0, 1] that a user's liked item is observed; the p of [1]_.
    noise : float
        In [0, 1]: an item that the user does not like is stored with probability density * noise. At 1
        the matrix holds no trace of the types.
    liked : float
        Probability in (0, 1] with which a type likes an item.
    rng : int, Generator, SeedSequence, BitGenerator, RandomState or None
        Source of the draws.

    Returns
    -------
    RatingsProblem
        The observed matrix, the types and their profiles.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Notes
    -----
    Cost: n_users n_items uniform draws, in row blocks of 32 MB.

    References
    ----------
    .. [1] I. Kerenidis and A. Prakash, "Quantum recommendation systems", ITCS 2017, arXiv:1603.08675.

    Examples
    --------
    >>> from qinspired.problems import ratings
    >>> problem = ratings((100, 50), 4, density=0.5, rng=0)
    >>> users, items = problem.matrix.nonzero()
    >>> bool(problem.profiles[problem.groups[users], items].all())
    True
    """
    n_users, n_items = check_shape(shape)
    n_groups = check_count(n_groups, "n_groups", low=1)
    density = check_fraction(density, "density", closed_high=True)
    liked = check_fraction(liked, "liked", closed_high=True)
    noise = check_nonnegative(noise, "noise")
    if noise > 1.0:
        raise ValueError(f"`noise` must be in [0, 1]; got {noise}.")
    generator = as_generator(rng)
    profiles = generator.random((n_groups, n_items)) < liked
    groups = generator.integers(n_groups, size=n_users)
    probabilities = np.where(profiles, density, density * noise)
    columns = []
    counts = np.zeros(n_users + 1, dtype=np.int64)
    for rows in row_blocks(n_users, n_items):
        seen = generator.random((rows.stop - rows.start, n_items)) < probabilities[groups[rows]]
        columns.append(np.nonzero(seen)[1])
        counts[rows.start + 1 : rows.stop + 1] = seen.sum(axis=1)
    indices = np.concatenate(columns)
    matrix = sp.csr_array((np.ones(len(indices)), indices, np.cumsum(counts)), shape=(n_users, n_items))
    return RatingsProblem(matrix=matrix, groups=groups, profiles=profiles, density=density, noise=noise)
