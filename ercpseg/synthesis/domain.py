"""A domain: the distributions that frames of one kind of room are drawn from, as YAML with defaults written here.

Every number has its unit in its name and a source in its description. "Chosen by eye" means beside the 60 round-field
frames of MIQR-CC (one per patient) until the statistics of ``tests/benchmarks/realism.py`` lay within the real spread.
Lengths are true ones in mm; what lies above or below the isocentre is magnified by its own factor.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ercpseg.documents.base import Document
from ercpseg.synthesis.parameters import BY_EYE, Section, Spread, chance, number, spread


class FrameSettings(Section):
    """How a frame is stored."""

    height_px: int = number(512, low=64, high=4096, source="MIQR-CC: 512; Martin 2022: 1024; Pishro 2026: 576")
    aspect: float = number(1.0, low=0.25, high=4, source="width / height")
    bits: int = number(8, low=8, high=12, source="MIQR-CC 8; DICOM RF objects commonly 10 or 12")
    inverted: float = chance(0.0, "share of patients whose devices are stored bright; 5 of 8 spot films of MIQR-CC")
    pixel_aspect: Spread = spread(1.0, low=0.5, high=2, source="pixel height / width; 1 unless a frame grabber")
    spacing_missing: float = chance(0.2, "share of patients without any spacing in the header; " + BY_EYE)


class ViewSettings(Section):
    """How the patient lies under the tube. Angles turn the whole patient clockwise in the picture."""

    height_mm: Spread = spread(
        194,
        217,
        low=60,
        high=450,
        source="frame height at the isocentre: a 11.3 mm shaft shows 25.6 px wide (measured)",
    )
    magnification: Spread = spread(1.3, 1.5, low=1.05, high=2.2, source="detector over isocentre; cholangiography 1.3")
    source_mm: Spread = spread(
        680, 780, low=400, high=1200, source="focus to isocentre; C-arms with SID 1000 to 1100 mm"
    )
    turn_deg: Spread = spread(-9, 9, low=-180, high=180)
    shift_mm: Spread = spread(-9, 9, low=-80, high=80)
    right_mm: Spread = spread(0.0, low=-80, high=80, source="shifts the patient to the right; narrow films are aimed")
    mirrored: float = chance(0.0)


class AnatomySettings(Section):
    """The patient without contrast. Thicknesses are along the beam."""

    soft_gradient_mm: Spread = spread(-5, 55, low=-200, high=200, source="more tissue at the spine's side; " + BY_EYE)
    texture_mm: Spread = spread(0.5, 1.3, low=0, high=5, source="factor on fat planes and organ texture; " + BY_EYE)
    lines_mm: Spread = spread(0.4, 1.0, 2.4, low=0, high=10, source="vessels, folds and thin fat planes; " + BY_EYE)
    flank: float = chance(0.6, "share of frames whose left border lies beside the body")
    dome: float = chance(0.4, "lung above the diaphragm in the upper left corner")
    stomach: float = chance(0.75, "lung or stomach gas at the upper right, where the endoscope enters")
    liver_mm: Spread = spread(4, 36, low=0, high=200)
    colon_mm: Spread = spread(10, 22, 50, low=0, high=120, source="gas along the beam; colon diameter 30 to 80 mm")
    bowel_bunches: Spread = spread(1, 5, low=0, high=12)
    duodenum_gas: float = chance(0.5)
    bone_mm: Spread = spread(1.5, 5, 13, low=0, high=40, source="cortical bone along the beam through a vertebra")
    spine: float = chance(0.85)
    ribs: float = chance(0.6)
    calcified_cartilage: float = chance(0.15)
    pelvis: float = chance(0.06, "the iliac crest shows at the bottom")


class ScopeSettings(Section):
    """The duodenoscope."""

    shaft_mm: Spread = spread(
        10.8, 11.5, low=5, high=16, source="insertion tube; 11.3 stated for TJF-Q180V, not verified"
    )
    tip_ratio: Spread = spread(
        1.08, 1.22, low=1, high=1.6, source="distal end over shaft; 13.7 / 11.3 stated, not verified"
    )
    rigid_mm: Spread = spread(16, 23, low=5, high=40, source="black distal end, measured on frames")
    bending_mm: Spread = spread(38, 56, low=10, high=90)
    ring_mm: Spread = spread(
        3.2, 4.8, low=1, high=10, source="pitch of the bending section's rings, measured on frames"
    )
    steel_mm: Spread = spread(0.75, 1.9, low=0.2, high=8, source="steel along the beam through the shaft; " + BY_EYE)
    channel: Spread = spread(0.6, 1.0, low=0, high=1, source="steel missing in the bright channels, as a share")
    absent: float = chance(0.01)
    looped: float = chance(0.05, "2 of 66 real frames show two limbs")
    straight: float = chance(0.12, "long position: hardly any bend")
    oblique: float = chance(0.16, "the distal part points towards or away from the tube and looks short")
    elevator: float = chance(0.7, "the elevator's knob shows beside the distal end")
    forked: float = chance(0.2, "the distal end shows two prongs")


class DuctSettings(Section):
    """Bile ducts, gallbladder, pancreatic duct, and the contrast in them."""

    present: float = chance(0.9, "share of frames with contrast in the bile duct")
    cbd_mm: Spread = spread(
        4.5, 8, 18, low=1, high=40, source="≤ 6 to 8 mm normal (ultrasound), ERC larger, stones more"
    )
    length_mm: Spread = spread(62, 95, low=25, high=160, source="papilla to confluence")
    taper: Spread = spread(0.3, 0.6, low=0.05, high=1, source="narrowest intramural part over the middle")
    tortuosity_deg: Spread = spread(0.5, 6, 18, low=0, high=60, source="swing of its heading; " + BY_EYE)
    angulation_deg: Spread = spread(
        8, 35, 68, low=0, high=90, source="180 − distal angle; difficult from 45 (Kim 2007)"
    )
    iodine_mg_per_ml: Spread = spread(18, 80, 210, low=5, high=400, source="contrast diluted in bile; undiluted 300")
    streaming: Spread = spread(0.05, 0.4, low=0, high=1, source="variation of the concentration along and across")
    partial: float = chance(0.28, "the column ends before the confluence or begins above the papilla")
    stricture: float = chance(0.22)
    intrahepatic: float = chance(0.72, "branches filled, given a filled duct")
    branch_levels: Spread = spread(2, 6, 6.99, low=0, high=7, source="generations that a tree has; " + BY_EYE)
    branch_iodine: Spread = spread(
        1.0, 2.2, low=0.1, high=5, source="in branches over the common duct: less bile dilutes it"
    )
    gallbladder: float = chance(0.24)
    cystic_duct: float = chance(0.15)
    pancreatic_duct: float = chance(0.08)
    duodenum: float = chance(0.22, "contrast spilt into the duodenum")


class StoneSettings(Section):
    """Stones in the bile duct, and bubbles, which look alike and are not labelled."""

    present: float = chance(0.42, "given a filled duct; stones are the commonest indication")
    count: Spread = spread(1, 1.4, 6.99, low=1, high=20)
    diameter_mm: Spread = spread(3, 6, 16, low=1, high=40, source="large from 15 mm (ESGE 2019)")
    impacted: float = chance(0.15)
    opacity: Spread = spread(0, 0.12, low=0, high=1, source="attenuation above bile, as a share of the contrast's")
    bubbles: float = chance(0.06)


class WireSettings(Section):
    """Guidewires and what they run in."""

    present: float = chance(0.74)
    diameters_mm: tuple[float, ...] = Field(
        (0.46, 0.64, 0.64, 0.89, 0.89), description="0.018, 0.025 and 0.035 in; Aziz 2022 for the latter two"
    )
    second: float = chance(0.06)
    core_steel_mm: Spread = spread(
        0.17, 0.6, low=0.02, high=3, source="steel equal to the nitinol core's middle; " + BY_EYE
    )
    tip_steel_mm: Spread = spread(0.5, 1.3, low=0.02, high=5, source="the same of the tungsten-loaded tip; " + BY_EYE)
    tip_mm: Spread = spread(
        25, 70, low=5, high=200, source="length of the radiopaque hydrophilic tip: 50 in data sheets"
    )
    loop: float = chance(0.3, "the tip ends in a loop or hairpin")
    kink: float = chance(0.08)
    outside: float = chance(0.12, "the wire runs beside the duct or beyond the filled part")
    in_catheter: float = chance(0.6, "a catheter or sphincterotome covers its lower part")


class DeviceSettings(Section):
    """Look-alikes. None of them is labelled."""

    catheter_mm: Spread = spread(1.5, 2.3, low=0.5, high=5, source="5 to 7 F")
    catheter_steel_mm: Spread = spread(0.06, 0.22, low=0, high=2)
    sphincterotome: float = chance(0.35, "given a catheter")
    catheter_alone: float = chance(0.14)
    balloon: float = chance(0.06)
    basket: float = chance(0.03)
    plastic_stent: float = chance(0.04)
    metal_stent: float = chance(0.03)
    drain: float = chance(0.05)
    clips: float = chance(0.16)
    leads: float = chance(0.14, "ECG leads and external lines")
    foreign_wire: float = chance(0.04, "a thin line outside of the body across the field")
    tablets: float = chance(0.05, "round dense things outside of the duct, such as contrast in diverticula")


class BeamSettings(Section):
    """From focus to detector."""

    scatter: Spread = spread(0.1, 0.24, low=0, high=0.9, source="scatter in the mean signal behind a grid; " + BY_EYE)
    scatter_mm: Spread = spread(18, 40, low=2, high=150, source="its spread; " + BY_EYE)
    focus_mm: Spread = spread(0.5, 1.0, low=0.1, high=3, source="nominal focal spots of C-arms")
    detector_blur_mm: Spread = spread(
        0.4, 0.56, low=0.02, high=2, source="standard deviation at the detector; edges 3 px"
    )
    heel: Spread = spread(0.05, 0.35, low=0, high=0.9, source="loss across the field, towards the lower right")
    vignetting: Spread = spread(0.05, 0.3, low=0, high=0.95, source="loss at the border of an image intensifier")
    quanta_per_mm2: Spread = spread(
        2600, 5000, 11000, low=50, high=5e6, source="detected at the isocentre plane; noise"
    )
    electronic: Spread = spread(2, 60, low=0, high=5000, source="electronic noise as quanta per px")
    noise_blur_px: Spread = spread(0.47, 0.58, low=0, high=3, source="neighbours correlate by 0.24 to 0.38 (measured)")
    noise_tail: Spread = spread(0.2, 0.6, low=0, high=5, source="share of the noise that is smeared 2.5 times as far")
    lag: Spread = spread(0.05, 0.3, low=0, high=0.95, source="share of the previous frame, series only")


class GreySettings(Section):
    """The vendor's processing: exposure control, curve and edges."""

    gamma: Spread = spread(
        0.35, 0.85, low=0.01, high=3, source="exponent of the curve on intensity; towards 0 a logarithm"
    )
    bright: Spread = spread(
        0.8, 0.96, low=0.2, high=1, source="grey that the window gives its bright end: p95 182 to 225"
    )
    bright_share: Spread = spread(
        0.02, 0.03, 0.14, low=0.001, high=0.4, source="share of the field above the bright end: skin and gas saturate"
    )
    automatic: float = number(
        0.9, low=0, high=1, source="how far the window follows the frame rather than gamma and floor"
    )
    middle: Spread = spread(
        0.3, 0.4, 0.56, low=0.05, high=0.95, source="grey of the metered middle; p50 77 to 141 of 255"
    )
    shoulder: Spread = spread(0.45, 0.75, low=0.1, high=1, source="grey above which the curve bends over")
    floor: Spread = spread(0.05, 0.3, low=0, high=0.8, source="what of the curve lies below black")
    dark: Spread = spread(0.04, 0.065, 0.11, low=0, high=0.5, source="grey of the darkest 1.5 %: p01 14 to 30 of 255")
    compression: Spread = spread(0.0, 0.45, low=0, high=0.95, source="share of the coarse contrast taken out")
    sharpen: Spread = spread(0.0, 0.3, low=0, high=5, source="amount of unsharp masking")
    sharpen_mm: Spread = spread(0.6, 1.6, low=0.05, high=20, source="its radius")


class FieldSettings(Section):
    """Where the picture is exposed."""

    shape: Literal["round", "rectangle", "full"] = "round"
    radius: Spread = spread(
        0.4955, 0.4985, low=0.2, high=0.75, source="of a round field, as a share of the frame's height"
    )
    width: Spread = spread(1.0, low=0.2, high=1, source="of a rectangle, as a share of the frame's width")
    height: Spread = spread(1.0, low=0.2, high=1, source="of a rectangle, as a share of the frame's height")
    cut: float = chance(0.45, "a straight cut at the lower left")
    cut_depth: Spread = spread(
        0.0, 0.035, low=0, high=0.5, source="how far the cut reaches in, as a share of the height"
    )
    flat_bottom: float = chance(0.35)
    iris: float = chance(0.6, "a round collimator off the centre: a half-moon of shadow")
    iris_mm: Spread = spread(5, 26, low=0.1, high=80, source="width of its penumbra at the isocentre")
    blades: float = chance(0.03, "a straight collimator blade inside the field, for each of five sides")
    blade_mm: Spread = spread(1, 9, low=0.1, high=40, source="width of its penumbra at the isocentre")
    soft_edge: float = chance(0.0, "the field's own border is soft")
    marker: float = chance(0.55, "a small oval is burned in at the lower left border")
    text: float = chance(0.0, "burned-in text")


class SeriesSettings(Section):
    """How things move. Independent frames are moments of the same motion, many seconds apart."""

    breathing_mm: Spread = spread(2, 14, low=0, high=40, source="liver under sedation")
    breathing_s: Spread = spread(3, 6, low=1, high=20)
    frame_time_ms: Spread = spread(133.3, low=10, high=2000, source="7.5 pulses per second")
    table_mm_per_s: Spread = spread(0, 2, low=0, high=50)
    scope_mm: Spread = spread(0.5, 4, low=0, high=20)
    wire_mm_per_s: Spread = spread(1, 12, low=0, high=80)
    gap_s: Spread = spread(8, 40, low=0.1, high=600, source="between independent frames of a patient")


class AnnotatorSettings(Section):
    """Errors of a human annotator, put on the masks and on nothing else. All zero: the truth itself."""

    jitter_px: Spread = spread(0.0, low=0, high=20, source="standard deviation of the outline, over some 20 px")
    dilate_px: Spread = spread(0.0, low=-10, high=10)
    missed: float = chance(0.0, "share of stones and wire pieces that are left out")


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
        for what, value, most in (
            ("duct.cbd_mm", max(self.duct.cbd_mm), seen_mm / 4),
            ("duct.length_mm", max(self.duct.length_mm), longer_mm),
            ("scope.shaft_mm", max(self.scope.shaft_mm), seen_mm / 4),
            ("stone.diameter_mm", max(self.stone.diameter_mm), 2 * max(self.duct.cbd_mm)),
        ):
            if value > most:
                raise ValueError(
                    f"{what} reaches {value:g} mm; expected at most {most:g} mm in a field of {seen_mm:g} mm"
                )
        if not self.wire.diameters_mm or not all(0.2 <= d <= 2 for d in self.wire.diameters_mm):
            raise ValueError("wire.diameters_mm holds none or an impossible one; expected 0.2 to 2")
        return self
