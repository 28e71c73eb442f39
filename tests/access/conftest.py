from __future__ import annotations

import os

import numpy as np
import pytest
from zoo import QUARTERS


@pytest.fixture
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power, so only the order of syncs matters, and one test looks at it."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def long_matrix() -> np.ndarray:
    # 5,000 x 12 float64: 480 kB of entries, 40 kB of norms.
    return np.tile(QUARTERS + 0.125, (556, 1))[:5000]
