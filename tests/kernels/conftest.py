from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numba
import pytest

from qinspired.kernels import _jit

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Without the JIT the 64-bit streams are numpy scalars, which warn where compiled integers wrap silently.
    if numba.config.DISABLE_JIT:
        for item in items:
            if item.path.is_relative_to(_HERE):
                item.add_marker(pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning"))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let small work run in parallel, and restore the number of threads; skip where there is only one."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba was started with one thread")
    monkeypatch.setattr(_jit, "_PARALLEL_FROM", 1)
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)
