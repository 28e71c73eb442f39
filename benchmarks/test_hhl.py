"""The HHL simulation at the size of data: seconds of the simulator, not of a quantum computer, and its memory.

A low-rank system given by its SVD, a dense Hermitian one, whose eigendecomposition is timed beside, in a process of its
own for the high-water mark, and a system of 16 unknowns, where what counts is the cost of a call.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from timing import side_by_side

import qinspired as qi

_DENSE = """
import json, resource, sys, time
import numpy as np
import scipy.linalg
import qinspired as qi

n, qubits = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
A = (Q * np.linspace(0.05, 1.0, n)) @ Q.T
A = (A + A.T) / 2
b = rng.standard_normal(n)
del Q
started = time.perf_counter()
found = qi.baselines.hhl(A, b, n_clock_qubits=qubits)
whole = time.perf_counter() - started
started = time.perf_counter()
scipy.linalg.eigh(A)
eigh = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps(dict(seconds=whole, eigh=eigh, peak=peak, l2_error=found.l2_error, fidelity=found.fidelity)))
"""


@pytest.mark.parametrize("qubits", [16, 20])
def test_low_rank_system_in_the_singular_basis(benchmark, report, tiny, qubits):
    (m, n), rank = ((1000, 100) if tiny else (100_000, 10_000)), 20
    qubits = qubits - 8 if tiny else qubits
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((size, rank)))[0] for size in (m, n))
    s, b = np.linspace(10.0, 1.0, rank), rng.standard_normal(m)

    def run():
        return qi.baselines.hhl((U, s, V.T), b, n_clock_qubits=qubits)

    timing, found = side_by_side({"ours": run}, 1 if tiny else 3)["ours"]
    benchmark.extra_info.update(seconds=timing.median, qubits=found.n_qubits, l2_error=found.l2_error)
    benchmark.pedantic(run, rounds=1)
    aim = "" if tiny or qubits != 16 else f" (target 1 s{'' if timing.median < 1.0 else ', MISSED'})"
    report(
        f"hhl {m} x {n}, rank {rank}, {qubits} clock qubits ({found.n_qubits} in all): simulated in "
        f"{timing.median:.3f} s{aim}, l2 error {found.l2_error:.1e}"
    )
    assert found.l2_error < (0.1 if tiny else 1e-4)


def test_dense_hermitian_system(benchmark, report, tiny):
    pytest.importorskip("resource")
    n, qubits = (256, 8) if tiny else (4096, 12)
    command = [sys.executable, "-c", _DENSE, json.dumps([n, qubits])]
    done = benchmark.pedantic(lambda: subprocess.run(command, capture_output=True, text=True, check=False), rounds=1)
    if done.returncode:
        pytest.fail(done.stderr[-2000:])
    measured = json.loads(done.stdout)
    benchmark.extra_info.update(measured)
    seconds, peak = measured["seconds"], measured["peak"] / 1e9
    aim = "" if tiny else f" (target 60 s, 4 GB{'' if seconds < 60.0 and peak < 4.0 else ', MISSED'})"
    report(
        f"hhl dense {n} x {n}, {qubits} clock qubits: simulated in {seconds:.1f} s, of which eigh "
        f"{measured['eigh']:.1f}, peak of the process {peak:.2f} GB{aim}, l2 error {measured['l2_error']:.1e}"
    )
    assert measured["fidelity"] > 0.99


@pytest.mark.parametrize("qubits", [4, 8])
def test_sixteen_unknowns(benchmark, report, tiny, qubits):
    n = 16
    A = np.eye(n) - (np.eye(n, k=1) + np.eye(n, k=-1)) / 3.0
    b = np.eye(n)[0]

    def run():
        return qi.baselines.hhl(A, b, n_clock_qubits=qubits)

    timing, found = side_by_side({"ours": run}, 3 if tiny else 25)["ours"]
    benchmark.extra_info.update(seconds=timing.median)
    benchmark.pedantic(run, rounds=1 if tiny else 20)
    report(f"hhl {n} x {n}, {qubits} clock qubits ({found.n_qubits} in all): simulated in {timing.median * 1e3:.2f} ms")
    assert found.n_qubits == 4 + qubits + 1
