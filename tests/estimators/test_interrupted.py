from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.estimators import _row_stream

FILES = str(Path(qi.__file__).parent / "estimators")


def blocks(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((9, 3)) @ rng.standard_normal((3, 6)) + rng.standard_normal((9, 6)) for _ in range(4)]


def seen(model: Any) -> dict[str, Any]:
    """Return what an estimator knows, as arrays and numbers."""
    unlike = ("_stream", "approximation_", "solution_", "interactions_", "cv_results_")
    state = {name: value for name, value in vars(model).items() if name not in unlike}
    if "_stream" in vars(model):
        stream = model._stream
        state |= {
            "rows": stream.n_rows,
            "mean": stream.mean,
            "norm": stream.centred_norm,
            "sketch": stream.sketch.sketch,
        }
        state |= {"sketched": stream.sketch.n_rows}
    return copy.deepcopy(state)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


def interrupted_at(count: int, act: Any) -> bool:
    """Press Ctrl-C after so many steps of the interpreter in the estimators; say whether it came to that."""
    left = count

    def step(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return step

    def enter(frame: Any, event: str, _: Any) -> Any:
        if left <= 0 or not frame.f_code.co_filename.startswith(FILES):
            return None
        frame.f_trace_opcodes = True
        return step

    before = sys.gettrace()
    try:
        sys.settrace(enter)
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


MODELS = {
    "PCA": lambda: qi.SampledPCA(2, tol=0.4),
    "SVD": lambda: qi.SampledSVD(2, tol=0.4),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_ctrl_c_at_any_step_leaves_a_block_counted_wholly_or_not_at_all(kind, convert, monkeypatch):
    monkeypatch.setattr(_row_stream, "_PART_ENTRIES", 24)  # each block comes in three parts
    first, second, third, _ = (convert(block) for block in blocks())
    model = MODELS[kind]().partial_fit(first)
    without = seen(model)
    whole = seen(MODELS[kind]().partial_fit(first).partial_fit(second))
    after = seen(MODELS[kind]().partial_fit(first).partial_fit(second).partial_fit(third))
    count, kept = 1, 0
    while True:
        model = MODELS[kind]().partial_fit(first)
        if not interrupted_at(count, lambda model=model: model.partial_fit(second)):
            break
        now = seen(model)
        assert same(now, without) or same(now, whole), f"half a block after {count} steps"
        kept += same(now, whole)
        if same(now, without):
            model.partial_fit(second)
        assert same(seen(model.partial_fit(third)), after), f"the stream goes on wrongly after {count} steps"
        count += 29
    assert count > 500


@pytest.mark.parametrize(
    "model",
    [
        qi.SampledPCA(2, method="exact"),
        qi.SampledSVD(2, method="exact"),
        qi.SampledRidge(),
        qi.SampledRidgeCV(cv=2),
        qi.SampledRidgeClassifier(),
        qi.SampledKernelRidge(random_state=0),
        qi.SublinearPerceptron(max_iter=50, random_state=0),
        qi.SampledRecommender(2, method="exact"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_ctrl_c_at_any_step_of_a_fit_leaves_what_was_learned_before(model):
    one, two = (np.vstack(blocks(seed)) for seed in (1, 2))
    y = np.arange(len(one), dtype=float) % 2
    data = (two[:, :5], y) if hasattr(model, "predict") and hasattr(model, "score") else (two[:, :5],)
    model.fit(*((one, y) if len(data) == 2 else (one,)))
    before, saved = seen(model), dict(vars(model))
    count = 1
    while interrupted_at(count, lambda: model.fit(*data)):
        now = vars(model)
        n_columns = {
            value.shape[-1] for name, value in now.items() if name in ("components_", "coef_", "mean_", "landmarks_")
        }
        assert n_columns <= {6} or n_columns <= {5}, f"two fits are mixed after {count} steps"
        if n_columns <= {6}:
            assert same({k: v for k, v in seen(model).items() if k in before}, before)
        model.__dict__ = dict(saved)
        count += 11
    assert count > 50


@pytest.mark.parametrize("kind", MODELS)
def test_an_error_in_the_second_part_of_a_block_leaves_the_first_part_out(kind, monkeypatch):
    monkeypatch.setattr(_row_stream, "_PART_ENTRIES", 24)
    first, second, *_ = blocks()
    model = MODELS[kind]().partial_fit(first)
    before = seen(model)
    joined, calls = _row_stream._joined, []

    def fails_late(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError
        return joined(*args)

    monkeypatch.setattr(_row_stream, "_joined", fails_late)
    with pytest.raises(MemoryError):
        model.partial_fit(second)
    assert len(calls) == 2
    assert same(seen(model), before)


@pytest.mark.parametrize("kind", MODELS)
def test_a_shallow_copy_goes_its_own_way(kind):
    first, second, third, last = (block[:3] for block in blocks())  # all fit beside each other in the buffer
    model = MODELS[kind]().partial_fit(first)
    twin = copy.copy(model)
    model.partial_fit(second)
    twin.partial_fit(third)
    for one, middle in ((model, second), (twin, third)):
        assert same(seen(one.partial_fit(last)), seen(streamed(kind, first, middle, last)))


def streamed(kind: str, *rows: np.ndarray) -> Any:
    model = MODELS[kind]()
    for block in rows:
        model.partial_fit(block)
    return model


MATRICES = {
    "DenseMatrix": lambda: qi.as_sq_matrix(np.eye(6)),
    "CSRMatrix": lambda: qi.as_sq_matrix(sp.csr_array(np.eye(6))),
    "DynamicMatrix": lambda: qi.DynamicMatrix.from_matrix(np.eye(6)),
    "CentredMatrix": lambda: qi.centred(np.eye(6)),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize(
    "act",
    [
        lambda X: qi.SampledPCA(2).fit(X),
        lambda X: qi.SampledPCA(2).fit_transform(X),
        lambda X: qi.SampledPCA(2).partial_fit(X),
        lambda X: qi.SampledPCA(2).fit(np.eye(6)).transform(X),
        lambda X: qi.SampledPCA(2).fit(np.eye(6)).score(X),
        lambda X: qi.SampledSVD(2).fit(X),
        lambda X: qi.SampledSVD(2).partial_fit(X),
        lambda X: qi.SampledSVD(2).fit(np.eye(6)).transform(X),
        lambda X: qi.SampledRidge().fit(X, np.ones(6)),
        lambda X: qi.SampledRidge().fit(np.eye(6), np.arange(6.0)).predict(X),
        lambda X: qi.SampledRidge().partial_fit(X, np.ones(6)),
        lambda X: qi.SampledRidgeCV().fit(X, np.ones(6)),
        lambda X: qi.SampledRidgeClassifier().fit(X, np.arange(6) % 2),
        lambda X: qi.SampledKernelRidge().fit(X, np.ones(6)),
        lambda X: qi.SublinearPerceptron().fit(X, np.arange(6) % 2),
        lambda X: qi.SampledRecommender(2).fit(X),
    ],
)
def test_a_matrix_with_access_is_refused_with_what_to_pass(name, act):
    message = (
        f"`X` must be an array, a data frame or a sparse matrix; got a {name}, which .* Pass the matrix that it was"
    )
    with pytest.raises(TypeError, match=message):
        act(MATRICES[name]())
