from __future__ import annotations

import numpy as np
import oracles
import pytest
import scipy.sparse as sp

from qinspired.kernels import csr_sketch_rows, dense_sketch_rows

KEY = np.uint64(2**63 + 5)


def embedding(size, n_rows, groups, key):
    """Return S from the definition: one entry +-1 in each group of rows of each column."""
    S = np.zeros((size, n_rows))
    for i in range(n_rows):
        for group, word in zip(range(groups), oracles.words(int(key), i), strict=False):
            low, high = size * group // groups, size * (group + 1) // groups
            S[low + (word * (high - low) >> 64), i] += 1.0 if word & 1 else -1.0
    return S


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "groups"), [(7, 3), (40, 8), (1, 1)])
def test_a_sketch_is_the_product_with_the_embedding_of_its_definition(dtype, size, groups, rng):
    X = rng.standard_normal((60, 5)).astype(dtype)
    out = np.ones((size, 5))
    dense_sketch_rows(X, 0, KEY, groups, 0.5, out)
    np.testing.assert_allclose(out, 1.0 + 0.5 * embedding(size, 60, groups, KEY) @ X, atol=1e-13)


def test_blocks_of_rows_and_sparse_rows_add_up_to_the_same_sketch(rng):
    X = rng.standard_normal((90, 6))
    X[rng.random(X.shape) < 0.5] = 0.0
    whole, parts, sparse = np.zeros((20, 6)), np.zeros((20, 6)), np.zeros((20, 6))
    dense_sketch_rows(X, 0, KEY, 4, 1.0, whole)
    for start in range(0, 90, 17):
        dense_sketch_rows(X[start : start + 17], start, KEY, 4, 1.0, parts)
        rows = sp.csr_array(X[start : start + 17])
        csr_sketch_rows(rows.data, rows.indices, rows.indptr, start, KEY, 4, 1.0, sparse)
    np.testing.assert_allclose(parts, whole, atol=1e-13)
    np.testing.assert_allclose(sparse, whole, atol=1e-13)


def test_a_sketch_on_threads_is_that_on_one(rng, monkeypatch):
    X = rng.standard_normal((200, 7))
    one, two = np.zeros((30, 7)), np.zeros((30, 7))
    dense_sketch_rows(X, 0, KEY, 4, 1.0, one)
    monkeypatch.setattr("qinspired.kernels._sketch.worth_threads", lambda _: True)
    dense_sketch_rows(X, 0, KEY, 4, 1.0, two)
    np.testing.assert_array_equal(one, two)


def law_of_places(groups, keys):
    """Return how often each row of the sketch was hit, and the sum of signs, over columns of many embeddings."""
    hits, signs = np.zeros(12), 0.0
    for key in range(keys):
        out = np.zeros((12, 50))
        dense_sketch_rows(np.eye(50), 0, np.uint64(key), groups, 1.0, out)
        hits += np.abs(out).sum(axis=1)
        signs += out.sum()
    return hits, signs


def test_places_are_uniform_and_signs_are_fair():
    hits, signs = law_of_places(3, 400)
    places = np.repeat(np.arange(12), hits.astype(int))
    assert oracles.chi_square_p(places, np.full(12, 1 / 12)) > oracles.P_LOWEST
    skewed = np.full(12, 1 / 12) + 0.01 * np.array([1, -1] * 6)
    assert oracles.chi_square_p(places, skewed) < oracles.P_LOWEST
    assert abs(signs) < 4.9 * np.sqrt(hits.sum())
