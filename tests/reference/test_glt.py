from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy import stats

import qinspired as qi
from qinspired.reference import GLTSolution, fkv, glt_regression

# The largest |z| that a right program shows with probability 1 - P_LOWEST.
Z_HIGHEST = float(stats.norm.isf(oracles.P_LOWEST / 2))

WAYS = [(law, whole, shared) for law in ("rows", "rhs") for whole in (False, True) for shared in (False, True)]


def uneven() -> np.ndarray:
    """Return 60 x 40 of rank 3 and condition number near 2, with a zero row and a zero column."""
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.standard_normal((size, 3)))[0] for size in (60, 40))
    U[4], V[7] = 0.0, 0.0
    return U * [2.0, 1.5, 1.0] @ V.T


def positive() -> np.ndarray:
    """Return 30 x 20 of full rank with entries of 1 to 3: estimates from them have light tails."""
    return 1.0 + 2.0 * np.random.default_rng(4).random((30, 20))


def permuted(n: int = 4) -> np.ndarray:
    """Return n copies of a signed permutation, all of whose singular values are 1."""
    return np.tile(np.eye(n)[:, ::-1], (n, 1)) / 2.0


def relative(x: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(x - wanted) / np.linalg.norm(wanted))


def projections_of(A: np.ndarray, b: np.ndarray, seeds: int, **options: Any) -> tuple[np.ndarray, GLTSolution]:
    """Return estimates of lambda_l with the same factors, and the solution of the last seed."""
    matrix, rows = qi.as_sq_matrix(A), []
    for seed in range(seeds):
        found = glt_regression(matrix, b, rng=seed, **options)
        V = found.factors.components()
        rows.append(found.projections / (V @ A.T @ b))
    return np.array(rows), found


@pytest.mark.parametrize("kind", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_with_computed_projections_the_answer_is_that_of_the_formula_and_of_fkv(kind: Any) -> None:
    A, b = uneven(), np.linspace(-1.0, 2.0, 60)
    sizes = {"n_rows": 30, "n_cols": 25}
    found = glt_regression(kind(A), b, 3, n_estimates=None, rng=1, **sizes)
    V, sigma = found.factors.components(), found.factors.singular_values
    np.testing.assert_allclose(found.projections, V @ A.T @ b, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.to_array(), V.T @ (V @ A.T @ b / sigma**2), rtol=0, atol=1e-12)
    same = fkv(kind(A), 3, rng=1, **sizes).solve(b).to_array()
    np.testing.assert_allclose(found.to_array(), same, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.query([0, 39, 7]), same[[0, 39, 7]], rtol=0, atol=1e-12)
    assert found.rank == 3


@pytest.mark.parametrize(("law", "whole", "shared"), WAYS)
def test_from_many_draws_the_answer_is_near_that_of_lstsq(law: str, whole: bool, shared: bool) -> None:
    A = uneven()
    b = A @ np.arange(40.0)
    options = {"n_estimates": 4000, "draw_by": law, "whole_rows": whole, "shared_draws": shared}
    found = glt_regression(A, b, 3, n_rows=400, n_cols=400, rng=0, **options)
    bound = (4.0 + 2.25 + 1.0) / np.sqrt(400)  # kappa_F^2 / sqrt(r)
    assert relative(found.to_array(), scipy.linalg.lstsq(A, b)[0]) < bound


def test_the_error_falls_as_the_root_of_the_sizes() -> None:
    A = uneven()
    b = A @ np.arange(40.0)
    wanted, matrix = scipy.linalg.lstsq(A, b)[0], qi.as_sq_matrix(A)
    medians = []
    for r in (64, 256):
        sizes = {"n_rows": r, "n_cols": r, "n_estimates": r}
        errors = [relative(glt_regression(matrix, b, 3, rng=seed, **sizes).to_array(), wanted) for seed in range(50)]
        medians.append(np.median(errors))
    assert 1.4 < medians[0] / medians[1] < 2.9


@pytest.mark.parametrize(("law", "whole"), [("rows", False), ("rows", True), ("rhs", False), ("rhs", True)])
def test_estimates_have_the_mean_and_the_variance_of_the_formula(law: str, whole: bool) -> None:
    # One direction, so that v is nearly the same in all runs; each is judged by its own v.
    A = positive()
    b = -A @ np.linspace(0.5, 1.5, 20) + np.linspace(-4.0, 4.0, 30)
    draws, seeds = 40, 600
    ratios, found = projections_of(
        A, b, seeds, rank=1, n_rows=40, n_cols=40, n_estimates=draws, n_groups=1, draw_by=law, whole_rows=whole
    )
    v = found.factors.components()[0]
    exact, F, size = v @ A.T @ b, np.linalg.norm(A), np.linalg.norm(b)
    second = {
        ("rows", False): F**2 * size**2 * (v @ v),
        ("rows", True): F**2 * (b**2 * (A @ v) ** 2 / (A**2).sum(axis=1)).sum(),
        ("rhs", False): size**2 * (A**2).sum() * (v @ v),
        ("rhs", True): size**2 * ((A @ v) ** 2).sum(),
    }
    expected = (second[law, whole] / exact**2 - 1) / draws
    mean, error = ratios.mean(), ratios.std() / np.sqrt(seeds)
    assert abs(mean - 1.0) < Z_HIGHEST * error
    # A sample variance of 600 has a relative standard deviation of 6 %.
    assert ratios.var() == pytest.approx(expected, rel=0.3)
    others = [value / exact**2 / draws for key, value in second.items() if key[1] != whole]
    assert all(abs(ratios.var() - other) > 0.3 * other for other in others)  # the twins: entries for rows and back


@pytest.mark.parametrize("law", ["rows", "rhs"])
def test_the_median_of_groups_scatters_more_than_their_mean(law: str) -> None:
    A = positive()
    b = np.linspace(1.0, 2.0, 30)
    options = {"rank": 1, "n_rows": 40, "n_cols": 40, "draw_by": law}
    one, _ = projections_of(A, b, 600, n_estimates=300, n_groups=1, **options)
    ten, _ = projections_of(A, b, 600, n_estimates=30, n_groups=10, **options)
    # The median of ten normal means has 1.38 times the variance of their mean.
    assert 1.05 < ten.var() / one.var() < 1.8


def test_shared_draws_make_the_estimates_of_different_directions_depend_on_each_other() -> None:
    # With one draw of a row i the estimates are a multiple of <A_i, v_l>; with draws for each l, of different rows.
    A, b = uneven(), np.linspace(-1.0, 2.0, 60)
    sines = {}
    for shared in (False, True):
        sizes = {"n_rows": 30, "n_cols": 30, "n_estimates": 1, "n_groups": 1}
        found = glt_regression(A, b, 3, whole_rows=True, shared_draws=shared, rng=0, **sizes)
        products = np.delete(A, 4, axis=0) @ found.factors.components().T
        cosines = products @ found.projections / np.linalg.norm(products, axis=1) / np.linalg.norm(found.projections)
        sines[shared] = np.sqrt(max(1.0 - np.max(cosines**2), 0.0))
    assert sines[True] < 1e-7
    assert sines[False] > 1e-3


def test_draws_from_the_solution_follow_its_squares() -> None:
    A = uneven()
    found = glt_regression(A, np.linspace(-1.0, 2.0, 60), 3, n_rows=30, n_cols=30, n_estimates=100, rng=0)
    whole = found.to_array()
    draws, trials = found.sample(5000, rng=1)
    assert oracles.chi_square_p(draws, oracles.law_of(whole)) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws, oracles.law_of(np.abs(whole) ** 1.2)) < oracles.P_LOWEST
    # |A|_F^2 |w|^2 / |x|^2, w the coefficients in the rows of R, all of norm |A|_F / sqrt(r).
    w = found.vector.coefficients * np.linalg.norm(A[found.vector.rows], axis=1) * np.sqrt(30) / np.linalg.norm(A)
    assert trials / 5000 == pytest.approx(np.linalg.norm(A) ** 2 * (w @ w) / (whole @ whole), rel=0.1)


def test_rows_of_zeros_that_only_the_right_hand_side_draws_add_nothing() -> None:
    A = np.vstack([permuted(), np.zeros((4, 4))])
    b = np.append(A[:16] @ np.arange(1.0, 5.0), [10.0] * 4)  # 93 % of the draws fall on rows of zeros
    for whole in (False, True):
        found = glt_regression(
            A, b, 4, n_rows=50, n_cols=50, n_estimates=20_000, draw_by="rhs", whole_rows=whole, rng=0
        )
        assert relative(found.projections, found.factors.components() @ A.T @ b) < 0.1


def test_more_columns_than_draws_is_no_hindrance() -> None:
    problem = qi.problems.linear_system((50, 2000), rank=2, kappa=1.0, rng=0)
    found = glt_regression(problem.A, problem.b, 2, n_rows=40, n_cols=300, n_estimates=200, rng=0)
    assert relative(found.to_array(), problem.x_true) < 0.6
    assert found.vector.size == 2000


def test_directions_that_do_not_exist_are_left_out() -> None:
    A = uneven()
    found = glt_regression(A, A @ np.ones(40), 10, n_rows=60, n_cols=60, n_estimates=None, rng=0)
    assert found.rank == 3
    assert found.projections.shape == (3,)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_the_cost_is_counted(shared: bool, whole: bool) -> None:
    A = uneven()
    matrix = qi.as_sq_matrix(A)
    found = glt_regression(
        matrix, np.ones(60), 3, n_rows=20, n_cols=15, n_estimates=5, n_groups=4, shared_draws=shared, whole_rows=whole,
        rng=0,
    )  # fmt: skip
    sets = 1 if shared else 3
    assert found.factors.stats.row_draws == 20
    assert found.stats.row_draws == 20 + 20 * sets
    assert found.stats.column_draws == 15 + (0 if whole else 20 * sets)
    assert found.stats.full_passes == 0
    assert (found.stats.rows_read > 0) == whole
    # By b no row of the index is drawn; computed, there is one pass.
    by_b = glt_regression(matrix, np.ones(60), 3, n_rows=20, n_cols=15, n_estimates=5, draw_by="rhs", rng=0).stats
    assert by_b.row_draws == 20
    assert glt_regression(matrix, np.ones(60), 3, n_rows=20, n_cols=15, n_estimates=None, rng=0).stats.full_passes == 1


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"rank": 0}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 40\]"),
    ({"rank": 41}, ValueError, r"`rank` must be in \[1, min\(m, n\)\] = \[1, 40\]"),
    ({"n_rows": 2}, ValueError, "`n_rows` must be at least `rank` = 3"),
    ({"n_cols": 2}, ValueError, "`n_cols` must be at least `rank` = 3"),
    ({"n_estimates": 0}, ValueError, "`n_estimates` must be an integer >= 1"),
    ({"n_estimates": 2.5}, TypeError, "`n_estimates` must be an integer >= 1"),
    ({"n_groups": 0}, ValueError, "`n_groups` must be an integer >= 1"),
    ({"draw_by": "columns"}, ValueError, "`draw_by` must be one of 'rows', 'rhs'; got 'columns'"),
    ({"draw_by": None}, ValueError, "`draw_by` must be one of 'rows', 'rhs'; got None"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD)
def test_arguments_out_of_range_are_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"rank": 3, "n_rows": 20, "n_cols": 20, "rng": 0} | changed
    with pytest.raises(error, match=message):
        glt_regression(uneven(), np.ones(60), **arguments)


@pytest.mark.parametrize("options", [{"n_estimates": None}, {"whole_rows": True}])
def test_without_whole_rows_entries_must_be_drawn(options: dict[str, Any]) -> None:
    A = positive()
    entries = qi.ImplicitMatrix(
        np.linalg.norm(A, axis=1), lambda rows: A[rows], shape=A.shape, entry_function=lambda i, j: A[i, j],
        entry_bound=float(A.max()),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"`A` must have rows that can be read whole.*give `n_estimates`"):
        glt_regression(entries, np.ones(30), 1, n_rows=5, n_cols=5, rng=0, **options)
    found = glt_regression(entries, np.ones(30), 1, n_rows=200, n_cols=200, n_estimates=500, rng=0)
    assert found.rank == 1
    assert entries.rows_computed == 0


def test_a_singular_value_too_near_zero_to_divide_by_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from qinspired.reference import _gilyen_lloyd_tang

    def tiny(*arguments: Any) -> Any:
        rows, cols, coefficients, values = sampled_svd(*arguments)
        return rows, cols, coefficients, values * 1e-160

    sampled_svd = _gilyen_lloyd_tang.sampled_svd
    monkeypatch.setattr(_gilyen_lloyd_tang, "sampled_svd", tiny)
    with pytest.raises(ValueError, match="`rank` must be smaller; with 3 a singular value is too near 0"):
        glt_regression(uneven(), np.ones(60), 3, n_rows=20, n_cols=20, rng=0)
