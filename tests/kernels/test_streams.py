from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinspired.kernels import _streams

WORDS = st.integers(0, 2**64 - 1)
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)


def first_uniforms(key: int, block: int, count: int) -> list[float]:
    # A compiled function returns a Python int, which would be taken for an int64 on its way back in.
    state = np.uint64(_streams.block_state(np.uint64(key), np.uint64(block)))
    values = []
    for _ in range(count):
        state = np.uint64(_streams.next_state(state))
        values.append(float(_streams.state_uniform(state)))
    return values


@EXAMPLES
@given(WORDS)
def test_the_hash_is_the_finaliser_of_splitmix64(word: int) -> None:
    assert int(_streams.mix(np.uint64(word))) == oracles.mix(word)


@EXAMPLES
@given(WORDS, WORDS)
def test_a_stream_is_that_of_the_python_integers(key: int, block: int) -> None:
    assert first_uniforms(key, block, 3) == list(itertools.islice(oracles.uniforms(key, block), 3))


def test_the_hash_gives_the_published_numbers_of_splitmix64() -> None:
    # The outputs of Vigna's reference splitmix64.c from the seed 1234567.
    state, outputs = np.uint64(1234567), []
    for _ in range(3):
        state = np.uint64(_streams.next_state(state))
        outputs.append(int(_streams.mix(state)))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(
    ("key", "block", "values"),
    [
        (0, 0, [0.33805245419550545, 0.2691302712263999, 0.2715666096967839]),
        (0, 1, [0.4327449275927212, 0.4256321780286294, 0.5396686375601871]),
        (1, 0, [0.26820671787738604, 0.9284922685767013, 0.6338022935742235]),
        (18446744073709551615, 1099511627776, [0.25168091559534067, 0.5986188429474556, 0.07582888958681033]),
    ],
)
def test_the_streams_have_not_changed(key: int, block: int, values: list[float]) -> None:
    # A change here changes the draws behind every seed: it belongs in the changelog.
    assert first_uniforms(key, block, len(values)) == values


def test_numbers_lie_in_the_half_open_unit_interval() -> None:
    # mix is a bijection with mix(0) = 0; the state whose hash is all ones gives the largest number.
    assert _streams.state_uniform(np.uint64(0)) == 0.0
    assert (2**64 - 1 >> 11) * 2.0**-53 < 1.0


def test_streams_of_neighbouring_blocks_and_keys_do_not_overlap() -> None:
    starts = {oracles.block_state(key, block) for key in range(64) for block in range(64)}
    numbers = {value for key in range(16) for block in range(16) for value in first_uniforms(key, block, 16)}
    assert len(starts) == 64 * 64
    assert len(numbers) == 16 * 16 * 16
