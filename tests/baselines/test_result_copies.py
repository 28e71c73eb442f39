from __future__ import annotations

import copy
import pickle
from types import MappingProxyType

import numpy as np
import pytest

from qinspired import baselines

A, B = np.array([[1.5, 0.5], [0.5, 1.5]]), [1.0, 2.0]


@pytest.mark.parametrize("make", [lambda r: pickle.loads(pickle.dumps(r)), copy.copy, copy.deepcopy])
def test_results_are_copied_with_their_mappings_read_only(make):
    run = baselines.hhl(A, B, n_clock_qubits=4)
    again = make(run)
    assert dict(again.parameters) == dict(run.parameters)
    assert isinstance(again.parameters, MappingProxyType)
    np.testing.assert_array_equal(again.state, run.state)
    read = run.tomography(1000, rng=0)
    assert make(read).details == read.details
    costs = baselines.quantum_costs(A, B)
    assert make(costs).explain() == costs.explain()
    assert make(costs).lines[0] == costs.lines[0]
