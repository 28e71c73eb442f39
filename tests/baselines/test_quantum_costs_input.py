"""Bad input of `quantum_costs`."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from baselines.test_quantum_costs import EXAMPLE

from qinspired.baselines import quantum_costs


def with_nan():
    A = np.eye(3)
    A[1, 2] = np.nan
    return A


@pytest.mark.parametrize(
    ("A", "options", "message"),
    [
        (with_nan(), {}, r"`A` must be finite.*A\[1, 2\] = nan"),
        (sp.csr_array(with_nan()), {}, r"`A` must be finite"),
        (np.full((2, 2), complex(0.0, np.inf)), {}, "`A` must be finite"),
        (np.zeros((3, 2)), {}, "`A` must not be the zero matrix"),
        (sp.csr_array((3, 2)), {}, "`A` must not be the zero matrix"),
        (np.zeros((0, 2)), {}, "at least one row"),
        (np.ones(3), {}, "2-dimensional"),
        ((np.eye(3), [1.0, 0.0, -1.0], np.eye(3)), {}, "`s` must hold singular values >= 0"),
        ((np.eye(3), np.zeros(3), np.eye(3)), {}, "`s` must hold singular values >= 0"),
        ((np.eye(3), [1.0, 2.0], np.eye(3)), {}, r"must have shapes \(m, r\), \(r,\) and \(r, n\)"),
        ((2 * np.eye(3), [1.0, 2.0, 3.0], np.eye(3)), {}, "`U` of .* must be orthonormal"),
        (np.eye(3), {"tolerance": 0.0}, "`tolerance` must be in"),
        (np.eye(3), {"tolerance": 1.0}, "`tolerance` must be in"),
        (np.eye(3), {"tolerance": np.nan}, "`tolerance` must be in"),
        (np.eye(3), {"tolerance": 1e-15}, "`tolerance` must be at least 1e-14"),
        (np.eye(3), {"readout_tolerance": 1e-300}, "`readout_tolerance` must be at least 1e-14"),
        (np.eye(3), {"loads_per_query": 10**400}, "`loads_per_query` must be at most 1000000"),
        (np.eye(3), {"word_bits": 10**400}, "`word_bits` must be at most 1000000"),
        (np.eye(3), {"clock": 1e308}, "`clock` must be at most 1e[+]09 seconds"),
        (np.eye(3), {"alpha": 0.5}, "`alpha` must be at least .A. = 1"),
        (np.eye(3), {"alpha": "norm"}, "`alpha` must be a number > 0 or 'frobenius'"),
        (np.eye(3), {"alpha": 1e101}, "`sigma_min` must keep kappa of the block encoding"),
        (np.eye(3), {"readout_tolerance": 2.0}, "`readout_tolerance` must be in"),
        (np.eye(3), {"output": "state"}, "`output` must be one of 'vector'"),
        (np.eye(3), {"loading": "tape"}, "`loading` must be one of 'qrom'"),
        (np.eye(3), {"count": "some"}, "`count` must be one of 'all'"),
        (np.eye(3), {"loading": "qram", "count": "loads"}, "`count` must be 'all' with"),
        (np.eye(3), {"clock": "fast"}, "`clock` must be one of 'optimistic'"),
        (np.eye(3), {"clock": 0.0}, "`clock` must be a finite number > 0"),
        (np.eye(3), {"clock": np.nan}, "`clock` must be a finite number > 0"),
        (np.eye(3), {"physical": "qubit_maj"}, "`physical` must be one of False, True"),
        (np.eye(3), {"word_bits": 0}, "`word_bits` must be an integer >= 1"),
        (np.eye(3), {"loads_per_query": 0}, "`loads_per_query` must be an integer >= 1"),
        (np.eye(3), {"density": 1.5}, "`density` must be in"),
        (np.eye(3), {"cutoff": 2.0}, "`cutoff` must be at most the largest singular value"),
        (np.eye(3), {"cutoff": -1.0}, "`cutoff` must be a finite number > 0"),
        (np.eye(3), {"b": np.zeros(3)}, "`b` must not be zero"),
        (np.eye(3), {"b": [1.0, np.nan, 0.0]}, "`b` must be finite"),
        (np.eye(3), {"b": np.ones(2)}, "`b` must have one entry for each of the 3 rows"),
        (np.diag([1.0, 0.0]), {"b": [0.0, 1.0]}, "`b` must have a part in the span"),
        (sp.csr_array((200_000, 5_000)), {}, "Give a truncated SVD .* or the conditions"),
        (np.ones((1, 3000)), {"b": [np.inf]}, "`b` must be finite"),
    ],
)
def test_bad_input_is_named(A, options, message):
    with pytest.raises(ValueError, match=message):
        quantum_costs(A, **options)


def test_matrix_too_large_to_diagonalise_is_refused_before_any_work():
    A = np.broadcast_to(np.float64(1.0), (6000, 5000))
    with pytest.raises(ValueError, match=r"got shape \(6000, 5000\). Give a truncated SVD"):
        quantum_costs(A)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_min": None}, "must have `sigma_min`; got none"),
        ({"sigma_max": None}, "must have `sigma_max`; got none"),
        ({"frobenius_norm": None}, "must have `frobenius_norm`; got none"),
        ({"shape": None}, r"`shape` of the conditions must be \(m, n\)"),
        ({"shape": (3, 4, 5)}, r"`shape` of the conditions must be \(m, n\)"),
        ({"shape": (0, 4)}, "`shape` must be an integer >= 1"),
        ({"sigma_min": 11.0}, "`sigma_min` must be at most `sigma_max`"),
        ({"sigma_min": np.nan}, "`sigma_min` must be a finite number > 0"),
        ({"sigma_min": 0.0}, "`sigma_min` must be a finite number > 0"),
        ({"frobenius_norm": 9.0}, "`frobenius_norm` must be in"),
        ({"frobenius_norm": 10.9}, r"`frobenius_norm` must be in \[10.9087, "),
        ({"frobenius_norm": 1001.0}, "`frobenius_norm` must be in"),
        ({"frobenius_norm": np.inf}, "`frobenius_norm` must be a finite number > 0"),
        ({"rank": 10_001}, r"`rank` must be in \[1, min\(m, n\)\]"),
        ({"rank": 0}, r"`rank` must be in \[1, min\(m, n\)\]"),
        ({"n_stored": 10**9 + 1}, "`n_stored` must be at most m n"),
        ({"shape": 5}, r"`shape` of the conditions must be \(m, n\); got 5"),
        ({"shape": (10**19, 4)}, "`shape` of the conditions must have sizes of at most 1e[+]18"),
        ({"sigma_min": 1e-200}, "`sigma_min` must keep kappa of the block encoding.* larger `sigma_min`"),
        ({"sigma_max": 10**400}, "`sigma_max` must be at most 1e[+]300"),
        ({"rank": 1}, "`sigma_min` must equal `sigma_max`, 10, where the rank is 1"),
        ({"shape": (1, 10_000), "rank": None, "n_stored": 5}, "`sigma_min` must equal `sigma_max`"),
        ({"frobenius_norm": 110.0}, r"`frobenius_norm` must be in \[10.9087, 109\]"),
        ({"kapa": 3.0}, r"must have the keys .* got \['kapa'\]"),
    ],
)
def test_impossible_conditions_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        quantum_costs({**EXAMPLE, **change})


@pytest.mark.parametrize("options", [{"density": 0.1}, {"cutoff": 1.0}])
def test_conditions_are_not_given_twice(options):
    with pytest.raises(ValueError, match="must not be given with conditions"):
        quantum_costs(EXAMPLE, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": "small"}, "`tolerance` must be a number"),
        ({"word_bits": 24.0}, "`word_bits` must be an integer"),
        ({"clock": None}, "`clock` must be a finite number > 0"),
        ({"A": {**EXAMPLE, "sigma_min": "1"}}, "`sigma_min` must be a finite number > 0"),
        ({"A": {**EXAMPLE, "rank": 2.5}}, "`rank` must be an integer"),
    ],
)
def test_wrong_types_are_named(options, message):
    with pytest.raises(TypeError, match=message):
        quantum_costs(options.pop("A", EXAMPLE), **options)
