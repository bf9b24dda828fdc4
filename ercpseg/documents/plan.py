"""The plan: every value decided, each with its rule, inputs and source.

A plan is an ordered list of decisions. The same values are read by the program through typed sections
(:attr:`Plan.values`), which are built from the decisions, so that what is explained is what is used.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from ercpseg.documents.base import Document, Part, Plain
from ercpseg.documents.plan_input import InputValues, PatchValues, PreparationValues, Size
from ercpseg.documents.plan_values import (
    AugmentationValues,
    FoldValues,
    HeadValues,
    InferenceValues,
    LossTerm,
    LossValues,
    NetworkValues,
    OptimiserValues,
    PlanValues,
    PostprocessStep,
    PostprocessValues,
    SamplingValues,
    ScheduleValues,
    TransferValues,
)
from ercpseg.errors import DocumentError
from ercpseg.structures import StructureSet

__all__ = [
    "Alternative",
    "AugmentationValues",
    "Decision",
    "FoldValues",
    "HeadValues",
    "InferenceValues",
    "InputValues",
    "LossTerm",
    "LossValues",
    "NetworkValues",
    "OptimiserValues",
    "PatchValues",
    "Plan",
    "PlanValues",
    "PostprocessStep",
    "PostprocessValues",
    "PreparationValues",
    "SamplingValues",
    "ScheduleValues",
    "Size",
    "TransferValues",
]
_EVIDENCE = re.compile(r"\[((?:E[123]|J)(?:/(?:E[123]|J))*)\]\.?$")


class Alternative(Part):
    """A value that a decision did not take."""

    value: Plain
    why: str = Field(description="why it was not taken, in one sentence")


class Decision(Part):
    """One value with its reason."""

    key: str = Field(description="section.field of the plan")
    value: Plain
    rule: str = Field(description="for example R6; 'pin' when a person decided")
    by: Literal["rule", "recipe", "user", "tuning"]
    because: str = Field(description="the reason in one sentence with the numbers that decided")
    inputs: dict[str, Plain] = Field(
        default_factory=dict, description="fingerprint quantities and earlier decisions read"
    )
    source: str = Field(description="paper, code fact or judgement behind the rule, then its evidence in brackets")
    alternatives: tuple[Alternative, ...] = Field(default=(), description="what was not taken, and why")

    @property
    def evidence(self) -> str:
        """The grades in the source's brackets, for example ``E2/J``; empty where a person decided."""
        found = _EVIDENCE.search(self.source)
        return found[1] if found else ""

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave empty alternatives out, so that plans of before there were any keep their hash."""
        data: dict[str, Any] = write(self)
        if not self.alternatives:
            data.pop("alternatives", None)
        return data


class Plan(Document):
    """A complete plan for one dataset."""

    SCHEMA: ClassVar[str] = "ercpseg.plan/1"

    dataset: str
    recipe: str
    fingerprint_sha256: str
    frames_sha256: str
    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def values(self) -> PlanValues:
        """The decisions as typed sections.

        Raises
        ------
        DocumentError
            when a decision is missing, unknown, made twice or out of range.
        """
        nested: dict[str, dict[str, Any]] = {}
        for decision in self.decisions:
            section, _, field = decision.key.partition(".")
            if field in nested.get(section, {}):
                raise DocumentError("the plan decides twice", where=decision.key)
            nested.setdefault(section, {})[field] = decision.value
        try:
            return PlanValues.model_validate(nested)
        except ValidationError as error:
            problems = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
            raise DocumentError("the plan's decisions do not fit together: " + "; ".join(problems)) from error

    @property
    def structure_set(self) -> StructureSet:
        """The structures with their bits."""
        return StructureSet(self.values.heads.structures, self.values.heads.of)

    @property
    def heads(self) -> dict[str, int]:
        """Output channels in order, each with the bits whose union it is."""
        values = self.values.heads
        all_heads = self.structure_set.heads()
        return {name: all_heads[name] for name in (*values.structures, *values.parents)}

    def decision(self, key: str) -> Decision:
        """The decision with this key.

        Raises
        ------
        KeyError
            when there is none.
        """
        for decision in self.decisions:
            if decision.key == key:
                return decision
        raise KeyError(key)
