"""Each low-rank algorithm on each kind of matrix: a matrix of exact rank is found whatever holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired import reference
from qinspired.exceptions import VersionError, ZeroMassError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDING = 1e-12


def projected(A: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Return A projected on a row space: of tiny entries by a QR factorisation, which scales."""
    Q = np.linalg.qr(components.T)[0]
    return A @ Q @ Q.T


def fkv(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    return reference.fkv(A, rank, n_rows=size, n_cols=size, rng=rng)


def modfkv(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    norm = qi.as_sq_matrix(A).frobenius_norm
    return reference.modfkv(A, 1e-6 * norm, n_rows=size, n_cols=size, rng=rng)


def linear_time(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    return reference.dkm_linear_time_svd(A, rank, n_rows=size, rng=rng)


def constant_time(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    return reference.dkm_constant_time_svd(A, rank, n_rows=size, n_cols=size, gamma=1e-9, rng=rng)


def adaptive(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    return reference.drvw(A, rank, n_rows=size, rng=rng)


def factors(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    return reference.cchlw_low_rank_factors(A, rank, n_rows=size, n_cols=size, n_leverage=size, rng=rng)


def cur(A: Any, rank: int, size: int, rng: int = 0) -> Any:
    return reference.dkm_linear_time_cur(A, rank, n_rows=size, n_cols=size, rng=rng)


EXACT = [fkv, modfkv, linear_time, constant_time, adaptive, factors]
ALL = [*EXACT, cur]


def approximation(X: np.ndarray, found: Any) -> np.ndarray:
    if hasattr(found, "to_array"):
        return found.to_array()
    components = found.components if isinstance(found.components, np.ndarray) else found.components()
    return projected(X, components)


def rank_three(dtype: type = np.float64) -> np.ndarray:
    rng = np.random.default_rng(0)
    # Small integers: exact in every type, and in every product of the factors.
    X = rng.integers(-3, 4, size=(40, 3)) @ rng.integers(-3, 4, size=(3, 25))
    X[7], X[:, 4] = 0, 0
    return X.astype(dtype)


def implicit(X: np.ndarray, **bounds: Any) -> Any:
    norms = np.linalg.norm(X, axis=1)
    return qi.ImplicitMatrix(norms, lambda rows: X[rows], shape=X.shape, entry_function=lambda i, j: X[i, j], **bounds)


def dynamic(X: np.ndarray) -> qi.DynamicMatrix:
    matrix = qi.DynamicMatrix(X.shape)
    i, j = np.nonzero(X)
    matrix.update(i, j, X[i, j])
    return matrix


def saved(X: np.ndarray, folder: Path) -> Any:
    qi.save(folder / "matrix", qi.as_sq_matrix(X))
    return folder / "matrix"


STORAGES: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array": lambda X, _: X,
    "float32": lambda X, _: X.astype(np.float32),
    "integers": lambda X, _: X.astype(np.int16),
    "columns first": lambda X, _: np.asfortranarray(X),
    "csr": lambda X, _: sp.csr_array(X),
    "csc": lambda X, _: sp.csc_array(X),
    "coo": lambda X, _: sp.coo_array(X),
    "saved": saved,
    "sharded": lambda X, _: qi.vstack([X[:15], X[15:]]),
    "dynamic": lambda X, _: dynamic(X),
    "transposed": lambda X, _: qi.transpose(np.ascontiguousarray(X.T)),
    "sum": lambda X, _: qi.add(X // 2, X - X // 2),
    "implicit": lambda X, _: implicit(X),
    "counted": lambda X, _: qi.CountingMatrix(qi.as_sq_matrix(X)),
}


@pytest.mark.parametrize("name", STORAGES)
@pytest.mark.parametrize("run", EXACT)
def test_a_matrix_of_exact_rank_is_found_in_any_storage(run: Any, name: str, tmp_path: Path) -> None:
    X = rank_three()
    A = STORAGES[name](X, tmp_path)
    found = run(A, 3, 30)
    assert np.linalg.norm(X - approximation(X, found)) < ROUNDING * np.linalg.norm(X)
    assert found.rank == 3
    assert found.stats.row_draws >= 30


@pytest.mark.parametrize("name", STORAGES)
def test_the_cur_of_a_matrix_is_the_same_whatever_holds_it(name: str, tmp_path: Path) -> None:
    # Its error is that of a product estimated from rows, so there is nothing to be found exactly.
    X = rank_three()
    found = cur(STORAGES[name](X, tmp_path), 3, 300)
    assert np.linalg.norm(X - found.to_array()) < 0.3 * np.linalg.norm(X)
    assert found.rank == 3


@pytest.mark.parametrize("run", [fkv, modfkv, constant_time, factors, cur])
def test_single_entries_are_enough_where_columns_are_drawn(run: Any) -> None:
    X = rank_three()
    A = implicit(X, entry_bound=float(np.abs(X).max()))
    assert not A.whole_rows
    found = run(A, 3, 30)
    assert A.rows_computed == 0
    assert found.rank == 3


@pytest.mark.parametrize("run", [linear_time, adaptive])
def test_rows_that_cannot_be_read_whole_are_refused_where_they_are_needed(run: Any) -> None:
    X = rank_three()
    with pytest.raises(ValueError, match=r"`A` must have rows that can be read whole.*use `fkv`"):
        run(implicit(X, entry_bound=float(np.abs(X).max())), 3, 30)


@pytest.mark.parametrize("unit", [2.0**498, 2.0**-498], ids=["1e150", "1e-150"])
@pytest.mark.parametrize("run", ALL)
def test_the_scale_of_the_matrix_does_not_matter(run: Any, unit: float) -> None:
    X = rank_three() + np.random.default_rng(1).standard_normal((40, 25))
    plain, scaled = run(X, 3, 30), run(X * unit, 3, 30)
    wanted = approximation(X, plain)
    np.testing.assert_allclose(approximation(X * unit, scaled) / unit, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())
    if hasattr(plain, "singular_values"):
        np.testing.assert_allclose(scaled.singular_values, plain.singular_values * unit, rtol=1e-9)


DEGENERATE = {
    "rank one": (np.outer(np.arange(1.0, 9.0), np.arange(1.0, 6.0)), 1),
    "one row": (np.arange(1.0, 6.0)[None, :], 1),
    "one column": (np.arange(1.0, 6.0)[:, None], 1),
    "one entry": (np.array([[-2.0]]), 1),
    "all mass in one row": (np.vstack([np.zeros((5, 4)), np.arange(1.0, 5.0)]), 1),
    "duplicate rows": (np.tile(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), (6, 1)), 2),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("run", EXACT)
def test_a_rank_above_that_of_the_matrix_gives_as_many_directions_as_there_are(run: Any, name: str) -> None:
    X, rank = DEGENERATE[name]
    found = run(X, min(X.shape), 30)
    assert found.rank == rank
    assert np.linalg.norm(X - approximation(X, found)) < ROUNDING * np.linalg.norm(X)


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_cur_of_degenerate_matrices_is_finite_and_exact_for_rank_one(name: str) -> None:
    X, rank = DEGENERATE[name]
    found = cur(X, min(X.shape), 60)
    assert found.rank == rank
    error = np.linalg.norm(X - found.to_array()) / np.linalg.norm(X)
    # Of rank 1 the estimated product is exact: every row gives the same.
    assert error < (ROUNDING if rank == 1 else 5 * np.sqrt(rank / 60))


@pytest.mark.parametrize(("run", "largest"), [*((run, 0.05) for run in EXACT), (cur, 0.6)])
def test_a_condition_number_of_1e16_leaves_the_large_directions_right(run: Any, largest: float) -> None:
    rng = np.random.default_rng(2)
    U, V = (np.linalg.qr(rng.standard_normal((size, 12)))[0] for size in (40, 25))
    X = U * np.geomspace(1.0, 1e-16, 12) @ V.T
    found = run(X, 12, 60)
    assert np.isfinite(approximation(X, found)).all()
    # The draws are by energy: what carries little of it, from the second direction on, may go unseen. A product
    # estimated from 60 rows errs by up to sqrt(12 / 60).
    assert np.linalg.norm(X - approximation(X, found)) < largest


@pytest.mark.parametrize("run", ALL)
def test_a_zero_matrix_is_refused(run: Any) -> None:
    if run is modfkv:
        with pytest.raises(ZeroMassError, match="`A` must have a non-zero entry"):
            reference.modfkv(np.zeros((4, 5)), 1.0, n_rows=2, n_cols=2, rng=0)
        return
    with pytest.raises(ZeroMassError, match="`A` must have a non-zero entry"):
        run(np.zeros((4, 5)), 1, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("run", ALL)
def test_a_matrix_with_a_hole_is_refused(run: Any, value: float) -> None:
    X = rank_three()
    X[3, 2] = value
    with pytest.raises(ValueError, match=r"`A` must be finite.*A\[3, 2\]"):
        run(X, 3, 30)


@pytest.mark.parametrize("run", ALL)
def test_the_same_seed_gives_the_same_answer(run: Any) -> None:
    X = rank_three() + np.random.default_rng(1).standard_normal((40, 25))
    first, second, other = (approximation(X, run(X, 3, 10, rng=seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-6


@pytest.mark.parametrize("run", [fkv, modfkv, linear_time, constant_time, factors, cur])
def test_an_answer_refuses_to_read_a_matrix_that_has_changed(run: Any) -> None:
    matrix = dynamic(rank_three())
    found = run(matrix, 3, 30)
    matrix.update([0], [0], [5.0])
    with pytest.raises(VersionError):
        approximation(rank_three(), found)


@pytest.mark.parametrize("run", ALL)
def test_the_index_is_part_of_the_cost_only_where_it_was_made(run: Any) -> None:
    X = rank_three()
    assert run(qi.as_sq_matrix(X), 3, 30).stats.index_seconds == 0.0
    if run is not modfkv:
        assert run(X, 3, 30).stats.index_seconds > 0.0
