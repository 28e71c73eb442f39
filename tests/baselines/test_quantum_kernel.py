from __future__ import annotations

import itertools

import numpy as np
import pytest

from qinspired.baselines import quantum_kernel
from qinspired.metrics import kernel_concentration

EMBEDDINGS = ("angle", "iqp", "projected")


def points(n_points=7, n_features=3, seed=0):
    return np.random.default_rng(seed).uniform(-2, 2, size=(n_points, n_features))


def kron(*matrices):
    result = np.ones((1, 1))
    for matrix in matrices:
        result = np.kron(result, matrix)
    return result


def naive_state(x, embedding, repeats, *, entangling=True):
    """Return the state by dense matrices of the whole register."""
    n = len(x)
    hadamard = kron(*[np.array([[1, 1], [1, -1]]) / np.sqrt(2)] * n)
    state = np.eye(2**n)[0].astype(complex)
    for _ in range(repeats):
        if embedding == "angle":
            c, s = np.cos(x / 2), np.sin(x / 2)
            gate = kron(*[np.array([[c[i], -1j * s[i]], [-1j * s[i], c[i]]]) for i in range(n)])
            state = gate @ state
            continue
        phases = []
        for z in itertools.product((1, -1), repeat=n):
            angle = sum(x[i] * z[i] for i in range(n))
            if entangling:
                angle += sum(x[i] * x[j] * z[i] * z[j] for i in range(n) for j in range(i))
            phases.append(np.exp(-0.5j * angle))
        state = np.array(phases) * (hadamard @ state)
    return state


def naive_reduced(state, qubit):
    n = len(state).bit_length() - 1
    tensor = np.moveaxis(state.reshape((2,) * n), qubit, 0).reshape(2, -1)
    return tensor @ tensor.conj().T


def naive_kernel(X, Y, embedding, repeats, *, entangling=True, gamma=1.0):
    K = np.empty((len(X), len(Y)))
    for i, j in itertools.product(range(len(X)), range(len(Y))):
        kind = "angle" if embedding == "angle" else "iqp"
        a, b = (naive_state(v, kind, repeats, entangling=entangling) for v in (X[i], Y[j]))
        if embedding == "projected":
            gaps = [naive_reduced(a, q) - naive_reduced(b, q) for q in range(X.shape[1])]
            K[i, j] = np.exp(-gamma * sum(np.linalg.norm(gap) ** 2 for gap in gaps))
        else:
            K[i, j] = abs(np.vdot(b, a)) ** 2
    return K


@pytest.mark.parametrize("entangling", [True, False])
@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_kernel_is_that_of_dense_gates(embedding, repeats, entangling):
    X, Y = points(), points(4, seed=1)
    options = {"embedding": embedding, "repeats": repeats, "entangling": entangling, "gamma": 0.7}
    expected = naive_kernel(0.6 * X, 0.6 * Y, embedding, repeats, entangling=entangling, gamma=0.7)
    np.testing.assert_allclose(quantum_kernel(X, Y, bandwidth=0.6, **options), expected, atol=1e-13)
    square = quantum_kernel(X, bandwidth=0.6, **options)
    expected = naive_kernel(0.6 * X, 0.6 * X, embedding, repeats, entangling=entangling, gamma=0.7)
    np.testing.assert_allclose(square, expected, atol=1e-13)
    assert (square == square.T).all()
    assert (np.diag(square) == 1.0).all()


@pytest.mark.parametrize("n_qubits", [1, 2, 12])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_kernel_is_positive_semidefinite_at_any_number_of_qubits(embedding, n_qubits):
    K = quantum_kernel(points(20, n_qubits), embedding=embedding, repeats=2)
    assert np.linalg.eigvalsh(K)[0] > -1e-12
    assert K.min() >= 0.0
    assert K.max() <= 1.0


def test_iqp_kernel_without_entanglement_is_that_of_angles():
    X = points(9, 5)
    angle = quantum_kernel(X, embedding="angle")
    np.testing.assert_allclose(quantum_kernel(X, embedding="iqp", entangling=False), angle, atol=1e-13)
    assert np.abs(quantum_kernel(X, embedding="iqp") - angle).max() > 0.05


def test_kernel_agrees_with_pennylane():
    qml = pytest.importorskip("pennylane")
    X = points(5, 4)
    device = qml.device("default.qubit", wires=4)
    for embedding, repeats in itertools.product(("angle", "iqp"), (1, 2)):

        @qml.qnode(device)
        def state(x, embedding=embedding, repeats=repeats):
            if embedding == "iqp":
                qml.IQPEmbedding(x, wires=range(4), n_repeats=repeats)
            else:
                for _ in range(repeats):
                    qml.AngleEmbedding(x, wires=range(4))
            return qml.state()

        states = np.array([state(x) for x in X])
        expected = np.abs(states @ states.conj().T) ** 2
        np.testing.assert_allclose(quantum_kernel(X, embedding=embedding, repeats=repeats), expected, atol=1e-12)


def test_projected_kernel_agrees_with_the_reduced_states_of_pennylane():
    qml = pytest.importorskip("pennylane")
    X = points(4, 3)
    device = qml.device("default.qubit", wires=3)

    @qml.qnode(device)
    def reduced(x):
        qml.IQPEmbedding(x, wires=range(3), n_repeats=2)
        return [qml.density_matrix(i) for i in range(3)]

    states = np.array([reduced(x) for x in X])
    gaps = states[:, None] - states[None]
    expected = np.exp(-0.5 * (np.abs(gaps) ** 2).sum(axis=(2, 3, 4)))
    found = quantum_kernel(X, embedding="projected", repeats=2, gamma=0.5)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_variance_of_the_kernel_falls_with_the_number_of_qubits():
    found = [kernel_concentration(quantum_kernel(points(60, n), embedding="iqp", repeats=2)) for n in (2, 4, 6, 8)]
    variances = [one.variance for one in found]
    assert all(b < a / 2 for a, b in itertools.pairwise(variances))
    assert found[-1].shots > 10 * found[0].shots


def test_angle_kernel_has_no_limit_of_qubits():
    assert quantum_kernel(points(3, 500), embedding="angle", bandwidth=0.01).shape == (3, 3)


def test_too_many_qubits_are_refused_with_the_memory():
    with pytest.raises(ValueError, match=r"at most 12 features.*got 30, whose 3 states take 51\.5 GB"):
        quantum_kernel(points(3, 30))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"embedding": "zz"}, "`embedding` must be one of angle, iqp, projected"),
        ({"repeats": 3}, "`repeats` must be 1 or 2"),
        ({"repeats": 0}, "`repeats`"),
        ({"bandwidth": 0.0}, "`bandwidth`"),
        ({"bandwidth": np.nan}, "`bandwidth`"),
        ({"gamma": -1.0}, "`gamma`"),
        ({"Y": np.ones((2, 4))}, "`Y` must have the 3 features of `X`"),
        ({"Y": np.full((2, 3), np.nan)}, "`Y` must be finite"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        quantum_kernel(points(), **options)


@pytest.mark.parametrize("X", [[[np.inf, 0.0]], [1.0, 2.0], np.empty((0, 2)), [["a"]], [[1j]]])
def test_points_that_are_no_matrix_are_refused(X):
    with pytest.raises(ValueError, match="`X`"):
        quantum_kernel(X)


def test_types_of_options_are_checked():
    with pytest.raises(TypeError, match="`entangling`"):
        quantum_kernel(points(), entangling=1)
    with pytest.raises(TypeError, match="`repeats`"):
        quantum_kernel(points(), repeats=1.0)


@pytest.mark.parametrize("embedding", ["angle", "iqp", "projected"])
def test_angles_of_no_digits_are_refused(embedding):
    with pytest.raises(ValueError, match="`bandwidth` times the entries of `X` must be at most"):
        quantum_kernel([[1e200, 1e200], [1.0, 2.0]], embedding=embedding)
    with pytest.raises(ValueError, match="`bandwidth`"):
        quantum_kernel([[1.0, 1.0]], [[1e3, 0.0]], embedding=embedding, bandwidth=1e4)
