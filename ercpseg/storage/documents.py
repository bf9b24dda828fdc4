"""Documents to and from JSON and YAML files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ercpseg.documents.base import Document
from ercpseg.errors import DocumentError
from ercpseg.storage.atomic import read_bytes, write_text

D = TypeVar("D", bound=Document)
MAX_BYTES = 256 * 1024 * 1024


def save(path: Path, document: Document) -> None:
    """Write a document as canonical JSON."""
    write_text(path, document.to_json())


def load(path: Path, kind: type[D]) -> D:
    """Read a document of ``kind`` from JSON or YAML, by the file's suffix.

    Raises
    ------
    StorageError
        when the file cannot be read.
    DocumentError
        when it does not parse or does not follow the schema.
    """
    data = load_yaml(path) if path.suffix in {".yaml", ".yml"} else load_json(path)
    return kind.parse(data, where=path)


def load_json(path: Path) -> Any:
    """Parse a JSON file; duplicate keys, NaN and oversized files are refused."""
    return parse_json(read_bytes(path), where=path)


def parse_json(data: bytes, *, where: object) -> Any:
    """Parse JSON bytes; see :func:`load_json`."""
    if len(data) > MAX_BYTES:
        raise DocumentError(f"{len(data)} bytes", where=where, expected=f"at most {MAX_BYTES}")
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        position = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DocumentError(f"this is no valid JSON{position}", where=where) from error


def load_yaml(path: Path) -> Any:
    """Parse a YAML file of plain values; duplicate keys are refused."""
    data = read_bytes(path)
    try:
        return yaml.load(data, _UniqueKeys)  # noqa: S506  # a SafeLoader
    # The library lets through what int, float and datetime raise for values that only look like numbers or dates.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        position = f", line {mark.line + 1}" if mark else ""
        raise DocumentError(f"this is no valid YAML{position}", where=path) from error


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(None, None, "a key occurs twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
