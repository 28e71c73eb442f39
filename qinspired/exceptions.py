"""Errors and warnings of qinspired. Each is a subclass of what numpy and scipy users already catch."""

from __future__ import annotations

__all__ = [
    "CorruptFileError",
    "DivergenceWarning",
    "PrecisionWarning",
    "QInspiredWarning",
    "ToleranceNotMetWarning",
    "VersionError",
    "ZeroMassError",
]


class ZeroMassError(ValueError):
    """The weights to draw from sum to zero, so that no draw exists."""


class VersionError(RuntimeError):
    """A matrix was updated after an answer, a view or an index was made from it, so that the two disagree."""


class CorruptFileError(ValueError):
    """A saved matrix is truncated, altered, or no saved matrix at all."""


class QInspiredWarning(UserWarning):
    """Base class of the warnings of qinspired."""


class ToleranceNotMetWarning(QInspiredWarning):
    """A method pinned by name stopped before its certificate showed the tolerance asked for."""


class DivergenceWarning(QInspiredWarning, RuntimeWarning):
    """An iteration moved farther and farther from where it began, so that its answer is likely to be of no use."""


class PrecisionWarning(QInspiredWarning):
    """Numbers given as integers or long doubles are not exact in float64, and were rounded to it."""
