"""Bones, bowel gas and soft tissue of a patient as one map of optical depth.

The map lives on a fixed grid of 2 reference px with a margin, so that it is drawn once per patient, costs the same for
every picture size, and shifts with breathing by resampling. Amounts are optical depths (dimensionless, µ·t): 10 mm of
soft tissue are about 0.2 at 60 keV, gas takes that away (NIST XCOM: water 0.206/cm). The rest is chosen by eye.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.curves import Array, Map
from ercpseg.synthesis.fields import at_positions, smooth_noise, soft_step
from ercpseg.synthesis.phantom.courses import REFERENCE_SIZE

_STEP_PX = 2.0
_MARGIN_PX = 32.0
_GRID = int((REFERENCE_SIZE + 2 * _MARGIN_PX) / _STEP_PX)

Grid = NDArray[Any]


def anatomy(rng: np.random.Generator) -> Map:
    """Optical depth (288, 288) of a patient on the coarse grid, relative to average soft tissue."""
    axis = (np.arange(_GRID, dtype=np.float32) * _STEP_PX - _MARGIN_PX).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    depth = _soft_tissue(rng, y, x) + _spine(rng, y, x) + _ribs(rng, y, x) + _gas(rng, y, x)
    if rng.random() < 0.15:  # a gallbladder that took up contrast
        depth += rng.uniform(0.25, 0.5) * _ellipsoid(rng, y, x, (250, 110), (28, 48))
    for knots, amount in ((6, 0.16), (12, 0.10), (24, 0.06), (48, 0.04), (96, 0.025)):
        depth += np.float32(amount * rng.uniform(0.6, 1.3)) * smooth_noise(rng, _shape(y), knots)
    return np.asarray(depth, np.float32)


def sample(depth: Map, size: int, shift: Array) -> Map:
    """The coarse map as (size, size) float32, moved by ``shift`` (y, x) reference px."""
    pixel = (np.arange(size, dtype=np.float64) + 0.5) * (REFERENCE_SIZE / size) - 0.5
    rows, columns = (np.asarray((pixel - float(s) + _MARGIN_PX) / _STEP_PX) for s in shift)
    return at_positions(depth, rows, columns)


def _shape(grid: Grid) -> tuple[int, int]:
    return grid.shape[0], grid.shape[1]


def _soft_tissue(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    depth = rng.uniform(-0.2, 0.5) * (x - 256) / 256 + rng.uniform(-0.3, 0.3) * (y - 256) / 256
    flank = rng.uniform(-70, 90)  # the body ends at the left: less tissue, brighter
    depth -= rng.uniform(0.4, 1.8) * soft_step(flank + rng.uniform(-0.3, 0.3) * (y - 256) - x, rng.uniform(12, 40))
    warp = 14 * smooth_noise(rng, _shape(y), 5)
    dome = np.hypot(y - rng.uniform(290, 350), (x - rng.uniform(150, 230)) / 1.1) - rng.uniform(260, 330) + warp
    depth -= rng.uniform(0.5, 1.2) * soft_step(dome, rng.uniform(2.5, 7))  # lung above the diaphragm
    edge = np.hypot((y - rng.uniform(60, 160)) / 0.85, x - rng.uniform(90, 180)) - rng.uniform(170, 250) - 1.5 * warp
    depth += rng.uniform(0.25, 0.7) * soft_step(-edge, rng.uniform(3, 14))  # liver
    corner = np.hypot(y - 256, x - 256) - rng.uniform(200, 270)
    depth += rng.uniform(0, 0.5) * soft_step(corner, 25) * soft_step(x - 256, 60)  # the far side, through more body
    return np.asarray(depth)


def _spine(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    across = x - rng.uniform(380, 460) - rng.uniform(-0.12, 0.12) * (y - 256) - rng.uniform(-15, 15) * np.sin(y / 160)
    across = across + 2 * smooth_noise(rng, _shape(y), 30)
    half, height = rng.uniform(36, 48), rng.uniform(56, 70)
    bowed = y + rng.uniform(-4, 4) * (across / half) ** 2 + 1.5 * smooth_noise(rng, _shape(y), 24)
    phase = ((bowed + rng.uniform(0, height)) / height) % 1.0
    waist = half * (1 - 0.12 * np.sin(np.pi * phase))
    body = soft_step(waist - np.abs(across), 3) * soft_step((0.43 - np.abs(phase - 0.5)) * height, 2)
    endplate = np.exp(-(((np.abs(phase - 0.5) - 0.42) * height / 2.0) ** 2)) * soft_step(half - np.abs(across), 3)
    wall = np.exp(-(((np.abs(across) - waist) / 2.5) ** 2)) * soft_step((0.43 - np.abs(phase - 0.5)) * height, 3)
    pedicle = np.hypot((np.abs(across) - 0.55 * half) / 8, (phase - 0.35) * height / 10)
    ring = np.exp(-(((pedicle - 1) / 0.3) ** 2))
    process = np.exp(-((across / 6) ** 2) - (((phase - 0.75) * height / 12) ** 2))
    wing = np.exp(-(((phase - 0.4) * height / 7) ** 2)) * soft_step(half + 30 - np.abs(across), 3)
    mottle = 1 + 0.45 * smooth_noise(rng, _shape(y), 36) + 0.35 * smooth_noise(rng, _shape(y), 80, 0.4)
    bone = 0.7 * body + 0.55 * endplate + 0.4 * wall + 0.45 * ring + 0.5 * process + 0.3 * wing
    muscle = rng.uniform(0.1, 0.3) * soft_step(half + 35 - np.abs(across), 12)
    return np.asarray(rng.uniform(0.22, 0.5) * bone * mottle + muscle)


def _ribs(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    depth = np.zeros_like(y)
    spacing, slope, bow = rng.uniform(48, 66), rng.uniform(-0.75, -0.25), rng.uniform(0.0003, 0.0012)
    top, amount = rng.uniform(60, 140), rng.uniform(0.05, 0.14)
    for rib in range(int(rng.integers(3, 7))):
        tilt = slope + rng.uniform(-0.05, 0.05)
        centre = top + rib * spacing + rng.uniform(-6, 6) + tilt * (x - 100) + bow * (x - 100) ** 2
        half = rng.uniform(6.5, 9.5)
        distance = np.abs(y - centre) / np.sqrt(1 + tilt**2)
        cortex = np.exp(-(((distance - half) / 1.8) ** 2))
        depth += amount * (soft_step(half - distance, 1.2) + 0.7 * cortex) * soft_step(430 - x, 20)
    return depth


def _gas(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Loops of bowel: bunches of bubbles; within a bunch the largest depth counts, so that walls show between them."""
    depth = np.zeros_like(y)
    for _ in range(int(rng.integers(2, 6))):
        wy, wx = (rng.uniform(3, 9) * smooth_noise(rng, _shape(y), 14) for _ in "yx")
        spot = np.array([rng.uniform(330, 500), rng.uniform(10, 430)])
        heading = rng.uniform(0, 2 * np.pi)
        bunch = np.zeros_like(y)
        for _ in range(int(rng.integers(2, 8))):
            bubble = rng.uniform(0.55, 1.0) * _ellipsoid(rng, y + wy, x + wx, (spot[0], spot[1]), (17, 48))
            np.maximum(bunch, bubble, out=bunch)
            heading += rng.uniform(-0.8, 0.8)
            spot += rng.uniform(18, 36) * np.array([0.6 * np.sin(heading), np.cos(heading)])
        depth -= rng.uniform(0.35, 1.2) * bunch
    folds = 1 + 0.15 * smooth_noise(rng, _shape(y), 45)
    return np.asarray(np.maximum(depth * folds, np.float32(-1.7)))


def _ellipsoid(
    rng: np.random.Generator, y: Grid, x: Grid, centre: tuple[float, float], semi_axis: tuple[float, float]
) -> Grid:
    """The chord through an ellipsoid of about that ``centre`` (within 8 px), 1 in its middle."""
    cy, cx = (c + rng.uniform(-8, 8) for c in centre)
    a, b, turn = rng.uniform(*semi_axis), rng.uniform(*semi_axis), rng.uniform(0, np.pi)
    u = ((y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)) / a
    v = (-(y - cy) * np.sin(turn) + (x - cx) * np.cos(turn)) / b
    return np.asarray(np.sqrt(np.maximum(1 - u * u - v * v, 0)))
