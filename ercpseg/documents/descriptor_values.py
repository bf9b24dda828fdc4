"""Single values of a descriptor: paths below the root, patterns, days, names; each says what it should be."""

from __future__ import annotations

import datetime
import re
import warnings
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ercpseg.errors import UsageError
from ercpseg.structures import StructureSet

MAX_PATTERN = 500
"""Characters of a regular expression. Nobody can read a longer one."""
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]|[*+]|\{\d*(?:,\d*)?\}|.", re.DOTALL)
"""Escape, set of characters, bracket, repetition, or any other character of a regular expression."""


def _relative(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text or re.match(r"[A-Za-z]:", text):
        raise ValueError("should be a path inside the root, relative, with / and without ..")
    return "/".join(path.parts)


def _pattern(text: str) -> str:
    if len(text) > MAX_PATTERN:
        raise ValueError(f"should have at most {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"should be a regular expression: {error}") from error
    if compiled.groups < 1:
        raise ValueError("should have a group ( ), which is what is taken")
    if _repeats_repetition(text):
        raise ValueError("should be without a repeated group that repeats something itself: it can take forever")
    return text


def _repeats_repetition(pattern: str) -> bool:
    r"""Whether a group that repeats something without limit is itself repeated, on which matching can take forever.

    >>> [_repeats_repetition(p) for p in (r"(a+)+", r"((a*)b)*", r"(a+)_(b+)", r"([+)]x)*", r"(\d{2})+")]
    [True, True, False, False, False]
    """
    parts = _TOKEN.findall(pattern)
    inside = [False]
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part == "(":
            inside.append(False)
        elif part == ")" and len(inside) > 1:
            repeats = inside.pop()
            if repeats and following[:1] in ("*", "+", "{"):
                return True
            inside[-1] |= repeats
        elif part in ("*", "+") or (part.startswith("{") and ",}" in part):
            inside[-1] = True
    return False


def _structure(name: str) -> str:
    try:
        StructureSet((name,))
    except UsageError as error:
        raise ValueError(f"should be the name of a structure: {error.expected}") from error
    return name


def listed(value: Any) -> Any:
    """One value may stand for a list of one, which is how people write YAML."""
    return [value] if isinstance(value, str | int | dict) and not isinstance(value, bool) else value


def _nothing(value: Any) -> Any:
    """A key with nothing after it is an empty list."""
    return [] if value is None else listed(value)


def _day(value: Any) -> Any:
    """YAML reads an unquoted day as a date."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            datetime.date.fromisoformat(value)
            return value
    except ValueError:
        pass
    if isinstance(value, str):
        raise ValueError("should be a day of the calendar, YYYY-MM-DD")
    return value


RelativePath = Annotated[str, AfterValidator(_relative)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Text = Annotated[str, Field(min_length=1)]
Structure = Annotated[str, AfterValidator(_structure)]
Day = Annotated[str, BeforeValidator(_day)]
PixelValue = Annotated[int, Field(ge=0, le=65535)]
Words = Annotated[tuple[Text, ...], BeforeValidator(listed)]
Synonyms = Annotated[tuple[Text, ...], BeforeValidator(_nothing)]
PixelValues = Annotated[tuple[PixelValue, ...], BeforeValidator(listed)]
Colours = Annotated[tuple[Colour, ...], BeforeValidator(listed)]
Millimetres = Annotated[float, Field(gt=0)]
