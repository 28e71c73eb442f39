from __future__ import annotations

import numpy as np
import oracles
import pytest

from qinspired.kernels import sampled_row_steps


@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("first_summed", [-3, 0, 7, 30])
def test_steps_are_those_of_the_formula(decay: float, first_summed: int) -> None:
    rng = np.random.default_rng(5)
    entries, y = rng.standard_normal((9, 6)), rng.standard_normal(6)
    places, where = rng.integers(6, size=20), rng.integers(9, size=(20, 4))
    weights, targets = 0.2 * rng.standard_normal((20, 4)), rng.standard_normal(20)
    background = rng.standard_normal(9)
    steps = entries, places, where, weights, targets, background, 0.3, decay, 0.1
    wanted = oracles.sampled_row_steps(*steps, 0.5, y.copy())
    total = np.full(6, 100.0)
    share, summed = sampled_row_steps(*steps, 0.5, y, total, first_summed)
    np.testing.assert_allclose(y, wanted[-1][0], rtol=0, atol=1e-12)
    assert share == pytest.approx(wanted[-1][1], abs=1e-14)
    kept = wanted[max(first_summed, 0) :]
    np.testing.assert_allclose(total - 100.0, np.sum([part for part, _ in kept], axis=0), rtol=0, atol=1e-11)
    assert summed == pytest.approx(sum(part for _, part in kept), abs=1e-12)
