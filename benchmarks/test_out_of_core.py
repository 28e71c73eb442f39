"""A matrix in a file larger than memory: index and `low_rank` in a process whose resident memory is measured.

The file has 30 GB: rank 10 plus noise, float32, in C order. Peak memory counts all pages mapped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

N_COLS, RANK = 10_000, 10

_SOLVE = """
import json, re, resource, sys, time
from pathlib import Path
import numpy as np
import qinspired as qi

def peak():
    status = Path("/proc/self/status")
    if status.exists():  # of Linux, where ru_maxrss begins with what the process that started this one held
        return 1024 * int(re.search("VmHWM:\\s*(\\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

path, m, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
warm = qi.problems.low_rank_matrix((3000, 200), 3, noise=0.1, dtype=np.float32, rng=0)
qi.low_rank(warm.A, 3, tolerance=0.05, method="krylov", rng=0)
found = {"start": peak()}

def timed(name, run):
    started = time.perf_counter()
    result = run()
    found[name + " seconds"], found[name] = time.perf_counter() - started, peak()
    return result

def read():
    with open(path, "rb") as file:
        while len(np.fromfile(file, dtype=np.float32, count=16_000_000)):
            pass

timed("read", read)
X = np.memmap(path, dtype=np.float32, mode="r", shape=(m, n))
A = timed("index", lambda: qi.as_sq_matrix(X))
answer = timed("low_rank", lambda: qi.low_rank(A, 10, tolerance=0.02, rng=0))
timed("second read", read)
found.update(method=answer.method, certified=answer.excess.high, error=answer.error.value, rows=answer.stats.rows_read)
print(json.dumps(found))
"""


def write_matrix(path, n_rows):
    """Write low rank plus noise fast: one random block, times a number for each block."""
    rng = np.random.default_rng(0)
    rows = min(2000, n_rows)
    left = rng.standard_normal((rows, RANK), dtype=np.float32) * np.linspace(3.0, 1.0, RANK, dtype=np.float32)
    block = left @ rng.standard_normal((RANK, N_COLS), dtype=np.float32)
    block += 2.0 * rng.standard_normal((rows, N_COLS), dtype=np.float32)
    scaled = np.empty_like(block)
    with path.open("wb") as file:
        for start in range(0, n_rows, rows):
            np.multiply(block, np.float32(rng.uniform(0.5, 1.5)), out=scaled)
            # Another cyclic shift of the rows' order, so that no two blocks are alike line by line.
            np.roll(scaled, start % 97, axis=0)[: n_rows - start].tofile(file)
        file.flush()
        os.fsync(file.fileno())


def test_a_matrix_larger_than_memory(benchmark, report, tiny):
    n_bytes = int(float(os.environ.get("QINSPIRED_BENCH_GB", "0.03" if tiny else "30")) * 1e9)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < n_bytes + 5e9:
        pytest.skip(
            f"needs {(n_bytes + 5e9) / 1e9:.0f} GB of disk in {tempfile.gettempdir()}; {free / 1e9:.0f} are free"
        )
    n_rows = n_bytes // (4 * N_COLS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "A.bin"
        write_matrix(path, n_rows)
        command = [sys.executable, "-c", _SOLVE, str(path), str(n_rows), str(N_COLS)]
        done = benchmark.pedantic(
            lambda: subprocess.run(command, check=True, capture_output=True, text=True), rounds=1, warmup_rounds=0
        )
    found = json.loads(done.stdout)
    benchmark.extra_info.update(found)
    benchmark.group = "out of core"
    read, index = found["read seconds"], found["index seconds"]
    report(
        f"out of core, {n_rows * N_COLS * 4 / 1e9:.2f} GB: plain read {read:.1f} s, again at the end "
        f"{found['second read seconds']:.1f} s; index {index:.1f} s, {read / index:.2f} times the rate of the read"
    )
    report(
        f"    low_rank {found['low_rank seconds']:.1f} s: {found['method']}, certified {found['certified']:.4f}, "
        f"{found['rows']} rows read"
    )
    peaks = ", ".join(f"{name} {found[name] / 1e9:.2f}" for name in ("start", "read", "index", "low_rank"))
    report(f"    peak resident memory in GB: {peaks}")
    assert found["index"] < 1e9
    assert found["low_rank"] < 2e9
    assert found["certified"] <= 0.02
