"""What a recipe can be refused for before there is a dataset: types, ranges, networks, losses and steps by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ercpseg.documents.plan import LossTerm, PostprocessStep
from ercpseg.errors import DocumentError
from ercpseg.losses.options import check_term
from ercpseg.networks.options import check_network, spec
from ercpseg.planner.frequencies import TERM_KEYS, without_auto
from ercpseg.planner.pins import base_key, check_value
from ercpseg.postprocess.apply import check_steps
from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet

AUTO = "auto"


def check_recipe(pins: Mapping[str, Any], *, where: object) -> None:
    """Check the pins of a recipe. Names of structures, and what depends on them, are checked when a dataset is planned.

    Raises
    ------
    DocumentError
        with ``where``, the key and the choices.
    """
    structures = tuple(pins.get("heads.structures", DEFAULT_STRUCTURES))
    for key, value in pins.items():
        base = base_key(key)
        if base.startswith("heads.") or value == AUTO:
            continue
        if key != base:
            check_value(base, {key[len(base) + 1 :]: value}, structures, by_user=False, where=where)
        elif not isinstance(value, dict):
            check_value(key, value, structures, by_user=False, where=where)
    try:
        _check_network(pins)
        heads = tuple(StructureSet.ordered(structures).heads())
        for key in TERM_KEYS:
            for term in without_auto(pins.get(key) or ()):
                check_term(LossTerm.model_validate(term), heads, key=key)
        check_steps({name: _steps(value) for name, value in _entries(pins, "postprocess.steps").items()})
    except DocumentError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise DocumentError(error.what, where=place, expected=error.expected, todo=error.todo) from error


def _check_network(pins: Mapping[str, Any]) -> None:
    name = pins.get("network.name")
    if name is None:
        return
    features = pins.get("network.features", spec(name).features)
    levels, frames = pins.get("network.deep_supervision", 0), pins.get("input.frames", 1)
    check_network(name, features, levels, _entries(pins, "network.options"), frames)


def _entries(pins: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is pinned of a decision that has entries, as a whole or one by one."""
    whole = pins.get(key)
    found = dict(whole) if isinstance(whole, Mapping) else {"all": whole} if isinstance(whole, list | tuple) else {}
    return found | {pin[len(key) + 1 :]: value for pin, value in pins.items() if pin.startswith(f"{key}.")}


def _steps(value: Any) -> tuple[PostprocessStep, ...]:
    return tuple(PostprocessStep.model_validate(step) for step in value)
