"""What patients and devices of a domain are drawn from; ``domain`` says how to read it.

Lengths are true ones in mm; what lies above or below the isocentre is magnified by its own factor.
"""

from __future__ import annotations

from pydantic import Field

from ercpseg.synthesis.parameters import BY_EYE, Section, Spread, chance, spread


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
    intrahepatic: float = chance(0.82, "branches filled, given a filled duct")
    branch_levels: Spread = spread(2, 6, 6.99, low=0, high=7, source="generations that a tree has; " + BY_EYE)
    branch_iodine: Spread = spread(
        1.0, 2.2, low=0.1, high=5, source="in branches over the common duct: less bile dilutes it"
    )
    gallbladder: float = chance(0.24)
    cystic_duct: float = chance(0.15)
    pancreatic_duct: float = chance(0.08)
    duodenum: float = chance(0.22, "contrast spilt into the duodenum")
    gap: float = chance(0.08, "share of filled ducts whose column is parted by thinner contrast; " + BY_EYE)
    gap_mm: Spread = spread(3, 6, 14, low=1, high=60, source="its length at half of what is missing; " + BY_EYE)


class StoneSettings(Section):
    """Stones in the bile duct, and bubbles, which look alike and are not labelled."""

    present: float = chance(0.42, "given a filled duct; stones are the commonest indication")
    count: Spread = spread(1, 1.4, 6.99, low=1, high=20)
    diameter_mm: Spread = spread(3, 6, 16, low=1, high=40, source="large from 15 mm (ESGE 2019)")
    impacted: float = chance(0.15)
    packed: float = chance(
        0.15, "stones that fill the lumen lie one against another; one of two real frames with stones"
    )
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
        0.08, 0.25, 0.6, low=0.02, high=3, source="steel equal to the nitinol core's middle; " + BY_EYE
    )
    tip_steel_mm: Spread = spread(
        0.3, 0.6, 1.3, low=0.02, high=5, source="the same of the tungsten-loaded tip; " + BY_EYE
    )
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
    catheter_steel_mm: Spread = spread(0.08, 0.2, 0.6, low=0, high=2)
    catheter_wall: Spread = spread(
        0.18, 0.5, low=0.02, high=0.5, source="wall over diameter; 0.5 is solid, as several lumens look; " + BY_EYE
    )
    catheter_lumen: Spread = spread(
        0.0,
        0.26,
        low=0,
        high=0.4,
        source="wire off its axis, over diameter, as far as it fits; at a border on real frames",
    )
    sphincterotome: float = chance(0.35, "given a catheter")
    catheter_alone: float = chance(0.55, "given no wire")
    balloon: float = chance(0.06)
    basket: float = chance(0.03)
    plastic_stent: float = chance(0.04)
    metal_stent: float = chance(0.03)
    drain: float = chance(0.05)
    clips: float = chance(0.16)
    leads: float = chance(0.2, "ECG leads and external lines")
    foreign_wire: float = chance(0.07, "a thin line outside of the body across the field")
    tablets: float = chance(0.05, "round dense things outside of the duct, such as contrast in diverticula")


class SeriesSettings(Section):
    """How things move. Independent frames are moments of the same motion, many seconds apart."""

    breathing_mm: Spread = spread(2, 14, low=0, high=40, source="liver under sedation")
    breathing_s: Spread = spread(3, 6, low=1, high=20)
    frame_time_ms: Spread = spread(133.3, low=10, high=2000, source="7.5 pulses per second")
    table_mm_per_s: Spread = spread(0, 2, low=0, high=50)
    scope_mm: Spread = spread(0.5, 4, low=0, high=20)
    wire_mm_per_s: Spread = spread(1, 12, low=0, high=80)
    gap_s: Spread = spread(8, 40, low=0.1, high=600, source="between independent frames of a patient")
