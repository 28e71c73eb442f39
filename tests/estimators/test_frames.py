from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qinspired as qi
from qinspired.exceptions import PrecisionWarning

NAMES = [f"f{j}" for j in range(6)]


def numbers(rows: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.rint(4 * rng.standard_normal((rows, 2)) @ rng.standard_normal((2, 6))) + rng.integers(-1, 2, (rows, 6))


def pandas_frame(X: np.ndarray) -> Any:
    return pytest.importorskip("pandas").DataFrame(X, columns=NAMES)


def polars_frame(X: np.ndarray) -> Any:
    return pytest.importorskip("polars").DataFrame({name: X[:, j] for j, name in enumerate(NAMES)})


both = pytest.mark.parametrize("frame", [pandas_frame, polars_frame], ids=["pandas", "polars"])


@both
def test_a_frame_of_floats_is_its_array(frame: Any) -> None:
    A, plain = qi.as_sq_matrix(frame(numbers())), qi.as_sq_matrix(numbers())
    np.testing.assert_allclose(A.row_norms(), plain.row_norms(), rtol=1e-14)
    rows = plain.sample_rows(50, rng=0)
    np.testing.assert_array_equal(A.sample_cols(rows, rng=1), plain.sample_cols(rows, rng=1))


def test_a_frame_of_floats_is_not_copied() -> None:
    frame = pandas_frame(numbers())
    A: Any = qi.as_sq_matrix(frame)
    assert np.shares_memory(A._array, frame.to_numpy())


@both
def test_columns_of_several_types_become_one(frame: Any) -> None:
    X = numbers()
    table = frame(X)
    if hasattr(table, "iloc"):
        table = table.astype({"f0": np.int8, "f1": np.float32, "f2": "Int64"}).assign(
            f3=(table["f3"] != 0).astype("boolean")
        )
    else:
        import polars as pl

        table = table.with_columns(pl.col("f0").cast(pl.Int8), pl.col("f1").cast(pl.Float32), pl.col("f3") != 0)
    X[:, 3] = X[:, 3] != 0
    A = qi.as_sq_matrix(table)
    assert A.dtype == np.float64
    np.testing.assert_array_equal(A.rows(np.arange(60)), X)


def test_nullable_numbers_without_a_gap_are_numbers_and_a_gap_is_named() -> None:
    frame = pandas_frame(numbers()).astype("Int64")
    np.testing.assert_array_equal(qi.as_sq_matrix(frame).rows([3]), numbers()[[3]])
    frame.loc[7, "f4"] = None
    with pytest.raises(ValueError, match=r"`A` must have no missing values; row 7 of column 'f4' has none. Impute or"):
        qi.as_sq_matrix(frame)


def test_a_null_of_polars_is_named() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [3, None]})
    with pytest.raises(ValueError, match=r"row 1 of column 'b' has none"):
        qi.as_sq_matrix(frame)


@both
def test_a_nan_in_a_frame_is_named_by_its_place(frame: Any) -> None:
    X = numbers()
    X[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"A\[4, 2\] = nan"):
        qi.as_sq_matrix(frame(X))


@pytest.mark.parametrize("kind", ["category", "string", "str", "object", "datetime64[ns]"])
def test_a_column_that_is_no_number_is_refused_by_name(kind: str) -> None:
    pd = pytest.importorskip("pandas")
    values = pd.Series(["2020-01-01", "2020-01-02"]).astype(kind)
    with pytest.raises(
        TypeError, match=r"`A` must have numeric columns; column 'colour' .*Encode it as numbers or drop"
    ):
        qi.as_sq_matrix(pd.DataFrame({"size": [1.0, 2.0], "colour": values}))


def test_a_categorical_column_of_numbers_is_refused_too() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=r"column 'code' has type category"):
        qi.as_sq_matrix(pd.DataFrame({"code": pd.Categorical([1, 2])}))


@pytest.mark.parametrize("kind", ["String", "Categorical", "Date"])
def test_a_column_of_polars_that_is_no_number_is_refused_by_name(kind: str) -> None:
    pl = pytest.importorskip("polars")
    column = pl.Series("colour", ["2020-01-01", "2020-01-02"])
    column = column.str.to_date() if kind == "Date" else column.cast(getattr(pl, kind))
    with pytest.raises(TypeError, match=r"column 'colour' has type"):
        qi.as_sq_matrix(pl.DataFrame([pl.Series("size", [1.0, 2.0]), column]))


def test_a_lazy_frame_is_to_be_collected() -> None:
    with pytest.raises(TypeError, match=r"got polars.LazyFrame. Convert it with `.collect\(\)`"):
        qi.as_sq_matrix(polars_frame(numbers()).lazy())


def test_objects_that_are_numbers_are_converted() -> None:
    frame = pandas_frame(numbers()).astype({"f1": object})
    np.testing.assert_array_equal(qi.as_sq_matrix(frame).rows([3]), numbers()[[3]])


def test_an_integer_that_a_mixed_frame_rounds_is_told() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.warns(PrecisionWarning, match="`A` holds numbers of type int64"):
        qi.as_sq_matrix(pd.DataFrame({"a": [2**53 + 1, 1], "b": [0.5, 0.5]}))


@both
def test_an_empty_frame_is_refused(frame: Any) -> None:
    with pytest.raises(ValueError, match=r"at least one row and one column; got shape \(0, 6\)"):
        qi.as_sq_matrix(frame(numbers()[:0]))


@both
def test_the_svd_keeps_the_names_of_the_features(frame: Any) -> None:
    table = frame(numbers())
    svd = qi.SampledSVD(2, random_state=0).fit(table)
    assert svd.feature_names_in_.tolist() == NAMES
    np.testing.assert_allclose(svd.components_, qi.SampledSVD(2, random_state=0).fit(numbers()).components_)
    kind = "pandas" if frame is pandas_frame else "polars"
    out = qi.SampledSVD(2, random_state=0).set_output(transform=kind).fit_transform(table)
    assert type(out) is type(table)
    assert list(out.columns) == ["sampledsvd0", "sampledsvd1"]
    with pytest.raises(ValueError, match="feature names"):
        svd.transform(table[NAMES[::-1]])


@both
def test_the_ridge_keeps_the_names_of_the_features(frame: Any) -> None:
    X = numbers()
    y = X @ np.arange(6.0)
    ridge = qi.SampledRidge(random_state=0).fit(frame(X), y)
    assert ridge.feature_names_in_.tolist() == NAMES
    np.testing.assert_allclose(ridge.predict(frame(X)), qi.SampledRidge(random_state=0).fit(X, y).predict(X))


@both
def test_the_recommender_takes_a_frame_of_ratings(frame: Any) -> None:
    X = np.abs(numbers())
    model = qi.SampledRecommender(2, random_state=0).fit(frame(X))
    plain = qi.SampledRecommender(2, random_state=0).fit(X)
    for one, other in zip(model.recommend([0, 5], 2), plain.recommend([0, 5], 2), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "model", [qi.SampledSVD(2), qi.SampledRidge(), qi.SampledRecommender(2)], ids=lambda m: type(m).__name__
)
def test_no_estimator_takes_words_for_numbers(model: Any) -> None:
    frame = pandas_frame(numbers()).assign(f3="blue")
    with pytest.raises((ValueError, TypeError), match=r"numeric|convert"):
        model.fit(frame, np.ones(60))
