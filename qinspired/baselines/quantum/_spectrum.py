"""The eigenphases that the circuit's evolution really has: those of A, or of a product formula for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qinspired.baselines.quantum._trotter import check_trotter, eigenphases

if TYPE_CHECKING:
    import numpy.typing as npt

    from qinspired._typing import Float64Array
    from qinspired.baselines.quantum._basis import SpectralProblem
    from qinspired.baselines.quantum._clock import Clock

__all__ = ["Spectrum", "evolved_spectrum"]


class Spectrum(NamedTuple):
    """Phases in turns, the eigenvalues they stand for, vectors as columns, and b/|b| in the left ones."""

    phases: Float64Array
    values: Float64Array
    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    coefficients: npt.NDArray[Any]
    trotter: tuple[int, int] | None = None
    n_terms: int | None = None
    n_exponentials: int | None = None


def evolved_spectrum(problem: SpectralProblem, clock: Clock, A: npt.NDArray[Any], trotter: Any) -> Spectrum:
    """Return the spectrum of the evolution; `trotter` is None or (order, steps), not yet checked."""
    pair = check_trotter(trotter)
    if pair is None:
        return Spectrum(clock.phases(problem.values), problem.values, problem.left, problem.right, problem.coefficients)
    if problem.kind != "eigen" or clock.evolution_time is None:
        raise ValueError(
            "`trotter` must be None unless `A` is a Hermitian matrix and phase_map 'hamiltonian': product formulas are "
            "for exp(i A t0). Give the dilation [[0, A], [A^H, 0]], padded to 2^q rows, for another `A`."
        )
    order, steps = pair
    formula = eigenphases(A, clock.evolution_time, order, steps)
    turns = formula.phases if clock.signed else np.mod(formula.phases, 1.0)
    # Rounding of a product of this many factors; a zero that is rounded to less is 1 mod 1.
    rounding = np.finfo(np.float64).eps * max(len(A), formula.n_exponentials)
    turns = np.where(np.abs(turns - np.rint(turns)) <= rounding, 0.0, turns)
    return Spectrum(
        phases=formula.phases,
        values=np.asarray(turns * (2.0 * np.pi / clock.evolution_time)),
        left=formula.vectors,
        right=formula.vectors,
        coefficients=formula.vectors.conj().T @ problem.b_unit,
        trotter=(order, steps),
        n_terms=formula.n_terms,
        n_exponentials=clock.n_queries * formula.n_exponentials,
    )
