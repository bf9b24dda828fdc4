"""The duodenoscope: where it runs, and what the beam crosses in it.

Lengths are in mm from the tip outwards. What is inside is chosen by eye beside magnified frames: a nearly black rigid
end, a bending section of rings with rows of bright gaps, a shaft with bright channels and a dotted wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map, chord, course, direction
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.raster import near
from ercpseg.synthesis.scene.canvas import Canvas

STEP_MM = 1.0
REACH_MM = 190.0
"""A course ends this far from the axis, outside of every field."""
_LENGTH_MM = 420.0
_BLEND_MM = 3.0
"""Over which the bending section passes into the shaft."""


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


def _blend(at: Array, knots: list[float], values: list[float]) -> Array:
    """Headings at arc lengths, smoothly (cosine) between knots."""
    result = np.full(at.shape, float(values[0]))
    for a, b, change in zip(knots[:-1], knots[1:], np.diff(values), strict=True):
        result += change * (1 - np.cos(np.pi * np.clip((at - a) / (b - a), 0, 1))) / 2
    return result


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
        headings = _blend(at, [begin, begin + sharp], [back, rng.uniform(-95, -70)])
    else:
        knots = [begin, begin + sharp, begin + sharp + rng.uniform(50, 90), begin + sharp + rng.uniform(110, 160)]
        headings = _blend(at, knots, [back, up, up + rng.uniform(-4, 4), high])
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
        arm = _blend(at, [reach, reach + sweep], [rng.uniform(82, 95), rng.uniform(-15, 15)])
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
    texture = _Texture.sample(np.random.Generator(np.random.PCG64(scope.seed)), scope)
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


def _outline(scope: Scope, texture: _Texture, along: Map, across: Map) -> Map:
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


@dataclass(frozen=True)
class _Texture:
    """How an endoscope looks inside."""

    scope: Scope
    rows: tuple[tuple[float, float, float, float], ...]
    """Rows of bright gaps of the bending section: place, half width, strength, phase."""
    channels: tuple[tuple[float, float, float, float], ...]
    """Bright lines of the shaft: place, half width, strength, phase of their twist."""
    bead_mm: float
    windows: tuple[tuple[float, float, float, float], ...]
    """Rows of bright windows inside either wall of the shaft: place, half width, strength, phase."""
    window_mm: float
    bumps: Map
    """Outline of the rigid end (parts, sides) as shares of its radius."""
    slope_mm: float
    slip: float
    twist_mm: float
    patches: Map
    mottle: Map
    corners: tuple[float, float]
    spots: Array

    @classmethod
    def sample(cls, rng: np.random.Generator, scope: Scope) -> Self:
        places = [rng.uniform(-0.85, -0.62), rng.uniform(-0.3, 0.25), rng.uniform(0.55, 0.85)]
        rows = tuple((p, rng.uniform(0.12, 0.27), rng.uniform(0.5, 1.0), rng.uniform(0, 1)) for p in places)
        lines = tuple(
            (rng.uniform(-0.5, 0.5), rng.uniform(0.06, 0.16), rng.uniform(0.4, 1.0), rng.uniform(0, 6))
            for _ in range(int(rng.integers(2, 5)))
        )
        windows = tuple(
            (side * rng.uniform(0.56, 0.72), rng.uniform(0.16, 0.28), rng.uniform(0.35, 1.0), rng.uniform(0, 6))
            for side in (-1, 1)
        )
        spots = np.stack(
            [rng.uniform(-0.75, 0.75, 5), rng.uniform(1, scope.rigid_mm, 5), rng.uniform(-0.55, 0.2, 5)], axis=1
        )
        return cls(
            scope, rows, lines,
            bead_mm=rng.uniform(1.7, 2.3), windows=windows, window_mm=rng.uniform(2.2, 3.3),
            bumps=rng.uniform(0.93, 1.03, (7, 2)).astype(np.float32), slope_mm=rng.uniform(2, 9),
            slip=rng.uniform(-1.5, 1.5),
            twist_mm=rng.uniform(25, 70),
            patches=rng.uniform(0.1, 1.2, (3, 40)).astype(np.float32),
            mottle=rng.standard_normal((320, 16), np.float32),
            corners=(rng.uniform(0.5, 4.5), rng.uniform(0.5, 4.5)), spots=spots,
        )  # fmt: skip

    def end(self, across: Map) -> Map:
        """Where the distal end begins (m,), in mm along the axis: chamfered corners, or two prongs with a notch."""
        left, right = self.corners
        end = np.where(across < 0, left, right) * np.clip((np.abs(across) - 0.3) / 0.7, 0, 1) ** 2
        if self.scope.forked:
            notch = np.exp(-(((across - 0.1 * self.slip) / 0.17) ** 4))
            end = end + (0.16 * self.scope.rigid_mm) * notch
        return np.asarray(end, np.float32)

    def steel(self, along: Map, across: Map) -> Map:
        """Steel (m,) in mm at ``along`` mm from the tip and ``across`` as a share of the radius."""
        scope = self.scope
        round_ = np.asarray(chord(across, 1.0) / 2, np.float32)
        wall = np.asarray(round_ - chord(across, 0.8) / 2, np.float32)
        begin, end = scope.rigid_mm, scope.rigid_mm + scope.bending_mm
        body = np.asarray(1.9 + 0.9 * round_, np.float32)
        near_tip = np.flatnonzero(along < begin + 2)
        for place, deep, amount in self.spots:
            spot = ((across[near_tip] - place) / 0.16) ** 2 + ((along[near_tip] - deep) / 1.3) ** 2
            body[near_tip] *= 1 + np.float32(amount) * np.exp(-spot)
        shaft, bending = np.flatnonzero(along >= end), np.flatnonzero((along >= begin) & (along < end + _BLEND_MM))
        body[shaft] = self._shaft(along[shaft], across[shaft], round_[shaft], wall[shaft])
        rings = self._bending(along[bending], across[bending], round_[bending], wall[bending])
        blend = np.clip((along[bending] - end) / np.float32(_BLEND_MM), 0, 1)
        body[bending] = rings * (1 - blend) + body[bending] * blend
        grain = 1 + np.float32(0.13) * self._grain(along, across)
        return np.asarray(np.maximum(body * grain, 0.12) * np.float32(scope.steel_mm), np.float32)

    def _shaft(self, along: Map, across: Map, round_: Map, wall: Map) -> Map:
        beads = 0.5 + 0.5 * np.cos(2 * np.pi * along / self.bead_mm + 3 * across)
        body = 0.55 + 0.45 * round_ + 0.55 * wall
        gaps = np.zeros_like(along)
        for place, width, strength, phase in self.channels:
            here = place + 0.12 * np.sin(along / self.twist_mm + phase)
            shown = strength * (0.65 + 0.35 * np.cos(along / (0.8 * self.twist_mm) + 2 * phase))
            gaps += np.exp(-(((across - here) / width) ** 2)) * shown * (0.45 + 0.55 * beads)
        for place, width, strength, phase in self.windows:
            turns = along / self.window_mm + phase
            opened = np.clip(0.6 + 0.9 * np.cos(2 * np.pi * turns), 0, 1)
            each = self.patches[0 if place < 0 else 2, np.rint(turns).astype(np.intp) % self.patches.shape[1]]
            waxing = (0.55 + 0.35 * each) * (0.75 + 0.25 * np.cos(along / self.twist_mm + phase))
            gaps += strength * waxing * opened * np.exp(-(((across - place) / width) ** 4))
        return np.asarray(body * (1 - np.float32(self.scope.channel) * np.minimum(gaps, 1.15)), np.float32)

    def _bending(self, along: Map, across: Map, round_: Map, wall: Map) -> Map:
        scope = self.scope
        place = (along - scope.rigid_mm) / scope.ring_mm
        body = 0.62 + 0.35 * round_ + 0.5 * wall
        gaps = np.zeros_like(along)
        for row, (centre, width, strength, phase) in enumerate(self.rows):
            # Outer rows keep to the rings; the inner one is a part behind them and may lie anywhere.
            moved = place + (phase if row == 1 else 0.2 * (phase - 0.5))
            ring = np.clip(np.floor(moved).astype(np.intp), 0, self.patches.shape[1] - 1)
            long = np.exp(-(((moved - np.floor(moved) - 0.5) / (0.26 + 0.14 * phase)) ** 4))
            gaps += strength * self.patches[row, ring] * long * np.exp(-(((across - centre) / width) ** 2))
        centre, width, strength, phase = self.channels[0]
        gaps += 0.6 * strength * np.exp(-(((across - 0.7 * centre) / (1.3 * width)) ** 2))
        seams = 0.12 * (np.abs(place - np.floor(place) - 0.5) > 0.42)
        share = min(1.0, 0.45 + float(scope.channel))
        return np.asarray((body + seams) * (1 - np.float32(share) * np.minimum(gaps, 1)), np.float32)

    def _grain(self, along: Map, across: Map) -> Map:
        """Irregular inner parts, about 1.3 mm by a seventh of the width."""
        rows = np.clip(along / 1.3, 0, self.mottle.shape[0] - 2)
        columns = np.clip((across + 1) * 7 + 0.5, 0, self.mottle.shape[1] - 2)
        r, c = rows.astype(np.intp), columns.astype(np.intp)
        fr, fc = rows - r, columns - c
        m = self.mottle
        top = m[r, c] * (1 - fc) + m[r, c + 1] * fc
        return np.asarray(top * (1 - fr) + (m[r + 1, c] * (1 - fc) + m[r + 1, c + 1] * fc) * fr, np.float32)
