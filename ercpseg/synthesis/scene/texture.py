"""What the beam crosses inside of an endoscope: windows, channels, rings, and a rigid end that lets little through.

Chosen by eye beside magnified frames: a nearly black rigid end, a bending section of rings with rows of bright gaps, a
shaft with bright channels and a row of windows inside either wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from ercpseg.synthesis.curves import Array, Map, chord

BLEND_MM = 3.0
"""Over which the bending section passes into the shaft."""


class Parts(Protocol):
    """What a texture has to know of its endoscope; see :class:`~ercpseg.synthesis.scene.scope.Scope`."""

    @property
    def rigid_mm(self) -> float:
        """Length of the rigid end."""

    @property
    def bending_mm(self) -> float:
        """Length of the bending section."""

    @property
    def ring_mm(self) -> float:
        """Pitch of its rings."""

    @property
    def steel_mm(self) -> float:
        """Steel along the beam through the shaft."""

    @property
    def channel(self) -> float:
        """Share of it that is missing in bright places."""

    @property
    def forked(self) -> bool:
        """Whether the distal end shows two prongs."""


@dataclass(frozen=True)
class Texture:
    """How an endoscope looks inside; lengths in mm, places across as shares of the radius."""

    parts: Parts
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
    def sample(cls, rng: np.random.Generator, parts: Parts) -> Self:
        """Draw a texture."""
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
            [rng.uniform(-0.75, 0.75, 5), rng.uniform(1, parts.rigid_mm, 5), rng.uniform(-0.55, 0.2, 5)], axis=1
        )
        return cls(
            parts, rows, lines,
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
        if self.parts.forked:
            notch = np.exp(-(((across - 0.1 * self.slip) / 0.17) ** 4))
            end = end + (0.16 * self.parts.rigid_mm) * notch
        return np.asarray(end, np.float32)

    def steel(self, along: Map, across: Map) -> Map:
        """Steel (m,) in mm at ``along`` mm from the tip and ``across`` as a share of the radius."""
        scope = self.parts
        round_ = np.asarray(chord(across, 1.0) / 2, np.float32)
        wall = np.asarray(round_ - chord(across, 0.8) / 2, np.float32)
        begin, end = scope.rigid_mm, scope.rigid_mm + scope.bending_mm
        body = np.asarray(1.9 + 0.9 * round_, np.float32)
        near_tip = np.flatnonzero(along < begin + 2)
        for place, deep, amount in self.spots:
            spot = ((across[near_tip] - place) / 0.16) ** 2 + ((along[near_tip] - deep) / 1.3) ** 2
            body[near_tip] *= 1 + np.float32(amount) * np.exp(-spot)
        shaft, bending = np.flatnonzero(along >= end), np.flatnonzero((along >= begin) & (along < end + BLEND_MM))
        body[shaft] = self._shaft(along[shaft], across[shaft], round_[shaft], wall[shaft])
        rings = self._bending(along[bending], across[bending], round_[bending], wall[bending])
        blend = np.clip((along[bending] - end) / np.float32(BLEND_MM), 0, 1)
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
        return np.asarray(body * (1 - np.float32(self.parts.channel) * np.minimum(gaps, 1.15)), np.float32)

    def _bending(self, along: Map, across: Map, round_: Map, wall: Map) -> Map:
        scope = self.parts
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
