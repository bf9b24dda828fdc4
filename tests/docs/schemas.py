"""The page of the documents: every field with its type and meaning, from the pydantic models."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

import ercpseg.documents
from ercpseg.documents.base import Document, Part
from ercpseg.documents.plan import PlanValues
from ercpseg.errors import REFUSALS
from ercpseg.planner.rules import RULES
from tests.docs.markdown import anchor, prose, table
from tests.docs.words import FILES, WORDS

PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "any"}
_RULE = re.compile(r"\s*\(R\d+\)$")
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
SECTIONS: dict[Any, str] = {info.annotation: name for name, info in PlanValues.model_fields.items()}
"""Model of a section of the plan → its name."""


def schemas_markdown() -> str:
    """The page: for every document its file, its fields, and the parts that they consist of."""
    lines = ["# Documents", ""]
    lines += [
        "What travels between the stages, as JSON (recipes: YAML). The key `schema` says kind and version; unknown keys,",
        "NaN and infinity are refused. Suffixes tell units: `_px`, `_mm`, `_frac` (share of 1), `_hz`, `_s`. Sizes are (y, x).",
        "Structures are keys in lower case, for example `guidewire`.",
        "",
    ]
    models = documents()
    rows = [(f"[`{m.SCHEMA}`](#{anchor(_heading(m))})", FILES[m.SCHEMA], _first_sentence(m)) for m in models]
    lines += [*table(("schema", "file", "what it is"), rows), ""]
    for part in dict.fromkeys(part for model in models for part in (model, *parts(model))):  # a shared part stands once
        lines += _section(part)
    lines += ["## Refusal codes", "", "Why a file or a frame was not used: `code` in `frames.csv`.", ""]
    lines += [*table(("code", "meaning, and what to do"), [(f"`{c}`", text) for c, text in REFUSALS.items()]), ""]
    return "\n".join(lines)


def documents() -> list[type[Document]]:
    """Every kind of document, by schema."""
    for module in pkgutil.iter_modules(ercpseg.documents.__path__):
        importlib.import_module(f"{ercpseg.documents.__name__}.{module.name}")
    found = [d for d in Document.__subclasses__() if d.__module__.startswith(f"{ercpseg.documents.__name__}.")]
    return sorted(found, key=lambda document: document.SCHEMA)


def parts(document: type[Document]) -> list[type[Part]]:
    """The parts of a document in reading order, then the rest of its module if it is the only document there."""
    found = list(_reachable(document))
    inside = [m for m in vars(inspect.getmodule(document)).values() if _is_part(m)]
    inside = [m for m in inside if m.__module__ in (document.__module__, f"{document.__module__}_values")]
    if sum(issubclass(m, Document) for m in inside) == 1:
        below = {m for part in inside for m in _reachable(part)}
        found += [m for top in inside if top not in below for m in (top, *_reachable(top))]
    return [m for m in dict.fromkeys(found) if m is not document]


def description(info: FieldInfo) -> str:
    """What a field says of itself, without its rule, which has a column."""
    return _RULE.sub("", info.description or "")


def meaning(model: type[Part], name: str, info: FieldInfo) -> str:
    """What a field means: its own description, else the word that every document uses in this sense."""
    if description(info):
        return description(info)
    if name == "schema_":
        return f"always `{getattr(model, 'SCHEMA', '')}`"
    return WORDS.get(f"{model.__name__}.{name}") or WORDS.get(name, "")


def _reachable(model: type[Part]) -> Iterator[type[Part]]:
    for info in model.model_fields.values():
        for part in _parts_in(info.annotation):
            yield part
            yield from _reachable(part)


def _parts_in(annotation: Any) -> Iterator[type[Part]]:
    if _is_part(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_in(argument)


def _is_part(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Part) and value not in (Part, Document)


def _section(model: type[Part]) -> Iterator[str]:
    yield from (f"{'##' if issubclass(model, Document) else '###'} {_heading(model)}", "")
    for paragraph in (inspect.getdoc(model) or "").split("\n\n"):
        yield from (prose(paragraph), "")
    section = SECTIONS.get(model)
    rows = []
    for name, info in model.model_fields.items():
        key = f"{section}.{name}" if section else info.alias or name
        cells = [f"`{key}`", _type(info), _default(info), meaning(model, name, info)]
        rows.append([*cells, _rule(key)] if section else cells)
    headings = ["field", "type", "default", "meaning", *(["rule"] if section else [])]
    yield from (*table(headings, rows), "")


def _heading(model: type[Part]) -> str:
    return f"{model.__name__}: `{model.SCHEMA}`" if issubclass(model, Document) else model.__name__


def _first_sentence(model: type[Part]) -> str:
    return (inspect.getdoc(model) or "").partition("\n")[0]


def _rule(key: str) -> str:
    text = next(rule.text for rule in RULES if key in rule.keys)
    return f"[{text.number}](rules.md#{anchor(f'{text.number}: {text.subject}')})"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None:
        return "null"
    return "empty" if value in ((), {}, []) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(info: FieldInfo) -> str:
    bounds = [f"{BOUNDS[b]} {getattr(m, b)}" for m in info.metadata for b in BOUNDS if hasattr(m, b)]
    return ", ".join([type_text(info.annotation), *bounds])


def type_text(annotation: Any) -> str:
    """A type for people who read JSON.

    >>> type_text(tuple[int, int]), type_text(dict[str, float | None])
    ('[whole number, whole number]', 'map of text to (number or null)')
    >>> type_text(tuple[int, ...]), type_text(dict[str, tuple[float | None, ...]])
    ('list of whole numbers', 'map of text to list of (number or null)')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(argument) for argument in arguments)
    if origin is dict:
        return f"map of {_inner(arguments[0])} to {_inner(arguments[1])}"
    if origin is tuple and arguments[1:] == (...,):
        return f"list of {_inner(arguments[0])}{'s' if arguments[0] in (int, float) else ''}"
    if origin is tuple:
        return f"[{', '.join(type_text(argument) for argument in arguments)}]"
    return f"[{annotation.__name__}](#{anchor(_heading(annotation))})" if _is_part(annotation) else PLAIN[annotation]


def _inner(annotation: Any) -> str:
    text = type_text(annotation)
    return f"({text})" if get_origin(annotation) in (Union, types.UnionType, Literal) else text
