"""``true`` and ``false`` where a number belongs: Python would count them as 1 and 0, and a plan would hold another value."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel

from ercpseg.documents.base import Part
from ercpseg.documents.plan import PlanValues

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def misplaced_boolean(key: str, value: Any) -> tuple[str, str] | None:
    """Where in the pin ``key`` a boolean stands that its type has no room for, and what was expected there; None: nowhere.

    A pin that is no mapping counts for every entry of a decision that has one value per structure. What is wrong in
    other ways is not looked at.

    >>> misplaced_boolean("patch.batch_size", True)
    ('patch.batch_size', 'a whole number, at least 1')
    >>> misplaced_boolean("loss.focal_alpha", {"stone": False})
    ('loss.focal_alpha.stone', 'a number, at least 0, at most 1e+06')
    >>> misplaced_boolean("preparation.field_mask", True)
    """
    section, name, *entry = key.split(".", 2)
    model = cast("type[Part]", PlanValues.model_fields[section].annotation)
    info = model.model_fields[name]
    kind: Any = info.annotation
    bounds: Iterable[Any] = info.metadata
    if get_origin(kind) is dict and (entry or not isinstance(value, Mapping)):
        kind, bounds = get_args(kind)[1], ()
    return _misplaced(key, kind, bounds, value)


def _misplaced(where: str, kind: Any, bounds: Iterable[Any], value: Any) -> tuple[str, str] | None:
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        bounds = (*bounds, *more)
    if kind is Any:
        return None
    if get_origin(kind) in (Union, types.UnionType):
        arms = [_misplaced(where, one, bounds, value) for one in get_args(kind) if one is not types.NoneType]
        return None if None in arms else arms[0]
    if isinstance(value, bool):
        allowed = kind is bool or (get_origin(kind) is Literal and any(isinstance(one, bool) for one in get_args(kind)))
        return None if allowed else (where, _expected(kind, bounds))
    if isinstance(value, Mapping):
        inner = [(f"{where}.{name}", _type_in(kind, name), one) for name, one in value.items()]
    elif isinstance(value, list | tuple):
        inner = [(where, _type_at(kind, number), one) for number, one in enumerate(value)]
    else:
        return None
    return next((found for at, (one, limits), v in inner if (found := _misplaced(at, one, limits, v))), None)


def _type_in(kind: Any, name: str) -> tuple[Any, Iterable[Any]]:
    """Type and bounds of an entry of a mapping; anything where that is not known."""
    if get_origin(kind) is dict:
        return get_args(kind)[1], ()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and name in kind.model_fields:
        info = kind.model_fields[name]
        return info.annotation, info.metadata
    return Any, ()


def _type_at(kind: Any, number: int) -> tuple[Any, Iterable[Any]]:
    """Type and bounds of an item of a list; anything where that is not known."""
    items = get_args(kind) if get_origin(kind) is tuple else ()
    if len(items) == 2 and items[1] is Ellipsis:
        return items[0], ()
    return (items[number], ()) if number < len(items) else (Any, ())


def _expected(kind: Any, bounds: Iterable[Any]) -> str:
    """A type and its bounds in words."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    words = [{int: "a whole number", float: "a number", str: "a name"}.get(kind, "a list or a mapping")]
    for bound in bounds:
        for one in getattr(bound, "metadata", None) or (bound,):
            words += [f"{text} {getattr(one, name):g}" for name, text in BOUNDS.items() if hasattr(one, name)]
    return ", ".join(words)
