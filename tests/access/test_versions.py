from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import oracles
import pytest

import qinspired as qi
from qinspired.access import PinnedMatrix
from qinspired.exceptions import VersionError

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH_VERSIONS = r"made from version 1 of a matrix that is now at version 2; make it again from the updated matrix"


@pytest.fixture(name="A")
def matrix() -> Any:
    """A matrix at version 1, of rank 3 up to noise, with a row of zeros."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 40)) + 0.01 * rng.standard_normal((60, 40))
    made = qi.DynamicMatrix((60, 40))
    made.update(np.arange(60)[:, None], np.arange(40), np.where(np.arange(60) == 7, 0.0, X.T).T)
    return made


def combination(A: Any) -> qi.RowCombination:
    return qi.RowCombination(qi.as_sq_matrix(A), np.array([0, 3, 5]), np.array([1.0, -2.0, 0.5]))


def test_an_approximation_made_before_an_update_refuses_and_one_made_after_it_works(A: Any) -> None:
    approx = qi.low_rank(A, 3, rng=0)
    x, y = np.ones(40), np.ones(60)
    np.testing.assert_allclose(approx.matvec(x), A.matmul(approx.components.T @ (approx.components @ x[:, None]))[:, 0])
    A.update(2, 4, 1000.0)
    for use in (lambda: approx.matvec(x), lambda: approx.rmatvec(y), lambda: approx.shape, approx.explain):
        with pytest.raises(VersionError, match=BOTH_VERSIONS):
            use()
    again = qi.low_rank(A, 3, rng=0)
    assert again.matvec(x).shape == (60,)
    assert abs(again.components[0, 4]) == pytest.approx(1.0, abs=0.01)  # the new entry is nearly all of the matrix


def test_a_regression_after_an_update_is_that_of_the_updated_matrix(A: Any) -> None:
    b = np.arange(60.0)
    for size in (0.0, 50.0):
        A.update(7, 0, size)
        X = A.to_csr().toarray()
        best = np.linalg.lstsq(X, b, rcond=None)[0]
        x = qi.least_squares(A, b, method="exact", rng=0).x
        np.testing.assert_allclose(X @ x, X @ best, rtol=0, atol=1e-6 * np.linalg.norm(b))


def test_a_combination_of_rows_made_before_an_update_refuses(A: Any) -> None:
    before = combination(A)
    draws, _ = before.sample(20_000, rng=0)
    assert oracles.chi_square_p(draws, oracles.law_of(before.to_array())) > oracles.P_LOWEST
    A.update(59, 0, 1.0)
    for use in (lambda: before.sample(1, rng=0), lambda: before.query([0]), before.to_array, lambda: before.size):
        with pytest.raises(VersionError, match=BOTH_VERSIONS):
            use()
    after = combination(A)
    assert len(after.sample(10, rng=0)[0]) == 10


CHANGES: dict[str, Callable[[Any], Any]] = {
    "update": lambda A: A.update(0, 0, 7.0),
    "delete": lambda A: A.delete(0, 0),
    "set_rows": lambda A: A.set_rows([0], np.ones((1, 40))),
    "delete_rows": lambda A: A.delete_rows([0]),
    "append_rows": lambda A: A.append_rows(np.zeros((1, 40))),
}
QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "shape": lambda P: P.shape,
    "frobenius_norm": lambda P: P.frobenius_norm,
    "n_stored": lambda P: P.n_stored,
    "row_norms": lambda P: P.row_norms(),
    "row_lengths": lambda P: P.row_lengths([0]),
    "query": lambda P: P.query([0], [0]),
    "rows": lambda P: P.rows([0]),
    "row_blocks": lambda P: list(P.row_blocks(10)),
    "sample_rows": lambda P: P.sample_rows(1, rng=0),
    "sample_cols": lambda P: P.sample_cols([0], rng=0),
    "matmul": lambda P: P.matmul(np.ones((40, 1))),
    "rmatmul": lambda P: P.rmatmul(np.ones((60, 1))),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_refused_after_every_change(A: Any, question: str, change: str) -> None:
    pinned = qi.as_sq_matrix(A)
    assert isinstance(pinned, PinnedMatrix)
    QUESTIONS[question](pinned)
    CHANGES[change](A)
    with pytest.raises(VersionError, match=BOTH_VERSIONS):
        QUESTIONS[question](pinned)


def test_a_call_that_changes_nothing_leaves_what_was_made_in_use(A: Any) -> None:
    before = combination(A)
    A.update(0, 0, A.query(0, 0))
    A.delete_rows([7])
    with pytest.raises(ValueError, match="must be finite"):
        A.update(0, 0, np.nan)
    assert len(before.sample(5, rng=0)[0]) == 5


def test_a_pass_over_a_pinned_matrix_ends_when_the_matrix_changes(A: Any) -> None:
    blocks = qi.as_sq_matrix(A).row_blocks(25)
    assert next(blocks)[0] == 0
    A.update(59, 0, 1.0)
    with pytest.raises(VersionError, match=r"version 1 of a matrix that is now at version 2"):
        next(blocks)


class Changed:
    """A matrix that another thread changes while it is asked, the answer being that of the changed matrix."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._matrix, name)
        if name == "version":
            return answer
        self._matrix.update(0, 0, 7.0)
        return getattr(self._matrix, name)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_update_that_comes_between_the_look_at_the_version_and_the_answer_is_refused(A: Any, question: str) -> None:
    with pytest.raises(VersionError, match=BOTH_VERSIONS):
        QUESTIONS[question](PinnedMatrix(Changed(A)))


def test_a_pass_that_does_not_look_at_the_version_is_watched(A: Any) -> None:
    class Careless(Changed):
        def __getattr__(self, name: str) -> Any:
            return getattr(self._matrix, name)

        def row_blocks(self, rows_per_block: int) -> Any:
            for start in range(0, 60, rows_per_block):
                yield start, self._matrix.rows(np.arange(start, min(60, start + rows_per_block)))

    blocks = PinnedMatrix(Careless(A)).row_blocks(20)
    next(blocks)
    A.update(0, 0, 7.0)
    with pytest.raises(VersionError, match=BOTH_VERSIONS):
        next(blocks)
