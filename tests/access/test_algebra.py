from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from derived import BUILDS, KINDS, LEFT, RIGHT, ROWS, A, B, Derived, skewed, to_dense

import qinspired as qi
from qinspired.access import RowReader, SampleQueryMatrix
from qinspired.access.derived import _transposed
from qinspired.exceptions import VersionError, ZeroMassError

kinds = pytest.mark.parametrize("kind", KINDS, ids=str)
builds = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)


def tolerance(kind: Derived, matrix: Any) -> float:
    """Return the rounding of sums of 100 terms as large as the largest entry that the type can make."""
    largest = max(np.abs(kind.dense).max(), np.abs(A).max() * np.abs(RIGHT).max())
    return 100.0 * float(np.finfo(matrix.dtype).eps) * float(largest)


@kinds
@builds
def test_rows_and_entries_are_those_of_the_formed_matrix(kind: Derived, build: Any) -> None:
    matrix, wanted = kind.make(build), kind.dense
    p, n = matrix.shape
    assert (p, n) == wanted.shape
    close = tolerance(kind, matrix)
    assert matrix.dtype == build(A).dtype
    for rows in (np.arange(p), np.array([p - 1, 0, 0, 2]), np.array([], dtype=int)):
        block = matrix.rows(rows)
        assert sp.issparse(block) == matrix.is_sparse
        assert block.dtype == matrix.dtype
        np.testing.assert_allclose(to_dense(block), wanted[rows], rtol=0, atol=close)
    entries = matrix.query(np.arange(p)[:, None], np.arange(n)[None, :])
    np.testing.assert_allclose(entries, wanted, rtol=0, atol=close)
    assert matrix.query([], []).shape == (0,)
    np.testing.assert_allclose(matrix.row_norms(), oracles.row_norms(wanted), rtol=0, atol=5 * close)
    np.testing.assert_allclose(
        matrix.row_norms([3, 1, 3]), oracles.row_norms(wanted[[3, 1, 3]]), rtol=0, atol=5 * close
    )


@kinds
@builds
def test_products_are_those_of_the_formed_matrix(kind: Derived, build: Any) -> None:
    matrix, wanted = kind.make(build), kind.dense
    rng = np.random.default_rng(4)
    X = rng.standard_normal((wanted.shape[1], 3)).astype(matrix.dtype)
    Y = rng.standard_normal((wanted.shape[0], 2)).astype(matrix.dtype)
    close = 40 * tolerance(kind, matrix)
    for given in (X, X[:, 0]):
        np.testing.assert_allclose(matrix.matmul(given), wanted @ given, rtol=0, atol=close)
        assert matrix.matmul(given).dtype == matrix.dtype
    for given in (Y, Y[:, 0]):
        np.testing.assert_allclose(matrix.rmatmul(given), wanted.T @ given, rtol=0, atol=close)
        assert matrix.rmatmul(given).dtype == matrix.dtype


@kinds
@builds
@pytest.mark.parametrize("height", [1, 3, 1000])
def test_blocks_of_rows_go_through_the_matrix_once(kind: Derived, build: Any, height: int) -> None:
    matrix, wanted = kind.make(build), kind.dense
    seen = 0
    for start, block in matrix.row_blocks(height):
        assert start == seen
        assert block.shape[0] == min(height, len(wanted) - start)
        expected = wanted[start : start + block.shape[0]]
        np.testing.assert_allclose(to_dense(block), expected, rtol=0, atol=tolerance(kind, matrix))
        seen += block.shape[0]
    assert seen == len(wanted)


@kinds
def test_only_derived_matrices_of_sparse_ones_that_stay_sparse_are_sparse(kind: Derived) -> None:
    assert not kind.make(np.array).is_sparse
    matrix = kind.make(sp.csr_array)
    assert matrix.is_sparse == (kind.name in {"sum", "combined rows", "transpose"})
    lengths = matrix.row_lengths(np.arange(matrix.shape[0]))
    assert lengths.sum() == matrix.n_stored
    stored = to_dense(matrix.rows(np.arange(matrix.shape[0])) != 0).sum(axis=1)
    assert (lengths >= stored).all()


def test_a_large_sparse_transpose_is_read_in_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transposed, "_PANEL_ENTRIES", 60)
    counted = qi.CountingMatrix(qi.as_sq_matrix(sp.csr_array(A)))
    blocks = [to_dense(block) for _, block in qi.transpose(counted).row_blocks(2)]
    np.testing.assert_array_equal(np.concatenate(blocks), A.T)
    assert [len(block) for block in blocks] == [2] * 12
    n_stored = np.count_nonzero(A)
    assert n_stored / 60 <= counted.counts.full_passes <= 2 * n_stored / 60 + 1  # one pass more counts the columns


@kinds
@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_an_index_makes_it_exact(kind: Derived, build: Any) -> None:
    matrix = kind.make(build)
    indexed = qi.IndexedMatrix(matrix)
    assert not isinstance(matrix, SampleQueryMatrix)
    assert isinstance(indexed, SampleQueryMatrix)
    assert indexed.frobenius_norm == pytest.approx(np.linalg.norm(kind.dense), rel=1e-12)
    np.testing.assert_allclose(indexed.row_norms(), oracles.row_norms(kind.dense), rtol=1e-12, atol=1e-12)
    assert indexed.n_stored == matrix.n_stored
    draws = indexed.sample_rows(50_000, rng=0)
    assert oracles.chi_square_p(draws, oracles.law_of_rows(kind.dense)) > oracles.P_LOWEST
    row = int(np.argmax(oracles.row_norms(kind.dense)))
    cols = indexed.sample_cols(np.full(50_000, row), rng=1)
    assert oracles.chi_square_p(cols, oracles.law_of(kind.dense[row])) > oracles.P_LOWEST


@kinds
def test_low_rank_of_an_indexed_matrix_is_that_of_the_formed_one(kind: Derived) -> None:
    approx = qi.low_rank(qi.IndexedMatrix(kind.make(sp.csr_array)), 2, method="exact")
    values = np.linalg.svd(kind.dense, compute_uv=False)
    np.testing.assert_allclose(approx.singular_values, values[:2], rtol=1e-10)


class _Thirds(RowReader):
    """A matrix of i + j / 3 that is read from nowhere."""

    shape = (5, 4)  # type: ignore[assignment]
    dtype = np.dtype(np.float64)  # type: ignore[assignment]

    def _read_rows(self, rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(rows[:, None] + np.arange(4)[None, :] / 3.0)


def test_an_index_works_for_any_matrix_whose_rows_can_be_read() -> None:
    wanted = np.arange(5)[:, None] + np.arange(4) / 3.0
    indexed = qi.IndexedMatrix(_Thirds())
    np.testing.assert_allclose(indexed.row_norms(), np.linalg.norm(wanted, axis=1), rtol=1e-14)
    np.testing.assert_allclose(indexed.query([4], [3]), [5.0])
    np.testing.assert_allclose(indexed.matmul(np.eye(4)), wanted)


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_columns_of_every_scale_have_their_norm(build: Any) -> None:
    X = np.array([[3.0, 3e-200, 0.0, 5e-324], [4.0, 4e-200, 0.0, 0.0]])
    np.testing.assert_allclose(qi.transpose(build(X)).row_norms(), [5.0, 5e-200, 0.0, 5e-324], rtol=1e-14)


def test_a_transpose_is_its_own_inverse() -> None:
    source = qi.as_sq_matrix(A)
    assert qi.transpose(qi.transpose(source)) is source
    assert qi.transpose(qi.IndexedMatrix(qi.transpose(source))) is source


def test_derived_matrices_compose() -> None:
    stacked = qi.vstack([A[:10], sp.csr_array(A[10:25]), A[25:]])
    whole = np.arange(40)
    np.testing.assert_allclose(qi.centred(stacked).rows(whole), A - A.mean(axis=0), atol=1e-12)
    product = qi.transpose(qi.multiply(sp.csr_array(A), RIGHT))
    np.testing.assert_allclose(product.rows(np.arange(6)), (A @ RIGHT).T, atol=1e-12)
    total = qi.add(A, qi.transpose(B.T.copy()))
    np.testing.assert_allclose(total.rows(whole), A + B, atol=1e-12)
    mixed = qi.combine_rows(qi.centred(qi.add(sp.csr_array(A), sp.csr_array(B))), LEFT, ROWS)
    centred = A + B - (A + B).mean(axis=0)
    np.testing.assert_allclose(mixed.rows(np.arange(5)), LEFT @ centred[ROWS], atol=1e-12)
    assert oracles.chi_square_p(mixed.sample_rows(20_000, rng=0), oracles.law_of_rows(LEFT @ centred[ROWS])) > 1e-6


def test_all_rows_are_combined_by_default_and_terms_may_be_left_out() -> None:
    M = np.random.default_rng(5).standard_normal((3, 40))
    np.testing.assert_allclose(qi.combine_rows(A, M).rows([0, 1, 2]), M @ A, atol=1e-12)
    np.testing.assert_allclose(qi.combine_rows(A, sp.csr_array(M)).rows([2]), (M @ A)[2:], atol=1e-12)
    np.testing.assert_array_equal(qi.add(A, B, coefficients=[1, 0]).rows(np.arange(40)), A)
    assert qi.add(A, B, coefficients=[1, 0]).phi() == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_array_equal(qi.add(A).rows(np.arange(40)), A)


@pytest.mark.parametrize("unit", [2.0**600, 2.0**-600, 2.0**1000, 2.0**-1000])
@kinds
def test_no_scale_of_the_sources_changes_anything_but_the_scale(kind: Derived, unit: float) -> None:
    matrix = kind.make(lambda X: _Scaled(X, unit) if X is not RIGHT else X)
    factor = 1.0 if kind.name == "centred and scaled" else unit
    rows = np.arange(matrix.shape[0])
    np.testing.assert_allclose(to_dense(matrix.rows(rows)) / factor, kind.dense, rtol=0, atol=1e-12)
    np.testing.assert_allclose(matrix.row_norms() / factor, oracles.row_norms(kind.dense), rtol=1e-12, atol=1e-12)
    assert matrix.phi() == pytest.approx(kind.phi, rel=1e-10)
    draws = matrix.sample_rows(5000, rng=0)
    assert oracles.chi_square_p(draws, oracles.law_of_rows(kind.dense)) > oracles.P_LOWEST


def _Scaled(X: np.ndarray, unit: float) -> np.ndarray:  # noqa: N802
    return X * unit


@pytest.mark.parametrize("factor", [1e39, 1e-45, 1e60, 1e-60])
def test_float32_becomes_float64_where_it_would_be_too_narrow(factor: float) -> None:
    X = (A * 2.0**-3).astype(np.float32)
    for matrix, wanted in (
        (qi.add(X, coefficients=[factor]), factor * X.astype(np.float64)),
        (qi.combine_rows(X, np.full((1, 40), factor)), np.full((1, 40), factor) @ X.astype(np.float64)),
        (qi.centred(X, np.zeros(24), scale=np.full(24, 1 / factor)), factor * X.astype(np.float64)),
    ):
        assert matrix.dtype == np.float64
        found = matrix.rows(np.arange(matrix.shape[0]))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_a_source_that_was_updated_since_refuses() -> None:
    class Changing:
        """A matrix with a version, of which only the version changes."""

        def __init__(self, X: Any) -> None:
            self.version = 0
            self._inner = qi.as_sq_matrix(X)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    for kind in KINDS:
        made: list[Changing] = []

        def build(X: np.ndarray, made: list[Changing] = made) -> Changing:
            made.append(Changing(X))
            return made[-1]

        matrix = kind.make(build)
        indexed = qi.IndexedMatrix(matrix)
        matrix.sample_rows(50, rng=0)
        indexed.sample_rows(50, rng=0)
        for source in made[1:] if kind.name == "sum" else made:  # of a sum, the second term alone
            source.version += 1
        for access in (matrix, indexed):
            for call in (
                lambda m=access: m.sample_rows(5, rng=0),
                lambda m=access: m.row_norms([0]),
                lambda m=access: m.rows([0]),
                lambda m=access: m.query([0], [0]),
                lambda m=access: m.matmul(np.ones((m.shape[1], 1))),
            ):
                with pytest.raises(VersionError, match="now at version 1"):
                    call()
        with pytest.raises(VersionError, match="now at version 1"):
            _ = indexed.frobenius_norm


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (qi.add, "`matrices` must have at least one matrix"),
        (lambda: qi.add(A, B.T), r"one shape; matrix 0 has \(40, 24\) and matrix 1 has \(24, 40\)"),
        (lambda: qi.add(A, B, coefficients=[1.0]), r"`coefficients` must have one number for each of the 2 matrices"),
        (lambda: qi.add(A, coefficients=2.0), r"one number for each of the 1 matrices; got shape \(\)"),
        (lambda: qi.add(A, B, coefficients=[1.0, np.nan]), r"`coefficients` must be finite.*coefficients\[1\] = nan"),
        (lambda: qi.add(A, B, coefficients=[np.inf, 1.0]), r"`coefficients` must be finite"),
        (lambda: qi.add(A, B, coefficients=[1j, 1.0]), "`coefficients` must be real"),
        (lambda: qi.add(A * 1e200, coefficients=[1e200]), "`coefficients` must keep the bound.*below 1.8e308"),
        (lambda: qi.multiply(A, RIGHT.T), r"`B` must have one row for each of the 24 columns.*\(6, 24\)"),
        (lambda: qi.multiply(A, np.full((24, 2), np.nan)), r"`B` must be finite"),
        (lambda: qi.multiply(A, np.ones(24)), "`B` must be 2-dimensional"),
        (lambda: qi.multiply(A * 1e200, RIGHT * 1e200), "`B` must keep the bound"),
        (lambda: qi.combine_rows(A, LEFT), r"`M` must have one column for each of the 40 rows of `A`; got shape"),
        (lambda: qi.combine_rows(A, LEFT, ROWS[:3]), "`M` must have one column for each of the 3 rows"),
        (lambda: qi.combine_rows(A, np.full((1, 8), np.inf), ROWS), "`M` must be finite"),
        (lambda: qi.combine_rows(A * 1e200, LEFT * 1e200, ROWS), "`M` must keep the bound"),
        (lambda: qi.transpose(np.array([[1.0, np.nan]])), r"`A` must be finite.*A\[0, 1\] = nan"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_out_of_range_are_refused() -> None:
    with pytest.raises(IndexError, match=r"`rows` must hold indices in \[0, 40\); got 40"):
        qi.combine_rows(A, LEFT, [0, 1, 2, 3, 4, 5, 6, 40])
    for kind in KINDS:
        matrix = kind.make(np.array)
        for call in (matrix.rows, matrix.row_norms, matrix.bound_norms, matrix.sample_cols, matrix.row_lengths):
            with pytest.raises(IndexError, match="`rows` must hold indices in"):
                call([-1])
        with pytest.raises(IndexError, match="`cols` must hold indices in"):
            matrix.query([0], [matrix.shape[1]])


def test_the_matrix_that_is_refused_is_named() -> None:
    with pytest.raises(TypeError) as caught:
        qi.add(A, np.ma.masked_array(A))
    assert caught.value.__notes__ == ["raised by matrix 1 of the sum"]


@pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])
def test_a_zero_matrix_is_read_but_not_drawn_from(build: Any) -> None:
    nothing = build(np.zeros((4, 3)))
    for matrix in (
        qi.add(nothing, build(np.ones((4, 3))), coefficients=[1.0, 0.0]),
        qi.add(build(np.ones((4, 3))), coefficients=[0.0]),
        qi.multiply(nothing, np.ones((3, 2))),
        qi.multiply(build(np.ones((4, 3))), np.zeros((3, 2))),
        qi.combine_rows(nothing, np.ones((2, 4))),
        qi.transpose(nothing),
        qi.centred(nothing),
    ):
        assert not to_dense(matrix.rows(np.arange(matrix.shape[0]))).any()
        for call in (lambda m=matrix: m.sample_rows(1, rng=0), matrix.phi):
            with pytest.raises(ZeroMassError, match="has only zero entries"):
                call()
        with pytest.raises(ZeroMassError, match="row 0 has none"):
            matrix.sample_cols([0], rng=0)
        with pytest.raises(ZeroMassError):
            qi.IndexedMatrix(matrix).sample_rows(1, rng=0)
        assert matrix.estimate_norm(5, rng=0).high == 0.0


def test_nothing_given_is_modified() -> None:
    copies = [part.copy() for part in (A, B, RIGHT, LEFT, ROWS)]
    for kind in KINDS:
        matrix = kind.make(np.asarray)
        block = matrix.rows(np.arange(matrix.shape[0]))
        block *= 0
        matrix.bound_norms()[:] = 7.0
        matrix.row_norms()[:] = 7.0
        np.testing.assert_allclose(matrix.rows([0]), kind.dense[:1], atol=1e-12)
        np.testing.assert_allclose(matrix.row_norms(), oracles.row_norms(kind.dense), atol=1e-12)
    for part, before in zip((A, B, RIGHT, LEFT, ROWS), copies, strict=True):
        np.testing.assert_array_equal(part, before)


def test_single_rows_columns_and_entries_are_matrices_too() -> None:
    for shape in ((1, 5), (5, 1), (1, 1)):
        X = skewed(6, shape, 0.0) + 1.0
        for matrix, wanted in (
            (qi.add(X, X), 2 * X),
            (qi.multiply(X, np.ones((shape[1], 2))), X @ np.ones((shape[1], 2))),
            (qi.combine_rows(X, np.ones((2, shape[0]))), np.ones((2, shape[0])) @ X),
            (qi.transpose(X), X.T),
            (qi.centred(X, np.zeros(shape[1])), X),
        ):
            np.testing.assert_allclose(matrix.rows(np.arange(matrix.shape[0])), wanted, rtol=1e-14)
            assert matrix.sample_rows(5, rng=0).max() < matrix.shape[0]
