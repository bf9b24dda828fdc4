"""What checks for contradictions look at, and what they say; see :mod:`ercpseg.planner.contradictions`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan_values import PlanValues, PostprocessStep
from ercpseg.planner.budget import Budget
from ercpseg.planner.families import Traits, traits_of

Found = Iterator[tuple[tuple[str, ...], str]]
"""The keys that a check looked at, and what speaks against them in one sentence."""


@dataclass(frozen=True)
class Case:
    """What a check looks at: the decisions, the data, the budget."""

    values: PlanValues
    fingerprint: Fingerprint
    budget: Budget

    @property
    def scale(self) -> float:
        """Working / native length."""
        return self.values.preparation.working_long_side_px / self.fingerprint.reference_long_side_px

    @property
    def traits(self) -> dict[str, Traits]:
        """Of the structures at working size."""
        return traits_of(self.fingerprint, self.scale)

    def thin(self) -> dict[str, Traits]:
        """The thin ones that are shown."""
        return {n: t for n, t in self.traits.items() if t.shown and t.is_("thin")}

    def steps(self, name: str) -> tuple[PostprocessStep, ...]:
        """Post-processing of a structure."""
        return self.values.postprocess.steps.get(name, ())
