from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from testing import broken_answers as answers
from testing import broken_changes as changes
from testing import broken_draws as draws
from testing.right import FULL, SKEWED, ZEROS, Bounded, Changeable, Growing, Right, RightSparse, Table
from testing.storages import TALL, X

import qinspired as qi
from qinspired.access import ForwardingMatrix
from qinspired.exceptions import VersionError
from qinspired.testing import (
    ConformanceError,
    _laws,
    _updates,
    _uses,
    check_oversampled,
    check_sampler,
    check_sq_matrix,
    check_updatable_matrix,
    check_updatable_sampler,
)

ROWS = "rows are drawn by squared norm"
COLUMNS = "columns of every row are drawn by squared entry"
INDEPENDENT = "draws of one call are independent"
EDGES = "the number of draws is an integer >= 0"
KIND = "draws are int64 indices in range, one for each asked"
BLOCKS = "`row_blocks` goes through each row once, in order"
FORM = "blocks are CSR if `is_sparse` and C-contiguous arrays if not"
CANONICAL = "CSR blocks are canonical: indices in range, sorted, each once"
COPIES = "writing to what was returned leaves the matrix as it was"
LENGTHS = "`n_stored` and `row_lengths` count the stored entries"
PRODUCTS = "`matmul` and `rmatmul` multiply by the matrix and by its transpose"
WHOLE_ROWS = "`rows` gives whole rows, repeats and none included"
QUERIES = "queries are the entries of the matrix, broadcast as numpy does"
SEEDS = "the same seed gives the same draws"
OTHER_SEEDS = "another seed gives other draws, and a Generator advances"
PICKLES = "a storage pickles and answers alike, or says by TypeError that it does not"

BROKEN_MATRICES = [
    (draws.RowsBySize, FULL, ROWS),
    (draws.RowsUniform, FULL, ROWS),
    (draws.RowsOffByOne, FULL, ROWS),
    (draws.ZeroRowDrawn, X, "row of probability zero never comes up"),
    (draws.ColumnsBySize, FULL, "columns are drawn by squared entry, independently of the rows drawn with the same"),
    (draws.ColumnsOfOneRowWrong, SKEWED, COLUMNS),
    (draws.ZeroEntryDrawn, FULL, "entry of probability zero never comes up"),
    (draws.ColumnsTiedToRows, np.abs(FULL) + 0.25, "columns are drawn by squared entry, independently"),
    (draws.SortedDraws, FULL, INDEPENDENT),
    (draws.StratifiedColumns, np.ones((4, 30)), INDEPENDENT),
    (answers.QueryWraps, FULL, "negative indices never wrap around"),
    (answers.RowsWrap, FULL, "negative indices never wrap around"),
    (answers.NormsClip, FULL, "indices out of range are refused"),
    (answers.FloatIndices, FULL, "indices are integers"),
    (answers.BoolIndices, FULL, "indices are integers"),
    (answers.ScalarRows, FULL, "row indices are one-dimensional"),
    (answers.WritesThrough, FULL, COPIES),
    (answers.NormsHandedOut, FULL, COPIES),
    (answers.LengthsHandedOut, FULL, COPIES),
    (answers.WrongKindOfError, FULL, "negative indices never wrap around"),
    (answers.LengthsTooSmall, FULL, LENGTHS),
    (answers.StoredTooMany, FULL, LENGTHS),
    (answers.RowsUncounted, FULL, "a CountingMatrix counts what was asked"),
    pytest.param(
        draws.ThreadDependent,
        FULL,
        "draws do not depend on the number of threads",
        marks=pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba was started with one thread"),
    ),
    (draws.OtherInThreads, FULL, "draws in several Python threads are those of one"),
    (draws.SeedIgnored, FULL, SEEDS),
    (draws.SeedFixed, FULL, OTHER_SEEDS),
    (draws.GeneratorStands, FULL, OTHER_SEEDS),
    (draws.GlobalState, FULL, "global random states are neither read nor changed"),
    (answers.BlocksEndEarly, FULL, BLOCKS),
    (answers.BlocksOverlap, FULL, BLOCKS),
    (answers.BlocksShifted, FULL, BLOCKS),
    (answers.ProductOfSizes, FULL, PRODUCTS),
    (answers.TransposedProductShort, FULL, PRODUCTS),
    (answers.NormsOff, FULL, "norms are those of the matrix"),
    (answers.FrobeniusIsSum, FULL, "norms are those of the matrix"),
    (answers.EntryOff, FULL, QUERIES),
    (answers.NoBroadcast, FULL, QUERIES),
    (answers.CannotQuery, FULL, QUERIES),
    (answers.RowsReversed, FULL, WHOLE_ROWS),
    (answers.AscendingRowsAreRanges, FULL, WHOLE_ROWS),
    (answers.RepeatsDropped, FULL, WHOLE_ROWS),
    (answers.RowsFloat32, FULL, FORM),
    (answers.RowsInFortranOrder, FULL, FORM),
    (answers.DenseThoughSparse, FULL, FORM),
    (answers.Unsorted, FULL, CANONICAL),
    (answers.Duplicated, FULL, CANONICAL),
    (draws.ZeroRowHasColumns, X, "nothing is drawn where there is no mass"),
    (draws.ZeroMatrixHasRows, ZEROS, "nothing is drawn where there is no mass"),
    (draws.DrawsInt32, FULL, KIND),
    (draws.NegativeDraws, FULL, EDGES),
    (draws.FloatDraws, FULL, EDGES),
    (draws.AnyRandomness, FULL, "`rng` is an int >= 0, a Generator, a SeedSequence or None"),
    (answers.PicklesWithoutNorms, FULL, PICKLES),
    (answers.PickleRaises, FULL, PICKLES),
    (answers.VersionMoves, FULL, "only updates change the version"),
    (draws.VersionMovesByDraws, FULL, "only updates change the version"),
    (answers.ShapeOfNumpy, FULL, "attributes have the types that the protocol names"),
    (answers.ShapeTransposed, FULL, "the shape is that of the matrix"),
]

BROKEN_CHANGEABLE = [
    (changes.NeverUpdates, "a matrix that can change has `update` and `version`"),
    (changes.VersionStands, "the version grows with each update"),
    (changes.VersionFalls, "the version grows with each update"),
    (changes.VersionForgetsDeletes, "the version grows with each update"),
    (changes.NormsDrift, "norms do not drift under updates"),
    (changes.StaleTable, "draws follow an update at once"),
    (changes.HalfUpdated, "a bad update changes nothing"),
    (changes.HalfUpdatedAside, "a bad update changes nothing"),
    (changes.UpdateWraps, "a bad update is refused"),
    (changes.UpdateTakesNan, "a bad update is refused"),
    (changes.UpdateAdds, "after updates the matrix is the changed one"),
    (changes.FirstValueStays, "an entry named twice in one update takes the last value"),
    (changes.WrongRowDeleted, "after updates the matrix is the changed one"),
    (changes.RowsPutOnTop, "after updates the matrix is the changed one"),
]

WEIGHTS = np.array([2.0, 0.0, 1.0, 3.0, 0.5, 4.0])
LAW = "items are drawn in proportion to their weights"
BAD_UPDATE = "a bad update is refused and changes nothing"

BROKEN_SAMPLERS = [
    (changes.TableOfSquares, LAW),
    (changes.TableOffByOne, "item of probability zero never comes up"),
    (changes.TableWithoutSeed, SEEDS),
    (changes.TableTooLong, "the length is the number of weights"),
    (changes.TableSorted, INDEPENDENT),
]

BROKEN_CHANGEABLE_SAMPLERS = [
    (changes.TableStale, "draws follow an update at once"),
    (changes.TableHalfUpdated, BAD_UPDATE),
    (changes.TableTakesNegatives, BAD_UPDATE),
    (changes.TableNeverEmpty, "nothing is drawn where there is no mass"),
    (changes.TableDrifts, LAW),
]

BROKEN_BOUNDS = [
    (changes.BoundTooLow, "the bound dominates the matrix row by row"),
    (changes.BoundNormTooHigh, "`bound_norm` is the norm of the bound"),
    (changes.PhiWrong, "`phi` is |A~|_F^2 / |A|_F^2"),
    (changes.ProposalsUncounted, "proposals are counted: phi of them a draw"),
    (changes.LastRoundCounted, "proposals are counted: phi of them a draw"),
    (changes.AcceptsBySize, "proposals are counted: phi of them a draw"),
    (changes.AcceptsAll, ROWS),
]


def name_of(value: Any) -> str | None:
    return value.__name__ if isinstance(value, type) else None


def assert_breaks(error: ConformanceError, rule: str) -> None:
    """The message begins with the rule, and goes on to say what was seen."""
    assert error.rule.startswith(rule)
    assert str(error) == f"{error.rule}: {error.observed}"
    assert any(mark in error.observed for mark in ("`", "p = ", " raised "))


@pytest.mark.parametrize("right", [Right, RightSparse, Changeable, Growing, Bounded])
@pytest.mark.parametrize("dense", [FULL, X, ZEROS, TALL], ids=["full", "holed", "zeros", "tall"])
def test_the_storages_that_the_broken_ones_are_made_from_break_no_rule(right: Any, dense: np.ndarray) -> None:
    if right is Bounded:
        check_oversampled(lambda: right(dense), dense) if dense.any() else None
        return
    check_sq_matrix(lambda: right(dense), dense)
    if issubclass(right, Changeable):
        check_updatable_matrix(lambda: right(dense), dense)


@pytest.mark.parametrize(("storage", "dense", "rule"), BROKEN_MATRICES, ids=name_of)
def test_a_broken_storage_is_found_and_the_rule_named(storage: Any, dense: np.ndarray, rule: str) -> None:
    with pytest.raises(ConformanceError) as found:
        check_sq_matrix(lambda: storage(dense), dense)
    assert_breaks(found.value, rule)
    assert storage.__name__ in found.value.observed


@pytest.mark.parametrize(("storage", "rule"), BROKEN_CHANGEABLE, ids=name_of)
def test_a_storage_that_changes_wrongly_is_found_and_the_rule_named(storage: Any, rule: str) -> None:
    with pytest.raises(ConformanceError) as found:
        check_updatable_matrix(lambda: storage(FULL), FULL)
    assert_breaks(found.value, rule)


@pytest.mark.parametrize(("sampler", "rule"), BROKEN_SAMPLERS, ids=name_of)
def test_a_broken_sampler_is_found_and_the_rule_named(sampler: Any, rule: str) -> None:
    with pytest.raises(ConformanceError) as found:
        check_sampler(lambda: sampler(WEIGHTS), WEIGHTS)
    assert_breaks(found.value, rule)


@pytest.mark.parametrize(("sampler", "rule"), BROKEN_CHANGEABLE_SAMPLERS, ids=name_of)
def test_a_sampler_that_changes_wrongly_is_found_and_the_rule_named(sampler: Any, rule: str) -> None:
    check_sampler(lambda: sampler(WEIGHTS), WEIGHTS)
    with pytest.raises(ConformanceError) as found:
        check_updatable_sampler(lambda: sampler(WEIGHTS), WEIGHTS)
    assert_breaks(found.value, rule)


def test_a_sampler_that_changes_rightly_breaks_no_rule() -> None:
    check_updatable_sampler(lambda: Table(WEIGHTS), WEIGHTS)
    check_updatable_sampler(lambda: changes.TableOfSquares(WEIGHTS), WEIGHTS, exponent=2)


@pytest.mark.parametrize(("storage", "rule"), BROKEN_BOUNDS, ids=name_of)
def test_a_broken_bound_is_found_and_the_rule_named(storage: Any, rule: str) -> None:
    with pytest.raises(ConformanceError) as found:
        check_oversampled(lambda: storage(SKEWED), SKEWED)
    assert_breaks(found.value, rule)


def test_an_object_without_a_member_is_found_and_the_member_named() -> None:
    class Half:
        shape = FULL.shape
        dtype = FULL.dtype

    with pytest.raises(ConformanceError, match=r"every member of SampleQueryMatrix: .*frobenius_norm, .*sample_rows"):
        check_sq_matrix(Half, FULL)
    with pytest.raises(ConformanceError, match=r"oversampling access has its members: bound_norm, .*missing"):
        check_oversampled(lambda: qi.as_sq_matrix(FULL), FULL)


def test_what_a_storage_raises_is_told_with_the_rule_that_was_looked_at() -> None:
    with pytest.raises(
        ConformanceError, match=r"CannotQuery raised NotImplementedError: entries are not to be had"
    ) as found:
        check_sq_matrix(answers.CannotQuery, FULL)
    assert isinstance(found.value.__cause__, NotImplementedError)


def test_a_pin_that_lets_an_update_pass_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_updates, "as_sq_matrix", lambda A: A)
    with pytest.raises(ConformanceError, match=r"what was made before an update refuses after it: `as_sq_matrix\(A\)"):
        check_updatable_matrix(Changeable, FULL)


def test_a_pin_that_does_not_name_both_versions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terse(ForwardingMatrix):
        @property
        def source(self) -> Any:
            if self._source.version:  # type: ignore[attr-defined]
                raise VersionError("something changed")
            return self._source

    monkeypatch.setattr(_updates, "as_sq_matrix", Terse)
    with pytest.raises(ConformanceError, match=r"the message of `shape` must name versions 0 and 1; it is: something"):
        check_updatable_matrix(Changeable, FULL)


@pytest.mark.parametrize("method", ["auto", "gram"])
def test_an_answer_of_low_rank_that_breaks_its_promise_is_found(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    right = _uses.low_rank

    def wrong(A: Any, rank: int, **given: Any) -> Any:
        answer = right(A, rank, **given)
        others = np.ascontiguousarray(np.linalg.svd(decaying)[2][1 : rank + 1])
        return replace(answer, components=others) if given["method"] == method else answer

    decaying = TALL * 2.0 ** -np.arange(6.0)
    check_sq_matrix(lambda: Right(decaying), decaying)
    monkeypatch.setattr(_uses, "low_rank", wrong)
    message = rf"`low_rank` meets its tolerance .* method='{method}'\)` is off by an excess of .*, .*, .* with 3 seeds"
    with pytest.raises(ConformanceError, match=message):
        check_sq_matrix(lambda: Right(decaying), decaying)


def test_too_few_draws_to_see_a_wrong_law_are_refused_with_a_number_that_is_enough() -> None:
    with pytest.raises(ValueError, match=r"`n_draws` must be at least about \d+ .* law of row .*; got 500") as refused:
        check_sq_matrix(Right, FULL, n_draws=500)
    assert not isinstance(refused.value, ConformanceError)
    check_sq_matrix(Right, FULL, n_draws=500 * 64)
    with pytest.raises(ValueError, match=r"to tell the law of item over 6 items from .* got 100"):
        check_sampler(lambda: qi.AliasTable(WEIGHTS), WEIGHTS, n_draws=100)


def test_a_rare_item_that_comes_up_too_often_is_found() -> None:
    law = [1.0, 1e-9, 1.0]
    check_sampler(lambda: qi.AliasTable(law), law)
    with pytest.raises(ConformanceError, match=LAW):
        check_sampler(lambda: qi.AliasTable([1.0, 1e-3, 1.0]), law)


def test_a_drift_over_thousands_of_items_is_found() -> None:
    drifting = np.linspace(0.9, 1.1, 3000)
    check_sampler(lambda: qi.AliasTable(np.ones(3000)), np.ones(3000))
    with pytest.raises(ConformanceError, match=LAW):
        check_sampler(lambda: qi.AliasTable(drifting), np.ones(3000))


def test_a_tilt_that_evens_out_among_neighbours_is_found() -> None:
    with pytest.raises(ConformanceError, match=LAW):
        check_sampler(lambda: qi.AliasTable(np.tile([0.9, 1.1], 100)), np.ones(200), n_draws=50_000)


def test_without_draws_the_law_is_left_out_and_the_rest_is_not() -> None:
    check_sq_matrix(draws.RowsBySize, FULL, n_draws=0)
    with pytest.raises(ConformanceError, match="writing to what was returned"):
        check_sq_matrix(answers.WritesThrough, FULL, n_draws=0)


def test_a_matrix_too_large_for_the_law_to_be_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_laws, "_MOST_DRAWS", 4000)
    weights = np.tile([1.0, 2.0], 2000)
    with pytest.raises(ValueError, match=r"over 4000 items cannot be told .* in 4000 draws; check a smaller matrix"):
        check_sampler(lambda: qi.AliasTable(weights), weights, n_draws=2000)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n_draws": -1}, ValueError, "`n_draws` must be an integer >= 0; got -1"),
        ({"n_draws": 2.5}, TypeError, "`n_draws` must be an integer >= 0"),
        ({"rng": -1}, ValueError, "`rng` must be an int >= 0"),
        ({"rtol": -1.0}, ValueError, "`rtol` must be a finite number >= 0"),
        ({"rtol": "small"}, TypeError, "`rtol` must be a finite number >= 0"),
    ],
)
def test_arguments_of_the_checks_are_checked(given: Any, error: type[Exception], message: str) -> None:
    for check, build in ((check_sq_matrix, Right), (check_oversampled, Bounded)):
        with pytest.raises(error, match=message) as refused:
            check(build, FULL, **given)
        assert not isinstance(refused.value, ConformanceError)


def test_weights_and_arrays_that_give_nothing_to_compare_with_are_refused() -> None:
    for weights in ([0.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match="`weights` must be >= 0 with at least one positive"):
            check_sampler(lambda: qi.AliasTable([1.0]), weights)
    with pytest.raises(ValueError, match="`exponent` must be 1"):
        check_sampler(lambda: qi.AliasTable([1.0]), [1.0], exponent=3)
    with pytest.raises(ValueError, match="`dense` must be 2-dimensional"):
        check_sq_matrix(Right, FULL[0])
    for check in (check_sq_matrix, check_oversampled, check_updatable_matrix):
        with pytest.raises(ValueError, match=r"`dense` must be finite.*; got dense\[0, 0\] = nan"):
            check(Right, np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="`n_updates` must be an integer >= 1"):
        check_updatable_matrix(Changeable, FULL, n_updates=0)


def test_sample_matrices_are_of_the_types_that_storages_have() -> None:
    with pytest.raises(ValueError, match="`dtype` must be float32 or float64; got int8"):
        qi.testing.sample_matrices("int8")


def test_the_error_says_its_rule_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ConformanceError("a rule", "something else")))
    assert isinstance(error, AssertionError)
    assert (str(error), error.rule, error.observed) == ("a rule: something else", "a rule", "something else")


@pytest.mark.parametrize("seed", range(40))
def test_a_right_storage_passes_with_any_seed(seed: int) -> None:
    check_sq_matrix(lambda: qi.as_sq_matrix(X), X, rng=seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_slight_tilt_of_the_law_is_found_with_any_seed(seed: int) -> None:
    class Tilted(Right):
        def sample_rows(self, n_draws: Any, rng: Any = None) -> Any:
            shares = self._norms**2
            shares[: len(shares) // 2] *= 1.3
            return qi.AliasTable(shares).sample(n_draws, rng)

    with pytest.raises(ConformanceError, match=ROWS):
        check_sq_matrix(Tilted, FULL, rng=seed)
