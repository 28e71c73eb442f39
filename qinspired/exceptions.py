"""Errors and warnings of qinspired. Each is a subclass of what numpy and scipy users already catch."""

from __future__ import annotations

__all__ = ["QInspiredWarning", "ToleranceNotMetWarning", "ZeroMassError"]


class ZeroMassError(ValueError):
    """The weights to draw from sum to zero, so that no draw exists."""


class QInspiredWarning(UserWarning):
    """Base class of the warnings of qinspired."""


class ToleranceNotMetWarning(QInspiredWarning):
    """A method pinned by name stopped before its certificate showed the tolerance asked for."""
