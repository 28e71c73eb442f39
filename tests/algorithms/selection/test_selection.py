from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest
import scipy.linalg.interpolative as sli
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

import qinspired as qi
from qinspired.algorithms.selection import _drawn, _pivots, _remainder, _task
from qinspired.exceptions import VersionError, ZeroMassError

METHODS = ["qr", "pivoting", "leverage", "length-squared"]
FUNCTIONS = [qi.select_columns, qi.select_rows, qi.cur]
every_method = pytest.mark.parametrize("method", METHODS)
every_function = pytest.mark.parametrize("function", FUNCTIONS)


def matrix_with_spectrum(shape, values, rng):
    m, n = shape
    U = np.linalg.qr(rng.standard_normal((m, len(values))))[0]
    V = np.linalg.qr(rng.standard_normal((n, len(values))))[0]
    return (U * values) @ V.T


def gapped(rng, shape=(900, 60), rank=5, noise=0.1):
    return matrix_with_spectrum(shape, np.r_[np.geomspace(3, 1, rank), np.full(min(shape) - rank, noise)], rng)


def product(found, A):
    """Return what the answer stands for, from the matrix scaled to entries of at most 1, and that matrix."""
    X = np.asarray(A.toarray() if sp.issparse(A) else A, dtype=np.float64)
    unit = np.abs(X).max()
    X = X / unit
    if isinstance(found, qi.ColumnSubset):
        return X[:, found.cols] @ found.coefficients.astype(np.float64), X
    if isinstance(found, qi.RowSubset):
        return found.coefficients().astype(np.float64) @ X[found.rows], X
    return (X[:, found.cols] @ (found.U * unit)) @ X[found.rows], X


def true_error(found, A):
    B, X = product(found, A)
    return np.linalg.norm(X - B) / np.linalg.norm(X)


def best_error(A, rank):
    X = np.asarray(A.toarray() if sp.issparse(A) else A, dtype=np.float64)
    values = np.linalg.svd(X / np.abs(X).max(), compute_uv=False)
    return np.linalg.norm(values[rank:]) / np.linalg.norm(values)


def sizes(found):
    return [len(getattr(found, name)) for name in ("cols", "rows") if hasattr(found, name)]


@every_method
def test_the_coefficients_hold_the_identity_and_fit_the_drawn_rows_best(method, rng):
    A = gapped(rng)
    subset = qi.select_columns(A, 5, method=method, n_draws=900, rng=1)
    np.testing.assert_array_equal(subset.coefficients[:, subset.cols], np.eye(5))
    fit = np.linalg.lstsq(A[:, subset.cols], A, rcond=None)[0]
    np.testing.assert_allclose(subset.coefficients, fit, atol=1e-12)
    assert len(set(subset.cols.tolist())) == 5


@every_method
def test_rows_are_projected_on_the_span_of_the_chosen_ones(method, rng):
    A = gapped(rng)
    subset = qi.select_rows(A, 5, method=method, rng=1)
    R = A[subset.rows]
    np.testing.assert_allclose(subset.coefficients(), A @ np.linalg.pinv(R), atol=1e-10)
    np.testing.assert_array_equal(subset.coefficients()[subset.rows], np.eye(5))
    np.testing.assert_allclose(subset.triangle.T @ subset.components, R, atol=1e-12)
    new = rng.standard_normal((3, 60))
    np.testing.assert_allclose(subset.coefficients(new), new @ np.linalg.pinv(R), atol=1e-10)
    np.testing.assert_allclose(subset.coefficients(sp.csr_array(new)), subset.coefficients(new), atol=1e-12)


@every_method
def test_the_core_is_the_least_squares_one_if_all_rows_are_taken(method, rng):
    A = gapped(rng)
    found = qi.cur(A, 5, method=method, n_draws=900, rng=1)
    C, R = A[:, found.cols], A[found.rows]
    np.testing.assert_allclose(found.U, np.linalg.pinv(C) @ A @ np.linalg.pinv(R), atol=1e-9)


@every_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", [np.asarray, sp.csr_array])
def test_the_error_is_near_that_of_the_best_of_the_rank(function, dtype, build, rng):
    A = gapped(rng).astype(dtype)
    found = function(build(A), 5, rng=1)
    assert true_error(found, A) < (1.9 if function is qi.cur else 1.6) * best_error(A, 5)


@every_function
@every_method
def test_a_matrix_of_exact_rank_is_recovered_to_rounding(function, method, rng):
    A = matrix_with_spectrum((900, 60), np.array([3.0, 2.0, 1.0]), rng)
    found = function(A, 3, method=method, rng=0)
    assert sizes(found) == [3] * len(sizes(found))
    assert true_error(found, A) < 1e-13
    assert found.error.high < 1e-13
    assert found.stats.full_passes == 0


@every_function
@every_method
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rank_above_that_of_the_matrix_gives_fewer_indices_and_says_so(function, method, dtype, rng):
    A = matrix_with_spectrum((900, 60), np.array([2.0, 1.0]), rng).astype(dtype)
    found = function(A, 6, method=method, rng=0)
    assert sizes(found) == [2] * len(sizes(found))
    assert true_error(found, A) < 20 * np.finfo(dtype).eps
    assert "only" in found.status
    assert f"of {6 * len(sizes(found))}" in found.status


@every_function
@every_method
@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e200, 1e-200, 1e-300])
@pytest.mark.parametrize("n_draws", [80, 300])
def test_the_answer_does_not_depend_on_the_scale(function, method, scale, n_draws, rng):
    A = gapped(rng, shape=(300, 60))
    one, other = (function(X, 5, method=method, n_draws=n_draws, rng=1) for X in (A, A * scale))
    if hasattr(one, "cols"):
        np.testing.assert_array_equal(one.cols, other.cols)
    if hasattr(one, "rows"):
        np.testing.assert_array_equal(one.rows, other.rows)
    assert other.error.value == pytest.approx(one.error.value, rel=1e-9)
    assert true_error(other, A * scale) == pytest.approx(true_error(one, A), rel=1e-9)


@every_function
@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("n_draws", [None, 900])
def test_float32_entries_whose_squares_leave_float32_give_the_same_answer(function, scale, n_draws, rng):
    A = gapped(rng).astype(np.float32)
    found = function(A * np.float32(scale), 5, n_draws=n_draws, rng=1)
    assert true_error(found, A * np.float32(scale)) < 1.9 * best_error(A, 5)
    assert found.error.value == pytest.approx(function(A, 5, n_draws=n_draws, rng=1).error.value, rel=1e-4)


@every_function
@pytest.mark.parametrize("ratio", [0.3, 0.1])
def test_a_condition_number_of_1e16_never_makes_garbage(function, ratio, rng):
    A = matrix_with_spectrum((900, 60), ratio ** np.arange(60.0), rng)
    found = function(A, 40, rng=0)
    # The core of CUR is an inverse: it is kept to 1.5e-8, where the rounding of C U R is as large as what is left out.
    assert true_error(found, A) < (1e-7 if function is qi.cur else 5e-14)
    assert found.error.high < (1e-7 if function is qi.cur else 5e-14)


def test_all_mass_in_one_row_does_not_hide_the_others(rng):
    A = gapped(rng)
    A[17] *= 1e8
    for function in (qi.select_columns, qi.select_rows):
        found = function(A, 5, rng=1)
        assert sizes(found) == [5]
        assert true_error(found, A) < 2.0 * best_error(A, 5)
        assert found.error.value == pytest.approx(true_error(found, A), rel=1e-3)
    found = qi.cur(A, 5, rng=1)
    assert found.error.value == pytest.approx(true_error(found, A), rel=1e-3)


def test_all_mass_in_a_few_rows_does_not_leave_too_few_for_the_fit(rng):
    A = gapped(rng)
    A[100:105] *= 1e4
    for function in FUNCTIONS:
        found = function(A, 5, rng=1)
        assert found.stats.full_passes == 1
        assert true_error(found, A) < 2.5 * best_error(A, 5)
        assert found.error.value == pytest.approx(true_error(found, A), rel=1e-3)


def test_a_full_pass_is_not_made_where_it_would_read_too_much(rng, monkeypatch):
    monkeypatch.setattr(_task, "_MOST_ENTRIES", 10_000)
    A = gapped(rng)
    A[17] *= 1e8
    found = qi.select_columns(A, 5, rng=1)
    assert found.stats.full_passes == 0
    assert "only 1 of 5" in found.status
    assert found.error.low < true_error(found, A) < found.error.high


def test_all_mass_in_one_column_gives_that_column_first(rng):
    A = gapped(rng)
    A[:, 7] *= 1e8
    for method in METHODS:
        found = qi.select_columns(A, 5, method=method, rng=1)
        assert found.cols[0] == 7
        assert true_error(found, A) <= best_error(A, 1) * (1 + 1e-6)
    assert len(qi.select_columns(A, 5, rng=1).cols) == 5


@every_function
@every_method
@pytest.mark.parametrize("shape", [(1, 60), (900, 1), (1, 1)])
def test_one_row_or_one_column_is_recovered(function, method, shape, rng):
    A = rng.standard_normal(shape)
    found = function(A, 1, method=method, rng=0)
    assert true_error(found, A) < 1e-14
    assert sizes(found) == [1] * len(sizes(found))


@every_function
@every_method
def test_zero_rows_and_columns_are_never_chosen(function, method, rng):
    A = gapped(rng)
    A[::2], A[:, ::3] = 0.0, 0.0
    found = function(A, 5, method=method, rng=1)
    if hasattr(found, "cols"):
        assert (found.cols % 3 != 0).all()
    if hasattr(found, "rows"):
        assert (found.rows % 2 != 0).all()


@every_function
@every_method
def test_duplicates_are_not_chosen_twice(function, method, rng):
    A = rng.standard_normal((6, 4)) @ rng.standard_normal((4, 5))
    A = np.tile(A, (100, 8))
    found = function(A, 4, method=method, rng=3)
    assert true_error(found, A) < 0.9
    for name, line in (("cols", A.T), ("rows", A)):
        if hasattr(found, name):
            chosen = line[getattr(found, name)]
            assert np.linalg.matrix_rank(chosen) == len(chosen)


@every_function
def test_the_full_rank_returns_every_direction(function, rng):
    A = rng.standard_normal((30, 12))
    found = function(A, 12, rng=0)
    assert true_error(found, A) < 1e-12
    assert found.error.confidence == 1.0


def test_scipy_rebuilds_the_matrix_from_idx_and_proj(rng):
    A = gapped(rng)
    subset = qi.select_columns(A, 5, rng=0)
    np.testing.assert_array_equal(np.sort(subset.idx), np.arange(60))
    np.testing.assert_array_equal(subset.idx[:5], subset.cols)
    rebuilt = sli.reconstruct_matrix_from_id(A[:, subset.idx[:5]], subset.idx, subset.proj)
    np.testing.assert_allclose(rebuilt, product(subset, A)[0] * np.abs(A).max(), atol=1e-12)
    np.testing.assert_allclose(sli.reconstruct_interp_matrix(subset.idx, subset.proj), subset.coefficients, atol=0)


@pytest.mark.parametrize("ratio", [0.97, 0.7])
def test_the_error_is_that_of_scipy_with_all_rows_and_near_it_with_drawn_ones(ratio, rng):
    ratios = []
    for _ in range(8):
        A = matrix_with_spectrum((600, 80), ratio ** np.arange(80.0), rng)
        idx, proj = sli.interp_decomp(A.copy(), 10, rand=False)
        theirs = np.linalg.norm(A - sli.reconstruct_matrix_from_id(A[:, idx[:10]], idx, proj)) / np.linalg.norm(A)
        ours = [true_error(qi.select_columns(A, 10, n_draws=n_draws, rng=0), A) for n_draws in (600, None)]
        ratios.append(np.array(ours) / theirs)
    with_all, with_drawn = np.mean(ratios, axis=0)
    assert with_all < 1.05
    assert with_drawn < 1.25


def spiked():
    """Return a matrix whose mass is in 5 of 200 columns, so that others do not stand for them."""
    rng = np.random.default_rng(5)
    A = 0.01 * rng.standard_normal((300, 200))
    A[:, rng.choice(200, 5, replace=False)] += rng.standard_normal((300, 5))
    return A


def test_random_pivots_keep_the_bound_k_plus_1_in_expectation_and_uniform_columns_do_not():
    A, rank = spiked(), 5
    M = qi.as_sq_matrix(A)
    bound = (rank + 1) * (best_error(A, rank) * np.linalg.norm(A)) ** 2
    errors, uniform = [], []
    for seed in range(200):
        found = qi.select_columns(M, rank, method="pivoting", n_draws=300, rng=seed)
        errors.append(np.linalg.norm(A - A[:, found.cols] @ found.coefficients) ** 2)
        C = A[:, np.random.default_rng(seed).choice(200, rank, replace=False)]
        uniform.append(np.linalg.norm(A - C @ np.linalg.lstsq(C, A, rcond=None)[0]) ** 2)
    assert np.mean(errors) + 5 * np.std(errors) / np.sqrt(200) < bound
    assert np.mean(uniform) - 5 * np.std(uniform) / np.sqrt(200) > bound


def test_random_pivots_follow_the_volumes_of_the_subsets_and_leverage_draws_do_not():
    # The set of pivots in an orthonormal basis is a determinantal process: P(S) = det(Q_S)^2.
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 3)) * np.array([[1, 1, 2, 2, 3, 3]]).T)[0]
    subsets = list(itertools.combinations(range(6), 3))
    law = np.array([np.linalg.det(Q[list(subset)]) ** 2 for subset in subsets])
    assert law.sum() == pytest.approx(1.0)
    rng, n_draws = np.random.default_rng(3), 4000
    draws = {
        method: np.array(
            [subsets.index(tuple(sorted(_pivots.choose(Q, 3, 3, method, rng).tolist()))) for _ in range(n_draws)]
        )
        for method in ("pivoting", "leverage")
    }
    assert oracles.chi_square_p(draws["pivoting"], law) > oracles.P_LOWEST
    assert oracles.chi_square_p(draws["leverage"], law) < oracles.P_LOWEST


def without_replacement(weights):
    """Return the law of ordered pairs drawn one after the other by weight."""
    p = weights / weights.sum()
    return np.array([[0.0 if i == j else p[i] * p[j] / (1 - p[i]) for j in range(len(p))] for i in range(len(p))])


def test_leverage_and_length_squared_draw_without_replacement_by_their_weights():
    rng = np.random.default_rng(4)
    Q = np.linalg.qr(rng.standard_normal((5, 2)))[0]
    A = rng.standard_normal((7, 5)) * np.array([0.5, 1, 1, 2, 2])
    M = qi.as_sq_matrix(A)
    laws = {"leverage": (Q**2).sum(axis=1), "columns": (A**2).sum(axis=0), "rows": (A**2).sum(axis=1)}
    draw = {
        "leverage": lambda: _pivots.choose(Q, 2, 2, "leverage", rng),
        "columns": lambda: _pivots.distinct_draws(lambda size: M.sample_cols(M.sample_rows(size, rng), rng), 2),
        "rows": lambda: _pivots.distinct_draws(lambda size: M.sample_rows(size, rng), 2),
    }
    for name, weights in laws.items():
        pairs = np.array([draw[name]() for _ in range(4000)])
        cells = pairs[:, 0] * len(weights) + pairs[:, 1]
        assert oracles.chi_square_p(cells, without_replacement(weights).ravel()) > oracles.P_LOWEST, name
        assert oracles.chi_square_p(cells, without_replacement(np.sqrt(weights)).ravel()) < oracles.P_LOWEST, name


@every_function
def test_the_interval_covers_the_true_error_over_seeds(function):
    rng = np.random.default_rng(6)
    A = gapped(rng, shape=(1200, 80), rank=4) * np.exp(0.5 * rng.standard_normal(1200))[:, None]
    M, norm = qi.as_sq_matrix(A), np.linalg.norm(A)
    covered, shrunk = 0, 0
    for seed in range(240):
        found = function(M, 4, rng=seed)
        error = np.linalg.norm(A - product(found, A)[0] * np.abs(A).max()) / norm
        covered += found.error.low <= error <= found.error.high
        middle = found.error.value
        shrunk += middle - (middle - found.error.low) / 3 <= error <= middle + (found.error.high - middle) / 3
    # At a true coverage of 0.95, 209 or fewer of 240 have a chance below 1e-5. A third of the interval covers
    # about half.
    assert covered > 209
    assert shrunk < 180


@every_function
def test_the_interval_covers_the_error_that_few_rows_hold_and_students_of_half_the_rows_does_not(function, monkeypatch):
    # The squares of what is left are log-normal with sigma = 2, and have nothing to do with the norms of the rows.
    rng = np.random.default_rng(8)
    A = rng.standard_normal((8000, 3)) @ rng.standard_normal((3, 12))
    A += 0.01 * np.exp(rng.standard_normal(8000))[:, None] * rng.standard_normal((8000, 12))
    M, norm = qi.as_sq_matrix(A), np.linalg.norm(A)

    def covered():
        count = 0
        for seed in range(200):
            found = function(M, 3, rng=seed)
            error = np.linalg.norm(A - product(found, A)[0] * np.abs(A).max()) / norm
            count += found.error.low <= error <= found.error.high
        return count

    def student(values):
        mean = values.mean()
        reach = 1.98 * values.std(ddof=1) / np.sqrt(len(values)) / mean
        return _remainder.ErrorEstimate(np.sqrt(mean), *(np.sqrt(mean * np.exp(side * reach)) for side in (-1, 1)))

    # At a true coverage of 0.95, 172 or fewer of 200 have a chance below 1e-5.
    assert covered() > 172
    monkeypatch.setattr(_remainder, "_HELD_OUT_ROWS", 128)
    monkeypatch.setattr(_remainder, "root_mean_interval", student)
    assert covered() <= 172


@every_function
def test_the_same_seed_gives_the_same_answer_from_every_storage(function, rng):
    A = gapped(rng, shape=(300, 40))
    A[np.abs(A) < 0.03] = 0.0
    dynamic = qi.DynamicMatrix(A.shape)
    rows, cols = np.nonzero(A)
    dynamic.update(rows, cols, A[rows, cols])
    storages = [A, sp.csr_array(A), sp.csc_array(A), qi.vstack([A[:100], A[100:]]), dynamic, np.asfortranarray(A)]
    answers = [function(X, 5, n_draws=300, rng=np.random.default_rng(7)) for X in storages]
    for found in answers:
        B = product(found, A)[0]
        np.testing.assert_allclose(B, product(answers[0], A)[0], atol=1e-10)
        assert found.error.value == pytest.approx(true_error(found, A), rel=1e-9)


@every_function
def test_a_saved_a_transposed_and_a_computed_matrix_serve_as_well(function, rng, tmp_path):
    A = gapped(rng)
    qi.save(tmp_path / "A", A)
    computed = qi.ImplicitMatrix(np.linalg.norm(A, axis=1), lambda rows: A[rows], shape=A.shape)
    for X in (tmp_path / "A", qi.transpose(A.T.copy()), computed):
        found = function(X, 5, rng=0)
        assert true_error(found, A) < 1.9 * best_error(A, 5)
        assert found.error.value == pytest.approx(true_error(found, A), rel=0.15)


@every_function
def test_rows_too_long_to_be_read_are_refused_with_a_remedy(function, rng):
    A = gapped(rng)
    computed = qi.ImplicitMatrix(
        np.linalg.norm(A, axis=1),
        None,
        shape=A.shape,
        entry_function=lambda rows, cols: A[rows, cols],
        entry_bound=float(np.abs(A).max()),
    )
    assert not computed.whole_rows
    with pytest.raises(ValueError, match="low_rank"):
        function(computed, 2)


@every_function
def test_an_update_after_the_answer_is_refused(function, rng):
    A = rng.standard_normal((50, 8))
    dynamic = qi.DynamicMatrix(A.shape)
    rows, cols = np.nonzero(A)
    dynamic.update(rows, cols, A[rows, cols])
    found = function(dynamic, 3, rng=0)
    dynamic.update([0], [0], [9.0])
    with pytest.raises(VersionError):
        found.source.rows([0])


@every_function
def test_only_drawn_rows_are_read_and_counted(function):
    A = qi.problems.low_rank_matrix((20_000, 100), 5, noise=0.3, rng=0).A
    counted = qi.CountingMatrix(qi.as_sq_matrix(A))
    found = function(counted, 5, rng=0)
    assert counted.counts.full_passes == found.stats.full_passes == 0
    assert counted.counts.entries_read == found.stats.entries_read == 100 * found.stats.rows_read
    assert 256 + 40 < found.stats.rows_read <= 256 + 80 + 5
    assert found.stats.index_seconds == 0
    assert function(A, 5, rng=0).stats.index_seconds > 0
    assert str(found.error) in found.explain()
    assert "drawn rows" in found.status


@every_function
def test_sparse_input_is_not_made_dense(function, rng):
    A = sp.random_array((60_000, 50_000), density=2e-5, rng=rng, format="csr")
    A = sp.csr_array(A + sp.csr_array(([5.0] * 40, (np.arange(40), np.arange(40) % 8)), shape=A.shape))
    found = function(A, 6, rng=0)
    assert found.stats.entries_read < A.nnz
    if function is qi.cur:
        C, _, R = found.formed()
        assert sp.issparse(C)
        assert sp.issparse(R)
        assert (abs(C - A[:, found.cols]) > 0).nnz == 0
        assert (abs(R - A[found.rows]) > 0).nnz == 0


@pytest.mark.parametrize("build", [np.asarray, sp.csr_array])
def test_a_decomposition_is_a_linear_operator_and_answers_queries(build, rng, monkeypatch):
    monkeypatch.setattr("qinspired.algorithms.selection._cur._BLOCK_CELLS", 100)
    A = gapped(rng, shape=(200, 40))
    found = qi.cur(build(A), 5, n_cols=7, n_rows=6, rng=0)
    assert found.U.shape == (7, 6)
    assert found.status.startswith("chosen by qr")
    assert (found.shape, found.dtype) == ((200, 40), np.float64)
    B = A[:, found.cols] @ found.U @ A[found.rows]
    x, y = rng.standard_normal(40), rng.standard_normal(200)
    operator = aslinearoperator(found)
    np.testing.assert_allclose(operator @ x, B @ x, atol=1e-12)
    np.testing.assert_allclose(operator.T @ y, B.T @ y, atol=1e-12)
    np.testing.assert_allclose(found.row(17), B[17], atol=1e-12)
    rows, cols = rng.integers(0, 200, (3, 1)), rng.integers(0, 40, (1, 4))
    np.testing.assert_allclose(found.query(rows, cols), B[rows, cols], atol=1e-12)
    np.testing.assert_allclose(found.query(3, 4), B[3, 4], atol=1e-12)
    assert found.query([], []).shape == (0,)


def test_more_columns_and_rows_than_the_rank_lower_the_error(rng):
    A = matrix_with_spectrum((900, 60), 0.9 ** np.arange(60.0), rng)
    for method in METHODS:
        few, many = (qi.cur(A, 5, n_cols=size, n_rows=size, method=method, rng=0) for size in (5, 20))
        assert many.U.shape == (20, 20)
        assert true_error(many, A) < 0.8 * true_error(few, A)


@every_function
def test_more_draws_lower_the_price_of_drawing(function, rng):
    A = matrix_with_spectrum((4000, 60), 1.0 / np.arange(1.0, 61), rng)
    few, many = (
        np.mean([true_error(function(A, 8, n_draws=draws, rng=seed), A) for seed in range(4)]) for draws in (16, 400)
    )
    assert many < 0.95 * few


@pytest.mark.parametrize("build", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("scale", [1.0, 1e-200])
def test_a_drawn_row_counts_as_often_as_it_was_drawn(build, scale, rng):
    A = gapped(rng, shape=(40, 12)) * np.linspace(0.1, 3.0, 40)[:, None]
    M = qi.CountingMatrix(qi.as_sq_matrix(build(A * scale)))
    drawn = M.sample_rows(19, np.random.default_rng(5))
    rows, counts = np.unique(drawn, return_counts=True)
    assert counts.max() > 1
    sample = _drawn.row_sample(M, 19, np.random.default_rng(5))
    expected = A[rows] * (np.sqrt(counts) / np.linalg.norm(A[rows], axis=1))[:, None]
    np.testing.assert_array_equal(sample.rows, rows)
    np.testing.assert_allclose(_drawn.dense(sample.block), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(sample.squares, counts)
    # What leaves every row as it is has the error 1, from the rows that were drawn and from the others.
    whole = _remainder.relative_error(M, _drawn.dense, sample, np.random.default_rng(0))
    assert whole.value == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("n_draws", [40, 900])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directions_are_singular_vectors_without_those_that_are_rounding(n_draws, dtype, rng):
    A = matrix_with_spectrum((900, 60), np.array([2.0, 1.0]), rng).astype(dtype)
    sample = _drawn.row_sample(qi.CountingMatrix(qi.as_sq_matrix(A)), n_draws, rng)
    found = _drawn.leading_directions(sample, 6, rng)
    U, values, Vt = np.linalg.svd(_drawn.dense(sample.block), full_matrices=False)
    assert found.left.shape == (len(sample.rows), 2)
    assert found.right.shape == (60, 2)
    tolerance = 1000 * np.finfo(dtype).eps * values[0] / (values[0] - values[1])
    np.testing.assert_allclose(np.abs(np.sum(found.left * U[:, :2], axis=0)), 1.0, atol=tolerance)
    np.testing.assert_allclose(np.abs(np.sum(found.right * Vt[:2].T, axis=0)), 1.0, atol=tolerance)


@every_function
@pytest.mark.parametrize("name", ["_NORMS_LOOKED_AT", "_CHECKED_CELLS"])
def test_a_larger_matrix_is_certified_by_drawn_rows_alone(function, name, rng, monkeypatch):
    A = gapped(rng)
    monkeypatch.setattr(_remainder, name, 100)
    found = function(A, 5, n_draws=None if name == "_NORMS_LOOKED_AT" else 900, rng=2)
    assert found.error.confidence == 0.95
    assert found.error.value == pytest.approx(true_error(found, A), rel=0.15)
    assert found.error.low < found.error.value < found.error.high


@every_function
def test_a_zero_matrix_is_refused(function):
    with pytest.raises(ZeroMassError, match="`A`"):
        function(np.zeros((4, 3)), 1)


@every_function
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rank": 0}, ValueError, "`rank`"),
        ({"rank": 61}, ValueError, "`rank`"),
        ({"rank": 2.0}, TypeError, "`rank`"),
        ({"rank": True}, TypeError, "`rank`"),
        ({"method": "svd"}, ValueError, "`method`.*leverage"),
        ({"n_draws": 2}, ValueError, "`n_draws`"),
        ({"n_draws": 5.0}, TypeError, "`n_draws`"),
        ({"rng": -1}, ValueError, "`rng`"),
        ({"rng": "x"}, TypeError, "`rng`"),
    ],
)
def test_bad_arguments_are_named(function, arguments, error, message, rng):
    A = gapped(rng)
    with pytest.raises(error, match=message):
        function(A, **{"rank": 3, **arguments})


@every_function
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_matrix_that_is_not_finite_is_refused(function, value, rng):
    A = gapped(rng)
    A[3, 4] = value
    with pytest.raises(ValueError, match=r"A\[3, 4\]"):
        function(A, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_cols": 2}, ValueError, "`n_cols`"),
        ({"n_cols": 61}, ValueError, "`n_cols`"),
        ({"n_cols": True}, TypeError, "`n_cols`"),
        ({"n_rows": 2}, ValueError, "`n_rows`"),
        ({"n_rows": 901}, ValueError, "`n_rows`"),
        ({"n_rows": 4.0}, TypeError, "`n_rows`"),
    ],
)
def test_bad_sizes_of_a_decomposition_are_named(arguments, error, message, rng):
    with pytest.raises(error, match=message):
        qi.cur(gapped(rng), 3, **arguments)


def test_bad_questions_to_an_answer_are_named(rng):
    A = gapped(rng)
    found, subset = qi.cur(A, 3, rng=0), qi.select_rows(A, 3, rng=0)
    with pytest.raises(ValueError, match="`x`"):
        found.matvec(np.zeros(59))
    with pytest.raises(ValueError, match="`y`"):
        found.rmatvec(np.full(900, np.nan))
    with pytest.raises(IndexError, match="`rows`"):
        found.query(900, 0)
    with pytest.raises(IndexError, match="`cols`"):
        found.query(0, -1)
    with pytest.raises(ValueError, match=r"`rows` and `cols` .*\(2,\) and \(3,\)"):
        found.query([0, 1], [0, 1, 2])
    with pytest.raises(IndexError, match="`i`"):
        found.row(900)
    with pytest.raises(ValueError, match="60 columns"):
        subset.coefficients(np.zeros((2, 59)))


def test_subnormal_entries_give_the_coefficients_of_others(rng):
    A = rng.standard_normal((40, 6))
    subset = qi.select_rows(1e-310 * A, 6, rng=0)
    np.testing.assert_allclose(subset.coefficients() @ A[subset.rows], A, atol=1e-10)


def test_a_core_beyond_the_range_of_floats_is_refused(rng):
    with pytest.raises(ValueError, match=r"`A` must have entries whose inverses.* Multiply it by a constant"):
        qi.cur(1e-310 * rng.standard_normal((40, 6)), 3, rng=0)
