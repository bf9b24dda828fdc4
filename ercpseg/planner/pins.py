"""Pins: what a recipe or a user decides instead of a rule. Checked by name before any rule runs."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, cast, get_origin

from ercpseg.documents.base import Part
from ercpseg.documents.plan import PlanValues
from ercpseg.errors import DocumentError, UsageError
from ercpseg.networks import NETWORKS
from ercpseg.networks.options import check_network, spec
from ercpseg.planner.booleans import misplaced_boolean
from ercpseg.planner.frequencies import TERM_KEYS, without_auto
from ercpseg.planner.rules import KEYS
from ercpseg.structures import StructureSet


def check_pins(pins: Mapping[str, Any], *, where: object = None) -> None:
    """Refuse unknown keys, and text or a boolean where a number belongs.

    A key is ``section.key``, or ``section.key.entry`` for one entry of a decision that has one value per structure.

    Raises
    ------
    UsageError
        with the names that come closest.
    """
    for key, value in pins.items():
        if base_key(key) not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=3, cutoff=0.5)
            raise UsageError(
                f"no decision is called {key[:80]!r}", where=where, expected=" or ".join(near) or "a key of plan.md"
            )
        _check_text(key, value, where)
        found = misplaced_boolean(key, value)
        if found is not None:
            at, expected = found
            place = f"{where}: {at}" if where else at
            raise UsageError("true and false are no numbers", where=place, expected=expected)


def base_key(key: str) -> str:
    """``section.key`` of ``section.key`` or ``section.key.entry``.

    >>> base_key("loss.focal_alpha.guidewire")
    'loss.focal_alpha'
    """
    return ".".join(key.split(".")[:2])


def apply_pins(key: str, value: Any, pins: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The value of decision ``key`` under ``pins``, and the pins that took part.

    Where the decision has one value per structure, a pin that is no mapping counts for all of them.

    Raises
    ------
    UsageError
        when an entry is set that the decision does not have.
    """
    used = [pin for pin in pins if base_key(pin) == key]
    if key in used:
        same_for_all = isinstance(value, Mapping) and not isinstance(pins[key], Mapping)
        value = {entry: copy.deepcopy(pins[key]) for entry in value} if same_for_all else pins[key]
    for pin in used:
        entry = pin[len(key) + 1 :]
        if not entry:
            continue
        if not isinstance(value, Mapping) or (entry not in value and key not in SPARSE):
            names = ", ".join(value) if isinstance(value, Mapping) else f"{key} as a whole"
            raise UsageError(f"{key} has no entry {entry[:64]!r}", where=pin, expected=names)
        value = {**copy.deepcopy(dict(value)), entry: pins[pin]}
    return value, used


def check_value(key: str, value: Any, structures: tuple[str, ...], *, by_user: bool, where: object = None) -> None:
    """Check a pinned value of ``section.key`` against its type, range and the names there are, before a rule reads it.

    Raises
    ------
    UsageError
        when the user set it.
    DocumentError
        when a recipe did.
    """
    from pydantic import TypeAdapter, ValidationError

    section, _, name = key.partition(".")
    model = PlanValues.model_fields[section].annotation
    info = cast("type[Part]", model).model_fields[name]
    kind = UsageError if by_user else DocumentError
    if get_origin(info.annotation) is dict and not isinstance(value, Mapping):
        value = {"all": value}
    if key in TERM_KEYS:
        value = without_auto(value)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, Annotated[info.annotation, "pin", *info.metadata]))
        adapter.validate_python(value)
    except ValidationError as error:
        raise kind(f"{str(value)[:64]!r} cannot be {key}", where=where, expected=error.errors()[0]["msg"]) from error
    unknown = set(named_in(key, value)) - allowed_in(key, structures) if by_user else set()
    if unknown:
        expected = (
            ", ".join(StructureSet.ordered(structures).heads()) if key.startswith("loss.") else ", ".join(structures)
        )
        raise kind(f"{key} names {', '.join(sorted(unknown))[:64]}", where=where, expected=f"some of {expected}")
    if key == "network.name" and value not in NETWORKS:
        raise kind(f"no network is called {str(value)[:64]!r}", where=where, expected=" or ".join(NETWORKS))
    if key in ("patch.size_px", "patch.tile_px") and min(value) < 1:
        raise kind(f"{list(value)} cannot be {key}", where=where, expected="sides of at least 1 px")
    ordered = StructureSet.ordered(structures).names
    if key == "heads.structures" and (not value or tuple(value) != tuple(n for n in ordered if n in value)):
        expected = f"some of {', '.join(ordered)}, each once and in this order"
        raise kind(f"{str(list(value))[:100]} are no structures of this dataset", where=where, expected=expected)
    if key == "heads.of" and tuple(value) != ordered:
        raise kind("the dataset's structures stand for bits", where=where, expected=", ".join(ordered))
    if key == "heads.parents" and not set(value) <= set(StructureSet(structures).parents):
        parents = ", ".join(StructureSet(structures).parents) or "none"
        raise kind(f"{str(value)[:64]} are no parents of this dataset", where=where, expected=parents)


SPARSE = frozenset({"preparation.dilate_px", "tuning.kernels_px", "tuning.longest_gap_px", "tuning.nested_px"})
"""Decisions that hold an entry only for the structures they concern; others may be added."""
NAMING = ("preparation.thin", "preparation.dilate_px", "loss.", "sampling.structure_share", "postprocess.", "tuning.")


def named_in(key: str, value: Any) -> list[str]:
    """Structures and heads that a value names."""
    if not key.startswith(NAMING) or key in ("loss.terms", "loss.level_weights"):
        return []
    if isinstance(value, Mapping):
        return [str(name) for name in value if name != "all"]
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def allowed_in(key: str, structures: tuple[str, ...]) -> set[str]:
    """Names that :func:`named_in` may give: heads in the loss, structures elsewhere."""
    return set(StructureSet.ordered(structures).heads()) if key.startswith("loss.") else set(structures)


def check_options(name: str, options: Mapping[str, Any], *, by_user: bool, where: object = None) -> None:
    """Check what was pinned of ``network.options`` against the network, before it is built and measured.

    Raises
    ------
    UsageError
        when the user set it.
    DocumentError
        when a recipe did.
    """
    entry = spec(name)
    try:
        check_network(name, entry.features, 0, options)
    except DocumentError as error:
        kind = UsageError if by_user else DocumentError
        raise kind(error.what, where=f"{where}: {error.where}", expected=error.expected) from error


def _check_text(key: str, value: Any, where: object) -> None:
    if isinstance(value, Mapping):
        for entry, inner in value.items():
            _check_text(f"{key}.{entry}", inner, where)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_text(key, inner, where)
    elif isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return
        if not math.isfinite(number):
            raise UsageError(
                f"{value[:32]!r} is no number to plan with",
                where=f"{where}: {key}" if where else key,
                expected="a finite number",
            )
        raise UsageError(
            f"{value[:32]!r} is text, not a number",
            where=f"{where}: {key}" if where else key,
            expected=f"{_with_point(number)}",
            todo="YAML takes 1e-3 for text; write 1.0e-3",
        )


def _with_point(number: float) -> str:
    """A number as YAML understands it.

    >>> _with_point(0.00001)
    '1.0e-05'
    """
    text = repr(number)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text
