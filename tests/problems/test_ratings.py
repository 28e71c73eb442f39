from __future__ import annotations

import numpy as np
import pytest

from qinspired.problems import ratings


def test_every_observed_like_is_one_of_the_users_type():
    p = ratings((200, 80), 5, density=0.3, rng=0)
    users, items = p.matrix.nonzero()
    assert p.profiles[p.groups[users], items].all()
    np.testing.assert_array_equal(p.matrix.data, 1.0)
    assert p.matrix.has_canonical_format
    assert p.matrix.shape == (200, 80)


def test_full_density_shows_the_whole_low_rank_preference_matrix():
    p = ratings((50, 40), 3, density=1.0, rng=1)
    np.testing.assert_array_equal(p.matrix.toarray(), p.profiles[p.groups])
    assert np.linalg.matrix_rank(p.matrix.toarray()) <= 3


def test_rates_of_likes_and_noise_are_the_asked_ones():
    p = ratings((1000, 500), 4, density=0.4, noise=0.25, liked=0.3, rng=2)
    liked = p.profiles[p.groups]
    seen = p.matrix.toarray() > 0
    # six standard errors of a proportion over at least 10^5 pairs
    assert seen[liked].mean() == pytest.approx(0.4, abs=0.01)
    assert seen[~liked].mean() == pytest.approx(0.1, abs=0.01)


def test_blocks_of_rows_do_not_change_the_draws(monkeypatch):
    whole = ratings((50, 40), 3, density=0.5, rng=3)
    monkeypatch.setattr("qinspired.problems._low_rank._BLOCK_ENTRIES", 100)
    parts = ratings((50, 40), 3, density=0.5, rng=3)
    np.testing.assert_array_equal(whole.matrix.toarray(), parts.matrix.toarray())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"density": 0.0}, r"`density` must be in \(0, 1\]"),
        ({"noise": 1.5}, r"`noise` must be in \[0, 1\]"),
        ({"liked": 2.0}, r"`liked` must be in \(0, 1\]"),
        ({"n_groups": 0}, "`n_groups` must be an integer >= 1"),
    ],
)
def test_bad_parameters_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        ratings((5, 4), **{"n_groups": 2, **options})
