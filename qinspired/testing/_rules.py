"""The error of the checks, and the few ways to state a rule."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

__all__ = ["ConformanceError", "TooFewDrawsError", "must_raise", "require", "require_close", "stage"]


class ConformanceError(AssertionError):
    """A storage or a sampler breaks a rule.

    Parameters
    ----------
    rule : str
        What must hold, as one sentence.
    observed : str
        What was seen instead, and where.

    Examples
    --------
    >>> from qinspired.testing import ConformanceError
    >>> print(ConformanceError("indices never wrap around", "`query([-1], [0])` returned [3.5]"))
    indices never wrap around: `query([-1], [0])` returned [3.5]
    """

    def __init__(self, rule: str, observed: str) -> None:
        super().__init__(rule, observed)
        self.rule = rule
        self.observed = observed

    def __str__(self) -> str:
        return f"{self.rule}: {self.observed}"


ConformanceError.__module__ = "qinspired.testing"  # as it is imported, and shown in a traceback


class TooFewDrawsError(ValueError):
    """A law cannot be told from a wrong one: the caller's to mend, not the sampler's."""


def require(holds: bool | np.bool_, rule: str, observed: str) -> None:
    if not holds:
        raise ConformanceError(rule, observed)


def require_close(got: Any, wanted: npt.NDArray[Any], slack: Any, rule: str, where: str) -> None:
    """Require |got - wanted| <= slack, entry by entry; the entry furthest off is named."""
    values = np.asarray(got)
    require(values.shape == wanted.shape, rule, f"`{where}` has shape {values.shape} instead of {wanted.shape}")
    error = np.abs(values.astype(np.float64) - wanted)
    excess = np.where(np.isnan(error), np.inf, error - slack)
    if (excess > 0).any():
        place = np.unravel_index(int(np.argmax(excess)), excess.shape)
        spot = f"[{', '.join(str(int(i)) for i in place)}]" if place else ""
        seen = f"`{where}{spot}` is {values[place].item()!r} instead of {wanted[place].item()!r}"
        raise ConformanceError(rule, f"{seen}, {error[place]:.3g} off")


def must_raise(
    errors: tuple[type[Exception], ...], rule: str, where: str, call: Callable[..., Any], *given: Any
) -> Exception:
    """Require that call(*given) is refused by one of some errors, and return it."""
    names = " or ".join(error.__name__ for error in errors)
    try:
        value = call(*given)
    except errors as error:
        return error
    except Exception as error:
        seen = f"{type(error).__name__}: {error}"
        raise ConformanceError(rule, f"`{where}` must raise {names}; it raised {seen}") from error
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    raise ConformanceError(rule, f"`{where}` must raise {names}; it returned {shown}")


@contextmanager
def stage(rule: str, subject: Any) -> Iterator[None]:
    """Turn what a subject raises into a breach of the rule that is being looked at, and say which subject it was."""
    try:
        yield
    except ConformanceError as error:
        raise ConformanceError(error.rule, f"{error.observed}; in {type(subject).__name__}") from error.__cause__
    except TooFewDrawsError:
        raise
    except Exception as error:
        raise ConformanceError(rule, f"{type(subject).__name__} raised {type(error).__name__}: {error}") from error
