from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

# One BLAS thread a process: the tests' matrices are small, and the suite runs in one process a core. This must come
# before numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

# A cached kernel is not recompiled when a kernel that it calls in another file changes: so the cache directory is
# named by a digest of all kernel sources.
_KERNELS = Path(__file__).parent.parent / "qinspired" / "kernels"
_DIGEST = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(_KERNELS.glob("*.py")))).hexdigest()[:16]
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"qinspired-numba-{_DIGEST}"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data beside the repository; the test is skipped where it is absent."""
    path = Path(os.environ.get("QINSPIRED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the folder of real data is absent; name it in QINSPIRED_DATA")
    return path
