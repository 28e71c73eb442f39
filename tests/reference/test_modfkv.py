from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qinspired as qi
from qinspired.reference import fkv, modfkv, tang_recommend

SIGMA = np.array([4.0, 2.0, 1.0, 0.1])


def matrix() -> np.ndarray:
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((size, 4)))[0] for size in (60, 40))
    return U * SIGMA @ V.T


def run(threshold: Any, **changed: Any) -> Any:
    return modfkv(matrix(), threshold, **({"n_rows": 50, "n_cols": 50, "rng": 1} | changed))


def test_the_directions_above_the_threshold_are_those_of_fkv() -> None:
    whole = fkv(matrix(), 4, n_rows=50, n_cols=50, rng=1)
    for count in (1, 2, 3):
        found = run(float(whole.singular_values[count - 1 : count + 1].mean()))
        np.testing.assert_array_equal(found.rows, whole.rows)
        np.testing.assert_array_equal(found.cols, whole.cols)
        np.testing.assert_array_equal(found.coefficients, whole.coefficients[:, :count])
        np.testing.assert_array_equal(found.singular_values, whole.singular_values[:count])
    # A value that is equal to the threshold is kept.
    assert run(float(whole.singular_values[2])).rank == 3


def test_a_recommendation_is_made_of_the_same_directions() -> None:
    drawn = tang_recommend(matrix(), 2, 0, n_rows=50, n_cols=50, threshold=1.5, exact_coefficients=True, rng=1)
    found = run(1.5)
    np.testing.assert_array_equal(drawn.singular_values, found.singular_values)
    V = found.components()
    np.testing.assert_allclose(drawn.vector.to_array(), V.T @ (V @ matrix()[2]), rtol=0, atol=1e-12)


def test_with_many_draws_the_directions_are_those_of_the_matrix() -> None:
    found = run(1.5, n_rows=900, n_cols=900)
    wanted = np.linalg.svd(matrix())[2][:2]
    assert found.rank == 2
    np.testing.assert_allclose(found.singular_values, SIGMA[:2], rtol=0.1)
    V = np.linalg.qr(found.components().T)[0]
    assert np.linalg.norm(wanted - wanted @ V @ V.T) < 0.05


def test_no_more_directions_are_kept_than_the_energy_allows() -> None:
    noise = np.random.default_rng(1).standard_normal((200, 150))
    norm = np.linalg.norm(noise)
    for share in (0.2, 0.1, 0.05):
        assert modfkv(noise, share * norm, n_rows=120, n_cols=120, rng=0).rank <= 1 / share**2


def test_the_cost_is_that_of_fkv() -> None:
    ours, theirs = run(1.5).stats, fkv(matrix(), 2, n_rows=50, n_cols=50, rng=1).stats
    for name in ("row_draws", "column_draws", "entry_queries", "entries_read", "rows_read", "full_passes"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.index_seconds > 0.0
    assert modfkv(qi.as_sq_matrix(matrix()), 1.5, n_rows=5, n_cols=5, rng=0).stats.index_seconds == 0.0


@pytest.mark.parametrize(
    ("threshold", "changed", "error", "message"),
    [
        (0.0, {}, ValueError, "`threshold` must be > 0, in units of the singular values of `A`; got 0"),
        (-1.0, {}, ValueError, "`threshold` must be a finite number >= 0; got -1"),
        (np.nan, {}, ValueError, "`threshold` must be a finite number >= 0; got nan"),
        (np.inf, {}, ValueError, "`threshold` must be a finite number >= 0; got inf"),
        (True, {}, TypeError, "`threshold` must be a finite number >= 0"),
        ("1", {}, TypeError, "`threshold` must be a finite number >= 0"),
        (1e3, {}, ValueError, "`threshold` must not exceed the largest singular value"),
        (1.0, {"n_rows": 0}, ValueError, "`n_rows` must be an integer >= 1; got 0"),
        (1.0, {"n_cols": 2.5}, TypeError, "`n_cols` must be an integer >= 1"),
        (1.0, {"rng": -1}, ValueError, "`rng` must be"),
    ],
)
def test_a_bad_argument_is_refused(
    threshold: Any, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(threshold, **changed)
