from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numba
import pytest

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
def threads() -> Iterator[None]:
    """Restore the number of numba's threads; skip where there is only one."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba was started with one thread")
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)
