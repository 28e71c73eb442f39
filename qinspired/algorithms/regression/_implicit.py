"""Least squares with nothing as long as a row: the method "implicit" of `least_squares`.

Drawn by squared norm and scaled to unit length, r rows make U, with targets t. The solution of least norm of the drawn
equations, within the leading directions of K = U U^T, is x = U^T w with w = P S^-2 P^T t. Where rows cannot be read, c
columns drawn from the mean q of the squared unit rows give W = U[:, cols] / sqrt(c q), and W W^T estimates K.

Rows drawn afresh judge x. Their products with x are means over columns drawn afresh, off by a noise that is measured:
the root mean square of the true residuals is at most that of the measured ones plus that of the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qinspired.access import base_of
from qinspired.algorithms._certificates import root_mean_interval
from qinspired.algorithms._results import ErrorEstimate
from qinspired.algorithms.approximation._implicit_approximation import entry_grid
from qinspired.algorithms.regression._held_out import HeldOut, HeldOutLaw, bound_of_residual
from qinspired.algorithms.regression._row_space import FIRST_ROWS, DrawnRows, best_rank, most_rows

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, IntArray
    from qinspired.access import CountingMatrix
    from qinspired.algorithms.regression._system import System

__all__ = ["ImplicitAnswer", "implicit_least_squares", "may_read_rows"]

_ROWS, _MOST_ROWS = 128, 512
_COLUMNS, _MOST_COLUMNS = 2**12, 2**17
_JUDGED_ROWS = 300
_BLOCK_ENTRIES = 4_000_000

# More rows or columns that leave more than this share of the error have found what there is to find.
_LEAST_GAIN = 0.9

# Beyond this share of directions for each row, more rows are drawn.
_MOST_DIRECTIONS = 0.4

# 97.5 % of squared normal numbers, the worst case of one direction, are below 5.02 times their mean.
_NOISE_REACH = 2.24

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class ImplicitAnswer:
    """Drawn rows, their coefficients, and the certificate."""

    rows: IntArray
    coefficients: Float64Array
    residual: ErrorEstimate
    error: ErrorEstimate
    done: str


def may_read_rows(A: CountingMatrix) -> bool:
    """Say whether whole rows of A may be read."""
    return bool(getattr(base_of(A), "whole_rows", True))


def implicit_least_squares(system: System, tolerance: float) -> ImplicitAnswer:
    """Draw rows, and columns where rows are too long to be read, until certified or no better."""
    if may_read_rows(system.A):
        return _from_rows(system, tolerance)
    n_rows, n_cols, before = _ROWS, _COLUMNS, math.inf
    judged = HeldOutLaw(system, _JUDGED_ROWS)
    while True:
        found, rank = _from_columns(system, judged, n_rows, n_cols)
        crowded = rank > _MOST_DIRECTIONS * n_rows and n_rows < _MOST_ROWS
        last = n_cols >= _MOST_COLUMNS or found.error.value > _LEAST_GAIN * before
        if found.error.high <= tolerance or (last and not crowded):
            return found
        before = math.inf if crowded else found.error.value
        growth = min(1.2 * (found.error.high / tolerance) ** 2, 8.0)
        n_cols = min(math.ceil(max(growth, 2.0) * n_cols), _MOST_COLUMNS)
        n_rows *= 2 if crowded else 1


def _from_rows(system: System, tolerance: float) -> ImplicitAnswer:
    held_out, drawn = HeldOut(system), DrawnRows(system)
    limit = most_rows(system)
    wanted, before = min(FIRST_ROWS, limit), math.inf
    while True:
        drawn.grow_to(wanted)
        space = drawn.space()
        rank = drawn.best_rank(space)
        P, s = space.P[:, :rank], space.s[:rank]
        weights = P @ ((P.T @ drawn.targets) / s**2)
        x = drawn.combine(weights) / system.norm
        error = held_out.bound(x)
        wanted *= 2
        if error.high <= tolerance or wanted > limit or error.value > _LEAST_GAIN * before:
            return ImplicitAnswer(
                drawn.rows,
                weights / drawn.scales / system.norm,
                held_out.residual(x),
                error,
                f"{len(drawn)} drawn rows, {rank} directions",
            )
        before = error.value


def _from_columns(system: System, judged: HeldOutLaw, n_rows: int, n_cols: int) -> tuple[ImplicitAnswer, int]:
    rows, norms = system.law.draw(n_rows, system.rng)
    units, law, _ = _columns(system, rows, norms, n_cols)
    scaled = units / np.sqrt(n_cols * law)
    values, P = np.linalg.eigh(scaled @ scaled.T)
    present = values[::-1] > 4.0 * n_rows * _EPS * values[-1]
    values, P = values[::-1][present], P[:, ::-1][:, present]
    targets = system.b[rows] / (norms / system.norm)
    rank = best_rank(P, targets)
    weights = P[:, :rank] @ ((P[:, :rank].T @ targets) / values[:rank])
    residual = _residual(system, judged, rows, norms, weights, n_cols)
    done = f"{n_rows} drawn rows, {rank} directions, and {n_cols} drawn columns"
    coefficients = weights / norms / system.norm
    return ImplicitAnswer(rows, coefficients, residual, bound_of_residual(residual), done), rank


def _columns(
    system: System, rows: IntArray, norms: Float64Array, n_cols: int
) -> tuple[Float64Array, Float64Array, IntArray]:
    """Draw columns from the mean of the squared unit rows; return unit rows there, the law there, and the columns."""
    A = system.A
    cols = A.sample_cols(rows[system.rng.integers(len(rows), size=n_cols)], system.rng)
    units = entry_grid(A, rows, cols) / norms[:, None]
    return units, (units**2).mean(axis=0), cols


def _residual(
    system: System, judged: HeldOutLaw, rows: IntArray, norms: Float64Array, weights: Float64Array, n_cols: int
) -> ErrorEstimate:
    """Return |A x - b| / |b| from rows and columns drawn afresh, the noise of the columns counted as error."""
    units, law, cols = _columns(system, rows, norms, n_cols)
    ratios = (weights @ units) / law
    fits, variances = np.empty(len(judged.rows)), np.empty(len(judged.rows))
    step = max(1, _BLOCK_ENTRIES // n_cols)
    for start in range(0, len(fits), step):
        part = slice(start, start + step)
        terms = entry_grid(system.A, judged.rows[part], cols) / system.norm * ratios
        fits[part], variances[part] = terms.mean(axis=1), terms.var(axis=1, ddof=1) / n_cols
    weight = judged.chances * judged.length_sq
    measured = root_mean_interval((fits - judged.targets) ** 2 / weight)
    noise = float((variances / weight).mean())
    reach = _NOISE_REACH * math.sqrt(noise)
    value = math.sqrt(max(measured.value**2 - noise, 0.0))
    return ErrorEstimate(value, max(measured.low - reach, 0.0), measured.high + reach)
