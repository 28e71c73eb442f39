"""Data, models and tables of the comparison of quantum and classical classifiers."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

import qinspired as qi

N_FEATURES = 5
# The quantum kernel for which labels are engineered; among the settings that every run of the IQP kernel may choose.
OWN_KERNEL = {"embedding": "iqp", "repeats": 2, "bandwidth": 1.0}
BANDWIDTHS = (0.1, 0.3, 1.0)
RBF_SCALES = (0.3, 1.0, 3.0)
# Layers and bandwidth of the variational circuit, and of the surrogate of the same functions.
CIRCUITS = ((2, 0.5), (2, 1.0), (3, 1.0))
# Ridge with which labels are engineered, on kernels of trace N.
RIDGE = 0.01


@dataclass
class Data:
    """Points in the order training, validation, test, and the kernel that the problem itself suggests, if any."""

    X: np.ndarray
    y: np.ndarray
    kernel: np.ndarray | None = None


def standardised(X: np.ndarray, n_train: int) -> np.ndarray:
    spread = X[:n_train].std(axis=0)
    return (X - X[:n_train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def linearly_separable(n: int, n_train: int, rng: np.random.Generator) -> Data:
    """Normal points on the two sides of a plane, with a margin of 0.2."""
    w = rng.standard_normal(N_FEATURES)
    w /= np.linalg.norm(w)
    X = rng.standard_normal((4 * n, N_FEATURES))
    X = X[np.abs(X @ w) > 0.2][:n]
    return Data(standardised(X, n_train), np.where(X @ w > 0, 1, -1))


def two_curves(n: int, n_train: int, rng: np.random.Generator) -> Data:
    """Two closed curves, trigonometric polynomials of degree 3, offset by 0.5 and with noise of 0.1."""
    t, y = rng.uniform(0, 1, n), rng.choice([-1, 1], n)
    waves = np.array([f(2 * np.pi * k * t) for k in (1, 2, 3) for f in (np.cos, np.sin)])
    curve = rng.standard_normal((N_FEATURES, 6)) @ waves / np.sqrt(6)
    X = curve.T + 0.25 * y[:, None] + 0.1 * rng.standard_normal((n, N_FEATURES))
    return Data(standardised(X, n_train), y)


def hidden_manifold(n: int, n_train: int, rng: np.random.Generator) -> Data:
    """Points tanh(C F) of 3 latent variables C, labelled by a network of one hidden layer in C."""
    C = rng.standard_normal((n, 3))
    X = np.tanh(C @ rng.standard_normal((3, N_FEATURES)) / np.sqrt(3))
    values = np.tanh(C @ rng.standard_normal((3, 3))) @ rng.standard_normal(3)
    return Data(standardised(X, n_train), np.where(values > np.median(values), 1, -1))


def breast_cancer(n: int, n_train: int, rng: np.random.Generator) -> Data:
    """The data of scikit-learn: standardised features, first principal components, both from the training points."""
    X, y = load_breast_cancer(return_X_y=True)
    rows = rng.permutation(len(y))[:n]
    X = standardised(X[rows], n_train)
    X = PCA(N_FEATURES, random_state=0).fit(X[:n_train]).transform(X)
    return Data(standardised(X, n_train), np.where(y[rows] == 1, 1, -1))


def engineered(n: int, n_train: int, rng: np.random.Generator) -> Data:
    """Normal points, labelled so that the IQP kernel wins over the Gaussian one."""
    X = standardised(rng.standard_normal((n, N_FEATURES)), n_train)
    quantum = qi.baselines.quantum_kernel(X, **OWN_KERNEL)
    y = qi.problems.engineered_labels(quantum, rbf_kernel(X, gamma=1 / N_FEATURES), regularisation=RIDGE, rng=rng)
    return Data(X, y, quantum)


def discrete_log(n: int, n_train: int, rng: np.random.Generator) -> Data:
    """Discrete logarithms modulo 1019, the ten bits of an element as five digits to the base of 4."""
    problem = qi.problems.discrete_log(n, rng=rng)
    return Data(standardised(encodings(problem)["digits"], n_train), problem.y, problem.kernel)


def encodings(problem: qi.problems.DiscreteLogProblem) -> dict[str, np.ndarray]:
    """Return what a model may be shown of the elements of Z_p^*.

    The last, the set {x g^i mod p : -4 <= i <= 4} as one-hot vectors, is that of a learner who knows g: eight products.
    """
    x, p = problem.elements, problem.p
    bits = problem.X if problem.X.shape[1] % 2 == 0 else np.insert(problem.X, 0, 0.0, axis=1)
    digits = 2 * bits[:, ::2] + bits[:, 1::2]
    products = np.zeros((len(x), p))
    for i in range(-4, 5):
        products[np.arange(len(x)), x * pow(problem.g, i, p) % p] = 1.0
    return {
        "number": x[:, None] / p,
        "bits": bits,
        "digits": digits,
        "digits, one-hot": (digits[:, :, None] == np.arange(4)).reshape(len(x), -1).astype(float),
        "products by g^i": products,
    }


DATA: dict[str, Callable[[int, int, np.random.Generator], Data]] = {
    "linearly separable": linearly_separable,
    "two curves": two_curves,
    "hidden manifold": hidden_manifold,
    "breast cancer": breast_cancer,
    "engineered labels": engineered,
    "discrete logarithm": discrete_log,
}


class QuantumKernelSVM:
    """A support vector machine on a quantum kernel; kernel matrices are part of training and of inference."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def fit(self, X: np.ndarray, y: np.ndarray) -> QuantumKernelSVM:
        self.X = X
        self.svm = SVC(C=10.0, kernel="precomputed").fit(qi.baselines.quantum_kernel(X, **self.options), y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.svm.predict(qi.baselines.quantum_kernel(X, self.X, **self.options))


OWN = "the problem's own kernel"
CLASSICAL = ("logistic regression", "small MLP", "Gaussian SVM", "SampledRidgeClassifier", "Fourier surrogate")


def candidates(seed: int, steps: int, n_features: int = N_FEATURES) -> dict[str, list[Callable[[], Any]]]:
    """Return three settings of each model: every one has the same budget on the same validation points."""
    models: dict[str, list[Callable[[], Any]]] = {
        "logistic regression": [lambda C=C: LogisticRegression(C=C) for C in (0.1, 1.0, 10.0)],
        "small MLP": [
            lambda alpha=alpha: MLPClassifier((16, 16), solver="lbfgs", alpha=alpha, max_iter=200, random_state=seed)
            for alpha in (0.01, 0.1, 1.0)
        ],
        "Gaussian SVM": [lambda gamma=gamma: SVC(C=10.0, gamma=gamma / n_features) for gamma in RBF_SCALES],
        "SampledRidgeClassifier": [
            lambda alpha=alpha: qi.SampledRidgeClassifier(alpha, random_state=seed) for alpha in (0.1, 1.0, 10.0)
        ],
        "Fourier surrogate": [
            lambda layers=layers, b=b: qi.baselines.FourierSurrogateClassifier(layers, bandwidth=b, random_state=seed)
            for layers, b in CIRCUITS
        ],
    }
    assert tuple(models) == CLASSICAL
    for suffix, entangling in (("", True), (", no entanglement", False)):
        models[f"IQP kernel SVM{suffix}"] = [
            lambda b=b, e=entangling: QuantumKernelSVM(embedding="iqp", repeats=2, bandwidth=b, entangling=e)
            for b in BANDWIDTHS
        ]
        models[f"projected kernel SVM{suffix}"] = [
            lambda b=b, e=entangling: QuantumKernelSVM(embedding="projected", repeats=2, bandwidth=b, entangling=e)
            for b in BANDWIDTHS
        ]
        models[f"variational circuit{suffix}"] = [
            lambda layers=layers, b=b, e=entangling: qi.baselines.VariationalClassifier(
                layers, n_steps=steps, step_size=0.1, bandwidth=b, entangling=e, random_state=seed
            )
            for layers, b in CIRCUITS
        ]
    return models


@dataclass
class Scores:
    """Accuracy on the test and on the validation points, seconds of training and of inference, one a seed."""

    accuracy: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
    inference: list[float] = field(default_factory=list)

    def add(self, accuracy: float, validation: float, training: float, inference: float) -> None:
        self.accuracy.append(accuracy)
        self.validation.append(validation)
        self.training.append(training)
        self.inference.append(inference)


def chosen(settings: list[Callable[[], Any]], data: Data, n_train: int, n_validation: int) -> tuple[float, ...]:
    """Fit all settings, keep the best on the validation points; return its scores and seconds as in `Scores.add`."""
    X, y = data.X, data.y
    test = slice(n_train + n_validation, None)
    validation = slice(n_train, n_train + n_validation)
    best: tuple[float, Any, float] | None = None
    for make in settings:
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the iterations of the MLP are capped
            model = make().fit(X[:n_train], y[:n_train])
        seconds = time.perf_counter() - started
        score = float(np.mean(model.predict(X[validation]) == y[validation]))
        if best is None or score > best[0]:
            best = score, model, seconds
    assert best is not None
    started = time.perf_counter()
    labels = best[1].predict(X[test])
    return float(np.mean(labels == y[test])), best[0], best[2], time.perf_counter() - started


def own_kernel(data: Data, n_train: int, n_validation: int) -> float:
    """Return the accuracy on the test points of the kernel that the problem itself suggests."""
    train, test = np.arange(n_train), np.arange(n_train + n_validation, len(data.y))
    svm = SVC(C=1e4, kernel="precomputed").fit(data.kernel[np.ix_(train, train)], data.y[train])
    return svm.score(data.kernel[np.ix_(test, train)], data.y[test])


def conditions(data: Data, n_train: int) -> dict[str, list[float]]:
    """Return what can be computed from the training points before any model is trained, for each bandwidth."""
    X, y = data.X[:n_train], data.y[:n_train].astype(float)
    gaussian = [rbf_kernel(X, gamma=scale / N_FEATURES) for scale in RBF_SCALES]
    iqp = [qi.baselines.quantum_kernel(X, **OWN_KERNEL | {"bandwidth": b}) for b in BANDWIDTHS]
    own = [] if data.kernel is None else [data.kernel[:n_train, :n_train]]
    concentrations = [qi.metrics.kernel_concentration(K) for K in iqp]
    found = {
        "error bound, best classical": [min(qi.metrics.kernel_error_bound(K, y) for K in [*gaussian, X @ X.T + 1])]
    }
    for name, kernels in (("IQP kernels", iqp), ("own kernel", own)):
        found[f"error bound, {name}"] = [qi.metrics.kernel_error_bound(K, y) for K in kernels]
        found[f"g, {name}"] = [min(qi.metrics.geometric_difference(C, K) for C in gaussian) for K in kernels]
    found["variance, IQP kernels"] = [one.variance for one in concentrations]
    found["shots an entry, IQP kernels"] = [one.shots for one in concentrations]
    return found


@dataclass
class Comparison:
    """Scores by data set and model, and the conditions by data set, one a seed."""

    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)
    conditions: dict[str, list[dict[str, list[float]]]] = field(default_factory=dict)

    def accuracy(self, data: str, model: str) -> float:
        return float(np.mean(self.scores[data][model].accuracy))

    def gains(self, data: str) -> np.ndarray:
        """Return, for each seed, the accuracy of the quantum side less that of the classical side.

        Of each side the model that was best on the validation points, so that the test points choose nothing.
        """
        sides = []
        for is_classical in (False, True):
            of_side = [
                one for name, one in self.scores[data].items() if name != OWN and (name in CLASSICAL) == is_classical
            ]
            best = np.argmax([one.validation for one in of_side], axis=0)
            sides.append(np.array([of_side[i].accuracy[seed] for seed, i in enumerate(best)]))
        return sides[0] - sides[1]


def compare(
    names: list[str], seeds: range, *, n_train: int = 160, n_validation: int = 60, n_test: int = 120, steps: int = 150
) -> Iterator[Comparison]:
    """Run all models on all data sets; yield the comparison, the same object, after each data set."""
    found = Comparison()
    warm = linearly_separable(40, 20, np.random.default_rng(0))
    for settings in candidates(0, 1).values():  # imports and compilation are in no one's time
        chosen(settings[:1], warm, 20, 10)
    for name in names:
        scores, found.conditions[name] = found.scores.setdefault(name, {}), []
        for seed in seeds:
            data = DATA[name](n_train + n_validation + n_test, n_train, np.random.default_rng(seed))
            found.conditions[name].append(conditions(data, n_train))
            for model, settings in candidates(seed, steps).items():
                scores.setdefault(model, Scores()).add(*chosen(settings, data, n_train, n_validation))
            if data.kernel is not None:
                scores.setdefault(OWN, Scores()).add(own_kernel(data, n_train, n_validation), np.nan, np.nan, np.nan)
        yield found


def by_encoding(
    seeds: range, *, n_train: int = 160, n_validation: int = 60, n_test: int = 120
) -> dict[str, dict[str, list[float]]]:
    """Return accuracies on discrete logarithms by model and by what it is shown of the elements, one a seed.

    Each model has its three settings on each encoding; quantum kernels where 12 qubits are enough for it,
    the Fourier surrogate where its frequencies are of at most 20 features.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        problem = qi.problems.discrete_log(n_train + n_validation + n_test, rng=np.random.default_rng(seed))
        for encoding, X in encodings(problem).items():
            data = Data(X if encoding == "products by g^i" else standardised(X, n_train), problem.y)
            models = candidates(seed, 1, X.shape[1])
            kept = [name for name in CLASSICAL if name != "Fourier surrogate" or X.shape[1] <= 20]
            kept += ["IQP kernel SVM", "projected kernel SVM"] if X.shape[1] <= 12 else []
            for model in kept:
                accuracy = chosen(models[model], data, n_train, n_validation)[0]
                found.setdefault(model, {}).setdefault(encoding, []).append(accuracy)
    return found


def longer_training(seeds: range, *, n_train: int = 160, n_validation: int = 60, n_test: int = 120, steps: int = 150):
    """Return the accuracies of the variational circuit on the two curves, with the usual steps and four times them."""
    found: dict[int, list[float]] = {steps: [], 4 * steps: []}
    for seed in seeds:
        data = two_curves(n_train + n_validation + n_test, n_train, np.random.default_rng(seed))
        for count, accuracies in found.items():
            settings = candidates(seed, count)["variational circuit"]
            accuracies.append(chosen(settings, data, n_train, n_validation)[0])
    return found


def seconds_in_pennylane(steps: int = 5, n_train: int = 160) -> dict[str, float]:
    """Return the seconds of one step of training of the variational circuit, 3 layers, by simulator."""
    devices = ["numpy"]
    if importlib.util.find_spec("pennylane") is not None:
        devices += ["default.qubit", "lightning.qubit"]
    data = linearly_separable(n_train, n_train, np.random.default_rng(0))
    found = {}
    for device in devices:
        model = qi.baselines.VariationalClassifier(3, n_steps=1, device=device, random_state=0).fit(data.X, data.y)
        started = time.perf_counter()
        model.set_params(n_steps=steps).fit(data.X, data.y)
        found[device] = (time.perf_counter() - started) / steps
    return found


def tables(found: Comparison) -> str:
    """Return three tables: accuracy, seconds, conditions."""
    names = list(found.scores)
    models = list(dict.fromkeys(model for scores in found.scores.values() for model in scores))
    n_seeds = len(found.conditions[names[0]])
    lines = [f"accuracy on test points: mean and sample standard deviation of {n_seeds} seeds", _row("", names)]
    for model in models:
        of_model = [found.scores[name].get(model) for name in names]
        lines.append(_row(model, [_spread(one.accuracy) if one else "" for one in of_model]))
    lines += [
        "",
        "quantum less classical by seed, of each side the best on validation points: mean and its standard error",
        _row("", [_spread(found.gains(name), n_seeds, ".3f") for name in names]),
        "",
        "seconds, measured here, circuits simulated: training of one setting, inference on the test points",
    ]
    for model in models:
        of_model = [scores[model] for scores in found.scores.values() if model in scores]
        training = [seconds for one in of_model for seconds in one.training]
        inference = [seconds for one in of_model for seconds in one.inference]
        if np.isfinite(training).all():
            lines.append(_row(model, [f"{np.median(training):.4f}", f"{np.median(inference):.4f}"]))
    lines += [
        "",
        f"conditions, medians over the seeds, from the training points; IQP kernels of bandwidths {BANDWIDTHS};",
        "g from the nearest of three Gaussian kernels, to be compared with 1 and with the root of the points",
        _row("", names),
    ]
    for key in next(iter(found.conditions.values()))[0]:
        medians = [np.median([one[key] for one in found.conditions[name]], axis=0) for name in names]
        lines.append(_row(key, [" / ".join(f"{value:.2g}" for value in each) for each in medians]))
    return "\n".join(lines)


def encoding_table(found: dict[str, dict[str, list[float]]]) -> str:
    """Return the table of `by_encoding`."""
    names = list(next(iter(found.values())))
    lines = ["discrete logarithm, accuracy by what a model is shown of an element", _row("", names)]
    for model, scores in found.items():
        lines.append(_row(model, [_spread(scores[name]) if name in scores else "" for name in names]))
    return "\n".join(lines)


def _spread(values: Any, divisor: int = 1, digits: str = ".2f") -> str:
    """Return mean +- standard deviation / sqrt(divisor), of a sample; one value has none."""
    spread = f" +- {np.std(values, ddof=1) / divisor**0.5:{digits}}" if len(values) > 1 else ""
    return f"{np.mean(values):{digits}}{spread}"


def _row(head: str, cells: list[str]) -> str:
    return f"{head:38}" + "".join(f"{cell:>27}" for cell in cells)
