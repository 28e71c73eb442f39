"""The smallest clock that reaches a given error."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from qinspired._validation import check_positive
from qinspired.baselines.quantum._basis import check_problem, diagonalise
from qinspired.baselines.quantum._choices import always_fails, check_choice, exact_coordinates, refuse_failure
from qinspired.baselines.quantum._clock import MAX_SEARCHED_QUBITS, resolve_clock
from qinspired.baselines.quantum._filters import resolve_filter
from qinspired.baselines.quantum._hhl import hhl
from qinspired.baselines.quantum._phase_estimation import respond
from qinspired.baselines.quantum._spectrum import evolved_spectrum

if TYPE_CHECKING:
    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired.baselines.quantum._basis import SpectralProblem
    from qinspired.baselines.quantum._clock import Clock

__all__ = ["min_clock_qubits"]

_NOT_HERE = ("A", "b", "n_clock_qubits", "shots", "rng")


def min_clock_qubits(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    b: npt.ArrayLike,
    tolerance: float,
    **options: Any,
) -> int:
    """Return the smallest number of clock qubits with which the state of `hhl` is within `tolerance`.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n), or a tuple (U, s, Vt)
        As for `hhl`.
    b : array_like, shape (m,)
        Right-hand side.
    tolerance : float
        Largest `l2_error` allowed, > 0.
    **options
        Parameters of `hhl` other than `n_clock_qubits`, `shots` and `rng`.

    Returns
    -------
    int
        Clock qubits t, at most 20.

    Raises
    ------
    ValueError
        If no clock of up to 20 qubits reaches the tolerance, with the best error found, and as `hhl`.
    TypeError
        If an option is none of `hhl`.

    Notes
    -----
    Every t is tried from below, as the error need not fall from one t to the next: how the eigenvalues lie on
    the grid matters. So a larger clock may miss the tolerance again.

    Cost: one decomposition, then O(r 2^t) for r eigenvalues.
    Error: none but rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import hhl, min_clock_qubits
    >>> A, b = np.diag([1.0, 0.55, 0.3]), np.ones(3)
    >>> t = min_clock_qubits(A, b, 0.01)
    >>> [hhl(A, b, n_clock_qubits=k).l2_error <= 0.01 for k in (t - 1, t)]
    [False, True]
    """
    tolerance = check_positive(tolerance, "tolerance")
    known = inspect.signature(hhl).parameters
    for name in options:
        if name not in known or name in _NOT_HERE:
            raise TypeError(f"`{name}` is no option of min_clock_qubits; it takes those of `hhl` but {_NOT_HERE[2:]}.")
    # The error is that of the pure state in either case.
    check_choice(options.pop("postselect_clock", True), "postselect_clock", (True, False))
    trotter = options.pop("trotter", None)
    wanted = resolve_filter(options.pop("filter", "inverse"), options.pop("ridge", 0.0), options.pop("threshold", 0.0))
    system = check_problem(A, b)
    problem = diagonalise(system)
    best = np.inf
    for t in range(min(_first(problem, options), MAX_SEARCHED_QUBITS), MAX_SEARCHED_QUBITS + 1):
        clock = resolve_clock(problem, wanted, n_clock_qubits=t, **options)
        error = _l2_error(problem, clock, system.parts[0], trotter)
        if error <= tolerance:
            return t
        best = min(best, error)
    if best == np.inf:
        refuse_failure(0.0, clock.rotation)
    raise ValueError(
        f"`tolerance` must be reachable with {MAX_SEARCHED_QUBITS} clock qubits; the best error of any clock is "
        f"{best:.3g}, and {tolerance:.3g} was asked for."
    )


def _first(problem: SpectralProblem, options: dict[str, Any]) -> int:
    """Return the smallest clock that exists for these options."""
    signed = options.get("signed", "auto")
    is_signed = (
        signed is True
        or problem.kind == "singular"
        or options.get("phase_map") == "walk"
        or bool(problem.values.min() < 0.0)
    )
    t = 1 + is_signed
    guard = options.get("guard", "auto")
    if not isinstance(guard, int | np.integer):
        return t
    return max(t, int(guard).bit_length() + is_signed)


def _l2_error(problem: SpectralProblem, clock: Clock, A: npt.NDArray[Any], trotter: Any) -> float:
    """Return the error in the coordinates of the basis, where the vectors themselves are not needed."""
    spectrum = evolved_spectrum(problem, clock, A, trotter)
    h, _ = respond(np.append(spectrum.phases, clock.phases(np.zeros(1))), clock.rotation, window=clock.window)
    _, exact = exact_coordinates(problem, clock.filter)
    if trotter is not None:
        exact = spectrum.left.conj().T @ (problem.left @ exact)
    found = h[:-1] * spectrum.coefficients
    rest = abs(float(h[-1])) * problem.outside_mass**0.5 if problem.kind == "singular" else 0.0
    norm = float(np.hypot(np.linalg.norm(found), rest))
    if always_fails(norm**2, clock.rotation):
        return np.inf
    found = found / norm
    overlap = complex(np.vdot(exact, found))
    turn = overlap / abs(overlap) if overlap != 0 else 1.0
    return float(np.hypot(np.linalg.norm(found - turn * exact), rest / norm))
