"""The result of `least_squares` on a matrix too wide for one vector of its width: drawn rows and coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qinspired.access import RowCombination
from qinspired.algorithms._estimates import estimate_inner_product, estimate_norm

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.access import SampleQueryMatrix
    from qinspired.algorithms._results import Cost, ErrorEstimate
    from qinspired.algorithms._sum_estimate import Estimate

__all__ = ["ImplicitSolution"]

_LARGEST_VECTOR = 10**8


@dataclass(frozen=True, slots=True, eq=False)
class ImplicitSolution:
    """The solution x = sum_s c_s A[i_s] of a least-squares problem, a combination of drawn rows that is never formed.

    Attributes
    ----------
    rows : ndarray of int64, shape (r,)
        The drawn rows i_s, repeats included.
    coefficients : ndarray of float64, shape (r,)
        The coefficients c_s.
    residual : ErrorEstimate
        |A x - b| / |b|, from rows drawn afresh.
    error : ErrorEstimate
        A bound of |A (x - x*)| / |A x*|, x* the exact solution, by the residual. This is what `tolerance` promises.
    method : str
        "implicit".
    status : str
        What happened, with advice where there is any.
    stats : Cost
        Draws, entries and seconds.
    source : object with sample-and-query access
        The matrix A.

    Notes
    -----
    Cost: r entries of A for an entry of x; phi proposals for a draw, each a column draw and r entries.
    Error: where whole rows of A are read, the inner products of the drawn rows are exact. Where they are too long, c
    drawn columns estimate them, and A x is off by about |A|_F |x| sqrt(k / c) for k directions.

    References
    ----------
    .. [1] A. Gilyen, S. Lloyd, E. Tang, "Quantum-inspired low-rank stochastic regression with logarithmic dependence on
       the dimension", arXiv:1811.04909 (2018).
    .. [2] N.-H. Chia, H.-H. Lin, C. Wang, "Quantum-inspired sublinear classical algorithms for solving low-rank linear
       systems", arXiv:1811.04852 (2018).

    Differs from [1]_ and [2]_: the drawn equations themselves are solved, which for b in the range of A is exact but
    for the inner products of rows; sizes grow until a certificate meets the tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> import qinspired as qi
    >>> problem = qi.problems.virtual_low_rank_matrix((10_000, 10**9), [1.0, 0.8, 0.6])
    >>> A = qi.ImplicitMatrix(**problem.access)
    >>> b = problem.left_vectors(np.arange(10_000)) @ [1.0, -1.0, 2.0]
    >>> solution = qi.least_squares(A, b, tolerance=0.1, rng=0)
    >>> solution.method, bool(solution.error.high <= 0.1)
    ('implicit', True)
    >>> positions, _ = solution.sample(3, rng=0)
    >>> positions.shape, solution.query(positions).shape
    ((3,), (3,))
    """

    rows: IntArray
    coefficients: Float64Array
    residual: ErrorEstimate
    error: ErrorEstimate
    method: str
    status: str
    stats: Cost
    source: SampleQueryMatrix

    @property
    def size(self) -> int:
        """Length n of x."""
        return self.source.shape[1]

    @property
    def combination(self) -> RowCombination:
        """The vector x, as the estimators take it."""
        return RowCombination(self.source, self.rows, self.coefficients)

    def query(self, indices: npt.ArrayLike) -> Float64Array:
        """Return the entries of x at `indices`, of shape (len(indices),); reads r entries of A for each."""
        return self.combination.query(indices)

    def sample(self, n_draws: int, rng: RNGLike = None) -> tuple[IntArray, int]:
        """Draw positions j with probability x_j^2 / |x|^2 by rejection.

        Parameters
        ----------
        n_draws : int
            Number of draws, >= 0.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        draws : ndarray of int64, shape (n_draws,)
        n_proposals : int
            Proposals made for them.

        Raises
        ------
        ZeroMassError
            If x is zero, or cancels to zero to working precision.
        """
        return self.combination.sample(n_draws, rng)

    def inner(self, vector: Any, n_draws: int, rng: RNGLike = None) -> Estimate:
        """Estimate the inner product <x, y> from draws of positions.

        Parameters
        ----------
        vector : array_like, SampleQueryVector, RowCombination, or object with `query` and `size`, shape (n,)
            The vector y; only its drawn entries are read.
        n_draws : int
            Number of positions to draw, >= 2.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        Estimate
            With a 95 % interval.
        """
        return estimate_inner_product(self.combination, vector, n_draws, rng=rng)

    def norm(self, n_proposals: int, rng: RNGLike = None) -> Estimate:
        """Estimate |x| from draws of positions.

        Parameters
        ----------
        n_proposals : int
            Number of positions to draw, >= 2.
        rng : int, Generator, SeedSequence or None
            Source of the randomness.

        Returns
        -------
        Estimate
            With a 95 % interval.
        """
        return estimate_norm(self.combination, n_proposals, rng=rng)

    def to_array(self) -> Float64Array:
        """Return x, of shape (n,), if n is at most 1e8; reads r rows."""
        if self.size > _LARGEST_VECTOR:
            raise ValueError(
                f"`x` has {self.size} entries, of at most {_LARGEST_VECTOR:.0e} that are formed; use `query`, "
                "`sample`, `inner` and `norm` instead."
            )
        return self.combination.to_array()

    def explain(self) -> str:
        """Return an account of the answer in a few lines."""
        m, n = self.source.shape
        cost = self.stats
        return "\n".join(
            [
                f"implicit least-squares solution with a {m} x {n} matrix: {self.status}",
                f"prediction error against the exact solution {self.error}; relative residual {self.residual}",
                f"held as {len(self.rows)} rows and a coefficient of each; read {cost.entries_read:,} entries "
                f"({100 * cost.entries_read / (m * n):.3g} % of A); index {cost.index_seconds:.3g} s, solve "
                f"{cost.seconds:.3g} s",
            ]
        )
