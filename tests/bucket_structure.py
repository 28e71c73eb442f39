"""What must hold of the buckets of a dynamic sampler at any time: plain Python over their arrays."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LOWEST_EXPONENT = -1073
START, COUNT, CAPACITY, HIGH, LOW = range(5)


def bucket_of(weight: float) -> int:
    """Return four times the exponent above that of 5e-324, plus the quarter of [1/2, 1) of the mantissa."""
    mantissa, exponent = math.frexp(weight)
    return 4 * (exponent - LOWEST_EXPONENT) + math.floor(8 * mantissa) - 4


def assert_consistent(buckets: Any, weights: Sequence[float], power: int) -> None:
    """Check that each item is where its place says, alone, in the bucket of its weight, in memory of its own."""
    places, segments = buckets.places.tolist(), buckets.segments
    assert all(place == -1 for place in places[len(weights) :])
    members: dict[int, set[int]] = {}
    for item, (place, weight) in enumerate(zip(places, weights, strict=False)):
        if weight == 0.0:
            assert place == -1
            continue
        bucket, position = divmod(place, 2**40)
        assert bucket == bucket_of(weight)
        stored, mantissa = buckets.pairs[segments[START, bucket] + position].tolist()
        assert stored == item
        assert mantissa == math.frexp(weight)[0]
        assert position not in members.setdefault(bucket, set())
        members[bucket].add(position)
    with_room = segments[CAPACITY, :-1].nonzero()[0].tolist()
    assert segments[COUNT:, :-1].any(axis=0).nonzero()[0].tolist() == with_room
    assert set(members) <= set(with_room)
    end = 0
    for bucket in sorted(with_room, key=lambda bucket: int(segments[START, bucket])):
        start, count, capacity, high, low = segments[:, bucket].tolist()
        positions = members.get(bucket, set())
        assert positions == set(range(count))
        assert count <= capacity
        assert start >= end
        end = start + capacity
        terms = [buckets.pairs[start + position, 1] ** power * 2**54 for position in positions]
        assert (high, low) == (sum(int(t) >> 27 for t in terms), sum(int(t) % 2**27 for t in terms))
    assert end <= segments[START, -1] <= len(buckets.pairs)


def share(weights: Sequence[float], power: int) -> list[Fraction]:
    """Return the exact probabilities."""
    powers = [Fraction(weight) ** power for weight in weights]
    return [value / sum(powers) for value in powers]
