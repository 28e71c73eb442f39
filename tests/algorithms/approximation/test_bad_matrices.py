"""Every method of `low_rank` on matrices that break a careless one: the right answer, or a warning that says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.algorithms.approximation import _implicit_low_rank
from qinspired.exceptions import ToleranceNotMetWarning

PROJECTIONS = [
    "auto",
    "gram",
    "krylov",
    "residual",
    "leverage",
    "polished",
    "frequent_directions",
    "randomized",
    "exact",
]
METHODS = [*PROJECTIONS, "fkv", "threshold"]
TOLERANCE = 0.2


def _rng():
    return np.random.default_rng(0)


def of_low_rank():
    return _rng().standard_normal((300, 2)) @ _rng().standard_normal((2, 30))


def of_rank_one():
    return np.outer(_rng().standard_normal(300), _rng().standard_normal(30))


def of_equal_rows():
    return np.tile(_rng().standard_normal(30), (300, 1))


def ill_conditioned():
    U, V = (np.linalg.qr(_rng().standard_normal((size, 20)))[0] for size in (300, 30))
    return (U * np.geomspace(1, 1e-16, 20)) @ V.T


def in_one_row():
    A = np.zeros((300, 30))
    A[123] = _rng().standard_normal(30)
    return A


def mostly_in_one_row():
    A = _rng().standard_normal((300, 30))
    A[123] *= 1e6
    return A


def one_row():
    return _rng().standard_normal((1, 30))


def one_column():
    return _rng().standard_normal((300, 1))


def one_number():
    return np.array([[-3.0]])


def duplicated_rows():
    return np.repeat(_rng().standard_normal((4, 30)), 75, axis=0)


def duplicated_columns():
    return np.repeat(_rng().standard_normal((300, 4)), 8, axis=1)


def one_entry():
    A = np.zeros((300, 30))
    A[17, 5] = -2.0
    return A


def huge():
    return 1e150 * _rng().standard_normal((300, 30))


def tiny():
    return 1e-150 * _rng().standard_normal((300, 30))


def huge_float32():
    return (1e30 * _rng().standard_normal((300, 30))).astype(np.float32)


def of_float32_near_overflow():
    return (5e37 * _rng().standard_normal((300, 30))).astype(np.float32)  # with a norm beyond the range


def tiny_float32():
    return (1e-30 * _rng().standard_normal((300, 30))).astype(np.float32)


def diagonal():
    return np.diag(np.linspace(5, 1, 40))


def of_very_uneven_rows():
    return _rng().standard_normal((300, 30)) * np.geomspace(1e8, 1e-8, 300)[:, None]


def with_zero_rows_and_columns():
    A = _rng().standard_normal((300, 30))
    A[::3], A[:, ::4] = 0.0, 0.0
    return A


MATRICES = [
    of_low_rank,
    of_rank_one,
    of_equal_rows,
    ill_conditioned,
    in_one_row,
    mostly_in_one_row,
    one_row,
    one_column,
    one_number,
    duplicated_rows,
    duplicated_columns,
    one_entry,
    huge,
    tiny,
    huge_float32,
    of_float32_near_overflow,
    tiny_float32,
    diagonal,
    of_very_uneven_rows,
    with_zero_rows_and_columns,
]


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    """Let the method "fkv" end at 600 draws, not at 4,096."""
    monkeypatch.setattr(_implicit_low_rank, "_MOST_DRAWS", 600)


def run(A, rank, method, seed=0):
    """Return the approximation and whether a warning told that the tolerance is not met; others are errors."""
    options = {"threshold": 0.0} if method == "threshold" else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", ToleranceNotMetWarning)
        approx = qi.low_rank(A, rank, tolerance=TOLERANCE, method=method, rng=seed, **options)
    return approx, bool(caught)


def errors(A, components):
    """Return the relative error of the projection and the best one, in float64 and of entries near 1."""
    dense = np.asarray(A, dtype=np.float64)
    dense = dense / np.abs(dense).max()
    V = np.linalg.qr(np.asarray(components, dtype=np.float64).T)[0]
    total = np.linalg.norm(dense)
    values = np.linalg.svd(dense, compute_uv=False)
    return np.linalg.norm(dense - (dense @ V) @ V.T) / total, np.linalg.norm(values[V.shape[1] :]) / total


@pytest.mark.parametrize(("rank", "is_sparse"), [(1, False), (3, True), (10, False)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", MATRICES)
def test_the_answer_is_right_or_a_warning_says_that_it_may_not_be(make, rank, method, is_sparse):
    A = make()
    rank = min(rank, *A.shape)
    approx, warned = run(sp.csr_array(A) if is_sparse else A, rank, method)
    components = np.asarray(approx.components)
    precision = 1e-5 if A.dtype == np.float32 else 1e-10
    assert np.isfinite(components).all()
    assert np.isfinite(approx.singular_values).all()
    assert (approx.singular_values >= 0).all()
    assert (np.diff(approx.singular_values) <= 1e-9 * approx.singular_values[0]).all()
    assert not np.isnan([approx.error.value, approx.error.low, approx.error.high]).any()
    assert not np.isnan([approx.excess.value, approx.excess.low, approx.excess.high]).any()
    assert warned == (approx.excess.high > TOLERANCE)
    if method in PROJECTIONS:
        assert len(components) == rank
        np.testing.assert_allclose(components @ components.T, np.eye(rank), atol=precision)
        error, best = errors(A, components)
        # Errors below the square root of the precision are lost in the rounding of squared norms.
        if not warned:
            assert error <= best * (1 + 2 * TOLERANCE) + (1e-3 if A.dtype == np.float32 else 1e-7)
            assert approx.error.high >= error * 0.5 - (1e-3 if A.dtype == np.float32 else 1e-7)
    largest = np.linalg.svd(A.astype(np.float64) / float(np.abs(A).max()), compute_uv=False)[0] * float(np.abs(A).max())
    total = float(np.linalg.norm(approx.singular_values / largest))
    if method in ("auto", "polished", "randomized", "exact"):
        assert approx.singular_values[0] == pytest.approx(largest, rel=0.2)
    elif method in ("gram", "krylov", "residual", "leverage"):
        # From some 64 rows those of a flat spectrum come out too large, but hardly more than all of A.
        assert approx.singular_values[0] / largest >= 0.5
        assert total <= 1.1 * np.linalg.norm(A.astype(np.float64) / largest)
    assert approx.explain()


@pytest.mark.parametrize("method", ["auto", "exact", "polished", "randomized"])
@pytest.mark.parametrize("make", MATRICES)
def test_methods_that_see_all_rows_end_without_a_warning(make, method):
    A = make()
    approx, warned = run(A, min(3, *A.shape), method)
    assert not warned
    error, best = errors(A, approx.components)
    assert error <= best * (1 + TOLERANCE) + (1e-5 if A.dtype == np.float32 else 1e-7)


@pytest.mark.parametrize("make", [of_low_rank, of_rank_one, of_equal_rows, in_one_row, duplicated_rows, one_entry])
@pytest.mark.parametrize("method", METHODS)
def test_a_rank_above_that_of_the_matrix_leaves_nothing(make, method):
    A = make()
    approx, warned = run(A, 8, method)
    assert not warned
    assert approx.excess.high == 0.0
    assert approx.error.high < 1e-7
    true_rank = np.linalg.matrix_rank(A)
    assert (approx.singular_values[true_rank:] <= 1e-7 * approx.singular_values[0]).all()
    if method in PROJECTIONS:
        assert errors(A, approx.components)[0] < 1e-7


@pytest.mark.parametrize("method", PROJECTIONS)
@pytest.mark.parametrize("make", [of_low_rank, mostly_in_one_row, duplicated_rows, of_very_uneven_rows, diagonal])
def test_nothing_is_certified_falsely_over_seeds(make, method):
    A = make()
    for seed in range(8):
        approx, warned = run(A, 3, method, seed)
        error, best = errors(A, approx.components)
        if not warned:
            assert error <= best * (1 + 2 * TOLERANCE) + 1e-7, seed


@pytest.mark.parametrize(("make", "rank"), [(of_very_uneven_rows, 10), (duplicated_rows, 3), (diagonal, 10)])
def test_singular_values_of_the_method_fkv_never_exceed_all_of_the_matrix(make, rank):
    A = make()
    for seed in range(3):
        approx, _ = run(A, rank, "fkv", seed)
        assert np.linalg.norm(approx.singular_values) <= 1.01 * np.linalg.norm(A)


@pytest.mark.parametrize("method", ["polished", "randomized", "exact", "auto"])
@pytest.mark.parametrize("scale", [1e-42, 1e-38, 3e38])
def test_entries_at_either_end_of_float32_are_certified_as_others_are(scale, method):
    # At 1e-42 they have three digits left; at 3e38 |A|_F is 30 times what the type holds.
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((600, 6)) * [3, 2, 1.5, 1, 0.8, 0.6] @ rng.standard_normal((6, 80))
    plain += 0.3 * rng.standard_normal((600, 80))
    A = (plain * (scale / np.abs(plain).max())).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        approx = qi.low_rank(A, 5, tolerance=0.05, method=method, rng=0)
    wide = A.astype(np.float64) / scale
    best = np.linalg.norm(np.linalg.svd(wide, compute_uv=False)[5:])
    V = approx.components.astype(np.float64).T
    assert np.linalg.norm(wide - wide @ V @ V.T) / best - 1.0 <= max(approx.excess.high, 1e-6) <= 0.05
