"""The maps that a scene is drawn into: how much of each material every ray crosses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ercpseg.synthesis.curves import Array, Map, mean_chord
from ercpseg.synthesis.raster import Near, near
from ercpseg.synthesis.scene.view import View


@dataclass(frozen=True)
class Canvas:
    """Material along the rays of a picture: (y, x) float32 each.

    ``water`` and ``bone`` in mm, relative to the average soft tissue (gas is negative water); ``iodine`` in mm·mg/ml;
    ``steel`` in mm.
    """

    view: View
    water: Map
    bone: Map
    iodine: Map
    steel: Map

    @classmethod
    def empty(cls, view: View) -> Canvas:
        """A canvas with nothing on it."""
        return cls(view, *(np.zeros(view.shape, np.float32) for _ in range(4)))

    def copy(self) -> Canvas:
        """The same, to be drawn on without changing this one."""
        return Canvas(self.view, self.water.copy(), self.bone.copy(), self.iodine.copy(), self.steel.copy())


@dataclass(frozen=True)
class Tube:
    """A round tube: outer diameter and wall in mm (a wall of half the diameter is a rod)."""

    diameter_mm: float
    wall_mm: float


def draw_tube(canvas: Canvas, layer: Map, points_mm: Array, tube: Tube, amount: float, z_mm: float = 0.0) -> Near:
    """Add a tube to ``layer`` so that its densest ray crosses ``amount``; gives the tube coordinates it covered.

    The sum over a section does not depend on where it falls between pixel centres, see
    :func:`~ercpseg.synthesis.curves.mean_chord`.
    """
    scale = canvas.view.scale(z_mm)
    radius = max(tube.diameter_mm / 2 * scale, 0.05)
    hollow = radius - tube.wall_mm * scale
    seen = near(canvas.view.pixels(points_mm, z_mm), radius + 1, canvas.view.shape)
    thickness = mean_chord(seen.across, radius)
    densest = 2 * radius
    if hollow > 0.05:
        thickness -= mean_chord(seen.across, hollow)
        densest = 2 * float(np.sqrt(radius**2 - hollow**2))
    keep = seen.beyond <= 0.5
    layer.reshape(-1)[seen.flat[keep]] += thickness[keep] * np.float32(amount / densest)
    return seen


def draw_line(canvas: Canvas, layer: Map, points_mm: Array, width_mm: float, amounts: Array, z_mm: float = 0.0) -> Near:
    """Add a solid rod whose densest ray crosses ``amounts`` (n,), one for each of ``points_mm`` (n, 2)."""
    scale = canvas.view.scale(z_mm)
    radius = max(width_mm / 2 * scale, 0.05)
    points = canvas.view.pixels(points_mm, z_mm)
    seen = near(points, radius + 1, canvas.view.shape)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    amount = np.interp(seen.along, length, amounts).astype(np.float32)
    keep = seen.beyond <= 0.5
    layer.reshape(-1)[seen.flat[keep]] += (mean_chord(seen.across, radius) * amount / np.float32(2 * radius))[keep]
    return seen
