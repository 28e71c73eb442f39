from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data():
    """Folder of real data: the variable QINSPIRED_DATA, or `shared/data` beside the repository."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("QINSPIRED_DATA", default))
    if not folder.is_dir():
        pytest.skip("the folder of real data is absent; set QINSPIRED_DATA")
    return folder
