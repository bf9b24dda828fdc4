"""Spine, ribs and pelvis as mm of cortical bone along the beam, in the patient's frame. Shapes are chosen by eye."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.fields import smooth_noise, soft_step
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.patients import AnatomySettings

Grid = NDArray[Any]


def bones(rng: np.random.Generator, spec: AnatomySettings, y: Grid, x: Grid) -> Grid:
    """Bone (rows, columns) in mm at patient positions ``y``, ``x`` in mm."""
    bone = np.zeros_like(y)
    amount = draw(rng, spec.bone_mm)
    if happens(rng, spec.spine):
        bone += np.float32(amount) * _spine(rng, y, x)
    if happens(rng, spec.ribs):
        bone += _ribs(rng, y, x)
    if happens(rng, spec.calcified_cartilage):
        bone += _cartilage(rng, y, x)
    if happens(rng, spec.pelvis):
        bone += _crest(rng, y, x)
    return bone


def _crest(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """The iliac crest on the right or left: a broad wing with a dense rim, below an arc."""
    middle = rng.choice([-1.0, 1.0]) * rng.uniform(45, 80)
    depth = y - rng.uniform(70, 95) - ((x - middle) / rng.uniform(9, 14)) ** 2
    rim = np.exp(-(((depth - 1.5) / rng.uniform(1.2, 2.5)) ** 2))
    mottle = 1 + 0.2 * smooth_noise(rng, (y.shape[0], y.shape[1]), 60)
    return np.asarray(rng.uniform(1.5, 5) * soft_step(depth, 0.6) * mottle + rng.uniform(1, 4) * rim)


def _spine(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Vertebrae with discs, end plates, pedicles and processes, 1 in the middle of a body."""
    shape = (y.shape[0], y.shape[1])
    across = x - rng.uniform(52, 88) - rng.uniform(-0.12, 0.12) * y - rng.uniform(-6, 6) * np.sin(y / 65)
    across = across + 0.8 * smooth_noise(rng, shape, 30)
    half, height = rng.uniform(16, 21), rng.uniform(27, 36)
    bowed = y + rng.uniform(-2, 2) * (across / half) ** 2 + 0.6 * smooth_noise(rng, shape, 24)
    phase = ((bowed + rng.uniform(0, height)) / height) % 1.0
    waist = half * (1 - 0.14 * np.sin(np.pi * phase))
    inside = soft_step((0.42 - np.abs(phase - 0.5)) * height, 0.8)
    body = soft_step(waist - np.abs(across), 1.2) * inside
    endplate = np.exp(-(((np.abs(phase - 0.5) - 0.42) * height / 0.8) ** 2)) * soft_step(half - np.abs(across), 1.2)
    wall = np.exp(-(((np.abs(across) - waist) / 1.0) ** 2)) * inside
    pedicle = np.hypot((np.abs(across) - 0.55 * half) / 3.2, (phase - 0.35) * height / 4.2)
    ring = np.exp(-(((pedicle - 1) / 0.32) ** 2))
    process = np.exp(-((across / 2.6) ** 2) - (((phase - 0.75) * height / 5) ** 2))
    facet = np.exp(-(((np.abs(across) - 0.5 * half) / 2.2) ** 2) - (((phase - 0.9) * height / 6) ** 2))
    wing = np.exp(-(((phase - 0.4) * height / 3) ** 2)) * soft_step(half + 14 - np.abs(across), 1.5)
    mottle = 1 + 0.25 * smooth_noise(rng, shape, 45) + 0.2 * smooth_noise(rng, shape, 120)
    plates = rng.uniform(0.2, 1.0, 5)
    bone = 0.4 * body + plates[0] * endplate + plates[1] * 0.6 * wall + plates[2] * 0.7 * ring
    bone = bone + plates[3] * 0.7 * process + 0.35 * wing + plates[4] * 0.6 * facet
    muscle = 0.12 * soft_step(half + 16 - np.abs(across), 5)
    return np.asarray(np.maximum(bone * mottle, 0) + muscle)


def _ribs(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Lower ribs: bands with denser borders, from the spine down to the side."""
    depth = np.zeros_like(y)
    spacing, slope, bow = rng.uniform(19, 30), rng.uniform(-0.85, -0.1), rng.uniform(-0.002, 0.004)
    top, amount = rng.uniform(-95, -50), rng.uniform(0.5, 2.6)
    for rib in range(int(rng.integers(3, 8))):
        tilt = slope + rng.uniform(-0.07, 0.07)
        centre = top + rib * spacing + rng.uniform(-3, 3) + tilt * (x + 60) + bow * (x + 60) ** 2
        half = rng.uniform(2.6, 4.2)
        distance = np.abs(y - centre) / np.sqrt(1 + tilt**2)
        cortex = np.exp(-(((distance - half) / 0.75) ** 2))
        depth += amount * (0.6 * soft_step(half - distance, 0.5) + 0.8 * cortex) * soft_step(rng.uniform(20, 75) - x, 8)
    return depth


def _cartilage(rng: np.random.Generator, y: Grid, x: Grid) -> Grid:
    """Calcified costal cartilage: blotches along a line, which look like contrast."""
    grain = smooth_noise(rng, (y.shape[0], y.shape[1]), 50)
    centre = rng.uniform(-60, 30) + rng.uniform(-0.9, 0.9) * (x + 60)
    band = np.exp(-(((y - centre) / rng.uniform(3, 6)) ** 2)) * soft_step(-25 - x, 6)
    return np.asarray(rng.uniform(1.5, 5) * band * np.clip(grain - 0.2, 0, 1.5))
