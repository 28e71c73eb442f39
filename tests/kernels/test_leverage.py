from __future__ import annotations

import numba
import numpy as np
import oracles
import pytest

from qinspired.kernels import build_alias_table, sample_projected

KEY = np.uint64(77)


def basis(n: int, k: int, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    V = np.ascontiguousarray(np.linalg.qr(np.random.default_rng(5).standard_normal((n, k)))[0].astype(dtype))
    leverage = (V.astype(np.float64) ** 2).sum(axis=1)
    return V, leverage, build_alias_table(leverage)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 4])
def test_draws_and_trials_are_those_of_the_naive_twin(k: int, dtype: type) -> None:
    V, leverage, table = basis(30, k, dtype)
    rng = np.random.default_rng(6)
    X, owners = rng.standard_normal((5, k)), rng.integers(0, 5, size=200)
    items, trials = sample_projected(V, table, leverage, X, owners, KEY)
    wanted_items, wanted_trials = oracles.sample_projected(V, table, leverage, X, owners, int(KEY))
    np.testing.assert_array_equal(items, wanted_items)
    np.testing.assert_array_equal(trials, wanted_trials)


def test_a_zero_vector_gives_minus_one_and_the_cap_of_trials() -> None:
    V, leverage, table = basis(10, 2)
    items, trials = sample_projected(V, table, leverage, np.zeros((1, 2)), np.zeros(2, dtype=np.int64), KEY)
    assert items.tolist() == [-1, -1]
    assert (trials >= 1000).all()


def test_no_owners_give_no_draws() -> None:
    V, leverage, table = basis(10, 2)
    items, trials = sample_projected(V, table, leverage, np.ones((1, 2)), np.zeros(0, dtype=np.int64), KEY)
    assert len(items) == len(trials) == 0


def test_an_item_orthogonal_to_the_vector_is_never_drawn() -> None:
    # V x is zero on the second half of the items.
    V = np.zeros((10, 2))
    V[:5, 0] = V[5:, 1] = 5**-0.5
    leverage = (V**2).sum(axis=1)
    items, _ = sample_projected(
        V, build_alias_table(leverage), leverage, np.array([[1.0, 0.0]]), np.zeros(500, dtype=np.int64), KEY
    )
    assert items.max() < 5


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="one thread only without the JIT")
def test_draws_are_the_same_on_one_thread_and_on_two(threads: None) -> None:
    V, leverage, table = basis(50, 3)
    X, owners = np.random.default_rng(7).standard_normal((4, 3)), np.arange(20_000) % 4
    results = []
    for n_threads in (1, 2):
        numba.set_num_threads(n_threads)
        results.append(sample_projected(V, table, leverage, X, owners, KEY))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
