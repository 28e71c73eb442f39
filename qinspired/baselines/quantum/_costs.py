"""End-to-end projected costs of quantum linear-system solvers on given data."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from qinspired._validation import check_count, check_positive
from qinspired.baselines.quantum._choices import check_choice, check_tolerance
from qinspired.baselines.quantum._cost_conditions import read_problem
from qinspired.baselines.quantum._cost_formulas import (
    Lookup,
    amplitude_estimation_uses,
    qrom,
    tomography_copies,
    tomography_copies_bound,
)
from qinspired.baselines.quantum._cost_physical import physical_estimate
from qinspired.baselines.quantum._cost_result import CostLine, QuantumCosts, ReadOutLine
from qinspired.baselines.quantum._cost_solvers import all_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import scipy.sparse as sp

    from qinspired.baselines.quantum._cost_conditions import Problem
    from qinspired.baselines.quantum._cost_solvers import Queries

__all__ = ["quantum_costs"]

Output: TypeAlias = Literal["vector", "magnitudes", "sample", "prediction"]
Loading: TypeAlias = Literal["qrom", "qrom-power-of-two", "qram"]
Count: TypeAlias = Literal["all", "loads"]
Clock: TypeAlias = Literal["optimistic", "mid", "surface-code", "surface-code-1e-3", "conservative"]
Hardware: TypeAlias = Literal["qubit_gate_ns_e3", "qubit_gate_ns_e4"]

# Seconds a Toffoli gate. The two of the surface code are what qdk 1.33 gives for 10^9 CCZ states on 100 qubits with
# gates of 50 to 100 ns and errors of 1e-4 and 1e-3; it is longer for larger circuits.
_CLOCKS: Mapping[str, float] = {
    "optimistic": 1e-6,
    "mid": 1e-5,
    "surface-code": 15.6e-6,
    "surface-code-1e-3": 30.0e-6,
    "conservative": 170e-6,
}

# With them every product of counts and seconds is finite.
_LONGEST_CLOCK, _LARGEST_COUNT = 1e9, 10**6

_REPEATED = "; repeats until success, where amplitude estimation takes a success amplified close to 1"
_PREDICTION = (
    "amplitude estimation takes a solver whose success was amplified close to 1; lines that repeat until success do "
    "not give one, and amplifying them further is not counted"
)

_TOMOGRAPHY = "Kerenidis and Prakash 2020, arXiv:1808.09266"


def quantum_costs(
    A: npt.ArrayLike | sp.sparray | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike] | Mapping[str, Any],
    b: npt.ArrayLike | None = None,
    *,
    tolerance: float = 1e-2,
    output: Output = "vector",
    readout_tolerance: float | None = None,
    loading: Loading = "qrom",
    clock: Clock | float = "optimistic",
    alpha: float | Literal["frobenius"] = "frobenius",
    density: float | None = None,
    cutoff: float | None = None,
    word_bits: int = 24,
    loads_per_query: int = 4,
    count: Count = "all",
    physical: bool | Hardware = False,
) -> QuantumCosts:
    """Return the projected cost of A^+ b on a quantum computer, from loading the data to reading the output.

    Nothing here is measured: queries to the block encoding come from theorems, from constants published for test
    matrices or from the filter applied to this very A and b, each line saying which; gates follow from a model of
    loading, and seconds from an assumed clock.

    Parameters
    ----------
    A : array_like or sparse, shape (m, n), a tuple (U, s, Vt), or conditions
        Real or complex matrix of at most 2e7 entries with m n min(m, n) <= 1e11; a (truncated) SVD; or a mapping, or
        an object with attributes, of `shape`, `frobenius_norm`, `sigma_max`, `sigma_min` (the smallest singular value
        that is inverted), and, if known, `rank` and `n_stored` (words to load).
    b : array_like, shape (m,), optional
        Right-hand side. With it and singular vectors, success probabilities are those of the instance; without, the
        least possible for b in the column space, and b counts as m words.
    tolerance : float
        l2 error of the normalised output state, in [1e-14, 1).
    output : {"vector", "magnitudes", "sample", "prediction"}
        All entries with signs; their sizes only; one index drawn with probability x_j^2/|x|^2; or one inner product
        or expectation value, of x/|x| with something of norm at most 1.
    readout_tolerance : float, optional
        l2 error of the vector, or additive error of the prediction, in [1e-14, 1); `tolerance` by default.
    loading : {"qrom", "qrom-power-of-two", "qram"}
        Table lookup by gates, of any width or of a power of two; or free lookups, which assume a quantum memory that
        nobody has built and whose qubits are not counted.
    clock : str or float
        Name of the clock that `explain` prints: "optimistic" (1 us a Toffoli gate), "mid" (10 us), "surface-code"
        (15.6 us; physical errors of 1e-4), "surface-code-1e-3" (30 us), "conservative" (170 us); or seconds a gate.
    alpha : float or "frobenius"
        Norm of the block encoding of A/alpha, in the units of A: |A|_F for a tree of row norms, or that of another one,
        at least |A|, such as s max |a_ij| for sparse access with s entries a row and column. Only queries depend on it:
        loading is modelled as for the tree.
    density : float, optional
        Share of the entries of A that are stored, in (0, 1], where A does not say it.
    cutoff : float, optional
        Singular values below it are not inverted. By default all are that are above rounding, as for `hhl`.
    word_bits : int
        Bits of a stored word.
    loads_per_query : int
        Lookups of A in one use of its block encoding: two isometries, each of which loads and unloads.
    count : {"all", "loads"}
        Toffoli gates of all parts, or of the lookups of A only, a floor.
    physical : bool or {"qubit_gate_ns_e3", "qubit_gate_ns_e4"}
        Whether to estimate physical qubits as well, for which qubits (True is the first). Needs
        ``qinspired[resources]``.

    Returns
    -------
    QuantumCosts
        A line for each algorithm; `explain()` prints the table.

    Raises
    ------
    ValueError
        If A is zero, not finite, too large to be diagonalised, or its conditions are missing or contradict each
        other; if b is zero or without part in the column space; if kappa of the block encoding is above 1e100; if an
        option is out of its range.
    TypeError
        If a number is none.
    ImportError
        If `physical` is asked for without qdk.

    Notes
    -----
    Held as a tree of squared norms, data have a block encoding of scale alpha = |A|_F, and alpha/sigma_min takes the
    place of the condition number in every query count. A lookup of L words of w bits is max(0, ceil(L/k) - 2) +
    w (k - 1) Toffoli gates with w k ancillas, k chosen best [1]_; each level of a tree adds w + 1 gates for its
    rotation and its part in a reflection, and looks up nothing of its own: one lookup of all words stands for the tree,
    whose levels, looked up one by one, would take up to 1 + sqrt 2 times the gates. A vector takes n/(4 delta^2) copies
    for its magnitudes, as found, against 36 n ln n/delta^2 proven [2]_, and as many again for signs. A prediction takes
    P points of amplitude estimation with 2 pi/P + 2 pi^2/P^2 = delta [3]_, hence 2P - 1 uses, all in one circuit, of a
    solver whose success was amplified close to 1: repetition until success, as in lines with a success probability and
    after the adiabatic filter, is not reversible, and that further amplification is not counted.

    Cost: an SVD or eigendecomposition if A is a matrix; up to 18 simulations of HHL in its basis, for each of two
    windows, if b is given; else nothing.
    Error: dropped terms are named in each line's `note`.

    References
    ----------
    .. [1] G. H. Low, V. Kliuchnikov and L. Schaeffer, "Trading T gates for dirty qubits in state preparation and
       unitary synthesis", Quantum 8, 1375 (2024), arXiv:1812.00954.
    .. [2] I. Kerenidis and A. Prakash, "A quantum interior point method for LPs and SDPs", ACM Trans. Quantum
       Comput. 1 (2020), arXiv:1808.09266.
    .. [3] G. Brassard, P. Hoyer, M. Mosca and A. Tapp, "Quantum amplitude amplification and estimation", Contemp.
       Math. 305 (2002), arXiv:quant-ph/0005055.

    Differs from [1]_: clean ancillas, which are not restored; widths that are no power of two are allowed.

    Examples
    --------
    >>> from qinspired.baselines import quantum_costs
    >>> given = {"shape": (100_000, 10_000), "frobenius_norm": 27.463, "sigma_max": 10.0, "sigma_min": 1.0}
    >>> costs = quantum_costs(given, output="sample", density=0.01, count="loads")
    >>> line = costs["Dalzell, norm known"]
    >>> round(line.queries, 1), line.basis
    (155.0, 'proven bound, leading order')
    >>> {name: round(seconds) for name, seconds in line.projected_seconds.items() if name != "conservative"}
    {'optimistic': 19, 'mid': 192, 'surface-code': 299, 'surface-code-1e-3': 576}
    """
    tolerance = check_tolerance(tolerance, "tolerance")
    delta = tolerance if readout_tolerance is None else check_tolerance(readout_tolerance, "readout_tolerance")
    for name, value, allowed in (
        ("output", output, get_args(Output)),
        ("loading", loading, get_args(Loading)),
        ("count", count, get_args(Count)),
        ("physical", physical, (False, True, *get_args(Hardware))),
    ):
        check_choice(value, name, allowed)
    if count == "loads" and loading == "qram":
        raise ValueError("`count` must be 'all' with `loading`='qram', whose lookups are free; got 'loads'.")
    clocks, chosen = _read_clock(clock)
    bits, loads = _check_size(word_bits, "word_bits"), _check_size(loads_per_query, "loads_per_query")
    problem = read_problem(A, b, cutoff=cutoff, density=density, alpha=alpha)
    lookup = _lookup(problem.n_stored, bits, loading)
    readout = _read_out(output, problem.shape[1], delta)
    model = _Model(
        problem,
        lookup,
        _lookup(problem.n_stored_b, bits, loading),
        bits,
        loads,
        whole=count == "all",
        predicts=output == "prediction",
    )
    hardware = get_args(Hardware)[0] if physical is True else physical
    lines = tuple(model.line(found, readout[0].runs, clocks, hardware) for found in all_queries(problem, tolerance))
    return QuantumCosts(
        lines=lines,
        readout=readout,
        shape=problem.shape,
        kappa=problem.kappa,
        kappa_encoding=problem.kappa_encoding,
        alpha=problem.alpha,
        alpha_rule="frobenius" if isinstance(alpha, str) else "given",
        n_stored=problem.n_stored,
        tolerance=tolerance,
        readout_tolerance=delta,
        output=output,
        loading=loading,
        clock=chosen,
        clocks=clocks,
        load_toffoli=lookup.toffoli,
        load_ancillas=lookup.ancillas,
        load_width=lookup.width,
        loads_per_query=loads,
        assumptions=_assumptions(problem, loading, count, b is not None, output, alpha),
    )


def _check_size(value: Any, name: str) -> int:
    size = check_count(value, name, low=1)
    if size > _LARGEST_COUNT:
        raise ValueError(f"`{name}` must be at most {_LARGEST_COUNT}; got a larger one. Give one that can be built.")
    return size


def _read_clock(clock: Any) -> tuple[Mapping[str, float], str]:
    if isinstance(clock, str):
        if clock not in _CLOCKS:
            raise ValueError(f"`clock` must be one of {', '.join(map(repr, _CLOCKS))} or seconds; got {clock!r}.")
        return MappingProxyType(dict(_CLOCKS)), clock
    seconds = check_positive(clock, "clock")
    if seconds > _LONGEST_CLOCK:
        raise ValueError(f"`clock` must be at most {_LONGEST_CLOCK:.0e} seconds a Toffoli gate; got {seconds}.")
    return MappingProxyType({**_CLOCKS, "given": seconds}), "given"


def _lookup(n_words: int, word_bits: int, loading: Loading) -> Lookup:
    if loading == "qram":
        return Lookup(toffoli=0, ancillas=word_bits, width=1)
    return qrom(n_words, word_bits, power_of_two=loading == "qrom-power-of-two")


def _read_out(output: Output, size: int, delta: float) -> tuple[ReadOutLine, ...]:
    """Return the ways to read an output, the one that is counted first."""
    if output == "sample":
        return (ReadOutLine("one measurement", 1.0, "exact instance", "the definition of a sample"),)
    if output == "prediction":
        points = amplitude_estimation_uses(delta)
        return (
            ReadOutLine(
                f"amplitude estimation with {points} points, right with probability 8/pi^2, of "
                "a solver whose success was amplified close to 1",
                2.0 * points - 1.0,
                "proven bound",
                "Brassard et al. 2002, arXiv:quant-ph/0005055",
            ),
            ReadOutLine("shots, standard error", delta**-2, "proven bound", "variance at most 1"),
        )
    again, what = (2.0, "magnitudes and signs") if output == "vector" else (1.0, "magnitudes")
    return (
        ReadOutLine(
            f"tomography of {what}, expected error",
            again * tomography_copies(size, delta),
            "empirical constant",
            f"expected error of multinomial counts; procedure: {_TOMOGRAPHY}",
        ),
        ReadOutLine(
            f"tomography of {what}, bound", again * tomography_copies_bound(size, delta), "proven bound", _TOMOGRAPHY
        ),
    )


class _Model:
    """Gates and qubits of queries and preparations."""

    def __init__(
        self, problem: Problem, lookup: Lookup, lookup_b: Lookup, bits: int, loads: int, *, whole: bool, predicts: bool
    ) -> None:
        self._predicts = predicts
        self._problem, self._lookup, self._loads, self._whole = problem, lookup, loads, whole
        m, n = problem.shape
        self._rows, self._cols = max(1, (m - 1).bit_length()), max(1, (n - 1).bit_length())
        self._rotations = (bits + 1) * (self._rows + self._cols)
        # Loaded and unloaded once.
        self._preparation = 2 * lookup_b.toffoli + bits * self._rows
        self._ancillas = max(lookup.ancillas, lookup_b.ancillas)

    def line(self, found: Queries, runs: float | None, clocks: Mapping[str, float], hardware: str | bool) -> CostLine:
        """Return the whole line of one solver."""
        counts: dict[str, Any] = dict.fromkeys(
            ("toffoli", "toffoli_loading", "toffoli_preparation", "toffoli_rotations", "logical_qubits", "runs")
        )
        seconds = None
        physical: tuple[int, float] | None = None
        if found.queries is not None and found.state_preparations is not None:
            parts = (
                found.queries * self._loads * self._lookup.toffoli,
                found.state_preparations * self._preparation,
                found.queries * self._rotations,
            )
            total = sum(parts) if self._whole else parts[0]
            # Rows and columns for the system or the block encoding's index, a qubit that tells them apart.
            qubits = 2 * max(self._rows, self._cols) + 1 + self._ancillas + found.own_qubits
            counts = dict(zip(counts, (total, *parts, qubits, runs), strict=True))
            if runs is not None:
                seconds = MappingProxyType({name: total * runs * each for name, each in clocks.items()})
                if isinstance(hardware, str):
                    # Amplitude estimation uses the solver again and again in one circuit; else a run is a circuit.
                    in_one = runs if self._predicts else 1.0
                    physical = physical_estimate(total * in_one, qubits, hardware)
                    if physical is not None:
                        physical = physical[0], physical[1] * (runs / in_one)
        return CostLine(
            algorithm=found.algorithm,
            basis=found.basis,
            kappa=self._problem.kappa,
            kappa_encoding=self._problem.kappa_encoding,
            queries=found.queries,
            state_preparations=found.state_preparations,
            success_probability=found.success_probability,
            projected_seconds=seconds,
            physical_qubits=None if physical is None else physical[0],
            physical_seconds=None if physical is None else physical[1],
            note=found.note + (_REPEATED if self._predicts and found.repeats else ""),
            reference=found.reference,
            **counts,
        )


def _assumptions(
    problem: Problem, loading: Loading, count: Count, has_b: bool, output: Output, alpha: Any
) -> tuple[str, ...]:
    out = [f"spectrum: {problem.source}; sigma_min = {problem.sigma_min:.6g} is known"]
    if loading == "qram":
        out.append("QRAM: lookups are free, in gates, time and qubits; nobody has built such a memory")
    elif loading == "qrom":
        out.append("lookup widths that are no power of two, with free addresses; powers of two cost up to 6% more")
    if loading != "qram":
        out.append(
            "a load is one lookup of all stored words; each level of the tree by its own lookup takes up to 1 + sqrt 2 "
            "= 2.4 times the gates"
        )
    if count == "loads":
        out.append("only the lookups of A are counted, not b, nor rotations, nor reflections")
    elif not has_b:
        out.append(f"b not given: it counts as {problem.n_stored_b} words to load")
    if isinstance(alpha, str):
        out.append("block encoding of scale |A|_F, from a tree of squared norms prepared beforehand, at no cost here")
    else:
        out.append(f"block encoding of the given scale alpha = {problem.alpha:.6g}; gates a query as for a tree")
    if output == "prediction":
        out.append(f"a prediction: {_PREDICTION}")
    return tuple(out)
