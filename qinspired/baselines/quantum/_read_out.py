"""What measurements of the output state tell, with their errors and the runs of the circuit they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import hypot, log, sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from qinspired._rng import as_generator
from qinspired._validation import check_array, check_count, first_nonfinite, native_float, raise_nonfinite
from qinspired.baselines.quantum._frozen import get_state, set_state
from qinspired.baselines.quantum._query_counts import amplification

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from qinspired._typing import Float64Array, IntArray, RNGLike
    from qinspired.baselines.quantum._result import HHLResult

__all__ = ["ReadOut", "Signs", "expectation", "inner_product", "sample", "tomography"]

Signs: TypeAlias = Literal["oracle", "kp"]

_MAX_RUNS = 1e18
_MAX_COPIES = 10**9
_MAX_SAMPLES = 10**8
# Share of p_i N above which the counts of an index say "+", of Kerenidis and Prakash.
_SIGN_THRESHOLD = 0.4


@dataclass(frozen=True, slots=True)
class ReadOut:
    """An estimate made from measured copies of the state, and what it took.

    Attributes
    ----------
    estimate : ndarray, float or complex
        Frequencies of the indices, the state vector, the expectation or the inner product.
    standard_error : ndarray or float
        Standard deviation of the estimate as the counts themselves tell it: per entry for `sample`, of the
        l2 norm of the error for `tomography`, of the number otherwise (of its modulus if complex).
    n_copies : int
        Successful runs, each of which gave one copy of the state to measure.
    n_runs : int
        Runs of the circuit or its inverse that were made for them, failed post-selections included: a random
        number.
    n_queries : int
        `n_runs` times the queries of one run.
    samples : ndarray of int64 or None
        The measured indices in their order, for `sample`.
    details : Mapping
        Further figures: rounds of amplification, proven bounds, the error that was realised.
    """

    estimate: Any
    standard_error: Any
    n_copies: int
    n_runs: int
    n_queries: int
    samples: IntArray | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    __getstate__ = get_state
    __setstate__ = set_state


def sample(result: HHLResult, n_samples: int, rng: RNGLike, *, amplified: bool) -> ReadOut:
    n = _check_copies(n_samples, "n_samples")
    if n > _MAX_SAMPLES:
        raise ValueError(
            f"`n_samples` must be at most {_MAX_SAMPLES}, whose indices take {16 * _MAX_SAMPLES / 1e9:.1f} GB to "
            f"shuffle; got {n}. Ask for fewer, several times."
        )
    generator = as_generator(rng)
    law = _law(result.state)
    counts = generator.multinomial(n, law)
    indices = generator.permutation(np.repeat(np.arange(len(law), dtype=np.int64), counts))
    frequencies = counts / n
    return _finish(
        result,
        generator,
        n,
        amplified,
        estimate=frequencies,
        standard_error=_binomial_error(counts, n),
        samples=indices,
        details={"probabilities": law},
    )


def tomography(result: HHLResult, n_copies: int, rng: RNGLike, *, signs: Signs, amplified: bool) -> ReadOut:
    n = _check_copies(n_copies, "n_copies")
    if not isinstance(signs, str) or signs not in ("oracle", "kp"):
        raise ValueError(f"`signs` must be 'oracle' or 'kp'; got {signs!r}.")
    generator = as_generator(rng)
    state = result.state
    sizes = np.sqrt(generator.multinomial(n, _law(state)) / n)
    stages = 1
    if signs == "oracle":
        estimate = sizes * _phases(state)
    elif np.iscomplexobj(state):
        stages = 3
        # The difference of the two counts of an index is N q_i Re x_i, and N q_i Im x_i with a phase gate.
        real, imaginary = (_interfere(generator, state, sizes * turn, n) for turn in (1.0, 1j))
        estimate = sizes * _phases((real[0] - real[1]) + 1j * (imaginary[0] - imaginary[1]))
    else:
        stages = 2
        plus, _ = _interfere(generator, state, sizes, n)
        estimate = sizes * np.where(plus > _SIGN_THRESHOLD * sizes**2 * n, 1.0, -1.0)
    d = len(state)
    return _finish(
        result,
        generator,
        stages * n,
        amplified,
        estimate=estimate,
        # An estimated phase adds 1/N an entry to the squared error.
        standard_error=sqrt(((d - 1) / 4.0 + (d if stages == 3 else 0)) / n),
        details={
            "copies_per_stage": n,
            "proven_bound": sqrt(36.0 * d * log(d) / n) if d > 1 and not np.iscomplexobj(state) else None,
            "realised_error": float(np.linalg.norm(estimate - state)),
        },
    )


def expectation(result: HHLResult, M: npt.ArrayLike, n_shots: int, rng: RNGLike, *, amplified: bool) -> ReadOut:
    n = _check_copies(n_shots, "n_shots", low=2)
    generator = as_generator(rng)
    state = result.state
    outcomes, amplitudes = _observable(M, state)
    counts = generator.multinomial(n, _law(amplitudes))
    largest = float(np.abs(outcomes).max()) or 1.0
    scaled = outcomes / largest  # squares of 1e200 would overflow
    mean = float(counts @ scaled) / n
    deviations = (scaled - mean) ** 2
    # Half a count at the farthest outcome, so that one too rare to be seen is not taken for impossible.
    spread = (float(counts @ deviations) + 0.5 * float(deviations.max())) / (n - 1)
    return _finish(result, generator, n, amplified, estimate=largest * mean, standard_error=largest * sqrt(spread / n))


def inner_product(result: HHLResult, a: npt.ArrayLike, n_shots: int, rng: RNGLike, *, amplified: bool) -> ReadOut:
    n = _check_copies(n_shots, "n_shots")
    generator = as_generator(rng)
    state = result.state
    vector = _finite(a, "a")
    if vector.shape != state.shape:
        raise ValueError(f"`a` must be a vector of the {len(state)} entries of the state; got shape {vector.shape}.")
    largest = float(np.abs(vector).max())
    if largest == 0.0:
        raise ValueError("`a` must not be zero: there is no state to prepare. Its inner product is 0.")
    unit = vector / largest  # squares of 1e200 would overflow
    length = largest * float(np.linalg.norm(unit))
    overlap = complex(np.vdot(unit / np.linalg.norm(unit), state))
    is_complex = np.iscomplexobj(state) or np.iscomplexobj(vector)
    means, errors = [], []
    for part in (overlap.real, overlap.imag) if is_complex else (overlap.real,):
        plus = int(generator.binomial(n, min(1.0, max(0.0, (1.0 + part) / 2.0))))
        means.append(length * (2.0 * plus / n - 1.0))
        errors.append(length * (2.0 * float(_binomial_error(np.array([plus]), n)[0])))
    estimate = complex(*means) if is_complex else means[0]
    return _finish(
        result,
        generator,
        n * len(means),
        amplified,
        estimate=estimate,
        standard_error=hypot(*errors) if is_complex else errors[0],
    )


def _finish(
    result: HHLResult,
    generator: np.random.Generator,
    n_copies: int,
    amplified: bool,
    *,
    estimate: Any,
    standard_error: Any,
    samples: IntArray | None = None,
    details: dict[str, Any] | None = None,
) -> ReadOut:
    """Draw the attempts that `n_copies` successes take: a negative binomial law."""
    if not isinstance(amplified, bool | np.bool_):
        raise TypeError(f"`amplified` must be True or False; got {amplified!r}.")
    if result.parameters.get("depolarising", 0.0) > 0.0:
        raise ValueError(
            "the result must be without noise to be read: `state` stands for a mixed state here, whose law it does not "
            "tell. Ask `hhl_gates` for `shots`."
        )
    # What a product formula leaks out of the answer is seen in the index and counts as a failure.
    p = min(1.0, result.success_probability * (1.0 - max(0.0, result.parameters.get("leakage", 0.0))))
    rounds = amplification(p)[0] if amplified else 0
    turns = 2 * rounds + 1
    chance = min(1.0, float(np.sin(turns * np.arcsin(np.sqrt(p)))) ** 2) if rounds else p
    if n_copies * turns / chance > _MAX_RUNS:
        raise ValueError(
            f"`n_copies` or `n_shots` must not take more than {_MAX_RUNS:.0e} runs; {n_copies} copies at the success "
            f"probability {p:.1e} do. Ask for fewer, or make the probability larger."
        )
    attempts = n_copies + int(generator.negative_binomial(n_copies, chance)) if chance < 1.0 else n_copies
    n_runs = attempts * turns
    return ReadOut(
        estimate=estimate,
        standard_error=standard_error,
        n_copies=n_copies,
        n_runs=n_runs,
        n_queries=n_runs * result.n_queries,
        samples=samples,
        details=MappingProxyType({**(details or {}), "amplification_rounds": rounds}),
    )


def _check_copies(value: Any, name: str, *, low: int = 1) -> int:
    n = check_count(value, name, low=low)
    if n > _MAX_COPIES:
        raise ValueError(f"`{name}` must be at most {_MAX_COPIES}; got {n}.")
    return n


def _law(state: npt.NDArray[Any]) -> Float64Array:
    law = np.asarray(np.abs(state) ** 2, dtype=np.float64)
    return np.asarray(law / law.sum())


def _phases(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values/|values|, 1 where the value is 0."""
    sizes = np.abs(values)
    return np.asarray(np.divide(values, sizes, out=np.ones_like(values), where=sizes > 0.0))


def _binomial_error(counts: IntArray, n: int) -> Float64Array:
    """Return the standard errors of frequencies, with half a count added so that none is 0."""
    share = (counts + 0.5) / (n + 1.0)
    return np.asarray(np.sqrt(share * (1.0 - share) / n))


def _interfere(
    generator: np.random.Generator, state: npt.NDArray[Any], other: npt.NDArray[Any], n: int
) -> tuple[IntArray, IntArray]:
    """Return the counts of (0, i) and (1, i) in n copies of (|0>|state> + |1>|other>)/sqrt 2 after a Hadamard gate."""
    law = _law(np.concatenate((state + other, state - other)))
    counts = np.asarray(generator.multinomial(n, law), dtype=np.int64)
    return counts[: len(state)], counts[len(state) :]


def _finite(values: Any, name: str) -> npt.NDArray[Any]:
    """Return a finite float64 or complex128 array of one or two dimensions."""
    array: Any = values
    if sp.issparse(values):
        array = array.toarray()
    elif not isinstance(values, np.ndarray):
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise ValueError(f"`{name}` must be a vector or a matrix of numbers; {error}") from error
    if array.ndim not in (1, 2):
        raise ValueError(f"`{name}` must be a vector or a matrix; got shape {array.shape}.")
    if array.dtype.kind == "c":
        array = array.astype(np.complex128)
        where = first_nonfinite(array.real + array.imag)
    else:
        check_array(array if array.ndim == 2 else array[None, :], name)
        array = native_float(array, name).astype(np.float64)
        where = first_nonfinite(array)
    if where is not None:
        raise_nonfinite(name, where, array[where])
    return np.asarray(array)


def _observable(M: Any, state: npt.NDArray[Any]) -> tuple[Float64Array, npt.NDArray[Any]]:
    """Return the eigenvalues of M and the amplitudes of the state in its eigenbasis; a vector is a diagonal."""
    import scipy.linalg

    matrix = _finite(M, "M")
    d = len(state)
    if matrix.shape not in ((d,), (d, d)):
        raise ValueError(f"`M` must have shape {(d, d)}, or {(d,)} for a diagonal; got {matrix.shape}.")
    deviation = np.abs(matrix.imag if matrix.ndim == 1 else matrix - matrix.conj().T).max()
    if deviation > 1e-12 * np.abs(matrix).max():
        raise ValueError(f"`M` must be Hermitian, as an observable is; it deviates by {deviation:.1e}.")
    if matrix.ndim == 1:
        return np.asarray(matrix.real, dtype=np.float64), state
    outcomes, vectors = scipy.linalg.eigh(matrix)
    return np.asarray(outcomes, dtype=np.float64), vectors.conj().T @ state
