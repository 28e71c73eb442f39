from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import qinspired as qi
from qinspired.access import _mapped
from qinspired.algorithms.approximation import _low_rank, _row_laws
from qinspired.exceptions import ToleranceNotMetWarning, ZeroMassError

M, N, RANK, TOLERANCE = 3000, 60, 3, 0.1


def even(rng, m=M, n=N, noise=0.5):
    return rng.standard_normal((m, RANK)) @ rng.standard_normal((RANK, n)) + noise * rng.standard_normal((m, n))


def one_huge_row(rng):
    A = even(rng)
    A[rng.integers(M)] = 300 * rng.standard_normal(N)
    return A


def one_rather_large_row(rng):
    A = even(rng)
    A[rng.integers(M)] = 40 * rng.standard_normal(N)
    return A


def a_few_huge_rows(rng):
    A = even(rng)
    A[rng.choice(M, 4, replace=False)] = 60 * rng.standard_normal((4, N))
    return A


def log_normal(rng):
    return even(rng) * np.exp(rng.standard_normal((M, 1)))


def pareto(rng):
    return even(rng) * (1 + rng.pareto(1.5, size=(M, 1)))


def spiky(rng):
    A = np.zeros((M, N))
    A[np.arange(M)[:, None], rng.integers(N, size=(M, 2))] = rng.standard_normal((M, 2))
    return A


def half_zero(rng):
    A = even(rng)
    A[::2] = 0.0
    return A


def zero_but_for_a_few(rng):
    A = even(rng)
    A[60:] = 0.0
    return A


def block_of_another_row_space(rng):
    A = even(rng)
    A[100:130] = 5 * rng.standard_normal((30, 2)) @ rng.standard_normal((2, N))
    return A


def small_block_of_another_row_space(rng):
    A = even(rng)
    A[100:103] = 3 * rng.standard_normal((3, 2)) @ rng.standard_normal((2, N))
    return A


def decreasing(rng):
    return even(rng) * np.linspace(2, 0.02, M)[:, None]


def in_order_of_their_norms(rng):
    A = even(rng)
    return A[np.argsort(np.linalg.norm(A, axis=1))]


def one_large_row(rng):
    A = even(rng)
    A[rng.integers(M)] = 8 * rng.standard_normal(N)
    return A


def flat(rng):
    return rng.standard_normal((M, N))


def heavy_columns(rng):
    return even(rng) * np.where(np.arange(N) < 2, 30, 1)


# Those on which the index must be built, and those on which it may be spared.
FOOLING = [
    one_huge_row,
    one_rather_large_row,
    a_few_huge_rows,
    log_normal,
    pareto,
    spiky,
    zero_but_for_a_few,
    block_of_another_row_space,
    decreasing,
    heavy_columns,
]
EASY = [even, flat, in_order_of_their_norms, one_large_row, small_block_of_another_row_space]


def true_excess(A, components):
    dense = np.asarray(A, dtype=np.float64)
    dense = dense / np.abs(dense).max()
    V = np.linalg.qr(np.asarray(components, dtype=np.float64).T)[0]
    best = np.linalg.norm(np.linalg.svd(dense, compute_uv=False)[V.shape[1] :])
    return np.linalg.norm(dense - (dense @ V) @ V.T) / best - 1


def uniform(A, method="krylov", seed=0, tolerance=TOLERANCE):
    return qi.low_rank(A, RANK, tolerance=tolerance, method=method, start="uniform", rng=seed)


def has_index(approx):
    return approx.source.has_index


@pytest.mark.parametrize("method", ["krylov", "gram"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", EASY)
def test_even_rows_are_approximated_within_the_tolerance_without_an_index(make, dtype, method, rng):
    A = make(rng).astype(dtype)
    approx = uniform(A, method)
    assert approx.excess.high <= TOLERANCE
    assert true_excess(A, approx.components) <= TOLERANCE
    assert not has_index(approx)
    assert approx.stats.index_seconds == 0.0
    assert approx.method == method
    assert "started without an index" in approx.status
    assert approx.components.dtype == dtype
    np.testing.assert_allclose(approx.components @ approx.components.T, np.eye(RANK), atol=1e-5)


def test_far_fewer_entries_are_read_than_there_are(rng):
    A = even(rng, m=40_000, n=200)
    approx = uniform(A)
    assert not has_index(approx)
    assert 0 < approx.stats.entries_read < 0.05 * A.size
    assert approx.stats.full_passes == approx.stats.row_draws == 0
    assert approx.stats.bytes_read == 8 * approx.stats.entries_read


def test_auto_may_start_without_an_index_too(rng):
    approx = uniform(even(rng, m=40_000, n=200), "auto")
    assert not has_index(approx)
    assert approx.method in ("gram", "krylov")


def test_singular_values_and_the_error_are_those_of_the_matrix(rng):
    A = even(rng)
    approx = uniform(A, tolerance=0.05)
    exact = np.linalg.svd(A, compute_uv=False)
    np.testing.assert_allclose(approx.singular_values, exact[:RANK], rtol=0.3)
    V = approx.components.T
    error = np.linalg.norm(A - (A @ V) @ V.T) / np.linalg.norm(A)
    assert approx.error.low <= error <= approx.error.high


def test_the_interval_of_the_error_covers_the_truth_as_often_as_it_says():
    A = even(np.random.default_rng(7))
    norm, covered = np.linalg.norm(A), 0
    for seed in range(200):
        approx = uniform(A, seed=seed)
        V = approx.components.T
        covered += approx.error.low <= np.linalg.norm(A - (A @ V) @ V.T) / norm <= approx.error.high
    # A binomial of 200 at 95 % is above 178 with a chance of 1 - 1e-3.5; 90 % would be met in 1 of 10.
    assert covered >= 179


@pytest.mark.parametrize("make", FOOLING)
@pytest.mark.parametrize("method", ["krylov", "auto"])
def test_uneven_rows_lead_to_the_index_which_is_said_and_the_tolerance_is_met(make, method, rng):
    A = make(rng)
    with warnings.catch_warnings():
        if method != "auto":
            warnings.simplefilter("ignore", ToleranceNotMetWarning)
        approx = uniform(A, method)
    assert has_index(approx)
    assert approx.stats.index_seconds > 0.0
    if method == "auto":
        assert approx.excess.high <= TOLERANCE
    if approx.excess.high <= TOLERANCE:
        assert true_excess(A, approx.components) <= TOLERANCE
    if method == "krylov":
        assert "so that the index was built" in approx.status


@pytest.mark.parametrize("make", [*EASY, *FOOLING, half_zero])
def test_nothing_is_certified_whose_excess_is_beyond_twice_the_tolerance(make):
    for seed in range(40):
        A = make(np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToleranceNotMetWarning)
            approx = uniform(A, seed=seed)
        if approx.excess.high <= TOLERANCE:
            assert true_excess(A, approx.components) <= 2 * TOLERANCE, seed


def test_a_warning_of_a_method_pinned_by_name_tells_of_the_index_that_was_built(rng):
    A = even(rng, m=900, n=200) * np.exp(rng.standard_normal((900, 1)))
    with pytest.warns(ToleranceNotMetWarning, match="so that the index was built; the certificate shows"):
        qi.low_rank(A, 3, tolerance=0.007, method="krylov", start="uniform", rng=0)


def test_a_certificate_of_uniform_rows_that_fails_leads_to_the_index(rng):
    A = rng.standard_normal((2000, 300)) * np.where(np.arange(300) < 30, 1.1, 1.0)
    with pytest.warns(ToleranceNotMetWarning, match="uniform rows ended at an excess of .*, so that the index was"):
        approx = qi.low_rank(A, 30, tolerance=0.03, method="krylov", start="uniform", rng=0)
    assert has_index(approx)


def test_norms_of_drawn_rows_that_are_uneven_lead_to_the_index_where_probes_do_not_tell(rng, monkeypatch):
    A = log_normal(rng)
    monkeypatch.setattr(_row_laws, "_UNEVEN_PROBES", np.inf)
    approx = uniform(A)
    assert has_index(approx)
    assert "squared norms of drawn rows vary by" in approx.status
    assert true_excess(A, approx.components) <= TOLERANCE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_of_a_row_that_is_read_must_be_finite_and_its_place_is_told(value, rng):
    A = even(rng)
    A[:, 17] = value
    with pytest.raises(ValueError, match=r"got A\[\d+, 17\] = -?(nan|inf)"):
        uniform(A)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_entry_that_is_not_finite_is_not_seen_in_a_row_that_is_not_read(value, rng):
    A = even(rng, n=400)
    read = set()

    class Watched(qi.CountingMatrix):
        __slots__ = ()

        def rows(self, rows):
            read.update(np.asarray(rows).tolist())
            return super().rows(rows)

    uniform(Watched(qi.as_sq_matrix(A, index="later")))
    unread = min(set(range(M)) - read)
    for col in range(400):
        A[unread, col] = value
        approx = None
        try:
            approx = uniform(A)
        except ValueError:  # the probe of that row met it, and the index found its place
            A[unread, col] = 1.0
            continue
        assert np.isfinite(approx.components).all()
        assert not has_index(approx)
        assert "rows unlike any that was read or probed would go unseen" in approx.status
        with pytest.raises(ValueError, match=rf"got A\[{unread}, {col}\]"):
            _ = approx.source.frobenius_norm
        return
    raise AssertionError("no column is left out by the probe")


def test_a_matrix_of_zeros_is_refused():
    with pytest.raises(ZeroMassError):
        uniform(np.zeros((M, N)))


@pytest.mark.parametrize("scale", [1e200, 1e153, 1e154, 1e-200, 1e-161, 1e-154, 1e150, 1e-150, 1e140, 1e-140])
def test_entries_whose_squares_leave_the_range_give_the_right_answer(scale, rng):
    A = even(rng) * scale
    approx = uniform(A)
    assert true_excess(A, approx.components) <= TOLERANCE
    exact = np.linalg.svd(A / scale, compute_uv=False)[:RANK]
    np.testing.assert_allclose(approx.singular_values / scale, exact, rtol=0.3)
    if abs(np.log10(scale)) > 155:
        assert has_index(approx)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e36, 1e-36])
@pytest.mark.parametrize("method", ["krylov", "gram"])
def test_float32_entries_whose_squares_leave_float32_give_the_right_answer(scale, method, rng):
    A = even(rng).astype(np.float32)
    scaled = uniform(A * np.float32(scale), method)
    plain = uniform(A, method)
    assert not has_index(scaled)
    assert true_excess(A, scaled.components) <= TOLERANCE
    assert scaled.excess.value == pytest.approx(plain.excess.value, rel=0.01)
    assert scaled.excess.high == pytest.approx(plain.excess.high, rel=0.01)
    np.testing.assert_allclose(scaled.singular_values / scale, plain.singular_values, rtol=1e-3)


@pytest.mark.parametrize("are_mapped", [False, True])
def test_a_mapped_file_is_probed_by_its_pages(tmp_path, rng, monkeypatch, are_mapped):
    A = even(rng)
    np.save(tmp_path / "matrix.npy", A)
    if are_mapped:
        monkeypatch.setattr(_mapped, "CHUNK_BYTES", 100_000)
    approx = uniform(np.load(tmp_path / "matrix.npy", mmap_mode="r"))
    assert not has_index(approx)
    assert approx.source.is_in_memory != are_mapped
    assert true_excess(A, approx.components) <= TOLERANCE


@pytest.mark.parametrize("m", [1, 2, 5, 40, 100, 180])
@pytest.mark.parametrize("method", ["krylov", "gram"])
def test_too_few_rows_for_a_start_without_an_index_use_one(m, method, rng):
    A = rng.standard_normal((m, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToleranceNotMetWarning)
        approx = qi.low_rank(A, 1, tolerance=0.02, method=method, start="uniform", rng=0)
    assert has_index(approx)
    assert "too few rows for a start without an index" in approx.status
    assert np.linalg.norm(approx.components) == pytest.approx(1.0)


@pytest.mark.parametrize("convert", [qi.as_sq_matrix, lambda A: qi.as_sq_matrix(A[::2])], ids=["indexed", "strided"])
def test_what_has_an_index_is_used_by_its_index_and_that_is_said(convert, rng):
    A = even(rng)
    approx = uniform(convert(A))
    assert approx.status.startswith("the matrix has an index, which was used; ")
    assert approx.stats.row_draws > 0
    assert true_excess(A, approx.components) <= TOLERANCE


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        sp.csr_array,
        lambda A: A.astype(">f8"),
        lambda A: A[::2],
        lambda A: A.tolist(),
    ],
    ids=["Fortran", "sparse", "big-endian", "strided", "list"],
)
def test_what_cannot_wait_for_its_index_is_indexed_and_that_is_said(convert, rng):
    A = even(rng)
    approx = uniform(convert(A))
    assert approx.status.startswith("only a C-contiguous array of float32 or float64 is started on without an index; ")
    assert "which was used" not in approx.status
    assert approx.stats.row_draws > 0
    assert true_excess(A, approx.components) <= TOLERANCE


def test_a_method_that_auto_prefers_to_drawn_rows_is_named_beside_its_index(rng):
    A = even(rng, m=300, n=20)
    approx = qi.low_rank(A, RANK, tolerance=0.001, method="auto", start="uniform", rng=0)
    start = f"method '{approx.method}' is predicted to be the fastest, for which the index was built; "
    assert approx.method not in ("gram", "krylov")
    assert approx.status.startswith(start)
    assert "too few" not in approx.status


def test_the_reason_of_an_index_is_told_with_the_method_fkv_too(rng, monkeypatch):
    monkeypatch.setattr(_low_rank, "choose", lambda *_: "fkv")
    approx = qi.low_rank(qi.as_sq_matrix(even(rng)), RANK, tolerance=0.5, start="uniform", rng=0)
    assert approx.method == "fkv"
    assert approx.status.startswith("the matrix has an index, which was used; ")


def test_access_that_waits_for_its_index_is_used_without_one_and_charged_to_no_call(rng):
    A = qi.as_sq_matrix(even(rng), index="later")
    approx = uniform(A)
    assert not A.has_index
    assert approx.source is A
    assert uniform(log_normal(rng)).stats.index_seconds > 0.0


@pytest.mark.parametrize(
    "method", ["residual", "leverage", "fkv", "polished", "frequent_directions", "randomized", "exact"]
)
def test_methods_that_draw_otherwise_refuse_a_uniform_start(method, rng):
    with pytest.raises(ValueError, match=r"`start` must be 'index' for method .*; 'uniform' goes with 'auto', 'gram'"):
        qi.low_rank(even(rng), RANK, method=method, start="uniform")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "random"}, "`start` must be 'index' or 'uniform'; got 'random'"),
        ({"start": None}, "`start` must be 'index' or 'uniform'; got None"),
        ({"start": "uniform", "threshold": 1.0}, "`start` must be 'index' with a `threshold`"),
        ({"start": "uniform", "method": "threshold", "threshold": 1.0}, "`start` must be 'index' for method"),
        ({"method": "threshold"}, "`threshold` must be given with method 'threshold'"),
        ({"method": "krylov", "threshold": 1.0}, "`threshold` goes with method 'threshold'; got method 'krylov'"),
        ({"method": "fkv", "threshold": 1.0}, "`threshold` goes with method 'threshold'; got method 'fkv'"),
        ({"threshold": -1.0}, "`threshold` must be"),
        ({"threshold": np.nan}, "`threshold` must be"),
        ({"threshold": np.inf}, "`threshold` must be"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message, rng):
    with pytest.raises(ValueError, match=message):
        qi.low_rank(even(rng, m=50), RANK, **options)


def test_the_same_seed_gives_the_same_answer(rng):
    A = even(rng)
    one, two, other = uniform(A, seed=4), uniform(A, seed=4), uniform(A, seed=5)
    np.testing.assert_array_equal(one.components, two.components)
    assert not np.array_equal(one.components, other.components)


def test_a_single_spike_in_a_row_that_is_not_read_goes_unseen_and_the_status_warns_of_that(rng):
    # 0.02 of the squared norm of A is in one entry of one row out of 3,000, which no probe of 8 entries out of 400
    # meets with certainty: without a pass over all entries nothing can tell.
    A = even(rng, n=400)
    A[1234, 57] = np.sqrt(40.0) * np.linalg.norm(A)
    unseen = 0
    for seed in range(10):
        approx = uniform(A, seed=seed)
        if not has_index(approx):
            unseen += true_excess(A, approx.components) > TOLERANCE
            assert "rows unlike any that was read or probed would go unseen" in approx.status
    assert unseen > 0
