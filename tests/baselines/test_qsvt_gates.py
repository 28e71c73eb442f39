"""The polynomial filter beside a circuit of rotation angles and block encodings that PennyLane compiles and runs."""

from __future__ import annotations

import numpy as np
import pytest

from qinspired.baselines import qsvt
from qinspired.baselines.quantum import _polynomials

qml = pytest.importorskip("pennylane", reason="pennylane is not installed")

# The circuit's angles are found by an iteration of PennyLane's, whose own error is about 1e-9; it needs |P| < 1.
_MARGIN = 0.9


def compile_and_apply(A, b, alpha, P, degree, largest):
    """Return the top left block of PennyLane's circuit for margin P/largest, applied to b/|b|."""
    series = np.polynomial.chebyshev.chebinterpolate(lambda x: P(x) / largest * _MARGIN, degree)
    poly = np.polynomial.chebyshev.cheb2poly(series)
    poly[::2] = 0.0  # rounding, as P is odd
    n = len(b)
    wires = list(range(int(np.log2(n)) + 1))
    circuit = qml.matrix(qml.qsvt, wire_order=wires)(
        A / alpha, poly, encoding_wires=wires, block_encoding="embedding", angle_solver="iterative"
    )
    return circuit[:n, :n].real @ (b / np.linalg.norm(b))


@pytest.mark.parametrize(
    ("values", "tolerance"),
    [([1.0, 0.6], 0.3), ([1.0, -0.5, 0.7, 0.6], 0.2), ([-0.9, 0.4, 0.5, 0.8], 0.1), (np.linspace(0.4, 1.0, 8), 0.2)],
)
def test_state_and_probability_are_those_of_a_compiled_circuit(values, tolerance):
    rng = np.random.default_rng(0)
    n = len(values)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = (Q * values) @ Q.T
    A, b = (A + A.T) / 2, rng.standard_normal(n)
    # PennyLane rescales a matrix whose A A^T has a row of absolute sum above 1.
    alpha = 1.01 * float(np.sqrt(np.abs(A @ A.T).sum(axis=1).max()))
    run = qsvt(A, b, alpha=alpha, tolerance=tolerance)
    P = _polynomials.optimal(run.parameters["kappa_polynomial"], (run.n_queries + 1) // 2)
    out = compile_and_apply(A, b, alpha, P.evaluate, run.n_queries, P.largest)
    length = np.linalg.norm(out)
    np.testing.assert_allclose(out / length, run.state, atol=1e-8)
    assert (length / _MARGIN) ** 2 == pytest.approx(run.success_probability, abs=1e-8)
