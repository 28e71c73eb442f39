"""What a simulated run of a quantum linear-system solver returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qinspired.baselines.quantum import _read_out
from qinspired.baselines.quantum._frozen import get_state, set_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from qinspired._typing import Float64Array, RNGLike
    from qinspired.baselines.quantum._read_out import ReadOut, Signs
    from qinspired.baselines.quantum._shots import ShotEstimate

__all__ = ["FilterCurve", "HHLResult"]


@dataclass(frozen=True, slots=True)
class FilterCurve:
    """The filter that the circuit applied, beside the one that was wanted.

    Attributes
    ----------
    values : ndarray of float64, shape (r,)
        Eigenvalues or singular values of A, zeros included; with a product formula those of the Hamiltonian
        that it applies.
    applied : ndarray of float64, shape (r,)
        h(value)/C, in the units of `target`.
    target : ndarray of float64, shape (r,)
        The function wanted: 1/value, value/(value^2 + ridge), the 0/1 threshold or the caller's; 0 at the
        value 0.
    """

    values: Float64Array
    applied: Float64Array
    target: Float64Array


@dataclass(frozen=True, slots=True)
class HHLResult:
    """Exact output of a simulated quantum linear-system solver, and its costs.

    The words are those of HHL; `qsvt` has no clock and says what each field means there.

    Attributes
    ----------
    state : ndarray of float64 or complex128, shape (n,)
        Unit vector left in the system register when the ancilla is 1 and the clock 0; of length m where a
        projection of b is asked for in the singular basis.
    x : ndarray of float64 or complex128, shape (n,)
        `norm` times `state`: the estimated solution.
    norm : float
        |b| sqrt(p)/C, the estimate of |x| from the success probability p (of the post-selection asked for).
    success_probability : float
        Probability of ancilla 1 and clock 0 (for the walk, flag 0 too).
    success_probability_ancilla : float
        Probability of ancilla 1, whatever the clock holds; the system is then in a mixed state.
    fidelity : float
        |<x*, state>|^2/|x*|^2 against the exact answer x*.
    fidelity_mixed : float
        The same for the mixed state left when only the ancilla is measured: for a dilation with the answer in
        its own block, for the walk with the flag 0, both unmeasured.
    l2_error : float
        |state - e^(i phase) x*/|x*|| minimised over the phase; it also counts signs.
    filter_curve : FilterCurve
        The filter applied to each eigenvalue or singular value.
    n_queries : int
        Uses of exp(i A t0), or of the walk operator, in one run of the circuit, 2 (2^t - 1); for `qsvt` of the
        block encoding of A.
    n_qubits : int
        System, clock and ancilla qubits, and for the walk one flag of the block encoding. Work space of the
        evolution, of a block encoding and of a memory is not counted.
    amplification_rounds : int
        Rounds m of amplitude amplification that make `expected_runs` least; 0 where plain repetition does.
    expected_runs : float
        Expected runs of the circuit for one success, (2m+1)/sin^2((2m+1) theta), theta = arcsin
        sqrt(p).
    parameters : Mapping
        Every parameter as used, also the automatic ones: among them `n_clock_qubits`, `evolution_time` (None
        for the walk), `C`, `signed` and `guard`.
    warnings : tuple of str
        What makes the result less than it could be: aliasing, too few clock qubits, a low success
        probability.
    simulation_seconds : float
        Time of the simulation on this computer. It is not the time of a quantum computer.
    shots : ShotEstimate or None
        What a number of drawn runs would tell, where `shots` was asked for.
    """

    state: npt.NDArray[Any]
    x: npt.NDArray[Any]
    norm: float
    success_probability: float
    success_probability_ancilla: float
    fidelity: float
    fidelity_mixed: float
    l2_error: float
    filter_curve: FilterCurve
    n_queries: int
    n_qubits: int
    amplification_rounds: int
    expected_runs: float
    parameters: Mapping[str, Any]
    warnings: tuple[str, ...]
    simulation_seconds: float
    shots: ShotEstimate | None = None

    __getstate__ = get_state
    __setstate__ = set_state

    def sample(self, n_samples: int, *, amplified: bool = True, rng: RNGLike = None) -> ReadOut:
        """Return indices drawn with probability |state_i|^2, and their frequencies.

        Parameters
        ----------
        n_samples : int
            Successful runs N <= 1e8, each measured in the computational basis.
        amplified : bool
            Whether the runs use `amplification_rounds` rounds where these pay.
        rng : int, Generator or None
            Source of randomness.

        Returns
        -------
        ReadOut
            `samples` are the indices, shape (N,); `estimate` their frequencies, shape (n,); `standard_error` that of
            each frequency f, sqrt(f (1 - f)/N) with half a count added to f.

        Notes
        -----
        This and the other measurements post-select the ancilla and, for HHL, the clock, so that the success probability
        is `success_probability`. The runs for N copies are drawn: N successes take N + NegBin(N, p) attempts, where p
        is the success probability of an attempt; with m rounds of amplification an attempt is 2m + 1 runs of the
        circuit or its inverse and succeeds with probability sin^2((2m+1) arcsin sqrt p). The mean of `n_runs` is then N
        times the expected runs for one success. Preparations of b are not counted. Outcomes of `hhl_gates` outside the
        answer count as failures; a result with noise is refused, since its state is mixed.
        """
        return _read_out.sample(self, n_samples, rng, amplified=amplified)

    def tomography(
        self, n_copies: int, *, signs: Signs = "oracle", amplified: bool = True, rng: RNGLike = None
    ) -> ReadOut:
        """Return the whole state vector, from square roots of frequencies and their signs.

        Parameters
        ----------
        n_copies : int
            Successful runs N of each stage.
        signs : {"oracle", "kp"}
            "oracle" takes signs or phases from the simulation, which no quantum computer can do: its error is that of
            the sizes alone. "kp" finds them as Kerenidis and Prakash do [1]_, with N more copies, in superposition with
            the sizes found; for complex states with 2N more.
        amplified, rng
            As in `sample`.

        Returns
        -------
        ReadOut
            `estimate` is the unit vector; `standard_error` the root mean square of its l2 error by the law for large N,
            sqrt((n - 1)/(4N)), to which wrong signs come on top; with estimated phases sqrt((5n - 1)/(4N)). `details`
            has `proven_bound`, sqrt(36 n ln n/N), None but for real states with n > 1, and `realised_error`, which only
            a simulation knows.

        Notes
        -----
        The law (n - 1)/(4N) is that of entries with N |state_i|^2 >> 1; entries of zero add nothing to the error, those
        with about one expected count up to twice as much. The superposition needs a controlled run whose other branch
        is post-selected with the same probability, so that its success probability is again that of the circuit.

        References
        ----------
        .. [1] I. Kerenidis and A. Prakash, "A quantum interior point method for LPs and SDPs", ACM Trans. Quantum
           Comput. 1, 5 (2020), arXiv:1808.09266.

        Differs from [1]_: complex states, by a second interference with a phase gate; there the sizes themselves are
        loaded for the superposition, here that costs nothing.
        """
        return _read_out.tomography(self, n_copies, rng, signs=signs, amplified=amplified)

    def expectation(self, M: npt.ArrayLike, n_shots: int, *, amplified: bool = True, rng: RNGLike = None) -> ReadOut:
        """Return the estimate of <state|M|state> from measurements in the eigenbasis of M.

        Parameters
        ----------
        M : array_like, shape (n, n) or (n,)
            Hermitian observable, or the diagonal of one.
        n_shots : int
            Successful runs N >= 2, one measured eigenvalue each.
        amplified, rng
            As in `sample`.

        Returns
        -------
        ReadOut
            `estimate` is the mean of the measured eigenvalues, for the unit state (times `norm`^2 for the solution);
            `standard_error` their standard deviation over sqrt N, with half a count added at the eigenvalue farthest
            from the mean. The basis change is taken as free.
        """
        return _read_out.expectation(self, M, n_shots, rng, amplified=amplified)

    def inner_product(self, a: npt.ArrayLike, n_shots: int, *, amplified: bool = True, rng: RNGLike = None) -> ReadOut:
        """Return the estimate of <a, state> by the Hadamard test.

        Parameters
        ----------
        a : array_like, shape (n,)
            Vector, of any length, whose unit state is taken as prepared free of cost.
        n_shots : int
            Successful runs N; as many again for the imaginary part where `a` or the state is complex.
        amplified, rng
            As in `sample`.

        Returns
        -------
        ReadOut
            `estimate` is |a| times the mean of N outcomes of +1 and -1, for the unit state (times `norm` for the
            solution, a prediction); `standard_error` about |a| sqrt((1 - mu^2)/N), mu the estimate over |a|.
        """
        return _read_out.inner_product(self, a, n_shots, rng, amplified=amplified)
