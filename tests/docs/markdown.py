"""Markdown from plain text and docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")


def prose(text: str) -> str:
    """A paragraph of a docstring as Markdown on one line; what looks like HTML stays text.

    >>> prose("Reads ``a/<b>`` and :attr:`Plan.values`;\\nnever <c>.")
    'Reads `a/<b>` and `Plan.values`; never &lt;c>.'
    """
    text = _ROLE.sub(r"`\1`", " ".join(text.split())).replace("``", "`")
    code = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in code)


def row(cells: Iterable[str]) -> str:
    """One row of a table.

    >>> row(["|a|", "b"])
    '| \\\\|a\\\\| | b |'
    """
    return "| " + " | ".join(prose(cell).replace("|", r"\|") for cell in cells) + " |"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [row(headings), row(["---"] * len(headings)), *(row(cells) for cells in rows)]


def anchor(heading: str) -> str:
    """How other pages point at a heading.

    >>> anchor("R19: rotation, scale"), anchor("Plan: `ercpseg.plan/1`")
    ('r19-rotation-scale', 'plan-ercpsegplan1')
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
