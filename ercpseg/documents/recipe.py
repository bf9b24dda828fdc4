"""Recipes: YAML written by people; names and numbers only, never code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ercpseg.documents.base import Document, Part, Plain
from ercpseg.errors import DocumentError

VARIANT_NAME = r"^[a-z0-9][a-z0-9.-]{0,39}$"


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a recipe with others on top: a value for a whole decision replaces what stands below for its entries.

    >>> merged({"loss.focal_alpha.stone": 3.0, "network.name": "light"}, {"loss.focal_alpha": 1.0})
    {'network.name': 'light', 'loss.focal_alpha': 1.0}
    """
    return {key: value for key, value in base.items() if key.rsplit(".", 1)[0] not in over} | dict(over)


class Claim(Part):
    """A figure that the cited work prints, to be compared with ours."""

    dataset: str
    metric: str
    value: str
    where: str | None = Field(None, description="table, figure or section that prints it; null: not said")
    variant: str | None = Field(None, description="the variant that it belongs to; null: the recipe as it is")


class Recipe(Document):
    """What to pin and what to leave to the rules.

    ``set`` maps a decision's name (``section.key`` of the plan, for example ``network.name``) to a literal, or to
    ``auto``. What is not named is ``auto``. A value for a decision that has one per structure may be given once for all.

    ``variants`` are the recipe with other values, for the rows of a published table: ``fra-net:ghm-c`` is the recipe
    ``fra-net`` with the values of its variant ``ghm-c``. A variant has no variants.
    """

    SCHEMA: ClassVar[str] = "ercpseg.recipe/1"

    name: str
    title: str
    extends: str | None = None
    cites: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    set: dict[str, Plain] = Field(default_factory=dict)
    variants: dict[Annotated[str, Field(pattern=VARIANT_NAME)], dict[str, Plain]] = Field(
        default_factory=dict, description="name → what it sets otherwise, as `set`; addressed as `recipe:name`"
    )
    deviations: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def variant(self, name: str) -> Recipe:
        """The recipe with the values, the claims and the name of one of its variants.

        Raises
        ------
        DocumentError
            when there is none of this name.
        """
        if name not in self.variants:
            expected = ", ".join(self.variants) or "no variant: it has none"
            raise DocumentError(f"recipe {self.name} has no variant {name[:64]!r}", expected=expected)
        own = self.variants[name]
        claims = tuple(c.model_copy(update={"variant": None}) for c in self.claims if c.variant == name)
        return self.model_copy(
            update={
                "name": f"{self.name}:{name}",
                "title": f"{self.title}: {name}",
                "set": merged(self.set, own),
                "claims": claims,
                "variants": {},
            }
        )

    @property
    def pins(self) -> dict[str, Any]:
        """The literals, without ``auto``."""
        return {key: value for key, value in self.set.items() if value != "auto"}
