"""The exposed field: its digital border, the soft edges of collimator blades, and what is burned in beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.scene.view import View


@dataclass(frozen=True)
class Field:
    """Lengths are shares of the frame's height (``box`` of height and width), except ``blade_mm``.

    ``cuts`` are straight borders (heading in degrees, distance from the centre), beyond which nothing is shown;
    ``blades`` (heading, distance) throw a soft shadow of ``blade_mm`` instead.
    """

    shape: str
    centre: tuple[float, float]
    radius: float
    box: tuple[float, float]
    cuts: tuple[tuple[float, float], ...]
    blades: tuple[tuple[float, float], ...]
    blade_mm: float
    iris: tuple[float, float, float] | None
    iris_mm: float
    soft: float
    marker: bool
    text: bool
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain) -> Self:
        """Draw a field."""
        spec = domain.field
        cuts = []
        depth = draw(rng, spec.cut_depth)
        if happens(rng, spec.cut):
            cuts.append((rng.normal(218, 5), 0.5 - depth))
        if happens(rng, spec.flat_bottom):
            cuts.append((180.0, 0.5 - rng.uniform(0.0, 0.02)))
        reach = 0.5 * max(1.0, domain.frame.aspect)
        blades = []
        for heading in (0.0, 90.0, 180.0, 270.0, 135.0):
            if happens(rng, spec.blades):
                blades.append((heading + rng.normal(0, 4), reach - rng.uniform(-0.01, 0.09)))
        shape = str(spec.shape)
        if spec.other:
            others = [name for name in ("round", "rectangle", "full") if name != shape]
            shape = others[int(rng.integers(2))] if happens(rng, spec.other) else shape
        return cls(
            shape, (rng.uniform(-0.002, 0.002), rng.uniform(-0.002, 0.002)), draw(rng, spec.radius),
            (draw(rng, spec.height), draw(rng, spec.width)), tuple(cuts), tuple(blades), draw(rng, spec.blade_mm),
            iris=_iris(rng) if happens(rng, spec.iris) else None, iris_mm=draw(rng, spec.iris_mm),
            soft=rng.uniform(0.004, 0.02) if happens(rng, spec.soft_edge) else 0.0,
            marker=happens(rng, spec.marker), text=happens(rng, spec.text), seed=int(rng.integers(2**31)),
        )  # fmt: skip

    def depth(self, view: View) -> Map:
        """Distance (y, x) inside the digital border, as a share of the height; negative outside."""
        y, x = self._axes(view)
        if self.shape == "round":
            inside = np.float32(self.radius) - np.hypot(y, x)
        else:
            height, width = self.box if self.shape == "rectangle" else (1.1, 1.1)
            aspect = view.shape[1] / view.shape[0]
            inside = np.minimum(np.float32(height / 2) - np.abs(y), np.float32(width * aspect / 2) - np.abs(x))
        for heading, far in self.cuts:
            inside = np.minimum(inside, np.float32(far) - _towards(heading, y, x))
        return np.asarray(inside, np.float32)

    def _axes(self, view: View) -> tuple[Map, Map]:
        height, width = view.shape
        y = ((np.arange(height) - (height - 1) / 2) / height - self.centre[0]).astype(np.float32)
        ratio = view.mm_per_px[1] / view.mm_per_px[0]
        x = ((np.arange(width) - (width - 1) / 2) * ratio / height - self.centre[1]).astype(np.float32)
        return y[:, None], x[None, :]

    def hard(self, view: View) -> Mask:
        """The exposed pixels (y, x)."""
        return np.asarray(self.depth(view) > 0, np.bool_)

    def light(self, view: View) -> Map:
        """How much of the beam the blades let through (y, x), 0 to 1."""
        y, x = self._axes(view)
        height_mm = view.shape[0] * view.mm_per_px[0]
        passed = np.ones(view.shape, np.float32)
        for heading, far in self.blades:
            width = np.float32(max(self.blade_mm / height_mm, 1e-4))
            passed *= np.clip((np.float32(far) - _towards(heading, y, x)) / width + np.float32(0.5), 0.02, 1)
        if self.iris is not None:
            cy, cx, radius = self.iris
            away = np.float32(radius) - np.hypot(y - np.float32(cy), x - np.float32(cx))
            passed *= np.clip(away / np.float32(self.iris_mm / height_mm) + np.float32(0.5), 0.01, 1)
        if self.soft:
            passed *= np.clip(self.depth(view) / np.float32(self.soft), 0, 1)
        return passed


def _iris(rng: np.random.Generator) -> tuple[float, float, float]:
    """Centre and radius: somewhat larger than the field and mostly shifted to the upper left."""
    heading, off = np.deg2rad(rng.normal(300, 50)), rng.uniform(0, 0.08)
    return float(-off * np.cos(heading)), float(off * np.sin(heading)), float(rng.uniform(0.5, 0.56))


def _towards(heading_deg: float, y: Map, x: Map) -> Map:
    """How far (y, x) a place lies in a direction, clockwise from up."""
    angle = np.deg2rad(heading_deg)
    return np.asarray(-np.float32(np.cos(angle)) * y + np.float32(np.sin(angle)) * x, np.float32)
