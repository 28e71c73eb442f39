"""Random state: whatever the caller gives becomes one `Generator`, and a kernel gets a key drawn from it."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qinspired._typing import RNGLike

__all__ = ["as_generator", "stream_key"]

_ACCEPTED = "an int >= 0, a numpy Generator, SeedSequence, BitGenerator or RandomState, or None"


def as_generator(rng: RNGLike, *, name: str = "rng") -> np.random.Generator:
    """Return `rng` as a `numpy.random.Generator` (SPEC 7); a `Generator` is passed through and advances."""
    kinds = (Integral, np.random.Generator, np.random.SeedSequence, np.random.BitGenerator, np.random.RandomState)
    given: Any = rng
    if isinstance(given, bool) or (given is not None and not isinstance(given, kinds)):
        raise TypeError(f"`{name}` must be {_ACCEPTED}; got {rng!r} of type {type(rng).__name__}.")
    if isinstance(rng, int | np.integer):
        if rng < 0:
            raise ValueError(f"`{name}` must be {_ACCEPTED}; got {rng}.")
        return np.random.default_rng(int(rng))
    if isinstance(rng, np.random.RandomState):
        # Drawing the seed advances the RandomState, as scikit-learn users expect of a shared one.
        return np.random.default_rng(rng.randint(0, 2**32, size=4, dtype=np.uint64))
    return np.random.default_rng(rng)


def stream_key(generator: np.random.Generator) -> np.uint64:
    """Draw the 64-bit key that names one family of counter-addressed streams in the kernels."""
    return np.uint64(generator.integers(0, 2**64, dtype=np.uint64))
