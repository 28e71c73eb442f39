from __future__ import annotations

import numba
import pytest

from qinspired.kernels import _jit, kernel_threads

most = numba.config.NUMBA_NUM_THREADS


def test_the_number_of_threads_and_the_threshold_are_set_and_restored() -> None:
    before, threshold = numba.get_num_threads(), _jit._PARALLEL_FROM
    with kernel_threads(1, parallel_from=7) as count:
        assert count == numba.get_num_threads() == 1
        assert _jit._PARALLEL_FROM == 7
        assert not _jit.worth_threads(10**12)
    assert (numba.get_num_threads(), _jit._PARALLEL_FROM) == (before, threshold)


def test_they_are_restored_after_an_error_too() -> None:
    before, threshold = numba.get_num_threads(), _jit._PARALLEL_FROM
    with pytest.raises(KeyError), kernel_threads(1, parallel_from=1):
        raise KeyError
    assert (numba.get_num_threads(), _jit._PARALLEL_FROM) == (before, threshold)


def test_all_threads_are_the_default_and_no_more_are_taken() -> None:
    with kernel_threads() as count:
        assert count == numba.get_num_threads() == most
    with kernel_threads(10**6) as count:
        assert count == most


@pytest.mark.skipif(most < 2, reason="numba was started with one thread")
def test_the_smallest_work_runs_in_parallel_if_asked_to() -> None:
    with kernel_threads(parallel_from=1):
        assert _jit.worth_threads(1)
    with kernel_threads():
        assert not _jit.worth_threads(1)
