"""The patient without contrast, as water and bone along the beam, on a coarse grid that is drawn once per patient.

Amounts are mm of water relative to the average; gas is negative. What moves with breathing and what does not are kept
apart. Shapes are chosen by eye beside real frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.curves import Array, Map
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.fields import at_positions, smooth_noise, soft_step
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.patients import AnatomySettings
from ercpseg.synthesis.scene.bones import bones
from ercpseg.synthesis.scene.view import View

STEP_MM = 0.8
"""Of the grid, and less where pixels are smaller than half of it."""
FINEST_MM = 0.4
MARGIN_MM = 22.0
"""Beyond the picture, for motion."""
MOST_GAS_MM = -95.0

Grid = NDArray[Any]


@dataclass(frozen=True)
class Anatomy:
    """Maps (rows, columns) at steps of ``step_mm`` of the picture's plane, the first at ``origin_mm`` (y, x).

    They hold coefficients of cubic splines that pass through what was drawn.
    """

    moving_water: Map
    still_water: Map
    bone: Map
    origin_mm: tuple[float, float]
    step_mm: float

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain, view: View) -> Self:
        """Draw the anatomy of a patient who lies as ``view`` says."""
        from scipy.ndimage import spline_filter

        step = float(np.clip(2 * min(view.mm_per_px), FINEST_MM, STEP_MM))
        half = [n * mm / 2 + MARGIN_MM for n, mm in zip(view.shape, view.mm_per_px, strict=True)]
        axes = [np.arange(-h, h + step, step, dtype=np.float32) for h in half]
        y, x = view.patient_mm(*np.meshgrid(*axes, indexing="ij"))
        y, x = np.asarray(y, np.float32), np.asarray(x, np.float32)
        moving = _organs(rng, domain.anatomy, y, x) + _gas(rng, domain.anatomy, y, x)
        moving += (_texture(rng, y, x) + _leaves(rng, y, x)) * np.float32(draw(rng, domain.anatomy.texture_mm))
        moving += _lines(rng, y, x) * np.float32(draw(rng, domain.anatomy.lines_mm))
        still = _body(rng, domain.anatomy, y, x)
        maps = (np.maximum(moving, np.float32(MOST_GAS_MM)), still, bones(rng, domain.anatomy, y, x))
        moved, kept, bone = (spline_filter(m, 3, np.float32, "nearest") for m in maps)
        return cls(moved, kept, bone, (-half[0], -half[1]), step)

    def at(self, which: Map, view: View, shift_mm: Array) -> Map:
        """One of the maps on the pixels of ``view``, moved by ``shift_mm`` (y, x) of the picture."""
        positions = [
            ((np.arange(n) - (n - 1) / 2) * mm - shift - first) / self.step_mm
            for n, mm, shift, first in zip(view.shape, view.mm_per_px, shift_mm, self.origin_mm, strict=True)
        ]
        return at_positions(which, *positions)


def _shape(grid: Grid) -> tuple[int, int]:
    return grid.shape[0], grid.shape[1]


def _edge(rng: np.random.Generator, y: Grid, x: Grid, soft_mm: float, turn: float, bow_mm: float) -> Map:
    """A step across a long, slightly bowed line through a random place; 1 on its right side."""
    cy, cx = rng.uniform(-80, 90), rng.uniform(-85, 85)
    u = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
    v = -(y - cy) * np.sin(turn) + (x - cx) * np.cos(turn)
    return soft_step(v + bow_mm * (u / 80) ** 2, soft_mm)


def _body(rng: np.random.Generator, spec: AnatomySettings, y: Grid, x: Grid) -> Grid:
    """Where the body is thick and where it ends."""
    depth = draw(rng, spec.soft_gradient_mm) * (x / 100) + rng.uniform(-14, 14) * (y / 100)
    if happens(rng, spec.flank):
        flank = rng.uniform(-98, -58) + rng.uniform(-0.22, 0.22) * y + rng.uniform(-6, 6) * np.sin(y / 35)
        depth -= rng.uniform(30, 135) * soft_step(flank - x, rng.uniform(3, 13))
    else:
        depth -= rng.uniform(0, 50) * soft_step(-60 - x, 22)
    if happens(rng, spec.stomach):
        # Lung base and stomach gas: a bright wedge with sharp arcs, where the endoscope comes in.
        arc = np.hypot(y + rng.uniform(85, 130), (x - rng.uniform(45, 90)) * rng.uniform(0.6, 1.1)) - rng.uniform(
            28, 62
        )
        arc = arc + 4 * smooth_noise(rng, _shape(y), 6)
        depth -= rng.uniform(15, 60) * soft_step(-arc, rng.uniform(0.8, 6))
        depth -= rng.uniform(0, 30) * soft_step(-arc - rng.uniform(4, 20), rng.uniform(1, 3))
    corner = np.hypot(y, x) - rng.uniform(75, 110)
    depth += rng.uniform(0, 30) * soft_step(corner, 14) * soft_step(x - 20, 20)
    return np.asarray(depth)


def _organs(rng: np.random.Generator, spec: AnatomySettings, y: Grid, x: Grid) -> Grid:
    """Liver, diaphragm, kidney, psoas and fat planes."""
    warp = 8 * smooth_noise(rng, _shape(y), 5) + 2.5 * smooth_noise(rng, _shape(y), 14)
    depth = np.zeros_like(y)
    wy, wx = y + warp, x + 8 * smooth_noise(rng, _shape(y), 6)
    if happens(rng, spec.dome):
        dome = np.hypot(y - rng.uniform(0, 60), (x + rng.uniform(5, 55)) / rng.uniform(0.9, 1.4)) - rng.uniform(85, 130)
        depth -= rng.uniform(15, 55) * soft_step(dome + warp, rng.uniform(0.8, 3)) * soft_step(-y, 25)
    liver = np.hypot((y + rng.uniform(25, 85)) / rng.uniform(0.7, 1.1), x + rng.uniform(10, 75)) - rng.uniform(62, 105)
    depth += draw(rng, spec.liver_mm) * soft_step(-liver - warp, rng.uniform(0.8, 7))
    for _ in range(int(rng.integers(2, 6))):  # kidney, spleen, stomach wall, heads of bowel: round soft things
        cy, cx, a, b = rng.uniform(-70, 90), rng.uniform(-90, 90), rng.uniform(22, 60), rng.uniform(14, 40)
        turn = rng.uniform(0, np.pi)
        u = ((wy - cy) * np.cos(turn) + (wx - cx) * np.sin(turn)) / a
        v = ((wx - cx) * np.cos(turn) - (wy - cy) * np.sin(turn)) / b
        round_ = np.sqrt(np.maximum(1.0 - u * u - v * v, 0)) + 0.15 * soft_step(1 - np.hypot(u, v), 0.05)
        depth += rng.uniform(-10, 14) * round_
    for _ in range(int(rng.integers(6, 18))):
        amount = rng.triangular(1, 2.5, 11) * rng.choice([-1, 1])
        depth += amount * _edge(
            rng, y, x + 0.4 * warp, rng.triangular(0.3, 0.5, 4), rng.normal(-0.4, 0.7), rng.uniform(-30, 30)
        )
    return np.asarray(depth)


def _texture(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Fat and folds at every scale: amplitudes fall with size as in radiographs (power about f^-3)."""
    depth = np.zeros_like(y)
    for knots, amount in ((5, 4.0), (9, 2.0), (18, 1.1), (36, 0.8), (72, 0.5), (150, 0.3)):
        depth += np.float32(amount * rng.uniform(0.6, 1.3)) * smooth_noise(rng, _shape(y), knots)
    streak = smooth_noise(rng, _shape(y), 60, 0.25)  # fibres that run obliquely across
    depth += np.float32(rng.uniform(0.2, 0.9)) * streak
    return depth


def _lines(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Vessels, fat between layers, edges of folds: thin dark and bright lines of unit height where noise changes sign."""
    depth = np.zeros_like(y)
    for knots in (7, 11, 18, 30):
        course = smooth_noise(rng, _shape(y), knots)
        # About 0.6 to 1.6 mm wide: the noise changes by some knots / 140 per mm.
        width = np.float32(rng.uniform(0.6, 1.6) * knots / 140 * 0.5)
        where = smooth_noise(rng, _shape(y), 8)
        depth += np.exp(-((course / width) ** 2)) * np.clip(where, -1.5, 1.5)
    return depth


def _leaves(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Loops, folds and vessels over one another: many flat shapes with crisp outlines, the small ones most frequent.

    A sum of such "dead leaves" has the power spectrum of natural scenes, and edges, which smooth noise has not.
    """
    depth = np.zeros_like(y)
    wy, wx = (axis + np.float32(3.5) * smooth_noise(rng, _shape(y), 16) for axis in (y, x))
    for _ in range(int(rng.integers(35, 90))):
        size = 5 * (70 / 5) ** (rng.random() ** 1.4)
        spot = np.array([rng.uniform(-105, 115), rng.uniform(-110, 110)])
        aspect, turn = rng.uniform(0.25, 1.0), rng.uniform(0, np.pi)
        window = _window(y, x, spot, size + 8)
        dy, dx = wy[window] - np.float32(spot[0]), wx[window] - np.float32(spot[1])
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = (dy * c + dx * s) / np.float32(size), (dx * c - dy * s) / np.float32(size * aspect)
        inside = (1 - np.sqrt(u * u + v * v)) * np.float32(size * aspect)
        amount = rng.triangular(0.5, 2.5, 13) * rng.choice([-1.0, 1.0])
        # Half flat, half round: what is hollow or flat shows its outline, what is solid its thickness.
        solid = np.sqrt(np.clip(inside / np.float32(0.6 * size * aspect), 0, 1)) if rng.random() < 0.5 else 1.0
        depth[window] += np.float32(amount) * solid * soft_step(inside, rng.triangular(0.2, 0.3, 1.6))
    return depth


def _gas(rng: np.random.Generator, spec: AnatomySettings, y: Grid, x: Grid) -> Grid:
    """Colon and bowel. Within a loop the largest depth counts, so that walls show between its parts."""
    depth = np.zeros_like(y)
    for _ in range(int(rng.integers(0, 4))):  # colon: large, smooth, haustrated
        spot = np.array([rng.uniform(-5, 95), rng.uniform(-95, 20)])
        depth -= draw(rng, spec.colon_mm) * _loop(rng, y, x, spot, (12, 34), int(rng.integers(1, 5)))
    for _ in range(int(draw(rng, spec.bowel_bunches))):  # small bowel and the lower colon: bunches at the bottom
        spot = np.array([rng.uniform(48, 108), rng.uniform(-90, 80)])
        depth -= rng.uniform(0.25, 0.8) * draw(rng, spec.colon_mm) * _loop(
            rng, y, x, spot, (4, 14), int(rng.integers(4, 12))
        )  # fmt: skip
    if happens(rng, spec.duodenum_gas):
        spot = np.array([rng.uniform(10, 70), rng.uniform(-40, 15)])
        loop = _loop(rng, y, x, spot, (7, 17), int(rng.integers(2, 5)))
        pitch = rng.uniform(3, 5)
        wave = 2 * np.pi * (y * rng.uniform(-0.5, 0.5) + x) / pitch + 4 * smooth_noise(rng, _shape(y), 12)
        folds = 1 + 0.2 * np.cos(wave) * soft_step(smooth_noise(rng, _shape(y), 10), 0.3)
        depth -= rng.uniform(8, 26) * loop * folds
    haustra = 1 + np.float32(0.14) * smooth_noise(rng, _shape(y), 30)
    return np.asarray(depth * haustra - _cells(rng, y, x))


def _cells(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Bowel seen through other bowel: bright cells with thin dark walls where smooth noise changes its sign."""
    where = soft_step(y - rng.uniform(0, 70) + 18 * smooth_noise(rng, _shape(y), 5), 9)
    coarse, fine = (np.abs(smooth_noise(rng, _shape(y), knots)) for knots in (14, 26))
    return np.asarray(rng.uniform(1, 11) * where * np.minimum(coarse, 1.3) + rng.uniform(0.5, 4) * where * fine)


def _loop(
    rng: np.random.Generator, y: Grid, x: Grid, spot: Array, semi_axis_mm: tuple[float, float], count: int
) -> Grid:
    """A chain of ``count`` bulges from ``spot``, 0 to 1; outlines are irregular, walls show between bulges."""
    warp = rng.uniform(1, 3.5)
    wy, wx = (axis + np.float32(warp) * smooth_noise(rng, _shape(y), 13) for axis in (y, x))
    heading, loop = float(rng.uniform(0, 2 * np.pi)), np.zeros_like(y)
    typical = float(rng.uniform(*semi_axis_mm))
    power = np.float32(rng.uniform(0.35, 0.7))
    for _ in range(count):
        a, b = typical * rng.uniform(0.6, 1.4, 2)
        turn, strength = rng.uniform(0, np.pi), rng.uniform(0.6, 1.0)
        window = _window(y, x, spot, 1.05 * max(a, b) + 3 * warp)
        dy, dx = wy[window] - np.float32(spot[0]), wx[window] - np.float32(spot[1])
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        rest = 1 - ((dy * c + dx * s) / np.float32(a)) ** 2 - ((dx * c - dy * s) / np.float32(b)) ** 2
        bulge = np.float32(strength) * np.maximum(rest, 0) ** power
        np.maximum(loop[window], bulge, out=loop[window])
        heading += rng.uniform(-0.8, 0.8)
        step: Array = np.array([0.7 * np.sin(heading), np.cos(heading)])
        spot = np.add(spot, 1.1 * typical * step)
    return loop


def _window(y: Grid, x: Grid, spot: Array, reach: float) -> tuple[slice, slice]:
    """The part of the grid within ``reach`` mm of ``spot``; at least one cell. The grid may be turned."""
    near = np.hypot(y[::8, ::8] - spot[0], x[::8, ::8] - spot[1]) < reach + 8 * STEP_MM
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(8 * int(rows[0]), 8 * int(rows[-1]) + 8), slice(8 * int(columns[0]), 8 * int(columns[-1]) + 8)
