from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from testing.storages import MATRICES, OVERSAMPLED, SAMPLERS, STORAGES, UPDATABLE, UPDATABLE_SAMPLERS, Negated, Storage
from zoo import ZOO, Specimen

import qinspired as qi
from qinspired.testing import (
    check_oversampled,
    check_sampler,
    check_sq_matrix,
    check_updatable_matrix,
    check_updatable_sampler,
    sample_matrices,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("storage", STORAGES, ids=str)
def test_a_storage_conforms(storage: Storage, tmp_path: Path) -> None:
    check_sq_matrix(lambda: storage.build(tmp_path), storage.dense, rtol=storage.rtol)


@pytest.mark.parametrize("storage", UPDATABLE, ids=str)
def test_a_storage_that_can_change_conforms_after_updates(storage: Storage, tmp_path: Path) -> None:
    check_updatable_matrix(lambda: storage.build(tmp_path), storage.dense, rtol=storage.rtol)


@pytest.mark.parametrize("storage", OVERSAMPLED, ids=str)
def test_a_derived_matrix_conforms_with_its_bound(storage: Storage, tmp_path: Path) -> None:
    check_oversampled(lambda: storage.build(tmp_path), storage.dense, rtol=storage.rtol)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("exponent", [1, 2])
def test_a_sampler_conforms(sampler: Any, exponent: int) -> None:
    for weights in (
        np.arange(40.0),
        np.ones(3),
        np.array([0.0, 1e-200, 0.0]),
        np.random.default_rng(0).exponential(size=60),
    ):
        check_sampler(lambda: sampler.build(weights, exponent), weights, exponent=exponent)  # noqa: B023


@pytest.mark.parametrize("sampler", UPDATABLE_SAMPLERS, ids=str)
@pytest.mark.parametrize("exponent", [1, 2])
def test_a_sampler_that_can_change_conforms_after_updates(sampler: Any, exponent: int) -> None:
    for weights in (np.arange(40.0), np.ones(3)):
        check_updatable_sampler(lambda: sampler.build(weights, exponent), weights, exponent=exponent)  # noqa: B023


@pytest.mark.parametrize("specimen", ZOO, ids=str)
def test_every_input_of_the_zoo_conforms_but_for_the_laws(specimen: Specimen, tmp_path: Path) -> None:
    made: list[Any] = []  # a memory map must not be written anew under the ones that are open

    def build() -> Any:
        made.append(made[0] if made and isinstance(made[0], np.memmap) else specimen.build(tmp_path))
        return qi.as_sq_matrix(made[-1])

    check_sq_matrix(build, specimen.dense, n_draws=0)


@pytest.mark.parametrize("name", sorted(MATRICES))
@pytest.mark.parametrize("make", [np.array, sp.csr_array, Negated], ids=["dense", "csr", "rows alone"])
def test_the_awkward_matrices_conform(make: Any, name: str) -> None:
    given = -MATRICES[name] if make is Negated else MATRICES[name]
    check_sq_matrix(lambda: qi.as_sq_matrix(make(given)), MATRICES[name])


def test_awkward_matrices_are_made_anew_and_are_exact_in_their_type() -> None:
    for dtype in (np.float32, np.float64):
        first, second = sample_matrices(dtype), sample_matrices(dtype)
        assert first.keys() == second.keys()
        for name, X in first.items():
            assert X.dtype == np.float64
            assert X is not second[name]
            assert X.flags.writeable
            assert np.isfinite(X).all()
            np.testing.assert_array_equal(X.astype(dtype).astype(np.float64), X)
            np.testing.assert_array_equal(X, second[name])
    with np.errstate(over="ignore", under="ignore"):
        for dtype in (np.float32, np.float64):
            huge, tiny = (sample_matrices(dtype)[f"{size} entries"].astype(dtype) for size in ("huge", "tiny"))
            assert not np.isfinite((huge**2).sum())
            assert (tiny**2).sum() == 0.0


def test_awkward_matrices_have_what_their_names_say() -> None:
    found = sample_matrices()
    holed = found["zero row and column"]
    assert not holed[3].any()
    assert not holed[:, 5].any()
    assert np.count_nonzero((found["all mass in one row"] ** 2).sum(axis=1)) == 1
    assert np.count_nonzero(found["all mass in one entry"]) == 1
    assert (found["one row"].shape[0], found["one column"].shape[1], found["one entry"].size) == (1, 1, 1)
    assert len(np.unique(found["repeated rows"], axis=0)) == 3
    assert (found["all negative"] < 0).all()
    assert np.array_equal(found["integers"], np.rint(found["integers"]))
    assert np.signbit(found["negative zeros"][found["negative zeros"] == 0.0]).all()
    assert np.linalg.matrix_rank(found["rank one"]) == 1
    assert not found["zeros"].any()
