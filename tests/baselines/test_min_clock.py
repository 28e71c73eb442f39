"""The search for the smallest clock."""

from __future__ import annotations

import numpy as np
import pytest
from baselines.systems import first, toeplitz

from qinspired.baselines import hhl, min_clock_qubits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": "sine"},
        {"window": "sine", "guard": 3},
        {"phase_map": "walk", "alpha": "norm"},
        {"signed": True, "below": "zero"},
        {"filter": "ridge", "ridge": 0.1},
        {"filter": "threshold", "threshold": 1.13},
        {"trotter": (2, 40)},
        {"postselect_clock": False, "C": "register"},
    ],
)
def test_found_clock_is_the_first_of_all_that_reaches_the_tolerance(options):
    A, b, tolerance = toeplitz(8), first(8), 0.03
    found = min_clock_qubits(A, b, tolerance, **options)
    lowest = 2 if {"phase_map", "signed"} & set(options) else 1
    if "guard" in options:
        lowest = 2
    errors = [hhl(A, b, n_clock_qubits=t, **options).l2_error for t in range(lowest, found + 1)]
    assert errors[-1] <= tolerance
    assert all(error > tolerance for error in errors[:-1])
    assert len(errors) > 2


@pytest.mark.parametrize("options", [{}, {"filter": "threshold", "threshold": 1.0}, {"phase_map": "walk"}])
def test_found_clock_is_the_first_in_the_singular_basis_too(options):
    rng = np.random.default_rng(4)
    A, b = rng.standard_normal((9, 4)), rng.standard_normal(9)
    found = min_clock_qubits(A, b, 0.05, **options)
    errors = [hhl(A, b, n_clock_qubits=t, **options).l2_error for t in range(2, found + 1)]
    assert errors[-1] <= 0.05
    assert all(error > 0.05 for error in errors[:-1])


def test_part_of_b_outside_the_column_space_counts_where_it_leaks():
    A = np.array([[1.0, 0.0], [0.0, 0.9], [0.0, 0.0]])
    b, options = [1.0, 1.0, 30.0], {"filter": "threshold", "threshold": 0.3, "window": "sine"}
    found = min_clock_qubits(A, b, 0.05, **options)
    errors = [hhl(A, b, n_clock_qubits=t, **options).l2_error for t in range(2, found + 1)]
    assert errors[-1] <= 0.05
    assert all(error > 0.05 for error in errors[:-1])
    assert found > min_clock_qubits(A, [1.0, 1.0, 0.0], 0.05, **options)


@pytest.mark.parametrize("part", [0.1, 1.0, 3.0])
def test_the_part_outside_counts_by_its_length(part):
    A = np.array([[1.0, 0.0], [0.0, 0.9], [0.0, 0.0]])
    options = {"filter": "threshold", "threshold": 0.3, "window": "sine"}
    for tolerance in np.geomspace(0.3, 1e-3, 12):
        found = min_clock_qubits(A, [1.0, 1.0, part], tolerance, **options)
        errors = [hhl(A, [1.0, 1.0, part], n_clock_qubits=t, **options).l2_error for t in range(2, found + 1)]
        assert errors[-1] <= tolerance
        assert all(error > tolerance for error in errors[:-1])


def test_guard_and_sine_window_need_fewer_qubits():
    A, b = np.diag(np.linspace(0.2, 1.0, 64)), np.random.default_rng(1).standard_normal(64)
    plain = min_clock_qubits(A, b, 1e-3, guard=1)
    guarded = min_clock_qubits(A, b, 1e-3)
    sine = min_clock_qubits(A, b, 1e-3, window="sine")
    assert sine < guarded < plain


def test_clock_named_by_the_warning_resolves_the_smallest_eigenvalue():
    A, b = np.diag([1e-3, 1.0]), [1.0, 1.0]
    # A guard of 2 registers is also the automatic one of 5 qubits, which would grow.
    guards = [{"guard": guard} for guard in (1, 2, 30)]
    for options in ({}, {"phase_map": "walk"}, {"evolution_time": 5.0}, {"signed": True}, *guards):
        warning = next(w for w in hhl(A, b, n_clock_qubits=5, **options).warnings if "register step" in w)
        needed = int(warning.split("`n_clock_qubits` = ")[1].split()[0])
        assert not any("register step" in w for w in hhl(A, b, n_clock_qubits=needed, **options).warnings)
        assert any("register step" in w for w in hhl(A, b, n_clock_qubits=needed - 1, **options).warnings)


def test_a_clock_whose_state_is_only_rounding_does_not_count():
    # The eigenvalue lies on a register that is not rotated, and its state is the leak of the last digit.
    with pytest.raises(ValueError, match="must leave some success probability"):
        min_clock_qubits([[2.0]], [1.0], 0.5, filter=np.square, C=1.0, below="zero")


def test_tolerance_out_of_reach_is_told_with_the_best_error():
    with pytest.raises(ValueError, match=r"reachable with 20 clock qubits; the best error of any clock is 0\.0"):
        min_clock_qubits(toeplitz(2), [1.0, 0.3], 1e-9, trotter=None, C=0.9)


@pytest.mark.parametrize(
    ("tolerance", "options", "error", "match"),
    [
        (0.0, {}, ValueError, "`tolerance` must be a finite number > 0"),
        (np.nan, {}, ValueError, "`tolerance` must be a finite number > 0"),
        (0.1, {"n_clock_qubits": 4}, TypeError, "`n_clock_qubits` is no option"),
        (0.1, {"shots": 4}, TypeError, "`shots` is no option"),
        (0.1, {"windows": "sine"}, TypeError, "`windows` is no option"),
        (0.1, {"guard": 10**7}, ValueError, "`guard` must be below 1048576"),
        (0.1, {"postselect_clock": 3}, ValueError, "`postselect_clock` must be one of"),
        (0.1, {"C": 1e200, "below": "zero"}, ValueError, "must leave some success probability"),
        (0.1, {"window": "flat"}, ValueError, "`window` must be one of"),
        (0.1, {"filter": "threshold", "threshold": 9.0}, ValueError, "must leave a part of `b`"),
    ],
)
def test_bad_search_is_refused(tolerance, options, error, match):
    with pytest.raises(error, match=match):
        min_clock_qubits(toeplitz(4), first(4), tolerance, **options)
