"""A domain: the distributions that frames of one kind of room are drawn from, as YAML with defaults written here.

Every number has its unit in its name and a source in its description. "Chosen by eye" means beside the 60 round-field
frames of MIQR-CC (one per patient) until the statistics of ``tests/benchmarks/realism.py`` lay within the real spread.
Lengths are true ones in mm; what lies above or below the isocentre is magnified by its own factor.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ercpseg.documents.base import Document
from ercpseg.synthesis.patients import (
    AnatomySettings,
    DeviceSettings,
    DuctSettings,
    ScopeSettings,
    SeriesSettings,
    StoneSettings,
    ViewSettings,
    WireSettings,
)
from ercpseg.synthesis.rooms import AnnotatorSettings, BeamSettings, FieldSettings, FrameSettings, GreySettings


class Domain(Document):
    """Everything that frames are drawn from; ``kind: phantom`` is the frozen simple generator and takes no sections."""

    SCHEMA: ClassVar[str] = "ercpseg.domain/1"
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    title: str
    kind: Literal["scene", "phantom"] = "scene"
    frame: FrameSettings = FrameSettings()
    view: ViewSettings = ViewSettings()
    anatomy: AnatomySettings = AnatomySettings()
    scope: ScopeSettings = ScopeSettings()
    duct: DuctSettings = DuctSettings()
    stone: StoneSettings = StoneSettings()
    wire: WireSettings = WireSettings()
    device: DeviceSettings = DeviceSettings()
    beam: BeamSettings = BeamSettings()
    grey: GreySettings = GreySettings()
    field: FieldSettings = FieldSettings()
    series: SeriesSettings = SeriesSettings()
    annotator: AnnotatorSettings = AnnotatorSettings()

    @model_validator(mode="after")
    def _things_fit(self) -> Self:
        seen_mm = min(self.view.height_mm) * min(1.0, self.frame.aspect)
        longer_mm = min(self.view.height_mm) * max(1.0, self.frame.aspect)
        within = f"in a field of {seen_mm:g} mm"
        for what, value, most, where in (
            ("duct.cbd_mm", max(self.duct.cbd_mm), seen_mm / 4, within),
            ("duct.length_mm", max(self.duct.length_mm), longer_mm, within),
            ("duct.gap_mm", max(self.duct.gap_mm), min(self.duct.length_mm), "the shortest duct"),
            ("scope.shaft_mm", max(self.scope.shaft_mm), seen_mm / 4, within),
            ("stone.diameter_mm", max(self.stone.diameter_mm), 2 * max(self.duct.cbd_mm), "twice the widest duct"),
        ):
            if value > most:
                raise ValueError(f"{what} reaches {value:g} mm; expected at most {most:g} mm, {where}")
        if not self.wire.diameters_mm or not all(0.2 <= d <= 2 for d in self.wire.diameters_mm):
            raise ValueError("wire.diameters_mm holds none or an impossible one; expected 0.2 to 2")
        return self
