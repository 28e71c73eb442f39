from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import qinspired as qi
from qinspired.algorithms._mean_intervals import bernstein_interval, binomial_interval, student_interval
from qinspired.algorithms._sides import summands, vector_side

intervals = pytest.mark.parametrize("interval", ["student", "bernstein"])
ways = pytest.mark.parametrize("by", ["entries", "rows"])


class Scripted:
    """A vector with a law, whose draws are given."""

    def __init__(self, values: Any, law: Any, draws: Any, bound_norm: float) -> None:
        self.values, self.law, self.draws = np.asarray(values, float), np.asarray(law, float), np.asarray(draws)
        self.size, self.bound_norm = len(self.values), bound_norm

    def query(self, indices: Any) -> Any:
        return self.values[indices]

    def sample(self, n_draws: int, rng: Any = None) -> Any:  # noqa: ARG002
        return self.draws[:n_draws]

    def probabilities(self, indices: Any) -> Any:
        return self.law[indices]


class Queried:
    """A vector that can be queried only."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, float)
        self.size = len(self.values)

    def query(self, indices: Any) -> Any:
        return self.values[indices]


def vectors(kind: str = "normal", n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    if kind == "heavy":
        return np.exp(2 * rng.standard_normal(n)), np.exp(2 * rng.standard_normal(n))
    return rng.standard_normal(n), rng.standard_normal(n) + 0.2


def matrices() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    A = rng.standard_normal((40, 25)) * rng.exponential(size=(40, 1))
    B = A + rng.standard_normal((40, 25)) * rng.exponential(size=(1, 25))
    A[rng.random(A.shape) < 0.4] = 0.0
    B[rng.random(A.shape) < 0.4] = 0.0
    A[7] = 0.0
    return A, B


def deviations(estimate: qi.Estimate, truth: float) -> float:
    """Return the error in standard errors; the interval at 95 % is 1.96 of them, and no shorter."""
    return abs(estimate.value - truth) / ((estimate.high - estimate.low) / 3.92)


def law(values: np.ndarray, exponent: int) -> np.ndarray:
    powers = np.abs(values) ** exponent
    return powers / powers.sum()


# What is averaged ---------------------------------------------------------------------------------------------------


def test_draws_from_one_vector_give_the_mean_of_the_weighted_products() -> None:
    x = Scripted([1.0, 2.0, 2.0], [1 / 9, 4 / 9, 4 / 9], [0, 1, 1, 2], 3.0)
    y = np.array([5.0, -1.0, 4.0])
    products = [5.0 / (1 / 9), -2.0 / (4 / 9), -2.0 / (4 / 9), 8.0 / (4 / 9)]
    found = qi.estimate_inner_product(x, y, 4, rng=0)
    assert found.value == pytest.approx(np.mean(products), rel=1e-14)
    reach = stats.t.ppf(0.975, 3) * np.std(products, ddof=1) / 2
    assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach), rel=1e-12)
    assert (found.confidence, found.n_draws) == (0.95, 4)
    assert str(found) == f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"


def test_draws_from_both_vectors_are_weighted_by_the_mean_of_the_laws() -> None:
    x = Scripted([3.0, 4.0], [0.36, 0.64], [0] * 50, 5.0)
    y = Scripted([12.0, -5.0], [144 / 169, 25 / 169], [1] * 50, 13.0)
    first, second = 36.0 / ((0.36 + 144 / 169) / 2), -20.0 / ((0.64 + 25 / 169) / 2)
    found = qi.estimate_inner_product(x, y, 50, rng=0)
    share = (found.value - second) / (first - second)
    n_first = round(50 * share)
    assert 10 < n_first < 40  # a coin decides whose draw it is
    assert found.value == pytest.approx((n_first * first + (50 - n_first) * second) / 50, rel=1e-13)


@settings(deadline=None, derandomize=True)  # the first call compiles
@given(
    arrays(np.float64, (2, 12), elements=st.floats(-1e3, 1e3).map(lambda v: v if abs(v) > 1e-3 else 0.0)),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
)
def test_no_summand_exceeds_the_product_of_the_bounds(values: np.ndarray, p: int, q: int) -> None:
    assume(values[0].any() and values[1].any())
    x, y = qi.SampleQueryVector(values[0], exponent=p), qi.SampleQueryVector(values[1], exponent=q)
    found, units = summands(vector_side(x, "x"), vector_side(y, "y"), 50, np.random.default_rng(0))
    assert units == (x.bound_norm, y.bound_norm)
    assert np.abs(found).max() <= 1.0 + 1e-12


def test_the_bound_of_the_mixture_is_attained_by_parallel_vectors() -> None:
    x = qi.SampleQueryVector(np.arange(1.0, 9.0))
    found = qi.estimate_inner_product(x, qi.SampleQueryVector(-3.0 * np.arange(1.0, 9.0)), 10, rng=0)
    assert found.value == pytest.approx(-3.0 * x.norm**2, rel=1e-14)
    assert found.low >= -3.0 * x.norm**2 * (1 + 1e-14)


@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_the_spread_is_that_of_the_exact_variance(kind: str) -> None:
    x, y = vectors(kind)
    truth = x @ y
    laws = {"1": law(x, 1), "2": law(x, 2), "mixture": (law(x, 2) + law(y, 2)) / 2}
    # In closed form: |x|_1 sum |x_i| y_i^2, |x|^2 |y|^2 and sum x_i^2 y_i^2 / q_i, all less <x, y>^2.
    second_moments = {
        "1": np.abs(x).sum() * (np.abs(x) * y**2).sum(),
        "2": (x @ x) * (y @ y),
        "mixture": (x**2 * y**2 / laws["mixture"]).sum(),
    }
    pairs = {
        "1": (qi.SampleQueryVector(x, exponent=1), y),
        "2": (qi.SampleQueryVector(x), y),
        "mixture": (qi.SampleQueryVector(x), qi.SampleQueryVector(y)),
    }
    for name, (left, right) in pairs.items():
        assert ((x * y) ** 2 / laws[name]).sum() == pytest.approx(second_moments[name], rel=1e-12)
        if kind == "heavy" and name == "2":
            continue  # a second moment that so few draws meet is not seen in 200,000 of them
        n = 200_000
        found, units = summands(vector_side(left, "x"), vector_side(right, "y"), n, np.random.default_rng(0))
        values = found * math.prod(units)
        deviation = math.sqrt(second_moments[name] - truth**2)
        assert values.mean() == pytest.approx(truth, abs=5 * deviation / math.sqrt(n))
        spread = (values - truth) ** 2
        assert spread.mean() == pytest.approx(deviation**2, abs=6 * spread.std() / math.sqrt(n))
        # The twin: the second moment, without the square of the mean taken off, is told apart where it differs.
        if truth**2 > 20 * spread.std() / math.sqrt(n):
            assert spread.mean() != pytest.approx(second_moments[name], abs=6 * spread.std() / math.sqrt(n))


def test_size_beats_squared_size_on_a_heavy_tail_and_loses_where_y_is_x() -> None:
    rng = np.random.default_rng(0)
    x, y = np.exp(1.5 * rng.standard_normal((2, 10_000)))
    truth = x @ y
    least = (x * y).sum() ** 2 - truth**2  # all products are positive: draws by the product are exact
    by_size = np.abs(x).sum() * (np.abs(x) * y**2).sum() - truth**2
    by_square = (x @ x) * (y @ y) - truth**2
    mixture = ((x * y) ** 2 / ((law(x, 2) + law(y, 2)) / 2)).sum() - truth**2
    assert least == 0.0
    assert by_square > 5 * by_size
    assert by_square > 5 * mixture
    parallel_by_size = np.abs(x).sum() * (np.abs(x) ** 3).sum() - (x @ x) ** 2
    assert parallel_by_size > 0.1 * (x @ x) ** 2  # and by squared size it is exact
    assert qi.estimate_inner_product(qi.SampleQueryVector(x), x, 5, rng=0).value == pytest.approx(x @ x, rel=1e-13)


# Inner products: kinds, scales, zeros ---------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(
    "wrap",
    [
        np.array,
        np.ndarray.tolist,
        Queried,
        qi.SampleQueryVector,
        lambda y: qi.SampleQueryVector(y, exponent=1),
        lambda y: y[:, None],
        lambda y: sp.csr_array(y[:, None]),
        lambda y: y.astype(np.float32),
        lambda y: y.astype(">f8"),
        lambda y: pytest.importorskip("pandas").DataFrame(y),
    ],
    ids=["array", "list", "queried", "sampled", "by size", "column", "sparse column", "float32", "big-endian", "frame"],
)
def test_an_inner_product_is_estimated_for_vectors_of_any_kind(p: int, wrap: Any) -> None:
    x, y = vectors()
    sampled = qi.SampleQueryVector(x, exponent=p)
    for pair in ((sampled, wrap(y)), (wrap(y), sampled)):
        assert deviations(qi.estimate_inner_product(*pair, 20_000, rng=0), x @ y) < 5


def test_combinations_of_rows_are_drawn_from_by_their_proposals() -> None:
    A, B = matrices()
    rows, coefficients = np.array([1, 5, 5, 20, 7]), np.array([1.0, -0.5, 2.0, 1.5, 3.0])
    combination = qi.RowCombination(qi.as_sq_matrix(A), rows, coefficients)
    dense = coefficients @ A[rows]
    for other in (B[3], qi.SampleQueryVector(B[3]), qi.RowCombination(qi.as_sq_matrix(B), rows[:3], coefficients[:3])):
        values = other if isinstance(other, np.ndarray) else other.to_array()
        found = qi.estimate_inner_product(combination, other, 20_000, rng=0)
        assert deviations(found, dense @ values) < 5
    zero = qi.RowCombination(qi.as_sq_matrix(A), rows, 0.0 * coefficients)
    assert qi.estimate_inner_product(zero, B[3], 10) == qi.Estimate(0.0, 0.0, 0.0, 1.0, 0)


@intervals
def test_the_zero_vector_gives_exactly_zero(interval: str) -> None:
    zero, x = qi.SampleQueryVector(np.zeros(4)), qi.SampleQueryVector(np.ones(4))
    exact = qi.Estimate(0.0, 0.0, 0.0, 1.0, 0)
    assert qi.estimate_inner_product(zero, x, 10, interval=interval) == exact
    assert qi.estimate_inner_product(x, zero, 10, interval=interval) == exact
    assert qi.estimate_inner_product(zero, zero, 10, interval=interval) == exact


def test_a_zero_array_is_known_by_its_drawn_entries_only() -> None:
    found = qi.estimate_inner_product(qi.SampleQueryVector(np.ones(4)), np.zeros(4), 10, rng=0)
    assert (found.value, found.low, found.high, found.n_draws) == (0.0, 0.0, 0.0, 10)


@pytest.mark.parametrize(("left", "right"), [(600, -600), (600, 200), (-600, -200), (-1000, 1000), (0, -900)])
@pytest.mark.parametrize("both", [False, True])
@intervals
def test_an_estimate_is_scaled_with_the_vectors(left: int, right: int, both: bool, interval: str) -> None:
    if interval == "bernstein" and not both:
        return
    x, y = vectors()
    estimates = []
    for a, b in ((0, 0), (left, right)):
        second = y * 2.0**b
        pair = qi.SampleQueryVector(x * 2.0**a), qi.SampleQueryVector(second) if both else second
        estimates.append(qi.estimate_inner_product(*pair, 100, rng=0, interval=interval))
    plain, scaled = estimates
    unit = 2.0 ** (left + right)
    for part in ("value", "low", "high"):
        assert getattr(scaled, part) == pytest.approx(getattr(plain, part) * unit, rel=1e-12)


def test_an_estimate_beyond_the_largest_float_is_refused() -> None:
    huge = qi.SampleQueryVector(np.full(4, 1e200))
    with pytest.raises(OverflowError, match=r"exceeds 1\.8e308; divide a factor by a constant first"):
        qi.estimate_inner_product(huge, huge, 10, rng=0)
    combination = qi.RowCombination(qi.as_sq_matrix(np.full((2, 3), 1e200)), np.arange(2), np.full(2, 1e200))
    with pytest.raises(OverflowError, match=r"an entry of the combination exceeds 1\.8e308; divide its coefficients"):
        qi.estimate_norm(combination, 10, rng=0)


def test_float32_products_are_taken_in_float64() -> None:
    x = qi.SampleQueryVector(np.full(3, 1e30, dtype=np.float32))
    y = np.full(3, 1e30, dtype=np.float32)  # products of 1e60 overflow float32
    found = qi.estimate_inner_product(x, y, 10, rng=0)
    assert found.value == pytest.approx(3 * float(np.float32(1e30)) ** 2, rel=1e-13)


def test_the_same_seed_gives_the_same_estimate_and_a_generator_advances() -> None:
    x, y = (qi.SampleQueryVector(values) for values in vectors())
    generator = np.random.default_rng(3)
    first, second = (qi.estimate_inner_product(x, y, 50, rng=generator) for _ in range(2))
    assert first == qi.estimate_inner_product(x, y, 50, rng=3)
    assert first != second


def test_more_confidence_makes_a_longer_interval_and_bernstein_a_longer_one_still() -> None:
    x, y = (qi.SampleQueryVector(values) for values in vectors())
    lengths = []
    for interval, confidence in (("student", 0.8), ("student", 0.99), ("bernstein", 0.99)):
        found = qi.estimate_inner_product(x, y, 500, rng=0, confidence=confidence, interval=interval)
        assert found.confidence == confidence
        assert found.low <= found.value <= found.high
        lengths.append(found.high - found.low)
    assert lengths == sorted(lengths)


def test_an_interval_stays_within_the_product_of_the_norms() -> None:
    x = qi.SampleQueryVector(np.array([1.0, 1.0, 1.0, -1.0]))
    y = qi.SampleQueryVector(np.ones(4))
    for interval in ("student", "bernstein"):
        found = qi.estimate_inner_product(x, y, 2, rng=0, interval=interval)
        assert -4.0 <= found.low <= found.value <= found.high <= 4.0


# Bad input ------------------------------------------------------------------------------------------------------------

X, Y = qi.SampleQueryVector([1.0, 2.0]), np.array([3.0, 4.0])
ASKED = {
    "inner product": lambda n=10, **options: qi.estimate_inner_product(X, Y, n, **options),
    "trace": lambda n=10, **options: qi.estimate_trace(np.eye(2), np.eye(2), n, **options),
    "bilinear form": lambda n=10, **options: qi.estimate_bilinear_form(X, np.eye(2), Y, n, **options),
    "norm": lambda n=10, **options: qi.estimate_norm(X, n, **options),
}
asked = pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)


@asked
@pytest.mark.parametrize("n", [-1, 0, 1])
def test_fewer_than_two_draws_are_refused(ask: Any, n: int) -> None:
    with pytest.raises(ValueError, match=rf"`n_(draws|proposals)` must be an integer >= 2; got {n}"):
        ask(n)


@asked
@pytest.mark.parametrize("n", [2.0, True, "3", None])
def test_a_number_of_draws_that_is_no_integer_is_refused(ask: Any, n: Any) -> None:
    with pytest.raises(TypeError, match=r"`n_(draws|proposals)` must be an integer >= 2"):
        ask(n)


@asked
@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95, math.nan])
def test_a_confidence_outside_of_zero_to_one_is_refused(ask: Any, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"`confidence` must be in \(0, 1\)"):
        ask(confidence=confidence)


@asked
@pytest.mark.parametrize("confidence", [True, "0.9", None])
def test_a_confidence_that_is_no_number_is_refused(ask: Any, confidence: Any) -> None:
    with pytest.raises(TypeError, match="`confidence` must be a number"):
        ask(confidence=confidence)


@asked
def test_an_unknown_interval_is_refused(ask: Any) -> None:
    with pytest.raises(ValueError, match=r"`interval` must be one of 'student', 'bernstein'.*; got 'normal'"):
        ask(interval="normal")


@asked
@pytest.mark.parametrize("rng", [-1, 1.5, True])
def test_a_wrong_source_of_randomness_is_refused(ask: Any, rng: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="`rng` must be an int >= 0"):
        ask(rng=rng)


@pytest.mark.parametrize("name", ["inner product", "trace", "bilinear form"])
def test_bernstein_needs_draws_from_both_factors(name: str) -> None:
    with pytest.raises(ValueError, match="`interval` must be 'student' here: without draws from both factors"):
        ASKED[name](interval="bernstein")


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="`x` and `y` must have the same length; got 2 and 3"):
        qi.estimate_inner_product(X, np.ones(3), 10)
    message = r"each row and each column of `A` of shape \(2, 3\); got 2 and 2 entries"
    with pytest.raises(ValueError, match=message):
        qi.estimate_bilinear_form(X, np.ones((2, 3)), Y, 10)


def test_two_vectors_without_draws_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`x` or `y` must be open to draws.*wrap one in `SampleQueryVector`"):
        qi.estimate_inner_product(Y, Y, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_drawn_entry_that_is_not_finite_is_named(value: float) -> None:
    x = qi.SampleQueryVector([0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match=rf"`y` must be finite.*y\[1\] = {value}"):
        qi.estimate_inner_product(x, np.array([1.0, value, 1.0]), 10)
    # What is not drawn is not read.
    assert qi.estimate_inner_product(x, np.array([value, 2.0, 1.0]), 10).value == 2.0
    A = np.zeros((2, 3))
    A[1, 2] = 1.0
    for by in ("entries", "rows"):
        for B in (np.where(A > 0.0, value, 1.0), sp.csr_array(([value], ([1], [2])), shape=(2, 3))):
            with pytest.raises(ValueError, match=rf"`B` must be finite.*got B\[1, 2\] = {value}"):
                qi.estimate_trace(A, B, 10, by=by)
    with pytest.raises(ValueError, match=rf"`x` must be finite.*x\[1\] = {value}"):
        qi.estimate_bilinear_form([1.0, value], A, np.ones(3), 10)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.ones((2, 2)), ValueError, r"`y` must be a 1-dimensional vector of at least one entry; got shape \(2, 2\)"),
        (np.ones((1, 2)), ValueError, r"got shape \(1, 2\)\. Flatten a single row with `\.ravel\(\)`"),
        (np.asmatrix([[1.0], [2.0]]), TypeError, r"`y` must not be a numpy\.matrix; convert it with `numpy\.asarray`"),
        (3.0, TypeError, r"`y` must be a vector.*; got float"),
        (None, TypeError, r"`y` must be a vector.*; got NoneType"),
        (qi.as_sq_matrix(np.eye(2)), TypeError, r"`y` must be a vector.*; got DenseMatrix"),
        ([], ValueError, r"`y` must be a 1-dimensional vector"),
        (["a", "b"], ValueError, "`y` must be numeric"),
        ([1j, 1j], ValueError, "`y` must be real"),
        (np.ma.masked_equal([1.0, 2.0], 2.0), TypeError, "`y` must not be a masked array"),
    ],
)
def test_what_is_no_vector_is_refused(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.estimate_inner_product(X, y, 10)


def test_a_law_that_does_not_bound_its_vector_is_refused() -> None:
    wrong = Scripted([1.0, 9.0], [0.5, 0.5], [1, 1, 0, 1], 2.0)
    with pytest.raises(ValueError, match=r"a summand exceeds its bound by a factor of .* `bound_norm`"):
        qi.estimate_inner_product(wrong, X, 4, rng=0)
    with pytest.raises(ValueError, match="a summand exceeds its bound"):
        qi.estimate_norm(wrong, 4, rng=0)


# Matrices -------------------------------------------------------------------------------------------------------------


class QueriedMatrix:
    """A matrix that can be queried only."""

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.shape = X, X.shape

    def query(self, rows: Any, cols: Any) -> Any:
        return self.X[rows, cols]

    def rows(self, rows: Any) -> Any:
        return self.X[rows]


@ways
@pytest.mark.parametrize("draw", [np.array, sp.csr_array, qi.as_sq_matrix], ids=["array", "csr", "access"])
@pytest.mark.parametrize(
    "ask",
    [
        np.array,
        np.asfortranarray,
        sp.csr_array,
        sp.coo_array,
        qi.as_sq_matrix,
        QueriedMatrix,
        lambda B: qi.as_sq_matrix(sp.csr_array(B)),
        lambda B: B.astype(np.float32),
    ],
    ids=["array", "F order", "csr", "coo", "access", "queried", "csr access", "float32"],
)
def test_a_trace_is_estimated_for_matrices_of_any_kind(by: str, draw: Any, ask: Any) -> None:
    A, B = matrices()
    found = qi.estimate_trace(draw(A), ask(B), 5000, rng=0, by=by)
    assert deviations(found, (A * B).sum()) < 5
    assert found.n_draws == 5000


@ways
def test_summands_of_a_trace_by_hand(by: str) -> None:
    # One row, or one entry, carries everything: every draw is the same.
    A, B = np.zeros((3, 4)), np.arange(12.0).reshape(3, 4)
    A[1, 2] = 5.0
    found = qi.estimate_trace(A, B, 7, rng=0, by=by)
    assert (found.value, found.low, found.high) == pytest.approx((30.0, 30.0, 30.0), rel=1e-14)


@intervals
@ways
def test_a_zero_matrix_gives_exactly_zero(by: str, interval: str) -> None:
    zero, one = qi.as_sq_matrix(np.zeros((3, 4))), qi.as_sq_matrix(np.ones((3, 4)))
    x, y = qi.SampleQueryVector(np.ones(3)), qi.SampleQueryVector(np.ones(4))
    exact = qi.Estimate(0.0, 0.0, 0.0, 1.0, 0)
    options = {"by": by, "interval": interval}
    assert qi.estimate_trace(zero, one, 10, **options) == qi.estimate_trace(one, zero, 10, **options) == exact
    assert qi.estimate_bilinear_form(x, zero, y, 10, **options) == exact
    assert qi.estimate_bilinear_form(qi.SampleQueryVector(np.zeros(3)), one, y, 10, **options) == exact
    assert qi.estimate_bilinear_form(x, one, qi.SampleQueryVector(np.zeros(4)), 10, **options) == exact


def test_whole_rows_have_less_variance_than_entries_as_the_closed_forms_say() -> None:
    A, B = matrices()
    truth, n = (A * B).sum(), 100_000
    q = (law(A, 2) + law(B, 2)) / 2
    q_rows = q.sum(axis=1)
    products = (A * B).sum(axis=1)
    drawable, drawable_rows = q > 0, q_rows > 0
    wanted = {
        "entries": ((A * B)[drawable] ** 2 / q[drawable]).sum() - truth**2,
        "rows": (products[drawable_rows] ** 2 / q_rows[drawable_rows]).sum() - truth**2,
    }
    assert wanted["rows"] < wanted["entries"] / 3
    for by, variance in wanted.items():
        found = qi.estimate_trace(A, qi.as_sq_matrix(B), n, rng=0, by=by)
        reach = stats.t.ppf(0.975, n - 1) * math.sqrt(variance / n)
        reach += np.linalg.norm(A) * np.linalg.norm(B) * math.log(40) / (3 * n)
        # The interval shows the variance; the square root of 100,000 summands' variance is right to 5 % here.
        assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.05)


@ways
@pytest.mark.parametrize("x_sampled", [False, True])
@pytest.mark.parametrize("y_sampled", [False, True])
@pytest.mark.parametrize("build", [np.array, sp.csr_array, qi.as_sq_matrix], ids=["array", "csr", "access"])
def test_a_bilinear_form_is_estimated_with_and_without_draws_of_the_vectors(
    by: str, x_sampled: bool, y_sampled: bool, build: Any
) -> None:
    A, B = matrices()
    x, y = B[:, 0] + 1.0, B[0] - 1.0
    left, right = (qi.SampleQueryVector(v) if sampled else v for v, sampled in ((x, x_sampled), (y, y_sampled)))
    found = qi.estimate_bilinear_form(left, build(A), right, 20_000, rng=0, by=by)
    assert deviations(found, x @ A @ y) < 5


@ways
def test_the_bounded_forms_of_matrices_have_a_rigorous_interval(by: str) -> None:
    A, B = (qi.as_sq_matrix(X) for X in matrices())
    dense_A, dense_B = matrices()
    x, y = qi.SampleQueryVector(dense_B[:, 0]), qi.SampleQueryVector(dense_B[0])
    options = {"rng": 0, "by": by, "interval": "bernstein"}
    found = qi.estimate_trace(A, B, 2000, **options)
    assert found.low <= (dense_A * dense_B).sum() <= found.high
    found = qi.estimate_bilinear_form(x, A, y, 2000, **options)
    assert found.low <= dense_B[:, 0] @ dense_A @ dense_B[0] <= found.high


@ways
def test_combinations_and_queried_vectors_fit_into_a_bilinear_form(by: str) -> None:
    A, B = matrices()
    y = qi.RowCombination(qi.as_sq_matrix(B), np.array([0, 4]), np.array([1.0, -2.0]))
    found = qi.estimate_bilinear_form(Queried(B[:, 0]), A, y, 20_000, rng=0, by=by)
    assert deviations(found, B[:, 0] @ A @ y.to_array()) < 5


@ways
@pytest.mark.parametrize("shift", [(600, -600, 0), (600, 300, -700), (-500, -500, 400)])
def test_matrix_estimates_are_scaled_with_their_factors(by: str, shift: tuple[int, int, int]) -> None:
    A, B = matrices()
    a, b, c = (2.0**k for k in shift)
    for second in (np.array, qi.as_sq_matrix):
        plain = qi.estimate_trace(A, second(B), 50, rng=0, by=by)
        scaled = qi.estimate_trace(A * a, second(B * b), 50, rng=0, by=by)
        assert scaled.value == pytest.approx(math.ldexp(plain.value, shift[0] + shift[1]), rel=1e-12)
    for wrap in (np.array, qi.SampleQueryVector):
        plain = qi.estimate_bilinear_form(wrap(B[:, 0]), A, wrap(B[0]), 50, rng=0, by=by)
        scaled = qi.estimate_bilinear_form(wrap(B[:, 0] * a), A * b, wrap(B[0] * c), 50, rng=0, by=by)
        assert scaled.value == pytest.approx(math.ldexp(plain.value, sum(shift)), rel=1e-12)


def test_rows_in_blocks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B = matrices()
    B *= np.geomspace(1e-150, 1e150, 40)[:, None]
    for second in (np.array, sp.csr_array, qi.as_sq_matrix):
        at_once = qi.estimate_trace(A, second(B), 30, rng=0, by="rows")
        with monkeypatch.context() as patched:
            patched.setattr("qinspired.algorithms._sides._BLOCK_ENTRIES", 60)
            in_blocks = qi.estimate_trace(A, second(B), 30, rng=0, by="rows")
        assert in_blocks.value == pytest.approx(at_once.value, rel=1e-13)


def test_matrices_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`A` and `B` must have the same shape; got \(2, 2\) and \(2, 3\)"):
        qi.estimate_trace(np.ones((2, 2)), np.ones((2, 3)), 10)


def test_an_unknown_kind_of_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="`by` must be one of 'entries', 'rows'; got 'columns'"):
        qi.estimate_trace(np.eye(2), np.eye(2), 10, by="columns")
    with pytest.raises(ValueError, match="`by` must be one of"):
        qi.estimate_bilinear_form(X, np.eye(2), Y, 10, by=None)


@pytest.mark.parametrize(
    ("B", "error", "message"),
    [
        (np.ones(2), ValueError, r"`B` must be 2-dimensional; got shape \(2,\)"),
        (np.asmatrix(np.eye(2)), TypeError, "`B` must not be a numpy.matrix"),
        (np.ones((2, 0)), ValueError, r"`B` must have at least one row and one column; got shape \(2, 0\)"),
        (np.eye(2) * 1j, ValueError, "`B` must be real"),
        (np.array([["a", "b"], ["c", "d"]]), ValueError, "`B` must be numeric"),
    ],
)
def test_what_is_no_matrix_is_refused(B: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qi.estimate_trace(np.eye(2), B, 10)
    with pytest.raises((TypeError, ValueError), match="`A` must "):
        qi.estimate_trace(B, np.eye(2), 10)


# Norms ----------------------------------------------------------------------------------------------------------------


def test_a_data_frame_of_no_numbers_or_of_two_columns_is_refused_where_it_does_not_fit() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"`y` must be a 1-dimensional vector.*; got shape \(2, 2\)"):
        qi.estimate_inner_product(X, pd.DataFrame(np.eye(2)), 10)
    words = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(TypeError, match="`B` must have numeric columns; column 'b'"):
        qi.estimate_trace(np.eye(2), words, 10)
    with pytest.raises(TypeError, match="`y` must have numeric columns; column 'b'"):
        qi.estimate_inner_product(X, words[["b"]], 10)


def test_the_norm_of_a_stored_vector_is_exact() -> None:
    assert qi.estimate_norm(qi.SampleQueryVector([3.0, 4.0], exponent=1), 10) == qi.Estimate(5.0, 5.0, 5.0, 1.0, 0)


@pytest.mark.parametrize("interval", ["student", "bernstein", "clopper-pearson"])
@pytest.mark.parametrize("unit", [1.0, 2.0**600, 2.0**-600])
def test_the_norm_of_a_combination_is_estimated(interval: str, unit: float) -> None:
    A, _ = matrices()
    x = qi.RowCombination(qi.as_sq_matrix(A * unit), np.array([1, 5, 8]), np.array([1.0, -0.5, 2.0]))
    found = qi.estimate_norm(x, 5000, rng=0, interval=interval, confidence=1 - 1e-6)
    shares = x.to_array() / unit
    assert found.low <= np.sqrt(shares @ shares) * unit <= found.high
    assert found.high < 1.3 * found.low
    assert found.n_draws == 5000


def test_the_probabilities_of_acceptance_are_averaged_or_tossed_as_coins() -> None:
    # |x| = 5, the bound 10: a = x_i^2 / (100 P(i)) is 0.18, 0.32 at the two positions.
    x = Scripted([3.0, 4.0], [0.5, 0.5], [0] * 6 + [1] * 4, 10.0)
    found = qi.estimate_norm(x, 10, rng=0)
    assert found.value == pytest.approx(10.0 * math.sqrt(0.6 * 0.18 + 0.4 * 0.32), rel=1e-14)
    coins = qi.estimate_norm(x, 10, rng=0, interval="clopper-pearson")
    hits = round((coins.value / 10.0) ** 2 * 10)
    assert coins.value == pytest.approx(10.0 * math.sqrt(hits / 10), rel=1e-14)
    wanted = stats.binomtest(hits, 10).proportion_ci(0.95, method="exact")
    assert (coins.low, coins.high) == pytest.approx((10 * math.sqrt(wanted.low), 10 * math.sqrt(wanted.high)), rel=1e-9)


def test_the_norm_of_a_zero_combination_is_exactly_zero() -> None:
    A, _ = matrices()
    zero = qi.RowCombination(qi.as_sq_matrix(A), np.array([7]), np.array([2.0]))
    assert qi.estimate_norm(zero, 10) == qi.Estimate(0.0, 0.0, 0.0, 1.0, 0)


@pytest.mark.parametrize("x", [np.ones(3), Queried([1.0, 2.0])])
def test_a_vector_without_draws_has_no_norm_to_estimate(x: Any) -> None:
    with pytest.raises(TypeError, match=r"`x` must be a RowCombination, .* `numpy\.linalg\.norm\(x\)`"):
        qi.estimate_norm(x, 10)


# Intervals of a mean --------------------------------------------------------------------------------------------------


def test_students_interval_is_that_of_scipy_and_the_range_term_is_bernsteins() -> None:
    values = np.random.default_rng(0).standard_normal(30)
    wanted = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert student_interval(values, 0.9, 0.0) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
    low, high = student_interval(values, 0.9, 2.0)
    assert (wanted.low - low, high - wanted.high) == pytest.approx((2.0 * math.log(20) / 90,) * 2, rel=1e-9)


def bernstein_by_hand(values: list[float], confidence: float) -> tuple[float, float]:
    n, log_odds = len(values), math.log(2 / (1 - confidence))
    mean, variance, total, squares = 0.5, 0.25, 0.5, 0.25
    staked = won = lost = 0.0
    for t, value in enumerate(values, 1):
        bet = min(math.sqrt(2 * log_odds / (n * variance)), 0.75)
        staked, won = staked + bet, won + bet * value
        lost += (-math.log(1 - bet) - bet) * (value - mean) ** 2
        total += value
        mean = total / (t + 1)
        squares += (value - mean) ** 2
        variance = squares / (t + 1)
    return (won - log_odds - lost) / staked, (won + log_odds + lost) / staked


def test_the_bernstein_interval_is_the_one_summed_by_hand() -> None:
    values = np.random.default_rng(1).beta(2, 3, 400)
    assert bernstein_interval(values, 0.9) == pytest.approx(bernstein_by_hand(values.tolist(), 0.9), rel=1e-11)


@settings(deadline=None, derandomize=True)
@given(st.floats(-1.0, 1.0), st.floats(0.0, 0.99))
def test_the_inequality_behind_the_bernstein_interval_holds(y: float, bet: float) -> None:
    loss = -math.log1p(-bet) - bet
    assert math.exp(bet * y - y * y * loss) <= (1.0 + bet * y) * (1 + 1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 10), (1, 1000)])
def test_the_binomial_interval_is_that_of_clopper_and_pearson(hits: int, n: int) -> None:
    wanted = stats.binomtest(hits, n).proportion_ci(0.99, method="exact")
    assert binomial_interval(hits, n, 0.99) == pytest.approx((wanted.low, wanted.high), rel=1e-9, abs=1e-15)
