"""The duodenoscope: where it runs, and what the beam crosses in it.

Lengths are in mm from the tip outwards. What is inside is the business of ``texture``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map, blended, course, direction
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.raster import near
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.texture import Texture

STEP_MM = 1.0
REACH_MM = 190.0
"""A course ends this far from the axis, outside of every field."""
_LENGTH_MM = 420.0


@dataclass(frozen=True)
class Scope:
    """A duodenoscope. ``limbs`` are courses (n, 2) in mm of the patient, the first from the tip outwards.

    ``offsets_mm`` is the arc length at which each limb begins. ``exit_mm`` (y, x) is where devices leave, and
    ``exit_deg`` their heading there. ``seed`` draws the texture.
    """

    limbs: tuple[Array, ...]
    offsets_mm: tuple[float, ...]
    shaft_mm: float
    tip_mm: float
    rigid_mm: float
    bending_mm: float
    ring_mm: float
    steel_mm: float
    channel: float
    elevator: bool
    forked: bool
    exit_mm: Array
    exit_deg: float
    side: int
    z_mm: float
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain) -> Self:
        """Draw an endoscope and its course."""
        spec = domain.scope
        shaft = draw(rng, spec.shaft_mm)
        tip = shaft * draw(rng, spec.tip_ratio)
        rigid, bending = draw(rng, spec.rigid_mm), draw(rng, spec.bending_mm)
        if happens(rng, spec.oblique):
            shown = rng.uniform(0.5, 0.85)
            rigid, bending = shown * rigid, np.sqrt(shown) * bending
        ring, steel, channel = draw(rng, spec.ring_mm), draw(rng, spec.steel_mm), draw(rng, spec.channel)
        kind = "looped" if happens(rng, spec.looped) else "straight" if happens(rng, spec.straight) else "hooked"
        limbs, offsets, back = _course(rng, kind, rigid, bending)
        side_deg = back + 90  # right of a tip that points down: the side that faces the papilla
        exit_mm = limbs[0][round(rng.uniform(5, 9) / STEP_MM)] + 0.46 * tip * direction(side_deg)
        return cls(
            limbs, offsets, shaft, tip, rigid, bending, ring, steel, channel,
            elevator=happens(rng, spec.elevator), forked=happens(rng, spec.forked),
            exit_mm=np.asarray(exit_mm), exit_deg=side_deg + rng.uniform(-45, 0), side=1,
            z_mm=rng.uniform(-25, 25), seed=int(rng.integers(2**31)),
        )  # fmt: skip


def _course(
    rng: np.random.Generator, kind: str, rigid_mm: float, bending_mm: float
) -> tuple[tuple[Array, ...], tuple[float, ...], float]:
    """Limbs, the arc length where each begins, and the heading from the tip back along the rigid end."""
    at = np.arange(0, _LENGTH_MM, STEP_MM)
    up = rng.uniform(14, 50)
    back = up - rng.triangular(35, 70, 122)
    begin, sharp = 0.8 * rigid_mm, bending_mm * rng.triangular(0.35, 0.8, 1.1)
    high = up - rng.triangular(-14, 14, 48)
    if kind == "straight":
        back = up - rng.uniform(5, 35)
    if kind == "looped":
        headings = blended(at, [begin, begin + sharp], [back, rng.uniform(-95, -70)])
    else:
        knots = [begin, begin + sharp, begin + sharp + rng.uniform(50, 90), begin + sharp + rng.uniform(110, 160)]
        headings = blended(at, knots, [back, up, up + rng.uniform(-4, 4), high])
    headings += rng.uniform(0.5, 4) * np.sin(at / rng.uniform(18, 40) + rng.uniform(0, 6))
    points = course((0, 0), headings, STEP_MM)
    middle = points[round((begin + sharp / 2) / STEP_MM)]
    points += np.array([rng.normal(36, 9), rng.normal(-33, 12)]) - middle
    points[:, 1] += max(0.0, -60 - float(points[:, 1].min())) if kind != "looped" else 0.0
    # Tips of real frames end within the lower half, 100 mm below the axis at most.
    points += np.minimum(0, [rng.uniform(80, 104) - points[0, 0], 45 - points[0, 1]])
    limbs, offsets = [_seen(points)], [0.0]
    if kind == "looped":
        reach, sweep = rng.uniform(95, 130), rng.uniform(35, 60)
        arm = blended(at, [reach, reach + sweep], [rng.uniform(82, 95), rng.uniform(-15, 15)])
        limbs.append(_seen(course((rng.uniform(-8, 22), -150), arm, STEP_MM)))
        offsets.append(200.0)
    return tuple(limbs), tuple(offsets), float(back)


def _seen(points: Array) -> Array:
    """The course up to where it has gone too far outside (it may begin outside)."""
    out = (np.abs(points) > REACH_MM).any(axis=1)
    gone = np.flatnonzero(out)
    return points[: max(int(gone[0]) + 1, 2)] if len(gone) else points


def draw_scope(canvas: Canvas, scope: Scope) -> Mask:
    """Draw the endoscope and give its mask (y, x)."""
    mask = np.zeros(canvas.view.shape, np.bool_)
    texture = Texture.sample(np.random.Generator(np.random.PCG64(scope.seed)), scope)
    scale = canvas.view.scale(scope.z_mm)
    for points, offset in zip(scope.limbs, scope.offsets_mm, strict=True):
        placed = canvas.view.pixels(points, scope.z_mm)
        seen = near(placed, 0.62 * scope.tip_mm * scale, canvas.view.shape)
        along = seen.along / np.float32(scale) + np.float32(offset)
        across = seen.across / np.float32(scale) * np.float32(-1 if canvas.view.mirrored else 1)
        radius = _outline(scope, texture, along, across)
        inside = (np.abs(across) < radius) & (along > texture.end(across / radius))
        canvas.steel.reshape(-1)[seen.flat[inside]] += texture.steel(along[inside], (across / radius)[inside])
        knob = _knob(scope, along, across) & ~inside if offset == 0 else np.zeros_like(inside)
        canvas.steel.reshape(-1)[seen.flat[knob]] += np.float32(0.8 * scope.steel_mm)
        mask.reshape(-1)[seen.flat[inside | knob]] = True
    return mask


def _outline(scope: Scope, texture: Texture, along: Map, across: Map) -> Map:
    """Radius (m,) in mm: a wider, uneven rigid end, scalloped rings, a smooth shaft."""
    shaft, tip = scope.shaft_mm / 2, scope.tip_mm / 2
    slope = np.clip((scope.rigid_mm - along) / np.float32(texture.slope_mm), 0, 1)
    parts = np.clip(along / np.float32(scope.rigid_mm) * len(texture.bumps), 0, len(texture.bumps) - 1)
    uneven = texture.bumps[parts.astype(np.intp), (across > 0).astype(np.intp)]
    radius = (shaft + (tip - shaft) * slope) * np.where(along < scope.rigid_mm, uneven, 1)
    rings = (along > scope.rigid_mm) & (along < scope.rigid_mm + scope.bending_mm)
    phase = 2 * np.pi * along / scope.ring_mm + np.where(across > 0, texture.slip, 0)
    radius = np.where(rings, shaft * (1 + 0.035 * np.sign(np.sin(phase))), radius)
    return np.asarray(radius, np.float32)


def _knob(scope: Scope, along: Map, across: Map) -> Mask:
    """The elevator, which stands out beside the distal end."""
    if not scope.elevator:
        return np.zeros(along.shape, np.bool_)
    reach = 0.5 * scope.tip_mm + 0.5
    return np.asarray(np.hypot(along - 0.32 * scope.rigid_mm, across - scope.side * reach) < 1.35, np.bool_)
