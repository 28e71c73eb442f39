from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from derived import KINDS, A, B, Derived
from scipy import stats

import qinspired as qi
from qinspired.access.derived import _oversampled, _transposed
from qinspired.exceptions import ZeroMassError

N_DRAWS = 60_000
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)
builds = pytest.mark.parametrize("build", [np.array, sp.csr_array], ids=["dense", "csr"])


def wrong_laws(law: np.ndarray, tilt: float) -> dict[str, np.ndarray]:
    """Return laws that a sampler with a mistake would draw from."""
    first, second = np.argsort(law)[[-1, -2]]
    tilted = law.copy()
    tilted[first] -= tilt * law[first]
    tilted[second] += tilt * law[first]
    return {
        "by size": np.sqrt(law) / np.sqrt(law).sum(),
        "uniform": (law > 0) / np.count_nonzero(law),
        "tilted": tilted,
        "off by one": np.roll(law, 1),
    }


def assert_draws_follow(draws: np.ndarray, law: np.ndarray, tilt: float = 0.1, **more_wrong: np.ndarray) -> None:
    assert oracles.chi_square_p(draws, law) > oracles.P_LOWEST
    for name, wrong in (wrong_laws(law, tilt) | more_wrong).items():
        assert oracles.chi_square_p(draws, wrong) < oracles.P_LOWEST, name


@kinds
@builds
def test_rows_are_drawn_by_squared_norm_and_not_by_the_bound(kind: Derived, build: Any) -> None:
    matrix = kind.make(build)
    law = oracles.law_of_rows(kind.dense)
    # The twin: a sampler that accepts every proposal.
    bound = {} if kind.name == "transpose" else {"unrejected": oracles.law_of(matrix.bound_norms())}
    assert_draws_follow(matrix.sample_rows(N_DRAWS, rng=0), law, **bound)


@kinds
@builds
def test_columns_of_a_row_are_drawn_by_squared_entry(kind: Derived, build: Any) -> None:
    matrix = kind.make(build)
    row = int(np.argmax(oracles.row_norms(kind.dense)))
    draws = matrix.sample_cols(np.full(N_DRAWS, row), rng=1)
    assert_draws_follow(draws, oracles.law_of(kind.dense[row]))


@kinds
@builds
def test_a_row_and_then_a_column_is_an_entry_drawn_by_its_square(kind: Derived, build: Any) -> None:
    matrix = kind.make(build)
    rows = matrix.sample_rows(N_DRAWS, rng=2)
    entries = rows * matrix.shape[1] + matrix.sample_cols(rows, rng=2)
    # Of 960 entries the likeliest has a share of a hundredth: a tenth of that is lost in the noise.
    assert_draws_follow(entries, oracles.law_of(kind.dense.ravel()), tilt=0.5)


@kinds
@builds
def test_the_bound_dominates_and_has_the_norm_of_its_formula(kind: Derived, build: Any) -> None:
    matrix = kind.make(build)
    norms, bounds = oracles.row_norms(kind.dense), matrix.bound_norms()
    assert (bounds >= norms * (1 - 1e-12)).all()
    assert matrix.bound_norm**2 == pytest.approx(kind.bound_sq, rel=1e-12)
    np.testing.assert_array_equal(matrix.bound_norms([3, 0, 3]), bounds[[3, 0, 3]])
    assert bounds @ bounds == pytest.approx(kind.bound_sq, rel=1e-12)


@kinds
@builds
def test_phi_is_its_formula(kind: Derived, build: Any) -> None:
    assert kind.make(build).phi() == pytest.approx(kind.phi, rel=1e-10)


@kinds
@builds
def test_proposals_per_draw_are_phi(kind: Derived, build: Any) -> None:
    n_draws = 20_000
    draws, n_proposals = kind.make(build).sample_rows_counted(n_draws, rng=3)
    assert len(draws) == n_draws
    # Geometric counts have the variance phi (phi - 1); five standard errors are p < 1e-6.
    error = np.sqrt(kind.phi * (kind.phi - 1) / n_draws) if kind.phi > 1.0 + 1e-9 else 1e-9
    assert n_proposals / n_draws == pytest.approx(kind.phi, abs=5 * error)
    if kind.phi > 1.1:
        assert n_proposals / n_draws != pytest.approx(1.1 * kind.phi, abs=5 * error)


@kinds
def test_single_draws_cost_phi_proposals_too(kind: Derived) -> None:
    # Rounds are larger than what is asked for; what lies after the last draw must not be counted.
    matrix, repeats = kind.make(np.array), 4000
    generator = np.random.default_rng(4)
    counts = [matrix.sample_rows_counted(1, generator)[1] for _ in range(repeats)]
    assert np.mean(counts) == pytest.approx(kind.phi, abs=5 * np.sqrt(kind.phi * (kind.phi - 1) / repeats) + 1e-9)


@kinds
def test_the_estimated_norm_is_covered_as_often_as_it_says(kind: Derived) -> None:
    matrix, norm = kind.make(np.array), np.linalg.norm(kind.dense)
    found = [matrix.estimate_norm(200, rng=seed, confidence=0.9) for seed in range(300)]
    covered = sum(f.low <= norm * (1 + 1e-12) and norm <= f.high * (1 + 1e-12) for f in found)
    # Clopper-Pearson covers at least 90 %; fewer than 247 of 300 has a probability below 1e-4 if it is just that.
    assert stats.binom.cdf(246, 300, 0.9) < 1e-4
    assert covered >= 247
    assert all(f.low <= f.value <= f.high for f in found)
    shares = np.array([f.n_accepted / f.n_proposals for f in found])
    error = np.sqrt((1 / kind.phi) * (1 - 1 / kind.phi) / (200 * 300))
    assert shares.mean() == pytest.approx(1 / kind.phi, abs=5 * error + 1e-12)
    if 1.5 < kind.phi < 50:  # and the interval is no wider than it must be: it misses a norm 1.5 times as large
        assert sum(f.low <= 1.5 * norm <= f.high for f in found) < 247


def test_an_estimate_from_no_accepted_proposal_reaches_down_to_zero() -> None:
    nothing = qi.add(A, A, coefficients=[1.0, -1.0])
    found = nothing.estimate_norm(100, rng=0)
    assert (found.value, found.low, found.n_accepted, found.n_proposals) == (0.0, 0.0, 0, 100)
    # 1 - 0.025^(1/100) of the proposals could have been accepted.
    assert found.high == pytest.approx(nothing.bound_norm * np.sqrt(1 - 0.025 ** (1 / 100)), rel=1e-12)


@builds
def test_columns_of_a_transpose_take_the_norm_over_its_own_in_proposals(build: Any) -> None:
    T = qi.transpose(build(A))
    column_sq = (A**2).sum(axis=0)
    js = np.argsort(column_sq)[[-1, -4, -10]]
    for j in js:
        phi_j = column_sq.sum() / column_sq[j]
        n_draws = 4000
        draws, n_proposals = T.sample_cols_counted(np.full(n_draws, j), rng=5)
        assert n_proposals / n_draws == pytest.approx(phi_j, abs=5 * np.sqrt(phi_j * (phi_j - 1) / n_draws))
        assert oracles.chi_square_p(draws, oracles.law_of(A[:, j])) > oracles.P_LOWEST
        assert oracles.chi_square_p(draws, oracles.law_of_rows(A)) < oracles.P_LOWEST  # nothing refused


def test_over_the_law_of_its_rows_a_column_of_a_transpose_takes_as_many_proposals_as_it_has_rows() -> None:
    T = qi.transpose(A)
    n_draws = 20_000
    rows = T.sample_rows(n_draws, rng=6)
    cols, n_proposals = T.sample_cols_counted(rows, rng=7)
    shares = (A**2).sum(axis=0) / (A**2).sum()
    shares = shares[shares > 0]
    # E phi_j = sum_j p_j / p_j = the number of non-zero columns; E of the squared count is sum_j p_j (2 - p_j) / p_j^2.
    spread = np.sqrt(((2 - shares) / shares).sum() - len(shares) ** 2)
    assert len(shares) == 23
    assert n_proposals / n_draws == pytest.approx(23, abs=5 * spread / np.sqrt(n_draws))
    assert oracles.chi_square_p(rows * 40 + cols, oracles.law_of(A.T.ravel())) > oracles.P_LOWEST


@builds
def test_draws_of_a_tall_matrix_s_columns_are_by_rejection_and_of_rare_ones_by_reading(build: Any) -> None:
    tall = np.repeat(A[:, :4], 30, axis=0)  # 1,200 x 4: a column has 1,200 entries, a draw 4 proposals on average
    tall[:, 1] = 0.0
    tall[3, 1] = 1e-9
    counted = qi.CountingMatrix(qi.as_sq_matrix(build(tall)))
    T = qi.transpose(counted)
    draws = T.sample_cols(np.full(100, 0), rng=8)
    assert counted.counts.full_passes == 0
    assert counted.counts.entry_queries < 100 * 4 * 60
    assert (tall[draws, 0] != 0).all()
    assert (T.sample_cols([1, 1], rng=9) == 3).all()  # its share is below 1e-18
    assert counted.counts.full_passes == 1


@builds
def test_many_draws_of_a_few_columns_read_them(build: Any) -> None:
    counted = qi.CountingMatrix(qi.as_sq_matrix(build(A)))
    T = qi.transpose(counted)
    draws = T.sample_cols(np.full(50_000, 2), rng=10)
    assert oracles.chi_square_p(draws, oracles.law_of(A[:, 2])) > oracles.P_LOWEST
    assert (counted.counts.full_passes, counted.counts.row_draws) == (1, 0)


def test_columns_that_cannot_be_drawn_by_rejection_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transposed, "_LARGEST_OVERSAMPLING", 1000)
    X = np.array([[1.0, 0.0, 1e-9], [1.0, 0.0, 0.0]])
    T = qi.transpose(X)
    for call in (T.sample_cols, T.sample_cols_counted):
        with pytest.raises(ZeroMassError, match="row 1 has none to draw"):
            call([0, 1], rng=0)
    with pytest.raises(ZeroMassError, match=r"row 2 has less\. Use `sample_cols`"):
        T.sample_cols_counted([2], rng=0)
    assert T.sample_cols([2], rng=0).tolist() == [0]


@builds
@pytest.mark.parametrize(("first", "second"), [(1.0, -1.0), (3.0, -3.0000000000000004)])
def test_terms_that_cancel_are_refused_after_one_pass(build: Any, first: float, second: float) -> None:
    counted = qi.CountingMatrix(qi.as_sq_matrix(build(A)))
    nothing = qi.add(counted, counted, coefficients=[first, second])
    propose, made = nothing._propose, []

    def counting(count: int, generator: np.random.Generator) -> Any:
        made.append(count)
        return propose(count, generator)

    nothing._propose = counting  # type: ignore[method-assign]
    with pytest.raises(ZeroMassError, match="cancels to zero to working precision"):
        nothing.sample_rows(1, rng=0)
    assert counted.counts.rows_read <= 4 * 40
    assert 40 <= sum(made) < 200


def test_a_matrix_that_nearly_cancels_is_drawn_and_a_vanishing_one_refused() -> None:
    small = 1e-2 * np.roll(B, 1, axis=0)
    matrix = qi.add(A, small - A)
    phi = 2 * ((A**2).sum() + ((small - A) ** 2).sum()) / (small**2).sum()
    assert 1e3 < phi < 1e7
    draws, n_proposals = matrix.sample_rows_counted(300, rng=0)
    assert n_proposals / 300 == pytest.approx(phi, abs=5 * phi / np.sqrt(300))
    assert oracles.chi_square_p(draws, oracles.law_of_rows(small)) > oracles.P_LOWEST
    with pytest.raises(ZeroMassError, match="`as_sq_matrix` gives draws without"):
        qi.add(A, 1e-5 * small - A).sample_rows(1, rng=0)


def test_proposals_are_bounded_where_a_pass_is_never_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_oversampled, "_LARGEST_OVERSAMPLING", 20)
    X = np.ones((5000, 2))
    with pytest.raises(ZeroMassError, match="cancels to zero"):
        qi.add(X, X, coefficients=[1.0, -1.0 + 1e-3]).sample_rows(1, rng=0)


@kinds
def test_a_row_is_read_once_however_often_it_is_proposed(kind: Derived) -> None:
    if kind.name == "transpose":
        pytest.skip("its rows are drawn without reading them")
    sources: list[Any] = []

    def build(X: np.ndarray) -> Any:
        sources.append(qi.CountingMatrix(qi.as_sq_matrix(X)))
        return sources[-1]

    matrix = kind.make(build)
    before = [s.counts.rows_read for s in sources]
    matrix.sample_rows(20_000, rng=0)
    n_source_rows = 8 * 5 if kind.name == "combined rows" else 40
    for source, had in zip(sources, before, strict=True):
        assert source.counts.rows_read - had <= n_source_rows


@kinds
def test_the_same_seed_gives_the_same_draws(kind: Derived) -> None:
    first, second = kind.make(np.array), kind.make(np.array)
    np.testing.assert_array_equal(first.sample_rows(500, rng=1), second.sample_rows(500, rng=1))
    np.testing.assert_array_equal(first.sample_rows(500, rng=1), second.sample_rows(500, rng=1))  # rows known by now
    rows = first.sample_rows(500, rng=2)
    np.testing.assert_array_equal(first.sample_cols(rows, rng=3), second.sample_cols(rows, rng=3))
    cols, n_proposals = first.sample_cols_counted(rows, rng=3)
    assert cols.shape == (500,)
    assert n_proposals == 500 or kind.name == "transpose"


@kinds
def test_no_draws_cost_no_proposals(kind: Derived) -> None:
    matrix = kind.make(np.array)
    draws, n_proposals = matrix.sample_rows_counted(0, rng=0)
    assert (draws.shape, draws.dtype, n_proposals) == ((0,), np.int64, 0)
    cols, n_proposals = matrix.sample_cols_counted([], rng=0)
    assert (cols.shape, n_proposals) == ((0,), 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda M: M.sample_rows(-1), ValueError, "`n_draws` must be an integer >= 0"),
        (lambda M: M.sample_rows(2.0), TypeError, "`n_draws` must be an integer"),
        (lambda M: M.sample_rows(True), TypeError, "`n_draws` must be an integer"),
        (lambda M: M.sample_rows(1, rng="seed"), TypeError, "`rng` must be"),
        (lambda M: M.estimate_norm(0), ValueError, "`n_proposals` must be an integer >= 1"),
        (lambda M: M.estimate_norm(10, confidence=1.0), ValueError, r"`confidence` must be in \(0, 1\)"),
        (lambda M: M.sample_cols([0.5]), TypeError, "`rows` must hold integer indices"),
        (lambda M: M.sample_cols_counted([[0]]), ValueError, "`rows` must be 1-dimensional"),
        (lambda M: M.sample_cols_counted([1000]), IndexError, "`rows` must hold indices"),
    ],
)
@kinds
def test_draws_that_make_no_sense_are_refused(kind: Derived, call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(kind.make(np.array))


def test_proposals_for_a_column_end_at_ten_million_however_many_columns_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_transposed, "_LARGEST_OVERSAMPLING", 100)
    tall = np.ones((5000, 2))
    tall[:, 1] = 1e-9
    counted = qi.CountingMatrix(qi.as_sq_matrix(tall))
    with pytest.raises(ZeroMassError, match=r"row 1 has less\. Use `sample_cols`"):
        qi.transpose(counted).sample_cols_counted([1], rng=0)
    assert counted.counts.row_draws < 400
    assert counted.counts.full_passes == 0


def test_norms_of_more_derived_rows_than_are_kept_are_refused() -> None:
    problem = qi.problems.virtual_low_rank_matrix((10**9, 50), [2.0, 1.0])
    A = qi.ImplicitMatrix(**problem.access)
    total = qi.add(A, A)
    np.testing.assert_allclose(total.query([5], [6]), 2 * problem.entries([5], [6]))
    with pytest.raises(ValueError, match=r"norms of a derived matrix are kept, and those of 1000000000 rows would"):
        total.row_norms([5])
