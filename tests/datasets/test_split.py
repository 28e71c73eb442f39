from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.datasets import train_test_split_ratings


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_users=st.integers(1, 10),
    n_items=st.integers(1, 12),
    fraction=st.floats(0.01, 0.99),
)
def test_every_rating_is_in_exactly_one_part_and_every_user_keeps_one(seed, n_users, n_items, fraction):
    rng = np.random.default_rng(seed)
    matrix = sp.random_array((n_users, n_items), density=0.5, rng=rng, format="csr")
    matrix.data = np.arange(1.0, matrix.nnz + 1)
    train, test = train_test_split_ratings(matrix, test_fraction=fraction, rng=seed)
    assert train.nnz + test.nnz == matrix.nnz
    np.testing.assert_array_equal((train + test).toarray(), matrix.toarray())
    counts = np.diff(matrix.indptr)
    expected = np.minimum(np.floor(fraction * counts + 0.5), np.maximum(counts - 1, 0))
    np.testing.assert_array_equal(np.diff(test.indptr), expected)


def test_each_rating_of_a_user_is_held_out_equally_often():
    matrix = sp.csr_array(np.ones((20_000, 5)))
    _, test = train_test_split_ratings(matrix, test_fraction=0.4, rng=0)
    # six standard errors of a proportion 0.4 over 20,000 users
    np.testing.assert_allclose(test.sum(axis=0) / 20_000, 0.4, atol=6 * np.sqrt(0.24 / 20_000))


def test_stored_zeros_are_ratings():
    matrix = sp.csr_array((np.zeros(4), np.arange(4), np.array([0, 4])), shape=(1, 4))
    train, test = train_test_split_ratings(matrix, test_fraction=0.5, rng=0)
    assert (train.nnz, test.nnz) == (2, 2)
    assert matrix.nnz == 4


def test_same_seed_gives_the_same_split_and_another_does_not():
    matrix = sp.csr_array(np.ones((10, 10)))
    first, same, other = (train_test_split_ratings(matrix, rng=seed)[1].toarray() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="`matrix` must be a sparse matrix"):
        train_test_split_ratings(np.eye(3))
    with pytest.raises(ValueError, match=r"`test_fraction` must be in \(0, 1\); got 1"):
        train_test_split_ratings(sp.csr_array(np.eye(3)), test_fraction=1.0)
    with pytest.raises(ValueError, match=r"matrix\[0, 1\] = nan"):
        train_test_split_ratings(sp.csr_array([[1.0, np.nan]]))
