"""Plain text and markdown tables."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Format", "Table", "printable", "render_table"]

Format: TypeAlias = Literal["text", "markdown"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes
    ----------
    title : str
        What the table shows.
    head : tuple of str
        Column headings.
    rows : tuple of tuple of str
        Cells.
    left : tuple of int
        Columns aligned left; the others are aligned right.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)


def printable(text: str) -> str:
    """Return text with control characters replaced, so that an id in a file cannot move the cursor."""
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co") else letter for letter in text)


def render_table(table: Table, style: Format = "text") -> str:
    """Return a table as aligned text or as markdown, its title first.

    Parameters
    ----------
    table : Table
        The table.
    style : {"text", "markdown"}
        Aligned columns, or a table that is also aligned as text.

    Returns
    -------
    str
        Without a final newline.
    """
    escaped = [[_cell(cell, style) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(len(row[i]) for row in escaped) for i in range(len(table.head))]
    lines = [_line(row, widths, table.left, style) for row in escaped]
    if style == "markdown":
        rule = ["-" * width if i in table.left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
        return "\n".join([f"**{_cell(table.title, style)}**", "", lines[0], f"| {' | '.join(rule)} |", *lines[1:]])
    rule_line = "  ".join("-" * width for width in widths)
    return "\n".join([printable(table.title), "", lines[0], rule_line, *lines[1:]])


def _cell(text: str, style: Format) -> str:
    clean = printable(text)
    return clean.replace("|", "\\|") if style == "markdown" else clean


def _line(cells: Sequence[str], widths: Sequence[int], left: Sequence[int], style: Format) -> str:
    padded = [
        cell.ljust(width) if i in left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |" if style == "markdown" else "  ".join(padded).rstrip()
