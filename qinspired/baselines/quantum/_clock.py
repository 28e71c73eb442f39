"""The clock of phase estimation: which eigenvalue each register value stands for, and how it turns the ancilla."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log2
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from qinspired._validation import check_count, check_positive
from qinspired.baselines.quantum._choices import check_choice, choose_alpha, extreme_magnitudes, is_word
from qinspired.baselines.quantum._filters import Below, Filter, rotation_table
from qinspired.baselines.quantum._phase_estimation import Window

if TYPE_CHECKING:
    from qinspired._typing import Float64Array
    from qinspired.baselines.quantum._basis import SpectralProblem

__all__ = [
    "MAX_CLOCK_QUBITS",
    "MAX_SEARCHED_QUBITS",
    "Clock",
    "PhaseMap",
    "find_flaws",
    "register_values",
    "resolve_clock",
]

PhaseMap: TypeAlias = Literal["hamiltonian", "walk"]

MAX_CLOCK_QUBITS = 24
# The largest clock that a search tries, each at twice the cost of the one before.
MAX_SEARCHED_QUBITS = 20
_AUTO_CLOCK_QUBITS = 16
_REGISTER_BYTES = 290
# A register or an eigenvalue this close to a bound, relative, is on it.
_ROUNDING = 1e-9
# Rounding of a phase, in registers, from which on its place is not known.
_BLURRED = 0.01
# A part of |b|^2 outside the range of A that is more than rounding.
_KERNEL_SHARE = 1e-12


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock register of t qubits with every choice made.

    Attributes
    ----------
    n_qubits : int
        t; the register has T = 2^t values k.
    phase_map : {"hamiltonian", "walk"}
        What is controlled by the clock: exp(i A t0), or the walk operator of a block encoding of A/alpha.
    signed : bool
        Whether register values stand for negative eigenvalues too.
    evolution_time, guard : float and int, or None
        t0 and the registers left free at the top; None for the walk, guard also None where t0 was given.
    guard_grows : bool
        Whether the guard is the automatic one, which grows with the register.
    alpha : float or None
        Norm of the block encoding; None for the Hamiltonian.
    window : {"hadamard", "sine"}
        State in which the clock starts.
    values : ndarray of float64, shape (T,)
        Eigenvalue that each k stands for.
    filter : Filter
        The function wanted.
    C : float
        Constant of the rotation; 1 for a projection.
    below : {"clip", "zero"}
        What registers with C |f| > 1 do.
    rotation_bits : int or None
        Bits of the rotation angle; None for exact rotations.
    rotation : ndarray of float64, shape (T,)
        Ancilla amplitude r_k of each k.
    """

    n_qubits: int
    phase_map: PhaseMap
    signed: bool
    evolution_time: float | None
    guard: int | None
    guard_grows: bool
    alpha: float | None
    window: Window
    values: Float64Array = field(repr=False)
    filter: Filter
    C: float
    below: Below
    rotation_bits: int | None
    rotation: Float64Array = field(repr=False)

    @property
    def n_states(self) -> int:
        """T = 2^t."""
        return 1 << self.n_qubits

    @property
    def n_queries(self) -> int:
        """Uses of exp(i A t0), or of the walk operator, in one run: forth and back."""
        return 2 * (self.n_states - 1)

    @property
    def step(self) -> float:
        """Smallest eigenvalue > 0 that a register value stands for."""
        return float(self.values[self.values > 0.0].min())

    def choices(self) -> dict[str, Any]:
        """Return every parameter of the circuit by its name in `hhl`."""
        return {
            "n_clock_qubits": self.n_qubits,
            "evolution_time": self.evolution_time,
            "C": self.C,
            "window": self.window,
            "guard": self.guard,
            "below": self.below,
            "signed": self.signed,
            "filter": self.filter.function or self.filter.name,
            "ridge": self.filter.ridge,
            "threshold": self.filter.threshold,
            "phase_map": self.phase_map,
            "alpha": self.alpha,
            "rotation_bits": self.rotation_bits,
        }

    def phases(self, eigenvalues: Float64Array) -> Float64Array:
        """Return the phases of eigenvalues, in turns; of the two phases of the walk the one in [0, 1/2]."""
        if self.alpha is not None:
            return np.arccos(np.clip(eigenvalues / self.alpha, -1.0, 1.0)) / (2.0 * np.pi)
        assert self.evolution_time is not None
        return np.asarray(eigenvalues * (self.evolution_time / (2.0 * np.pi)))


def register_values(n_states: int, evolution_time: float, *, signed: bool) -> Float64Array:
    """Return the eigenvalue that each clock state stands for; signed registers are in two's complement."""
    k = np.arange(n_states, dtype=np.float64)
    if signed:
        k[n_states // 2 :] -= n_states
    return k * (2.0 * np.pi / n_states / evolution_time)


def _walk_values(n_states: int, alpha: float) -> Float64Array:
    """Return alpha cos(2 pi k/T), exactly symmetric under k -> T - k and odd under k -> T/2 - k."""
    quarter = n_states // 4
    first = alpha * np.cos(2.0 * np.pi * np.arange(quarter) / n_states)
    half = np.concatenate((first, [0.0], -first[:0:-1]))
    return np.concatenate((half, [-alpha], half[:0:-1]))


def resolve_clock(
    problem: SpectralProblem,
    wanted: Filter,
    *,
    n_clock_qubits: Any = "auto",
    evolution_time: Any = "auto",
    C: Any = "auto",
    window: Any = "hadamard",
    guard: Any = "auto",
    below: Any = "clip",
    signed: Any = "auto",
    phase_map: Any = "hamiltonian",
    alpha: Any = "frobenius",
    rotation_bits: Any = None,
) -> Clock:
    """Return the clock for a problem, with every "auto" replaced; the parameters are those of `hhl`."""
    for name, value, allowed in (
        ("below", below, get_args(Below)),
        ("window", window, get_args(Window)),
        ("phase_map", phase_map, get_args(PhaseMap)),
        ("signed", signed, (True, False, "auto")),
    ):
        check_choice(value, name, allowed)
    largest, smallest = extreme_magnitudes(problem)
    bits = None if rotation_bits is None else check_count(rotation_bits, "rotation_bits", low=1)
    if bits is not None and bits > 50:
        raise ValueError(f"`rotation_bits` must be at most 50, the digits of a float64 angle; got {bits}.")
    t0: float | None = None
    guard_used: int | None = None
    norm: float | None = None
    if phase_map == "walk":
        if not (is_word(evolution_time, "auto") and is_word(guard, "auto")):
            raise ValueError(
                "`evolution_time` and `guard` must be 'auto' for phase_map 'walk': a walk has no time, and its "
                "register ends at alpha."
            )
        if not signed:
            raise ValueError("`signed` must be True or 'auto' for phase_map 'walk', whose register has both signs.")
        is_signed, norm = True, choose_alpha(alpha, problem)
        t = _choose_qubits(n_clock_qubits, norm / smallest, signed=True)
        values = _walk_values(1 << t, norm)
    else:
        if not is_word(alpha, "frobenius"):
            raise ValueError(f"`alpha` must be left at 'frobenius' unless phase_map is 'walk'; got {alpha!r}.")
        is_signed = _choose_sign(problem, signed)
        t = _choose_qubits(n_clock_qubits, largest / smallest, signed=is_signed)
        t0, guard_used = _choose_time(evolution_time, guard, 1 << t, largest, signed=is_signed)
        values = register_values(1 << t, t0, signed=is_signed)
        if is_signed:
            # -T/2 has no partner +T/2: without it every filter that is odd stays odd.
            values[len(values) // 2] = 0.0
    if problem.kind == "singular":
        wanted.is_odd(values)  # refuses a function that is neither odd nor even
    constant = _choose_constant(C, values, smallest, wanted)
    rotation = rotation_table(values, wanted, C=constant, below=below, rotation_bits=bits)
    return Clock(
        n_qubits=t,
        phase_map=phase_map,
        signed=is_signed,
        evolution_time=t0,
        guard=guard_used,
        guard_grows=is_word(guard, "auto"),
        alpha=norm,
        window=window,
        values=values,
        filter=wanted,
        C=constant,
        below=below,
        rotation_bits=bits,
        rotation=rotation,
    )


def _choose_sign(problem: SpectralProblem, signed: bool | Literal["auto"]) -> bool:
    singular = problem.kind == "singular"
    needed = singular or bool(problem.values.min() < 0.0)
    if isinstance(signed, str):
        return needed
    if needed and not signed:
        why = (
            "an `A` that is not Hermitian: only its dilation [[0, A], [A^H, 0]] can be evolved, whose eigenvalues are "
            "+-sigma, so that the singular basis needs a signed register"
            if singular
            else "negative eigenvalues"
        )
        raise ValueError(f"`signed` must be True or 'auto' for {why}; got False.")
    return bool(signed)


def _choose_qubits(n_clock_qubits: Any, kappa: float, *, signed: bool) -> int:
    if isinstance(n_clock_qubits, str):
        if n_clock_qubits != "auto":
            raise ValueError(f"`n_clock_qubits` must be an integer or 'auto'; got {n_clock_qubits!r}.")
        return min(_AUTO_CLOCK_QUBITS, ceil(log2(kappa) - 1e-9) + 8 + signed)
    t = check_count(n_clock_qubits, "n_clock_qubits", low=2 if signed else 1)
    if t > MAX_CLOCK_QUBITS:
        raise ValueError(
            f"`n_clock_qubits` must be at most {MAX_CLOCK_QUBITS}; got {t}, for which the simulation would take "
            f"{_REGISTER_BYTES * 2.0 ** min(t, 900) / 1e9:.3g} GB of memory."
        )
    return t


def _choose_time(
    evolution_time: Any, guard: Any, n_states: int, largest: float, *, signed: bool
) -> tuple[float, int | None]:
    """Return t0 and the guard registers, None where the caller gave t0."""
    if isinstance(evolution_time, str):
        if evolution_time != "auto":
            raise ValueError(f"`evolution_time` must be a number > 0 or 'auto'; got {evolution_time!r}.")
        top = n_states // 2 if signed else n_states
        used = max(1, n_states // 16) if is_word(guard, "auto") else check_count(guard, "guard")
        if used >= top:
            raise ValueError(f"`guard` must be below {top}, the registers of one sign; got {used}.")
        # Divided by powers of two first, so that nothing overflows before the end.
        return _representable(2.0 * np.pi * ((top - used) / n_states) / largest, n_states, "`A` must be scaled"), used
    if not is_word(guard, "auto"):
        raise ValueError("`guard` must be 'auto' when `evolution_time` is given, as it has no effect then.")
    given = _representable(
        check_positive(evolution_time, "evolution_time"), n_states, "`evolution_time` must be changed"
    )
    turns = largest * given / (2.0 * np.pi)
    if turns * n_states * float(np.finfo(np.float64).eps) > _BLURRED:
        raise ValueError(
            f"`evolution_time` must be shorter: the largest |eigenvalue| {largest:.6g} makes {turns:.1e} turns in "
            f"{given:.3g}, and rounding leaves no phase of so many."
        )
    return given, None


def _representable(evolution_time: float, n_states: int, remedy: str) -> float:
    """Refuse a time whose register values would overflow or vanish."""
    with np.errstate(over="ignore"):
        top = np.float64(2.0 * np.pi) / evolution_time
    if not (np.isfinite(evolution_time) and np.isfinite(top) and top / n_states >= 1e-307):
        raise ValueError(f"{remedy}: the register values of `evolution_time` {evolution_time:.3g} are no float64.")
    return evolution_time


def _choose_constant(C: Any, values: Float64Array, smallest: float, wanted: Filter) -> float:
    if isinstance(C, str):
        if C not in ("auto", "register"):
            raise ValueError(f"`C` must be a number > 0, 'auto' or 'register'; got {C!r}.")
        if wanted.is_projection:
            return 1.0
        positive = np.sort(values[values > 0.0])
        bound = smallest * (1.0 + _ROUNDING) + _ROUNDING * positive[0]
        place = 0 if C == "register" else max(0, int(np.searchsorted(positive, bound, side="right")) - 1)
        # The largest C that lets no register from the first used one on exceed amplitude 1.
        constant = float(np.min(wanted.reciprocal(values[np.abs(values) >= positive[place]])))
        if constant == np.inf:
            raise ValueError("`filter` must not be 0 on every register of the clock: nothing would be rotated.")
        return constant
    if wanted.is_projection:
        raise ValueError(f"`C` must be 'auto' for filter 'threshold', which has no constant; got {C!r}.")
    if isinstance(C, bool) or not isinstance(C, Real):
        raise TypeError(f"`C` must be a number > 0, 'auto' or 'register'; got {C!r} of type {type(C).__name__}.")
    return check_positive(C, "C")


def _resolving_qubits(clock: Clock, largest: float, smallest: float) -> int:
    """Return the clock qubits with which the smallest eigenvalue reaches the first register value."""
    for t in range(clock.n_qubits, 64):
        n_states = 1 << t
        if clock.alpha is not None:
            step = clock.alpha * np.sin(2.0 * np.pi / n_states)
        elif clock.guard is None:
            assert clock.evolution_time is not None
            step = 2.0 * np.pi / (n_states * clock.evolution_time)
        else:
            top = n_states // 2 if clock.signed else n_states
            guard = max(1, n_states // 16) if clock.guard_grows else clock.guard
            if guard >= top:
                continue
            step = largest / (top - guard)
        if step <= smallest * (1.0 + _ROUNDING):
            return t
    return 64


def find_flaws(clock: Clock, problem: SpectralProblem) -> list[str]:
    """Return what makes this clock less than it could be for a problem, in words."""
    flaws = []
    largest, smallest = extreme_magnitudes(problem)
    values, step = clock.values, clock.step
    if clock.alpha is None:
        top = float(values.max()) + step
        if largest >= top * (1.0 - 1e-12):
            flaws.append(
                f"aliasing: the largest |eigenvalue| {largest:.6g} wraps around the register, which ends at "
                f"{top:.6g}; shorten `evolution_time`."
            )
        elif largest > (top - step) * (1.0 + _ROUNDING):
            flaws.append(
                f"aliasing: the largest |eigenvalue| {largest:.6g} lies above the last register value "
                f"{top - step:.6g}, so that a part of it wraps around; shorten `evolution_time`."
            )
        if clock.window == "sine" and clock.guard is not None and clock.guard < 2:
            flaws.append("the sine window needs 2 guard registers or more; raise `n_clock_qubits` or `guard`.")
    if smallest < step * (1.0 - _ROUNDING):
        needed = _resolving_qubits(clock, largest, smallest)
        if needed <= MAX_SEARCHED_QUBITS:
            rest = "and `min_clock_qubits` tells how many reach a given error."
        elif needed <= MAX_CLOCK_QUBITS:
            rest = "and more to be accurate."
        else:
            rest = f"more than the {MAX_CLOCK_QUBITS} simulated here; use filter 'ridge' or a truncated SVD."
        flaws.append(
            f"the smallest non-zero |eigenvalue| {smallest:.6g} is below one register step {step:.6g}; it needs "
            f"`n_clock_qubits` = {needed} to be resolved at all, {rest}"
        )
    missed = 1.0 - float(np.sum(np.abs(problem.coefficients[problem.values != 0.0]) ** 2))
    if clock.filter.name == "inverse" and problem.shape[0] == problem.shape[1] and missed > _KERNEL_SHARE:
        flaws.append(
            f"`A` is singular and {missed:.2g} of |b|^2 lies outside its range: no x solves the system, and the result "
            "is the solution of least squares."
        )
    done = "clipped" if clock.below == "clip" else "set to zero"
    # No register value is below the first, so that a C there is as low as is of use.
    remedy = " Lower `C`." if step * (1.0 + _ROUNDING) < clock.C else ""
    if clock.filter.name == "inverse" and smallest * (1.0 + _ROUNDING) < clock.C:
        flaws.append(f"eigenvalues below C = {clock.C:.6g} are {done}; the smallest is {smallest:.6g}.{remedy}")
    elif clock.filter.name in ("ridge", "callable"):
        inside = values[(np.abs(values) >= smallest) & (np.abs(values) <= largest)]
        peak = clock.C * float(np.abs(clock.filter(inside)).max(initial=0.0))
        if peak > 1.0 + _ROUNDING:
            flaws.append(f"registers where C |f| > 1 are {done}; it reaches {peak:.6g}. Lower `C`.")
    return flaws
