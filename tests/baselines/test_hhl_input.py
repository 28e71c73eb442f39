"""Bad input, and the warnings about weak parameters."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from baselines.systems import first, toeplitz

from qinspired.baselines import hhl, hhl_gates


def steep_warnings(smallest):
    return hhl(np.diag([1.0, smallest]), [1.0, 1.0], n_clock_qubits=6).warnings


def test_time_is_refused_where_rounding_blurs_the_phases_by_a_hundredth_of_a_register():
    longest = 2 * np.pi * 0.01 / (2**4 * np.finfo(np.float64).eps)
    hhl(np.eye(2), [1.0, 0.0], n_clock_qubits=4, evolution_time=0.99 * longest)
    with pytest.raises(ValueError, match="`evolution_time` must be shorter"):
        hhl(np.eye(2), [1.0, 0.0], n_clock_qubits=4, evolution_time=1.01 * longest)


def test_weaknesses_are_listed():
    A, b = np.diag([0.01, 1.0]), [1.0, 1.0]
    assert any("aliasing" in text for text in hhl(A, b, n_clock_qubits=4, evolution_time=7.0).warnings)
    assert any("lies above the last register" in w for w in hhl(A, b, n_clock_qubits=6, evolution_time=6.2).warnings)
    assert any("register step" in text for text in hhl(A, b, n_clock_qubits=4).warnings)
    assert any("more than the 24 simulated" in w for w in hhl(np.diag([1e-12, 1.0]), b, n_clock_qubits=4).warnings)
    assert any("`n_clock_qubits` = 20 to be" in w and "`min_clock" in w for w in steep_warnings(1 / 2**20 * 1.07))
    assert any("`n_clock_qubits` = 21 to be" in w and "`min_clock" not in w for w in steep_warnings(1 / 2**21 * 1.07))
    assert any("clipped" in text for text in hhl(A, b, n_clock_qubits=10, C=0.1).warnings)
    assert any("set to zero" in text for text in hhl(A, b, n_clock_qubits=10, C=0.1, below="zero").warnings)
    assert any(
        "C |f| > 1 are clipped" in w for w in hhl(A, b, n_clock_qubits=8, filter="ridge", ridge=0.1, C=1.0).warnings
    )
    assert any("2 guard registers" in text for text in hhl(A, b, n_clock_qubits=4, window="sine").warnings)
    assert any("very low" in text for text in hhl(A, [0.0, 1.0], n_clock_qubits=16, C="register").warnings)
    assert any("`A` is singular and 0.5 of |b|^2" in w for w in hhl(np.diag([1.0, 0.0]), b, n_clock_qubits=4).warnings)
    assert any("`A` is singular and 1e-10 of" in w for w in hhl(np.diag([1.0, 0.0]), [1.0, 1e-5]).warnings)
    assert hhl(np.ones((2, 2)), b, n_clock_qubits=4).warnings == ()  # singular, but with a solution
    assert hhl(np.diag([0.2, 1.0]), b, n_clock_qubits=8).warnings == ()
    assert hhl(np.diag([0.2, 1.0]), b, n_clock_qubits=8, filter="ridge", ridge=0.1).warnings == ()


def test_result_is_frozen_and_keeps_time_and_constant_among_its_parameters():
    result = hhl(toeplitz(4), first(4), n_clock_qubits=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.norm = 1.0
    with pytest.raises(TypeError):
        result.parameters["C"] = 2.0
    assert not hasattr(result, "evolution_time")
    assert not hasattr(result, "C")
    assert {"evolution_time", "C", "window", "guard", "below", "signed", "filter", "phase_map"} <= set(
        result.parameters
    )


def test_result_is_pickled_and_copied():
    result = hhl(toeplitz(4), first(4), n_clock_qubits=5, shots=10, rng=0)
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        np.testing.assert_array_equal(other.x, result.x)
        assert other.parameters == result.parameters
        with pytest.raises(TypeError):
            other.parameters["C"] = 2.0


def test_right_hand_side_in_the_kernel_is_refused():
    with pytest.raises(ValueError, match="must have a part in the range of `A`; it lies in the kernel"):
        hhl(np.diag([1.0, 0.0]), [0.0, 1.0])
    with pytest.raises(ValueError, match="must have a part in the column space of `A`"):
        hhl([[1.0], [0.0]], [0.0, 1.0])


@pytest.mark.parametrize(
    ("A", "b", "options", "match"),
    [
        ([[np.nan, 0], [0, 1]], [1, 1], {}, r"`A` must be finite.*A\[0, 0\] = nan"),
        ([[1, 0], [0, 1]], [np.inf, 1], {}, r"`b` must be finite"),
        ([1.0, 2.0], [1, 1], {}, "`A` must be 2-dimensional"),
        (np.empty((0, 2)), [], {}, "at least one row"),
        ([[1, 2], [3]], [1, 1], {}, "`A` must be a rectangular array of numbers"),
        ([["a", "b"], ["c", "d"]], [1, 1], {}, "`A` must be numeric"),
        (np.eye(2), [1, 1, 1], {}, "one entry for each of the 2 rows"),
        (np.eye(2), [0, 0], {}, "`b` must not be zero"),
        (np.eye(2), [1.7e308, 1.7e308], {}, "`b` must have a norm that is a float64"),
        (np.eye(2) * 1e-310, [1, 0], {}, "`A` must be scaled"),
        ([[1e308, 1e308], [-1e308, 1e308]], [1, 0], {}, "`A` must be scaled"),
        (np.eye(2), [1, 0], {"evolution_time": 1e-310}, "`evolution_time` must be changed"),
        (np.zeros((2, 2)), [1, 0], {}, "must not be the zero matrix"),
        (np.eye(2), [1, 0], {"n_clock_qubits": 25}, "at most 24; got 25, for which .* would take 9.73 GB"),
        (np.eye(2), [1, 0], {"n_clock_qubits": 40}, "would take 3.19e\\+05 GB of memory"),
        (np.eye(2), [1, 0], {"n_clock_qubits": 10_000}, "at most 24; got 10000"),
        (np.eye(2), [1, 0], {"n_clock_qubits": "best"}, "`n_clock_qubits` must be an integer or 'auto'"),
        (sp.eye_array(100_000), np.ones(100_000), {}, "got shape .* which would take 80 GB"),
        (
            [[1, 1], [0, 1]],
            [1, 0],
            {"signed": False},
            r"an `A` that is not Hermitian: only its dilation .* can be evolved",
        ),
        (np.eye(2), [1, 0], {"postselect_clock": 1}, "`postselect_clock` must be one of True, False"),
        (np.eye(2), [1, 0], {"evolution_time": np.nan}, "`evolution_time` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"evolution_time": "long"}, "`evolution_time` must be a number > 0 or 'auto'"),
        (np.eye(2), [1, 0], {"C": np.nan}, "`C` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"ridge": np.nan, "filter": "ridge"}, "`ridge` must be a finite number >= 0"),
        (np.eye(2), [1, 0], {"threshold": np.inf, "filter": "threshold"}, "`threshold` must be a finite number >= 0"),
        (np.eye(2), [1, 0], {"threshold": 0.5, "filter": "threshold", "C": 1.0}, "`C` must be 'auto' for filter"),
        (
            np.eye(2),
            [1, 0],
            {"filter": "pseudo"},
            "`filter` must be one of 'inverse', 'ridge', 'threshold' or a function",
        ),
        (np.eye(2), [1, 0], {"filter": "threshold"}, "`filter` must be 'threshold' with a `threshold` > 0"),
        (np.eye(2), [1, 0], {"window": "kaiser"}, "`window` must be one of 'hadamard', 'sine'"),
        (-np.eye(2), [1, 0], {"n_clock_qubits": 1}, "integer >= 2"),
        (-np.eye(2), [1, 0], {"signed": False}, "negative eigenvalues"),
        (np.ones((2, 1)), [1, 0], {"signed": False}, "singular basis"),
        (np.eye(2), [1, 0], {"evolution_time": 1.0, "guard": 2}, "`guard` must be 'auto'"),
        (np.eye(2), [1, 0], {"n_clock_qubits": 2, "guard": 4}, "`guard` must be below 4"),
        (np.eye(2), [1, 0], {"evolution_time": 0.0}, "`evolution_time` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"C": -1.0}, "`C` must be a finite number > 0"),
        (np.eye(2), [1, 0], {"C": "best"}, "'auto' or 'register'"),
        (np.eye(2), [1, 0], {"below": "drop"}, "`below` must be one of 'clip', 'zero'"),
        (np.eye(2), [1, 0], {"ridge": 1.0}, "`filter` must be"),
        (np.eye(2), [1, 0], {"filter": "threshold", "threshold": 2.0}, "`threshold` must leave a part"),
        (np.eye(2), [1, 0], {"C": 50.0, "below": "zero"}, "some success probability"),
        ((np.ones((2, 1)), [1.0], np.ones((1, 2))), [1, 0], {}, "must be orthonormal"),
        ((np.eye(2), [1.0, -1.0], np.eye(2)), [1, 0], {}, "singular values >= 0"),
        ((np.eye(3), [1.0, 1.0], np.eye(2)), [1, 0, 0], {}, "must have shapes"),
        (
            ([[1.0], [1.0, 2.0]], [1.0, 1.0], np.eye(2)),
            [1, 0],
            {},
            r"`U` must be a rectangular array of numbers; .*[^.]\.$",
        ),
        (np.eye(2), [[1.0], [1.0, 2.0]], {}, r"`b` must be a vector of numbers; .*[^.]\.$"),
        ((np.eye(2), [[1.0], [1.0, 2.0]], np.eye(2)), [1, 0], {}, "`s` must be a vector of numbers"),
        ((np.eye(2), [1.0, 1.0], np.eye(3)), [1, 0], {}, "must have shapes .* Drop the surplus vectors"),
        (np.eye(2), [1, 0], {"evolution_time": 1e200}, r"`evolution_time` must be shorter: .* makes 1.6e\+199 turns"),
        (np.eye(2) * 1e-150, [1e158, 0], {"C": 1e-152, "shots": 1}, r"a norm \|b\|/C that is a float64 for `shots`"),
        (np.eye(2) * 1e-200, [1e200, 0], {}, "a solution whose norm is a float64; it is beyond the largest"),
        (np.eye(2) * 1e200, [1e-200, 0], {}, "a solution whose norm is a float64; it is beyond the smallest"),
        (np.eye(2), [1, 0], {"ridge": 10**400, "filter": "ridge"}, "`ridge` must be a finite number >= 0"),
        (np.eye(2), [1, 0], {"shots": 10**19}, r"`shots` must be at most 1e\+18"),
        (np.eye(2), [1, 0], {"filter": np.array([1, 2])}, "`filter` must be one of"),
        (np.eye(2), [1, 0], {"alpha": np.array([1.0, 2.0])}, "`alpha` must be left at 'frobenius'"),
        (-np.eye(2), [1, 0], {"signed": np.False_}, "negative eigenvalues"),
    ],
)
def test_bad_input_is_a_clear_value_error(A, b, options, match):
    with pytest.raises(ValueError, match=match):
        hhl(A, b, **options)


@pytest.mark.parametrize("run", [hhl, hhl_gates])
def test_what_is_only_rounding_is_no_state(run):
    Q = np.linalg.qr(np.random.default_rng(4).standard_normal((4, 4)))[0]
    A = (Q * [1.0, 2.0, 3.0, 4.0]) @ Q.T
    # In floating point b has parts of 1e-16 along the vectors above the threshold.
    with pytest.raises(ValueError, match="`threshold` must leave a part of `b`"):
        run((A + A.T) / 2, Q[:, 0], n_clock_qubits=6, filter="threshold", threshold=2.5)
    # The eigenvalue lies on a register that is not rotated, but for the last digit.
    for matrix in ([[2.0]], [[2.0, 0.0, 1.0]]):
        with pytest.raises(ValueError, match="must leave some success probability, and it is 0 to rounding"):
            run(matrix, [1.0], n_clock_qubits=5, filter=np.square, C=1.0, below="zero")


@pytest.mark.parametrize("run", [hhl, hhl_gates])
def test_small_rotations_are_no_rounding(run):
    result = run(np.diag([1.0, 0.3]), [1.0, 2.0], n_clock_qubits=6, C=1e-40)
    assert result.success_probability == pytest.approx(1e-80 * (result.norm**2 / 5), rel=1e-9)
    np.testing.assert_allclose(result.x, [1.0, 2 / 0.3], rtol=0.05)


def test_masked_array_is_refused():
    with pytest.raises(TypeError, match="Load the file first"):
        hhl("A.npy", [1.0, 1.0])
    with pytest.raises(TypeError, match="masked"):
        hhl(np.ma.masked_array(np.eye(2), mask=np.eye(2)), [1.0, 1.0])
    with pytest.raises(TypeError, match="`C` must be a number"):
        hhl(np.eye(2), [1.0, 1.0], C=True)
    with pytest.raises(TypeError, match=r"`A` must be a tuple \(U, s, Vt\) where it is given by its SVD; got a list"):
        hhl([np.eye(2), np.ones(2), np.eye(2)], [1.0, 1.0])
    for name in ("evolution_time", "C", "guard", "n_clock_qubits"):
        with pytest.raises(TypeError, match=f"`{name}` must be"):
            hhl(np.eye(2), [1.0, 1.0], **{name: np.array([1, 2])})


def test_truths_of_numpy_are_truths():
    A, b = np.diag([0.5, 1.0]), [1.0, 1.0]
    for name in ("signed", "postselect_clock"):
        np.testing.assert_array_equal(hhl(A, b, **{name: np.False_}).x, hhl(A, b, **{name: False}).x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
def test_rounding_of_the_type_of_the_numbers_is_no_part_of_the_spectrum(dtype):
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((40, 40)))[0][:, :3] for _ in range(2))
    b = rng.standard_normal(40)
    general = ((U * [3.0, 2.0, 1.0]) @ V.T).astype(dtype)
    result = hhl(general, b)
    assert np.count_nonzero(result.filter_curve.values) == 3
    assert np.count_nonzero(hhl(general.astype(np.complex128), b).filter_curve.values) > 3  # taken at their word
    exact = np.linalg.pinv((U * [3.0, 2.0, 1.0]) @ V.T) @ b
    assert np.linalg.norm(result.x - exact) < (0.05 if dtype == np.float16 else 0.01) * np.linalg.norm(exact)


def test_small_singular_values_of_a_large_float32_matrix_are_kept():
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.standard_normal((n, 20)))[0] for n in (4000, 20))
    A, b = (U * np.geomspace(1.0, 3e-4, 20)) @ V.T, U @ np.ones(20)  # the least are below 4000 roundings of the largest
    result, exact = hhl(A.astype(np.float32), b, n_clock_qubits=16), np.linalg.lstsq(A, b, rcond=None)[0]
    assert np.count_nonzero(result.filter_curve.values) == 20
    assert np.linalg.norm(result.x - exact) < 0.2 * np.linalg.norm(exact)


def test_half_precision_is_not_all_rounding_however_large_the_matrix():
    values = np.linspace(0.5, 1.0, 1100)
    result = hhl(np.diag(values).astype(np.float16), np.ones(1100), n_clock_qubits=8)
    np.testing.assert_allclose(result.x, 1.0 / values, rtol=0.02)


def test_asymmetry_of_a_large_float32_matrix_above_rounding_is_kept():
    A = np.eye(400, dtype=np.float32)
    A[0, 1] = 2e-5  # 170 roundings
    assert hhl(A, np.ones(400), n_clock_qubits=4).parameters["basis"] == "singular"


def test_matrix_that_is_symmetric_up_to_the_rounding_of_its_type_is_symmetric():
    X = np.random.default_rng(1).standard_normal((30, 30))
    A = X @ X.T
    skewed = A.astype(np.float32)
    skewed[0, 1] = np.nextafter(skewed[0, 1], np.inf, dtype=np.float32)
    assert hhl(skewed, np.ones(30)).parameters["basis"] == "eigen"
    assert hhl(skewed.astype(np.float64), np.ones(30)).parameters["basis"] == "singular"
    A[0, 1] = np.nextafter(A[0, 1], np.inf)
    assert hhl(A, np.ones(30)).parameters["basis"] == "eigen"


def test_small_singular_values_of_a_tall_tuple_are_kept():
    rng = np.random.default_rng(2)
    U = np.linalg.qr(rng.standard_normal((20_000, 2)))[0].astype(np.float32)
    s, Vt = np.array([1.0, 1e-3], dtype=np.float32), np.eye(2, dtype=np.float32)
    result = hhl((U, s, Vt), U @ np.ones(2), n_clock_qubits=16)
    np.testing.assert_allclose(np.abs(result.x), 1 / s, rtol=0.1)


def test_inputs_are_not_modified():
    A, b = toeplitz(4), first(4)
    hhl(A, b)
    np.testing.assert_array_equal(A, toeplitz(4))
    np.testing.assert_array_equal(b, first(4))
