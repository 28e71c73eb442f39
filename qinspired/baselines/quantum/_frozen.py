"""Pickles and copies of frozen results that hold read-only mappings."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any

__all__ = ["get_state", "set_state"]


def get_state(result: Any) -> list[Any]:
    """Return the fields of a frozen dataclass; a read-only mapping, which cannot be pickled, as a tuple of its dict."""
    values = (getattr(result, field.name) for field in fields(result))
    return [_Mapping(value) if isinstance(value, MappingProxyType) else value for value in values]


def set_state(result: Any, state: list[Any]) -> None:
    """Set the fields from what `get_state` returned."""
    for field, value in zip(fields(result), state, strict=True):
        object.__setattr__(result, field.name, MappingProxyType(dict(value)) if isinstance(value, _Mapping) else value)


class _Mapping(dict[str, Any]):
    """A mapping that was read-only."""
