"""A variational quantum classifier, simulated in numpy or by PennyLane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qinspired._rng import as_generator
from qinspired._validation import check_count, check_positive
from qinspired.baselines.quantum._kernels import check_angles
from qinspired.baselines.quantum._reuploading import ReuploadingCircuit

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TypeAlias

    import numpy.typing as npt

    from qinspired._typing import Float64Array, RNGLike

    # From angles, scale, bias, points and targets to the loss and its gradient.
    Slopes: TypeAlias = Callable[[Float64Array, float, float, Float64Array, Float64Array], tuple[float, Float64Array]]

__all__ = ["VariationalClassifier"]

_DEVICES = ("numpy", "default.qubit", "lightning.qubit")
_MAX_QUBITS = 16
# Decay of the two moments of Adam, as in PennyLane.
_DECAY = 0.9, 0.99


class VariationalClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""Two classes by the sign of :math:`a \frac1n \sum_i \langle Z_i \rangle + b` of a trained re-uploading circuit.

    Each of `n_layers` layers rotates qubit i about X by ``bandwidth * x_i``, then by three trained Euler angles (the
    ``Rot`` of PennyLane), then applies a ring of CNOTs, i to i + 1. Angles, a and b minimise the mean squared
    distance to targets of +-1 by Adam on mini-batches.

    Parameters
    ----------
    n_layers : int, default=3
        Layers, each with an upload of the data.
    n_steps : int, default=100
        Steps of Adam.
    step_size : float, default=0.05
        Length of the steps, > 0 and at most 2 pi, a full turn of an angle.
    batch_size : int, default=32
        Points a step, drawn without replacement; all if there are fewer.
    bandwidth : float, default=1.0
        Factor > 0 of the features, which are angles in radians.
    entangling : bool, default=True
        False leaves out the CNOTs: the ablation that tells what entanglement is worth. The model is then a sum of
        functions of one feature each.
    device : {"numpy", "default.qubit", "lightning.qubit"}, default="numpy"
        Simulator of the circuit: the one built in, or those of PennyLane (extra ``quantum``), with gradients by
        backpropagation (autograd) on "default.qubit" and by the adjoint method on the others. All give the same
        model up to rounding; they differ in their seconds.
    random_state : int, Generator, SeedSequence, RandomState or None, default=None
        Source of the first angles and of the mini-batches.

    Attributes
    ----------
    classes_ : ndarray, shape (2,)
        The labels, sorted.
    angles_ : ndarray, shape (n_layers, n_features, 3)
        Trained Euler angles.
    scale_, bias_ : float
        The a and b.
    loss_curve_ : ndarray, shape (n_steps,)
        Loss on the mini-batch of each step.

    Raises
    ------
    ImportError
        In `fit` and in predictions, if a device of PennyLane is asked for and it is not installed.
    ValueError, TypeError
        In `fit`, if a parameter is out of range, the data are not finite, have more than 16 features or not exactly
        two classes.

    See Also
    --------
    FourierSurrogateClassifier : The same class of functions without a circuit.

    Notes
    -----
    Expectation values are exact, as on a device without noise and with infinitely many shots. The seconds are those
    of a simulator. The score is a trigonometric polynomial of degree n_layers in each ``bandwidth * x_i``.
    Cost: about n_steps batch_size n_layers n_features 2^n_features operations, a few times over for the gradient.

    References
    ----------
    .. [1] A. Perez-Salinas, A. Cervera-Lierta, E. Gil-Fuster and J. I. Latorre, "Data re-uploading for a universal
       quantum classifier", Quantum 4, 226, 2020, arXiv:1907.02085.

    Differs from [1]_: one qubit for each feature, and a squared loss on the mean of all Z.

    Examples
    --------
    >>> import numpy as np
    >>> from qinspired.baselines import VariationalClassifier
    >>> X = np.random.default_rng(0).uniform(-1.5, 1.5, size=(80, 2))
    >>> model = VariationalClassifier(2, step_size=0.1, random_state=0).fit(X, X[:, 0] > 0)
    >>> model.score(X, X[:, 0] > 0) > 0.9
    True
    """

    def __init__(
        self,
        n_layers: int = 3,
        *,
        n_steps: int = 100,
        step_size: float = 0.05,
        batch_size: int = 32,
        bandwidth: float = 1.0,
        entangling: bool = True,
        device: str = "numpy",
        random_state: RNGLike = None,
    ) -> None:
        self.n_layers = n_layers
        self.n_steps = n_steps
        self.step_size = step_size
        self.batch_size = batch_size
        self.bandwidth = bandwidth
        self.entangling = entangling
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train the circuit.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points, angles in radians; scale them first.
        y : array_like, shape (n_samples,)
            Labels of two classes.

        Returns
        -------
        VariationalClassifier
            This object.
        """
        n_layers = check_count(self.n_layers, "n_layers", low=1)
        n_steps = check_count(self.n_steps, "n_steps", low=1)
        batch_size = check_count(self.batch_size, "batch_size", low=1)
        step_size = check_positive(self.step_size, "step_size")
        if step_size > 2.0 * np.pi:
            raise ValueError(f"`step_size` must be at most 2 pi, a full turn; got {step_size:.3g}. Lower it.")
        self._bandwidth = check_positive(self.bandwidth, "bandwidth")
        if not isinstance(self.entangling, bool | np.bool_):
            raise TypeError(f"`entangling` must be True or False; got {self.entangling!r}.")
        if self.device not in _DEVICES:
            raise ValueError(f"`device` must be one of {', '.join(_DEVICES)}; got {self.device!r}.")
        # Prediction keeps to what was trained, whatever `set_params` says afterwards.
        self._entangling, self._device = bool(self.entangling), self.device
        rng = as_generator(self.random_state, name="random_state")
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_: Any
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            count = "1 class" if len(self.classes_) == 1 else f"{len(self.classes_)} classes"
            raise ValueError(
                f"Only binary classification is supported. `y` must have exactly two classes; got {count}. For more, "
                "wrap the model in `sklearn.multiclass.OneVsRestClassifier`."
            )
        n_qubits = X.shape[1]
        if n_qubits > _MAX_QUBITS:
            raise ValueError(
                f"`X` must have at most {_MAX_QUBITS} features, one qubit each; got {n_qubits}, whose state takes "
                f"{16 * 2.0**n_qubits / 1e9:.3g} GB for each point and gate. Reduce the features, for example by PCA."
            )
        slopes = self._numpy_slopes(n_qubits) if self._device == "numpy" else self._pennylane_slopes(n_qubits)
        angles = check_angles(X, self._bandwidth, "X")
        targets = np.asarray(2.0 * codes - 1.0, dtype=np.float64)
        shape = (n_layers, n_qubits, 3)
        # Angles, then scale and bias.
        weights = np.append(rng.uniform(-np.pi, np.pi, size=shape).ravel(), (1.0, 0.0))
        first, second = np.zeros(len(weights)), np.zeros(len(weights))
        losses = np.empty(n_steps)
        for step in range(n_steps):
            batch = rng.choice(len(X), size=min(batch_size, len(X)), replace=False)
            losses[step], gradient = slopes(
                weights[:-2].reshape(shape), weights[-2], weights[-1], angles[batch], targets[batch]
            )
            first += (1.0 - _DECAY[0]) * (gradient - first)
            second += (1.0 - _DECAY[1]) * (gradient**2 - second)
            corrected = step_size * np.sqrt(1.0 - _DECAY[1] ** (step + 1)) / (1.0 - _DECAY[0] ** (step + 1))
            weights -= corrected * first / (np.sqrt(second) + 1e-8)
        self.angles_: Float64Array = weights[:-2].reshape(shape)
        self.scale_, self.bias_ = float(weights[-2]), float(weights[-1])
        self.loss_curve_: Float64Array = losses
        return self

    def decision_function(self, X: Any) -> Float64Array:
        """Return the scores of the second class.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        check_is_fitted(self, "angles_")
        points = check_angles(validate_data(self, X, dtype=np.float64, reset=False), self._bandwidth, "X")
        if self._device == "numpy":
            circuit = ReuploadingCircuit(points.shape[1], entangling=self._entangling)
            values = circuit.values(points, self.angles_)
        else:
            each = self._pennylane_circuit(_pennylane(), points.shape[1])(points, self.angles_)
            values = np.mean(np.array(each, dtype=np.float64), axis=0)
        return self.scale_ * values + self.bias_

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the labels.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        scores = self.decision_function(X)
        labels: npt.NDArray[Any] = self.classes_[(scores > 0).astype(np.int64)]
        return labels

    def _numpy_slopes(self, n_qubits: int) -> Slopes:
        circuit = ReuploadingCircuit(n_qubits, entangling=self._entangling)

        def slopes(
            angles: Float64Array, scale: float, bias: float, points: Float64Array, goals: Float64Array
        ) -> tuple[float, Float64Array]:
            def weigh(values: Float64Array) -> Float64Array:
                return 2.0 * scale * (scale * values + bias - goals) / len(goals)

            values, gradient = circuit.value_and_gradient(points, angles, weigh)
            gaps = scale * values + bias - goals
            return float(np.mean(gaps**2)), np.append(gradient, (2.0 * np.mean(gaps * values), 2.0 * np.mean(gaps)))

        return slopes

    def _pennylane_slopes(self, n_qubits: int) -> Slopes:
        qml = _pennylane()
        circuit, pnp = self._pennylane_circuit(qml, n_qubits), qml.numpy

        def slopes(
            angles: Float64Array, scale: float, bias: float, points: Float64Array, goals: Float64Array
        ) -> tuple[float, Float64Array]:
            def loss(angles: Any, scale: Any, bias: Any) -> Any:
                return pnp.mean((scale * sum(circuit(points, angles)) / n_qubits + bias - goals) ** 2)

            gradient = qml.grad(loss)
            parts = gradient(*(pnp.array(part, requires_grad=True) for part in (angles, scale, bias)))
            return float(gradient.forward), np.concatenate([np.ravel(np.asarray(part)) for part in parts])

        return slopes

    def _pennylane_circuit(self, qml: Any, n_qubits: int) -> Any:
        device = qml.device(self._device, wires=n_qubits)

        @qml.qnode(device, diff_method="backprop" if self._device == "default.qubit" else "adjoint")  # type: ignore[untyped-decorator]
        def circuit(points: Any, angles: Any) -> Any:
            for layer in range(angles.shape[0]):
                for i in range(n_qubits):
                    qml.RX(points[:, i], wires=i)
                    qml.Rot(angles[layer, i, 0], angles[layer, i, 1], angles[layer, i, 2], wires=i)
                if self._entangling and n_qubits > 1:
                    for i in range(n_qubits):
                        qml.CNOT(wires=[i, (i + 1) % n_qubits])
            return [qml.expval(qml.PauliZ(i)) for i in range(n_qubits)]

        return circuit

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _pennylane() -> Any:
    try:
        import pennylane as qml
    except ImportError as error:
        raise ImportError(
            '`device` needs PennyLane, which is not installed; take "numpy", or run '
            '`python -m pip install "qinspired[quantum]"`.'
        ) from error
    return qml
