"""The metric that decides for a structure (science reference §4)."""

from __future__ import annotations

from ercpseg.documents.tuning import Metric
from ercpseg.planner.families import Traits

PRIMARY: dict[str, Metric] = {"endoscope": "dice", "cbd": "dice", "guidewire": "cldice", "stone": "object_f1"}
"""Primary metrics of the default structures (science reference §4); others go by their family."""


def primary_metric(name: str, traits: Traits) -> Metric:
    """The metric that decides for a structure: clDice for thin ones, F1 of objects for stones and other small ones of
    which there are several, Dice for the rest.
    """  # one sentence
    if name in PRIMARY:
        return PRIMARY[name]
    if traits.is_("thin"):
        return "cldice"
    return "object_f1" if "stone" in name or (traits.is_("multi") and traits.is_("tiny")) else "dice"
