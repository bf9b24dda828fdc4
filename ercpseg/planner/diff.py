"""Two plans side by side: decisions that differ, with the reasons of both, and the inputs that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ercpseg.documents.plan import Decision, Plan


@dataclass(frozen=True)
class Changed:
    """A decision that one plan takes differently, or does not take at all (None)."""

    key: str
    a: Decision | None
    b: Decision | None


@dataclass(frozen=True)
class ChangedInput:
    """An input that the plans have different values for; None where one of them has none."""

    name: str
    a: Any
    b: Any
    read_by: tuple[str, ...]
    """Keys of the decisions that read it."""


@dataclass(frozen=True)
class PlanDiff:
    """What is different in ``b``; everything is empty for equal plans."""

    head: dict[str, tuple[str, str]]
    """``dataset``, ``recipe``, ``fingerprint_sha256`` or ``frames_sha256`` → its two values, where they differ."""
    decisions: tuple[Changed, ...]
    inputs: tuple[ChangedInput, ...]
    warnings: tuple[tuple[str, ...], tuple[str, ...]]
    """Warnings of ``a`` only, and of ``b`` only."""

    @property
    def same(self) -> bool:
        """Whether both plans decide everything alike, whatever they were made from."""
        return not self.decisions


def diff_plans(a: Plan, b: Plan) -> PlanDiff:
    """Compare two plans, in the order of the rule table.

    A decision differs when its value does. An input is told by the name that the rule gave it, with dots into nested ones
    (``stone.p``); it may have changed without any decision following it.
    """
    first, second = ({d.key: d for d in plan.decisions} for plan in (a, b))
    keys = list(dict.fromkeys((*first, *second)))
    values = {key: tuple(None if d is None else d.value for d in (first.get(key), second.get(key))) for key in keys}
    one_sided = first.keys() ^ second.keys()
    changed = [key for key in keys if key in one_sided or not same(*values[key])]
    fields = ("dataset", "recipe", "fingerprint_sha256", "frames_sha256")
    pairs = {name: (str(getattr(a, name)), str(getattr(b, name))) for name in fields}
    return PlanDiff(
        head={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
        decisions=tuple(Changed(key, first.get(key), second.get(key)) for key in changed),
        inputs=_inputs(first, second),
        warnings=(
            tuple(w for w in a.warnings if w not in b.warnings),
            tuple(w for w in b.warnings if w not in a.warnings),
        ),
    )


def diff_json(diff: PlanDiff) -> dict[str, Any]:
    """What ``plans diff --format json`` prints."""

    def side(decision: Decision | None) -> dict[str, Any] | None:
        return None if decision is None else decision.model_dump(mode="json", include=_SHOWN)

    return {
        "schema": "ercpseg.plan-diff/1",
        "same": diff.same,
        "head": {name: {"a": a, "b": b} for name, (a, b) in diff.head.items()},
        "decisions": [{"key": c.key, "a": side(c.a), "b": side(c.b)} for c in diff.decisions],
        "inputs": [{"name": i.name, "a": i.a, "b": i.b, "read_by": list(i.read_by)} for i in diff.inputs],
        "warnings": {"a_only": list(diff.warnings[0]), "b_only": list(diff.warnings[1])},
    }


_SHOWN = {"value", "rule", "by", "because", "source"}


def same(a: Any, b: Any) -> bool:
    """Equal plain values of one kind: a list is never a number, and yes is not 1.

    >>> same([1, 2.0], [1, 2]), same(True, 1), same({"x": 1}, {"x": 1.0})
    (True, False, True)
    """
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def _inputs(first: Mapping[str, Decision], second: Mapping[str, Decision]) -> tuple[ChangedInput, ...]:
    """Inputs of decisions that both plans take; the same change read by several decisions is told once."""
    found: dict[tuple[str, str, str], tuple[Any, Any, list[str]]] = {}
    for key in first:
        if key not in second:
            continue
        old, new = dict(_flat("", first[key].inputs)), dict(_flat("", second[key].inputs))
        for name in dict.fromkeys((*old, *new)):
            a, b = old.get(name), new.get(name)
            if not same(a, b):
                found.setdefault((name, repr(a), repr(b)), (a, b, []))[2].append(key)
    return tuple(ChangedInput(name, a, b, tuple(keys)) for (name, _, _), (a, b, keys) in found.items())


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(name, value)]
    return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}" if name else str(key), inner)]
