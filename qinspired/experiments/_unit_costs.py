"""Gates of one query and one preparation, and copies for an output, as `quantum_costs` counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from qinspired import baselines

if TYPE_CHECKING:
    from qinspired.baselines import ReadOutLine
    from qinspired.experiments._quantum_report import Wanted

__all__ = ["UnitCosts", "read_out", "unit_costs", "units_of"]

_Loading: TypeAlias = Literal["qrom", "qram"]


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Toffoli gates of one query and one preparation of b, and copies for an output."""

    query: float
    preparation: float
    runs: float

    def seconds(self, queries: float, preparations: float, clock: float) -> float:
        """Return the seconds of all runs of a solver."""
        return (queries * self.query + preparations * self.preparation) * self.runs * clock


def unit_costs(
    shape: tuple[int, int], n_stored: int, *, length: int, tolerance: float, answer: Wanted, loading: str
) -> UnitCosts:
    """Return what `quantum_costs` counts for one query, one preparation of a dense b, and the copies for an output.

    A linear solver puts out as many entries as A has columns, the recommender as many as b: their number is `length`.

    None of the three depends on the spectrum, so that of a matrix of rank one is put in its place.
    """
    conditions = {"shape": shape, "frobenius_norm": 1.0, "sigma_max": 1.0, "sigma_min": 1.0, "n_stored": n_stored}
    line = baselines.quantum_costs(conditions, tolerance=tolerance, output=answer, loading=cast("_Loading", loading))[
        "Dalzell, norm known"
    ]
    return units_of(line, read_out(length, tolerance, answer)[0].runs)


def units_of(line: Any, runs: Any) -> UnitCosts:
    """Return what a line of `quantum_costs` takes for one query and one preparation, and the copies given."""
    return UnitCosts(
        query=(line.toffoli_loading + line.toffoli_rotations) / line.queries,
        preparation=line.toffoli_preparation / line.state_preparations,
        runs=runs,
    )


def read_out(length: int, tolerance: float, answer: Wanted) -> tuple[ReadOutLine, ...]:
    """Return the ways to read an output state of a length."""
    small = {"shape": (1, length), "frobenius_norm": 1.0, "sigma_max": 1.0, "sigma_min": 1.0, "n_stored": 1}
    return baselines.quantum_costs(small, tolerance=tolerance, output=answer).readout
