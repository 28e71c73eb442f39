from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from zoo import QUARTERS

import qinspired as qi
from qinspired.access import _implicit
from qinspired.exceptions import ZeroMassError

N_DRAWS = 40_000
NORMS = np.linalg.norm(QUARTERS, axis=1)
WANTED = qi.as_sq_matrix(QUARTERS)
TOTAL = float(np.linalg.norm(QUARTERS))


def build(kind: str, X: np.ndarray = QUARTERS, **given: Any) -> qi.ImplicitMatrix:
    """Wrap a matrix by functions: tabulated or rejected norms, rows, CSR rows or entries, columns read or rejected."""
    norms = np.array(oracles.row_norms(X))
    sparse = sp.csr_matrix(X)
    entries = {"entry_function": lambda rows, cols: X[rows, cols]}
    rejection = {
        "norm_bound": norms.max() * 1.25,
        "frobenius_norm": norms.max() * float(np.linalg.norm(X / norms.max())),
    }
    ways: dict[str, dict[str, Any]] = {
        "rows": {"row_norms": norms, "row_function": lambda rows: X[rows]},
        "csr rows": {"row_norms": norms, "row_function": lambda rows: sparse[rows]},
        "entries": {"row_norms": norms, "row_function": None, **entries},
        "norms by a pass": {"row_norms": None, "row_function": lambda rows: X[rows]},
        "norms by a sparse pass": {"row_norms": None, "row_function": lambda rows: sparse[rows]},
        "rejection of rows": {"row_norms": lambda rows: norms[rows], "row_function": lambda rows: X[rows], **rejection},
        "rejection of both": {
            "row_norms": lambda rows: norms[rows],
            "row_function": None,
            **entries,
            **rejection,
            "entry_bound": lambda rows: np.abs(X).max(axis=1)[rows] * 1.25,
        },
        "one entry bound": {"row_norms": norms, "row_function": None, **entries, "entry_bound": np.abs(X).max()},
    }
    return qi.ImplicitMatrix(**{"shape": X.shape, **ways[kind], **given})


KINDS = [
    "rows",
    "csr rows",
    "entries",
    "norms by a pass",
    "norms by a sparse pass",
    "rejection of rows",
    "rejection of both",
    "one entry bound",
]
every_kind = pytest.mark.parametrize("kind", KINDS)


def dense(block: Any) -> np.ndarray:
    return block.toarray() if sp.issparse(block) else block


@every_kind
def test_it_answers_as_the_stored_matrix_does(kind: str) -> None:
    A = build(kind)
    assert isinstance(A, qi.SampleQueryMatrix)
    assert (A.shape, A.dtype, A.is_sparse) == (WANTED.shape, np.float64, "sparse" in kind or "csr" in kind)
    assert A.frobenius_norm == pytest.approx(TOTAL, rel=1e-14)
    rows, cols = np.array([[8], [0], [3]]), np.array([[0, 11, 5, 0]])
    np.testing.assert_array_equal(A.query(rows, cols), QUARTERS[rows, cols])
    np.testing.assert_array_equal(A.query([0, 8], [0, 11]), QUARTERS[[0, 8], [0, 11]])
    assert A.query(2, 2).shape == ()
    assert A.query([], []).shape == (0,)
    np.testing.assert_array_equal(dense(A.rows([2, 2, 8, 3])), QUARTERS[[2, 2, 8, 3]])
    assert A.rows([]).shape == (0, 12)
    np.testing.assert_allclose(A.row_norms(), NORMS, rtol=1e-14)
    np.testing.assert_allclose(A.row_norms([3, 1]), NORMS[[3, 1]], rtol=1e-14)
    X, Y = np.arange(24.0).reshape(12, 2), np.arange(18.0).reshape(9, 2)
    np.testing.assert_allclose(A.matmul(X), QUARTERS @ X, atol=1e-12)
    np.testing.assert_allclose(A.rmatmul(Y), QUARTERS.T @ Y, atol=1e-12)
    blocks = [dense(block) for _, block in A.row_blocks(4)]
    np.testing.assert_array_equal(np.concatenate(blocks), QUARTERS)


def test_stored_entries_are_counted_and_those_of_sparse_rows_estimated() -> None:
    assert build("rows").n_stored == QUARTERS.size
    assert build("csr rows").n_stored == np.count_nonzero(QUARTERS)
    np.testing.assert_array_equal(build("csr rows").row_lengths([0, 3]), np.count_nonzero(QUARTERS[[0, 3]], axis=1))
    assert build("rows").row_lengths([0, 3]).tolist() == [12, 12]


def wrong_laws(law: np.ndarray) -> list[np.ndarray]:
    return [np.sqrt(law) / np.sqrt(law).sum(), (law > 0) / np.count_nonzero(law), np.roll(law, 1)]


@every_kind
def test_rows_are_drawn_by_squared_norm(kind: str) -> None:
    draws = build(kind).sample_rows(N_DRAWS, rng=1)
    law = oracles.law_of_rows(QUARTERS)
    assert (len(draws), draws.dtype) == (N_DRAWS, np.int64)
    assert oracles.chi_square_p(draws, law) > oracles.P_LOWEST
    for wrong in wrong_laws(law):
        assert oracles.chi_square_p(draws, wrong) < oracles.P_LOWEST


@every_kind
def test_columns_are_drawn_by_squared_entry(kind: str) -> None:
    A = build(kind)
    rows = np.tile([8, 0], N_DRAWS // 2)
    cols = A.sample_cols(rows, rng=2)
    for row in (0, 8):
        law = oracles.law_of(QUARTERS[row])
        assert oracles.chi_square_p(cols[rows == row], law) > oracles.P_LOWEST
        for wrong in wrong_laws(law):
            assert oracles.chi_square_p(cols[rows == row], wrong) < oracles.P_LOWEST


@every_kind
def test_no_draws_and_the_same_draws_from_the_same_seed(kind: str) -> None:
    A = build(kind)
    assert A.sample_rows(0, rng=0).shape == A.sample_cols([], rng=0).shape == (0,)
    np.testing.assert_array_equal(A.sample_rows(50, rng=3), A.sample_rows(50, rng=3))
    np.testing.assert_array_equal(A.sample_cols([0, 1, 8], rng=3), A.sample_cols([0, 1, 8], rng=3))


@every_kind
def test_a_row_of_zeros_has_no_column_to_draw(kind: str) -> None:
    with pytest.raises(ZeroMassError, match="row 3 has none to draw"):
        build(kind).sample_cols([0, 3], rng=0)


def test_proposals_for_a_row_are_the_oversampling() -> None:
    asked = []
    A = build("rejection of rows", row_norms=lambda rows: (asked.append(len(rows)), NORMS[rows])[1])
    phi = len(NORMS) * (1.25 * NORMS.max() / TOTAL) ** 2
    assert A.row_oversampling == pytest.approx(phi)
    A.sample_rows(20_000, rng=0)
    # A batch is a tenth more than what is expected to be needed.
    assert sum(asked) / 20_000 == pytest.approx(1.1 * phi, rel=0.1)


def test_proposals_for_a_column_are_the_oversampling() -> None:
    A = build("one entry bound")
    before = A.entries_computed
    A.sample_cols(np.zeros(20_000, dtype=int), rng=0)
    phi = 12 * (np.abs(QUARTERS).max() / NORMS[0]) ** 2
    # Proposals come phi at a time, and those after the first hit are in vain: phi / (1 - (1 - 1/phi)^phi).
    width = np.ceil(phi)
    wanted = width / (1.0 - (1.0 - 1.0 / phi) ** width)
    assert (A.entries_computed - before) / 20_000 == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("unit", [2.0**660, 2.0**-660, 2.0**-1000])
@pytest.mark.parametrize("kind", ["rows", "rejection of rows", "rejection of both"])
def test_draws_do_not_depend_on_the_scale(kind: str, unit: float) -> None:
    X = QUARTERS * unit
    total = TOTAL * unit
    norms = NORMS * unit
    given: dict[str, Any] = (
        {"row_norms": norms}
        if kind == "rows"
        else {
            "row_norms": lambda rows: norms[rows],
            "norm_bound": norms.max(),
            "frobenius_norm": total,
        }
    )
    A = build(kind, X, **given)
    np.testing.assert_array_equal(A.row_norms([0]), norms[[0]])
    assert oracles.chi_square_p(A.sample_rows(N_DRAWS, rng=0), oracles.law_of_rows(QUARTERS)) > oracles.P_LOWEST
    cols = A.sample_cols(np.full(N_DRAWS, 8), rng=0)
    assert oracles.chi_square_p(cols, oracles.law_of(QUARTERS[8])) > oracles.P_LOWEST
    np.testing.assert_array_equal(dense(A.rows([8])), X[[8]])


def test_entries_are_converted_to_the_type_asked_for() -> None:
    A = build("rows", dtype=np.float32)
    assert A.rows([0]).dtype == A.query([0], [0]).dtype == A.dtype == np.float32
    whole = build("rows", row_function=lambda rows: (4 * QUARTERS[rows]).astype(int), row_norms=4 * NORMS)
    np.testing.assert_array_equal(whole.rows([1]), 4 * QUARTERS[[1]])


def test_a_grid_of_entries_is_asked_for_in_one_call_without_being_spread_out() -> None:
    shapes = []
    A = build(
        "entries", entry_function=lambda rows, cols: (shapes.append((rows.shape, cols.shape)), QUARTERS[rows, cols])[1]
    )
    A.query(np.arange(3)[:, None], np.arange(5)[None, :])
    assert shapes == [((3, 1), (1, 5))]


def test_a_matrix_of_zeros_has_no_rows_to_draw() -> None:
    A = qi.ImplicitMatrix(np.zeros(3), lambda rows: np.zeros((len(rows), 2)), shape=(3, 2))
    assert A.frobenius_norm == 0.0
    with pytest.raises(ZeroMassError, match="only zero entries"):
        A.sample_rows(1, rng=0)


@pytest.mark.parametrize(
    ("kind", "given", "error", "message"),
    [
        ("rows", {"row_function": None}, ValueError, "`row_function` or `entry_function` must be given"),
        ("rows", {"row_function": 3}, TypeError, "`row_function` must be a function or None; got 3"),
        ("entries", {"entry_function": 3}, TypeError, "`entry_function` must be a function or None; got 3"),
        ("rows", {"entry_bound": 1.0}, ValueError, "`entry_bound` needs `entry_function`"),
        ("rows", {"shape": 9}, ValueError, r"`shape` must be a pair \(m, n\); got 9"),
        ("rows", {"shape": (9, 0)}, ValueError, r"`shape\[1\]` must be an integer >= 1; got 0"),
        ("rows", {"shape": (9.0, 12)}, TypeError, r"`shape\[0\]` must be an integer"),
        ("rows", {"dtype": np.int64}, ValueError, "`dtype` must be float32 or float64; got int64"),
        ("rows", {"row_norms": NORMS[:-1]}, ValueError, "`row_norms` must have one entry for each of the 9 rows"),
        ("rows", {"row_norms": -NORMS}, ValueError, r"`row_norms` must be >= 0; got row_norms\[0\]"),
        ("rows", {"row_norms": np.where(NORMS > 0, NORMS, np.nan)}, ValueError, r"`row_norms` must be finite.*\[3\]"),
        ("rows", {"row_norms": np.where(NORMS > 0, NORMS, np.inf)}, ValueError, r"`row_norms` must be finite.*\[3\]"),
        ("rows", {"norm_bound": 1.0}, ValueError, "`norm_bound` must not be exceeded; row"),
        ("rows", {"frobenius_norm": 1.0}, ValueError, "`frobenius_norm` must be that of the row norms"),
        ("rejection of rows", {"norm_bound": None}, ValueError, "`norm_bound` must be given where `row_norms` is a"),
        ("rejection of rows", {"frobenius_norm": None}, ValueError, "`frobenius_norm` must be given where"),
        ("rejection of rows", {"norm_bound": 0.0}, ValueError, "`norm_bound` must be a finite number > 0; got 0.0"),
        ("rejection of rows", {"norm_bound": True}, TypeError, "`norm_bound` must be a finite number > 0; got True"),
        ("rejection of rows", {"norm_bound": np.nan}, ValueError, "`norm_bound` must be a finite number > 0; got nan"),
        ("rejection of rows", {"norm_bound": 0.1}, ValueError, r"`frobenius_norm` must be at most sqrt\(m\)"),
        ("rejection of rows", {"norm_bound": 1e6}, ValueError, "`norm_bound` must not be so loose"),
        ("rejection of rows", {"frobenius_norm": np.inf}, ValueError, "`frobenius_norm` must be a finite number > 0"),
        ("one entry bound", {"entry_bound": -1.0}, ValueError, "`entry_bound` must be a finite number > 0; got -1.0"),
        ("one entry bound", {"entry_bound": "x"}, TypeError, "`entry_bound` must be a finite number > 0; got 'x'"),
    ],
)
def test_bad_arguments_are_refused(kind: str, given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(kind, **given)


def spoiled(value: Any) -> Any:
    def rows(index: np.ndarray) -> np.ndarray:
        block = QUARTERS[index].copy()
        block[index == 4, 2] = value
        return block

    return rows


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda rows: QUARTERS[rows][:, :-1],
            r"`row_function` must return a block of shape \(2, 12\); got shape \(2, 11\)",
        ),
        (lambda rows: QUARTERS[rows][0], r"shape \(2, 12\); got shape \(12,\)"),
        (lambda _: None, r"shape \(2, 12\); got shape \(\)"),
        (lambda rows: QUARTERS[rows] + 0j, "`row_function` must be real"),
        (lambda rows: QUARTERS[rows].astype(str), "`row_function` must be numeric"),
        (spoiled(np.nan), "`row_function` must return finite numbers; got nan in row 4"),
        (spoiled(-np.inf), "`row_function` must return finite numbers; got -inf in row 4"),
        (lambda rows: sp.csr_array(spoiled(np.nan)(rows)), "must return finite numbers; got nan in row 4"),
        (spoiled(1e3), r"`row_norms` must be those of the rows; row 4 has norm 1000\.\d*, and .* was stated"),
        (lambda rows: 1.0001 * QUARTERS[rows], "`row_norms` must be those of the rows; row 0"),
    ],
)
def test_rows_that_are_wrong_are_refused_with_the_row(function: Any, message: str) -> None:
    A = build("rows", row_function=function)
    for ask in (A.rows, lambda rows: A.query(rows, [0, 0]), lambda rows: A.sample_cols(rows, rng=0)):
        with pytest.raises(ValueError, match=message):
            ask([0, 4])


def test_rows_that_are_now_dense_and_now_sparse_are_refused() -> None:
    A = build("rows", row_function=lambda rows: QUARTERS[rows] if 0 in rows else sp.csr_array(QUARTERS[rows]))
    A.rows([0])
    with pytest.raises(ValueError, match=r"must always return dense blocks, as at first.*got a sparse one"):
        A.rows([1])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows, cols: QUARTERS[rows, cols][:1], r"one entry for each pair of indices, of shape \(2,\); got"),
        (lambda *_: np.full(2, np.nan), r"`entry_function` must return finite numbers; got A\[0, 5\] = nan"),
        (lambda rows, cols: QUARTERS[rows, cols].astype(complex), "`entry_function` must be real"),
    ],
)
def test_entries_that_are_wrong_are_refused(function: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("entries", entry_function=function).query([0, 4], [5, 6])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows: NORMS[rows][:-1], r"`row_norms` must return one number for each row, of shape"),
        (lambda rows: np.where(rows == 4, np.nan, NORMS[rows]), "must return finite numbers >= 0; got nan for row 4"),
        (lambda rows: -NORMS[rows], "`row_norms` must return finite numbers >= 0; got -"),
        (lambda rows: 2 * NORMS[rows], r"`norm_bound` must not be exceeded; row \d has norm .*, above"),
        (lambda rows: NORMS[rows] / 2, "`frobenius_norm` must be that of the rows; .* proposed rows were accepted"),
        (lambda rows: 0 * NORMS[rows], "`frobenius_norm` must be that of the rows; 0 of"),
    ],
)
def test_norms_that_are_wrong_are_found_by_drawing(function: Any, message: str) -> None:
    A = build("rejection of rows", row_norms=function)
    with pytest.raises(ValueError, match=message):
        A.sample_rows(3000, rng=0)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        (lambda rows: np.full(len(rows), np.nan), "`entry_bound` must return finite numbers >= 0; got nan for row 0"),
        (lambda _: np.ones(1), "`entry_bound` must return one number for each row"),
        (0.7 * np.abs(QUARTERS[0]).max(), r"`entry_bound` must not be exceeded; \|A\[0, \d+\]\| = "),
        (0.01, r"`entry_bound` must be at least \|A_i\| / sqrt\(n\); row 0"),
        (1e6, "`entry_bound` must not be so loose: a column of row 0"),
    ],
)
def test_bounds_of_entries_that_are_wrong_are_found_by_drawing(bound: Any, message: str) -> None:
    A = build("one entry bound", entry_bound=bound)
    with pytest.raises(ValueError, match=message):
        A.sample_cols(np.zeros(200, dtype=int), rng=0)


def test_a_norm_that_its_entries_contradict_ends_the_draws_of_columns() -> None:
    A = build("one entry bound", row_norms=np.ones(9))
    with pytest.raises(ValueError, match=r"row 3 has norm 1\.0, but none of .* columns proposed was accepted"):
        A.sample_cols([3], rng=0)


class OwnError(Exception):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_function_comes_through_and_the_matrix_stays_usable(kind: str) -> None:
    broken = [False]

    def fails(function: Any) -> Any:
        def wrapped(*indices: Any) -> Any:
            if broken[0]:
                raise OwnError
            return function(*indices)

        return wrapped

    good = build(kind)
    for name in ("row_function", "entry_function", "norm_function"):
        if getattr(good._ask, name) is not None:
            setattr(good._ask, name, fails(getattr(good._ask, name)))
    before = good.rows([0, 1])
    broken[0] = True
    with pytest.raises(OwnError):
        good.rows([0, 1])
    with pytest.raises(OwnError):
        good.sample_cols([0, 1], rng=0)
    broken[0] = False
    np.testing.assert_array_equal(dense(good.rows([0, 1])), dense(before))


def test_passes_tables_and_blocks_that_would_never_end_are_refused_with_a_remedy() -> None:
    problem = qi.problems.virtual_low_rank_matrix((10**9, 10**9), [2.0, 1.0])
    A = qi.ImplicitMatrix(**problem.access)
    with pytest.raises(ValueError, match=r"norms of all 1000000000 rows would take 8e\+09 bytes"):
        A.row_norms()
    with pytest.raises(ValueError, match=r"`rows` would make a block of 8e\+09 bytes"):
        A.rows([0])
    for ask in (lambda: next(A.row_blocks(1)), lambda: A.matmul(np.ones((1, 1))), lambda: A.rmatmul(np.ones((1, 1)))):
        with pytest.raises(ValueError, match=r"pass over all 1e\+18 entries .* method='fkv'"):
            ask()
    with pytest.raises(ValueError, match="norms of all"):
        qi.ImplicitMatrix(None, None, shape=(10**9, 5), entry_function=problem.entries)
    assert not A.whole_rows
    assert build("rows").whole_rows


def test_all_norms_of_a_function_are_asked_for_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_implicit, "_NORMS_PER_CALL", 4)
    np.testing.assert_array_equal(build("rejection of rows").row_norms(), oracles.row_norms(QUARTERS))


def test_a_kernel_matrix_is_approximated_without_being_formed() -> None:
    points = np.random.default_rng(0).standard_normal((1500, 2))

    def rows_of_kernel(rows: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((points[rows][:, None] - points[None]) ** 2).sum(axis=-1))

    def norm_squared(scale: float, at: np.ndarray) -> np.ndarray:
        return np.array([np.exp(-((point - points) ** 2).sum(axis=-1) * scale).sum() for point in points[at]])

    norms = np.sqrt(norm_squared(1.0, np.arange(1500)))
    K = qi.ImplicitMatrix(norms, rows_of_kernel, shape=(1500, 1500))
    approx = qi.low_rank(K, 4, tolerance=0.1, method="gram", rng=0)
    assert approx.excess.high <= 0.1
    assert K.rows_computed < 900
    dense_kernel = rows_of_kernel(np.arange(1500))
    V = approx.components.T
    values = np.linalg.eigvalsh(dense_kernel)[::-1]
    error = np.linalg.norm(dense_kernel - dense_kernel @ V @ V.T)
    assert error <= 1.1 * np.sqrt((values[4:] ** 2).sum())


def test_functions_that_write_into_their_indices_change_nothing() -> None:
    def spoiled(answer: Any) -> Any:
        def function(*indices: np.ndarray) -> Any:
            found = answer(*indices)
            for index in indices:
                index[...] = 0
            return found

        return function

    X = np.where(QUARTERS == 0.0, 0.25, QUARTERS)
    norms, bounds = np.linalg.norm(X, axis=1), np.abs(X).max(axis=1)
    answers = {"entry_function": lambda rows, cols: X[rows, cols], "row_function": lambda rows: X[rows]}
    given = {"shape": X.shape, "norm_bound": norms.max(), "frobenius_norm": float(np.linalg.norm(X))}
    plain = qi.ImplicitMatrix(lambda rows: norms[rows], entry_bound=lambda rows: bounds[rows], **answers, **given)
    A = qi.ImplicitMatrix(
        spoiled(lambda rows: norms[rows]),
        entry_bound=spoiled(lambda rows: bounds[rows]),
        **{name: spoiled(answer) for name, answer in answers.items()},
        **given,
    )
    rows, cols = np.array([4, 2]), np.array([1, 3])
    np.testing.assert_array_equal(A.query(rows, cols), X[rows, cols])
    np.testing.assert_array_equal(A.rows(rows), X[rows])
    np.testing.assert_array_equal(A.row_norms(rows), norms[rows])
    np.testing.assert_array_equal(A.sample_rows(50, rng=0), plain.sample_rows(50, rng=0))
    np.testing.assert_array_equal(A.sample_cols(rows, rng=0), plain.sample_cols(rows, rng=0))
    assert (rows.tolist(), cols.tolist()) == ([4, 2], [1, 3])
