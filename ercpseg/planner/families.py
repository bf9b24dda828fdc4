"""Label families: what kind of thing a structure is, by its measures (science reference §6).

*large* p ≥ 2 % and w₅₀ > 12 px · *tubular* L/w ≥ 5 · *thin* L/w ≥ 10 and w₅₀ ≤ 12 px at working size · *tiny* √a₅₀ ≤ 0.05 of
the shorter side or p < 0.5 % · *multi* at least 1.3 components per frame. A structure may belong to several; rules say
which they ask first. Judgement here: one component must be at least twice as long as wide for *tubular* and *thin*,
or five round stones would pass for a wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from ercpseg.documents.fingerprint import Fingerprint, StructureFingerprint

LARGE_FRAC, LARGE_WIDTH_PX = 0.02, 12.0
TUBULAR_RATIO, THIN_RATIO, COMPONENT_RATIO = 5.0, 10.0, 2.0
THIN_WIDTH_PX = 12.0
TINY_SIDE_FRAC, TINY_FRAC = 0.05, 0.005
MULTI_COMPONENTS = 1.3


@dataclass(frozen=True)
class Traits:
    """One structure at working size; lengths in working pixels. All 0 and without family when it is never shown."""

    families: tuple[str, ...]
    foreground_frac: float
    presence_frac: float
    width10_px: float
    width50_px: float
    length05_px: float
    area05_px: float
    components: float

    @property
    def shown(self) -> bool:
        """Whether any frame shows it."""
        return self.presence_frac > 0

    def is_(self, family: str) -> bool:
        """Whether it belongs to ``family``."""
        return family in self.families


def traits_of(fingerprint: Fingerprint, scale: float) -> dict[str, Traits]:
    """Traits of every structure when the reference long side is multiplied by ``scale``."""
    aspect = fingerprint.aspect.p50
    short_side_px = fingerprint.reference_long_side_px * min(aspect, 1 / aspect) * scale
    return {name: _traits(s, scale, short_side_px) for name, s in fingerprint.structures.items()}


def _traits(s: StructureFingerprint, scale: float, short_side_px: float) -> Traits:
    p, w, length, area = s.foreground_frac, s.width_px, s.length_px, s.component_area_px
    if p is None or w is None or length is None or area is None or s.frames == 0:
        return Traits((), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ratio = length.p50 / w.p50 if w.p50 > 0 else 0.0
    elongated = ratio / max(1.0, s.components) >= COMPONENT_RATIO
    tests = {
        "large": p.p50 >= LARGE_FRAC and w.p50 * scale > LARGE_WIDTH_PX,
        "tubular": ratio >= TUBULAR_RATIO and elongated,
        "thin": ratio >= THIN_RATIO and elongated and w.p50 * scale <= THIN_WIDTH_PX,
        "tiny": area.p50**0.5 * scale <= TINY_SIDE_FRAC * short_side_px or p.p50 < TINY_FRAC,
        "multi": s.components >= MULTI_COMPONENTS,
    }
    return Traits(
        families=tuple(family for family, belongs in tests.items() if belongs),
        foreground_frac=p.p50,
        presence_frac=s.presence_frac,
        width10_px=w.p10 * scale,
        width50_px=w.p50 * scale,
        length05_px=length.p05 * scale,
        area05_px=area.p05 * scale**2,
        components=s.components,
    )
