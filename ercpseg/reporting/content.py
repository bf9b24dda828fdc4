"""What a report says, apart from how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.documents.scores import Scores

Pairs = tuple[tuple[str, str], ...]
"""Label and text, in the order of display."""


@dataclass(frozen=True)
class Illustration:
    """A PNG picture with its caption."""

    caption: str
    png: bytes

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"the picture {self.caption!r} is no PNG")


@dataclass(frozen=True)
class Timing:
    """How long one stage took."""

    stage: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class ReportContent:
    """Everything on the page. A part that is None or empty is left out, with its heading.

    ``structures`` gives the order and the colours. ``overlays`` holds, per structure, the best, median and worst frame.
    ``generated`` tells versions, machine and times; ``provenance`` tells hashes and seeds. ``synthetic`` marks numbers
    that were measured on synthesised frames, so that nobody takes them for clinical ones. ``open_plan`` unfolds every
    section of the plan.
    """

    title: str
    structures: tuple[str, ...]
    generated: Pairs = ()
    dataset: Pairs = ()
    fingerprint: Fingerprint | None = None
    fingerprint_figures: tuple[Illustration, ...] = ()
    plan: Plan | None = None
    scores: Scores | None = None
    curves: tuple[Illustration, ...] = ()
    score_figures: tuple[Illustration, ...] = ()
    overlays: Mapping[str, tuple[Illustration, ...]] = field(default_factory=dict)
    timings: tuple[Timing, ...] = ()
    provenance: Pairs = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    open_plan: bool = False
