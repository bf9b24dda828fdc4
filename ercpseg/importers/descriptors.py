"""Descriptors from YAML files: every problem at once, with its line and key, what is expected there and what was found.

A descriptor may come from anybody. It is read as plain values: no tags that make objects, no aliases (which can stand
for more than memory holds), no key twice, at most :data:`MAX_BYTES`.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ercpseg.documents.descriptor import Descriptor
from ercpseg.errors import DocumentError
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.resources import find_resource

MAX_BYTES = 1024 * 1024
"""Some 6,000 files with their hashes; a set with more has a manifest."""
MOST = 20
"""Problems that one error message names."""
Place = tuple[int | str, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: a file (of the data, or the descriptor itself), a key of the descriptor, a line of it."""

    file: str
    key: str
    expected: str
    found: str
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}, "
        return f"{line}{self.key or 'top'}: expected {self.expected}, found {self.found}"


def load_descriptor(name_or_file: str | Path) -> Descriptor:
    """The descriptor called so in ``datasets/``, or in this YAML file.

    Raises
    ------
    UsageError
        when there is none.
    StorageError
        when the file cannot be read.
    DocumentError
        when it is no descriptor; names up to twenty problems with line, key, expected, found.
    """
    path = find_resource("datasets", str(name_or_file))
    descriptor, problems = read_descriptor(path)
    if descriptor is None:
        more = f"; and {len(problems) - MOST} more" if len(problems) > MOST else ""
        text = "; ".join(map(str, problems[:MOST]))
        raise DocumentError(f"{len(problems)} problem(s): {text}{more}", where=path)
    return descriptor


def read_descriptor(path: Path) -> tuple[Descriptor | None, list[Problem]]:
    """A descriptor, or None and everything that is wrong with it.

    Raises
    ------
    StorageError
        when the file cannot be read.
    """
    data, lines, problems = _load(path)
    if problems:
        return None, problems
    if not isinstance(data, dict):
        return None, [Problem(path.name, "", "a mapping of keys to values", _found(data), 1)]
    tag = data.get("schema")
    if tag != Descriptor.SCHEMA:
        # Alone: a newer descriptor is called newer instead of being blamed for its unknown keys.
        return None, [Problem(path.name, "schema", Descriptor.SCHEMA, _found(tag), lines.get(("schema",), 1))]
    try:
        return Descriptor.model_validate(data), []
    except ValidationError as error:
        return None, sorted((_problem(path.name, lines, one) for one in error.errors()), key=lambda p: p.line or 0)


class _Plain(yaml.SafeLoader):
    """Values only. A day stays text: 2024-02-30 would be an error without a line."""

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "an alias", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


def _load(path: Path) -> tuple[Any, dict[Place, int], list[Problem]]:
    """The values of a YAML file, the line of every key and item, and what stands twice or cannot be read."""
    data = read_bytes(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return None, {}, [Problem(path.name, "", f"at most {MAX_BYTES} bytes", "more")]
    lines: dict[Place, int] = {}
    try:
        loader = _Plain(data)
        try:
            node = loader.get_single_node()
            twice = []
            for place, line in _places(node):
                if place in lines:
                    twice.append(Problem(path.name, ".".join(map(str, place)), "every key once", "it again", line))
                lines[place] = line
            return loader.construct_document(node) if node is not None and not twice else None, lines, twice
        finally:
            loader.dispose()
    # The library lets through what int, float and datetime raise for values that only look like numbers or dates.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        expected = "plain YAML: text, numbers, lists and mappings; no tags, no aliases"
        return (
            None,
            lines,
            [Problem(path.name, "", expected, "something else", None if mark is None else mark.line + 1)],
        )


def _places(node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
    """Every key and item with its line, from 1."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*place, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            yield below, key.start_mark.line + 1
            yield from _places(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _places(value, (*place, number))


def _problem(file: str, lines: dict[Place, int], error: Any) -> Problem:
    place: Place = tuple(error["loc"])
    if place[-1:] == ("[key]",):  # how pydantic points at a key of a mapping instead of at its value
        place = place[:-1]
    if error["type"] == "missing":
        expected, found = "this key", "nothing"
    elif error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(place[-1]), _KEYS, 1)
        expected, found = "a key of the schema" + (f", perhaps {close[0]}" if close else ""), _found(str(place[-1]))
    elif error["type"] == "string_pattern_mismatch":
        expected, found = f"text that fits {error['ctx']['pattern']}", _found(error["input"])
    else:
        expected, found = _EXPECTED.get(error["type"]) or _expected(str(error["msg"])), _found(error["input"])
    known = next((lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in lines), 1)
    return Problem(file, ".".join(map(str, place)), expected, found, known)


def _expected(message: str) -> str:
    """What pydantic, or one of our own checks, says that a value should be."""
    for start in ("Value error, ", "Input should be ", "should be ", "should have "):
        message = message.removeprefix(start)
    return message


_EXPECTED = {
    "string_type": "text (numbers, yes and no in quotes)",
    "string_too_short": "text",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping of keys to values"),
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
"""Kind of pydantic's complaint → what was expected, where its own words are no help to who writes YAML."""


def _found(value: Any) -> str:
    """A value in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return f"a mapping of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) > 10**18:
        return "a huge number"
    if isinstance(value, int | float | datetime.date):
        return str(value)
    return repr(value)[:60] if isinstance(value, str) else f"a {type(value).__name__}"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key that a document of this model, or a part of it, may have."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        parts = [field.annotation]
        while parts:
            part = parts.pop()
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _keys(part)
            parts.extend(get_args(part))


_KEYS = sorted(set(_keys(Descriptor)))
