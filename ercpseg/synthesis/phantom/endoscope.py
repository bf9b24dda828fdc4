"""Optical depth and truth mask of the endoscope: rigid end, bending section of rings, shaft with its bundles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ercpseg.synthesis.curves import Array, Map, chord, resample, tube_map
from ercpseg.synthesis.phantom.courses import REFERENCE_SIZE
from ercpseg.synthesis.phantom.devices import Layer, empty, pixels
from ercpseg.synthesis.phantom.scene import Moment

BENDING_PX, RIGID_PX = (150.0, 58.0)
"""Where, from the tip in reference px, the bending section and the rigid end begin (a TJF's: about 45 and 15 mm)."""


def endoscope(now: Moment, size: int) -> Layer:
    """The scope as a layer of a picture; a looped scope is two courses whose depths add where they cross."""
    layer = empty(size)
    rng = np.random.Generator(np.random.PCG64(now.patient.texture_seed))
    texture = _Texture.sample(rng)
    radius = now.patient.scope_radius_px
    for piece, points in enumerate(now.scope):
        scale = size / REFERENCE_SIZE
        tube = tube_map(resample(pixels(points, size), 4 * scale), 1.12 * radius * scale, (size, size))
        if tube is None:
            continue
        # The second piece of a looped scope is shaft only: its arc length begins beyond the bending section.
        along = tube.along / np.float32(scale) + np.float32(0 if piece == 0 else 400)
        across = tube.across / np.float32(scale)
        outline = _outline(along, radius)
        inside = tube.near & (np.abs(across) < outline) & (along > 0)
        depth = np.where(inside, texture.depth(along, across / outline, radius), 0)
        layer.depth[tube.window] += depth.astype(np.float32)
        layer.mask[tube.window] |= inside
    return layer


def _outline(along: Map, radius: float) -> Map:
    """Radius (h, w) in reference px along the scope: a rounded, slightly wider rigid end; scalloped bending section."""
    widest = np.where(along < RIGID_PX, 1.04 * radius, radius)
    bending = (along >= RIGID_PX) & (along < BENDING_PX)
    widest = np.where(bending, radius * (1 + 0.03 * np.sign(np.sin(along * (2 * np.pi / 14)))), widest)
    corner = 1 - 0.4 * np.clip(1 - along / 12, 0, 1) ** 2
    return np.asarray(widest * corner, np.float32)


@dataclass(frozen=True)
class _Texture:
    """How a scope looks inside. Depths are dimensionless, lengths in reference px; all chosen by eye."""

    opacity: float
    channels: tuple[tuple[float, float], ...]
    winding_px: float
    ring_px: float
    twist_px: float
    segment_px: float
    spots: Array

    @classmethod
    def sample(cls, rng: np.random.Generator) -> _Texture:
        places = (rng.uniform(-0.5, -0.2), rng.uniform(0.05, 0.25), rng.uniform(0.45, 0.65))
        return cls(
            opacity=rng.uniform(1.5, 2.3),
            channels=tuple((p, rng.uniform(0.06, 0.13)) for p in places),
            winding_px=rng.uniform(6.5, 9.5),
            ring_px=rng.uniform(3.5, 5),
            twist_px=rng.uniform(20, 60),
            segment_px=rng.uniform(12, 17),
            # In the rigid end: openings (bright) and metal parts (dark) at (across, along), amounts as a fraction.
            spots=np.stack([rng.uniform(-0.7, 0.7, 5), rng.uniform(6, 52, 5), rng.uniform(-0.45, 0.25, 5)], axis=1),
        )

    def depth(self, along: Map, across: Map, radius: float) -> Map:
        """Optical depth (h, w) at ``along`` reference px from the tip and ``across`` as a fraction of the radius."""
        filling = chord(across, 1.0) / 2
        shell = chord(across, 1.0) / 2 - chord(across, 0.82) / 2
        body = self.opacity * (0.75 * filling + 0.9 * shell)
        wave = 2 * np.pi * along
        beads = 0.5 + 0.5 * np.cos(wave / self.winding_px + 2.5 * across)
        rings = 0.06 * np.cos(wave / self.ring_px)
        gaps = np.zeros_like(along)
        for place, width in self.channels:
            line = np.exp(-(((across - place) / width) ** 2))
            # Which of the bundles shows best changes along the scope, as it twists.
            gaps += line * (0.25 + 0.75 * beads) * (0.6 + 0.4 * np.cos(along / self.twist_px + 9 * place))
        shaft = body * (1 + rings - 0.55 * np.minimum(gaps, 1))
        # The bending section is a chain of rings with less metal between them, pivots dark at alternating sides.
        chain = 0.5 + 0.5 * np.tanh(2.5 * np.cos(wave / self.segment_px + 0.6 * np.sin(3 * across)))
        pivots = np.exp(-(((np.abs(across) - 0.8) / 0.2) ** 2)) * (0.5 + 0.5 * np.cos(wave / (2 * self.segment_px)))
        bending = body * (0.62 + 0.3 * chain + 0.35 * pivots - 0.45 * np.minimum(gaps, 1))
        rigid = self.opacity * (0.35 + 1.15 * filling**0.5)
        near_tip = along < RIGID_PX
        for place, deep, amount in self.spots:
            spot = ((across[near_tip] - place) / 0.22) ** 2 + ((along[near_tip] - deep) / 5) ** 2
            rigid[near_tip] *= 1 + amount * np.exp(-spot)
        blend = np.clip((along - (BENDING_PX - 5)) / 10, 0, 1)
        result = np.where(along < RIGID_PX, rigid, bending * (1 - blend) + shaft * blend)
        return np.asarray(np.maximum(result, 0.25), np.float32)
