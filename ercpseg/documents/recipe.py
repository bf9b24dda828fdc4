"""Recipes: YAML written by people; names and numbers only, never code."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ercpseg.documents.base import Document, Part, Plain


class Claim(Part):
    """A figure that the cited work prints, to be compared with ours."""

    dataset: str
    metric: str
    value: str


class Recipe(Document):
    """What to pin and what to leave to the rules.

    ``set`` maps a decision's name (``section.key`` of the plan, for example ``network.name``) to a literal, or to
    ``auto``. What is not named is ``auto``.
    """

    SCHEMA: ClassVar[str] = "ercpseg.recipe/1"

    name: str
    title: str
    extends: str | None = None
    cites: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    set: dict[str, Plain] = Field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def pins(self) -> dict[str, Any]:
        """The literals, without ``auto``."""
        return {key: value for key, value in self.set.items() if value != "auto"}
